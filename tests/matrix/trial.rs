//! Faults that the trial finds, in a process of its own, while the actor serves.

use super::stage::{SUBJECT, Stage};
use super::{Case, Cell, Row, committed, refused};
use crate::harness::child::trials_of;
use crate::harness::house::{only, rehearsed, until};
use crate::harness::probe::Hold;
use crate::harness::puppet::posing_as;
use std::time::Duration;
use teneral::UpgradeOptions;
use teneral::upgrade::{Back, Lossy, Unstable};

pub(super) fn cases() -> Vec<Case> {
    [constructors(), migrations(), crashes(), policies()].into_iter().flatten().collect()
}

/// What is only to be seen by whoever loads the library.
fn constructors() -> Vec<Case> {
    let ends = [
        ("Trial: the constructor aborts", "abort();", "UPG-TRIAL-CRASH"),
        ("Trial: the constructor leaves", "exit(0);", "UPG-TRIAL-CRASH"),
        ("Trial: the constructor writes where nothing is", "*(volatile int *)8 = 1;", "UPG-TRIAL-CRASH"),
        ("Trial: the constructor hangs", "for (;;) pause();", "UPG-TRIAL-HANG"),
    ];
    ends.into_iter()
        .map(|(fault, end, code)| {
            Case::new("F09", fault, refused("trial", code), move |cell| {
                let constructor =
                    format!("#include <unistd.h>\n__attribute__((constructor)) static void end(void) {{ {end} }}");
                let library = posing_as("probe-v2").end(&constructor).build()?;
                let stage = Stage::with(cell, &["probe-v1"], "1.0.0");
                stage.house.push(library.path()).expect("a push runs nothing");
                // Whoever ends at once is waited for, however long it takes to come to it here.
                let came = stage.upgrade("2.0.0", if code == "UPG-TRIAL-HANG" { in_time(cell) } else { rehearsed() });
                Ok(stage.end(came))
            })
        })
        .collect()
}

/// As long as an honest rehearsal may take here, and no longer.
fn in_time(cell: Cell) -> UpgradeOptions {
    UpgradeOptions { trial_timeout: 3 * cell.size.moment(), ..rehearsed() }
}

fn trapped(
    id: &'static str,
    fault: &'static str,
    (step, how): (&'static str, &'static str),
    code: &'static str,
) -> Case {
    Case::new(id, fault, refused("trial", code), move |cell| {
        let stage = Stage::raise(cell);
        stage.trap(step, how);
        let came = stage.moved();
        Ok(stage.end(came))
    })
}

fn migrations() -> Vec<Case> {
    vec![
        trapped("F12", "Trial: the migration panics", ("migrate", "panic"), "UPG-MIGRATE"),
        trapped("F12", "Trial: the migration fails", ("migrate", "error"), "UPG-MIGRATE"),
        trapped("F12", "Trial: the new code cannot read the state", ("restore", "error"), "UPG-DECODE"),
        Case::new("F13", "Trial: the migration hangs", refused("trial, its process gone", "UPG-TRIAL-HANG"), |cell| {
            let stage = Stage::raise(cell);
            let hold = Hold::new(&stage.house);
            stage.trap("migrate", &format!("hang {}", hold.path()));
            let mut came = stage.upgrade("2.0.0", in_time(cell));
            drop(hold);
            until("its process is gone", || trials_of(std::process::id()).is_empty());
            came.what = came.what.replace("trial", "trial, its process gone");
            Ok(stage.end(came))
        }),
        trapped("F14", "Trial: the migration allocates without end", ("migrate", "devour"), "UPG-TRIAL-MEMORY"),
    ]
}

fn crashes() -> Vec<Case> {
    vec![
        trapped("F15", "Trial: the migration overflows its stack", ("migrate", "overflow"), "UPG-TRIAL-CRASH"),
        trapped("F15", "Trial: the migration leaves with exit(0)", ("migrate", "exit"), "UPG-TRIAL-CRASH"),
        trapped("F15", "Trial: the migration aborts", ("migrate", "abort"), "UPG-TRIAL-CRASH"),
        Case::new("F15", "Trial: the migration reads where nothing is", refused("trial", "UPG-TRIAL-CRASH"), |cell| {
            let honest = "return make(RESTORE, order_in(state), state, self, err);";
            let library = posing_as("probe-v2").edit(honest, "return *(volatile int *)8;").build()?;
            let stage = Stage::with(cell, &["probe-v1"], "1.0.0");
            stage.house.push(library.path()).expect("a push runs nothing");
            let came = stage.moved();
            Ok(stage.end(came))
        }),
    ]
}

/// What is refused or accepted as the operator says.
fn policies() -> Vec<Case> {
    vec![
        trapped("F16", "Trial: the migration differs from run to run", ("migrate", "fickle"), "UPG-TRIAL-UNSTABLE"),
        Case::new("F16", "Trial: the same, where a warning will do", committed(" with a warning", "2.0.0"), |cell| {
            let options = UpgradeOptions { unstable: Unstable::Warn, ..rehearsed() };
            Ok(warned(cell, "migrate", options, "another state of the same bytes"))
        }),
        trapped("F17", "Trial: the way back loses something", ("downgrade", "fickle"), "UPG-TRIAL-LOSSY"),
        Case::new("F17", "Trial: the same, accepted", committed(" with a warning", "2.0.0"), |cell| {
            let options = UpgradeOptions { lossy: Lossy::Accept, ..rehearsed() };
            Ok(warned(cell, "downgrade", options, "accepted"))
        }),
        Case::new("F18", "Trial: the pause would be too long", refused("trial", "UPG-TRIAL-PAUSE"), |cell| {
            let stage = Stage::raise(cell);
            let max_pause = Duration::from_micros(1);
            let came = stage.upgrade("2.0.0", UpgradeOptions { max_pause, ..rehearsed() });
            Ok(stage.end(came))
        }),
    ]
}

fn warned(cell: Cell, step: &str, options: UpgradeOptions, words: &str) -> Row {
    let stage = Stage::raise(cell);
    stage.trap(step, "fickle");
    let done = stage.house.block_on(stage.house.system.upgrade(SUBJECT, "2.0.0", options)).expect("it begins");
    let mut came = stage.reported(&done);
    let told = only(&done).trial.as_ref();
    let recorded = told.is_some_and(|told| !told.same_twice || told.back == Back::Lossy);
    if recorded && done.warnings.iter().any(|warning| warning.contains(words)) {
        came.what.push_str(" with a warning");
    }
    stage.end(came)
}
