//! The state of schema 1, kept as it is: bytes of it lie in stores and snapshots, and later schemas migrate from it.

use serde::{Deserialize, Serialize};
use teneral_contract::State;

/// State of schema 1.
#[derive(Debug, Clone, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Greeter {
    /// How many it has greeted.
    pub greeted: u64,
}
