//! Ways back after a commit: within which bounds, and what stands when one of them breaks.

use crate::common::manifest;
use crate::failure;
use crate::house::*;
use crate::probations::Opens;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::manifest::MessageEntry;
use teneral_contract::{Addr, Manifest};
use teneral_runtime::ports::{FaultKind, Provider};
use teneral_runtime::{DeadKind, EventStream, Seen as Event, Status, What};
use teneral_store::{ActorEnd, Entry, Store, UpgradeId};
use teneral_upgrade::report::Now;
use teneral_upgrade::*;

/// A day: nobody passes by time.
const LONG: Duration = Duration::from_secs(86_400);

/// `counter/a`, on probation under 2.0.0 with a count of 6: five were counted before the commit.
fn on_probation(change: impl FnOnce(&mut Options)) -> (House, Report) {
    let versions = [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1])];
    on_probation_of(versions.map(|manifest| Manifest { deterministic: true, ..manifest }), change)
}

fn on_probation_of(versions: [Manifest; 2], change: impl FnOnce(&mut Options)) -> (House, Report) {
    let house = House::with(versions);
    house.start("a", "1.0.0", 5);
    let mut request = house.request(&["a"], "2.0.0");
    request.options.probation = Probation::Watch(Watch { rollback: Rollback::Never, ..Watch::new(LONG) });
    change(&mut request.options);
    let report = house.upgrades.upgrade(&request).expect("it begins");
    assert!(report.ok(), "{report}");
    tell(&house.actor("a"), "Add");
    assert_eq!(see(&house.actor("a")).count, 6);
    (house, report)
}

/// Taken back, as soon as an upgrade that has just been at work with it has let it go.
fn back(house: &House, id: &UpgradeId, way: WayBack) -> ActorReport {
    let mut went = None;
    until("it is let go", || {
        match house.upgrades.roll_back(id, (Some(way), PathlessPolicy::Refuse), &[], ("operator", "")) {
            Ok(reports) => {
                assert_eq!((reports.len(), reports[0].actors.len()), (1, 1));
                went = reports[0].actors.first().cloned();
                true
            }
            Err(refused) => {
                assert_eq!(refused.code(), "UPG-RUNNING", "{refused}");
                false
            }
        }
    });
    went.expect("it began")
}

#[test]
fn a_way_back_saves_no_more_and_no_less_than_its_upgrade_may() {
    let (less, more) = (1 << 10, 1 << 30);
    for (bytes_max, way) in [
        (less, WayBack::Replay),
        (more, WayBack::Replay),
        (less, WayBack::Restore),
        (more, WayBack::Restore),
        (less, WayBack::Downgrade),
        (more, WayBack::Downgrade),
    ] {
        let (house, report) = on_probation(|options| options.snapshot_bytes_max = bytes_max);
        let went = back(&house, &report.id, way);
        assert_eq!(went.outcome, Outcome::Committed, "by {way}: {went}");
        let saved_within = [house.script("1.0.0"), house.script("2.0.0")].map(|script| script.saved_within());
        assert_eq!(saved_within.concat(), [bytes_max, bytes_max], "there, and back by {way}");
        let count = if way == WayBack::Restore { 5 } else { 6 };
        let seen = see(&house.actor("a"));
        assert_eq!((seen.version.as_str(), seen.count), ("1.0.0", count), "by {way}");
    }
}

/// How it stands with what is on probation.
fn stands(house: &House) -> OnProbation {
    let [on] = house.upgrades.on_probation().try_into().expect("one is on probation");
    on
}

/// How long a replay may take whose code hangs.
fn short(options: &mut Options) {
    let Probation::Watch(watch) = options.probation else { unreachable!() };
    options.probation = Probation::Watch(Watch { replay_timeout: PAUSE, ..watch });
}

