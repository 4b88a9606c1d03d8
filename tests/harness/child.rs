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

/// The processes that rehearse upgrades for this one and have not ended.
pub(crate) fn trials_of(host: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("there is a /proc").filter_map(Result::ok);
    let host = host.to_string();
    processes
        .filter_map(|process| {
            let words = std::fs::read(process.path().join("cmdline")).ok()?;
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            let its = words.get(1) == Some(&&b"--teneral-trial"[..]) && words.get(2) == Some(&host.as_bytes());
            its.then(|| process.file_name().to_str()?.parse().ok())?
        })
        .collect()
}
