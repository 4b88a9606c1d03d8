//! The locks of the cell's protocol over the model checker: as few choices as nobody can see a difference between.
//!
//! A critical section is one step of the model: a choice is made before it and none inside, where nobody could see
//! a difference. (Sections nest only as state around batch, and what a section does outside the inner one touches
//! nothing that the inner lock alone guards.) So the model has few enough interleavings to try them all.

use crate::explore;
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::time::Instant;

thread_local! {
    /// How many sections the running thread of the model is in. All of them run on one thread of the machine.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// A choice of the scheduler: any atomic of the checker is one.
fn choice() {
    if INSIDE.get() == 0 && !std::thread::panicking() {
        explore::saw("before a step");
        shuttle::sync::atomic::AtomicBool::new(false).load(Ordering::SeqCst);
        explore::saw("in a step");
    }
}

/// Runs `look` between two steps of the model: it makes no choices.
pub(crate) fn between_steps<T>(look: impl FnOnce() -> T) -> T {
    INSIDE.set(INSIDE.get() + 1);
    let seen = look();
    INSIDE.set(INSIDE.get() - 1);
    seen
}

#[derive(Debug, Default)]
pub(crate) struct AtomicBool(std::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> Self {
        Self(std::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        choice();
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        choice();
        self.0.store(value, order);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

pub(crate) struct Guard<'a, T> {
    lock: &'a Mutex<T>,
    guard: std::sync::MutexGuard<'a, T>,
    /// Where the thread was before.
    place: u64,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let place = if INSIDE.get() == 0 { explore::place() } else { 0 };
        choice();
        let guard = self.0.try_lock().expect("a section has no choice inside, so nobody else is in one");
        INSIDE.set(INSIDE.get() + 1);
        Guard { lock: self, guard, place }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Mutex<Vec<shuttle::thread::Thread>>);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().expect("one thread of the machine"));
        waiting.iter().for_each(shuttle::thread::Thread::unpark);
    }

    /// Waits to be notified; a model has no time, so that `until` never passes. The checker may end a wait for no
    /// reason: that is no step, or a thread that waits would go on for ever.
    pub(crate) fn wait<'a, T>(&self, guard: Guard<'a, T>, _until: Option<Instant>) -> Guard<'a, T> {
        self.0.lock().expect("one thread of the machine").push(shuttle::thread::current());
        let (lock, place) = (guard.lock, guard.place);
        drop(guard);
        explore::saw("waits");
        shuttle::thread::park();
        explore::back_to(place);
        lock.lock()
    }
}
