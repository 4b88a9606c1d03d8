//! The trial: whatever new code does to its process, it does to the trial's, and nobody is paused for it.
//!
//! Each of these actors has handled a message before, is asked again afterwards, and answers from the state that it
//! had: the host lives, the old version serves.

use crate::harness::c::{Source, compiler};
use crate::harness::child::{self, Child, trials_of};
use crate::harness::echo::{Count as CountEchoes, Counted as Echoes, Echo, Nothing};
use crate::harness::house::{GENEROUS, House, LIVE, chain, only, rehearsed, until};
use crate::harness::probe::{self, Busy, Standing};
use crate::harness::{Absent, Test, over_the_socket, test};
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use teneral::runtime::{EventStream, Generation, Seen, What};
use teneral::store::{Entry, StepResult};
use teneral::upgrade::{
    ActorReport, Back, Lossy, Outcome, Phase, Step, TrialOutcome, TrialProgram, TrialRemains, Trials, Unstable,
};
use teneral::{ActorRef, Probation, Report, UpgradeOptions, Watch, WayBack};
use villain_api::{Act, At, Conspire, Count, Grow, How, Misdeed, Start};

pub(super) const CHILDREN: &[Child] = &[("trial-environment", a_host_with_an_environment)];

pub(super) fn tests() -> Vec<Test> {
    let claims = || {
        vec![
            test(f09_a_constructor_that_ends_or_hangs_its_process_is_refused_at_trial_and_the_host_never_loads_it),
            test(f12_a_migration_that_panics_or_fails_in_the_trial_is_refused_and_nobody_is_paused),
            test(f13_a_migration_that_hangs_is_refused_at_the_deadline_and_its_process_is_gone),
            test(f14_a_migration_that_allocates_without_end_is_refused_and_the_limit_is_named),
            test(f15_a_segfault_an_overflow_an_exit_or_an_abort_is_refused_and_named),
            test(f16_a_migration_that_differs_from_run_to_run_is_refused_or_warned_of),
            test(f17_an_upgrade_that_loses_something_on_the_way_back_needs_leave_and_says_so),
            test(f18_a_pause_that_would_be_too_long_is_refused_before_it_begins),
        ]
    };
    let mut tests = claims();
    tests.extend(over_the_socket(claims()));
    tests.extend([
        test(r17_the_trial_has_limits_no_environment_no_file_of_the_hosts_and_a_group_of_its_own),
        test(r17_a_trial_starts_no_other_process_which_would_outlive_it),
        test(r7_a_trial_process_inherits_no_environment_and_so_no_path_to_libraries),
        test(a_copy_that_cannot_be_had_in_time_defers_the_actor),
        test(a_trial_leaves_its_state_and_its_output_to_the_author_who_asks_for_them),
        test(a_fleet_is_rehearsed_in_one_process_and_a_crash_costs_one_more),
        test(after_eight_processes_that_died_the_others_are_refused_untried_and_told_so),
        test(who_is_refused_untried_is_not_copied),
        test(a_sample_that_fails_stops_everybody_and_one_that_passes_speaks_for_all),
        test(a_sampled_actor_that_is_busy_hands_its_place_to_another_and_each_way_has_a_sample),
        test(a_sample_of_which_nobody_could_be_copied_speaks_for_nobody),
        test(a_cancel_is_heard_in_the_middle_of_a_rehearsal),
        test(a_host_that_closes_waits_for_no_rehearsal),
        test(a_trial_process_that_leaves_its_group_is_ended_all_the_same),
        test(who_runs_a_quarantined_version_goes_back_from_it_through_a_trial),
        test(a_plan_that_is_rehearsed_says_what_the_pause_and_the_way_back_will_be),
        test(a_way_down_that_is_known_to_fail_is_not_taken_by_itself_whatever_loss_was_accepted),
        test(without_a_program_for_the_trial_nothing_is_upgraded_and_the_hint_says_what_is_missing),
    ]);
    tests
}

fn plan(at: At, how: How) -> Vec<Misdeed> {
    vec![Misdeed { at, how }]
}

/// A villain at 1.0.0 with a plan, and what it counted.
struct Stage {
    house: House,
    villain: ActorRef,
    events: RefCell<EventStream>,
}

impl Stage {
    fn with(misdeeds: Vec<Misdeed>) -> Self {
        let house = House::with(&["villain-v1", "villain-v2"]);
        let villain = house.start("villain/v", "1.0.0", Start::default());
        house.block_on(villain.tell(Conspire { misdeeds })).expect("accepted");
        let events = RefCell::new(house.system.runtime().events());
        let stage = Self { house, villain, events };
        assert_eq!(stage.count(), 2);
        stage
    }

    #[track_caller]
    fn count(&self) -> u64 {
        self.house.block_on(self.villain.ask(Count {}, GENEROUS)).expect("it serves").handled
    }

