//! Moving an actor on: what waits for it meets the contract, what fails leaves it as it was, what it had under way goes
//! on.

use crate::support::*;
use parking_lot::Mutex;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use teneral_contract::manifest::MessageEntry;
use teneral_contract::{Fingerprint, Shape, Tag, Wire};
use teneral_runtime::ports::{AskEffect, Cause, Fault, FaultKind, Provider, Why};
use teneral_runtime::{
    ActorOptions, ActorRef, DeadKind, Generation, LeaseLost, LeaseStep, Lost, PauseRefused, Place, Quiesced,
    Seen as Told, StateError, Status, StepError, What,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn m8_what_started_tells_itself_comes_before_queued_messages() {
    let world = World::new();
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let schedules = world.probe(1).on_started({
        let gate = gate.clone();
        move |_, turn| {
            gate.pass();
            let me = turn.call.this.clone();
            turn.tell(&me, &Put { sender: 0, number: 1 })
        }
    });
    let (runtime, schedules) = (world.runtime.clone(), schedules.arc());
    let starting =
        thread::spawn(move || runtime.start(start("a", &schedules, ActorOptions::permanent())).expect("it starts"));
    gate.wait_for(1);
    eventually("the actor is known", || world.runtime.actor(&addr("a")).is_some());
    let actor = world.runtime.actor(&addr("a")).expect("it is known");
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    gate.open();
    drop(starting.join().expect("it starts"));
    assert_eq!(world.seen(&actor).numbers(), [1, 2]);
}

// Invariant 2
#[test]
fn m16_an_older_message_in_the_queue_is_passed_on_as_what_it_is_or_refused_never_mistaken() {
    let world = World::new();
    let old_put = Tag { variant: Put::tag().variant, fingerprint: Fingerprint(41) };
    let old_only = |messages: &mut Vec<MessageEntry>| {
        messages[0].fingerprint = Fingerprint(41);
    };
    let v1 = world.probe(1).contract(old_only).arc();
    let knows = world.probe(2).contract(|messages| messages[0].also = vec![Fingerprint(41)]).arc();
    let does_not = world.probe(3).arc();
    for (to, handled) in [(&knows, true), (&does_not, false)] {
        let actor = world.start(if handled { "knows" } else { "does-not" }, &v1);
        let mut paused = pause(&actor).expect("it pauses");
        actor.try_tell_raw(old_put, encoded(&Put { sender: 1, number: 8 })).expect("v1 takes it");
        let state = paused.save(1 << 20).expect("it saves");
        let made = paused.make(LeaseStep::Migrate, || to.restore(1, &state)).expect("it migrates");
        paused.commit(made, to.clone(), Why::Upgraded).expect("it commits");
        let expected: &[u32] = if handled { &[8] } else { &[] };
        assert_eq!(world.seen(&actor).numbers(), expected);
        assert_eq!(world.runtime.dead_letters().count(DeadKind::UnknownShape), u64::from(!handled));
        // And what comes now meets the same rule.
        let now = actor.try_tell_raw(old_put, encoded(&Put { sender: 1, number: 9 }));
        assert_eq!(now.is_ok(), handled, "{now:?}");
    }
}

#[test]
fn m18_messages_of_each_sender_are_handled_in_order_over_upgrades_and_rollbacks() {
    const SENDERS: u32 = 3;
    const MESSAGES: u32 = 2_000;
    let world = World::new();
    let versions = [world.probe(1).arc(), world.probe(2).arc(), world.probe(3).arc()];
    let actor = world.start("a", &versions[0]);
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let actor = actor.clone();
            world.spawn(async move {
                for number in 0..MESSAGES {
                    actor.tell(Put { sender, number }).await.expect("it is accepted");
                }
            })
        })
        .collect();
    let mut moves = 0;
    while senders.iter().any(|sender| !sender.is_finished()) {
        if moves % 3 == 2 {
            drop(pause(&actor).expect("it pauses")); // A rollback before anything changed.
        } else {
            upgrade(&actor, &versions[moves % versions.len()]);
        }
        moves += 1;
    }
    for sender in senders {
        world.wait(sender).expect("the sender ends");
    }
    let log = world.seen(&actor);
    for sender in 0..SENDERS {
        assert_eq!(log.of(sender), (0..MESSAGES).collect::<Vec<_>>(), "sender {sender}, {moves} moves");
    }
}

