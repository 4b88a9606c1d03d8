//! A version on probation that panics: its actor is paused with the message at hand, and whatever somebody decides
//! then, the message ends once and nobody waits for ever.

use crate::probation::*;
use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{Provider, Why};
use teneral_runtime::{
    ActorOptions, ActorRef, Begin, DeadKind, EventStream, Intensity, LeaseLost, LeaseStep, PauseRefused, Recording,
    Seen as Told, Status, StepError, What,
};
use tokio::task::JoinHandle;

type Answer = JoinHandle<Result<Log, AskError>>;

/// Panics on version 2, is remembered by any other.
fn worse(world: &World) -> Do {
    world.script(|turn| {
        if turn.by == 2 {
            return Err(panicked("not this one"));
        }
        turn.put(7, 7);
        turn.reply()
    })
}

/// An ask that nobody has answered yet.
fn ask(world: &World, actor: &ActorRef, request: Do) -> Answer {
    let actor = actor.clone();
    world.spawn(async move { actor.ask(request, GENEROUS).await })
}

fn answered(world: &World, answer: Answer) -> Result<Log, AskError> {
    world.wait(answer).expect("it ends")
}

fn panics() -> Result<Log, AskError> {
    Err(AskError::Panicked("not this one".to_owned()))
}

/// What is told until `last`.
fn told(events: &mut EventStream, last: fn(&What) -> bool) -> Vec<What> {
    let mut all = Vec::new();
    loop {
        let seen = events.next_blocking(GENEROUS).expect("an event");
        let Told::Event(event) = seen else { panic!("{seen:?}") };
        all.push(event.what.clone());
        if last(&event.what) {
            return all;
        }
    }
}

#[test]
fn f38_the_message_that_a_version_on_probation_panics_on_is_handled_first_by_the_version_before() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 1);
    // All of it comes in one batch.
    let gate = busy(&world, &actor);
    let _opens = Opens(gate.clone());
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    let answer = ask(&world, &actor, worse(&world));
    eventually("it waits", || actor.info().queued_messages == 2);
    (3..=9).for_each(|number| actor.try_tell(Put { sender: 1, number }).expect("there is room"));
    gate.open();
    let crashed = probation.crash();
    assert!(crashed.reason.contains("not this one") && crashed.pause.is_wreck(), "{crashed:?}");
    assert_eq!(actor.info().status, Status::Paused { owner: "up-1".to_owned() });
    assert_eq!(actor.info().queued_messages, 7);
    actor.try_tell(Put { sender: 1, number: 10 }).expect("there is room");
    probation.replay(crashed.pause);
    assert_eq!(answered(&world, answer).expect("it is answered").of(7), [7]);
    let log = world.seen(&actor);
    assert_eq!(log.numbers(), [1, 2, 7, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(log.entries.iter().all(|entry| entry.by == 1), "{log:?}");
    assert_eq!((actor.info().restarts, world.runtime.dead_letters().total()), (0, 0));
}

#[test]
fn s19_a_crash_on_probation_names_the_upgrade_and_is_told_once() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    let mut events = world.runtime.events();
    actor.try_tell(worse(&world)).expect("there is room");
    drop(probation.crash());
    let told = told(&mut events, |what| matches!(what, What::Restarted { .. }));
    let upgrades: Vec<_> = told
        .iter()
        .filter_map(|what| match what {
            What::Failed(report) => Some(report.upgrade.as_deref()),
            _ => None,
        })
        .collect();
    assert_eq!(upgrades, [Some("up-1")]);
    assert_eq!(told.iter().filter(|what| matches!(what, What::Suspended { .. })).count(), 1, "{told:?}");
}

#[test]
fn s19_a_first_turn_that_fails_on_probation_is_somebodys_to_decide_too() {
    for panics in [true, false] {
        let world = World::new();
        let starts = move |_: Why, turn: &mut Turn<'_>| match turn.by {
            2 if panics => Err(panicked("not here")),
            2 => Err(failed("not here")),
            _ => Ok(()),
        };
        let (old, new) = (world.probe(1).arc(), world.probe(2).on_started(starts).arc());
        let actor = world.start("a", &old);
        world.put(&actor, 1);
        let probation = Probation::begin(&actor, &old, &new);
        let crashed = probation.crash();
        assert_eq!((crashed.reason.as_str(), crashed.pause.is_wreck()), ("not here", true));
        actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
        probation.replay(crashed.pause);
        assert_eq!(world.seen(&actor).numbers(), [1, 2]);
        assert_eq!((actor.info().restarts, world.runtime.dead_letters().total()), (0, 0));
    }
}

#[test]
fn s6_a_crash_on_probation_that_is_rolled_back_is_no_restart() {
    let world = World::new();
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    let intensity = Intensity { restarts_max: 0, period: GENEROUS };
    let actor = world.start_with("a", &old, ActorOptions { intensity, ..ActorOptions::permanent() });
    let worse = worse(&world);
    for round in 1..=5 {
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(worse.clone()).expect("there is room");
        let crashed = probation.crash();
        probation.replay(crashed.pause);
        assert_eq!(world.seen(&actor).of(7).len(), round);
    }
    assert_eq!((actor.info().restarts, actor.info().status), (0, Status::Running));
}

