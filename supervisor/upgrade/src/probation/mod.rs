//! Versions on probation: from the commit until they are final or rolled back.
//!
//! The instance before is kept as it was at the commit, and what the new one is told is recorded by the runtime. A
//! thread looks at all of them and asks `judge`, which is pure; what fails is rolled back by `back`, as an upgrade of
//! its own with a journal of its own.

mod aside;
mod back;
mod ends;
mod error;
mod held;
mod judge;
mod one;
mod owed;
mod policy;
mod states;
mod under_way;
mod watch;
mod written;

pub use error::BackError;
pub use held::Held;
pub use judge::Sick;
pub use owed::Owed;
pub(crate) use policy::{Bounds, Seen, no_replay, ways, ways_of};
pub use policy::{Down, Probation, Rollback, Watch, WayBack};
pub(crate) use watch::start;
pub use written::{TakenBack, moved_by};

use crate::plan::{Move, ReleaseRef};
use crate::report::Failure;
use held::HeldList;
use judge::Marks;
use parking_lot::Mutex;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use teneral_contract::{Addr, Digest};
use teneral_runtime::ports::{Behaviour, Provider};
use teneral_runtime::{ActorRef, Clock, Crashed, Events, Figures, Moment, Quiesced, Recording, What};
use teneral_store::{Entry as Journaled, ProbationOver, Store, UpgradeId};

/// Who makes final what passes, and takes back what fails, by itself.
const PROBATION: &str = "probation";

/// What an actor on probation shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OnProbation {
    /// Who.
    pub actor: Addr,
    /// Which upgrade it is on probation for.
    pub upgrade: UpgradeId,
    /// The version before.
    pub from: Version,
    /// The version that serves.
    pub to: Version,
    /// Since when, by the wall clock.
    pub since_unix_us: u64,
    /// What it is watched by: how long, what fails it, what is kept, and what becomes of it then.
    pub watch: Watch,
    /// How long it lasts yet; 0: no longer.
    pub left_us: u64,
    /// How many messages it must handle yet.
    pub messages_left: u64,
    /// What the turns of the version before came to.
    pub before: Turns,
    /// What its own came to.
    pub now: Turns,
    /// Turns that are kept, for the version before to do anew.
    pub kept_messages: usize,
    /// Their bytes.
    pub kept_bytes: usize,
    /// The ways back that there are now, the best first.
    pub ways: Vec<WayBack>,
    /// Which of them is taken without asking, should it fail now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<WayBack>,
    /// Why the work cannot be done anew, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_replay: Option<String>,
    /// Its state is gone: it began from its start arguments since the commit. No way but `restore` brings back what was
    /// in it before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// Why it cannot be made final now, if that is so: its version is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<String>,
    /// How it is.
    #[serde(flatten)]
    pub phase: Phase,
}

/// How an actor on probation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It is watched.
    Watching,
    /// It fails, and nothing takes it back by itself: an operator decides.
    Sick {
        /// Why.
        why: String,
    },
    /// It is being taken back.
    RollingBack {
        /// Why.
        why: String,
    },
    /// It could not be taken back. It handles nothing, its state and its messages are kept: an operator decides.
    Held {
        /// Why not.
        failure: Failure,
    },
}

/// What turns came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Turns {
    /// Those that ended well.
    pub handled: u64,
    /// Those that ended in an error.
    pub failed: u64,
    /// Those that panicked.
    pub panics: u64,
    /// Those of the timed ones that were slow.
    pub slow: u64,
    /// How long one takes on average, in nanoseconds, if any was timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_ns: Option<u64>,
}

impl From<Figures> for Turns {
    fn from(figures: Figures) -> Self {
        let mean_ns = figures.mean().map(|mean| u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX));
        let Figures { handled, failed, panics, slow, .. } = figures;
        Self { handled, failed, panics, slow, mean_ns }
    }
}

