//! Messaging: what is accepted is handled once, in order; what is not comes back with its reason.
#![forbid(unsafe_code)]

mod common;

use common::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{AskEffect, Body, CallId, Cause, FaultKind, TimerId};
use teneral_runtime::{DeadKind, DeadReason, Runtime, Spawn, StartError, SystemClock, TellError, TryTellError};

const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn m1_an_init_that_hangs_or_dies_does_not_hang_the_starter() {
    let gate = Gate::default();
    let hangs = gate.clone();
    let code = counter("counter", "1.0.0").create(move |_| {
        hangs.pass();
        Ok(body(0))
    });
    let hurried = runtime_with(start_timeout(MOMENT));
    let refused = hurried.start(start("counter/a", &code.build()));
    assert!(matches!(refused, Err(StartError::Timeout(_))), "{refused:?}");
    // A busy machine may be as late with code that does not hang: then it is another version's turn.
    let mut versions = (1..).map(|patch| counter("counter", &format!("1.0.{patch}")).build());
    until("the name is free", || hurried.start(start("counter/a", &versions.next().expect("there are more"))).is_ok());
    let runtime = runtime();
    let dies = counter("counter", "1.0.1").create(|_| panic!("no luck"));
    let refused = runtime.start(start("counter/a", &dies.build()));
    assert!(matches!(&refused, Err(StartError::Init(fault)) if fault.kind == FaultKind::Panic), "{refused:?}");
    let other = started(&runtime, "counter/a", &counter("counter", "1.0.2").build());
    assert_eq!(ask(&other, "Get", 0, "Sum"), Ok(0));
    gate.open();
}

#[test]
fn m2_a_failed_start_leaves_no_message_and_frees_the_name() {
    let runtime = runtime();
    let refuses = counter("counter", "1.0.0").create(|_| Err(failed("not today")));
    let refused = runtime.start(start("counter/a", &refuses.build()));
    assert!(matches!(&refused, Err(StartError::Init(fault)) if fault.text == "not today"), "{refused:?}");
    assert!(runtime.actor(&addr("counter/a")).is_none());
    assert_eq!(runtime.dead_letters().total(), 0);
    let code = counter("counter", "1.0.0").build();
    started(&runtime, "counter/a", &code);
    let taken = runtime.start(start("counter/a", &code));
    assert!(matches!(taken, Err(StartError::Taken(_))), "{taken:?}");
}

#[test]
fn m3_a_tell_is_counted_and_an_ask_answered() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    for n in 1..=1000 {
        wait(actor.tell_raw(tag("Add"), body(n))).expect("there is room in the end");
    }
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(500_500));
}

/// Keeps the call of `Later` in its state, and replies to it when `Now` comes, with what that brings.
fn later() -> Code {
    Code::new("later", "1.0.0").asks("Later", "Sum").tells(&["Now"]).handle(|state, call, effects| {
        if let Some(waiting) = call.waiting {
            *state = [body(waiting.call.epoch), body(waiting.call.number)].concat();
            return Ok(());
        }
        let kept = CallId { epoch: number(&state[..8]), number: number(&state[8..16]) };
        effects.reply(kept, shape("Sum"), call.body)
    })
}

#[test]
fn m3_a_reply_may_come_later_from_the_actor_itself_or_through_another() {
    let runtime = runtime();
    let actor = started(&runtime, "later/a", &later().build());
    let asking = actor.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Later", 0, "Sum"));
    until("the call is kept", || actor.info().handled == 1);
    wait(actor.tell_raw(tag("Now"), body(7))).expect("accepted");
    assert_eq!(asked.join().expect("it ends"), Ok(7));

    let asking = actor.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Later", 0, "Sum"));
    until("the call is kept", || actor.info().handled == 3);
    let kept = wait(actor.state(SOON)).expect("a state").bytes;
    let other = started(&runtime, "later/b", &later().create(move |_| Ok(kept.clone())).build());
    wait(other.tell_raw(tag("Now"), body(8))).expect("accepted");
    assert_eq!(asked.join().expect("it ends"), Ok(8));
}

