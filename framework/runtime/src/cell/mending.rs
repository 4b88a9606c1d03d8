//! What the version before has planned, asked and owes instead of the one that it replaces; and what it wanted sent,
//! when somebody sends it.

use super::Cell;
use super::affairs::Mending;
use super::body::Body;
use super::effects::Spawn;
use super::envelope::{Envelope, Kind, Reply};
use super::extras::{ActorTimer, Continuation, Conversations};
use super::outbox::Waiting;
use super::record::{Answered, CancelledTimer};
use crate::clock::Moment;
use crate::ports::{CallId, TimerId};
use crate::rollback::{HeldEffect, Outward};
use crate::timer::TimerKey;
use std::collections::VecDeque;
use std::sync::Arc;
use teneral_contract::{AskError, Tag};

/// What is left to do at the host's timers and others' mailboxes when an actor's own affairs are another version's.
#[derive(Default)]
pub(crate) struct Retimed {
    ended: Vec<TimerKey>,
    started: Vec<(TimerId, Moment)>,
    unsaid: VecDeque<Waiting>,
}

impl Cell {
    /// A timer that runs, for whoever may have to start it again.
    pub(crate) fn timer_as_it_is(&self, id: TimerId) -> Option<CancelledTimer> {
        let extras = self.existing_extras()?;
        let timer = extras.timers.get(&id)?;
        let (tag, body, period, due) = (timer.tag, timer.body.clone(), timer.period, timer.due);
        Some(CancelledTimer { tag, body, period, due })
    }

    /// The actor's own conversations become those of the version before. Called under the lock under which the instance
    /// is replaced, so that its first turn finds them. Gives out those that end, and what is left to do: see
    /// [`Cell::retime`].
    pub(crate) fn mend(&self, mending: &Mending, now: Moment) -> (Conversations, Retimed) {
        let mut retimed = Retimed::default();
        let mut extras = self.extras();
        for (_, timer) in extras.timers.extract_if(.., |id, _| mending.cancelled.contains(id)) {
            retimed.ended.extend(timer.key);
        }
        let unwanted = |id: &TimerId| mending.began(id.0) && !mending.timers.contains_key(id);
        let timers = extras.timers.extract_if(.., |id, _| unwanted(id)).collect();
        let unasked = |number: &u64| mending.began(*number) && !mending.asks.contains_key(number);
        let continuations = extras.continuations.extract_if(.., |number, _| unasked(number)).collect();
        for (number, (then, body)) in &mending.asks {
            if let Some(continuation) = extras.continuations.get_mut(number) {
                (continuation.then, continuation.body) = (*then, body.clone());
            }
        }
        for (id, wanted) in &mending.timers {
            let (tag, body, period, due) = (wanted.tag, wanted.body.clone(), wanted.period, wanted.due);
            match extras.timers.get_mut(id) {
                Some(timer) if wanted.with == Some(*id) => (timer.tag, timer.body) = (tag, body),
                // None runs, or another kind of one: it runs as the version before began it.
                other => {
                    let queued = mending.wants(*id, now) && other.as_ref().is_some_and(|timer| timer.queued);
                    retimed.ended.extend(other.and_then(|timer| timer.key));
                    extras.timers.insert(*id, ActorTimer { tag, body, period, due, key: None, queued });
                    retimed.started.push((*id, due));
                }
            }
        }
        for (id, CancelledTimer { tag, body, period, due }) in &mending.revived {
            let (tag, body, period, due) = (*tag, body.clone(), *period, *due);
            extras.timers.insert(*id, ActorTimer { tag, body, period, due, key: None, queued: false });
            retimed.started.push((*id, due));
        }
        retimed.unsaid = Self::unsaid(&mut extras.outbox, mending);
        let unowed = |number: &u64| mending.owed.as_ref().is_some_and(|owed| !owed.contains(number));
        let owed = extras.owed.extract_if(.., |number| unowed(number)).collect();
        (Conversations { timers, continuations, owed }, retimed)
    }

    /// A timer's message was begun by an instance that is no more, and is handled anew: its timer is as it was before.
    pub(crate) fn refire(&self, id: TimerId, (tag, body): (Tag, Body)) {
        let due = self.shared.clock.now();
        let fired = ActorTimer { tag, body, period: None, due, key: None, queued: true };
        self.extras().timers.entry(id).or_insert(fired).queued = true;
    }

    /// Does there what [`Cell::mend`] found; without a lock.
    pub(crate) fn retime(self: &Arc<Self>, retimed: Retimed) {
        for key in retimed.ended {
            self.shared.timers().cancel(key);
        }
        retimed.started.into_iter().for_each(|(id, due)| self.schedule_timer(id, due));
        self.unsay(retimed.unsaid);
    }

    /// See [`crate::ActorRef::send_held`].
    pub(crate) fn send_held(self: &Arc<Self>, held: HeldEffect) -> Result<(), (HeldEffect, AskError)> {
        match *held.0 {
            Outward::Tell { to, tag, body } => {
                let again = HeldEffect(Box::new(Outward::Tell { to: to.clone(), tag, body: body.clone() }));
                let Some(target) = self.shared.cell(&to) else {
                    return Err((again, AskError::NoActor(to.path().to_owned())));
                };
                let envelope = Envelope::new(tag, body, Kind::Tell, Some(Arc::clone(self)));
                self.shared.deliver(&target, envelope).map_err(|why| (again, why))
            }
            // Its answer would find nobody.
            Outward::Ask(ask) if self.protocol.is_stopped() => {
                Err((HeldEffect(Box::new(Outward::Ask(ask))), AskError::Stopped))
            }
            Outward::Ask(ask) => {
                self.ask_from_outside(*ask);
                Ok(())
            }
            Outward::Spawn(spawn) => {
                let Spawn { child, version, args } = &*spawn;
                self.start_child(child, version.as_ref(), args.clone())
                    .map_err(|why| (HeldEffect(Box::new(Outward::Spawn(spawn))), AskError::Failed(why)))
            }
        }
    }

    /// See [`crate::ActorRef::drop_held`].
    pub(crate) fn drop_held(self: &Arc<Self>, held: HeldEffect) {
        if let Outward::Ask(ask) = *held.0
            && !self.protocol.is_stopped()
        {
            let (number, deadline) = (ask.number, self.shared.clock.now() + ask.timeout);
            self.await_answer(number, Continuation { then: ask.then, body: ask.then_body, deadline: None }, deadline);
            // Whoever stopped the actor meanwhile has accounted for it.
            drop(self.answered(number, Err(AskError::NoReply)));
        }
    }

    /// Says to its asker what the version before says, if they still wait. Who was answered by the version on probation
    /// is not answered again.
    pub(crate) fn reply_late(&self, call: CallId, answer: Answered) {
        if call.epoch != self.shared.config.epoch {
            return;
        }
        match (self.shared.unpark(call.number), answer) {
            (Some(asker), Ok((shape, body))) if asker.shape() == shape => {
                asker.answer(Ok(Reply { shape, body }), self);
            }
            (Some(asker), Ok(_)) => asker.refuse(AskError::ReplyShape),
            (Some(asker), Err(error)) => asker.refuse(error),
            (None, Ok((shape, body))) => self.shared.reply_if_expired(self, call, shape, body.len()),
            (None, Err(_)) => {}
        }
    }
}
