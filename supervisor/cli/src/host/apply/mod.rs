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
use super::confirm::{Stdin, confirmed};
use super::{Host, Why};
use crate::config::problems::Problems;
use crate::failure::Failure;
use crate::output;
use difference::{Act, Difference};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::api::wire::{ActorView, Restart, SetDefault, Start, Stop};
use teneral::upgrade::Downgrades;
use teneral::{Addr, Report};

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
    /// Let actors and defaults go back to an older version
    #[arg(long)]
    allow_downgrade: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// A file that goes back, and nobody has said that it may.
#[derive(Debug, thiserror::Error)]
#[error("an older version was not asked for: {0}")]
struct Down(String);

/// How far it came with what is to be done.
struct Came {
    /// So many were done.
    done: usize,
    /// So many were begun.
    begun: usize,
    /// Why not all of them.
    stopped: Result<(), Failure>,
}

impl Came {
    fn nowhere(stopped: Result<(), Failure>) -> Self {
        Self { done: 0, begun: 0, stopped }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: the file cannot be read or meant, nobody said yes, or a step failed, which is said with those before.
pub(crate) fn run(options: &Apply) -> Result<ExitCode, Failure> {
    let Apply { file: path, host, .. } = options;
    let text = text(path)?;
    let mut problems = Problems::default();
    let file = file::read(path, &text, &mut problems);
    if options.prune && file.actors.is_empty() {
        // A file that was lost on its way, more often than a wish to stop everybody.
        problems.elsewhere("with --prune it names no actor: all would be stopped".to_owned());
    }
    let found = difference::between(host, &file, options.prune.then_some(()), &mut problems)?;
    problems.none_of(
        "CLI-APPLY",
        &path.display().to_string(),
        "mend what is named: docs/apply.md says what it takes",
    )?;
    let Difference { acts, mut notes } = found;
    let may = allowed(options, &acts);
    if let (true, Err(refused)) = (options.dry_run, &may) {
        notes.push(format!("{}: --allow-downgrade would let it", refused.cause()));
    }
    if !host.json {
        acts.iter().try_for_each(|act| output::print(format_args!("{act}\n")))?;
        notes.iter().try_for_each(|note| output::print(format_args!("  {note}\n")))?;
        if acts.is_empty() {
            output::print("nothing to do\n")?;
        }
    }
    let came = match acts.is_empty() || options.dry_run {
        true => Came::nowhere(Ok(())),
        false => match may.and_then(|()| wanted(options)) {
            Ok(()) => all(options, &acts),
            Err(unsaid) => Came::nowhere(Err(unsaid)),
        },
    };
    if host.json {
        output::print_json(&records(options, &acts, &notes, &came))?;
    }
    came.stopped.map(|()| ExitCode::SUCCESS)
}

/// What goes to an older version is said beforehand, as the verbs of upgrades want it.
fn allowed(Apply { allow_downgrade, .. }: &Apply, acts: &[Act]) -> Result<(), Failure> {
    let down: Vec<String> = acts.iter().filter(|act| act.goes_down()).map(ToString::to_string).collect();
    if *allow_downgrade || down.is_empty() {
        return Ok(());
    }
    let hint = "if it is meant: --allow-downgrade";
    Err(Failure::new("UPG-DIRECTION", &Down(down.join("; ")), "nothing was done", hint))
}

/// The difference for a program, with what came of each act.
fn records(Apply { dry_run, .. }: &Apply, acts: &[Act], notes: &[String], came: &Came) -> Value {
    let outcome = |place: usize| match place {
        _ if *dry_run => "planned",
        place if place < came.done => "done",
        place if place < came.begun => "failed",
        _ => "not_done",
    };
    let acts: Vec<Value> = acts.iter().enumerate().map(|(place, act)| act.to_json(outcome(place))).collect();
    json!({ "done": !dry_run && came.stopped.is_ok(), "acts": acts, "notes": notes })
}

/// The file of a workspace that says what its host is to have.
pub(crate) const SYSTEM: &str = "system.toml";

/// An actor that a file wants, and what it starts from.
#[derive(Debug)]
pub(crate) struct WantedActor {
    pub(crate) addr: Addr,
    pub(crate) args: Value,
}

/// The actors that the workspace's [`SYSTEM`] wants; `None`: there is no such file.
///
/// # Errors
/// [`Failure`]: it cannot be read or meant.
pub(crate) fn actors_of(workspace: &Path) -> Result<Option<Vec<WantedActor>>, Failure> {
    let path = workspace.join(SYSTEM);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| crate::sign::on_file("read", &path, source))?,
    };
    let mut problems = Problems::default();
    let found = file::actors(Path::new(SYSTEM), &text, &mut problems);
    problems.none_of("CLI-APPLY", SYSTEM, "mend what is named and save: docs/apply.md says what it takes")?;
    Ok(Some(found.into_iter().map(|file::Actor { addr, args, .. }| WantedActor { addr, args }).collect()))
}

fn text(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read.map(|_| text).map_err(|source| crate::sign::on_file("read", path, source));
    }
    fs::read_to_string(path).map_err(|source| crate::sign::on_file("read", path, source))
}

/// Asks, unless it was said beforehand.
fn wanted(Apply { file, yes, host, .. }: &Apply) -> Result<(), Failure> {
    let stdin = if file == Path::new("-") { Stdin::Taken } else { Stdin::Free };
    if *yes { Ok(()) } else { confirmed(host, stdin, "say so beforehand: --yes; or look only: --dry-run") }
}

/// One after the other; the first failure says what was done and what was not.
fn all(Apply { why, host, .. }: &Apply, acts: &[Act]) -> Came {
    let host = &host.because(why);
    for (place, act) in acts.iter().enumerate() {
        let stopped = one(host, &why.reason, act).map_err(|failure| {
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
        });
        if stopped.is_err() {
            return Came { done: place, begun: place + 1, stopped };
        }
        // A line that nobody can read stops it, too: the acts after it are not begun.
        if !host.json
            && let Err(unsaid) = output::print(format_args!("done: {act}\n"))
        {
            return Came { done: place + 1, begun: place + 1, stopped: Err(unsaid) };
        }
    }
    Came { done: acts.len(), begun: acts.len(), stopped: Ok(()) }
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
            let body = Restart { actor: actor.clone(), state: None, reason };
            post::<ActorView>(host, "/v1/actors/restart", &json!(body)).map(drop)
        }
        Act::Upgrade { actor, to, .. } => {
            // As it was shown: one that moved on meanwhile is refused, and not taken down.
            let downgrades = act.goes_down().then_some(Downgrades::Allow);
            let body = difference::upgrade(actor, to, downgrades, reason);
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
