//! What a turn wants done, buffered until it ends well.
//!
//! The buffer is used for a whole activation; a turn without effects allocates nothing and reads no clock.

use super::body::Body;
use super::calls::ReplyTo;
use super::envelope::Envelope;
use super::protocol::Queued;
use super::record::Outside;
use super::{Cell, Instance};
use crate::actor_ref::ActorRef;
use crate::clock::Moment;
use crate::config::StartArgs;
use crate::later::Later;
use crate::ports::{self, AskEffect, CallId, Effects, Fault, FaultKind, TimerId};
use crate::remote::{RemoteAsk, RemoteEffect};
use semver::Version;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// Longest reason of a stop.
const REASON_BYTES_MAX: usize = 4096;

/// One effect.
pub(crate) enum Effect {
    /// `named`: which one it is of those that are said while the actor is recorded; else 0.
    Tell {
        to: Addr,
        tag: Tag,
        body: Body,
        named: u32,
    },
    Ask(Box<Ask>),
    After {
        id: TimerId,
        delay: Duration,
        period: Option<Duration>,
        tag: Tag,
        body: Body,
    },
    Cancel(TimerId),
    Reply {
        call: CallId,
        shape: Fingerprint,
        body: Body,
    },
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
    /// When the turn ended, if it has to do with timers and is kept.
    pub(crate) at: Option<Moment>,
    timers: usize,
    asks: usize,
    /// What the turn tells the actor itself.
    own: Queued,
    /// Messages of this activation whose turns ended well.
    pub(crate) handled: u64,
    /// Turns of this activation that were timed, those that were slow, and how long all of them took.
    pub(crate) timed: (u64, u64, Duration),
    /// The latest time that was read in this activation.
    latest_ns: Option<u64>,
    /// How many more random numbers of the turn may be kept; `None`: none is.
    pub(crate) draws_left: Option<usize>,
    /// Whose turn it is: compared, and never looked into.
    record: *const Outside,
    /// Those that are.
    pub(crate) drawn: Vec<u64>,
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
            at: None,
            timers: 0,
            asks: 0,
            own: NOTHING,
            handled: 0,
            timed: (0, 0, Duration::ZERO),
            latest_ns: None,
            draws_left: None,
            record: ptr::null(),
            drawn: Vec::new(),
        }
    }

    /// Ready for the next turn; whatever the last one left is dropped.
    pub(crate) fn begin(&mut self, asker: Option<ReplyTo>) {
        self.effects.clear();
        self.stop = None;
        self.asker = asker;
        (self.now_ns, self.at, self.draws_left) = (None, None, None);
        (self.timers, self.asks, self.own) = (0, 0, NOTHING);
        self.drawn.clear();
    }

    /// What the turn draws is its instance's, if that is recorded.
    #[inline]
    pub(super) fn draws_for(&mut self, instance: &Instance) {
        self.draws_left = instance.draws_left();
        if self.draws_left.is_some() {
            self.record = instance.recorded_by();
        }
    }

    /// Whether a turn of this activation was slow.
    pub(super) const fn has_slow(&self) -> bool {
        self.timed.1 > 0
    }

    /// Whether the turn came to nothing but its end: it said nothing, and drew nothing of so many numbers.
    pub(crate) fn is_plain(&self, draws_max: Option<usize>) -> bool {
        let said = !self.effects.is_empty() || self.asker.is_some() || self.stop.is_some();
        !said && self.drawn.is_empty() && self.draws_left == draws_max
    }

    /// What the turn tells the actor itself, in order.
    pub(crate) fn take_own_tells(&mut self) -> impl Iterator<Item = (Tag, Body, u32)> {
        let this = &self.cell.addr;
        let own = self.effects.extract_if(.., move |effect| matches!(effect, Effect::Tell { to, .. } if to == this));
        own.filter_map(|effect| match effect {
            Effect::Tell { tag, body, named, .. } => Some((tag, body, named)),
            _ => None,
        })
    }

    /// The turn's time, as the code was told it or would be.
    pub(crate) fn read_now(&mut self) -> u64 {
        let now_ns = *self.now_ns.get_or_insert_with(|| self.cell.shared.clock.wall_ns());
        self.latest_ns = Some(now_ns);
        now_ns
    }

    /// The turn is over, and has to do with timers: they run by the clock that nobody sets.
    pub(crate) fn read_clocks(&mut self) {
        self.read_now();
        self.at = Some(self.cell.shared.clock.now());
    }

    /// The turn's time where the code was told one; else what the activation has read last, so that a turn that does
    /// not look costs no reading of the clock.
    pub(crate) fn about_now(&mut self) -> u64 {
        self.now_ns.or(self.latest_ns).unwrap_or_else(|| self.read_now())
    }

    /// The turn was taken elsewhere, at that time and with these random numbers.
    pub(crate) fn taken_at(&mut self, now_ns: u64, drawn: Vec<u64>) {
        (self.now_ns, self.latest_ns) = (Some(now_ns), Some(now_ns));
        drawn.into_iter().for_each(|drawn| self.keep_drawn(drawn));
    }

    /// An effect of a turn that was taken elsewhere, within the bounds that it would have had here. `own` refuses
    /// numbers that the turn was not given.
    pub(crate) fn play(&mut self, effect: RemoteEffect, own: impl Fn(u64) -> Result<u64, Fault>) -> Result<(), Fault> {
        match effect {
            RemoteEffect::Tell { to, tag, body } => self.tell(to, tag, &body),
            RemoteEffect::Ask(ask) => {
                let RemoteAsk { number, to, tag, body, reply, timeout, then, then_body } = *ask;
                let ask = AskEffect { to, tag, body: &body, reply, timeout, then, then_body: &then_body };
                self.ask_as(own(number)?, ask)
            }
            RemoteEffect::After { id, delay, period, tag, body } => {
                self.after_as(TimerId(own(id.0)?), (delay, period), tag, &body)
            }
            RemoteEffect::Cancel(id) => self.cancel_timer(id),
            RemoteEffect::Reply { call, shape, body } => self.reply(call, shape, &body),
            RemoteEffect::Spawn { child, version, shape, args } => {
                self.spawn(child, version, ports::Body { shape, bytes: &args })
            }
            RemoteEffect::Stop(reason) => self.stop(&reason),
        }
    }

    fn ask_as(&mut self, number: u64, ask: AskEffect<'_>) -> Result<(), Fault> {
        let waiting = self.cell.existing_extras().map_or(0, |extras| extras.continuations.len());
        self.cell.has_room_for_ask(waiting + self.asks)?;
        let (body, then_body) = (self.cell.body(ask.body)?, self.cell.body(ask.then_body)?);
        let AskEffect { to, tag, reply, timeout, then, .. } = ask;
        self.push(Effect::Ask(Box::new(Ask { number, to, tag, body, reply, timeout, then, then_body })))?;
        self.asks += 1;
        Ok(())
    }

    fn after_as(
        &mut self,
        id: TimerId,
        (delay, period): (Duration, Option<Duration>),
        tag: Tag,
        body: &[u8],
    ) -> Result<(), Fault> {
        let running = self.cell.existing_extras().map_or(0, |extras| extras.timers.len());
        self.cell.has_room_for_timer(running + self.timers)?;
        let body = self.cell.body(body)?;
        self.push(Effect::After { id, delay, period, tag, body })?;
        self.timers += 1;
        Ok(())
    }

    fn push(&mut self, effect: Effect) -> Result<(), Fault> {
        self.cell.has_room_for_effect(self.effects.len())?;
        self.effects.push(effect);
        Ok(())
    }

    fn keep_drawn(&mut self, drawn: u64) {
        match self.draws_left.map(|left| left.checked_sub(1)) {
            None => {}
            Some(Some(left)) => {
                self.draws_left = Some(left);
                self.drawn.push(drawn);
            }
            Some(None) => self.overdrawn(),
        }
    }

    /// The turn drew more random numbers than may be kept: none is, and whoever looks sees it, however long it goes on.
    #[cold]
    fn overdrawn(&mut self) {
        (self.draws_left, self.drawn) = (None, Vec::new());
        let outside = self.cell.existing_extras().and_then(|extras| extras.recording.clone());
        // A turn that was given up may draw as well, when its actor is on a later probation.
        let its = outside.filter(|outside| ptr::eq(Arc::as_ptr(outside), self.record));
        its.iter().for_each(|outside| outside.refuse(outside.past_the_bound()));
    }

    /// Counts what the actor tells itself: nothing else pushes back on it.
    fn count_own(&mut self, body_bytes: usize) -> Result<(), Fault> {
        let own =
            Queued { messages: self.own.messages + 1, bytes: self.own.bytes + size_of::<Envelope>() + body_bytes };
        if !self.cell.protocol.has_own_room(own) {
            return Err(no_own_room());
        }
        self.own = own;
        Ok(())
    }
}

