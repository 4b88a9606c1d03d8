//! Modules that run in processes of their own.

use super::asked::wrong;
use super::routes::{Answer, Json, look};
use crate::system::parse;
use crate::{ModuleInfo, Place, System};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use jiff::Timestamp;
use teneral_control::api::wire::{MemberView, ModuleOutput, ModuleView, OutputPart};
use teneral_remote::balance::Standing;
use teneral_remote::spread::MemberSeen;
use teneral_runtime::ActorRef;

pub(super) fn routes() -> Router<System> {
    Router::new().route("/v1/modules", get(modules)).route("/v1/modules/{kind}/{version}/output", get(output))
}

async fn modules(State(system): State<System>) -> Answer<Vec<ModuleView>> {
    let looked = look(&system, |system| {
        let members = system.members();
        Ok(system.modules().into_iter().map(|module| view(system, module, &members)).collect())
    });
    Ok(Json(looked.await?))
}

fn view(system: &System, module: ModuleInfo, members: &[MemberSeen]) -> ModuleView {
    let ModuleInfo { kind, version, place, slot, pid, endpoint, digest, started, starts, .. } = module;
    let ModuleInfo { memory_bytes, gone, output, .. } = module;
    let own = members.iter().filter(|member| member.digest == digest && Some(member.slot) == slot);
    let members: Vec<MemberView> = own.map(member).collect();
    let runs = |actor: &ActorRef| actor.provider().digest() == digest;
    let actors = match slot {
        None => system.runtime().actors_of(&kind).iter().filter(|actor| runs(actor)).count(),
        // The address itself is in the host.
        Some(_) => members.len(),
    };
    ModuleView {
        found: if place == Place::Remote { "endpoints" } else { "supervisor" }.to_owned(),
        place: place.name().to_owned(),
        started: started.and_then(|started| Timestamp::try_from(started).ok()),
        output: output.display().to_string(),
        kind,
        version,
        slot,
        pid,
        endpoint,
        starts,
        actors,
        memory_bytes,
        gone,
        members,
    }
}

fn member(seen: &MemberSeen) -> MemberView {
    let (health, percent) = match seen.seen.standing {
        Standing::Serving => ("serving", None),
        Standing::SlowStart { percent } => ("slow_start", Some(percent)),
        Standing::Ejected { .. } => ("ejected", None),
        Standing::NotServing => ("not_serving", None),
        Standing::Gone => ("gone", None),
        Standing::Draining => ("draining", None),
    };
    MemberView {
        address: seen.address.clone(),
        member: seen.member.clone(),
        pending: seen.seen.pending,
        health: health.to_owned(),
        percent,
        ejected_ms: seen.ejected_for.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    }
}

async fn output(
    State(system): State<System>,
    Path((kind, version)): Path<(String, String)>,
    part: Result<Query<OutputPart>, QueryRejection>,
) -> Answer<ModuleOutput> {
    let Query(part) = part.map_err(|error| wrong("the query", &error))?;
    Ok(Json(look(&system, move |system| system.module_output(&kind, &parse(&version)?, &part)).await?))
}
