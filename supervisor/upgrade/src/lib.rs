//! Plans and transactions of upgrades.
//!
//! An upgrade is data before it is done. [`plan()`] looks at a snapshot of the actors and of the manifests and says,
//! for every named actor, which steps will run and by which ladder its state climbs; it touches nobody. [`Upgrades`]
//! runs those steps and no others: perform a step, keep its undo, on failure undo in reverse. Everything slow stands
//! before the pause, and the old instance is whole until the commit. The layout:
//!
//! * [`request`]: what an operator asks for
//! * [`snapshot`]: what a plan is made from, and [`Artifacts`], the port to libraries on disk
//! * [`mod@plan`]: what will be done, or why not; `ladder` finds the way between schemas, `table` shows it to people
//! * [`upgrades`]: who runs it; `conduct` is one upgrade, `transaction` one actor's loop, `lanes` the threads,
//!   `journal` the record, `told` what followers see of it
//! * [`report`]: what came of it, for every actor that was named
//! * [`error`]: why not, one code a cause
#![forbid(unsafe_code)]

mod conduct;
pub mod error;
mod journal;
mod ladder;
mod lanes;
pub mod plan;
pub mod report;
pub mod request;
pub mod snapshot;
pub mod step;
mod table;
mod told;
mod transaction;
pub mod upgrades;

pub use error::{CODES, Refused, UpgradeError, chain};
pub use plan::{Direction, Hop, Move, Pathless, Plan, REQUEST_BYTES_MAX, ReleaseRef, Unchanged, plan};
pub use report::{ActorReport, Failure, Outcome, Record, Report};
pub use request::{Downgrades, Options, PathlessPolicy, Request, StateMode, Wanted};
pub use snapshot::{Artifact, Artifacts, Released, Snapshot, Subject};
pub use step::Step;
pub use teneral_contract::nearest;
pub use teneral_store::UpgradeId;
pub use upgrades::{Running, UpgradeConfig, Upgrades};
