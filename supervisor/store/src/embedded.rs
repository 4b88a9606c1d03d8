//! The port over redb and a directory, or over memory.
//!
//! Records stand in redb, artifacts as files of their own: a loader copies them from a descriptor, and a database with
//! libraries in it would be checked from end to end at every start.

use crate::StoreError;
use crate::blobs::Blobs;
use crate::db::{self, Db, InDir, InMemory, Table};
use crate::dir::Dir;
use crate::envelope::{self, FORMAT};
use crate::lock::Lock;
use crate::marks::MARKS;
use crate::port::{Faults, NoFaults, Pushed, Store};
use crate::record::{
    Begin, Definition, Entry, Key, Logged, ProbationOver, Quarantined, Release, SavedState, Signed, UpgradeId,
};
use parking_lot::Mutex;
use redb::{ReadableTable, TableDefinition};
use semver::Version;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use teneral_contract::addr::is_kind;
use teneral_contract::{Addr, Digest};

/// Largest artifact.
pub const ARTIFACT_BYTES_MAX: u64 = 1 << 30;

const RELEASES: Table = TableDefinition::new("releases");
const VERSIONS: Table = TableDefinition::new("versions");
pub(crate) const DEFAULTS: Table = TableDefinition::new("defaults");
const QUARANTINE: Table = TableDefinition::new("quarantine");
const JOURNAL: Table = TableDefinition::new("journal");
const ACTORS: Table = TableDefinition::new("actors");
pub(crate) const HOST: Table = TableDefinition::new("host");
const SIGNED: Table = TableDefinition::new("signed");
const KEYS: Table = TableDefinition::new("keys");
const STATES: Table = TableDefinition::new("states");
const REQUESTS: Table = TableDefinition::new("requests");
const ROLLBACKS: Table = TableDefinition::new("rollbacks");
const ENDS: Table = TableDefinition::new("probation ends");

/// Largest state that is kept over a restart of the host.
const STATE_BYTES_MAX: u64 = 1 << 30;

/// In table `host`: whether what is defined is coming back.
const RETURNING: &str = "returning";

/// In table `host`.
const SERVED_AS: &str = "served as";

/// SHA-256 of `bytes`.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

/// The store in one directory, or in memory. Holds the directory's lock until it is dropped.
#[derive(Debug)]
pub struct EmbeddedStore {
    pub(crate) db: Db,
    artifacts: Blobs,
    /// Of closed hosts, by the actors' ids.
    states: Blobs,
    /// `None`: in memory.
    pub(crate) dir: Option<Arc<Dir>>,
    pub(crate) faults: Arc<dyn Faults>,
    /// One push at a time: it looks, writes a file, and then writes down what it wrote.
    pushing: Mutex<()>,
    _lock: Option<Lock>,
}

/// What errors call it.
const WHAT: &str = "the store";

const DATABASE: &str = "teneral.redb";

/// The first thing that is read of a store.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    store: u16,
    written_by: String,
}

