//! A release that went wrong: its migration panics, whatever the state is.
//!
//! An actor that starts from nothing runs; one that comes from 3.0.0 never arrives here.
#![forbid(unsafe_code)]

use log_handler_api::{
    Account, Figured, Figures, Ingest, Latency, Message, Report, Requested, Requests, Start, Summary, line, v3,
};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it has seen; requests are no longer told apart.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 4)]
pub struct LogHandler {
    lines: u64,
    bytes: u64,
    by_status: BTreeMap<u16, u64>,
    latency: Latency,
    account: Account,
}

impl Migrate<v3::LogHandler> for LogHandler {
    fn migrate(_: v3::LogHandler) -> Result<Self, MigrateError> {
        panic!("count is negative")
    }
}

impl Actor for LogHandler {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        let (by_status, latency, account) = (BTreeMap::new(), Latency::default(), Account::default());
        Ok(Self { lines: 0, bytes: 0, by_status, latency, account })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Ingest(Ingest { sender, sequence, line }) => {
                self.account.record(sender, sequence, VERSION);
                self.lines += line::count(&line);
                self.bytes += line.len() as u64;
                if let Some(status) = line::status(&line) {
                    *self.by_status.entry(status).or_default() += 1;
                }
                if let Some(us) = line::time_us(&line) {
                    self.latency.record(us);
                }
            }
            Message::Report(Report {}) => {
                ctx.reply(&Summary { lines: self.lines, bytes: self.bytes, account: self.account.clone() });
            }
            Message::Requests(Requests {}) => {
                ctx.reply(&Requested { by_request: [(line::OTHER.to_owned(), self.lines)].into() });
            }
            Message::Figures(Figures {}) => {
                ctx.reply(&Figured { by_status: self.by_status.clone(), latency: self.latency.clone() });
            }
        }
        Ok(())
    }
}
