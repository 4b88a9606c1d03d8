//! What is different about instances that live elsewhere: they may be gone, with messages in their hands, and say what
//! nobody here would.

use crate::far::{DIES, LIES};
use crate::probation::{Probation, busy, settled, two};
use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::{PauseRefused, Restart, Status};

const SECOND: Duration = Duration::from_secs(1);

/// An actor in a turn that ends when the gate opens, so that what comes meanwhile is handed over as one batch.
fn held(world: &World, restart: Restart) -> (teneral_runtime::ActorRef, Arc<Gate>) {
    let actor = world.start_with("a", &world.probe(1).arc(), options(restart));
    let gate = busy(world, &actor);
    (actor, gate)
}

#[test]
fn what_a_process_had_in_its_hands_when_it_died_is_handled_by_the_next_in_order() {
    let world = World::new();
    let (actor, gate) = held(&world, Restart::Permanent);
    let _opens = Opens(gate.clone());
    let died = AtomicBool::new(false);
    let dies = world.script(move |_| if died.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(failed(DIES)) });
    for number in 1..=5 {
        actor.try_tell(Put { sender: 1, number }).expect("there is room");
        if number == 2 {
            actor.try_tell(dies.clone()).expect("there is room");
        }
    }
    gate.open();
    eventually("it has begun anew and handled the rest", || world.seen(&actor).numbers() == [3, 4, 5]);
    assert_eq!(world.runtime.dead_letters().total(), 0, "no message is lost");
}

#[test]
fn an_asker_of_a_process_that_died_is_answered_by_the_next_one() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    let died = AtomicBool::new(false);
    let dies_once =
        world.script(move |turn| if died.swap(true, Ordering::Relaxed) { turn.reply() } else { Err(failed(DIES)) });
    world.wait(actor.ask(dies_once, GENEROUS)).expect("it is asked again");
    assert_eq!(actor.info().restarts, 1);
}

#[test]
fn a_message_that_two_processes_die_with_is_a_dead_letter_and_those_around_it_are_handled() {
    let world = World::new();
    let (actor, gate) = held(&world, Restart::Permanent);
    let _opens = Opens(gate.clone());
    let tries = Arc::new(AtomicUsize::new(0));
    let counts = tries.clone();
    let dies = world.script(move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        Err(failed(DIES))
    });
    let asked = actor.clone();
    for number in 1..=3 {
        actor.try_tell(Put { sender: 1, number }).expect("there is room");
    }
    let asks = world.spawn(async move { asked.ask(dies, GENEROUS).await });
    eventually("all wait", || actor.info().queued_messages == 4);
    for number in 4..=6 {
        actor.try_tell(Put { sender: 1, number }).expect("there is room");
    }
    gate.open();
    let error = world.wait(asks).expect("it ends").expect_err("nobody can handle it");
    assert_eq!(error, AskError::Panicked(DIES.to_owned()));
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    eventually("the rest is handled", || world.seen(&actor).numbers() == [4, 5, 6]);
    let letters = world.runtime.dead_letters().list();
    assert!(matches!(&letters[..], [letter] if letter.to == *actor.addr()), "{letters:?}");
}

#[test]
fn s19_a_process_that_dies_on_probation_is_put_down_to_the_upgrade_and_its_message_is_kept() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 1);
    let dies = world.script(|turn| {
        if turn.by == 2 {
            return Err(failed(DIES));
        }
        turn.put(7, 7);
        turn.reply()
    });
    let asked = actor.clone();
    let asks = world.spawn(async move { asked.ask(dies, GENEROUS).await });
    let crashed = probation.crash();
    assert!(crashed.reason.contains(DIES) && crashed.pause.is_wreck(), "{crashed:?}");
    assert_eq!((actor.info().panics, actor.info().restarts), (1, 0), "nobody else decides");
    probation.replay(crashed.pause);
    let log = world.wait(asks).expect("it ends").expect("the version before can");
    assert_eq!(log.numbers(), [1, 7]);
}

