//! Faults of code that serves already: what a version on probation does wrong, and who does its work instead.

use super::stage::{SUBJECT, Stage, snapshot};
use super::{Case, Cell, Load, Row};
use crate::harness::house::{GENEROUS, Refuses, only, rehearsed, until};
use crate::harness::probe::{self, Hold, act, notes_with, seen};
use probe_api::Act;
use std::time::Duration;
use teneral::store::{Entry, StepResult};
use teneral::upgrade::report::Now;
use teneral::upgrade::{PathlessPolicy, UpgradeId};
use teneral::{Options, Probation, Report, Rollback, System, UpgradeOptions, Watch, WayBack};

pub(super) fn cases() -> Vec<Case> {
    let back = |how: &str| {
        let kept = "1.0.0 serves, state carried over";
        (format!("committed, taken back by replay since {how}, what it did wrong is done well; {kept}; journalled"), "")
    };
    let worse = |fault, how: &'static str, why: &'static str| {
        Case::new("F38", fault, back(why), move |cell| Ok(taken_back(cell, how, why)))
    };
    let meanwhile =
        "committed, refused at plan, it is being taken back, taken back by replay since an operator says so";
    let held =
        "committed, its way back fails, held with its state, what comes waits, an order takes it back by downgrade";
    let kept = |what: &str, code| (format!("{what}; 1.0.0 serves, state carried over; journalled"), code);
    vec![
        Case::new("F36", "Probation: an upgrade while it is taken back", kept(meanwhile, "UPG-RUNNING"), |cell| {
            Ok(upgraded_on_its_way_back(cell))
        }),
        Case::new("F36", "Probation: the way back fails", kept(held, "UPG-REPLAY"), |cell| {
            Ok(held_on_its_way_back(cell))
        }),
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
    let system = &stage.house.system;
    let report = on_probation(&stage, watch());
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

/// Nobody passes by time, and no work of the clients is too much to be kept.
fn watch() -> Watch {
    Watch {
        keep_messages: 1 << 20,
        keep_bytes: 1 << 30,
        replay_timeout: GENEROUS,
        ..Watch::new(Duration::from_secs(86_400))
    }
}

/// The subject at 2.0.0, on probation.
fn on_probation(stage: &Stage, watch: Watch) -> Report {
    let options = UpgradeOptions { probation: Probation::Watch(watch), ..rehearsed() };
    stage.house.block_on(stage.house.system.upgrade(SUBJECT, "2.0.0", options)).expect("it begins")
}

/// The subject at 2.0.0, which only an order takes back, and which has done well what is done like this by 1.0.0.
fn by_order(stage: &Stage, how: &str) -> Report {
    let report = on_probation(stage, Watch { rollback: Rollback::Never, ..watch() });
    act(&stage.house, &stage.actor, Act::OnlyUnder { version: 2, how: how.to_owned() });
    stage.flow();
    assert_eq!(seen(&stage.house, &stage.actor).version, 2, "the new one has done it");
    report
}

/// An order to take the subject back that way.
fn ordered(system: &System, id: &UpgradeId, way: WayBack) -> impl Future<Output = Report> + use<> {
    let (system, id) = (system.clone(), id.clone());
    async move {
        let asked = ("an operator", "an operator says so");
        let reports = system.roll_back(&id, (Some(way), PathlessPolicy::Refuse), &[], asked).await;
        reports.expect("it begins").remove(0)
    }
}

/// Another upgrade wants it while the version before handles anew what it did.
fn upgraded_on_its_way_back(cell: Cell) -> Row {
    let stage = Stage::raise(cell);
    let hold = Hold::new(&stage.house);
    let report = by_order(&stage, &format!("hang {}", hold.path()));
    let mut came = stage.reported(&report);
    let back = stage.house.spawn(ordered(&stage.house.system, &report.id, WayBack::Replay));
    until("the version before is at work", || hold.reached());
    stage.queue();
    match stage.house.try_upgrade(SUBJECT, "3.0.0", rehearsed()) {
        Ok(_) => came.what.push_str(", let in while it is being taken back"),
        Err(refusal) => {
            came.what.push_str(", refused at plan, it is being taken back");
            came.code = refusal.code().to_owned();
        }
    }
    drop(hold);
    let back = stage.house.block_on(back).expect("no way back panics");
    came.journal = came.journal.map(|journal| journal && stage.is_recorded(&back));
    came.what.push_str(&way_back(&stage, &report, "an operator says so"));
    stage.end(came)
}

/// The version before panics on what it did well: it stays as it is, and handles nothing, until an order ends that.
fn held_on_its_way_back(cell: Cell) -> Row {
    let stage = Stage::raise(cell);
    let report = by_order(&stage, "panic");
    let mut came = stage.reported(&report);
    let before = snapshot(&stage.house, &stage.actor);
    let failed = stage.house.block_on(ordered(&stage.house.system, &report.id, WayBack::Replay));
    let entry = only(&failed);
    came.code = entry.outcome.failure().map(|failure| failure.code.clone()).unwrap_or_default();
    let is_held = matches!(&entry.now, Now::Held { version, .. } if version.major == 2);
    came.what.push_str(if is_held { ", its way back fails, held" } else { ", its way back is another" });
    let held = snapshot(&stage.house, &stage.actor);
    let since = held.kept.log.strip_prefix(before.kept.log.as_slice());
    let is_idle = cell.load == Load::Idle;
    // Of who is idle not a byte may differ; what clients were in time with is still its own work.
    let is_kept = since.is_some_and(|since| since.iter().all(|entry| entry.version == 2))
        && (!is_idle || held.sha256 == before.sha256);
    came.what.push_str(if is_kept { " with its state" } else { " with another state" });
    stage.queue();
    let waits = snapshot(&stage.house, &stage.actor).sha256 == held.sha256;
    came.what.push_str(if waits { ", what comes waits" } else { ", it goes on" });
    let back = stage.house.block_on(ordered(&stage.house.system, &report.id, WayBack::Downgrade));
    let is_back = back.ok() && only(&back).back.as_ref().is_some_and(|back| back.way == WayBack::Downgrade);
    came.what.push_str(if is_back { ", an order takes it back by downgrade" } else { ", and so it stays" });
    came.journal = came.journal.map(|journal| journal && stage.is_recorded(&failed) && stage.is_recorded(&back));
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
