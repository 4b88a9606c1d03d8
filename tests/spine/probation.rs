//! After the commit: a version on probation that does wrong is taken back, and the work that was accepted stays.

use crate::harness::house::{GENEROUS, House, only, patient, until};
use crate::harness::probe::{self, Hold, act, note, notes_with, seen, state, tell, whole};
use crate::harness::{Test, over_the_socket, test};
use probe_api::{Act, Do, Start};
use std::time::Duration;
use teneral::runtime::{EventStream, Seen, Status, What};
use teneral::store::{Entry, StepResult};
use teneral::upgrade::report::Now;
use teneral::upgrade::{Lossy, Outcome, PathlessPolicy, Phase};
use teneral::{ActorRef, OnProbation, Probation, Report, Rollback, UpgradeOptions, Watch, WayBack};

pub(super) fn tests() -> Vec<Test> {
    let claims = || {
        vec![
            test(f38_a_version_that_fails_more_often_than_the_one_before_is_taken_back_and_the_work_kept),
            test(f38_a_version_that_is_slower_than_the_one_before_is_taken_back_and_the_work_kept),
            test(f38_a_version_that_panics_is_taken_back_and_the_message_that_it_panicked_on_is_handled),
            test(f38_a_version_that_hangs_is_taken_back_while_its_turn_hangs_and_that_message_is_handled),
            test(f38_a_version_that_hangs_where_nothing_was_kept_hangs_until_somebody_decides),
            test(f38_past_the_bound_of_what_is_kept_a_version_goes_back_by_downgrade),
            test(f38_a_version_that_panics_where_nothing_was_kept_waits_for_whoever_decides),
            test(f36_a_way_back_that_fails_leaves_the_actor_paused_with_all_it_has_until_somebody_decides),
            test(f36_an_upgrade_of_an_actor_on_probation_ends_it_and_one_during_its_way_back_is_refused),
            test(f38_a_version_that_follows_one_on_probation_is_watched_as_any_other),
            test(s19_a_crash_on_probation_is_put_down_to_the_upgrade_and_waits_for_whoever_decides),
            test(u44_a_version_that_passes_its_probation_is_what_new_actors_get),
        ]
    };
    let mut tests = claims();
    tests.extend(over_the_socket(claims()));
    tests.extend([
        test(what_the_version_before_wants_sent_is_held_and_sent_or_dropped_by_order),
        test(restore_gives_up_what_came_since_the_commit_and_nothing_else),
        test(a_host_that_is_closed_keeps_the_state_of_actors_on_probation_and_of_those_that_are_held),
        test(of_a_fleet_only_the_actors_that_fail_go_back_and_the_version_is_not_made_the_default),
        test(an_upgrade_is_made_final_by_order_once_and_one_without_a_probation_too),
    ]);
    tests
}

/// Does well under 1.0.0, and under every other version this.
fn worse(how: &str) -> Act {
    Act::OnlyUnder { version: 1, how: how.to_owned() }
}

/// A day: nobody passes by time.
const LONG: Duration = Duration::from_secs(86_400);

/// Nothing is rehearsed: the way down is taken on trust.
fn on_probation(watch: Watch) -> UpgradeOptions {
    UpgradeOptions { probation: Probation::Watch(watch), lossy: Lossy::Accept, ..patient() }
}

/// An actor that has handled some notes under 1.0.0 and is on probation under 2.0.0.
struct Stage {
    house: House,
    actor: ActorRef,
    report: Report,
    sent: u64,
    events: EventStream,
}

impl Stage {
    #[track_caller]
    fn with(watch: Watch) -> Self {
        let house = House::with(probe::ALL);
        let actor = probe::start(&house, "probe/a", "1.0.0");
        (0..30).for_each(|number| tell(&house, &actor, note(0, number)));
        assert_eq!(seen(&house, &actor).log.len(), 30);
        let events = house.system.runtime().events();
        let report = house.try_upgrade("probe/a", "2.0.0", on_probation(watch)).expect("it begins");
        assert!(report.ok(), "{report}");
        Self { house, actor, report, sent: 30, events }
    }

    fn probation(&self) -> Option<OnProbation> {
        self.house.system.probation_of("probe/a").expect("an address")
    }

