//! Whether a host takes orders: from its first moment to its last it says how it is, and all else only in between.
//!
//! So whoever asks too early or too late learns that, instead of finding nobody. What was let in is counted: a host
//! that stops owes it an answer.

use super::routes::{Answer, Json, look};
use super::{probations, unwell};
use crate::System;
use crate::fallen::counted;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use semver::Version;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use teneral_contract::Addr;
use teneral_control::api::ApiError;
pub(super) use teneral_control::api::HEALTH;
use teneral_control::api::wire::{ConfigRow, Health};
use tokio::sync::watch;

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It brings back what is defined.
    Starting,
    /// It does what it is asked.
    Serving,
    /// It keeps the states of its actors, and ends.
    Stopping,
}

impl Phase {
    /// Its word: `starting`, `serving` or `stopping`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
        }
    }
}

/// The phase, and the requests that have no answer yet.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) phase: watch::Sender<Phase>,
    at_work: watch::Sender<usize>,
    /// Whether it was said that what is defined begins to come back: written with the phase borrowed.
    pub(crate) returns: AtomicBool,
    /// Who come back from a state at this moment, which may be marked as taken.
    coming: Mutex<Vec<Addr>>,
}

impl Stage {
    /// A system that is opened by hand serves at once.
    pub(crate) fn new() -> Self {
        let (phase, at_work) = (watch::Sender::new(Phase::Serving), watch::Sender::new(0));
        Self { phase, at_work, returns: AtomicBool::new(false), coming: Mutex::new(Vec::new()) }
    }

    /// Says of an actor that it comes, until what this returns is dropped.
    pub(crate) fn comes(&self, addr: &Addr) -> Coming<'_> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).push(addr.clone());
        Coming { stage: self, addr: addr.clone() }
    }

    /// Who comes at this moment.
    pub(crate) fn coming(&self) -> Vec<Addr> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An actor that is on its way.
pub(crate) struct Coming<'a> {
    stage: &'a Stage,
    addr: Addr,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut coming = self.stage.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = coming.iter().position(|addr| *addr == self.addr) {
            coming.swap_remove(at);
        }
    }
}

/// A request without an answer yet.
struct AtWork<'a>(&'a watch::Sender<usize>);

impl<'a> AtWork<'a> {
    fn begin(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl System {
    /// What this host does. [`Phase::Serving`] unless somebody said otherwise; [`System::close`] says
    /// [`Phase::Stopping`].
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.stage().phase.borrow()
    }

    /// Says what this host does, also to whoever watches. In all phases but [`Phase::Serving`] the control API answers
    /// nothing but its health, and from [`Phase::Stopping`] on [`System::start_defined`] takes up no further state.
    /// Whoever enters [`Phase::Starting`] lets nobody in and tells no actor anything: what is kept for those that come
    /// back is used up for all at once, when all are there.
    pub fn enter(&self, phase: Phase) {
        self.stage().phase.send_replace(phase);
        match phase {
            Phase::Starting => {}
            Phase::Serving => self.say_ready(),
            Phase::Stopping => self.say_stopping(),
        }
    }

    /// Waits until everybody who asked over the control API has the answer that is owed, at most `timeout`; whether
    /// that is so.
    pub async fn answered(&self, timeout: Duration) -> bool {
        let mut at_work = self.stage().at_work.subscribe();
        tokio::time::timeout(timeout, at_work.wait_for(|count| *count == 0)).await.is_ok()
    }
}

pub(super) async fn admit(State(system): State<System>, request: Request, next: Next) -> Response {
    if request.uri().path() == HEALTH {
        return next.run(request).await;
    }
    // Counted before it is looked: who stops finds it counted, or it finds the stop.
    let _at_work = AtWork::begin(&system.stage().at_work);
    let (code, hint) = match system.phase() {
        Phase::Serving => return next.run(request).await,
        Phase::Starting => ("CTL-STARTING", "wait until it serves: teneral status --wait 1m"),
        Phase::Stopping => ("CTL-STOPPING", "wait until it has ended, and start it: teneral serve"),
    };
    let what = format!("the host is {}, process {}", system.phase().as_str(), std::process::id());
    ApiError::request(StatusCode::SERVICE_UNAVAILABLE, code, what, hint).into_response()
}

/// What this host was told, which it goes by until it ends.
pub(super) async fn config(State(system): State<System>) -> Answer<Vec<ConfigRow>> {
    Ok(Json(system.told().to_vec()))
}

pub(super) async fn health(State(system): State<System>) -> Answer<Health> {
    let version = Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or(Version::new(0, 0, 0));
    let (pid, profile) = (std::process::id(), system.profile().as_str().to_owned());
    let (phase, actors, upgrades) = (system.phase(), system.actors().len(), system.running());
    let downs = match phase {
        Phase::Serving => look(&system, System::downs).await,
        // Who has not come back yet, or has stopped already, is not down.
        Phase::Starting | Phase::Stopping => Ok(Vec::new()),
    };
    // A disk that cannot be read is no reason to say nothing.
    let (down, down_first) = counted(downs.unwrap_or_default());
    let quarantined = look(&system, unwell::quarantined).await.unwrap_or_default();
    let (status, hung) = (phase.as_str().to_owned(), unwell::hung(&system));
    let (on_probation, on_probation_first) = probations::named(system.on_probation());
    Ok(Json(Health {
        version,
        status,
        pid,
        profile,
        actors,
        down,
        down_first,
        on_probation,
        on_probation_first,
        quarantined,
        hung,
        threads_lost: system.threads_lost(),
        upgrades,
    }))
}
