//! The cell's protocol: mailbox, run state, pause and instance under one lock.
//!
//! Everything that could let old code run on new state, run two turns at once, or lose or reorder a message is decided
//! in this module, and nothing else is: it knows no messages, no code, no threads and no time. So the very same files
//! run under a model checker (`tests/u18/main.rs`). Its models are of senders that push, activations, a turn that fails
//! and is somebody's to decide, one that is gone on without, and holders that pause, lend and commit; the smallest is
//! tried in every interleaving of its steps, larger ones at random. Waiting for room, corks, deadlines, lost pauses,
//! other failures and stop are not in them: other tests try those.
//! Here is the mailbox; `pause` asks for rest and exchanges what runs, `activation` runs it.
//!
//! Invariants, `S` for [`Protocol::state`], which is held wherever they are checked:
//!
//! 1. The instance is in exactly one place: in the slot, with the one activation (`Running`), or lent to the one holder
//!    of a pause (`lent`). An activation that waits for its turns to come back from elsewhere is parked: it runs, with
//!    its instance, and has no thread. It moves by value; whoever has it runs it, nobody else can. What an activation
//!    has aside ([`Activation::aside`]) may be lost to the cell meanwhile ([`Protocol::lose`]), and a turn may be cut
//!    off ([`Protocol::cut_off`]): of such an activation it is no instance of the cell's any more, and it is abandoned.
//! 2. `Scheduled` or `Running` if and only if exactly one activation is queued or runs.
//! 3. At rest is: a pause is asked for, no activation runs, and no first turn is due. Only at rest is a pause granted,
//!    and while it lasts no user message is handled: it ends by its holder, by [`Protocol::revoke`], by failure or by
//!    stop, each under the lock, and only one of them wins.
//! 4. A pause that was not granted in time is withdrawn under the lock that would have granted it: it never pauses
//!    anybody later. One that is asked for while a turn fails, and the failure is somebody's to decide, gives way to
//!    theirs ([`Activation::hold`]).
//! 5. User messages leave in the order in which they were accepted, but for what a first turn tells itself, which is
//!    ahead of all. A batch is taken under the lock, its rest goes back to the front under the lock; ahead of it a
//!    message whose turn failed, when a commit hands it to another instance.
//! 6. A message is accepted and its way to the code is resolved against one gate, under one lock; commit replaces gate
//!    and instance, and remaps what waits, under one lock.
//! 7. Nobody sleeps on work: whoever makes something runnable on an idle cell gets [`Again::Schedule`] and schedules
//!    it.
//! 8. A stopped cell stays stopped; what waited is handed out once.

mod activation;
mod pause;

pub(crate) use activation::{Activation, Taken};
use activation::{Batch, Parked};
pub(crate) use pause::{Beside, End, IfLent, LeaseId, Lost, NotPaused, Paused, Revoked};

use super::lane::{Lane, Weigh};
use super::waiters::{Ticket, Waiters, wake_all};
use crate::sync::{AtomicBool, Condvar, Guard, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::task::Waker;

/// User messages of one activation: the knee of the measured curve.
pub(crate) const BATCH_MESSAGES_MAX: usize = 64;

/// What a protocol is made of.
pub(crate) trait Parts {
    /// A message of the system lane: answered also at rest.
    type System;
    /// A message of the user lane.
    type User: Weigh;
    /// What handles them.
    type Instance;
    /// What decides how a user message is handled; replaced with the instance.
    type Gate;
    /// Who holds a pause.
    type Holder: Clone;
    /// What lies open while the instance handles something, for whoever goes on without that: see [`Protocol::open`].
    type Open;
}

/// Bounds of the user lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Messages.
    pub(crate) messages_max: usize,
    /// Bytes.
    pub(crate) bytes_max: usize,
}

/// What the caller owes the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a cell that is not scheduled sleeps on its work"]
pub(crate) enum Again {
    /// Queue one activation.
    Schedule,
    /// Nothing.
    Nothing,
}

/// Whether a message needs room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// As everybody.
    Asked,
    /// It goes in whatever waits: its sender is the cell itself, and [`Protocol::has_own_room`] was asked before.
    Own,
    /// As [`Room::Own`], and ahead of all that waits: what an instance's first turn tells itself.
    First,
    /// As [`Room::Own`], and it gives back what [`Protocol::reserve`] took, when it is accepted.
    Reserved,
}

