//! What callers of a log-follower import.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::{Addr, Answer, Request, Wire};
use teneral_native_api::file::{Chunk, Following, Place};

/// Start arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Start {
    /// The log: an absolute path that the kind is granted to follow.
    pub path: String,
    /// Whom its lines are told, as log-handler's `Ingest`.
    pub to: Addr,
}

/// Asks how far it is.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Progress)]
pub struct Look {}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Progress {
    /// Lines that were handed on.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The place behind the last one.
    pub place: Option<Place>,
    /// Why the log is not followed; `None`: it is.
    pub trouble: Option<String>,
}

/// Whether the log is followed now: what comes of asking for it.
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Begun {
    /// Yes, or why not.
    pub answer: Answer<Following>,
}

/// Asks once more.
#[derive(Debug, Serialize, Deserialize, Wire)]
pub struct Again {}

/// What a log-follower handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Asks how far it is.
    Look(Look),
    /// Whether the log is followed now.
    Begun(Begun),
    /// Asks once more.
    Again(Again),
    /// The log grew.
    Chunk(Chunk),
}
