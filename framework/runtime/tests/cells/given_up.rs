//! A turn of a version on probation that does not return: it is gone on without, its message ends once, and whatever it
//! does one day is nobody's.

use crate::probation::*;
use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{Provider, Why};
use teneral_runtime::{ActorRef, Begin, NoReplay, PauseRefused, Recording, RuntimeConfig, Status, SystemClock};

/// A world whose watchdog soon says that a turn hangs.
fn strict() -> World {
    World::with(SystemClock::new(), |config| config.hang_after = Duration::from_millis(50))
}

/// Stays inside on version 2 until the gate opens, and says then what it would have said; done at once by any other.
fn stays(world: &World, gate: &Arc<Gate>) -> Do {
    let gate = gate.clone();
    world.script(move |turn| {
        if turn.by == 2 {
            gate.pass();
        }
        turn.put(7, turn.by);
        turn.tell(&addr("other"), &Put { sender: 9, number: turn.by })?;
        turn.reply()
    })
}

fn hangs(actor: &ActorRef) {
    let digest = actor.provider().digest();
    eventually("it is said to hang", || actor.hangs() == Some(digest));
}

#[test]
fn f38_a_turn_that_hangs_on_probation_is_given_up_and_its_message_handled_first_by_the_version_before() {
    let world = strict();
    let (actor, old, new) = two(&world);
    let other = world.start("other", &world.probe(3).arc());
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 1);
    let hold = Gate::new();
    let _opens = Opens(hold.clone());
    // All of it comes in one batch.
    let gate = busy(&world, &actor);
    let _opens_too = Opens(gate.clone());
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    let (asks, request) = (actor.clone(), stays(&world, &hold));
    let answer = world.spawn(async move { asks.ask(request, GENEROUS).await });
    eventually("it waits", || actor.info().queued_messages == 2);
    (3..=5).for_each(|number| actor.try_tell(Put { sender: 1, number }).expect("there is room"));
    gate.open();
    hold.wait_for(1);
    hangs(&actor);
    let given_up = actor.give_turn_up().expect("it hangs");
    assert!(given_up.reason.starts_with("it did not return from ") && given_up.pause.is_wreck(), "{given_up:?}");
    assert_eq!((actor.hangs(), actor.info().status), (None, Status::Paused { owner: "up-1".to_owned() }));
    assert!(actor.give_turn_up().is_none(), "once");
    let counted = (actor.figures().handled, actor.info().queued_messages);
    assert_eq!(counted, (4, 3), "what was done before it is counted");
    actor.try_tell(Put { sender: 1, number: 6 }).expect("there is room");
    probation.replay(given_up.pause);
    assert_eq!(world.wait(answer).expect("it ends").expect("it is answered").of(7), [1]);
    assert_eq!(world.seen(&actor).numbers(), [1, 2, 1, 3, 4, 5, 6]);
    assert_eq!(world.seen(&other).of(9), [1]);
    // It returns one day.
    assert!(world.runtime.quarantined(new.digest()).is_some());
    hold.open();
    eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
    assert_eq!((world.seen(&actor).of(7), world.seen(&other).of(9)), (vec![1], vec![1]));
    assert_eq!((actor.info().restarts, world.runtime.dead_letters().total()), (0, 0));
    assert_eq!(actor.provider().digest(), old.digest());
}

