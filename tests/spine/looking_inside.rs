//! What an operator sees of an actor, and how one ends it.

use crate::harness::house::{GENEROUS, House, only};
use crate::harness::probe::{self, Busy, Standing, asks, note, seen, state, tell};
use crate::harness::{Test, test};
use probe_api::{Later, Read, v1, v2};
use std::time::Duration;
use teneral::AskError;
use teneral::contract::codec::decode_state;
use teneral::runtime::{DeadKind, StateError, Status, StopError, TryTellError};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(i1_a_state_is_read_while_the_actor_runs_and_while_it_is_paused),
        test(i10_an_actor_is_stopped_with_reason_and_timeout_also_while_paused),
    ]
}

/// A deadline that is meant to pass.
const MOMENT: Duration = Duration::from_millis(50);

fn i1_a_state_is_read_while_the_actor_runs_and_while_it_is_paused() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let read = |version: u64| {
        let read = state(&house, &actor);
        assert_eq!((read.version.major, u64::from(read.schema)), (version, version));
        let handled = match version {
            1 => decode_state::<v1::Probe>(&read.bytes).expect("a state of schema 1").body.handled(),
            _ => decode_state::<v2::Probe>(&read.bytes).expect("a state of schema 2").body.handled(),
        };
        (handled, read)
    };
    for number in 0..3 {
        tell(&house, &actor, note(0, number));
        seen(&house, &actor);
        assert_eq!(read(1).0, number + 1, "running");
    }
    // Between two turns, not within one.
    let busy = Busy::make(&house, &actor);
    let late = house.block_on(actor.state(MOMENT)).map(drop);
    assert_eq!(late, Err(StateError::Timeout(MOMENT)));
    let asking = actor.clone();
    let asked = house.begin(async move { asking.state(GENEROUS).await });
    tell(&house, &actor, note(0, 3));
    drop(busy);
    let boundary = house.block_on(asked).expect("who reads lives").expect("a state");
    let handled = decode_state::<v1::Probe>(&boundary.bytes).expect("a state of schema 1").body.handled();
    assert_eq!(handled, 3, "a read waits behind no message but the one in its turn");
    probe::whole(&seen(&house, &actor).log, &[4]);

    // Paused by an operator, and by an upgrade: as it stands still, and byte for byte the same each time.
    actor.pause("ops", GENEROUS).expect("paused");
    tell(&house, &actor, note(0, 4));
    let (handled, first) = read(1);
    assert_eq!((handled, read(1).1), (4, first), "what waits is in no state");
    actor.resume("ops");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    tell(&house, &actor, note(0, 5));
    assert_eq!(read(1).0, 5);
    assert!(standing.go_on(&house).ok());
    probe::whole(&seen(&house, &actor).log, &[6]);
    assert_eq!(read(2).0, 6);
    house.block_on(actor.stop("", GENEROUS)).expect("it stops");
    assert_eq!(house.block_on(actor.state(GENEROUS)), Err(StateError::Stopped));
}

fn i10_an_actor_is_stopped_with_reason_and_timeout_also_while_paused() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let letters = house.system.runtime().dead_letters();
    let owed = [asks(&house, &actor, Later {}), asks(&house, &actor, Later {})];
    seen(&house, &actor);
    actor.pause("ops", GENEROUS).expect("paused");
    let waits = asks(&house, &actor, Read {});
    actor.try_tell(note(0, 0)).expect("a paused actor accepts");
    house.block_on(actor.stop("enough", GENEROUS)).expect("it stops, paused or not");
    assert_eq!(actor.info().status, Status::Stopped { reason: "enough".to_owned() });
    for caller in owed {
        assert_eq!(house.block_on(caller).expect("the caller lives"), Err(AskError::Stopped));
    }
    assert_eq!(house.block_on(waits).expect("the caller lives"), Err(AskError::Stopped));
    assert_eq!(letters.count(DeadKind::Stopped), 1, "the note that waited");
    assert!(house.system.actor("probe/a").is_err(), "its name is free");
    assert_eq!(actor.try_tell(note(0, 1)), Err(TryTellError::Closed(note(0, 1))));
    house.block_on(actor.stop("again", GENEROUS)).expect("twice is no harm");
    assert_eq!(actor.info().status, Status::Stopped { reason: "enough".to_owned() });

    // One whose turn does not end is cut off in the time that it was given.
    let stuck = probe::start(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &stuck);
    let asked = asks(&house, &stuck, Read {});
    assert_eq!(house.block_on(stuck.stop("hangs", MOMENT)), Err(StopError::CutOff(MOMENT)));
    assert_eq!(stuck.info().status, Status::Stopped { reason: "hangs".to_owned() });
    assert_eq!(house.block_on(asked).expect("the caller lives"), Err(AskError::Stopped));
    let next = probe::start(&house, "probe/a", "1.0.0");
    drop(busy);
    assert_eq!(seen(&house, &next).notes, ["1: started Fresh", "1: opened"]);

    // And one that an upgrade holds: stop wins.
    let standing = Standing::upgrade(&house, &next, "2.0.0");
    house.block_on(next.stop("enough", GENEROUS)).expect("it stops");
    let report = standing.go_on(&house);
    let failure = only(&report).outcome.failure().map(|failure| failure.code.as_str());
    assert_eq!((failure, next.info().version.major), (Some("UPG-STOPPED"), 1), "{report}");
}
