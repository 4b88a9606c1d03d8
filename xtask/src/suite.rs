//! Runs the tests and reads what they say, line by line: the same text that people read.

use crate::{Error, cargo};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// Where a test stands: what its pass is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// It drives the public API with libraries that came through the whole gate.
    Gate,
    /// It drives a crate by itself, on a model or with actors linked in.
    Model,
}

/// How a test ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    NotRun,
}

/// One test that ran.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) outcome: Outcome,
}

/// Runs `cargo test` with `arguments`, shows its output, and returns it: both streams, in order.
pub(crate) fn run(arguments: &[&str], seconds_max: u32) -> Result<String, Error> {
    // coreutils' timeout ends the whole process group, a hung test's children too.
    let cargo = cargo();
    let mut command = Command::new("timeout");
    command.arg(seconds_max.to_string()).arg(cargo.get_program()).arg("test").args(arguments);
    crate::forget_what_cargo_said(&mut command);
    command.current_dir(crate::root()).env("RUST_BACKTRACE", "0").env("CARGO_TERM_COLOR", "never");
    let name = format!("cargo test {}", arguments.join(" "));
    let start = |source| Error::Start { command: name.clone(), source };
    let (reader, writer) = std::io::pipe().map_err(start)?;
    let same = writer.try_clone().map_err(start)?;
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(same).spawn().map_err(start)?;
    // The command holds the pipe's writing ends; reading ends when all copies are closed.
    drop(command);
    let mut output = String::new();
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        output.push_str(&line);
        output.push('\n');
    }
    child.wait().map_err(start)?;
    Ok(output)
}

/// The tests in the output of `cargo test`.
pub(crate) fn parse(output: &str) -> Vec<Ran> {
    let mut place = Place::Model;
    let mut ran = Vec::new();
    for line in output.lines() {
        if let Some(binary) = line.trim_start().strip_prefix("Running ") {
            place = place_of(binary);
        } else if line.trim_start().starts_with("Doc-tests ") {
            place = Place::Model;
        } else if let Some((name, outcome)) = result(line) {
            ran.push(Ran { name: name.rsplit("::").next().unwrap_or(name).to_owned(), place, outcome });
        }
    }
    ran
}

/// `unittests src/lib.rs (target/debug/deps/teneral_loader-0123)`: the loader's tests and the test binary `all` drive
/// real libraries through the gate.
fn place_of(binary: &str) -> Place {
    let stem = binary.rsplit('/').next().and_then(|file| file.rsplit_once('-')).map_or("", |(stem, _)| stem);
    match stem {
        "all" | "teneral_loader" | "gate" => Place::Gate,
        _ => Place::Model,
    }
}

/// `test area::name ... ok`
fn result(line: &str) -> Option<(&str, Outcome)> {
    let (name, said) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let name = name.split_whitespace().next()?;
    match said.split([' ', ',']).next()? {
        "ok" => Some((name, Outcome::Passed)),
        "FAILED" => Some((name, Outcome::Failed)),
        "ignored" => Some((name, Outcome::NotRun)),
        _ => None,
    }
}

/// The promise that a test's name opens with: `u16_an_actor_..` proves `U16`.
pub(crate) fn promise_of(name: &str) -> Option<String> {
    let id = name.split('_').next()?;
    let (letter, digits) = id.split_at_checked(1)?;
    let known = "usmifercp".contains(letter) && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    known.then(|| id.to_uppercase())
}

/// The tests by the promise that they prove.
pub(crate) fn by_promise(ran: Vec<Ran>) -> BTreeMap<String, Vec<Ran>> {
    let mut by_promise: BTreeMap<String, Vec<Ran>> = BTreeMap::new();
    for test in ran {
        if let Some(id) = promise_of(&test.name) {
            by_promise.entry(id).or_default().push(test);
        }
    }
    by_promise
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/teneral_runtime-0a)
test cell::tests::u3_no_user_message_is_handled_while_paused ... ok
test cell::tests::plain ... ok
     Running ../../tests/all.rs (target/debug/deps/all-0b)
test u3_a_pause_holds_messages_back      ... FAILED
test m3_ask_and_tell ... ignored, not run: no cc
test result: FAILED. 1 passed; 1 failed
";

    #[test]
    fn a_run_is_read_by_promise_place_and_outcome() {
        let promises = by_promise(parse(OUTPUT));
        let u3 = &promises["U3"];
        assert_eq!((u3[0].place, u3[0].outcome.clone()), (Place::Model, Outcome::Passed));
        assert_eq!((u3[1].place, u3[1].outcome.clone()), (Place::Gate, Outcome::Failed));
        assert_eq!(promises["M3"][0].outcome, Outcome::NotRun);
        assert_eq!(promises.len(), 2);
    }
}
