//! Upgrades of real cells: what holds when all goes well, and what stands when a step breaks.
#![forbid(unsafe_code)]

mod common;
mod ends;
mod house;
mod probations;
mod programs;
mod ways_back;

use common::{addr, manifest, version};
use house::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use teneral_contract::Manifest;
use teneral_runtime::ports::{Fault, FaultKind, Provider};
use teneral_runtime::{ActorOptions, Intensity, RestartState, Status, What};
use teneral_store::{Entry, StepResult, Store, digest_of};
use teneral_upgrade::report::Now;
use teneral_upgrade::*;

const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

/// Schemas 1, 2, 3, each reached from the one below and back.
fn three() -> [Manifest; 3] {
    [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1]), manifest("3.0.0", 3, &[1, 2], &[2])]
}

fn failure(report: &ActorReport) -> &Failure {
    report.outcome.failure().expect("a failure")
}

/// The actor serves as if nothing had been tried: same code, same instance, same state, same generation.
fn untouched(house: &House, key: &str, before: &Seen) {
    let actor = house.actor(key);
    assert_eq!(see(&actor), *before);
    assert_eq!(actor.info().generation.0, 0);
    tell(&actor, "Add");
    assert_eq!(see(&actor).count, before.count + 1, "it serves the next message");
}

/// `counter/a` at 1.0.0 with a count of 5.
fn at_one(house: &House) -> Seen {
    see(&house.start("a", "1.0.0", 5))
}

// ---- all goes well

#[test]
fn an_upgrade_moves_the_state_and_reports_what_it_did() {
    let house = House::with(three());
    at_one(&house);
    let report = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect("it begins");
    assert!(report.ok(), "{report}");
    let entry = report.of(&addr("counter/a")).expect("an entry");
    assert_eq!((entry.outcome.name(), entry.step, entry.direction), ("committed", Step::Resume, Direction::Upgrade));
    assert_eq!((entry.snapshot_bytes, entry.state_before), (3, Some(digest_of(b"1:5"))));
    assert_eq!(entry.now, Now::Serving { version: version("2.0.0"), generation: 1 });
    let seen = see(&house.actor("a"));
    assert_eq!((seen.version.as_str(), seen.count), ("2.0.0", 5));
}

#[test]
fn u9_an_unchanged_schema_moves_without_migration_code() {
    let house = House::with([manifest("1.0.0", 1, &[], &[]), manifest("1.1.0", 1, &[], &[])]);
    at_one(&house);
    let entry = house.moved("a", "1.1.0");
    assert_eq!(entry.outcome, Outcome::Committed);
    assert_eq!(entry.state_after, entry.state_before);
    assert_eq!(see(&house.actor("a")).version, "1.1.0");
}

#[test]
fn u10_the_schema_given_to_migrate_is_the_running_instances_whatever_lies_on_disk() {
    let house = House::with(three());
    at_one(&house);
    house.shelve(manifest("1.0.0", 3, &[], &[]));
    assert_eq!(house.moved("a", "2.0.0").outcome, Outcome::Committed);
    assert!(house.calls.lock().contains(&"2.0.0 restore 1".to_owned()), "{:?}", house.calls.lock());
    assert_eq!(see(&house.actor("a")).count, 5);
}

#[test]
fn u12_a_downgrade_runs_the_newer_codes_down_migration_before_the_old_code_takes_the_state() {
    let house = House::with(three());
    house.start("a", "2.0.0", 4);
    house.calls.lock().clear();
    let entry = house.moved("a", "1.0.0");
    assert_eq!((entry.outcome, entry.direction), (Outcome::Committed, Direction::Downgrade));
    assert_eq!(entry.state_after, Some(digest_of(b"1:4")));
    assert_eq!(*house.calls.lock(), ["2.0.0 save", "2.0.0 downgrade 1", "1.0.0 restore 1"]);
    let seen = see(&house.actor("a"));
    assert_eq!((seen.version.as_str(), seen.count), ("1.0.0", 4));
}

#[test]
fn u12_a_downgrade_over_two_schemas_goes_down_step_by_step() {
    let house = House::with(three());
    house.start("a", "3.0.0", 4);
    house.calls.lock().clear();
    assert_eq!(house.moved("a", "1.0.0").outcome, Outcome::Committed);
    assert_eq!(*house.calls.lock(), ["3.0.0 save", "3.0.0 downgrade 2", "2.0.0 downgrade 1", "1.0.0 restore 1"]);
}

#[test]
fn u13_up_then_down_gives_equal_bytes_for_an_untouched_state() {
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 6);
    let before = block_on(actor.state(DEADLINE)).expect("a state").bytes;
    for there in ["2.0.0", "3.0.0"] {
        assert_eq!(house.moved("a", there).outcome, Outcome::Committed);
        assert_eq!(house.moved("a", "1.0.0").outcome, Outcome::Committed);
        assert_eq!(block_on(actor.state(DEADLINE)).expect("a state").bytes, before);
    }
}

#[test]
fn u14_an_actor_goes_up_twice_down_twice_and_up_again() {
    let house = House::with(three());
    at_one(&house);
    for (generation, there) in (1..).zip(["2.0.0", "3.0.0", "2.0.0", "1.0.0", "2.0.0", "3.0.0"]) {
        let entry = house.moved("a", there);
        assert_eq!(entry.outcome, Outcome::Committed, "{entry}");
        assert_eq!(entry.now, Now::Serving { version: version(there), generation });
        let seen = see(&house.actor("a"));
        assert_eq!((seen.version.as_str(), seen.count), (there, 5));
    }
}

