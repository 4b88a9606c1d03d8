//! A host in a process of its own, and its operator at the terminal: real processes on a real socket.

use super::house::until;
use super::libraries;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;

const LOG: &str = "host.log";

/// A host in a process of its own, in a directory of its own.
pub(crate) struct Served {
    pub(crate) desk: TempDir,
    child: Child,
}

impl Served {
    /// In a new directory; it answers when this returns.
    pub(crate) fn new(options: &[&str]) -> Self {
        Self::at(TempDir::with_prefix("teneral-served-").expect("a temporary directory"), options)
    }

    /// In a directory that another host may have left.
    pub(crate) fn at(desk: TempDir, options: &[&str]) -> Self {
        let served = Self::launched(desk, options);
        until("it answers", || served.run(&["actor", "list"]).status.success());
        served
    }

    /// The same, whether it answers yet or not.
    pub(crate) fn launched(desk: TempDir, options: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(desk.path().join(LOG)).expect("it is ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        let child = command
            .arg("serve")
            .args(options)
            .current_dir(desk.path())
            .env_remove("TENERAL_DIR")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self { desk, child }
    }

    /// A production host that has counter 1.0.0 by the key of `team.key`, whose id this returns.
    pub(crate) fn production() -> (Self, String) {
        let served = Self::new(&["--production"]);
        std::fs::copy(libraries::library("counter-v1"), served.desk.path().join("counter.so")).expect("it copies");
        served.says(&["key", "generate", "team", "--no-password"]);
        served.says(&["sign", "counter.so", "--key", "team.key"]);
        served.says(&["key", "trust", "team.pub"]);
        served.says(&["artifact", "push", "counter.so"]);
        let key = served.json(&["key", "list"])[0]["id"].as_str().expect("an id").to_owned();
        (served, key)
    }

    /// As [`Served::production`], and runs `counter/a`.
    pub(crate) fn production_that_counts() -> (Self, String) {
        let (served, key) = Self::production();
        served.says(&["actor", "start", "counter/a", r#"{"total": 5}"#, "--version", "1.0.0"]);
        (served, key)
    }

    /// What the hosts of this directory have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.desk.path().join(LOG)).expect("it is ours")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.desk.path().join(".teneral/control.sock")
    }

    /// A command that is about this host.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        command.args(arguments).current_dir(self.desk.path()).env_remove("TENERAL_DIR");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// What it says on stdout, and that it ends well.
    #[track_caller]
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}");
        text(&output.stdout)
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
    }

    /// That it ends like this, with the code, what stands now and a hint; what it says.
    #[track_caller]
    pub(crate) fn refuses(&self, exit: i32, code: &str, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}{}", text(&output.stdout));
        for part in [format!("error[{code}]: "), "\n  now:   ".to_owned(), "\n  hint:  ".to_owned()] {
            assert!(said.contains(&part), "{arguments:?}: {said}");
        }
        said
    }

    #[track_caller]
    pub(crate) fn push(&self, packages: &[&str]) {
        for package in packages {
            self.says(&["artifact", "push", libraries::library(package).to_str().expect("a path that cargo prints")]);
        }
    }

    /// `probe/a` in a turn that ends when the file that this returns is there.
    #[track_caller]
    pub(crate) fn busy_probe(&self) -> PathBuf {
        self.says(&["actor", "start", "probe/a", r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
        let hold = self.desk.path().join("go-on");
        let block = json!({ "act": { "Block": { "until": hold } } }).to_string();
        self.says(&["actor", "tell", "probe/a", "Do", &block]);
        until("the turn begins", || hold.with_extension("reached").exists());
        hold
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "{name} reaches the host");
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(self) -> (TempDir, ExitStatus) {
        self.signal("-TERM");
        self.ended()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(mut self) -> (TempDir, ExitStatus) {
        let ended = self.child.wait().expect("it ends");
        let desk = std::mem::replace(&mut self.desk, TempDir::new().expect("a temporary directory"));
        (desk, ended)
    }

    /// As a loss of power would.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        std::mem::replace(&mut self.desk, TempDir::new().expect("a temporary directory"))
    }

    /// The head and the body of the answer to a request as it is written.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already, in the tests that end it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has written.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
