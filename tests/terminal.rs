//! The terminal: what the binary prints where, with which exit code; and the demo, which must find out its saboteurs.

use crate::harness::{Test, libraries, root, test};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(the_demo_accounts_for_every_message_and_every_move),
        test(the_demo_prints_a_table_for_people_and_its_progress_elsewhere),
        test(the_demo_finds_out_a_dropped_message),
        test(the_demo_finds_out_a_doubled_message),
        test(the_demo_finds_out_reordered_messages),
        test(the_demo_finds_out_a_reader_that_miscounts),
        test(the_demo_streams_lines_of_any_bytes_and_ends),
        test(the_demo_refuses_what_is_no_file_with_a_line),
        test(the_demo_refuses_a_command_that_makes_no_sense),
        test(a_reader_that_leaves_is_no_failure_and_a_full_disk_is_one),
        test(to_a_program_every_error_is_one_object_on_stderr),
        test(a_library_says_what_it_is_without_being_run),
        test(a_file_that_is_no_library_is_refused_with_its_code),
        test(a_library_is_held_against_its_record),
        test(an_error_code_is_explained_by_its_page),
        test(every_error_page_is_in_the_binary),
        test(an_unknown_error_code_is_refused_with_the_nearest_ones),
        test(completions_know_every_command_in_every_shell),
    ]
}

/// Lines of a short run: enough for every actor to work under every version, and for the last one to go wrong.
const LINES: &str = "14400";

/// Lines a second of a short run.
const RATE: &str = "16000";

fn teneral(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    command.args(arguments).env_remove("TENERAL_DEMO_LIVE").output().expect("the binary runs")
}

