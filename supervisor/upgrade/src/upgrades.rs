//! Who runs upgrades: one at a time for an actor, any number for a host.
//!
//! An upgrade has a thread of its own that prepares the code (verify, check, load: everything slow), lets lanes run the
//! actors' steps, and listens: to the lanes, and to the runtime when it takes a pause away. It waits for code that
//! hangs only as long as it takes to call it that, and an actor is settled exactly once.

use crate::conduct::Conductor;
use crate::error::{Refused, UpgradeError};
use crate::journal::Journal;
use crate::plan::{Plan, ReleaseRef, names_a_request, plan};
use crate::report::Report;
use crate::request::Request;
use crate::snapshot::{Artifacts, Snapshot, Subject};
use crate::step::Step;
use crate::transaction::stale;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use teneral_contract::Addr;
use teneral_runtime::{ActorRef, Clock, Runtime};
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
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) artifacts: Arc<dyn Artifacts>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: UpgradeConfig,
    /// Which upgrade has which actor.
    busy: Mutex<HashMap<Addr, UpgradeId>>,
    /// Held from the question whether a request was there before until it stands in the journal.
    requests: Mutex<()>,
    running: Mutex<BTreeMap<UpgradeId, Arc<Shared>>>,
    /// One of them has ended.
    ended: Condvar,
    count: AtomicU64,
    threads_lost: Arc<AtomicUsize>,
}

/// What all parts of one running upgrade share.
pub(crate) struct Shared {
    pub(crate) id: UpgradeId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) threads_lost: Arc<AtomicUsize>,
    /// Who cancelled, if somebody did.
    cancelled: Mutex<Option<String>>,
    /// The actors that this upgrade has paused at the moment, or asks to pause.
    paused: Mutex<HashMap<Addr, ActorRef>>,
}

impl Shared {
    /// Whether to go on.
    pub(crate) fn go_on(&self) -> Result<(), UpgradeError> {
        self.cancelled.lock().as_ref().map_or(Ok(()), |by| Err(UpgradeError::Cancelled(by.clone())))
    }

    pub(crate) fn now_paused(&self, actor: &ActorRef) {
        self.paused.lock().insert(actor.addr().clone(), actor.clone());
    }

    pub(crate) fn no_longer_paused(&self, addr: &Addr) {
        self.paused.lock().remove(addr);
    }

    pub(crate) fn unix_us(&self) -> u64 {
        self.clock.wall_ns() / 1000
    }

