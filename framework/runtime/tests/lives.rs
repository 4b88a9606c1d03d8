//! Lives of one name: what an actor's end, and a new beginning, leaves to whoever comes after.
#![forbid(unsafe_code)]

mod common;

use common::*;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{AskEffect, Body, Effects, Fault};
use teneral_runtime::{ActorOptions, ActorRef, DeadKind, RestartState, Runtime, Spawn, Start, StopError, SystemClock};

const MOMENT: Duration = Duration::from_millis(50);

fn spawns(effects: &mut dyn Effects) -> Result<(), Fault> {
    effects.spawn(addr("counter/child"), None, Body { shape: shape("args"), bytes: &[] })
}

/// Children are counters whose `init` says so and passes the gate.
fn with_children(began: Note<()>, gate: &Gate) -> Runtime {
    let (shelf, holds) = (Shelf::default(), gate.clone());
    let child = counter("counter", "1.0.0").create(move |_| {
        began.send(());
        holds.pass();
        Ok(body(0))
    });
    shelf.put(&child.build());
    Runtime::new(config(), Spawn::Pool, SystemClock::new(), Arc::new(shelf))
}

fn cut_off(actor: &ActorRef) {
    assert_eq!(wait(actor.stop("enough", MOMENT)), Err(StopError::CutOff(MOMENT)));
}

#[test]
fn m19_a_turn_that_comes_back_after_its_actor_was_cut_off_releases_no_effect() {
    let (began, begun) = notes();
    let (gate, open) = (Gate::default(), Gate::default());
    let holds = gate.clone();
    let code =
        Code::new("parent", "1.0.0").tells(&["Go", "Tick"]).asks("Ask", "Sum").handle(move |_, call, effects| {
            began.send(());
            holds.pass();
            effects.after(Duration::ZERO, Some(Duration::from_millis(1)), tag("Tick"), &[])?;
            spawns(effects)?;
            effects.tell(addr("counter/sink"), tag("Add"), &body(1))?;
            call.waiting.map_or(Ok(()), |waiting| effects.reply(waiting.call, shape("Sum"), &body(1)))
        });
    let code = code.build();
    open.open();
    let runtime = with_children(notes().0, &open);
    let sink = started(&runtime, "counter/sink", &counter("counter", "1.0.0").build());
    let (told, asked) = (started(&runtime, "parent/told", &code), started(&runtime, "parent/asked", &code));
    wait(told.tell_raw(tag("Go"), body(0))).expect("accepted");
    let asking = std::thread::spawn({
        let asked = asked.clone();
        move || ask(&asked, "Ask", 0, "Sum")
    });
    next(&begun);
    next(&begun);
    cut_off(&told);
    cut_off(&asked);
    let namesake = started(&runtime, "parent/told", &code);
    gate.open();
    assert_eq!(asking.join().expect("it ends"), Err(AskError::Stopped));
    until("the message is a dead letter", || runtime.dead_letters().count(DeadKind::Stopped) > 0);
    assert_eq!(ask(&sink, "Get", 0, "Sum"), Ok(0), "nothing was told");
    assert!(runtime.actor(&addr("counter/child")).is_none(), "nobody was started");
    assert!(namesake.info().children.is_empty());
    wait(namesake.tell_raw(tag("Go"), body(0))).expect("accepted");
    (0..5).for_each(|_| next(&begun));
    assert_eq!(runtime.dead_letters().count(DeadKind::Stopped), 1, "only the namesake's timer ticks");
}

#[test]
fn a_child_that_is_made_when_its_parent_is_cut_off_is_not_its_namesakes() {
    let (began, begun) = notes();
    let gate = Gate::default();
    let runtime = with_children(began, &gate);
    let code = Code::new("parent", "1.0.0").tells(&["Go"]).handle(|_, _, effects| spawns(effects)).build();
    let parent = started(&runtime, "parent/a", &code);
    wait(parent.tell_raw(tag("Go"), body(0))).expect("accepted");
    next(&begun);
    cut_off(&parent);
    let namesake = started(&runtime, "parent/a", &code);
    gate.open();
    until("the child is not started", || runtime.dead_letters().count(DeadKind::NotStarted) == 1);
    assert!(namesake.info().children.is_empty());
    assert!(runtime.actor(&addr("counter/child")).is_none());
}

fn after(effects: &mut dyn Effects, delay: Duration) -> Result<(), Fault> {
    effects.after(delay, None, tag("Own"), &[]).map(drop)
}

fn asks(effects: &mut dyn Effects, to: &str) -> Result<(), Fault> {
    let (tag, reply, then) = (tag("Get"), shape("Sum"), tag("Own"));
    let ask = AskEffect { to: addr(to), tag, body: &body(0), reply, timeout: SOON * 10, then, then_body: &[] };
    effects.ask(ask).map(drop)
}

const NEVER: Duration = Duration::from_secs(1 << 20);

/// An actor with a timer and an answer in its mailbox, another timer and another ask that wait, and a reply that it
/// owes; it is in a turn that panics when the gate opens. Whatever it handles later it notes by its cause.
struct Planner {
    runtime: Runtime,
    actor: ActorRef,
    gate: Gate,
    asking: std::thread::JoinHandle<Result<u64, AskError>>,
    handled: std::sync::mpsc::Receiver<&'static str>,
}

