//! What a turn wants done, buffered until it ends well.
//!
//! The buffer is used for a whole activation; a turn without effects allocates nothing and reads no clock.

use super::Cell;
use super::body::Body;
use super::calls::ReplyTo;
use super::envelope::Envelope;
use super::protocol::Queued;
use crate::actor_ref::ActorRef;
use crate::config::StartArgs;
use crate::later::Later;
use crate::ports::{self, AskEffect, CallId, Effects, Fault, FaultKind, TimerId};
use semver::Version;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// Longest reason of a stop.
const REASON_BYTES_MAX: usize = 4096;

/// One effect.
pub(crate) enum Effect {
    Tell { to: Addr, tag: Tag, body: Body },
    Ask(Box<Ask>),
    After { id: TimerId, delay: Duration, period: Option<Duration>, tag: Tag, body: Body },
    Cancel(TimerId),
    Reply { call: CallId, shape: Fingerprint, body: Body },
    Spawn(Box<Spawn>),
}

pub(crate) struct Ask {
    pub(crate) number: u64,
    pub(crate) to: Addr,
    pub(crate) tag: Tag,
    pub(crate) body: Body,
    pub(crate) reply: Fingerprint,
    pub(crate) timeout: Duration,
    pub(crate) then: Tag,
    pub(crate) then_body: Body,
}

pub(crate) struct Spawn {
    pub(crate) child: Addr,
    pub(crate) version: Option<Version>,
    pub(crate) args: StartArgs,
}

/// The effects of one turn.
pub(crate) struct Buffer<'a> {
    cell: &'a Arc<Cell>,
    pub(crate) effects: Vec<Effect>,
    /// Why the actor wants to stop after this turn.
    pub(crate) stop: Option<String>,
    /// Who waits for this turn's reply.
    pub(crate) asker: Option<ReplyTo>,
    now_ns: Option<u64>,
    timers: usize,
    asks: usize,
    /// What the turn tells the actor itself.
    own: Queued,
    /// Messages of this activation whose turns ended well.
    pub(crate) handled: u64,
}

const NOTHING: Queued = Queued { messages: 0, bytes: 0 };

impl<'a> Buffer<'a> {
    pub(crate) const fn new(cell: &'a Arc<Cell>) -> Self {
        Self {
            cell,
            effects: Vec::new(),
            stop: None,
            asker: None,
            now_ns: None,
            timers: 0,
            asks: 0,
            own: NOTHING,
            handled: 0,
        }
    }

    /// Ready for the next turn; whatever the last one left is dropped.
    pub(crate) fn begin(&mut self, asker: Option<ReplyTo>) {
        self.effects.clear();
        self.stop = None;
        self.asker = asker;
        self.now_ns = None;
        (self.timers, self.asks, self.own) = (0, 0, NOTHING);
    }

    /// What the turn tells the actor itself, in order.
    pub(crate) fn take_own_tells(&mut self) -> impl Iterator<Item = (Tag, Body)> {
        let this = &self.cell.addr;
        let own = self.effects.extract_if(.., move |effect| matches!(effect, Effect::Tell { to, .. } if to == this));
        own.filter_map(|effect| match effect {
            Effect::Tell { tag, body, .. } => Some((tag, body)),
            _ => None,
        })
    }

    fn push(&mut self, effect: Effect) -> Result<(), Fault> {
        let effects_max = self.cell.shared.config.effects_per_turn_max;
        if self.effects.len() >= effects_max {
            return Err(limit(format!("a turn has at most {effects_max} effects")));
        }
        self.effects.push(effect);
        Ok(())
    }

    /// Counts what the actor tells itself: nothing else pushes back on it.
    fn count_own(&mut self, body_bytes: usize) -> Result<(), Fault> {
        let own =
            Queued { messages: self.own.messages + 1, bytes: self.own.bytes + size_of::<Envelope>() + body_bytes };
        if !self.cell.protocol.has_own_room(own) {
            return Err(limit("what the actor tells itself would fill its mailbox a second time".to_owned()));
        }
        self.own = own;
        Ok(())
    }

