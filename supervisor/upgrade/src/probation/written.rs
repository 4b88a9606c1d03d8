//! What journals say of probations and of ways back, of this life of the host and of those before it.

use super::BackError;
use crate::error::UpgradeError;
use crate::report::Outcome;
use crate::step::Step;
use crate::upgrades::Upgrades;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use teneral_contract::Addr;
use teneral_store::{Entry, Move, StepDone, StepResult, StoreError, UpgradeId};

/// Somebody's way back after a commit, as its journal tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The upgrade that took them back.
    pub by: UpgradeId,
    /// Why.
    pub why: String,
    /// When; `None`: the host ended before that was written, and they may be back or not.
    pub at_unix_us: Option<u64>,
}

impl Upgrades {
    /// The actors of an upgrade whose way back was begun and whose journal does not say that they stayed. Of a host
    /// that has ended: of one that is at work nobody knows yet. Blocks on the disk.
    ///
    /// # Errors
    /// [`UpgradeError::Journal`].
    pub fn taken_back(&self, id: &UpgradeId) -> Result<BTreeMap<Addr, TakenBack>, UpgradeError> {
        let store = &*self.inner.store;
        let mut taken = BTreeMap::new();
        for by in store.rollbacks(id).map_err(unread)? {
            let journal = store.journal(&by).map_err(unread)?;
            let Some(begin) = Entry::begin_of(&journal) else { continue };
            let is_over = Entry::end_of(&journal).is_some();
            for Move { addr, .. } in &begin.moves {
                let at_unix_us = went_back(&journal, addr);
                if at_unix_us.is_some() || !is_over {
                    let (by, why) = (by.clone(), begin.why.clone());
                    taken.insert(addr.clone(), TakenBack { by, why, at_unix_us });
                }
            }
        }
        Ok(taken)
    }

    /// The actors that an upgrade has moved and that are there still, as far as anybody knows: it had no probation, or
    /// that is over. Of a version in quarantine there is none.
    pub(super) fn committed(&self, id: &UpgradeId) -> Result<Vec<Addr>, UpgradeError> {
        let refused = |why: String| UpgradeError::Back(BackError::Probation(why));
        let journal = self.inner.store.journal(id).map_err(unread)?;
        let Some(begin) = Entry::begin_of(&journal) else {
            return Err(refused(format!("there is no upgrade {id}")));
        };
        let committed = moved_by(&journal);
        let moves: Vec<&Move> = begin.moves.iter().filter(|moved| committed.contains(&moved.addr)).collect();
        if moves.is_empty() {
            return Err(refused(format!("{id} has moved nobody")));
        }
        let mut by: BTreeMap<Addr, UpgradeId> = BTreeMap::new();
        for entry in &journal {
            let Entry::Probation(over) = entry else { continue };
            by.extend(over.actors.iter().filter_map(|addr| Some((addr.clone(), over.by.clone()?))));
        }
        let back = self.taken_back(id)?.into_iter().filter(|(_, taken)| taken.at_unix_us.is_some());
        by.extend(back.map(|(addr, taken)| (addr, taken.by)));
        let (mut there, mut gone) = (Vec::new(), Vec::new());
        for moved in moves {
            let Move { addr, .. } = moved;
            match (by.get(addr), self.elsewhere(moved)?) {
                (Some(by), _) => gone.push(format!("{addr} was moved by {by}")),
                (None, Some(version)) => gone.push(format!("{addr} runs {version}")),
                (None, None) => {
                    self.not_quarantined(moved)?;
                    there.push(addr.clone());
                }
            }
        }
        match gone.first().filter(|_| there.is_empty()) {
            Some(first) => Err(refused(format!("nobody is left where {id} moved them: {first}"))),
            None => Ok(there),
        }
    }

    /// Whether new actors can be started on what an actor was moved to.
    pub(super) fn not_quarantined(&self, Move { addr, to, to_digest, .. }: &Move) -> Result<(), UpgradeError> {
        let why = match self.inner.runtime.quarantined(*to_digest) {
            Some(why) => Some(why),
            None => self.inner.store.quarantine_of(*to_digest).map_err(unread)?.map(|entry| entry.why),
        };
        let Some(why) = why else { return Ok(()) };
        let (addr, version) = (addr.clone(), to.to_string());
        Err(UpgradeError::Back(BackError::Quarantined { addr, version, why, back: None }))
    }

    /// The version that an actor runs, or is defined on, where that is not what it was moved to. Blocks on the disk.
    ///
    /// # Errors
    /// [`UpgradeError::Journal`].
    pub fn elsewhere(&self, Move { addr, to, to_digest, .. }: &Move) -> Result<Option<Version>, UpgradeError> {
        if let Some(running) = self.inner.runtime.actor(addr) {
            let info = running.info();
            return Ok((info.digest != *to_digest).then_some(info.version));
        }
        let defined = self.inner.store.definition(addr).map_err(unread)?;
        Ok(defined.map(|defined| defined.version).filter(|version| version != to))
    }
}

/// The actors that an upgrade has moved, as its journal tells: by its end, or by its steps where the host ended first.
#[must_use]
pub fn moved_by(journal: &[Entry]) -> BTreeSet<Addr> {
    match Entry::end_of(journal) {
        Some(end) => {
            let committed = end.actors.iter().filter(|actor| actor.outcome == Outcome::Committed.name());
            committed.map(|actor| actor.addr.clone()).collect()
        }
        None => journal.iter().filter_map(|entry| commit(entry)?.actor.clone()).collect(),
    }
}

/// A commit that was done.
fn commit(entry: &Entry) -> Option<&StepDone> {
    let Entry::Step(step) = entry else { return None };
    (step.step == Step::Commit.name() && step.result == StepResult::Done).then_some(step)
}

fn unread(error: StoreError) -> UpgradeError {
    UpgradeError::Journal(Box::new(error))
}

/// When an actor was put back, by a rollback's own journal: each step is there before the end is.
fn went_back(journal: &[Entry], addr: &Addr) -> Option<u64> {
    journal.iter().find_map(|entry| match entry {
        Entry::Step(_) => {
            let step = commit(entry)?;
            (step.actor.as_ref() == Some(addr)).then_some(step.at_unix_us)
        }
        Entry::End(end) => {
            let committed = |actor: &&teneral_store::ActorEnd| actor.outcome == Outcome::Committed.name();
            end.actors.iter().filter(committed).any(|actor| actor.addr == *addr).then_some(end.at_unix_us)
        }
        _ => None,
    })
}
