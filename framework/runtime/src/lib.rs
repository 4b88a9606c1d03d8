//! Cells, mailboxes, addresses, supervision.
#![forbid(unsafe_code)]

pub mod actor_ref;
mod ask;
mod block;
pub mod bridge;
mod cell;
pub mod clock;
pub mod config;
pub mod dead_letters;
mod due;
pub mod error;
pub mod events;
pub mod later;
pub mod lease;
mod outgoing;
pub mod ports;
pub mod runtime;
#[cfg(test)]
mod seed;
mod spawn;
mod speaking;
pub mod supervision;
mod sync;
pub mod timer;

pub use actor_ref::ActorRef;
pub use clock::{Clock, ManualClock, Moment, SystemClock};
pub use config::{
    ActorInfo, ActorOptions, Generation, Intensity, Parked, Place, Restart, RestartState, RuntimeConfig, Saved, Spawn,
    Start, StartArgs, StateRead, Status,
};
pub use dead_letters::{DeadKind, DeadLetter, DeadLetters, DeadReason};
pub use error::{LeaseLost, PauseRefused, StartError, StateError, StepError, StopError, TellError, TryTellError};
pub use events::{CrashReport, Event, EventStream, Events, EventsError, Observer, Seen, What};
pub use later::Later;
pub use lease::{Kept, LeaseRequest, LeaseStep, Lost, PauseRequest, Quiesced, Resumed};
pub use outgoing::Outgoing;
pub use runtime::{Providers, Quarantined, Runtime};
pub use speaking::{Speaker, speaking};
