//! What a module may not do, held against real processes that do it.
#![forbid(unsafe_code)]

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use teneral_contract::{Addr, Digest, Fingerprint, Tag};
use teneral_remote::client::{Launch, Limits, ModuleError, Modules, Process, Serves, Start};
use teneral_runtime::ports::{Behaviour, Body, Call, Cause, FaultKind, Provider};
use teneral_runtime::remote::{Done, Given, Returned};

/// Long enough for anything that happens at all on a loaded machine.
const GENEROUS: Duration = Duration::from_secs(60);

/// A liar that was started, with what it needs beside it.
struct Stage {
    dir: tempfile::TempDir,
    modules: Modules,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, modules: Modules::start().expect("a thread") }
    }

    fn launch(&self, how: &str, limits: Limits) -> Result<std::sync::Arc<Process>, ModuleError> {
        self.modules.start_process(Start::Here(Launch {
            program: liar(),
            args: vec![how.into()],
            input: Vec::new(),
            socket: self.dir.path().join("liar.sock"),
            output: File::create(self.dir.path().join("output")).expect("it is ours"),
            digest: Digest([7; 32]),
            serves: Serves::Library,
            limits,
        }))
    }

    fn start(&self, how: &str) -> std::sync::Arc<Process> {
        self.launch(how, limits(GENEROUS)).unwrap_or_else(|error| panic!("{how}: {error}"))
    }

    fn refused(&self, how: &str) -> ModuleError {
        self.launch(how, limits(GENEROUS)).expect_err("it is not believed")
    }
}

fn limits(turns_timeout: Duration) -> Limits {
    Limits { ready_timeout: GENEROUS, call_timeout: GENEROUS, turns_timeout, threads: 1 }
}

/// `cargo test` builds the examples of a package before its tests, beside them.
fn liar() -> PathBuf {
    let tests = std::env::current_exe().expect("it runs");
    let folder = tests.parent().and_then(|deps| deps.parent()).expect("target/debug/deps");
    let liar = folder.join("examples/liar");
    assert!(liar.exists(), "build it: cargo build -p teneral-remote --example liar");
    liar
}

fn instance(process: &Process) -> Box<dyn Behaviour> {
    process.create(Body { shape: Fingerprint(7), bytes: &[] }).expect("it makes anything")
}

/// Sends a batch of so many turns.
fn sent(instance: &mut Box<dyn Behaviour>, turns: usize) -> mpsc::Receiver<Returned> {
    let this = Addr::new("liar/a").expect("an address");
    let tag = Tag { variant: 1, fingerprint: Fingerprint(1) };
    let mut batch = instance.remote().expect("it is elsewhere").batch();
    for _ in 0..turns {
        let call = Call {
            index: 0,
            tag,
            body: b"hello",
            cause: Cause::Message,
            waiting: None,
            this: &this,
            sender: None,
            trace_id: [0; 16],
        };
        batch.add(&call, Given { now_ns: 1, seed: 2, epoch: 3, numbers: 4, numbers_max: 5 });
    }
    let (came, comes) = mpsc::channel();
    batch.send(Done::new(move |returned| drop(came.send(returned))));
    comes
}

/// What came of a batch that was not handled whole.
#[track_caller]
fn gone(how: &str) -> (usize, String) {
    let stage = Stage::new();
    let process = stage.start(how);
    let mut instance = instance(&process);
    let returned = sent(&mut instance, 3).recv_timeout(GENEROUS).unwrap_or_else(|error| panic!("{how}: {error}"));
    let gone = returned.gone.unwrap_or_else(|| panic!("{how}: it is still believed"));
    assert_eq!(process.gone().as_deref(), Some(&*gone), "{how}");
    // Whatever comes later hears of it at once.
    let later = sent(&mut instance, 1).recv_timeout(GENEROUS).expect("it is told");
    assert_eq!((later.turns.len(), later.gone.as_deref()), (0, Some(&*gone)), "{how}");
    until_dead(process.pid());
    (returned.turns.len(), gone)
}

