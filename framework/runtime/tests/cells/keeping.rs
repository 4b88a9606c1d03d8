//! What is kept of a version on probation: as much as was allowed, all of it or nothing, and for as long as somebody
//! wants it; and what a failed try leaves.

use crate::far::FAR;
use crate::probation::*;
use crate::support::*;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use teneral_contract::{AskError, Fingerprint, Wire};
use teneral_runtime::ports::Why;
use teneral_runtime::{Begin, DeadKind, LeaseLost, LeaseStep, NoReplay, ReplayError, Replayed, SystemClock};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn f38_past_a_bound_nothing_is_kept_and_the_actor_goes_on() {
    for (messages_max, bytes_max) in [(10, 1 << 20), (1000, 2000)] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let probation = Probation::with(&actor, &old, &new, |recording| {
            (recording.messages_max, recording.bytes_max) = (messages_max, bytes_max);
        });
        world.put(&actor, 1);
        let seen = || actor.recorded().map(|seen| (seen.messages, seen.no_replay));
        // Kept when the turn is over, which an answer does not wait for.
        eventually("both are kept", || seen() == Some((2, None)));
        (2..=20).for_each(|number| world.put(&actor, number));
        let bound = NoReplay::Bound { messages_max, bytes_max };
        eventually("it is past the bound", || seen() == Some((0, Some(bound.clone()))));
        assert_eq!(actor.recorded().map(|seen| seen.bytes), Some(0));
        let mut paused = probation.pause();
        let recorded = paused.take_record().expect("it is paused").expect("there is a record");
        assert_eq!((recorded.turns(), recorded.no_replay()), (0, Some(bound.clone())));
        let refused = probation.try_replay(&mut paused, &recorded).expect_err("not all of it is there");
        assert_eq!(refused, ReplayError::NotKept(bound));
        paused.put_record(recorded).expect("it is paused");
        drop(paused);
        assert_eq!(world.seen(&actor).numbers(), (1..=20).collect::<Vec<_>>(), "as before");
    }
}

#[test]
fn what_a_holder_lends_comes_back_whenever_the_pause_ends() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    world.put(&actor, 1);
    let probation = Probation::begin(&actor, &old, &new);
    let mut paused = probation.pause();
    let at_work = paused.lend(LeaseStep::Restore, probation.frozen, |frozen| {
        actor.cancel_pause("operator");
        frozen
    });
    let frozen = at_work.unwrap_or_else(|(_, lost)| panic!("it was lent: {lost}"));
    let too_late = paused.lend(LeaseStep::Restore, frozen, |_| panic!("nothing is done any more"));
    let Err((frozen, lost)) = too_late.map(|()| "done") else { panic!("the pause is over") };
    assert_eq!(lost, LeaseLost::Cancelled { by: "operator".to_owned() });
    assert_eq!(log_of(&frozen.save(1 << 20).expect("it saves")).numbers(), [1]);
}

#[test]
fn f38_more_random_numbers_than_may_be_kept_are_not_kept_while_they_are_drawn() {
    for messages in [0, 10] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (looks, looked) = (actor.clone(), seen.clone());
        let draws = world.script(move |turn| {
            for _ in 0..2 {
                let drawn: Vec<_> = (0..200).map(|_| turn.effects.random()).collect();
                assert_eq!(drawn.len(), 200);
                looked.lock().push(looks.recorded().and_then(|seen| seen.no_replay));
            }
            Ok(())
        });
        let (messages_max, bytes_max) = (1000, 2500);
        let probation = Probation::with(&actor, &old, &new, |recording| recording.bytes_max = bytes_max);
        (0..messages).for_each(|number| actor.try_tell(Put { sender: 1, number }).expect("there is room"));
        world.wait(actor.tell(draws)).expect("it is accepted");
        world.seen(&actor);
        let bound = NoReplay::Bound { messages_max, bytes_max };
        // What a turn elsewhere draws is known when it is back.
        assert_eq!(*seen.lock(), [None, (!FAR).then(|| bound.clone())]);
        let mut paused = probation.pause();
        let recorded = paused.take_record().expect("it is paused").expect("there is a record");
        assert_eq!((recorded.turns(), recorded.no_replay()), (0, Some(bound)));
    }
}

