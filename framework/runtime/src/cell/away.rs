//! Turns of an instance in another process: handed over many at a time, and released when they come back.
//!
//! The activation goes on meanwhile without a thread: the cell runs, as the protocol sees it, so nobody pauses it and
//! nobody else runs it. What was handed over stays in the cell, in its order, until its turn is back: whatever becomes
//! of the process, no message is lost, and none is handled a second time once its effects are out.

use super::checkpoint::{Drew, Noted};
use super::effects::Buffer;
use super::envelope::{Envelope, Kind, NO_INDEX};
use super::extras::Ended;
use super::protocol::Activation;
use super::record::Crash;
use super::turn::{After, cause};
use super::{Actor, Cell, Instance};
use crate::dead_letters::DeadReason;
use crate::events::MessageSeen;
use crate::ports::{Call, CallId, Cause, Fault, FaultKind, Waiting, Why};
use crate::remote::{Batch, Done, Given, RemoteTurn, Returned};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use teneral_contract::{AskError, Fingerprint, Tag};

/// A batch on its way.
pub(crate) struct Away {
    /// The first message, which the activation took; the others lie at the front of its batch. `None`: the batch is the
    /// first turn of the instance.
    first: Option<Envelope>,
    /// Why it goes live, then.
    why: Option<Why>,
    handed: Vec<Handed>,
    returned: Option<Returned>,
}

/// A turn that was handed over.
struct Handed {
    waiting: Option<Waiting>,
    given: Given,
}

