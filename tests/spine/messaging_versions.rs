//! What waits at the host while the code is replaced: all of it passes the new version's contract, each as what it is.
//!
//! An actor is held in a turn while things come to wait for it and a move is asked for: so the old code handles none of
//! them, however slow the machine is.

use crate::harness::house::{GENEROUS, House, patient, until};
use crate::harness::probe::{self, Hold, act, asks, lives, note, notes_with, seen, tell, trap};
use crate::harness::{Test, test};
use probe_api::{Act, Begin, Do, Fresh, Later, Note, Owe, Paid, Read, Relay, Start, Told, v1};
use std::collections::BTreeMap;
use teneral::runtime::{DeadKind, Place, Status};
use teneral::upgrade::StateMode;
use teneral::{ActorRef, AskError, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(m16_what_waits_over_two_upgrades_is_up_cast_or_refused_by_rule_and_never_mistaken),
        test(m16_what_waits_over_two_downgrades_is_passed_on_or_refused_by_rule_and_never_mistaken),
        test(m21_a_timer_of_an_older_version_is_up_cast_or_one_dead_letter_whether_it_has_fired_or_not),
        test(m21_a_timer_of_a_newer_version_is_one_dead_letter_with_its_reason_whether_it_has_fired_or_not),
        test(m21_a_continuation_of_another_version_is_up_cast_or_a_dead_letter),
        test(m21_start_arguments_of_an_older_version_are_up_cast_and_those_of_a_newer_one_are_not_read),
        test(m21_a_reply_is_given_in_the_shape_that_its_caller_knows),
        test(u42_a_reply_handle_a_timer_and_a_continuation_of_the_old_version_work_after_the_move),
        test(a_reset_ends_and_accounts_for_what_the_life_before_had_planned_asked_and_owed),
    ]
}

/// Moves the actor while it is in a turn, with these acts done just before that turn; `waiting` is called in it.
#[track_caller]
fn moved_with(house: &House, actor: &ActorRef, acts: Vec<Act>, waiting: impl FnOnce(), to: &'static str) {
    moved_by(house, actor, acts, waiting, (to, patient()));
}

