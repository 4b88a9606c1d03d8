//! The pause as a lease: a token that only the cell mints, with an owner and a deadline.
//!
//! Whoever holds [`Quiesced`] knows that no message is handled and may save, make a new instance and commit it. Past
//! `max_pause` the watchdog takes the cell back by compare-and-swap; the loser's calls return [`LeaseLost`] and what it
//! made is dropped. So a migration that never returns costs a thread, not an actor.

mod back;
mod holder;
mod install;

pub use back::{Begun, Crashed};
pub(crate) use holder::Lease;

use holder::Waited;
pub(crate) use install::Install;

use crate::cell::extras::Snapshot;
use crate::cell::protocol::{LeaseId, NotPaused};
use crate::cell::record::Record;
use crate::cell::{Cell, Gate};
use crate::config::{Generation, RestartState};
use crate::error::{LeaseLost, PauseRefused, StepError};
use crate::events::What;
use crate::figures::Figures;
use crate::ports::guarded;
use crate::ports::{Behaviour, Fault, Provider, Why};
use crate::probation::Recording;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

type OnLost = Box<dyn FnOnce(Lost) + Send>;

/// What a pause is asked for with.
pub struct LeaseRequest {
    /// Who asks: the upgrade's id.
    pub owner: String,
    /// Where the plan starts from.
    pub generation: Generation,
    /// How long to wait for a message boundary.
    pub quiesce_timeout: Duration,
    /// How long the pause may last. A `save` that is at work then has the state, and is given `hang_after` to return
    /// it.
    pub max_pause: Duration,
    /// Called once, on the runtime's timer thread or by whoever stops the actor, if the pause ends before its
    /// holder does. Short, and never waits.
    pub on_lost: OnLost,
}

impl fmt::Debug for LeaseRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseRequest")
            .field("owner", &self.owner)
            .field("generation", &self.generation)
            .field("quiesce_timeout", &self.quiesce_timeout)
            .field("max_pause", &self.max_pause)
            .finish_non_exhaustive()
    }
}

/// What the holder of a pause is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStep {
    /// Nothing inside the actor's code.
    Hold,
    /// The old instance writes its state.
    Save,
    /// The new code makes an instance from it.
    Migrate,
    /// An instance is made from a snapshot or from arguments.
    Restore,
    /// The new instance takes the old one's place.
    Commit,
}

/// A pause that ended before its holder did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// What the holder was doing.
    pub step: LeaseStep,
    /// How long the actor was paused.
    pub paused: Duration,
    /// How many messages waited for it then.
    pub queued_messages: usize,
    /// What serves now.
    pub kept: Kept,
    /// Why it ended.
    pub why: LeaseLost,
}

/// What serves after a lost pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The old instance, untouched.
    OldInstance,
    /// The old instance hangs in `save`: it is left behind and replaced.
    ReplacedPer(RestartState),
    /// Nothing: the actor was stopped.
    Nothing,
}

/// An actor that handles messages again.
pub struct Resumed {
    /// How long it did not.
    pub paused: Duration,
    /// How many messages waited for it at the end of the pause.
    pub queued_messages: usize,
    /// What waited for it, in its mailbox or as a timer or a continuation, and has no way to the new code.
    pub dead_letters: usize,
    /// Its generation now.
    pub generation: Generation,
    /// After a commit, the instance that served before: dropped, or kept for probation.
    pub old: Option<Box<dyn Behaviour>>,
    /// After a commit, what the turns of the version before came to.
    pub figures: Figures,
}

impl fmt::Debug for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumed")
            .field("paused", &self.paused)
            .field("queued_messages", &self.queued_messages)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// What asking for a pause can end in, below the names.
enum Refusal {
    Not(NotPaused<Arc<Lease>>),
    Stale { expected: Generation, found: Generation },
}

impl From<NotPaused<Arc<Lease>>> for Refusal {
    fn from(not: NotPaused<Arc<Lease>>) -> Self {
        Self::Not(not)
    }
}

/// An actor at rest: no message is handled while this lives. Dropped, it resumes the old instance.
pub struct Quiesced {
    cell: Arc<Cell>,
    lease: Arc<Lease>,
    id: LeaseId,
    provider: Arc<dyn Provider>,
    generation: Generation,
    snapshot: Option<Snapshot>,
    /// The pause outlives this token.
    left: bool,
}

impl fmt::Debug for Quiesced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quiesced({} for {})", self.cell.addr, self.lease.owner)
    }
}

