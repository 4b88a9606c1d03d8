//! What villain 1.0.0 kept.

use crate::Plan;
use serde::{Deserialize, Serialize};
use teneral_contract::State;

/// State of schema 1.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Villain {
    /// Messages handled.
    pub handled: u64,
    /// What it will do.
    pub plan: Plan,
    /// Dead weight.
    #[serde(with = "serde_bytes")]
    pub ballast: Vec<u8>,
}
