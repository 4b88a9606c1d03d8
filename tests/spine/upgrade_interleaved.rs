//! Upgrades at random under traffic: whatever the interleaving, code runs only on the state of its own version.
//!
//! What happened is told by three accounts that know nothing of each other: the senders' of what was accepted, the
//! reports' of what was committed, and the actor's own, which its state carries through every move.

use crate::harness::house::{GENEROUS, House, chain, patient};
use crate::harness::probe::{self, Busy, Standing, handled_by, lives, note, random, seen, trap};
use crate::harness::{Test, test};
use probe_api::{Entry, Note, Seen};
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use teneral::runtime::{DeadKind, StateError, Status, TryTellError};
use teneral::upgrade::report::Now;
use teneral::upgrade::{ActorReport, Outcome};
use teneral::{ActorRef, Report, SystemError, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![test(u18_no_interleaving_runs_one_versions_code_on_another_versions_state)]
}

/// Rounds are dealt, so that each kind of them has its share.
const DECKS: u32 = 6;

/// Senders of notes that every version reads, each of which sends so many a round.
const SENDERS: u32 = 3;
const EACH_ROUND: u64 = 10;

/// The sender of notes that only newer code reads.
const PICKY: u32 = SENDERS;
const WEIGHT: u32 = 5;

const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

fn u18_no_interleaving_runs_one_versions_code_on_another_versions_state() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let traffic = Traffic::default();
    let mut random = random();
    let mut history = BTreeMap::new();
    let (sent, picky) = std::thread::scope(|scope| {
        // Ends the senders also when an assertion ends this.
        let _end = End(&traffic.ended);
        let (house, actor, traffic) = (&house, &actor, &traffic);
        let senders = (0..SENDERS).map(|sender| scope.spawn(move || traffic.send(house, actor, sender)));
        let senders: Vec<_> = senders.collect();
        let picky = scope.spawn(move || traffic.send_weighed(actor));
        let askers = [scope.spawn(move || traffic.ask(house, actor)), scope.spawn(move || traffic.ask(house, actor))];
        for _ in 0..DECKS {
            let mut deck = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
            deck.shuffle(&mut random);
            for card in deck {
                traffic.rounds.fetch_add(1, SeqCst);
                round(house, actor, card, &mut random, &mut history);
            }
        }
        traffic.ended.store(true, SeqCst);
        let sent: Vec<u64> = senders.into_iter().map(|sender| sender.join().expect("it sent all")).collect();
        let picky = picky.join().expect("it sent all");
        let last = seen(house, actor);
        for asker in askers {
            extends(&asker.join().expect("every answer fits"), &last);
        }
        (sent, picky)
    });
    let last = seen(&house, &actor);
    let (weighed, plain): (Vec<Entry>, Vec<Entry>) = last.log.iter().partition(|entry| entry.sender == PICKY);
    probe::whole(&plain, &sent);
    assert!(plain.iter().all(|entry| entry.weight == u32::from(entry.version > 1)), "no note was misread");
    picky.accounts_for(&house, &weighed);

    // Each committed move, in order, is a life of the actor; nothing else is.
    let generations: Vec<u64> = history.keys().copied().collect();
    assert_eq!(generations, (1..=actor.info().generation.0).collect::<Vec<_>>());
    let moves = history.values().map(|version| format!("{version}: started Upgraded"));
    let expected: Vec<String> = std::iter::once("1: started Fresh".to_owned()).chain(moves).collect();
    assert_eq!(lives(&last), expected);
    // And who handled a note was the version that lived then.
    let mut versions = std::iter::once(1).chain(history.values().copied());
    for version in handled_by(&last.log) {
        assert!(versions.any(|lived| lived == version), "{:?} under {history:?}", handled_by(&last.log));
    }
    assert!(history.len() >= 10, "the rounds moved the actor: {history:?}");
}

