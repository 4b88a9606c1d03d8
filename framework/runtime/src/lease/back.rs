//! Back to the version before, under a pause: the record is taken out of what is paused, and what comes of it takes
//! over. Until that last step what is paused is whole, and can be given its record back.

use super::install::Install;
use super::{Lease, LeaseId, LeaseLost, Quiesced, Resumed, StepError};
use crate::cell::affairs::Mending;
use crate::cell::record::Crash;
use crate::cell::{Cell, Instance, System};
use crate::ports::{Provider, Why};
use crate::rollback::{Recorded, Replayed};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An instance on probation panicked. The actor is paused, with the message that it panicked on at hand; dropping the
/// pause leaves it to its supervisor.
pub struct Crashed {
    /// The pause. It has no deadline until [`Quiesced::limit`] sets one.
    pub pause: Quiesced,
    /// The panic.
    pub reason: String,
}

impl fmt::Debug for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crashed({:?}: {})", self.pause, self.reason)
    }
}

/// A message that an instance panicked on, taken out of what was recorded of it. Dropped, nobody gets it: who asked is
/// told, anything else is a dead letter.
pub struct Begun(Crash);

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Begun({})", self.0.reason)
    }
}

impl Recorded {
    /// Takes out the message that the instance panicked on, if it did: what was recorded may be lost without it.
    #[must_use]
    pub fn take_begun(&mut self) -> Option<Begun> {
        self.record.crashed.take().map(Begun)
    }

    /// Puts it back.
    pub fn put_begun(&mut self, begun: Option<Begun>) {
        self.record.crashed = begun.map(|Begun(crash)| crash);
    }
}

impl Quiesced {
    pub(crate) fn of_wreck(cell: &Arc<Cell>, lease: Arc<Lease>, id: LeaseId, provider: Arc<dyn Provider>) -> Self {
        if let Err(why) = lease.asked(id) {
            lease.take_back(cell, why); // Somebody was that fast; now it has a name.
        }
        let generation = cell.protocol.look(|_, _, _, gate| gate.generation);
        let cell = Arc::clone(cell);
        Self { cell, lease, id, provider, generation, snapshot: None, left: false }
    }

    /// Whether what is paused panicked: it can only be replaced.
    #[must_use]
    pub fn is_wreck(&self) -> bool {
        self.lease.wreck.is_some()
    }

    /// The pause ends by itself after `by` from now; as before it, `max_pause` says so.
    pub fn limit(&self, by: Duration) {
        self.lease.prolong(&self.cell, by);
    }

    /// Takes out what was recorded of the instance, and the message that it panicked on, if it did. `None`: nothing
    /// was. A [`Recorded`] that is dropped takes that message with it (who asked is told, anything else is a dead
    /// letter), and the instance goes on without a record.
    ///
    /// # Errors
    /// [`StepError::Lost`].
    pub fn take_record(&mut self) -> Result<Option<Recorded>, StepError> {
        let Ok(mut instance) = self.cell.protocol.lend(self.id) else { return Err(self.gone()) };
        let record = instance.record.take_if(|record| record.is_of_use());
        self.give_back(instance)?;
        Ok(record.map(|record| Recorded { cell: Arc::clone(&self.cell), record }))
    }

    /// Gives it back: the pause goes on, and the next try may find it.
    ///
    /// # Errors
    /// [`StepError::Lost`], and the record with it.
    pub fn put_record(&mut self, recorded: Recorded) -> Result<(), StepError> {
        let Ok(mut instance) = self.cell.protocol.lend(self.id) else { return Err(self.gone()) };
        let over = recorded.record.outside.is_over();
        instance.record = Some(recorded.record);
        self.give_back(instance)?;
        if over {
            // Whoever ended it while it was out has found nothing to free.
            self.cell.forget_record();
        }
        Ok(())
    }

    /// What [`Recorded::replay`], [`Recorded::forget`] or [`Replayed::of`] made takes over, with what it planned, asked
    /// and owes, and is handed first the message that the instance before panicked on. `started` runs before any queued
    /// message, with [`Why::RolledBack`].
    ///
    /// # Errors
    /// As [`Quiesced::commit`]; the record is gone then, and that message as it says.
    pub fn commit_replayed(
        self,
        replayed: Replayed,
        recorded: Option<Recorded>,
        provider: Arc<dyn Provider>,
        committed: impl FnOnce(),
    ) -> Result<Resumed, LeaseLost> {
        let Replayed { mut mending, behaviour, .. } = replayed;
        let outside = self.cell.existing_extras().and_then(|extras| extras.recording.clone());
        if let Some(outside) = outside.filter(|_| !mending.knows_the_commit()) {
            mending = Mending::giving_up(&outside);
        }
        let ahead = recorded.and_then(|mut recorded| recorded.record.crashed.take());
        let install = Install::as_it_is(Why::RolledBack, self.generation.next());
        self.install((behaviour, provider), Install { mending: Some(mending), ahead, ..install }, committed)
    }

    fn give_back(&mut self, instance: Instance) -> Result<(), StepError> {
        match self.cell.protocol.give_back(self.id, instance) {
            Ok(again) => {
                self.cell.owe(again);
                self.lease.returned(&self.cell);
                if self.cancelled().is_some() { Err(self.gone()) } else { Ok(()) }
            }
            Err(left_behind) => {
                drop(left_behind);
                Err(self.gone())
            }
        }
    }
}

impl Cell {
    /// Nobody takes the wreck over that was paused with this lease: its supervisor hears of the panic.
    pub(crate) fn give_wreck_up(self: &Arc<Self>, lease: &Arc<Lease>) {
        if let Ok(again) = self.protocol.push_system(System::Crashed(Arc::clone(lease))) {
            self.owe(again);
        }
    }

    /// Nobody wants the record any more: an idle actor has no other reason to look.
    pub(crate) fn forget_record(self: &Arc<Self>) {
        if let Ok(again) = self.protocol.push_system(System::Forget) {
            self.owe(again);
        }
    }

    /// The record, if there was one, is of no use any more: of an actor that begins `anew`, or keeps its state.
    pub(crate) fn lose_record(&self, anew: bool) {
        if let Some(outside) = self.existing_extras().and_then(|extras| extras.recording.clone()) {
            outside.replaced(anew);
        }
    }
}
