//! What was to be written down and could not be: on which versions actors come back, ends of probations, and versions
//! that have passed and are not the default. It is tried again until it is done, and shown until then.

use super::Probations;
use crate::error::Refused;
use crate::report::{ActorReport, Failure};
use crate::upgrades::{Inner, Upgrades};
use std::collections::BTreeMap;
use std::time::Duration;
use teneral_runtime::Moment;
use teneral_store::{Entry, ProbationOver, UpgradeId};

/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is owed of one upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owed {
    /// Actors that it has moved, or that were taken back from it, and whose versions are not kept yet: the host would
    /// bring them back on those before.
    pub moved: Vec<ActorReport>,
    /// Why these are not.
    pub unkept: Option<Failure>,
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

    /// Where these are is to be kept, and cannot be now.
    fn owe_moved(&self, id: &UpgradeId, actors: &[ActorReport], refused: Refused) {
        let Refused { code, cause, hint } = refused;
        let mut debts = self.debts.lock();
        let owed = debts.of.entry(id.clone()).or_default();
        owed.moved.extend_from_slice(actors);
        owed.unkept = Some(Failure { code, cause, hint });
        drop(debts);
        self.heard_of_debts();
    }

    /// What is to be said of an upgrade's actors whose versions are not kept yet.
    pub(crate) fn unkept(&self, id: &UpgradeId) -> Option<String> {
        let Owed { moved, unkept, .. } = self.owed(id);
        let Failure { code, cause, .. } = unkept?;
        let names: Vec<String> = moved.iter().map(|report| report.actor.to_string()).collect();
        let names = names.join(", ");
        Some(format!("the versions of actors are not kept yet, and that is tried again: {names}: [{code}] {cause}"))
    }

    /// It is to be the default, and cannot be now; or it is, or is not to be any more.
    pub(super) fn owe_default(&self, id: &UpgradeId, failure: Option<Failure>) {
        let mut debts = self.debts.lock();
        match debts.of.get_mut(id) {
            Some(owed) => owed.default = failure,
            None if failure.is_some() => {
                debts.of.insert(id.clone(), Owed { default: failure, ..Owed::default() });
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

impl Inner {
    /// Has it kept where these are, of that upgrade, by it or by its way back; now, or as soon as it can be.
    pub(crate) fn moved_or_owed(&self, (of, by): (&UpgradeId, &UpgradeId), actors: &[ActorReport]) {
        if let Err(refused) = self.moved(by, actors) {
            let Refused { code, cause, .. } = &refused;
            tracing::error!(upgrade = %by, code, error = cause, "the versions of moved actors are not kept yet");
            self.probations.owe_moved(of, actors, refused);
        }
    }

    /// Has that kept which is owed, as far as it goes: before the ends, for a host that is killed in between.
    pub(crate) fn keep_moved(&self) {
        // As for the ends.
        let _alone = self.probations.paying.lock();
        let owed = self.probations.debts.lock().of.clone();
        for (id, Owed { moved, .. }) in owed.into_iter().filter(|(_, owed)| !owed.moved.is_empty()) {
            let kept = self.moved(&id, &moved);
            let mut debts = self.probations.debts.lock();
            let Some(owed) = debts.of.get_mut(&id) else { continue };
            match kept {
                Ok(()) => {
                    // What came meanwhile is owed still.
                    owed.moved.drain(..moved.len());
                    owed.unkept.take_if(|_| owed.moved.is_empty());
                    tracing::info!(upgrade = %id, "the versions of its actors are kept by now");
                }
                Err(Refused { code, cause, hint }) => owed.unkept = Some(Failure { code, cause, hint }),
            }
            debts.of.retain(|_, owed| *owed != Owed::default());
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
        self.inner.keep_moved();
        probations.write_ends();
        for id in defaults {
            probations.owe_default(&id, self.raise_default(&id).err().as_ref().map(Failure::of));
        }
        probations.debts.lock().of.is_empty()
    }
}
