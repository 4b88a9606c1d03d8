//! What the turns of one version came to: how many, how they ended, how long they took.
//!
//! Counted always, timed in samples: reading the clock twice costs a third of a short turn. Every turn of the first
//! activations of a version is timed, then of one activation in sixteen; while a version is on probation, the first of
//! every activation as well, and what comes behind a slow one.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Activations of a version whose turns are all timed.
const TIMED_FIRST: u64 = 16;
/// After them, one activation in so many.
const TIMED_ONE_IN: u64 = 16;

/// What turns came to, since the version serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Turns that ended well.
    pub handled: u64,
    /// Turns that ended in an error.
    pub failed: u64,
    /// Turns that panicked.
    pub panics: u64,
    /// Turns that were timed, however they ended.
    pub timed: u64,
    /// Those of the timed ones that were slow, by what the probation calls slow; 0 without one.
    pub slow: u64,
    /// How long the timed ones took, all together.
    pub busy: Duration,
}

impl Figures {
    /// All turns.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.handled + self.failed + self.panics
    }

    /// How long a turn takes on average; `None` while none was timed.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        let busy_ns = u64::try_from(self.busy.as_nanos()).unwrap_or(u64::MAX);
        busy_ns.checked_div(self.timed).map(Duration::from_nanos)
    }

    /// What these and the others came to together.
    #[must_use]
    pub const fn and(&self, others: Self) -> Self {
        Self {
            handled: self.handled.saturating_add(others.handled),
            failed: self.failed.saturating_add(others.failed),
            panics: self.panics.saturating_add(others.panics),
            timed: self.timed.saturating_add(others.timed),
            slow: self.slow.saturating_add(others.slow),
            busy: self.busy.saturating_add(others.busy),
        }
    }

    /// Each number as it is, or as it was before where that was more.
    #[must_use]
    pub(crate) fn at_least(&self, before: Self) -> Self {
        Self {
            handled: self.handled.max(before.handled),
            failed: self.failed.max(before.failed),
            panics: self.panics.max(before.panics),
            timed: self.timed.max(before.timed),
            slow: self.slow.max(before.slow),
            busy: self.busy.max(before.busy),
        }
    }

    /// What came after `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: Self) -> Self {
        Self {
            handled: self.handled.saturating_sub(earlier.handled),
            failed: self.failed.saturating_sub(earlier.failed),
            panics: self.panics.saturating_sub(earlier.panics),
            timed: self.timed.saturating_sub(earlier.timed),
            slow: self.slow.saturating_sub(earlier.slow),
            busy: self.busy.saturating_sub(earlier.busy),
        }
    }
}

/// Numbers of turns, written by the activation, read by whoever looks.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) handled: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) restarts: AtomicU64,
    activations: AtomicU64,
    timed: AtomicU64,
    slow: AtomicU64,
    busy_ns: AtomicU64,
}

impl Counts {
    /// Of the cell's whole life.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            handled: self.handled.load(Relaxed),
            failed: self.failed.load(Relaxed),
            panics: self.panics.load(Relaxed),
            timed: self.timed.load(Relaxed),
            slow: self.slow.load(Relaxed),
            busy: Duration::from_nanos(self.busy_ns.load(Relaxed)),
        }
    }

    /// Whether the turns of the activation that begins are timed. Only the activation itself asks.
    pub(crate) fn times_next(&self) -> bool {
        let before = self.activations.load(Relaxed);
        self.activations.store(before.wrapping_add(1), Relaxed);
        before < TIMED_FIRST || before.is_multiple_of(TIMED_ONE_IN)
    }

    /// Another version's activations count anew.
    pub(crate) fn time_anew(&self) {
        self.activations.store(0, Relaxed);
    }

    pub(crate) fn timed(&self, (turns, slow, took): (u64, u64, Duration)) {
        if turns > 0 {
            self.timed.fetch_add(turns, Relaxed);
            self.slow.fetch_add(slow, Relaxed);
            self.busy_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
    }
}
