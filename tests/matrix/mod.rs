//! The fault matrix: every fault of an upgrade, met by a small, a middling and a large state, idle and under load.
//!
//! A cell is one fault, one size and one load, in a process of its own, with real libraries through the whole gate.
//! What is expected stands in the tables of these modules; what is seen is put together from what independent clients
//! have logged and from what the actor's state says in the end, in the same words, and a cell holds when both are
//! equal. No counter of the runtime is asked.
//!
//! `cargo xtask faults` runs all cells and writes docs/faults.md; `cargo test` runs the small ones under load.

mod death;
mod gate;
mod pause;
mod probation;
mod several;
mod snapshot;
mod stage;
mod traffic;
mod trial;

use crate::harness::child::{self, Child};
use crate::harness::{Absent, Test, libraries, named, root, test as test_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use traffic::Counts;

pub(crate) const CHILDREN: &[Child] = &[("fault-matrix", all_cells), ("fault-cell", one_cell)];

/// How long a cell may take, on a slow and busy machine.
const CELL_TIMEOUT: Duration = Duration::from_secs(300);

/// Which cell a child is; which ones the matrix is told to run; how many at a time.
const CELL: &str = "TENERAL_FAULT_CELL";
const ONLY: &str = "TENERAL_FAULTS_ONLY";
const SIZE: &str = "TENERAL_FAULTS_SIZE";
const LOAD: &str = "TENERAL_FAULTS_LOAD";
const JOBS: &str = "TENERAL_FAULTS_JOBS";

/// What is seen where this machine lacks something.
const NOT_RUN: &str = "not run: no ";

/// What the last line of a cell begins with.
const ROW: &str = "row: ";

/// How large the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Middling,
    Large,
}

impl Size {
    const ALL: [Self; 3] = [Self::Small, Self::Middling, Self::Large];

    /// By how much the probe grows.
    const fn bytes(self) -> u32 {
        match self {
            Self::Small => 100,
            Self::Middling => 1 << 20,
            Self::Large => 60 << 20,
        }
    }

    /// What is a moment for a state of this size, where a test must choose one.
    const fn moment(self) -> Duration {
        match self {
            Self::Small | Self::Middling => Duration::from_secs(1),
            Self::Large => Duration::from_secs(8),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Middling => "1mib",
            Self::Large => "60mib",
        }
    }
}

/// Whether clients are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Idle,
    Loaded,
}

impl Load {
    const ALL: [Self; 2] = [Self::Idle, Self::Loaded];

    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Loaded => "loaded",
        }
    }
}

/// One of the six that each fault has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    size: Size,
    load: Load,
}

/// What came of a cell.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    seen: String,
    code: String,
    lost: u64,
    doubled: u64,
    reordered: u64,
}

impl Row {
    fn new(mut seen: String, code: String, counts: Counts) -> Self {
        let Counts { lost, doubled, reordered, unheard_of, contradicted } = counts;
        for (count, what) in [(unheard_of, "never sent"), (contradicted, "answered otherwise")] {
            if count > 0 {
                seen.push_str(&format!("; {count} {what}"));
            }
        }
        Self { seen, code, lost, doubled, reordered }
    }

    /// It gave no verdict.
    fn none(seen: String) -> Self {
        Self { seen, code: String::new(), lost: 0, doubled: 0, reordered: 0 }
    }
}

/// One fault.
struct Case {
    /// The promise that it is about.
    id: &'static str,
    /// Whether it shows all that the promise says; what is missing is listed in docs/faults.md.
    shows: Shows,
    fault: &'static str,
    /// What must be seen, and with which code.
    expected: String,
    code: &'static str,
    run: Box<dyn Fn(Cell) -> Result<Row, Absent> + Send + Sync>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Whole,
    Part,
}

