//! Errors: what an author returns, and what a call into an actor can end with.
//!
//! An author's error is a sentence for whoever asked and for the operator; it is data before it leaves the library, so
//! any `Display` becomes one by `?`. A [`Fault`] says besides which kind of end it was, for the host to act on.

use std::fmt;
use teneral_contract::{DecodeError, EncodeError};

/// What an author's functions return.
pub type Result<T, E = ActorError> = std::result::Result<T, E>;

/// An author's error: a sentence. Made by `?` from anything that prints, or by [`fail!`](crate::fail).
pub struct ActorError(String);

impl ActorError {
    /// An error with its sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The sentence.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

// No `Display` on purpose: with it this conversion would overlap with the one from `ActorError` to itself.
impl<E: fmt::Display> From<E> for ActorError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns an error from a handler: `fail!("no account {id}")`.
#[macro_export]
macro_rules! fail {
    ($($text:tt)+) => {
        return ::core::result::Result::Err($crate::ActorError::new(::std::format!($($text)+)))
    };
}

/// How a call into an actor ended when it did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// Which kind of end.
    pub kind: FaultKind,
    /// A sentence.
    pub text: String,
}

/// Kinds of [`Fault`]; each is a status of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A caught panic; the instance is poisoned.
    Panic,
    /// The author's own error.
    Failed,
    /// Bytes that are no value of the shape their tag claims.
    Decode,
    /// No such message.
    UnknownMessage,
    /// No path from that schema or shape to this one.
    Schema,
    /// Over a limit of bytes, time or effects.
    Limit,
    /// The target is gone, or the host is shutting down.
    Closed,
    /// The host has not granted this, or the code does not offer it.
    Denied,
    /// An argument is out of range, or the call is not allowed here.
    Invalid,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<ActorError> for Fault {
    fn from(error: ActorError) -> Self {
        Self { kind: FaultKind::Failed, text: error.0 }
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let kind = match error {
            DecodeError::Shape { .. } => FaultKind::Schema,
            DecodeError::UnknownVariant(_) => FaultKind::UnknownMessage,
            DecodeError::Limit { .. } => FaultKind::Limit,
            _ => FaultKind::Decode,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<EncodeError> for Fault {
    fn from(error: EncodeError) -> Self {
        let kind = match error {
            EncodeError::Shape { .. } => FaultKind::Schema,
            EncodeError::Limit { .. } | EncodeError::Depth => FaultKind::Limit,
            EncodeError::Refused(_) => FaultKind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
