//! What a version on probation was told and what it said: enough for the version before it to do the same work anew.
//!
//! The record lies in the instance, so whoever runs the instance writes it, without a lock, and whoever has it at rest
//! may take it. It is bounded in messages and bytes; past a bound it says so and keeps nothing.

use super::Cell;
use super::body::Body;
use super::effects::{Buffer, Effect};
use super::envelope::{Envelope, Kind};
use super::in_turn::Open;
use super::log::{Log, More};
use crate::clock::Moment;
use crate::lease::Crashed;
use crate::ports::{CallId, TimerId, Waiting};
use crate::probation::{NoReplay, RecordSeen, Recording};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use teneral_contract::{Addr, AskError, Contract, Fingerprint, Tag};

/// Called once, by the activation whose turn panicked.
pub(crate) type OnCrash = Box<dyn FnOnce(Crashed) + Send>;

/// What somebody is answered.
pub(crate) type Answered = Result<(Fingerprint, Body), AskError>;

/// See the module.
pub(crate) struct Record {
    /// Of the version that would do the work anew.
    old: Arc<Contract>,
    /// When the commit was, by both clocks.
    pub(crate) began: (Moment, u64),
    pub(crate) log: Log,
    /// How many tells it said so far, and so the name of the next.
    named: u32,
    pub(crate) on_crash: Option<OnCrash>,
    /// The turn whose code runs, while this lies open.
    pub(super) open: Open,
    /// A copy of its message, unless that is packed at the end of the log, or there is none.
    pub(super) message: Option<Envelope>,
    /// The turn that panicked: the instance is a wreck.
    pub(crate) crashed: Option<Crash>,
    /// Whether turns are kept: not past a bound.
    pub(crate) keeping: bool,
    /// Of an instance that was made anew: nothing was ever kept in it.
    anew: bool,
    pub(crate) outside: Arc<Outside>,
}

/// A turn that panicked, while it is open whether the version before gets its message. Dropped, nobody gets it: who
/// asked is told, anything else is a dead letter.
pub(crate) struct Crash {
    cell: Weak<Cell>,
    /// `None`: it was the first turn, or somebody has it.
    envelope: Option<Envelope>,
    pub(crate) reason: String,
}

impl Crash {
    pub(crate) fn of(cell: &Arc<Cell>, envelope: Option<Envelope>, reason: String) -> Self {
        Self { cell: Arc::downgrade(cell), envelope, reason }
    }

    /// The version before is to get it.
    pub(crate) fn take(&mut self) -> Option<Envelope> {
        self.envelope.take()
    }

    /// It does not.
    pub(crate) fn put(&mut self, envelope: Option<Envelope>) {
        self.envelope = envelope;
    }
}

impl Drop for Crash {
    fn drop(&mut self) {
        let Some(envelope) = self.envelope.take() else { return };
        match self.cell.upgrade() {
            Some(cell) => cell.panicked_on(envelope, &self.reason),
            None => envelope.asker().into_iter().for_each(|asker| asker.refuse(AskError::Stopped)),
        }
    }
}

/// What is seen of a record while the actor works, and what outlives the instance: where the actor stood at the commit.
pub(crate) struct Outside {
    pub(crate) owner: String,
    /// Calls and timers from this number on began since the commit.
    pub(crate) since: u64,
    /// Calls that the actor owed a reply to at the commit.
    pub(crate) owed: BTreeSet<u64>,
    /// Older timers that were cancelled since, as they were; at most as many as an actor may have, and so kept past the
    /// bounds.
    pub(crate) cancelled: Mutex<BTreeMap<TimerId, CancelledTimer>>,
    messages_max: usize,
    pub(crate) bytes_max: usize,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    no_replay: Mutex<Option<NoReplay>>,
    /// The actor began from its start arguments since.
    anew: AtomicBool,
    /// Nobody wants it any more.
    over: AtomicBool,
    /// A turn that takes longer is a slow one.
    pub(crate) slow_over: Option<Duration>,
}

