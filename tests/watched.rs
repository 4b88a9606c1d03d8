//! What happens at a host, told to whoever watches: real processes on a real socket.

use crate::harness::house::{GENEROUS, until};
use crate::harness::served::{Served, text};
use crate::harness::{Test, test};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_watcher_is_told_what_becomes_of_actors_with_version_and_generation),
        test(a_watcher_is_told_of_artifacts_defaults_keys_and_dead_letters),
        test(a_watcher_is_told_each_step_of_an_upgrade_and_its_outcome),
        test(the_events_of_an_upgrade_come_in_the_order_in_which_it_happened),
        test(a_watch_of_one_actor_or_one_kind_shows_nobody_else),
        test(a_watcher_that_was_away_goes_on_where_it_was_or_is_told_of_the_gap),
        test(a_watch_ends_with_the_hosts_last_word_and_exit_code_3),
        test(a_watch_of_a_host_that_is_killed_ends_with_exit_code_3),
        test(interrupt_ends_a_watch_quietly_with_130),
        test(a_reader_that_leaves_ends_a_watch_well),
        test(watchers_have_places_of_their_own_and_leave_room_for_commands),
        test(a_watcher_that_does_not_read_holds_nobody_up),
        test(a_list_that_is_watched_gets_a_row_for_each_change),
        test(an_upgrade_that_is_watched_ends_with_its_outcome),
        test(an_upgrade_that_takes_a_while_says_how_far_it_is_and_json_stays_json),
    ]
}

