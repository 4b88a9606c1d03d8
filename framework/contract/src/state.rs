//! State and its ladder: one schema number a shape, one step between neighbours.
//!
//! N single steps instead of N^2 conversions; the host proves the chain from manifests before anything pauses
//! (compare restate's partition-store migrations and OTP's `code_change`).

use crate::shape::Shape;
use serde::{Serialize, de::DeserializeOwned};

/// An actor's state. Derived: `#[derive(Serialize, Deserialize, State)] #[state(schema = 2)]`.
pub trait State: Shape + Serialize + DeserializeOwned + Send + 'static {
    /// The schema's number: grows by one with every change of shape.
    const SCHEMA: u32;
}

/// One step up the ladder: OTP's `code_change`.
pub trait Migrate<Old>: Sized {
    /// Pure: it may be rehearsed on a copy, twice.
    ///
    /// # Errors
    /// What keeps this state from becoming the next; the upgrade rolls back and reports it.
    fn migrate(old: Old) -> Result<Self, MigrateError>;
}

/// One step down the ladder: what the newer code offers an older one.
pub trait Downgrade<Old>: Sized {
    /// Pure, as [`Migrate::migrate`].
    ///
    /// # Errors
    /// What keeps this state from becoming the previous schema's.
    fn downgrade(self) -> Result<Old, MigrateError>;
}

/// Why a state could not move to another schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MigrateError(pub String);

impl MigrateError {
    /// An error with a sentence for the operator.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
