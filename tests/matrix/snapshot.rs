//! Faults in the live process: while the state is saved, while the new code takes it, and where the disk is full.

use super::stage::{Came, SUBJECT, Snapshot, Stage, begins_anew, house, snapshot};
use super::{Case, Cell, Row, rolled_back};
use crate::harness::disk::Disk;
use crate::harness::house::{House, patient, rehearsed};
use crate::harness::probe::{self, Hold, seen};
use crate::harness::{Absent, house::until};
use probe_api::{Start, Trap};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use teneral::runtime::RestartState;
use teneral::upgrade::report::Record;
use teneral::{ActorOptions, Addr, Launch, Report, UpgradeOptions};

pub(super) fn cases() -> Vec<Case> {
    [saves(), live(), disks(), hangs()].into_iter().flatten().collect()
}

/// A probe that misbehaves at that step, without a trial: the copy for it would be saved by the same code.
fn untried(id: &'static str, fault: &'static str, how: &'static str, expected: (String, &'static str)) -> Case {
    Case::new(id, fault, expected, move |cell| {
        let stage = Stage::raise(cell);
        let most = memory_kib();
        stage.trap("save", how);
        let mut came = stage.upgrade("2.0.0", patient());
        // The least that any of them claims is 4 GiB.
        if memory_kib() - most > 2 << 20 {
            came.what.push_str(", and memory was set aside for what it claimed");
        }
        Ok(stage.end(came))
    })
}

/// The most memory that this process has set aside so far, in KiB.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("Linux counts it");
    line.trim().split(' ').next().and_then(|kib| kib.parse().ok()).expect("in KiB")
}

fn saves() -> Vec<Case> {
    let undone = || rolled_back("snapshot", "UPG-SNAPSHOT");
    let unread = || rolled_back("migrate", "UPG-DECODE");
    vec![
        untried("F24", "Snapshot: save panics", "panic", undone()),
        untried("F24", "Snapshot: save fails", "error", undone()),
        Case::new("F25", "Snapshot: the state is over its limit", rolled_back("snapshot", "UPG-LIMIT"), |cell| {
            let stage = Stage::raise(cell);
            let snapshot_bytes_max = cell.size.bytes() as usize / 2;
            let came = stage.upgrade("2.0.0", UpgradeOptions { snapshot_bytes_max, ..patient() });
            Ok(stage.end(came))
        }),
        untried("F29", "Snapshot: the bytes are garbage", "garbage", unread()),
        untried("F29", "Snapshot: the bytes claim 4 Gi entries", "claim", unread()),
        untried("F29", "Snapshot: the bytes nest 1,000 deep", "nest", unread()),
        untried("F29", "Snapshot: bytes after the end", "trail", unread()),
    ]
}

/// What no trial could see.
fn live() -> Vec<Case> {
    let panics = |fault, step: &'static str, how: &'static str| {
        Case::new("F30", fault, rolled_back("migrate", "UPG-MIGRATE"), move |cell| {
            let stage = Stage::raise(cell);
            stage.trap_here(step, how);
            let came = stage.moved();
            Ok(stage.end(came))
        })
    };
    vec![
        panics("Migrate: it panics in the live process only", "migrate", "panic"),
        panics("Migrate: it fails in the live process only", "migrate", "error"),
        panics("Migrate: reading the state panics in the live process only", "restore", "panic"),
    ]
}

/// A host whose code is soon said to hang.
fn impatient(options: &mut teneral::Options) {
    options.runtime.hang_after = HANG_AFTER;
}

/// Longer than any honest turn of the probe takes on a busy machine.
const HANG_AFTER: Duration = Duration::from_secs(4);

fn hangs() -> Vec<Case> {
    let taken_over = |fault, step: &'static str| {
        let (expected, code) = rolled_back("migrate, 1 thread lost, 2.0.0 quarantined", "UPG-HANG");
        Case::new("F31", fault, (expected, code), move |cell| {
            let stage = Stage::open(cell, probe::ALL, "1.0.0", impatient);
            let max_pause = cell.size.moment();
            let held = stage.held(step, "2.0.0", UpgradeOptions { max_pause, ..rehearsed() });
            // It serves on elsewhere while the code still hangs.
            until("it serves", || stage.paused() == "paused");
            stage.flow();
            let report = held.outlasted(&stage.house);
            let mut came = stage.reported(&report);
            came.what.push_str(&format!(
                ", {} thread lost, {}",
                report.threads_lost,
                quarantine(&stage.house, "2.0.0")
            ));
            Ok(stage.end(came))
        })
    };
    let replaced = |fault, restart_state, from: &str| {
        let (bad, serves) = ("2.0.0 quarantined", "2.0.0 serves, state of");
        let expected = format!(
            "rolled back at snapshot, the instance replaced, {bad}; {serves} {from}, its queue kept; journalled"
        );
        Case::new("F41", fault, (expected, "UPG-HANG"), move |cell| Ok(left_behind(cell, restart_state)))
    };
    vec![
        taken_over("Migrate: it hangs in the live process only", "migrate"),
        taken_over("Restore: it hangs in the live process only", "restore"),
        replaced(
            "Snapshot: save hangs, to be restarted from the last snapshot",
            RestartState::LastSnapshot,
            "its last snapshot",
        ),
        replaced("Snapshot: save hangs, to be restarted from the start", RestartState::Init, "its start arguments"),
    ]
}

