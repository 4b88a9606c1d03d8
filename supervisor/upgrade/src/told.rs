//! An upgrade as followers of the runtime's events see it: its begin, its steps as they are done, its end.
//!
//! The journal is the record; this is for whoever waits and wants to know how far it is. Nothing is made when nobody
//! follows.

use crate::plan::Plan;
use crate::report::ActorReport;
use std::time::Duration;
use teneral_runtime::{Events, What};
use teneral_store::{StepDone, StepResult, UpgradeId};

pub(crate) fn begun(events: &Events, id: &UpgradeId, plan: &Plan) {
    events.tell(|| What::UpgradeBegun {
        upgrade: id.to_string(),
        who: plan.who.clone(),
        why: plan.why.clone(),
        moves: plan.moves.iter().map(|moved| (moved.addr.clone(), moved.to.version.clone())).collect(),
    });
}

/// Told where it happens, so that it stands among the other events where it belongs: before the actor resumes, if it
/// was done while it was paused.
pub(crate) fn step(events: &Events, id: &UpgradeId, done: impl FnOnce() -> StepDone) {
    events.tell(|| {
        let done = done();
        let (result, failure) = match done.result {
            StepResult::Done => ("done", None),
            StepResult::Undone => ("undone", None),
            StepResult::Failed { code, cause } => ("failed", Some((code, cause))),
        };
        What::UpgradeStep {
            upgrade: id.to_string(),
            addr: done.actor,
            step: done.step,
            took: Duration::from_micros(done.took_us),
            result,
            failure,
        }
    });
}

pub(crate) fn ended(events: &Events, id: &UpgradeId, actors: &[ActorReport]) {
    events.tell(|| What::UpgradeEnded {
        upgrade: id.to_string(),
        outcomes: actors.iter().map(|report| (report.actor.clone(), report.outcome.name())).collect(),
    });
}
