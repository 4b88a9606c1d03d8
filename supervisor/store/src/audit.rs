//! Who had a host do what, when and why, and what came of it: the latest of it, for whoever asks afterwards.
//!
//! An entry is written before anything is done and again when it is over, so that one without an outcome names what was
//! at work when the host died. The oldest go when there are too many; their number says how many there ever were.
//! Messages to actors have a ledger of their own: there are more of them, and they must not push out the rest.

use crate::db::{self, Table};
use crate::{EmbeddedStore, StoreError};
use redb::TableDefinition;
use serde::{Deserialize, Serialize};

/// How many entries a ledger keeps.
pub const AUDIT_ENTRIES_MAX: u64 = 10_000;

const ACTS: Table = TableDefinition::new("audit");
const MESSAGES: Table = TableDefinition::new("audit_messages");
const COUNTS: Table = TableDefinition::new("audit_counts");

/// Which entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ledger {
    /// Of what changes the host.
    Acts,
    /// Of messages to its actors.
    Messages,
}

/// One request that was to change something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Its number in its ledger, from 1; the store gives it.
    pub seq: u64,
    /// When it came.
    pub at_unix_us: u64,
    /// Which user, as journals write it.
    pub who: String,
    /// The user's id, where the kernel said it.
    pub uid: Option<u32>,
    /// The caller's process, where the kernel said it.
    pub pid: Option<i32>,
    /// What the caller calls itself.
    pub client: String,
    /// What was asked for: the path.
    pub act: String,
    /// About what.
    pub what: String,
    /// Why, if the caller said so.
    pub reason: String,
    /// `done`, or the stable code of why not; none: it is at work, or the host died in the middle.
    pub outcome: Option<String>,
    /// How long it took; 0 while it has no outcome.
    pub took_us: u64,
}

/// The port: see the module. All calls block, on the disk.
///
/// # Errors
/// As [`crate::Store`].
pub trait Audit {
    /// Writes an entry down under the next number, which is returned.
    fn note(&self, ledger: Ledger, entry: &Audited) -> Result<u64, StoreError>;
    /// Writes an entry again, with what came of it; one that is gone already stays so.
    fn settle(&self, ledger: Ledger, entry: &Audited) -> Result<(), StoreError>;
    /// The latest entries before number `before`, newest first, at most `count_max`.
    fn noted(&self, ledger: Ledger, before: Option<u64>, count_max: usize) -> Result<Vec<Audited>, StoreError>;
}

impl Ledger {
    const fn table(self) -> Table {
        match self {
            Self::Acts => ACTS,
            Self::Messages => MESSAGES,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Acts => "acts",
            Self::Messages => "messages",
        }
    }
}

fn key(seq: u64) -> String {
    format!("{seq:020}")
}

impl Audit for EmbeddedStore {
    fn note(&self, ledger: Ledger, entry: &Audited) -> Result<u64, StoreError> {
        self.db.write("write to the audit", |transaction| {
            let seq = db::get::<u64>(transaction, COUNTS, ledger.name())?.unwrap_or(0) + 1;
            db::put(transaction, COUNTS, ledger.name(), &seq)?;
            db::put(transaction, ledger.table(), &key(seq), &Audited { seq, ..entry.clone() })?;
            if seq > AUDIT_ENTRIES_MAX {
                transaction.open_table(ledger.table())?.remove(key(seq - AUDIT_ENTRIES_MAX).as_str())?;
            }
            Ok(seq)
        })
    }

    fn settle(&self, ledger: Ledger, entry: &Audited) -> Result<(), StoreError> {
        self.db.write("write to the audit", |transaction| {
            match db::get::<Audited>(transaction, ledger.table(), &key(entry.seq))? {
                Some(_) => db::put(transaction, ledger.table(), &key(entry.seq), entry),
                None => Ok(()),
            }
        })
    }

    fn noted(&self, ledger: Ledger, before: Option<u64>, count_max: usize) -> Result<Vec<Audited>, StoreError> {
        let mut until = before.map_or("\u{10ffff}".to_owned(), key);
        let mut found = Vec::new();
        while found.len() < count_max {
            let Some((key, entry)) = self.db.last_before::<Audited>(ledger.table(), &until)? else { break };
            until = key;
            found.push(entry);
        }
        Ok(found)
    }
}
