//! Which upgrade has which actor: one at a time.

use crate::error::UpgradeError;
use crate::upgrades::Inner;
use std::collections::BTreeSet;
use std::sync::Arc;
use teneral_contract::Addr;
use teneral_store::UpgradeId;

/// The actors of one upgrade, which no other may have meanwhile. Dropped, it lets all of them go.
pub(crate) struct Claim {
    inner: Arc<Inner>,
    actors: BTreeSet<Addr>,
}

impl Claim {
    pub(crate) fn of<'a>(
        inner: &Arc<Inner>,
        actors: impl Iterator<Item = &'a Addr>,
        id: &UpgradeId,
    ) -> Result<Self, UpgradeError> {
        let actors: BTreeSet<Addr> = actors.cloned().collect();
        let mut busy = inner.busy.lock();
        for addr in actors.iter().filter(|_| !cfg!(feature = "bug-f36")) {
            if let Some(by) = busy.get(addr) {
                return Err(UpgradeError::Running { addr: addr.clone(), by: by.clone() });
            }
        }
        busy.extend(actors.iter().map(|addr| (addr.clone(), id.clone())));
        drop(busy);
        Ok(Self { inner: Arc::clone(inner), actors })
    }

    /// Of nobody: somebody else has them, and lets them go.
    pub(crate) fn none(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), actors: BTreeSet::new() }
    }

    /// Lets one go: it is settled.
    pub(crate) fn settled(&mut self, addr: &Addr) {
        if self.actors.remove(addr) {
            self.inner.busy.lock().remove(addr);
        }
    }

    /// Never lets it go.
    pub(crate) fn keep(&mut self, addr: &Addr) {
        self.actors.remove(addr);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut busy = self.inner.busy.lock();
        for addr in &self.actors {
            busy.remove(addr);
        }
    }
}
