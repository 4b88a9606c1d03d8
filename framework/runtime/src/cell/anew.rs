//! One turn that is done anew: what it is about, and what becomes of its effects.

use super::Cell;
use super::affairs::{Mending, Wanted};
use super::body::Body;
use super::effects::{Ask, Spawn, no_own_room, reason_of_a_stop};
use super::envelope::{Envelope, NO_INDEX};
use super::log::Told;
use super::record::Said;
use super::replay::{Unsaid, Word};
use crate::clock::Moment;
use crate::config::StartArgs;
use crate::ports::{
    self, AskEffect, Behaviour, Call, CallId, Cause, Effects, Fault, FaultKind, Provider, TimerId, Waiting,
};
use crate::rollback::Outward;
use semver::Version;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// One effect of the version before, as far as the turn knows.
pub(super) enum Act {
    Own(Option<u32>, Tag, Body),
    Ask(u64, Tag, Body),
    Timer(TimerId, Wanted),
    Cancel(TimerId),
    Reply(CallId, Fingerprint, Body),
    Held(Outward),
    Said,
}

/// What a turn is about.
pub(super) struct Job<'a> {
    pub(super) told: Told<'a>,
    pub(super) tag: Tag,
    pub(super) body: Body,
    pub(super) from: Option<&'a Addr>,
    pub(super) root: usize,
    /// When it ended.
    pub(super) at: Moment,
    pub(super) now_ns: u64,
    /// What the version on probation said in that turn.
    pub(super) said: &'a [Said],
    pub(super) drawn: &'a [u64],
    /// The dead letter that its message is.
    pub(super) letter: Option<u64>,
}

/// What the actor had before the turn, as far as a turn is bounded by it.
#[derive(Clone, Copy)]
pub(super) struct Before<'b> {
    pub(super) words: &'b VecDeque<Word>,
    pub(super) timers: usize,
    pub(super) asks: usize,
    /// In which shapes those wait whose calls it was told of.
    pub(super) shapes: &'b BTreeMap<u64, Fingerprint>,
}

pub(super) struct Turn<'a, 'b> {
    pub(super) cell: &'a Arc<Cell>,
    pub(super) job: &'b Job<'a>,
    pub(super) matched: Vec<bool>,
    unsaid: &'b mut Unsaid<'a>,
    before: Before<'b>,
    /// Those of the unsaid that were said here, by their place among those of the root.
    pub(super) found: Vec<usize>,
    pub(super) drawn: usize,
    pub(super) acts: Vec<Act>,
    pub(super) stop: Option<String>,
    /// Whose reply the turn owes, in the shape that the code is told.
    pub(super) waiting: Option<Waiting>,
}

impl Job<'_> {
    /// Whether nobody but the version before has it handled.
    pub(super) fn is_its_own(&self, mending: &Mending) -> bool {
        match self.told {
            Told::Tell(own) => own > 0,
            Told::Timer(id) => mending.began(id.0),
            Told::Answer(call, _) => mending.began(call),
            Told::Started | Told::Ask(_) | Told::Undelivered(..) => false,
        }
    }

    /// The timer of another message that the version on probation began in this turn for the same time, if it is
    /// nobody's yet: its turns are the same work.
    pub(super) fn same_time(&self, id: TimerId, wanted: &Wanted, matched: &mut [bool]) -> Option<TimerId> {
        let mut open = self.said.iter().zip(matched).filter(|(_, matched)| !**matched);
        open.find_map(|(said, matched)| match said {
            Said::After { id: other, delay, period, .. }
                if *other != id && *period == wanted.period && self.at + *delay == wanted.due =>
            {
                *matched = true;
                Some(*other)
            }
            _ => None,
        })
    }

    /// What the version before tells itself under another name stands in the place of what the version on probation
    /// told itself there, as far as both keep their order.
    pub(super) fn name(&self, words: &mut [Word], matched: &[bool]) {
        let own = |(said, matched): (&Said, &bool)| match said {
            Said::Own { number, .. } if !matched => Some(*number),
            _ => None,
        };
        let mut free = self.said.iter().zip(matched).filter_map(own).peekable();
        let mut before = 0;
        for at in 0..words.len() {
            let behind = words[at..].iter().find_map(|word| word.number).unwrap_or(u32::MAX);
            if words[at].number.is_none() {
                while free.next_if(|number| *number < before).is_some() {}
                words[at].number = free.next_if(|number| *number < behind);
            }
            before = words[at].number.unwrap_or(before);
        }
    }
}

