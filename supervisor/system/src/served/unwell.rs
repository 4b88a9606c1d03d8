//! What hangs and what has hung: actors with a turn that does not return, and versions in quarantine.

use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::extract::State;
use std::collections::BTreeMap;
use teneral_control::api::wire::{ArtifactView, Hung, InQuarantine};
use teneral_store::{Release, Store};

pub(super) async fn artifacts(State(system): State<System>) -> Answer<Vec<ArtifactView>> {
    Ok(Json(look(&system, views).await?))
}

/// What the store holds. In quarantine is what hung in this life of the host, and what did in an earlier one.
fn views(system: &System) -> Result<Vec<ArtifactView>, SystemError> {
    let kept = system.store().quarantined()?.into_iter().map(|entry| (entry.digest, entry.why));
    let mut kept: BTreeMap<_, _> = kept.collect();
    let view = |release: Release| {
        let digest = release.sha256;
        let quarantined = system.runtime().quarantined(digest).or_else(|| kept.remove(&digest));
        ArtifactView { release, quarantined }
    };
    Ok(system.releases()?.into_iter().map(view).collect())
}

/// The versions in quarantine, by kind.
pub(super) fn quarantined(system: &System) -> Result<Vec<InQuarantine>, SystemError> {
    let of = |ArtifactView { release: Release { kind, version, .. }, quarantined }| {
        quarantined.map(|why| InQuarantine { kind, version, why })
    };
    Ok(views(system)?.into_iter().filter_map(of).collect())
}

/// The actors with a turn that does not return, by name.
pub(super) fn hung(system: &System) -> Vec<Hung> {
    let hung = system.runtime().hung().into_iter();
    let mut hung: Vec<Hung> = hung
        .map(|(actor, _)| Hung { actor: actor.addr().clone(), version: actor.provider().version().clone() })
        .collect();
    hung.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
    hung
}
