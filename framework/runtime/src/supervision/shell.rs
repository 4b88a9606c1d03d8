//! The supervisor: a ractor actor that does what the [`Tree`] decides, on the control runtime's own thread.
//!
//! Cells tell [`Supervision`] what happened to them; the tree decides at once, under a lock, on the teller's thread,
//! which is neither blocked nor refused. What is to be done waits in a queue that holds at most one order a child, and
//! a ring wakes the supervisor, which carries orders out one by one. ractor's mailboxes are unbounded, so rings pass a
//! semaphore of one: there is one on its way, or none.
//!
//! Making an instance runs the actor's code, which may be slow or never return: it happens on a thread of its own with
//! a deadline. Whoever is first, the new instance or the deadline, wins; an instance that comes too late is dropped.

use super::core::{Action, ChildId, ChildSpec, Ending, Event, Exit, Refused, Tree};
use crate::clock::{Clock, Moment};
use crate::events::{Events, What};
use crate::ports::{Behaviour, Fault, FaultKind};
use crate::timer::{TimerKey, Timers};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io, mem};
use teneral_contract::Addr;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What a supervised cell does when it is told to. It tells in turn what happens to it: [`Supervision::exited`],
/// [`Supervision::replace`].
///
/// A cell that exits keeps its mailbox and handles nothing, until it is either revived or retired.
pub trait Supervised: Send + Sync + 'static {
    /// Its name.
    fn addr(&self) -> &Addr;

    /// Makes a new instance of the version that the cell runs, from whatever its `restart_state` says, and changes
    /// nothing else. Called on a thread of its own; it may take its time or never return.
    ///
    /// # Errors
    /// What the code says.
    fn rebuild(&self) -> Result<Box<dyn Behaviour>, Fault>;

    /// What [`Supervised::rebuild`] runs has not returned in time: nothing new should be made of that code. Quick.
    fn hangs(&self);

    /// Goes on with a new instance, with its mailbox where it was; a cell that was stopped meanwhile drops it. Quick.
    fn revive(&self, instance: Box<dyn Behaviour>);

    /// Asks the cell to stop after its turn. Never waits: [`Supervision::exited`] is the answer, at once when the cell
    /// has no instance.
    fn stop(&self, why: Ending);

    /// The cell is no longer supervised: its name is free, its asks are answered, its messages are dead letters, and a
    /// turn that still runs is left behind. Called once, and last. Quick.
    fn retire(&self, why: Ending);
}

/// How long the supervisor waits.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// For a new instance.
    pub start_timeout: Duration,
    /// For each child to stop, before it is left behind.
    pub stop_timeout: Duration,
}

/// A wait of the supervisor that is over: for [`Supervision::overdue`].
#[derive(Debug)]
pub struct Overdue(Wait);

#[derive(Debug)]
enum Wait {
    Restart(Arc<Attempt>),
    Stop(ChildId),
    Shutdown,
}

/// Where the supervisor's waits are kept: the runtime's timers, which have other things to do as well.
pub trait Deadlines: Send + Sync + 'static {
    /// Calls [`Supervision::overdue`] with `overdue` at `at`.
    fn schedule(&self, at: Moment, overdue: Overdue) -> TimerKey;
    /// Forgets it, if it is not too late.
    fn cancel(&self, key: TimerKey);
}

impl<T: From<Overdue> + Send + 'static> Deadlines for Timers<T> {
    fn schedule(&self, at: Moment, overdue: Overdue) -> TimerKey {
        Self::schedule(self, at, overdue.into())
    }

    fn cancel(&self, key: TimerKey) {
        drop(Self::cancel(self, key));
    }
}

/// The supervision of a runtime. Dropping it ends the control runtime; children are left as they are.
pub struct Supervision {
    shared: Arc<Shared>,
    control: Option<tokio::runtime::Runtime>,
}

struct Shared {
    state: Mutex<State>,
    /// One ring of the supervisor is on its way, or none.
    ring: Arc<Semaphore>,
    supervisor: OnceLock<ActorRef<Ring>>,
    finished: watch::Sender<Phase>,
    deadlines: Arc<dyn Deadlines>,
    clock: Arc<dyn Clock>,
    events: Events,
    waits: Waits,
}

type Child = Arc<dyn Supervised>;

#[derive(Default)]
struct State {
    tree: Tree<Child>,
    orders: VecDeque<Action<Child>>,
    /// The deadlines of stops under way.
    stops: HashMap<ChildId, TimerKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Finished,
}

/// One try to make a new instance. The instance and the deadline both claim it; one of them gets it.
#[derive(Debug)]
struct Attempt {
    child: ChildId,
    claimed: AtomicBool,
}

impl Attempt {
    fn claim(&self) -> Option<ChildId> {
        (!self.claimed.swap(true, Ordering::AcqRel)).then_some(self.child)
    }
}

