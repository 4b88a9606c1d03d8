//! Who asked for what, and what came of it, written down before it is done and after.
//!
//! What changes the host is not done when it cannot be written down; only what takes something back is. A message to an
//! actor changes no host: it is written down when it is over, apart from the rest.

use super::asked::{bytes_max, whole, wrong};
use super::routes::{Answer, Json, OPERATOR, look};
use super::timestamp;
use crate::System;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::Value;
use std::convert::Infallible;
use std::time::Instant;
use teneral_control::api::client::text_of;
use teneral_control::api::error::Code;
use teneral_control::api::wire::{AuditPage, AuditView};
use teneral_control::api::{ApiError, Caller, REASON_HEADER};
use teneral_store::{Audit, Audited, Ledger};
use teneral_upgrade::Report;

/// Entries on a page where the caller does not say, and at most.
const PAGE: (usize, usize) = (50, 1000);

/// Longest text of an entry, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// What changes nothing, though it is asked for with a body.
const LOOKS: [&str; 2] = ["/v1/upgrades/plan", "/v1/actors/check"];

const PUSH: &str = "/v1/artifacts/push";

pub(super) fn routes() -> Router<System> {
    Router::new().route("/v1/audit", get(audit))
}

/// Whoever asks, as journals write it.
pub(super) struct Who(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<Caller>().map_or_else(|| OPERATOR.to_owned(), Caller::user)))
    }
}

/// What an answer says of itself to the audit: about what it was, and what came of it, where that is not `done`.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) what: String,
    pub(super) outcome: Option<String>,
}

impl Note {
    /// Of what is done.
    pub(super) fn about(what: String) -> Extension<Self> {
        Extension(Self { what, outcome: None })
    }

    /// Of an upgrade that has ended.
    pub(super) fn of(report: &Report) -> Extension<Self> {
        let failed = report.actors.iter().find_map(|actor| actor.outcome.failure());
        let actors: Vec<&str> = report.actors.iter().map(|actor| actor.actor.path()).collect();
        let outcome = failed.map(|failure| failure.code.clone());
        Extension(Self { what: format!("{} {}", report.id, actors.join(" ")), outcome })
    }
}

pub(super) async fn audited(State(system): State<System>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if *request.method() != Method::POST || LOOKS.contains(&path.as_str()) {
        return next.run(request).await;
    }
    write_down(system, path, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn write_down(system: System, path: String, request: Request, next: Next) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let (request, asked) = if path == PUSH { (request, Value::Null) } else { read(request).await? };
    let mut entry = entry(&system, &path, &request, &asked);
    let ledger = match path.as_str() {
        "/v1/actors/tell" | "/v1/actors/ask" => Ledger::Messages,
        _ => Ledger::Acts,
    };
    if ledger == Ledger::Acts {
        let noted = entry.clone();
        match look(&system, move |system| Ok(system.store().note(ledger, &noted)?)).await {
            Ok(seq) => entry.seq = seq,
            Err(error) if path == "/v1/actors/resume" || path.ends_with("/cancel") => unwritten(&entry, &error),
            Err(error) => return Err(ApiError { now: "nothing was done".into(), ..error }),
        }
    }
    let response = next.run(request).await;
    entry.took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let note = response.extensions().get::<Note>();
    if let Some(Note { what, .. }) = note {
        entry.what = cut(what);
    }
    let code = response.extensions().get::<Code>().map(|Code(code)| code.to_string());
    let outcome = code.or_else(|| note.and_then(|note| note.outcome.clone()));
    entry.outcome = Some(outcome.unwrap_or_else(|| "done".to_owned()));
    let settled = entry.clone();
    let written = look(&system, move |system| match settled.seq {
        0 => Ok(system.store().note(ledger, &settled).map(drop)?),
        _ => Ok(system.store().settle(ledger, &settled)?),
    });
    if let Err(error) = written.await {
        // It is done: that it stands nowhere but here is for whoever reads the log.
        unwritten(&entry, &error);
    }
    Ok(response)
}

fn unwritten(entry: &Audited, error: &ApiError) {
    let Audited { who, act, what, reason, outcome, .. } = entry;
    tracing::error!(code = &*error.code, %error, who, act, what, reason, ?outcome, "the audit was not written");
}

/// The request with its body at hand, and that body as JSON, if it is some.
async fn read(request: Request) -> Result<(Request, Value), ApiError> {
    let (parts, body) = request.into_parts();
    let head = Request::from_parts(parts.clone(), body);
    let bytes_max = bytes_max(head.uri().path());
    let bytes = whole(head, &(), bytes_max).await?;
    let asked = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok((Request::from_parts(parts, Body::from(bytes)), asked))
}

fn entry(system: &System, path: &str, request: &Request, asked: &Value) -> Audited {
    let caller = request.extensions().get::<Caller>();
    let text = |name: &str| header_text(request.headers(), name);
    let reason = text(REASON_HEADER).map(|reason| text_of(&reason)).filter(|reason| !reason.is_empty());
    let of_body = || asked["reason"].as_str().unwrap_or_default().to_owned();
    Audited {
        seq: 0,
        at_unix_us: system.runtime().clock().wall_ns() / 1000,
        who: caller.map_or_else(|| OPERATOR.to_owned(), Caller::user),
        uid: caller.map(|caller| caller.uid),
        pid: caller.and_then(|caller| caller.pid),
        client: cut(&text(header::USER_AGENT.as_str()).unwrap_or_default()),
        act: cut(&text_of(path.trim_start_matches("/v1/"))),
        what: cut(&about(asked)),
        reason: cut(&reason.unwrap_or_else(of_body)),
        outcome: None,
        took_us: 0,
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// What the request is about: its names, and none of its values.
fn about(asked: &Value) -> String {
    let names = ["actor", "target", "kind", "name", "message", "version", "to"];
    let mut words: Vec<&str> = names.iter().filter_map(|name| asked[name].as_str()).collect();
    let moves = asked["plan"]["moves"].as_array().into_iter().flatten();
    words.extend(moves.filter_map(|moved| moved["addr"].as_str()));
    let ids = asked["ids"].as_array().into_iter().flatten().filter_map(Value::as_u64);
    ids.map(|id| id.to_string()).chain(words.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

async fn audit(State(system): State<System>, page: Result<Query<AuditPage>, QueryRejection>) -> Answer<Vec<AuditView>> {
    let Query(AuditPage { before, limit, messages }) = page.map_err(|error| wrong("the query", &error))?;
    let ledger = if messages.unwrap_or_default() { Ledger::Messages } else { Ledger::Acts };
    let count = limit.unwrap_or(PAGE.0).min(PAGE.1);
    let entries = look(&system, move |system| Ok(system.store().noted(ledger, before, count)?)).await?;
    Ok(Json(entries.into_iter().map(view).collect()))
}

fn view(entry: Audited) -> AuditView {
    let Audited { seq, at_unix_us, who, uid, pid, client, act, what, reason, outcome, took_us } = entry;
    let at = timestamp(at_unix_us.saturating_mul(1000));
    AuditView { seq, at, who, uid, pid, client, act, what, reason, outcome, took_us }
}
