//! The supervisor's own registry: the account of who registered, shared, with whoever wants to know of changes.
//!
//! Time is the runtime's monotonic clock and no other: a wall clock that jumps an hour, by hand or by a time server, is
//! nobody's death.

use super::registry::NONCE_BYTES;
use super::{Discover, DiscoverError, Endpoint, Leased, Registration, Registry, Saying, Sets};
use futures_util::stream;
use parking_lot::Mutex;
use semver::Version;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_runtime::Clock;
use tokio::sync::watch;

/// See the module. A cheap clone.
#[derive(Clone)]
pub struct Leases(Arc<Shared>);

struct Shared {
    registry: Mutex<Registry>,
    clock: Arc<dyn Clock>,
    changed: watch::Sender<()>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leases({} hold)", self.all().len())
    }
}

impl Leases {
    /// Nobody has registered yet. A lease holds for so long, by that clock.
    #[must_use]
    pub fn new(lease: Duration, endpoints_max: usize, clock: Arc<dyn Clock>) -> Self {
        let registry = Mutex::new(Registry::new(lease, endpoints_max));
        Self(Arc::new(Shared { registry, clock, changed: watch::Sender::new(()) }))
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.clock.now().0)
    }

    /// See [`Registry::register`].
    ///
    /// # Errors
    /// As there.
    pub fn register(&self, registration: Registration) -> Result<Duration, DiscoverError> {
        self.change(|registry, now| registry.register(registration, now))
    }

    /// See [`Registry::renew`].
    ///
    /// # Errors
    /// As there.
    pub fn renew(&self, endpoint: &Endpoint, nonce: &[u8; NONCE_BYTES]) -> Result<Duration, DiscoverError> {
        self.0.registry.lock().renew(endpoint, nonce, self.now())
    }

    /// See [`Registry::leave`].
    ///
    /// # Errors
    /// As there.
    pub fn leave(&self, endpoint: &Endpoint, nonce: &[u8; NONCE_BYTES]) -> Result<(), DiscoverError> {
        self.change(|registry, now| registry.leave(endpoint, nonce, now))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Registry, Duration) -> Result<T, DiscoverError>,
    ) -> Result<T, DiscoverError> {
        let changed = change(&mut self.0.registry.lock(), self.now());
        self.0.changed.send_replace(());
        changed
    }

    /// All that hold now, by endpoint.
    #[must_use]
    pub fn all(&self) -> Vec<Leased> {
        self.0.registry.lock().all(self.now()).cloned().collect()
    }

    /// Those who serve a kind, in that version or in any, as a source.
    #[must_use]
    pub fn of(&self, kind: &str, version: Option<&Version>) -> impl Discover + use<> {
        Registered { leases: self.clone(), kind: kind.to_owned(), version: version.cloned() }
    }

    /// How long until the next lease is over, if nobody renews it.
    fn next_end(&self) -> Option<Duration> {
        Some(self.0.registry.lock().next_end()?.saturating_sub(self.now()))
    }
}

/// Whoever registered for one kind.
struct Registered {
    leases: Leases,
    kind: String,
    version: Option<Version>,
}

impl Discover for Registered {
    fn source(&self) -> String {
        "the registry".to_owned()
    }

    fn sets(self: Box<Self>) -> Sets {
        let changed = self.leases.0.changed.subscribe();
        let first = (self, Saying::default(), changed);
        Box::pin(stream::unfold(first, async |(this, mut saying, mut changed)| {
            loop {
                changed.borrow_and_update();
                let (leases, version) = (&this.leases, this.version.as_ref());
                let set = leases.0.registry.lock().of(&this.kind, version, leases.now());
                if let Some(seen) = saying.of(Ok(set)) {
                    return Some((seen, (this, saying, changed)));
                }
                let ends = leases.next_end();
                tokio::select! {
                    // The sender lives in what is kept here.
                    _ = changed.changed() => {}
                    () = over(ends) => drop(leases.0.registry.lock().expire(leases.now())),
                }
            }
        }))
    }
}

async fn over(ends: Option<Duration>) {
    match ends {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}
