//! The port: what the floors above need of a store, and how a test breaks the disk beneath it.
//!
//! Every write is one commit, durable when it returns. Nothing is cached above it, so what is read was committed.

use crate::StoreError;
use crate::record::{
    Definition, Entry, Key, Logged, ProbationOver, Quarantined, Release, SavedState, Signed, UpgradeId,
};
use semver::Version;
use std::collections::BTreeMap;
use std::{fmt, io};
use teneral_contract::{Addr, Digest};

/// Whether a push brought something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The artifact is new here.
    New,
    /// It was here before.
    Known,
}

/// What must outlive the host. All calls block, on the disk; all may come from any thread.
///
/// # Errors
/// Every function: [`StoreError::Full`], [`StoreError::Io`] and [`StoreError::Corrupt`]; those that write also
/// [`StoreError::Unknown`], after which the outcome is read back before it is relied on. What else, each says itself.
pub trait Store: fmt::Debug + Send + Sync {
    /// Keeps an artifact with its record and with what somebody signed of it, and raises the kind's high-water mark to
    /// its version. The same again keeps the newer signature, and the bytes anew if they are gone or damaged. Activates
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError::Artifact`] when the bytes are not the record's, [`StoreError::Taken`] when the version is another
    /// artifact's, [`StoreError::Name`], [`StoreError::Limit`].
    fn push(&self, release: &Release, bytes: &[u8], signed: &Signed) -> Result<Pushed, StoreError>;
    /// What somebody signed of an artifact.
    fn signed(&self, digest: Digest) -> Result<Option<Signed>, StoreError>;
    /// Takes an artifact away, with its record and what was signed of it; the high-water mark stays. An unknown one is
    /// a no-op.
    fn remove(&self, release: &Release) -> Result<(), StoreError>;
    /// All releases, by kind and version.
    fn releases(&self) -> Result<Vec<Release>, StoreError>;
    /// The artifact's bytes. Their digest is the reader's to check: it is checked on the bytes that are loaded.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::File`], [`StoreError::Mode`], [`StoreError::Owner`] when somebody put
    /// something else in its place.
    fn artifact(&self, digest: Digest) -> Result<Vec<u8>, StoreError>;

    /// The highest version of each kind that was ever pushed here. It never sinks, and stands in two places: in the
    /// database, and in a file of its own.
    ///
    /// # Errors
    /// [`StoreError::Marks`] when one of the two is gone or is older than it can be.
    fn marks(&self) -> Result<BTreeMap<String, Version>, StoreError>;
    /// Takes what is left of the marks for all there is, and writes it down in both places again: an operator's word.
    fn accept_marks(&self) -> Result<(), StoreError>;

    /// Accepts a key's signatures; one that is known is replaced.
    fn trust(&self, key: &Key) -> Result<(), StoreError>;
    /// The keys, by id.
    fn keys(&self) -> Result<Vec<Key>, StoreError>;
    /// Takes a key back; an unknown one is a no-op.
    fn distrust(&self, id: &str) -> Result<(), StoreError>;

    /// The version that new actors of a kind get.
    fn default_version(&self, kind: &str) -> Result<Option<Version>, StoreError>;
    /// Sets it.
    fn set_default(&self, kind: &str, version: &Version) -> Result<(), StoreError>;

    /// Puts a digest into quarantine; the first reason stands.
    fn quarantine(&self, entry: &Quarantined) -> Result<(), StoreError>;
    /// The quarantine, by digest.
    fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError>;
    /// The entry of one digest, if it is in quarantine.
    fn quarantine_of(&self, digest: Digest) -> Result<Option<Quarantined>, StoreError> {
        Ok(self.quarantined()?.into_iter().find(|entry| entry.digest == digest))
    }
    /// Takes a digest out of it; an unknown one is a no-op.
    fn pardon(&self, digest: Digest) -> Result<(), StoreError>;

    /// Appends to an upgrade's journal, in one commit.
    fn append(&self, id: &UpgradeId, entries: &[Entry]) -> Result<(), StoreError>;
    /// An upgrade's journal, in order; empty for an unknown one.
    fn journal(&self, id: &UpgradeId) -> Result<Vec<Entry>, StoreError>;
    /// All upgrades, by id.
    fn upgrades(&self) -> Result<Vec<UpgradeId>, StoreError>;
    /// The latest upgrades before `before`, newest first, at most `count_max`: how each began and its last entry, but
    /// for what became of probations.
    fn latest(&self, before: Option<&UpgradeId>, count_max: usize) -> Result<Vec<Logged>, StoreError>;
    /// What its journal says of the ends of probations, without what else is in it.
    fn probation_ends(&self, id: &UpgradeId) -> Result<Vec<ProbationOver>, StoreError>;
    /// The upgrade that began under a request's name.
    fn requested(&self, request: &str) -> Result<Option<UpgradeId>, StoreError>;
    /// The upgrades that began in order to take one back, oldest first; of every try, whatever came of it.
    fn rollbacks(&self, of: &UpgradeId) -> Result<Vec<UpgradeId>, StoreError>;

    /// Keeps what it takes to start an actor again, in place of what was there.
    fn define(&self, definition: &Definition) -> Result<(), StoreError>;
    /// What was kept of one actor.
    fn definition(&self, addr: &Addr) -> Result<Option<Definition>, StoreError>;
    /// All of them, by path.
    fn definitions(&self) -> Result<Vec<Definition>, StoreError>;
    /// Forgets one; an unknown one is a no-op.
    fn forget(&self, addr: &Addr) -> Result<(), StoreError>;

    /// Keeps the state of an actor that a host is closed with, in place of what was there.
    fn save_state(&self, addr: &Addr, saved: &SavedState, bytes: &[u8]) -> Result<(), StoreError>;
    /// The state that an actor was closed with.
    ///
    /// # Errors
    /// [`StoreError::Artifact`] when its bytes are not what was saved.
    fn saved_state(&self, addr: &Addr) -> Result<Option<(SavedState, Vec<u8>)>, StoreError>;
    /// Marks it as taken; without one it is a no-op.
    fn take_state(&self, addr: &Addr) -> Result<(), StoreError>;
    /// Marks it as not taken: nobody went on from it. Without one it is a no-op.
    fn put_back_state(&self, addr: &Addr) -> Result<(), StoreError>;
    /// Forgets it: who goes on from it will soon know better. An unknown one is a no-op.
    fn forget_state(&self, addr: &Addr) -> Result<(), StoreError>;

    /// Says that what is defined begins to come back. Whether that was said before and its end never was: the host
    /// ended meanwhile.
    fn begin_return(&self) -> Result<bool, StoreError>;
    /// Says that it is over, and forgets the states of these, all in one commit.
    fn end_return(&self, used: &[Addr]) -> Result<(), StoreError>;

    /// A number that no earlier boot had, from 1.
    fn next_epoch(&self) -> Result<u64, StoreError>;
}

/// The disk's operations, as faults see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOp {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A file grows or shrinks.
    Resize,
    /// Written bytes become durable.
    Sync,
}

/// What a disk can do to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// ENOSPC; nothing of it is written.
    Full,
    /// EIO; nothing of it is done.
    Io,
    /// Only the first bytes are written, then ENOSPC.
    Short {
        /// How many.
        bytes: usize,
    },
}

impl DiskFault {
    pub(crate) fn error(self) -> io::Error {
        match self {
            Self::Full | Self::Short { .. } => io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()),
            Self::Io => io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()),
        }
    }
}

/// Decides, before each operation of the disk, whether it fails.
pub trait Faults: fmt::Debug + Send + Sync {
    /// The fault of this operation, if it has one.
    fn next(&self, op: DiskOp) -> Option<DiskFault>;
}

/// A disk that does what it is asked.
#[derive(Debug, Clone, Copy)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn next(&self, _: DiskOp) -> Option<DiskFault> {
        None
    }
}
