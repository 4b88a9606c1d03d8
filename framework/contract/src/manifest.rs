//! What a library says of itself before it is loaded: section `.teneral`, a 16-byte header and JSON.
//!
//! JSON, because `readelf -p .teneral x.so` shows it and any language can write it. It holds every shape in full, so
//! that the host can say what differs, not only that something does.

use crate::addr::is_kind;
use crate::constjson::crc32;
use crate::program::ProgramEntry;
use crate::shape::Fingerprint;
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeSet;

/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of the JSON. serde_json itself stops at 128.
pub const MANIFEST_DEPTH_MAX: usize = 100;
/// The header before the JSON, in bytes.
pub const HEADER_BYTES: usize = 16;
/// First bytes of the section.
pub const MANIFEST_MAGIC: [u8; 4] = *b"TNRL";
/// The format of header and JSON.
pub const MANIFEST_FORMAT: u16 = 1;

/// Why a section holds no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Shorter than its header.
    #[error("the section holds {bytes} bytes, its header alone takes {HEADER_BYTES}")]
    Short {
        /// Found.
        bytes: usize,
    },
    /// Not ours.
    #[error("the section starts with {0:02x?}, not with TNRL")]
    Magic([u8; 4]),
    /// Written by a newer SDK.
    #[error("manifest format {found}, this host knows {MANIFEST_FORMAT}")]
    Format {
        /// Found.
        found: u16,
    },
    /// Flags that this host does not know.
    #[error("unknown flags {0:#06x} in the manifest's header")]
    Flags(u16),
    /// Over the limit.
    #[error("a manifest of {bytes} bytes, over the limit of {MANIFEST_BYTES_MAX}")]
    Size {
        /// Claimed.
        bytes: usize,
    },
    /// The section ends before the manifest does.
    #[error("the header claims {claimed} bytes of JSON, the section holds {found}")]
    Cut {
        /// What the header says.
        claimed: usize,
        /// What is there.
        found: usize,
    },
    /// Two crates of one library export an actor.
    #[error("a second manifest after the first: a library exports one actor")]
    Doubled,
    /// The section goes on after the manifest.
    #[error("{0} bytes after the end of the manifest")]
    Trailing(usize),
    /// The bytes are damaged.
    #[error("the manifest's checksum is {found:08x}, its header claims {claimed:08x}")]
    Checksum {
        /// What the header says.
        claimed: u32,
        /// What the bytes give.
        found: u32,
    },
    /// Nested too deep.
    #[error("the manifest nests deeper than {MANIFEST_DEPTH_MAX} levels")]
    Depth,
    /// Not the JSON of a manifest.
    #[error("the manifest's JSON: {0}")]
    Json(String),
    /// Header and JSON name different formats.
    #[error("the header says format {header}, the JSON {json}")]
    FormatTwice {
        /// The header's.
        header: u16,
        /// The JSON's.
        json: u16,
    },
    /// A kind that is none.
    #[error("{0:?} is no kind: 1 to 64 of a-z, 0-9, '.', '_', '-'")]
    Kind(String),
    /// Schema 0.
    #[error("the state's schema is 0: schemas count from 1")]
    Schema,
    /// A schema of the ladder that is not older than the state's own.
    #[error("the ladder leads to or from schema {rung}, which is not older than the state's own {own}")]
    Ladder {
        /// The schema that is out of place.
        rung: u32,
        /// The state's own.
        own: u32,
    },
    /// A library says that it is a program.
    #[error("the manifest of a library says `program`, which only a packed program has")]
    Program,
    /// A message is listed twice.
    #[error("message {0} is listed twice")]
    MessageTwice(String),
}

/// What a library says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of this text: 1.
    pub format: u16,
    /// ABI major and minor.
    pub abi: [u16; 2],
    /// Target triple.
    pub target: String,
    /// `unwind`, or `none` for a language without unwinding. Never `abort`.
    pub panic: String,
    /// The compiler, for people.
    pub compiler: String,
    /// The actor kind.
    pub kind: String,
    /// The author's version.
    pub version: Version,
    /// The state.
    pub state: StateEntry,
    /// The start arguments.
    pub args: BodyEntry,
    /// The messages; the place is the `index` of the ABI.
    pub messages: Vec<MessageEntry>,
    /// Host extensions without which the library does not work.
    #[serde(default)]
    pub requires: Vec<String>,
    /// What it may do beyond messages; granted per kind by the operator.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Equal inputs give equal effects: replay is offered.
    #[serde(default)]
    pub deterministic: bool,
    /// Handlers may block: turns get threads of their own.
    #[serde(default)]
    pub blocking: bool,
    /// It is a program of its own, and how that is spoken to. A library has none of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramEntry>,
}

