//! A host's first and last moments: what it says in them, and what becomes of states.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, test};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use teneral::store::EmbeddedStore;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_signal_while_a_host_starts_is_heeded_and_no_state_is_lost),
        test(an_actor_that_aborts_the_host_uses_up_no_kept_state),
        test(an_actor_that_hangs_while_it_comes_back_takes_no_other_of_its_version_down),
        test(a_version_whose_actors_all_hang_while_they_come_back_is_not_waited_for_without_end),
        test(first_turns_that_hang_after_a_start_that_was_cut_off_are_not_waited_for_without_end),
        test(a_start_that_is_ended_in_order_is_not_one_that_was_cut_off),
        test(a_host_that_stops_says_so_until_it_has),
        test(a_wish_to_stop_may_be_said_twice_or_be_the_terminals_end_and_states_are_kept),
        test(what_is_logged_of_an_actor_names_the_version_of_its_code),
        test(status_says_how_a_host_is_and_waits_for_one),
    ]
}

fn a_wish_to_stop_may_be_said_twice_or_be_the_terminals_end_and_states_are_kept() {
    let mut served = Served::new(&[]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    // As `timeout` does, and a service manager that signals the process and its group; and a terminal that is closed.
    for (round, signals) in [&["-TERM", "-TERM", "-INT"][..], &["-HUP"]].into_iter().enumerate() {
        served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 1}"#]);
        let pid = served.pid().to_string();
        let line = signals.iter().map(|signal| format!("kill {signal} {pid}; ")).collect::<String>();
        // It may be gone before the last one.
        let _ = std::process::Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
        let (desk, ended) = served.ended();
        assert!(ended.success(), "{signals:?}: {ended}");
        served = Served::at(desk, &[]);
        assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 6 + round);
    }
}