    /// What was told since the last look.
    fn told(&mut self) -> Vec<What> {
        let told = std::iter::from_fn(|| self.events.next_blocking(Duration::ZERO).ok());
        told.filter_map(|seen| if let Seen::Event(event) = seen { Some(event.what.clone()) } else { None }).collect()
    }

    fn note(&mut self) {
        tell(&self.house, &self.actor, note(0, self.sent));
        self.sent += 1;
    }

    fn roll_back(&self, way: Option<WayBack>) -> Result<Vec<Report>, teneral::SystemError> {
        let (id, asked) = (&self.report.id, ("me", "because"));
        self.house.block_on(self.house.system.roll_back(id, (way, PathlessPolicy::Refuse), &[], asked))
    }

    /// The journal of the upgrade that took it back, when it is written.
    #[track_caller]
    fn rollback(&self) -> Vec<Entry> {
        let system = &self.house.system;
        let is_it = |journal: &Vec<Entry>| match (journal.first(), journal.last()) {
            (Some(Entry::Begin(begin)), Some(Entry::End(_))) => begin.rolls_back.as_ref() == Some(&self.report.id),
            _ => false,
        };
        let mut found = None;
        until("it is journaled", || {
            let ids = system.upgrades().expect("the store reads").into_iter();
            found = ids.map(|id| system.journal(&id).expect("the store reads")).find(is_it);
            found.is_some()
        });
        found.expect("it was found")
    }

    /// It serves the version before, and all that was ever told it stands in its log.
    #[track_caller]
    fn is_back(&self) {
        until("it is taken back", || self.probation().is_none());
        let seen = seen(&self.house, &self.actor);
        assert_eq!(seen.version, 1);
        whole(&seen.log, &[self.sent]);
        assert!(seen.log.iter().all(|entry| entry.version == 1), "as if there had been no other");
    }
}

fn f38_a_version_that_fails_more_often_than_the_one_before_is_taken_back_and_the_work_kept() {
    let mut stage = Stage::with(Watch::new(LONG));
    let on = stage.probation().expect("it is on probation");
    assert_eq!((on.from.major, on.to.major, on.phase), (1, 2, Phase::Watching));
    assert_eq!(on.ways, [WayBack::Replay, WayBack::Downgrade, WayBack::Restore]);
    (0..20).for_each(|_| stage.note());
    assert_eq!(seen(&stage.house, &stage.actor).version, 2);
    for _ in 0..20 {
        act(&stage.house, &stage.actor, worse("fail"));
        stage.note();
    }
    stage.is_back();
    let notes = probe::notes_with(&stage.house, &stage.actor, "did well");
    assert_eq!(notes, vec!["1: did well"; 20], "what failed was accepted, and is done");
    assert_eq!(stage.actor.info().restarts, 0);
    let journal = stage.rollback();
    let Some(Entry::End(end)) = journal.last() else { panic!("{journal:?}") };
    let back = end.actors[0].back.as_ref().expect("what was done stands in the journal");
    // What the new version's first turn told itself is none of the old one's.
    assert_eq!((back.way.as_str(), back.skipped, back.failed, back.held), ("replay", 2, 0, 0), "{back:?}");
    // Twenty notes and a look did well. It may have been taken back before the last of what follows came.
    assert!((23..=63).contains(&back.messages), "{back:?}");
}

fn f38_a_version_that_panics_is_taken_back_and_the_message_that_it_panicked_on_is_handled() {
    let mut stage = Stage::with(Watch::new(LONG));
    (0..5).for_each(|_| stage.note());
    act(&stage.house, &stage.actor, worse("panic"));
    (0..5).for_each(|_| stage.note());
    stage.is_back();
    assert_eq!(probe::notes_with(&stage.house, &stage.actor, "did well"), ["1: did well"]);
    assert_eq!(stage.actor.info().restarts, 0, "its supervisor never heard of it");
}

fn u44_a_version_that_passes_its_probation_is_what_new_actors_get() {
    let mut stage = Stage::with(Watch { messages: 50, ..Watch::new(Duration::ZERO) });
    let system = stage.house.system.clone();
    let default = || system.default_version("probe").expect("the store reads").map(|version| version.to_string());
    assert_eq!(default(), None);
    (0..50).for_each(|_| stage.note());
    until("it has passed", || stage.probation().is_none());
    until("it is the default", || default().as_deref() == Some("2.0.0"));
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!(seen.version, 2);
    whole(&seen.log, &[stage.sent]);
    let journal = stage.house.journal(&stage.report);
    assert!(only(&stage.report).outcome == Outcome::Committed && !journal.is_empty());
}

