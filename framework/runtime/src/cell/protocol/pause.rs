//! The pause: asked for, granted at rest, and ended by its holder, by revocation, by failure or by stop.

use super::super::waiters::wake_all;
use super::{Again, Guard, Hold, Leftovers, Life, Parts, Protocol, Queued, Run, State};
use std::time::Instant;

/// Names a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseId(u64);

/// Why there is no pause.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPaused<H> {
    /// Somebody else has it.
    Held(H),
    /// The cell has no instance: it failed.
    Suspended,
    /// The cell is stopped.
    Stopped,
    /// The turn did not end in time.
    Busy,
    /// It was revoked while waiting.
    Revoked,
}

/// The pause is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over;

/// What [`Protocol::revoke`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// The instance is there and goes on.
    Resumed(Again),
    /// The holder has the instance and does not give it back: the cell is suspended.
    Suspended,
    /// The holder has the instance, and the pause goes on.
    Lent,
    /// That pause is over.
    Over,
}

/// What [`Protocol::revoke`] does when the holder has the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfLent {
    /// Nothing: it is given back soon.
    Wait,
    /// The cell goes on without it.
    CutOff,
}

/// User messages that a commit adds to those that wait.
pub(crate) struct Beside<U> {
    /// Handled first: one that was begun before.
    pub(crate) ahead: Option<U>,
    /// Handled last.
    pub(crate) behind: Vec<U>,
}

/// A pause that was granted at the end of an activation: its name, who had asked for another, and what the caller owes.
pub(crate) type Paused<H> = (LeaseId, Option<H>, Again);

/// What is left of an instance that is gone on without.
pub(crate) struct Lost<P: Parts> {
    /// Who asked for a pause.
    pub(crate) holder: Option<P::Holder>,
    /// What lay open.
    pub(crate) open: Option<P::Open>,
}

/// What a commit replaced.
pub(crate) struct Replaced<P: Parts> {
    /// The instance that served.
    pub(crate) old: P::Instance,
    /// Messages that the new gate has no way for, in order.
    pub(crate) refused: Vec<P::User>,
    /// Messages that wait.
    pub(crate) queued_messages: usize,
    /// What the caller owes.
    pub(crate) again: Again,
}

/// How [`Protocol::end_or`] goes on.
#[derive(Debug)]
pub(crate) enum End<H> {
    /// There is no instance any more; who held a pause holds it no longer.
    Gone(Option<H>),
    /// The activation ends it.
    Later(Again),
}

impl<P: Parts> State<P> {
    /// From now on it is paused for `holder`, or comes to rest for them.
    pub(super) fn hold_for(&mut self, holder: P::Holder) -> LeaseId {
        let id = LeaseId(self.number());
        self.hold = Some(Hold { id, holder, lent: false });
        id
    }
}

impl<P: Parts> Protocol<P> {
    /// Asks for a pause. Nothing is granted yet: [`Protocol::wait_quiet`] must follow.
    ///
    /// # Errors
    /// [`NotPaused`], or what `check` says of the gate.
    pub(crate) fn pause<E: From<NotPaused<P::Holder>>>(
        &self,
        holder: P::Holder,
        check: impl FnOnce(&P::Gate) -> Result<(), E>,
    ) -> Result<LeaseId, E> {
        let mut state = self.state.lock();
        match state.life {
            Life::Live => {}
            Life::Suspended => return Err(NotPaused::Suspended.into()),
            Life::Stopped => return Err(NotPaused::Stopped.into()),
        }
        if let Some(hold) = &state.hold {
            return Err(NotPaused::Held(hold.holder.clone()).into());
        }
        check(&state.gate)?;
        let id = state.hold_for(holder);
        self.note(&state);
        Ok(id)
    }

    /// Whether [`Protocol::wait_quiet`] returns at once.
    pub(crate) fn is_decided(&self, id: LeaseId) -> bool {
        let state = self.state.lock();
        !state.held_by(id) || state.at_rest()
    }

    /// Waits until the cell is at rest; when that takes longer than `until`, the pause is withdrawn.
    ///
    /// # Errors
    /// [`NotPaused`]: there is no pause and never will be.
    pub(crate) fn wait_quiet(&self, id: LeaseId, until: Option<Instant>) -> Result<(), NotPaused<P::Holder>> {
        let mut state = self.state.lock();
        loop {
            if !state.held_by(id) {
                return Err(match state.life {
                    // Whoever it gave way to, or who came after it was taken back.
                    Life::Live => {
                        state.hold.as_ref().map_or(NotPaused::Revoked, |hold| NotPaused::Held(hold.holder.clone()))
                    }
                    Life::Suspended => NotPaused::Suspended,
                    Life::Stopped => NotPaused::Stopped,
                });
            }
            if state.at_rest() {
                return Ok(());
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                if cfg!(feature = "bug-f19") {
                    return Ok(()); // Planted: granted in the middle of a turn.
                }
                if !cfg!(feature = "bug-u17") {
                    state.hold = None; // Planted otherwise: it pauses the actor later.
                }
                self.note(&state);
                return Err(NotPaused::Busy);
            }
            state = self.ended.wait(state, until);
        }
    }