#[test]
fn f38_whoever_goes_back_to_the_commit_has_its_plans_and_asks_of_then_also_when_nothing_was_kept() {
    for no_replay in [None, Some(NoReplay::NotDeterministic)] {
        let (world, clock) = World::manual();
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let gate = busy(&world, &other);
        let _opens = Opens(gate.clone());
        let (first, second) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
        let id = first.clone();
        let plans = world.script(move |turn| {
            let says = Put { sender: 2, number: turn.by };
            if second.swap(true, Ordering::Relaxed) {
                turn.effects.cancel_timer(teneral_runtime::ports::TimerId(id.load(Ordering::Relaxed) as u64))?;
            }
            let begun = turn.effects.after(SECOND * 5, None, tag_of(&says), &encoded(&says))?;
            id.store(begun.0 as usize, Ordering::Relaxed);
            ask_then(turn, "other", &Put { sender: 3, number: turn.by })
        });
        world.wait(actor.tell(plans.clone())).expect("it is accepted");
        world.seen(&actor);
        let keeps = no_replay.is_none();
        let probation = Probation::with(&actor, &old, &new, |recording| recording.no_replay = no_replay);
        world.wait(actor.tell(plans)).expect("it is accepted");
        world.put(&actor, 7);
        let paused = probation.pause();
        let (tally, _) = probation.forget(paused);
        assert_eq!((tally.turns, tally.skipped), if keeps { (3, 3) } else { (0, 0) });
        assert_eq!((tally.matched, tally.unsaid), (0, if keeps { 2 } else { 0 }), "an ask and a reply");
        clock.advance(SECOND * 6);
        gate.open();
        eventually("what it asked for comes", || world.seen(&actor).of(3) == [1]);
        world.seen(&other);
        assert_eq!(settled(&world, &actor).of(2), [1], "its own timer, which was cancelled on probation");
        assert!(world.seen(&actor).of(1).is_empty());
        assert_eq!(letters(&world, DeadKind::RolledBack), 2, "a timer and what was to come of an ask");
    }
}

#[test]
fn f38_who_waits_for_a_reply_to_what_is_given_up_hears_that_none_comes() {
    for no_replay in [None, Some(NoReplay::NotDeterministic)] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let parked = Arc::new(Mutex::new(Vec::new()));
        let keeps = parked.clone();
        let parks = world.script(move |turn| {
            keeps.lock().extend(turn.call.waiting.map(|waiting| waiting.call));
            Ok(())
        });
        let ask = || {
            let (asked, parks) = (actor.clone(), parks.clone());
            world.spawn(async move { asked.ask(parks, GENEROUS).await })
        };
        let before = ask();
        eventually("it is parked", || actor.info().handled == 1);
        let probation = Probation::with(&actor, &old, &new, |recording| recording.no_replay = no_replay);
        let since = ask();
        eventually("it is parked", || actor.figures().handled == 1);
        let paused = probation.pause();
        probation.forget(paused);
        assert_eq!(world.wait(since).expect("it ends"), Err(AskError::NoReply));
        let replies = parked.lock()[0];
        let replies = world.script(move |turn| turn.reply_to(replies));
        actor.try_tell(replies).expect("there is room");
        assert!(world.wait(before).expect("it ends").is_ok(), "who waited before waits on");
    }
}

#[test]
fn f38_a_message_that_the_version_before_does_not_know_is_no_hindrance_until_it_is_handled() {
    let world = World::new();
    let old = world.probe(1).contract(|messages| messages.retain(|message| message.name != Put::NAME)).arc();
    let new = world.probe(2).arc();
    let actor = world.start("a", &old);
    // The new version says to itself what the one before does not know: that is its own affair.
    let tells = world.script(|turn| {
        if turn.by == 2 {
            turn.after(Duration::ZERO, &Put { sender: 2, number: 2 })?;
            return tell_me(turn, 2, 2);
        }
        turn.put(2, 1);
        Ok(())
    });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(tells.clone()).expect("there is room");
    eventually("it hears itself", || world.seen(&actor).of(2) == [2, 2]);
    assert_eq!(actor.recorded().and_then(|seen| seen.no_replay), None);
    let (tally, _) = probation.back();
    assert_eq!((tally.skipped, world.seen(&actor).of(2)), (2, vec![1]));
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 1);
    let pathless = NoReplay::Pathless { message: Put::NAME.to_owned() };
    assert_eq!(actor.recorded().and_then(|seen| seen.no_replay), Some(pathless.clone()));
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("there is a record");
    assert_eq!(probation.try_replay(&mut paused, &recorded).err(), Some(ReplayError::NotKept(pathless)));
}

