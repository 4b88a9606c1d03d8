//! Does what it is told with the host's own actors.
#![forbid(unsafe_code)]

use errand_api::{Body, Message, Start};
use teneral_actor::prelude::*;

/// What it has written down.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Errand {
    body: Body,
}

impl Actor for Errand {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self { body: Body::default() })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        self.body.handle(env!("CARGO_PKG_VERSION"), message, ctx);
        Ok(())
    }
}
