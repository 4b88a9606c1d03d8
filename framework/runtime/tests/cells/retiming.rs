//! Back after the commit: an actor's timers are those that the version before has begun and not cancelled, with the
//! time that is left to them.

use crate::probation::*;
use crate::support::*;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use teneral_runtime::clock::Sleeper;
use teneral_runtime::ports::{Fault, TimerId};
use teneral_runtime::{ActorRef, Clock, DeadKind, ManualClock, Moment};

const SECOND: Duration = Duration::from_secs(1);

/// An actor of the first of two versions, and the timers that its turns begin.
struct Clockwork {
    world: World,
    clock: Arc<ManualClock>,
    actor: ActorRef,
    old: Arc<Probe>,
    new: Arc<Probe>,
    /// Which version began which, in order.
    began: Arc<Mutex<Vec<(u32, TimerId)>>>,
}

type Began = Arc<Mutex<Vec<(u32, TimerId)>>>;

/// Begins a timer that says which version it is of.
fn begin(turn: &mut Turn<'_>, began: &Began, seconds: u32, period: Option<u32>) -> Result<TimerId, Fault> {
    let says = Put { sender: 2, number: turn.by };
    let period = period.map(|seconds| SECOND * seconds);
    let id = turn.effects.after(SECOND * seconds, period, tag_of(&says), &encoded(&says))?;
    began.lock().push((turn.by, id));
    Ok(id)
}

impl Clockwork {
    fn new() -> Self {
        let (world, clock) = World::manual();
        let (actor, old, new) = two(&world);
        Self { world, clock, actor, old, new, began: Arc::default() }
    }

    /// Has the actor do it, and waits until it has.
    fn turn(&self, does: impl Fn(&mut Turn<'_>, &Began) -> Result<(), Fault> + Send + Sync + 'static) {
        let began = self.began.clone();
        let script = self.world.script(move |turn| {
            does(turn, &began)?;
            turn.reply()
        });
        self.world.wait(self.actor.ask(script, GENEROUS)).expect("it answers");
    }

    fn on_probation(&self) -> Probation {
        Probation::begin(&self.actor, &self.old, &self.new)
    }

    fn pass(&self, seconds: u32) {
        self.clock.advance(SECOND * seconds);
    }

    /// Which version's timers have fired, in order.
    fn fired(&self) -> Vec<u32> {
        settled(&self.world, &self.actor).of(2)
    }

    fn timers(&self) -> usize {
        let parked = self.actor.parked();
        parked.iter().filter(|parked| parked.place == teneral_runtime::Place::Timer).map(|parked| parked.count).sum()
    }
}

#[test]
fn f38_a_timer_that_both_versions_begin_goes_on_with_the_message_of_the_version_before() {
    let at = Clockwork::new();
    let probation = at.on_probation();
    at.turn(|turn, began| begin(turn, began, 10, None).map(drop));
    at.pass(5);
    probation.back();
    let began = at.began.lock().clone();
    assert_eq!((began.len(), began[0].1), (2, began[1].1), "one id, as both know it");
    at.pass(4);
    assert!(at.fired().is_empty());
    at.pass(1);
    assert_eq!(at.fired(), [1]);
    assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (0, 0));
}

#[test]
fn f38_a_timer_that_fired_on_probation_is_the_version_befores_whether_it_was_handled_or_waits() {
    for waits in [false, true] {
        let at = Clockwork::new();
        let probation = at.on_probation();
        at.turn(|turn, began| {
            begin(turn, began, 3, None)?;
            begin(turn, began, 4, Some(4)).map(drop)
        });
        let paused = if waits {
            let paused = probation.pause();
            at.pass(4);
            eventually("both wait", || at.actor.info().queued_messages == 2);
            paused
        } else {
            at.pass(4);
            assert_eq!(at.fired(), [2, 2]);
            probation.pause()
        };
        probation.replay(paused);
        assert_eq!(at.fired(), [1, 1]);
        at.pass(4);
        assert_eq!(at.fired(), [1, 1, 1], "the periodic one goes on");
        assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (1, 0));
    }
}

#[test]
fn f38_a_timer_that_only_the_version_on_probation_began_never_fires() {
    for waits in [false, true] {
        let at = Clockwork::new();
        let probation = at.on_probation();
        at.turn(|turn, began| if turn.by == 2 { begin(turn, began, 3, None).map(drop) } else { Ok(()) });
        let paused = probation.pause();
        if waits {
            at.pass(3);
            eventually("it waits", || at.actor.info().queued_messages == 1);
        }
        probation.replay(paused);
        at.pass(9);
        assert!(at.fired().is_empty());
        assert_eq!((letters(&at.world, DeadKind::RolledBack), at.timers()), (1, 0));
    }
}

