//! Programs on trial: what one costs that does not start, who ends one that hangs, and what it may use.

use crate::harness::house::{GENEROUS, until, until_within};
use crate::harness::served::{Served, text};
use crate::harness::{Absent, Test, test};
use crate::languages::{Bench, instead, same};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Stdio;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_program_that_does_not_start_is_started_once_for_a_fleet_and_costs_one_copy_of_a_state),
        test(what_a_program_wrote_that_does_not_start_is_kept_for_the_author_who_asks_for_it),
        test(a_cancel_ends_a_rehearsal_of_a_program_and_the_start_of_one),
        test(all_that_a_program_is_asked_in_a_rehearsal_has_one_deadline),
        test(a_program_on_trial_has_the_bounds_of_a_trial),
    ]
}

/// Where a program serves from, after all that it defines.
const SERVES: &str = "path = os.environ";
/// The first thing that the second version does to a state.
const RESTORES: &str = "        if schema == 1:\n";
const SAVES: &str = "        return {\"state\": tallies[instance]}\n";

/// A line of Python that adds this one to a file.
fn writes(path: &Path, what: &str) -> String {
    format!("open({:?}, 'a').write(str({what}) + '\\n')", path.display().to_string())
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn a_program_that_does_not_start_is_started_once_for_a_fleet_and_costs_one_copy_of_a_state() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    let (starts, saves) = (bench.path("starts"), bench.path("saves"));
    bench.push(1, instead(SAVES, &format!("        {}\n{SAVES}", writes(&saves, "instance"))));
    bench.push(2, instead(SERVES, &format!("{}\nraise SystemExit('no wish to')\n{SERVES}", writes(&starts, "1"))));
    let served = &bench.served;
    for number in 0..10 {
        served.says(&["actor", "start", &format!("tally/{number}"), r#"{"start": 5}"#, "--version", "1.0.0"]);
    }
    let report = served.run(&["upgrade", "apply", "tally", "--to", "2.0.0", "--max-pause", "60s"]);
    let said = text(&report.stdout);
    // Each of them is told why, whether it was the one that was tried or not.
    assert_eq!(said.matches("error[MOD-ENDED]: tally/").count(), 10, "{said}");
    for part in ["exit code 1: no wish to\n", "\n  hint:  mend the program; "] {
        assert_eq!(said.matches(part).count(), 10, "{part}: {said}");
    }
    assert_eq!((lines(&starts), lines(&saves)), (1, 1), "starts and copies: {said}");
    let total = served.json(&["actor", "ask", "tally/9", "Total"])["reply"].clone();
    assert_eq!(total, json!({ "total": 5 }));
    Ok(())
}

fn what_a_program_wrote_that_does_not_start_is_kept_for_the_author_who_asks_for_it() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    bench.push(2, instead(SERVES, &format!("print('about to')\nraise SystemExit('no wish to')\n{SERVES}")));
    bench.start();
    let served = &bench.served;
    let failed = served.run(&["upgrade", "apply", "tally/a", "--to", "2.0.0", "--keep-trial"]);
    let said = text(&failed.stdout);
    assert!(said.contains("error[MOD-ENDED]: tally/a"), "{said}");
    let kept = bench.path(".teneral/trials/tally-2.0.0-1");
    assert!(said.contains("tally/a: what is left of its trial is in "), "{said}");
    let read = |name: &str| fs::read_to_string(kept.join(name)).expect("it is kept");
    let output = read("output.txt");
    assert!(output.contains("about to\n") && output.contains("no wish to\n"), "{output}");
    let what: Value = serde_json::from_str(&read("trial.json")).expect("it is JSON");
    assert_eq!((&what["actor"], &what["code"]), (&json!("tally/a"), &json!("MOD-ENDED")), "{what}");
    assert!(kept.join("state.msgpack").exists());
    Ok(())
}

/// Cancels an upgrade to 2.0.0 whose program has written its number and hangs; it ends, and so does the program.
fn is_cancelled(served: &Served, mark: &Path) {
    let apply = ["upgrade", "apply", "tally/a", "--to", "2.0.0", "--trial-timeout", "1h", "--keep-trial"];
    let mut asking =
        served.command(&apply).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    until("the program hangs", || lines(mark) > 0);
    let id = served.json(&["upgrade", "status"])["id"].clone();
    served.says(&["upgrade", "cancel", id.as_str().expect("an id"), "--reason", "an operator"]);
    until("the upgrade ends", || asking.try_wait().expect("it is ours").is_some());
    let said = text(&asking.wait_with_output().expect("it has ended").stdout);
    assert!(said.contains("error[UPG-CANCELLED]: tally/a") && said.contains("cancelled by "), "{said}");
    let pid = fs::read_to_string(mark).expect("it is ours");
    until("the program is gone", || {
        fs::read_to_string(format!("/proc/{}/stat", pid.trim())).map_or(true, |stat| stat.contains(") Z "))
    });
    assert!(!served.desk.path().join(".teneral/trials").exists(), "nothing has failed");
    assert_eq!(served.json(&["actor", "ask", "tally/a", "Total"])["reply"], json!({ "total": 5 }));
}

fn a_cancel_ends_a_rehearsal_of_a_program_and_the_start_of_one() -> Result<(), Absent> {
    for from in [RESTORES, SERVES] {
        let bench = Bench::new("[modules]\nready_timeout = \"1h\"\n")?;
        let mark = bench.path("mark");
        let indent = &from[..from.len() - from.trim_start().len()];
        let hangs = format!("{indent}import time; {}; time.sleep(3600)\n{from}", writes(&mark, "os.getpid()"));
        bench.push(1, same);
        bench.push(2, instead(from, &hangs));
        bench.start();
        is_cancelled(&bench.served, &mark);
    }
    Ok(())
}

fn all_that_a_program_is_asked_in_a_rehearsal_has_one_deadline() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    // It is asked to restore twice.
    bench.push(2, instead(RESTORES, &format!("        import time; time.sleep(1.6)\n{RESTORES}")));
    bench.start();
    let apply = ["upgrade", "apply", "tally/a", "--to", "2.0.0", "--max-pause", "60s", "--trial-timeout", "2s"];
    let said = text(&bench.served.run(&apply).stdout);
    assert!(said.contains("error[UPG-TRIAL-HANG]: tally/a") && said.contains("was not done after 2s"), "{said}");
    assert_eq!(bench.total(), json!({ "total": 5 }));
    Ok(())
}

