//! Who runs upgrades: one at a time for an actor, any number for a host.
//!
//! An upgrade has a thread of its own that prepares the code (verify, check, load: everything slow), lets lanes run the
//! actors' steps, and listens: to the lanes, and to the runtime when it takes a pause away. It waits for code that
//! hangs only as long as it takes to call it that, and an actor is settled exactly once.

use crate::claim::Claim;
use crate::conduct::Conductor;
use crate::error::{Refused, UpgradeError};
use crate::journal::Journal;
use crate::legal::names_a_request;
use crate::plan::{Plan, ReleaseRef, plan};
use crate::probation::{self, BackError, Probations};
use crate::rehearse::{Shown, Stage, TrialConfig, samples, shown};
use crate::report::{ActorReport, Failure, Report, TrialOutcome, Trialled};
use crate::request::Request;
use crate::shared::Shared;
use crate::snapshot::{Artifacts, Snapshot, Subject};
use crate::step::Step;
use crate::transaction::stale;
use parking_lot::{Condvar, Mutex};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};
use teneral_contract::Addr;
use teneral_runtime::{ActorRef, Clock, PauseRefused, Runtime};
use teneral_store::{Store, UpgradeId};

/// Bounds of the upgrades of a host.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeConfig {
    /// Threads for the actors' steps of one upgrade.
    pub lanes_max: usize,
    /// Threads that may hang in plugin code before upgrades are refused.
    pub threads_lost_max: usize,
    /// How long code may stay away after its pause was taken from it, before it is said to hang.
    pub hang_after: Duration,
}

impl UpgradeConfig {
    /// At most 64 lanes an upgrade and 16 lost threads, and code hangs after 1 s.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default would hide the policy")]
    pub const fn new() -> Self {
        Self { lanes_max: 64, threads_lost_max: 16, hang_after: Duration::from_secs(1) }
    }
}

/// Plans and runs the upgrades of one runtime. A cheap clone.
#[derive(Clone)]
pub struct Upgrades {
    pub(crate) inner: Arc<Inner>,
}

/// Who keeps what came of upgrades, and of versions that are final. Called on threads of upgrades; may block on the
/// disk.
pub trait Outcomes: Send + Sync {
    /// Actors were moved: of each it is said as soon as it is there, or back, before anybody is told that the upgrade
    /// has ended.
    ///
    /// # Errors
    /// [`Refused`]: it could not be kept. It is said again until it is.
    fn moved(&self, upgrade: &UpgradeId, actors: &[ActorReport]) -> Result<(), Refused>;
    /// A version is what new actors of its kind get.
    ///
    /// # Errors
    /// [`Refused`]: the default stays.
    fn finalised(&self, kind: &str, version: &Version) -> Result<(), Refused>;
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: UpgradeConfig,
    pub(crate) trials: TrialConfig,
    pub(crate) probations: Arc<Probations>,
    outcomes: OnceLock<Box<dyn Outcomes>>,
    /// Which upgrade has which actor.
    pub(crate) busy: Mutex<HashMap<Addr, UpgradeId>>,
    /// Held from the question whether a request was there before until it stands in the journal.
    requests: Mutex<()>,
    running: Mutex<BTreeMap<UpgradeId, Arc<Shared>>>,
    /// One of them has ended.
    ended: Condvar,
    count: AtomicU64,
    threads_lost: Arc<AtomicUsize>,
}

/// An upgrade at work.
#[derive(Debug)]
pub struct Running {
    id: UpgradeId,
    report: mpsc::Receiver<Report>,
}

impl Running {
    /// Names it.
    #[must_use]
    pub const fn id(&self) -> &UpgradeId {
        &self.id
    }

    /// Waits for its end. Blocks for as long as the plan allows its actors to take.
    ///
    /// # Errors
    /// [`UpgradeError::Thread`] when its thread ended without a report.
    pub fn wait(self) -> Result<Report, UpgradeError> {
        self.report.recv().map_err(|_| UpgradeError::Thread("it ended without a report".to_owned()))
    }
}

impl fmt::Debug for Upgrades {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrades").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Upgrades {
    /// Upgrades of `runtime`, with code from `artifacts` and a journal in `store`.
    #[must_use]
    pub fn new(
        runtime: Runtime,
        artifacts: Arc<dyn Artifacts>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        config: UpgradeConfig,
        trials: TrialConfig,
    ) -> Self {
        let (probations, heard) = Probations::new(Arc::clone(&store), Arc::clone(&clock));
        let inner = Inner {
            runtime,
            artifacts,
            store,
            clock,
            config,
            trials,
            probations: Arc::new(probations),
            outcomes: OnceLock::new(),
            busy: Mutex::new(HashMap::new()),
            requests: Mutex::new(()),
            running: Mutex::new(BTreeMap::new()),
            ended: Condvar::new(),
            count: AtomicU64::new(0),
            threads_lost: Arc::new(AtomicUsize::new(0)),
        };
        let inner = Arc::new(inner);
        if let Err(error) = probation::start(&inner, heard) {
            tracing::error!(%error, "no thread for probations: nobody is taken back by itself");
        }
        Self { inner }
    }

