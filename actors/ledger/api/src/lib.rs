//! What callers of a ledger import: a small actor to be told and asked, with a state as large as one likes.
//!
//! The benches' actor. What it does for a message is next to nothing, so that what they measure is the way there.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::{Bytes, Request, Wire};

pub mod v1;

/// Start arguments: how large the state is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Wire)]
pub struct Open {
    /// Accounts, numbered from 1.
    pub accounts: u64,
    /// Bytes besides.
    pub ballast_bytes: u64,
}

impl Open {
    /// No accounts and no bytes.
    pub const EMPTY: Self = Self { accounts: 0, ballast_bytes: 0 };
}

/// 16 bytes that are counted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Wire)]
pub struct Add {
    /// Whose.
    pub account: u64,
    /// How much.
    pub amount: u64,
}

/// 16 bytes that come back.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Request)]
#[reply(Echoed)]
pub struct Echo {
    /// Whose.
    pub account: u64,
    /// How much.
    pub amount: u64,
}

/// The 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Echoed {
    /// Whose.
    pub account: u64,
    /// How much.
    pub amount: u64,
}

/// Asks how many [`Add`] there were.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Request)]
#[reply(Counted)]
pub struct Count {}

/// How many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Counted {
    /// Since the start, over all versions.
    pub additions: u64,
    /// What they come to.
    pub total: u64,
    /// Major version of the code that answers.
    pub version: u32,
}

/// Asks for one account.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, Request)]
#[reply(Held)]
pub struct Get {
    /// Which.
    pub account: u64,
}

/// What one account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Held {
    /// The owner's name; empty when there is no such account.
    pub owner: Bytes,
    /// The balance.
    pub balance: u64,
}

/// What a ledger handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// 16 bytes that are counted.
    Add(Add),
    /// 16 bytes that come back.
    Echo(Echo),
    /// Asks how many were added.
    Count(Count),
    /// Asks for one account.
    Get(Get),
}

/// The owner of an account that a ledger starts with: 32 bytes.
#[must_use]
pub fn owner(account: u64) -> Bytes {
    Bytes(account.to_be_bytes().repeat(4))
}