#[test]
fn f38_doing_the_work_anew_has_a_budget_of_its_own() {
    let (world, clock) = World::manual();
    let (actor, old, new) = two(&world);
    let slow = world.script(move |turn| {
        if turn.by == 1 {
            clock.advance(SECOND * 11);
        }
        Ok(())
    });
    let probation = Probation::begin(&actor, &old, &new);
    (0..5).for_each(|_| actor.try_tell(slow.clone()).expect("there is room"));
    eventually("all is handled", || actor.figures().handled == 5);
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
    let late = probation.try_replay(&mut paused, &recorded).expect_err("it takes too long");
    assert_eq!(late, ReplayError::Budget { done: 2, of: 5, budget: SECOND * 20 });
    paused.put_record(recorded).expect("it is paused");
    assert_eq!(actor.recorded().map(|seen| (seen.messages, seen.no_replay)), Some((5, None)));
}

#[test]
fn f38_a_version_before_that_wants_more_sent_than_may_be_kept_is_not_gone_back_to() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let floods = world.script(|turn| match turn.by {
        1 => (0..10).try_for_each(|_| turn.effects.tell(addr("other"), Put::tag(), &[7; 64 << 10])),
        _ => Ok(()),
    });
    let probation = Probation::begin(&actor, &old, &new);
    for floods in [floods.clone(), floods] {
        world.wait(actor.tell(floods)).expect("it is accepted");
    }
    world.put(&actor, 1);
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
    let error = probation.try_replay(&mut paused, &recorded).expect_err("it is too much");
    assert_eq!(error, ReplayError::TooMuch { bytes_max: 1 << 20 });
    paused.put_record(recorded).expect("it is paused");
    assert_eq!(actor.recorded().map(|seen| (seen.messages, seen.no_replay)), Some((4, None)));
    drop(paused);
    assert_eq!((world.seen(&actor).numbers(), world.runtime.dead_letters().total()), (vec![1], 0));
}

#[test]
fn f38_a_turn_that_is_done_anew_has_the_bounds_of_one_that_is_live() {
    let world = World::with(SystemClock::new(), |config| {
        (config.timers_max, config.asks_in_flight_max, config.mailbox_messages_max) = (3, 2, 4);
    });
    let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
    let tries = |by_all: bool| {
        let hour = SECOND * 3600;
        world.script(move |turn| {
            if turn.by == 2 && !by_all {
                return Ok(());
            }
            let word = Put { sender: 9, number: 9 };
            let timers = (0..9).take_while(|_| turn.after(hour, &word).is_ok()).count();
            let asks = (0..9).take_while(|_| turn.ask(&addr("nobody"), hour).is_ok()).count();
            let words = (0..99).take_while(|_| tell_me(turn, 9, 9).is_ok()).count();
            let wrong = turn.call.waiting.map(|waiting| turn.effects.reply(waiting.call, Fingerprint(9), &[]).is_ok());
            for (kind, number) in [(2, timers), (3, asks), (4, words), (5, usize::from(wrong == Some(true)))] {
                turn.put(kind, number as u32);
            }
            turn.reply()
        })
    };
    let bounds = |log: &Log| [log.of(2), log.of(3), log.of(4), log.of(5)];
    if !FAR {
        // A turn elsewhere hears of its bounds when it is back.
        let live = world.start("live", &old);
        let log = world.wait(live.ask(tries(true), GENEROUS)).expect("it answers");
        assert_eq!(bounds(&log), [[3], [2], [8], [0]]);
    }
    let actor = world.start("a", &old);
    let probation = Probation::begin(&actor, &old, &new);
    let asked = actor.clone();
    let tries = tries(false);
    let answer = world.spawn(async move { asked.ask(tries, GENEROUS).await });
    eventually("it is parked", || actor.figures().handled == 1);
    let (_, held) = probation.back();
    let again = world.wait(answer).expect("it ends").expect("it is answered");
    // An ask that is held is none that is in flight.
    assert_eq!((bounds(&again), held.len()), ([vec![3], vec![9], vec![8], vec![0]], 9));
}

