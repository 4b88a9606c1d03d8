//! docs/conformance.md: one row a promise, made from a run of all tests.

use crate::suite::{self, Outcome, Place, Ran};
use crate::{Error, read, root, write_file};
use std::{collections::BTreeMap, fmt::Write, path::Path};

const SECONDS_MAX: u32 = 3600;

const HEAD: &str = "\
# Conformance

Made by `cargo xtask conformance` from a run of all tests; do not edit. The claims are those of
[promises.md](promises.md).

**pass**: shown through the public API or the command line with real libraries that came through the whole gate, or by
the gate's own tests. **model**: shown inside a crate, on a model or with actors linked in. **fail**: a test of it
failed. **not run**: what its test needs is not on the machine. **not built**: no test yet.
";

/// How a promise stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Standing {
    Pass,
    Model,
    Fail,
    NotRun,
    NotBuilt,
}

impl Standing {
    const ALL: [Self; 5] = [Self::Pass, Self::Model, Self::Fail, Self::NotRun, Self::NotBuilt];

    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Model => "model",
            Self::Fail => "fail",
            Self::NotRun => "not run",
            Self::NotBuilt => "not built",
        }
    }

    /// One failure outweighs every pass; a pass through the gate outweighs one on a model.
    fn of(tests: &[Ran]) -> Self {
        let any = |wanted: fn(&Ran) -> bool| tests.iter().any(wanted);
        if any(|test| test.outcome == Outcome::Failed) {
            Self::Fail
        } else if any(|test| test.outcome == Outcome::Passed && test.place == Place::Gate) {
            Self::Pass
        } else if any(|test| test.outcome == Outcome::Passed) {
            Self::Model
        } else if tests.is_empty() {
            Self::NotBuilt
        } else {
            Self::NotRun
        }
    }
}

/// Writes docs/conformance.md.
pub(crate) fn write(from: Option<&Path>) -> Result<(), Error> {
    let (text, broken) = render(from)?;
    write_file(&root().join("docs/conformance.md"), &text)?;
    if broken.is_empty() { Ok(()) } else { Err(Error::Broken { ids: broken }) }
}

/// Fails when docs/conformance.md says other than the run.
pub(crate) fn check(from: Option<&Path>) -> Result<(), Error> {
    let (text, broken) = render(from)?;
    if !broken.is_empty() {
        return Err(Error::Broken { ids: broken });
    }
    if read(&root().join("docs/conformance.md"))? == text { Ok(()) } else { Err(Error::Stale) }
}

fn render(from: Option<&Path>) -> Result<(String, Vec<String>), Error> {
    let output = match from {
        Some(path) => read(path)?,
        None => suite::run(&["--workspace", "--no-fail-fast"], SECONDS_MAX)?,
    };
    let mut tests = suite::by_promise(suite::parse(&output));
    let mut rows = String::new();
    let mut counts: BTreeMap<Standing, u32> = BTreeMap::new();
    let mut broken = Vec::new();
    for (id, claim) in promises(&read(&root().join("docs/promises.md"))?) {
        let tests = tests.remove(&id).unwrap_or_default();
        let standing = Standing::of(&tests);
        *counts.entry(standing).or_default() += 1;
        _ = writeln!(rows, "| {id} | {} | {} | {claim} |", standing.word(), names(&tests));
        if standing == Standing::Fail {
            broken.push(id);
        }
    }
    let count = |standing| format!("{} {}", counts.get(&standing).unwrap_or(&0), Standing::word(standing));
    let counts = Standing::ALL.map(count).join(", ");
    Ok((format!("{HEAD}\n{counts}\n\n| id | standing | test | claim |\n|---|---|---|---|\n{rows}"), broken))
}

/// `- **U1** claim` lines, in order.
fn promises(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| line.strip_prefix("- **")?.split_once("** ").map(|(id, claim)| (id.into(), claim.into()));
    text.lines().filter_map(line).collect()
}

/// The tests' names, those through the gate first.
fn names(tests: &[Ran]) -> String {
    let mut names: Vec<(bool, &str)> = tests.iter().map(|test| (test.place == Place::Model, &*test.name)).collect();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().join("<br>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(place: Place, outcome: Outcome) -> Ran {
        Ran { name: "u1_x".into(), place, outcome }
    }

    #[test]
    fn a_failure_outweighs_a_pass_and_the_gate_outweighs_a_model() {
        let (gate, model) = (Place::Gate, Place::Model);
        assert_eq!(Standing::of(&[]), Standing::NotBuilt);
        assert_eq!(Standing::of(&[ran(gate, Outcome::NotRun)]), Standing::NotRun);
        assert_eq!(Standing::of(&[ran(model, Outcome::Passed)]), Standing::Model);
        assert_eq!(Standing::of(&[ran(model, Outcome::Passed), ran(gate, Outcome::Passed)]), Standing::Pass);
        assert_eq!(Standing::of(&[ran(gate, Outcome::Passed), ran(model, Outcome::Failed)]), Standing::Fail);
    }
}
