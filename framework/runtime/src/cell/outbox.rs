//! The outbox: released effects that found a full target.
//!
//! While it is not empty the cell takes no user message (it is *corked*), but it can be paused and answers the system
//! lane. What waits too long is a dead letter, and its sender is told. So two full actors that tell each other get out
//! of each other's way in the end.

use super::affairs::Mending;
use super::calls::ReplyTo;
use super::envelope::Envelope;
use super::protocol::Refused;
use super::{Cell, System, Ticket};
use crate::clock::Moment;
use crate::dead_letters::DeadReason;
use crate::runtime::Due;
use crate::timer::TimerKey;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use teneral_contract::{Addr, AskError};

#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) waiting: VecDeque<Waiting>,
    deadline: Option<TimerKey>,
}

/// An effect that waits for room.
pub(crate) struct Waiting {
    pub(crate) to: Addr,
    pub(crate) envelope: Envelope,
    until: Moment,
    /// Which one it is of those that were said while the actor was recorded; 0: none.
    named: u32,
    /// Its place in whose line. A ticket means nothing to a later actor of that name.
    place: Option<(Weak<Cell>, Ticket)>,
}

/// Leaves the line, having sent nothing.
fn leave(place: Option<(Weak<Cell>, Ticket)>) {
    if let Some((target, ticket)) = place.and_then(|(target, ticket)| Some((target.upgrade()?, ticket))) {
        target.protocol.forget(ticket);
    }
}

/// Woken when a target may have room.
struct Flusher(Arc<Cell>);

impl Wake for Flusher {
    fn wake(self: Arc<Self>) {
        if let Ok(again) = self.0.protocol.push_system(System::Flush) {
            self.0.owe(again);
        }
    }
}

impl Cell {
    /// Whether something for that target waits already: order is kept.
    pub(super) fn must_queue(&self, to: &Addr) -> bool {
        self.existing_extras().is_some_and(|extras| extras.outbox.waiting.iter().any(|waiting| waiting.to == *to))
    }

    /// Puts an effect into the outbox. Only called by the activation, after a turn.
    pub(super) fn queue(self: &Arc<Self>, to: Addr, envelope: Envelope, named: u32) {
        let until = self.shared.clock.now() + self.shared.config.outbox_timeout;
        let mut extras = self.extras();
        // Turns that were taken elsewhere are all over when the first of their effects finds no room.
        let effects_max = self.shared.config.outbox_effects_max.saturating_mul(extras.handed.max(1));
        if extras.outbox.waiting.len() >= effects_max {
            drop(extras);
            self.give_up(&to, envelope, named);
            return;
        }
        // Behind another one for the same target it waits for that one's turn in the line.
        let ahead = !extras.outbox.waiting.iter().any(|waiting| waiting.to == to);
        extras.outbox.waiting.push_back(Waiting { to, envelope, until, named, place: None });
        let first = extras.outbox.waiting.len() == 1;
        drop(extras);
        // After the insertion: a stop that comes later finds it.
        if self.protocol.is_stopped() {
            self.abandon_outbox();
            return;
        }
        if first {
            self.protocol.cork();
            let key = self.shared.timers().schedule(until, Due::Outbox(Arc::clone(self)));
            self.extras().outbox.deadline = Some(key);
        }
        if ahead {
            // The target may have room by now, and nobody would say so: stand in its line.
            Arc::new(Flusher(Arc::clone(self))).wake();
        }
    }

    /// The outbox's deadline passed.
    pub(crate) fn outbox_due(self: &Arc<Self>) {
        self.extras().outbox.deadline = None;
        Arc::new(Flusher(Arc::clone(self))).wake();
    }

