//! A system of its own for each test: a store in a temporary directory, a tokio, and the public API without `await`.

use super::libraries::library;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use teneral::api::wire::{RELEASE_HEADER, SIGNATURE_HEADER};
use teneral::api::{ApiError, Client};
use teneral::served::Socket;
use teneral::trusted::read_beside;
use teneral::upgrade::{ActorReport, Downgrades, PathlessPolicy, Trials};
use teneral::{ActorRef, Admission, Options, Release, Report, System, SystemError, UpgradeOptions, Wire};
use teneral_store::{EmbeddedStore, Entry, StepDone, StepResult, Store};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

/// Longer than anything that goes well takes, on a slow and busy machine.
pub(crate) const GENEROUS: Duration = Duration::from_secs(60);

/// The documented defaults without a trial: whoever breaks an upgrade at one of its later steps means the live actor.
pub(crate) const LIVE: UpgradeOptions = UpgradeOptions { trials: Trials::Skip, ..UpgradeOptions::new() };

/// Bounds that nothing on a slow and busy machine comes near, leave to go down, and to leave messages behind. Without a
/// trial: whoever holds an upgrade somewhere, or breaks it there, means the live actor.
pub(crate) fn patient() -> UpgradeOptions {
    UpgradeOptions { trials: Trials::Skip, ..rehearsed() }
}

/// The same with a trial of every actor.
pub(crate) fn rehearsed() -> UpgradeOptions {
    let (downgrades, pathless) = (Downgrades::Allow, PathlessPolicy::DeadLetter);
    UpgradeOptions {
        max_pause: GENEROUS,
        quiesce_timeout: GENEROUS,
        trial_timeout: GENEROUS,
        downgrades,
        pathless,
        ..UpgradeOptions::new()
    }
}

thread_local! {
    /// Whether houses that are opened on this thread bring code and upgrade over the control socket.
    static OVER_THE_SOCKET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test whose houses bring code and upgrade over the control socket, as an operator does.
pub(crate) fn over_the_socket<T>(test: impl FnOnce() -> T) -> T {
    OVER_THE_SOCKET.set(true);
    let ran = test();
    OVER_THE_SOCKET.set(false);
    ran
}

/// See the module.
pub(crate) struct House {
    pub(crate) system: System,
    tokio: Runtime,
    dir: TempDir,
    operator: Option<Client>,
}

/// Why a house did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The system said so.
    Here(SystemError),
    /// The socket did.
    There(ApiError),
}

/// What every refusal has, whoever says it.
pub(crate) trait Refuses: Error {
    fn code(&self) -> &str;
    fn hint(&self) -> String;
}

impl Refuses for SystemError {
    fn code(&self) -> &str {
        self.code()
    }

    fn hint(&self) -> String {
        self.hint()
    }
}

impl Refuses for Refusal {
    fn code(&self) -> &str {
        match self {
            Self::Here(error) => error.code(),
            Self::There(error) => &error.code,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Here(error) => error.hint(),
            Self::There(error) => error.hint.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(error) => error.fmt(f),
            Self::There(error) => write!(f, "{}: {}", error.what, error.causes.join(": ")),
        }
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Here(error) => error.source(),
            Self::There(_) => None,
        }
    }
}

impl House {
    /// A system with the documented defaults, and these packages' libraries pushed.
    pub(crate) fn with(packages: &[&str]) -> Self {
        Self::open(packages, |_| {})
    }

