//! `teneral audit`: who had the host do what, and what came of it.

use super::{Host, or_dash};
use crate::failure::Failure;
use crate::table::words;
use std::process::ExitCode;
use teneral::api::wire::AuditView;

/// What to do with the audit.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what the host was asked to change, newest first: when, by whom, through what, why, and what came of it
    ///
    /// The latest 10,000 are kept.
    List(List),
}

/// Which entries.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The messages that actors were told and asked, instead
    #[arg(long)]
    messages: bool,
    /// Only entries before this number
    #[arg(long, value_name = "SEQ")]
    before: Option<u64>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(Command::List(List { messages, before, limit, host }): &Command) -> Result<ExitCode, Failure> {
    let before = before.map_or_else(String::new, |before| format!("&before={before}"));
    let path = format!("/v1/audit?limit={limit}&messages={messages}{before}");
    let entries: Vec<AuditView> = host.call(async |client| client.get(&path).await)?;
    host.print(&entries, |entries| {
        let head = ["SEQ", "WHEN", "WHO", "PID", "ACT", "WHAT", "OUTCOME", "THROUGH", "WHY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(entries.iter().map(|entry| {
            vec![
                entry.seq.to_string(),
                format!("{:.3}", entry.at),
                entry.who.clone(),
                or_dash(entry.pid),
                entry.act.clone(),
                entry.what.clone(),
                entry.outcome.clone().unwrap_or_else(|| "at work or cut off".to_owned()),
                entry.client.clone(),
                entry.reason.clone(),
            ]
        }));
        words(&rows)
    })
}
