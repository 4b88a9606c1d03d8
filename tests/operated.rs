//! What an operator meets when something is off: who is down and why, what an order costs, a host that hangs.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, libraries, test};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(who_did_not_come_back_is_counted_and_named_with_code_cause_and_hint),
        test(who_failed_too_often_is_down_with_what_it_failed_of),
        test(a_restart_keeps_the_state_unless_it_is_to_begin_anew),
        test(a_restart_is_refused_when_the_state_cannot_be_saved_and_the_actor_goes_on),
        test(an_actor_whose_save_hangs_for_a_plan_is_said_to_hang_and_begins_again_without_that_instance),
        test(who_is_down_again_before_its_restart_is_answered_is_down_and_no_stranger),
        test(one_that_is_down_is_begun_anew_when_its_kept_state_is_given_up),
        test(several_are_stopped_only_when_somebody_says_yes),
        test(a_host_that_is_frozen_costs_no_command_more_than_its_deadline),
        test(a_command_that_takes_long_goes_on_while_its_host_lives),
        test(a_watch_of_nobody_is_refused_with_the_nearest_names),
        test(a_watch_ends_with_4_when_its_time_is_over),
        test(no_time_at_all_is_refused_when_it_is_read),
        test(several_libraries_go_in_by_their_versions_whatever_the_order),
        test(what_went_in_before_one_that_is_bad_is_printed_as_json_too),
        test(a_key_is_distrusted_by_its_file_its_id_or_the_beginning_of_it),
        test(without_its_key_what_runs_goes_on_and_nothing_begins_until_another_signs_it),
        test(a_late_reply_says_who_asked_for_what_and_how_long_ago),
        test(a_key_that_is_not_one_plain_word_starts_nobody),
    ]
}

const PROBE: &str = r#"{"trap": {"step": "", "how": ""}}"#;

fn counting(actors: &[&str]) -> Served {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    for actor in actors {
        served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"]);
    }
    served
}

fn probing(trap: &str) -> Served {
    let served = Served::new(&[]);
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/a", trap, "--version", "1.0.0"]);
    served
}

fn total(served: &Served, actor: &str) -> Value {
    served.json(&["actor", "ask", actor, "Get"])["reply"]["total"].clone()
}

