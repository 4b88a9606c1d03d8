//! What is left of an instance whose failure is somebody else's to decide than its supervisor's: it holds its place,
//! with its record, and fails whatever is asked of it.

use super::protocol::{Activation, Paused};
use super::record::Crash;
use super::{Actor, Cell, Instance};
use crate::cell::extras::Ended;
use crate::lease::{Crashed, Lease, Quiesced};
use crate::ports::{Behaviour, Call, Effects, Fault, FaultKind, Provider, Why};
use std::sync::Arc;

/// What is left of an instance that panicked, or whose turn was given up.
pub(super) struct Wreck;

impl Wreck {
    fn fault() -> Fault {
        Fault::new(FaultKind::Panic, "its last turn panicked")
    }
}

impl Behaviour for Wreck {
    fn started(&mut self, _: Why, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Err(Self::fault())
    }

    fn handle(&mut self, _: &Call<'_>, _: &mut dyn Effects) -> Result<(), Fault> {
        Err(Self::fault())
    }

    fn save(&self, _: usize) -> Result<Vec<u8>, Fault> {
        Err(Self::fault())
    }
}

impl Cell {
    /// The instance panicked while it was recorded: the actor is paused, and whoever wants to know of it decides. Its
    /// supervisor hears of it when they give it up.
    pub(super) fn wrecked(self: &Arc<Self>, mut activation: Activation<'_, Actor>, crash: Crash) {
        let reason = crash.reason.clone();
        let Some(instance) = activation.instance() else { return };
        let behaviour = std::mem::replace(&mut instance.behaviour, Box::new(Wreck));
        let poisoned = Instance::new(behaviour, Arc::clone(&instance.provider));
        let (provider, Some(record)) = (Arc::clone(&instance.provider), &mut instance.record) else { return };
        record.crashed = Some(crash);
        let (on_crash, owner) = (record.on_crash.take(), record.outside.owner.clone());
        self.shared.executor.dropper.drop(self, poisoned);
        let lease = Lease::of_wreck(owner, self.shared.clock.now(), reason.clone());
        match activation.hold(Arc::clone(&lease)) {
            Ok(paused) => {
                let crashed = self.is_held(paused, lease, provider, reason);
                if let Some(on_crash) = on_crash {
                    on_crash(crashed);
                }
            }
            // It was stopped meanwhile.
            Err(activation) => self.end(activation, Ended::by_crash(reason)),
        }
    }

    /// A wreck has its place, paused for that lease: whoever had asked for a pause gives way, and it is told.
    pub(super) fn is_held(
        self: &Arc<Self>,
        (id, other, again): Paused<Arc<Lease>>,
        lease: Arc<Lease>,
        provider: Arc<dyn Provider>,
        reason: String,
    ) -> Crashed {
        other.iter().for_each(|other| other.gives_way(&lease));
        self.tell_suspended(reason.clone());
        self.owe(again);
        Crashed { pause: Quiesced::of_wreck(self, lease, id, provider), reason }
    }
}
