//! `GET /v1/events`: what happens, as server-sent events until the host stops.
//!
//! Each event's id is its place; who comes back with it (`Last-Event-ID`, or `since`) goes on from there, as far as the
//! events are kept. What is gone is told as a `gap`. Watchers have places of their own, fewer than there are
//! connections: however many watch, there is room for a command.

use super::asked::wrong;
use crate::System;
use crate::events::{Filter, Seen, Since, Stream};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::LazyLock;
use teneral_contract::Addr;
use teneral_control::api::event::Gap;
use teneral_control::api::{ApiError, HEARTBEAT, Watching};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// The places of routes that something else than our socket serves.
static ELSEWHERE: LazyLock<Watching> = LazyLock::new(Watching::default);

/// What to watch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// This actor only.
    actor: Option<String>,
    /// This kind and its actors only.
    kind: Option<String>,
    /// Everything after this event.
    since: Option<String>,
}

pub(super) fn routes() -> Router<System> {
    Router::new().route("/v1/events", get(events))
}

async fn events(
    State(system): State<System>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    watching: Option<Extension<Watching>>,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let Query(Wanted { actor, kind, since }) = wanted.map_err(|error| wrong("the query", &error))?;
    let actor = actor.map(|actor| Addr::new(&actor)).transpose().map_err(|error| wrong("the query's actor", &error))?;
    // A browser's own word for it wins: it knows what it has seen since.
    let told = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let since = told.or(since).map(|since| since.parse::<Since>()).transpose();
    let since = since.map_err(|why| {
        ApiError::request(StatusCode::BAD_REQUEST, "CTL-REQUEST", why, "write it as the event's id says it: 3-17")
    })?;
    let place = watching.as_deref().unwrap_or(&ELSEWHERE).begin();
    let place = place.ok_or_else(|| {
        let (status, hint) =
            (StatusCode::SERVICE_UNAVAILABLE, "end one: each teneral actor watch and each --watch is one");
        ApiError::request(status, "CTL-WATCHERS", "as many watch as there are places for watchers", hint)
    })?;
    let stream = match since {
        Some(since) => system.events_since(since),
        None => system.events(),
    };
    let watch = Watch { stream, filter: Filter { actor, kind }, opened: false, _place: place };
    let body = Body::from_stream(stream::unfold(watch, next));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
}

/// One watcher.
struct Watch {
    stream: Stream,
    filter: Filter,
    /// It has been told where it is.
    opened: bool,
    _place: OwnedSemaphorePermit,
}

async fn next(mut watch: Watch) -> Option<(Result<Bytes, Infallible>, Watch)> {
    if !std::mem::replace(&mut watch.opened, true) {
        let place = format!("id: {}\n: the next event comes after this one\n\n", watch.stream.place());
        return Some((Ok(Bytes::from(place)), watch));
    }
    // Also while all that happens is nothing that it wants.
    let beat = Instant::now() + HEARTBEAT;
    let text = loop {
        match tokio::time::timeout_at(beat, watch.stream.next()).await {
            Ok(None) => return None,
            Ok(Some(Seen::Event(event))) if !watch.filter.takes(&event.what) => {}
            Ok(Some(seen)) => break written(&seen),
            Err(_) => break ": alive\n\n".to_owned(),
        }
    };
    Some((Ok(Bytes::from(text)), watch))
}

fn written(seen: &Seen) -> String {
    let gap = |missed| data("gap", &Gap { missed });
    match seen {
        Seen::Event(event) => format!("id: {}\n{}", event.id(), data("happened", &**event)),
        Seen::Lagged(missed) => gap(Some(*missed)),
        Seen::Anew => gap(None),
    }
}

/// JSON has no line breaks of its own, so that one line holds it.
fn data(name: &str, value: &impl serde::Serialize) -> String {
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(value).unwrap_or_default())
}