#[test]
fn u15_three_versions_live_at_once_and_are_reached_by_one_upgrade() {
    let house = House::with(three());
    for key in ["a", "b", "c"] {
        house.start(key, "1.0.0", 2);
    }
    let mut request = house.request(&["b", "c"], "2.0.0");
    request.actors[1].to = version("3.0.0");
    assert!(house.upgrades.upgrade(&request).expect("it begins").ok());
    for (key, there) in [("a", "1.0.0"), ("b", "2.0.0"), ("c", "3.0.0")] {
        let seen = see(&house.actor(key));
        assert_eq!((seen.version.as_str(), seen.count), (there, 2));
    }
}

#[test]
fn f11_a_state_climbs_by_way_of_the_version_in_between() {
    let house =
        House::with([manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[]), manifest("3.0.0", 3, &[2], &[])]);
    at_one(&house);
    house.calls.lock().clear();
    assert_eq!(house.moved("a", "3.0.0").outcome, Outcome::Committed);
    assert_eq!(*house.calls.lock(), ["1.0.0 save", "2.0.0 restore 1", "2.0.0 save", "3.0.0 restore 2"]);
    assert_eq!(see(&house.actor("a")).count, 5);
}

#[test]
fn a_reset_starts_the_new_code_from_the_actors_start_arguments_and_never_asks_the_old_to_save() {
    let house = House::with([manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[], &[])]);
    at_one(&house);
    house.calls.lock().clear();
    let mut request = house.request(&["a"], "2.0.0");
    request.options.state = StateMode::Reset;
    assert_eq!(house.applied(&request).outcome, Outcome::Committed);
    assert_eq!(*house.calls.lock(), ["2.0.0 create"]);
    let seen = see(&house.actor("a"));
    assert_eq!((seen.version.as_str(), seen.count), ("2.0.0", 0));
}

#[test]
fn a_restart_after_any_kind_of_move_starts_from_a_state_that_the_new_code_reads() {
    let manifests =
        [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1]), manifest("3.0.0", 3, &[2], &[2])];
    let house = House::with(manifests);
    let intensity = Intensity { restarts_max: 9, period: Duration::from_secs(5) };
    let options = ActorOptions { restart_state: RestartState::LastSnapshot, intensity, ..ActorOptions::permanent() };
    let actor = house.start_with("a", "1.0.0", 5, options);
    let crashed_at = |count| {
        tell(&actor, "Add");
        tell(&actor, "Panic");
        let seen = see(&actor);
        assert_eq!(seen.count, count, "{seen:?}");
        assert_eq!(actor.info().status, Status::Running);
    };
    for there in ["3.0.0", "2.0.0", "1.0.0"] {
        assert_eq!(house.moved("a", there).outcome, Outcome::Committed);
        crashed_at(5);
    }
    let mut request = house.request(&["a"], "2.0.0");
    request.options.state = StateMode::Reset;
    assert_eq!(house.applied(&request).outcome, Outcome::Committed);
    crashed_at(0);
}

#[test]
fn a_hundred_actors_move_in_one_upgrade() {
    let house = House::with(three());
    let keys: Vec<String> = (0..100).map(|key| format!("n{key}")).collect();
    keys.iter().for_each(|key| drop(house.start(key, "1.0.0", 1)));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let report = house.upgrades.upgrade(&house.request(&keys, "2.0.0")).expect("it begins");
    assert!(report.ok(), "{report}");
    assert_eq!(report.actors.len(), 100);
    assert!(keys.iter().all(|key| see(&house.actor(key)).version == "2.0.0"));
}

// ---- refused before anybody is paused

#[test]
fn u8_a_missing_migration_is_refused_before_the_actor_is_paused() {
    let house = House::with([manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[], &[])]);
    let before = at_one(&house);
    house.calls.lock().clear();
    let error = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect_err("refused");
    assert_eq!(error.code(), "UPG-LADDER");
    assert_eq!(*house.calls.lock(), [""; 0], "no code ran");
    untouched(&house, "a", &before);
}

#[test]
fn u27_a_missing_corrupt_or_foreign_library_is_refused_before_any_pause() {
    for step in [Step::Verify, Step::Check, Step::Load] {
        let house = House::with(three());
        let before = at_one(&house);
        let plan = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
        house.calls.lock().clear();
        let (code, cause, hint) = ("GATE-X".to_owned(), "not the one".to_owned(), "push it again".to_owned());
        *house.shelf.refuse.lock() = Some((step, Refused { code, cause, hint }));
        let report = house.upgrades.apply(plan).expect("it begins");
        let entry = &report.actors[0];
        assert_eq!((entry.outcome.name(), entry.step, entry.pause_us), ("refused", step, 0));
        let why = failure(entry);
        assert_eq!((why.code.as_str(), why.hint.as_str()), ("GATE-X", "push it again"));
        assert!(why.cause.contains("not the one"), "{}", why.cause);
        assert_eq!(*house.calls.lock(), [""; 0], "no code ran");
        untouched(&house, "a", &before);
    }
}

#[test]
fn an_artifact_that_changed_since_the_plan_is_refused() {
    let house = House::with(three());
    let before = at_one(&house);
    let plan = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    house.shelve(manifest("2.0.0", 4, &[1], &[]));
    let report = house.upgrades.apply(plan).expect("it begins");
    assert_eq!(failure(&report.actors[0]).code, "UPG-CHANGED");
    untouched(&house, "a", &before);
}