/// The same, as the options say.
#[track_caller]
fn moved_by(
    house: &House,
    actor: &ActorRef,
    acts: Vec<Act>,
    waiting: impl FnOnce(),
    (to, options): (&'static str, UpgradeOptions),
) {
    let hold = Hold::new(house);
    // All of them wait, so that nothing that they bring about gets between them.
    actor.pause("ops", GENEROUS).expect("paused");
    for act in acts.into_iter().chain([Act::Block { until: hold.path() }]) {
        actor.try_tell(Do { act }).expect("there is room");
    }
    actor.resume("ops");
    until("the turn begins", || hold.reached());
    waiting();
    let (system, addr) = (house.system.clone(), actor.addr().clone());
    let running = house.begin(async move { system.upgrade(&addr, to, options).await });
    until("it is asked to pause", || actor.info().status != Status::Running);
    drop(hold);
    let report = house.block_on(running).expect("no upgrade panics").expect("it begins");
    assert!(report.ok(), "{report}");
}

/// Moves the actor twice while it handles nothing in between; `waiting` is called before either.
#[track_caller]
fn moved_twice_with(house: &House, actor: &ActorRef, waiting: impl FnOnce(), ways: [&'static str; 2]) {
    // The first turn of the version in between holds up all that wait.
    let hold = Hold::new(house);
    trap(house, actor, "started", &format!("hang {}", hold.path()));
    moved_with(house, actor, Vec::new(), waiting, ways[0]);
    until("the version in between begins", || hold.reached());
    let (system, addr) = (house.system.clone(), actor.addr().clone());
    let running = house.begin(async move { system.upgrade(&addr, ways[1], patient()).await });
    until("it is asked to pause", || actor.info().status != Status::Running);
    drop(hold);
    let report = house.block_on(running).expect("no upgrade panics").expect("it begins");
    assert!(report.ok(), "{report}");
}

/// Dead letters so far, by cause.
fn letters(house: &House) -> BTreeMap<DeadKind, u64> {
    house.system.runtime().dead_letters().counts()
}

/// What the host keeps for the actor besides its start arguments.
fn kept(actor: &ActorRef) -> Vec<(Place, usize)> {
    let parked = actor.parked().into_iter().filter(|parked| parked.place != Place::RestartArgs);
    parked.map(|parked| (parked.place, parked.count)).collect()
}

/// Senders, versions and weights of the notes that were handled.
fn handled(house: &House, actor: &ActorRef) -> Vec<(u32, u32, u32)> {
    seen(house, actor).log.iter().map(|entry| (entry.sender, entry.version, entry.weight)).collect()
}

fn m16_what_waits_over_two_upgrades_is_up_cast_or_refused_by_rule_and_never_mistaken() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let mut asked = Vec::new();
    let waiting = || {
        actor.try_tell(note(0, 0)).expect("1.0.0 knows it");
        actor.try_tell(v1::Gone {}).expect("1.0.0 knows it");
        asked.push(asks(&house, &actor, v1::Owe {}));
        actor.try_tell(note(0, 1)).expect("1.0.0 knows it");
        assert!(actor.try_tell(Note { sender: 1, number: 0, weight: 9 }).is_err(), "1.0.0 does not");
    };
    moved_twice_with(&house, &actor, waiting, ["2.0.0", "3.0.0"]);
    assert_eq!(handled(&house, &actor), [(0, 3, 1), (0, 3, 1)], "what has no weight weighs 1, twice up-cast or once");
    probe::whole(&seen(&house, &actor).log, &[2]);
    act(&house, &actor, Act::Pay);
    let paid = house.block_on(asked.remove(0)).expect("the caller lives");
    assert_eq!(paid, Ok(v1::Paid { notes: 2 }), "the caller of 1.0.0 reads its answer");
    assert_eq!(lives(&seen(&house, &actor)), ["1: started Fresh", "2: started Upgraded", "3: started Upgraded"]);
    assert_eq!(notes_with(&house, &actor, "gone"), [""; 0]);
    let expected = BTreeMap::from([(DeadKind::UnknownMessage, 1), (DeadKind::UnknownShape, 1)]);
    assert_eq!(letters(&house), expected, "what nobody knows any more, and what was not accepted");
}

fn m16_what_waits_over_two_downgrades_is_passed_on_or_refused_by_rule_and_never_mistaken() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "3.0.0");
    let mut asked = Vec::new();
    let mut read = Vec::new();
    let waiting = || {
        actor.try_tell(note(0, 0)).expect("3.0.0 up-casts it");
        actor.try_tell(Note { sender: 1, number: 0, weight: 9 }).expect("3.0.0 knows it");
        asked.push(asks(&house, &actor, Owe {}));
        actor.try_tell(Fresh {}).expect("3.0.0 knows it");
        read.push(asks(&house, &actor, Read {}));
        actor.try_tell(note(0, 1)).expect("3.0.0 up-casts it");
    };
    moved_twice_with(&house, &actor, waiting, ["2.0.0", "1.0.0"]);
    assert_eq!(handled(&house, &actor), [(0, 1, 0), (0, 1, 0)], "the weighed one is not read as one without a weight");
    probe::whole(&seen(&house, &actor).log, &[2]);
    let refused = house.block_on(asked.remove(0)).expect("the caller lives");
    assert_eq!(refused, Err(AskError::ReplyShape), "1.0.0 has no such answer");
    let read = house.block_on(read.remove(0)).expect("the caller lives").expect("an answer");
    assert_eq!((read.version, read.log.len()), (1, 1), "what stays the same passes in its place");
    let expected = BTreeMap::from([(DeadKind::UnknownMessage, 1), (DeadKind::UnknownShape, 1)]);
    assert_eq!(letters(&house), expected, "each with its reason");
}

