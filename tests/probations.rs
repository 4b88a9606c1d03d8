//! Versions on probation as an operator meets them: at the terminal, beside a host that is a process of its own.

use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, test};
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Stdio};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(i9_one_sees_who_is_on_probation_for_which_upgrade_how_long_yet_and_which_version_is_the_default),
        test(i11_the_instance_before_keeps_its_library_and_its_artifact_while_somebody_may_go_back_to_it),
        test(u44_who_was_on_probation_comes_back_on_the_version_that_wrote_its_state_when_its_host_is_killed),
        test(who_had_committed_when_the_host_was_killed_in_the_middle_of_an_upgrade_comes_back_on_the_new_version),
        test(who_went_back_by_hand_after_the_host_had_ended_is_not_told_to_make_it_final),
        test(u44_what_is_final_outlives_the_host_and_a_probation_does_not),
        test(u44_who_was_being_taken_back_when_the_host_was_killed_is_where_it_was_and_no_slip_undoes_it),
        test(f38_apply_that_waits_ends_with_1_when_its_version_was_taken_back_and_the_host_remembers_that),
        test(apply_that_waits_ends_well_when_its_version_has_passed),
        test(who_tries_a_version_again_that_was_taken_back_is_told_so_until_it_has_stayed),
        test(an_upgrade_is_taken_back_by_order_and_the_log_the_audit_and_the_journal_say_so),
        test(the_log_says_how_a_probation_began_and_ended_and_why_to_people_and_to_programs),
        test(who_fails_and_is_not_taken_back_is_shown_with_orders_to_paste),
        test(who_hangs_is_shown_with_the_ways_that_work_and_is_final_only_when_it_has_returned),
        test(what_the_version_before_wants_sent_is_listed_sent_and_dropped),
        test(a_plan_says_which_ways_back_there_will_be_and_where_the_point_of_no_return_lies),
        test(a_way_down_that_nobody_has_seen_keep_all_is_not_taken_by_itself),
        test(a_host_puts_versions_on_probation_where_its_configuration_says_so_and_a_command_says_more),
        test(who_could_not_be_taken_back_is_not_let_go_by_hand_and_it_is_said_what_lets_it_go),
        test(waiting_messages_that_a_rollback_would_lose_are_named_and_given_up_by_order_only),
        test(where_one_goes_back_only_with_a_loss_the_orders_name_who_loses_and_who_does_not),
        test(what_cannot_be_decided_is_refused_with_what_to_do),
    ]
}

const START: &str = r#"{"trap": {"step": "", "how": ""}}"#;

/// Bounds that a slow machine comes nowhere near; and a way back whose end is written is waited for.
const PATIENT: [&str; 6] = ["--max-pause", "60s", "--trial-timeout", "60s", "--queue-timeout", "60s"];

/// `probe/a` on 1.0.0, which has handled ten notes.
fn probing() -> Served {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    start(&served, "probe/a");
    for number in 0..10 {
        let note = json!({ "sender": 0, "number": number }).to_string();
        served.says(&["actor", "tell", "probe/a", "Note", &note]);
    }
    assert_eq!(seen(&served, "probe/a")["log"].as_array().map(Vec::len), Some(10));
    served
}

fn start(served: &Served, actor: &str) {
    served.says(&["actor", "start", actor, START, "--version", "1.0.0"]);
}

fn tell(served: &Served, actor: &str, act: &Value) {
    served.says(&["actor", "tell", actor, "Do", &json!({ "act": act }).to_string()]);
}

/// So many messages that 1.0.0 handles and 2.0.0 does not.
fn go_wrong(served: &Served, times: usize) {
    let act = json!({ "OnlyUnder": { "version": 1, "how": "fail" } });
    (0..times).for_each(|_| tell(served, "probe/a", &act));
}

/// What an actor says it has seen, when everything before is handled.
#[track_caller]
fn seen(served: &Served, actor: &str) -> Value {
    served.json(&["actor", "ask", actor, "Read", "--timeout", "60s"])["reply"].clone()
}

fn apply<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["upgrade", "apply", "probe/a", "--to", "2.0.0"][..], &PATIENT, more].concat()
}

/// `probe/a` on probation on 2.0.0; the upgrade's id, and what was said of it.
#[track_caller]
fn on_probation(served: &Served, more: &[&str]) -> (String, String) {
    let said = served.says(&apply(more));
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    assert!(said.contains("\nprobe/a is on probation until "), "{said}");
    for order in ["status", "finalise", "rollback"] {
        assert!(said.contains(&format!(" teneral upgrade {order} {id}\n")), "{said}");
    }
    (id, said)
}

/// The end of one actor's probation, once it is over.
fn over(served: &Served, id: &str) -> Value {
    let view = || served.json(&["upgrade", "status", id])["probation"]["over"][0].clone();
    until("its probation is over", || !view().is_null());
    view()
}

fn runs(served: &Served, actor: &str) -> Value {
    let view = served.json(&["actor", "show", actor]);
    json!([view["running"], view["desired"], view["default"]])
}