/// A message that was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<U, E> {
    /// No room.
    Full(U),
    /// The cell is stopped.
    Closed(U),
    /// The gate's reason.
    Gate(U, E),
}

/// Something to do for an activation.
#[derive(Debug)]
pub(crate) enum Work<S, U> {
    /// From the system lane, or the first turn.
    System(S),
    /// From the user lane.
    User(U),
}

/// What is left of a stopped cell.
pub(crate) struct Leftovers<P: Parts> {
    /// User messages, in order.
    pub(crate) user: Vec<P::User>,
    /// System messages.
    pub(crate) system: Vec<P::System>,
    /// The instance, unless somebody has it.
    pub(crate) instance: Option<P::Instance>,
    /// Who held a pause.
    pub(crate) holder: Option<P::Holder>,
    /// Who waited for room.
    pub(crate) waiters: Vec<Waker>,
}

/// A look at the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    /// User messages that wait.
    pub(crate) messages: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Idle,
    Scheduled,
    Running,
}

/// Whether the cell has an instance to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It has.
    Live,
    /// It failed and waits for another.
    Suspended,
    /// It is no more.
    Stopped,
}

struct Hold<H> {
    id: LeaseId,
    holder: H,
    /// The holder has the instance.
    lent: bool,
}

/// What every sender and the activation's ends write, then what only pauses, ends and commits do: the second half keeps
/// [`Protocol::batch`] off the cache lines of the first.
#[repr(C)]
struct State<P: Parts> {
    user: Lane<P::User>,
    /// Messages and bytes of the last batch; what is left of them lies in [`Protocol::batch`].
    taken: Queued,
    waiters: Option<Box<Waiters>>,
    /// Room kept for answers that are owed to the cell.
    reserved: u32,
    run: Run,
    life: Life,
    /// The cell's own effects wait for room elsewhere: it takes no user message.
    corked: bool,
    system: VecDeque<P::System>,
    /// Before everything else: the first turn of an instance.
    first: Option<P::System>,
    slot: Option<P::Instance>,
    /// An activation that waits.
    parked: Option<Parked<P::Instance>>,
    /// An activation that looks at its instance aside, by a number of its own.
    aside: Option<u64>,
    /// The latest activation.
    activation: u64,
    gate: P::Gate,
    hold: Option<Hold<P::Holder>>,
    /// The latest number of a lease, an activation, a look aside: none is given twice.
    numbers: u64,
}

/// See the module. In this order: what a turn writes lies apart from what senders write, or every message would cost
/// both of them a cache miss.
#[repr(C)]
pub(crate) struct Protocol<P: Parts> {
    state: Mutex<State<P>>,
    /// An activation or a pause ended.
    ended: Condvar,
    limits: Limits,
    /// The rest of the batch that the activation is in. In the cell and not on a stack, so that a turn that hangs
    /// keeps none of it. Locked after the state, or alone.
    batch: Mutex<Batch<P>>,
    /// Whether an activation must look at the state before its next user message. On the side, so that a turn does
    /// not touch the lock that senders fight for.
    attention: AtomicBool,
}

impl<P: Parts> State<P> {
    fn open(&self) -> bool {
        let held = self.hold.is_some() && !cfg!(feature = "bug-u3"); // Planted: a pause stops nobody.
        !held && self.life == Life::Live && !self.corked
    }

    fn runnable(&self) -> bool {
        self.first.is_some() || !self.system.is_empty() || (self.open() && !self.user.is_empty())
    }

    fn at_rest(&self) -> bool {
        if cfg!(feature = "bug-u18") {
            return true; // Planted: grants the pause in the middle of a turn.
        }
        self.run != Run::Running && self.first.is_none()
    }

    fn wake(&mut self) -> Again {
        if self.run == Run::Idle && self.slot.is_some() && self.runnable() {
            self.run = Run::Scheduled;
            return Again::Schedule;
        }
        Again::Nothing
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn held_by(&self, id: LeaseId) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.id == id)
    }
}

impl<P: Parts> Protocol<P> {
    /// A cell with its instance, and its first turn due: to be scheduled.
    pub(crate) fn new(instance: P::Instance, gate: P::Gate, first: P::System, limits: Limits) -> Self {
        Self {
            attention: AtomicBool::new(true),
            batch: Mutex::new(Batch { rest: VecDeque::new(), open: None }),
            state: Mutex::new(State {
                first: Some(first),
                system: VecDeque::new(),
                user: Lane::new(),
                taken: Queued { messages: 0, bytes: 0 },
                reserved: 0,
                slot: Some(instance),
                parked: None,
                aside: None,
                activation: 0,
                gate,
                hold: None,
                numbers: 0,
                run: Run::Scheduled,
                life: Life::Live,
                corked: false,
                waiters: None,
            }),
            ended: Condvar::default(),
            limits,
        }
    }

