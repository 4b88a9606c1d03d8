//! An actor whose process is gone goes on from its last checkpoint: the turns since are taken once more, by the same
//! version in the next process, and say nothing this time.
//!
//! Each turn is given what it was given before: its time, its random numbers, the numbers of its asks and timers. So
//! the answers and timers that the host has for it are those that its state knows. What it says is held against what
//! was released, by (message, target, kind, ordinal) and not by bytes; what was released is not sent twice, and where
//! something else comes out the work is not believed: the actor begins with its checkpoint, and that is told.

use super::Cell;
use super::Instance;
use super::checkpoint::{Base, Checkpointed};
use super::envelope::NO_INDEX;
use super::log::{Entry, Told};
use super::record::Said;
use crate::checkpoint::{NotReplayed, Recovered};
use crate::events::What;
use crate::ports::{self, Behaviour, Call, Cause, Fault, FaultKind, Provider, Why, guarded};
use crate::remote::{Batch, Done, Given, RemoteEffect, RemoteTurn, Returned};
use std::mem;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use teneral_contract::Addr;

/// Turns that are sent at once.
const BATCH_TURNS_MAX: usize = 64;
/// So many processes may die of one restart's work before the work is given up: one for whatever happened beside it,
/// and two for each of two messages.
const DEATHS_MAX: usize = 5;

/// How processes died while they did the turns since a checkpoint.
#[derive(Default)]
pub(super) struct Deaths {
    count: usize,
    /// The turn that was alone in the hands of the latest.
    alone_with: Option<usize>,
}

/// Why the turns were not all done.
enum Stopped {
    /// Nothing else would come of another try.
    For(NotReplayed),
    /// The process is gone, which had begun with this turn; `None`: with none, as far as anybody knows.
    Gone(Option<usize>, String),
}

impl Cell {
    /// A new instance for the supervisor: of the checkpoint and what came since, if the last one's process is gone, or
    /// as `restart_state` says.
    ///
    /// # Errors
    /// What the code says, or why no process could be started.
    pub(crate) fn rebuild(self: &Arc<Self>) -> Result<Box<dyn Behaviour>, Fault> {
        let Some(checkpointed) = self.checkpointed() else { return self.make_again() };
        let mut checkpointed = checkpointed.lock();
        checkpointed.made = None;
        if checkpointed.gone { self.go_on_from(&mut checkpointed) } else { self.make_again() }
    }

    /// Before somebody has the state of an instance whose process is gone, with nothing in its hands: another one goes
    /// on in its place. Where there is none, the state cannot be had, as of any instance that is gone.
    pub(crate) fn go_on_in_place(self: &Arc<Self>, instance: &mut Instance) {
        let gone = instance.behaviour.remote().and_then(|remote| remote.gone());
        if gone.is_none() || self.checkpointed().is_none() {
            return;
        }
        self.lost_its_process();
        match self.shared.executor.watches.wait(self, || self.rebuild()) {
            Ok(made) => {
                let lost = mem::replace(&mut instance.behaviour, made);
                let (provider, version) = (Arc::clone(&instance.provider), instance.provider.version().clone());
                self.shared.executor.dropper.drop(self, Instance::new(lost, provider));
                if let Some(recovered) = self.keep_on(false) {
                    self.shared.events.emit(What::Recovered { addr: self.addr.clone(), version, recovered });
                }
            }
            Err(fault) => tracing::warn!(actor = %self.addr, kind = self.addr.kind(), %fault, "its process is gone"),
        }
    }

    fn go_on_from(self: &Arc<Self>, kept: &mut Checkpointed) -> Result<Box<dyn Behaviour>, Fault> {
        let (began, provider) = (Instant::now(), self.provider());
        // Whoever waits for the instance gives up after all of it.
        let budget = self.shared.config.start_timeout / 2;
        loop {
            let mut made = self.make_of_base(&*provider, kept)?;
            let why = match kept.not_replayed() {
                Some(why) => why,
                None => match self.redo(&provider, &mut *made, kept, (began, budget)) {
                    Ok(replayed) => {
                        kept.deaths = Deaths::default();
                        kept.is_made(began, (replayed, kept.turns - replayed), kept.aside_why.clone());
                        return Ok(made);
                    }
                    Err(Stopped::For(why)) => {
                        kept.refusal = Some(why);
                        continue; // The instance is not what it was at the checkpoint any more.
                    }
                    Err(Stopped::Gone(with, text)) => {
                        let message = name_of(&provider, kept, with);
                        kept.died(with, &message, &text);
                        if began.elapsed() > budget {
                            return Err(Fault::new(FaultKind::Failed, text)); // The supervisor says whether to go on.
                        }
                        continue;
                    }
                },
            };
            kept.is_made(began, (0, kept.turns), Some(why));
            return Ok(made);
        }
    }

