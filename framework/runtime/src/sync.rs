//! The locks of the cell's protocol, and only what it uses of them: `tests/u18` has the same names over a model
//! checker.

use std::time::Instant;

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) type Guard<'a, T> = parking_lot::MutexGuard<'a, T>;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits to be notified, or until `until` has passed.
    pub(crate) fn wait<'a, T>(&self, mut guard: Guard<'a, T>, until: Option<Instant>) -> Guard<'a, T> {
        match until {
            Some(until) => drop(self.0.wait_until(&mut guard, until)),
            None => self.0.wait(&mut guard),
        }
        guard
    }
}
