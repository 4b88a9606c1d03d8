//! A real runtime, a store in memory, and code that does what a test tells it to.
//!
//! [`Script`] is a version of `counter` linked in: its state is its schema and a count, and each of its functions can
//! be told to fail, to panic, to hang at a [`Gate`], or to lie. So a test can hold an upgrade at any step.

use crate::common::{addr, digest, version};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use teneral_contract::shape::variant_id;
use teneral_contract::{Addr, AskError, Contract, Digest, Fingerprint, Manifest, Tag};
use teneral_runtime::ports::{Behaviour, Body, Call, Effects, Fault, FaultKind, Json, JsonDone, Provider, Why};
use teneral_runtime::{
    ActorOptions, ActorRef, Clock, Providers, Runtime, RuntimeConfig, Spawn, Start, StartArgs, SystemClock,
};
use teneral_store::{DiskFault, DiskOp, EmbeddedStore, Faults, Store};
use teneral_upgrade::*;

/// Long enough for any step on a busy machine; a test that needs it all has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a pause may last whose code hangs: so long that a busy machine has come to that code by then, and has moved
/// whoever is moved beside it.
pub(crate) const PAUSE: Duration = Duration::from_secs(3);

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a tokio runtime").block_on(future)
}

/// Waits until `done`, looking often.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// Holds whoever enters until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    entered: AtomicUsize,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn enter(&self) {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
    }

    pub(crate) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    pub(crate) fn await_entered(&self) {
        until("the gate was entered", || self.entered.load(Ordering::SeqCst) > 0);
    }
}

/// The functions of the code, as tests name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Create,
    Restore,
    Save,
    Downgrade,
    Handle,
    Drop,
}

type Hook = Arc<dyn Fn(u64) -> Result<(), Fault> + Send + Sync>;

/// One version of `counter`, with hooks.
pub(crate) struct Script {
    manifest: Manifest,
    contract: Arc<Contract>,
    hooks: Mutex<HashMap<At, Hook>>,
    calls: Arc<Mutex<Vec<String>>>,
    saves_as: Mutex<Option<Vec<u8>>>,
    /// How many bytes each `save` might give.
    saved_within: Mutex<Vec<usize>>,
}

static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({})", self.manifest.version)
    }
}

impl Script {
    fn new(manifest: Manifest, calls: Arc<Mutex<Vec<String>>>) -> Arc<Self> {
        let contract = Arc::new(Contract::new(&manifest));
        let (hooks, saves_as, saved_within) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { manifest, contract, hooks, calls, saves_as, saved_within })
    }

    /// From now on `at` does this with the state's count first.
    pub(crate) fn on(&self, at: At, hook: impl Fn(u64) -> Result<(), Fault> + Send + Sync + 'static) {
        self.hooks.lock().insert(at, Arc::new(hook));
    }

    pub(crate) fn hang_at(&self, at: At, gate: &Arc<Gate>) {
        let gate = Arc::clone(gate);
        self.on(at, move |_| {
            gate.enter();
            Ok(())
        });
    }

    pub(crate) fn fail_at(&self, at: At, kind: FaultKind, text: &'static str) {
        self.on(at, move |_| Err(Fault::new(kind, text)));
    }

    pub(crate) fn behave(&self) {
        self.hooks.lock().clear();
        *self.saves_as.lock() = None;
    }

    pub(crate) fn lie_in_save(&self, bytes: impl Into<Vec<u8>>) {
        *self.saves_as.lock() = Some(bytes.into());
    }

    /// How many bytes each `save` so far might give.
    pub(crate) fn saved_within(&self) -> Vec<usize> {
        self.saved_within.lock().clone()
    }

    fn enter(&self, at: At, count: u64) -> Result<(), Fault> {
        let hook = self.hooks.lock().get(&at).cloned();
        hook.map_or(Ok(()), |hook| hook(count))
    }

    fn say(&self, what: &str) {
        self.calls.lock().push(format!("{} {what}", self.manifest.version));
    }
}

fn encode(schema: u32, count: u64) -> Vec<u8> {
    format!("{schema}:{count}").into_bytes()
}

// Wrong bytes and wrong schemas are noticed, as the real codec notices them.
fn decode(schema: u32, bytes: &[u8]) -> Result<u64, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let count = text.strip_prefix(&format!("{schema}:")).and_then(|count| count.parse().ok());
    count.ok_or_else(|| Fault::new(FaultKind::Decode, format!("{text:?} is no state of schema {schema}")))
}