/// Whatever ends the pause of a wreck without another instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Dropped,
    Aborted,
    Cancelled,
    Overdue,
    Stopped,
    ParentFails,
    Shutdown,
    /// The record is out when the pause is lost.
    LostAtWork,
}

impl Fate {
    const ALL: [Self; 8] = [
        Self::Dropped,
        Self::Aborted,
        Self::Cancelled,
        Self::Overdue,
        Self::Stopped,
        Self::ParentFails,
        Self::Shutdown,
        Self::LostAtWork,
    ];

    /// Whether the actor is there afterwards.
    fn survives(self) -> bool {
        !matches!(self, Self::Stopped | Self::ParentFails | Self::Shutdown)
    }
}

#[test]
fn s19_a_crash_that_nobody_takes_over_ends_its_message_once_whatever_becomes_of_the_pause() {
    for fate in Fate::ALL {
        for asked in [true, false] {
            crash(fate, asked);
        }
    }
}

fn crash(fate: Fate, asked: bool) {
    let world = World::new();
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    let parent = world.start("parent", &old);
    let options = ActorOptions { parent: Some(addr("parent")), ..ActorOptions::permanent() };
    let actor = world.start_with("a", &old, options);
    let probation = Probation::begin(&actor, &old, &new);
    let request = worse(&world);
    let answer = asked.then(|| ask(&world, &actor, request.clone()));
    if !asked {
        actor.try_tell(request).expect("there is room");
    }
    let mut pause = probation.crash().pause;
    actor.try_tell(Put { sender: 1, number: 1 }).expect("there is room");
    match fate {
        Fate::Dropped => drop(pause),
        Fate::Aborted => drop(pause.abort().expect_err("it cannot go on")),
        Fate::Cancelled => {
            actor.cancel_pause("operator");
            let lost = StepError::Lost(LeaseLost::Cancelled { by: "operator".to_owned() });
            assert_eq!(pause.save(1 << 20), Err(lost));
        }
        Fate::Overdue => {
            let limit = Duration::from_millis(1);
            pause.limit(limit);
            eventually("its time is over", || pause.cancelled().is_some());
            assert_eq!(pause.cancelled(), Some(LeaseLost::Overdue { max_pause: limit }));
        }
        Fate::Stopped => world.wait(actor.stop("", GENEROUS)).expect("it stops"),
        Fate::ParentFails => {
            parent.try_tell(world.script(|_| Err(panicked("told to")))).expect("there is room");
            eventually("its child is stopped", || is_stopped(&actor));
        }
        Fate::Shutdown => world.wait(world.runtime.shutdown(GENEROUS)),
        Fate::LostAtWork => {
            let recorded = pause.take_record().expect("it is paused").expect("it was recorded");
            let replayed = probation.try_replay(&mut pause, &recorded).expect("it can be done anew");
            actor.cancel_pause("operator");
            eventually("it is restarted", || actor.info().restarts == 1);
            let lost = pause.commit_replayed(replayed, Some(recorded), old.clone(), || {});
            assert!(matches!(lost, Err(LeaseLost::Cancelled { .. })), "{lost:?}");
        }
    }
    if let Some(answer) = answer {
        assert_eq!(answered(&world, answer), panics(), "{fate:?}");
    }
    let parents = u64::from(fate == Fate::ParentFails);
    eventually("it is a dead letter", || letters(&world, DeadKind::Panicked) == 1 + parents);
    if fate.survives() {
        eventually("it is restarted", || actor.info().restarts == 1);
        assert_eq!(settled(&world, &actor).numbers(), [1], "{fate:?}");
    }
    let stopped = u64::from(!fate.survives());
    eventually("so is what waited, if it was stopped", || letters(&world, DeadKind::Stopped) == stopped);
    assert_eq!(world.runtime.dead_letters().total(), 1 + parents + stopped);
}

#[test]
fn f38_whoever_asks_for_a_pause_as_a_version_on_probation_panics_is_told_who_has_it() {
    for orders in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let gate = Gate::new();
        let _opens = Opens(gate.clone());
        let passes = gate.clone();
        let worse = world.script(move |turn| {
            if turn.by == 2 {
                passes.pass();
                return Err(panicked("not this one"));
            }
            turn.put(7, 7);
            turn.reply()
        });
        let probation = Probation::begin(&actor, &old, &new);
        let answer = ask(&world, &actor, worse);
        gate.wait_for(1);
        let other = actor.clone();
        let waits = thread::spawn(move || match orders {
            true => other.restart(Begin::State).map_err(|fault| fault.text),
            false => match pause(&other) {
                Err(PauseRefused::Held { owner }) => Err(PauseRefused::Held { owner }.to_string()),
                other => panic!("{other:?}"),
            },
        });
        eventually("it has asked", || matches!(actor.info().status, Status::Paused { .. }));
        gate.open();
        let crashed = probation.crash();
        assert_eq!(waits.join().expect("it ends"), Err("held by up-1".to_owned()));
        probation.replay(crashed.pause);
        assert_eq!(answered(&world, answer).expect("it is answered").of(7), [7]);
        assert_eq!(world.runtime.dead_letters().total(), 0);
    }
}

