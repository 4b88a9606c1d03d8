//! Modules in other languages: programs that are packed, run by themselves, and kept to what they may say.

use crate::harness::house::{GENEROUS, House, until, until_within};
use crate::harness::served::{Served, text};
use crate::harness::{Absent, Test, root, test};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(p11_a_program_is_packed_the_same_each_time_and_says_what_it_is_without_being_run),
        test(p11_what_is_wrong_with_what_is_packed_is_named_with_its_field_and_nothing_is_written),
        test(p12_a_program_runs_in_a_process_of_its_own_wherever_its_kind_is_said_to),
        test(p12_a_program_is_bound_as_any_module_is),
        test(p13_a_typed_caller_meets_a_module_that_has_json),
        test(what_a_module_in_json_does_reaches_others_and_comes_back),
        test(p14_json_that_does_not_fit_is_refused_with_its_field),
        test(p15_a_module_over_grpc_is_upgraded_with_its_state_while_messages_flow),
        test(p16_a_module_over_http_is_upgraded_with_its_state_while_messages_flow),
        test(p17_a_program_that_does_ill_in_its_trial_is_refused_before_anybody_is_paused),
        test(p18_an_answer_that_is_wrong_is_refused_with_its_field_named),
        test(p18_a_program_that_is_not_what_it_was_started_for_is_not_believed),
        test(p19_a_program_that_is_killed_is_started_again_and_no_message_is_lost),
    ]
}

/// Python, without what its users have put before it: a program of ours starts no other.
fn python() -> Result<PathBuf, Absent> {
    let asked =
        Command::new("python3").args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).output();
    let asked = asked.ok().filter(|asked| asked.status.success()).ok_or(Absent("python3"))?;
    Ok(PathBuf::from(text(&asked.stdout).trim()))
}

fn example(name: &str) -> String {
    fs::read_to_string(root().join("examples/python").join(name)).expect("it is in the tree")
}

/// A desk on which programs are packed.
pub(crate) struct Bench {
    pub(crate) served: Served,
    python: PathBuf,
}

impl Bench {
    pub(crate) fn new(config: &str) -> Result<Self, Absent> {
        let python = python()?;
        let desk = TempDir::with_prefix("teneral-languages-").expect("a temporary directory");
        fs::write(desk.path().join("teneral.toml"), config).expect("it is ours");
        Ok(Self { served: Served::at(desk, &[]), python })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.served.desk.path().join(name)
    }

    /// Packs a version of the tally over HTTP, with its source changed.
    fn pack(&self, version: u32, change: impl Fn(&str) -> String) -> PathBuf {
        let source = example(&format!("http/tally_v{version}.py"));
        let changed = change(&source).replace("#!/usr/bin/env python3", &format!("#!{}", self.python.display()));
        fs::write(self.path("tally.py"), changed).expect("it is ours");
        fs::write(self.path("tally.json"), example(&format!("http/tally_v{version}.json"))).expect("it is ours");
        let file = format!("tally-{version}.tnrl");
        self.served.says(&["artifact", "pack", "tally.py", "--manifest", "tally.json", "-o", &file]);
        self.path(&file)
    }

    pub(crate) fn push(&self, version: u32, change: impl Fn(&str) -> String) {
        let file = self.pack(version, change);
        self.served.says(&["artifact", "push", file.to_str().expect("UTF-8")]);
    }

