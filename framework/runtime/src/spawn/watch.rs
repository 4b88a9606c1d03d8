//! What a thread is doing, for whoever looks from outside.
//!
//! A turn writes one word of its own and reads no clock: the watchdog has the clock, and a word that stays the same for
//! too long is a turn that hangs.

use crate::cell::envelope::{ENDING, NO_INDEX};
use crate::cell::{Cell, Instance};
use crate::ports::{Digest, Provider};
use crate::speaking::{Speaker, Speaking};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// One thread that runs turns.
pub(crate) struct Watch {
    /// Which turn, counted, above; the message's index, below.
    word: AtomicU64,
    cell: Mutex<Option<Runs>>,
    seen: Mutex<Seen>,
    /// The turn waits for the code of somebody else, who has a deadline of his own.
    waits: AtomicBool,
    /// A turn that was given up, by its word: it is its actor's no longer. No turn's word is 0.
    given_up: AtomicU64,
    /// Its thread is none of its pool's any more, because of such a turn: it ends when that returns.
    lost: AtomicBool,
    /// The thread has ended: the watchdog is the last that looks.
    ended: AtomicBool,
    /// Whose list it is in. As long as this is held no other list has the same address.
    owner: Weak<Watches>,
}

/// Whose code runs.
#[derive(Clone)]
struct Runs {
    cell: Arc<Cell>,
    /// `None`: of the version that serves; else of that one, whose instance is dropped, and which may serve no more.
    code: Option<Arc<dyn Provider>>,
}

/// What the watchdog saw last.
struct Seen {
    word: u64,
    since: Instant,
    /// It was reported, with the artifact whose code it is.
    reported: Option<Digest>,
}

/// What the watchdog finds when it looks.
pub(crate) enum Look {
    /// Nothing that has not moved.
    Moves,
    /// A turn that was reported is over: its code was slow, and does not hang.
    Returned(Digest),
    /// The turn that has been running since before the last look.
    Runs(Running),
}

/// A turn that is under way.
pub(crate) struct Running {
    pub(crate) cell: Arc<Cell>,
    /// Whose code it is.
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) index: u32,
    pub(crate) running_for: Duration,
}

impl Watch {
    /// A turn begins.
    pub(crate) fn turn(&self, index: u32) {
        let number = (self.word.load(Relaxed) >> 32) + 1;
        self.word.store(number << 32 | u64::from(index), Relaxed);
    }

    /// Turns so far.
    pub(crate) fn turns(&self) -> u64 {
        self.word.load(Relaxed) >> 32
    }

    /// Runs one activation under this watch.
    pub(crate) fn run(&self, cell: &Arc<Cell>) {
        self.begin(Runs { cell: Arc::clone(cell), code: None }, 0);
        let _speaking = Speaking::of(cell);
        // A thread of the pool is not the price of a panic in what is no actor's code.
        if catch_unwind(AssertUnwindSafe(|| cell.activate(self))).is_err() {
            cell.broke();
        }
        *self.cell.lock() = None;
    }

    /// Drops an instance under this watch.
    pub(super) fn drops(&self, cell: &Arc<Cell>, instance: Instance) {
        self.begin(Runs { cell: Arc::clone(cell), code: Some(Arc::clone(&instance.provider)) }, ENDING);
        let _speaking = Speaking::of(cell);
        if catch_unwind(AssertUnwindSafe(|| drop(instance))).is_err() {
            let Speaker { addr, version, generation } = cell.speaker();
            let (kind, generation) = (addr.kind(), generation.0);
            tracing::error!(actor = %addr, kind, %version, generation, "a panic while its instance was dropped");
        }
        *self.cell.lock() = None;
    }

    /// The word first: whoever sees this cell sees that another turn has begun.
    fn begin(&self, runs: Runs, index: u32) {
        self.waits.store(false, Relaxed);
        self.turn(index);
        *self.cell.lock() = Some(runs);
    }