    fn body(&self, bytes: &[u8]) -> Result<Body, Fault> {
        let limit_bytes = self.cell.shared.config.message_bytes_max;
        if bytes.len() > limit_bytes {
            return Err(limit(format!("a message of {} bytes is over the limit of {limit_bytes}", bytes.len())));
        }
        Ok(Body::copy(bytes))
    }

    /// The shape that whoever waits for `call` expects; `None`: nobody waits.
    fn expected(&self, call: CallId) -> Option<Fingerprint> {
        let shared = &self.cell.shared;
        if call.epoch != shared.config.epoch {
            return None;
        }
        match &self.asker {
            Some(asker) if asker.number() == call.number => Some(asker.shape()),
            _ => shared.calls.get(&call.number).map(|owed| owed.reply_to.shape()),
        }
    }
}

fn limit(text: String) -> Fault {
    Fault::new(FaultKind::Limit, text)
}

impl Effects for Buffer<'_> {
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        let body = self.body(body)?;
        if to == self.cell.addr {
            self.count_own(body.len())?;
        }
        self.push(Effect::Tell { to, tag, body })
    }

    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault> {
        let shared = &self.cell.shared;
        let asks_max = shared.config.asks_in_flight_max;
        let waiting = self.cell.existing_extras().map_or(0, |extras| extras.continuations.len());
        if waiting + self.asks >= asks_max {
            return Err(limit(format!("an actor waits for at most {asks_max} answers")));
        }
        let number = shared.number();
        let (body, then_body) = (self.body(ask.body)?, self.body(ask.then_body)?);
        let AskEffect { to, tag, reply, timeout, then, .. } = ask;
        self.push(Effect::Ask(Box::new(Ask { number, to, tag, body, reply, timeout, then, then_body })))?;
        self.asks += 1;
        Ok(CallId { epoch: self.cell.shared.config.epoch, number })
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        let shared = &self.cell.shared;
        let timers_max = shared.config.timers_max;
        let running = self.cell.existing_extras().map_or(0, |extras| extras.timers.len());
        if running + self.timers >= timers_max {
            return Err(limit(format!("an actor has at most {timers_max} timers")));
        }
        let id = TimerId(shared.number());
        let body = self.body(body)?;
        self.push(Effect::After { id, delay, period, tag, body })?;
        self.timers += 1;
        Ok(id)
    }

    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault> {
        // In order with the turn's own timers: one may be started and cancelled in the same turn.
        self.push(Effect::Cancel(timer))
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        match self.expected(call) {
            Some(expected) if expected != shape => {
                let text = format!("the asker expects a reply of shape {expected}, this is {shape}");
                Err(Fault::new(FaultKind::Schema, text))
            }
            // One that nobody waits for is counted when the turn has ended well.
            Some(_) | None => {
                let body = self.body(body)?;
                self.push(Effect::Reply { call, shape, body })
            }
        }
    }

    fn spawn(&mut self, child: Addr, version: Option<Version>, args: ports::Body<'_>) -> Result<(), Fault> {
        let args = StartArgs { shape: args.shape, bytes: self.body(args.bytes)?.into_vec() };
        self.push(Effect::Spawn(Box::new(Spawn { child, version, args })))
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(limit(format!("a reason of {} bytes is over the limit of {REASON_BYTES_MAX}", reason.len())));
        }
        self.stop = Some(reason.to_owned());
        Ok(())
    }

    fn later(&mut self, sender: Option<&Addr>) -> Result<Later, Fault> {
        let sender = sender.and_then(|sender| self.cell.shared.cell(sender)).map(ActorRef::new);
        Ok(Later::new(self.asker.take(), sender, Arc::clone(self.cell)))
    }

    fn now(&mut self) -> u64 {
        *self.now_ns.get_or_insert_with(|| self.cell.shared.clock.wall_ns())
    }

    fn random(&mut self) -> u64 {
        self.cell.shared.random()
    }
}
