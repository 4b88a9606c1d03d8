//! Restarts: who is restarted, with what left, how often at most, and who goes down with whom.

use crate::harness::house::{GENEROUS, House, only, patient, until};
use crate::harness::probe::{self, Standing, act, asks, lives, note, seen, tell, trap};
use crate::harness::{Test, test};
use probe_api::{Act, Do, Read, Start};
use std::time::{Duration, Instant};
use teneral::runtime::{DeadKind, Intensity, Restart, Seen, Status, What};
use teneral::upgrade::report::Now;
use teneral::{ActorOptions, ActorRef, AskError, Launch, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(s2_a_failing_child_is_restarted_alone_with_its_mailbox_and_its_address),
        test(s2_a_child_beyond_its_intensity_stops_its_supervisor_and_its_siblings),
        test(s6_only_restarts_inside_the_period_count),
        test(s6_instances_that_upgrades_replace_do_not_count),
    ]
}

/// A probe at 1.0.0 that lives as `options` say.
#[track_caller]
fn start(house: &House, addr: &str, options: ActorOptions) -> ActorRef {
    let launch = Launch { version: Some("1.0.0".parse().expect("a version")), options };
    house.block_on(house.system.start_with(addr, launch, Start::default())).expect("it starts")
}

/// A message that panics.
fn dies(actor: &ActorRef) -> Do {
    Do { act: Act::TellThenPanic(actor.addr().clone(), "never said".to_owned()) }
}

/// A parent with two children, which it started itself.
fn family(house: &House, options: ActorOptions) -> (ActorRef, [ActorRef; 2]) {
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let parent = start(house, "probe/parent", options);
    let children = ["one", "two"].map(|key| {
        act(house, &parent, Act::Spawn(key.to_owned()));
        seen(house, &parent);
        house.system.actor(format!("probe/{key}").as_str()).expect("it was started")
    });
    (parent, children)
}

fn s2_a_failing_child_is_restarted_alone_with_its_mailbox_and_its_address() {
    let house = House::patient(probe::ALL);
    let (parent, [sick, well]) = family(&house, ActorOptions::permanent());
    for actor in [&parent, &sick, &well] {
        tell(&house, actor, note(0, 0));
        seen(&house, actor);
    }
    sick.pause("ops", GENEROUS).expect("paused");
    sick.try_tell(dies(&sick)).expect("there is room");
    (0..3).for_each(|number| sick.try_tell(note(1, number)).expect("there is room"));
    let waits = asks(&house, &sick, Read {});
    sick.resume("ops");
    let seen_by_new = house.block_on(waits).expect("the caller lives").expect("an answer");
    let numbers: Vec<_> = seen_by_new.log.iter().map(|entry| (entry.sender, entry.number)).collect();
    assert_eq!(numbers, [(1, 0), (1, 1), (1, 2)], "what waited is handled in order, from a new state");
    assert_eq!(seen_by_new.notes, ["1: started Restarted", "1: opened"], "the poison is not, and says nothing");
    assert_eq!(house.system.runtime().dead_letters().count(DeadKind::Panicked), 1);
    assert!(house.system.actor("probe/one").is_ok_and(|found| found == sick), "the address means the same actor");
    assert_eq!(parent.info().children, [sick.addr().clone(), well.addr().clone()]);
    for actor in [&parent, &well] {
        probe::whole(&seen(&house, actor).log, &[1]);
        assert_eq!(lives(&seen(&house, actor)), ["1: started Fresh"], "{} was left alone", actor.addr());
        assert_eq!((actor.info().restarts, actor.info().panics), (0, 0));
    }
    assert_eq!((sick.info().restarts, sick.info().panics), (1, 1));
}

/// A child's code panics again and again: more often than any budget allows.
fn dies_too_often(child: &ActorRef) {
    child.pause("ops", GENEROUS).expect("paused");
    (0..20).for_each(|_| child.try_tell(dies(child)).expect("there is room"));
    child.resume("ops");
}

