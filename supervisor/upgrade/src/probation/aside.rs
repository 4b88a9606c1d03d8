//! A thread for what may never return: the code of the version before, on a way back.
//!
//! Whoever goes back keeps the pause, and lends the code only what may be lost with it. So the actor stays paused when
//! the code hangs, and what was not lent is there for another way.

use crate::lanes::{Probe, text_of};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::Runtime;
use teneral_runtime::ports::{Fault, FaultKind, Provider};

/// Runs code beside whoever waits for it.
pub(super) struct Aside {
    pub(super) runtime: Runtime,
    /// How much longer than it may take it is waited for.
    pub(super) hang_after: Duration,
}

/// A thread that waits for its job. It is had before a job is given anything: a thread that is not to be had would take
/// that with it.
pub(super) struct Hand(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Hand {
    pub(super) fn new() -> io::Result<Self> {
        let (hand, job) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let run = move || job.recv().into_iter().for_each(|job| job());
        std::thread::Builder::new().name("rollback-actor".to_owned()).spawn(run)?;
        Ok(Self(hand))
    }
}

/// Why there is nothing.
pub(super) enum NotDone {
    /// The code has not returned within this: its thread is lost, and its version in quarantine until it does.
    Hangs(Duration),
    /// Its thread broke.
    Broke,
}

impl Aside {
    /// Runs `job`, which runs that code for that actor. What it gives too late is dropped where it was made.
    pub(super) fn run<T: Send + 'static>(
        &self,
        hand: &Hand,
        (code, addr): (&Arc<dyn Provider>, &Addr),
        lost: &Arc<AtomicUsize>,
        budget: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (done, result) = mpsc::channel();
        let probe = Arc::new(Probe::new(Arc::clone(code)));
        let (waited, away, threads_lost) = (budget + self.hang_after, Arc::clone(&probe), Arc::clone(lost));
        let (runtime, digest) = (self.runtime.clone(), code.digest());
        let run = move || {
            let came = job();
            if away.back(&threads_lost) {
                // Whoever waits is there, or this would have been late.
                let _ = done.send(came);
            } else {
                runtime.returned(digest);
            }
        };
        // It waits for nothing else.
        hand.0.send(Box::new(run)).map_err(|_| NotDone::Broke)?;
        match result.recv_timeout(waited) {
            Ok(came) => Ok(came),
            Err(RecvTimeoutError::Disconnected) => Err(NotDone::Broke),
            Err(RecvTimeoutError::Timeout) => {
                // First, so that it finds something to lift, should it return this moment.
                self.runtime.quarantine_while_it_hangs(&**code, &format!("it hung while {addr} went back to it"));
                if probe.give_up(lost) {
                    return Err(NotDone::Hangs(waited));
                }
                self.runtime.returned(digest);
                result.recv().map_err(|_| NotDone::Broke)
            }
        }
    }
}

/// Providers turn panics into faults; one that lets a panic through takes nothing with it that was lent.
pub(super) fn caught<T>(ask: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|panic| Err(Fault::new(FaultKind::Panic, text_of(&*panic))))
}
