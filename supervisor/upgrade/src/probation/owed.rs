//! What was to be written down and could not be: ends of probations, and versions that have passed and are not the
//! default. It is tried again until it is done, and shown until then.

use super::Probations;
use crate::report::Failure;
use crate::upgrades::Upgrades;
use std::collections::BTreeMap;
use std::time::Duration;
use teneral_runtime::Moment;
use teneral_store::{Entry, ProbationOver, UpgradeId};

/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is owed of one upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed {
    /// Probations that are over, and of which the journal does not say so yet.
    pub ends: Vec<ProbationOver>,
    /// Why its version, which has passed, is not the default yet.
    pub default: Option<Failure>,
}

/// What is owed of all of them.
#[derive(Default)]
pub(super) struct Debts {
    of: BTreeMap<UpgradeId, Owed>,
    /// Not tried again before.
    next: Option<Moment>,
}

impl Probations {
    /// What is owed of an upgrade.
    pub(crate) fn owed(&self, id: &UpgradeId) -> Owed {
        self.debts.lock().of.get(id).cloned().unwrap_or_default()
    }

    /// It is to be written, and cannot be now.
    pub(super) fn owe_end(&self, id: &UpgradeId, end: ProbationOver) {
        self.debts.lock().of.entry(id.clone()).or_default().ends.push(end);
        self.heard_of_debts();
    }

    /// It is to be the default, and cannot be now; or it is, or is not to be any more.
    pub(super) fn owe_default(&self, id: &UpgradeId, failure: Option<Failure>) {
        let mut debts = self.debts.lock();
        match debts.of.get_mut(id) {
            Some(owed) => owed.default = failure,
            None if failure.is_some() => {
                debts.of.insert(id.clone(), Owed { ends: Vec::new(), default: failure });
            }
            None => return,
        }
        debts.of.retain(|_, owed| *owed != Owed::default());
        drop(debts);
        self.heard_of_debts();
    }

    /// Whether an end stands in its journal by now. One that was in doubt is not written twice.
    fn is_written(&self, id: &UpgradeId, end: &ProbationOver) -> bool {
        let entry = Entry::Probation(end.clone());
        match self.store.journal(id) {
            Ok(journal) if journal.contains(&entry) => true,
            Ok(_) => self.store.append(id, &[entry]).is_ok(),
            Err(_) => false,
        }
    }

    /// Writes the ends that are owed, as far as it goes.
    pub(crate) fn write_ends(&self) {
        // Whoever closes the host does it, and the watch may be at it: one at a time, or both write the same.
        let _alone = self.paying.lock();
        let owed = self.debts.lock().of.clone();
        for (id, Owed { ends, .. }) in owed {
            let written: Vec<ProbationOver> = ends.into_iter().filter(|end| self.is_written(&id, end)).collect();
            let mut debts = self.debts.lock();
            let Some(owed) = debts.of.get_mut(&id).filter(|_| !written.is_empty()) else { continue };
            owed.ends.retain(|end| !written.contains(end));
            debts.of.retain(|_, owed| *owed != Owed::default());
            tracing::info!(upgrade = %id, "the end of a probation is kept by now");
        }
    }
}

impl Upgrades {
    /// What was to be written down for an upgrade's probation and could not be yet.
    #[must_use]
    pub fn owed(&self, id: &UpgradeId) -> Owed {
        self.inner.probations.owed(id)
    }

    /// Tries again what is owed, once in a while. `true`: nothing is.
    pub(super) fn pay(&self) -> bool {
        let (probations, now) = (&self.inner.probations, self.inner.clock.now());
        let mut debts = probations.debts.lock();
        if debts.of.is_empty() {
            return true;
        }
        if debts.next.is_some_and(|at| at > now) {
            return false;
        }
        debts.next = Some(now + AGAIN);
        let defaults = debts.of.iter().filter(|(_, owed)| owed.default.is_some());
        let defaults: Vec<UpgradeId> = defaults.map(|(id, _)| id.clone()).collect();
        drop(debts);
        probations.write_ends();
        for id in defaults {
            probations.owe_default(&id, self.raise_default(&id).err().as_ref().map(Failure::of));
        }
        probations.debts.lock().of.is_empty()
    }
}
