//! Kinds over several processes behind one address: who serves, what becomes of calls when a process is killed, and
//! upgrades for which nobody waits.

use crate::harness::house::until;
use crate::harness::served::Served;
use crate::harness::{Test, test};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(p27_while_processes_are_killed_under_load_no_call_fails),
        test(
            p27_a_call_that_may_be_handled_twice_is_answered_by_another_and_one_that_may_not_waits_for_the_next_process,
        ),
        test(p28_an_upgrade_under_load_puts_members_of_the_new_version_in_place_and_no_call_fails),
        test(p29_each_instance_is_shown_with_what_is_pending_there_and_how_it_stands_with_it),
        test(messages_go_to_the_members_one_after_the_other_or_by_their_shares),
        test(an_address_comes_back_with_its_host_and_takes_its_processes_along_when_it_stops),
        test(a_member_that_is_stopped_is_replaced_and_takes_no_orders_of_its_own),
        test(what_is_said_of_a_kind_that_is_spread_and_cannot_be_is_refused_with_its_line),
    ]
}

/// A host that has a kind in several processes.
fn spread(kind: &str, instances: usize, more: &str) -> Served {
    let desk = TempDir::with_prefix("teneral-spread-").expect("a temporary directory");
    let config = format!("[kinds.{kind}]\nplace = \"process\"\ninstances = {instances}\n{more}\n");
    fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
    Served::at(desk, &[])
}

fn modules(served: &Served) -> Vec<Value> {
    served.json(&["module", "list"]).as_array().expect("a list").clone()
}

fn pids(served: &Served) -> Vec<u64> {
    modules(served).iter().filter_map(|module| module["pid"].as_u64()).collect()
}

/// The members' health, by slot.
fn health(served: &Served) -> Vec<String> {
    let all = modules(served).into_iter().flat_map(|module| module["members"].as_array().cloned().unwrap_or_default());
    all.map(|member| member["health"].as_str().expect("a text").to_owned()).collect()
}

/// Whether each slot has its member, and each of them serves.
fn all_serve(served: &Served, instances: usize) -> bool {
    let health = health(served);
    health.len() == instances && health.iter().all(|one| one == "serving" || one == "slow_start")
}

fn lives(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn kill(pid: u64) {
    let sent = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "it reaches {pid}");
}

/// The answer to an ask over the socket, head and body.
fn ask(served: &Served, actor: &str, message: &str, body: &Value) -> String {
    let asked = json!({ "actor": actor, "message": message, "body": body, "timeout_ms": 60_000 }).to_string();
    let head = "host: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length";
    served.raw(&format!("POST /v1/actors/ask HTTP/1.1\r\n{head}: {}\r\n\r\n{asked}", asked.len()))
}

/// Asks on and on, by several at a time, while something is done: how many calls there were, and those that failed.
fn under_load(served: &Served, act: impl FnOnce(&AtomicUsize)) -> (usize, Vec<String>) {
    let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed = thread::scope(|scope| {
        let asks = || {
            let mut failed = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let answer = ask(served, "counter/a", "Get", &json!({}));
                calls.fetch_add(1, Ordering::Relaxed);
                if !answer.starts_with("HTTP/1.1 200 ") {
                    failed.push(answer);
                }
            }
            failed
        };
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(asks)).collect();
        act(&calls);
        over.store(true, Ordering::Relaxed);
        asking.into_iter().flat_map(|one| one.join().expect("it asks")).collect()
    });
    (calls.into_inner(), failed)
}

/// Until so many more calls were made.
fn go_on(calls: &AtomicUsize, more: usize) {
    let until_then = calls.load(Ordering::Relaxed) + more;
    until("calls are made", || calls.load(Ordering::Relaxed) >= until_then);
}

fn p27_while_processes_are_killed_under_load_no_call_fails() {
    let served = spread("counter", 2, "idempotent = [\"Get\"]");
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let (calls, failed) = under_load(&served, |calls| {
        for number in 0..4 {
            until("both serve", || all_serve(&served, 2));
            go_on(calls, 20);
            kill(pids(&served)[number % 2]);
            go_on(calls, 20);
        }
        // The other one may have answered all of that before the last one is there again.
        until("both serve", || all_serve(&served, 2));
    });
    assert_eq!(failed, Vec::<String>::new(), "of {calls}");
    let starts: u64 = modules(&served).iter().filter_map(|module| module["starts"].as_u64()).sum();
    assert_eq!(starts, 6, "two at first, and one for each that was killed");
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
}

