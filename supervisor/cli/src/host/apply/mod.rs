//! `teneral apply`: a host made what a file says.
//!
//! The difference is found whole before anything is done, and shown; then it is done in an order in which each step
//! finds what it needs: artifacts, defaults, actors that change, actors that are new, actors that go. The first failure
//! stops it. Applied again, it goes on where it stopped.
//!
//! * `file`: what the file wants
//! * `difference`: what must be done for it

mod difference;
mod file;

use super::artifact::{self, Age};
use super::{Host, Why};
use crate::config::problems::Problems;
use crate::failure::Failure;
use crate::output;
use difference::{Act, Difference};
use serde_json::{Value, json};
use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::Report;
use teneral::api::wire::{ActorView, Named, SetDefault, Start, Stop};

/// Which file, and how far to go.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The file; - is stdin
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// Show the difference and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do it without asking
    #[arg(long, short = 'y')]
    yes: bool,
    /// Stop the actors that are not in the file
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask at whether this is to be done")]
struct Unasked;

/// Nobody said yes.
#[derive(Debug, thiserror::Error)]
#[error("it was not wanted after all")]
struct Unwanted;

/// Runs the command.
///
/// # Errors
/// [`Failure`]: the file cannot be read or meant, nobody said yes, or a step failed, which is said with those before.
pub(crate) fn run(options: &Apply) -> Result<ExitCode, Failure> {
    let Apply { file: path, host, .. } = options;
    let text = text(path)?;
    let mut problems = Problems::default();
    let wanted = file::read(path, &text, &mut problems);
    if options.prune && wanted.actors.is_empty() {
        // A file that was lost on its way, more often than a wish to stop everybody.
        problems.elsewhere("with --prune it names no actor: all would be stopped".to_owned());
    }
    let found = difference::between(host, &wanted, options.prune.then_some(()), &mut problems)?;
    problems.none_of(
        "CLI-APPLY",
        &path.display().to_string(),
        "mend what is named: docs/apply.md says what it takes",
    )?;
    let Difference { acts, notes } = &found;
    if !host.json {
        acts.iter().try_for_each(|act| output::print(format_args!("{act}\n")))?;
        notes.iter().try_for_each(|note| output::print(format_args!("  {note}\n")))?;
        if acts.is_empty() {
            output::print("nothing to do\n")?;
        }
    }
    if !acts.is_empty() && !options.dry_run {
        confirmed(options)?;
        all(options, acts)?;
    }
    if host.json {
        let acts: Vec<String> = acts.iter().map(ToString::to_string).collect();
        return host.print(&json!({ "done": !options.dry_run, "acts": acts, "notes": notes }), |_| String::new());
    }
    Ok(ExitCode::SUCCESS)
}

fn text(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read.map(|_| text).map_err(|source| crate::sign::on_file("read", path, source));
    }
    fs::read_to_string(path).map_err(|source| crate::sign::on_file("read", path, source))
}

/// Asks, where there is somebody.
fn confirmed(Apply { file, yes, host, .. }: &Apply) -> Result<(), Failure> {
    if *yes {
        return Ok(());
    }
    let (code, now) = ("CLI-CONFIRM", "nothing was done");
    if host.json || file == Path::new("-") || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::new(code, &Unasked, now, "say so beforehand: --yes; or look only: --dry-run").usage());
    }
    output::print("do this? [y/N] ")?;
    let mut said = String::new();
    let heard = std::io::stdin().read_line(&mut said);
    match said.trim() {
        "y" | "Y" | "yes" if heard.is_ok() => Ok(()),
        _ => Err(Failure::new(code, &Unwanted, now, "run it again and say y, or give --yes")),
    }
}

/// One after the other; the first failure says what was done and what was not.
fn all(Apply { why, host, .. }: &Apply, acts: &[Act]) -> Result<(), Failure> {
    let host = &host.because(why);
    for (place, act) in acts.iter().enumerate() {
        one(host, &why.reason, act).map_err(|failure| {
            let lines = |label: &str, acts: &[Act]| {
                let line = |act: &Act| format!("\n{label} {act}");
                acts.iter().map(line).collect::<String>()
            };
            let (done, left) = (lines("done:    ", &acts[..place]), lines("not done:", &acts[place..]));
            let stands = format!("it stopped there; {place} of {} done{done}{left}", acts.len());
            failure
                .about(&act.to_string())
                .standing(stands)
                .hinting("mend the cause and apply the file again: it goes on")
        })?;
        if !host.json {
            let mut out = std::io::stdout();
            output::print(format_args!("done: {act}\n"))?;
            let _ = out.flush();
        }
    }
    Ok(())
}

fn one(host: &Host, reason: &str, act: &Act) -> Result<(), Failure> {
    let reason = reason.to_owned();
    match act {
        Act::Push { path, .. } => artifact::bring(path, host, Age::NotOlder).map(drop),
        Act::SetDefault { kind, to, .. } => {
            let body = SetDefault { kind: kind.clone(), version: to.clone() };
            post::<Value>(host, "/v1/kinds/set-default", &json!(body)).map(drop)
        }
        Act::BringBack { actor, .. } => {
            let body = Named { actor: actor.clone(), reason };
            post::<ActorView>(host, "/v1/actors/restart", &json!(body)).map(drop)
        }
        Act::Upgrade { actor, to, .. } => {
            let body = difference::upgrade(actor, to, reason);
            let report: Report = post(host, "/v1/upgrades/run", &json!(body))?;
            match report.actors.iter().find_map(|actor| actor.outcome.failure()) {
                Some(failure) => Err(Failure::of_many(
                    failure.code.clone(),
                    "the actor did not move".to_owned(),
                    vec![failure.cause.clone()],
                    "",
                    failure.hint.clone(),
                )),
                None => Ok(()),
            }
        }
        Act::Start { actor, version, args } => {
            let (actor, version, args) = (actor.clone(), Some(version.clone()), args.clone());
            post::<ActorView>(host, "/v1/actors/start", &json!(Start { actor, version, args, reason })).map(drop)
        }
        Act::Stop { actor, .. } => {
            let body = Stop { actor: actor.clone(), reason, timeout_ms: STOP_MS };
            post::<Value>(host, "/v1/actors/stop", &json!(body)).map(drop)
        }
    }
}

/// How long a turn of an actor that is stopped may take.
const STOP_MS: u64 = 5000;

fn post<T: serde::de::DeserializeOwned>(host: &Host, path: &str, body: &Value) -> Result<T, Failure> {
    host.call(async |client| client.post(path, body).await)
}
