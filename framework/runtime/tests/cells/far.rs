//! Instances that live elsewhere, as far as their cells know: each takes its turns on a thread of its own and sends
//! back what they did.
//!
//! The tests of this folder run a second time with them: see `tests/far.rs`.

use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use teneral_contract::{Addr, AskError, Fingerprint, Tag};
use teneral_runtime::ports::{
    AskEffect, Behaviour, Body, Call, CallId, Cause, Effects, Fault, FaultKind, TimerId, Waiting, Why,
};
use teneral_runtime::remote::{Batch, Done, Given, Remote, RemoteAsk, RemoteEffect, RemoteTurn, Returned};

/// Whether this is the second time.
pub(crate) const FAR: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"far");

/// A turn that fails with this takes its process along; what the turns before it did is known by then.
pub(crate) const DIES: &str = "the process dies";

/// A timer of this delay gets a number that the turn was not given.
pub(crate) const LIES: Duration = Duration::from_secs(77);

/// More would not fit into a frame: some batches are cut.
const BATCH_MAX: usize = 10;

type Inner = Arc<Mutex<Box<dyn Behaviour>>>;

/// The same instance, elsewhere.
pub(crate) fn away(inner: Box<dyn Behaviour>) -> Box<dyn Behaviour> {
    let inner: Inner = Arc::new(Mutex::new(inner));
    let (way, batches) = mpsc::channel::<(Vec<Order>, Done)>();
    let elsewhere = Arc::clone(&inner);
    thread::spawn(move || {
        for (orders, done) in batches {
            done.with(take_turns(&elsewhere, orders));
        }
    });
    Box::new(Far { inner, way })
}

struct Far {
    inner: Inner,
    way: mpsc::Sender<(Vec<Order>, Done)>,
}

impl Behaviour for Far {
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.inner.lock().started(why, call, effects)
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.inner.lock().handle(call, effects)
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        self.inner.lock().save(bytes_max)
    }

    fn remote(&mut self) -> Option<&mut dyn Remote> {
        Some(self)
    }
}

impl Remote for Far {
    fn batch(&mut self) -> Box<dyn Batch> {
        Box::new(Orders { orders: Vec::new(), way: self.way.clone() })
    }
}

struct Orders {
    orders: Vec<Order>,
    way: mpsc::Sender<(Vec<Order>, Done)>,
}

/// A call that is nobody's.
struct Order {
    /// It is the first turn.
    starts: Option<Why>,
    index: u32,
    tag: Tag,
    body: Vec<u8>,
    because: Because,
    waiting: Option<Waiting>,
    this: Addr,
    sender: Option<Addr>,
    given: Given,
}

enum Because {
    Message,
    Answer(Result<(Fingerprint, Vec<u8>), AskError>),
    Timer,
    Started,
    Undelivered(String),
}

impl Order {
    fn of(call: &Call<'_>, starts: Option<Why>, given: Given) -> Self {
        let because = match &call.cause {
            Cause::Message => Because::Message,
            Cause::Answer(Ok(Body { shape, bytes })) => Because::Answer(Ok((*shape, bytes.to_vec()))),
            Cause::Answer(Err(error)) => Because::Answer(Err((*error).clone())),
            Cause::Timer => Because::Timer,
            Cause::Started => Because::Started,
            Cause::Undelivered(text) => Because::Undelivered((*text).to_owned()),
        };
        let Call { index, tag, body, waiting, this, sender, .. } = call;
        let (body, this, sender) = (body.to_vec(), (*this).clone(), sender.cloned());
        Self { starts, index: *index, tag: *tag, body, because, waiting: *waiting, this, sender, given }
    }

