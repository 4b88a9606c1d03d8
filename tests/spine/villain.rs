//! The villain: code that came through the gate and does what no code may. What it does to itself is its own affair;
//! the host answers with a typed error, and everybody else goes on.
//!
//! Where it loops without end it has a process of its own: nothing ends such a thread but the end of the process.

use crate::harness::child::{self, Child};
use crate::harness::house::{self, Ending, GENEROUS, House, LIVE, only, until, until_within};
use crate::harness::{Test, test};
use probe_api::Read;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use teneral::runtime::{Seen, StateError, Status, What};
use teneral::upgrade::{ActorReport, Downgrades, Outcome};
use teneral::{ActorRef, Addr, AskError, SystemError, UpgradeOptions};
use villain_api::{Act, At, Conspire, Count, How, Misdeed, Start};

pub(super) const CHILDREN: &[Child] = &[
    ("villain-handle", hangs_in_handle),
    ("villain-json", hangs_in_json),
    ("villain-migrate", hangs_in_migrate),
    ("villain-restore", hangs_in_restore),
    ("villain-save", hangs_in_save),
];

pub(super) fn tests() -> Vec<Test> {
    vec![
        test(two_villains_that_loop_in_handle_save_migrate_or_restore_leave_all_others_answering_within_100_ms),
        test(code_that_hangs_in_json_costs_a_bounded_number_of_threads_and_its_version_reads_no_more),
        test(a_panic_or_an_error_in_init_or_started_is_said_to_whoever_starts),
        test(a_panic_or_an_error_in_handle_is_said_to_whoever_asks),
        test(a_panic_or_an_error_on_the_way_up_or_down_leaves_the_old_version_serving),
        test(a_panic_while_an_instance_is_dropped_reaches_nobody),
        test(a_state_that_is_garbled_or_a_leak_harms_nobody_else),
    ]
}

fn plan(at: At, how: How) -> Vec<Misdeed> {
    vec![Misdeed { at, how }]
}

// ---- it loops

/// How long anybody may wait for an answer.
const PROMPT: Duration = Duration::from_millis(100);

/// A thread that stands in line for a processor for longer than this, within one wait, is starved.
const STARVED: Duration = Duration::from_millis(20);

/// Nobody who waits for longer than this waits for a processor only.
const STRANDED: Duration = Duration::from_secs(2);

/// How often an answer goes from thread to thread, at most: it is asked, a thread more is wanted, comes, and answers.
const HOPS: u32 = 4;

/// So long a machine may take to show that many answers; how fast it is is not what is claimed.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a pause lasts in which a villain hangs: longer than a machine takes to come to its code.
const PAUSE_MS: &str = "TENERAL_TEST_PAUSE_MS";

/// How a process ends whose pauses were over before the villains' code was reached.
const TOO_SHORT: i32 = 17;

/// Answers that must be seen beside two villains that hang.
const ANSWERS: usize = 200;

