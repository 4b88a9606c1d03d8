//! Why the store did not do what it was asked: a variant per act, a stable code per cause.
//!
//! Operators and scripts match on the code; the sentence names what was found and what was expected.

use std::{io, path::PathBuf};
use teneral_contract::Digest;

/// Every code with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("STORE-ARTIFACT", "an artifact's bytes are not those of its digest"),
    ("STORE-CORRUPT", "the store's bytes are damaged"),
    ("STORE-FILE", "a file of the store is not a plain file with one name"),
    ("STORE-FULL", "the disk is full"),
    ("STORE-IO", "the disk failed"),
    ("STORE-LIMIT", "an artifact is over the size limit"),
    ("STORE-LOCKED", "another process holds the store"),
    ("STORE-MARKS", "the high-water marks are gone, or older than they can be"),
    ("STORE-MISSING", "no such artifact in the store"),
    ("STORE-MODE", "others may enter the store"),
    ("STORE-NAME", "a name that the store does not take"),
    ("STORE-NEWER", "the store was written by a newer teneral"),
    ("STORE-OWNER", "the store belongs to another user"),
    ("STORE-TAKEN", "the version is taken by another artifact"),
    ("STORE-UNKNOWN", "a commit's outcome is unknown"),
    ("STORE-UNOPENED", "the store's directory cannot be opened"),
];

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory could not be opened or made.
    #[error("cannot open the store's directory {path}")]
    Unopened {
        /// Which directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another handle of this one, holds the lock.
    #[error("the store {path} is held by another process{}", holder(.pid))]
    Locked {
        /// Which store.
        path: PathBuf,
        /// Who holds it, if it said so.
        pid: Option<u32>,
    },
    /// What the store knows of the highest versions is not what it knew.
    #[error("the high-water marks cannot be relied on: {0}")]
    Marks(String),
    /// A later teneral wrote it.
    #[error("{what} has format {found}, this teneral reads up to {supported}")]
    Newer {
        /// The store, or one record of it.
        what: String,
        /// Found.
        found: u16,
        /// Known here.
        supported: u16,
    },
    /// Bytes that nobody wrote like this.
    #[error("{what} is damaged: {why}")]
    Corrupt {
        /// Which part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// No room. What was asked did not happen; what was there before still is.
    #[error("the disk is full: cannot {act}")]
    Full {
        /// What was asked.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed. What was asked did not happen; what was there before still is.
    #[error("the disk failed: cannot {act}")]
    Io {
        /// What was asked.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed while a commit was being made durable: it may be found later, or not. The handle is given up;
    /// the next call opens a fresh one and reads what is there.
    #[error("cannot tell whether this was stored: {act}")]
    Unknown {
        /// What was asked.
        act: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Group or others have rights on it.
    #[error("{what} has mode {found:04o}, want {expected:04o}: only its owner may enter")]
    Mode {
        /// Which file or directory.
        what: String,
        /// Found.
        found: u32,
        /// Expected.
        expected: u32,
    },
    /// It is another user's.
    #[error("{what} belongs to user {found}, this process runs as user {expected}")]
    Owner {
        /// Which file or directory.
        what: String,
        /// Found.
        found: u32,
        /// Expected.
        expected: u32,
    },
    /// Outside `[a-z0-9._-]{1,64}`, or `.` or `..`.
    #[error("{0:?} is no name here: 1 to 64 of a-z, 0-9, '.', '_', '-'")]
    Name(String),
    /// A symlink, directory, fifo, device, or a file with a second name.
    #[error("{what} is {found}, want a plain file with one name")]
    File {
        /// Which file.
        what: String,
        /// What it is.
        found: &'static str,
    },
    /// Nothing of that digest.
    #[error("no artifact {0} in the store")]
    Missing(Digest),
    /// The bytes are not the digest's.
    #[error("artifact {expected} has bytes of digest {found}")]
    Artifact {
        /// What the record says.
        expected: Digest,
        /// What the bytes say.
        found: Digest,
    },
    /// A version means one artifact for ever.
    #[error("{release} is artifact {held} already, not {pushed}")]
    Taken {
        /// Kind and version.
        release: String,
        /// The artifact in the store.
        held: Digest,
        /// The artifact that was pushed.
        pushed: Digest,
    },
    /// Larger than the store takes.
    #[error("the artifact has {bytes} bytes, over the limit of {limit_bytes}")]
    Limit {
        /// Found.
        bytes: u64,
        /// Allowed.
        limit_bytes: u64,
    },
}

impl StoreError {
    /// The stable code; `docs/errors/<code>.md` explains it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unopened { .. } => "STORE-UNOPENED",
            Self::Locked { .. } => "STORE-LOCKED",
            Self::Newer { .. } => "STORE-NEWER",
            Self::Marks(_) => "STORE-MARKS",
            Self::Corrupt { .. } => "STORE-CORRUPT",
            Self::Full { .. } => "STORE-FULL",
            Self::Io { .. } => "STORE-IO",
            Self::Unknown { .. } => "STORE-UNKNOWN",
            Self::Mode { .. } => "STORE-MODE",
            Self::Owner { .. } => "STORE-OWNER",
            Self::Name(_) => "STORE-NAME",
            Self::File { .. } => "STORE-FILE",
            Self::Missing(_) => "STORE-MISSING",
            Self::Artifact { .. } => "STORE-ARTIFACT",
            Self::Taken { .. } => "STORE-TAKEN",
            Self::Limit { .. } => "STORE-LIMIT",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unopened { .. } => "name a directory whose parent exists and is writable",
            Self::Locked { .. } => "stop that process, or give this one a store of its own",
            Self::Marks(_) => {
                "restore the whole directory; or take what is left: teneral artifact accept-marks --reason TEXT"
            }
            Self::Newer { .. } => "run the newer teneral, or give this one a store of its own",
            Self::Corrupt { .. } => "restore the directory from a backup; the store never guesses",
            Self::Full { .. } => "make room; the next call tries again",
            Self::Io { .. } => "look at the system's log of this disk; the next call opens the store afresh",
            Self::Unknown { .. } => "read back what is stored before asking again",
            Self::Mode { .. } => "chmod 0700 the directories and 0600 the files",
            Self::Owner { .. } => "chown it, or run as its owner",
            Self::Name(_) => "rename it",
            Self::File { .. } => "remove it; the store makes its own files",
            Self::Missing(_) => "push the artifact first",
            Self::Artifact { .. } => "push the artifact again from its build",
            Self::Taken { .. } => "give the new build a new version",
            Self::Limit { .. } => "strip the library, or raise the limit",
        }
    }

    /// An operating system's error in its place: a full disk is told apart, everything else is a failed one.
    pub(crate) fn io(act: &'static str, source: io::Error) -> Self {
        if is_full(&source) { Self::Full { act, source } } else { Self::Io { act, source } }
    }
}

/// Whether a write failed for want of room: the disk, the quota, or the process's own file size limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
