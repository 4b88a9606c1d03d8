//! `teneral upgrade`: move actors to another version while they live.
//!
//! * `bounds`: what is typed of an upgrade's bounds; `status`: how one stands
//! * `after`: what is decided after the commit; `held`: what a version that was gone back to wants sent

mod after;
pub(super) mod bounds;
mod held;
mod status;

use super::progress::Of;
use super::{Host, Why, or_dash, selector, when};
use crate::failure::Failure;
use crate::table::columns;
use after::{Finalise, Rollback, Waits, reported};
use bounds::Bounds;
use semver::Version;
use serde_json::Value;
use status::{Status, last_word, over, steps, went_well};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use teneral::api::client::part;
use teneral::api::wire::{Apply, Upgrade, UpgradeSummary, UpgradeView};
use teneral::store::{Entry, Move};
use teneral::{Addr, Plan, Report};

/// What to do with upgrades.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say what an upgrade would do, or why it would be refused; nobody is paused
    ///
    /// With --json it prints the plan, which `upgrade apply --plan FILE` runs as it is while nothing has changed.
    Plan(Box<Wanted>),
    /// Move actors to another version while they live
    ///
    /// It goes on when this command is interrupted; `upgrade status` finds it.
    Apply(Box<ApplyOptions>),
    /// Show an upgrade step by step, and who is on probation after it; without an id the latest
    Status(Status),
    /// Cancel an upgrade that is at work: who is paused resumes the old version, who has committed stays
    Cancel(Cancel),
    /// End a probation well: there is no way back any more, and new actors of the kind get the new version
    ///
    /// Of an upgrade that had none, or whose host ended, only that is left to do.
    Finalise(Finalise),
    /// Take an upgrade back while its actors are on probation; the work that was accepted since is kept, but by restore
    Rollback(Rollback),
    /// Look at effects that a version that was gone back to wants sent, and send or drop them
    #[command(subcommand)]
    Held(held::Command),
    /// List upgrades, newest first
    Log(Log),
}

/// Who is to go where.
#[derive(Debug, clap::Args)]
pub(crate) struct Wanted {
    /// An actor as kind/key, or a kind for all its actors
    #[arg(required_unless_present = "selector")]
    target: Option<String>,
    /// All actors of a kind; the same as the kind alone
    #[arg(long, short = 'l', value_name = "kind=KIND", value_parser = selector, conflicts_with = "target")]
    selector: Option<String>,
    /// To which version
    #[arg(long, value_name = "VERSION")]
    to: Version,
    /// Why, for journal and report; `upgrade apply --plan` takes it over unless it is told another one
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    host: Host,
}

/// What to apply.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyOptions {
    /// An actor as kind/key, or a kind for all its actors
    #[arg(required_unless_present_any = ["plan", "selector"], requires = "to")]
    target: Option<String>,
    /// All actors of a kind; the same as the kind alone
    #[arg(long, short = 'l', value_name = "kind=KIND", value_parser = selector, requires = "to")]
    #[arg(conflicts_with_all = ["target", "plan"])]
    selector: Option<String>,
    /// To which version
    #[arg(long, value_name = "VERSION")]
    to: Option<Version>,
    /// A plan that `upgrade plan --json` printed; it is refused when the actors have moved on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "to"])]
    plan: Option<PathBuf>,
    /// Why, for journal and report
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// A name for this request: asked for again under it, the upgrade is not done again, and what became of it is shown
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Wait for the end of the probation; ends with 1 when somebody was taken back, or waits for a decision
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    host: Host,
}

/// Which upgrade.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The upgrade's id
    id: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Which of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// How many at most, up to 500
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Only those before this one: the next page
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Plan(options) => plan(*options),
        Command::Apply(options) => apply(*options),
        Command::Status(options) => status::status(&options),
        Command::Cancel(options) => cancel(&options),
        Command::Finalise(options) => after::finalise(&options),
        Command::Rollback(options) => after::rollback(&options),
        Command::Held(command) => held::run(&command),
        Command::Log(options) => log(&options),
    }
}

