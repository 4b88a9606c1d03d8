//! Code without a library: an actor whose handler is a closure, and a runtime around it.
//!
//! Bodies are a `u64`, little-endian, unless a test says otherwise. The state is bytes; what it means is the test's
//! business.

#![expect(dead_code, reason = "each test binary uses a part of it")]

use semver::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use teneral_contract::manifest::{BodyEntry, MessageEntry, SchemaEntry, StateEntry};
use teneral_contract::shape::{fnv128, variant_id};
use teneral_contract::{Addr, AskError, Contract, Digest, Fingerprint, Manifest, Tag};
use teneral_runtime::ports::{Behaviour, Body, Call, Cause, Effects, Fault, FaultKind, Json, JsonDone, Provider, Why};
use teneral_runtime::{
    ActorOptions, ActorRef, Providers, Runtime, RuntimeConfig, Spawn, Start, StartArgs, SystemClock,
};

/// Long enough for a busy machine; a test that works never waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) type State = Vec<u8>;
type Handle = dyn Fn(&mut State, &Call<'_>, &mut dyn Effects) -> Result<(), Fault> + Send + Sync;
type Started = dyn Fn(&mut State, Why, &mut dyn Effects) -> Result<(), Fault> + Send + Sync;
type Save = dyn Fn(&State) -> Result<Vec<u8>, Fault> + Send + Sync;
type Create = dyn Fn(&[u8]) -> Result<State, Fault> + Send + Sync;
type Restore = dyn Fn(u32, &[u8]) -> Result<State, Fault> + Send + Sync;

/// A version of a kind, as closures.
pub(crate) struct Code {
    manifest: Manifest,
    contract: Arc<Contract>,
    handle: Arc<Handle>,
    started: Arc<Started>,
    save: Arc<Save>,
    create: Arc<Create>,
    restore: Arc<Restore>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({} {})", self.manifest.kind, self.manifest.version)
    }
}

/// The shape of bodies in tests: by a name, so that two versions can differ.
pub(crate) const fn shape(name: &str) -> Fingerprint {
    Fingerprint(fnv128(name.as_bytes()))
}

/// A message in its usual shape.
pub(crate) const fn tag(name: &str) -> Tag {
    Tag { variant: variant_id(name), fingerprint: shape(name) }
}

