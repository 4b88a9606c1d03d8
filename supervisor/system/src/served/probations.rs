//! Versions on probation: who is, what became of them, and what an operator decides.

use super::asked::Asked;
use super::audited::{Note, Who};
use super::routes::{Answer, Json, look};
use super::timestamp;
use super::upgrades::known;
use crate::{System, SystemError};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use teneral_contract::Addr;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{
    DOWN_NAMED_MAX, FailedProbation, Finalise, Finalised, ProbationEnd, ProbationView, RollBack,
};
use teneral_store::{Entry, Move, ProbationOver, Term, UpgradeId};
use teneral_upgrade::{BackError, Failure, OnProbation, Owed, Phase, Report, TakenBack, UpgradeError, moved_by};

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/probations", get(probations))
        .route("/v1/upgrades/{id}/finalise", post(finalise))
        .route("/v1/upgrades/{id}/rollback", post(rollback))
}

async fn probations(State(system): State<System>) -> Answer<Vec<OnProbation>> {
    Ok(Json(system.on_probation()))
}

/// Those that are named where their number is said.
pub(super) fn named(all: impl IntoIterator<Item = OnProbation>) -> (usize, Vec<OnProbation>) {
    let (mut count, mut first) = (0, Vec::new());
    for on in all {
        count += 1;
        if first.len() < DOWN_NAMED_MAX {
            first.push(on);
        }
    }
    (count, first)
}

/// All of them, by actor.
pub(super) fn by_actor(system: &System) -> BTreeMap<Addr, OnProbation> {
    system.on_probation().into_iter().map(|on| (on.actor.clone(), on)).collect()
}

/// Who is on probation, and what could not be written yet. Looked at before the journals: what ends in between has its
/// end there.
pub(super) struct Looked {
    on: Vec<OnProbation>,
    owed: Owed,
}

impl Looked {
    /// For that upgrade.
    pub(super) fn at(system: &System, id: &UpgradeId) -> Self {
        let upgrades = &system.inner.upgrades;
        Self { on: upgrades.on_probation_for(id), owed: upgrades.owed(id) }
    }

    /// Why it is not kept yet where its actors are.
    pub(super) fn unkept(&self) -> Option<Failure> {
        self.owed.unkept.clone()
    }
}

/// What is written of an upgrade, as far as its probation goes.
pub(super) struct Written<'a> {
    pub(super) term: Option<Term>,
    pub(super) moves: &'a [Move],
    /// Who was moved.
    pub(super) moved: BTreeSet<Addr>,
    pub(super) ends: Vec<ProbationOver>,
}

impl<'a> Written<'a> {
    /// In its journal.
    pub(super) fn of(journal: &'a [Entry]) -> Self {
        let over = |entry: &Entry| if let Entry::Probation(over) = entry { Some(over.clone()) } else { None };
        Self {
            term: Entry::begin_of(journal).and_then(|begin| begin.probation),
            moves: Entry::begin_of(journal).map_or(&[], |begin| begin.moves.as_slice()),
            moved: moved_by(journal),
            ends: journal.iter().filter_map(over).collect(),
        }
    }
}

/// The probation of an upgrade's actors, or that it was made final without one.
pub(super) fn view(
    system: &System,
    id: &UpgradeId,
    Looked { on, owed }: Looked,
    Written { term, moves, moved, ends }: Written<'_>,
) -> Result<Option<ProbationView>, SystemError> {
    let mut over: BTreeMap<Addr, ProbationEnd> = BTreeMap::new();
    // An end that could not be written yet is one.
    for ended in ends.iter().chain(&owed.ends) {
        for actor in &ended.actors {
            let end = ProbationEnd {
                actor: actor.clone(),
                how: ended.how.clone(),
                at: Some(timestamp(ended.at_unix_us.saturating_mul(1000))),
                why: ended.why.clone(),
                by: ended.by.clone(),
            };
            over.insert(actor.clone(), end);
        }
    }
    if term.is_some_and(|term| term.boot != system.runtime().epoch()) {
        let left: Vec<&Addr> = moved.iter().filter(|actor| !over.contains_key(actor)).collect();
        if !left.is_empty() {
            let (upgrades, taken) = (&system.inner.upgrades, system.inner.upgrades.taken_back(id)?);
            for actor in left {
                let moved = moves.iter().find(|moved| moved.addr == *actor);
                let elsewhere = match moved {
                    Some(moved) => upgrades.elsewhere(moved)?,
                    None => None,
                };
                over.insert(actor.clone(), outlived(actor, taken.get(actor), elsewhere));
            }
        }
    }
    let on = on.into_iter().filter(|on| !over.contains_key(&on.actor)).collect();
    let over: Vec<ProbationEnd> = over.into_values().collect();
    let (time_us, messages) = match term {
        Some(term) => (term.time_us, term.messages),
        None if over.is_empty() => return Ok(None),
        None => (0, 0),
    };
    Ok(Some(ProbationView { time_us, messages, on, over, not_default: owed.default }))
}

