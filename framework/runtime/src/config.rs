//! What a runtime and an actor are told at their start: bounds, policies, and the numbers that name things.
//!
//! Every queue, wait and retry has its bound here, with the unit in its name. Nothing has a hidden default: the
//! constructors list theirs.

use crate::ports::{Digest, Provider};
use semver::Version;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// The runtime's bounds. [`RuntimeConfig::new`] documents the defaults.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Messages that wait for one actor.
    pub mailbox_messages_max: usize,
    /// Bytes that wait for one actor.
    pub mailbox_bytes_max: usize,
    /// Largest message; never more than an empty mailbox holds.
    pub message_bytes_max: usize,
    /// Largest state that is saved.
    pub state_bytes_max: usize,
    /// Effects of one turn.
    pub effects_per_turn_max: usize,
    /// Released effects of one actor that wait for room at their targets.
    pub outbox_effects_max: usize,
    /// How long one waits there before it is a dead letter.
    pub outbox_timeout: Duration,
    /// Timers of one actor.
    pub timers_max: usize,
    /// Asks of one actor that wait for their answers.
    pub asks_in_flight_max: usize,
    /// A turn longer than this is reported as hanging; its version is quarantined, unless its kind declares `blocking`.
    pub hang_after: Duration,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// How long a child may take to stop before its supervisor goes on without it.
    pub stop_timeout: Duration,
    /// Dead letters kept for inspection; all are counted.
    pub dead_letters_max: usize,
    /// Events kept for a subscriber that lags.
    pub events_max: usize,
    /// Threads for turns.
    pub threads: usize,
    /// Threads for turns when some of them hang.
    pub threads_max: usize,
    /// Threads for turns of kinds that declare `blocking`.
    pub blocking_threads_max: usize,
    /// Names this life of the host: calls of another life are stale.
    pub epoch: u64,
}

impl RuntimeConfig {
    /// The defaults: 1,024 messages or 8 MiB a mailbox, 1 MiB a message, 64 MiB a state, 256 effects a turn and in the
    /// outbox for 5 s, 1,024 timers and asks an actor, a hang is 1 s, a start or a stop 5 s, 1,024 dead letters and
    /// events, a turn thread a processor (at least 2), at most 64, 256 blocking ones; a random epoch.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default would hide a policy: whoever takes it says so")]
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        Self {
            mailbox_messages_max: 1024,
            mailbox_bytes_max: 8 << 20,
            message_bytes_max: 1 << 20,
            state_bytes_max: 64 << 20,
            effects_per_turn_max: 256,
            outbox_effects_max: 256,
            outbox_timeout: Duration::from_secs(5),
            timers_max: 1024,
            asks_in_flight_max: 1024,
            hang_after: Duration::from_secs(1),
            start_timeout: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(5),
            dead_letters_max: 1024,
            events_max: 1024,
            threads,
            threads_max: threads.max(64),
            blocking_threads_max: 256,
            epoch: random_epoch(),
        }
    }
}

/// Random, never 0: the hasher's keys are the standard library's only source of randomness.
fn random_epoch() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id()).max(1)
}

/// Where turns run.
#[derive(Debug, Clone)]
pub enum Spawn {
    /// The runtime's own growable threads: a turn that hangs costs a thread and strands nobody.
    Pool,
    /// The caller's tokio, for latency: a turn that hangs takes one of its workers, and no thread is added.
    Ambient(tokio::runtime::Handle),
}

/// Counts the upgrades of one actor: +1 with every commit. A plan names the one it starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An actor to start.
#[derive(Debug, Clone)]
pub struct Start {
    /// Its name.
    pub addr: Addr,
    /// Its code.
    pub provider: Arc<dyn Provider>,
    /// Its start arguments; kept for restarts.
    pub args: StartArgs,
    /// How it lives.
    pub options: ActorOptions,
}

