//! For tests of actors: an actor linked in as if it were a library, and its effects captured.
//!
//! * [`run`]: one message into an actor, and what it wanted done, as values
//! * [`StaticProvider`]: an actor as the runtime's `Provider`, without a library and without `unsafe`
#![forbid(unsafe_code)]

pub mod captured;
pub mod static_provider;

pub use captured::{Captured, Reply, run, run_started, run_with};
pub use static_provider::StaticProvider;
pub use teneral_contract as contract;
