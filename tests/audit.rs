//! Who asked a host for what, how often they may, and what is left of a request whose caller is gone.

use crate::harness::house::{GENEROUS, until};
use crate::harness::served::{Served, text};
use crate::harness::{Test, libraries, test};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(u48_over_the_socket_the_journal_says_who_and_why_and_the_audit_through_what),
        test(every_change_is_in_the_audit_with_its_reason_and_what_came_of_it),
        test(the_audit_is_read_in_pages_and_outlives_the_host),
        test(messages_have_a_ledger_of_their_own),
        test(what_a_host_was_at_when_it_died_has_no_outcome_in_the_audit),
        test(r21_a_flood_of_one_user_is_refused_with_its_code_and_other_work_goes_on),
        test(a_caller_that_leaves_in_the_middle_leaves_all_of_it_or_nothing),
    ]
}

/// This user, as journals write it.
fn me() -> String {
    let said = |option: &str| text(&Command::new("id").arg(option).output().expect("id runs").stdout).trim().to_owned();
    let (name, uid) = (said("-un"), said("-u"));
    if name.is_empty() || name == uid { format!("uid {uid}") } else { format!("user {name}") }
}

/// These fields of an entry.
fn of(entry: &Value, fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|name| entry[name].clone()).collect()
}

fn start(served: &Served, actor: &str) {
    served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0", "--reason", "for a test"]);
}

fn u48_over_the_socket_the_journal_says_who_and_why_and_the_audit_through_what() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    start(&served, "counter/a");
    let digests: Vec<Value> = served
        .json(&["artifact", "list"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["sha256"].clone())
        .collect();
    let apply = ["upgrade", "apply", "counter", "--to", "2.0.0", "--max-pause", "60s", "--reason", "mañana: 50 % more"];
    let report = served.json(&apply);
    assert_eq!(of(&report, &["who", "why"]), [json!(me()), json!("mañana: 50 % more")]);
    let id = report["id"].as_str().expect("an id");
    let view = served.json(&["upgrade", "status", id]);
    let journal = view["journal"].as_array().expect("a journal");
    let begin = &journal[0];
    assert_eq!(of(begin, &["entry", "who", "why"]), [json!("begin"), json!(me()), json!("mañana: 50 % more")]);
    assert!(begin["at_unix_us"].as_u64().is_some_and(|at| at > 0));
    let moved = of(&begin["moves"][0], &["addr", "from", "to", "from_digest", "to_digest", "generation"]);
    let wanted = [json!("counter/a"), json!("1.0.0"), json!("2.0.0"), digests[0].clone(), digests[1].clone(), json!(0)];
    assert_eq!(moved, wanted);
    let steps: Vec<&Value> = journal.iter().filter(|entry| entry["entry"] == "step").collect();
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, ["verify", "check", "trial", "load", "pause", "snapshot", "migrate", "commit", "resume"]);
    assert!(steps.iter().all(|step| step["took_us"].is_u64() && step["at_unix_us"].is_u64()), "{steps:#?}");
    let end = journal.last().expect("an end");
    assert_eq!(
        of(&end["actors"][0], &["addr", "outcome", "now"]),
        [json!("counter/a"), json!("committed"), json!("2.0.0")]
    );
    let entry = &served.json(&["audit", "list", "--limit", "1"])[0];
    let wanted = [json!(me()), json!("upgrades/run"), json!(format!("{id} counter/a")), json!("done")];
    assert_eq!(of(entry, &["who", "act", "what", "outcome"]), wanted);
    assert_eq!(entry["reason"], "mañana: 50 % more");
    // A plan that one user made is the upgrade of whoever applies it.
    served.push(&["counter-v2"]);
    let plan = served.says(&["upgrade", "plan", "counter", "--to", "1.0.0", "--allow-downgrade", "--json"]);
    let mut plan: Value = serde_json::from_str(&plan).expect("a plan");
    plan["who"] = json!("somebody else");
    fs::write(served.desk.path().join("plan.json"), plan.to_string()).expect("it is ours");
    assert_eq!(served.json(&["upgrade", "apply", "--plan", "plan.json"])["who"], json!(me()));
}

