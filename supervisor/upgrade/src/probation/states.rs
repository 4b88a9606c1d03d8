//! What an actor on probation goes through, under the lock: lent out, given back, put off, left, held.

use super::one::Lent;
use super::{BackError, Entry, Phase, Probations, WayBack, ways};
use crate::error::UpgradeError;
use crate::plan::{Direction, Move, Plan};
use crate::report::Failure;
use crate::waiting::lost_on;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::{Events, LeaseLost, LeaseRequest, Moment, PauseRefused, Quiesced, What};
use teneral_store::UpgradeId;

/// How long a rollback that had to be put off waits for its next try, first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long what could not be taken back is kept: until somebody decides.
pub(super) const KEPT: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What became of an actor that could not be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is paused, with all it has.
    Held,
    /// It could not be paused: the version that failed serves.
    Serving,
    /// It was stopped or moved, or the host is being closed.
    Gone,
}

/// Who holds what could not be taken back, as operators read it.
fn holder(of: &UpgradeId) -> String {
    format!("rollback of {of}")
}

impl Entry {
    /// What is told of it.
    pub(super) fn event(&self, phase: &'static str, why: &str) -> (Events, What) {
        let (addr, upgrade) = (self.moved.addr.clone(), self.upgrade.to_string());
        let (version, why) = (self.moved.to.version.clone(), why.to_owned());
        (self.actor.event_sink(), What::Probation { addr, upgrade, version, phase, why })
    }

    /// What its version did that nobody may be started on it, or it be made final.
    pub(super) fn quarantined(&self) -> Option<String> {
        self.actor.quarantined(self.moved.to.digest)
    }

    /// Whether a turn of its version does not return, in an actor that does not declare to block: it writes no state,
    /// and ends for no pause.
    pub(super) fn hangs(&self) -> bool {
        let code = self.actor.provider();
        code.digest() == self.moved.to.digest && !code.manifest().blocking && self.actor.hangs() == Some(code.digest())
    }

    /// Whether it lost its state since the commit.
    pub(super) fn is_anew(&self) -> bool {
        self.actor.recorded().is_some_and(|seen| seen.anew)
    }

    /// Those of these ways that are taken without being asked for by name. A step down of a state that is gone would
    /// write down that there is nothing, in the place of all that was there at the commit.
    pub(super) fn keeping(&self, ways: &[WayBack]) -> Vec<WayBack> {
        let anew = self.is_anew();
        ways.iter().copied().filter(|way| *way != WayBack::Downgrade || !anew).collect()
    }

    /// The ways back that there are at this moment.
    pub(super) fn ways(&self) -> Vec<WayBack> {
        let replays = self.actor.recorded().is_some_and(|seen| seen.no_replay.is_none());
        let wreck = self.crashed.is_some() || self.pause.as_ref().is_some_and(Quiesced::is_wreck);
        // Lent out, or lost with code that does not return.
        let frozen = self.frozen.is_some() || matches!(self.phase, Phase::RollingBack { .. });
        let old_hangs = self.actor.quarantined(self.moved.from.digest).is_some();
        let mut ways = ways(&self.moved, &self.old);
        ways.retain(|way| match way {
            WayBack::Replay => replays && frozen,
            WayBack::Downgrade => !wreck && !old_hangs && !self.hangs(),
            WayBack::Restore => frozen,
        });
        ways
    }
}

impl Probations {
    /// Takes those of an upgrade that are on probation for it, or which of `only` are.
    ///
    /// # Errors
    /// As [`super::State::idle`]: then nobody is taken.
    pub(super) fn take_idle(&self, id: &UpgradeId, only: &[Addr]) -> Result<Vec<Entry>, UpgradeError> {
        let mut state = self.state.lock();
        let actors = state.idle(id, only)?;
        Ok(actors.iter().filter_map(|addr| state.on.remove(addr)).collect())
    }