#[test]
fn u30_a_plan_that_changes_nothing_pauses_nobody() {
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 1);
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Handle, &gate);
    tell(&actor, "Hang");
    gate.await_entered();
    let report = house.upgrades.upgrade(&house.request(&["a"], "1.0.0")).expect("it begins");
    assert!(report.ok(), "a busy actor is no obstacle: {report}");
    assert_eq!(report.actors[0].outcome, Outcome::Unchanged);
    gate.open();
}

#[test]
fn u31_a_plan_leaves_no_trace_and_can_be_repeated() {
    let house = House::with(three());
    let before = at_one(&house);
    house.calls.lock().clear();
    let first = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    let second = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    assert_eq!(first, second);
    assert_eq!(*house.calls.lock(), [""; 0], "no code ran");
    assert_eq!(house.store.upgrades().expect("the journal"), []);
    untouched(&house, "a", &before);
}

// Invariant 6
#[test]
fn a_plan_made_before_another_upgrade_is_stale() {
    let house = House::with(three());
    at_one(&house);
    let old = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    assert_eq!(house.moved("a", "3.0.0").outcome, Outcome::Committed);
    assert_eq!(house.upgrades.apply(old).expect_err("refused").code(), "UPG-STALE");
    assert_eq!(see(&house.actor("a")).version, "3.0.0");
}

#[test]
fn a_plan_that_says_of_an_actor_that_it_is_there_already_is_stale_when_it_is_not_any_more() {
    let house = House::with(three());
    at_one(&house);
    house.start("there", "2.0.0", 1);
    let plan = || house.upgrades.plan(&house.request(&["a", "there"], "2.0.0")).expect("a plan");
    let (moved_on, stopped) = (plan(), plan());
    assert_eq!(house.moved("there", "3.0.0").outcome, Outcome::Committed);
    assert_eq!(house.upgrades.apply(moved_on).expect_err("refused").code(), "UPG-STALE");
    block_on(house.actor("there").stop("", DEADLINE)).expect("stopped");
    assert_eq!(house.upgrades.apply(stopped).expect_err("refused").code(), "UPG-STALE");
    assert_eq!(see(&house.actor("a")).version, "1.0.0");
}

#[test]
fn u12_another_actor_that_took_the_name_meanwhile_is_not_migrated_from_a_state_that_it_never_had() {
    let house = House::with(three());
    at_one(&house);
    let gate = Gate::new();
    *house.shelf.verify_gate.lock() = Some(std::sync::Arc::clone(&gate));
    let plan = house.upgrades.plan(&house.request(&["a"], "3.0.0")).expect("a plan");
    let running = house.upgrades.start(plan).expect("it begins");
    gate.await_entered();
    block_on(house.actor("a").stop("", DEADLINE)).expect("stopped");
    house.start("a", "2.0.0", 7);
    let before = see(&house.actor("a"));
    gate.open();
    let report = running.wait().expect("a report");
    let entry = &report.actors[0];
    assert_eq!((entry.outcome.name(), failure(entry).code.as_str(), entry.pause_us), ("refused", "UPG-STALE", 0));
    assert_eq!(entry.now, Now::Serving { version: version("2.0.0"), generation: 0 }, "{entry}");
    assert!(failure(entry).cause.contains("counter 2.0.0 at generation 0"), "{entry}");
    untouched(&house, "a", &before);
}

#[test]
fn u12_a_plan_that_hides_the_schema_of_the_state_is_stale() {
    let house = House::with(three());
    house.start("a", "2.0.0", 7);
    let before = see(&house.actor("a"));
    let mut request = house.request(&["a"], "1.0.0");
    request.options.downgrades = Downgrades::Allow;
    let plan = house.upgrades.plan(&request).expect("a plan").to_json().expect("JSON");
    let mut bent: serde_json::Value = serde_json::from_str(&plan).expect("JSON");
    // As if the state were one of schema 1 already: the newer code's step down would be left out.
    bent["moves"][0]["from"]["schema"] = 1.into();
    bent["moves"][0]["ladder"] = serde_json::json!([]);
    let plan = Plan::from_json(&bent.to_string()).expect("nothing in it contradicts itself");
    assert_eq!(house.upgrades.apply(plan).expect_err("refused").code(), "UPG-STALE");
    untouched(&house, "a", &before);
}

// Invariant 7
#[test]
fn an_upgrade_that_cannot_be_journalled_does_not_begin() {
    let house = House::with(three());
    let before = at_one(&house);
    house.disk.full.store(1, std::sync::atomic::Ordering::SeqCst);
    let error = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect_err("refused");
    assert_eq!(error.code(), "UPG-JOURNAL");
    assert!(error.hint().contains("make room"), "{}", error.hint());
    untouched(&house, "a", &before);
    assert_eq!(house.moved("a", "2.0.0").outcome, Outcome::Committed);
}

#[test]
fn u47_of_two_upgrades_of_one_actor_at_once_the_second_is_refused_with_the_firsts_id() {
    let house = House::with(three());
    at_one(&house);
    let gate = Gate::new();
    house.script("2.0.0").hang_at(At::Restore, &gate);
    let plan = |text| house.upgrades.plan(&house.request(&["a"], text)).expect("a plan");
    let (to_two, to_three) = (plan("2.0.0"), plan("3.0.0"));
    let first = house.upgrades.start(to_two).expect("it begins");
    gate.await_entered();
    match house.upgrades.start(to_three) {
        Err(UpgradeError::Running { by, .. }) => assert_eq!(by, *first.id()),
        other => panic!("{other:?}"),
    }
    gate.open();
    assert!(first.wait().expect("a report").ok());
    assert_eq!(see(&house.actor("a")).version, "2.0.0");
    assert_eq!(house.moved("a", "3.0.0").outcome, Outcome::Committed, "and then it may");
}