fn every_change_is_in_the_audit_with_its_reason_and_what_came_of_it() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    start(&served, "counter/a");
    served.says(&["kind", "set-default", "counter", "1.0.0", "--reason", "r1"]);
    served.says(&["actor", "pause", "counter/a", "--reason", "r2"]);
    served.says(&["actor", "resume", "counter/a", "--reason", "r3"]);
    served.says(&["actor", "restart", "counter/a", "--reason", "r4"]);
    served.says(&["key", "generate", "team", "--no-password"]);
    served.says(&["key", "trust", "team.pub", "--reason", "r5"]);
    let key = served.json(&["key", "list"]);
    let key = key.as_array().and_then(|keys| keys.iter().find(|key| key["name"] == "team")).expect("it is trusted");
    assert_eq!(key["by"], json!(me()));
    let id = key["id"].as_str().expect("an id").to_owned();
    served.says(&["key", "distrust", &id, "--reason", "r6"]);
    served.refuses(2, "UPG-VERSION", &["upgrade", "apply", "counter", "--to", "9.0.0", "--reason", "r7"]);
    served.refuses(2, "CTL-UPGRADE", &["upgrade", "cancel", "up-0", "--reason", "r8"]);
    fs::write(served.desk.path().join("x.so"), "junk").expect("it is ours");
    served.refuses(1, "GATE-ELF", &["artifact", "push", "x.so", "--reason", "r9"]);
    served.says(&["actor", "stop", "counter/a", "--reason", "r10"]);
    let entries = served.json(&["audit", "list"]);
    let entries: Vec<&Value> = entries.as_array().expect("a list").iter().rev().collect();
    let seen: Vec<String> = entries
        .iter()
        .map(|entry| {
            let [act, reason, outcome] = ["act", "reason", "outcome"].map(|name| entry[name].as_str().unwrap_or("-"));
            format!("{act}|{reason}|{outcome}").replace(&id, "ID")
        })
        .collect();
    let wanted = [
        "artifacts/push||done",
        "actors/start|for a test|done",
        "kinds/set-default|r1|done",
        "actors/pause|r2|done",
        "actors/resume|r3|done",
        "actors/restart|r4|done",
        "keys/trust|r5|done",
        "keys/ID/distrust|r6|done",
        "upgrades/run|r7|UPG-VERSION",
        "upgrades/up-0/cancel|r8|CTL-UPGRADE",
        "artifacts/push|r9|GATE-ELF",
        "actors/stop|r10|done",
    ];
    assert_eq!(seen, wanted);
    for entry in &entries {
        assert_eq!(entry["who"], json!(me()), "{entry}");
        assert!(entry["pid"].as_i64().is_some_and(|pid| pid > 0) && entry["uid"].is_u64(), "{entry}");
    }
    assert_eq!(entries[6]["what"], json!(format!("{id} team")), "a name is no proof of a key");
    let stop = entries[11];
    assert!(stop["client"].as_str().is_some_and(|client| client.ends_with(" (actor stop)")), "{stop}");
    assert_eq!(stop["what"], "counter/a");
    let table = served.says(&["audit", "list", "--limit", "1"]);
    assert!(table.starts_with("SEQ ") && table.contains("actors/stop  counter/a  done"), "{table}");
}

fn the_audit_is_read_in_pages_and_outlives_the_host() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    for actor in ["counter/a", "counter/b", "counter/c"] {
        start(&served, actor);
    }
    let numbers = |served: &Served, more: &[&str]| -> Vec<u64> {
        let entries = served.json(&[&["audit", "list"], more].concat());
        entries.as_array().expect("a list").iter().filter_map(|entry| entry["seq"].as_u64()).collect()
    };
    assert_eq!(numbers(&served, &[]), [4, 3, 2, 1]);
    assert_eq!(numbers(&served, &["--limit", "2"]), [4, 3]);
    assert_eq!(numbers(&served, &["--limit", "2", "--before", "3"]), [2, 1]);
    let served = Served::at(served.kill(), &[]);
    assert_eq!(numbers(&served, &[]), [4, 3, 2, 1]);
    start(&served, "counter/d");
    assert_eq!(numbers(&served, &["--limit", "1"]), [5]);
}

fn messages_have_a_ledger_of_their_own() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    start(&served, "counter/a");
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#, "--reason", "it was short"]);
    served.says(&["actor", "ask", "counter/a", "Get"]);
    served.refuses(2, "SYS-MESSAGE", &["actor", "ask", "counter/a", "Gte"]);
    let messages = served.json(&["audit", "list", "--messages"]);
    let seen: Vec<Vec<Value>> = messages
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| of(entry, &["act", "what", "reason", "outcome"]))
        .collect();
    let wanted = json!([
        ["actors/ask", "counter/a Gte", "", "SYS-MESSAGE"],
        ["actors/ask", "counter/a Get", "", "done"],
        ["actors/tell", "counter/a Add", "it was short", "done"],
    ]);
    assert_eq!(json!(seen), wanted);
    assert_eq!(served.json(&["audit", "list"]).as_array().map(Vec::len), Some(2), "the push and the start");
}

fn what_a_host_was_at_when_it_died_has_no_outcome_in_the_audit() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    served.busy_probe();
    let apply = ["upgrade", "apply", "probe/a", "--to", "2.0.0", "--quiesce-timeout", "60s", "--max-pause", "60s"];
    let mut waiting = served.command(&apply).stderr(std::process::Stdio::null()).spawn().expect("the binary runs");
    until("it is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    let served = Served::at(served.kill(), &[]);
    let entry = &served.json(&["audit", "list", "--limit", "1"])[0];
    assert_eq!(of(entry, &["act", "outcome"]), [json!("upgrades/run"), Value::Null]);
    assert_eq!(waiting.wait().expect("it ends").code(), Some(1));
}

