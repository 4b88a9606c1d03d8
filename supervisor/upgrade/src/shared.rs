//! What all parts of one running upgrade share: its name, its clock, whether it goes on, and whom it has paused.

use crate::error::UpgradeError;
use crate::probation::Probations;
use crate::report::{ActorReport, Failure, micros};
use crate::step::Step;
use crate::told;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use teneral_contract::Addr;
use teneral_runtime::{ActorRef, Clock, Events, Moment, What};
use teneral_store::{StepDone, StepResult, UpgradeId};

/// What all parts of one running upgrade share.
pub(crate) struct Shared {
    pub(crate) id: UpgradeId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) threads_lost: Arc<AtomicUsize>,
    /// Where its steps are told.
    pub(crate) events: Events,
    pub(crate) probations: Arc<Probations>,
    /// Who cancelled, if somebody did.
    pub(crate) cancelled: Mutex<Option<String>>,
    /// The actors that this upgrade has paused at the moment, or asks to pause.
    pub(crate) paused: Mutex<HashMap<Addr, ActorRef>>,
    /// What is told when it is over and not before: whoever hears of the last actor's end finds it so.
    pub(crate) last_words: Mutex<Vec<(Events, What)>>,
}

impl Shared {
    /// Whether to go on.
    pub(crate) fn go_on(&self) -> Result<(), UpgradeError> {
        self.cancelled.lock().as_ref().map_or(Ok(()), |by| Err(UpgradeError::Cancelled(by.clone())))
    }

    pub(crate) fn now_paused(&self, actor: &ActorRef) {
        self.paused.lock().insert(actor.addr().clone(), actor.clone());
    }

    pub(crate) fn no_longer_paused(&self, addr: &Addr) {
        self.paused.lock().remove(addr);
    }

    pub(crate) fn unix_us(&self) -> u64 {
        self.clock.wall_ns() / 1000
    }

    /// A step that is over, told: now, and not when it is written. No actor: all that run the code.
    pub(crate) fn done(
        &self,
        step: Step,
        actor: Option<&Addr>,
        began: Moment,
        error: Option<&UpgradeError>,
    ) -> StepDone {
        let failed = |error: &UpgradeError| {
            let Failure { code, cause, .. } = Failure::of(error);
            StepResult::Failed { code, cause }
        };
        let done = StepDone {
            at_unix_us: self.unix_us(),
            actor: actor.cloned(),
            step: step.name().to_owned(),
            took_us: micros(self.clock.now().since(began)),
            result: error.map_or(StepResult::Done, failed),
        };
        told::step(&self.events, &self.id, || done.clone());
        done
    }

    /// It is over, and none of its actors is its any more.
    pub(crate) fn ended(&self, actors: &[ActorReport]) {
        for (events, what) in std::mem::take(&mut *self.last_words.lock()) {
            events.emit(what);
        }
        told::ended(&self.events, &self.id, actors);
    }

    pub(crate) fn cancel(&self, by: &str) {
        self.cancelled.lock().get_or_insert_with(|| by.to_owned());
        let paused: Vec<ActorRef> = self.paused.lock().values().cloned().collect();
        // By name: a lane may have left its pause meanwhile, and the next one is somebody else's.
        paused.iter().for_each(|actor| actor.cancel_pause_of(&self.id.to_string(), by));
    }
}
