//! Pausing and upgrading, as the cell does it: the twelve steps' middle, without a library.
#![forbid(unsafe_code)]

mod common;

use common::*;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{Fault, FaultKind, Provider, Why};
use teneral_runtime::{
    ActorRef, DeadKind, Generation, Kept, LeaseLost, LeaseRequest, LeaseStep, Lost, ManualClock, PauseRefused, Place,
    Quiesced, RestartState, Runtime, Spawn, Status, StepError, TryTellError,
};

const MOMENT: Duration = Duration::from_millis(30);

/// A runtime in which it is never later than the test says: nothing lasts too long because the machine is busy.
fn timeless() -> (Runtime, Arc<ManualClock>) {
    let clock = ManualClock::new();
    (Runtime::new(config(), Spawn::Pool, clock.clone(), Arc::new(Shelf::default())), clock)
}

fn lease(actor: &ActorRef) -> LeaseRequest {
    LeaseRequest {
        owner: "upgrade-1".into(),
        generation: actor.info().generation,
        quiesce_timeout: SOON,
        max_pause: SOON,
        on_lost: Box::new(|lost| panic!("nobody takes this pause back: {lost:?}")),
    }
}

fn quiesce(actor: &ActorRef) -> Quiesced {
    actor.quiesce(lease(actor)).expect("it comes to rest")
}

/// The whole upgrade, as a transaction does it.
fn upgrade(actor: &ActorRef, to: &Arc<dyn Provider>) {
    move_on(quiesce(actor), to);
}

fn move_on(mut pause: Quiesced, to: &Arc<dyn Provider>) {
    let (schema, bytes) = (pause.provider().schema(), pause.save(1 << 20).expect("it saves"));
    let new = pause.make(LeaseStep::Migrate, || to.restore(schema, &bytes)).expect("it migrates");
    pause.commit(new, Arc::clone(to), Why::Upgraded).expect("it commits");
}

/// A counter whose second version counts in another scheme: its state is the sum and the version, and it replies the
/// sum plus a million for every version, so that a test sees which code answered.
fn counter_of(major: u64) -> Arc<dyn Provider> {
    let version = format!("{major}.0.0");
    let schema = u32::try_from(major).expect("small");
    counter("counter", &version)
        .schema(schema, &[schema - 1])
        .restore(move |from, state| {
            assert!(from == schema || from == schema - 1, "a path exists");
            Ok(state.to_vec())
        })
        .handle(move |state, call, effects| match call.waiting {
            Some(waiting) => effects.reply(waiting.call, shape("Sum"), &body(number(state) + major * 1_000_000)),
            None => {
                *state = body(number(state) + number(call.body));
                Ok(())
            }
        })
        .build()
}

/// A behaviour that blocks in `Hang` until the gate opens, and notes that it is there.
fn hanging(gate: &Gate, noted: Note<()>) -> Code {
    let gate = gate.clone();
    counter("counter", "1.0.0").tells(&["Hang"]).handle(move |state, call, effects| {
        if call.index == 2 {
            noted.send(());
            gate.pass();
            return Ok(());
        }
        counting(state, call, effects)
    })
}

#[test]
fn u1_a_call_sent_while_paused_is_answered_after_resume_by_the_new_code_with_migrated_state() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    wait(actor.tell_raw(tag("Add"), body(5))).expect("accepted");
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_005), "it has been handled");
    let pause = quiesce(&actor);
    let asking = actor.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Get", 0, "Sum"));
    until("the call waits", || actor.info().queued_messages == 1);
    move_on(pause, &counter_of(2));
    assert_eq!(asked.join().expect("it ends"), Ok(2_000_005));
    assert_eq!((actor.info().generation, actor.info().schema), (Generation(1), 2));
}

#[test]
fn u2_messages_sent_while_paused_are_all_handled_after_resume_in_order() {
    let (noted, seen) = notes();
    let code = |version: &str, noted: Note<u64>| {
        let code = Code::new("order", version).tells(&["Note"]);
        code.handle(move |_, call, _| {
            noted.send(number(call.body));
            Ok(())
        })
    };
    let runtime = runtime();
    let actor = started(&runtime, "order/a", &code("1.0.0", noted.clone()).build());
    let pause = quiesce(&actor);
    for n in 0..500 {
        actor.try_tell_raw(tag("Note"), body(n)).expect("there is room");
    }
    move_on(pause, &code("2.0.0", noted).build());
    assert!((0..500).all(|n| next(&seen) == n));
}

