//! The version before does anew what the version on probation was told: same messages, same times, same random numbers.
//!
//! Effects are matched at the call by (message, target, kind, ordinal), not by their bytes: what was sent already is
//! not sent twice, and the code gets the very ids that are live (a call's, a timer's), so nothing need be renamed in
//! its state. What it wants said and was not said is held for an operator, unless it concerns nobody but the actor.
//!
//! A message leads to more than its turn: to what the actor tells itself there, plans and asks. The two versions may do
//! the same work in other ones of these turns, so what is not found in the same turn is looked for in all that the same
//! message led to, its *root*. What only the version before tells itself, and a timer that only it has, is a turn of
//! this replay, where it would have been.

use super::Cell;
use super::affairs::Mending;
use super::anew::{Act, Before, Job, Turn, handle};
use super::body::Body;
use super::envelope::{Envelope, Reply};
use super::log::{Entry, Told};
use super::protocol::Queued;
use super::record::{Record, Said};
use super::turn::{ask_error, dead_reason};
use crate::clock::Moment;
use crate::dead_letters::Letter;
use crate::ports::guarded;
use crate::ports::{Behaviour, Fault, FaultKind, Provider, TimerId};
use crate::rollback::{HeldEffect, Outward, ReplayError, Replayed};
use crate::timer::TICK_NS;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};

/// What it told itself and has not heard yet.
pub(super) struct Word {
    /// Which word of the version on probation it stands for; `None`: none.
    pub(super) number: Option<u32>,
    tag: Tag,
    pub(super) body: Body,
    root: usize,
}

/// What was sent and is nothing that the version before said so far, by root. Open until it says it elsewhere.
#[derive(Default)]
pub(super) struct Unsaid<'a>(BTreeMap<usize, Vec<(&'a Said, bool)>>);

impl<'a> Unsaid<'a> {
    fn add(&mut self, root: usize, said: &'a [Said], matched: &[bool]) {
        let rest = said.iter().zip(matched).filter(|(said, matched)| !**matched && said.is_outward());
        let mut rest = rest.map(|(said, _)| (said, true)).peekable();
        if rest.peek().is_some() {
            self.0.entry(root).or_default().extend(rest);
        }
    }

    pub(super) fn find<T>(&mut self, root: usize, same: impl Fn(&Said) -> Option<T>) -> Option<(usize, T)> {
        let all = self.0.get_mut(&root)?;
        let mut open = all.iter_mut().enumerate().filter(|(_, (_, open))| *open);
        open.find_map(|(at, (said, open))| {
            let found = same(said)?;
            *open = false;
            Some((at, found))
        })
    }

    fn at(&self, root: usize, at: usize) -> Option<&'a Said> {
        self.0.get(&root)?.get(at).map(|(said, _)| *said)
    }

    pub(super) fn reopen(&mut self, root: usize, at: usize) {
        if let Some((_, open)) = self.0.get_mut(&root).and_then(|all| all.get_mut(at)) {
            *open = true;
        }
    }

    /// An answer was handled: nobody else may wait for it any more.
    fn answered(&mut self, root: usize, call: u64) {
        self.find(root, |said| matches!(said, Said::Ask { number, .. } if *number == call).then_some(()));
    }
}

/// Which message led to what the version on probation told itself, planned and asked.
#[derive(Default)]
struct Roots {
    own: BTreeMap<u32, usize>,
    /// By a call's or timer's number.
    numbered: BTreeMap<u64, usize>,
}

impl Roots {
    /// That of a turn, which is the next one.
    fn of(&mut self, number: usize, entry: Entry<'_>) -> usize {
        let known = match entry.told() {
            Told::Tell(own) => self.own.get(&own),
            Told::Answer(call, _) => self.numbered.get(&call),
            Told::Timer(id) => self.numbered.get(&id.0),
            Told::Started | Told::Ask(_) | Told::Undelivered(..) => None,
        };
        let root = known.copied().unwrap_or(number);
        for said in entry.said() {
            match said {
                Said::Own { number, .. } => drop(self.own.insert(*number, root)),
                Said::Ask { number, .. } => drop(self.numbered.insert(*number, root)),
                Said::After { id, .. } => drop(self.numbered.insert(id.0, root)),
                _ => {}
            }
        }
        root
    }
}

