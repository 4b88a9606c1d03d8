//! What the house makes of itself: `cargo xtask conformance`, `cargo xtask faults`, `cargo xtask benchmarks`,
//! `cargo xtask save`.
//!
//! Documents that say what holds are made from runs, never by hand, so that they cannot say more than the runs showed.
#![forbid(unsafe_code)]

mod benchmarks;
mod bugs;
mod conformance;
mod error;
mod faults;
mod save;
mod suite;

use clap::{Args, Parser};
use error::Error;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

#[derive(Parser)]
#[command(about = "What the house makes of itself")]
enum Task {
    /// Runs all tests and writes docs/conformance.md: one row a promise.
    Conformance(ConformanceArgs),
    /// Runs the fault matrix and writes docs/faults.md: one row a cell.
    Faults(faults::FaultsArgs),
    /// Runs the benches and writes docs/benchmarks.md.
    Benchmarks {
        /// Only these; all when none is named.
        names: Vec<String>,
    },
    /// Measures how long an author waits from a save to code that serves, beside cargo; prints one line of JSON.
    Save {
        /// How many saves.
        #[arg(long, default_value_t = 20)]
        saves: u32,
    },
}

#[derive(Args)]
struct ConformanceArgs {
    /// Reads the output of an earlier `cargo test` instead of running it.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Writes nothing; fails when docs/conformance.md says other than the run.
    #[arg(long)]
    check: bool,
    /// Builds each planted bug in, one after the other, and expects the tests of its promise to fail.
    #[arg(long, num_args = 0.., value_name = "ID")]
    bugs: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Conformance(ConformanceArgs { bugs: Some(ids), .. }) => bugs::hunt(&ids),
        Task::Conformance(ConformanceArgs { from, check: true, .. }) => conformance::check(from.as_deref()),
        Task::Conformance(ConformanceArgs { from, .. }) => conformance::write(from.as_deref()),
        Task::Faults(args) => faults::run(&args),
        Task::Benchmarks { names } => benchmarks::write(&names),
        Task::Save { saves } => save::measure(saves),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {}", error::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that runs this task.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    forget_what_cargo_said(&mut command);
    command
}

/// A cargo that took what this package was told for its own would build for it what is built already.
fn forget_what_cargo_said(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Write { path: path.to_owned(), source })
}
