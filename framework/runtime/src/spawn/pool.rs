//! Threads around one queue of cells: fair, stealable, growable.
//!
//! A thread without work looks around for a moment before it sleeps, and whoever adds work wakes a sleeper only when
//! nobody is looking: waking a thread costs more than a hundred turns. A thread that is stuck in a turn keeps nothing
//! but its turn.

use super::watch::{Watch, Watches};
use crate::cell::Cell;
use crossbeam_deque::{Injector, Steal};
use parking_lot::Mutex;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::thread::{self, Thread};
use std::time::Duration;

/// Looks at the queue before a thread sleeps.
const LOOKS_MAX: u32 = 200;
pub(crate) struct Size {
    pub(crate) name: &'static str,
    /// Kept for ever.
    pub(crate) threads: usize,
    pub(crate) threads_max: usize,
    /// How long a thread beyond the usual number stays without work.
    pub(crate) surplus_idle: Duration,
    pub(crate) grow: Grow,
}

/// When a thread is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grow {
    /// When work waits and no thread gets on.
    WhenStuck,
    /// When work waits and every thread has some.
    AtOnce,
}

pub(crate) struct Pool {
    queue: Injector<Arc<Cell>>,
    idle: Mutex<Vec<Arc<Sleeper>>>,
    idle_count: AtomicUsize,
    /// Threads that look for work: nobody needs to be woken while there is one.
    looking: AtomicUsize,
    threads: AtomicUsize,
    /// Threads that are stuck in turns which were given up: they are none of the pool's any more.
    lost: AtomicUsize,
    /// Activations begun, as the watchdog saw it last.
    progress_seen: AtomicU64,
    watches_of: Mutex<Vec<Arc<Watch>>>,
    closed: AtomicBool,
    size: Size,
    watches: Arc<Watches>,
}

struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

impl Pool {
    pub(crate) fn new(size: Size, watches: Arc<Watches>) -> Arc<Self> {
        let pool = Arc::new(Self {
            queue: Injector::new(),
            idle: Mutex::default(),
            idle_count: AtomicUsize::new(0),
            looking: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            progress_seen: AtomicU64::new(0),
            watches_of: Mutex::default(),
            closed: AtomicBool::new(false),
            size,
            watches,
        });
        for _ in 0..pool.size.threads {
            pool.add_thread();
        }
        pool
    }