/// Whether it was let go on since the last look.
fn went_on(events: &mut EventStream, addr: &Addr) -> bool {
    let told = std::iter::from_fn(|| events.next_blocking(Duration::ZERO).ok());
    told.fold(false, |went_on, seen| {
        let Event::Event(event) = seen else { panic!("{seen:?}") };
        went_on || matches!(&event.what, What::Resumed { addr: of, .. } if of == addr)
    })
}

/// It could not be taken back since the code of 1.0.0 hangs: it is paused with all it has, by no way of 1.0.0's code.
fn is_held(house: &House, went: &ActorReport, ways: &[WayBack]) {
    assert_eq!((went.outcome.name(), failure(went).code.as_str()), ("rolled_back", "UPG-HANG"), "{went}");
    assert!(matches!(&went.now, Now::Held { version, .. } if version.major == 2), "{went}");
    let on = stands(house);
    assert!(matches!(&on.phase, Phase::Held { failure } if failure.code == "UPG-HANG"), "{on:?}");
    assert_eq!((on.ways.as_slice(), on.automatic), (ways, None), "{on:?}");
    let actor = house.actor("a");
    assert!(matches!(actor.info().status, Status::Paused { .. }), "{:?}", actor.info().status);
    let digest = Code(house.script("1.0.0")).digest();
    assert!(house.runtime.quarantined(digest).is_some(), "as its hint says");
    assert_eq!(house.upgrades.threads_lost(), 1);
}

/// Its thread is free again, and so is the version.
fn is_over(house: &House, gate: &Gate) {
    gate.open();
    until("its thread returns", || house.upgrades.threads_lost() == 0);
    let digest = Code(house.script("1.0.0")).digest();
    until("it is out of quarantine", || house.runtime.quarantined(digest).is_none());
}

#[test]
fn f36_a_replay_whose_code_hangs_leaves_the_actor_paused_and_is_offered_no_more() {
    let (house, report) = on_probation(short);
    let actor = house.actor("a");
    tell(&actor, "Hang");
    assert_eq!(see(&actor).version, "2.0.0", "which does not hang");
    let gate = Gate::new();
    house.script("1.0.0").hang_at(At::Handle, &gate);
    let mut events = house.runtime.events();
    let went = back(&house, &report.id, WayBack::Replay);
    is_held(&house, &went, &[WayBack::Restore]);
    assert!(!went_on(&mut events, actor.addr()), "not for a moment");
    let why = stands(&house).no_replay.expect("it is said");
    assert!(why.contains("did not return"), "{why}");
    let again =
        house.upgrades.roll_back(&report.id, (Some(WayBack::Replay), PathlessPolicy::Refuse), &[], ("operator", ""));
    assert_eq!(again.expect_err("it would hang again").code(), "UPG-NO-WAY-BACK");
    // What comes meanwhile waits, for whoever it is.
    tell(&actor, "Add");
    assert_eq!(actor.info().queued_messages, 1);
    let went = back(&house, &report.id, WayBack::Restore);
    assert_eq!(went.outcome, Outcome::Committed, "{went}");
    let seen = see(&actor);
    assert_eq!((seen.version.as_str(), seen.count), ("1.0.0", 6), "five before the commit, and the one that waited");
    is_over(&house, &gate);
}

#[test]
fn f36_a_version_before_that_hangs_in_save_leaves_no_way_back_and_the_new_one_may_go_on() {
    let (house, report) = on_probation(|options| options.max_pause = PAUSE);
    let (actor, gate) = (house.actor("a"), Gate::new());
    house.script("1.0.0").hang_at(At::Save, &gate);
    let mut events = house.runtime.events();
    let went = back(&house, &report.id, WayBack::Replay);
    is_held(&house, &went, &[]);
    assert!(!went_on(&mut events, actor.addr()), "not for a moment");
    tell(&actor, "Add");
    let none = house
        .upgrades
        .roll_back(&report.id, (None, PathlessPolicy::Refuse), &[], ("operator", ""))
        .expect_err("there is no way");
    assert_eq!(none.code(), "UPG-NO-WAY-BACK");
    let hint = format!("let the new version go on: teneral upgrade finalise {} counter/a", report.id);
    assert_eq!(none.hint(), hint, "no way is named that there is not");
    house.upgrades.finalise(&report.id, &[], "operator").expect("it is on probation");
    let seen = see(&actor);
    assert_eq!((seen.version.as_str(), seen.count), ("2.0.0", 7), "nothing is lost");
    is_over(&house, &gate);
}