#[test]
fn u3_no_user_message_is_handled_while_paused_and_state_reads_are_answered() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    wait(actor.tell_raw(tag("Add"), body(5))).expect("accepted");
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_005));
    // Counted when the activation ends, which may be after the answer.
    until("both are counted", || actor.info().handled == 2);
    let pause = quiesce(&actor);
    let handled = actor.info().handled;
    for n in 0..100 {
        actor.try_tell_raw(tag("Add"), body(n)).expect("there is room");
        let read = wait(actor.state(SOON)).expect("a paused actor's state is read");
        assert_eq!(read.bytes, body(5));
    }
    assert_eq!(actor.info().status, Status::Paused { owner: "upgrade-1".into() });
    assert_eq!((actor.info().handled, actor.info().queued_messages), (handled, 100));
    drop(pause);
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_005 + 4950));
}

#[test]
fn u4_pausing_twice_and_resuming_twice_are_no_ops() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    actor.pause("ops", SOON).expect("paused");
    actor.pause("ops", SOON).expect("paused already");
    assert_eq!(actor.pause("other", SOON), Err(PauseRefused::Held { owner: "ops".into() }));
    actor.resume("other");
    assert_eq!(actor.info().status, Status::Paused { owner: "ops".into() });
    actor.resume("ops");
    actor.resume("ops");
    assert_eq!(actor.info().status, Status::Running);
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_000));
}

#[test]
fn u5_without_a_pause_there_is_no_way_to_migrate() {
    // `Quiesced` is the only type with `save`, `make` and `commit`, and only a cell at rest mints it.
    let runtime = runtime();
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    let refused = actor.quiesce(LeaseRequest { quiesce_timeout: MOMENT, ..lease(&actor) });
    assert!(matches!(refused, Err(PauseRefused::Busy { .. })), "{refused:?}");
    gate.open();
    assert_eq!(actor.info().generation, Generation(0));
}

#[test]
fn u16_an_actor_busy_past_the_deadline_is_deferred_keeps_its_state_and_can_be_retried() {
    let runtime = runtime();
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Add"), body(5))).expect("accepted");
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    let refused = actor.quiesce(LeaseRequest { quiesce_timeout: MOMENT, ..lease(&actor) });
    match refused {
        Err(PauseRefused::Busy { running_for, message }) => {
            assert!(running_for >= MOMENT);
            assert_eq!(message, "Hang");
        }
        other => panic!("{other:?}"),
    }
    gate.open();
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(5));
    upgrade(&actor, &counter_of(2));
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(2_000_005));
}

#[test]
fn u17_a_pause_request_that_timed_out_never_pauses_the_actor_later() {
    let runtime = runtime();
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    let refused = actor.quiesce(LeaseRequest { quiesce_timeout: MOMENT, ..lease(&actor) });
    assert!(matches!(refused, Err(PauseRefused::Busy { .. })), "{refused:?}");
    gate.open();
    for _ in 0..100 {
        assert_eq!(wait(actor.ask_raw(tag("Get"), body(0), shape("Sum"), SOON)).map(|(_, sum)| sum), Ok(body(0)));
        assert_eq!(actor.info().status, Status::Running);
    }
}

#[test]
fn f19_a_handler_that_never_returns_defers_and_nothing_is_paused_later() {
    let runtime = runtime();
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    for _ in 0..3 {
        let refused = actor.quiesce(LeaseRequest { quiesce_timeout: MOMENT, ..lease(&actor) });
        assert!(matches!(refused, Err(PauseRefused::Busy { .. })), "{refused:?}");
        assert_eq!(actor.info().status, Status::Running);
    }
    gate.open();
    wait(actor.tell_raw(tag("Add"), body(1))).expect("accepted");
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1));
}

#[test]
fn f20_a_mailbox_that_fills_while_paused_pushes_back_and_drops_nothing() {
    let runtime = runtime_with(mailbox(8, 1 << 20));
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let pause = quiesce(&actor);
    let accepted = (0..20).filter(|_| actor.try_tell_raw(tag("Add"), body(1)).is_ok()).count();
    assert_eq!(accepted, 8);
    assert_eq!(actor.try_tell_raw(tag("Add"), body(1)), Err(TryTellError::Full(body(1))));
    let waiting = actor.clone();
    let sender = std::thread::spawn(move || wait(waiting.tell_raw(tag("Add"), body(100))));
    move_on(pause, &counter_of(2));
    sender.join().expect("it ends").expect("room came");
    until("all are handled", || actor.info().handled == 9);
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(2_000_108));
}

