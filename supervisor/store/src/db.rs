//! redb, and the rule about a failed disk: after an error the handle is given up and the file is opened afresh.
//!
//! A failed fsync leaves pages in memory that look written and are not (the "fsyncgate" of 2018), so nothing that was
//! read or written through that handle is relied on again. The next call opens a new one, with redb's own recovery and
//! a check of every page's checksum, and finds the outcome as it is.

use crate::StoreError;
use crate::disk::{Disk, LastFailed};
use crate::envelope;
use crate::error::is_full;
use crate::port::{DiskOp, Faults};
use parking_lot::{Mutex, RwLock};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// All tables have this form: a readable key, a record in its envelope.
pub(crate) type Table = TableDefinition<'static, &'static str, &'static [u8]>;

/// Small: the store holds records, not artifacts.
const CACHE_BYTES: usize = 8 << 20;

/// Counts commits.
const COMMITS: Table = TableDefinition::new("commits");

/// Where a fresh handle comes from.
pub(crate) trait Medium: fmt::Debug + Send + Sync {
    fn disk(&self, faults: Arc<dyn Faults>, last_failed: LastFailed) -> Result<Disk, StoreError>;
}

#[derive(Debug)]
pub(crate) struct Db {
    medium: Box<dyn Medium>,
    faults: Arc<dyn Faults>,
    last_failed: LastFailed,
    open: RwLock<Option<Database>>,
    writing: Mutex<()>,
}

/// What goes wrong inside a transaction: redb's errors get their meaning once, at its edge.
pub(crate) enum Trouble {
    Redb(Box<redb::Error>),
    Store(StoreError),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

impl Db {
    pub(crate) fn open(medium: Box<dyn Medium>, faults: Arc<dyn Faults>) -> Result<Self, StoreError> {
        let (last_failed, writing) = (Arc::new(Mutex::new(None)), Mutex::new(()));
        let db = Self { medium, faults, last_failed, open: RwLock::new(None), writing };
        *db.open.write() = Some(db.fresh()?);
        Ok(db)
    }

    fn fresh(&self) -> Result<Database, StoreError> {
        let disk = self.medium.disk(self.faults.clone(), self.last_failed.clone())?;
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(disk)
            .map_err(|error| sense("open the database", error.into()))
    }

    /// Runs `f` over the open handle; gives the handle up when the disk failed under it.
    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            let open = self.open.read();
            let Some(database) = open.as_ref() else {
                drop(open);
                let mut slot = self.open.write();
                if slot.is_none() {
                    *slot = Some(self.fresh()?);
                }
                continue;
            };
            let result = f(database);
            drop(open);
            if let Err(StoreError::Full { .. } | StoreError::Io { .. }) = &result {
                *self.open.write() = None;
            }
            return result;
        }
    }

    /// One commit: all of `f`, or nothing of it.
    pub(crate) fn write<T>(
        &self,
        act: &'static str,
        f: impl FnOnce(&WriteTransaction) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        // Held until the outcome is settled: the next writer's stamp would hide whether ours is there.
        let _turn = self.writing.lock();
        let mut pending = None;
        let result = self.with(|database| {
            let transaction = database.begin_write().map_err(|error| sense(act, error.into()))?;
            let (value, stamp) = stamped(&transaction, f).map_err(|trouble| trouble.sense(act))?;
            pending = Some((value, stamp));
            *self.last_failed.lock() = None;
            transaction.commit().map_err(|error| sense(act, error.into()))
        });
        match (result, pending) {
            (Ok(()), Some((value, _))) => Ok(value),
            (Err(StoreError::Full { source, .. } | StoreError::Io { source, .. }), Some((value, stamp))) => {
                self.settle(act, source, stamp).map(|()| value)
            }
            (Err(error), _) => Err(error),
            (Ok(()), None) => {
                Err(StoreError::Corrupt { what: act.to_owned(), why: "nothing was committed".to_owned() })
            }
        }
    }

    // A commit failed. After a failed sync nobody can tell what is on disk. After a failed write one can: the file is
    // opened afresh, which checks every page and syncs, and our stamp is in it or not.
    fn settle(&self, act: &'static str, source: io::Error, stamp: u64) -> Result<(), StoreError> {
        if *self.last_failed.lock() == Some(DiskOp::Sync) {
            return Err(StoreError::Unknown { act, source });
        }
        match self.get::<u64>(COMMITS, "count") {
            Ok(found) if found == Some(stamp) => Ok(()),
            Ok(_) => Err(StoreError::io(act, source)),
            Err(_) => Err(StoreError::Unknown { act, source }),
        }
    }

    /// A record by its key.
    pub(crate) fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>, StoreError> {
        let bytes = self.bytes(table, key)?;
        bytes.map(|bytes| envelope::open(&name(table, key), &bytes)).transpose()
    }

    /// The bytes of a record by its key, in whatever envelope they are.
    pub(crate) fn bytes(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        const ACT: &str = "read a record";
        self.with(|database| {
            let read = || -> Result<Option<Vec<u8>>, Trouble> {
                let transaction = database.begin_read()?;
                match transaction.open_table(table) {
                    Ok(rows) => Ok(rows.get(key)?.map(|value| value.value().to_vec())),
                    Err(TableError::TableDoesNotExist(_)) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            };
            read().map_err(|trouble| trouble.sense(ACT))
        })
    }

    /// The keys and records of `from..to`, in order.
    pub(crate) fn range<T: DeserializeOwned>(
        &self,
        table: Table,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        const ACT: &str = "read records";
        self.with(|database| {
            let read = || -> Result<Vec<(String, Vec<u8>)>, Trouble> {
                let transaction = database.begin_read()?;
                let rows = match transaction.open_table(table) {
                    Ok(rows) => rows,
                    Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                    Err(error) => return Err(error.into()),
                };
                let mut found = Vec::new();
                for row in rows.range(from..to)? {
                    let (key, value) = row?;
                    found.push((key.value().to_owned(), value.value().to_vec()));
                }
                Ok(found)
            };
            let rows = read().map_err(|trouble| trouble.sense(ACT))?;
            rows.into_iter()
                .map(|(key, bytes)| envelope::open(&name(table, &key), &bytes).map(|record| (key, record)))
                .collect()
        })
    }

    /// The last record before a key.
    pub(crate) fn last_before<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &str,
    ) -> Result<Option<(String, T)>, StoreError> {
        const ACT: &str = "read a record";
        self.with(|database| {
            let read = || -> Result<Option<(String, Vec<u8>)>, Trouble> {
                let transaction = database.begin_read()?;
                let rows = match transaction.open_table(table) {
                    Ok(rows) => rows,
                    Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                    Err(error) => return Err(error.into()),
                };
                let last = rows.range(..key)?.next_back().transpose()?;
                Ok(last.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())))
            };
            let row = read().map_err(|trouble| trouble.sense(ACT))?;
            row.map(|(key, bytes)| envelope::open(&name(table, &key), &bytes).map(|record| (key, record))).transpose()
        })
    }

    /// All records of a table, in order of their keys.
    pub(crate) fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>, StoreError> {
        let rows = self.range(table, "", "\u{10ffff}")?;
        Ok(rows.into_iter().map(|(_, record)| record).collect())
    }

    /// Puts a record, in a commit of its own.
    pub(crate) fn put<T: Serialize>(
        &self,
        act: &'static str,
        table: Table,
        key: &str,
        record: &T,
    ) -> Result<(), StoreError> {
        self.write(act, |transaction| put(transaction, table, key, record))
    }

    /// Removes a record, in a commit of its own; an unknown key is a no-op.
    pub(crate) fn remove(&self, act: &'static str, table: Table, key: &str) -> Result<(), StoreError> {
        self.write(act, |transaction| {
            transaction.open_table(table)?.remove(key)?;
            Ok(())
        })
    }
}

