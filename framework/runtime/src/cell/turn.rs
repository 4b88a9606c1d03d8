//! The activation: one message, one turn, one transaction.
//!
//! Ok releases the turn's effects in order; an error drops them and tells the asker; a panic drops them, poisons the
//! instance and leaves the cell, with its mailbox, to its supervisor. A turn that comes back to a stopped cell has no
//! effects either: its actor is no more, and its name may be another's.

use super::effects::Buffer;
use super::envelope::{Envelope, Kind, NO_INDEX, SAVING};
use super::extras::Ended;
use super::in_turn::Open;
use super::protocol::{Activation, Life, Room, Work};
use super::record::{Crash, Record};
use super::supervised::reason;
use super::{Actor, Cell, Instance, System};
use crate::dead_letters::{DeadReason, Letter};
use crate::events::{CrashReport, MessageSeen, StateSeen, What};
use crate::lease::Lease;
use crate::ports::guarded;
use crate::ports::{Body, Cause, Fault, FaultKind, Waiting, Why};
use crate::spawn::Watch;
use crate::speaking::Speaker;
use crate::supervision::Exit;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use teneral_contract::AskError;
use teneral_contract::shape::fnv128;

/// Whether the instance goes on.
pub(super) enum After {
    Next,
    Ended(Ended),
    /// It failed in this turn, and somebody else than its supervisor may decide what comes next.
    Wrecked(Crash),
    /// Somebody goes on without this turn: the cell is theirs, and nothing of what it did happens.
    GivenUp,
}

impl Cell {
    /// Runs the cell until it has nothing to do, or others must be let run.
    pub(crate) fn activate(self: &Arc<Self>, watch: &Watch) {
        let Some(mut activation) = self.protocol.begin() else { return };
        let mut buffer = Buffer::new(self);
        if let Some(away) = self.take_away() {
            let after = self.back(&mut activation, *away, &mut buffer);
            if !matches!(after, After::Next) {
                return self.ends(activation, after, &buffer);
            }
        }
        let (timed, mut first) = (self.counts.times_next(), true);
        let number = activation.number();
        loop {
            if activation.instance().is_some_and(|instance| instance.lies.is_some()) {
                let after = self.go_on(&mut activation, &mut buffer, (watch, timed));
                if !matches!(after, After::Next) {
                    return self.ends(activation, after, &buffer);
                }
            }
            let Some(work) = activation.next_work() else { break };
            let work = match work {
                Work::System(System::Read(slot, bytes_max)) => {
                    watch.turn(SAVING);
                    if let Some(instance) = activation.instance() {
                        self.go_on_in_place(instance);
                    }
                    match self.read_state(&mut activation, buffer.handled, (&slot, bytes_max)) {
                        After::Next => continue,
                        after => return self.ends(activation, after, &buffer),
                    }
                }
                work => work,
            };
            let Some(instance) = activation.instance() else { break };
            let remote = if instance.is_remote { instance.batch() } else { None };
            let after = match (work, remote) {
                (Work::User(envelope), Some(batch)) => {
                    if !self.is_due(&envelope) {
                        continue;
                    }
                    self.count(&buffer);
                    self.checkpoint(instance, watch);
                    return self.hand_over(activation, batch, envelope);
                }
                (Work::System(System::Start(why)), Some(batch)) => {
                    self.count(&buffer);
                    return self.start_away(activation, batch, why);
                }
                (Work::User(envelope), None) => {
                    watch.turn(envelope.index);
                    // Behind a slow turn all are timed: what reading the clock costs is nothing then, and what is slow
                    // has a full mailbox, of which one turn in 64 would be looked at.
                    let timed = timed || buffer.has_slow() || (first && instance.is_recorded());
                    first = false;
                    self.turn((instance, number), envelope, &mut buffer, timed)
                }
                (Work::System(message), _) => {
                    watch.turn(NO_INDEX);
                    self.system((instance, number), message, &mut buffer)
                }
            };
            if !matches!(after, After::Next) {
                return self.ends(activation, after, &buffer);
            }
        }
        self.count(&buffer);
        self.owe(activation.again());
    }

