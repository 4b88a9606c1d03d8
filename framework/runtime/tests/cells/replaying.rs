//! Back after the commit: the version before does the same work, nothing is sent twice, and nothing that was accepted
//! is lost.

use crate::probation::*;
use crate::support::*;
use parking_lot::Mutex;
use std::sync::Arc;
use teneral_contract::{AskError, Fingerprint};
use teneral_runtime::ports::{Body, CallId, Cause, Fault, FaultKind, Why};
use teneral_runtime::{DeadKind, HeldEffect, ReplayError};

#[test]
fn f38_what_was_handled_since_the_commit_is_handled_anew_by_the_version_before() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    world.put(&actor, 1);
    let probation = Probation::begin(&actor, &old, &new);
    (2..=40).for_each(|number| world.put(&actor, number));
    // Kept when the turn is over, which an answer does not wait for.
    let recorded = || actor.recorded().map(|seen| (seen.messages, seen.no_replay));
    eventually("two a number are kept", || recorded() == Some((78, None)));
    let paused = probation.pause();
    actor.try_tell(Put { sender: 1, number: 41 }).expect("there is room");
    let (tally, held) = probation.replay(paused);
    assert_eq!((tally.turns, tally.skipped, tally.failed, held.len()), (78, 0, 0, 0));
    let log = world.seen(&actor);
    assert_eq!(log.numbers(), (1..=41).collect::<Vec<_>>());
    assert!(log.entries.iter().all(|entry| entry.by == 1), "{log:?}");
    assert!(actor.recorded().is_none(), "the version before is on no probation");
}

#[test]
fn f38_the_version_before_sends_nothing_twice_when_it_does_the_work_anew() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let other = world.start("other", &old);
    // Both tell it; the one before tells another body, and one message more.
    let says = world.script(|turn| {
        let by = turn.by;
        turn.tell(&addr("other"), &Put { sender: 1, number: by })?;
        if by == 1 {
            turn.tell(&addr("other"), &Put { sender: 1, number: 9 })?;
        }
        turn.put(5, 5);
        turn.reply()
    });
    let probation = Probation::begin(&actor, &old, &new);
    world.wait(actor.ask(says, GENEROUS)).expect("it answers");
    let (tally, mut held) = probation.back();
    assert_eq!((tally.matched, tally.unsaid), (2, 0), "the message and the reply");
    assert_eq!(world.seen(&actor).of(5), [5]);
    assert_eq!(world.seen(&other).numbers(), [2], "as it was sent");
    let held = held.pop().filter(|_| held.is_empty()).expect("the one that was never sent");
    assert_eq!((held.kind(), held.to()), ("tell", &addr("other")));
    actor.send_held(held).expect("there is room");
    assert_eq!(world.seen(&other).numbers(), [2, 9]);
}

// ---- asks

#[test]
fn f38_an_answer_that_was_handled_on_probation_goes_to_the_continuation_of_the_version_before() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let _other = world.start("other", &old);
    let asks = world.script(|turn| ask_then(turn, "other", &Put { sender: 2, number: turn.by }));
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(asks).expect("there is room");
    eventually("the answer is handled", || world.seen(&actor).of(2) == [2]);
    let (tally, held) = probation.back();
    assert_eq!((tally.skipped, tally.unsaid, held.len()), (0, 0, 0));
    assert_eq!(world.seen(&actor).of(2), [1]);
    assert_eq!(world.runtime.dead_letters().total(), 0);
}

#[test]
fn f38_an_answer_that_is_under_way_or_waits_goes_to_the_continuation_of_the_version_before() {
    for waits in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let gate = busy(&world, &other);
        let _opens = Opens(gate.clone());
        let asks = world.script(|turn| ask_then(turn, "other", &Put { sender: 2, number: turn.by }));
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(asks).expect("there is room");
        world.seen(&actor); // By now it has asked.
        let paused = probation.pause();
        if waits {
            gate.open();
            eventually("the answer waits", || actor.info().queued_messages == 1);
        }
        assert!(probation.replay(paused).1.is_empty());
        gate.open();
        eventually("the answer comes", || world.seen(&actor).of(2) == [1]);
        assert_eq!(world.runtime.dead_letters().total(), 0);
    }
}

