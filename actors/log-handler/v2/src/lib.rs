//! Counts the lines of a log by request and status, and sums up how long requests took.
#![forbid(unsafe_code)]

use log_handler_api::{
    Account, Figured, Figures, Ingest, Latency, Message, Report, Requested, Requests, Start, Summary, line, v1,
};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct LogHandler {
    lines: u64,
    bytes: u64,
    by_request: BTreeMap<String, u64>,
    by_status: BTreeMap<u16, u64>,
    latency: Latency,
    account: Account,
}

impl Migrate<v1::LogHandler> for LogHandler {
    fn migrate(old: v1::LogHandler) -> Result<Self, MigrateError> {
        let v1::LogHandler { lines, bytes, by_request, account } = old;
        Ok(Self { lines, bytes, by_request, by_status: BTreeMap::new(), latency: Latency::default(), account })
    }
}

impl Downgrade<v1::LogHandler> for LogHandler {
    fn downgrade(self) -> Result<v1::LogHandler, MigrateError> {
        let Self { lines, bytes, by_request, account, .. } = self;
        Ok(v1::LogHandler { lines, bytes, by_request, account })
    }
}

impl Actor for LogHandler {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self {
            lines: 0,
            bytes: 0,
            by_request: BTreeMap::new(),
            by_status: BTreeMap::new(),
            latency: Latency::default(),
            account: Account::default(),
        })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Ingest(Ingest { sender, sequence, line }) => {
                self.account.record(sender, sequence, VERSION);
                self.lines += line::count(&line);
                self.bytes += line.len() as u64;
                line::tally(&mut self.by_request, line::request(&line));
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
            Message::Requests(Requests {}) => ctx.reply(&Requested { by_request: self.by_request.clone() }),
            Message::Figures(Figures {}) => {
                ctx.reply(&Figured { by_status: self.by_status.clone(), latency: self.latency.clone() });
            }
        }
        Ok(())
    }
}
