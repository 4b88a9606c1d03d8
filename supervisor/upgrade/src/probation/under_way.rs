//! Ways back that are under way: each has its actors from before anybody is told until all is written down.
//!
//! They are claimed and marked in one step, all of a command or none: no other upgrade can have one of them meanwhile,
//! and nobody makes it final. However a way back ends, whoever it still has is let go, as it was.

use super::states::KEPT;
use super::{BackError, Entry, Going, Probations, Rollback, State, WayBack};
use crate::claim::Claim;
use crate::error::UpgradeError;
use crate::report::{ActorReport, Failure, Record, Report};
use crate::request::PathlessPolicy;
use crate::shared::Shared;
use crate::step::Step;
use crate::upgrades::{Inner, Over};
use crate::waiting::{Pathless, listed, lost_on};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use teneral_contract::Addr;
use teneral_runtime::{Generation, LeaseRequest, PauseRefused, PauseRequest};
use teneral_store::UpgradeId;

/// One way back: of which upgrade, by which way, and who goes it.
pub(super) struct UnderWay {
    pub(super) of: UpgradeId,
    pub(super) way: WayBack,
    /// What becomes of waiting messages that the version before has no path for.
    pub(super) pathless: PathlessPolicy,
    pub(super) who: String,
    pub(super) why: String,
    pub(super) shared: Arc<Shared>,
    pub(super) actors: Vec<Addr>,
    // In this order: nobody has the actors before they are let go.
    marks: Marks,
    claim: Mutex<Claim>,
    _over: Over,
}

/// Who is marked; let go of when this is dropped.
struct Marks {
    by: UpgradeId,
    actors: Vec<Addr>,
    probations: Arc<Probations>,
}

impl Drop for Marks {
    fn drop(&mut self) {
        let mut state = self.probations.state.lock();
        for addr in &self.actors {
            if let Some(entry) = state.on.get_mut(addr) {
                entry.going.take_if(|going| going.by == self.by);
            }
        }
    }
}

/// Who is to go back: of which upgrade, by which way, and on whose word.
pub(super) struct Wanted<'a> {
    pub(super) of: &'a UpgradeId,
    pub(super) way: WayBack,
    pub(super) pathless: PathlessPolicy,
    pub(super) asked: (&'a str, &'a str),
    pub(super) actors: Vec<Addr>,
}

impl UnderWay {
    /// It has not taken this one back, and lets it go before the others.
    pub(super) fn lets_go(&self, addr: &Addr) {
        let mut state = self.marks.probations.state.lock();
        if let Some(entry) = state.on.get_mut(addr) {
            entry.going.take_if(|going| going.by == self.shared.id);
        }
        // At once: whoever sees that it is nobody's may have it.
        self.claim.lock().settled(addr);
    }

    /// It has ended, and lets go of who is left.
    pub(super) fn ended(self, report: &Report) {
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.ended(&report.actors);
    }

    /// What did not begin, as a report: nobody was touched.
    pub(super) fn refused(&self, error: &UpgradeError) -> Report {
        let Self { who, why, shared, actors, .. } = self;
        let plan = shared.probations.plan_back((&self.of, self.way), actors, (who, why));
        let actors = plan.moves.iter().map(|moved| ActorReport::refused(moved, Step::Pause, error)).collect();
        Report {
            id: shared.id.clone(),
            who: plan.who,
            why: plan.why,
            actors,
            warnings: plan.warnings,
            journal: Record::Incomplete(Failure::of(error)),
            threads_lost: shared.threads_lost.load(Ordering::Relaxed),
        }
    }
}

/// Whom a way back has, before they are marked.
struct Claimed<'a> {
    wanted: Wanted<'a>,
    shared: Arc<Shared>,
    claim: Claim,
    over: Over,
}

impl<'a> Claimed<'a> {
    fn of(inner: &Arc<Inner>, wanted: Wanted<'a>) -> Result<Self, UpgradeError> {
        let shared = Arc::new(inner.share());
        // Before it has the actors: whoever is refused for its sake can wait for its end.
        let over = inner.runs(&shared);
        let claim = Claim::of(inner, wanted.actors.iter(), &shared.id)?;
        Ok(Self { wanted, shared, claim, over })
    }
}

impl State {
    /// Claims and marks all of these, or none.
    fn mark(&mut self, inner: &Arc<Inner>, wanted: Vec<Wanted<'_>>) -> Result<Vec<UnderWay>, UpgradeError> {
        let claimed = wanted.into_iter().map(|wanted| Claimed::of(inner, wanted)).collect::<Result<Vec<_>, _>>()?;
        Ok(claimed.into_iter().map(|claimed| self.marked(inner, claimed)).collect())
    }

    /// The same for one way.
    pub(super) fn mark_one(&mut self, inner: &Arc<Inner>, wanted: Wanted<'_>) -> Result<UnderWay, UpgradeError> {
        Ok(self.marked(inner, Claimed::of(inner, wanted)?))
    }

