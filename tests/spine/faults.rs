//! The faults of an upgrade's steps under the pause: what each leaves behind, seen by who sent the messages and by the
//! actor's own state.
//!
//! Each ends in a typed error in the report and in the same words in the journal.

use crate::harness::house::{GENEROUS, House, only, patient, recorded, until};
use crate::harness::probe::{self, Busy, Hold, Standing, act, handled_by, lives, note, seen, state, tell, trap};
use crate::harness::{Test, test};
use probe_api::{Act, Read, Relay, Start};
use std::time::{Duration, Instant};
use teneral::runtime::{DeadKind, Generation, RestartState, Status, TellError, TryTellError};
use teneral::upgrade::report::Now;
use teneral::upgrade::{Outcome, Step};
use teneral::{ActorOptions, ActorRef, Addr, AskError, Launch, UpgradeOptions, digest_of};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(f19_a_handler_that_does_not_return_is_deferred_and_nothing_is_paused_later),
        test(f20_a_mailbox_that_fills_while_paused_pushes_back_and_drops_nothing),
        test(f21_an_ask_that_times_out_while_paused_is_handled_once_and_its_late_reply_is_counted),
        test(f22_timers_that_come_due_while_paused_are_handled_after_it_in_due_order_and_missed_ticks_as_one),
        test(f24_a_save_that_panics_or_errs_is_rolled_back_to_the_very_same_state),
        test(f25_a_state_over_its_limit_is_rolled_back),
        test(f28_an_actor_that_is_stopped_in_the_middle_stays_stopped_and_the_upgrade_is_closed),
        test(f28_an_actor_whose_parent_stops_in_the_middle_stops_with_it),
        test(f30_a_migration_that_panics_only_in_the_live_process_is_rolled_back_from_the_kept_instance),
        test(f31_a_migration_that_hangs_is_taken_over_and_its_version_quarantined),
        test(f41_a_save_that_hangs_costs_that_instance_and_keeps_the_queue),
    ]
}

/// A probe at 1.0.0 with the notes 0, 1, 2 of sender 0 in its log.
fn with_three_notes(house: &House, addr: &str) -> ActorRef {
    let actor = probe::start(house, addr, "1.0.0");
    (0..3).for_each(|number| tell(house, &actor, note(0, number)));
    probe::whole(&seen(house, &actor).log, &[3]);
    actor
}

/// It rolled back at that step with that code, and says the same on the disk.
#[track_caller]
fn rolled_back(house: &House, report: &teneral::Report, step: Step, code: &str) {
    let entry = only(report);
    let Outcome::RolledBack(failure) = &entry.outcome else { panic!("{report}") };
    assert_eq!((entry.step, failure.code.as_str()), (step, code), "{report}");
    assert!(!report.ok());
    recorded(&house.journal(report), entry);
}

/// The instance that was there from the beginning serves at 1.0.0, and handled so many notes of sender 0.
#[track_caller]
fn serves_on(house: &House, actor: &ActorRef, notes: u64) {
    let seen = seen(house, actor);
    probe::whole(&seen.log, &[notes]);
    assert_eq!((seen.version, lives(&seen), handled_by(&seen.log)), (1, vec!["1: started Fresh"], vec![1]));
    assert_eq!((actor.info().generation, actor.info().status), (Generation(0), Status::Running));
}

fn f19_a_handler_that_does_not_return_is_deferred_and_nothing_is_paused_later() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house, "probe/busy");
    let free = with_three_notes(&house, "probe/free");
    let busy = Busy::make(&house, &actor);
    let options = UpgradeOptions { quiesce_timeout: Duration::from_millis(50), ..patient() };
    for sent in 3..6 {
        let report = house.try_upgrade("probe/busy", "2.0.0", options).expect("it begins");
        let entry = only(&report);
        let Outcome::Deferred(failure) = &entry.outcome else { panic!("{report}") };
        assert_eq!((failure.code.as_str(), entry.step, entry.pause_us), ("UPG-BUSY", Step::Pause, 0), "{report}");
        recorded(&house.journal(&report), entry);
        assert_eq!(actor.info().status, Status::Running, "the request went with its time");
        tell(&house, &actor, note(0, sent));
    }
    // Nobody else is held up by it.
    let report = house.try_upgrade("probe", "2.0.0", options).expect("it begins");
    let of = |actor: &ActorRef| report.of(actor.addr()).expect("an entry");
    assert_eq!((of(&actor).outcome.name(), of(&free).outcome.name()), ("deferred", "committed"), "{report}");
    drop(busy);
    for sent in 6..200 {
        tell(&house, &actor, note(0, sent));
        assert_eq!(seen(&house, &actor).version, 1);
    }
    serves_on(&house, &actor, 200);
}

