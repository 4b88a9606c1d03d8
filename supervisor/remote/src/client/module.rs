//! A module: the process that serves it now, and the next one when that is gone.
//!
//! To the runtime it is code like any other. An actor whose process died is given another instance by its supervisor,
//! of its last checkpoint or as after a panic; that asks for an instance, and if there is no process, one is started
//! then. What dies again and again is started more and more slowly; that it ends at all is up to the supervisors and
//! their intensities.

use super::{Launch, ModuleError, Process, Start};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};
use std::{fmt, io, thread};
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::{Behaviour, Body, Checkpoints, Fault, FaultKind, Json, JsonDone, Provider};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A process that lived so long is no sign that the next one will die.
const STEADY: Duration = Duration::from_secs(10);
/// How long the next process waits after one that was not steady, the first time and at most.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// How often is asked whether anybody still wants a process that is being started.
const WANTED_LOOK: Duration = Duration::from_millis(20);

fn stops() -> ModuleError {
    ModuleError::Socket(io::Error::other("the host stops"))
}

/// How long after one that is not reached the next try begins, where somebody waits for it.
const AGAIN: Duration = Duration::from_millis(200);

/// The thread on which processes are started and spoken to. Dropped, it ends them.
///
/// One thread, which lives as long as its processes: the kernel's death signal follows the thread that started a
/// process. And one thread is faster here than several, which would wake each other for every frame.
#[derive(Debug)]
pub struct Modules {
    handle: Handle,
    /// Never sent to: dropped, the thread ends.
    _ends: oneshot::Sender<()>,
}

impl Modules {
    /// Starts the thread.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (ends, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
        thread::Builder::new().name("teneral-modules".to_owned()).spawn(move || {
            // An error is what is waited for: the sender is gone.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _ends: ends })
    }

    /// The thread's tokio, for what goes on beside its processes.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts a process, and waits until it is ready or has failed. Not on this thread of all threads.
    ///
    /// # Errors
    /// [`ModuleError`].
    pub fn start_process(&self, start: Start) -> Result<Arc<Process>, ModuleError> {
        let (came, comes) = std::sync::mpsc::sync_channel(1);
        self.handle.spawn(async move { came.send(Process::start(start).await) });
        comes.recv().unwrap_or_else(|_| Err(stops()))
    }

    /// The same as long as somebody wants it, which is asked again and again: soon after that ends, so does the
    /// process, ready or not.
    ///
    /// # Errors
    /// [`ModuleError`]; also where nobody wants it any more.
    pub fn launch_while(&self, launch: Launch, wanted: &dyn Fn() -> bool) -> Result<Arc<Process>, ModuleError> {
        let (came, comes) = std::sync::mpsc::sync_channel(1);
        let starting = self.handle.spawn(async move { came.send(Process::start(Start::Here(launch)).await) });
        loop {
            match comes.recv_timeout(WANTED_LOOK) {
                Ok(started) => return started,
                Err(RecvTimeoutError::Disconnected) => return Err(stops()),
                Err(RecvTimeoutError::Timeout) if wanted() => {}
                Err(RecvTimeoutError::Timeout) => {
                    // A start that is dropped leaves no process behind.
                    starting.abort();
                    return Err(ModuleError::Socket(io::Error::other("nobody wants the process any more")));
                }
            }
        }
    }
}

/// What a module's processes are started with.
pub trait Launcher: Send + Sync {
    /// The next one.
    ///
    /// # Errors
    /// [`ModuleError`]: what it needs could not be made.
    fn next(&self) -> Result<Start, ModuleError>;

    /// Where the next one is, where that is known before it is there.
    fn endpoint(&self) -> Option<String> {
        None
    }

    /// For how long one that is not reached is tried again before that is a failure.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// See the module.
pub struct Module {
    manifest: Manifest,
    contract: Arc<Contract>,
    digest: Digest,
    modules: Arc<Modules>,
    launcher: Box<dyn Launcher>,
    checkpoints: Option<Checkpoints>,
    now: Mutex<Now>,
    /// The latest look, for whoever looks while a process is being started.
    latest: Mutex<ModuleSeen>,
}

/// What serves it.
#[derive(Debug, Default)]
struct Now {
    process: Option<Arc<Process>>,
    since: Option<Instant>,
    starts: u64,
    /// How long the next one waits, if this one was not steady.
    back_off: Duration,
    /// Why there is none, where the latest could not be had.
    failed: Option<String>,
}

/// What can be known of a module without waiting for a process that is being started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Processes that were started for it.
    pub starts: u64,
    /// Whether the latest one is gone, or there was none.
    pub gone: bool,
    /// Turns that it has.
    pub turns_away: usize,
}

/// A look at what serves a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleSeen {
    /// Its process, while there is one.
    pub pid: Option<i32>,
    /// Where that one listened when it was found.
    pub endpoint: Option<String>,
    /// Since when the latest one was started.
    pub since: Option<Instant>,
    /// Processes that were started for it.
    pub starts: u64,
    /// Why the latest one is gone, or there is none, if so.
    pub gone: Option<String>,
}