fn quarantine(house: &House, version: &str) -> String {
    let releases = house.system.releases().expect("the store reads");
    let release = releases.iter().find(|release| release.version.to_string() == version).expect("it was pushed");
    let is_bad = house.system.runtime().quarantined(release.sha256).is_some();
    format!("{version} {}", if is_bad { "quarantined" } else { "not quarantined" })
}

/// The instance hangs in `save` and is left behind. What it had handled since its last snapshot goes with it, as
/// declared; what was accepted from then on, and waited, must all be handled by the next one.
fn left_behind(cell: Cell, restart_state: RestartState) -> Row {
    let house = house(probe::ALL, impatient);
    let options = ActorOptions { restart_state, ..ActorOptions::permanent() };
    let launch = Launch { version: Some("1.0.0".parse().expect("a version")), options };
    let addr: Addr = SUBJECT.parse().expect("an address");
    let actor = house.block_on(house.system.start_with(&addr, launch, Start::default())).expect("it starts");
    let mut stage = Stage::on(cell, house, actor);
    // Which leaves a snapshot.
    stage.moved();
    stage.flow();
    seen(&stage.house, &stage.actor);
    stage.before = snapshot(&stage.house, &stage.actor);
    let hold = Hold::new(&stage.house);
    stage.trap("save", &format!("hang {}", hold.path()));
    let max_pause = cell.size.moment();
    let system = stage.house.system.clone();
    let running = stage
        .house
        .spawn(async move { system.upgrade(SUBJECT, "3.0.0", UpgradeOptions { max_pause, ..patient() }).await });
    until("it saves", || hold.reached());
    let hung = Instant::now();
    (0..3).for_each(|_| stage.tell());
    // Answered by another instance, while that one still hangs.
    seen(&stage.house, &stage.actor);
    let report: Report = stage.house.block_on(running).expect("no upgrade panics").expect("it began");
    let mut came = stage.reported(&report);
    came.what.push_str(&format!(", {}", quarantine(&stage.house, "2.0.0")));
    drop(hold);
    stage.end_of(
        came,
        |stage, after| format!("state of {}, its queue kept", origin(stage, after)),
        |account| account.since(hung),
    )
}

/// Where a state begins that knows nothing of the latest.
fn origin(stage: &Stage, after: &Snapshot) -> &'static str {
    let (was, is) = (&stage.before.kept, &after.kept);
    let at_snapshot: Vec<_> = was.log.iter().copied().take_while(|entry| entry.version == 1).collect();
    if begins_anew(was, is) {
        "its start arguments"
    } else if was.ballast == is.ballast && is.log.starts_with(&at_snapshot) && !is.log.starts_with(&was.log) {
        "its last snapshot"
    } else {
        "something else"
    }
}

/// A disk that is full before the upgrade, and one that fills under its pause.
fn disks() -> Vec<Case> {
    let begin = "refused at begin, nobody paused; 1.0.0 serves, same state; no upgrade began";
    let commit = "committed, its record incomplete, then recorded with room; 2.0.0 serves, state carried over; \
                  not in the journal";
    vec![
        Case::new("F26", "Begin: the disk is full", (begin.to_owned(), "UPG-JOURNAL"), |cell| {
            let small = SmallDisk::new()?;
            let stage = small.stage(cell);
            small.fill(&stage.house);
            let came = stage.moved();
            small.disk.clear();
            Ok(stage.end(came))
        })
        .in_part(),
        Case::new("F33", "Commit: the disk is full when it is recorded", (commit.to_owned(), "STORE-FULL"), |cell| {
            let small = SmallDisk::new()?;
            let stage = small.stage(cell);
            let held = stage.held("migrate", "2.0.0", rehearsed());
            small.fill(&stage.house);
            let report = held.go_on(&stage.house);
            let mut came = stage.reported(&report);
            if let Record::Incomplete(failure) = &report.journal {
                came.what.push_str(", its record incomplete");
                came.code.clone_from(&failure.code);
            }
            small.disk.clear();
            recorded_again(&stage, &mut came);
            Ok(stage.end(came))
        })
        .in_part(),
    ]
}

fn recorded_again(stage: &Stage, came: &mut Came) {
    let other = probe::start(&stage.house, "probe/other", "1.0.0");
    let report = stage.house.block_on(stage.house.system.upgrade(other.addr(), "2.0.0", rehearsed()));
    came.what.push_str(if report.is_ok_and(|report| report.ok()) {
        ", then recorded with room"
    } else {
        ", and no more"
    });
}

struct SmallDisk {
    desk: TempDir,
    disk: Disk,
}

impl SmallDisk {
    fn new() -> Result<Self, Absent> {
        let desk = TempDir::with_prefix("teneral-faults-").expect("a temporary directory");
        let disk = Disk::new(desk.path().join("disk"))?;
        Ok(Self { desk, disk })
    }

    fn stage(&self, cell: Cell) -> Stage {
        Stage::open(cell, &["probe-v1", "probe-v2"], "1.0.0", |options| {
            options.dir = self.desk.path().join("disk/store")
        })
    }

    /// The database has room within itself for some more, and then none.
    fn fill(&self, house: &House) {
        self.disk.fill();
        let version = Some("1.0.0".parse().expect("a version"));
        let launch = Launch { version, options: ActorOptions::permanent() };
        let mut names = (0..).map(|number| format!("probe/filler-{number}"));
        for bytes in [100_000, 1_000, 0] {
            let start = Start { trap: Trap { step: String::new(), how: "x".repeat(bytes) } };
            let is_full = |addr| house.block_on(house.system.define(addr, launch.clone(), start.clone())).is_err();
            assert!(names.by_ref().take(1_000).any(is_full), "it is full");
        }
    }
}
