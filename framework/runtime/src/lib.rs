//! Cells, mailboxes, addresses, supervision.
#![forbid(unsafe_code)]

pub mod actor_ref;
mod again;
mod ask;
mod block;
pub mod bridge;
mod cell;
mod checkpoint;
pub mod clock;
pub mod config;
pub mod dead_letters;
mod due;
pub mod error;
pub mod events;
mod figures;
pub mod later;
pub mod lease;
mod outgoing;
pub mod ports;
pub mod probation;
mod reading;
pub mod remote;
pub mod rollback;
pub mod runtime;
#[cfg(test)]
mod seed;
mod spawn;
mod speaking;
pub mod supervision;
mod sync;
pub mod timer;
mod totals;

pub use actor_ref::ActorRef;
pub use again::Begin;
pub use checkpoint::{CheckpointSeen, NotReplayed, Recovered};
pub use clock::{Clock, ManualClock, Moment, SystemClock};
pub use config::{
    ActorInfo, ActorOptions, Copied, Generation, Intensity, Parked, Place, Restart, RestartState, RuntimeConfig, Saved,
    Spawn, Start, StartArgs, StateRead, Status,
};
pub use dead_letters::{DeadKind, DeadLetter, DeadLetters, DeadReason};
pub use error::{
    CopyError, LeaseLost, PauseRefused, StartError, StateError, StepError, StopError, TellError, TryTellError,
};
pub use events::{CrashReport, Event, EventStream, Events, EventsError, Observer, Seen, What};
pub use figures::Figures;
pub use later::Later;
pub use lease::{Begun, Crashed, Kept, LeaseRequest, LeaseStep, Lost, PauseRequest, Quiesced, Resumed};
pub use outgoing::Outgoing;
pub use probation::{NoReplay, RecordSeen, Recording};
pub use rollback::{HeldEffect, Recorded, ReplayError, Replayed, Tally};
pub use runtime::{Providers, Quarantined, Runtime};
pub use speaking::{Speaker, speaking};
pub use totals::Total;