/// "The villain loops without sleep or end, twice, on two threads, in handle, save, migrate and restore; meanwhile all
/// other actors and a tokio task in that process answer within 100 ms."
///
/// The promise is that nobody is stranded behind code that hangs, not that a machine has processors enough: two loops
/// take two of them, and whatever else runs here takes its share too. So each place has a process of its own with two
/// loops in it, and what Linux says of a thread (`/proc/self/task/*/schedstat`) is taken off a wait: how long a thread
/// that the answer had to come through was ready to run and was not let run. A thread that is let run within 20 ms
/// counts as let run at once, and where Linux says nothing, nothing is taken off.
///
/// What Linux says of single threads is not all that a busy machine takes: beside them, two plain threads of that
/// process, which no host has a part in, pass a word to and fro. As long as they had to wait at most, each of the
/// [`HOPS`] of an answer may have waited. A host that has a processor has 100 ms and not more.
fn two_villains_that_loop_in_handle_save_migrate_or_restore_leave_all_others_answering_within_100_ms() {
    for place in ["villain-handle", "villain-save", "villain-migrate", "villain-restore"] {
        let mut pause = LIVE.max_pause;
        let output = loop {
            let output = child::command(place).env(PAUSE_MS, pause.as_millis().to_string()).output();
            let output = output.expect("this binary runs");
            if output.status.code() != Some(TOO_SHORT) {
                break output;
            }
            pause *= 2;
            assert!(pause < PATIENCE, "{place}: nobody comes to the code within {pause:?}");
        };
        assert!(output.status.success(), "{place}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        println!("{place}: {}", String::from_utf8_lossy(&output.stdout).trim());
    }
}

fn hangs_in_handle() {
    two_villains_hang(At::Handle);
}

fn hangs_in_save() {
    two_villains_hang(At::Save);
}

fn hangs_in_migrate() {
    two_villains_hang(At::Migrate);
}

fn hangs_in_restore() {
    two_villains_hang(At::Restore);
}

fn code_that_hangs_in_json_costs_a_bounded_number_of_threads_and_its_version_reads_no_more() {
    child::run("villain-json");
}

fn hangs_in_json() {
    let libraries = &["counter-v1", "villain-v1", "villain-v2"];
    let house = house::over_the_socket(|| House::open(libraries, |options| options.json_threads_max = 2));
    house.start("counter/a", "1.0.0", counter_api::Start { total: 0 });
    let [first, second] = [("villain/a", "1.0.0"), ("villain/b", "2.0.0")].map(|(addr, version)| {
        let villain = house.start(addr, version, Start::default());
        let conspire = Conspire { misdeeds: plan(At::Restore, How::Hang) };
        house.block_on(villain.tell(conspire)).expect("accepted");
        villain
    });
    let state = |addr: &str, timeout| house.block_on(house.system.state_json(addr, timeout)).expect_err("it hangs");
    let hung = |error: SystemError, part: &str| {
        assert_eq!(error.code(), "SYS-JSON-HUNG", "{error}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    };
    let counter = || house.block_on(house.system.ask_json("counter/a", "Get", "{}", GENEROUS));
    let threads = || threads().values().filter(|thread| thread.name == "teneral-json").count();
    hung(state("villain/a", GENEROUS), "the code of 1.0.0 hangs in JSON");
    let before = threads();
    for _ in 0..20 {
        hung(state("villain/a", GENEROUS), "1.0.0 hung in JSON and has not returned");
        let asked = house.block_on(house.system.ask_json("villain/a", "Count", "{}", GENEROUS));
        hung(asked.expect_err("it is the same code"), "1.0.0 hung in JSON and has not returned");
    }
    assert!(threads() <= before, "no call cost another thread");
    let started = house.block_on(house.system.start("villain/c", "1.0.0", Start::default()));
    assert_eq!(started.map(drop).expect_err("nothing new is made of it").code(), "SYS-QUARANTINED");
    assert_eq!(counter().expect("others read and write"), r#"{"total":0}"#);
    // Whoever waits for less than a hang takes its time hears so; it is watched all the same.
    until("it gives its state in time, which is read", || {
        let error = state("villain/b", Duration::from_millis(50));
        let read = error.code() != "SYS-STATE";
        if read {
            hung(error, "did not return from JSON within 50ms");
        }
        read
    });
    until("it is said to hang", || {
        let error = state("villain/b", Duration::from_millis(1));
        error.to_string().contains("2.0.0 hung in JSON and has not returned")
    });
    // As many are lost as may be: no more are given away.
    hung(counter().expect_err("nobody reads"), "threads hang in JSON, as many as may");
    let start = json!({ "actor": "counter/b", "version": "1.0.0", "args": { "total": 0 }, "reason": "" });
    let checked = house.post("/v1/actors/check", &start).expect_err("looking whether arguments are read reads them");
    assert_eq!(&*checked.code, "SYS-JSON-HUNG", "{checked}");
    for villain in [first, second] {
        assert!(house.block_on(villain.ask(Count {}, GENEROUS)).is_ok(), "a turn goes through no JSON");
    }
}

/// A thread of this process, as Linux counts for it.
struct Thread {
    name: String,
    /// How long it ran, so far.
    ran: Duration,
    /// How long it was ready to run and was not let run, so far.
    in_line: Duration,
    /// How often it went to sleep, so far.
    slept: u64,
}

/// The threads of this process by their numbers.
fn threads() -> BTreeMap<u32, Thread> {
    let read = |thread: &Path| {
        let counted = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
        let mut times = counted.split_whitespace().map(|nanos| Duration::from_nanos(nanos.parse().unwrap_or(0)));
        let [ran, in_line] = [(); 2].map(|()| times.next().unwrap_or_default());
        let status = fs::read_to_string(thread.join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
        let slept = field("voluntary_ctxt_switches:")?.parse().ok()?;
        Some(Thread { name: field("Name:")?, ran, in_line, slept })
    };
    let all = fs::read_dir("/proc/self/task").expect("there is a /proc").filter_map(Result::ok);
    all.filter_map(|thread| Some((thread.file_name().to_str()?.parse().ok()?, read(&thread.path())?))).collect()
}

/// What is taken off a wait between these two looks: the time in line of who asked, and of the threads that an answer
/// comes through (one that runs turns or tokio's tasks, and the watchdog where it adds one), if they were starved. One
/// that never sleeps is not in line for an answer: it is a villain.
fn starved(before: &BTreeMap<u32, Thread>, after: &BTreeMap<u32, Thread>, asker: u32, villains: &[u32]) -> Duration {
    let mut others = Vec::new();
    let mut own = Duration::ZERO;
    for (number, thread) in after {
        let in_line = thread.in_line - before.get(number).map_or(Duration::ZERO, |thread| thread.in_line);
        let host =
            ["teneral-turns", "teneral-watchdo", "tokio-rt-worker"].iter().any(|name| thread.name.starts_with(name));
        if *number == asker {
            own = in_line;
        } else if host && in_line > STARVED && !villains.contains(number) {
            others.push(in_line);
        }
    }
    others.sort_unstable();
    own + others.iter().rev().take(2).sum::<Duration>()
}

/// A wait, with what Linux counted before and after it.
struct Wait {
    lasted: Duration,
    asker: u32,
    looks: [BTreeMap<u32, Thread>; 2],
}

/// Asks again and again until it is over; tells how often so far, and keeps the waits that were too long.
fn keep_asking(answers: &AtomicUsize, over: &AtomicBool, mut ask: impl FnMut(usize)) -> Vec<Wait> {
    let this = fs::read_link("/proc/thread-self").expect("there is a /proc");
    let asker = this.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a thread has a number");
    let mut long = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let before = threads();
        let asked = Instant::now();
        ask(answers.load(Ordering::Relaxed));
        let lasted = asked.elapsed();
        if lasted > PROMPT {
            long.push(Wait { lasted, asker, looks: [before, threads()] });
        }
        answers.fetch_add(1, Ordering::Relaxed);
    }
    long
}

/// How long a plain thread waited at most for another one to answer, until it is over: what the machine takes, with the
/// loops that are in it.
fn machine_takes(over: &AtomicBool) -> Duration {
    let (ask, asked) = std::sync::mpsc::sync_channel::<()>(1);
    let (reply, replied) = std::sync::mpsc::sync_channel::<()>(1);
    let answers = std::thread::spawn(move || asked.iter().all(|()| reply.send(()).is_ok()));
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        ask.send(()).expect("it listens");
        replied.recv().expect("it answers");
        longest = longest.max(asked.elapsed());
        // As often as an actor is asked, or it would only take the processors.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    drop(ask);
    answers.join().expect("it ends");
    longest
}

fn two_villains_hang(at: At) {
    let house = House::with(&["probe-v1", "villain-v1", "villain-v2"]);
    let probes: Vec<_> =
        (0..4).map(|n| house.start(&format!("probe/{n}"), "1.0.0", probe_api::Start::default())).collect();
    let villains = ["villain/a", "villain/b"].map(|addr| house.start(addr, "1.0.0", Start::default()));
    let (task, mut asked) = tokio::sync::mpsc::channel::<tokio::sync::oneshot::Sender<()>>(1);
    house.spawn(async move {
        while let Some(reply) = asked.recv().await {
            reply.send(()).expect("the asker waits");
        }
    });
    let ask = |turn: usize| match probes.get(turn % (probes.len() + 1)) {
        Some(probe) => drop(house.block_on(probe.ask(Read {}, GENEROUS)).expect("a probe answers")),
        None => {
            let (reply, replied) = tokio::sync::oneshot::channel();
            house.block_on(task.send(reply)).expect("the task is there");
            house.block_on(replied).expect("the task answers");
        }
    };
    let (answers, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (long, looping, takes) = std::thread::scope(|scope| {
        let _ends = Ending(&over);
        let asker = scope.spawn(|| keep_asking(&answers, &over, ask));
        let machine = scope.spawn(|| machine_takes(&over));
        for villain in &villains {
            house.block_on(villain.tell(Conspire { misdeeds: plan(at, How::Hang) })).expect("accepted");
        }
        both_hang(&house, at, &villains);
        let (before, hanging) = (answers.load(Ordering::Relaxed), threads());
        let enough = || answers.load(Ordering::Relaxed) >= before + ANSWERS;
        until_within(PATIENCE, "answers beside two villains that hang", enough);
        let loops = |number: &u32, now: &Thread| {
            hanging.get(number).is_some_and(|then| then.slept == now.slept && then.ran < now.ran)
        };
        let looping: Vec<u32> = threads().iter().filter(|(number, now)| loops(number, now)).map(|(n, _)| *n).collect();
        over.store(true, Ordering::Relaxed);
        let takes = HOPS * machine.join().expect("plain threads answer");
        (asker.join().expect("the asker was answered"), looping, takes)
    });
    let fair = |wait: &Wait| {
        let [before, after] = &wait.looks;
        wait.lasted.saturating_sub(starved(before, after, wait.asker, &looping))
    };
    let longest = long.iter().map(fair).max().unwrap_or_default();
    // However long the machine kept its processors from us: that is a bound, too, on what may be put down to it.
    let raw = long.iter().map(|wait| wait.lasted).max().unwrap_or_default();
    println!(
        "{} answers, {} of them over {PROMPT:?}, the longest {raw:?}, of which {longest:?} with a processor; the \
         machine takes {takes:?}",
        answers.into_inner(),
        long.len()
    );
    assert!(raw <= STRANDED + takes, "{at:?}: somebody waited {raw:?}, where the machine takes {takes:?}");
    assert!(longest <= PROMPT + takes, "{at:?}: {longest:?} with a processor, where the machine takes {takes:?}");
    // Its threads never end, and so neither would an orderly end wait for them.
    std::process::exit(0);
}

/// Makes both villains hang, and waits until the host has found out.
fn both_hang(house: &House, at: At, villains: &[ActorRef; 2]) {
    if at == At::Handle {
        let mut events = house.system.runtime().events();
        for villain in villains {
            house.block_on(villain.tell(Act { how: How::Leak })).expect("accepted");
        }
        let mut missing = villains.to_vec();
        while !missing.is_empty() {
            match events.next_blocking(PATIENCE).expect("a turn that hangs is told") {
                Seen::Event(event) => {
                    if let What::Hung { addr, .. } = &event.what {
                        // On a busy machine somebody else's turn may have been as slow.
                        missing.retain(|villain| villain.addr() != addr);
                    }
                }
                lagged @ Seen::Lagged(_) => panic!("{lagged:?}"),
            }
        }
        return;
    }
    let max_pause = std::env::var(PAUSE_MS).expect("the parent says how long").parse().map(Duration::from_millis);
    let options = UpgradeOptions { max_pause: max_pause.expect("a number"), quiesce_timeout: PATIENCE, ..LIVE };
    let both: Vec<Addr> = villains.iter().map(|villain| villain.addr().clone()).collect();
    let report = house.block_on(house.system.upgrade(both, "2.0.0", options)).expect("it begins");
    let codes: Vec<&str> = report.actors.iter().filter_map(failure_code).collect();
    if codes.contains(&"UPG-OVERDUE") {
        std::process::exit(TOO_SHORT);
    }
    assert_eq!((&codes[..], report.threads_lost), (&["UPG-HANG"; 2][..], 2), "{report}");
    for villain in villains {
        // It serves on itself: its old instance, or where that one hangs in `save`, a new one.
        let handled = house.block_on(villain.ask(Count {}, PATIENCE)).expect("1.0.0 serves").handled;
        assert_eq!(handled, if at == At::Save { 1 } else { 2 }, "{report}");
    }
}

/// Of what an actor was rolled back.
fn failure_code(actor: &ActorReport) -> Option<&str> {
    match &actor.outcome {
        Outcome::RolledBack(failure) => Some(&failure.code),
        _ => None,
    }
}

// ---- it panics, or returns an error

/// A house with a villain of that version, who has plans; and a bystander.
struct Scene {
    house: House,
    villain: ActorRef,
    bystander: ActorRef,
}

/// What is done wrong where the host must go on: a panic, one whose payload panics again when it is dropped, an error.
const WRONGS: [How; 3] = [How::Panic, How::PanicTwice, How::Fail];

impl Scene {
    fn with(version: &str, misdeeds: Vec<Misdeed>) -> Self {
        let house = House::with(&["villain-v1", "villain-v2"]);
        let bystander = house.start("villain/bystander", version, Start::default());
        let villain = house.start("villain/v", version, Start::default());
        house.block_on(villain.tell(Conspire { misdeeds })).expect("accepted");
        Self { house, villain, bystander }
    }

    fn count(&self, actor: &ActorRef) -> Result<u64, AskError> {
        self.house.block_on(actor.ask(Count {}, GENEROUS)).map(|counted| counted.handled)
    }

    /// The villain goes on from what it had handled before this, and its bystander has noticed nothing.
    #[track_caller]
    fn all_serve(&self, handled: u64) {
        assert_eq!(self.count(&self.villain), Ok(handled + 1), "the villain");
        assert_eq!(self.count(&self.bystander), Ok(1), "the bystander");
    }

    /// The move rolls back with this code, and a cause that says so.
    #[track_caller]
    fn rolls_back(&self, to: &str, code: &str, cause: &str) {
        let options = UpgradeOptions { downgrades: Downgrades::Allow, ..LIVE };
        let report = self.house.try_upgrade("villain/v", to, options).expect("it begins");
        let Outcome::RolledBack(failure) = &only(&report).outcome else { panic!("{report}") };
        assert!(failure.code == code && failure.cause.contains(cause), "{code} {cause}: {report}");
    }
}

/// What its panic or error says of itself, wherever it happens.
fn words(how: How) -> &'static str {
    match how {
        How::Panic => "as planned (villain ",
        How::PanicTwice => "a panic without words (villain ",
        _ => "refused, as planned",
    }
}

fn a_panic_or_an_error_in_init_or_started_is_said_to_whoever_starts() {
    for how in WRONGS {
        let house = House::with(&["villain-v1"]);
        let start = |addr: &str, at| {
            let started = house.block_on(house.system.start(addr, "1.0.0", Start { misdeeds: plan(at, how) }));
            started.map_err(|error: SystemError| (error.code().to_owned(), crate::harness::house::chain(&error)))
        };
        let (code, cause) = start("villain/init", At::Init).map(drop).expect_err("its init fails");
        assert!(code == "SYS-START" && cause.contains(words(how)), "{code} {cause}");
        // Its name is free. What fails once it is live is restarted, and given up in the end.
        let villain = start("villain/init", At::Started).expect("it has an instance");
        until("it is given up", || matches!(villain.info().status, Status::Stopped { .. }));
        assert_eq!(villain.info().restarts, 3);
        let good = house.start("villain/good", "1.0.0", Start::default());
        assert_eq!(house.block_on(good.ask(Count {}, GENEROUS)).expect("the version is no worse for it").handled, 1);
    }
}

fn a_panic_or_an_error_in_handle_is_said_to_whoever_asks() {
    for how in WRONGS {
        let scene = Scene::with("1.0.0", plan(At::Handle, how));
        match scene.count(&scene.villain) {
            Err(AskError::Failed(said)) => assert!(how == How::Fail && said == words(how), "{how:?}: {said}"),
            Err(AskError::Panicked(said)) => {
                assert!(how != How::Fail && said.contains(words(how)), "{how:?}: {said}");
                // The plan went with the instance.
                scene.all_serve(0);
            }
            other => panic!("{how:?}: {other:?}"),
        }
        assert_eq!(scene.count(&scene.bystander), Ok(if how == How::Fail { 1 } else { 2 }));
    }
}

fn a_panic_or_an_error_on_the_way_up_or_down_leaves_the_old_version_serving() {
    for how in WRONGS {
        let panics = how != How::Fail;
        let scene = Scene::with("1.0.0", plan(At::Save, how));
        // A read of the state does not wait behind messages; this does.
        assert_eq!(scene.count(&scene.villain), Ok(2));
        let read = scene.house.block_on(scene.villain.state(GENEROUS)).map(drop);
        assert!(matches!(read, Err(StateError::Save(fault)) if fault.text.contains(words(how))), "{how:?}");
        scene.all_serve(2);

        let scene = Scene::with("1.0.0", plan(At::Save, how));
        scene.rolls_back("2.0.0", "UPG-SNAPSHOT", words(how));
        scene.all_serve(1);

        let scene = Scene::with("1.0.0", plan(At::Migrate, how));
        scene.rolls_back("2.0.0", "UPG-MIGRATE", words(how));
        scene.all_serve(1);

        let scene = Scene::with("1.0.0", plan(At::Restore, how));
        scene.rolls_back("2.0.0", if panics { "UPG-MIGRATE" } else { "UPG-DECODE" }, words(how));
        scene.all_serve(1);

        let scene = Scene::with("2.0.0", plan(At::Downgrade, how));
        scene.rolls_back("1.0.0", "UPG-DOWNGRADE", words(how));
        scene.all_serve(1);
    }
}

fn a_panic_while_an_instance_is_dropped_reaches_nobody() {
    for how in [How::Panic, How::PanicTwice] {
        let scene = Scene::with("1.0.0", plan(At::Drop, how));
        let report = scene.house.upgrade_live("villain/v", "2.0.0");
        assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
        scene.all_serve(1);
        scene.house.block_on(scene.villain.stop("", GENEROUS)).expect("it stops");
        assert_eq!(scene.count(&scene.villain), Err(AskError::Stopped));
        assert_eq!(scene.count(&scene.bystander), Ok(2));
    }
}

// ---- what nobody can see, or only later

fn a_state_that_is_garbled_or_a_leak_harms_nobody_else() {
    let scene = Scene::with("1.0.0", plan(At::Save, How::Garble));
    scene.house.block_on(scene.villain.tell(Act { how: How::Leak })).expect("accepted");
    scene.rolls_back("2.0.0", "UPG-DECODE", "no plan at all");
    scene.all_serve(2);
    // What it saves is right again once it has no such plan.
    scene.house.block_on(scene.villain.tell(Conspire { misdeeds: Vec::new() })).expect("accepted");
    let report = scene.house.upgrade("villain/v", "2.0.0");
    assert_eq!(only(&report).outcome, Outcome::Committed, "{report}");
    assert_eq!(scene.count(&scene.villain), Ok(5));
}
