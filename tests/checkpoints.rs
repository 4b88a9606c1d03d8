//! Processes of modules that are killed, or end themselves: their actors go on from their last checkpoints.
//!
//! What is believed is what the clients know that they sent, and the actors' own accounts of it.

use crate::harness::house::{GENEROUS, House, patient, until};
use crate::harness::probe::{act, note, notes_with, seen, tell, whole};
use crate::harness::served::Served;
use crate::harness::{Test, test};
use crate::watched::Watching;
use probe_api::{Act, Do, Start};
use serde_json::json;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use teneral::runtime::{CheckpointSeen, Intensity};
use teneral::upgrade::Lossy;
use teneral::{ActorOptions, ActorRef, CheckpointPolicy, Launch, Place, Probation, Rollback, UpgradeOptions, Watch};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(p30_a_crash_of_a_module_loses_no_accepted_message),
        test(p30_a_state_that_is_wanted_after_its_process_is_gone_is_whole),
        test(p31_a_checkpoint_bounds_what_is_kept_and_both_are_shown),
        test(p32_what_was_released_before_a_crash_is_not_said_twice_and_its_answers_come),
        test(p33_a_message_that_kills_the_module_twice_is_put_aside),
        test(a_new_version_whose_process_dies_on_probation_is_rolled_back),
        test(a_checkpoint_that_cannot_be_is_refused_with_its_line),
    ]
}

/// A host whose probes run in a process of their own, with a checkpoint after so many messages.
fn house(messages: usize) -> House {
    House::open(&["probe-v1", "probe-v2"], |options| {
        options.places.insert("probe".to_owned(), Place::Process);
        let policy = CheckpointPolicy::Every { messages, bytes: 1 << 20 };
        options.checkpoints.insert("probe".to_owned(), policy);
        (options.runtime.hang_after, options.runtime.start_timeout) = (GENEROUS, GENEROUS);
        options.modules.ready_timeout = GENEROUS;
    })
}

/// A probe that may be restarted as often as it is.
fn start(house: &House, addr: &str) -> ActorRef {
    let intensity = Intensity { restarts_max: 1000, period: Duration::from_secs(1) };
    let options = ActorOptions { intensity, ..ActorOptions::permanent() };
    let launch = Launch { version: Some("1.0.0".parse().expect("a version")), options };
    house.block_on(house.system.start_with(addr, launch, Start::default())).expect("it starts")
}

fn kill(house: &House) {
    let pid = house.system.modules().first().and_then(|module| module.pid).expect("it runs");
    kill_process(u64::try_from(pid).expect("a number"));
}

fn kill_process(pid: u64) {
    let sent = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "it reaches {pid}");
}

fn checkpoint(actor: &ActorRef) -> CheckpointSeen {
    let mut seen = None;
    until("nobody has it", || {
        seen = actor.checkpoint();
        seen.is_some()
    });
    seen.expect("it was seen")
}

fn p30_a_crash_of_a_module_loses_no_accepted_message() {
    let house = house(50);
    let (a, b) = (start(&house, "probe/a"), start(&house, "probe/b"));
    let over = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..3)
        .map(|sender| {
            let (a, to, over) = (a.clone(), b.addr().clone(), Arc::clone(&over));
            house.spawn(async move {
                let mut sent = 0;
                while !over.load(Ordering::Relaxed) {
                    a.tell(note(sender, sent)).await.expect("it is accepted");
                    let act = Act::Tell(to.clone(), format!("{sender}-{sent}"), 1);
                    a.tell(Do { act }).await.expect("it is accepted");
                    sent += 1;
                    if sent % 20 == 0 {
                        let answer = a.ask(probe_api::Read {}, GENEROUS).await.expect("it answers");
                        assert!(answer.log.iter().filter(|entry| entry.sender == sender).count() as u64 >= sent);
                    }
                }
                sent
            })
        })
        .collect();
    // Both are in that process, and a message that two processes die with is put aside: each gets past what it had.
    let counts = || [a.info(), b.info()].map(|info| (info.handled, info.restarts));
    for _ in 0..5 {
        let before = counts();
        until("both are at work", || counts().iter().zip(before).all(|(now, before)| now.0 > before.0 + 100));
        kill(&house);
        until("both go on", || counts().iter().zip(before).all(|(now, before)| now.1 > before.1));
    }
    over.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = senders.into_iter().map(|one| house.block_on(one).expect("it sends")).collect();
    whole(&seen(&house, &a).log, &sent);
    let told = seen(&house, &b).notes;
    assert_eq!(house.system.runtime().dead_letters().list(), []);
    for (sender, sent) in sent.iter().enumerate() {
        let of: Vec<&str> = told.iter().filter_map(|note| note.strip_prefix(&format!("1: {sender}-"))).collect();
        assert_eq!(of, (0..*sent).map(|number| number.to_string()).collect::<Vec<_>>(), "each once, in order");
    }
    assert!(checkpoint(&a).messages <= 50, "{:?}", checkpoint(&a));
}

