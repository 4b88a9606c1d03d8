//! Does what the tests tell it.
#![forbid(unsafe_code)]

use probe_api::v1::{Message, Note};
use probe_api::{Body, Start};
use teneral_actor::prelude::*;

const VERSION: u32 = 1;

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct Probe {
    body: Body,
}

impl Actor for Probe {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        Ok(Self { body: Body::init(start)? })
    }

    fn started(&mut self, why: Why, ctx: &mut Context<Self>) -> Result<()> {
        self.body.started(VERSION, why, ctx)
    }

    fn undelivered(&mut self, why: &str, _: &mut Context<Self>) -> Result<()> {
        self.body.write(VERSION, format_args!("undelivered: {why}"));
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Note(Note { sender, number }) => self.body.note(VERSION, (sender, number, 0)),
            Message::Gone(_) => self.body.write(VERSION, "gone"),
            Message::Do(told) => return self.body.act(VERSION, told.act, ctx),
            Message::Read(read) => self.body.read(VERSION, read, ctx),
            Message::Later(later) => self.body.later(later, ctx),
            Message::Relay(relay) => self.body.relay(&relay, ctx),
            Message::Tick(tick) => self.body.write(VERSION, tick.text),
            Message::Relayed(relayed) => self.body.relayed(VERSION, relayed, ctx),
            Message::Owe(_) => self.body.owe(ctx),
            Message::Heard(heard) => self.body.heard(VERSION, heard.answer.get()),
            Message::Take(take) => self.body.take(take),
            Message::Tally(tally) => self.body.tally(VERSION, &tally, ctx),
            Message::Attempt(attempt) => return self.body.attempt(VERSION, &attempt, ctx),
        }
        Ok(())
    }
}