#[test]
fn f21_an_ask_that_times_out_while_paused_is_handled_once_and_its_reply_counted() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let pause = quiesce(&actor);
    let answer = wait(actor.ask_raw(tag("Get"), body(0), shape("Sum"), MOMENT));
    assert_eq!(answer, Err(AskError::Timeout));
    drop(pause);
    until("the reply is counted", || runtime.dead_letters().count(DeadKind::LateReply) == 1);
    assert_eq!(actor.info().handled, 1);
}

/// Starts `Once` after 1 s, and `Tick` every 10 s.
fn timed(version: &str, noted: Note<(u32, u64)>, clock: &Arc<ManualClock>) -> Arc<dyn Provider> {
    let clock = Arc::clone(clock);
    Code::new("timed", version)
        .tells(&["Once", "Tick", "Long"])
        .started(|_, why, effects| {
            if why == Why::Fresh {
                effects.after(Duration::from_secs(1), None, tag("Once"), &[])?;
                effects.after(Duration::from_secs(10), Some(Duration::from_secs(10)), tag("Tick"), &[])?;
                effects.after(Duration::from_secs(100), None, tag("Long"), &[])?;
            }
            Ok(())
        })
        .handle(move |_, call, _| {
            assert_eq!(caused_by(call), "timer");
            noted.send((call.index, teneral_runtime::Clock::now(&*clock).0 / 1_000_000_000));
            Ok(())
        })
        .build()
}

#[test]
fn u40_a_timer_due_during_a_pause_fires_once_after_resume_and_a_long_one_keeps_its_deadline() {
    let (runtime, clock) = timeless();
    let (noted, seen) = notes();
    let actor = started(&runtime, "timed/a", &timed("1.0.0", noted.clone(), &clock));
    until("its timers run", || actor.parked().iter().filter(|parked| parked.place == Place::Timer).count() == 3);
    let pause = actor.quiesce(LeaseRequest { max_pause: Duration::from_secs(3600), ..lease(&actor) });
    clock.advance(Duration::from_secs(35));
    assert!(seen.try_recv().is_err(), "nothing fires while paused");
    move_on(pause.expect("it comes to rest"), &timed("2.0.0", noted, &clock));
    assert_eq!(next(&seen), (0, 35));
    assert_eq!(next(&seen), (1, 35), "three ticks were missed and are one");
    clock.advance(Duration::from_secs(5));
    assert_eq!(next(&seen), (1, 40), "the next tick is on the grid");
    let mut clocked = Vec::new();
    for _ in 0..6 {
        clock.advance(Duration::from_secs(10));
        clocked.push(next(&seen));
    }
    clocked.push(next(&seen));
    assert!(clocked.contains(&(2, 100)), "{clocked:?}");
}

#[test]
fn f22_timers_that_came_due_while_paused_are_handled_in_due_order() {
    let (runtime, clock) = timeless();
    let (noted, seen) = notes();
    let actor = started(&runtime, "timed/a", &timed("1.0.0", noted, &clock));
    until("its timers run", || actor.parked().iter().filter(|parked| parked.place == Place::Timer).count() == 3);
    let pause = actor.quiesce(LeaseRequest { max_pause: Duration::from_secs(3600), ..lease(&actor) });
    clock.advance(Duration::from_secs(120));
    drop(pause);
    assert_eq!([next(&seen).0, next(&seen).0, next(&seen).0], [0, 1, 2]);
    assert!(seen.try_recv().is_err(), "missed ticks coalesce");
}

#[test]
fn f23_an_operator_cancels_and_the_old_version_serves() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let (noted, lost) = notes();
    let mut pause = actor
        .quiesce(LeaseRequest { on_lost: Box::new(move |lost| noted.send(lost)), ..lease(&actor) })
        .expect("it comes to rest");
    let bytes = pause.save(1 << 20).expect("it saves");
    actor.cancel_pause("ops");
    let why = LeaseLost::Cancelled { by: "ops".into() };
    assert_eq!((next(&lost).why, pause.cancelled()), (why.clone(), Some(why.clone())));
    let to = counter_of(2);
    let made = pause.make(LeaseStep::Migrate, || to.restore(1, &bytes));
    assert_eq!(made.err(), Some(StepError::Lost(why.clone())));
    let new = to.restore(1, &bytes).expect("it restores");
    assert_eq!(pause.commit(new, to, Why::Upgraded).err(), Some(why));
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_000));
    assert_eq!(actor.info().generation, Generation(0));
}

