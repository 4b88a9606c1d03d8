//! What a host is told before it starts: files, variables and flags, read by real processes.

use crate::harness::served::{Served, text};
use crate::harness::{Test, root, test};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_running_host_says_what_it_goes_by_and_what_a_restart_would_change),
        test(a_misspelt_variable_is_refused_by_a_host_and_named_by_other_commands),
        test(every_key_of_the_configuration_stands_in_its_document_and_back),
        test(a_value_says_where_it_came_from_and_the_nearest_word_counts),
        test(everything_that_is_wrong_with_a_configuration_is_said_at_once),
        test(a_file_that_is_no_toml_is_said_with_its_line),
        test(paths_of_a_file_are_relative_to_it_and_every_command_finds_the_host_there),
        test(what_a_configuration_bounds_is_bounded),
        test(an_upgrade_goes_by_the_configuration_where_the_command_says_nothing),
        test(a_directory_that_was_production_becomes_development_only_when_that_is_asked_for),
    ]
}

/// A folder without a host.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::with_prefix("teneral-configured-").expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn with(file: &str) -> Self {
        let desk = Self::new();
        desk.write("teneral.toml", file);
        desk
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).expect("it is ours");
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        command.args(arguments).current_dir(self.path()).env_remove("RUST_LOG").env_remove("TENERAL_DIR");
        command.envs(variables.iter().copied()).output().expect("the binary runs")
    }

    /// The rows of `config show` by their keys.
    #[track_caller]
    fn shows(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<Value> {
        let output = self.run(&[&["config", "show", "--json"], arguments].concat(), variables);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    #[track_caller]
    fn refuses(&self, code: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(arguments, variables);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}{}", text(&output.stdout));
        assert!(said.starts_with(&format!("error[{code}]: ")) && said.contains("\n  hint:  "), "{said}");
        said
    }
}

#[track_caller]
fn row<'a>(rows: &'a [Value], key: &str) -> &'a Value {
    rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key}"))
}

