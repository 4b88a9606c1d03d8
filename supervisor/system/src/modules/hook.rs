//! The process of a module: binds its hands, takes the artifact, looks at it, and loads and serves it, or becomes it.
//!
//! What goes wrong before it serves is its last line of output, which the host reads.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use teneral_loader::{
    Confinement, Gate, Loader, LoaderLimits, Policy, Release, UnsignedRecord, confine, confine_program,
};
use teneral_remote::serve::Module;
use teneral_remote::{DIGEST, LISTEN};

/// The word by which a program knows that it is a module's process.
const ASKED: &str = "--teneral-module";

/// The word by which it knows that it is to become the program of one.
const ASKED_PROGRAM: &str = "--teneral-program";

/// Where a program that names an interpreter by `env` finds it, and what it starts by name.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Longest order: a policy with all that is in quarantine.
const ORDER_BYTES_MAX: u64 = 16 << 20;

/// Room besides copies of the library.
const FILE_BYTES_BESIDES: u64 = 1 << 20;

/// One image a process.
static LOADER: Loader = Loader::new();

/// What the host tells before the artifact's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) release: Release,
    /// What the host's own gate goes by.
    pub(super) policy: Policy,
    pub(super) threads: usize,
}

impl Order {
    /// All that the process reads: the length of the order in eight bytes, the order as JSON, the artifact.
    pub(super) fn with(&self, artifact: &[u8]) -> io::Result<Vec<u8>> {
        let order = serde_json::to_vec(self)?;
        Ok([&(order.len() as u64).to_le_bytes(), &order[..], artifact].concat())
    }

    fn read(mut from: impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut length = [0; 8];
        from.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > ORDER_BYTES_MAX {
            return Err(io::Error::other(format!("an order of {length} bytes is over {ORDER_BYTES_MAX}")));
        }
        let (mut order, mut artifact) = (Vec::new(), Vec::new());
        from.by_ref().take(length).read_to_end(&mut order)?;
        from.read_to_end(&mut artifact)?;
        Ok((serde_json::from_slice(&order)?, artifact))
    }
}

/// What a module's process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    Library,
    Program,
}

/// The words that a module's process is started with.
pub(super) fn words(
    serves: Serves,
    (memory_bytes_max, cpu_seconds_max): (u64, u64),
    file_bytes_max: u64,
) -> Vec<OsString> {
    let limits = Confinement {
        host: i32::try_from(std::process::id()).unwrap_or(0),
        memory_bytes_max,
        cpu_seconds_max,
        file_bytes_max: file_bytes_max.saturating_add(FILE_BYTES_BESIDES),
    };
    limits.words(match serves {
        Serves::Library => ASKED,
        Serves::Program => ASKED_PROGRAM,
    })
}

/// Whether this is a module's process.
pub(crate) fn is_asked() -> bool {
    Confinement::is_asked(ASKED) || Confinement::is_asked(ASKED_PROGRAM)
}

/// In a module's process, does its work and never returns.
pub(crate) fn hook() {
    if !is_asked() {
        return;
    }
    let Some(limits) = Confinement::of_words() else {
        eprintln!("{ASKED} is said by a host to a process of its own");
        exit(2);
    };
    let done = if Confinement::is_asked(ASKED_PROGRAM) {
        confine_program(&limits).map_err(io::Error::other).and_then(|()| become_program())
    } else {
        confine(&limits).map_err(io::Error::other).and_then(|()| serve())
    };
    match done {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("{}", teneral_upgrade::chain(&error));
            exit(1);
        }
    }
}

fn serve() -> io::Result<()> {
    let (Order { release, policy, threads }, artifact) = Order::read(io::stdin().lock())?;
    let listen = std::env::var(LISTEN).map_err(io::Error::other)?;
    let path = listen.strip_prefix("unix:").ok_or_else(|| io::Error::other(format!("{LISTEN} is no unix: path")))?;
    let verified = Gate { policy, trust: UnsignedRecord }.verify_bytes(artifact, Some(&release));
    let limits = LoaderLimits::standard();
    let image = LOADER.load(verified.map_err(io::Error::other)?, limits).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        Module::new(Arc::new(image), threads)?.serve(listener, std::future::pending()).await
    })
}

/// Becomes the program of the artifact: this process, with the bounds and the number that it has.
fn become_program() -> io::Result<()> {
    let (Order { release, policy, .. }, artifact) = Order::read(io::stdin().lock())?;
    let listen = std::env::var_os(LISTEN).ok_or_else(|| io::Error::other(format!("{LISTEN} is not there")))?;
    let verified = Gate { policy, trust: UnsignedRecord }.verify_bytes(artifact, Some(&release));
    let program = verified.map_err(io::Error::other)?.program()?;
    let program = program.ok_or_else(|| io::Error::other("the artifact is a library"))?;
    // By its number: an interpreter opens it by that name itself.
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.arg0(format!("{} {}", release.kind, release.version)).stdin(Stdio::null()).env_clear();
    command.env(LISTEN, listen).env(DIGEST, release.digest.to_string()).env("PATH", PATH);
    let error = command.exec();
    Err(io::Error::new(error.kind(), format!("the program does not start: {error}; is its interpreter there?")))
}
