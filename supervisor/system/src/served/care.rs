//! What an operator does when something is off: hold an actor, let it go, begin it anew, look at what was lost.

use super::asked::Asked;
use super::routes::{Answer, Json, OPERATOR, look, seen};
use crate::System;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use std::time::Duration;
use teneral_contract::Tag;
use teneral_contract::shape::variant_id;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{ActorView, DeadLetterView, Named, Pause};
use teneral_runtime::DeadLetter;
use teneral_runtime::error::PauseRefused;

pub(super) async fn pause(State(system): State<System>, Asked(body): Asked<Pause>) -> Answer<ActorView> {
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
    system.up(&body.actor).await?.resume(OPERATOR);
    seen(&system, &body.actor).await
}

pub(super) async fn restart(State(system): State<System>, Asked(body): Asked<Named>) -> Answer<ActorView> {
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

pub(super) async fn dead_letters(State(system): State<System>) -> Answer<Vec<DeadLetterView>> {
    Ok(Json(look(&system, |system| Ok(letters(system))).await?))
}

fn letters(system: &System) -> Vec<DeadLetterView> {
    let view = |letter: &DeadLetter| DeadLetterView {
        at: Timestamp::from_nanosecond(i128::from(letter.wall_ns)).unwrap_or(Timestamp::UNIX_EPOCH),
        to: letter.to.clone(),
        from: letter.from.clone(),
        message: name(system, letter.to.kind(), letter.tag),
        body_bytes: letter.body_bytes,
        reason: letter.reason.to_string(),
    };
    system.runtime().dead_letters().list().iter().map(|letter| view(letter)).collect()
}

/// As an actor of that kind knows the message, whichever version it runs.
fn name(system: &System, kind: &str, tag: Tag) -> String {
    let actors = system.runtime().actors_of(kind);
    let known = actors.iter().find_map(|actor| {
        let provider = actor.provider();
        let messages = &provider.manifest().messages;
        messages.iter().find(|known| variant_id(&known.name) == tag.variant).map(|found| found.name.clone())
    });
    known.unwrap_or_else(|| format!("{:016x}", tag.variant))
}
