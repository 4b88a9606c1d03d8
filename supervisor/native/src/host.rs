//! How a native actor becomes an actor: a [`Provider`] whose turns hand work to tokio.
//!
//! A turn decodes the message, takes a place among the work under way and what is owed with it, and returns. When no
//! place is left, the cell takes no message until there is one: what waits, waits in its mailbox, whose bound holds
//! senders up. One sender's messages wait for their turns (`line`), each with its place. The tokio is the host's own:
//! what blocks there strands nobody else.

use crate::call::{Call, Refused, Seat};
use crate::line::{Before, Lines, Order, Turn};
use crate::streams::Streams;
use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use teneral_contract::manifest::ManifestError;
use teneral_contract::parts::{BodyParts, ManifestParts, StateParts};
use teneral_contract::shape::{Node, Shape, fingerprint, fnv128};
use teneral_contract::wire::VariantInfo;
use teneral_contract::{AskError, Contract, Digest, Manifest, Message};
use teneral_native_api::KIND;
use teneral_runtime::ports::{self, Behaviour, Body, Cause, Effects, Fault, FaultKind, Json, JsonDone, Provider, Why};
use teneral_runtime::{ActorOptions, Start, StartArgs};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, watch};

/// An asynchronous actor of the host. One value handles all messages: those of different senders side by side, those of
/// one sender in the order they were sent.
pub trait Native: Send + Sync + 'static {
    /// What it handles: an enum that derives `Message`.
    type Message: Message;

    /// When the next message of this one's sender may begin. Without a word: when this one's work has ended.
    fn order(&self, message: &Self::Message) -> Order {
        let _ = message;
        Order::Finished
    }

    /// One message. It may await whatever it needs; it is dropped when whoever asked waits no longer, and when the
    /// actor or the host stops. Whoever asked and got no reply is told so.
    ///
    /// # Errors
    /// [`Refused`]: what whoever asked is told instead of a reply.
    fn handle(&self, message: Self::Message, call: &mut Call) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// Bounds of each native actor.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Messages whose work is under way; more wait in the mailbox.
    pub work_max: usize,
    /// Streams that go on for actors: followed files, wake-ups.
    pub streams_max: usize,
    /// Threads for what blocks: files.
    pub blocking_threads_max: usize,
}

impl Limits {
    /// 256 messages at work, 4,096 streams, 32 threads.
    #[must_use]
    pub const fn standard() -> Self {
        Self { work_max: 256, streams_max: 4096, blocking_threads_max: 32 }
    }
}

/// Where native actors work. Dropped, all work is.
#[derive(Debug)]
pub struct Host {
    /// `None` while it is dropped.
    tokio: Option<Runtime>,
    quiet: watch::Sender<bool>,
    limits: Limits,
}

impl Host {
    /// A tokio for native actors.
    ///
    /// # Errors
    /// [`NotNative::NoThread`].
    pub fn new(limits: Limits) -> Result<Self, NotNative> {
        let mut tokio = Builder::new_multi_thread();
        tokio.worker_threads(1).max_blocking_threads(limits.blocking_threads_max.max(1));
        let tokio = tokio.thread_name("teneral-native").enable_all().build().map_err(NotNative::NoThread)?;
        Ok(Self { tokio: Some(tokio), quiet: watch::Sender::new(false), limits })
    }

    /// A native actor, to be started as `native/{name}`.
    ///
    /// # Errors
    /// [`NotNative`]: its messages cannot be described, or the name is none.
    pub fn start_of<N: Native>(&self, name: &str, native: N) -> Result<Start, NotNative> {
        let addr = teneral_contract::Addr::new(&format!("{KIND}/{name}")).map_err(NotNative::Name)?;
        let Some(tokio) = self.tokio.as_ref().map(|tokio| tokio.handle().clone()) else {
            return Err(NotNative::Ended);
        };
        let manifest = manifest::<N::Message>().map_err(NotNative::Messages)?;
        let provider = NativeProvider {
            contract: Arc::new(Contract::new(&manifest)),
            digest: digest(name),
            manifest,
            native: Arc::new(native),
            work: Work { tokio, quiet: self.quiet.subscribe(), limits: self.limits },
        };
        let args = StartArgs { shape: <() as Shape>::FINGERPRINT, bytes: Vec::new() };
        Ok(Start { addr, provider: Arc::new(provider), args, options: ActorOptions::permanent() })
    }

