//! The moves: seven rounds in which all actors, one first and then the others, go to another version while lines flow.
//!
//! v1 -> v2 -> v3 -> v2 -> v3 are committed. v4's migration always panics; v5's panics only in this process, which has
//! an environment variable that a rehearsal's scrubbed environment lacks. Both leave v3 serving. v6 is committed too,
//! and fails on probation: the host takes it back by itself.

use super::flow::Flow;
use super::probation::{self, Probation, ProbationError};
use super::report::{Move, Outcome};
use super::service;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use teneral::runtime::{EventStream, Seen, What};
use teneral::upgrade::{ActorReport, Downgrades, Outcome as Came};
use teneral::{ActorRef, Addr, System, SystemError, UpgradeOptions};

/// Where each round goes.
pub(crate) const ROUNDS: [&str; 7] = ["2.0.0", "3.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0", probation::VERSION];

/// How many moves each actor makes: the last round's is taken back.
pub(crate) const MOVES: usize = ROUNDS.len() + 1;

/// How often a busy actor is tried again.
const TRIES_MAX: usize = 5;

/// Between two portions of a round's lines.
const TICK: Duration = Duration::from_millis(1);

/// How long a look at an actor waits behind its full mailbox.
const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// What is known of the moves at any moment.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    done: Mutex<Vec<Move>>,
}

/// Why the rounds ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    #[error("round to {to}: {addr} did not say what it has handled")]
    Look { to: &'static str, addr: Addr, source: teneral::AskError },
    #[error("round to {to}")]
    Upgrade { to: &'static str, source: SystemError },
    #[error("after the last round")]
    Probation(#[from] ProbationError),
}

impl Moves {
    /// All moves so far.
    pub(crate) fn so_far(&self) -> Vec<Move> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, moved: Move) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(moved);
    }

    /// Runs all rounds, each when the flow has come to it, and waits until the last one is taken back.
    pub(crate) async fn run(&self, system: &System, actors: &[ActorRef], flow: &Flow) -> Result<(), MoveError> {
        let mut followed = None;
        for (number, to) in (0..).zip(ROUNDS) {
            flow.reach_round(number).await;
            if to == probation::VERSION {
                followed = Some(Probation::follow(system));
            }
            // An answer comes after everything that was accepted before: so every actor has worked under its version.
            for actor in actors {
                let look = service::read(actor, LOOK_TIMEOUT).await;
                look.map_err(|source| MoveError::Look { to, addr: actor.addr().clone(), source })?;
            }
            // One actor first: it takes the time of the first load, while the others work on.
            let (first, others) = actors.split_at(actors.len().min(1));
            self.upgrade(system, first, to).await?;
            amid_traffic(self.upgrade(system, others, to), system.runtime().events(), flow, number).await?;
            flow.allow_before(number + 1);
        }
        flow.allow_all();
        if let Some(probation) = followed {
            let there = actors.iter().map(ActorRef::addr).filter(|addr| self.has_come(addr, probation::VERSION));
            let there: BTreeSet<Addr> = there.cloned().collect();
            probation.end(system, flow, there, |moved| self.push(moved)).await?;
        }
        Ok(())
    }

    fn has_come(&self, addr: &Addr, to: &str) -> bool {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().any(|moved| moved.actor == addr.path() && moved.to == to && moved.outcome == Outcome::Committed)
    }

    /// Moves these actors; those that were too busy are tried again.
    async fn upgrade(&self, system: &System, actors: &[ActorRef], to: &'static str) -> Result<(), MoveError> {
        let mut left: Vec<Addr> = actors.iter().map(|actor| actor.addr().clone()).collect();
        for _ in 0..TRIES_MAX {
            let mut options = UpgradeOptions::new();
            options.downgrades = Downgrades::Allow;
            options.probation = teneral::Probation::Watch(probation::WATCH);
            let report = system.upgrade(left, to, options).await;
            let report = report.map_err(|source| MoveError::Upgrade { to, source })?;
            left = Vec::new();
            for actor in report.actors {
                if matches!(actor.outcome, Came::Deferred(_)) {
                    left.push(actor.actor.clone());
                }
                self.push(moved(actor));
            }
            if left.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Lets the round's lines go while `moving` is on its way: ever less of them while its code is prepared, so that they
/// do not end before it, and all that are left when it begins to pause actors.
async fn amid_traffic<T>(moving: impl Future<Output = T>, mut events: EventStream, flow: &Flow, round: u64) -> T {
    let mut moving = pin!(moving);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            done = &mut moving => return done,
            Some(Seen::Event(event)) = events.next() => {
                if matches!(event.what, What::Upgrading { .. }) {
                    flow.allow_during(round);
                }
            }
            _ = tick.tick() => flow.allow_some_during(round),
        }
    }
}

fn moved(report: ActorReport) -> Move {
    let outcome = match report.outcome {
        Came::Committed => Outcome::Committed,
        Came::RolledBack(_) => Outcome::RolledBack,
        // An actor that already is where it should go was not moved, which the demo never asks for.
        Came::Refused(_) | Came::Unchanged => Outcome::Refused,
        Came::Deferred(_) => Outcome::Deferred,
    };
    Move {
        actor: report.actor.path().to_owned(),
        from: report.from.to_string(),
        to: report.to.to_string(),
        direction: report.direction,
        outcome,
        step: report.step,
        pause_us: report.pause_us,
        snapshot_bytes: report.snapshot_bytes as u64,
        queued_at_resume: report.queued_at_resume as u64,
        back: None,
        error: report.outcome.failure().map(|failure| format!("[{}] {}", failure.code, failure.cause)),
    }
}