#[test]
fn u47_an_upgrade_that_was_told_to_wait_runs_after_the_other_one_and_gives_up_in_time() {
    let house = House::with(three());
    at_one(&house);
    let gate = Gate::new();
    house.script("2.0.0").hang_at(At::Restore, &gate);
    let mut to_two = house.request(&["a"], "2.0.0");
    to_two.options.max_pause = DEADLINE;
    let first = house.upgrades.start(house.upgrades.plan(&to_two).expect("a plan")).expect("it begins");
    gate.await_entered();
    let mut request = house.request(&["a"], "3.0.0");
    request.options.queue_timeout = Duration::from_millis(20);
    let gave_up = house.upgrades.upgrade(&request).expect_err("the other one goes on");
    assert_eq!(gave_up.code(), "UPG-RUNNING");
    request.options.queue_timeout = DEADLINE;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| house.upgrades.upgrade(&request).map_err(Box::new));
        gate.open();
        assert!(first.wait().expect("a report").ok());
        let report = second.join().expect("no panic").expect("it begins");
        let entry = report.of(&addr("counter/a")).expect("an entry");
        assert_eq!((entry.from.to_string(), entry.outcome.name()), ("2.0.0".to_owned(), "committed"));
    });
    assert_eq!(see(&house.actor("a")).version, "3.0.0");
}

#[test]
fn f36_two_upgrades_of_one_actor_at_once_end_as_one_of_them_never_as_half() {
    let house = House::with(three());
    at_one(&house);
    for round in 0..10 {
        let from = see(&house.actor("a")).version;
        let others: Vec<&str> = ["1.0.0", "2.0.0", "3.0.0"].into_iter().filter(|text| *text != from).collect();
        let plans: Vec<Plan> =
            others.iter().map(|text| house.upgrades.plan(&house.request(&["a"], text)).expect("a plan")).collect();
        let (upgrades, committed) = (&house.upgrades, std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for (plan, text) in plans.into_iter().zip(&others) {
                let committed = &committed;
                scope.spawn(move || match upgrades.apply(plan) {
                    Ok(report) if report.ok() => committed.lock().expect("the list").push((*text).to_owned()),
                    Ok(report) => assert_eq!(failure(&report.actors[0]).code, "UPG-STALE"),
                    Err(error) => assert!(["UPG-STALE", "UPG-RUNNING"].contains(&error.code()), "{error}"),
                });
            }
        });
        let committed = committed.into_inner().expect("the list");
        assert_eq!(committed.len(), 1, "round {round}: exactly one of them commits");
        let seen = see(&house.actor("a"));
        assert_eq!((&seen.version, seen.count), (&committed[0], 5));
    }
}

// ---- deferred

#[test]
fn u16_an_actor_busy_past_the_deadline_is_deferred_keeps_code_and_state_and_can_be_retried() {
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 5);
    let before = see(&actor);
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Handle, &gate);
    tell(&actor, "Hang");
    gate.await_entered();
    let mut request = house.request(&["a"], "2.0.0");
    request.options.quiesce_timeout = Duration::from_millis(50);
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert!(!report.ok());
    let entry = &report.actors[0];
    assert_eq!((entry.outcome.name(), entry.step, entry.pause_us), ("deferred", Step::Pause, 0));
    assert_eq!(failure(entry).code, "UPG-BUSY");
    gate.open();
    assert_eq!(see(&actor), before);
    assert_eq!(actor.info().status, Status::Running, "and nothing pauses it later");
    request.options.quiesce_timeout = DEADLINE;
    assert_eq!(house.applied(&request).outcome, Outcome::Committed);
    assert_eq!(see(&actor).count, 5);
}

#[test]
fn an_actor_that_somebody_paused_is_refused_with_the_owners_name() {
    let house = House::with(three());
    at_one(&house);
    house.actor("a").pause("operator-2", DEADLINE).expect("paused");
    let entry = house.moved("a", "2.0.0");
    assert_eq!((entry.outcome.name(), failure(&entry).code.as_str()), ("refused", "UPG-HELD"));
    assert!(failure(&entry).cause.contains("operator-2"));
    house.actor("a").resume("operator-2");
    assert_eq!(house.moved("a", "2.0.0").outcome, Outcome::Committed);
}

// ---- rolled back

#[test]
fn u6_a_migration_that_panics_leaves_old_code_and_old_state_serving_the_next_message() {
    let house = House::with(three());
    let before = at_one(&house);
    house.script("2.0.0").fail_at(At::Restore, FaultKind::Panic, "count is negative");
    let entry = house.moved("a", "2.0.0");
    assert_eq!((entry.outcome.name(), entry.step), ("rolled_back", Step::Migrate));
    assert_eq!(failure(&entry).code, "UPG-MIGRATE");
    assert_eq!(entry.state_before, entry.state_after);
    untouched(&house, "a", &before);
}

#[test]
fn u7_a_migration_that_returns_an_error_rolls_back_and_its_error_is_in_the_report() {
    let house = House::with(three());
    let before = at_one(&house);
    house.script("2.0.0").fail_at(At::Restore, FaultKind::Failed, "the count 5 has no month");
    let entry = house.moved("a", "2.0.0");
    assert_eq!(failure(&entry).code, "UPG-MIGRATE");
    assert!(entry.to_string().contains("the count 5 has no month"), "{entry}");
    untouched(&house, "a", &before);
}

