//! The activation: one message, one turn, one transaction.
//!
//! Ok releases the turn's effects in order; an error drops them and tells the asker; a panic drops them, poisons the
//! instance and leaves the cell, with its mailbox, to its supervisor. A turn that comes back to a stopped cell has no
//! effects either: its actor is no more, and its name may be another's.

use super::effects::Buffer;
use super::envelope::{Envelope, Kind, NO_INDEX};
use super::extras::Ended;
use super::protocol::{Activation, Life, Room, Work};
use super::slot::Slot;
use super::supervised::reason;
use super::{Actor, Cell, Instance, System};
use crate::config::StateRead;
use crate::dead_letters::{DeadReason, Letter};
use crate::error::StateError;
use crate::events::{CrashReport, MessageSeen, StateSeen, What};
use crate::ports::{Body, Call, CallId, Cause, Fault, FaultKind, Waiting, Why};
use crate::spawn::Watch;
use crate::speaking::Speaker;
use crate::supervision::Exit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use teneral_contract::shape::fnv128;
use teneral_contract::{AskError, Fingerprint, Tag};

/// Whether the instance goes on.
enum After {
    Next,
    Ended(Ended),
}

impl Cell {
    /// Runs the cell until it has nothing to do, or others must be let run.
    pub(crate) fn activate(self: &Arc<Self>, watch: &Watch) {
        let Some(mut activation) = self.protocol.begin() else { return };
        let mut buffer = Buffer::new(self);
        while let Some(work) = activation.next_work() {
            let Some(instance) = activation.instance() else { break };
            let after = match work {
                Work::User(envelope) => {
                    watch.turn(envelope.index);
                    self.turn(instance, envelope, &mut buffer)
                }
                Work::System(message) => {
                    watch.turn(NO_INDEX);
                    self.system(instance, message, &mut buffer)
                }
            };
            if let After::Ended(ended) = after {
                self.counts.handled.fetch_add(buffer.handled, Relaxed);
                self.end(activation, ended);
                return;
            }
        }
        self.counts.handled.fetch_add(buffer.handled, Relaxed);
        self.owe(activation.again());
    }

    #[inline]
    fn turn(self: &Arc<Self>, instance: &mut Instance, envelope: Envelope, buffer: &mut Buffer<'_>) -> After {
        if let Kind::Timer(id) = envelope.kind
            && !self.timer_fires(id)
        {
            return After::Next;
        }
        let epoch = self.shared.config.epoch;
        let asker = envelope.asker();
        let waiting = asker.map(|asker| Waiting {
            call: CallId { epoch, number: asker.number() },
            shape: asker.shape(),
            remaining: Some(asker.deadline().since(self.shared.clock.now())),
        });
        buffer.begin(asker.cloned());
        let call = Call {
            index: envelope.index,
            tag: envelope.tag(),
            body: &envelope.body,
            cause: cause(&envelope.kind),
            waiting,
            this: &self.addr,
            sender: envelope.from.as_ref().map(|cell| &cell.addr),
            trace_id: [0; 16],
        };
        let done = guarded(|| instance.behaviour.handle(&call, buffer));
        match done {
            Ok(()) => {
                if !buffer.effects.is_empty() || buffer.asker.is_some() {
                    if self.protocol.is_stopped() {
                        self.shared.lose(envelope, &self.addr, DeadReason::Stopped, AskError::Stopped);
                        return After::Next;
                    }
                    self.release(buffer);
                }
                buffer.handled += 1;
                buffer.stop.take().map_or(After::Next, |reason| After::Ended(Ended::by_itself(reason)))
            }
            Err(fault) => self.failed(instance, envelope, fault),
        }
    }

