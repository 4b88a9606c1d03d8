//! `teneral apply`: a host made what a file says, by real processes.

use crate::harness::served::{Served, text};
use crate::harness::{Test, libraries, test};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_file_is_shown_then_done_and_then_there_is_nothing_to_do),
        test(a_change_of_version_is_an_upgrade_that_keeps_the_state),
        test(a_file_goes_back_to_an_older_version_only_when_that_is_said),
        test(a_program_reads_each_act_with_what_came_of_it),
        test(a_file_that_contradicts_itself_is_refused_whole_with_every_line),
        test(what_is_not_in_the_file_stays_unless_it_is_pruned),
        test(the_first_failure_stops_it_and_says_what_was_done_and_it_goes_on_from_there),
        test(nobody_who_can_be_asked_means_yes_must_be_said_beforehand),
    ]
}

/// A host, and libraries of two versions of `counter` beside it.
fn desk() -> Served {
    let served = Served::new(&[]);
    for (package, name) in [("counter-v1", "one.so"), ("counter-v2", "two.so")] {
        fs::copy(libraries::library(package), served.desk.path().join(name)).expect("it copies");
    }
    served
}

fn write(served: &Served, file: &str) {
    fs::write(served.desk.path().join("system.toml"), file).expect("it is ours");
}

const ONE: &str = r#"
[[kind]]
name = "counter"
default = "1.0.0"
artifacts = ["one.so"]

[[actor]]
name = "counter/a"
args = { total = 5 }

[[actor]]
name = "counter/b"
version = "1.0.0"
args = { total = 7 }
"#;

const APPLY: [&str; 4] = ["apply", "-f", "system.toml", "--yes"];

fn running(served: &Served) -> Vec<String> {
    let all = served.json(&["actor", "list"]);
    let all = all.as_array().expect("a list").iter();
    all.map(|view| format!("{} {}", view["actor"], view["running"]).replace('"', "")).collect()
}

fn a_file_is_shown_then_done_and_then_there_is_nothing_to_do() {
    let served = desk();
    write(&served, ONE);
    let wanted = "\
+ artifact counter 1.0.0 from one.so
+ default of counter: 1.0.0
+ actor counter/a: 1.0.0 from {\"total\":5}
+ actor counter/b: 1.0.0 from {\"total\":7}
";
    assert_eq!(served.says(&["apply", "-f", "system.toml", "--dry-run"]), wanted);
    assert_eq!(served.json(&["actor", "list"]), json!([]), "it was only shown");
    let said = served.says(&APPLY);
    assert!(
        said.starts_with(wanted) && said.ends_with("done: + actor counter/b: 1.0.0 from {\"total\":7}\n"),
        "{said}"
    );
    assert_eq!(running(&served), ["counter/a 1.0.0", "counter/b 1.0.0"]);
    assert_eq!(served.says(&APPLY), "nothing to do\n");
    let mut reads = served.command(&["apply", "-f", "-", "--dry-run", "--json"]);
    let mut reads = reads.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary runs");
    reads.stdin.take().expect("a pipe").write_all(ONE.as_bytes()).expect("it reads");
    let output = reads.wait_with_output().expect("it ends");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.success(), &found["acts"]), (true, &json!([])), "{found:#}");
}

