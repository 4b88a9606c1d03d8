//! The activation: the one that has the instance and runs it, batch by batch.

use super::super::waiters::wake_all;
use super::pause::Paused;
use super::{Again, BATCH_MESSAGES_MAX, Guard, Life, Parts, Protocol, Queued, Run, State, Work, weigh};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

impl<P: Parts> Protocol<P> {
    /// Lays open what a turn of the instance can be gone on without by. Whoever takes it from there has the turn: the
    /// activation, when it is over, or whoever goes on without it.
    pub(crate) fn open(&self, open: P::Open) {
        self.batch.lock().open = Some(open);
    }

    /// Takes what lies open, if it `is_it`. `None`: somebody else has taken it.
    pub(crate) fn close(&self, is_it: impl FnOnce(&P::Open) -> bool) -> Option<P::Open> {
        self.batch.lock().open.take_if(|open| is_it(open))
    }

    /// The rest of the batch goes back to the front.
    pub(super) fn put_back(&self, state: &mut State<P>) {
        let mut rest = std::mem::take(&mut self.batch.lock().rest);
        if cfg!(feature = "bug-m18") {
            rest.make_contiguous().reverse(); // Planted: the rest of a batch comes back in the wrong order.
        }
        for message in rest.into_iter().rev() {
            state.user.push_front(message);
        }
        state.taken = Queued { messages: 0, bytes: 0 };
    }

    /// Begins the activation that was scheduled. `None`: there is nothing to do any more.
    pub(crate) fn begin(&self) -> Option<Activation<'_, P>> {
        let mut state = self.state.lock();
        if let Some(Parked { instance, number, left, batched }) = state.parked.take() {
            let instance = Some(instance);
            return Some(Activation { cell: self, instance, number, left, batched, again: Again::Nothing });
        }
        if !state.runnable() || state.slot.is_none() {
            state.run = Run::Idle;
            return None;
        }
        let instance = state.slot.take();
        state.run = Run::Running;
        let (number, left) = (state.number(), BATCH_MESSAGES_MAX);
        state.activation = number;
        Some(Activation { cell: self, instance, number, left, batched: 0, again: Again::Nothing })
    }
}

/// What the activation that runs has left for others to find.
pub(super) struct Batch<P: Parts> {
    pub(super) rest: VecDeque<P::User>,
    pub(super) open: Option<P::Open>,
}

/// Somebody has taken what an activation had left open.
pub(crate) struct Taken;

/// An activation that waits for something that its turns need, without a thread.
pub(super) struct Parked<I> {
    instance: I,
    number: u64,
    left: usize,
    batched: usize,
}

/// The one that runs the instance. It ends by [`Activation::next_work`] returning `None`, or by
/// [`Activation::suspend`]; dropped before that (a panic passed through), it suspends the cell.
pub(crate) struct Activation<'a, P: Parts> {
    cell: &'a Protocol<P>,
    /// `None` after the end.
    instance: Option<P::Instance>,
    number: u64,
    /// User messages that it may still take until it must let others run.
    left: usize,
    /// Messages in its batch, unless somebody took them back.
    batched: usize,
    again: Again,
}

