//! An actor's state, read between two of its messages.
//!
//! The read goes through the system lane, so it is answered while the actor is paused too, and whoever gives up before
//! its turn costs nothing. The code writes its state in the actor's own activation (`cell/saving.rs`), where a hang of
//! it is seen as that of a turn is. Such an actor handles nothing: an operator may have it begin again without the
//! instance, which is lost then (`again.rs`). By itself it is not replaced, as one that hangs under a pause is (F41): a
//! look at an actor must not cost its state because the code was slow.

use crate::actor_ref::ActorRef;
use crate::block::block_on;
use crate::cell::protocol::Life;
use crate::cell::slot::Slot;
use crate::cell::{Cell, System};
use crate::config::{Copied, StateRead};
use crate::error::{CopyError, PauseRefused, StateError};
use crate::runtime::Due;
use crate::timer::TimerKey;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// Somebody who waits for a state; nobody does when this is dropped.
struct Reading<'a> {
    cell: &'a Cell,
    slot: Arc<Slot<Result<Copied, StateError>>>,
    key: TimerKey,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.slot.close();
        self.cell.shared.timers().cancel(self.key);
    }
}

impl ActorRef {
    /// Its state as bytes, at the next message boundary, also while it is paused. Nothing is saved for a future that
    /// was dropped or whose time is over.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn state(&self, timeout: Duration) -> Result<StateRead, StateError> {
        Ok(self.read(self.cell.shared.config.state_bytes_max, timeout).await?.state)
    }

    /// As [`ActorRef::state`], of at most `bytes_max`, for whoever wants to try something on a copy of it. Blocks this
    /// thread until the next message boundary and while the code writes its state, at most `timeout`.
    ///
    /// # Errors
    /// [`CopyError`]; nothing is written later.
    pub fn copy_state(&self, bytes_max: usize, timeout: Duration) -> Result<Copied, CopyError> {
        let cell = &self.cell;
        if cell.protocol.look(|_, life, _, _| life == Life::Suspended) {
            let reason = cell.ended_reason();
            return Err(CopyError::Refused(PauseRefused::Suspended { reason }));
        }
        // The wait is over by itself: with its timeout.
        let read = block_on(self.read(bytes_max, timeout), None).unwrap_or(Err(StateError::Timeout(timeout)));
        read.map_err(|error| match error {
            StateError::Save(fault) => CopyError::Save(fault),
            StateError::Stopped => CopyError::Refused(PauseRefused::Stopped),
            StateError::Timeout(waited) if self.hangs_in_save() => CopyError::Hangs(waited),
            StateError::Timeout(waited) => CopyError::Refused(cell.busy_for(waited)),
        })
    }

    async fn read(&self, bytes_max: usize, timeout: Duration) -> Result<Copied, StateError> {
        let shared = &self.cell.shared;
        let slot = Arc::new(Slot::new());
        let again = self
            .cell
            .protocol
            .push_system(System::Read(Arc::clone(&slot), bytes_max))
            .map_err(|_| StateError::Stopped)?;
        self.cell.owe(again);
        let key = shared.timers().schedule(shared.clock.now() + timeout, Due::Read(Arc::clone(&slot), timeout));
        let reading = Reading { cell: &self.cell, slot, key };
        poll_fn(|cx| reading.slot.poll(cx)).await
    }
}
