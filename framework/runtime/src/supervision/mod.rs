//! Supervision: who restarts whom, how often, and what stops with what.
//!
//! [`core`] decides: a pure `(state, event) -> (state, actions)`, tested over random sequences of events. [`shell`]
//! carries out: a ractor actor on the control runtime, between cells that fail and the core that decides.

pub mod core;
pub mod shell;

pub use core::{ChildId, ChildSpec, Ending, Exit, Refused, Strategy};
pub use shell::{Deadlines, Overdue, Supervised, Supervision, Waits};
