//! The supervisor's side: starts a module's process, is sure who it is, and is a provider of its code.
//!
//! Nothing that a process says is believed without being looked at: who answers on the socket is the process that was
//! started (the kernel's word and a nonce), what it serves is what it was given (the digest), and every turn comes
//! back once and in its order. A process that breaks a rule, hangs or dies fails what it had in its hands, at once,
//! and is ended.

mod calls;
pub(crate) mod child;
mod control;
mod fate;
mod http;
mod instance;
mod life;
mod module;
mod process;
pub(crate) mod ready;
mod session;
mod speech;
mod turns;

pub use fate::Fate;
pub use module::{Glance, Launcher, Module, ModuleSeen, Modules};
pub use process::{Launch, Limits, Process, Serves, Start};
pub(crate) use session::ABSENT;
pub use session::Connect;

use crate::discover::Endpoint;
use crate::tls::{CertificateFault, IdentityError};
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
    /// What this side shows, or whom it believes, cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A host on another machine is not reached.
    #[error("{endpoint} is not reached")]
    Unreachable {
        /// Which.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a host shows is not believed.
    #[error("the certificate of {endpoint} is not accepted: {fault}")]
    Certificate {
        /// Whose.
        endpoint: Endpoint,
        /// What is wrong with it.
        fault: CertificateFault,
    },
    /// A host does not believe what this side shows.
    #[error("{endpoint} does not accept this supervisor's certificate: {why}")]
    NotBelieved {
        /// Which.
        endpoint: Endpoint,
        /// What it says.
        why: String,
    },
    /// A host does not speak TLS as this side does.
    #[error("no TLS connection to {endpoint}: {why}")]
    Tls {
        /// Which.
        endpoint: Endpoint,
        /// Why not.
        why: String,
    },
    /// A host has other artifacts.
    #[error("{endpoint} has no artifact {wanted}, it has {served}")]
    Absent {
        /// Which.
        endpoint: Endpoint,
        /// What was asked for.
        wanted: Digest,
        /// What it has.
        served: String,
    },
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
            Self::Identity(error) => error.code(),
            Self::Unreachable { .. } => "MOD-UNREACHABLE",
            Self::Certificate { fault, .. } => fault.code(),
            Self::NotBelieved { .. } => "MOD-CERT-REFUSED",
            Self::Tls { .. } => "MOD-TLS",
            Self::Absent { .. } => ABSENT,
        }
    }

    /// What to do about it, in one line, where it is about another machine.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Identity(error) => error.hint(),
            Self::Unreachable { .. } => "see that teneral host runs there, and that the port is open on the way to it",
            Self::Certificate { fault: CertificateFault::Time(_), .. } => {
                "give the host a new one: teneral cert issue host NAME --replace; and compare both clocks"
            }
            Self::Certificate { fault: CertificateFault::Authority, .. } => {
                "both sides need one authority: compare teneral cert show of remote.ca and of the host's --cert"
            }
            Self::Certificate { fault: CertificateFault::Name(_), .. } => {
                "issue the host one for the name in endpoints, or write a name there that it has"
            }
            Self::Certificate { .. } => "issue the host one: teneral cert issue host NAME",
            Self::NotBelieved { .. } => {
                "look at remote.cert with teneral cert show, and at the host's log; teneral cert issue supervisor NAME"
            }
            Self::Tls { .. } => "see what listens there: teneral host --listen does",
            Self::Absent { .. } => "copy the very file that was pushed here into the host's --artifacts directory",
            _ => return None,
        })
    }
}
