//! U18: no actor ever runs code vN on state of vN-1, over all interleavings of the protocol that ships.
//!
//! The very files of the cell's protocol are compiled here over the model checker's locks. The smallest model is tried
//! exhaustively, larger ones at random and by PCT. A seed is printed; `TENERAL_SEED` repeats it.
#![forbid(unsafe_code)]

#[expect(dead_code, unused_imports, reason = "the product's own files, of which the model uses a part")]
#[path = "../../src/cell"]
mod cell {
    pub(crate) mod lane;
    pub(crate) mod protocol;
    mod waiters;
}
mod explore;
mod sync;

use cell::lane::Weigh;
use cell::protocol::{Again, Limits, NotPaused, Parts, Protocol, Refused, Room, Work};
use explore::{Explorer, look_by, saw};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// An instance: code of one version, and a state that says which version's it is and what it has seen.
struct Instance {
    code: u32,
    state: State,
}

#[derive(Clone)]
struct State {
    schema: u32,
    seen: Vec<Sent>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Sent {
    sender: u32,
    number: u32,
}

struct Started;

impl Weigh for Sent {
    fn weight_bytes(&self) -> usize {
        1
    }
}

enum Model {}

impl Parts for Model {
    type System = Started;
    type User = Sent;
    type Instance = Instance;
    type Gate = u32;
    type Holder = u32;
}

#[derive(Debug)]
struct NoPause;

impl From<NotPaused<u32>> for NoPause {
    fn from(_: NotPaused<u32>) -> Self {
        Self
    }
}

#[derive(Clone, Copy, Debug)]
enum Upgrade {
    /// The state is saved and migrated.
    Migrate,
    /// The new code starts from its arguments.
    Reset,
}

/// Where activations run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// On whoever scheduled them: fewer threads, so that all interleavings can be tried.
    Inline,
    /// On threads of their own, each turn in two steps.
    Spawned,
}

/// The cell, and what the model knows beside it. These locks are never contended, so they are no scheduling points.
struct World {
    cell: Protocol<Model>,
    turning: AtomicBool,
    committed: AtomicU32,
    reset: Mutex<Vec<Sent>>,
    activations: Mutex<Vec<thread::JoinHandle<()>>>,
    runs: Runs,
}

impl World {
    fn new(runs: Runs) -> Arc<Self> {
        let instance = Instance { code: 1, state: State { schema: 1, seen: Vec::new() } };
        let world = Arc::new(Self {
            cell: Protocol::new(instance, 1, Started, Limits { messages_max: 64, bytes_max: 64 }),
            turning: AtomicBool::new(false),
            committed: AtomicU32::new(1),
            reset: Mutex::default(),
            activations: Mutex::default(),
            runs,
        });
        let shared = Arc::downgrade(&world);
        look_by(move || shared.upgrade().map_or(0, |world| world.hash()));
        world.schedule(Again::Schedule);
        world
    }

