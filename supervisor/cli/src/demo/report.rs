//! The report: one object for machines, a table for people, and the list of everything that is off.

use super::judge::Verdict;
use crate::table::{columns, grouped};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;
use teneral::upgrade::{Direction, Step};

/// The versions an actor reaches, in order; each must have handled messages.
pub(crate) const REACHED: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) input: InputPart,
    pub(crate) actors: usize,
    pub(crate) senders: usize,
    pub(crate) messages: Messages,
    pub(crate) handled_by_version: BTreeMap<String, u64>,
    pub(crate) asks: AsksPart,
    pub(crate) upgrades: Vec<Move>,
    pub(crate) pause_us: Pauses,
    pub(crate) check: Check,
    pub(crate) ok: bool,
    /// Why not.
    #[serde(skip)]
    pub(crate) off: Vec<String>,
}

/// The file: its own lines and bytes, however often it was repeated.
#[derive(Debug, Serialize)]
pub(crate) struct InputPart {
    pub(crate) path: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

/// The judge's verdict over all pairs of sender and actor.
#[derive(Debug, Serialize)]
pub(crate) struct Messages {
    pub(crate) sent: u64,
    pub(crate) handled: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct AsksPart {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) errors: u64,
}

/// One move of one actor.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Move {
    pub(crate) actor: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) direction: Direction,
    pub(crate) outcome: Outcome,
    /// The last step that was begun.
    pub(crate) step: Step,
    pub(crate) pause_us: u64,
    pub(crate) snapshot_bytes: u64,
    pub(crate) queued_at_resume: u64,
    /// The upgrade's error, for people.
    #[serde(skip)]
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Committed,
    RolledBack,
    Refused,
    Deferred,
}

/// Of the committed moves, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Pauses {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// Two counts of the streamed lines that share no parser.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Check {
    pub(crate) lines_counted_by_actors: u64,
    pub(crate) lines_counted_by_reader: u64,
    pub(crate) equal: bool,
}

impl Outcome {
    const fn words(self) -> &'static str {
        match self {
            Self::Committed => "committed at",
            Self::RolledBack => "rolled back at",
            Self::Refused => "refused at",
            Self::Deferred => "deferred at",
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, from, to, outcome, step, pause_us, queued_at_resume, .. } = self;
        write!(f, "{actor} {from} -> {to} {} {step}, ", outcome.words())?;
        write!(f, "paused {pause_us} us, {queued_at_resume} messages waited")
    }
}

impl From<Verdict> for Messages {
    fn from(found: Verdict) -> Self {
        let Verdict { sent, handled, lost, duplicated, reordered } = found;
        Self { sent, handled, lost, duplicated, reordered }
    }
}

impl Pauses {
    /// Nearest-rank percentiles.
    pub(crate) fn of(moves: &[Move]) -> Self {
        let committed = moves.iter().filter(|moved| moved.outcome == Outcome::Committed);
        let mut pauses: Vec<u64> = committed.map(|moved| moved.pause_us).collect();
        pauses.sort_unstable();
        let rank = |percent: usize| match (pauses.len() * percent).div_ceil(100) {
            0 => 0,
            rank => pauses[rank - 1],
        };
        Self { p50: rank(50), p99: rank(99), max: rank(100) }
    }
}

/// What the report alone does not say: how it was made.
#[derive(Debug)]
pub(crate) struct Run {
    /// Whether the senders were held to a rate.
    pub(crate) paced: Paced,
    /// Lines that were to be sent.
    pub(crate) lines: u64,
    /// Messages handled, for each actor under each version.
    pub(crate) handled: BTreeMap<String, BTreeMap<String, u64>>,
    /// What kept the run from its end.
    pub(crate) broken: Vec<String>,
    /// From the first line to the last.
    pub(crate) took: Duration,
}

/// Whether the senders were held to a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paced {
    /// As fast as the mailboxes take it.
    Flood,
    /// So many lines a second.
    LinesPerSecond(u64),
}

