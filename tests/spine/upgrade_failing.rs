//! Upgrades that fail under the pause: the old code serves on from the old state, and the process lives.

use crate::harness::child::{self, Child};
use crate::harness::house::{GENEROUS, House, only, patient, until};
use crate::harness::probe::{self, Standing, lives, note, seen, state, tell, trap};
use crate::harness::{Test, test};
use std::time::Duration;
use teneral::runtime::{Generation, StateError};
use teneral::upgrade::report::Now;
use teneral::upgrade::{Outcome, Step};
use teneral::{ActorRef, Addr, Report, UpgradeOptions, digest_of};
use villain_api::{At, Conspire, Count, How, Misdeed};

pub(super) const CHILDREN: &[Child] = &[("failing_upgrades", failing_upgrades)];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(u6_a_migration_that_panics_leaves_the_old_code_and_state_and_the_next_message_is_handled),
        test(u7_a_migration_that_returns_an_error_does_the_same_and_the_report_quotes_it),
        test(f23_an_operator_who_cancels_gets_the_old_version_with_its_state_also_while_it_is_saved),
        test(a_save_that_is_slower_than_the_pause_allows_is_rolled_back_and_costs_nothing),
        test(u24_the_process_never_ends_because_an_upgrade_failed),
        test(a_report_says_what_happened_what_stands_now_and_what_to_do),
    ]
}

/// A probe at 1.0.0 whose next move fails like this, and what its state is then.
fn doomed(house: &House, addr: &str, step: &str, how: &str) -> (ActorRef, Vec<u8>) {
    let actor = probe::start(house, addr, "1.0.0");
    (0..3).for_each(|number| tell(house, &actor, note(0, number)));
    trap(house, &actor, step, how);
    let before = state(house, &actor).bytes;
    (actor, before)
}

/// It serves from the very state that it had.
#[track_caller]
fn serves_on(house: &House, actor: &ActorRef, before: &[u8]) {
    assert_eq!(state(house, actor).bytes, before);
    tell(house, actor, note(0, 3));
    let seen = seen(house, actor);
    probe::whole(&seen.log, &[4]);
    assert_eq!((seen.version, lives(&seen)), (1, vec!["1: started Fresh"]));
    assert_eq!(actor.info().generation, Generation(0));
}

fn u6_a_migration_that_panics_leaves_the_old_code_and_state_and_the_next_message_is_handled() {
    let house = House::patient(probe::ALL);
    // In the step itself, and while the new code reads the old state.
    for (key, step) in [("a", "migrate"), ("b", "restore")] {
        let addr = format!("probe/{key}");
        let (actor, before) = doomed(&house, &addr, step, "panic");
        let entry = house.moved(&addr, "2.0.0");
        let Outcome::RolledBack(failure) = &entry.outcome else { panic!("{entry}") };
        assert_eq!((failure.code.as_str(), entry.step), ("UPG-MIGRATE", Step::Migrate));
        let digest = Some(digest_of(&before));
        assert_eq!((entry.state_before, entry.state_after), (digest, digest));
        serves_on(&house, &actor, &before);
        // Nothing of it is left behind: mended, it moves.
        trap(&house, &actor, "", "");
        assert_eq!(house.moved(&addr, "2.0.0").outcome, Outcome::Committed);
    }
}

fn u7_a_migration_that_returns_an_error_does_the_same_and_the_report_quotes_it() {
    let house = House::patient(probe::ALL);
    let (actor, before) = doomed(&house, "probe/a", "migrate", "error");
    let report = house.try_upgrade("probe/a", "2.0.0", patient()).expect("it begins");
    let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
    assert_eq!(failure.code, "UPG-MIGRATE");
    assert!(failure.cause.contains("migrate refuses, as told"), "{failure:?}");
    assert!(report.to_string().contains("migrate refuses, as told"), "{report}");
    let json = serde_json::to_string(&report).expect("JSON");
    assert!(json.contains("migrate refuses, as told") && !report.ok(), "{json}");
    serves_on(&house, &actor, &before);
}

fn f23_an_operator_who_cancels_gets_the_old_version_with_its_state_also_while_it_is_saved() {
    let house = House::patient(probe::ALL);
    for (key, step) in [("a", "save"), ("b", "migrate")] {
        let (actor, _) = doomed(&house, &format!("probe/{key}"), "", "");
        let standing = Standing::at(&house, &actor, step, "2.0.0", patient());
        actor.cancel_pause("ops");
        let report = standing.go_on(&house);
        let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
        assert_eq!(
            (failure.code.as_str(), only(&report).step.name()),
            ("UPG-CANCELLED", if key == "a" { "snapshot" } else { "migrate" })
        );
        assert!(failure.cause.contains("ops"), "{report}");
        trap(&house, &actor, "", "");
        let before = state(&house, &actor).bytes;
        serves_on(&house, &actor, &before);
    }
}

