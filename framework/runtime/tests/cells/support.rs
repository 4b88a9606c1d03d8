//! A scripted actor kind and a world around it: what the runtime is held against, without any library.
//!
//! The probe's state is the log of what it handled, by which code, in which order. Everything unusual it does is a
//! closure of the test: a message [`Do`] names it, or a hook of the version runs it.

use crate::far::{FAR, away};
use parking_lot::{Condvar, Mutex};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use teneral_contract::manifest::{BodyEntry, MessageEntry, StateEntry};
use teneral_contract::{Addr, Contract, Fingerprint, Manifest, Request, Shape, Tag, Wire, codec};
use teneral_runtime::ports::{
    AskEffect, Behaviour, Body, Call, CallId, Cause, Checkpoints, Digest, Effects, Fault, FaultKind, Json, JsonDone,
    Provider, Why,
};
use teneral_runtime::{
    ActorOptions, ActorRef, Clock, Generation, LeaseRequest, Lost, ManualClock, PauseRefused, Providers, Quarantined,
    Quiesced, Restart, Runtime, RuntimeConfig, Spawn, Start, StartArgs, Status, SystemClock,
};

/// Long enough for anything that happens at all on a loaded machine.
pub(crate) const GENEROUS: Duration = Duration::from_secs(30);

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub(crate) struct Put {
    pub(crate) sender: u32,
    pub(crate) number: u32,
}

/// What was remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Log)]
pub(crate) struct Seen;

/// Runs a closure of the test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Log)]
pub(crate) struct Do {
    pub(crate) script: u32,
}

/// The same by another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Request)]
#[reply(Log)]
pub(crate) struct DoToo {
    pub(crate) script: u32,
}

/// The state of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
}

/// One message that a probe handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) struct Entry {
    pub(crate) sender: u32,
    pub(crate) number: u32,
    /// The major version of the code.
    pub(crate) by: u32,
}

impl Log {
    /// The numbers, in the order in which they were handled.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.entries.iter().map(|entry| entry.number).collect()
    }

    /// The numbers of one sender.
    pub(crate) fn of(&self, sender: u32) -> Vec<u32> {
        self.entries.iter().filter(|entry| entry.sender == sender).map(|entry| entry.number).collect()
    }
}

/// A probe in a turn.
pub(crate) struct Turn<'a> {
    pub(crate) log: &'a mut Log,
    pub(crate) call: &'a Call<'a>,
    pub(crate) effects: &'a mut dyn Effects,
    pub(crate) by: u32,
}

impl Turn<'_> {
    pub(crate) fn put(&mut self, sender: u32, number: u32) {
        self.log.entries.push(Entry { sender, number, by: self.by });
    }

    pub(crate) fn tell(&mut self, to: &Addr, message: &impl Wire) -> Result<(), Fault> {
        self.effects.tell(to.clone(), tag_of(message), &encoded(message))
    }

    pub(crate) fn after(&mut self, delay: Duration, message: &impl Wire) -> Result<(), Fault> {
        self.effects.after(delay, None, tag_of(message), &encoded(message)).map(drop)
    }

    /// Asks what it has seen; the answer is nothing to remember.
    pub(crate) fn ask(&mut self, to: &Addr, timeout: Duration) -> Result<(), Fault> {
        let then = Put { sender: 0, number: 0 };
        let (tag, body, then_body) = (tag_of(&Seen), encoded(&Seen), encoded(&then));
        let (reply, then, then_body, body) = (Log::FINGERPRINT, tag_of(&then), &then_body[..], &body[..]);
        self.effects.ask(AskEffect { to: to.clone(), tag, body, reply, timeout, then, then_body }).map(drop)
    }

    /// Answers whoever waits for this turn.
    pub(crate) fn reply(&mut self) -> Result<(), Fault> {
        match self.call.waiting {
            Some(waiting) => self.reply_to(waiting.call),
            None => Ok(()),
        }
    }

    pub(crate) fn reply_to(&mut self, call: CallId) -> Result<(), Fault> {
        self.effects.reply(call, Log::FINGERPRINT, &encoded(self.log))
    }
}

