//! Programs on trial, as far as it is the host that judges them: which of several is blamed.

use crate::common::{manifest, version};
use crate::house::*;
use crate::{at_one, failure};
use std::sync::Arc;
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_upgrade::*;

/// Schemas 1, 2, 3, of which the last is reached by 2.0.0 alone: two programs have a part in the way from 1.0.0.
fn ladder() -> House {
    let steps = [manifest("1.0.0", 1, &[], &[]), manifest("2.0.0", 2, &[1], &[1]), manifest("3.0.0", 3, &[2], &[2])];
    let house = House::with(steps);
    *house.shelf.programs.lock() = Some(Programs::default());
    house
}

fn programs<T>(house: &House, look: impl FnOnce(&mut Programs) -> T) -> T {
    look(house.shelf.programs.lock().as_mut().expect("they are programs"))
}

#[test]
fn who_was_asked_is_blamed_for_what_it_says_and_not_one_that_has_ended_beside_it() {
    let house = ladder();
    let before = at_one(&house);
    let shelf = Arc::clone(&house.shelf);
    house.script("3.0.0").on(At::Restore, move |_| {
        shelf.end_program(&version("2.0.0"), How::Exit(3));
        Err(Fault::new(FaultKind::Failed, "too old"))
    });
    let entry = house.moved("a", "3.0.0");
    let Failure { code, cause, .. } = failure(&entry);
    assert_eq!((code.as_str(), entry.step), ("UPG-MIGRATE", Step::Trial), "{entry:?}");
    assert!(cause.contains("too old"), "{cause}");
    assert_eq!(see(&house.actor("a")), before);
}

#[test]
fn a_program_that_ended_when_nobody_asked_it_is_started_again_and_nobody_is_refused_for_it() {
    let house = ladder();
    ["a", "b"].into_iter().for_each(|key| drop(house.start(key, "1.0.0", 5)));
    let shelf = Arc::clone(&house.shelf);
    house.script("3.0.0").on(At::Drop, move |_| {
        shelf.end_program(&version("2.0.0"), How::Exit(3));
        Ok(())
    });
    let report = house.upgrades.upgrade(&house.request(&["a", "b"], "3.0.0")).expect("it begins");
    assert!(report.ok(), "{report}");
    let starts = programs(&house, |programs| programs.starts.clone());
    assert_eq!(starts, [version("3.0.0"), version("2.0.0"), version("2.0.0")]);
}
