//! Kinds that run in processes of their own: the same promises, over a process that may die.

use crate::harness::house::until;
use crate::harness::served::Served;
use crate::harness::{Test, test};
use crate::watched::Watching;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(p1_a_kind_in_a_process_of_its_own_is_used_as_any_other),
        test(p2_an_upgrade_in_a_process_of_its_own_moves_the_state_and_ends_the_process_before),
        test(p3_a_module_that_is_killed_is_started_again_and_no_message_is_lost),
        test(p4_code_that_ends_its_process_does_not_end_the_host),
        test(r25_a_module_dies_with_a_host_that_is_killed),
        test(r25_a_module_has_limits_no_environment_and_no_file_of_the_hosts),
        test(what_a_module_wrote_is_read_and_followed_from_one_process_to_the_next),
        test(why_there_is_no_replay_in_a_process_of_its_own_is_said_and_what_the_kind_declares_as_well),
        test(a_place_that_there_is_not_is_refused_with_its_line),
    ]
}

/// A host that has kinds in processes of their own.
fn served(kinds: &[&str]) -> Served {
    let desk = TempDir::with_prefix("teneral-modules-").expect("a temporary directory");
    let places: String = kinds.iter().map(|kind| format!("[kinds.{kind}]\nplace = \"process\"\n")).collect();
    fs::write(desk.path().join("teneral.toml"), places).expect("it is ours");
    Served::at(desk, &[])
}

/// The only module that runs.
#[track_caller]
fn only(served: &Served) -> Value {
    let modules = served.json(&["module", "list"]);
    assert_eq!(modules.as_array().map(Vec::len), Some(1), "{modules:#}");
    modules[0].clone()
}

#[track_caller]
fn pid(module: &Value) -> u64 {
    module["pid"].as_u64().unwrap_or_else(|| panic!("it runs: {module}"))
}

fn lives(pid: u64) -> bool {
    // One that nobody has waited for yet is dead all the same.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: u64) {
    let sent = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "it reaches {pid}");
}

fn p1_a_kind_in_a_process_of_its_own_is_used_as_any_other() {
    let served = served(&["counter"]);
    served.push(&["counter-v1"]);
    assert_eq!(served.json(&["module", "list"]), json!([]), "nobody needs it yet");
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    for _ in 0..100 {
        served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    }
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"], json!({ "total": 305 }));
    assert_eq!(served.json(&["actor", "state", "counter/a"])["total"], 305);
    let module = only(&served);
    let of = (&module["kind"], &module["version"], &module["place"], &module["starts"]);
    assert_eq!(of, (&json!("counter"), &json!("1.0.0"), &json!("process"), &json!(1)));
    let maps = fs::read_to_string(format!("/proc/{}/maps", served.pid())).expect("it runs");
    assert!(!maps.contains("teneral-counter"), "the host has not loaded it: {maps}");
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 1}"#]);
    assert_eq!(served.json(&["actor", "state", "counter/a"])["total"], 305, "it is paused");
    served.says(&["actor", "resume", "counter/a"]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 306);
    served.says(&["actor", "stop", "counter/a"]);
    until("nobody needs it any more", || served.json(&["module", "list"]) == json!([]) && !lives(pid(&module)));
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    drop(desk);
}