#[test]
fn f38_a_version_before_that_panics_when_it_does_the_work_anew_spoils_nothing() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let fails = Arc::new(AtomicBool::new(true));
    let again = fails.clone();
    let worse = world.script(move |turn| match turn.by {
        1 if again.load(Ordering::Relaxed) => Err(panicked("once more")),
        by => {
            turn.put(2, by);
            Ok(())
        }
    });
    world.put(&actor, 1);
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 2);
    world.wait(actor.tell(worse)).expect("it is accepted");
    world.put(&actor, 3);
    let frozen = probation.frozen.save(1 << 20).expect("it saves");
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
    let error = probation.try_replay(&mut paused, &recorded).expect_err("it panics");
    let expected = ReplayError::Panicked { message: Do::NAME.to_owned(), number: 3, text: "once more".to_owned() };
    assert_eq!(error, expected);
    paused.put_record(recorded).expect("it is paused");
    assert_eq!(probation.frozen.save(1 << 20).expect("it saves"), frozen);
    drop(paused);
    // The new version serves on, and what it is told is kept as before.
    world.put(&actor, 4);
    assert_eq!(world.seen(&actor).numbers(), [1, 2, 2, 3, 4]);
    fails.store(false, Ordering::Relaxed);
    let (tally, _) = probation.back();
    assert_eq!((tally.turns, tally.failed), (8, 0));
    let log = world.seen(&actor);
    assert_eq!(log.numbers(), [1, 2, 1, 3, 4]);
    assert!(log.entries.iter().all(|entry| entry.by == 1), "{log:?}");
}

#[test]
fn f38_a_version_before_that_stops_itself_is_not_gone_back_to_unless_its_turn_fails() {
    for fails in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let stops = world.script(move |turn| {
            if turn.by == 1 {
                turn.effects.stop("enough")?;
            }
            if fails { Err(failed("after all")) } else { Ok(()) }
        });
        let probation = Probation::begin(&actor, &old, &new);
        world.wait(actor.tell(stops)).expect("it is accepted");
        world.put(&actor, 1);
        let mut paused = probation.pause();
        let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
        let done = probation.try_replay(&mut paused, &recorded);
        if fails {
            assert_eq!(done.expect("nothing of it happens").tally.failed, 1);
        } else {
            let (message, reason) = (Do::NAME.to_owned(), "enough".to_owned());
            assert_eq!(done.expect_err("it stops"), ReplayError::Stops { message, number: 1, reason });
        }
    }
}

#[test]
fn f38_a_record_that_was_taken_out_and_not_given_back_is_never_taken_for_the_whole() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let probation = Probation::begin(&actor, &old, &new);
    world.put(&actor, 1);
    let mut paused = probation.pause();
    drop(paused.take_record().expect("it is paused"));
    drop(paused);
    world.put(&actor, 2);
    assert_eq!(actor.recorded().and_then(|seen| seen.no_replay), Some(NoReplay::Lost));
    let mut paused = probation.pause();
    assert!(paused.take_record().expect("it is paused").is_none());
    let back = Replayed::of(probation.frozen);
    let resumed = paused.commit_replayed(back, None, old.clone(), || {}).expect("it commits");
    assert_eq!((resumed.generation.0, world.seen(&actor).numbers()), (2, vec![]));
    assert!(actor.recorded().is_none());
}