#[test]
fn m21_a_timer_and_a_continuation_of_an_older_version_meet_the_contract_as_messages_do() {
    let (world, clock) = World::manual();
    let v1 = world.probe(1).arc();
    let no_put = world.probe(2).contract(|messages| messages.retain(|message| message.name != Put::NAME)).arc();
    let actor = world.start("a", &v1);
    let schedules = world.script(|turn| {
        turn.effects.after(SECOND, None, Put::tag(), &encoded(&Put { sender: 3, number: 1 }))?;
        turn.effects.after(2 * SECOND, None, Seen::tag(), &encoded(&Seen)).map(drop)
    });
    world.wait(actor.tell(schedules)).expect("it is accepted");
    world.seen(&actor); // By now both timers are set.
    upgrade(&actor, &no_put);
    clock.advance(3 * SECOND);
    assert!(world.seen(&actor).numbers().is_empty(), "a timer whose message is unknown never reaches the code");
    assert_eq!(world.runtime.dead_letters().count(DeadKind::UnknownMessage), 1);
}

#[test]
fn a_timer_whose_message_the_code_does_not_know_is_a_dead_letter_a_tick_and_a_spent_one_is_not_kept() {
    let (world, clock) = World::manual();
    let actor = world.start("a", &world.probe(1).arc());
    let nonsense = Tag { variant: 7, fingerprint: Fingerprint(7) };
    let schedules = world.script(move |turn| {
        turn.effects.after(SECOND, None, nonsense, &[])?;
        turn.effects.after(2 * SECOND, Some(2 * SECOND), nonsense, &[]).map(drop)
    });
    world.wait(actor.tell(schedules)).expect("it is accepted");
    world.seen(&actor); // By now both timers are set.
    let timers = || actor.parked().iter().find(|parked| parked.place == Place::Timer).map(|parked| parked.count);
    let letters = || world.runtime.dead_letters().count(DeadKind::UnknownMessage);
    for (seconds, ticks) in [(1, 1), (1, 2), (2, 3)] {
        clock.advance(seconds * SECOND);
        eventually("it ticks", || letters() == ticks);
        eventually("and only the periodic one is kept", || timers() == Some(1));
    }
}

#[test]
fn u6_a_migration_that_panics_leaves_the_actor_on_old_code_and_old_state() {
    migration_fails(panicked("count is negative"));
}

#[test]
fn u7_a_migration_that_returns_an_error_does_too_and_the_error_is_told() {
    migration_fails(failed("count is negative"));
}

fn migration_fails(fault: Fault) {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    world.put(&actor, 1);
    let before = world.wait(actor.state(GENEROUS)).expect("it answers");
    let v2 = world.probe(2).on_restore({
        let fault = fault.clone();
        move || Err(fault.clone())
    });
    let v2 = v2.arc();
    let mut paused = pause(&actor).expect("it pauses");
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    let state = paused.save(1 << 20).expect("it saves");
    let made = paused.make(LeaseStep::Migrate, || v2.restore(1, &state)).map(drop);
    assert_eq!(made, Err(StepError::Fault(fault)));
    let now = world.wait(actor.state(GENEROUS)).expect("it answers");
    assert_eq!(now, before, "old state, old version");
    let resumed = paused.abort().expect("the pause holds");
    assert_eq!((resumed.generation, resumed.queued_messages), (Generation(0), 1));
    let log = world.seen(&actor);
    assert!(log.entries.iter().all(|entry| entry.by == 1));
    assert_eq!(log.numbers(), [1, 2]);
}

