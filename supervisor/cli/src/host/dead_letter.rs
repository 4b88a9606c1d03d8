//! `teneral dead-letter`: messages that went nowhere.

use super::{Host, Why, or_dash};
use crate::failure::Failure;
use crate::table::columns;
use jiff::Timestamp;
use std::process::ExitCode;
use teneral::Addr;
use teneral::api::wire::{DeadLetterView, Letters, Resent};

/// What to do with dead letters.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the latest, oldest first: which message, to whom, and why it went nowhere
    List(List),
    /// Send messages again; each that is accepted is no dead letter any more
    Resend(Resend),
    /// Drop messages for good
    Drop(Drop),
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Which of them.
#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct Which {
    /// Their ids, as `teneral dead-letter list` prints them
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// All that are kept
    #[arg(long)]
    all: bool,
}

/// What to send again, and to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Resend {
    #[command(flatten)]
    which: Which,
    /// To this actor, instead of the one that each was sent to
    #[arg(long, value_name = "ACTOR")]
    to: Option<Addr>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// What to drop.
#[derive(Debug, clap::Args)]
pub(crate) struct Drop {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(List { host }) => list(host),
        Command::Resend(Resend { which, to, why, host }) => act(("resend", "sent again"), which, to.clone(), why, host),
        Command::Drop(Drop { which, why, host }) => act(("drop", "dropped"), which, None, why, host),
    }
}

fn list(host: &Host) -> Result<ExitCode, Failure> {
    let letters: Vec<DeadLetterView> = host.call(async |client| client.get("/v1/dead-letters").await)?;
    let now = Timestamp::now();
    host.print(&letters, |letters| {
        let head = ["ID", "AGE", "TO", "MESSAGE", "FROM", "BYTES", "AGAIN", "WHY"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(letters.iter().map(|letter| {
            vec![
                letter.id.to_string(),
                age(now, letter.at),
                letter.to.to_string(),
                letter.message.clone(),
                or_dash(letter.from.as_ref()),
                letter.body_bytes.to_string(),
                if letter.body_kept { "yes" } else { "no" }.to_owned(),
                letter.reason.clone(),
            ]
        }));
        columns(&rows) + &format!("{} kept\n", letters.len())
    })
}

/// As kubectl says it: in the largest unit of which there are two.
fn age(now: Timestamp, at: Timestamp) -> String {
    match now.duration_since(at).as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn act(
    (verb, done_is): (&str, &str),
    Which { ids, all }: &Which,
    to: Option<Addr>,
    why: &Why,
    host: &Host,
) -> Result<ExitCode, Failure> {
    let ids = (!all).then(|| ids.iter().copied().collect());
    let body = Letters { ids, to, reason: why.reason.clone() };
    let path = format!("/v1/dead-letters/{verb}");
    let done: Resent = host.call(async |client| client.post(&path, &body).await)?;
    host.print(&done, |done| {
        let mut text = format!("{} {done_is}\n", done.done.len());
        done.kept.iter().for_each(|kept| text.push_str(&format!("{} stays: {}\n", kept.id, kept.why)));
        text
    })?;
    Ok(if done.kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
