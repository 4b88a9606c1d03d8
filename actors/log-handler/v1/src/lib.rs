//! Counts the lines of a log by request.
#![forbid(unsafe_code)]

use log_handler_api::v1::Message;
use log_handler_api::{Account, Ingest, Report, Requested, Requests, Start, Summary, line};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct LogHandler {
    lines: u64,
    bytes: u64,
    by_request: BTreeMap<String, u64>,
    account: Account,
}

impl Actor for LogHandler {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self { lines: 0, bytes: 0, by_request: BTreeMap::new(), account: Account::default() })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Ingest(Ingest { sender, sequence, line }) => {
                self.account.record(sender, sequence, VERSION);
                self.lines += line::count(&line);
                self.bytes += line.len() as u64;
                line::tally(&mut self.by_request, line::request(&line));
            }
            Message::Report(Report {}) => {
                ctx.reply(&Summary { lines: self.lines, bytes: self.bytes, account: self.account.clone() });
            }
            Message::Requests(Requests {}) => ctx.reply(&Requested { by_request: self.by_request.clone() }),
        }
        Ok(())
    }
}
