//! The threads that upgrades run on: few while all goes well, more when some wait, others when some hang.
//!
//! Migrations are plugin code and may never return. The runtime takes the actor back then; what is left is a thread,
//! which is counted and given up, and another takes its place, so that the other actors go on.

use crate::error::UpgradeError;
use crate::shared::Shared;
use crate::transaction::{self, Job, Leftover, Settled};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use teneral_runtime::Lost;
use teneral_runtime::ports::Provider;

/// What a lane, or the runtime, has to say of a job.
pub(crate) enum Event {
    /// The runtime took the pause of this job away.
    Lost(usize, Lost),
    /// The job came to an end.
    Settled(usize, Box<Settled>),
    /// The lane drops what the job left over.
    Dropping(usize, Arc<Probe>),
    /// The lane is free again.
    Free(usize),
    /// The job's own code panicked, in a place where nothing may.
    Broke(usize, String),
}

/// Where a lane is, seen from outside: whether it was given up, and whose code it runs.
#[derive(Debug)]
pub(crate) struct Probe {
    state: AtomicU8,
    code: Mutex<Arc<dyn Provider>>,
}

const WORKING: u8 = 0;
const BACK: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Probe {
    pub(crate) fn new(code: Arc<dyn Provider>) -> Self {
        Self { state: AtomicU8::new(WORKING), code: Mutex::new(code) }
    }

    /// The lane runs this code from now on.
    pub(crate) fn enters(&self, code: &Arc<dyn Provider>) {
        *self.code.lock() = Arc::clone(code);
    }

    /// Whose code the lane ran last.
    pub(crate) fn code(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.code.lock())
    }

    /// Gives the lane up, unless it is back by now.
    pub(crate) fn give_up(&self, lost: &AtomicUsize) -> bool {
        let given_up = self.state.compare_exchange(WORKING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if given_up {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        given_up
    }

    /// Whether nobody waits for the lane any more: what it still does is no part of the upgrade.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Whether it was in time.
    pub(crate) fn back(&self, lost: &AtomicUsize) -> bool {
        let in_time = self.state.compare_exchange(WORKING, BACK, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !in_time {
            lost.fetch_sub(1, Ordering::Relaxed);
        }
        in_time
    }
}

/// Jobs that no lane has begun, each with its number and what watches it.
type Queue = Mutex<VecDeque<(usize, Job, Arc<Probe>)>>;

/// The jobs of one upgrade and the lanes at work on them.
pub(crate) struct Lanes {
    jobs: Arc<Queue>,
    shared: Arc<Shared>,
    events: Sender<Event>,
    threads: usize,
    threads_max: usize,
}

impl Lanes {
    /// Takes the jobs, each with its number, and hands back what watches them. Nothing runs yet.
    pub(crate) fn new(
        jobs: Vec<(usize, Job)>,
        shared: Arc<Shared>,
        events: Sender<Event>,
        threads_max: usize,
    ) -> (Self, Vec<(usize, Arc<Probe>)>) {
        let mut probes = Vec::new();
        let mut queue = VecDeque::new();
        for (number, job) in jobs {
            let probe = Arc::new(Probe::new(Arc::clone(&job.code.new)));
            probes.push((number, Arc::clone(&probe)));
            queue.push_back((number, job, probe));
        }
        let jobs = Arc::new(Mutex::new(queue));
        (Self { jobs, shared, events, threads: 0, threads_max }, probes)
    }

    /// Whether jobs wait for a lane.
    pub(crate) fn waiting(&self) -> bool {
        !self.jobs.lock().is_empty()
    }

    /// Takes the jobs that no lane has begun.
    pub(crate) fn take_waiting(&self) -> Vec<usize> {
        self.jobs.lock().drain(..).map(|(number, ..)| number).collect()
    }

    /// One lane more, if there may be one and there is work for it.
    ///
    /// # Errors
    /// [`UpgradeError::Thread`] when the system gives none.
    pub(crate) fn add(&mut self) -> Result<(), UpgradeError> {
        if self.threads >= self.threads_max || !self.waiting() {
            return Ok(());
        }
        let (jobs, shared, events) = (Arc::clone(&self.jobs), Arc::clone(&self.shared), self.events.clone());
        std::thread::Builder::new()
            .name("upgrade-lane".to_owned())
            .spawn(move || lane(&jobs, &shared, &events))
            .map_err(|error| UpgradeError::Thread(error.to_string()))?;
        self.threads += 1;
        Ok(())
    }

    /// A lane was given up: it does not count any more.
    pub(crate) fn given_up(&mut self) {
        self.threads = self.threads.saturating_sub(1);
    }

    /// How many lanes are at work.
    pub(crate) const fn threads(&self) -> usize {
        self.threads
    }
}

fn lane(jobs: &Queue, shared: &Arc<Shared>, events: &Sender<Event>) {
    loop {
        let Some((number, job, probe)) = jobs.lock().pop_front() else { return };
        let lost = events.clone();
        let on_lost = Box::new(move |what| drop(lost.send(Event::Lost(number, what))));
        // Providers turn panics into faults; one that lets a panic through must not take the lane with it.
        let result = catch_unwind(AssertUnwindSafe(|| transaction::run(&job, shared, &probe, on_lost)));
        if !probe.back(&shared.threads_lost) {
            return;
        }
        // The receiver is gone when nobody waits for this upgrade any more; there is nobody to tell then.
        let _ = match result {
            Ok(mut settled) => {
                let leftovers = std::mem::take(&mut settled.leftovers);
                let dropping = Arc::new(Probe::new(probe.code()));
                // In this order: with the last one settled, nobody listens but for what is being dropped.
                let _ = events.send(Event::Dropping(number, Arc::clone(&dropping)));
                let _ = events.send(Event::Settled(number, Box::new(settled)));
                leftovers.into_iter().for_each(|leftover| end(leftover, &dropping));
                if !dropping.back(&shared.threads_lost) {
                    return;
                }
                events.send(Event::Free(number))
            }
            Err(panic) => events.send(Event::Broke(number, text_of(&*panic))),
        };
    }
}

/// Drops an instance. Providers keep a destructor's panic to themselves; one that does not takes no lane with it.
fn end((code, instance): Leftover, dropping: &Probe) {
    dropping.enters(&code);
    if catch_unwind(AssertUnwindSafe(|| drop(instance))).is_err() {
        tracing::error!(kind = code.kind(), version = %code.version(), "a panic while an instance was dropped");
    }
}

pub(crate) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a text").to_owned()
}
