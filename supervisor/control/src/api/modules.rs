//! What is said of versions that run in processes of their own.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use teneral_contract::Addr;

/// A version that runs in a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleView {
    /// Which kind.
    pub kind: String,
    /// In which version.
    pub version: Version,
    /// Where its actors run: `process`, or `remote`.
    pub place: String,
    /// Of a kind that is spread over several processes, which of them, from 1.
    #[serde(default)]
    pub slot: Option<usize>,
    /// Its process, while there is one: on its own machine.
    pub pid: Option<i32>,
    /// Where that one listened when it was found.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where it is known from: `supervisor`, for a process that the host started; `endpoints`, for one elsewhere.
    #[serde(default)]
    pub found: String,
    /// When the latest one was started.
    pub started: Option<Timestamp>,
    /// Processes that were started for it in this life of the host.
    pub starts: u64,
    /// The actors that it serves.
    pub actors: usize,
    /// What its process has in memory, in bytes, while there is one.
    pub memory_bytes: Option<u64>,
    /// Why the latest one is gone, or there is none.
    pub gone: Option<String>,
    /// The file that its processes write their output to. That of the one before is beside it, and ends in `.1`.
    pub output: String,
    /// Of a kind that is spread, the members of addresses that it serves.
    #[serde(default)]
    pub members: Vec<MemberView>,
}

/// A member of an address whose kind is spread over several processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MemberView {
    /// The address.
    pub address: Addr,
    /// The member's own name.
    pub member: Addr,
    /// Calls that it has, and messages that it is about to accept.
    pub pending: usize,
    /// How it stands with it: `serving`, `slow_start`, `ejected`, `not_serving`, `gone`, `draining`.
    pub health: String,
    /// In a slow start, how many percent of its share it gets.
    #[serde(default)]
    pub percent: Option<u32>,
    /// Ejected, for how many milliseconds yet.
    #[serde(default)]
    pub ejected_ms: Option<u64>,
}

/// Which part of what a module's processes wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputPart {
    /// Of which process's output, as an answer named it. Left out: of the latest one's.
    pub file: Option<String>,
    /// Of the one before the latest.
    #[serde(default)]
    pub previous: bool,
    /// From this byte on; from the first when it is left out.
    #[serde(default)]
    pub from: u64,
    /// Of a kind that is spread, of the process in this slot.
    #[serde(default)]
    pub slot: Option<usize>,
}

/// Part of what one process of a module wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleOutput {
    /// Names that process's output, to ask on with.
    pub file: String,
    /// Where the part begins, in bytes.
    pub from: u64,
    /// Where what comes after it begins.
    pub next: u64,
    /// The part: whole letters of UTF-8, and a replacement character for what is none.
    pub text: String,
    /// Whether all that there is of this output lies before `next`, and another process writes elsewhere now.
    pub ended: bool,
    /// Whether what was asked for is not kept any more: this is the first that is.
    pub lost: bool,
}
