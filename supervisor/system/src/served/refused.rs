//! This system's errors in the one shape of the socket.

use crate::SystemError;
use axum::http::StatusCode;
use teneral_contract::AskError;
use teneral_control::api::ApiError;
use teneral_rollout::RouteError;
use teneral_runtime::{StartError, StateError};
use teneral_upgrade::BackError;

impl From<SystemError> for ApiError {
    fn from(error: SystemError) -> Self {
        Self::new(status(&error), error.code(), &error, now(&error), error.hint())
    }
}

fn status(error: &SystemError) -> StatusCode {
    use SystemError as E;
    match error {
        E::Address(_) | E::VersionText { .. } | E::Args { .. } | E::Json { .. } | E::Key { .. } => {
            StatusCode::BAD_REQUEST
        }
        E::Actor { .. }
        | E::Nobody { .. }
        | E::Kind { .. }
        | E::Version { .. }
        | E::Message { .. }
        | E::Output { .. } => StatusCode::NOT_FOUND,
        E::Trust(error) if error.code() == "TRUST-PUBLIC" => StatusCode::BAD_REQUEST,
        E::Trust(_) => StatusCode::FORBIDDEN,
        E::Gate { .. } | E::Reserved { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        E::Upgrade(error) => match error.code() {
            "UPG-ACTOR" | "UPG-VERSION" => StatusCode::NOT_FOUND,
            "UPG-PLAN" | "UPG-REQUEST" | "UPG-STEPS" | "UPG-TWICE" => StatusCode::BAD_REQUEST,
            "UPG-JOURNAL" => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        },
        E::Route(error) => match **error {
            RouteError::Newer { .. } | RouteError::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            RouteError::Standing { .. }
            | RouteError::Split { .. }
            | RouteError::Shared { .. }
            | RouteError::Moving { .. }
            | RouteError::Steady { .. }
            | RouteError::Stale { .. }
            | RouteError::Held { .. }
            | RouteError::SaltChanged { .. }
            | RouteError::Revisions => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        },
        E::Back(error) if matches!(**error, BackError::NotHeld(_)) => StatusCode::NOT_FOUND,
        E::Back(_)
        | E::Profile
        | E::Own { .. }
        | E::Member { .. }
        | E::Spread { .. }
        | E::InUse { .. }
        | E::Default { .. }
        | E::Defined { .. }
        | E::Quarantined { .. }
        | E::Tell { .. } => StatusCode::CONFLICT,
        E::Start { source: StartError::Taken(_), .. } => StatusCode::CONFLICT,
        E::JsonBusy { .. } | E::Actors { .. } | E::Full { .. } | E::Ask { source: AskError::Full, .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        E::JsonHung { .. }
        | E::Ask { source: AskError::Timeout, .. }
        | E::State { source: StateError::Timeout(_), .. } => StatusCode::GATEWAY_TIMEOUT,
        E::Ask { .. } | E::State { .. } => StatusCode::BAD_GATEWAY,
        E::Native(_) | E::Module { .. } | E::Start { .. } | E::Store(_) | E::Task { .. } => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn now(error: &SystemError) -> &'static str {
    use SystemError as E;
    match error {
        E::Start { source: StartError::Taken(_), .. } => "the actor that has the name goes on as it was",
        E::Start { .. } => "the actor does not run; all others are as they were",
        E::Route(error) => error.now(),
        E::Upgrade(_) => "nobody was paused; every actor serves as it did",
        E::Back(error) => match **error {
            BackError::Default { .. } => {
                "the upgrade is final; new actors of the kind get the version that they got before"
            }
            BackError::NotSent { .. } => "it is held still",
            BackError::Quarantined { .. } => "nothing is final; who is on probation is so still",
            _ => "nothing was done",
        },
        E::Ask { source: AskError::Timeout, .. } => "the actor may still handle the request",
        E::Ask { .. } => "the request was not answered; the actor's own state says what it did",
        E::JsonHung { .. } | E::JsonBusy { .. } => "nothing was sent, or the answer to what was sent is lost",
        E::Defined { .. } => "its definition and its state are kept",
        E::Store(_) | E::Task { .. } => "what runs goes on; what was asked for may not have been kept",
        _ => "nothing was done",
    }
}