/// A delay that no test lives to see the end of.
const NEVER_MS: u64 = 600_000;

fn m21_a_timer_of_an_older_version_is_up_cast_or_one_dead_letter_whether_it_has_fired_or_not() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    // Each kind twice: one that fires during the turn that the move waits for, and one that fires later, or never.
    let acts = vec![
        Act::Remind { delay_ms: 0, sender: 0, number: 0 },
        Act::Remind { delay_ms: 1_000, sender: 0, number: 1 },
        Act::Peculiar { delay_ms: 0 },
        Act::Peculiar { delay_ms: NEVER_MS },
    ];
    let fired = || {
        until("two have fired", || actor.info().queued_messages >= 2);
        assert_eq!(kept(&actor), [(Place::Timer, 2), (Place::Timer, 2)], "each is one thing that waits");
        let plan = house.block_on(house.system.plan("probe/a", "2.0.0", patient())).expect("a plan");
        let lost: Vec<_> = plan.moves()[0].pathless.iter().map(|lost| (lost.place.as_str(), lost.count)).collect();
        assert_eq!(lost, [("timer", 2)], "and the plan says what becomes of it");
    };
    moved_with(&house, &actor, acts, fired, "2.0.0");
    assert_eq!(letters(&house), BTreeMap::from([(DeadKind::UnknownMessage, 2)]), "one for each");
    until("the other one fires", || handled(&house, &actor).len() == 2);
    assert_eq!(handled(&house, &actor), [(0, 2, 1), (0, 2, 1)], "both are up-cast");
    probe::whole(&seen(&house, &actor).log, &[2]);
    assert_eq!(kept(&actor), [], "nothing is left of the others");
    assert_eq!(letters(&house), BTreeMap::from([(DeadKind::UnknownMessage, 2)]));
}

fn m21_a_timer_of_a_newer_version_is_one_dead_letter_with_its_reason_whether_it_has_fired_or_not() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "2.0.0");
    let acts = vec![
        Act::Remind { delay_ms: 0, sender: 0, number: 0 },
        Act::Remind { delay_ms: NEVER_MS, sender: 0, number: 1 },
        Act::Peculiar { delay_ms: 0 },
        Act::Peculiar { delay_ms: NEVER_MS },
    ];
    let fired = || until("two have fired", || actor.info().queued_messages == 2);
    moved_with(&house, &actor, acts, fired, "1.0.0");
    assert_eq!(handled(&house, &actor), [], "a weighed note is not read as one without a weight");
    let expected = BTreeMap::from([(DeadKind::UnknownMessage, 2), (DeadKind::UnknownShape, 2)]);
    assert_eq!(letters(&house), expected);
    assert_eq!(kept(&actor), []);
}

