//! The thread that looks at all probations, and what it does with what it sees.

use super::judge::{Sick, Verdict};
use super::under_way::{UnderWay, Wanted};
use super::{Entry, Over, PROBATION, Phase, Probations, Signal, State, WayBack};
use crate::error::UpgradeError;
use crate::request::PathlessPolicy;
use crate::upgrades::{Inner, Upgrades};
use crate::waiting::listed;
use semver::Version;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::{Crashed, Events, Moment, What};
use teneral_store::UpgradeId;

/// How often the figures are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Whoever fails, and is taken back together: of which upgrade, by which way.
type Failing = BTreeMap<(UpgradeId, WayBack), Vec<(Addr, String)>>;

/// Begins to watch; it ends with the host.
pub(crate) fn start(inner: &Arc<Inner>, heard: Receiver<Signal>) -> std::io::Result<()> {
    let owner = Arc::downgrade(inner);
    std::thread::Builder::new().name("probation".to_owned()).spawn(move || run(&owner, &heard)).map(drop)
}

fn run(owner: &Weak<Inner>, heard: &Receiver<Signal>) {
    let mut idle = true;
    loop {
        let signal =
            if idle { heard.recv().map_err(|_| RecvTimeoutError::Disconnected) } else { heard.recv_timeout(TICK) };
        let Some(inner) = owner.upgrade() else { return };
        match signal {
            Ok(Signal::Crashed(addr, upgrade, crashed)) => inner.probations.crashed(addr, upgrade, crashed),
            Ok(Signal::Begun | Signal::Owed) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        idle = look(&inner);
    }
}

/// One look at all of them. `true`: there is nobody to look at, and nothing to write.
fn look(inner: &Arc<Inner>) -> bool {
    let upgrades = Upgrades::of(Arc::clone(inner));
    inner.probations.give_up_early(inner);
    let (failing, passed) = inner.probations.judge(inner);
    failing.into_iter().for_each(|back| upgrades.take_back(back));
    for (upgrade, actors) in passed {
        upgrades.passed(&upgrade, &actors);
    }
    let paid = upgrades.pay();
    let state = inner.probations.state.lock();
    state.on.is_empty() && state.early.is_empty() && paid
}

impl Entry {
    /// Whether it fails because a turn of this actor does not return. That its version is in quarantine may be for the
    /// sake of another one, or of a migration; that it is not, is by somebody's pardon.
    fn fails_to_return(&self) -> bool {
        // Planted: nobody looks, and the turn hangs on.
        self.quarantined().is_some() && self.hangs() && !cfg!(feature = "bug-f38")
    }

    /// Whether the actor is stopped, or somebody has moved it.
    fn is_anothers(&self) -> bool {
        self.actor.is_stopped() || self.actor.info().generation.0 != self.generation
    }

    /// Whether it may pass, all else being well: whether the turn that it was in when its time was over has returned.
    /// One that is not said to hang by the time that it would be is a long turn of a kind that blocks.
    fn has_returned(&mut self, now: Moment, hang_after: Duration) -> bool {
        let turns = self.actor.figures().turns();
        let (since, then) = *self.passes.get_or_insert((now, turns));
        turns != then || self.actor.is_at_rest() || now.since(since) > hang_after * 2
    }

    /// Somebody has let go on what was held, or the upgrade that had it has: it serves, and whether it goes back is
    /// theirs to say.
    fn resumed(&mut self, is_busy: impl Fn() -> bool) {
        let ended = self.pause.take_if(|pause| pause.cancelled().is_some()).is_some();
        if let Phase::Held { failure } = &self.phase
            && (ended || (self.pause.is_none() && !is_busy()))
        {
            let why = format!("it goes on by somebody's order, after [{}] {}", failure.code, failure.cause);
            self.phase = Phase::Sick { why };
        }
    }
}

/// Of whom it is said that it is sick: where, who, for which upgrade, in which version, and why.
type SickOf = (Events, Addr, String, Version, String);

impl Entry {
    /// The way by which what fails so is taken back by itself; or all that an operator is to be told of it.
    fn by_itself(&self, why: String) -> Result<(WayBack, String), String> {
        let Some(way) = self.watch.rollback.of(&self.keeping(&self.ways()), self.down) else { return Err(why) };
        let lost = self.lost_on(way, self.pathless());
        if lost.is_empty() {
            return Ok((way, why));
        }
        let (to, what) = (&self.moved.from.version, listed(&lost));
        let kept = format!("[UPG-CONTRACT] waiting messages have no path to {to}: {what}");
        Err(format!("{why}; it is not taken back by itself: {kept}"))
    }

    fn is_sick(&self, addr: &Addr, why: String) -> SickOf {
        let (id, version) = (self.upgrade.to_string(), self.moved.to.version.clone());
        (self.actor.event_sink(), addr.clone(), id, version, why)
    }

    /// One that panics after all that was said of it waits for the same operator, who is told of that, too.
    fn panicked_besides(&mut self, addr: &Addr) -> Option<SickOf> {
        let (Phase::Sick { why }, Some(crashed)) = (&mut self.phase, &self.crashed) else { return None };
        let crash = Sick::Crash { reason: crashed.reason.clone() }.to_string();
        // With or without why it was not taken back.
        if why.starts_with(&crash) {
            return None;
        }
        why.clone_from(&crash);
        Some(self.is_sick(addr, crash))
    }
}

impl State {
    /// Which upgrades are spoiled is asked of those that somebody is on probation for, or may yet be: of others it is
    /// forgotten. Only where it is judged: whoever passes is asked about next, and is on probation yet.
    fn forget_spoiled(&mut self, is_running: impl Fn(&UpgradeId) -> bool) {
        let Self { on, spoiled, .. } = self;
        spoiled.retain(|id| is_running(id) || on.values().any(|entry| entry.upgrade == *id));
    }

    /// Begins to take back who fails.
    fn fail(
        &mut self,
        inner: &Arc<Inner>,
        (of, way): (UpgradeId, WayBack),
        failing: Vec<(Addr, String)>,
    ) -> Result<UnderWay, UpgradeError> {
        let why = failing.first().map_or_else(String::new, |(addr, why)| format!("{of} fails at {addr}: {why}"));
        // All of one upgrade have the same.
        let first = failing.first().and_then(|(addr, _)| self.on.get(addr));
        let pathless = first.map_or(PathlessPolicy::Refuse, Entry::pathless);
        let actors = failing.into_iter().map(|(addr, _)| addr).collect();
        self.mark_one(inner, Wanted { of: &of, way, pathless, asked: (PROBATION, &why), actors })
    }
}

impl Probations {
    /// A turn panicked; its actor is paused.
    fn crashed(&self, addr: Addr, upgrade: UpgradeId, crashed: Crashed) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        match state.on.get_mut(&addr).filter(|entry| entry.upgrade == upgrade) {
            Some(entry) => entry.crashed = Some(crashed),
            // Its commit is not through yet, or its probation has just ended.
            None => drop(state.early.insert(addr, (upgrade, crashed))),
        }
    }

    /// Whose upgrade has settled them is in the list by now, or on probation no longer: their supervisors hear of it.
    fn give_up_early(&self, inner: &Inner) {
        let mut state = self.state.lock();
        let of_old = state.early.extract_if(.., |addr, (upgrade, _)| !inner.has(upgrade, addr));
        let of_old: Vec<_> = of_old.collect();
        drop(state);
        drop(of_old);
    }

    /// Looks at everybody who is watched: who fails and has a way back, and who has passed.
    fn judge(&self, inner: &Arc<Inner>) -> (Vec<UnderWay>, BTreeMap<UpgradeId, Vec<Addr>>) {
        let (now, hang_after) = (inner.clock.now(), inner.runtime.config().hang_after);
        let (mut failing, mut passed) = (Failing::new(), BTreeMap::<UpgradeId, Vec<Addr>>::new());
        let (mut gone, mut sick) = (Vec::new(), Vec::new());
        let mut state = self.state.lock();
        for (addr, entry) in &mut state.on {
            // Whoever takes it back knows best what it is.
            if entry.going.is_some() {
                continue;
            }
            if entry.is_anothers() {
                // An upgrade that has moved it just now is about to say so.
                gone.extend((entry.actor.is_stopped() || !inner.is_busy(addr)).then(|| addr.clone()));
                continue;
            }
            entry.resumed(|| inner.is_busy(addr));
            sick.extend(entry.panicked_besides(addr));
            if !matches!(entry.phase, Phase::Watching) || entry.retry.is_some_and(|(at, _)| at > now) {
                continue;
            }
            let verdict = match &entry.crashed {
                Some(crashed) => Verdict::Sick(Sick::Crash { reason: crashed.reason.clone() }),
                None if entry.fails_to_return() => Verdict::Sick(Sick::Hangs),
                None => {
                    let figures = entry.actor.figures();
                    entry.marks.judge(&entry.watch, &entry.before, figures, now.since(entry.since))
                }
            };
            match verdict {
                Verdict::Watching => {}
                // Others of it may not be there yet: it is final as a whole.
                Verdict::Passed if inner.is_running(&entry.upgrade) => {}
                // For another one's sake, it may be; but of a version that is known to hang a way back is kept.
                Verdict::Passed if entry.quarantined().is_some() => {}
                Verdict::Passed if !entry.has_returned(now, hang_after) => {}
                Verdict::Passed => passed.entry(entry.upgrade.clone()).or_default().push(addr.clone()),
                Verdict::Sick(why) => {
                    match entry.by_itself(why.to_string()) {
                        // Somebody else moves it at this moment: looked at again.
                        Ok(_) if inner.is_busy(addr) => {}
                        Ok((way, why)) => {
                            failing.entry((entry.upgrade.clone(), way)).or_default().push((addr.clone(), why));
                        }
                        Err(why) => {
                            entry.phase = Phase::Sick { why: why.clone() };
                            sick.push(entry.is_sick(addr, why));
                        }
                    }
                }
            }
        }
        let spoiled: Vec<UpgradeId> = sick.iter().map(|(_, _, id, ..)| UpgradeId(id.clone())).collect();
        state.spoiled.extend(spoiled);
        let gone: Vec<_> = gone.iter().filter_map(|addr| state.on.remove(addr)).collect();
        state.spoiled.extend(gone.iter().map(|entry| entry.upgrade.clone()));
        state.forget_spoiled(|id| inner.is_running(id));
        // Of who is somebody else's by now none is: looked at again.
        let failing = failing.into_iter().filter_map(|(which, actors)| state.fail(inner, which, actors).ok()).collect();
        drop(state);
        for (events, addr, upgrade, version, why) in sick {
            tracing::error!(actor = %addr, upgrade, %version, why, "fails its probation, and nothing takes it back");
            events.emit(What::Probation { addr, upgrade, version, phase: "sick", why });
        }
        let over = Over { how: "stopped", why: "the actor was stopped or moved", by: None };
        self.over(gone, over);
        (failing, passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_upgrades_that_are_over_and_that_nobody_is_on_probation_for_nothing_is_remembered() {
        let [over, running] = ["up-1", "up-2"].map(|id| UpgradeId(id.to_owned()));
        let mut state = State::default();
        state.spoiled.extend([over, running.clone()]);
        state.forget_spoiled(|id| *id == running);
        assert_eq!(state.spoiled, [running].into());
        state.forget_spoiled(|_| false);
        assert!(state.spoiled.is_empty());
    }
}