/// A state that an actor is started from, instead of its arguments: what an earlier life of the host saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The schema of the bytes: one that the code runs or migrates from.
    pub schema: u32,
    /// The state.
    pub bytes: Vec<u8>,
    /// How many upgrades it had seen.
    pub generation: Generation,
}

/// Encoded start arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartArgs {
    /// Their shape.
    pub shape: Fingerprint,
    /// Their bytes.
    pub bytes: Vec<u8>,
}

/// How an actor lives: what its supervisor does when it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorOptions {
    /// When it is restarted.
    pub restart: Restart,
    /// From what.
    pub restart_state: RestartState,
    /// How often at most.
    pub intensity: Intensity,
    /// Who started it, if an actor did: it stops with its parent.
    pub parent: Option<Addr>,
}

impl ActorOptions {
    /// Permanent, from its start arguments, at most 3 restarts in 5 s, no parent.
    #[must_use]
    pub const fn permanent() -> Self {
        Self {
            restart: Restart::Permanent,
            restart_state: RestartState::Init,
            intensity: Intensity { restarts_max: 3, period: Duration::from_secs(5) },
            parent: None,
        }
    }
}

/// When an actor is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// After a failure.
    Transient,
    /// Never.
    Temporary,
}

/// What a restarted actor starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartState {
    /// Its start arguments. Its timers and what it asked are dead letters; whoever waits for its reply is told.
    Init,
    /// The last state that an upgrade saved, and all goes on; without one, as [`RestartState::Init`].
    LastSnapshot,
}

/// How many restarts within which period are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// Restarts that are still good.
    pub restarts_max: u32,
    /// Within this long.
    pub period: Duration,
}

/// What is known of an actor without asking it.
#[derive(Debug, Clone)]
pub struct ActorInfo {
    /// Its name.
    pub addr: Addr,
    /// The version that it runs.
    pub version: Version,
    /// The artifact that it runs.
    pub digest: Digest,
    /// Its state's schema.
    pub schema: u32,
    /// Upgrades so far.
    pub generation: Generation,
    /// What it does.
    pub status: Status,
    /// Messages that wait for it.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Its effects that wait for room at their targets.
    pub outbox_effects: usize,
    /// Messages whose turns ended well; counted when the actor lets others run.
    pub handled: u64,
    /// Turns that ended in an error.
    pub failed: u64,
    /// Turns that panicked.
    pub panics: u64,
    /// Restarts after failures.
    pub restarts: u64,
    /// Who started it, if an actor did.
    pub parent: Option<Addr>,
    /// The actors it started, sorted by path.
    pub children: Vec<Addr>,
    /// How it lives.
    pub options: ActorOptions,
}

/// What an actor does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It handles messages.
    Running,
    /// It keeps its messages until somebody resumes it.
    Paused {
        /// Who paused it.
        owner: String,
    },
    /// It failed and keeps its messages until its supervisor restarts it.
    Suspended {
        /// How it failed.
        reason: String,
    },
    /// It is no more.
    Stopped {
        /// Why; empty for a normal stop.
        reason: String,
    },
}

/// A state, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRead {
    /// The version that wrote it.
    pub version: Version,
    /// Its schema.
    pub schema: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A copy of a state, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The state.
    pub state: StateRead,
    /// How long the code took to write it, while which the actor handled no message.
    pub took: Duration,
}

/// Encoded messages that wait at the host, and that new code needs a path for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Where they wait.
    pub place: Place,
    /// Which message, in which shape; for start arguments the variant is 0.
    pub tag: Tag,
    /// How many.
    pub count: usize,
}

/// Where encoded messages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the mailbox.
    Mailbox,
    /// In the mailbox, told to itself by a version on probation: the version before has words of its own instead.
    Own,
    /// In a timer.
    Timer,
    /// In the continuation of an ask.
    Continuation,
    /// In the outbox, told to oneself.
    Outbox,
    /// The start arguments, kept for restarts.
    RestartArgs,
}
