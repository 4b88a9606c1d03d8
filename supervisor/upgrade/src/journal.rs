//! The record of an upgrade: who, when, why, from, to, digests, every step with its time and its result.
//!
//! The begin is written before anybody is paused, and an upgrade that cannot be recorded does not begin. What volatile
//! actors do under their pause is written after they serve again: an fsync takes longer than the pause. When that write
//! fails, the report says so; it is never hidden and never undoes what happened.

use crate::error::{UpgradeError, chain};
use crate::plan::{Move, Plan};
use crate::probation::{Watch, WayBack};
use crate::report::{ActorReport, Failure, Now, Record, WentBack, micros};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use teneral_runtime::Tally;
use teneral_store::{ActorEnd, BackDone, Begin, End, Entry, StepDone, Store, StoreError, Term, UpgradeId};

/// The journal of one upgrade.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    id: UpgradeId,
    record: Record,
    /// What could not be written yet: tried again with the next write, so that a full disk costs order nothing.
    owed: Vec<Entry>,
    /// Entries that are known to be stored.
    written: usize,
    /// Whether the last write may have been stored or not.
    in_doubt: bool,
}

impl Journal {
    /// Opens it with the plan.
    ///
    /// # Errors
    /// [`UpgradeError::Journal`]: the upgrade must not begin.
    pub(crate) fn begin(
        store: Arc<dyn Store>,
        id: UpgradeId,
        plan: &Plan,
        (at_unix_us, boot): (u64, u64),
    ) -> Result<Self, UpgradeError> {
        let moves = plan.moves.iter().map(planned).collect();
        let term = |watch: Watch| Term { time_us: micros(watch.time), messages: watch.messages, boot };
        let defaults = match plan.options.probation.watch() {
            Some(_) => defaults(&*store, plan).map_err(|error| UpgradeError::Journal(Box::new(error)))?,
            None => BTreeMap::new(),
        };
        let begin = Begin {
            at_unix_us,
            who: plan.who.clone(),
            why: plan.why.clone(),
            request: plan.request.clone(),
            rolls_back: plan.rolls_back.clone(),
            probation: plan.options.probation.watch().map(term),
            defaults,
            moves,
        };
        match store.append(&id, &[Entry::Begin(begin)]) {
            Ok(()) => {}
            // Whether it stands there decides: one that began without an end would never be closed.
            Err(StoreError::Unknown { .. }) if store.journal(&id).is_ok_and(|entries| !entries.is_empty()) => {}
            Err(error) => return Err(UpgradeError::Journal(Box::new(error))),
        }
        Ok(Self { store, id, record: Record::Kept, owed: Vec::new(), written: 1, in_doubt: false })
    }

    /// Writes steps that are over.
    pub(crate) fn steps(&mut self, steps: impl IntoIterator<Item = StepDone>) {
        self.owed.extend(steps.into_iter().map(Entry::Step));
        if !self.owed.is_empty() {
            self.write();
        }
    }

    /// Closes it, and says whether it has everything.
    pub(crate) fn end(mut self, actors: &[ActorReport], plan: &Plan, at_unix_us: u64) -> Record {
        let actors = actors.iter().map(|report| ended(report, plan)).collect();
        self.owed.push(Entry::End(End { at_unix_us, actors }));
        self.write();
        if self.in_doubt {
            self.write();
        }
        self.record
    }

    fn write(&mut self) {
        match self.try_write() {
            Ok(()) => self.record = Record::Kept,
            Err(error) => {
                self.in_doubt |= matches!(error, StoreError::Unknown { .. });
                let (code, hint) = (error.code().to_owned(), error.hint().to_owned());
                self.record = Record::Incomplete(Failure { code, cause: chain(&error), hint });
            }
        }
    }

    fn try_write(&mut self) -> Result<(), StoreError> {
        if self.in_doubt {
            // Read back before it is written again: twice in the journal would be a lie.
            // What becomes of probations meanwhile is written by others.
            let ours = |entry: &Entry| !matches!(entry, Entry::Probation(_));
            let found = self.store.journal(&self.id)?.into_iter().filter(ours).count();
            self.owed.drain(..found.saturating_sub(self.written).min(self.owed.len()));
            (self.written, self.in_doubt) = (found, false);
        }
        if !self.owed.is_empty() {
            self.store.append(&self.id, &self.owed)?;
            self.written += self.owed.len();
            self.owed.clear();
        }
        Ok(())
    }
}

/// What new actors of the moved kinds get at this moment.
fn defaults(store: &dyn Store, plan: &Plan) -> Result<BTreeMap<String, Version>, StoreError> {
    let kinds: BTreeSet<&str> = plan.moves.iter().map(|moved| moved.addr.kind()).collect();
    let mut defaults = BTreeMap::new();
    for kind in kinds {
        defaults.extend(store.default_version(kind)?.map(|version| (kind.to_owned(), version)));
    }
    Ok(defaults)
}

fn planned(moved: &Move) -> teneral_store::Move {
    teneral_store::Move {
        addr: moved.addr.clone(),
        from: moved.from.version.clone(),
        to: moved.to.version.clone(),
        from_digest: moved.from.digest,
        to_digest: moved.to.digest,
        generation: moved.generation,
    }
}

fn ended(report: &ActorReport, plan: &Plan) -> ActorEnd {
    let (now, generation) = match &report.now {
        Now::Serving { version, generation }
        | Now::Replaced { version, generation }
        | Now::Held { version, generation } => (version.clone(), *generation),
        Now::Stopped => {
            let planned = plan.moves.iter().find(|moved| moved.addr == report.actor);
            (report.from.clone(), planned.map_or(0, |moved| moved.generation))
        }
    };
    ActorEnd {
        addr: report.actor.clone(),
        outcome: report.outcome.name().to_owned(),
        code: report.outcome.failure().map(|failure| failure.code.clone()),
        now,
        generation,
        state_before: report.state_before,
        state_after: report.state_after,
        dead_letters: report.dead_letters,
        back: match (&report.back, &plan.rolls_back) {
            (Some(back), _) => Some(done(back)),
            // An ordinary way down is known by its plan alone.
            (None, Some(of)) => Some(done(&WentBack::of(of, WayBack::Downgrade, Tally::default()))),
            (None, None) => None,
        },
    }
}

fn done(back: &WentBack) -> BackDone {
    let WentBack { way, messages, skipped, failed, matched, unsaid, held, dropped, replay_us, .. } = *back;
    BackDone { way: way.name().to_owned(), messages, skipped, failed, matched, unsaid, held, dropped, replay_us }
}