pub(crate) fn encoded(message: &impl Wire) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes).expect("it encodes");
    bytes
}

pub(crate) fn tag_of<M: Wire>(_: &M) -> Tag {
    M::tag()
}

pub(crate) fn failed(text: &str) -> Fault {
    Fault::new(FaultKind::Failed, text)
}

pub(crate) fn panicked(text: &str) -> Fault {
    Fault::new(FaultKind::Panic, text)
}

type Script = dyn Fn(&mut Turn<'_>) -> Result<(), Fault> + Send + Sync;
type Hook = dyn Fn() -> Result<(), Fault> + Send + Sync;
type Dropped = dyn Fn() + Send + Sync;
type Started = dyn Fn(Why, &mut Turn<'_>) -> Result<(), Fault> + Send + Sync;

/// Closures by number, shared by all versions of a world.
#[derive(Default)]
pub(crate) struct Scripts {
    scripts: Mutex<HashMap<u32, Arc<Script>>>,
    next: AtomicU32,
}

impl Scripts {
    pub(crate) fn add(&self, script: impl Fn(&mut Turn<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Do {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.scripts.lock().insert(number, Arc::new(script));
        Do { script: number }
    }
}

/// One version of the probe's code; its schema is its major version.
pub(crate) struct Probe {
    manifest: Manifest,
    contract: Arc<Contract>,
    scripts: Arc<Scripts>,
    create: Box<Hook>,
    restore: Box<Hook>,
    save: Arc<Hook>,
    started: Arc<Started>,
    dropped: Arc<Dropped>,
    /// How much of its state is kept here as well, where it lives elsewhere.
    pub(crate) checkpoints: Option<Checkpoints>,
}

impl Probe {
    fn new(kind: &str, major: u32, scripts: Arc<Scripts>) -> Self {
        let manifest = manifest(kind, major);
        Self {
            contract: Arc::new(Contract::new(&manifest)),
            manifest,
            scripts,
            create: Box::new(|| Ok(())),
            restore: Box::new(|| Ok(())),
            save: Arc::new(|| Ok(())),
            started: Arc::new(|_, _| Ok(())),
            dropped: Arc::new(|| {}),
            checkpoints: None,
        }
    }

    pub(crate) fn on_create(mut self, hook: impl Fn() -> Result<(), Fault> + Send + Sync + 'static) -> Self {
        self.create = Box::new(hook);
        self
    }

    /// What runs when an instance is dropped.
    pub(crate) fn on_drop(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.dropped = Arc::new(hook);
        self
    }

    /// The same code, declared to block.
    pub(crate) fn blocking(mut self) -> Self {
        self.manifest.blocking = true;
        self
    }

    pub(crate) fn on_restore(mut self, hook: impl Fn() -> Result<(), Fault> + Send + Sync + 'static) -> Self {
        self.restore = Box::new(hook);
        self
    }

    pub(crate) fn on_save(mut self, hook: impl Fn() -> Result<(), Fault> + Send + Sync + 'static) -> Self {
        self.save = Arc::new(hook);
        self
    }

    pub(crate) fn on_started(
        mut self,
        hook: impl Fn(Why, &mut Turn<'_>) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        self.started = Arc::new(hook);
        self
    }

    /// The same code with other messages.
    pub(crate) fn contract(mut self, change: impl FnOnce(&mut Vec<MessageEntry>)) -> Self {
        change(&mut self.manifest.messages);
        self.contract = Arc::new(Contract::new(&self.manifest));
        self
    }

    pub(crate) fn arc(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// One of this version, from a state of any.
    pub(crate) fn instance_of(&self, state: &[u8]) -> Box<dyn Behaviour> {
        self.instance(log_of(state))
    }

    fn instance(&self, log: Log) -> Box<dyn Behaviour> {
        let by = self.manifest.state.schema;
        let names = self.manifest.messages.iter().map(|message| message.name.clone()).collect();
        let (scripts, save, started) = (self.scripts.clone(), self.save.clone(), self.started.clone());
        let here = Box::new(Instance { log, by, names, scripts, save, started, dropped: self.dropped.clone() });
        if FAR { away(here) } else { here }
    }
}

pub(crate) fn log_of(state: &[u8]) -> Log {
    codec::decode_state::<(u32, Log)>(state).expect("a probe's state").1
}

fn manifest(kind: &str, major: u32) -> Manifest {
    let body = |fingerprint| BodyEntry { fingerprint, shape: serde_json::Value::Null, also: Vec::new() };
    let message = |tag: (&str, Fingerprint), reply: Option<Fingerprint>| MessageEntry {
        name: tag.0.to_owned(),
        fingerprint: tag.1,
        shape: serde_json::Value::Null,
        also: Vec::new(),
        reply: reply.map(body),
    };
    Manifest {
        format: 1,
        abi: [1, 0],
        target: "test".into(),
        panic: "unwind".into(),
        compiler: "test".into(),
        kind: kind.into(),
        version: Version::new(major.into(), 0, 0),
        state: StateEntry {
            schema: major,
            fingerprint: Fingerprint(major.into()),
            shape: serde_json::Value::Null,
            from: Vec::new(),
            down: Vec::new(),
        },
        args: body(Fingerprint(7)),
        messages: vec![
            message((Put::NAME, Put::FINGERPRINT), None),
            message((Seen::NAME, Seen::FINGERPRINT), Some(Log::FINGERPRINT)),
            message((Do::NAME, Do::FINGERPRINT), Some(Log::FINGERPRINT)),
            message((DoToo::NAME, DoToo::FINGERPRINT), Some(Log::FINGERPRINT)),
        ],
        requires: Vec::new(),
        capabilities: Vec::new(),
        deterministic: false,
        blocking: false,
        program: None,
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({} {})", self.manifest.kind, self.manifest.version)
    }
}

impl Provider for Probe {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        let mut digest = [0; 32];
        digest[0] = self.manifest.state.schema as u8;
        digest[1] = self.manifest.kind.len() as u8;
        Digest(digest)
    }

    fn checkpoints(&self) -> Option<Checkpoints> {
        self.checkpoints
    }

    fn create(&self, _: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        (self.create)()?;
        Ok(self.instance(Log::default()))
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        (self.restore)()?;
        let (written, log): (u32, Log) =
            codec::decode_state(state).map_err(|error| Fault::new(FaultKind::Decode, error.to_string()))?;
        assert_eq!(written, schema, "a state goes to code that knows its schema");
        Ok(self.instance(log))
    }

    fn downgrade(&self, _: &[u8], _: u32) -> Result<Vec<u8>, Fault> {
        Err(Fault::new(FaultKind::Schema, "not offered"))
    }

    fn json(&self, _: Json<'_>) -> Result<JsonDone, Fault> {
        Err(Fault::new(FaultKind::Denied, "not offered"))
    }
}

struct Instance {
    log: Log,
    by: u32,
    names: Vec<String>,
    scripts: Arc<Scripts>,
    save: Arc<Hook>,
    started: Arc<Started>,
    dropped: Arc<Dropped>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        (self.dropped)();
    }
}

impl Behaviour for Instance {
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        (self.started)(why, &mut Turn { log: &mut self.log, call, effects, by: self.by })
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let name = self.names.get(call.index as usize).cloned().unwrap_or_default();
        let mut turn = Turn { log: &mut self.log, call, effects, by: self.by };
        let decode = |error: teneral_contract::DecodeError| Fault::new(FaultKind::Decode, error.to_string());
        match name.as_str() {
            Put::NAME => {
                let Put { sender, number } = codec::decode(call.body).map_err(decode)?;
                turn.put(sender, number);
                Ok(())
            }
            Seen::NAME => turn.reply(),
            Do::NAME | DoToo::NAME => {
                let Do { script } = codec::decode(call.body).map_err(decode)?;
                let script = self.scripts.scripts.lock().get(&script).cloned();
                script.map_or(Err(failed("no such script")), |script| script(&mut turn))
            }
            _ if matches!(call.cause, Cause::Undelivered(_)) => {
                turn.put(8, turn.by);
                Ok(())
            }
            _ => Err(Fault::new(FaultKind::UnknownMessage, name)),
        }
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        (self.save)()?;
        let mut state = Vec::new();
        codec::encode_state(&(self.by, self.log.clone()), &mut state).expect("it encodes");
        if state.len() > bytes_max {
            return Err(Fault::new(FaultKind::Limit, format!("{} bytes", state.len())));
        }
        Ok(state)
    }
}

/// Holds whoever enters until the test opens it.
#[derive(Default)]
pub(crate) struct Gate {
    inside: Mutex<(u32, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Blocks until the gate is open.
    pub(crate) fn pass(&self) {
        let mut inside = self.inside.lock();
        inside.0 += 1;
        self.changed.notify_all();
        while !inside.1 {
            self.changed.wait(&mut inside);
        }
    }

    /// Waits until so many have come to the gate.
    pub(crate) fn wait_for(&self, visitors: u32) {
        let mut inside = self.inside.lock();
        while inside.0 < visitors {
            let timed_out = self.changed.wait_for(&mut inside, GENEROUS).timed_out();
            assert!(!timed_out, "{} of {visitors} came", inside.0);
        }
    }

    /// Lets everybody pass, now and later.
    pub(crate) fn open(&self) {
        self.inside.lock().1 = true;
        self.changed.notify_all();
    }
}

/// Opens its gate when it is dropped, so that a failing test leaves no thread behind.
pub(crate) struct Opens(pub(crate) Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// The code that spawn effects find: version by version.
#[derive(Default)]
pub(crate) struct Shelf {
    probes: Mutex<Vec<Arc<Probe>>>,
    /// What the runtime said of code that hung.
    pub(crate) quarantined: Mutex<Vec<Quarantined>>,
}

impl Providers for Shelf {
    fn provider(&self, kind: &str, version: Option<&Version>) -> Result<Arc<dyn Provider>, Fault> {
        let probes = self.probes.lock();
        let fits =
            |probe: &&Arc<Probe>| probe.kind() == kind && version.is_none_or(|version| probe.version() == version);
        let found = probes.iter().find(fits).cloned();
        found.map(|probe| probe as Arc<dyn Provider>).ok_or_else(|| failed("no such kind or version"))
    }

    fn quarantined(&self, quarantined: Quarantined) {
        self.quarantined.lock().push(quarantined);
    }

    fn released(&self, digest: teneral_runtime::ports::Digest) {
        self.quarantined.lock().retain(|quarantined| quarantined.digest != digest);
    }
}

/// A runtime with everything a test needs beside it.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) waits: tokio::runtime::Runtime,
}

impl World {
    /// On the machine's clock.
    pub(crate) fn new() -> Self {
        Self::with(SystemClock::new(), |_| {})
    }

    /// On a clock that the test drives.
    pub(crate) fn manual() -> (Self, Arc<ManualClock>) {
        let clock = ManualClock::new();
        (Self::with(clock.clone(), |_| {}), clock)
    }

    pub(crate) fn with(clock: Arc<dyn Clock>, change: impl FnOnce(&mut RuntimeConfig)) -> Self {
        // By default nothing is late, and nothing hangs, on a machine that is busy.
        let (hang_after, start_timeout, stop_timeout) = (GENEROUS, GENEROUS, GENEROUS);
        let mut config = RuntimeConfig { hang_after, start_timeout, stop_timeout, ..RuntimeConfig::new() };
        change(&mut config);
        let shelf = Arc::new(Shelf::default());
        let runtime = Runtime::new(config, Spawn::Pool, clock, shelf.clone());
        let waits = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Self { runtime, scripts: Arc::default(), shelf, waits: waits.expect("a runtime") }
    }

    /// A version of the probe of this world.
    pub(crate) fn probe(&self, major: u32) -> Probe {
        Probe::new("probe", major, self.scripts.clone())
    }

    /// A version of the probe that spawn effects find.
    pub(crate) fn shelve(&self, probe: Probe) -> Arc<Probe> {
        let probe = probe.arc();
        self.shelf.probes.lock().push(probe.clone());
        probe
    }

    pub(crate) fn start(&self, key: &str, probe: &Arc<Probe>) -> ActorRef {
        self.start_with(key, probe, ActorOptions::permanent())
    }

    pub(crate) fn start_with(&self, key: &str, probe: &Arc<Probe>, options: ActorOptions) -> ActorRef {
        self.runtime.start(start(key, probe, options)).expect("it starts")
    }

    pub(crate) fn script(&self, script: impl Fn(&mut Turn<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Do {
        self.scripts.add(script)
    }

    /// Waits for a future, but not for ever.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        let bounded = async { tokio::time::timeout(GENEROUS, future).await };
        self.waits.block_on(bounded).expect("it ends")
    }

    /// Where the test's futures run.
    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        self.waits.handle()
    }

    /// Starts a future beside the test.
    pub(crate) fn spawn<F: Future<Output: Send> + Send + 'static>(
        &self,
        future: F,
    ) -> tokio::task::JoinHandle<F::Output> {
        self.waits.spawn(future)
    }

    /// Has the actor remember a number, and waits until it has.
    pub(crate) fn put(&self, actor: &ActorRef, number: u32) {
        self.wait(actor.tell(Put { sender: 1, number })).expect("it is accepted");
        // Not the last: a timer may have come between the two.
        assert!(self.seen(actor).of(1).contains(&number));
    }

    /// What the actor remembers, by asking it.
    pub(crate) fn seen(&self, actor: &ActorRef) -> Log {
        self.wait(actor.ask(Seen, GENEROUS)).expect("it answers")
    }
}

pub(crate) fn addr(key: &str) -> Addr {
    Addr::new(&format!("probe/{key}")).expect("an address")
}

pub(crate) fn start(key: &str, probe: &Arc<Probe>, options: ActorOptions) -> Start {
    let args = StartArgs { shape: Fingerprint(7), bytes: Vec::new() };
    Start { addr: addr(key), provider: probe.clone(), args, options }
}

pub(crate) fn options(restart: Restart) -> ActorOptions {
    ActorOptions { restart, ..ActorOptions::permanent() }
}

/// A request for a pause with generous bounds.
pub(crate) fn lease(owner: &str, generation: Generation) -> LeaseRequest {
    LeaseRequest {
        owner: owner.into(),
        generation,
        quiesce_timeout: GENEROUS,
        max_pause: GENEROUS,
        on_lost: Box::new(|_: Lost| {}),
    }
}

/// Pauses an actor at its present generation.
pub(crate) fn pause(actor: &ActorRef) -> Result<Quiesced, PauseRefused> {
    actor.quiesce(lease("test", actor.info().generation))
}

/// Moves an actor to another version, its state with it.
pub(crate) fn upgrade(actor: &ActorRef, to: &Arc<Probe>) -> Generation {
    let mut paused = pause(actor).expect("it pauses");
    let schema = paused.provider().schema();
    let state = paused.save(64 << 20).expect("it saves");
    let made = paused.make(teneral_runtime::LeaseStep::Migrate, || to.restore(schema, &state)).expect("it migrates");
    paused.commit(made, to.clone(), Why::Upgraded).expect("it commits").generation
}

/// Waits until `met` holds: for what no event tells of.
pub(crate) fn eventually(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = Instant::now() + GENEROUS;
    while !met() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn is_stopped(actor: &ActorRef) -> bool {
    matches!(actor.info().status, Status::Stopped { .. })
}
