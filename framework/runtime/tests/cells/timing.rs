//! Which turns of a version on probation are timed: few, unless they are slow.

use crate::far::FAR;
use crate::probation::{Probation, two};
use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use teneral_runtime::{ActorRef, Figures};

const SECOND: Duration = Duration::from_secs(1);
/// Of a new version, the first sixteen activations are timed whatever they are.
const ACTIVATIONS: u64 = 20;
const WAITING: u64 = 30;

/// What an activation comes to whose first turn takes `first`, with messages waiting behind it.
fn activation(first: Duration) -> Figures {
    let (world, clock) = World::manual();
    let (actor, old, new) = two(&world);
    let _probation = Probation::with(&actor, &old, &new, |recording| recording.slow_over = Some(SECOND));
    for number in 1..=ACTIVATIONS {
        tell(&actor, 0);
        eventually("it is handled", || actor.figures().handled == number);
    }
    let before = actor.figures();
    let gate = Gate::new();
    let _opens = Opens(Arc::clone(&gate));
    let stays = gate.clone();
    let takes = world.script(move |_| {
        stays.pass();
        clock.advance(first);
        Ok(())
    });
    actor.try_tell(takes).expect("there is room");
    gate.wait_for(1);
    (0..WAITING).for_each(|number| tell(&actor, number));
    gate.open();
    eventually("all is handled", || actor.figures().handled == ACTIVATIONS + 1 + WAITING);
    actor.figures().since(before)
}

fn tell(actor: &ActorRef, number: u64) {
    let number = u32::try_from(number).expect("a small number");
    actor.try_tell(Put { sender: 0, number }).expect("there is room");
}

#[test]
fn f38_where_many_messages_wait_one_turn_of_an_activation_is_timed_and_all_of_it_if_that_one_was_slow() {
    let slow = activation(SECOND * 2);
    if FAR {
        // A turn that was taken elsewhere says how long it took, each of them.
        return assert_eq!(slow.timed, 1 + WAITING);
    }
    let quick = activation(SECOND / 2);
    assert_eq!((quick.timed, quick.slow), (1, 0), "two readings of the clock are much for a short turn");
    assert_eq!((slow.timed, slow.slow), (1 + WAITING, 1), "and nothing for a long one");
}
