//! What probe 2.0.0 kept as state, with the steps between it and 1.0.0; its messages are still today's.

use crate::{Body, v1};
use serde::{Deserialize, Serialize};
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

impl Migrate<v1::Probe> for Probe {
    fn migrate(old: v1::Probe) -> Result<Self, MigrateError> {
        old.body.spring("migrate")?;
        Ok(Self { migrated: old.body.handled(), body: old.body })
    }
}

impl Downgrade<v1::Probe> for Probe {
    fn downgrade(self) -> Result<v1::Probe, MigrateError> {
        self.body.spring("downgrade")?;
        Ok(v1::Probe { body: self.body })
    }
}
