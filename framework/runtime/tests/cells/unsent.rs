//! Back after the commit: of what the actor had said and had not left for want of room, that goes on its way which the
//! version before says, too.

use crate::probation::*;
use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::Shape;
use teneral_runtime::ports::{AskEffect, Fault};
use teneral_runtime::{ActorRef, Clock, DeadKind, ManualClock};

/// An actor of the first of two versions, and another one that is busy and has no room.
struct Full {
    world: World,
    actor: ActorRef,
    old: Arc<Probe>,
    new: Arc<Probe>,
    other: ActorRef,
    gate: Arc<Gate>,
    _opens: Opens,
}

impl Full {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let world = World::with(clock, |config| {
            (config.mailbox_messages_max, config.outbox_timeout) = (4, Duration::from_secs(20));
        });
        let (actor, old, new) = two(&world);
        let other = world.start("other", &old);
        let gate = busy(&world, &other);
        while other.try_tell(Put { sender: 9, number: 9 }).is_ok() {}
        let opens = Opens(gate.clone());
        Self { world, actor, old, new, other, gate, _opens: opens }
    }

    /// Has the actor do it on probation, and waits until what it says lies in its outbox.
    fn does(&self, does: impl Fn(&mut Turn<'_>) -> Result<(), Fault> + Send + Sync + 'static) -> Probation {
        let probation = Probation::begin(&self.actor, &self.old, &self.new);
        self.actor.try_tell(self.world.script(does)).expect("there is room");
        eventually("it waits for room", || self.actor.info().outbox_effects == 1);
        probation
    }

    /// What the other one hears of it, when it has room.
    fn heard(&self) -> Vec<u32> {
        self.gate.open();
        eventually("all has left", || self.actor.info().outbox_effects == 0);
        settled(&self.world, &self.other).of(1)
    }
}

fn tell_other(turn: &mut Turn<'_>) -> Result<(), Fault> {
    turn.tell(&addr("other"), &Put { sender: 1, number: turn.by })
}

#[test]
fn f38_what_only_the_version_on_probation_wanted_to_send_and_could_not_is_never_sent() {
    for forgets in [false, true] {
        let at = Full::new(ManualClock::new());
        let probation = at.does(|turn| if turn.by == 2 { tell_other(turn) } else { Ok(()) });
        let paused = probation.pause();
        if forgets {
            probation.forget(paused);
        } else {
            assert!(probation.replay(paused).1.is_empty());
        }
        // While the other one has no room still.
        at.world.put(&at.actor, 1);
        assert_eq!((at.actor.info().outbox_effects, letters(&at.world, DeadKind::RolledBack)), (0, 1));
        assert!(at.heard().is_empty());
    }
}

#[test]
fn f38_what_both_versions_want_to_send_is_sent_once_when_there_is_room() {
    let at = Full::new(ManualClock::new());
    let probation = at.does(tell_other);
    let (tally, held) = probation.back();
    assert_eq!((tally.matched, held.len(), at.actor.info().outbox_effects), (1, 0, 1));
    assert_eq!(at.heard(), [2], "as it was said");
    assert_eq!(at.world.runtime.dead_letters().total(), 0);
}

#[test]
fn f38_an_ask_that_only_the_version_on_probation_made_and_that_did_not_leave_never_does() {
    let at = Full::new(ManualClock::new());
    let asked = at.world.script(|turn| {
        turn.put(1, 7);
        turn.reply()
    });
    let probation = at.does(move |turn| {
        if turn.by == 1 {
            return Ok(());
        }
        let then = Put { sender: 3, number: 2 };
        let (body, then_body) = (encoded(&asked), encoded(&then));
        let (to, tag, reply, then) = (addr("other"), tag_of(&asked), Log::FINGERPRINT, tag_of(&then));
        let timeout = Duration::from_secs(30);
        turn.effects.ask(AskEffect { to, tag, body: &body, reply, timeout, then, then_body: &then_body }).map(drop)
    });
    probation.back();
    at.world.put(&at.actor, 1);
    assert!(at.heard().is_empty());
    assert_eq!((letters(&at.world, DeadKind::RolledBack), at.world.runtime.dead_letters().total()), (1, 1));
    assert!(at.world.seen(&at.actor).of(3).is_empty());
}

#[test]
fn f38_the_version_before_hears_only_of_its_own_words_that_they_were_not_delivered() {
    for both in [true, false] {
        for waits in [true, false] {
            let clock = ManualClock::new();
            let at = Full::new(clock.clone());
            let probation = at.does(move |turn| if both || turn.by == 2 { tell_other(turn) } else { Ok(()) });
            let paused = if waits {
                let hold = at.actor.clone();
                clock.advance(Duration::from_secs(19));
                let paused = probation.pause();
                clock.advance(Duration::from_secs(2));
                eventually("it is told", || hold.info().queued_messages == 1);
                paused
            } else {
                clock.advance(Duration::from_secs(21));
                eventually("it is told", || at.world.seen(&at.actor).of(8) == [2]);
                probation.pause()
            };
            probation.replay(paused);
            let expected: &[u32] = if both { &[1] } else { &[] };
            assert_eq!(settled(&at.world, &at.actor).of(8), expected, "both: {both}, waits: {waits}");
            assert_eq!(at.world.runtime.dead_letters().total(), 1, "what was not delivered");
        }
    }
}
