//! Time as a port: monotonic, wall, and a way for a thread to wait that a test's clock can drive.
//!
//! Everything in the runtime that waits for time to pass does so on a thread that sleeps as a [`Sleeper`], beside a
//! [`Bell`] that wakes it early. So a [`ManualClock`] knows who sleeps until when: it steps from deadline to deadline
//! and goes on only when everybody it woke sleeps again. Hours pass in microseconds, always in the same order.

use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::ops::Add;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time: nanoseconds since the clock was made. Never compared between clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The first moment after `now` on the grid of those that are `period` apart, of which this is one.
    pub(crate) fn next(self, period: Duration, now: Self) -> Self {
        let period_ns = period.as_nanos().max(1);
        let periods = now.since(self).as_nanos() / period_ns + 1;
        Self(self.0.saturating_add(u64::try_from(periods * period_ns).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates: 584 years are as good as never.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Where the runtime's time comes from.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Monotonic: never goes back, whatever happens to the wall clock.
    fn now(&self) -> Moment;

    /// Nanoseconds since the Unix epoch, for people and for actors; never used to measure.
    fn wall_ns(&self) -> u64;

    /// The place of one thread that will sleep on this clock. A [`ManualClock`] goes on only while the thread sleeps,
    /// so the sleeper is made for a thread that does little else, and moves into it.
    fn sleeper(&self) -> Sleeper;

    /// Blocks this thread until `until` (`None`: for ever) or until its bell is rung, whichever is first. May also
    /// return early for no reason: look at [`Clock::now`] and at what the bell rings for.
    fn sleep(&self, sleeper: &Sleeper, until: Option<Moment>);
}

/// A thread's own place beside its bell; when it is dropped, no clock waits for the thread any more.
#[derive(Debug, Default)]
pub struct Sleeper(Arc<Bell>);

impl Sleeper {
    /// What others wake the thread with.
    #[must_use]
    pub fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.0)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.watchers.notify_all();
    }
}

/// Wakes one sleeping thread early. A ring that finds nobody asleep is kept for the next sleep.
#[derive(Debug, Default)]
pub struct Bell {
    state: Mutex<BellState>,
    sleeper: Condvar,
    watchers: Condvar,
}

#[derive(Debug, Default)]
struct BellState {
    rung: bool,
    /// The sleeper is gone: nobody will ever sleep here again.
    closed: bool,
    asleep: Option<Until>,
}

/// Until when a thread sleeps; `None` is for ever.
type Until = Option<Moment>;

impl Bell {
    /// Wakes the thread that sleeps beside the bell, or the next one that would.
    pub fn ring(&self) {
        self.state.lock().rung = true;
        self.sleeper.notify_one();
    }

    /// Sleeps until rung or for `at_most`; `until` is what watchers see.
    fn sleep(&self, until: Until, at_most: Option<Duration>) {
        let mut state = self.state.lock();
        state.asleep = Some(until);
        self.watchers.notify_all();
        if !state.rung {
            match at_most {
                Some(at_most) => drop(self.sleeper.wait_for(&mut state, at_most)),
                None => self.sleeper.wait(&mut state),
            }
        }
        state.asleep = None;
        state.rung = false;
    }

    /// Waits until the thread sleeps past `now`; answers until when, `None` for ever or for a closed bell.
    fn settled(&self, now: Moment) -> Until {
        let mut state = self.state.lock();
        loop {
            match state.asleep {
                _ if state.closed => return None,
                Some(until) if !state.rung && until.is_none_or(|until| until > now) => return until,
                _ => self.watchers.wait(&mut state),
            }
        }
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts at zero, now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(0) + self.start.elapsed()
    }

    fn wall_ns(&self) -> u64 {
        // A wall clock before 1970 is the machine's mistake; it reads as 1970.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleeper(&self) -> Sleeper {
        Sleeper::default()
    }

    fn sleep(&self, sleeper: &Sleeper, until: Option<Moment>) {
        sleeper.0.sleep(until, until.map(|until| until.since(self.now())));
    }
}

/// A clock that stands still until it is told to go on: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<Time>,
    /// One `advance` at a time.
    advancing: Mutex<()>,
}

#[derive(Debug)]
struct Time {
    now: Moment,
    bells: Vec<Weak<Bell>>,
}

/// Where a [`ManualClock`]'s wall clock starts: 2026-01-01T00:00:00Z.
const MANUAL_WALL_START_NS: u64 = 1_767_225_600_000_000_000;

impl ManualClock {
    /// Starts at zero, on 2026-01-01.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { time: Mutex::new(Time { now: Moment(0), bells: Vec::new() }), advancing: Mutex::new(()) })
    }

    /// Lets `by` pass, one deadline after the other: every thread that sleeps on this clock wakes at its own deadline
    /// and sleeps again before time goes on. What it hands to other threads may still be under way on return.
    ///
    /// Blocks for as long as a woken thread works. Called from such a thread it would wait for itself.
    pub fn advance(&self, by: Duration) {
        let _one = self.advancing.lock();
        let target = self.now() + by;
        loop {
            let now = self.now();
            let bells = self.bells();
            let next = bells.iter().filter_map(|bell| bell.settled(now)).min();
            let next = next.filter(|next| *next <= target);
            let mut time = self.time.lock();
            if time.bells.len() != bells.len() {
                continue; // A new sleeper came meanwhile: ask it too.
            }
            time.now = next.unwrap_or(target);
            drop(time);
            if next.is_none() {
                return;
            }
            bells.iter().for_each(|bell| bell.ring());
        }
    }

    fn bells(&self) -> Vec<Arc<Bell>> {
        let mut time = self.time.lock();
        time.bells.retain(|bell| bell.strong_count() > 0);
        time.bells.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        self.time.lock().now
    }

    fn wall_ns(&self) -> u64 {
        MANUAL_WALL_START_NS + self.now().0
    }

    fn sleeper(&self) -> Sleeper {
        let sleeper = Sleeper::default();
        self.time.lock().bells.push(Arc::downgrade(&sleeper.0));
        sleeper
    }

    fn sleep(&self, sleeper: &Sleeper, until: Option<Moment>) {
        // Time stands still meanwhile: `advance` waits until this thread sleeps.
        if until.is_none_or(|until| until > self.now()) {
            sleeper.0.sleep(until, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn a_ring_before_the_sleep_is_not_lost() {
        let clock = SystemClock::new();
        let sleeper = clock.sleeper();
        sleeper.bell().ring();
        clock.sleep(&sleeper, None);
    }

    #[test]
    fn a_manual_clock_wakes_each_sleeper_at_its_own_deadline() {
        let clock = ManualClock::new();
        let (woken, seen) = mpsc::channel();
        let sleeper = clock.sleeper();
        let thread = thread::spawn({
            let clock = Arc::clone(&clock);
            move || {
                for deadline in [10, 25, 40] {
                    let deadline = Moment(0) + Duration::from_secs(deadline);
                    while clock.now() < deadline {
                        clock.sleep(&sleeper, Some(deadline));
                    }
                    woken.send(clock.now()).expect("the test listens");
                }
            }
        });
        clock.advance(Duration::from_secs(30));
        let seconds = |moments: Vec<Moment>| moments.iter().map(|m| m.0 / 1_000_000_000).collect::<Vec<_>>();
        assert_eq!(seconds(seen.try_iter().collect()), [10, 25]);
        clock.advance(Duration::from_secs(30));
        assert_eq!(seconds(seen.try_iter().collect()), [40]);
        thread.join().expect("the thread ends");
        assert_eq!(clock.now(), Moment(0) + Duration::from_secs(60));
    }
}
