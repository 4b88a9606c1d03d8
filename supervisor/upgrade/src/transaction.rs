//! One actor's upgrade: perform a step, keep its undo, on failure undo in reverse.
//!
//! The old instance is whole until the commit, so every undo is cheap: give the new instance up, hand the pause back.
//! What is given up is dropped after the actor serves again, since dropping runs the plugin's code too.

mod pausing;

use crate::climb::{Codes, Way};
use crate::error::UpgradeError;
use crate::lanes::Probe;
use crate::plan::{Climb, Direction, Move, ReleaseRef};
use crate::probation::{Begin, Bounds, Down};
use crate::report::{ActorReport, Failure, Now, Outcome, micros};
use crate::request::{Options, StateMode};
use crate::shared::Shared;
use crate::step::Step;
use crate::told;
use pausing::Held;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::error::{LeaseLost, PauseRefused, StepError};
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Provider, Why};
use teneral_runtime::{ActorRef, LeaseStep, Lost, Moment, Quiesced, RestartState, Resumed};
use teneral_store::{StepDone, StepResult, digest_of};

/// Everything one actor's upgrade needs, decided before it begins.
pub(crate) struct Job {
    pub(crate) moved: Move,
    pub(crate) options: Options,
    pub(crate) actor: ActorRef,
    pub(crate) code: Code,
    /// What its way down is known to do with the state.
    pub(crate) down: Down,
}

/// The code that its ladder and its end need, loaded.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) new: Arc<dyn Provider>,
    /// Others on the way; the running code is taken from the pause itself.
    pub(crate) between: Vec<Arc<dyn Provider>>,
}

/// What one actor's upgrade came to.
pub(crate) struct Settled {
    pub(crate) report: ActorReport,
    pub(crate) steps: Vec<StepDone>,
    /// Whether the pause was taken away: then the report waits for what the runtime says of it.
    pub(crate) lost: bool,
    /// Instances that nobody needs any more, each with its code.
    pub(crate) leftovers: Vec<Leftover>,
}

/// An instance that is only there to be dropped, and whose code does that.
pub(crate) type Leftover = (Arc<dyn Provider>, Box<dyn Behaviour>);

/// Called by the runtime when it takes the pause away.
pub(crate) type OnLost = Box<dyn FnOnce(Lost) + Send>;

struct Transaction<'a> {
    job: &'a Job,
    shared: &'a Shared,
    probe: &'a Probe,
    on_lost: Option<OnLost>,
    lease: Option<Quiesced>,
    /// The actor was held before: what fails leaves it so.
    held: Option<Held>,
    snapshot: Option<Vec<u8>>,
    /// The state as the new code itself would save it, where the ladder wrote it.
    written: Option<Vec<u8>>,
    new: Option<Box<dyn Behaviour>>,
    resumed: Option<Resumed>,
    /// Whether the pause was taken away from us.
    taken: bool,
    /// Somebody else who bears the actor's name.
    stranger: Option<Now>,
    leftovers: Vec<Leftover>,
    ran: Vec<Ran>,
}

/// A step that is over.
struct Ran {
    step: Step,
    at_unix_us: u64,
    took: Duration,
    failure: Option<Failure>,
}

/// Runs the steps from the pause on.
pub(crate) fn run(job: &Job, shared: &Shared, probe: &Probe, on_lost: OnLost) -> Settled {
    let mut transaction = Transaction {
        job,
        shared,
        probe,
        on_lost: Some(on_lost),
        lease: None,
        held: None,
        snapshot: None,
        written: None,
        new: None,
        resumed: None,
        taken: false,
        stranger: None,
        leftovers: Vec::new(),
        ran: Vec::new(),
    };
    let mut done = Vec::new();
    let mut last = Step::Pause;
    let paused_steps = job.moved.steps.iter().copied().filter(|step| *step >= Step::Pause);
    for step in paused_steps {
        last = step;
        let began = shared.clock.now();
        let result = transaction.perform(step, began);
        transaction.record(step, began, result.as_ref().err());
        match result {
            Ok(()) => done.push(step),
            Err(error) => {
                while let Some(step) = done.pop() {
                    transaction.undo(step);
                }
                return transaction.failed(last, &error);
            }
        }
    }
    transaction.committed(last)
}