#[test]
fn a_rollback_reads_as_an_operator_needs_it() {
    let house = House::with(three());
    at_one(&house);
    house.script("2.0.0").fail_at(At::Restore, FaultKind::Panic, "count is negative (counter 2.0.0, src/lib.rs:41)");
    let entry = house.moved("a", "2.0.0");
    let expected = format!(
        "error[UPG-MIGRATE]: counter/a: upgrade 1.0.0 -> 2.0.0 rolled back at migrate, paused {} us\n  \
         cause: migration panicked: count is negative (counter 2.0.0, src/lib.rs:41)\n  \
         now:   1.0.0 is serving, generation 0; 0 waiting messages kept, in order\n  \
         hint:  mend the step, and push it under a new version",
        entry.pause_us
    );
    assert_eq!(entry.to_string(), expected);
}

// Invariant 5
#[test]
fn f30_a_migration_that_panics_only_in_the_live_process_is_rolled_back_from_the_kept_instance() {
    let house = House::with(three());
    let before = at_one(&house);
    let twice = house.script("2.0.0");
    // A rehearsal on a copy goes well.
    assert!(Code(std::sync::Arc::clone(&twice)).restore(1, b"1:5").is_ok());
    twice.fail_at(At::Restore, FaultKind::Panic, "only here");
    assert_eq!(house.moved("a", "2.0.0").outcome.name(), "rolled_back");
    assert_eq!(see(&house.actor("a")).instance, before.instance, "it is the very instance that served before");
    untouched(&house, "a", &before);
}

#[test]
fn a_down_migration_that_fails_is_named_as_one() {
    let house = House::with(three());
    let before = see(&house.start("a", "2.0.0", 3));
    house.script("2.0.0").fail_at(At::Downgrade, FaultKind::Failed, "figures would be lost");
    let entry = house.moved("a", "1.0.0");
    assert_eq!(failure(&entry).code, "UPG-DOWNGRADE");
    untouched(&house, "a", &before);
}

#[test]
fn f24_a_state_that_cannot_be_saved_rolls_back() {
    let house = House::with(three());
    let before = at_one(&house);
    house.script("1.0.0").fail_at(At::Save, FaultKind::Failed, "a map key is no string");
    let entry = house.moved("a", "2.0.0");
    assert_eq!((entry.outcome.name(), entry.step), ("rolled_back", Step::Snapshot));
    assert_eq!(failure(&entry).code, "UPG-SNAPSHOT");
    house.script("1.0.0").behave();
    untouched(&house, "a", &before);
}

#[test]
fn f24_a_save_that_panics_rolls_back() {
    let house = House::with(three());
    let before = at_one(&house);
    house.script("1.0.0").fail_at(At::Save, FaultKind::Panic, "told to");
    let entry = house.moved("a", "2.0.0");
    assert_eq!((entry.outcome.name(), entry.step), ("rolled_back", Step::Snapshot));
    assert_eq!(failure(&entry).code, "UPG-SNAPSHOT");
    assert!(matches!(entry.now, Now::Serving { .. }), "{entry}");
    house.script("1.0.0").behave();
    untouched(&house, "a", &before);
}

#[test]
fn f25_a_state_over_its_limit_rolls_back() {
    let house = House::with(three());
    let before = at_one(&house);
    let mut request = house.request(&["a"], "2.0.0");
    request.options.snapshot_bytes_max = 2;
    let entry = house.applied(&request);
    assert_eq!((entry.outcome.name(), failure(&entry).code.as_str()), ("rolled_back", "UPG-LIMIT"));
    untouched(&house, "a", &before);
}

#[test]
fn f29_snapshot_bytes_that_are_no_state_roll_back() {
    let house = House::with(three());
    let before = at_one(&house);
    for lie in [&b""[..], b"garbage", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"1:5 and more", b"3:5"] {
        house.script("1.0.0").lie_in_save(lie);
        let entry = house.moved("a", "2.0.0");
        assert_eq!((entry.outcome.name(), failure(&entry).code.as_str()), ("rolled_back", "UPG-DECODE"));
    }
    house.script("1.0.0").behave();
    untouched(&house, "a", &before);
}

#[test]
fn f23_an_operator_who_cancels_gets_the_old_version_back() {
    let house = House::with(three());
    let before = at_one(&house);
    let gate = Gate::new();
    house.script("2.0.0").hang_at(At::Restore, &gate);
    let plan = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    let running = house.upgrades.start(plan).expect("it begins");
    gate.await_entered();
    assert!(house.upgrades.cancel(running.id(), "operator-2"));
    assert_eq!(see(&house.actor("a")), before, "it serves at once, though the migration has not returned");
    gate.open();
    let id = running.id().clone();
    let report = running.wait().expect("a report");
    let entry = &report.actors[0];
    assert_eq!((entry.outcome.name(), failure(entry).code.as_str()), ("rolled_back", "UPG-CANCELLED"));
    assert!(failure(entry).cause.contains("operator-2"), "{entry}");
    assert!(entry.pause_us > 0);
    assert!(!house.upgrades.cancel(&id, "operator-2"), "it is over");
    untouched(&house, "a", &before);
}

#[test]
fn f23_an_upgrade_cancelled_before_its_turn_pauses_nobody() {
    let house = House::with(three());
    let before = at_one(&house);
    let gate = Gate::new();
    *house.shelf.verify_gate.lock() = Some(std::sync::Arc::clone(&gate));
    let plan = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect("a plan");
    let running = house.upgrades.start(plan).expect("it begins");
    gate.await_entered();
    assert!(house.upgrades.cancel(running.id(), "operator-2"));
    gate.open();
    let report = running.wait().expect("a report");
    assert_eq!((report.actors[0].outcome.name(), report.actors[0].pause_us), ("refused", 0));
    untouched(&house, "a", &before);
}