#[test]
fn f38_a_timer_that_only_the_version_before_begins_has_the_time_that_is_left() {
    let at = Clockwork::new();
    let probation = at.on_probation();
    at.turn(|turn, began| if turn.by == 1 { begin(turn, began, 10, None).map(drop) } else { Ok(()) });
    at.pass(4);
    probation.back();
    at.pass(5);
    assert!(at.fired().is_empty());
    at.pass(1);
    assert_eq!(at.fired(), [1]);
}

#[test]
fn f38_an_older_timer_that_the_version_on_probation_cancelled_runs_again_with_the_time_that_is_left() {
    let at = Clockwork::new();
    at.turn(|turn, began| {
        begin(turn, began, 10, None)?;
        begin(turn, began, 2, Some(20)).map(drop)
    });
    let probation = at.on_probation();
    at.turn(|turn, began| {
        let all = began.lock().clone();
        if turn.by == 2 { all.iter().try_for_each(|(_, id)| turn.effects.cancel_timer(*id)) } else { Ok(()) }
    });
    at.pass(4);
    assert_eq!((at.fired(), at.timers()), (vec![], 0));
    probation.back();
    eventually("the one that is due fires", || at.fired() == [1]);
    at.pass(5);
    assert_eq!(at.fired(), [1]);
    at.pass(1);
    assert_eq!(at.fired(), [1, 1]);
    at.pass(11);
    assert_eq!(at.fired(), [1, 1]);
    at.pass(1);
    assert_eq!(at.fired(), [1, 1, 1], "on the grid of its first deadline");
}

#[test]
fn f38_an_older_timer_that_only_the_version_before_cancels_is_cancelled_and_no_loss() {
    for waits in [false, true] {
        let at = Clockwork::new();
        at.turn(|turn, began| begin(turn, began, 10, Some(10)).map(drop));
        let probation = at.on_probation();
        at.turn(|turn, began| {
            let id = began.lock()[0].1;
            if turn.by == 1 { turn.effects.cancel_timer(id) } else { Ok(()) }
        });
        let paused = probation.pause();
        if waits {
            at.pass(10);
            eventually("it waits", || at.actor.info().queued_messages == 1);
        }
        probation.replay(paused);
        at.pass(30);
        assert!(at.fired().is_empty());
        assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (0, 0));
    }
}

#[test]
fn f38_a_timer_that_both_begin_and_only_one_cancels_is_as_the_version_before_has_it() {
    for canceller in [1, 2] {
        let at = Clockwork::new();
        let probation = at.on_probation();
        at.turn(|turn, began| begin(turn, began, 10, None).map(drop));
        at.turn(move |turn, began| {
            let id = began.lock().iter().find(|(by, _)| *by == turn.by).map(|began| began.1);
            id.filter(|_| turn.by == canceller).map_or(Ok(()), |id| turn.effects.cancel_timer(id))
        });
        at.pass(4);
        probation.back();
        at.pass(5);
        assert!(at.fired().is_empty());
        at.pass(1);
        let expected: &[u32] = if canceller == 2 { &[1] } else { &[] };
        assert_eq!(at.fired(), expected, "version {canceller} cancels it");
        assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (0, 0));
    }
}

#[test]
fn f38_a_timer_that_is_periodic_for_one_version_only_is_what_the_version_before_made_it() {
    for (periodic, after) in [(1, vec![1, 1, 1]), (2, vec![1])] {
        for waits in [false, true] {
            let at = Clockwork::new();
            let probation = at.on_probation();
            at.turn(move |turn, began| {
                let period = (turn.by == periodic).then_some(5);
                begin(turn, began, 5, period).map(drop)
            });
            let paused = if waits {
                let paused = probation.pause();
                at.pass(5);
                eventually("it waits", || at.actor.info().queued_messages == 1);
                paused
            } else {
                at.pass(5);
                assert_eq!(at.fired(), [2]);
                probation.pause()
            };
            probation.replay(paused);
            eventually("it was handled", || at.fired() == [1]);
            at.pass(5);
            eventually("it is as it was made", || at.fired().len() == after.len().min(2));
            at.pass(5);
            eventually("it is as it was made", || at.fired() == after);
        }
    }
}

