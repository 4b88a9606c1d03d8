//! Faults in which somebody else has a part: a child, a parent, another upgrade, a thousand others.

use super::stage::{Came, SUBJECT, Stage, house, snapshot};
use super::traffic::compare;
use super::{Case, Cell, Row};
use crate::harness::house::{GENEROUS, Refuses, rehearsed, until};
use crate::harness::probe::{self, act, lives, note, seen, tell, trap};
use probe_api::Act;
use teneral::runtime::Status;
use teneral::upgrade::Outcome;
use teneral::upgrade::report::Now;
use teneral::{ActorRef, Report, UpgradeOptions};

pub(super) fn cases() -> Vec<Case> {
    [families(), two_at_once(), thousand()].into_iter().flatten().collect()
}

fn families() -> Vec<Case> {
    let born = "committed, the child of one version and named; 2.0.0 serves, state carried over; journalled";
    let stopped = "rolled back at migrate; nothing serves, the stop wins; journalled; what waited is a dead letter";
    vec![
        Case::new("F27", "Pause: a child is started in the middle of the upgrade", (born.to_owned(), ""), |cell| {
            Ok(child(cell))
        }),
        Case::new("F28", "Migrate: the actor is stopped", (stopped.to_owned(), "UPG-STOPPED"), |cell| {
            let stage = Stage::raise(cell);
            let actor = stage.actor.clone();
            Ok(stop(stage, &actor))
        }),
        Case::new("F28", "Migrate: the actor's parent stops", (stopped.to_owned(), "UPG-STOPPED"), |cell| {
            let house = house(probe::ALL, |_| {});
            house.system.set_default("probe", "1.0.0").expect("it was pushed");
            let parent = probe::start(&house, "probe/parent", "1.0.0");
            act(&house, &parent, Act::Spawn("subject".to_owned()));
            until("the child is there", || house.system.actor(SUBJECT).is_ok());
            let subject = house.system.actor(SUBJECT).expect("it is there");
            Ok(stop(Stage::on(cell, house, subject), &parent))
        }),
    ]
}

fn child(cell: Cell) -> Row {
    let stage = Stage::raise(cell);
    let house = &stage.house;
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let parent = probe::start(house, "probe/parent", "1.0.0");
    let hold = probe::Hold::new(house);
    stage.trap_here("migrate", &format!("hang {}", hold.path()));
    let system = house.system.clone();
    let running = house.spawn(async move { system.upgrade("probe", "2.0.0", rehearsed()).await });
    until("the subject migrates, and its neighbour has moved", || hold.reached() && parent.info().version.major == 2);
    act(house, &parent, Act::Spawn("child".to_owned()));
    until("the child is there", || house.system.actor("probe/child").is_ok());
    let child = house.system.actor("probe/child").expect("it is there");
    tell(house, &child, note(0, 0));
    let born = seen(house, &child);
    drop(hold);
    let report = house.block_on(running).expect("no upgrade panics").expect("it began");
    let one_version = born.version == 1 && lives(&born) == ["1: started Fresh"];
    let named = report.warnings.iter().any(|warning| warning.contains("probe/child on 1.0.0"));
    let committed = report.actors.iter().all(|actor| actor.outcome == Outcome::Committed) && report.actors.len() == 2;
    let what = match (committed, one_version && named) {
        (true, true) => "committed, the child of one version and named",
        (true, false) => "committed, the child not accounted for",
        (false, _) => "not committed",
    };
    let came = Came { what: what.to_owned(), code: String::new(), journal: Some(stage.is_recorded(&report)) };
    stage.end(came)
}

/// Somebody stops `who` in the middle of the subject's migration, and the subject with it.
fn stop(stage: Stage, who: &ActorRef) -> Row {
    let held = stage.held("migrate", "2.0.0", rehearsed());
    stage.queue();
    // Nothing is handled from here on: what its state says now is all that it ever handled.
    let handled = snapshot(&stage.house, &stage.actor).kept.log;
    stage.house.block_on(who.stop("enough", GENEROUS)).expect("a pause is no obstacle");
    let report = held.go_on(&stage.house);
    let came = stage.reported(&report);
    let gone = matches!(stage.actor.info().status, Status::Stopped { .. }) && report.actors[0].now == Now::Stopped;
    let (house, accounts) = stage.leave();
    // The letters are sent again to somebody who writes them down, by which they can be counted.
    let heir = probe::start(&house, "probe/heir", "1.0.0");
    let letters = house.system.runtime().dead_letters().list();
    letters.iter().filter(|letter| letter.to == *stage_addr(&report)).for_each(|letter| _ = heir.resend(letter));
    let left = seen(&house, &heir).log;
    let mut seen = format!("{}; {}", came.what, if gone { "nothing serves, the stop wins" } else { "it serves" });
    seen.push_str(if came.journal == Some(true) { "; journalled" } else { "; not in the journal" });
    seen.push_str(if left.is_empty() { "; nothing is left of what waited" } else { "; what waited is a dead letter" });
    Row::new(seen, came.code, compare(&[handled, left].concat(), &accounts))
}