#[test]
fn f23_a_pause_that_is_still_asked_for_is_withdrawn_at_once() {
    let runtime = runtime();
    let (noted, inside) = notes();
    let gate = Gate::default();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&inside);
    let request = actor.ask_pause(lease(&actor)).expect("nobody else asks");
    let asking = Status::Paused { owner: "upgrade-1".into() };
    assert_eq!(actor.info().status, asking);
    actor.cancel_pause_of("upgrade-2", "ops");
    assert_eq!(actor.info().status, asking, "that one asks for nothing");
    actor.cancel_pause_of("upgrade-1", "ops");
    assert_eq!(actor.info().status, Status::Running);
    assert_eq!(request.wait().map(drop), Err(PauseRefused::Cancelled), "though the turn still runs");
    drop(actor.ask_pause(lease(&actor)).expect("nobody else asks"));
    assert_eq!(actor.info().status, Status::Running, "dropped, it is withdrawn");
    gate.open();
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(0));
}

#[test]
fn f28_an_actor_stopped_in_the_middle_stays_stopped() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let (noted, lost) = notes();
    let mut pause = actor
        .quiesce(LeaseRequest { on_lost: Box::new(move |lost: Lost| noted.send(lost)), ..lease(&actor) })
        .expect("it comes to rest");
    let bytes = pause.save(1 << 20).expect("it saves");
    wait(actor.stop("gone", SOON)).expect("it stops");
    let lost = next(&lost);
    assert_eq!((lost.why, lost.kept), (LeaseLost::Stopped, Kept::Nothing));
    let to = counter_of(2);
    let new = to.restore(1, &bytes).expect("it restores");
    assert_eq!(pause.commit(new, to, Why::Upgraded).err(), Some(LeaseLost::Stopped));
    assert_eq!(actor.info().status, Status::Stopped { reason: "gone".into() });
    assert!(runtime.actors().is_empty());
}

#[test]
fn f31_a_migration_that_hangs_loses_the_cell_and_the_old_version_serves() {
    let (runtime, clock) = timeless();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let gate = Gate::default();
    let ((noted, lost), (began, begun)) = (notes(), notes());
    let hangs = gate.clone();
    let upgrading = actor.clone();
    let transaction = std::thread::spawn(move || {
        let request =
            LeaseRequest { max_pause: MOMENT, on_lost: Box::new(move |lost| noted.send(lost)), ..lease(&upgrading) };
        let mut pause = upgrading.quiesce(request).expect("it comes to rest");
        pause.make(LeaseStep::Migrate, || {
            began.send(());
            hangs.pass();
            Ok(())
        })
    });
    next(&begun);
    clock.advance(MOMENT);
    let lost = next(&lost);
    assert_eq!((lost.step, lost.kept), (LeaseStep::Migrate, Kept::OldInstance));
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_000));
    gate.open();
    let made = transaction.join().expect("it ends");
    assert_eq!(made, Err(StepError::Lost(LeaseLost::Overdue { max_pause: MOMENT })));
}

#[test]
fn f41_a_save_that_hangs_costs_the_instance_and_keeps_the_queue() {
    let (gate, (began, begun)) = (Gate::default(), notes());
    let hangs = gate.clone();
    let code = counter("counter", "1.0.0").save(move |state| {
        began.send(());
        hangs.pass();
        Ok(state.clone())
    });
    let (runtime, clock) = timeless();
    let code = code.build();
    let actor = started(&runtime, "counter/a", &code);
    let (noted, lost) = notes();
    let upgrading = actor.clone();
    let transaction = std::thread::spawn(move || {
        let request =
            LeaseRequest { max_pause: MOMENT, on_lost: Box::new(move |lost| noted.send(lost)), ..lease(&upgrading) };
        let mut pause = upgrading.quiesce(request).expect("it comes to rest");
        pause.save(1 << 20)
    });
    next(&begun);
    wait(actor.tell_raw(tag("Add"), body(7))).expect("accepted");
    // The pause is over, and it is given as long as code may take.
    let mut last = None;
    until("it is said to hang", || {
        clock.advance(MOMENT);
        last = lost.try_recv().ok();
        last.is_some()
    });
    let lost = last.expect("it was lost");
    assert_eq!((lost.step, lost.kept), (LeaseStep::Save, Kept::ReplacedPer(RestartState::Init)));
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(7), "a new instance handles what waited");
    assert!(runtime.quarantined(code.digest()).is_some());
    gate.open();
    let saved = transaction.join().expect("it ends");
    assert_eq!(saved, Err(StepError::Lost(LeaseLost::Overdue { max_pause: MOMENT })));
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(7), "what came late is dropped");
}