impl<P: Parts> Activation<'_, P> {
    /// The instance; `None` after the end.
    pub(crate) fn instance(&mut self) -> Option<&mut P::Instance> {
        self.instance.as_mut()
    }

    /// Which of the cell's it is, for [`Protocol::cut_off`].
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Does something with the instance, for as long as that takes: somebody may go on without it meanwhile.
    ///
    /// # Errors
    /// What was done: somebody did ([`Protocol::lose`], [`Protocol::cut_off`]). The cell is theirs, and this activation
    /// is to be abandoned.
    pub(crate) fn aside<T>(&mut self, run: impl FnOnce(&mut P::Instance) -> T) -> Result<Option<T>, T> {
        let Some(instance) = self.instance.as_mut() else { return Ok(None) };
        let mut state = self.cell.state.lock();
        let number = state.number();
        state.aside = Some(number);
        drop(state);
        let done = run(instance);
        match self.cell.state.lock().aside.take_if(|aside| *aside == number) {
            Some(_) => Ok(Some(done)),
            None => Err(done),
        }
    }

    /// What to do next: the system lane first. `None`: the instance is back in the slot and the activation is over.
    #[inline]
    pub(crate) fn next_work(&mut self) -> Option<Work<P::System, P::User>> {
        if self.batched > 0 && !self.cell.attention.load(Ordering::Acquire) {
            self.batched -= 1;
            let next = self.cell.batch.lock().rest.pop_front();
            if let Some(message) = next {
                return Some(Work::User(message));
            }
        }
        self.look()
    }

    /// The next message of the batch, while something lies open: from one turn to the next in one step, so that whoever
    /// takes what lies open finds one of the two in it. `go` is told of it, and of that message; there is none when
    /// the batch is over or the cell wants attention.
    ///
    /// # Errors
    /// What lies there is not it (`is_it`), so somebody has taken it: the turn is theirs, and this activation is to be
    /// abandoned.
    #[inline]
    pub(crate) fn proceed(
        &mut self,
        is_it: impl FnOnce(&P::Open) -> bool,
        go: impl FnOnce(&mut Option<P::Open>, Option<&P::User>),
    ) -> Result<Option<P::User>, Taken> {
        let goes_on = self.batched > 0 && !self.cell.attention.load(Ordering::Acquire);
        let mut batch = self.cell.batch.lock();
        let Batch { rest, open } = &mut *batch;
        if !open.as_ref().is_some_and(is_it) {
            return Err(Taken);
        }
        go(open, if goes_on { rest.front() } else { None });
        if !goes_on {
            return Ok(None);
        }
        self.batched -= 1;
        Ok(rest.pop_front())
    }

    /// The same as [`Self::next_work`], from the state.
    fn look(&mut self) -> Option<Work<P::System, P::User>> {
        let mut state = self.cell.state.lock();
        if state.life == Life::Live
            && let Some(message) = state.first.take().or_else(|| state.system.pop_front())
        {
            self.cell.note(&state);
            return Some(Work::System(message));
        }
        if !state.open() {
            self.cell.put_back(&mut state);
        } else if let Some(message) = self.take(&mut state) {
            let awake = self.cell.wake_waiters(&mut state);
            drop(state);
            wake_all(awake);
            return Some(Work::User(message));
        }
        self.end(state);
        None
    }

    fn take(&mut self, state: &mut State<P>) -> Option<P::User> {
        let mut batch = self.cell.batch.lock();
        let batch = &mut batch.rest;
        // After a look at the system lane, the rest of the batch comes first.
        if let Some(message) = batch.pop_front() {
            self.batched = batch.len();
            return Some(message);
        }
        let more_max = self.left.checked_sub(1)?;
        let message = state.user.take(batch, more_max)?;
        self.batched = batch.len();
        self.left = more_max - self.batched;
        state.taken = weigh(batch);
        Some(message)
    }

    fn end(&mut self, mut state: Guard<'_, State<P>>) {
        state.run = Run::Idle;
        state.taken = Queued { messages: 0, bytes: 0 };
        let awake = self.cell.wake_waiters(&mut state);
        if state.life == Life::Stopped {
            // Stopped under way: nobody wants the instance any more.
            drop(state);
            self.instance = None;
        } else {
            state.slot = self.instance.take();
            self.again = state.wake();
            if self.again == Again::Nothing {
                state.user.shrink();
                if self.left < BATCH_MESSAGES_MAX - 1 {
                    self.cell.batch.lock().rest = VecDeque::new();
                }
            }
            let held = state.hold.is_some();
            drop(state);
            if held {
                self.cell.ended.notify_all();
            }
        }
        wake_all(awake);
    }

    /// Lets the thread go. The cell runs all the while: whoever parked it, and nobody else, schedules it again, once.
    pub(crate) fn park(mut self) {
        let mut state = self.cell.state.lock();
        let (number, left, batched) = (self.number, self.left, self.batched);
        state.parked = self.instance.take().map(|instance| Parked { instance, number, left, batched });
    }

    /// Looks at what comes next in its batch.
    pub(crate) fn upcoming(&self, look: impl FnOnce(&mut dyn Iterator<Item = &P::User>)) {
        let batch = self.cell.batch.lock();
        look(&mut batch.rest.iter().take(self.batched));
    }

    /// Takes one of what was upcoming, whoever wants attention. `None`: the cell was stopped meanwhile.
    pub(crate) fn handed(&mut self) -> Option<P::User> {
        self.batched = self.batched.checked_sub(1)?;
        self.cell.batch.lock().rest.pop_front()
    }

    /// Gives a message back that it took: it comes first again.
    pub(crate) fn give_back(&mut self, message: P::User) {
        self.cell.batch.lock().rest.push_front(message);
        self.batched += 1;
    }

    /// What the caller owes the cell after the end.
    pub(crate) fn again(&self) -> Again {
        self.again
    }

    /// Ends the activation without its instance, which is poisoned or at its end: the cell keeps its mailbox and waits
    /// for [`Protocol::revive`] or [`Protocol::stop`]. Gives out the instance, and who held a pause or asked for one.
    pub(crate) fn suspend(mut self) -> (Option<P::Instance>, Option<P::Holder>) {
        let holder = self.fail();
        (self.instance.take(), holder)
    }

    /// Ends the activation with its instance in the slot and the cell paused for `holder`, in one step. Gives out who
    /// had asked for a pause: it was not granted, since a turn ran, and never will be.
    ///
    /// # Errors
    /// The activation: the cell is stopped.
    pub(crate) fn hold(mut self, holder: P::Holder) -> Result<Paused<P::Holder>, Self> {
        let state = self.cell.state.lock();
        if state.life != Life::Live {
            drop(state);
            return Err(self);
        }
        Ok(self.cell.rest(state, self.instance.take(), holder))
    }

    /// The end of an activation without which somebody goes on: the cell is theirs. Its instance.
    pub(crate) fn abandon(mut self) -> Option<P::Instance> {
        self.instance.take()
    }

    fn fail(&mut self) -> Option<P::Holder> {
        let mut state = self.cell.state.lock();
        self.cell.put_back(&mut state);
        let open = self.cell.batch.lock().open.take();
        state.run = Run::Idle;
        let mut holder = None;
        if state.life == Life::Live {
            state.life = Life::Suspended;
            holder = state.hold.take().map(|hold| hold.holder);
        }
        self.cell.note(&state);
        drop(state);
        drop(open);
        self.cell.ended.notify_all();
        holder
    }
}

impl<P: Parts> Drop for Activation<'_, P> {
    fn drop(&mut self) {
        if self.instance.is_some() {
            self.fail();
        }
    }
}
