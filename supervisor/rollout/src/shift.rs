//! Who must move when a route changes, and in which order.
//!
//! In order of buckets, so that a move that stops half way leaves the canary with what a smaller weight would have
//! given it: up for those who go to it, down for those who leave it. Those who leave it go first: a canary is left
//! because something is wrong with it, and then it should not first get more.

use crate::{Attributes, Decision, Route};
use semver::Version;
use serde::{Deserialize, Serialize};

/// One actor that must move, with its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Its key.
    pub key: String,
    /// The version that it runs.
    pub from: Version,
    /// The version that it gets, and why.
    pub to: Decision,
}

/// Who of `keys` gets another version by `new` than by `old`, in the order in which to move them. Each key is named
/// once by the caller, with what is known of it.
#[must_use]
pub fn difference<'a>(
    old: &Route,
    new: &Route,
    keys: impl IntoIterator<Item = (&'a str, &'a Attributes)>,
) -> Vec<Shift> {
    let running = keys.into_iter().map(|(key, attributes)| (key, attributes, old.version_of(key, attributes)));
    strayed(old.stable(), new, running)
}

/// Who of `running` runs another version than `route` says, in the order in which to move them; `stable` is the version
/// that the rollout came from.
pub(crate) fn strayed<'a>(
    stable: &Version,
    route: &Route,
    running: impl IntoIterator<Item = (&'a str, &'a Attributes, &'a Version)>,
) -> Vec<Shift> {
    let wrong = |(key, attributes, from): (&'a str, &'a Attributes, &'a Version)| {
        let to = (route.version_of(key, attributes) != from).then(|| route.explain(key, attributes))?;
        Some(Shift { key: key.to_owned(), from: from.clone(), to })
    };
    let mut shifts: Vec<Shift> = running.into_iter().filter_map(wrong).collect();
    shifts.sort_by(|a, b| {
        let place = |shift: &Shift| {
            let bucket = i32::from(shift.to.bucket);
            if shift.from == *stable { (true, bucket) } else { (false, -bucket) }
        };
        place(a).cmp(&place(b)).then_with(|| a.key.cmp(&b.key))
    });
    shifts
}