#[test]
fn u41_name_timers_and_pending_replies_survive_and_nobody_sees_an_end() {
    let runtime = runtime();
    let mut events = runtime.events();
    let code = |version: &str| {
        Code::new("keeper", version).asks("Later", "Sum").tells(&["Now"]).handle(|state, call, effects| {
            if let Some(waiting) = call.waiting {
                *state = [body(waiting.call.epoch), body(waiting.call.number)].concat();
                effects.after(Duration::from_secs(3600), None, tag("Now"), &body(1))?;
                return Ok(());
            }
            let call_id = teneral_runtime::ports::CallId { epoch: number(&state[..8]), number: number(&state[8..]) };
            effects.reply(call_id, shape("Sum"), call.body)
        })
    };
    let actor = started(&runtime, "keeper/a", &code("1.0.0").build());
    let asking = actor.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Later", 0, "Sum"));
    until("the call is kept", || actor.info().handled == 1);
    upgrade(&actor, &code("2.0.0").build());
    assert_eq!(runtime.actor(&addr("keeper/a")), Some(actor.clone()));
    assert!(actor.parked().iter().any(|parked| parked.place == Place::Timer));
    wait(actor.tell_raw(tag("Now"), body(9))).expect("accepted");
    assert_eq!(asked.join().expect("it ends"), Ok(9));
    while let Ok(teneral_runtime::Seen::Event(event)) = events.next_blocking(Duration::ZERO) {
        let ended = matches!(event.what, teneral_runtime::What::Stopped { .. } | teneral_runtime::What::Failed(_));
        assert!(!ended, "{event:?}");
    }
}

#[test]
fn u43_a_caller_blocked_in_a_call_to_an_upgraded_actor_gets_its_answer() {
    let runtime = runtime();
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let actor = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(actor.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let actor = actor.clone();
            std::thread::spawn(move || ask(&actor, "Get", 0, "Sum"))
        })
        .collect();
    until("they wait", || actor.info().queued_messages == 8);
    let upgrading = actor.clone();
    let upgrade = std::thread::spawn(move || upgrade(&upgrading, &counter_of(2)));
    gate.open();
    upgrade.join().expect("it commits");
    for caller in callers {
        let answer = caller.join().expect("it ends").expect("an answer");
        assert!(answer == 0 || answer == 2_000_000, "{answer}");
    }
}

#[test]
fn i1_a_state_is_read_running_and_paused() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    wait(actor.tell_raw(tag("Add"), body(5))).expect("accepted");
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1_000_005));
    let read = wait(actor.state(SOON)).expect("a state");
    assert_eq!((read.bytes, read.schema, read.version.to_string()), (body(5), 1, "1.0.0".to_owned()));
    let _pause = quiesce(&actor);
    assert_eq!(wait(actor.state(SOON)).expect("a state").bytes, body(5));
}

#[test]
fn i10_an_actor_is_stopped_with_reason_and_timeout_also_while_paused() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    actor.pause("ops", SOON).expect("paused");
    wait(actor.stop("enough", SOON)).expect("it stops");
    assert_eq!(actor.info().status, Status::Stopped { reason: "enough".into() });
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let stuck = started(&runtime, "counter/a", &hanging(&gate, noted).build());
    wait(stuck.tell_raw(tag("Hang"), body(0))).expect("accepted");
    next(&hangs);
    let asking = stuck.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Get", 0, "Sum"));
    until("one waits", || stuck.info().queued_messages == 1);
    assert!(wait(stuck.stop("enough", MOMENT)).is_err(), "its turn does not end");
    assert_eq!(asked.join().expect("it ends"), Err(AskError::Stopped));
    started(&runtime, "counter/a", &counter_of(1));
    gate.open();
}