/// A replay under way.
struct Replaying<'a> {
    cell: &'a Arc<Cell>,
    record: &'a Record,
    old: &'a Arc<dyn Provider>,
    began: Moment,
    budget: Duration,
    goes_on: &'a dyn Fn() -> bool,
    /// Which turn of the record it has come to.
    number: usize,
    /// The time it has come to, by both clocks.
    at: (Moment, u64),
    roots: Roots,
    unsaid: Unsaid<'a>,
    words: VecDeque<Word>,
    held: Vec<(usize, Outward)>,
    /// What it wants sent and given takes so many bytes.
    made_bytes: usize,
    /// Its timers and asks that are older than the commit.
    older: (BTreeSet<TimerId>, usize),
    /// The shapes in which it was told that somebody waits, by call.
    shapes: BTreeMap<u64, Fingerprint>,
    mending: Mending,
    done: Replayed,
}

/// Runs the record on `work`, an instance of the version before with the state that it had at the commit.
///
/// # Errors
/// [`ReplayError`]; `work` is of no use then.
pub(crate) fn replay(
    cell: &Arc<Cell>,
    record: &Record,
    old: &Arc<dyn Provider>,
    work: Box<dyn Behaviour>,
    (budget, goes_on): (Duration, &dyn Fn() -> bool),
) -> Result<Replayed, ReplayError> {
    if let Some(why) = record.outside.refusal() {
        return Err(ReplayError::NotKept(why));
    }
    let mut replaying = Replaying {
        cell,
        record,
        old,
        began: cell.shared.clock.now(),
        budget,
        goes_on,
        number: 0,
        at: record.began,
        roots: Roots::default(),
        unsaid: Unsaid::default(),
        words: VecDeque::new(),
        held: Vec::new(),
        made_bytes: 0,
        older: cell.older_than(record.outside.since),
        shapes: BTreeMap::new(),
        mending: Mending::of(&record.outside),
        done: Replayed::new(record.log.turns(), work),
    };
    for (number, entry) in record.log.iter().enumerate() {
        replaying.number = number;
        replaying.turn(entry)?;
    }
    replaying.end()
}

impl<'a> Replaying<'a> {
    /// A turn of the record, with what comes before and behind it.
    fn turn(&mut self, entry: Entry<'a>) -> Result<(), ReplayError> {
        self.at = (self.record.ended(entry, self.at.0, self.began), entry.now_ns);
        self.fire()?;
        let root = self.roots.of(self.number, entry);
        if let Told::Tell(own) = entry.told() {
            self.hear_before(own)?;
        }
        match self.word(entry) {
            Some((tag, body)) => {
                let (told, from, (at, now_ns)) = (entry.told(), entry.from(), self.at);
                let (said, drawn, letter) = (entry.said(), entry.drawn(), entry.letter());
                self.run(&Job { told, tag, body, from, root, at, now_ns, said, drawn, letter })?;
            }
            None => {
                self.done.skip(entry);
                self.unsaid.add(root, entry.said(), &vec![false; entry.said().len()]);
            }
        }
        if let Told::Answer(call, _) = entry.told() {
            self.unsaid.answered(root, call);
        }
        for said in entry.said() {
            if let Said::Cancel { id } = said {
                self.mending.lone(*id);
            }
        }
        self.hear()
    }

    /// What the version before is told in this turn; `None`: nothing, it never asked for it.
    fn word(&mut self, entry: Entry<'_>) -> Option<(Tag, Body)> {
        let as_it_was = || (entry.tag(), entry.body());
        let mending = &mut self.mending;
        match entry.told() {
            Told::Started => None,
            Told::Tell(0) | Told::Ask(_) => Some(as_it_was()),
            Told::Undelivered(_, named) => mending.says(named).then(as_it_was),
            Told::Tell(own) => {
                let at = self.words.iter().position(|word| word.number == Some(own))?;
                self.words.remove(at).map(|word| (word.tag, word.body))
            }
            Told::Answer(number, _) if mending.began(number) => mending.asks.remove(&number),
            Told::Answer(..) => Some(as_it_was()),
            Told::Timer(id) if mending.began(id.0) => mending.fire(id, self.at.0).map(|(tag, body, _)| (tag, body)),
            Told::Timer(id) => (!mending.cancelled.contains(&id)).then(as_it_was),
        }
    }

    /// The timers that only the version before has, as far as they are due.
    fn fire(&mut self) -> Result<(), ReplayError> {
        let (until, until_ns) = self.at;
        while let Some((at, id)) = self.mending.next_due(until) {
            // As live, where one tick of the host's timers fires it once.
            let by = (at + Duration::from_nanos(TICK_NS - 1)).min(until);
            let Some((tag, body, root)) = self.mending.fire(id, by) else { break };
            let now_ns = until_ns.saturating_sub(u64::try_from(until.since(at).as_nanos()).unwrap_or(u64::MAX));
            self.mending.fired(id);
            let told = Told::Timer(id);
            self.run(&Job { told, tag, body, from: None, root, at, now_ns, said: &[], drawn: &[], letter: None })?;
            self.hear()?;
        }
        Ok(())
    }