    fn cancel(&self, by: &str) {
        self.cancelled.lock().get_or_insert_with(|| by.to_owned());
        let paused: Vec<ActorRef> = self.paused.lock().values().cloned().collect();
        // By name: a lane may have left its pause meanwhile, and the next one is somebody else's.
        paused.iter().for_each(|actor| actor.cancel_pause_of(&self.id.to_string(), by));
    }
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
    ) -> Self {
        let inner = Inner {
            runtime,
            artifacts,
            store,
            clock,
            config,
            busy: Mutex::new(HashMap::new()),
            requests: Mutex::new(()),
            running: Mutex::new(BTreeMap::new()),
            ended: Condvar::new(),
            count: AtomicU64::new(0),
            threads_lost: Arc::new(AtomicUsize::new(0)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Says what would be done, and touches nobody. Blocks while manifests are read.
    ///
    /// # Errors
    /// [`UpgradeError`]: why it would not.
    pub fn plan(&self, request: &Request) -> Result<Plan, UpgradeError> {
        plan(&self.inner.snapshot(request)?, request)
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
        plan.validate()?;
        let lost = inner.threads_lost.load(Ordering::Relaxed);
        if lost >= inner.config.threads_lost_max {
            return Err(UpgradeError::Thread(format!("{lost} threads hang in plugin code")));
        }
        let _alone = plan.request.as_ref().map(|_| inner.requests.lock());
        if let Some(request) = plan.request.as_deref()
            && let Some(id) = self.requested(request)?
        {
            return Err(UpgradeError::Repeated { request: request.to_owned(), id });
        }
        let shared = Arc::new(inner.share());
        let id = shared.id.clone();
        // Before it has the actors: whoever is refused for its sake can wait for its end.
        inner.running.lock().insert(id.clone(), Arc::clone(&shared));
        let begun = inner.begin(plan, shared);
        if begun.is_err() {
            inner.is_over(&id);
        }
        Ok(Running { id, report: begun? })
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

    /// Threads of this process that hang in plugin code.
    #[must_use]
    pub fn threads_lost(&self) -> usize {
        self.inner.threads_lost.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// From here on it goes on by itself, on a thread of its own.
    fn begin(self: &Arc<Self>, plan: Plan, shared: Arc<Shared>) -> Result<mpsc::Receiver<Report>, UpgradeError> {
        let claim = Claim::of(self, &plan, &shared.id)?;
        self.fresh(&plan)?;
        // Started first: an upgrade in the journal that has no thread would never be closed.
        let (go, begun) = mpsc::channel::<Conductor>();
        let (report, receiver) = mpsc::channel();
        let (owner, id) = (Arc::clone(self), shared.id.clone());
        let conduct = move || {
            let Ok(conductor) = begun.recv() else { return };
            let outcome = conductor.conduct();
            owner.is_over(&id);
            // Nobody may be waiting; the journal has it all the same.
            let _ = report.send(outcome);
        };
        let spawned = std::thread::Builder::new().name("upgrade".to_owned()).spawn(conduct);
        spawned.map_err(|error| UpgradeError::Thread(error.to_string()))?;
        let journal = Journal::begin(Arc::clone(&self.store), shared.id.clone(), &plan, shared.unix_us())?;
        let conductor = Conductor::new(Arc::clone(self), shared, plan, journal, claim);
        go.send(conductor).map_err(|_| UpgradeError::Thread("it ended before it began".to_owned()))?;
        Ok(receiver)
    }

    fn is_over(&self, id: &UpgradeId) {
        self.running.lock().remove(id);
        self.ended.notify_all();
    }

    fn share(&self) -> Shared {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        // Sorts by time, and says which one of this microsecond.
        let id = UpgradeId(format!("up-{:014x}-{number}", self.clock.wall_ns() / 1000));
        Shared {
            id,
            clock: Arc::clone(&self.clock),
            threads_lost: Arc::clone(&self.threads_lost),
            cancelled: Mutex::new(None),
            paused: Mutex::new(HashMap::new()),
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

/// What it runs, exactly.
fn running(actor: &ActorRef) -> ReleaseRef {
    let provider = actor.provider();
    ReleaseRef::of(provider.manifest(), provider.digest())
}

/// The actors of one upgrade, which no other may have meanwhile. Dropped, it lets all of them go.
pub(crate) struct Claim {
    inner: Arc<Inner>,
    actors: BTreeSet<Addr>,
}

impl Claim {
    fn of(inner: &Arc<Inner>, plan: &Plan, id: &UpgradeId) -> Result<Self, UpgradeError> {
        let actors: BTreeSet<Addr> = plan.moves.iter().map(|moved| moved.addr.clone()).collect();
        let mut busy = inner.busy.lock();
        for addr in actors.iter().filter(|_| !cfg!(feature = "bug-f36")) {
            if let Some(by) = busy.get(addr) {
                return Err(UpgradeError::Running { addr: addr.clone(), by: by.clone() });
            }
        }
        busy.extend(actors.iter().map(|addr| (addr.clone(), id.clone())));
        drop(busy);
        Ok(Self { inner: Arc::clone(inner), actors })
    }

    /// Lets one go: it is settled.
    pub(crate) fn settled(&mut self, addr: &Addr) {
        self.actors.remove(addr);
        self.inner.busy.lock().remove(addr);
    }

    /// Never lets it go.
    pub(crate) fn keep(&mut self, addr: &Addr) {
        self.actors.remove(addr);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut busy = self.inner.busy.lock();
        for addr in &self.actors {
            busy.remove(addr);
        }
    }
}