impl Manifest {
    /// Reads section `.teneral`: header, bounds, checksum, JSON, and what must hold between its parts.
    ///
    /// # Errors
    /// [`ManifestError`]: the first thing that is wrong. Never panics, whatever the bytes.
    pub fn parse(section: &[u8]) -> Result<Self, ManifestError> {
        let (header, json) = split(section)?;
        if depth_over(json, MANIFEST_DEPTH_MAX) {
            return Err(ManifestError::Depth);
        }
        let manifest: Self = serde_json::from_slice(json).map_err(|error| ManifestError::Json(error.to_string()))?;
        if manifest.format != header {
            return Err(ManifestError::FormatTwice { header, json: manifest.format });
        }
        manifest.check()?;
        if manifest.program.is_some() {
            return Err(ManifestError::Program);
        }
        Ok(manifest)
    }

    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        if !is_kind(&self.kind) {
            return Err(ManifestError::Kind(self.kind.clone()));
        }
        let own = self.state.schema;
        if own == 0 {
            return Err(ManifestError::Schema);
        }
        let rungs = self.state.from.iter().chain(&self.state.down).map(|rung| rung.schema);
        if let Some(rung) = rungs.into_iter().find(|rung| !(1..own).contains(rung)) {
            return Err(ManifestError::Ladder { rung, own });
        }
        let mut names = BTreeSet::new();
        match self.messages.iter().find(|message| !names.insert(&message.name)) {
            Some(twice) => Err(ManifestError::MessageTwice(twice.name.clone())),
            None => Ok(()),
        }
    }
}

/// The header's format and the JSON, whose length and checksum are the header's.
fn split(section: &[u8]) -> Result<(u16, &[u8]), ManifestError> {
    let (header, rest) =
        section.split_first_chunk::<HEADER_BYTES>().ok_or(ManifestError::Short { bytes: section.len() })?;
    let &[m0, m1, m2, m3, f0, f1, g0, g1, l0, l1, l2, l3, c0, c1, c2, c3] = header;
    if [m0, m1, m2, m3] != MANIFEST_MAGIC {
        return Err(ManifestError::Magic([m0, m1, m2, m3]));
    }
    let format = u16::from_le_bytes([f0, f1]);
    if format != MANIFEST_FORMAT {
        return Err(ManifestError::Format { found: format });
    }
    let flags = u16::from_le_bytes([g0, g1]);
    if flags != 0 {
        return Err(ManifestError::Flags(flags));
    }
    let claimed = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if claimed > MANIFEST_BYTES_MAX {
        return Err(ManifestError::Size { bytes: claimed });
    }
    let (json, after) = rest.split_at_checked(claimed).ok_or(ManifestError::Cut { claimed, found: rest.len() })?;
    // A linker may pad what it puts side by side.
    let padding = after.iter().take_while(|byte| **byte == 0).count();
    if after[padding..].starts_with(&MANIFEST_MAGIC) {
        return Err(ManifestError::Doubled);
    }
    if !after.is_empty() {
        return Err(ManifestError::Trailing(after.len()));
    }
    let (claimed, found) = (u32::from_le_bytes([c0, c1, c2, c3]), crc32(json));
    if claimed != found {
        return Err(ManifestError::Checksum { claimed, found });
    }
    Ok((format, json))
}

/// Whether brackets outside of strings nest deeper than `levels_max`.
pub(crate) fn depth_over(json: &[u8], levels_max: usize) -> bool {
    let (mut levels, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => levels += 1,
            b']' | b'}' if !quoted => levels = levels.saturating_sub(1),
            _ => {}
        }
        if levels > levels_max {
            return true;
        }
    }
    false
}

/// The state's schema and its ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEntry {
    /// The schema that the code saves and runs.
    pub schema: u32,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its shape.
    pub shape: serde_json::Value,
    /// Older schemas that `restore` climbs from.
    #[serde(default)]
    pub from: Vec<SchemaEntry>,
    /// Older schemas that `downgrade` reaches.
    #[serde(default)]
    pub down: Vec<SchemaEntry>,
}

/// A schema by number and fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaEntry {
    /// The number.
    pub schema: u32,
    /// The fingerprint.
    pub fingerprint: Fingerprint,
}

/// A body's shape and the older ones it is read from, or, for a reply, written as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyEntry {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its shape.
    pub shape: serde_json::Value,
    /// Args: older shapes it is read from. Reply: older shapes it can be written as.
    #[serde(default)]
    pub also: Vec<Fingerprint>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageEntry {
    /// The variant's name.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its shape.
    pub shape: serde_json::Value,
    /// Older shapes that are up-cast.
    #[serde(default)]
    pub also: Vec<Fingerprint>,
    /// The reply it asks for.
    #[serde(default)]
    pub reply: Option<BodyEntry>,
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 {
            return Err(de::Error::custom("a fingerprint is 32 hexadecimal digits"));
        }
        u128::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
    }
}