#[test]
fn f36_a_message_that_a_version_panicked_on_has_an_end_when_the_version_before_hangs() {
    let (house, report) = on_probation(|options| {
        short(options);
        let Probation::Watch(watch) = options.probation else { unreachable!() };
        options.probation = Probation::Watch(Watch { rollback: Rollback::Replay, ..watch });
    });
    let (actor, gate) = (house.actor("a"), Gate::new());
    tell(&actor, "Hang");
    assert_eq!(see(&actor).version, "2.0.0", "which does not hang");
    house.script("1.0.0").hang_at(At::Handle, &gate);
    tell(&actor, "Panic");
    until("it could not be taken back", || matches!(stands(&house).phase, Phase::Held { .. }));
    assert_eq!(stands(&house).ways, [WayBack::Restore]);
    let dead = || house.runtime.dead_letters().count(DeadKind::Panicked);
    until("its message is a dead letter", || dead() == 1);
    let went = back(&house, &report.id, WayBack::Restore);
    assert_eq!(went.outcome, Outcome::Committed, "{went}");
    let seen = see(&actor);
    assert_eq!((seen.version.as_str(), seen.count, actor.info().restarts), ("1.0.0", 5, 0));
    is_over(&house, &gate);
}

/// The thread that looks at probations has looked since, and has done what it had to: at another one, on this version.
pub(crate) fn looked(house: &House, key: &str, to: &str) {
    let actor = house.start(key, "1.0.0", 1);
    let mut request = house.request(&[key], to);
    request.options.probation = Probation::Watch(Watch::new(LONG));
    assert!(house.upgrades.upgrade(&request).expect("it begins").ok());
    block_on(actor.stop("", DEADLINE)).expect("it stops");
    until("it is seen that it has stopped", || {
        house.upgrades.on_probation().iter().all(|on| on.actor != *actor.addr())
    });
}

#[test]
fn u44_an_upgrade_of_which_one_went_back_while_it_was_at_work_makes_nothing_the_default() {
    let house = House::with([manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1])]);
    let (_, slow) = (house.start("a", "1.0.0", 5), house.start("b", "1.0.0", 7));
    let gate = Gate::new();
    let hangs = gate.clone();
    house.script("1.0.0").on(At::Save, move |count| {
        if count == 7 {
            hangs.enter();
        }
        Ok(())
    });
    let mut request = house.request(&["a", "b"], "2.0.0");
    request.options.probation = Probation::Watch(Watch { messages: 1, ..Watch::new(Duration::ZERO) });
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| house.upgrades.upgrade(&request).expect("it begins"));
        let _opens = Opens(gate.clone());
        gate.await_entered();
        until("the other one is on probation", || house.upgrades.on_probation().len() == 1);
        let id = stands(&house).upgrade;
        assert_eq!(back(&house, &id, WayBack::Restore).outcome, Outcome::Committed);
        looked(&house, "c", "2.0.0");
        gate.open();
        assert!(upgrading.join().expect("it ends").ok());
    });
    tell(&slow, "Add");
    until("it has passed", || house.upgrades.on_probation().is_empty());
    looked(&house, "d", "2.0.0");
    assert_eq!(house.store.default_version("counter").expect("the store reads"), None);
}

