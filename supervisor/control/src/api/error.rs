//! The one shape of an error on the control socket: `{"code", "what", "causes", "now", "hint"}`.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use std::error::Error;

/// Why a request was not done: a stable code, what happened and why, what stands now, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema)]
#[error("{what}")]
pub struct ApiError {
    /// The HTTP status; it stands in the answer's head, not in its body.
    #[serde(skip)]
    pub status: u16,
    /// The stable code.
    #[schema(value_type = String)]
    pub code: Box<str>,
    /// What happened.
    pub what: String,
    /// Why, from the nearest cause to the first.
    pub causes: Vec<String>,
    /// What stands now.
    #[schema(value_type = String)]
    pub now: Box<str>,
    /// What to do.
    #[schema(value_type = String)]
    pub hint: Box<str>,
}

impl ApiError {
    /// An error with the causes that `error` has.
    pub fn new(status: StatusCode, code: &str, error: &dyn Error, now: &str, hint: impl Into<Box<str>>) -> Self {
        let what = error.to_string();
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        let mut causes: Vec<String> = causes.map(ToString::to_string).collect();
        // Some errors say their cause themselves.
        causes.dedup();
        causes.retain(|cause| !what.contains(cause.as_str()));
        Self { status: status.as_u16(), code: code.into(), what, causes, now: now.into(), hint: hint.into() }
    }

    /// The same, as the cause of something else.
    #[must_use]
    pub fn after(mut self, what: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.what, what.into());
        self.causes.insert(0, cause);
        self
    }

    /// A request that is not one: nothing was done.
    #[must_use]
    pub fn request(status: StatusCode, code: &str, what: impl Into<String>, hint: &str) -> Self {
        Self {
            status: status.as_u16(),
            code: code.into(),
            what: what.into(),
            causes: Vec::new(),
            now: "nothing was done".into(),
            hint: hint.into(),
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], self.body()).into_response();
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

/// The stable code of an answer that is an error, in the answer's extensions: for whoever writes down what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(pub Box<str>);
