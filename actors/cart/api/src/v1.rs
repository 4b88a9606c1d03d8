//! What cart 1.0.0 knew, kept as it was: bytes of it may still wait in a mailbox or a snapshot.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Request, State, Wire};

/// State of schema 1.
#[derive(Debug, Clone, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Basket {
    /// Pieces by item.
    pub items: BTreeMap<String, u64>,
}

/// What is in a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Cart {
    /// Pieces by item.
    pub items: BTreeMap<String, u64>,
}

/// Puts something into the cart; the answer is what is in it then.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Cart)]
pub struct Put {
    /// What.
    pub item: String,
    /// How many; at least one.
    pub pieces: u32,
}

/// Asks what is in the cart.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Cart)]
pub struct View {}

/// What a cart handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// Puts something into the cart.
    Put(Put),
    /// Asks what is in the cart.
    View(View),
}
