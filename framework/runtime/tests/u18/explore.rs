//! Every reachable state of a model, each left by every thread that can run: exhaustive, and over soon.
//!
//! Paths grow with the factorial of their length; states do not, since most orders of the same steps end in the same
//! place. So a state that was met before is not branched at again: whatever can follow it follows the first meeting
//! (stateful search, as in Godefroid's VeriSoft lineage and in SPIN). Two moments are the same state when every thread
//! has made the same steps and seen the same answers, and the cell holds the same; that distinguishes more states than
//! it must, never fewer.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::cell::RefCell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

/// What the model's shared part looks like now, as a hash.
type Look = Box<dyn Fn() -> u64>;

thread_local! {
    /// What each thread of the model has done and seen so far. All of them run on one thread of the machine.
    static PLACES: RefCell<BTreeMap<usize, u64>> = const { RefCell::new(BTreeMap::new()) };
    static LOOK: RefCell<Option<Look>> = const { RefCell::new(None) };
}

/// The running thread of the model has made a step, and seen this.
pub(crate) fn saw(what: impl Hash) {
    let me = usize::from(shuttle::current::me());
    PLACES.with_borrow_mut(|places| {
        let place = places.entry(me).or_default();
        let mut hasher = DefaultHasher::new();
        (*place, what).hash(&mut hasher);
        *place = hasher.finish();
    });
}

/// The place of the running thread: what it has done and seen so far.
pub(crate) fn place() -> u64 {
    let me = usize::from(shuttle::current::me());
    PLACES.with_borrow(|places| places.get(&me).copied().unwrap_or_default())
}

/// The running thread is where it was before: what it did since was a look that changed nothing.
pub(crate) fn back_to(place: u64) {
    let me = usize::from(shuttle::current::me());
    PLACES.with_borrow_mut(|places| places.insert(me, place));
}

/// How the shared part of the model that runs now is looked at.
pub(crate) fn look_by(look: impl Fn() -> u64 + 'static) {
    LOOK.set(Some(Box::new(look)));
}

/// What an exploration went through.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) executions: usize,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Explorer {
    explored: Arc<Mutex<Explored>>,
    met: HashSet<u64>,
    /// The choices of this execution: what could run, and which of it does.
    path: Vec<(Vec<TaskId>, usize)>,
    depth: usize,
    /// This execution is in a state that was met before.
    known: bool,
}

impl Explorer {
    /// What it will have gone through.
    pub(crate) fn explored(&self) -> Arc<Mutex<Explored>> {
        Arc::clone(&self.explored)
    }

    fn state(runnable: &[TaskId]) -> u64 {
        let mut hasher = DefaultHasher::new();
        runnable.hash(&mut hasher);
        PLACES.with_borrow(|places| places.hash(&mut hasher));
        LOOK.with_borrow(|look| look.as_ref().map(|look| look()).hash(&mut hasher));
        hasher.finish()
    }
}

impl Scheduler for Explorer {
    fn new_execution(&mut self) -> Option<Schedule> {
        PLACES.take();
        LOOK.take();
        let mut explored = self.explored.lock().expect("one thread of the machine");
        if explored.executions > 0 {
            while self.path.pop_if(|(options, chosen)| *chosen + 1 == options.len()).is_some() {}
            self.path.last_mut()?.1 += 1;
        }
        explored.executions += 1;
        (self.depth, self.known) = (0, false);
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, _: bool) -> Option<TaskId> {
        let runnable: Vec<TaskId> = runnable.iter().map(|task| task.id()).collect();
        if self.known || runnable.len() == 1 {
            // In turn, so that the execution ends: one that waits may be let run for ever.
            let next = runnable.iter().find(|task| current.is_none_or(|current| **task > current));
            return next.or(runnable.first()).copied();
        }
        if self.depth == self.path.len() {
            if !self.met.insert(Self::state(&runnable)) {
                self.known = true;
                return runnable.first().copied();
            }
            self.explored.lock().expect("one thread of the machine").states += 1;
            self.path.push((runnable.clone(), 0));
        }
        let (options, chosen) = &self.path[self.depth];
        assert_eq!(*options, runnable, "the model is the same each time");
        self.depth += 1;
        Some(options[*chosen])
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