/// The provider side: a script that instances can hold.
#[derive(Debug, Clone)]
pub(crate) struct Code(pub(crate) Arc<Script>);

impl Code {
    fn instance(&self, count: u64) -> Box<dyn Behaviour> {
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        Box::new(Instance { code: self.clone(), count, number })
    }
}

impl Provider for Code {
    fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.0.contract
    }

    fn digest(&self) -> Digest {
        digest(&self.0.manifest)
    }

    fn create(&self, _: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        self.0.say("create");
        self.0.enter(At::Create, 0)?;
        Ok(self.instance(0))
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        self.0.say(&format!("restore {schema}"));
        let own = self.0.manifest.state.schema;
        let known = self.0.manifest.state.from.iter().map(|entry| entry.schema);
        if !known.chain([own]).any(|known| known == schema) {
            return Err(Fault::new(FaultKind::Schema, format!("no step from schema {schema} to {own}")));
        }
        let count = decode(schema, state)?;
        self.0.enter(At::Restore, count)?;
        Ok(self.instance(count))
    }

    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        self.0.say(&format!("downgrade {to_schema}"));
        let count = decode(self.0.manifest.state.schema, state)?;
        self.0.enter(At::Downgrade, count)?;
        Ok(encode(to_schema, count))
    }

    fn json(&self, _: Json<'_>) -> Result<JsonDone, Fault> {
        Err(Fault::new(FaultKind::Denied, "no JSON here"))
    }
}

struct Instance {
    code: Code,
    count: u64,
    /// Never saved: tells a kept instance from a restored one.
    number: u64,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.code.0.enter(At::Drop, self.count).expect("a destructor has nobody to tell");
    }
}

impl Behaviour for Instance {
    fn started(&mut self, _: Why, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Ok(())
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        match call.index {
            0 => self.count += 1,
            1 => {
                let waiting = call.waiting.ok_or_else(|| Fault::new(FaultKind::Protocol, "nobody asks"))?;
                let answer = format!("{} {} {}", self.code.0.manifest.version, self.count, self.number);
                effects.reply(waiting.call, waiting.shape, answer.as_bytes())?;
            }
            2 => return Err(Fault::new(FaultKind::Failed, "told to fail")),
            3 => return Err(Fault::new(FaultKind::Panic, "told to panic")),
            _ => self.code.0.enter(At::Handle, self.count)?,
        }
        Ok(())
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        self.code.0.say("save");
        self.code.0.saved_within.lock().push(bytes_max);
        self.code.0.enter(At::Save, self.count)?;
        let lie = self.code.0.saves_as.lock().clone();
        Ok(lie.unwrap_or_else(|| encode(self.code.0.manifest.state.schema, self.count)))
    }
}

/// What an actor answers of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) version: String,
    pub(crate) count: u64,
    pub(crate) instance: u64,
}

/// Scripts by version, with refusals by step.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    scripts: Mutex<BTreeMap<semver::Version, Arc<Script>>>,
    pub(crate) refuse: Mutex<Option<(Step, Refused)>>,
    pub(crate) verify_gate: Mutex<Option<Arc<Gate>>>,
    /// They are programs, if this is there.
    pub(crate) programs: Mutex<Option<Programs>>,
}

/// The programs that were started for trials.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) starts: Vec<semver::Version>,
    tried: BTreeMap<semver::Version, Arc<OnTrial>>,
}

/// A program that was started for a trial, and says that it has ended when a test says so.
#[derive(Debug)]
struct OnTrial {
    code: Code,
    ended: Mutex<Option<How>>,
}

impl Tried for OnTrial {
    fn code(&self) -> Arc<dyn Provider> {
        Arc::new(self.code.clone())
    }

    fn ended(&self) -> Option<How> {
        *self.ended.lock()
    }

    fn end(&self) {}

    fn output(&self) -> String {
        String::new()
    }
}

impl Shelf {
    fn code(&self, text: &semver::Version) -> Result<Code, Refused> {
        let found = self.scripts.lock().get(text).cloned();
        let missing = || Refused { code: "STORE-MISSING".to_owned(), cause: "gone".to_owned(), hint: String::new() };
        found.map(Code).ok_or_else(missing)
    }

