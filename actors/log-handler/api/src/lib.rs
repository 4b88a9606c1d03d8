//! What callers of a log-handler import, and what its older versions knew.
//!
//! Every version is told the same lines and gives the same [`Summary`], so a caller never asks which one runs. What a
//! version keeps beside that is its own business: [`v1`], [`v2`] and [`v3`] are the states that were released.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Request, Shape, Wire};

pub mod line;
pub mod v1;
pub mod v2;
pub mod v3;

/// Start arguments: none.
#[derive(Debug, Clone, Serialize, Deserialize, Wire)]
pub struct Start {}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Ingest {
    /// Who sends it.
    pub sender: u32,
    /// How many that sender sent to this actor before it.
    pub sequence: u64,
    /// The line without its end; any bytes.
    #[serde(with = "serde_bytes")]
    pub line: Vec<u8>,
}

/// Asks what was handled.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Summary)]
pub struct Report {}

/// What was handled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Summary {
    /// Lines, counted here.
    pub lines: u64,
    /// Their bytes, without line ends.
    pub bytes: u64,
    /// Which of them, and by which code.
    pub account: Account,
}

/// Asks for lines by request.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Requested)]
pub struct Requests {}

/// Lines by request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Requested {
    /// `GET /items` and its lines; [`line::OTHER`] for what is no request.
    pub by_request: BTreeMap<String, u64>,
}

/// Asks for statuses and latency; since 2.0.0.
#[derive(Debug, Clone, Serialize, Deserialize, Request)]
#[reply(Figured)]
pub struct Figures {}

/// Statuses and latency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Wire)]
pub struct Figured {
    /// Lines by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// How long requests took.
    pub latency: Latency,
}

/// How long requests took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Latency {
    /// Lines that say how long.
    pub lines: u64,
    /// The sum, in microseconds.
    pub total_us: u64,
    /// The longest, in microseconds.
    pub longest_us: u64,
}

impl Latency {
    /// Takes in one more.
    pub fn record(&mut self, us: u64) {
        self.lines += 1;
        self.total_us = self.total_us.saturating_add(us);
        self.longest_us = self.longest_us.max(us);
    }
}

/// What a log-handler handles since 2.0.0.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// One line of a log.
    Ingest(Ingest),
    /// Asks what was handled.
    Report(Report),
    /// Asks for lines by request.
    Requests(Requests),
    /// Asks for statuses and latency.
    Figures(Figures),
}

/// Which messages were handled, in which order, and by which code: kept in the state, so that anyone can compare it
/// with what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Account {
    /// For each sender the sequence numbers, in the order in which they were handled.
    pub senders: BTreeMap<u32, Vec<Run>>,
    /// For each version how many messages it handled.
    pub by_version: BTreeMap<String, u64>,
}

/// Consecutive sequence numbers: one run, as long as nothing is lost, doubled or reordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub struct Run {
    /// The first number.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Account {
    /// Message `sequence` of `sender` was handled by `version`.
    pub fn record(&mut self, sender: u32, sequence: u64, version: &str) {
        let runs = self.senders.entry(sender).or_default();
        match runs.last_mut() {
            Some(run) if run.first.checked_add(run.count) == Some(sequence) => run.count += 1,
            _ => runs.push(Run { first: sequence, count: 1 }),
        }
        match self.by_version.get_mut(version) {
            Some(count) => *count += 1,
            None => drop(self.by_version.insert(version.to_owned(), 1)),
        }
    }
}
