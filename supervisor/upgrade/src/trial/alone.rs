//! The trial of programs, which no process loads: each runs in a process of its own, as it will run live, and the host
//! walks the way with them.
//!
//! None of their code runs here. What they do not survive is their process's end; what they answer that nobody can
//! believe is refused; how long they may take has a bound each time that they are asked.

use super::process::{CalledOff, last_line};
use super::walk::{Stop, Walk};
use super::wire::{Rehearse, Stage, Told};
use super::{Crash, Going, How, TrialError};
use crate::error::UpgradeError;
use crate::trial::rehearsals::{CRASHES_MAX, by_stage};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use teneral_contract::Digest;
use teneral_runtime::ports::{Fault, FaultKind, Provider};

/// A process that was started for rehearsals alone. Dropped, it ends.
pub trait Tried: Send + Sync {
    /// Its code, over there.
    fn code(&self) -> Arc<dyn Provider>;
    /// How it ended, as soon as that is known.
    fn ended(&self) -> Option<How>;
    /// The end of what it wrote.
    fn output(&self) -> String;
}

/// How long is waited for the end of a process that answers no more: its connection is closed a moment before.
const END_SEEN: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(5);

/// The programs of one upgrade that are tried.
pub(crate) struct Alone {
    going: Going,
    tried: BTreeMap<Digest, Arc<dyn Tried>>,
    crashes: usize,
    /// What the process that failed last had written.
    output: String,
}

impl Alone {
    pub(crate) fn new(going: Going) -> Self {
        Self { going, tried: BTreeMap::new(), crashes: 0, output: String::new() }
    }

    /// What the process that failed last had written.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Whether that one is at hand.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.tried.contains_key(&digest)
    }

    /// Takes one that was started.
    pub(crate) fn take(&mut self, digest: Digest, tried: Arc<dyn Tried>) {
        self.tried.insert(digest, tried);
    }

    /// Whether another may be started.
    ///
    /// # Errors
    /// [`TrialError::GivenUp`]: too many have died.
    pub(crate) const fn may_start(&self) -> Result<(), TrialError> {
        if self.crashes >= CRASHES_MAX { Err(TrialError::GivenUp(CRASHES_MAX)) } else { Ok(()) }
    }

    /// Rehearses; all that it needs is at hand.
    ///
    /// # Errors
    /// [`UpgradeError`]: what the trial showed.
    pub(crate) fn run(&mut self, order: &Rehearse, state: &[u8]) -> Result<Told, UpgradeError> {
        let codes: BTreeMap<_, _> = self.tried.iter().map(|(digest, tried)| (*digest, tried.code())).collect();
        let (mut last, going) = (Stage::Start, &self.going);
        let mut at = |stage| {
            last = stage;
            if going() { Ok(()) } else { Err(io::Error::other(CalledOff)) }
        };
        match (Walk { codes: &codes, at: &mut at }).twice(order, state) {
            Ok(told) => Ok(told),
            Err(Stop::Said(_)) => Err(UpgradeError::Trial(TrialError::CalledOff)),
            Err(Stop::Fault(fault)) => Err(self.failed(last, fault)),
        }
    }

    /// What a fault came of: the end of a process, an answer that cannot be believed, or what the code says.
    fn failed(&mut self, stage: Stage, fault: Fault) -> UpgradeError {
        let asked_in_vain = matches!(fault.kind, FaultKind::Failed | FaultKind::Protocol);
        let deadline = Instant::now() + if asked_in_vain { END_SEEN } else { Duration::ZERO };
        let ended = loop {
            let ended = self.tried.iter().find_map(|(digest, tried)| Some((*digest, tried.ended()?)));
            if ended.is_some() || Instant::now() >= deadline {
                break ended;
            }
            thread::sleep(LOOK);
        };
        let output = |tried: &Arc<dyn Tried>| tried.output();
        let Some((digest, how)) = ended else {
            self.output = self.tried.values().map(output).collect::<Vec<_>>().concat();
            return match fault.kind {
                FaultKind::Protocol => {
                    UpgradeError::Trial(TrialError::Babbled(format!("{}, while {}", fault.text, stage.doing())))
                }
                _ => by_stage(stage, fault),
            };
        };
        self.crashes += 1;
        self.output = self.tried.remove(&digest).as_ref().map(output).unwrap_or_default();
        UpgradeError::Trial(TrialError::Crashed(Crash { stage, how, said: last_line(&self.output) }))
    }
}