    /// What only the version before tells itself, as far as it is behind nothing that it hears later.
    fn hear(&mut self) -> Result<(), ReplayError> {
        while let Some(word) = self.words.pop_front_if(|word| word.number.is_none()) {
            self.listen(word)?;
        }
        Ok(())
    }

    /// The same, as far as it is ahead of that word.
    fn hear_before(&mut self, own: u32) -> Result<(), ReplayError> {
        if !self.words.iter().any(|word| word.number == Some(own)) {
            return Ok(());
        }
        let ahead = |word: &&Word| word.number != Some(own);
        while let Some(at) = self.words.iter().take_while(ahead).position(|word| word.number.is_none()) {
            let Some(word) = self.words.remove(at) else { break };
            self.listen(word)?;
        }
        Ok(())
    }

    fn listen(&mut self, word: Word) -> Result<(), ReplayError> {
        let (Word { tag, body, root, .. }, (at, now_ns)) = (word, self.at);
        let (told, from) = (Told::Tell(u32::MAX), Some(&self.cell.addr));
        self.run(&Job { told, tag, body, from, root, at, now_ns, said: &[], drawn: &[], letter: None })
    }

    /// One turn.
    fn run(&mut self, job: &Job<'a>) -> Result<(), ReplayError> {
        if !(self.goes_on)() {
            return Err(ReplayError::Cancelled { done: self.number, of: self.record.log.turns() });
        }
        if self.cell.shared.clock.now().since(self.began) > self.budget {
            let (done, of, budget) = (self.number, self.record.log.turns(), self.budget);
            return Err(ReplayError::Budget { done, of, budget });
        }
        let (message, number) = (|| name(self.old, job.tag), self.number + 1);
        let before = Before {
            words: &self.words,
            timers: self.older.0.len() + self.mending.revived.len() + self.mending.timers.len(),
            asks: self.older.1 + self.mending.asks.len(),
            shapes: &self.shapes,
        };
        let mut turn = Turn::new(self.cell, self.old, job, (&mut self.unsaid, before));
        let handled = guarded(|| handle(&mut *self.done.behaviour, self.old, &mut turn));
        match handled {
            Ok(()) => self.mending.resolved.extend(job.letter),
            Err(fault) if fault.kind == FaultKind::Panic => {
                return Err(ReplayError::Panicked { message: message(), number, text: fault.text });
            }
            Err(fault) if fault.kind == FaultKind::UnknownMessage && !job.is_its_own(&self.mending) => {
                return Err(ReplayError::Pathless { message: message() });
            }
            // As live: its effects are gone, its state is what the handler left, and who asked is told.
            Err(fault) => {
                turn.give_up();
                self.done.tally.failed += 1;
                self.made_bytes += size_of::<Letter>() + fault.text.len() + job.body.len();
                self.mending.failed(job, &fault, (&self.cell.addr, &message()));
            }
        }
        if let Some(reason) = turn.stop.take() {
            return Err(ReplayError::Stops { message: message(), number, reason });
        }
        let Turn { acts, mut matched, found, waiting, .. } = turn;
        self.shapes.extend(waiting.map(|waiting| (waiting.call.number, waiting.shape)));
        self.done.tally.matched += found.len();
        self.done.tally.unsaid -= found.len();
        let here = job.said.iter().zip(&matched).filter(|(_, matched)| **matched).map(|(said, _)| said);
        let elsewhere = found.into_iter().filter_map(|at| self.unsaid.at(job.root, at));
        self.mending.sent.extend(here.chain(elsewhere).filter_map(Said::named));
        self.done.count(job.said, &matched);
        self.unsaid.add(job.root, job.said, &matched);
        self.take(job, acts, &mut matched);
        let bytes_max = self.record.outside.bytes_max;
        if self.made_bytes > bytes_max { Err(ReplayError::TooMuch { bytes_max }) } else { Ok(()) }
    }

