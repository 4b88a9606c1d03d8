//! Planted bugs: a promise's tests are worth something when they fail on code that breaks the promise.
//!
//! A bug is a feature `bug-<id>` of the crate where it sits, never a default. Each is built in by itself and the tests
//! of its id are run; they must fail. When all were tried and all were caught, docs/planted-bugs.md says by what.

use crate::suite::{self, Outcome};
use crate::{Error, cargo, root, write_file};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SECONDS_MAX: u32 = 900;

const HEAD: &str = "\
# Planted bugs

Made by `cargo xtask conformance --bugs`; do not edit. A promise's test is worth something when it fails on code that
breaks the promise: each bug is built in by itself, by the feature `bug-<id>` of its crate, and these tests failed. A
promise that is kept in several places has a bug in each.

| id | planted in | caught by |
|---|---|---|
";

/// Where it says so.
const PAGE: &str = "docs/planted-bugs.md";

/// What became of a planted bug.
enum Fate {
    Caught(Vec<String>),
    /// The tests ran and passed.
    Missed,
    /// No test of the promise ran at all: it does not build, it hung, or there is none.
    NothingRan,
}

/// Builds each bug in (only those of `ids`, if there are any) and expects its promise's tests to fail.
pub(crate) fn hunt(ids: &[String]) -> Result<(), Error> {
    let wanted: BTreeSet<String> = ids.iter().map(|id| id.to_lowercase()).collect();
    let mut report = Vec::new();
    let mut rows = if wanted.is_empty() { BTreeMap::new() } else { written() };
    let mut missed = Vec::new();
    for (id, package) in planted()? {
        if !wanted.is_empty() && !wanted.contains(&id) {
            continue;
        }
        let name = id.to_uppercase();
        report.push(match try_bug(&id, &package)? {
            Fate::Caught(tests) => {
                let by: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
                let row = format!("| {name} | `{package}` | {} |", by.join("<br>"));
                rows.insert((name.clone(), package.clone()), row);
                format!("{name} in {package}: caught by {}", tests.join(", "))
            }
            Fate::Missed => {
                missed.push(name.clone());
                format!("{name} in {package}: NOT caught: its tests pass with the bug in")
            }
            Fate::NothingRan => {
                missed.push(name.clone());
                format!("{name} in {package}: NOT caught: none of its tests gave a verdict")
            }
        });
    }
    println!("\nplanted bugs:\n  {}", report.join("\n  "));
    if !missed.is_empty() {
        return Err(Error::NotCaught { ids: missed });
    }
    let rows = rows.into_values().map(|row| row + "\n").collect::<String>();
    write_file(&root().join(PAGE), &format!("{HEAD}{rows}"))
}

/// The rows of earlier hunts, by name and package: a hunt for some bugs writes only theirs anew.
fn written() -> BTreeMap<(String, String), String> {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap_or_default();
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("| ")?.split_once(" | `")?;
        Some(((name.to_owned(), rest.split('`').next()?.to_owned()), line.to_owned()))
    });
    rows.collect()
}

fn try_bug(id: &str, package: &str) -> Result<Fate, Error> {
    let features = format!("{package}/bug-{id}");
    let filter = format!("{id}_");
    let mut arguments = vec!["--no-fail-fast", "--tests", "-p", "teneral-cli", "--features", &features];
    if package != "teneral-cli" {
        arguments.extend(["-p", package]);
    }
    arguments.extend(["--", &filter]);
    let tests = suite::parse(&suite::run(&arguments, SECONDS_MAX)?);
    let of_id: Vec<_> = tests
        .into_iter()
        .filter(|test| suite::promise_of(&test.name).is_some_and(|p| p.eq_ignore_ascii_case(id)))
        .collect();
    let failed: Vec<String> =
        of_id.iter().filter(|test| test.outcome == Outcome::Failed).map(|test| test.name.clone()).collect();
    Ok(match (failed.is_empty(), of_id.is_empty()) {
        (false, _) => Fate::Caught(failed),
        (true, false) => Fate::Missed,
        (true, true) => Fate::NothingRan,
    })
}

/// Bugs by id and package: a promise may be broken in several places, and each must be caught by itself.
fn planted() -> Result<BTreeSet<(String, String)>, Error> {
    let mut planted = BTreeSet::new();
    for package in metadata()?["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        for feature in package["features"].as_object().into_iter().flat_map(|features| features.keys()) {
            if let Some(id) = feature.strip_prefix("bug-") {
                planted.insert((id.to_owned(), name.to_owned()));
            }
        }
    }
    Ok(planted)
}

fn metadata() -> Result<Value, Error> {
    let command = "cargo metadata";
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|source| Error::Start { command: command.into(), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command: command.into() });
    }
    serde_json::from_slice(&output.stdout).map_err(Error::Metadata)
}
