//! docs/benchmarks.md: made from the benches' own lines, with the machine, the versions and the date.

mod targets;

use crate::{Error, cargo, root, write_file};
use serde::Deserialize;
use std::{fmt::Write, process::Command};

const BENCHES: [&str; 8] = ["deliver", "pause", "load", "idle", "flood", "probation", "replay", "remote"];

/// One line of a bench.
#[derive(Deserialize)]
struct Line {
    bench: String,
    case: String,
    peer: String,
    #[serde(default)]
    value: f64,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    skipped: Option<String>,
}

/// Runs the benches and writes their figures as tables. A bench that is not named keeps the figures of its last run.
pub(crate) fn write(names: &[String]) -> Result<(), Error> {
    let folder = root().join("target/benchmarks");
    std::fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
    let mut lines = Vec::new();
    for bench in BENCHES {
        let kept = folder.join(format!("{bench}.jsonl"));
        if names.is_empty() || names.iter().any(|name| name == bench) {
            write_file(&kept, &run(bench)?)?;
        }
        let text = std::fs::read_to_string(&kept).unwrap_or_default();
        lines.extend(text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()));
    }
    let path = root().join("docs/benchmarks.md");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    // What people wrote about the figures stays: it stands after this line.
    let notes = old.split_once("\n## Notes\n").map_or("", |(_, notes)| notes);
    write_file(&path, &format!("{}\n## Notes\n{notes}", render(&lines)))
}

fn run(bench: &str) -> Result<String, Error> {
    let command = format!("cargo bench -p benches --bench {bench} -- --json");
    let output = cargo()
        .args(["bench", "-p", "benches", "--bench", bench, "--", "--json"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|source| Error::Start { command: command.clone(), source })?;
    if !output.status.success() {
        return Err(Error::Failed { command });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn render(lines: &[Line]) -> String {
    let mut text = format!(
        "# Benchmarks\n\nMade by `cargo xtask benchmarks`. Each figure is the median of rounds that alternate with the \
         peers' rounds in\none run: compare figures of one table, not of two machines.\n\n{}\n{}",
        machine(),
        targets::render(lines)
    );
    for bench in BENCHES {
        let of_bench: Vec<&Line> = lines.iter().filter(|line| line.bench == bench).collect();
        if !of_bench.is_empty() {
            text.push_str(&table(bench, &of_bench));
        }
    }
    text
}

/// One row a case, one column a contender.
fn table(bench: &str, lines: &[&Line]) -> String {
    let (mut peers, mut cases) = (Vec::new(), Vec::new());
    for line in lines {
        if !peers.contains(&&line.peer) {
            peers.push(&line.peer);
        }
        if line.skipped.is_none() && !cases.contains(&(&line.case, &line.unit)) {
            cases.push((&line.case, &line.unit));
        }
    }
    let mut text = format!("\n## `{bench}`\n\n| case | unit |");
    peers.iter().for_each(|peer| text.push_str(&format!(" {peer} |")));
    text.push_str("\n|---|---|");
    peers.iter().for_each(|_| text.push_str("---:|"));
    for (case, unit) in cases {
        _ = write!(text, "\n| {case} | {unit} |");
        for peer in &peers {
            let found = lines.iter().find(|line| (&line.case, &&line.peer) == (case, peer));
            _ = write!(text, " {} |", found.map_or_else(String::new, |line| figure(line.value)));
        }
    }
    text.push('\n');
    for Line { case, peer, skipped, .. } in lines {
        if let Some(why) = skipped {
            _ = write!(text, "\n`{peer}` takes no part in {case}: {why}\n");
        }
    }
    text
}

/// Three digits that mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// What the figures were taken on.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
        output.map_or("not installed".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let erlang = ["-noshell", "-eval", "io:format(\"OTP ~s\", [erlang:system_info(otp_release)]), halt()."];
    format!(
        "- machine: {cpus} x {model}\n- kernel: {}\n- rustc: {}\n- Erlang: {}\n- date: {}\n",
        said("uname", &["-sr"]),
        said("rustc", &["--version"]),
        said("erl", &erlang),
        said("date", &["--utc", "+%F"])
    )
}