    fn take(&mut self, job: &Job<'a>, acts: Vec<Act>, matched: &mut [bool]) {
        let mut words = Vec::new();
        for act in acts {
            match act {
                Act::Own(number, tag, body) => words.push(Word { number, tag, body, root: job.root }),
                Act::Ask(number, tag, body) => drop(self.mending.asks.insert(number, (tag, body))),
                Act::Timer(id, mut wanted) => {
                    wanted.with = wanted.with.or_else(|| job.same_time(id, &wanted, matched));
                    self.mending.begin(id, wanted);
                }
                Act::Cancel(id) => {
                    self.older.0.remove(&id);
                    self.mending.cancel(id);
                }
                Act::Reply(call, shape, body) => {
                    self.made_bytes += size_of::<Reply>() + body.len();
                    self.mending.replies.push((call, Ok((shape, body))));
                }
                Act::Held(effect) => {
                    self.made_bytes += effect.weight_bytes();
                    self.held.push((job.root, effect));
                }
                Act::Said => {}
            }
        }
        job.name(&mut words, matched);
        self.words.extend(words);
    }

    /// All of the record is done: what is due by now, and what is left.
    fn end(mut self) -> Result<Replayed, ReplayError> {
        let clock = &self.cell.shared.clock;
        self.at = (self.began.max(self.at.0), clock.wall_ns());
        self.fire()?;
        self.hear()?;
        self.mending.end_aliased();
        for Word { number, tag, body, .. } in self.words {
            match number {
                Some(number) => drop(self.mending.own.insert(number, (tag, body))),
                None => self.mending.own_new.push((tag, body)),
            }
        }
        let weigh = |all: Queued, body: &Body| Queued {
            messages: all.messages + 1,
            bytes: all.bytes + size_of::<Envelope>() + body.len(),
        };
        let own = self.mending.own_new.iter().map(|(_, body)| body).fold(Queued { messages: 0, bytes: 0 }, weigh);
        if own.messages > 0 && !self.cell.protocol.has_own_room(own) {
            return Err(ReplayError::TooMuch { bytes_max: self.cell.shared.config.mailbox_bytes_max * 2 });
        }
        for (root, effect) in self.held {
            // Not an ask: the code knows it by another number than its answer has.
            let sent = self.unsaid.find(root, |said| effect.is(said).then(|| said.named()));
            if let Some((_, named)) = sent {
                self.mending.sent.extend(named);
                self.done.tally.matched += 1;
                self.done.tally.unsaid -= 1;
            } else {
                self.done.held.push(HeldEffect(Box::new(effect)));
            }
        }
        self.done.tally.took = clock.now().since(self.began);
        self.done.mending = self.mending;
        Ok(self.done)
    }
}

impl Cell {
    /// Its timers from before that number, and how many asks.
    fn older_than(&self, since: u64) -> (BTreeSet<TimerId>, usize) {
        let Some(extras) = self.existing_extras() else { return (BTreeSet::new(), 0) };
        let timers = extras.timers.keys().copied().filter(|id| id.0 < since).collect();
        (timers, extras.continuations.range(..since).count())
    }
}

impl Mending {
    /// A turn ended in an error: who asked is told, and what could not be read is a dead letter.
    fn failed(&mut self, job: &Job<'_>, fault: &Fault, (this, message): (&Addr, &str)) {
        if let Told::Ask(waiting) = job.told {
            self.replies.push((waiting.call, Err(ask_error(fault, message))));
        } else if let Some(reason) = dead_reason(fault) {
            if job.letter.is_some() {
                return; // It is one already.
            }
            let body = matches!(job.told, Told::Tell(_)).then(|| job.body.clone());
            let (to, from, body_bytes) = (this.clone(), job.from.cloned(), job.body.len());
            self.dead.push(Letter { to, from, tag: job.tag, body_bytes, body, reason });
        } else {
            self.resolved.extend(job.letter);
        }
    }
}

impl Outward {
    /// Whether it is what was sent there, as far as that can be told when it was sent.
    fn is(&self, said: &Said) -> bool {
        match (self, said) {
            (Self::Tell { to, tag, .. }, Said::Tell { to: whom, variant, .. }) => to == whom && tag.variant == *variant,
            (Self::Spawn(spawn), Said::Spawn { child }) => spawn.child == *child,
            _ => false,
        }
    }
}

impl Record {
    /// When a turn ended, by the clock that timers run by: not before the one before it, nor after `now`. Of most turns
    /// only the wall clock was read, and that may have been set since the commit.
    fn ended(&self, entry: Entry<'_>, before: Moment, now: Moment) -> Moment {
        let (began, began_ns) = self.began;
        let told = || began + Duration::from_nanos(entry.now_ns.saturating_sub(began_ns));
        entry.at().unwrap_or_else(told).min(now).max(before)
    }
}

fn name(old: &Arc<dyn Provider>, tag: Tag) -> String {
    old.contract().name_of(tag.variant).map_or_else(|| format!("variant {:016x}", tag.variant), str::to_owned)
}