fn p27_a_call_that_may_be_handled_twice_is_answered_by_another_and_one_that_may_not_waits_for_the_next_process() {
    let served = spread("probe", 2, "balance = \"round-robin\"\nidempotent = [\"Read\"]");
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/p", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    until("both serve", || health(&served) == ["serving", "serving"]);
    // The first one's turn does not end, so that what it is handed stays in its hands.
    let hold = served.desk.path().join("go-on");
    let block = json!({ "act": { "Block": { "until": hold } } }).to_string();
    let member = modules(&served)[0]["members"][0]["member"].as_str().expect("a name").to_owned();
    served.says(&["actor", "tell", &member, "Do", &block]);
    until("the turn begins", || hold.with_extension("reached").exists());
    let pending = || modules(&served)[0]["members"][0]["pending"].as_u64();
    let read = |answers: &AtomicUsize| {
        let answer = ask(&served, "probe/p", "Read", &json!({}));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answers.fetch_add(1, Ordering::Relaxed);
    };
    let tally = |answers: &AtomicUsize| {
        let answer = ask(&served, "probe/p", "Tally", &json!({ "sender": 1, "number": 0 }));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answers.fetch_add(1, Ordering::Relaxed);
    };
    let (reads, tallies) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (read, tally) = (|| read(&reads), || tally(&tallies));
    let answered = || reads.load(Ordering::Relaxed) + tallies.load(Ordering::Relaxed);
    thread::scope(|scope| {
        // One after the other, so that each member gets two of both.
        for (number, is_read) in (1..).zip([true, true, false, false, true, true, false, false]) {
            let _ = if is_read { scope.spawn(read) } else { scope.spawn(tally) };
            until("it is answered, or in the hands of the first", || {
                answered() + pending().map_or(0, |pending| pending as usize) == number
            });
        }
        assert_eq!((answered(), pending()), (4, Some(4)));
        // No other process can be started in its place for now.
        let (dir, aside) = (served.desk.path().join(".teneral/modules"), served.desk.path().join("aside"));
        fs::rename(&dir, &aside).expect("it is ours");
        kill(pids(&served)[0]);
        until("each read is answered", || reads.load(Ordering::Relaxed) == 4);
        assert_eq!(tallies.load(Ordering::Relaxed), 2, "what may not be handled twice waits");
        assert_eq!(health(&served), ["gone", "serving"]);
        for _ in 0..6 {
            read();
        }
        assert_eq!(tallies.load(Ordering::Relaxed), 2, "nobody else got it");
        fs::rename(&aside, &dir).expect("it is ours");
        fs::write(&hold, "").expect("it is ours");
        until("each tally is answered", || tallies.load(Ordering::Relaxed) == 4);
    });
    until("both serve", || all_serve(&served, 2));
}

fn p28_an_upgrade_under_load_puts_members_of_the_new_version_in_place_and_no_call_fails() {
    let served = spread("counter", 2, "");
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    until("both serve", || all_serve(&served, 2));
    let before = pids(&served);
    let (calls, failed) = under_load(&served, |calls| {
        go_on(calls, 20);
        let report = served.json(&["upgrade", "apply", "counter/a", "--to", "2.0.0", "--max-pause", "60s"]);
        assert_eq!(report["actors"].as_array().map(Vec::len), Some(1), "{report:#}");
        assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
        until("the processes of the version before end", || !before.iter().any(|pid| lives(*pid)));
        until("members of the new one serve", || {
            all_serve(&served, 2) && modules(&served).iter().all(|module| module["version"] == "2.0.0")
        });
        go_on(calls, 20);
    });
    assert_eq!(failed, Vec::<String>::new(), "of {calls}");
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
    let back = ["upgrade", "apply", "counter", "--to", "1.0.0", "--allow-downgrade", "--max-pause", "60s"];
    let report = served.json(&back);
    assert_eq!(report["actors"].as_array().map(Vec::len), Some(1), "members follow: {report:#}");
    until("the first version serves again", || {
        all_serve(&served, 2) && modules(&served).iter().all(|module| module["version"] == "1.0.0")
    });
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"], json!({ "total": 5 }));
}

fn p29_each_instance_is_shown_with_what_is_pending_there_and_how_it_stands_with_it() {
    let served = spread("probe", 2, "");
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/p", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    until("both serve", || health(&served) == ["serving", "serving"]);
    let all = modules(&served);
    let slots: Vec<_> = all.iter().map(|module| module["slot"].as_u64()).collect();
    assert_eq!(slots, [Some(1), Some(2)]);
    for module in &all {
        let endpoint = module["endpoint"].as_str().expect("a text");
        assert!(endpoint.starts_with("unix:/") && module["found"] == "supervisor", "{module:#}");
        assert_eq!((&module["actors"], &module["members"][0]["pending"]), (&json!(1), &json!(0)), "{module:#}");
        assert_eq!(module["members"][0]["address"], "probe/p");
    }
    assert_eq!(pids(&served).into_iter().collect::<BTreeSet<_>>().len(), 2, "each is a process of its own");
    let shown = served.says(&["module", "show", "probe"]);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..6], ["ADDRESS", "MEMBER", "VERSION", "SLOT", "PID", "PENDING"], "{shown}");
    assert_eq!((rows.len(), rows[1][0], rows[2][3], rows[2][6]), (3, "probe/p", "2", "ok"), "{shown}");
    let one = served.says(&["module", "show", "probe", "--slot", "2"]);
    let says = |words: &str| one.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == words);
    assert!(says("slot 2") && says("probe/p#2 0 pending, ok"), "{one}");
    served.refuses(1, "MOD-NONE", &["module", "show", "probe", "--slot", "3"]);
    served.refuses(2, "CLI-USAGE", &["module", "logs", "probe"]);
    let member = all[1]["members"][0]["member"].as_str().expect("a name");
    let trap = json!({ "act": { "TellThenPanic": ["probe/p", "x"] } }).to_string();
    served.says(&["actor", "tell", member, "Do", &trap]);
    until("it is written", || served.says(&["module", "logs", "probe", "--slot", "2"]).contains("panicked"));
    assert_eq!(served.says(&["module", "logs", "probe", "--slot", "1"]), "", "each writes for itself");
    let refused = served.refuses(1, "SYS-SPREAD", &["actor", "state", "probe/p"]);
    assert!(refused.contains("teneral actor state probe/p#1"), "{refused}");
}

