//! What the runtime's timers fire, and what is done then.

use crate::cell::Cell;
use crate::cell::calls::OutsideCall;
use crate::cell::slot::Slot;
use crate::config::Copied;
use crate::error::StateError;
use crate::lease::Lease;
use crate::ports::TimerId;
use crate::runtime::Shared;
use crate::supervision::Overdue;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::AskError;

/// What the timers fire.
pub(crate) enum Due {
    /// The deadline of an ask from outside.
    Ask(Arc<OutsideCall>),
    /// The deadline of an ask by an actor.
    Answer(Arc<Cell>, u64),
    /// A timer of an actor.
    Timer(Arc<Cell>, TimerId),
    /// The deadline of an outbox.
    Outbox(Arc<Cell>),
    /// The deadline of a read.
    Read(Arc<Slot<Result<Copied, StateError>>>, Duration),
    /// The deadline of whoever waits for the end of a runtime's instances.
    Dropped(Arc<Slot<()>>),
    /// The deadline of a stop.
    CutOff(Arc<Cell>),
    /// The deadline of a pause.
    Lease(Arc<Cell>, Arc<Lease>),
    /// A wait of the supervisor.
    Overdue(Overdue),
}

impl From<Overdue> for Due {
    fn from(overdue: Overdue) -> Self {
        Self::Overdue(overdue)
    }
}

impl Shared {
    /// Something is due.
    pub(crate) fn due(&self, due: Due) {
        match due {
            Due::Ask(call) => {
                if call.slot.fill(Err(AskError::Timeout)).is_ok() {
                    self.forget_call(call.number);
                }
            }
            Due::Answer(cell, number) => {
                if cell.answered(number, Err(AskError::Timeout)).is_ok() {
                    self.forget_call(number);
                }
            }
            Due::Timer(cell, id) => cell.timer_due(id),
            Due::Outbox(cell) => cell.outbox_due(),
            Due::Read(slot, timeout) => drop(slot.fill(Err(StateError::Timeout(timeout)))),
            Due::Dropped(slot) => drop(slot.fill(())),
            Due::CutOff(cell) => cell.cut_off(),
            Due::Lease(cell, lease) => lease.overdue(&cell),
            Due::Overdue(overdue) => self.supervision().overdue(overdue),
        }
    }
}
