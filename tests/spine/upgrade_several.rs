//! Several actors in one upgrade, and several upgrades of one actor.

use crate::harness::house::{GENEROUS, House, Refuses, chain, only, patient, recorded, until};
use crate::harness::probe::{self, Busy, Standing, lives, note, seen, state, tell, trap};
use crate::harness::{Test, test};
use std::time::Duration;
use teneral::runtime::{Generation, Status};
use teneral::upgrade::report::Now;
use teneral::upgrade::{ActorReport, Direction, Outcome, Step};
use teneral::{ActorRef, Entry, Plan, Report, UpgradeId, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(an_upgrade_at_work_is_listed_cancelled_by_its_id_and_found_in_the_journal_with_its_reason),
        test(u25_the_report_names_every_actor_with_its_outcome_and_figures_and_is_not_ok_when_one_was_left_out),
        test(u47_of_two_upgrades_of_one_actor_the_second_is_refused_with_the_first_ones_id),
        test(f36_of_two_upgrades_at_once_one_commits_and_the_other_does_nothing),
        test(f36_an_upgrade_while_another_goes_back_is_refused_and_a_way_back_that_fails_changes_nothing),
    ]
}

#[track_caller]
fn of<'a>(report: &'a Report, actor: &ActorRef) -> &'a ActorReport {
    report.of(actor.addr()).unwrap_or_else(|| panic!("{} is in the report: {report}", actor.addr()))
}

fn u25_the_report_names_every_actor_with_its_outcome_and_figures_and_is_not_ok_when_one_was_left_out() {
    let house = House::patient(probe::ALL);
    let [done, bad, busy, gone] = ["done", "bad", "busy", "gone"].map(|key| {
        let actor = probe::start(&house, &format!("probe/{key}"), "1.0.0");
        (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
        seen(&house, &actor);
        actor
    });
    let there = probe::start(&house, "probe/there", "2.0.0");
    trap(&house, &bad, "migrate", "error");
    let never_ends = Busy::make(&house, &busy);
    let options = UpgradeOptions { quiesce_timeout: Duration::from_millis(50), ..patient() };
    let plan = house.block_on(house.system.plan("probe", "2.0.0", options)).expect("a plan");
    house.block_on(gone.stop("", GENEROUS)).expect("it stops");
    let bytes = [&done, &bad].map(|actor| state(&house, actor).bytes.len());
    let report = house.block_on(house.system.apply(plan)).expect("it begins");
    drop(never_ends);

    let outcomes = [&done, &there, &bad, &busy, &gone].map(|actor| of(&report, actor).outcome.name());
    assert_eq!(outcomes, ["committed", "unchanged", "rolled_back", "deferred", "refused"], "{report}");
    assert_eq!(report.actors.len(), 5);
    assert!(!report.ok(), "{report}");
    let codes = [&bad, &busy, &gone].map(|actor| of(&report, actor).outcome.failure().map(|why| why.code.as_str()));
    assert_eq!(codes, [Some("UPG-MIGRATE"), Some("UPG-BUSY"), Some("UPG-GONE")]);
    for (actor, bytes) in [(&done, bytes[0]), (&bad, bytes[1])] {
        let entry = of(&report, actor);
        assert_eq!(entry.snapshot_bytes, bytes, "{entry}");
        assert!(entry.pause_us > 0, "{entry}");
    }
    for actor in [&there, &busy, &gone] {
        let entry = of(&report, actor);
        assert_eq!((entry.pause_us, entry.snapshot_bytes, entry.queued_at_resume), (0, 0, 0), "{entry}");
    }
    let version = |text: &str| text.parse().expect("a version");
    assert_eq!(of(&report, &done).now, Now::Serving { version: version("2.0.0"), generation: 1 });
    assert_eq!(of(&report, &bad).now, Now::Serving { version: version("1.0.0"), generation: 0 });
    assert_eq!(of(&report, &gone).now, Now::Stopped);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(serde_json::from_value::<Report>(json).expect("a report"), report);

    // How many waited at resume, counted by who sent them.
    let standing = Standing::upgrade(&house, &busy, "2.0.0");
    (0..7).for_each(|number| busy.try_tell(note(1, number)).expect("there is room"));
    let report = standing.go_on(&house);
    let entry = of(&report, &busy);
    assert_eq!(
        (entry.queued_at_resume, entry.direction, entry.step),
        (7, Direction::Upgrade, Step::Resume),
        "{report}"
    );
    assert!(report.ok(), "{report}");
}

/// The upgrade that has the actor already.
#[track_caller]
fn running(refused: Result<Report, impl Refuses>) -> String {
    match refused {
        Ok(report) => panic!("{report}"),
        Err(error) => {
            let said = chain(&error);
            assert_eq!(error.code(), "UPG-RUNNING", "{said}");
            said.split(" is being upgraded by ").nth(1).unwrap_or_else(|| panic!("{said}")).to_owned()
        }
    }
}

fn u47_of_two_upgrades_of_one_actor_the_second_is_refused_with_the_first_ones_id() {
    let house = House::patient(probe::ALL);
    let (actor, other) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/b", "1.0.0"));
    tell(&house, &actor, note(0, 0));
    let first = Standing::upgrade(&house, &actor, "2.0.0");
    let mut ids = Vec::new();
    for (target, to) in [("probe/a", "3.0.0"), ("probe/a", "2.0.0"), ("probe", "3.0.0")] {
        ids.push(running(house.try_upgrade(target, to, patient())));
    }
    let plan = house.block_on(house.system.plan("probe/a", "3.0.0", patient())).expect("planning touches nobody");
    ids.push(running(house.block_on(house.system.apply(plan))));
    assert_eq!(other.info().generation, Generation(0), "one that is taken holds up all of its plan");
    let report = first.go_on(&house);
    assert!(report.ok(), "{report}");
    assert_eq!(ids, vec![report.id.to_string(); 4]);
    let told = seen(&house, &actor);
    assert_eq!((told.version, lives(&told)), (2, vec!["1: started Fresh", "2: started Upgraded"]));
    let report = house.try_upgrade("probe", "3.0.0", patient()).expect("it begins");
    assert!(report.ok() && report.actors.len() == 2, "and now it may: {report}");
    probe::whole(&seen(&house, &actor).log, &[1]);
}

fn f36_of_two_upgrades_at_once_one_commits_and_the_other_does_nothing() {
    const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let mut expected = vec!["1: started Fresh".to_owned()];
    for round in 0..20 {
        tell(&house, &actor, note(0, round));
        let at = actor.info().version.to_string();
        let plan = |to: &str| house.block_on(house.system.plan("probe/a", to, patient())).expect("a plan");
        let plans: Vec<Plan> = VERSIONS.into_iter().filter(|to| *to != at).map(plan).collect();
        let applied: Vec<_> = plans
            .into_iter()
            .map(|plan| {
                let (to, system) = (plan.moves()[0].to.version.major, house.system.clone());
                (to, house.spawn(async move { system.apply(plan).await }))
            })
            .collect();
        let mut committed = Vec::new();
        for (to, applied) in applied {
            match house.block_on(applied).expect("no upgrade panics") {
                Ok(report) if report.ok() => committed.push(to),
                Ok(report) => assert_eq!(report.actors[0].outcome.failure().expect("a cause").code, "UPG-STALE"),
                Err(error) => assert!(["UPG-STALE", "UPG-RUNNING"].contains(&error.code()), "{}", chain(&error)),
            }
        }
        assert_eq!(committed.len(), 1, "round {round}: {committed:?}");
        expected.push(format!("{}: started Upgraded", committed[0]));
        let seen = seen(&house, &actor);
        assert_eq!(
            (u64::from(seen.version), lives(&seen)),
            (committed[0], expected.iter().map(String::as_str).collect())
        );
    }
    probe::whole(&seen(&house, &actor).log, &[20]);
}

fn f36_an_upgrade_while_another_goes_back_is_refused_and_a_way_back_that_fails_changes_nothing() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "2.0.0");
    (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
    // While one is under way, and then given up by an operator.
    let back = Standing::downgrade(&house, &actor, "1.0.0");
    let id = running(house.try_upgrade("probe/a", "3.0.0", patient()));
    actor.cancel_pause("ops");
    assert_eq!(seen(&house, &actor).version, 2, "it serves, though the step down has not returned");
    let report = back.go_on(&house);
    assert_eq!(id, report.id.to_string());
    assert_eq!(report.actors[0].outcome.failure().expect("a cause").code, "UPG-CANCELLED");
    assert!(matches!(&report.actors[0].now, Now::Serving { version, generation: 0 } if version.major == 2), "{report}");
    // A way back that fails.
    for how in ["error", "panic"] {
        trap(&house, &actor, "downgrade", how);
        let before = state(&house, &actor);
        let entry = house.moved("probe/a", "1.0.0");
        let Outcome::RolledBack(failure) = &entry.outcome else { panic!("{entry}") };
        assert_eq!(failure.code, "UPG-DOWNGRADE");
        assert_eq!(state(&house, &actor), before);
    }
    let told = seen(&house, &actor);
    assert_eq!((told.version, lives(&told)), (2, vec!["2: started Fresh"]));
    assert_eq!(house.moved("probe/a", "3.0.0").outcome, Outcome::Committed);
    probe::whole(&seen(&house, &actor).log, &[3]);
}