impl Supervision {
    /// Starts the control runtime (one thread, `teneral-control`) and the supervisor on it.
    ///
    /// # Errors
    /// What the system says when it has no thread left.
    pub fn start(
        waits: Waits,
        clock: Arc<dyn Clock>,
        events: Events,
        deadlines: Arc<dyn Deadlines>,
    ) -> io::Result<Self> {
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("teneral-control")
            .enable_time()
            .build()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ring: Arc::new(Semaphore::new(1)),
            supervisor: OnceLock::new(),
            finished: watch::Sender::new(Phase::Serving),
            deadlines,
            clock,
            events,
            waits,
        });
        let inside = control.enter();
        let supervisor = ActorRuntime::spawn_instant(None, Supervisor, Arc::clone(&shared));
        drop(inside);
        let (supervisor, _) = supervisor.map_err(io::Error::other)?;
        // Nobody else has `shared` yet.
        drop(shared.supervisor.set(supervisor));
        Ok(Self { shared, control: Some(control) })
    }

    /// Takes in a child that is about to run; its parent is an actor or [`ChildId::ROOT`].
    ///
    /// # Errors
    /// [`Refused`]: the child must not run.
    pub fn adopt(&self, parent: ChildId, spec: ChildSpec, child: Arc<dyn Supervised>) -> Result<ChildId, Refused> {
        self.shared.state.lock().tree.adopt(parent, spec, child)
    }

    /// A cell's instance is gone: its turn panicked, or it stopped. Told once for each instance.
    pub fn exited(&self, child: ChildId, exit: Exit) {
        self.shared.tell(Event::Exited(child, exit));
    }

    /// The process of a cell's instance is gone, and the next instance goes on from where it was. Told once for each
    /// instance, instead of [`Supervision::exited`].
    pub fn gone(&self, child: ChildId) {
        self.shared.tell(Event::Gone(child));
    }

    /// An upgrade cost the cell its instance: it is revived, and nobody's budget is charged.
    pub fn replace(&self, child: ChildId) {
        self.shared.tell(Event::Replace(child));
    }

    /// Stops a child for good, its own children first. [`Supervised::retire`] says when.
    pub fn stop(&self, child: ChildId) {
        self.shared.tell(Event::Stop(child));
    }

    /// Whoever waited for [`Supervision::stop`] waits no longer: the child and its children are retired as they stand.
    pub fn cut_off(&self, child: ChildId) {
        self.shared.tell(Event::CutOff(child));
    }

    /// A wait is over.
    pub fn overdue(&self, overdue: Overdue) {
        let event = match overdue.0 {
            Wait::Stop(child) => Event::StopOverdue(child),
            Wait::Shutdown => Event::CutOff(ChildId::ROOT),
            Wait::Restart(attempt) => {
                let Some(child) = attempt.claim() else { return };
                if let Some(hanging) = self.shared.child(child) {
                    hanging.hangs();
                }
                let waited = self.shared.waits.start_timeout;
                let text = format!("no new instance within {waited:?}; its thread is left behind");
                self.shared.restart_failed(child, Fault::new(FaultKind::Limit, text));
                return;
            }
        };
        self.shared.tell(event);
    }

    /// Stops everybody, youngest first, and takes nobody in any more. Whoever has not stopped after `timeout` is cut
    /// off. A dropped future leaves the shutdown going on.
    pub async fn shutdown(&self, timeout: Duration) {
        let mut finished = self.shared.finished.subscribe();
        let overdue = self.shared.deadlines.schedule(self.shared.clock.now() + timeout, Overdue(Wait::Shutdown));
        self.shared.tell(Event::Shutdown);
        // An error would mean that the sender, which is ours, is gone.
        drop(finished.wait_for(|phase| *phase == Phase::Finished).await);
        self.shared.deadlines.cancel(overdue);
    }

    /// Forgets everybody, and tells nobody: for a runtime that is dropped without a shutdown, whose children would
    /// otherwise keep it alive. Nobody is taken in any more.
    pub fn forget(&self) {
        let mut fresh = State::default();
        fresh.tree.on(Event::Shutdown, self.shared.clock.now(), &mut Vec::new());
        let forgotten = mem::replace(&mut *self.shared.state.lock(), fresh);
        drop(forgotten); // Without the lock: what dies with a child may be anything.
        self.shared.finished.send_replace(Phase::Finished);
    }

    /// The names of a child's supervisor, of that one's, and so on.
    #[must_use]
    pub fn ancestors(&self, child: ChildId) -> Vec<Addr> {
        let ancestors = self.shared.state.lock().tree.ancestors(child);
        ancestors.iter().map(|child| child.addr().clone()).collect()
    }

    /// The names of the children of `parent`, in the order of their starts.
    #[must_use]
    pub fn children(&self, parent: ChildId) -> Vec<Addr> {
        self.shared.state.lock().tree.children(parent).map(|child| child.addr().clone()).collect()
    }

    /// The control runtime, for other actors of the control plane. `None` once this is being dropped.
    #[must_use]
    pub fn control(&self) -> Option<&tokio::runtime::Handle> {
        self.control.as_ref().map(tokio::runtime::Runtime::handle)
    }
}

