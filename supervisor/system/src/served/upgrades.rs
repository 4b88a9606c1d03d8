//! Upgrades asked for, looked at and cancelled.

use super::asked::{APPLY, Asked};
use super::audited::{Note, Who};
use super::moment;
use super::probations::{self, Looked, Written};
use super::routes::{Answer, Json, look};
use crate::{System, SystemError, Wish};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use teneral_contract::Addr;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{Apply, Page, Upgrade, UpgradeSummary, UpgradeView};
use teneral_store::{Begin, Entry, Logged, Store, StoreError, UpgradeId};
use teneral_upgrade::{Outcome, Plan, Report, UpgradeError, moved_by};

/// Upgrades on a page where the caller does not say, and at most.
const PAGE: (usize, usize) = (50, 500);

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/upgrades", get(upgrades))
        .route("/v1/upgrades/{id}", get(upgrade))
        .route("/v1/upgrades/{id}/cancel", post(cancel))
        .route("/v1/requests/{request}", get(requested))
        .route("/v1/upgrades/plan", post(plan))
        .route("/v1/upgrades/run", post(run))
        .route(APPLY, post(apply))
}

async fn upgrades(
    State(system): State<System>,
    page: Result<Query<Page>, QueryRejection>,
) -> Answer<Vec<UpgradeSummary>> {
    let Query(Page { before, limit }) = page.map_err(|error| {
        let hint = "ask for ?before=ID&limit=N, or for neither";
        ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", &error, "nothing was done", hint)
    })?;
    let before = match before {
        Some(id) => Some(known(&system, &id).await?),
        None => None,
    };
    let count = limit.unwrap_or(PAGE.0).min(PAGE.1);
    let views = look(&system, move |system| {
        let running = system.running();
        let found = system.latest_upgrades(before.as_ref(), count)?;
        found.into_iter().map(|logged| summary(system, logged, &running)).collect()
    });
    Ok(Json(views.await?))
}

fn status(ended: bool, running: bool) -> String {
    let status = match (ended, running) {
        (true, _) => "ended",
        (false, true) => "running",
        (false, false) => "cut off",
    };
    status.to_owned()
}

fn summary(
    system: &System,
    Logged { id, first, last }: Logged,
    running: &[UpgradeId],
) -> Result<UpgradeSummary, SystemError> {
    let mut outcomes = BTreeMap::new();
    if let Entry::End(end) = &last {
        end.actors.iter().for_each(|actor| *outcomes.entry(actor.outcome.clone()).or_default() += 1);
    }
    let status = status(matches!(last, Entry::End(_)), running.contains(&id));
    let begin = if let Entry::Begin(begin) = first { begin } else { Begin::default() };
    // Who was there already had no move.
    let there = if let Entry::End(end) = &last { end.actors.as_slice() } else { &[] };
    let there = there.iter().filter(|actor| actor.outcome == Outcome::Unchanged.name());
    let mut to: Vec<_> =
        begin.moves.iter().map(|moved| &moved.to).chain(there.map(|actor| &actor.now)).cloned().collect();
    to.sort();
    to.dedup();
    let mut probation = BTreeMap::new();
    let looked = begin.probation.map(|_| Looked::at(system, &id));
    if let Some(looked) = looked
        && let Some(view) = probations::view(
            system,
            &id,
            looked,
            Written {
                term: begin.probation,
                moves: &begin.moves,
                moved: moved(system, &id, &last, running)?,
                ends: system.store().probation_ends(&id)?,
            },
        )?
    {
        view.on.iter().for_each(|_| *probation.entry("on".to_owned()).or_default() += 1);
        view.over.into_iter().for_each(|end| *probation.entry(end.how).or_default() += 1);
    }
    let Begin { at_unix_us, who, why, request, rolls_back, moves, .. } = begin;
    let (at, actors) = (moment(at_unix_us), moves.len());
    Ok(UpgradeSummary { id, status, at, who, why, request, to, actors, outcomes, rolls_back, probation })
}

/// Who was moved by an upgrade that is over: of one that was cut off its steps tell, of which there are many.
fn moved(system: &System, id: &UpgradeId, last: &Entry, running: &[UpgradeId]) -> Result<BTreeSet<Addr>, SystemError> {
    match last {
        Entry::End(_) => Ok(moved_by(std::slice::from_ref(last))),
        _ if running.contains(id) => Ok(BTreeSet::new()),
        _ => Ok(moved_by(&system.journal(id)?)),
    }
}

async fn upgrade(State(system): State<System>, Path(id): Path<String>) -> Answer<UpgradeView> {
    let id = known(&system, &id).await?;
    Ok(Json(look(&system, move |system| upgrade_view(system, id)).await?))
}