    /// Says to the activation whether it must look.
    fn note(&self, state: &State<P>) {
        let look = !state.open() || state.first.is_some() || !state.system.is_empty();
        self.attention.store(look, Ordering::Release);
    }

    /// Accepts a user message. `admit` resolves its way under the lock.
    ///
    /// # Errors
    /// [`Refused`], with the message.
    pub(crate) fn push<E>(
        &self,
        message: P::User,
        room: Room,
        admit: impl FnOnce(&P::Gate, &mut P::User) -> Result<(), E>,
    ) -> Result<Again, Refused<P::User, E>> {
        self.accept(&mut self.state.lock(), message, room, admit)
    }

    /// As [`Protocol::push`]; when somebody waits for room already, there is none.
    ///
    /// # Errors
    /// [`Refused`], with the message.
    #[inline]
    pub(crate) fn push_behind<E>(
        &self,
        message: P::User,
        admit: impl FnOnce(&P::Gate, &mut P::User) -> Result<(), E>,
    ) -> Result<Again, Refused<P::User, E>> {
        let mut state = self.state.lock();
        if state.life != Life::Stopped && state.waiters.as_ref().is_some_and(|waiters| waiters.stands_behind(None)) {
            return Err(Refused::Full(message));
        }
        self.accept(&mut state, message, Room::Asked, admit)
    }

    /// As [`Protocol::push`]; when there is no room, or somebody waits for room already, `waker` is woken when it is
    /// worth another try, and `ticket` keeps the place in the line. [`Protocol::forget`] must follow when the message
    /// is not sent in the end.
    ///
    /// # Errors
    /// [`Refused`], with the message.
    pub(crate) fn push_or_wait<E>(
        &self,
        message: P::User,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
        admit: impl FnOnce(&P::Gate, &mut P::User) -> Result<(), E>,
    ) -> Result<Again, Refused<P::User, E>> {
        let mut state = self.state.lock();
        if state.life != Life::Stopped
            && let Some(waiters) = state.waiters.as_mut().filter(|waiters| waiters.stands_behind(*ticket))
        {
            waiters.wait(ticket, waker);
            return Err(Refused::Full(message));
        }
        let accepted = self.accept(&mut state, message, Room::Asked, admit);
        match (&accepted, &mut state.waiters, *ticket) {
            (Err(Refused::Full(_)), waiters, _) => waiters.get_or_insert_default().wait(ticket, waker),
            (Ok(_), Some(waiters), Some(ticket)) => waiters.leave(ticket),
            _ => {}
        }
        accepted
    }

    #[inline]
    fn accept<E>(
        &self,
        state: &mut State<P>,
        mut message: P::User,
        room: Room,
        admit: impl FnOnce(&P::Gate, &mut P::User) -> Result<(), E>,
    ) -> Result<Again, Refused<P::User, E>> {
        if state.life == Life::Stopped {
            return Err(Refused::Closed(message));
        }
        if let Err(error) = admit(&state.gate, &mut message) {
            return Err(Refused::Gate(message, error));
        }
        if room == Room::Reserved {
            state.reserved = state.reserved.saturating_sub(1);
        }
        if room == Room::Asked && !self.fits(state, message.weight_bytes()) {
            return Err(Refused::Full(message));
        }
        if room == Room::First {
            state.user.push_front(message);
        } else {
            state.user.push_back(message);
        }
        Ok(state.wake())
    }

    /// Ends a wait for room that sent nothing; if it was woken already, the wake-up goes to the next one.
    pub(crate) fn forget(&self, ticket: Ticket) {
        let mut state = self.state.lock();
        let next = state.waiters.as_mut().and_then(|waiters| waiters.forget(ticket));
        drop(state);
        wake_all(next);
    }

    /// Keeps room for one message that is owed to the cell: see [`Room::Reserved`].
    pub(crate) fn reserve(&self) {
        let mut state = self.state.lock();
        state.reserved = state.reserved.saturating_add(1);
    }