    fn marked(&mut self, inner: &Arc<Inner>, claimed: Claimed<'_>) -> UnderWay {
        let Claimed { wanted, shared, claim, over } = claimed;
        let Wanted { of, way, pathless, asked: (who, why), actors } = wanted;
        for addr in &actors {
            if let Some(entry) = self.on.get_mut(addr) {
                entry.going = Some(Going { by: shared.id.clone(), why: why.to_owned() });
            }
        }
        let marks = Marks { by: shared.id.clone(), actors: actors.clone(), probations: Arc::clone(&inner.probations) };
        let (of, who, why) = (of.clone(), who.to_owned(), why.to_owned());
        UnderWay { of, way, pathless, who, why, shared, actors, marks, claim: Mutex::new(claim), _over: over }
    }
}

impl Probations {
    /// Begins to take back an upgrade's actors, or those of `only`, each by the way that was asked for or the best that
    /// it has. All, or none; none where one would lose waiting messages and that was not asked for.
    pub(super) fn begin_back(
        &self,
        inner: &Arc<Inner>,
        (of, only): (&UpgradeId, &[Addr]),
        (way, pathless): (Option<WayBack>, PathlessPolicy),
        asked: (&str, &str),
    ) -> Result<Vec<UnderWay>, UpgradeError> {
        let mut state = self.state.lock();
        let refused = |why: String| Err(UpgradeError::Back(BackError::Probation(why)));
        if state.closed {
            return refused("the host is being closed".to_owned());
        }
        let (mut wanted, mut without) = (Vec::<Wanted<'_>>::new(), Vec::new());
        for addr in state.idle(of, only)? {
            let Some(entry) = state.on.get(&addr) else { continue };
            let Some(taken) = entry.way(way)? else {
                without.push((addr, entry.ways()));
                continue;
            };
            let lost = entry.lost_on(taken, pathless);
            if !lost.is_empty() {
                let (to, what) = (entry.moved.from.to_string(), listed(&lost));
                return Err(UpgradeError::Contract { addr, to, what });
            }
            match wanted.iter_mut().find(|group| group.way == taken) {
                Some(group) => group.actors.push(addr),
                None => wanted.push(Wanted { of, way: taken, pathless, asked, actors: vec![addr] }),
            }
        }
        if !without.is_empty() {
            let others: Vec<&Addr> = wanted.iter().flat_map(|group| &group.actors).collect();
            return Err(lossy(of, &without, &others));
        }
        if wanted.is_empty() {
            return refused(format!("nobody is on probation for {of}"));
        }
        state.mark(inner, wanted)
    }
}

impl Probations {
    /// Asks those for a pause, all at once, that could not be had in time before. Who is not at rest now is put off
    /// again: what cannot begin is to be in no journal, however often it is tried.
    pub(super) fn come_to_rest(&self, back: &mut UnderWay) {
        let ask = |entry: &Entry| {
            back.shared.now_paused(&entry.actor);
            entry.actor.ask_pause(LeaseRequest {
                owner: back.shared.id.to_string(),
                generation: Generation(entry.generation),
                quiesce_timeout: entry.bounds.quiesce_timeout,
                max_pause: KEPT,
                on_lost: Box::new(drop),
            })
        };
        let state = self.state.lock();
        let again = back.actors.iter().filter_map(|addr| {
            let entry = state.on.get(addr).filter(|entry| entry.retry.is_some())?;
            // What hangs is not waited for: see `Back::pause`.
            let paused = entry.crashed.is_some() || entry.pause.is_some() || entry.hangs();
            (!paused).then(|| (addr.clone(), ask(entry)))
        });
        let again: Vec<_> = again.collect();
        drop(state);
        for (addr, request) in again {
            let rested = request.and_then(PauseRequest::wait);
            back.shared.no_longer_paused(&addr);
            let cancelled = matches!(rested, Err(PauseRefused::Cancelled));
            match rested {
                Ok(pause) => {
                    let mut state = self.state.lock();
                    let entry = state.on.get_mut(&addr).filter(|entry| entry.upgrade == back.of);
                    // Of who is gone it is dropped, without the lock.
                    let none = match entry {
                        Some(entry) => entry.pause.replace(pause),
                        None => Some(pause),
                    };
                    drop(state);
                    drop(none);
                    continue;
                }
                Err(refused) if cancelled => {
                    self.leave(&addr, &back.of, None, &format!("its rollback was stopped: {refused}"));
                }
                Err(refused) => {
                    // In no journal: see above.
                    let (id, upgrade) = (&back.shared.id, &back.of);
                    tracing::info!(actor = %addr, %upgrade, rollback = %id, why = %refused, "its rollback is put off");
                    self.put_off(&addr, upgrade, None, self.clock.now());
                }
            }
            back.lets_go(&addr);
            back.actors.retain(|of| *of != addr);
        }
    }
}

impl State {
    /// An upgrade's actors that are on probation and that no way back has, by name: all of them, or those that `only`
    /// names.
    ///
    /// # Errors
    /// One that is not on probation; one that is being taken back.
    pub(super) fn idle(&self, of: &UpgradeId, only: &[Addr]) -> Result<Vec<Addr>, UpgradeError> {
        let its = |addr: &Addr| self.on.get(addr).is_some_and(|entry| entry.upgrade == *of);
        if let Some(addr) = only.iter().find(|addr| !its(addr)) {
            return Err(UpgradeError::Back(BackError::Probation(format!("{addr} is not on probation for {of}"))));
        }
        let mut idle = Vec::new();
        let meant = |addr: &Addr| only.is_empty() || only.contains(addr);
        for (addr, entry) in self.on.iter().filter(|(addr, entry)| entry.upgrade == *of && meant(addr)) {
            if let Some(Going { by, .. }) = &entry.going {
                return Err(UpgradeError::Running { addr: addr.clone(), by: by.clone() });
            }
            idle.push(addr.clone());
        }
        idle.sort_by(|one, other| one.path().cmp(other.path()));
        Ok(idle)
    }
}

impl Entry {
    /// The waiting messages that would have no path to the version before, where they must not become dead letters.
    pub(super) fn lost_on(&self, way: WayBack, pathless: PathlessPolicy) -> Vec<Pathless> {
        match pathless {
            PathlessPolicy::DeadLetter => Vec::new(),
            PathlessPolicy::Refuse => lost_on(way, &self.actor, self.old.manifest()),
        }
    }

