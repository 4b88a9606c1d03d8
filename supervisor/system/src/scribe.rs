//! Where an actor's code reads and writes JSON: on threads of its own, bounded, watched.
//!
//! The code runs outside of any turn, so the watchdog of turns does not see it. A conversion that has not returned
//! after `hang_after` is said to hang, as a turn would be: its version is in quarantine until it returns, and is asked
//! for no more JSON meanwhile, so that callers who come again and again do not cost a thread each. A thread that hangs
//! is lost; the threads are not of the caller's tokio, whose end would wait for them.

use crate::SystemError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use teneral_contract::{Addr, Digest};
use teneral_native::NotNative;
use teneral_runtime::ports::{Fault, JsonDone, Provider};
use teneral_runtime::{Runtime, What};
use tokio::runtime::{Builder, Handle, Runtime as Tokio};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

/// What the code came to, or why it did not.
type Done = Result<JsonDone, Fault>;

/// The threads that an actor's code reads and writes JSON on.
#[derive(Debug)]
pub(crate) struct Scribes {
    /// `None` while it is dropped.
    tokio: Option<Tokio>,
    places: Arc<Semaphore>,
    threads_max: usize,
    hanging: Arc<Hanging>,
}

/// Conversions that hang, by the code that does.
#[derive(Debug)]
struct Hanging {
    runtime: Runtime,
    by_code: Mutex<HashMap<Digest, usize>>,
}

/// One conversion under way.
struct Watch {
    done: oneshot::Receiver<Done>,
    begun: Instant,
    /// Given back when it has returned, or is said to hang: then its thread is lost, and others need the place.
    _place: OwnedSemaphorePermit,
    addr: Addr,
    provider: Arc<dyn Provider>,
    hanging: Arc<Hanging>,
    stands: Arc<Mutex<Stands>>,
}

/// Where a conversion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Runs,
    /// It was said to hang: whoever ran it takes that back if it returns after all.
    Hangs,
    Returned,
}

/// Watches to its end what whoever asked waits for no longer.
struct Guard {
    watch: Option<Watch>,
    tokio: Handle,
}

impl Scribes {
    /// Threads for so many conversions at a time; as many may be lost before all JSON is refused.
    ///
    /// # Errors
    /// [`SystemError::Native`]: the machine gave no thread.
    pub(crate) fn new(runtime: Runtime, threads_max: usize) -> Result<Self, SystemError> {
        let threads_max = threads_max.max(1);
        let mut tokio = Builder::new_multi_thread();
        tokio.worker_threads(1).max_blocking_threads(threads_max * 2).thread_name("teneral-json").enable_time();
        let tokio = tokio.build().map_err(|error| SystemError::Native(NotNative::NoThread(error)))?;
        let hanging = Arc::new(Hanging { runtime, by_code: Mutex::default() });
        let places = Arc::new(Semaphore::new(threads_max));
        Ok(Self { tokio: Some(tokio), places, threads_max, hanging })
    }

    /// Runs the code of that actor, waiting at most `timeout` for a place and for its end.
    ///
    /// # Errors
    /// [`SystemError::JsonHung`], [`SystemError::JsonBusy`].
    pub(crate) async fn run(
        &self,
        addr: &Addr,
        provider: Arc<dyn Provider>,
        timeout: Duration,
        ask: impl FnOnce(&dyn Provider) -> Done + Send + 'static,
    ) -> Result<Done, SystemError> {
        let (until, version) = (Instant::now() + timeout, provider.version().clone());
        let hung = |why| SystemError::JsonHung { addr: addr.clone(), why };
        let busy = || SystemError::JsonBusy { addr: addr.clone(), threads_max: self.threads_max };
        self.hanging.unless_it_hangs(&*provider, self.threads_max).map_err(hung)?;
        let place = timeout_at(until, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return Err(busy()) };
        // Whoever waited may have waited for one that hangs.
        self.hanging.unless_it_hangs(&*provider, self.threads_max).map_err(hung)?;
        let Some(mut guard) = self.begin(addr, provider, place, ask) else { return Err(busy()) };
        let (hang_after, done) = (self.hanging.hang_after(), guard.done(until).await);
        match done {
            Some(Ok(done)) => Ok(done),
            // Dropped unsent by a panic only, which the loader catches.
            Some(Err(_)) => Err(hung(format!("the code of {version} broke off in JSON"))),
            None if guard.watch.is_none() => {
                Err(hung(format!("the code of {version} hangs in JSON: it has not returned within {hang_after:?}")))
            }
            None => Err(hung(format!("the code of {version} did not return from JSON within {timeout:?}"))),
        }
    }

