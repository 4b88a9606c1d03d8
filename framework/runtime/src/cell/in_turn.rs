//! A turn of a version on probation, while its code runs: what it takes to go on without it, should it not return.
//!
//! Its record lies aside meanwhile, with a copy of its message. Whoever takes it from there has the turn: the thread
//! that runs it, when the code returns, or whoever gives it up, when it hangs. So what a turn does that was given up is
//! nobody's. It costs every turn on probation two exchanges of a pointer, and no lock.

use super::envelope::Envelope;
use super::record::{Crash, Record};
use super::turn::Wreck;
use super::{Cell, Instance};
use crate::lease::{Crashed, Lease, Quiesced};
use crate::ports::Behaviour;
use crossbeam_utils::atomic::AtomicCell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where it lies.
#[derive(Default)]
pub(crate) struct Aside(AtomicCell<Option<Box<Record>>>);

/// The turn that is open, in a record that lies aside.
pub(super) struct Open {
    /// `None`: it has no message.
    pub(super) envelope: Option<Envelope>,
    /// Turns of the same activation that ended well before, and are not counted yet.
    pub(super) handled: u64,
}

impl Instance {
    /// Runs its code. `None`: the turn was given up meanwhile, and nothing of it may be done.
    #[inline]
    pub(super) fn run<T>(
        &mut self,
        open: impl FnOnce() -> Open,
        code: impl FnOnce(&mut dyn Behaviour) -> T,
    ) -> Option<T> {
        let Some(mut record) = self.record.take() else { return Some(code(&mut *self.behaviour)) };
        // An instance has one record in its life.
        let outside = self.outside.get_or_insert_with(|| Arc::clone(&record.outside));
        record.open = Some(open());
        outside.in_turn.0.store(Some(record));
        let done = code(&mut *self.behaviour);
        self.record = Some(outside.in_turn.0.take()?);
        Some(done)
    }
}

impl Cell {
    /// Goes on without the turn of a version on probation that is said to hang, as if it had panicked: the actor is
    /// paused, with the message at hand. `None`: no such turn hangs, or the actor is stopped.
    pub(crate) fn give_turn_up(self: &Arc<Self>) -> Option<Crashed> {
        let outside = self.existing_extras()?.recording.clone()?;
        let provider = self.provider();
        let watches = &self.shared.executor.watches;
        let index = watches.hanging(self)?;
        // If that one returns just now and another turn has begun, it is that one: there is nothing wrong with it, but
        // whoever wants the actor back does not want it either.
        let mut record = outside.in_turn.0.take()?;
        watches.give_up(self);
        let Open { envelope, handled } = record.open.take()?;
        self.counts.handled.fetch_add(handled, Relaxed);
        let reason = format!("it did not return from {}", Self::doing(&provider, index));
        record.crashed = Some(Crash::of(self, envelope, reason.clone()));
        let mut wreck = Instance::new(Box::new(Wreck), Arc::clone(&provider));
        wreck.record = Some(record);
        let lease = Lease::of_wreck(outside.owner.clone(), self.shared.clock.now(), reason.clone());
        // Stopped meanwhile, it drops what it panicked on, as any wreck does.
        let (id, other, again) = self.protocol.cut_off(wreck, Arc::clone(&lease)).ok()?;
        other.iter().for_each(|other| other.gives_way(&lease));
        self.tell_suspended(reason.clone());
        self.owe(again);
        Some(Crashed { pause: Quiesced::of_wreck(self, lease, id, provider), reason })
    }
}
