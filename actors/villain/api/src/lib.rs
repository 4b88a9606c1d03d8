//! What the tests ask of a villain: where it does wrong, and how.
//!
//! A probe's traps can be released; what a villain does is for good: its loops never end, its `abort` is one. So the
//! tests choose at run time, through arguments, messages and the state itself.
#![forbid(unsafe_code)]

pub mod misdeed;
pub mod v1;

pub use misdeed::{At, How, Misdeed, Plan, commit};

use serde::{Deserialize, Serialize};
use teneral_contract::{Request, Wire};

/// Start arguments.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Wire)]
pub struct Start {
    /// What it will do.
    pub misdeeds: Vec<Misdeed>,
}

/// From now on it will do this, instead of what it was told before.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Conspire {
    /// What.
    pub misdeeds: Vec<Misdeed>,
}

/// It does wrong at once, in the turn of this message.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Act {
    /// How.
    pub how: How,
}

/// Its state grows.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Grow {
    /// By how many bytes.
    pub bytes: u32,
}

/// Asks for so many bytes.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Loot)]
pub struct Rob {
    /// How many.
    pub bytes: u32,
}

/// So many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Loot {
    /// Zeros.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Asks how many messages it has handled: what it does well.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Counted)]
pub struct Count {}

/// How many messages it has handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Counted {
    /// This one included.
    pub handled: u64,
}

/// What a villain handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// What to do from now on.
    Conspire(Conspire),
    /// What to do at once.
    Act(Act),
    /// Its state grows.
    Grow(Grow),
    /// Asks for bytes.
    Rob(Rob),
    /// Asks for a count.
    Count(Count),
}
