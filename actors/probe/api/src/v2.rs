//! What probe 2.0.0 kept as state, with the steps between it and 1.0.0; its messages are still today's.

use crate::{Body, v1};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use teneral_actor::{Downgrade, Migrate, MigrateError, State};

/// State of schema 2.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Probe {
    /// What all versions share.
    pub body: Body,
    /// Entries of the log at the migration.
    pub migrated: u64,
}

/// What no state may depend on: the time of day, as far as it fits.
fn nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs().wrapping_mul(1_000_000_000).wrapping_add(now.subsec_nanos().into())
}

impl Migrate<v1::Probe> for Probe {
    fn migrate(old: v1::Probe) -> Result<Self, MigrateError> {
        old.body.spring("migrate")?;
        let migrated = if old.body.is_fickle("migrate") { nanos() } else { old.body.handled() };
        Ok(Self { migrated, body: old.body })
    }
}

impl Downgrade<v1::Probe> for Probe {
    fn downgrade(mut self) -> Result<v1::Probe, MigrateError> {
        self.body.spring("downgrade")?;
        if self.body.is_fickle("downgrade") {
            self.body.shrink();
        }
        Ok(v1::Probe { body: self.body })
    }
}
