//! Counts.
#![forbid(unsafe_code)]

use counter_api::Start;
use counter_api::v1::{Add, Get, Message, Total};
use teneral_actor::prelude::*;

/// How far it has counted.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Counter {
    total: i64,
}

impl Actor for Counter {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        Ok(Self { total: start.total })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Add(Add { amount }) => self.total += i64::from(amount),
            Message::Get(Get {}) => ctx.reply(&Total { total: self.total }),
        }
        Ok(())
    }
}