    /// The program of that version that was started last has ended.
    pub(crate) fn end_program(&self, version: &semver::Version, how: How) {
        let programs = self.programs.lock();
        let tried = programs.as_ref().and_then(|programs| programs.tried.get(version));
        *tried.expect("it was started").ended.lock() = Some(how);
    }

    fn refused_at(&self, step: Step) -> Result<(), Refused> {
        match &*self.refuse.lock() {
            Some((at, refused)) if *at == step => Err(refused.clone()),
            _ => Ok(()),
        }
    }
}

impl Artifacts for Shelf {
    fn kinds(&self) -> Result<Vec<String>, Refused> {
        Ok(vec!["counter".to_owned()])
    }

    fn releases(&self, kind: &str) -> Result<Vec<Released>, Refused> {
        let scripts = self.scripts.lock();
        let of_kind = scripts.values().filter(|script| script.manifest.kind == kind);
        let released = |script: &Arc<Script>| Released {
            version: script.manifest.version.clone(),
            digest: digest(&script.manifest),
            manifest: Ok(script.manifest.clone()),
        };
        Ok(of_kind.map(released).collect())
    }

    fn open<'a>(&'a self, release: &'a ReleaseRef) -> Box<dyn Artifact + 'a> {
        Box::new(Book { shelf: self, release })
    }
}

/// One release taken from the shelf.
struct Book<'a> {
    shelf: &'a Shelf,
    release: &'a ReleaseRef,
}

impl Artifact for Book<'_> {
    fn verify(&mut self) -> Result<(), Refused> {
        let gate = self.shelf.verify_gate.lock().clone();
        gate.iter().for_each(|gate| gate.enter());
        self.shelf.refused_at(Step::Verify)
    }

    fn check(&mut self) -> Result<Manifest, Refused> {
        self.shelf.refused_at(Step::Check)?;
        self.shelf.code(&self.release.version).map(|code| code.0.manifest.clone())
    }

    fn lend(&mut self) -> Result<Lend, Refused> {
        Ok(if self.shelf.programs.lock().is_some() { Lend::Program } else { Lend::Linked })
    }

    fn try_out(&mut self, _: TrialBounds, _: &dyn Fn() -> bool) -> Result<Arc<dyn Tried>, Untried> {
        let version = self.release.version.clone();
        let tried = Arc::new(OnTrial { code: self.shelf.code(&version)?, ended: Mutex::default() });
        let mut programs = self.shelf.programs.lock();
        let programs = programs.as_mut().expect("they are programs");
        programs.starts.push(version.clone());
        programs.tried.insert(version, Arc::clone(&tried));
        Ok(tried)
    }

    fn load(&mut self) -> Result<Arc<dyn Provider>, Refused> {
        self.shelf.refused_at(Step::Load)?;
        Ok(Arc::new(self.shelf.code(&self.release.version)?))
    }
}

struct NoSpawns;

impl Providers for NoSpawns {
    fn provider(&self, kind: &str, _: Option<&semver::Version>) -> Result<Arc<dyn Provider>, Fault> {
        Err(Fault::new(FaultKind::Denied, format!("no {kind} here")))
    }

    fn quarantined(&self, _: teneral_runtime::Quarantined) {}

    fn released(&self, _: Digest) {}
}

/// A disk that is full for as many operations as it is told.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) full: AtomicU64,
    /// Once.
    pub(crate) loses_a_sync: AtomicBool,
    /// Whatever is to be kept from now on waits here.
    pub(crate) hangs: Mutex<Option<Arc<Gate>>>,
}

impl Faults for Disk {
    fn next(&self, op: DiskOp) -> Option<DiskFault> {
        let gate = if op == DiskOp::Sync { self.hangs.lock().clone() } else { None };
        gate.iter().for_each(|gate| gate.enter());
        if op == DiskOp::Sync && self.loses_a_sync.swap(false, Ordering::SeqCst) {
            return Some(DiskFault::Io);
        }
        let less = |left: u64| left.checked_sub(1);
        let full = op != DiskOp::Read && self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        full.then_some(DiskFault::Full)
    }
}

/// All of it together.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    pub(crate) upgrades: Upgrades,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
}

pub(crate) const HANG_AFTER: Duration = Duration::from_millis(300);
pub(crate) const THREADS_LOST_MAX: usize = 3;