// Runs `f` and counts the commit, so that it can be looked for later.
fn stamped<T>(
    transaction: &WriteTransaction,
    f: impl FnOnce(&WriteTransaction) -> Result<T, Trouble>,
) -> Result<(T, u64), Trouble> {
    let value = f(transaction)?;
    let stamp = get::<u64>(transaction, COMMITS, "count")?.unwrap_or(0) + 1;
    put(transaction, COMMITS, "count", &stamp)?;
    Ok((value, stamp))
}

/// Puts a record.
pub(crate) fn put<T: Serialize>(
    transaction: &WriteTransaction,
    table: Table,
    key: &str,
    record: &T,
) -> Result<(), Trouble> {
    let bytes = envelope::seal(&name(table, key), record).map_err(Trouble::Store)?;
    transaction.open_table(table)?.insert(key, bytes.as_slice())?;
    Ok(())
}

/// Reads a record inside a write transaction.
pub(crate) fn get<T: DeserializeOwned>(
    transaction: &WriteTransaction,
    table: Table,
    key: &str,
) -> Result<Option<T>, Trouble> {
    let rows = transaction.open_table(table)?;
    let Some(value) = rows.get(key)? else { return Ok(None) };
    envelope::open(&name(table, key), value.value()).map(Some).map_err(Trouble::Store)
}

fn name(table: Table, key: &str) -> String {
    format!("{} {key}", redb::TableHandle::name(&table))
}

impl Trouble {
    fn sense(self, act: &'static str) -> StoreError {
        match self {
            Self::Redb(error) => sense(act, *error),
            Self::Store(error) => error,
        }
    }
}

/// What redb's error means to us.
fn sense(act: &'static str, error: redb::Error) -> StoreError {
    let corrupt = |why: String| StoreError::Corrupt { what: "the database".to_owned(), why };
    match error {
        // redb's word for a file that is no database of its.
        redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => corrupt(source.to_string()),
        redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => corrupt(source.to_string()),
        redb::Error::Io(source) if is_full(&source) => StoreError::Full { act, source },
        redb::Error::Io(source) => StoreError::Io { act, source },
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            StoreError::Io { act, source: io::Error::other("another call's disk error closed this handle") }
        }
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            let source = io::Error::new(io::ErrorKind::WouldBlock, "another process has the database file open");
            StoreError::Io { act, source }
        }
        other => corrupt(other.to_string()),
    }
}

/// A file in the store's directory.
#[derive(Debug)]
pub(crate) struct InDir {
    pub(crate) dir: Arc<crate::dir::Dir>,
    pub(crate) name: &'static str,
}

impl Medium for InDir {
    fn disk(&self, faults: Arc<dyn Faults>, last_failed: LastFailed) -> Result<Disk, StoreError> {
        let file: File = self.dir.open_or_make(self.name)?;
        Disk::file(file, faults, last_failed).map_err(|error| sense("open the database", error.into()))
    }
}

/// Bytes in memory, which outlive the handle as a file's do.
#[derive(Debug, Default)]
pub(crate) struct InMemory(Arc<redb::backends::InMemoryBackend>);

impl Medium for InMemory {
    fn disk(&self, faults: Arc<dyn Faults>, last_failed: LastFailed) -> Result<Disk, StoreError> {
        Ok(Disk::memory(self.0.clone(), faults, last_failed))
    }
}
