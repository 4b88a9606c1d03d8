//! Moves that go well: up, down and by way of a version in between, and what outlives them.

use crate::harness::c::{Source, compiler};
use crate::harness::echo::{self, Count, Counted, Echo};
use crate::harness::house::{GENEROUS, House, Refuses, chain, only, overwrite, patient, until};
use crate::harness::libraries::library;
use crate::harness::probe::{self, Busy, Standing, act, handled_by, lives, note, seen, state, tell, trap};
use crate::harness::{Absent, Test, test};
use counter_api::Start;
use probe_api::{Act, Fresh, Later, Note, Read, Relay, Told, v1, v2};
use std::collections::BTreeMap;
use teneral::contract::codec::decode_state;
use teneral::runtime::events::Seen;
use teneral::runtime::{DeadKind, EventStream, Place, What};
use teneral::upgrade::report::Now;
use teneral::upgrade::{Direction, Outcome, Plan};
use teneral::{ActorRef, AskError, UpgradeOptions, digest_of};
use villain_api::Conspire;

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(u9_a_version_with_the_same_schema_takes_the_state_as_it_is),
        test(u10_a_migration_is_told_the_schema_that_the_instance_runs_whatever_lies_on_disk),
        test(u11_versions_survive_the_store_a_plan_an_actor_and_a_report),
        test(u12_a_downgrade_runs_the_newer_codes_step_down_before_the_old_code_takes_the_state),
        test(u13_up_and_down_again_gives_equal_bytes_for_an_untouched_state),
        test(u14_an_actor_goes_up_twice_down_twice_and_up_again),
        test(u15_three_versions_and_more_of_one_kind_live_side_by_side),
        test(u15_an_upgrade_by_way_of_a_version_in_between_keeps_the_versions_apart),
        test(f11_a_state_climbs_two_schemas_by_way_of_the_version_in_between),
        test(f11_a_state_climbs_two_schemas_by_the_new_code_alone),
        test(f37_a_plan_is_refused_while_a_message_waits_that_the_new_code_has_no_way_for),
        test(f37_a_waiting_message_is_up_cast_or_a_dead_letter_with_its_reason_on_the_way_up),
        test(f37_a_waiting_message_of_the_newer_version_is_a_dead_letter_with_its_reason_on_the_way_down),
        test(u41_name_children_timers_asks_and_replies_owed_outlive_an_upgrade_and_nobody_sees_an_end),
        test(u43_no_caller_that_waits_for_an_answer_is_failed_by_an_upgrade),
    ]
}

/// An actor of c-echo that has echoed once.
fn started_echo(house: &House, addr: &str, version: &str) -> ActorRef {
    let actor = house.start(addr, version, echo::Nothing {});
    house.block_on(actor.ask(Echo { text: "one".to_owned() }, GENEROUS)).expect("an echo");
    actor
}

fn echoes(house: &House, actor: &ActorRef) -> u64 {
    let Counted { echoes } = house.block_on(actor.ask(Count {}, GENEROUS)).expect("a count");
    echoes
}

fn u9_a_version_with_the_same_schema_takes_the_state_as_it_is() -> Result<(), Absent> {
    let house = House::patient(&[]);
    house.push(Source::c_echo(1).build()?.path()).expect("it passes");
    house.push(Source::c_echo(1).version("1.1.0").build()?.path()).expect("it passes");
    let actor = started_echo(&house, "c-echo/a", "1.0.0");
    let before = state(&house, &actor);
    let entry = house.moved("c-echo/a", "1.1.0");
    assert_eq!(entry.outcome, Outcome::Committed, "{entry}");
    let after = state(&house, &actor);
    assert_eq!((after.version.to_string().as_str(), after.schema, &after.bytes), ("1.1.0", 1, &before.bytes));
    assert_eq!(entry.state_after, Some(digest_of(&before.bytes)));
    assert_eq!(echoes(&house, &actor), 1);
    Ok(())
}

fn u10_a_migration_is_told_the_schema_that_the_instance_runs_whatever_lies_on_disk() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
    // From now on the disk says that 1.0.0 is what 3.0.0 is.
    overwrite(&house.artifact("probe", "1.0.0"), library("probe-v3"));
    let entry = house.moved("probe/a", "2.0.0");
    assert_eq!(entry.outcome, Outcome::Committed, "{entry}");
    // Schema 1 read as schema 2 or 3 is no state: two fields would be missing.
    let state = decode_state::<v2::Probe>(&state(&house, &actor).bytes).expect("a state of schema 2");
    assert_eq!((state.migrated, state.body.handled()), (3, 3));
    assert_eq!(house.moved("probe/a", "3.0.0").outcome, Outcome::Committed);
    probe::whole(&seen(&house, &actor).log, &[3]);
}

