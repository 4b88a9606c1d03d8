//! What is kept of an instance that lives elsewhere, and how its actor goes on when its process is gone.

use crate::far::DIES;
use crate::probation::{ask_then, settled};
use crate::support::*;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use teneral_contract::AskError;
use teneral_runtime::ports::{Checkpoints, Why};
use teneral_runtime::{ActorOptions, ActorRef, EventStream, NotReplayed, Recovered, RestartState, Seen as Event, What};

const SECOND: Duration = Duration::from_secs(1);

/// A probe whose state is kept: a checkpoint after so many turns.
fn keeps(world: &World, messages_max: usize, replays: bool) -> Probe {
    let mut probe = world.probe(1);
    probe.checkpoints = Some(Checkpoints { messages_max, bytes_max: 1 << 20, replays });
    probe
}

/// The same, and equal messages have equal effects.
fn replays(world: &World, messages_max: usize) -> Probe {
    keeps(world, messages_max, true)
}

/// An actor whose state is kept, and what happens to it.
struct Kept {
    world: World,
    actor: ActorRef,
    events: Mutex<EventStream>,
}

impl Kept {
    fn new(probe: impl FnOnce(&World) -> Probe) -> Self {
        Self::with(World::new(), probe)
    }

    fn with(world: World, probe: impl FnOnce(&World) -> Probe) -> Self {
        let (probe, events) = (probe(&world).arc(), Mutex::new(world.runtime.events()));
        let actor = world.start("a", &probe);
        Self { world, actor, events }
    }

    fn tell(&self, message: Do) {
        self.world.wait(self.actor.tell(message)).expect("it is accepted");
    }

    fn puts(&self, numbers: impl IntoIterator<Item = u32>) {
        numbers.into_iter().for_each(|number| self.world.put(&self.actor, number));
    }

    fn numbers(&self) -> Vec<u32> {
        self.world.seen(&self.actor).numbers()
    }

    /// The process ends, once.
    fn dies(&self) -> Recovered {
        let died = AtomicBool::new(false);
        let dies = move |_: &mut Turn<'_>| {
            if died.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(failed(DIES)) }
        };
        self.tell(self.world.script(dies));
        self.recovered()
    }

    fn recovered(&self) -> Recovered {
        loop {
            let Event::Event(event) = self.world.wait(self.events.lock().next()).expect("the runtime lives") else {
                continue;
            };
            if let What::Recovered { recovered, .. } = &event.what {
                return recovered.clone();
            }
        }
    }

    /// Turns since the last checkpoint.
    fn since(&self) -> usize {
        self.actor.checkpoint().expect("it is kept").messages
    }
}

#[test]
fn p30_what_came_since_the_checkpoint_is_done_anew_by_the_next_process() {
    let kept = Kept::new(|world| replays(world, 4));
    // Each is told and then asked for: two turns. With the first one of all that makes 11.
    kept.puts(1..=5);
    assert_eq!(kept.since(), 3, "there was a checkpoint before the fifth and the ninth");
    let recovered = kept.dies();
    assert_eq!((recovered.replayed, recovered.not_replayed, recovered.why.clone()), (3, 0, None), "{recovered:?}");
    assert!(recovered.state_bytes.is_some(), "{recovered:?}");
    assert_eq!(kept.numbers(), [1, 2, 3, 4, 5]);
    kept.puts([6]);
    kept.dies();
    assert_eq!(kept.numbers(), [1, 2, 3, 4, 5, 6], "and so a second time");
    assert_eq!(kept.world.runtime.dead_letters().total(), 0);
}

#[test]
fn p30_without_a_checkpoint_it_goes_on_from_its_start_arguments_and_all_that_came() {
    let kept = Kept::new(|world| {
        let puts = |why, turn: &mut Turn<'_>| {
            turn.put(1, if why == Why::Fresh { 100 } else { 200 });
            Ok(())
        };
        replays(world, 1000).on_started(puts)
    });
    kept.puts([1, 2]);
    let recovered = kept.dies();
    assert_eq!((recovered.state_bytes, recovered.replayed), (None, 5), "{recovered:?}");
    assert_eq!(kept.numbers(), [100, 1, 2, 200]);
    kept.dies();
    assert_eq!(kept.numbers(), [100, 1, 2, 200, 200], "its first turns are among them");
}