fn stage_addr(report: &Report) -> &teneral::Addr {
    &report.actors[0].actor
}

fn two_at_once() -> Vec<Case> {
    let second = "refused at plan, another has it, which commits; 2.0.0 serves, state carried over; journalled";
    let meanwhile = "refused at plan, another has it, which is rolled back; 2.0.0 serves, same state; journalled";
    let back = "rolled back at migrate; 2.0.0 serves, same state; journalled";
    vec![
        Case::new("F36", "A second upgrade while one is at work", (second.to_owned(), "UPG-RUNNING"), |cell| {
            let stage = Stage::raise(cell);
            let held = stage.held("migrate", "2.0.0", rehearsed());
            let code = refusal(&stage);
            let report = held.go_on(&stage.house);
            let mut came = stage.reported(&report);
            if came.what == "committed" {
                came.what = "refused at plan, another has it, which commits".to_owned();
            }
            came.code = code;
            Ok(stage.end(came))
        }),
        Case::new("F36", "A plan that another upgrade has overtaken", not_begun_at_2(), |cell| {
            let stage = Stage::raise(cell);
            let plan = stage.house.block_on(stage.house.system.plan(SUBJECT, "3.0.0", rehearsed())).expect("a plan");
            stage.moved();
            stage.paused();
            let came = stage.apply(plan);
            Ok(stage.end(came))
        }),
        Case::new("F36", "An upgrade while another is rolled back", (meanwhile.to_owned(), "UPG-RUNNING"), |cell| {
            let stage = Stage::with(cell, probe::ALL, "2.0.0");
            let held = stage.held("downgrade", "1.0.0", rehearsed());
            let code = refusal(&stage);
            stage.actor.cancel_pause("an operator");
            let report = held.go_on(&stage.house);
            let mut came = stage.reported(&report);
            if came.what == "rolled back at migrate" {
                came.what = "refused at plan, another has it, which is rolled back".to_owned();
            }
            came.code = code;
            Ok(stage.end(came))
        }),
        Case::new("F36", "The way back fails", (back.to_owned(), "UPG-DOWNGRADE"), |cell| {
            let stage = Stage::with(cell, probe::ALL, "2.0.0");
            stage.trap_here("downgrade", "panic");
            let came = stage.upgrade("1.0.0", rehearsed());
            Ok(stage.end(came))
        }),
    ]
}

fn not_begun_at_2() -> (String, &'static str) {
    ("refused at begin, nobody paused; 2.0.0 serves, state carried over; no upgrade began".to_owned(), "UPG-STALE")
}

/// What another upgrade of the subject is told meanwhile.
fn refusal(stage: &Stage) -> String {
    match stage.house.try_upgrade(SUBJECT, "3.0.0", rehearsed()) {
        Ok(_) => "let in".to_owned(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

fn thousand() -> Vec<Case> {
    let kept = "997 of 1,000 committed, 3 rolled back at migrate; 2.0.0 serves, state carried over; journalled";
    let fault = "A thousand actors, of which three fail";
    vec![Case::new("F39", fault, (kept.to_owned(), "UPG-MIGRATE"), |cell| Ok(fleet(cell))).in_part()]
}

/// The subject, and 999 small ones, three of which fail in the live process.
fn fleet(cell: Cell) -> Row {
    let stage = Stage::raise(cell);
    let house = &stage.house;
    let others: Vec<ActorRef> = (0..999).map(|n| probe::start(house, &format!("probe/n{n:03}"), "1.0.0")).collect();
    for actor in &others {
        (0..2).for_each(|number| tell(house, actor, note(0, number)));
    }
    for actor in &others[500..503] {
        trap(house, actor, "migrate", &format!("in {} error", std::process::id()));
    }
    let options = UpgradeOptions { trials: teneral::upgrade::Trials::Sample { actors: 3 }, ..rehearsed() };
    let report = house.block_on(house.system.upgrade("probe", "2.0.0", options)).expect("it begins");
    let count = |is: fn(&Outcome) -> bool| report.actors.iter().filter(|actor| is(&actor.outcome)).count();
    let committed = count(|outcome| *outcome == Outcome::Committed);
    let undone = count(|outcome| matches!(outcome, Outcome::RolledBack(_)));
    let codes: std::collections::BTreeSet<_> =
        report.actors.iter().filter_map(|actor| Some(actor.outcome.failure()?.code.clone())).collect();
    let whole = others.iter().enumerate().all(|(n, actor)| {
        tell(house, actor, note(0, 2));
        let seen = seen(house, actor);
        let version = if (500..503).contains(&n) { 1 } else { 2 };
        seen.version == version && seen.log.iter().map(|entry| entry.number).eq(0..3)
    });
    let mut what = format!("{committed} of 1,000 committed, {undone} rolled back at migrate");
    if !whole {
        what.push_str(", and one of the others is not what it was");
    }
    let code = codes.into_iter().collect::<Vec<_>>().join(" ");
    let came = Came { what, code, journal: Some(stage.is_recorded(&report)) };
    stage.end(came)
}
