//! Counts the lines of a log by method, path and status, and sums up how long requests took.
#![forbid(unsafe_code)]

use log_handler_api::{
    Account, Figured, Figures, Ingest, Latency, Message, Report, Requested, Requests, Start, Summary, line, v2,
};
use std::collections::BTreeMap;
use teneral_actor::prelude::*;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it has seen.
#[derive(Debug, Serialize, Deserialize, State)]
#[state(schema = 3)]
pub struct LogHandler {
    lines_total: u64,
    bytes: u64,
    by_method: BTreeMap<String, BTreeMap<String, u64>>,
    by_status: BTreeMap<u16, u64>,
    latency: Latency,
    account: Account,
}

impl Migrate<v2::LogHandler> for LogHandler {
    fn migrate(old: v2::LogHandler) -> Result<Self, MigrateError> {
        let v2::LogHandler { lines: lines_total, bytes, by_request, by_status, latency, account } = old;
        let mut by_method: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (request, count) in by_request {
            let (method, path) = split(&request);
            by_method.entry(method.to_owned()).or_default().insert(path.to_owned(), count);
        }
        Ok(Self { lines_total, bytes, by_method, by_status, latency, account })
    }
}

impl Downgrade<v2::LogHandler> for LogHandler {
    fn downgrade(self) -> Result<v2::LogHandler, MigrateError> {
        let by_request = self.by_request();
        let Self { lines_total: lines, bytes, by_status, latency, account, .. } = self;
        Ok(v2::LogHandler { lines, bytes, by_request, by_status, latency, account })
    }
}

impl Actor for LogHandler {
    type Message = Message;
    type Args = Start;

    fn init(Start {}: Start) -> Result<Self> {
        Ok(Self {
            lines_total: 0,
            bytes: 0,
            by_method: BTreeMap::new(),
            by_status: BTreeMap::new(),
            latency: Latency::default(),
            account: Account::default(),
        })
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<()> {
        match message {
            Message::Ingest(Ingest { sender, sequence, line }) => {
                self.account.record(sender, sequence, VERSION);
                self.ingest(&line);
            }
            Message::Report(Report {}) => {
                ctx.reply(&Summary { lines: self.lines_total, bytes: self.bytes, account: self.account.clone() });
            }
            Message::Requests(Requests {}) => ctx.reply(&Requested { by_request: self.by_request() }),
            Message::Figures(Figures {}) => {
                ctx.reply(&Figured { by_status: self.by_status.clone(), latency: self.latency.clone() });
            }
        }
        Ok(())
    }
}

impl LogHandler {
    fn ingest(&mut self, line: &[u8]) {
        self.lines_total += line::count(line);
        self.bytes += line.len() as u64;
        let request = line::request(line);
        let (method, path) = split(request.as_deref().unwrap_or(line::OTHER));
        self.tally(method, path);
        if let Some(status) = line::status(line) {
            *self.by_status.entry(status).or_default() += 1;
        }
        if let Some(us) = line::time_us(line) {
            self.latency.record(us);
        }
    }

    /// Within the same bound as before, so that a way back never meets more requests than the older code can hold.
    fn tally(&mut self, method: &str, path: &str) {
        if let Some(count) = self.by_method.get_mut(method).and_then(|paths| paths.get_mut(path)) {
            *count += 1;
            return;
        }
        let known: usize = self.by_method.values().map(BTreeMap::len).sum();
        let (method, path) = if known < line::REQUESTS_MAX { (method, path) } else { split(line::OTHER) };
        *self.by_method.entry(method.to_owned()).or_default().entry(path.to_owned()).or_default() += 1;
    }

    fn by_request(&self) -> BTreeMap<String, u64> {
        let methods = self.by_method.iter();
        methods.flat_map(|(method, paths)| paths.iter().map(|(path, n)| (join(method, path), *n))).collect()
    }
}

/// `GET /items` is `GET` and `/items`; a word alone has no path.
fn split(request: &str) -> (&str, &str) {
    request.split_once(' ').unwrap_or((request, ""))
}

fn join(method: &str, path: &str) -> String {
    if path.is_empty() { method.to_owned() } else { format!("{method} {path}") }
}
