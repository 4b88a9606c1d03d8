//! The hole in a continuation that the host fills with an ask's answer.
//!
//! `ctx.ask(&addr, request, secs(5), |answer| Priced { order, answer })` calls the closure at once with a hole; what it
//! builds is encoded as a template in which the hole takes no bytes. When the answer comes, the decoder fills the hole
//! from the turn's answer. So a conversation in flight is bytes at the host, and survives a swap of the code.

use crate::codec::DecodeError;
use crate::shape::{Fingerprint, Node, Shape};
use crate::wire::Wire;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::cell::Cell;
use std::thread::LocalKey;

/// Why an ask has no answer. One cause, one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AskError {
    /// The deadline passed: the actor did not come to the request, or its handler returned and kept the reply for
    /// later. It may still handle the request; its reply is dropped and counted.
    #[error("no answer within the deadline")]
    Timeout,
    /// No actor of that name.
    #[error("no such actor: {0}")]
    NoActor(String),
    /// The actor stopped before it answered.
    #[error("the actor stopped before it answered")]
    Stopped,
    /// The mailbox had no room within the deadline.
    #[error("the actor's mailbox is full")]
    Full,
    /// The actor's code has no such message.
    #[error("unknown message {0}")]
    UnknownMessage(String),
    /// The actor's code knows the message in another shape, and no up-cast from this one.
    #[error("the actor knows message {0} in another shape")]
    UnknownShape(String),
    /// The handler returned an error.
    #[error("the actor refused: {0}")]
    Failed(String),
    /// The handler panicked.
    #[error("the actor panicked: {0}")]
    Panicked(String),
    /// The bytes of the request or of the reply are no value of their shape.
    #[error("cannot be decoded: {0}")]
    Decode(String),
    /// The reply has a shape that the asker does not know.
    #[error("the reply has another shape than the request declares")]
    ReplyShape,
    /// No reply will come: the actor began anew from its start arguments, and what kept the way back is gone.
    #[error("the actor did not reply")]
    NoReply,
    /// Of several that serve an address one had the request and is no more: whether it was handled nobody knows, and it
    /// may not be handled twice.
    #[error("the answer is lost: {0}")]
    Lost(String),
    /// The actor asked itself, which could never be answered while it waits.
    #[error("an actor cannot wait for itself")]
    ToItself,
    /// The request could not be written.
    #[error("cannot be encoded: {0}")]
    Encode(String),
    /// The host grants the asker no such thing; the text says what to grant.
    #[error("denied: {0}")]
    Denied(String),
}

impl AskError {
    /// Reads what `Display` wrote: an error crosses the ABI as its sentence. Any other text reads as
    /// [`AskError::Failed`].
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let plain = [Self::Timeout, Self::Stopped, Self::Full, Self::ReplyShape, Self::NoReply, Self::ToItself];
        if let Some(error) = plain.into_iter().find(|error| error.to_string() == text) {
            return error;
        }
        let about: [fn(String) -> Self; 9] = [
            Self::NoActor,
            Self::UnknownMessage,
            Self::UnknownShape,
            Self::Failed,
            Self::Panicked,
            Self::Decode,
            Self::Encode,
            Self::Denied,
            Self::Lost,
        ];
        let read = |make: fn(String) -> Self| {
            // The sentence around a hole that no name can contain.
            let sentence = make("\0".into()).to_string();
            let (before, after) = sentence.split_once('\0')?;
            let detail = text.strip_prefix(before)?.strip_suffix(after)?;
            Some(make(detail.to_owned()))
        };
        about.into_iter().find_map(read).unwrap_or_else(|| Self::Failed(text.to_owned()))
    }
}

/// The answer to an ask: a hole while the continuation waits, a result when it is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T>(Option<Result<T, AskError>>);

impl<T> Answer<T> {
    /// The hole. Encoded it takes no bytes.
    #[must_use]
    pub const fn hole() -> Self {
        Self(None)
    }

    /// An answer made by hand, for tests of a handler.
    #[must_use]
    pub const fn filled(answer: Result<T, AskError>) -> Self {
        Self(Some(answer))
    }

    /// The answer.
    ///
    /// # Errors
    /// Why there is none; a hole that never was filled reads as [`AskError::NoReply`].
    pub fn get(self) -> Result<T, AskError> {
        self.0.unwrap_or(Err(AskError::NoReply))
    }
}

/// What a turn with cause "answer" brings: the reply's shape and bytes, or why there is none.
pub type Filling = Result<(Fingerprint, Vec<u8>), AskError>;

thread_local! {
    static FILLING: Cell<Option<Filling>> = const { Cell::new(None) };
    static HOLE_ALLOWED: Cell<bool> = const { Cell::new(false) };
}

/// Puts a value into a thread's cell, and what was there before back, also on the way out of a panic.
struct Put<T: 'static> {
    cell: &'static LocalKey<Cell<T>>,
    before: Option<T>,
}

impl<T> Put<T> {
    fn new(cell: &'static LocalKey<Cell<T>>, value: T) -> Self {
        Self { cell, before: Some(cell.replace(value)) }
    }
}

impl<T> Drop for Put<T> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.cell.set(before);
        }
    }
}

/// Runs `decode` with `filling` as what the hole is filled from. Used by the SDK around decoding a continuation. Calls
/// may nest; nothing is left behind, whether `decode` returns or panics.
///
/// # Errors
/// What `decode` returns.
pub fn filling<T>(filling: Filling, decode: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    let _put = Put::new(&FILLING, Some(filling));
    decode()
}

/// Runs `encode` with one hole allowed: only a continuation may hold one. As [`filling`] it nests and leaves nothing.
pub fn with_holes<T>(encode: impl FnOnce() -> T) -> T {
    let _put = Put::new(&HOLE_ALLOWED, true);
    encode()
}

impl<T> Serialize for Answer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_some() || !HOLE_ALLOWED.get() {
            return Err(ser::Error::custom(
                "an answer belongs to a continuation, which holds one: it is neither told nor kept in state",
            ));
        }
        HOLE_ALLOWED.set(false);
        serializer.serialize_unit()
    }
}

impl<'de, T: Wire> Deserialize<'de> for Answer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer)?;
        let Some(filling) = FILLING.take() else {
            return Err(de::Error::custom("an answer is filled once, in the turn that brings it"));
        };
        match filling {
            Ok((shape, bytes)) => match T::decode(shape, &bytes) {
                Ok(value) => Ok(Self(Some(Ok(value)))),
                Err(error) => Ok(Self(Some(Err(AskError::Decode(error.to_string()))))),
            },
            Err(error) => Ok(Self(Some(Err(error)))),
        }
    }
}

impl<T: Shape> Shape for Answer<T> {
    const NODE: &'static Node = &Node::Answer(T::NODE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ask_error_reads_back_from_its_sentence() {
        let about = "in another shape: \u{e9}".to_owned();
        let all = [
            AskError::Timeout,
            AskError::NoActor(about.clone()),
            AskError::Stopped,
            AskError::Full,
            AskError::UnknownMessage(about.clone()),
            AskError::UnknownShape(about.clone()),
            AskError::Failed(about.clone()),
            AskError::Panicked(about.clone()),
            AskError::Lost(about.clone()),
            AskError::Decode(about.clone()),
            AskError::ReplyShape,
            AskError::NoReply,
            AskError::ToItself,
            AskError::Encode(about.clone()),
            AskError::Denied(about),
        ];
        for error in all {
            assert_eq!(AskError::from_text(&error.to_string()), error);
        }
        assert_eq!(AskError::from_text("disk full"), AskError::Failed("disk full".into()));
    }
}
