//! Effects that a version that was gone back to wants sent: shown as far as a manifest knows them, sent, dropped.

use super::asked::wrong;
use super::audited::Note;
use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::collections::BTreeMap;
use std::sync::Arc;
use teneral_contract::shape::variant_id;
use teneral_contract::{Manifest, codec};
use teneral_control::api::ApiError;
use teneral_control::api::wire::HeldView;
use teneral_runtime::ports::Provider;
use teneral_upgrade::{Artifacts, BackError, Held, UpgradeError};

/// A longer body is not shown.
const SHOWN_BYTES_MAX: usize = 4096;

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/held", get(held))
        .route("/v1/held/{number}/send", post(send))
        .route("/v1/held/{number}/drop", post(drop_held))
}

async fn held(State(system): State<System>) -> Answer<Vec<HeldView>> {
    Ok(Json(look(&system, |system| Ok(views(system, system.held()))).await?))
}

fn views(system: &System, held: Vec<Held>) -> Vec<HeldView> {
    let mut known: BTreeMap<String, Vec<Manifest>> = BTreeMap::new();
    let mut views = Vec::with_capacity(held.len());
    for mut held in held {
        let kind = held.to.kind();
        let manifests = known.entry(kind.to_owned()).or_insert_with(|| manifests(system, kind));
        if held.message.is_none() && held.variant != 0 {
            let mut messages = manifests.iter().flat_map(|manifest| &manifest.messages);
            held.message =
                messages.find(|message| variant_id(&message.name) == held.variant).map(|known| known.name.clone());
        }
        let body = (held.body_bytes <= SHOWN_BYTES_MAX).then(|| shown(system, held.id, manifests)).flatten();
        views.push(HeldView { held, body });
    }
    views
}

/// What is said of a kind: by the code that runs first, then by what the store holds.
fn manifests(system: &System, kind: &str) -> Vec<Manifest> {
    let mut runs: Vec<Arc<dyn Provider>> =
        system.runtime().actors_of(kind).iter().map(teneral_runtime::ActorRef::provider).collect();
    runs.sort_by_key(|provider| provider.digest());
    runs.dedup_by_key(|provider| provider.digest());
    let mut found: Vec<Manifest> = runs.iter().map(|provider| provider.manifest().clone()).collect();
    // Of what cannot be read nothing is shown.
    let stored = Artifacts::releases(system.library(), kind).unwrap_or_default();
    found.extend(stored.into_iter().filter_map(|release| release.manifest.ok()));
    found
}

fn shown(system: &System, id: u64, manifests: &[Manifest]) -> Option<serde_json::Value> {
    let (tag, bytes) = system.inner().upgrades.held_body(id)?;
    let shape = manifests.iter().find_map(|manifest| match tag.variant {
        0 => (manifest.args.fingerprint == tag.fingerprint).then_some(&manifest.args.shape),
        _ => manifest.messages.iter().find(|known| known.fingerprint == tag.fingerprint).map(|known| &known.shape),
    });
    codec::shown(shape?, &bytes).ok()
}

/// The effect of that number.
async fn numbered(system: &System, number: &str) -> Result<HeldView, ApiError> {
    let number: u64 = number.parse().map_err(|error| wrong("the number of a held effect", &error))?;
    let found = system.held().into_iter().find(|held| held.id == number);
    let found = found.ok_or_else(|| SystemError::from(UpgradeError::Back(BackError::NotHeld(number))))?;
    let mut views = look(system, |system| Ok(views(system, vec![found]))).await?;
    views.pop().ok_or_else(|| SystemError::from(UpgradeError::Back(BackError::NotHeld(number))).into())
}

/// What was done with one, and which it was, for the audit.
type Done = Result<(Extension<Note>, Json<HeldView>), ApiError>;

async fn send(State(system): State<System>, Path(number): Path<String>) -> Done {
    let view = numbered(&system, &number).await?;
    system.send_held(view.held.id).await?;
    Ok((noted(&view.held), Json(view)))
}

async fn drop_held(State(system): State<System>, Path(number): Path<String>) -> Done {
    let view = numbered(&system, &number).await?;
    system.drop_held(view.held.id)?;
    Ok((noted(&view.held), Json(view)))
}

fn noted(Held { id, actor, kind, to, message, .. }: &Held) -> Extension<Note> {
    let message = message.as_ref().map_or_else(String::new, |message| format!(" {message}"));
    Note::about(format!("{id}: {kind}{message} from {actor} to {to}"))
}