/// A plain message among its like, whose turns are open one after the other without a copy of it.
#[test]
fn a_plain_message_that_hangs_among_others_is_taken_out_of_the_log_and_ends_once() {
    for (keep, before) in [(usize::MAX, 0), (usize::MAX, 5), (1, 0), (1, 5)] {
        let world = strict();
        let (actor, old, new) = two(&world);
        let probation = Probation::with(&actor, &old, &new, |recording| recording.messages_max = keep);
        let plain = world.script(|turn| {
            turn.put(8, turn.by);
            Ok(())
        });
        let hold = Gate::new();
        let _opens = Opens(hold.clone());
        let passes = hold.clone();
        let hang = world.script(move |turn| {
            if turn.by == 2 {
                passes.pass();
            }
            turn.put(7, turn.by);
            Ok(())
        });
        // From now on such a message is known.
        actor.try_tell(plain.clone()).expect("there is room");
        eventually("it is counted", || actor.figures().handled == 1);
        let gate = busy(&world, &actor);
        let _opens_too = Opens(gate.clone());
        let handled = actor.figures().handled;
        (0..before).for_each(|_| actor.try_tell(plain.clone()).expect("there is room"));
        actor.try_tell(hang).expect("there is room");
        actor.try_tell(plain).expect("there is room");
        gate.open();
        hold.wait_for(1);
        hangs(&actor);
        let given_up = actor.give_turn_up().expect("it hangs");
        assert_eq!(actor.figures().handled - handled, before + 1, "what was done before it is counted");
        assert_eq!(actor.info().queued_messages, 1, "what is behind it waits");
        if keep == 1 {
            probation.forget(given_up.pause);
            let seen = world.seen(&actor);
            assert_eq!((seen.of(7), seen.of(8)), (vec![1], vec![1]), "what was not kept is forgotten");
        } else {
            probation.replay(given_up.pause);
            let seen = world.seen(&actor);
            assert_eq!((seen.of(7), seen.of(8)), (vec![1], vec![1; before as usize + 2]));
        }
        hold.open();
        eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
        assert_eq!(world.seen(&actor).of(7), [1]);
        assert_eq!((actor.info().restarts, world.runtime.dead_letters().total()), (0, 0));
    }
}

#[test]
fn a_turn_that_was_given_up_and_panics_when_it_returns_concerns_nobody() {
    let world = strict();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    let hold = Gate::new();
    let _opens = Opens(hold.clone());
    let passes = hold.clone();
    let request = world.script(move |turn| {
        if turn.by == 2 {
            passes.pass();
            return Err(panicked("late"));
        }
        Ok(())
    });
    actor.try_tell(request).expect("there is room");
    hold.wait_for(1);
    hangs(&actor);
    let given_up = actor.give_turn_up().expect("it hangs");
    let (tally, _) = probation.forget(given_up.pause);
    assert_eq!(tally.turns, 0);
    hold.open();
    eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
    world.put(&actor, 1);
    assert_eq!(world.seen(&actor).numbers(), [1]);
    assert_eq!((actor.info().restarts, world.runtime.dead_letters().total()), (0, 0));
}

#[test]
fn what_a_given_up_turn_draws_when_it_returns_is_nothing_to_a_later_probation() {
    let world = strict();
    let (actor, old, new) = two(&world);
    let bounded = |recording: &mut Recording| recording.bytes_max = 2500;
    let probation = Probation::with(&actor, &old, &new, bounded);
    let (hold, drawn) = (Gate::new(), Gate::new());
    let (_opens, _opens_too) = (Opens(hold.clone()), Opens(drawn.clone()));
    let (passes, says) = (hold.clone(), drawn.clone());
    let request = world.script(move |turn| {
        if turn.by == 2 {
            passes.pass();
            // More than may be kept.
            (0..1000).for_each(|_| assert_ne!(turn.effects.random(), turn.effects.random()));
            says.pass();
        }
        Ok(())
    });
    actor.try_tell(request).expect("there is room");
    hold.wait_for(1);
    hangs(&actor);
    let given_up = actor.give_turn_up().expect("it hangs");
    probation.forget(given_up.pause);
    let third = world.probe(3).arc();
    let later = Probation::with(&actor, &old, &third, bounded);
    world.put(&actor, 1);
    hold.open();
    drawn.wait_for(1);
    let recorded = actor.recorded().expect("it is on probation");
    assert_eq!(recorded.no_replay, None, "its log is its own");
    drawn.open();
    drop(later);
}

#[test]
fn only_a_turn_on_probation_that_is_said_to_hang_is_given_up() {
    for blocking in [false, true] {
        let world = strict();
        let (old, new) = (world.probe(1).arc(), world.probe(2));
        let new = if blocking { new.blocking() } else { new }.arc();
        let actor = world.start("a", &old);
        let probation = Probation::begin(&actor, &old, &new);
        assert!(actor.give_turn_up().is_none(), "it is idle");
        let hold = Gate::new();
        let _opens = Opens(hold.clone());
        let request = stays(&world, &hold);
        actor.try_tell(request).expect("there is room");
        hold.wait_for(1);
        hangs(&actor);
        if blocking {
            assert!(actor.give_turn_up().is_none(), "how long it takes is its own affair");
        }
        hold.open();
        eventually("it has returned", || actor.hangs().is_none());
        assert!(actor.give_turn_up().is_none(), "it is over");
        assert_eq!(world.seen(&actor).of(7), [2]);
        drop(probation);
    }
    // Of who is on no probation there is nothing to go on with.
    let world = strict();
    let actor = world.start("a", &world.probe(2).arc());
    let hold = Gate::new();
    let _opens = Opens(hold.clone());
    actor.try_tell(stays(&world, &hold)).expect("there is room");
    hold.wait_for(1);
    hangs(&actor);
    assert!(actor.give_turn_up().is_none());
}

