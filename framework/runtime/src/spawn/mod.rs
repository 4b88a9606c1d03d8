//! Where turns run: our own growable threads, threads for kinds that block, or the caller's tokio.
//!
//! Turns are synchronous, so a turn that hangs holds its thread. On threads of our own that costs a thread and strands
//! nobody: every queue is shared, and the watchdog adds a thread when all are stuck. On tokio a task spawned by a hung
//! turn would sit in its worker's own slot until the turn ends.

mod dropper;
pub(crate) mod makers;
mod pool;
mod watch;
pub(crate) mod watchdog;

pub(crate) use watch::{Watch, Watches};

use crate::cell::Cell;
use crate::config::{RuntimeConfig, Spawn};
use dropper::Dropper;
use makers::Makers;
use pool::{Grow, Pool, Size};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use watch::Borrowed;

/// How long a thread beyond the usual number stays without work.
const SURPLUS_IDLE: Duration = Duration::from_secs(5);

/// Runs activations.
pub(crate) struct Executor {
    turns: Turns,
    blocking: Arc<Pool>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) dropper: Arc<Dropper>,
}

enum Turns {
    Pool(Arc<Pool>),
    Ambient(tokio::runtime::Handle),
}

thread_local! {
    /// The watches of a thread that is not ours.
    static BORROWED: RefCell<Borrowed> = RefCell::default();
}

impl Executor {
    pub(crate) fn new(config: &RuntimeConfig, spawn: Spawn, makers: Arc<Makers>) -> Self {
        let watches = Arc::new(Watches::default());
        let pool = |name, threads, threads_max, grow| {
            Pool::new(Size { name, threads, threads_max, surplus_idle: SURPLUS_IDLE, grow }, Arc::clone(&watches))
        };
        let turns = match spawn {
            Spawn::Pool => {
                Turns::Pool(pool("teneral-turns", config.threads.max(1), config.threads_max, Grow::WhenStuck))
            }
            Spawn::Ambient(handle) => Turns::Ambient(handle),
        };
        let blocking = pool("teneral-blocking", 0, config.blocking_threads_max, Grow::AtOnce);
        let dropper = Dropper::new(makers, Arc::clone(&watches));
        Self { turns, blocking, watches, dropper }
    }

    pub(crate) fn schedule(&self, cell: Arc<Cell>) {
        if cell.is_blocking() {
            self.blocking.push(cell);
            return;
        }
        match &self.turns {
            Turns::Pool(pool) => pool.push(cell),
            Turns::Ambient(handle) => {
                let watches = Arc::clone(&self.watches);
                drop(handle.spawn(async move { ambient(&cell, &watches) }));
            }
        }
    }

    /// Looks after stuck queues. Called by the watchdog at every tick.
    pub(crate) fn relieve(&self) {
        if let Turns::Pool(pool) = &self.turns {
            pool.relieve();
        }
        self.blocking.relieve();
    }

    /// Ends the threads, each after its turn.
    pub(crate) fn close(&self) {
        if let Turns::Pool(pool) = &self.turns {
            pool.close();
        }
        self.blocking.close();
    }
}

/// One activation on a thread that is not ours.
fn ambient(cell: &Arc<Cell>, watches: &Arc<Watches>) {
    let watch = BORROWED.with_borrow_mut(|borrowed| borrowed.watch(watches));
    watch.run(cell);
}