    #[track_caller]
    fn upgrade(&self, options: UpgradeOptions) -> Report {
        let done = self.house.try_upgrade("villain/v", "2.0.0", options);
        done.unwrap_or_else(|error| panic!("it begins: {}", chain(&error)))
    }

    /// Refused at its trial for that reason: nobody was paused for it, the journal says so, the old version serves.
    #[track_caller]
    fn refused(&self, options: UpgradeOptions, code: &str) -> String {
        self.paused();
        let before = self.house.block_on(self.villain.state(GENEROUS)).expect("it serves").bytes;
        let report = self.upgrade(options);
        let cause = refused_at_trial(&report, code);
        assert!(!self.paused(), "nobody was paused");
        let after = self.house.block_on(self.villain.state(GENEROUS)).expect("it serves").bytes;
        assert_eq!(before, after, "the state is what it was");
        assert_eq!((self.villain.info().version.major, self.villain.info().generation), (1, Generation(0)));
        assert_eq!(self.count(), 3, "it goes on counting");
        let failed = self.house.journal(&report).into_iter().find_map(|entry| match entry {
            Entry::Step(step) => match step.result {
                StepResult::Failed { code, .. } => Some((step.step, code)),
                _ => None,
            },
            _ => None,
        });
        assert_eq!(failed, Some(("trial".to_owned(), code.to_owned())));
        cause
    }

    /// Whether anybody was paused since this was asked.
    fn paused(&self) -> bool {
        let mut events = self.events.borrow_mut();
        let told = std::iter::from_fn(|| events.next_blocking(Duration::ZERO).ok());
        // To the end, whatever is found.
        told.filter(|seen| matches!(seen, Seen::Event(event) if matches!(event.what, What::Paused { .. }))).count() > 0
    }
}

#[track_caller]
fn refused_at_trial(report: &Report, code: &str) -> String {
    let entry: &ActorReport = only(report);
    let Outcome::Refused(failure) = &entry.outcome else { panic!("{report}") };
    assert_eq!((failure.code.as_str(), entry.step, entry.pause_us), (code, Step::Trial, 0), "{report}");
    assert!(!report.ok());
    failure.cause.clone()
}

fn quick() -> UpgradeOptions {
    UpgradeOptions { trial_timeout: Duration::from_millis(500), ..rehearsed() }
}

// ---- what would end the host

fn f09_a_constructor_that_ends_or_hangs_its_process_is_refused_at_trial_and_the_host_never_loads_it()
-> Result<(), Absent> {
    compiler()?;
    let ends = [
        ("abort();", "UPG-TRIAL-CRASH", "was killed by SIGABRT (an abort) while loading the library"),
        ("exit(0);", "UPG-TRIAL-CRASH", "left with exit status 0 while loading the library"),
        ("*(volatile int *)8 = 1;", "UPG-TRIAL-CRASH", "was killed by SIGSEGV"),
        ("for (;;) pause();", "UPG-TRIAL-HANG", "was not done after 500ms while loading the library"),
    ];
    for (end, code, words) in ends {
        let house = House::with(&[]);
        let constructor =
            format!("#include <unistd.h>\n__attribute__((constructor)) static void end(void) {{ {end} }}");
        for source in [Source::c_echo(1), Source::c_echo(1).version("1.1.0").end(&constructor)] {
            house.push(source.build()?.path()).expect("a push runs nothing");
        }
        let echo = house.start("c-echo/a", "1.0.0", Nothing {});
        house.block_on(echo.ask(Echo { text: "one".to_owned() }, GENEROUS)).expect("an echo");
        let report = house.try_upgrade("c-echo/a", "1.1.0", quick()).expect("it begins");
        let cause = refused_at_trial(&report, code);
        assert!(cause.contains(words), "{cause}");
        assert_eq!(house.block_on(echo.ask(CountEchoes {}, GENEROUS)), Ok(Echoes { echoes: 1 }));
    }
    Ok(())
}

fn f12_a_migration_that_panics_or_fails_in_the_trial_is_refused_and_nobody_is_paused() {
    for (at, how, code, words) in [
        (At::Migrate, How::Panic, "UPG-MIGRATE", "as planned"),
        (At::Migrate, How::Fail, "UPG-MIGRATE", "refused, as planned"),
        (At::Restore, How::Fail, "UPG-DECODE", "refused, as planned"),
    ] {
        let cause = Stage::with(plan(at, how)).refused(rehearsed(), code);
        assert!(cause.contains(words), "{cause}");
    }
}

fn f13_a_migration_that_hangs_is_refused_at_the_deadline_and_its_process_is_gone() {
    let stage = Stage::with(plan(At::Migrate, How::Hang));
    let began = Instant::now();
    let cause = stage.refused(quick(), "UPG-TRIAL-HANG");
    assert!(cause.contains("was not done after 500ms while migrating the state"), "{cause}");
    assert!(began.elapsed() < GENEROUS);
    until("its process is gone", || trials_of(std::process::id()).is_empty());
    assert_eq!(stage.house.system.runtime().quarantined(stage.villain.provider().digest()), None);
}

