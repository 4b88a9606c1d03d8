//! What few actors have: timers, asks in flight, replies they owe, effects that wait for room, a snapshot.
//!
//! In a box of its own, so that an actor without any pays eight bytes. All of it is encoded data that the host keeps,
//! so it survives restarts of the code and passes the contract map when the code is replaced.

use super::away::Away;
use super::body::Body;
use super::checkpoint::Checkpointed;
use super::envelope::{Barred, Envelope, Kind, Reply};
use super::outbox::Outbox;
use super::protocol::{Refused, Room};
use super::record::Outside;
use super::slot::Slot;
use super::{Cell, Gate};
use crate::clock::Moment;
use crate::dead_letters::DeadReason;
use crate::ports::{Provider, TimerId};
use crate::runtime::Due;
use crate::supervision::Exit;
use crate::timer::TimerKey;
use crate::totals::Before;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{AskError, Fingerprint, Tag};

#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) timers: BTreeMap<TimerId, ActorTimer>,
    /// By call.
    pub(crate) continuations: BTreeMap<u64, Continuation>,
    /// Calls that were not answered in their turn.
    pub(crate) owed: BTreeSet<u64>,
    pub(crate) outbox: Outbox,
    /// The last state that was saved.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// How the instance ended, while there is none.
    pub(crate) ended: Option<Ended>,
    /// Why somebody told it to stop for good; once it is stopped, why it is.
    pub(crate) stop_reason: Option<String>,
    /// It did not stop in time.
    pub(crate) cut_off: bool,
    /// What the cell's turns came to before the version that serves.
    pub(crate) before: Before,
    /// What is seen of the record of the version that serves.
    pub(crate) recording: Option<Arc<Outside>>,
    /// Turns that an instance in another process takes.
    pub(crate) away: Option<Box<Away>>,
    /// What is kept of such an instance.
    pub(crate) checkpointed: Option<Arc<Mutex<Checkpointed>>>,
    /// Messages that are handed over one at a time: a process died with them in its hands.
    pub(crate) suspects: usize,
    /// Turns of the latest batch that an instance in another process took: their effects are released at once.
    pub(crate) handed: usize,
    /// Who waits for its end.
    pub(crate) mourners: Vec<Arc<Slot<()>>>,
}

/// What an instance planned for itself, asked and owes.
#[derive(Default)]
pub(crate) struct Conversations {
    pub(super) timers: BTreeMap<TimerId, ActorTimer>,
    pub(super) continuations: BTreeMap<u64, Continuation>,
    pub(super) owed: BTreeSet<u64>,
}

/// How an instance ended.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) reason: String,
}

/// A saved state.
pub(crate) struct Snapshot {
    pub(crate) schema: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A timer of an actor.
pub(crate) struct ActorTimer {
    pub(crate) tag: Tag,
    pub(crate) body: Body,
    pub(crate) period: Option<Duration>,
    pub(crate) due: Moment,
    /// `None`: a one-shot timer that fired.
    pub(crate) key: Option<TimerKey>,
    /// Its message waits in the mailbox: later ticks coalesce with it.
    pub(crate) queued: bool,
}

/// What an ask's answer becomes.
pub(crate) struct Continuation {
    pub(crate) then: Tag,
    /// The template, whose hole the answer fills.
    pub(crate) body: Body,
    pub(crate) deadline: Option<TimerKey>,
}

impl Cell {
    /// Starts a timer, unless the cell was stopped meanwhile: then nobody would ever end it.
    pub(crate) fn start_timer(self: &Arc<Self>, id: TimerId, delay: Duration, timer: (Tag, Body, Option<Duration>)) {
        let due = self.shared.clock.now() + delay;
        let (tag, body, period) = timer;
        let timer = ActorTimer { tag, body, period, due, key: None, queued: false };
        self.extras().timers.insert(id, timer);
        // After the insertion: a stop that comes later finds it.
        if self.protocol.is_stopped() {
            self.extras().timers.remove(&id);
            return;
        }
        self.schedule_timer(id, due);
    }

    /// Has a timer fire that was put among the actor's own.
    pub(crate) fn schedule_timer(self: &Arc<Self>, id: TimerId, due: Moment) {
        let key = self.shared.timers().schedule(due, Due::Timer(Arc::clone(self), id));
        let unused = match self.extras().timers.get_mut(&id) {
            Some(timer) if timer.key.is_none() && (!timer.queued || timer.period.is_some()) => timer.key.replace(key),
            // It has fired meanwhile, which used the key up, or was cancelled.
            _ => Some(key),
        };
        if let Some(key) = unused {
            self.shared.timers().cancel(key);
        }
    }