impl EmbeddedStore {
    /// Opens the store in `path`, making the directory if its parent exists.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Newer`] when a later teneral wrote it,
    /// [`StoreError::Mode`] and [`StoreError::Owner`] when others may enter it, [`StoreError::Corrupt`],
    /// [`StoreError::Full`], [`StoreError::Io`], [`StoreError::Unopened`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Arc::new(NoFaults))
    }

    /// As [`EmbeddedStore::open`], over a disk that fails as `faults` decides.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_with(path: &Path, faults: Arc<dyn Faults>) -> Result<Self, StoreError> {
        let dir = Arc::new(Dir::open(path)?);
        let lock = Lock::take(&dir)?;
        let known = check_format(&dir)?;
        if known && dir.open_existing(DATABASE)?.is_none() {
            // It was there once: to begin anew would be to forget releases, defaults and quarantine without a word.
            let why = format!("its database {DATABASE} is gone");
            return Err(StoreError::Corrupt { what: WHAT.to_owned(), why });
        }
        let (artifacts, states) = (dir.sub("artifacts")?, dir.sub("states")?);
        let db = Db::open(Box::new(InDir { dir: Arc::clone(&dir), name: DATABASE }), faults.clone())?;
        if !known {
            // Last, and with the directory synced: a store that has a format has everything else.
            let ours = Format { store: FORMAT, written_by: env!("CARGO_PKG_VERSION").to_owned() };
            dir.write("format", &envelope::seal(WHAT, &ours)?, &*faults)?;
        }
        let (artifacts, states) = (Blobs::Dir(artifacts), Blobs::Dir(states));
        Ok(Self { db, artifacts, states, dir: Some(dir), faults, pushing: Mutex::new(()), _lock: Some(lock) })
    }

    /// A store that ends with its value: for tests, and for hosts that keep nothing.
    ///
    /// # Errors
    /// What `faults` decide.
    pub fn in_memory(faults: Arc<dyn Faults>) -> Result<Self, StoreError> {
        let db = Db::open(Box::new(InMemory::default()), faults.clone())?;
        let (artifacts, states) = (Blobs::Memory(Mutex::default()), Blobs::Memory(Mutex::default()));
        Ok(Self { db, artifacts, states, dir: None, faults, pushing: Mutex::new(()), _lock: None })
    }

    /// The artifact as an open file; `None` when this store is in memory. The loader copies it to a sealed memory file
    /// and hashes that, so what it loads is what it hashed.
    ///
    /// # Errors
    /// As [`Store::artifact`].
    pub fn artifact_file(&self, digest: Digest) -> Result<Option<File>, StoreError> {
        match &self.artifacts {
            Blobs::Dir(dir) => dir.open_existing(&digest.to_string())?.map(Some).ok_or(StoreError::Missing(digest)),
            Blobs::Memory(_) => Ok(None),
        }
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.artifacts.write(&digest.to_string(), bytes, &*self.faults)
    }
}

impl EmbeddedStore {
    /// A file of the host's own beside the database, which nobody else may read; whole or not at all.
    ///
    /// # Errors
    /// As [`Store::push`] of the disk; nothing is kept in memory.
    pub fn keep_private(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.dir.as_ref().map_or(Ok(()), |dir| dir.write(name, bytes, &*self.faults))
    }

    /// Such a file; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Mode`], [`StoreError::Owner`], [`StoreError::File`] when it is not as it was kept;
    /// [`StoreError::Limit`] over 64 KiB.
    pub fn private(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.dir.as_ref().map_or(Ok(None), |dir| dir.read(name, 64 << 10))
    }

    /// What the host was last served as; `None`: it was never said.
    ///
    /// # Errors
    /// As every function of [`Store`].
    pub fn served_as(&self) -> Result<Option<String>, StoreError> {
        self.db.get(HOST, SERVED_AS)
    }

    /// Writes down what the host is served as.
    ///
    /// # Errors
    /// As every function of [`Store`] that writes.
    pub fn serve_as(&self, profile: &str) -> Result<(), StoreError> {
        self.db.put("keep what the host is served as", HOST, SERVED_AS, &profile)
    }
}

/// Whether somebody has made a store here, which this teneral can read.
fn check_format(dir: &Dir) -> Result<bool, StoreError> {
    const FORMAT_BYTES_MAX: u64 = 4096;
    let Some(bytes) = dir.read("format", FORMAT_BYTES_MAX)? else { return Ok(false) };
    let found: Format = envelope::open(WHAT, &bytes)?;
    if found.store > FORMAT {
        return Err(StoreError::Newer { what: WHAT.to_owned(), found: found.store, supported: FORMAT });
    }
    Ok(true)
}

fn state_name(addr: &Addr) -> String {
    format!("{:032x}", addr.id())
}

pub(crate) fn named(name: &str) -> Result<&str, StoreError> {
    if is_kind(name) { Ok(name) } else { Err(StoreError::Name(name.chars().take(80).collect())) }
}

fn entry_key(id: &str, number: u64) -> String {
    format!("{id}/{number:010}")
}

