//! What log-handler 3.0.0 kept.

use crate::{Account, Latency};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use teneral_contract::State;

/// State of schema 3: `lines` is called `lines_total`, and a request is split into method and path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(schema = 3)]
pub struct LogHandler {
    /// Lines.
    pub lines_total: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lines by method, and within one by path.
    pub by_method: BTreeMap<String, BTreeMap<String, u64>>,
    /// Lines by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
    /// How long requests took.
    pub latency: Latency,
    /// Which messages, and by which code.
    pub account: Account,
}
