//! What hangs and what has hung: actors with a turn that does not return, and versions in quarantine.

use super::probations::by_actor;
use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::extract::State;
use std::collections::BTreeMap;
use teneral_contract::{Addr, Digest};
use teneral_control::api::wire::{ArtifactView, Hung, InQuarantine};
use teneral_runtime::ActorRef;
use teneral_store::{Release, Store};
use teneral_upgrade::{OnProbation, Phase, WayBack};

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
    let (hung, on) = (system.runtime().hung(), by_actor(system));
    let view = |(actor, _): (ActorRef, Digest)| {
        let (addr, doing) = (actor.addr().clone(), actor.hangs_in());
        let hint = hint(&addr, doing.as_deref(), on.get(&addr));
        Hung { actor: addr, version: actor.provider().version().clone(), doing, hint }
    };
    let mut hung: Vec<Hung> = hung.into_iter().map(view).collect();
    hung.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
    hung
}

/// What is to be done about one that hangs: what gives up least of what there is.
fn hint(addr: &Addr, doing: Option<&str>, on: Option<&OnProbation>) -> String {
    // Nobody comes to it before its state is written, and nobody waits for that state but who wanted a copy of it.
    if doing == Some("save") {
        return format!("wait for it, or go on without its state: teneral actor restart {addr} --state init");
    }
    match on.map(|on| (on, on.ways.first())) {
        Some((OnProbation { phase: Phase::RollingBack { .. }, .. }, _)) => "it is being taken back".to_owned(),
        Some((OnProbation { upgrade, .. }, Some(WayBack::Restore))) => format!(
            "wait for it, or give up what came since the commit: teneral upgrade rollback {upgrade} {addr} --by restore"
        ),
        Some((OnProbation { upgrade, .. }, Some(_))) => {
            format!("wait for it, or take it back: teneral upgrade rollback {upgrade} {addr}")
        }
        Some((_, None)) | None => {
            format!("wait for it, or cut it off and forget it: teneral actor stop {addr}")
        }
    }
}
