//! Any ways forth and back under traffic: whatever an actor accepted, was told by itself, had planned and was answered
//! ends in one turn or as one dead letter.

use crate::probation::*;
use crate::support::*;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, ThreadId};
use std::time::Duration;
use teneral_contract::{AskError, Shape};
use teneral_runtime::ports::{Fault, Why};
use teneral_runtime::{ActorOptions, ActorRef, DeadKind, Intensity, Quiesced};

const MOVES: u32 = 200;
/// Each sends the numbers that are the same modulo this.
const SENDERS: u32 = 3;

/// What is to end once: a message, and what a turn leads to. The number is the message's.
type Item = (What, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Told,
    Own,
    Timer,
    Answer,
}

impl What {
    /// Under which sender a probe remembers it.
    const fn sender(self) -> u32 {
        self as u32
    }
}

/// What is known of every item.
#[derive(Default)]
struct Ledger {
    accepted: BTreeSet<Item>,
    /// By turns that ended well and were no repetition.
    handled: BTreeMap<Item, u32>,
    /// Handled by an instance whose state was given up.
    given_up: BTreeSet<Item>,
}

struct House {
    world: World,
    actor: ActorRef,
    ledger: Arc<Mutex<Ledger>>,
    /// Turns panic now and then.
    worse: Arc<AtomicBool>,
    /// Where work is done anew.
    replays: ThreadId,
}

/// Ends the traffic, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Splitmix64.
fn random(seed: &AtomicU64) -> u64 {
    let mut z = seed.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl House {
    /// A message that is remembered, and what its turn leads to: some tell the actor itself, some plan, some ask. A few
    /// are too much for an even version, while that may be.
    fn item(&self, what: What, number: u32) -> Do {
        let leads = |other| (what == What::Told).then(|| self.item(other, number));
        let (own, timer, answer) = (leads(What::Own), leads(What::Timer), leads(What::Answer));
        let (ledger, worse, replays) = (self.ledger.clone(), self.worse.clone(), self.replays);
        self.world.script(move |turn| {
            if turn.by.is_multiple_of(2) && worse.load(SeqCst) && (number + what.sender()).is_multiple_of(23) {
                return Err(panicked("too much"));
            }
            turn.put(what.sender(), number);
            let mut led = Vec::new();
            for (other, next) in [(What::Own, &own), (What::Timer, &timer), (What::Answer, &answer)] {
                let Some(next) = next.as_ref().filter(|_| (number + other.sender()).is_multiple_of(5)) else {
                    continue;
                };
                begin(turn, other, next)?;
                led.push((other, number));
            }
            if let Some(waiting) = turn.call.waiting {
                turn.effects.reply(waiting.call, Log::FINGERPRINT, &encoded(&Log::default()))?;
            }
            if thread::current().id() != replays {
                let mut ledger = ledger.lock();
                ledger.accepted.extend(led);
                *ledger.handled.entry((what, number)).or_default() += 1;
            }
            Ok(())
        })
    }

    /// Sends a message, and waits for it now and then.
    fn send(&self, number: u32) {
        let message = self.item(What::Told, number);
        self.ledger.lock().accepted.insert((What::Told, number));
        if number.is_multiple_of(4) {
            match self.world.wait(self.actor.ask(message, GENEROUS)) {
                Ok(_) | Err(AskError::Panicked(_)) => {}
                Err(error) => panic!("{number}: {error}"),
            }
        } else {
            self.world.wait(self.actor.tell(message)).expect("it is accepted");
        }
    }

    /// The actor is paused: what its turns came to is of no use any more.
    fn give_up(&self, but: &Log) {
        let mut ledger = self.ledger.lock();
        let kept: BTreeSet<_> = but.entries.iter().map(|entry| (entry.sender, entry.number)).collect();
        let gone: Vec<_> = ledger.handled.keys().copied().collect();
        ledger.given_up.extend(gone.into_iter().filter(|item| !kept.contains(&(item.0.sender(), item.1))));
    }

    /// To another version, for good or on probation; then back, or not.
    fn move_on(&self, versions: &[Arc<Probe>], seed: &AtomicU64) -> &'static str {
        let from = self.actor.info().version.major as usize - 1;
        let to = (from + 1 + random(seed) as usize % 3) % versions.len();
        if random(seed).is_multiple_of(4) {
            upgrade(&self.actor, &versions[to]);
            return "upgraded";
        }
        let probation = Probation::with(&self.actor, &versions[from], &versions[to], |recording| {
            (recording.messages_max, recording.bytes_max) = (1 << 20, 1 << 30);
        });
        self.worse.store(true, SeqCst);
        let turns = random(seed) % 100;
        let mut crashed = None;
        eventually("it has worked, or has panicked", || {
            crashed = probation.crashes.try_recv().ok();
            crashed.is_some() || self.actor.figures().turns() >= turns
        });
        let pause = match crashed {
            Some(crashed) => Ok(crashed.pause),
            None => pause(&self.actor),
        };
        // One that panics just now is somebody's already.
        let pause = pause.unwrap_or_else(|_| probation.crash().pause);
        self.end(probation, pause, random(seed))
    }

    /// What becomes of a probation, when its actor is at rest.
    fn end(&self, probation: Probation, pause: Quiesced, choice: u64) -> &'static str {
        self.worse.store(false, SeqCst);
        let frozen = probation.log();
        match choice % 8 {
            0..4 => {
                let (tally, held) = probation.replay(pause);
                assert_eq!((tally.failed, held.len()), (0, 0), "all versions do the same");
                "replayed"
            }
            4 => {
                self.give_up(&frozen);
                probation.forget(pause);
                "forgotten"
            }
            5 if pause.is_wreck() => {
                self.give_up(&Log::default());
                let before = self.actor.info().restarts;
                drop(pause);
                eventually("it is restarted", || self.actor.info().restarts > before);
                "restarted"
            }
            5 => {
                drop(pause);
                probation.actor.end_recording("up-1");
                "final"
            }
            _ if pause.is_wreck() => {
                self.give_up(&frozen);
                probation.forget(pause);
                "forgotten"
            }
            _ => {
                let mut pause = pause;
                let state = pause.save(64 << 20).expect("it saves");
                let back = probation.old.instance_of(&state);
                pause.commit(back, probation.old, Why::Upgraded).expect("it commits");
                "downgraded"
            }
        }
    }
}

