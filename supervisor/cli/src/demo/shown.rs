//! The report as a table for people.

use super::report::{AsksPart, InputPart, Move, Outcome, Paced, Pauses, ProbationPart, Report, Run};
use crate::table::{columns, grouped};
use std::collections::BTreeSet;
use std::fmt::Write as _;

impl Report {
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
        self.write_taken_back(out)?;
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
        let ended = |moved: &&Move| moved.outcome == Outcome::Committed || moved.back.is_some();
        let turned_away = self.upgrades.iter().filter(|moved| !ended(moved));
        let lines: BTreeSet<String> = turned_away
            .map(|moved| {
                let error = moved.error.as_deref().unwrap_or("no reason given");
                format!("{} -> {} {} {}: {error}", moved.from, moved.to, moved.outcome.words(), moved.step)
            })
            .collect();
        lines.iter().try_for_each(|line| writeln!(out, "           {line}"))
    }

    fn write_taken_back(&self, out: &mut String) -> std::fmt::Result {
        let ProbationPart { watch, taken_back, messages_anew } = &self.probation;
        let Some((moved, back)) = self.upgrades.iter().find_map(|moved| Some((moved, moved.back.as_ref()?))) else {
            return Ok(());
        };
        let Move { actor, from, to, step, .. } = moved;
        let longest = self.upgrades.iter().filter(|moved| moved.back.is_some()).map(|moved| moved.pause_us).max();
        write!(out, "probation  {from} -> {to} taken back by {step} from {taken_back} actors, ")?;
        write!(out, "{} messages handled anew by {from}; ", grouped(*messages_anew))?;
        writeln!(out, "paused {} us at most", longest.unwrap_or(0))?;
        writeln!(out, "           {actor}: {}", back.why)?;
        let (percent, us) = (watch.slower_percent, watch.slower.as_micros());
        write!(
            out,
            "           each version must take, for most of its turns, {percent} % of those before it at most, "
        )?;
        writeln!(out, "or {us} us more")
    }
}

/// `1 -> 2 -> 3`, with what was turned away crossed out, and a way back where there was one.
fn path_of(moves: &[&Move]) -> String {
    let major = |version: &str| version.split('.').next().unwrap_or(version).to_owned();
    let mut path = moves.first().map_or_else(String::new, |moved| major(&moved.from));
    for moved in moves {
        let (sign, to) = match moved.outcome {
            Outcome::Committed => (">", &moved.to),
            Outcome::RolledBack if moved.back.is_some() => ("<", &moved.from),
            Outcome::RolledBack | Outcome::Refused => (" x", &moved.to),
            Outcome::Deferred => (" ~", &moved.to),
        };
        let _ = write!(path, "{sign}{}", major(to));
    }
    path
}
