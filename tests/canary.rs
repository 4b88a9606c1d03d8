//! Two versions of a kind side by side, as an operator has them: real libraries, a host in a process of its own, and
//! commands on its socket.

use crate::harness::house::until;
use crate::harness::served::Served;
use crate::harness::{Test, test};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;
use teneral::rollout::bucket;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(c1_a_growing_canary_takes_actors_with_their_state_and_keeps_whom_it_has),
        test(c2_a_new_actor_gets_the_version_of_its_bucket_also_after_a_restart_of_the_host),
        test(c4_an_actor_that_is_busy_keeps_a_route_moving_and_only_an_abort_is_taken_meanwhile),
        test(a_canary_that_is_aborted_gives_its_actors_back_with_the_work_that_they_did),
        test(an_abort_takes_who_is_on_probation_back_as_a_rollback_does),
        test(an_abort_cancels_the_move_that_is_at_work),
        test(a_move_that_a_killed_host_did_not_finish_is_finished_by_the_same_command),
        test(a_rule_by_key_decides_before_the_weights_and_an_actor_says_why_it_is_where_it_is),
        test(a_route_that_cannot_be_meant_is_refused_and_changes_nothing),
        test(while_two_versions_share_a_kind_neither_is_removed_and_the_default_stays),
    ]
}

const KEYS: u32 = 24;

/// A host with `counter/0` and so on, on 1.0.0, each counting from its number.
fn counting() -> Served {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    for key in 0..KEYS {
        started(&served, key);
    }
    served
}

#[track_caller]
fn started(served: &Served, key: u32) -> Value {
    served.json(&["actor", "start", &format!("counter/{key}"), &json!({ "total": key }).to_string()])
}

/// The route `1.0.0=.. 2.0.0=..`, with time enough for a slow machine.
fn set(percent: u8) -> [String; 7] {
    let words = ["route", "set", "counter", "", "", "--max-pause", "60s"];
    let mut words = words.map(str::to_owned);
    words[3] = format!("1.0.0={}", 100 - percent);
    words[4] = format!("2.0.0={percent}");
    words
}

