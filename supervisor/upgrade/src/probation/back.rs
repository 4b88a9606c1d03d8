//! Taking versions back after their commit, and making them final.
//!
//! A way back is an upgrade of its own: claimed, journaled before anybody is paused, reported actor by actor. Replay
//! and restore put an instance of the version before in place of what serves; downgrade is the ordinary way down. What
//! fails leaves the actor paused with its state and its messages, and says so: never half a state.

use super::BackError;
use super::aside::Aside;
use super::ends::By;
use super::one::{Back, Lent, Went};
use super::states::Kept;
use super::under_way::UnderWay;
use super::{Over, WayBack};
use crate::claim::Claim;
use crate::error::UpgradeError;
use crate::journal::Journal;
use crate::plan::Move;
use crate::report::{ActorReport, Failure, Now, Outcome, Report, WentBack, micros};
use crate::request::{Downgrades, Options, PathlessPolicy, Request, Trials, Wanted};
use crate::step::Step;
use crate::told;
use crate::upgrades::Upgrades;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use teneral_contract::{Addr, Digest, Tag};
use teneral_runtime::error::LeaseLost;
use teneral_runtime::{Events, PauseRefused, Quiesced, Tally, What};
use teneral_store::{StepDone, UpgradeId};

/// How the way back of an actor ends that did not come through.
enum Ends {
    /// It could not be paused yet.
    PutOff,
    /// It was stopped, or is another one: that is seen when it is looked at next.
    Gone,
    /// Somebody has stopped the rollback: it goes on as it was.
    Left,
    /// It is kept as it is.
    Held,
}

impl Ends {
    fn of(error: &UpgradeError, work: &Lent) -> Self {
        use PauseRefused::{Busy, Cancelled, Held, Stale, Stopped, Suspended};
        match error {
            UpgradeError::Pause(Busy { .. } | Suspended { .. } | Held { .. }) => Self::PutOff,
            UpgradeError::Pause(Stopped | Stale { .. }) => Self::Gone,
            UpgradeError::Lost { lost: LeaseLost::Stopped, .. } => Self::Gone,
            // What panicked does not go on: it is kept for the next way.
            UpgradeError::Cancelled(_) if work.pause.as_ref().is_some_and(Quiesced::is_wreck) => Self::Held,
            UpgradeError::Cancelled(_) | UpgradeError::Pause(Cancelled) => Self::Left,
            UpgradeError::Lost { lost: LeaseLost::Cancelled { .. }, .. } => Self::Left,
            _ => Self::Held,
        }
    }
}

impl Upgrades {
    /// What is on probation, by name.
    #[must_use]
    pub fn on_probation(&self) -> Vec<super::OnProbation> {
        self.inner.probations.list(None, self.inner.clock.now())
    }

    /// What is on probation for one upgrade, by name.
    #[must_use]
    pub fn on_probation_for(&self, id: &UpgradeId) -> Vec<super::OnProbation> {
        self.inner.probations.list(Some(id), self.inner.clock.now())
    }

    /// Whose way back leads over this artifact, each with the upgrade that it is on probation for.
    #[must_use]
    pub fn ways_back_over(&self, artifact: Digest) -> Vec<(Addr, UpgradeId)> {
        self.inner.probations.lead_over(artifact)
    }

    /// The actors on probation whose instance before is of this artifact: it keeps the library in use.
    #[must_use]
    pub fn instances_before_of(&self, artifact: Digest) -> Vec<Addr> {
        self.inner.probations.keep(artifact)
    }

    /// Effects that a version that was gone back to wants sent, and that were never sent.
    #[must_use]
    pub fn held(&self) -> Vec<super::Held> {
        self.inner.probations.held.list()
    }

    /// Which message one of them is, in which shape, and its body; of a child, variant 0 and its start arguments.
    #[must_use]
    pub fn held_body(&self, id: u64) -> Option<(Tag, Vec<u8>)> {
        self.inner.probations.held.body(id)
    }

