//! The routes of kinds: which version an actor gets, as whoever decides that writes it.
//!
//! The bytes are that one's own, with an envelope of its own. A route that comes to rest is written in one commit with
//! the default that it leaves behind, so that no crash finds one without the other.

use crate::db::{self, Table};
use crate::embedded::{DEFAULTS, named};
use crate::{EmbeddedStore, StoreError};
use redb::TableDefinition;
use semver::Version;

const ROUTES: Table = TableDefinition::new("routes");

/// The port: see the module. All calls block, on the disk.
///
/// # Errors
/// As [`crate::Store`].
pub trait Routes {
    /// Keeps the route of a kind in place of what was there, and, where there is one, what new actors of it get.
    ///
    /// # Errors
    /// [`StoreError::Name`] for what is no kind.
    fn keep_route(&self, kind: &str, route: &[u8], default: Option<&Version>) -> Result<(), StoreError>;
    /// What was kept for a kind.
    fn route(&self, kind: &str) -> Result<Option<Vec<u8>>, StoreError>;
}

impl Routes for EmbeddedStore {
    fn keep_route(&self, kind: &str, route: &[u8], default: Option<&Version>) -> Result<(), StoreError> {
        let kind = named(kind)?;
        self.db.write("keep a kind's route", |transaction| {
            transaction.open_table(ROUTES)?.insert(kind, route)?;
            default.map_or(Ok(()), |version| db::put(transaction, DEFAULTS, kind, version))
        })
    }

    fn route(&self, kind: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.bytes(ROUTES, kind)
    }
}