fn f20_a_mailbox_that_fills_while_paused_pushes_back_and_drops_nothing() {
    const ROOM: u64 = 16;
    const SENDERS: u32 = 3;
    const EACH: u64 = 50;
    let house = House::open(probe::ALL, |options| {
        options.runtime.hang_after = GENEROUS;
        options.runtime.mailbox_messages_max = ROOM as usize;
    });
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    let accepted = (0..).take_while(|number| actor.try_tell(note(0, *number)).is_ok()).count() as u64;
    assert_eq!(accepted, ROOM);
    assert_eq!(actor.try_tell(note(0, ROOM)), Err(TryTellError::Full(note(0, ROOM))), "it is given back");
    let senders: Vec<_> = (1..=SENDERS)
        .map(|sender| {
            let actor = actor.clone();
            house.spawn(async move {
                for number in 0..EACH {
                    actor.tell(note(sender, number)).await?;
                }
                Ok::<_, TellError<_>>(())
            })
        })
        .collect();
    assert_eq!(actor.info().queued_messages as u64, ROOM);
    assert!(senders.iter().all(|sender| !sender.is_finished()), "they wait for room");
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    assert_eq!(only(&report).queued_at_resume as u64, ROOM);
    senders.into_iter().for_each(|sender| house.block_on(sender).expect("it ends").expect("room came"));
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &[ROOM, EACH, EACH, EACH]);
    assert_eq!(handled_by(&seen.log), [2]);
}

fn f21_an_ask_that_times_out_while_paused_is_handled_once_and_its_late_reply_is_counted() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house, "probe/a");
    let other = with_three_notes(&house, "probe/other");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    // What it asks on its behalf is written down, so that a second time would be seen.
    let relay = || Relay { to: other.addr().clone() };
    let answer = house.block_on(actor.ask(relay(), Duration::from_millis(50)));
    assert_eq!(answer.map(drop), Err(AskError::Timeout));
    let late = || house.system.runtime().dead_letters().count(DeadKind::LateReply);
    assert_eq!((late(), actor.info().queued_messages), (0, 1), "the request still waits");
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    until("the late reply is counted", || late() == 1);
    let answer = house.block_on(actor.ask(relay(), GENEROUS)).expect("in time, there is an answer");
    assert_eq!(answer.version, 1, "the other one's own");
    let notes = seen(&house, &actor).notes;
    assert_eq!(notes.iter().filter(|note| *note == "2: relayed").count(), 2, "each request once: {notes:?}");
    assert_eq!(late(), 1);
}

fn f22_timers_that_come_due_while_paused_are_handled_after_it_in_due_order_and_missed_ticks_as_one() {
    let house = House::patient(probe::ALL);
    // A machine that is too slow for one scale is not for a longer one.
    let scales = (0..6).map(|doubled| Duration::from_millis(400 << doubled));
    let found = scales.zip(["a", "b", "c", "d", "e", "f"]).find_map(|(scale, key)| missed(&house, key, scale));
    let (waited, notes) = found.expect("an actor comes to rest within thirteen seconds");
    assert_eq!(waited, 3, "the ticks that were missed are one");
    let fired: Vec<&str> = notes.iter().filter_map(|note| note.strip_prefix("2: ")?.strip_suffix(" timer")).collect();
    assert_eq!(fired.get(..3), Some(&["periodic", "first", "second"][..]), "{notes:?}");
    assert_eq!(fired.iter().filter(|fired| **fired != "periodic").count(), 2, "one shot each: {notes:?}");
}

/// What waits for an actor after a pause of more than two scales, and what it writes down then: it has a timer of a
/// quarter of a scale, over and over, one of one scale, and one of two that was set before that. `None` when it was not
/// paused early enough.
fn missed(house: &House, key: &str, scale: Duration) -> Option<(usize, Vec<String>)> {
    let actor = probe::start(house, &format!("probe/{key}"), "1.0.0");
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).expect("short");
    let timer = |delay: Duration, period: Duration, text: &str| {
        act(house, &actor, Act::Timer { delay_ms: ms(delay), period_ms: ms(period), text: format!("{text} timer") });
    };
    let begun = Instant::now();
    timer(2 * scale, Duration::ZERO, "second");
    timer(scale, Duration::ZERO, "first");
    timer(scale / 4, scale / 4, "periodic");
    let standing = Standing::upgrade(house, &actor, "2.0.0");
    let paused = Instant::now();
    if paused.duration_since(begun) >= scale / 2 {
        return None;
    }
    until("all are due, and four ticks of the periodic one", || paused.elapsed() >= 2 * scale + scale / 4);
    until("they wait", || actor.info().queued_messages >= 3);
    let report = standing.go_on(house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    until("it goes on ticking", || {
        seen(house, &actor).notes.iter().filter(|note| *note == "2: periodic timer").count() > 2
    });
    Some((only(&report).queued_at_resume, seen(house, &actor).notes))
}