fn u11_versions_survive_the_store_a_plan_an_actor_and_a_report() -> Result<(), Absent> {
    const VERSIONS: [&str; 5] = ["0.0.1", "1.2.3-rc.1+build.5", "1.2.3", "10.0.0-alpha", "18446744073709551615.0.0"];
    let house = House::patient(&[]);
    for version in VERSIONS {
        house.push(Source::c_echo(1).version(version).build()?.path()).expect("it passes");
    }
    let stored: Vec<String> =
        house.system.releases().expect("it reads").iter().map(|release| release.version.to_string()).collect();
    assert_eq!(stored, VERSIONS, "in the order of their precedence");
    let actor = started_echo(&house, "c-echo/a", VERSIONS[0]);
    for version in &VERSIONS[1..] {
        let plan = house.block_on(house.system.plan("c-echo/a", version, patient())).expect("a plan");
        let read = Plan::from_json(&plan.to_json().expect("JSON")).expect("a plan again");
        assert_eq!(read, plan);
        assert_eq!(read.moves()[0].direction, Direction::Upgrade, "{version}");
        let report = house.block_on(house.system.apply(read)).expect("it begins");
        assert!(report.ok(), "{report}");
        assert_eq!(
            (report.actors[0].to.to_string(), actor.info().version.to_string()),
            ((*version).into(), (*version).into())
        );
        assert!(report.to_string().contains(version), "{report}");
    }
    assert_eq!(echoes(&house, &actor), 1);
    Ok(())
}

fn u12_a_downgrade_runs_the_newer_codes_step_down_before_the_old_code_takes_the_state() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "3.0.0");
    (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
    // Only code of the newer versions knows this trap's step; the old code is never told of it.
    trap(&house, &actor, "downgrade", "error");
    let entry = house.moved("probe/a", "1.0.0");
    let failure = entry.outcome.failure().expect("the step down refuses");
    assert_eq!((entry.outcome.name(), failure.code.as_str()), ("rolled_back", "UPG-DOWNGRADE"));
    assert!(failure.cause.contains("downgrade refuses, as told"), "{entry}");
    assert_eq!((seen(&house, &actor).version, state(&house, &actor).schema), (3, 3));
    trap(&house, &actor, "", "");
    let standing = Standing::downgrade(&house, &actor, "1.0.0");
    let report = standing.go_on(&house);
    assert!(report.ok(), "{report}");
    assert_eq!(report.actors[0].direction, Direction::Downgrade);
    let state = state(&house, &actor);
    assert_eq!(decode_state::<v1::Probe>(&state.bytes).map(|old| old.body.handled()), Ok(3));
    assert_eq!(fields(&state.bytes), 1, "nothing of the newer schema is left");
    let seen = seen(&house, &actor);
    assert_eq!((seen.version, lives(&seen)), (1, vec!["3: started Fresh", "1: started Upgraded"]));
    probe::whole(&seen.log, &[3]);
}

/// Fields of a state: MessagePack writes a struct as a map, whose first byte says how many pairs follow.
fn fields(state: &[u8]) -> u8 {
    assert!((0x80..0x90).contains(&state[0]), "a small map");
    state[0] - 0x80
}

fn u13_up_and_down_again_gives_equal_bytes_for_an_untouched_state() {
    let house = House::patient(&["counter-v1", "counter-v2", "villain-v1", "villain-v2"]);
    // Neither writes anything into its state by itself, and both states differ from the ones they started with.
    let counter = house.start("counter/a", "1.0.0", Start { total: 40 });
    tell(&house, &counter, counter_api::v1::Add { amount: 2 });
    let villain = house.start("villain/a", "1.0.0", villain_api::Start::default());
    tell(&house, &villain, Conspire { misdeeds: Vec::new() });
    tell(&house, &villain, villain_api::Grow { bytes: 10_000 });
    // A read of a state waits behind no message: these have been handled when their actors answer.
    house.block_on(counter.ask(counter_api::v1::Get {}, GENEROUS)).expect("it answers");
    house.block_on(villain.ask(villain_api::Count {}, GENEROUS)).expect("it answers");
    for actor in [counter, villain] {
        let before = state(&house, &actor);
        for _ in 0..3 {
            let (up, down) = (house.moved(actor.addr().path(), "2.0.0"), house.moved(actor.addr().path(), "1.0.0"));
            assert_eq!((&up.outcome, &down.outcome), (&Outcome::Committed, &Outcome::Committed), "{up}\n{down}");
            assert_eq!(state(&house, &actor), before);
            assert_eq!(down.state_after, Some(digest_of(&before.bytes)));
        }
    }
}

