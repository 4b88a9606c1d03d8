//! The ports: what the runtime needs of code, clock and threads, and nothing else.
//!
//! The loader implements [`Provider`] and [`Behaviour`] over the C ABI, the testkit over actors linked in. So a cell
//! never knows where its code came from, and upgrade, restart, rollback and passivation are one thing: get an instance
//! of some version from a snapshot or from arguments.

use crate::later::Later;
use crate::remote::Remote;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, sync::Arc, time::Duration};
pub use teneral_contract::Digest;
use teneral_contract::{Addr, AskError, Contract, Fingerprint, Manifest, Tag};

/// One loaded version of one kind: the code side of the one path by which instances come to be.
///
/// Instances hold their provider (`Arc`), so a version lives as long as its last instance.
pub trait Provider: Send + Sync + fmt::Debug + 'static {
    /// What the code says of itself.
    fn manifest(&self) -> &Manifest;
    /// The contract map of the manifest, built once.
    fn contract(&self) -> &Arc<Contract>;
    /// Which artifact this is.
    fn digest(&self) -> Digest;

    /// A fresh instance. Pure: it has no effects. May be called on any thread, for several instances at once.
    ///
    /// # Errors
    /// [`Fault`]: the code's own error, a caught panic, or arguments it cannot read.
    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault>;

    /// An instance from a snapshot of `schema`, through the ladder. Pure. As [`Provider::create`].
    ///
    /// # Errors
    /// [`Fault`], as for `create`; [`FaultKind::Schema`] when there is no path from that schema.
    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault>;

    /// A snapshot of this version's schema as one of the older `to_schema`.
    ///
    /// # Errors
    /// [`FaultKind::Schema`] when the code offers no such step, else as for `create`.
    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault>;

    /// JSON in and out, through the code's own types.
    ///
    /// # Errors
    /// [`FaultKind::Denied`] when the code offers no JSON, [`FaultKind::Decode`] with the place in the JSON.
    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault>;

    /// Whether its instances live in another process: what hangs there is ended with that process, and nothing of it
    /// hangs here.
    fn is_elsewhere(&self) -> bool {
        false
    }

    /// How the host keeps what an instance of it does, so that its process may end without it. `None`: it does not.
    /// Only of instances that live elsewhere.
    fn checkpoints(&self) -> Option<Checkpoints> {
        None
    }

    /// The author's version.
    fn version(&self) -> &Version {
        &self.manifest().version
    }
    /// The actor kind.
    fn kind(&self) -> &str {
        &self.manifest().kind
    }
    /// The schema that this version saves and runs.
    fn schema(&self) -> u32 {
        self.manifest().state.schema
    }
}

/// How much is kept of an instance in another process, besides its last checkpoint: a state that was saved between two
/// messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoints {
    /// After so many messages there is a checkpoint; at least 1.
    pub messages_max: usize,
    /// After so many bytes of messages, and of what was done with them, there is one as well.
    pub bytes_max: usize,
    /// Whether the messages since the last one are handled anew by the next process: equal messages have equal effects
    /// then.
    pub replays: bool,
}

/// One instance: an actor's state with its code. Never used by two threads at once; dropped when it is no longer
/// needed.
///
/// After a [`FaultKind::Panic`] from a turn the instance is poisoned: it is only dropped. `save` reads, and a panic
/// there leaves the instance as it was.
pub trait Behaviour: Send + 'static {
    /// The first effects of an instance that goes live, before any queued message.
    ///
    /// # Errors
    /// As [`Behaviour::handle`].
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault>;

    /// One message, one turn. Effects are buffered in `effects`; the cell releases them only after `Ok`.
    ///
    /// # Errors
    /// [`FaultKind::Failed`]: the author's own error; [`FaultKind::Panic`]: poisoned; [`FaultKind::Decode`].
    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault>;

    /// The state as bytes of the code's schema; the instance is unchanged, whatever this returns.
    ///
    /// # Errors
    /// [`FaultKind::Limit`] past `bytes_max`; [`FaultKind::Failed`] and [`FaultKind::Panic`]: the code's own.
    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault>;

    /// The way to an instance in another process: its turns are handed over there, and neither [`Behaviour::started`]
    /// nor [`Behaviour::handle`] is called while it serves. `None`: it is here.
    fn remote(&mut self) -> Option<&mut dyn Remote> {
        None
    }
}

/// Encoded start arguments, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Their shape.
    pub shape: Fingerprint,
    /// Their bytes.
    pub bytes: &'a [u8],
}

/// Why an instance goes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The actor is new, or was reset to its start arguments.
    Fresh,
    /// An upgrade or a downgrade.
    Upgraded,
    /// A rollback after commit.
    RolledBack,
    /// Its supervisor restarted it.
    Restarted,
}

/// What a turn is about.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The message's place in the manifest; `u32::MAX` for `started` and for the word that nothing was delivered.
    pub index: u32,
    /// The shape of `body`; an older one is up-cast by the code.
    pub tag: Tag,
    /// The message.
    pub body: &'a [u8],
    /// Why this turn happens.
    pub cause: Cause<'a>,
    /// Who waits for a reply.
    pub waiting: Option<Waiting>,
    /// Who handles.
    pub this: &'a Addr,
    /// Which actor sent, if one did.
    pub sender: Option<&'a Addr>,
    /// W3C trace id, or zeros.
    pub trace_id: [u8; 16],
}