fn plan(Wanted { target, selector, to, reason, bounds, host }: Wanted) -> Result<ExitCode, Failure> {
    let target = target.or(selector).unwrap_or_default();
    let body = Upgrade { target, to, options: Some(bounds.choices()), reason, request: None };
    let plan: Plan = host.call(async |client| client.post("/v1/upgrades/plan", &body).await).map_err(as_typed)?;
    host.print(&plan, |plan| format!("{plan}\n"))?;
    Ok(if plan.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What to do, in the options of these commands.
fn as_typed(failure: Failure) -> Failure {
    match failure.code() {
        "UPG-DIRECTION" => failure.hinting("if it is meant: --allow-downgrade"),
        "UPG-CONTRACT" => failure.hinting("let them be handled first; or give them up: --allow-dead-letters"),
        _ => failure,
    }
}

/// What was asked for, to know it again in a journal.
enum Asked {
    /// An actor or a kind, to this version.
    Target(String, Version),
    /// The moves of a plan.
    Moves(Vec<(Addr, Version)>),
}

impl Asked {
    fn of(&self) -> Of {
        match self {
            Self::Target(target, _) => Of::Target(target.clone()),
            Self::Moves(moves) => Of::Actors(moves.iter().map(|(addr, _)| addr.clone()).collect()),
        }
    }

    /// Whether an upgrade is none of this, as far as its journal goes: who was there already has an end and no move.
    fn is_other(&self, view: &UpgradeView) -> bool {
        view.journal.iter().any(|entry| match entry {
            Entry::Begin(begin) => !self.has_moves(&begin.moves),
            Entry::Step(_) | Entry::Probation(_) => false,
            Entry::End(end) => {
                matches!(self, Self::Target(..)) && !end.actors.iter().all(|actor| self.of().is(&actor.addr))
            }
        })
    }

    fn has_moves(&self, moves: &[Move]) -> bool {
        match self {
            Self::Target(_, to) => moves.iter().all(|moved| self.of().is(&moved.addr) && moved.to == *to),
            Self::Moves(asked) => {
                let is_asked = |moved: &Move| asked.iter().any(|(addr, to)| *addr == moved.addr && *to == moved.to);
                asked.len() == moves.len() && moves.iter().all(is_asked)
            }
        }
    }
}

fn apply(options: ApplyOptions) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let ApplyOptions { target, selector, to, plan, reason, request_id, wait, bounds, host } = options;
    let waits = if wait { Waits::Yes } else { Waits::No };
    let target = target.or(selector);
    let request = request_id.clone();
    let (asked, applied): (Asked, Result<Report, Failure>) = match (target, to, plan) {
        (Some(target), Some(to), _) => {
            let asked = Asked::Target(target.clone(), to.clone());
            let body = Upgrade { target, to, options: Some(bounds.choices()), reason, request };
            let applied = host.at_work(asked.of(), async |client| client.post("/v1/upgrades/run", &body).await);
            (asked, applied)
        }
        (_, _, plan) => {
            if bounds.choices().probation.is_some() {
                return Err(bound_already());
            }
            let path = plan.unwrap_or_default();
            let text = fs::read_to_string(&path).map_err(|source| crate::sign::on_file("read", &path, source))?;
            let refused = |error: teneral::upgrade::UpgradeError| {
                Failure::new(error.code(), &error, "nobody was paused", error.hint()).usage()
            };
            let body = Apply { plan: Plan::from_json(&text).map_err(refused)?, reason, request };
            let moves = body.plan.moves().iter();
            let asked = Asked::Moves(moves.map(|moved| (moved.addr.clone(), moved.to.version.clone())).collect());
            let applied = host.at_work(asked.of(), async |client| client.post("/v1/upgrades/apply", &body).await);
            (asked, applied)
        }
    };
    let report = match (applied, request_id) {
        (Err(failure), Some(request)) if failure.code() == "UPG-REPEATED" => {
            return follow(failure, &request, &asked, (&host, waits));
        }
        (applied, _) => applied.map_err(as_typed)?,
    };
    reported(&report, (&host, begun), waits)
}

/// A plan has its probation, or none: one that is typed beside it would be heard by nobody, and relied on.
fn bound_already() -> Failure {
    let what = "a plan has the probation that it was made with, or none".to_owned();
    let hint = "make it anew with another one: teneral upgrade plan .. --probation TIME --json";
    Failure::of_many("CLI-USAGE", what, Vec::new(), "nobody was paused", hint).usage()
}

/// Waits for the end of an upgrade that was asked for before, and shows what became of it. One that moved somebody
/// else, or elsewhere, is not this request, whatever it is called.
fn follow(refused: Failure, request: &str, asked: &Asked, (host, waits): (&Host, Waits)) -> Result<ExitCode, Failure> {
    let view: UpgradeView = host.call(async |client| {
        // Heard before it is looked at: what ends in between is told.
        let mut watch = client.watch("/v1/events").await?;
        let mut view: UpgradeView = client.get(&format!("/v1/requests/{}", part(request))).await?;
        let goes_on = |view: &UpgradeView| match waits {
            Waits::Yes => over(view).is_none(),
            Waits::No => view.status == "running",
        };
        while goes_on(&view) && !asked.is_other(&view) {
            last_word(&mut watch).await;
            view = client.get(&format!("/v1/upgrades/{}", part(&view.id.to_string()))).await?;
        }
        Ok(view)
    })?;
    if asked.is_other(&view) {
        let hint = format!(
            "it moved others, or to another version (teneral upgrade status {}): take another request id",
            view.id
        );
        return Err(refused.hinting(&hint));
    }
    host.print(&view, |view| format!("asked for before, not done again\n{}", steps(view)))?;
    let end = over(&view).filter(|_| waits == Waits::Yes);
    Ok(end.unwrap_or(if went_well(&view) { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn cancel(Cancel { id, why, host }: &Cancel) -> Result<ExitCode, Failure> {
    let host = host.because(why);
    let path = format!("/v1/upgrades/{}/cancel", part(id));
    let done: Value = host.call(async |client| client.post(&path, &Value::Null).await)?;
    let cancelled = done["cancelled"] == true;
    host.print(&done, |_| match cancelled {
        true => format!("upgrade {id} is being cancelled; teneral upgrade status {id} shows what came of it\n"),
        false => format!("upgrade {id} is not at work any more\n"),
    })?;
    Ok(if cancelled { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn log(Log { limit, before, host }: &Log) -> Result<ExitCode, Failure> {
    let before = before.as_ref().map_or_else(String::new, |id| format!("&before={}", part(id)));
    let path = format!("/v1/upgrades?limit={limit}{before}");
    let upgrades: Vec<UpgradeSummary> = host.call(async |client| client.get(&path).await)?;
    host.print(&upgrades, |upgrades| {
        let mut rows = vec![["UPGRADE", "STATUS", "WHEN", "ACTORS", "TO", "WHO", "WHY"].map(str::to_owned).to_vec()];
        rows.extend(upgrades.iter().map(|upgrade| {
            let to: Vec<String> = upgrade.to.iter().map(ToString::to_string).collect();
            let outcomes = upgrade.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}"));
            let probation = upgrade.probation.iter().map(|(how, count)| format!("{count} {}", since(how)));
            let outcomes: Vec<String> = outcomes.chain(probation).collect();
            vec![
                upgrade.id.to_string(),
                if outcomes.is_empty() { upgrade.status.clone() } else { outcomes.join(", ") },
                when(upgrade.at),
                upgrade.actors.to_string(),
                if to.is_empty() { "-".to_owned() } else { to.join(",") },
                upgrade.who.clone(),
                or_dash(why(upgrade)),
            ]
        }));
        columns(&rows)
    })
}

/// What became of a probation, in a word or two.
fn since(how: &str) -> &str {
    match how {
        "on" => "on probation",
        "finalised" => "final",
        "rolled_back" => "taken back",
        "superseded" => "moved on",
        "host_ended" => "ended with the host",
        other => other,
    }
}

fn why(UpgradeSummary { why, rolls_back, .. }: &UpgradeSummary) -> Option<String> {
    match (rolls_back, why.is_empty()) {
        (None, true) => None,
        (None, false) => Some(why.clone()),
        (Some(of), true) => Some(format!("takes back {of}")),
        // One that is taken by itself says it.
        (Some(of), false) if why.contains(&of.0) => Some(format!("takes it back: {why}")),
        (Some(of), false) => Some(format!("takes back {of}: {why}")),
    }
}
