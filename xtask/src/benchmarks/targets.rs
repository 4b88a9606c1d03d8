//! What the figures are to come to: ratios of two figures of one run, and bounds.

use super::{Line, figure};
use std::fmt::Write;

/// Which figure: case and contender.
type Named = (&'static str, &'static str);

struct Target {
    id: &'static str,
    bench: &'static str,
    ours: Named,
    /// What ours is divided by; nothing for a bound in ours' own unit.
    theirs: Option<Named>,
    wanted: Wanted,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}
use Wanted::{AtLeast, AtMost};

const fn target(id: &'static str, bench: &'static str, ours: Named, theirs: Option<Named>, wanted: Wanted) -> Target {
    Target { id, bench, ours, theirs, wanted }
}

/// Turns are run from the callers' tokio, as the peer's calls are.
const REMOTE: &str = "teneral, a process of its own, on ambient";

const TARGETS: [Target; 32] = [
    target("T1", "pause", ("upgrade, 0 entries longest gap", "teneral"), Some(CONTROL), AtMost(1.2)),
    target("T1", "pause", ("upgrade, 0 entries p50 paused", "teneral"), Some(ERLANG_PAUSED), AtMost(0.1)),
    target("T1", "pause", ("upgrade, 0 entries p99 paused", "teneral"), None, AtMost(1000.0)),
    target("T2", "pause", ("upgrade, 1000 entries longest gap", "teneral"), Some(ERLANG_1K), AtMost(0.5)),
    target("T2", "pause", ("upgrade, 100000 entries longest gap", "teneral"), Some(ERLANG_100K), AtMost(1.0)),
    target("T2", "pause", ("upgrade, 1000 entries paused", "teneral"), Some(ERLANG_1K_PAUSED), AtMost(0.5)),
    target("T2", "pause", ("upgrade, 100000 entries paused", "teneral"), Some(ERLANG_100K_PAUSED), AtMost(1.0)),
    target("T4", "pause", ("others p99, upgrades", "teneral"), Some(CALM), AtMost(1.1)),
    target("T6", "idle", ("100000 actors memory", "teneral"), None, AtMost(512.0)),
    target("T6", "idle", ("1000000 actors memory", "teneral"), None, AtMost(1073.0)),
    target("T6", "idle", ("100000 actors spawn", "teneral"), None, AtMost(1000.0)),
    target("T7", "deliver", ("tell 1 -> 1", "teneral"), Some(("tell 1 -> 1", "ractor")), AtMost(0.25)),
    target("T7", "deliver", ("tell 1 -> 1", "teneral"), Some(("tell 1 -> 1", "erlang")), AtMost(0.5)),
    target("T7", "deliver", ("tell 1 -> 1", "teneral"), Some(("tell 1 -> 1", "tokio")), AtMost(1.0)),
    target("T7", "deliver", ("tell 4 -> 1", "teneral"), Some(("tell 4 -> 1", "ractor")), AtMost(0.25)),
    target("T7", "deliver", ("tell 4 -> 1", "teneral"), Some(("tell 4 -> 1", "erlang")), AtMost(0.5)),
    target("T7", "deliver", ("tell 4 -> 1", "teneral"), Some(("tell 4 -> 1", "tokio")), AtMost(1.0)),
    target("T8", "deliver", ("ask, 1 in flight", AMBIENT), Some(("ask, 1 in flight", "ractor")), AtLeast(1.0)),
    target("T8", "deliver", ("ask, 1 in flight p50", AMBIENT), Some(("ask, 1 in flight p50", "ractor")), AtMost(1.0)),
    target("T8", "deliver", ("ask, 64 in flight", "teneral"), Some(("ask, 64 in flight", "ractor")), AtLeast(1.0)),
    target("T8", "deliver", ("ask, 64 in flight", AMBIENT), Some(("ask, 64 in flight", "ractor")), AtLeast(1.0)),
    target("T9", "deliver", ("tell 1 -> 1", "teneral"), Some(("tell 1 -> 1", LINKED)), AtMost(1.25)),
    target("T9", "deliver", ("tell 1 -> 1", AMBIENT), Some(("tell 1 -> 1", AMBIENT_LINKED)), AtMost(1.25)),
    target("T9", "deliver", ("ask, 1 in flight p50", "teneral"), Some(("ask, 1 in flight p50", LINKED)), AtMost(1.05)),
    target("T9", "deliver", ASK_AMBIENT, Some(("ask, 1 in flight p50", AMBIENT_LINKED)), AtMost(1.05)),
    target("T10", "load", ("load a new version", "teneral"), None, AtMost(3000.0)),
    target("T11", "probation", ("tell 1 -> 1", "all is kept"), Some(("tell 1 -> 1", "no probation")), AtMost(1.05)),
    target(
        "T13",
        "remote",
        ("ask, 1 in flight p50", REMOTE),
        Some(("ask, 1 in flight p50", "tonic unary")),
        AtMost(0.7),
    ),
    target("T13", "remote", ("ask, 64 in flight", REMOTE), Some(("ask, 64 in flight", "tonic unary")), AtLeast(5.0)),
    target("F38", "replay", ("10000 messages anew", "teneral"), Some(("10000 messages", "teneral")), AtMost(1.0)),
    target("R21", "flood", ("others p99, flood", "teneral"), Some(("others p99, calm", "teneral")), AtMost(1.1)),
    target("R21", "flood", ("others p99, flood", AMBIENT), Some(("others p99, calm", AMBIENT)), AtMost(1.1)),
];
const AMBIENT: &str = "teneral on ambient";
const LINKED: &str = "teneral linked in";
const AMBIENT_LINKED: &str = "teneral linked in on ambient";
const ASK_AMBIENT: Named = ("ask, 1 in flight p50", AMBIENT);
const CONTROL: Named = ("upgrade, 0 entries control gap", "teneral");
const ERLANG_PAUSED: Named = ("upgrade, 0 entries paused", "erlang");
const ERLANG_1K: Named = ("upgrade, 1000 entries longest gap", "erlang");
const ERLANG_100K: Named = ("upgrade, 100000 entries longest gap", "erlang");
const ERLANG_1K_PAUSED: Named = ("upgrade, 1000 entries paused", "erlang");
const ERLANG_100K_PAUSED: Named = ("upgrade, 100000 entries paused", "erlang");
const CALM: Named = ("others p99, calm", "teneral");

