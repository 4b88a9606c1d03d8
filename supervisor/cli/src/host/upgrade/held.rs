//! `teneral upgrade held`: effects that a version that was gone back to wants sent, and that were never sent.

use super::super::{Host, Why};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::table::columns;
use std::process::ExitCode;
use teneral::api::wire::HeldView;

/// What to do with them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List them, oldest first: what is to be sent, to whom, from whom, and which rollback it came of
    List(List),
    /// Send some, in their order, each as from its actor
    Send(Which),
    /// Drop some for good
    Drop(Which),
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Which of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Their numbers, as `teneral upgrade held list` prints them
    #[arg(value_name = "NUMBER", required_unless_present = "all", conflicts_with = "all")]
    numbers: Vec<u64>,
    /// All that are held now
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(List { host }) => list(host),
        Command::Send(which) => each(which, "send", "sent"),
        Command::Drop(which) => each(which, "drop", "dropped"),
    }
}

fn all(host: &Host) -> Result<Vec<HeldView>, Failure> {
    host.call(async |client| client.get("/v1/held").await)
}

fn list(host: &Host) -> Result<ExitCode, Failure> {
    host.print(&all(host)?, |held| {
        let mut rows = vec![["NUMBER", "WHAT", "TO", "FROM", "ROLLBACK", "BODY"].map(str::to_owned).to_vec()];
        rows.extend(held.iter().map(|view| {
            let HeldView { held, body } = view;
            let body = body.as_ref().map_or_else(|| format!("{} bytes", held.body_bytes), ToString::to_string);
            vec![
                held.id.to_string(),
                what(view),
                held.to.to_string(),
                held.actor.to_string(),
                held.upgrade.to_string(),
                body,
            ]
        }));
        columns(&rows) + &format!("{} held\n", held.len())
    })
}

/// `tell Tick`, `ask Get`, `spawn`.
fn what(HeldView { held, .. }: &HeldView) -> String {
    match (&held.message, held.variant) {
        (Some(message), _) => format!("{} {message}", held.kind),
        (None, 0) => held.kind.clone(),
        (None, variant) => format!("{} {variant:016x}", held.kind),
    }
}

/// Does it with one after the other; what is not accepted keeps none of the others, and stays.
fn each(Which { numbers, all: every, why, host }: &Which, verb: &str, done_is: &str) -> Result<ExitCode, Failure> {
    let numbers = if *every { all(host)?.iter().map(|view| view.held.id).collect() } else { numbers.clone() };
    let ordered = host.because(why);
    let (mut done, mut failed) = (Vec::new(), None);
    for number in numbers {
        let path = format!("/v1/held/{number}/{verb}");
        let answer: Result<HeldView, Failure> =
            ordered.call(async |client| client.post(&path, &serde_json::Value::Null).await);
        match answer {
            Ok(view) if host.json => done.push(view),
            Ok(view) => print(format_args!("{number} is {done_is}: {} to {}\n", what(&view), view.held.to))?,
            Err(failure) => failed = Some(failure.report()),
        }
    }
    if host.json {
        print_json(&done)?;
    }
    Ok(failed.unwrap_or(ExitCode::SUCCESS))
}
