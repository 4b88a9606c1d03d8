//! What an operator types, verb by verb: a host in a process of its own, and the binary beside it.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, libraries, test};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use teneral_store::{EmbeddedStore, Quarantined, Store};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(an_upgrade_waits_for_another_one_for_as_long_as_it_is_told_to),
        test(e3_a_request_has_a_name_of_at_most_128_bytes),
        test(the_latest_upgrades_are_listed_in_pages_newest_first),
        test(a_plan_is_a_table_of_its_steps),
        test(a_plan_has_a_reason_which_its_journal_has_unless_another_one_is_said),
        test(e4_another_operator_sees_what_is_left_of_an_upgrade_and_goes_on_with_it),
        test(r21_a_caller_that_is_refused_in_the_middle_of_a_large_body_hears_why),
        test(who_runs_code_of_a_key_that_is_trusted_no_longer_is_named),
        test(an_expiry_is_a_date_or_a_moment_and_is_to_come),
        test(what_is_no_public_key_is_the_callers_mistake),
        test(an_actor_that_is_down_is_known_to_every_verb),
        test(a_field_that_no_code_knows_or_that_is_there_twice_is_refused),
        test(what_to_do_fits_the_command_that_says_it),
        test(every_verb_says_how_it_is_used_and_what_it_ends_with),
        test(an_artifact_is_removed_when_nobody_needs_it),
        test(a_kind_is_shown_with_who_signed_it_and_who_runs_it),
        test(a_kind_is_shown_with_what_each_version_understands),
        test(an_artifact_of_the_store_says_of_itself_what_its_file_does),
        test(whoever_says_it_wrong_hears_what_would_be_right),
        test(r8_lost_high_water_marks_are_accepted_when_they_were_shown_and_for_a_reason),
        test(a_quarantine_ends_with_an_operators_word),
        test(who_hangs_and_which_version_is_in_quarantine_is_seen_at_a_glance),
        test(a_dead_letter_is_sent_again_through_the_contract_of_today_or_dropped),
        test(a_verb_is_for_one_actor_or_for_all_of_a_kind),
        test(a_command_waits_for_its_host_as_long_as_it_is_told_to),
    ]
}

/// A host with `counter/a` on 1.0.0, counting from 5.
fn counting() -> Served {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served
}

