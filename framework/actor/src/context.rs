//! What a handler may do: effects as data.
//!
//! Every effect is encoded at once and buffered by the host, which releases them in order after the handler's `Ok`. So
//! none returns a result: one that cannot be encoded, or that the host refuses, fails the turn as an error of the
//! handler would, and nothing is released.

use crate::actor::Actor;
use crate::error::{Fault, FaultKind, Result};
use crate::host::{Ask, CallId, Host, Spawn, TimerId, Turn, TurnCause};
use serde::{Deserialize, Serialize};
use std::{marker::PhantomData, time::Duration};
use teneral_contract::{Addr, Answer, EncodeError, Fingerprint, Message, Node, Request, Shape, Wire, answer, codec};

/// One turn's context.
pub struct Context<'a, A: Actor> {
    turn: &'a Turn<'a>,
    host: &'a mut dyn Host,
    failed: Option<Fault>,
    actor: PhantomData<fn() -> A>,
}

/// Why a turn happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A message from outside or from another actor.
    Message,
    /// The answer to an ask.
    Answer,
    /// A timer.
    Timer,
    /// The instance went live.
    Started,
    /// A monitored actor stopped.
    Down,
    /// An effect could not be delivered; the text says which and why.
    Undelivered(&'a str),
}

/// A reply that is still owed; kept in state until [`Context::reply_to`].
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct ReplyHandle<T> {
    call: CallId,
    shape: Fingerprint,
    #[serde(skip)]
    reply: PhantomData<fn() -> T>,
}

impl<T> ReplyHandle<T> {
    /// The same call, to be answered with a newer or older type of the same reply: for a migration.
    #[must_use]
    pub fn cast<U>(self) -> ReplyHandle<U> {
        ReplyHandle { call: self.call, shape: self.shape, reply: PhantomData }
    }
}

impl<T> std::fmt::Debug for ReplyHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReplyHandle({}.{})", self.call.epoch, self.call.number)
    }
}

// The same for every `T`: a handle is bytes at rest, and its own `shape` says what the asker expects.
impl<T> Shape for ReplyHandle<T> {
    const NODE: &'static Node = &Node::Leaf("reply-handle");
}

impl<'a, A: Actor> Context<'a, A> {
    pub(crate) fn new(turn: &'a Turn<'a>, host: &'a mut dyn Host) -> Self {
        Self { turn, host, failed: None, actor: PhantomData }
    }

    /// What became of the effects: the first that failed fails the turn.
    pub(crate) fn finish(self) -> Result<(), Fault> {
        self.failed.map_or(Ok(()), Err)
    }

    /// Answers whoever asked with this turn's message; nothing happens when nobody waits. An older asker gets the
    /// reply as the shape it knows. Fails the turn when `reply` is not what the message declares.
    pub fn reply<T: Wire>(&mut self, reply: &T) {
        let Some(waiting) = self.turn.waiting.filter(|_| self.declares::<T>()) else { return };
        self.answer(waiting.call, waiting.shape, reply);
    }