/// A pause that is asked for and not granted yet: no further turn begins. Dropped, it is withdrawn.
pub struct PauseRequest {
    cell: Arc<Cell>,
    lease: Arc<Lease>,
    id: LeaseId,
    asked: Instant,
    timeout: Duration,
    /// Granted, or withdrawn by the cell itself.
    over: bool,
}

impl fmt::Debug for PauseRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PauseRequest({} for {})", self.cell.addr, self.lease.owner)
    }
}

impl PauseRequest {
    /// Whether [`PauseRequest::wait`] has nothing to wait for.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.cell.protocol.is_decided(self.id)
    }

    /// Waits for the end of the turn that runs. Blocks this thread until `quiesce_timeout` has passed since the pause
    /// was asked for, at most.
    ///
    /// # Errors
    /// [`PauseRefused`]: the actor is not paused, and never will be by this request.
    pub fn wait(mut self) -> Result<Quiesced, PauseRefused> {
        let cell = Arc::clone(&self.cell);
        let wait = cell.protocol.wait_quiet(self.id, self.asked.checked_add(self.timeout));
        self.over = true;
        if let Err(not) = wait {
            return Err(match (self.lease.withdraw(), not) {
                (Some(owner), NotPaused::Revoked | NotPaused::Held(_)) => PauseRefused::Held { owner },
                // Taken back, and somebody else's by now.
                (_, NotPaused::Held(lease)) if lease.wreck.is_none() => PauseRefused::Cancelled,
                (_, not) => cell.not_paused(not, self.asked.elapsed()),
            });
        }
        let since = cell.shared.clock.now();
        self.lease.grant(since).map_err(|lost| match lost {
            LeaseLost::Cancelled { .. } => PauseRefused::Cancelled,
            LeaseLost::Overdue { .. } | LeaseLost::Stopped => PauseRefused::Stopped,
        })?;
        self.lease.prolong(&cell, self.lease.max_pause);
        let (provider, generation) = cell.protocol.look(|_, _, _, gate| (Arc::clone(&gate.provider), gate.generation));
        let lease = Arc::clone(&self.lease);
        cell.shared.events.tell(|| What::Paused {
            addr: cell.addr.clone(),
            version: provider.version().clone(),
            generation,
            owner: lease.owner.clone(),
        });
        Ok(Quiesced { cell, lease, id: self.id, provider, generation, snapshot: None, left: false })
    }
}

impl Drop for PauseRequest {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if let Some((again, _)) = self.cell.protocol.release(self.id) {
            self.cell.owe(again);
        }
        self.lease.withdraw();
    }
}

impl Cell {
    /// See [`crate::ActorRef::ask_pause`]. `expected` is checked under the lock.
    pub(crate) fn ask_pause(
        self: &Arc<Self>,
        lease: Arc<Lease>,
        expected: Option<Generation>,
        timeout: Duration,
    ) -> Result<PauseRequest, PauseRefused> {
        let asked = Instant::now();
        let check = |gate: &Gate| match expected {
            Some(expected) if expected != gate.generation => Err(Refusal::Stale { expected, found: gate.generation }),
            _ => Ok(()),
        };
        let id = self.protocol.pause(Arc::clone(&lease), check).map_err(|refusal| match refusal {
            Refusal::Not(not) => self.not_paused(not, Duration::ZERO),
            Refusal::Stale { expected, found } => PauseRefused::Stale { expected, found },
        })?;
        let request = PauseRequest { cell: Arc::clone(self), lease, id, asked, timeout, over: false };
        request.lease.asked(id).map_err(|_| PauseRefused::Cancelled)?;
        Ok(request)
    }

    /// See [`crate::ActorRef::pause`].
    pub(crate) fn pause_for(self: &Arc<Self>, owner: &str, ttl: Duration) -> Result<(), PauseRefused> {
        let (asked, timeout) = (Instant::now(), self.shared.config.stop_timeout);
        let until = asked.checked_add(timeout);
        loop {
            let holder = self.protocol.look(|_, _, holder, _| holder.cloned());
            if let Some(lease) = holder.filter(|lease| lease.owner == owner) {
                match lease.wait(until) {
                    Waited::Granted => {
                        lease.prolong(self, ttl);
                        return Ok(());
                    }
                    Waited::Over(Some(LeaseLost::Cancelled { .. })) => return Err(PauseRefused::Cancelled),
                    Waited::Late => return Err(self.not_paused(NotPaused::Busy, asked.elapsed())),
                    Waited::Over(_) => {} // On one's own, then.
                }
            }
            let lease = Lease::new(owner.to_owned(), ttl, self.shared.clock.now(), Box::new(drop));
            match self.ask_pause(lease, None, timeout.saturating_sub(asked.elapsed())) {
                Err(PauseRefused::Held { owner: faster }) if faster == owner => {}
                request => return request?.wait().map(Quiesced::leave),
            }
        }
    }