fn s2_a_child_beyond_its_intensity_stops_its_supervisor_and_its_siblings() {
    for restart in [Restart::Temporary, Restart::Permanent] {
        let house = House::patient(probe::ALL);
        let options = ActorOptions { restart, ..ActorOptions::permanent() };
        let (parent, [sick, well]) = family(&house, options);
        let bystander = probe::start(&house, "probe/bystander", "1.0.0");
        tell(&house, &parent, note(0, 0));
        seen(&house, &parent);
        let mut events = house.system.runtime().events();
        let budget = sick.info().options.intensity.restarts_max;
        dies_too_often(&sick);
        until("the family is gone", || [&sick, &well].iter().all(|child| stopped(child)));
        assert_eq!(sick.info().restarts, u64::from(budget));
        assert_eq!(house.block_on(well.ask(Read {}, GENEROUS)), Err(AskError::Stopped), "its sibling is gone too");
        if restart == Restart::Permanent {
            // Its own supervisor starts it anew, without children.
            until("the parent is restarted", || parent.info().restarts == 1);
            let anew = seen(&house, &parent);
            assert_eq!((lives(&anew), anew.log.len()), (vec!["1: started Restarted"], 0));
            assert_eq!(parent.info().children, []);
        } else {
            until("the parent is gone", || stopped(&parent));
            assert_eq!(parent.info().restarts, 0);
        }
        assert_eq!(lives(&seen(&house, &bystander)), ["1: started Fresh"], "nobody else is touched");
        let expected: &[&str] = if restart == Restart::Permanent { &["one", "two"] } else { &["one", "two", "parent"] };
        let mut gone = Vec::new();
        while gone.len() < expected.len() {
            let Ok(Seen::Event(event)) = events.next_blocking(GENEROUS) else { panic!("{gone:?} of {expected:?}") };
            if let What::Stopped { addr, .. } = &event.what {
                gone.push(addr.key().to_owned());
            }
        }
        assert_eq!(gone, expected);
    }
}

fn stopped(actor: &ActorRef) -> bool {
    matches!(actor.info().status, Status::Stopped { .. })
}

fn s6_only_restarts_inside_the_period_count() {
    let house = House::patient(probe::ALL);
    let permanent = ActorOptions::permanent();
    // Far apart, as a period goes: so often as it likes.
    let period = Duration::from_millis(20);
    let intensity = Intensity { restarts_max: 1, period };
    let actor = start(&house, "probe/now-and-then", ActorOptions { intensity, ..permanent.clone() });
    for round in 1..=5 {
        tell(&house, &actor, dies(&actor));
        until("it is restarted", || actor.info().restarts == round);
        let restarted = Instant::now();
        until("the period is over", || restarted.elapsed() > 2 * period);
    }
    assert_eq!(lives(&seen(&house, &actor)), ["1: started Restarted"]);
    // Within one period: twice, and not three times, however far apart they are.
    let intensity = Intensity { restarts_max: 2, period: Duration::from_secs(3600) };
    let actor = start(&house, "probe/often", ActorOptions { intensity, ..permanent });
    for round in 1..=2 {
        tell(&house, &actor, dies(&actor));
        until("it is restarted", || actor.info().restarts == round);
        assert_eq!(lives(&seen(&house, &actor)), ["1: started Restarted"]);
    }
    tell(&house, &actor, dies(&actor));
    until("a third one is too many", || stopped(&actor));
    assert_eq!(actor.info().restarts, 2);
}

fn s6_instances_that_upgrades_replace_do_not_count() {
    // Longer than a turn takes on a slow machine, and short enough to wait for.
    let house = House::open(probe::ALL, |options| options.runtime.hang_after = Duration::from_secs(5));
    let intensity = Intensity { restarts_max: 1, period: Duration::from_secs(3600) };
    let actor = start(&house, "probe/a", ActorOptions { intensity, ..ActorOptions::permanent() });
    for to in ["2.0.0", "3.0.0", "1.0.0", "2.0.0"] {
        assert_eq!(house.moved("probe/a", to).outcome.name(), "committed");
    }
    // Code that panics where an upgrade calls it: the old instance serves.
    for (step, to) in [("migrate", "3.0.0"), ("downgrade", "1.0.0"), ("restore", "3.0.0"), ("save", "3.0.0")] {
        for _ in 0..2 {
            trap(&house, &actor, step, "panic");
            let report = house.try_upgrade("probe/a", to, patient()).expect("it begins");
            assert_eq!(report.actors[0].outcome.name(), "rolled_back", "{step}: {report}");
            until("it serves", || actor.info().status == Status::Running);
            trap(&house, &actor, "", "");
        }
    }
    assert_eq!((seen(&house, &actor).version, actor.info().restarts), (2, 0));
    // Code that hangs where an upgrade calls it, with the instance: that one is the upgrade's own victim.
    let options = UpgradeOptions { max_pause: Duration::from_millis(100), ..patient() };
    let report = Standing::at(&house, &actor, "save", "3.0.0", options).outlasted(&house);
    assert!(matches!(only(&report).now, Now::Replaced { .. }), "{report}");
    until("another one serves", || actor.info().restarts == 1);
    // So its whole budget is there, and no more than that.
    tell(&house, &actor, dies(&actor));
    until("it is restarted", || actor.info().restarts == 2);
    assert_eq!(lives(&seen(&house, &actor)), ["2: started Restarted"]);
    tell(&house, &actor, dies(&actor));
    until("a second one is too many", || stopped(&actor));
}