    pub(crate) fn push(self: &Arc<Self>, cell: Arc<Cell>) {
        self.queue.push(cell);
        // Pairs with the fence of a thread that is about to sleep: one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Relaxed) {
            self.empty(); // Nobody will: a cell that is left here would keep the pool, which keeps the cell.
        } else if self.looking.load(Ordering::Relaxed) == 0 {
            self.wake_one();
        }
    }

    fn empty(&self) {
        while self.take().is_some() {}
    }

    fn wake_one(self: &Arc<Self>) {
        if self.idle_count.load(Ordering::Relaxed) > 0 {
            let mut idle = self.idle.lock();
            if let Some(sleeper) = idle.pop() {
                self.idle_count.store(idle.len(), Ordering::Relaxed);
                // It looks for work from now on, even if it takes a while to wake up.
                self.looking.fetch_add(1, Ordering::SeqCst);
                drop(idle);
                sleeper.woken.store(true, Ordering::Release);
                sleeper.thread.unpark();
                return;
            }
        }
        if self.size.grow == Grow::AtOnce && !self.queue.is_empty() {
            self.add_thread();
        }
    }

    fn add_thread(self: &Arc<Self>) {
        let before = self.threads.fetch_add(1, Ordering::Relaxed);
        let added = before < self.size.threads_max && {
            let pool = Arc::clone(self);
            let name = format!("{}-{before}", self.size.name);
            thread::Builder::new().name(name).spawn(move || pool.work()).is_ok()
        };
        if !added {
            self.threads.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Option<Arc<Cell>> {
        loop {
            match self.queue.steal() {
                Steal::Success(cell) => return Some(cell),
                Steal::Empty => return None,
                Steal::Retry => spin_loop(),
            }
        }
    }

    fn work(self: &Arc<Self>) {
        let watch = self.watches.add();
        self.watches_of.lock().push(Arc::clone(&watch));
        let sleeper = Arc::new(Sleeper { thread: thread::current(), woken: AtomicBool::new(false) });
        self.looking.fetch_add(1, Ordering::SeqCst);
        'works: while let Some(cell) = self.next(&sleeper) {
            watch.run(&cell);
            // The next one without looking around: nobody else needs to be told.
            loop {
                if watch.may_be_lost() && self.is_lost(&watch) {
                    break 'works;
                }
                let Some(cell) = self.take().filter(|_| !self.closed.load(Ordering::Relaxed)) else { break };
                watch.run(&cell);
            }
            self.looking.fetch_add(1, Ordering::SeqCst);
        }
        if watch.is_lost() {
            watch.ends();
        } else {
            self.watches.remove(&watch);
        }
        self.watches_of.lock().retain(|other| !Arc::ptr_eq(other, &watch));
    }

    /// Whether a thread whose turn was given up, and has returned, is none of the pool's any more.
    fn is_lost(&self, watch: &Watch) -> bool {
        let _none_is_counted_out = self.watches_of.lock();
        let lost = watch.is_lost();
        if lost {
            self.lost.fetch_sub(1, Ordering::Relaxed);
        } else {
            watch.is_back();
        }
        lost
    }

    /// Counts threads out that are stuck in turns which were given up: others take their places, as often as there may
    /// be threads at all. Beyond that each stays in its place.
    fn count_out(&self) {
        for watch in self.watches_of.lock().iter() {
            if self.lost.load(Ordering::Relaxed) < self.size.threads_max && watch.lose() {
                self.lost.fetch_add(1, Ordering::Relaxed);
                self.threads.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Looks for work, then sleeps. `None`: the thread ends. Counted as looking on entry, and not any more on return.
    fn next(self: &Arc<Self>, sleeper: &Arc<Sleeper>) -> Option<Arc<Cell>> {
        loop {
            let found = self.look_around();
            let last = self.looking.fetch_sub(1, Ordering::SeqCst) == 1;
            if self.closed.load(Ordering::Relaxed) {
                return None;
            }
            if found.is_some() {
                if last && !self.queue.is_empty() {
                    self.wake_one();
                }
                return found;
            }
            if !self.sleep(sleeper) {
                return None;
            }
        }
    }

    fn look_around(&self) -> Option<Arc<Cell>> {
        for look in 0..LOOKS_MAX {
            if let Some(cell) = self.take() {
                return Some(cell);
            }
            if look % 8 == 7 {
                thread::yield_now();
            } else {
                (0..32).for_each(|_| spin_loop());
            }
        }
        None
    }

    /// Sleeps until woken, then counted as looking. `false`: it is one too many and nobody needed it for a long time;
    /// it is not counted any more.
    fn sleep(&self, sleeper: &Arc<Sleeper>) -> bool {
        {
            let mut idle = self.idle.lock();
            idle.push(Arc::clone(sleeper));
            self.idle_count.store(idle.len(), Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        let wanted = !self.queue.is_empty() || self.closed.load(Ordering::Relaxed);
        if wanted && self.get_up(sleeper, || true) {
            self.looking.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        // Whoever wakes it took it off the list, and counted it, before it says so.
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            if self.threads.load(Ordering::Relaxed) <= self.size.threads {
                thread::park();
                continue;
            }
            thread::park_timeout(self.size.surplus_idle);
            let one_less = |threads| (threads > self.size.threads).then(|| threads - 1);
            let surplus = || self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok();
            if self.get_up(sleeper, surplus) {
                return false;
            }
        }
        true
    }

    /// Takes a thread off the list of the sleeping by itself, if `leave` says so. `false`: it stays there, or somebody
    /// is waking it.
    fn get_up(&self, sleeper: &Arc<Sleeper>, leave: impl FnOnce() -> bool) -> bool {
        let mut idle = self.idle.lock();
        let place = idle.iter().position(|other| Arc::ptr_eq(other, sleeper)).filter(|_| leave());
        if let Some(place) = place {
            idle.remove(place);
            self.idle_count.store(idle.len(), Ordering::Relaxed);
        }
        place.is_some()
    }

    /// Work waits and nobody got on since the last tick: wakes a thread or adds one.
    pub(crate) fn relieve(self: &Arc<Self>) {
        self.count_out();
        let progress = self.watches_of.lock().iter().map(|watch| watch.turns()).fold(0, u64::wrapping_add);
        let stuck = self.progress_seen.swap(progress, Ordering::Relaxed) == progress;
        if self.queue.is_empty() || !stuck {
            return;
        }
        if self.idle_count.load(Ordering::Relaxed) > 0 {
            self.wake_one();
        } else if self.looking.load(Ordering::Relaxed) == 0 {
            self.add_thread();
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let sleepers = std::mem::take(&mut *self.idle.lock());
        self.idle_count.store(0, Ordering::Relaxed);
        for sleeper in sleepers {
            self.looking.fetch_add(1, Ordering::SeqCst);
            sleeper.woken.store(true, Ordering::Release);
            sleeper.thread.unpark();
        }
        fence(Ordering::SeqCst);
        self.empty();
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