#[test]
fn f23_an_upgrade_that_waits_for_a_busy_actor_is_cancelled_at_once() {
    let house = House::with(three());
    at_one(&house);
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Handle, &gate);
    tell(&house.actor("a"), "Hang");
    gate.await_entered();
    let mut request = house.request(&["a"], "2.0.0");
    // It would wait for as long as the turn runs.
    request.options.quiesce_timeout = Duration::from_secs(3600);
    let running = house.upgrades.start(house.upgrades.plan(&request).expect("a plan")).expect("it begins");
    until("it asks for a pause", || house.actor("a").info().status != Status::Running);
    assert!(house.upgrades.cancel(running.id(), "operator-2"));
    let report = running.wait().expect("a report");
    let entry = &report.actors[0];
    assert_eq!((entry.outcome.name(), failure(entry).code.as_str(), entry.pause_us), ("refused", "UPG-CANCELLED", 0));
    assert_eq!(house.actor("a").info().status, Status::Running);
    gate.open();
}

#[test]
fn f28_an_actor_stopped_in_the_middle_stays_stopped_and_the_journal_is_closed() {
    let house = House::with(three());
    at_one(&house);
    house.start("b", "1.0.0", 1);
    let gate = Gate::new();
    let held = std::sync::Arc::clone(&gate);
    house.script("2.0.0").on(At::Restore, move |count| {
        if count == 5 {
            held.enter();
        }
        Ok(())
    });
    let plan = house.upgrades.plan(&house.request(&["a", "b"], "2.0.0")).expect("a plan");
    let running = house.upgrades.start(plan).expect("it begins");
    gate.await_entered();
    block_on(house.actor("a").stop("enough", DEADLINE)).expect("it stops at once");
    gate.open();
    let id = running.id().clone();
    let report = running.wait().expect("a report");
    let entry = report.of(&addr("counter/a")).expect("an entry");
    assert_eq!((failure(entry).code.as_str(), &entry.now), ("UPG-STOPPED", &Now::Stopped));
    assert_eq!(report.of(&addr("counter/b")).expect("an entry").outcome, Outcome::Committed);
    assert!(house.runtime.actor(&addr("counter/a")).is_none());
    assert!(matches!(house.store.journal(&id).expect("a journal").last(), Some(Entry::End(_))));
}

// ---- code that does not come back

#[test]
fn f31_a_migration_that_hangs_is_taken_over_and_its_thread_counted_and_its_version_quarantined() {
    let house = House::with(three());
    let before = at_one(&house);
    house.start("b", "1.0.0", 1);
    let gate = Gate::new();
    let held = std::sync::Arc::clone(&gate);
    house.script("2.0.0").on(At::Restore, move |count| {
        if count == 5 {
            held.enter();
        }
        Ok(())
    });
    let mut request = house.request(&["a", "b"], "2.0.0");
    request.options.max_pause = PAUSE;
    let running = house.upgrades.start(house.upgrades.plan(&request).expect("a plan")).expect("it begins");
    gate.await_entered();
    assert_eq!(try_see(&house.actor("a"), DEADLINE / 2).as_ref(), Ok(&before), "the old instance serves meanwhile");
    let report = running.wait().expect("a report");
    let entry = report.of(&addr("counter/a")).expect("an entry");
    assert_eq!((entry.outcome.name(), entry.step), ("rolled_back", Step::Migrate));
    assert_eq!(failure(entry).code, "UPG-HANG");
    assert!(u128::from(entry.pause_us) >= PAUSE.as_micros(), "{entry}");
    assert_eq!(report.of(&addr("counter/b")).expect("an entry").outcome, Outcome::Committed, "others go on");
    assert_eq!((report.threads_lost, house.upgrades.threads_lost()), (1, 1));
    let again = house.upgrades.plan(&house.request(&["a"], "2.0.0")).expect_err("refused");
    assert_eq!(again.code(), "UPG-QUARANTINED");
    assert_eq!(house.store.quarantined().expect("the list").len(), 1, "it outlives the host");
    gate.open();
    until("the thread came back", || house.upgrades.threads_lost() == 0);
    untouched(&house, "a", &before);
}

#[test]
fn f31_a_migration_slower_than_the_pause_allows_is_rolled_back_and_not_quarantined() {
    let house = House::with(three());
    let before = at_one(&house);
    let actor = house.actor("a");
    house.script("2.0.0").on(At::Restore, move |_| {
        until("the pause is over", || actor.info().status == Status::Running);
        Ok(())
    });
    let mut request = house.request(&["a"], "2.0.0");
    request.options.max_pause = Duration::from_millis(20);
    let entry = house.applied(&request);
    assert_eq!((entry.outcome.name(), failure(&entry).code.as_str()), ("rolled_back", "UPG-OVERDUE"));
    assert!(house.upgrades.plan(&house.request(&["a"], "2.0.0")).is_ok(), "it may be tried with a longer pause");
    untouched(&house, "a", &before);
}

#[test]
fn f41_a_save_that_hangs_costs_the_instance_and_keeps_the_queue() {
    let house = House::with(three());
    let before = at_one(&house);
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Save, &gate);
    let mut request = house.request(&["a"], "2.0.0");
    request.options.max_pause = PAUSE;
    let running = house.upgrades.start(house.upgrades.plan(&request).expect("a plan")).expect("it begins");
    gate.await_entered();
    tell(&house.actor("a"), "Add");
    let report = running.wait().expect("a report");
    let entry = &report.actors[0];
    assert_eq!((entry.outcome.name(), failure(entry).code.as_str()), ("rolled_back", "UPG-HANG"));
    assert!(matches!(entry.now, Now::Replaced { .. }), "{entry}");
    let seen = see(&house.actor("a"));
    assert_ne!(seen.instance, before.instance);
    assert_eq!((seen.version.as_str(), seen.count), ("1.0.0", 1), "the message that waited was handled");
    assert!(house.runtime.quarantined(house.actor("a").provider().digest()).is_some());
    gate.open();
}

