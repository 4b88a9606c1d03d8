//! Timers: things to do at a moment, a million of them pending or cancelled a second, on one thread.
//!
//! A hierarchical wheel ([`Wheel`], no locks and no clock, so it is tested against a naive model) and a service
//! ([`Timers`]: one lock, one thread that sleeps until the next deadline and not at all in between). Both ways in are
//! O(1), and a cancelled entry is freed at once: of a million asks a second, each with five seconds to wait, only those
//! still in flight take room.
//!
//! Why our own: tokio-util's `DelayQueue` lives in tokio's clock, which only a paused single-threaded runtime can
//! drive; `hierarchical_hash_wheel_timer` frees a cancelled entry when its slot comes round. What a library does better
//! is used: the entries live in a `slab`.

use crate::clock::{Bell, Clock, Moment, Sleeper};
use parking_lot::Mutex;
use slab::Slab;
use std::fmt;
use std::sync::Arc;
use std::thread;

/// The granularity: an entry fires at most this long after its moment, and never before it.
pub const TICK_NS: u64 = 1_000_000;

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough for every moment that 64 bits of nanoseconds can name, so that no entry is too far away.
const LEVELS: usize = 8;
/// The end of a list.
const NIL: usize = usize::MAX;
/// The list of what is due, beside those of the slots.
const READY: usize = LEVELS * SLOTS;
/// Entries for which an empty wheel keeps its memory.
const IDLE_ENTRIES_MAX: usize = 1024;
/// Entries taken out under one lock.
const BATCH_ENTRIES_MAX: usize = 64;

/// Names a scheduled entry for ever: a key is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: usize,
    number: u64,
}

/// The wheel: pending payloads by tick, fired in order of their ticks, and in order of scheduling within one.
///
/// An entry sits on the level of the highest digit (base 64) in which its tick differs from the time reached, in the
/// slot of that digit. So the first occupied slot of the lowest occupied level is always next, and when time reaches
/// that slot its entries move to lower levels, in order.
pub struct Wheel<T> {
    reached: u64,
    entries: Slab<Entry<T>>,
    lists: Box<[List; READY + 1]>,
    /// One bit a slot.
    occupied: [u64; LEVELS],
    scheduled: u64,
}

#[derive(Clone, Copy)]
struct List {
    first: usize,
    last: usize,
}

