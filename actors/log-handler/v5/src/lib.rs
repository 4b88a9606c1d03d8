//! A villain: its migration works in every rehearsal, and panics in the live process.
//!
//! It tells the two apart by an environment variable, which a rehearsal's scrubbed environment does not have. So only
//! what an upgrade does after everything was proved can save the actor.
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

/// Set by the demo in its own process.
const LIVE: &str = "TENERAL_DEMO_LIVE";

impl Migrate<v3::LogHandler> for LogHandler {
    fn migrate(old: v3::LogHandler) -> Result<Self, MigrateError> {
        if std::env::var_os(LIVE).is_some() {
            panic!("nobody rehearsed this");
        }
        let v3::LogHandler { lines_total: lines, bytes, by_status, latency, account, .. } = old;
        Ok(Self { lines, bytes, by_status, latency, account })
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
