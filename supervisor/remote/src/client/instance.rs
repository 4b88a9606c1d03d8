//! One instance of a module, as its cell has it.

use super::Process;
use super::speech::Asked;
use super::turns::Due;
use crate::convert::to_turn;
use crate::proto;
use crate::{FRAME_BYTES, FRAME_TURNS_MAX};
use prost::Message;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use teneral_runtime::ports::{Behaviour, Body, Call, Effects, Fault, FaultKind, Why};
use teneral_runtime::remote::{Batch, Done, Given, Remote, RemoteEffect, RemoteTurn};

/// Ids that are asked for outside of a cell are replaced by those that the asker gives: these are nobody's.
const NUMBERS: u64 = 1 << 62;
/// Effects of a turn that is taken outside of a cell.
const NUMBERS_MAX: u64 = 1 << 16;

/// See the module. Dropped, the process drops it too.
pub(super) struct Instance {
    process: Arc<Process>,
    id: u64,
    /// The number of the latest turn.
    latest: Arc<AtomicU64>,
}

impl Instance {
    pub(super) fn new(process: Arc<Process>, id: u64) -> Self {
        Self { process, id, latest: Arc::default() }
    }

    /// One turn, waited for: outside of a cell, where somebody looks at what the code would do.
    fn turn(&mut self, call: &Call<'_>, why: Option<Why>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let (now_ns, seed) = (effects.now(), effects.random());
        let epoch = call.waiting.map_or(0, |waiting| waiting.call.epoch);
        let given = Given { now_ns, seed, epoch, numbers: NUMBERS, numbers_max: NUMBERS_MAX };
        let mut batch = Turns::new(self);
        batch.push(call, why, given);
        let (back, is_back) = mpsc::sync_channel(1);
        Box::new(batch).send(Done::new(move |returned| drop(back.send(returned))));
        let returned = is_back.recv().map_err(|error| gone(&error.to_string()))?;
        let RemoteTurn { ended, .. } = match (returned.turns.into_iter().next(), returned.gone) {
            (Some(turn), _) => turn,
            (None, why) => return Err(gone(why.as_deref().unwrap_or("it takes no turn any more"))),
        };
        ended?.into_iter().try_for_each(|effect| play(effect, effects))
    }
}

fn gone(why: &str) -> Fault {
    Fault::new(FaultKind::Failed, format!("the module is gone: {why}"))
}

/// Says an effect to whoever looks. What the code keeps the id of cannot be said: it has another one by now.
fn play(effect: RemoteEffect, effects: &mut dyn Effects) -> Result<(), Fault> {
    let kept = |what: &str| {
        let text = format!("{what} of a module in a process of its own can only begin in a turn of its actor");
        Err(Fault::new(FaultKind::Denied, text))
    };
    match effect {
        RemoteEffect::Tell { to, tag, body } => effects.tell(to, tag, &body),
        RemoteEffect::Ask(ask) => kept(&format!("an ask of {}", ask.to)),
        RemoteEffect::After { .. } => kept("a timer"),
        RemoteEffect::Cancel(id) => effects.cancel_timer(id),
        RemoteEffect::Reply { call, shape, body } => effects.reply(call, shape, &body),
        RemoteEffect::Spawn { child, version, shape, args } => {
            effects.spawn(child, version, Body { shape, bytes: &args })
        }
        RemoteEffect::Stop(reason) => effects.stop(&reason),
    }
}

impl Behaviour for Instance {
    fn started(&mut self, why: Why, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.turn(call, Some(why), effects)
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        self.turn(call, None, effects)
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        self.process.save(self.id, bytes_max)
    }

    fn remote(&mut self) -> Option<&mut dyn Remote> {
        Some(self)
    }
}

impl Remote for Instance {
    fn batch(&mut self) -> Box<dyn Batch> {
        Box::new(Turns::new(self))
    }

    fn gone(&self) -> Option<String> {
        self.process.gone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.process.discard(self.id);
    }
}

/// A batch that is being written. Of one instance only one is written or away at a time.
struct Turns {
    process: Arc<Process>,
    instance: u64,
    latest: Arc<AtomicU64>,
    due: VecDeque<Due>,
    turns: Vec<proto::Turn>,
    bytes: usize,
}

impl Turns {
    fn new(instance: &Instance) -> Self {
        let (process, latest) = (Arc::clone(&instance.process), Arc::clone(&instance.latest));
        Self { process, instance: instance.id, latest, due: VecDeque::new(), turns: Vec::new(), bytes: 0 }
    }

    fn push(&mut self, call: &Call<'_>, why: Option<Why>, given: Given) {
        // Counted when it is sent: what is not sent takes no number.
        let number = self.latest.load(Ordering::Relaxed) + 1;
        match self.process.speech().turn(to_turn((self.instance, number), call, why, given), call) {
            Ok(turn) => {
                self.latest.store(number, Ordering::Relaxed);
                self.bytes += turn.encoded_len();
                self.turns.push(turn);
                self.due.push_back(Due::Answer(Asked::of(number, call, given)));
            }
            Err(fault) => self.due.push_back(Due::Fault(fault)),
        }
    }
}

impl Batch for Turns {
    fn started(&mut self, why: Why, call: &Call<'_>, given: Given) {
        self.push(call, Some(why), given);
    }

    fn add(&mut self, call: &Call<'_>, given: Given) {
        self.push(call, None, given);
    }

    fn is_full(&self) -> bool {
        self.due.len() >= FRAME_TURNS_MAX || self.bytes >= FRAME_BYTES
    }

    fn send(self: Box<Self>, done: Done) {
        let Self { process, instance, due, turns, .. } = *self;
        process.take_turns(instance, due, turns, done);
    }
}
