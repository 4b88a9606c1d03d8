//! The runtime: names and what they stand for, and everything that actors share.

mod starting;

use crate::actor_ref::ActorRef;
use crate::cell::Cell;
use crate::cell::calls::{Expired, Owed};
use crate::cell::envelope::Envelope;
use crate::clock::Clock;
use crate::config::{RuntimeConfig, Saved, Spawn, Start};
use crate::dead_letters::DeadLetters;
pub(crate) use crate::due::Due;
use crate::error::StartError;
use crate::events::{EventStream, Events, What};
use crate::ports::{Digest, Fault, FaultKind, Provider};
use crate::remote::{GAMMA, mixed};
use crate::spawn::makers::Makers;
use crate::spawn::{Executor, watchdog};
use crate::supervision::{ChildId, Ending, Supervision, Waits};
use crate::timer::Timers;
use crate::totals::{Total, Totals};
use dashmap::DashMap;
use parking_lot::Mutex;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use teneral_contract::Addr;

/// How long a thread that makes and drops instances stays without work.
const MAKERS_IDLE: Duration = Duration::from_secs(5);

/// Where code for actors that actors start comes from.
pub trait Providers: Send + Sync + 'static {
    /// The code of `kind`; `version` `None` is the kind's stored default.
    ///
    /// # Errors
    /// [`Fault`]: no such kind or version, or it may not be used.
    fn provider(&self, kind: &str, version: Option<&Version>) -> Result<Arc<dyn Provider>, Fault>;

    /// The runtime put an artifact into quarantine, since its code hung: to be kept for the next life of the host. May
    /// block; called on a thread for which nobody waits.
    fn quarantined(&self, quarantined: Quarantined);

    /// The runtime lifted a quarantine, since the code has returned after all. May block; called as the other one is.
    fn released(&self, digest: Digest);
}

/// Code that hung: nothing new is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Which artifact.
    pub digest: Digest,
    /// Its kind.
    pub kind: String,
    /// Its version.
    pub version: Version,
    /// What it did.
    pub why: String,
}

/// Code that is in quarantine for turns that have not returned.
struct Hanging {
    turns: u32,
    kind: String,
    version: Version,
}

/// Actors and what they share. A cheap clone. When the last one is dropped, its actors are stopped as they stand, its
/// threads end, each after its turn, and its [`Providers`] are let go, also while an [`ActorRef`] is kept or a turn
/// never ends.
#[derive(Clone)]
pub struct Runtime(Arc<Owner>);

/// Ends what has threads.
struct Owner(Arc<Shared>);

/// What actors share.
pub(crate) struct Shared {
    pub(crate) config: RuntimeConfig,
    pub(crate) clock: Arc<dyn Clock>,
    /// `None` once the runtime is dropped: what they keep open is not kept open by a turn that hangs.
    providers: Mutex<Option<Arc<dyn Providers>>>,
    pub(crate) executor: Executor,
    pub(crate) events: Events,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) totals: Totals,
    /// Calls that are answered later, by number.
    pub(crate) calls: DashMap<u64, Owed>,
    /// Calls that were to be answered later and whose askers gave up: the latest few, by number.
    pub(crate) expired_calls: Mutex<BTreeMap<u64, Expired>>,
    names: DashMap<u128, Arc<Cell>, BuildHasherDefault<Hashed>>,
    /// Names whose actors are being made.
    starting: Mutex<BTreeSet<u128>>,
    quarantine: Arc<Mutex<BTreeMap<Digest, String>>>,
    /// Those of it that end when their turns return.
    hanging: Mutex<BTreeMap<Digest, Hanging>>,
    makers: Arc<Makers>,
    timers: Arc<Timers<Due>>,
    supervision: OnceLock<Supervision>,
    numbers: AtomicU64,
    random: AtomicU64,
    closed: AtomicBool,
}

/// Addresses are hashes already.
#[derive(Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = (hash as u64) ^ ((hash >> 64) as u64);
    }
}