    /// As [`House::with`], with options of its own.
    pub(crate) fn open(packages: &[&str], change: impl FnOnce(&mut Options)) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let dir = TempDir::with_prefix("teneral-test-").expect("a temporary directory");
        let mut options = Options::new(dir.path().join("store"));
        change(&mut options);
        let (tokio, store) = (tokio.expect("a tokio"), options.dir.clone());
        let system = System::open_with(options).expect("an empty store opens");
        let operator = OVER_THE_SOCKET.get().then(|| {
            let _entered = tokio.enter();
            let (socket, routes) = (Socket::listen(&store).expect("the store is ours"), system.routes());
            tokio.spawn(async move { socket.serve(routes).await });
            Client::new(&store)
        });
        let house = Self { system, tokio, dir, operator };
        for package in packages {
            house.push(library(package)).expect("our own libraries pass the gate");
        }
        house
    }

    /// As [`House::with`], where no turn takes so long that it is said to hang.
    pub(crate) fn patient(packages: &[&str]) -> Self {
        Self::open(packages, |options| options.runtime.hang_after = GENEROUS)
    }

    /// Whether it brings code and upgrades over its control socket.
    pub(crate) fn is_operated(&self) -> bool {
        self.operator.is_some()
    }

    /// A directory that goes with the house; `store` in it is the store.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Waits for a future.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.tokio.block_on(future)
    }

    /// Runs a future beside the test.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tokio.spawn(future)
    }

    /// Where whoever has a thread of its own waits for futures.
    pub(crate) fn tokio(&self) -> Handle {
        self.tokio.handle().clone()
    }

    /// Takes a future's first step at once, and the others beside the test: an ask that is begun is accepted, if there
    /// is room for it.
    pub(crate) fn begin<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let mut future = Box::pin(future);
        let first = self.block_on(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))));
        self.spawn(async move {
            match first {
                Poll::Ready(done) => done,
                Poll::Pending => future.await,
            }
        })
    }

    /// What the host answers over its control socket.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let client = self.operator.as_ref().expect("a house that is operated over its socket");
        self.block_on(client.post(path, body))
    }

    pub(crate) fn push(&self, library: &Path) -> Result<Release, Refusal> {
        // A file that is none is refused where it lies: an operator's command would not send it either.
        let (Some(client), true) = (&self.operator, library.is_file() && !library.is_symlink()) else {
            return self.block_on(self.system.push(library)).map_err(Refusal::Here);
        };
        let mut headers = Vec::new();
        if let Some(signed) = read_beside(library).map_err(|error| Refusal::Here(error.into()))? {
            headers.push((RELEASE_HEADER, STANDARD.encode(signed.release)));
            headers.push((SIGNATURE_HEADER, STANDARD.encode(signed.signature)));
        }
        let bytes = std::fs::read(library).expect("it is there");
        self.block_on(client.send("/v1/artifacts/push", &headers, bytes)).map_err(Refusal::There)
    }

    /// As [`House::push`], also below what was pushed before.
    pub(crate) fn push_older(&self, library: &Path) -> Result<Release, Refusal> {
        let older = Admission { older: true, ..Admission::default() };
        self.block_on(self.system.push_as(library, older)).map_err(Refusal::Here)
    }

    /// Starts an actor that must start.
    #[track_caller]
    pub(crate) fn start<A: Wire>(&self, addr: &str, version: &str, args: A) -> ActorRef {
        let started = self.block_on(self.system.start(addr, version, args));
        started.unwrap_or_else(|error| panic!("{addr} starts: {}", chain(&error)))
    }

    /// Upgrades within the default bounds; the report of an upgrade that was not refused whole.
    #[track_caller]
    pub(crate) fn upgrade(&self, target: &str, to: &str) -> Report {
        let done = self.try_upgrade(target, to, UpgradeOptions::new());
        done.unwrap_or_else(|error| panic!("{target} -> {to} begins: {}", chain(&error)))
    }

    /// As [`House::upgrade`], without a trial.
    #[track_caller]
    pub(crate) fn upgrade_live(&self, target: &str, to: &str) -> Report {
        let done = self.try_upgrade(target, to, LIVE);
        done.unwrap_or_else(|error| panic!("{target} -> {to} begins: {}", chain(&error)))
    }

    /// Moves one actor up or down, however long it takes; what came of it.
    #[track_caller]
    pub(crate) fn moved(&self, addr: &str, to: &str) -> ActorReport {
        let done = self.try_upgrade(addr, to, patient());
        only(&done.unwrap_or_else(|error| panic!("{addr} -> {to} begins: {}", chain(&error)))).clone()
    }

    /// The code and the hint of an upgrade that must be refused whole.
    #[track_caller]
    pub(crate) fn refused(&self, target: &str, to: &str) -> (String, String) {
        match self.try_upgrade(target, to, patient()) {
            Err(error) => (error.code().to_owned(), error.hint()),
            Ok(report) => panic!("{target} -> {to} began: {report}"),
        }
    }

    /// The journal of an upgrade that is over, as somebody finds it on the disk who opens the store after this process.
    #[track_caller]
    pub(crate) fn journal(&self, report: &Report) -> Vec<Entry> {
        // The store is this process's; a copy of it is what the death of the process would leave.
        let copy = TempDir::with_prefix("teneral-copy-").expect("a temporary directory");
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(copy.path(), private.clone()).expect("it is ours");
        for file in std::fs::read_dir(self.dir().join("store")).expect("the store") {
            let file = file.expect("the store reads");
            if file.file_type().expect("a type").is_file() {
                std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("it copies");
            }
        }
        std::fs::create_dir(copy.path().join("artifacts")).expect("a directory of ours");
        std::fs::set_permissions(copy.path().join("artifacts"), private).expect("it is ours");
        let store = EmbeddedStore::open(copy.path()).unwrap_or_else(|error| panic!("it opens: {}", chain(&error)));
        store.journal(&report.id).expect("the journal reads")
    }

    /// Where the store keeps the bytes of a version.
    pub(crate) fn artifact(&self, kind: &str, version: &str) -> PathBuf {
        let releases = self.system.releases().expect("the store reads");
        let is_it = |release: &&Release| release.kind == kind && release.version.to_string() == version;
        let release = releases.iter().find(is_it).unwrap_or_else(|| panic!("{kind} {version} was pushed"));
        self.dir().join("store/artifacts").join(release.sha256.to_string())
    }

    pub(crate) fn try_upgrade(&self, target: &str, to: &str, options: UpgradeOptions) -> Result<Report, Refusal> {
        let Some(client) = &self.operator else {
            return self.block_on(self.system.upgrade(target, to, options)).map_err(Refusal::Here);
        };
        let body = json!({ "target": target, "to": to, "options": options });
        self.block_on(client.post("/v1/upgrades/run", &body)).map_err(Refusal::There)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Threads of one test are no load for the next one.
        self.tokio.block_on(self.system.shutdown(Duration::from_millis(200)));
    }
}

