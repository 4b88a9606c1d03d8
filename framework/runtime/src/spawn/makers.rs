//! Threads on which instances are made and dropped: code that hangs there costs a thread, and the one who waits gets an
//! answer.

use parking_lot::Mutex;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Looks before a thread sleeps: some microseconds.
const LOOKS_MAX: u32 = 20;
/// Idle threads that are kept.
const IDLE_THREADS_MAX: usize = 8;

/// Threads that come back after each job, if it ends.
pub(crate) struct Makers {
    idle: Mutex<Vec<(ThreadId, Sender<Job>)>>,
    /// How long one stays without a job.
    idle_for: Duration,
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum NotMade {
    /// Not in time; the thread is left behind, and what it makes is dropped.
    Late,
    /// No thread.
    NoThread(String),
}

impl Makers {
    pub(crate) fn new(idle_for: Duration) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), idle_for })
    }

    /// Runs `job` on another thread and waits at most `timeout`.
    pub(crate) fn make<T: Send + 'static>(
        self: &Arc<Self>,
        timeout: Duration,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotMade> {
        let (done, result) = mpsc::sync_channel(1);
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        self.hand(Box::new(move || {
            begins.store(true, Ordering::Relaxed);
            drop(done.send(job()));
        }))?;
        match soon(|| result.try_recv()).map_or_else(|| result.recv_timeout(timeout), Ok) {
            Ok(made) => Ok(made),
            Err(RecvTimeoutError::Timeout) if begun.load(Ordering::Relaxed) => Err(NotMade::Late),
            // Not the code's fault: where the dynamic loader's lock is held for ever, no thread begins.
            Err(RecvTimeoutError::Timeout) => Err(NotMade::NoThread(format!("none began within {timeout:?}"))),
            Err(RecvTimeoutError::Disconnected) => Err(NotMade::NoThread("the job panicked".to_owned())),
        }
    }

    /// Runs `job` on another thread, for which nobody waits. Where there is no thread, the job is dropped.
    pub(crate) fn hand(self: &Arc<Self>, mut job: Job) -> Result<(), NotMade> {
        loop {
            let idle = self.idle.lock().pop();
            let thread = match idle {
                Some((_, thread)) => thread,
                None => self.spawn()?,
            };
            match thread.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(back)) => job = back, // That thread has ended: the next one.
            }
        }
    }

    fn spawn(self: &Arc<Self>) -> Result<Sender<Job>, NotMade> {
        let (jobs, mine) = mpsc::channel();
        let (again, makers, idle_for) = (jobs.clone(), Arc::downgrade(self), self.idle_for);
        let thread = thread::Builder::new().name("teneral-maker".into());
        let spawned = thread.spawn(move || work(&mine, &again, &makers, idle_for));
        spawned.map(|_| jobs).map_err(|error| NotMade::NoThread(error.to_string()))
    }

    /// Takes this thread off the idle ones. `false`: it is not there.
    fn leave(&self) -> bool {
        let mut idle = self.idle.lock();
        let place = idle.iter().position(|(thread, _)| *thread == thread::current().id());
        place.map(|place| idle.swap_remove(place)).is_some()
    }
}

/// Looks for a moment for what most likely is about to come: falling asleep and being woken costs more than making an
/// instance, and whoever starts one actor mostly starts another.
fn soon<T>(look: impl Fn() -> Result<T, TryRecvError>) -> Option<T> {
    (0..LOOKS_MAX).find_map(|_| {
        (0..32).for_each(|_| spin_loop());
        look().ok()
    })
}

fn work(jobs: &Receiver<Job>, again: &Sender<Job>, makers: &Weak<Makers>, idle_for: Duration) {
    loop {
        // The sender that keeps the channel open lies with the idle ones, and goes when they go.
        let job = match soon(|| jobs.try_recv()).map_or_else(|| jobs.recv_timeout(idle_for), Ok) {
            Ok(job) => job,
            Err(_) if makers.upgrade().is_some_and(|makers| makers.leave()) => return,
            // Somebody took it off to give it a job, which is on its way, or there: nobody else would find it.
            Err(_) if makers.strong_count() > 0 => match jobs.recv() {
                Ok(job) => job,
                Err(_) => return,
            },
            Err(_) => match jobs.try_recv() {
                Ok(job) => job,
                Err(_) => return,
            },
        };
        job();
        let Some(makers) = makers.upgrade() else { return };
        let mut idle = makers.idle.lock();
        if idle.len() >= IDLE_THREADS_MAX {
            return;
        }
        idle.push((thread::current().id(), again.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_for_a_thread_that_is_about_to_leave_is_done() {
        // It leaves as soon as it has nothing to do, which is when the next job comes.
        let makers = Makers::new(Duration::ZERO);
        for number in 0..20_000 {
            let made = makers.make(Duration::from_secs(30), move || number);
            assert_eq!(made.expect("it is done"), number);
        }
    }
}
