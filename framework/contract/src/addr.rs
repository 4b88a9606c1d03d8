//! Addresses: a path `kind/key`, and inside its stable 128-bit hash everywhere.
//!
//! The path is what people and snapshots keep; the hash is what the hot path looks up. A host refuses to start an actor
//! whose hash is taken by another path, so a collision is an error and never a mix-up.

use crate::shape::fnv128;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc};

/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 512;

/// Where an actor is reached, for as long as it is called that: over restarts, upgrades and moves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    id: u128,
    path: Arc<str>,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddrError {
    /// Not `kind/key`.
    #[error("{0:?} is no address: write kind/key, as in log-handler/web")]
    Form(String),
    /// Too long.
    #[error("{bytes} bytes, over the limit of {PATH_BYTES_MAX}")]
    Length {
        /// Found.
        bytes: usize,
    },
    /// A kind outside `[a-z0-9._-]{1,64}`.
    #[error("{0:?} is no kind: 1 to 64 of a-z, 0-9, '.', '_', '-'")]
    Kind(String),
    /// A key with a control character, or an empty one.
    #[error("{0:?} is no key: it is empty or holds a control character")]
    Key(String),
}

/// Whether `name` is a valid kind: `[a-z0-9._-]{1,64}`, and neither `.` nor `..`.
#[must_use]
pub fn is_kind(name: &str) -> bool {
    let fits = (1..=64).contains(&name.len()) && name != "." && name != "..";
    fits && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

impl Addr {
    /// An address from its path.
    ///
    /// # Errors
    /// [`AddrError`] when the text is not `kind/key`.
    pub fn new(path: &str) -> Result<Self, AddrError> {
        if path.len() > PATH_BYTES_MAX {
            return Err(AddrError::Length { bytes: path.len() });
        }
        let (kind, key) = path.split_once('/').ok_or_else(|| AddrError::Form(path.to_owned()))?;
        if !is_kind(kind) {
            return Err(AddrError::Kind(kind.to_owned()));
        }
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err(AddrError::Key(key.to_owned()));
        }
        Ok(Self { id: fnv128(path.as_bytes()), path: path.into() })
    }

    /// FNV-1a-128 of the path.
    #[must_use]
    pub const fn id(&self) -> u128 {
        self.id
    }

    /// `kind/key`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands before the first `/`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.path.split_once('/').map_or("", |(kind, _)| kind)
    }

    /// What stands after it.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.split_once('/').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addr({})", self.path)
    }
}

impl FromStr for Addr {
    type Err = AddrError;

    fn from_str(path: &str) -> Result<Self, AddrError> {
        Self::new(path)
    }
}

impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.path)
    }
}

impl<'de> Deserialize<'de> for Addr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = String::deserialize(deserializer)?;
        Self::new(&path).map_err(serde::de::Error::custom)
    }
}
