//! An artifact that is a program of its own: a header, its manifest, and the program's bytes, in one file.
//!
//! A library carries its manifest in a section that the linker wrote. A script has no sections, and of a program in
//! some other language nobody wants to ask for one: so the manifest stands before it, where it is read without running
//! anything, and digest and signature are over both.

use crate::described;
use crate::manifest::{MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, Manifest, ManifestError, depth_over};
use crate::shape::{Fingerprint, fingerprint};
use crate::{Node, by_hand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// First bytes of the file.
pub const PROGRAM_MAGIC: [u8; 8] = *b"TNRLPROG";
/// The format of what follows.
pub const PROGRAM_FORMAT: u16 = 1;
/// The header: magic, format, flags, length of the manifest in four bytes, of the program in eight, little-endian.
pub const PROGRAM_HEADER_BYTES: usize = 24;
/// For which machines a program's manifest says that it is: its bytes say it themselves.
pub const ANY_TARGET: &str = "any";

/// How a program is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// `teneral.module.v1`.
    Grpc,
    /// The same in requests with JSON bodies.
    Http,
}

/// In what bodies, start arguments and replies cross to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As JSON: the host goes between it and the layout of messages, by the shapes of the manifest.
    Json,
    /// In the layout of messages.
    Bincode,
}

/// What a manifest says of a program, besides what it says of a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramEntry {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// In what bodies cross.
    pub encoding: Encoding,
    /// Older shapes of its messages and arguments, by their fingerprints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub older: BTreeMap<Fingerprint, Value>,
    /// The messages that it sends to others, by their kinds and names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sends: BTreeMap<String, BTreeMap<String, SentEntry>>,
    /// The start arguments of the children that it has, by their kinds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, Value>,
}

/// A message that a program sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentEntry {
    /// Its shape.
    pub shape: Value,
    /// The shape of the reply that it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Value>,
}

/// Why bytes are no program with its manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The file ends within its header.
    #[error("the file has {bytes} bytes, its header alone takes {PROGRAM_HEADER_BYTES}")]
    Short {
        /// Found.
        bytes: usize,
    },
    /// Written by a newer `teneral`.
    #[error("program format {found}, this host knows {PROGRAM_FORMAT}")]
    Format {
        /// Found.
        found: u16,
    },
    /// Flags that this host does not know.
    #[error("unknown flags {0:#06x} in the program's header")]
    Flags(u16),
    /// The header does not say what there is.
    #[error("the header says {manifest} bytes of manifest and {program} of program, {found} bytes follow it")]
    Length {
        /// Claimed.
        manifest: u64,
        /// Claimed.
        program: u64,
        /// What follows the header.
        found: u64,
    },
    /// Nothing to run.
    #[error("the program has no bytes")]
    Empty,
    /// Neither a script nor a program for this kind of system.
    #[error("the program begins with {0:02x?}: neither with #! nor as an ELF file")]
    Start([u8; 2]),
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest is of a library.
    #[error("the manifest says nothing of a program")]
    Library,
    /// The manifest asks for what no program has.
    #[error("{field}: {wrong}")]
    Field {
        /// Where.
        field: String,
        /// What is wrong.
        wrong: String,
    },
}

/// Whether a file begins as a program with its manifest does.
#[must_use]
pub fn is_program(bytes: &[u8]) -> bool {
    bytes.starts_with(&PROGRAM_MAGIC)
}

/// Puts both into one file. The same input gives the same bytes.
///
/// # Errors
/// [`ProgramError`]: it would be refused where it is read.
pub fn pack(manifest: &Manifest, program: &[u8]) -> Result<Vec<u8>, ProgramError> {
    let json = serde_json::to_vec(manifest).map_err(|error| ManifestError::Json(error.to_string()))?;
    if json.len() > MANIFEST_BYTES_MAX {
        return Err(ManifestError::Size { bytes: json.len() }.into());
    }
    let mut file = Vec::with_capacity(PROGRAM_HEADER_BYTES + json.len() + program.len());
    file.extend_from_slice(&PROGRAM_MAGIC);
    file.extend_from_slice(&PROGRAM_FORMAT.to_le_bytes());
    file.extend_from_slice(&0_u16.to_le_bytes());
    file.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    file.extend_from_slice(&(program.len() as u64).to_le_bytes());
    file.extend_from_slice(&json);
    file.extend_from_slice(program);
    read(&file)?;
    Ok(file)
}

