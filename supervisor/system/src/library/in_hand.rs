//! An artifact on its way through the steps of an upgrade.

use super::{For, Library, by_gate, record};
use std::sync::Arc;
use teneral_contract::Manifest;
use teneral_contract::program::is_program;
use teneral_loader::{GateError, Sealed, UnsignedRecord, Verified};
use teneral_runtime::ports::Provider;
use teneral_store::Store;
use teneral_upgrade::{Artifact, Lend, Lent, Refused, ReleaseRef, TrialBounds, Tried, Untried};

/// One artifact on its way through the steps: read once, hashed once, checked once.
pub(super) struct InHand<'a> {
    library: &'a Library,
    release: &'a ReleaseRef,
    /// Its code, if it runs already: then the file is hashed, since a restart will need it, and not loaded.
    running: Option<Arc<dyn Provider>>,
    sealed: Option<Sealed>,
    verified: Option<Verified>,
}

impl Artifact for InHand<'_> {
    fn verify(&mut self) -> Result<(), Refused> {
        let digest = self.release.digest;
        let bytes = self.library.store.artifact(digest)?;
        self.running = self.library.here(&self.release.kind, digest);
        let found = if self.running.is_some() {
            teneral_store::digest_of(&bytes)
        } else {
            let sealed = self.library.gate(UnsignedRecord)?.seal(bytes).map_err(|error| by_gate(&error))?;
            self.sealed.insert(sealed).digest()
        };
        GateError::unless_recorded(found, digest).map_err(|error| by_gate(&error))
    }

    fn check(&mut self) -> Result<Manifest, Refused> {
        let release = self.release;
        if let Some(running) = &self.running {
            self.library.is_trusted(&release.kind, &release.version, release.digest)?;
            GateError::unless_described(running.manifest(), &record(&release.kind, &release.version, release.digest))
                .map_err(|error| by_gate(&error))?;
            return Ok(running.manifest().clone());
        }
        let sealed = match self.sealed.take() {
            Some(sealed) => sealed,
            None => self.library.sealed(release.digest)?,
        };
        let verified =
            self.library.checked(sealed, &record(&release.kind, &release.version, release.digest), For::New)?;
        Ok(self.library.processes.placed(self.verified.insert(verified).manifest().clone()))
    }

    fn lend(&mut self) -> Result<Lend, Refused> {
        let release = self.release;
        if self.running.is_none() && self.verified.is_none() {
            self.check()?;
        }
        // What was checked; for an image that is here already, what the store gives, which the other process hashes.
        let bytes = match &self.verified {
            Some(verified) => verified.contents().map_err(|error| Refused {
                code: "STORE-IO".to_owned(),
                cause: format!("the sealed copy of {release} cannot be read: {error}"),
                hint: "look at this machine's memory".to_owned(),
            })?,
            None => self.library.store.artifact(release.digest)?,
        };
        Ok(self.lent(bytes))
    }

    fn try_out(&mut self, bounds: TrialBounds, going: &dyn Fn() -> bool) -> Result<Arc<dyn Tried>, Untried> {
        let ReleaseRef { kind, version, digest, .. } = self.release;
        self.library.try_out(&record(kind, version, *digest), bounds, going)
    }

    fn lend_running(&mut self) -> Result<Lend, Refused> {
        // The other process hashes it.
        Ok(self.lent(self.library.store.artifact(self.release.digest)?))
    }

    fn load(&mut self) -> Result<Arc<dyn Provider>, Refused> {
        match (self.running.take(), self.verified.take()) {
            (Some(running), _) => Ok(running),
            (None, Some(verified)) => self.library.bring(verified),
            (None, None) => {
                self.check()?;
                self.load()
            }
        }
    }
}

impl<'a> InHand<'a> {
    pub(super) fn new(library: &'a Library, release: &'a ReleaseRef) -> Self {
        Self { library, release, running: None, sealed: None, verified: None }
    }

    fn lent(&self, bytes: Vec<u8>) -> Lend {
        if is_program(&bytes) {
            return Lend::Program;
        }
        let (policy, release) = (self.library.policy.clone(), self.release);
        Lend::Bytes(Arc::new(Lent { release: record(&release.kind, &release.version, release.digest), bytes, policy }))
    }
}
