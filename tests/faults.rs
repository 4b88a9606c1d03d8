//! What a host and its commands do when the disk is full, and when somebody presses ^C: real processes, a real disk.

use crate::harness::disk::Disk;
use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Absent, Test, libraries, test};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_full_disk_refuses_what_it_cannot_keep_and_the_host_serves_on),
        test(what_the_audit_cannot_keep_is_not_done_and_only_what_takes_something_back_is),
        test(a_command_that_is_interrupted_ends_at_once_and_the_host_goes_on),
    ]
}

/// Whether it was done. Not done is: with a code for a full disk, with what stands now and with a hint.
#[track_caller]
fn done(output: &Output) -> bool {
    let said = text(&output.stderr);
    if output.status.success() {
        return true;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    let full = ["error[STORE-FULL]: ", "error[STORE-UNKNOWN]: ", "error[UPG-JOURNAL]: "];
    assert!(full.iter().any(|code| said.contains(code)), "{said}{}", text(&output.stdout));
    assert!(said.contains("\n  now:   ") && said.contains("\n  hint:  "), "{said}");
    false
}

fn running(served: &Served) -> Vec<Value> {
    let actors = served.json(&["actor", "list"]);
    actors.as_array().expect("a list").iter().map(|view| json!([view["actor"], view["running"]])).collect()
}

fn a_full_disk_refuses_what_it_cannot_keep_and_the_host_serves_on() -> Result<(), Absent> {
    let desk = TempDir::with_prefix("teneral-faults-").expect("a temporary directory");
    let disk = Disk::new(desk.path().join("disk"))?;
    fs::write(desk.path().join("teneral.toml"), "dir = \"disk/host\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["key", "generate", "team", "--no-password"]);
    disk.fill();

    let library = libraries::library("probe-v1");
    let push = served.run(&["artifact", "push", library.to_str().expect("a path that cargo prints")]);
    assert!(!done(&push) && text(&push.stderr).contains("error[STORE-FULL]: "), "{}", text(&push.stderr));
    assert!(!served.says(&["artifact", "list"]).contains("probe"), "nothing of it is there");
    // The database has room within itself for some more, and then none.
    let mut refused = 0;
    for round in 0..200 {
        let start = ["actor", "start", &format!("counter/{round}"), r#"{"total": 5}"#, "--version", "1.0.0"];
        let started = done(&served.run(&start));
        let listed = running(&served).contains(&json!([format!("counter/{round}"), "1.0.0"]));
        assert_eq!(started, listed, "an actor is started and defined, or neither");
        if !started {
            refused += 1;
            break;
        }
    }
    assert_eq!(refused, 1, "it is full");
    let defaulted = done(&served.run(&["kind", "set-default", "counter", "1.0.0"]));
    let default = if defaulted { json!("1.0.0") } else { Value::Null };
    assert_eq!(served.json(&["kind", "list"])[0]["default"], default);
    let trusted = done(&served.run(&["key", "trust", "team.pub"]));
    let named = |key: &Value| key["purpose"] == "release";
    assert_eq!(served.json(&["key", "list"]).as_array().expect("a list").iter().any(named), trusted);
    let moved = done(&served.run(&["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "2.0.0"]));
    let version = if moved { "2.0.0" } else { "1.0.0" };
    assert!(running(&served).contains(&json!(["counter/a", version])));
    let stopped = done(&served.run(&["actor", "stop", "counter/0"]));
    assert_eq!(running(&served).contains(&json!(["counter/0", "1.0.0"])), !stopped);
    // Whoever runs serves.
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);

    // With room again all of it is done, by the same host.
    disk.clear();
    served.says(&["artifact", "push", library.to_str().expect("a path that cargo prints")]);
    served.says(&["kind", "set-default", "counter", "2.0.0"]);
    served.says(&["actor", "start", "counter/last", r#"{"total": 5}"#]);
    served.says(&["key", "trust", "team.pub"]);

    // A stop that cannot keep a state says whose, and ends badly; all are there again, from their start arguments.
    disk.fill();
    let before = running(&served);
    served.signal("-TERM");
    let (desk, ended) = served.ended();
    assert_eq!(ended.code(), Some(1));
    let log = fs::read_to_string(desk.path().join("host.log")).expect("it is ours");
    assert!(log.contains("its state was not kept") && log.contains("STORE-FULL"), "{log}");
    disk.clear();
    let served = Served::at(desk, &[]);
    assert_eq!(running(&served), before);
    Ok(())
}

fn what_the_audit_cannot_keep_is_not_done_and_only_what_takes_something_back_is() -> Result<(), Absent> {
    let desk = TempDir::with_prefix("teneral-faults-").expect("a temporary directory");
    let disk = Disk::new(desk.path().join("disk"))?;
    fs::write(desk.path().join("teneral.toml"), "dir = \"disk/host\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["counter-v1"]);
    for actor in ["counter/a", "counter/b"] {
        served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"]);
    }
    served.says(&["actor", "pause", "counter/b", "--max", "10m"]);
    disk.fill();
    // A pause writes nothing but its record; the database has room within itself for some of them.
    let status = |actor: &str| served.json(&["actor", "show", actor])["status"].clone();
    let mut refused = None;
    for _ in 0..2_000 {
        let paused = served.run(&["actor", "pause", "counter/a"]);
        if !done(&paused) {
            refused = Some(text(&paused.stderr));
            break;
        }
        served.says(&["actor", "resume", "counter/a"]);
    }
    let refused = refused.expect("it is full");
    assert!(refused.contains("\n  now:   nothing was done"), "{refused}");
    assert_eq!(status("counter/a"), "running", "what is refused was not done");
    // What gives something back is done, and stands in the log where the audit has no room for it.
    served.says(&["actor", "resume", "counter/b"]);
    assert_eq!(status("counter/b"), "running");
    let log = served.log();
    let unwritten = log.lines().find(|line| line.contains("the audit was not written"));
    let unwritten = unwritten.expect("it is said");
    for part in ["actors/resume", "counter/", "STORE-"] {
        assert!(unwritten.contains(part), "{part}: {unwritten}");
    }
    // So is what a message came to, which changes no host.
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    disk.clear();
    served.says(&["actor", "pause", "counter/a"]);
    assert_eq!(served.json(&["audit", "list", "--limit", "1"])[0]["act"], "actors/pause");
    Ok(())
}

fn interrupt(child: Child) -> Output {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success(), "the command is there");
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn is_interrupted(output: &Output) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("error[CLI-INTERRUPTED]: ") && output.stdout.is_empty(), "{said}");
}

/// Whether a process has asked for ^C, so that it no longer ends it as it ends what knows nothing of it.
fn heeds(child: &Child) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(child.id().to_string()).join("status"));
    let caught =
        status.expect("it runs").lines().find_map(|line| Some(line.strip_prefix("SigCgt:")?.trim().to_owned()));
    let caught = u64::from_str_radix(&caught.expect("Linux says it"), 16).expect("in hexadecimal");
    caught & 1 << 1 != 0
}

fn a_command_that_is_interrupted_ends_at_once_and_the_host_goes_on() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let begins = |arguments: &[&str]| {
        let mut command = served.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        until("it waits", || heeds(&child));
        child
    };
    let ask = begins(&["actor", "ask", "probe/a", "Read", "--timeout", "10m"]);
    until("the request waits", || served.json(&["actor", "show", "probe/a"])["queued_messages"] == 1);
    is_interrupted(&interrupt(ask));
    let apply = ["upgrade", "apply", "--max-pause", "60s", "probe/a", "--to", "2.0.0", "--quiesce-timeout", "10m"];
    let apply = begins(&apply);
    until("it is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    is_interrupted(&interrupt(apply));
    // Somebody else's push that does not come to its end keeps this one waiting.
    let mut half = UnixStream::connect(served.socket()).expect("it listens");
    half.write_all(b"POST /v1/artifacts/push HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n").expect("it reads");
    let library = libraries::library("counter-v1");
    let push = begins(&["artifact", "push", library.to_str().expect("a path that cargo prints")]);
    is_interrupted(&interrupt(push));
    drop(half);

    fs::write(&hold, "").expect("it is ours");
    until("the upgrade goes on", || served.json(&["actor", "show", "probe/a"])["running"] == "2.0.0");
    until("it ends", || served.json(&["upgrade", "status"])["status"] == "ended");
    served.push(&["counter-v2"]);
}
