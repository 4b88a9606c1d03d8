//! Back to the version before, after its commit: what came of doing the work anew, and what is left to be decided.

use crate::ActorRef;
use crate::cell::affairs::Mending;
use crate::cell::body::Body;
use crate::cell::effects::{Ask, Spawn};
use crate::cell::log::Entry;
use crate::cell::record::{Record, Said};
use crate::cell::replay;
use crate::cell::{Cell, Instance};
use crate::events::Events;
use crate::ports::{Behaviour, Provider};
use crate::probation::NoReplay;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, AskError, Tag};

/// What was recorded of a version on probation, taken out of its instance.
pub struct Recorded {
    pub(crate) cell: Arc<Cell>,
    pub(crate) record: Box<Record>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded({}, {} turns)", self.cell.addr, self.record.log.turns())
    }
}

/// What doing the work anew came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Turns that were recorded.
    pub turns: usize,
    /// Those that the version before had no part in: answers that it never asked for, words to itself that it never
    /// said.
    pub skipped: usize,
    /// Those that it answers with an error.
    pub failed: usize,
    /// Effects that were sent already and are what it wants sent.
    pub matched: usize,
    /// Effects that were sent and that it would not have sent.
    pub unsaid: usize,
    /// How long it took.
    pub took: Duration,
}

/// What the version before did with the same messages.
pub struct Replayed {
    /// In numbers.
    pub tally: Tally,
    /// What it wants sent and was not.
    pub held: Vec<HeldEffect>,
    pub(crate) mending: Mending,
    pub(crate) behaviour: Box<dyn Behaviour>,
}

impl fmt::Debug for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayed").field("tally", &self.tally).field("held", &self.held).finish_non_exhaustive()
    }
}

/// An effect that was not sent, and that somebody sends or drops.
pub struct HeldEffect(pub(crate) Box<Outward>);

/// What reaches beyond the actor.
pub(crate) enum Outward {
    Tell { to: Addr, tag: Tag, body: Body },
    Ask(Box<Ask>),
    Spawn(Box<Spawn>),
}

impl fmt::Debug for HeldEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldEffect({} to {}, {} bytes)", self.kind(), self.to(), self.body().len())
    }
}

impl Outward {
    /// What it takes, in bytes.
    pub(crate) fn weight_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Tell { body, .. } => body.len(),
                Self::Ask(ask) => size_of::<Ask>() + ask.body.len() + ask.then_body.len(),
                Self::Spawn(spawn) => size_of::<Spawn>() + spawn.args.bytes.len(),
            }
    }
}

impl HeldEffect {
    /// `tell`, `ask` or `spawn`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match &*self.0 {
            Outward::Tell { .. } => "tell",
            Outward::Ask(_) => "ask",
            Outward::Spawn(_) => "spawn",
        }
    }

    /// Whom, or which child.
    #[must_use]
    pub fn to(&self) -> &Addr {
        match &*self.0 {
            Outward::Tell { to, .. } => to,
            Outward::Ask(ask) => &ask.to,
            Outward::Spawn(spawn) => &spawn.child,
        }
    }

    /// Which message, in which shape; for a child the variant is 0, and the shape is its arguments'.
    #[must_use]
    pub fn tag(&self) -> Tag {
        match &*self.0 {
            Outward::Tell { tag, .. } => *tag,
            Outward::Ask(ask) => ask.tag,
            Outward::Spawn(spawn) => Tag { variant: 0, fingerprint: spawn.args.shape },
        }
    }

    /// Its body, or the child's arguments.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &*self.0 {
            Outward::Tell { body, .. } => body,
            Outward::Ask(ask) => &ask.body,
            Outward::Spawn(spawn) => &spawn.args.bytes,
        }
    }
}