#[test]
fn f38_a_timers_message_that_a_version_on_probation_panics_on_is_handled_by_the_version_before() {
    for (older, period) in [(true, None), (false, None), (true, Some(5)), (false, Some(5))] {
        let at = Clockwork::new();
        let worse = at.world.script(|turn| {
            if turn.by == 2 {
                return Err(panicked("not at this hour"));
            }
            turn.put(2, turn.by);
            Ok(())
        });
        let begins = move |turn: &mut Turn<'_>, _: &Began| {
            let period = period.map(|seconds| SECOND * seconds);
            turn.effects.after(SECOND * 5, period, tag_of(&worse), &encoded(&worse)).map(drop)
        };
        let probation = if older {
            at.turn(begins);
            at.on_probation()
        } else {
            let probation = at.on_probation();
            at.turn(begins);
            probation
        };
        at.pass(5);
        let crashed = probation.crash();
        probation.replay(crashed.pause);
        assert_eq!(at.fired(), [1], "older: {older}, {period:?}");
        at.pass(5);
        assert_eq!(at.fired().len(), if period.is_some() { 2 } else { 1 });
        assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (usize::from(period.is_some()), 0));
    }
}

#[test]
fn f38_a_timers_message_that_a_version_on_probation_panics_on_and_only_it_planned_is_a_dead_letter() {
    for forgets in [false, true] {
        let at = Clockwork::new();
        let worse = at.world.script(|_| Err(panicked("not at this hour")));
        let probation = at.on_probation();
        at.turn(move |turn, _| if turn.by == 2 { turn.after(SECOND * 5, &worse) } else { Ok(()) });
        at.pass(5);
        let crashed = probation.crash();
        if forgets {
            probation.forget(crashed.pause);
        } else {
            probation.replay(crashed.pause);
        }
        assert!(settled(&at.world, &at.actor).entries.is_empty());
        let letters = at.world.runtime.dead_letters();
        assert_eq!(
            (letters.count(DeadKind::RolledBack), letters.total(), at.timers()),
            (1, 1, 0),
            "forgets: {forgets}"
        );
    }
}

#[test]
fn f38_a_timer_that_both_begin_fires_when_the_version_before_wants_it() {
    for (old, new) in [(10, 100), (100, 10)] {
        for waits in [false, true] {
            let at = Clockwork::new();
            let probation = at.on_probation();
            at.turn(move |turn, began| begin(turn, began, if turn.by == 1 { old } else { new }, None).map(drop));
            let passed = if old < new { old / 2 } else { new * 2 };
            let paused = if waits {
                let paused = probation.pause();
                at.pass(passed);
                eventually("it has fired", || at.actor.info().queued_messages == usize::from(new < old));
                paused
            } else {
                at.pass(passed);
                assert_eq!(at.fired().len(), usize::from(new < old));
                probation.pause()
            };
            probation.replay(paused);
            assert!(at.fired().is_empty(), "after {old} s, not {new}");
            at.pass(old - passed - 1);
            assert!(at.fired().is_empty(), "after {old} s, not {new}");
            at.pass(1);
            assert_eq!(at.fired(), [1], "after {old} s, not {new}");
            at.pass(200);
            assert_eq!((at.fired(), at.timers(), at.world.runtime.dead_letters().total()), (vec![1], 0, 0));
        }
    }
}

#[test]
fn f38_a_timer_that_both_begin_ticks_as_often_as_the_version_before_wants_it() {
    for (old, new) in [(1, 5), (5, 1)] {
        let at = Clockwork::new();
        let probation = at.on_probation();
        at.turn(move |turn, began| {
            let period = if turn.by == 1 { old } else { new };
            begin(turn, began, period, Some(period)).map(drop)
        });
        (1..=12).for_each(|second| {
            at.pass(1);
            assert_eq!(at.fired().len(), second / new as usize);
        });
        probation.back();
        for second in 12..=20 {
            assert_eq!(at.fired(), vec![1; second / old as usize], "in second {second}, every {old} s");
            at.pass(1);
        }
        assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (1, 0));
    }
}