#[test]
fn a_first_turn_and_a_copy_of_the_state_that_hang_on_probation_are_given_up_as_well() {
    for first in [true, false] {
        let world = strict();
        let (hold, hangs_now) = (Gate::new(), Arc::new(AtomicBool::new(first)));
        let _opens = Opens(hold.clone());
        let pass = {
            let (hold, hangs_now) = (hold.clone(), hangs_now.clone());
            move || {
                if hangs_now.load(Ordering::Relaxed) {
                    hold.pass();
                }
                Ok(())
            }
        };
        let new = world.probe(2);
        let new = if first { new.on_started(move |_: Why, _: &mut Turn<'_>| pass()) } else { new.on_save(pass) };
        let (old, new) = (world.probe(1).arc(), new.arc());
        let actor = world.start("a", &old);
        let probation = Probation::begin(&actor, &old, &new);
        hangs_now.store(true, Ordering::Relaxed);
        let reads = (!first).then(|| {
            let reads = actor.clone();
            world.spawn(async move { reads.state(GENEROUS).await })
        });
        hold.wait_for(1);
        hangs(&actor);
        let given_up = actor.give_turn_up().expect("it hangs");
        actor.try_tell(Put { sender: 1, number: 1 }).expect("there is room");
        probation.replay(given_up.pause);
        assert_eq!(world.seen(&actor).numbers(), [1]);
        hold.open();
        if let Some(reads) = reads {
            world.wait(reads).expect("it ends").expect_err("whoever wanted the state is told");
        }
        eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
        world.put(&actor, 2);
        assert_eq!(world.seen(&actor).numbers(), [1, 2]);
    }
}

/// On the same probation as that one, and in the middle of a turn when that one returns.
#[test]
fn what_hung_takes_nothing_from_the_instance_that_was_made_in_its_place() {
    for saves in [true, false] {
        let world = World::with(SystemClock::new(), |config| {
            (config.hang_after, config.start_timeout) = (Duration::from_millis(50), Duration::from_millis(500));
        });
        let (hold, hangs_now, drops) = (Gate::new(), Arc::new(AtomicBool::new(saves)), Gate::new());
        let _opens = Opens(hold.clone());
        drops.open();
        let (holds, hung, dropped) = (hold.clone(), hangs_now.clone(), drops.clone());
        let new = world.probe(2).on_drop(move || dropped.pass()).on_save(move || {
            if hung.swap(false, Ordering::Relaxed) {
                holds.pass();
            }
            Ok(())
        });
        let (old, new) = (world.probe(1).arc(), new.arc());
        let actor = world.start("a", &old);
        let probation = Probation::begin(&actor, &old, &new);
        if saves {
            let reads = actor.clone();
            drop(world.spawn(async move { reads.state(GENEROUS).await }));
            hold.wait_for(1);
            eventually("it is restarted", || actor.restart(Begin::Args).is_ok());
        } else {
            actor.try_tell(stays(&world, &hold)).expect("there is room");
            hold.wait_for(1);
            hangs(&actor);
            drop(actor.give_turn_up().expect("it hangs"));
            eventually("it is restarted", || actor.info().restarts == 1);
        }
        let inside = Gate::new();
        let _opens_too = Opens(inside.clone());
        let passes = inside.clone();
        let at_work = world.script(move |turn| {
            passes.pass();
            turn.put(7, turn.by);
            Ok(())
        });
        // The second time it is a plain message of a kind that was seen before.
        (0..2).for_each(|_| actor.try_tell(at_work.clone()).expect("there is room"));
        inside.wait_for(1);
        hold.open();
        drops.wait_for(1);
        actor.try_tell(Put { sender: 1, number: 1 }).expect("there is room");
        inside.open();
        let seen = world.seen(&actor);
        assert_eq!((seen.of(7), seen.numbers().len()), (vec![2, 2], 3), "each once, by the one in its place");
        assert_eq!(world.runtime.dead_letters().total(), u64::from(!saves), "what it hung in");
        drop(probation);
    }
}

#[test]
fn whoever_waits_for_a_pause_of_a_turn_that_is_given_up_is_told_who_has_it() {
    let world = strict();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    let hold = Gate::new();
    let _opens = Opens(hold.clone());
    actor.try_tell(stays(&world, &hold)).expect("there is room");
    hold.wait_for(1);
    let waits = actor.ask_pause(lease("test", actor.info().generation)).expect("nobody has it");
    hangs(&actor);
    let given_up = actor.give_turn_up().expect("it hangs");
    assert_eq!(waits.wait().expect_err("it is somebody's"), PauseRefused::Held { owner: "up-1".to_owned() });
    probation.forget(given_up.pause);
    assert_eq!(world.seen(&actor).of(7), [1]);
}

#[test]
fn a_given_up_turn_that_nobody_takes_over_is_its_supervisors_and_its_message_ends_once() {
    for stops in [false, true] {
        let world = strict();
        let (actor, old, new) = two(&world);
        let probation = Probation::begin(&actor, &old, &new);
        let hold = Gate::new();
        let _opens = Opens(hold.clone());
        let (asks, request) = (actor.clone(), stays(&world, &hold));
        let answer = world.spawn(async move { asks.ask(request, GENEROUS).await });
        hold.wait_for(1);
        hangs(&actor);
        let given_up = actor.give_turn_up().expect("it hangs");
        if stops {
            world.wait(actor.stop("", GENEROUS)).expect("it stops");
        } else {
            drop(given_up);
            eventually("it is restarted", || actor.info().restarts == 1);
        }
        let answered = world.wait(answer).expect("it ends");
        assert!(matches!(&answered, Err(AskError::Panicked(why)) if why.contains("not return")), "{answered:?}");
        eventually("it is one dead letter", || world.runtime.dead_letters().total() == 1);
        hold.open();
        eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
        assert_eq!(world.runtime.dead_letters().total(), 1);
        drop(probation);
    }
}

#[test]
fn an_instance_that_is_made_anew_on_probation_is_given_up_as_well_when_it_hangs() {
    for by_order in [true, false] {
        let world = strict();
        let (actor, old, new) = two(&world);
        let probation = Probation::with(&actor, &old, &new, |recording| recording.on_crash = None);
        if by_order {
            actor.restart(Begin::State).expect("it begins again");
        } else {
            world.put(&actor, 4);
            actor.try_tell(world.script(|_| Err(panicked("once")))).expect("there is room");
            eventually("it is restarted", || actor.info().restarts == 1);
        }
        let hold = Gate::new();
        let _opens = Opens(hold.clone());
        actor.try_tell(stays(&world, &hold)).expect("there is room");
        hold.wait_for(1);
        hangs(&actor);
        let given_up = actor.give_turn_up().expect("it hangs");
        assert_eq!(actor.recorded().expect("it is on probation").no_replay, Some(NoReplay::Restarted));
        probation.forget(given_up.pause);
        assert_eq!(world.seen(&actor).of(7), [1]);
        hold.open();
        eventually("it has returned", || world.runtime.quarantined(new.digest()).is_none());
        assert_eq!(world.seen(&actor).of(7), [1]);
    }
}

#[test]
fn threads_of_turns_that_were_given_up_are_replaced_and_end_when_those_return() {
    let config = |config: &mut RuntimeConfig| {
        config.hang_after = Duration::from_millis(50);
        (config.threads, config.threads_max) = (1, 2);
    };
    let world = World::with(SystemClock::new(), config);
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    let hold = Gate::new();
    let _opens = Opens(hold.clone());
    let request = stays(&world, &hold);
    for (number, name) in [(1, "a"), (2, "b")] {
        let actor = world.start(name, &old);
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(request.clone()).expect("there is room");
        hold.wait_for(number);
        hangs(&actor);
        let given_up = actor.give_turn_up().expect("it hangs");
        probation.forget(given_up.pause);
        eventually("its thread is counted out", || world.runtime.threads_lost() == number as usize);
    }
    // Both threads that there may be are gone for now; what is told to anybody is handled all the same.
    let third = world.start("c", &old);
    world.put(&third, 1);
    assert_eq!(world.seen(&third).numbers(), [1]);
    hold.open();
    eventually("they have returned", || world.runtime.threads_lost() == 0);
    world.put(&third, 2);
    assert_eq!(world.seen(&third).numbers(), [1, 2]);
}