/// One row a target.
pub(super) fn render(lines: &[Line]) -> String {
    let mut text =
        "## Targets\n\n| # | figure | against | found | wanted | |\n|---|---|---|---:|---:|---|\n".to_owned();
    for Target { id, bench, ours, theirs, wanted } in TARGETS {
        let value = |(case, peer): Named| {
            let found =
                lines.iter().find(|line| (line.bench.as_str(), &*line.case, &*line.peer) == (bench, case, peer));
            found.filter(|line| line.skipped.is_none()).map(|line| (line.value, &*line.unit))
        };
        let name = |(case, peer): Named| format!("`{bench}` {case}, {peer}");
        let measured = match (value(ours), theirs.map(value)) {
            (Some((ours, unit)), None) => Some((ours, format!(" {unit}"))),
            (Some((ours, _)), Some(Some((theirs, _)))) => Some((ours / theirs, "x".to_owned())),
            _ => None,
        };
        let against = theirs.map_or_else(|| "a bound".to_owned(), name);
        let (sign, bound, is_met): (_, _, fn(f64, f64) -> bool) = match wanted {
            AtMost(bound) => ("<=", bound, |found, bound| found <= bound),
            AtLeast(bound) => (">=", bound, |found, bound| found >= bound),
        };
        let (found, wanted, met) = match measured {
            Some((found, unit)) => {
                let met = if is_met(found, bound) { "met" } else { "not met" };
                (format!("{}{unit}", figure(found)), format!("{sign} {bound}{unit}"), met)
            }
            None => ("not run".to_owned(), format!("{sign} {bound}"), ""),
        };
        _ = writeln!(text, "| {id} | {} | {against} | {found} | {wanted} | {met} |", name(ours));
    }
    text
}