fn status(served: &Served) -> (Option<i32>, Value) {
    let output = served.run(&["status", "--json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn a_signal_while_a_host_starts_is_heeded_and_no_state_is_lost() {
    let desk = TempDir::with_prefix("teneral-lifecycle-").expect("a temporary directory");
    let bounds = "[limits]\nactor_start_timeout = \"10m\"\nhang_after = \"10m\"\n";
    fs::write(desk.path().join("teneral.toml"), bounds).expect("it is ours");
    let hold = desk.path().join("go-on");
    let trap = json!({ "trap": { "step": "restore", "how": format!("hang {}", hold.display()) } }).to_string();
    let harmless = r#"{"trap": {"step": "", "how": ""}}"#;
    let served = Served::at(desk, &[]);
    served.push(&["counter-v1", "probe-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    for (actor, args) in [("probe/b", trap.as_str()), ("probe/c", harmless)] {
        served.says(&["actor", "start", actor, args, "--version", "1.0.0"]);
        served.says(&["actor", "tell", actor, "Note", r#"{"sender": 0, "number": 0}"#]);
    }
    // Its state as JSON would spring the trap here already.
    let log = |served: &Served, actor: &str| served.json(&["actor", "ask", actor, "Read"])["reply"]["log"].clone();
    let before = ["probe/b", "probe/c"].map(|actor| log(&served, actor));
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");

    // The counter is back, the second does not come back by itself, and the third was not looked at.
    let served = Served::launched(desk, &[]);
    until("the second is on its way", || hold.with_extension("reached").exists());
    let (exit, health) = status(&served);
    assert_eq!((exit, &health["status"], &health["actors"]), (Some(3), &json!("starting"), &json!(1)), "{health:#}");
    let said = served.refuses(3, "CTL-STARTING", &["actor", "list"]);
    assert!(said.contains("teneral status --wait"), "{said}");
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    assert!(!hold.exists(), "it ended although the second was still on its way");

    fs::write(&hold, "").expect("it is ours");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
    for (actor, before) in ["probe/b", "probe/c"].into_iter().zip(before) {
        assert_eq!(log(&served, actor), before, "{actor}");
        assert_eq!(before.as_array().map(Vec::len), Some(1), "{before:#}");
    }
}

fn an_actor_that_aborts_the_host_uses_up_no_kept_state() {
    for place in ["Restore", "Started"] {
        let served = Served::new(&[]);
        served.push(&["counter-v1", "villain-v1"]);
        let good = [("counter/a", 5), ("counter/b", 7), ("villain/z", 0)];
        for (actor, total) in &good[..2] {
            served.says(&["actor", "start", actor, &json!({ "total": total }).to_string(), "--version", "1.0.0"]);
            served.says(&["actor", "tell", actor, "Add", r#"{"amount": 1}"#]);
        }
        for villain in ["villain/c", "villain/z"] {
            served.says(&["actor", "start", villain, r#"{"misdeeds": []}"#, "--version", "1.0.0"]);
        }
        let plan = json!({ "misdeeds": [{ "at": place, "how": "Abort" }] }).to_string();
        served.says(&["actor", "tell", "villain/c", "Conspire", &plan]);
        served.says(&["actor", "tell", "villain/z", "Conspire", r#"{"misdeeds": []}"#]);
        let (mut desk, ended) = served.stop();
        assert!(ended.success(), "{place}: {ended}");

        // The first time nobody knows whose code it was, the second time the host looks who it is.
        for start in 1..=2 {
            let mut served = Served::launched(desk, &[]);
            until("it ends", || {
                assert_ne!(status(&served).0, Some(0), "{place}, start {start}: it serves");
                served.has_ended()
            });
            let ended;
            (desk, ended) = served.ended();
            assert!(!ended.success(), "{place}, start {start}: {ended}");
        }
        // What its state does to the host is known of that one alone.
        let served = Served::at(desk, &[]);
        for (actor, total) in &good[..2] {
            assert_eq!(served.json(&["actor", "ask", actor, "Get"])["reply"]["total"], total + 1, "{place}: {actor}");
        }
        let handled = |actor: &str| served.json(&["actor", "ask", actor, "Count"])["reply"]["handled"].clone();
        assert_eq!([handled("villain/c"), handled("villain/z")], [json!(1), json!(2)], "{place}: {}", served.log());
        // Somebody was let in since: none of them is used a second time.
        let served = Served::at(served.kill(), &[]);
        for (actor, total) in good {
            let (ask, what) = if total == 0 { ("Count", "handled") } else { ("Get", "total") };
            let expected = if total == 0 { 1 } else { total };
            assert_eq!(served.json(&["actor", "ask", actor, ask])["reply"][what], expected, "{place}: {actor}");
        }
    }
}

/// Probes of 1.0.0, each with a message in its log, of which these hang in `restore` until the file is there.
fn probes_that_hang(names: &[&str], hang: &[&str]) -> (TempDir, PathBuf) {
    probes_that_hang_in("restore", names, hang, "")
}

/// The same at another step, with a host that is configured so.
fn probes_that_hang_in(step: &str, names: &[&str], hang: &[&str], toml: &str) -> (TempDir, PathBuf) {
    let desk = TempDir::with_prefix("teneral-lifecycle-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), toml).expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["probe-v1"]);
    let hold = served.desk.path().join("go-on");
    let trap = json!({ "trap": { "step": step, "how": format!("hang {}", hold.display()) } }).to_string();
    // Nobody hangs as it is started.
    fs::write(&hold, "").expect("it is ours");
    let harmless = r#"{"trap": {"step": "", "how": ""}}"#;
    for actor in names {
        let args = if hang.contains(actor) { &trap } else { harmless };
        served.says(&["actor", "start", actor, args, "--version", "1.0.0"]);
        served.says(&["actor", "tell", actor, "Note", r#"{"sender": 0, "number": 0}"#]);
    }
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    fs::remove_file(&hold).expect("it is ours");
    // Of a step that they went through as they were started.
    let _ = fs::remove_file(hold.with_extension("reached"));
    (desk, hold)
}

/// How much of its state a probe has.
fn logged(served: &Served, actor: &str) -> Option<usize> {
    served.json(&["actor", "ask", actor, "Read"])["reply"]["log"].as_array().map(Vec::len)
}

/// Runs the commands of a hint that name this verb.
fn paste(served: &Served, hint: &str, verb: &str) {
    let command =
        hint.split("; ").find_map(|part| Some(part.split_once("teneral ")?.1).filter(|it| it.starts_with(verb)));
    let command = command.unwrap_or_else(|| panic!("no {verb}: {hint}"));
    served.says(&command.split_whitespace().collect::<Vec<_>>());
}

fn an_actor_that_hangs_while_it_comes_back_takes_no_other_of_its_version_down() {
    let (desk, hold) = probes_that_hang(&["probe/a", "probe/b", "probe/c"], &["probe/b"]);
    let served = Served::at(desk, &[]);
    assert_eq!([logged(&served, "probe/a"), logged(&served, "probe/c")], [Some(1), Some(1)], "{}", served.log());
    let health = status(&served).1;
    let down = &health["down_first"][0];
    assert_eq!((&health["down"], &down["actor"], &down["code"]), (&json!(1), &json!("probe/b"), &json!("SYS-START")));
    let hint = down["hint"].as_str().expect("a hint");
    served.refuses(1, "SYS-QUARANTINED", &["actor", "start", "probe/new", "--version", "1.0.0"]);
    // What it waited for is there: it comes back with its state, and no pardon is needed for that.
    fs::write(&hold, "").expect("it is ours");
    paste(&served, hint, "actor restart");
    assert_eq!(logged(&served, "probe/b"), Some(1));
    paste(&served, hint, "artifact pardon");
    served.says(&["actor", "start", "probe/new", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
}

fn a_version_whose_actors_all_hang_while_they_come_back_is_not_waited_for_without_end() {
    let names = ["probe/a", "probe/b", "probe/c", "probe/d", "probe/e"];
    let (desk, hold) = probes_that_hang(&names, &names);
    let served = Served::at(desk, &[]);
    let health = status(&served).1;
    let codes: Vec<&Value> =
        health["down_first"].as_array().expect("a list").iter().map(|down| &down["code"]).collect();
    assert_eq!(codes, ["SYS-START", "SYS-START", "SYS-START", "SYS-QUARANTINED", "SYS-QUARANTINED"], "{health:#}");
    fs::write(&hold, "").expect("it is ours");
    for down in health["down_first"].as_array().expect("a list") {
        paste(&served, down["hint"].as_str().expect("a hint"), "actor restart");
    }
    assert_eq!(names.map(|actor| logged(&served, actor)), [Some(1); 5], "all have their states");
}

fn first_turns_that_hang_after_a_start_that_was_cut_off_are_not_waited_for_without_end() {
    let names = ["probe/a", "probe/b", "probe/c", "probe/d", "probe/e"];
    let bound = |time: &str| format!("[limits]\nactor_start_timeout = \"{time}\"\n");
    let (desk, hold) = probes_that_hang_in("started", &names, &names, &bound("10m"));
    let served = Served::launched(desk, &[]);
    until("they are on their way", || hold.with_extension("reached").exists());
    let desk = served.kill();
    fs::write(desk.path().join("teneral.toml"), bound("1s")).expect("it is ours");
    // Each for itself, now that somebody may take the host along; of one version three in a row.
    let served = Served::at(desk, &[]);
    assert!(served.log().contains("the host ended while it started the last time"), "{}", served.log());
    let health = status(&served).1;
    let down: Vec<Value> = health["down_first"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|down| json!([down["actor"], down["code"]]))
        .collect();
    let left = |actor: &str| json!([actor, "SYS-QUARANTINED"]);
    assert_eq!(down, [left("probe/d"), left("probe/e")], "{health:#}");
    fs::write(&hold, "").expect("it is ours");
    for down in health["down_first"].as_array().expect("a list") {
        paste(&served, down["hint"].as_str().expect("a hint"), "actor restart");
    }
    assert_eq!(names.map(|actor| logged(&served, actor)), [Some(1); 5], "all have their states");
}

fn a_start_that_is_ended_in_order_is_not_one_that_was_cut_off() {
    let bounds = "[limits]\nactor_start_timeout = \"10m\"\nhang_after = \"10m\"\n";
    let (desk, hold) = probes_that_hang_in("started", &["probe/a", "probe/b"], &["probe/b"], bounds);
    // Both are there, and the first turn of the second is waited for.
    let served = Served::launched(desk, &["--stop-timeout", "2s"]);
    until("its first turn is on its way", || hold.with_extension("reached").exists());
    let (desk, _) = served.stop();
    fs::write(&hold, "").expect("it is ours");
    let served = Served::at(desk, &[]);
    assert_eq!(logged(&served, "probe/a"), Some(1));
    assert!(!served.log().contains("the host ended while it started"), "{}", served.log());
}

fn a_host_that_stops_says_so_until_it_has() {
    let served = Served::new(&["--stop-timeout", "10m"]);
    served.push(&["probe-v1"]);
    let hold = served.busy_probe();
    // What was let in before the stop is answered.
    let ask = served.command(&["actor", "ask", "probe/a", "Read", "--timeout", "10m"]).stdout(Stdio::piped()).spawn();
    let ask = ask.expect("the binary runs");
    until("the request waits", || served.json(&["actor", "show", "probe/a"])["queued_messages"] == 1);
    served.signal("-TERM");
    until("it stops", || status(&served).1["status"] == "stopping");
    assert_eq!(status(&served).0, Some(3));
    let said = served.refuses(3, "CTL-STOPPING", &["actor", "list"]);
    assert!(said.contains("the host is stopping, process "), "{said}");
    fs::write(&hold, "").expect("it is ours");
    let answered = ask.wait_with_output().expect("it ends");
    assert!(answered.status.success(), "{}", text(&answered.stdout));
    let (_desk, ended) = served.ended();
    assert!(ended.success(), "{ended}");
}

fn status_says_how_a_host_is_and_waits_for_one() {
    let desk = TempDir::with_prefix("teneral-lifecycle-").expect("a temporary directory");
    let down = Served::launched(desk, &["--help"]);
    down.refuses(3, "CTL-DOWN", &["status"]);
    let mut waiting = down.command(&["status", "--wait", "10m"]);
    let waiting = waiting.stdout(Stdio::piped()).spawn().expect("the binary runs");
    // A process that has the directory and no socket: the first or the last moment of a host's life.
    let store = EmbeddedStore::open(&down.desk.path().join(".teneral")).expect("nobody has it");
    let said = down.refuses(3, "CTL-BETWEEN", &["status"]);
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    drop(store);
    let served = Served::launched(down.kill(), &["--production"]);
    let said = waiting.wait_with_output().expect("it ends");
    assert!(said.status.success() && text(&said.stdout).starts_with("status      serving\n"), "{}", text(&said.stdout));
    let (exit, health) = status(&served);
    assert_eq!((exit, &health["status"]), (Some(0), &json!("serving")), "{health:#}");
    assert_eq!(health["profile"], "production");
    assert_eq!(health["pid"], served.pid());
}

fn what_is_logged_of_an_actor_names_the_version_of_its_code() {
    let desk = TempDir::with_prefix("teneral-lifecycle-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), "log.format = \"json\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["probe-v1", "probe-v2"]);
    let harmless = r#"{"trap": {"step": "", "how": ""}}"#;
    served.says(&["actor", "start", "probe/a", harmless, "--version", "1.0.0"]);
    let panics = |times: usize| {
        served.says(&["actor", "tell", "probe/a", "Do", r#"{"act": {"TellThenPanic": ["probe/a", "x"]}}"#]);
        until("it has begun anew", || served.json(&["actor", "show", "probe/a"])["restarts"] == times);
    };
    panics(1);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "probe/a", "--to", "2.0.0"]);
    panics(2);
    let (pid, log) = (served.pid(), served.log());
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let about: Vec<&Value> = lines.iter().filter(|line| line["actor"] == "probe/a").collect();
    assert!(about.iter().all(|line| line["kind"] == "probe" && line["version"].is_string()), "{log}");
    // What the host says of it, and what its own code says, which knows nothing of actors.
    let says = |said: &str, by: &str| -> Vec<Value> {
        let said = about.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(said)));
        said.filter(|line| line["plugin"].as_str().unwrap_or("host") == by)
            .map(|line| json!([line["version"], line["generation"]]))
            .collect()
    };
    let both = [json!(["1.0.0", 0]), json!(["2.0.0", 1])];
    assert_eq!(says("a turn failed", "host"), both, "{log}");
    assert_eq!(says("as told", "panic"), both, "{log}");
    assert_eq!(says("upgraded", "host"), both[1..], "{log}");
    let ready = lines.iter().find(|line| line["message"] == "ready").expect("it says so");
    assert_eq!(
        (&ready["pid"], &ready["profile"], &ready["level"]),
        (&json!(pid), &json!("development"), &json!("INFO"))
    );
}
