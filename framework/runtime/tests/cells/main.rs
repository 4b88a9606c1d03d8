//! The runtime by its public API, on an actor whose state is the log of what it handled.
#![forbid(unsafe_code)]

mod bridge;
mod ending;
mod hanging;
mod moving;
mod supervision;
mod support;