    /// Lends the instance to the holder of the pause. Waits while the system lane has it.
    ///
    /// # Errors
    /// [`Over`]: the pause is over.
    pub(crate) fn lend(&self, id: LeaseId) -> Result<P::Instance, Over> {
        let (mut state, instance) = self.at_hand(id)?;
        if let Some(hold) = &mut state.hold {
            hold.lent = true;
        }
        Ok(instance)
    }

    /// Takes the instance back from the holder.
    ///
    /// # Errors
    /// The instance: the pause is over, and the instance is nobody's.
    pub(crate) fn give_back(&self, id: LeaseId, instance: P::Instance) -> Result<Again, P::Instance> {
        let mut state = self.state.lock();
        let Some(hold) = state.hold.as_mut().filter(|hold| hold.id == id) else { return Err(instance) };
        hold.lent = false;
        state.slot = Some(instance);
        Ok(state.wake())
    }

    /// Waits until the instance is in the slot and takes it out, while the pause lasts.
    fn at_hand(&self, id: LeaseId) -> Result<(Guard<'_, State<P>>, P::Instance), Over> {
        let mut state = self.state.lock();
        loop {
            if !state.held_by(id) {
                return Err(Over);
            }
            if let Some(instance) = state.slot.take() {
                return Ok((state, instance));
            }
            state = self.ended.wait(state, None);
        }
    }

    /// Replaces instance and gate, sends what waits and what is `beside` it through `remap` (which gives back what has
    /// no way), and resumes with the turn `first`.
    ///
    /// # Errors
    /// The new instance: the pause is over, and nothing changed; `beside` is as it was.
    pub(crate) fn commit(
        &self,
        id: LeaseId,
        new: P::Instance,
        renew: impl FnOnce(&mut P::Gate),
        first: P::System,
        mut remap: impl FnMut(&P::Gate, &mut P::User) -> bool,
        beside: &mut Beside<P::User>,
    ) -> Result<Replaced<P>, P::Instance> {
        let Ok((mut state, old)) = self.at_hand(id) else { return Err(new) };
        renew(&mut state.gate);
        if let Some(message) = beside.ahead.take() {
            state.user.push_front(message);
        }
        beside.behind.drain(..).for_each(|message| state.user.push_back(message));
        // Planted: the old code serves on; and: the first message that waited is lost.
        let (old, new) = if cfg!(feature = "bug-u1") { (new, old) } else { (old, new) };
        let lost = usize::from(cfg!(feature = "bug-u2"));
        let mut refused = Vec::new();
        for mut message in state.user.drain().skip(lost) {
            if remap(&state.gate, &mut message) {
                state.user.push_back(message);
            } else {
                refused.push(message);
            }
        }
        state.slot = Some(new);
        state.first = Some(first);
        state.hold = None;
        self.note(&state);
        let again = state.wake();
        Ok(Replaced { old, refused, queued_messages: state.user.len(), again })
    }

    /// Ends a pause; the instance that is there goes on. `None`: that pause is over.
    pub(crate) fn release(&self, id: LeaseId) -> Option<(Again, Queued)> {
        let mut state = self.state.lock();
        if !state.held_by(id) {
            return None;
        }
        state.hold = None;
        self.note(&state);
        let queued = self.weigh(&state);
        Some((state.wake(), queued))
    }

    /// Gives a pause to another holder, under another name. `None`: it is over.
    pub(crate) fn hand_over(&self, id: LeaseId, to: P::Holder) -> Option<LeaseId> {
        let mut state = self.state.lock();
        if !state.held_by(id) {
            return None;
        }
        let id = state.hold_for(to);
        self.note(&state);
        Some(id)
    }

    /// Takes a pause from its holder.
    pub(crate) fn revoke(&self, id: LeaseId, if_lent: IfLent) -> Revoked {
        let mut state = self.state.lock();
        if if_lent == IfLent::Wait && state.hold.as_ref().is_some_and(|hold| hold.id == id && hold.lent) {
            return Revoked::Lent;
        }
        let Some(hold) = state.hold.take_if(|hold| hold.id == id) else { return Revoked::Over };
        if hold.lent {
            state.life = Life::Suspended;
        }
        self.note(&state);
        self.ended.notify_all();
        if hold.lent { Revoked::Suspended } else { Revoked::Resumed(state.wake()) }
    }

    /// Which look aside an activation is in, of all that there ever were, if it is in one.
    pub(crate) fn looks_aside(&self) -> Option<u64> {
        self.state.lock().aside
    }

