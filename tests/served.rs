//! A host that serves, and its operator at the terminal: real processes on a real socket.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Absent, Test, libraries, test};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(i9_the_operator_sees_which_actors_run_which_version_and_which_is_the_default),
        test(r20_the_control_socket_is_for_its_own_user_alone),
        test(r19_a_body_over_its_bound_is_refused_before_it_is_read),
        test(a_host_that_stops_in_order_comes_back_with_everything_as_it_was),
        test(an_actor_that_is_held_when_the_host_stops_loses_nothing),
        test(a_state_is_kept_when_the_socket_cannot_be_had),
        test(an_actor_that_is_down_keeps_its_state_until_it_is_brought_back),
        test(a_host_that_was_killed_comes_back_from_the_start_arguments),
        test(e3_a_request_that_is_made_again_is_the_same_upgrade_also_after_a_restart),
        test(a_request_id_of_another_upgrade_is_refused_and_not_taken_for_done),
        test(an_upgrade_goes_on_when_the_command_is_killed),
        test(a_plan_from_a_file_is_applied_once_and_is_stale_after),
        test(an_operator_holds_an_actor_and_lets_it_go_and_begins_it_anew),
        test(what_went_nowhere_is_listed_with_its_reason),
        test(a_production_host_loads_what_a_trusted_key_signed),
        test(what_a_host_refuses_has_a_code_and_a_hint),
        test(half_a_request_keeps_nobody_else),
        test(one_caller_too_many_is_told_so),
    ]
}

fn i9_the_operator_sees_which_actors_run_which_version_and_which_is_the_default() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    assert_eq!(served.json(&["kind", "list"])[0]["default"], Value::Null);
    served.refuses(1, "SYS-DEFAULT", &["actor", "start", "counter/a", r#"{"total": 5}"#]);
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#]);
    served.says(&["actor", "start", "counter/b", r#"{"total": 0}"#, "--version", "2.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"], json!({ "total": 8 }));
    let of = |actors: &Value| -> Vec<Value> {
        let all = actors.as_array().expect("a list").iter();
        all.map(|view| json!([view["actor"], view["desired"], view["running"], view["schema"]])).collect()
    };
    let before = [json!(["counter/a", "1.0.0", "1.0.0", 1]), json!(["counter/b", "2.0.0", "2.0.0", 2])];
    assert_eq!(of(&served.json(&["actor", "list"])), before);
    let report =
        served.json(&["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "2.0.0", "--reason", "to try it"]);
    assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
    let after = [json!(["counter/a", "2.0.0", "2.0.0", 2]), json!(["counter/b", "2.0.0", "2.0.0", 2])];
    assert_eq!(of(&served.json(&["actor", "list"])), after);
    let kind = &served.json(&["kind", "list"])[0];
    assert_eq!(kind["default"], "1.0.0");
    assert_eq!(kind["versions"], json!(["1.0.0", "2.0.0"]));
    assert_eq!(kind["running"], json!([["2.0.0", 2]]));
    assert_eq!(served.json(&["actor", "state", "counter/a"])["total"], 8);
    let upgrade = served.json(&["upgrade", "status"]);
    assert_eq!((&upgrade["status"], &upgrade["journal"][0]["why"]), (&json!("ended"), &json!("to try it")));
    served.says(&["actor", "stop", "counter/b"]);
    assert_eq!(of(&served.json(&["actor", "list"])), after[..1]);
}

fn r20_the_control_socket_is_for_its_own_user_alone() -> Result<(), Absent> {
    let served = Served::new(&[]);
    let mode = |path: PathBuf| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(served.desk.path().join(".teneral")), 0o700);
    assert_eq!(mode(served.socket()), 0o600);
    // Behind opened doors the kernel's word still counts.
    let copy = served.desk.path().join("teneral");
    fs::copy(env!("CARGO_BIN_EXE_teneral"), &copy).expect("it copies");
    for path in [served.desk.path().to_owned(), served.desk.path().join(".teneral"), served.socket(), copy.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let mut another = Command::new(&copy);
    another.args(["actor", "list"]).current_dir(served.desk.path()).env_remove("TENERAL_DIR").uid(65534).gid(65534);
    let Ok(output) = another.output() else { return Err(Absent("right to become another user")) };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("error[CTL-PEER]: user 65534 "), "{}", text(&output.stderr));
    served.says(&["actor", "list"]);
    Ok(())
}

fn r19_a_body_over_its_bound_is_refused_before_it_is_read() {
    let served = Served::new(&[]);
    for (path, bytes) in
        [("/v1/actors/ask", 1_u64 << 40), ("/v1/artifacts/push", 1 << 40), ("/v1/actors/ask", 10_000_000)]
    {
        // The body is never sent: an answer can only come before it is read.
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
        let answer = served.raw(&head);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains(r#""code":"CTL-LARGE""#), "{answer}");
    }
    // A plan may be larger, within a bound of its own.
    let apply = |bytes: usize, body: &str| {
        let head = "POST /v1/upgrades/apply HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        served.raw(&format!("{head}content-length: {bytes}\r\n\r\n{body}"))
    };
    let answer = apply(2 << 20, &"x".repeat(2 << 20));
    assert!(answer.starts_with("HTTP/1.1 400 "), "it is read, and no plan: {answer}");
    assert!(apply((16 << 20) + 1, "").starts_with("HTTP/1.1 413 "));
    let mut stream = UnixStream::connect(served.socket()).expect("it listens");
    // It stops reading in the middle, so that neither end need be whole.
    let _ = stream.write_all(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(4 << 20)).as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    served.says(&["actor", "list"]);
}

fn a_host_that_stops_in_order_comes_back_with_everything_as_it_was() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["kind", "set-default", "counter", "2.0.0"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "counter", "--to", "2.0.0"]);
    let (before, upgrades) = (served.json(&["kind", "list"]), served.json(&["upgrade", "log"]));
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    assert!(!desk.path().join(".teneral/control.sock").exists());
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["kind", "list"]), before);
    assert_eq!(served.json(&["upgrade", "log"]), upgrades);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
    assert_eq!(served.json(&["actor", "show", "counter/a"])["generation"], 1);
}

fn an_actor_that_is_held_when_the_host_stops_loses_nothing() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
}