    /// Whether nothing keeps an upgrade's actors on probation, or which of `only` are, from being final.
    ///
    /// # Errors
    /// [`BackError::Quarantined`].
    pub(super) fn may_be_final(&self, id: &UpgradeId, only: &[Addr]) -> Result<(), UpgradeError> {
        let state = self.state.lock();
        let meant =
            state.on.iter().filter(|(addr, entry)| entry.upgrade == *id && (only.is_empty() || only.contains(addr)));
        for (addr, entry) in meant {
            let Some(why) = entry.quarantined() else { continue };
            let back = entry.ways().first().map(|way| {
                let by = if *way == WayBack::Restore { " --by restore" } else { "" };
                format!("teneral upgrade rollback {id} {addr}{by}")
            });
            let (addr, version) = (addr.clone(), entry.moved.to.version.to_string());
            return Err(UpgradeError::Back(BackError::Quarantined { addr, version, why, back }));
        }
        Ok(())
    }

    /// Whether somebody is on probation for it.
    pub(super) fn has_any(&self, id: &UpgradeId) -> bool {
        self.state.lock().on.values().any(|entry| entry.upgrade == *id)
    }

    pub(super) fn take(&self, addr: &Addr, id: &UpgradeId) -> Option<Entry> {
        let mut state = self.state.lock();
        state.on.get(addr).filter(|entry| entry.upgrade == *id)?;
        state.on.remove(addr)
    }

    pub(super) fn is_spoiled(&self, id: &UpgradeId) -> bool {
        self.state.lock().spoiled.contains(id)
    }

    pub(super) fn spoil(&self, id: &UpgradeId) {
        self.state.lock().spoiled.insert(id.clone());
    }

    /// What is journaled of a way back.
    pub(super) fn plan_back(
        &self,
        (of, way): (&UpgradeId, WayBack),
        actors: &[Addr],
        (who, why): (&str, &str),
    ) -> Plan {
        let state = self.state.lock();
        let moves = actors.iter().filter_map(|addr| {
            let entry = state.on.get(addr)?;
            Some(Move {
                addr: addr.clone(),
                direction: Direction::Downgrade,
                from: entry.moved.to.clone(),
                to: entry.moved.from.clone(),
                generation: entry.generation,
                steps: Vec::new(),
                ladder: Vec::new(),
                back: None,
                pathless: lost_on(way, &entry.actor, entry.old.manifest()),
                children: Vec::new(),
                after: Vec::new(),
                no_replay: None,
            })
        });
        Plan::back(of, moves.collect(), (who, why))
    }

    pub(super) fn lend(&self, addr: &Addr, id: &UpgradeId) -> Option<Lent> {
        let mut state = self.state.lock();
        let entry = state.on.get_mut(addr).filter(|entry| entry.upgrade == *id)?;
        let crashed = entry.crashed.take().map(|crashed| crashed.pause);
        Some(Lent {
            watch: entry.watch,
            actor: entry.actor.clone(),
            old: Arc::clone(&entry.old),
            frozen: entry.frozen.take(),
            pause: crashed.or_else(|| entry.pause.take()),
            bounds: entry.bounds,
        })
    }

    /// The pause of one that is held, for an upgrade that has it; what panicked has no state to be moved.
    pub(crate) fn lend_pause(&self, addr: &Addr) -> Option<Quiesced> {
        let mut state = self.state.lock();
        state.on.get_mut(addr)?.pause.take_if(|pause| !pause.is_wreck())
    }

    /// It is held as before: the upgrade that had the pause did not come through.
    ///
    /// # Errors
    /// [`LeaseLost`]: it is paused no longer.
    pub(crate) fn give_pause(&self, addr: &Addr, pause: Quiesced) -> Result<(), LeaseLost> {
        let on = self.of(addr).map(|(id, _)| id);
        let Some(id) = on else { return pause.abort().map(drop) };
        let pause = pause.hand_over(holder(&id), KEPT, Box::new(drop))?;
        let mut state = self.state.lock();
        match state.on.get_mut(addr).filter(|entry| entry.upgrade == id) {
            Some(entry) => entry.pause = Some(pause),
            None => {
                drop(state);
                drop(pause);
            }
        }
        Ok(())
    }

