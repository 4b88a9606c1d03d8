//! The embedded store: artifacts, journal, defaults.
//!
//! One directory, owned by one process at a time. What must outlive the host stands here and nowhere else: which
//! artifacts there are, which version new actors get, which digests are in quarantine, what every upgrade did. The
//! layout of this crate:
//!
//! * [`port`]: [`Store`], what the floors above use, and [`DiskFault`], how its tests break the disk
//! * [`audit`]: who had the host do what
//! * [`routes`]: which version an actor of a kind gets, where that is not simply its default
//! * [`record`]: what is stored, as plain data
//! * [`error`]: why not, one code a cause
//! * `embedded`: the port over redb and a directory; `blobs`, `db`, `dir`, `lock`, `disk`, `envelope` are its parts
//!
//! The directory holds `format` (who wrote it, checked first), `lock`, `teneral.redb` and `artifacts/<digest>`.
#![forbid(unsafe_code)]

pub mod audit;
mod blobs;
mod db;
mod dir;
mod disk;
mod embedded;
mod envelope;
pub mod error;
mod lock;
mod marks;
pub mod port;
pub mod record;
pub mod routes;

pub use audit::{AUDIT_ENTRIES_MAX, Audit, Audited, Ledger};
pub use embedded::{ARTIFACT_BYTES_MAX, EmbeddedStore, digest_of};
pub use error::{CODES, StoreError};
pub use lock::holder_of;
pub use marks::MarksLeft;
pub use port::{DiskFault, DiskOp, Faults, NoFaults, Pushed, Store};
pub use record::{
    ActorEnd, BackDone, Begin, Definition, End, Entry, Key, Lives, Logged, Move, ProbationOver, Quarantined, Release,
    SavedState, Signed, StepDone, StepResult, Term, UpgradeId,
};
pub use routes::Routes;
