//! Which path is which act. Reading is GET, all else is POST.

use super::asked::{Asked, signed, whole};
use super::audited::{self, Note};
use super::{
    care, held, keys, letters, marks, metrics, modules, openapi, phase, probations, rollouts, shelf, unwell, upgrades,
    watched,
};
use crate::fallen::{counted, suspended};
use crate::{Admission, Launch, Stopped, System, SystemError, ToAddr};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, body};
use jiff::Timestamp;
use semver::Version;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_control::api::wire::{
    ActorView, Checkpoint, Down, HasStopped, KindView, Lost, OLDER_HEADER, Say, SetDefault, Start, Stop, TIMEOUT_MS,
};
use teneral_control::api::{ApiError, BODY_BYTES_MAX};
use teneral_runtime::{ActorOptions, ActorRef, CheckpointSeen, Status};
use teneral_store::{Definition, Release};
use teneral_upgrade::OnProbation;
use tokio::sync::Semaphore;

pub(super) type Answer<T> = Result<Json<T>, ApiError>;

/// Whoever reached the socket: the host's own user.
pub(super) const OPERATOR: &str = "the control socket";

/// Whose turn it is to send an artifact.
static PUSHES: Semaphore = Semaphore::const_new(1);

/// An answer.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], body::Body::from(bytes)).into_response(),
            Err(error) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                ApiError::new(status, "CTL-ANSWER", &error, "the request was done", "report this").into_response()
            }
        }
    }
}

pub(super) fn of(system: System) -> Router {
    let artifact_bytes_max = artifact_bytes_max(&system);
    Router::new()
        .route(phase::HEALTH, get(phase::health))
        .route("/v1/config", get(phase::config))
        .route("/v1/artifacts", get(unwell::artifacts))
        .route("/v1/artifacts/push", post(push).layer(DefaultBodyLimit::max(artifact_bytes_max)))
        .route("/v1/kinds", get(kinds))
        .route("/v1/kinds/set-default", post(set_default))
        .route("/v1/actors", get(actors))
        .route("/v1/actors/{actor}", get(actor))
        .route("/v1/actors/{actor}/state", get(state))
        .route("/v1/actors/start", post(start))
        .route("/v1/actors/stop", post(stop))
        .route("/v1/actors/tell", post(tell))
        .route("/v1/actors/ask", post(ask))
        .route("/v1/actors/pause", post(care::pause))
        .route("/v1/actors/resume", post(care::resume))
        .route("/v1/actors/restart", post(care::restart))
        .merge(held::routes())
        .merge(keys::routes())
        .merge(letters::routes())
        .merge(marks::routes())
        .merge(metrics::routes())
        .merge(modules::routes())
        .merge(probations::routes())
        .merge(rollouts::routes())
        .merge(shelf::routes())
        .merge(upgrades::routes())
        .merge(watched::routes())
        .merge(audited::routes())
        .merge(openapi::routes())
        .route_layer(middleware::from_fn_with_state(system.clone(), audited::audited))
        .fallback(no_path)
        .method_not_allowed_fallback(no_path)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(system.clone(), phase::admit))
        .layer(middleware::from_fn(to_the_end))
        .with_state(system)
}

/// On a task of its own: a caller that goes away leaves nothing half done.
async fn to_the_end(request: Request, next: Next) -> Response {
    tokio::spawn(next.run(request)).await.unwrap_or_else(|error| {
        let (status, hint) = (StatusCode::INTERNAL_SERVER_ERROR, "look before it is asked for again, and report this");
        ApiError::new(status, "CTL-BROKEN", &error, "the request may have been done", hint)
            .after("the handler ended without an answer")
            .into_response()
    })
}

async fn no_path(request: Request) -> ApiError {
    let what = format!("{} {} is no path of the control API", request.method(), request.uri().path());
    ApiError::request(StatusCode::NOT_FOUND, "CTL-PATH", what, "docs/control.md lists them")
}

async fn push(State(system): State<System>, request: Request) -> Result<(Extension<Note>, Json<Release>), ApiError> {
    let signed = signed(request.headers())?;
    let older = request.headers().contains_key(OLDER_HEADER);
    // One at a time: sixty-four of the largest would be more than a host has.
    let _alone = PUSHES.acquire().await;
    let bytes = whole(request, &(), artifact_bytes_max(&system)).await?;
    let release = system.push_bytes(Vec::from(bytes), Admission { signed, older }).await?;
    let what = format!("{} {} {}", release.kind, release.version, release.sha256);
    Ok((Extension(Note { what, outcome: None }), Json(release)))
}

fn artifact_bytes_max(system: &System) -> usize {
    usize::try_from(system.artifact_bytes_max()).unwrap_or(usize::MAX)
}

async fn kinds(State(system): State<System>) -> Answer<Vec<KindView>> {
    Ok(Json(look(&system, kind_views).await?))
}