fn f14_a_migration_that_allocates_without_end_is_refused_and_the_limit_is_named() {
    let stage = Stage::with(plan(At::Migrate, How::Devour));
    // 512 MiB and eight times the largest state.
    let cause = stage.refused(UpgradeOptions { snapshot_bytes_max: 1 << 20, ..rehearsed() }, "UPG-TRIAL-MEMORY");
    assert!(cause.contains("wanted more than the 520 MiB of memory that it may have while migrating"), "{cause}");
}

fn f15_a_segfault_an_overflow_an_exit_or_an_abort_is_refused_and_named() -> Result<(), Absent> {
    let crash = |how| Stage::with(plan(At::Migrate, how)).refused(rehearsed(), "UPG-TRIAL-CRASH");
    let overflow = crash(How::Recurse);
    assert!(overflow.contains("overflowed its stack while migrating the state"), "{overflow}");
    let exit = crash(How::Exit);
    assert!(exit.contains("left with exit status 0 while migrating the state"), "{exit}");
    let abort = crash(How::Abort);
    assert!(abort.contains("was killed by SIGABRT (an abort) while migrating the state"), "{abort}");

    compiler()?;
    let house = House::with(&[]);
    let restored = "return give(&(actor){.echoes = get64(state.ptr)}, self, err);";
    let segfault = Source::c_echo(1).version("1.1.0").edit(restored, "return *(volatile int *)8;");
    for source in [Source::c_echo(1), segfault] {
        house.push(source.build()?.path()).expect("a push runs nothing");
    }
    let echo = house.start("c-echo/a", "1.0.0", Nothing {});
    let report = house.try_upgrade("c-echo/a", "1.1.0", rehearsed()).expect("it begins");
    let cause = refused_at_trial(&report, "UPG-TRIAL-CRASH");
    assert!(cause.contains("was killed by SIGSEGV (a segmentation fault) while migrating the state"), "{cause}");
    house.block_on(echo.ask(Echo { text: "still".to_owned() }, GENEROUS)).expect("it serves");
    Ok(())
}

// ---- what a rehearsal shows

fn f16_a_migration_that_differs_from_run_to_run_is_refused_or_warned_of() {
    let stage = Stage::with(plan(At::Migrate, How::Garble));
    let cause = stage.refused(rehearsed(), "UPG-TRIAL-UNSTABLE");
    assert!(cause.contains("villain 2.0.0 makes another state of the same bytes each time"), "{cause}");
    let report = stage.upgrade(UpgradeOptions { unstable: Unstable::Warn, ..rehearsed() });
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    assert!(report.warnings.iter().any(|warning| warning.contains("another state of the same bytes")), "{report}");
    assert!(only(&report).trial.as_ref().is_some_and(|told| !told.same_twice), "{report}");
}

fn f17_an_upgrade_that_loses_something_on_the_way_back_needs_leave_and_says_so() {
    let stage = Stage::with(plan(At::Downgrade, How::Garble));
    stage.house.block_on(stage.villain.tell(Grow { bytes: 1000 })).expect("accepted");
    assert_eq!(stage.count(), 4);
    let report = stage.upgrade(rehearsed());
    let cause = refused_at_trial(&report, "UPG-TRIAL-LOSSY");
    assert!(cause.contains("from villain 2.0.0 back to villain 1.0.0 the state is not what it was"), "{cause}");
    assert_eq!((stage.villain.info().version.major, stage.count()), (1, 5));
    let report = stage.upgrade(UpgradeOptions { lossy: Lossy::Accept, ..rehearsed() });
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    assert_eq!(only(&report).trial.as_ref().map(|told| told.back), Some(Back::Lossy));
    assert!(report.warnings.iter().any(|warning| warning.contains("accepted")), "{report}");
    // A way back that fails gives nothing back either, and is said to fail.
    for (how, said) in [(How::Fail, "failed: "), (How::Panic, "panicked: ")] {
        let cause = Stage::with(plan(At::Downgrade, how)).refused(rehearsed(), "UPG-DOWNGRADE");
        assert!(cause.contains(&format!("the step from villain 2.0.0 back to villain 1.0.0 {said}")), "{cause}");
    }
}

fn f18_a_pause_that_would_be_too_long_is_refused_before_it_begins() {
    let stage = Stage::with(Vec::new());
    stage.house.block_on(stage.villain.tell(Grow { bytes: 8 << 20 })).expect("accepted");
    assert_eq!(stage.count(), 4);
    let report = stage.upgrade(UpgradeOptions { max_pause: Duration::from_micros(1), ..rehearsed() });
    let cause = refused_at_trial(&report, "UPG-TRIAL-PAUSE");
    assert!(cause.contains("it would be paused for") && cause.contains("1 us are allowed"), "{cause}");
    assert_eq!((stage.villain.info().version.major, stage.count()), (1, 5));
    let report = stage.upgrade(rehearsed());
    let told = only(&report).trial.clone().unwrap_or_else(|| panic!("{report}"));
    assert!(told.state_bytes > 8 << 20 && told.pause_us == told.copy_us + told.migrate_us, "{told:?}");
}

