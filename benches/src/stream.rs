//! 20,000 messages a second to one ledger, and what their sender sees: the same two processes that
//! `bench_peer:caster` and `bench_peer:caller` are, as tokio tasks.

use crate::{ours::Ours, work::Counter};
use ledger_api::Get;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::sleep};

/// Between two tells, and between two calls.
const EVERY: Duration = Duration::from_micros(100);
/// Far beyond what any upgrade here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// See the module. Ended by [`Stream::stop`].
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
struct Shared {
    /// To whom; counted, so that a task can say which one it has seen.
    target: Mutex<(u64, Option<Target>)>,
    /// The last target that the caster and the caller have seen.
    seen: [AtomicU64; 2],
    told: AtomicU64,
    longest_ns: AtomicU64,
    calls_ns: Mutex<Vec<u64>>,
    ends: AtomicBool,
}

#[derive(Debug, Clone)]
struct Target {
    actor: Ours,
    accounts: u64,
}

impl Shared {
    fn target(&self, of: usize) -> Option<Target> {
        let (number, target) = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.seen[of].store(number, SeqCst);
        target
    }
}

impl Stream {
    /// Starts the two, on the current tokio, without anybody to send to.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = [tokio::spawn(caster(Arc::clone(&shared))), tokio::spawn(caller(Arc::clone(&shared)))];
        Self { shared, tasks }
    }

    /// Sends to `actor`, which has so many accounts, from now on.
    pub async fn turn_to(&self, actor: &Ours, accounts: u64) {
        self.shared.told.store(0, SeqCst);
        self.set(Some(Target { actor: actor.clone(), accounts })).await;
        self.window();
    }

    /// Sends to nobody, and checks that what was told was handled, each once.
    ///
    /// # Panics
    /// When a message was lost or doubled.
    pub async fn turn_away(&self, actor: &Ours) {
        self.set(None).await;
        assert_eq!(actor.count().await, self.shared.told.load(SeqCst), "every message is handled once");
    }

    async fn set(&self, target: Option<Target>) {
        let number = {
            let mut place = self.shared.target.lock().unwrap_or_else(PoisonError::into_inner);
            *place = (place.0 + 1, target);
            place.0
        };
        while self.shared.seen.iter().any(|seen| seen.load(SeqCst) != number) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The longest time without a reply since the last window.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.shared.longest_ns.swap(0, SeqCst))
    }

    /// What each call took since they were last taken, in nanoseconds.
    #[must_use]
    pub fn calls_ns(&self) -> Vec<u64> {
        std::mem::take(&mut *self.shared.calls_ns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the two.
    ///
    /// # Panics
    /// When one of them did.
    pub async fn stop(self) {
        self.shared.ends.store(true, SeqCst);
        for task in self.tasks {
            task.await.expect("neither of them panics");
        }
    }
}

/// Each millisecond, the tells that are due.
async fn caster(shared: Arc<Shared>) {
    let (mut since, mut sent) = (Instant::now(), 0);
    while !shared.ends.load(SeqCst) {
        let due = (since.elapsed().as_nanos() / EVERY.as_nanos()) as u64;
        match shared.target(0) {
            Some(target) => {
                for _ in sent..due {
                    target.actor.add().await;
                    shared.told.fetch_add(1, SeqCst);
                }
                sent = sent.max(due);
            }
            None => (since, sent) = (Instant::now(), 0),
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// A call after the other, none earlier than it is due.
async fn caller(shared: Arc<Shared>) {
    let (mut next, mut last, mut calls) = (Instant::now(), Instant::now(), 0);
    while !shared.ends.load(SeqCst) {
        let Some(target) = shared.target(1) else {
            sleep(Duration::from_millis(1)).await;
            (next, last) = (Instant::now(), Instant::now());
            continue;
        };
        while Instant::now() < next {
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        let get = Get { account: 1 + calls % target.accounts.max(1) };
        target.actor.0.ask(get, TIMEOUT).await.expect("the actor lives");
        let now = Instant::now();
        shared.longest_ns.fetch_max((now - last).as_nanos() as u64, SeqCst);
        shared.calls_ns.lock().unwrap_or_else(PoisonError::into_inner).push((now - asked).as_nanos() as u64);
        (next, last, calls) = ((next + EVERY).max(now), now, calls + 1);
    }
}