fn limit(text: String) -> Fault {
    Fault::new(FaultKind::Limit, text)
}

pub(super) fn reason_of_a_stop(reason: &str) -> Result<String, Fault> {
    if reason.len() > REASON_BYTES_MAX {
        return Err(limit(format!("a reason of {} bytes is over the limit of {REASON_BYTES_MAX}", reason.len())));
    }
    Ok(reason.to_owned())
}

pub(super) fn no_own_room() -> Fault {
    limit("what the actor tells itself would fill its mailbox a second time".to_owned())
}

/// The bounds of a turn, live and when it is done anew.
impl Cell {
    /// Whether an actor that waits for so many answers may ask once more.
    pub(super) fn has_room_for_ask(&self, waiting: usize) -> Result<(), Fault> {
        let asks_max = self.shared.config.asks_in_flight_max;
        if waiting >= asks_max {
            return Err(limit(format!("an actor waits for at most {asks_max} answers")));
        }
        Ok(())
    }

    /// Whether an actor that has so many timers may have another one.
    pub(super) fn has_room_for_timer(&self, running: usize) -> Result<(), Fault> {
        let timers_max = self.shared.config.timers_max;
        if running >= timers_max {
            return Err(limit(format!("an actor has at most {timers_max} timers")));
        }
        Ok(())
    }

