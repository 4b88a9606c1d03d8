//! Public keys, in minisign's format, and what a host knows of those that it trusts.

use super::error::TrustError;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Names a key: eight bytes that a key carries and that its signatures repeat. No proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

/// In a key as in a signature: two bytes of algorithm, then the key's id.
const ID: std::ops::Range<usize> = 2..10;

impl KeyId {
    /// The key that a signature says it is by.
    ///
    /// # Errors
    /// [`TrustError::Form`] and [`TrustError::Legacy`] for what is no signature here.
    pub fn of_signature(signature: &str) -> Result<Self, TrustError> {
        let line = signature.lines().nth(1).ok_or_else(|| TrustError::Form("it has no second line".to_owned()))?;
        let bytes = decoded(line.trim()).ok_or_else(|| TrustError::Form("its second line is no base64".to_owned()))?;
        if bytes.starts_with(b"Ed") {
            return Err(TrustError::Legacy);
        }
        Self::within(&bytes).ok_or_else(|| TrustError::Form("its second line is too short".to_owned()))
    }

    fn within(bytes: &[u8]) -> Option<Self> {
        bytes.get(ID)?.try_into().ok().map(Self)
    }
}

/// As minisign prints it: the number that the bytes are, little-endian.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = TrustError;

    fn from_str(text: &str) -> Result<Self, TrustError> {
        let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
        let number =
            number.ok_or_else(|| TrustError::Public(format!("{text:?} is no key id: 16 hexadecimal digits")))?;
        Ok(Self(number.to_le_bytes()))
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    base64: String,
    id: KeyId,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// A key from its base64 alone, or from a `.pub` file with its comment.
    ///
    /// # Errors
    /// [`TrustError::Public`].
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = lines().find(|line| !line.starts_with("untrusted comment:"));
        let base64 = line.ok_or_else(|| TrustError::Public("it is empty".to_owned()))?;
        let key =
            minisign_verify::PublicKey::from_base64(base64).map_err(|error| TrustError::Public(error.to_string()))?;
        let id = decoded(base64).and_then(|bytes| KeyId::within(&bytes));
        let id = id.ok_or_else(|| TrustError::Public("it is too short".to_owned()))?;
        Ok(Self { base64: base64.to_owned(), id, key })
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn verify(&self, bytes: &[u8], signature: &str) -> Result<(), TrustError> {
        let signature = minisign_verify::Signature::decode(signature);
        let signature = signature.map_err(|error| TrustError::Form(error.to_string()))?;
        self.key.verify(bytes, &signature, false).map_err(|error| match error {
            minisign_verify::Error::UnsupportedLegacyMode => TrustError::Legacy,
            _ => TrustError::Mismatch(self.id),
        })
    }
}

/// In base64, one line.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.base64)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Somebody trusted it on purpose.
    Release,
    /// The tools made it by themselves, for this machine.
    Development,
}

/// A key that a host trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// The key.
    pub public: PublicKey,
    /// Whose, for people.
    pub name: String,
    /// What for.
    pub purpose: KeyPurpose,
    /// Since when.
    pub added: Timestamp,
    /// Who said so.
    pub by: String,
    /// Until when; `None`: until somebody takes it back.
    pub expires: Option<Timestamp>,
}

pub(super) fn decoded(base64: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(base64).ok()
}