    /// Ends what goes on by itself: followed files and wake-ups. What is asked for is still done.
    pub fn quiet(&self) {
        self.quiet.send_replace(true);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            // Not waited for: whoever drops may be on a tokio itself.
            tokio.shutdown_background();
        }
    }
}

/// Why there is no such native actor.
#[derive(Debug, thiserror::Error)]
pub enum NotNative {
    /// It cannot be called so.
    #[error("a native actor cannot be called so")]
    Name(#[source] teneral_contract::addr::AddrError),
    /// Its messages cannot be described.
    #[error("its messages cannot be described")]
    Messages(#[source] ManifestError),
    /// The machine gave no thread to work on.
    #[error("no thread to work on")]
    NoThread(#[source] std::io::Error),
    /// The HTTP client cannot trust what a file says.
    #[error("{path:?} has no CA certificates to trust: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The host has ended.
    #[error("the host has ended")]
    Ended,
}

fn manifest<M: Message>() -> Result<Manifest, ManifestError> {
    const NOTHING: &Node = <() as Shape>::NODE;
    let state = StateParts { schema: 1, node: NOTHING, fingerprint: fingerprint(NOTHING), from: &[], down: &[] };
    let parts = ManifestParts {
        abi: [0, 0],
        target: std::env::consts::ARCH,
        panic: "unwind",
        compiler: "the host's own",
        kind: KIND,
        version: env!("CARGO_PKG_VERSION"),
        state,
        args: BodyParts::of::<()>(),
        messages: M::VARIANTS,
        requires: &[],
        capabilities: &[],
        deterministic: false,
        blocking: false,
    };
    parts.manifest()
}

/// No artifact has it: the name's hash, twice.
fn digest(name: &str) -> Digest {
    let half = fnv128(name.as_bytes()).to_be_bytes();
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&half);
    digest[16..].copy_from_slice(&half);
    Digest(digest)
}

/// Where and within which bounds an instance works.
#[derive(Debug, Clone)]
struct Work {
    tokio: Handle,
    quiet: watch::Receiver<bool>,
    limits: Limits,
}

struct NativeProvider<N> {
    manifest: Manifest,
    contract: Arc<Contract>,
    digest: Digest,
    native: Arc<N>,
    work: Work,
}

impl<N> fmt::Debug for NativeProvider<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeProvider({})", std::any::type_name::<N>())
    }
}

fn denied<T>(what: &str) -> Result<T, Fault> {
    Err(Fault::new(FaultKind::Denied, format!("an actor of the host {what}")))
}

impl<N: Native> Provider for NativeProvider<N> {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn create(&self, _: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        let Work { tokio, quiet, limits } = self.work.clone();
        Ok(Box::new(Instance {
            native: Arc::clone(&self.native),
            places: Arc::new(Semaphore::new(limits.work_max.max(1))),
            streams: Streams::new(limits.streams_max, tokio.clone(), quiet),
            lines: Lines::new(),
            tokio,
            alive: watch::Sender::new(()),
        }))
    }

    fn restore(&self, _: u32, _: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        denied("keeps no state")
    }

    fn downgrade(&self, _: &[u8], _: u32) -> Result<Vec<u8>, Fault> {
        denied("keeps no state")
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        match job {
            Json::Message { name, json } => message_json::<N::Message>(name, json),
            Json::Reply { variant, body } => reply_json::<N::Message>(variant, body),
            Json::Args(_) | Json::State(_) | Json::StateFrom(_) => denied("keeps no state"),
        }
    }
}

fn variant<M: Message>(is_it: impl Fn(&VariantInfo) -> bool) -> Result<&'static VariantInfo, Fault> {
    let found = M::VARIANTS.iter().find(|known| is_it(known));
    found.ok_or_else(|| Fault::new(FaultKind::UnknownMessage, "no such message"))
}

fn message_json<M: Message>(name: &str, json: &str) -> Result<JsonDone, Fault> {
    let known = variant::<M>(|known| known.name == name)?;
    let body = (known.from_json)(json).map_err(|error| Fault::new(FaultKind::Decode, format!("{name}: {error}")))?;
    let reply = known.reply.map(|reply| reply.fingerprint);
    Ok(JsonDone::Message { tag: known.tag, body, reply })
}