    fn make_of_base(&self, provider: &dyn Provider, kept: &mut Checkpointed) -> Result<Box<dyn Behaviour>, Fault> {
        if matches!(kept.base, Base::Unknown) {
            kept.base = self.restart_snapshot().map_or(Base::Args, Base::State);
            kept.refusal.get_or_insert_with(|| NotReplayed::NotTaken(Fault::new(FaultKind::Failed, "there was none")));
        }
        let base = kept.base.clone();
        guarded(|| match base {
            Base::State(snapshot) => provider.restore(snapshot.schema, &snapshot.bytes),
            Base::Args | Base::Unknown => self.make_anew(provider),
        })
    }

    /// Has the turns taken once more. How many were.
    fn redo(
        self: &Arc<Self>,
        provider: &Arc<dyn Provider>,
        made: &mut dyn Behaviour,
        kept: &Checkpointed,
        (began, budget): (Instant, Duration),
    ) -> Result<usize, Stopped> {
        if cfg!(feature = "bug-p30") {
            return Ok(kept.turns); // Planted: what came since the checkpoint is said to be done, and is not.
        }
        let alone = kept.deaths.count > 0;
        let mut entries = kept.log.iter().enumerate().filter(|(number, _)| !kept.aside.contains(number)).peekable();
        let mut done = 0;
        while entries.peek().is_some() {
            let Some(mut batch) = made.remote().map(|remote| remote.batch()) else { break };
            let mut sent: Vec<(usize, Entry<'_>)> = Vec::new();
            while sent.is_empty() || !(alone || batch.is_full() || sent.len() >= BATCH_TURNS_MAX) {
                let Some((number, entry)) = entries.next() else { break };
                self.say_again(&mut *batch, provider, entry);
                sent.push((number, entry));
            }
            let (came, comes) = mpsc::sync_channel(1);
            // Whoever sends may be told later than anybody waits for it.
            batch.send(Done::new(move |returned| drop(came.send(returned))));
            let late = || Stopped::For(NotReplayed::Budget { done, of: kept.turns, budget });
            let returned = comes.recv_timeout(budget.saturating_sub(began.elapsed())).map_err(|_| late())?;
            let Returned { turns, gone, begun } = returned;
            let back = turns.len();
            for ((number, entry), turn) in sent.iter().zip(turns) {
                if cfg!(feature = "bug-p32") {
                    self.say_twice(&turn);
                }
                self.is_same(*entry, turn).map_err(|what| {
                    let message = name_of(provider, kept, Some(*number));
                    Stopped::For(NotReplayed::Differs { message, number: number + 1, what })
                })?;
                done += 1;
            }
            if back < sent.len() {
                let with = sent.get(back).map(|(number, _)| *number).filter(|_| begun && alone);
                return Err(Stopped::Gone(with, gone.unwrap_or_else(|| "it did not take all of its turns".to_owned())));
            }
        }
        Ok(done)
    }

    /// Adds a turn as it was, to be taken once more.
    fn say_again(&self, batch: &mut dyn Batch, provider: &Arc<dyn Provider>, entry: Entry<'_>) {
        let elsewhere = entry.elsewhere();
        let nothing_given = || {
            // It had no use for them: it asked, planned and drew nothing.
            let numbers_max = self.shared.config.effects_per_turn_max as u64;
            let (epoch, numbers) = (self.shared.config.epoch, self.shared.numbers(numbers_max));
            Given { now_ns: entry.now_ns, seed: 0, epoch, numbers, numbers_max }
        };
        let given = elsewhere.map_or_else(nothing_given, |elsewhere| elsewhere.given);
        let told = entry.told();
        if let Told::Started = told {
            let why = elsewhere.and_then(|elsewhere| elsewhere.why).unwrap_or(Why::Restarted);
            return batch.started(why, &self.first_call(), given);
        }
        let cause = match &told {
            Told::Answer(_, answer) => {
                Cause::Answer(answer.as_ref().map(|reply| ports::Body { shape: reply.shape, bytes: &reply.body }))
            }
            Told::Timer(_) => Cause::Timer,
            Told::Undelivered(text, _) => Cause::Undelivered(text),
            Told::Started | Told::Tell(_) | Told::Ask(_) => Cause::Message,
        };
        // The same code had a way for it.
        let index = provider.contract().resolve(entry.tag()).map_or(NO_INDEX, |route| route.index());
        let call = Call {
            index,
            tag: entry.tag(),
            body: entry.bytes(),
            cause,
            waiting: entry.waiting(),
            this: &self.addr,
            sender: entry.from(),
            trace_id: [0; 16],
        };
        batch.add(&call, given);
    }

    /// Whether a turn came to what it came to before; else what is different.
    fn is_same(&self, entry: Entry<'_>, turn: RemoteTurn) -> Result<(), String> {
        let failed = entry.elsewhere().is_some_and(|elsewhere| elsewhere.failed);
        let effects = match turn.ended {
            Err(fault) if fault.kind == FaultKind::Panic => return Err(format!("it panicked: {fault}")),
            // Nothing that it said happened.
            _ if failed => return Ok(()),
            Err(fault) => return Err(format!("it failed: {fault}")),
            Ok(effects) => effects,
        };
        let mut open: Vec<&Said> = entry.said().iter().collect();
        for effect in &effects {
            match open.iter().position(|said| same(said, effect, &self.addr)) {
                Some(at) => drop(open.remove(at)),
                None => return Err(format!("it {}, which it did not before", said_now(effect))),
            }
        }
        let Some(said) = open.first() else { return Ok(()) };
        Err(format!("it did not {}, which it did before", said_before(said)))
    }

    /// Planted: what was said before is said once more.
    fn say_twice(self: &Arc<Self>, turn: &RemoteTurn) {
        for effect in turn.ended.iter().flatten() {
            if let RemoteEffect::Tell { to, tag, body } = effect
                && let Some(target) = self.shared.cell(to)
            {
                let body = super::body::Body::copy(body);
                let again = super::envelope::Envelope::new(*tag, body, super::envelope::Kind::Tell, None);
                drop(self.shared.deliver(&target, again));
            }
        }
    }
}

impl Checkpointed {
    /// The next instance is made.
    fn is_made(&mut self, began: Instant, (replayed, not_replayed): (usize, usize), why: Option<NotReplayed>) {
        let (state_bytes, took) = (self.state_bytes(), began.elapsed());
        let why = why.filter(|_| not_replayed > 0);
        self.made = Some((self.base.clone(), Recovered { state_bytes, replayed, not_replayed, why, took }));
    }

