//! Who holds a pause, as the cell and the timers know it: an owner, a deadline, and at most one end.

use super::{Kept, LeaseLost, LeaseStep, Lost, OnLost};
use crate::cell::Cell;
use crate::cell::extras::Ended;
use crate::cell::protocol::{IfLent, LeaseId, Revoked};
use crate::clock::Moment;
use crate::events::What;
use crate::runtime::Due;
use crate::supervision::Exit;
use crate::timer::TimerKey;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who holds a pause, as the cell knows it.
pub(crate) struct Lease {
    pub(crate) owner: String,
    pub(super) max_pause: Duration,
    /// What is paused panicked, with this: it cannot go on by itself.
    pub(crate) wreck: Option<String>,
    state: Mutex<State>,
    /// The phase is another one.
    changed: Condvar,
}

/// What came of waiting for somebody else's request.
pub(super) enum Waited {
    Granted,
    /// It is over, and why, if it was taken away.
    Over(Option<LeaseLost>),
    /// Neither in time.
    Late,
}

struct State {
    id: Option<LeaseId>,
    since: Moment,
    step: LeaseStep,
    deadline: Option<TimerKey>,
    /// How long the pause may last, as it was said last.
    lasts_max: Duration,
    /// Why the pause ends as soon as `save` gives the instance back, or as it has a name; the first reason stands.
    ending: Option<LeaseLost>,
    /// The deadline has passed once, and `save` was at work.
    overran: bool,
    phase: Phase,
}

enum Phase {
    /// Not granted yet.
    Asked(OnLost),
    /// Never granted: somebody came first, by this name.
    GaveWay(String),
    Granted(OnLost),
    Over(Option<LeaseLost>),
}

/// When a pause ends that somebody takes back.
#[derive(PartialEq, Eq)]
enum Ends {
    Now,
    WithSave,
}

impl Lease {
    pub(crate) fn new(owner: String, max_pause: Duration, now: Moment, on_lost: OnLost) -> Arc<Self> {
        Self::with(owner, max_pause, now, Phase::Asked(on_lost), None)
    }

    /// Of what is paused already, and was another's.
    pub(super) fn after(other: &Self, owner: String, max_pause: Duration, now: Moment, on_lost: OnLost) -> Arc<Self> {
        Self::with(owner, max_pause, now, Phase::Granted(on_lost), other.wreck.clone())
    }

    /// Of an instance that panicked, granted already. It has no deadline until somebody sets one.
    pub(crate) fn of_wreck(owner: String, now: Moment, reason: String) -> Arc<Self> {
        Self::with(owner, Duration::MAX, now, Phase::Granted(Box::new(drop)), Some(reason))
    }