    /// A turn ended in an error or a panic: its effects are gone with the next [`Buffer::begin`].
    fn failed(self: &Arc<Self>, instance: &Instance, envelope: Envelope, fault: Fault) -> After {
        let panicked = fault.kind == FaultKind::Panic;
        let count = if panicked { &self.counts.panics } else { &self.counts.failed };
        count.fetch_add(1, Relaxed);
        let name = instance.provider.contract().name(envelope.index).unwrap_or("started").to_owned();
        let seen = MessageSeen { name: name.clone(), tag: envelope.tag(), body_bytes: envelope.body.len() };
        match (envelope.asker(), dead_reason(&fault)) {
            (Some(asker), reason) => {
                asker.refuse(ask_error(&fault, &name));
                if let Some(reason) = reason.filter(|_| panicked) {
                    self.bury(&envelope, reason);
                }
            }
            (None, Some(reason)) => self.bury(&envelope, reason),
            (None, None) => {
                let Speaker { addr, version, generation } = self.speaker();
                let (kind, generation) = (addr.kind(), generation.0);
                tracing::warn!(actor = %addr, kind, %version, generation, handling = name, %fault, "a turn failed");
            }
        }
        if panicked { self.crashed(instance, Some(seen), fault) } else { After::Next }
    }

    fn bury(&self, envelope: &Envelope, reason: DeadReason) {
        let from = envelope.from.as_ref().map(|cell| cell.addr.clone());
        let (to, tag, body_bytes) = (self.addr.clone(), envelope.tag(), envelope.body.len());
        let again = matches!(envelope.kind, Kind::Tell | Kind::Ask(_));
        let body = again.then(|| envelope.body.clone());
        self.shared.dead_letters.record(Letter { to, from, tag, body_bytes, body, reason });
    }

    fn crashed(&self, instance: &Instance, message: Option<MessageSeen>, fault: Fault) -> After {
        let reason = fault.text.clone();
        let provider = &instance.provider;
        let generation = self.protocol.look(|_, _, _, gate| gate.generation);
        let snapshot = self.existing_extras().and_then(|extras| extras.snapshot.clone());
        let last_state = snapshot.map(|snapshot| StateSeen {
            schema: snapshot.schema,
            state_bytes: snapshot.bytes.len(),
            hash: fnv128(&snapshot.bytes),
        });
        self.shared.events.emit(What::Failed(Arc::new(CrashReport {
            addr: self.addr.clone(),
            ancestors: self.child.get().map(|child| self.shared.supervision().ancestors(*child)).unwrap_or_default(),
            version: provider.version().clone(),
            digest: provider.digest(),
            generation,
            message,
            fault,
            last_state,
        })));
        After::Ended(Ended { exit: Exit::Abnormal, reason })
    }

    fn system(self: &Arc<Self>, instance: &mut Instance, message: System, buffer: &mut Buffer<'_>) -> After {
        match message {
            System::Start(why) => return self.first_turn(instance, why, buffer),
            // Whoever has given up wants nothing to be saved.
            System::Read(slot) if !slot.is_waiting() => {}
            System::Read(slot) => self.read_state(instance, &slot),
            System::Flush => self.flush(),
            System::End(why) => {
                let told = self.existing_extras().and_then(|extras| extras.stop_reason.clone());
                let reason = told.unwrap_or_else(|| reason(why));
                return After::Ended(Ended { exit: Exit::Shutdown, reason });
            }
        }
        After::Next
    }

    fn first_turn(self: &Arc<Self>, instance: &mut Instance, why: Why, buffer: &mut Buffer<'_>) -> After {
        buffer.begin(None);
        let call = Call {
            index: NO_INDEX,
            tag: Tag { variant: 0, fingerprint: Fingerprint::NONE },
            body: &[],
            cause: Cause::Started,
            waiting: None,
            this: &self.addr,
            sender: None,
            trace_id: [0; 16],
        };
        match guarded(|| instance.behaviour.started(why, &call, buffer)) {
            Ok(()) if self.protocol.is_stopped() => After::Next,
            Ok(()) => {
                let own: Vec<_> = buffer.take_own_tells().collect();
                self.release(buffer);
                for (tag, body) in own.into_iter().rev() {
                    self.put_own(Envelope::new(tag, body, Kind::Tell, Some(Arc::clone(self))), Room::First);
                }
                buffer.stop.take().map_or(After::Next, |reason| After::Ended(Ended::by_itself(reason)))
            }
            Err(fault) if fault.kind == FaultKind::Panic => {
                self.counts.panics.fetch_add(1, Relaxed);
                self.crashed(instance, None, fault)
            }
            // It could not do its first effects: whatever it waits for will never come, so it begins anew.
            Err(fault) => {
                self.counts.failed.fetch_add(1, Relaxed);
                self.crashed(instance, None, fault)
            }
        }
    }

