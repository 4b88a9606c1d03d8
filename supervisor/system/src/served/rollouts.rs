//! Routes of kinds: set, promoted, aborted, looked at.

use super::asked::Asked;
use super::audited::{Note, Who};
use super::moment;
use super::routes::{Answer, Json, look};
use crate::{Rerouted, Routing, System, SystemError, ToAddr};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use semver::Version;
use std::collections::BTreeSet;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{
    self, Choices, EndRoute, Refusal, RouteChange, RouteExplained, RouteFigures, RouteHistory, RouteMatch, RouteRange,
    RouteRule, RouteView, RouteWeight, SetRoute,
};
use teneral_rollout::{Act, By, Change, Decision, Held, Phase, Rest, Rollout, RouteError, Rule, Weight, Wish};
use teneral_runtime::Figures;
use teneral_upgrade::{Turns, chain};

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/routes/{kind}", get(route))
        .route("/v1/routes/{kind}/history", get(history))
        .route("/v1/actors/{actor}/route", get(explain))
        .route("/v1/routes/set", post(set))
        .route("/v1/routes/promote", post(promote))
        .route("/v1/routes/abort", post(abort))
}

async fn route(State(system): State<System>, Path(kind): Path<String>) -> Answer<RouteView> {
    let found = look(&system, move |system| {
        // What could not be settled when the last actor came is settled when somebody looks.
        let _ = system.settled_route(&kind)?;
        let rollout = system.route(&kind)?;
        Ok(view(system, &rollout, system.route_held(&rollout)))
    });
    Ok(Json(found.await?))
}

async fn history(State(system): State<System>, Path(kind): Path<String>) -> Answer<RouteHistory> {
    let rollout = look(&system, move |system| system.route(&kind)).await?;
    let (kind, dropped) = (rollout.kind().to_owned(), rollout.dropped());
    Ok(Json(RouteHistory { kind, dropped, changes: rollout.history().map(change).collect() }))
}

async fn explain(State(system): State<System>, Path(actor): Path<String>) -> Answer<RouteExplained> {
    let actor = actor.to_addr()?;
    let named = actor.clone();
    let Decision { version, bucket, by } = look(&system, move |system| system.route_explain(&named)).await?;
    let running = system.actor(&actor).ok().map(|actor| actor.info().version);
    let (rule, range) = match by {
        By::Rule { number, rule } => (Some(RouteMatch { number, rule: to_wire(&rule) }), None),
        By::Bucket { first, last } => (None, Some(RouteRange { first, last })),
    };
    Ok(Json(RouteExplained { actor, version, running, bucket, rule, range }))
}

/// What came of it, and what the audit has of it.
type Changed = Result<(Extension<Note>, Json<wire::Rerouted>), ApiError>;

async fn set(State(system): State<System>, Who(who): Who, Asked(body): Asked<SetRoute>) -> Changed {
    let SetRoute { kind, weights, rules, salt, options, reason } = body;
    let weights: Vec<Weight> =
        weights.into_iter().map(|RouteWeight { version, percent }| Weight { version, percent }).collect();
    let read = |RouteRule { attribute, value, version }: RouteRule| -> Result<Rule, RouteError> {
        Ok(Rule { attribute: attribute.parse()?, value, version })
    };
    let rules = rules.into_iter().map(read).collect::<Result<Vec<_>, _>>().map_err(SystemError::from)?;
    let routing = routing(&system, who, reason, options);
    let done = system.route_set(&kind, Wish { weights, rules, salt }, routing).await?;
    answered(&system, done).await
}

async fn promote(State(system): State<System>, Who(who): Who, Asked(body): Asked<EndRoute>) -> Changed {
    let EndRoute { kind, options, reason } = body;
    let done = system.route_promote(&kind, routing(&system, who, reason, options)).await?;
    answered(&system, done).await
}

async fn abort(State(system): State<System>, Who(who): Who, Asked(body): Asked<EndRoute>) -> Changed {
    let EndRoute { kind, options, reason } = body;
    let done = system.route_abort(&kind, routing(&system, who, reason, options)).await?;
    answered(&system, done).await
}

fn routing(system: &System, who: String, why: String, options: Option<Choices>) -> Routing {
    Routing { who: Some(who), why, options: options.unwrap_or_default().or(system.upgrade_options()) }
}