    fn ends(self: &Arc<Self>, activation: Activation<'_, Actor>, after: After, buffer: &Buffer<'_>) {
        if let After::GivenUp = after {
            return activation.abandon().into_iter().for_each(|instance| self.discard(instance));
        }
        self.count(buffer);
        match after {
            After::Next | After::GivenUp => {}
            After::Ended(ended) => self.end(activation, ended),
            After::Wrecked(crash) => self.wrecked(activation, crash),
        }
    }

    fn count(&self, buffer: &Buffer<'_>) {
        self.counts.handled.fetch_add(buffer.handled, Relaxed);
        self.counts.timed(buffer.timed);
    }

    /// Whether a message is still wanted when its turn comes.
    #[inline]
    fn is_due(&self, envelope: &Envelope) -> bool {
        !matches!(envelope.kind, Kind::Timer(id) if !self.timer_fires(id))
    }

    #[expect(clippy::inline_always, reason = "it has two callers, and a call would copy the message once more")]
    #[inline(always)]
    pub(super) fn turn(
        self: &Arc<Self>,
        (instance, activation): (&mut Instance, u64),
        envelope: Envelope,
        buffer: &mut Buffer<'_>,
        timed: bool,
    ) -> After {
        if !self.is_due(&envelope) {
            return After::Next;
        }
        let waiting = self.waiting(&envelope);
        let open = Open { handled: buffer.handled, activation };
        if instance.record.is_some() {
            self.open(instance, &envelope, open);
        }
        buffer.begin(envelope.asker().cloned());
        buffer.draws_for(instance);
        let began = timed.then(|| self.shared.clock.now());
        let call = self.call(&envelope, waiting);
        let open = (open, || Some(envelope.again()));
        let done = self.run(instance, open, |behaviour| guarded(|| behaviour.handle(&call, buffer)));
        let Some(done) = done else { return After::GivenUp };
        if let Some(began) = began {
            self.timed(instance, self.shared.clock.now().since(began), buffer);
        }
        if let Some(lies) = &mut instance.lies {
            if done.is_ok() && buffer.is_plain(lies.draws_max) {
                buffer.handled += 1;
                lies.ended_ns = buffer.about_now();
                return After::Next;
            }
            if self.at_hand(instance, activation).is_err() {
                return After::GivenUp;
            }
        }
        self.turn_done(instance, envelope, waiting, done, buffer)
    }

    /// A turn is over: what it did happens, or nothing of it.
    #[inline]
    pub(super) fn turn_done(
        self: &Arc<Self>,
        instance: &mut Instance,
        envelope: Envelope,
        waiting: Option<Waiting>,
        done: Result<(), Fault>,
        buffer: &mut Buffer<'_>,
    ) -> After {
        match done {
            Ok(()) => {
                let said = instance.record.as_mut().map(|record| record.say(self, &envelope.kind, buffer));
                if !buffer.effects.is_empty() || buffer.asker.is_some() {
                    if self.protocol.is_stopped() {
                        self.shared.lose(envelope, &self.addr, DeadReason::Stopped, AskError::Stopped);
                        return After::Next;
                    }
                    self.release(buffer);
                }
                buffer.handled += 1;
                if let Some(said) = said
                    && let Some(record) = instance.record.as_mut()
                {
                    if record.keeping {
                        record.keep(self, envelope, (waiting, said, None), buffer);
                    } else {
                        record.learn(&envelope);
                    }
                }
                buffer.stop.take().map_or(After::Next, |reason| After::Ended(Ended::by_itself(reason)))
            }
            Err(fault) if fault.kind == FaultKind::Panic => self.panicked(instance, envelope, fault),
            Err(fault) => {
                let letter = self.failed(instance, &envelope, &fault);
                // An accepted message all the same: the version before may do better.
                if let Some(record) = instance.record.as_mut().filter(|record| record.keeping) {
                    record.keep(self, envelope, (waiting, Vec::new(), letter), buffer);
                }
                After::Next
            }
        }
    }

    pub(super) fn timed(&self, instance: &Instance, took: Duration, buffer: &mut Buffer<'_>) {
        let record = instance.record.as_ref().map(|record| &record.outside);
        let slow_over = record.or(instance.outside.as_ref()).and_then(|outside| outside.slow_over);
        let slow = u64::from(slow_over.is_some_and(|slow_over| took > slow_over));
        buffer.timed = (buffer.timed.0 + 1, buffer.timed.1 + slow, buffer.timed.2 + took);
    }

