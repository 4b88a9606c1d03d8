//! Plans and transactions of upgrades.
//!
//! An upgrade is data before it is done. [`plan()`] looks at a snapshot of the actors and of the manifests and says,
//! for every named actor, which steps will run and by which ladder its state climbs; it touches nobody. [`Upgrades`]
//! runs those steps and no others: perform a step, keep its undo, on failure undo in reverse. Everything slow stands
//! before the pause, and the old instance is whole until the commit. The layout:
//!
//! * [`request`]: what an operator asks for
//! * [`snapshot`]: what a plan is made from, and [`Artifacts`], the port to libraries on disk
//! * [`mod@plan`]: what will be done, or why not; `ladder` finds the way between schemas, `table` shows it to people,
//!   `after` what is possible once it is done
//! * [`upgrades`]: who runs it; `conduct` is one upgrade, `transaction` one actor's loop, `lanes` the threads,
//!   `journal` the record, `told` what followers see of it
//! * [`trial`]: all of it on a copy, in a process of its own; `rehearse` says which copy and what it must show,
//!   `remains` keeps what a failed one was about, `climb` is the walk that live upgrade and trial share
//! * [`probation`]: who is watched after the commit, and the ways back
//! * [`report`]: what came of it, for every actor that was named
//! * [`error`]: why not, one code a cause
#![forbid(unsafe_code)]

mod after;
mod claim;
mod climb;
mod codes;
mod conduct;
pub mod error;
mod journal;
mod ladder;
mod lanes;
mod legal;
pub mod plan;
mod prepare;
pub mod probation;
mod rehearse;
mod remains;
pub mod report;
pub mod request;
mod shared;
pub mod snapshot;
pub mod step;
mod table;
mod told;
mod transaction;
pub mod trial;
pub mod upgrades;
mod waiting;

pub use error::{CODES, Refused, UpgradeError, chain};
pub use plan::{Direction, Hop, Move, Pathless, Plan, REQUEST_BYTES_MAX, ReleaseRef, Unchanged, plan};
pub use probation::{
    BackError, Down, Held, OnProbation, Owed, Phase, Probation, Rollback, TakenBack, Turns, Watch, WayBack, moved_by,
};
pub use rehearse::TrialConfig;
pub use report::{ActorReport, Failure, Outcome, Record, Report, TrialOutcome, Trialled, WentBack};
pub use request::{
    Downgrades, Lossy, Options, PathlessPolicy, Request, StateMode, TrialRemains, Trials, Unstable, Wanted,
};
pub use snapshot::{Artifact, Artifacts, Lend, Released, Snapshot, Subject};
pub use step::Step;
pub use teneral_contract::nearest;
pub use teneral_store::UpgradeId;
pub use trial::{
    Back, Bounds as TrialBounds, How, Lent, Rehearsed, TrialError, TrialProgram, Tried, Untried, trial_hook,
};
pub use upgrades::{Outcomes, Running, UpgradeConfig, Upgrades};