async fn answered(system: &System, done: Rerouted) -> Changed {
    let Rerouted { rollout, reports, held, refused } = done;
    let failed = reports.iter().flat_map(|report| &report.actors).find_map(|actor| actor.outcome.failure());
    let outcome = refused.as_ref().map(|error| error.code().to_owned());
    let outcome = outcome.or_else(|| failed.map(|failure| failure.code.clone()));
    let refused =
        refused.map(|error| Refusal { code: error.code().to_owned(), cause: chain(&error), hint: error.hint() });
    let what = format!("{} revision {}", rollout.kind(), rollout.route().parts().revision);
    let route = look(system, move |system| Ok(view(system, &rollout, held))).await?;
    Ok((Extension(Note { what, outcome }), Json(wire::Rerouted { route, reports, refused })))
}

fn view(system: &System, rollout: &Rollout, held: Held) -> RouteView {
    let parts = rollout.route().parts();
    let (phase, toward) = match rollout.phase() {
        Phase::Steady => ("steady", None),
        Phase::Split => ("split", None),
        Phase::Moving { toward: Rest::Steady } => ("moving", Some("steady")),
        Phase::Moving { toward: Rest::Split } => ("moving", Some("split")),
    };
    RouteView {
        kind: rollout.kind().to_owned(),
        phase: phase.to_owned(),
        toward: toward.map(str::to_owned),
        revision: parts.revision,
        stable: rollout.stable().clone(),
        salt: parts.salt.clone(),
        versions: figures(system, rollout),
        rules: parts.rules.iter().map(to_wire).collect(),
        who: parts.said.who.clone(),
        at: Some(parts.said.at_unix_us).filter(|us| *us > 0).and_then(moment),
        why: parts.said.why.clone(),
        astray: held.actors,
        frozen: held.frozen,
    }
}

/// The actors of one version, and what came to them.
struct Of {
    version: Version,
    percent: Option<u8>,
    actors: usize,
    on_probation: usize,
    restarts: u64,
    figures: Figures,
}

impl Of {
    fn nobody(version: &Version, percent: Option<u8>) -> Self {
        let (actors, on_probation, restarts) = (0, 0, 0);
        Self { version: version.clone(), percent, actors, on_probation, restarts, figures: Figures::default() }
    }
}

fn figures(system: &System, rollout: &Rollout) -> Vec<RouteFigures> {
    let weights = rollout.route().parts().weights.iter();
    let mut all: Vec<Of> = weights.map(|weight| Of::nobody(&weight.version, Some(weight.percent))).collect();
    let on_probation: BTreeSet<_> = system.on_probation().into_iter().map(|on| on.actor).collect();
    for actor in system.actors_of(rollout.kind()) {
        let info = actor.info();
        let at = all.iter().position(|of| of.version == info.version).unwrap_or_else(|| {
            all.push(Of::nobody(&info.version, None));
            all.len() - 1
        });
        let of = &mut all[at];
        of.actors += 1;
        of.on_probation += usize::from(on_probation.contains(&info.addr));
        of.restarts += info.restarts;
        of.figures = of.figures.and(actor.figures());
    }
    let view = |Of { version, percent, actors, on_probation, restarts, figures }| {
        let Turns { handled, failed, panics, mean_ns, .. } = figures.into();
        RouteFigures { version, percent, actors, on_probation, handled, failed, panics, mean_ns, restarts }
    };
    all.into_iter().map(view).collect()
}

fn to_wire(Rule { attribute, value, version }: &Rule) -> RouteRule {
    RouteRule { attribute: attribute.to_string(), value: value.clone(), version: version.clone() }
}

fn change(change: &Change) -> RouteChange {
    let act = match change.act {
        Act::Set => "set",
        Act::Promote => "promote",
        Act::Abort => "abort",
        Act::Follow => "follow",
    };
    let weights = |weights: &[Weight]| -> Vec<RouteWeight> {
        let each = |weight: &Weight| RouteWeight { version: weight.version.clone(), percent: weight.percent };
        weights.iter().map(each).collect()
    };
    RouteChange {
        revision: change.revision,
        act: act.to_owned(),
        who: change.said.who.clone(),
        at: moment(change.said.at_unix_us),
        why: change.said.why.clone(),
        from: weights(&change.from),
        to: weights(&change.to),
        rules: change.rules,
        salt: change.salt.clone(),
        settled: change.settled_at_unix_us.and_then(moment),
    }
}
