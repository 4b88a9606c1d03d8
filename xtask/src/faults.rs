//! docs/faults.md: one row a cell of the fault matrix, made from a run of it.
//!
//! The matrix is in `tests/matrix`, and so in the test binary `all`, which runs it when it is asked for: cells and
//! tests stand on the same harness, and on the same libraries.

use crate::{Error, cargo, forget_what_cargo_said, read, root, write_file};
use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const PAGE: &str = "docs/faults.md";

const HEAD: &str = "\
# Faults

Made by `cargo xtask faults`; do not edit. `cargo xtask faults --check` runs all of it again and compares; with
`--only`, `--size` and `--load` it runs some.

Every fault of an upgrade meets an actor with a small state, one of 1 MiB and one of 60 MiB, idle and loaded: then
three clients tell and two ask all the while. Each cell is a host in a process of its own, with real libraries that
came through the whole gate; where the fault ends the host it is `teneral serve`, and its clients use the control
socket.

**seen** is put together from what happened, never from what was expected; a cell holds when both are the same words.
Clients number what they send and log what was accepted and what was answered. In the end their logs are compared with
the log in the actor's own state: **lost** was accepted and is not there, **doubled** is there twice, **reordered** is
there after a later one of the same client. An answer carries the digest of the log that it was given from, and that
must be how the log in the end begins. *Same state*: all that was there before the fault is there and no life of the
actor began since; of an idle one the SHA-256 of its state is the same. *Journalled*: the journal begins, ends, and
names the step and the code that the report names. No counter of the runtime is asked.

Where an actor is replaced (F41) what it had handled since its last snapshot goes with the instance, as declared:
there, and after the death of a host, what was accepted from then on is counted. A volatile actor loses state and
queue with its process.
";

const FOOT: &str = "
## What is not here

A cell marked *in part* shows some of what its promise says:

* F26, F33: the disk is full. A short write, an I/O error and a failed fsync are shown on the store alone
  (`supervisor/store/tests/store.rs`). Nothing is written while a volatile actor is paused: what cannot be recorded
  does not begin, and a commit whose record fails stands and says so. Durable actors, of which F33 says that their
  outcome is unknown until it is read back, are not built.
* F34: kill -9 at moments of an upgrade of a volatile actor, and of its way back after the commit. F35, a power cut, is
  about durable actors only and has no cells.
* F39: what is declared is that those who fail keep the old version; nothing else can be declared yet.

F10 has no cell for a variant that moved: a probe's state has no variants (`tests/spine/upgrade_refused.rs` shows it).
F40 is about processes of actors, which are not built.
";

/// Which cells, and what becomes of what they show.
#[derive(Args)]
pub(crate) struct FaultsArgs {
    /// Only the cases of this promise, or of this name; may be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Only states of this size: small, 1mib or 60mib.
    #[arg(long)]
    size: Option<String>,
    /// Only idle or only loaded.
    #[arg(long)]
    load: Option<String>,
    /// How many cells run at a time; as many as there are processors when it is not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Writes nothing; fails when docs/faults.md says other than the run.
    #[arg(long)]
    check: bool,
}

/// What the matrix tells of a cell.
#[derive(Deserialize)]
struct Line {
    id: String,
    part: bool,
    fault: String,
    name: String,
    size: String,
    load: String,
    expected: String,
    holds: bool,
    row: Row,
}

#[derive(Deserialize)]
struct Row {
    seen: String,
    code: String,
    lost: u64,
    doubled: u64,
    reordered: u64,
}

impl Line {
    fn row(&self) -> String {
        let Row { seen, code, lost, doubled, reordered } = &self.row;
        let Self { id, fault, expected, .. } = self;
        let part = if self.part { " *in part*" } else { "" };
        let size = match self.size.as_str() {
            "1mib" => "1 MiB",
            "60mib" => "60 MiB",
            small => small,
        };
        let code = if code.is_empty() { String::new() } else { format!("`{code}`") };
        format!(
            "| {id}{part} | {fault} | {size} | {} | {expected} | {seen} | {code} | {lost} | {doubled} | {reordered} |",
            self.load
        )
    }
}

/// Runs the matrix; a run of all of it is written down.
pub(crate) fn run(args: &FaultsArgs) -> Result<(), Error> {
    let lines = cells(args)?;
    let rows: Vec<String> = lines.iter().map(Line::row).collect();
    let is_whole = args.only.is_empty() && args.size.is_none() && args.load.is_none();
    if !is_whole {
        rows.iter().for_each(|row| println!("{row}"));
    }
    let page = root().join(PAGE);
    let fails: Vec<&Line> = lines.iter().filter(|line| !line.holds).collect();
    let stale = match args.check {
        true if is_whole => read(&page)? != render(&lines, &rows),
        true => read(&page).map(|text| rows.iter().any(|row| !text.contains(row.as_str())))?,
        false => false,
    };
    if is_whole && !args.check {
        write_file(&page, &render(&lines, &rows))?;
    }
    println!("{} cells, {} of them hold", lines.len(), lines.len() - fails.len());
    if !fails.is_empty() {
        for Line { name, size, load, .. } in &fails {
            println!("alone: cargo xtask faults --only {name} --size {size} --load {load}");
        }
        return Err(Error::Cells { failed: fails.len() });
    }
    if lines.is_empty() {
        return Err(Error::NoCell);
    }
    if stale { Err(Error::Faults) } else { Ok(()) }
}

fn render(lines: &[Line], rows: &[String]) -> String {
    let holds = lines.iter().filter(|line| line.holds).count();
    let mut text = format!("{HEAD}\n{} cells, {holds} of them hold.\n", lines.len());
    text.push_str("\n| id | case | size | load | expected | seen | code | lost | doubled | reordered |\n");
    text.push_str("|---|---|---|---|---|---|---|---:|---:|---:|\n");
    rows.iter().for_each(|row| _ = writeln!(text, "{row}"));
    text + FOOT
}

fn cells(args: &FaultsArgs) -> Result<Vec<Line>, Error> {
    let program = built()?;
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let command = format!("{}, asked for the fault matrix", program.display());
    let mut matrix = Command::new(&program);
    forget_what_cargo_said(&mut matrix);
    let output = matrix
        .current_dir(root())
        .env("TENERAL_TEST_CHILD", "fault-matrix")
        .env("TENERAL_FAULTS_ONLY", args.only.join(" "))
        .env("TENERAL_FAULTS_SIZE", args.size.as_deref().unwrap_or_default())
        .env("TENERAL_FAULTS_LOAD", args.load.as_deref().unwrap_or_default())
        .env("TENERAL_FAULTS_JOBS", jobs.to_string())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { command: command.clone(), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command });
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let rows = said.lines().filter_map(|line| line.strip_prefix("row: "));
    rows.map(|row| serde_json::from_str(row).map_err(Error::Cell)).collect()
}

/// The test binary, built.
fn built() -> Result<PathBuf, Error> {
    let words = ["test", "--package", "teneral-cli", "--test", "all", "--no-run"];
    let command = format!("cargo {}", words.join(" "));
    let output = cargo()
        .args(words)
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { command: command.clone(), source })?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.find_map(|line| match line["target"]["name"] == "all" {
        true => line["executable"].as_str().map(PathBuf::from),
        false => None,
    });
    found.filter(|_| output.status.success()).ok_or(Error::Failed { command })
}