    /// Whether a reply of that shape is what whoever waits for `call` expects, if anybody does; `here`: what is known
    /// of the call in this turn.
    pub(super) fn expects(&self, call: CallId, here: Option<Fingerprint>, shape: Fingerprint) -> Result<(), Fault> {
        let shared = &self.shared;
        if call.epoch != shared.config.epoch {
            return Ok(());
        }
        match here.or_else(|| shared.calls.get(&call.number).map(|owed| owed.reply_to.shape())) {
            Some(expected) if expected != shape => {
                let text = format!("the asker expects a reply of shape {expected}, this is {shape}");
                Err(Fault::new(FaultKind::Schema, text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a turn that has so many effects may have another one.
    pub(super) fn has_room_for_effect(&self, effects: usize) -> Result<(), Fault> {
        let effects_max = self.shared.config.effects_per_turn_max;
        if effects >= effects_max {
            return Err(limit(format!("a turn has at most {effects_max} effects")));
        }
        Ok(())
    }

    /// A message's bytes, if they are not too many.
    pub(super) fn body(&self, bytes: &[u8]) -> Result<Body, Fault> {
        let limit_bytes = self.shared.config.message_bytes_max;
        if bytes.len() > limit_bytes {
            return Err(limit(format!("a message of {} bytes is over the limit of {limit_bytes}", bytes.len())));
        }
        Ok(Body::copy(bytes))
    }
}

impl Effects for Buffer<'_> {
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        let body = self.cell.body(body)?;
        if to == self.cell.addr {
            self.count_own(body.len())?;
        }
        self.push(Effect::Tell { to, tag, body, named: 0 })
    }

    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault> {
        let number = self.cell.shared.number();
        self.ask_as(number, ask)?;
        Ok(CallId { epoch: self.cell.shared.config.epoch, number })
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        let id = TimerId(self.cell.shared.number());
        self.after_as(id, (delay, period), tag, body)?;
        Ok(id)
    }

    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault> {
        // In order with the turn's own timers: one may be started and cancelled in the same turn.
        self.push(Effect::Cancel(timer))
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        let here = self.asker.as_ref().filter(|asker| asker.number() == call.number).map(ReplyTo::shape);
        // One that nobody waits for is counted when the turn has ended well.
        self.cell.expects(call, here, shape)?;
        let body = self.cell.body(body)?;
        self.push(Effect::Reply { call, shape, body })
    }

    fn spawn(&mut self, child: Addr, version: Option<Version>, args: ports::Body<'_>) -> Result<(), Fault> {
        let args = StartArgs { shape: args.shape, bytes: self.cell.body(args.bytes)?.into_vec() };
        self.push(Effect::Spawn(Box::new(Spawn { child, version, args })))
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        self.stop = Some(reason_of_a_stop(reason)?);
        Ok(())
    }

    fn later(&mut self, sender: Option<&Addr>) -> Result<Later, Fault> {
        let sender = sender.and_then(|sender| self.cell.shared.cell(sender)).map(ActorRef::new);
        Ok(Later::new(self.asker.take(), sender, Arc::clone(self.cell)))
    }

    fn now(&mut self) -> u64 {
        self.read_now()
    }

    fn random(&mut self) -> u64 {
        let drawn = self.cell.shared.random();
        self.keep_drawn(drawn);
        drawn
    }
}