    /// Sends what has room now; the rest stands in line at its targets. Only called by the activation.
    pub(super) fn flush(self: &Arc<Self>) {
        let Some(mut waiting) = self.existing_extras().map(|mut extras| std::mem::take(&mut extras.outbox.waiting))
        else {
            return;
        };
        let now = self.shared.clock.now();
        let mut still: VecDeque<Waiting> = VecDeque::new();
        while let Some(next) = waiting.pop_front() {
            let blocked = still.iter().any(|other| other.to == next.to);
            if next.until <= now {
                leave(next.place);
                self.give_up(&next.to, next.envelope, next.named);
            } else if blocked {
                still.push_back(next);
            } else if let Some(next) = self.try_waiting(next) {
                still.push_back(next);
            }
        }
        let next_deadline = still.iter().map(|waiting| waiting.until).min();
        let mut extras = self.extras();
        extras.outbox.waiting = still;
        let old_key = extras.outbox.deadline.take();
        drop(extras);
        if let Some(key) = old_key {
            self.shared.timers().cancel(key);
        }
        match next_deadline {
            Some(at) => {
                let key = self.shared.timers().schedule(at, Due::Outbox(Arc::clone(self)));
                self.extras().outbox.deadline = Some(key);
            }
            // The activation that runs this goes on with the user lane by itself.
            None => drop(self.protocol.uncork()),
        }
        if self.protocol.is_stopped() {
            self.abandon_outbox();
        }
    }

    fn try_waiting(self: &Arc<Self>, next: Waiting) -> Option<Waiting> {
        let Waiting { to, envelope, until, named, place } = next;
        let Some(target) = self.shared.cell(&to) else {
            self.shared.refuse(Refused::Closed(envelope), &to);
            return None;
        };
        let kept = place.filter(|(whose, _)| std::ptr::eq(whose.as_ptr(), Arc::as_ptr(&target)));
        let mut ticket = kept.map(|(_, ticket)| ticket);
        let waker = Waker::from(Arc::new(Flusher(Arc::clone(self))));
        let admit = |gate: &super::Gate, envelope: &mut Envelope| gate.admit(envelope);
        let refused = match target.protocol.push_or_wait(envelope, &mut ticket, &waker, admit) {
            Ok(again) => {
                target.owe(again);
                return None;
            }
            Err(refused) => refused,
        };
        let place = ticket.map(|ticket| (Arc::downgrade(&target), ticket));
        if let Refused::Full(envelope) = refused {
            return Some(Waiting { to, envelope, until, named, place });
        }
        leave(place);
        self.shared.refuse(refused, &to);
        None
    }

    /// An effect that found no room in its time.
    fn give_up(self: &Arc<Self>, to: &Addr, envelope: Envelope, named: u32) {
        let text = format!("{to} had no room for a message within {:?}", self.shared.config.outbox_timeout);
        let told = envelope.asker().is_none();
        self.shared.refuse(Refused::Full(envelope), to);
        if told {
            self.undelivered(text, named);
        }
    }

    /// Takes out of its outbox what the version before does not say, too, under the lock under which the instance is
    /// replaced: no activation has it then. [`Cell::unsay`] must follow.
    pub(super) fn unsaid(outbox: &mut Outbox, mending: &Mending) -> VecDeque<Waiting> {
        let (stays, unsaid): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut outbox.waiting).into_iter().partition(|waiting| {
                let asked = waiting.envelope.asker().map(ReplyTo::number);
                asked.map_or_else(|| mending.says(waiting.named), |number| mending.asks(number))
            });
        outbox.waiting = stays;
        unsaid
    }

    /// That never leaves, and the actor goes on when nothing else waits for room.
    pub(super) fn unsay(self: &Arc<Self>, unsaid: VecDeque<Waiting>) {
        if unsaid.is_empty() {
            return;
        }
        for Waiting { to, envelope, place, .. } in unsaid {
            leave(place);
            self.shared.lose(envelope, &to, DeadReason::RolledBack, AskError::NoReply);
        }
        Arc::new(Flusher(Arc::clone(self))).wake();
    }

    /// What was said so far is another instance's from here on.
    pub(crate) fn unname_outbox(&self) {
        if let Some(mut extras) = self.existing_extras() {
            extras.outbox.waiting.iter_mut().for_each(|waiting| waiting.named = 0);
        }
    }

    /// The cell is stopped: what waits in its outbox was released, and is lost all the same.
    pub(super) fn abandon_outbox(&self) {
        let Some(mut extras) = self.existing_extras() else { return };
        let Outbox { waiting, deadline } = std::mem::take(&mut extras.outbox);
        drop(extras);
        if let Some(key) = deadline {
            self.shared.timers().cancel(key);
        }
        for waiting in waiting {
            leave(waiting.place);
            self.shared.refuse(Refused::Full(waiting.envelope), &waiting.to);
        }
    }
}