fn f24_a_save_that_panics_or_errs_is_rolled_back_to_the_very_same_state() {
    for how in ["panic", "error"] {
        let house = House::patient(probe::ALL);
        let actor = with_three_notes(&house, "probe/a");
        let before = state(&house, &actor).bytes;
        trap(&house, &actor, "save", how);
        let options = UpgradeOptions { quiesce_timeout: GENEROUS, ..patient() };
        let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it begins");
        rolled_back(&house, &report, Step::Snapshot, "UPG-SNAPSHOT");
        let said = if how == "panic" { "save panics, as told" } else { "save refuses, as told" };
        assert!(only(&report).outcome.failure().is_some_and(|failure| failure.cause.contains(said)), "{report}");
        trap(&house, &actor, "", "");
        assert_eq!(state(&house, &actor).bytes, before, "not a byte has changed");
        tell(&house, &actor, note(0, 3));
        serves_on(&house, &actor, 4);
        assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
    }
}

fn f25_a_state_over_its_limit_is_rolled_back() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house, "probe/a");
    act(&house, &actor, Act::Grow(1 << 20));
    seen(&house, &actor);
    let before = digest_of(&state(&house, &actor).bytes);
    let options = UpgradeOptions { snapshot_bytes_max: 1 << 20, ..patient() };
    let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it begins");
    rolled_back(&house, &report, Step::Snapshot, "UPG-LIMIT");
    assert!(report.to_string().contains("1048576"), "it names the limit: {report}");
    assert_eq!(digest_of(&state(&house, &actor).bytes), before);
    tell(&house, &actor, note(0, 3));
    serves_on(&house, &actor, 4);
    // With room for it, it moves.
    assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
}

/// The upgrade was aborted by a stop; nothing serves, nothing is left open, and nobody's message disappeared.
#[track_caller]
fn aborted_by_stop(house: &House, actor: &ActorRef, report: &teneral::Report) {
    rolled_back(house, report, Step::Migrate, "UPG-STOPPED");
    assert_eq!(only(report).now, Now::Stopped, "{report}");
    assert!(matches!(actor.info().status, Status::Stopped { .. }), "{:?}", actor.info().status);
    assert_eq!(actor.try_tell(note(0, 9)), Err(TryTellError::Closed(note(0, 9))));
    assert_eq!(house.block_on(actor.ask(Read {}, GENEROUS)).map(drop), Err(AskError::Stopped));
    let error = house.block_on(house.system.plan(actor.addr(), "2.0.0", patient())).map(drop).expect_err("it is gone");
    assert_eq!(error.code(), "UPG-ACTOR");
}

fn f28_an_actor_that_is_stopped_in_the_middle_stays_stopped_and_the_upgrade_is_closed() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house, "probe/a");
    let other = with_three_notes(&house, "probe/other");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    (3..5).for_each(|number| tell(&house, &actor, note(0, number)));
    house.block_on(actor.stop("enough", GENEROUS)).expect("a pause is no obstacle");
    let report = standing.go_on(&house);
    aborted_by_stop(&house, &actor, &report);
    let left = house.system.runtime().dead_letters().count(DeadKind::Stopped);
    assert_eq!(left, 2, "what it had accepted and never handled");
    // Its name is free, and others can be upgraded.
    let again = probe::start(&house, "probe/a", "2.0.0");
    assert_eq!(seen(&house, &again).log, []);
    assert_eq!(house.moved("probe/other", "2.0.0").outcome, Outcome::Committed);
    probe::whole(&seen(&house, &other).log, &[3]);
}

fn f28_an_actor_whose_parent_stops_in_the_middle_stops_with_it() {
    let house = House::patient(probe::ALL);
    house.system.set_default("probe", "1.0.0").expect("it is there");
    let parent = probe::start(&house, "probe/parent", "1.0.0");
    act(&house, &parent, Act::Spawn("child".to_owned()));
    let path = parent.addr().kind().to_owned() + "/child";
    until("the child is there", || house.system.actor(path.as_str()).is_ok());
    let child = house.system.actor(path.as_str()).expect("it is there");
    assert_eq!(child.info().parent.as_ref(), Some(parent.addr()));
    let standing = Standing::upgrade(&house, &child, "2.0.0");
    house.block_on(parent.stop("enough", GENEROUS)).expect("it stops, its children first");
    let report = standing.go_on(&house);
    aborted_by_stop(&house, &child, &report);
}