fn a_save_that_is_slower_than_the_pause_allows_is_rolled_back_and_costs_nothing() {
    let house = House::patient(probe::ALL);
    let (actor, _) = doomed(&house, "probe/a", "", "");
    let options = UpgradeOptions { max_pause: Duration::from_millis(20), ..patient() };
    let standing = Standing::at(&house, &actor, "save", "2.0.0", options);
    // One clock fires both, in the order in which they are due; the state cannot be read before the save is over.
    let read = house.block_on(actor.state(5 * options.max_pause));
    assert_eq!(read.map(drop), Err(StateError::Timeout(5 * options.max_pause)));
    let report = standing.go_on(&house);
    let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
    assert_eq!((failure.code.as_str(), only(&report).step), ("UPG-OVERDUE", Step::Snapshot), "{report}");
    trap(&house, &actor, "", "");
    let before = state(&house, &actor).bytes;
    serves_on(&house, &actor, &before);
}

fn u24_the_process_never_ends_because_an_upgrade_failed() {
    let output = child::run("failing_upgrades");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("all failed, and the process lives\n"), "{said}");
}

/// Run in a process of its own: one that ends takes its tests with it.
fn failing_upgrades() {
    let house = House::open(&["villain-v1", "villain-v2"], |options| options.runtime.hang_after = GENEROUS);
    let misdeeds = [
        (At::Save, How::Fail),
        (At::Save, How::Panic),
        (At::Save, How::PanicTwice),
        (At::Save, How::Garble),
        (At::Restore, How::Fail),
        (At::Restore, How::Panic),
        (At::Restore, How::PanicTwice),
        (At::Migrate, How::Fail),
        (At::Migrate, How::Panic),
        (At::Migrate, How::PanicTwice),
        (At::Downgrade, How::Fail),
        (At::Downgrade, How::Panic),
        (At::Downgrade, How::PanicTwice),
        // The last one: it puts the version into quarantine.
        (At::Migrate, How::Hang),
    ];
    for (at, how) in misdeeds {
        let addr = format!("villain/{at:?}-{how:?}");
        let (from, to) = if at == At::Downgrade { ("2.0.0", "1.0.0") } else { ("1.0.0", "2.0.0") };
        let actor = house.start(addr.as_str(), from, villain_api::Start::default());
        tell(&house, &actor, Conspire { misdeeds: vec![Misdeed { at, how }] });
        house.block_on(actor.ask(Count {}, GENEROUS)).expect("it conspires");
        let max_pause = if how == How::Hang { Duration::from_millis(200) } else { GENEROUS };
        let report = house.try_upgrade(&addr, to, UpgradeOptions { max_pause, ..patient() }).expect("it begins");
        let entry = only(&report);
        assert!(matches!(entry.outcome, Outcome::RolledBack(_)), "{report}");
        assert!(matches!(entry.now, Now::Serving { .. }), "{report}");
        let answer = house.block_on(actor.ask(Count {}, GENEROUS)).expect("it serves");
        assert_eq!(answer.handled, 3, "{report}");
        assert_eq!(actor.info().version.to_string(), from);
    }
    println!("all failed, and the process lives");
}

fn a_report_says_what_happened_what_stands_now_and_what_to_do() {
    let house = House::patient(probe::ALL);
    let (bad, _) = doomed(&house, "probe/bad", "migrate", "error");
    let good = probe::start(&house, "probe/good", "1.0.0");
    let there = probe::start(&house, "probe/there", "2.0.0");
    let gone = probe::start(&house, "probe/zombie", "1.0.0");
    let plan = house.block_on(house.system.plan("probe", "2.0.0", patient())).expect("a plan");
    house.block_on(gone.stop("", GENEROUS)).expect("it stops");
    let report = house.block_on(house.system.apply(plan)).expect("it begins");
    until("the good one serves", || seen(&house, &good).version == 2);
    let (paused, bytes) = (pauses(&report), |actor: &ActorRef| of(&report, actor.addr()).snapshot_bytes);
    let expected = format!(
        "error[UPG-MIGRATE]: probe/bad: upgrade 1.0.0 -> 2.0.0 rolled back at migrate, paused {}\n  \
         cause: migration failed: schema 1 to 2: migrate refuses, as told\n  \
         now:   1.0.0 is serving, generation 0; 0 waiting messages kept, in order\n  \
         hint:  mend the step, and push it under a new version\n\
         probe/good: upgrade 1.0.0 -> 2.0.0 committed, paused {}, {} bytes of state, 0 messages waited\n\
         error[UPG-GONE]: probe/zombie: upgrade 1.0.0 -> 2.0.0 refused at pause, not paused\n  \
         cause: the actor is stopped\n  \
         now:   the actor is stopped\n  \
         hint:  leave it out, or start it\n\
         probe/there: already at 2.0.0, not paused",
        paused[0],
        paused[1],
        bytes(&good),
    );
    assert_eq!(report.to_string(), expected);
    drop((bad, there));
}

fn of<'a>(report: &'a Report, addr: &Addr) -> &'a teneral::upgrade::ActorReport {
    report.of(addr).expect("an entry")
}

/// How long each of them was paused, as people read it.
fn pauses(report: &Report) -> Vec<String> {
    let text = |us: u64| if us < 10_000 { format!("{us} us") } else { format!("{} ms", us / 1000) };
    report.actors.iter().map(|entry| text(entry.pause_us)).collect()
}
