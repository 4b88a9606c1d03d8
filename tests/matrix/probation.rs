//! Faults of code that serves already: what a version on probation does wrong, and who does its work instead.

use super::stage::{SUBJECT, Stage};
use super::{Case, Cell, Row};
use crate::harness::house::{GENEROUS, rehearsed, until};
use crate::harness::probe::{self, Hold, act, notes_with, seen};
use probe_api::Act;
use std::time::Duration;
use teneral::store::{Entry, StepResult};
use teneral::{Options, Probation, Report, UpgradeOptions, Watch};

pub(super) fn cases() -> Vec<Case> {
    let back = |how: &str| {
        let kept = "1.0.0 serves, state carried over";
        (format!("committed, taken back by replay since {how}, what it did wrong is done well; {kept}; journalled"), "")
    };
    let worse = |fault, how: &'static str, why: &'static str| {
        Case::new("F38", fault, back(why), move |cell| Ok(taken_back(cell, how, why)))
    };
    vec![
        worse("Probation: more of its turns fail", "fail", "turns failed"),
        worse("Probation: its turns take longer", "slow", "a turn took"),
        worse("Probation: it panics", "panic", "it panicked"),
        worse("Probation: a turn of it hangs", "hang", "a turn does not return"),
    ]
}

/// Does well under 1.0.0, and wrong under 2.0.0, until that is taken back.
fn taken_back(cell: Cell, how: &str, why: &str) -> Row {
    // Honest work of none of them takes so long.
    let hangs = |options: &mut Options| options.runtime.hang_after = 4 * cell.size.moment();
    let stage = match how {
        "hang" => Stage::open(cell, probe::ALL, "1.0.0", hangs),
        _ => Stage::raise(cell),
    };
    let hold = Hold::new(&stage.house);
    let does = if how == "hang" { format!("hang {}", hold.path()) } else { how.to_owned() };
    // What it grew by took longer than any other turn: of many, one says little.
    (0..1000).for_each(|_| stage.tell());
    // Nobody passes by time, and no work of the clients is too much to be kept.
    let watch = Watch {
        keep_messages: 1 << 20,
        keep_bytes: 1 << 30,
        replay_timeout: GENEROUS,
        ..Watch::new(Duration::from_secs(86_400))
    };
    let options = UpgradeOptions { probation: Probation::Watch(watch), ..rehearsed() };
    let system = &stage.house.system;
    let report = stage.house.block_on(system.upgrade(SUBJECT, "2.0.0", options)).expect("it begins");
    let version = stage.actor.info().digest;
    let mut came = stage.reported(&report);
    // One panic or one hang is enough, and whoever is told of another after it would be told by the version before. Of
    // the rest as many at once as are judged, whatever the clients send in between.
    let at_once = if ["panic", "hang"].contains(&how) { 1 } else { 100 };
    let mut wrong = 0;
    until("it is taken back", || {
        if wrong == 0 || at_once > 1 {
            let act = || act(&stage.house, &stage.actor, Act::OnlyUnder { version: 1, how: does.clone() });
            std::iter::repeat_with(act).take(at_once).for_each(drop);
            wrong += at_once;
            // They are handled, by one or by the other.
            seen(&stage.house, &stage.actor);
        }
        system.probation_of(SUBJECT).expect("an address").is_none()
    });
    // What hangs returns, which ends its quarantine, and nothing comes of it.
    drop(hold);
    if how == "hang" {
        until("what hangs has returned", || system.runtime().quarantined(version).is_none());
    }
    came.what.push_str(&way_back(&stage, &report, why));
    if seen(&stage.house, &stage.actor).log.iter().any(|entry| entry.version != 1) {
        came.what.push_str(", and some of it is still its work");
    }
    let well = notes_with(&stage.house, &stage.actor, "1: did well").len();
    came.what.push_str(if well == wrong { ", what it did wrong is done well" } else { ", and not all is done well" });
    stage.end(came)
}

/// As the journal of the upgrade that took it back tells, once it is closed.
fn way_back(stage: &Stage, report: &Report, why: &str) -> String {
    let mut closed = None;
    until("its journal is closed", || {
        closed = back_of(stage, report).filter(|journal| matches!(journal.last(), Some(Entry::End(_))));
        closed.is_some()
    });
    let journal = closed.expect("it is closed");
    let (Some(Entry::Begin(begin)), Some(Entry::End(end))) = (journal.first(), journal.last()) else { unreachable!() };
    let steps = journal.iter().filter_map(|entry| match entry {
        Entry::Step(step) if step.result == StepResult::Done => Some(step.step.as_str()),
        _ => None,
    });
    let steps: Vec<&str> = steps.collect();
    match begin.why.contains(why) {
        true if steps == ["pause", "replay", "commit"] && end.actors[0].outcome == "committed" => {
            format!(", taken back by replay since {why}")
        }
        true => format!(", taken back by {steps:?}"),
        false => format!(", taken back since {}", begin.why),
    }
}

/// The journal of the upgrade that took it back.
fn back_of(stage: &Stage, report: &Report) -> Option<Vec<Entry>> {
    let system = &stage.house.system;
    let mut journals = system.upgrades().expect("the store reads").into_iter();
    let is_back = |journal: &Vec<Entry>| match journal.first() {
        Some(Entry::Begin(begin)) => begin.rolls_back.as_ref() == Some(&report.id),
        _ => false,
    };
    journals.find_map(|id| Some(system.journal(&id).expect("the store reads")).filter(is_back))
}
