//! Does what the tests tell it; weighs notes and counts moves.
#![forbid(unsafe_code)]

use probe_api::{Begin, Body, Message, Note, Start, v2};
use teneral_actor::prelude::*;

const VERSION: u32 = 3;

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 3)]
pub struct Probe {
    body: Body,
    migrated: u64,
    moves: u32,
}

impl Migrate<v2::Probe> for Probe {
    fn migrate(old: v2::Probe) -> Result<Self, MigrateError> {
        old.body.spring("migrate")?;
        Ok(Self { body: old.body, migrated: old.migrated, moves: 1 })
    }
}

impl Downgrade<v2::Probe> for Probe {
    fn downgrade(self) -> Result<v2::Probe, MigrateError> {
        self.body.spring("downgrade")?;
        Ok(v2::Probe { body: self.body, migrated: self.migrated })
    }
}

impl Actor for Probe {
    type Message = Message;
    type Args = Begin;

    fn init(begin: Begin) -> Result<Self> {
        let mut body = Body::init(Start { trap: begin.trap })?;
        if !begin.greeting.is_empty() {
            body.write(VERSION, begin.greeting);
        }
        Ok(Self { body, migrated: 0, moves: 0 })
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