#[test]
fn p30_a_turn_has_the_time_the_random_numbers_and_the_names_that_it_had() {
    let kept = Kept::new(|world| replays(world, 1000));
    let world = &kept.world;
    let draws = world.script(|turn| {
        let (drawn, now) = (turn.effects.random(), turn.effects.now());
        turn.put(2, drawn as u32);
        turn.put(2, now as u32);
        Ok(())
    });
    let asks = world.script(|turn| {
        let then = Put { sender: 0, number: 0 };
        let (body, then_body) = (encoded(&Seen), encoded(&then));
        let (to, tag, then) = (addr("nobody"), tag_of(&Seen), tag_of(&then));
        let reply = <Log as teneral_contract::Shape>::FINGERPRINT;
        let ask = teneral_runtime::ports::AskEffect {
            to,
            tag,
            body: &body,
            reply,
            timeout: GENEROUS,
            then,
            then_body: &then_body,
        };
        let call = turn.effects.ask(ask)?;
        turn.put(3, call.number as u32);
        // What it said is gone with this, and what it put is not.
        Err(failed("told to"))
    });
    kept.tell(draws.clone());
    kept.tell(asks);
    kept.tell(draws);
    let before = kept.world.seen(&kept.actor);
    assert_eq!((before.of(2).len(), before.of(3).len()), (4, 1));
    let recovered = kept.dies();
    assert_eq!((recovered.why, recovered.not_replayed), (None, 0));
    assert_eq!(kept.world.seen(&kept.actor), before);
}

#[test]
fn p31_a_checkpoint_bounds_what_is_kept() {
    let saves = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&saves);
    let kept = Kept::new(|world| {
        replays(world, 8).on_save(move || {
            counts.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    });
    // From within one turn, so that all of them wait at once and would fit into few batches.
    let gate = crate::probation::busy(&kept.world, &kept.actor);
    let _opens = Opens(gate.clone());
    for number in 0..200 {
        kept.actor.try_tell(Put { sender: 1, number }).expect("there is room");
    }
    gate.open();
    for _ in 0..50 {
        let since = kept.since();
        assert!(since <= 8, "{since} turns are kept");
        kept.world.put(&kept.actor, 1000);
    }
    let saves = saves.load(Ordering::Relaxed);
    assert!(saves >= 300 / 8, "{saves} checkpoints for some three hundred turns");
    assert_eq!(kept.dies().why, None);
    assert_eq!(kept.numbers().len(), 250);
}

#[test]
fn p31_what_is_kept_is_bounded_where_no_checkpoint_can_be_taken_and_that_is_said() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let kept = Kept::new(|world| {
        let hook = move || if failing.load(Ordering::Relaxed) { Err(failed("the disk is full")) } else { Ok(()) };
        replays(world, 5).on_save(hook)
    });
    kept.puts(0..20);
    let seen = kept.actor.checkpoint().expect("it is kept");
    assert_eq!((seen.state_bytes, seen.messages, seen.kept_bytes), (None, 41, 0), "{seen:?}");
    let why = seen.not_replayed.expect("not all is there").to_string();
    assert!(why.contains("the disk is full"), "{why}");
    fails.store(false, Ordering::Relaxed);
    kept.puts(20..30);
    let seen = kept.actor.checkpoint().expect("it is kept");
    assert!(seen.messages <= 5 && seen.not_replayed.is_none(), "{seen:?}");
    kept.dies();
    assert_eq!(kept.numbers(), (0..30).collect::<Vec<_>>());
}

