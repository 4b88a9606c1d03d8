//! The control API: what an operator may ask of a host, as HTTP and JSON over a unix socket (DESIGN D18).
//!
//! * [`wire`]: what is said, by both sides; `actors`: of actors
//! * [`json`]: JSON without doubled fields
//! * `shelf`, `probation`, `modules`, `route`: the parts of [`wire`] that are about artifacts, about versions on
//!   probation, about those that run in processes of their own, and about routes
//! * [`error`]: the one shape of an error
//! * [`event`]: what watchers are told
//! * [`socket`]: who is listened to, and within which bounds
//! * [`caller`]: who that is; [`rate`]: how often they may ask
//! * [`http`]: a listener for everybody, who may ask nothing of this
//! * `stall`: how long they may take nothing of an answer
//! * [`client`]: the other end; [`mod@watch`]: the same for what happens
//!
//! The host's handlers are elsewhere: they know a system, and this crate knows none.

mod actors;
pub mod caller;
pub mod client;
pub mod error;
pub mod event;
pub mod http;
pub mod json;
mod modules;
mod probation;
pub mod rate;
mod route;
mod shelf;
pub mod socket;
mod stall;
pub mod watch;
pub mod wire;

pub use caller::{Caller, Watching};
pub use client::Client;
pub use error::ApiError;
pub use http::{HttpListener, ListenError};
pub use socket::{Socket, SocketError};
pub use watch::{Told, Watch};

use std::time::Duration;

/// The socket's name in a host's directory.
pub const SOCKET: &str = "control.sock";

/// Largest body of a request that is no artifact and no plan.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Largest body that brings a plan: one of some ten thousand moves.
pub const PLAN_BYTES_MAX: usize = 16 << 20;

/// Connections at a time; one more is told so and closed.
pub const CONNECTIONS_MAX: usize = 64;

/// Watchers at a time, among the connections; fewer where there are fewer than 64 of those: a quarter of them.
pub const WATCHERS_MAX: usize = 16;

/// How often a watcher is told something, if only that the host is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// The path that always answers, and is not charged to what else its caller asks.
pub const HEALTH: &str = "/v1/health";

/// The header that says why something is to change, percent-encoded UTF-8.
pub const REASON_HEADER: &str = "teneral-reason";