    fn tell_resumed(&self, paused: Duration, queued_messages: usize) {
        self.shared.events.tell(|| {
            let look = |gate: &Gate| (gate.provider.version().clone(), gate.generation);
            let (version, generation) = self.protocol.look(|_, _, _, gate| look(gate));
            What::Resumed { addr: self.addr.clone(), version, generation, paused, queued_messages }
        });
    }

    fn not_paused(self: &Arc<Self>, not: NotPaused<Arc<Lease>>, waited: Duration) -> PauseRefused {
        match not {
            NotPaused::Held(lease) => PauseRefused::Held { owner: lease.owner.clone() },
            NotPaused::Stopped => PauseRefused::Stopped,
            NotPaused::Revoked => PauseRefused::Cancelled,
            NotPaused::Suspended => PauseRefused::Suspended { reason: self.ended_reason() },
            NotPaused::Busy => self.busy_for(waited),
        }
    }

    /// It did not come to a message boundary, for so long.
    pub(crate) fn busy_for(self: &Arc<Self>, waited: Duration) -> PauseRefused {
        let index = self.shared.executor.watches.handling(self);
        let provider = self.provider();
        let message = index.map_or_else(|| "its first turn".to_owned(), |index| Self::doing(&provider, index));
        PauseRefused::Busy { running_for: waited, message }
    }
}