impl House {
    /// A host with these versions on its shelf.
    pub(crate) fn with(manifests: impl IntoIterator<Item = Manifest>) -> Self {
        let clock: Arc<dyn Clock> = SystemClock::new();
        let (calls, shelf, disk) = (Arc::default(), Arc::new(Shelf::default()), Arc::new(Disk::default()));
        let runtime = Runtime::new(RuntimeConfig::new(), Spawn::Pool, Arc::clone(&clock), Arc::new(NoSpawns));
        let store = Arc::new(EmbeddedStore::in_memory(disk.clone()).expect("a store in memory"));
        let config =
            UpgradeConfig { hang_after: HANG_AFTER, threads_lost_max: THREADS_LOST_MAX, ..UpgradeConfig::new() };
        let upgrades = Upgrades::new(
            runtime.clone(),
            Arc::clone(&shelf) as Arc<dyn Artifacts>,
            Arc::clone(&store) as Arc<dyn Store>,
            clock,
            config,
            TrialConfig::default(),
        );
        let house = Self { runtime, upgrades, store, disk, shelf, calls };
        manifests.into_iter().for_each(|manifest| drop(house.shelve(manifest)));
        house
    }

    pub(crate) fn shelve(&self, manifest: Manifest) -> Arc<Script> {
        let script = Script::new(manifest, Arc::clone(&self.calls));
        self.shelf.scripts.lock().insert(script.manifest.version.clone(), Arc::clone(&script));
        script
    }

    pub(crate) fn script(&self, text: &str) -> Arc<Script> {
        Arc::clone(&self.shelf.scripts.lock()[&version(text)])
    }

    /// Starts `counter/{key}` on this version, with a count.
    pub(crate) fn start(&self, key: &str, text: &str, count: u64) -> ActorRef {
        self.start_with(key, text, count, ActorOptions::permanent())
    }

    /// As [`House::start`], with its own way to live.
    pub(crate) fn start_with(&self, key: &str, text: &str, count: u64, options: ActorOptions) -> ActorRef {
        let provider = Arc::new(Code(self.script(text)));
        let args = StartArgs { shape: Fingerprint(100), bytes: Vec::new() };
        let addr = addr(&format!("counter/{key}"));
        let actor = self.runtime.start(Start { addr, provider, args, options }).expect("it starts");
        (0..count).for_each(|_| tell(&actor, "Add"));
        assert_eq!(see(&actor).count, count);
        actor
    }

    pub(crate) fn actor(&self, key: &str) -> ActorRef {
        self.runtime.actor(&addr(&format!("counter/{key}"))).expect("the actor")
    }

    pub(crate) fn request(&self, keys: &[&str], text: &str) -> Request {
        let addrs: Vec<Addr> = keys.iter().map(|key| addr(&format!("counter/{key}"))).collect();
        let mut request = Request::new("operator", addrs, &version(text));
        request.options.downgrades = Downgrades::Allow;
        request.options.max_pause = DEADLINE;
        request
    }

    /// Moves one actor and hands back its entry.
    pub(crate) fn moved(&self, key: &str, text: &str) -> ActorReport {
        self.applied(&self.request(&[key], text))
    }

    /// Runs a request for one actor and hands back its entry.
    pub(crate) fn applied(&self, request: &Request) -> ActorReport {
        let report = self.upgrades.upgrade(request).expect("the upgrade begins");
        assert_eq!(report.actors.len(), 1);
        report.actors[0].clone()
    }
}

fn tag(name: &str) -> Tag {
    Tag { variant: variant_id(name), fingerprint: Fingerprint(7) }
}

/// Sends a message, waiting for room.
pub(crate) fn tell(actor: &ActorRef, name: &str) {
    block_on(actor.tell_raw(tag(name), Vec::new())).expect("accepted");
}

/// Asks the actor what it is, after everything it was told before.
pub(crate) fn see(actor: &ActorRef) -> Seen {
    try_see(actor, DEADLINE).expect("an answer")
}

pub(crate) fn try_see(actor: &ActorRef, timeout: Duration) -> Result<Seen, AskError> {
    let (_, bytes) = block_on(actor.ask_raw(tag("Get"), Vec::new(), Fingerprint(9), timeout))?;
    let text = String::from_utf8(bytes).expect("text");
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| parts[at].parse().expect("a number");
    Ok(Seen { version: parts[0].to_owned(), count: number(1), instance: number(2) })
}