#[test]
fn f38_the_answer_to_an_ask_that_the_version_before_never_made_goes_nowhere_and_is_counted() {
    for waits in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let gate = busy(&world, &other);
        let _opens = Opens(gate.clone());
        let asks = world.script(|turn| match turn.by {
            2 => ask_then(turn, "other", &Put { sender: 2, number: 2 }),
            _ => Ok(()),
        });
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(asks).expect("there is room");
        world.seen(&actor);
        let paused = probation.pause();
        if waits {
            gate.open();
            eventually("the answer waits", || actor.info().queued_messages == 1);
        }
        let (tally, _) = probation.replay(paused);
        assert_eq!((tally.matched, tally.unsaid), (1, 1), "the reply to the look, and the ask");
        gate.open();
        world.seen(&other);
        assert_eq!(letters(&world, DeadKind::RolledBack), 1, "what was to come of it");
        assert_eq!(letters(&world, DeadKind::LateReply), u64::from(!waits));
        assert!(settled(&world, &actor).of(2).is_empty());
        assert!(actor.parked().iter().all(|parked| parked.place != teneral_runtime::Place::Continuation));
    }
}

#[test]
fn f38_an_ask_that_only_the_version_before_makes_is_held_and_its_answer_comes_when_somebody_sends_it() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let other = world.start("other", &old);
    let answered = world.script(|turn| {
        match turn.call.cause {
            Cause::Answer(Ok(_)) => turn.put(3, 1),
            Cause::Answer(Err(AskError::NoReply)) => turn.put(3, 2),
            _ => turn.put(3, 3),
        }
        Ok(())
    });
    let asks = world.script(move |turn| match turn.by {
        1 => (0..3).try_for_each(|_| ask_then(turn, "other", &answered)),
        _ => Ok(()),
    });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(asks).expect("there is room");
    world.seen(&actor);
    let (_, held) = probation.back();
    assert_eq!(held.iter().map(HeldEffect::kind).collect::<Vec<_>>(), ["ask"; 3]);
    assert!(settled(&world, &actor).of(3).is_empty());
    let [first, second, third] = <[HeldEffect; 3]>::try_from(held).expect("three");
    actor.send_held(first).expect("it is sent");
    eventually("the answer comes", || world.seen(&actor).of(3) == [1]);
    actor.drop_held(second);
    eventually("it hears that none comes", || world.seen(&actor).of(3) == [1, 2]);
    assert_eq!(world.runtime.dead_letters().total(), 0);
    world.wait(actor.stop("", GENEROUS)).expect("it stops");
    assert_eq!(actor.send_held(third).expect_err("nobody waits for it").1, AskError::Stopped);
    world.seen(&other);
}

// ---- what it tells itself

#[test]
fn f38_what_the_actor_told_itself_is_handled_as_the_version_before_says_it() {
    for waits in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let gate = Gate::new();
        let _opens = Opens(gate.clone());
        let passes = gate.clone();
        let tells = world.script(move |turn| {
            passes.pass();
            tell_me(turn, 2, turn.by)?;
            // Each says one word that the other does not; by their kind they would be the same, so by place.
            turn.by.checked_sub(2).map_or(Ok(()), |_| tell_me(turn, 3, 2))?;
            tell_me(turn, 4, turn.by)
        });
        let probation = Probation::begin(&actor, &old, &new);
        if !waits {
            gate.open();
        }
        actor.try_tell(tells).expect("there is room");
        let paused = if waits {
            gate.wait_for(1);
            let paused = pause_behind(&actor, &gate);
            assert_eq!(actor.info().queued_messages, 3);
            paused
        } else {
            eventually("all is handled", || world.seen(&actor).of(4) == [2]);
            probation.pause()
        };
        actor.try_tell(Put { sender: 9, number: 9 }).expect("there is room");
        probation.replay(paused);
        let log = settled(&world, &actor);
        let said: Vec<_> = log.entries.iter().map(|entry| (entry.sender, entry.number)).collect();
        assert_eq!(said, [(2, 1), (4, 1), (9, 9)]);
        assert_eq!(world.runtime.dead_letters().total(), u64::from(waits));
        assert_eq!(letters(&world, DeadKind::RolledBack), u64::from(waits), "one that it never said");
    }
}

