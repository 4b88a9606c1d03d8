//! What the version before has of its own when it takes over: what it told itself, planned, asked and owes.

use super::body::Body;
use super::envelope::{Envelope, Kind};
use super::record::{Answered, CancelledTimer, Outside};
use crate::clock::Moment;
use crate::dead_letters::Letter;
use crate::ports::{CallId, TimerId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use teneral_contract::Tag;

/// A timer that the version before wants.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) tag: Tag,
    pub(crate) body: Body,
    pub(crate) period: Option<Duration>,
    /// When it is due next.
    pub(crate) due: Moment,
    /// The one that runs whose firings are its own; `None`: there is none, and it goes by time.
    pub(crate) with: Option<TimerId>,
    /// Which message led to it, by its place in the record.
    pub(crate) root: usize,
}

impl Wanted {
    /// Whether a firing of the one of that id is one of its own, too.
    fn fires(&self, now: Moment) -> bool {
        self.with.is_some() || self.due <= now
    }
}

/// What must be mended at the host when the version before takes over: what the actor itself planned, asked and owes.
#[derive(Default)]
pub(crate) struct Mending {
    /// Calls and timers from this number on began since the commit: whatever is not named here the version before never
    /// began. `None`: it is not known which.
    since: Option<u64>,
    /// What it told itself since the commit: as the version before says it, by number. What is missing it never said.
    pub(crate) own: BTreeMap<u32, (Tag, Body)>,
    /// Tells to others since the commit that the version before says, too, by number.
    pub(crate) sent: BTreeSet<u32>,
    /// Asks that began since the commit: the continuations that the version before has for them.
    pub(crate) asks: BTreeMap<u64, (Tag, Body)>,
    /// Timers that the version before began since.
    pub(crate) timers: BTreeMap<TimerId, Wanted>,
    /// Which of them goes with one of another id, by that id.
    aliases: BTreeMap<TimerId, TimerId>,
    /// Those that go by time, the earliest first.
    by_time: BTreeSet<(Moment, TimerId)>,
    /// Timers that it cancelled.
    pub(crate) cancelled: BTreeSet<TimerId>,
    /// Older timers that the version on probation cancelled and it did not.
    pub(crate) revived: BTreeMap<TimerId, CancelledTimer>,
    /// What it tells itself besides, behind what waits.
    pub(crate) own_new: Vec<(Tag, Body)>,
    /// What it says to who still waits.
    pub(crate) replies: Vec<(CallId, Answered)>,
    /// What it could not read.
    pub(crate) dead: Vec<Letter>,
    /// Dead letters of what the version on probation could not read, and it has handled.
    pub(crate) resolved: Vec<u64>,
    /// Nothing of what came since the commit is done anew: whoever waits for a reply beside these hears that none
    /// comes.
    pub(crate) owed: Option<BTreeSet<u64>>,
}

impl Mending {
    /// Whether the call or timer of that number began since the commit.
    pub(crate) fn began(&self, number: u64) -> bool {
        self.since.is_some_and(|since| number >= since)
    }

    /// Whether the version before has a timer of that id that fires by `now`, as one of that id has.
    pub(crate) fn wants(&self, id: TimerId, now: Moment) -> bool {
        if self.began(id.0) {
            self.timers.get(&id).is_some_and(|wanted| wanted.fires(now))
        } else {
            !self.cancelled.contains(&id)
        }
    }

    /// Whether the version before says the tell of that number, too; 0: it is older, or nothing is known of it.
    pub(super) fn says(&self, named: u32) -> bool {
        named == 0 || self.sent.contains(&named)
    }

    /// Whether it makes the ask of that number.
    pub(super) fn asks(&self, number: u64) -> bool {
        !self.began(number) || self.asks.contains_key(&number)
    }