impl Cell {
    /// Hands a message over with those behind it.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        activation: Activation<'_, Actor>,
        mut batch: Box<dyn Batch>,
        envelope: Envelope,
    ) {
        let mut handed = vec![self.hand(&mut *batch, &envelope)];
        let room = self.room_before_checkpoint();
        let alone = self.existing_extras().is_some_and(|extras| extras.suspects > 0);
        activation.upcoming(|others| {
            for other in others {
                // Whether a timer still fires is known when the turn before it is over.
                if alone || handed.len() >= room || batch.is_full() || matches!(other.kind, Kind::Timer(_)) {
                    break;
                }
                handed.push(self.hand(&mut *batch, other));
            }
        });
        self.send_away(activation, batch, Away { first: Some(envelope), why: None, handed, returned: None });
    }

    /// Has the instance take its first turn.
    pub(super) fn start_away(self: &Arc<Self>, activation: Activation<'_, Actor>, mut batch: Box<dyn Batch>, why: Why) {
        let given = self.given();
        batch.started(why, &self.first_call(), given);
        let handed = vec![Handed { waiting: None, given }];
        self.send_away(activation, batch, Away { first: None, why: Some(why), handed, returned: None });
    }

    fn send_away(self: &Arc<Self>, activation: Activation<'_, Actor>, batch: Box<dyn Batch>, away: Away) {
        {
            let mut extras = self.extras();
            extras.handed = away.handed.len();
            extras.away = Some(Box::new(away));
        }
        // Before it is sent: it may be back before this returns.
        activation.park();
        let cell = Arc::clone(self);
        batch.send(Done::new(move |returned| {
            if let Some(away) = &mut cell.extras().away {
                away.returned = Some(returned);
            }
            cell.shared.executor.schedule(Arc::clone(&cell));
        }));
    }

    fn hand(&self, batch: &mut dyn Batch, envelope: &Envelope) -> Handed {
        let (waiting, given) = (self.waiting(envelope), self.given());
        batch.add(&self.call(envelope, waiting), given);
        Handed { waiting, given }
    }

    fn given(&self) -> Given {
        let numbers_max = self.shared.config.effects_per_turn_max as u64;
        Given {
            now_ns: self.shared.clock.wall_ns(),
            seed: self.shared.random(),
            epoch: self.shared.config.epoch,
            numbers: self.shared.numbers(numbers_max),
            numbers_max,
        }
    }

    /// What came back, if that is why the cell was scheduled.
    pub(super) fn take_away(&self) -> Option<Box<Away>> {
        self.existing_extras().and_then(|mut extras| extras.away.take())
    }

    /// Releases what turns did that are back.
    pub(super) fn back(
        self: &Arc<Self>,
        activation: &mut Activation<'_, Actor>,
        away: Away,
        buffer: &mut Buffer<'_>,
    ) -> After {
        let Away { mut first, why, handed, returned } = away;
        let checkpointed = self.checkpointed();
        let Returned { turns, gone, begun } = returned.unwrap_or_default();
        let mut turns = turns.into_iter();
        let (starts, count) = (first.is_none(), handed.len());
        for (number, handed) in handed.into_iter().enumerate() {
            let envelope = if starts { None } else { first.take().or_else(|| activation.handed()) };
            let Some(turn) = turns.next() else {
                let gone = gone.unwrap_or_else(|| "it came back without some of its turns".to_owned());
                return self.gone(activation, envelope, if begun { count - number } else { 0 }, gone);
            };
            let Some(instance) = activation.instance() else { return After::Next };
            // What it told itself since it began anew was in nobody's hands.
            let from = envelope.as_ref().and_then(|envelope| envelope.from.as_ref());
            let own = starts || from.is_some_and(|from| Arc::ptr_eq(from, self));
            let drew = if turn.drawn.is_empty() { Drew::Nothing } else { Drew::Some };
            let (waiting, given, took) = (handed.waiting, handed.given, turn.took);
            let noted = |envelope| Noted { envelope, why, waiting, given, took, drew };
            let note = |envelope, done: &_, buffer: &_| {
                let kept = checkpointed.as_ref().map(|kept| self.note(kept, &noted(envelope), done, buffer));
                kept.unwrap_or_default();
            };
            let after = match envelope {
                // The first turn, or a cell that was stopped meanwhile and gave out all that waited.
                None if !starts => return After::Next,
                None => {
                    buffer.begin(None);
                    let done = self.play(turn, &handed, buffer);
                    note(None, &done, buffer);
                    self.first_turn_done(instance, done, buffer)
                }
                Some(envelope) => {
                    buffer.begin(envelope.asker().cloned());
                    buffer.draws_for(instance);
                    self.timed(instance, turn.took, buffer);
                    let done = self.play(turn, &handed, buffer);
                    note(Some(&envelope), &done, buffer);
                    self.turn_done(instance, envelope, waiting, done, buffer)
                }
            };
            if !own {
                self.is_no_suspect();
            }
            if !matches!(after, After::Next) {
                return after;
            }
        }
        match gone {
            Some(gone) => self.gone(activation, None, 0, gone),
            None => After::Next,
        }
    }

    /// The instance is gone, with so many messages that it may have died of, this one first: to the host it panicked.
    fn gone(
        self: &Arc<Self>,
        activation: &mut Activation<'_, Actor>,
        envelope: Option<Envelope>,
        suspects: usize,
        why: String,
    ) -> After {
        if self.protocol.is_stopped() {
            if let Some(envelope) = envelope {
                self.shared.lose(envelope, &self.addr, DeadReason::Stopped, AskError::Stopped);
            }
            return After::Next;
        }
        self.lost_its_process();
        let Some(instance) = activation.instance() else { return After::Next };
        self.counts.panics.fetch_add(1, Relaxed);
        let seen = envelope.as_ref().map(|envelope| {
            let name = instance.provider.contract().name(envelope.index).unwrap_or("a message").to_owned();
            MessageSeen { name, tag: envelope.tag(), body_bytes: envelope.body.len() }
        });
        let reason = self.tell_crash(instance, seen, Fault::new(FaultKind::Panic, why));
        if instance.is_somebodys() {
            return After::Wrecked(Crash::of(self, envelope, reason));
        }
        if let Some(envelope) = envelope {
            self.died_with(activation, envelope, suspects, &reason);
        }
        After::Ended(Ended::by_crash(reason))
    }

    /// A process died with so many messages in its hands, this one first. Any of them may be why: the next process gets
    /// them one at a time, and one that it dies with again is not given to a third. None: it had begun none of them.
    fn died_with(&self, activation: &mut Activation<'_, Actor>, envelope: Envelope, count: usize, why: &str) {
        let mut extras = self.extras();
        // Planted: a message is given to one process after the other, whatever it does to them.
        let alone = extras.suspects > 0 && count == 1 && !cfg!(feature = "bug-p33");
        extras.suspects = if alone { extras.suspects - 1 } else { extras.suspects.max(count) };
        drop(extras);
        if alone {
            self.panicked_on(envelope, why);
        } else {
            activation.give_back(envelope);
        }
    }

    fn is_no_suspect(&self) {
        if let Some(mut extras) = self.existing_extras() {
            extras.suspects = extras.suspects.saturating_sub(1);
        }
    }

    /// Does what the turn did, within the bounds that it would have had here.
    fn play(&self, turn: RemoteTurn, handed: &Handed, buffer: &mut Buffer<'_>) -> Result<(), Fault> {
        buffer.taken_at(handed.given.now_ns, turn.drawn);
        let Given { numbers, numbers_max, .. } = handed.given;
        let own = |number: u64| {
            let own = number.checked_sub(numbers).is_some_and(|ahead| ahead < numbers_max);
            own.then_some(number).ok_or_else(|| {
                let text = format!("the turn was given the numbers from {numbers}, and has used {number}");
                Fault::new(FaultKind::Protocol, text)
            })
        };
        for effect in turn.ended? {
            buffer.play(effect, own)?;
        }
        Ok(())
    }

    /// Who waits for the reply to a message.
    pub(super) fn waiting(&self, envelope: &Envelope) -> Option<Waiting> {
        let epoch = self.shared.config.epoch;
        envelope.asker().map(|asker| Waiting {
            call: CallId { epoch, number: asker.number() },
            shape: asker.shape(),
            remaining: Some(asker.deadline().since(self.shared.clock.now())),
        })
    }

    /// A message as the code is told it.
    #[inline]
    pub(super) fn call<'a>(&'a self, envelope: &'a Envelope, waiting: Option<Waiting>) -> Call<'a> {
        Call {
            index: envelope.index,
            tag: envelope.tag(),
            body: &envelope.body,
            cause: cause(&envelope.kind),
            waiting,
            this: &self.addr,
            sender: envelope.from.as_ref().map(|cell| &cell.addr),
            trace_id: [0; 16],
        }
    }

    pub(super) const fn first_call(&self) -> Call<'_> {
        Call {
            index: NO_INDEX,
            tag: Tag { variant: 0, fingerprint: Fingerprint::NONE },
            body: &[],
            cause: Cause::Started,
            waiting: None,
            this: &self.addr,
            sender: None,
            trace_id: [0; 16],
        }
    }
}

impl Instance {
    /// A batch for it, if it lives elsewhere.
    pub(super) fn batch(&mut self) -> Option<Box<dyn Batch>> {
        Some(self.behaviour.remote()?.batch())
    }
}