impl Report {
    /// Judges the whole run: fills `ok` and `off`.
    pub(crate) fn conclude(&mut self, run: &Run) {
        let mut off = run.broken.clone();
        let Messages { sent, handled, lost, duplicated, reordered } = self.messages;
        let mut must = |holds: bool, text: String| {
            if !holds {
                off.push(text);
            }
        };
        must(sent == run.lines, format!("{sent} of {} lines were sent", run.lines));
        must(sent == handled, format!("{sent} messages were sent and {handled} handled"));
        must(lost + duplicated + reordered == 0, {
            format!("{lost} messages lost, {duplicated} duplicated, {reordered} reordered")
        });
        let AsksPart { sent, answered, errors } = self.asks;
        must(sent > 0 && errors == 0 && sent == answered, {
            format!("{sent} asks sent, {answered} answered, {errors} errors")
        });
        let Check { lines_counted_by_actors: actors, lines_counted_by_reader: reader, equal } = self.check;
        must(equal, format!("the actors counted {actors} lines, the reader {reader}"));
        for (actor, by_version) in &run.handled {
            for version in REACHED {
                let worked = by_version.get(version).is_some_and(|handled| *handled > 0);
                must(worked, format!("{actor} handled nothing under {version}"));
            }
        }
        self.conclude_moves(run, &mut off);
        self.ok = off.is_empty();
        self.off = off;
    }

    fn conclude_moves(&self, run: &Run, off: &mut Vec<String>) {
        for actor in run.handled.keys() {
            let moves: Vec<&Move> = self.upgrades.iter().filter(|moved| moved.actor == *actor).collect();
            let came = |to: &str, outcome: Outcome| {
                moves.iter().filter(|moved| moved.to == to && moved.outcome == outcome).count()
            };
            let ups = came("2.0.0", Outcome::Committed) == 2 && came("3.0.0", Outcome::Committed) == 2;
            if !ups {
                off.push(format!("{actor} did not go 1 -> 2 -> 3 -> 2 -> 3"));
            }
            if came("4.0.0", Outcome::RolledBack) + came("4.0.0", Outcome::Refused) != 1 {
                off.push(format!("{actor}: 4.0.0, which always panics, was not turned away once"));
            }
            let rolled_back = |moved: &&&Move| moved.outcome == Outcome::RolledBack;
            let villain = moves.iter().filter(|moved| moved.to == "5.0.0").filter(rolled_back);
            if villain.filter(|moved| moved.step == Step::Migrate).count() != 1 {
                off.push(format!("{actor}: 5.0.0 was not rolled back at migrate once"));
            }
            if came("4.0.0", Outcome::Committed) + came("5.0.0", Outcome::Committed) > 0 {
                off.push(format!("{actor} runs a version that must not start"));
            }
        }
        let (all, busy) = self.committed();
        if run.paced == Paced::Flood && busy * 2 < all {
            off.push(format!("only {busy} of {all} committed moves resumed with messages waiting"));
        }
    }

    /// Committed moves, and how many of them resumed with messages waiting.
    fn committed(&self) -> (usize, usize) {
        let committed = self.upgrades.iter().filter(|moved| moved.outcome == Outcome::Committed);
        committed.fold((0, 0), |(all, busy), moved| (all + 1, busy + usize::from(moved.queued_at_resume > 0)))
    }