impl Shared {
    fn new(
        mut config: RuntimeConfig,
        spawn: Spawn,
        clock: Arc<dyn Clock>,
        providers: Arc<dyn Providers>,
    ) -> std::io::Result<Arc<Self>> {
        // A message that fits into no mailbox would wait for ever, and others behind it.
        config.mailbox_bytes_max = config.mailbox_bytes_max.max(size_of::<Envelope>());
        config.message_bytes_max = config.message_bytes_max.min(config.mailbox_bytes_max - size_of::<Envelope>());
        let events = Events::new(config.events_max, Arc::clone(&clock));
        let me: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let timers = Arc::new(Timers::start(Arc::clone(&clock), {
            let me = Arc::clone(&me);
            move |due| {
                if let Some(shared) = me.get().and_then(Weak::upgrade) {
                    shared.due(due);
                }
            }
        })?);
        let waits = Waits { start_timeout: config.start_timeout, stop_timeout: config.stop_timeout };
        let deadlines = Arc::clone(&timers);
        let supervision = Supervision::start(waits, Arc::clone(&clock), events.clone(), deadlines)?;
        let makers = Makers::new(MAKERS_IDLE);
        let shared = Arc::new(Self {
            executor: Executor::new(&config, spawn, Arc::clone(&makers)),
            totals: Totals::default(),
            dead_letters: DeadLetters::new(config.dead_letters_max, events.clone(), Arc::clone(&clock)),
            events,
            calls: DashMap::new(),
            expired_calls: Mutex::default(),
            names: DashMap::default(),
            starting: Mutex::default(),
            quarantine: Arc::default(),
            hanging: Mutex::default(),
            makers,
            timers,
            supervision: OnceLock::from(supervision),
            numbers: AtomicU64::new(1),
            random: AtomicU64::new(RandomState::new().hash_one(0)),
            closed: AtomicBool::new(false),
            config,
            clock,
            providers: Mutex::new(Some(providers)),
        });
        // Set once, here.
        drop(me.set(Arc::downgrade(&shared)));
        watchdog::start(Arc::downgrade(&shared))?;
        Ok(shared)
    }

    pub(crate) fn timers(&self) -> &Timers<Due> {
        &self.timers
    }

    pub(crate) fn supervision(&self) -> &Supervision {
        self.supervision.get().expect("it is set before the runtime is handed out")
    }

    /// A number that names a call or a timer: never used twice.
    pub(crate) fn number(&self) -> u64 {
        self.numbers(1)
    }

    /// So many of them: the first.
    pub(crate) fn numbers(&self, count: u64) -> u64 {
        self.numbers.fetch_add(count, Ordering::Relaxed)
    }