fn kind_views(system: &System) -> Result<Vec<KindView>, SystemError> {
    let mut kinds: BTreeMap<String, KindView> = BTreeMap::new();
    for Release { kind, version, .. } in system.releases()? {
        let new = || KindView {
            kind: kind.clone(),
            default: None,
            versions: Vec::new(),
            running: Vec::new(),
            down: 0,
            down_first: Vec::new(),
            on_probation: 0,
            on_probation_first: Vec::new(),
            quarantined: Vec::new(),
            hung: Vec::new(),
        };
        kinds.entry(kind.clone()).or_insert_with(new).versions.push(version);
    }
    let mut downs: BTreeMap<String, Vec<Down>> = BTreeMap::new();
    for down in system.downs()? {
        downs.entry(down.actor.kind().to_owned()).or_default().push(down);
    }
    let (on_probation, mut hung) = (system.on_probation(), unwell::hung(system));
    for quarantined in unwell::quarantined(system)? {
        if let Some(view) = kinds.get_mut(&quarantined.kind) {
            view.quarantined.push(quarantined);
        }
    }
    for view in kinds.values_mut() {
        view.hung = hung.extract_if(.., |hung| hung.actor.kind() == view.kind).collect();
        let of_kind = on_probation.iter().filter(|on| on.actor.kind() == view.kind).cloned();
        (view.on_probation, view.on_probation_first) = probations::named(of_kind);
        (view.down, view.down_first) = counted(downs.remove(&view.kind).unwrap_or_default());
        view.default = system.default_version(&view.kind)?;
        let mut running: BTreeMap<Version, usize> = BTreeMap::new();
        for actor in system.runtime().actors_of(&view.kind) {
            *running.entry(actor.info().version).or_default() += 1;
        }
        view.running = running.into_iter().collect();
    }
    Ok(kinds.into_values().collect())
}

async fn set_default(State(system): State<System>, Asked(body): Asked<SetDefault>) -> Answer<Value> {
    let SetDefault { kind, version } = body.clone();
    look(&system, move |system| system.set_default(&kind, &version.to_string())).await?;
    Ok(Json(json!(body)))
}

async fn actors(State(system): State<System>) -> Answer<Vec<ActorView>> {
    Ok(Json(look(&system, actor_views).await?))
}

fn actor_views(system: &System) -> Result<Vec<ActorView>, SystemError> {
    let mut defined: BTreeMap<String, Definition> = BTreeMap::new();
    for definition in system.definitions()? {
        defined.insert(definition.addr.path().to_owned(), definition);
    }
    let mut on_probation = probations::by_actor(system);
    let up = system.actors();
    let mut views: Vec<ActorView> = Vec::with_capacity(up.len() + defined.len());
    for actor in &up {
        let known = defined.remove(actor.addr().path());
        views.push(view(actor, known.as_ref(), on_probation.remove(actor.addr())));
    }
    views.extend(defined.values().map(|definition| down(system, definition)));
    let mut defaults: BTreeMap<String, Option<Version>> = BTreeMap::new();
    for view in &mut views {
        let kind = view.actor.kind();
        if !defaults.contains_key(kind) {
            defaults.insert(kind.to_owned(), system.default_version(kind)?);
        }
        view.default = defaults.get(kind).cloned().flatten();
    }
    views.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
    Ok(views)
}

async fn actor(State(system): State<System>, Path(actor): Path<String>) -> Answer<ActorView> {
    let actor = actor.to_addr()?;
    let (found, named) = (system.actor(&actor), actor.clone());
    let missing = match found {
        Ok(actor) => return Ok(Json(as_it_is(&system, actor).await?)),
        Err(error) => error,
    };
    let definition = match &missing {
        SystemError::Actor { .. } => look(&system, move |system| system.defined(&named)).await?,
        _ => None,
    };
    let Some(definition) = definition else { return Err(missing.into()) };
    let default = look(&system, move |system| system.default_version(actor.kind())).await?;
    Ok(Json(ActorView { default, ..down(&system, &definition) }))
}

/// An actor that runs, as it is now.
pub(super) async fn seen(system: &System, addr: &Addr) -> Answer<ActorView> {
    // One that is down again by now is defined all the same, and why it is down is known.
    Ok(Json(as_it_is(system, system.up(addr).await?).await?))
}

async fn as_it_is(system: &System, actor: ActorRef) -> Result<ActorView, ApiError> {
    look(system, move |system| {
        let addr = actor.addr();
        let (definition, on) = (system.defined(addr)?, system.probation_of(addr)?);
        let default = system.default_version(addr.kind())?;
        Ok(ActorView { default, ..view(&actor, definition.as_ref(), on) })
    })
    .await
}

