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
use cell::protocol::{
    Activation, Again, Beside, LeaseId, Limits, Lost, NotPaused, Parts, Protocol, Refused, Room, Taken, Work,
};
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
    /// A turn of it failed: it runs no more.
    wreck: bool,
}

impl Instance {
    const fn new(code: u32, state: State) -> Self {
        Self { code, state, wreck: false }
    }
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

/// A turn that is open: what its actor had seen before, its message, and whose it is.
struct Open {
    recorded: State,
    sent: Sent,
    activation: u64,
}

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
    type Open = Open;
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

/// How the turns of the first version end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turns {
    Well,
    /// That of the first sender's first message fails: the actor is held, and the message is the next version's.
    Fail,
    /// Those lie open, and from the first on somebody tries to go on without the one that does.
    Hang,
    /// After that of the first sender's first message the instance is looked at aside, with something open, and
    /// somebody goes on with another in its place.
    Aside,
    /// They are taken elsewhere, as many at a time as wait, and no thread has them meanwhile.
    Away,
}

/// Who holds an actor whose turn failed.
const DECIDES: u32 = 99;

/// The cell, and what the model knows beside it. These locks are never contended, so they are no scheduling points.
struct World {
    cell: Protocol<Model>,
    turning: AtomicBool,
    committed: AtomicU32,
    reset: Mutex<Vec<Sent>>,
    activations: Mutex<Vec<thread::JoinHandle<()>>>,
    runs: Runs,
    turns: Turns,
    /// What is elsewhere: the first message, and how many behind it.
    away: Mutex<Option<(Sent, usize)>>,
}

