//! Restarts, escalation, stops: the S promises on running actors, and what an operator sees.

use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use teneral_contract::Fingerprint;
use teneral_runtime::ports::{Body, Why};
use teneral_runtime::{
    ActorOptions, ActorRef, DeadKind, Intensity, Restart, RestartState, Seen as Event, Status, What,
};

const SECOND: Duration = Duration::from_secs(1);

/// A probe that counts its instances by why they went live.
fn counted(world: &World, restarted: &Arc<AtomicU32>) -> Arc<Probe> {
    let restarted = restarted.clone();
    let counts = world.probe(1).on_started(move |why, _| {
        if why == Why::Restarted {
            restarted.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    });
    counts.arc()
}

fn panics(world: &World) -> Do {
    world.script(|_| Err(panicked("told to")))
}

fn stops(world: &World, reason: &'static str) -> Do {
    world.script(move |turn| turn.effects.stop(reason))
}

fn tell(world: &World, actor: &ActorRef, message: Do) {
    world.wait(actor.tell(message)).expect("it is accepted");
}

#[test]
fn s1_each_restart_type_meets_each_exit() {
    let world = World::new();
    let cases =
        [(Restart::Permanent, true, true), (Restart::Transient, false, true), (Restart::Temporary, false, false)];
    for (restart, after_normal, after_panic) in cases {
        for (name, again) in [("normal", after_normal), ("abnormal", after_panic)] {
            let restarted = Arc::new(AtomicU32::new(0));
            let key = format!("{restart:?}-{name}").to_lowercase();
            let actor = world.start_with(&key, &counted(&world, &restarted), options(restart));
            let exits = if name == "normal" { stops(&world, "") } else { panics(&world) };
            tell(&world, &actor, exits);
            if again {
                eventually("it is restarted", || restarted.load(Ordering::SeqCst) == 1);
                assert!(world.seen(&actor).entries.is_empty(), "{key} serves again, from its start arguments");
            } else {
                eventually("it is gone", || is_stopped(&actor));
                assert!(world.runtime.actor(&addr(&key)).is_none());
                assert_eq!(restarted.load(Ordering::SeqCst), 0, "{key}");
            }
        }
    }
}

#[test]
fn s1_an_operators_stop_is_for_good_whatever_the_restart_type() {
    let world = World::new();
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        let restarted = Arc::new(AtomicU32::new(0));
        let key = format!("{restart:?}").to_lowercase();
        let actor = world.start_with(&key, &counted(&world, &restarted), options(restart));
        world.wait(actor.stop("enough", GENEROUS)).expect("it stops");
        assert_eq!(actor.info().status, Status::Stopped { reason: "enough".into() });
        assert!(world.runtime.actor(&addr(&key)).is_none(), "its name is free");
        assert_eq!(restarted.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn s2_a_failing_actor_is_restarted_alone_with_its_mailbox_and_its_address() {
    let world = World::new();
    let restarted = Arc::new(AtomicU32::new(0));
    let probe = counted(&world, &restarted);
    let (sick, well) = (world.start("sick", &probe), world.start("well", &probe));
    world.wait(well.tell(Put { sender: 1, number: 1 })).expect("it is accepted");
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let dies = world.script({
        let gate = gate.clone();
        move |_| {
            gate.pass();
            Err(panicked("told to"))
        }
    });
    sick.try_tell(dies).expect("there is room");
    gate.wait_for(1);
    for number in 0..3 {
        sick.try_tell(Put { sender: 1, number }).expect("there is room");
    }
    gate.open();
    assert_eq!(world.seen(&sick).numbers(), [0, 1, 2], "what waited is handled, in order; the poison is not");
    assert_eq!(restarted.load(Ordering::SeqCst), 1);
    assert_eq!(world.runtime.dead_letters().count(DeadKind::Panicked), 1);
    assert_eq!(world.seen(&well).numbers(), [1], "its sibling has its state");
    assert_eq!((sick.info().panics, sick.info().restarts, well.info().restarts), (1, 1, 0));
}

/// A parent that spawns `key` when it is told to.
fn spawns(world: &World, key: &'static str) -> Do {
    world.script(move |turn| turn.effects.spawn(addr(key), None, Body { shape: Fingerprint(7), bytes: &[] }))
}

#[test]
fn s2_a_child_beyond_its_intensity_stops_its_parent_and_siblings() {
    // Time stands still: all its failures are within the period, however slow the machine.
    let (world, _) = World::manual();
    let probe = world.shelve(world.probe(1));
    let parent = world.start_with("parent", &probe, options(Restart::Temporary));
    for key in ["one", "two"] {
        tell(&world, &parent, spawns(&world, key));
        eventually("the child runs", || world.runtime.actor(&addr(key)).is_some());
    }
    assert_eq!(parent.info().children, [addr("one"), addr("two")]);
    let sick = world.runtime.actor(&addr("one")).expect("it runs");
    let restarts_max = sick.info().options.intensity.restarts_max;
    let dies = panics(&world);
    for _ in 0..=restarts_max {
        tell(&world, &sick, dies.clone());
    }
    eventually("all are gone", || world.runtime.actors().is_empty());
    assert!(is_stopped(&parent) && is_stopped(&sick));
}

/// A permanent parent whose child was given up; it holds `gate` in a turn that panics, and is told to end meanwhile.
fn given_up_in_a_turn(world: &World, gate: &Arc<Gate>) -> ActorRef {
    let probe = world.shelve(world.probe(1));
    let parent = world.start("parent", &probe);
    tell(world, &parent, spawns(world, "child"));
    eventually("the child runs", || world.runtime.actor(&addr("child")).is_some());
    let child = world.runtime.actor(&addr("child")).expect("it runs");
    let holds = Arc::clone(gate);
    tell(
        world,
        &parent,
        world.script(move |_| {
            holds.pass();
            panic!("ouch")
        }),
    );
    gate.wait_for(1);
    let dies = panics(world);
    for _ in 0..=child.info().options.intensity.restarts_max {
        tell(world, &child, dies.clone());
    }
    eventually("the child is given up", || is_stopped(&child));
    // One supervisor carries out all orders, one after another: the parent's end is among those before this one.
    world.wait(world.start("other", &probe).stop("", GENEROUS)).expect("it stops");
    parent
}

#[test]
fn s2_a_parent_that_fails_when_it_is_to_end_is_restarted_once_and_forgets_why() {
    let (world, _) = World::manual();
    let gate = Gate::new();
    let _opens = Opens(Arc::clone(&gate));
    let parent = given_up_in_a_turn(&world, &gate);
    gate.open();
    eventually("it is restarted", || parent.info().restarts > 0);
    world.put(&parent, 1);
    assert_eq!((world.seen(&parent).numbers(), parent.info().restarts), (vec![1], 1));
    world.wait(parent.stop("enough", GENEROUS)).expect("it stops");
    assert_eq!(parent.info().status, Status::Stopped { reason: "enough".into() });
}

#[test]
fn spawned_children_stop_with_their_parent_before_it() {
    let world = World::new();
    let probe = world.shelve(world.probe(1));
    let parent = world.start("parent", &probe);
    tell(&world, &parent, spawns(&world, "child"));
    eventually("the child runs", || world.runtime.actor(&addr("child")).is_some());
    let mut events = world.runtime.events();
    world.wait(parent.stop("enough", GENEROUS)).expect("it stops");
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let seen = events.next_blocking(GENEROUS).expect("an event");
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        if let What::Stopped { addr, .. } = &event.what {
            gone.push(addr.clone());
        }
    }
    assert_eq!(gone, [addr("child"), addr("parent")]);
    assert!(world.runtime.actors().is_empty());
}

#[test]
fn s6_only_restarts_inside_the_period_count() {
    let (world, clock) = World::manual();
    let restarted = Arc::new(AtomicU32::new(0));
    let intensity = Intensity { restarts_max: 2, period: 5 * SECOND };
    let options = ActorOptions { intensity, ..ActorOptions::permanent() };
    let actor = world.start_with("a", &counted(&world, &restarted), options);
    let dies = panics(&world);
    for round in 1..=8 {
        tell(&world, &actor, dies.clone());
        eventually("it is restarted", || restarted.load(Ordering::SeqCst) == round);
        clock.advance(3 * SECOND);
    }
    tell(&world, &actor, dies.clone());
    eventually("two are inside the period", || restarted.load(Ordering::SeqCst) == 9);
    tell(&world, &actor, dies);
    eventually("a third is too many", || is_stopped(&actor));
    assert_eq!(restarted.load(Ordering::SeqCst), 9);
}

#[test]
fn s6_an_instance_replaced_by_an_upgrade_does_not_count() {
    let clock = teneral_runtime::ManualClock::new();
    // The test moves the clock until the hang is noticed, and no start is late by that.
    let world = World::with(clock.clone(), |config| config.start_timeout = 1_000_000_000 * SECOND);
    let intensity = Intensity { restarts_max: 0, period: 5 * SECOND };
    let options = ActorOptions { intensity, ..ActorOptions::permanent() };
    // `save` hangs: the instance is lost to the upgrade, not to the actor's own doing.
    let gate = Gate::new();
    let _opens = Opens(Arc::clone(&gate));
    let hangs = Arc::clone(&gate);
    let probe = world.probe(1).on_save(move || {
        hangs.pass();
        Ok(())
    });
    let actor = world.start_with("a", &probe.arc(), options);
    for round in 1..=3 {
        world.put(&actor, round);
        let mut paused = pause(&actor).expect("it pauses");
        std::thread::spawn(move || paused.save(1 << 20));
        gate.wait_for(round);
        eventually("it is replaced", || {
            clock.advance(SECOND);
            actor.info().restarts == u64::from(round)
        });
        assert!(world.seen(&actor).entries.is_empty(), "a new instance");
    }
}

#[test]
fn a_restart_from_the_last_snapshot_has_the_state_that_the_upgrade_saved() {
    let world = World::new();
    let options = ActorOptions { restart_state: RestartState::LastSnapshot, ..ActorOptions::permanent() };
    let actor = world.start_with("a", &world.probe(1).arc(), options);
    world.put(&actor, 1);
    upgrade(&actor, &world.probe(2).arc());
    world.put(&actor, 2);
    tell(&world, &actor, panics(&world));
    assert_eq!(world.seen(&actor).numbers(), [1], "what came after the snapshot is lost with the instance");
    assert_eq!(actor.info().version.major, 2, "the version that runs is the one that is restarted");
}

#[test]
fn i8_a_crash_report_says_what_ran_on_what_and_whose_child_it_was() {
    let world = World::new();
    let probe = world.probe(1).arc();
    world.start("parent", &probe);
    let restart_state = RestartState::LastSnapshot;
    let options = ActorOptions { parent: Some(addr("parent")), restart_state, ..ActorOptions::permanent() };
    let child = world.start_with("child", &probe, options);
    upgrade(&child, &world.probe(2).arc());
    let mut events = world.runtime.events();
    tell(&world, &child, panics(&world));
    let report = loop {
        let seen = events.next_blocking(GENEROUS).expect("an event");
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        if let What::Failed(report) = &event.what {
            break report.clone();
        }
    };
    assert_eq!((&report.addr, &report.ancestors[..]), (&addr("child"), &[addr("parent")][..]));
    assert_eq!((report.version.major, report.generation.0), (2, 1));
    assert_eq!(report.fault, panicked("told to"));
    assert_eq!(report.message.as_ref().map(|message| message.name.as_str()), Some("Do"));
    assert!(report.last_state.is_some_and(|state| state.state_bytes > 0), "{report:?}");
}
