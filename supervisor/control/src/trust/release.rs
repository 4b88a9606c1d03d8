//! The release file: what a signature is about.

use super::error::TrustError;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use teneral_contract::manifest::SchemaEntry;
use teneral_contract::{Digest, Fingerprint, Manifest};

/// Longest release file, in bytes.
pub const RELEASE_BYTES_MAX: usize = 64 << 10;

/// The format that this teneral writes and reads.
const FORMAT: u32 = 1;

/// Which bytes of which kind and version somebody vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    format: u32,
    /// The actor kind.
    pub kind: String,
    /// The author's version.
    pub version: Version,
    /// SHA-256 of the whole artifact.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
    /// ABI major and minor.
    pub abi: [u16; 2],
    /// What it does with state.
    pub schemas: Schemas,
    /// When it may no longer be brought to a host; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The release set that it belongs to, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
}

/// The schemas of an artifact, each by number and fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// What it saves and runs.
    pub runs: SchemaEntry,
    /// What it migrates from.
    pub from: Vec<SchemaEntry>,
    /// What it goes down to.
    pub down: Vec<SchemaEntry>,
}

impl Schemas {
    fn of(manifest: &Manifest) -> Self {
        let runs = SchemaEntry { schema: manifest.state.schema, fingerprint: manifest.state.fingerprint };
        Self { runs, from: manifest.state.from.clone(), down: manifest.state.down.clone() }
    }
}

impl ReleaseFile {
    /// The release file of an artifact.
    #[must_use]
    pub fn of(manifest: &Manifest, sha256: Digest, bytes: u64) -> Self {
        Self {
            format: FORMAT,
            kind: manifest.kind.clone(),
            version: manifest.version.clone(),
            sha256,
            bytes,
            abi: manifest.abi,
            schemas: Schemas::of(manifest),
            expires: None,
            set: None,
        }
    }

    /// Its bytes: what is signed.
    ///
    /// # Errors
    /// [`TrustError::Release`], which no release made here is known to cause.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrustError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| TrustError::Release(error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let unread = |error: serde_json::Error| TrustError::Release(error.to_string());
        // The format first: a later one may have other fields.
        let Head { format } = serde_json::from_slice(bytes).map_err(unread)?;
        if format != FORMAT {
            return Err(TrustError::Format { found: format, supported: FORMAT });
        }
        serde_json::from_slice(bytes).map_err(unread)
    }

    /// Whether it may still be brought to a host.
    ///
    /// # Errors
    /// [`TrustError::Expired`].
    pub fn is_current(&self, now: Timestamp) -> Result<(), TrustError> {
        match self.expires.filter(|expires| *expires <= now) {
            Some(expires) => Err(TrustError::Expired(expires)),
            None => Ok(()),
        }
    }

    /// Whether it is about this artifact, and says of it what it says of itself.
    ///
    /// # Errors
    /// [`TrustError::Other`]: the first thing that differs.
    pub fn is_about(&self, manifest: &Manifest, sha256: Digest, bytes: u64) -> Result<(), TrustError> {
        let same = |what, found: String, actual: String| {
            if found == actual { Ok(()) } else { Err(TrustError::Other { what, found, actual }) }
        };
        same("SHA-256", self.sha256.to_string(), sha256.to_string())?;
        same("length", self.bytes.to_string(), bytes.to_string())?;
        same("kind", self.kind.clone(), manifest.kind.clone())?;
        same("version", self.version.to_string(), manifest.version.to_string())?;
        same("ABI", text_of_abi(self.abi), text_of_abi(manifest.abi))?;
        let actual = Schemas::of(manifest);
        same("the schema", text(&[self.schemas.runs]), text(&[actual.runs]))?;
        same("what it migrates from", text(&self.schemas.from), text(&actual.from))?;
        same("what it goes down to", text(&self.schemas.down), text(&actual.down))
    }
}

fn text_of_abi([major, minor]: [u16; 2]) -> String {
    format!("{major}.{minor}")
}

fn text(schemas: &[SchemaEntry]) -> String {
    let one = |entry: &SchemaEntry| {
        let SchemaEntry { schema, fingerprint } = entry;
        let fingerprint: &Fingerprint = fingerprint;
        format!("{schema} ({fingerprint})")
    };
    if schemas.is_empty() { "nothing".to_owned() } else { schemas.iter().map(one).collect::<Vec<_>>().join(", ") }
}