fn u14_an_actor_goes_up_twice_down_twice_and_up_again() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let ways = [("2.0.0", 2), ("3.0.0", 3), ("2.0.0", 2), ("1.0.0", 1), ("2.0.0", 2), ("3.0.0", 3)];
    for (generation, (to, major)) in (1..).zip(ways) {
        tell(&house, &actor, note(0, generation - 1));
        let entry = house.moved("probe/a", to);
        assert_eq!(entry.outcome, Outcome::Committed, "{entry}");
        let version = to.parse().expect("a version");
        assert_eq!(entry.now, Now::Serving { version, generation });
        let seen = seen(&house, &actor);
        assert_eq!((seen.version, seen.log.len() as u64), (major, generation));
    }
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &[6]);
    assert_eq!(handled_by(&seen.log), [1, 2, 3, 2, 1, 2]);
    let lived: Vec<&str> = lives(&seen).iter().filter_map(|life| life.split(':').next()).collect();
    assert_eq!(lived, ["1", "2", "3", "2", "1", "2", "3"]);
}

fn u15_three_versions_and_more_of_one_kind_live_side_by_side() {
    let house = House::patient(probe::ALL);
    let versions = [("a", "1.0.0", 1), ("b", "2.0.0", 2), ("c", "3.0.0", 3), ("d", "1.0.0", 1)];
    let actors = versions.map(|(key, version, _)| probe::start(&house, &format!("probe/{key}"), version));
    for (actor, (.., major)) in actors.iter().zip(versions) {
        tell(&house, actor, note(0, 0));
        assert_eq!(seen(&house, actor).version, major);
    }
    assert_eq!(house.moved("probe/d", "2.0.0").outcome, Outcome::Committed);
    assert_eq!(house.moved("probe/d", "3.0.0").outcome, Outcome::Committed);
    for (actor, (key, _, major)) in actors.iter().zip(versions) {
        tell(&house, actor, note(0, 1));
        let seen = seen(&house, actor);
        probe::whole(&seen.log, &[2]);
        let moved = key == "d";
        assert_eq!(seen.version, if moved { 3 } else { major }, "probe/{key}");
        assert_eq!(lives(&seen).len(), if moved { 3 } else { 1 }, "nobody else was touched: probe/{key}");
    }
}

/// c-echo in versions of schemas 1, 2 and 3, each of which knows only the one below.
fn ladder(house: &House) -> Result<(), Absent> {
    compiler()?;
    let two = Source::c_echo(2);
    let three = two
        .clone()
        .edit("SCHEMA = 2", "SCHEMA = 3")
        .edit("schema != 1 && schema != SCHEMA", "schema != 2 && schema != SCHEMA")
        .edit("state.len != (schema == 1 ? 8 : STATE_BYTES)", "state.len != STATE_BYTES")
        .says("/version", "3.0.0")
        .says("/state/schema", 3)
        .says("/state/fingerprint", "00000000000000000000000000000003")
        .says("/state/from/0/schema", 2)
        .says("/state/from/0/fingerprint", "5b69d7400a01e925fa5c9df39bae90ad")
        .says("/state/down", serde_json::json!([]));
    for source in [Source::c_echo(1), two, three] {
        house.push(source.build()?.path()).expect("it passes");
    }
    Ok(())
}

fn u15_an_upgrade_by_way_of_a_version_in_between_keeps_the_versions_apart() -> Result<(), Absent> {
    let house = House::patient(&[]);
    ladder(&house)?;
    let actors = [("a", "1.0.0"), ("b", "2.0.0"), ("c", "3.0.0")];
    let actors = actors.map(|(key, version)| started_echo(&house, &format!("c-echo/{key}"), version));
    let entry = house.moved("c-echo/a", "3.0.0");
    assert_eq!(entry.outcome, Outcome::Committed, "{entry}");
    let versions = actors.each_ref().map(|actor| (actor.info().version.major, state(&house, actor).schema));
    assert_eq!(versions, [(3, 3), (2, 2), (3, 3)]);
    for actor in &actors {
        house.block_on(actor.ask(Echo { text: "two".to_owned() }, GENEROUS)).expect("an echo");
        assert_eq!(echoes(&house, actor), 2);
    }
    Ok(())
}

