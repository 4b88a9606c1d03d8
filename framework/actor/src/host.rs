//! The host as a turn sees it: what happened, and what may be done about it.
//!
//! One object-safe trait stands between an actor and whoever runs it, so that the same actor runs across the C ABI,
//! linked into a program, or captured by a test, and never knows which.

use crate::error::Fault;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral_contract::{Addr, AskError, Fingerprint, Node, Shape, Tag};

/// What a turn is about.
#[derive(Debug, Clone)]
pub struct Turn<'a> {
    /// The message's place in the actor's enum; `u32::MAX` when there is none.
    pub index: u32,
    /// Which message, in which shape.
    pub tag: Tag,
    /// The message.
    pub body: &'a [u8],
    /// Why the turn happens.
    pub cause: TurnCause<'a>,
    /// Who waits for a reply.
    pub waiting: Option<Waiting>,
    /// Path of the actor that handles.
    pub this: &'a [u8],
    /// Path of the actor that sent; empty when no actor did.
    pub sender: &'a [u8],
    /// W3C trace id, or zeros.
    pub trace_id: [u8; 16],
}

/// Why a turn happens, with what it brings.
#[derive(Debug, Clone)]
pub enum TurnCause<'a> {
    /// A message from outside or from another actor.
    Message,
    /// The answer to an ask: the reply's shape and bytes, or why there is none.
    Answer(Result<(Fingerprint, &'a [u8]), AskError>),
    /// A timer.
    Timer,
    /// The instance went live.
    Started,
    /// A monitored actor stopped.
    Down,
    /// An effect could not be delivered; the text says which and why.
    Undelivered(&'a str),
}

/// Somebody waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which call.
    pub call: CallId,
    /// The shape that the asker expects.
    pub shape: Fingerprint,
    /// How long it still waits at the start of the turn.
    pub remaining: Option<Duration>,
}

/// Names a call for as long as somebody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallId {
    /// Boot epoch of the host that made it.
    pub epoch: u64,
    /// Counts from 1.
    pub number: u64,
}

/// Names a timer of this actor; may be kept in state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimerId(pub u64);

impl Shape for TimerId {
    const NODE: &'static Node = &Node::Leaf("timer");
}

/// An ask as an effect.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// Whom.
    pub to: &'a Addr,
    /// The request.
    pub tag: Tag,
    /// Its body.
    pub body: &'a [u8],
    /// The reply's shape, as the asker knows it.
    pub reply: Fingerprint,
    /// How long to wait.
    pub timeout: Duration,
    /// The continuation: a message to oneself.
    pub then: Tag,
    /// Its template, with a hole for the answer.
    pub then_body: &'a [u8],
}

/// A child to start, as an effect.
#[derive(Debug, Clone)]
pub struct Spawn<'a> {
    /// Its address.
    pub child: &'a Addr,
    /// Its version; `None` is the kind's default.
    pub version: Option<&'a str>,
    /// The shape of its start arguments.
    pub shape: Fingerprint,
    /// Its start arguments.
    pub args: &'a [u8],
}

/// What a turn may do. The host buffers every effect and releases all of them, in order, only after the turn's `Ok`.
///
/// The faults of these functions fail the turn; [`FaultKind::Limit`](crate::FaultKind::Limit) when its effects pass
/// their bound, [`FaultKind::Denied`](crate::FaultKind::Denied) when the host does not grant them.
pub trait Host {
    /// Sends a message.
    ///
    /// # Errors
    /// As said on the trait.
    fn tell(&mut self, to: &Addr, tag: Tag, body: &[u8]) -> Result<(), Fault>;
    /// Asks; the answer comes back as message `then`.
    ///
    /// # Errors
    /// As said on the trait.
    fn ask(&mut self, ask: Ask<'_>) -> Result<(), Fault>;
    /// A message to oneself after `delay`, and every `period` from then on if there is one.
    ///
    /// # Errors
    /// As said on the trait.
    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault>;
    /// Cancels a timer; an unknown one is a no-op.
    ///
    /// # Errors
    /// As said on the trait.
    fn cancel(&mut self, timer: TimerId) -> Result<(), Fault>;
    /// Answers a call of this turn or of an earlier one; a stale one is a counted no-op.
    ///
    /// # Errors
    /// As said on the trait; [`FaultKind::Schema`](crate::FaultKind::Schema) when the asker expects another shape.
    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault>;
    /// Starts a child, supervised by this actor.
    ///
    /// # Errors
    /// As said on the trait; whether the start succeeds is seen later.
    fn spawn(&mut self, spawn: Spawn<'_>) -> Result<(), Fault>;
    /// Stops the actor after this turn; an empty reason is a normal stop.
    ///
    /// # Errors
    /// As said on the trait.
    fn stop(&mut self, reason: &str) -> Result<(), Fault>;
    /// Nanoseconds since the Unix epoch, the same all turn long.
    fn now(&mut self) -> u64;
    /// 64 random bits.
    fn random(&mut self) -> u64;
}