/// The report's only actor.
#[track_caller]
pub(crate) fn only(report: &Report) -> &ActorReport {
    let [actor] = report.actors.as_slice() else { panic!("one actor: {report}") };
    actor
}

/// The journal is whole: it begins, it ends, and the actor's end is this, with the last failed step's code.
#[track_caller]
pub(crate) fn recorded(journal: &[Entry], actor: &ActorReport) {
    assert!(matches!(journal.first(), Some(Entry::Begin(_))), "{journal:?}");
    let last = journal.iter().rfind(|entry| !matches!(entry, Entry::Probation(_)));
    let Some(Entry::End(end)) = last else { panic!("it is closed: {journal:?}") };
    let end = end.actors.iter().find(|end| end.addr == actor.actor).expect("an end of the actor");
    let failure = actor.outcome.failure();
    assert_eq!((end.outcome.as_str(), end.code.as_ref()), (actor.outcome.name(), failure.map(|f| &f.code)));
    let failed = journal.iter().rev().find_map(|entry| match entry {
        Entry::Step(StepDone { actor: whose, step, result: StepResult::Failed { code, .. }, .. })
            if whose.as_ref() == Some(&actor.actor) =>
        {
            Some((step.as_str(), code))
        }
        _ => None,
    });
    assert_eq!(failed, failure.map(|failure| (actor.step.name(), &failure.code)), "{journal:?}");
}

/// Gives a file another one's bytes, and leaves it its mode.
pub(crate) fn overwrite(file: &Path, with: &Path) {
    let bytes = std::fs::read(with).expect("it is there");
    std::fs::write(file, bytes).expect("it is writable");
}

/// Tells what goes on beside a test that it is over, also when the test fails.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `holds`, which is asked again and again.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(GENEROUS, what, holds);
}

/// As [`until`], for what may take longer or must be quicker.
#[track_caller]
pub(crate) fn until_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// An error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
