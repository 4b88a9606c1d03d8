//! The report: one object for machines, and the list of everything that is off.

use super::judge::Verdict;
use super::probation;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use teneral::Watch;
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
    pub(crate) probation: ProbationPart,
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
    /// The last step that was begun; after a commit, the one that took it back.
    pub(crate) step: Step,
    pub(crate) pause_us: u64,
    pub(crate) snapshot_bytes: u64,
    pub(crate) queued_at_resume: u64,
    /// Of a move that was taken back after its commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) back: Option<Back>,
    /// The upgrade's error, for people.
    #[serde(skip)]
    pub(crate) error: Option<String>,
}

/// What came of a committed move that failed its probation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Back {
    /// The upgrade that took it back, by itself.
    pub(crate) upgrade: String,
    /// What it failed by.
    pub(crate) why: String,
    /// Messages since the commit, which the version before has handled anew.
    pub(crate) messages: u64,
    /// Those of them that it had no part in, or failed at.
    pub(crate) not_handled: u64,
    pub(crate) replay_us: u64,
}

/// What every version was held to after its commit, and who was taken back for it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProbationPart {
    pub(crate) watch: Watch,
    pub(crate) taken_back: usize,
    /// All of them together: messages that the version before has handled anew.
    pub(crate) messages_anew: u64,
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
    pub(super) const fn words(self) -> &'static str {
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

impl ProbationPart {
    pub(crate) fn of(moves: &[Move]) -> Self {
        let back: Vec<&Back> = moves.iter().filter_map(|moved| moved.back.as_ref()).collect();
        let messages_anew = back.iter().map(|back| back.messages).sum();
        Self { watch: probation::WATCH, taken_back: back.len(), messages_anew }
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
            let left = by_version.get(probation::VERSION).copied().unwrap_or(0);
            must(left == 0, format!("{actor}: {left} messages are still those of {}", probation::VERSION));
        }
        self.conclude_moves(run, &mut off);
        self.ok = off.is_empty();
        self.off = off;
    }

    fn conclude_moves(&self, run: &Run, off: &mut Vec<String>) {
        for actor in run.handled.keys() {
            let moves: Vec<&Move> = self.upgrades.iter().filter(|moved| moved.actor == *actor).collect();
            off.extend(wrong_with(&moves).into_iter().map(|wrong| format!("{actor}: {wrong}")));
        }
        // Most of them, on a machine that has nothing else to do.
        let (all, busy) = self.committed();
        if run.paced == Paced::Flood && busy * 4 < all {
            off.push(format!("only {busy} of {all} committed moves resumed with messages waiting"));
        }
    }

    /// Committed moves, and how many of them resumed with messages waiting.
    pub(super) fn committed(&self) -> (usize, usize) {
        let committed = self.upgrades.iter().filter(|moved| moved.outcome == Outcome::Committed);
        committed.fold((0, 0), |(all, busy), moved| (all + 1, busy + usize::from(moved.queued_at_resume > 0)))
    }
}

