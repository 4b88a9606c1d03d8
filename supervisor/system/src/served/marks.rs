//! What an operator's word lets in again: high-water marks that the store cannot rely on, and what is in quarantine.

use super::asked::Asked;
use super::audited::Note;
use super::routes::{Answer, Json, look};
use crate::{System, SystemError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use teneral_control::api::ApiError;
use teneral_control::api::wire::{AcceptMarks, MarksView, Pardoned, RemoveArtifact};
use teneral_control::trust::Profile;
use teneral_store::{MarksLeft, Store};

pub(super) fn routes() -> Router<System> {
    Router::new()
        .route("/v1/marks", get(marks))
        .route("/v1/marks/accept", post(accept))
        .route("/v1/artifacts/pardon", post(pardon))
}

async fn marks(State(system): State<System>) -> Answer<MarksView> {
    Ok(Json(look(&system, seen).await?))
}

fn seen(system: &System) -> Result<MarksView, SystemError> {
    let MarksLeft { why, in_database, in_file, left } = system.store().marks_left()?;
    Ok(MarksView { whole: why.is_none(), why, database: in_database, file: in_file, left })
}

fn refused(status: StatusCode, what: &str, hint: &str) -> ApiError {
    ApiError::request(status, "CTL-MARKS", what, hint)
}

async fn accept(
    State(system): State<System>,
    Asked(body): Asked<AcceptMarks>,
) -> Result<(Extension<Note>, Json<MarksView>), ApiError> {
    let AcceptMarks { accepted, production, reason } = body;
    let found = look(&system, seen).await?;
    if found.whole {
        let what = "the high-water marks are whole: there is nothing to accept";
        return Err(refused(StatusCode::CONFLICT, what, "push what is to be pushed: teneral artifact push FILE.so"));
    }
    if reason.trim().is_empty() {
        let hint = "say it, for the audit: teneral artifact accept-marks --reason TEXT";
        return Err(refused(StatusCode::BAD_REQUEST, "marks are accepted for a reason, and none was said", hint));
    }
    if system.profile() == Profile::Production && !production {
        let what = "this is a production host, and the request does not say that it knows";
        return Err(refused(StatusCode::CONFLICT, what, "if it is meant: teneral artifact accept-marks --production"));
    }
    if found.left != accepted {
        let what = "what is left of the marks is not what was shown";
        return Err(refused(StatusCode::CONFLICT, what, "look again: teneral artifact accept-marks --dry-run"));
    }
    let text: Vec<String> = accepted.iter().map(|(kind, version)| format!("{kind} {version}")).collect();
    let text = text.join(", ");
    tracing::warn!(marks = text, why = found.why, reason, "high-water marks were accepted");
    let now = look(&system, |system| system.accept_marks().and_then(|()| seen(system))).await?;
    Ok((Note::about(text), Json(now)))
}

async fn pardon(State(system): State<System>, Asked(body): Asked<RemoveArtifact>) -> Answer<Pardoned> {
    let RemoveArtifact { kind, version, reason } = body;
    let pardoned = look(&system, move |system| {
        let release = system.library().release(&kind, &version)?;
        let was = system.store().quarantine_of(release.sha256)?;
        system.pardon(&kind, &version.to_string())?;
        Ok(Pardoned { kind, version, sha256: release.sha256, why: was.map(|entry| entry.why) })
    });
    let pardoned = pardoned.await?;
    let Pardoned { kind, version, why, .. } = &pardoned;
    tracing::warn!(kind, %version, why, reason, "a version was taken out of quarantine");
    Ok(Json(pardoned))
}
