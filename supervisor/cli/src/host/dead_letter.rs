//! `teneral dead-letter`: messages that went nowhere.

use super::{Host, or_dash};
use crate::failure::Failure;
use crate::table::columns;
use std::process::ExitCode;
use teneral::api::wire::DeadLetterView;

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the latest, oldest first: which message, to whom, and why it went nowhere
    List(List),
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(Command::List(List { host }): &Command) -> Result<ExitCode, Failure> {
    let letters: Vec<DeadLetterView> = host.call(async |client| client.get("/v1/dead-letters").await)?;
    host.print(&letters, |letters| {
        let mut rows = vec![["WHEN", "TO", "MESSAGE", "FROM", "BYTES", "WHY"].map(str::to_owned).to_vec()];
        rows.extend(letters.iter().map(|letter| {
            let (at, from) = (letter.at.to_string(), or_dash(letter.from.as_ref()));
            let bytes = letter.body_bytes.to_string();
            vec![at, letter.to.to_string(), letter.message.clone(), from, bytes, letter.reason.clone()]
        }));
        columns(&rows)
    })
}