/// What is wrong with the moves of one actor.
fn wrong_with(moves: &[&Move]) -> Vec<String> {
    let of = |to: &'static str, outcome| moves.iter().filter(move |moved| moved.to == to && moved.outcome == outcome);
    let came = |to, outcome| of(to, outcome).count();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            wrong.push(otherwise);
        }
    };
    let ups = ["2.0.0", "3.0.0"].iter().all(|to| came(to, Outcome::Committed) == 2);
    must(ups, "it did not go 1 -> 2 -> 3 -> 2 -> 3".into());
    must(came("4.0.0", Outcome::Refused) == 1, {
        "4.0.0, which always panics, was not refused once at its trial".into()
    });
    let villain = of("5.0.0", Outcome::RolledBack).filter(|moved| moved.step == Step::Migrate);
    must(villain.count() == 1, "5.0.0 was not rolled back at migrate once".into());
    let started = ["4.0.0", "5.0.0"].iter().any(|to| came(to, Outcome::Committed) > 0);
    must(!started, "it ran a version that must not start".into());

    let fails = probation::VERSION;
    let replayed = of(fails, Outcome::RolledBack).filter(|moved| moved.step == Step::Replay);
    let back: Vec<&Back> = replayed.filter_map(|moved| moved.back.as_ref()).collect();
    must(came(fails, Outcome::Committed) == 1 && back.len() == 1, {
        format!("{fails}, which goes wrong once it serves, was not committed once and taken back by replay once")
    });
    let anew = back.iter().all(|back| back.messages > 0 && back.not_handled == 0);
    must(anew, format!("not all that {fails} was told was handled anew"));
    // Who should have been left alone and was taken back, too, begins its next move elsewhere than it ended its last.
    let mut at = "1.0.0";
    for moved in moves.iter().filter(|moved| moved.back.is_none()) {
        let Move { from, to, outcome, .. } = moved;
        must(from == at, format!("it was at {from} and not at {at} when it was to go to {to}"));
        at = if *outcome == Outcome::Committed { to } else { from };
    }
    wrong
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
            step: match outcome {
                Outcome::Committed => Step::Resume,
                Outcome::Refused => Step::Trial,
                Outcome::RolledBack | Outcome::Deferred => Step::Migrate,
            },
            pause_us: 40,
            snapshot_bytes: 512,
            queued_at_resume: 1,
            back: None,
            error: None,
        }
    }

    fn taken_back() -> Move {
        let back = Back { upgrade: "up-2".into(), why: "slow".into(), messages: 1064, not_handled: 0, replay_us: 900 };
        let from = "3.0.0".into();
        Move { from, step: Step::Replay, back: Some(back), ..moved("6.0.0", Outcome::RolledBack) }
    }

    fn good() -> (Report, Run) {
        let mut moves = ["2.0.0", "3.0.0", "2.0.0", "3.0.0"].map(|to| moved(to, Outcome::Committed)).to_vec();
        moves.extend([moved("4.0.0", Outcome::Refused), moved("5.0.0", Outcome::RolledBack)]);
        moves.push(moved("6.0.0", Outcome::Committed));
        let mut at = "1.0.0".to_owned();
        for moved in &mut moves {
            moved.from.clone_from(&at);
            if moved.outcome == Outcome::Committed {
                at.clone_from(&moved.to);
            }
        }
        moves.push(taken_back());
        let by_version: BTreeMap<String, u64> = REACHED.iter().map(|version| ((*version).into(), 1000)).collect();
        let report = Report {
            input: InputPart { path: "x.log".into(), lines: 3000, bytes: 9 },
            actors: 1,
            senders: 1,
            messages: Messages { sent: 3000, handled: 3000, lost: 0, duplicated: 0, reordered: 0 },
            handled_by_version: by_version.clone(),
            asks: AsksPart { sent: 9, answered: 9, errors: 0 },
            probation: ProbationPart::of(&moves),
            upgrades: moves,
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
        for number in 0..8 {
            off(|report, _| drop(report.upgrades.remove(number)));
            off(|report, _| report.upgrades[number].outcome = Outcome::Deferred);
        }
        off(|report, _| report.upgrades.push(moved("4.0.0", Outcome::Committed)));
        off(|report, _| report.upgrades[5].step = Step::Commit);
        off(|report, _| report.upgrades[7].step = Step::Restore);
        off(|report, _| report.upgrades[7].back = None);
        off(|report, _| report.upgrades.push(taken_back()));
        off(|report, _| report.upgrades[7].back.as_mut().unwrap().messages = 0);
        off(|report, _| report.upgrades[7].back.as_mut().unwrap().not_handled = 1);
        off(|report, _| report.upgrades[6].from = "2.0.0".into());
        off(|_, run| run.handled.values_mut().for_each(|by| by.extend([("6.0.0".into(), 1)])));
        off(|report, _| report.upgrades[..4].iter_mut().for_each(|moved| moved.queued_at_resume = 0));
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