#[test]
fn f38_what_only_the_version_before_tells_itself_is_handled_where_it_says_it() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let tells = world.script(|turn| match turn.by {
        1 => (1..=3).try_for_each(|number| tell_me(turn, 2, number)),
        _ => Ok(()),
    });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(tells).expect("there is room");
    world.put(&actor, 8);
    let paused = probation.pause();
    actor.try_tell(Put { sender: 9, number: 9 }).expect("there is room");
    probation.replay(paused);
    assert_eq!(settled(&world, &actor).numbers(), [1, 2, 3, 8, 9]);
}

/// A script that tells another actor, and says who did.
fn charges(world: &World) -> Do {
    world.script(|turn| turn.tell(&addr("other"), &Put { sender: 1, number: turn.by }))
}

/// The script by the name that the version has for it.
fn say(turn: &mut Turn<'_>, charge: &Do) -> Result<(), Fault> {
    let me = turn.call.this.clone();
    match turn.by {
        1 => turn.tell(&me, charge),
        _ => turn.tell(&me, &DoToo { script: charge.script }),
    }
}

#[test]
fn f38_what_each_version_does_over_a_word_of_its_own_is_sent_once() {
    for waits in [false, true] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let (gate, charge) = (Gate::new(), charges(&world));
        let _opens = Opens(gate.clone());
        let passes = gate.clone();
        let order = world.script(move |turn| {
            passes.pass();
            say(turn, &charge)
        });
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(order).expect("there is room");
        gate.wait_for(1);
        let paused = if waits {
            pause_behind(&actor, &gate)
        } else {
            gate.open();
            eventually("it is charged", || world.seen(&other).of(1) == [2]);
            probation.pause()
        };
        let (tally, held) = probation.replay(paused);
        assert_eq!((tally.skipped, tally.unsaid, held.len()), (0, 0, 0));
        settled(&world, &actor);
        assert_eq!(world.seen(&other).of(1), [if waits { 1 } else { 2 }], "waits: {waits}");
        assert_eq!(world.runtime.dead_letters().total(), 0);
    }
}

#[test]
fn f38_what_one_version_does_at_once_and_the_other_over_a_word_to_itself_is_sent_once() {
    for by_word in [1, 2] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let charge = charges(&world);
        let order = world.script(move |turn| {
            let me = turn.call.this.clone();
            if turn.by == by_word {
                return turn.tell(&me, &charge);
            }
            turn.tell(&addr("other"), &Put { sender: 1, number: turn.by })
        });
        let probation = Probation::begin(&actor, &old, &new);
        actor.try_tell(order).expect("there is room");
        eventually("it is charged", || world.seen(&other).of(1) == [2]);
        let (tally, held) = probation.back();
        assert_eq!((tally.matched, tally.unsaid, held.len()), (1, 0, 0));
        settled(&world, &actor);
        assert_eq!(world.seen(&other).of(1), [2], "as it was sent");
    }
}

#[test]
fn f38_what_the_version_before_sends_over_a_word_that_only_it_says_is_held() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let other = world.start("other", &old);
    let charge = charges(&world);
    let charged = charge.clone();
    let order = world.script(move |turn| if turn.by == 1 { say(turn, &charge) } else { Ok(()) });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(order).expect("there is room");
    // Another message may lead to the same and is no reason to take the one for the other.
    actor.try_tell(world.script(move |turn| if turn.by == 2 { say(turn, &charged) } else { Ok(()) })).expect("room");
    eventually("it is charged", || world.seen(&other).of(1) == [2]);
    let (tally, held) = probation.back();
    assert_eq!((tally.unsaid, held.iter().map(HeldEffect::kind).collect::<Vec<_>>()), (1, vec!["tell"]));
    settled(&world, &actor);
    assert_eq!(world.seen(&other).of(1), [2]);
}