    /// Takes the thread out of its pool, if a turn that was given up has it; once.
    pub(super) fn lose(&self) -> bool {
        let given_up = self.given_up.load(Relaxed);
        given_up != 0 && given_up == self.word.load(Relaxed) && !self.lost.swap(true, Relaxed)
    }

    /// An activation is over: whether it was given up, and its thread is its pool's no longer.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Whether a turn that was given up has returned before anybody else has noticed.
    pub(super) fn may_be_lost(&self) -> bool {
        self.given_up.load(Relaxed) != 0
    }

    /// The thread ends. Whoever looks next sees that its turn has returned, and nobody does after that.
    pub(super) fn ends(&self) {
        self.turn(NO_INDEX);
        self.ended.store(true, Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Acquire)
    }

    /// Its thread is free for other work.
    pub(super) fn is_back(&self) {
        self.given_up.store(0, Relaxed);
    }

    /// Called by the watchdog alone.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let word = self.word.load(Relaxed);
        let runs = self.cell.lock().clone();
        // Once more: between the two, that turn may have ended, and the cell is the next one's.
        let same = self.word.load(Relaxed) == word;
        let mut seen = self.seen.lock();
        let Some(Runs { cell, code }) = runs.filter(|_| same && seen.word == word && !self.waits.load(Relaxed)) else {
            let before = std::mem::replace(&mut *seen, Seen { word, since: now, reported: None });
            return before.reported.map_or(Look::Moves, Look::Returned);
        };
        let (index, running_for) = (word as u32, now.duration_since(seen.since));
        let provider = code.unwrap_or_else(|| cell.provider());
        Look::Runs(Running { cell, provider, index, running_for })
    }

    /// Whether this turn, of that artifact's code, is reported for the first time.
    pub(crate) fn report(&self, code: impl FnOnce() -> Digest) -> bool {
        let mut seen = self.seen.lock();
        let first = seen.reported.is_none();
        // Of one that was given up another version may serve by now.
        seen.reported.get_or_insert_with(code);
        first
    }

    /// Whose code does not return in a turn of this cell, as far as it is reported. A destructor is no turn.
    fn hangs(&self, cell: &Arc<Cell>) -> Option<Digest> {
        self.runs(cell).filter(|index| *index != ENDING)?;
        let seen = self.seen.lock();
        seen.reported.filter(|_| seen.word == self.word.load(Relaxed))
    }

    fn runs(&self, cell: &Arc<Cell>) -> Option<u32> {
        let running = self.cell.lock();
        let word =
            running.as_ref().filter(|running| Arc::ptr_eq(&running.cell, cell)).map(|_| self.word.load(Relaxed))?;
        (word != self.given_up.load(Relaxed)).then_some(word as u32)
    }
}

/// All threads that run turns.
#[derive(Default)]
pub(crate) struct Watches {
    all: Mutex<Vec<Arc<Watch>>>,
}