fn i9_one_sees_who_is_on_probation_for_which_upgrade_how_long_yet_and_which_version_is_the_default() {
    let served = probing();
    start(&served, "probe/b");
    served.says(&["kind", "set-default", "probe", "1.0.0"]);
    let nobody = served.says(&["status"]);
    assert!(nobody.contains("\nprobation   0\n") && !nobody.contains("on probation"), "{nobody}");
    let (id, _) = on_probation(&served, &["--probation", "1h", "--probation-messages", "1000"]);
    let line = format!("1 on probation\n  probe/a: 2.0.0 for {id}, ");
    for look in [&["actor", "list"][..], &["kind", "list"], &["status"]] {
        let said = served.says(look);
        let (_, left) = said.split_once(&line).unwrap_or_else(|| panic!("{look:?}: {said}"));
        assert!(left.starts_with("59m ") || left.starts_with("1h "), "{look:?}: {said}");
        assert!(left.lines().next().is_some_and(|left| left.ends_with(" messages left")), "{look:?}: {said}");
    }
    let actors = served.json(&["actor", "list"]);
    let of = |at: usize| (&actors[at]["actor"], &actors[at]["default"], &actors[at]["probation"]["upgrade"]);
    assert_eq!(of(0), (&json!("probe/a"), &json!("1.0.0"), &json!(id)));
    assert_eq!(of(1), (&json!("probe/b"), &json!("1.0.0"), &Value::Null), "{actors:#}");
    let said = served.says(&["actor", "show", "probe/a"]);
    assert!(said.contains("\ndefault    1.0.0\n") && said.contains(&format!("\nprobation  for {id}, ")), "{said}");
    assert!(served.says(&["kind", "show", "probe"]).contains("\n  on probation: probe/a\n"));
    assert_eq!(served.json(&["status"])["on_probation"], 1);
    // How it does beside the one before, what is kept, and which ways back there are.
    let said = served.says(&["upgrade", "status"]);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "ended, on probation",
        "probation of 1 actor, for 1h and 1000 messages each: probe/a: on probation since ",
        " of 10,000 messages, ",
        "1.0.0 12 turns 0 failed 0 panicked 0 slow ",
        "back by replay (by itself), downgrade, restore",
    ] {
        assert!(words.contains(part), "{part}: {said}");
    }
    // Of another upgrade it is said where to look.
    served.says(&["upgrade", "apply", "probe/b", "--to", "2.0.0", "--max-pause", "60s"]);
    let said = served.says(&["upgrade", "status"]);
    assert!(said.contains(&format!("1 on probation for {id}: teneral upgrade status {id}\n")), "{said}");
    let done = served.says(&["upgrade", "finalise", &id, "--reason", "looks good"]);
    assert_eq!(done, "final on 2.0.0: probe/a; new actors of probe get 2.0.0\n");
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", "2.0.0"]));
    assert_eq!(served.json(&["status"])["on_probation"], 0);
    let end = over(&served, &id);
    assert_eq!(end["how"], "finalised");
    assert!(end["why"].as_str().is_some_and(|why| why.ends_with(": looks good")), "{end}");
    let log = served.json(&["upgrade", "log"]);
    assert_eq!((&log[1]["id"], &log[1]["probation"]), (&json!(id), &json!({ "finalised": 1 })), "{log:#}");
}

fn i11_the_instance_before_keeps_its_library_and_its_artifact_while_somebody_may_go_back_to_it() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    let said = served.says(&["kind", "show", "probe"]);
    assert!(said.contains("  loaded, held by the instance before of probe/a, on probation\n"), "{said}");
    let remove = ["artifact", "remove", "probe", "1.0.0"];
    let said = served.refuses(1, "SYS-IN-USE", &remove);
    assert!(said.contains(&format!("probe/a is on probation for {id}, and its way back leads over it")), "{said}");
    served.says(&["upgrade", "finalise", &id]);
    until("nobody holds it", || {
        let image = served.json(&["kind", "show", "probe"])["versions"][0]["image"].clone();
        image == json!({ "holders": 0, "upgrades": [], "instances_before": [] })
    });
    served.says(&remove);
}

fn u44_who_was_on_probation_comes_back_on_the_version_that_wrote_its_state_when_its_host_is_killed() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    let served = Served::at(served.kill(), &[]);
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", null]));
    let end = over(&served, &id);
    assert_eq!((&end["how"], &end["at"]), (&json!("host_ended"), &Value::Null), "{end}");
    let said = served.says(&["upgrade", "status", &id]);
    let ways = format!(
        "\nprobe/a: its probation ended with the host\n  final:  teneral upgrade finalise {id}\n  back:   \
         teneral upgrade apply probe/a --to 1.0.0 --allow-downgrade\n"
    );
    assert!(said.contains(&ways), "{said}");
    assert!(served.says(&["upgrade", "log"]).contains("  1 committed, 1 ended with the host  "));
    assert_eq!(served.json(&["status"])["on_probation"], 0);
    let said = served.refuses(1, "UPG-PROBATION", &["upgrade", "rollback", &id]);
    assert!(said.contains(&format!("teneral upgrade status {id}")), "{said}");
    // To make it final is left to do.
    served.says(&["upgrade", "finalise", &id]);
    assert_eq!(over(&served, &id)["how"], "finalised");
    served.says(&["actor", "start", "probe/b", START]);
    assert_eq!(runs(&served, "probe/b"), json!(["2.0.0", "2.0.0", "2.0.0"]));
}

fn who_had_committed_when_the_host_was_killed_in_the_middle_of_an_upgrade_comes_back_on_the_new_version() {
    let served = probing();
    let hold = served.desk.path().join("go-on");
    let trap = json!({ "trap": { "step": "migrate", "how": format!("hang {}", hold.display()) } }).to_string();
    served.says(&["actor", "start", "probe/b", &trap, "--version", "1.0.0"]);
    let order = ["upgrade", "apply", "probe", "--to", "2.0.0", "--trial", "skip", "--probation", "1h"];
    let mut asking = served.command(&[&order[..], &PATIENT].concat());
    let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("the second one is at work", || hold.with_extension("reached").exists());
    let on_2 = json!(["2.0.0", "2.0.0", null]);
    until("it is written down of the first one", || runs(&served, "probe/a") == on_2);
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    let served = Served::at(served.kill(), &[]);
    asking.wait().expect("it ends with its host");
    assert_eq!([runs(&served, "probe/a"), runs(&served, "probe/b")], [on_2, json!(["1.0.0", "1.0.0", null])]);
    let view = served.json(&["upgrade", "status", &id]);
    assert_eq!(view["status"], "cut off", "{view:#}");
    let ends = view["probation"]["over"].as_array().expect("a list");
    assert_eq!((ends.len(), &ends[0]["actor"], &ends[0]["how"]), (1, &json!("probe/a"), &json!("host_ended")));
    assert_eq!(served.json(&["upgrade", "log"])[0]["probation"], json!({ "host_ended": 1 }));
    let said = served.says(&["upgrade", "status", &id]);
    assert!(said.contains("\nprobe/a: its probation ended with the host\n  final:  teneral "), "{said}");
    assert_eq!(served.json(&["upgrade", "finalise", &id])["actors"], json!(["probe/a"]), "who was moved, and no other");
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", "2.0.0"]));
}