    fn begin(
        &self,
        addr: &Addr,
        provider: Arc<dyn Provider>,
        place: OwnedSemaphorePermit,
        ask: impl FnOnce(&dyn Provider) -> Done + Send + 'static,
    ) -> Option<Guard> {
        let tokio = self.tokio.as_ref()?.handle().clone();
        let (send, done) = oneshot::channel();
        let (stands, hanging) = (Arc::new(Mutex::new(Stands::Runs)), Arc::clone(&self.hanging));
        let (addr, begun) = (addr.clone(), Instant::now());
        let watch = Watch {
            done,
            begun,
            _place: place,
            addr,
            provider: Arc::clone(&provider),
            hanging: Arc::clone(&hanging),
            stands: Arc::clone(&stands),
        };
        tokio.spawn_blocking(move || {
            let done = ask(&*provider);
            let before = std::mem::replace(&mut *lock(&stands), Stands::Returned);
            if before == Stands::Hangs {
                hanging.returned(provider.digest());
            }
            // Nobody waits any more, maybe.
            let _ = send.send(done);
        });
        Some(Guard { watch: Some(watch), tokio })
    }
}

impl Drop for Scribes {
    fn drop(&mut self) {
        if let Some(tokio) = self.tokio.take() {
            // Not waited for: what hangs there never ends.
            tokio.shutdown_background();
        }
    }
}

impl Guard {
    /// What it came to; `None` when it has not by then, or hangs, and then there is nothing more to watch.
    async fn done(&mut self, until: Instant) -> Option<Result<Done, oneshot::error::RecvError>> {
        let watch = self.watch.as_mut()?;
        let hang_at = watch.begun + watch.hanging.hang_after();
        let done = timeout_at(until.min(hang_at), &mut watch.done).await.ok();
        if done.is_none() && Instant::now() >= hang_at {
            watch.hangs();
        }
        if done.is_some() || Instant::now() >= hang_at {
            self.watch = None;
        }
        done
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            self.tokio.spawn(watch.until_it_ends());
        }
    }
}

impl Watch {
    async fn until_it_ends(mut self) {
        let hang_at = self.begun + self.hanging.hang_after();
        if timeout_at(hang_at, &mut self.done).await.is_err() {
            self.hangs();
        }
    }

    /// Says once that it hangs, if it has not returned this moment.
    fn hangs(&self) {
        let mut stands = lock(&self.stands);
        if *stands == Stands::Runs {
            *stands = Stands::Hangs;
            self.hanging.note(&self.addr, &*self.provider, self.begun.elapsed());
        }
    }
}

impl Hanging {
    fn hang_after(&self) -> Duration {
        self.runtime.config().hang_after
    }

    /// Why that code is asked for no JSON, if it is not.
    fn unless_it_hangs(&self, provider: &dyn Provider, lost_max: usize) -> Result<(), String> {
        let by_code = lock(&self.by_code);
        let (kind, version, lost) = (provider.kind(), provider.version(), by_code.values().sum::<usize>());
        if by_code.contains_key(&provider.digest()) {
            return Err(format!(
                "the code of {version} hung in JSON and has not returned: {kind} {version} reads none"
            ));
        }
        match lost < lost_max {
            true => Ok(()),
            false => Err(format!("{lost} threads hang in JSON, as many as may: no code reads any until some return")),
        }
    }

    fn note(&self, addr: &Addr, provider: &dyn Provider, running_for: Duration) {
        *lock(&self.by_code).entry(provider.digest()).or_default() += 1;
        let (kind, version, hint) = (provider.kind(), provider.version(), "push a mended version");
        let code = "SYS-JSON-HUNG";
        tracing::error!(code, actor = %addr, kind, %version, ?running_for, hint, "code hangs in JSON");
        let (addr, version, doing) = (addr.clone(), version.clone(), "JSON".to_owned());
        let why = format!("{addr} hung in JSON");
        self.runtime.event_sink().emit(What::Hung { addr, version, doing, running_for });
        self.runtime.quarantine_while_it_hangs(provider, &why);
    }

    /// One that was noted has returned.
    fn returned(&self, code: Digest) {
        let mut by_code = lock(&self.by_code);
        if let Some(left) = by_code.get_mut(&code) {
            *left -= 1;
            if *left == 0 {
                by_code.remove(&code);
            }
        }
        drop(by_code);
        self.runtime.returned(code);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