fn begin(turn: &mut Turn<'_>, what: What, next: &Do) -> Result<(), Fault> {
    match what {
        What::Own => {
            let me = turn.call.this.clone();
            turn.tell(&me, next)
        }
        What::Timer => turn.after(Duration::from_micros(300), next),
        What::Answer => ask_then(turn, "other", next),
        What::Told => Ok(()),
    }
}

// Invariant 3
#[test]
fn every_accepted_message_ends_once_over_random_probations_ways_back_and_crashes() {
    let given = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(3));
    println!("TENERAL_SEED={seed}");
    let seed = AtomicU64::new(seed);
    let world = World::new();
    let versions: Vec<_> = (1..=4).map(|major| world.probe(major).arc()).collect();
    let intensity = Intensity { restarts_max: 10_000, period: GENEROUS };
    let actor = world.start_with("a", &versions[0], ActorOptions { intensity, ..ActorOptions::permanent() });
    let other = world.start("other", &versions[0]);
    let replays = thread::current().id();
    let (ledger, worse) = (Arc::default(), Arc::default());
    let house = House { world, actor, ledger, worse, replays };
    let (done, mut came) = (AtomicBool::new(false), BTreeMap::<_, u32>::new());
    thread::scope(|scope| {
        let _ends = Ends(&done);
        for sender in 0..SENDERS {
            let (house, done) = (&house, &done);
            scope.spawn(move || {
                let numbers = (sender..).step_by(SENDERS as usize);
                numbers.take_while(|_| !done.load(SeqCst)).for_each(|number| house.send(number));
            });
        }
        (0..MOVES).for_each(|_| *came.entry(house.move_on(&versions, &seed)).or_default() += 1);
    });
    let letters = || {
        let kinds = [DeadKind::Panicked, DeadKind::RolledBack, DeadKind::Restarted];
        kinds.into_iter().map(|kind| house.world.runtime.dead_letters().count(kind)).sum::<u64>()
    };
    eventually("all has ended", || {
        let ledger = house.ledger.lock();
        ledger.accepted.len() as u64 == ledger.handled.len() as u64 + letters()
    });
    house.world.seen(&other);
    let log = house.world.seen(&house.actor);
    let ledger = house.ledger.lock();
    println!(
        "{came:?}, {} items, {} dead letters, {} given up",
        ledger.accepted.len(),
        letters(),
        ledger.given_up.len()
    );
    assert!(ledger.handled.keys().all(|item| ledger.accepted.contains(item)));
    let twice: Vec<_> = ledger.handled.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let mut expected: Vec<_> = ledger.handled.keys().filter(|item| !ledger.given_up.contains(item)).collect();
    expected.sort_unstable();
    for sender in 0..SENDERS {
        let numbers = log.of(What::Told.sender()).into_iter().filter(|number| number % SENDERS == sender);
        assert!(numbers.is_sorted(), "of sender {sender}, in the order in which they were accepted");
    }
    let mut found: Vec<_> = log.entries.iter().map(|entry| (entry.sender, entry.number)).collect();
    found.sort_unstable();
    assert_eq!(found, expected.iter().map(|item| (item.0.sender(), item.1)).collect::<Vec<_>>());
    let hit: Vec<_> = came.keys().copied().collect();
    assert_eq!(hit, ["downgraded", "final", "forgotten", "replayed", "restarted", "upgraded"], "{came:?}");
}
