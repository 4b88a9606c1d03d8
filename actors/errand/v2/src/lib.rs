//! Does what it is told with the host's own actors, and counts how often.
#![forbid(unsafe_code)]

use errand_api::{Body, Message, Start, V1};
use teneral_actor::prelude::*;

/// What it has written down.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Errand {
    body: Body,
    told: u64,
}

impl Migrate<V1> for Errand {
    fn migrate(old: V1) -> Result<Self, MigrateError> {
        Ok(Self { body: old.body, told: 0 })
    }
}

impl Actor for Errand {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self { body: Body::default(), told: 0 })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        self.told += 1;
        self.body.handle(env!("CARGO_PKG_VERSION"), message, ctx);
        Ok(())
    }
}