impl Transaction<'_> {
    fn perform(&mut self, step: Step, began: Moment) -> Result<(), UpgradeError> {
        if step < Step::Commit {
            self.shared.go_on()?;
        }
        match step {
            // Done once for all actors of this release, before anybody's turn.
            // Or never: they are steps of a way back.
            Step::Verify | Step::Check | Step::Trial | Step::Load | Step::Replay | Step::Restore => Ok(()),
            Step::Pause => self.pause(),
            Step::Snapshot => self.save(),
            Step::Migrate => self.migrate(),
            Step::Commit => self.commit(began),
            // The commit resumes by itself: between the two nothing may be seen.
            Step::Resume => Ok(()),
        }
    }

    fn undo(&mut self, step: Step) {
        match step {
            Step::Pause => {
                self.shared.no_longer_paused(&self.job.moved.addr);
                if self.held.is_some() {
                    return self.hold_again();
                }
                match self.lease.take().map(Quiesced::abort) {
                    Some(Ok(resumed)) => self.resumed = Some(resumed),
                    // A resume by somebody else: the runtime says how.
                    Some(Err(_)) => self.taken = true,
                    None => {}
                }
            }
            Step::Snapshot => self.written = None,
            Step::Migrate => {
                let new = self.new.take().map(|new| (Arc::clone(&self.job.code.new), new));
                self.leftovers.extend(new);
            }
            Step::Verify | Step::Check | Step::Trial | Step::Load | Step::Replay | Step::Restore => {}
            Step::Commit | Step::Resume => {}
        }
    }

    fn save(&mut self) -> Result<(), UpgradeError> {
        let bytes_max = self.job.options.snapshot_bytes_max;
        let bytes =
            self.lease()?.save(bytes_max).map_err(|error| self.broke(Step::Snapshot, error, UpgradeError::Save))?;
        if bytes.len() > bytes_max {
            let text = format!("{} bytes, over the limit of {bytes_max}", bytes.len());
            return Err(UpgradeError::Save(Fault::new(FaultKind::Limit, text)));
        }
        self.snapshot = Some(bytes);
        Ok(())
    }

    fn migrate(&mut self) -> Result<(), UpgradeError> {
        match self.job.options.state {
            StateMode::Migrate => self.climb(),
            StateMode::Reset => self.reset(),
        }
    }

    fn reset(&mut self) -> Result<(), UpgradeError> {
        let (job, probe) = (self.job, self.probe);
        let args = job.actor.start_args();
        // An older snapshot must not come back with the next restart.
        let keeps = job.actor.info().options.restart_state == RestartState::LastSnapshot;
        let made = self.lease()?.make(LeaseStep::Restore, || {
            probe.enters(&job.code.new);
            let new = job.code.new.create(Body { shape: args.shape, bytes: &args.bytes })?;
            let bytes = if keeps { Some(new.save(job.options.snapshot_bytes_max)?) } else { None };
            Ok((new, bytes))
        });
        let (new, bytes) = made.map_err(|error| self.broke(Step::Migrate, error, UpgradeError::Reset))?;
        if let Some(bytes) = bytes {
            self.lease()?.keep_snapshot(job.moved.to.schema, bytes);
        }
        self.new = Some(new);
        Ok(())
    }

    fn climb(&mut self) -> Result<(), UpgradeError> {
        if cfg!(feature = "bug-u13") && self.job.moved.direction == Direction::Downgrade {
            return self.reset();
        }
        let (job, probe) = (self.job, self.probe);
        let snapshot = self.snapshot.take().unwrap_or_default();
        let lease = self.lease()?;
        let running = lease.provider();
        let mut ladder = Ladder { job, probe, running: &running, at: Climb::Up };
        let way = Way {
            from_schema: job.moved.from.schema,
            hops: &job.moved.ladder,
            to: job.moved.to.digest,
            bytes_max: job.options.snapshot_bytes_max,
        };
        let made = lease.make(LeaseStep::Migrate, || way.walk(&snapshot, &job.code.new, &mut ladder));
        let down = ladder.at == Climb::Down;
        self.snapshot = Some(snapshot);
        let named = if down { UpgradeError::Downgrade } else { UpgradeError::Migrate };
        let (new, written) = made.map_err(|error| self.broke(Step::Migrate, error, named))?;
        if let Some((schema, bytes)) = &written {
            // What the old code saved may be a schema that the new one no longer climbs from.
            self.lease()?.keep_snapshot(*schema, bytes.clone());
        }
        self.written = written.filter(|(schema, _)| *schema == job.moved.to.schema).map(|(_, bytes)| bytes);
        self.new = Some(new);
        Ok(())
    }

    fn commit(&mut self, began: Moment) -> Result<(), UpgradeError> {
        // Off the list first: from here on a cancel comes too late.
        self.shared.no_longer_paused(&self.job.moved.addr);
        self.shared.go_on()?;
        let lost = |lost| UpgradeError::Lost { step: Step::Commit, lost };
        let (Some(lease), Some(new)) = (self.lease.take(), self.new.take()) else {
            return Err(UpgradeError::Steps {
                addr: self.job.moved.addr.clone(),
                what: "there is nothing to commit".to_owned(),
            });
        };
        let why = match self.job.options.state {
            StateMode::Migrate => Why::Upgraded,
            // What the old state asked, planned and owes ends with it.
            StateMode::Reset => Why::Fresh,
        };
        let served = lease.provider();
        let (code, mut ran) = (Arc::clone(&self.job.code.new), None);
        let committed = || ran = Some(self.over(Step::Commit, began, None));
        let (probations, moved) = (&self.shared.probations, &self.job.moved);
        let watch = self.job.options.probation.watch();
        let before = self.job.actor.figures();
        let record = |watch| probations.recording(&self.shared.id, moved, &watch, (&served, &before));
        let recording = watch.map(record);
        let mut resumed = lease.commit_recorded(new, code, why, recording, committed).map_err(lost)?;
        self.ran.extend(ran);
        match (watch, resumed.old.take()) {
            (Some(watch), Some(frozen)) => probations.begin(Begin {
                upgrade: self.shared.id.clone(),
                moved: moved.clone(),
                watch,
                bounds: Bounds::of(&self.job.options),
                down: self.job.down,
                actor: self.job.actor.clone(),
                generation: resumed.generation.0,
                old: served,
                frozen,
                before: resumed.figures,
                since: self.shared.clock.now(),
                since_unix_us: self.shared.unix_us(),
            }),
            (_, old) => {
                probations.supersede(&moved.addr, &self.shared.id);
                self.leftovers.extend(old.map(|old| (served, old)));
            }
        }
        self.resumed = Some(resumed);
        Ok(())
    }

    fn lease(&mut self) -> Result<&mut Quiesced, UpgradeError> {
        let addr = &self.job.moved.addr;
        let what = || UpgradeError::Steps { addr: addr.clone(), what: "it is not paused".to_owned() };
        self.lease.as_mut().ok_or_else(what)
    }

    // Names the error of a step under the pause: the code's own, or the loss of the pause.
    fn broke(&mut self, step: Step, error: StepError, named: fn(Fault) -> UpgradeError) -> UpgradeError {
        match error {
            StepError::Lost(lost) => UpgradeError::Lost { step, lost },
            StepError::Fault(fault) => {
                if cfg!(any(feature = "bug-u6", feature = "bug-f30")) {
                    self.serve_something_else();
                }
                named(fault)
            }
        }
    }

    // What a supervisor does that has no old instance to go back to.
    fn serve_something_else(&mut self) {
        let args = self.job.actor.start_args();
        let Some(lease) = self.lease.take() else { return };
        let code = if cfg!(feature = "bug-u6") { Arc::clone(&self.job.code.new) } else { lease.provider() };
        if let Ok(fresh) = code.create(Body { shape: args.shape, bytes: &args.bytes }) {
            self.resumed = lease.commit(fresh, code, Why::Upgraded).ok();
        }
    }

    // As plain numbers: what the journal needs is made of them once the actor serves again.
    fn record(&mut self, step: Step, began: Moment, error: Option<&UpgradeError>) {
        // A commit that is done was recorded where it was done: before the actor resumed.
        if step != Step::Commit || error.is_some() {
            let ran = self.over(step, began, error);
            self.ran.push(ran);
        }
    }

    /// A step that is over, and told.
    fn over(&self, step: Step, began: Moment, error: Option<&UpgradeError>) -> Ran {
        let (at_unix_us, took) = (self.shared.unix_us(), self.shared.clock.now().since(began));
        let ran = Ran { step, at_unix_us, took, failure: error.map(Failure::of) };
        self.tell(|| ran.step_done(&self.job.moved.addr));
        ran
    }

    fn tell(&self, done: impl FnOnce() -> StepDone) {
        // Of a lane that nobody waits for any more the upgrade has said what became of it.
        if !self.probe.is_given_up() {
            told::step(&self.shared.events, &self.shared.id, done);
        }
    }

    fn steps(&mut self) -> Vec<StepDone> {
        let ran = std::mem::take(&mut self.ran);
        ran.iter().map(|ran| ran.step_done(&self.job.moved.addr)).collect()
    }

    fn committed(mut self, last: Step) -> Settled {
        let (generation, version) = (self.job.moved.generation + 1, self.job.moved.to.version.clone());
        let generation = self.resumed.as_ref().map_or(generation, |resumed| resumed.generation.0);
        let mut report = self.report(last, Outcome::Committed, Now::Serving { version, generation });
        let same = self.job.moved.from.schema == self.job.moved.to.schema;
        report.state_after = match (&self.written, self.job.options.state) {
            (Some(bytes), _) => Some(digest_of(bytes)),
            (None, StateMode::Migrate) if same => report.state_before,
            _ => None,
        };
        Settled { report, steps: self.steps(), lost: false, leftovers: self.leftovers }
    }

    fn failed(mut self, step: Step, error: &UpgradeError) -> Settled {
        let undone = StepDone {
            at_unix_us: self.shared.unix_us(),
            actor: Some(self.job.moved.addr.clone()),
            step: step.name().to_owned(),
            took_us: 0,
            result: StepResult::Undone,
        };
        self.tell(|| undone.clone());
        let failure = Failure::of(error);
        let lost = self.taken || matches!(error, UpgradeError::Lost { .. });
        let old = match (Now::old(&self.job.moved), self.held) {
            (Now::Serving { version, generation }, Some(Held::Again)) => Now::Held { version, generation },
            (old, _) => old,
        };
        let (outcome, now) = match error {
            UpgradeError::Pause(PauseRefused::Busy { .. }) if cfg!(feature = "bug-u16") => (Outcome::Committed, old),
            UpgradeError::Pause(PauseRefused::Busy { .. } | PauseRefused::Suspended { .. }) => {
                (Outcome::Deferred(failure), old)
            }
            UpgradeError::Pause(PauseRefused::Stopped) => (Outcome::Refused(failure), Now::Stopped),
            UpgradeError::Pause(_) => (Outcome::Refused(failure), old),
            UpgradeError::Stale { .. } => (Outcome::Refused(failure), self.stranger.take().unwrap_or(old)),
            UpgradeError::Cancelled(_) if step == Step::Pause && self.resumed.is_none() && !lost => {
                (Outcome::Refused(failure), old)
            }
            UpgradeError::Lost { lost: LeaseLost::Stopped, .. } => (Outcome::RolledBack(failure), Now::Stopped),
            _ => (Outcome::RolledBack(failure), old),
        };
        let mut report = self.report(step, outcome, now);
        report.state_after = report.state_before;
        let mut steps = self.steps();
        steps.push(undone);
        Settled { report, steps, lost, leftovers: self.leftovers }
    }

    fn report(&self, step: Step, outcome: Outcome, now: Now) -> ActorReport {
        let mut report = ActorReport::untouched(&self.job.moved, step, outcome, now);
        if let Some(resumed) = &self.resumed {
            report.pause_us = micros(resumed.paused);
            report.queued_at_resume = resumed.queued_messages;
            report.dead_letters = resumed.dead_letters;
        }
        if let Some(bytes) = &self.snapshot {
            report.snapshot_bytes = bytes.len();
            // Here and not under the pause: hashing a large state takes longer than saving it.
            report.state_before = Some(digest_of(bytes));
        }
        report
    }
}