/// An error with its code and its causes, in one line.
fn said(error: &ModuleError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("[{}] {error}{cause}", error.code())
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} {})", self.manifest.kind, self.manifest.version)
    }
}

impl Module {
    /// A module of which nothing runs yet. What its processes say of themselves is held against `manifest`.
    #[must_use]
    pub fn new(manifest: Manifest, digest: Digest, modules: Arc<Modules>, launcher: Box<dyn Launcher>) -> Self {
        let contract = Arc::new(Contract::new(&manifest));
        let (now, latest) = (Mutex::default(), Mutex::default());
        Self { manifest, contract, digest, modules, launcher, checkpoints: None, now, latest }
    }

    /// The same, whose actors go on from their last checkpoint when a process of its is gone.
    #[must_use]
    pub const fn kept(mut self, checkpoints: Option<Checkpoints>) -> Self {
        self.checkpoints = checkpoints;
        self
    }

    /// The process that serves it: the one that does, or another.
    ///
    /// # Errors
    /// [`ModuleError`]: there is none, and none could be started.
    pub fn process(&self) -> Result<Arc<Process>, ModuleError> {
        // Held while one starts: whoever else needs one waits for the same.
        let mut now = self.now.lock();
        if let Some(process) = now.process.as_ref().filter(|process| process.gone().is_none()) {
            return Ok(Arc::clone(process));
        }
        match now.since {
            Some(since) if since.elapsed() < STEADY => {
                thread::sleep(now.back_off);
                now.back_off = (now.back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
            }
            _ => now.back_off = BACK_OFF_MIN,
        }
        if let Some(gone) = now.process.take().and_then(|process| process.gone()) {
            let (kind, version) = (&self.manifest.kind, &self.manifest.version);
            tracing::warn!(kind, %version, gone, "a module's process is started again");
        }
        (now.since, now.starts) = (Some(Instant::now()), now.starts + 1);
        let until = Instant::now() + self.launcher.patience();
        let started = loop {
            let started = self.launcher.next().and_then(|start| self.modules.start_process(start));
            match started {
                Err(ModuleError::Unreachable { .. }) if Instant::now() < until => thread::sleep(AGAIN),
                started => break started,
            }
        };
        now.failed = started.as_ref().err().map(said);
        let process = started?;
        if (&process.manifest().kind, &process.manifest().version) != (&self.manifest.kind, &self.manifest.version) {
            let Manifest { kind, version, .. } = process.manifest();
            let found = format!("{kind} {version}, by its manifest");
            return Err(ModuleError::Digest { found, wanted: self.digest });
        }
        now.process = Some(Arc::clone(&process));
        Ok(process)
    }

    /// A look, for people. It waits for nobody: while a process is being started it is the look before.
    #[must_use]
    pub fn seen(&self) -> ModuleSeen {
        let Some(now) = self.now.try_lock() else {
            let endpoint = self.launcher.endpoint();
            let latest = self.latest.lock().clone();
            return ModuleSeen { pid: None, endpoint: endpoint.or(latest.endpoint.clone()), ..latest };
        };
        let gone = now.process.as_ref().and_then(|process| process.gone());
        let process = now.process.as_ref().filter(|_| gone.is_none());
        let (pid, endpoint) = (process.map(|of| of.pid()), process.map(|of| of.endpoint().to_owned()));
        let (endpoint, gone) = (endpoint.or_else(|| self.launcher.endpoint()), gone.or_else(|| now.failed.clone()));
        let seen = ModuleSeen { pid, endpoint, since: now.since, starts: now.starts, gone };
        self.latest.lock().clone_from(&seen);
        seen
    }

    /// A look that waits for nobody. `None`: a process is being started at this moment.
    #[must_use]
    pub fn glance(&self) -> Option<Glance> {
        let now = self.now.try_lock()?;
        let gone = now.process.as_ref().is_none_or(|process| process.gone().is_some());
        let turns_away = now.process.as_ref().map_or(0, |process| process.turns_away());
        Some(Glance { starts: now.starts, gone, turns_away })
    }

    fn code(&self) -> Result<Arc<Process>, Fault> {
        self.process().map_err(|error| Fault::new(FaultKind::Failed, said(&error)))
    }
}

impl Provider for Module {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn checkpoints(&self) -> Option<Checkpoints> {
        self.checkpoints
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        self.code()?.create(args)
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        self.code()?.restore(schema, state)
    }

    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        self.code()?.downgrade(state, to_schema)
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        self.code()?.json(job)
    }
}
