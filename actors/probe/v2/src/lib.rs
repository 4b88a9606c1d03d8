//! Does what the tests tell it; weighs notes.
#![forbid(unsafe_code)]

use probe_api::{Body, Message, Note, Start, v1, v2};
use teneral_actor::prelude::*;

const VERSION: u32 = 2;

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct Probe {
    body: Body,
    migrated: u64,
}

impl Migrate<v1::Probe> for Probe {
    fn migrate(old: v1::Probe) -> Result<Self, MigrateError> {
        let v2::Probe { body, migrated } = v2::Probe::migrate(old)?;
        Ok(Self { body, migrated })
    }
}

impl Downgrade<v1::Probe> for Probe {
    fn downgrade(self) -> Result<v1::Probe, MigrateError> {
        v2::Probe { body: self.body, migrated: self.migrated }.downgrade()
    }
}

impl Actor for Probe {
    type Message = Message;
    type Args = Start;

    fn init(start: Start) -> Result<Self> {
        Ok(Self { body: Body::init(start)?, migrated: 0 })
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
            Message::Fresh(_) => self.body.write(VERSION, "fresh"),
            Message::Note(Note { sender, number, weight }) => self.body.note(VERSION, (sender, number, weight)),
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