fn a_reader_that_leaves_is_no_failure_and_a_full_disk_is_one() {
    for arguments in [&["explain"][..], &["explain", "--json"], &["completions", "zsh"], &["explain", "gate-elf"]] {
        let teneral = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
            command.args(arguments);
            command
        };
        let mut left = teneral().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        drop(left.stdout.take());
        let output = left.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = teneral().stdout(full).output().expect("the binary runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let (begins, json) = ("error[CLI-OUTPUT]: ", r#"{"error":{"causes":[],"code":"CLI-OUTPUT","#);
        let begins = if arguments.contains(&"--json") { json } else { begins };
        assert!(said.starts_with(begins) && said.contains("No space left on device"), "{arguments:?}: {said}");
    }
}

/// The one line of JSON that a refused command says on stderr, and nothing on stdout but JSON.
#[track_caller]
fn error_of(exit: i32, arguments: &[&str]) -> Value {
    let desk = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let command = command.args(arguments).current_dir(desk.path()).env_remove("TENERAL_DIR").stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {out}{err}");
    assert!(out.is_empty() || serde_json::from_str::<Value>(&out).is_ok(), "{arguments:?}: {out}");
    assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
    let said: Value = serde_json::from_str(&err).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {err}"));
    assert_eq!(keys(&said), ["error"]);
    let error = &said["error"];
    assert_eq!(keys(error), ["causes", "code", "exit", "hint", "now", "what"], "{arguments:?}");
    assert_eq!(error["exit"], exit, "{arguments:?}: {error:#}");
    for part in ["what", "now", "hint"] {
        assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{arguments:?}: {error:#}");
    }
    error.clone()
}

fn to_a_program_every_error_is_one_object_on_stderr() {
    let nobody_serves: &[&[&str]] = &[
        &["status"],
        &["actor", "list"],
        &["actor", "list", "--watch"],
        &["actor", "show", "counter/a"],
        &["actor", "start", "counter/a"],
        &["actor", "stop", "counter/a"],
        &["actor", "restart", "-l", "kind=counter"],
        &["actor", "pause", "counter/a"],
        &["actor", "resume", "counter/a"],
        &["actor", "tell", "counter/a", "Add"],
        &["actor", "ask", "counter/a", "Get"],
        &["actor", "state", "counter/a"],
        &["actor", "watch"],
        &["kind", "list"],
        &["kind", "show", "counter"],
        &["kind", "set-default", "counter", "1.0.0"],
        &["upgrade", "plan", "counter", "--to", "2.0.0"],
        &["upgrade", "apply", "counter", "--to", "2.0.0"],
        &["upgrade", "status"],
        &["upgrade", "cancel", "up-1"],
        &["upgrade", "log"],
        &["artifact", "list"],
        &["artifact", "remove", "counter", "1.0.0"],
        &["dead-letter", "list"],
        &["dead-letter", "drop", "--all"],
        &["dead-letter", "resend", "--all"],
        &["key", "list"],
        &["key", "distrust", "0123456789ABCDEF"],
        &["audit", "list"],
    ];
    for arguments in nobody_serves {
        let error = error_of(3, &[arguments, &["--json"][..]].concat());
        assert_eq!(error["code"], "CTL-DOWN", "{arguments:?}");
    }
    let others: &[(i32, &str, &[&str])] = &[
        (2, "CLI-CODE", &["explain", "UPG-MIGRAT", "--json"]),
        (2, "CLI-FILE", &["apply", "-f", "nowhere.toml", "--json"]),
        (2, "GATE-FILE", &["artifact", "inspect", "nowhere.so", "--json"]),
        (2, "GATE-FILE", &["artifact", "verify", "nowhere.so", "--json"]),
        (2, "NEW-NAME", &["new", "No Name", "--json"]),
        (2, "CLI-CONFIG", &["config", "show", "--profile", "prod", "--json"]),
        (2, "CARGO-WORKSPACE", &["dev", "--json"]),
        (2, "CLI-USAGE", &["actor", "lst", "--json"]),
        (2, "CLI-USAGE", &["actor", "show", "no-address", "--json"]),
        (2, "CLI-USAGE", &["actor", "list", "--json", "--timeout", "soon"]),
        (2, "CLI-USAGE", &["upgrade", "plan", "counter", "--json"]),
        (2, "CLI-USAGE", &["--json"]),
    ];
    for (exit, code, arguments) in others {
        let error = error_of(*exit, arguments);
        assert_eq!(error["code"], *code, "{arguments:?}: {error:#}");
    }
    // What was asked for is no error, and what is said to nobody's program is said in words.
    let help = teneral(&["actor", "list", "--json", "--help"]);
    assert!(help.status.success() && help.stderr.is_empty() && text(&help.stdout).contains("Usage:"));
    let typed = teneral(&["actor", "lst"]);
    assert!(text(&typed.stderr).starts_with("error: unrecognized subcommand"), "{}", text(&typed.stderr));
}

/// The demo over the tests' own libraries.
fn demo(arguments: &[&str]) -> Output {
    let directory = libraries::library("log-handler-v1").parent().expect("a library lies in a directory");
    let directory = directory.to_str().expect("a path that cargo prints");
    teneral(&[&["demo", "--artifacts", directory, "--lines", LINES, "--rate", RATE], arguments].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}\n{}", text(&output.stdout), text(&output.stderr));
    })
}

/// The report of a demo that must end with `exit`.
#[track_caller]
fn report(exit: i32, arguments: &[&str]) -> Value {
    let output = demo(&[&["--json"], arguments].concat());
    let found = json(&output);
    assert_eq!(output.status.code(), Some(exit), "{}\n{found:#}", text(&output.stderr));
    assert_eq!(found["ok"], exit == 0, "{found:#}");
    found
}

/// A refusal: nothing on stdout, `error[CODE]` with a hint on stderr.
#[track_caller]
fn refusal(exit: i32, code: &str, output: &Output) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(said.contains(&format!("error[{code}]: ")) && said.contains("\n  hint:  "), "{said}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn the_demo_accounts_for_every_message_and_every_move() {
    let report = report(0, &[]);
    let mut parts = vec!["actors", "asks", "check", "handled_by_version", "input", "messages", "ok", "pause_us"];
    parts.extend(["probation", "senders", "upgrades"]);
    assert_eq!(keys(&report), parts);
    let wanted = serde_json::json!({ "sent": 14_400, "handled": 14_400, "lost": 0, "duplicated": 0, "reordered": 0 });
    assert_eq!(report["messages"], wanted);
    assert_eq!(report["check"]["lines_counted_by_reader"], 14_400);
    assert_eq!(report["check"]["lines_counted_by_actors"], 14_400);
    let moves = report["upgrades"].as_array().expect("a list");
    let mut messages_anew = 0;
    for actor in 0..8 {
        let actor = format!("log-handler/{actor}");
        let of_actor: Vec<&Value> = moves.iter().filter(|moved| moved["actor"] == *actor).collect();
        let ways: Vec<String> = of_actor.iter().map(|moved| format!("{} {}", moved["to"], moved["outcome"])).collect();
        let wanted = [
            r#""2.0.0" "committed""#,
            r#""3.0.0" "committed""#,
            r#""2.0.0" "committed""#,
            r#""3.0.0" "committed""#,
            r#""4.0.0" "refused""#,
            r#""5.0.0" "rolled_back""#,
            r#""6.0.0" "committed""#,
            r#""6.0.0" "rolled_back""#,
        ];
        assert_eq!(ways, wanted, "{actor}");
        assert_eq!(of_actor[5]["step"], "migrate", "{actor}");
        let taken_back = of_actor[7];
        assert_eq!((&taken_back["step"], &taken_back["from"]), (&"replay".into(), &"3.0.0".into()), "{actor}");
        let back = &taken_back["back"];
        assert_eq!(keys(back), ["messages", "not_handled", "replay_us", "upgrade", "why"]);
        // It had its thousand good messages first, and nothing else than its being slow gave it away.
        assert!(back["messages"].as_u64().is_some_and(|anew| anew > 1000), "{actor}: {back}");
        assert!(back["why"].as_str().is_some_and(|why| why.contains("timed turns were slow")), "{actor}: {back}");
        assert_eq!(back["not_handled"], 0, "{actor}");
        messages_anew += back["messages"].as_u64().unwrap_or(0);
        let parts =
            ["actor", "direction", "from", "outcome", "pause_us", "queued_at_resume", "snapshot_bytes", "step", "to"];
        assert_eq!(keys(of_actor[0]), parts);
    }
    let probation = &report["probation"];
    assert_eq!((&probation["taken_back"], &probation["messages_anew"]), (&8.into(), &messages_anew.into()));
    assert_eq!(probation["watch"]["slower_us"], 200, "{probation}");
    let handled = report["handled_by_version"].as_object().expect("an object").values();
    let handled: u64 = handled.filter_map(Value::as_u64).sum();
    assert_eq!((keys(&report["handled_by_version"]), handled), (vec!["1.0.0", "2.0.0", "3.0.0"], 14_400));
}

fn the_demo_prints_a_table_for_people_and_its_progress_elsewhere() {
    let output = demo(&[]);
    let (table, progress) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{table}{progress}");
    assert!(table.contains("log-handler/7") && table.trim_end().ends_with("ok         true"), "{table}");
    assert!(table.contains("1>2>3>2>3 x4 x5>6<3") && table.contains("taken back by replay from 8 actors"), "{table}");
    assert!(progress.contains("64 of 64 moves"), "{progress}");
    assert!(!table.contains('\u{1b}') && !progress.contains('\u{1b}'), "no terminal, no escape codes");
}

fn the_demo_finds_out_a_dropped_message() {
    assert_eq!(report(1, &["--sabotage", "drop"])["messages"]["lost"], 1);
}

fn the_demo_finds_out_a_doubled_message() {
    assert_eq!(report(1, &["--sabotage", "double"])["messages"]["duplicated"], 1);
}

fn the_demo_finds_out_reordered_messages() {
    assert_eq!(report(1, &["--sabotage", "reorder"])["messages"]["reordered"], 1);
}

fn the_demo_finds_out_a_reader_that_miscounts() {
    let report = report(1, &["--sabotage", "miscount"]);
    assert_eq!(report["check"]["equal"], false, "{report:#}");
    assert_eq!(report["messages"]["lost"], 0, "{report:#}");
}

/// A file of the tests' own, in a directory that lasts as long as what is returned.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("input.log");
    std::fs::write(&path, bytes).expect("it is writable");
    (dir, path)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path")
}