/// All probations of a host.
pub(crate) struct Probations {
    state: Mutex<State>,
    signals: mpsc::Sender<Signal>,
    pub(crate) held: HeldList,
    debts: Mutex<owed::Debts>,
    /// Held while what is owed is written.
    paying: Mutex<()>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    on: BTreeMap<Addr, Entry>,
    /// Crashes of actors that are not in the list yet: they panicked before their commit was through. Kept while their
    /// upgrade has them.
    early: BTreeMap<Addr, (UpgradeId, Crashed)>,
    /// Upgrades of which somebody was not finalised: they make nothing the default by themselves. Those that may ask.
    spoiled: BTreeSet<UpgradeId>,
    /// The host is being closed.
    closed: bool,
}

/// What the watching thread is told.
pub(crate) enum Signal {
    /// Somebody new is on probation.
    Begun,
    /// Something is to be written, or is written by now.
    Owed,
    /// A turn of somebody panicked.
    Crashed(Addr, UpgradeId, Crashed),
}

/// One actor on probation.
struct Entry {
    upgrade: UpgradeId,
    moved: Move,
    watch: Watch,
    /// Of its upgrade: it goes back within the same.
    bounds: Bounds,
    down: Down,
    actor: ActorRef,
    generation: u64,
    old: Arc<dyn Provider>,
    /// The instance before, as it was at the commit; `None`: somebody is at work with it, or it is lost.
    frozen: Option<Box<dyn Behaviour>>,
    since: Moment,
    since_unix_us: u64,
    before: Figures,
    marks: Marks,
    /// When its time was over with all well, and how many turns it had taken by then.
    passes: Option<(Moment, u64)>,
    /// How it is, apart from a way back that has it.
    phase: Phase,
    /// The way back that has it.
    going: Option<Going>,
    /// What panicked, paused.
    crashed: Option<Crashed>,
    /// What could not be taken back, paused.
    pause: Option<Quiesced>,
    /// When the next try is due, after one that had to be put off, and how long to wait after that.
    retry: Option<(Moment, Duration)>,
}

/// A way back that is under way.
struct Going {
    by: UpgradeId,
    why: String,
}

/// Who is about to be on probation.
pub(crate) struct Begin {
    pub(crate) upgrade: UpgradeId,
    pub(crate) moved: Move,
    pub(crate) watch: Watch,
    pub(crate) bounds: Bounds,
    pub(crate) down: Down,
    pub(crate) actor: ActorRef,
    pub(crate) generation: u64,
    pub(crate) old: Arc<dyn Provider>,
    pub(crate) frozen: Box<dyn Behaviour>,
    pub(crate) before: Figures,
    pub(crate) since: Moment,
    pub(crate) since_unix_us: u64,
}

/// How a probation ends.
struct Over<'a> {
    how: &'static str,
    why: &'a str,
    by: Option<&'a UpgradeId>,
}

impl Entry {
    /// Lets the actor be as every other. Without a lock: it runs plugin code.
    fn settle(self) {
        let Self { upgrade, actor, frozen, old, crashed, pause, .. } = self;
        // Its own: the version that follows may be on probation, too.
        actor.end_recording(&upgrade.0);
        // Whoever is paused here goes on: a wreck goes to its supervisor.
        drop((crashed, pause));
        if let Some(frozen) = frozen {
            actor.discard(frozen, old);
        }
    }
}

impl Probations {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (Self, mpsc::Receiver<Signal>) {
        let (signals, heard) = mpsc::channel();
        (
            Self {
                state: Mutex::default(),
                signals,
                held: HeldList::default(),
                debts: Mutex::default(),
                paying: Mutex::default(),
                store,
                clock,
            },
            heard,
        )
    }

    /// What is to be recorded of an actor's new version.
    pub(crate) fn recording(
        self: &Arc<Self>,
        upgrade: &UpgradeId,
        moved: &Move,
        watch: &Watch,
        (old, before): (&Arc<dyn Provider>, &Figures),
    ) -> Recording {
        // A wreck has no state to write for the version before, and one that began anew would write another: it waits,
        // with the instance before, for whoever decides, where nothing may be done without asking, too. Restarted, it
        // would lose its state, and in the end the instance before with it, when its supervisor gives it up.
        let (this, addr, id) = (Arc::clone(self), moved.addr.clone(), upgrade.clone());
        let on_crash = move |crashed| drop(this.signals.send(Signal::Crashed(addr, id, crashed)));
        Recording {
            owner: upgrade.to_string(),
            messages_max: watch.keep_messages,
            bytes_max: watch.keep_bytes,
            old: Arc::clone(old),
            no_replay: no_replay(old.manifest().deterministic, old.is_elsewhere()),
            slow_over: watch.slow_over(before),
            on_crash: Some(Box::new(on_crash)),
        }
    }

