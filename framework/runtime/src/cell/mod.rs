//! The cell: an actor's identity, with its mailbox, its instance and what waits for it.
//!
//! Names, timers, asks in flight and links belong to the cell and survive every restart and upgrade. A task exists only
//! while a cell has work, so that an idle actor is a few hundred bytes.

pub(crate) mod affairs;
mod anew;
mod away;
pub(crate) mod body;
pub(crate) mod calls;
pub(crate) mod checkpoint;
pub(crate) mod effects;
pub(crate) mod envelope;
pub(crate) mod extras;
mod in_turn;
mod lane;
pub(crate) mod letters;
pub(crate) mod log;
pub(crate) mod mending;
pub(crate) mod outbox;
pub(crate) mod protocol;
pub(crate) mod record;
mod redo;
pub(crate) mod replay;
mod saving;
pub(crate) mod send;
pub(crate) mod slot;
pub(crate) mod supervised;
pub(crate) mod turn;
mod waiters;
mod wreck;

pub(crate) use waiters::Ticket;

use crate::config::{ActorOptions, Copied, Generation, Parked, Place, StartArgs};
use crate::error::StateError;
use crate::figures::{Counts, Figures};
use crate::lease::Lease;
use crate::ports::{Behaviour, Provider, Why};
use crate::runtime::Shared;
use crate::speaking::Speaker;
use crate::supervision::{ChildId, Ending};
use crate::totals::Before;
use envelope::{ENDING, Envelope, Kind, SAVING};
use extras::Extras;
use in_turn::Lies;
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use protocol::{Again, Limits, Parts, Protocol};
use record::{Outside, Record};
use semver::Version;
use slot::Slot;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::{Arc, OnceLock};
use teneral_contract::{Addr, Contract, Tag};

/// See the module. In this order: what senders and turns only read lies at the end, off the cache lines that they
/// write.
#[repr(C)]
pub(crate) struct Cell {
    pub(crate) protocol: Protocol<Actor>,
    pub(crate) counts: Counts,
    extras: Mutex<Option<Box<Extras>>>,
    /// Its code blocks: its turns get threads of their own.
    blocking: AtomicBool,
    pub(crate) birth: Box<Birth>,
    /// Its place in the supervision tree; set before the first turn.
    pub(crate) child: OnceLock<ChildId>,
    pub(crate) addr: Addr,
    pub(crate) shared: Arc<Shared>,
}

/// How an actor started.
pub(crate) struct Birth {
    pub(crate) args: StartArgs,
    pub(crate) options: ActorOptions,
}

/// What the cell's protocol is made of.
pub(crate) enum Actor {}

impl Parts for Actor {
    type System = System;
    type User = Envelope;
    type Instance = Instance;
    type Gate = Gate;
    type Holder = Arc<Lease>;
    type Open = Box<Record>;
}

/// An instance with its code.
pub(crate) struct Instance {
    pub(crate) behaviour: Box<dyn Behaviour>,
    pub(crate) provider: Arc<dyn Provider>,
    /// What it was told and said, while it is on probation.
    pub(crate) record: Option<Box<Record>>,
    /// Of that record, once the instance has run.
    outside: Option<Arc<Outside>>,
    /// Its record lies open.
    lies: Option<Lies>,
    /// It lives in another process.
    is_remote: bool,
}

impl Instance {
    pub(crate) fn new(mut behaviour: Box<dyn Behaviour>, provider: Arc<dyn Provider>) -> Self {
        let is_remote = behaviour.remote().is_some();
        Self { behaviour, provider, record: None, outside: None, lies: None, is_remote }
    }
}

/// What decides where a message goes: the code that serves, and how often it was replaced.
pub(crate) struct Gate {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) contract: Arc<Contract>,
    pub(crate) generation: Generation,
}

impl Gate {
    pub(crate) fn new(provider: Arc<dyn Provider>, generation: Generation) -> Self {
        let contract = Arc::clone(provider.contract());
        Self { provider, contract, generation }
    }
}

/// A message of the system lane.
pub(crate) enum System {
    /// The first turn of an instance.
    Start(Why),
    /// Somebody wants the state, of so many bytes at most.
    Read(Arc<Slot<Result<Copied, StateError>>>, usize),
    /// The instance ends.
    End(Ending),
    /// A target of the outbox may have room.
    Flush,
    /// Nobody wants its record any more.
    Forget,
    /// Nobody takes the wreck over that this lease is of: it ends as every instance that panicked.
    Crashed(Arc<Lease>),
}

impl Cell {
    pub(crate) fn new(
        shared: Arc<Shared>,
        addr: Addr,
        (behaviour, provider, (generation, why)): (Box<dyn Behaviour>, Arc<dyn Provider>, (Generation, Why)),
        birth: Birth,
    ) -> Self {
        let limits =
            Limits { messages_max: shared.config.mailbox_messages_max, bytes_max: shared.config.mailbox_bytes_max };
        let blocking = AtomicBool::new(provider.manifest().blocking);
        let gate = Gate::new(Arc::clone(&provider), generation);
        let instance = Instance::new(behaviour, provider);
        Self {
            addr,
            shared,
            protocol: Protocol::new(instance, gate, System::Start(why), limits),
            counts: Counts::default(),
            birth: Box::new(birth),
            child: OnceLock::new(),
            extras: Mutex::new(None),
            blocking,
        }
    }