#[test]
fn f38_an_actor_that_began_anew_on_probation_says_so() {
    let world = World::new();
    for by_order in [true, false] {
        let key = if by_order { "ordered" } else { "crashed" };
        let (old, new) = (world.probe(1).arc(), world.probe(2).arc());
        let actor = world.start(key, &old);
        let probation = Probation::begin(&actor, &old, &new);
        world.put(&actor, 1);
        if by_order {
            actor.restart(Begin::State).expect("it restarts");
        } else {
            actor.try_tell(world.script(|_| Err(panicked("told to")))).expect("there is room");
            drop(probation.crash());
            eventually("it is restarted", || actor.info().restarts == 1);
        }
        world.put(&actor, 2);
        let seen = actor.recorded().expect("it is on probation all the same");
        assert_eq!((seen.messages, seen.no_replay), (0, Some(NoReplay::Restarted)), "{key}");
        assert!(probation.pause().take_record().expect("it is paused").is_none());
    }
}

#[test]
fn f38_whoever_goes_back_to_the_commit_has_nothing_of_a_life_that_began_anew_on_probation() {
    let (world, clock) = World::manual();
    let old = world.probe(1).arc();
    let starts = |why, turn: &mut Turn<'_>| match why {
        Why::Restarted => {
            let tick = Put { sender: 2, number: 2 };
            turn.effects.after(SECOND, Some(SECOND), tag_of(&tick), &encoded(&tick))?;
            ask_then(turn, "other", &Put { sender: 3, number: 2 })
        }
        _ => Ok(()),
    };
    let new = world.probe(2).on_started(starts).arc();
    let (actor, other) = (world.start("a", &old), world.start("other", &old));
    let gate = busy(&world, &other);
    let _opens = Opens(gate.clone());
    let plans = world.script(|turn| turn.after(SECOND * 9, &Put { sender: 2, number: turn.by }));
    world.wait(actor.tell(plans)).expect("it is accepted");
    world.seen(&actor);
    let probation = Probation::begin(&actor, &old, &new);
    actor.restart(Begin::State).expect("it restarts");
    world.seen(&actor); // By now it has planned.
    clock.advance(SECOND * 3);
    eventually("it ticks", || world.seen(&actor).of(2).contains(&2));
    let mut paused = probation.pause();
    assert!(paused.take_record().expect("it is paused").is_none());
    let (frozen, old) = (probation.frozen, probation.old);
    paused.commit_replayed(Replayed::of(frozen), None, old, || {}).expect("it commits");
    gate.open();
    world.seen(&other);
    clock.advance(SECOND * 9);
    eventually("its own timer fires", || settled(&world, &actor).of(2) == [1]);
    assert!(world.seen(&actor).of(3).is_empty());
    assert_eq!(letters(&world, DeadKind::RolledBack), 2, "a timer and what was to come of an ask");
}

#[test]
fn f38_the_end_of_a_probation_frees_what_an_idle_actor_was_told() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let kept = Arc::new(());
    let with = kept.clone();
    Probation::with(&actor, &old, &new, |recording| {
        recording.on_crash = Some(Box::new(move |crashed| drop((crashed, with))));
    });
    world.put(&actor, 1);
    assert_eq!(Arc::strong_count(&kept), 2);
    actor.end_recording("up-1");
    eventually("it is freed", || Arc::strong_count(&kept) == 1);
    assert!(actor.recorded().is_none());
    // From here on a crash is its supervisor's.
    actor.try_tell(world.script(|_| Err(panicked("told to")))).expect("there is room");
    eventually("it is restarted", || actor.info().restarts == 1);
    assert_eq!(letters(&world, DeadKind::Panicked), 1);
}

#[test]
fn f38_the_end_of_a_probation_frees_also_what_was_out_for_a_way_back_just_then() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let kept = Arc::new(());
    let with = kept.clone();
    let probation = Probation::with(&actor, &old, &new, |recording| {
        recording.on_crash = Some(Box::new(move |crashed| drop((crashed, with))));
    });
    world.put(&actor, 1);
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
    actor.end_recording("up-1");
    assert!(world.wait(actor.state(GENEROUS)).is_ok(), "whatever the system lane had is done");
    paused.put_record(recorded).expect("it is paused");
    drop(paused);
    eventually("it is freed", || Arc::strong_count(&kept) == 1);
    assert_eq!(world.seen(&actor).numbers(), [1]);
}
