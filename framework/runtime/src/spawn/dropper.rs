//! Where instances end: on a thread for which nobody waits.
//!
//! A destructor is the actor's code: it may take its time, or never return. So neither the supervisor, nor a turn, nor
//! whoever stops an actor runs one. They are run one after the other, and watched as turns are: behind one that hangs,
//! another thread goes on with the rest.

use super::makers::Makers;
use super::watch::{Watch, Watches};
use crate::cell::slot::Slot;
use crate::cell::{Cell, Instance};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module.
pub(crate) struct Dropper {
    queue: Mutex<Queue>,
    makers: Arc<Makers>,
    watches: Arc<Watches>,
}

#[derive(Default)]
struct Queue {
    /// With their cells, for the watchdog to name.
    waiting: VecDeque<(Arc<Cell>, Instance)>,
    at_work: Option<Arc<Watch>>,
    /// Who waits until nothing is left.
    until_idle: Vec<Arc<Slot<()>>>,
}

impl Dropper {
    pub(crate) fn new(makers: Arc<Makers>, watches: Arc<Watches>) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), makers, watches })
    }

    /// Drops an instance of the cell, later and elsewhere.
    pub(crate) fn drop(self: &Arc<Self>, cell: &Arc<Cell>, instance: Instance) {
        let mut queue = self.queue.lock();
        queue.waiting.push_back((Arc::clone(cell), instance));
        let start = queue.at_work.is_none().then(|| queue.begin(&self.watches));
        drop(queue);
        if let Some(watch) = start {
            self.start(watch);
        }
    }

    /// What is filled when everything that waits now is dropped, or hangs. `None`: nothing waits.
    pub(crate) fn until_idle(&self) -> Option<Arc<Slot<()>>> {
        let mut queue = self.queue.lock();
        queue.at_work.as_ref()?;
        let slot = Arc::new(Slot::new());
        queue.until_idle.push(Arc::clone(&slot));
        Some(slot)
    }

    /// The thread with this watch hangs: if it is the one at work here, another goes on in its stead.
    pub(crate) fn give_up(self: &Arc<Self>, hanging: &Arc<Watch>) {
        let mut queue = self.queue.lock();
        if !queue.is_at_work(hanging) {
            return;
        }
        if queue.waiting.is_empty() {
            queue.end();
            return;
        }
        let watch = queue.begin(&self.watches);
        drop(queue);
        self.start(watch);
    }

    fn start(self: &Arc<Self>, watch: Arc<Watch>) {
        let (this, mine) = (Arc::clone(self), Arc::clone(&watch));
        if self.makers.hand(Box::new(move || this.work(&mine))).is_err() {
            self.work(&watch); // No thread: better here than never.
        }
    }

    fn work(&self, watch: &Arc<Watch>) {
        while let Some((cell, instance)) = self.next(watch) {
            watch.drops(&cell, instance);
        }
        // Not taken out here: the watchdog is to see that what it reported has returned.
        watch.ends();
    }

    fn next(&self, watch: &Arc<Watch>) -> Option<(Arc<Cell>, Instance)> {
        let mut queue = self.queue.lock();
        if !queue.is_at_work(watch) {
            return None; // It was given up, and has come back after all.
        }
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.end();
        }
        next
    }
}

impl Queue {
    fn begin(&mut self, watches: &Arc<Watches>) -> Arc<Watch> {
        Arc::clone(self.at_work.insert(watches.add()))
    }

    fn is_at_work(&self, watch: &Arc<Watch>) -> bool {
        self.at_work.as_ref().is_some_and(|at_work| Arc::ptr_eq(at_work, watch))
    }

    fn end(&mut self) {
        self.at_work = None;
        for slot in self.until_idle.drain(..) {
            // One that was filled by its deadline waits no longer.
            let _ = slot.fill(());
        }
    }
}