fn a_change_of_version_is_an_upgrade_that_keeps_the_state() {
    let served = desk();
    write(&served, ONE);
    served.says(&APPLY);
    served.says(&["actor", "tell", "counter/b", "Add", r#"{"amount": 3}"#]);
    let two = ONE.replace(r#"["one.so"]"#, r#"["one.so", "two.so"]"#).replace("default = \"1", "default = \"2");
    let two = two.replace("version = \"1", "version = \"2").replace("total = 5", "total = 6");
    write(&served, &two);
    let said = served.says(&[&APPLY[..], &["--reason", "by the file"]].concat());
    assert!(said.contains("~ default of counter: 1.0.0 -> 2.0.0\n"), "{said}");
    assert!(said.contains("~ actor counter/b: 1.0.0 -> 2.0.0, while it runs\n"), "{said}");
    assert!(said.contains("counter/a was started from other arguments"), "{said}");
    assert_eq!(running(&served), ["counter/a 1.0.0", "counter/b 2.0.0"], "a default moves nobody");
    assert_eq!(served.json(&["actor", "ask", "counter/b", "Get"])["reply"]["total"], 10);
    assert_eq!(served.json(&["upgrade", "log"])[0]["why"], "by the file");
    let audit = served.json(&["audit", "list", "--limit", "3"]);
    for act in audit.as_array().expect("a list") {
        assert_eq!(act["reason"], "by the file", "of all that the file had done: {act:#}");
    }
    write(&served, &two.replace("version = \"2", "version = \"1"));
    served.says(&[&APPLY[..], &["--allow-downgrade"]].concat());
    assert_eq!(served.json(&["actor", "ask", "counter/b", "Get"])["reply"]["total"], 10, "and back");
    let (desk, _) = served.stop();
    let served = Served::at(desk, &[]);
    assert!(served.says(&APPLY).ends_with("nothing to do\n"));
    // What it was started from need not be said again; of somebody new it must.
    write(&served, "[[actor]]\nname = \"counter/b\"\nversion = \"2.0.0\"\n");
    assert!(served.says(&APPLY).contains("done: ~ actor counter/b: 1.0.0 -> 2.0.0, while it runs\n"));
    write(&served, "[[actor]]\nname = \"counter/new\"\nversion = \"2.0.0\"\n");
    assert!(served.refuses(2, "CLI-APPLY", &APPLY).contains("missing field `total`"));
}

fn a_file_goes_back_to_an_older_version_only_when_that_is_said() {
    let served = desk();
    let two = ONE.replace(r#"["one.so"]"#, r#"["one.so", "two.so"]"#).replace("\"1.0.0\"", "\"2.0.0\"");
    write(&served, &two);
    served.says(&APPLY);
    let actor_down = two.replace("version = \"2.0.0\"", "version = \"1.0.0\"");
    write(&served, &actor_down);
    let shown = "~ actor counter/b: 2.0.0 -> 1.0.0, while it runs (a downgrade)\n";
    let dry = served.says(&["apply", "-f", "system.toml", "--dry-run"]);
    assert!(dry.starts_with(shown) && dry.contains(": --allow-downgrade would let it\n"), "{dry}");
    let said = served.refuses(1, "UPG-DIRECTION", &APPLY);
    assert!(said.contains("counter/b: 2.0.0 -> 1.0.0") && said.contains("hint:  if it is meant: --allow-downgrade"));
    assert_eq!(running(&served), ["counter/a 2.0.0", "counter/b 2.0.0"]);
    // A kind's default goes back no more than an actor does.
    write(&served, &two.replace("default = \"2.0.0\"", "default = \"1.0.0\""));
    let said = served.refuses(1, "UPG-DIRECTION", &APPLY);
    assert!(said.contains("~ default of counter: 2.0.0 -> 1.0.0 (a downgrade)"), "{said}");
    assert_eq!(served.json(&["kind", "list"])[0]["default"], "2.0.0");
    write(&served, &actor_down);
    let said = served.says(&[&APPLY[..], &["--allow-downgrade"]].concat());
    assert!(said.starts_with(shown), "{said}");
    assert_eq!(running(&served), ["counter/a 2.0.0", "counter/b 1.0.0"]);
}

/// What a command with `--json` says on stdout and in the one line on stderr.
#[track_caller]
fn program(exit: i32, served: &Served, arguments: &[&str]) -> (Value, Value) {
    let output = served.run(&[arguments, &["--json"]].concat());
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{out}{err}");
    let error = err.lines().next().map_or(Value::Null, |line| serde_json::from_str(line).expect("one object"));
    assert!(err.lines().count() <= 1, "{err}");
    (serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")), error["error"].clone())
}

fn a_program_reads_each_act_with_what_came_of_it() {
    let served = desk();
    write(&served, ONE);
    let (found, _) = program(0, &served, &["apply", "-f", "system.toml", "--dry-run"]);
    let file = "one.so";
    let planned = json!([
        { "act": "push", "kind": "counter", "from": null, "to": "1.0.0", "file": file, "downgrade": false },
        { "act": "set_default", "kind": "counter", "from": null, "to": "1.0.0", "downgrade": false },
        { "act": "start", "actor": "counter/a", "from": null, "to": "1.0.0", "args": { "total": 5 },
          "downgrade": false },
        { "act": "start", "actor": "counter/b", "from": null, "to": "1.0.0", "args": { "total": 7 },
          "downgrade": false },
    ]);
    let with = |outcomes: &[&str]| {
        let mut acts = planned.clone();
        for (act, outcome) in acts.as_array_mut().expect("a list").iter_mut().zip(outcomes) {
            act["outcome"] = json!(outcome);
        }
        acts
    };
    assert_eq!(found, json!({ "done": false, "acts": with(&["planned"; 4]), "notes": [] }));
    // Nobody has said yes.
    let (found, error) = program(2, &served, &["apply", "-f", "system.toml"]);
    assert_eq!(found, json!({ "done": false, "acts": with(&["not_done"; 4]), "notes": [] }));
    assert_eq!((&error["code"], &error["exit"]), (&json!("CLI-CONFIRM"), &json!(2)), "{error:#}");
    let (found, _) = program(0, &served, &APPLY);
    assert_eq!(found, json!({ "done": true, "acts": with(&["done"; 4]), "notes": [] }));
    assert_eq!(program(0, &served, &APPLY).0, json!({ "done": true, "acts": [], "notes": [] }));
    // The second of three fails.
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    let two = ONE.replace(r#"["one.so"]"#, r#"["one.so", "two.so"]"#);
    let two = two.replace("name = \"counter/a\"", "name = \"counter/a\"\nversion = \"2.0.0\"");
    write(&served, &two.replace("version = \"1.0.0\"", "version = \"2.0.0\""));
    let (found, error) = program(1, &served, &APPLY);
    let outcomes: Vec<&str> =
        found["acts"].as_array().expect("a list").iter().map(|act| act["outcome"].as_str().expect("a text")).collect();
    assert_eq!((outcomes, &found["done"]), (vec!["done", "failed", "not_done"], &json!(false)), "{found:#}");
    assert_eq!((&error["code"], &error["exit"]), (&json!("UPG-HELD"), &json!(1)), "{error:#}");
}

fn a_file_that_contradicts_itself_is_refused_whole_with_every_line() {
    let served = desk();
    write(
        &served,
        r#"[[kind]]
name = "counter"
default = "3.0.0"
artifacts = ["one.so", "nowhere.so"]
colour = "red"

[[actor]]
name = "counter/a"
versoin = "1.0.0"
args = { total = "five" }

[[actor]]
name = "counter/a"
version = "1.0.0"
args = { totl = 5 }

[[actor]]
name = "conter/c"
version = "1.0.0"

[[actor]]
version = "1.0"
"#,
    );
    let said = served.refuses(2, "CLI-APPLY", &APPLY);
    let wanted = [
        "system.toml:3:11: no counter 3.0.0, here or at the host",
        "system.toml:4:24: nowhere.so: [GATE-FILE]",
        "system.toml:5:1: no key kind.colour",
        "system.toml:9:1: no key actor.versoin: did you mean version?",
        "system.toml:12:1: counter/a is there twice: the first time in line 7",
        "system.toml:15:8: counter/a: start arguments: unknown field \"totl\": did you mean total?",
        "system.toml:19:11: no artifact of kind conter, here or at the host: did you mean counter?",
        "system.toml:21:1: an actor needs its name",
        "system.toml:22:11: \"1.0\" is no version",
    ];
    for line in wanted {
        assert!(said.contains(line), "{line}: {said}");
    }
    served.says(&["artifact", "push", "one.so"]);
    write(&served, &ONE.replace("total = 5", "total = \"five\""));
    let said = served.refuses(2, "CLI-APPLY", &APPLY);
    assert!(said.contains("system.toml:9:8: [SYS-JSON]"), "as its own code says: {said}");
    write(&served, "[[kind]\nname = 1");
    served.refuses(2, "CLI-APPLY", &APPLY);
    served.refuses(2, "CLI-FILE", &["apply", "-f", "nowhere.toml"]);
    assert_eq!(served.json(&["actor", "list"]), json!([]));
    assert_eq!(served.json(&["kind", "list"])[0]["default"], Value::Null);
}

fn what_is_not_in_the_file_stays_unless_it_is_pruned() {
    let served = desk();
    write(&served, ONE);
    served.says(&APPLY);
    write(&served, ONE.split("[[actor]]\nname = \"counter/b\"").next().expect("a part"));
    let said = served.says(&APPLY);
    assert_eq!(said, "  counter/b is not in the file: --prune would stop it\nnothing to do\n");
    let said = served.says(&[&APPLY[..], &["--prune"]].concat());
    assert!(said.starts_with("- actor counter/b: 1.0.0, with its state\n"), "{said}");
    assert_eq!(running(&served), ["counter/a 1.0.0"]);
    // A file that was lost on its way stops nobody.
    write(&served, "");
    served.refuses(2, "CLI-APPLY", &[&APPLY[..], &["--prune"]].concat());
    assert_eq!(running(&served), ["counter/a 1.0.0"]);
}

fn the_first_failure_stops_it_and_says_what_was_done_and_it_goes_on_from_there() {
    let served = desk();
    served.says(&["artifact", "push", libraries::library("villain-v1").to_str().expect("a path")]);
    served.says(&["artifact", "push", "one.so"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    // Held by somebody else: an upgrade of it begins and is turned away.
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    let both = ONE.replace(r#"["one.so"]"#, r#"["one.so", "two.so"]"#);
    write(&served, &both.replace("name = \"counter/a\"", "name = \"counter/a\"\nversion = \"2.0.0\""));
    let output: Output = served.run(&APPLY);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error[UPG-HELD]: ~ actor counter/a: 1.0.0 -> 2.0.0, while it runs: "), "{said}");
    for line in [
        "it stopped there; 2 of 4 done",
        "done:     + artifact counter 2.0.0 from two.so",
        "done:     + default of counter: 1.0.0",
        "not done: ~ actor counter/a: 1.0.0 -> 2.0.0, while it runs",
        "not done: + actor counter/b: 1.0.0 from {\"total\":7}",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(running(&served), ["counter/a 1.0.0"]);
    served.says(&["actor", "resume", "counter/a"]);
    served.says(&APPLY);
    assert_eq!(running(&served), ["counter/a 2.0.0", "counter/b 1.0.0"]);
}

fn nobody_who_can_be_asked_means_yes_must_be_said_beforehand() {
    let served = desk();
    write(&served, ONE);
    let output = served.command(&APPLY[..3]).stdin(Stdio::null()).output().expect("the binary runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error[CLI-CONFIRM]: ") && said.contains("--yes"), "{said}");
    assert_eq!(served.json(&["artifact", "list"]), json!([]));
}
