//! The runtime by its public API, on an actor whose state is the log of what it handled.
#![forbid(unsafe_code)]

mod bridge;
mod crashing;
mod ending;
mod far;
mod given_up;
mod hanging;
mod keeping;
mod moving;
mod probation;
mod replaying;
mod retiming;
mod supervision;
mod support;
mod timing;
mod unsent;
mod ways;
