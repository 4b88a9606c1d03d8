//! Code that does not return: who pays for it, and who does not.

use crate::support::*;
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::thread;
use std::time::Duration;
use teneral_contract::{Addr, AskError, Fingerprint};
use teneral_runtime::error::CopyError;
use teneral_runtime::ports::{Body, CallId, Fault, Provider};
use teneral_runtime::{
    ActorOptions, ActorRef, Begin, EventStream, Intensity, PauseRefused, Quarantined, Seen as Event, Start, StateError,
    Status, SystemClock, What,
};
use tokio::task::JoinHandle;

/// A world whose watchdog soon says that a turn hangs.
fn strict() -> World {
    World::with(SystemClock::new(), |config| {
        config.hang_after = Duration::from_millis(50);
    })
}

/// So long a new instance may take in a world that is in a hurry.
const MOMENT: Duration = Duration::from_millis(50);

/// An actor in a world that is in a hurry. On a busy machine its first instance may take longer than a moment, too:
/// then it is another world's.
fn hurried(start: impl Fn(&World) -> Start) -> (World, ActorRef) {
    let mut begun = None;
    eventually("it starts within a moment", || {
        let world = World::with(SystemClock::new(), |config| config.start_timeout = MOMENT);
        let started = world.runtime.start(start(&world));
        begun = started.ok().map(|actor| (world, actor));
        begun.is_some()
    });
    begun.expect("it has begun")
}

/// A probe whose first instance is made at once and the others at the gate.
fn made_once(world: &World, gate: &Arc<Gate>) -> Arc<Probe> {
    let (inits, first) = (gate.clone(), AtomicBool::new(true));
    let probe = world.probe(1).on_create(move || {
        if !first.swap(false, Ordering::Relaxed) {
            inits.pass();
        }
        Ok(())
    });
    probe.arc()
}

/// A message that stays inside until the gate opens.
fn stays(world: &World, gate: &Arc<Gate>) -> Do {
    let gate = gate.clone();
    world.script(move |turn| {
        gate.pass();
        turn.reply()
    })
}

/// Waits until turns of all these actors are said to hang. Who else was: on a busy machine a turn may be as slow.
fn hung(events: &mut EventStream, actors: &[&str]) -> Vec<Addr> {
    let (mut missing, mut others): (Vec<Addr>, _) = (actors.iter().map(|key| addr(key)).collect(), Vec::new());
    while !missing.is_empty() {
        let seen = events.next_blocking(GENEROUS).expect("an event");
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        if let What::Hung { addr, .. } = &event.what {
            match missing.iter().position(|missing| missing == addr) {
                Some(at) => drop(missing.swap_remove(at)),
                None => others.push(addr.clone()),
            }
        }
    }
    others
}

#[test]
fn a_parent_does_not_hang_while_its_child_is_made() {
    let world = strict();
    let (inits, hangs) = (Gate::new(), Gate::new());
    let _opens = (Opens(inits.clone()), Opens(hangs.clone()));
    let parent = world.start("parent", &world.probe(1).arc());
    let init = inits.clone();
    world.shelve(world.probe(2).on_create(move || {
        init.pass();
        Ok(())
    }));
    let spawns =
        world.script(|turn| turn.effects.spawn(addr("child"), None, Body { shape: Fingerprint(7), bytes: &[] }));
    parent.try_tell(spawns).expect("there is room");
    inits.wait_for(1);
    // From here on it waits; what it did before may have been slow.
    let mut events = world.runtime.events();
    // One that begins later and does hang: it is the first that is reported, so the parent is not.
    let other = world.start("other", &world.probe(3).arc());
    other.try_tell(stays(&world, &hangs)).expect("there is room");
    hangs.wait_for(1);
    assert!(!hung(&mut events, &["other"]).contains(&addr("parent")));
    eventually("it is in no quarantine", || world.runtime.quarantined(parent.provider().digest()).is_none());
    // From then on its turn is watched as any other.
    inits.open();
    eventually("the child runs", || world.runtime.actor(&addr("child")).is_some());
    let hangs = Gate::new();
    let _opens = Opens(hangs.clone());
    parent.try_tell(stays(&world, &hangs)).expect("there is room");
    hung(&mut events, &["parent"]);
}