fn a_state_is_kept_when_the_socket_cannot_be_had() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    let (desk, _) = served.stop();
    let socket = desk.path().join(".teneral/control.sock");
    fs::write(&socket, "in the way").expect("it is ours");
    let mut again = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output =
        again.arg("serve").current_dir(desk.path()).env_remove("TENERAL_DIR").output().expect("the binary runs");
    assert!(text(&output.stderr).contains("error[CTL-SQUATTED]: "), "{}", text(&output.stderr));
    fs::remove_file(&socket).expect("it is ours");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
}

fn an_actor_that_is_down_keeps_its_state_until_it_is_brought_back() {
    let (served, key) = Served::production_that_counts();
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["key", "distrust", &key]);
    let (desk, _) = served.stop();
    let served = Served::at(desk, &["--production"]);
    let down = served.json(&["actor", "show", "counter/a"]);
    assert_eq!((&down["status"], &down["running"]), (&json!("down"), &Value::Null), "{down:#}");
    served.refuses(1, "GATE-TRUST", &["actor", "restart", "counter/a"]);
    served.says(&["key", "trust", "team.pub"]);
    let anew = ["actor", "start", "counter/a", r#"{"total": 77}"#, "--version", "1.0.0"];
    served.refuses(1, "SYS-DEFINED", &anew);
    served.says(&["actor", "restart", "counter/a"]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
    served.refuses(2, "SYS-ACTOR", &["actor", "restart", "counter/b"]);
}

fn a_host_that_was_killed_comes_back_from_the_start_arguments() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "counter", "--to", "2.0.0"]);
    let desk = served.kill();
    assert!(desk.path().join(".teneral/control.sock").exists(), "nobody took it away");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
    let view = served.json(&["actor", "show", "counter/a"]);
    assert_eq!((&view["desired"], &view["running"]), (&json!("2.0.0"), &json!("2.0.0")));
}