impl Watches {
    /// A new thread's watch.
    pub(crate) fn add(self: &Arc<Self>) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            word: AtomicU64::new(0),
            cell: Mutex::new(None),
            seen: Mutex::new(Seen { word: 0, since: Instant::now(), reported: None }),
            waits: AtomicBool::new(false),
            given_up: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            owner: Arc::downgrade(self),
        });
        self.all.lock().push(Arc::clone(&watch));
        watch
    }

    pub(crate) fn owns(self: &Arc<Self>, watch: &Watch) -> bool {
        std::ptr::eq(watch.owner.as_ptr(), Arc::as_ptr(self))
    }

    pub(crate) fn remove(&self, watch: &Arc<Watch>) {
        self.all.lock().retain(|other| !Arc::ptr_eq(other, watch));
    }

    pub(crate) fn list(&self) -> Vec<Arc<Watch>> {
        self.all.lock().clone()
    }

    /// The index of the message that the cell handles right now, if it does.
    pub(crate) fn handling(&self, cell: &Arc<Cell>) -> Option<u32> {
        self.all.lock().iter().find_map(|watch| watch.runs(cell))
    }

    /// The artifact whose code hangs in a turn of the cell, if one does.
    pub(crate) fn hangs(&self, cell: &Arc<Cell>) -> Option<Digest> {
        self.all.lock().iter().find_map(|watch| watch.hangs(cell))
    }

    /// Which message the turn of the cell handles that hangs; `None`: none does.
    pub(crate) fn hanging(&self, cell: &Arc<Cell>) -> Option<u32> {
        self.all.lock().iter().find(|watch| watch.hangs(cell).is_some()).and_then(|watch| watch.runs(cell))
    }

    /// The turn that the cell is in is its no longer.
    pub(crate) fn give_up(&self, cell: &Arc<Cell>) {
        for watch in self.all.lock().iter().filter(|watch| watch.runs(cell).is_some()) {
            watch.given_up.store(watch.word.load(Relaxed), Relaxed);
        }
    }

    /// How many threads run turns that were given up.
    pub(crate) fn lost(&self) -> usize {
        self.all.lock().iter().filter(|watch| watch.is_lost() && !watch.has_ended()).count()
    }

    /// All cells with a turn that does not return, each with the artifact whose code that is, as far as it is reported.
    pub(crate) fn hung(&self) -> Vec<(Arc<Cell>, Digest)> {
        let hung = |watch: Arc<Watch>| {
            let cell = watch.cell.lock().as_ref().map(|runs| Arc::clone(&runs.cell))?;
            let digest = watch.hangs(&cell)?;
            Some((cell, digest))
        };
        self.list().into_iter().filter_map(hung).collect()
    }

    /// Waits, in a turn of this cell, for the code of somebody else: that is no hang of the cell's own code.
    pub(crate) fn wait<T>(&self, cell: &Arc<Cell>, for_others: impl FnOnce() -> T) -> T {
        let watch = self.all.lock().iter().find(|watch| watch.runs(cell).is_some()).cloned();
        let waits = |waits| watch.iter().for_each(|watch| watch.waits.store(waits, Relaxed));
        waits(true);
        let done = for_others();
        waits(false);
        done
    }
}

/// The watches of a thread that is not ours, one a runtime; they go with the thread.
#[derive(Default)]
pub(super) struct Borrowed(Vec<Arc<Watch>>);

impl Borrowed {
    /// This thread's watch in that list.
    pub(super) fn watch(&mut self, watches: &Arc<Watches>) -> Arc<Watch> {
        if let Some(mine) = self.0.iter().find(|watch| watches.owns(watch)) {
            return Arc::clone(mine);
        }
        self.0.retain(|watch| watch.owner.strong_count() > 0);
        let mine = watches.add();
        self.0.push(Arc::clone(&mine));
        mine
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for watch in &self.0 {
            if let Some(owner) = watch.owner.upgrade() {
                owner.remove(watch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_thread_is_watched_once_for_each_runtime_and_as_long_as_it_is_there() {
        let (one, other) = (Arc::<Watches>::default(), Arc::<Watches>::default());
        let mut thread = Borrowed::default();
        let first = thread.watch(&one);
        for _ in 0..10 {
            assert!(other.owns(&thread.watch(&other)));
            assert!(Arc::ptr_eq(&thread.watch(&one), &first));
        }
        assert_eq!((one.list().len(), other.list().len()), (1, 1));
        // A list that comes later is another one, wherever it lies.
        drop(other);
        for _ in 0..10 {
            let later = Arc::<Watches>::default();
            assert!(later.list().is_empty() && later.owns(&thread.watch(&later)));
            assert_eq!((later.list().len(), thread.0.len()), (1, 2));
        }
        drop(thread);
        assert!(one.list().is_empty());
    }
}