    /// Sends one of them, as from its actor. Blocks while a child starts.
    ///
    /// # Errors
    /// [`BackError::NotHeld`]; [`BackError::NotSent`] when it was not accepted: it stays.
    pub fn send_held(&self, id: u64) -> Result<(), UpgradeError> {
        self.inner.probations.held.send(id)
    }

    /// Drops one of them.
    ///
    /// # Errors
    /// [`BackError::NotHeld`].
    pub fn drop_held(&self, id: u64) -> Result<(), UpgradeError> {
        self.inner.probations.held.drop_one(id)
    }

    /// Ends the probation of an upgrade's actors, or of some of them: the instances before are given up, and when all
    /// of the upgrade is final its version is what new actors of the kind get. Of an upgrade that had no probation only
    /// that is left to do. Blocks on the disk.
    ///
    /// # Errors
    /// [`BackError::Probation`] when there is nothing to make final, or the upgrade is at work;
    /// [`BackError::Quarantined`] while the version is in quarantine.
    pub fn finalise(&self, id: &UpgradeId, only: &[Addr], who: &str) -> Result<Vec<Addr>, UpgradeError> {
        if self.inner.is_running(id) {
            return Err(UpgradeError::Back(BackError::Probation(format!("{id} is at work: it is final as a whole"))));
        }
        self.inner.probations.may_be_final(id, only)?;
        let taken = self.inner.probations.take_idle(id, only)?;
        let mut actors: Vec<Addr> = taken.iter().map(|entry| entry.moved.addr.clone()).collect();
        if actors.is_empty() {
            actors = self.committed(id)?;
            // It had no probation, or that ended with its host: it is final from now on.
            self.inner.probations.note(id, actors.clone(), &Over { how: "finalised", why: who, by: None });
        }
        self.end_well(id, taken, By::Operator(who))?;
        Ok(actors)
    }

    /// Takes an upgrade's actors back to the version before, or some of them, while they are on probation. `way`: the
    /// best there is for each, when it is none; with what becomes of waiting messages that the version before has no
    /// path for. Blocks.
    ///
    /// # Errors
    /// [`BackError::Probation`] when nobody is on probation for it; [`BackError::NoWay`] when an actor cannot go
    /// back that way; [`UpgradeError::Contract`] when messages would be lost, and that was not asked for;
    /// [`UpgradeError::Running`] when another upgrade has one. What came of it when it began is in the
    /// reports, one a way; of several ways one that did not begin says so there.
    pub fn roll_back(
        &self,
        id: &UpgradeId,
        way: (Option<WayBack>, PathlessPolicy),
        only: &[Addr],
        asked: (&str, &str),
    ) -> Result<Vec<Report>, UpgradeError> {
        let (mut reports, mut refused) = (Vec::new(), Vec::new());
        for back in self.inner.probations.begin_back(&self.inner, (id, only), way, asked)? {
            match self.back(&back) {
                Ok(report) => {
                    back.ended(&report);
                    reports.push(report);
                }
                Err(error) => refused.push((back.refused(&error), error)),
            }
        }
        if reports.is_empty()
            && let Some((_, error)) = refused.pop()
        {
            return Err(error);
        }
        reports.extend(refused.into_iter().map(|(report, _)| report));
        Ok(reports)
    }

