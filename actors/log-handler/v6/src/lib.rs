//! A release that passes every trial and goes wrong afterwards: after the thousandth message that an actor has had
//! under it, it counts each line twice, and takes its time.
//!
//! Its migration is right, so no rehearsal finds anything. That it is slow can be seen while it serves; that it counts
//! wrongly cannot, and is mended all the same when the version before does the work anew.
#![forbid(unsafe_code)]

use log_handler_api::{
    Account, Figured, Figures, Ingest, Latency, Message, Report, Requested, Requests, Start, Summary, line, v3,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use teneral_actor::prelude::*;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Messages of one actor that it handles as it should.
pub const GOOD_MESSAGES: u64 = 1000;

/// Rows of a report that it writes for each line after them, and throws away: about a millisecond, hundreds of times
/// what a turn should take, whatever the line. They are numbers, since these are written by the standard library, which
/// is optimised already: it takes little more in a debug build.
const ROWS: u32 = 15_000;

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
    fn migrate(old: v3::LogHandler) -> Result<Self, MigrateError> {
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
                self.ingest(&line);
                if self.account.by_version.get(VERSION).is_some_and(|handled| *handled > GOOD_MESSAGES) {
                    self.go_wrong(&line);
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

impl LogHandler {
    fn ingest(&mut self, line: &[u8]) {
        self.lines += line::count(line);
        self.bytes += line.len() as u64;
        if let Some(status) = line::status(line) {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(us) = line::time_us(line) {
            self.latency.record(us);
        }
    }

    /// Slow by work and not by sleep: the clock is no part of what it does, which stays the same for the same messages.
    fn go_wrong(&mut self, line: &[u8]) {
        self.ingest(line);
        for row in 0..ROWS {
            black_box((f64::from(row) * 1.01).to_string());
        }
    }
}
