//! Messages that went nowhere: looked at, sent again, dropped.

use super::asked::Asked;
use super::audited::Note;
use super::routes::{Answer, Json, look};
use super::timestamp;
use crate::System;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::collections::BTreeSet;
use std::sync::Arc;
use teneral_contract::Addr;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{DeadLetterView, Kept, Letters, Resent};
use teneral_runtime::DeadLetter;

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/dead-letters", get(dead_letters))
        .route("/v1/dead-letters/resend", post(resend))
        .route("/v1/dead-letters/drop", post(drop_letters))
}

async fn dead_letters(State(system): State<System>) -> Answer<Vec<DeadLetterView>> {
    Ok(Json(look(&system, |system| Ok(letters(system))).await?))
}

fn letters(system: &System) -> Vec<DeadLetterView> {
    let dead = system.runtime().dead_letters();
    let view = |letter: &DeadLetter| DeadLetterView {
        id: letter.id,
        at: timestamp(letter.wall_ns),
        to: letter.to.clone(),
        from: letter.from.clone(),
        message: match letter.tag.variant {
            // No message of anybody's: a reply to no call, a child's start arguments.
            0 => "-".to_owned(),
            variant => system.message_name(letter.to.kind(), variant).unwrap_or_else(|| format!("{variant:016x}")),
        },
        body_bytes: letter.body_bytes,
        body_kept: dead.has_body(letter.id),
        reason: letter.reason.to_string(),
    };
    dead.list().iter().map(|letter| view(letter)).collect()
}

/// Those that are meant: all, or these, each of which must be there.
fn meant(system: &System, ids: &Option<BTreeSet<u64>>) -> Result<Vec<Arc<DeadLetter>>, ApiError> {
    let mut all = system.runtime().dead_letters().list();
    let Some(ids) = ids else { return Ok(all) };
    let known: BTreeSet<u64> = all.iter().map(|letter| letter.id).collect();
    let unknown: Vec<String> = ids.difference(&known).map(ToString::to_string).collect();
    if !unknown.is_empty() {
        let what = format!("no dead letter {}", unknown.join(", "));
        let hint = "teneral dead-letter list shows those that are kept: the latest, of this life of the host";
        return Err(ApiError::request(StatusCode::NOT_FOUND, "CTL-LETTER", what, hint));
    }
    all.retain(|letter| ids.contains(&letter.id));
    Ok(all)
}

/// What became of letters, and which they were, for the audit.
type Done = Result<(Extension<Note>, Json<Resent>), ApiError>;

async fn resend(State(system): State<System>, Asked(body): Asked<Letters>) -> Done {
    let Letters { ids, to, reason } = body;
    let letters = meant(&system, &ids)?;
    let mut done = Resent { done: Vec::new(), kept: Vec::new() };
    for letter in letters {
        match again(&system, &letter, to.as_ref().unwrap_or(&letter.to)).await {
            Ok(()) => done.done.push(letter.id),
            Err(why) => done.kept.push(Kept { id: letter.id, why }),
        }
    }
    tracing::info!(resent = done.done.len(), kept = done.kept.len(), reason, "dead letters were sent again");
    let note = Note::about(about(&done, to.as_ref()));
    Ok((note, Json(done)))
}

async fn again(system: &System, letter: &DeadLetter, to: &Addr) -> Result<(), String> {
    let actor = system.up(to).await.map_err(|error| error.to_string())?;
    actor.resend(letter).map_err(|why| match why {
        Some(why) => why.to_string(),
        None => "its body is not kept: it is no message that can be sent again, or had to make room".to_owned(),
    })
}

async fn drop_letters(State(system): State<System>, Asked(body): Asked<Letters>) -> Done {
    let Letters { ids, reason, .. } = body;
    let dead = system.runtime().dead_letters();
    let mut done: Vec<u64> = meant(&system, &ids)?.iter().map(|letter| letter.id).collect();
    done.retain(|id| dead.forget(*id));
    tracing::info!(dropped = done.len(), reason, "dead letters were dropped");
    let done = Resent { done, kept: Vec::new() };
    Ok((Note::about(about(&done, None)), Json(done)))
}

fn about(Resent { done, kept }: &Resent, to: Option<&Addr>) -> String {
    let mut words: Vec<String> = done.iter().map(ToString::to_string).collect();
    words.extend(to.map(|to| format!("to {to}")));
    words.extend((!kept.is_empty()).then(|| "kept:".to_owned()));
    words.extend(kept.iter().map(|letter| letter.id.to_string()));
    words.join(" ")
}