impl World {
    fn new(runs: Runs, turns: Turns) -> Arc<Self> {
        let instance = Instance::new(1, State { schema: 1, seen: Vec::new() });
        let world = Arc::new(Self {
            cell: Protocol::new(instance, 1, Started, Limits { messages_max: 64, bytes_max: 64 }),
            turning: AtomicBool::new(false),
            committed: AtomicU32::new(1),
            reset: Mutex::default(),
            activations: Mutex::default(),
            runs,
            turns,
            away: Mutex::default(),
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
        self.back(&mut activation);
        let mut lies = false;
        loop {
            let work = match self.next_work(&mut activation, &mut lies) {
                Ok(Some(work)) => work,
                Ok(None) => break,
                Err(Taken) => {
                    assert!(activation.abandon().is_some(), "it has its instance");
                    return saw("it returns");
                }
            };
            saw(match &work {
                Work::System(Started) => None,
                Work::User(sent) => Some(*sent),
            });
            let instance = activation.instance().expect("an activation under way has the instance");
            // Of one that lies open nobody has to wait for the end.
            assert!(lies || !self.turning.swap(true, Ordering::SeqCst), "two turns at once");
            if !lies {
                self.looks(instance);
            }
            assert!(!instance.wreck || matches!(work, Work::System(Started)), "a wreck handles a message");
            if self.runs == Runs::Spawned {
                thread::yield_now(); // The turn takes a while.
            }
            let mut failed = None;
            if let (Work::User(sent), Turns::Away) = (&work, self.turns) {
                let mut behind = 0;
                activation.upcoming(|others| behind = others.count());
                *self.away.lock().expect("uncontended") = Some((*sent, behind));
                assert!(self.turning.swap(false, Ordering::SeqCst), "two turns at once");
                activation.park();
                return self.schedule(Again::Schedule);
            }
            if let Work::User(sent) = work {
                let first = instance.code == 1 && (sent.sender, sent.number) == (0, 0);
                if instance.code == 1 && self.turns == Turns::Hang {
                    self.lies_open(&mut activation, sent, &mut lies);
                    first.then(|| self.give_up());
                    continue;
                }
                let fails = first && self.turns == Turns::Fail;
                (instance.wreck, failed) = (fails, fails.then_some(sent));
                if !fails {
                    instance.state.seen.push(sent);
                }
                if instance.code == 1 && self.turns == Turns::Aside {
                    assert!(self.turning.swap(false, Ordering::SeqCst), "two turns at once");
                    if self.aside(&mut activation, sent, first).is_err() {
                        assert!(activation.abandon().is_some(), "it has its instance");
                        return saw("it comes late");
                    }
                    continue;
                }
            }
            assert!(self.turning.swap(false, Ordering::SeqCst), "two turns at once");
            if let Some(sent) = failed {
                let held = activation.hold(DECIDES);
                let (lease, other, again) = held.unwrap_or_else(|_| panic!("nobody stops it"));
                saw(other);
                self.schedule(again);
                return self.commit(lease, Upgrade::Migrate, Some(sent));
            }
        }
        saw(activation.again() == Again::Schedule);
        self.schedule(activation.again());
    }

    /// The turn lies open from here on, over its end.
    fn lies_open(&self, activation: &mut Activation<'_, Model>, sent: Sent, lies: &mut bool) {
        let number = activation.number();
        let instance = activation.instance().expect("an activation under way has the instance");
        let recorded = instance.state.clone();
        instance.state.seen.push(sent);
        if !*lies {
            assert!(self.turning.swap(false, Ordering::SeqCst), "two turns at once");
            self.cell.open(Open { recorded, sent, activation: number });
            *lies = true;
        }
    }

    /// Looks at the instance aside, with something open, as for a copy of its state. Everybody does that: whoever comes
    /// late must not take what another one has open.
    fn aside(self: &Arc<Self>, activation: &mut Activation<'_, Model>, sent: Sent, lost: bool) -> Result<(), ()> {
        let number = activation.number();
        let looked = activation.aside(|instance| {
            self.cell.open(Open { recorded: instance.state.clone(), sent, activation: number });
            if lost {
                self.lose();
            }
            if self.runs == Runs::Spawned {
                thread::yield_now(); // The look takes a while.
            }
            self.cell.close(|open| open.activation == number).map(drop)
        });
        match looked {
            Ok(Some(Some(()))) => Ok(()),
            Err(open) => {
                // Closed a moment before somebody went on: what that one begins from is something else, and later.
                if let (Some(()), Some(instance)) = (open, activation.instance()) {
                    self.reset.lock().expect("uncontended").splice(0..0, instance.state.seen.iter().copied());
                }
                Err(())
            }
            Ok(_) => panic!("what it had open is another's, and nobody went on without it"),
        }
    }

    /// Whoever goes on without what is looked at aside has what lies open, and makes another instance of it.
    fn lose(self: &Arc<Self>) {
        let world = Arc::clone(self);
        let run = move || {
            let Some(look) = world.cell.looks_aside() else { return saw("nobody looks") };
            let Some(Lost { holder: asked, open }) = world.cell.lose(look) else { return saw("the look is over") };
            saw(asked);
            let recorded = open.map_or(State { schema: 1, seen: Vec::new() }, |open| open.recorded);
            saw(&recorded.seen);
            let revived = world.cell.revive(Instance::new(1, recorded), |_| {}, Started, |_| true, |_| true);
            let (again, dropped) = revived.unwrap_or_else(|_| panic!("it is suspended"));
            assert!(dropped.is_empty());
            world.schedule(again);
        };
        match self.runs {
            Runs::Inline => run(),
            Runs::Spawned => self.activations.lock().expect("uncontended").push(thread::spawn(run)),
        }
    }

    /// What was taken elsewhere is back.
    fn back(&self, activation: &mut Activation<'_, Model>) {
        let Some((first, behind)) = self.away.lock().expect("uncontended").take() else { return };
        let handed: Vec<_> = std::iter::once(first).chain((0..behind).map_while(|_| activation.handed())).collect();
        assert_eq!(handed.len(), behind + 1, "what was handed over is still there");
        saw(&handed);
        let instance = activation.instance().expect("an activation under way has the instance");
        self.looks(instance);
        instance.state.seen.extend(handed);
    }

    /// What comes next; from one turn that lies open to another in one step.
    fn next_work(
        &self,
        activation: &mut Activation<'_, Model>,
        lies: &mut bool,
    ) -> Result<Option<Work<Started, Sent>>, Taken> {
        if !*lies {
            return Ok(activation.next_work());
        }
        let number = activation.number();
        let step = |open: &mut Option<Open>, next: Option<&Sent>| {
            let there = open.as_mut().expect("it is it");
            there.recorded.seen.push(there.sent);
            match next {
                Some(next) => there.sent = *next,
                None => *open = None,
            }
        };
        let next = activation.proceed(|open| open.activation == number, step)?;
        *lies = next.is_some();
        Ok(next.map(Work::User).or_else(|| activation.next_work()))
    }

    /// Whoever takes what lies open of a turn goes on without that.
    fn give_up(self: &Arc<Self>) {
        let world = Arc::clone(self);
        let run = move || {
            let Some(Open { recorded, sent, activation }) = world.cell.close(|_| true) else {
                return saw("none is open");
            };
            saw((&recorded.seen, sent));
            let wreck = Instance { wreck: true, ..Instance::new(1, recorded) };
            let cut = world.cell.cut_off(activation, wreck, DECIDES);
            let (lease, other, again) = cut.unwrap_or_else(|_| panic!("nobody stops it"));
            saw(other);
            world.schedule(again);
            world.commit(lease, Upgrade::Migrate, Some(sent));
        };
        match self.runs {
            Runs::Inline => run(),
            Runs::Spawned => self.activations.lock().expect("uncontended").push(thread::spawn(run)),
        }
    }

    fn looks(&self, instance: &Instance) {
        let committed = self.committed.load(Ordering::SeqCst);
        assert!(instance.code >= committed, "version {} runs after {committed} was committed", instance.code);
        assert_eq!(instance.code, instance.state.schema, "code runs on a state of another version");
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
        match self.cell.wait_quiet(lease, None) {
            Ok(()) => self.commit(lease, upgrade, None),
            // While the other holds it, or when that is over.
            Err(NotPaused::Held(_) | NotPaused::Revoked) if matches!(self.turns, Turns::Fail | Turns::Hang) => {
                saw("gave way");
            }
            // Without what was looked at the pause was over, too.
            Err(_) if self.turns == Turns::Aside => saw("gave way"),
            Err(why) => panic!("it comes to rest: {why:?}"),
        }
    }

    /// Under a pause: the next version takes over, and gets the message that a turn failed with.
    fn commit(self: &Arc<Self>, lease: LeaseId, upgrade: Upgrade, failed: Option<Sent>) {
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
        let mut beside = Beside { ahead: failed, behind: Vec::new() };
        let new = Instance::new(to, state);
        let done = self.cell.commit(lease, new, |gate| *gate = to, Started, |_, _| true, &mut beside);
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

fn model((runs, turns): (Runs, Turns), senders: u32, messages: u32, upgrades: u32, upgrade: Upgrade) {
    let world = World::new(runs, turns);
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
fn exhaustively(how: (Runs, Turns), senders: u32, messages: u32, upgrade: Upgrade) -> usize {
    let explorer = Explorer::default();
    let explored = explorer.explored();
    Runner::new(explorer, Config::new()).run(move || model(how, senders, messages, 1, upgrade));
    let explored = explored.lock().expect("one thread of the machine");
    println!("{senders} senders, {messages} messages, {upgrade:?}, {:?}: {explored:?}", how.1);
    explored.states
}

// Invariant 1
#[test]
fn u18_no_code_runs_on_state_of_another_version_exhaustively() {
    for upgrade in [Upgrade::Migrate, Upgrade::Reset] {
        assert!(exhaustively((Runs::Inline, Turns::Well), 2, 1, upgrade) > 500);
        assert!(exhaustively((Runs::Spawned, Turns::Well), 2, 1, upgrade) > 2_500);
        assert!(exhaustively((Runs::Inline, Turns::Well), 2, 2, upgrade) > 4_000);
        assert!(exhaustively((Runs::Inline, Turns::Fail), 2, 1, upgrade) > 500);
        assert!(exhaustively((Runs::Spawned, Turns::Fail), 1, 2, upgrade) > 2_000);
        assert!(exhaustively((Runs::Inline, Turns::Hang), 2, 1, upgrade) > 500);
        assert!(exhaustively((Runs::Spawned, Turns::Hang), 1, 2, upgrade) > 500);
        assert!(exhaustively((Runs::Inline, Turns::Aside), 2, 1, upgrade) > 500);
        assert!(exhaustively((Runs::Inline, Turns::Away), 2, 1, upgrade) > 500);
        assert!(exhaustively((Runs::Spawned, Turns::Away), 1, 2, upgrade) > 500);
    }
    // By far the most of all; what comes after it is the same as above.
    assert!(exhaustively((Runs::Spawned, Turns::Aside), 1, 2, Upgrade::Migrate) > 500);
}

#[test]
fn u18_no_code_runs_on_state_of_another_version_at_random() {
    let seed = seed();
    for upgrade in [Upgrade::Migrate, Upgrade::Reset] {
        for turns in [Turns::Well, Turns::Fail, Turns::Hang, Turns::Aside, Turns::Away] {
            let random = RandomScheduler::new_from_seed(seed, 5_000);
            Runner::new(random, Config::new()).run(move || model((Runs::Spawned, turns), 3, 4, 2, upgrade));
            let pct = PctScheduler::new_from_seed(seed, 3, 3_000);
            Runner::new(pct, Config::new()).run(move || model((Runs::Spawned, turns), 2, 5, 3, upgrade));
        }
    }
}