fn m21_a_continuation_of_another_version_is_up_cast_or_a_dead_letter() {
    let house = House::patient(probe::ALL);
    let (old, new) = (probe::start(&house, "probe/old", "1.0.0"), probe::start(&house, "probe/new", "2.0.0"));
    (0..3).for_each(|number| tell(&house, &old, note(0, number)));
    let ask = |to: &ActorRef| Act::Ask { to: to.addr().clone(), timeout_ms: NEVER_MS };
    let pay = |to: &ActorRef| {
        act(&house, to, Act::Pay);
        seen(&house, to);
    };
    // Up: one whose answer waits already, and one whose answer comes later.
    let actor = probe::start(&house, "probe/up", "1.0.0");
    let answered = || {
        pay(&old);
        until("the answer waits", || actor.info().queued_messages == 1);
    };
    moved_with(&house, &actor, vec![ask(&old)], answered, "2.0.0");
    assert_eq!(notes_with(&house, &actor, "heard"), ["2: heard Paid { notes: 3, weight: 3 }"]);
    let actor = probe::start(&house, "probe/up-later", "1.0.0");
    moved_with(&house, &actor, vec![ask(&old)], || (), "3.0.0");
    assert_eq!(kept(&actor), [(Place::Continuation, 1)]);
    pay(&old);
    assert_eq!(notes_with(&house, &actor, "heard"), ["3: heard Paid { notes: 3, weight: 3 }"]);
    assert_eq!((kept(&actor), letters(&house)), (vec![], BTreeMap::new()));

    // Down: 1.0.0 has no such continuation, so nobody hears the answer, wherever it is by then.
    let actor = probe::start(&house, "probe/down", "2.0.0");
    let answered = || {
        pay(&new);
        until("the answer waits", || actor.info().queued_messages == 1);
    };
    moved_with(&house, &actor, vec![ask(&new)], answered, "1.0.0");
    assert_eq!(letters(&house), BTreeMap::from([(DeadKind::UnknownShape, 1)]));
    assert_eq!((notes_with(&house, &actor, "heard"), kept(&actor)), (vec![], vec![]));
    let actor = probe::start(&house, "probe/down-later", "2.0.0");
    moved_with(&house, &actor, vec![ask(&new)], || (), "1.0.0");
    assert_eq!(letters(&house), BTreeMap::from([(DeadKind::UnknownShape, 2)]));
    pay(&new);
    assert_eq!((notes_with(&house, &actor, "heard"), kept(&actor)), (vec![], vec![]));
    let expected = BTreeMap::from([(DeadKind::UnknownShape, 2), (DeadKind::LateReply, 1)]);
    assert_eq!(letters(&house), expected, "the answer finds nobody, and nothing that was kept for it");
}

fn m21_start_arguments_of_an_older_version_are_up_cast_and_those_of_a_newer_one_are_not_read() {
    let house = House::patient(probe::ALL);
    let actor = house.start("probe/up", "1.0.0", Start::default());
    assert!(house.moved("probe/up", "3.0.0").outcome.name() == "committed");
    let dies = Act::TellThenPanic(actor.addr().clone(), "never said".to_owned());
    act(&house, &actor, dies);
    assert_eq!(seen(&house, &actor).notes, ["3: from an older start", "3: started Restarted", "3: opened"]);

    let args = Begin { greeting: "hello".to_owned(), ..Begin::default() };
    let actor = house.start("probe/down", "3.0.0", args);
    assert_eq!(seen(&house, &actor).notes[0], "3: hello");
    let plan = house.block_on(house.system.plan("probe/down", "1.0.0", patient())).expect("a plan");
    let warned = plan.warnings().iter().filter(|warning| warning.contains("does not read its start arguments")).count();
    assert_eq!(warned, 1, "{:?}", plan.warnings());
    assert!(house.moved("probe/down", "1.0.0").outcome.name() == "committed");
    assert_eq!(seen(&house, &actor).version, 1);
    // There is nothing that 1.0.0 could be restarted from, and it is not made up.
    act(&house, &actor, Act::TellThenPanic(actor.addr().clone(), "never said".to_owned()));
    until("it is given up", || matches!(actor.info().status, Status::Stopped { .. }));
    assert_eq!(actor.info().restarts, 0);
}

fn m21_a_reply_is_given_in_the_shape_that_its_caller_knows() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    tell(&house, &actor, note(0, 0));
    // Asked of the old code by an old caller, answered by each newer one.
    for to in ["2.0.0", "3.0.0"] {
        let owed = asks(&house, &actor, v1::Owe {});
        seen(&house, &actor);
        assert_eq!(house.moved("probe/a", to).outcome.name(), "committed");
        act(&house, &actor, Act::Pay);
        assert_eq!(house.block_on(owed).expect("the caller lives"), Ok(v1::Paid { notes: 1 }));
    }
    // Today's caller hears all of it; 1.0.0 could not tell it, and tells nobody half of it.
    let owed = asks(&house, &actor, Owe {});
    seen(&house, &actor);
    act(&house, &actor, Act::Pay);
    assert_eq!(house.block_on(owed).expect("the caller lives"), Ok(Paid { notes: 1, weight: 0 }));
    let owed = asks(&house, &actor, Owe {});
    seen(&house, &actor);
    assert_eq!(house.moved("probe/a", "1.0.0").outcome.name(), "committed");
    act(&house, &actor, Act::Pay);
    seen(&house, &actor);
    assert_eq!((actor.info().failed, owed.is_finished()), (1, false));
    house.block_on(actor.stop("", GENEROUS)).expect("it stops");
    assert_eq!(house.block_on(owed).expect("the caller lives"), Err(AskError::Stopped));
}

