//! Greets, and counts whom.
#![forbid(unsafe_code)]

use teneral_actor::prelude::*;

use greeter_api::{Forget, Greet, Greeting, Message, Start};

/// How many it has greeted.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Greeter {
    greeted: u64,
}

impl Actor for Greeter {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self { greeted: 0 })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Greet(Greet { name }) => {
                self.greeted += 1;
                ctx.reply(&Greeting { text: format!("Hello, {name}!"), greeted: self.greeted });
            }
            Message::Forget(Forget {}) => self.greeted = 0,
        }
        Ok(())
    }
}
