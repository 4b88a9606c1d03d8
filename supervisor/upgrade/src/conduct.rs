//! One upgrade from its first step to its report.
//!
//! First the code, once for each release; then the lanes; then events until every actor is settled. Each actor is
//! settled once, by whoever is first: its lane, or the runtime that took its pause away and a lane that does not come
//! back.

use crate::claim::Claim;
use crate::error::UpgradeError;
use crate::journal::Journal;
use crate::lanes::{Event, Lanes, Probe};
use crate::plan::{Direction, Move, Plan};
use crate::report::{ActorReport, Failure, Now, Outcome, Report, micros};
use crate::shared::Shared;
use crate::step::Step;
use crate::told;
use crate::transaction::Settled;
use crate::trial::Rehearsed;
use crate::upgrades::{Inner, Over, Upgrades};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use teneral_runtime::error::LeaseLost;
use teneral_runtime::ports::{Fault, FaultKind, Provider};
use teneral_runtime::{Kept, LeaseStep, Lost, What};
use teneral_store::{Quarantined, StepDone, StepResult};

/// How long nothing may happen while jobs wait, before a lane is added; and how often hanging code is looked for.
const TICK: Duration = Duration::from_millis(20);

/// Lanes at the start: more would only take the processors from the actors.
const LANES_FIRST: usize = 2;

pub(crate) struct Conductor {
    pub(crate) inner: Arc<Inner>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) plan: Plan,
    journal: Journal,
    claim: Claim,
    /// One place a move; the report is made of them, so that none can be left out.
    settled: Vec<Option<ActorReport>>,
    /// What the runtime said of pauses that it took away, until their lanes are back.
    lost: HashMap<usize, (Instant, Lost)>,
    /// Lanes that came back from a lost pause before the runtime said anything of it.
    unexplained: HashMap<usize, (Instant, Box<Settled>)>,
    /// Lanes that drop what a job left over.
    dropping: HashMap<usize, (Instant, Arc<Probe>)>,
    probes: HashMap<usize, Arc<Probe>>,
    pub(crate) owed: Vec<StepDone>,
    /// Who has committed, and is not written down yet.
    moved: Vec<ActorReport>,
    /// What their rehearsals told of the moves.
    pub(crate) rehearsed: HashMap<usize, Rehearsed>,
}

impl Conductor {
    pub(crate) fn new(inner: Arc<Inner>, shared: Arc<Shared>, plan: Plan, journal: Journal, claim: Claim) -> Self {
        let settled = vec![None; plan.moves.len()];
        Self {
            inner,
            shared,
            plan,
            journal,
            claim,
            settled,
            lost: HashMap::new(),
            unexplained: HashMap::new(),
            dropping: HashMap::new(),
            probes: HashMap::new(),
            owed: Vec::new(),
            moved: Vec::new(),
            rehearsed: HashMap::new(),
        }
    }

    /// What is given with it lasts until it has ended.
    pub(crate) fn conduct(mut self, over: Option<Over>) -> Report {
        told::begun(self.inner.runtime.event_sink(), &self.shared.id, &self.plan);
        let jobs = self.prepare();
        let upgrading = What::Upgrading { upgrade: self.shared.id.to_string(), actors: jobs.len() };
        self.inner.runtime.event_sink().emit(upgrading);
        let (sender, events) = mpsc::channel();
        let lanes_max = self.inner.config.lanes_max;
        let (mut lanes, probes) = Lanes::new(jobs, Arc::clone(&self.shared), sender, lanes_max);
        self.probes = probes.into_iter().collect();
        for _ in 0..LANES_FIRST {
            self.add_lane(&mut lanes);
        }
        // What is being dropped is nobody's news but a hang is: the runtime's own watchdog does not see these threads.
        while self.settled.iter().any(Option::is_none) || !self.dropping.is_empty() {
            self.listen(&events, &mut lanes);
            self.write_moved();
            self.write_steps();
        }
        self.report(over)
    }

    // ---- while the lanes work