#[track_caller]
fn done(served: &Served, words: &[String]) -> Value {
    served.json(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn status(served: &Served) -> Value {
    served.json(&["route", "status", "counter"])
}

/// Which version each key runs, as the host lists its actors.
#[track_caller]
fn running(served: &Served) -> Vec<(u32, String)> {
    let actors = served.json(&["actor", "list"]);
    let each = actors.as_array().expect("a list").iter().map(|actor| {
        let key = actor["actor"].as_str().and_then(|path| path.strip_prefix("counter/")).expect("a counter");
        (key.parse().expect("a number"), actor["running"].as_str().expect("it runs").to_owned())
    });
    each.collect()
}

/// That every actor runs what anybody computes from salt and key, and counts on from what it had.
#[track_caller]
fn is_dealt(served: &Served, salt: &str, percent: u8) {
    let running = running(served);
    assert_eq!(running.len(), KEYS as usize);
    for (key, version) in running {
        let taken = bucket(salt, &key.to_string()) < u16::from(percent) * 100;
        assert_eq!(version, if taken { "2.0.0" } else { "1.0.0" }, "counter/{key} at {percent} %");
        let total = &served.json(&["actor", "ask", &format!("counter/{key}"), "Get"])["reply"]["total"];
        assert_eq!(total, key, "counter/{key} at {percent} %");
    }
}

fn c1_a_growing_canary_takes_actors_with_their_state_and_keeps_whom_it_has() {
    let served = counting();
    let mut moved_before = 0;
    for percent in [10, 50] {
        let rerouted = done(&served, &set(percent));
        assert_eq!((&rerouted["route"]["phase"], &rerouted["route"]["astray"]), (&json!("split"), &json!(0)));
        assert_eq!(rerouted["route"]["salt"], "counter/2.0.0/1", "one rollout");
        is_dealt(&served, "counter/2.0.0/1", percent);
        let reports = rerouted["reports"].as_array().expect("reports");
        let moved: usize = reports.iter().map(|report| report["actors"].as_array().map_or(0, Vec::len)).sum();
        let canary = &rerouted["route"]["versions"][1];
        assert_eq!(canary["actors"], moved + moved_before, "nobody else was touched: {rerouted:#}");
        moved_before += moved;
    }
    let rerouted = served.json(&["route", "promote", "counter", "--max-pause", "60s", "--reason", "it is well"]);
    assert_eq!((&rerouted["route"]["phase"], &rerouted["route"]["stable"]), (&json!("steady"), &json!("2.0.0")));
    is_dealt(&served, "counter/2.0.0/1", 100);
    assert_eq!(served.json(&["kind", "show", "counter"])["default"], "2.0.0");
    let history = served.json(&["route", "history", "counter"]);
    let changes = history["changes"].as_array().expect("a list");
    let acts: Vec<&str> = changes.iter().filter_map(|change| change["act"].as_str()).collect();
    assert_eq!((acts, &changes[2]["why"]), (vec!["set", "set", "promote"], &json!("it is well")));
    assert!(changes.iter().all(|change| change["settled"].is_string() && change["who"] != ""), "{history:#}");
}

fn c2_a_new_actor_gets_the_version_of_its_bucket_also_after_a_restart_of_the_host() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    done(&served, &set(50));
    let salt = "counter/2.0.0/1";
    (0..KEYS / 2).for_each(|key| drop(started(&served, key)));
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let served = Served::at(desk, &[]);
    assert_eq!(status(&served)["phase"], "split");
    (KEYS / 2..KEYS).for_each(|key| drop(started(&served, key)));
    is_dealt(&served, salt, 50);
    assert_eq!(served.json(&["upgrade", "log"]), json!([]), "nobody had to move");
    for key in 0..4 {
        let said = served.json(&["route", "explain", &format!("counter/{key}")]);
        assert_eq!((&said["bucket"], &said["version"]), (&json!(bucket(salt, &key.to_string())), &said["running"]));
    }
}

fn c4_an_actor_that_is_busy_keeps_a_route_moving_and_only_an_abort_is_taken_meanwhile() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    served.says(&["kind", "set-default", "probe", "1.0.0"]);
    let hold = served.busy_probe();
    let whole = |version: &str| {
        let bounds = ["--max-pause", "60s", "--quiesce-timeout", "1ms", "--trial", "skip"].map(str::to_owned);
        [&["route", "set", "probe", &format!("{version}=100")].map(str::to_owned)[..], &bounds].concat()
    };
    let words = whole("2.0.0");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = served.run(&[&words[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "it is not where the route says");
    let rerouted: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let failed = &rerouted["reports"][0]["actors"][0];
    assert_eq!((&failed["outcome"], &failed["code"]), (&json!("deferred"), &json!("UPG-BUSY")), "{rerouted:#}");
    let status = || served.json(&["route", "status", "probe"]);
    assert_eq!((&status()["phase"], &status()["astray"]), (&json!("moving"), &json!(1)));
    let split = ["route", "set", "probe", "1.0.0=50", "2.0.0=50"];
    assert!(served.refuses(1, "ROUTE-MOVING", &split).contains("teneral route abort probe"));
    served.refuses(1, "ROUTE-MOVING", &["kind", "set-default", "probe", "2.0.0"]);
    let aborted = served.json(&["route", "abort", "probe", "--reason", "it takes too long"]);
    assert_eq!((&aborted["route"]["phase"], &aborted["route"]["stable"]), (&json!("steady"), &json!("1.0.0")));
    assert_eq!(aborted["reports"], json!([]), "it had not moved");
    assert_eq!(served.run(&words).status.code(), Some(1), "busy still");
    fs::write(&hold, "").expect("it is ours");
    served.says(&["route", "set", "probe", "2.0.0=100", "--max-pause", "60s", "--quiesce-timeout", "60s"]);
    assert_eq!((&status()["phase"], &status()["stable"]), (&json!("steady"), &json!("2.0.0")), "the same again");
    assert_eq!(status()["revision"], 3);
}

fn a_canary_that_is_aborted_gives_its_actors_back_with_the_work_that_they_did() {
    let served = counting();
    done(&served, &set(50));
    for (key, version) in running(&served) {
        // Each counts on, on whichever version: the sum of all is what the client sent.
        let amount = if version == "2.0.0" { 100 } else { 1000 };
        let body = json!({ "amount": amount }).to_string();
        served.says(&["actor", "tell", &format!("counter/{key}"), "Add", &body]);
    }
    let before = running(&served);
    served.json(&["route", "abort", "counter", "--max-pause", "60s", "--accept-lossy"]);
    for (key, version) in running(&served) {
        assert_eq!(version, "1.0.0", "counter/{key}");
        let taken = before.iter().any(|(of, version)| *of == key && version == "2.0.0");
        let total = &served.json(&["actor", "ask", &format!("counter/{key}"), "Get"])["reply"]["total"];
        assert_eq!(total, key + if taken { 100 } else { 1000 }, "counter/{key}");
    }
    assert_eq!(served.json(&["kind", "show", "counter"])["default"], "1.0.0");
    served.refuses(1, "ROUTE-STEADY", &["route", "abort", "counter"]);
    served.refuses(1, "ROUTE-STEADY", &["route", "promote", "counter"]);
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
}

fn an_abort_takes_who_is_on_probation_back_as_a_rollback_does() {
    let served = counting();
    let watched = [&set(50)[..], &["--probation", "1h"].map(str::to_owned)].concat();
    let rerouted = done(&served, &watched);
    let (canary, canary_upgrade) = (&rerouted["route"]["versions"][1], &rerouted["reports"][0]["id"]);
    assert_eq!(canary["actors"], canary["on_probation"], "{canary:#}");
    for key in 0..KEYS {
        served.says(&["actor", "tell", &format!("counter/{key}"), "Add", r#"{"amount": 7}"#]);
    }
    let aborted = served.json(&["route", "abort", "counter", "--max-pause", "60s"]);
    let went: Vec<&Value> = aborted["reports"].as_array().expect("reports").iter().collect();
    let actors = || went.iter().flat_map(|report| report["actors"].as_array().into_iter().flatten());
    assert!(actors().count() > 0, "{aborted:#}");
    for actor in actors() {
        // Counters declare nothing deterministic: the best way back that they have is the step down.
        assert_eq!((&actor["back"]["way"], &actor["outcome"]), (&json!("downgrade"), &json!("committed")), "{actor:#}");
        assert_eq!(&actor["back"]["of"], canary_upgrade, "it takes the canary's upgrade back: {actor:#}");
    }
    for (key, version) in running(&served) {
        let total = &served.json(&["actor", "ask", &format!("counter/{key}"), "Get"])["reply"]["total"];
        assert_eq!((version.as_str(), total), ("1.0.0", &json!(key + 7)), "counter/{key}");
    }
}

fn an_abort_cancels_the_move_that_is_at_work() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    served.says(&["kind", "set-default", "probe", "1.0.0"]);
    let hold = served.busy_probe();
    let words = ["route", "set", "probe", "2.0.0=100", "--quiesce-timeout", "10m", "--trial", "skip"];
    let mut command = served.command(&words);
    let mut moving = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("it waits for the actor", || {
        served.run(&["upgrade", "status"]).status.success()
            && served.json(&["upgrade", "status"])["status"] == "running"
    });
    let aborted = served.json(&["route", "abort", "probe"]);
    assert_eq!((&aborted["route"]["phase"], &aborted["route"]["astray"]), (&json!("steady"), &json!(0)), "{aborted:#}");
    moving.wait().expect("it ends");
    let last = served.json(&["upgrade", "status"]);
    assert_eq!(last["status"], "ended", "{last:#}");
    fs::write(&hold, "").expect("it is ours");
    served.says(&["actor", "state", "probe/a"]);
    assert_eq!(served.json(&["actor", "show", "probe/a"])["running"], "1.0.0");
    assert_eq!(served.json(&["route", "status", "probe"])["stable"], "1.0.0");
}

fn a_move_that_a_killed_host_did_not_finish_is_finished_by_the_same_command() {
    let served = Served::new(&[]);
    served.push(&["probe-v1", "probe-v2"]);
    served.says(&["kind", "set-default", "probe", "1.0.0"]);
    let _hold = served.busy_probe();
    let words = ["route", "set", "probe", "2.0.0=100", "--max-pause", "60s", "--trial", "skip"];
    assert_eq!(served.run(&[&words[..], &["--quiesce-timeout", "1ms"]].concat()).status.code(), Some(1));
    let served = Served::at(served.kill(), &[]);
    let status = served.json(&["route", "status", "probe"]);
    let stands = (&status["phase"], &status["astray"], &status["stable"]);
    assert_eq!(stands, (&json!("moving"), &json!(1), &json!("1.0.0")), "{status:#}");
    assert_eq!(served.json(&["route", "explain", "probe/new"])["version"], "2.0.0", "new ones go where it goes");
    served.says(&[&words[..], &["--quiesce-timeout", "60s"]].concat());
    let status = served.json(&["route", "status", "probe"]);
    assert_eq!(
        (&status["phase"], &status["stable"], &status["revision"]),
        (&json!("steady"), &json!("2.0.0"), &json!(1))
    );
    assert_eq!(served.json(&["kind", "show", "probe"])["default"], "2.0.0");
}

fn a_rule_by_key_decides_before_the_weights_and_an_actor_says_why_it_is_where_it_is() {
    let served = counting();
    let ruled = [&set(0)[..], &["--match", "key=3", "--match", "key=nobody"].map(str::to_owned)].concat();
    let rerouted = done(&served, &ruled);
    assert_eq!(rerouted["route"]["rules"][0], json!({ "attribute": "key", "value": "3", "version": "2.0.0" }));
    let on_canary: Vec<u32> = running(&served).into_iter().filter(|(_, v)| v == "2.0.0").map(|(key, _)| key).collect();
    assert_eq!(on_canary, [3]);
    let said = served.says(&["route", "explain", "counter/3"]);
    assert!(said.starts_with("counter/3 gets 2.0.0, by rule 1, key=3; its bucket is "), "{said}");
    let said = served.says(&["route", "explain", "counter/4"]);
    assert!(said.contains("gets 1.0.0, by its bucket ") && said.ends_with("of 0 to 9999; it runs that\n"), "{said}");
    let said = served.says(&["route", "explain", "counter/nobody"]);
    assert!(said.contains("by rule 2") && said.ends_with("it is not there\n"), "{said}");
    assert_eq!(done(&served, &set(0))["route"]["rules"], json!([]), "rules are set with the weights");
    assert!(running(&served).iter().all(|(_, version)| version == "1.0.0"), "it went back");
}

fn a_route_that_cannot_be_meant_is_refused_and_changes_nothing() {
    let served = Served::new(&[]);
    served.refuses(2, "SYS-KIND", &["route", "status", "counter"]);
    served.push(&["counter-v1", "counter-v2"]);
    served.refuses(1, "SYS-DEFAULT", &["route", "status", "counter"]);
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    let before = status(&served);
    assert_eq!((&before["phase"], &before["revision"]), (&json!("steady"), &json!(0)));
    fn set<'a>(words: &[&'a str]) -> Vec<&'a str> {
        [&["route", "set", "counter"], words].concat()
    }
    served.refuses(2, "ROUTE-SUM", &set(&["1.0.0=90", "2.0.0=9"]));
    served.refuses(2, "ROUTE-TWICE", &set(&["1.0.0=90", "1.0.0=10"]));
    served.refuses(2, "ROUTE-VERSIONS", &set(&["1.0.0=90", "2.0.0=5", "3.0.0=5"]));
    served.refuses(2, "SYS-VERSION", &set(&["1.0.0=90", "3.0.0=10"]));
    served.refuses(1, "ROUTE-STANDING", &set(&["2.0.0=90", "3.0.0=10"]));
    served.refuses(2, "ROUTE-ATTRIBUTE", &set(&["1.0.0=90", "2.0.0=10", "--match", "cookie=a"]));
    served.refuses(2, "ROUTE-NOT-GIVEN", &set(&["1.0.0=90", "2.0.0=10", "--match", "tenant=acme"]));
    served.refuses(2, "ROUTE-SALT", &set(&["1.0.0=90", "2.0.0=10", "--salt", ""]));
    assert_eq!(status(&served), before);
    assert_eq!(served.run(&set(&["1.0.0", "2.0.0=10"])).status.code(), Some(2), "a weight is typed");
}

fn while_two_versions_share_a_kind_neither_is_removed_and_the_default_stays() {
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["kind", "set-default", "counter", "1.0.0"]);
    done(&served, &set(10));
    let said = served.refuses(1, "SYS-IN-USE", &["artifact", "remove", "counter", "2.0.0"]);
    assert!(said.contains("the route of counter leads to it"), "{said}");
    served.refuses(1, "ROUTE-SHARED", &["kind", "set-default", "counter", "2.0.0"]);
    served.json(&["route", "abort", "counter"]);
    served.says(&["kind", "set-default", "counter", "2.0.0"]);
    let now = status(&served);
    assert_eq!((&now["stable"], &now["phase"]), (&json!("2.0.0"), &json!("steady")));
    served.json(&["route", "set", "counter", "2.0.0=90", "1.0.0=10"]);
    assert_eq!(status(&served)["stable"], "2.0.0", "the one that was there");
}