/// What goes on beside the upgrades.
#[derive(Default)]
struct Traffic {
    rounds: AtomicU64,
    ended: AtomicBool,
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What the picky sender knows.
#[derive(Default)]
struct Picky {
    accepted: Vec<u64>,
    refused: u64,
}

impl Traffic {
    /// Whether sender number `sent` may be sent now; `None` when there is nothing left to send.
    fn next(&self, sent: u64) -> Option<bool> {
        let ended = self.ended.load(SeqCst);
        let may = sent < self.rounds.load(SeqCst) * EACH_ROUND;
        if ended && !may {
            return None;
        }
        if !may {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Some(may)
    }

    /// Sends notes in order; how many it sent.
    fn send(&self, house: &House, actor: &ActorRef, sender: u32) -> u64 {
        let mut sent = 0;
        while let Some(may) = self.next(sent) {
            if may {
                probe::tell(house, actor, note(sender, sent));
                sent += 1;
            }
        }
        sent
    }

    fn send_weighed(&self, actor: &ActorRef) -> Picky {
        let (mut picky, mut number) = (Picky::default(), 0);
        while let Some(may) = self.next(number) {
            if !may {
                continue;
            }
            match actor.try_tell(Note { sender: PICKY, number, weight: WEIGHT }) {
                Ok(()) => picky.accepted.push(number),
                Err(TryTellError::UnknownShape { .. }) => picky.refused += 1,
                Err(other) => panic!("{other}"),
            }
            number += 1;
        }
        picky
    }

    /// Asks again and again; the last answer. Each goes on from the one before, whatever happened in between.
    fn ask(&self, house: &House, actor: &ActorRef) -> Seen {
        let mut last = seen(house, actor);
        while !self.ended.load(SeqCst) {
            let next = seen(house, actor);
            extends(&last, &next);
            let life = lives(&next).last().and_then(|life| life.split(':').next()).and_then(|v| v.parse().ok());
            assert_eq!(life, Some(next.version), "the code that answers is the one that went live last");
            last = next;
            match house.block_on(actor.state(GENEROUS)) {
                // One field more with every schema.
                Ok(read) => {
                    assert_eq!((read.schema, u32::from(read.bytes[0] - 0x80)), (major(&read.version), read.schema))
                }
                // A trap in `save`.
                Err(error) => assert!(matches!(error, StateError::Save(_)), "{}", chain(&error)),
            }
        }
        last
    }
}

fn major(version: &semver::Version) -> u32 {
    u32::try_from(version.major).expect("a small number")
}

#[track_caller]
fn extends(before: &Seen, after: &Seen) {
    assert!(
        after.log.starts_with(&before.log),
        "the log lost or changed something that it had {} {} {:?} {:?}",
        before.log.len(),
        after.log.len(),
        before.notes,
        after.notes
    );
    assert!(after.notes.starts_with(&before.notes), "{:?} does not go on from {:?}", after.notes, before.notes);
}

impl Picky {
    /// What it got accepted was handled, in order and by code that knows it, or is a dead letter for its shape.
    fn accounts_for(&self, house: &House, handled: &[Entry]) {
        let numbers: Vec<u64> = handled.iter().map(|entry| entry.number).collect();
        let mut accepted = self.accepted.iter();
        assert!(numbers.iter().all(|number| accepted.any(|sent| sent == number)), "{numbers:?} of {:?}", self.accepted);
        assert!(handled.iter().all(|entry| entry.version > 1 && entry.weight == WEIGHT), "{handled:?}");
        let lost = (self.accepted.len() - numbers.len()) as u64;
        let letters = house.system.runtime().dead_letters().count(DeadKind::UnknownShape);
        assert_eq!(letters, self.refused + lost);
    }
}

/// One thing that an operator, or a bad build, does.
fn round(house: &House, actor: &ActorRef, card: u32, random: &mut SmallRng, history: &mut BTreeMap<u64, u32>) {
    let at = major(&actor.info().version);
    let any = random.random_range(1..=3);
    let another = 1 + (at - 1 + random.random_range(1..=2)) % 3;
    match card {
        0..4 => {
            let entry = house.moved("probe/a", VERSIONS[any as usize - 1]);
            assert_eq!(entry.outcome.name(), if any == at { "unchanged" } else { "committed" }, "{entry}");
            record(&entry, history);
        }
        4..7 => badly_built(house, actor, (at, any), random, history),
        7 => busy(house, actor, another),
        8 => cancelled(house, actor, (at, another)),
        _ => two_at_once(house, at, history),
    }
    assert_eq!(actor.info().status, Status::Running);
}

fn record(entry: &ActorReport, history: &mut BTreeMap<u64, u32>) {
    if entry.outcome == Outcome::Committed {
        let Now::Serving { version, generation } = &entry.now else { panic!("{entry}") };
        assert_eq!(history.insert(*generation, major(version)), None, "one move a generation");
    }
}

/// A move through code that fails at some step; it fails if it comes by that step, and is no other than that.
fn badly_built(
    house: &House,
    actor: &ActorRef,
    (at, to): (u32, u32),
    random: &mut SmallRng,
    history: &mut BTreeMap<u64, u32>,
) {
    const TRAPS: [(&str, &str); 8] = [
        ("save", "error"),
        ("save", "garbage"),
        ("restore", "error"),
        ("restore", "panic"),
        ("migrate", "error"),
        ("migrate", "panic"),
        ("downgrade", "error"),
        ("downgrade", "panic"),
    ];
    let (step, how) = TRAPS[random.random_range(0..TRAPS.len())];
    trap(house, actor, step, how);
    let entry = house.moved("probe/a", VERSIONS[to as usize - 1]);
    let (up, down) = (to > at, to < at);
    let met = match step {
        "migrate" => up,
        "downgrade" => down,
        _ => up || down,
    };
    let expected = if met {
        "rolled_back"
    } else if up || down {
        "committed"
    } else {
        "unchanged"
    };
    assert_eq!(entry.outcome.name(), expected, "{step} {how}: {entry}");
    record(&entry, history);
    trap(house, actor, "", "");
}

/// An upgrade of an actor in a turn that does not end.
fn busy(house: &House, actor: &ActorRef, to: u32) {
    let busy = Busy::make(house, actor);
    let options = UpgradeOptions {
        quiesce_timeout: Duration::from_millis(20),
        // Longer than any pause takes, shorter than the patience of whoever waits for a test.
        max_pause: Duration::from_secs(20),
        ..patient()
    };
    let report = house.try_upgrade("probe/a", VERSIONS[to as usize - 1], options).expect("it begins");
    assert_eq!(report.actors[0].outcome.name(), "deferred", "{report}");
    drop(busy);
}

/// An upgrade that an operator takes back under its pause.
fn cancelled(house: &House, actor: &ActorRef, (at, to): (u32, u32)) {
    let step = if to > at { "migrate" } else { "downgrade" };
    let standing = Standing::at(house, actor, step, VERSIONS[to as usize - 1], patient());
    actor.cancel_pause("ops");
    seen(house, actor);
    let report = standing.go_on(house);
    assert_eq!(report.actors[0].outcome.failure().map(|why| why.code.as_str()), Some("UPG-CANCELLED"), "{report}");
    trap(house, actor, "", "");
}

/// Two upgrades to the two other versions, from the same generation: one of them happens.
fn two_at_once(house: &House, at: u32, history: &mut BTreeMap<u64, u32>) {
    let others = (1..=3).filter(|to| *to != at).map(|to| VERSIONS[to as usize - 1]);
    let plans: Vec<_> =
        others.map(|to| house.block_on(house.system.plan("probe/a", to, patient())).expect("a plan")).collect();
    let applied: Vec<_> = plans
        .into_iter()
        .map(|plan| {
            let system = house.system.clone();
            house.spawn(async move { system.apply(plan).await })
        })
        .collect();
    let before = history.len();
    for applied in applied {
        let done: Result<Report, SystemError> = house.block_on(applied).expect("no upgrade panics");
        match done {
            Ok(report) => {
                let code = report.actors[0].outcome.failure().map(|why| why.code.clone());
                assert!(code.is_none_or(|code| code == "UPG-STALE"), "{report}");
                record(&report.actors[0], history);
            }
            Err(error) => assert!(["UPG-STALE", "UPG-RUNNING"].contains(&error.code()), "{}", chain(&error)),
        }
    }
    assert_eq!(history.len(), before + 1, "{history:?}");
}
