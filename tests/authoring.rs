//! An author's first steps, as real processes: a workspace is made, built by cargo, and what it builds is served.
//!
//! All workspaces build into one target folder, so that teneral's own crates are built once; each has a kind of its
//! own, since the folder holds one library of a name.

use crate::harness::house::until;
use crate::harness::{Absent, Test, root, test};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_new_workspace_builds_tests_signs_and_loads_as_it_is),
        test(a_new_workspace_is_formatted_and_free_of_warnings),
        test(a_workspace_is_made_whole_or_not_at_all),
        test(a_new_workspace_says_where_it_finds_teneral),
        test(a_schema_is_frozen_once_and_a_frozen_shape_does_not_build_otherwise),
        test(a_save_is_served_with_the_state_of_before_and_a_broken_one_keeps_the_old_code),
        test(what_the_gate_or_a_migration_refuses_is_said_and_the_old_code_serves_on),
        test(the_actors_of_a_workspaces_file_are_started_and_old_builds_go),
        test(a_process_that_is_full_of_libraries_begins_anew_with_the_states),
        test(nobody_develops_in_production_or_without_a_workspace_or_cargo),
    ]
}

/// A directory with workspaces in it, and what an author types there.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::with_prefix("teneral-author-").expect("a temporary directory"))
    }

    /// A desk with a workspace of that kind.
    #[track_caller]
    fn with(kind: &str) -> Self {
        let desk = Self::new();
        let made = desk.run(&["new", kind]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        desk
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>, dir: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path(dir)).env_remove("TENERAL_DIR").stdin(Stdio::null());
        command.env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_BUILD_TARGET");
        command
    }

    fn teneral(&self, dir: &str, arguments: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_teneral"), dir, arguments)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.teneral(".", arguments).output().expect("the binary runs")
    }

    /// What teneral says on stdout in that directory, and that it ends well.
    #[track_caller]
    fn says(&self, dir: &str, arguments: &[&str]) -> String {
        done(&mut self.teneral(dir, arguments))
    }

    #[track_caller]
    fn cargo(&self, dir: &str, arguments: &[&str]) -> String {
        done(&mut self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), dir, arguments))
    }

    /// What is here, by name.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("it is ours");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("it reads").file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[track_caller]
    fn refuses(&self, code: &str, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}{}", text(&output.stdout));
        for part in [format!("error[{code}]: "), "\n  now:   ".to_owned(), "\n  hint:  ".to_owned()] {
            assert!(said.contains(&part), "{arguments:?}: {said}");
        }
        said
    }
}

fn target() -> PathBuf {
    root().join("target/authoring")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Changes a file by one replacement, as an editor's save does.
#[track_caller]
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("it is there");
    assert!(text.contains(from), "{}: no {from}", file.display());
    fs::write(file, text.replacen(from, to, 1)).expect("it is writable");
}

/// `teneral dev` in a workspace, and what it says.
struct Dev<'a> {
    desk: &'a Desk,
    dir: &'a str,
    process: Process,
    said: Arc<Mutex<Vec<Value>>>,
    heard: usize,
}