    /// Takes back who fails, beside whatever else is watched.
    pub(super) fn take_back(&self, back: UnderWay) {
        let (upgrades, of, actors) = (self.clone(), back.of.clone(), back.actors.clone());
        let run = move || {
            let mut back = back;
            upgrades.inner.probations.come_to_rest(&mut back);
            if back.actors.is_empty() {
                return;
            }
            match upgrades.back(&back) {
                Ok(report) => back.ended(&report),
                Err(error) => {
                    let (code, upgrade) = (error.code(), &back.of);
                    tracing::error!(%upgrade, code, %error, "fails its probation, and was not taken back");
                    upgrades.not_begun(&back, &error);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("rollback".to_owned()).spawn(run) {
            tracing::error!(%error, "no thread for a rollback");
            let now = self.inner.clock.now();
            actors.iter().for_each(|addr| self.inner.probations.put_off(addr, &of, None, now));
        }
    }

    /// A rollback that nobody asked for did not begin: it is tried again, or an operator is told.
    fn not_begun(&self, back: &UnderWay, error: &UpgradeError) {
        let passing = matches!(
            error,
            UpgradeError::Journal(_) | UpgradeError::Thread(_) | UpgradeError::Stale { .. } | UpgradeError::Gate { .. }
        );
        let Failure { code, cause, .. } = Failure::of(error);
        for addr in &back.actors {
            if passing {
                self.inner.probations.put_off(addr, &back.of, None, self.inner.clock.now());
            } else {
                self.inner.probations.leave(addr, &back.of, None, &format!("[{code}] {cause}"));
            }
        }
    }

    fn back(&self, back: &UnderWay) -> Result<Report, UpgradeError> {
        match back.way {
            WayBack::Downgrade => self.back_down(back),
            WayBack::Replay | WayBack::Restore => self.back_by_instance(back),
        }
    }

    /// The ordinary way down.
    fn back_down(&self, back: &UnderWay) -> Result<Report, UpgradeError> {
        let probations = &self.inner.probations;
        let to = |addr: &Addr| probations.of(addr).map(|(_, from)| from);
        let wanted = back.actors.iter();
        let wanted: Vec<Wanted> =
            wanted.filter_map(|addr| Some(Wanted { addr: addr.clone(), kind: None, to: to(addr)?.version })).collect();
        let (downgrades, pathless) = (Downgrades::Allow, back.pathless);
        let options = Options { downgrades, pathless, trials: Trials::Skip, ..Options::new() };
        // All of one upgrade have the same.
        let bounds = back.actors.iter().find_map(|addr| probations.bounds(addr));
        let options = bounds.map_or(options, |bounds| bounds.on(options));
        let request = Request {
            who: back.who.clone(),
            why: back.why.clone(),
            actors: wanted,
            options,
            name: None,
            notes: Vec::new(),
        };
        let plan = self.inner.plan(&request)?.rolling_back(&back.of);
        self.inner.may_begin(&plan)?;
        // Who is back is written down as it comes: see the conductor. The actors are had already, and are until all of
        // that is done.
        let running = self.inner.begin(plan, Arc::clone(&back.shared), (Claim::none(&self.inner), None))?;
        let broke = |_| UpgradeError::Thread("it ended without a report".to_owned());
        let mut report = running.recv().map_err(broke)?;
        for actor in &mut report.actors {
            actor.back = Some(WentBack::of(&back.of, WayBack::Downgrade, Tally::default()));
            if actor.outcome != Outcome::Committed {
                self.not_down(back, actor);
                back.lets_go(&actor.actor);
            }
        }
        Ok(report)
    }

    /// What did not go down is put off when it could not be paused, else it is held as it is.
    fn not_down(&self, back: &UnderWay, report: &mut ActorReport) {
        let probations = &self.inner.probations;
        let (addr, of) = (&report.actor, &back.of);
        let Some(failure) = report.outcome.failure().cloned() else { return };
        match failure.code.as_str() {
            // Or it is no more, or another one: that is seen when it is looked at next.
            "UPG-BUSY" | "UPG-SUSPENDED" | "UPG-HELD" | "UPG-GONE" | "UPG-STOPPED" | "UPG-STALE" => {
                probations.put_off(addr, of, None, self.inner.clock.now());
            }
            "UPG-CANCELLED" => {
                probations.leave(addr, of, None, &format!("its rollback was stopped: {}", failure.cause));
            }
            code if matches!(report.outcome, Outcome::Refused(_)) => {
                probations.leave(addr, of, None, &format!("[{code}] {}", failure.cause));
            }
            _ => {
                let Some(work) = probations.lend(addr, of) else { return };
                if let Now::Serving { version, generation } = report.now.clone()
                    && self.hold(back, addr, work, &failure) == Kept::Held
                {
                    report.now = Now::Held { version, generation };
                }
            }
        }
    }

    fn hold(&self, back: &UnderWay, addr: &Addr, work: Lent, failure: &Failure) -> Kept {
        let kept = self.inner.probations.hold(addr, &back.of, work, failure);
        let Failure { code, cause, .. } = failure;
        match kept {
            Kept::Held => tracing::error!(
                actor = %addr, upgrade = %back.of, code, cause,
                "could not be taken back: it is kept as it is until somebody decides"
            ),
            Kept::Serving => tracing::error!(
                actor = %addr, upgrade = %back.of, code, cause,
                "could not be taken back, and could not be paused: the version that failed serves"
            ),
            Kept::Gone => {}
        }
        kept
    }

    /// Those of a rollback that went back are on probation no longer, once it is written down where they are: their
    /// definition first, for a host that ends in between must not start them on what was taken back. What is to be told
    /// of it.
    pub(crate) fn are_back(
        &self,
        of: &UpgradeId,
        (by, why): (&UpgradeId, &str),
        reports: &[ActorReport],
    ) -> Vec<(Events, What)> {
        let probations = &self.inner.probations;
        self.inner.moved_or_owed((of, by), reports);
        probations.spoil(of);
        let committed = reports.iter().filter(|actor| actor.outcome == Outcome::Committed);
        let back = committed.filter_map(|actor| probations.take(&actor.actor, of)).collect();
        probations.settled(back, Over { how: "rolled_back", why, by: Some(by) })
    }

    fn back_by_instance(&self, back: &UnderWay) -> Result<Report, UpgradeError> {
        let (inner, shared) = (&self.inner, &back.shared);
        let plan = inner.probations.plan_back((&back.of, back.way), &back.actors, (&back.who, &back.why));
        if plan.changes_nothing() {
            // Stopped or moved on since: what moves nobody is in no journal.
            let gone = BackError::Probation(format!("nobody is on probation for {} any more", back.of));
            return Err(UpgradeError::Back(gone));
        }
        let at = (shared.unix_us(), inner.runtime.epoch());
        let journal = Journal::begin(Arc::clone(&inner.store), shared.id.clone(), &plan, at)?;
        told::begun(inner.runtime.event_sink(), &shared.id, &plan);
        let (reports, journal) = self.each_back(back, &plan.moves, journal);
        let record = journal.end(&reports, &plan, shared.unix_us());
        let unkept = inner.probations.unkept(&back.of);
        let report = Report {
            id: shared.id.clone(),
            who: plan.who,
            why: plan.why,
            actors: reports,
            warnings: plan.warnings.into_iter().chain(unkept).collect(),
            journal: record,
            threads_lost: self.threads_lost(),
        };
        Ok(report)
    }

    /// All of them, as many at the same time as there are lanes: whoever waits goes on with the version that fails.
    fn each_back(&self, back: &UnderWay, moves: &[Move], journal: Journal) -> (Vec<ActorReport>, Journal) {
        let (shared, left) = (&back.shared, AtomicUsize::new(moves.len()));
        let (next, written) = (AtomicUsize::new(0), Mutex::new((vec![None; moves.len()], journal)));
        let lane = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(moved) = moves.get(number) else { return };
                let (report, steps) = self.one_back(back, moved);
                if let Some(event) = report.event() {
                    self.inner.runtime.event_sink().emit(event);
                }
                // Before the next one is looked at: the host may end while that is on its way.
                let told = self.are_back(&back.of, (&shared.id, &back.why), std::slice::from_ref(&report));
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    shared.last_words.lock().extend(told);
                } else {
                    told.into_iter().for_each(|(events, what)| events.emit(what));
                }
                let mut written = written.lock();
                written.1.steps(steps);
                written.0[number] = Some(report);
            }
        };
        std::thread::scope(|threads| {
            for _ in 1..moves.len().min(self.inner.config.lanes_max) {
                let spawned = std::thread::Builder::new().name("rollback-lane".to_owned()).spawn_scoped(threads, lane);
                // Those that there are come to all of it.
                if spawned.is_err() {
                    break;
                }
            }
            lane();
        });
        let (reports, journal) = written.into_inner();
        (reports.into_iter().flatten().collect(), journal)
    }