/// Why a turn happens.
#[derive(Debug, Clone)]
pub enum Cause<'a> {
    /// A message from outside or from another actor.
    Message,
    /// The answer to an ask, or why there is none.
    Answer(Result<Body<'a>, &'a AskError>),
    /// A timer.
    Timer,
    /// The instance went live.
    Started,
    /// An effect of this actor could not be delivered; the text says which and why.
    Undelivered(&'a str),
}

/// Somebody waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which call.
    pub call: CallId,
    /// The shape that the asker expects.
    pub shape: Fingerprint,
    /// How long it still waits at the start of the turn.
    pub remaining: Option<Duration>,
}

/// Names a call for as long as somebody waits; kept in state by actors that reply later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId {
    /// Boot epoch of the host that made it.
    pub epoch: u64,
    /// Counts from 1.
    pub number: u64,
}

/// Names a timer of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub u64);

/// What a turn does to the world, buffered. Implemented by the cell (released after Ok), and by whoever rehearses a
/// behaviour (captured, never released).
pub trait Effects {
    /// Sends a message.
    ///
    /// # Errors
    /// [`FaultKind::Limit`] when the turn's effects pass their bound, [`FaultKind::Denied`].
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault>;
    /// Asks; the answer comes back as message `then`.
    ///
    /// # Errors
    /// As [`Effects::tell`].
    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault>;
    /// A message to oneself after `delay`, and every `period` from then on if there is one.
    ///
    /// # Errors
    /// As [`Effects::tell`].
    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault>;
    /// Cancels a timer; an unknown one is a no-op.
    ///
    /// # Errors
    /// As [`Effects::tell`].
    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault>;
    /// Answers a call of this turn or of an earlier one. A stale handle is a counted no-op.
    ///
    /// # Errors
    /// [`FaultKind::Schema`] when `shape` is not what the asker expects.
    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault>;
    /// Starts a child; `version` `None` is the kind's default.
    ///
    /// # Errors
    /// As [`Effects::tell`]. Whether the start itself succeeds is seen later.
    fn spawn(&mut self, child: Addr, version: Option<Version>, args: Body<'_>) -> Result<(), Fault>;
    /// Stops the actor after this turn. An empty reason is a normal stop, `shutdown` and `shutdown: why` are orderly
    /// ones, any other is a failure to the supervisor.
    ///
    /// # Errors
    /// [`FaultKind::Limit`] when the reason is no sentence any more.
    fn stop(&mut self, reason: &str) -> Result<(), Fault>;
    /// Takes what this turn owes out of it, for work that goes on outside of any turn: an actor of the host does that,
    /// and code that is loaded cannot. `sender` is the turn's.
    ///
    /// # Errors
    /// [`FaultKind::Denied`] where effects are captured, and nobody could be answered later.
    fn later(&mut self, sender: Option<&Addr>) -> Result<Later, Fault> {
        let whose = sender.map_or("this turn", Addr::path);
        Err(Fault::new(FaultKind::Denied, format!("what {whose} asked for cannot be done where effects are captured")))
    }
    /// Nanoseconds since the Unix epoch, the same all turn long.
    fn now(&mut self) -> u64;
    /// 64 random bits.
    fn random(&mut self) -> u64;
}

/// An ask as an effect.
#[derive(Debug, Clone)]
pub struct AskEffect<'a> {
    /// Whom.
    pub to: Addr,
    /// The request.
    pub tag: Tag,
    /// The request's body.
    pub body: &'a [u8],
    /// The reply's shape, as the asker knows it.
    pub reply: Fingerprint,
    /// How long to wait.
    pub timeout: Duration,
    /// The continuation: a message to oneself.
    pub then: Tag,
    /// Its template.
    pub then_body: &'a [u8],
}

/// A question to [`Provider::json`].
#[derive(Debug, Clone, Copy)]
pub enum Json<'a> {
    /// A message by name.
    Message {
        /// The variant's name.
        name: &'a str,
        /// Its body.
        json: &'a str,
    },
    /// Start arguments.
    Args(&'a str),
    /// A reply to a message.
    Reply {
        /// Which message asked.
        variant: u64,
        /// The reply.
        body: Body<'a>,
    },
    /// A snapshot of this version's schema.
    State(&'a [u8]),
    /// A snapshot from JSON.
    StateFrom(&'a str),
}

/// The answer of [`Provider::json`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonDone {
    /// A message, encoded; and the shape of its reply, if it asks for one.
    Message {
        /// Which message, in which shape.
        tag: Tag,
        /// Its body.
        body: Vec<u8>,
        /// The reply's shape.
        reply: Option<Fingerprint>,
    },
    /// Start arguments, encoded.
    Args {
        /// Their shape.
        shape: Fingerprint,
        /// Their bytes.
        bytes: Vec<u8>,
    },
    /// JSON text.
    Text(String),
    /// A snapshot.
    State(Vec<u8>),
}

/// What went wrong inside the code, or at its border.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct Fault {
    /// Which kind of wrong.
    pub kind: FaultKind,
    /// A sentence, from the code where it has one.
    pub text: String,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Calls code: a panic that its own border did not stop is one all the same.
///
/// # Errors
/// What `run` says, or its panic as [`FaultKind::Panic`].
pub fn guarded<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Fault::new(FaultKind::Panic, text.unwrap_or_else(|| "a panic without a text".to_owned())))
    })
}

/// Kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A caught panic; in a turn it poisons the instance.
    Panic,
    /// The author's own error.
    Failed,
    /// Bytes that are no value of their shape.
    Decode,
    /// No such message.
    UnknownMessage,
    /// No path from that schema or shape.
    Schema,
    /// Over a limit.
    Limit,
    /// Not granted, or not offered.
    Denied,
    /// The code broke the ABI's rules.
    Protocol,
}