#[test]
fn m4_a_late_reply_reaches_nobody_and_is_counted() {
    let gate = Gate::default();
    let holds = gate.clone();
    let code = Code::new("slow", "1.0.0").asks("Get", "Sum").handle(move |_, call, effects| {
        holds.pass();
        let waiting = call.waiting.expect("an ask");
        effects.reply(waiting.call, shape("Sum"), call.body)
    });
    let runtime = runtime();
    let actor = started(&runtime, "slow/a", &code.build());
    let answer = wait(actor.ask_raw(tag("Get"), body(1), shape("Sum"), MOMENT));
    assert_eq!(answer, Err(AskError::Timeout));
    gate.open();
    until("the reply is counted", || runtime.dead_letters().count(DeadKind::LateReply) == 1);
    let letter = runtime.dead_letters().list().remove(0);
    assert_eq!((letter.to.path(), &letter.from, letter.tag.variant), ("slow/a", &None, tag("Get").variant));
    assert!(matches!(letter.reason, DeadReason::LateReply(after) if after >= MOMENT), "{}", letter.reason);
    assert_eq!(ask(&actor, "Get", 2, "Sum"), Ok(2), "the next asker gets its own answer");
}

#[test]
fn m4_a_late_reply_through_a_handle_is_a_late_reply_and_a_second_one_is_not() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = Arc::clone(&kept);
    let code =
        Code::new("slow", "1.0.0").asks("Get", "Sum").tells(&["Settle", "Fail"]).handle(move |_, call, effects| {
            match call.waiting {
                Some(waiting) => *keeps.lock().expect("no panic") = Some(waiting.call),
                None => {
                    effects.reply(keeps.lock().expect("no panic").expect("it was asked"), shape("Sum"), &body(1))?
                }
            }
            if call.index == 2 { Err(failed("told to")) } else { Ok(()) }
        });
    let runtime = runtime();
    let actor = started(&runtime, "slow/a", &code.build());
    let settle = || wait(actor.tell_raw(tag("Settle"), body(0))).expect("accepted");
    let count = |kind| runtime.dead_letters().count(kind);
    assert_eq!(wait(actor.ask_raw(tag("Get"), body(1), shape("Sum"), MOMENT)), Err(AskError::Timeout));
    // A turn that fails has not replied, neither late nor ever.
    wait(actor.tell_raw(tag("Fail"), body(0))).expect("accepted");
    until("the turn failed", || actor.info().failed == 1);
    assert_eq!(runtime.dead_letters().total(), 0);
    settle();
    until("the late reply is counted", || count(DeadKind::LateReply) == 1);
    assert_eq!(runtime.dead_letters().list()[0].tag.variant, tag("Get").variant, "it says what was asked");
    settle();
    until("the second one is counted", || count(DeadKind::StaleReply) == 1);
    assert_eq!(count(DeadKind::LateReply), 1);
}

/// Asks whom `Ask`'s body names, and notes what comes back.
fn asker(noted: Note<Result<u64, AskError>>) -> Code {
    Code::new("asker", "1.0.0").tells(&["Ask", "Answered"]).handle(move |_, call, effects| {
        if let Cause::Answer(answer) = &call.cause {
            noted.send(answer.as_ref().map(|answer| number(answer.bytes)).map_err(|error| (*error).clone()));
            return Ok(());
        }
        let to = std::str::from_utf8(call.body).expect("a path");
        let ask = AskEffect {
            to: addr(to),
            tag: tag("Get"),
            body: &body(0),
            reply: shape("Sum"),
            timeout: SOON,
            then: tag("Answered"),
            then_body: &[],
        };
        effects.ask(ask).map(drop)
    })
}

#[test]
fn m5_asks_to_the_dead_the_unknown_and_oneself_fail_at_once_and_differ() {
    let runtime = runtime();
    let (noted, answers) = notes();
    let actor = started(&runtime, "asker/a", &asker(noted).asks("Get", "Sum").build());
    let asks = |to: &str| {
        wait(actor.tell_raw(tag("Ask"), to.into())).expect("accepted");
        next(&answers)
    };
    assert_eq!(asks("counter/nobody"), Err(AskError::NoActor("counter/nobody".into())));
    assert_eq!(asks("asker/a"), Err(AskError::ToItself));
    let other = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    assert_eq!(asks("counter/a"), Ok(0));
    wait(other.stop("", SOON)).expect("it stops");
    assert_eq!(ask(&other, "Get", 0, "Sum"), Err(AskError::Stopped));
}

#[test]
fn m7_an_ask_is_answered_whatever_waits_for_the_asker() {
    let runtime = runtime_with(mailbox(64, 1 << 20));
    let (noted, answers) = notes();
    let code = asker(noted);
    let busy = started(&runtime, "asker/a", &code.build());
    let gate = Gate::default();
    let holds = gate.clone();
    let slow = Code::new("counter", "1.0.0").asks("Get", "Sum").handle(move |_, call, effects| {
        holds.pass();
        effects.reply(call.waiting.expect("an ask").call, shape("Sum"), &body(3))
    });
    started(&runtime, "counter/a", &slow.build());
    wait(busy.tell_raw(tag("Ask"), "counter/a".into())).expect("accepted");
    until("it has asked", || busy.info().handled == 1);
    busy.pause("test", SOON).expect("paused");
    let fillers = (0..100).take_while(|_| busy.try_tell_raw(tag("Ask"), "counter/b".into()).is_ok()).count();
    assert_eq!(fillers, 63, "one place is kept for the answer");
    gate.open();
    until("the answer is there", || busy.info().queued_messages == 64);
    busy.resume("test");
    let answers: Vec<_> = (0..64).map(|_| next(&answers)).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(3)).count(), 1);
}