impl Drop for Supervision {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.shutdown_background(); // A plain drop would wait for instances that never come.
        }
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Supervision({} children)", self.shared.state.lock().tree.len())
    }
}

impl Shared {
    fn tell(&self, event: Event) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let mut actions = Vec::new();
        state.tree.on(event, now, &mut actions);
        if let Event::Exited(child, _) | Event::Gone(child) | Event::CutOff(child) = event
            && let Some(key) = state.stops.remove(&child)
        {
            self.deadlines.cancel(key);
        }
        for action in &actions {
            if let Action::Stop(child, ..) = action {
                let overdue = Overdue(Wait::Stop(*child));
                state.stops.insert(*child, self.deadlines.schedule(now + self.waits.stop_timeout, overdue));
            }
            if let Action::Retire(child, ..) = action
                && let Some(key) = state.stops.remove(child)
            {
                self.deadlines.cancel(key);
            }
        }
        state.orders.extend(actions);
        let idle = state.orders.is_empty();
        drop(state);
        if !idle && let Ok(permit) = Arc::clone(&self.ring).try_acquire_owned() {
            self.send(Ring(permit));
        }
    }

    fn send(&self, ring: Ring) {
        if self.supervisor.get().is_none_or(|supervisor| supervisor.send_message(ring).is_err()) {
            tracing::error!("the supervisor is gone: nobody is restarted any more");
        }
    }

    fn child(&self, id: ChildId) -> Option<Child> {
        self.state.lock().tree.child(id).cloned()
    }

    fn restart_failed(&self, child: ChildId, fault: Fault) {
        if let Some(addr) = self.child(child).map(|child| child.addr().clone()) {
            self.events.emit(What::RestartFailed { addr, fault });
        }
        self.tell(Event::RestartFailed(child));
    }

    fn carry_out(self: &Arc<Self>, order: Action<Child>) {
        match order {
            Action::Restart(id, child) => self.restart(id, child),
            Action::Stop(_, child, why) => child.stop(why),
            Action::Retire(_, child, spec, why) => {
                if why == Ending::GivenUp {
                    let (addr, intensity) = (child.addr().clone(), spec.intensity);
                    let (restarts_max, period) = (intensity.restarts_max, intensity.period);
                    self.events.emit(What::GaveUp { addr, restarts_max, period });
                }
                child.retire(why);
            }
            Action::Finished => drop(self.finished.send_replace(Phase::Finished)),
        }
    }

    /// On the control runtime, whose blocking threads are kept for the next restart.
    fn restart(self: &Arc<Self>, id: ChildId, child: Child) {
        let attempt = Arc::new(Attempt { child: id, claimed: AtomicBool::new(false) });
        let overdue = Overdue(Wait::Restart(Arc::clone(&attempt)));
        let key = self.deadlines.schedule(self.clock.now() + self.waits.start_timeout, overdue);
        let shared = Arc::clone(self);
        drop(tokio::task::spawn_blocking(move || {
            let made = catch_unwind(AssertUnwindSafe(|| child.rebuild()));
            let Some(id) = attempt.claim() else { return }; // Too late: what was made is dropped.
            shared.deadlines.cancel(key);
            match made {
                Ok(Ok(instance)) => {
                    // In this order: the instance may exit before `revive` returns.
                    shared.tell(Event::Restarted(id));
                    // One that was cut off meanwhile has heard its last.
                    if shared.child(id).is_some() {
                        child.revive(instance);
                    }
                }
                Ok(Err(fault)) => shared.restart_failed(id, fault),
                Err(_) => shared.restart_failed(id, Fault::new(FaultKind::Panic, "making an instance panicked")),
            }
        }));
    }
}

/// The actor. It has nothing of its own: what it does next lies in [`Shared`].
struct Supervisor;

/// There are orders.
struct Ring(OwnedSemaphorePermit);

impl Actor for Supervisor {
    type Msg = Ring;
    type State = Arc<Shared>;
    type Arguments = Arc<Shared>;

    async fn pre_start(&self, _: ActorRef<Ring>, shared: Arc<Shared>) -> Result<Arc<Shared>, ActorProcessingErr> {
        Ok(shared)
    }

    async fn handle(
        &self,
        _: ActorRef<Ring>,
        Ring(permit): Ring,
        shared: &mut Arc<Shared>,
    ) -> Result<(), ActorProcessingErr> {
        drop(permit); // From here on whoever adds an order rings again.
        let orders = mem::take(&mut shared.state.lock().orders);
        for order in orders {
            // One child's fault is not the supervisor's: without it nobody is restarted any more.
            if catch_unwind(AssertUnwindSafe(|| shared.carry_out(order))).is_err() {
                tracing::error!("an order to a supervised child panicked");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "shell_tests.rs"]
mod tests;