fn messages_go_to_the_members_one_after_the_other_or_by_their_shares() {
    for (balance, shares) in [("round-robin", [10, 10]), ("weighted", [15, 5])] {
        let served = spread("counter", 2, &format!("balance = \"{balance}\"\nweights = [3, 1]"));
        served.push(&["counter-v1"]);
        served.says(&["actor", "start", "counter/a", r#"{"total": 0}"#, "--version", "1.0.0"]);
        until("both serve", || health(&served) == ["serving", "serving"]);
        for _ in 0..20 {
            served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 1}"#]);
        }
        let total = |number: usize| {
            let member = modules(&served)[number]["members"][0]["member"].as_str().expect("a name").to_owned();
            served.json(&["actor", "ask", &member, "Get"])["reply"]["total"].as_u64().expect("a number")
        };
        assert_eq!([total(0), total(1)], shares, "{balance}");
    }
}

fn an_address_comes_back_with_its_host_and_takes_its_processes_along_when_it_stops() {
    let served = spread("counter", 2, "balance = \"hash\"");
    served.push(&["counter-v1"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 7}"#, "--version", "1.0.0"]);
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 7);
    until("both serve", || all_serve(&served, 2));
    let desk = served.kill();
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 7, "after a crash, too");
    until("both serve", || all_serve(&served, 2));
    let all = pids(&served);
    served.says(&["actor", "stop", "counter/a"]);
    until("nobody needs them any more", || modules(&served).is_empty() && !all.iter().any(|pid| lives(*pid)));
    assert_eq!(served.json(&["actor", "list"]), json!([]));
    served.says(&["actor", "start", "counter/a", r#"{"total": 8}"#, "--version", "1.0.0"]);
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 8, "under the same name");
}

fn a_member_that_is_stopped_is_replaced_and_takes_no_orders_of_its_own() {
    let served = spread("counter", 2, "");
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    until("both serve", || all_serve(&served, 2));
    let said = served.refuses(1, "SYS-MEMBER", &["upgrade", "apply", "counter/a#1", "--to", "2.0.0"]);
    assert!(said.contains("give the order to counter/a"), "{said}");
    served.says(&["actor", "stop", "counter/a#1"]);
    until("another one is there", || {
        let of = |module: &Value| module["members"][0]["member"].as_str().map(str::to_owned);
        all_serve(&served, 2) && modules(&served).iter().filter_map(of).any(|name| name == "counter/a#3")
    });
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5);
}

fn what_is_said_of_a_kind_that_is_spread_and_cannot_be_is_refused_with_its_line() {
    let desk = TempDir::with_prefix("teneral-spread-").expect("a temporary directory");
    let config = "\
        [kinds.a]\nplace = \"process\"\ninstances = 0\n\
        [kinds.b]\ninstances = 2\n\
        [kinds.c]\nplace = \"process\"\nbalance = \"hash\"\n\
        [kinds.d]\nplace = \"process\"\ninstances = 2\nbalance = \"hsah\"\nweights = [1]\nidempotent = [7]\n\
        [kinds.e]\nplace = \"process\"\ninstances = 2\nweights = [1, 101]\nidempotant = []\n";
    fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = command.args(["serve"]).current_dir(desk.path()).env_remove("TENERAL_DIR").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for problem in [
        "teneral.toml:3:13: kinds.a.instances is 0: it goes from 1 to 64",
        "teneral.toml:5:13: kinds.b.instances needs kinds.b.place = \"process\"",
        "teneral.toml:8:11: kinds.c.balance needs kinds.c.instances",
        "teneral.toml:12:11: kinds.d.balance is none of two-choices, round-robin, weighted, hash: did you mean hash?",
        "teneral.toml:13:11: kinds.d.weights has 1 of them, for 2 instances",
        "teneral.toml:14:14: kinds.d.idempotent takes names of messages, not a number",
        "teneral.toml:18:11: kinds.e.weights has one that is 101: it goes from 1 to 100",
        "teneral.toml:19:1: no key kinds.e.idempotant: did you mean idempotent?",
    ] {
        assert!(said.contains(problem), "{problem} in {said}");
    }
}