#[test]
fn s19_a_wreck_is_not_restarted_by_order_and_takes_messages_while_it_waits() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(worse(&world)).expect("there is room");
    let mut crashed = probation.crash();
    let denied = actor.restart(Begin::State).expect_err("somebody decides already");
    assert_eq!(denied.text, "held by up-1");
    assert!(matches!(crashed.pause.save(1 << 20), Err(StepError::Fault(_))), "there is no state any more");
    assert!(world.wait(actor.state(GENEROUS)).is_err());
    actor.try_tell(Put { sender: 1, number: 1 }).expect("there is room");
    probation.replay(crashed.pause);
    assert_eq!(world.seen(&actor).numbers(), [7, 1]);
}

#[test]
fn f38_a_failed_try_leaves_a_wreck_and_its_message_for_the_next_one() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let bad = Arc::new(AtomicBool::new(true));
    let is_bad = bad.clone();
    let spoils = world.script(move |turn| match turn.by {
        1 if is_bad.load(Ordering::Relaxed) => Err(panicked("nor this")),
        _ => Ok(()),
    });
    let probation = Probation::begin(&actor, &old, &new);
    world.wait(actor.tell(spoils)).expect("it is accepted");
    let answer = ask(&world, &actor, worse(&world));
    let mut pause = probation.crash().pause;
    let recorded = pause.take_record().expect("it is paused").expect("it was recorded");
    probation.try_replay(&mut pause, &recorded).expect_err("it panics");
    pause.put_record(recorded).expect("it is paused");
    assert!(!answer.is_finished() && pause.is_wreck());
    // An end of the recording now is the business of whoever has the pause.
    actor.end_recording("up-1");
    bad.store(false, Ordering::Relaxed);
    probation.replay(pause);
    assert_eq!(answered(&world, answer).expect("it is answered").numbers(), [7]);
}

#[test]
fn f38_a_wreck_may_be_replaced_by_a_third_version_that_is_on_probation_itself() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let third = world.probe(3).arc();
    let never = world.script(|turn| match turn.by {
        1 => {
            turn.put(8, 8);
            Ok(())
        }
        _ => Err(panicked("never")),
    });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(never.clone()).expect("there is room");
    let mut pause = probation.crash().pause;
    let state = probation.frozen.save(1 << 20).expect("it saves");
    let made = pause.make(LeaseStep::Migrate, || third.restore(1, &state)).expect("it migrates");
    let (crashed, crashes) = std::sync::mpsc::channel();
    let recording = Recording {
        owner: "up-2".to_owned(),
        messages_max: 10,
        bytes_max: 1 << 20,
        old: old.clone(),
        no_replay: None,
        slow_over: None,
        on_crash: Some(Box::new(move |crash| drop(crashed.send(crash)))),
    };
    let resumed = pause.commit_recorded(made, third, Why::Upgraded, Some(recording), || {});
    drop(resumed.expect("it commits"));
    assert_eq!(letters(&world, DeadKind::Panicked), 1, "the message of the first crash");
    actor.try_tell(never).expect("there is room");
    let probation = Probation { crashes, ..probation };
    let crashed = probation.crash();
    assert_eq!((actor.info().status, actor.info().restarts), (Status::Paused { owner: "up-2".to_owned() }, 0));
    probation.replay(crashed.pause);
    assert_eq!(world.seen(&actor).numbers(), [8]);
}

#[test]
fn s19_an_end_of_the_recording_that_races_with_a_crash_leaves_nobody_waiting() {
    let world = World::new();
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    let intensity = Intensity { restarts_max: 1000, period: GENEROUS };
    let actor = world.start_with("a", &old, ActorOptions { intensity, ..ActorOptions::permanent() });
    let worse = worse(&world);
    for round in 1..=100 {
        let probation = Probation::begin(&actor, &old, &new);
        let answer = ask(&world, &actor, worse.clone());
        if round % 2 == 0 {
            thread::yield_now();
        }
        actor.end_recording("up-1");
        // Either way: its supervisor's at once, or when whoever was called has no use for it.
        eventually("it is decided", || answer.is_finished() || probation.crashes.try_recv().is_ok());
        assert_eq!(answered(&world, answer), panics());
        eventually("it is restarted", || actor.info().restarts == round);
        assert_eq!(letters(&world, DeadKind::Panicked), round);
        // Back, with the state of the beginning.
        upgrade(&actor, &old);
    }
}