    /// From now on it is watched. A probation that it was on before is over.
    pub(crate) fn begin(&self, begin: Begin) {
        let Begin { upgrade, moved, watch, bounds, down, actor, .. } = begin;
        let Begin { generation, old, frozen, before, since, since_unix_us, .. } = begin;
        let (addr, version) = (moved.addr.clone(), moved.to.version.clone());
        let entry = Entry {
            upgrade: upgrade.clone(),
            moved,
            watch,
            bounds,
            down,
            actor,
            generation,
            old,
            frozen: Some(frozen),
            since,
            since_unix_us,
            before,
            marks: Marks::default(),
            passes: None,
            phase: Phase::Watching,
            going: None,
            crashed: None,
            pause: None,
            retry: None,
        };
        let events = entry.actor.event_sink();
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return entry.settle();
        }
        let before = state.on.insert(addr.clone(), entry);
        let early = state.early.remove(&addr).filter(|(of, _)| *of == upgrade);
        state.spoiled.extend(before.iter().map(|entry| entry.upgrade.clone()));
        drop(state);
        let what = What::Probation {
            addr: addr.clone(),
            upgrade: upgrade.to_string(),
            version,
            phase: "begun",
            why: String::new(),
        };
        events.emit(what);
        let over = Over { how: "superseded", why: "another upgrade moved it", by: Some(&upgrade) };
        self.over(before.into_iter().collect(), over);
        // Nobody hears it when the host is being dropped.
        let _ = match early {
            Some((id, crashed)) => self.signals.send(Signal::Crashed(addr, id, crashed)),
            None => self.signals.send(Signal::Begun),
        };
    }

    /// Another upgrade has moved it, or it is no more.
    pub(crate) fn supersede(&self, addr: &Addr, by: &UpgradeId) {
        let mut state = self.state.lock();
        // Whoever takes it back says so when that is written down.
        let its = |entry: &Entry| entry.upgrade == *by || entry.going.as_ref().is_some_and(|going| going.by == *by);
        if state.on.get(addr).is_none_or(its) {
            return;
        }
        let Some(entry) = state.on.remove(addr) else { return };
        state.spoiled.insert(entry.upgrade.clone());
        drop(state);
        self.over(vec![entry], Over { how: "superseded", why: "another upgrade moved it", by: Some(by) });
    }

    /// Which upgrade it is on probation for.
    pub(crate) fn of(&self, addr: &Addr) -> Option<(UpgradeId, ReleaseRef)> {
        let state = self.state.lock();
        state.on.get(addr).map(|entry| (entry.upgrade.clone(), entry.moved.from.clone()))
    }

    /// What bounded its upgrade.
    fn bounds(&self, addr: &Addr) -> Option<Bounds> {
        self.state.lock().on.get(addr).map(|entry| entry.bounds)
    }

    /// Whose way back leads over this artifact, each with the upgrade that it is on probation for.
    pub(crate) fn lead_over(&self, artifact: Digest) -> Vec<(Addr, UpgradeId)> {
        self.those(|moved| {
            let mut down = moved.back.iter().flatten();
            let by = down.any(|hop| hop.by.digest == artifact && artifact != moved.to.digest);
            by || moved.from.digest == artifact
        })
    }

    /// Whose instance before is of this artifact.
    pub(crate) fn keep(&self, artifact: Digest) -> Vec<Addr> {
        self.those(|moved| moved.from.digest == artifact).into_iter().map(|(addr, _)| addr).collect()
    }

    fn those(&self, is_meant: impl Fn(&Move) -> bool) -> Vec<(Addr, UpgradeId)> {
        let state = self.state.lock();
        let found = state.on.iter().filter(|(_, entry)| is_meant(&entry.moved));
        found.map(|(addr, entry)| (addr.clone(), entry.upgrade.clone())).collect()
    }

    /// All of them, or those of one upgrade, by name.
    pub(crate) fn list(&self, of: Option<&UpgradeId>, now: Moment) -> Vec<OnProbation> {
        let state = self.state.lock();
        let meant = state.on.values().filter(|entry| of.is_none_or(|of| entry.upgrade == *of));
        let mut all: Vec<OnProbation> = meant.map(|entry| entry.show(now)).collect();
        drop(state);
        all.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
        all
    }

    /// The probation of these is over, and everybody is told.
    fn over(&self, ended: Vec<Entry>, over: Over<'_>) {
        self.settled(ended, over).into_iter().for_each(|(events, what)| events.emit(what));
    }

    /// The probation of these is over. Kept where the next life of the host finds it, before anybody is told. What is
    /// to be told.
    fn settled(&self, ended: Vec<Entry>, Over { how, why, by }: Over<'_>) -> Vec<(Events, What)> {
        let mut upgrades: BTreeMap<&UpgradeId, Vec<Addr>> = BTreeMap::new();
        for entry in &ended {
            // Before the disk is waited for: from here on a panic is its supervisor's.
            entry.actor.end_recording(&entry.upgrade.0);
            upgrades.entry(&entry.upgrade).or_default().push(entry.moved.addr.clone());
        }
        for (upgrade, actors) in upgrades {
            self.note(upgrade, actors, &Over { how, why, by });
        }
        let settle = |entry: Entry| {
            let told = entry.event(how, why);
            entry.settle();
            told
        };
        ended.into_iter().map(settle).collect()
    }
}