impl Quiesced {
    /// The code that runs the actor now.
    #[must_use]
    pub fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider)
    }

    /// The actor's generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The state, in the schema of the code that runs. Runs plugin code on this thread, without a lock.
    ///
    /// # Errors
    /// [`StepError::Fault`] when `save` fails or panics: the pause still holds, and so does the instance.
    /// [`StepError::Lost`] when the pause is over.
    pub fn save(&mut self, bytes_max: usize) -> Result<Vec<u8>, StepError> {
        self.lease.step(LeaseStep::Save);
        let Ok(mut instance) = self.cell.protocol.lend(self.id) else { return Err(self.gone()) };
        self.cell.go_on_in_place(&mut instance);
        let saved = guarded(|| instance.behaviour.save(bytes_max));
        match self.cell.protocol.give_back(self.id, instance) {
            Ok(again) => self.cell.owe(again),
            Err(left_behind) => {
                drop(left_behind);
                return Err(self.gone());
            }
        }
        self.lease.returned(&self.cell);
        if self.cancelled().is_some() {
            return Err(self.gone());
        }
        self.lease.step(LeaseStep::Hold);
        let bytes = saved.map_err(StepError::Fault)?;
        if self.cell.keeps_saved(&*self.provider) {
            self.snapshot = Some(Snapshot { schema: self.provider.schema(), bytes: bytes.clone() });
        }
        Ok(bytes)
    }

    /// Runs plugin code on this thread that makes something (an instance), holding neither lock nor slot.
    ///
    /// # Errors
    /// As [`Quiesced::save`]; when the pause was lost meanwhile, what `f` made is dropped.
    pub fn make<T>(&mut self, step: LeaseStep, f: impl FnOnce() -> Result<T, Fault>) -> Result<T, StepError> {
        let made = self.lend(step, f, guarded).map_err(|(_, lost)| StepError::Lost(lost))?;
        if let Some(lost) = self.cancelled() {
            return Err(StepError::Lost(lost));
        }
        made.map_err(StepError::Fault)
    }

    /// Runs something of the holder's on this thread, which is lent what it works with and gives it back in what it
    /// returns, whether the pause still lasts then or not.
    ///
    /// # Errors
    /// What was to be lent, and why: the pause was over before.
    pub fn lend<L, T>(&mut self, step: LeaseStep, lent: L, f: impl FnOnce(L) -> T) -> Result<T, (L, LeaseLost)> {
        if let Some(lost) = self.cancelled() {
            return Err((lent, lost));
        }
        self.lease.step(step);
        let done = f(lent);
        if self.cancelled().is_none() {
            self.lease.step(LeaseStep::Hold);
        }
        Ok(done)
    }

    /// Says which snapshot a restart with [`RestartState::LastSnapshot`] starts from after the commit, when it is not
    /// the one that [`Quiesced::save`] returned (a downgraded one).
    pub fn keep_snapshot(&mut self, schema: u32, bytes: Vec<u8>) {
        if self.cell.keeps_saved(&*self.provider) {
            self.snapshot = Some(Snapshot { schema, bytes });
        }
    }

    /// The new instance takes over: everything parked passes the new contract, `started(why)` runs before any queued
    /// message, the mailbox is read again. With [`Why::Fresh`], which is a reset, timers, continuations and replies
    /// that are owed end with the old instance.
    ///
    /// # Errors
    /// [`LeaseLost`]: the old instance serves, `new` is dropped.
    pub fn commit(self, new: Box<dyn Behaviour>, provider: Arc<dyn Provider>, why: Why) -> Result<Resumed, LeaseLost> {
        self.commit_and(new, provider, why, || {})
    }

    /// The same, and runs `committed` once the new instance is in place, before anybody is told that the actor resumes
    /// and before its first turn. Short: the actor still waits.
    ///
    /// # Errors
    /// As [`Quiesced::commit`]; then `committed` does not run.
    pub fn commit_and(
        self,
        new: Box<dyn Behaviour>,
        provider: Arc<dyn Provider>,
        why: Why,
        committed: impl FnOnce(),
    ) -> Result<Resumed, LeaseLost> {
        self.commit_recorded(new, provider, why, None, committed)
    }

    /// The same, and records what the new instance is told and says: see [`Recording`].
    ///
    /// # Errors
    /// As [`Quiesced::commit`]; then `committed` does not run.
    pub fn commit_recorded(
        self,
        new: Box<dyn Behaviour>,
        provider: Arc<dyn Provider>,
        why: Why,
        recording: Option<Recording>,
        committed: impl FnOnce(),
    ) -> Result<Resumed, LeaseLost> {
        let (generation, anew) = (self.generation.next(), why == Why::Fresh);
        let record = recording.map(|recording| Record::new(recording, &self.cell));
        self.install((new, provider), Install { anew, record, ..Install::as_it_is(why, generation) }, committed)
    }

    /// Gives the pause to another owner, for at most `max_pause` from now: the actor handles nothing in between.
    ///
    /// # Errors
    /// [`LeaseLost`]: the pause was over before.
    pub fn hand_over(mut self, owner: String, max_pause: Duration, on_lost: OnLost) -> Result<Self, LeaseLost> {
        // Nobody ends it from here on but a stop.
        self.lease.finish(&self.cell)?;
        let lease = Lease::after(&self.lease, owner, max_pause, self.cell.shared.clock.now(), on_lost);
        let Some(id) = self.cell.protocol.hand_over(self.id, Arc::clone(&lease)) else { return Err(self.lost()) };
        (self.lease, self.id) = (lease, id);
        if let Err(why) = self.lease.asked(id) {
            self.lease.take_back(&self.cell, why); // Somebody was that fast; now it has a name.
        }
        self.lease.prolong(&self.cell, max_pause);
        Ok(self)
    }

    /// Resumes the old instance. As dropping, with a report.
    ///
    /// # Errors
    /// [`LeaseLost`]: the pause was over before.
    pub fn abort(self) -> Result<Resumed, LeaseLost> {
        self.resume().ok_or_else(|| self.lost())
    }

    fn resume(&self) -> Option<Resumed> {
        if self.lease.wreck.is_some() {
            if self.lease.finish(&self.cell).is_ok() {
                self.cell.give_wreck_up(&self.lease);
            }
            return None;
        }
        let (again, queued) = self.cell.protocol.release(self.id)?;
        self.cell.owe(again);
        let since = self.lease.finish(&self.cell).ok()?;
        let paused = self.cell.shared.clock.now().since(since);
        self.cell.tell_resumed(paused, queued.messages);
        Some(Resumed {
            paused,
            queued_messages: queued.messages,
            dead_letters: 0,
            generation: self.generation,
            old: None,
            figures: Figures::default(),
        })
    }

    /// Why the pause is over, if it is.
    #[must_use]
    pub fn cancelled(&self) -> Option<LeaseLost> {
        self.lease.lost()
    }

    fn lost(&self) -> LeaseLost {
        self.lease.lost().unwrap_or(LeaseLost::Stopped)
    }

    fn gone(&self) -> StepError {
        StepError::Lost(self.lost())
    }

    /// Leaves the pause to an operator, who ends it by name.
    pub(crate) fn leave(mut self) {
        self.left = true;
    }
}

impl Drop for Quiesced {
    fn drop(&mut self) {
        if !self.left {
            drop(self.resume());
        }
    }
}