    /// Gives back what [`Protocol::reserve`] took, for a message that will not come.
    pub(crate) fn unreserve(&self) {
        let mut state = self.state.lock();
        state.reserved = state.reserved.saturating_sub(1);
        let awake = self.wake_waiters(&mut state);
        drop(state);
        awake.into_iter().for_each(Waker::wake);
    }

    /// Those for whom there is room again, to be woken without the lock. Below half of the room that is nobody's, so
    /// that a full mailbox does not wake somebody for every message. Due wherever messages leave, or fewer are owed.
    fn wake_waiters(&self, state: &mut State<P>) -> Vec<Waker> {
        let Some(waiters) = &mut state.waiters else { return Vec::new() };
        let room = self.limits.messages_max.saturating_sub(state.reserved as usize);
        let messages = state.user.len() + state.taken.messages;
        let bytes = state.user.bytes() + state.taken.bytes;
        if messages > room / 2 || bytes > self.limits.bytes_max / 2 {
            return Vec::new();
        }
        waiters.wake(room - messages)
    }

    /// Whether a message of that weight fits; looks into the batch only when it seems not to.
    fn fits(&self, state: &mut State<P>, bytes: usize) -> bool {
        let fits = |state: &State<P>| {
            state.user.len() + state.taken.messages + (state.reserved as usize) < self.limits.messages_max
                && state.user.bytes() + state.taken.bytes + bytes <= self.limits.bytes_max
        };
        if fits(state) || cfg!(feature = "bug-m17") {
            return true; // Planted: no bound.
        }
        state.taken = weigh(&self.batch.lock().rest);
        fits(state)
    }

    /// Whether a cell that tells itself so much more stays within twice its limits: whatever others sent, as much as a
    /// full mailbox is left.
    pub(crate) fn has_own_room(&self, more: Queued) -> bool {
        let state = self.state.lock();
        let fits = |queued: Queued| {
            queued.messages + more.messages <= self.limits.messages_max * 2
                && queued.bytes + more.bytes <= self.limits.bytes_max * 2
        };
        let messages = state.user.len() + state.taken.messages;
        fits(Queued { messages, bytes: state.user.bytes() + state.taken.bytes }) || fits(self.weigh(&state))
    }

    /// Adds a message to the system lane.
    ///
    /// # Errors
    /// The message, when the cell is stopped.
    pub(crate) fn push_system(&self, message: P::System) -> Result<Again, P::System> {
        let mut state = self.state.lock();
        if state.life == Life::Stopped {
            return Err(message);
        }
        state.system.push_back(message);
        self.note(&state);
        Ok(state.wake())
    }

    /// From now on no user message is handled, because the cell's own effects wait for room elsewhere. Only for the
    /// activation itself.
    pub(crate) fn cork(&self) {
        let mut state = self.state.lock();
        state.corked = true;
        self.note(&state);
    }

    /// Ends [`Protocol::cork`].
    pub(crate) fn uncork(&self) -> Again {
        let mut state = self.state.lock();
        state.corked = false;
        self.note(&state);
        state.wake()
    }

    fn weigh(&self, state: &State<P>) -> Queued {
        let batch = weigh(&self.batch.lock().rest);
        Queued { messages: state.user.len() + batch.messages, bytes: state.user.bytes() + batch.bytes }
    }

    /// Whether the cell is stopped: a turn that comes back may find it so. The lock only when something is up.
    pub(crate) fn is_stopped(&self) -> bool {
        self.attention.load(Ordering::Acquire) && self.state.lock().life == Life::Stopped
    }

    /// Whether no activation runs and no first turn is due.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.lock().at_rest()
    }

    /// What waits, life, holder and gate at one moment.
    pub(crate) fn look<T>(&self, look: impl FnOnce(Queued, Life, Option<&P::Holder>, &P::Gate) -> T) -> T {
        let state = self.state.lock();
        look(self.weigh(&state), state.life, state.hold.as_ref().map(|hold| &hold.holder), &state.gate)
    }

    /// Looks at every user message that waits, in order.
    pub(crate) fn each_user(&self, mut look: impl FnMut(&P::User)) {
        let state = self.state.lock();
        self.batch.lock().rest.iter().for_each(&mut look);
        state.user.iter().for_each(look);
    }
}

fn weigh<U: Weigh>(batch: &VecDeque<U>) -> Queued {
    Queued { messages: batch.len(), bytes: batch.iter().map(Weigh::weight_bytes).sum() }
}
