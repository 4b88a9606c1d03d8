//! The pause of an upgrade: what is sent to an actor meanwhile, what it answers, and whom it may not touch.

use crate::harness::house::{GENEROUS, House, only, patient, until};
use crate::harness::probe::{self, Busy, Standing, act, handled_by, lives, note, seen, state, tell};
use crate::harness::{Test, test};
use probe_api::{Act, Read, v1, v2};
use std::time::{Duration, Instant};
use teneral::contract::codec::decode_state;
use teneral::runtime::{Generation, PauseRefused, Status};
use teneral::upgrade::{Outcome, Plan, Step};
use teneral::{ActorRef, UpgradeOptions};

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(u1_an_ask_sent_while_paused_is_answered_after_resume_by_the_new_code_from_the_migrated_state),
        test(u2_messages_sent_while_paused_are_all_handled_after_resume_in_each_senders_order),
        test(u3_no_user_message_is_handled_while_paused_and_reads_of_the_state_are_answered),
        test(u4_pausing_twice_and_resuming_twice_are_no_ops),
        test(u5_an_actor_that_runs_is_not_migrated_and_a_plan_to_do_so_is_refused),
        test(u16_an_actor_busy_past_the_deadline_is_deferred_keeps_code_and_state_and_can_be_retried),
        test(u17_a_pause_that_was_not_had_in_time_never_comes_later),
        test(u40_a_timer_due_during_a_pause_fires_once_after_it_and_a_long_one_keeps_its_moment),
    ]
}

/// A short wait for a boundary that does not come.
const MOMENT: Duration = Duration::from_millis(50);

/// Bounds for an actor that is busy for ever: not waited for long.
fn impatient() -> UpgradeOptions {
    UpgradeOptions { quiesce_timeout: MOMENT, ..patient() }
}

/// `probe/a` at 1.0.0 with three notes of sender 0 in its log.
fn with_three_notes(house: &House) -> ActorRef {
    let actor = probe::start(house, "probe/a", "1.0.0");
    (0..3).for_each(|number| tell(house, &actor, note(0, number)));
    probe::whole(&seen(house, &actor).log, &[3]);
    actor
}

fn u1_an_ask_sent_while_paused_is_answered_after_resume_by_the_new_code_from_the_migrated_state() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house);
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    let asking = actor.clone();
    let asked = house.spawn(async move { asking.ask(Read {}, GENEROUS).await });
    until("the ask waits", || actor.info().queued_messages == 1);
    assert!(!asked.is_finished(), "nobody answers while the actor is paused");
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let answer = house.block_on(asked).expect("the caller lives").expect("an answer");
    assert_eq!((answer.version, handled_by(&answer.log)), (2, vec![1]));
    probe::whole(&answer.log, &[3]);
    let state = decode_state::<v2::Probe>(&state(&house, &actor).bytes).expect("a state of schema 2");
    assert_eq!((state.body.handled(), state.migrated), (3, 3), "the migration saw the old state");
}

fn u2_messages_sent_while_paused_are_all_handled_after_resume_in_each_senders_order() {
    const SENDERS: u32 = 3;
    const EACH: u64 = 200;
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let actor = actor.clone();
            house.spawn(async move {
                for number in 0..EACH {
                    actor.tell(note(sender, number)).await.expect("a paused actor accepts");
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| house.block_on(sender).expect("it sent all"));
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &[EACH; SENDERS as usize]);
    assert_eq!(handled_by(&seen.log), [2], "the old code handled none of them");
}

fn u3_no_user_message_is_handled_while_paused_and_reads_of_the_state_are_answered() {
    const SENT: u64 = 100;
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house);
    let standing = Standing::upgrade(&house, &actor, "2.0.0");
    for number in 3..SENT {
        actor.try_tell(note(0, number)).expect("there is room");
        let read = state(&house, &actor);
        let old = decode_state::<v1::Probe>(&read.bytes).expect("a state of schema 1");
        assert_eq!((read.schema, old.body.handled()), (1, 3), "note {number} was handled under the pause");
    }
    let report = standing.go_on(&house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let seen = seen(&house, &actor);
    probe::whole(&seen.log, &[SENT]);
    assert!(seen.log.iter().all(|entry| (entry.version == 1) == (entry.number < 3)), "{:?}", seen.log);
}

fn u4_pausing_twice_and_resuming_twice_are_no_ops() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house);
    actor.pause("ops", GENEROUS).expect("paused");
    actor.pause("ops", GENEROUS).expect("paused already");
    assert_eq!(actor.pause("others", GENEROUS), Err(PauseRefused::Held { owner: "ops".to_owned() }));
    actor.resume("others");
    tell(&house, &actor, note(0, 3));
    let report = house.try_upgrade("probe/a", "2.0.0", patient()).expect("it begins");
    let failure = only(&report).outcome.failure().expect("somebody holds the actor");
    assert_eq!(failure.code, "UPG-HELD");
    assert!(failure.cause.contains("ops"), "{failure:?}");
    assert_eq!(decode_state::<v1::Probe>(&state(&house, &actor).bytes).map(|old| old.body.handled()), Ok(3));
    // One resume ends two pauses; another one is one too many, and harms nobody.
    actor.resume("ops");
    probe::whole(&seen(&house, &actor).log, &[4]);
    actor.resume("ops");
    tell(&house, &actor, note(0, 4));
    probe::whole(&seen(&house, &actor).log, &[5]);
    assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
    probe::whole(&seen(&house, &actor).log, &[5]);
}