    /// A turn panicked: its effects are gone with the next [`Buffer::begin`], and so is the instance.
    fn panicked(self: &Arc<Self>, instance: &Instance, envelope: Envelope, fault: Fault) -> After {
        self.counts.panics.fetch_add(1, Relaxed);
        let name = instance.provider.contract().name(envelope.index).unwrap_or("started").to_owned();
        let seen = MessageSeen { name: name.clone(), tag: envelope.tag(), body_bytes: envelope.body.len() };
        if instance.is_somebodys() {
            let reason = self.tell_crash(instance, Some(seen), fault);
            return After::Wrecked(Crash::of(self, Some(envelope), reason));
        }
        if let Some(asker) = envelope.asker() {
            asker.refuse(ask_error(&fault, &name));
        }
        self.bury(&envelope, DeadReason::Panicked(fault.text.clone()));
        After::Ended(Ended::by_crash(self.tell_crash(instance, Some(seen), fault)))
    }

    /// A turn ended in an error: its effects are gone with the next [`Buffer::begin`]. The dead letter that it is, if
    /// so.
    fn failed(&self, instance: &Instance, envelope: &Envelope, fault: &Fault) -> Option<u64> {
        self.counts.failed.fetch_add(1, Relaxed);
        let name = instance.provider.contract().name(envelope.index).unwrap_or("started").to_owned();
        match (envelope.asker(), dead_reason(fault)) {
            (Some(asker), _) => asker.refuse(ask_error(fault, &name)),
            (None, Some(reason)) => return Some(self.bury(envelope, reason)),
            (None, None) => {
                let Speaker { addr, version, generation } = self.speaker();
                let (kind, generation) = (addr.kind(), generation.0);
                tracing::warn!(actor = %addr, kind, %version, generation, handling = name, %fault, "a turn failed");
            }
        }
        None
    }

    pub(super) fn bury(&self, envelope: &Envelope, reason: DeadReason) -> u64 {
        let from = envelope.from.as_ref().map(|cell| cell.addr.clone());
        let (to, tag, body_bytes) = (self.addr.clone(), envelope.tag(), envelope.body.len());
        let again = matches!(envelope.kind, Kind::Tell | Kind::Ask(_));
        let body = again.then(|| envelope.body.clone());
        self.shared.dead_letters.record(Letter { to, from, tag, body_bytes, body, reason })
    }

