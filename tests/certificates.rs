//! `teneral cert`: an authority of one's own, what it signs, and what it refuses to.

use crate::harness::served::text;
use crate::harness::{Test, test};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(an_authority_issues_for_hosts_and_supervisors_and_each_is_good_for_one_thing),
        test(what_is_there_is_kept_unless_it_is_to_be_replaced),
        test(what_cannot_be_issued_is_refused_with_its_code_and_nothing_is_written),
    ]
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::with_prefix("teneral-certificates-").expect("a temporary directory"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
        command.arg("cert").args(arguments).current_dir(self.0.path()).output().expect("the binary runs")
    }

    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
    }

    #[track_caller]
    fn refuses(&self, code: &str, arguments: &[&str]) -> String {
        let before = self.files();
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for part in [format!("error[{code}]: "), "\n  now:   nothing was ".to_owned(), "\n  hint:  ".to_owned()] {
            assert!(said.contains(&part), "{arguments:?}: {said}");
        }
        assert_eq!(self.files(), before, "{arguments:?}");
        said
    }

    fn files(&self) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.0.path()).expect("it is ours").map(|entry| entry.expect("an entry").path());
        let read = |path: std::path::PathBuf| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            (path.display().to_string(), text)
        };
        let mut files: Vec<_> = entries.map(read).collect();
        files.sort();
        files
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.0.path().join(name)).expect("it is there").permissions().mode() & 0o777
    }
}

fn an_authority_issues_for_hosts_and_supervisors_and_each_is_good_for_one_thing() {
    let desk = Desk::new();
    let authority = desk.json(&["init", "ca", "--name", "shop CA"]);
    assert_eq!((&authority["subject"], &authority["authority"]), (&"shop CA".into(), &true.into()), "{authority:#}");
    assert_eq!((desk.mode("ca/ca.key"), desk.mode("ca/ca.pem")), (0o600, 0o644));
    let host = desk.json(&["issue", "host", "module-1.example", "10.0.0.7", "fd00::7", "--ca", "ca"]);
    assert_eq!(host["names"], serde_json::json!(["module-1.example", "10.0.0.7", "fd00::7"]));
    assert_eq!((&host["uses"], &host["issuer"]), (&serde_json::json!(["host"]), &"shop CA".into()), "{host:#}");
    assert_eq!((desk.mode("module-1.example.key"), desk.mode("module-1.example.pem")), (0o600, 0o644));
    let supervisor = desk.says(&["issue", "supervisor", "shop", "--ca", "ca", "-o", "s", "--expires", "2030-01-31"]);
    let says =
        |words: &str| supervisor.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == words);
    assert!(says("certificate s.pem") && says("use supervisor"), "{supervisor}");
    assert!(says("expires 2030-01-31T23:59:59Z"), "{supervisor}");
    let shown = desk.json(&["show", "s.pem", "ca/ca.pem"]);
    let subjects: Vec<_> = shown.as_array().expect("a list").iter().map(|one| one["subject"].clone()).collect();
    assert_eq!(subjects, ["shop", "shop CA"]);
}

fn what_is_there_is_kept_unless_it_is_to_be_replaced() {
    let desk = Desk::new();
    desk.says(&["init"]);
    desk.refuses("CLI-FILE", &["init"]);
    let issue = ["issue", "host", "a.example"];
    let first = desk.json(&issue);
    desk.refuses("CLI-FILE", &issue);
    fs::remove_file(desk.0.path().join("a.example.pem")).expect("it is ours");
    desk.refuses("CLI-FILE", &issue);
    let next = desk.json(&[&issue[..], &["--replace"]].concat());
    assert_ne!(first["sha256"], next["sha256"]);
    assert_eq!(desk.mode("a.example.key"), 0o600);
    assert_eq!(desk.files().len(), 4, "nothing is left over");
}

fn what_cannot_be_issued_is_refused_with_its_code_and_nothing_is_written() {
    let desk = Desk::new();
    desk.refuses("CLI-FILE", &["issue", "host", "a.example"]);
    desk.says(&["init"]);
    for name in ["", "a b", "a..b", "-a", "*.example", "https://a.example", "a.example:7443", &"x".repeat(300)] {
        desk.refuses("CERT-NAME", &["issue", "host", "--", name]);
    }
    desk.refuses("CERT-NAME", &["issue", "supervisor", "a", "b"]);
    let outlives = desk.refuses("CERT-CA", &["issue", "host", "a", "--expires", "2300-01-01"]);
    assert!(outlives.contains("before what it is to sign"), "{outlives}");
    // A certificate that is none of an authority, and the key of another one.
    desk.says(&["init", "other"]);
    desk.says(&["issue", "host", "a.example", "-o", "leaf"]);
    let at = |name: &str| desk.0.path().join(name);
    fs::create_dir(at("wrong")).expect("it is ours");
    fs::copy(at("ca.pem"), at("wrong/ca.pem")).expect("it copies");
    fs::copy(at("other/ca.key"), at("wrong/ca.key")).expect("it copies");
    let other = desk.refuses("CERT-CA", &["issue", "host", "b.example", "--ca", "wrong"]);
    assert!(other.contains("is no key of"), "{other}");
    fs::copy(at("leaf.pem"), at("wrong/ca.pem")).expect("it copies");
    fs::copy(at("leaf.key"), at("wrong/ca.key")).expect("it copies");
    let leaf = desk.refuses("CERT-CA", &["issue", "host", "b.example", "--ca", "wrong"]);
    assert!(leaf.contains("may sign no other"), "{leaf}");
    fs::write(at("wrong/ca.pem"), "no certificate").expect("it is ours");
    desk.refuses("CERT-READ", &["issue", "host", "b.example", "--ca", "wrong"]);
    desk.refuses("CERT-READ", &["show", "ca.key"]);
    desk.refuses("CLI-FILE", &["show", "nowhere.pem"]);
}