    /// Goes on without the instance that an activation looks at aside, if it is that look ([`Self::looks_aside`]): the
    /// cell is suspended, and what waits stays. Gives out who asked for a pause, and what lies open. `None`: that look
    /// is over.
    pub(crate) fn lose(&self, look: u64) -> Option<Lost<P>> {
        let mut state = self.state.lock();
        if state.life != Life::Live || state.aside.take_if(|aside| *aside == look).is_none() {
            return None;
        }
        self.put_back(&mut state);
        state.run = Run::Idle;
        state.life = Life::Suspended;
        let holder = state.hold.take().map(|hold| hold.holder);
        let open = self.batch.lock().open.take();
        self.note(&state);
        drop(state);
        self.ended.notify_all();
        Some(Lost { holder, open })
    }

    /// Puts a new instance into a suspended cell and goes on with the turn `first`. Hands out the messages that `keep`
    /// does not keep, and drops what was said to the instance before only: what `stays` does not name.
    ///
    /// # Errors
    /// The instance, when the cell is not suspended.
    pub(crate) fn revive(
        &self,
        instance: P::Instance,
        renew: impl FnOnce(&mut P::Gate),
        first: P::System,
        mut keep: impl FnMut(&P::User) -> bool,
        stays: impl FnMut(&P::System) -> bool,
    ) -> Result<(Again, Vec<P::User>), P::Instance> {
        let mut state = self.state.lock();
        if state.life != Life::Suspended {
            return Err(instance);
        }
        state.life = Life::Live;
        state.slot = Some(instance);
        state.first = Some(first);
        renew(&mut state.gate);
        state.system.retain(stays);
        let (kept, dropped): (Vec<_>, Vec<_>) = state.user.drain().partition(&mut keep);
        kept.into_iter().for_each(|message| state.user.push_back(message));
        self.note(&state);
        Ok((state.wake(), dropped))
    }

    /// Goes on without the activation of that number, paused for `holder` and with `instance` in the slot. Only for
    /// whoever has made sure that the activation touches the cell no more: see [`super::Activation::abandon`]. Gives
    /// out who had asked for a pause.
    ///
    /// # Errors
    /// The instance: the cell is stopped, or others have gone on without that activation already.
    pub(crate) fn cut_off(
        &self,
        activation: u64,
        instance: P::Instance,
        holder: P::Holder,
    ) -> Result<Paused<P::Holder>, P::Instance> {
        let mut state = self.state.lock();
        if state.life != Life::Live || state.run != Run::Running || state.activation != activation {
            return Err(instance);
        }
        state.aside = None;
        Ok(self.rest(state, Some(instance), holder))
    }

    /// The activation is over, with an instance in the slot and the cell paused for `holder`, in one step.
    pub(super) fn rest(
        &self,
        mut state: Guard<'_, State<P>>,
        instance: Option<P::Instance>,
        holder: P::Holder,
    ) -> Paused<P::Holder> {
        self.put_back(&mut state);
        let other = state.hold.take().map(|hold| hold.holder);
        let id = state.hold_for(holder);
        state.run = Run::Idle;
        state.slot = instance;
        self.note(&state);
        let again = state.wake();
        let awake = self.wake_waiters(&mut state);
        drop(state);
        self.ended.notify_all();
        wake_all(awake);
        (id, other, again)
    }

    /// Ends the instance: at once if nobody runs it or is about to, else by `message` at the front of the system lane,
    /// on which the activation calls [`Activation::suspend`]. The cell is then suspended.
    ///
    /// # Errors
    /// `message`, when the cell is stopped.
    pub(crate) fn end_or(&self, message: P::System) -> Result<End<P::Holder>, P::System> {
        let mut state = self.state.lock();
        if state.life == Life::Stopped {
            return Err(message);
        }
        if state.slot.is_none() && state.run != Run::Running {
            state.life = Life::Suspended;
            let holder = state.hold.take().map(|hold| hold.holder);
            self.note(&state);
            self.ended.notify_all();
            return Ok(End::Gone(holder));
        }
        state.system.push_front(message);
        self.note(&state);
        Ok(End::Later(state.wake()))
    }

    /// Stops the cell whatever it does and hands out what is left. A turn under way keeps its instance, finds no cell
    /// to come back to, and drops it.
    pub(crate) fn stop(&self) -> Leftovers<P> {
        let mut state = self.state.lock();
        self.put_back(&mut state);
        state.life = Life::Stopped;
        let first = state.first.take();
        let leftovers = Leftovers {
            user: state.user.drain().collect(),
            system: first.into_iter().chain(std::mem::take(&mut state.system)).collect(),
            instance: state.slot.take(),
            holder: state.hold.take().map(|hold| hold.holder),
            waiters: state.waiters.take().map(|mut waiters| waiters.wake(usize::MAX)).unwrap_or_default(),
        };
        self.note(&state);
        self.ended.notify_all();
        leftovers
    }
}