#[track_caller]
fn begun(served: &Served, arguments: &[&str]) -> Child {
    let command = &mut served.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

#[track_caller]
fn ends_well(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn an_upgrade_waits_for_another_one_for_as_long_as_it_is_told_to() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2", "probe-v3"]);
    let hold = served.busy_probe();
    let to =
        |version| ["upgrade", "apply", "--max-pause", "60s", "--quiesce-timeout", "60s", "probe/a", "--to", version];
    let first = begun(&served, &to("2.0.0"));
    until("it is at work", || served.json(&["upgrade", "status"])["status"] == "running");
    served.refuses(1, "UPG-RUNNING", &to("2.0.0"));
    let waits = ["--queue-timeout", "60s", "--request-id", "further"];
    let mut second = begun(&served, &[&to("3.0.0")[..], &waits].concat());
    // Many times as long as the one before took to be refused.
    for _ in 0..10 {
        served.refuses(1, "UPG-RUNNING", &to("2.0.0"));
        assert_eq!(second.try_wait().expect("it is ours"), None, "it waits");
    }
    fs::write(&hold, "").expect("it is ours");
    ends_well(first);
    ends_well(second);
    let journal = served.json(&["upgrade", "status"]);
    let moved = &journal["journal"][0]["moves"][0];
    assert_eq!((&moved["from"], &moved["to"]), (&json!("2.0.0"), &json!("3.0.0")), "planned anew: {journal:#}");
    assert_eq!(served.json(&["upgrade", "log"])[0]["request"], "further");
}

fn e3_a_request_has_a_name_of_at_most_128_bytes() {
    let served = counting();
    let apply = |name: &str| {
        ["upgrade", "apply", "--max-pause", "60s", "counter/a", "--to", "2.0.0", "--request-id", name]
            .map(str::to_owned)
    };
    for name in ["", &"é".repeat(65)] {
        let arguments = apply(name);
        served.refuses(2, "UPG-REQUEST", &arguments.each_ref().map(String::as_str));
    }
    assert_eq!(served.json(&["upgrade", "log"]), json!([]));
    let longest = apply(&"é".repeat(64));
    let arguments = longest.each_ref().map(String::as_str);
    served.says(&arguments);
    assert!(served.says(&arguments).starts_with("asked for before, not done again\n"));
}

fn the_latest_upgrades_are_listed_in_pages_newest_first() {
    let served = counting();
    for (turn, version) in ["2.0.0", "1.0.0", "2.0.0"].into_iter().enumerate() {
        let why = format!("turn {turn}");
        let apply = ["upgrade", "apply", "counter", "--to", version, "--reason", &why, "--allow-downgrade"];
        served.says(&[&apply[..], &["--max-pause", "60s"]].concat());
    }
    let whys = |upgrades: &Value| -> Vec<String> {
        let all = upgrades.as_array().expect("a list").iter();
        all.map(|upgrade| upgrade["why"].as_str().expect("a text").to_owned()).collect()
    };
    let newest = served.json(&["upgrade", "log", "--limit", "2"]);
    assert_eq!(whys(&newest), ["turn 2", "turn 1"]);
    let (id, outcomes) = (newest[1]["id"].as_str().expect("an id"), &newest[0]["outcomes"]);
    assert_eq!((&newest[0]["to"], outcomes), (&json!(["2.0.0"]), &json!({ "committed": 1 })));
    assert_eq!(whys(&served.json(&["upgrade", "log", "--before", id])), ["turn 0"]);
    served.refuses(2, "CTL-UPGRADE", &["upgrade", "log", "--before", "up-0"]);
    served.refuses(2, "CTL-UPGRADE", &["upgrade", "status", "../x"]);
    let answer = served.raw("GET /v1/upgrades?limit=many HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("CTL-REQUEST"), "{answer}");
}

fn a_kind_is_shown_with_what_each_version_understands() {
    let served = counting();
    let said = served.says(&["kind", "show", "counter"]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (one, two) = said.split_once("\ncounter 2.0.0\n").expect("both versions");
    let (_, one) = one.split_once("\ncounter 1.0.0\n").expect("the first version");
    assert_eq!(
        words(one),
        "loaded, held by 1 actor deterministic: no, so there is no way back by replay \
         starts from {total: i64} state schema 1 {total: i64} tell Add {amount: u32} \
         ask Get {} -> {total: i64}"
    );
    let two = words(two);
    for line in ["state schema 2 {total: i64, additions: u64}", "tell Add {amount: i64}"] {
        assert!(two.contains(line), "{line}: {two}");
    }
    let shown = served.json(&["kind", "show", "counter"]);
    let first = &shown["versions"][0];
    assert_eq!(first["state"], json!({ "struct": [["total", "i64"]] }));
    let messages = json!([
        { "name": "Add", "body": { "struct": [["amount", "u32"]] }, "reply": null },
        { "name": "Get", "body": { "struct": [] }, "reply": { "struct": [["total", "i64"]] } },
    ]);
    assert_eq!((&first["messages"], &first["refused"]), (&messages, &Value::Null), "{first:#}");
    assert_eq!((&first["deterministic"], &shown["place"]), (&json!(false), &json!("in-process")));
    // Whoever is not trusted any more is not loaded, and can be read still.
    let key = served.json(&["key", "list"])[0]["id"].as_str().expect("an id").to_owned();
    served.says(&["key", "distrust", &key]);
    let said = served.says(&["kind", "show", "counter"]);
    assert!(said.contains("  is not loaded any more: [GATE-TRUST] ") && said.contains("{amount: u32}"), "{said}");
}

fn an_artifact_of_the_store_says_of_itself_what_its_file_does() {
    let served = counting();
    let file = libraries::library("counter-v1");
    let of_file = served.json(&["artifact", "inspect", file.to_str().expect("a path")]);
    let stored = served.json(&["artifact", "inspect", "counter", "1.0.0"]);
    for part in ["bytes", "sha256", "constructors", "needed", "refused", "manifest"] {
        assert_eq!(stored[part], of_file[part], "{part}");
    }
    assert_eq!(stored.get("file"), None, "it is nowhere but in the store");
    let digest = stored["sha256"].as_str().expect("a digest");
    assert_eq!(served.json(&["artifact", "inspect", digest]), stored);
    let said = served.says(&["artifact", "inspect", "counter", "1.0.0"]);
    let words: Vec<&str> = said.split_whitespace().collect();
    for line in ["tell Add {amount: u32}", "ask Get {} -> {total: i64}", "starts from {total: i64}", "deterministic no"]
    {
        assert!(words.join(" ").contains(line), "{line}: {said}");
    }
    assert!(served.refuses(2, "SYS-VERSION", &["artifact", "inspect", "counter", "1.0.1"]).contains("1.0.0"));
    let said = served.refuses(2, "SYS-KIND", &["artifact", "inspect", "countr", "1.0.0"]);
    assert!(said.contains("did you mean counter?"), "{said}");
    let said = served.refuses(2, "GATE-FILE", &["artifact", "inspect", "counter"]);
    assert!(said.contains("teneral kind show counter"), "{said}");
    served.refuses(1, "STORE-MISSING", &["artifact", "inspect", &"0".repeat(64)]);
    let answer = served.raw("GET /v1/artifacts/push HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(answer.contains("CTL-PATH"), "{answer}");
}

fn whoever_says_it_wrong_hears_what_would_be_right() {
    let served = counting();
    let tells =
        |message: &str, body: &str| served.refuses(2, "SYS-JSON", &["actor", "tell", "counter/a", message, body]);
    let as_in = r#"hint:  Add takes {amount: u32}, as in: teneral actor tell counter/a Add '{"amount":1}'"#;
    for body in ["{}", r#"{"amonut": 1}"#, r#"{"amount": "one"}"#, r#"{"amount": -1}"#] {
        let said = tells("Add", body);
        assert!(said.contains(as_in), "{body}: {said}");
    }
    let said = served.refuses(2, "SYS-MESSAGE", &["actor", "tell", "counter/a", "Ad", "{}"]);
    assert!(said.contains(&as_in.replace("hint:  ", "hint:  did you mean Add? ")), "{said}");
    let said = served.refuses(2, "SYS-JSON", &["actor", "ask", "counter/a", "Add", r#"{"amount": 1}"#]);
    assert!(said.contains("asks for nothing: tell it") && said.contains(as_in), "{said}");
    let said = served.refuses(2, "SYS-MESSAGE", &["actor", "ask", "counter/a", "Got"]);
    assert!(said.contains("did you mean Get? Get takes {}, as in: teneral actor ask counter/a Get\n"), "{said}");
    let start = ["actor", "start", "counter/b", r#"{"totl": 1}"#, "--version", "1.0.0"];
    let said = served.refuses(2, "SYS-JSON", &start);
    let as_in =
        r#"counter 1.0.0 takes {total: i64}, as in: teneral actor start counter/b '{"total":1}' --version 1.0.0"#;
    assert!(said.contains(as_in), "{said}");
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5, "nothing was said");
}

/// The same directory, served anew without the file of the high-water marks.
fn without_marks(served: Served, options: &[&str]) -> Served {
    let (desk, _) = served.stop();
    fs::remove_file(desk.path().join(".teneral/marks")).expect("it was there");
    Served::at(desk, options)
}

fn r8_lost_high_water_marks_are_accepted_when_they_were_shown_and_for_a_reason() {
    let served = counting();
    let accept = ["artifact", "accept-marks"];
    let whole = served.json(&["artifact", "accept-marks", "--dry-run"]);
    assert_eq!((&whole["whole"], &whole["left"]), (&json!(true), &json!({ "counter": "2.0.0" })));
    assert!(served.says(&[&accept[..], &["--reason", "why"]].concat()).contains("there is nothing to accept"));
    let served = without_marks(served, &[]);
    let push = libraries::library("probe-v1");
    let push = ["artifact", "push", push.to_str().expect("a path")];
    let said = served.refuses(1, "STORE-MARKS", &push);
    assert!(said.contains("hint:  restore the whole directory; or take what is left: teneral artifact accept-marks"));
    let shown = served.says(&[&accept[..], &["--dry-run"]].concat());
    assert!(shown.contains("counter  2.0.0     -     2.0.0\n") && shown.contains("the file marks is gone"), "{shown}");
    // Without a reason, and without a yes.
    let output = served.run(&[&accept[..], &["--yes"]].concat());
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("--reason"), "{}", text(&output.stderr));
    served.refuses(2, "CLI-CONFIRM", &[&accept[..], &["--reason", "why"]].concat());
    served.refuses(2, "CTL-MARKS", &[&accept[..], &["--yes", "--reason", " "]].concat());
    let body = r#"{"accepted": {"counter": "1.0.0"}, "reason": "why"}"#;
    let answer = served.raw(&format!(
        "POST /v1/marks/accept HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 409 ") && answer.contains("not what was shown"), "{answer}");
    served.refuses(1, "STORE-MARKS", &push);
    served.says(&[&accept[..], &["--yes", "--reason", "the disk was lost"]].concat());
    served.says(&push);
    let older = served.json(&["artifact", "accept-marks", "--dry-run"]);
    assert_eq!(older["left"], json!({ "counter": "2.0.0", "probe": "1.0.0" }));
    let audit = served.json(&["audit", "list", "--limit", "10"]);
    let audit =
        audit.as_array().expect("a list").iter().find(|act| act["outcome"] == "done" && act["act"] == "marks/accept");
    let act = audit.expect("it is written down");
    assert_eq!((&act["reason"], &act["what"]), (&json!("the disk was lost"), &json!("counter 2.0.0")), "{act:#}");
    // A production host wants to hear that it is one.
    let served = without_marks(served, &["--production"]);
    let said = served.refuses(1, "CTL-MARKS", &[&accept[..], &["--yes", "--reason", "why"]].concat());
    assert!(said.contains("teneral artifact accept-marks --production"), "{said}");
    served.says(&[&accept[..], &["--yes", "--reason", "why", "--production"]].concat());
    assert_eq!(served.json(&["artifact", "accept-marks", "--dry-run"])["whole"], true);
}

fn a_quarantine_ends_with_an_operators_word() {
    let served = counting();
    served.says(&["actor", "stop", "counter/a"]);
    let pardon = ["artifact", "pardon", "counter", "1.0.0", "--reason", "the disk hung"];
    assert_eq!(served.says(&pardon), "counter 1.0.0 is in no quarantine\n");
    served.refuses(2, "SYS-VERSION", &["artifact", "pardon", "counter", "9.0.0"]);
    let digest = served.json(&["artifact", "inspect", "counter", "1.0.0"])["sha256"].clone();
    let (desk, _) = served.stop();
    {
        let store = EmbeddedStore::open(&desk.path().join(".teneral")).expect("nobody has it");
        let digest = digest.as_str().expect("a text").parse().expect("a digest");
        let (kind, version) = ("counter".to_owned(), "1.0.0".parse().expect("a version"));
        let entry = Quarantined { digest, kind, version, why: "it hung in a turn".to_owned(), at_unix_us: 0 };
        store.quarantine(&entry).expect("the store writes");
    }
    let served = Served::at(desk, &[]);
    let start = ["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"];
    let said = served.refuses(1, "SYS-QUARANTINED", &start);
    assert!(said.contains("teneral artifact pardon counter 1.0.0"), "{said}");
    assert!(served.says(&["kind", "show", "counter"]).contains("[GATE-QUARANTINE] it hung in a turn"));
    assert_eq!(served.json(&pardon)["why"], "it hung in a turn");
    served.says(&start);
    assert_eq!(served.json(&["audit", "list", "--limit", "2"])[1]["reason"], "the disk hung");
}

fn who_hangs_and_which_version_is_in_quarantine_is_seen_at_a_glance() {
    let desk = TempDir::with_prefix("teneral-verbs-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), "[limits]\nhang_after = \"1s\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["probe-v1", "probe-v2"]);
    let well = served.says(&["status"]);
    assert!(well.contains("\nhung        0\nquarantine  0\n") && !well.contains("hint"), "{well}");
    let hold = served.busy_probe();
    until("it is seen to hang", || served.json(&["status"])["hung"] != json!([]));
    let health = served.json(&["status"]);
    let hint = "wait for it, or cut it off and forget it: teneral actor stop probe/a";
    assert_eq!(health["hung"], json!([{ "actor": "probe/a", "version": "1.0.0", "in": "Do", "hint": hint }]));
    let one = &health["quarantined"][0];
    assert_eq!((&one["kind"], &one["version"]), (&json!("probe"), &json!("1.0.0")), "{health:#}");
    let why = one["why"].as_str().expect("a reason");
    let hung = format!("1 hung\n  probe/a: 1.0.0 does not return from Do\n    hint: {hint}\n");
    let quarantined = format!(
        "1 in quarantine\n  probe 1.0.0: {why}\n    hint: push a mended version; if its code is not to blame: teneral \
         artifact pardon probe 1.0.0\n"
    );
    for look in [&["status"][..], &["kind", "list"]] {
        let said = served.says(look);
        assert!(said.ends_with(&format!("{hung}{quarantined}")), "{look:?}: {said}");
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let kinds = words(&served.says(&["kind", "list"]));
    let row = "KIND DEFAULT VERSIONS RUNNING DOWN HUNG QUARANTINE probe - 1.0.0, 2.0.0 1 on 1.0.0 0 1 1.0.0 ";
    assert!(kinds.starts_with(row), "{kinds}");
    let kind = served.json(&["kind", "list"])[0].clone();
    assert_eq!((&kind["hung"], &kind["quarantined"]), (&health["hung"], &health["quarantined"]));
    let said = served.says(&["artifact", "list"]);
    assert!(said.ends_with(&quarantined), "{said}");
    let listed = served.json(&["artifact", "list"]);
    let of = |at: usize| (&listed[at]["version"], &listed[at]["quarantined"]);
    assert_eq!([of(0), of(1)], [(&json!("1.0.0"), &json!(why)), (&json!("2.0.0"), &Value::Null)], "{listed:#}");
    // It was slow, and does not hang.
    fs::write(hold, "").expect("it is ours");
    until("it is over", || served.json(&["status"])["quarantined"] == json!([]));
    assert_eq!(served.json(&["kind", "list"])[0]["hung"], json!([]));
}

fn a_plan_is_a_table_of_its_steps() {
    let served = counting();
    served.says(&["actor", "start", "counter/b", r#"{"total": 0}"#, "--version", "2.0.0"]);
    // What the rehearsal took is another time each time.
    let head = "\
ACTOR      FROM   TO     SCHEMA  STEPS
counter/a  1.0.0  2.0.0  1 -> 2  verify check trial load [pause snapshot migrate commit] resume
counter/b  2.0.0  2.0.0  2       none: it is there already
counter/a: rehearsed: 8 -> 19 bytes of state, about ";
    let tail = " to migrate)
counter/a: after the commit the way from 2.0.0 down to 1.0.0 gives back the very state that 1.0.0 had
point of no return: the commit; from then on back only by an upgrade to 1.0.0 (downgrade)
1 to move, 1 there already; in brackets: while it is paused
";
    let plan = served.says(&["upgrade", "plan", "counter", "--to", "2.0.0"]);
    assert!(plan.starts_with(head) && plan.ends_with(tail), "{plan}");
    assert!(served.says(&["upgrade", "plan", "counter/b", "--to", "2.0.0"]).ends_with("\nnothing to do\n"));
    // Back from a downgrade the way leads up.
    let down = ["upgrade", "plan", "counter/b", "--to", "1.0.0", "--allow-downgrade", "--probation", "1h"];
    let down = served.says(&down);
    assert!(down.contains("\ncounter/b: after the commit the way from 1.0.0 up to 2.0.0 "), "{down}");
    assert!(down.contains("\n  downgrade: 2.0.0 migrates the state of 1.0.0, which "), "{down}");
}

fn a_plan_has_a_reason_which_its_journal_has_unless_another_one_is_said() {
    let served = counting();
    let plan = ["upgrade", "plan", "counter", "--to", "2.0.0", "--reason", "friday", "--max-pause", "60s", "--json"];
    fs::write(served.desk.path().join("plan.json"), served.says(&plan)).expect("it is ours");
    served.says(&["upgrade", "apply", "--plan", "plan.json"]);
    assert_eq!(served.json(&["upgrade", "log"])[0]["why"], "friday");
    // Who is there already was asked to go there all the same.
    served.says(&["upgrade", "apply", "counter", "--to", "2.0.0"]);
    assert_eq!(served.json(&["upgrade", "log"])[0]["to"], json!(["2.0.0"]));
}

fn e4_another_operator_sees_what_is_left_of_an_upgrade_and_goes_on_with_it() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    for actor in ["probe/b", "probe/c"] {
        served.says(&["actor", "start", actor, r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    }
    // The first one gets two of three, since the third is busy.
    let first = ["upgrade", "apply", "probe", "--to", "2.0.0", "--quiesce-timeout", "50ms", "--reason", "friday"];
    let first = served.run(&first);
    assert_eq!(first.status.code(), Some(1), "{}", text(&first.stdout));
    // The second one sees that, by whom and why, and what is left.
    let log = served.says(&["upgrade", "log"]);
    assert!(log.contains("2 committed") && log.contains("1 deferred") && log.contains("friday"), "{log}");
    let plan = served.json(&["upgrade", "plan", "probe", "--to", "2.0.0", "--trial", "skip"]);
    let names = |part: &str| -> Vec<String> {
        let entries = plan[part].as_array().expect("a list");
        entries.iter().filter_map(|entry| entry["addr"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(
        (names("moves"), names("unchanged")),
        (vec!["probe/a".to_owned()], vec!["probe/b".into(), "probe/c".into()])
    );
    fs::write(hold, "").expect("it is ours");
    let second = served.says(&["upgrade", "apply", "probe", "--to", "2.0.0"]);
    assert!(second.contains("probe/a: upgrade 1.0.0 -> 2.0.0 committed"), "{second}");
    assert!(second.contains("probe/b: already at 2.0.0, not paused"), "{second}");
    assert!(served.says(&["upgrade", "plan", "probe", "--to", "2.0.0"]).ends_with("\nnothing to do\n"));
}

fn r21_a_caller_that_is_refused_in_the_middle_of_a_large_body_hears_why() {
    let served = Served::new(&[]);
    let large = fs::File::create(served.desk.path().join("large.so")).expect("it is ours");
    large.set_len((256 << 20) + 1).expect("it has a hole");
    served.refuses(1, "CTL-LARGE", &["artifact", "push", "large.so"]);
    let callers: Vec<UnixStream> = (0..64).map(|_| UnixStream::connect(served.socket()).expect("it listens")).collect();
    let library = libraries::library("counter-v1").to_str().expect("a path that cargo prints");
    until("the host has let all of them in", || {
        let output = served.run(&["artifact", "push", library]);
        let said = text(&output.stderr);
        assert!(output.status.success() || said.starts_with("error[CTL-BUSY]: "), "{said}");
        !output.status.success()
    });
    drop(callers);
}

fn who_runs_code_of_a_key_that_is_trusted_no_longer_is_named() {
    let (served, key) = Served::production_that_counts();
    let done = served.json(&["key", "distrust", &key]);
    assert_eq!(done["actors"], json!([{ "actor": "counter/a", "version": "1.0.0" }]), "{done:#}");
    served.says(&["key", "trust", "team.pub"]);
    let said = served.says(&["key", "distrust", &key]);
    assert!(said.contains("do not come back") && said.contains("\n  counter/a  1.0.0\n"), "{said}");
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5, "it goes on");
}

fn an_expiry_is_a_date_or_a_moment_and_is_to_come() {
    let served = Served::new(&[]);
    fs::copy(libraries::library("counter-v1"), served.desk.path().join("counter.so")).expect("it copies");
    let key = served.json(&["key", "generate", "team", "--no-password"]);
    let signed = served.json(&["sign", "counter.so", "--key", "team.key"]);
    assert_eq!((&signed["key"], &signed["release"]["kind"]), (&key["id"], &json!("counter")));
    fs::remove_file(served.desk.path().join("counter.so.release")).expect("it was written");
    let trusted = served.json(&["key", "trust", "team.pub", "--expires", "2999-01-31"]);
    assert_eq!(trusted["expires"], "2999-01-31T23:59:59Z");
    let trusted = served.json(&["key", "trust", "team.pub", "--expires", "2999-01-31T12:00:00+02:00"]);
    assert_eq!(trusted["expires"], "2999-01-31T10:00:00Z");
    for over in ["2020-01-31", "2020-01-31T12:00:00Z", "tomorrow"] {
        for command in [&["key", "trust", "team.pub"][..], &["sign", "counter.so", "--key", "team.key"]] {
            let output = served.run(&[command, &["--expires", over]].concat());
            assert_eq!(output.status.code(), Some(2), "{command:?} {over}: {}", text(&output.stderr));
        }
    }
    assert!(!served.desk.path().join("counter.so.release").exists(), "nothing was signed");
}

fn what_is_no_public_key_is_the_callers_mistake() {
    let served = Served::new(&[]);
    served.says(&["key", "generate", "team", "--no-password"]);
    fs::write(served.desk.path().join("empty.pub"), "").expect("it is ours");
    for file in ["team.key", "empty.pub"] {
        let said = served.refuses(2, "TRUST-PUBLIC", &["key", "trust", file]);
        assert!(said.contains("FILE.pub"), "{said}");
    }
    served.refuses(2, "CTL-KEY", &["key", "distrust", "no-id"]);
    assert_eq!(served.json(&["key", "list"]), json!([]));
}

fn an_actor_that_is_down_is_known_to_every_verb() {
    let (served, key) = Served::production_that_counts();
    served.says(&["key", "distrust", &key]);
    let (desk, _) = served.stop();
    let served = Served::at(desk, &["--production"]);
    let plan = ["upgrade", "plan", "counter/a", "--to", "1.0.0"];
    let plan_kind = ["upgrade", "plan", "counter", "--to", "1.0.0"];
    let verbs: [&[&str]; 7] = [
        &["actor", "ask", "counter/a", "Get"],
        &["actor", "tell", "counter/a", "Get"],
        &["actor", "state", "counter/a"],
        &["actor", "pause", "counter/a"],
        &["actor", "resume", "counter/a"],
        &plan,
        &plan_kind,
    ];
    for verb in verbs {
        let said = served.refuses(1, "SYS-DEFINED", verb);
        assert!(said.contains("teneral actor restart counter/a"), "{said}");
    }
    served.refuses(2, "SYS-ACTOR", &["actor", "ask", "counter/b", "Get"]);
    served.refuses(2, "UPG-ACTOR", &["upgrade", "plan", "counter/b", "--to", "1.0.0"]);
}

fn a_field_that_no_code_knows_or_that_is_there_twice_is_refused() {
    let served = counting();
    let said = served.refuses(2, "SYS-JSON", &["actor", "tell", "counter/a", "Add", r#"{"amount": 1, "amuont": 2}"#]);
    assert!(said.contains("unknown field \"amuont\": did you mean amount?"), "{said}");
    let start = ["actor", "start", "counter/b", r#"{"total": 1, "totl": 2}"#, "--version", "1.0.0"];
    assert!(served.refuses(2, "SYS-JSON", &start).contains("did you mean total?"));
    let doubled = r#"{"actor": "counter/a", "message": "Add", "body": {"amount": 1, "amount": 2}}"#;
    let bytes = doubled.len();
    let head =
        format!("POST /v1/actors/tell HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
    let answer = served.raw(&format!("{head}{doubled}"));
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("doubled field \\\"amount\\\""), "{answer}");
    let output = served.run(&["actor", "tell", "counter/a", "Add", r#"{"amount": 1, "amount": 2}"#]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("doubled field \"amount\""), "{}", text(&output.stderr));
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 5, "nothing was added");
}

fn what_to_do_fits_the_command_that_says_it() {
    let served = Served::new(&[]);
    let file = served.desk.path().join("counter.so");
    fs::copy(libraries::library("counter-v1"), &file).expect("it copies");
    served.says(&["key", "generate", "team", "--no-password"]);
    served.says(&["key", "trust", "team.pub"]);
    served.says(&["sign", "counter.so", "--key", "team.key"]);
    fs::copy(libraries::library("counter-v2"), &file).expect("it copies");
    let said = served.refuses(1, "GATE-DIGEST", &["artifact", "push", "counter.so"]);
    assert!(said.contains("teneral sign counter.so --key"), "{said}");
    let said = served.refuses(2, "CLI-FILE", &["artifact", "push", "nowhere.so"]);
    assert!(!said.contains("written"), "a push writes nothing here: {said}");
    served.says(&["sign", "counter.so", "--key", "team.key"]);
    let said = served.refuses(2, "CLI-FILE", &["artifact", "push", "counter.so", "nowhere.so"]);
    assert!(said.contains("1 of 2"), "{said}");
    let said = served.refuses(1, "TRUST-SECRET", &["sign", "counter.so", "--key", "team.pub"]);
    assert!(said.contains("FILE.key") && said.contains("nothing was signed"), "{said}");
}

fn an_artifact_is_removed_when_nobody_needs_it() {
    let served = counting();
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let remove = ["artifact", "remove", "counter", "1.0.0", "--reason", "it is old"];
    let said = served.refuses(1, "SYS-IN-USE", &remove);
    for who in ["counter/a runs it", "counter/a is defined on it", "it is the default of counter"] {
        assert!(said.contains(who), "{said}");
    }
    served.says(&["upgrade", "apply", "counter", "--to", "2.0.0", "--max-pause", "60s"]);
    let said = served.refuses(1, "SYS-IN-USE", &remove);
    assert!(!said.contains("counter/a") && said.contains("teneral kind set-default counter VERSION"), "{said}");
    served.says(&["kind", "set-default", "counter", "2.0.0"]);
    served.says(&remove);
    let left = served.json(&["artifact", "list"]);
    assert_eq!((left.as_array().map(Vec::len), &left[0]["version"]), (Some(1), &json!("2.0.0")));
    served.refuses(2, "SYS-VERSION", &remove);
    served.refuses(2, "SYS-KIND", &["artifact", "remove", "conter", "1.0.0"]);
    let (desk, _) = served.stop();
    let served = Served::at(desk, &[]);
    assert_eq!(served.json(&["artifact", "list"]), left);
    let older = libraries::library("counter-v1").to_str().expect("a path that cargo prints");
    let said = served.refuses(1, "TRUST-OLDER", &["artifact", "push", older]);
    assert!(said.contains("teneral artifact push --allow-older "), "{said}");
    served.says(&["artifact", "push", "--allow-older", older]);
}

fn a_kind_is_shown_with_who_signed_it_and_who_runs_it() {
    let (served, key) = Served::production_that_counts();
    let kind = served.json(&["kind", "show", "counter"]);
    let version = &kind["versions"][0];
    assert_eq!((&version["signer"], &version["trusted_as"]), (&json!(key), &json!("team")), "{kind:#}");
    assert_eq!((&version["running"], &version["defined"]), (&json!(["counter/a"]), &json!(["counter/a"])));
    assert_eq!((&version["schema"], &kind["default"]), (&json!(1), &Value::Null));
    served.says(&["key", "distrust", &key]);
    assert!(served.says(&["kind", "show", "counter"]).contains(&format!("{key}, not trusted")));
    served.refuses(2, "SYS-KIND", &["kind", "show", "conter"]);
}

fn a_dead_letter_is_sent_again_through_the_contract_of_today_or_dropped() {
    let served = counting();
    for (actor, amounts) in [("counter/a", 3), ("counter/b", 2)] {
        if actor == "counter/b" {
            served.says(&["actor", "start", actor, r#"{"total": 0}"#, "--version", "1.0.0"]);
        }
        served.says(&["actor", "pause", actor, "--max", "10m"]);
        for amount in 1..=amounts {
            served.says(&["actor", "tell", actor, "Add", &json!({ "amount": amount }).to_string()]);
        }
        served.says(&["actor", "stop", actor]);
    }
    let ids = |letters: &Value| -> Vec<u64> {
        letters.as_array().expect("a list").iter().map(|letter| letter["id"].as_u64().expect("an id")).collect()
    };
    let letters = served.json(&["dead-letter", "list"]);
    assert_eq!((ids(&letters), &letters[0]["body_kept"]), (vec![1, 2, 3, 4, 5], &json!(true)), "{letters:#}");
    let output = served.run(&["dead-letter", "resend", "1"]);
    assert_eq!(output.status.code(), Some(1), "nobody is there: {}", text(&output.stdout));
    // Newer code reads them by its up-cast.
    served.says(&["actor", "start", "counter/a", r#"{"total": 100}"#, "--version", "2.0.0"]);
    assert_eq!(served.says(&["dead-letter", "resend", "1", "2", "--reason", "it is back"]), "2 sent again\n");
    let what = || served.json(&["audit", "list", "--limit", "1"])[0]["what"].clone();
    assert_eq!(what(), "1 2");
    let done = served.json(&["dead-letter", "resend", "4", "--to", "counter/a"]);
    assert_eq!(what(), "4 to counter/a");
    assert_eq!(done, json!({ "done": [4], "kept": [] }));
    assert_eq!(served.json(&["actor", "ask", "counter/a", "Get"])["reply"]["total"], 100 + 1 + 2 + 1);
    assert_eq!(ids(&served.json(&["dead-letter", "list"])), [3, 5]);
    served.refuses(2, "CTL-LETTER", &["dead-letter", "drop", "3", "4"]);
    assert_eq!(served.says(&["dead-letter", "drop", "3"]), "1 dropped\n");
    served.says(&["dead-letter", "drop", "--all"]);
    assert_eq!(what(), "5", "which all of them were");
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
    for nonsense in [&["dead-letter", "drop"][..], &["dead-letter", "drop", "1", "--all"]] {
        assert_eq!(served.run(nonsense).status.code(), Some(2), "{nonsense:?}");
    }
}

fn a_verb_is_for_one_actor_or_for_all_of_a_kind() {
    let served = counting();
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "counter/b", r#"{"total": 6}"#, "--version", "1.0.0"]);
    served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    let statuses = |selector: &str| -> Vec<String> {
        let all = served.json(&["actor", "list", "-l", selector]);
        all.as_array().expect("a list").iter().map(|view| format!("{}", view["status"])).collect()
    };
    served.says(&["actor", "pause", "-l", "kind=counter", "--max", "10m", "--reason", "to look"]);
    assert_eq!(
        (statuses("kind=counter"), statuses("kind=probe")),
        (vec!["\"paused\"".to_owned(); 2], vec!["\"running\"".to_owned()])
    );
    let resumed = served.json(&["actor", "resume", "-l", "kind=counter"]);
    assert_eq!(resumed.as_array().map(Vec::len), Some(2), "{resumed:#}");
    let plan = served.json(&["upgrade", "plan", "-l", "kind=counter", "--to", "2.0.0"]);
    assert_eq!(plan["moves"].as_array().map(Vec::len), Some(2));
    served.refuses(2, "SYS-NOBODY", &["actor", "stop", "-l", "kind=conter"]);
    served.says(&["actor", "stop", "-l", "kind=counter", "--yes"]);
    assert_eq!((statuses("kind=counter").len(), statuses("kind=probe").len()), (0, 1));
    for nonsense in
        [&["actor", "stop"][..], &["actor", "stop", "-l", "colour=red"], &["actor", "stop", "a/b", "-l", "kind=a"]]
    {
        assert_eq!(served.run(nonsense).status.code(), Some(2), "{nonsense:?}");
    }
}

fn a_command_waits_for_its_host_as_long_as_it_is_told_to() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    let hold = served.busy_probe();
    let apply = ["upgrade", "apply", "--max-pause", "60s", "--quiesce-timeout", "60s", "probe/a", "--to", "2.0.0"];
    let once = ["--request-id", "once", "--timeout", "300ms"];
    // On a busy machine its time may be over before its host has heard of it.
    until("it goes on", || {
        served.refuses(4, "CLI-TIMEOUT", &[&apply[..], &once].concat());
        served.json(&["upgrade", "status"])["status"] == "running"
    });
    fs::write(&hold, "").expect("it is ours");
    until("it ends", || served.json(&["upgrade", "status"])["status"] == "ended");
    served.says(&["actor", "list", "--timeout", "60s"]);
}

fn help(verb: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = command.arg("help").args(verb).output().expect("the binary runs");
    assert!(output.status.success(), "{verb:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let list = list.split("\n\n").next().unwrap_or(list).lines();
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn every_verb_says_how_it_is_used_and_what_it_ends_with() {
    let (mut verbs, mut open) = (Vec::new(), vec![Vec::new()]);
    while let Some(group) = open.pop() {
        let under = commands(&help(&group.iter().map(String::as_str).collect::<Vec<_>>()));
        if under.is_empty() {
            verbs.push(group.clone());
        }
        open.extend(under.into_iter().map(|verb| [group.clone(), vec![verb]].concat()));
    }
    assert!(verbs.len() > 40, "{verbs:?}");
    for verb in verbs {
        let said = help(&verb.iter().map(String::as_str).collect::<Vec<_>>());
        let typed = format!("\nExamples:\n  teneral {}", verb.join(" "));
        assert!(said.contains(&typed) && said.contains("\nExit codes:\n"), "{verb:?}: {said}");
    }
}