#[test]
fn upgrades_are_refused_when_too_many_threads_hang() {
    let house = House::with(three());
    at_one(&house);
    let gates: Vec<_> = (0..THREADS_LOST_MAX).map(|_| Gate::new()).collect();
    for (number, gate) in gates.iter().enumerate() {
        let text = format!("2.0.{number}");
        house.shelve(manifest(&text, 2, &[1], &[])).hang_at(At::Restore, gate);
        let mut request = house.request(&["a"], &text);
        request.options.max_pause = PAUSE;
        assert_eq!(failure(&house.applied(&request)).code, "UPG-HANG");
    }
    let error = house.upgrades.upgrade(&house.request(&["a"], "3.0.0")).expect_err("refused");
    assert_eq!(error.code(), "UPG-THREAD");
    gates.iter().for_each(|gate| gate.open());
    until("the threads came back", || house.upgrades.threads_lost() == 0);
    assert_eq!(house.moved("a", "3.0.0").outcome, Outcome::Committed);
}

#[test]
fn a_destructor_that_hangs_is_counted_and_its_version_quarantined_and_the_actor_serves() {
    let house = House::with(three());
    at_one(&house);
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Drop, &gate);
    let report = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect("it begins");
    assert_eq!(report.actors[0].outcome, Outcome::Committed);
    assert_eq!((report.threads_lost, house.upgrades.threads_lost()), (1, 1));
    assert_eq!(see(&house.actor("a")).version, "2.0.0");
    let quarantined = house.store.quarantined().expect("the list");
    let why = "counter 1.0.0 hung in its destructor, beside counter/a";
    assert_eq!(quarantined.iter().map(|entry| entry.why.as_str()).collect::<Vec<_>>(), [why]);
    gate.open();
    until("the thread came back", || house.upgrades.threads_lost() == 0);
}

// ---- under traffic

// Invariant 3
#[test]
fn every_accepted_message_is_counted_once_over_random_moves_and_failures() {
    let given = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| SmallRng::from_os_rng().random());
    println!("TENERAL_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let house = House::with(three());
    let actor = house.start("a", "1.0.0", 0);
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut outcomes = BTreeMap::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    tell(&actor, "Add");
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..150 {
            VERSIONS.iter().for_each(|text| house.script(text).behave());
            let broken = house.script(VERSIONS[random.random_range(0..3)]);
            match random.random_range(0..8) {
                0 => broken.fail_at(At::Restore, FaultKind::Panic, "told to"),
                1 => broken.fail_at(At::Restore, FaultKind::Failed, "told to"),
                2 => broken.fail_at(At::Save, FaultKind::Failed, "told to"),
                3 => broken.fail_at(At::Downgrade, FaultKind::Panic, "told to"),
                4 => broken.lie_in_save("nonsense"),
                _ => {}
            }
            let entry = house.moved("a", VERSIONS[random.random_range(0..3)]);
            *outcomes.entry(entry.outcome.name()).or_insert(0) += 1;
        }
        done.store(true, Ordering::SeqCst);
    });
    VERSIONS.iter().for_each(|text| house.script(text).behave());
    assert_eq!(see(&actor).count, sent.load(Ordering::SeqCst), "{outcomes:?}");
    let hit: Vec<_> = outcomes.keys().copied().collect();
    assert_eq!(hit, ["committed", "rolled_back", "unchanged"], "{outcomes:?}");
}

// ---- the report and the journal

// Invariant 8
#[test]
fn u25_the_report_names_every_actor_with_what_came_of_it_and_is_not_ok_when_one_was_left_out() {
    let house = House::with(three());
    for (key, version, count) in
        [("done", "1.0.0", 1), ("there", "2.0.0", 2), ("bad", "1.0.0", 13), ("busy", "1.0.0", 3), ("gone", "1.0.0", 4)]
    {
        house.start(key, version, count);
    }
    house.script("2.0.0").on(At::Restore, |count| match count {
        13 => Err(Fault::new(FaultKind::Failed, "unlucky")),
        _ => Ok(()),
    });
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Handle, &gate);
    tell(&house.actor("busy"), "Hang");
    gate.await_entered();
    let mut request = house.request(&["done", "there", "bad", "busy", "gone"], "2.0.0");
    // Who is idle comes to a message boundary within it, however busy the machine is.
    request.options.quiesce_timeout = PAUSE;
    let plan = house.upgrades.plan(&request).expect("a plan");
    block_on(house.actor("gone").stop("", DEADLINE)).expect("stopped");
    let report = house.upgrades.apply(plan).expect("it begins");
    gate.open();
    let outcome = |key: &str| report.of(&addr(&format!("counter/{key}"))).map(|entry| entry.outcome.name());
    assert_eq!(outcome("done"), Some("committed"));
    assert_eq!(outcome("there"), Some("unchanged"));
    assert_eq!(outcome("bad"), Some("rolled_back"));
    assert_eq!(outcome("busy"), Some("deferred"));
    assert_eq!(outcome("gone"), Some("refused"));
    assert!(!report.ok());
    let json = serde_json::to_value(&report).expect("JSON");
    let fields =
        ["actor", "from", "to", "direction", "outcome", "step", "pause_us", "snapshot_bytes", "queued_at_resume"];
    for entry in json["actors"].as_array().expect("a list") {
        assert!(fields.iter().all(|field| entry.get(field).is_some()), "{entry}");
    }
    assert_eq!(serde_json::from_value::<Report>(json).expect("a report"), report);
}

