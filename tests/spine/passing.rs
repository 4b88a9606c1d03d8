//! Actors that come and go while others are moved, and who holds what is loaded.

use crate::harness::house::{GENEROUS, House, only, patient, until};
use crate::harness::probe::{self, Standing, act, asks, lives, note, seen, tell};
use crate::harness::{Test, over_the_socket, test};
use probe_api::{Act, Later, Read};
use std::collections::BTreeSet;
use teneral::contract::shape::fnv128;
use teneral::runtime::{RestartState, Seen, What};
use teneral::upgrade::Outcome;
use teneral::upgrade::report::Now;
use teneral::{ActorOptions, ActorRef, AskError, ImageUse, Launch, Report};

pub(super) fn tests() -> Vec<Test> {
    let claims = || {
        vec![
            test(u20_an_actor_that_dies_under_its_pause_does_not_fail_the_upgrade_of_the_others),
            test(u21_an_actor_that_dies_between_the_list_and_its_turn_is_its_own_outcome_and_nobody_elses_error),
            test(f27_a_child_that_is_started_during_an_upgrade_is_of_one_version_and_the_report_counts_it),
        ]
    };
    let mut tests = claims();
    tests.extend(over_the_socket(claims()));
    tests.push(test(m11_a_stop_answers_every_ask_that_waits_with_an_error_at_once));
    tests.push(test(i8_a_crash_report_has_state_message_reason_ancestors_version_and_generation));
    tests.push(test(i11_every_actor_of_a_version_and_every_holder_of_its_library_is_found));
    tests
}

/// Probes at 1.0.0 of these keys, each with three notes.
fn probes<const N: usize>(house: &House, keys: [&str; N]) -> [ActorRef; N] {
    keys.map(|key| {
        let actor = probe::start(house, &format!("probe/{key}"), "1.0.0");
        (0..3).for_each(|number| tell(house, &actor, note(0, number)));
        seen(house, &actor);
        actor
    })
}

/// It has moved to 2.0.0 with all that it had, and goes on.
#[track_caller]
fn moved(house: &House, actor: &ActorRef) {
    tell(house, actor, note(0, 3));
    let seen = seen(house, actor);
    assert_eq!((seen.version, lives(&seen)), (2, vec!["1: started Fresh", "2: started Upgraded"]));
    probe::whole(&seen.log, &[4]);
}

#[track_caller]
fn outcome<'a>(report: &'a Report, actor: &ActorRef) -> (&'static str, Option<&'a str>, &'a Now) {
    let entry = report.of(actor.addr()).unwrap_or_else(|| panic!("{} is in the report: {report}", actor.addr()));
    (entry.outcome.name(), entry.outcome.failure().map(|why| why.code.as_str()), &entry.now)
}

fn u20_an_actor_that_dies_under_its_pause_does_not_fail_the_upgrade_of_the_others() {
    let house = House::patient(probe::ALL);
    let [a, dies, b] = probes(&house, ["a", "dies", "z"]);
    // All of the kind, of which this one stands in its migration.
    let standing = Standing::of_kind(&house, &dies, "2.0.0");
    house.block_on(dies.stop("", GENEROUS)).expect("a stop wins");
    let report = standing.go_on(&house);
    assert_eq!(outcome(&report, &dies), ("rolled_back", Some("UPG-STOPPED"), &Now::Stopped), "{report}");
    for actor in [&a, &b] {
        assert_eq!(outcome(&report, actor).0, "committed", "{report}");
        moved(&house, actor);
    }
}

fn u21_an_actor_that_dies_between_the_list_and_its_turn_is_its_own_outcome_and_nobody_elses_error() {
    let house = House::patient(probe::ALL);
    let [a, dies, b] = probes(&house, ["a", "dies", "z"]);
    let plan = house.block_on(house.system.plan("probe", "2.0.0", patient())).expect("all three are listed");
    assert_eq!(plan.moves().len(), 3);
    house.block_on(dies.stop("", GENEROUS)).expect("it stops");
    let report = house.block_on(house.system.apply(plan)).expect("the plan holds for the others");
    assert_eq!(outcome(&report, &dies), ("refused", Some("UPG-GONE"), &Now::Stopped), "{report}");
    [&a, &b].into_iter().for_each(|actor| moved(&house, actor));
}

fn f27_a_child_that_is_started_during_an_upgrade_is_of_one_version_and_the_report_counts_it() {
    let house = House::patient(probe::ALL);
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let [parent, stands] = probes(&house, ["parent", "stands"]);
    let standing = Standing::of_kind(&house, &stands, "2.0.0");
    until("the other one has moved", || parent.info().version.major == 2);
    // A child of the new code, on the kind's default, which is what it was.
    act(&house, &parent, Act::Spawn("child".to_owned()));
    until("it is there", || house.system.actor("probe/child").is_ok());
    let child = house.system.actor("probe/child").expect("it is there");
    tell(&house, &child, note(0, 0));
    let born = seen(&house, &child);
    assert_eq!((born.version, lives(&born)), (1, vec!["1: started Fresh"]), "wholly of one version");
    let report = standing.go_on(&house);
    assert!(report.ok() && report.of(child.addr()).is_none(), "{report}");
    let counted = report.warnings.iter().find(|warning| warning.contains("started meanwhile"));
    let expected = "1 actor was started meanwhile and not moved: probe/child on 1.0.0; upgrade probe again";
    assert_eq!(counted.map(String::as_str), Some(expected), "{report}");
    let again = house.try_upgrade("probe", "2.0.0", patient()).expect("it begins");
    assert!(again.ok() && again.actors.len() == 3 && again.warnings.is_empty(), "{again}");
    assert_eq!(lives(&seen(&house, &child)), ["1: started Fresh", "2: started Upgraded"]);
}