impl Probations {
    /// Tells whoever tries again.
    fn heard_of_debts(&self) {
        // Nobody hears it when the host is being dropped.
        let _ = self.signals.send(Signal::Owed);
    }

    /// Writes down that the probation of these is over, now or as soon as it can be.
    fn note(&self, upgrade: &UpgradeId, actors: Vec<Addr>, Over { how, why, by }: &Over<'_>) {
        let (how, why, by) = ((*how).to_owned(), (*why).to_owned(), by.cloned());
        let over = ProbationOver { at_unix_us: self.clock.wall_ns() / 1000, actors, how, why, by };
        if let Err(error) = self.store.append(upgrade, &[Journaled::Probation(over.clone())]) {
            tracing::error!(%upgrade, code = error.code(), %error, "the end of a probation is not kept yet");
            self.owe_end(upgrade, over);
        }
    }
}

impl Entry {
    fn show(&self, now: Moment) -> OnProbation {
        let seen = self.actor.recorded();
        let figures = self.actor.figures();
        let left = self.watch.time.saturating_sub(now.since(self.since));
        let ways = self.ways();
        OnProbation {
            actor: self.moved.addr.clone(),
            upgrade: self.upgrade.clone(),
            from: self.moved.from.version.clone(),
            to: self.moved.to.version.clone(),
            since_unix_us: self.since_unix_us,
            watch: self.watch,
            left_us: u64::try_from(left.as_micros()).unwrap_or(u64::MAX),
            messages_left: self.watch.messages.saturating_sub(figures.turns()),
            before: self.before.into(),
            now: figures.into(),
            kept_messages: seen.as_ref().map_or(0, |seen| seen.messages),
            kept_bytes: seen.as_ref().map_or(0, |seen| seen.bytes),
            automatic: match self.phase {
                Phase::Watching | Phase::RollingBack { .. } => self.watch.rollback.of(&self.keeping(&ways), self.down),
                Phase::Sick { .. } | Phase::Held { .. } => None,
            },
            ways,
            quarantined: self.quarantined(),
            anew: self.is_anew(),
            no_replay: seen.and_then(|seen| seen.no_replay).map(|why| why.to_string()),
            phase: match &self.going {
                Some(Going { why, .. }) => Phase::RollingBack { why: why.clone() },
                None => self.phase.clone(),
            },
        }
    }
}
