//! Whose signatures are accepted.

use super::asked::Asked;
use super::audited::{Note, Who};
use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use jiff::Timestamp;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{Distrusted, KeyView, Runs, Trust};
use teneral_control::trust::{KeyId, KeyPurpose, PublicKey, TrustedKey};
use teneral_store::Store;

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/keys", get(keys))
        .route("/v1/keys/trust", post(trust))
        .route("/v1/keys/{id}/distrust", post(distrust))
}

async fn keys(State(system): State<System>) -> Answer<Vec<KeyView>> {
    Ok(Json(look(&system, System::trusted_keys).await?.iter().map(key_view).collect()))
}

fn key_view(key: &TrustedKey) -> KeyView {
    let purpose = match key.purpose {
        KeyPurpose::Release => "release",
        KeyPurpose::Development => "development",
    };
    KeyView {
        id: key.public.id().to_string(),
        name: key.name.clone(),
        purpose: purpose.to_owned(),
        added: key.added,
        by: key.by.clone(),
        expires: key.expires,
    }
}

/// Names are no proof: the audit has the key's id.
async fn trust(
    State(system): State<System>,
    Who(by): Who,
    Asked(body): Asked<Trust>,
) -> Result<(Extension<Note>, Json<KeyView>), ApiError> {
    let Trust { public, name, expires } = body;
    let public = PublicKey::parse(&public).map_err(SystemError::from)?;
    let key = TrustedKey { public, name, purpose: KeyPurpose::Release, added: Timestamp::now(), by, expires };
    let view = key_view(&key);
    look(&system, move |system| system.trust(&key)).await?;
    Ok((Note::about(format!("{} {}", view.id, view.name)), Json(view)))
}

async fn distrust(State(system): State<System>, Path(id): Path<String>) -> Answer<Distrusted> {
    let known = look(&system, System::trusted_keys).await?;
    let Some(key) = id.parse().ok().filter(|id: &KeyId| known.iter().any(|known| known.public.id() == *id)) else {
        let what = format!("no key {id} is trusted here");
        return Err(ApiError::request(StatusCode::NOT_FOUND, "CTL-KEY", what, "teneral key list shows those that are"));
    };
    let actors = look(&system, move |system| {
        system.distrust(key)?;
        signed_by(system, key)
    });
    Ok(Json(Distrusted { id, trusted: false, actors: actors.await? }))
}

/// Who runs code that was signed by a key.
fn signed_by(system: &System, key: KeyId) -> Result<Vec<Runs>, SystemError> {
    let mut found = Vec::new();
    for actor in system.actors() {
        let provider = actor.provider();
        let signed = system.store().signed(provider.digest())?;
        if signed.is_some_and(|signed| KeyId::of_signature(&signed.signature) == Ok(key)) {
            found.push(Runs { actor: actor.addr().clone(), version: provider.version().clone() });
        }
    }
    Ok(found)
}