#[test]
fn f38_a_version_before_that_tells_itself_without_end_is_not_done_in_its_budget() {
    let (world, clock) = World::manual();
    let (actor, old, new) = two(&world);
    let next = Arc::new(Mutex::new(None::<Do>));
    let again = next.clone();
    let goes_on = world.script(move |turn| {
        clock.advance(std::time::Duration::from_secs(u64::from(turn.by == 1)));
        let again = again.lock().clone();
        again.filter(|_| turn.by == 1).map_or(Ok(()), |again| say(turn, &again))
    });
    *next.lock() = Some(goes_on.clone());
    let probation = Probation::begin(&actor, &old, &new);
    world.wait(actor.tell(goes_on)).expect("it is accepted");
    world.seen(&actor);
    let mut paused = probation.pause();
    let recorded = paused.take_record().expect("it is paused").expect("it was recorded");
    let error = probation.try_replay(&mut paused, &recorded).expect_err("it never ends");
    let budget = std::time::Duration::from_secs(20);
    assert_eq!(error, ReplayError::Budget { done: 0, of: 2, budget });
}

#[test]
fn f38_what_the_first_turn_on_probation_did_is_undone_as_far_as_it_concerns_the_actor_alone() {
    for waits in [false, true] {
        let (world, clock) = World::manual();
        let gate = Gate::new();
        let _opens = Opens(gate.clone());
        let passes = gate.clone();
        let starts = move |why, turn: &mut Turn<'_>| {
            if turn.by == 2 {
                passes.pass();
                turn.after(std::time::Duration::from_secs(1), &Put { sender: 5, number: 2 })?;
                return tell_me(turn, 5, 1);
            }
            if why == Why::RolledBack { tell_me(turn, 6, 6) } else { Ok(()) }
        };
        let (old, new) = (world.probe(1).on_started(starts.clone()).arc(), world.probe(2).on_started(starts).arc());
        let actor = world.start("a", &old);
        let probation = Probation::begin(&actor, &old, &new);
        gate.wait_for(1);
        let paused = if waits {
            pause_behind(&actor, &gate)
        } else {
            gate.open();
            eventually("it has heard itself", || world.seen(&actor).of(5) == [1]);
            probation.pause()
        };
        probation.replay(paused);
        clock.advance(std::time::Duration::from_secs(2));
        assert_eq!(settled(&world, &actor).numbers(), [6], "what it does first when it is back");
        assert_eq!(letters(&world, DeadKind::RolledBack), 1 + u64::from(waits), "the timer, and the word");
    }
}

#[test]
fn f38_words_of_a_probation_that_is_over_are_everybodys_in_the_next_one() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let passes = gate.clone();
    let tells = world.script(move |turn| {
        passes.pass();
        tell_me(turn, 2, turn.by)
    });
    Probation::begin(&actor, &old, &new);
    actor.try_tell(tells).expect("there is room");
    gate.wait_for(1);
    // It waits while the next version comes.
    let (paused, third) = (pause_behind(&actor, &gate), world.probe(3).arc());
    assert_eq!(actor.info().queued_messages, 1);
    let second = Probation::on(paused, &actor, (&new, &third), |_| {});
    let says = world.script(|turn| tell_me(turn, 3, turn.by));
    actor.try_tell(says).expect("there is room");
    eventually("all is handled", || world.seen(&actor).of(3) == [3]);
    second.back();
    let log = settled(&world, &actor);
    assert_eq!((log.of(2), log.of(3)), (vec![2], vec![2]));
    assert_eq!(world.runtime.dead_letters().total(), 0);
}

// ---- replies

