//! What an operator decides after the commit: final, or back; and waiting for what comes of it.

use super::super::probation::moment;
use super::super::{Host, Why};
use super::as_typed;
use super::status::{after, hints, last_word, over, seen};
use crate::failure::Failure;
use crate::output::{print, print_json};
use clap::ValueEnum;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;
use teneral::api::client::part;
use teneral::api::wire::{FailedProbation, Finalise as Final, Finalised, ProbationView, RollBack, UpgradeView};
use teneral::upgrade::{Outcome, PathlessPolicy};
use teneral::{Addr, OnProbation, Report, WayBack};

/// Which upgrade, and whom of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Finalise {
    /// The upgrade's id
    id: String,
    /// Only these of its actors, as kind/key
    actors: Vec<Addr>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Which upgrade, whom of it, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The upgrade's id
    id: String,
    /// Only these of its actors, as kind/key
    actors: Vec<Addr>,
    /// By which way [default: the best that each actor has]
    #[arg(long, value_enum, value_name = "WAY")]
    by: Option<Way>,
    /// Let waiting messages that the version before has no way for become dead letters
    #[arg(long)]
    allow_dead_letters: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// A way back after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// The version before handles what came since the commit anew; nothing is sent twice
    Replay,
    /// The new version writes its state for the one before
    Downgrade,
    /// The instance before goes on from where it was; what came since the commit is given up
    Restore,
}

impl From<Way> for WayBack {
    fn from(way: Way) -> Self {
        match way {
            Way::Replay => Self::Replay,
            Way::Downgrade => Self::Downgrade,
            Way::Restore => Self::Restore,
        }
    }
}

/// Ends a probation well.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(super) fn finalise(Finalise { id, actors, why, host }: &Finalise) -> Result<ExitCode, Failure> {
    let path = format!("/v1/upgrades/{}/finalise", part(id));
    let body = Final { actors: actors.clone(), reason: why.reason.clone() };
    let done: Finalised = host.because(why).call(async |client| client.post(&path, &body).await)?;
    host.print(&done, |Finalised { id, actors, kind, version, default, failed }| {
        let warning = |FailedProbation { actor, why }: &FailedProbation| {
            format!("warning: {actor} failed its probation: {why}\n")
        };
        let warnings: String = failed.iter().map(warning).collect();
        let names: Vec<&str> = actors.iter().map(Addr::path).collect();
        let then = match default {
            true => format!("new actors of {kind} get {version}"),
            false => format!("new actors of {kind} get {version} when all of {id} is final"),
        };
        format!("{warnings}final on {version}: {}; {then}\n", names.join(", "))
    })
}

/// Takes an upgrade back.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(super) fn rollback(
    Rollback { id, actors, by, allow_dead_letters, why, host }: &Rollback,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/upgrades/{}/rollback", part(id));
    let pathless = allow_dead_letters.then_some(PathlessPolicy::DeadLetter);
    let body = RollBack { by: by.map(Into::into), pathless, actors: actors.clone(), reason: why.reason.clone() };
    let done: Result<Vec<Report>, Failure> =
        host.because(why).call(async |client| client.post(&path, &body).await).map_err(as_typed);
    let reports = done.map_err(|failure| match failure.code() {
        "UPG-PROBATION" => failure.hinting(&format!("look at how it stands: teneral upgrade status {id}")),
        _ => failure,
    })?;
    host.print(&reports, |reports| {
        let mut text: String = reports.iter().map(|report| format!("{report}\n")).collect();
        let held = |report: &Report| report.actors.iter().filter_map(|actor| actor.back.as_ref()).any(|b| b.held > 0);
        if reports.iter().any(held) {
            text.push_str("effects are held, for you to send or drop: teneral upgrade held list\n");
        }
        text
    })?;
    Ok(if reports.iter().all(Report::ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A report, and what came after it.
#[derive(Serialize)]
struct Waited<'a> {
    #[serde(flatten)]
    report: &'a Report,
    probation: Option<&'a ProbationView>,
}

/// Whether a command that applied an upgrade waits for the end of its actors' probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// It does.
    Yes,
    /// It ends with the upgrade.
    No,
}

/// Says of an upgrade that was applied how it goes on with it, and waits for that if it is to.
///
/// # Errors
/// [`Failure`]: what the host says; that it did not end in time.
pub(super) fn reported(report: &Report, (host, begun_at): (&Host, Instant), waits: Waits) -> Result<ExitCode, Failure> {
    let moved = report.actors.iter().any(|actor| actor.outcome == Outcome::Committed);
    let applied = if report.ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let id = report.id.to_string();
    if host.json {
        if waits == Waits::No {
            print_json(report)?;
            return Ok(applied);
        }
        let (view, end) = waited(&id, &host.left(begun_at))?;
        print_json(&Waited { report, probation: view.probation.as_ref() })?;
        return Ok(end);
    }
    print(format_args!("{report}\n"))?;
    if !moved {
        return Ok(applied);
    }
    // Who is told nothing of the probation can ask for it: the upgrade is done.
    let view = host.call(async |client| seen(&id, &client).await);
    let Ok(view @ UpgradeView { probation: Some(_), .. }) = view else { return Ok(applied) };
    print(begun(&view))?;
    if waits == Waits::No {
        return Ok(applied);
    }
    let (view, end) = waited(&id, &host.left(begun_at))?;
    print(after(&view))?;
    Ok(end)
}

/// That and until when its actors are on probation; what is over by now as it is.
fn begun(view: &UpgradeView) -> String {
    let on: Vec<&OnProbation> = view.probation.iter().flat_map(|probation| &probation.on).collect();
    let Some(last) = on.iter().max_by_key(|on| until(on)) else { return after(view) };
    let who = match on.len() {
        1 => format!("{} is", last.actor),
        count => format!("{count} actors are"),
    };
    let messages = match last.watch.messages {
        0 => String::new(),
        1 => ", and for 1 message".to_owned(),
        messages => format!(", and for {messages} messages"),
    };
    let fails = match last.automatic {
        Some(way) => format!("what fails is taken back by {way}"),
        None => "what fails stays, and you are told".to_owned(),
    };
    format!(
        "{who} on probation until {}{messages}; {fails}\n  status: teneral upgrade status {}\n{}",
        moment(until(last)),
        view.id,
        hints(&view.id, &on)
    )
}

fn until(on: &OnProbation) -> u64 {
    on.since_unix_us.saturating_add(u64::try_from(on.watch.time.as_micros()).unwrap_or(u64::MAX))
}

/// Waits until nobody is on probation who may still pass.
fn waited(id: &str, host: &Host) -> Result<(UpgradeView, ExitCode), Failure> {
    host.call(async |client| {
        // Heard before it is looked at: what ends in between is told.
        let mut watch = client.watch("/v1/events").await?;
        loop {
            let view = seen(id, &client).await?;
            if let Some(end) = over(&view) {
                return Ok((view, end));
            }
            last_word(&mut watch).await;
        }
    })
}