fn an_upgrade_at_work_is_listed_cancelled_by_its_id_and_found_in_the_journal_with_its_reason() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &actor);
    let plan = house.block_on(house.system.plan("probe/a", "2.0.0", patient())).expect("a plan").because("ticket 4711");
    let system = house.system.clone();
    let running = house.spawn(async move { system.apply(plan).await });
    until("it waits for the turn to end", || actor.info().status != Status::Running);
    let [id] = house.system.running().try_into().expect("one upgrade");
    // It would wait for a minute; cancelled, it ends at once, though the turn goes on.
    assert!(house.system.cancel(&id, "ops"));
    let report = house.block_on(running).expect("it ends").expect("it began");
    let failure = only(&report).outcome.failure().expect("cancelled");
    assert_eq!((failure.code.as_str(), report.why.as_str()), ("UPG-CANCELLED", "ticket 4711"), "{report}");
    assert!(failure.cause.contains("cancelled"), "{report}");
    drop(busy);
    assert!(!house.system.cancel(&id, "ops"), "it is over");
    assert_eq!((house.system.running(), house.system.upgrades().expect("the store reads")), (vec![], vec![id.clone()]));
    let journal = house.system.journal(&id).expect("the store reads");
    let Some(Entry::Begin(begin)) = journal.first() else { panic!("{journal:?}") };
    assert_eq!((begin.why.as_str(), begin.moves.len()), ("ticket 4711", 1));
    recorded(&journal, only(&report));
    assert_eq!(house.system.journal(&UpgradeId("up-none".to_owned())).expect("the store reads"), []);
}