/// The library of `counter/a` and `counter/b`, signed by a key that is not trusted any more when the host comes back.
fn distrusted() -> Served {
    let (served, key) = Served::production();
    for actor in ["counter/a", "counter/b"] {
        served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"]);
        served.says(&["actor", "tell", actor, "Add", r#"{"amount": 1}"#]);
    }
    served.says(&["key", "distrust", &key]);
    let (desk, _) = served.stop();
    Served::at(desk, &["--production"])
}

fn who_did_not_come_back_is_counted_and_named_with_code_cause_and_hint() {
    let served = distrusted();
    let status = served.json(&["status"]);
    assert_eq!((&status["actors"], &status["down"]), (&json!(0), &json!(2)), "{status:#}");
    let first = &status["down_first"][0];
    assert_eq!((&first["actor"], &first["code"]), (&json!("counter/a"), &json!("GATE-TRUST")), "{status:#}");
    assert!(first["cause"].as_str().is_some_and(|cause| cause.contains("key")), "{status:#}");
    let hint = first["hint"].as_str().expect("a hint").to_owned();
    assert!(hint.ends_with("teneral actor restart counter/a"), "{hint}");
    let said = served.says(&["status", "--wait", "1s"]);
    assert!(said.contains("\n2 down\n  counter/a: [GATE-TRUST] "), "it ends well, since the host serves: {said}");
    assert!(served.says(&["actor", "list"]).contains(&format!("    hint: {hint}\n")));
    let view = served.json(&["actor", "show", "counter/a"]);
    assert_eq!((&view["status"], &view["down"]), (&json!("down"), first), "{view:#}");
    let said = served.says(&["actor", "show", "counter/a"]);
    assert!(said.contains("GATE-TRUST") && said.contains(&hint), "{said}");
    let kind = &served.json(&["kind", "list"])[0];
    assert_eq!((&kind["down"], &kind["down_first"]), (&json!(2), &status["down_first"]));
    assert!(served.refuses(1, "SYS-DEFINED", &["actor", "ask", "counter/a", "Get"]).contains("  cause: "));
    served.says(&["key", "trust", "team.pub"]);
    served.says(&["actor", "restart", "counter/a"]);
    assert_eq!((served.json(&["status"])["down"].clone(), total(&served, "counter/a")), (json!(1), json!(6)));
    served.says(&["actor", "stop", "counter/b"]);
    assert_eq!(served.json(&["status"])["down"], 0, "nobody expects it any more");
}

fn who_failed_too_often_is_down_with_what_it_failed_of() {
    let served = probing(PROBE);
    let panic = ["actor", "tell", "probe/a", "Do", r#"{"act": {"TellThenPanic": ["probe/a", "x"]}}"#];
    until("it is given up", || {
        let _ = served.run(&panic);
        served.json(&["actor", "show", "probe/a"])["status"] == "down"
    });
    let down = served.json(&["status"])["down_first"][0].clone();
    let cause = down["cause"].as_str().expect("a cause");
    assert_eq!(down["code"], "SYS-FAILED", "{down:#}");
    assert!(cause.contains("failed more than") && cause.contains("Do failed in 1.0.0: "), "{cause}");
    assert_eq!(down["hint"], "mend what the cause says, then: teneral actor restart probe/a");
    served.says(&["actor", "restart", "probe/a"]);
    assert_eq!(served.json(&["status"])["down"], 0);
}

fn a_restart_keeps_the_state_unless_it_is_to_begin_anew() {
    let served = counting(&["counter/a", "counter/b"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["actor", "restart", "counter/a"]);
    assert_eq!(total(&served, "counter/a"), 8, "it was kept");
    served.says(&["actor", "restart", "-l", "kind=counter"]);
    assert_eq!(total(&served, "counter/a"), 8, "nothing is lost, so nobody is asked");
    served.says(&["actor", "restart", "counter/a", "--state", "init"]);
    assert_eq!(total(&served, "counter/a"), 5, "it began anew");
    let anew = ["actor", "restart", "-l", "kind=counter", "--state", "init"];
    let said = served.refuses(2, "CLI-CONFIRM", &anew);
    assert!(said.contains("--yes") && said.contains("teneral actor list -l kind=counter"), "{said}");
    served.says(&[&anew[..], &["--yes"]].concat());
}

fn who_is_down_again_before_its_restart_is_answered_is_down_and_no_stranger() {
    let served = Served::new(&[]);
    served.push(&["villain-v1"]);
    let fails = r#"{"misdeeds": [{"at": "Started", "how": "Fail"}]}"#;
    let start = ["actor", "start", "villain/v", fails, "--version", "1.0.0"];
    for order in [&start[..]].into_iter().chain([&["actor", "restart", "villain/v"][..]; 30]) {
        let answer = served.run(order);
        let said = text(&answer.stderr);
        let down = answer.status.code() == Some(1) && said.starts_with("error[SYS-DEFINED]: villain/v is defined");
        assert!(answer.status.success() || down, "{said}");
        until("it is down", || served.json(&["actor", "show", "villain/v"])["down"]["code"] == "SYS-FAILED");
    }
}

fn a_restart_is_refused_when_the_state_cannot_be_saved_and_the_actor_goes_on() {
    let served = probing(r#"{"trap": {"step": "save", "how": "error"}}"#);
    let said = served.refuses(1, "CTL-RESTART", &["actor", "restart", "probe/a"]);
    assert!(said.contains("save refuses, as told") && said.contains("--state init"), "{said}");
    assert_eq!(served.json(&["actor", "show", "probe/a"])["status"], "running", "as it was");
    served.says(&["actor", "restart", "probe/a", "--state", "init"]);
}

fn an_actor_whose_save_hangs_for_a_plan_is_said_to_hang_and_begins_again_without_that_instance() {
    let served = probing(PROBE);
    served.push(&["probe-v2"]);
    served.says(&["actor", "start", "probe/b", PROBE, "--version", "1.0.0"]);
    let hold = served.desk.path().join("go-on");
    let trap = json!({ "act": { "SetTrap": { "step": "save", "how": format!("hang {}", hold.display()) } } });
    served.says(&["actor", "tell", "probe/a", "Do", &trap.to_string()]);
    let plan = ["upgrade", "plan", "probe/a", "--to", "2.0.0"];
    let mut said = String::new();
    // On a busy machine the time may be over before it is known that the code hangs.
    until("its code is said to hang", || {
        let output = served.run(&plan);
        assert!(!output.status.success(), "{}", text(&output.stdout));
        said = text(&output.stdout);
        said.contains("error[UPG-HANG]: ")
    });
    assert!(said.contains("teneral actor restart probe/a --state init"), "{said}");
    let view = served.json(&["actor", "show", "probe/a"]);
    assert_eq!((&view["status"], &view["detail"]), (&json!("hung"), &json!("in save")), "{view:#}");
    let hung = served.says(&["status"]);
    let order = "teneral actor restart probe/a --state init";
    assert!(hung.contains("  probe/a: 1.0.0 does not return from save\n    hint: wait for it, or go on "), "{hung}");
    assert!(hung.contains(&format!(": {order}\n")) && !hung.contains("actor stop"), "{hung}");
    // Nobody else is concerned, and what it is told waits.
    served.says(&["actor", "ask", "probe/b", "Read"]);
    served.says(&["actor", "tell", "probe/a", "Note", r#"{"sender": 0, "number": 0}"#]);
    let said = served.refuses(1, "CTL-RESTART", &["actor", "restart", "probe/a"]);
    assert!(said.contains("busy with save") && said.contains("teneral actor restart probe/a --state init"), "{said}");
    served.says(&["actor", "restart", "probe/a", "--state", "init"]);
    let log = || served.json(&["actor", "ask", "probe/a", "Read"])["reply"]["log"].as_array().map(Vec::len);
    assert_eq!((log(), &served.json(&["actor", "show", "probe/a"])["status"]), (Some(1), &json!("running")));
    // Its code comes back: that is an instance of nobody's by now, and no reason against the version any more.
    fs::write(&hold, "").expect("it is ours");
    until("its version is in no quarantine", || served.run(&plan).status.success());
    assert_eq!(log(), Some(1));
    served.says(&["upgrade", "apply", "--max-pause", "60s", "probe/a", "--to", "2.0.0"]);
}

fn one_that_is_down_is_begun_anew_when_its_kept_state_is_given_up() {
    let served = distrusted();
    served.says(&["key", "trust", "team.pub"]);
    served.says(&["actor", "restart", "counter/a", "--state", "init"]);
    served.says(&["actor", "restart", "counter/b"]);
    assert_eq!((total(&served, "counter/a"), total(&served, "counter/b")), (json!(5), json!(6)));
}

fn several_are_stopped_only_when_somebody_says_yes() {
    let served = counting(&["counter/a", "counter/b", "counter/c"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    let all = ["actor", "stop", "-l", "kind=counter"];
    let output = served.run(&all);
    let (shown, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error[CLI-CONFIRM]: ") && shown.contains("\ncounter/a  running"), "{shown}{said}");
    let output = served.run(&[&all[..], &["--json"]].concat());
    let said: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!((&said["error"]["code"], output.status.code()), (&json!("CLI-CONFIRM"), Some(2)), "{said:#}");
    assert_eq!(served.json(&["status"])["actors"], 3, "nobody was stopped");
    let said = served.says(&["actor", "stop", "counter/a"]);
    let wanted = "counter/a has stopped; lost: its state after 1 messages, that it comes back with the host\n";
    assert_eq!(said, wanted);
    let stopped = served.json(&[&all[..], &["--yes"]].concat());
    let lost = json!({ "handled": 0, "queued_messages": 0, "defined": true });
    assert_eq!((&stopped[0]["actor"], &stopped[0]["lost"]), (&json!("counter/b"), &lost), "{stopped:#}");
    // One is one, however it is named.
    served.says(&["actor", "start", "counter/d", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&all);
}

fn a_host_that_is_frozen_costs_no_command_more_than_its_deadline() {
    let served = counting(&["counter/a"]);
    served.signal("-STOP");
    let verbs: [&[&str]; 7] = [
        &["status"],
        &["actor", "list"],
        &["actor", "show", "counter/a"],
        &["actor", "watch"],
        &["actor", "list", "--watch"],
        &["actor", "restart", "counter/a"],
        &["kind", "set-default", "counter", "1.0.0"],
    ];
    let begun = Instant::now();
    let children = verbs.map(|verb| {
        let mut command = served.command(verb);
        command.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        (verb, command.spawn().expect("the binary runs"))
    });
    for (verb, child) in children {
        let output = child.wait_with_output().expect("it ends");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{verb:?}: {said}");
        assert!(said.starts_with("error[CLI-TIMEOUT]: "), "{verb:?}: {said}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(60), "they waited for {took:?}");
    served.refuses(4, "CLI-TIMEOUT", &["actor", "list", "--timeout", "200ms"]);
    served.signal("-CONT");
    until("it answers again", || served.run(&["actor", "list"]).status.success());
}

fn a_command_that_takes_long_goes_on_while_its_host_lives() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let bounds = ["--max-pause", "60s", "--quiesce-timeout", "60s"];
    let mut command = served.command(&[&["upgrade", "apply", "probe/a", "--to", "2.0.0"][..], &bounds].concat());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the binary runs");
    // Longer than a host may be silent: this one says that it lives.
    let begun = Instant::now();
    until("more time is over than a silent host has", || begun.elapsed() > Duration::from_secs(12));
    assert_eq!(child.try_wait().expect("it is ours"), None, "it waits");
    fs::write(&hold, "").expect("it is ours");
    assert!(child.wait().expect("it ends").success());
}

fn a_watch_of_nobody_is_refused_with_the_nearest_names() {
    let served = counting(&["counter/a"]);
    let said = served.refuses(2, "SYS-ACTOR", &["actor", "watch", "conter/a"]);
    assert!(said.contains("counter/a") && said.contains("teneral actor watch conter/a --wait"), "{said}");
    let said = served.refuses(2, "SYS-KIND", &["actor", "watch", "-l", "kind=conter"]);
    assert!(said.contains("did you mean counter?") && said.contains("--wait"), "{said}");
    served.refuses(4, "CLI-TIMEOUT", &["actor", "watch", "conter/a", "--wait", "--timeout", "100ms"]);
}

fn a_watch_ends_with_4_when_its_time_is_over() {
    let served = counting(&["counter/a"]);
    for watch in [&["actor", "watch", "counter/a"][..], &["actor", "list", "-w"], &["upgrade", "status", "-w"]] {
        // So long that it has begun by then, however busy the machine is.
        let said = served.refuses(4, "CLI-TIMEOUT", &[watch, &["--timeout", "3s"]].concat());
        assert!(said.contains("the watch is over after 3s"), "{said}");
    }
}

fn no_time_at_all_is_refused_when_it_is_read() {
    let served = counting(&["counter/a"]);
    let apply = ["upgrade", "apply", "counter", "--to", "1.0.0"];
    let orders = [
        [&apply[..], &["--max-pause", "0s"]].concat(),
        [&apply[..], &["--quiesce-timeout", "0ms"]].concat(),
        vec!["actor", "pause", "counter/a", "--max", "0s"],
        vec!["actor", "list", "--timeout", "0s"],
    ];
    for order in orders {
        let output = served.run(&order);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{order:?}: {said}");
        assert!(said.contains("write 1ms to 365 days"), "{order:?}: {said}");
    }
    let post = |path: &str, body: &Value| {
        let (body, head) = (body.to_string(), "host: x\r\nconnection: close\r\ncontent-length");
        served.raw(&format!("POST {path} HTTP/1.1\r\n{head}: {}\r\n\r\n{body}", body.len()))
    };
    let pause = post("/v1/actors/pause", &json!({ "actor": "counter/a", "max_ms": 0 }));
    let options = json!({ "max_pause_us": 0 });
    let run = post("/v1/upgrades/run", &json!({ "target": "counter", "to": "1.0.0", "options": options }));
    for answer in [pause, run] {
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("nonzero"), "{answer}");
    }
}

fn several_libraries_go_in_by_their_versions_whatever_the_order() {
    let served = Served::new(&[]);
    let file = |package: &str, name: &str| {
        fs::copy(libraries::library(package), served.desk.path().join(name)).expect("it copies");
    };
    [("probe-v3", "c.so"), ("counter-v2", "d.so"), ("probe-v1", "a.so"), ("probe-v2", "b.so")]
        .into_iter()
        .for_each(|(package, name)| file(package, name));
    let pushed = served.json(&["artifact", "push", "c.so", "d.so", "a.so", "b.so"]);
    let pushed: Vec<String> = pushed
        .as_array()
        .expect("a list")
        .iter()
        .map(|release| format!("{} {}", release["kind"], release["version"]).replace('"', ""))
        .collect();
    assert_eq!(pushed, ["probe 1.0.0", "counter 2.0.0", "probe 2.0.0", "probe 3.0.0"]);
}

fn what_went_in_before_one_that_is_bad_is_printed_as_json_too() {
    let served = Served::new(&[]);
    fs::copy(libraries::library("counter-v1"), served.desk.path().join("good.so")).expect("it copies");
    fs::write(served.desk.path().join("bad.so"), "junk").expect("it is ours");
    let output = served.run(&["artifact", "push", "good.so", "bad.so", "--json"]);
    let said: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    assert_eq!((&said["error"]["code"], output.status.code()), (&json!("GATE-ELF"), Some(1)), "{said:#}");
    assert!(said["error"]["now"].as_str().is_some_and(|now| now.contains("1 of 2")), "{said:#}");
    let pushed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&pushed[0]["kind"], pushed.as_array().map(Vec::len)), (&json!("counter"), Some(1)), "{pushed:#}");
}

fn a_key_is_distrusted_by_its_file_its_id_or_the_beginning_of_it() {
    let (served, id) = Served::production_that_counts();
    for typed in ["team.pub", "./team.pub", &id, &id.to_ascii_lowercase(), &id[..6]] {
        assert_eq!(served.json(&["key", "distrust", typed])["id"], id, "{typed}");
        served.says(&["key", "trust", "team.pub"]);
    }
    served.refuses(2, "CTL-KEY", &["key", "distrust", "no-id"]);
    served.refuses(2, "CTL-KEY", &["key", "distrust", ""]);
    served.refuses(2, "CLI-FILE", &["key", "distrust", "nowhere.pub"]);
    served.refuses(2, "TRUST-PUBLIC", &["key", "distrust", "./counter.so.release"]);
    // Among so many some begin alike.
    let mut ids = vec![id];
    for number in 0..16 {
        let name = format!("key{number}");
        served.says(&["key", "generate", &name, "--no-password"]);
        let trusted = served.json(&["key", "trust", &format!("{name}.pub")]);
        ids.push(trusted["id"].as_str().expect("an id").to_owned());
    }
    let first = |id: &String| id[..1].to_owned();
    let shared = ids.iter().find(|id| ids.iter().filter(|other| first(other) == first(id)).count() > 1);
    let said = served.refuses(2, "CTL-KEY", &["key", "distrust", &first(shared.expect("17 keys, 16 digits"))]);
    assert!(said.contains("is the beginning of") && said.contains("type more"), "{said}");
}

fn without_its_key_what_runs_goes_on_and_nothing_begins_until_another_signs_it() {
    let (served, id) = Served::production_that_counts();
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    let done = served.json(&["key", "distrust", &id]);
    let artifact = json!({ "kind": "counter", "version": "1.0.0", "default": true, "defined": ["counter/a"] });
    assert_eq!(done["artifacts"], json!([artifact]), "{done:#}");
    served.says(&["key", "trust", "team.pub"]);
    let said = served.says(&["key", "distrust", "team.pub"]);
    assert!(said.contains("\n  counter  1.0.0  the default, 1 defined on it\n"), "{said}");
    served.says(&["actor", "restart", "counter/a"]);
    assert_eq!(total(&served, "counter/a"), 8, "it goes on, also over a restart");
    served.refuses(1, "GATE-TRUST", &["actor", "start", "counter/b", r#"{"total": 5}"#]);
    served.refuses(1, "TRUST-KEY", &["artifact", "push", "counter.so"]);
    // Another key makes the same artifact good, and who is defined on it comes back.
    served.says(&["key", "generate", "other", "--no-password"]);
    served.says(&["key", "trust", "other.pub"]);
    served.says(&["sign", "counter.so", "--key", "other.key"]);
    served.says(&["artifact", "push", "counter.so"]);
    let (desk, _) = served.stop();
    let served = Served::at(desk, &["--production"]);
    assert_eq!(total(&served, "counter/a"), 8);
}

fn a_late_reply_says_who_asked_for_what_and_how_long_ago() {
    let served = probing(PROBE);
    served.says(&["actor", "start", "probe/b", PROBE, "--version", "1.0.0"]);
    let ask = json!({ "act": { "Ask": { "to": "probe/b", "timeout_ms": 1 } } }).to_string();
    served.says(&["actor", "tell", "probe/a", "Do", &ask]);
    until("the asker gave up", || served.says(&["actor", "state", "probe/a"]).contains("not heard"));
    served.says(&["actor", "tell", "probe/b", "Do", r#"{"act": "Pay"}"#]);
    let letters = || served.json(&["dead-letter", "list"]);
    until("the reply is a dead letter", || !letters()[0].is_null());
    let letter = letters()[0].clone();
    let (to, from) = (&letter["to"], &letter["from"]);
    assert_eq!((to, from, &letter["message"]), (&json!("probe/b"), &json!("probe/a"), &json!("Owe")), "{letter:#}");
    let reason = letter["reason"].as_str().expect("a text");
    assert!(reason.contains(" ms after it was asked"), "{reason}");
}

fn a_key_that_is_not_one_plain_word_starts_nobody() {
    let served = counting(&[]);
    let start = |actor: &'static str| ["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"];
    for (actor, holds) in [
        ("counter/a b", "white space"),
        ("counter/a/b", "a '/'"),
        ("counter/a\u{200b}", "a character that is not seen"),
    ] {
        let said = served.refuses(2, "SYS-KEY", &start(actor));
        assert!(said.contains(holds) && said.contains("write it without"), "{said}");
    }
    assert_eq!(served.run(&start("counter/a\tb")).status.code(), Some(2), "no address at all");
    assert_eq!(served.json(&["actor", "list"]), json!([]));
    for actor in ["counter/ada+shop@example.org", "counter/Zoë", "counter/a:b"] {
        served.says(&start(actor));
    }
}
