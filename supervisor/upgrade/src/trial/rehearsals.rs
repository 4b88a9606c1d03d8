//! All rehearsals of one upgrade: one process does them one after the other, and only a crash costs another process.

use super::process::{Answer, Going, Process};
use super::wire::{Rehearse, Stage, Told};
use super::{Bounds, TrialError, TrialProgram};
use crate::error::UpgradeError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use teneral_contract::Digest;
use teneral_loader::{Policy, Release};
use teneral_runtime::ports::Fault;

/// After so many processes died, no more is started for this upgrade: the code is as it is.
pub(super) const CRASHES_MAX: usize = 8;

/// A checked library, for another process.
#[derive(Debug, Clone)]
pub struct Lent {
    /// Who it is.
    pub release: Release,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the host's gate went by.
    pub policy: Policy,
}

/// One rehearsal and the libraries that it needs.
#[derive(Debug)]
pub(crate) struct Rehearsal<'a> {
    pub(crate) needs: Vec<Arc<Lent>>,
    pub(crate) order: Rehearse,
    pub(crate) state: &'a [u8],
}

/// What the code's own failure is, by what it was doing.
pub(super) fn by_stage(stage: Stage, fault: Fault) -> UpgradeError {
    match stage {
        Stage::Start | Stage::Load | Stage::Migrate | Stage::Drop => UpgradeError::Migrate(fault),
        Stage::Init => UpgradeError::Reset(fault),
        Stage::Downgrade | Stage::Back => UpgradeError::Downgrade(fault),
        Stage::Encode => UpgradeError::Save(fault),
    }
}

/// See the module.
pub(crate) struct Rehearsals {
    program: TrialProgram,
    bounds: Bounds,
    going: Going,
    at_work: Option<AtWork>,
    /// Libraries that no trial process survived or let in, and why.
    bad: BTreeMap<Digest, TrialError>,
    crashes: usize,
    /// What the last process that crashed or refused had written.
    output: String,
}

struct AtWork {
    process: Process,
    loaded: BTreeSet<Digest>,
}

impl Rehearsals {
    pub(crate) fn new(program: TrialProgram, bounds: Bounds, going: Going) -> Self {
        Self { program, bounds, going, at_work: None, bad: BTreeMap::new(), crashes: 0, output: String::new() }
    }

    /// What the process that failed last had written.
    pub(crate) fn output(&self) -> &str {
        &self.output
    }

    /// Whether these may be rehearsed: asked before a state is copied for it.
    ///
    /// # Errors
    /// Why no process could load one of them before; [`TrialError::GivenUp`]: too many have died.
    pub(crate) fn may_run(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), TrialError> {
        if let Some(bad) = digests.into_iter().find_map(|digest| self.bad.get(&digest)) {
            return Err(bad.clone());
        }
        let given_up = self.at_work.is_none() && self.crashes >= CRASHES_MAX;
        if given_up { Err(TrialError::GivenUp(CRASHES_MAX)) } else { Ok(()) }
    }

    /// Rehearses what may be rehearsed.
    ///
    /// # Errors
    /// [`UpgradeError`]: what the trial showed, or that there can be none.
    pub(crate) fn run(&mut self, rehearsal: &Rehearsal<'_>) -> Result<Told, UpgradeError> {
        let answer = self.answer(rehearsal).map_err(|error| {
            self.over();
            UpgradeError::Trial(error)
        })?;
        match answer {
            Answer::Rehearsed(told) => Ok(told),
            Answer::Refused(refused) => Err(UpgradeError::Trial(TrialError::Refused(refused))),
            Answer::Faulted(stage, fault) => {
                self.output = self.at_work.as_ref().map(|work| work.process.output()).unwrap_or_default();
                Err(by_stage(stage, fault))
            }
        }
    }

    fn answer(&mut self, rehearsal: &Rehearsal<'_>) -> Result<Answer, TrialError> {
        let work = match &mut self.at_work {
            Some(work) => work,
            None => {
                // One host's libraries came through one gate.
                let policy = rehearsal.needs.first().map_or_else(Policy::standard, |lent| lent.policy.clone());
                let process = Process::start(&self.program, self.bounds, &policy, &self.going)?;
                self.at_work.insert(AtWork { process, loaded: BTreeSet::new() })
            }
        };
        for lent in &rehearsal.needs {
            let digest = lent.release.digest;
            if work.loaded.contains(&digest) {
                continue;
            }
            if let Err(error) = work.process.load(&lent.release, &lent.bytes) {
                self.bad.insert(digest, error.clone());
                return Err(error);
            }
            work.loaded.insert(digest);
        }
        work.process.rehearse(&rehearsal.order, rehearsal.state)
    }

    /// The process at work is of no use any more.
    fn over(&mut self) {
        if let Some(work) = self.at_work.take() {
            self.output = work.process.output();
            self.crashes += 1;
        }
    }
}