#[test]
fn a_stop_while_turns_are_away_lets_none_of_their_effects_out() {
    let world = World::new();
    let other = world.start("other", &world.probe(1).arc());
    let (actor, gate) = held(&world, Restart::Temporary);
    let _opens = Opens(gate.clone());
    let to = other.addr().clone();
    let tells = world.script(move |turn| turn.tell(&to, &Put { sender: 9, number: 9 }));
    actor.try_tell(tells).expect("there is room");
    let asked = actor.clone();
    let asks = world.spawn(async move { asked.ask(Seen, GENEROUS).await });
    eventually("both wait", || actor.info().queued_messages == 2);
    let stops = world.wait(actor.stop("", Duration::from_millis(1)));
    assert!(stops.is_err(), "the turn goes on: {stops:?}");
    assert_eq!(world.wait(asks).expect("it ends").expect_err("nobody handles it"), AskError::Stopped);
    gate.open();
    eventually("it is gone", || matches!(actor.info().status, Status::Stopped { .. }));
    assert!(world.seen(&other).numbers().is_empty());
}

#[test]
fn a_pause_is_not_granted_while_turns_are_away() {
    let world = World::new();
    let (actor, gate) = held(&world, Restart::Permanent);
    let _opens = Opens(gate.clone());
    let short = teneral_runtime::LeaseRequest {
        quiesce_timeout: Duration::from_millis(20),
        ..lease("x", actor.info().generation)
    };
    let refused = actor.quiesce(short).expect_err("it is not at rest");
    assert!(matches!(refused, PauseRefused::Busy { .. }), "{refused}");
    gate.open();
    world.put(&actor, 1);
    let paused = pause(&actor).expect("it is at rest");
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    assert_eq!(actor.info().queued_messages, 1);
    drop(paused);
    eventually("it goes on", || world.seen(&actor).numbers() == [1, 2]);
}

#[test]
fn a_turn_that_uses_a_number_it_was_not_given_has_no_effect() {
    let (world, clock) = World::manual();
    let actor = world.start("a", &world.probe(1).arc());
    let lies = world.script(|turn| {
        turn.put(1, 1);
        turn.tell(&addr("a"), &Put { sender: 2, number: 2 })?;
        turn.after(LIES, &Put { sender: 3, number: 3 })
    });
    let error = world.wait(actor.ask(lies, GENEROUS)).expect_err("it is refused");
    assert!(
        matches!(&error, AskError::Failed(text) if text.contains("the turn was given the numbers from")),
        "{error}"
    );
    assert_eq!(world.seen(&actor).numbers(), [1], "its state is what the handler left");
    clock.advance(LIES * 2);
    assert_eq!(settled(&world, &actor).numbers(), [1]);
}

#[test]
fn a_batch_ends_before_a_timer_that_an_earlier_turn_of_it_may_cancel() {
    let (world, clock) = World::manual();
    let actor = world.start("a", &world.probe(1).arc());
    let begun = Arc::new(parking_lot::Mutex::new(None));
    let id = begun.clone();
    let plans = world.script(move |turn| {
        let says = Put { sender: 3, number: 3 };
        *id.lock() = Some(turn.effects.after(SECOND, None, tag_of(&says), &encoded(&says))?);
        turn.reply()
    });
    world.wait(actor.ask(plans, GENEROUS)).expect("it answers");
    let gate = busy(&world, &actor);
    let _opens = Opens(gate.clone());
    let cancels = world.script(move |turn| begun.lock().map_or(Ok(()), |id| turn.effects.cancel_timer(id)));
    actor.try_tell(cancels).expect("there is room");
    clock.advance(SECOND * 2);
    eventually("the timer's message waits behind", || actor.info().queued_messages == 2);
    gate.open();
    eventually("all is handled", || actor.info().queued_messages == 0);
    assert!(world.seen(&actor).numbers().is_empty(), "it was cancelled before its turn");
}