    fn take(&self, inner: &mut dyn Behaviour, effects: &mut Written) -> Result<(), Fault> {
        let cause = match &self.because {
            Because::Message => Cause::Message,
            Because::Answer(Ok((shape, bytes))) => Cause::Answer(Ok(Body { shape: *shape, bytes })),
            Because::Answer(Err(error)) => Cause::Answer(Err(error)),
            Because::Timer => Cause::Timer,
            Because::Started => Cause::Started,
            Because::Undelivered(text) => Cause::Undelivered(text),
        };
        let Self { starts, index, tag, body, waiting, this, sender, .. } = self;
        let (sender, trace_id) = (sender.as_ref(), [0; 16]);
        let call = Call { index: *index, tag: *tag, body, cause, waiting: *waiting, this, sender, trace_id };
        match starts {
            Some(why) => inner.started(*why, &call, effects),
            None => inner.handle(&call, effects),
        }
    }
}

impl Batch for Orders {
    fn started(&mut self, why: Why, call: &Call<'_>, given: Given) {
        self.orders.push(Order::of(call, Some(why), given));
    }

    fn add(&mut self, call: &Call<'_>, given: Given) {
        self.orders.push(Order::of(call, None, given));
    }

    fn is_full(&self) -> bool {
        self.orders.len() >= BATCH_MAX
    }

    fn send(self: Box<Self>, done: Done) {
        // Nobody there: `done` is dropped, and says so.
        let _ = self.way.send((self.orders, done));
    }
}

fn take_turns(inner: &Inner, orders: Vec<Order>) -> Returned {
    let mut turns = Vec::new();
    for order in orders {
        let mut written = Written { given: order.given, effects: Vec::new(), used: 0, drawn: Vec::new(), stops: false };
        let began = Instant::now();
        let taken = catch_unwind(AssertUnwindSafe(|| order.take(&mut **inner.lock(), &mut written)));
        let ended = match taken {
            Ok(ended) => ended.map(|()| written.effects),
            Err(_) => Err(Fault::new(FaultKind::Panic, "a panic without a text")),
        };
        if matches!(&ended, Err(fault) if fault.text == DIES) {
            return Returned { turns, gone: Some(DIES.to_owned()), begun: true };
        }
        let last = written.stops || matches!(&ended, Err(fault) if fault.kind == FaultKind::Panic);
        turns.push(RemoteTurn { ended, drawn: written.drawn, took: began.elapsed() });
        if last {
            break;
        }
    }
    Returned { turns, ..Returned::default() }
}

/// Effects as they are sent back.
struct Written {
    given: Given,
    effects: Vec<RemoteEffect>,
    /// Numbers of those that it was given.
    used: u64,
    drawn: Vec<u64>,
    stops: bool,
}

impl Written {
    fn number(&mut self) -> u64 {
        self.used += 1;
        self.given.numbers + self.used - 1
    }
}

impl Effects for Written {
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        self.effects.push(RemoteEffect::Tell { to, tag, body: body.to_vec() });
        Ok(())
    }

    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault> {
        let number = self.number();
        let AskEffect { to, tag, body, reply, timeout, then, then_body } = ask;
        let (body, then_body) = (body.to_vec(), then_body.to_vec());
        let ask = RemoteAsk { number, to, tag, body, reply, timeout, then, then_body };
        self.effects.push(RemoteEffect::Ask(Box::new(ask)));
        Ok(CallId { epoch: self.given.epoch, number })
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        let id = TimerId(if delay == LIES { 1 } else { self.number() });
        self.effects.push(RemoteEffect::After { id, delay, period, tag, body: body.to_vec() });
        Ok(id)
    }

    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault> {
        self.effects.push(RemoteEffect::Cancel(timer));
        Ok(())
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        self.effects.push(RemoteEffect::Reply { call, shape, body: body.to_vec() });
        Ok(())
    }

    fn spawn(&mut self, child: Addr, version: Option<semver::Version>, args: Body<'_>) -> Result<(), Fault> {
        let Body { shape, bytes } = args;
        self.effects.push(RemoteEffect::Spawn { child, version, shape, args: bytes.to_vec() });
        Ok(())
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        self.stops = true;
        self.effects.push(RemoteEffect::Stop(reason.to_owned()));
        Ok(())
    }

    fn now(&mut self) -> u64 {
        self.given.now_ns
    }

    fn random(&mut self) -> u64 {
        let drawn = self.given.draw();
        self.drawn.push(drawn);
        drawn
    }
}
