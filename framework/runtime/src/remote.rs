//! An instance that lives in another process.
//!
//! A turn of it takes a way there and back, in which a thread could do hundreds of others. So what waits is handed
//! over many messages at a time, no thread waits for it, and what the turns did comes back as data: the cell releases
//! it then, turn by turn, exactly as if they had been taken here. Until then nothing of it has happened, so a process
//! that dies with messages in its hands has done nothing with them.

use crate::ports::{Call, CallId, Fault, TimerId, Why};
use semver::Version;
use std::fmt;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// The way to an instance in another process. See [`crate::ports::Behaviour::remote`].
pub trait Remote: Send {
    /// An empty batch for it.
    fn batch(&mut self) -> Box<dyn Batch>;

    /// Why it is gone, if that is known already: nobody need ask it anything.
    fn gone(&self) -> Option<String> {
        None
    }
}

/// Turns that an instance takes one after the other: those of one batch in their order, and batches in the order in
/// which they were sent.
pub trait Batch: Send {
    /// Adds the first turn of an instance that goes live.
    fn started(&mut self, why: Why, call: &Call<'_>, given: Given);

    /// Adds a message.
    fn add(&mut self, call: &Call<'_>, given: Given);

    /// Whether another message would make it too large for one frame.
    fn is_full(&self) -> bool;

    /// Sends it. `done` is called once, from any thread, perhaps by this very call.
    fn send(self: Box<Self>, done: Done);
}

/// What a turn is given by the host besides its message, so that it is the same wherever it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The turn's time: nanoseconds since the Unix epoch.
    pub now_ns: u64,
    /// What its random numbers come from: Splitmix64, of which this is the state before the first.
    pub seed: u64,
    /// The host's boot epoch: half of the name of each call that the turn begins.
    pub epoch: u64,
    /// Its asks and timers are numbered from here.
    pub numbers: u64,
    /// How many of them it may begin: what it does beyond that is refused here.
    pub numbers_max: u64,
}

impl Given {
    /// The turn's next random number: Splitmix64 (Steele, Lea and Flood, 2014).
    pub const fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(GAMMA);
        mixed(self.seed)
    }
}

/// How far Splitmix64 goes with each number.
pub const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that Splitmix64 makes of its state.
#[must_use]
pub const fn mixed(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Returned {
    /// Of its turns the first ones, in order. A turn that ended in [`crate::ports::FaultKind::Panic`] is the last.
    pub turns: Vec<RemoteTurn>,
    /// The instance is gone, and why: what is not among `turns` was not handled.
    pub gone: Option<String>,
    /// Whether it may have gone because of the first of those: it had begun, as far as anybody knows.
    pub begun: bool,
}

/// What one turn did.
#[derive(Debug)]
pub struct RemoteTurn {
    /// Its effects in their order, or how it failed.
    pub ended: Result<Vec<RemoteEffect>, Fault>,
    /// The random numbers that it drew.
    pub drawn: Vec<u64>,
    /// How long the code took.
    pub took: Duration,
}

/// An effect of a turn in another process: see [`crate::ports::Effects`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the arguments of the functions of the same names")]
pub enum RemoteEffect {
    Tell { to: Addr, tag: Tag, body: Vec<u8> },
    Ask(Box<RemoteAsk>),
    After { id: TimerId, delay: Duration, period: Option<Duration>, tag: Tag, body: Vec<u8> },
    Cancel(TimerId),
    Reply { call: CallId, shape: Fingerprint, body: Vec<u8> },
    Spawn { child: Addr, version: Option<Version>, shape: Fingerprint, args: Vec<u8> },
    Stop(String),
}

/// An ask of a turn in another process: see [`crate::ports::AskEffect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the other of that name")]
pub struct RemoteAsk {
    pub number: u64,
    pub to: Addr,
    pub tag: Tag,
    pub body: Vec<u8>,
    pub reply: Fingerprint,
    pub timeout: Duration,
    pub then: Tag,
    pub then_body: Vec<u8>,
}

/// Takes what came of a batch. Dropped, the instance is gone.
pub struct Done(Option<Box<dyn FnOnce(Returned) + Send>>);

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

impl Done {
    /// Calls `done` with what came of it.
    pub fn new(done: impl FnOnce(Returned) + Send + 'static) -> Self {
        Self(Some(Box::new(done)))
    }

    /// The batch came back.
    pub fn with(mut self, returned: Returned) {
        if let Some(done) = self.0.take() {
            done(returned);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            let gone = Some("nobody waits for it any more".to_owned());
            done(Returned { gone, ..Returned::default() });
        }
    }
}