fn every_key_of_the_configuration_stands_in_its_document_and_back() {
    let rows = Desk::new().shows(&[], &[]);
    let known: Vec<&str> = rows.iter().map(|row| row["key"].as_str().expect("a text")).collect();
    let document = fs::read_to_string(root().join("docs/configuration.md")).expect("it is there");
    let listed: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(listed, known, "docs/configuration.md has a row for every key, in the order of `config show`");
    assert!(rows.iter().all(|row| row["from"] == "default"), "{rows:#?}");
    for row in &rows {
        let (key, unit, value) = (&row["key"], &row["unit"], row["value"].as_str().expect("a text"));
        let shown =
            document.lines().any(|line| line.starts_with(&format!("| `{}` | {} | ", text_of(key), text_of(unit))));
        assert!(shown, "docs/configuration.md says in what {key} is counted: {unit}, {value}");
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn a_value_says_where_it_came_from_and_the_nearest_word_counts() {
    let desk = Desk::with("stop_timeout = \"7s\"\n[log]\nlevel = \"warn\"\n[limits]\nimages_max = 0x40\n");
    let from = |arguments: &[&str], variables: &[(&str, &str)], key: &str| {
        let rows = desk.shows(arguments, variables);
        json!([row(&rows, key)["value"], row(&rows, key)["from"]])
    };
    assert_eq!(from(&[], &[], "stop_timeout"), json!(["7s", "teneral.toml:1"]));
    assert_eq!(from(&[], &[], "limits.images_max"), json!(["64", "teneral.toml:5"]));
    let variable = [("TENERAL_STOP_TIMEOUT", "8s")];
    assert_eq!(from(&[], &variable, "stop_timeout"), json!(["8s", "TENERAL_STOP_TIMEOUT"]));
    assert_eq!(from(&["--stop-timeout", "9s"], &variable, "stop_timeout"), json!(["9s", "--stop-timeout"]));
    let sizes = [("TENERAL_LIMITS_MAILBOX_BYTES_MAX", "16 MiB")];
    let sized = json!(["16777216", "TENERAL_LIMITS_MAILBOX_BYTES_MAX"]);
    assert_eq!(from(&[], &sizes, "limits.mailbox_bytes_max"), sized);
    assert_eq!(from(&[], &[("RUST_LOG", "teneral=trace")], "log.level"), json!(["teneral=trace", "RUST_LOG"]));
    assert_eq!(from(&["--production"], &[], "profile"), json!(["production", "--production"]));
    assert_eq!(from(&[], &[("TENERAL_STOP_TIMEOUT", "")], "stop_timeout"), json!(["7s", "teneral.toml:1"]));
    desk.write("other.toml", "dir = \"elsewhere\"");
    assert_eq!(from(&["--config", "other.toml"], &[], "dir"), json!(["elsewhere", "other.toml:1"]));
    assert_eq!(from(&[], &[("TENERAL_CONFIG", "other.toml")], "dir"), json!(["elsewhere", "other.toml:1"]));
    let said = text(&desk.run(&["config", "show"], &[]).stdout);
    assert!(said.starts_with("KEY ") && said.contains("teneral.toml:1"), "{said}");
}

fn everything_that_is_wrong_with_a_configuration_is_said_at_once() {
    let file = "\
profil = \"production\"
stop_timeout = 30
max_pause = \"1s\"
[log]
format = \"jsn\"
level = \"inof\"
[limits]
images_max = 5000
images_warn = \"32\"
mailbox_bytes_max = -1
message_bytes_max = \"a lot\"
imagesmax = 3
[limit]
events_max = 3
";
    let desk = Desk::with(file);
    let variables = [("TENERAL_UPGRADE_MAX_PAUSE", "soon")];
    let said = desk.refuses("CLI-CONFIG", &["serve", "--stop-timeout=-1s"], &variables);
    for part in [
        "the configuration has 13 errors",
        "teneral.toml:1:1: no key profil: did you mean profile?",
        "teneral.toml:2:16: stop_timeout takes a time as a text, as in \"5s\" or \"200ms\", not a number",
        "teneral.toml:3:1: no key max_pause: did you mean upgrade.max_pause?",
        "teneral.toml:5:10: log.format cannot be jsn: did you mean json?",
        "teneral.toml:6:9: log.level knows no level inof: did you mean info?",
        "teneral.toml:8:14: limits.images_max is 5000, and at most 1000",
        "teneral.toml:9:15: limits.images_warn takes a whole number, not a text",
        "teneral.toml:10:21: limits.mailbox_bytes_max takes a number of bytes",
        "teneral.toml:11:21: limits.message_bytes_max takes a number of bytes, or a text as in \"8 MiB\", not",
        "teneral.toml:12:1: no key limits.imagesmax: did you mean images_max?",
        "teneral.toml:13:2: no key limit: did you mean limits?",
        "TENERAL_UPGRADE_MAX_PAUSE: upgrade.max_pause takes a number and a unit",
        "--stop-timeout: stop_timeout takes no negative time",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!desk.path().join(".teneral").exists(), "nothing was made");
    let desk = Desk::with("[limits]\nmessage_bytes_max = \"9 MiB\"\n");
    let said = desk.refuses("CLI-CONFIG", &["config", "show"], &[]);
    let part = "limits.message_bytes_max is 9437184 (teneral.toml:2), over limits.mailbox_bytes_max, which is 8388608 \
                (default)";
    assert!(said.contains(part), "{said}");
    desk.refuses("CLI-FILE", &["serve", "--config", "nowhere.toml"], &[]);
}

fn a_file_that_is_no_toml_is_said_with_its_line() {
    let desk = Desk::with("dir = \"x\"\ndir = \"y\"\nlog = [\n");
    for arguments in [&["serve"][..], &["actor", "list"], &["config", "show"]] {
        let said = desk.refuses("CLI-CONFIG", arguments, &[]);
        assert!(said.contains("teneral.toml:2:1: duplicate key"), "{said}");
        assert!(said.contains("teneral.toml:3:") || said.contains("teneral.toml:4:"), "{said}");
    }
    // Who says outright where the host is does not need the file.
    assert_eq!(desk.run(&["actor", "list", "--dir", "x"], &[]).status.code(), Some(3));
    for junk in ["\u{0}", "[[[[", "=", "a.b.c = {d = [1, {e = 2}]}", "limits = 3", "[[limits]]"] {
        Desk::with(junk).refuses("CLI-CONFIG", &["config", "show"], &[]);
    }
    let desk = Desk::new();
    fs::write(desk.path().join("teneral.toml"), [0xff, 0xfe]).expect("it is ours");
    desk.refuses("CLI-FILE", &["config", "show"], &[]);
}

fn paths_of_a_file_are_relative_to_it_and_every_command_finds_the_host_there() {
    let desk = TempDir::with_prefix("teneral-configured-").expect("a temporary directory");
    fs::create_dir(desk.path().join("etc")).expect("it is ours");
    fs::write(desk.path().join("etc/host.toml"), "dir = \"../var\"\n[log]\nlevel = \"off\"\n").expect("it is ours");
    fs::write(desk.path().join("teneral.toml"), "dir = \"var\"\nunknown = \"to other commands than serve\"\n")
        .expect("it is ours");
    // `actor list`, which is asked until it answers, reads teneral.toml.
    let served = Served::at(desk, &["--config", "etc/host.toml"]);
    assert!(served.desk.path().join("var/control.sock").exists());
    served.says(&["kind", "list", "--config", "etc/host.toml"]);
    served.refuses(3, "CTL-DOWN", &["kind", "list", "--dir", "elsewhere"]);
}

fn what_a_configuration_bounds_is_bounded() {
    let desk = TempDir::with_prefix("teneral-configured-").expect("a temporary directory");
    let file = "[limits]\nartifact_bytes_max = 1000\nmailbox_messages_max = 1\n";
    fs::write(desk.path().join("teneral.toml"), file).expect("it is ours");
    let served = Served::at(desk, &[]);
    let library = crate::harness::libraries::library("counter-v1");
    let library = library.to_str().expect("a path that cargo prints");
    let said = served.refuses(1, "CTL-LARGE", &["artifact", "push", library]);
    assert!(said.contains("over the limit of 1000"), "{said}");
    let (desk, _) = served.stop();
    fs::write(desk.path().join("teneral.toml"), "limits.mailbox_messages_max = 1\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    served.says(&["artifact", "push", library]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    served.says(&["actor", "pause", "counter/a", "--max", "10m"]);
    let add = |timeout: &'static str| ["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#, "--timeout", timeout];
    served.says(&add("60s"));
    let said = served.refuses(1, "SYS-FULL", &add("20ms"));
    assert!(said.contains("counter/a had no room"), "{said}");
}

fn an_upgrade_goes_by_the_configuration_where_the_command_says_nothing() {
    let desk = TempDir::with_prefix("teneral-configured-").expect("a temporary directory");
    let file = "[upgrade]\nmax_pause = \"7s\"\nquiesce_timeout = \"8s\"\nsnapshot_bytes_max = \"1 KiB\"\n";
    fs::write(desk.path().join("teneral.toml"), file).expect("it is ours");
    let served = Served::at(desk, &[]);
    served.push(&["counter-v1", "counter-v2"]);
    served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
    let plan = |more: &[&str]| {
        let plan = served.json(&[&["upgrade", "plan", "counter", "--to", "2.0.0"], more].concat());
        let of = |name: &str| plan["options"][name].clone();
        json!([of("max_pause_us"), of("quiesce_timeout_us"), of("snapshot_bytes_max"), of("state")])
    };
    assert_eq!(plan(&[]), json!([7_000_000, 8_000_000, 1024, "migrate"]));
    assert_eq!(plan(&["--max-pause", "1s", "--state", "reset"]), json!([1_000_000, 8_000_000, 1024, "reset"]));
}

fn a_directory_that_was_production_becomes_development_only_when_that_is_asked_for() {
    let desk = TempDir::with_prefix("teneral-configured-").expect("a temporary directory");
    fs::write(desk.path().join("teneral.toml"), "profile = \"production\"\n").expect("it is ours");
    let served = Served::at(desk, &[]);
    let library = crate::harness::libraries::library("counter-v1");
    served.refuses(1, "TRUST-UNSIGNED", &["artifact", "push", library.to_str().expect("a path that cargo prints")]);
    assert!(
        served
            .raw("GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .contains(r#""profile":"production""#)
    );
    let (desk, _) = served.stop();
    // The line is lost.
    fs::write(desk.path().join("teneral.toml"), "").expect("it is ours");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let output = command.args(arguments).current_dir(desk.path()).env_remove("TENERAL_DIR").output();
        text(&output.expect("the binary runs").stderr)
    };
    for arguments in [&["serve"][..], &["serve", "--profile", "development"]] {
        let said = run(arguments);
        assert!(said.contains("error[SYS-PROFILE]: ") && said.contains("--leave-production"), "{said}");
    }
    let served = Served::at(desk, &["--profile", "development", "--leave-production"]);
    served.push(&["counter-v1"]);
    let (desk, _) = served.stop();
    drop(Served::at(desk, &[]));
}

fn a_running_host_says_what_it_goes_by_and_what_a_restart_would_change() {
    let desk = tempfile::TempDir::with_prefix("teneral-served-").expect("a directory");
    let file = "[limits]\nimages_max = 200\nimages_warn = 20\n\n[grants.counter]\nclock = true\n";
    fs::write(desk.path().join("teneral.toml"), file).expect("it is ours");
    let served = Served::at(desk, &["--stop-timeout", "7s"]);
    let rows = |served: &Served| served.json(&["config", "show", "--running"]);
    let of = |rows: &Value, key: &str| {
        rows.as_array().expect("a list").iter().find(|row| row["key"] == key).cloned().unwrap_or_default()
    };
    let found = rows(&served);
    assert!(found.as_array().expect("a list").iter().all(|row| row["after_restart"].is_null()), "{found:#}");
    let wanted = [
        ("limits.images_max", "200", "file", "teneral.toml:2"),
        ("stop_timeout", "7s", "flag", "--stop-timeout"),
        ("limits.actors_max", "100000", "default", "default"),
    ];
    for (key, value, source, from) in wanted {
        let row = of(&found, key);
        assert_eq!(
            (&row["value"], &row["source"], &row["from"]),
            (&json!(value), &json!(source), &json!(from)),
            "{row:#}"
        );
    }
    // The file moves on; the host does not.
    let file = "stop_timeout = \"1m\"\n[limits]\nimages_max = 300\nactors_max = 7\n\n[grants.greeter]\nclock = true\n";
    fs::write(served.desk.path().join("teneral.toml"), file).expect("it is ours");
    let found = rows(&served);
    let after = |key: &str| of(&found, key)["after_restart"].clone();
    assert_eq!(after("limits.images_max"), "300");
    assert_eq!(after("limits.images_warn"), "32", "back to the default");
    assert_eq!(after("limits.actors_max"), "7");
    assert_eq!(after("grants.counter.clock"), "", "gone");
    assert_eq!(after("grants.greeter.clock"), "true", "new");
    assert_eq!(after("stop_timeout"), Value::Null, "a flag counts more");
    assert_eq!(after("limits.events_max"), Value::Null);
    let said = served.says(&["config", "show", "--running"]);
    assert!(said.ends_with("5 values would be others after a restart of the host\n"), "{said}");
    // A file that cannot be read any more hides nothing of the host.
    fs::write(served.desk.path().join("teneral.toml"), "[limits]\nimages_mx = 3\n").expect("it is ours");
    let output = served.run(&["config", "show", "--running"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.code() == Some(2) && err.starts_with("error[CLI-CONFIG]"), "{err}");
    assert!(out.contains("limits.images_max") && out.contains("200"), "{out}");
    fs::remove_file(served.desk.path().join("teneral.toml")).expect("it is ours");
    let (desk, _) = served.stop();
    let output = Command::new(env!("CARGO_BIN_EXE_teneral"))
        .args(["config", "show", "--running"])
        .current_dir(desk.path())
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

fn a_misspelt_variable_is_refused_by_a_host_and_named_by_other_commands() {
    let desk = Desk::with("");
    let slip = [("TENERAL_LIMITS_IMAGE_MAX", "3")];
    for arguments in [&["serve"][..], &["config", "show"]] {
        let said = desk.refuses("CLI-CONFIG", arguments, &slip);
        let wanted = "no variable TENERAL_LIMITS_IMAGE_MAX: did you mean TENERAL_LIMITS_IMAGES_MAX?";
        assert!(said.contains(wanted), "{said}");
    }
    // Somebody else's, and one without a value.
    let output = desk.run(&["config", "show"], &[("TENERAL_DEPLOYED_BY", "x"), ("TENERAL_DIRR", "")]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "warning: TENERAL_DEPLOYED_BY is no variable of teneral's, and has no effect\n");
    let said = text(&desk.run(&["actor", "list"], &[("TENERAL_DIRR", "/var/lib/teneral")]).stderr);
    let warned = "warning: no variable TENERAL_DIRR, it has no effect: did you mean TENERAL_DIR?\nerror[CTL-DOWN]";
    assert!(said.starts_with(warned), "{said}");
    let said = text(&desk.run(&["actor", "list", "--json"], &[("TENERAL_DIRR", "x")]).stderr);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() == 2 && lines[0]["warning"].is_object() && lines[1]["error"].is_object(), "{said}");
}