    pub(crate) fn cancel_timer(&self, id: TimerId) {
        let timer = self.extras().timers.remove(&id);
        if let Some(key) = timer.and_then(|timer| timer.key) {
            self.shared.timers().cancel(key);
        }
    }

    /// A timer is due: its message goes into the mailbox, unless the last one still waits there.
    pub(crate) fn timer_due(self: &Arc<Self>, id: TimerId) {
        let now = self.shared.clock.now();
        let mut extras = self.extras();
        let Some(timer) = extras.timers.get_mut(&id) else { return };
        let again = timer.period.map(|period| {
            // On the grid of its first deadline: missed ticks are skipped, and none makes all that follow late.
            timer.due = timer.due.next(period, now);
            timer.due
        });
        timer.key = None;
        let message = (!timer.queued).then(|| (timer.tag, timer.body.clone()));
        timer.queued = true;
        drop(extras);
        if let Some(due) = again {
            let key = self.shared.timers().schedule(due, Due::Timer(Arc::clone(self), id));
            if let Some(timer) = self.extras().timers.get_mut(&id) {
                timer.key = Some(key);
            } else {
                self.shared.timers().cancel(key);
            }
        }
        let Some((tag, body)) = message else { return };
        // Under the mailbox's lock it is what it is by then: another version may have taken over meanwhile.
        let admit = |gate: &Gate, envelope: &mut Envelope| {
            let extras = self.existing_extras();
            if let Some(timer) = extras.as_ref().and_then(|extras| extras.timers.get(&id)) {
                envelope.say(timer.tag, timer.body.clone());
            }
            drop(extras);
            gate.admit(envelope)
        };
        match self.protocol.push(Envelope::new(tag, body, Kind::Timer(id), None), Room::Own, admit) {
            Ok(again) => self.owe(again),
            Err(refused) => {
                self.shared.refuse(refused, &self.addr);
                // It waits nowhere: a one-shot timer is over with it, a periodic one goes on with its next tick.
                self.timer_fires(id);
            }
        }
    }

    /// A timer's message is about to be handled. `false`: the timer was cancelled after it fired.
    pub(crate) fn timer_fires(&self, id: TimerId) -> bool {
        let mut extras = self.extras();
        let Some(timer) = extras.timers.get_mut(&id) else { return false };
        timer.queued = false;
        if timer.period.is_none() {
            extras.timers.remove(&id);
        }
        true
    }

    /// Keeps a continuation until its answer or its deadline, with room in the mailbox for either.
    pub(crate) fn await_answer(self: &Arc<Self>, number: u64, continuation: Continuation, deadline: Moment) {
        self.extras().continuations.insert(number, continuation);
        self.protocol.reserve();
        let key = self.shared.timers().schedule(deadline, Due::Answer(Arc::clone(self), number));
        match self.extras().continuations.get_mut(&number) {
            Some(continuation) => continuation.deadline = Some(key),
            None => drop(self.shared.timers().cancel(key)),
        }
    }

    /// Whether an answer to this call is still wanted.
    pub(crate) fn awaits(&self, number: u64) -> bool {
        self.existing_extras().is_some_and(|extras| extras.continuations.contains_key(&number))
    }

    /// An answer: its continuation becomes a message.
    ///
    /// # Errors
    /// The answer, when it comes too late.
    pub(crate) fn answered(
        self: &Arc<Self>,
        number: u64,
        answer: Result<Reply, AskError>,
    ) -> Result<(), Result<Reply, AskError>> {
        let take = || self.existing_extras().and_then(|mut extras| extras.continuations.remove(&number));
        // Under the mailbox's lock, so that it is the continuation of the version that gets it.
        let mut deadline = None;
        let admit = |gate: &Gate, envelope: &mut Envelope| {
            let continuation = take().ok_or(None)?;
            deadline = continuation.deadline;
            envelope.say(continuation.then, continuation.body);
            gate.admit(envelope).map_err(Some)
        };
        let nothing = Tag { variant: 0, fingerprint: Fingerprint::NONE };
        let kind = Kind::Answer(Box::new((number, answer)));
        let pushed = self.protocol.push(Envelope::new(nothing, Body::copy(&[]), kind, None), Room::Reserved, admit);
        if let Some(key) = deadline {
            self.shared.timers().cancel(key);
        }
        match pushed {
            Ok(again) => self.owe(again),
            Err(Refused::Gate(envelope, Some(barred))) => {
                self.protocol.unreserve();
                self.shared.bar(envelope, &barred, &self.addr);
            }
            // Nobody waits for it; or nobody will, since the actor is stopped: it is lost with what it would become.
            Err(Refused::Gate(envelope, None) | Refused::Closed(envelope) | Refused::Full(envelope)) => {
                let Some(continuation) = take() else { return envelope.into_answer().map_or(Ok(()), Err) };
                if let Some(key) = continuation.deadline {
                    self.shared.timers().cancel(key);
                }
                self.parked_lost(continuation.then, continuation.body.len(), DeadReason::Stopped);
            }
        }
        Ok(())
    }

