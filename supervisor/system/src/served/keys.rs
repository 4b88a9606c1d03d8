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
use teneral_contract::Digest;
use teneral_control::api::ApiError;
use teneral_control::api::wire::{Distrusted, KeyView, Runs, SignedArtifact, Trust};
use teneral_control::trust::{KeyId, KeyPurpose, PublicKey, TrustedKey};
use teneral_store::{Release, Store};

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
    let key = meant(&id, &known)?;
    let done = look(&system, move |system| {
        system.distrust(key)?;
        let (actors, artifacts) = (signed_by(system, key)?, artifacts_by(system, key)?);
        Ok(Distrusted { id: key.to_string(), trusted: false, actors, artifacts })
    });
    Ok(Json(done.await?))
}

/// The one key whose id begins so.
fn meant(typed: &str, known: &[TrustedKey]) -> Result<KeyId, ApiError> {
    let begins = |id: &KeyId| !typed.is_empty() && id.to_string().starts_with(&typed.to_ascii_uppercase());
    let found: Vec<KeyId> = known.iter().map(|key| key.public.id()).filter(begins).collect();
    let hint = "teneral key list shows those that are";
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let what = format!("no key {typed} is trusted here");
            Err(ApiError::request(StatusCode::NOT_FOUND, "CTL-KEY", what, hint))
        }
        several => {
            let ids = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{typed} is the beginning of {} keys: {ids}", several.len());
            Err(ApiError::request(StatusCode::BAD_REQUEST, "CTL-KEY", what, "type more of the one that is meant"))
        }
    }
}

fn is_by(system: &System, digest: Digest, key: KeyId) -> Result<bool, SystemError> {
    let signed = system.store().signed(digest)?;
    Ok(signed.is_some_and(|signed| KeyId::of_signature(&signed.signature) == Ok(key)))
}

/// What the store holds that a key signed, and who would need it.
fn artifacts_by(system: &System, key: KeyId) -> Result<Vec<SignedArtifact>, SystemError> {
    let (mut found, definitions) = (Vec::new(), system.definitions()?);
    for Release { kind, version, sha256, .. } in system.releases()? {
        if !is_by(system, sha256, key)? {
            continue;
        }
        let on = definitions.iter().filter(|on| on.addr.kind() == kind && on.version == version);
        let defined = on.map(|on| on.addr.clone()).collect();
        let default = system.default_version(&kind)?.as_ref() == Some(&version);
        found.push(SignedArtifact { kind, version, default, defined });
    }
    Ok(found)
}

/// Who runs code that was signed by a key.
fn signed_by(system: &System, key: KeyId) -> Result<Vec<Runs>, SystemError> {
    let mut found = Vec::new();
    for actor in system.actors() {
        let provider = actor.provider();
        if is_by(system, provider.digest(), key)? {
            found.push(Runs { actor: actor.addr().clone(), version: provider.version().clone() });
        }
    }
    Ok(found)
}
