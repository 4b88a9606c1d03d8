//! `teneral upgrade`: move actors to another version while they live.

use super::progress::Of;
use super::watch::{Next, line, stopped};
use super::{Host, Span, Why, or_dash, selector};
use crate::failure::Failure;
use crate::output::{json_lines, print_on};
use crate::table::{columns, harmless};
use clap::ValueEnum;
use semver::Version;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use teneral::api::client::part;
use teneral::api::event::Happened;
use teneral::api::wire::{Apply, Choices, Upgrade, UpgradeSummary, UpgradeView};
use teneral::api::{ApiError, Client, Told, Watch};
use teneral::store::{Entry, Move, StepResult};
use teneral::upgrade::{Downgrades, PathlessPolicy, StateMode};
use teneral::{Addr, Plan, Report};

/// How long between two looks at an upgrade that somebody else asked for.
const LOOK: Duration = Duration::from_millis(100);

/// What to do with upgrades.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say what an upgrade would do, or why it would be refused; nobody is paused
    ///
    /// With --json it prints the plan, which `upgrade apply --plan FILE` runs as it is while nothing has changed.
    Plan(Wanted),
    /// Move actors to another version while they live
    ///
    /// It goes on when this command is interrupted; `upgrade status` finds it.
    Apply(ApplyOptions),
    /// Show an upgrade step by step; without an id the latest
    Status(Status),
    /// Cancel an upgrade that is at work: who is paused resumes the old version, who has committed stays
    Cancel(Cancel),
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
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    host: Host,
}

/// Bounds and choices of an upgrade.
#[derive(Debug, clap::Args)]
pub(crate) struct Bounds {
    /// How long one actor may be paused, migration included [default: as the host's configuration says, 1s]
    #[arg(long, value_name = "TIME")]
    max_pause: Option<Span>,
    /// How long to wait for one actor's message boundary [default: as the host's configuration says, 5s]
    #[arg(long, value_name = "TIME")]
    quiesce_timeout: Option<Span>,
    /// How long to wait for another upgrade that has one of the actors [default: as the host's configuration says, 0s]
    #[arg(long, value_name = "TIME")]
    queue_timeout: Option<Span>,
    /// What becomes of the state [default: migrate]
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Let actors go back to an older version
    #[arg(long)]
    allow_downgrade: bool,
    /// Let waiting messages that the new version has no way for become dead letters
    #[arg(long)]
    allow_dead_letters: bool,
}

/// What becomes of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// It moves along the ladder
    Migrate,
    /// It is given up: the new version starts from the actor's start arguments
    Reset,
}

impl Bounds {
    /// What was typed; all else is as the host has it.
    fn choices(&self) -> Choices {
        let micros = |span: Option<Span>| span.map(|span| u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX));
        Choices {
            state: self.state.map(|state| match state {
                State::Migrate => StateMode::Migrate,
                State::Reset => StateMode::Reset,
            }),
            max_pause_us: micros(self.max_pause),
            quiesce_timeout_us: micros(self.quiesce_timeout),
            queue_timeout_us: micros(self.queue_timeout),
            downgrades: self.allow_downgrade.then_some(Downgrades::Allow),
            pathless: self.allow_dead_letters.then_some(PathlessPolicy::DeadLetter),
            ..Choices::default()
        }
    }
}

/// Which upgrade.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The upgrade's id
    id: Option<String>,
    /// Go on with a line for each step: of that upgrade until its end, without an id of all that come, until ^C
    #[arg(long, short = 'w')]
    watch: bool,
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
        Command::Plan(options) => plan(options),
        Command::Apply(options) => apply(options),
        Command::Status(options) => status(&options),
        Command::Cancel(options) => cancel(&options),
        Command::Log(options) => log(&options),
    }
}

