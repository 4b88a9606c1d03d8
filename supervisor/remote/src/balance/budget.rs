//! How much work may be done a second time: Finagle's retry budget.
//!
//! Retries help while few fail. When many do, they are a load on those who are left, and end them too. So they are a
//! share of the calls, with a floor under it for whoever calls seldom; and only what is declared idempotent is done a
//! second time at all.

use super::window::Window;
use std::time::Duration;

/// How many retries there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// So many for a hundred calls of the window,
    pub percent: u32,
    /// and so many for each of its seconds besides.
    pub floor_per_second: u32,
    /// How far back is looked.
    pub window: Duration,
}

impl RetryPolicy {
    /// 20 % and 10 a second, over 10 s: Finagle's.
    #[must_use]
    pub const fn standard() -> Self {
        Self { percent: 20, floor_per_second: 10, window: Duration::from_secs(10) }
    }

    /// How many there may be beside so many calls.
    fn retries_max(&self, calls: u64) -> u64 {
        let floor = u128::from(self.floor_per_second) * self.window.as_millis() / 1000;
        let share = u128::from(calls) * u128::from(self.percent) / 100;
        u64::try_from(floor + share).unwrap_or(u64::MAX)
    }
}

const CALLS: usize = 0;
const RETRIES: usize = 1;

/// See the module. Time is on the caller's monotonic clock.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    policy: RetryPolicy,
    window: Window,
}

impl RetryBudget {
    /// One from which nothing was taken.
    #[must_use]
    pub const fn new(policy: RetryPolicy) -> Self {
        Self { policy, window: Window::new() }
    }

    /// A call began; a retry is none.
    pub fn called(&mut self, now: Duration) {
        self.window.add(CALLS, now, self.policy.window);
    }

    /// Takes a retry out, if there is one left.
    pub fn retry(&mut self, now: Duration) -> bool {
        let [calls, retries] = self.window.counts(now, self.policy.window);
        let may = retries < self.policy.retries_max(calls) || cfg!(feature = "bug-p23");
        if may {
            self.window.add(RETRIES, now, self.policy.window);
        }
        may
    }
}
