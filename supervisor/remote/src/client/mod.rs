//! The supervisor's side: starts a module's process, is sure who it is, and is a provider of its code.
//!
//! Nothing that a process says is believed without being looked at: who answers on the socket is the process that was
//! started (the kernel's word and a nonce), what it serves is what it was given (the digest), and every turn comes
//! back once and in its order. A process that breaks a rule, hangs or dies fails what it had in its hands, at once,
//! and is ended.

mod calls;
mod control;
mod fate;
mod http;
mod instance;
mod module;
mod process;
mod speech;
mod turns;

pub use fate::Fate;
pub use module::{Glance, Launcher, Module, ModuleSeen, Modules};
pub use process::{Launch, Limits, Process, Serves};

use std::io;
use std::time::Duration;
use teneral_contract::Digest;

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The program could not be started.
    #[error("{program} could not be started")]
    NotStarted {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the module ended before it was ready: {ended}")]
    Ended {
        /// How.
        ended: String,
    },
    /// It did not listen in time.
    #[error("the module does not listen after {timeout:?}")]
    NotReady {
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Somebody else answers.
    #[error("process {found} answers on the module's socket, process {started} was started")]
    Stranger {
        /// Who answers.
        found: i32,
        /// Who was started.
        started: i32,
    },
    /// It does not say what it was told to say again.
    #[error("the module does not know the nonce that it was started with")]
    Nonce,
    /// It serves something else.
    #[error("the module says that it serves {found}, it was started for {wanted}")]
    Digest {
        /// What it says.
        found: String,
        /// What it was given.
        wanted: Digest,
    },
    /// Its manifest cannot be read.
    #[error("the module's manifest cannot be read")]
    Manifest(#[source] serde_json::Error),
    /// It speaks no protocol that this supervisor speaks, or answers with an error.
    #[error("the module refuses: {0}")]
    Refused(String),
    /// Its socket.
    #[error("the module's socket")]
    Socket(#[source] io::Error),
}

impl ModuleError {
    /// Its stable code; `teneral explain CODE` says more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotStarted { .. } => "MOD-START",
            Self::Ended { .. } => "MOD-ENDED",
            Self::NotReady { .. } => "MOD-READY",
            Self::Stranger { .. } | Self::Nonce => "MOD-STRANGER",
            Self::Digest { .. } => "MOD-DIGEST",
            Self::Manifest(_) => "MOD-MANIFEST",
            Self::Refused(_) => "MOD-REFUSED",
            Self::Socket(_) => "MOD-SOCKET",
        }
    }
}
