//! The service under the demo, as far as the demo knows it: how a line is told, and what an actor's state says it did.
//!
//! The only module that names log-handler's messages.

use super::judge::Run;
use log_handler_api::{Ingest, Report, Start};
use std::collections::BTreeMap;
use std::time::Duration;
use teneral::{ActorRef, AskError};

/// The kind of the actors.
pub(crate) const KIND: &str = "log-handler";

/// What an actor's own state says.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Lines, counted by the actor.
    pub(crate) lines: u64,
    /// For each sender the sequence numbers, in the order in which they were handled.
    pub(crate) by_sender: BTreeMap<u32, Vec<Run>>,
    /// For each version how many messages it handled.
    pub(crate) by_version: BTreeMap<String, u64>,
}

/// What a log-handler starts from.
pub(crate) const fn args() -> Start {
    Start {}
}

/// One line as a message.
pub(crate) const fn ingest(sender: u32, sequence: u64, line: Vec<u8>) -> Ingest {
    Ingest { sender, sequence, line }
}

/// Asks an actor what it has handled; the answer comes behind everything that its mailbox took before.
///
/// # Errors
/// [`AskError`].
pub(crate) async fn read(actor: &ActorRef, timeout: Duration) -> Result<Seen, AskError> {
    let summary = actor.ask(Report {}, timeout).await?;
    let run = |run: log_handler_api::Run| Run { first: run.first, count: run.count };
    let runs = |(sender, runs): (u32, Vec<log_handler_api::Run>)| (sender, runs.into_iter().map(run).collect());
    Ok(Seen {
        lines: summary.lines,
        by_sender: summary.account.senders.into_iter().map(runs).collect(),
        by_version: summary.account.by_version,
    })
}