/// One request on a connection that stays; the status and all of the answer.
fn ask(stream: &mut UnixStream, path: &str) -> (u16, String) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).expect("it reads");
    let (mut said, mut piece) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).expect("it answers");
        assert!(read > 0, "it went away: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..read]));
        let length = said.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let body = said.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if length.and_then(|length| length.parse().ok()) == body && body.is_some() {
            let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            return (status, said);
        }
    }
}

fn r21_a_flood_of_one_user_is_refused_with_its_code_and_other_work_goes_on() {
    let served = Served::new(&[]);
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    let timer = r#"{"act": {"Timer": {"delay_ms": 1, "period_ms": 1, "text": "x"}}}"#;
    served.says(&["actor", "tell", "probe/a", "Do", timer]);
    let socket = served.socket();
    let connect = |path: &Path| {
        let stream = UnixStream::connect(path).expect("it listens");
        stream.set_read_timeout(Some(GENEROUS)).expect("a time");
        stream
    };
    let (over, refused, answered) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut stream = connect(&socket);
                while !over.load(Relaxed) {
                    let (status, said) = ask(&mut stream, "/v1/actors");
                    match status {
                        200 => answered.fetch_add(1, Relaxed),
                        _ => {
                            assert!(status == 429 && said.contains(r#""code":"CTL-RATE""#), "{said}");
                            assert!(said.contains("retry-after: 1\r\n"), "{said}");
                            refused.fetch_add(1, Relaxed)
                        }
                    };
                }
            });
        }
        until("the flood is refused", || refused.load(Relaxed) > 100);
        let mut health = connect(&socket);
        for _ in 0..100 {
            let (status, said) = ask(&mut health, "/v1/health");
            assert_eq!(status, 200, "whoever looks after the host still sees it: {said}");
        }
        let before = answered.load(Relaxed);
        until("some are answered all the while", || answered.load(Relaxed) > before + 100);
        // The actor's own work goes on: its timer fires.
        let handled = |said: &str| {
            said.split(r#""handled":"#).nth(1).and_then(|rest| rest.split(',').next()?.parse::<u64>().ok())
        };
        let mut looks = connect(&socket);
        let mut seen = Vec::<u64>::new();
        until("the actor works", || {
            let (status, said) = ask(&mut looks, "/v1/actors/probe%2Fa");
            seen.extend((status == 200).then(|| handled(&said)).flatten());
            seen.last().is_some_and(|last| *last > seen[0] + 20)
        });
        over.store(true, Relaxed);
    });
    until("it is over", || served.run(&["actor", "list"]).status.success());
}

fn a_caller_that_leaves_in_the_middle_leaves_all_of_it_or_nothing() {
    let served = Served::new(&[]);
    let library = fs::read(libraries::library("counter-v1")).expect("it is there");
    let leave = |path: &str, bytes: usize, body: &[u8]| {
        let mut stream = UnixStream::connect(served.socket()).expect("it listens");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("it reads");
        stream.shutdown(Shutdown::Both).expect("it is open");
    };
    // Half an artifact, half an order: nothing.
    leave("/v1/artifacts/push", library.len(), &library[..library.len() / 2]);
    until("the host has seen it go", || {
        let entry = &served.json(&["audit", "list"])[0];
        entry["outcome"] == "CTL-REQUEST"
    });
    assert_eq!(served.json(&["artifact", "list"]), json!([]));
    served.push(&["counter-v1"]);
    let order = br#"{"actor": "counter/a", "version": "1.0.0", "args": {"total": 5}}"#;
    leave("/v1/actors/start", order.len(), &order[..order.len() - 1]);
    assert_eq!(served.json(&["actor", "list"]), json!([]));
    // A whole one whose caller waits for no answer: all of it, if it was heard at all.
    let mut number = 0;
    let done = |served: &Served| -> BTreeSet<String> {
        let entries = served.json(&["audit", "list"]);
        let starts = entries.as_array().expect("a list").iter().filter(|entry| entry["act"] == "actors/start");
        starts
            .map(|entry| of(entry, &["what", "outcome"]))
            .map(|fields| format!("{} {}", fields[0], fields[1]))
            .collect()
    };
    until("several were heard", || {
        number += 1;
        let order = format!(r#"{{"actor": "counter/{number}", "version": "1.0.0", "args": {{"total": 5}}}}"#);
        leave("/v1/actors/start", order.len(), order.as_bytes());
        done(&served).len() >= 3
    });
    let running = |served: &Served| -> BTreeSet<String> {
        let views = served.json(&["actor", "list"]);
        let running = views.as_array().expect("a list").iter().filter(|view| view["running"] == "1.0.0");
        running.map(|view| format!(r#""{} 1.0.0" "done""#, view["actor"].as_str().expect("a name"))).collect()
    };
    until("each that was heard is whole", || running(&served) == done(&served));
    let whole = done(&served);
    let served = Served::at(served.kill(), &[]);
    assert_eq!(running(&served), whole, "and stays so");
}
