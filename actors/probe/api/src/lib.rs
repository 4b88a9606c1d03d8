//! What the tests ask of a probe: an actor that records what reaches it and does what it is told, good or bad.
//!
//! Its log of (sender, number) pairs is the actor's own account of what it handled: tests compare it with the senders'
//! account, never with the runtime's counters.
#![forbid(unsafe_code)]

pub mod body;
pub mod trap;
pub mod v1;
pub mod v2;

pub use body::{Body, Dialect};
pub use trap::{Live, Trap};

use serde::{Deserialize, Serialize};
use teneral_actor::{Addr, Answer, Downcast, ReplyHandle, Request, Shape, Upcast, Wire};

/// Start arguments.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Wire)]
pub struct Start {
    /// Where the new instance misbehaves.
    pub trap: Trap,
}

/// A numbered message of a sender: goes into the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[wire(upcast(v1::Note))]
pub struct Note {
    /// Who sends.
    pub sender: u32,
    /// Counts from 0 for each sender.
    pub number: u64,
    /// New in 2.0.0; 1 for an older note.
    pub weight: u32,
}

impl Upcast<v1::Note> for Note {
    fn upcast(old: v1::Note) -> Self {
        Self { sender: old.sender, number: old.number, weight: 1 }
    }
}

/// Do this.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Do {
    /// What.
    pub act: Act,
}

/// What a probe does when told.
#[derive(Debug, Clone, Serialize, Deserialize, Shape)]
pub enum Act {
    /// Nothing but writing this down.
    Write(String),
    /// Loops until a file exists, then writes down that it did.
    Block {
        /// The file.
        until: String,
    },
    /// Tells another actor to write this down, then fails.
    TellThenFail(Addr, String),
    /// Tells another actor to write this down, then panics.
    TellThenPanic(Addr, String),
    /// Tells another actor to write this down, so many times.
    Tell(Addr, String, u32),
    /// A timer that writes this down when it fires.
    Timer {
        /// In so many milliseconds.
        delay_ms: u64,
        /// And again every so many; 0: once.
        period_ms: u64,
        /// What to write down.
        text: String,
    },
    /// Answers whoever waits since [`Later`].
    Settle,
    /// Starts a probe as a child with this key.
    Spawn(String),
    /// Stops itself.
    Stop(String),
    /// Misbehaves from now on.
    SetTrap(Trap),
    /// Its state grows by so many bytes.
    Grow(u32),
    /// A timer that brings a note as this version writes it.
    Remind {
        /// In so many milliseconds.
        delay_ms: u64,
        /// The note's sender.
        sender: u32,
        /// The note's number.
        number: u64,
    },
    /// A timer that brings what only some versions know: [`v1::Gone`] or [`Fresh`].
    Peculiar {
        /// In so many milliseconds.
        delay_ms: u64,
    },
    /// Asks another actor [`Owe`], for an answer that comes as [`Heard`].
    Ask {
        /// The other one.
        to: Addr,
        /// For so many milliseconds.
        timeout_ms: u64,
    },
    /// Answers whoever waits since [`Owe`].
    Pay,
    /// Leaves it to another probe to answer whoever waits since [`Later`].
    Delegate(Addr),
    /// Does well under one version, and under every other what a trap does: `fail`, `panic`, `abort`, `slow`, or
    /// `hang FILE`.
    OnlyUnder {
        /// The major version that does well.
        version: u32,
        /// What the others do.
        how: String,
    },
    /// Tells another actor to write down which version did.
    Sign(Addr),
    /// The same, under one version only.
    SignUnder {
        /// The major version that signs.
        version: u32,
        /// Whom it tells.
        to: Addr,
    },
}

/// Asks for the log.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Seen)]
pub struct Read {}

/// What a probe has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Seen {
    /// Major version of the code that answers.
    pub version: u32,
    /// What it handled, in order.
    pub log: Vec<Entry>,
    /// What else happened, in order, each after the version that it happened under: `1: started fresh`.
    pub notes: Vec<String>,
}

/// One handled note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Shape)]
pub struct Entry {
    /// Who sent it.
    pub sender: u32,
    /// Which of the sender's.
    pub number: u64,
    /// Major version of the code that handled it.
    pub version: u32,
    /// What it weighed; 0 under 1.0.0.
    pub weight: u32,
}

/// A numbered request of a sender: goes into the log as a note does.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Tallied)]
pub struct Tally {
    /// Who sends.
    pub sender: u32,
    /// Counts from 0 for each sender.
    pub number: u64,
}

