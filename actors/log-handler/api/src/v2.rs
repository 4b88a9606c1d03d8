//! What log-handler 2.0.0 kept, and the step to it from 1.0.0.

use crate::{Account, Latency, v1};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::{Migrate, MigrateError, State};

/// State of schema 2: statuses and latency are new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(schema = 2)]
pub struct LogHandler {
    /// Lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// `GET /items` and its lines.
    pub by_request: BTreeMap<String, u64>,
    /// Lines by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// How long requests took.
    pub latency: Latency,
    /// Which messages, and by which code.
    pub account: Account,
}

impl Migrate<v1::LogHandler> for LogHandler {
    fn migrate(old: v1::LogHandler) -> Result<Self, MigrateError> {
        let v1::LogHandler { lines, bytes, by_request, account } = old;
        Ok(Self { lines, bytes, by_request, by_status: BTreeMap::new(), latency: Latency::default(), account })
    }
}