fn who_went_back_by_hand_after_the_host_had_ended_is_not_told_to_make_it_final() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    let served = Served::at(served.kill(), &[]);
    let said = served.says(&["upgrade", "status", &id]);
    let back = said.lines().find_map(|line| line.strip_prefix("  back:   teneral ")).expect("a way back");
    served.says(&[&back.split(' ').collect::<Vec<_>>()[..], &PATIENT].concat());
    assert_eq!(runs(&served, "probe/a"), json!(["1.0.0", "1.0.0", null]));
    assert_eq!(over(&served, &id)["how"], "superseded");
    let said = served.says(&["upgrade", "status", &id]);
    assert!(said.contains("\nprobe/a: its probation ended with the host, and it runs 1.0.0 by now\n"), "{said}");
    assert!(!said.contains("finalise") && !said.contains("--allow-downgrade"), "{said}");
    assert!(served.says(&["upgrade", "log"]).contains("  1 committed, 1 moved on  "));
    served.refuses(1, "UPG-PROBATION", &["upgrade", "finalise", &id]);
}

fn u44_what_is_final_outlives_the_host_and_a_probation_does_not() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    let (desk, _) = served.stop();
    let served = Served::at(desk, &[]);
    assert_eq!(over(&served, &id)["how"], "host_ended", "a stop in order ends it, too");
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", null]));
    assert_eq!(seen(&served, "probe/a")["log"].as_array().map(Vec::len), Some(10), "with its state");
    served.says(&["upgrade", "finalise", &id]);
    let served = Served::at(served.kill(), &[]);
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", "2.0.0"]));
    assert_eq!(over(&served, &id)["how"], "finalised");
}

fn u44_who_was_being_taken_back_when_the_host_was_killed_is_where_it_was_and_no_slip_undoes_it() {
    let served = probing();
    start(&served, "probe/b");
    served.says(&[&["upgrade", "apply", "probe", "--to", "2.0.0", "--probation", "1h"], &PATIENT[..]].concat());
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    let (first, second) = ("probe/a", "probe/b");
    // The version before hangs in what the second one is told, when it handles that anew.
    let hold = served.desk.path().join("go-on");
    tell(&served, second, &json!({ "OnlyUnder": { "version": 2, "how": format!("hang {}", hold.display()) } }));
    seen(&served, second);
    let mut asking = served.command(&["upgrade", "rollback", &id, "--reason", "wrong totals"]);
    let mut asking = asking.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("the second one is at work", || hold.with_extension("reached").exists());
    // Written down, which is after it runs it.
    assert_eq!(over(&served, &id)["how"], "rolled_back");
    let served = Served::at(served.kill(), &[]);
    asking.wait().expect("it ends with its host");
    assert_eq!(
        [runs(&served, first), runs(&served, second)],
        [json!(["1.0.0", "1.0.0", null]), json!(["2.0.0", "2.0.0", null])]
    );
    let view = served.json(&["upgrade", "status", &id]);
    let log = served.json(&["upgrade", "log"]);
    let by = &log[0]["id"];
    assert_eq!((&log[0]["status"], &log[0]["rolls_back"]), (&json!("cut off"), &json!(id)), "{log:#}");
    let ended = |actor: &str| {
        let ends = view["probation"]["over"].as_array().expect("a list");
        let end = ends.iter().find(|end| end["actor"] == actor).expect("an end");
        [end["how"].clone(), end["by"].clone()]
    };
    assert_eq!(ended(first), [json!("rolled_back"), by.clone()], "{view:#}");
    assert_eq!(ended(second), [json!("host_ended"), by.clone()], "{view:#}");
    let said = served.says(&["upgrade", "status", &id]);
    assert!(
        said.contains(&format!("{second}: its probation ended with the host while {} was", by.as_str().unwrap_or(""))),
        "{said}"
    );
    // Whoever makes the rest final means the rest.
    assert_eq!(served.json(&["upgrade", "finalise", &id])["actors"], json!([second]));
    served.refuses(1, "UPG-PROBATION", &["upgrade", "finalise", &id, first]);
}

/// `upgrade apply --wait`, once its actor is on probation.
fn waiting(served: &Served, more: &[&str]) -> Child {
    let command = &mut served.command(&apply(&[&["--wait"], more].concat()));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    until("it is on probation", || served.json(&["status"])["on_probation"] == 1);
    child
}

fn f38_apply_that_waits_ends_with_1_when_its_version_was_taken_back_and_the_host_remembers_that() {
    let served = probing();
    let child = waiting(&served, &["--probation", "1h"]);
    go_wrong(&served, 25);
    let output = child.wait_with_output().expect("it ends");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    let (_, back) = said.split_once("\nprobe/a: taken back at ").unwrap_or_else(|| panic!("{said}"));
    assert!(back.contains(" turns failed, of "), "{said}");
    let notes = seen(&served, "probe/a")["notes"].to_string();
    assert_eq!(notes.matches("1: did well").count(), 25, "all of it is done by the version before: {notes}");
    let log = served.json(&["upgrade", "log"]);
    assert_eq!((&log[0]["rolls_back"], &log[0]["who"]), (&log[1]["id"], &json!("probation")), "{log:#}");
    assert_eq!(log[1]["probation"], json!({ "rolled_back": 1 }));
    let said = served.says(&["upgrade", "log"]);
    assert!(said.contains("  1 committed, 1 taken back  ") && said.contains("  takes it back: up-"), "{said}");
    // A program reads the same of it, and waits in the same way.
    let child = waiting(&served, &["--probation", "1h", "--json"]);
    go_wrong(&served, 25);
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let (outcome, end) = (&report["actors"][0]["outcome"], &report["probation"]["over"][0]["how"]);
    assert_eq!((outcome, end), (&json!("committed"), &json!("rolled_back")), "{report:#}");
    // The version before wrote the state last.
    let served = Served::at(served.kill(), &[]);
    assert_eq!(runs(&served, "probe/a"), json!(["1.0.0", "1.0.0", null]));
}

