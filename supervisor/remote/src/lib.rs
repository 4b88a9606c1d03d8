//! Modules in processes of their own: the protocol, the server that serves any provider, and the client that makes a
//! provider of a process.
//!
//! To a cell an instance there is an instance. The supervisor keeps mailbox, timers and calls; what turns did comes
//! back and is released here, so that every promise about actors holds for those too (`teneral_runtime::remote`).
//!
//! * `proto/teneral/module/v1/module.proto` is the contract; [`proto`] is what is made of it
//! * [`serve`] answers it, for a provider that was loaded in this process
//! * [`client`] asks: [`client::Process`] is a program that was started and is known to be that one;
//!   [`client::Module`] is the process that serves now and the next one, and a provider
//! * [`host`] serves modules to supervisors on other machines, and [`tls`] is the only way to it
//! * [`discover`] says where endpoints are
//! * [`balance`] says which of several endpoints gets a piece of work
//! * [`spread`] puts both together: a kind over several processes behind one address
#![forbid(unsafe_code)]

pub mod balance;
pub mod client;
mod convert;
pub mod discover;
pub mod host;
mod queue;
pub mod serve;
pub mod spread;
pub mod tls;

/// What is made of the protocol.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    clippy::nursery,
    reason = "made by tonic-prost-build; the .proto says it"
)]
pub mod proto {
    tonic::include_proto!("teneral.module.v1");
}

/// What is made of the protocol of hosts.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    clippy::nursery,
    reason = "made by tonic-prost-build; the .proto says it"
)]
pub mod host_proto {
    tonic::include_proto!("teneral.host.v1");
}

/// The protocols that this version speaks: from, to.
pub const PROTOCOLS: (u32, u32) = (1, 1);

/// The same of the protocol of hosts.
pub const HOST_PROTOCOLS: (u32, u32) = (1, 1);

/// Names the session of a call, in its metadata.
pub(crate) const SESSION: &str = "teneral-session";

/// Where a module listens, in its environment.
pub const LISTEN: &str = "TENERAL_MODULE_LISTEN";

/// SHA-256 of the artifact that a program was started for, in its environment: it says that again.
pub const DIGEST: &str = "TENERAL_MODULE_DIGEST";

/// Most turns and done turns of one frame: what is ready beyond that goes with the next.
pub(crate) const FRAME_TURNS_MAX: usize = 256;

/// A frame is closed when it has so many bytes.
pub(crate) const FRAME_BYTES: usize = 64 << 10;

/// Largest message that either end takes, in bytes: a state, of any size that a snapshot may have.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 30;