#[test]
fn m8_what_started_sends_itself_comes_before_queued_messages() {
    let (noted, seen) = notes();
    let code = Code::new("eager", "1.0.0")
        .tells(&["First", "Second", "Panic"])
        .started(|_, _, effects| effects.tell(addr("eager/a"), tag("First"), &body(0)))
        .handle(move |_, call, _| {
            noted.send(call.index);
            assert_ne!(call.index, 2, "told to");
            Ok(())
        });
    let runtime = runtime();
    let actor = started(&runtime, "eager/a", &code.build());
    assert_eq!(next(&seen), 0);
    // Now with a message that waits before `started`: the actor is restarted.
    actor.pause("test", SOON).expect("paused");
    for message in ["Panic", "Second"] {
        wait(actor.tell_raw(tag(message), body(0))).expect("accepted");
    }
    actor.resume("test");
    assert_eq!([next(&seen), next(&seen), next(&seen)], [2, 0, 1]);
}

#[test]
fn m11_stopping_answers_every_pending_ask_at_once() {
    let runtime = runtime();
    let actor = started(&runtime, "later/a", &later().build());
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let actor = actor.clone();
            std::thread::spawn(move || ask(&actor, "Later", 0, "Sum"))
        })
        .collect();
    until("the calls are kept", || actor.info().handled == 3);
    actor.pause("test", SOON).expect("paused");
    let queued = actor.clone();
    let queued = std::thread::spawn(move || ask(&queued, "Later", 0, "Sum"));
    until("one waits", || actor.info().queued_messages == 1);
    wait(actor.stop("enough", SOON)).expect("it stops, paused or not");
    for asked in asking.into_iter().chain([queued]) {
        assert_eq!(asked.join().expect("it ends"), Err(AskError::Stopped));
    }
}

#[test]
fn m13_an_unknown_message_is_a_typed_error_to_the_asker_and_a_dead_letter_for_a_tell() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    assert!(matches!(ask(&actor, "Nonsense", 0, "Sum"), Err(AskError::UnknownMessage(_))));
    let refused = actor.try_tell_raw(tag("Nonsense"), body(1));
    assert!(matches!(refused, Err(TryTellError::UnknownMessage { .. })), "{refused:?}");
    assert_eq!(runtime.dead_letters().count(DeadKind::UnknownMessage), 1);
}

#[test]
fn m17_a_mailbox_is_bounded_in_messages_and_full_gives_the_message_back() {
    let runtime = runtime_with(mailbox(4, 1 << 20));
    let actor = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    actor.pause("test", SOON).expect("paused");
    for n in 0..4 {
        actor.try_tell_raw(tag("Add"), body(n)).expect("there is room");
    }
    assert_eq!(actor.try_tell_raw(tag("Add"), body(9)), Err(TryTellError::Full(body(9))));
    // A tell that is dropped while it waits has sent nothing.
    assert!(waits(actor.tell_raw(tag("Add"), body(1000))));
    let waiting = actor.clone();
    let sender = std::thread::spawn(move || wait(waiting.tell_raw(tag("Add"), body(10))));
    actor.resume("test");
    sender.join().expect("it ends").expect("room came");
    until("all are handled", || actor.info().handled == 5);
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(16));
    wait(actor.stop("", SOON)).expect("it stops");
    assert_eq!(actor.try_tell_raw(tag("Add"), body(9)), Err(TryTellError::Closed(body(9))));
    assert_eq!(wait(actor.tell_raw(tag("Add"), body(9))), Err(TellError::Closed(body(9))));
}

#[test]
fn m17_a_mailbox_is_bounded_in_bytes() {
    let runtime = runtime_with(mailbox(1024, 64 << 10));
    let actor = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    actor.pause("test", SOON).expect("paused");
    let big = vec![0; 20 << 10];
    let taken = (0..10).take_while(|_| actor.try_tell_raw(tag("Add"), big.clone()).is_ok()).count();
    assert_eq!(taken, 3);
    assert!(actor.info().queued_bytes <= 64 << 10);
    actor.try_tell_raw(tag("Add"), body(0)).expect("a small one fits");
}