/// The same, where 2.0.0 knows one message more.
fn with_a_message_of_its_own(change: impl FnOnce(&mut Options)) -> (House, Report) {
    let [old, mut new] = [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1])]
        .map(|manifest| Manifest { deterministic: true, ..manifest });
    new.messages.push(MessageEntry { name: "Fresh".to_owned(), ..new.messages[0].clone() });
    on_probation_of([old, new], change)
}

/// One of them waits behind a turn that does not end before it is said so.
fn waits(house: &House) -> Opens {
    let (actor, gate) = (house.actor("a"), Gate::new());
    house.script("2.0.0").hang_at(At::Handle, &gate);
    tell(&actor, "Hang");
    gate.await_entered();
    tell(&actor, "Fresh");
    Opens(gate)
}

/// One of them waits behind a message that 2.0.0 panics on.
fn waits_for_whoever_decides(house: &House) {
    let actor = house.actor("a");
    actor.pause("a test", LONG).expect("it serves");
    tell(&actor, "Panic");
    tell(&actor, "Fresh");
    actor.resume("a test");
}

/// How that rollback ended, by its journal.
fn end(house: &House, id: &UpgradeId) -> ActorEnd {
    let journal = house.store.journal(id).expect("the store reads");
    Entry::end_of(&journal).expect("it has ended").actors[0].clone()
}

const WAITS: &str = "1 in the mailbox: message Fresh is unknown to 1.0.0";

#[test]
fn a_rollback_that_would_lose_waiting_messages_is_refused_until_they_are_handled_or_given_up() {
    for way in [None, Some(WayBack::Replay), Some(WayBack::Downgrade), Some(WayBack::Restore)] {
        let (house, report) = with_a_message_of_its_own(|_| {});
        let turn = waits(&house);
        let refused = house.upgrades.roll_back(&report.id, (way, PathlessPolicy::Refuse), &[], ("operator", ""));
        let refused = refused.expect_err("one would be lost");
        assert_eq!(refused.code(), "UPG-CONTRACT", "{way:?}: {refused}");
        let said = format!("counter/a: waiting messages have no path to counter 1.0.0: {WAITS}");
        assert_eq!(refused.to_string(), said, "{way:?}");
        let on = stands(&house);
        assert_eq!((on.phase, on.to.major), (Phase::Watching, 2), "{way:?}: nobody was touched");
        assert_eq!(house.store.upgrades().expect("the store reads").len(), 1, "{way:?}: and nothing began");
        drop(turn);
        see(&house.actor("a"));
        // Now that it has been handled there is no replay, either.
        let went = back(&house, &report.id, way.filter(|way| *way != WayBack::Replay).unwrap_or(WayBack::Downgrade));
        assert_eq!((went.outcome, went.dead_letters), (Outcome::Committed, 0), "{way:?}");
    }
    for way in [WayBack::Replay, WayBack::Downgrade, WayBack::Restore] {
        let (house, report) = with_a_message_of_its_own(|_| {});
        let turn = waits(&house);
        let reports = std::thread::scope(|threads| {
            let (house, id, how) = (&house, &report.id, (Some(way), PathlessPolicy::DeadLetter));
            let back = move || house.upgrades.roll_back(id, how, &[], ("operator", "")).expect("it begins");
            let back = threads.spawn(back);
            let asked = || matches!(house.actor("a").info().status, Status::Paused { .. });
            until("it waits for the end of the turn", asked);
            drop(turn);
            back.join().expect("it ends")
        });
        let [went] = reports[0].actors.as_slice() else { panic!("{reports:?}") };
        assert_eq!((&went.outcome, went.dead_letters), (&Outcome::Committed, 1), "{way}: {went}");
        assert_eq!(reports[0].warnings, [format!("counter/a: {WAITS}: they become dead letters")], "{way}");
        assert_eq!(end(&house, &reports[0].id).dead_letters, 1, "{way}: its journal has it");
        let counts = house.runtime.dead_letters().counts();
        assert_eq!(counts.get(&DeadKind::UnknownMessage), Some(&1), "{way}: {counts:?}");
    }
}