fn a_program_on_trial_has_the_bounds_of_a_trial() -> Result<(), Absent> {
    let bench = Bench::new("[upgrade]\nsnapshot_bytes_max = \"1MiB\"\n")?;
    let bounds = bench.path("bounds");
    let looks = "[resource.getrlimit(what)[0] for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU)]";
    let looks = format!("        import resource; {}\n{RESTORES}", writes(&bounds, looks));
    bench.push(1, same);
    bench.push(2, instead(RESTORES, &looks));
    bench.start();
    let apply = ["upgrade", "apply", "tally/a", "--to", "2.0.0", "--max-pause", "60s", "--trial-timeout", "60s"];
    bench.served.says(&apply);
    until_within(GENEROUS, "it serves", || lines(&bounds) >= 3);
    let seen = fs::read_to_string(&bounds).expect("it is ours");
    let seen: Vec<[i64; 2]> = seen.lines().map(|line| serde_json::from_str(line).expect("two numbers")).collect();
    // Twice on trial, and then the live one.
    let [[memory, processor], _, [live, unbounded]] = seen[..] else { panic!("{seen:?}") };
    // 512 MiB and eight times the largest state, besides what a process has when it is bound.
    assert!((520 << 20..1 << 30).contains(&memory) && live > 4 << 30, "{seen:?}");
    assert!((120..600).contains(&processor) && unbounded == -1, "{seen:?}");
    Ok(())
}