#[test]
fn a_restart_that_hangs_is_given_up_within_the_budget_and_its_version_quarantined() {
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    // Shorter than three tries take, which would never be too many if they counted.
    let intensity = Intensity { restarts_max: 2, period: MOMENT };
    let options = ActorOptions { intensity, ..ActorOptions::permanent() };
    let (world, actor) = hurried(|world| start("a", &made_once(world, &gate), options.clone()));
    let dies = world.script(|_| Err(panicked("told to")));
    actor.try_tell(dies).expect("there is room");
    eventually("it is given up", || is_stopped(&actor));
    gate.wait_for(2);
    let (digest, why) = (actor.provider().digest(), "probe/a hung while it was restarted".to_owned());
    assert_eq!(world.runtime.quarantined(digest).as_ref(), Some(&why));
    let version = actor.info().version;
    let expected = [Quarantined { digest, kind: "probe".to_owned(), version, why }];
    eventually("it is said, once, to who keeps it", || *world.shelf.quarantined.lock() == expected);
}

/// A probe whose instances hang in their destructor until the gate opens.
fn clings(world: &World, major: u32, gate: &Arc<Gate>) -> Arc<Probe> {
    let gate = gate.clone();
    world.probe(major).on_drop(move || gate.pass()).arc()
}

#[test]
fn a_destructor_that_hangs_holds_up_no_restart_and_no_stop_and_is_reported() {
    let world = strict();
    let mut events = world.runtime.events();
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let dies = world.script(|_| Err(panicked("told to")));
    let (sick, idle) = (world.start("sick", &clings(&world, 1, &gate)), world.start("idle", &clings(&world, 2, &gate)));
    world.wait(sick.tell(dies.clone())).expect("accepted");
    assert!(world.seen(&sick).entries.is_empty(), "its supervisor heard of it while its old instance hangs");
    world.seen(&idle);
    world.wait(idle.stop("", GENEROUS)).expect("it stops");
    assert!(world.runtime.actor(&addr("idle")).is_none());
    // Behind two that hang, others are restarted, stopped and dropped.
    let dropped = Gate::new();
    let well = {
        let dropped = dropped.clone();
        dropped.open();
        world.start("well", &world.probe(3).on_drop(move || dropped.pass()).arc())
    };
    world.wait(well.tell(dies)).expect("accepted");
    assert!(world.seen(&well).entries.is_empty());
    hung(&mut events, &["sick", "idle"]);
    dropped.wait_for(1);
    assert!(world.runtime.quarantined(sick.provider().digest()).is_some());
    assert!(world.runtime.quarantined(idle.provider().digest()).is_some());
    eventually("it is no worse for that", || world.runtime.quarantined(well.provider().digest()).is_none());
}

#[test]
fn a_destructor_that_hangs_is_blamed_on_its_own_version_and_not_on_the_one_that_serves() {
    let world = strict();
    let mut events = world.runtime.events();
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let (went, serves) = (clings(&world, 2, &gate), world.probe(1).arc());
    let actor = world.start("a", &serves);
    let instance = went.create(Body { shape: Fingerprint::NONE, bytes: &[] }).expect("it is made");
    actor.discard(instance, went.clone());
    let (version, doing) = loop {
        let seen = events.next_blocking(GENEROUS).expect("an event");
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        if let What::Hung { version, doing, .. } = &event.what {
            break (version.clone(), doing.clone());
        }
    };
    assert_eq!((&version, doing.as_str()), (went.version(), "its destructor"));
    eventually("it is quarantined", || world.runtime.quarantined(went.digest()).is_some());
    assert!(world.runtime.quarantined(serves.digest()).is_none(), "it did nothing");
    gate.open();
    eventually("it has returned", || world.runtime.quarantined(went.digest()).is_none());
}

