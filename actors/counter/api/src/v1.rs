//! What counter 1.0.0 knew, kept as it was: bytes of it may still wait in a mailbox or a snapshot.

use serde::{Deserialize, Serialize};
use teneral_contract::{Request, State, Wire};

/// State of schema 1.
#[derive(Debug, Clone, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Counter {
    /// The sum of what was added.
    pub total: i64,
}

/// Adds to the total.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Add {
    /// How much.
    pub amount: u32,
}

/// Asks for the total.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Total)]
pub struct Get {}

/// The total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Total {
    /// The sum of what was added.
    pub total: i64,
}

/// What a counter handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Adds to the total.
    Add(Add),
    /// Asks for the total.
    Get(Get),
}
