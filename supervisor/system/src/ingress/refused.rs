//! Errors as whoever asks from outside may see them: with a status, and without the names of others.

use crate::SystemError;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use teneral_contract::{Addr, AskError};
use teneral_control::api::ApiError;
use teneral_native::routes::{Key, Route};
use teneral_runtime::TellError;

/// An error of the system.
pub(super) fn of(error: SystemError) -> ApiError {
    if let SystemError::Ask { addr, source: AskError::Failed(why) } = &error {
        return no(addr, why);
    }
    let status = status(&error);
    let is_nobody = matches!(error, SystemError::Actor { .. });
    let mut refused = ApiError::from(error);
    refused.status = status.as_u16();
    if is_nobody {
        // The nearest names are other callers'.
        refused.hint = "there is nothing of that name".into();
    }
    refused
}

fn status(error: &SystemError) -> StatusCode {
    use SystemError as E;
    match error {
        E::Address(_) | E::Json { .. } | E::Key { .. } => StatusCode::BAD_REQUEST,
        E::Actor { .. } => StatusCode::NOT_FOUND,
        E::Ask { source, .. } => match source {
            AskError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            AskError::Full | AskError::Stopped | AskError::NoActor(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        },
        E::Tell { source: TellError::TooLarge { .. }, .. } => StatusCode::PAYLOAD_TOO_LARGE,
        E::JsonHung { .. } => StatusCode::GATEWAY_TIMEOUT,
        E::Store(_) | E::Task { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What is no slip of whoever asks is said without its causes: those are the host's own affair, and stand in its log.
pub(super) fn for_strangers(mut error: ApiError) -> ApiError {
    if error.status >= 500 {
        error.causes.clear();
        error.hint = "try again; whoever runs the service finds the reason in its log by the x-request-id".into();
    }
    error
}

/// No route has the path.
pub(super) fn path(path: &str) -> ApiError {
    let what = format!("nothing is at {path}");
    ApiError::request(StatusCode::NOT_FOUND, "HTTP-PATH", what, "look at the path")
}

/// The actor was stopped before it had the request, again and again.
pub(super) fn stopped(addr: &Addr) -> ApiError {
    of(SystemError::Ask { addr: addr.clone(), source: AskError::Stopped })
}

/// The actor has understood the request, and says no.
fn no(addr: &Addr, why: &str) -> ApiError {
    let (status, what) = (StatusCode::UNPROCESSABLE_ENTITY, format!("{addr} refused: {why}"));
    let mut refused = ApiError::request(status, "HTTP-REFUSED", what, "ask for what it does not refuse");
    refused.now = "the actor has handled the request, and goes on".into();
    refused
}

/// What the route starts the actor from is no start arguments of its kind: the operator's slip, not the caller's.
pub(super) fn args(route: &Route, why: &str, hint: &str) -> ApiError {
    let (code, at, named) = ("HTTP-ARGS", &route.written_at, format!("{} {}", route.method, route.path));
    tracing::error!(code, at, route = named, hint, "the args of a route are none of its kind: {why}");
    let what = format!("{named} cannot make what it asks");
    ApiError::request(StatusCode::INTERNAL_SERVER_ERROR, code, what, "mend args of the route")
}

/// What a path takes, HEAD with GET.
fn allowed(methods: &[&str]) -> String {
    let head = methods.contains(&"GET").then_some("HEAD");
    let mut all: Vec<&str> = methods.iter().copied().chain(head).chain(["OPTIONS"]).collect();
    all.sort_unstable();
    all.dedup();
    all.join(", ")
}

fn allows(mut response: Response<Body>, allowed: &str) -> Response<Body> {
    if let Ok(allowed) = HeaderValue::from_str(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}

/// What the path takes, for whoever asks just that.
pub(super) fn options(methods: &[&str]) -> Response<Body> {
    allows(StatusCode::NO_CONTENT.into_response(), &allowed(methods))
}

/// A route has the path, with other methods.
pub(super) fn method(method: &str, methods: &[&str]) -> Response<Body> {
    let allowed = allowed(methods);
    let what = format!("{method} is not what this path takes");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let refused = ApiError::request(status, "HTTP-PATH", what, &format!("take {allowed}"));
    allows(refused.into_response(), &allowed)
}

/// The header that holds the key is not there.
pub(super) fn key(route: &Route) -> ApiError {
    let name = match &route.key {
        Key::Header(name) => name.as_str(),
        Key::Text(_) => "key",
    };
    let what = format!("the header {name} is missing, or no text");
    ApiError::request(StatusCode::BAD_REQUEST, "HTTP-REQUEST", what, &format!("send the header {name}"))
}

/// A route that leads nowhere for now.
pub(super) fn nowhere(route: &Route, why: &str) -> ApiError {
    let what = format!("{} {} leads nowhere for now", route.method, route.path);
    let at = &route.written_at;
    tracing::warn!(code = "HTTP-ROUTE", at, route = format!("{} {}", route.method, route.path), "{why}");
    ApiError::request(StatusCode::SERVICE_UNAVAILABLE, "HTTP-ROUTE", what, "try again later")
}