fn view(actor: &ActorRef, definition: Option<&Definition>, probation: Option<OnProbation>) -> ActorView {
    let info = actor.info();
    let (status, detail) = match info.status {
        Status::Running => match actor.hangs_in() {
            Some(doing) => ("hung", format!("in {doing}")),
            None => ("running", String::new()),
        },
        Status::Paused { owner } => ("paused", format!("by {owner}")),
        Status::Suspended { reason } => ("suspended", reason),
        Status::Stopped { reason } => ("stopped", reason),
    };
    ActorView {
        actor: info.addr,
        desired: definition.map(|definition| definition.version.clone()),
        running: Some(info.version),
        schema: Some(info.schema),
        generation: info.generation.0,
        status: status.to_owned(),
        detail,
        down: suspended(actor),
        default: None,
        probation,
        queued_messages: info.queued_messages,
        queued_bytes: info.queued_bytes,
        outbox_effects: info.outbox_effects,
        handled: info.handled,
        failed: info.failed,
        panics: info.panics,
        restarts: info.restarts,
        parent: info.parent,
        children: info.children,
        checkpoint: actor.checkpoint().map(checkpoint),
    }
}

fn checkpoint(seen: CheckpointSeen) -> Checkpoint {
    let CheckpointSeen { wall_ns, state_bytes, messages, kept_bytes, not_replayed } = seen;
    let at = Timestamp::from_nanosecond(wall_ns.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    Checkpoint { at, state_bytes, messages, kept_bytes, not_replayed: not_replayed.map(|why| why.to_string()) }
}

/// A defined actor that does not run.
fn down(system: &System, definition: &Definition) -> ActorView {
    let why = system.why_down(&definition.addr);
    ActorView {
        actor: definition.addr.clone(),
        desired: Some(definition.version.clone()),
        running: None,
        schema: None,
        generation: definition.generation,
        status: "down".to_owned(),
        detail: why.cause.clone(),
        down: Some(why.to_wire(&definition.addr)),
        default: None,
        probation: None,
        queued_messages: 0,
        queued_bytes: 0,
        outbox_effects: 0,
        handled: 0,
        failed: 0,
        panics: 0,
        restarts: 0,
        parent: None,
        children: Vec::new(),
        checkpoint: None,
    }
}

async fn state(State(system): State<System>, Path(actor): Path<String>) -> Answer<Value> {
    let text = system.state_json(&actor, Duration::from_millis(TIMEOUT_MS)).await?;
    Ok(Json(parsed(&text)?))
}

async fn start(State(system): State<System>, Asked(body): Asked<Start>) -> Answer<ActorView> {
    let Start { actor, version, args, reason } = body;
    care::ordered(&system, &actor, &reason, version.as_ref(), "a start was asked for");
    let launch = Launch { version, options: ActorOptions::permanent() };
    let started = system.define_json(&actor, launch, &args.to_string()).await?;
    Ok(Json(as_it_is(&system, started).await?))
}

async fn stop(State(system): State<System>, Asked(body): Asked<Stop>) -> Answer<HasStopped> {
    let Stop { actor, reason, timeout_ms } = body;
    let named = actor.clone();
    let defined = look(&system, move |system| system.defined(&named)).await?.is_some();
    let running = system.actor(&actor).ok();
    let queued_messages = running.as_ref().map_or(0, |running| running.info().queued_messages);
    let stopped = system.stop(&actor, &reason, Duration::from_millis(timeout_ms)).await?;
    // Counted at its end: it may have come to some of what waited.
    let handled = running.map(|running| running.info().handled);
    let lost = Lost { handled, queued_messages, defined };
    Ok(Json(HasStopped { actor, cut_off: stopped == Stopped::CutOff, lost }))
}

async fn tell(State(system): State<System>, Asked(body): Asked<Say>) -> Answer<Value> {
    let Say { actor, message, body, timeout_ms } = body;
    let timeout = Duration::from_millis(timeout_ms.unwrap_or(TIMEOUT_MS));
    system.tell_json(&actor, &message, &body.to_string(), timeout).await?;
    Ok(Json(json!({ "actor": actor, "accepted": true })))
}

async fn ask(State(system): State<System>, Asked(body): Asked<Say>) -> Answer<Value> {
    let Say { actor, message, body, timeout_ms } = body;
    let timeout = Duration::from_millis(timeout_ms.unwrap_or(TIMEOUT_MS));
    let reply = system.ask_json(&actor, &message, &body.to_string(), timeout).await?;
    Ok(Json(json!({ "actor": actor, "reply": parsed(&reply)? })))
}

/// What an actor's own code wrote as JSON.
fn parsed(text: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text).map_err(|error| {
        let hint = "look at the actor's own JSON: it has a bug";
        ApiError::new(StatusCode::BAD_GATEWAY, "CTL-ANSWER", &error, "the actor has handled the request", hint)
            .after("what the actor's code wrote is no JSON")
    })
}

/// Asks the store on a thread that may wait for the disk.
pub(super) async fn look<T: Send + 'static>(
    system: &System,
    ask: impl FnOnce(&System) -> Result<T, SystemError> + Send + 'static,
) -> Result<T, ApiError> {
    let asked = system.clone();
    Ok(system.blocking("the store", move |_| ask(&asked)).await?)
}