/// Somebody was faster than the move's plan: the actor runs `found`.
pub(crate) fn stale(moved: &Move, found: &ReleaseRef, generation: u64) -> UpgradeError {
    UpgradeError::Stale {
        addr: moved.addr.clone(),
        planned: moved.from.at_generation(moved.generation),
        found: found.at_generation(generation),
    }
}

impl Ran {
    fn step_done(&self, addr: &Addr) -> StepDone {
        let result = match &self.failure {
            None => StepResult::Done,
            Some(Failure { code, cause, .. }) => StepResult::Failed { code: code.clone(), cause: cause.clone() },
        };
        StepDone {
            at_unix_us: self.at_unix_us,
            actor: Some(addr.clone()),
            step: self.step.name().to_owned(),
            took_us: micros(self.took),
            result,
        }
    }
}

/// The code of a live upgrade, and what watches it.
struct Ladder<'a> {
    job: &'a Job,
    probe: &'a Probe,
    running: &'a Arc<dyn Provider>,
    /// What the hop at hand does, for the error's name.
    at: Climb,
}

impl Codes for Ladder<'_> {
    fn code(&self, release: &ReleaseRef) -> Result<Arc<dyn Provider>, Fault> {
        if self.running.digest() == release.digest {
            return Ok(Arc::clone(self.running));
        }
        let between = self.job.code.between.iter().find(|code| code.digest() == release.digest);
        between.cloned().ok_or_else(|| Fault::new(FaultKind::Schema, format!("{release} is not loaded")))
    }

    fn enters(&mut self, climb: Climb, code: &Arc<dyn Provider>) {
        self.at = climb;
        self.probe.enters(code);
    }
}
