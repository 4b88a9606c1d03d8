//! What callers of a counter import, and what its older versions knew.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::{Downcast, Request, Upcast, Wire};

pub mod v1;

/// Start arguments.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Start {
    /// Where to count from.
    pub total: i64,
}

/// Adds to the total.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
#[wire(upcast(v1::Add))]
pub struct Add {
    /// How much; may be negative since 2.0.0.
    pub amount: i64,
}

impl Upcast<v1::Add> for Add {
    fn upcast(old: v1::Add) -> Self {
        Self { amount: i64::from(old.amount) }
    }
}

/// Asks for the total.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Total)]
pub struct Get {}

/// The total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[wire(downcast(v1::Total))]
pub struct Total {
    /// The sum of what was added.
    pub total: i64,
    /// How often something was; new in 2.0.0.
    pub additions: u64,
}

impl Downcast<v1::Total> for Total {
    fn downcast(&self) -> v1::Total {
        v1::Total { total: self.total }
    }
}

/// What a counter handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Adds to the total.
    Add(Add),
    /// Asks for the total.
    Get(Get),
}
