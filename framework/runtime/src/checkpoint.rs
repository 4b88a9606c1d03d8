//! What is kept of an actor whose instance lives elsewhere, and what its next process made of it, for people.

use crate::ports::Fault;
use std::time::Duration;

/// An actor's last checkpoint, and what came since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSeen {
    /// When it was taken, in nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// The bytes of its state; `None`: it is the actor's start arguments, or there is none yet.
    pub state_bytes: Option<usize>,
    /// Turns since.
    pub messages: usize,
    /// What is kept of them, in bytes.
    pub kept_bytes: usize,
    /// Why they would not be done anew, if they would not.
    pub not_replayed: Option<NotReplayed>,
}

/// How an actor went on when the process of its instance was gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The bytes of the checkpoint that it went on from; `None`: its start arguments.
    pub state_bytes: Option<usize>,
    /// Turns since that were done anew.
    pub replayed: usize,
    /// Turns since that are not in its state.
    pub not_replayed: usize,
    /// Why they are not.
    pub why: Option<NotReplayed>,
    /// How long it took, the start of the next process with it.
    pub took: Duration,
}

/// Why what came since a checkpoint is not done anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    /// The kind does not say that equal messages have equal effects.
    #[error("the kind is not declared deterministic")]
    NotDeterministic,
    /// There was no checkpoint within the bounds, and so more came than is kept.
    #[error("no checkpoint could be taken, and more came since than is kept: {0}")]
    NotTaken(Fault),
    /// The code says something else with the same messages.
    #[error("message {number} since the checkpoint, {message}, came to something else: {what}")]
    Differs {
        /// Its name.
        message: String,
        /// Which one since the checkpoint, from 1.
        number: usize,
        /// What is different.
        what: String,
    },
    /// It took too long.
    #[error("{done} of {of} messages were handled anew within {budget:?}")]
    Budget {
        /// Messages that were done.
        done: usize,
        /// Messages that there were.
        of: usize,
        /// The bound.
        budget: Duration,
    },
    /// Two processes died with it.
    #[error("two processes died with message {number} since the checkpoint, {message}: {why}")]
    Died {
        /// Its name.
        message: String,
        /// Which one since the checkpoint, from 1.
        number: usize,
        /// How.
        why: String,
    },
    /// One process after the other died.
    #[error("{deaths} processes died before it was done: {why}")]
    Gone {
        /// How many.
        deaths: usize,
        /// How the latest did.
        why: String,
    },
}
