//! Errors as whoever asks from outside may see them: with a status, and without the names of others.

use crate::SystemError;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use teneral_contract::AskError;
use teneral_control::api::ApiError;
use teneral_native::routes::{Key, Route};

/// An error of the system.
pub(super) fn of(error: SystemError) -> ApiError {
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
        E::Address(_) | E::Json { .. } => StatusCode::BAD_REQUEST,
        E::Actor { .. } => StatusCode::NOT_FOUND,
        E::Ask { source, .. } => match source {
            AskError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            AskError::Full | AskError::Stopped | AskError::NoActor(_) => StatusCode::SERVICE_UNAVAILABLE,
            // The actor has understood the request, and says no.
            AskError::Failed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_GATEWAY,
        },
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

/// A route has the path, with other methods.
pub(super) fn method(method: &str, methods: &[&str]) -> Response<Body> {
    let allowed = methods.join(", ");
    let what = format!("{method} is not what this path takes");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = ApiError::request(status, "HTTP-PATH", what, &format!("take {allowed}")).into_response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
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