struct Entry<T> {
    payload: T,
    tick: u64,
    number: u64,
    list: usize,
    previous: usize,
    next: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel at tick 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reached: 0,
            entries: Slab::new(),
            lists: Box::new([List { first: NIL, last: NIL }; READY + 1]),
            occupied: [0; LEVELS],
            scheduled: 0,
        }
    }

    /// Adds an entry for `tick`; one that time has reached already is due at once.
    pub fn insert(&mut self, tick: u64, payload: T) -> TimerKey {
        let number = self.scheduled;
        self.scheduled += 1;
        let index = self.entries.insert(Entry { payload, tick, number, list: READY, previous: NIL, next: NIL });
        self.place(index);
        TimerKey { index, number }
    }

    /// Takes an entry back, unless it has been taken out before.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        self.entries.get(key.index).filter(|entry| entry.number == key.number)?;
        Some(self.take(key.index))
    }

    /// Takes the next entry that is due at tick `now`. `None`: none is, and time has reached `now`.
    pub fn pop(&mut self, now: u64) -> Option<T> {
        loop {
            let first = self.lists[READY].first;
            if first != NIL {
                return Some(self.take(first));
            }
            match self.next_slot().filter(|(at, _)| *at <= now) {
                Some((at, list)) => self.reach(at, list),
                None => {
                    self.reached = self.reached.max(now);
                    return None;
                }
            }
        }
    }

    /// The tick at which to call [`Wheel::pop`] again: that of the next entry, or an earlier one at which far entries
    /// come closer. `None`: the wheel is empty.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        if self.lists[READY].first != NIL {
            return Some(self.reached);
        }
        self.next_slot().map(|(at, _)| at)
    }

    /// Entries pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first tick of the next occupied slot, and its list.
    fn next_slot(&self) -> Option<(u64, usize)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = SLOT_BITS * level as u32;
        let above = self.reached >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some((above | (slot as u64) << shift, level * SLOTS + slot))
    }

    /// Time reaches the first tick of a slot: its entries come closer, in their order.
    fn reach(&mut self, at: u64, list: usize) {
        self.reached = at;
        let mut index = self.lists[list].first;
        while index != NIL {
            let next = self.entries[index].next;
            self.unlink(index);
            self.place(index);
            index = next;
        }
    }

    fn place(&mut self, index: usize) {
        let tick = self.entries[index].tick;
        let list = if tick <= self.reached {
            READY
        } else {
            let level = (tick ^ self.reached).ilog2() / SLOT_BITS;
            let slot = (tick >> (SLOT_BITS * level)) as usize % SLOTS;
            self.occupied[level as usize] |= 1 << slot;
            level as usize * SLOTS + slot
        };
        let last = self.lists[list].last;
        let entry = &mut self.entries[index];
        (entry.list, entry.previous, entry.next) = (list, last, NIL);
        self.lists[list].last = index;
        match last {
            NIL => self.lists[list].first = index,
            last => self.entries[last].next = index,
        }
    }

    fn unlink(&mut self, index: usize) {
        let Entry { list, previous, next, .. } = self.entries[index];
        match previous {
            NIL => self.lists[list].first = next,
            previous => self.entries[previous].next = next,
        }
        match next {
            NIL => self.lists[list].last = previous,
            next => self.entries[next].previous = previous,
        }
        if list != READY && self.lists[list].first == NIL {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    fn take(&mut self, index: usize) -> T {
        self.unlink(index);
        let payload = self.entries.remove(index).payload;
        if self.entries.is_empty() && self.entries.capacity() > IDLE_ENTRIES_MAX {
            self.entries = Slab::new(); // A burst is over: give its memory back.
        }
        payload
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wheel({} pending at tick {})", self.len(), self.reached)
    }
}

/// The timer service: a wheel, a clock and a thread. How many entries there are is bounded by who schedules them: one
/// per ask in flight, per lease, per outbox, and each actor's own timers.
///
/// Dropping it stops the thread; what is pending never fires.
pub struct Timers<T> {
    shared: Arc<Shared<T>>,
    clock: Arc<dyn Clock>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    bell: Arc<Bell>,
}

struct State<T> {
    wheel: Wheel<T>,
    /// Until which tick the thread sleeps; `None`: for ever.
    armed: Option<u64>,
    run: Run,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    On,
    Off,
}

impl<T: Send + 'static> Timers<T> {
    /// Starts the thread. `fire` is called on it with what is due: in order of moments, ties in order of scheduling.
    /// It may schedule and cancel. While it works nothing else fires: it hands over and returns.
    ///
    /// # Errors
    /// What the system says when it has no thread left.
    pub fn start(clock: Arc<dyn Clock>, fire: impl FnMut(T) + Send + 'static) -> std::io::Result<Self> {
        let state = State { wheel: Wheel::new(), armed: None, run: Run::On };
        let sleeper = clock.sleeper();
        let shared = Arc::new(Shared { state: Mutex::new(state), bell: sleeper.bell() });
        thread::Builder::new().name("teneral-timer".into()).spawn({
            let (shared, clock) = (Arc::clone(&shared), Arc::clone(&clock));
            move || run(&shared, &*clock, &sleeper, fire)
        })?;
        Ok(Self { shared, clock })
    }

    /// Fires `payload` at `at`, at once when that has passed.
    pub fn schedule(&self, at: Moment, payload: T) -> TimerKey {
        let tick = at.0.div_ceil(TICK_NS);
        let mut state = self.shared.state.lock();
        let key = state.wheel.insert(tick, payload);
        if state.armed.is_none_or(|armed| tick < armed) {
            state.armed = Some(tick);
            drop(state);
            self.shared.bell.ring();
        }
        key
    }

    /// Takes an entry back. `None`: it has fired, is being fired, or was cancelled before.
    pub fn cancel(&self, key: TimerKey) -> Option<T> {
        self.shared.state.lock().wheel.remove(key)
    }

    /// Entries pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().wheel.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clock that drives it.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

impl<T> Drop for Timers<T> {
    fn drop(&mut self) {
        self.shared.state.lock().run = Run::Off;
        self.shared.bell.ring();
    }
}

impl<T> fmt::Debug for Timers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timers({:?})", self.shared.state.lock().wheel)
    }
}