/// An effect that was released, as far as another one can be the same.
pub(crate) enum Said {
    Tell { to: Addr, variant: u64, number: u32 },
    Own { variant: u64, number: u32 },
    Ask { to: Addr, variant: u64, reply: Fingerprint, number: u64 },
    After { variant: u64, id: TimerId, delay: Duration, period: Option<Duration> },
    Cancel { id: TimerId },
    Reply { call: CallId },
    Spawn { child: Addr },
}

impl Said {
    /// Which tell it is, if it is one to somebody else.
    pub(crate) const fn named(&self) -> Option<u32> {
        match self {
            Self::Tell { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// Whether it reaches beyond the actor.
    pub(crate) const fn is_outward(&self) -> bool {
        matches!(self, Self::Tell { .. } | Self::Ask { .. } | Self::Reply { .. } | Self::Spawn { .. })
    }
}

/// A timer that was cancelled before it was due, as it was.
#[derive(Clone)]
pub(crate) struct CancelledTimer {
    pub(crate) tag: Tag,
    pub(crate) body: Body,
    pub(crate) period: Option<Duration>,
    pub(crate) due: Moment,
}

impl Outside {
    /// Nobody wants the record any more: the next turn drops it.
    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// Another instance takes the place of the one that was recorded: whether without its state.
    pub(crate) fn replaced(&self, anew: bool) {
        self.refuse(NoReplay::Restarted);
        self.anew.fetch_or(anew, Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn seen(&self) -> RecordSeen {
        let (messages, bytes) = (self.messages.load(Relaxed), self.bytes.load(Relaxed));
        RecordSeen { messages, bytes, no_replay: self.refusal(), anew: self.anew.load(Relaxed) }
    }

    /// The first reason stands.
    pub(crate) fn refuse(&self, why: NoReplay) {
        self.no_replay.lock().get_or_insert(why);
        self.messages.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }

    /// More came than is kept.
    pub(crate) const fn past_the_bound(&self) -> NoReplay {
        NoReplay::Bound { messages_max: self.messages_max, bytes_max: self.bytes_max }
    }

    /// Why nothing is kept, if that is so.
    pub(crate) fn refusal(&self) -> Option<NoReplay> {
        self.no_replay.lock().clone()
    }
}

impl Record {
    /// Of an actor that is paused, before another instance of it is put in place.
    pub(crate) fn new(recording: Recording, cell: &Cell) -> Box<Self> {
        let Recording { owner, messages_max, bytes_max, old, no_replay, slow_over, on_crash } = recording;
        let keeping = no_replay.is_none();
        let clock = &cell.shared.clock;
        let outside = Outside {
            owner,
            since: cell.shared.number(),
            owed: cell.existing_extras().map(|extras| extras.owed.clone()).unwrap_or_default(),
            cancelled: Mutex::default(),
            messages_max,
            bytes_max,
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            no_replay: Mutex::new(no_replay),
            anew: AtomicBool::new(false),
            over: AtomicBool::new(false),
            slow_over,
        };
        let (old, outside) = (Arc::clone(old.contract()), Arc::new(outside));
        Box::new(Self {
            old,
            began: (clock.now(), clock.wall_ns()),
            log: Log::default(),
            named: 0,
            on_crash,
            open: Open::default(),
            message: None,
            crashed: None,
            keeping,
            anew: false,
            outside,
        })
    }

    /// Of an instance that takes the place of one that is recorded, and is lost: nothing of it can be done anew, but it
    /// is gone on without as that one was, should it hang.
    pub(crate) fn anew(cell: &Cell) -> Option<Box<Self>> {
        let outside = cell.existing_extras().and_then(|extras| extras.recording.clone())?;
        let (clock, old) = (&cell.shared.clock, Arc::clone(cell.provider().contract()));
        let began = (clock.now(), clock.wall_ns());
        Some(Box::new(Self {
            old,
            began,
            log: Log::default(),
            named: 0,
            on_crash: None,
            open: Open::default(),
            message: None,
            crashed: None,
            keeping: false,
            anew: true,
            outside,
        }))
    }

    /// Whether it is of any use to whoever goes back.
    pub(crate) const fn is_of_use(&self) -> bool {
        !self.anew || self.crashed.is_some()
    }

    /// Whether it lies open in a turn of that activation.
    #[inline]
    pub(super) const fn is_of(&self, activation: u64) -> bool {
        self.open.activation == activation
    }

    /// What a turn says, before it is released: what waiting messages and timers must be known again by, and the rest
    /// of it if it is kept.
    pub(crate) fn say(&mut self, cell: &Cell, kind: &Kind, buffer: &mut Buffer<'_>) -> Vec<Said> {
        let fired = matches!(kind, Kind::Timer(_));
        if buffer.effects.is_empty() && !fired {
            return Vec::new();
        }
        self.note(cell, &mut buffer.effects);
        if !self.keeping {
            return Vec::new();
        }
        // Before the release, which may take its time; and by the clock where something is due from here on.
        if fired || buffer.effects.iter().any(|effect| matches!(effect, Effect::After { .. })) {
            buffer.read_clocks();
        } else {
            buffer.about_now();
        }
        said(cell, &buffer.effects)
    }

    /// How many random numbers a turn may draw that is kept; `None`: it is not.
    #[inline]
    pub(crate) fn draws_max(&self) -> Option<usize> {
        let left = || self.outside.bytes_max.saturating_sub(self.log.bytes());
        self.keeping.then(|| left() / size_of::<u64>())
    }

    /// The turn of a plain message begins, and this is about to lie open.
    #[inline]
    pub(super) fn pack(&mut self, envelope: &Envelope, open: Open) -> bool {
        let packed = self.log.open(envelope);
        if packed {
            self.open = open;
        }
        packed
    }

    /// That turn ended well, and did nothing else. Whether there is room for more.
    #[inline]
    pub(super) fn keep_packed(&mut self, now_ns: u64) -> bool {
        if !self.keeping {
            self.log.unopen();
            return true;
        }
        self.log.close(now_ns);
        let fits = self.fits();
        if fits {
            self.show();
        }
        fits
    }

    /// A turn that is not kept: messages like it are known from now on.
    pub(super) fn learn(&mut self, envelope: &Envelope) {
        if matches!(envelope.kind, Kind::Tell) && envelope.own == 0 {
            self.log.learn(envelope.tag(), envelope.from.as_ref().map(|from| &from.addr));
        }
    }

    /// Keeps a turn that ended.
    #[inline]
    pub(crate) fn keep(
        &mut self,
        cell: &Cell,
        envelope: Envelope,
        (waiting, said, letter): (Option<Waiting>, Vec<Said>, Option<u64>),
        buffer: &mut Buffer<'_>,
    ) {
        let fired = matches!(envelope.kind, Kind::Timer(_));
        let plain = waiting.is_none() && said.is_empty() && buffer.drawn.is_empty() && !fired && letter.is_none();
        if fired && buffer.at.is_none() {
            buffer.read_clocks(); // It ended in an error.
        }
        if buffer.draws_left.is_none() {
            return self.give_up(self.outside.past_the_bound());
        }
        let now_ns = buffer.about_now();
        if plain && self.log.pack(&envelope, now_ns) {
            return self.bound();
        }
        let more = (!plain).then(|| {
            let drawn = std::mem::take(&mut buffer.drawn).into_boxed_slice();
            Box::new(More { at: buffer.at, waiting, letter, drawn, said, ..More::default() })
        });
        self.keep_whole(cell, envelope, now_ns, more);
    }

    fn keep_whole(&mut self, cell: &Cell, envelope: Envelope, now_ns: u64, more: Option<Box<More>>) {
        let (tag, index) = (envelope.tag(), envelope.index);
        let known = self.log.knows(tag) || self.old.resolve(tag).is_ok();
        if !known && self.is_as_it_was(&envelope.kind, envelope.own) {
            let name = cell.provider().contract().name(index).unwrap_or("a message").to_owned();
            return self.give_up(NoReplay::Pathless { message: name });
        }
        if known {
            self.log.learn(tag, envelope.from.as_ref().map(|from| &from.addr));
        }
        self.push(envelope, now_ns, more);
    }

    /// Keeps the first turn of the instance, if it said something.
    pub(crate) fn keep_start(&mut self, said: Vec<Said>, buffer: &mut Buffer<'_>) {
        if !self.keeping || said.is_empty() {
            return;
        }
        let tag = Tag { variant: 0, fingerprint: Fingerprint::NONE };
        let more = Some(Box::new(More { started: true, at: buffer.at, said, ..More::default() }));
        let envelope = Envelope::new(tag, Body::copy(&[]), Kind::Tell, None);
        self.push(envelope, buffer.about_now(), more);
    }

    /// Whether the version before is told that very message: not what the one on probation says to itself, which the
    /// one before says in its own way or not at all.
    fn is_as_it_was(&self, kind: &Kind, own: u32) -> bool {
        match kind {
            Kind::Tell => own == 0,
            Kind::Ask(_) => true,
            Kind::Answer(answer) => answer.0 < self.outside.since,
            Kind::Timer(id) => id.0 < self.outside.since,
            Kind::Undelivered(_) => false,
        }
    }

    /// Notes what whoever takes over must know, also when nothing else is kept: which waiting messages it said, to
    /// itself or others, and which older timers it cancelled.
    fn note(&mut self, cell: &Cell, effects: &mut [Effect]) {
        for effect in effects {
            match effect {
                Effect::Tell { named, .. } => {
                    self.named = self.named.wrapping_add(1).max(1);
                    *named = self.named;
                }
                Effect::Cancel(id) if id.0 < self.outside.since => {
                    if let Some(timer) = cell.timer_as_it_is(*id) {
                        self.outside.cancelled.lock().insert(*id, timer);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a panic is somebody else's to decide than the supervisor's.
    pub(crate) fn decides_a_crash(&self) -> bool {
        self.on_crash.is_some() && !self.outside.is_over()
    }

    fn push(&mut self, envelope: Envelope, now_ns: u64, more: Option<Box<More>>) {
        self.log.push(envelope, now_ns, more);
        self.bound();
    }

    /// Past a bound it gives up; else what is kept is shown.
    #[inline]
    pub(super) fn bound(&mut self) {
        if !self.keeping {
            return;
        }
        if !self.fits() {
            return self.give_up(self.outside.past_the_bound());
        }
        self.show();
    }

    fn fits(&self) -> bool {
        self.log.turns() <= self.outside.messages_max && self.log.bytes() <= self.outside.bytes_max
    }

    fn show(&self) {
        self.outside.messages.store(self.log.turns(), Relaxed);
        self.outside.bytes.store(self.log.bytes(), Relaxed);
    }

    #[cold]
    fn give_up(&mut self, why: NoReplay) {
        self.keeping = false;
        self.outside.refuse(why);
        self.log.clear();
    }
}

/// Nobody can do it anew without it. Whatever was refused before stands.
impl Drop for Record {
    fn drop(&mut self) {
        self.outside.refuse(NoReplay::Lost);
    }
}

/// What all of it is.
pub(super) fn said(cell: &Cell, effects: &[Effect]) -> Vec<Said> {
    let what = |effect: &Effect| match effect {
        Effect::Tell { to, tag, named, .. } if *to == cell.addr => Said::Own { variant: tag.variant, number: *named },
        Effect::Tell { to, tag, named, .. } => Said::Tell { to: to.clone(), variant: tag.variant, number: *named },
        Effect::Ask(ask) => {
            Said::Ask { to: ask.to.clone(), variant: ask.tag.variant, reply: ask.reply, number: ask.number }
        }
        Effect::After { id, delay, period, tag, .. } => {
            Said::After { variant: tag.variant, id: *id, delay: *delay, period: *period }
        }
        Effect::Cancel(id) => Said::Cancel { id: *id },
        Effect::Reply { call, .. } => Said::Reply { call: *call },
        Effect::Spawn(spawn) => Said::Spawn { child: spawn.child.clone() },
    };
    effects.iter().map(what).collect()
}