// '0' follows '/', so the range holds exactly the keys of this id.
fn entry_range(id: &str) -> (String, String) {
    (format!("{id}/"), format!("{id}0"))
}

impl EmbeddedStore {
    /// In one transaction: the state may be saved anew at the same time.
    fn mark_state(&self, act: &'static str, addr: &Addr, mark: impl FnOnce(&mut SavedState)) -> Result<(), StoreError> {
        self.db.write(act, |transaction| {
            let Some(mut saved) = db::get::<SavedState>(transaction, STATES, addr.path())? else { return Ok(()) };
            mark(&mut saved);
            db::put(transaction, STATES, addr.path(), &saved)
        })
    }
}

impl Store for EmbeddedStore {
    fn push(&self, release: &Release, bytes: &[u8], signed: &Signed) -> Result<Pushed, StoreError> {
        const ACT: &str = "keep an artifact";
        let found = digest_of(bytes);
        if found != release.sha256 {
            return Err(StoreError::Artifact { expected: release.sha256, found });
        }
        if bytes.len() as u64 > ARTIFACT_BYTES_MAX {
            return Err(StoreError::Limit { bytes: bytes.len() as u64, limit_bytes: ARTIFACT_BYTES_MAX });
        }
        let version = format!("{}/{}", named(&release.kind)?, release.version);
        let _one_at_a_time = self.pushing.lock();
        let held: Option<Digest> = self.db.get(VERSIONS, &version)?;
        match held {
            // What was damaged behind our back is whole again after a push of the same build.
            Some(held) if held == found => {
                if self.artifact(found).ok().as_deref() != Some(bytes) {
                    self.keep(found, bytes)?;
                }
                self.db.put(ACT, SIGNED, &found.to_string(), signed)?;
                return Ok(Pushed::Known);
            }
            Some(held) => {
                let release = format!("{} {}", release.kind, release.version);
                return Err(StoreError::Taken { release, held, pushed: found });
            }
            None => {}
        }
        // The file first: a record without its artifact would be a promise nobody can keep.
        self.keep(found, bytes)?;
        let marks = self.raised(&release.kind, &release.version)?;
        self.db.write(ACT, |transaction| {
            db::put(transaction, VERSIONS, &version, &found)?;
            db::put(transaction, SIGNED, &found.to_string(), signed)?;
            if let Some(marks) = &marks {
                db::put(transaction, HOST, MARKS, marks)?;
            }
            db::put(transaction, RELEASES, &found.to_string(), release)
        })?;
        Ok(Pushed::New)
    }

    fn signed(&self, digest: Digest) -> Result<Option<Signed>, StoreError> {
        self.db.get(SIGNED, &digest.to_string())
    }

    fn marks(&self) -> Result<BTreeMap<String, Version>, StoreError> {
        Ok(self.known_marks()?.versions)
    }

    fn accept_marks(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.pushing.lock();
        self.take_marks()
    }

    fn trust(&self, key: &Key) -> Result<(), StoreError> {
        self.db.put("trust a key", KEYS, &key.id, key)
    }

    fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.db.all(KEYS)
    }

    fn distrust(&self, id: &str) -> Result<(), StoreError> {
        self.db.remove("take a key back", KEYS, id)
    }

    fn remove(&self, release: &Release) -> Result<(), StoreError> {
        let _one_at_a_time = self.pushing.lock();
        let digest = release.sha256.to_string();
        // The records first: bytes without one are nobody's, and a record without bytes would be a promise.
        self.db.write("remove an artifact", |transaction| {
            transaction.open_table(VERSIONS)?.remove(format!("{}/{}", release.kind, release.version).as_str())?;
            transaction.open_table(SIGNED)?.remove(digest.as_str())?;
            transaction.open_table(RELEASES)?.remove(digest.as_str())?;
            Ok(())
        })?;
        self.artifacts.remove(&digest)
    }

    fn releases(&self) -> Result<Vec<Release>, StoreError> {
        let mut all: Vec<Release> = self.db.all(RELEASES)?;
        all.sort_by(|a, b| (&a.kind, &a.version).cmp(&(&b.kind, &b.version)));
        Ok(all)
    }

    fn artifact(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        self.artifacts.read(&digest.to_string(), ARTIFACT_BYTES_MAX)?.ok_or(StoreError::Missing(digest))
    }

    fn default_version(&self, kind: &str) -> Result<Option<Version>, StoreError> {
        self.db.get(DEFAULTS, kind)
    }

    fn set_default(&self, kind: &str, version: &Version) -> Result<(), StoreError> {
        self.db.put("set a kind's default version", DEFAULTS, named(kind)?, version)
    }

    fn quarantine(&self, entry: &Quarantined) -> Result<(), StoreError> {
        let key = entry.digest.to_string();
        self.db.write("put an artifact into quarantine", |transaction| {
            match db::get::<Quarantined>(transaction, QUARANTINE, &key)? {
                Some(_) => Ok(()),
                None => db::put(transaction, QUARANTINE, &key, entry),
            }
        })
    }

    fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.db.all(QUARANTINE)
    }

    fn pardon(&self, digest: Digest) -> Result<(), StoreError> {
        self.db.remove("take an artifact out of quarantine", QUARANTINE, &digest.to_string())
    }

    fn append(&self, id: &UpgradeId, entries: &[Entry]) -> Result<(), StoreError> {
        let id = named(&id.0)?;
        let (from, to) = entry_range(id);
        self.db.write("append to an upgrade's journal", |transaction| {
            let next = {
                let rows = transaction.open_table(JOURNAL)?;
                let last = rows.range(from.as_str()..to.as_str())?.next_back().transpose()?;
                last.and_then(|(key, _)| key.value()[from.len()..].parse::<u64>().ok()).map_or(0, |number| number + 1)
            };
            for (number, entry) in (next..).zip(entries) {
                db::put(transaction, JOURNAL, &entry_key(id, number), entry)?;
                if let Entry::Probation(end) = entry {
                    db::put(transaction, ENDS, &entry_key(id, number), end)?;
                }
                let Entry::Begin(Begin { request, rolls_back, .. }) = entry else { continue };
                let own = UpgradeId(id.to_owned());
                if let Some(request) = request {
                    db::put(transaction, REQUESTS, request, &own)?;
                }
                if let Some(of) = rolls_back {
                    db::put(transaction, ROLLBACKS, &format!("{of}/{id}"), &own)?;
                }
            }
            Ok(())
        })
    }

    fn journal(&self, id: &UpgradeId) -> Result<Vec<Entry>, StoreError> {
        let (from, to) = entry_range(named(&id.0)?);
        Ok(self.db.range(JOURNAL, &from, &to)?.into_iter().map(|(_, entry)| entry).collect())
    }

    fn upgrades(&self) -> Result<Vec<UpgradeId>, StoreError> {
        let rows: Vec<(String, Entry)> = self.db.range(JOURNAL, "", "\u{10ffff}")?;
        let mut ids: Vec<_> =
            rows.iter().filter_map(|(key, _)| key.split_once('/')).map(|(id, _)| UpgradeId(id.to_owned())).collect();
        ids.dedup();
        Ok(ids)
    }

    fn latest(&self, before: Option<&UpgradeId>, count_max: usize) -> Result<Vec<Logged>, StoreError> {
        let mut until = before.map_or("\u{10ffff}".to_owned(), |id| format!("{}/", id.0));
        let mut found = Vec::new();
        while found.len() < count_max {
            let Some((key, last)) = self.db.last_before::<Entry>(JOURNAL, &until)? else { break };
            // What came after the end says nothing of how it ended.
            if matches!(last, Entry::Probation(_)) {
                until = key;
                continue;
            }
            let Some((id, _)) = key.split_once('/') else { break };
            let first = self.db.get(JOURNAL, &entry_key(id, 0))?.unwrap_or_else(|| last.clone());
            until = format!("{id}/");
            found.push(Logged { id: UpgradeId(id.to_owned()), first, last });
        }
        Ok(found)
    }

    fn requested(&self, request: &str) -> Result<Option<UpgradeId>, StoreError> {
        self.db.get(REQUESTS, request)
    }

    fn probation_ends(&self, id: &UpgradeId) -> Result<Vec<ProbationOver>, StoreError> {
        let (from, to) = entry_range(named(&id.0)?);
        Ok(self.db.range(ENDS, &from, &to)?.into_iter().map(|(_, end)| end).collect())
    }

    fn rollbacks(&self, of: &UpgradeId) -> Result<Vec<UpgradeId>, StoreError> {
        let (from, to) = entry_range(named(&of.0)?);
        Ok(self.db.range(ROLLBACKS, &from, &to)?.into_iter().map(|(_, id)| id).collect())
    }

    fn define(&self, definition: &Definition) -> Result<(), StoreError> {
        self.db.put("keep an actor's definition", ACTORS, definition.addr.path(), definition)
    }

    fn definition(&self, addr: &Addr) -> Result<Option<Definition>, StoreError> {
        self.db.get(ACTORS, addr.path())
    }

    fn definitions(&self) -> Result<Vec<Definition>, StoreError> {
        self.db.all(ACTORS)
    }

    fn forget(&self, addr: &Addr) -> Result<(), StoreError> {
        self.db.remove("forget an actor's definition", ACTORS, addr.path())
    }

    fn save_state(&self, addr: &Addr, saved: &SavedState, bytes: &[u8]) -> Result<(), StoreError> {
        // The old record first: it must not vouch for bytes that are half another's.
        self.forget_state(addr)?;
        self.states.write(&state_name(addr), bytes, &*self.faults)?;
        self.db.put("keep an actor's state", STATES, addr.path(), saved)
    }

    fn saved_state(&self, addr: &Addr) -> Result<Option<(SavedState, Vec<u8>)>, StoreError> {
        let Some(saved) = self.db.get::<SavedState>(STATES, addr.path())? else { return Ok(None) };
        let bytes = self.states.read(&state_name(addr), STATE_BYTES_MAX)?.unwrap_or_default();
        let found = digest_of(&bytes);
        if found != saved.sha256 {
            return Err(StoreError::Artifact { expected: saved.sha256, found });
        }
        Ok(Some((saved, bytes)))
    }

    fn take_state(&self, addr: &Addr) -> Result<(), StoreError> {
        self.mark_state("take an actor's state", addr, |saved| saved.taken = true)
    }

    fn put_back_state(&self, addr: &Addr) -> Result<(), StoreError> {
        self.mark_state("put an actor's state back", addr, |saved| saved.taken = false)
    }

    fn forget_state(&self, addr: &Addr) -> Result<(), StoreError> {
        self.db.remove("forget an actor's state", STATES, addr.path())?;
        self.states.remove(&state_name(addr))
    }

    fn begin_return(&self) -> Result<bool, StoreError> {
        self.db.write("begin to bring actors back", |transaction| {
            let cut_off = db::get::<bool>(transaction, HOST, RETURNING)?.unwrap_or(false);
            db::put(transaction, HOST, RETURNING, &true)?;
            Ok(cut_off)
        })
    }

    fn end_return(&self, used: &[Addr]) -> Result<(), StoreError> {
        self.db.write("forget the states of actors that are back", |transaction| {
            db::put(transaction, HOST, RETURNING, &false)?;
            let mut states = transaction.open_table(STATES)?;
            for addr in used {
                states.remove(addr.path())?;
            }
            Ok(())
        })?;
        // Without its record a file is nobody's: one that stays costs room, until the actor is saved again.
        used.iter().for_each(|addr| drop(self.states.remove(&state_name(addr))));
        Ok(())
    }

    fn next_epoch(&self) -> Result<u64, StoreError> {
        self.db.write("begin a boot epoch", |transaction| {
            let next = db::get::<u64>(transaction, HOST, "epoch")?.unwrap_or(0) + 1;
            db::put(transaction, HOST, "epoch", &next)?;
            Ok(next)
        })
    }
}