    /// What few actors have; allocated on first use. Never held while another lock is taken.
    pub(crate) fn extras(&self) -> MappedMutexGuard<'_, Extras> {
        MutexGuard::map(self.extras.lock(), |extras| &mut **extras.get_or_insert_default())
    }

    /// The same, unless there are none.
    pub(crate) fn existing_extras(&self) -> Option<MappedMutexGuard<'_, Extras>> {
        MutexGuard::try_map(self.extras.lock(), |extras| extras.as_deref_mut()).ok()
    }

    pub(crate) fn owe(self: &Arc<Self>, again: Again) {
        if again == Again::Schedule {
            self.shared.executor.schedule(Arc::clone(self));
        }
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    pub(crate) fn set_blocking(&self, provider: &dyn Provider) {
        self.blocking.store(provider.manifest().blocking, Ordering::Relaxed);
    }

    /// A message's name, for people.
    pub(crate) fn doing(provider: &Arc<dyn Provider>, index: u32) -> String {
        let own = match index {
            ENDING => "its destructor",
            SAVING => "save",
            _ => "a turn of its own",
        };
        provider.contract().name(index).unwrap_or(own).to_owned()
    }

    /// How it failed, while it is suspended.
    pub(crate) fn ended_reason(&self) -> String {
        let extras = self.existing_extras();
        extras.and_then(|extras| extras.ended.as_ref().map(|ended| ended.reason.clone())).unwrap_or_default()
    }

    /// Whoever waited for its end waits no longer.
    pub(crate) fn cut_off(&self) {
        self.extras().cut_off = true;
        if let Some(child) = self.child.get() {
            self.shared.supervision().cut_off(*child);
        }
    }

    /// What waits here encoded, and so needs a way to new code.
    pub(crate) fn parked(&self) -> Vec<Parked> {
        let mut counts: BTreeMap<(Place, Tag), usize> = BTreeMap::new();
        let mut count = |place, tag| *counts.entry((place, tag)).or_default() += 1;
        self.protocol.each_user(|envelope| match envelope.kind {
            Kind::Tell if envelope.own != 0 => count(Place::Own, envelope.tag()),
            Kind::Tell | Kind::Ask(_) => count(Place::Mailbox, envelope.tag()),
            Kind::Answer(_) => count(Place::Continuation, envelope.tag()),
            // One that has fired is looked at below, while it is wanted.
            Kind::Timer(_) => {}
            Kind::Undelivered(_) => {}
        });
        if let Some(extras) = self.existing_extras() {
            extras.timers.values().for_each(|timer| count(Place::Timer, timer.tag));
            extras.continuations.values().for_each(|continuation| count(Place::Continuation, continuation.then));
            let own = extras.outbox.waiting.iter().filter(|waiting| waiting.to == self.addr);
            own.for_each(|waiting| count(Place::Outbox, waiting.envelope.tag()));
        }
        count(Place::RestartArgs, Tag { variant: 0, fingerprint: self.birth.args.shape });
        counts.into_iter().map(|((place, tag), count)| Parked { place, tag, count }).collect()
    }

    /// What the turns of the version that serves came to.
    pub(crate) fn figures(&self) -> Figures {
        let before = self.existing_extras().map(|extras| extras.before.figures).unwrap_or_default();
        self.counts.figures().since(before)
    }

    /// The turns that are counted, and the restarts, with the version whose they are.
    pub(crate) fn counted(&self) -> (Version, Figures, u64) {
        // In this order: before another version serves it is noted whose turns are counted.
        let serves = self.provider();
        let before = self.existing_extras().map(|extras| extras.before.clone()).unwrap_or_default();
        let version = before.counts_for.unwrap_or_else(|| serves.version().clone());
        let restarts = self.counts.restarts.load(Relaxed).saturating_sub(before.restarts);
        (version, self.counts.figures().since(before.figures), restarts)
    }

    /// Another version is about to serve: what is counted is still this one's.
    pub(crate) fn counts_for(&self, version: &Version) {
        self.extras().before.counts_for.get_or_insert_with(|| version.clone());
    }

    /// Another version serves: its figures begin now. Those of the one before.
    pub(crate) fn figures_anew(&self, version: &Version) -> Figures {
        self.counts.time_anew();
        self.adds_up(Some(version))
    }

    /// Its turns so far are counted with those of all who are gone, and from here on for the version that comes next;
    /// `None`: for none, it is no more.
    pub(crate) fn adds_up(&self, next: Option<&Version>) -> Figures {
        // At rest, or gone: nobody counts meanwhile.
        let (was, figures, restarts) = self.counted();
        let (all, restarts_all) = (self.counts.figures(), self.counts.restarts.load(Relaxed));
        let counts_for = Some(next.unwrap_or(&was).clone());
        self.extras().before = Before { figures: all, restarts: restarts_all, counts_for };
        self.shared.totals.leaves(self.addr.kind(), was, figures, restarts);
        figures
    }

    /// Who it is, for the log.
    pub(crate) fn speaker(&self) -> Speaker {
        let at = self.protocol.look(|_, _, _, gate| (Arc::clone(&gate.provider), gate.generation));
        Speaker { addr: self.addr.clone(), version: at.0.version().clone(), generation: at.1 }
    }

    /// The code that serves.
    pub(crate) fn provider(&self) -> Arc<dyn Provider> {
        self.protocol.look(|_, _, _, gate| Arc::clone(&gate.provider))
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({})", self.addr)
    }
}
