//! What log-handler 1.0.0 kept and handled.

use crate::{Account, Ingest, Report, Requests};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::State;

/// State of schema 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(schema = 1)]
pub struct LogHandler {
    /// Lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// `GET /items` and its lines.
    pub by_request: BTreeMap<String, u64>,
    /// Which messages, and by which code.
    pub account: Account,
}

/// What a log-handler handles.
#[derive(Debug, teneral_contract::Message)]
pub enum Message {
    /// One line of a log.
    Ingest(Ingest),
    /// Asks what was handled.
    Report(Report),
    /// Asks for lines by request.
    Requests(Requests),
}