fn a_way_down_that_is_known_to_fail_is_not_taken_by_itself_whatever_loss_was_accepted() {
    for how in [How::Panic, How::Fail] {
        let stage = Stage::with(plan(At::Downgrade, how));
        let watch = Watch::new(Duration::from_secs(86_400));
        let options = UpgradeOptions { probation: Probation::Watch(watch), lossy: Lossy::Accept, ..rehearsed() };
        let planned = stage.house.block_on(stage.house.system.plan("villain/v", "2.0.0", options)).expect("it can be");
        let said = stage.house.block_on(stage.house.system.rehearse(planned)).expect("it is tried").to_string();
        assert!(said.contains("; if it fails, it stays until somebody decides: "), "{said}");
        assert!(said.contains("for 1.0.0, which fails, as rehearsed\n"), "{said}");
        let report = stage.upgrade(options);
        assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
        for _ in 0..30 {
            stage.house.block_on(stage.villain.tell(Act { how: How::Fail })).expect("accepted");
        }
        let on = || stage.house.system.probation_of("villain/v").expect("an address").expect("it is on probation");
        until("it is judged", || on().phase != Phase::Watching);
        assert!(matches!(on().phase, Phase::Sick { .. }), "{:?}", on());
        assert_eq!((on().ways, on().automatic), (vec![WayBack::Downgrade, WayBack::Restore], None));
        assert_eq!(stage.villain.info().version.major, 2);
        stage.count();
    }
}

// ---- the process

/// Writes what the kernel says of the process that loads it, once for each load.
const WITNESS: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void copy(FILE *to, const char *from) {
  char buffer[65536];
  FILE *file = fopen(from, "r");
  size_t len = fread(buffer, 1, sizeof buffer, file);
  fprintf(to, "== %s\n", from);
  fwrite(buffer, 1, len, to);
  fclose(file);
}
__attribute__((constructor)) static void witness(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/%d", SEEN, (int)getpid());
  FILE *to = fopen(path, "w");
  if (!to) return;
  copy(to, "/proc/self/limits");
  copy(to, "/proc/self/status");
  copy(to, "/proc/self/environ");
  fprintf(to, "\n== group %d\n", getpgrp() == getpid());
  char cwd[512];
  fprintf(to, "== cwd %s\n", getcwd(cwd, sizeof cwd));
  for (int fd = 3; fd < 1000; fd++) {
    char target[512] = {0}, name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (readlink(name, target, sizeof target - 1) > 0) fprintf(to, "== fd %s\n", target);
  }
  // Not in the host, which may: only a trial has no environment.
  if (!getenv("PATH")) {
    pid_t forked = fork();
    if (forked == 0) {
      setsid();
      for (;;) pause();
    }
    fprintf(to, "== fork %d %d\n", (int)forked, errno);
    char *argv[] = {"true", NULL};
    pid_t spawned = 0;
    fprintf(to, "== spawn %d\n", posix_spawn(&spawned, "/bin/true", NULL, NULL, argv, NULL));
    execv("/bin/true", argv);
    fprintf(to, "== exec %d\n", errno);
  }
  fclose(to);
}"#;

fn witness(dir: &Path) -> Source {
    Source::c_echo(1).version("1.1.0").flag(format!("-DSEEN=\"{}\"", dir.display())).end(WITNESS)
}

/// A house with c-echo 1.0.0 and the witness, and where that leaves what it sees.
fn witnessing() -> Result<(House, PathBuf), Absent> {
    let house = House::with(&[]);
    let seen = house.dir().join("seen");
    fs::create_dir(&seen).expect("it is ours");
    for source in [Source::c_echo(1), witness(&seen)] {
        house.push(source.build()?.path()).expect("a push runs nothing");
    }
    Ok((house, seen))
}

/// What the loads of the witness in other processes than this one left.
fn witnessed(dir: &Path) -> Vec<String> {
    let own = std::process::id().to_string();
    let files = fs::read_dir(dir).expect("it is ours").filter_map(Result::ok);
    let others = files.filter(|file| file.file_name().to_str() != Some(own.as_str()));
    others.map(|file| fs::read_to_string(file.path()).expect("it is text")).collect()
}