/// What the log has come to, with the request that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Tallied {
    /// Major version of the code that answers.
    pub version: u32,
    /// Entries in the log.
    pub handled: u64,
    /// As [`digest`] says of them.
    pub digest: u64,
}

/// Another number for another log: whoever has kept one knows later whether what was handled by then is still what was.
#[must_use]
pub fn digest(log: &[Entry]) -> u64 {
    digests(log).last().unwrap_or(NOTHING)
}

/// The digest of each log that this one once was, from that of one entry on.
pub fn digests(log: &[Entry]) -> impl Iterator<Item = u64> {
    // Words instead of bytes, else as FNV-1a does.
    let mix = |digest: u64, word: u64| (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    log.iter().scan(NOTHING, move |all, entry| {
        *all = mix(mix(*all, entry.sender.into()), entry.number);
        Some(*all)
    })
}

/// The digest of an empty log.
const NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

/// Asks for an answer that comes when somebody says [`Act::Settle`].
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Told)]
pub struct Later {}

/// The late answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Told {
    /// Major version of the code that answers.
    pub version: u32,
}

/// Asks for the log of another probe, through this one.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Seen)]
pub struct Relay {
    /// The other one.
    pub to: Addr,
}

/// A timer fired.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Tick {
    /// What to write down.
    pub text: String,
}

/// The other probe answered.
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Relayed {
    /// What it said.
    pub answer: Answer<Seen>,
}

/// Known since 2.0.0 only.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Fresh {}

/// Start arguments since 3.0.0.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Wire)]
#[wire(upcast(Start))]
pub struct Begin {
    /// Where the new instance misbehaves.
    pub trap: Trap,
    /// To write down at once; nothing when empty.
    pub greeting: String,
}

impl Upcast<Start> for Begin {
    fn upcast(old: Start) -> Self {
        Self { trap: old.trap, greeting: "from an older start".into() }
    }
}

/// Asks for an answer, in the caller's own shape, that comes when somebody says [`Act::Pay`].
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Paid)]
pub struct Owe {}

/// What the log holds, all in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[wire(downcast(v1::Paid))]
pub struct Paid {
    /// Notes.
    pub notes: u64,
    /// Their weight; new in 2.0.0.
    pub weight: u64,
}

impl Downcast<v1::Paid> for Paid {
    fn downcast(&self) -> v1::Paid {
        v1::Paid { notes: self.notes }
    }
}

/// The actor that was asked [`Owe`] answered.
#[derive(Debug, Serialize, Deserialize, Wire)]
#[wire(upcast(v1::Heard))]
pub struct Heard {
    /// What it said.
    pub answer: Answer<Paid>,
}

impl Upcast<v1::Heard> for Heard {
    fn upcast(old: v1::Heard) -> Self {
        let paid = old.answer.get().map(|v1::Paid { notes }| Paid { notes, weight: notes });
        Self { answer: Answer::filled(paid) }
    }
}

/// Takes it over to answer somebody who asked [`Later`].
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Take {
    /// Who.
    pub handle: ReplyHandle<Told>,
}

/// Asks for every kind of effect in one turn: a tell and an ask to another actor, a timer, a child, a reply, a stop.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Told)]
pub struct Attempt {
    /// The other one.
    pub to: Addr,
    /// The child's key.
    pub child: String,
    /// How the turn ends.
    pub end: Ending,
}

/// How a turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub enum Ending {
    /// Well, and without the stop.
    Well,
    /// In an error.
    Error,
    /// In a panic.
    Panic,
}

/// What a probe handles.
#[derive(Debug, teneral_actor::Message)]
pub enum Message {
    /// Known since 2.0.0 only.
    Fresh(Fresh),
    /// Goes into the log.
    Note(Note),
    /// Do this.
    Do(Do),
    /// Asks for the log.
    Read(Read),
    /// Asks for a late answer.
    Later(Later),
    /// Asks through this one.
    Relay(Relay),
    /// A timer fired.
    Tick(Tick),
    /// The other probe answered.
    Relayed(Relayed),
    /// Asks for a late answer in the caller's own shape.
    Owe(Owe),
    /// The actor that was asked [`Owe`] answered.
    Heard(Heard),
    /// Takes over a late answer.
    Take(Take),
    /// Asks for every kind of effect.
    Attempt(Attempt),
    /// Goes into the log, and asks what that has come to.
    Tally(Tally),
}