#[test]
fn p32_what_was_released_before_a_crash_is_not_said_twice() {
    let (world, clock) = World::manual();
    let kept = Kept::with(world, |world| replays(world, 1000));
    let world = &kept.world;
    let (other, plain) = (world.probe(1).arc(), addr("other"));
    let other = world.start("other", &other);
    let says = world.script(move |turn| {
        turn.tell(&plain, &Put { sender: 9, number: 1 })?;
        turn.tell(&addr("a"), &Put { sender: 9, number: 2 })?;
        turn.after(SECOND, &Put { sender: 9, number: 3 })?;
        turn.ask(&addr("other"), GENEROUS)?;
        turn.put(9, 4);
        turn.reply()
    });
    world.wait(kept.actor.ask(says, GENEROUS)).expect("it answers");
    eventually("all of it has come", || settled(world, &kept.actor).numbers().len() == 3);
    let recovered = kept.dies();
    assert_eq!((recovered.why.clone(), recovered.not_replayed), (None, 0), "{recovered:?}");
    clock.advance(SECOND * 2);
    eventually("the timer that it began before fires", || settled(world, &kept.actor).numbers().len() == 4);
    let mut numbers = kept.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 2, 3, 4], "each once");
    assert_eq!(settled(world, &other).numbers(), [1], "and so at the other");
}

#[test]
fn p32_an_answer_that_comes_after_a_crash_finds_who_asked() {
    let kept = Kept::new(|world| replays(world, 1000));
    let world = &kept.world;
    let other = world.start("other", &world.probe(1).arc());
    let gate = crate::probation::busy(world, &other);
    let _opens = Opens(gate.clone());
    kept.tell(world.script(|turn| {
        turn.put(1, 1);
        ask_then(turn, "other", &Put { sender: 1, number: 7 })
    }));
    eventually("it is asked", || other.info().queued_messages == 1);
    kept.dies();
    gate.open();
    eventually("it is answered", || kept.numbers() == [1, 7]);
}

#[test]
fn p33_a_message_that_kills_the_module_twice_is_put_aside_and_nothing_else_is_lost() {
    let kept = Kept::new(|world| replays(world, 1000));
    kept.puts([1, 2]);
    let poison = kept.world.script(|_| Err(failed(DIES)));
    let error = kept.world.wait(kept.actor.ask(poison, GENEROUS)).expect_err("nobody can handle it");
    assert_eq!(error, AskError::Panicked(DIES.to_owned()));
    kept.puts([3]);
    assert_eq!(kept.numbers(), [1, 2, 3]);
    assert_eq!((kept.world.runtime.dead_letters().total(), kept.actor.info().restarts), (1, 2));
}

#[test]
fn p33_a_turn_that_was_well_and_kills_whoever_does_it_anew_is_put_aside() {
    let kept = Kept::new(|world| replays(world, 1000));
    let was = AtomicBool::new(false);
    let turns = move |turn: &mut Turn<'_>| {
        turn.put(1, 2);
        if was.swap(true, Ordering::Relaxed) { Err(failed(DIES)) } else { Ok(()) }
    };
    kept.puts([1]);
    kept.tell(kept.world.script(turns));
    kept.puts([3]);
    let recovered = kept.dies();
    assert_eq!((recovered.replayed, recovered.not_replayed), (5, 1), "{recovered:?}");
    assert!(matches!(&recovered.why, Some(NotReplayed::Died { number: 4, .. })), "{recovered:?}");
    assert_eq!(kept.numbers(), [1, 3]);
}