    /// Splitmix64.
    pub(crate) fn random(&self) -> u64 {
        mixed(self.random.fetch_add(GAMMA, Ordering::Relaxed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The code for a child of an actor.
    pub(crate) fn provider(&self, kind: &str, version: Option<&Version>) -> Result<Arc<dyn Provider>, Fault> {
        let providers = self.providers.lock().clone();
        let ended = || Fault::new(FaultKind::Denied, "the runtime has ended");
        providers.ok_or_else(ended)?.provider(kind, version)
    }

    /// The cell of that name.
    pub(crate) fn cell(&self, addr: &Addr) -> Option<Arc<Cell>> {
        let cell = Arc::clone(self.names.get(&addr.id())?.value());
        (cell.addr == *addr).then_some(cell)
    }

    /// Frees a name.
    pub(crate) fn forget_cell(&self, cell: &Arc<Cell>) {
        self.names.remove_if(&cell.addr.id(), |_, other| Arc::ptr_eq(other, cell));
    }

    fn cells(&self) -> Vec<Arc<Cell>> {
        let mut cells: Vec<_> = self.names.iter().map(|entry| Arc::clone(entry.value())).collect();
        cells.sort_unstable_by(|a, b| a.addr.path().cmp(b.addr.path()));
        cells
    }

    pub(crate) fn quarantined(&self, digest: Digest) -> Option<String> {
        self.quarantine.lock().get(&digest).cloned()
    }

    /// Its code hung: nothing new is made of it, and whoever keeps what outlives the host is told.
    pub(crate) fn quarantine(&self, provider: &dyn Provider, why: &str) {
        if !provider.is_elsewhere() && self.note_quarantine(provider, why) {
            self.keep_quarantine(provider.digest(), provider.kind(), provider.version());
        }
    }

    /// The same, until that turn returns.
    pub(crate) fn quarantine_while_it_hangs(&self, provider: &dyn Provider, why: &str) {
        let digest = provider.digest();
        if provider.is_elsewhere() {
            return;
        }
        if self.note_quarantine(provider, why) {
            let (turns, kind, version) = (0, provider.kind().to_owned(), provider.version().clone());
            self.hanging.lock().insert(digest, Hanging { turns, kind, version });
            self.keep_quarantine(digest, provider.kind(), provider.version());
        }
        if let Some(hanging) = self.hanging.lock().get_mut(&digest) {
            hanging.turns += 1;
        }
    }

    /// A turn of that code that was said to hang has returned.
    pub(crate) fn returned(&self, digest: Digest) {
        let mut hanging = self.hanging.lock();
        let Some(left) = hanging.get_mut(&digest) else { return };
        left.turns = left.turns.saturating_sub(1);
        if left.turns > 0 {
            return;
        }
        let Some(Hanging { kind, version, .. }) = hanging.remove(&digest) else { return };
        drop(hanging);
        self.quarantine.lock().remove(&digest);
        self.keep_quarantine(digest, &kind, &version);
        self.events.emit(What::Released { digest, kind, version });
    }

    /// Tells whoever keeps what outlives the host how it stands with that artifact. Not here and now: the watchdog and
    /// the timers wait for no disk. Who is told last is told the last word.
    fn keep_quarantine(&self, digest: Digest, kind: &str, version: &Version) {
        let Some(providers) = self.providers.lock().clone() else { return };
        let (quarantine, kind, version) = (Arc::clone(&self.quarantine), kind.to_owned(), version.clone());
        let keep = move || {
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _in_turn = ONE_AT_A_TIME.lock();
            let why = quarantine.lock().get(&digest).cloned();
            match why {
                Some(why) => providers.quarantined(Quarantined { digest, kind, version, why }),
                None => providers.released(digest),
            }
        };
        if self.makers.hand(Box::new(keep)).is_err() {
            tracing::error!(%digest, "no thread to keep a quarantine on: it ends with this process");
        }
    }

    /// Whether it is new.
    fn note_quarantine(&self, provider: &dyn Provider, why: &str) -> bool {
        let digest = provider.digest();
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.quarantine.lock().entry(digest) {
            vacant.insert(why.to_owned());
            let (kind, version) = (provider.kind().to_owned(), provider.version().clone());
            self.events.emit(What::Quarantined { digest, kind, version, why: why.to_owned() });
            return true;
        }
        false
    }
}

impl Runtime {
    /// A runtime without actors.
    ///
    /// # Panics
    /// When the system has no threads left.
    #[must_use]
    pub fn new(config: RuntimeConfig, spawn: Spawn, clock: Arc<dyn Clock>, providers: Arc<dyn Providers>) -> Self {
        let shared = Shared::new(config, spawn, clock, providers);
        Self(Arc::new(Owner(shared.expect("a system without threads runs no runtime"))))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// Starts an actor. Blocks until `init` returned, at most `start_timeout`; it runs on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`]: the actor is not started and its name is free.
    pub fn start(&self, start: Start) -> Result<ActorRef, StartError> {
        self.shared().start(start).map(ActorRef::new)
    }

    /// Starts an actor that was there in an earlier life of the host: from the state that was saved then, else from its
    /// arguments. Without a parent, whatever its options say. A quarantine keeps nobody from coming back, as it keeps
    /// nobody from a restart: what hangs is one actor's affair.
    ///
    /// # Errors
    /// As [`Runtime::start`]; [`StartError::Init`] also when the code cannot make an instance of the state.
    pub fn start_again(&self, start: Start, saved: Option<Saved>) -> Result<ActorRef, StartError> {
        let started = match saved {
            Some(saved) => self.shared().start_saved(start, saved),
            None => self.shared().start_of_any(ChildId::ROOT, start),
        };
        started.map(ActorRef::new)
    }

    /// The actor of that name.
    #[must_use]
    pub fn actor(&self, addr: &Addr) -> Option<ActorRef> {
        self.shared().cell(addr).map(ActorRef::new)
    }

    /// All actors, sorted by path.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorRef> {
        self.shared().cells().into_iter().map(ActorRef::new).collect()
    }

    /// How many actors there are.
    #[must_use]
    pub fn actors_count(&self) -> usize {
        self.shared().names.len()
    }

    /// All actors of a kind, sorted by path.
    #[must_use]
    pub fn actors_of(&self, kind: &str) -> Vec<ActorRef> {
        let cells = self.shared().cells().into_iter();
        cells.filter(|cell| cell.addr.kind() == kind).map(ActorRef::new).collect()
    }

    /// The actors with a turn that does not return, each with the artifact whose code that is, for as long as it does
    /// not.
    #[must_use]
    pub fn hung(&self) -> Vec<(ActorRef, Digest)> {
        let hung = self.shared().executor.watches.hung().into_iter();
        hung.map(|(cell, digest)| (ActorRef::new(cell), digest)).collect()
    }

    /// What turns came to, by kind and version, of all actors that there ever were: numbers that never fall. A look at
    /// all actors.
    #[must_use]
    pub fn totals(&self) -> Vec<Total> {
        let shared = self.shared();
        shared.totals.look(shared.names.iter().map(|entry| Arc::clone(entry.value())))
    }

    /// Threads that run turns which were given up ([`ActorRef::give_turn_up`]): others have taken their places, at
    /// most `threads_max` of them, and they end when their turns return.
    #[must_use]
    pub fn threads_lost(&self) -> usize {
        self.shared().executor.watches.lost()
    }

    /// The letters that reached nobody.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.shared().dead_letters
    }

    /// What happens from now on; a subscriber that lags is told how much it missed.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.shared().events.subscribe()
    }

    /// Where events are told.
    #[must_use]
    pub fn event_sink(&self) -> &Events {
        &self.shared().events
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared().clock
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> &RuntimeConfig {
        &self.shared().config
    }

    /// Why this artifact is quarantined, if it is: no new instance is made of it but restarts.
    #[must_use]
    pub fn quarantined(&self, digest: Digest) -> Option<String> {
        self.shared().quarantined(digest)
    }

    /// Quarantines an artifact in this life of the host: nothing new is started from it; restarts go on.
    pub fn quarantine(&self, digest: Digest, why: &str) {
        let runs = self.shared().cells().into_iter().map(|cell| cell.provider());
        match runs.into_iter().find(|provider| provider.digest() == digest) {
            Some(provider) => drop(self.shared().note_quarantine(&*provider, why)),
            // Nobody runs it, so there is nobody to tell about.
            None => drop(self.shared().quarantine.lock().entry(digest).or_insert_with(|| why.to_owned())),
        }
    }

    /// Quarantines code that hangs outside of any turn, as the watchdog does with what hangs in one: until
    /// [`Runtime::returned`] was called as often, and for the next life of the host if it never is.
    pub fn quarantine_while_it_hangs(&self, provider: &dyn Provider, why: &str) {
        self.shared().quarantine_while_it_hangs(provider, why);
    }

    /// Code that was said to hang has returned after all, once.
    pub fn returned(&self, digest: Digest) {
        self.shared().returned(digest);
    }

    /// Lifts a quarantine in this life of the host; a no-op when there is none.
    pub fn release(&self, digest: Digest) {
        self.shared().hanging.lock().remove(&digest);
        self.shared().quarantine.lock().remove(&digest);
    }

    /// Names this life of the host in call ids.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared().config.epoch
    }

    /// Stops all actors, children first, and the runtime's threads. Actors that do not stop in time are cut off, and a
    /// destructor that has not returned by then is left behind. A dropped future leaves the shutdown going on.
    pub async fn shutdown(&self, timeout: Duration) {
        let shared = self.shared();
        let until = shared.clock.now() + timeout;
        shared.supervision().shutdown(timeout).await;
        if let Some(dropped) = shared.executor.dropper.until_idle() {
            let key = shared.timers().schedule(until, Due::Dropped(Arc::clone(&dropped)));
            poll_fn(|cx| dropped.poll(cx)).await;
            shared.timers().cancel(key);
        }
        shared.close();
    }
}

impl Shared {
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.executor.close();
    }
}

impl Drop for Owner {
    /// What is shared is kept by each cell, and each cell by its name, its place in the tree and its timers: whoever is
    /// left is stopped as it stands, else all of them would keep each other for ever.
    fn drop(&mut self) {
        let Self(shared) = self;
        shared.close();
        drop(shared.providers.lock().take());
        shared.supervision().forget();
        for cell in shared.cells() {
            cell.retire(Ending::Shutdown);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runtime({} actors)", self.shared().names.len())
    }
}