pub(crate) fn body(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

pub(crate) fn addr(path: &str) -> Addr {
    Addr::new(path).expect("a test's addresses are right")
}

pub(crate) fn failed(text: &str) -> Fault {
    Fault::new(FaultKind::Failed, text)
}

impl Code {
    /// A version that understands nothing yet.
    pub(crate) fn new(kind: &str, version: &str) -> Self {
        let any = || serde_json::Value::Null;
        let manifest = Manifest {
            format: 1,
            abi: [1, 0],
            target: "test".into(),
            panic: "unwind".into(),
            compiler: "none".into(),
            kind: kind.into(),
            version: version.parse().expect("a version"),
            state: StateEntry { schema: 1, fingerprint: shape("state"), shape: any(), from: vec![], down: vec![] },
            args: BodyEntry { fingerprint: shape("args"), shape: any(), also: vec![] },
            messages: vec![],
            requires: vec![],
            capabilities: vec![],
            deterministic: false,
            blocking: false,
            program: None,
        };
        Self {
            contract: Arc::new(Contract::new(&manifest)),
            manifest,
            handle: Arc::new(|_, _, _| Ok(())),
            started: Arc::new(|_, _, _| Ok(())),
            save: Arc::new(|state| Ok(state.clone())),
            create: Arc::new(|args| Ok(args.to_vec())),
            restore: Arc::new(|_, state| Ok(state.to_vec())),
        }
    }

    pub(crate) fn schema(mut self, schema: u32, from: &[u32]) -> Self {
        self.manifest.state.schema = schema;
        let from = from.iter().map(|schema| SchemaEntry { schema: *schema, fingerprint: shape("state") });
        self.manifest.state.from = from.collect();
        self
    }

    pub(crate) fn blocking(mut self) -> Self {
        self.manifest.blocking = true;
        self
    }

    /// Understands messages of these names, as tells.
    pub(crate) fn tells(self, names: &[&str]) -> Self {
        names.iter().fold(self, |code, name| code.message(name, shape(name), &[], None))
    }

    /// Understands a request and replies in shape `reply`.
    pub(crate) fn asks(self, name: &str, reply: &str) -> Self {
        self.message(name, shape(name), &[], Some((shape(reply), &[])))
    }

    pub(crate) fn message(
        mut self,
        name: &str,
        own: Fingerprint,
        also: &[Fingerprint],
        reply: Option<(Fingerprint, &[Fingerprint])>,
    ) -> Self {
        let any = || serde_json::Value::Null;
        let reply = reply.map(|(fingerprint, also)| BodyEntry { fingerprint, shape: any(), also: also.to_vec() });
        let entry = MessageEntry { name: name.into(), fingerprint: own, shape: any(), also: also.to_vec(), reply };
        self.manifest.messages.push(entry);
        self.contract = Arc::new(Contract::new(&self.manifest));
        self
    }

    pub(crate) fn handle(
        mut self,
        handle: impl Fn(&mut State, &Call<'_>, &mut dyn Effects) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        self.handle = Arc::new(handle);
        self
    }

    pub(crate) fn started(
        mut self,
        started: impl Fn(&mut State, Why, &mut dyn Effects) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        self.started = Arc::new(started);
        self
    }

    pub(crate) fn save(mut self, save: impl Fn(&State) -> Result<Vec<u8>, Fault> + Send + Sync + 'static) -> Self {
        self.save = Arc::new(save);
        self
    }

    pub(crate) fn create(mut self, create: impl Fn(&[u8]) -> Result<State, Fault> + Send + Sync + 'static) -> Self {
        self.create = Arc::new(create);
        self
    }

    pub(crate) fn restore(
        mut self,
        restore: impl Fn(u32, &[u8]) -> Result<State, Fault> + Send + Sync + 'static,
    ) -> Self {
        self.restore = Arc::new(restore);
        self
    }

    pub(crate) fn build(self) -> Arc<dyn Provider> {
        Arc::new(self)
    }

    fn instance(&self, state: State) -> Box<dyn Behaviour> {
        let (handle, started) = (Arc::clone(&self.handle), Arc::clone(&self.started));
        Box::new(Instance { state, handle, started, save: Arc::clone(&self.save) })
    }
}

impl Provider for Code {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        let hash = fnv128(format!("{} {}", self.manifest.kind, self.manifest.version).as_bytes());
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&hash.to_le_bytes());
        Digest(digest)
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        (self.create)(args.bytes).map(|state| self.instance(state))
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        (self.restore)(schema, state).map(|state| self.instance(state))
    }

    fn downgrade(&self, _: &[u8], _: u32) -> Result<Vec<u8>, Fault> {
        Err(Fault::new(FaultKind::Schema, "no downgrade"))
    }

    fn json(&self, _: Json<'_>) -> Result<JsonDone, Fault> {
        Err(Fault::new(FaultKind::Denied, "no JSON"))
    }
}

struct Instance {
    state: State,
    handle: Arc<Handle>,
    started: Arc<Started>,
    save: Arc<Save>,
}

impl Behaviour for Instance {
    fn started(&mut self, why: Why, _: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        (self.started)(&mut self.state, why, effects)
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        (self.handle)(&mut self.state, call, effects)
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let saved = (self.save)(&self.state)?;
        if saved.len() > bytes_max {
            return Err(Fault::new(FaultKind::Limit, format!("{} bytes of state", saved.len())));
        }
        Ok(saved)
    }
}

/// Versions that spawn effects find.
#[derive(Default)]
pub(crate) struct Shelf(pub(crate) Mutex<BTreeMap<String, Arc<dyn Provider>>>);

impl Providers for Shelf {
    fn provider(&self, kind: &str, _: Option<&Version>) -> Result<Arc<dyn Provider>, Fault> {
        let shelf = self.0.lock().expect("no test panics here");
        shelf.get(kind).cloned().ok_or_else(|| Fault::new(FaultKind::Denied, format!("no kind {kind}")))
    }

    fn quarantined(&self, _: teneral_runtime::Quarantined) {}

    fn released(&self, _: teneral_runtime::ports::Digest) {}
}

