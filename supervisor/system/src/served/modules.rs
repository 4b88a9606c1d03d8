//! Modules that run in processes of their own.

use super::routes::{Answer, Json};
use crate::System;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use teneral_control::api::wire::ModuleView;

pub(super) fn routes() -> Router<System> {
    Router::new().route("/v1/modules", get(modules))
}

async fn modules(State(system): State<System>) -> Answer<Vec<ModuleView>> {
    let views = system.modules().into_iter().map(|module| {
        let output = module.output.display().to_string();
        let (kind, version, place) = (module.kind, module.version, crate::Place::Process.name().to_owned());
        ModuleView { kind, version, place, pid: module.pid, starts: module.starts, gone: module.gone, output }
    });
    Ok(Json(views.collect()))
}