fn r17_the_trial_has_limits_no_environment_no_file_of_the_hosts_and_a_group_of_its_own() -> Result<(), Absent> {
    compiler()?;
    let (house, seen) = witnessing()?;
    // A file of the host's that somebody forgot to keep to it.
    let leaked = fs::File::create(house.dir().join("leaked")).expect("it is ours");
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).expect("a flag");
    house.start("c-echo/a", "1.0.0", Nothing {});
    let report = house.try_upgrade("c-echo/a", "1.1.0", rehearsed()).expect("it begins");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    let seen = witnessed(&seen);
    let [trial] = seen.as_slice() else { panic!("one process besides this one: {seen:#?}") };
    let limit = |name: &str| {
        let line = trial.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {trial}"));
        line[name.len()..].split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    for bounded in ["Max address space", "Max cpu time", "Max file size"] {
        assert!(limit(bounded).parse::<u64>().is_ok(), "{bounded}: {}", limit(bounded));
    }
    assert_eq!(limit("Max open files"), "128");
    assert_eq!(limit("NoNewPrivs:"), "1");
    let after = |name: &str| trial.split(&format!("== {name}\n")).nth(1).expect("it is there");
    assert!(after("/proc/self/environ").starts_with("\n== group 1\n== cwd /\n"), "{trial}");
    assert!(!trial.contains("leaked"), "{trial}");
    let open: Vec<&str> = trial.lines().filter_map(|line| line.strip_prefix("== fd ")).collect();
    let own = |target: &&&str| {
        target.starts_with("socket:") || target.starts_with("/memfd:teneral") || target.starts_with(&*house_dir(&house))
    };
    assert!(open.iter().all(|target| own(&target)), "{open:?}");
    Ok(())
}

fn r17_a_trial_starts_no_other_process_which_would_outlive_it() -> Result<(), Absent> {
    compiler()?;
    let (house, seen) = witnessing()?;
    house.start("c-echo/a", "1.0.0", Nothing {});
    let report = house.try_upgrade("c-echo/a", "1.1.0", rehearsed()).expect("it begins");
    let seen = witnessed(&seen);
    let [trial] = seen.as_slice() else { panic!("one process besides this one: {seen:#?}") };
    let eperm = rustix::io::Errno::PERM.raw_os_error();
    for tried in [format!("== fork -1 {eperm}\n"), format!("== spawn {eperm}\n"), format!("== exec {eperm}\n")] {
        assert!(trial.contains(&tried), "{tried}: {trial}");
    }
    assert_eq!(only(&report).outcome, Outcome::Committed, "it has threads: {report}");
    Ok(())
}

fn r7_a_trial_process_inherits_no_environment_and_so_no_path_to_libraries() -> Result<(), Absent> {
    compiler()?;
    let ran = child::command("trial-environment").env("LD_LIBRARY_PATH", "/nowhere").output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

fn a_host_with_an_environment() {
    assert_eq!(std::env::var("LD_LIBRARY_PATH").as_deref(), Ok("/nowhere"));
    let (house, seen) = witnessing().expect("the parent has found a compiler");
    house.start("c-echo/a", "1.0.0", Nothing {});
    assert!(house.try_upgrade("c-echo/a", "1.1.0", rehearsed()).expect("it begins").ok());
    let seen = witnessed(&seen);
    let [trial] = seen.as_slice() else { panic!("one process besides this one: {seen:#?}") };
    assert!(trial.contains("== /proc/self/environ\n\n==") && !trial.contains("/nowhere"), "{trial}");
}

fn house_dir(house: &House) -> String {
    house.dir().join("seen").display().to_string()
}

fn a_copy_that_cannot_be_had_in_time_defers_the_actor() {
    let house = House::patient(probe::ALL);
    let actor = probe::start(&house, "probe/a", "1.0.0");
    let busy = Busy::make(&house, &actor);
    let options = UpgradeOptions { quiesce_timeout: Duration::from_millis(50), ..rehearsed() };
    let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it begins");
    let Outcome::Deferred(failure) = &only(&report).outcome else { panic!("{report}") };
    assert_eq!((failure.code.as_str(), only(&report).step), ("UPG-BUSY", Step::Trial), "{report}");
    drop(busy);
    let report = house.try_upgrade("probe/a", "2.0.0", rehearsed()).expect("it begins");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
}

fn a_trial_leaves_its_state_and_its_output_to_the_author_who_asks_for_them() {
    let stage = Stage::with(plan(At::Migrate, How::Recurse));
    let state = stage.house.block_on(stage.villain.state(GENEROUS)).expect("it serves").bytes;
    stage.upgrade(rehearsed());
    let trials = stage.house.dir().join("store/trials");
    assert!(!trials.exists(), "nobody asked");
    let report = stage.upgrade(UpgradeOptions { trial_remains: TrialRemains::Keep, ..rehearsed() });
    refused_at_trial(&report, "UPG-TRIAL-CRASH");
    let kept = trials.join("villain-2.0.0-1");
    assert_eq!(fs::read(kept.join("state.msgpack")).expect("it is kept"), state);
    assert!(fs::read_to_string(kept.join("output.txt")).expect("it is kept").contains("overflow"));
    let what = fs::read_to_string(kept.join("trial.json")).expect("it is kept");
    let what: serde_json::Value = serde_json::from_str(&what).expect("it is JSON");
    assert_eq!((&what["actor"], &what["code"]), (&"villain/v".into(), &"UPG-TRIAL-CRASH".into()), "{what}");
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(trials), mode(kept.clone()), mode(kept.join("state.msgpack"))), (0o700, 0o700, 0o600));
}

