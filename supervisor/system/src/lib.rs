//! An actor system whose actors change their code while they live: what a service embeds.
//!
//! ```no_run
//! # async fn example() -> Result<(), teneral::SystemError> {
//! use teneral::{System, UpgradeOptions};
//!
//! let system = System::open("var/teneral")?;
//! system.push("libcounter_v1.so").await?;
//! system.push("libcounter_v2.so").await?;
//! # #[derive(serde::Serialize, serde::Deserialize, teneral::Wire)] struct Start { total: i64 }
//! system.start("counter/a", "1.0.0", Start { total: 0 }).await?;
//! let report = system.upgrade("counter/a", "2.0.0", UpgradeOptions::new()).await?;
//! assert!(report.ok(), "{report}");
//! # Ok(())
//! # }
//! ```
//!
//! This crate is wiring and nothing else: the runtime runs actors, the gate and the loader bring code, the store keeps
//! what outlives the process, upgrades move actors between versions; each is a port to the others, and they meet here.
//!
//! * [`System`]: open, push, start, tell, ask, upgrade, shut down
//! * [`options`]: where and within which bounds
//! * [`name`]: how callers name actors
//! * [`error`]: why not, one variant an act
//! * [`events`]: what happens, as a stream
//! * [`trusted`]: release files and signatures beside an artifact
//! * `defined`: what comes back when the host does
//! * [`fallen`]: who is down, and why
//! * `modules`: kinds that run in processes of their own
//! * `members`: addresses whose kind is spread over several of them
//! * `moves`: actors moved between versions
//! * `probations`: versions that are watched after their commit, and the ways back
//! * `rollouts`: two versions of a kind side by side
//! * `shelf`: artifacts, and who needs them
//! * `json`: actors spoken to by the names of their messages
//! * [`served`]: the control socket
//! * [`ingress`]: requests from outside that become asks
//! * `natives`: the host's own actors
//! * `library`: store, gate and loader behind the two ports that ask for code
#![forbid(unsafe_code)]

mod defined;
pub mod error;
pub mod events;
pub mod fallen;
pub mod ingress;
mod json;
mod library;
mod members;
mod modules;
mod moves;
pub mod name;
mod natives;
pub mod options;
mod probations;
mod rollouts;
mod scribe;
pub mod served;
mod shelf;
mod system;
pub mod trusted;

pub use defined::{CameBack, Defined, Stopped};
pub use error::{CODES, SystemError};
pub use modules::{CheckpointPolicy, Hosting, HostingError, ModuleInfo, ModuleLimits, Place, Remote, host};
pub use moves::Wish;
pub use name::{Target, ToAddr};
pub use options::{Admission, AfterProduction, Launch, Options};
pub use rollouts::{Rerouted, Routing};
pub use semver::Version;
pub use shelf::ImageUse;
pub use system::{ASK_TIMEOUT, System};
pub use teneral_contract as contract;
pub use teneral_contract::{Addr, AskError, Digest, Manifest, Message, Request, Shape, Wire, manifest};
pub use teneral_control::{api, trust};
pub use teneral_loader as loader;
pub use teneral_native as native;
pub use teneral_native::{FileAct, Grant, Grants, Native};
pub use teneral_native_api as native_api;
pub use teneral_remote::{balance, discover, host as hosts, spread, tls};
pub use teneral_rollout as rollout;
pub use teneral_runtime as runtime;
pub use teneral_runtime::{ActorInfo, ActorOptions, ActorRef, RuntimeConfig, Spawn};
pub use teneral_store as store;
pub use teneral_store::{Entry, Logged, Release, UpgradeId, digest_of};
pub use teneral_upgrade as upgrade;
pub use teneral_upgrade::{
    OnProbation, Options as UpgradeOptions, Plan, Probation, Report, Rollback, TrialProgram, Watch, WayBack,
};

/// Whether the host started this process to serve a module: whoever wants what its actors' code logs in its output
/// makes a subscriber before [`trial_hook`], which never returns there.
#[must_use]
pub fn is_module_process() -> bool {
    modules::is_asked()
}

/// Call it first thing in `main`, also in an `async` one: before arguments are read. In a process that the host starts
/// from this same program, to rehearse an upgrade or to serve a module, it does that process's work and never returns;
/// everywhere else it returns at once, and the host knows that it may start itself.
pub fn trial_hook() {
    modules::hook();
    teneral_upgrade::trial_hook();
}