/// Why the work could not be done anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Not all of it was kept.
    #[error("the work since the commit cannot be done anew")]
    NotKept(#[source] NoReplay),
    /// It took too long.
    #[error("{done} of {of} messages were handled anew within {budget:?}")]
    Budget {
        /// Messages that were done.
        done: usize,
        /// Messages that were recorded.
        of: usize,
        /// The bound.
        budget: Duration,
    },
    /// What the version before wants sent, and was not, is more than was allowed to be kept.
    #[error("the version before wants more sent that was not than the {bytes_max} bytes that may be kept")]
    TooMuch {
        /// The bound.
        bytes_max: usize,
    },
    /// The version before panics on one of them.
    #[error("the version before panics on message {number}, {message}: {text}")]
    Panicked {
        /// Its name.
        message: String,
        /// Which one since the commit, from 1.
        number: usize,
        /// The panic.
        text: String,
    },
    /// Whoever wanted it wants it no longer.
    #[error("it was stopped after {done} of {of} messages")]
    Cancelled {
        /// Messages that were done.
        done: usize,
        /// Messages that were recorded.
        of: usize,
    },
    /// The version before has no path for one of them.
    #[error("the version before has no path for {message}")]
    Pathless {
        /// Its name.
        message: String,
    },
    /// The version before stops itself on one of them, which the one on probation did not.
    #[error("the version before stops on message {number}, {message}: {reason:?}")]
    Stops {
        /// Its name.
        message: String,
        /// Which one since the commit, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl Replayed {
    pub(crate) fn new(turns: usize, behaviour: Box<dyn Behaviour>) -> Self {
        let tally = Tally { turns, ..Tally::default() };
        Self { tally, held: Vec::new(), mending: Mending::default(), behaviour }
    }

    /// A turn that the version before has no part in.
    pub(crate) fn skip(&mut self, entry: Entry<'_>) {
        self.tally.skipped += 1;
        self.count(entry.said(), &vec![false; entry.said().len()]);
    }

    /// Which of what was sent it wanted sent. What an actor plans for and says to itself is nobody else's news.
    pub(crate) fn count(&mut self, said: &[Said], matched: &[bool]) {
        for (_, matched) in said.iter().zip(matched).filter(|(said, _)| said.is_outward()) {
            *if *matched { &mut self.tally.matched } else { &mut self.tally.unsaid } += 1;
        }
    }

    /// An instance of the version before as it was at the commit, where what came since was not kept: the instance that
    /// it was kept in is no more. As after [`Recorded::forget`], what the actor planned, asked and owes since ends when
    /// it takes over.
    #[must_use]
    pub fn of(frozen: Box<dyn Behaviour>) -> Self {
        Self::new(0, frozen)
    }

    /// The instance that did it, for whoever wants to look at its state.
    #[must_use]
    pub fn behaviour(&self) -> &dyn Behaviour {
        &*self.behaviour
    }

    /// Takes what is to be decided.
    pub fn take_held(&mut self) -> Vec<HeldEffect> {
        std::mem::take(&mut self.held)
    }
}

impl Recorded {
    /// Turns that were recorded.
    #[must_use]
    pub fn turns(&self) -> usize {
        self.record.log.turns()
    }

    /// Why it cannot be done anew, if that is so.
    #[must_use]
    pub fn no_replay(&self) -> Option<NoReplay> {
        self.record.outside.refusal()
    }

    /// Runs all of it on `work`: an instance of the version before, with the state that it had at the commit. It has no
    /// effect outside; plugin code runs on this thread, and between two messages `budget` is looked at, and `goes_on`
    /// asked.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub fn replay(
        &self,
        old: &Arc<dyn Provider>,
        work: Box<dyn Behaviour>,
        budget: Duration,
        goes_on: impl Fn() -> bool,
    ) -> Result<Replayed, ReplayError> {
        replay::replay(&self.cell, &self.record, old, work, (budget, &goes_on))
    }

    /// An instance of the version before as it was at the commit, which did nothing of what came since: what the actor
    /// planned, asked and told itself since ends, and who still waits for its reply is told that none will come.
    #[must_use]
    pub fn forget(&self, frozen: Box<dyn Behaviour>) -> Replayed {
        let mut done = Replayed::new(self.turns(), frozen);
        done.mending = Mending::giving_up(&self.record.outside);
        self.record.log.iter().for_each(|entry| done.skip(entry));
        done
    }
}

impl ActorRef {
    /// Where what happens to it is told.
    #[must_use]
    pub fn event_sink(&self) -> Events {
        self.cell.shared.events.clone()
    }

    /// Drops an instance that it has no use for any more, on the thread for that: it runs the code's destructor.
    pub fn discard(&self, behaviour: Box<dyn Behaviour>, provider: Arc<dyn Provider>) {
        self.cell.shared.executor.dropper.drop(&self.cell, Instance::new(behaviour, provider));
    }

    /// The name of a held effect's message, where its receiver runs and knows it.
    #[must_use]
    pub fn name_of(&self, held: &HeldEffect) -> Option<String> {
        let target = self.cell.shared.cell(held.to())?;
        target.provider().contract().name_of(held.tag().variant).map(str::to_owned)
    }

    /// Sends a held effect, as from this actor: a message is accepted or given back, an ask is on its way (its answer
    /// comes to the actor, or why there is none), a child is started. Blocks while a child starts.
    ///
    /// # Errors
    /// The effect, and why it was not accepted; [`AskError::Stopped`] for an ask of an actor that is stopped.
    pub fn send_held(&self, held: HeldEffect) -> Result<(), (HeldEffect, AskError)> {
        self.cell.send_held(held)
    }

    /// Drops a held effect. An actor that wanted to ask is answered: there is no reply.
    pub fn drop_held(&self, held: HeldEffect) {
        self.cell.drop_held(held);
    }
}