/// Reads a file that [`is_program`]: its manifest, and the program's bytes. Nothing is run.
///
/// # Errors
/// [`ProgramError`]: the first thing that is wrong. Never panics, whatever the bytes.
pub fn read(file: &[u8]) -> Result<(Manifest, &[u8]), ProgramError> {
    let header = file.split_first_chunk::<PROGRAM_HEADER_BYTES>();
    let (header, rest) = header.ok_or(ProgramError::Short { bytes: file.len() })?;
    let &[_, _, _, _, _, _, _, _, f0, f1, g0, g1, m0, m1, m2, m3, p @ ..] = header;
    let format = u16::from_le_bytes([f0, f1]);
    if format != PROGRAM_FORMAT {
        return Err(ProgramError::Format { found: format });
    }
    let flags = u16::from_le_bytes([g0, g1]);
    if flags != 0 {
        return Err(ProgramError::Flags(flags));
    }
    let (claimed, program) = (u32::from_le_bytes([m0, m1, m2, m3]), u64::from_le_bytes(p));
    if claimed as usize > MANIFEST_BYTES_MAX {
        return Err(ManifestError::Size { bytes: claimed as usize }.into());
    }
    let (manifest, found) = (u64::from(claimed), rest.len() as u64);
    if manifest.checked_add(program) != Some(found) && !cfg!(feature = "bug-p11") {
        return Err(ProgramError::Length { manifest, program, found });
    }
    let cut = ProgramError::Length { manifest, program, found };
    let (json, program) = rest.split_at_checked(claimed as usize).ok_or(cut)?;
    if depth_over(json, MANIFEST_DEPTH_MAX) {
        return Err(ManifestError::Depth.into());
    }
    let manifest: Manifest = serde_json::from_slice(json).map_err(|error| ManifestError::Json(error.to_string()))?;
    manifest.check()?;
    check(&manifest)?;
    match program {
        [] => Err(ProgramError::Empty),
        [b'#', b'!', ..] | [0x7f, b'E', b'L', b'F', ..] => Ok((manifest, program)),
        [first, rest @ ..] => Err(ProgramError::Start([*first, rest.first().copied().unwrap_or(0)])),
    }
}

/// The fingerprint of a state of that schema: it is the program's own, and its number is all that is known of it.
#[must_use]
pub fn state_fingerprint(schema: u32) -> Fingerprint {
    match described::fingerprint(&state_shape(schema)) {
        Ok(fingerprint) => fingerprint,
        // A leaf is always a shape.
        Err(_) => fingerprint(&Node::Leaf("state")),
    }
}

/// What a manifest says in the place of a state's shape.
#[must_use]
pub fn state_shape(schema: u32) -> Value {
    Value::from(format!("state-{schema}"))
}

fn field(field: impl Into<String>, wrong: impl Into<String>) -> ProgramError {
    ProgramError::Field { field: field.into(), wrong: wrong.into() }
}

/// What must hold between the parts of a program's manifest.
fn check(manifest: &Manifest) -> Result<(), ProgramError> {
    let program = manifest.program.as_ref().ok_or(ProgramError::Library)?;
    if manifest.target != ANY_TARGET {
        return Err(field("target", format!("{:?} is wanted: the program's bytes say it themselves", ANY_TARGET)));
    }
    if program.protocol == Protocol::Http && program.encoding != Encoding::Json {
        return Err(field("program.encoding", "over HTTP it is json"));
    }
    if manifest.deterministic {
        return Err(field("deterministic", "there is no replay in a process of its own"));
    }
    let state = &manifest.state;
    let rungs = state.from.iter().chain(&state.down).map(|rung| (rung.schema, rung.fingerprint));
    if std::iter::once((state.schema, state.fingerprint)).chain(rungs).any(|(n, own)| own != state_fingerprint(n)) {
        return Err(field("state", "its fingerprints are not those of its schemas: pack it again"));
    }
    for (place, said, shape) in by_hand::shapes(manifest) {
        let is = described::fingerprint(shape).map_err(|wrong| field(place.clone(), wrong.to_string()))?;
        if said.is_some_and(|said| said != is) {
            return Err(field(place, format!("the fingerprint of its shape is {is}: pack it again")));
        }
        if let Some(own) = described::own_type(shape).filter(|_| program.encoding == Encoding::Json) {
            return Err(field(place, format!("{own} is a type that cannot be said in JSON by its shape")));
        }
    }
    let messages = manifest
        .messages
        .iter()
        .flat_map(|message| message.also.iter().map(|also| (format!("messages.{}.also", message.name), *also)));
    let args = manifest.args.also.iter().map(|also| ("args.also".to_owned(), *also));
    if program.encoding == Encoding::Json {
        for (place, also) in messages.chain(args) {
            if !program.older.contains_key(&also) {
                return Err(field(place, format!("the shape of {also} is not among program.older")));
            }
        }
        let downcast = |message: &&crate::manifest::MessageEntry| {
            message.reply.as_ref().is_some_and(|reply| !reply.also.is_empty())
        };
        if let Some(message) = manifest.messages.iter().find(downcast) {
            let wrong = "a reply in JSON has one shape: write the older one into a message of its own";
            return Err(field(format!("messages.{}.reply.also", message.name), wrong));
        }
    }
    Ok(())
}