fn apply_that_waits_ends_well_when_its_version_has_passed() {
    let served = probing();
    let child = waiting(&served, &["--probation", "1ms", "--probation-messages", "5"]);
    (0..5).for_each(|_| tell(&served, "probe/a", &json!({ "Write": "x" })));
    let output = child.wait_with_output().expect("it ends");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("\nprobe/a: final at ") && said.contains(", by probation\n"), "{said}");
    assert_eq!(runs(&served, "probe/a"), json!(["2.0.0", "2.0.0", "2.0.0"]));
    // Who looks at it from elsewhere ends in the same way.
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    served.says(&["upgrade", "status", &id, "--watch"]);
}

fn who_tries_a_version_again_that_was_taken_back_is_told_so_until_it_has_stayed() {
    let served = probing();
    start(&served, "probe/b");
    let plan = || served.says(&[&["upgrade", "plan", "probe", "--to", "2.0.0"][..], &PATIENT].concat());
    let (first, said) = on_probation(&served, &["--probation", "1h"]);
    assert!(!said.contains("warning: "), "{said}");
    go_wrong(&served, 25);
    let by = over(&served, &first)["by"].as_str().expect("an upgrade").to_owned();
    let warning = format!("\nwarning: 2.0.0 was taken back from probe/a by {by}: ");
    let said = plan();
    let (_, why) = said.split_once(&warning).unwrap_or_else(|| panic!("{said}"));
    assert!(why.contains(" turns failed, of ") && !why.contains("fails at"), "why, once: {said}");
    assert_eq!(said.matches("warning: ").count(), 1, "of nobody else: {said}");
    // It is tried all the same, and somebody else finds it wanting.
    let (second, said) = on_probation(&served, &["--probation", "1h"]);
    assert!(said.contains(&warning), "{said}");
    served.says(&["upgrade", "rollback", &second, "--reason", "not on a Friday"]);
    let by = over(&served, &second)["by"].as_str().expect("an upgrade").to_owned();
    let warning = format!("\nwarning: 2.0.0 was taken back from probe/a by {by}: not on a Friday\n");
    let said = plan();
    assert!(said.contains(&warning) && said.matches("warning: ").count() == 1, "what was last: {said}");
    // Down again from where it has stayed is another matter.
    let (third, _) = on_probation(&served, &["--probation", "1h"]);
    served.says(&["upgrade", "finalise", &third]);
    let down = ["upgrade", "apply", "probe/a", "--to", "1.0.0", "--allow-downgrade"];
    served.says(&[&down[..], &PATIENT].concat());
    let said = plan();
    assert!(!said.contains("warning: "), "{said}");
}

fn an_upgrade_is_taken_back_by_order_and_the_log_the_audit_and_the_journal_say_so() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    let mut watching = served.command(&["upgrade", "status", &id, "--watch"]);
    let watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    tell(&served, "probe/a", &json!({ "Write": "kept" }));
    let said = served.says(&["upgrade", "rollback", &id, "probe/a", "--reason", "wrong totals"]);
    assert!(said.starts_with("probe/a: rollback 2.0.0 -> 1.0.0 committed, paused "), "{said}");
    assert!(said.contains(&format!("; {id} taken back by replay: ")), "{said}");
    let output = watching.wait_with_output().expect("it ends");
    let watched = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{watched}{}", text(&output.stderr));
    assert!(watched.contains("\nprobe/a: taken back at ") && watched.contains(": wrong totals\n"), "{watched}");
    assert_eq!(runs(&served, "probe/a"), json!(["1.0.0", "1.0.0", null]));
    assert!(seen(&served, "probe/a")["notes"].to_string().contains("1: kept"));
    let rollback = served.json(&["upgrade", "status"]);
    assert_eq!((&rollback["rolls_back"], &rollback["probation"]), (&json!(id), &Value::Null));
    assert_eq!(over(&served, &id)["by"], rollback["id"]);
    let said = served.says(&["upgrade", "status"]);
    assert!(said.contains(&format!("\ntakes back {id}\n")), "{said}");
    assert!(said.contains("\nprobe/a: back by replay: "), "{said}");
    assert!(served.says(&["upgrade", "log"]).contains(&format!("  takes back {id}: wrong totals\n")));
    let entry = served.json(&["audit", "list", "--limit", "1"])[0].clone();
    assert_eq!((&entry["act"], &entry["reason"]), (&json!(format!("upgrades/{id}/rollback")), &json!("wrong totals")));
    assert_eq!((&entry["what"], &entry["outcome"]), (&json!(format!("{id} probe/a")), &json!("done")), "{entry}");
    // What was taken back is not made final by a slip of the hand.
    served.refuses(1, "UPG-PROBATION", &["upgrade", "finalise", &id]);
    assert_eq!(served.json(&["kind", "list"])[0]["default"], Value::Null);
}

