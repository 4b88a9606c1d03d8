//! What can go wrong, one enum an act and one variant a cause.
//!
//! A refused message comes back with its refusal: nothing is dropped without a word.

use crate::config::Generation;
use crate::ports::Fault;
use std::time::Duration;
use teneral_contract::{Addr, EncodeError};

/// Why an actor did not start. Its name is free again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The name is taken.
    #[error("{0} is already started")]
    Taken(Addr),
    /// Another path has the same hash.
    #[error("{addr} cannot be told from {other}: their hashes are equal")]
    Collision {
        /// The new one.
        addr: Addr,
        /// The one that lives.
        other: Addr,
    },
    /// The address names another kind than the code.
    #[error("{addr} cannot run code of kind {kind}")]
    Kind {
        /// The actor.
        addr: Addr,
        /// The code's kind.
        kind: String,
    },
    /// The code hung before: nothing new is started from it.
    #[error("version {version} is quarantined: {why}")]
    Quarantined {
        /// The author's version.
        version: String,
        /// What it did.
        why: String,
    },
    /// The arguments are in a shape that the code does not read.
    #[error("the start arguments have shape {found}, the code reads {expected}")]
    ArgsShape {
        /// What came.
        found: String,
        /// What the code reads.
        expected: String,
    },
    /// `init` failed.
    #[error("init failed")]
    Init(#[source] Fault),
    /// `init`, or `restore` of one that comes back, did not return in time; its thread is left behind.
    #[error("its code did not make an instance within {0:?}")]
    Timeout(Duration),
    /// The parent is no more.
    #[error("the parent {0} is not running")]
    NoParent(Addr),
    /// The host is shutting down.
    #[error("the system is shutting down")]
    ShuttingDown,
    /// The machine gave no thread to start on.
    #[error("no thread to start on: {0}")]
    NoThread(String),
}

/// Why a message was not accepted. It comes back where the caller still owns it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TellError<M> {
    /// The actor is stopped.
    #[error("the actor is stopped")]
    Closed(M),
    /// Its code has no such message; also a dead letter.
    #[error("unknown message {name}")]
    UnknownMessage {
        /// The message.
        message: M,
        /// Its name; of what was sent as bytes, its id in hexadecimal.
        name: String,
    },
    /// Its code knows the message in another shape, and no path from this one; also a dead letter.
    #[error("the actor knows message {name} in another shape")]
    UnknownShape {
        /// The message.
        message: M,
        /// Its name.
        name: String,
    },
    /// Over `message_bytes_max`, or more than an empty mailbox holds.
    #[error("{bytes} bytes, over the limit of {limit_bytes}")]
    TooLarge {
        /// The message.
        message: M,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// It could not be written.
    #[error("the message cannot be encoded")]
    Encode {
        /// The message.
        message: M,
        /// Why.
        #[source]
        error: EncodeError,
    },
}

impl<M> TellError<M> {
    /// The cause alone, for who does not keep the message.
    #[must_use]
    pub fn without_message(self) -> TellError<()> {
        match self {
            Self::Closed(_) => TellError::Closed(()),
            Self::UnknownMessage { name, .. } => TellError::UnknownMessage { message: (), name },
            Self::UnknownShape { name, .. } => TellError::UnknownShape { message: (), name },
            Self::TooLarge { bytes, limit_bytes, .. } => TellError::TooLarge { message: (), bytes, limit_bytes },
            Self::Encode { error, .. } => TellError::Encode { message: (), error },
        }
    }
}

/// Why a message was not accepted at once. It comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TryTellError<M> {
    /// The mailbox has no room.
    #[error("the actor's mailbox is full")]
    Full(M),
    /// The actor is stopped.
    #[error("the actor is stopped")]
    Closed(M),
    /// Its code has no such message; also a dead letter.
    #[error("unknown message {name}")]
    UnknownMessage {
        /// The message.
        message: M,
        /// Its name; of what was sent as bytes, its id in hexadecimal.
        name: String,
    },
    /// Its code knows the message in another shape, and no path from this one; also a dead letter.
    #[error("the actor knows message {name} in another shape")]
    UnknownShape {
        /// The message.
        message: M,
        /// Its name.
        name: String,
    },
    /// Over `message_bytes_max`, or more than an empty mailbox holds.
    #[error("{bytes} bytes, over the limit of {limit_bytes}")]
    TooLarge {
        /// The message.
        message: M,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// It could not be written.
    #[error("the message cannot be encoded")]
    Encode {
        /// The message.
        message: M,
        /// Why.
        #[source]
        error: EncodeError,
    },
}

/// Why a state could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The actor is stopped.
    #[error("the actor is stopped")]
    Stopped,
    /// It did not come to a message boundary in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// `save` failed.
    #[error("save failed")]
    Save(#[source] Fault),
}

/// Why there is no copy of an actor's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// It came to no message boundary in time, or is not there to come to one; as for a pause.
    #[error(transparent)]
    Refused(PauseRefused),
    /// `save` failed; the instance is as it was.
    #[error("save failed")]
    Save(#[source] Fault),
    /// `save` does not return, for this copy or for one before: the actor handles nothing until it does, or until the
    /// actor is restarted without that instance.
    #[error("save does not return; it was waited for {0:.1?}")]
    Hangs(Duration),
}

/// Why an actor did not stop in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// Its turn did not end in time. It is cut off all the same: it is asked nothing any more, its name is free, and
    /// its thread is left behind.
    #[error("the turn did not end within {0:?}; the actor is cut off")]
    CutOff(Duration),
}

/// Why an actor was not paused. Nothing happens later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PauseRefused {
    /// Its turn did not end in time: deferred.
    #[error("busy with {message} for {running_for:.0?}")]
    Busy {
        /// How long the turn has been running, at least.
        running_for: Duration,
        /// What it handles.
        message: String,
    },
    /// Somebody else holds it.
    #[error("held by {owner}")]
    Held {
        /// Who.
        owner: String,
    },
    /// It is stopped.
    #[error("the actor is stopped")]
    Stopped,
    /// It failed and was not restarted yet.
    #[error("the actor is suspended: {reason}")]
    Suspended {
        /// How it failed.
        reason: String,
    },
    /// An operator cancelled while it came to rest.
    #[error("cancelled before the actor came to rest")]
    Cancelled,
    /// It was upgraded since the plan was made.
    #[error("the plan starts from generation {expected}, the actor is at {found}")]
    Stale {
        /// The plan's.
        expected: Generation,
        /// The actor's.
        found: Generation,
    },
}

/// The pause ended before its holder did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    /// It lasted longer than `max_pause`.
    #[error("the pause lasted longer than {max_pause:?}")]
    Overdue {
        /// The limit.
        max_pause: Duration,
    },
    /// The actor was stopped: stop wins.
    #[error("the actor was stopped")]
    Stopped,
    /// An operator cancelled.
    #[error("cancelled by {by}")]
    Cancelled {
        /// Who.
        by: String,
    },
}

/// Why a step under a pause failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The code failed; the pause still holds.
    #[error("the code failed")]
    Fault(#[source] Fault),
    /// The pause is over: whatever the step made is dropped.
    #[error("the pause is over")]
    Lost(#[source] LeaseLost),
}
