//! Keeps what one customer wants to buy, and what that earns them.
#![forbid(unsafe_code)]

use cart_api::{Cart, Message, Open, Put, View, v1};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

/// What is in the cart.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Basket {
    items: BTreeMap<String, u64>,
    points: u64,
    notes: Vec<String>,
}

impl Migrate<v1::Basket> for Basket {
    fn migrate(old: v1::Basket) -> Result<Self, MigrateError> {
        // What was put before anybody counted points earns them, too.
        let points = old.items.values().sum();
        Ok(Self { items: old.items, points, notes: Vec::new() })
    }
}

impl Downgrade<v1::Basket> for Basket {
    fn downgrade(self) -> Result<v1::Basket, MigrateError> {
        Ok(v1::Basket { items: self.items })
    }
}

impl Actor for Basket {
    type Message = Message;
    type Args = Open;

    fn init(_: Open) -> Result<Self> {
        Ok(Self { items: BTreeMap::new(), points: 0, notes: Vec::new() })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Put(Put { pieces: 0, .. }) => return Err(ActorError::new("no pieces to put")),
            Message::Put(Put { item, pieces, note }) => {
                *self.items.entry(item).or_default() += u64::from(pieces);
                self.points += u64::from(pieces);
                self.notes.extend(note);
            }
            Message::View(View {}) => {}
        }
        ctx.reply(&Cart { items: self.items.clone(), points: self.points });
        Ok(())
    }
}