// ---- many

/// So many villains at 1.0.0, of which those of these numbers crash on their way up.
fn villains(count: usize, bad: &[usize]) -> (House, Vec<ActorRef>) {
    let house = House::with(&["villain-v1", "villain-v2"]);
    let start = |number: usize| {
        let misdeeds = if bad.contains(&number) { plan(At::Migrate, How::Abort) } else { Vec::new() };
        house.start(&format!("villain/{number:03}"), "1.0.0", Start { misdeeds })
    };
    let villains = (0..count).map(start).collect();
    (house, villains)
}

fn outcomes(report: &Report) -> Vec<(String, String)> {
    let code = |entry: &ActorReport| {
        entry.outcome.failure().map_or_else(|| entry.outcome.name().to_owned(), |failure| failure.code.clone())
    };
    report.actors.iter().map(|entry| (entry.actor.key().to_owned(), code(entry))).collect()
}

fn a_fleet_is_rehearsed_in_one_process_and_a_crash_costs_one_more() -> Result<(), Absent> {
    compiler()?;
    let (house, seen) = witnessing()?;
    (0..20).for_each(|number| drop(house.start(&format!("c-echo/{number}"), "1.0.0", Nothing {})));
    let report = house.try_upgrade("c-echo", "1.1.0", rehearsed()).expect("it begins");
    assert!(report.ok(), "{report}");
    assert_eq!(witnessed(&seen).len(), 1, "one process for all of them");

    let (house, villains) = villains(6, &[2, 4]);
    let report = house.try_upgrade("villain", "2.0.0", rehearsed()).expect("it begins");
    let expected = ["committed", "committed", "UPG-TRIAL-CRASH", "committed", "UPG-TRIAL-CRASH", "committed"];
    let found = outcomes(&report);
    assert_eq!(found.iter().map(|(_, outcome)| outcome.as_str()).collect::<Vec<_>>(), expected, "{report}");
    for villain in villains {
        house.block_on(villain.ask(Count {}, GENEROUS)).expect("everybody serves");
    }
    Ok(())
}

fn after_eight_processes_that_died_the_others_are_refused_untried_and_told_so() {
    let (house, _) = villains(10, &(0..10).collect::<Vec<_>>());
    let report = house.try_upgrade("villain", "2.0.0", rehearsed()).expect("it begins");
    let causes: Vec<&str> = report.actors.iter().filter_map(|entry| Some(&*entry.outcome.failure()?.cause)).collect();
    let (died, untried) = (["UPG-TRIAL-CRASH"; 8], ["UPG-TRIAL-UNTRIED"; 2]);
    let found = outcomes(&report);
    let codes: Vec<&str> = found.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(codes, [&died[..], &untried].concat(), "{report}");
    assert!(causes[..8].iter().all(|cause| cause.contains("was killed by SIGABRT")), "{causes:#?}");
    assert!(causes[8..].iter().all(|cause| cause.starts_with("not tried: 8 trial processes died")), "{causes:#?}");
}

/// A copy is a `save` between two messages: of whom nothing is rehearsed, none is taken.
fn who_is_refused_untried_is_not_copied() -> Result<(), Absent> {
    compiler()?;
    const SAVES: &str = "static tn_status save(const void *self, tn_writer *out, tn_writer *err) {\n";
    let refused = |second: Source| -> Result<(Vec<String>, usize), Absent> {
        let house = House::with(&[]);
        let saves = house.dir().join("saves");
        let line = "  FILE *to = fopen(SAVED, \"a\");\n  fputs(\"saved\\n\", to);\n  fclose(to);\n";
        let counts = format!("#include <stdio.h>\n{SAVES}{line}");
        let first = Source::c_echo(1).edit(SAVES, &counts).flag(format!("-DSAVED=\"{}\"", saves.display()));
        for source in [first, second.version("1.1.0")] {
            house.push(source.build()?.path()).expect("a push runs nothing");
        }
        (0..12).for_each(|number| drop(house.start(&format!("c-echo/{number:02}"), "1.0.0", Nothing {})));
        let report = house.try_upgrade("c-echo", "1.1.0", rehearsed()).expect("it begins");
        let codes = outcomes(&report).into_iter().map(|(_, code)| code).collect();
        Ok((codes, fs::read_to_string(saves).expect("one at least").lines().count()))
    };
    // One that no process survives is known after the first; of one whose restore nobody survives, eight must die.
    let load = Source::c_echo(1).end("__attribute__((constructor)) static void end(void) { abort(); }");
    let (codes, saves) = refused(load)?;
    assert_eq!((codes, saves), (vec!["UPG-TRIAL-CRASH".to_owned(); 12], 1));
    let restores =
        "static tn_status restores(uint32_t schema, tn_bytes state, void **out, tn_writer *err) { abort(); }";
    let class = "static const tn_class CLASS =";
    let restore = Source::c_echo(1).edit(class, &format!("{restores}\n{class}"));
    let restore = restore.edit(".restore = restore,", ".restore = restores,");
    let (codes, saves) = refused(restore)?;
    let (died, untried) = (vec!["UPG-TRIAL-CRASH".to_owned(); 8], vec!["UPG-TRIAL-UNTRIED".to_owned(); 4]);
    assert_eq!((codes, saves), ([died, untried].concat(), 8));
    Ok(())
}