fn u42_a_reply_handle_a_timer_and_a_continuation_of_the_old_version_work_after_the_move() {
    let house = House::patient(probe::ALL);
    for (key, from, to, major) in [("a", "1.0.0", "2.0.0", 2), ("b", "2.0.0", "3.0.0", 3), ("c", "3.0.0", "1.0.0", 1)] {
        let actor = probe::start(&house, &format!("probe/{key}"), from);
        let other = probe::start(&house, &format!("probe/other-{key}"), from);
        let busy = probe::Busy::make(&house, &other);
        let owed = asks(&house, &actor, Later {});
        let relayed = asks(&house, &actor, Relay { to: other.addr().clone() });
        let timer = |period_ms, text: &str| Act::Timer { delay_ms: 100, period_ms, text: text.to_owned() };
        let acts = vec![timer(0, "once"), timer(100, "again and again")];
        moved_with(&house, &actor, acts, || (), to);
        act(&house, &actor, Act::Settle);
        assert_eq!(house.block_on(owed).expect("the caller lives"), Ok(Told { version: major }));
        drop(busy);
        let answer = house.block_on(relayed).expect("the caller lives").expect("an answer");
        assert_eq!(lives(&answer).len(), 1, "what the other one saw, which did not move");
        until("the other timer fires on", || notes_with(&house, &actor, "again and again").len() >= 3);
        let notes = seen(&house, &actor).notes;
        let (old, new): (Vec<_>, Vec<_>) = notes.iter().partition(|note| !note.starts_with(&format!("{major}: ")));
        assert!(
            old.iter().all(|note| note.contains("started")
                || note.contains("opened")
                || note.contains("unblocked")
                || note.contains("older start")),
            "{old:?}"
        );
        for once in ["once", "relayed"] {
            assert_eq!(new.iter().filter(|note| note.ends_with(once)).count(), 1, "{once}: {new:?}");
        }
    }
    assert_eq!(letters(&house), BTreeMap::new());
}

fn a_reset_ends_and_accounts_for_what_the_life_before_had_planned_asked_and_owed() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let other = probe::start(&house, "probe/other", "1.0.0");
    let _busy = probe::Busy::make(&house, &other);
    let owed = asks(&house, &actor, Later {});
    seen(&house, &actor);
    let timer = |delay_ms, period_ms| Act::Timer { delay_ms, period_ms, text: "an old timer".to_owned() };
    let ask = Act::Ask { to: other.addr().clone(), timeout_ms: 600_000 };
    let acts = vec![timer(0, 0), timer(1, 1), timer(600_000, 0), ask];
    let two_fired = || until("two timers fire", || actor.info().queued_messages == 2);
    let reset = UpgradeOptions { state: StateMode::Reset, ..patient() };
    moved_by(&house, &actor, acts, two_fired, ("2.0.0", reset));
    assert_eq!(house.block_on(owed).expect("the caller lives"), Err(AskError::NoReply));
    assert_eq!(seen(&house, &actor).notes, ["2: started Fresh", "2: opened"]);
    assert_eq!(kept(&actor), []);
    assert_eq!(letters(&house), BTreeMap::from([(DeadKind::Restarted, 4)]), "three timers and a continuation");
}
