//! The state of ledger 1.0.0.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Bytes, Shape, State};

/// State of schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Ledger {
    /// How often something was added.
    pub additions: u64,
    /// What it came to.
    pub total: u64,
    /// Accounts by number.
    pub accounts: BTreeMap<u64, Account>,
    /// Bytes besides.
    pub ballast: Bytes,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Account {
    /// The owner's name.
    pub owner: Bytes,
    /// The balance.
    pub balance: u64,
}