    /// The table for people.
    pub(crate) fn table(&self, run: &Run) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(run, &mut text);
        text
    }

    fn write_table(&self, run: &Run, out: &mut String) -> std::fmt::Result {
        let pace = match run.paced {
            Paced::Flood => "as fast as the mailboxes take them".to_owned(),
            Paced::LinesPerSecond(rate) => format!("at {} a second", grouped(rate)),
        };
        let InputPart { path, lines, bytes } = &self.input;
        writeln!(out, "input      {path}: {} lines, {} bytes", grouped(*lines), grouped(*bytes))?;
        writeln!(out, "streamed   {} lines in {:.1} s, {pace}", grouped(run.lines), run.took.as_secs_f64())?;
        writeln!(out)?;
        out.push_str(&self.actors_table(run));
        writeln!(out)?;
        let m = &self.messages;
        writeln!(
            out,
            "messages   sent {}  handled {}  lost {}  duplicated {}  reordered {}",
            grouped(m.sent),
            grouped(m.handled),
            grouped(m.lost),
            grouped(m.duplicated),
            grouped(m.reordered),
        )?;
        let AsksPart { sent, answered, errors } = self.asks;
        writeln!(out, "asks       sent {}  answered {}  errors {errors}", grouped(sent), grouped(answered))?;
        let (actors, reader) = (self.check.lines_counted_by_actors, self.check.lines_counted_by_reader);
        writeln!(out, "lines      counted by the actors {}  by the reader {}", grouped(actors), grouped(reader))?;
        let Pauses { p50, p99, max } = self.pause_us;
        let (all, busy) = self.committed();
        write!(out, "moves      {all} committed, {busy} of them resumed with messages waiting; ")?;
        writeln!(out, "pause p50 {p50} us, p99 {p99} us, max {max} us")?;
        self.write_turned_away(out)?;
        for off in &self.off {
            writeln!(out, "off        {off}")?;
        }
        writeln!(out, "ok         {}", self.ok)
    }

    fn actors_table(&self, run: &Run) -> String {
        let mut header = vec!["actor".to_owned(), "moves".to_owned(), "pause us".to_owned(), "queued".to_owned()];
        header.extend(self.handled_by_version.keys().map(|version| format!("handled by {version}")));
        let mut rows = vec![header];
        for (actor, by_version) in &run.handled {
            let moves: Vec<&Move> = self.upgrades.iter().filter(|moved| moved.actor == *actor).collect();
            let committed = moves.iter().filter(|moved| moved.outcome == Outcome::Committed);
            let (pauses, queued): (Vec<_>, Vec<_>) =
                committed.map(|moved| (moved.pause_us.to_string(), moved.queued_at_resume.to_string())).unzip();
            let mut row = vec![actor.clone(), path_of(&moves), pauses.join(" "), queued.join(" ")];
            let handled = |version| grouped(by_version.get(version).copied().unwrap_or(0));
            row.extend(self.handled_by_version.keys().map(handled));
            rows.push(row);
        }
        columns(&rows)
    }

    fn write_turned_away(&self, out: &mut String) -> std::fmt::Result {
        let turned_away = self.upgrades.iter().filter(|moved| moved.outcome != Outcome::Committed);
        let lines: BTreeSet<String> = turned_away
            .map(|moved| {
                let error = moved.error.as_deref().unwrap_or("no reason given");
                format!("{} -> {} {} {}: {error}", moved.from, moved.to, moved.outcome.words(), moved.step)
            })
            .collect();
        lines.iter().try_for_each(|line| writeln!(out, "           {line}"))
    }
}