fn e3_a_request_that_is_made_again_is_the_same_upgrade_also_after_a_restart() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let apply = [
        "upgrade",
        "apply",
        "--max-pause",
        "60s",
        "probe/a",
        "--to",
        "2.0.0",
        "--quiesce-timeout",
        "60s",
        "--request-id",
        "monday",
    ];
    let asks =
        || served.command(&apply).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let (first, second) = (asks(), asks());
    until("one is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    fs::write(&hold, "").expect("it is ours");
    for asked in [first, second] {
        let output = asked.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    let log = served.json(&["upgrade", "log"]);
    assert_eq!(log.as_array().map(Vec::len), Some(1), "{log:#}");
    let (desk, _) = served.stop();
    let served = Served::at(desk, &[]);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "probe/a", "--to", "1.0.0", "--allow-downgrade"]);
    let log_before = served.json(&["upgrade", "log"]);
    let again = ["upgrade", "apply", "probe/a", "--to", "2.0.0", "--request-id", "monday"];
    let id = log[0]["id"].as_str().expect("an id");
    assert!(served.says(&again).starts_with(&format!("asked for before, not done again\nupgrade {id}: ended")));
    let other = ["upgrade", "apply", "probe/a", "--to", "1.0.0", "--request-id", "monday"];
    served.refuses(1, "UPG-REPEATED", &other);
    assert_eq!(served.json(&["upgrade", "log"]), log_before);
    assert_eq!(served.json(&["actor", "show", "probe/a"])["running"], "1.0.0");
}

fn a_request_id_of_another_upgrade_is_refused_and_not_taken_for_done() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    for actor in ["counter/a", "counter/b"] {
        served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"]);
    }
    let apply = |target: &[&str], request: &str| -> Vec<String> {
        let common = ["upgrade", "apply", "--max-pause", "60s", "--request-id", request];
        common.iter().chain(target).map(|&word| word.to_owned()).collect()
    };
    let plan_of = |target: &str, file: &str| {
        let plan = served.says(&["upgrade", "plan", target, "--to", "2.0.0", "--json"]);
        fs::write(served.desk.path().join(file), plan).expect("it is ours");
    };
    plan_of("counter/a", "a.json");
    plan_of("counter", "both.json");
    let (a, b) = (["counter/a", "--to", "2.0.0"], ["counter/b", "--to", "2.0.0"]);
    let says = |command: Vec<String>| served.says(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let refuses = |command: Vec<String>| {
        served.refuses(1, "UPG-REPEATED", &command.iter().map(String::as_str).collect::<Vec<_>>())
    };
    says(apply(&a, "r"));
    let said = refuses(apply(&b, "r"));
    assert!(said.contains("take another request id"), "{said}");
    refuses(apply(&["--plan", "both.json"], "r"));
    assert_eq!(served.json(&["actor", "show", "counter/b"])["running"], "1.0.0");
    for again in [apply(&a, "r"), apply(&["--plan", "a.json"], "r")] {
        assert!(says(again).starts_with("asked for before, not done again\n"));
    }
    // One that had nothing to move is known again, too.
    says(apply(&a, "nothing"));
    assert!(says(apply(&a, "nothing")).starts_with("asked for before, not done again\n"));
    refuses(apply(&b, "nothing"));
    assert_eq!(served.json(&["actor", "show", "counter/b"])["running"], "1.0.0");
}

fn an_upgrade_goes_on_when_the_command_is_killed() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let apply = ["upgrade", "apply", "--max-pause", "60s", "probe/a", "--to", "2.0.0", "--quiesce-timeout", "60s"];
    let mut command = served.command(&apply).stdout(Stdio::null()).spawn().expect("the binary runs");
    until("it is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    command.kill().expect("it waits for the host");
    command.wait().expect("it ends");
    assert_eq!(served.json(&["upgrade", "status"])["status"], "running");
    fs::write(&hold, "").expect("it is ours");
    until("it ends", || served.json(&["upgrade", "status"])["status"] == "ended");
    assert_eq!(served.json(&["actor", "show", "probe/a"])["running"], "2.0.0");
}