async fn requested(State(system): State<System>, Path(request): Path<String>) -> Answer<UpgradeView> {
    let id = asked_before(&system, &request).await?;
    let id = id.ok_or_else(|| no_upgrade(format!("no upgrade was asked for as {request}")))?;
    Ok(Json(look(&system, move |system| upgrade_view(system, id)).await?))
}

async fn asked_before(system: &System, request: &str) -> Result<Option<UpgradeId>, ApiError> {
    let request = request.to_owned();
    look(system, move |system| system.requested(&request)).await
}

/// Before anything is planned: what a repeated request would meet now says nothing about it.
async fn first_time(system: &System, request: Option<&str>) -> Result<(), ApiError> {
    let Some(request) = request else { return Ok(()) };
    match asked_before(system, request).await? {
        Some(id) => Err(SystemError::from(UpgradeError::Repeated { request: request.to_owned(), id }).into()),
        None => Ok(()),
    }
}

async fn cancel(State(system): State<System>, Who(who): Who, Path(id): Path<String>) -> Answer<Value> {
    let id = known(&system, &id).await?;
    let cancelled = system.cancel(&id, &who);
    Ok(Json(json!({ "id": id, "cancelled": cancelled })))
}

pub(super) async fn known(system: &System, id: &str) -> Result<UpgradeId, ApiError> {
    let found = UpgradeId(id.to_owned());
    let named = found.clone();
    let known = look(system, move |system| match system.journal(&named) {
        Err(SystemError::Store(error)) if matches!(*error, StoreError::Name(_)) => Ok(false),
        journal => Ok(!journal?.is_empty()),
    });
    if known.await? { Ok(found) } else { Err(no_upgrade(format!("no upgrade {id}"))) }
}

fn no_upgrade(what: String) -> ApiError {
    ApiError::request(StatusCode::NOT_FOUND, "CTL-UPGRADE", what, "teneral upgrade log lists them")
}

fn upgrade_view(system: &System, id: UpgradeId) -> Result<UpgradeView, SystemError> {
    let (running, looked) = (system.running().contains(&id), Looked::at(system, &id));
    let journal = system.journal(&id)?;
    let ended = Entry::end_of(&journal).is_some();
    let rolls_back = Entry::begin_of(&journal).and_then(|begin| begin.rolls_back.clone());
    let unkept = looked.unkept();
    let probation = probations::view(system, &id, looked, Written::of(&journal))?;
    Ok(UpgradeView { id, status: status(ended, running), rolls_back, probation, unkept, journal })
}

fn wish(system: &System, who: String, body: Upgrade) -> Wish {
    let Upgrade { target, to, options, reason, request } = body;
    let options = options.unwrap_or_default().or(system.upgrade_options());
    Wish { who: Some(who), why: reason, request, ..Wish::new(target.as_str(), &to.to_string(), options) }
}

async fn plan(State(system): State<System>, Who(who): Who, Asked(body): Asked<Upgrade>) -> Answer<Plan> {
    let plan = system.plan_of(wish(&system, who, body)).await?;
    Ok(Json(system.rehearse(plan).await?))
}

/// A report, and what the audit has of it.
type Reported = Result<(Extension<Note>, Json<Report>), ApiError>;

async fn run(State(system): State<System>, Who(who): Who, Asked(body): Asked<Upgrade>) -> Reported {
    let request = body.request.clone();
    first_time(&system, request.as_deref()).await?;
    match system.upgrade_of(wish(&system, who, body)).await {
        Ok(report) => Ok((Note::of(&report), Json(report))),
        Err(refused) => {
            // The same request may have begun meanwhile, and be what stands in the way.
            first_time(&system, request.as_deref()).await?;
            Err(refused.into())
        }
    }
}

async fn apply(State(system): State<System>, Who(who): Who, Asked(body): Asked<Apply>) -> Reported {
    let Apply { plan, reason, request } = body;
    first_time(&system, request.as_deref()).await?;
    // Through its text, as a file of it: what is no legal plan is refused before anybody looks at it.
    let text = plan.to_json().map_err(SystemError::from)?;
    // Whoever applies it asks for it, whoever made it.
    let mut plan = Plan::from_json(&text).map_err(SystemError::from)?.asked_by(&who);
    if !reason.is_empty() {
        plan = plan.because(&reason);
    }
    if let Some(request) = &request {
        plan = plan.requested_as(request);
    }
    match system.apply(plan).await {
        Ok(report) => Ok((Note::of(&report), Json(report))),
        Err(refused) => {
            // As above.
            first_time(&system, request.as_deref()).await?;
            Err(refused.into())
        }
    }
}