impl<'a> Dev<'a> {
    fn new(desk: &'a Desk, dir: &'a str, variables: &[(&str, &str)]) -> Self {
        let mut command = desk.teneral(dir, &["dev", "--json"]);
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary runs");
        let (said, stdout) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().expect("it is a pipe"));
        let hears = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = serde_json::from_str(&line.expect("UTF-8")).expect("JSON, one object a line");
                hears.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { desk, dir, process: Process(child), said, heard: 0 }
    }

    /// The next event of that name after those that were waited for before.
    #[track_caller]
    fn says(&mut self, event: &str) -> Value {
        let mut found = Value::Null;
        until(event, || {
            let said = self.said.lock().expect("nobody panics with it");
            let Some(place) = said.iter().skip(self.heard).position(|line| line["event"] == event) else {
                return false;
            };
            found = said[self.heard + place].clone();
            self.heard += place + 1;
            true
        });
        found
    }

    /// What it says of a save that was refused: with that code, and what the actor runs on.
    #[track_caller]
    fn refuses(&mut self, code: &str) -> Value {
        let failed = self.says("failed");
        assert_eq!(failed["code"], code, "{failed:#}");
        assert!(failed["now"].as_str().is_some_and(|now| now.contains("serves on")), "{failed:#}");
        self.says("waiting");
        failed
    }

    #[track_caller]
    fn greets(&self, kind: &str) -> (String, u64) {
        let actor = format!("{kind}/a");
        let said = self.desk.says(self.dir, &["actor", "ask", &actor, "Greet", r#"{"name": "Ada"}"#, "--json"]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let (text, greeted) = (&said["reply"]["text"], &said["reply"]["greeted"]);
        (text.as_str().expect("a text").to_owned(), greeted.as_u64().expect("a number"))
    }

    /// Ends it as ^C does.
    #[track_caller]
    fn stop(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.process.0.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "it runs");
        assert!(self.process.0.wait().expect("it ends").success());
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, in the tests that end it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_new_workspace_builds_tests_signs_and_loads_as_it_is() {
    let desk = Desk::new();
    let said = desk.says(".", &["new", "hello"]);
    for next in ["cd hello\n", "cargo test", "teneral dev"] {
        assert!(said.contains(&format!("\n  {next}")), "{said}");
    }
    let tested = desk.cargo("hello", &["test"]);
    assert!(tested.contains("test it_greets_by_name_and_counts ... ok"), "{tested}");
    desk.says("hello", &["key", "generate", "ada", "--no-password"]);
    let library = target().join("debug/examples/libhello_v1.so");
    let library = library.to_str().expect("a path that cargo prints");
    assert!(desk.says("hello", &["artifact", "inspect", library]).contains("lets it in"));
    desk.says("hello", &["artifact", "verify", library]);
    desk.says("hello", &["sign", library, "--key", "ada.key"]);
    desk.says("hello", &["verify", library, "--key", "ada.pub"]);
    let mut serve = desk.teneral("hello", &["serve", "--profile", "production"]);
    let _serving = Process(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs"));
    let is_up = || desk.teneral("hello", &["actor", "list"]).output().is_ok_and(|output| output.status.success());
    until("it answers", is_up);
    desk.says("hello", &["key", "trust", "ada.pub"]);
    desk.says("hello", &["artifact", "push", library]);
    desk.says("hello", &["actor", "start", "hello/a", "--version", "0.1.0"]);
    let said = desk.says("hello", &["actor", "ask", "hello/a", "Greet", r#"{"name": "Ada"}"#, "--json"]);
    let answer: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(answer["reply"], json!({ "text": "Hello, Ada!", "greeted": 1 }));
}

fn a_new_workspace_is_formatted_and_free_of_warnings() -> Result<(), Absent> {
    // A kind whose names sort behind teneral's, as long as any, and whose type the code has another use for.
    let (behind, taken) = ("zoo-of-the-longest-name-there-is", "message");
    let desk = Desk::with(behind);
    desk.says(".", &["new", taken]);
    for kind in [behind, taken] {
        let component = |name: &str| desk.command("cargo", kind, &[name, "--version"]).output();
        if !["fmt", "clippy"].iter().all(|name| component(name).is_ok_and(|output| output.status.success())) {
            return Err(Absent("rustfmt and clippy"));
        }
        desk.cargo(kind, &["fmt", "--all", "--check"]);
        desk.cargo(kind, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    }
    Ok(())
}

fn a_workspace_is_made_whole_or_not_at_all() {
    let desk = Desk::new();
    for (name, hint) in
        [("Hello World", "teneral new hello-world"), ("2fa", "teneral new fa"), ("../out", "teneral new out")]
    {
        assert!(desk.refuses("NEW-NAME", &["new", name]).contains(hint), "{name}");
    }
    desk.refuses("NEW-SOURCE", &["new", "hello", "--teneral", "nowhere"]);
    desk.refuses("CLI-FILE", &["new", "hello", "--path", "no/such/place"]);
    assert_eq!(desk.entries(), Vec::<String>::new());
    fs::create_dir(desk.path("full")).expect("it is ours");
    fs::write(desk.path("full/notes"), "mine").expect("it is ours");
    fs::write(desk.path("file"), "mine").expect("it is ours");
    std::os::unix::fs::symlink("nowhere", desk.path("link")).expect("it is ours");
    for path in ["full", "file", "link"] {
        desk.refuses("NEW-EXISTS", &["new", "hello", "--path", path]);
    }
    assert_eq!(desk.entries(), ["file", "full", "link"]);
    assert_eq!(fs::read_to_string(desk.path("full/notes")).expect("it is there"), "mine");
    fs::create_dir(desk.path("empty")).expect("it is ours");
    let made: Value =
        serde_json::from_str(&desk.says(".", &["new", "hello", "--path", "empty", "--json"])).expect("JSON");
    assert_eq!((&made["kind"], &made["dir"]), (&json!("hello"), &json!("empty")));
    for file in made["files"].as_array().expect("a list") {
        assert!(desk.path("empty").join(file.as_str().expect("a path")).is_file(), "{file}");
    }
    assert_eq!(desk.entries(), ["empty", "file", "full", "link"]);
}

fn a_new_workspace_says_where_it_finds_teneral() {
    let desk = Desk::with("here");
    let manifest = fs::read_to_string(desk.path("here/Cargo.toml")).expect("it is there");
    let path = root().join("framework/actor");
    assert!(manifest.contains(&format!("teneral-actor = {{ path = {:?} }}", path.display().to_string())), "{manifest}");
    desk.says(".", &["new", "there", "--teneral", "https://example.org/teneral.git#1a2b"]);
    let manifest = fs::read_to_string(desk.path("there/Cargo.toml")).expect("it is there");
    let git = r#"teneral-actor = { git = "https://example.org/teneral.git", rev = "1a2b" }"#;
    assert!(manifest.contains(git), "{manifest}");
    assert!(!desk.path("there/Cargo.lock").exists(), "a lock goes with a checkout");
}

fn a_schema_is_frozen_once_and_a_frozen_shape_does_not_build_otherwise() {
    let desk = Desk::with("frozen");
    let lock = desk.path("frozen/schemas.lock");
    let made = fs::read_to_string(&lock).expect("it is there");
    let frozen: Value = serde_json::from_str(&desk.says("frozen", &["freeze", "--json"])).expect("JSON");
    assert_eq!((&frozen[0]["schema"], &frozen[0]["added"]), (&json!(1), &json!(false)));
    assert_eq!(fs::read_to_string(&lock).expect("it is there"), made);
    fs::remove_file(&lock).expect("it is ours");
    desk.says("frozen", &["freeze"]);
    let line = made.lines().last().expect("a line");
    assert_eq!(fs::read_to_string(&lock).expect("it is there"), format!("{line}\n"));
    edit(&desk.path("frozen/v1/src/lib.rs"), "    greeted: u64,", "    greeted: u64,\n    last: Option<String>,");
    edit(&desk.path("frozen/v1/src/lib.rs"), "Self { greeted: 0 }", "Self { greeted: 0, last: None }");
    let output = desk.teneral("frozen", &["freeze"]).output().expect("the binary runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["the shape of schema 1 changed", "error[CARGO-BUILD]: "] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(fs::read_to_string(&lock).expect("it is there"), format!("{line}\n"));
}

fn a_save_is_served_with_the_state_of_before_and_a_broken_one_keeps_the_old_code() {
    let desk = Desk::with("saved");
    let (code, manifest) = (desk.path("saved/v1/src/lib.rs"), desk.path("saved/Cargo.toml"));
    let mut dev = Dev::new(&desk, "saved", &[]);
    assert_eq!(dev.says("started")["messages"], json!(["Greet", "Forget"]));
    assert_eq!(dev.says("serving")["version"], "0.1.0+dev.1");
    assert_eq!(dev.greets("saved"), ("Hello, Ada!".to_owned(), 1));
    dev.says("waiting");
    edit(&code, "Hello", "Welcome");
    let serving = dev.says("serving");
    assert_eq!((&serving["version"], &serving["actors"]), (&json!("0.1.0+dev.2"), &json!(["saved/a"])));
    assert!(serving["beyond_cargo_ms"].is_u64(), "{serving:#}");
    assert_eq!(dev.greets("saved"), ("Welcome, Ada!".to_owned(), 2));
    edit(&code, "greeted += 1;", "greeted += 1");
    dev.refuses("CARGO-BUILD");
    assert_eq!(dev.greets("saved"), ("Welcome, Ada!".to_owned(), 3));
    edit(&code, "greeted += 1", "greeted += 1;");
    dev.says("serving");
    edit(&manifest, "[workspace]", "[workspace");
    dev.refuses("CARGO-WORKSPACE");
    edit(&manifest, "[workspace", "[workspace]");
    dev.says("building");
    // While cargo is at it.
    edit(&code, "Welcome", "Good day");
    until("the last save is served", || dev.greets("saved").0 == "Good day, Ada!");
    let counted = dev.greets("saved").1;
    dev.stop();
    let mut dev = Dev::new(&desk, "saved", &[]);
    assert_eq!(dev.says("back")["with_state"], true);
    dev.says("serving");
    assert_eq!(dev.greets("saved"), ("Good day, Ada!".to_owned(), counted + 1));
    dev.stop();
}

fn what_the_gate_or_a_migration_refuses_is_said_and_the_old_code_serves_on() {
    let desk = Desk::with("refused");
    let (code, export) = (desk.path("refused/v1/src/lib.rs"), desk.path("refused/v1/examples/refused_v1.rs"));
    let mut dev = Dev::new(&desk, "refused", &[]);
    dev.says("serving");
    assert_eq!(dev.greets("refused").1, 1);
    dev.says("waiting");
    let whole = fs::read_to_string(&export).expect("it is there");
    let second = "\n#[unsafe(no_mangle)]\npub extern \"C\" fn second() {}\n";
    fs::write(&export, whole.replace("#![forbid(unsafe_code)]\n", "") + second).expect("it is ours");
    dev.refuses("GATE-EXPORTS");
    fs::write(&export, &whole).expect("it is ours");
    dev.says("waiting");
    // Another state under another number, and no way to it.
    let text = fs::read_to_string(&code).expect("it is there").replace("schema = 1", "schema = 2");
    let text = text.replace("    greeted: u64,", "    greeted: u64,\n    last: Option<String>,");
    let text = text.replace("Self { greeted: 0 }", "Self { greeted: 0, last: None }");
    fs::write(&code, &text).expect("it is ours");
    let failed = dev.refuses("UPG-LADDER");
    let hint = failed["hint"].as_str().expect("a hint");
    for part in ["#[state(schema = 2)]", "impl Migrate<v1::State>", "from = [v1::State]", "--state reset"] {
        assert!(hint.contains(part), "{hint}");
    }
    let migrate = |body: &str| {
        let step =
            "impl Migrate<refused_api::v1::Refused> for Refused {\n    fn migrate(old: refused_api::v1::Refused) ->";
        format!("{text}\n{step} Result<Self, MigrateError> {{\n        {body}\n    }}\n}}\n")
    };
    fs::write(&code, migrate("panic!(\"{} were greeted\", old.greeted)")).expect("it is ours");
    // Until the export names it, it is no way.
    dev.refuses("UPG-LADDER");
    edit(&export, "kind = \"refused\"", "kind = \"refused\", from = [refused_api::v1::Refused]");
    let failed = dev.refuses("UPG-MIGRATE");
    assert!(
        failed["causes"].to_string().contains("1 were greeted")
            || failed["what"].to_string().contains("1 were greeted")
    );
    assert_eq!(dev.greets("refused"), ("Hello, Ada!".to_owned(), 2));
    fs::write(&code, migrate("Ok(Self { greeted: old.greeted + 100, last: None })")).expect("it is ours");
    dev.says("serving");
    assert_eq!(dev.greets("refused"), ("Hello, Ada!".to_owned(), 103));
    dev.stop();
}

fn a_process_that_is_full_of_libraries_begins_anew_with_the_states() {
    let desk = Desk::with("full");
    let limits = [("TENERAL_LIMITS_IMAGES_MAX", "2"), ("TENERAL_LIMITS_IMAGES_WARN", "1")];
    let mut dev = Dev::new(&desk, "full", &limits);
    dev.says("serving");
    for (from, to) in [("Hello", "One"), ("One", "Two")] {
        dev.greets("full");
        edit(&desk.path("full/v1/src/lib.rs"), from, to);
        if to == "Two" {
            dev.says("anew");
            assert_eq!(dev.says("back")["with_state"], true);
        }
        dev.says("serving");
    }
    assert_eq!(dev.greets("full"), ("Two, Ada!".to_owned(), 3));
    dev.stop();
}

fn nobody_develops_in_production_or_without_a_workspace_or_cargo() {
    let desk = Desk::with("elsewhere");
    let refused = |dir: &str, cargo: Option<&str>, arguments: &[&str], code: &str| {
        let mut command = desk.teneral(dir, arguments);
        if let Some(cargo) = cargo {
            command.env("CARGO", cargo);
        }
        let output = command.output().expect("the binary runs");
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("error[{code}]: ")), "{arguments:?}: {said}");
        assert!(said.contains("\n  now:   ") && said.contains("\n  hint:  "), "{said}");
    };
    refused("elsewhere", None, &["dev", "--profile", "production"], "DEV-PRODUCTION");
    edit(&desk.path("elsewhere/teneral.toml"), "development", "production");
    refused("elsewhere", None, &["dev"], "DEV-PRODUCTION");
    refused("elsewhere", Some("/nowhere/cargo"), &["dev", "--profile", "development"], "CARGO-RUN");
    refused(".", None, &["dev"], "CARGO-WORKSPACE");
    refused(".", None, &["freeze"], "CARGO-WORKSPACE");
    edit(&desk.path("elsewhere/v1/Cargo.toml"), "crate-type = [\"cdylib\"]", "crate-type = [\"rlib\"]");
    refused("elsewhere", None, &["freeze"], "CARGO-LIBRARY");
    assert!(!desk.path("elsewhere/.teneral").exists());
}

fn the_actors_of_a_workspaces_file_are_started_and_old_builds_go() {
    let desk = Desk::with("named");
    let (code, file) = (desk.path("named/v1/src/lib.rs"), desk.path("named/system.toml"));
    fs::write(&file, "[[actor]]\nname = \"named/one\"\n\n[[actor]]\nname = \"elsewhere/x\"\n").expect("it is ours");
    let mut dev = Dev::new(&desk, "named", &[]);
    assert_eq!(dev.says("not_built")["actors"], json!(["elsewhere/x"]));
    assert_eq!(dev.says("started")["actor"], "named/one");
    dev.says("waiting");
    let running = || -> Value {
        let said = desk.says("named", &["actor", "list", "--json"]);
        let all: Vec<Value> = serde_json::from_str(&said).expect("JSON");
        all.iter().map(|view| view["actor"].clone()).collect()
    };
    assert_eq!(running(), json!(["named/one"]), "the file names who is there, and nobody else is");
    // A file that cannot be meant starts nobody, and stops nobody.
    fs::write(&file, "[[actor]]\nnmae = \"named/two\"\n").expect("it is ours");
    dev.refuses("CLI-APPLY");
    fs::write(&file, "[[actor]]\nname = \"named/one\"\n\n[[actor]]\nname = \"named/two\"\n").expect("it is ours");
    assert_eq!(dev.says("started")["actor"], "named/two");
    dev.says("waiting");
    let mut said = "Hello".to_owned();
    for save in 0..6 {
        let next = format!("Hello {save}");
        edit(&code, &format!("\"{said},"), &format!("\"{next},"));
        said = next;
        dev.says("waiting");
    }
    let held = desk.says("named", &["artifact", "list", "--json"]);
    let held: Vec<Value> = serde_json::from_str(&held).expect("JSON");
    let versions: Vec<&str> = held.iter().map(|release| release["version"].as_str().expect("a text")).collect();
    assert_eq!(versions.len(), 5, "the latest five: {versions:?}");
    let all = desk.says("named", &["actor", "list", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&all).expect("JSON");
    let newest = versions.last().expect("one");
    assert!(all.len() == 2 && all.iter().all(|view| view["running"] == **newest), "{all:#?}");
    dev.stop();
    let mut dev = Dev::new(&desk, "named", &[]);
    assert_eq!(dev.says("back")["with_state"], true);
    dev.says("waiting");
    assert_eq!(running(), json!(["named/one", "named/two"]));
    dev.stop();
}