#[test]
fn a_rollback_that_nobody_asked_for_loses_waiting_messages_where_its_upgrade_was_allowed_to() {
    let by_itself = |rollback, pathless| {
        move |options: &mut Options| {
            options.probation = Probation::Watch(Watch { rollback, ..Watch::new(LONG) });
            options.pathless = pathless;
        }
    };
    let (house, report) = with_a_message_of_its_own(by_itself(Rollback::Auto, PathlessPolicy::Refuse));
    waits_for_whoever_decides(&house);
    until("it is left to an operator", || matches!(stands(&house).phase, Phase::Sick { .. }));
    // It is looked at again, and what was said of it stands.
    looked(&house, "b", "2.0.0");
    let on = stands(&house);
    let Phase::Sick { why } = &on.phase else { unreachable!() };
    let stays =
        format!("; it is not taken back by itself: [UPG-CONTRACT] waiting messages have no path to 1.0.0: {WAITS}");
    assert!(why.starts_with("it panicked: ") && why.ends_with(&stays), "{why}");
    assert_eq!((on.automatic, on.ways), (None, vec![WayBack::Replay, WayBack::Restore]));
    let roll_back = |pathless| {
        let back = house.upgrades.roll_back(&report.id, (None, pathless), &[], ("operator", ""));
        back.map_err(Box::new)
    };
    assert_eq!(roll_back(PathlessPolicy::Refuse).expect_err("one would be lost").code(), "UPG-CONTRACT");
    let reports = roll_back(PathlessPolicy::DeadLetter).expect("it begins");
    assert_eq!((reports[0].ok(), reports[0].actors[0].dead_letters), (true, 1), "{}", reports[0]);
    // By the upgrade's own word; by a policy that gives up what came since the commit, as what waits has.
    let allowed = [(Rollback::Auto, PathlessPolicy::DeadLetter), (Rollback::Restore, PathlessPolicy::Refuse)];
    for (rollback, pathless) in allowed {
        let (house, report) = with_a_message_of_its_own(by_itself(rollback, pathless));
        waits_for_whoever_decides(&house);
        until("it is back", || house.upgrades.on_probation().is_empty() && house.upgrades.running().is_empty());
        let upgrades = house.store.upgrades().expect("the store reads");
        let by = upgrades.iter().find(|id| **id != report.id).expect("a rollback");
        assert_eq!(end(&house, by).dead_letters, 1, "{rollback:?}: its journal has it");
        assert_eq!(see(&house.actor("a")).version, "1.0.0", "{rollback:?}");
    }
}

#[test]
fn what_a_version_panics_on_or_hangs_in_and_the_one_before_does_not_know_is_a_dead_letter_and_is_said_to_be() {
    for hangs in [false, true] {
        let watch = Probation::Watch(Watch::new(LONG));
        let (house, report) = with_a_message_of_its_own(|options| options.probation = watch);
        let (actor, gate) = (house.actor("a"), Gate::new());
        let _opens = Opens(Arc::clone(&gate));
        match hangs {
            true => house.script("2.0.0").hang_at(At::Handle, &gate),
            false => house.script("2.0.0").fail_at(At::Handle, FaultKind::Panic, "not this one"),
        }
        tell(&actor, "Fresh");
        until("it is back", || house.upgrades.on_probation().is_empty() && house.upgrades.running().is_empty());
        let upgrades = house.store.upgrades().expect("the store reads");
        let by = upgrades.iter().find(|id| **id != report.id).expect("a rollback");
        assert_eq!(end(&house, by).dead_letters, 1, "hangs: {hangs}: its journal has it");
        let counts = house.runtime.dead_letters().counts();
        assert_eq!(counts.get(&DeadKind::UnknownMessage), Some(&1), "hangs: {hangs}: {counts:?}");
        assert_eq!(see(&actor).version, "1.0.0", "hangs: {hangs}: all others go on");
    }
}