fn the_demo_streams_lines_of_any_bytes_and_ends() {
    let mut bytes = b"unix\nwindows\r\nmac\r\xff\xfe not UTF-8 \xc3\x28\n\n\0\n".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', 200_000));
    bytes.extend_from_slice(b"\nunterminated");
    let (_dir, input) = file(&bytes);
    let report = report(0, &["--input", path(&input)]);
    // Six short lines, one of 200,000 bytes in four pieces, and the one without an end.
    assert_eq!(report["input"]["lines"], 11, "{report:#}");
    assert_eq!(report["input"]["bytes"], bytes.len());
}

fn the_demo_refuses_what_is_no_file_with_a_line() {
    let (dir, empty) = file(b"");
    refusal(2, "DEMO-INPUT-EMPTY", &demo(&["--input", path(&empty)]));
    refusal(2, "DEMO-INPUT-KIND", &demo(&["--input", path(dir.path())]));
    refusal(2, "DEMO-INPUT-KIND", &demo(&["--input", "/dev/null"]));
    refusal(2, "DEMO-INPUT-OPEN", &demo(&["--input", path(&dir.path().join("missing"))]));
}

fn the_demo_refuses_a_command_that_makes_no_sense() {
    for arguments in [&["--lines", "12"][..], &["--rate", "-1"], &["--sabotage", "everything"], &["--colour"]] {
        let output = teneral(&[&["demo"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {}", text(&output.stderr));
    }
    refusal(2, "DEMO-LINES", &teneral(&["demo", "--lines", "20000"]));
    let (dir, _) = file(b"");
    refusal(2, "DEMO-LIBRARY", &teneral(&["demo", "--artifacts", path(dir.path())]));
    let mut alone = Command::new(env!("CARGO_BIN_EXE_teneral"));
    alone.arg("demo").env_remove("CARGO_MANIFEST_DIR");
    refusal(2, "DEMO-WORKSPACE", &alone.output().expect("the binary runs"));
    let mut without_cargo = Command::new(env!("CARGO_BIN_EXE_teneral"));
    without_cargo.arg("demo").env("CARGO", "/nowhere/cargo").env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
    refusal(1, "DEMO-CARGO", &without_cargo.output().expect("the binary runs"));
}

fn a_library_says_what_it_is_without_being_run() {
    let library = path(libraries::library("counter-v2"));
    let found = json(&teneral(&["artifact", "inspect", library, "--json"]));
    assert_eq!((&found["manifest"]["kind"], &found["manifest"]["version"]), (&"counter".into(), &"2.0.0".into()));
    assert_eq!(found["refused"], Value::Null);
    let table = teneral(&["artifact", "inspect", library]);
    let said = text(&table.stdout);
    assert_eq!(table.status.code(), Some(0));
    for part in ["counter 2.0.0", "migrates from  1", "downgrades to  1", "Add", "lets it in"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn a_file_that_is_no_library_is_refused_with_its_code() {
    let (dir, garbage) = file(b"#!/bin/sh\n");
    let (_other, empty) = file(b"");
    for command in ["inspect", "verify"] {
        refusal(1, "GATE-ELF", &teneral(&["artifact", command, path(&garbage)]));
        refusal(1, "GATE-EMPTY", &teneral(&["artifact", command, path(&empty)]));
        refusal(1, "GATE-NO-MANIFEST", &teneral(&["artifact", command, env!("CARGO_BIN_EXE_teneral")]));
        refusal(2, "GATE-FILE", &teneral(&["artifact", command, path(&dir.path().join("missing.so"))]));
    }
    let verdict = teneral(&["artifact", "verify", path(&garbage), "--json"]);
    assert_eq!((verdict.status.code(), &json(&verdict)["refused"]["code"]), (Some(1), &"GATE-ELF".into()));
}

fn a_library_is_held_against_its_record() {
    let library = path(libraries::library("counter-v1"));
    let verified = json(&teneral(&["artifact", "verify", library, "--json"]));
    let digest = verified["sha256"].as_str().expect("a digest").to_owned();
    let verify = ["artifact", "verify", library];
    let good = teneral(&[&verify[..], &["--kind", "counter", "--version", "1.0.0", "--sha256", &digest]].concat());
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    refusal(1, "GATE-RECORD", &teneral(&["artifact", "verify", library, "--kind", "ledger"]));
    refusal(1, "GATE-RECORD", &teneral(&["artifact", "verify", library, "--version", "1.0.1"]));
    let other = digest.chars().rev().collect::<String>();
    refusal(1, "GATE-DIGEST", &teneral(&["artifact", "verify", library, "--sha256", &other]));
}

/// The page of an error code, as it lies in the repository.
fn page(code: &str) -> String {
    std::fs::read_to_string(root().join(format!("docs/errors/{code}.md"))).expect("the code has a page")
}

fn an_error_code_is_explained_by_its_page() {
    for typed in ["GATE-ELF", "gate-elf"] {
        let output = teneral(&["explain", typed]);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), page("GATE-ELF")));
    }
    let found = json(&teneral(&["explain", "gate-elf", "--json"]));
    let title = "not a well-formed ELF file";
    assert_eq!(found, serde_json::json!({ "code": "GATE-ELF", "title": title, "text": page("GATE-ELF") }));
}

fn every_error_page_is_in_the_binary() {
    let files = std::fs::read_dir(root().join("docs/errors")).expect("it is a directory");
    let names = files.map(|file| file.expect("it can be read").file_name().into_string().expect("a code is ASCII"));
    let codes = names.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).filter(|code| code != "README");
    let codes: BTreeSet<String> = codes.collect();
    let table = text(&teneral(&["explain"]).stdout);
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|row| row.split_once("  ")).collect();
    assert!(codes.iter().eq(rows.iter().map(|(code, _)| *code)), "{table}");
    let listed = json(&teneral(&["explain", "--json"]));
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), rows.len());
    for ((code, title), listed) in rows.into_iter().zip(listed) {
        let (title, text) = (title.trim_start(), page(code));
        assert!(text.starts_with(&format!("# {code}: {title}\n")), "{code}: {title}");
        assert_eq!(*listed, serde_json::json!({ "code": code, "title": title, "text": text }));
    }
}

