//! A turn of a version on probation, while its code runs: what it takes to go on without it, should it not return.
//!
//! Its record lies open meanwhile, with its message. Whoever takes it from there has the turn: the thread that runs it,
//! when the code returns, or whoever gives it up, when it hangs. So what a turn does that was given up is nobody's.
//!
//! A plain message, of which there may be a million a second, is packed into the log as its turn begins, where it is
//! kept anyway when that ends well; and the record lies where the thread takes the next message from, under a lock that
//! it takes for that anyway. So from one plain message to the next a probation costs no lock, no copy and no exchange
//! more.

use super::effects::Buffer;
use super::envelope::{Envelope, Kind};
use super::protocol::{Activation, Taken};
use super::record::{Crash, Outside, Record};
use super::turn::After;
use super::wreck::Wreck;
use super::{Actor, Cell, Instance};
use crate::lease::{Crashed, Lease};
use crate::ports::Behaviour;
use crate::spawn::Watch;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use teneral_contract::Addr;

/// The turn that is open, in a record that lies open.
#[derive(Clone, Copy, Default)]
pub(super) struct Open {
    /// Turns of the same activation that ended well before, and are not counted yet.
    pub(super) handled: u64,
    /// Which activation of the cell it is.
    pub(super) activation: u64,
}

/// Of a plain turn, whose record lies open over its end, until the next one begins.
pub(super) struct Lies {
    /// How many random numbers it may draw that are kept.
    pub(super) draws_max: Option<usize>,
    /// When it ended.
    pub(super) ended_ns: u64,
}

impl Instance {
    /// Whether it is recorded.
    pub(super) const fn is_recorded(&self) -> bool {
        self.record.is_some() || self.lies.is_some()
    }

    /// What is seen of its record, which stays where it is as long as the instance.
    pub(super) fn recorded_by(&self) -> *const Outside {
        let at_hand = || self.record.as_ref().map(|record| Arc::as_ptr(&record.outside));
        self.outside.as_ref().map(Arc::as_ptr).or_else(at_hand).unwrap_or(ptr::null())
    }
}

impl Cell {
    /// Runs an instance's code, for the `message` that a copy is made of where it is recorded. `None`: the turn was
    /// given up meanwhile, and nothing of it may be done.
    #[inline]
    pub(super) fn run<T>(
        &self,
        instance: &mut Instance,
        (open, message): (Open, impl FnOnce() -> Option<Envelope>),
        code: impl FnOnce(&mut dyn Behaviour) -> T,
    ) -> Option<T> {
        let Some(mut record) = instance.record.take() else { return Some(code(&mut *instance.behaviour)) };
        (record.open, record.message) = (open, message());
        instance.outside.get_or_insert_with(|| Arc::clone(&record.outside));
        self.protocol.open(record);
        let done = code(&mut *instance.behaviour);
        instance.record = Some(self.take_back(open.activation)?);
        Some(done)
    }

    /// The record of a turn of that activation that is over. `None`: the turn was given up. What lies open then may be
    /// of whoever was made in its place, on the same probation.
    fn take_back(&self, activation: u64) -> Option<Box<Record>> {
        let mut record = self.protocol.close(|record| record.is_of(activation))?;
        record.message = None;
        Some(record)
    }

    /// A plain message of an instance whose record is at hand: from here on it lies open. See [`Self::go_on`].
    #[inline(never)]
    pub(super) fn open(&self, instance: &mut Instance, envelope: &Envelope, open: Open) {
        let Some(record) = instance.record.take_if(|record| record.pack(envelope, open)) else { return };
        instance.lies = Some(Lies { draws_max: record.draws_max(), ended_ns: 0 });
        instance.outside.get_or_insert_with(|| Arc::clone(&record.outside));
        self.protocol.open(record);
    }

    /// A turn whose record lies open came to more than a plain one: it is at hand again.
    pub(super) fn at_hand(&self, instance: &mut Instance, activation: u64) -> Result<(), Taken> {
        if instance.lies.take().is_some() {
            let mut record = self.take_back(activation).ok_or(Taken)?;
            record.log.unopen();
            instance.record = Some(record);
        }
        Ok(())
    }

