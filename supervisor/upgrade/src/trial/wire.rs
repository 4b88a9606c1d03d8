//! What host and trial process say to each other: frames over a socket, each a header in JSON and a body in bytes.
//!
//! The other side is the same version of this program, or it is no use: the first frame says which protocol it speaks.
//! All lengths are looked at before anything is allocated for them, since code that nobody has tried writes into the
//! same process.

use crate::error::Refused;
use crate::plan::{Hop, ReleaseRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use teneral_contract::{Digest, Fingerprint};
use teneral_loader::{Policy, Release};
use teneral_runtime::ports::Fault;

/// Raised with every change of what is said.
pub(crate) const PROTOCOL: u32 = 1;

/// Largest header.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// What the host says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// The first word: what the host's gate goes by.
    Policy(Box<Policy>),
    /// A library; the body is its bytes.
    Load { release: Release },
    /// A rehearsal; the body is the state, or the start arguments.
    Rehearse(Box<Rehearse>),
}

/// One rehearsal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rehearse {
    pub(crate) to: ReleaseRef,
    pub(crate) from_schema: u32,
    /// The shape of the start arguments, when the state is given up.
    pub(crate) args: Option<Fingerprint>,
    pub(crate) ladder: Vec<Hop>,
    /// The way back, if there is one.
    pub(crate) back: Option<Vec<Hop>>,
    pub(crate) state_bytes_max: usize,
}

/// What the trial process says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It is there, its hands are bound, and it speaks this.
    Hello { protocol: u32, version: String },
    /// It is about to do this: what a crash is blamed on.
    At(Stage),
    /// The library is in.
    Loaded { digest: Digest },
    /// It cannot go on: the gate, the loader or the kernel said no.
    Refused(Refused),
    /// The code failed, in a way that it lived to tell.
    Faulted(Fault),
    /// The rehearsal went through.
    Rehearsed(Told),
}

/// What the trial process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It starts.
    Start,
    /// It loads a library, which runs its constructors.
    Load,
    /// The new code makes an instance from the start arguments.
    Init,
    /// Code reads the state and moves it up.
    Migrate,
    /// The running code moves the state down.
    Downgrade,
    /// The new code writes its state.
    Encode,
    /// The way back, for a rollback.
    Back,
    /// The instance ends.
    Drop,
}

/// What came of a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// From the state to the new instance.
    pub(crate) migrate_us: u64,
    /// Size of the new state.
    pub(crate) bytes: usize,
    /// Whether it gave the same bytes twice.
    pub(crate) same: bool,
    pub(crate) back: Back,
    /// Why the way back gives nothing, if it fails.
    pub(crate) back_fails: Option<String>,
}

/// What the way back gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Back {
    /// There is none: the state before the upgrade can be put back, what happened since cannot be kept.
    None,
    /// The very bytes that were there.
    Exact,
    /// Other bytes than were there.
    Lossy,
}

impl Stage {
    /// As a sentence has it.
    #[must_use]
    pub const fn doing(self) -> &'static str {
        match self {
            Self::Start => "starting",
            Self::Load => "loading the library",
            Self::Init => "starting from the actor's arguments",
            Self::Migrate => "migrating the state",
            Self::Downgrade => "moving the state down",
            Self::Encode => "writing the new state",
            Self::Back => "moving the new state back",
            Self::Drop => "dropping the new instance",
        }
    }
}

/// Writes one frame.
pub(crate) fn write<H: Serialize>(to: &mut impl Write, header: &H, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let lengths = (u32::try_from(header.len()), u64::try_from(body.len()));
    let (Ok(header_bytes), Ok(body_bytes)) = lengths else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut frame = Vec::with_capacity(12 + header.len());
    frame.extend_from_slice(&header_bytes.to_le_bytes());
    frame.extend_from_slice(&body_bytes.to_le_bytes());
    frame.extend_from_slice(&header);
    to.write_all(&frame)?;
    to.write_all(body)
}

/// Reads one frame, with a body of at most `body_bytes_max`.
pub(crate) fn read<H: DeserializeOwned>(from: &mut impl Read, body_bytes_max: u64) -> io::Result<(H, Vec<u8>)> {
    let mut lengths = [0; 12];
    from.read_exact(&mut lengths)?;
    let (header, body) = lengths.split_at(4);
    let header = u32::from_le_bytes(header.try_into().unwrap_or_default()) as usize;
    let body = u64::from_le_bytes(body.try_into().unwrap_or_default());
    if header > HEADER_BYTES_MAX || body > body_bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame over its bounds"));
    }
    let header = serde_json::from_slice(&exactly(from, header as u64)?)?;
    Ok((header, exactly(from, body)?))
}

/// So many bytes; what is allocated follows what comes, not what was said.
fn exactly(from: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    from.take(bytes).read_to_end(&mut read)?;
    if (read.len() as u64) < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_as_it_was_written_and_one_over_its_bounds_is_refused_before_it_is_read() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Word::At(Stage::Load), b"body").unwrap();
        let (word, body): (Word, _) = read(&mut bytes.as_slice(), 4).unwrap();
        assert!(matches!(word, Word::At(Stage::Load)));
        assert_eq!(body, b"body");
        assert_eq!(read::<Word>(&mut bytes.as_slice(), 3).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut lying = bytes.clone();
        lying[4..12].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read::<Word>(&mut lying.as_slice(), u64::MAX).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read::<Word>(&mut lying.as_slice(), u64::MAX).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