fn m11_a_stop_answers_every_ask_that_waits_with_an_error_at_once() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    // Three that it owes an answer, one that waits in its mailbox.
    let owed: Vec<_> = (0..3).map(|_| asks(&house, &actor, Later {})).collect();
    // Behind them: they are handled.
    seen(&house, &actor);
    actor.pause("ops", GENEROUS).expect("paused");
    let queued = asks(&house, &actor, Read {});
    until("one waits", || actor.info().queued_messages == 1);
    house.block_on(actor.stop("enough", GENEROUS)).expect("it stops, paused or not");
    for asked in owed {
        assert_eq!(house.block_on(asked).expect("who asks lives").map(drop), Err(AskError::Stopped));
    }
    assert_eq!(house.block_on(queued).expect("who asks lives").map(drop), Err(AskError::Stopped));
}

fn i8_a_crash_report_has_state_message_reason_ancestors_version_and_generation() {
    let house = House::patient(probe::ALL);
    let parent = probe::start(&house, "probe/parent", "1.0.0");
    let launch = Launch {
        version: Some("1.0.0".parse().expect("a version")),
        options: ActorOptions {
            parent: Some(parent.addr().clone()),
            restart_state: RestartState::LastSnapshot,
            ..ActorOptions::permanent()
        },
    };
    let started = house.block_on(house.system.start_with("probe/child", launch, probe_api::Start::default()));
    let child = started.expect("it starts");
    tell(&house, &child, note(0, 0));
    // A look at the state does not wait behind messages; this does.
    seen(&house, &child);
    let saved = probe::state(&house, &child);
    assert_eq!(only(&house.upgrade("probe/child", "2.0.0")).outcome, Outcome::Committed);
    // What it handles from here on is in no snapshot.
    tell(&house, &child, note(0, 1));
    let mut events = house.system.runtime().events();
    let told = teneral::Addr::new("probe/parent").expect("a name");
    act(&house, &child, Act::TellThenPanic(told, "never said".to_owned()));
    let report = loop {
        let Seen::Event(event) = events.next_blocking(GENEROUS).expect("an event") else { continue };
        if let What::Failed(report) = &event.what {
            break report.clone();
        }
    };
    assert_eq!((report.addr.path(), &report.ancestors[..]), ("probe/child", &[parent.addr().clone()][..]));
    assert_eq!((report.version.to_string().as_str(), report.generation.0), ("2.0.0", 1));
    assert!(report.fault.text.contains("panicked, as told (probe 2.0.0"), "{report:?}");
    assert_eq!(report.message.as_ref().map(|message| message.name.as_str()), Some("Do"));
    // As it was saved at the upgrade: of the version before, and those bytes.
    let state = report.last_state.unwrap_or_else(|| panic!("the state at its last snapshot: {report:?}"));
    let at_upgrade = (1, saved.bytes.len(), fnv128(&saved.bytes));
    assert_eq!((state.schema, state.state_bytes, state.hash), at_upgrade, "{report:?}");
}

fn i11_every_actor_of_a_version_and_every_holder_of_its_library_is_found() {
    let house = House::patient(probe::ALL);
    let [a, b] = probes(&house, ["a", "b"]);
    let digest = a.provider().digest();
    let of_version = || -> BTreeSet<String> {
        let actors = house.system.runtime().actors_of("probe").into_iter();
        actors.filter(|actor| actor.provider().digest() == digest).map(|actor| actor.addr().path().to_owned()).collect()
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(of_version(), names(&["probe/a", "probe/b"]));
    let held = || house.system.image(digest).expect("the store reads").expect("it is loaded");
    let ImageUse { holders, upgrades, .. } = held();
    assert!(holders >= 2 && upgrades.is_empty(), "{holders} {upgrades:?}");

    // An upgrade away from it holds it until it has ended: it may have to undo.
    let standing = Standing::upgrade(&house, &a, "2.0.0");
    let upgrades = held().upgrades;
    let report = standing.go_on(&house);
    assert_eq!(upgrades, std::slice::from_ref(&report.id));
    assert_eq!(of_version(), names(&["probe/b"]));

    // Retired when its last user is gone, and not before; a handle on a stopped actor is a user.
    house.block_on(b.stop("", GENEROUS)).expect("it stops");
    assert_eq!(of_version(), names(&[]));
    assert!(held().holders > 0, "somebody has a handle");
    drop(b);
    until("nobody uses it", || held().holders == 0);
    assert_eq!(held().upgrades, []);
    // Asked for again, it is the same image.
    let again = probe::start(&house, "probe/c", "1.0.0");
    assert_eq!(again.provider().digest(), digest);
    assert!(held().holders > 0);
}