    fn one_back(&self, under_way: &UnderWay, moved: &Move) -> (ActorReport, Vec<StepDone>) {
        let Some(work) = self.inner.probations.lend(&moved.addr, &under_way.of) else {
            let error =
                UpgradeError::Back(BackError::Probation(format!("{} is not on probation any more", moved.addr)));
            return (ActorReport::refused(moved, Step::Pause, &error), Vec::new());
        };
        let aside = Aside { runtime: self.inner.runtime.clone(), hang_after: self.inner.config.hang_after };
        let (shared, ran) = (Arc::clone(&under_way.shared), Vec::new());
        let mut back = Back { way: under_way.way, moved: moved.clone(), shared, work, aside, ran };
        match back.run() {
            Ok(went) => self.went_back(under_way, moved, back, went),
            Err(error) => {
                let report = self.not_back(under_way, moved, &error, back.work);
                under_way.lets_go(&moved.addr);
                (report, back.ran)
            }
        }
    }

    fn went_back(&self, under_way: &UnderWay, moved: &Move, back: Back, went: Went) -> (ActorReport, Vec<StepDone>) {
        let probations = &self.inner.probations;
        let Back { ran, work, shared, .. } = back;
        let held = went.held.len();
        let dropped = probations.held.add(&shared.id, &work.actor, went.held);
        let now = Now::Serving { version: moved.to.version.clone(), generation: went.generation };
        let mut report = ActorReport::untouched(moved, Step::Resume, Outcome::Committed, now);
        (report.pause_us, report.queued_at_resume) = (micros(went.paused), went.queued_messages);
        (report.dead_letters, report.snapshot_bytes) = (went.dead_letters, went.state_bytes);
        report.back = Some(WentBack { held, dropped, ..WentBack::of(&under_way.of, under_way.way, went.tally) });
        // Both are plugin code's to drop.
        work.actor.discard(went.replaced, went.code);
        let Lent { actor, frozen, old, .. } = work;
        if let Some(frozen) = frozen {
            actor.discard(frozen, old);
        }
        (report, ran)
    }

