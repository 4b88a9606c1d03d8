//! How a runtime ends that nobody shut down: everything goes, and whoever still holds an actor is told.

use crate::support::*;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::{ActorRef, SystemClock};

const HOUR: Duration = Duration::from_secs(3600);

/// A world with an actor that has a timer and an ask in flight, both for a long time. The clock goes with the runtime
/// and the last of its threads.
fn busy_world() -> (World, ActorRef, Weak<SystemClock>) {
    let clock = SystemClock::new();
    let weak = Arc::downgrade(&clock);
    let world = World::with(clock, |_| {});
    let probe = world.probe(1).arc();
    let (actor, other) = (world.start("a", &probe), world.start("b", &probe));
    let deaf = other.addr().clone();
    other.pause("ops", HOUR).expect("paused");
    let waits = world.script(move |turn| {
        turn.after(HOUR, &Put { sender: 1, number: 1 })?;
        turn.ask(&deaf, HOUR)
    });
    world.wait(actor.tell(waits)).expect("accepted");
    eventually("the turn is over", || actor.info().handled == 1);
    (world, actor, weak)
}

#[test]
fn a_runtime_that_is_dropped_without_a_shutdown_leaves_nothing_behind() {
    let (world, actor, clock) = busy_world();
    let shelf = Arc::downgrade(&world.shelf);
    drop(actor);
    drop(world);
    assert!(shelf.upgrade().is_none(), "where code comes from is let go at once");
    eventually("threads and actors are gone", || clock.upgrade().is_none());
}

#[test]
fn an_actor_of_a_dropped_runtime_is_stopped_and_whoever_asks_it_is_told() {
    let (world, actor, clock) = busy_world();
    let other = world.runtime.actor(&addr("b")).expect("it runs");
    let answer: Arc<Mutex<Option<Result<Log, AskError>>>> = Arc::default();
    let asked = world.spawn({
        let (other, answer) = (other.clone(), answer.clone());
        async move { *answer.lock() = Some(other.ask(Seen, HOUR).await) }
    });
    eventually("the question waits", || other.info().queued_messages == 2);
    let World { runtime, waits, .. } = world;
    drop(runtime);
    waits.block_on(asked).expect("it ends");
    assert_eq!(answer.lock().take(), Some(Err(AskError::Stopped)));
    assert!(is_stopped(&actor) && is_stopped(&other));
    assert_eq!(waits.block_on(actor.ask(Seen, HOUR)), Err(AskError::Stopped));
    assert!(clock.upgrade().is_some(), "its handle still has what it reads");
    drop((actor, other));
    eventually("it goes with its last handle", || clock.upgrade().is_none());
}

#[test]
fn a_turn_that_outlives_its_runtime_keeps_nothing_of_it_open() {
    let world = World::new();
    let (gate, shelf) = (Gate::new(), Arc::downgrade(&world.shelf));
    let _opens = Opens(gate.clone());
    let hangs = world.script({
        let gate = gate.clone();
        move |_| {
            gate.pass();
            Ok(())
        }
    });
    let actor = world.start("a", &world.probe(1).arc());
    actor.try_tell(hangs).expect("there is room");
    gate.wait_for(1);
    drop(actor);
    drop(world);
    assert!(shelf.upgrade().is_none());
}