/// Invariant 5.
fn f30_a_migration_that_panics_only_in_the_live_process_is_rolled_back_from_the_kept_instance() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house, "probe/a");
    // Held in the step, so that messages wait; then it panics: nothing about the code or the state said so before.
    let hold = Hold::new(&house);
    trap(&house, &actor, "migrate", &format!("hang-then-panic {}", hold.path()));
    let before = state(&house, &actor).bytes;
    let (system, addr) = (house.system.clone(), actor.addr().clone());
    let running = house.spawn(async move { system.upgrade(&addr, "2.0.0", patient()).await });
    until("it migrates", || hold.reached());
    (3..50).for_each(|number| tell(&house, &actor, note(0, number)));
    drop(hold);
    let report = house.block_on(running).expect("no upgrade panics").expect("it begins");
    rolled_back(&house, &report, Step::Migrate, "UPG-MIGRATE");
    let (entry, digest) = (only(&report), Some(digest_of(&before)));
    assert_eq!((entry.state_before, entry.state_after, entry.queued_at_resume), (digest, digest, 47), "{report}");
    serves_on(&house, &actor, 50);
}

fn f31_a_migration_that_hangs_is_taken_over_and_its_version_quarantined() {
    for step in ["migrate", "restore"] {
        let house = House::with(probe::ALL);
        let actor = with_three_notes(&house, "probe/a");
        let options = UpgradeOptions { max_pause: Duration::from_millis(100), ..patient() };
        let standing = Standing::at(&house, &actor, step, "2.0.0", options);
        // It serves on elsewhere while the code still hangs.
        (3..50).for_each(|number| tell(&house, &actor, note(0, number)));
        serves_on(&house, &actor, 50);
        let report = standing.outlasted(&house);
        rolled_back(&house, &report, Step::Migrate, "UPG-HANG");
        assert_eq!(report.threads_lost, 1, "{report}");
        let bad = actor_release(&house, "2.0.0");
        assert!(house.system.runtime().quarantined(bad).is_some());
        assert_eq!(house.refused("probe/a", "2.0.0").0, "UPG-QUARANTINED");
        // What it makes in the end is nobody's.
        serves_on(&house, &actor, 50);
        trap(&house, &actor, "", "");
        assert_eq!(house.moved("probe/a", "3.0.0").outcome, Outcome::Committed, "another version is no worse for it");
        probe::whole(&seen(&house, &actor).log, &[50]);
    }
}

fn actor_release(house: &House, version: &str) -> teneral::Digest {
    let releases = house.system.releases().expect("the store reads");
    releases.iter().find(|release| release.version.to_string() == version).expect("it was pushed").sha256
}

fn f41_a_save_that_hangs_costs_that_instance_and_keeps_the_queue() {
    for restart_state in [RestartState::Init, RestartState::LastSnapshot] {
        let house = House::with(probe::ALL);
        let launch = Launch {
            version: Some("1.0.0".parse().expect("a version")),
            options: ActorOptions { restart_state, ..ActorOptions::permanent() },
        };
        let addr: Addr = "probe/a".parse().expect("an address");
        let actor = house.block_on(house.system.start_with(&addr, launch, Start::default())).expect("it starts");
        (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
        assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed, "which leaves a snapshot");
        tell(&house, &actor, note(0, 3));
        let options = UpgradeOptions { max_pause: Duration::from_millis(100), ..patient() };
        let standing = Standing::at(&house, &actor, "save", "3.0.0", options);
        (4..10).for_each(|number| tell(&house, &actor, note(0, number)));
        // Answered by another instance, while that one still hangs.
        let after = seen(&house, &actor);
        let kept = match restart_state {
            RestartState::Init => 4..10,
            RestartState::LastSnapshot => 0..10,
        };
        let numbers: Vec<u64> = after.log.iter().map(|entry| entry.number).collect();
        // What was handled after the snapshot is gone with the instance; what waited is not.
        assert_eq!(numbers, kept.filter(|number| *number != 3).collect::<Vec<_>>());
        assert_eq!(after.version, 2);
        let report = standing.outlasted(&house);
        rolled_back(&house, &report, Step::Snapshot, "UPG-HANG");
        assert!(matches!(only(&report).now, Now::Replaced { .. }), "{report}");
        assert!(report.to_string().contains("2.0.0 is serving from its restart state"), "it says so: {report}");
        assert!(house.system.runtime().quarantined(actor_release(&house, "2.0.0")).is_some());
        assert_eq!(seen(&house, &actor).log, after.log, "what came late is dropped");
    }
}
