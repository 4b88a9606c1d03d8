//! Which path is which act. Reading is GET, all else is POST.

use super::asked::{Asked, signed, whole};
use super::{care, phase};
use crate::{Admission, Launch, System, SystemError};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, body};
use jiff::Timestamp;
use semver::Version;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_control::api::wire::{
    ActorView, Apply, KeyView, KindView, Say, SetDefault, Start, Stop, TIMEOUT_MS, Trust, Upgrade, UpgradeView,
};
use teneral_control::api::{ApiError, BODY_BYTES_MAX};
use teneral_control::trust::{KeyId, KeyPurpose, PublicKey, TrustError, TrustedKey};
use teneral_runtime::{ActorOptions, ActorRef, Status};
use teneral_store::{Definition, Entry, Release, UpgradeId};
use teneral_upgrade::{Plan, Report, UpgradeError};
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
        .route("/v1/artifacts", get(artifacts))
        .route("/v1/artifacts/push", post(push).layer(DefaultBodyLimit::max(artifact_bytes_max)))
        .route("/v1/keys", get(keys))
        .route("/v1/keys/trust", post(trust))
        .route("/v1/keys/{id}/distrust", post(distrust))
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
        .route("/v1/dead-letters", get(care::dead_letters))
        .route("/v1/upgrades", get(upgrades))
        .route("/v1/upgrades/{id}", get(upgrade))
        .route("/v1/upgrades/{id}/cancel", post(cancel))
        .route("/v1/requests/{request}", get(requested))
        .route("/v1/upgrades/plan", post(plan))
        .route("/v1/upgrades/run", post(run))
        .route("/v1/upgrades/apply", post(apply))
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

async fn artifacts(State(system): State<System>) -> Answer<Vec<Release>> {
    Ok(Json(look(&system, System::releases).await?))
}

async fn push(State(system): State<System>, request: Request) -> Answer<Release> {
    let signed = signed(request.headers())?;
    // One at a time: sixty-four of the largest would be more than a host has.
    let _alone = PUSHES.acquire().await;
    let bytes = whole(request, &(), artifact_bytes_max(&system)).await?;
    Ok(Json(system.push_bytes(Vec::from(bytes), Admission { signed, older: false }).await?))
}