#[test]
fn m18_messages_of_one_sender_are_handled_in_the_order_they_were_accepted() {
    let code = Code::new("order", "1.0.0").tells(&["Note"]).asks("Get", "Sum").create(|_| Ok(vec![0; 32])).handle(
        |state, call, effects| {
            if let Some(waiting) = call.waiting {
                let sum: u64 = state.chunks(8).map(number).sum();
                return effects.reply(waiting.call, shape("Sum"), &body(sum));
            }
            let (sender, next) = ((number(call.body) >> 32) as usize, number(call.body) & 0xffff_ffff);
            let last = &mut state[sender * 8..][..8];
            if number(last) != next {
                return Err(failed("out of order"));
            }
            last.copy_from_slice(&body(next + 1));
            Ok(())
        },
    );
    let runtime = runtime_with(mailbox(100, 1 << 20));
    let actor = started(&runtime, "order/a", &code.build());
    let senders: Vec<_> = (0..4_u64)
        .map(|sender| {
            let actor = actor.clone();
            std::thread::spawn(move || {
                wait(async {
                    for n in 0..5_000 {
                        actor.tell_raw(tag("Note"), body(sender << 32 | n)).await.expect("accepted");
                    }
                });
            })
        })
        .collect();
    while !senders.iter().all(|sender| sender.is_finished()) {
        if actor.pause("test", SOON).is_ok() {
            actor.resume("test");
        }
    }
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(20_000));
    assert_eq!(actor.info().failed, 0);
}

// Invariant 4
#[test]
fn m19_an_error_or_a_panic_releases_no_effect() {
    let (noted, seen) = notes();
    let sink = Code::new("sink", "1.0.0").tells(&["Note"]).handle(move |_, call, _| {
        noted.send(number(call.body));
        Ok(())
    });
    let code = Code::new("actor", "1.0.0").tells(&["Go"]).asks("Ask", "Sum").handle(|_, call, effects| {
        effects.tell(addr("sink/a"), tag("Note"), call.body)?;
        if let Some(waiting) = call.waiting {
            effects.reply(waiting.call, shape("Sum"), &body(1))?;
        }
        match number(call.body) {
            1 => Err(failed("no")),
            2 => panic!("ouch"),
            _ => Ok(()),
        }
    });
    let runtime = runtime();
    started(&runtime, "sink/a", &sink.build());
    let actor = started(&runtime, "actor/a", &code.build());
    assert_eq!(ask(&actor, "Ask", 1, "Sum"), Err(AskError::Failed("no".into())));
    assert_eq!(ask(&actor, "Ask", 2, "Sum"), Err(AskError::Panicked("ouch".into())));
    wait(actor.tell_raw(tag("Go"), body(3))).expect("accepted");
    assert_eq!(next(&seen), 3, "nothing of the first two came out");
    assert_eq!(runtime.dead_letters().count(DeadKind::Panicked), 1);
}

#[test]
fn m20_two_full_actors_that_tell_each_other_get_out_of_each_others_way() {
    let (noted, undelivered) = notes();
    let code = |noted: Note<String>| {
        Code::new("talker", "1.0.0").tells(&["Say"]).handle(move |_, call, effects| {
            if let Cause::Undelivered(text) = call.cause {
                noted.send(text.to_owned());
                return Ok(());
            }
            let other = if call.this.key() == "a" { "talker/b" } else { "talker/a" };
            if number(call.body) == 0 {
                return Ok(());
            }
            effects.tell(addr(other), tag("Say"), &body(number(call.body) - 1))?;
            effects.tell(addr(other), tag("Say"), &body(number(call.body) - 1))
        })
    };
    let mut config = mailbox(2, 1 << 20);
    config.outbox_timeout = MOMENT;
    let runtime = runtime_with(config);
    let code = code(noted).build();
    let (a, b) = (started(&runtime, "talker/a", &code), started(&runtime, "talker/b", &code));
    a.pause("test", SOON).expect("paused");
    b.pause("test", SOON).expect("paused");
    for n in [10, 10] {
        a.try_tell_raw(tag("Say"), body(n)).expect("room");
        b.try_tell_raw(tag("Say"), body(n)).expect("room");
    }
    a.resume("test");
    b.resume("test");
    next(&undelivered);
    assert!(runtime.dead_letters().count(DeadKind::Undelivered) > 0);
    until("both are idle again", || {
        [&a, &b].iter().all(|actor| actor.info().queued_messages == 0 && actor.info().outbox_effects == 0)
    });
}