impl Case {
    fn new(
        id: &'static str,
        fault: &'static str,
        (expected, code): (String, &'static str),
        run: impl Fn(Cell) -> Result<Row, Absent> + Send + Sync + 'static,
    ) -> Self {
        Self { id, shows: Shows::Whole, fault, expected, code, run: Box::new(run) }
    }

    /// It shows only some of what the promise says.
    fn in_part(self) -> Self {
        Self { shows: Shows::Part, ..self }
    }

    /// `f12_trial_the_migration_panics`. What shows a part only does not open with the promise's id: nobody may take it
    /// for a proof.
    fn name(&self) -> String {
        let words = self.fault.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let words = words.collect::<Vec<_>>().join("_").to_lowercase();
        let part = if self.shows == Shows::Part { "part_of_" } else { "" };
        format!("{part}{}_{words}", self.id.to_lowercase())
    }

    fn expected(&self) -> String {
        if self.code.is_empty() { self.expected.clone() } else { format!("{} ({})", self.expected, self.code) }
    }

    fn holds(&self, row: &Row) -> bool {
        let whole = (row.lost, row.doubled, row.reordered) == (0, 0, 0);
        whole && row.seen == self.expected && row.code == self.code
    }
}

/// Refused before anybody is paused, and before there is an upgrade.
fn not_begun(at: &str, version: &str, code: &'static str) -> (String, &'static str) {
    (format!("refused at {at}, nobody paused; {version} serves, same state; no upgrade began"), code)
}

/// Refused by a step before the pause.
fn refused(at: &str, code: &'static str) -> (String, &'static str) {
    (format!("refused at {at}, nobody paused; 1.0.0 serves, same state; journalled"), code)
}

/// Undone.
fn rolled_back(at: &str, code: &'static str) -> (String, &'static str) {
    (format!("rolled back at {at}; 1.0.0 serves, same state; journalled"), code)
}

/// Done; `how` says what there is to it.
fn committed(how: &str, version: &str) -> (String, &'static str) {
    (format!("committed{how}; {version} serves, state carried over; journalled"), "")
}

fn cases() -> Vec<Case> {
    [
        gate::cases(),
        trial::cases(),
        pause::cases(),
        snapshot::cases(),
        several::cases(),
        death::cases(),
        probation::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The small cells under load.
pub(crate) fn tests() -> Vec<Test> {
    let cell = Cell { size: Size::Small, load: Load::Loaded };
    let test = |case: Case| {
        let name = format!("{}_{}_{}", case.name(), cell.size.name(), cell.load.name());
        named(name, move || -> Result<(), Absent> {
            let row = in_a_process(&case, cell);
            if let Some(absent) = row.seen.strip_prefix(NOT_RUN) {
                return Err(Absent(String::leak(absent.to_owned())));
            }
            assert!(case.holds(&row), "expected: {} ({})\nseen: {row:?}", case.expected, case.code);
            Ok(())
        })
    };
    let listed = test_of(every_cell_has_its_row_in_the_documentation_and_each_of_them_holds);
    cases().into_iter().map(test).chain([listed]).collect()
}

/// Whoever adds a fault or expects something else of one runs the matrix again.
fn every_cell_has_its_row_in_the_documentation_and_each_of_them_holds() {
    let page = std::fs::read_to_string(root().join("docs/faults.md")).expect("it is there");
    let cases = cases();
    let mut rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| F")).collect();
    for (case, cell) in all(&cases) {
        let size = match cell.size {
            Size::Small => "small",
            Size::Middling => "1 MiB",
            Size::Large => "60 MiB",
        };
        let part = if case.shows == Shows::Part { " *in part*" } else { "" };
        let (id, fault, load, seen) = (case.id, case.fault, cell.load.name(), &case.expected);
        let code = if case.code.is_empty() { String::new() } else { format!("`{}`", case.code) };
        let expected = case.expected();
        let row = format!("| {id}{part} | {fault} | {size} | {load} | {expected} | {seen} | {code} | 0 | 0 | 0 |");
        let at = rows.iter().position(|line| *line == row);
        rows.remove(at.unwrap_or_else(|| panic!("run cargo xtask faults: docs/faults.md has no row\n{row}")));
    }
    assert!(rows.is_empty(), "run cargo xtask faults: docs/faults.md has rows of no cell\n{}", rows.join("\n"));
}

/// Runs a cell in a process of its own.
fn in_a_process(case: &Case, cell: Cell) -> Row {
    let mut command = child::command("fault-cell");
    command.env(CELL, cell.of(case)).env(libraries::KNOWN, libraries::known());
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = spawned.expect("this binary runs");
    let pid = child.id().to_string();
    let running = std::thread::spawn(move || child.wait_with_output().expect("it is ours"));
    let deadline = Instant::now() + CELL_TIMEOUT;
    while !running.is_finished() {
        if Instant::now() > deadline {
            _ = Command::new("kill").args(["-9", &pid]).status();
            return Row::none(format!("not over after {CELL_TIMEOUT:?}"));
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let output = running.join().expect("it only waits");
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let row: Option<Row> = told.lines().rev().find_map(|line| serde_json::from_str(line.strip_prefix(ROW)?).ok());
    if !row.as_ref().is_some_and(|row| case.holds(row)) {
        eprintln!("{}: {}\n{said}", cell.of(case), output.status);
    }
    row.unwrap_or_else(|| Row::none(format!("it gave no verdict: {}", output.status)))
}

/// A child: the cell that it was started for.
fn one_cell() {
    let wanted = std::env::var(CELL).expect("the parent says which");
    let cases = cases();
    let (case, cell) = all(&cases).find(|(case, cell)| cell.of(case) == wanted).expect("the parent knows the cells");
    let row = (case.run)(cell).unwrap_or_else(|Absent(what)| Row::none(format!("{NOT_RUN}{what}")));
    println!("{ROW}{}", serde_json::to_string(&row).expect("JSON"));
    // Threads that hang in code hold nobody up.
    std::process::exit(0);
}

fn all(cases: &[Case]) -> impl Iterator<Item = (&Case, Cell)> {
    let cells = |case| Size::ALL.into_iter().flat_map(move |size| Load::ALL.map(|load| (case, Cell { size, load })));
    cases.iter().flat_map(cells)
}

/// A child: all cells that are wanted, as lines of JSON on standard output, in order.
fn all_cells() {
    let told = |name| std::env::var(name).unwrap_or_default().to_lowercase();
    let (only, size, load, jobs) = (told(ONLY), told(SIZE), told(LOAD), told(JOBS).parse().unwrap_or(1));
    let is_named = |case: &Case| {
        let mut names = only.split_whitespace().peekable();
        names.peek().is_none() || names.any(|name| case.id.to_lowercase() == name || case.name() == name)
    };
    let is_wanted = |(case, cell): &(&Case, Cell)| {
        is_named(case) && [cell.size.name(), ""].contains(&&*size) && [cell.load.name(), ""].contains(&&*load)
    };
    let cases = cases();
    let wanted: Vec<_> = all(&cases).filter(is_wanted).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((case, cell)) = wanted.get(next.fetch_add(1, SeqCst)) {
                    let row = in_a_process(case, *cell);
                    eprintln!("{} {}", if case.holds(&row) { "ok  " } else { "FAIL" }, cell.of(case));
                    let number = wanted.iter().position(|(c, other)| std::ptr::eq(*c, *case) && other == cell);
                    done.lock().expect("nobody panics with it").insert(number, cell.told(case, &row));
                }
            });
        }
    });
    done.into_inner().expect("nobody panics with it").values().for_each(|line| println!("{ROW}{line}"));
}

impl Cell {
    /// Its name, by which it can be run alone.
    fn of(self, case: &Case) -> String {
        format!("{} {} {}", case.name(), self.size.name(), self.load.name())
    }

    fn told(self, case: &Case, row: &Row) -> Value {
        json!({
            "id": case.id, "part": case.shows == Shows::Part, "fault": case.fault, "name": case.name(),
            "size": self.size.name(), "load": self.load.name(), "expected": case.expected(), "holds": case.holds(row),
            "row": row,
        })
    }
}
