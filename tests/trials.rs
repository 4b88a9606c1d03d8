//! Trials as an operator meets them: at the terminal, beside a host that is a process of its own.

use crate::harness::child::trials_of;
use crate::harness::house::until;
use crate::harness::served::{Served, text};
use crate::harness::{Test, test};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Stdio;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            f32_an_abort_only_in_the_live_process_ends_the_host_and_the_next_one_runs_the_old_version_and_tries_nothing,
        ),
        test(a_trial_dies_with_its_host),
        test(a_plan_at_the_terminal_says_what_its_trial_saw_and_ends_with_1_if_it_failed),
    ]
}

/// A host with `villain/v` at 1.0.0 that does this on its way up.
fn host(how: &str) -> Served {
    let served = Served::new(&[]);
    served.push(&["villain-v1", "villain-v2"]);
    let misdeeds = json!({ "misdeeds": [{ "at": "Migrate", "how": how }] }).to_string();
    served.says(&["actor", "start", "villain/v", &misdeeds, "--version", "1.0.0"]);
    served
}

fn f32_an_abort_only_in_the_live_process_ends_the_host_and_the_next_one_runs_the_old_version_and_tries_nothing() {
    let served = host("Abort");
    // The trial would have told.
    served.refused("UPG-TRIAL-CRASH", &["upgrade", "apply", "villain/v", "--to", "2.0.0"]);
    let cut = served.run(&["upgrade", "apply", "villain/v", "--to", "2.0.0", "--trial", "skip"]);
    assert!(!cut.status.success(), "the host is gone: {}", text(&cut.stderr));
    let (desk, ended) = served.ended();
    assert!(!ended.success(), "{ended}");

    let served = Served::at(desk, &[]);
    let shown = served.json(&["actor", "show", "villain/v"]);
    assert_eq!((&shown["running"], &shown["desired"]), (&json!("1.0.0"), &json!("1.0.0")), "{shown}");
    let counted = served.says(&["actor", "ask", "villain/v", "Count", "{}"]);
    assert!(counted.contains("\"handled\": 1"), "{counted}");
    // It lies there as it was left, and nobody goes on with it.
    let upgrades = served.json(&["upgrade", "log"]);
    let statuses: Vec<&str> =
        upgrades.as_array().expect("a list").iter().filter_map(|u| u["status"].as_str()).collect();
    assert_eq!(statuses, ["cut off", "ended"], "{upgrades}");
}

fn a_trial_dies_with_its_host() {
    let served = host("Hang");
    let mut asking = served
        .command(&["upgrade", "apply", "villain/v", "--to", "2.0.0", "--trial-timeout", "1h"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let trial = || trials_of(served.pid()).first().copied();
    until("the trial is at work", || trial().is_some());
    let process = Path::new("/proc").join(trial().expect("it hangs").to_string());
    drop(served.kill());
    // A process that nobody waits for any more is init's; it is gone or a zombie, and runs nothing.
    let runs = || fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z"));
    until("it dies with its host", || !runs());
    asking.wait().expect("it ends with its host");
}

fn a_plan_at_the_terminal_says_what_its_trial_saw_and_ends_with_1_if_it_failed() {
    let served = host("Leak");
    let plan = served.says(&["upgrade", "plan", "villain/v", "--to", "2.0.0"]);
    for words in [
        "verify check trial load [pause snapshot",
        "villain/v: rehearsed: ",
        "gives back the very state that 1.0.0 had",
    ] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    served.says(&["upgrade", "apply", "villain/v", "--to", "2.0.0"]);

    let served = host("Recurse");
    let failed = served.run(&["upgrade", "plan", "villain/v", "--to", "2.0.0"]);
    let said = text(&failed.stdout);
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error[UPG-TRIAL-CRASH]: villain/v: upgrade villain 1.0.0 -> 2.0.0 would be refused"),
        "{said}"
    );
    assert!(said.contains("overflowed its stack while migrating the state"), "{said}");
    assert!(
        said.ends_with("\n1 to move, 1 of them refused at trial, 0 there already; in brackets: while it is paused\n")
    );
    // A sample, a skip and a nonsense.
    served.refused("UPG-TRIAL-CRASH", &["upgrade", "apply", "-l", "kind=villain", "--to", "2.0.0", "--trial", "1"]);
    let nonsense = served.run(&["upgrade", "plan", "villain/v", "--to", "2.0.0", "--trial", "0"]);
    assert_eq!(nonsense.status.code(), Some(2));
    assert!(text(&nonsense.stderr).contains("want every, skip, or how many actors"), "{}", text(&nonsense.stderr));
    // What is left of it for the author.
    for (verb, number) in [("apply", 1), ("plan", 2)] {
        let failed = served.run(&["upgrade", verb, "villain/v", "--to", "2.0.0", "--keep-trial"]);
        let said = text(&failed.stdout);
        assert!(said.contains("error[UPG-TRIAL-CRASH]: villain/v"), "{said}");
        let (_, kept) = said.split_once("villain/v: what is left of its trial is in ").expect(&said);
        let kept = Path::new(kept.lines().next().expect("a path"));
        assert!(kept.ends_with(format!(".teneral/trials/villain-2.0.0-{number}")) && kept.is_absolute(), "{said}");
        assert!(fs::read_to_string(kept.join("output.txt")).expect("it is kept").contains("overflow"));
    }
}

impl Served {
    /// An upgrade whose report refuses its actor for that reason.
    #[track_caller]
    fn refused(&self, code: &str, arguments: &[&str]) {
        let output = self.run(arguments);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
        assert!(said.contains(&format!("error[{code}]: ")) && said.contains("refused at trial, not paused"), "{said}");
    }
}