fn f11_a_state_climbs_two_schemas_by_way_of_the_version_in_between() -> Result<(), Absent> {
    let house = House::patient(&[]);
    ladder(&house)?;
    let actor = started_echo(&house, "c-echo/a", "1.0.0");
    let plan = house.block_on(house.system.plan("c-echo/a", "3.0.0", patient())).expect("a plan");
    let hops: Vec<_> = plan.moves()[0].ladder.iter().map(|hop| (hop.by.version.major, hop.to_schema)).collect();
    assert_eq!(hops, [(2, 2), (3, 3)]);
    let report = house.block_on(house.system.apply(plan)).expect("it begins");
    assert!(report.ok(), "{report}");
    assert_eq!(state(&house, &actor).bytes, [[1, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat(), "one echo, no bytes known");
    assert_eq!(echoes(&house, &actor), 1);
    Ok(())
}

fn f11_a_state_climbs_two_schemas_by_the_new_code_alone() {
    let house = House::patient(&["probe-v1", "probe-v3"]);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    (0..3).for_each(|number| tell(&house, &actor, note(0, number)));
    assert_eq!(house.moved("probe/a", "3.0.0").outcome, Outcome::Committed);
    let seen = seen(&house, &actor);
    assert_eq!((seen.version, fields(&state(&house, &actor).bytes)), (3, 3));
    probe::whole(&seen.log, &[3]);
}

fn f37_a_plan_is_refused_while_a_message_waits_that_the_new_code_has_no_way_for() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &actor);
    actor.try_tell(v1::Gone {}).expect("1.0.0 knows it");
    let options = UpgradeOptions::new();
    let refused = house.try_upgrade("probe/a", "2.0.0", options).expect_err("it would be lost");
    assert_eq!(refused.code(), "UPG-CONTRACT");
    assert!(chain(&refused).contains("message Gone is unknown to 2.0.0"), "{}", chain(&refused));
    drop(busy);
    seen(&house, &actor);
    let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it has been handled");
    assert_eq!((&only(&report).outcome, only(&report).dead_letters), (&Outcome::Committed, 0), "{report}");
    assert_eq!(letters(&house), BTreeMap::new());
}

fn f37_a_waiting_message_is_up_cast_or_a_dead_letter_with_its_reason_on_the_way_up() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    actor.try_tell(note(0, 0)).expect("1.0.0 knows it");
    actor.try_tell(v1::Gone {}).expect("1.0.0 knows it");
    actor.try_tell(note(0, 1)).expect("1.0.0 knows it");
    assert!(actor.try_tell(Fresh {}).is_err(), "1.0.0 does not know it yet");
    let refused_before = letters(&house);
    let report = standing.go_on(&house);
    assert!(report.ok());
    assert_eq!(only(&report).dead_letters, 1);
    let text = report.to_string();
    assert!(text.contains("2 messages waited; 1 more had no way to 2.0.0 and became dead letters"), "{text}");
    actor.try_tell(Note { sender: 0, number: 2, weight: 7 }).expect("2.0.0 knows it");
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &[3]);
    let weights: Vec<_> = seen.log.iter().map(|entry| (entry.version, entry.weight)).collect();
    assert_eq!(weights, [(2, 1), (2, 1), (2, 7)], "what was too old to have a weight weighs 1");
    assert!(!seen.notes.iter().any(|note| note.ends_with("gone")), "{:?}", seen.notes);
    let mut lost = letters(&house);
    refused_before.iter().for_each(|(kind, count)| *lost.entry(*kind).or_default() -= count);
    assert_eq!(lost.into_iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>(), [(DeadKind::UnknownMessage, 1)]);
}

fn f37_a_waiting_message_of_the_newer_version_is_a_dead_letter_with_its_reason_on_the_way_down() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "2.0.0");
    let standing = Standing::downgrade(&house, &actor, "1.0.0");
    actor.try_tell(note(0, 0)).expect("2.0.0 up-casts it");
    actor.try_tell(Note { sender: 1, number: 0, weight: 7 }).expect("2.0.0 knows it");
    actor.try_tell(Fresh {}).expect("2.0.0 knows it");
    actor.try_tell(note(0, 1)).expect("2.0.0 up-casts it");
    assert!(standing.go_on(&house).ok());
    let seen = seen(&house, &actor);
    // The weighed note is not read as one without a weight.
    probe::whole(&seen.log, &[2]);
    assert!(seen.log.iter().all(|entry| (entry.version, entry.weight) == (1, 0)), "{:?}", seen.log);
    let lost = BTreeMap::from([(DeadKind::UnknownMessage, 1), (DeadKind::UnknownShape, 1)]);
    assert_eq!(letters(&house), lost);
}