fn a_sample_that_fails_stops_everybody_and_one_that_passes_speaks_for_all() {
    // A sample of two of six: numbers 0 and 3.
    let sample = UpgradeOptions { trials: Trials::Sample { actors: 2 }, ..rehearsed() };
    let (house, _) = villains(6, &[3]);
    let report = house.try_upgrade("villain", "2.0.0", sample).expect("it begins");
    for (key, outcome) in outcomes(&report) {
        assert_eq!(outcome, if key == "003" { "UPG-TRIAL-CRASH" } else { "UPG-TRIAL-SAMPLE" }, "{key}: {report}");
    }
    let (house, _) = villains(6, &[]);
    let report = house.try_upgrade("villain", "2.0.0", sample).expect("it begins");
    assert!(report.ok(), "{report}");
    assert_eq!(report.actors.iter().filter(|entry| entry.trial.is_some()).count(), 2);
}

fn sample(actors: usize) -> UpgradeOptions {
    let quiesce_timeout = Duration::from_millis(50);
    UpgradeOptions { trials: Trials::Sample { actors }, quiesce_timeout, ..rehearsed() }
}

fn a_sampled_actor_that_is_busy_hands_its_place_to_another_and_each_way_has_a_sample() {
    let house = House::patient(probe::ALL);
    let first = probe::start(&house, "probe/a", "1.0.0");
    for (addr, version) in [("probe/b", "1.0.0"), ("probe/c", "1.0.0"), ("probe/d", "2.0.0"), ("probe/e", "2.0.0")] {
        probe::start(&house, addr, version);
    }
    let busy = Busy::make(&house, &first);
    let report = house.try_upgrade("probe", "3.0.0", sample(1)).expect("it begins");
    let found = outcomes(&report);
    let expected = ["UPG-BUSY", "committed", "committed", "committed", "committed"];
    assert_eq!(found.iter().map(|(_, outcome)| outcome.as_str()).collect::<Vec<_>>(), expected, "{report}");
    let seen = report.actors.iter().filter(|entry| entry.trial.is_some()).map(|entry| entry.actor.key());
    assert_eq!(seen.collect::<Vec<_>>(), ["b", "d"], "one from 1.0.0, one from 2.0.0");
    drop(busy);
}

fn a_sample_of_which_nobody_could_be_copied_speaks_for_nobody() {
    let house = House::patient(probe::ALL);
    let actors: Vec<ActorRef> =
        (0..12).map(|number| probe::start(&house, &format!("probe/{number:02}"), "1.0.0")).collect();
    let busy: Vec<Busy> = actors.iter().take(10).map(|actor| Busy::make(&house, actor)).collect();
    let report = house.try_upgrade("probe", "2.0.0", sample(1)).expect("it begins");
    let codes = outcomes(&report);
    assert!(codes.iter().all(|(_, code)| code == "UPG-BUSY" || code == "UPG-TRIAL-SAMPLE"), "{report}");
    assert!(report.actors.iter().all(|entry| matches!(entry.outcome, Outcome::Deferred(_))), "{report}");
    drop(busy);
    let report = house.try_upgrade("probe", "2.0.0", sample(1)).expect("it begins");
    assert!(report.ok(), "{report}");
}

// ---- while it is at work

/// An upgrade that hangs in its rehearsal.
fn rehearsing(house: &House) -> (ActorRef, Standing) {
    let actor = probe::start(house, "probe/a", "1.0.0");
    let standing = Standing::at(house, &actor, "migrate", "2.0.0", rehearsed());
    (actor, standing)
}

fn a_cancel_is_heard_in_the_middle_of_a_rehearsal() {
    let house = House::patient(probe::ALL);
    let (actor, standing) = rehearsing(&house);
    let running = house.system.running();
    let [id] = running.as_slice() else { panic!("one upgrade: {running:?}") };
    assert!(house.system.cancel(id, "an operator"));
    let report = standing.outlasted(&house);
    let cause = refused_at_trial(&report, "UPG-CANCELLED");
    assert!(cause.contains("an operator"), "{cause}");
    probe::seen(&house, &actor);
    assert_eq!(actor.info().version.major, 1);
}