#[test]
fn f38_what_each_version_does_at_a_time_of_its_own_is_sent_once() {
    for (old, new) in [(2, 2), (2, 4), (4, 2)] {
        for waits in [false, true] {
            let at = Clockwork::new();
            let other = at.world.start("other", &at.old);
            let charge = at.world.script(|turn| turn.tell(&addr("other"), &Put { sender: 1, number: turn.by }));
            let probation = at.on_probation();
            at.turn(move |turn, _| match turn.by {
                1 => turn.after(SECOND * old, &charge),
                _ => turn.after(SECOND * new, &DoToo { script: charge.script }),
            });
            let paused = if waits {
                let paused = probation.pause();
                at.pass(5);
                eventually("it waits", || at.actor.info().queued_messages == 1);
                paused
            } else {
                at.pass(5);
                eventually("it is charged", || at.world.seen(&other).of(1) == [2]);
                probation.pause()
            };
            let (_, held) = probation.replay(paused);
            let (same, charged) = (old == new, at.world.seen(&other).of(1).len());
            // One that was never handled is as good as never begun; where the times differ it is an operator's.
            assert_eq!(held.len(), usize::from(waits && !same), "{old} and {new}, waits: {waits}");
            at.pass(9);
            settled(&at.world, &at.actor);
            let expected = if waits && !same { vec![] } else { vec![if waits { 1 } else { 2 }] };
            eventually("it is charged once", || at.world.seen(&other).of(1) == expected);
            assert!(charged <= 1);
            let lost = at.world.runtime.dead_letters().total();
            assert_eq!(
                (at.timers(), lost),
                (0, u64::from(waits && !same)),
                "a time that only one has and that was not handled"
            );
        }
    }
}

#[test]
fn f38_what_the_version_before_sends_at_a_time_that_only_it_wants_is_held() {
    let at = Clockwork::new();
    let other = at.world.start("other", &at.old);
    let charge = at.world.script(|turn| turn.tell(&addr("other"), &Put { sender: 1, number: turn.by }));
    let probation = at.on_probation();
    at.turn(move |turn, _| match turn.by {
        1 => turn.effects.after(SECOND, Some(SECOND), tag_of(&charge), &encoded(&charge)).map(drop),
        _ => Ok(()),
    });
    at.pass(3);
    let (tally, held) = probation.back();
    assert_eq!((tally.unsaid, held.len()), (0, 3));
    at.pass(1);
    eventually("it goes on", || at.world.seen(&other).of(1) == [1]);
}

#[test]
fn f38_a_timer_that_goes_with_another_goes_on_alone_when_that_one_is_cancelled() {
    let at = Clockwork::new();
    let probation = at.on_probation();
    let says = at.world.script(|turn| {
        turn.put(2, turn.by);
        Ok(())
    });
    at.turn(move |turn, began| {
        if turn.by == 1 {
            return turn.after(SECOND * 5, &says);
        }
        let says = DoToo { script: says.script };
        let id = turn.effects.after(SECOND * 5, None, tag_of(&says), &encoded(&says))?;
        began.lock().push((2, id));
        Ok(())
    });
    at.turn(|turn, began| {
        let id = began.lock()[0].1;
        if turn.by == 2 { turn.effects.cancel_timer(id) } else { Ok(()) }
    });
    at.pass(6);
    assert!(at.fired().is_empty());
    probation.back();
    assert_eq!(at.fired(), [1]);
    assert_eq!((at.timers(), at.world.runtime.dead_letters().total()), (0, 0));
}

/// A clock whose wall clock somebody sets.
#[derive(Debug)]
struct Set {
    clock: Arc<ManualClock>,
    ahead_ns: AtomicU64,
}

impl Clock for Set {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn wall_ns(&self) -> u64 {
        self.clock.wall_ns().wrapping_add(self.ahead_ns.load(Relaxed))
    }

    fn sleeper(&self) -> Sleeper {
        self.clock.sleeper()
    }

    fn sleep(&self, sleeper: &Sleeper, until: Option<Moment>) {
        self.clock.sleep(sleeper, until);
    }
}

#[test]
fn f38_a_timer_is_not_late_or_early_because_somebody_set_the_wall_clock() {
    let hour_ns = 3_600_000_000_000_u64;
    for ahead_ns in [hour_ns, hour_ns.wrapping_neg()] {
        for both in [true, false] {
            let clock = ManualClock::new();
            let set = Arc::new(Set { clock: clock.clone(), ahead_ns: AtomicU64::new(0) });
            let world = World::with(set.clone(), |_| {});
            let (actor, old, new) = two(&world);
            let at = Clockwork { world, clock, actor, old, new, began: Arc::default() };
            let probation = at.on_probation();
            at.turn(move |turn, began| match turn.by {
                1 => begin(turn, began, 10, Some(10)).map(drop),
                _ if both => begin(turn, began, 5, Some(10)).map(drop),
                _ => Ok(()),
            });
            at.pass(4);
            set.ahead_ns.store(ahead_ns, Relaxed);
            at.pass(2);
            assert_eq!(at.fired().len(), usize::from(both));
            probation.back();
            at.pass(3);
            assert!(at.fired().is_empty());
            at.pass(1);
            assert_eq!(at.fired(), [1]);
            at.pass(10);
            assert_eq!(at.fired(), [1, 1]);
        }
    }
}