fn p2_an_upgrade_in_a_process_of_its_own_moves_the_state_and_ends_the_process_before() {
    let served = served(&["counter"]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let before = pid(&only(&served));
    let report = served.json(&["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "2.0.0"]);
    assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
    until("the process of the version before ends", || !lives(before));
    let after = only(&served);
    assert_eq!(after["version"], "2.0.0");
    let report =
        served.json(&["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "1.0.0", "--allow-downgrade"]);
    assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5, "it comes back there");
    assert_eq!(only(&served)["version"], "1.0.0");
}

fn p3_a_module_that_is_killed_is_started_again_and_no_message_is_lost() {
    let served = served(&["counter"]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    for _ in 0..10 {
        served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 1}"#]);
    }
    let before = only(&served);
    kill(pid(&before));
    until("it is seen", || only(&served)["pid"].is_null());
    assert!(only(&served)["gone"].as_str().is_some_and(|gone| gone.contains("signal 9")), "{}", only(&served));
    served.says(&["actor", "resume", "counter/a"]);
    let total = || served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"].clone();
    assert_eq!(total(), 15, "it began anew from its arguments, and has handled all that waited");
    assert_eq!(only(&served)["starts"], 2);
    assert_eq!(served.json(&["actor", "show", "counter/a"])["restarts"], 1);
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
}

fn p4_code_that_ends_its_process_does_not_end_the_host() {
    let served = served(&["villain"]);
    served.push(&["villain-v1", "counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "start", "villain/v", r#"{"misdeeds": []}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "villain/v", "Act", r#"{"how": "Abort"}"#]);
    // Two processes die with it; a third gets what comes then.
    until("it is a dead letter", || served.json(&["dead-letter", "list"]).as_array().map(Vec::len) == Some(1));
    let letter = &served.json(&["dead-letter", "list"])[0];
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("signal 6")), "{letter}");
    assert_eq!(served.json(&["actor", "ask", "villain/v", "Count"])["reply"]["handled"], 1);
    assert_eq!(only_of(&served, "villain")["starts"], 3);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5, "the host serves");
}

#[track_caller]
fn only_of(served: &Served, kind: &str) -> Value {
    let modules = served.json(&["module", "list"]);
    let found = modules.as_array().expect("a list").iter().find(|module| module["kind"] == kind);
    found.unwrap_or_else(|| panic!("{kind}: {modules:#}")).clone()
}

fn r25_a_module_dies_with_a_host_that_is_killed() {
    let served = served(&["counter"]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let module = pid(&only(&served));
    served.signal("-KILL");
    let (desk, _) = served.ended();
    until("it is gone", || !lives(module));
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
}

fn r25_a_module_has_limits_no_environment_and_no_file_of_the_hosts() {
    let served = served(&["counter"]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let of = |file: &str| {
        let path = format!("/proc/{}/{file}", pid(&only(&served)));
        String::from_utf8_lossy(&fs::read(path).expect("it is our user's")).into_owned()
    };
    let environment = of("environ");
    assert!(environment.starts_with("TENERAL_MODULE_LISTEN=unix:/"), "{environment}");
    assert_eq!(environment.matches('=').count(), 1, "{environment}");
    let status = of("status");
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert_eq!((line("NoNewPrivs:"), line("Seccomp:")), ("NoNewPrivs:\t1".into(), "Seccomp:\t2".into()), "{status}");
    let limits = of("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{limits}");
    let memory = limits.lines().find(|line| line.starts_with("Max address space")).unwrap_or_default();
    assert!(!memory.contains("unlimited"), "{limits}");
    let open = fs::read_dir(format!("/proc/{}/fd", pid(&only(&served)))).expect("it is our user's");
    for target in open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()) {
        let target = target.display().to_string();
        let own = ["socket:", "pipe:", "anon_inode:", "/memfd:teneral", "/dev/null"];
        let own = own.iter().any(|own| target.starts_with(own)) || target.contains("/.teneral/modules/");
        assert!(own, "{target}");
    }
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(&served.desk.path().join(".teneral/modules")), 0o700);
}

fn what_a_module_wrote_is_read_and_followed_from_one_process_to_the_next() {
    let served = served(&["villain"]);
    served.push(&["villain-v1", "counter-v1"]);
    served.refuses(1, "MOD-NONE", &["module", "show", "villain"]);
    served.refuses(1, "MOD-NONE", &["module", "logs", "villain"]);
    served.refuses(2, "MOD-OUTPUT", &["module", "logs", "counter", "--version", "1.0.0"]);
    served.refuses(2, "SYS-VERSION", &["module", "logs", "counter", "--version", "7.0.0"]);
    served.says(&["actor", "start", "villain/v", r#"{"misdeeds": []}"#, "--version", "1.0.0"]);
    let logs = |more: &[&str]| served.says(&[&["module", "logs", "villain"], more].concat());
    served.says(&["actor", "tell", "villain/v", "Act", r#"{"how": "Panic"}"#]);
    until("it is written", || logs(&[]).contains("as planned"));
    served.refuses(2, "MOD-OUTPUT", &["module", "logs", "villain", "--previous"]);
    let follows = Watching::new(&served, &["module", "logs", "villain", "--follow"]);
    let panicked = || while !follows.line().contains("as planned") {};
    panicked();
    let shown = served.json(&["module", "show", "villain"]);
    assert_eq!((&shown["actors"], &shown["starts"]), (&json!(1), &json!(1)), "{shown}");
    assert!(shown["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{shown}");
    assert!(shown["started"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
    kill(pid(&shown));
    until("it is seen", || only(&served)["pid"].is_null());
    served.says(&["actor", "tell", "villain/v", "Act", r#"{"how": "Panic"}"#]);
    panicked();
    assert_eq!(only(&served)["starts"], 2);
    assert!(logs(&["--previous"]).contains("as planned"));
    let whole = logs(&["--version", "1.0.0"]);
    assert_eq!(Some(&*logs(&["--tail", "1"])), whole.split_inclusive('\n').next_back(), "{whole}");
    assert_eq!(logs(&["--from", "5"]), whole[5..]);
    let part: Value = serde_json::from_str(&logs(&["--json"])).expect("JSON");
    assert_eq!((&part["text"], &part["next"]), (&json!(whole), &json!(whole.len())), "{part}");
}

fn why_there_is_no_replay_in_a_process_of_its_own_is_said_and_what_the_kind_declares_as_well() {
    let served = served(&["probe"]);
    served.push(&["probe-v1", "probe-v2"]);
    let start = r#"{"trap": {"step": "", "how": ""}}"#;
    served.says(&["actor", "start", "probe/a", start, "--version", "1.0.0"]);
    let bounds = ["--probation", "1h", "--max-pause", "60s", "--trial-timeout", "60s"];
    let why = "the kind runs in a process of its own, where nothing is done anew";
    let plan = served.says(&[&["upgrade", "plan", "probe", "--to", "2.0.0"], &bounds[..]].concat());
    assert!(plan.contains(&format!("\n  no replay: {why}\n  downgrade: ")), "{plan}");
    served.says(&[&["upgrade", "apply", "probe", "--to", "2.0.0"], &bounds[..]].concat());
    let status = served.says(&["upgrade", "status"]);
    assert!(status.contains(&format!("\n  nothing is kept for a replay: {why}\n")), "{status}");
    let kind = served.says(&["kind", "show", "probe"]);
    let declared =
        "\n  deterministic: yes, but it runs in a process of its own, where there is no way back by replay\n";
    assert!(kind.contains(declared), "{kind}");
    let shown = served.json(&["kind", "show", "probe"]);
    let (place, declared) = (&shown["place"], &shown["versions"][0]["deterministic"]);
    assert_eq!((place, declared), (&json!("process"), &json!(true)), "{shown:#}");
    let artifact = served.json(&["artifact", "inspect", "probe", "1.0.0"]);
    assert_eq!(artifact["manifest"]["deterministic"], true);
}

fn a_place_that_there_is_not_is_refused_with_its_line() {
    let desk = TempDir::with_prefix("teneral-modules-").expect("a temporary directory");
    let config = "[kinds.counter]\nplace = \"proces\"\n[kinds.probe]\nplase = \"process\"\n";
    fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = command.args(["serve"]).current_dir(desk.path()).env_remove("TENERAL_DIR").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("teneral.toml:2:9: kinds.counter.place is none of in-process, process, remote: "), "{said}");
    assert!(said.contains("did you mean process?"), "{said}");
    assert!(said.contains("teneral.toml:4:1: no key kinds.probe.plase: did you mean place?"), "{said}");
}
