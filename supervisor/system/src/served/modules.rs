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
use teneral_control::api::wire::{ModuleOutput, ModuleView, OutputPart};

pub(super) fn routes() -> Router<System> {
    Router::new().route("/v1/modules", get(modules)).route("/v1/modules/{kind}/{version}/output", get(output))
}

async fn modules(State(system): State<System>) -> Answer<Vec<ModuleView>> {
    let look = look(&system, |system| Ok(system.modules().into_iter().map(|module| view(system, module)).collect()));
    Ok(Json(look.await?))
}

fn view(system: &System, module: ModuleInfo) -> ModuleView {
    let ModuleInfo { kind, version, pid, digest, started, starts, memory_bytes, gone, output } = module;
    let of_kind = system.runtime().actors_of(&kind);
    ModuleView {
        actors: of_kind.iter().filter(|actor| actor.provider().digest() == digest).count(),
        place: Place::Process.name().to_owned(),
        started: started.and_then(|started| Timestamp::try_from(started).ok()),
        output: output.display().to_string(),
        kind,
        version,
        pid,
        starts,
        memory_bytes,
        gone,
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
