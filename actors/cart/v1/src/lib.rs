//! Keeps what one customer wants to buy.
#![forbid(unsafe_code)]

use cart_api::Open;
use cart_api::v1::{Cart, Message, Put, View};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

/// What is in the cart.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Basket {
    items: BTreeMap<String, u64>,
}

impl Actor for Basket {
    type Message = Message;
    type Args = Open;

    fn init(_: Open) -> Result<Self> {
        Ok(Self { items: BTreeMap::new() })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Put(Put { pieces: 0, .. }) => return Err(ActorError::new("no pieces to put")),
            Message::Put(Put { item, pieces }) => *self.items.entry(item).or_default() += u64::from(pieces),
            Message::View(View {}) => {}
        }
        ctx.reply(&Cart { items: self.items.clone() });
        Ok(())
    }
}
