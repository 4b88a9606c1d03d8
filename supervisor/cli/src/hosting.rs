//! `teneral host`: this machine's artifacts, run for supervisors on others.

use crate::config::time_of;
use crate::failure::Failure;
use crate::serve::{Signals, machine};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use teneral::discover::Endpoint;
use teneral::hosts::{HostLimits, Offered};
use teneral::loader::Policy;
use teneral::tls::{Identity, Pings};
use teneral::{HostingError, ModuleLimits, TrialProgram};

/// What is hosted, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Hosting {
    /// Where to listen: tcp:address:port; of port 0 the log says which it is
    #[arg(long, value_name = "ENDPOINT")]
    listen: String,
    /// The authorities that vouch for supervisors, in PEM
    #[arg(long, value_name = "FILE")]
    tls_ca: PathBuf,
    /// This host's certificate, in PEM; it and its key are read for each connection
    #[arg(long, value_name = "FILE")]
    tls_cert: PathBuf,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
    /// An artifact that it has; may be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "artifacts")]
    artifact: Vec<PathBuf>,
    /// A directory of artifacts that it has; what is put there later is had then
    #[arg(long, value_name = "DIR")]
    artifacts: Vec<PathBuf>,
    /// Where its processes' sockets lie; made for this user alone
    #[arg(long, value_name = "DIR", default_value = ".teneral-host")]
    dir: PathBuf,
    /// Processes at a time
    #[arg(long, value_name = "COUNT", default_value_t = HostLimits::standard().sessions_max)]
    sessions_max: usize,
    /// Threads that take turns in one process
    #[arg(long, value_name = "COUNT", default_value_t = ModuleLimits::standard().threads)]
    threads: usize,
    /// After so long without a word a supervisor is pinged
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time_of)]
    ping_every: Duration,
    /// Without an answer for so long its processes are ended
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time_of)]
    ping_timeout: Duration,
}

/// Hosts until a signal.
///
/// # Errors
/// [`Failure`]: the address cannot be had, or the certificates or artifacts cannot be used.
pub(crate) fn run(options: &Hosting) -> Result<ExitCode, Failure> {
    let listen = address(&options.listen)?;
    let hosting = teneral::Hosting {
        listen,
        identity: Identity {
            ca: options.tls_ca.clone(),
            certificate: options.tls_cert.clone(),
            key: options.tls_key.clone(),
        },
        artifacts: [&options.artifact[..], &options.artifacts].concat(),
        dir: options.dir.join("modules"),
        modules: ModuleLimits { threads: options.threads.max(1), ..ModuleLimits::standard() },
        gate: Policy::standard(),
        limits: HostLimits { sessions_max: options.sessions_max, ..HostLimits::standard() },
        pings: Pings { every: options.ping_every, timeout: options.ping_timeout },
        program: TrialProgram::ByRule,
    };
    // One thread: its processes end with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| machine(&error))?.block_on(async {
        let mut signals = Signals::new()?;
        let done = teneral::host(hosting, ready, signals.next()).await;
        done.map_err(|error| failed(&error))?;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}

/// The address of an endpoint, which may have the port 0.
fn address(listen: &str) -> Result<String, Failure> {
    let plain = listen.replacen("tcp://", "tcp:", 1);
    // Of port 0 the machine chooses one.
    let any = plain.strip_suffix(":0").map_or_else(|| plain.clone(), |host| format!("{host}:1"));
    let parsed = any.parse::<Endpoint>().map_err(|error| {
        Failure::new(error.code(), &error, "nothing is hosted", "listen on tcp:address:port").usage()
    })?;
    match parsed.host_port() {
        Some(_) => Ok(plain.trim_start_matches("tcp:").to_owned()),
        None => {
            let hint = "supervisors of this machine need no host: place = \"process\"; listen on tcp:address:port";
            let what = format!("{listen} is on this machine alone");
            Err(Failure::of_many("MOD-ENDPOINT", what, Vec::new(), "nothing is hosted", hint).usage())
        }
    }
}

fn ready(at: std::net::SocketAddr, offered: &[Offered]) {
    let pid = std::process::id();
    for Offered { kind, version, digest } in offered {
        tracing::info!(kind, %version, sha256 = %digest, "an artifact is here");
    }
    tracing::info!(listen = %format!("tcp:{at}"), pid, artifacts = offered.len(), "ready");
}

fn failed(error: &HostingError) -> Failure {
    Failure::new(error.code(), error, "nothing is hosted", error.hint())
}