/// A command that goes on, and its lines as they come.
pub(crate) struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    pub(crate) fn new(served: &Served, arguments: &[&str]) -> Self {
        Self::of(served.command(arguments))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stdout: ChildStdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// As JSON, everything from the host's beginning on.
    fn json(served: &Served, more: &[&str]) -> Self {
        Self::new(served, &[&["actor", "watch", "--json", "--since", "0"], more].concat())
    }

    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(GENEROUS).expect("another line")
    }

    #[track_caller]
    fn event(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The next event of this name.
    #[track_caller]
    pub(crate) fn next(&self, name: &str) -> Value {
        loop {
            let event = self.event();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// How it ends, what it says on stderr, and the lines that nobody has read.
    fn end(mut self) -> (ExitStatus, String, Vec<String>) {
        let mut said = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("it ends"), said, self.lines.iter().collect())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Ended already, in the tests that end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn counter(served: &Served, actor: &str) {
    served.says(&["actor", "start", actor, r#"{"total": 5}"#, "--version", "1.0.0"]);
}

fn a_watcher_is_told_what_becomes_of_actors_with_version_and_generation() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    let watching = Watching::json(&served, &[]);
    assert_eq!(watching.next("ready")["actors"], 0);
    counter(&served, "counter/a");
    let started = watching.next("started");
    let of = |event: &Value, fields: &[&str]| -> Vec<Value> { fields.iter().map(|name| event[name].clone()).collect() };
    assert_eq!(of(&started, &["actor", "version", "generation"]), [json!("counter/a"), json!("1.0.0"), json!(0)]);
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    let paused = watching.next("paused");
    assert_eq!(of(&paused, &["actor", "by"]), [json!("counter/a"), json!("the control socket")]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["actor", "resume", "counter/a"]);
    let resumed = watching.next("resumed");
    assert_eq!(of(&resumed, &["actor", "version", "queued_messages"]), [json!("counter/a"), json!("1.0.0"), json!(1)]);
    served.says(&["actor", "stop", "counter/a", "--reason", "enough"]);
    assert_eq!(of(&watching.next("stopped"), &["actor", "reason"]), [json!("counter/a"), json!("enough")]);
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    served.says(&["actor", "tell", "probe/a", "Do", r#"{"act": {"TellThenPanic": ["probe/a", "x"]}}"#]);
    let panicked = watching.next("panicked");
    assert_eq!(of(&panicked, &["actor", "version", "message"]), [json!("probe/a"), json!("1.0.0"), json!("Do")]);
    assert_eq!(watching.next("suspended")["actor"], "probe/a");
    assert_eq!(of(&watching.next("restarted"), &["actor", "restarts"]), [json!("probe/a"), json!(1)]);
    let all = Watching::json(&served, &[]);
    let (mut before, mut at) = (0, String::new());
    loop {
        let event = all.event();
        let (seq, time) = (event["seq"].as_u64().expect("a number"), event["at"].as_str().expect("a time").to_owned());
        assert_eq!((seq, &event["boot"]), (before + 1, &json!(1)), "without a gap: {event}");
        assert!(time >= at, "in order: {event}");
        (before, at) = (seq, time);
        if event["event"] == "restarted" {
            break;
        }
    }
}

fn a_watcher_is_told_of_artifacts_defaults_keys_and_dead_letters() {
    let served = Served::new(&[]);
    let watching = Watching::json(&served, &[]);
    served.push(&["counter-v1"]);
    let pushed = watching.next("artifact_pushed");
    assert_eq!((&pushed["kind"], &pushed["version"]), (&json!("counter"), &json!("1.0.0")));
    fs::write(served.desk.path().join("x.so"), "junk").expect("it is ours");
    served.refuses(1, "GATE-ELF", &["artifact", "push", "x.so"]);
    assert_eq!(watching.next("artifact_refused")["code"], "GATE-ELF");
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    assert_eq!(watching.next("default_changed")["version"], "1.0.0");
    served.push(&["probe-v1"]);
    served.says(&["artifact", "remove", "probe", "1.0.0"]);
    assert_eq!(watching.next("artifact_removed")["kind"], "probe");
    served.says(&["key", "generate", "team", "--no-password"]);
    served.says(&["key", "trust", "team.pub"]);
    let key = watching.next("key_trusted");
    assert_eq!(key["name"], "team");
    served.says(&["key", "distrust", key["key"].as_str().expect("an id")]);
    assert_eq!(watching.next("key_distrusted")["key"], key["key"]);
    counter(&served, "counter/a");
    counter(&served, "counter/b");
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    served.says(&["actor", "stop", "counter/a"]);
    let letter = watching.next("dead_letter");
    let wanted = (&json!("counter/a"), &json!("Add"), &json!("the actor stopped before it handled the message"));
    assert_eq!((&letter["actor"], &letter["message"], &letter["reason"]), wanted, "{letter}");
}

fn a_watcher_is_told_each_step_of_an_upgrade_and_its_outcome() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    counter(&served, "counter/a");
    let watching = Watching::json(&served, &[]);
    served.says(&["upgrade", "apply", "counter", "--to", "2.0.0", "--max-pause", "60s", "--reason", "to see it"]);
    let begun = watching.next("upgrade_begun");
    assert_eq!((&begun["reason"], &begun["moves"]), (&json!("to see it"), &json!([["counter/a", "2.0.0"]])));
    let mut steps = Vec::new();
    let ended = loop {
        let event = watching.event();
        match event["event"].as_str() {
            Some("upgrade_step") => {
                assert_eq!((&event["upgrade"], &event["result"]), (&begun["upgrade"], &json!("done")), "{event}");
                steps.push(event["step"].as_str().expect("a name").to_owned());
            }
            Some("upgraded") => assert_eq!((&event["from"], &event["version"]), (&json!("1.0.0"), &json!("2.0.0"))),
            Some("upgrade_ended") => break event,
            _ => {}
        }
    };
    assert_eq!(steps, ["verify", "check", "trial", "load", "pause", "snapshot", "migrate", "commit", "resume"]);
    assert_eq!(ended["outcomes"], json!([["counter/a", "committed"]]));
    assert_eq!(served.json(&["upgrade", "status"])["id"], ended["upgrade"]);
}

/// What is said of an upgrade of `probe/a` to 2.0.0, up to its end: each event by its name, a step with its own.
fn story(served: &Served, trial: &str) -> Vec<String> {
    let watching = Watching::json(served, &[]);
    served.run(&["upgrade", "apply", "probe/a", "--to", "2.0.0", "--max-pause", "60s", "--trial", trial]);
    watching.next("upgrade_begun");
    let mut story = Vec::new();
    while story.last().is_none_or(|last| last != "upgrade_ended") {
        let event = watching.event();
        let name = event["event"].as_str().expect("a name");
        story.push(match event["step"].as_str() {
            Some(step) => format!("{step} {}", event["result"].as_str().expect("a result")),
            None => name.to_owned(),
        });
    }
    story
}

fn the_events_of_an_upgrade_come_in_the_order_in_which_it_happened() {
    let probe = |trap: &str| {
        let served = Served::new(&[]);
        served.push(&["probe-v1", "probe-v2"]);
        served.says(&["actor", "start", "probe/a", trap, "--version", "1.0.0"]);
        served
    };
    let well = story(&probe(r#"{"trap": {"step": "", "how": ""}}"#), "every");
    let before = ["verify done", "check done", "trial done", "load done", "paused", "pause done", "snapshot done"];
    let after = ["migrate done", "commit done", "resumed", "resume done", "upgraded", "upgrade_ended"];
    assert_eq!(well, [&before[..], &after].concat());
    // In its trial, and only in the live actor.
    let refused = story(&probe(r#"{"trap": {"step": "migrate", "how": "error"}}"#), "every");
    assert_eq!(refused, ["verify done", "check done", "trial failed", "not_upgraded", "upgrade_ended"]);
    let broken = story(&probe(r#"{"trap": {"step": "migrate", "how": "error"}}"#), "skip");
    let before = ["verify done", "check done", "load done", "paused", "pause done", "snapshot done"];
    let after = ["migrate failed", "resumed", "migrate undone", "rolled_back", "upgrade_ended"];
    assert_eq!(broken, [&before[..], &after].concat());
}

fn a_watch_of_one_actor_or_one_kind_shows_nobody_else() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "probe-v1"]);
    let one = Watching::json(&served, &["counter/b", "--wait"]);
    let kind = Watching::json(&served, &["-l", "kind=counter"]);
    for actor in ["counter/a", "counter/b"] {
        counter(&served, actor);
        served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
        served.says(&["actor", "stop", "probe/a"]);
    }
    assert_eq!((&one.event()["event"], &one.event()["actor"]), (&json!("ready"), &json!("counter/b")));
    let seen: Vec<Value> = (0..4).map(|_| kind.event()).collect();
    let seen: Vec<&Value> = seen.iter().map(|event| &event["event"]).collect();
    assert_eq!(seen, ["ready", "artifact_pushed", "started", "started"]);
    for selector in ["counter", "kind=", "name=a"] {
        assert_eq!(served.run(&["actor", "watch", "-l", selector]).status.code(), Some(2));
    }
}

/// What the stream says from there on, up to what ends with `last`.
#[track_caller]
fn stream(served: &Served, head: &str, last: &str) -> String {
    let mut stream = UnixStream::connect(served.socket()).expect("it listens");
    stream.set_read_timeout(Some(GENEROUS)).expect("a time");
    stream.write_all(format!("{head}\r\nhost: x\r\n\r\n").as_bytes()).expect("it reads");
    let (mut said, mut piece) = (String::new(), [0; 4096]);
    while !said.contains(last) {
        let read = stream.read(&mut piece).expect("it goes on");
        assert!(read > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    said
}

fn a_watcher_that_was_away_goes_on_where_it_was_or_is_told_of_the_gap() {
    let served = Served::new(&[]);
    served.push(&["counter-v1"]);
    counter(&served, "counter/a");
    // 1 is ready, 2 the artifact, 3 the start.
    let said = stream(&served, "GET /v1/events HTTP/1.1\r\nlast-event-id: 1-2", "\nid: 1-3\n");
    assert!(!said.contains("artifact_pushed") && said.contains("content-type: text/event-stream"), "{said}");
    let said = stream(&served, "GET /v1/events?since=1 HTTP/1.1", "\nid: 1-3\n");
    assert!(said.contains(r#""event":"artifact_pushed""#), "{said}");
    // The id of a browser knows better than the address that it began with.
    let said = stream(&served, "GET /v1/events?since=0 HTTP/1.1\r\nlast-event-id: 1-2", "\nid: 1-3\n");
    assert!(!said.contains("artifact_pushed"), "{said}");
    // A host that says nothing else says that it is alive.
    stream(&served, "GET /v1/events HTTP/1.1", ": alive\n\n");
    for (query, part) in [("since=x", "no number of an event"), ("actors=a", "unknown field `actors`"), ("actor=a", "")]
    {
        let answer = served.raw(&format!("GET /v1/events?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("CTL-REQUEST"), "{answer}");
        assert!(answer.contains(part), "{query}: {answer}");
    }
    let (desk, _) = served.stop();
    let served = Served::at(desk, &[]);
    let said = stream(&served, "GET /v1/events HTTP/1.1\r\nlast-event-id: 1-2", r#""event":"ready""#);
    assert!(said.contains("event: gap\ndata: {\"missed\":null}\n") && said.contains("\nid: 2-1\n"), "{said}");
    let again = Watching::new(&served, &["actor", "watch", "--json", "--since", "1-2"]);
    assert_eq!(again.event(), json!({ "event": "gap", "missed": null }));
}

fn a_watch_ends_with_the_hosts_last_word_and_exit_code_3() {
    let served = Served::new(&[]);
    let (json, list) = (Watching::json(&served, &[]), Watching::new(&served, &["actor", "list", "--watch"]));
    json.next("ready");
    assert!(list.line().starts_with("ACTOR "));
    let (_desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let (ended, said, lines) = json.end();
    assert_eq!(ended.code(), Some(3), "{said}");
    assert!(said.contains(r#""code":"CTL-STOPPING""#) && lines[0].contains(r#""event":"stopping""#), "{said}{lines:?}");
    let (ended, said, _) = list.end();
    assert!(ended.code() == Some(3) && said.starts_with("error[CTL-STOPPING]: "), "{said}");
}

fn a_watch_of_a_host_that_is_killed_ends_with_exit_code_3() {
    let served = Served::new(&[]);
    let watching = Watching::json(&served, &[]);
    watching.next("ready");
    let desk = served.kill();
    let (ended, said, _) = watching.end();
    assert!(ended.code() == Some(3) && said.contains(r#""code":"CTL-LOST""#), "{said}");
    let mut again = Command::new(env!("CARGO_BIN_EXE_teneral"));
    again.args(["actor", "watch"]).current_dir(desk.path()).env_remove("TENERAL_DIR");
    assert_eq!(again.output().expect("the binary runs").status.code(), Some(3));
}

fn interrupt_ends_a_watch_quietly_with_130() {
    let served = Served::new(&[]);
    let commands =
        [&["actor", "watch", "--since", "0"][..], &["actor", "list", "--watch"], &["upgrade", "status", "-w"]];
    for arguments in commands {
        let watching = Watching::new(&served, arguments);
        watching.line();
        watching.signal("-INT");
        let (ended, said, _) = watching.end();
        assert_eq!((ended.code(), said.as_str()), (Some(130), ""), "{arguments:?}");
    }
}

fn a_reader_that_leaves_ends_a_watch_well() {
    let served = Served::new(&[]);
    let mut command = served.command(&["actor", "watch", "--since", "0"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

fn watchers_have_places_of_their_own_and_leave_room_for_commands() {
    let served = Served::new(&[]);
    let watchers: Vec<Watching> = (0..16).map(|_| Watching::json(&served, &[])).collect();
    watchers.iter().for_each(|watcher| drop(watcher.next("ready")));
    served.refuses(1, "CTL-WATCHERS", &["actor", "watch"]);
    served.says(&["actor", "list"]);
    served.push(&["counter-v1"]);
    watchers.iter().for_each(|watcher| drop(watcher.next("artifact_pushed")));
    drop(watchers);
    until("there is room again", || {
        let watching = Watching::json(&served, &[]);
        watching.lines.recv_timeout(GENEROUS).is_ok()
    });
}

fn a_watcher_that_does_not_read_holds_nobody_up() {
    let served = Served::new(&[]);
    let mut deaf = UnixStream::connect(served.socket()).expect("it listens");
    deaf.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    // More events than a socket's buffer holds and than the host keeps.
    for _ in 0..20 {
        served.says(&["actor", "tell", "probe/a", "Do", r#"{"act": {"Tell": ["probe/nobody", "x", 250]}}"#]);
    }
    until("all are told", || served.json(&["actor", "show", "probe/a"])["handled"].as_u64() >= Some(20));
    let watching = Watching::json(&served, &[]);
    let gap = watching.event();
    assert_eq!(gap["event"], "gap");
    assert!(gap["missed"].as_u64().is_some_and(|missed| missed > 0), "{gap}");
    assert_eq!(watching.event()["seq"].as_u64(), gap["missed"].as_u64().map(|missed| missed + 1));
    let (_desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    drop(deaf);
}

fn a_list_that_is_watched_gets_a_row_for_each_change() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    counter(&served, "counter/a");
    let table = Watching::new(&served, &["actor", "list", "--watch"]);
    let json = Watching::new(&served, &["actor", "list", "-w", "--json"]);
    let cells = |line: String| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(cells(table.line())[..2], ["ACTOR", "STATUS"]);
    assert_eq!(cells(table.line())[..4], ["counter/a", "running", "1.0.0", "1.0.0"]);
    assert_eq!(json.event()["actor"], "counter/a");
    served.says(&["upgrade", "apply", "counter/a", "--to", "2.0.0", "--max-pause", "60s"]);
    let moved = loop {
        let row = cells(table.line());
        if row[3] == "2.0.0" && row[2] == "2.0.0" && row[1] == "running" {
            break row;
        }
    };
    assert_eq!(moved[0], "counter/a");
    counter(&served, "counter/b");
    assert_eq!(cells(table.line())[..4], ["counter/b", "running", "1.0.0", "1.0.0"]);
    served.says(&["actor", "stop", "counter/b"]);
    assert_eq!(cells(table.line())[..4], ["counter/b", "gone", "-", "-"]);
    let gone = loop {
        let view = json.event();
        if view["status"] == "gone" {
            break view;
        }
    };
    assert_eq!(gone["actor"], "counter/b");
}

fn an_upgrade_that_is_watched_ends_with_its_outcome() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let apply = ["upgrade", "apply", "probe/a", "--to", "2.0.0", "--quiesce-timeout", "60s", "--max-pause", "60s"];
    let mut command = served.command(&apply).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    until("it is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    let watching = Watching::new(&served, &["upgrade", "status", &id, "--watch"]);
    assert_eq!(watching.line(), format!("upgrade {id}: running"));
    fs::write(&hold, "").expect("it is ours");
    let (ended, said, lines) = watching.end();
    assert_eq!(ended.code(), Some(0), "{said}");
    assert!(lines.iter().any(|line| line.contains("commit done")), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.contains("1 of 1 actor is there")), "{lines:?}");
    assert!(command.wait().expect("it ends").success());
    // One that is over is shown, and that is all.
    served.says(&["upgrade", "status", &id, "--watch"]);
}

fn an_upgrade_that_takes_a_while_says_how_far_it_is_and_json_stays_json() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let apply = ["upgrade", "apply", "probe/a", "--to", "2.0.0", "--quiesce-timeout", "60s", "--max-pause", "60s"];
    let mut command = served.command(&apply);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut progress = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    let begun = progress.next().expect("it takes a while");
    assert!(begun.contains("of 1 actor begins, asked for by "), "{begun}");
    fs::write(&hold, "").expect("it is ours");
    let rest: Vec<String> = progress.collect();
    assert!(rest.iter().any(|line| line.contains("load done in")), "{rest:?}");
    assert!(rest.iter().all(|line| !line.contains('\u{1b}')), "no terminal, no escape codes: {rest:?}");
    assert!(child.wait_with_output().expect("it ends").status.success());
    fs::remove_file(&hold).expect("it is ours");
    let back = [&apply[..3], &["--to", "1.0.0", "--allow-downgrade", "--max-pause", "60s", "--json"]].concat();
    let output = served.run(&back);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report alone");
    assert_eq!(report["actors"][0]["outcome"], "committed");
}