    /// Whether somebody waits for a reply to this turn's message.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.turn.waiting.is_some()
    }

    /// How long the asker still waits; `None` when nobody does, or without a bound.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.turn.waiting.and_then(|waiting| waiting.remaining)
    }

    /// A handle to answer by in a later turn, to be kept in state; it survives upgrades. One for a call that nobody
    /// waits for, or that has timed out, answers nobody. Fails the turn when `T` is not what the message declares.
    pub fn reply_later<T: Wire>(&mut self) -> ReplyHandle<T> {
        self.declares::<T>();
        let nobody = (CallId { epoch: 0, number: 0 }, T::FINGERPRINT);
        let (call, shape) = self.turn.waiting.map_or(nobody, |waiting| (waiting.call, waiting.shape));
        ReplyHandle { call, shape, reply: PhantomData }
    }

    /// Answers an earlier call.
    pub fn reply_to<T: Wire>(&mut self, handle: ReplyHandle<T>, reply: &T) {
        if handle.call.number != 0 {
            self.answer(handle.call, handle.shape, reply);
        }
    }

    /// Sends `message` to another actor, or to oneself.
    pub fn tell<M: Wire>(&mut self, to: &Addr, message: M) {
        let host = &mut *self.host;
        let sent = encoded(|body| codec::encode(&message, body)).and_then(|body| host.tell(to, M::tag(), &body));
        self.settle(sent);
    }

    /// Asks another actor. `then` is called at once with a hole in place of the answer; what it builds is the message
    /// that brings the answer back, whichever version of the code runs by then: one of this actor's own.
    pub fn ask<R: Request, M: Wire>(
        &mut self,
        to: &Addr,
        request: R,
        timeout: Duration,
        then: impl FnOnce(Answer<R::Reply>) -> M,
    ) where
        A::Message: From<M>,
    {
        let host = &mut *self.host;
        let asked = encoded(|body| codec::encode(&request, body)).and_then(|body| {
            let message = then(Answer::hole());
            let then_body = encoded(|body| answer::with_holes(|| codec::encode(&message, body)))?;
            let (tag, reply) = (R::tag(), <R::Reply as Shape>::FINGERPRINT);
            host.ask(Ask { to, tag, body: &body, reply, timeout, then: M::tag(), then_body: &then_body })
        });
        self.settle(asked);
    }

    /// Sends oneself `message`, one of this actor's own, after `delay`.
    pub fn after<M: Wire>(&mut self, delay: Duration, message: M) -> TimerId
    where
        A::Message: From<M>,
    {
        self.timer(delay, None, &message)
    }

    /// Sends oneself `message` every `period`, the first time after one.
    pub fn every<M: Wire>(&mut self, period: Duration, message: M) -> TimerId
    where
        A::Message: From<M>,
    {
        self.timer(period, Some(period), &message)
    }

    /// Cancels a timer; one that has fired for the last time is left alone.
    pub fn cancel(&mut self, timer: TimerId) {
        let cancelled = self.host.cancel(timer);
        self.settle(cancelled);
    }

    /// Starts `kind/key` as a child, in the kind's default version; it stops with this actor and stays over upgrades.
    ///
    /// # Errors
    /// When `kind/key` is no address.
    pub fn spawn<T: Wire>(&mut self, kind: &str, key: &str, args: &T) -> Result<Addr> {
        self.child(kind, key, None, args)
    }

    /// As [`Context::spawn`], in the given version.
    ///
    /// # Errors
    /// When `kind/key` is no address.
    pub fn spawn_version<T: Wire>(&mut self, kind: &str, key: &str, version: &str, args: &T) -> Result<Addr> {
        self.child(kind, key, Some(version), args)
    }

    /// Stops this actor after the turn.
    pub fn stop(&mut self) {
        self.stop_because("");
    }

    /// Stops this actor after the turn, for a reason that its supervisor acts on.
    pub fn stop_because(&mut self, reason: &str) {
        let stopped = self.host.stop(reason);
        self.settle(stopped);
    }

    /// Nanoseconds since the Unix epoch: the host's clock, the same all turn long.
    #[must_use]
    pub fn now(&mut self) -> u64 {
        self.host.now()
    }

    /// 64 random bits from the host, which can give a replay the same ones.
    #[must_use]
    pub fn random(&mut self) -> u64 {
        self.host.random()
    }

    /// This actor's address.
    ///
    /// # Panics
    /// Never under a host that keeps the ABI: actors have valid addresses.
    #[must_use]
    pub fn this(&self) -> Addr {
        addr(self.turn.this).expect("the host names actors by valid addresses")
    }

    /// The actor that sent this message; `None` when no actor did.
    #[must_use]
    pub fn sender(&self) -> Option<Addr> {
        addr(self.turn.sender)
    }

    /// Why this turn happens.
    #[must_use]
    pub fn cause(&self) -> Cause<'a> {
        match self.turn.cause {
            TurnCause::Message => Cause::Message,
            TurnCause::Answer(_) => Cause::Answer,
            TurnCause::Timer => Cause::Timer,
            TurnCause::Started => Cause::Started,
            TurnCause::Down => Cause::Down,
            TurnCause::Undelivered(text) => Cause::Undelivered(text),
        }
    }

    /// The W3C trace id that the message came with, or zeros.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.turn.trace_id
    }

    fn declares<T: Wire>(&mut self) -> bool {
        let message = A::Message::VARIANTS.get(self.turn.index as usize);
        let declared = message.and_then(|message| message.reply);
        if declared.is_some_and(|reply| reply.fingerprint == T::FINGERPRINT) {
            return true;
        }
        let text = match (message, declared) {
            (None, _) => "a reply needs a message to answer".to_owned(),
            (Some(message), None) => format!("message {} declares no reply", message.name),
            (Some(message), Some(_)) => format!("{} is not the reply that {} declares", T::NAME, message.name),
        };
        self.settle(Err(Fault::new(FaultKind::Schema, text)));
        false
    }

    fn answer<T: Wire>(&mut self, call: CallId, shape: Fingerprint, reply: &T) {
        let host = &mut *self.host;
        let sent = encoded(|body| reply.encode_as(shape, body)).and_then(|body| host.reply(call, shape, &body));
        self.settle(sent);
    }

    fn timer<M: Wire>(&mut self, delay: Duration, period: Option<Duration>, message: &M) -> TimerId {
        let host = &mut *self.host;
        let timer =
            encoded(|body| codec::encode(message, body)).and_then(|body| host.after(delay, period, M::tag(), &body));
        timer.unwrap_or_else(|fault| {
            self.settle(Err(fault));
            TimerId(0)
        })
    }

    fn child<T: Wire>(&mut self, kind: &str, key: &str, version: Option<&str>, args: &T) -> Result<Addr> {
        let child = Addr::new(&format!("{kind}/{key}"))?;
        let host = &mut *self.host;
        let spawned = encoded(|body| codec::encode(args, body))
            .and_then(|args| host.spawn(Spawn { child: &child, version, shape: T::FINGERPRINT, args: &args }));
        self.settle(spawned);
        Ok(child)
    }

    fn settle(&mut self, done: Result<(), Fault>) {
        if let Err(fault) = done {
            self.failed.get_or_insert(fault);
        }
    }
}

fn addr(path: &[u8]) -> Option<Addr> {
    Addr::new(std::str::from_utf8(path).ok()?).ok()
}

fn encoded(write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> Result<Vec<u8>, Fault> {
    // Room at once for what most messages take: grown field by field, a small one would be moved twice.
    let mut body = Vec::with_capacity(64);
    write(&mut body)?;
    Ok(body)
}
