//! Probation: what every version is held to after its commit, and what becomes of the last round's, which fails.
//!
//! Nobody takes it back by hand: this only follows what the host does, by its events and in its journals.

use super::flow::Flow;
use super::report::{Back, Move, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use teneral::runtime::{EventStream, Seen, What};
use teneral::store::{ActorEnd, BackDone, Begin, Entry};
use teneral::upgrade::{Direction, Step};
use teneral::{Addr, System, SystemError, UpgradeId, Watch, WayBack};

/// The version that fails.
pub(crate) const VERSION: &str = "6.0.0";

/// It goes wrong after its thousandth message, and then some must show it: so many lines for each actor are left for
/// it.
pub(crate) const LINES_PER_ACTOR: u64 = 1500;

/// What every version is held to. As ever, but a turn is slow when it takes 200 us longer than before: those of these
/// actors take one or two, and at the default, a millisecond, the demo would be longer by seconds. It lasts longer than
/// anybody waits, and as many bytes are kept as a thousand of the longest lines have.
pub(crate) const WATCH: Watch =
    Watch { slower: Duration::from_micros(200), keep_bytes: 96 << 20, ..Watch::new(Duration::from_secs(24 * 3600)) };

/// How long after the last line it may be on probation.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why it was not followed to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbationError {
    #[error("{TIMEOUT:?} after the last line {VERSION} was still on probation at {left}")]
    Late { left: String },
    #[error("the probation of {VERSION} ended as `{phase}` at {addr}: {why}")]
    Other { addr: Addr, phase: &'static str, why: String },
    #[error("the probation of {VERSION} could not be followed: {missed} events were missed")]
    Missed { missed: u64 },
    #[error("the journal of {upgrade}")]
    Journal { upgrade: String, source: Box<SystemError> },
}

/// Follows the host from before the commit on.
pub(crate) struct Probation {
    events: EventStream,
    /// Of who went back: for how many microseconds it was paused, and how many messages waited then.
    paused: BTreeMap<Addr, (u64, u64)>,
}

impl Probation {
    /// Begins to follow.
    pub(crate) fn follow(system: &System) -> Self {
        Self { events: system.runtime().events(), paused: BTreeMap::new() }
    }

    /// Tells `seen` of everybody of `left` who is taken back, until all are.
    pub(crate) async fn end(
        mut self,
        system: &System,
        flow: &Flow,
        mut left: BTreeSet<Addr>,
        mut seen: impl FnMut(Move),
    ) -> Result<(), ProbationError> {
        let late = async {
            flow.ended().await;
            tokio::time::sleep(TIMEOUT).await;
        };
        tokio::pin!(late);
        while !left.is_empty() {
            let event = tokio::select! {
                event = self.events.next() => event,
                () = &mut late => {
                    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                    return Err(ProbationError::Late { left: left.join(", ") });
                }
            };
            let event = match event {
                Some(Seen::Event(event)) => event,
                Some(Seen::Lagged(missed)) => return Err(ProbationError::Missed { missed }),
                None => return Err(ProbationError::Missed { missed: 0 }),
            };
            match &event.what {
                What::Upgraded { addr, from, paused, queued_messages, .. } if from.to_string() == VERSION => {
                    let paused_us = u64::try_from(paused.as_micros()).unwrap_or(u64::MAX);
                    self.paused.insert(addr.clone(), (paused_us, *queued_messages as u64));
                }
                What::UpgradeEnded { upgrade, .. } => {
                    for (addr, moved) in self.taken_back(system, upgrade)? {
                        left.remove(&addr);
                        seen(moved);
                    }
                }
                What::Probation { addr, version, phase, why, .. }
                    if version.to_string() == VERSION && !matches!(*phase, "begun" | "rolled_back") =>
                {
                    return Err(ProbationError::Other { addr: addr.clone(), phase, why: why.clone() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whom an upgrade has taken back, if that is what it did.
    fn taken_back(&self, system: &System, upgrade: &str) -> Result<Vec<(Addr, Move)>, ProbationError> {
        let journal = system
            .journal(&UpgradeId(upgrade.to_owned()))
            .map_err(|source| ProbationError::Journal { upgrade: upgrade.to_owned(), source: source.into() })?;
        let begin = Entry::begin_of(&journal).filter(|begin| begin.rolls_back.is_some());
        let Some(begin) = begin else { return Ok(Vec::new()) };
        let ends = Entry::end_of(&journal).into_iter().flat_map(|end| &end.actors);
        // Who was too busy to be taken back is tried again.
        let went = ends.filter(|end| end.outcome == "committed");
        Ok(went.filter_map(|end| Some((end.addr.clone(), self.moved(upgrade, begin, end)?))).collect())
    }

    /// The move that was taken back.
    fn moved(&self, upgrade: &str, begin: &Begin, end: &ActorEnd) -> Option<Move> {
        let went = begin.moves.iter().find(|moved| moved.addr == end.addr)?;
        let (pause_us, queued_at_resume) = self.paused.get(&end.addr).copied()?;
        let BackDone { way, messages, skipped, failed, replay_us, .. } = end.back.as_ref()?;
        Some(Move {
            actor: end.addr.path().to_owned(),
            from: went.to.to_string(),
            to: went.from.to_string(),
            direction: Direction::Upgrade,
            outcome: Outcome::RolledBack,
            step: if way == WayBack::Replay.name() { Step::Replay } else { Step::Commit },
            pause_us,
            // Nothing was taken of what served: the version before did the work anew.
            snapshot_bytes: 0,
            queued_at_resume,
            back: Some(Back {
                upgrade: upgrade.to_owned(),
                why: begin.why.clone(),
                messages: *messages as u64,
                not_handled: (skipped + failed) as u64,
                replay_us: *replay_us,
            }),
            error: None,
        })
    }
}
