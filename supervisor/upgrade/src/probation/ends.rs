//! Probations that end well: who is final, and what new actors of the kind get then.

use super::{BackError, Entry, Over, moved_by};
use crate::error::UpgradeError;
use crate::report::Failure;
use crate::upgrades::Upgrades;
use std::collections::BTreeMap;
use teneral_contract::Addr;
use teneral_store::{Entry as Journaled, Move, UpgradeId};

/// By whose word a version becomes the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    /// By an operator's: whatever the default is.
    Operator(&'a str),
    /// By itself: only upwards, and only from what the default was when the upgrade began.
    Itself,
}

impl By<'_> {
    const fn who(&self) -> &str {
        match self {
            Self::Operator(who) => who,
            Self::Itself => super::PROBATION,
        }
    }
}

impl Upgrades {
    /// Those that have passed by themselves.
    pub(super) fn passed(&self, id: &UpgradeId, actors: &[Addr]) {
        // Somebody takes one of them back at this moment: looked at again.
        let Ok(taken) = self.inner.probations.take_idle(id, actors) else { return };
        if let Err(error) = self.end_well(id, taken, By::Itself) {
            tracing::error!(upgrade = %id, code = error.code(), %error, "passed its probation, and is not the default");
            self.inner.probations.owe_default(id, Some(Failure::of(&error)));
        }
    }

    /// Their version is the default first, where it is to be: whoever waits for their end finds it so.
    pub(super) fn end_well(&self, id: &UpgradeId, taken: Vec<Entry>, by: By<'_>) -> Result<(), UpgradeError> {
        let probations = &self.inner.probations;
        // Before the disk is waited for: from here on a panic is its supervisor's.
        taken.iter().for_each(|entry| entry.actor.end_recording(&entry.upgrade.0));
        let spoiled = probations.is_spoiled(id) && by == By::Itself;
        let set = if probations.has_any(id) || spoiled { Ok(()) } else { self.make_default(id, by) };
        probations.over(taken, Over { how: "finalised", why: by.who(), by: None });
        set
    }

    /// As one that has passed.
    pub(super) fn raise_default(&self, id: &UpgradeId) -> Result<(), UpgradeError> {
        self.make_default(id, By::Itself)
    }

    /// Makes what an upgrade has moved its actors to what new actors of their kinds get.
    fn make_default(&self, id: &UpgradeId, by: By<'_>) -> Result<(), UpgradeError> {
        let unread = |error| UpgradeError::Journal(Box::new(error));
        let journal = self.inner.store.journal(id).map_err(unread)?;
        let to = moved_to(&journal);
        if to.is_empty() {
            return Err(UpgradeError::Back(BackError::Probation(format!("{id} has moved nobody"))));
        }
        let was = Journaled::begin_of(&journal).map(|begin| &begin.defaults);
        for (kind, moved) in to {
            let version = &moved.to;
            if by == By::Itself {
                let now = self.inner.store.default_version(kind).map_err(unread)?;
                let moved_on = now.as_ref() != was.and_then(|was| was.get(kind));
                if moved_on || now.as_ref().is_some_and(|now| now >= version) {
                    let now = now.map_or_else(|| "none".to_owned(), |now| now.to_string());
                    tracing::info!(upgrade = %id, kind, %version, default = now, "passed, and the default stays");
                    continue;
                }
            }
            self.not_quarantined(moved)?;
            self.inner.finalised(kind, version)?;
        }
        Ok(())
    }
}

/// The kinds that an upgrade has moved, each with a move to the highest version.
fn moved_to(journal: &[Journaled]) -> BTreeMap<&str, &Move> {
    let (begin, moved) = (Journaled::begin_of(journal), moved_by(journal));
    // A journal that could not be written says nothing of anybody: who passed was moved.
    let unwritten = moved.is_empty() && Journaled::end_of(journal).is_none();
    let committed = |addr: &Addr| unwritten || moved.contains(addr);
    let mut to = BTreeMap::new();
    for moved in begin.iter().flat_map(|begin| &begin.moves).filter(|moved| committed(&moved.addr)) {
        let highest = to.entry(moved.addr.kind()).or_insert(moved);
        if moved.to > highest.to {
            *highest = moved;
        }
    }
    to
}
