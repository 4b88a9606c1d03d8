//! Variables of the environment that are called like this program's and are none of them.
//!
//! One that is near to a known one is a slip, which a host refuses as it refuses a key of its file; any other may be
//! for somebody else, and is only named.

use super::problems::Problems;
use super::settings::SETTINGS;
use super::variable_of;
use crate::failure::wants_json;
use serde_json::json;
use std::collections::BTreeSet;
use teneral::upgrade::nearest;

const PREFIX: &str = "TENERAL_";

/// Those that are no key's.
const OTHERS: [&str; 5] = ["CONFIG", "KEY_PASSWORD", "DEMO_LIVE", "DEV_BUILD", "SEED"];

/// The names that are known, without the prefix.
fn known() -> BTreeSet<String> {
    let keys = SETTINGS.iter().map(|setting| variable_of(setting.key)[PREFIX.len()..].to_owned());
    keys.chain(OTHERS.map(str::to_owned)).collect()
}

/// The names that are set, have the prefix and are not known, each with the nearest that are.
fn unknown() -> Vec<(String, Vec<String>)> {
    let known = known();
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let mut names: Vec<String> = set
        .filter_map(|(name, _)| Some(name.to_str()?.strip_prefix(PREFIX)?.to_owned()))
        .filter(|name| !known.contains(name))
        .collect();
    names.sort_unstable();
    let nearest = |name: &str| {
        let near = nearest::nearest(name, known.iter().map(String::as_str));
        near.into_iter().map(|near| format!("{PREFIX}{near}")).collect::<Vec<_>>()
    };
    names.iter().map(|name| (format!("{PREFIX}{name}"), nearest(name))).collect()
}

/// Refuses the slips, and names the others.
pub(super) fn misspelt(problems: &mut Problems) {
    for (name, near) in unknown() {
        match near.is_empty() {
            true => say(&format!("{name} is no variable of teneral's, and has no effect")),
            false => problems.elsewhere(format!("no variable {name}: did you mean {}?", near.join(" or "))),
        }
    }
}

/// Names the slips, for a command that asks a host: it may ask another one than was meant.
pub(super) fn warn() {
    for (name, near) in unknown().into_iter().filter(|(_, near)| !near.is_empty()) {
        say(&format!("no variable {name}, it has no effect: did you mean {}?", near.join(" or ")));
    }
}

fn say(what: &str) {
    match wants_json() {
        true => eprintln!("{}", json!({ "warning": { "what": what } })),
        false => eprintln!("warning: {what}"),
    }
}