fn reply_json<M: Message>(id: u64, body: Body<'_>) -> Result<JsonDone, Fault> {
    let known = variant::<M>(|known| known.tag.variant == id)?;
    let reply = known.reply.ok_or_else(|| Fault::new(FaultKind::Schema, "a message without a reply"))?;
    let text = (reply.to_json)(body.shape, body.bytes);
    text.map(JsonDone::Text).map_err(|error| Fault::new(FaultKind::Decode, error.to_string()))
}

struct Instance<N> {
    native: Arc<N>,
    places: Arc<Semaphore>,
    streams: Arc<Streams>,
    lines: Lines,
    tokio: Handle,
    /// Dropped with the instance: then all its work is.
    alive: watch::Sender<()>,
}

impl<N> Drop for Instance<N> {
    fn drop(&mut self) {
        self.streams.end_all();
    }
}

impl<N: Native> Behaviour for Instance<N> {
    fn started(&mut self, _: Why, _: &ports::Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Ok(())
    }

    fn handle(&mut self, call: &ports::Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let Cause::Message = call.cause else { return Ok(()) };
        let message = N::Message::decode(call.index, call.tag.fingerprint, call.body);
        let message = message.map_err(|error| Fault::new(FaultKind::Decode, error.to_string()))?;
        let later = effects.later(call.sender)?;
        // Waited for where two that ended at once have both woken the cell.
        let seat = Seat::of(Arc::clone(&self.places));
        if self.places.available_permits() == 0 && !cfg!(feature = "bug-m17") {
            later.hold_up();
        }
        let (before, turn) = match (call.sender, later.shape()) {
            (Some(sender), _) => self.lines.of_actor(sender),
            (None, None) => self.lines.told(),
            (None, Some(_)) => self.lines.asked(),
        };
        let before = before.filter(|_| !cfg!(feature = "bug-m18"));
        let call = Call::new(later, call.sender.cloned(), Arc::clone(&self.streams), seat);
        let work = work(Arc::clone(&self.native), message, call, self.alive.subscribe(), before, turn);
        self.tokio.spawn(work);
        Ok(())
    }

    fn save(&self, _: usize) -> Result<Vec<u8>, Fault> {
        denied("keeps no state")
    }
}

async fn work<N: Native>(
    native: Arc<N>,
    message: N::Message,
    mut call: Call,
    mut alive: watch::Receiver<()>,
    mut before: Option<Before>,
    turn: Turn,
) {
    let (until, mut turn) = (call.remaining(), Some(turn));
    let done = tokio::select! {
        done = in_time(until, handled(&*native, message, &mut call, before.as_mut(), &mut turn)) => done,
        // Never sent to: it ends with the instance.
        _ = alive.changed() => Err(AskError::Stopped),
    };
    if let Err(why) = done {
        call.refuse(why);
    }
    drop(call);
    // Given up before it was its turn: the next one still waits for whoever is at work.
    if let (Some(before), Some(_)) = (&mut before, &turn) {
        before.over().await;
    }
}

/// One message, when it is its turn and has its place; then it takes its turn.
async fn handled<N: Native>(
    native: &N,
    message: N::Message,
    call: &mut Call,
    before: Option<&mut Before>,
    turn: &mut Option<Turn>,
) -> Result<(), AskError> {
    if let Some(before) = before {
        before.over().await;
    }
    call.seated().await;
    // Whoever asked has heard so, though no timer has fired here yet.
    if call.remaining().is_some_and(|left| left.is_zero()) {
        return Err(AskError::Timeout);
    }
    let turn = turn.take();
    if native.order(&message) == Order::Finished {
        call.has(turn);
        return native.handle(message, call).await.map_err(AskError::from);
    }
    let mut handling = pin!(native.handle(message, call));
    let begun = poll_fn(|context| Poll::Ready(handling.as_mut().poll(context))).await;
    drop(turn);
    let done = match begun {
        Poll::Ready(done) => done,
        Poll::Pending => handling.await,
    };
    done.map_err(AskError::from)
}

async fn in_time(until: Option<Duration>, work: impl Future<Output = Result<(), AskError>>) -> Result<(), AskError> {
    match until {
        None => work.await,
        Some(until) => tokio::time::timeout(until, work).await.map_err(|_| AskError::Timeout)?,
    }
}