fn run<T>(shared: &Shared<T>, clock: &dyn Clock, sleeper: &Sleeper, mut fire: impl FnMut(T)) {
    let mut due = Vec::with_capacity(BATCH_ENTRIES_MAX);
    loop {
        let mut state = shared.state.lock();
        if state.run == Run::Off {
            return;
        }
        let now = clock.now().0 / TICK_NS;
        while due.len() < BATCH_ENTRIES_MAX
            && let Some(payload) = state.wheel.pop(now)
        {
            due.push(payload);
        }
        state.armed = state.wheel.next_tick();
        let until = state.armed.map(|tick| Moment(tick.saturating_mul(TICK_NS)));
        drop(state);
        if due.is_empty() {
            clock.sleep(sleeper, until);
        }
        due.drain(..).for_each(&mut fire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemClock};
    use proptest::prelude::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// The naive model: a list, searched.
    #[derive(Default)]
    struct Model {
        reached: u64,
        pending: Vec<(u64, u32)>,
    }

    impl Model {
        fn pop(&mut self, now: u64) -> Option<u32> {
            let due = self.pending.iter().enumerate().filter(|(_, (tick, _))| *tick <= now.max(self.reached));
            let first = due.min_by_key(|(place, (tick, _))| (*tick, *place)).map(|(place, _)| place);
            match first {
                Some(place) => {
                    let (tick, payload) = self.pending.remove(place);
                    self.reached = self.reached.max(tick);
                    Some(payload)
                }
                None => {
                    self.reached = self.reached.max(now);
                    None
                }
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Insert { after: u64 },
        InsertPast { before: u64 },
        Remove { which: usize },
        Advance { by: u64, pops_max: usize },
    }

    fn op() -> impl Strategy<Value = Op> {
        // All magnitudes alike, so that every level is used.
        let span = (0..44_u32).prop_flat_map(|bits| 0..(1_u64 << bits).max(2));
        prop_oneof![
            4 => span.clone().prop_map(|after| Op::Insert { after }),
            1 => (0..100_u64).prop_map(|before| Op::InsertPast { before }),
            2 => any::<usize>().prop_map(|which| Op::Remove { which }),
            3 => (span, 0..20_usize).prop_map(|(by, pops_max)| Op::Advance { by, pops_max }),
        ]
    }

    proptest! {
        #![proptest_config(crate::seed::proptest())]

        #[test]
        fn the_wheel_does_what_a_sorted_list_does(ops in prop::collection::vec(op(), 1..200)) {
            let (mut wheel, mut model, mut now) = (Wheel::new(), Model::default(), 0_u64);
            let mut keys = Vec::new();
            for (payload, op) in (0_u32..).zip(ops) {
                match op {
                    Op::Insert { .. } | Op::InsertPast { .. } => {
                        let tick = match op {
                            Op::Insert { after } => now + after,
                            Op::InsertPast { before } => now.saturating_sub(before),
                            _ => unreachable!("matched above"),
                        };
                        keys.push((wheel.insert(tick, payload), payload));
                        // Past moments are due now, after what is due now already.
                        model.pending.push((tick.max(model.reached), payload));
                    }
                    Op::Remove { which } if !keys.is_empty() => {
                        let (key, payload) = keys[which % keys.len()];
                        let place = model.pending.iter().position(|(_, pending)| *pending == payload);
                        prop_assert_eq!(wheel.remove(key), place.map(|place| model.pending.remove(place).1));
                    }
                    Op::Remove { .. } => {}
                    Op::Advance { by, pops_max } => {
                        now += by;
                        for _ in 0..pops_max {
                            let popped = wheel.pop(now);
                            prop_assert_eq!(popped, model.pop(now));
                            if popped.is_none() {
                                break;
                            }
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.pending.len());
                prop_assert_eq!(wheel.is_empty(), wheel.next_tick().is_none());
                let next = model.pending.iter().map(|(tick, _)| *tick).min();
                prop_assert!(wheel.next_tick() <= next, "the thread would oversleep");
            }
        }
    }

    #[test]
    fn a_key_used_up_cancels_nobody_else() {
        let mut wheel = Wheel::new();
        let first = wheel.insert(5, "first");
        assert_eq!(wheel.remove(first), Some("first"));
        let second = wheel.insert(5, "second");
        assert_eq!(wheel.remove(first), None, "the place is taken by another entry now");
        assert_eq!(wheel.remove(second), Some("second"));
    }

    #[test]
    fn cancelled_entries_take_no_room() {
        let mut wheel = Wheel::new();
        for round in 0..100_000_u64 {
            let key = wheel.insert(round + 5_000, round);
            assert_eq!(wheel.remove(key), Some(round));
        }
        assert!(wheel.entries.capacity() <= 4, "room for {} entries", wheel.entries.capacity());
    }

    #[test]
    fn timers_fire_in_due_order_and_ties_in_schedule_order() {
        let clock = ManualClock::new();
        let (fired, seen) = mpsc::channel();
        let timers = Timers::start(clock.clone(), move |name| fired.send(name).expect("the test listens"));
        let timers = timers.expect("a thread");
        for (ms, name) in [(300, "d"), (20, "a"), (300, "e"), (70_000, "f"), (21, "b"), (21, "c")] {
            timers.schedule(Moment(0) + Duration::from_millis(ms), name);
        }
        let cancelled = timers.schedule(Moment(0) + Duration::from_millis(25), "never");
        assert_eq!(timers.cancel(cancelled), Some("never"));
        clock.advance(Duration::from_millis(20));
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["a"]);
        clock.advance(Duration::from_secs(3600));
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["b", "c", "d", "e", "f"]);
        assert!(timers.is_empty());
    }

    #[test]
    fn nothing_fires_before_its_moment_on_the_real_clock() {
        let clock = SystemClock::new();
        let (fired, seen) = mpsc::channel();
        let timers = Timers::start(clock.clone(), {
            let clock = Arc::clone(&clock);
            move |due: Moment| fired.send((due, clock.now())).expect("the test listens")
        });
        let timers = timers.expect("a thread");
        for us in [9_100, 1_500, 4_000, 2_700] {
            let due = clock.now() + Duration::from_micros(us);
            timers.schedule(due, due);
        }
        for _ in 0..4 {
            let (due, at) = seen.recv_timeout(Duration::from_secs(30)).expect("it fires");
            assert!(at >= due, "{at:?} is before {due:?}");
        }
    }

    #[test]
    fn a_dropped_service_ends_its_thread() {
        let clock = ManualClock::new();
        let (held, gone) = mpsc::channel::<()>();
        let timers = Timers::start(clock, move |()| drop(held.clone())).expect("a thread");
        drop(timers);
        let ended = gone.recv_timeout(Duration::from_secs(30));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