impl Planner {
    fn new(restart_state: RestartState) -> Self {
        let (runtime, gate) = (runtime(), Gate::default());
        let never = Code::new("never", "1.0.0").asks("Get", "Sum");
        started(&runtime, "never/a", &never.build());
        started(&runtime, "counter/a", &counter("counter", "1.0.0").build());
        let (note, handled) = notes();
        let options = ActorOptions { restart_state, ..ActorOptions::permanent() };
        let provider = planner("1.0.0", note, &gate).build();
        let actor = runtime.start(Start { options, ..start("planner/a", &provider) }).expect("it starts");
        let asking = std::thread::spawn({
            let actor = actor.clone();
            move || ask(&actor, "Get", 0, "Sum")
        });
        assert_eq!(next(&handled), "message");
        actor.pause("test", SOON).expect("paused");
        for message in ["Plan", "Panic"] {
            wait(actor.tell_raw(tag(message), body(0))).expect("accepted");
        }
        actor.resume("test");
        assert_eq!((next(&handled), next(&handled)), ("message", "message"));
        until("the timer and the answer are there", || actor.info().queued_messages == 2);
        Self { runtime, actor, gate, asking, handled }
    }

    /// Nothing of the life before comes to the new one, and all of it is accounted for.
    fn began_anew(self) {
        assert_eq!(self.asking.join().expect("it ends"), Err(AskError::NoReply));
        wait(self.actor.tell_raw(tag("Own"), vec![])).expect("accepted");
        assert_eq!(next(&self.handled), "message", "not a timer, not an answer");
        assert_eq!(self.actor.info().queued_messages, 0);
        let parked: Vec<_> = self.actor.parked().iter().map(|parked| parked.place).collect();
        assert_eq!(parked, [teneral_runtime::Place::RestartArgs]);
        until("two timers, an answer and a continuation are dead letters", || {
            self.runtime.dead_letters().count(DeadKind::Restarted) == 4
        });
    }
}

fn planner(version: &str, note: Note<&'static str>, gate: &Gate) -> Code {
    let holds = gate.clone();
    let code = Code::new("planner", version).tells(&["Plan", "Panic", "Own"]).asks("Get", "Sum");
    code.handle(move |_, call, effects| {
        note.send(caused_by(call));
        match call.index {
            0 => {
                after(effects, Duration::ZERO)?;
                after(effects, NEVER)?;
                asks(effects, "counter/a")?;
                asks(effects, "never/a")
            }
            1 => {
                holds.pass();
                panic!("it forgets its plans")
            }
            _ => Ok(()),
        }
    })
}

// Invariant 3
#[test]
fn a_restart_from_the_start_arguments_accounts_for_all_that_the_life_before_had_planned_asked_and_owed() {
    let planner = Planner::new(RestartState::Init);
    planner.gate.open();
    planner.began_anew();
}

#[test]
fn a_restart_without_a_snapshot_is_one_from_the_start_arguments() {
    let planner = Planner::new(RestartState::LastSnapshot);
    planner.gate.open();
    planner.began_anew();
}

#[test]
fn only_messages_whose_turns_ended_well_count_as_handled() {
    let ((began, begun), gate) = (notes(), Gate::default());
    let holds = gate.clone();
    let timer = std::sync::Mutex::new(None);
    let code = Code::new("varied", "1.0.0").tells(&["Start", "Cancel", "Fail", "Panic"]).asks("Get", "Sum");
    let code = code.handle(move |_, call, effects| {
        let mut timer = timer.lock().expect("it panics without it");
        match (call.index, call.waiting) {
            (0, _) => *timer = Some(effects.after(Duration::ZERO, None, tag("Start"), &[])?),
            (1, _) => {
                began.send(());
                holds.pass();
                effects.cancel_timer(timer.expect("it is started"))?;
            }
            (2, _) => return Err(failed("told to")),
            (3, _) => {
                drop(timer);
                panic!("told to");
            }
            (_, waiting) => effects.reply(waiting.expect("an ask").call, shape("Sum"), &body(1))?,
        }
        Ok(())
    });
    let runtime = runtime();
    let actor = started(&runtime, "varied/a", &code.build());
    actor.pause("test", SOON).expect("paused");
    for message in ["Start", "Cancel"] {
        wait(actor.tell_raw(tag(message), vec![])).expect("accepted");
    }
    actor.resume("test");
    next(&begun);
    until("its timer has fired", || actor.info().queued_messages == 1);
    for message in ["Fail", "Panic"] {
        wait(actor.tell_raw(tag(message), vec![])).expect("accepted");
    }
    gate.open();
    assert_eq!(ask(&actor, "Get", 0, "Sum"), Ok(1));
    // The timer that was cancelled after it had fired counts nowhere.
    until("the turns are counted", || actor.info().handled >= 3);
    let info = actor.info();
    assert_eq!((info.handled, info.failed, info.panics), (3, 1, 1));
}