#[test]
fn u42_a_reply_handle_a_timer_and_a_continuation_of_the_old_version_work_after_the_upgrade() {
    let (world, clock) = World::manual();
    let v1 = world.probe(1).arc();
    let (actor, other) = (world.start("a", &v1), world.start("other", &v1));
    world.wait(other.tell(Put { sender: 1, number: 33 })).expect("it is accepted");
    let held = pause(&other).expect("it pauses"); // So that the answer comes after the upgrade.
    let kept = Arc::new(Mutex::new(None));
    let answered = world.script(|turn| {
        let Cause::Answer(Ok(body)) = &turn.call.cause else { panic!("{:?}", turn.call.cause) };
        let log = Log::decode(body.shape, body.bytes).expect("a log");
        turn.put(3, log.entries[0].number);
        Ok(())
    });
    let begins = world.script({
        let kept = kept.clone();
        move |turn| {
            turn.effects.after(SECOND, None, Put::tag(), &encoded(&Put { sender: 2, number: 22 }))?;
            let (body, then_body) = (encoded(&Seen), encoded(&answered));
            turn.effects.ask(AskEffect {
                to: addr("other"),
                tag: Seen::tag(),
                body: &body,
                reply: Log::FINGERPRINT,
                timeout: 60 * SECOND,
                then: Do::tag(),
                then_body: &then_body,
            })?;
            *kept.lock() = turn.call.waiting.map(|waiting| waiting.call);
            Ok(())
        }
    });
    let ends = world.script({
        let kept = kept.clone();
        move |turn| {
            turn.put(1, 11);
            let call = kept.lock().take().expect("somebody waits");
            turn.reply_to(call)
        }
    });
    let asking = world.spawn({
        let actor = actor.clone();
        async move { actor.ask(begins, 60 * SECOND).await }
    });
    eventually("the ask is handled", || kept.lock().is_some());
    upgrade(&actor, &world.probe(2).arc());
    world.wait(actor.tell(ends)).expect("it is accepted");
    let reply = world.wait(asking).expect("the task ends").expect("the old handle answers");
    assert_eq!(reply.of(1), [11]);
    clock.advance(SECOND);
    drop(held);
    eventually("timer and answer came", || {
        let log = world.seen(&actor);
        log.of(2) == [22] && log.of(3) == [33]
    });
    assert!(world.seen(&actor).entries.iter().all(|entry| entry.by == 2));
}

#[test]
fn u47_a_second_pause_is_refused_with_the_first_ones_owner() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    let first = actor.quiesce(lease("upgrade-1", Generation(0))).expect("it pauses");
    let second = actor.quiesce(lease("upgrade-2", Generation(0))).map(drop);
    assert_eq!(second, Err(PauseRefused::Held { owner: "upgrade-1".into() }));
    drop(first);
    drop(actor.quiesce(lease("upgrade-3", Generation(0))).expect("it is free again"));
}

#[test]
fn a_pause_that_is_handed_over_is_its_new_owners_to_end_and_nothing_is_handled_in_between() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    let (first, first_lost) = pause_for(&actor, GENEROUS);
    world.wait(actor.tell(Put { sender: 1, number: 1 })).expect("it is accepted");
    let mut events = world.runtime.events();
    let (tell, lost) = mpsc::channel();
    let on_lost = Box::new(move |lost| tell.send(lost).expect("the test listens"));
    let second = first.hand_over("upgrade-2".to_owned(), GENEROUS, on_lost).expect("it is paused");
    assert_eq!(actor.info().status, Status::Paused { owner: "upgrade-2".into() });
    actor.cancel_pause_of("test", "ops");
    assert_eq!((second.cancelled(), actor.info().queued_messages), (None, 1), "it is not theirs any more");
    actor.cancel_pause_of("upgrade-2", "ops");
    assert_eq!(lost.recv().expect("it is told").why, LeaseLost::Cancelled { by: "ops".into() });
    assert_eq!(first_lost.recv().ok(), None);
    assert_eq!(world.seen(&actor).numbers(), [1]);
    let resumed = |seen: &Told| matches!(seen, Told::Event(event) if matches!(event.what, What::Resumed { .. }));
    let told = std::iter::from_fn(|| events.next_blocking(Duration::ZERO).ok());
    assert_eq!(told.filter(resumed).count(), 1, "once, and not when it was handed over");
    let third = second.hand_over("upgrade-3".to_owned(), GENEROUS, Box::new(drop));
    assert_eq!(third.map(drop), Err(LeaseLost::Cancelled { by: "ops".into() }), "what is over is nobody's");
}