pub(super) fn handle(work: &mut dyn Behaviour, old: &Arc<dyn Provider>, turn: &mut Turn<'_, '_>) -> Result<(), Fault> {
    let (cell, job) = (turn.cell, turn.job);
    let answered;
    let (index, cause) = match &job.told {
        Told::Undelivered(text, _) => (NO_INDEX, Cause::Undelivered(text)),
        told => {
            let route = old.contract().resolve(job.tag);
            let route = route.map_err(|refusal| Fault::new(FaultKind::UnknownMessage, refusal.to_string()))?;
            let cause = match told {
                Told::Answer(_, answer) => {
                    answered = answer.as_ref().map(|reply| ports::Body { shape: reply.shape, bytes: &reply.body });
                    Cause::Answer(answered)
                }
                Told::Timer(_) => Cause::Timer,
                _ => Cause::Message,
            };
            (route.index(), cause)
        }
    };
    let call = Call {
        index,
        tag: job.tag,
        body: &job.body,
        cause,
        waiting: turn.waiting,
        this: &cell.addr,
        sender: job.from,
        trace_id: [0; 16],
    };
    work.handle(&call, turn)
}

impl<'a, 'b> Turn<'a, 'b> {
    pub(super) fn new(
        cell: &'a Arc<Cell>,
        old: &Arc<dyn Provider>,
        job: &'b Job<'a>,
        (unsaid, before): (&'b mut Unsaid<'a>, Before<'b>),
    ) -> Self {
        let waiting = match job.told {
            Told::Ask(waiting) => {
                // Who asks in a shape that the code cannot reply in has its answer already, or gets none.
                let reply = old.contract().resolve(job.tag).ok().and_then(|route| old.contract().reply(route.index()));
                let shape = reply
                    .map_or(waiting.shape, |reply| if reply.reach(waiting.shape) { waiting.shape } else { reply.own });
                Some(Waiting { shape, ..waiting })
            }
            _ => None,
        };
        let matched = vec![false; job.said.len()];
        let (found, acts) = (Vec::new(), Vec::new());
        Self { cell, job, matched, unsaid, before, found, drawn: 0, acts, stop: None, waiting }
    }

    /// The first effect of that kind that nothing was matched with yet: of the turn, else of all that its root led to.
    fn find<T>(&mut self, same: impl Fn(&Said) -> Option<T>) -> Option<T> {
        if cfg!(feature = "bug-f38") {
            return None; // Planted: what was sent already is not known again.
        }
        let open = self.matched.iter_mut().zip(self.job.said).filter(|(matched, _)| !**matched);
        for (matched, said) in open {
            if let Some(found) = same(said) {
                *matched = true;
                return Some(found);
            }
        }
        let (at, found) = self.unsaid.find(self.job.root, same)?;
        self.found.push(at);
        Some(found)
    }

    /// It ended in an error: none of its effects happens.
    pub(super) fn give_up(&mut self) {
        self.acts.clear();
        self.matched.fill(false);
        self.found.drain(..).for_each(|at| self.unsaid.reopen(self.job.root, at));
        self.stop = None;
    }

    fn has(&self, kind: impl Fn(&Act) -> bool) -> usize {
        self.acts.iter().filter(|act| kind(act)).count()
    }

    /// As live: twice what its mailbox may hold. What others sent then is not known.
    fn has_own_room(&self, body_bytes: usize) -> Result<(), Fault> {
        let said = self.acts.iter().filter_map(|act| if let Act::Own(_, _, body) = act { Some(body) } else { None });
        let bodies = self.before.words.iter().map(|word| &word.body).chain(said);
        let weigh = |(messages, bytes), body: &Body| (messages + 1, bytes + size_of::<Envelope>() + body.len());
        let (messages, bytes) = bodies.fold((1, size_of::<Envelope>() + body_bytes), weigh);
        let config = &self.cell.shared.config;
        if messages > config.mailbox_messages_max * 2 || bytes > config.mailbox_bytes_max * 2 {
            return Err(no_own_room());
        }
        Ok(())
    }

    fn push(&mut self, act: Act) -> Result<(), Fault> {
        self.cell.has_room_for_effect(self.acts.len())?;
        self.acts.push(act);
        Ok(())
    }
}

impl Effects for Turn<'_, '_> {
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        let body = self.cell.body(body)?;
        if to == self.cell.addr {
            self.has_own_room(body.len())?;
            let own = self.find(|said| match said {
                Said::Own { variant, number } if *variant == tag.variant => Some(*number),
                _ => None,
            });
            return self.push(Act::Own(own, tag, body));
        }
        let sent = self.find(|said| match said {
            Said::Tell { to: whom, variant, .. } if *whom == to && *variant == tag.variant => Some(()),
            _ => None,
        });
        let held = || Act::Held(Outward::Tell { to, tag, body });
        self.push(sent.map_or_else(held, |()| Act::Said))
    }

    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault> {
        self.cell.has_room_for_ask(self.before.asks + self.has(|act| matches!(act, Act::Ask(..))))?;
        let (body, then_body) = (self.cell.body(ask.body)?, self.cell.body(ask.then_body)?);
        let AskEffect { to, tag, reply, timeout, then, .. } = ask;
        let sent = self.find(|said| match said {
            Said::Ask { to: whom, variant, reply: shape, number }
                if *whom == to && *variant == tag.variant && *shape == reply =>
            {
                Some(*number)
            }
            _ => None,
        });
        let number = sent.unwrap_or_else(|| self.cell.shared.number());
        self.push(match sent {
            Some(number) => Act::Ask(number, then, then_body),
            None => Act::Held(Outward::Ask(Box::new(Ask { number, to, tag, body, reply, timeout, then, then_body }))),
        })?;
        Ok(CallId { epoch: self.cell.shared.config.epoch, number })
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        self.cell.has_room_for_timer(self.before.timers + self.has(|act| matches!(act, Act::Timer(..))))?;
        let body = self.cell.body(body)?;
        let running = self.find(|said| match said {
            Said::After { variant, id, delay, period } if *variant == tag.variant => Some((*id, (*delay, *period))),
            _ => None,
        });
        let with = running.filter(|(_, when)| *when == (delay, period)).map(|(id, _)| id);
        let id = running.map_or_else(|| TimerId(self.cell.shared.number()), |(id, _)| id);
        let (due, root) = (self.job.at + delay, self.job.root);
        self.push(Act::Timer(id, Wanted { tag, body, period, due, with, root }))?;
        Ok(id)
    }

    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault> {
        self.find(|said| matches!(said, Said::Cancel { id } if *id == timer).then_some(()));
        self.push(Act::Cancel(timer))
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        let here = self.waiting.filter(|waiting| waiting.call == call).map(|waiting| waiting.shape);
        self.cell.expects(call, here.or_else(|| self.before.shapes.get(&call.number).copied()), shape)?;
        let body = self.cell.body(body)?;
        let given = self.find(|said| matches!(said, Said::Reply { call: given } if *given == call).then_some(()));
        self.push(given.map_or(Act::Reply(call, shape, body), |()| Act::Said))
    }

    fn spawn(&mut self, child: Addr, version: Option<Version>, args: ports::Body<'_>) -> Result<(), Fault> {
        let args = StartArgs { shape: args.shape, bytes: self.cell.body(args.bytes)?.into_vec() };
        let started = self.find(|said| matches!(said, Said::Spawn { child: other } if *other == child).then_some(()));
        let held = || Act::Held(Outward::Spawn(Box::new(Spawn { child, version, args })));
        self.push(started.map_or_else(held, |()| Act::Said))
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        self.stop = Some(reason_of_a_stop(reason)?);
        Ok(())
    }

    fn now(&mut self) -> u64 {
        self.job.now_ns
    }

    fn random(&mut self) -> u64 {
        let drawn = self.job.drawn.get(self.drawn).copied();
        self.drawn += 1;
        drawn.unwrap_or_else(|| self.cell.shared.random())
    }
}
