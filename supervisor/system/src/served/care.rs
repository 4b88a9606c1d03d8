//! What an operator does when something is off: hold an actor, let it go, begin it anew.

use super::asked::Asked;
use super::routes::{Answer, OPERATOR, look, seen};
use super::unwell;
use crate::System;
use crate::natives::unless_own;
use axum::extract::State;
use axum::http::StatusCode;
use semver::Version;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{ActorView, BeginFrom, Named, Pause, Restart};
use teneral_runtime::error::PauseRefused;
use teneral_runtime::{Begin, Status};
use teneral_upgrade::{Failure, Phase};

/// Writes an order down, with the version of the code that it meets, or else the one that is wanted.
pub(super) fn ordered(system: &System, addr: &Addr, reason: &str, wanted: Option<&Version>, what: &str) {
    let met = system.actor(addr).ok().map(|actor| actor.info());
    let version = met.as_ref().map(|info| &info.version).or(wanted).map(tracing::field::display);
    let (kind, generation) = (addr.kind(), met.as_ref().map(|info| info.generation.0));
    tracing::info!(actor = %addr, kind, version, generation, reason, "{what}");
}

pub(super) async fn pause(State(system): State<System>, Asked(body): Asked<Pause>) -> Answer<ActorView> {
    unless_own(&body.actor)?;
    ordered(&system, &body.actor, &body.reason, None, "a pause was asked for");
    let actor = system.up(&body.actor).await?;
    let (pausing, max) = (actor.clone(), Duration::from_millis(body.max_ms.get()));
    let paused = look(&system, move |_| Ok(pausing.pause(OPERATOR, max))).await?;
    paused.map_err(|refused| not_paused(&refused))?;
    seen(&system, &body.actor).await
}

fn not_paused(refused: &PauseRefused) -> ApiError {
    let hint = "look at what the actor does: teneral actor show; a pause is granted between two messages only";
    ApiError::new(StatusCode::CONFLICT, "CTL-PAUSE", refused, "the actor is as it was", hint)
        .after("the actor cannot be paused")
}

pub(super) async fn resume(State(system): State<System>, Asked(body): Asked<Named>) -> Answer<ActorView> {
    unless_own(&body.actor)?;
    ordered(&system, &body.actor, &body.reason, None, "its resumption was asked for");
    let actor = system.up(&body.actor).await?;
    actor.resume(OPERATOR);
    match actor.info().status {
        Status::Paused { owner } if owner != OPERATOR => Err(not_let_go(&system, &body.actor, owner)),
        _ => seen(&system, &body.actor).await,
    }
}

/// Who holds it is no operator, and lets it go on terms of its own.
fn not_let_go(system: &System, addr: &Addr, owner: String) -> ApiError {
    let on = system.on_probation().into_iter().find(|on| on.actor == *addr);
    let (why, hint) = match on.as_ref().map(|on| (on, &on.phase)) {
        Some((on, Phase::Held { failure: Failure { code, cause, .. } })) => {
            let back = |way| format!("take it back: teneral upgrade rollback {} {addr} --by {way}", on.upgrade);
            let go_on = || format!("let {} go on: teneral upgrade finalise {} {addr}", on.to, on.upgrade);
            let go_on = on.quarantined.is_none().then(go_on);
            let ways: Vec<String> = on.ways.first().map(back).into_iter().chain(go_on).collect();
            let look = || format!("look at how it stands: teneral upgrade status {}", on.upgrade);
            let hint = if ways.is_empty() { look() } else { ways.join("; or ") };
            (format!("it could not be taken back ([{code}] {cause}); "), hint)
        }
        Some((on, Phase::RollingBack { why })) => {
            let hint = format!("wait until it is back: teneral upgrade status {}", on.upgrade);
            (format!("it is being taken back ({why}); "), hint)
        }
        _ if system.running().iter().any(|id| id.0 == owner) => {
            (String::new(), format!("wait for it, or cancel it: teneral upgrade cancel {owner}"))
        }
        _ => (String::new(), format!("look whether it is let go: teneral actor show {addr}")),
    };
    let now = format!("{why}it stays paused, with its state and its messages");
    ApiError::new(StatusCode::CONFLICT, "CTL-RESUME", &PauseRefused::Held { owner }, &now, hint)
        .after(format!("{addr} was not paused by an operator"))
}

pub(super) async fn restart(State(system): State<System>, Asked(body): Asked<Restart>) -> Answer<ActorView> {
    unless_own(&body.actor)?;
    let (begin, what) = match body.state.unwrap_or(BeginFrom::Keep) {
        BeginFrom::Keep => (Begin::State, "a restart with its state was asked for"),
        BeginFrom::Init => (Begin::Args, "a restart from its start arguments was asked for"),
    };
    ordered(&system, &body.actor, &body.reason, None, what);
    let actor = match system.actor(&body.actor) {
        Ok(actor) => actor,
        Err(_) => {
            system.start_defined_from(&body.actor, begin).await?;
            return seen(&system, &body.actor).await;
        }
    };
    let restarted = look(&system, move |_| Ok(actor.restart(begin))).await?;
    restarted.map_err(|fault| {
        let hung = unwell::hung(&system).into_iter().find(|hung| hung.actor == body.actor);
        let hint = match (begin, hung) {
            // What hangs in a message comes to no restart, whatever it is to begin from.
            (_, Some(hung)) => hung.hint,
            (Begin::Args | Begin::Declared, None) => {
                "mend what the cause says; teneral actor show says what the actor does now".to_owned()
            }
            (Begin::State, None) => format!(
                "mend what the cause says; to give the state up: teneral actor restart {} --state init",
                body.actor
            ),
        };
        ApiError::new(StatusCode::CONFLICT, "CTL-RESTART", &fault, "the actor is as it was", hint)
            .after("the actor could not be restarted")
    })?;
    seen(&system, &body.actor).await
}
