//! The two codecs, and the only place that names them.
//!
//! Messages: bincode 2 in its fixed-integer little-endian layout, positional, guarded by fingerprints. State:
//! MessagePack with field names, which survives a reordered struct where a positional codec swaps equal-typed fields
//! silently. Both refuse trailing bytes and bound what a hostile length can make them allocate or recurse.

use crate::checks::is_recursive;
use crate::shape::{Fingerprint, Shape};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod fixint;
mod named;
mod shown;
mod written;

pub use written::Misfit;

/// Largest message body that is written or read, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Largest state that is written or read, in bytes. A host sets its own limit below.
pub const STATE_BYTES_MAX: usize = 1 << 30;
/// Deepest nesting of a value that holds itself, in levels of either codec.
pub const DEPTH_MAX: usize = 256;

/// Why bytes are no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what the codec writes for this type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The bytes go on after the value.
    #[error("{0} bytes after the end of the value")]
    Trailing(usize),
    /// Longer than the limit.
    #[error("{bytes} bytes, over the limit of {limit_bytes}")]
    Limit {
        /// Found.
        bytes: usize,
        /// Allowed.
        limit_bytes: usize,
    },
    /// Nested too deep.
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Depth,
    /// No path from this shape.
    #[error("no path from shape {found} to {expected}")]
    Shape {
        /// What the reader knows.
        expected: Fingerprint,
        /// What the bytes claim.
        found: Fingerprint,
    },
    /// The message enum has no such variant.
    #[error("no message number {0}")]
    UnknownVariant(u32),
}

/// Why a value could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The codec refused the value.
    #[error("cannot be written: {0}")]
    Refused(String),
    /// Longer than the limit.
    #[error("over the limit of {limit_bytes} bytes")]
    Limit {
        /// Allowed.
        limit_bytes: usize,
    },
    /// Nested too deep to be read again.
    #[error("nested deeper than {DEPTH_MAX} levels, which no reader accepts: write a list instead")]
    Depth,
    /// No path to the shape that the reader expects.
    #[error("the reader expects shape {expected}, this is {found}")]
    Shape {
        /// What the reader knows.
        expected: Fingerprint,
        /// What the writer has.
        found: Fingerprint,
    },
}

/// Appends a message body. After an error `out` is as it was.
///
/// # Errors
/// [`EncodeError::Limit`] past [`MESSAGE_BYTES_MAX`], else [`EncodeError::Refused`] with the codec's reason.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (start, limit_bytes) = (out.len(), MESSAGE_BYTES_MAX);
    let layout = bincode::config::standard().with_fixed_int_encoding();
    let result = match bincode::serde::encode_into_std_write(value, out, layout) {
        Ok(bytes) if bytes > limit_bytes => Err(EncodeError::Limit { limit_bytes }),
        Ok(_) => return Ok(()),
        Err(error) => Err(EncodeError::Refused(error.to_string())),
    };
    out.truncate(start);
    result
}

/// Reads a message body.
///
/// # Errors
/// [`DecodeError`] when the bytes are no such value, or more than one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    within(bytes, MESSAGE_BYTES_MAX)?;
    let mut reader = fixint::Reader::new(bytes);
    let value = T::deserialize(&mut reader)?;
    ended(reader.left()).map(|()| value)
}

/// A message body as JSON, by the shape that a manifest has of it (`docs/abi.md`), as its own code would write it. None
/// of that code runs.
///
/// # Errors
/// [`DecodeError`]: the bytes are none of that shape, or it has a type that only its code can read.
pub fn shown(shape: &serde_json::Value, bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
    within(bytes, MESSAGE_BYTES_MAX)?;
    let mut reader = fixint::Reader::new(bytes);
    let value = shown::body(shape, &mut reader)?;
    ended(reader.left()).map(|()| value)
}

/// Appends a message body that is JSON, by the shape that a manifest has of it, as its own code would write it. After
/// an error `out` is as it was.
///
/// # Errors
/// [`Misfit`], with the field: the value is none of that shape, or it has a type that only its code can write.
pub fn written(shape: &serde_json::Value, value: &serde_json::Value, out: &mut Vec<u8>) -> Result<(), Misfit> {
    let start = out.len();
    written::body(shape, value, out, MESSAGE_BYTES_MAX).inspect_err(|_| out.truncate(start))
}

/// Appends a state. After an error `out` is as it was.
///
/// # Errors
/// As [`encode_state_within`] with [`STATE_BYTES_MAX`].
pub fn encode_state<T: Shape + Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_state_within(value, STATE_BYTES_MAX, out)
}

/// Appends a state of at most `bytes_max`. After an error `out` is as it was.
///
/// # Errors
/// [`EncodeError::Limit`] past `bytes_max`, [`EncodeError::Depth`] for a value that nests too deep to be read again,
/// else [`EncodeError::Refused`] with the codec's reason.
pub fn encode_state_within<T: Shape + Serialize>(
    value: &T,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    bounded(out, bytes_max, |writer| rmp_serde::encode::write_named(writer, value).map_err(|error| error.to_string()))?;
    if const { is_recursive(T::NODE) } && named::check(&out[start..]) == Err(DecodeError::Depth) {
        out.truncate(start);
        return Err(EncodeError::Depth);
    }
    Ok(())
}

/// Reads a state.
///
/// # Errors
/// [`DecodeError`] when the bytes are no such value, or more than one.
pub fn decode_state<T: Shape + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    within(bytes, STATE_BYTES_MAX)?;
    if const { is_recursive(T::NODE) } || bytes.len() < CHECKED_BYTES_MAX {
        named::check(bytes)?;
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    let value = T::deserialize(&mut reader).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    // The reader does not tell its place: a second value that starts nowhere is the end.
    match bool::deserialize(&mut reader) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => named::check(bytes).map(|()| value),
    }
}

/// Below this length a state's lengths are checked before it is read: each of them can make the reader reserve 1 MiB,
/// which only a longer input is worth.
const CHECKED_BYTES_MAX: usize = 1 << 20;

fn within(bytes: &[u8], limit_bytes: usize) -> Result<(), DecodeError> {
    if bytes.len() > limit_bytes { Err(DecodeError::Limit { bytes: bytes.len(), limit_bytes }) } else { Ok(()) }
}

const fn ended(left: usize) -> Result<(), DecodeError> {
    if left == 0 { Ok(()) } else { Err(DecodeError::Trailing(left)) }
}

fn bounded(
    out: &mut Vec<u8>,
    limit_bytes: usize,
    write: impl FnOnce(&mut Bounded) -> Result<(), String>,
) -> Result<(), EncodeError> {
    let start = out.len();
    // Moved in and out again: the writer is the hot path, and one step to its bytes is faster than two.
    let mut writer = Bounded { out: std::mem::take(out), end_max: start.saturating_add(limit_bytes), is_over: false };
    let result = write(&mut writer);
    *out = writer.out;
    result.map_err(|reason| {
        out.truncate(start);
        if writer.is_over { EncodeError::Limit { limit_bytes } } else { EncodeError::Refused(reason) }
    })
}

/// Appends to a vector up to a length.
struct Bounded {
    out: Vec<u8>,
    end_max: usize,
    is_over: bool,
}

impl Bounded {
    #[inline]
    fn push(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.end_max - self.out.len() {
            self.is_over = true;
            return false;
        }
        self.out.extend_from_slice(bytes);
        true
    }
}

impl std::io::Write for Bounded {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.push(bytes) { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
