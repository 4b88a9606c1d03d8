//! The control API: what an operator may ask of a host, as HTTP and JSON over a unix socket (DESIGN D18).
//!
//! * [`wire`]: what is said, by both sides
//! * [`json`]: JSON without doubled fields
//! * [`error`]: the one shape of an error
//! * [`socket`]: who is listened to, and within which bounds
//! * [`client`]: the other end
//!
//! The host's handlers are elsewhere: they know a system, and this crate knows none.

pub mod client;
pub mod error;
pub mod json;
pub mod socket;
pub mod wire;

pub use client::Client;
pub use error::ApiError;
pub use socket::{Socket, SocketError};

/// The socket's name in a host's directory.
pub const SOCKET: &str = "control.sock";

/// Largest body of a request that is no artifact.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Connections at a time; one more is told so and closed.
pub const CONNECTIONS_MAX: usize = 64;
