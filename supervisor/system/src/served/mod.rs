//! The host's end of the control socket: what an operator asks for, done by the system of this process.
//!
//! * `routes`: which path is which act
//! * `phase`: whether the host takes orders
//! * `care`: what an operator does when something is off
//! * `upgrades`, `probations`, `rollouts`, `held`, `keys`, `letters`, `shelf`: those acts, and what the store holds
//! * `metrics`: what happens, as numbers
//! * `watched`: what happens, as a stream
//! * `audited`: who asked for what, and what came of it
//! * `openapi`: all of it as a document
//! * `asked`: requests read, within their bounds
//! * `refused`: this system's errors in the one shape of the socket

mod asked;
mod audited;
mod care;
mod held;
mod keys;
mod letters;
mod marks;
mod metrics;
mod modules;
mod openapi;
mod phase;
mod probations;
mod refused;
mod rollouts;
mod routes;
mod shelf;
mod unwell;
mod upgrades;
mod watched;

use crate::System;
pub(crate) use asked::whole;
use jiff::Timestamp;
pub use openapi::document;
pub use phase::Phase;
pub(crate) use phase::Stage;
use std::convert::Infallible;
use std::path::Path;
pub use teneral_control::api::{Socket, SocketError};

/// A time in nanoseconds since the Unix epoch, as the socket writes it.
pub(crate) fn timestamp(wall_ns: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(wall_ns)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A time in microseconds since the Unix epoch, as the store has it. `None`: no calendar has it.
pub(crate) fn moment(unix_us: u64) -> Option<Timestamp> {
    i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok())
}

impl System {
    /// The control API of this system, to be served elsewhere, or under another router. It asks nobody who they are:
    /// whoever reaches it can load code.
    pub fn routes(&self) -> axum::Router {
        self.keep_events();
        routes::of(self.clone())
    }

    /// Serves the control API on a socket until the future is dropped; what was asked for by then goes on to its end.
    ///
    /// `dir` is the directory that the system was opened in: nobody else has it open, so a socket that lies there was
    /// left by a process that is no more.
    ///
    /// # Errors
    /// [`SocketError`]: it cannot be had.
    pub async fn serve(&self, dir: impl AsRef<Path>) -> Result<Infallible, SocketError> {
        Ok(Socket::listen(dir.as_ref())?.serve(self.routes()).await)
    }
}