    /// A process died while it did the turns since, alone with one of them or not. The next one gets them one at a
    /// time; one that it dies with again is put aside.
    fn died(&mut self, with: Option<usize>, message: &str, text: &str) {
        self.deaths.count += 1;
        let before = mem::replace(&mut self.deaths.alone_with, with);
        if let Some(number) = with.filter(|_| with == before) {
            self.aside.insert(number);
            let (message, why) = (message.to_owned(), text.to_owned());
            self.aside_why = Some(NotReplayed::Died { message, number: number + 1, why });
            self.deaths.alone_with = None;
        }
        if self.deaths.count > DEATHS_MAX {
            self.refusal = Some(NotReplayed::Gone { deaths: self.deaths.count, why: text.to_owned() });
        }
    }
}

/// A turn's name, for people.
fn name_of(provider: &Arc<dyn Provider>, kept: &Checkpointed, number: Option<usize>) -> String {
    let entry = number.and_then(|number| kept.log.iter().nth(number));
    let name = entry.and_then(|entry| match entry.told() {
        Told::Started => Some("its first turn".to_owned()),
        Told::Undelivered(..) => Some("the word that something was not delivered".to_owned()),
        _ => provider.contract().name_of(entry.tag().variant).map(str::to_owned),
    });
    name.unwrap_or_else(|| "a message".to_owned())
}

/// Whether it is what was said, but for its bytes.
fn same(said: &Said, effect: &RemoteEffect, this: &Addr) -> bool {
    match (said, effect) {
        (Said::Own { variant, .. }, RemoteEffect::Tell { to, tag, .. }) => to == this && tag.variant == *variant,
        (Said::Tell { to: whom, variant, .. }, RemoteEffect::Tell { to, tag, .. }) => {
            to == whom && tag.variant == *variant
        }
        (Said::Ask { to, variant, reply, number }, RemoteEffect::Ask(ask)) => {
            ask.to == *to && ask.tag.variant == *variant && ask.reply == *reply && ask.number == *number
        }
        (
            Said::After { variant, id, delay, period },
            RemoteEffect::After { id: other, delay: by, period: every, tag, .. },
        ) => tag.variant == *variant && id == other && delay == by && period == every,
        (Said::Cancel { id }, RemoteEffect::Cancel(other)) => id == other,
        (Said::Reply { call }, RemoteEffect::Reply { call: other, .. }) => call == other,
        (Said::Spawn { child }, RemoteEffect::Spawn { child: other, .. }) => child == other,
        _ => false,
    }
}

fn said_now(effect: &RemoteEffect) -> String {
    match effect {
        RemoteEffect::Tell { to, .. } => format!("tells {to} something"),
        RemoteEffect::Ask(ask) => format!("asks {} something", ask.to),
        RemoteEffect::After { .. } => "begins a timer".to_owned(),
        RemoteEffect::Cancel(_) => "cancels a timer".to_owned(),
        RemoteEffect::Reply { .. } => "replies".to_owned(),
        RemoteEffect::Spawn { child, .. } => format!("starts {child}"),
        RemoteEffect::Stop(_) => "stops".to_owned(),
    }
}

fn said_before(said: &Said) -> String {
    match said {
        Said::Own { .. } => "tell itself something".to_owned(),
        Said::Tell { to, .. } => format!("tell {to} something"),
        Said::Ask { to, .. } => format!("ask {to} something"),
        Said::After { .. } => "begin a timer".to_owned(),
        Said::Cancel { .. } => "cancel a timer".to_owned(),
        Said::Reply { .. } => "reply".to_owned(),
        Said::Spawn { child } => format!("start {child}"),
    }
}
