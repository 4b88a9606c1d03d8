//! `teneral demo`: a log-processing service whose actors are upgraded while a real log flows through them.
//!
//! Eight actors, four senders, asks alongside. Every actor goes v1 -> v2 -> v3 -> v2 -> v3; v4 and v5 are turned away,
//! and v6 is taken back while it serves. In the end every message is accounted for, from logs that the runtime does not
//! write. The layout:
//!
//! * [`input`]: any file as lines, and a second counter of them
//! * [`libraries`]: the six versions, built or found
//! * [`flow`]: when moves happen, and how fast lines go
//! * [`senders`]: who sends and asks, and what they write down
//! * [`service`]: the only module that names the actors' messages
//! * [`moves`]: the upgrades
//! * [`probation`]: what the last of them is held to, and what becomes of it
//! * [`mod@run`]: all of it together, once
//! * [`judge`]: what was lost, doubled or reordered
//! * [`report`], [`shown`], [`view`]: what comes out in the end, how it is shown, and what is shown meanwhile

mod flow;
mod input;
mod judge;
mod libraries;
mod moves;
mod probation;
mod report;
mod run;
mod senders;
mod service;
mod shown;
mod view;

use crate::failure::Failure;
use crate::output::print;
use input::{Input, InputError};
use libraries::LibraryError;
use report::Paced;
use senders::Sabotage;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// Set in the process whose actors are live: version 5 panics where it finds it.
const LIVE: &str = "TENERAL_DEMO_LIVE";

/// The sample: part of the binary, so that the demo runs wherever the binary does.
const SAMPLE: &[u8] = include_bytes!("../../sample/access.log");

/// Where the sample is kept in the repository.
const SAMPLE_PATH: &str = "supervisor/cli/sample/access.log";

/// Below this, some actor would see no line between two of its moves, or too few on probation.
const LINES_MIN: u64 = 14_000;

/// Below this, a flood is over before the first actor is paused.
const FLOOD_LINES_MIN: u64 = 200_000;

/// How many lines are streamed when nobody says how many, and how many bytes of them at most.
const DEFAULT_LINES: u64 = 2_000_000;
const DEFAULT_BYTES: u64 = 2 << 30;

/// What the demo is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The file to stream, line by line; any file [default: an nginx access log]
    ///
    /// A line ends at LF, CRLF or CR and may hold any bytes. A line over 65,536 bytes is sent in pieces of that size,
    /// each counted as a line.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many lines to stream in all: the input is repeated, or cut, to reach it; at least 14,000, or 200,000 without
    /// a rate [default: 2,000,000, or as many as 2 GiB hold, but not under 200,000]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(LINES_MIN..))]
    lines: Option<u64>,
    /// Lines a second; 0 is as fast as the mailboxes take them
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u64,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Where liblog_handler_v1.so to liblog_handler_v6.so lie, instead of building them
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Make the harness do something wrong, to see that it is found out
    #[arg(long, value_name = "WHAT")]
    sabotage: Option<Sabotage>,
}

/// What the run needs, ready.
struct Prepared {
    input: Arc<Input>,
    shown_path: String,
    libraries: Vec<PathBuf>,
    lines: u64,
    paced: Paced,
    sabotage: Option<Sabotage>,
    /// Holds the store, and the sample if that is what is streamed.
    dir: tempfile::TempDir,
}

/// Runs the demo: exit code 0 only if nothing is off.
///
/// # Errors
/// [`Failure`] when it cannot be run at all.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    if std::env::var_os(LIVE).is_none() {
        return Err(live_again());
    }
    let prepared = prepare(options)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let tokio = tokio.map_err(|error| refused_by_machine(&error))?;
    let (report, run) = tokio.block_on(run::run(&prepared))?;
    if options.json {
        let text = serde_json::to_string(&report).map_err(|error| {
            Failure::new("CLI-JSON", &error, "the service has run and was stopped", "leave --json out, and report this")
        })?;
        print(format_args!("{text}\n"))?;
        report.off.iter().for_each(|off| eprintln!("off: {off}"));
    } else {
        print(report.table(&run))?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Replaces this process by one with [`LIVE`] set: a variable may not be set once threads may run. Returns if it
/// cannot.
fn live_again() -> Failure {
    let error = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).env(LIVE, "1").exec(),
        Err(error) => error,
    };
    refused_by_machine(&error)
}

fn refused_by_machine(error: &std::io::Error) -> Failure {
    Failure::new("DEMO-MACHINE", error, "nothing was started", "look at this process's limits, then run it again")
}

fn prepare(options: &Options) -> Result<Prepared, Failure> {
    let paced = if options.rate == 0 { Paced::Flood } else { Paced::LinesPerSecond(options.rate) };
    if let Some(lines) = options.lines.filter(|lines| paced == Paced::Flood && *lines < FLOOD_LINES_MIN) {
        return Err(too_few_lines(lines));
    }
    let machine = |error: std::io::Error| {
        Failure::new(
            "DEMO-MACHINE",
            &error,
            "nothing was started",
            "make room in TMPDIR: the demo keeps its store there",
        )
    };
    let dir = tempfile::Builder::new().prefix("teneral-demo-").tempdir().map_err(machine)?;
    let (path, shown_path) = match &options.input {
        Some(path) => (path.clone(), path.display().to_string()),
        None => {
            let path = dir.path().join("access.log");
            std::fs::write(&path, SAMPLE).map_err(machine)?;
            (path, SAMPLE_PATH.to_owned())
        }
    };
    let input = Input::open(&path).map_err(|error| refused_input(&error))?;
    let libraries = libraries::find(options.artifacts.as_deref()).map_err(|error| no_libraries(&error))?;
    let lines = match options.lines {
        Some(lines) => lines,
        None => default_lines(&input).map_err(|error| refused_input(&error))?,
    };
    let sabotage = options.sabotage;
    Ok(Prepared { input: Arc::new(input), shown_path, libraries, lines, paced, sabotage, dir })
}

/// Enough for a flood, and over within a minute whatever the lines' length.
fn default_lines(input: &Input) -> Result<u64, InputError> {
    Ok((DEFAULT_BYTES / input.mean_line_bytes()?).clamp(FLOOD_LINES_MIN, DEFAULT_LINES))
}

/// A flood that is no flood.
#[derive(Debug, thiserror::Error)]
#[error("{lines} lines without a rate are over before the first actor is paused")]
struct TooFewLines {
    lines: u64,
}

fn too_few_lines(lines: u64) -> Failure {
    let hint = format!("give --lines {FLOOD_LINES_MIN} or more, or a --rate, for instance {}", lines / 2);
    Failure::new("DEMO-LINES", &TooFewLines { lines }, "nothing was started", hint).usage()
}

fn refused_input(error: &InputError) -> Failure {
    let hint = "name a regular file with at least one line, or leave --input out for the sample";
    Failure::new(error.code(), error, "nothing was started", hint).usage()
}

fn no_libraries(error: &LibraryError) -> Failure {
    let failure = |hint| Failure::new(error.code(), error, "nothing was started", hint);
    match error {
        LibraryError::NoWorkspace | LibraryError::Missing { .. } => {
            failure("run `cargo demo` in the repository, or name the directory with --artifacts DIR").usage()
        }
        LibraryError::NoCargo { .. } => failure("install cargo, or name the directory with --artifacts DIR"),
        _ => failure("cargo build --release --examples -p log-handler-v1 shows what is wrong"),
    }
}

impl Prepared {
    fn store_dir(&self) -> PathBuf {
        Path::join(self.dir.path(), "store")
    }
}