    /// It did not go back: put off when it could not be paused, left to somebody when that was ordered, else held as it
    /// is.
    fn not_back(&self, back: &UnderWay, moved: &Move, error: &UpgradeError, work: Lent) -> ActorReport {
        let (probations, failure, addr) = (&self.inner.probations, Failure::of(error), &moved.addr);
        let (version, generation) = (moved.from.version.clone(), moved.generation);
        let serving = Now::Serving { version: version.clone(), generation };
        let held = Now::Held { version, generation };
        let untouched = |outcome, now| ActorReport::untouched(moved, Step::Pause, outcome, now);
        match Ends::of(error, &work) {
            Ends::PutOff => {
                probations.put_off(addr, &back.of, Some(work), self.inner.clock.now());
                untouched(Outcome::Deferred(failure), serving)
            }
            Ends::Gone => {
                probations.give_back(addr, &back.of, work);
                untouched(Outcome::Refused(failure), Now::Stopped)
            }
            Ends::Left => {
                let why = format!("its rollback was stopped: {}", failure.cause);
                let goes_on = probations.leave(addr, &back.of, Some(work), &why);
                untouched(Outcome::Deferred(failure), if goes_on { serving } else { held })
            }
            Ends::Held => {
                let now = match self.hold(back, addr, work, &failure) {
                    Kept::Held => held,
                    Kept::Serving => serving,
                    Kept::Gone => Now::Stopped,
                };
                let mut report = ActorReport::untouched(moved, Step::Replay, Outcome::RolledBack(failure), now);
                report.back = Some(WentBack::of(&back.of, back.way, Tally::default()));
                report
            }
        }
    }
}