    pub(crate) fn start(&self) {
        self.served.says(&["actor", "start", "tally/a", r#"{"start": 5}"#, "--version", "1.0.0"]);
    }

    pub(crate) fn total(&self) -> Value {
        self.served.json(&["actor", "ask", "tally/a", "Total"])["reply"].clone()
    }
}

pub(crate) fn same(source: &str) -> String {
    source.to_owned()
}

/// A change of one place, which is there.
pub(crate) fn instead<'a>(from: &'a str, to: &'a str) -> impl Fn(&str) -> String + 'a {
    move |source| {
        assert!(source.contains(from), "{from} is in the example");
        source.replace(from, to)
    }
}

#[track_caller]
fn only(served: &Served) -> Value {
    let modules = served.json(&["module", "list"]);
    assert_eq!(modules.as_array().map(Vec::len), Some(1), "{modules:#}");
    modules[0].clone()
}

fn kill(pid: &Value) {
    let sent = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "it reaches {pid}");
}

fn p11_a_program_is_packed_the_same_each_time_and_says_what_it_is_without_being_run() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    let file = bench.pack(1, |source| format!("{source}\nopen('/tmp/it-has-run', 'w')\n"));
    let first = fs::read(&file).expect("it is there");
    bench.pack(1, |source| format!("{source}\nopen('/tmp/it-has-run', 'w')\n"));
    assert_eq!(fs::read(&file).expect("it is there"), first);
    let file = file.to_str().expect("UTF-8");
    let served = &bench.served;
    let said = served.says(&["artifact", "inspect", file]);
    for part in ["tally 1.0.0", "in a process of its own", "HTTP, bodies in JSON", "Add {amount: u32}", "lets it in"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    served.says(&["artifact", "verify", file, "--kind", "tally", "--version", "1.0.0"]);
    served.says(&["artifact", "push", file]);
    let listed = served.json(&["artifact", "list"]);
    assert_eq!((&listed[0]["kind"], &listed[0]["version"]), (&json!("tally"), &json!("1.0.0")), "{listed:#}");
    let shown = served.says(&["kind", "show", "tally"]);
    assert!(shown.contains("{amount: u32}") && shown.contains("{} -> {total: u64}"), "{shown}");
    assert!(!Path::new("/tmp/it-has-run").exists(), "nothing of it has run");
    // The same rules as for libraries: signed by a key, and no bit of it may change after that.
    served.says(&["key", "generate", "team", "--no-password"]);
    served.says(&["sign", file, "--key", "team.key"]);
    served.says(&["verify", file, "--key", "team.pub"]);
    served.says(&["key", "trust", "team.pub"]);
    let mut bytes = first;
    *bytes.last_mut().expect("it has some") ^= 1;
    fs::write(file, bytes).expect("it is ours");
    served.refuses(1, "GATE-DIGEST", &["artifact", "push", file]);
    Ok(())
}

fn p11_what_is_wrong_with_what_is_packed_is_named_with_its_field_and_nothing_is_written() {
    let served = Served::new(&[]);
    let write = |name: &str, bytes: &str| fs::write(served.desk.path().join(name), bytes).expect("it is ours");
    let manifest = example("http/tally_v1.json");
    let refused = |code: &str| {
        let said = served.refuses(2, code, &["artifact", "pack", "tally.py", "--manifest", "tally.json", "-o", "out"]);
        assert!(!served.desk.path().join("out").exists(), "{said}");
        said
    };
    write("tally.py", "#!/bin/true\n");
    assert!(refused("PACK-READ").contains("tally.json cannot be read"));
    for (from, to, part) in [
        ("u32", "u33", "messages.Add.body: \"u33\" is no type: did you mean u32"),
        ("\"schema\"", "\"shema\"", "state.shema: there is no such field: did you mean schema?"),
        ("\"http\"", "\"soap\"", "protocol: \"grpc\" or \"http\" is wanted, not \"soap\""),
        ("1.0.0", "one", "version: \"one\" is none"),
        ("\"kind\": \"tally\",", "", "kind: it is missing"),
        ("{\n", "[", "the manifest: it is no JSON"),
    ] {
        write("tally.json", &manifest.replacen(from, to, 1));
        let said = refused("PACK-MANIFEST");
        assert!(said.contains(part), "{said}");
    }
    write("tally.json", &manifest);
    write("tally.py", "print('hello')\n");
    assert!(refused("PACK-PROGRAM").contains("neither with #! nor as an ELF file"));
    write("tally.py", "");
    assert!(refused("PACK-PROGRAM").contains("the program has no bytes"));
    write("tally.py", "#!/bin/true\n");
    served.refuses(1, "PACK-WRITE", &["artifact", "pack", "tally.py", "--manifest", "tally.json", "-o", "no/such/out"]);
    served.says(&["artifact", "pack", "tally.py", "--manifest", "tally.json", "-o", "out"]);
    let mut bytes = fs::read(served.desk.path().join("out")).expect("it is there");
    bytes.pop();
    fs::write(served.desk.path().join("cut"), bytes).expect("it is ours");
    served.refuses(1, "GATE-PROGRAM", &["artifact", "push", "cut"]);
}

fn p12_a_program_runs_in_a_process_of_its_own_wherever_its_kind_is_said_to() -> Result<(), Absent> {
    let bench = Bench::new("[kinds.tally]\nplace = \"in-process\"\n")?;
    bench.push(1, same);
    bench.start();
    let served = &bench.served;
    served.says(&["actor", "tell", "tally/a", "Add", r#"{"amount": 3}"#]);
    assert_eq!(bench.total(), json!({ "total": 8 }));
    assert_eq!(served.json(&["actor", "state", "tally/a"]), json!({ "total": 8 }));
    let module = only(served);
    assert_eq!((&module["kind"], &module["place"]), (&json!("tally"), &json!("process")));
    assert_ne!(module["pid"], json!(served.pid()));
    assert_eq!(served.json(&["kind", "show", "tally"])["place"], "process");
    let maps = fs::read_to_string(format!("/proc/{}/maps", served.pid())).expect("it runs");
    assert!(!maps.contains("python"), "the host has not loaded it: {maps}");
    served.says(&["actor", "stop", "tally/a"]);
    until("nobody needs it any more", || served.json(&["module", "list"]) == json!([]));
    Ok(())
}

/// Says what it may do, as a log of it shows.
const LOOKS: &str = r#"
def looks():
    import errno, subprocess, sys
    try:
        subprocess.run(["/bin/true"])
        started = "it started one"
    except OSError as error:
        started = errno.errorcode[error.errno]
    said = {"environment": sorted(os.environ), "files": sorted(os.listdir("/proc/self/fd")), "started": started}
    print(json.dumps(said), file=sys.stderr, flush=True)
looks()
"#;

fn p12_a_program_is_bound_as_any_module_is() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, instead("path = os.environ", &format!("{LOOKS}\npath = os.environ")));
    bench.start();
    let served = &bench.served;
    let logs = served.says(&["module", "logs", "tally"]);
    let said = logs.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let said = said.unwrap_or_else(|| panic!("it has said so: {logs}"));
    let of = said["environment"].as_array().expect("names");
    let known = ["LC_CTYPE", "PATH", "TENERAL_MODULE_DIGEST", "TENERAL_MODULE_LISTEN"];
    assert!(of.iter().all(|name| known.iter().any(|known| name == known)), "{said}");
    assert_eq!(said["started"], "EPERM", "it starts no other process: {said}");
    // Its own three, its program, and the directory that it lists.
    assert!(said["files"].as_array().expect("numbers").len() <= 6, "{said}");
    let status = fs::read_to_string(format!("/proc/{}/status", only(served)["pid"])).expect("it runs");
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    let pid = only(served)["pid"].clone();
    let Bench { served, .. } = bench;
    drop(served.kill());
    until("it dies with its host", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    Ok(())
}

fn p14_json_that_does_not_fit_is_refused_with_its_field() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    let served = &bench.served;
    let said = served.refuses(2, "SYS-JSON", &["actor", "start", "tally/b", r#"{"start": -1}"#, "--version", "1.0.0"]);
    assert!(said.contains("start: a whole number from 0 to 18446744073709551615 is wanted, not -1"), "{said}");
    bench.start();
    let tell = |body: &str| served.refuses(2, "SYS-JSON", &["actor", "tell", "tally/a", "Add", body]);
    assert!(tell(r#"{"amount": "3"}"#).contains("amount: a whole number from 0 to 4294967295 is wanted, not \"3\""));
    assert!(tell(r#"{"amuont": 3}"#).contains("unknown field \"amuont\": did you mean amount?"));
    assert!(tell("{}").contains("missing field \"amount\""));
    served.refuses(2, "SYS-MESSAGE", &["actor", "tell", "tally/a", "Ad", "{}"]);
    assert_eq!(bench.total(), json!({ "total": 5 }), "nothing of it was done");
    Ok(())
}

fn p13_a_typed_caller_meets_a_module_that_has_json() -> Result<(), Absent> {
    let source = example("http/tally_v1.py")
        .replace("#!/usr/bin/env python3", &format!("#!{}", python()?.display()))
        .replace("args[\"start\"]", "args[\"total\"]")
        .replace("\"Total\"", "\"Get\"");
    let manifest = r#"{
        "kind": "counter", "version": "1.0.0", "protocol": "http", "args": "{total: i64}", "state": {"schema": 1},
        "messages": {"Add": {"body": "{amount: u32}"}, "Get": {"reply": "{total: i64}"}}
    }"#;
    let manifest = teneral::contract::by_hand::read(manifest).expect("it is well written");
    let artifact = teneral::contract::program::pack(&manifest, source.as_bytes()).expect("it packs");
    let house = House::with(&[]);
    let file = house.dir().join("counter.tnrl");
    fs::write(&file, artifact).expect("it is ours");
    house.push(&file).expect("it is let in");
    let counter = house.start("counter/a", "1.0.0", counter_api::Start { total: -5 });
    house.block_on(counter.tell(counter_api::v1::Add { amount: 7 })).expect("it is taken");
    let total = house.block_on(counter.ask(counter_api::v1::Get {}, GENEROUS)).expect("it answers");
    assert_eq!(total, counter_api::v1::Total { total: 2 });
    // What it does not know is refused as of any other kind.
    let unknown = house.block_on(counter.tell(counter_api::Add { amount: 7 }));
    assert!(unknown.is_err(), "its Add has another shape");
    Ok(())
}

/// Says on, asks, waits, has a child: all that a module may do.
const RELAYS: &str = r#"    def turn(self, relay, turn):
        name, body = turn.get("name"), turn.get("body")
        if turn["cause"] == "started":
            return {"effects": [{"spawn": {"child": "tally/child", "version": "1.0.0", "args": {"start": 100}}}]}
        if name == "Forward":
            return {"effects": [{"tell": {"to": "tally/a", "name": "Add", "body": body}}]}
        if name == "Count":
            relay["waits"] = turn["waiting"]["call"]
            ask = {"to": "tally/a", "name": "Total", "timeout_ms": 60000}
            return {"effects": [{"ask": ask | {"then_name": "Counted", "then_body": {"of": "a"}}}]}
        if name == "Counted":
            total = turn["answer"]["total"]
            return {"effects": [{"reply": {"call": relay.pop("waits"), "body": {"of": body["of"], "total": total}}}]}
        if name == "Later":
            relay["timer"] = turn["numbers"]
            return {"effects": [{"after": {"name": "Tick", "delay_ms": 1, "period_ms": 1}}]}
        if name == "Tick":
            relay["ticks"] = relay.get("ticks", 0) + 1
            return {"effects": [{"cancel": relay["timer"]}]} if relay["ticks"] == 3 else {}
        return {"effects": [{"stop": ""}]} if name == "End" else {}

    def log_message"#;

fn what_a_module_in_json_does_reaches_others_and_comes_back() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    bench.start();
    let served = &bench.served;
    let source = fs::read_to_string(bench.path("tally.py")).expect("it was packed");
    let source = source.replace("    def log_message", RELAYS).replace("{\"total\": args[\"start\"]}", "{}");
    fs::write(bench.path("relay.py"), source).expect("it is ours");
    let manifest = json!({
        "kind": "relay", "version": "1.0.0", "protocol": "http", "state": { "schema": 1 },
        "messages": {
            "Forward": { "body": "{amount: u32}" }, "Count": { "reply": "{of: string, total: u64}" },
            "Counted": { "body": "{of: string}" }, "Later": {}, "Tick": {}, "End": {},
        },
        "sends": { "tally": { "Add": { "body": "{amount: u32}" }, "Total": { "reply": "{total: u64}" } } },
        "starts": { "tally": "{start: u64}" },
    });
    fs::write(bench.path("relay.json"), manifest.to_string()).expect("it is ours");
    served.says(&["artifact", "pack", "relay.py", "--manifest", "relay.json", "-o", "relay.tnrl"]);
    served.says(&["artifact", "push", "relay.tnrl"]);
    served.says(&["actor", "start", "relay/a", "--version", "1.0.0"]);
    until("it has a child", || {
        let child = served.run(&["actor", "ask", "tally/child", "Total", "--json"]);
        child.status.success() && text(&child.stdout).contains("100")
    });
    served.says(&["actor", "tell", "relay/a", "Forward", r#"{"amount": 37}"#]);
    until("it is passed on", || bench.total() == json!({ "total": 42 }));
    let counted = served.json(&["actor", "ask", "relay/a", "Count"]);
    assert_eq!(counted["reply"], json!({ "of": "a", "total": 42 }));
    served.says(&["actor", "tell", "relay/a", "Later"]);
    until("it ticks three times", || served.json(&["actor", "state", "relay/a"])["ticks"] == 3);
    // Told what may be asked: its reply is nobody's, and nothing fails.
    served.says(&["actor", "tell", "tally/a", "Total"]);
    assert_eq!(bench.total(), json!({ "total": 42 }));
    assert_eq!(served.json(&["actor", "show", "tally/a"])["failed"], 0);
    served.says(&["actor", "tell", "relay/a", "End"]);
    until("it stops, and is begun anew", || served.json(&["actor", "show", "relay/a"])["restarts"] == 1);
    assert_eq!(served.json(&["dead-letter", "list"]), json!([]));
    Ok(())
}

/// Tells one actor to add one, again and again, while `meanwhile` runs; how often it was told.
fn told_while(served: &Served, meanwhile: impl FnOnce()) -> u64 {
    /// Also when what went on meanwhile panics.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends_it = Ends(&ends);
        let tells = scope.spawn(|| {
            let mut told = 0;
            while !ends.load(Ordering::Relaxed) {
                served.says(&["actor", "tell", "tally/a", "Add", r#"{"amount": 1}"#]);
                told += 1;
            }
            told
        });
        meanwhile();
        drop(ends_it);
        tells.join().expect("it tells")
    })
}

/// Moves `tally/a` up and down while it is told to add, and holds it against what it was told.
fn is_upgraded_live(served: &Served) {
    served.says(&["actor", "start", "tally/a", r#"{"start": 5}"#, "--version", "1.0.0"]);
    let apply = |to: &str, more: &[&str]| {
        let apply = ["upgrade", "apply", "tally/a", "--to", to, "--max-pause", "60s", "--trial-timeout", "60s"];
        let report = served.json(&[&apply[..], more].concat());
        assert_eq!(report["actors"][0]["outcome"], "committed", "{report:#}");
        report
    };
    let told = told_while(served, || {
        let report = apply("2.0.0", &[]);
        let trial = &report["actors"][0]["trial"];
        assert_eq!((&trial["same_twice"], &trial["back"]), (&json!(true), &json!("exact")), "{report:#}");
    });
    let total = || served.json(&["actor", "ask", "tally/a", "Total"])["reply"].clone();
    let after = total();
    assert_eq!(after["total"], 5 + told, "{after}");
    assert_eq!(served.json(&["actor", "state", "tally/a"]), after);
    let more = told_while(served, || drop(apply("1.0.0", &["--allow-downgrade"])));
    assert_eq!(total(), json!({ "total": 5 + told + more }));
    let dead = served.json(&["dead-letter", "list"]);
    assert_eq!(dead.as_array().map(Vec::len), Some(0), "{dead:#}");
    until("the version above ends", || served.json(&["module", "list"]).as_array().map(Vec::len) == Some(1));
}

fn p16_a_module_over_http_is_upgraded_with_its_state_while_messages_flow() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    bench.push(2, same);
    is_upgraded_live(&bench.served);
    Ok(())
}

fn p15_a_module_over_grpc_is_upgraded_with_its_state_while_messages_flow() -> Result<(), Absent> {
    python()?;
    // Kept between runs: it takes a network, and some time.
    let dir = root().join("target/python-grpc");
    let built = Command::new("sh")
        .arg(root().join("examples/python/grpc/build.sh"))
        .arg(&dir)
        .env("TENERAL", env!("CARGO_BIN_EXE_teneral"))
        .output()
        .expect("a shell");
    if !built.status.success() {
        eprintln!("{}", text(&built.stderr));
        return Err(Absent("grpcio for Python, and no network to get it from"));
    }
    let served = Served::new(&[]);
    for version in ["tally-1.tnrl", "tally-2.tnrl"] {
        served.says(&["artifact", "push", dir.join(version).to_str().expect("UTF-8")]);
    }
    is_upgraded_live(&served);
    Ok(())
}

fn p17_a_program_that_does_ill_in_its_trial_is_refused_before_anybody_is_paused() -> Result<(), Absent> {
    const RESTORES: &str = "        if schema == 1:\n";
    const SAVES: &str = "        return {\"state\": tallies[instance]}\n";
    for (from, to, code, part) in [
        (
            RESTORES,
            "        import time; time.sleep(3600)\n        if schema == 1:\n",
            "UPG-TRIAL-HANG",
            "not done after 2s",
        ),
        (
            RESTORES,
            "        os._exit(7)\n        if schema == 1:\n",
            "UPG-TRIAL-CRASH",
            "exit status 7 while migrating",
        ),
        (RESTORES, "        os.kill(os.getpid(), 11)\n        if schema == 1:\n", "UPG-TRIAL-CRASH", "SIGSEGV"),
        (
            RESTORES,
            "        raise ValueError('no')\n        if schema == 1:\n",
            "UPG-MIGRATE",
            "/v1/restore: it closed",
        ),
        (
            RESTORES,
            "        return {\"fault\": {\"kind\": \"failed\", \"text\": \"too old\"}}\n        if schema == 1:\n",
            "UPG-MIGRATE",
            "too old",
        ),
        (SAVES, "        os._exit(8)\n", "UPG-TRIAL-CRASH", "exit status 8 while writing"),
        (SAVES, "        return {\"stat\": tallies[instance]}\n", "UPG-TRIAL-PROTOCOL", "stat is wrong: no field"),
        (SAVES, "        return {}\n", "UPG-TRIAL-PROTOCOL", "state is missing"),
        (SAVES, "        return {\"state\": os.urandom(8).hex()}\n", "UPG-TRIAL-UNSTABLE", "another state"),
        ("{\"total\": state[\"total\"]}}\n", "7}\n", "UPG-TRIAL-LOSSY", ""),
        ("path = os.environ", "raise SystemExit('no wish to')\npath = os.environ", "MOD-ENDED", "no wish to"),
    ] {
        let bench = Bench::new("")?;
        bench.push(1, same);
        bench.push(2, instead(from, to));
        bench.start();
        let served = &bench.served;
        let apply = ["upgrade", "apply", "tally/a", "--to", "2.0.0", "--max-pause", "60s", "--trial-timeout", "2s"];
        let report = served.run(&[&apply[..], &["--json"]].concat());
        let said = format!("{}{}", text(&report.stdout), text(&report.stderr));
        assert!(said.contains(code) && said.contains(part), "{to}: {code}, {part}: {said}");
        assert_eq!(bench.total(), json!({ "total": 5 }), "{to}");
        let seen = served.json(&["actor", "show", "tally/a"]);
        assert_eq!((&seen["running"], &seen["generation"]), (&json!("1.0.0"), &json!(0)), "{to}: {seen:#}");
        until("what was tried ends", || served.json(&["module", "list"]).as_array().map(Vec::len) == Some(1));
    }
    Ok(())
}

fn p18_an_answer_that_is_wrong_is_refused_with_its_field_named() -> Result<(), Absent> {
    const REPLIES: &str = "{\"reply\": tally}";
    // Of these the turn fails, and the process goes on.
    for (to, part) in [
        ("{\"reply\": {\"total\": \"five\"}}", "effects.0.reply.body.total is wrong: a whole number"),
        ("{\"reply\": {\"totl\": 5}}", "effects.0.reply.body is wrong: unknown field \"totl\""),
        ("{\"effects\": [{\"tell\": {\"to\": \"nowhere\", \"name\": \"Add\"}}]}", "effects.0.tell.to is wrong"),
        ("{\"effects\": [{\"tell\": {\"to\": \"tally/b\", \"name\": \"Ad\"}}]}", "effects.0.tell.name is wrong"),
        ("{\"effects\": [{\"tell\": {\"to\": \"log/b\", \"name\": \"Write\"}}]}", "sends.log"),
        ("{\"effects\": [{\"after\": {\"name\": \"Add\", \"delay_ms\": 1}}]}", "after.body is wrong: missing field"),
        ("{\"fault\": {\"kind\": \"failed\", \"text\": \"not today\"}}", "not today"),
    ] {
        let bench = Bench::new("")?;
        bench.push(1, instead(REPLIES, to));
        bench.start();
        let asked = bench.served.run(&["actor", "ask", "tally/a", "Total", "--timeout", "20s"]);
        let said = text(&asked.stderr);
        assert!(!asked.status.success() && said.contains(part), "{to}: {part}: {said}");
        bench.served.says(&["actor", "tell", "tally/a", "Add", r#"{"amount": 1}"#]);
        until("it goes on", || bench.served.json(&["actor", "state", "tally/a"]) == json!({ "total": 6 }));
        assert_eq!(only(&bench.served)["starts"], 1, "{to}");
    }
    // Of these nothing can be believed any more.
    const TURNS: &str = "{\"turns\": [self.turn(tallies[turn[\"instance\"]], turn) for turn in turns]}";
    for (to, part) in [
        ("{\"turn\": []}", "turn is wrong: no field of this answer: did you mean turns?"),
        ("{\"turns\": []}", "it has 0 of the 1 turns"),
        ("{\"turns\": [7 for turn in turns]}", "turns.0.turn is wrong: an object is wanted"),
        ("{\"turns\": [{\"number\": 99} for turn in turns]}", "turns.0.number is wrong: it says 99"),
        ("{\"turns\": [{\"effects\": [{\"tel\": {}}]} for turn in turns]}", "turns.0.effects.0.tel is wrong"),
        (
            "{\"turns\": [{\"effects\": [{\"tell\": {\"to\": 7}}]} for turn in turns]}",
            "turns.0.effects.0.tell.to is wrong",
        ),
        (
            "{\"turns\": [{\"fault\": {\"kind\": \"sad\", \"text\": \"\"}} for turn in turns]}",
            "turns.0.fault.kind is wrong",
        ),
        ("[][1]", "it closed the connection without an answer"),
        ("os._exit(9)", "the module's process ended: exit code 9"),
    ] {
        let bench = Bench::new("")?;
        bench.push(1, instead(TURNS, to));
        let served = &bench.served;
        // It goes live with a first turn: nobody gets that far.
        let _ = served.run(&["actor", "start", "tally/a", r#"{"start": 5}"#, "--version", "1.0.0"]);
        until(&format!("{to}: {part}"), || served.log().contains(part));
    }
    Ok(())
}

fn p18_a_program_that_is_not_what_it_was_started_for_is_not_believed() -> Result<(), Absent> {
    for (from, to, code, part) in [
        ("os.environ[\"TENERAL_MODULE_DIGEST\"]", "\"01\" * 32", "MOD-DIGEST", "says that it serves 0101"),
        ("\"nonce\": nonce", "\"nonce\": \"00\"", "MOD-STRANGER", "nonce"),
        ("\"protocol\": 1", "\"protocol\": 9", "MOD-REFUSED", "protocol 9"),
        ("\"protocol\": 1, ", "", "MOD-REFUSED", "protocol is missing"),
        ("#!/usr/bin/env python3", "#!/no/such/interpreter", "MOD-ENDED", "is its interpreter there?"),
    ] {
        let bench = Bench::new("")?;
        bench.push(1, instead(from, to));
        let start = ["actor", "start", "tally/a", r#"{"start": 5}"#, "--version", "1.0.0"];
        let said = bench.served.refuses(1, code, &start);
        assert!(said.contains(part), "{to}: {said}");
        assert_eq!(bench.served.json(&["module", "list"]), json!([]), "{to}");
    }
    Ok(())
}

fn p19_a_program_that_is_killed_is_started_again_and_no_message_is_lost() -> Result<(), Absent> {
    let bench = Bench::new("")?;
    bench.push(1, same);
    bench.start();
    let served = &bench.served;
    served.says(&["actor", "pause", "tally/a", "--max", "10m"]);
    for _ in 0..10 {
        served.says(&["actor", "tell", "tally/a", "Add", r#"{"amount": 1}"#]);
    }
    kill(&only(served)["pid"]);
    until("it is seen", || only(served)["pid"].is_null());
    served.says(&["actor", "resume", "tally/a"]);
    until_within(Duration::from_secs(60), "the ten are handled", || bench.total() == json!({ "total": 15 }));
    assert_eq!(only(served)["starts"], 2);
    let said = served.says(&["module", "show", "tally"]);
    assert!(said.contains("tally") && said.contains("1.0.0"), "{said}");
    Ok(())
}