fn a_host_that_closes_waits_for_no_rehearsal() {
    let house = House::patient(probe::ALL);
    let (_actor, standing) = rehearsing(&house);
    house.block_on(house.system.close(GENEROUS)).expect("it closes");
    let cause = refused_at_trial(&standing.outlasted(&house), "UPG-CANCELLED");
    assert!(cause.contains("close"), "{cause}");
}

fn a_trial_process_that_leaves_its_group_is_ended_all_the_same() -> Result<(), Absent> {
    compiler()?;
    let house = House::with(&[]);
    let leave = "#include <unistd.h>\n__attribute__((constructor)) static void leave(void) \
                 { setpgid(0, getpgid(getppid())); for (;;) pause(); }";
    for source in [Source::c_echo(1), Source::c_echo(1).version("1.1.0").end(leave)] {
        house.push(source.build()?.path()).expect("a push runs nothing");
    }
    house.start("c-echo/a", "1.0.0", Nothing {});
    let system = house.system.clone();
    let upgrade = house.spawn(async move { system.upgrade("c-echo/a", "1.1.0", quick()).await });
    until("the upgrade ends", || upgrade.is_finished());
    let report = house.block_on(upgrade).expect("no upgrade panics").expect("it begins");
    refused_at_trial(&report, "UPG-TRIAL-HANG");
    Ok(())
}

fn who_runs_a_quarantined_version_goes_back_from_it_through_a_trial() {
    let house = House::open(probe::ALL, |options| options.runtime.hang_after = Duration::from_millis(200));
    let (good, bad) = (probe::start(&house, "probe/a", "2.0.0"), probe::start(&house, "probe/b", "2.0.0"));
    let hanging = Busy::make(&house, &bad);
    until("its version is in quarantine", || {
        let started = house.block_on(house.system.start("probe/c", "2.0.0", probe_api::Start::default()));
        started.is_err_and(|error| error.code() == "SYS-QUARANTINED")
    });
    let report = house.try_upgrade("probe/a", "1.0.0", rehearsed()).expect("it begins");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    assert!(only(&report).trial.is_some(), "{report}");
    assert_eq!(good.info().version.major, 1);
    drop(hanging);
}

// ---- plans and programs

fn a_plan_that_is_rehearsed_says_what_the_pause_and_the_way_back_will_be() {
    let stage = Stage::with(Vec::new());
    let rehearse = |options| {
        let plan = stage.house.block_on(stage.house.system.plan("villain/v", "2.0.0", options)).expect("a plan");
        assert!(plan.rehearsed().is_empty(), "a plan alone touches nobody");
        stage.house.block_on(stage.house.system.rehearse(plan)).expect("it is rehearsed")
    };
    let plan = rehearse(rehearsed());
    let [trialled] = plan.rehearsed() else { panic!("{plan}") };
    let TrialOutcome::Passed(told) = &trialled.outcome else { panic!("{plan}") };
    assert_eq!((told.back, told.same_twice), (Back::Exact, true));
    let text = plan.to_string();
    assert!(text.contains("villain/v: rehearsed: ") && text.contains("gives back the very state"), "{text}");
    // Once more, and applied as it is.
    let again = teneral::Plan::from_json(&plan.to_json().expect("JSON")).expect("the same plan");
    assert_eq!(again, plan);
    stage.house.block_on(stage.villain.tell(Conspire { misdeeds: plan_of_a_crash() })).expect("accepted");
    let failing = rehearse(rehearsed());
    assert!(!failing.passed() && failing.to_string().contains("would be refused at trial"), "{failing}");
    let report = stage.house.block_on(stage.house.system.apply(again)).expect("it begins");
    refused_at_trial(&report, "UPG-TRIAL-CRASH");
    assert!(rehearse(LIVE).rehearsed().is_empty(), "nobody is rehearsed who is not to be");
}

fn plan_of_a_crash() -> Vec<Misdeed> {
    plan(At::Migrate, How::Abort)
}

fn without_a_program_for_the_trial_nothing_is_upgraded_and_the_hint_says_what_is_missing() {
    for (program, words) in [
        ("/nonexistent/teneral", "/nonexistent/teneral is no program"),
        // A program that is none of ours ends, or says something else.
        ("/bin/true", "left with exit status 0 before its first word"),
    ] {
        let house = House::open(&["villain-v1", "villain-v2"], |options| {
            options.trial_program = TrialProgram::At(PathBuf::from(program));
        });
        let villain = house.start("villain/v", "1.0.0", Start::default());
        let report = house.try_upgrade("villain/v", "2.0.0", rehearsed()).expect("it begins");
        let cause = refused_at_trial(&report, "UPG-TRIAL-START");
        assert!(cause.contains(words), "{cause}");
        let hint = only(&report).outcome.failure().map(|failure| failure.hint.clone()).unwrap_or_default();
        assert!(hint.contains("trial_hook()"), "{hint}");
        assert_eq!(villain.info().version.major, 1);
    }
}