/// A script that remembers the call of its turn, and one that answers it, each by the version that `by` names.
fn parks(world: &World) -> (Do, impl Fn(u32) -> Do) {
    let parked: Arc<Mutex<Option<CallId>>> = Arc::default();
    let keeps = parked.clone();
    let park = world.script(move |turn| {
        *keeps.lock() = turn.call.waiting.map(|waiting| waiting.call);
        Ok(())
    });
    let scripts = world.scripts.clone();
    let answer = move |by: u32| {
        let parked = parked.clone();
        scripts.add(move |turn| {
            let call = *parked.lock();
            turn.put(7, turn.by);
            call.filter(|_| turn.by == by).map_or(Ok(()), |call| turn.reply_to(call))
        })
    };
    (park, answer)
}

#[test]
fn f38_a_call_that_only_the_version_before_answers_is_answered_when_it_is_back() {
    for before in [true, false] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let (park, answers) = parks(&world);
        let asked = actor.clone();
        let ask = || world.spawn(async move { asked.ask(park, GENEROUS).await });
        let (probation, answer);
        if before {
            answer = ask();
            eventually("it is parked", || actor.info().handled == 1);
            probation = Probation::begin(&actor, &old, &new);
        } else {
            probation = Probation::begin(&actor, &old, &new);
            answer = ask();
            eventually("it is parked", || actor.figures().handled == 1);
        }
        actor.try_tell(answers(1)).expect("there is room");
        world.seen(&actor);
        assert!(!answer.is_finished());
        probation.back();
        let log = world.wait(answer).expect("it ends").expect("it is answered");
        assert_eq!(log.of(7), [1]);
        assert_eq!(world.runtime.dead_letters().total(), 0);
    }
}

#[test]
fn f38_a_call_that_was_answered_on_probation_is_not_answered_again_in_another_turn() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let (park, answers) = parks(&world);
    let probation = Probation::begin(&actor, &old, &new);
    let asked = actor.clone();
    let answer = world.spawn(async move { asked.ask(park, GENEROUS).await });
    eventually("it is parked", || actor.figures().handled == 1);
    actor.try_tell(answers(2)).expect("there is room");
    actor.try_tell(answers(1)).expect("there is room");
    assert_eq!(world.wait(answer).expect("it ends").expect("it is answered").of(7), [2]);
    world.seen(&actor);
    let (tally, _) = probation.back();
    assert_eq!((tally.matched, tally.unsaid), (1, 1), "the look, and the answer that it gives elsewhere");
    assert_eq!(world.seen(&actor).of(7), [1, 1]);
    assert_eq!(world.runtime.dead_letters().total(), 0);
}

#[test]
fn f38_who_was_left_waiting_on_probation_hears_of_the_error_that_the_version_before_ends_in() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    let parks = world.script(|turn| if turn.by == 2 { Ok(()) } else { Err(failed("not by me")) });
    let probation = Probation::begin(&actor, &old, &new);
    let asked = actor.clone();
    let answer = world.spawn(async move { asked.ask(parks, GENEROUS).await });
    eventually("it is parked", || actor.figures().handled == 1);
    let (tally, _) = probation.back();
    assert_eq!(tally.failed, 1);
    assert_eq!(world.wait(answer).expect("it ends"), Err(AskError::Failed("not by me".to_owned())));
}