    /// Who is told what nobody waits for. The first one stands.
    pub fn tell_outcomes(&self, outcomes: impl Outcomes + 'static) {
        // A second one would hear of half of it.
        let _ = self.inner.outcomes.set(Box::new(outcomes));
    }

    pub(crate) const fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Says what would be done, and touches nobody. Blocks while manifests are read.
    ///
    /// # Errors
    /// [`UpgradeError`]: why it would not.
    pub fn plan(&self, request: &Request) -> Result<Plan, UpgradeError> {
        let mut plan = self.inner.plan(request)?;
        for moved in &plan.moves {
            if let Some((id, from)) = self.inner.probations.of(&moved.addr) {
                let addr = &moved.addr;
                plan.warnings
                    .push(format!("{addr} is on probation for {id}: this ends it, and its way back to {from}"));
            }
        }
        Ok(plan)
    }

    /// Rehearses a plan's moves on copies of their actors' states, as applying it would before it pauses anybody. It
    /// leaves no trace but the copies' time; see [`crate::trial::Rehearsed::copy_us`]. Blocks.
    #[must_use]
    pub fn rehearse(&self, plan: Plan) -> Plan {
        let (options, count) = (plan.options, plan.moves.len());
        // Whoever asked for a plan waits for it.
        let going = Rc::new(|| true);
        let mut stage = Stage::new(&*self.inner.artifacts, &self.inner.trials, (options, count), going);
        let mut rehearsed = BTreeMap::new();
        let mut rehearse = |number: usize| {
            let moved = &plan.moves[number];
            let actor = self.inner.runtime.actor(&moved.addr);
            let actor = actor.ok_or(UpgradeError::Pause(PauseRefused::Stopped));
            let (outcome, shown) = match actor.and_then(|actor| stage.rehearse(&actor, moved)) {
                Ok(Some(rehearsed)) => (TrialOutcome::Passed(rehearsed), Shown::Code),
                Ok(None) => (TrialOutcome::Linked, Shown::Code),
                Err(error) => (TrialOutcome::Failed(Failure::of(&error)), shown(&error)),
            };
            rehearsed.insert(number, Trialled { actor: moved.addr.clone(), outcome });
            shown
        };
        for sample in samples(options.trials, plan.moves.iter().enumerate()) {
            sample.look(&mut rehearse);
        }
        let rehearsed = rehearsed.into_values().collect();
        let warnings = [plan.warnings, stage.into_kept()].concat();
        Plan { rehearsed, warnings, ..plan }
    }

    /// Runs a plan to its end. Blocks.
    ///
    /// # Errors
    /// [`UpgradeError`] when nothing was begun. What came of an upgrade that began is in its report.
    pub fn apply(&self, plan: Plan) -> Result<Report, UpgradeError> {
        self.start(plan)?.wait()
    }

    /// Plans and runs, when another upgrade has ended that has one of the actors, if `queue_timeout` says so. Blocks.
    ///
    /// # Errors
    /// As [`Upgrades::plan`] and [`Upgrades::apply`].
    pub fn upgrade(&self, request: &Request) -> Result<Report, UpgradeError> {
        let until = Instant::now().checked_add(request.options.queue_timeout);
        loop {
            let refused = match self.apply(self.plan(request)?) {
                Ok(report) => return Ok(report),
                Err(refused) => refused,
            };
            let waits = until.is_none_or(|until| Instant::now() < until);
            match &refused {
                UpgradeError::Running { by, .. } if waits => self.inner.await_end(by, until),
                // Somebody was faster between the plan and its start.
                UpgradeError::Stale { .. } if waits => {}
                _ => return Err(refused),
            }
        }
    }

    /// Begins a plan. It goes on when the handle is dropped.
    ///
    /// # Errors
    /// [`UpgradeError::Stale`], [`UpgradeError::Running`], [`UpgradeError::Repeated`], [`UpgradeError::Request`],
    /// [`UpgradeError::Steps`], [`UpgradeError::Journal`], [`UpgradeError::Thread`]: nothing was begun, nobody was
    /// touched.
    pub fn start(&self, plan: Plan) -> Result<Running, UpgradeError> {
        let inner = &self.inner;
        inner.may_begin(&plan)?;
        let _alone = plan.request.as_ref().map(|_| inner.requests.lock());
        if let Some(request) = plan.request.as_deref()
            && let Some(id) = self.requested(request)?
        {
            return Err(UpgradeError::Repeated { request: request.to_owned(), id });
        }
        let shared = Arc::new(inner.share());
        let id = shared.id.clone();
        // Before it has the actors: whoever is refused for its sake can wait for its end.
        let over = inner.runs(&shared);
        let claim = Claim::of(inner, plan.moves.iter().map(|moved| &moved.addr), &id)?;
        Ok(Running { id, report: inner.begin(plan, shared, (claim, Some(over)))? })
    }