/// The bounds by default, but for those that a busy machine may come to: nothing is late, and nothing hangs.
pub(crate) fn config() -> RuntimeConfig {
    RuntimeConfig { hang_after: SOON, start_timeout: SOON, stop_timeout: SOON, ..RuntimeConfig::new() }
}

pub(crate) fn runtime() -> Runtime {
    runtime_with(config())
}

pub(crate) fn runtime_with(config: RuntimeConfig) -> Runtime {
    Runtime::new(config, Spawn::Pool, SystemClock::new(), Arc::new(Shelf::default()))
}

pub(crate) fn start(addr: &str, provider: &Arc<dyn Provider>) -> Start {
    Start {
        addr: self::addr(addr),
        provider: Arc::clone(provider),
        args: StartArgs { shape: shape("args"), bytes: vec![] },
        options: ActorOptions::permanent(),
    }
}

pub(crate) fn started(runtime: &Runtime, addr: &str, provider: &Arc<dyn Provider>) -> ActorRef {
    runtime.start(start(addr, provider)).expect("it starts")
}

/// Runs a future to its end, with a deadline against a test that hangs.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    tokio.block_on(async { tokio::time::timeout(SOON, future).await.expect("it ends soon") })
}

/// A number asked for and answered.
pub(crate) fn ask(actor: &ActorRef, name: &str, question: u64, reply: &str) -> Result<u64, AskError> {
    wait(actor.ask_raw(tag(name), body(question), shape(reply), SOON)).map(|(_, bytes)| number(&bytes))
}

/// A counter: `Add` adds to the state, `Get` replies the sum (in shape `Sum`).
pub(crate) fn counter(kind: &str, version: &str) -> Code {
    Code::new(kind, version).tells(&["Add"]).asks("Get", "Sum").create(|_| Ok(body(0))).handle(counting)
}

pub(crate) fn counting(state: &mut State, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
    match call.waiting {
        Some(waiting) => effects.reply(waiting.call, shape("Sum"), state),
        None => {
            *state = body(number(state) + number(call.body));
            Ok(())
        }
    }
}

/// What tests wait for and let go.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("no test panics here") = true;
        self.0.1.notify_all();
    }

    /// Blocks until it is open.
    pub(crate) fn pass(&self) {
        let closed = self.0.0.lock().expect("no test panics here");
        let (open, _) = self.0.1.wait_timeout_while(closed, SOON * 3, |open| !*open).expect("no test panics here");
        assert!(*open, "the gate opens in the end");
    }
}

/// A channel that handlers may share.
pub(crate) fn notes<T>() -> (Note<T>, Receiver<T>) {
    let (sender, receiver) = channel();
    (Note(Arc::new(Mutex::new(sender))), receiver)
}

pub(crate) struct Note<T>(Arc<Mutex<Sender<T>>>);

impl<T> Clone for Note<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Note<T> {
    pub(crate) fn send(&self, note: T) {
        // A test that has seen enough listens no longer.
        let _ = self.0.lock().expect("no test panics here").send(note);
    }
}

pub(crate) fn next<T>(notes: &Receiver<T>) -> T {
    notes.recv_timeout(SOON).expect("it comes soon")
}

pub(crate) fn caused_by(call: &Call<'_>) -> &'static str {
    match call.cause {
        Cause::Message => "message",
        Cause::Answer(_) => "answer",
        Cause::Timer => "timer",
        Cause::Started => "started",
        Cause::Undelivered(_) => "undelivered",
    }
}

/// Waits for a condition that other threads bring about.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}");
        std::thread::yield_now();
    }
}

pub(crate) fn start_timeout(start_timeout: Duration) -> RuntimeConfig {
    RuntimeConfig { start_timeout, ..config() }
}

pub(crate) fn mailbox(messages_max: usize, bytes_max: usize) -> RuntimeConfig {
    RuntimeConfig { mailbox_messages_max: messages_max, mailbox_bytes_max: bytes_max, ..config() }
}

/// Whether a future waits when it is polled; then it is dropped.
pub(crate) fn waits<T>(future: impl Future<Output = T>) -> bool {
    let mut future = Box::pin(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_pending()
}

impl Shelf {
    pub(crate) fn put(&self, provider: &Arc<dyn Provider>) {
        self.0.lock().expect("no test panics here").insert(provider.kind().to_owned(), Arc::clone(provider));
    }
}