fn u5_an_actor_that_runs_is_not_migrated_and_a_plan_to_do_so_is_refused() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house);
    let plan = house.block_on(house.system.plan("probe/a", "2.0.0", patient())).expect("a plan");
    let mut bent: serde_json::Value = serde_json::to_value(&plan).expect("JSON");
    let steps = bent["moves"][0]["steps"].as_array_mut().expect("a list of steps");
    steps.retain(|step| *step != Step::Pause.name());
    assert_eq!(Plan::from_json(&bent.to_string()).map(drop).expect_err("refused").code(), "UPG-STEPS");
    let forged: Plan = serde_json::from_value(bent).expect("the fields of a plan");
    let error = house.block_on(house.system.apply(forged)).expect_err("refused");
    assert_eq!(error.code(), "UPG-STEPS");
    assert_eq!((seen(&house, &actor).version, actor.info().generation), (1, Generation(0)));

    // While a turn runs, an upgrade waits: what the turn does is in the state that migrates.
    let busy = Busy::make(&house, &actor);
    let system = house.system.clone();
    let upgrade = house.spawn(async move { system.upgrade("probe/a", "2.0.0", patient()).await });
    until("it is asked to pause", || actor.info().status != Status::Running);
    drop(busy);
    let report = house.block_on(upgrade).expect("it ends").expect("it begins");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let seen = seen(&house, &actor);
    let notes: Vec<&str> = seen.notes.iter().map(String::as_str).collect();
    assert_eq!(notes, ["1: started Fresh", "1: opened", "1: unblocked", "2: started Upgraded", "2: opened"]);
    probe::whole(&seen.log, &[3]);
}

fn u16_an_actor_busy_past_the_deadline_is_deferred_keeps_code_and_state_and_can_be_retried() {
    let house = House::patient(probe::ALL);
    let actor = with_three_notes(&house);
    let busy = Busy::make(&house, &actor);
    let report = house.try_upgrade("probe/a", "2.0.0", impatient()).expect("it begins");
    let entry = only(&report);
    let Outcome::Deferred(failure) = &entry.outcome else { panic!("{report}") };
    assert_eq!((failure.code.as_str(), entry.step, entry.pause_us), ("UPG-BUSY", Step::Pause, 0));
    assert!(!report.ok());
    tell(&house, &actor, note(0, 3));
    drop(busy);
    let kept = seen(&house, &actor);
    assert_eq!((kept.version, lives(&kept)), (1, vec!["1: started Fresh"]));
    probe::whole(&kept.log, &[4]);
    assert_eq!(house.moved("probe/a", "2.0.0").outcome, Outcome::Committed);
    let moved = seen(&house, &actor);
    assert_eq!((moved.version, lives(&moved)), (2, vec!["1: started Fresh", "2: started Upgraded"]));
    assert_eq!(moved.log, kept.log);
}

fn u17_a_pause_that_was_not_had_in_time_never_comes_later() {
    const SENT: u64 = 200;
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &actor);
    let report = house.try_upgrade("probe/a", "2.0.0", impatient()).expect("it begins");
    assert!(matches!(only(&report).outcome, Outcome::Deferred(_)), "{report}");
    assert_eq!(actor.info().status, Status::Running, "the request is gone with its time");
    drop(busy);
    for number in 0..SENT {
        tell(&house, &actor, note(0, number));
        assert_eq!(seen(&house, &actor).version, 1);
        assert_eq!(actor.info().status, Status::Running);
    }
    probe::whole(&seen(&house, &actor).log, &[SENT]);
}

fn u40_a_timer_due_during_a_pause_fires_once_after_it_and_a_long_one_keeps_its_moment() {
    let house = House::patient(probe::ALL);
    // A machine that is too slow for one scale is not for a longer one.
    let scales = (0..6).map(|doubled| Duration::from_millis(300 << doubled));
    let notes = scales.zip(["a", "b", "c", "d", "e", "f"]).find_map(|(scale, key)| timed(&house, key, scale));
    let notes = notes.expect("an actor comes to rest within ten seconds");
    let fired: Vec<&str> = notes.iter().map(String::as_str).filter(|note| note.ends_with("timer")).collect();
    assert_eq!(fired, ["2: short timer", "2: long timer", "2: longer timer"], "{notes:?}");
}

/// What an actor writes down that has timers of one and three scales when it is paused for more than one, and gets one
/// afterwards that is due later than the long one, though not later than one that the pause had put off. `None` when it
/// was not paused before the first timer was due.
fn timed(house: &House, key: &str, scale: Duration) -> Option<Vec<String>> {
    let actor = probe::start(house, &format!("probe/{key}"), "1.0.0");
    let timer = |delay: Duration, text: &str| {
        let delay_ms = u64::try_from(delay.as_millis()).expect("a short delay");
        act(house, &actor, Act::Timer { delay_ms, period_ms: 0, text: format!("{text} timer") });
    };
    let begun = Instant::now();
    timer(scale, "short");
    timer(3 * scale, "long");
    let standing = Standing::upgrade(house, &actor, "2.0.0");
    let paused = Instant::now();
    // Set before it was paused: so it is due three scales from here at the latest.
    let longer_due = paused + 3 * scale + scale / 2;
    if paused.duration_since(begun) >= scale {
        return None;
    }
    until("the short timer is due", || actor.info().queued_messages == 1);
    until("the pause has lasted", || paused.elapsed() >= scale);
    let report = standing.go_on(house);
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    timer(longer_due.saturating_duration_since(Instant::now()) + Duration::from_millis(1), "longer");
    until("the last one fires", || seen(house, &actor).notes.iter().any(|note| note == "2: longer timer"));
    Some(seen(house, &actor).notes)
}