fn the_log_says_how_a_probation_began_and_ended_and_why_to_people_and_to_programs() {
    for format in ["text", "json"] {
        let desk = TempDir::with_prefix("teneral-probations-").expect("a temporary directory");
        fs::write(desk.path().join("teneral.toml"), format!("log.format = \"{format}\"\n")).expect("it is ours");
        let served = Served::at(desk, &[]);
        served.push(&["probe-v1", "probe-v2"]);
        start(&served, "probe/a");
        let (first, _) = on_probation(&served, &["--probation", "1h"]);
        served.says(&["upgrade", "rollback", &first, "--reason", "wrong totals"]);
        let (second, _) = on_probation(&served, &["--probation", "1h"]);
        go_wrong(&served, 25);
        over(&served, &second);
        let (third, _) = on_probation(&served, &["--probation", "1h"]);
        served.says(&["upgrade", "finalise", &third, "--reason", "looks good"]);
        let log = served.log();
        let says = |message: &str, upgrade: Option<&str>, level: &str, why: &str| {
            let mut lines = log.lines().filter(|line| line.contains(message) && line.contains(level));
            let found = lines.any(|line| upgrade.is_none_or(|id| line.contains(id)) && line.contains(why));
            assert!(found, "{format}: {level} {message}, {upgrade:?}, {why}: {log}");
        };
        for id in [&first, &second, &third] {
            says("on probation", Some(id), "INFO", "probe/a");
        }
        says("taken back", Some(&first), "WARN", "wrong totals");
        says("taken back", Some(&second), "WARN", " turns failed, of ");
        says("passed its probation", Some(&third), "INFO", ": looks good");
        says("new actors of the kind get this version", None, "INFO", "2.0.0");
        assert_eq!(log.matches("taken back").count(), 2, "each once: {log}");
        let mut lines = log.lines().filter(|line| line.contains("probe/a"));
        assert!(lines.all(|line| line.starts_with('{') == (format == "json")), "{log}");
    }
}

fn who_fails_and_is_not_taken_back_is_shown_with_orders_to_paste() {
    let served = probing();
    let child = waiting(&served, &["--probation", "1h", "--rollback", "never"]);
    go_wrong(&served, 25);
    let output = child.wait_with_output().expect("it ends");
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "it waits for somebody: {said}");
    assert!(said.contains("; what fails stays, and you are told\n"), "{said}");
    let shown = served.says(&["upgrade", "status"]);
    for said in [&said, &shown] {
        assert!(said.contains("\nprobe/a: fails it: ") && said.contains("; none of them by itself\n"), "{said}");
    }
    assert!(served.says(&["status"]).contains(", fails it: "));
    assert_eq!(runs(&served, "probe/a")[0], "2.0.0");
    let hint = shown.lines().find_map(|line| line.strip_prefix("  hint: teneral ")).expect("a hint");
    assert!(hint.ends_with(" probe/a --by replay"), "{shown}");
    served.says(&hint.split(' ').collect::<Vec<_>>());
    assert_eq!(runs(&served, "probe/a")[0], "1.0.0");
    let notes = seen(&served, "probe/a")["notes"].to_string();
    assert_eq!(notes.matches("1: did well").count(), 25, "{notes}");
    // Whoever waits does so for as long as it is told to, and the probation goes on.
    served.refuses(4, "CLI-TIMEOUT", &apply(&["--wait", "--probation", "1h", "--timeout", "2s"]));
}

fn who_hangs_is_shown_with_the_ways_that_work_and_is_final_only_when_it_has_returned() {
    let served = probing();
    let hang = |file: &str| {
        let hold = served.desk.path().join(file);
        let how = format!("hang {}", hold.display());
        tell(&served, "probe/a", &json!({ "OnlyUnder": { "version": 1, "how": how } }));
        until("it is found out", || served.says(&["upgrade", "status"]).contains("\nprobe/a: fails it: "));
        hold
    };
    let never = ["--probation", "1h", "--rollback", "never"];
    let (id, _) = on_probation(&served, &never);
    let hold = hang("returns");
    let finalise = ["upgrade", "finalise", &id];
    let said = served.refuses(1, "UPG-QUARANTINED", &finalise);
    let back = format!("teneral upgrade rollback {id} probe/a");
    assert!(said.contains("probe 2.0.0 is in quarantine: probe/a hung in Do\n"), "{said}");
    assert!(said.contains("  now:   nothing is final; who is on probation is so still\n"), "{said}");
    assert!(said.contains(&format!("  hint:  take it back: {back}; or, ")), "{said}");
    assert!(said.contains(": teneral artifact pardon probe 2.0.0 --reason "), "{said}");
    // It is over: what it did is as good as it is.
    fs::write(hold, "").expect("it is ours");
    until("it has returned", || {
        served.json(&["upgrade", "status", &id])["probation"]["on"][0]["quarantined"].is_null()
    });
    served.says(&finalise);
    let down = ["upgrade", "apply", "probe/a", "--to", "1.0.0", "--allow-downgrade"];
    served.says(&[&down[..], &PATIENT].concat());
    // What is shown while it hangs works while it hangs.
    let (id, _) = on_probation(&served, &never);
    let hold = hang("returns-too-late");
    let shown = served.says(&["upgrade", "status", &id]);
    assert!(shown.contains("\nprobe/a: fails it: a turn does not return\n"), "{shown}");
    assert!(shown.contains("\n  back by replay, restore; none of them by itself\n"), "{shown}");
    assert!(shown.contains("\n  2.0.0 is in quarantine and cannot be made final until that is over: "), "{shown}");
    assert!(!shown.contains("teneral upgrade finalise"), "{shown}");
    let hung = format!(
        "  probe/a: 2.0.0 does not return from Do\n    hint: wait for it, or take it back: teneral upgrade rollback \
         {id} probe/a\n"
    );
    for look in [&["status"][..], &["kind", "list"]] {
        let said = served.says(look);
        assert!(said.contains(&hung) && !said.contains("actor stop"), "{look:?}: {said}");
    }
    let hint = shown.lines().find_map(|line| line.strip_prefix("  hint: teneral ")).expect("a hint");
    served.says(&hint.split(' ').collect::<Vec<_>>());
    assert_eq!(runs(&served, "probe/a")[0], "1.0.0");
    let notes = || seen(&served, "probe/a")["notes"].to_string();
    assert_eq!(notes().matches(": did well").count(), 1, "{}", notes());
    assert!(!hold.exists(), "all the while it hung");
    let lost = || served.json(&["status"])["threads_lost"].clone();
    assert_eq!(lost(), json!(1), "it is in there still");
    assert!(served.says(&["status"]).contains("\n1 thread is in code that has not returned and that nobody waits for"));
    fs::write(hold, "").expect("it is ours");
    until("it has returned", || lost() == json!(0));
}