#[test]
fn f38_a_message_that_a_version_cannot_read_is_handled_or_a_dead_letter_and_never_both() {
    for cannot in [vec![2], vec![1], vec![1, 2]] {
        let world = World::new();
        let (actor, old, new) = two(&world);
        let readers = cannot.clone();
        let reads = world.script(move |turn| {
            if readers.contains(&turn.by) {
                return Err(Fault::new(FaultKind::Decode, "of another time"));
            }
            turn.put(2, turn.by);
            Ok(())
        });
        let probation = Probation::begin(&actor, &old, &new);
        world.wait(actor.tell(reads)).expect("it is accepted");
        world.put(&actor, 1);
        let letters = world.runtime.dead_letters();
        assert_eq!(letters.list().len(), usize::from(cannot.contains(&2)));
        let (tally, _) = probation.back();
        let handled = !cannot.contains(&1);
        assert_eq!(tally.failed, usize::from(!handled));
        assert_eq!(world.seen(&actor).of(2), if handled { vec![1] } else { vec![] }, "{cannot:?} cannot");
        let left = letters.list();
        let kinds: Vec<_> = left.iter().map(|letter| (letter.reason.kind(), letters.has_body(letter.id))).collect();
        assert_eq!(kinds, if handled { vec![] } else { vec![(DeadKind::Decode, true)] }, "{cannot:?} cannot");
        assert_eq!(letters.total(), 1);
    }
}

#[test]
fn f38_the_reply_of_the_version_before_to_who_has_given_up_is_counted_as_late() {
    let (world, clock) = World::manual();
    let (actor, old, new) = two(&world);
    let (park, answers) = parks(&world);
    let probation = Probation::begin(&actor, &old, &new);
    let asked = actor.clone();
    let second = std::time::Duration::from_secs(1);
    let answer = world.spawn(async move { asked.ask(park, second).await });
    eventually("it is parked", || actor.figures().handled == 1);
    actor.try_tell(answers(1)).expect("there is room");
    eventually("it is handled", || actor.figures().handled == 2);
    clock.advance(second * 2);
    assert_eq!(world.wait(answer).expect("it ends"), Err(AskError::Timeout));
    probation.back();
    assert_eq!((letters(&world, DeadKind::LateReply), world.runtime.dead_letters().total()), (1, 1));
}

// ---- what comes from the host

#[test]
fn f38_the_version_before_is_told_the_same_times_and_random_numbers() {
    let (world, clock) = World::manual();
    let (actor, old, new) = two(&world);
    type Told = (u32, u64, [u64; 2]);
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let keeps = told.clone();
    let looks = world.script(move |turn| {
        let drawn = [turn.effects.random(), turn.effects.random()];
        let now = turn.effects.now();
        keeps.lock().push((turn.by, now, drawn));
        turn.reply()
    });
    let probation = Probation::begin(&actor, &old, &new);
    for seconds in [1, 2] {
        world.wait(actor.ask(looks.clone(), GENEROUS)).expect("it answers");
        clock.advance(std::time::Duration::from_secs(seconds));
    }
    probation.back();
    let told = told.lock();
    let by = |version| told.iter().filter(|told| told.0 == version).map(|told| (told.1, told.2)).collect::<Vec<_>>();
    assert_eq!(by(2).len(), 2);
    assert_ne!(by(2)[0], by(2)[1]);
    assert_eq!(by(1), by(2));
}

#[test]
fn f38_a_child_is_started_once_and_one_that_only_the_version_before_starts_is_held() {
    let world = World::new();
    let (actor, old, new) = two(&world);
    world.shelve(world.probe(1));
    let spawns = world.script(|turn| {
        let children: &[&str] = if turn.by == 2 { &["both", "new"] } else { &["old", "both"] };
        let mut children = children.iter();
        children.try_for_each(|child| turn.effects.spawn(addr(child), None, Body { shape: Fingerprint(7), bytes: &[] }))
    });
    let probation = Probation::begin(&actor, &old, &new);
    actor.try_tell(spawns).expect("there is room");
    world.seen(&actor);
    let (tally, held) = probation.back();
    assert_eq!((tally.matched, tally.unsaid), (2, 1), "a child and the look; a child");
    let held = <[HeldEffect; 1]>::try_from(held).expect("one");
    assert_eq!((held[0].kind(), held[0].to()), ("spawn", &addr("old")));
    assert!(world.runtime.actor(&addr("old")).is_none());
    held.into_iter().for_each(|held| actor.send_held(held).expect("it starts"));
    assert_eq!(actor.info().children, [addr("both"), addr("new"), addr("old")]);
    assert_eq!(world.runtime.dead_letters().total(), 0);
}