#[test]
fn a_child_that_does_not_start_is_reported_to_its_parent() {
    let (noted, undelivered) = notes();
    let code = Code::new("parent", "1.0.0").tells(&["Go"]).handle(move |_, call, effects| {
        if let Cause::Undelivered(text) = call.cause {
            noted.send(text.to_owned());
            return Ok(());
        }
        let args = teneral_runtime::ports::Body { shape: shape("args"), bytes: &[] };
        effects.spawn(addr("nobody/a"), None, args)
    });
    let runtime = runtime();
    let actor = started(&runtime, "parent/a", &code.build());
    wait(actor.tell_raw(tag("Go"), body(0))).expect("accepted");
    assert!(next(&undelivered).contains("no kind nobody"));
    assert_eq!(runtime.dead_letters().count(DeadKind::NotStarted), 1);
}

#[test]
fn children_start_within_the_turn_and_stop_with_their_parent() {
    let shelf = Shelf::default();
    shelf.put(&counter("counter", "1.0.0").build());
    let code = Code::new("parent", "1.0.0").tells(&["Go"]).handle(move |_, _, effects| {
        let args = teneral_runtime::ports::Body { shape: shape("args"), bytes: &[] };
        effects.spawn(addr("counter/child"), None, args)?;
        effects.tell(addr("counter/child"), tag("Add"), &body(5))
    });
    let runtime = Runtime::new(config(), Spawn::Pool, SystemClock::new(), Arc::new(shelf));
    let parent = started(&runtime, "parent/a", &code.build());
    wait(parent.tell_raw(tag("Go"), body(0))).expect("accepted");
    // What it told its child is there before anybody else's word, once its turn is over.
    until("its turn is over", || parent.info().handled == 1);
    let child = runtime.actor(&addr("counter/child")).expect("it is there");
    assert_eq!(ask(&child, "Get", 0, "Sum"), Ok(5));
    assert_eq!(parent.info().children, [addr("counter/child")]);
    wait(parent.stop("", SOON)).expect("it stops");
    assert!(runtime.actors().is_empty());
    assert_eq!(ask(&child, "Get", 0, "Sum"), Err(AskError::Stopped));
}

#[test]
fn turns_run_on_the_callers_tokio_when_asked_to() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let ambient = Spawn::Ambient(tokio.handle().clone());
    let runtime = Runtime::new(config(), ambient, SystemClock::new(), Arc::new(Shelf::default()));
    let actor = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    for n in 1..=100 {
        wait(actor.tell_raw(tag("Add"), body(n))).expect("accepted");
    }
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(5050));
}

#[test]
fn a_turns_effects_are_bounded() {
    let code = Code::new("loud", "1.0.0").tells(&["Go"]).handle(|_, call, effects| match call.body[0] {
        0 => (0..1_000_000).try_for_each(|_| effects.tell(addr("nobody/a"), tag("Go"), &[])),
        1 => (0..1_000_000).try_for_each(|timer| effects.cancel_timer(TimerId(timer))),
        2 => effects.stop(&"because ".repeat(1000)),
        _ => effects.spawn(addr("nobody/b"), None, Body { shape: tag("Go").fingerprint, bytes: &vec![0; 2 << 20] }),
    });
    let runtime = runtime();
    let actor = started(&runtime, "loud/a", &code.build());
    for (effect, failed) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        wait(actor.tell_raw(tag("Go"), body(effect))).expect("accepted");
        until("the turn failed", || actor.info().failed == failed);
    }
    assert_eq!(runtime.dead_letters().total(), 0, "none of them left");
}

#[test]
fn a_dead_letter_is_sent_again_as_from_its_sender_or_not_at_all() {
    let code = Code::new("actor", "1.0.0")
        .tells(&["Go"])
        .handle(|_, call, effects| effects.tell(addr("counter/a"), tag("Add"), call.body));
    let (runtime, code) = (runtime(), code.build());
    let sender = started(&runtime, "actor/a", &code);
    wait(sender.tell_raw(tag("Go"), body(3))).expect("accepted");
    until("it reached nobody", || runtime.dead_letters().total() == 1);
    let letter = runtime.dead_letters().list().pop().expect("it is kept");
    let counter = started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
    wait(sender.stop("done", SOON)).expect("it stops");
    // Without its sender it would be the operator's own word, who may do what the sender may not.
    let refused = counter.resend(&letter).expect_err("its sender is no more");
    assert_eq!(refused, Some(AskError::NoActor("actor/a, who sent it".into())));
    assert_eq!(ask(&counter, "Get", 0, "Sum"), Ok(0));
    started(&runtime, "actor/a", &code);
    counter.resend(&letter).expect("accepted");
    assert_eq!(ask(&counter, "Get", 0, "Sum"), Ok(3));
}