    /// A message to oneself, for which there is always room. `false`: it was refused, and is accounted for.
    pub(crate) fn put_own(self: &Arc<Self>, envelope: Envelope, room: Room) -> bool {
        match self.protocol.push(envelope, room, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => {
                self.owe(again);
                true
            }
            Err(refused) => {
                self.shared.refuse(refused, &self.addr);
                false
            }
        }
    }

    /// Takes the instance's own conversations out. Called under the lock under which the instance is replaced, so that
    /// none of the next one's is among them.
    pub(crate) fn take_conversations(&self) -> Conversations {
        let Some(mut extras) = self.existing_extras() else { return Conversations::default() };
        Conversations {
            timers: std::mem::take(&mut extras.timers),
            continuations: std::mem::take(&mut extras.continuations),
            owed: std::mem::take(&mut extras.owed),
        }
    }

    /// The instance's own conversations end with it: the next one knows nothing of them. What it had planned is dead
    /// letters for `reason`, and so are `waiting`, those of its messages that had come to the mailbox already; whoever
    /// waits for its reply is told.
    pub(crate) fn forget(self: &Arc<Self>, conversations: Conversations, waiting: Vec<Envelope>, reason: &DeadReason) {
        self.cancel(&conversations);
        for timer in conversations.timers.values() {
            self.parked_lost(timer.tag, timer.body.len(), reason.clone());
        }
        for continuation in conversations.continuations.values() {
            self.parked_lost(continuation.then, continuation.body.len(), reason.clone());
        }
        // A timer that fired was counted with the others, unless it was cancelled.
        // What was not delivered is a dead letter itself.
        let counts = |envelope: &Envelope| !matches!(envelope.kind, Kind::Timer(_) | Kind::Undelivered(_));
        for message in waiting.into_iter().filter(counts) {
            self.shared.lose(message, &self.addr, reason.clone(), AskError::NoReply);
        }
        for number in conversations.owed {
            if let Some((_, owed)) = self.shared.calls.remove(&number) {
                owed.reply_to.refuse(AskError::NoReply);
            }
        }
    }

    /// Nothing comes of these any more.
    pub(crate) fn cancel(&self, conversations: &Conversations) {
        let timers = conversations.timers.values().filter_map(|timer| timer.key);
        let deadlines = conversations.continuations.values().filter_map(|continuation| continuation.deadline);
        for key in timers.chain(deadlines) {
            self.shared.timers().cancel(key);
        }
        for number in conversations.continuations.keys() {
            self.protocol.unreserve();
            // Whoever owes the answer need not keep the way back.
            self.shared.forget_call(*number);
        }
    }
}

impl Cell {
    /// Timers and continuations pass the new contract as the mailbox does: one whose message it has no way for is
    /// cancelled, and is a dead letter. A timer that has fired waits in the mailbox, or is on its way there, and its
    /// message is accounted for there. Returns how many it made dead letters of.
    pub(crate) fn remap_parked(self: &Arc<Self>, provider: &Arc<dyn Provider>) -> usize {
        let contract = provider.contract();
        let Some(mut extras) = self.existing_extras() else { return 0 };
        let mut lost = 0;
        let barred = |tag| contract.resolve(tag).err().map(Barred::Contract);
        let timers: Vec<_> = extras.timers.extract_if(.., |_, timer| barred(timer.tag).is_some()).collect();
        let continuations: Vec<_> =
            extras.continuations.extract_if(.., |_, continuation| barred(continuation.then).is_some()).collect();
        drop(extras);
        for (_, timer) in timers {
            if let Some(key) = timer.key {
                self.shared.timers().cancel(key);
            }
            if let Some(why) = barred(timer.tag).filter(|_| !timer.queued) {
                lost += 1;
                self.parked_lost(timer.tag, timer.body.len(), why.to_dead_reason());
            }
        }
        for (number, continuation) in continuations {
            if let Some(key) = continuation.deadline {
                self.shared.timers().cancel(key);
            }
            self.protocol.unreserve();
            // Whoever owes the answer need not keep the way back.
            self.shared.forget_call(number);
            if let Some(why) = barred(continuation.then) {
                lost += 1;
                self.parked_lost(continuation.then, continuation.body.len(), why.to_dead_reason());
            }
        }
        lost
    }
}
