//! What probe 1.0.0 knew, kept as it was.

use crate::{Attempt, Body, Do, Later, Read, Relay, Relayed, Take, Tally, Tick};
use serde::{Deserialize, Serialize};
use teneral_actor::{Answer, Request, State, Wire};

/// State of schema 1.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Probe {
    /// What all versions share.
    pub body: Body,
}

/// A numbered message of a sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Note {
    /// Who sends.
    pub sender: u32,
    /// Counts from 0 for each sender.
    pub number: u64,
}

/// Known to 1.0.0 only.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Gone {}

/// Asks for an answer that comes when somebody says [`crate::Act::Pay`].
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Paid)]
pub struct Owe {}

/// What the log holds, all in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Paid {
    /// Notes.
    pub notes: u64,
}

/// The actor that was asked [`Owe`] answered.
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Heard {
    /// What it said.
    pub answer: Answer<Paid>,
}

/// What a probe handled.
#[derive(Debug, teneral_actor::Message)]
pub enum Message {
    /// Goes into the log.
    Note(Note),
    /// Known to 1.0.0 only.
    Gone(Gone),
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
    /// Asks for a late answer.
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