/// The end of a probation that its host did not live to write down.
fn outlived(actor: &Addr, taken: Option<&TakenBack>, elsewhere: Option<Version>) -> ProbationEnd {
    let (actor, by) = (actor.clone(), taken.map(|taken| taken.by.clone()));
    match (taken, elsewhere) {
        (Some(TakenBack { at_unix_us: Some(at_unix_us), why, .. }), _) => {
            let at = Some(timestamp(at_unix_us.saturating_mul(1000)));
            ProbationEnd { actor, how: "rolled_back".to_owned(), at, why: why.clone(), by }
        }
        // Whoever moved it has decided: there is nothing left to make final.
        (_, Some(version)) => {
            let why = format!("its probation ended with the host, and it runs {version} by now");
            ProbationEnd { actor, how: "superseded".to_owned(), at: None, why, by }
        }
        (_, None) => {
            let why = match taken {
                Some(_) => "the host ended while it was being taken back",
                None => "the host ended first, and the instance before with it",
            };
            ProbationEnd { actor, how: "host_ended".to_owned(), at: None, why: why.to_owned(), by }
        }
    }
}

async fn finalise(
    State(system): State<System>,
    Who(who): Who,
    Path(id): Path<String>,
    Asked(body): Asked<Finalise>,
) -> Result<(Extension<Note>, Json<Finalised>), ApiError> {
    let id = known(&system, &id).await?;
    let on = system.on_probation();
    let actors = system.finalise(&id, &body.actors, &said(&who, &body.reason)).await?;
    let why = |on: OnProbation| match on.phase {
        Phase::Sick { why } => Some(FailedProbation { actor: on.actor, why }),
        Phase::Held { failure } => Some(FailedProbation { actor: on.actor, why: failure.cause }),
        Phase::Watching | Phase::RollingBack { .. } => None,
    };
    let failed: Vec<_> = on.into_iter().filter(|on| actors.contains(&on.actor)).filter_map(why).collect();
    let of = id.clone();
    let done = look(&system, move |system| {
        let journal = system.journal(&of)?;
        let mut moves = Entry::begin_of(&journal).into_iter().flat_map(|begin| &begin.moves);
        let moved = moves.find(|moved| actors.contains(&moved.addr));
        let moved = moved.ok_or_else(|| BackError::Probation(format!("{of} has moved nobody of these")));
        let moved = moved.map_err(UpgradeError::Back)?;
        let kind = moved.addr.kind().to_owned();
        let default = system.default_version(&kind)?.as_ref() == Some(&moved.to);
        Ok(Finalised { id: of, actors, kind, version: moved.to.clone(), default, failed })
    });
    let done = done.await?;
    Ok((Note::about(about(&id, &done.actors)), Json(done)))
}

/// Who, and why, where they say so.
fn said(who: &str, reason: &str) -> String {
    if reason.is_empty() { who.to_owned() } else { format!("{who}: {reason}") }
}

fn about<'a>(id: &UpgradeId, actors: impl IntoIterator<Item = &'a Addr>) -> String {
    actors.into_iter().fold(id.to_string(), |text, actor| format!("{text} {actor}"))
}

async fn rollback(
    State(system): State<System>,
    Who(who): Who,
    Path(id): Path<String>,
    Asked(body): Asked<RollBack>,
) -> Result<(Extension<Note>, Json<Vec<Report>>), ApiError> {
    let RollBack { by, pathless, actors, reason } = body;
    let id = known(&system, &id).await?;
    let how = (by, pathless.unwrap_or(system.upgrade_options().pathless));
    let reports = system.roll_back(&id, how, &actors, (&who, &reason)).await?;
    let moved = || reports.iter().flat_map(|report| &report.actors);
    let failed = moved().find_map(|actor| actor.outcome.failure());
    let what = about(&id, moved().map(|actor| &actor.actor));
    let note = Note { what, outcome: failed.map(|failure| failure.code.clone()) };
    Ok((Extension(note), Json(reports)))
}
