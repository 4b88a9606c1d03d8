//! The trial: a process of its own does what the upgrade will do, on a copy of the actor's state, before anybody is
//! paused for it.
//!
//! What cannot be survived in a process (a segfault, an overflow, `abort`, `exit`, memory without end, a loop without
//! end) is there only a child's death, and the upgrade is refused. The idea of a rehearsal on a copy is Mvedsua's
//! (ASPLOS'19), that of going there and back TTST's (LISA'13). The layout:
//!
//! * `wire`: what host and trial process say to each other
//! * `child`: the trial process
//! * `program`: which program it runs, and [`trial_hook`], by which a program says that it can be its own
//! * `process`: the host's side of one process
//! * `rehearsals`: all rehearsals of one upgrade, in as few processes as can be
//! * `walk`: what a rehearsal does, wherever the code runs
//! * `alone`: the same for programs, which run in processes of their own

mod alone;
mod child;
mod process;
mod program;
mod rehearsals;
mod walk;
mod wire;

pub(crate) use alone::Alone;
pub use alone::{Tried, Untried};
pub(crate) use process::Going;
pub use program::{NoProgram, TrialProgram, trial_hook};
pub use rehearsals::Lent;
pub(crate) use rehearsals::{Rehearsal, Rehearsals};
pub use wire::{Back, Stage};
pub(crate) use wire::{Rehearse, Told};

use crate::error::Refused;
use crate::plan::Move;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use teneral_contract::Fingerprint;

/// Bounds of trial processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How long one rehearsal, or one library's load, may take.
    pub timeout: Duration,
    /// What it may allocate, in bytes.
    pub memory_bytes_max: u64,
    /// How many rehearsals one process may be asked for: for the bound of its processor time.
    pub rehearsals_max: u64,
}

impl Bounds {
    /// Processor time of one process in all, in seconds.
    #[must_use]
    pub fn cpu_seconds_max(&self) -> u64 {
        self.timeout.as_secs().saturating_add(1).saturating_mul(self.rehearsals_max)
    }
}

/// What a rehearsal told: in reports, and of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rehearsed {
    /// How long the live actor handled no message while the copy was taken.
    pub copy_us: u64,
    /// Size of the copy.
    pub state_bytes: usize,
    /// How long the way from the copy to a new instance took.
    pub migrate_us: u64,
    /// Size of the state as the new code writes it.
    pub new_state_bytes: usize,
    /// How long the actor will be paused, as far as the rehearsal shows: copy and migration.
    pub pause_us: u64,
    /// Whether the same copy gave the same bytes twice.
    pub same_twice: bool,
    /// What the way back to the old version gives.
    pub back: Back,
    /// Why the way back gives nothing, if it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_fails: Option<String>,
}

/// What a trial process is asked for a move; `args` is the shape of the start arguments, if the state is given up.
pub(crate) fn order(moved: &Move, args: Option<Fingerprint>, state_bytes_max: usize) -> Rehearse {
    Rehearse {
        to: moved.to.clone(),
        from_schema: moved.from.schema,
        args,
        ladder: moved.ladder.clone(),
        back: moved.back.clone(),
        state_bytes_max,
    }
}

/// How a trial process ended when it was not to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crash {
    /// What it was doing.
    pub stage: Stage,
    /// How it ended.
    pub how: How,
    /// The last line that it wrote.
    pub said: Option<String>,
}

/// How a trial process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By this signal.
    Signal(i32),
    /// By leaving, with this status.
    Exit(i32),
    /// It was ended at its deadline.
    Hung(Duration),
    /// It called itself too often.
    Overflow,
    /// It wanted more memory than this, in bytes.
    Memory(u64),
    /// Nobody can say.
    Gone,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Self::Exit(code) => write!(f, "left with exit status {code}"),
            Self::Hung(timeout) => write!(f, "was not done after {timeout:?}"),
            Self::Overflow => f.write_str("overflowed its stack"),
            Self::Memory(bytes) => write!(f, "wanted more than the {} MiB of memory that it may have", bytes >> 20),
            Self::Gone => f.write_str("is gone"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the trial process {} while {}", self.how, self.stage.doing())?;
        match &self.said {
            Some(said) => write!(f, "; its last words: {said}"),
            None => Ok(()),
        }
    }
}

/// Signals by which code ends its process, by the names that people know.
fn signal_name(signal: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    let known = [
        (Signal::SEGV, "SIGSEGV (a segmentation fault)"),
        (Signal::ABORT, "SIGABRT (an abort)"),
        (Signal::BUS, "SIGBUS"),
        (Signal::ILL, "SIGILL (an illegal instruction)"),
        (Signal::FPE, "SIGFPE"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::KILL, "SIGKILL"),
        (Signal::XCPU, "SIGXCPU (over its processor time)"),
        (Signal::XFSZ, "SIGXFSZ (over its file size)"),
        (Signal::SYS, "SIGSYS"),
        (Signal::TERM, "SIGTERM"),
    ];
    known.iter().find(|(known, _)| known.as_raw() == signal).map(|(_, name)| *name)
}

/// Why a rehearsal could not be had, or what it showed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    /// No program, or none that starts.
    #[error("no trial process: {0}")]
    NotStarted(String),
    /// So many trial processes died in this upgrade that no other is started.
    #[error("not tried: {0} trial processes died of this upgrade's code")]
    GivenUp(usize),
    /// The gate, the loader or the kernel said no there.
    #[error("the trial process refused it: {0}")]
    Refused(#[source] Refused),
    /// It ended when it was not to.
    #[error("{0}")]
    Crashed(Crash),
    /// It said what nobody expects there.
    #[error("the trial process broke its protocol: {0}")]
    Babbled(String),
    /// Nobody wants to know any more.
    #[error("the trial was called off")]
    CalledOff,
}

impl From<NoProgram> for TrialError {
    fn from(none: NoProgram) -> Self {
        Self::NotStarted(none.to_string())
    }
}

impl TrialError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotStarted(_) => "UPG-TRIAL-START",
            Self::GivenUp(_) => "UPG-TRIAL-UNTRIED",
            Self::Refused(refused) => &refused.code,
            Self::Babbled(_) => "UPG-TRIAL-PROTOCOL",
            Self::CalledOff => "UPG-CANCELLED",
            Self::Crashed(Crash { how: How::Hung(_), .. }) => "UPG-TRIAL-HANG",
            Self::Crashed(Crash { how: How::Memory(_), .. }) => "UPG-TRIAL-MEMORY",
            Self::Crashed(_) => "UPG-TRIAL-CRASH",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::NotStarted(_) => {
                "call teneral::trial_hook() first thing in main, or put this version's teneral in PATH"
            }
            Self::GivenUp(_) => "mend the version; to try those who were not: upgrade fewer actors at once",
            Self::Refused(refused) => &refused.hint,
            Self::Babbled(_) => {
                "the code writes to its standard input, which it must not; or, of a program, look at docs/modules.md"
            }
            Self::CalledOff => "apply the plan again when it suits",
            Self::Crashed(Crash { how: How::Hung(_), .. }) => {
                "mend what does not end, or allow a longer --trial-timeout"
            }
            Self::Crashed(_) => {
                "mend the version; --keep-trial keeps the state and what the code wrote, for its author"
            }
        }
    }
}
