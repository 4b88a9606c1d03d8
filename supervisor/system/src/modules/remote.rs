//! Modules on other machines: where their hosts are, and how the next process there is had.

use super::{ModuleLimits, Processes, Running, fresh};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use teneral_contract::Digest;
use teneral_loader::Verified;
use teneral_remote::client::{Connect, Launcher, Limits, ModuleError, Serves, Start};
use teneral_remote::discover::Endpoint;
use teneral_remote::tls::{Identity, Pings};
use teneral_runtime::ports::Provider;
use teneral_upgrade::Refused;

/// How long an actor that is to be begun anew waits for its host to be reached again, before that counts as a failure:
/// less than `limits.actor_start_timeout` usually is.
const PATIENCE: Duration = Duration::from_secs(3);

/// How hosts on other machines are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What is shown to them, and whom they must be vouched for by.
    pub identity: Identity,
    /// How it is found out that one is silently gone.
    pub pings: Pings,
    /// Of each kind whose place is [`Place::Remote`](super::Place::Remote) where its hosts listen: at least one.
    pub endpoints: BTreeMap<String, Vec<Endpoint>>,
}

/// What the next process of a module on another machine is had with.
pub(super) struct There {
    /// The next one is tried when a process is gone, or not had.
    endpoints: Vec<Endpoint>,
    tried: AtomicUsize,
    identity: Arc<Identity>,
    pings: Pings,
    output: PathBuf,
    digest: Digest,
    serves: Serves,
    limits: ModuleLimits,
    patience: Duration,
}

impl Processes {
    /// Where the hosts of a kind are, each as often as it has slots there.
    ///
    /// # Errors
    /// Nobody has said where they are.
    pub(super) fn endpoints(&self, kind: &str) -> Result<&[Endpoint], Refused> {
        let endpoints = self.remote.as_ref().and_then(|remote| remote.endpoints.get(kind));
        endpoints.map(Vec::as_slice).filter(|endpoints| !endpoints.is_empty()).ok_or_else(|| Refused {
            code: "MOD-NOWHERE".to_owned(),
            cause: format!("nobody has said where {kind} is served"),
            hint: format!("name hosts in kinds.{kind}.endpoints, and this machine's certificate in [remote]"),
        })
    }

    /// How the module of one slot is had from these, or, where there are no slots, from any of them.
    pub(super) fn there(
        &self,
        verified: &Verified,
        endpoints: &[Endpoint],
        (slot, output): (Option<usize>, PathBuf),
    ) -> Result<There, Refused> {
        let nowhere = || ModuleError::Socket(io::Error::other("no certificate is named"));
        let remote = self.remote.as_ref().ok_or_else(|| self.refused(&nowhere(), None))?;
        Ok(There {
            endpoints: endpoints.to_vec(),
            tried: AtomicUsize::new(0),
            identity: Arc::new(remote.identity.clone()),
            pings: remote.pings,
            output,
            digest: verified.digest(),
            serves: Serves::of(verified.manifest()),
            limits: self.limits,
            // A member waits for its process without an instance, and others have the work.
            patience: if slot.is_some() { Duration::ZERO } else { PATIENCE },
        })
    }
}

/// Whether another version of a kind is served by that host right now, of all that runs.
pub(super) fn serves_another(running: &Running, (kind, digest): (&str, Digest), endpoint: &Endpoint) -> bool {
    running.values().filter_map(|(module, _)| module.upgrade()).any(|module| {
        let seen = module.seen();
        let is_there = seen.endpoint.as_deref() == Some(endpoint.as_str()) && seen.pid.is_some();
        module.kind() == kind && module.digest() != digest && is_there
    })
}

impl Launcher for There {
    fn next(&self) -> Result<Start, ModuleError> {
        let tried = self.tried.fetch_add(1, Ordering::Relaxed);
        let ModuleLimits { ready_timeout, call_timeout, turns_timeout, .. } = self.limits;
        Ok(Start::There(Box::new(Connect {
            endpoint: self.endpoints[tried % self.endpoints.len()].clone(),
            identity: Arc::clone(&self.identity),
            pings: self.pings,
            output: fresh(&self.output).map_err(ModuleError::Socket)?,
            digest: self.digest,
            serves: self.serves.clone(),
            // How many threads it has is its host's affair.
            limits: Limits { ready_timeout, call_timeout, turns_timeout, threads: 0 },
        })))
    }

    fn endpoint(&self) -> Option<String> {
        let tried = self.tried.load(Ordering::Relaxed).saturating_sub(1);
        self.endpoints.get(tried % self.endpoints.len().max(1)).map(ToString::to_string)
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}