    fn with(owner: String, max_pause: Duration, since: Moment, phase: Phase, wreck: Option<String>) -> Arc<Self> {
        let (step, lasts_max) = (LeaseStep::Hold, max_pause);
        let state = State { id: None, since, step, deadline: None, lasts_max, ending: None, overran: false, phase };
        Arc::new(Self { owner, max_pause, wreck, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// The cell knows it by this name. `Err`: it was taken back before it had one.
    pub(super) fn asked(&self, id: LeaseId) -> Result<(), LeaseLost> {
        let mut state = self.state.lock();
        state.id = Some(id);
        state.ending.take().map_or(Ok(()), Err)
    }

    /// The cell is at rest.
    pub(super) fn grant(&self, since: Moment) -> Result<(), LeaseLost> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, Phase::Over(None)) {
            Phase::Asked(on_lost) | Phase::Granted(on_lost) => {
                state.phase = Phase::Granted(on_lost);
                state.since = since;
                self.changed.notify_all();
                Ok(())
            }
            Phase::Over(lost) => Err(lost.unwrap_or(LeaseLost::Stopped)),
            Phase::GaveWay(_) => Err(LeaseLost::Stopped),
        }
    }

    /// It was asked for and will not be granted. Who came first, if somebody did.
    pub(super) fn withdraw(&self) -> Option<String> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Asked(_) | Phase::GaveWay(_)) {
            return None;
        }
        let was = std::mem::replace(&mut state.phase, Phase::Over(None));
        self.changed.notify_all();
        if let Phase::GaveWay(to) = was { Some(to) } else { None }
    }

    /// It was asked for while a turn ran that failed: the actor is paused for whoever decides that.
    pub(crate) fn gives_way(&self, to: &Self) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Asked(_)) {
            state.phase = Phase::GaveWay(to.owner.clone());
            self.changed.notify_all();
        }
    }

    /// Waits until it is granted or over. Blocks this thread until `until`, at most.
    pub(super) fn wait(&self, until: Option<Instant>) -> Waited {
        let mut state = self.state.lock();
        loop {
            match &state.phase {
                Phase::Granted(_) => return Waited::Granted,
                Phase::Over(lost) => return Waited::Over(lost.clone()),
                Phase::GaveWay(_) => return Waited::Over(None),
                Phase::Asked(_) if until.is_some_and(|until| Instant::now() >= until) => return Waited::Late,
                Phase::Asked(_) => match until {
                    Some(until) => drop(self.changed.wait_until(&mut state, until)),
                    None => self.changed.wait(&mut state),
                },
            }
        }
    }

    pub(super) fn step(&self, step: LeaseStep) {
        self.state.lock().step = step;
    }

    pub(super) fn lost(&self) -> Option<LeaseLost> {
        match &self.state.lock().phase {
            Phase::Over(lost) => lost.clone(),
            Phase::Asked(_) | Phase::GaveWay(_) | Phase::Granted(_) => None,
        }
    }

    /// Nobody else ends it any more. `Err`: somebody did.
    pub(super) fn finish(&self, cell: &Cell) -> Result<Moment, LeaseLost> {
        let mut state = self.state.lock();
        if let Phase::Over(lost) = &state.phase {
            return Err(lost.clone().unwrap_or(LeaseLost::Stopped));
        }
        state.phase = Phase::Over(None);
        self.changed.notify_all();
        let (deadline, since) = (state.deadline.take(), state.since);
        drop(state);
        if let Some(key) = deadline {
            cell.shared.timers().cancel(key);
        }
        Ok(since)
    }

    /// Starts the deadline, now or anew.
    pub(crate) fn prolong(self: &Arc<Self>, cell: &Arc<Cell>, by: Duration) {
        self.state.lock().lasts_max = by;
        self.end_in(cell, by);
    }

    fn end_in(self: &Arc<Self>, cell: &Arc<Cell>, by: Duration) {
        let due = Due::Lease(Arc::clone(cell), Arc::clone(self));
        let key = cell.shared.timers().schedule(cell.shared.clock.now() + by, due);
        let mut state = self.state.lock();
        let old = match state.phase {
            Phase::Over(_) => Some(key),
            Phase::Asked(_) | Phase::GaveWay(_) | Phase::Granted(_) => state.deadline.replace(key),
        };
        drop(state);
        if let Some(old) = old {
            cell.shared.timers().cancel(old);
        }
    }

    pub(crate) fn lose_to_stop(&self, cell: &Cell) {
        let lost = self.state.lock().lose(cell, LeaseLost::Stopped, Kept::Nothing);
        self.changed.notify_all();
        lost();
    }

    /// The pause lasted too long. A `save` that is at work has the instance, and with it the state: it is given as long
    /// as any code before it is said to hang.
    pub(crate) fn overdue(self: &Arc<Self>, cell: &Arc<Cell>) {
        let mut state = self.state.lock();
        let (hangs, max_pause) = (std::mem::replace(&mut state.overran, true), state.lasts_max);
        drop(state);
        let why = LeaseLost::Overdue { max_pause };
        if self.end(cell, why, if hangs { IfLent::CutOff } else { IfLent::Wait }) == Ends::WithSave {
            self.end_in(cell, cell.shared.config.hang_after);
        }
    }

    /// Whoever holds the pause holds it no longer, if it still does: from now on, or from when `save` returns.
    pub(crate) fn take_back(self: &Arc<Self>, cell: &Arc<Cell>, why: LeaseLost) {
        self.end(cell, why, IfLent::Wait);
    }

    /// The instance is back from `save`: whoever wanted the pause to end meanwhile gets that now.
    pub(super) fn returned(self: &Arc<Self>, cell: &Arc<Cell>) {
        let ending = self.state.lock().ending.take();
        if let Some(why) = ending {
            self.take_back(cell, why);
        }
    }

    fn end(self: &Arc<Self>, cell: &Arc<Cell>, why: LeaseLost, if_lent: IfLent) -> Ends {
        let mut state = self.state.lock();
        let Some(id) = state.id else {
            state.ending.get_or_insert(why);
            return Ends::Now;
        };
        if self.wreck.is_some() {
            // Nobody resumes it: its supervisor hears of the panic now.
            let lost = state.lose(cell, why, Kept::Nothing);
            drop(state);
            self.changed.notify_all();
            lost();
            cell.give_wreck_up(self);
            return Ends::Now;
        }
        let (kept, again) = match cell.protocol.revoke(id, if_lent) {
            Revoked::Over => return Ends::Now,
            Revoked::Lent => {
                state.ending.get_or_insert(why);
                return Ends::WithSave;
            }
            Revoked::Resumed(again) => (Kept::OldInstance, Some(again)),
            Revoked::Suspended => (Kept::ReplacedPer(cell.birth.options.restart_state), None),
        };
        let lost = state.lose(cell, why.clone(), kept);
        drop(state);
        self.changed.notify_all();
        let granted = lost();
        match again {
            Some(again) => {
                if let Some((paused, queued_messages)) = granted {
                    cell.tell_resumed(paused, queued_messages);
                }
                cell.owe(again);
            }
            None => self.replace(cell, &why),
        }
        Ends::Now
    }

    /// The holder keeps the instance for ever: the supervisor makes another.
    fn replace(&self, cell: &Arc<Cell>, why: &LeaseLost) {
        if let LeaseLost::Overdue { max_pause } = why {
            let provider = cell.provider();
            let (addr, version) = (cell.addr.clone(), provider.version().clone());
            let quarantined = format!("{addr} hung in save");
            let (doing, running_for) = ("save".to_owned(), *max_pause + cell.shared.config.hang_after);
            cell.shared.events.emit(What::Hung { addr, version, doing, running_for });
            cell.shared.quarantine(&*provider, &quarantined);
        }
        cell.extras().ended = Some(Ended { exit: Exit::Abnormal, reason: why.to_string() });
        cell.tell_suspended(why.to_string());
        if let Some(child) = cell.child.get() {
            cell.shared.supervision().replace(*child);
        }
    }
}

impl State {
    /// The pause is over before its holder is done. What is returned tells the holder, without a lock, and says how
    /// long it was and how many messages waited, if it was granted.
    fn lose(&mut self, cell: &Cell, why: LeaseLost, kept: Kept) -> impl FnOnce() -> Option<(Duration, usize)> + use<> {
        if let Some(key) = self.deadline.take() {
            cell.shared.timers().cancel(key);
        }
        let granted = match std::mem::replace(&mut self.phase, Phase::Over(Some(why.clone()))) {
            Phase::Granted(on_lost) => {
                let paused = cell.shared.clock.now().since(self.since);
                let queued_messages = cell.protocol.look(|queued, _, _, _| queued.messages);
                Some((on_lost, Lost { step: self.step, paused, queued_messages, kept, why }))
            }
            Phase::Asked(_) | Phase::GaveWay(_) => None,
            over @ Phase::Over(_) => {
                self.phase = over;
                None
            }
        };
        move || {
            granted.map(|(on_lost, lost)| {
                let was = (lost.paused, lost.queued_messages);
                on_lost(lost);
                was
            })
        }
    }
}