fn a_plan_from_a_file_is_applied_once_and_is_stale_after() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let plan = served.says(&["upgrade", "plan", "counter", "--to", "2.0.0", "--json"]);
    fs::write(served.desk.path().join("plan.json"), plan).expect("it is ours");
    assert_eq!(served.json(&["actor", "show", "counter/a"])["running"], "1.0.0");
    served.says(&["upgrade", "apply", "--max-pause", "60s", "--plan", "plan.json"]);
    served.refuses(1, "UPG-STALE", &["upgrade", "apply", "--max-pause", "60s", "--plan", "plan.json"]);
    let said = served.refuses(1, "UPG-DIRECTION", &["upgrade", "plan", "counter", "--to", "1.0.0"]);
    assert!(said.contains("--allow-downgrade"), "{said}");
    served.says(&["upgrade", "apply", "--max-pause", "60s", "counter", "--to", "1.0.0", "--allow-downgrade"]);
    served.refuses(2, "CLI-FILE", &["upgrade", "apply", "--max-pause", "60s", "--plan", "nowhere.json"]);
}

fn an_operator_holds_an_actor_and_lets_it_go_and_begins_it_anew() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let held = served.json(&["actor", "pause", "counter/a", "--max", "10m"]);
    assert_eq!((&held["status"], &held["detail"]), (&json!("paused"), &json!("by the control socket")), "{held:#}");
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    assert_eq!(served.json(&["actor", "show", "counter/a"])["queued_messages"], 1);
    assert_eq!(served.json(&["actor", "state", "counter/a"])["total"], 5);
    served.refuses(1, "SYS-ASK", &["actor", "ask", "counter/a", "Get", "--timeout", "1s"]);
    assert_eq!(served.json(&["actor", "resume", "counter/a"])["status"], "running");
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8);
    served.says(&["actor", "restart", "counter/a", "--state", "init"]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
    // It goes on by itself.
    served.says(&["actor", "pause", "counter/a", "--max", "20ms"]);
    until("the time is over", || served.json(&["actor", "show", "counter/a"])["status"] == "running");
    served.push(&["probe-v1"]);
    let hold = served.busy_probe();
    served.refuses(1, "CTL-PAUSE", &["actor", "pause", "probe/a", "--max", "10m"]);
    fs::write(&hold, "").expect("it is ours");
    served.refuses(2, "SYS-ACTOR", &["actor", "pause", "counter/b"]);
}

fn what_went_nowhere_is_listed_with_its_reason() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    for name in ["counter/a", "counter/b"] {
        served.says(&["actor", "start", name, r#"{"total": 5}"#, "--version", "1.0.0"]);
    }
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["actor", "stop", "counter/a"]);
    let letters = served.json(&["dead-letter", "list"]);
    let of = |field: &str| letters[0][field].clone();
    assert_eq!((of("to"), of("message"), of("from")), (json!("counter/a"), json!("Add"), Value::Null), "{letters:#}");
    assert_eq!(of("reason"), "the actor stopped before it handled the message");
    assert!(served.says(&["dead-letter", "list"]).starts_with("ID "));
}

