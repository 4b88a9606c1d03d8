//! Calls: who waits for a reply, and where a reply that is given later finds them.
//!
//! The way back travels in the envelope. Only a turn that ends without a reply parks it in a table, where a [`CallId`]
//! finds it again from whichever actor the id was handed to.

use super::Cell;
use super::envelope::Reply;
use super::slot::Slot;
use crate::clock::Moment;
use crate::dead_letters::DeadReason;
use crate::ports::CallId;
use crate::runtime::Shared;
use std::sync::Arc;
use teneral_contract::{Addr, AskError, Fingerprint, Tag};

/// Calls whose askers gave up that are remembered, the latest: what tells a reply that is late from one to no call.
const EXPIRED_CALLS_MAX: usize = 4096;

/// The way back to an asker.
#[derive(Clone)]
pub(crate) enum ReplyTo {
    Outside(Arc<OutsideCall>),
    Actor(Arc<ActorCall>),
}

/// What was asked, and when: what is left to say of a reply that comes too late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requested {
    pub(crate) variant: u64,
    pub(crate) at: Moment,
}

/// A call whose asker gave up.
#[derive(Debug)]
pub(crate) struct Expired {
    request: Requested,
    /// Which actor it was, if it was one.
    asker: Option<Addr>,
}

/// An ask from outside all actors.
pub(crate) struct OutsideCall {
    pub(crate) number: u64,
    pub(crate) request: Requested,
    pub(crate) shape: Fingerprint,
    pub(crate) deadline: Moment,
    pub(crate) slot: Slot<Result<Reply, AskError>>,
}

/// An ask by an actor, whose answer comes back as a message.
pub(crate) struct ActorCall {
    pub(crate) number: u64,
    pub(crate) request: Requested,
    pub(crate) shape: Fingerprint,
    pub(crate) deadline: Moment,
    pub(crate) asker: Arc<Cell>,
}

/// A call that was not answered in its turn.
pub(crate) struct Owed {
    pub(crate) reply_to: ReplyTo,
    /// Who owes the reply.
    pub(crate) debtor: Arc<Cell>,
}

impl ReplyTo {
    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Outside(call) => call.number,
            Self::Actor(call) => call.number,
        }
    }

    pub(crate) fn shape(&self) -> Fingerprint {
        match self {
            Self::Outside(call) => call.shape,
            Self::Actor(call) => call.shape,
        }
    }

    pub(crate) fn deadline(&self) -> Moment {
        match self {
            Self::Outside(call) => call.deadline,
            Self::Actor(call) => call.deadline,
        }
    }

    fn expired(&self) -> Expired {
        match self {
            Self::Outside(call) => Expired { request: call.request, asker: None },
            Self::Actor(call) => Expired { request: call.request, asker: Some(call.asker.addr.clone()) },
        }
    }

    fn is_waiting(&self) -> bool {
        match self {
            Self::Outside(call) => call.slot.is_waiting(),
            Self::Actor(call) => call.asker.awaits(call.number),
        }
    }

    /// Answers. An answer that nobody waits for any more is a late reply, counted as sent by `from`.
    pub(crate) fn answer(&self, answer: Result<Reply, AskError>, from: &Cell) {
        let late = match self {
            Self::Outside(call) => call.slot.fill(answer).err(),
            Self::Actor(call) => call.asker.answered(call.number, answer).err(),
        };
        // Planted: a late reply vanishes uncounted.
        if let Some(Ok(reply)) = late.filter(|_| !cfg!(feature = "bug-m4")) {
            from.shared.late_reply(from, self.expired(), reply.shape, reply.body.len());
        }
    }

    /// Tells the asker why there is no answer; one that waits no longer need not know.
    pub(crate) fn refuse(&self, error: AskError) {
        match self {
            Self::Outside(call) => drop(call.slot.fill(Err(error))),
            Self::Actor(call) => drop(call.asker.answered(call.number, Err(error))),
        }
    }
}

impl Shared {
    /// Keeps a call that its turn did not answer.
    pub(crate) fn park(&self, reply_to: ReplyTo, debtor: &Arc<Cell>) {
        let number = reply_to.number();
        debtor.extras().owed.insert(number);
        self.calls.insert(number, Owed { reply_to: reply_to.clone(), debtor: Arc::clone(debtor) });
        // The deadline may have passed just before the call could be found, and so may the debtor's end.
        if !reply_to.is_waiting() {
            self.forget_call(number);
        } else if debtor.protocol.is_stopped() {
            debtor.answer_owed();
        }
    }

    /// Takes a parked call out.
    pub(crate) fn unpark(&self, number: u64) -> Option<ReplyTo> {
        let (_, owed) = self.calls.remove(&number)?;
        owed.debtor.extras().owed.remove(&number);
        Some(owed.reply_to)
    }

    /// Nobody waits for this call any more. A reply that still comes is a late one.
    pub(crate) fn forget_call(&self, number: u64) {
        // Locked until the call is gone: a reply finds either the call or that it has expired.
        let mut expired = self.expired_calls.lock();
        let Some(call) = self.unpark(number) else { return };
        expired.insert(number, call.expired());
        if expired.len() > EXPIRED_CALLS_MAX {
            expired.pop_first();
        }
    }

    /// A reply by a handle that finds no call.
    pub(crate) fn reply_without_call(&self, from: &Cell, call: CallId, shape: Fingerprint, body_bytes: usize) {
        let ours = call.epoch == self.config.epoch;
        let expired = if ours { self.expired_calls.lock().remove(&call.number) } else { None };
        match expired {
            Some(expired) if !cfg!(feature = "bug-m4") => self.late_reply(from, expired, shape, body_bytes),
            Some(_) => {}
            None => {
                let tag = Tag { variant: 0, fingerprint: shape };
                self.lost_reply(from, Some(from.addr.clone()), tag, body_bytes, DeadReason::StaleReply);
            }
        }
    }

    /// A reply by the version before, to a call that may have been answered by the version on probation: counted only
    /// when its asker has given up meanwhile.
    pub(crate) fn reply_if_expired(&self, from: &Cell, call: CallId, shape: Fingerprint, body_bytes: usize) {
        let expired = self.expired_calls.lock().remove(&call.number);
        if let Some(expired) = expired {
            self.late_reply(from, expired, shape, body_bytes);
        }
    }

    /// A reply to a call whose asker gave up.
    fn late_reply(&self, from: &Cell, expired: Expired, shape: Fingerprint, body_bytes: usize) {
        let Expired { request: Requested { variant, at }, asker } = expired;
        let tag = Tag { variant, fingerprint: shape };
        self.lost_reply(from, asker, tag, body_bytes, DeadReason::LateReply(self.clock.now().since(at)));
    }
}