fn an_unknown_error_code_is_refused_with_the_nearest_ones() {
    let slip = teneral(&["explain", "gate-elg"]);
    refusal(2, "CLI-CODE", &slip);
    assert!(text(&slip.stderr).contains("did you mean GATE-ELF?"), "{}", text(&slip.stderr));
    refusal(2, "CLI-CODE", &teneral(&["explain", "../../Cargo"]));
    refusal(2, "CLI-CODE", &teneral(&["explain", ""]));
}

fn completions_know_every_command_in_every_shell() {
    let help = text(&teneral(&["--help"]).stdout);
    let (_, commands) = help.split_once("Commands:\n").expect("the help lists the commands");
    let (commands, _) = commands.split_once("\n\n").expect("the options follow");
    // A description goes on further to the right.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(["demo", "explain", "completions"].iter().all(|name| names.contains(name)), "{names:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = teneral(&["completions", shell]);
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", text(&output.stderr));
        let words: BTreeSet<&str> = script.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
        let missing: Vec<_> = names.iter().filter(|name| !words.contains(*name)).collect();
        assert!(missing.is_empty(), "{shell} lacks {missing:?}");
    }
    let bash = text(&teneral(&["completions", "bash"]).stdout);
    let missing: Vec<_> = names.iter().filter(|name| !bash.contains(&format!("teneral,{name})\n"))).collect();
    assert!(missing.is_empty(), "bash completes no {missing:?}");
    assert_eq!(teneral(&["completions", "tcsh"]).status.code(), Some(2));
}