/// `1 -> 2 -> 3`, with what was turned away crossed out.
fn path_of(moves: &[&Move]) -> String {
    let major = |version: &str| version.split('.').next().unwrap_or(version).to_owned();
    let mut path = moves.first().map_or_else(String::new, |moved| major(&moved.from));
    for moved in moves {
        let sign = match moved.outcome {
            Outcome::Committed => ">",
            Outcome::RolledBack | Outcome::Refused => " x",
            Outcome::Deferred => " ~",
        };
        let _ = write!(path, "{sign}{}", major(&moved.to));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(to: &str, outcome: Outcome) -> Move {
        Move {
            actor: "log-handler/0".into(),
            from: "1.0.0".into(),
            to: to.into(),
            direction: Direction::Upgrade,
            outcome,
            step: if outcome == Outcome::Committed { Step::Resume } else { Step::Migrate },
            pause_us: 40,
            snapshot_bytes: 512,
            queued_at_resume: 1,
            error: None,
        }
    }

    fn good() -> (Report, Run) {
        let committed = ["2.0.0", "3.0.0", "2.0.0", "3.0.0"].map(|to| moved(to, Outcome::Committed));
        let turned_away = ["4.0.0", "5.0.0"].map(|to| moved(to, Outcome::RolledBack));
        let by_version: BTreeMap<String, u64> = REACHED.iter().map(|version| ((*version).into(), 1000)).collect();
        let report = Report {
            input: InputPart { path: "x.log".into(), lines: 3000, bytes: 9 },
            actors: 1,
            senders: 1,
            messages: Messages { sent: 3000, handled: 3000, lost: 0, duplicated: 0, reordered: 0 },
            handled_by_version: by_version.clone(),
            asks: AsksPart { sent: 9, answered: 9, errors: 0 },
            upgrades: committed.into_iter().chain(turned_away).collect(),
            pause_us: Pauses::default(),
            check: Check { lines_counted_by_actors: 3000, lines_counted_by_reader: 3000, equal: true },
            ok: false,
            off: Vec::new(),
        };
        let handled = BTreeMap::from([("log-handler/0".into(), by_version)]);
        let run = Run { paced: Paced::Flood, lines: 3000, handled, broken: Vec::new(), took: Duration::from_secs(1) };
        (report, run)
    }

    #[track_caller]
    fn off(change: impl FnOnce(&mut Report, &mut Run)) {
        let (mut report, mut run) = good();
        change(&mut report, &mut run);
        report.conclude(&run);
        assert!(!report.ok && !report.off.is_empty());
        assert!(report.table(&run).contains(&report.off[0]));
    }

    #[test]
    fn nothing_is_off_in_a_good_run_and_each_wrong_alone_is_off() {
        let (mut report, run) = good();
        report.conclude(&run);
        assert!(report.ok, "{:?}", report.off);

        off(|report, _| report.messages.lost = 1);
        off(|report, _| report.messages.duplicated = 1);
        off(|report, _| report.messages.reordered = 1);
        off(|report, _| report.messages.handled = 2999);
        off(|_, run| run.lines = 3001);
        off(|_, run| run.broken.push("a sender ended".into()));
        off(|report, _| report.asks.errors = 1);
        off(|report, _| report.asks.answered = 8);
        off(|report, _| (report.asks.sent, report.asks.answered) = (0, 0));
        off(|report, _| report.check.equal = false);
        off(|_, run| *run.handled.values_mut().next().and_then(|by| by.get_mut("2.0.0")).unwrap() = 0);
        for number in 0..6 {
            off(|report, _| drop(report.upgrades.remove(number)));
            off(|report, _| report.upgrades[number].outcome = Outcome::Deferred);
        }
        off(|report, _| report.upgrades.push(moved("4.0.0", Outcome::Committed)));
        off(|report, _| report.upgrades[5].step = Step::Commit);
        off(|report, _| report.upgrades[..3].iter_mut().for_each(|moved| moved.queued_at_resume = 0));
    }

    #[test]
    fn a_run_at_a_rate_need_not_have_messages_waiting() {
        let (mut report, mut run) = good();
        run.paced = Paced::LinesPerSecond(100);
        report.upgrades.iter_mut().for_each(|moved| moved.queued_at_resume = 0);
        report.conclude(&run);
        assert!(report.ok, "{:?}", report.off);
    }

    #[test]
    fn pauses_are_those_of_committed_moves_by_nearest_rank() {
        let mut moves: Vec<Move> =
            (1..=200).map(|us| Move { pause_us: us, ..moved("2.0.0", Outcome::Committed) }).collect();
        moves.push(Move { pause_us: 9999, ..moved("4.0.0", Outcome::RolledBack) });
        let Pauses { p50, p99, max } = Pauses::of(&moves);
        assert_eq!((p50, p99, max), (100, 198, 200));
        assert_eq!(Pauses::of(&[]).max, 0);
    }
}
