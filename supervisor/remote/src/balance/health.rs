//! Whose work fails gets none for a while: Envoy's outlier detection.

use super::window::Window;
use std::time::Duration;

/// When an endpoint is ejected, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// So many failures in a row.
    pub consecutive_failures: u32,
    /// Or so many percent of its work within the window,
    pub error_percent: u32,
    /// if it was at least so much.
    pub calls_min: u64,
    /// How far back is looked.
    pub window: Duration,
    /// How long the first time; the second time twice as long, and so on.
    pub eject_min: Duration,
    /// How long at most.
    pub eject_max: Duration,
    /// Never more than this share of the endpoints at once.
    pub ejected_percent_max: u32,
}

impl OutlierPolicy {
    /// 5 failures in a row, or 50 % of at least 20 within 10 s; 1 s, 2 s, 3 s, up to 30 s; at most 50 % of the
    /// endpoints.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            consecutive_failures: 5,
            error_percent: 50,
            calls_min: 20,
            window: Duration::from_secs(10),
            eject_min: Duration::from_secs(1),
            eject_max: Duration::from_secs(30),
            ejected_percent_max: 50,
        }
    }

    /// Whether one more may be ejected.
    pub(super) fn may_eject(&self, ejected: usize, present: usize) -> bool {
        (ejected as u64 + 1) * 100 <= present as u64 * u64::from(self.ejected_percent_max)
    }
}

const CALLS: usize = 0;
const FAILURES: usize = 1;

/// What is held against one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Record {
    in_a_row: u32,
    window: Window,
    /// Until when it was ejected the last time.
    until: Option<Duration>,
    /// How often, less what good conduct has made up for.
    ejections: u32,
}

impl Record {
    pub(super) const fn new() -> Self {
        Self { in_a_row: 0, window: Window::new(), until: None, ejections: 0 }
    }

    /// Until when it is ejected, if it is.
    pub(super) fn ejected_until(&self, now: Duration) -> Option<Duration> {
        self.until.filter(|until| now < *until)
    }

    pub(super) fn is_ejected(&self, now: Duration) -> bool {
        self.ejected_until(now).is_some()
    }

    /// Its work was answered. Whether it is ill all the same.
    pub(super) fn answered(&mut self, now: Duration, policy: &OutlierPolicy) -> bool {
        self.in_a_row = 0;
        self.window.add(CALLS, now, policy.window);
        self.fails_too_often(now, policy)
    }

    /// Its work failed. Whether it is ill.
    pub(super) fn failed(&mut self, now: Duration, policy: &OutlierPolicy) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.window.add(CALLS, now, policy.window);
        self.window.add(FAILURES, now, policy.window);
        self.in_a_row >= policy.consecutive_failures || self.fails_too_often(now, policy)
    }

    fn fails_too_often(&mut self, now: Duration, policy: &OutlierPolicy) -> bool {
        let [calls, failures] = self.window.counts(now, policy.window);
        let often = failures.saturating_mul(100) >= calls.saturating_mul(u64::from(policy.error_percent));
        calls >= policy.calls_min && failures > 0 && often
    }

    /// Ejects it: until when.
    pub(super) fn eject(&mut self, now: Duration, policy: &OutlierPolicy) -> Duration {
        // A window without an ejection makes up for one.
        let well = now.saturating_sub(self.until.unwrap_or_default()).as_nanos() / policy.window.as_nanos().max(1);
        let made_up = u32::try_from(well).unwrap_or(u32::MAX);
        self.ejections = self.ejections.saturating_sub(made_up).saturating_add(1);
        let until = now + policy.eject_min.saturating_mul(self.ejections).min(policy.eject_max);
        self.until = Some(until);
        self.in_a_row = 0;
        self.window.clear();
        until
    }
}