    fn listen(&mut self, events: &Receiver<Event>, lanes: &mut Lanes) {
        match events.recv_timeout(TICK) {
            Ok(event) => {
                self.hear(event, lanes);
                // All that is there, so that one commit of the journal takes it.
                events.try_iter().for_each(|event| self.hear(event, lanes));
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.add_lane(lanes),
        }
        self.give_up_who_hangs(lanes);
    }

    fn hear(&mut self, event: Event, lanes: &mut Lanes) {
        match event {
            Event::Settled(number, settled) if settled.lost => match self.lost.remove(&number) {
                Some((_, lost)) => self.settle_lost(number, *settled, &lost),
                None => drop(self.unexplained.insert(number, (Instant::now(), settled))),
            },
            Event::Settled(number, settled) => {
                self.lost.remove(&number);
                self.owed.extend(settled.steps);
                self.settle(number, settled.report);
            }
            Event::Lost(number, _) if self.settled[number].is_some() => {}
            Event::Lost(number, lost) => match self.unexplained.remove(&number) {
                Some((_, settled)) => self.settle_lost(number, *settled, &lost),
                None => {
                    self.lost.insert(number, (Instant::now(), lost));
                    // In its stead, should it not come back: the others must not wait for it.
                    self.add_lane(lanes);
                }
            },
            Event::Dropping(number, probe) => drop(self.dropping.insert(number, (Instant::now(), probe))),
            Event::Free(number) => drop(self.dropping.remove(&number)),
            Event::Broke(number, text) => {
                let error = UpgradeError::Migrate(Fault::new(FaultKind::Panic, text));
                let moved = &self.plan.moves[number];
                let outcome = Outcome::RolledBack(Failure::of(&error));
                let report = ActorReport::untouched(moved, Step::Migrate, outcome, Now::old(moved));
                self.settle(number, report);
            }
        }
    }

    fn add_lane(&mut self, lanes: &mut Lanes) {
        let Err(error) = lanes.add() else { return };
        // The others will come to it, unless there are none.
        if lanes.threads() == 0 {
            for number in lanes.take_waiting() {
                let report = ActorReport::refused(&self.plan.moves[number], Step::Pause, &error);
                self.settle(number, report);
            }
        }
    }

    fn give_up_who_hangs(&mut self, lanes: &mut Lanes) {
        let patience = self.inner.config.hang_after;
        let counter = Arc::clone(&self.shared.threads_lost);
        let away: Vec<usize> =
            self.lost.iter().filter(|(_, (since, _))| since.elapsed() >= patience).map(|(number, _)| *number).collect();
        for number in away {
            let gone = self.probes.get(&number).is_some_and(|probe| probe.give_up(&counter));
            // Not gone: it came back this moment, and its event is on the way.
            if let (true, Some((_, lost))) = (gone, self.lost.remove(&number)) {
                lanes.given_up();
                self.settle_hung(number, &lost);
                self.add_lane(lanes);
            }
        }
        let dropping: Vec<usize> = self
            .dropping
            .iter()
            .filter(|(_, (since, probe))| since.elapsed() >= patience && probe.give_up(&counter))
            .map(|(number, _)| *number)
            .collect();
        for number in dropping {
            if let Some((_, probe)) = self.dropping.remove(&number) {
                let code = probe.code();
                let why = format!("{} hung in its destructor, beside {}", name(&*code), self.plan.moves[number].addr);
                self.quarantine(&*code, &why);
            }
            lanes.given_up();
            self.add_lane(lanes);
        }
        let silent: Vec<usize> = self
            .unexplained
            .iter()
            .filter(|(_, (since, _))| since.elapsed() >= patience)
            .map(|(number, _)| *number)
            .collect();
        for number in silent {
            if let Some((_, settled)) = self.unexplained.remove(&number) {
                self.owed.extend(settled.steps);
                self.settle(number, settled.report);
            }
        }
    }

    // ---- the end of one actor

    pub(crate) fn settle(&mut self, number: usize, mut report: ActorReport) {
        self.probes.remove(&number);
        report.trial = report.trial.or_else(|| self.rehearsed.remove(&number));
        let leaks = cfg!(feature = "bug-u14") && report.direction == Direction::Downgrade;
        if leaks {
            self.claim.keep(&report.actor)
        } else {
            self.claim.settled(&report.actor)
        }
        if cfg!(feature = "bug-u24") && matches!(report.outcome, Outcome::RolledBack(_)) {
            std::process::exit(70);
        }
        if let Some(event) = report.event().filter(|_| self.settled[number].is_none()) {
            self.inner.runtime.event_sink().emit(event);
        }
        if self.settled[number].is_none() && report.outcome == Outcome::Committed {
            self.moved.push(report.clone());
        }
        self.settled[number].get_or_insert(report);
    }

    fn settle_lost(&mut self, number: usize, settled: Settled, lost: &Lost) {
        self.owed.extend(settled.steps);
        let mut report = settled.report;
        explain(&mut report, lost, &self.plan.moves[number]);
        self.settle(number, report);
    }

    fn settle_hung(&mut self, number: usize, lost: &Lost) {
        let moved = self.plan.moves[number].clone();
        let step = match lost.step {
            LeaseStep::Save => Step::Snapshot,
            LeaseStep::Commit => Step::Commit,
            LeaseStep::Hold | LeaseStep::Migrate | LeaseStep::Restore => Step::Migrate,
        };
        let culprit = self.probes.get(&number).map(|probe| probe.code());
        let named = culprit.as_ref().map_or_else(|| moved.to.to_string(), |code| name(&**code));
        let waited = self.inner.config.hang_after + lost.paused;
        let error = match &lost.why {
            LeaseLost::Overdue { .. } => UpgradeError::Hang { release: named, step, waited },
            why => UpgradeError::Lost { step, lost: why.clone() },
        };
        let outcome = Outcome::RolledBack(Failure::of(&error));
        let mut report = ActorReport::untouched(&moved, step, outcome, Now::old(&moved));
        explain(&mut report, lost, &moved);
        let Failure { code, cause, .. } = Failure::of(&error);
        let broke = StepDone {
            at_unix_us: self.shared.unix_us(),
            actor: Some(moved.addr.clone()),
            step: step.name().to_owned(),
            took_us: micros(lost.paused),
            result: StepResult::Failed { code, cause },
        };
        // The lane that should have told it does not come back.
        told::step(&self.shared.events, &self.shared.id, || broke.clone());
        self.owed.push(broke);
        // After a cancel or a stop the code was given no time: being slow then is no fault of it.
        let overdue = matches!(lost.why, LeaseLost::Overdue { .. });
        if let Some(culprit) = culprit.filter(|_| overdue) {
            self.quarantine(&*culprit, &error.to_string());
        }
        self.settle(number, report);
    }

    fn quarantine(&mut self, culprit: &dyn Provider, why: &str) {
        self.inner.runtime.quarantine(culprit.digest(), why);
        let entry = Quarantined {
            digest: culprit.digest(),
            kind: culprit.kind().to_owned(),
            version: culprit.version().clone(),
            why: why.to_owned(),
            at_unix_us: self.shared.unix_us(),
        };
        // The runtime knows it for this life of the host; that the next one will not is worth a line.
        if let Err(error) = self.inner.store.quarantine(&entry) {
            tracing::error!(code = error.code(), %error, artifact = %culprit.digest(), "the quarantine was not stored");
        }
    }

    /// Writes down who is there, or back: the host may end before the others are.
    fn write_moved(&mut self) {
        let moved = std::mem::take(&mut self.moved);
        if moved.is_empty() {
            return;
        }
        let Some(of) = &self.plan.rolls_back else {
            let id = &self.shared.id;
            return self.inner.moved_or_owed((id, id), &moved);
        };
        let upgrades = Upgrades::of(Arc::clone(&self.inner));
        let told = upgrades.are_back(of, (&self.shared.id, &self.plan.why), &moved);
        if self.settled.iter().all(Option::is_some) {
            self.shared.last_words.lock().extend(told);
        } else {
            told.into_iter().for_each(|(events, what)| events.emit(what));
        }
    }

    pub(crate) fn write_steps(&mut self) {
        self.journal.steps(std::mem::take(&mut self.owed));
    }

    fn report(self, over: Option<Over>) -> Report {
        let unchanged = self.plan.unchanged.iter().map(ActorReport::unchanged);
        let mut actors: Vec<ActorReport> = self.settled.into_iter().flatten().chain(unchanged).collect();
        if cfg!(feature = "bug-u25") {
            actors.retain(|report| report.outcome.failure().is_none());
        }
        let rolls_back = self.plan.rolls_back.is_some();
        let unkept = self.inner.probations.unkept(self.plan.rolls_back.as_ref().unwrap_or(&self.shared.id));
        let journal = self.journal.end(&actors, &self.plan, self.shared.unix_us());
        // Whoever hears of its end finds it over; of a way back it is not, before its actors are let go.
        drop((self.claim, over));
        if !rolls_back {
            self.shared.ended(&actors);
        }
        Report {
            id: self.shared.id.clone(),
            who: self.plan.who,
            why: self.plan.why,
            actors,
            warnings: self.plan.warnings.into_iter().chain(unkept).collect(),
            journal,
            threads_lost: self.shared.threads_lost.load(Ordering::Relaxed),
        }
    }
}

fn name(code: &dyn Provider) -> String {
    format!("{} {}", code.kind(), code.version())
}

// What the runtime knows better than the lane: how long, how many waited, and what serves now.
fn explain(report: &mut ActorReport, lost: &Lost, moved: &Move) {
    report.pause_us = micros(lost.paused);
    report.queued_at_resume = lost.queued_messages;
    let version = moved.from.version.clone();
    report.now = match lost.kept {
        Kept::OldInstance => Now::Serving { version, generation: moved.generation },
        Kept::ReplacedPer(_) => Now::Replaced { version, generation: moved.generation },
        Kept::Nothing => Now::Stopped,
    };
}