fn artifact_bytes_max(system: &System) -> usize {
    usize::try_from(system.artifact_bytes_max()).unwrap_or(usize::MAX)
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

async fn trust(State(system): State<System>, Asked(body): Asked<Trust>) -> Answer<KeyView> {
    let Trust { public, name, expires } = body;
    let public = PublicKey::parse(&public).map_err(SystemError::from)?;
    let by = OPERATOR.to_owned();
    let key = TrustedKey { public, name, purpose: KeyPurpose::Release, added: Timestamp::now(), by, expires };
    let view = key_view(&key);
    look(&system, move |system| system.trust(&key)).await?;
    Ok(Json(view))
}

async fn distrust(State(system): State<System>, Path(id): Path<String>) -> Answer<Value> {
    let key: KeyId = id.parse().map_err(|error: TrustError| SystemError::from(error))?;
    let known = look(&system, System::trusted_keys).await?.iter().any(|known| known.public.id() == key);
    if !known {
        let what = format!("no key {id} is trusted here");
        return Err(ApiError::request(StatusCode::NOT_FOUND, "CTL-KEY", what, "teneral key list shows those that are"));
    }
    look(&system, move |system| system.distrust(key)).await?;
    Ok(Json(json!({ "id": id, "trusted": false })))
}

async fn kinds(State(system): State<System>) -> Answer<Vec<KindView>> {
    Ok(Json(look(&system, kind_views).await?))
}

fn kind_views(system: &System) -> Result<Vec<KindView>, SystemError> {
    let mut kinds: BTreeMap<String, KindView> = BTreeMap::new();
    for Release { kind, version, .. } in system.releases()? {
        let new = || KindView { kind: kind.clone(), default: None, versions: Vec::new(), running: Vec::new() };
        kinds.entry(kind.clone()).or_insert_with(new).versions.push(version);
    }
    for view in kinds.values_mut() {
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
    let mut defined: BTreeMap<String, Definition> = BTreeMap::new();
    for definition in look(&system, System::definitions).await? {
        defined.insert(definition.addr.path().to_owned(), definition);
    }
    let up = system.actors();
    let mut views: Vec<ActorView> =
        up.iter().map(|actor| view(actor, defined.remove(actor.addr().path()).as_ref())).collect();
    views.extend(defined.values().map(down));
    views.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
    Ok(Json(views))
}

async fn actor(State(system): State<System>, Path(actor): Path<String>) -> Answer<ActorView> {
    let definition = definition(&system, &actor).await?;
    match (system.actor(&actor), &definition) {
        (Ok(actor), definition) => Ok(Json(view(&actor, definition.as_ref()))),
        (Err(SystemError::Actor { .. }), Some(definition)) => Ok(Json(down(definition))),
        (Err(error), _) => Err(error.into()),
    }
}

async fn definition(system: &System, path: &str) -> Result<Option<Definition>, ApiError> {
    let all = look(system, System::definitions).await?;
    Ok(all.into_iter().find(|definition| definition.addr.path() == path))
}

/// An actor that runs, as it is now.
pub(super) async fn seen(system: &System, addr: &Addr) -> Answer<ActorView> {
    let definition = definition(system, addr.path()).await?;
    Ok(Json(view(&system.actor(addr)?, definition.as_ref())))
}

fn view(actor: &ActorRef, definition: Option<&Definition>) -> ActorView {
    let info = actor.info();
    let (status, detail) = match info.status {
        Status::Running => ("running", String::new()),
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
        queued_messages: info.queued_messages,
        queued_bytes: info.queued_bytes,
        outbox_effects: info.outbox_effects,
        handled: info.handled,
        failed: info.failed,
        panics: info.panics,
        restarts: info.restarts,
        parent: info.parent,
        children: info.children,
    }
}

/// A defined actor that does not run.
fn down(definition: &Definition) -> ActorView {
    ActorView {
        actor: definition.addr.clone(),
        desired: Some(definition.version.clone()),
        running: None,
        schema: None,
        generation: definition.generation,
        status: "down".to_owned(),
        detail: "it did not come back: the host's log says why; teneral actor restart tries again".to_owned(),
        queued_messages: 0,
        queued_bytes: 0,
        outbox_effects: 0,
        handled: 0,
        failed: 0,
        panics: 0,
        restarts: 0,
        parent: None,
        children: Vec::new(),
    }
}

async fn state(State(system): State<System>, Path(actor): Path<String>) -> Answer<Value> {
    let text = system.state_json(&actor, Duration::from_millis(TIMEOUT_MS)).await?;
    Ok(Json(parsed(&text)?))
}

async fn start(State(system): State<System>, Asked(body): Asked<Start>) -> Answer<ActorView> {
    let Start { actor, version, args } = body;
    let launch = Launch { version, options: ActorOptions::permanent() };
    let started = system.define_json(&actor, launch, &args.to_string()).await?;
    let definition = definition(&system, actor.path()).await?;
    Ok(Json(view(&started, definition.as_ref())))
}

async fn stop(State(system): State<System>, Asked(body): Asked<Stop>) -> Answer<Value> {
    let Stop { actor, reason, timeout_ms } = body;
    let (running, addr) = (system.actor(&actor), actor.clone());
    let defined = definition(&system, actor.path()).await?.is_some();
    let running = match running {
        Err(error) if !defined => return Err(error.into()),
        running => running.ok(),
    };
    // Forgotten first: an actor that the host brings back against an order would be worse than one it does not.
    look(&system, move |system| system.undefine(&addr)).await?;
    let mut cut_off = false;
    if let Some(running) = running {
        cut_off = running.stop(&reason, Duration::from_millis(timeout_ms)).await.is_err();
    }
    Ok(Json(json!({ "actor": actor, "cut_off": cut_off })))
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

async fn upgrades(State(system): State<System>) -> Answer<Vec<UpgradeView>> {
    let views = look(&system, |system| system.upgrades()?.into_iter().map(|id| upgrade_view(system, id)).collect());
    Ok(Json(views.await?))
}

async fn upgrade(State(system): State<System>, Path(id): Path<String>) -> Answer<UpgradeView> {
    let id = known(&system, &id).await?;
    Ok(Json(look(&system, move |system| upgrade_view(system, id)).await?))
}

async fn requested(State(system): State<System>, Path(request): Path<String>) -> Answer<UpgradeView> {
    let id = asked_before(&system, &request).await?;
    let id = id.ok_or_else(|| no_upgrade(format!("no upgrade was asked for as {request}")))?;
    Ok(Json(look(&system, move |system| upgrade_view(system, id)).await?))
}

async fn asked_before(system: &System, request: &str) -> Result<Option<UpgradeId>, ApiError> {
    let request = request.to_owned();
    look(system, move |system| system.requested(&request)).await
}

/// Before anything is planned: what a repeated request would meet now says nothing about it.
async fn first_time(system: &System, request: Option<&str>) -> Result<(), ApiError> {
    let Some(request) = request else { return Ok(()) };
    match asked_before(system, request).await? {
        Some(id) => Err(SystemError::from(UpgradeError::Repeated { request: request.to_owned(), id }).into()),
        None => Ok(()),
    }
}

async fn cancel(State(system): State<System>, Path(id): Path<String>) -> Answer<Value> {
    let id = known(&system, &id).await?;
    let cancelled = system.cancel(&id, OPERATOR);
    Ok(Json(json!({ "id": id, "cancelled": cancelled })))
}

async fn known(system: &System, id: &str) -> Result<UpgradeId, ApiError> {
    let found = look(system, System::upgrades).await?.into_iter().find(|known| known.to_string() == id);
    found.ok_or_else(|| no_upgrade(format!("no upgrade {id}")))
}

fn no_upgrade(what: String) -> ApiError {
    ApiError::request(StatusCode::NOT_FOUND, "CTL-UPGRADE", what, "teneral upgrade log lists them")
}

fn upgrade_view(system: &System, id: UpgradeId) -> Result<UpgradeView, SystemError> {
    // Looked at before the journal: what ends in between has its end there.
    let running = system.running().contains(&id);
    let journal = system.journal(&id)?;
    let ended = journal.iter().any(|entry| matches!(entry, Entry::End(_)));
    let status = match (ended, running) {
        (true, _) => "ended",
        (false, true) => "running",
        (false, false) => "cut off",
    };
    Ok(UpgradeView { id, status: status.to_owned(), journal })
}

/// A plan under the name that its caller gave the request, if it did.
fn named(plan: Plan, request: Option<&str>) -> Plan {
    match request {
        Some(request) => plan.requested_as(request),
        None => plan,
    }
}

async fn planned(system: &System, body: Upgrade) -> Result<Plan, ApiError> {
    let Upgrade { target, to, options, reason, request } = body;
    let options = options.unwrap_or_default().or(system.upgrade_options());
    let plan = system.plan(target.as_str(), &to.to_string(), options).await?.because(&reason);
    Ok(named(plan, request.as_deref()))
}

async fn plan(State(system): State<System>, Asked(body): Asked<Upgrade>) -> Answer<Plan> {
    Ok(Json(planned(&system, body).await?))
}

async fn run(State(system): State<System>, Asked(body): Asked<Upgrade>) -> Answer<Report> {
    let request = body.request.clone();
    first_time(&system, request.as_deref()).await?;
    let plan = match planned(&system, body).await {
        Ok(plan) => plan,
        Err(refused) => {
            // The same request may have begun meanwhile, and be what stands in the way.
            first_time(&system, request.as_deref()).await?;
            return Err(refused);
        }
    };
    Ok(Json(system.apply(plan).await?))
}

async fn apply(State(system): State<System>, Asked(body): Asked<Apply>) -> Answer<Report> {
    let Apply { plan, reason, request } = body;
    first_time(&system, request.as_deref()).await?;
    // Through its text, as a file of it: what is no legal plan is refused before anybody looks at it.
    let text = plan.to_json().map_err(SystemError::from)?;
    let read = Plan::from_json(&text).map_err(SystemError::from)?;
    let plan = if reason.is_empty() { read } else { read.because(&reason) };
    Ok(Json(system.apply(named(plan, request.as_deref())).await?))
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
