//! Actors on probation: who decides what becomes of them, when several want to.

mod interleaved;

use crate::common::{addr, manifest};
use crate::failure;
use crate::house::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use teneral_contract::{Addr, Manifest};
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_runtime::{Begin, EventStream, Seen as Event, Status, What};
use teneral_store::{Entry, Store};
use teneral_upgrade::report::Now;
use teneral_upgrade::*;

/// Schemas 1, 2, 3, of kinds that can do their work anew.
fn versions() -> [Manifest; 3] {
    let versions =
        [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1]), manifest("3.0.0", 3, &[1, 2], &[2])];
    versions.map(|manifest| Manifest { deterministic: true, ..manifest })
}

/// These actors, on probation under 2.0.0, each with a count of 5.
fn on_probation(keys: &[&str], watch: Watch) -> (House, Report) {
    on_probation_with(keys, watch, Options::new().quiesce_timeout)
}

/// The same, where a message boundary is waited for so long.
fn on_probation_with(keys: &[&str], watch: Watch, quiesce_timeout: Duration) -> (House, Report) {
    of_these(versions(), keys, (watch, quiesce_timeout))
}

fn of_these(versions: [Manifest; 3], keys: &[&str], (watch, quiesce_timeout): (Watch, Duration)) -> (House, Report) {
    let house = House::with(versions);
    keys.iter().for_each(|key| drop(house.start(key, "1.0.0", 5)));
    let mut request = house.request(keys, "2.0.0");
    request.options.probation = Probation::Watch(watch);
    request.options.quiesce_timeout = quiesce_timeout;
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert!(report.ok(), "{report}");
    (house, report)
}

/// A day: nobody passes by time.
const LONG: Duration = Duration::from_secs(86_400);

/// Nothing but a word takes anybody back.
fn by_word() -> Watch {
    Watch { rollback: Rollback::Never, ..Watch::new(LONG) }
}

fn path(key: &str) -> Addr {
    addr(&format!("counter/{key}"))
}

/// How it stands with this one.
fn stands(house: &House, key: &str) -> OnProbation {
    let on = house.upgrades.on_probation().into_iter().find(|on| on.actor == path(key));
    on.expect("it is on probation")
}

/// From now on 1.0.0 waits here when it is to do anew what was told before.
fn stops_in_replay(house: &House, key: &str) -> (Arc<Gate>, Opens) {
    let (actor, gate) = (house.actor(key), Gate::new());
    tell(&actor, "Hang");
    assert_eq!(see(&actor).version, "2.0.0", "which does not hang");
    house.script("1.0.0").hang_at(At::Handle, &gate);
    (gate.clone(), Opens(gate))
}

fn roll_back(
    house: &House,
    report: &Report,
    way: Option<WayBack>,
    keys: &[&str],
) -> Result<Vec<Report>, Box<UpgradeError>> {
    let only: Vec<Addr> = keys.iter().map(|key| path(key)).collect();
    house.upgrades.roll_back(&report.id, (way, PathlessPolicy::Refuse), &only, ("operator", "")).map_err(Box::new)
}

/// It serves this version, and has counted so far.
fn serves(house: &House, key: &str, version: &str, count: u64) {
    let seen = see(&house.actor(key));
    assert_eq!((seen.version.as_str(), seen.count), (version, count), "{key}");
}

/// Whether it was said so of somebody since the last look.
fn told(events: &mut EventStream, phase: &str) -> bool {
    let told = std::iter::from_fn(|| events.next_blocking(Duration::ZERO).ok());
    told.fold(false, |before, seen| {
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        before || matches!(&event.what, What::Probation { phase: of, .. } if *of == phase)
    })
}

fn is_on_probation(house: &House, key: &str) -> bool {
    house.upgrades.on_probation().iter().any(|on| on.actor == path(key))
}