#[test]
fn a_destructor_that_hangs_holds_up_no_shutdown_and_one_that_is_slow_is_waited_for() {
    let world = World::new();
    let (gate, slow) = (Gate::new(), Gate::new());
    let _opens = (Opens(gate.clone()), Opens(slow.clone()));
    world.start("slow", &clings(&world, 1, &slow));
    let runtime = world.runtime.clone();
    let shutdown = world.spawn(async move { runtime.shutdown(GENEROUS).await });
    slow.wait_for(1);
    assert!(!shutdown.is_finished());
    slow.open();
    world.wait(shutdown).expect("it ends");
    let world = World::new();
    world.start("hangs", &clings(&world, 1, &gate));
    world.wait(world.runtime.shutdown(Duration::from_millis(50)));
    gate.wait_for(1);
}

#[test]
fn a_panic_beside_a_turn_costs_no_thread_and_no_actor() {
    // One thread for all turns: without it nobody answers.
    let world = World::with(SystemClock::new(), |config| {
        (config.threads, config.threads_max, config.mailbox_messages_max) = (1, 1, 2);
    });
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let doomed = world.probe(1).on_drop(|| panic!("in its destructor")).arc();
    let (cut_off, full) = (world.start("cut-off", &doomed), world.start("full", &world.probe(2).arc()));
    cut_off.try_tell(stays(&world, &gate)).expect("there is room");
    gate.wait_for(1);
    world.wait(cut_off.stop("", Duration::from_millis(1))).expect_err("it does not stop in time");
    // Whoever waits for room has a waker that panics.
    (0..2).for_each(|number| full.try_tell(Put { sender: 1, number }).expect("there is room"));
    let mut waits = Box::pin(full.tell(Put { sender: 1, number: 2 }));
    let waker = std::task::Waker::from(Arc::new(Panics));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gate.open();
    assert_eq!(world.seen(&full).numbers(), [0, 1]);
    assert_eq!(full.info().restarts, 0);
    world.wait(waits).expect("there is room");
    assert_eq!(world.seen(&full).numbers(), [0, 1, 2]);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

/// From now on the actor owes a reply: to give it, and to wait for it.
fn indebted(world: &World, actor: &ActorRef) -> (Do, JoinHandle<Result<Log, AskError>>) {
    world.put(actor, 7);
    let kept: Arc<Mutex<Option<CallId>>> = Arc::default();
    let (keep, give) = (kept.clone(), kept.clone());
    let keeps = world.script(move |turn| {
        *keep.lock() = turn.call.waiting.map(|waiting| waiting.call);
        Ok(())
    });
    let gives = world.script(move |turn| turn.reply_to(give.lock().expect("it was asked")));
    let asker = actor.clone();
    let waits = world.spawn(async move { asker.ask(keeps, GENEROUS).await });
    eventually("the call is kept", || kept.lock().is_some());
    (gives, waits)
}

/// It has its state, and what it owes.
fn is_as_it_was(world: &World, actor: &ActorRef, gives: Do, waits: JoinHandle<Result<Log, AskError>>) {
    assert_eq!(world.seen(actor).numbers(), [7]);
    world.wait(actor.tell(gives)).expect("accepted");
    let answer = world.wait(waits).expect("the asker lives");
    assert_eq!(answer.map(|log| log.numbers()), Ok(vec![7]));
}

fn restart(actor: &ActorRef) -> thread::JoinHandle<Result<(), Fault>> {
    let actor = actor.clone();
    thread::spawn(move || actor.restart(Begin::Declared))
}

#[test]
fn a_restart_by_hand_whose_code_hangs_returns_and_leaves_the_actor_as_it_was() {
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let (world, actor) = hurried(|world| start("a", &made_once(world, &gate), ActorOptions::permanent()));
    let (gives, waits) = indebted(&world, &actor);
    let quarantined = || world.runtime.quarantined(actor.provider().digest());
    // A busy machine may not even come to the code within a moment. Then it is not the code that hangs.
    eventually("the code is said to hang", || {
        let restarting = restart(&actor);
        eventually("it returns", || restarting.is_finished());
        restarting.join().expect("it returned").expect_err("there is no new instance");
        quarantined().is_some()
    });
    assert_eq!(quarantined().as_deref(), Some("probe/a hung while it was restarted"));
    is_as_it_was(&world, &actor, gives, waits);
}

#[test]
fn a_restart_by_hand_that_is_cancelled_leaves_the_actor_as_it_was_and_one_that_is_not_begins_anew() {
    let world = World::with(SystemClock::new(), |config| config.start_timeout = GENEROUS);
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let actor = world.start("a", &made_once(&world, &gate));
    let (gives, waits) = indebted(&world, &actor);
    let restarting = restart(&actor);
    gate.wait_for(1);
    actor.cancel_pause("ops");
    gate.open();
    restarting.join().expect("it returns").expect_err("it was cancelled");
    is_as_it_was(&world, &actor, gives, waits);
    // Whoever is told that its call is over finds nothing left to cancel: the new instance is in.
    let (keeps, handled) = (world.script(|_| Ok(())), actor.info().handled);
    let mut asking = Box::pin(actor.ask(keeps, GENEROUS));
    let waker = std::task::Waker::from(Arc::new(Cancels(actor.clone())));
    assert!(asking.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    eventually("the call is kept", || actor.info().handled > handled);
    restart(&actor).join().expect("it returns").expect("it restarts");
    assert!(world.wait(asking).is_err(), "the new instance knows nothing of it");
    assert!(world.seen(&actor).entries.is_empty());
}

struct Cancels(ActorRef);

impl Wake for Cancels {
    fn wake(self: Arc<Self>) {
        self.0.cancel_pause("ops");
    }
}

#[test]
fn a_second_pause_of_the_same_owner_waits_like_the_first_until_the_turn_is_over() {
    const HOUR: Duration = Duration::from_secs(3600);
    let pauses = |actor: &ActorRef| {
        let actor = actor.clone();
        thread::spawn(move || actor.pause("ops", HOUR))
    };
    for stop_timeout in [Duration::from_millis(50), GENEROUS] {
        let world = World::with(SystemClock::new(), |config| config.stop_timeout = stop_timeout);
        let gate = Gate::new();
        let _opens = Opens(gate.clone());
        let actor = world.start("a", &world.probe(1).arc());
        actor.try_tell(stays(&world, &gate)).expect("there is room");
        gate.wait_for(1);
        let first = pauses(&actor);
        eventually("the pause is asked for", || first.is_finished() || actor.info().status != Status::Running);
        let second = pauses(&actor);
        if stop_timeout == GENEROUS {
            gate.open();
        }
        let answers = [first, second].map(|pause| pause.join().expect("it returns"));
        if stop_timeout == GENEROUS {
            assert_eq!(answers, [Ok(()), Ok(())]);
            assert_eq!(actor.info().status, Status::Paused { owner: "ops".to_owned() });
            world.wait(actor.tell(Put { sender: 1, number: 1 })).expect("accepted");
            actor.resume("ops");
            assert_eq!(world.seen(&actor).numbers(), [1]);
        } else {
            let busy = |answer: &Result<(), _>| matches!(answer, Err(PauseRefused::Busy { .. }));
            assert!(answers.iter().all(busy), "its turn is not over: {answers:?}");
        }
    }
}

#[test]
fn a_state_that_nobody_waits_for_any_more_is_not_saved() {
    let world = World::new();
    let (gate, saves) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let _opens = Opens(gate.clone());
    let counted = saves.clone();
    let probe = world.probe(1).on_save(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let actor = world.start("a", &probe.arc());
    actor.try_tell(stays(&world, &gate)).expect("there is room");
    gate.wait_for(1);
    let moment = Duration::from_millis(20);
    for _ in 0..10 {
        assert_eq!(world.wait(actor.state(moment)), Err(StateError::Timeout(moment)));
        let mut dropped = Box::pin(actor.state(GENEROUS));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    }
    gate.open();
    world.wait(actor.state(GENEROUS)).expect("it is read");
    assert_eq!(saves.load(Ordering::SeqCst), 1);
}

#[test]
fn a_save_that_hangs_for_a_look_loses_its_instance_to_nobody_but_a_restart_from_something_else() {
    let world = World::with(SystemClock::new(), |config| {
        (config.hang_after, config.start_timeout) = (Duration::from_millis(50), Duration::from_millis(500));
    });
    let (gate, saves, drops) = (Gate::new(), Arc::new(AtomicBool::new(true)), Gate::new());
    let _opens = Opens(gate.clone());
    drops.open();
    let (holds, hangs, dropped) = (gate.clone(), saves.clone(), drops.clone());
    let probe = world.probe(1).on_drop(move || dropped.pass()).on_save(move || {
        if hangs.load(Ordering::SeqCst) {
            holds.pass();
        }
        Ok(())
    });
    let actor = world.start("a", &probe.arc());
    world.put(&actor, 1);
    let copy = || actor.copy_state(1 << 20, MOMENT).map(drop);
    eventually("its code is said to hang", || matches!(copy(), Err(CopyError::Hangs(_))));
    assert_eq!(actor.hangs_in().as_deref(), Some("save"));
    actor.try_tell(Put { sender: 1, number: 2 }).expect("there is room");
    let kept = actor.restart(Begin::State).expect_err("its state cannot be had");
    assert!(kept.text.contains("busy with save"), "{kept}");
    assert_eq!((actor.hangs_in().as_deref(), actor.info().queued_messages), (Some("save"), 1), "it is as it was");
    eventually("it is restarted", || actor.restart(Begin::Args).is_ok());
    assert_eq!((world.seen(&actor).numbers(), actor.hangs_in()), (vec![2], None), "what waited is handled");
    saves.store(false, Ordering::SeqCst);
    world.wait(actor.state(GENEROUS)).expect("the new instance is asked");
    let quarantined = || world.runtime.quarantined(actor.provider().digest()).is_some();
    assert!(quarantined(), "that code still hangs");
    gate.open();
    drops.wait_for(1);
    eventually("its code has returned", || !quarantined());
    assert_eq!(world.seen(&actor).numbers(), [2], "what came late is nobody's");
    assert_eq!(upgrade(&actor, &world.probe(2).arc()).0, 1);
}

#[test]
fn a_long_turn_of_a_kind_that_declares_to_block_is_reported_and_not_quarantined() {
    let world = strict();
    let mut events = world.runtime.events();
    let gate = Gate::new();
    let _opens = Opens(gate.clone());
    let (blocks, hangs) =
        (world.start("blocks", &world.probe(1).blocking().arc()), world.start("hangs", &world.probe(2).arc()));
    for (actor, key) in [(&blocks, "blocks"), (&hangs, "hangs")] {
        actor.try_tell(stays(&world, &gate)).expect("there is room");
        hung(&mut events, &[key]);
    }
    let quarantined = |actor: &ActorRef| world.runtime.quarantined(actor.provider().digest()).is_some();
    eventually("the other is quarantined", || quarantined(&hangs));
    assert!(!quarantined(&blocks), "it was reported before");
    gate.open();
    world.start("more", &world.probe(1).blocking().arc());
}

#[test]
fn a_version_whose_slow_turns_have_all_returned_is_out_of_quarantine() {
    let world = strict();
    let mut events = world.runtime.events();
    let probe = world.probe(1).arc();
    let gates = [Gate::new(), Gate::new()];
    let _opens = gates.clone().map(Opens);
    let actors = ["a", "b"].map(|key| world.start(key, &probe));
    for (actor, gate) in actors.iter().zip(&gates) {
        actor.try_tell(stays(&world, gate)).expect("there is room");
        hung(&mut events, &[actor.addr().key()]);
    }
    let quarantined = || world.runtime.quarantined(probe.digest()).is_some();
    let kept = || world.shelf.quarantined.lock().len();
    eventually("it is kept", || quarantined() && kept() == 1);
    gates[0].open();
    for _ in 0..100 {
        assert_eq!(world.seen(&actors[0]).numbers(), [0; 0], "it answers");
        assert!(quarantined(), "the other one still hangs");
    }
    gates[1].open();
    eventually("it is out, and nothing is kept of it", || !quarantined() && kept() == 0);
    world.start("more", &probe);
}
