//! Room: whoever waits for it gets it when it is there.
#![forbid(unsafe_code)]

mod common;

use common::*;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use teneral_contract::AskError;
use teneral_runtime::ports::{AskEffect, Cause, Effects, Fault, FaultKind, Why};
use teneral_runtime::{ActorRef, Begin, DeadKind, TellError, TryTellError};

/// Says that a future was woken.
struct Woken(Note<()>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.send(());
    }
}

/// Lets a future wait while `meanwhile` runs, then polls it whenever it is woken, and never else.
fn waiting<T>(future: impl Future<Output = T>, meanwhile: impl FnOnce()) -> T {
    let (note, woken) = notes();
    let waker = Waker::from(Arc::new(Woken(note)));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    assert!(future.as_mut().poll(&mut context).is_pending(), "there is no room for it yet");
    meanwhile();
    loop {
        next(&woken);
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

/// What a future gives that waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn asks(effects: &mut dyn Effects, then: &str) -> Result<(), Fault> {
    let (to, then) = (addr("later/a"), tag(then));
    let (tag, reply) = (tag("Get"), shape("Sum"));
    let ask = AskEffect { to, tag, body: &body(0), reply, timeout: SOON * 10, then, then_body: &[] };
    effects.ask(ask).map(drop)
}

/// Asks when it is told to, in a mailbox of a few messages; the answers come when the gate opens.
fn asker(messages_max: usize, then: &'static str) -> (teneral_runtime::Runtime, ActorRef, Gate) {
    let runtime = runtime_with(mailbox(messages_max, 1 << 20));
    let gate = Gate::default();
    let holds = gate.clone();
    let later = Code::new("later", "1.0.0").asks("Get", "Sum").handle(move |_, call, effects| {
        holds.pass();
        effects.reply(call.waiting.expect("an ask").call, shape("Sum"), &body(3))
    });
    started(&runtime, "later/a", &later.build());
    let code = Code::new("asker", "1.0.0").tells(&["Ask", "Note", "Answered"]).handle(move |_, call, effects| {
        if call.index == 0 && matches!(call.cause, Cause::Message) { asks(effects, then) } else { Ok(()) }
    });
    let actor = started(&runtime, "asker/a", &code.build());
    (runtime, actor, gate)
}

#[test]
fn m17_room_kept_for_answers_keeps_nobody_from_the_room_that_is_free() {
    let (_runtime, actor, gate) = asker(8, "Answered");
    for n in 1..=5 {
        wait(actor.tell_raw(tag("Ask"), body(0))).expect("there is room");
        until("it has asked", || actor.info().handled == n);
    }
    actor.pause("test", SOON).expect("paused");
    for _ in 0..3 {
        actor.try_tell_raw(tag("Note"), body(0)).expect("three places are free");
    }
    let told = waiting(actor.tell_raw(tag("Note"), body(0)), || actor.resume("test"));
    told.expect("three places are free again, while five answers are still owed");
    gate.open();
}

#[test]
fn m17_room_that_an_answer_does_not_take_goes_to_whoever_waits() {
    let (runtime, actor, gate) = asker(1, "Nonsense");
    wait(actor.tell_raw(tag("Ask"), body(0))).expect("there is room");
    until("it has asked", || actor.info().handled == 1);
    let told = waiting(actor.tell_raw(tag("Note"), body(0)), || gate.open());
    told.expect("the answer has no way to the code, and its place is free");
    until("it is a dead letter", || runtime.dead_letters().count(DeadKind::UnknownMessage) == 1);
}

#[test]
fn m17_a_message_that_no_mailbox_could_hold_is_refused_at_once_and_the_largest_one_is_not() {
    let runtime = runtime_with(mailbox(8, 4 << 10));
    let code = counter("counter", "1.0.0").tells(&["Loud"]).handle(|state, call, effects| match call.index {
        2 => effects.tell(addr("counter/b"), tag("Add"), &[0; 4 << 10]),
        _ => counting(state, call, effects),
    });
    let code = code.build();
    let actor = started(&runtime, "counter/a", &code);
    started(&runtime, "counter/b", &code);
    let large = || vec![0; 4 << 10];
    let refused = ready(actor.tell_raw(tag("Add"), large()));
    let Err(TellError::TooLarge { bytes, limit_bytes, .. }) = refused else { panic!("{refused:?}") };
    assert!(bytes == 4 << 10 && limit_bytes < bytes, "{bytes} of {limit_bytes}");
    let asked = ready(actor.ask_raw(tag("Get"), large(), shape("Sum"), SOON));
    assert!(matches!(asked, Err(AskError::Encode(_))), "{asked:?}");
    ready(actor.tell_raw(tag("Loud"), vec![])).expect("accepted");
    until("the turn is over", || actor.info().queued_messages == 0 && actor.info().failed == 1);
    actor.pause("test", SOON).expect("paused");
    ready(actor.tell_raw(tag("Loud"), vec![0; limit_bytes])).expect("the largest one fits into an empty mailbox");
}

#[test]
fn m17_what_an_actor_tells_itself_is_bounded_by_the_mailboxs_maximum_again() {
    let code = Code::new("eager", "1.0.0").tells(&["Own"]).asks("Fill", "Sum").handle(|_, call, effects| {
        let Some(waiting) = call.waiting else { return Ok(()) };
        let own = vec![0; usize::try_from(number(call.body)).expect("a size")];
        let told = (0..200).take_while(|_| match effects.tell(addr("eager/a"), tag("Own"), &own) {
            Ok(()) => true,
            Err(fault) => {
                assert_eq!(fault.kind, FaultKind::Limit);
                false
            }
        });
        let told = told.count();
        effects.reply(waiting.call, shape("Sum"), &body(told as u64))
    });
    let code = code.build();
    let many = runtime_with(mailbox(8, 1 << 20));
    let actor = started(&many, "eager/a", &code);
    assert_eq!(ask(&actor, "Fill", 0, "Sum"), Ok(16));
    until("all are handled", || actor.info().handled == 17);
    let large = runtime_with(mailbox(1024, 8 << 10));
    let told = ask(&started(&large, "eager/a", &code), "Fill", 1 << 10, "Sum").expect("it answers");
    assert!((8..16).contains(&told), "{told} of 1 KiB and an envelope in twice 8 KiB");
}

#[test]
fn m17_an_answer_weighs_what_it_brings() {
    let runtime = runtime_with(mailbox(8, 64 << 10));
    let later = Code::new("later", "1.0.0")
        .asks("Get", "Sum")
        .handle(|_, call, effects| effects.reply(call.waiting.expect("an ask").call, shape("Sum"), &[0; 20 << 10]));
    let (gate, ask) = (Gate::default(), tag("Ask"));
    let ((note, begun), holds) = (notes(), gate.clone());
    let code = Code::new("asker", "1.0.0").tells(&["Ask", "Block", "Answered"]).handle(move |_, call, effects| {
        match call.index {
            0 => return asks(effects, "Answered"),
            1 => {
                note.send(());
                holds.pass();
            }
            _ => {}
        }
        Ok(())
    });
    let actor = started(&runtime, "asker/a", &code.build());
    started(&runtime, "later/a", &later.build());
    actor.pause("test", SOON).expect("paused");
    for message in [ask, ask, ask, tag("Block")] {
        actor.try_tell_raw(message, vec![]).expect("there is room");
    }
    actor.resume("test");
    next(&begun);
    until("the answers are there", || actor.info().queued_messages == 3);
    assert!(actor.info().queued_bytes > 60 << 10, "{} bytes", actor.info().queued_bytes);
    let refused = actor.try_tell_raw(ask, vec![0; 4 << 10]);
    assert!(matches!(refused, Err(TryTellError::Full(_))), "{refused:?}");
    gate.open();
}

/// Tells `sink/a` when it is told to; `save` says so and passes the gate.
fn teller(began: Note<()>, gate: &Gate) -> Code {
    let holds = gate.clone();
    let code = Code::new("teller", "1.0.0").tells(&["Go"]).save(move |state| {
        began.send(());
        holds.pass();
        Ok(state.clone())
    });
    code.handle(|_, _, effects| effects.tell(addr("sink/a"), tag("Note"), &[]))
}

/// A sink that handles nothing, and has no room.
fn full_sink(runtime: &teneral_runtime::Runtime, path: &str) -> ActorRef {
    let sink = started(runtime, path, &Code::new("sink", "1.0.0").tells(&["Note"]).build());
    sink.pause("test", SOON).expect("paused");
    sink.try_tell_raw(tag("Note"), vec![]).expect("there is room for one");
    sink
}

#[test]
fn m20_a_place_in_the_line_of_one_actor_is_none_in_its_namesakes() {
    let runtime = runtime_with(mailbox(1, 1 << 20));
    let ((began, begun), gate) = (notes(), Gate::default());
    let before = full_sink(&runtime, "sink/a");
    let actor = started(&runtime, "teller/a", &teller(began, &gate).build());
    wait(actor.tell_raw(tag("Go"), vec![])).expect("there is room");
    until("it stands in the line", || actor.info().outbox_effects == 1 && actor.info().handled == 1);
    let reading = std::thread::spawn({
        let actor = actor.clone();
        move || wait(actor.state(SOON))
    });
    next(&begun);
    wait(before.stop("", SOON)).expect("it stops");
    let namesake = full_sink(&runtime, "sink/a");
    let told = waiting(namesake.tell_raw(tag("Note"), vec![]), || {
        gate.open();
        reading.join().expect("it ends").expect("its state");
        // What the end of the one before woke comes before this.
        wait(actor.state(SOON)).expect("its state");
        namesake.resume("test");
    });
    told.expect("it was not forgotten");
    until("both are delivered", || namesake.info().handled == 3);
}

#[test]
fn m20_an_effect_stands_in_line_at_its_target_whatever_waits_in_the_outbox_before_it() {
    let mut config = mailbox(1, 1 << 20);
    config.outbox_timeout = SOON * 10;
    let runtime = runtime_with(config);
    let (never, soon) = (full_sink(&runtime, "sink/a"), full_sink(&runtime, "sink/b"));
    let open = Gate::default();
    open.open();
    let code = teller(notes().0, &open).started(|_, why, effects| match why {
        Why::Restarted => effects.tell(addr("sink/b"), tag("Note"), &[]),
        _ => Ok(()),
    });
    let actor = started(&runtime, "teller/a", &code.build());
    wait(actor.tell_raw(tag("Go"), vec![])).expect("there is room");
    until("it waits for the one", || actor.info().outbox_effects == 1 && actor.info().handled == 1);
    actor.restart(Begin::Declared).expect("it is at rest");
    until("it waits for the other too", || actor.info().outbox_effects == 2);
    soon.resume("test");
    until("it is told", || soon.info().handled == 2);
    assert_eq!((never.info().queued_messages, actor.info().outbox_effects), (1, 1));
}
