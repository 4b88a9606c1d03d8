//! Counts.
#![forbid(unsafe_code)]

use counter_api::{Add, Get, Message, Start, Total, v1};
use teneral_actor::prelude::*;

/// How far it has counted.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Counter {
    total: i64,
    additions: u64,
}

impl Migrate<v1::Counter> for Counter {
    fn migrate(old: v1::Counter) -> Result<Self, MigrateError> {
        Ok(Self { total: old.total, additions: 0 })
    }
}

impl Downgrade<v1::Counter> for Counter {
    fn downgrade(self) -> Result<v1::Counter, MigrateError> {
        Ok(v1::Counter { total: self.total })
    }
}

impl Actor for Counter {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        Ok(Self { total: start.total, additions: 0 })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Add(Add { amount }) => {
                self.total += amount;
                self.additions += 1;
            }
            Message::Get(Get {}) => ctx.reply(&Total { total: self.total, additions: self.additions }),
        }
        Ok(())
    }
}