fn a_production_host_loads_what_a_trusted_key_signed() {
    let served = Served::new(&["--production"]);
    let file = served.desk.path().join("counter.so");
    fs::copy(libraries::library("counter-v1"), &file).expect("it copies");
    served.refuses(1, "TRUST-UNSIGNED", &["artifact", "push", "counter.so"]);
    served.says(&["key", "generate", "team", "--no-password"]);
    served.says(&["sign", "counter.so", "--key", "team.key"]);
    served.refuses(1, "TRUST-KEY", &["artifact", "push", "counter.so"]);
    served.says(&["key", "trust", "team.pub"]);
    served.says(&["artifact", "push", "counter.so"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let key = served.json(&["key", "list"])[0]["id"].as_str().expect("an id").to_owned();
    served.says(&["key", "distrust", &key]);
    served.refuses(2, "CTL-KEY", &["key", "distrust", &key]);
    served.refuses(1, "GATE-TRUST", &["actor", "start", "counter/b", r#"{"total": 5}"#, "--version", "1.0.0"]);
}

fn what_a_host_refuses_has_a_code_and_a_hint() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let said = served.refuses(2, "SYS-ACTOR", &["actor", "ask", "counter/b", "Get"]);
    assert!(said.contains("counter/a"), "{said}");
    let said = served.refuses(2, "SYS-KIND", &["actor", "start", "conter/c"]);
    assert!(said.contains("did you mean counter?"), "{said}");
    let said = served.refuses(1, "SYS-DEFAULT", &["actor", "start", "counter/c"]);
    assert!(said.contains("teneral kind set-default counter VERSION"), "{said}");
    let said = served.refuses(2, "SYS-MESSAGE", &["actor", "ask", "counter/a", "Gte"]);
    assert!(said.contains("did you mean Get?"), "{said}");
    served.refuses(2, "SYS-JSON", &["actor", "tell", "counter/a", "Add", r#"{"amount": "x"}"#]);
    let said =
        served.refuses(1, "SYS-START", &["actor", "start", "counter/a", r#"{"total": 1}"#, "--version", "1.0.0"]);
    assert!(said.contains("goes on as it was"), "{said}");
    served.refuses(2, "UPG-VERSION", &["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "3.0.0"]);
    served.refuses(2, "CTL-UPGRADE", &["upgrade", "status", "up-0"]);
    fs::write(served.desk.path().join("x.so"), "junk").expect("it is ours");
    let said = served.refuses(1, "GATE-ELF", &["artifact", "push", "x.so"]);
    assert!(said.contains("x.so: "), "{said}");
    served.refuses(2, "CLI-FILE", &["artifact", "push", "nowhere.so"]);
    served.refuses(1, "STORE-LOCKED", &["serve"]);
    served.refuses(3, "CTL-DOWN", &["actor", "list", "--dir", "nowhere"]);
    let ask = |body: &str| {
        let bytes = body.len();
        served.raw(&format!(
            "POST /v1/actors/ask HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n{body}"
        ))
    };
    let answer = ask(r#"{"actor": "counter/a", "mesage": "Get"}"#);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("unknown field `mesage`"), "{answer}");
    assert!(ask(r#"{"actor": "counter/a", "message": "Get"}"#).contains(r#""reply":{"total":5}"#));
    let answer = served.raw("GET /v1/nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("CTL-PATH"), "{answer}");
    let answer = served.raw("DELETE /v1/actors HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("CTL-PATH"), "{answer}");
}

fn half_a_request_keeps_nobody_else() {
    let served = Served::new(&[]);
    let mut halves = Vec::new();
    for half in ["", "POST /v1/act", "POST /v1/actors/ask HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"actor\""]
    {
        let mut stream = UnixStream::connect(served.socket()).expect("it listens");
        stream.write_all(half.as_bytes()).expect("it reads");
        halves.push(stream);
    }
    served.says(&["actor", "list"]);
    drop(halves);
    let (_desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
}

fn one_caller_too_many_is_told_so() {
    let served = Served::new(&[]);
    let connect = || UnixStream::connect(served.socket()).expect("it listens");
    let mut callers: Vec<UnixStream> = (0..64).map(|_| connect()).collect();
    until("the host has let as many in as it may", || {
        let output = served.run(&["actor", "list"]);
        if output.status.success() {
            // A command before this one had a place still when the last of them came, who was turned away himself.
            callers.push(connect());
        }
        output.status.code() == Some(1) && text(&output.stderr).starts_with("error[CTL-BUSY]: ")
    });
    drop(callers);
    until("there is room again", || served.run(&["actor", "list"]).status.success());
}
