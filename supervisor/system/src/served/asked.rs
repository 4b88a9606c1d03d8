//! Requests read, within their bounds.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use std::time::Duration;
use teneral_control::api::wire::{RELEASE_HEADER, SIGNATURE_HEADER};
use teneral_control::api::{ApiError, BODY_BYTES_MAX, PLAN_BYTES_MAX};
use teneral_control::trust::Signed;

/// How long a caller may take for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What to do about a body over its bound.
const LARGE: &str = "send less: docs/control.md names the bounds";

/// A body that is JSON of this type.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes_max = bytes_max(request.uri().path());
        let body = whole(request, state, bytes_max).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "CTL-REQUEST",
                &error,
                "nothing was done",
                "write the body as docs/control.md says",
            )
            .after("the body is not what this path takes")
        })
    }
}

/// The path that takes a plan.
pub(super) const APPLY: &str = "/v1/upgrades/apply";

/// Largest body that a path takes, of those that take JSON.
pub(super) fn bytes_max(path: &str) -> usize {
    if path == APPLY { PLAN_BYTES_MAX } else { BODY_BYTES_MAX }
}

/// The whole body, in bounded time. One that says itself that it is over its bound is refused unread.
pub(crate) async fn whole<S: Send + Sync>(
    mut request: Request,
    state: &S,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_over = |length: &u64| *length > bytes_max as u64 && !cfg!(feature = "bug-r19");
    if let Some(length) = length.filter(is_over) {
        let what = format!("a body of {length} bytes, over the limit of {bytes_max}");
        return Err(ApiError::request(StatusCode::PAYLOAD_TOO_LARGE, "CTL-LARGE", what, LARGE));
    }
    // Instead of the bound of most paths, which may be less.
    DefaultBodyLimit::max(if cfg!(feature = "bug-r11") { usize::MAX } else { bytes_max }).apply(&mut request);
    match tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(request, state)).await {
        Ok(body) => body.map_err(|error| unread(&error)),
        Err(_) => {
            let what = format!("the body was not whole within {BODY_TIMEOUT:?}");
            Err(ApiError::request(StatusCode::REQUEST_TIMEOUT, "CTL-REQUEST", what, "send the whole body"))
        }
    }
}

fn unread(error: &BytesRejection) -> ApiError {
    let (status, code, hint) = match error.status() {
        large @ StatusCode::PAYLOAD_TOO_LARGE => (large, "CTL-LARGE", LARGE),
        _ => (StatusCode::BAD_REQUEST, "CTL-REQUEST", "send the whole body"),
    };
    ApiError::new(status, code, error, "nothing was done", hint).after("the body cannot be read")
}

/// A part of a request that is not what its path takes.
pub(super) fn wrong(what: &str, error: &dyn std::error::Error) -> ApiError {
    let hint = "write it as docs/control.md says";
    ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", error, "nothing was done", hint)
        .after(format!("{what} cannot be read"))
}

/// What somebody signed of an artifact, from the request's head.
pub(super) fn signed(headers: &HeaderMap) -> Result<Option<Signed>, ApiError> {
    let release = of_head(headers, RELEASE_HEADER)?;
    let signature = of_head(headers, SIGNATURE_HEADER)?;
    let Some(release) = release else { return Ok(None) };
    let signature =
        String::from_utf8(signature.unwrap_or_default()).map_err(|error| not_base64(SIGNATURE_HEADER, &error))?;
    Ok(Some(Signed { release, signature }))
}

fn of_head(headers: &HeaderMap, name: &'static str) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    STANDARD.decode(value.as_bytes()).map(Some).map_err(|error| not_base64(name, &error))
}

fn not_base64(name: &str, error: &dyn std::error::Error) -> ApiError {
    let hint = "send the file's bytes in base64";
    ApiError::new(StatusCode::BAD_REQUEST, "CTL-REQUEST", error, "nothing was done", hint)
        .after(format!("the header {name} cannot be read"))
}