/// Dead letters so far, by cause.
fn letters(house: &House) -> BTreeMap<DeadKind, u64> {
    house.system.runtime().dead_letters().counts()
}

fn u41_name_children_timers_asks_and_replies_owed_outlive_an_upgrade_and_nobody_sees_an_end() {
    let house = House::patient(probe::ALL);
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let (actor, other) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/other", "1.0.0"));
    act(&house, &actor, Act::Spawn("child".to_owned()));
    act(&house, &actor, Act::Timer { delay_ms: 1500, period_ms: 0, text: "timer".to_owned() });
    seen(&house, &actor);
    let child = house.system.actor("probe/child").expect("it was started");
    let asking = actor.clone();
    let owed = house.spawn(async move { asking.ask(Later {}, GENEROUS).await });
    // The other one is busy, so that the ask through this one is on its way while this one moves.
    let busy = Busy::make(&house, &other);
    let (asking, to) = (actor.clone(), other.addr().clone());
    let relayed = house.spawn(async move { asking.ask(Relay { to }, GENEROUS).await });
    until("it waits for the other one", || actor.parked().iter().any(|parked| parked.place == Place::Continuation));
    let mut events = house.system.runtime().events();

    for to in ["2.0.0", "3.0.0", "1.0.0", "2.0.0"] {
        assert_eq!(house.moved("probe/a", to).outcome, Outcome::Committed);
    }
    drop(busy);
    act(&house, &actor, Act::Settle);
    let told = house.block_on(owed).expect("the caller lives").expect("an answer");
    assert_eq!(told, Told { version: 2 });
    let answer = house.block_on(relayed).expect("the caller lives").expect("an answer");
    assert_eq!(answer.version, 1, "what the other one saw");
    until("the timer fires", || seen(&house, &actor).notes.iter().any(|note| note.ends_with("timer")));
    let notes = seen(&house, &actor).notes;
    assert_eq!(notes.iter().filter(|note| note.ends_with(": timer")).count(), 1, "{notes:?}");
    assert!(house.system.actor("probe/a").is_ok_and(|named| named == actor), "the name means the same actor");
    assert_eq!(actor.info().children, [child.addr().clone()]);
    assert!(house.system.actor("probe/child").is_ok_and(|named| named == child), "the child lives");
    assert_eq!(lives(&seen(&house, &child)), ["1: started Fresh"], "and was not even restarted");
    assert_eq!(ends(&mut events), [""; 0]);
}

/// Ends and restarts that were told of.
fn ends(events: &mut EventStream) -> Vec<String> {
    let mut ends = Vec::new();
    while let Ok(Seen::Event(event)) = events.next_blocking(std::time::Duration::ZERO) {
        if matches!(event.what, What::Stopped { .. } | What::Failed(_) | What::Restarted { .. }) {
            ends.push(format!("{:?}", event.what));
        }
    }
    ends
}

fn u43_no_caller_that_waits_for_an_answer_is_failed_by_an_upgrade() {
    let house = House::patient(probe::ALL);
    let (actor, other) = (probe::start(&house, "probe/a", "1.0.0"), probe::start(&house, "probe/other", "1.0.0"));
    // One that commits, one that goes back, one that fails.
    for (to, down, fails) in [("2.0.0", false, false), ("1.0.0", true, false), ("2.0.0", false, true)] {
        let asking = actor.clone();
        let owed = house.spawn(async move { asking.ask(Later {}, GENEROUS).await });
        seen(&house, &actor);
        let standing =
            if down { Standing::downgrade(&house, &actor, to) } else { Standing::upgrade(&house, &actor, to) };
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let asking = actor.clone();
            waiting.push(house.spawn(async move { asking.ask(Read {}, GENEROUS).await }));
        }
        // An actor that asks, and somebody who asks that one.
        let (asking, to) = (other.clone(), actor.addr().clone());
        waiting.push(house.spawn(async move { asking.ask(Relay { to }, GENEROUS).await }));
        until("all wait", || actor.info().queued_messages == waiting.len());
        if fails {
            actor.cancel_pause("ops");
        }
        let report = standing.go_on(&house);
        assert_eq!(report.ok(), !fails, "{report}");
        act(&house, &actor, Act::Settle);
        let version = seen(&house, &actor).version;
        for caller in waiting {
            let answer = house.block_on(caller).expect("the caller lives");
            assert_eq!(answer.map(|seen| seen.version), Ok(version));
        }
        let told: Result<Told, AskError> = house.block_on(owed).expect("the caller lives");
        assert_eq!(told, Ok(Told { version }));
    }
    assert_eq!(letters(&house), BTreeMap::new());
}