fn plan(Wanted { target, selector, to, bounds, host }: Wanted) -> Result<ExitCode, Failure> {
    let target = target.or(selector).unwrap_or_default();
    let body = Upgrade { target, to, options: Some(bounds.choices()), reason: String::new(), request: None };
    let plan: Plan = host.call(async |client| client.post("/v1/upgrades/plan", &body).await).map_err(as_typed)?;
    host.print(&plan, |plan| format!("{plan}\n"))
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
            Entry::Step(_) => false,
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
    let ApplyOptions { target, selector, to, plan, reason, request_id, bounds, host } = options;
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
            return follow(failure, &request, &asked, &host);
        }
        (applied, _) => applied.map_err(as_typed)?,
    };
    host.print(&report, |report| format!("{report}\n"))?;
    Ok(if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for the end of an upgrade that was asked for before, and shows what became of it. One that moved somebody
/// else, or elsewhere, is not this request, whatever it is called.
fn follow(refused: Failure, request: &str, asked: &Asked, host: &Host) -> Result<ExitCode, Failure> {
    let view: UpgradeView = host.call(async |client| {
        let mut view: UpgradeView = client.get(&format!("/v1/requests/{}", part(request))).await?;
        while view.status == "running" && !asked.is_other(&view) {
            tokio::time::sleep(LOOK).await;
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
    Ok(if went_well(&view) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn status(options: &Status) -> Result<ExitCode, Failure> {
    let Status { id, watch, host } = options;
    if *watch {
        return host.watch("/v1/events", async |client, watch| status_on(options, &client, watch).await);
    }
    let view = host.call(async |client| found(id.as_deref(), &client).await)?;
    host.print(&view, shown)
}

async fn found(id: Option<&str>, client: &Client) -> Result<Option<UpgradeView>, ApiError> {
    match id {
        Some(id) => client.get(&format!("/v1/upgrades/{}", part(id))).await.map(Some),
        None => match client.get::<Vec<UpgradeSummary>>("/v1/upgrades?limit=1").await?.pop() {
            Some(latest) => client.get(&format!("/v1/upgrades/{}", part(&latest.id.to_string()))).await.map(Some),
            None => Ok(None),
        },
    }
}

fn shown(view: &Option<UpgradeView>) -> String {
    view.as_ref().map_or_else(|| "no upgrade so far\n".to_owned(), steps)
}

/// How it stands, and then a line for each step: of that upgrade until its end, or of all that come.
async fn status_on(options: &Status, client: &Client, mut watch: Watch) -> Result<ExitCode, Failure> {
    let Status { id, host, .. } = options;
    let view = found(id.as_deref(), client).await?;
    let first = if host.json { json_lines(view.as_slice())? } else { shown(&view) };
    if let Next::Break(end) = print_on(first)? {
        return Ok(end);
    }
    if let Some(end) = ended(id.as_deref(), view.as_ref()) {
        return Ok(end);
    }
    while let Some(told) = watch.next().await? {
        let ours = match &told {
            Told::Event(event, _) => {
                event.what.upgrade().is_some_and(|upgrade| id.as_ref().is_none_or(|id| upgrade.0 == *id))
            }
            Told::Gap(_) => true,
        };
        if !ours {
            continue;
        }
        if let Next::Break(end) = print_on(line(&told, host))? {
            return Ok(end);
        }
        let end = match (&told, id) {
            (_, None) => None,
            (Told::Event(event, _), Some(_)) => how_it_ended(&event.what),
            // Its end may be what was missed.
            (Told::Gap(_), Some(id)) => ended(Some(id), found(Some(id), client).await?.as_ref()),
        };
        if let Some(end) = end {
            return Ok(end);
        }
    }
    Err(stopped())
}

/// How a watch of one upgrade ends, once that has ended.
fn ended(id: Option<&str>, view: Option<&UpgradeView>) -> Option<ExitCode> {
    let view = view.filter(|view| id.is_some() && view.status != "running")?;
    Some(if went_well(view) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn how_it_ended(what: &Happened) -> Option<ExitCode> {
    let Happened::UpgradeEnded { actors, well, .. } = what else { return None };
    Some(if well == actors { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_well(outcome: &str) -> bool {
    outcome == "committed" || outcome == "unchanged"
}

/// Whether it has ended, and well for every actor.
fn went_well(view: &UpgradeView) -> bool {
    view.journal.iter().any(|entry| match entry {
        Entry::End(end) => end.actors.iter().all(|actor| is_well(&actor.outcome)),
        _ => false,
    })
}

fn steps(view: &UpgradeView) -> String {
    let mut text = format!("upgrade {}: {}\n", view.id, view.status);
    let mut rows = Vec::new();
    for entry in &view.journal {
        match entry {
            Entry::Begin(begin) => {
                let why = if begin.why.is_empty() { String::new() } else { format!(", {}", begin.why) };
                text.push_str(&format!("asked for by {}{}\n", begin.who, harmless(&why)));
                for moved in &begin.moves {
                    text.push_str(&format!("{}: {} -> {}\n", moved.addr, moved.from, moved.to));
                }
            }
            Entry::Step(step) => {
                let result = match &step.result {
                    StepResult::Done => "done".to_owned(),
                    StepResult::Undone => "undone".to_owned(),
                    StepResult::Failed { code, cause } => format!("failed [{code}] {cause}"),
                };
                let took = format!("{} us", step.took_us);
                rows.push(vec![step.step.clone(), or_dash(step.actor.as_ref()), took, result]);
            }
            Entry::End(end) => {
                for actor in &end.actors {
                    let code = actor.code.as_ref().map_or_else(String::new, |code| format!(" [{code}]"));
                    rows.push(vec![actor.outcome.clone(), format!("{}{code}", actor.addr)]);
                }
            }
        }
    }
    text + &columns(&rows)
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
            let outcomes: Vec<String> = outcomes.collect();
            vec![
                upgrade.id.to_string(),
                if outcomes.is_empty() { upgrade.status.clone() } else { outcomes.join(", ") },
                or_dash(upgrade.at),
                upgrade.actors.to_string(),
                to.join(","),
                upgrade.who.clone(),
                or_dash(Some(&upgrade.why).filter(|why| !why.is_empty())),
            ]
        }));
        columns(&rows)
    })
}
