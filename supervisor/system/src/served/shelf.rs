//! What the store holds of a kind, and what is taken away.

use super::asked::Asked;
use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use jiff::Timestamp;
use teneral_control::api::wire::{Checked, Start};
use teneral_control::api::wire::{KindDetail, RemoveArtifact, VersionDetail};
use teneral_control::trust::KeyId;
use teneral_runtime::ports::{Json as Asks, JsonDone};
use teneral_store::{Definition, Release, Store};
use teneral_upgrade::nearest;

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/artifacts/remove", post(remove))
        .route("/v1/kinds/{kind}", get(kind))
        .route("/v1/actors/check", post(check))
}

async fn remove(State(system): State<System>, Asked(body): Asked<RemoveArtifact>) -> Answer<Release> {
    let RemoveArtifact { kind, version, reason } = body;
    let removed = look(&system, move |system| system.remove_artifact(&kind, &version.to_string())).await?;
    tracing::info!(kind = removed.kind, version = %removed.version, reason, "an artifact was removed");
    Ok(Json(removed))
}

async fn kind(State(system): State<System>, Path(kind): Path<String>) -> Answer<KindDetail> {
    Ok(Json(look(&system, move |system| detail(system, kind)).await?))
}

fn detail(system: &System, kind: String) -> Result<KindDetail, SystemError> {
    let (of_kind, others): (Vec<Release>, Vec<Release>) =
        system.releases()?.into_iter().partition(|release| release.kind == kind);
    if of_kind.is_empty() {
        let hint = nearest::hint(&kind, others.iter().map(|other| other.kind.as_str()));
        return Err(SystemError::Kind { kind, hint });
    }
    let (keys, defined, running) = (system.trusted_keys()?, system.definitions()?, system.runtime().actors_of(&kind));
    let mut versions = Vec::with_capacity(of_kind.len());
    for Release { version, sha256, bytes, schema, added_unix_us, .. } in of_kind {
        let signed = system.store().signed(sha256)?;
        let signer = signed.and_then(|signed| KeyId::of_signature(&signed.signature).ok());
        let name = signer.and_then(|signer| keys.iter().find(|key| key.public.id() == signer));
        let pushed = i64::try_from(added_unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        let runs = running.iter().filter(|actor| actor.provider().digest() == sha256);
        let on = defined.iter().filter(|on| on.addr.kind() == kind && on.version == version);
        versions.push(VersionDetail {
            sha256,
            bytes,
            schema,
            pushed,
            signer: signer.map(|signer| signer.to_string()),
            trusted_as: name.map(|key| key.name.clone()),
            running: runs.map(|actor| actor.addr().clone()).collect(),
            defined: on.map(|on| on.addr.clone()).collect(),
            version,
        });
    }
    Ok(KindDetail { default: system.default_version(&kind)?, kind, versions })
}

/// Whether a version of the store would take these start arguments, and whether an actor that is defined has them.
async fn check(State(system): State<System>, Asked(body): Asked<Start>) -> Answer<Checked> {
    let Start { actor, version, args, .. } = body;
    let checked = look(&system, move |system| {
        let provider = system.code(actor.kind(), version.as_ref())?;
        let done = provider.json(Asks::Args(&args.to_string()));
        match done.map_err(|fault| SystemError::Json { addr: actor.clone(), why: fault.text })? {
            JsonDone::Args { shape, bytes } => {
                let same = |known: Definition| (known.args_shape == shape).then(|| known.args == bytes);
                Ok(Checked { version: provider.version().clone(), same_args: system.defined(&actor)?.and_then(same) })
            }
            _ => Err(SystemError::Json { addr: actor, why: "its code makes no start arguments of JSON".to_owned() }),
        }
    });
    Ok(Json(checked.await?))
}