    /// After a plain turn whose record lies open: takes the turns of the plain messages behind it, up to the end of the
    /// batch or the first that is something else. Then the record is at hand, or [`After::GivenUp`].
    #[inline(never)]
    pub(super) fn go_on(
        self: &Arc<Self>,
        activation: &mut Activation<'_, Actor>,
        buffer: &mut Buffer<'_>,
        (watch, timed): (&Watch, bool),
    ) -> After {
        let number = activation.number();
        loop {
            let open = Open { handled: buffer.handled, activation: number };
            let Some(instance) = activation.instance() else { return After::Next };
            let Some(ended_ns) = instance.lies.as_ref().map(|lies| lies.ended_ns) else { return After::Next };
            let (mut draws_max, mut over) = (None, None);
            let next = activation.proceed(
                |record| record.is_of(number),
                |record, next| {
                    let Some(there) = record else { return };
                    // Before anybody can give it up: whoever does that finds the word of what lies open.
                    next.iter().for_each(|next| watch.turn(next.index));
                    if there.keep_packed(ended_ns) && next.is_some_and(|next| there.pack(next, open)) {
                        draws_max = there.draws_max();
                    } else {
                        over = record.take();
                    }
                },
            );
            let next = match next {
                Ok(next) => next,
                Err(Taken) => return After::GivenUp,
            };
            let Some(instance) = activation.instance() else { return After::Next };
            match over {
                None => instance.lies = Some(Lies { draws_max, ended_ns }),
                Some(mut record) => {
                    record.bound();
                    (instance.lies, instance.record) = (None, Some(record));
                }
            }
            let Some(envelope) = next else { return After::Next };
            let timed = timed || buffer.has_slow();
            match self.turn((instance, number), envelope, buffer, timed) {
                After::Next => {}
                after => return after,
            }
        }
    }

    /// Counts the turns before the one that lies open in the record, which is gone on without: its activation does not.
    pub(crate) fn count_before(&self, record: &Record) {
        self.counts.handled.fetch_add(record.open.handled, Relaxed);
    }

    /// Goes on without the turn of a version on probation that is said to hang, as if it had panicked: the actor is
    /// paused, with the message at hand. `None`: no such turn hangs, or the actor is stopped.
    pub(crate) fn give_turn_up(self: &Arc<Self>) -> Option<Crashed> {
        let outside = self.existing_extras()?.recording.clone()?;
        let provider = self.provider();
        let watches = &self.shared.executor.watches;
        let index = watches.hanging(self)?;
        // If that one returns just now and another turn has begun, it is that one: there is nothing wrong with it, but
        // whoever wants the actor back does not want it either.
        let mut record = self.protocol.close(|record| Arc::ptr_eq(&record.outside, &outside))?;
        watches.give_up(self);
        let activation = record.open.activation;
        let packed = |(tag, body, from): (_, _, Option<Addr>)| {
            let from = from.and_then(|from| self.shared.cell(&from));
            let mut envelope = Envelope::new(tag, body, Kind::Tell, from);
            // It was admitted before, by the same gate.
            let _ = self.protocol.look(|_, _, _, gate| gate.admit(&mut envelope));
            envelope
        };
        let envelope = record.log.unpack().map(packed).or_else(|| record.message.take());
        self.count_before(&record);
        let reason = format!("it did not return from {}", Self::doing(&provider, index));
        record.crashed = Some(Crash::of(self, envelope, reason.clone()));
        let mut wreck = Instance::new(Box::new(Wreck), Arc::clone(&provider));
        wreck.record = Some(record);
        let lease = Lease::of_wreck(outside.owner.clone(), self.shared.clock.now(), reason.clone());
        // Stopped meanwhile, it drops what it panicked on, as any wreck does.
        let paused = self.protocol.cut_off(activation, wreck, Arc::clone(&lease)).ok()?;
        Some(self.is_held(paused, lease, provider, reason))
    }
}