fn f38_a_version_that_is_slower_than_the_one_before_is_taken_back_and_the_work_kept() {
    let mut stage = Stage::with(Watch::new(LONG));
    // Five milliseconds each, where a note takes microseconds.
    for number in 0..90 {
        act(&stage.house, &stage.actor, worse("slow"));
        if number % 3 == 0 {
            stage.note();
        }
    }
    stage.is_back();
    assert_eq!(notes_with(&stage.house, &stage.actor, "did well").len(), 90);
    let journal = stage.rollback();
    let Some(Entry::Begin(begin)) = journal.first() else { panic!("{journal:?}") };
    assert!(begin.who == "probation" && begin.why.contains("timed turns were slow"), "{begin:?}");
    let steps: Vec<&str> = journal
        .iter()
        .filter_map(|entry| match entry {
            Entry::Step(step) if step.result == StepResult::Done => Some(step.step.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(steps, ["pause", "replay", "commit"]);
    assert!(matches!(journal.last(), Some(Entry::End(end)) if end.actors[0].outcome == "committed"), "{journal:?}");
}

fn f38_past_the_bound_of_what_is_kept_a_version_goes_back_by_downgrade() {
    let mut stage = Stage::with(Watch { keep_messages: 10, ..Watch::new(LONG) });
    (0..30).for_each(|_| stage.note());
    until("they are handled", || stage.actor.figures().handled >= 30);
    let on = stage.probation().expect("it is on probation");
    assert_eq!((on.kept_messages, on.ways), (0, vec![WayBack::Downgrade, WayBack::Restore]));
    assert!(on.no_replay.is_some_and(|why| why.contains("10 messages")));
    let refused = stage.roll_back(Some(WayBack::Replay)).expect_err("there is no such way");
    assert_eq!(refused.code(), "UPG-NO-WAY-BACK");
    (0..30).for_each(|_| act(&stage.house, &stage.actor, worse("fail")));
    until("it is taken back", || stage.probation().is_none());
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!(seen.version, 1);
    whole(&seen.log, &[stage.sent]);
    assert!(seen.log.iter().any(|entry| entry.version == 2), "what the new version did stays");
}

fn f38_a_version_that_panics_where_nothing_was_kept_waits_for_whoever_decides() {
    let mut stage = Stage::with(Watch { keep_messages: 10, ..Watch::new(LONG) });
    (0..30).for_each(|_| stage.note());
    until("they are handled", || stage.actor.figures().handled >= 30);
    tell(&stage.house, &stage.actor.clone(), Do { act: worse("panic") });
    until("it is said to be sick", || stage.probation().is_some_and(|on| matches!(on.phase, Phase::Sick { .. })));
    let on = stage.probation().expect("it is on probation");
    assert_eq!((on.ways, on.automatic), (vec![WayBack::Restore], None), "a wreck has no state to write");
    assert!(matches!(stage.actor.info().status, Status::Paused { .. }));
    assert_eq!(stage.actor.info().restarts, 0, "nothing begins anew: the state of before is there");
    stage.note();
    assert_eq!(stage.actor.info().queued_messages, 1, "what comes waits");
    let refused = stage.roll_back(None).expect_err("it would give up work");
    assert_eq!(refused.code(), "UPG-NO-WAY-BACK");
    assert!(refused.to_string().contains("restore gives up what came since the commit"), "{refused}");
    let turns = stage.actor.figures().turns();
    let reports = stage.roll_back(Some(WayBack::Restore)).expect("it begins");
    let back = only(&reports[0]).back.clone().expect("it went back");
    assert!(turns >= 31, "{turns}");
    assert_eq!((back.way, back.messages as u64), (WayBack::Restore, turns), "all that is given up is said");
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!((seen.version, seen.log.len()), (1, 31), "as it was at the commit, and what waited");
}

fn f36_a_way_back_that_fails_leaves_the_actor_paused_with_all_it_has_until_somebody_decides() {
    let mut stage = Stage::with(Watch { rollback: Rollback::Never, ..Watch::new(LONG) });
    stage.note();
    // The version before panics on what the new one did well.
    act(&stage.house, &stage.actor, Act::OnlyUnder { version: 2, how: "panic".to_owned() });
    assert_eq!(seen(&stage.house, &stage.actor).log.len(), 31);
    let before = state(&stage.house, &stage.actor);
    let reports = stage.roll_back(Some(WayBack::Replay)).expect("it begins");
    let report = only(&reports[0]);
    assert!(matches!(&report.outcome, Outcome::RolledBack(failure) if failure.code == "UPG-REPLAY"), "{report}");
    assert!(matches!(&report.now, Now::Held { version, .. } if version.major == 2), "{report}");
    let on = stage.probation().expect("it is kept");
    assert!(matches!(&on.phase, Phase::Held { failure } if failure.code == "UPG-REPLAY"), "{on:?}");
    assert!(matches!(stage.actor.info().status, Status::Paused { .. }));
    assert!(state(&stage.house, &stage.actor) == before, "not half a state");
    let held = |what: &What| matches!(what, What::Probation { phase: "held", why, .. } if why.contains("UPG-REPLAY"));
    let told = stage.told().iter().any(held);
    assert!(told, "somebody is told");
    // What comes meanwhile waits.
    stage.note();
    assert_eq!(stage.actor.info().queued_messages, 1);
    let again = stage.roll_back(Some(WayBack::Restore)).expect("it begins");
    assert!(again[0].ok(), "{}", again[0]);
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!((seen.version, seen.log.len()), (1, 31), "thirty before the commit, and the one that waited");
}

fn f36_an_upgrade_of_an_actor_on_probation_ends_it_and_one_during_its_way_back_is_refused() {
    let mut stage = Stage::with(Watch::new(LONG));
    let warned = stage.house.block_on(stage.house.system.plan("probe/a", "3.0.0", patient())).expect("it can be done");
    assert!(warned.warnings().iter().any(|warning| warning.contains("on probation for")), "{warned}");
    stage.note();
    let hold = Hold::new(&stage.house);
    // In the replay the version before hangs until it may go on.
    let how = format!("hang {}", hold.path());
    act(&stage.house, &stage.actor, Act::OnlyUnder { version: 2, how });
    assert_eq!(seen(&stage.house, &stage.actor).version, 2, "the new one has done it");
    let (system, id) = (stage.house.system.clone(), stage.report.id.clone());
    let back = stage.house.spawn(async move {
        system
            .roll_back(&id, (Some(WayBack::Replay), PathlessPolicy::Refuse), &[], ("me", ""))
            .await
            .expect("it begins")
    });
    until("the version before is at work", || hold.reached());
    let refused = stage.house.refused("probe/a", "3.0.0");
    assert_eq!(refused.0, "UPG-RUNNING");
    drop(hold);
    let reports = stage.house.block_on(back).expect("it ends");
    assert!(reports[0].ok(), "{}", reports[0]);
    stage.is_back();
    // Up again, and further: what was on probation is so no longer.
    let again = stage.house.try_upgrade("probe/a", "2.0.0", on_probation(Watch::new(LONG))).expect("it begins");
    assert!(again.ok(), "{again}");
    stage.house.moved("probe/a", "3.0.0");
    assert_eq!(stage.probation(), None);
    assert_eq!(seen(&stage.house, &stage.actor).version, 3);
}

fn f38_a_version_that_follows_one_on_probation_is_watched_as_any_other() {
    let mut stage = Stage::with(Watch::new(LONG));
    (0..5).for_each(|_| stage.note());
    let third = stage.house.try_upgrade("probe/a", "3.0.0", on_probation(Watch::new(LONG))).expect("it begins");
    assert!(third.ok(), "{third}");
    let on = stage.probation().expect("it is on probation");
    assert_eq!((on.from.major, on.to.major, &on.upgrade), (2, 3, &third.id));
    assert!(on.ways.contains(&WayBack::Replay), "{on:?}");
    (0..5).for_each(|_| stage.note());
    act(&stage.house, &stage.actor, Act::OnlyUnder { version: 2, how: "panic".to_owned() });
    (0..5).for_each(|_| stage.note());
    until("it is taken back", || stage.probation().is_none());
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!(seen.version, 2);
    whole(&seen.log, &[stage.sent]);
    let under = |version| seen.log.iter().filter(|entry| entry.version == version).count();
    assert_eq!((under(1), under(2), under(3)), (30, 15, 0), "as if there had been no third");
    assert_eq!(notes_with(&stage.house, &stage.actor, "did well"), ["2: did well"]);
    assert_eq!(stage.actor.info().restarts, 0, "its supervisor never heard of it");
}

fn s19_a_crash_on_probation_is_put_down_to_the_upgrade_and_waits_for_whoever_decides() {
    for finalised in [false, true] {
        let mut stage = Stage::with(Watch { rollback: Rollback::Never, ..Watch::new(LONG) });
        let (actor, ask) = (stage.actor.clone(), Do { act: worse("panic") });
        tell(&stage.house, &actor, ask);
        until("it is said to be sick", || stage.probation().is_some_and(|on| matches!(on.phase, Phase::Sick { .. })));
        let report = stage.told().into_iter().find_map(|what| match what {
            What::Failed(report) => Some(report),
            _ => None,
        });
        let report = report.expect("it is told");
        assert_eq!(report.upgrade.as_ref(), Some(&stage.report.id.to_string()));
        let on = stage.probation().expect("it is on probation");
        assert_eq!((on.now.panics, on.ways.as_slice()), (1, &[WayBack::Replay, WayBack::Restore][..]), "{on:?}");
        assert_eq!(stage.actor.info().restarts, 0, "restarted it would have lost its state");
        if finalised {
            // Somebody decides: it goes on, and what it panicked on is its supervisor's affair.
            let finalise = stage.house.system.finalise(&stage.report.id, &[], "me");
            stage.house.block_on(finalise).expect("it is on probation");
            until("its supervisor restarts it", || stage.actor.info().restarts == 1);
            assert_eq!(seen(&stage.house, &stage.actor).version, 2);
            continue;
        }
        // Or: back to where it was at the commit, and the message is the version before's.
        let reports = stage.roll_back(Some(WayBack::Restore)).expect("it begins");
        assert!(reports[0].ok(), "{}", reports[0]);
        let seen = seen(&stage.house, &stage.actor);
        assert_eq!((seen.version, seen.log.len()), (1, 30));
        assert_eq!(notes_with(&stage.house, &stage.actor, "did well"), ["1: did well"]);
    }
}

fn f38_a_version_that_hangs_is_taken_back_while_its_turn_hangs_and_that_message_is_handled() {
    let mut stage = Stage::with(Watch::new(LONG));
    let digest = stage.actor.info().digest;
    let runtime = stage.house.system.runtime().clone();
    (0..5).for_each(|_| stage.note());
    let hold = Hold::new(&stage.house);
    act(&stage.house, &stage.actor, worse(&format!("hang {}", hold.path())));
    (0..5).for_each(|_| stage.note());
    stage.is_back();
    let did = |stage: &Stage| probe::notes_with(&stage.house, &stage.actor, "did well");
    assert_eq!(did(&stage), ["1: did well"]);
    assert_eq!(stage.actor.info().restarts, 0, "its supervisor never heard of it");
    let journal = stage.rollback();
    let Some(Entry::Begin(begin)) = journal.first() else { panic!("{journal:?}") };
    assert!(begin.who == "probation" && begin.why.ends_with(": a turn does not return"), "{begin:?}");
    // It returns one day, and nothing comes of it.
    assert!(runtime.quarantined(digest).is_some());
    drop(hold);
    until("it has returned", || runtime.quarantined(digest).is_none());
    stage.note();
    stage.is_back();
    assert_eq!((did(&stage), stage.actor.info().restarts), (vec!["1: did well".to_owned()], 0));
}

fn f38_a_version_that_hangs_where_nothing_was_kept_hangs_until_somebody_decides() {
    let mut stage = Stage::with(Watch { keep_messages: 10, ..Watch::new(LONG) });
    (0..30).for_each(|_| stage.note());
    until("they are handled", || stage.actor.figures().handled >= 30);
    let (digest, hold) = (stage.actor.info().digest, Hold::new(&stage.house));
    act(&stage.house, &stage.actor, worse(&format!("hang {}", hold.path())));
    until("it is said to be sick", || stage.probation().is_some_and(|on| matches!(on.phase, Phase::Sick { .. })));
    let on = stage.probation().expect("it is on probation");
    assert_eq!((on.ways, on.automatic), (vec![WayBack::Restore], None), "what hangs writes no state");
    assert!(on.quarantined.is_some_and(|why| why.contains("probe/a hung in Do")));
    let finalise = || stage.house.block_on(stage.house.system.finalise(&stage.report.id, &[], "me"));
    let refused = finalise().expect_err("nobody could be started on it");
    assert_eq!(refused.code(), "UPG-QUARANTINED");
    assert_eq!(stage.roll_back(None).expect_err("it would give up work").code(), "UPG-NO-WAY-BACK");
    let reports = stage.roll_back(Some(WayBack::Restore)).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    assert!(stage.house.system.runtime().quarantined(digest).is_some(), "it hangs still");
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!((seen.version, seen.log.len()), (1, 30), "as it was at the commit");
    assert_eq!(notes_with(&stage.house, &stage.actor, "did well"), ["1: did well"], "and what waited");
}

fn what_the_version_before_wants_sent_is_held_and_sent_or_dropped_by_order() {
    let stage = Stage::with(Watch { rollback: Rollback::Never, ..Watch::new(LONG) });
    let other = probe::start(&stage.house, "probe/other", "1.0.0");
    // Both sign, which is one message; what failed on probation had sent nothing.
    act(&stage.house, &stage.actor, Act::Sign(other.addr().clone()));
    for _ in 0..2 {
        act(&stage.house, &stage.actor, Act::SignUnder { version: 1, to: other.addr().clone() });
    }
    assert_eq!(seen(&stage.house, &stage.actor).version, 2);
    until("it is signed", || notes_with(&stage.house, &other, "signed").len() == 1);
    let reports = stage.roll_back(None).expect("it begins");
    let back = only(&reports[0]).back.clone().expect("it went back");
    assert_eq!((back.way, back.held, back.unsaid), (WayBack::Replay, 2, 0), "{back:?}");
    assert_eq!(notes_with(&stage.house, &other, "signed"), ["1: signed by 2"], "nothing is sent twice");
    let system = &stage.house.system;
    let held = system.held();
    let [first, second] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!((&*first.kind, &first.to, first.message.as_deref()), ("tell", other.addr(), Some("Tick")));
    stage.house.block_on(system.send_held(first.id)).expect("it is accepted");
    system.drop_held(second.id).expect("it is there");
    assert_eq!(system.drop_held(second.id).expect_err("it is gone").code(), "UPG-NOT-HELD");
    until("it is signed again", || notes_with(&stage.house, &other, "signed").len() == 2);
    assert!(system.held().is_empty());
}

fn restore_gives_up_what_came_since_the_commit_and_nothing_else() {
    let mut stage = Stage::with(Watch::new(LONG));
    let before = state(&stage.house, &stage.actor);
    (0..10).for_each(|_| stage.note());
    assert_eq!(seen(&stage.house, &stage.actor).log.len(), 40);
    let reports = stage.roll_back(Some(WayBack::Restore)).expect("it begins");
    assert!(reports[0].ok(), "{}", reports[0]);
    let seen = seen(&stage.house, &stage.actor);
    assert_eq!((seen.version, seen.log.len()), (1, 30));
    assert_ne!(before.version, stage.actor.info().version);
    assert_eq!(stage.probation(), None);
}

fn a_host_that_is_closed_keeps_the_state_of_actors_on_probation_and_of_those_that_are_held() {
    let house = House::with(probe::ALL);
    let dir = house.dir().join("again");
    let system = teneral::System::open(&dir).expect("an empty store opens");
    let push = |version| house.block_on(system.push(house.artifact("probe", version))).expect("it passes the gate");
    let _releases = ["1.0.0", "2.0.0"].map(push);
    let launch = || teneral::Launch {
        version: Some("1.0.0".parse().expect("a version")),
        options: teneral::ActorOptions::permanent(),
    };
    let define = |addr: &str| house.block_on(system.define(addr, launch(), Start::default())).expect("it starts");
    let [on, held] = ["probe/on", "probe/held"].map(define);
    let watch = Watch { rollback: Rollback::Never, ..Watch::new(LONG) };
    let up = |addr: &str| house.block_on(system.upgrade(addr, "2.0.0", on_probation(watch))).expect("it begins");
    let (_, report) = (up("probe/on"), up("probe/held"));
    for actor in [&on, &held] {
        (0..5).for_each(|number| tell(&house, actor, note(0, number)));
    }
    act(&house, &held, Act::OnlyUnder { version: 2, how: "panic".to_owned() });
    assert_eq!(seen(&house, &held).log.len(), 5);
    let back = system.roll_back(&report.id, (Some(WayBack::Replay), PathlessPolicy::Refuse), &[], ("me", ""));
    assert!(matches!(only(&house.block_on(back).expect("it begins")[0]).now, Now::Held { .. }));
    let closed = house.block_on(system.close(GENEROUS)).expect("the definitions read");
    assert!(closed.iter().all(|one| one.outcome.is_ok()), "{closed:?}");
    drop((system, on, held));
    let mut again = None;
    until("the store is free", || teneral::System::open(&dir).map(|opened| again = Some(opened)).is_ok());
    let system = again.expect("it opened");
    house.block_on(system.start_defined()).expect("the definitions read");
    for addr in ["probe/on", "probe/held"] {
        let seen = seen(&house, &system.actor(addr).expect("it is back"));
        assert_eq!((seen.version, seen.log.len()), (2, 5), "{addr}");
    }
}

fn of_a_fleet_only_the_actors_that_fail_go_back_and_the_version_is_not_made_the_default() {
    let house = House::with(probe::ALL);
    let actors: Vec<ActorRef> =
        (0..3).map(|number| probe::start(&house, &format!("probe/{number}"), "1.0.0")).collect();
    let watch = Watch { messages: 60, ..Watch::new(Duration::ZERO) };
    let report = house.try_upgrade("probe", "2.0.0", on_probation(watch)).expect("it begins");
    assert!(report.ok(), "{report}");
    (0..30).for_each(|_| act(&house, &actors[1], worse("fail")));
    until("one is taken back", || seen(&house, &actors[1]).version == 1);
    until("the others are watched on", || house.system.on_probation().len() == 2);
    for actor in [&actors[0], &actors[2]] {
        (0..60).for_each(|number| tell(&house, actor, note(0, number)));
    }
    until("the others pass", || house.system.on_probation().is_empty());
    let versions: Vec<u32> = actors.iter().map(|actor| seen(&house, actor).version).collect();
    assert_eq!(versions, [2, 1, 2]);
    assert_eq!(house.system.default_version("probe").expect("the store reads"), None);
    // An operator may say otherwise.
    house.block_on(house.system.finalise(&report.id, &[], "me")).expect("it moved somebody");
    let default = house.system.default_version("probe").expect("the store reads");
    assert_eq!(default.map(|version| version.to_string()).as_deref(), Some("2.0.0"));
}

fn an_upgrade_is_made_final_by_order_once_and_one_without_a_probation_too() {
    let stage = Stage::with(Watch::new(LONG));
    let system = &stage.house.system;
    let finalise = |id| stage.house.block_on(system.finalise(id, &[], "me"));
    assert_eq!(finalise(&stage.report.id).expect("it is on probation"), [stage.actor.addr().clone()]);
    assert_eq!(stage.probation(), None);
    assert!(stage.actor.recorded().is_none(), "nothing is kept any more");
    let default = || system.default_version("probe").expect("the store reads").map(|version| version.to_string());
    assert_eq!(default().as_deref(), Some("2.0.0"));
    let gone = stage.roll_back(None).expect_err("it is final");
    assert_eq!(gone.code(), "UPG-PROBATION");
    let up = stage.house.try_upgrade("probe/a", "3.0.0", patient()).expect("it begins");
    finalise(&up.id).expect("it moved somebody");
    assert_eq!(default().as_deref(), Some("3.0.0"));
    let unknown = finalise(&teneral::UpgradeId("up-0".to_owned())).expect_err("there is none");
    assert_eq!(unknown.code(), "UPG-PROBATION");
}
