//! `teneral host`: the artifacts of this machine, served to supervisors on others.
//!
//! Which code runs here is up to whoever puts files here: a supervisor names an artifact by its digest, and brings
//! none. So a certificate that was stolen runs nothing that is not here already, and an upgrade begins with a copy.

use super::{ModuleLimits, Processes};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::future::Future;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use teneral_contract::Digest;
use teneral_loader::{self as loader, Gate, Policy, Release, UnsignedRecord};
use teneral_remote::client::{Launch, ModuleError};
use teneral_remote::host::{Host, HostLimits, Offered, Shelf};
use teneral_remote::tls::{Identity, Pings};
use teneral_store::digest_of;
use teneral_upgrade::TrialProgram;
use tokio::net::TcpListener;

/// Most files of a directory that are looked at.
const FILES_MAX: usize = 4096;

/// What a host of modules is told.
#[derive(Debug, Clone)]
pub struct Hosting {
    /// Where it listens: an address and a port.
    pub listen: String,
    /// What it shows, and by whom supervisors must be vouched for.
    pub identity: Identity,
    /// The artifacts that it has: files, and directories of files. They are read for each session.
    pub artifacts: Vec<PathBuf>,
    /// Where its processes' sockets lie: made for this user alone.
    pub dir: PathBuf,
    /// The bounds of its processes.
    pub modules: ModuleLimits,
    /// What its gate goes by.
    pub gate: Policy,
    /// How many it serves.
    pub limits: HostLimits,
    /// How it is found out that a supervisor is silently gone.
    pub pings: Pings,
    /// Which program a process is: see [`TrialProgram`].
    pub program: TrialProgram,
}

/// Why nothing is hosted.
#[derive(Debug, thiserror::Error)]
pub enum HostingError {
    /// The address cannot be had.
    #[error("{listen} cannot be listened on")]
    Listen {
        /// Which.
        listen: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory, or an artifact, cannot be used.
    #[error("{} cannot be used", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its certificates cannot be used, or serving ended.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

impl HostingError {
    /// Its stable code; `teneral explain CODE` says more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "MOD-LISTEN",
            Self::Path { .. } => "MOD-SHELF",
            Self::Module(error) => error.code(),
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "name an address of this machine and a free port, as in tcp:0.0.0.0:7443",
            Self::Path { .. } => "look at the path and at its permissions",
            Self::Module(error) => error.hint().unwrap_or("look at its cause"),
        }
    }
}

/// Hosts modules until the future ends. `ready` is told where it listens, and what it has. To be called within a tokio
/// runtime of one thread: its processes end with that thread.
///
/// # Errors
/// [`HostingError`].
pub async fn host(
    hosting: Hosting,
    ready: impl FnOnce(SocketAddr, &[Offered]),
    until: impl Future<Output = ()>,
) -> Result<(), HostingError> {
    let Hosting { listen, identity, artifacts, dir, modules, gate, limits, pings, program } = hosting;
    identity.check().map_err(ModuleError::from)?;
    for path in &artifacts {
        fs::metadata(path).map_err(|source| HostingError::Path { path: path.clone(), source })?;
    }
    // A process of it is somewhere else.
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|source| HostingError::Path { path: dir.clone(), source })?;
    let nothing = (BTreeMap::new(), BTreeMap::new(), None);
    let processes = Processes::new(nothing, BTreeMap::new(), (modules, 0), program, dir);
    let shelf = Arc::new(Files { paths: artifacts, processes, policy: gate, known: Mutex::default() });
    let unheard = |source| HostingError::Listen { listen: listen.clone(), source };
    let listener = TcpListener::bind(&listen).await.map_err(unheard)?;
    ready(listener.local_addr().map_err(unheard)?, &shelf.offered());
    Ok(Host::new(shelf, identity, limits, pings).serve(listener, until).await?)
}

/// Artifacts as files.
struct Files {
    paths: Vec<PathBuf>,
    processes: Processes,
    policy: Policy,
    known: Mutex<BTreeMap<Stamp, Option<Offered>>>,
}

/// A file as it was when it was read: its path, its number, its size, when it was changed.
type Stamp = (PathBuf, u64, u64, (i64, i64));

impl Files {
    /// All that there is, with its file.
    fn all(&self) -> Vec<(PathBuf, Offered)> {
        let mut files = Vec::new();
        for path in &self.paths {
            match fs::read_dir(path) {
                Ok(entries) => files.extend(entries.take(FILES_MAX).flatten().map(|entry| entry.path())),
                Err(_) => files.push(path.clone()),
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = BTreeMap::new();
        let mut offered = Vec::new();
        for path in files {
            let Ok(file) = fs::metadata(&path) else { continue };
            if !file.is_file() || file.len() > self.policy.bytes_max {
                continue;
            }
            let stamp = (path.clone(), file.ino(), file.len(), (file.mtime(), file.mtime_nsec()));
            let found = known.remove(&stamp).unwrap_or_else(|| self.bytes(&path).ok().and_then(|bytes| of(&bytes)));
            offered.extend(found.clone().map(|found| (path, found)));
            read.insert(stamp, found);
        }
        *known = read;
        offered
    }

    fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(self.policy.bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn started(&self, path: &Path, offered: &Offered, output: File) -> Result<Launch, ModuleError> {
        let bytes = self.bytes(path).map_err(ModuleError::Socket)?;
        let release = Release { kind: offered.kind.clone(), version: offered.version.clone(), digest: offered.digest };
        let gate = Gate { policy: self.policy.clone(), trust: UnsignedRecord };
        let verified = gate.verify_bytes(bytes, Some(&release));
        let verified = verified.map_err(|error| ModuleError::Refused(format!("[{}] {error}", error.code())))?;
        let again = self.processes.again(&verified, &self.policy, PathBuf::new());
        let again = again.map_err(|refused| ModuleError::Refused(format!("[{}] {}", refused.code, refused.cause)))?;
        again.launch_into(output)
    }
}

/// What a file is, by what it says of itself. Nothing of it runs.
fn of(bytes: &[u8]) -> Option<Offered> {
    let manifest = loader::gate::described(bytes).ok()?.manifest;
    Some(Offered { kind: manifest.kind, version: manifest.version, digest: digest_of(bytes) })
}

impl Shelf for Files {
    fn offered(&self) -> Vec<Offered> {
        self.all().into_iter().map(|(_, offered)| offered).collect()
    }

    fn launch(&self, digest: Digest, output: File) -> Option<Result<Launch, ModuleError>> {
        let (path, offered) = self.all().into_iter().find(|(_, offered)| offered.digest == digest)?;
        Some(self.started(&path, &offered, output))
    }
}
