//! Tests that need a process of their own: what hangs a thread for ever, ends the process, or is counted by process.
//!
//! The test binary starts itself again and runs one listed function instead of tests.

use std::process::{Command, Output};

const CHILD: &str = "TENERAL_TEST_CHILD";

/// A function that a child runs instead of tests: its name and itself.
pub(crate) type Child = (&'static str, fn());

/// Runs the function that this process was started for, if it was started for one.
pub(crate) fn run_if_asked(children: &[Child]) -> bool {
    let Ok(name) = std::env::var(CHILD) else { return false };
    let (_, run) = children.iter().find(|(known, _)| *known == name).expect("a child is listed");
    run();
    true
}

/// This binary, told to run the listed function `name`.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a running binary has a path"));
    command.env(CHILD, name).env("RUST_BACKTRACE", "0");
    command
}

/// Runs the listed function `name` in a process of its own, to its end, which must be a good one.
#[track_caller]
pub(crate) fn run(name: &str) -> Output {
    let output = command(name).output().expect("this binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}", output.status);
    output
}