    /// What becomes of them when it is taken back by itself: what its upgrade said. They have come since the commit,
    /// and restore gives that up.
    pub(super) fn pathless(&self) -> PathlessPolicy {
        match self.watch.rollback {
            Rollback::Restore => PathlessPolicy::DeadLetter,
            Rollback::Auto | Rollback::Replay | Rollback::Downgrade | Rollback::Never => self.bounds.pathless,
        }
    }

    /// The way back that it takes: the one that is asked for, or the best that there is. What gives up what came since
    /// the commit must be asked for: `None`.
    fn way(&self, asked: Option<WayBack>) -> Result<Option<WayBack>, UpgradeError> {
        let ways = self.ways();
        let Some(way) = asked else {
            return Ok(self.keeping(&ways).into_iter().find(|way| *way != WayBack::Restore));
        };
        if ways.contains(&way) {
            return Ok(Some(way));
        }
        let names: Vec<&str> = ways.iter().map(|way| way.name()).collect();
        let there_is = if names.is_empty() { NONE.to_owned() } else { format!("there is {}", names.join(", ")) };
        let seen = self.actor.recorded().and_then(|seen| seen.no_replay);
        let because = seen.filter(|_| way == WayBack::Replay).map_or_else(String::new, |why| format!("{why}; "));
        let addr = self.moved.addr.clone();
        let take = |name: &&str| format!("take {name}: {} --by {name}", order("rollback", &self.upgrade, &[&addr]));
        let mut instead: Vec<String> = names.iter().map(take).collect();
        if instead.is_empty() {
            instead.push(goes_on(&self.upgrade, &[&addr]));
        }
        Err(UpgradeError::Back(BackError::NoWay { addr, way, why: format!("{because}{there_is}"), instead }))
    }
}

/// What is said where there is no way back.
const NONE: &str = "there is none";

/// That nothing takes these back which gives nothing up; those of whom that is so for the same reason.
fn lossy(of: &UpgradeId, without: &[(Addr, Vec<WayBack>)], others: &[&Addr]) -> UpgradeError {
    let (none, restore): (Vec<_>, Vec<_>) = without.iter().partition(|(_, ways)| ways.is_empty());
    let [none, restore] = [none, restore].map(|those| those.into_iter().map(|(addr, _)| addr).collect::<Vec<_>>());
    let by = WayBack::Restore;
    let (actors, why) = match none.is_empty() {
        true => (&restore, format!("{by} gives up what came since the commit, and must be asked for (--by {by})")),
        false => (&none, NONE.to_owned()),
    };
    let mut instead = Vec::new();
    if !restore.is_empty() {
        instead.push(format!("give it up: {} --by {by}", order("rollback", of, &restore)));
    }
    if !others.is_empty() {
        instead.push(format!("take the others back: {}", order("rollback", of, others)));
    }
    instead.push(goes_on(of, actors));
    UpgradeError::Back(BackError::Lossy { actors: names(actors, ", "), why, instead })
}

fn goes_on(of: &UpgradeId, actors: &[&Addr]) -> String {
    format!("let the new version go on: {}", order("finalise", of, actors))
}

/// What an operator types to have that done with these.
fn order(what: &str, of: &UpgradeId, actors: &[&Addr]) -> String {
    format!("teneral upgrade {what} {of} {}", names(actors, " "))
}

/// All of them: a command that named some would leave the others.
fn names(actors: &[&Addr], between: &str) -> String {
    actors.iter().map(|addr| addr.path()).collect::<Vec<_>>().join(between)
}
