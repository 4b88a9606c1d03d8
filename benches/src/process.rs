//! Rounds in a process of their own: memory is only told apart in a fresh one, and some peers are other programs.

use crate::frame::{Figure, Missing, Taken};
use std::process::Command;

const CHILD: &str = "TENERAL_BENCH_CHILD";

/// What the parent asked of this process, if it is a child.
#[must_use]
pub fn child_words() -> Option<Vec<String>> {
    let words = std::env::var(CHILD).ok()?;
    Some(words.split(' ').map(str::to_owned).collect())
}

/// Runs this very program as a child that is asked for `words`, and reads the figures that it prints.
///
/// # Errors
/// [`Missing`] with the child's last words when it fails.
pub fn child_figures(words: &str) -> Taken {
    let program = std::env::current_exe().map_err(|error| Missing(error.to_string()))?;
    figures_of(Command::new(program).env(CHILD, words))
}

/// Prints figures for the parent: `value unit n what` lines.
pub fn print_figures(figures: &[Figure]) {
    for Figure { what, value, unit, n } in figures {
        println!("{value} {unit} {n} {what}");
    }
}

/// Runs a program that prints figures.
///
/// # Errors
/// [`Missing`] with the program's last words when it fails, or when it is not installed.
pub(crate) fn figures_of(command: &mut Command) -> Taken {
    let output = command.output().map_err(|_| Missing("not installed".into()))?;
    if !output.status.success() {
        let said = [output.stderr, output.stdout].concat();
        return Err(Missing(String::from_utf8_lossy(&said).lines().last().unwrap_or("failed silently").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(figure).collect())
}

/// `value unit n what`; other lines are no figures.
fn figure(line: &str) -> Option<Figure> {
    let mut words = line.splitn(4, ' ');
    let value = words.next()?.parse().ok()?;
    let unit = known(words.next()?)?;
    let n = words.next()?.parse().ok()?;
    Some(Figure { what: known(words.next().unwrap_or_default())?, value, unit, n })
}

/// The words that figures are labelled with: a closed list, so that a typing error shows as a missing line.
fn known(word: &str) -> Option<&'static str> {
    const WORDS: [&str; 30] = [
        "",
        "ns",
        "us",
        "ms",
        "bytes",
        "ns/msg",
        "calls/s",
        "p50",
        "p99",
        "spawn",
        "memory",
        "longest gap",
        "control gap",
        "paused",
        "p50 paused",
        "p99 paused",
        "max paused",
        "longest gap, first",
        "p99, calm",
        "p99, upgrades",
        "p99, flood",
        "answered",
        "refused",
        "gate",
        "dlopen",
        "again",
        "library",
        "push",
        "first start",
        "upgrades/s",
    ];
    WORDS.into_iter().find(|known| *known == word)
}

/// Resident bytes of this process; 0 where /proc does not tell.
#[must_use]
pub fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}
