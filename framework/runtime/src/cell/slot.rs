//! A place for one value that one task waits for.
//!
//! Whoever fills it first wins: an answer, a deadline, a stop. What comes later is given back, so that it can be
//! counted.

use super::waiters::wake_all;
use parking_lot::Mutex;
use std::task::{Context, Poll, Waker};

/// See the module.
pub(crate) struct Slot<T>(Mutex<State<T>>);

enum State<T> {
    Waiting(Option<Waker>),
    Filled(T),
    /// Taken, or nobody waits any more.
    Over,
}

impl<T> Slot<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State::Waiting(None)))
    }

    /// Fills the slot and wakes who waits.
    ///
    /// # Errors
    /// The value: it comes too late.
    pub(crate) fn fill(&self, value: T) -> Result<(), T> {
        let mut state = self.0.lock();
        let State::Waiting(waker) = &mut *state else { return Err(value) };
        let waker = waker.take();
        *state = State::Filled(value);
        drop(state);
        wake_all(waker);
        Ok(())
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<T> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(Some(waker)) => waker.clone_from(cx.waker()),
            State::Waiting(empty) => *empty = Some(cx.waker().clone()),
            State::Filled(_) => {
                if let State::Filled(value) = std::mem::replace(&mut *state, State::Over) {
                    return Poll::Ready(value);
                }
            }
            // A future that is polled after its end waits for ever, as futures may.
            State::Over => {}
        }
        Poll::Pending
    }

    /// Nobody waits any more.
    pub(crate) fn close(&self) {
        *self.0.lock() = State::Over;
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(&*self.0.lock(), State::Waiting(_))
    }
}