/// A gate that is opened whatever becomes of the test.
pub(crate) struct Opens(pub(crate) Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[test]
fn s19_a_panic_while_a_probation_is_made_final_is_its_supervisors() {
    for by_hand in [true, false] {
        let watch = Watch { messages: if by_hand { u64::MAX } else { 3 }, ..Watch::new(Duration::ZERO) };
        let (house, report) = on_probation(&["a"], watch);
        let (actor, gate) = (house.actor("a"), Gate::new());
        *house.disk.hangs.lock() = Some(gate.clone());
        std::thread::scope(|threads| {
            if by_hand {
                threads.spawn(|| house.upgrades.finalise(&report.id, &[], "operator").expect("it is on probation"));
            } else {
                (0..3).for_each(|_| tell(&actor, "Add"));
            }
            let _opens = Opens(gate.clone());
            gate.await_entered();
            tell(&actor, "Panic");
            until("its supervisor restarts it", || actor.info().restarts == 1);
        });
        until("it is final", || !is_on_probation(&house, "a"));
        let seen = see(&actor);
        assert_eq!((seen.version.as_str(), seen.count), ("2.0.0", 0), "it began anew");
    }
}

#[test]
fn f36_a_version_is_not_made_final_nor_taken_back_again_while_it_is_taken_back() {
    let (house, report) = on_probation(&["a"], by_word());
    let (gate, opens) = stops_in_replay(&house, "a");
    std::thread::scope(|threads| {
        let back = threads.spawn(|| roll_back(&house, &report, None, &[]));
        let opens = opens;
        gate.await_entered();
        let [id] = house.upgrades.running().try_into().expect("one rollback is at work");
        let final_ = house.upgrades.finalise(&report.id, &[], "operator").expect_err("it is being taken back");
        let again = roll_back(&house, &report, None, &[]).expect_err("it is being taken back");
        for refused in [final_, *again] {
            assert!(matches!(&refused, UpgradeError::Running { by, .. } if *by == id), "{refused}");
        }
        drop(opens);
        let reports = back.join().expect("it ends").expect("it begins");
        assert!(reports[0].ok() && reports[0].id == id, "{}", reports[0]);
    });
    serves(&house, "a", "1.0.0", 5);
    assert!(!is_on_probation(&house, "a"));
    assert_eq!(house.store.default_version("counter").expect("the store reads"), None);
}

#[test]
fn f36_nobody_moves_an_actor_that_waits_for_its_turn_to_go_back() {
    let watch = Watch { keep_messages: 3, ..by_word() };
    let (house, report) = on_probation(&["a", "b"], watch);
    (0..4).for_each(|_| tell(&house.actor("b"), "Add"));
    serves(&house, "b", "2.0.0", 9);
    let (gate, opens) = stops_in_replay(&house, "a");
    std::thread::scope(|threads| {
        let back = threads.spawn(|| roll_back(&house, &report, None, &[]));
        let opens = opens;
        gate.await_entered();
        let refused = house.upgrades.upgrade(&house.request(&["b"], "3.0.0")).expect_err("it is to go back");
        assert_eq!(refused.code(), "UPG-RUNNING");
        drop(opens);
        let reports = back.join().expect("it ends").expect("it begins");
        assert!(reports.iter().all(Report::ok) && reports.len() == 2, "{reports:?}");
    });
    serves(&house, "a", "1.0.0", 5);
    serves(&house, "b", "1.0.0", 9);
}

#[test]
fn f36_where_one_cannot_be_had_nobody_goes_back_and_each_is_as_it_was() {
    let watch = Watch { keep_messages: 3, ..by_word() };
    let (house, report) = on_probation(&["a", "b"], watch);
    (0..4).for_each(|_| tell(&house.actor("b"), "Add"));
    serves(&house, "b", "2.0.0", 9);
    let gate = Gate::new();
    house.script("3.0.0").hang_at(At::Restore, &gate);
    std::thread::scope(|threads| {
        let opens = Opens(gate.clone());
        let up = threads.spawn(|| house.upgrades.upgrade(&house.request(&["b"], "3.0.0")).expect("it begins"));
        gate.await_entered();
        let refused = roll_back(&house, &report, None, &[]).expect_err("somebody has one of them");
        assert!(matches!(&*refused, UpgradeError::Running { addr, .. } if *addr == path("b")), "{refused}");
        for key in ["a", "b"] {
            assert_eq!(stands(&house, key).phase, Phase::Watching, "{key}");
        }
        drop(opens);
        assert!(up.join().expect("it ends").ok());
    });
    serves(&house, "a", "2.0.0", 5);
    serves(&house, "b", "3.0.0", 9);
    let reports = roll_back(&house, &report, None, &[]).expect("it begins");
    assert!(reports[0].ok() && reports.len() == 1, "{reports:?}");
    serves(&house, "a", "1.0.0", 5);
}

#[test]
fn f36_of_several_ways_back_one_that_does_not_begin_leaves_its_actors_as_they_were_and_is_reported() {
    let watch = Watch { keep_messages: 3, ..by_word() };
    let (house, report) = on_probation(&["a", "b"], watch);
    (0..4).for_each(|_| tell(&house.actor("b"), "Add"));
    serves(&house, "b", "2.0.0", 9);
    let (gate, opens) = stops_in_replay(&house, "a");
    let reports = std::thread::scope(|threads| {
        let back = threads.spawn(|| roll_back(&house, &report, None, &[]));
        let opens = opens;
        gate.await_entered();
        house.disk.full.store(u64::MAX, Ordering::SeqCst);
        drop(opens);
        back.join().expect("it ends").expect("it began")
    });
    house.disk.full.store(0, Ordering::SeqCst);
    let [went, refused] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(went.actors[0].outcome, Outcome::Committed, "{went}");
    let of = &refused.actors[0];
    assert!(of.actor == path("b") && matches!(of.outcome, Outcome::Refused(_)), "{refused}");
    serves(&house, "a", "1.0.0", 5);
    serves(&house, "b", "2.0.0", 9);
    assert_eq!(stands(&house, "b").phase, Phase::Watching);
    let reports = roll_back(&house, &report, None, &["b"]).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    serves(&house, "b", "1.0.0", 9);
}

#[test]
fn f36_an_actor_that_is_stopped_on_its_way_back_is_said_to_be_stopped_and_not_held() {
    let (house, report) = on_probation(&["a"], by_word());
    let (gate, opens) = stops_in_replay(&house, "a");
    let mut events = house.runtime.events();
    let reports = std::thread::scope(|threads| {
        let back = threads.spawn(|| roll_back(&house, &report, Some(WayBack::Replay), &[]));
        let opens = opens;
        gate.await_entered();
        block_on(house.actor("a").stop("enough", DEADLINE)).expect("it stops");
        drop(opens);
        back.join().expect("it ends").expect("it began")
    });
    assert_eq!(reports[0].actors[0].now, Now::Stopped, "{}", reports[0]);
    until("its probation is over", || !is_on_probation(&house, "a"));
    assert!(!told(&mut events, "held"), "nobody has to decide anything");
}

#[test]
fn f36_a_rollback_that_is_cancelled_keeps_what_it_would_have_done_anew() {
    let (house, report) = on_probation(&["a"], by_word());
    let (gate, opens) = stops_in_replay(&house, "a");
    tell(&house.actor("a"), "Add");
    serves(&house, "a", "2.0.0", 6);
    let reports = std::thread::scope(|threads| {
        let back = threads.spawn(|| roll_back(&house, &report, Some(WayBack::Replay), &[]));
        let opens = opens;
        gate.await_entered();
        let [id] = house.upgrades.running().try_into().expect("one rollback is at work");
        assert!(house.upgrades.cancel(&id, "operator"));
        drop(opens);
        back.join().expect("it ends").expect("it began")
    });
    let of = &reports[0].actors[0];
    assert_eq!(failure(of).code, "UPG-CANCELLED", "{of}");
    assert!(matches!(&of.now, Now::Serving { version, .. } if version.major == 2), "{of}");
    tell(&house.actor("a"), "Add");
    serves(&house, "a", "2.0.0", 7);
    let on = stands(&house, "a");
    assert!(on.ways.contains(&WayBack::Replay) && matches!(on.phase, Phase::Sick { .. }), "{on:?}");
    let reports = roll_back(&house, &report, Some(WayBack::Replay), &[]).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    serves(&house, "a", "1.0.0", 7);
}

#[test]
fn f36_a_rollback_of_what_panicked_that_is_cancelled_leaves_it_and_its_message_for_the_next_one() {
    let (house, report) = on_probation(&["a"], Watch::new(LONG));
    let (gate, opens) = stops_in_replay(&house, "a");
    let actor = house.actor("a");
    house.script("2.0.0").fail_at(At::Handle, FaultKind::Panic, "not this one");
    tell(&actor, "Hang");
    gate.await_entered();
    let [id] = house.upgrades.running().try_into().expect("one rollback is at work");
    assert!(house.upgrades.cancel(&id, "operator"));
    drop(opens);
    until("the rollback is over", || house.upgrades.running().is_empty());
    let on = stands(&house, "a");
    assert!(matches!(&on.phase, Phase::Held { failure } if failure.code == "UPG-CANCELLED"), "{on:?}");
    tell(&actor, "Add");
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    house.script("1.0.0").on(At::Handle, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let reports = roll_back(&house, &report, Some(WayBack::Replay), &[]).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    serves(&house, "a", "1.0.0", 6);
    assert_eq!(handled.load(Ordering::SeqCst), 2, "the one before, and the one that it panicked on");
    assert_eq!((actor.info().restarts, house.runtime.dead_letters().total()), (0, 0));
}

/// It could not be taken back, and is held with a message that waits.
fn held() -> (House, Report) {
    let (house, report) = on_probation(&["a"], by_word());
    tell(&house.actor("a"), "Hang");
    serves(&house, "a", "2.0.0", 5);
    house.script("1.0.0").fail_at(At::Handle, FaultKind::Panic, "not this one");
    let reports = roll_back(&house, &report, Some(WayBack::Replay), &[]).expect("it begins");
    assert!(matches!(reports[0].actors[0].now, Now::Held { .. }), "{}", reports[0]);
    tell(&house.actor("a"), "Add");
    (house, report)
}

#[test]
fn f36_who_could_not_be_taken_back_may_be_moved_on_and_the_version_that_failed_handles_nothing_more() {
    let (house, _report) = held();
    let actor = house.actor("a");
    house.script("3.0.0").fail_at(At::Restore, FaultKind::Failed, "not yet");
    let went = house.moved("a", "3.0.0");
    assert_eq!(failure(&went).code, "UPG-MIGRATE", "{went}");
    assert!(matches!(&went.now, Now::Held { version, .. } if version.major == 2), "{went}");
    assert!(matches!(stands(&house, "a").phase, Phase::Held { .. }) && actor.info().queued_messages == 1);
    assert!(matches!(&actor.info().status, Status::Paused { owner } if owner.starts_with("rollback of")));
    house.script("3.0.0").behave();
    let went = house.moved("a", "3.0.0");
    assert_eq!((went.outcome.clone(), went.queued_at_resume), (Outcome::Committed, 1), "{went}");
    serves(&house, "a", "3.0.0", 6);
    assert!(!is_on_probation(&house, "a"));
    assert_eq!((actor.info().restarts, house.runtime.dead_letters().total()), (0, 0));
}

#[test]
fn f36_who_was_held_and_whose_upgrade_takes_too_long_goes_on_and_is_said_to() {
    let (house, report) = held();
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    house.script("3.0.0").hang_at(At::Restore, &gate);
    let mut request = house.request(&["a"], "3.0.0");
    request.options.max_pause = PAUSE;
    let went = house.applied(&request);
    assert_eq!(failure(&went).code, "UPG-HANG", "{went}");
    assert!(matches!(&went.now, Now::Serving { version, .. } if version.major == 2), "{went}");
    until("it is said to go on", || matches!(stands(&house, "a").phase, Phase::Sick { .. }));
    serves(&house, "a", "2.0.0", 6);
    house.upgrades.finalise(&report.id, &[], "operator").expect("it is on probation");
}

/// How many rollbacks stand in the journals.
fn rollbacks(house: &House) -> usize {
    let ids = house.store.upgrades().expect("the store reads").into_iter();
    let journals = ids.map(|id| house.store.journal(&id).expect("the store reads"));
    journals
        .filter(|journal| matches!(journal.first(), Some(Entry::Begin(begin)) if begin.rolls_back.is_some()))
        .count()
}

#[test]
fn f36_a_way_down_that_fails_by_itself_is_tried_once_and_leaves_the_actor_held() {
    let watch = Watch { turns_min: 1, rollback: Rollback::Downgrade, ..Watch::new(LONG) };
    let (house, report) = on_probation(&["a"], watch);
    house.script("2.0.0").fail_at(At::Downgrade, FaultKind::Panic, "no way down");
    let mut events = house.runtime.events();
    tell(&house.actor("a"), "Fail");
    until("it is held", || matches!(stands(&house, "a").phase, Phase::Held { .. }));
    let Phase::Held { failure } = stands(&house, "a").phase else { unreachable!() };
    assert_eq!(failure.code, "UPG-DOWNGRADE");
    assert!(told(&mut events, "held"), "somebody is told");
    until("the rollback is over", || house.upgrades.running().is_empty());
    assert!(matches!(house.actor("a").info().status, Status::Paused { .. }));
    assert_eq!(rollbacks(&house), 1);
    tell(&house.actor("a"), "Add");
    let reports = roll_back(&house, &report, Some(WayBack::Restore), &[]).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    serves(&house, "a", "1.0.0", 6);
}

#[test]
fn f36_a_rollback_that_is_tried_again_since_the_actor_is_busy_is_journaled_when_it_begins() {
    for rollback in [Rollback::Replay, Rollback::Downgrade] {
        let watch = Watch { turns_min: 1, rollback, ..Watch::new(LONG) };
        // However long its turns take, none of them is said to hang.
        let blocking = versions().map(|manifest| Manifest { blocking: true, ..manifest });
        let (house, _report) = of_these(blocking, &["a"], (watch, Duration::from_millis(20)));
        let (actor, turn, verify) = (house.actor("a"), Gate::new(), Gate::new());
        house.script("2.0.0").hang_at(At::Handle, &turn);
        *house.shelf.verify_gate.lock() = Some(verify.clone());
        std::thread::scope(|threads| {
            let (_turn, verified) = (Opens(turn.clone()), Opens(verify.clone()));
            // While an upgrade has it nobody takes it back: it fails, and is in a turn by the time that it is let go.
            threads.spawn(|| drop(house.upgrades.upgrade(&house.request(&["a"], "3.0.0"))));
            verify.await_entered();
            tell(&actor, "Fail");
            until("it is counted", || actor.figures().failed == 1);
            tell(&actor, "Hang");
            turn.await_entered();
            let [id] = house.upgrades.running().try_into().expect("one upgrade is at work");
            assert!(house.upgrades.cancel(&id, "operator"));
            drop(verified);
            let mut tries = BTreeSet::new();
            until("it is tried three times", || {
                if let Status::Paused { owner } = actor.info().status {
                    tries.insert(owner);
                }
                tries.len() >= 3
            });
            assert_eq!(rollbacks(&house), 1, "the first, which found out");
        });
        until("it is taken back", || !is_on_probation(&house, "a"));
        until("the rollback is over", || house.upgrades.running().is_empty());
        assert_eq!((see(&actor).version.as_str(), rollbacks(&house)), ("1.0.0", 2), "{rollback:?}");
    }
}

#[test]
fn f38_a_version_whose_turn_hangs_as_its_time_ends_does_not_pass() {
    for blocking in [false, true] {
        let versions = versions().map(|manifest| Manifest { blocking, ..manifest });
        // Over long before a turn is said to hang.
        let watch = Watch::new(Duration::from_millis(50));
        let house = House::with(versions);
        let (actor, turn) = (house.start("a", "1.0.0", 5), Gate::new());
        house.script("2.0.0").hang_at(At::Handle, &turn);
        let _opens = Opens(turn.clone());
        house.script("2.0.0").on(At::Restore, {
            let actor = actor.clone();
            move |_| {
                // The first that it is told.
                tell(&actor, "Hang");
                Ok(())
            }
        });
        let mut request = house.request(&["a"], "2.0.0");
        request.options.probation = Probation::Watch(watch);
        let report = house.upgrades.upgrade(&request).expect("it begins");
        assert!(report.ok(), "{report}");
        turn.await_entered();
        until("its probation is over", || !is_on_probation(&house, "a"));
        let version = actor.provider().version().to_string();
        // A kind that declares to block may take its time: that is no hang.
        assert_eq!(version, if blocking { "2.0.0" } else { "1.0.0" });
        turn.open();
        serves(&house, "a", &version, 5);
    }
}

#[test]
fn f38_who_panics_where_nothing_takes_it_back_waits_with_its_work_for_whoever_decides() {
    // What waits is handled on both ways; what came since the commit on one.
    for (way, count) in [(WayBack::Replay, 15), (WayBack::Restore, 10)] {
        let (house, report) = on_probation(&["a"], by_word());
        let actor = house.actor("a");
        house.script("2.0.0").on(At::Handle, |_| Err(Fault::new(FaultKind::Panic, "each time")));
        (0..5).for_each(|_| tell(&actor, "Add"));
        serves(&house, "a", "2.0.0", 10);
        tell(&actor, "Hang");
        (0..5).for_each(|_| tell(&actor, "Add"));
        until("it is said to be sick", || matches!(stands(&house, "a").phase, Phase::Sick { .. }));
        assert_eq!((actor.info().restarts, actor.is_stopped()), (0, false), "its supervisor has not heard of it");
        let on = stands(&house, "a");
        assert_eq!((on.automatic, on.ways), (None, vec![WayBack::Replay, WayBack::Restore]));
        let reports = roll_back(&house, &report, Some(way), &[]).expect("it begins");
        assert!(reports[0].ok(), "{reports:?}");
        serves(&house, "a", "1.0.0", count);
    }
}

#[test]
fn f38_who_began_anew_on_probation_is_not_taken_back_with_nothing() {
    let (house, report) = on_probation(&["a"], by_word());
    let actor = house.actor("a");
    actor.restart(Begin::Args).expect("it begins again");
    serves(&house, "a", "2.0.0", 0);
    let on = stands(&house, "a");
    assert_eq!((on.anew, on.automatic, on.ways), (true, None, vec![WayBack::Downgrade, WayBack::Restore]));
    // The best way was the step down: of the state that it began with.
    let refused = roll_back(&house, &report, None, &[]).expect_err("it would give up all of its work");
    assert_eq!(refused.code(), "UPG-NO-WAY-BACK");
    let order = format!("teneral upgrade rollback {} counter/a --by restore", report.id);
    assert!(refused.hint().contains(&order), "{}", refused.hint());
    let reports = roll_back(&house, &report, Some(WayBack::Restore), &[]).expect("it begins");
    assert!(reports[0].ok(), "{reports:?}");
    serves(&house, "a", "1.0.0", 5);
}

#[test]
fn a_fleet_goes_back_side_by_side() {
    let keys = ["a", "b", "c", "d", "e"];
    let (house, report) = on_probation(&keys, by_word());
    for key in keys {
        tell(&house.actor(key), "Hang");
        serves(&house, key, "2.0.0", 5);
    }
    // In its replay each waits for all others.
    let all = Arc::new(Barrier::new(keys.len()));
    house.script("1.0.0").on(At::Handle, move |_| {
        all.wait();
        Ok(())
    });
    let reports = roll_back(&house, &report, Some(WayBack::Replay), &[]).expect("it begins");
    assert!(reports.len() == 1 && reports[0].ok(), "{reports:?}");
    let reported: Vec<Addr> = reports[0].actors.iter().map(|actor| actor.actor.clone()).collect();
    assert_eq!(reported, keys.map(path), "in the order of the plan");
    let journal = house.store.journal(&reports[0].id).expect("the store reads");
    let steps = journal.iter().filter(|entry| matches!(entry, Entry::Step(_))).count();
    assert_eq!(steps, 3 * keys.len(), "{journal:?}");
    keys.iter().for_each(|key| serves(&house, key, "1.0.0", 5));
}