    /// What can be seen of the shared part. Where the instance is follows from what the threads have done.
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        sync::between_steps(|| {
            self.cell.each_user(|sent| sent.hash(&mut hasher));
            self.cell.look(|queued, life, holder, code| {
                (queued.messages, life as u8, holder, code).hash(&mut hasher);
            });
        });
        let flags = (self.turning.load(Ordering::SeqCst), self.committed.load(Ordering::SeqCst));
        (flags, &*self.reset.lock().expect("uncontended")).hash(&mut hasher);
        hasher.finish()
    }

    fn schedule(self: &Arc<Self>, again: Again) {
        match (again, self.runs) {
            (Again::Nothing, _) => {}
            (Again::Schedule, Runs::Inline) => self.activate(),
            (Again::Schedule, Runs::Spawned) => {
                let world = Arc::clone(self);
                let activation = thread::spawn(move || world.activate());
                self.activations.lock().expect("uncontended").push(activation);
            }
        }
    }

    fn activate(self: &Arc<Self>) {
        let Some(mut activation) = self.cell.begin() else { return saw("nothing to do") };
        while let Some(work) = activation.next_work() {
            saw(match &work {
                Work::System(Started) => None,
                Work::User(sent) => Some(*sent),
            });
            let instance = activation.instance().expect("an activation under way has the instance");
            assert!(!self.turning.swap(true, Ordering::SeqCst), "two turns at once");
            let committed = self.committed.load(Ordering::SeqCst);
            assert!(instance.code >= committed, "version {} runs after {committed} was committed", instance.code);
            assert_eq!(instance.code, instance.state.schema, "code runs on a state of another version");
            if self.runs == Runs::Spawned {
                thread::yield_now(); // The turn takes a while.
            }
            if let Work::User(sent) = work {
                instance.state.seen.push(sent);
            }
            assert!(self.turning.swap(false, Ordering::SeqCst), "two turns at once");
        }
        saw(activation.again() == Again::Schedule);
        self.schedule(activation.again());
    }

    fn send(self: &Arc<Self>, sender: u32, messages: u32) {
        for number in 0..messages {
            match self.cell.push(Sent { sender, number }, Room::Asked, |_, _| Ok::<(), ()>(())) {
                Ok(again) => {
                    saw(again == Again::Schedule);
                    self.schedule(again);
                }
                Err(Refused::Full(_) | Refused::Closed(_) | Refused::Gate(..)) => panic!("there is room for all"),
            }
        }
    }

    fn upgrade(self: &Arc<Self>, holder: u32, upgrade: Upgrade) {
        let lease = match self.cell.pause(holder, |_| Ok::<(), NoPause>(())) {
            Ok(lease) => lease,
            Err(NoPause) => return saw("held by another"),
        };
        self.cell.wait_quiet(lease, None).expect("it comes to rest");
        assert!(!self.turning.load(Ordering::SeqCst), "a pause is granted in the middle of a turn");
        let to = self.cell.look(|_, _, _, code| *code) + 1;
        let state = match upgrade {
            Upgrade::Migrate => {
                let old = self.cell.lend(lease).expect("the pause lasts");
                let saved = old.state.clone();
                saw(&saved.seen);
                let again = self.cell.give_back(lease, old).unwrap_or_else(|_| panic!("the pause lasts"));
                self.schedule(again);
                State { schema: to, seen: saved.seen }
            }
            Upgrade::Reset => State { schema: to, seen: Vec::new() },
        };
        let new = Instance { code: to, state };
        let done = self.cell.commit(lease, new, |gate| *gate = to, Started, |_, _| true);
        let done = done.unwrap_or_else(|_| panic!("the pause lasts"));
        saw((done.again == Again::Schedule, &done.old.state.seen));
        self.committed.fetch_max(to, Ordering::SeqCst);
        if matches!(upgrade, Upgrade::Reset) {
            self.reset.lock().expect("uncontended").extend(&done.old.state.seen);
        }
        assert!(done.refused.is_empty());
        self.schedule(done.again);
    }

    /// Waits for every activation, then looks: everything accepted was handled once, in the order of its sender.
    fn check(self: &Arc<Self>, senders: u32, messages: u32) {
        loop {
            let next = self.activations.lock().expect("uncontended").pop();
            let Some(next) = next else { break };
            next.join().expect("an activation ends well");
        }
        let left = self.cell.stop();
        assert!(left.user.is_empty(), "an idle cell sleeps on {} messages", left.user.len());
        let mut seen = self.reset.lock().expect("uncontended").clone();
        seen.extend(left.instance.expect("the instance is in its slot").state.seen);
        for sender in 0..senders {
            let numbers: Vec<_> = seen.iter().filter(|sent| sent.sender == sender).map(|sent| sent.number).collect();
            assert_eq!(numbers, (0..messages).collect::<Vec<_>>(), "of sender {sender}");
        }
        assert_eq!(seen.len(), (senders * messages) as usize);
    }
}

fn model(runs: Runs, senders: u32, messages: u32, upgrades: u32, upgrade: Upgrade) {
    let world = World::new(runs);
    let mut threads = Vec::new();
    for sender in 0..senders {
        let world = Arc::clone(&world);
        threads.push(thread::spawn(move || world.send(sender, messages)));
    }
    for number in 0..upgrades {
        let world = Arc::clone(&world);
        threads.push(thread::spawn(move || world.upgrade(number, upgrade)));
    }
    for thread in threads {
        thread.join().expect("a thread of the model ends well");
    }
    world.check(senders, messages);
}

fn seed() -> u64 {
    let given = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(18));
    println!("TENERAL_SEED={seed}");
    seed
}

/// How much there is to try: a model whose choices were lost by mistake would try next to nothing.
fn exhaustively(runs: Runs, senders: u32, messages: u32, upgrade: Upgrade) -> usize {
    let explorer = Explorer::default();
    let explored = explorer.explored();
    Runner::new(explorer, Config::new()).run(move || model(runs, senders, messages, 1, upgrade));
    let explored = explored.lock().expect("one thread of the machine");
    println!("{senders} senders, {messages} messages, {upgrade:?}: {explored:?}");
    explored.states
}

// Invariant 1
#[test]
fn u18_no_code_runs_on_state_of_another_version_exhaustively() {
    for upgrade in [Upgrade::Migrate, Upgrade::Reset] {
        assert!(exhaustively(Runs::Inline, 2, 1, upgrade) > 500);
        assert!(exhaustively(Runs::Spawned, 2, 1, upgrade) > 2_500);
        assert!(exhaustively(Runs::Inline, 2, 2, upgrade) > 4_000);
    }
}

#[test]
fn u18_no_code_runs_on_state_of_another_version_at_random() {
    let seed = seed();
    for upgrade in [Upgrade::Migrate, Upgrade::Reset] {
        let random = RandomScheduler::new_from_seed(seed, 5_000);
        Runner::new(random, Config::new()).run(move || model(Runs::Spawned, 3, 4, 2, upgrade));
        let pct = PctScheduler::new_from_seed(seed, 3, 3_000);
        Runner::new(pct, Config::new()).run(move || model(Runs::Spawned, 2, 5, 3, upgrade));
    }
}