fn p30_a_state_that_is_wanted_after_its_process_is_gone_is_whole() {
    let house = house(5);
    let a = start(&house, "probe/a");
    let mut sent = 0;
    let mut kills = || {
        (0..7).for_each(|more| tell(&house, &a, note(0, sent + more)));
        sent += 7;
        seen(&house, &a);
        kill(&house);
        until("it is seen", || house.system.modules().iter().any(|module| module.pid.is_none()));
        sent
    };
    let sent = kills();
    let json = house.block_on(house.system.state_json("probe/a", GENEROUS)).expect("it is read");
    assert_eq!(json.matches("\"number\"").count() as u64, sent, "{json}");
    let sent = kills();
    let report = house.upgrade_live("probe/a", "2.0.0");
    assert!(report.ok(), "{report}");
    whole(&seen(&house, &a).log, &[sent]);
    assert_eq!(a.info().restarts, 0, "it goes on in its place");
}

fn p31_a_checkpoint_bounds_what_is_kept_and_both_are_shown() {
    let desk = TempDir::with_prefix("teneral-checkpoints-").expect("a temporary directory");
    let every = "place = \"process\"\ncheckpoint = { messages = 5, bytes = \"64 KiB\" }\n";
    fs::write(desk.path().join("teneral.toml"), format!("[kinds.probe]\n{every}")).expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["probe-v1"]);
    served.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    let shown = || served.json(&["actor", "show", "probe/a"])["checkpoint"].clone();
    for number in 0..12 {
        served.says(&["actor", "tell", "probe/a", "Note", &json!({ "sender": 0, "number": number }).to_string()]);
        let since = shown()["messages"].as_u64().expect("a number");
        assert!(since <= 5, "{since} messages are kept");
    }
    let state = || served.json(&["actor", "state", "probe/a"]);
    let (before, kept) = (state(), shown());
    assert!(kept["state_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{kept}");
    assert!(kept["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{kept}");
    let text = served.says(&["actor", "show", "probe/a"]);
    let line = text.lines().find(|line| line.starts_with("checkpoint")).unwrap_or_default();
    assert!(line.contains(" messages since, ") && line.contains(" bytes, of 20"), "{text}");
    for (row, value) in [("messages", "5"), ("bytes", "65536")] {
        let key = format!("kinds.probe.checkpoint.{row}");
        let found = served
            .json(&["config", "show"])
            .as_array()
            .expect("rows")
            .iter()
            .any(|told| told["key"] == key.as_str() && told["value"] == value);
        assert!(found, "{key}");
    }
    let watches = Watching::new(&served, &["actor", "watch", "--json", "--since", "0"]);
    kill_process(served.json(&["module", "list"])[0]["pid"].as_u64().expect("it runs"));
    until("it is seen", || served.json(&["module", "list"])[0]["pid"].is_null());
    served.says(&["actor", "tell", "probe/a", "Note", r#"{"sender": 0, "number": 12}"#]);
    let event = watches.next("recovered");
    assert_eq!((&event["actor"], &event["not_replayed"], &event["why"]), (&json!("probe/a"), &json!(0), &json!("")));
    assert_eq!(event["replayed"], kept["messages"], "{event}");
    let log = |state: &serde_json::Value| state["body"]["log"].as_array().map(Vec::len);
    until("it is handled", || log(&state()) == Some(13));
    assert_eq!(log(&before), Some(12), "{before}");
    // The host ends after the process, and knows all that it did.
    kill_process(served.json(&["module", "list"])[0]["pid"].as_u64().expect("it runs"));
    until("it is seen", || served.json(&["module", "list"])[0]["pid"].is_null());
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    let served = Served::at(desk, &[]);
    assert_eq!(log(&served.json(&["actor", "state", "probe/a"])), Some(13), "it comes back with it");
}

fn p32_what_was_released_before_a_crash_is_not_said_twice_and_its_answers_come() {
    let house = house(1000);
    house.system.set_default("probe", "1.0.0").expect("it was pushed");
    let (a, b) = (start(&house, "probe/a"), start(&house, "probe/b"));
    let to = || b.addr().clone();
    act(&house, &a, Act::Tell(to(), "told".to_owned(), 3));
    act(&house, &a, Act::Timer { delay_ms: 1500, period_ms: 0, text: "ticked".to_owned() });
    act(&house, &a, Act::Ask { to: to(), timeout_ms: 60_000 });
    act(&house, &a, Act::Spawn("c".to_owned()));
    seen(&house, &a);
    assert_eq!(notes_with(&house, &b, "told").len(), 3);
    until("the child runs", || house.system.actor("probe/c").is_ok());
    kill(&house);
    // Each finds its process gone with its next message. The one that owes an answer knows to whom.
    act(&house, &b, Act::Pay);
    until("the answer comes to who asked", || notes_with(&house, &a, "heard").len() == 1);
    until("the timer fires", || notes_with(&house, &a, "ticked").len() == 1);
    assert_eq!((a.info().restarts, b.info().restarts), (1, 1));
    assert_eq!(a.info().children.len(), 1, "what it started stays");
    assert_eq!(notes_with(&house, &b, "told").len(), 3);
    assert_eq!(notes_with(&house, &a, "not heard").len(), 0);
    assert_eq!(house.system.runtime().dead_letters().total(), 0);
}

fn p33_a_message_that_kills_the_module_twice_is_put_aside() {
    let house = house(5);
    let (a, b) = (start(&house, "probe/a"), start(&house, "probe/b"));
    for number in 0..12 {
        tell(&house, &a, note(0, number));
        tell(&house, &b, note(0, number));
    }
    for actor in [&a, &b] {
        seen(&house, actor);
    }
    act(&house, &a, Act::OnlyUnder { version: 9, how: "abort".to_owned() });
    tell(&house, &a, note(0, 12));
    whole(&seen(&house, &a).log, &[13]);
    // Not before: what is in the hands of both processes when they die may be put aside as well, whoever killed them.
    tell(&house, &b, note(0, 12));
    whole(&seen(&house, &b).log, &[13]);
    let letters = house.system.runtime().dead_letters().list();
    let [letter] = letters.as_slice() else { panic!("one: {letters:?}") };
    assert!(letter.to == *a.addr() && letter.reason.to_string().contains("signal 6"), "{letter:?}");
    assert_eq!(house.system.modules()[0].starts, 3, "two processes died with it");
}

fn a_new_version_whose_process_dies_on_probation_is_rolled_back() {
    let house = house(5);
    let a = start(&house, "probe/a");
    (0..12).for_each(|number| tell(&house, &a, note(0, number)));
    let watch = Watch { rollback: Rollback::Restore, ..Watch::new(Duration::from_secs(86_400)) };
    let options = UpgradeOptions { probation: Probation::Watch(watch), lossy: Lossy::Accept, ..patient() };
    let report = house.try_upgrade("probe/a", "2.0.0", options).expect("it begins");
    assert!(report.ok(), "{report}");
    act(&house, &a, Act::OnlyUnder { version: 1, how: "abort".to_owned() });
    until("it is taken back", || house.system.probation_of("probe/a").expect("an address").is_none());
    let seen_then = seen(&house, &a);
    assert_eq!(seen_then.version, 1);
    whole(&seen_then.log, &[12]);
    // The version before is kept in turn.
    tell(&house, &a, note(0, 12));
    seen(&house, &a);
    until("its own process alone is left", || house.system.modules().len() == 1);
    kill(&house);
    tell(&house, &a, note(0, 13));
    whole(&seen(&house, &a).log, &[14]);
}

fn a_checkpoint_that_cannot_be_is_refused_with_its_line() {
    let desk = TempDir::with_prefix("teneral-checkpoints-").expect("a temporary directory");
    let config = [
        "[kinds.a]\ncheckpoint = \"off\"\n",
        "[kinds.b]\nplace = \"process\"\ninstances = 2\ncheckpoint = \"off\"\n",
        "[kinds.c]\nplace = \"process\"\ncheckpoint = 7\n",
        "[kinds.d]\nplace = \"process\"\ncheckpoint = { messages = 0, bytes = \"1 MB\", mesages = 3 }\n",
        "[kinds.e]\nplace = \"process\"\ncheckpoint = \"of\"\n",
    ];
    fs::write(desk.path().join("teneral.toml"), config.concat()).expect("it is ours");
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    let output = command.args(["serve"]).current_dir(desk.path()).env_remove("TENERAL_DIR").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for problem in [
        "teneral.toml:2:14: kinds.a.checkpoint needs kinds.a.place = \"process\"",
        "teneral.toml:6:14: kinds.b.checkpoint is of no use with kinds.b.instances: they keep nothing",
        "teneral.toml:9:14: kinds.c.checkpoint takes { messages = 1000, bytes = \"1 MiB\" } or \"off\", not a number",
        "teneral.toml:12:27: kinds.d.checkpoint.messages is 0, and at least 1",
        "kinds.d.checkpoint.bytes takes a number of bytes, or a text as in \"8 MiB\", not \"1 MB\"",
        "no key kinds.d.checkpoint.mesages: did you mean messages?",
        "kinds.e.checkpoint takes { messages = 1000, bytes = \"1 MiB\" } or \"off\", not \"of\"",
    ] {
        assert!(said.contains(problem), "{problem}\n{said}");
    }
}
