//! What callers of a shopping cart import, and what its older versions knew.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Downcast, Request, Upcast, Wire};

pub mod v1;

/// Start arguments: a cart starts empty.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Open {}

/// What is in a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
#[wire(downcast(v1::Cart))]
pub struct Cart {
    /// Pieces by item.
    pub items: BTreeMap<String, u64>,
    /// What the customer has earned: a point a piece; new in 2.0.0.
    pub points: u64,
}

impl Downcast<v1::Cart> for Cart {
    fn downcast(&self) -> v1::Cart {
        v1::Cart { items: self.items.clone() }
    }
}

/// Puts something into the cart; the answer is what is in it then.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Cart)]
#[wire(upcast(v1::Put))]
pub struct Put {
    /// What.
    pub item: String,
    /// How many; at least one.
    pub pieces: u32,
    /// A note to whoever packs it; new in 2.0.0.
    pub note: Option<String>,
}

impl Upcast<v1::Put> for Put {
    fn upcast(old: v1::Put) -> Self {
        Self { item: old.item, pieces: old.pieces, note: None }
    }
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
