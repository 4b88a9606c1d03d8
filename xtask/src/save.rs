//! `cargo xtask save`: how long an author waits from a save to new code that serves, beside what cargo itself takes.
//!
//! It is the author's own session: a new workspace, `teneral dev` in it, and saves that change one sentence.

use crate::{Error, cargo, read, root, write_file};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What an author may wait for beyond cargo, in milliseconds.
const BEYOND_CARGO_MS_MAX: u64 = 2000;

/// Saves so many times, and prints what that took as one line of JSON.
pub(crate) fn measure(saves: u32) -> Result<(), Error> {
    let teneral = binary()?;
    let desk = tempfile::tempdir().map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
    let made = Command::new(&teneral).args(["new", "measured", "--json"]).current_dir(desk.path()).output();
    if !made.map_err(|source| not_started("teneral new", source))?.status.success() {
        return Err(Error::Failed { command: "teneral new".into() });
    }
    let workspace = desk.path().join("measured");
    let (mut dev, mut said) = develop(&teneral, &workspace)?;
    let taken = (0..saves.max(1)).map(|number| save(&workspace, &mut said, number)).collect::<Result<Vec<_>, _>>();
    // It is done with, however it went.
    let _ = dev.kill();
    let _ = dev.wait();
    let (mut beyond, mut built): (Vec<u64>, Vec<u64>) = taken?.into_iter().unzip();
    beyond.sort_unstable();
    built.sort_unstable();
    let (median, worst) = (beyond.len() / 2, beyond.len() - 1);
    let figures = json!({
        "bench": "save", "saves": beyond.len(), "unit": "ms",
        "beyond_cargo_p50": beyond[median], "beyond_cargo_max": beyond[worst],
        "cargo_p50": built[median], "wanted_at_most": BEYOND_CARGO_MS_MAX,
        "met": beyond[worst] <= BEYOND_CARGO_MS_MAX,
    });
    println!("{figures}");
    Ok(())
}

/// `teneral`, built.
fn binary() -> Result<PathBuf, Error> {
    let command = "cargo build --package teneral-cli --bin teneral";
    let output = cargo()
        .args(["build", "--package", "teneral-cli", "--bin", "teneral", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| not_started(command, source))?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.find_map(|line| line["executable"].as_str().map(PathBuf::from));
    found.ok_or_else(|| Error::Failed { command: command.into() })
}

/// A host that has served its first build.
fn develop(teneral: &Path, workspace: &Path) -> Result<(Child, Lines<BufReader<ChildStdout>>), Error> {
    let mut command = Command::new(teneral);
    command.args(["dev", "--json"]).current_dir(workspace).stdin(Stdio::null()).stdout(Stdio::piped());
    // One folder for all measurements: teneral's own crates are built once.
    command.env("CARGO_TARGET_DIR", root().join("target/measured"));
    let mut dev = command.spawn().map_err(|source| not_started("teneral dev", source))?;
    let stdout = dev.stdout.take().ok_or_else(|| Error::Failed { command: "teneral dev".into() })?;
    let mut said = BufReader::new(stdout).lines();
    hear(&mut said, "waiting")?;
    Ok((dev, said))
}

/// How long an author looks at what it said, at least.
const LOOKS: Duration = Duration::from_millis(100);

/// One save: what it took beyond cargo's own time, and that.
fn save(workspace: &Path, said: &mut Lines<BufReader<ChildStdout>>, number: u32) -> Result<(u64, u64), Error> {
    let code = workspace.join("v1/src/lib.rs");
    std::thread::sleep(LOOKS);
    let text = read(&code)?;
    let (before, after) = text
        .split_once("format!(\"")
        .and_then(|(before, rest)| rest.split_once(", {name}").map(|(_, after)| (before, after)))
        .ok_or_else(|| Error::Failed { command: "the edit of the new workspace".into() })?;
    write_file(&code, &format!("{before}format!(\"Hello {number}, {{name}}{after}"))?;
    let serving = hear(said, "serving")?;
    hear(said, "waiting")?;
    let ms = |what: &str| serving[what].as_u64().unwrap_or_default();
    Ok((ms("beyond_cargo_ms"), ms("built_ms")))
}

fn hear(said: &mut Lines<BufReader<ChildStdout>>, event: &str) -> Result<Value, Error> {
    let mut events = said.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let found = events.find(|line| line["event"] == event || line["event"] == "failed");
    match found.filter(|line| line["event"] == event) {
        Some(line) => Ok(line),
        None => Err(Error::Failed { command: "teneral dev".into() }),
    }
}

fn not_started(command: &str, source: std::io::Error) -> Error {
    Error::Start { command: command.into(), source }
}