#[test]
fn u48_an_upgrade_can_be_replayed_from_its_journal() {
    let house = House::with(three());
    at_one(&house);
    let mut request = house.request(&["a"], "2.0.0");
    "nightly".clone_into(&mut request.why);
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert_eq!(house.store.upgrades().expect("ids"), std::slice::from_ref(&report.id));
    let entries = house.store.journal(&report.id).expect("a journal");
    let Some(Entry::Begin(begin)) = entries.first() else { panic!("{entries:?}") };
    assert_eq!((begin.who.as_str(), begin.why.as_str()), ("operator", "nightly"));
    assert_eq!((&begin.moves[0].from, &begin.moves[0].to), (&version("1.0.0"), &version("2.0.0")));
    assert_eq!(begin.moves[0].to_digest, common::digest(&three()[1]));
    let steps: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Step(step) if step.result == StepResult::Done => Some(step.step.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        steps,
        Step::sequence(StateMode::Migrate, Trials::Skip).iter().map(|step| step.name()).collect::<Vec<_>>()
    );
    let Some(Entry::End(end)) = entries.last() else { panic!("{entries:?}") };
    assert_eq!((end.actors[0].outcome.as_str(), end.actors[0].generation), ("committed", 1));
    assert!(end.at_unix_us >= begin.at_unix_us);
}

#[test]
fn a_journal_that_fails_after_the_commit_is_reported_and_undoes_nothing() {
    let house = House::with(three());
    at_one(&house);
    let disk = std::sync::Arc::clone(&house.disk);
    house.script("2.0.0").on(At::Restore, move |_| {
        disk.full.store(u64::MAX, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    });
    let report = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect("it begins");
    assert_eq!(report.actors[0].outcome, Outcome::Committed);
    assert!(!report.ok());
    let Record::Incomplete(failure) = &report.journal else { panic!("{report}") };
    assert_eq!(failure.code, "STORE-FULL");
    assert!(report.to_string().contains("error[STORE-FULL]"), "{report}");
    assert_eq!(see(&house.actor("a")).version, "2.0.0");
}

#[test]
fn a_journal_entry_in_doubt_is_read_back_and_stands_there_once() {
    let house = House::with(three());
    at_one(&house);
    let disk = std::sync::Arc::clone(&house.disk);
    house.script("2.0.0").on(At::Restore, move |_| {
        disk.loses_a_sync.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    });
    let report = house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect("it begins");
    assert!(report.ok(), "{report}");
    let entries = house.store.journal(&report.id).expect("a journal");
    let is_commit = |entry: &&Entry| matches!(entry, Entry::Step(step) if step.step == "commit");
    assert_eq!(entries.iter().filter(is_commit).count(), 1, "{entries:?}");
    assert!(matches!(entries.last(), Some(Entry::End(_))));
}

#[test]
fn u24_the_process_never_exits_because_an_upgrade_failed() {
    // In a process of their own: one that exits takes its tests with it.
    let failures = [
        "u6_a_migration_that_panics_leaves_old_code_and_old_state_serving_the_next_message",
        "u7_a_migration_that_returns_an_error_rolls_back_and_its_error_is_in_the_report",
        "f24_a_save_that_panics_rolls_back",
        "f25_a_state_over_its_limit_rolls_back",
        "f28_an_actor_stopped_in_the_middle_stays_stopped_and_the_journal_is_closed",
        "f31_a_migration_that_hangs_is_taken_over_and_its_thread_counted_and_its_version_quarantined",
    ];
    let program = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(program).arg("--exact").args(failures).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    assert!(said.contains(&format!("{} passed", failures.len())), "{said}");
}

#[test]
fn whoever_follows_the_events_sees_what_an_upgrade_does_to_each_actor() {
    let house = House::with(three());
    house.start("a", "1.0.0", 1);
    house.start("b", "1.0.0", 1);
    let mut events = house.runtime.events();
    house.upgrades.upgrade(&house.request(&["a"], "2.0.0")).expect("it begins");
    house.script("3.0.0").fail_at(At::Restore, FaultKind::Failed, "not today");
    house.upgrades.upgrade(&house.request(&["b"], "3.0.0")).expect("it begins");
    let mut told = Vec::new();
    while let Ok(teneral_runtime::Seen::Event(event)) = events.next_blocking(Duration::ZERO) {
        told.push(match &event.what {
            What::Upgrading { actors, .. } => format!("upgrading {actors}"),
            What::Upgraded { addr, from, to, generation, .. } => format!("{addr} {from} -> {to}, {generation}"),
            What::RolledBack { addr, serving, refused, why } => format!("{addr} {serving}, not {refused}: {why}"),
            What::UpgradeEnded { outcomes, .. } => format!("{} {}", outcomes[0].0, outcomes[0].1),
            // What is told of each step besides.
            What::UpgradeBegun { .. } | What::UpgradeStep { .. } | What::Paused { .. } | What::Resumed { .. } => {
                continue;
            }
            other => format!("{other:?}"),
        });
    }
    let why = "[UPG-MIGRATE] migration failed: not today";
    let rolled_back = format!("counter/b 1.0.0, not 3.0.0: {why}");
    let a = ["upgrading 1", "counter/a 1.0.0 -> 2.0.0, 1", "counter/a committed"];
    assert_eq!(told, [&a[..], &["upgrading 1", &rolled_back, "counter/b rolled_back"]].concat());
}