fn what_the_version_before_wants_sent_is_listed_sent_and_dropped() {
    let served = probing();
    start(&served, "probe/b");
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    (0..2).for_each(|_| tell(&served, "probe/a", &json!({ "SignUnder": { "version": 1, "to": "probe/b" } })));
    let said = served.says(&["upgrade", "rollback", &id]);
    assert!(said.contains(", 2 effects held") && said.contains(": teneral upgrade held list\n"), "{said}");
    let held = served.json(&["upgrade", "held", "list"]);
    let first = &held[0];
    assert_eq!((&first["kind"], &first["message"]), (&json!("tell"), &json!("Tick")), "{held:#}");
    assert_eq!((&first["actor"], &first["to"]), (&json!("probe/a"), &json!("probe/b")));
    assert_eq!(first["body"], json!({ "text": "signed by 1" }), "as its receiver's code would write it");
    let said = served.says(&["upgrade", "held", "list"]);
    assert!(said.contains(r#"  {"text":"signed by 1"}"#) && said.ends_with("\n2 held\n"), "{said}");
    let number = |at: usize| held[at]["id"].to_string();
    let said = served.says(&["upgrade", "held", "send", &number(0), "--reason", "it was meant"]);
    assert_eq!(said, format!("{} is sent: tell Tick to probe/b\n", number(0)));
    let signed = |served: &Served| seen(served, "probe/b")["notes"].to_string().matches("signed by 1").count();
    assert_eq!(signed(&served), 1);
    let entry = served.json(&["audit", "list", "--limit", "1"])[0].clone();
    let what = format!("{}: tell Tick from probe/a to probe/b", number(0));
    assert_eq!((&entry["what"], &entry["reason"]), (&json!(what), &json!("it was meant")), "{entry}");
    served.refuses(2, "UPG-NOT-HELD", &["upgrade", "held", "send", &number(0)]);
    // Its receiver is gone: it stays.
    served.says(&["actor", "stop", "probe/b"]);
    let said = served.refuses(1, "UPG-NOT-SENT", &["upgrade", "held", "send", "--all"]);
    assert!(said.contains("  now:   it is held still\n"), "{said}");
    assert_eq!(served.says(&["upgrade", "held", "drop", "--all"]).lines().count(), 1);
    assert_eq!(served.json(&["upgrade", "held", "list"]), json!([]));
    for nonsense in [&["upgrade", "held", "drop"][..], &["upgrade", "held", "drop", "1", "--all"]] {
        assert_eq!(served.run(nonsense).status.code(), Some(2), "{nonsense:?}");
    }
}

fn a_plan_says_which_ways_back_there_will_be_and_where_the_point_of_no_return_lies() {
    let served = probing();
    let plan = |more: &[&str]| {
        let plan = ["upgrade", "plan", "probe/a", "--to", "2.0.0"];
        served.says(&[&plan[..], &PATIENT, more].concat())
    };
    let said = plan(&["--probation", "30s", "--keep-messages", "500"]);
    let after = "
after the commit 2.0.0 is on probation beside 1.0.0 for 30s; if it fails, it is taken back by replay, or else by \
downgrade
  replay: 1.0.0 handles anew what came since the commit, all work is kept; of at most 500 messages or 64 MiB
  past that (more than 17 messages a second): it is taken back by downgrade
  downgrade: 2.0.0 writes its state for 1.0.0, which gives back the very state that was there, as rehearsed
  restore: 1.0.0 goes on from where it was, what came since the commit is given up
point of no return: the end of the probation, which makes 2.0.0 the default; from then on back only by an upgrade to \
1.0.0 (downgrade)
";
    assert!(said.contains(after), "{said}");
    let said = plan(&["--probation", "30s", "--trial", "skip", "--rollback", "downgrade"]);
    assert!(said.contains("; if it fails, it is taken back by downgrade\n"), "{said}");
    assert!(said.contains("for 1.0.0, which is not rehearsed, and may lose something\n"), "{said}");
    let past =
        "\n  past that (more than 333 messages a second): it stays until somebody decides, and is taken back by ";
    let said = plan(&["--probation", "30s", "--trial", "skip"]);
    assert!(said.contains(&format!("{past}downgrade or restore by order only\n")), "{said}");
    // Of a kind that knows no step down.
    let said = plan(&["--probation", "30s", "--state", "reset"]);
    assert!(said.contains(&format!("{past}restore by order only\n")), "{said}");
    let said = plan(&["--probation", "30s", "--probation-messages", "501", "--keep-messages", "500"]);
    assert!(said.contains("the probation lasts 501 messages and keeps 500 of them: before its end "), "{said}");
    let said = plan(&["--probation", "30s", "--rollback", "never"]);
    assert!(said.contains("; if it fails, it stays until somebody decides\n"), "{said}");
    assert!(!said.contains("no replay: "), "{said}");
    // Of a kind that does not declare it.
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let of_counter = [&["upgrade", "plan", "counter", "--to", "2.0.0", "--probation", "30s"], &PATIENT[..]].concat();
    let said = served.says(&of_counter);
    assert!(said.contains("\n  no replay: the kind is not declared deterministic\n  downgrade: "), "{said}");
    let said = plan(&[]);
    let point = "\npoint of no return: the commit; from then on back only by an upgrade to 1.0.0 (downgrade)\n";
    assert!(said.contains(point) && !said.contains("probation"), "{said}");
    let said = plan(&["--state", "reset", "--probation", "30s"]);
    assert!(said.contains("; from then on no way back to 1.0.0\n") && !said.contains("  downgrade: "), "{said}");
}

fn a_way_down_that_nobody_has_seen_keep_all_is_not_taken_by_itself() {
    for (more, back) in [
        (&["--trial", "skip"][..], false),
        (&["--trial", "skip", "--accept-lossy"], true),
        (&["--trial", "every"], true),
    ] {
        let served = probing();
        // So few that there is no replay.
        let (id, _) = on_probation(&served, &[&["--probation", "1h", "--keep-messages", "1"], more].concat());
        go_wrong(&served, 25);
        let on = || served.json(&["upgrade", "status", &id])["probation"]["on"][0].clone();
        match back {
            true => {
                assert_eq!(over(&served, &id)["how"], "rolled_back", "{more:?}");
                until("its rollback has ended", || served.json(&["upgrade", "status"])["status"] == "ended");
                let rollback = served.json(&["upgrade", "status"]);
                let end = rollback["journal"].as_array().and_then(|journal| journal.last()).expect("an end");
                assert_eq!(end["actors"][0]["back"]["way"], "downgrade", "{rollback:#}");
            }
            false => {
                until("it is judged", || on()["phase"] == "sick");
                assert_eq!((&on()["ways"], &on()["automatic"]), (&json!(["downgrade", "restore"]), &Value::Null));
            }
        }
    }
}

fn a_host_puts_versions_on_probation_where_its_configuration_says_so_and_a_command_says_more() {
    let desk = TempDir::with_prefix("teneral-probations-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), "[upgrade]\nprobation = \"2h\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let rows = served.json(&["config", "show"]);
    let row = rows.as_array().expect("rows").iter().find(|row| row["key"] == "upgrade.probation").expect("a row");
    assert_eq!((&row["value"], &row["from"]), (&json!("2h"), &json!("teneral.toml:2")), "{row}");
    let planned = |more: &[&str]| {
        let plan = served.json(&[&["upgrade", "plan", "counter", "--to", "2.0.0"], more].concat());
        plan["options"]["probation"].clone()
    };
    let of = |more: &[&str]| {
        let watch = planned(more)["watch"].clone();
        json!([watch["time_us"], watch["errors_more_permille"], watch["slower_percent"], watch["rollback"]])
    };
    let hours = |hours: u64| hours * 3_600_000_000;
    assert_eq!(of(&[]), json!([hours(2), 50, 300, "auto"]));
    assert_eq!(of(&["--max-errors", "0.5%"]), json!([hours(2), 5, 300, "auto"]));
    let more = ["--probation", "1h", "--max-slower", "1.5x", "--rollback", "restore"];
    assert_eq!(of(&more), json!([hours(1), 50, 150, "restore"]));
    assert_eq!(planned(&["--probation", "off"]), "off");
    served.says(&["upgrade", "apply", "counter", "--to", "2.0.0", "--max-pause", "60s"]);
    assert_eq!(served.json(&["status"])["on_probation"], 1);
    // A plan has its bounds already.
    fs::write(served.desk.path().join("plan.json"), "{}").expect("it is ours");
    served.refuses(2, "CLI-USAGE", &["upgrade", "apply", "--plan", "plan.json", "--probation", "1h"]);
    for (option, wrong) in [
        ("--probation", "0s"),
        ("--probation", "soon"),
        ("--max-errors", "101%"),
        ("--max-slower", "0.5x"),
        ("--keep-bytes", "much"),
        ("--rollback", "sometimes"),
    ] {
        let output = served.run(&["upgrade", "plan", "counter", "--to", "2.0.0", option, wrong]);
        assert_eq!(output.status.code(), Some(2), "{option} {wrong}: {}", text(&output.stderr));
    }
    // Where the host says nothing, an option of a probation asks for a minute of it.
    let served = probing();
    let plan = ["upgrade", "plan", "probe/a", "--to", "2.0.0"];
    assert_eq!(served.json(&plan)["options"]["probation"], "off");
    let plan = served.json(&[&plan[..], &["--rollback", "never"]].concat());
    assert_eq!(plan["options"]["probation"]["watch"]["time_us"], 60_000_000);
}

fn who_could_not_be_taken_back_is_not_let_go_by_hand_and_it_is_said_what_lets_it_go() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h", "--rollback", "never"]);
    // The version before panics on what the new one did well.
    tell(&served, "probe/a", &json!({ "OnlyUnder": { "version": 2, "how": "panic" } }));
    seen(&served, "probe/a");
    let rollback = ["upgrade", "rollback", &id, "probe/a", "--by", "replay"];
    assert_eq!(served.run(&rollback).status.code(), Some(1));
    let held = || served.json(&["actor", "show", "probe/a"])["status"] == "paused";
    assert!(held());
    let said = served.refuses(1, "CTL-RESUME", &["actor", "resume", "probe/a"]);
    assert!(
        said.contains("held by ") && said.contains("\n  now:   it could not be taken back ([UPG-REPLAY] "),
        "{said}"
    );
    let order = format!("teneral upgrade finalise {id} probe/a");
    assert!(said.contains(&format!("take it back: teneral upgrade rollback {id} probe/a --by ")), "{said}");
    assert!(said.contains(&format!("; or let 2.0.0 go on: {order}\n")), "{said}");
    assert!(held(), "it was no order to do it");
    served.says(&order.split(' ').skip(1).collect::<Vec<_>>());
    assert!(!held());
    // Who is held by nobody goes on.
    served.says(&["actor", "resume", "probe/a"]);
}

fn waiting_messages_that_a_rollback_would_lose_are_named_and_given_up_by_order_only() {
    let served = probing();
    let (id, _) = on_probation(&served, &["--probation", "1h"]);
    // 2.0.0 panics, and a message waits that only it knows.
    served.says(&["actor", "pause", "probe/a"]);
    tell(&served, "probe/a", &json!({ "OnlyUnder": { "version": 1, "how": "panic" } }));
    served.says(&["actor", "tell", "probe/a", "Fresh", "{}"]);
    served.says(&["actor", "resume", "probe/a"]);
    let on = || served.json(&["upgrade", "status", &id])["probation"]["on"][0].clone();
    until("it is left to an operator", || on()["phase"] == "sick");
    let lost = "waiting messages have no path to 1.0.0: 1 in the mailbox: message Fresh is unknown to 1.0.0";
    let said = served.says(&["upgrade", "status", &id]);
    assert!(said.contains(&format!("; it is not taken back by itself: [UPG-CONTRACT] {lost}\n")), "{said}");
    assert!(said.contains("; none of them by itself\n"), "{said}");
    let rollback = ["upgrade", "rollback", &id];
    let said = served.refuses(1, "UPG-CONTRACT", &rollback);
    assert!(said.contains(&lost.replace("1.0.0: 1", "probe 1.0.0: 1")), "{said}");
    assert!(said.contains("; or give them up: --allow-dead-letters\n"), "{said}");
    assert_eq!(on()["phase"], "sick", "nothing has begun");
    let said = served.says(&[&rollback[..], &["--allow-dead-letters"]].concat());
    assert!(said.contains("; 1 more had no way to 1.0.0 and became dead letters\n"), "{said}");
    assert!(said.contains("message Fresh is unknown to 1.0.0: they become dead letters\n"), "{said}");
    let said = served.says(&["upgrade", "status"]);
    assert!(said.contains("\nprobe/a: 1 message had no way to 1.0.0 and is a dead letter: "), "{said}");
    let letters = served.json(&["dead-letter", "list"]);
    assert_eq!((letters.as_array().map(Vec::len), &letters[0]["to"]), (Some(1), &json!("probe/a")), "{letters:#}");
    assert!(seen(&served, "probe/a")["notes"].to_string().contains("1: did well"));
}

fn where_one_goes_back_only_with_a_loss_the_orders_name_who_loses_and_who_does_not() {
    let served = probing();
    start(&served, "probe/b");
    let order = ["upgrade", "apply", "probe", "--to", "2.0.0", "--probation", "1h", "--keep-messages", "2"];
    let said = served.says(&[&order[..], &PATIENT].concat());
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    assert!(said.contains(&format!("  back:   teneral upgrade rollback {id}\n")), "{said}");
    // More than is kept, and then a panic: there is the instance before, and nothing else.
    (0..3).for_each(|_| tell(&served, "probe/b", &json!({ "Write": "more" })));
    tell(&served, "probe/b", &json!({ "OnlyUnder": { "version": 1, "how": "panic" } }));
    let on = || served.json(&["upgrade", "status", &id])["probation"]["on"].clone();
    until("it is left to an operator", || on()[1]["phase"] == "sick");
    assert_eq!(on()[1]["ways"], json!(["restore"]));
    let [keeps, loses] = [format!("rollback {id} probe/a"), format!("rollback {id} probe/b --by restore")];
    let said = served.says(&["upgrade", "status", &id]);
    assert!(
        said.contains(&format!("  back:   teneral upgrade {keeps}\n  back:   teneral upgrade {loses}\n")),
        "{said}"
    );
    let said = served.refuses(1, "UPG-NO-WAY-BACK", &["upgrade", "rollback", &id]);
    let hint =
        format!("give it up: teneral upgrade {loses}; or take the others back: teneral upgrade {keeps}; or let ");
    assert!(said.contains("probe/b: there is no way back that keeps ") && said.contains(&hint), "{said}");
    assert_eq!(on().as_array().map(Vec::len), Some(2), "nobody went back");
    for order in [&keeps, &loses] {
        served.says(&[&["upgrade"][..], &order.split(' ').collect::<Vec<_>>()].concat());
    }
    assert_eq!(
        [runs(&served, "probe/a"), runs(&served, "probe/b")],
        ["a", "b"].map(|_| json!(["1.0.0", "1.0.0", null]))
    );
}

fn what_cannot_be_decided_is_refused_with_what_to_do() {
    let served = probing();
    for order in ["finalise", "rollback"] {
        served.refuses(2, "CTL-UPGRADE", &["upgrade", order, "up-0"]);
    }
    let (id, _) = on_probation(&served, &["--probation", "1h", "--keep-messages", "1"]);
    tell(&served, "probe/a", &json!({ "Write": "one" }));
    tell(&served, "probe/a", &json!({ "Write": "too many" }));
    seen(&served, "probe/a");
    let said = served.refuses(1, "UPG-NO-WAY-BACK", &["upgrade", "rollback", &id, "--by", "replay"]);
    assert!(said.contains("there is downgrade, restore"), "{said}");
    assert!(
        said.contains(&format!("take downgrade: teneral upgrade rollback {id} probe/a --by downgrade; or ")),
        "{said}"
    );
    for order in ["finalise", "rollback"] {
        let said = served.refuses(1, "UPG-PROBATION", &["upgrade", order, &id, "probe/b"]);
        assert!(
            said.contains("probe/b is not on probation for ") && said.contains("  now:   nothing was done\n"),
            "{said}"
        );
    }
    assert_eq!(served.run(&["upgrade", "rollback", &id, "--by", "magic"]).status.code(), Some(2));
    let answer =
        served.raw("POST /v1/held/x/send HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("CTL-REQUEST"), "{answer}");
    served.says(&["upgrade", "rollback", &id, "--by", "restore"]);
    let notes = seen(&served, "probe/a")["notes"].to_string();
    assert!(!notes.contains("too many"), "what came since is given up: {notes}");
}