    /// Tells of an instance that is lost. Why.
    pub(super) fn tell_crash(&self, instance: &Instance, message: Option<MessageSeen>, fault: Fault) -> String {
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
            upgrade: instance.record.as_ref().map(|record| record.outside.owner.clone()),
            message,
            fault,
            last_state,
        })));
        reason
    }

    fn system(
        self: &Arc<Self>,
        (instance, activation): (&mut Instance, u64),
        message: System,
        buffer: &mut Buffer<'_>,
    ) -> After {
        match message {
            System::Start(why) => return self.first_turn((instance, activation), why, buffer),
            // Read before it comes to this: what is read may be lost.
            System::Read(..) => {}
            System::Flush => self.flush(),
            System::Forget => {
                let over = |record: &mut Box<Record>| record.outside.is_over() && record.crashed.is_none();
                if instance.record.take_if(over).is_some() {
                    instance.outside = None;
                }
            }
            System::Crashed(lease) => {
                let is_it = |holder: &Arc<Lease>| Arc::ptr_eq(holder, &lease);
                let wreck = self.protocol.look(|_, _, holder, _| holder.is_some_and(is_it));
                if let Some(reason) = lease.wreck.clone().filter(|_| wreck) {
                    return After::Ended(Ended::by_crash(reason));
                }
            }
            System::End(why) => {
                let told = self.existing_extras().and_then(|extras| extras.stop_reason.clone());
                let reason = told.unwrap_or_else(|| reason(why));
                return After::Ended(Ended { exit: Exit::Shutdown, reason });
            }
        }
        After::Next
    }

    fn first_turn(
        self: &Arc<Self>,
        (instance, activation): (&mut Instance, u64),
        why: Why,
        buffer: &mut Buffer<'_>,
    ) -> After {
        buffer.begin(None);
        let call = self.first_call();
        let open = (Open { handled: buffer.handled, activation }, || None);
        let done = self.run(instance, open, |behaviour| guarded(|| behaviour.started(why, &call, buffer)));
        done.map_or(After::GivenUp, |done| self.first_turn_done(instance, done, buffer))
    }

    pub(super) fn first_turn_done(
        self: &Arc<Self>,
        instance: &mut Instance,
        done: Result<(), Fault>,
        buffer: &mut Buffer<'_>,
    ) -> After {
        match done {
            Ok(()) if self.protocol.is_stopped() => After::Next,
            Ok(()) => {
                if let Some(record) = &mut instance.record {
                    let said = record.say(self, &Kind::Tell, buffer);
                    record.keep_start(said, buffer);
                }
                let own: Vec<_> = buffer.take_own_tells().collect();
                self.release(buffer);
                for (tag, body, named) in own.into_iter().rev() {
                    let envelope = Envelope::new(tag, body, Kind::Tell, Some(Arc::clone(self))).named(named);
                    self.put_own(envelope, Room::First);
                }
                buffer.stop.take().map_or(After::Next, |reason| After::Ended(Ended::by_itself(reason)))
            }
            // An error, too: it could not do its first effects, and what it waits for will never come.
            Err(fault) => {
                let panicked = fault.kind == FaultKind::Panic;
                let count = if panicked { &self.counts.panics } else { &self.counts.failed };
                count.fetch_add(1, Relaxed);
                let reason = self.tell_crash(instance, None, fault);
                if instance.is_somebodys() {
                    After::Wrecked(Crash::of(self, None, reason))
                } else {
                    After::Ended(Ended::by_crash(reason))
                }
            }
        }
    }

    /// The instance is gone: the cell keeps its mailbox, and its supervisor decides.
    pub(super) fn end(self: &Arc<Self>, activation: Activation<'_, Actor>, ended: Ended) {
        let (exit, why) = (ended.exit, ended.reason.clone());
        self.extras().ended = Some(ended);
        let (instance, holder) = activation.suspend();
        // Of a wreck that was told when it was paused.
        if exit == Exit::Abnormal && holder.as_ref().is_none_or(|lease| lease.wreck.is_none()) {
            self.tell_suspended(why);
        }
        if let Some(instance) = instance {
            if instance.record.is_some() {
                self.lose_record(false);
            }
            self.discard(instance);
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
        let (Some(child), supervision) = (self.child.get(), self.shared.supervision()) else { return };
        if exit == Exit::Abnormal && self.goes_on_whole() {
            supervision.gone(*child);
        } else {
            supervision.exited(*child, exit);
        }
    }
}

impl Instance {
    /// How many random numbers its record has room for.
    pub(super) fn draws_left(&self) -> Option<usize> {
        self.lies
            .as_ref()
            .map_or_else(|| self.record.as_ref().and_then(|record| record.draws_max()), |lies| lies.draws_max)
    }

    /// Whether its failure is somebody else's to decide than its supervisor's.
    pub(super) fn is_somebodys(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.decides_a_crash())
    }
}

impl Ended {
    pub(crate) const fn by_crash(reason: String) -> Self {
        Self { exit: Exit::Abnormal, reason }
    }

    fn by_itself(reason: String) -> Self {
        Self { exit: Exit::of(&reason), reason }
    }
}

#[inline]
pub(super) fn cause(kind: &Kind) -> Cause<'_> {
    match kind {
        Kind::Tell | Kind::Ask(_) => Cause::Message,
        Kind::Answer(answer) => {
            Cause::Answer(answer.1.as_ref().map(|reply| Body { shape: reply.shape, bytes: &reply.body }))
        }
        Kind::Timer(_) => Cause::Timer,
        Kind::Undelivered(text) => Cause::Undelivered(text),
    }
}

pub(crate) fn ask_error(fault: &Fault, message: &str) -> AskError {
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
pub(crate) fn dead_reason(fault: &Fault) -> Option<DeadReason> {
    match fault.kind {
        FaultKind::Panic => Some(DeadReason::Panicked(fault.text.clone())),
        FaultKind::Decode => Some(DeadReason::Decode(fault.text.clone())),
        FaultKind::UnknownMessage => Some(DeadReason::UnknownMessage),
        FaultKind::Failed | FaultKind::Schema | FaultKind::Limit | FaultKind::Denied | FaultKind::Protocol => None,
    }
}
