//! What an operator does when something is off: hold an actor, let it go, begin it anew.

use super::asked::Asked;
use super::routes::{Answer, OPERATOR, look, seen};
use crate::System;
use crate::natives::unless_own;
use axum::extract::State;
use axum::http::StatusCode;
use semver::Version;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{ActorView, Named, Pause};
use teneral_runtime::error::PauseRefused;

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
    let (pausing, max) = (actor.clone(), Duration::from_millis(body.max_ms));
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
    system.up(&body.actor).await?.resume(OPERATOR);
    seen(&system, &body.actor).await
}

pub(super) async fn restart(State(system): State<System>, Asked(body): Asked<Named>) -> Answer<ActorView> {
    unless_own(&body.actor)?;
    ordered(&system, &body.actor, &body.reason, None, "a restart was asked for");
    let actor = match system.actor(&body.actor) {
        Ok(actor) => actor,
        Err(_) => {
            system.start_defined_actor(&body.actor).await?;
            return seen(&system, &body.actor).await;
        }
    };
    let restarted = look(&system, move |_| Ok(actor.restart())).await?;
    restarted.map_err(|fault| {
        let hint = "mend what the cause says; teneral actor show says what the actor does now";
        ApiError::new(StatusCode::CONFLICT, "CTL-RESTART", &fault, "the actor is as it was", hint)
            .after("the actor could not be restarted")
    })?;
    seen(&system, &body.actor).await
}