    /// A message that waits, as the version before says it by `now`. `false`: it never said it, or asked for it.
    pub(crate) fn mend(&self, envelope: &mut Envelope, now: Moment) -> bool {
        let word = match &envelope.kind {
            Kind::Tell if envelope.own > 0 => self.own.get(&envelope.own).cloned(),
            Kind::Undelivered(_) => return self.says(envelope.own),
            Kind::Answer(answer) if self.began(answer.0) => self.asks.get(&answer.0).cloned(),
            Kind::Timer(id) if !self.wants(*id, now) => None,
            Kind::Timer(id) if self.began(id.0) => self.timers.get(id).map(|wanted| (wanted.tag, wanted.body.clone())),
            _ => return true,
        };
        let Some((tag, body)) = word else { return false };
        envelope.say(tag, body);
        true
    }

    /// Nothing of what came since the commit is done anew yet.
    pub(super) fn of(outside: &Outside) -> Self {
        Self { since: Some(outside.since), revived: outside.cancelled.lock().clone(), ..Self::default() }
    }

    /// Nothing of what came since the commit is done anew at all.
    pub(crate) fn giving_up(outside: &Outside) -> Self {
        Self { owed: Some(outside.owed.clone()), ..Self::of(outside) }
    }

    /// Whether it is known what there was at the commit.
    pub(crate) const fn knows_the_commit(&self) -> bool {
        self.since.is_some()
    }

    /// It begins a timer.
    pub(super) fn begin(&mut self, id: TimerId, wanted: Wanted) {
        match wanted.with {
            Some(other) if other != id => drop(self.aliases.insert(other, id)),
            Some(_) => {}
            None => drop(self.by_time.insert((wanted.due, id))),
        }
        self.timers.insert(id, wanted);
    }

    /// It cancels one.
    pub(super) fn cancel(&mut self, id: TimerId) {
        self.end(id);
        self.revived.remove(&id);
        self.cancelled.insert(id);
    }

    /// One that went by time has fired. Over with it, the one of that id has no part in it: it is no loss.
    pub(super) fn fired(&mut self, id: TimerId) {
        if !self.timers.contains_key(&id) {
            self.cancelled.insert(id);
        }
    }

    /// What others still go with is theirs from here on, and no loss.
    pub(super) fn end_aliased(&mut self) {
        self.cancelled.extend(std::mem::take(&mut self.aliases).into_keys());
    }

    fn end(&mut self, id: TimerId) {
        let Some(wanted) = self.timers.remove(&id) else { return };
        self.by_time.remove(&(wanted.due, id));
        if let Some(other) = wanted.with {
            self.aliases.remove(&other);
        }
    }

    /// The version on probation cancelled that one: what goes with it goes by time from here on.
    pub(super) fn lone(&mut self, id: TimerId) {
        let id = self.aliases.remove(&id).unwrap_or(id);
        if let Some(wanted) = self.timers.get_mut(&id)
            && wanted.with.take().is_some()
        {
            self.by_time.insert((wanted.due, id));
        }
    }

    /// The earliest that goes by time and is due by `now`.
    pub(super) fn next_due(&self, now: Moment) -> Option<(Moment, TimerId)> {
        self.by_time.first().copied().filter(|(due, _)| *due <= now)
    }

    /// Which one fires when the one of that id does, or has by itself: if it wants to, with its message and what led to
    /// it.
    pub(super) fn fire(&mut self, id: TimerId, now: Moment) -> Option<(Tag, Body, usize)> {
        let id = self.aliases.get(&id).copied().unwrap_or(id);
        let wanted = self.timers.get_mut(&id).filter(|wanted| wanted.fires(now))?;
        let said = (wanted.tag, wanted.body.clone(), wanted.root);
        match wanted.period {
            Some(period) => {
                let lone = self.by_time.remove(&(wanted.due, id));
                wanted.due = wanted.due.next(period, now);
                if lone {
                    self.by_time.insert((wanted.due, id));
                }
            }
            None => self.end(id),
        }
        Some(said)
    }
}