/// Pauses for at most `max_pause`; what is lost is told to the channel.
fn pause_for(actor: &ActorRef, max_pause: Duration) -> (Quiesced, mpsc::Receiver<Lost>) {
    let (tell, lost) = mpsc::channel();
    let mut request = lease("test", actor.info().generation);
    request.max_pause = max_pause;
    request.on_lost = Box::new(move |lost| tell.send(lost).expect("the test listens"));
    (actor.quiesce(request).expect("it pauses"), lost)
}

#[test]
fn f22_periodic_ticks_missed_in_a_pause_come_as_one() {
    let (world, clock) = World::manual();
    let actor = world.start("a", &world.probe(1).arc());
    let schedules = world.script(|turn| {
        let put = encoded(&Put { sender: 1, number: 1 });
        turn.effects.after(SECOND, Some(SECOND), Put::tag(), &put).map(drop)
    });
    world.wait(actor.tell(schedules)).expect("it is accepted");
    world.seen(&actor); // By now the timer is set.
    let (paused, _lost) = pause_for(&actor, 60 * SECOND);
    clock.advance(3 * SECOND + SECOND / 2);
    drop(paused);
    eventually("one came", || world.seen(&actor).of(1) == [1]);
    clock.advance(SECOND);
    eventually("and then the next, in its rhythm", || world.seen(&actor).of(1) == [1, 1]);
}

#[test]
fn f24_a_save_that_errs_or_panics_changes_nothing() {
    let world = World::new();
    for (key, fault) in [("errs", failed("no")), ("panics", panicked("oh"))] {
        let told = fault.clone();
        let actor = world.start(key, &world.probe(1).on_save(move || Err(told.clone())).arc());
        world.put(&actor, 1);
        let mut paused = pause(&actor).expect("it pauses");
        actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
        assert_eq!(paused.save(1 << 20), Err(StepError::Fault(fault.clone())));
        paused.abort().map(drop).expect("the pause holds");
        assert_eq!(world.seen(&actor).numbers(), [1, 2], "the old instance, with its state");
        let read = world.wait(actor.state(GENEROUS));
        assert_eq!(read.map(drop), Err(StateError::Save(fault)));
        assert_eq!(world.seen(&actor).numbers(), [1, 2], "reading it costs nothing either");
    }
}

#[test]
fn f25_a_state_over_its_limit_is_a_fault_and_the_old_instance_serves() {
    let world = World::new();
    let actor = world.start("a", &world.probe(1).arc());
    (0..100).for_each(|number| world.put(&actor, number));
    let mut paused = pause(&actor).expect("it pauses");
    let saved = paused.save(64);
    assert!(matches!(&saved, Err(StepError::Fault(fault)) if fault.kind == FaultKind::Limit), "{saved:?}");
    drop(paused);
    assert_eq!(world.seen(&actor).numbers().len(), 100);
}

#[test]
fn f36_of_two_holders_at_once_only_one_gets_the_cell() {
    let world = World::new();
    let versions = [world.probe(1).arc(), world.probe(2).arc()];
    let actor = world.start("a", &versions[0]);
    let committed: u64 = std::thread::scope(|scope| {
        let movers: Vec<_> = (0..2)
            .map(|mover| {
                let (actor, versions) = (&actor, &versions);
                scope.spawn(move || {
                    let mut committed = 0;
                    for turn in 0..50 {
                        let Ok(mut paused) = actor.quiesce(lease(&format!("mover-{mover}"), actor.info().generation))
                        else {
                            continue;
                        };
                        let to = &versions[(turn + mover) % 2];
                        let schema = paused.provider().schema();
                        let state = paused.save(1 << 20).expect("it saves");
                        let made = paused.make(LeaseStep::Migrate, || to.restore(schema, &state)).expect("it migrates");
                        paused.commit(made, to.clone(), Why::Upgraded).expect("it commits");
                        committed += 1;
                    }
                    committed
                })
            })
            .collect();
        movers.into_iter().map(|mover| mover.join().expect("it ends")).sum()
    });
    assert_eq!(actor.info().generation, Generation(committed), "each commit is one generation");
    assert!(world.seen(&actor).entries.is_empty());
}
