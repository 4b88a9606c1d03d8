//! What the store holds of a kind, and what is taken away.

use super::asked::{Asked, wrong};
use super::moment;
use super::routes::{Answer, Json, look};
use crate::library::Described;
use crate::system::parse;
use crate::{ImageUse, Place, System, SystemError};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use teneral_contract::Digest;
use teneral_contract::digest::DigestError;
use teneral_control::api::wire::{ArtifactDetail, Checked, ImageView, KindDetail, MessageDetail, Refusal};
use teneral_control::api::wire::{RemoveArtifact, Start, VersionDetail};
use teneral_control::trust::KeyId;
use teneral_runtime::StartArgs;
use teneral_store::{Definition, Release, Store, StoreError};
use teneral_upgrade::{OnProbation, Refused, nearest};

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/artifacts/remove", post(remove))
        .route("/v1/kinds/{kind}", get(kind))
        .route("/v1/kinds/{kind}/{version}", get(of_version))
        .route("/v1/artifacts/{sha256}", get(of_digest))
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
    let (on_probation, who) = (system.on_probation(), |on: &OnProbation| on.actor.clone());
    let (place, mut versions) = (system.place(&kind), Vec::with_capacity(of_kind.len()));
    // What is a program runs by itself, whatever its kind is said to.
    let mut programs = false;
    for release in of_kind {
        let Release { version, sha256, bytes, schema, added_unix_us, .. } = release.clone();
        let signed = system.store().signed(sha256)?;
        let signer = signed.and_then(|signed| KeyId::of_signature(&signed.signature).ok());
        let name = signer.and_then(|signer| keys.iter().find(|key| key.public.id() == signer));
        let pushed = moment(added_unix_us);
        let runs = running.iter().filter(|actor| actor.provider().digest() == sha256);
        let on = defined.iter().filter(|on| on.addr.kind() == kind && on.version == version);
        let (manifest, refused) = match system.library().loadable(&release) {
            Ok(manifest) => (Some(manifest), None),
            // What is not let in any more can be read still, if its bytes are there.
            Err(refused) => {
                (system.library().described(&release).ok().map(|described| described.manifest), Some(refused))
            }
        };
        programs |= manifest.as_ref().is_some_and(|manifest| manifest.program.is_some());
        // What it declares, also where its kind runs in a process that does not offer it.
        let declared = match (&manifest, place) {
            (Some(manifest), Place::InProcess) => Some(manifest.deterministic),
            _ => system.library().described(&release).ok().map(|described| described.manifest.deterministic),
        };
        versions.push(VersionDetail {
            sha256,
            bytes,
            schema,
            pushed,
            signer: signer.map(|signer| signer.to_string()),
            trusted_as: name.map(|key| key.name.clone()),
            running: runs.map(|actor| actor.addr().clone()).collect(),
            defined: on.map(|on| on.addr.clone()).collect(),
            on_probation: on_probation
                .iter()
                .filter(|on| on.actor.kind() == kind && on.to == version)
                .map(who)
                .collect(),
            image: system.image(sha256)?.map(|used| {
                let ImageUse { holders, upgrades, instances_before } = used;
                ImageView { holders, upgrades, instances_before }
            }),
            args: manifest.as_ref().map(|manifest| manifest.args.shape.clone()),
            state: manifest.as_ref().map(|manifest| manifest.state.shape.clone()),
            messages: manifest.iter().flat_map(|manifest| &manifest.messages).map(MessageDetail::from).collect(),
            deterministic: declared,
            refused: refused.as_ref().map(refusal),
            version,
        });
    }
    let place = if programs && place == Place::InProcess { Place::Process } else { place };
    Ok(KindDetail { default: system.default_version(&kind)?, kind, place: place.name().to_owned(), versions })
}

fn refusal(Refused { code, cause, hint }: &Refused) -> Refusal {
    Refusal { code: code.clone(), cause: cause.clone(), hint: hint.clone() }
}

async fn of_version(
    State(system): State<System>,
    Path((kind, version)): Path<(String, String)>,
) -> Answer<ArtifactDetail> {
    let found = look(&system, move |system| artifact(system, &system.library().release(&kind, &parse(&version)?)?));
    Ok(Json(found.await?))
}

async fn of_digest(State(system): State<System>, Path(sha256): Path<String>) -> Answer<ArtifactDetail> {
    let digest: Digest = sha256.parse().map_err(|error: DigestError| wrong("the artifact's SHA-256", &error))?;
    let found = look(&system, move |system| {
        let release = system.releases()?.into_iter().find(|release| release.sha256 == digest);
        artifact(system, &release.ok_or(StoreError::Missing(digest))?)
    });
    Ok(Json(found.await?))
}

/// What an artifact says of itself, and whether it would be loaded.
fn artifact(system: &System, release: &Release) -> Result<ArtifactDetail, SystemError> {
    let Described { manifest, constructors, needed, refused } = system.library().described(release)?;
    Ok(ArtifactDetail {
        sha256: release.sha256,
        bytes: release.bytes,
        constructors,
        needed,
        refused: refused.as_ref().map(refusal),
        manifest: serde_json::to_value(&manifest).unwrap_or_default(),
    })
}

/// Whether a version of the store would take these start arguments, and whether an actor that is defined has them.
async fn check(State(system): State<System>, Asked(body): Asked<Start>) -> Answer<Checked> {
    let Start { actor, version, args, .. } = body;
    let (provider, StartArgs { shape, bytes }) = system.args_json(&actor, version, &args.to_string()).await?;
    let same = move |known: Definition| (known.args_shape == shape).then(|| known.args == bytes);
    let same_args = look(&system, move |system| Ok(system.defined(&actor)?.and_then(same))).await?;
    Ok(Json(Checked { version: provider.version().clone(), same_args }))
}