    /// It stays as it is: what was lent is given back, and the next try comes later, and later still the one after it.
    pub(super) fn put_off(&self, addr: &Addr, id: &UpgradeId, work: Option<Lent>, now: Moment) {
        let pause = self.settle(addr, id, work, |entry| {
            let wait = entry.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
            entry.retry = Some((now + wait, wait));
            // It serves until then, unless it is held or cannot.
            let serves = !matches!(entry.phase, Phase::Held { .. });
            entry.pause.take_if(|pause| serves && !pause.is_wreck())
        });
        drop(pause);
    }

    /// As it was.
    pub(super) fn give_back(&self, addr: &Addr, id: &UpgradeId, work: Lent) {
        self.settle(addr, id, Some(work), |_| {});
    }

    /// Nothing takes it back by itself any more. It serves: `true`; or is held as it was.
    pub(super) fn leave(&self, addr: &Addr, id: &UpgradeId, work: Option<Lent>, why: &str) -> bool {
        let told = self.settle(addr, id, work, |entry| {
            if matches!(entry.phase, Phase::Held { .. }) {
                return (None, None);
            }
            entry.phase = Phase::Sick { why: why.to_owned() };
            (entry.pause.take(), Some(entry.event("sick", why)))
        });
        let Some((pause, Some((events, what)))) = told else { return told.is_none() };
        // It goes on, with what was recorded of it.
        drop(pause);
        self.state.lock().spoiled.insert(id.clone());
        events.emit(what);
        true
    }

    /// It is kept as it is, paused, until somebody decides.
    pub(super) fn hold(&self, addr: &Addr, id: &UpgradeId, work: Lent, failure: &Failure) -> Kept {
        let (actor, quiesce_timeout) = (work.actor.clone(), work.bounds.quiesce_timeout);
        let mut work = work;
        // Lost meanwhile: what serves must not go on as if nothing had been wrong.
        if work.pause.as_ref().is_none_or(|pause| pause.cancelled().is_some()) {
            let request = LeaseRequest {
                owner: holder(id),
                generation: actor.info().generation,
                quiesce_timeout,
                max_pause: KEPT,
                on_lost: Box::new(drop),
            };
            work.pause = match actor.quiesce(request) {
                Ok(pause) => Some(pause),
                Err(PauseRefused::Stopped | PauseRefused::Stale { .. }) => {
                    work.pause = None;
                    self.give_back(addr, id, work);
                    return Kept::Gone;
                }
                Err(refused) => {
                    work.pause = None;
                    let why = format!("[{}] {}, and it could not be paused: {refused}", failure.code, failure.cause);
                    self.leave(addr, id, Some(work), &why);
                    return Kept::Serving;
                }
            };
        }
        if let Some(pause) = &work.pause {
            pause.limit(KEPT);
        }
        let why = format!("[{}] {}", failure.code, failure.cause);
        let told = self.settle(addr, id, Some(work), |entry| {
            entry.phase = Phase::Held { failure: failure.clone() };
            entry.event("held", &why)
        });
        let Some((events, what)) = told else { return Kept::Gone };
        self.state.lock().spoiled.insert(id.clone());
        events.emit(what);
        Kept::Held
    }

    /// What was lent is given back. `None`: it is on probation for that
    /// upgrade no longer, or the host is being closed, which lets it go on.
    fn settle<T>(
        &self,
        addr: &Addr,
        id: &UpgradeId,
        work: Option<Lent>,
        how: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        let Some(entry) = state.on.get_mut(addr).filter(|entry| entry.upgrade == *id) else {
            drop(state);
            let Lent { actor, old, frozen, .. } = work?;
            if let Some(frozen) = frozen {
                actor.discard(frozen, old);
            }
            return None;
        };
        if let Some(Lent { frozen, pause, .. }) = work {
            (entry.frozen, entry.pause) = (frozen, pause);
        }
        Some(how(entry))
    }

    /// The host is being closed: nobody is watched, held or taken back any more, and who was paused goes on.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let (ended, early) = (std::mem::take(&mut state.on), std::mem::take(&mut state.early));
        drop(state);
        drop(early);
        ended.into_values().for_each(Entry::settle);
    }
}