#[test]
fn where_the_code_says_something_else_the_actor_begins_with_its_checkpoint_and_that_is_said() {
    let said = AtomicUsize::new(0);
    type Differs = fn(&mut Turn<'_>, usize) -> Result<(), teneral_runtime::ports::Fault>;
    let differs: [Differs; 4] = [
        |turn, time| if time == 0 { Ok(()) } else { turn.tell(&addr("x"), &Put { sender: 1, number: 1 }) },
        |turn, time| if time > 0 { Ok(()) } else { turn.after(GENEROUS, &Put { sender: 1, number: 1 }) },
        |_, time| if time > 0 { Err(panicked("told to")) } else { Ok(()) },
        |_, time| if time > 0 { Err(failed("told to")) } else { Ok(()) },
    ];
    let whys = ["it tells probe/x something", "it did not begin a timer", "it panicked: told to", "it failed: told to"];
    for (says, why) in differs.into_iter().zip(whys) {
        let kept = Kept::new(|world| replays(world, 4));
        said.store(0, Ordering::Relaxed);
        let times = AtomicUsize::new(0);
        kept.puts([1, 2]);
        kept.tell(kept.world.script(move |turn| {
            turn.put(1, 3);
            says(turn, times.fetch_add(1, Ordering::Relaxed))
        }));
        assert_eq!(kept.numbers(), [1, 2, 3]);
        let recovered = kept.dies();
        let text = recovered.why.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(text.contains(why) && text.contains("Do"), "{text}");
        assert_eq!(recovered.replayed, 0, "{recovered:?}");
        let left = kept.numbers();
        assert!([1, 2].starts_with(&left), "{left:?}: what is in the checkpoint");
        kept.puts([4]);
        assert_eq!(kept.dies().why, None, "what comes from then on is kept again");
        assert_eq!(kept.numbers(), [&left[..], &[4]].concat());
    }
}

#[test]
fn a_kind_that_is_not_deterministic_goes_on_from_its_checkpoint_and_how_much_is_missing_is_said() {
    let kept = Kept::new(|world| keeps(world, 4, false));
    kept.puts([1, 2, 3]);
    let seen = kept.actor.checkpoint().expect("it is kept");
    assert_eq!((seen.messages, seen.not_replayed), (2, Some(NotReplayed::NotDeterministic)));
    let recovered = kept.dies();
    assert_eq!((recovered.replayed, recovered.not_replayed), (0, 2), "{recovered:?}");
    assert_eq!(recovered.why, Some(NotReplayed::NotDeterministic));
    assert_eq!(kept.numbers(), [1, 2]);
}

#[test]
fn a_panic_goes_by_restart_state_as_everywhere_and_what_is_kept_begins_anew() {
    let world = World::new();
    let probe = replays(&world, 1000).arc();
    let last = ActorOptions { restart_state: RestartState::LastSnapshot, ..ActorOptions::permanent() };
    let (init, last) = (world.start("init", &probe), world.start_with("last", &probe, last));
    for actor in [&init, &last] {
        world.put(actor, 1);
        upgrade(actor, &probe);
        world.put(actor, 2);
        world.wait(actor.tell(world.script(|_| Err(panicked("told to"))))).expect("it is accepted");
        eventually("it is restarted", || actor.info().restarts == 1);
        world.put(actor, 3);
        let died = AtomicBool::new(false);
        let dies = move |_: &mut Turn<'_>| {
            if died.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(failed(DIES)) }
        };
        world.wait(actor.tell(world.script(dies))).expect("it is accepted");
        eventually("it is restarted", || actor.info().restarts == 2);
    }
    assert_eq!((world.seen(&init).numbers(), world.seen(&last).numbers()), (vec![3], vec![1, 3]));
}

#[test]
fn p30_after_an_upgrade_the_state_that_it_brought_along_is_the_checkpoint() {
    let kept = Kept::new(|world| replays(world, 1000));
    kept.puts([1]);
    let same = replays(&kept.world, 1000).arc();
    upgrade(&kept.actor, &same);
    kept.puts([2]);
    let recovered = kept.dies();
    assert!(recovered.state_bytes.is_some(), "{recovered:?}");
    assert_eq!((recovered.replayed, recovered.not_replayed), (3, 0), "the first turn of the new one, and two");
    assert_eq!(kept.numbers(), [1, 2]);
}

#[test]
fn p30_what_it_started_stays_and_is_not_started_again() {
    let kept = Kept::new(|world| replays(world, 1000));
    kept.world.shelve(kept.world.probe(1));
    kept.tell(kept.world.script(|turn| {
        let args = teneral_runtime::ports::Body { shape: teneral_contract::Fingerprint(7), bytes: &[] };
        turn.effects.spawn(addr("child"), None, args)
    }));
    let child = || kept.world.runtime.actor(&addr("child"));
    eventually("the child runs", || child().is_some());
    let before = child().expect("it runs");
    kept.world.put(&before, 1);
    let recovered = kept.dies();
    assert_eq!((recovered.not_replayed, recovered.why), (0, None));
    kept.puts([2]);
    assert_eq!(kept.world.seen(&child().expect("it stays")).numbers(), [1]);
    assert_eq!(kept.actor.info().children, [addr("child")]);
}