#[test]
fn a_commit_sends_what_waits_through_the_new_contract() {
    let runtime = runtime();
    let old = Code::new("kind", "1.0.0").tells(&["Kept", "Gone"]).asks("Ask", "Sum").build();
    let actor = started(&runtime, "kind/a", &old);
    let pause = quiesce(&actor);
    let (noted, seen) = notes();
    let new = Code::new("kind", "2.0.0").asks("Other", "Sum").tells(&["Kept"]).handle(move |_, call, _| {
        noted.send((call.index, number(call.body)));
        Ok(())
    });
    for (name, n) in [("Kept", 1), ("Gone", 2), ("Kept", 3)] {
        actor.try_tell_raw(tag(name), body(n)).expect("accepted");
    }
    let asking = actor.clone();
    let asked = std::thread::spawn(move || ask(&asking, "Ask", 0, "Sum"));
    until("all wait", || actor.info().queued_messages == 4);
    assert!(actor.parked().iter().any(|parked| parked.tag == tag("Kept") && parked.count == 2));
    move_on(pause, &new.build());
    assert_eq!([next(&seen), next(&seen)], [(1, 1), (1, 3)]);
    assert_eq!(runtime.dead_letters().count(DeadKind::UnknownMessage), 1);
    assert!(matches!(asked.join().expect("it ends"), Err(AskError::UnknownMessage(_))));
}

#[test]
fn a_plan_from_another_generation_is_stale_and_a_second_holder_is_refused() {
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &counter_of(1));
    let stale = actor.quiesce(LeaseRequest { generation: Generation(7), ..lease(&actor) });
    assert_eq!(stale.err(), Some(PauseRefused::Stale { expected: Generation(7), found: Generation(0) }));
    let _pause = quiesce(&actor);
    let held = actor.quiesce(lease(&actor)).err();
    assert_eq!(held, Some(PauseRefused::Held { owner: "upgrade-1".into() }));
}

#[test]
fn a_panic_costs_the_instance_and_keeps_the_queue() {
    let code = counter("counter", "1.0.0").tells(&["Panic"]).handle(|state, call, effects| match call.index {
        2 => Err(Fault::new(FaultKind::Panic, "ouch")),
        _ => counting(state, call, effects),
    });
    let runtime = runtime();
    let actor = started(&runtime, "counter/a", &code.build());
    actor.pause("test", SOON).expect("paused");
    for (name, n) in [("Add", 1), ("Panic", 0), ("Add", 10), ("Add", 100)] {
        actor.try_tell_raw(tag(name), body(n)).expect("accepted");
    }
    actor.resume("test");
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(110), "a new instance handles what waited");
    assert_eq!((actor.info().panics, actor.info().restarts), (1, 1));
    assert_eq!(runtime.dead_letters().count(DeadKind::Panicked), 1);
}

#[test]
fn villains_on_two_threads_leave_all_others_answering() {
    let gate = Gate::default();
    let (noted, hangs) = notes();
    let mut config = config();
    config.threads = 2;
    config.hang_after = Duration::from_millis(200);
    let runtime = runtime_with(config);
    let mut events = runtime.events();
    let villain = hanging(&gate, noted).build();
    let villains = ["counter/v1", "counter/v2"].map(|path| started(&runtime, path, &villain));
    let others: Vec<_> = (0..8).map(|n| started(&runtime, &format!("counter/{n}"), &counter_of(1))).collect();
    for villain in &villains {
        wait(villain.tell_raw(tag("Hang"), body(0))).expect("accepted");
        next(&hangs);
    }
    for actor in others.iter().cycle().take(200) {
        assert_eq!(ask(actor, "Get", 0, "Sum"), Ok(1_000_000));
    }
    // On a busy machine another turn may have been as slow, and is said to hang as well.
    let mut missing = villains.to_vec();
    while !missing.is_empty() {
        match events.next_blocking(SOON).expect("both are reported") {
            teneral_runtime::Seen::Event(event) => {
                if let teneral_runtime::What::Hung { addr, .. } = &event.what {
                    missing.retain(|villain| villain.addr() != addr);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(runtime.quarantined(villain.digest()).is_some());
    gate.open();
}
