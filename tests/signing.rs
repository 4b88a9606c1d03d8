//! Keys and signatures at the terminal: from an empty directory to a library that somebody vouches for.

use crate::harness::{Test, libraries, test};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use teneral::trust::{SecretKey, Signed};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(a_library_is_signed_and_checked_from_an_empty_directory),
        test(what_is_not_signed_so_is_refused_with_its_code_and_a_hint),
        test(a_key_with_a_password_signs_for_whoever_knows_it),
    ]
}

/// A directory with a library in it.
fn desk() -> TempDir {
    let dir = TempDir::with_prefix("teneral-desk-").expect("a temporary directory");
    fs::copy(libraries::library("counter-v1"), dir.path().join("counter.so")).expect("it copies");
    dir
}

fn teneral(dir: &TempDir, password: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teneral"));
    command
        .args(arguments)
        .current_dir(dir.path())
        .env_remove("TENERAL_KEY_PASSWORD")
        .stdin(std::process::Stdio::null());
    if let Some(password) = password {
        command.env("TENERAL_KEY_PASSWORD", password);
    }
    command.output().expect("the binary runs")
}

/// What it says on stdout, and that it ends well.
#[track_caller]
fn says(dir: &TempDir, arguments: &[&str]) -> String {
    let output = teneral(dir, None, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What it says on stderr, and that it ends like this, with the code, what stands now and a hint.
#[track_caller]
fn refuses(dir: &TempDir, exit: i32, code: &str, arguments: &[&str]) -> String {
    let output = teneral(dir, None, arguments);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {said}");
    for part in [format!("error[{code}]: "), "\n  now:   ".to_owned(), "\n  hint:  ".to_owned()] {
        assert!(said.contains(&part), "{arguments:?}: {said}");
    }
    said
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

fn a_library_is_signed_and_checked_from_an_empty_directory() {
    let dir = desk();
    let made = says(&dir, &["key", "generate", "ada", "--no-password"]);
    let id = made.lines().next().and_then(|line| line.strip_prefix("key ")).expect("the key's id").to_owned();
    assert_eq!((mode(&dir.path().join("ada.key")), mode(&dir.path().join("ada.pub"))), (0o600, 0o644));
    let signed = says(&dir, &["sign", "counter.so", "--key", "ada.key", "--expires", "2999-01-31", "--set", "shop"]);
    assert!(signed.starts_with(&format!("signed counter 1.0.0 with key {id}\n")), "{signed}");
    let checked = says(&dir, &["verify", "counter.so", "--key", "ada.pub"]);
    assert!(checked.starts_with(&format!("counter.so: counter 1.0.0, signed by key {id}\n")), "{checked}");
    let json: Value =
        serde_json::from_str(&says(&dir, &["verify", "counter.so", "--key", "ada.pub", "--json"])).expect("JSON");
    assert_eq!((json["ok"].as_bool(), json["key"].as_str()), (Some(true), Some(id.as_str())));
    let release = &json["release"];
    assert_eq!((release["set"].as_str(), release["expires"].as_str()), (Some("shop"), Some("2999-01-31T23:59:59Z")));
    assert_eq!(release["sha256"], json["sha256"]);
}

fn what_is_not_signed_so_is_refused_with_its_code_and_a_hint() {
    let dir = desk();
    for name in ["ada", "eve"] {
        says(&dir, &["key", "generate", name, "--no-password"]);
    }
    let verify = ["verify", "counter.so", "--key", "ada.pub"];
    refuses(&dir, 1, "TRUST-UNSIGNED", &verify);
    says(&dir, &["sign", "counter.so", "--key", "eve.key"]);
    refuses(&dir, 1, "TRUST-KEY", &verify);
    says(&dir, &[&verify[..], &["--key", "eve.pub"]].concat());
    says(&dir, &["sign", "counter.so", "--key", "ada.key", "--expires", "2999-01-31"]);
    says(&dir, &verify);
    as_if_signed_long_ago(&dir);
    refuses(&dir, 1, "TRUST-EXPIRED", &verify);
    says(&dir, &["sign", "counter.so", "--key", "ada.key"]);
    says(&dir, &verify);
    let release = dir.path().join("counter.so.release");
    let text = fs::read_to_string(&release).expect("it is there");
    fs::write(&release, text.replace("1.0.0", "1.0.1")).expect("it is writable");
    refuses(&dir, 1, "TRUST-SIGNATURE", &verify);
    let output = teneral(&dir, None, &[&verify[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((json["ok"].as_bool(), json["refused"]["code"].as_str()), (Some(false), Some("TRUST-SIGNATURE")));
    fs::write(&release, text).expect("it is writable");
    // The library itself was changed after it was signed.
    let mut bytes = fs::read(dir.path().join("counter.so")).expect("it is there");
    bytes[5000] ^= 1;
    fs::write(dir.path().join("counter.so"), bytes).expect("it is writable");
    refuses(&dir, 1, "GATE-DIGEST", &verify);
    // What cannot be done as it was typed.
    refuses(&dir, 2, "CLI-FILE", &["key", "generate", "ada", "--no-password"]);
    refuses(&dir, 2, "CLI-FILE", &["sign", "counter.so", "--key", "bob.key"]);
    refuses(&dir, 1, "TRUST-SECRET", &["sign", "counter.so", "--key", "ada.pub"]);
    refuses(&dir, 2, "GATE-FILE", &["sign", "nothing.so", "--key", "ada.key"]);
}

/// What was signed, with a time that is over, by the same key: the terminal signs nothing that is over already.
fn as_if_signed_long_ago(dir: &TempDir) {
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("it is there");
    let over = read("counter.so.release").replace("2999-", "2026-");
    let secret = SecretKey::open(&read("ada.key"), None).expect("a key without a password");
    let Signed { release, signature } = secret.sign(over.into_bytes(), "").expect("signed");
    fs::write(dir.path().join("counter.so.release"), release).expect("it is writable");
    fs::write(dir.path().join("counter.so.release.minisig"), signature).expect("it is writable");
}

fn a_key_with_a_password_signs_for_whoever_knows_it() {
    let dir = desk();
    let said = refuses(&dir, 1, "TRUST-SECRET", &["key", "generate", "ada"]);
    assert!(said.contains("TENERAL_KEY_PASSWORD"), "it says how a script does it: {said}");
    assert!(!dir.path().join("ada.key").exists(), "nothing is left behind");
    let run = |password, arguments: &[&str]| teneral(&dir, Some(password), arguments);
    assert!(run("hunter2", &["key", "generate", "ada"]).status.success());
    let sign = ["sign", "counter.so", "--key", "ada.key"];
    let wrong = run("hunter3", &sign);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("error[TRUST-SECRET]"), "{wrong:?}");
    assert!(!dir.path().join("counter.so.release").exists(), "nothing is left behind");
    assert!(run("hunter2", &sign).status.success());
    says(&dir, &["verify", "counter.so", "--key", "ada.pub"]);
}
