//! Who registered, and for how long: a pure account, on a monotonic clock.
//!
//! A registration is a lease: whoever does not renew it in time is no more, whether it ended, hangs or cannot be
//! reached. Nothing of it is kept on a disk: who serves after a restart of the host says so again. The nonce is the
//! lease's key: without it nobody renews, ends or takes over another's registration.

use super::{DiscoverError, Endpoint, EndpointSet};
use semver::Version;
use std::collections::BTreeMap;
use std::time::Duration;
use teneral_contract::Digest;

/// Bytes of the key of a lease.
pub const NONCE_BYTES: usize = 16;

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Which kind it serves.
    pub kind: String,
    /// In which version.
    pub version: Version,
    /// Of which artifact; none for a program of its own.
    pub digest: Option<Digest>,
    /// Its share.
    pub weight: u32,
    /// Known to it alone.
    pub nonce: [u8; NONCE_BYTES],
}

/// A registration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// What was registered.
    pub registration: Registration,
    /// Until when, on the clock of whoever keeps the account.
    pub until: Duration,
}

impl Leased {
    const fn holds(&self, now: Duration) -> bool {
        now.as_nanos() < self.until.as_nanos() || cfg!(feature = "bug-p26")
    }
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    lease: Duration,
    endpoints_max: usize,
    leased: BTreeMap<Endpoint, Leased>,
}

impl Registry {
    /// Nobody has registered yet. A lease holds for so long; there are never more than `endpoints_max`.
    #[must_use]
    pub const fn new(lease: Duration, endpoints_max: usize) -> Self {
        Self { lease, endpoints_max, leased: BTreeMap::new() }
    }

    /// Registers a module, or renews its lease with what it says now. How long that holds.
    ///
    /// # Errors
    /// [`DiscoverError::Taken`] while somebody else has the endpoint; [`DiscoverError::TooMany`].
    pub fn register(&mut self, registration: Registration, now: Duration) -> Result<Duration, DiscoverError> {
        self.expire(now);
        let endpoint = registration.endpoint.clone();
        match self.leased.get(&endpoint) {
            Some(other) if other.registration.nonce != registration.nonce => {
                return Err(DiscoverError::Taken { endpoint });
            }
            None if self.leased.len() >= self.endpoints_max => {
                return Err(DiscoverError::TooMany { endpoints_max: self.endpoints_max });
            }
            _ => {}
        }
        self.leased.insert(endpoint, Leased { registration, until: now + self.lease });
        Ok(self.lease)
    }

    /// Renews a lease: from now on it holds as long as a new one.
    ///
    /// # Errors
    /// [`DiscoverError::Lost`]: it is over, or it is somebody else's. Who serves registers anew.
    pub fn renew(
        &mut self,
        endpoint: &Endpoint,
        nonce: &[u8; NONCE_BYTES],
        now: Duration,
    ) -> Result<Duration, DiscoverError> {
        self.expire(now);
        let lost = || DiscoverError::Lost { endpoint: endpoint.clone() };
        let own = self.leased.get_mut(endpoint).filter(|leased| leased.registration.nonce == *nonce);
        own.ok_or_else(lost)?.until = now + self.lease;
        Ok(self.lease)
    }

    /// Ends a lease before its time.
    ///
    /// # Errors
    /// [`DiscoverError::Lost`], as for [`Registry::renew`].
    pub fn leave(
        &mut self,
        endpoint: &Endpoint,
        nonce: &[u8; NONCE_BYTES],
        now: Duration,
    ) -> Result<(), DiscoverError> {
        self.renew(endpoint, nonce, now)?;
        self.leased.remove(endpoint);
        Ok(())
    }

    /// Takes out whose lease is over: whether there was one.
    pub fn expire(&mut self, now: Duration) -> bool {
        let before = self.leased.len();
        self.leased.retain(|_, leased| leased.holds(now));
        self.leased.len() != before
    }

    /// When the next lease is over, if nobody renews it.
    #[must_use]
    pub fn next_end(&self) -> Option<Duration> {
        self.leased.values().map(|leased| leased.until).min()
    }

    /// Who serves a kind, in that version or in any.
    #[must_use]
    pub fn of(&self, kind: &str, version: Option<&Version>, now: Duration) -> EndpointSet {
        let of = self.leased.values().filter(|leased| {
            let Registration { kind: serves, version: is, .. } = &leased.registration;
            serves == kind && version.is_none_or(|version| version == is) && leased.holds(now)
        });
        let endpoints = of.map(|Leased { registration, .. }| (registration.endpoint.clone(), registration.weight));
        EndpointSet::new(endpoints, self.endpoints_max).unwrap_or_default()
    }

    /// All leases that hold, by endpoint.
    pub fn all(&self, now: Duration) -> impl Iterator<Item = &Leased> {
        self.leased.values().filter(move |leased| leased.holds(now))
    }
}