    fn read_state(&self, instance: &Instance, slot: &Slot<Result<StateRead, StateError>>) {
        let bytes_max = self.shared.config.state_bytes_max;
        // It only reads: what it fails with, a panic too, leaves the instance as it was.
        let saved = guarded(|| instance.behaviour.save(bytes_max));
        let read = saved.map(|bytes| {
            let provider = &instance.provider;
            StateRead { version: provider.version().clone(), schema: provider.schema(), bytes }
        });
        drop(slot.fill(read.map_err(StateError::Save)));
    }

    /// The instance is gone: the cell keeps its mailbox, and its supervisor decides.
    fn end(self: &Arc<Self>, activation: Activation<'_, Actor>, ended: Ended) {
        let (exit, why) = (ended.exit, ended.reason.clone());
        self.extras().ended = Some(ended);
        let (instance, holder) = activation.suspend();
        if exit == Exit::Abnormal {
            self.tell_suspended(why);
        }
        if let Some(instance) = instance {
            self.shared.executor.dropper.drop(self, instance);
        }
        if let Some(lease) = holder {
            lease.lose_to_stop(self);
        }
        self.tell_exit(exit);
    }

    /// A panic came through an activation, past the border around the actor's code: from what else had to be run there,
    /// a destructor or a holder's callback. If it cost the cell its instance, its supervisor must hear of it.
    pub(crate) fn broke(self: &Arc<Self>) {
        let Speaker { addr, version, generation } = self.speaker();
        let (kind, generation) = (addr.kind(), generation.0);
        tracing::error!(actor = %addr, kind, %version, generation, "a panic beside its turns");
        if self.protocol.look(|_, life, _, _| life == Life::Suspended) {
            let reason = "a panic beside its turns".to_owned();
            self.extras().ended.get_or_insert(Ended { exit: Exit::Abnormal, reason });
            self.tell_exit(Exit::Abnormal);
        }
    }

    pub(crate) fn tell_suspended(&self, why: String) {
        let version = || self.provider().version().clone();
        self.shared.events.tell(|| What::Suspended { addr: self.addr.clone(), version: version(), why });
    }

    pub(super) fn tell_exit(&self, exit: Exit) {
        if let Some(child) = self.child.get() {
            self.shared.supervision().exited(*child, exit);
        }
    }
}

impl Ended {
    fn by_itself(reason: String) -> Self {
        Self { exit: Exit::of(&reason), reason }
    }
}

#[inline]
fn cause(kind: &Kind) -> Cause<'_> {
    match kind {
        Kind::Tell | Kind::Ask(_) => Cause::Message,
        Kind::Answer(answer) => {
            Cause::Answer(answer.as_ref().as_ref().map(|reply| Body { shape: reply.shape, bytes: &reply.body }))
        }
        Kind::Timer(_) => Cause::Timer,
        Kind::Undelivered(text) => Cause::Undelivered(text),
    }
}

/// A panic that the code's own border did not stop is one all the same.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Fault::new(FaultKind::Panic, text.unwrap_or_else(|| "a panic without a text".to_owned())))
    })
}

fn ask_error(fault: &Fault, message: &str) -> AskError {
    match fault.kind {
        FaultKind::Panic => AskError::Panicked(fault.text.clone()),
        FaultKind::Decode => AskError::Decode(fault.text.clone()),
        FaultKind::UnknownMessage => AskError::UnknownMessage(message.to_owned()),
        FaultKind::Denied => AskError::Denied(fault.text.clone()),
        FaultKind::Schema | FaultKind::Failed | FaultKind::Limit | FaultKind::Protocol => {
            AskError::Failed(fault.text.clone())
        }
    }
}

/// What a message that failed is a dead letter with; `None`: it was handled, with an error.
fn dead_reason(fault: &Fault) -> Option<DeadReason> {
    match fault.kind {
        FaultKind::Panic => Some(DeadReason::Panicked(fault.text.clone())),
        FaultKind::Decode => Some(DeadReason::Decode(fault.text.clone())),
        FaultKind::UnknownMessage => Some(DeadReason::UnknownMessage),
        FaultKind::Failed | FaultKind::Schema | FaultKind::Limit | FaultKind::Denied | FaultKind::Protocol => None,
    }
}
