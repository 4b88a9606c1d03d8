//! A turn of a version on probation, while its code runs: what it takes to go on without it, should it not return.
//!
//! Its record lies open meanwhile, with its message. Whoever takes it from there has the turn: the thread that runs it,
//! when the code returns, or whoever gives it up, when it hangs. So what a turn does that was given up is nobody's.
//!
//! A plain message, of which there may be a million a second, is packed into the log as its turn begins, where it is kept
//! anyway when that ends well; and the record lies where the thread takes the next message from, under a lock that it
//! takes for that anyway. So from one plain message to the next a probation costs no lock, no copy and no exchange more.

use super::envelope::{Envelope, Kind};
use super::protocol::Activation;
use super::record::{Crash, Record};
use super::turn::{After, Wreck};
use super::{Actor, Cell, Instance};
use crate::lease::{Crashed, Lease, Quiesced};
use crate::ports::Behaviour;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The turn that is open, in a record that lies open.
pub(super) struct Open {
    pub(super) turn: Turn,
    /// Turns of the same activation that ended well before, and are not counted yet.
    pub(super) handled: u64,
    /// Which activation of the cell it is.
    pub(super) activation: u64,
}

/// What it was told.
pub(super) enum Turn {
    /// A copy of its message; `None`: it has none.
    Whole(Option<Envelope>),
    /// It lies packed at the end of the log.
    Packed,
}

/// Of a plain turn, whose record lies open over its end, until the next one begins.
pub(super) struct Lies {
    /// How many random numbers it may draw that are kept.
    pub(super) draws_max: Option<usize>,
    /// When it ended.
    ended_ns: u64,
}

/// Somebody goes on without the turn.
pub(super) struct GivenUp;

impl Instance {
    /// Whether it is recorded.
    pub(super) const fn is_recorded(&self) -> bool {
        self.record.is_some() || self.lies.is_some()
    }

    /// Whether that is its record.
    fn is_its(&self) -> impl FnOnce(&Box<Record>) -> bool + use<> {
        // An instance has one record in its life; compared, and never looked into.
        let outside = self.outside.as_ref().map(Arc::as_ptr);
        move |record| outside.is_some_and(|outside| std::ptr::eq(outside, Arc::as_ptr(&record.outside)))
    }
}

impl Cell {
    /// Runs an instance's code. `None`: the turn was given up meanwhile, and nothing of it may be done.
    #[inline]
    pub(super) fn run<T>(
        &self,
        instance: &mut Instance,
        open: impl FnOnce() -> Open,
        code: impl FnOnce(&mut dyn Behaviour) -> T,
    ) -> Option<T> {
        let Some(mut record) = instance.record.take() else { return Some(code(&mut *instance.behaviour)) };
        record.open = Some(open());
        instance.outside.get_or_insert_with(|| Arc::clone(&record.outside));
        self.protocol.open(record);
        let done = code(&mut *instance.behaviour);
        instance.record = Some(self.take_back(instance)?);
        Some(done)
    }

    /// The record of a turn that is over. `None`: the turn was given up.
    fn take_back(&self, instance: &Instance) -> Option<Box<Record>> {
        let mut record = self.protocol.close(instance.is_its())?;
        record.open = None;
        Some(record)
    }

    /// A plain message of an instance whose record is at hand: from here on it lies open. See [`Self::go_on`].
    #[inline]
    pub(super) fn open(&self, instance: &mut Instance, envelope: &Envelope, (handled, activation): (u64, u64)) {
        let open = Open { turn: Turn::Packed, handled, activation };
        let Some(record) = instance.record.take_if(|record| record.pack(envelope, open)) else { return };
        instance.lies = Some(Lies { draws_max: record.draws_max(), ended_ns: 0 });
        instance.outside.get_or_insert_with(|| Arc::clone(&record.outside));
        self.protocol.open(record);
    }

    /// A turn whose record lies open ended well at that time, and did nothing else.
    #[inline]
    pub(super) const fn ended_plainly(instance: &mut Instance, at_ns: u64) {
        if let Some(lies) = &mut instance.lies {
            lies.ended_ns = at_ns;
        }
    }

    /// A turn whose record lies open came to more than a plain one: it is at hand again.
    pub(super) fn at_hand(&self, instance: &mut Instance) -> Result<(), GivenUp> {
        if instance.lies.take().is_some() {
            let mut record = self.take_back(instance).ok_or(GivenUp)?;
            record.log.unpack();
            instance.record = Some(record);
        }
        Ok(())
    }

    /// After a plain turn whose record lies open: the next message, in whose turn it lies open if that message is
    /// plain, too. `None`: there is none in this batch, or something else comes first. Else the record is at hand.
    #[inline]
    pub(super) fn go_on(
        &self,
        activation: &mut Activation<'_, Actor>,
        handled: u64,
    ) -> Result<Option<Envelope>, GivenUp> {
        let number = activation.number();
        let Some(instance) = activation.instance() else { return Ok(None) };
        let Some(ended_ns) = instance.lies.as_ref().map(|lies| lies.ended_ns) else { return Ok(None) };
        let (is_its, open) = (instance.is_its(), Open { turn: Turn::Packed, handled, activation: number });
        let went = activation.proceed(is_its, |record, next| match record {
            Some(there) => {
                let fits = there.keep_packed(ended_ns);
                let opened = next.is_some_and(|next| fits && there.pack(next, open));
                if opened { Ok(there.draws_max()) } else { Err(record.take()) }
            }
            None => Err(None),
        });
        let (next, lies) = went.ok_or(GivenUp)?;
        if let Some(instance) = activation.instance() {
            match lies {
                Ok(draws_max) => instance.lies = Some(Lies { draws_max, ended_ns }),
                Err(record) => {
                    instance.lies = None;
                    instance.record = record;
                    instance.record.iter_mut().for_each(|record| record.bound());
                }
            }
        }
        Ok(next)
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
        let Open { turn, handled, activation } = record.open.take()?;
        let envelope = match turn {
            Turn::Whole(envelope) => envelope,
            Turn::Packed => record.log.unpack().map(|(tag, body, from)| {
                let from = from.and_then(|from| self.shared.cell(&from));
                let mut envelope = Envelope::new(tag, body, Kind::Tell, from);
                // It was admitted before, by the same gate.
                let _ = self.protocol.look(|_, _, _, gate| gate.admit(&mut envelope));
                envelope
            }),
        };
        self.counts.handled.fetch_add(handled, Relaxed);
        let reason = format!("it did not return from {}", Self::doing(&provider, index));
        record.crashed = Some(Crash::of(self, envelope, reason.clone()));
        let mut wreck = Instance::new(Box::new(Wreck), Arc::clone(&provider));
        wreck.record = Some(record);
        let lease = Lease::of_wreck(outside.owner.clone(), self.shared.clock.now(), reason.clone());
        // Stopped meanwhile, it drops what it panicked on, as any wreck does.
        let (id, other, again) = self.protocol.cut_off(activation, wreck, Arc::clone(&lease)).ok()?;
        other.iter().for_each(|other| other.gives_way(&lease));
        self.tell_suspended(reason.clone());
        self.owe(again);
        Some(Crashed { pause: Quiesced::of_wreck(self, lease, id, provider), reason })
    }
}

impl From<GivenUp> for After {
    fn from(_: GivenUp) -> Self {
        Self::GivenUp
    }
}