    /// The upgrade that a request became, in this life of the host or an earlier one. Blocks on the disk.
    ///
    /// # Errors
    /// [`UpgradeError::Request`] for what no request may be called, [`UpgradeError::Journal`].
    pub fn requested(&self, request: &str) -> Result<Option<UpgradeId>, UpgradeError> {
        names_a_request(request)?;
        let found = self.inner.store.requested(request).map_err(|error| UpgradeError::Journal(Box::new(error)))?;
        Ok(found.filter(|_| !cfg!(feature = "bug-e3")))
    }

    /// Cancels an upgrade: who is paused resumes the old version, who has committed stays. False when there is no such
    /// upgrade at work.
    pub fn cancel(&self, id: &UpgradeId, by: &str) -> bool {
        let shared = self.inner.running.lock().get(id).cloned();
        shared.is_some_and(|shared| {
            shared.cancel(by);
            true
        })
    }

    /// The upgrades at work, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<UpgradeId> {
        self.inner.running.lock().keys().cloned().collect()
    }

    /// Nobody is on probation any more: the host is being closed. Who was held goes on.
    pub fn close(&self) {
        self.inner.probations.close();
        self.inner.keep_moved();
        self.inner.probations.write_ends();
    }

    /// Threads of this process that hang in plugin code.
    #[must_use]
    pub fn threads_lost(&self) -> usize {
        self.inner.threads_lost.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Refuses a plan that is none, and any while too much code hangs.
    pub(crate) fn may_begin(&self, plan: &Plan) -> Result<(), UpgradeError> {
        plan.validate()?;
        let lost = self.threads_lost.load(Ordering::Relaxed);
        if lost >= self.config.threads_lost_max {
            return Err(UpgradeError::Thread(format!("{lost} threads hang in plugin code")));
        }
        Ok(())
    }

    /// From here on it goes on by itself, on a thread of its own. What is given with it lasts until it has ended.
    pub(crate) fn begin(
        self: &Arc<Self>,
        plan: Plan,
        shared: Arc<Shared>,
        (claim, over): (Claim, Option<Over>),
    ) -> Result<mpsc::Receiver<Report>, UpgradeError> {
        self.fresh(&plan)?;
        // Started first: an upgrade in the journal that has no thread would never be closed.
        let (go, begun) = mpsc::channel::<(Conductor, Option<Over>)>();
        let (report, receiver) = mpsc::channel();
        let conduct = move || {
            // Also over when something in it panics, which nothing may: or its actors could never be moved again.
            let Ok((conductor, over)) = begun.recv() else { return };
            let outcome = conductor.conduct(over);
            // Nobody may be waiting; the journal has it all the same.
            let _ = report.send(outcome);
        };
        let spawned = std::thread::Builder::new().name("upgrade".to_owned()).spawn(conduct);
        spawned.map_err(|error| UpgradeError::Thread(error.to_string()))?;
        let at = (shared.unix_us(), self.runtime.epoch());
        let journal = Journal::begin(Arc::clone(&self.store), shared.id.clone(), &plan, at)?;
        let conductor = Conductor::new(Arc::clone(self), shared, plan, journal, claim);
        go.send((conductor, over)).map_err(|_| UpgradeError::Thread("it ended before it began".to_owned()))?;
        Ok(receiver)
    }

    fn is_over(&self, id: &UpgradeId) {
        self.running.lock().remove(id);
        self.ended.notify_all();
    }

    /// It is at work until what is returned is dropped, and can be cancelled.
    pub(crate) fn runs(self: &Arc<Self>, shared: &Arc<Shared>) -> Over {
        self.running.lock().insert(shared.id.clone(), Arc::clone(shared));
        Over { owner: Arc::clone(self), id: shared.id.clone() }
    }

    /// Kept by the host.
    pub(crate) fn moved(&self, upgrade: &UpgradeId, actors: &[ActorReport]) -> Result<(), Refused> {
        self.outcomes.get().map_or(Ok(()), |outcomes| outcomes.moved(upgrade, actors))
    }

    pub(crate) fn finalised(&self, kind: &str, version: &Version) -> Result<(), UpgradeError> {
        let refused = match self.outcomes.get() {
            Some(outcomes) => outcomes.finalised(kind, version),
            None => self.store.set_default(kind, version).map_err(Refused::from),
        };
        refused.map_err(|refused| {
            UpgradeError::Back(BackError::Default {
                kind: kind.to_owned(),
                version: version.to_string(),
                refused: Box::new(refused),
            })
        })
    }

    pub(crate) fn is_running(&self, id: &UpgradeId) -> bool {
        self.running.lock().contains_key(id)
    }

    pub(crate) fn is_busy(&self, addr: &Addr) -> bool {
        self.busy.lock().contains_key(addr)
    }

    /// Whether that upgrade is at work with it.
    pub(crate) fn has(&self, id: &UpgradeId, addr: &Addr) -> bool {
        self.busy.lock().get(addr) == Some(id)
    }

    pub(crate) fn share(&self) -> Shared {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        // Sorts by time, and says which one of this microsecond.
        let id = UpgradeId(format!("up-{:014x}-{number}", self.clock.wall_ns() / 1000));
        Shared {
            id,
            clock: Arc::clone(&self.clock),
            threads_lost: Arc::clone(&self.threads_lost),
            events: self.runtime.event_sink().clone(),
            probations: Arc::clone(&self.probations),
            cancelled: Mutex::new(None),
            paused: Mutex::new(HashMap::new()),
            last_words: Mutex::default(),
        }
    }

    /// Waits until that upgrade has ended, or until `until`.
    fn await_end(&self, id: &UpgradeId, until: Option<Instant>) {
        let mut running = self.running.lock();
        while running.contains_key(id) {
            match until {
                None => self.ended.wait(&mut running),
                Some(until) if self.ended.wait_until(&mut running, until).timed_out() => return,
                Some(_) => {}
            }
        }
    }

    pub(crate) fn plan(&self, request: &Request) -> Result<Plan, UpgradeError> {
        plan(&self.snapshot(request)?, request)
    }

    fn snapshot(&self, request: &Request) -> Result<Snapshot, UpgradeError> {
        let gate = |refused: Refused| {
            let (what, step, refused) = ("the store".to_owned(), Step::Verify, Box::new(refused));
            UpgradeError::Gate { what, step, refused }
        };
        let mut snapshot = Snapshot::default();
        let mut kinds = BTreeSet::new();
        for wanted in &request.actors {
            kinds.insert(wanted.addr.kind());
            if let Some(actor) = self.runtime.actor(&wanted.addr) {
                snapshot.subjects.insert(wanted.addr.clone(), Subject::of(&actor));
            }
        }
        if snapshot.subjects.len() < request.actors.len() {
            snapshot.names = self.runtime.actors().iter().map(|actor| actor.addr().clone()).collect();
        }
        snapshot.kinds = self.artifacts.kinds().map_err(gate)?;
        let stored = self.store.quarantined().map_err(|error| gate(error.into()))?;
        snapshot.quarantined.extend(stored.into_iter().map(|entry| (entry.digest, entry.why)));
        for kind in kinds {
            let releases = self.artifacts.releases(kind).map_err(gate)?;
            for release in &releases {
                if let Some(why) = self.runtime.quarantined(release.digest) {
                    snapshot.quarantined.insert(release.digest, why);
                }
            }
            snapshot.releases.insert(kind.to_owned(), releases);
        }
        Ok(snapshot)
    }

    /// Refuses a plan whose actors have moved on. One that is gone is that one's outcome, not the plan's.
    fn fresh(&self, plan: &Plan) -> Result<(), UpgradeError> {
        for moved in &plan.moves {
            let Some(actor) = self.runtime.actor(&moved.addr) else { continue };
            let found = actor.info().generation.0;
            let running = running(&actor);
            let same = found == moved.generation && running == moved.from;
            if !same && !cfg!(feature = "bug-f36") {
                return Err(stale(moved, &running, found));
            }
        }
        // Nobody touches them; the report says of them that they are there already.
        for unchanged in &plan.unchanged {
            let (addr, planned) = (unchanged.addr.clone(), unchanged.at.at_generation(unchanged.generation));
            let Some(actor) = self.runtime.actor(&addr) else {
                return Err(UpgradeError::Stale { addr, planned, found: "nothing: it has stopped".to_owned() });
            };
            let running = running(&actor);
            if running != unchanged.at {
                let found = running.at_generation(actor.info().generation.0);
                return Err(UpgradeError::Stale { addr, planned, found });
            }
        }
        Ok(())
    }
}

/// An upgrade that is over when this is dropped.
pub(crate) struct Over {
    owner: Arc<Inner>,
    id: UpgradeId,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.owner.is_over(&self.id);
    }
}

/// What it runs, exactly.
fn running(actor: &ActorRef) -> ReleaseRef {
    let provider = actor.provider();
    ReleaseRef::of(provider.manifest(), provider.digest())
}