fn until_dead(pid: i32) {
    let deadline = Instant::now() + GENEROUS;
    let lives = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        assert!(Instant::now() < deadline, "{pid} lives");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn p5_a_module_that_says_it_is_another_is_not_believed_and_ended() {
    let stage = Stage::new();
    let error = stage.refused("digest");
    assert_eq!(error.code(), "MOD-DIGEST");
    assert!(error.to_string().contains(&"01".repeat(32)) && error.to_string().contains(&"07".repeat(32)), "{error}");
    for (how, code) in [("nonce", "MOD-STRANGER"), ("protocol", "MOD-REFUSED"), ("manifest", "MOD-MANIFEST")] {
        let stage = Stage::new();
        assert_eq!(stage.refused(how).code(), code, "{how}");
    }
}

#[test]
fn p6_a_module_that_answers_out_of_order_twice_or_unasked_is_ended_with_its_reason() {
    let (turns, why) = gone("order");
    assert!(turns == 0 && why.contains("before turn 1"), "{why}");
    let (_, why) = gone("unasked");
    assert!(why.contains("turn 1 of instance 999, which nobody asked for"), "{why}");
    let stage = Stage::new();
    let process = stage.start("twice");
    let mut instance = instance(&process);
    let returned = sent(&mut instance, 2).recv_timeout(GENEROUS).expect("it comes back");
    assert_eq!(returned.turns.len(), 2, "the first answers are due");
    until_dead(process.pid());
    assert!(process.gone().is_some_and(|why| why.contains("which nobody asked for")), "{:?}", process.gone());
}

#[test]
fn p7_a_module_that_ends_or_is_never_ready_is_given_up_within_its_bound() {
    let stage = Stage::new();
    let error = stage.refused("ends");
    assert_eq!((error.code(), error.to_string().contains("exit code 5")), ("MOD-ENDED", true), "{error}");
    let ready_timeout = Duration::from_millis(200);
    let error = stage.launch("never ready", Limits { ready_timeout, ..limits(GENEROUS) }).expect_err("it never is");
    assert_eq!(error.code(), "MOD-READY", "{error}");
    let program = PathBuf::from("/nowhere/at/all");
    let launch = Launch {
        program,
        args: Vec::new(),
        input: Vec::new(),
        socket: stage.dir.path().join("x.sock"),
        output: File::create(stage.dir.path().join("output")).expect("it is ours"),
        digest: Digest([7; 32]),
        serves: Serves::Library,
        limits: limits(GENEROUS),
    };
    assert_eq!(stage.modules.start_process(Start::Here(launch)).expect_err("there is none").code(), "MOD-START");
}

#[test]
fn p8_a_module_that_exits_or_hangs_while_it_saves_fails_the_save_and_is_ended() {
    let stage = Stage::new();
    let process = stage.start("exits in save");
    let fault = instance(&process).save(100).expect_err("it is gone");
    assert!(fault.kind == FaultKind::Failed && fault.text.contains("did not save"), "{fault}");
    until_dead(process.pid());
    let call_timeout = Duration::from_millis(200);
    let stage = Stage::new();
    let process = stage.launch("hangs in save", Limits { call_timeout, ..limits(GENEROUS) }).expect("it is ready");
    let fault = instance(&process).save(100).expect_err("it hangs");
    assert!(fault.text.contains("no answer within 200ms"), "{fault}");
    let why = process.gone().expect("whoever asks next would wait, too");
    assert!(why.contains("it did not save within 200ms"), "{why}");
    until_dead(process.pid());
    let stage = Stage::new();
    let fault = self::instance(&stage.start("saves nothing")).save(100).expect_err("it says nothing");
    assert!(fault.kind == FaultKind::Protocol && fault.text.contains("done is missing"), "{fault}");
}

#[test]
fn p9_a_module_that_stops_reading_or_answering_is_ended_within_its_bound() {
    for how in ["stops reading", "silent"] {
        let stage = Stage::new();
        let process = stage.launch(how, limits(Duration::from_millis(300))).expect("it is ready");
        let mut instance = instance(&process);
        let returned = sent(&mut instance, 64).recv_timeout(GENEROUS).expect("it is given up");
        let why = returned.gone.expect("it is ended");
        assert!(why.contains("a turn did not return within 300ms"), "{how}: {why}");
        until_dead(process.pid());
    }
}

#[test]
fn p10_a_module_that_floods_is_ended_at_the_first_word_that_nobody_asked_for() {
    let stage = Stage::new();
    let process = stage.start("floods");
    until_dead(process.pid());
    assert!(process.gone().is_some_and(|why| why.contains("which nobody asked for")), "{:?}", process.gone());
}

#[test]
fn p3_what_a_module_had_in_its_hands_when_it_died_is_said_not_to_be_handled() {
    let (turns, why) = gone("dies");
    assert!(turns == 0 && why.contains("exit code 3"), "{why}");
    let (turns, why) = gone("ends its stream");
    assert!(turns == 0 && why.contains("it ended its stream"), "{why}");
}

#[test]
fn an_answer_that_cannot_be_read_fails_its_turn_with_the_field_named() {
    let stage = Stage::new();
    let process = stage.start("field");
    let mut instance = instance(&process);
    let returned = sent(&mut instance, 1).recv_timeout(GENEROUS).expect("it comes back");
    let ended = returned.turns.into_iter().next().expect("one turn").ended;
    let fault = ended.expect_err("it is refused");
    assert!(fault.kind == FaultKind::Protocol && fault.text.contains("tell.to is wrong"), "{fault}");
    assert_eq!(process.gone(), None, "the next one may be right");
}
