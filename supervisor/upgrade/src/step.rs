//! The steps of an upgrade, by the names that journals, reports and people use.
//!
//! A plan lists the steps that it will run, and only lists that are known to be safe are run at all: a pause without a
//! resume, or a commit before the new instance exists, is not a plan.

use crate::request::{StateMode, Trials};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One step. The order is the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The artifact is the one that was pushed. The actor serves.
    Verify,
    /// Its manifest fits the plan; nothing of it has run. The actor serves.
    Check,
    /// A process of its own does all of it on a copy of the state. The actor serves.
    Trial,
    /// Its image is in the process. The actor serves.
    Load,
    /// The actor stops at a message boundary, as a lease.
    Pause,
    /// Its state goes out as bytes; the instance stays whole.
    Snapshot,
    /// The new code makes a new instance.
    Migrate,
    /// On the way back: the version before handles anew what came since the commit.
    Replay,
    /// On the way back: the instance before is taken as it was at the commit.
    Restore,
    /// The new instance takes over: the point of no return.
    Commit,
    /// The mailbox is read again.
    Resume,
}

use Step::{Check, Commit, Load, Migrate, Pause, Replay, Restore, Resume, Snapshot, Trial, Verify};

impl Step {
    /// The only legal sequence for a way of treating the state, with or without a trial of it.
    #[must_use]
    pub const fn sequence(state: StateMode, trials: Trials) -> &'static [Self] {
        match (state, trials) {
            (StateMode::Migrate, Trials::Skip) => &[Verify, Check, Load, Pause, Snapshot, Migrate, Commit, Resume],
            (StateMode::Migrate, _) => &[Verify, Check, Trial, Load, Pause, Snapshot, Migrate, Commit, Resume],
            // The old state is given up, so nothing is asked of code that may be unable to save it.
            (StateMode::Reset, Trials::Skip) => &[Verify, Check, Load, Pause, Migrate, Commit, Resume],
            (StateMode::Reset, _) => &[Verify, Check, Trial, Load, Pause, Migrate, Commit, Resume],
        }
    }

    /// As journals and reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verify => "verify",
            Check => "check",
            Trial => "trial",
            Load => "load",
            Pause => "pause",
            Snapshot => "snapshot",
            Migrate => "migrate",
            Replay => "replay",
            Restore => "restore",
            Commit => "commit",
            Resume => "resume",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
