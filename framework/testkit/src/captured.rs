//! One turn of an actor, with its effects captured as values instead of released.

use std::time::Duration;
use teneral_actor::host::{Ask, CallId, Host, Spawn, Turn, TurnCause, Waiting};
use teneral_actor::{Actor, Fault, TimerId, Why, engine};
use teneral_contract::{Addr, DecodeError, Fingerprint, Message, Tag, Wire};

/// What a turn wanted done.
#[derive(Debug, Default)]
pub struct Captured {
    /// Replies, in order.
    pub replies: Vec<Reply>,
    /// Messages to others: to whom, and the message.
    pub tells: Vec<(Addr, Encoded)>,
    /// Asks: to whom, the request, and how long the actor would wait.
    pub asks: Vec<(Addr, Encoded, Duration)>,
    /// Timers: delay, period, and the message to oneself.
    pub timers: Vec<(Duration, Option<Duration>, Encoded)>,
    /// Timers that were cancelled.
    pub cancelled: Vec<TimerId>,
    /// Children: address, version, and start arguments.
    pub spawns: Vec<(Addr, Option<String>, Encoded)>,
    /// The reason of a stop; empty for a normal one.
    pub stop: Option<String>,
}

/// A reply, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Which call it answers.
    pub call: CallId,
    /// The reply.
    pub encoded: Encoded,
}

/// A body with its tag; a reply's or an argument's variant is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Which message, in which shape.
    pub tag: Tag,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Encoded {
    fn new(tag: Tag, body: &[u8]) -> Self {
        Self { tag, body: body.to_vec() }
    }

    fn of_shape(fingerprint: Fingerprint, body: &[u8]) -> Self {
        Self::new(Tag { variant: 0, fingerprint }, body)
    }

    /// The value.
    ///
    /// # Errors
    /// When it is no `T`.
    pub fn read<T: Wire>(&self) -> Result<T, DecodeError> {
        T::decode(self.tag.fingerprint, &self.body)
    }
}

impl Captured {
    /// The one reply, read.
    ///
    /// # Panics
    /// When there is not exactly one, or it is no `T`.
    #[must_use]
    pub fn reply<T: Wire>(&self) -> T {
        let reply = self.replies.first().filter(|_| self.replies.len() == 1);
        let reply = reply.expect("a turn that is waited for replies once");
        reply.encoded.read().expect("the reply is of the type that is asked for")
    }
}

/// What [`run`] names the actor that it runs.
pub const THIS: &str = "actor/under-test";
/// The call that [`run`] lets somebody wait on.
pub const CALL: CallId = CallId { epoch: 1, number: 1 };

/// Runs one message as a turn of `actor`; a request is waited for.
///
/// # Errors
/// The fault that the turn ends with; its effects are dropped, as a host would drop them.
pub fn run<A: Actor>(actor: &mut A, message: impl Into<A::Message>) -> Result<Captured, Fault> {
    run_with(actor, message, TurnCause::Message)
}

/// As [`run`], for a cause of one's own.
///
/// # Errors
/// As [`run`].
pub fn run_with<A: Actor>(
    actor: &mut A,
    message: impl Into<A::Message>,
    cause: TurnCause<'_>,
) -> Result<Captured, Fault> {
    let message = message.into();
    let variants = A::Message::VARIANTS;
    let place = variants.iter().position(|variant| variant.tag == message.tag());
    let asked = place.and_then(|place| variants[place].reply);
    let turn = Turn {
        index: place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX),
        tag: message.tag(),
        body: &[],
        cause,
        waiting: asked.map(|reply| Waiting { call: CALL, shape: reply.fingerprint, remaining: None }),
        this: THIS.as_bytes(),
        sender: &[],
        trace_id: [0; 16],
    };
    let mut captured = Recorder::default();
    engine::deliver(actor, message, &turn, &mut captured)?;
    Ok(captured.effects)
}

/// Lets `actor` go live.
///
/// # Errors
/// As [`run`].
pub fn run_started<A: Actor>(actor: &mut A, why: Why) -> Result<Captured, Fault> {
    let turn = Turn {
        index: u32::MAX,
        tag: Tag { variant: 0, fingerprint: Fingerprint::NONE },
        body: &[],
        cause: TurnCause::Started,
        waiting: None,
        this: THIS.as_bytes(),
        sender: &[],
        trace_id: [0; 16],
    };
    let mut captured = Recorder::default();
    engine::started(actor, why, &turn, &mut captured)?;
    Ok(captured.effects)
}

#[derive(Default)]
struct Recorder {
    effects: Captured,
    random: u64,
}

impl Host for Recorder {
    fn tell(&mut self, to: &Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        self.effects.tells.push((to.clone(), Encoded::new(tag, body)));
        Ok(())
    }

    fn ask(&mut self, ask: Ask<'_>) -> Result<(), Fault> {
        self.effects.asks.push((ask.to.clone(), Encoded::new(ask.tag, ask.body), ask.timeout));
        Ok(())
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        self.effects.timers.push((delay, period, Encoded::new(tag, body)));
        Ok(TimerId(self.effects.timers.len() as u64))
    }

    fn cancel(&mut self, timer: TimerId) -> Result<(), Fault> {
        self.effects.cancelled.push(timer);
        Ok(())
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        self.effects.replies.push(Reply { call, encoded: Encoded::of_shape(shape, body) });
        Ok(())
    }

    fn spawn(&mut self, spawn: Spawn<'_>) -> Result<(), Fault> {
        let args = Encoded::of_shape(spawn.shape, spawn.args);
        self.effects.spawns.push((spawn.child.clone(), spawn.version.map(str::to_owned), args));
        Ok(())
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        self.effects.stop = Some(reason.to_owned());
        Ok(())
    }

    fn now(&mut self) -> u64 {
        0
    }

    fn random(&mut self) -> u64 {
        // Counts, so that a test reads the same numbers every time.
        self.random += 1;
        self.random
    }
}
