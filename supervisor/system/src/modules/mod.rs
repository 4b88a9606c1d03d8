//! Kinds that run in processes of their own: which they are, and the modules that serve them.
//!
//! One process an artifact: all actors of that version share it, as they would share its library here. Of a kind that
//! is spread, one process a slot, and `teneral_remote::spread` in front of them (`slots`). A process is given the
//! artifact's bytes by its standard input, after the gate let them through here, and looks at them again itself.

mod hook;
mod offered;
mod output;
mod remote;
mod slots;
mod tried;

pub(crate) use hook::{hook, is_asked};
pub use offered::{Hosting, HostingError, host};
pub use remote::Remote;

use hook::{Order, words};
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use teneral_contract::{Digest, Manifest};
use teneral_control::api::wire::{ModuleOutput, OutputPart};
use teneral_loader::{Policy, Release, Verified};
use teneral_remote::client::{Launch, Launcher, Limits, Module, ModuleError, ModuleSeen, Modules, Serves, Start};
use teneral_remote::spread::{Addresses, Front, Host, SpreadPolicy};
use teneral_runtime::ports::{Checkpoints, Provider};
use teneral_upgrade::{Refused, TrialBounds, TrialProgram, Tried, Untried, chain};

/// Of what a process wrote before it failed to start, so much is read: the end.
const OUTPUT_BYTES_MAX: u64 = 4 << 10;

/// Where the actors of a kind run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// In the host: a message costs next to nothing, and code that kills its process kills the host.
    #[default]
    InProcess,
    /// In a process of their own, one for each version: code that kills its process costs the states of its actors,
    /// and a message goes there and back.
    Process,
    /// In a process of another machine, under `teneral host` there: as that, and a message goes over a network.
    Remote,
}

impl Place {
    /// All of them, as they are written.
    pub const NAMES: [&str; 3] = ["in-process", "process", "remote"];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Process => "process",
            Self::Remote => "remote",
        }
    }

    /// The place of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::InProcess, Self::Process, Self::Remote].into_iter().find(|place| place.name() == name)
    }
}

/// The bounds of the processes that serve modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleLimits {
    /// Address space of one, besides what a host has anyway, in bytes.
    pub memory_bytes_max: u64,
    /// Threads that take turns in one: an actor's are all taken by the same.
    pub threads: usize,
    /// How long one may take to be ready.
    pub ready_timeout: Duration,
    /// How long it may take to make an instance, or to save one.
    pub call_timeout: Duration,
    /// How long may pass until a turn comes back while any is away: then the process hangs, and is ended.
    pub turns_timeout: Duration,
}

impl ModuleLimits {
    /// 4 GiB; 1 thread; 10 s, 30 s, 10 s.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            memory_bytes_max: 4 << 30,
            threads: 1,
            ready_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            turns_timeout: Duration::from_secs(10),
        }
    }
}

/// When a checkpoint is taken of an actor in a process of its own: a state that it goes on from, with what came since,
/// when its process is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointPolicy {
    /// After so many messages, or so many bytes of them and of what was done with them, whichever is first.
    Every {
        /// Messages; at least 1.
        messages: usize,
        /// Bytes.
        bytes: usize,
    },
    /// Never: its actors begin as `restart_state` says.
    Never,
}

impl CheckpointPolicy {
    /// 1,000 messages, 1 MiB.
    #[must_use]
    pub const fn standard() -> Self {
        Self::Every { messages: 1000, bytes: 1 << 20 }
    }
}

/// A module, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Which kind.
    pub kind: String,
    /// In which version.
    pub version: semver::Version,
    /// Where it runs.
    pub place: Place,
    /// Of a kind that is spread, which of its processes, from 1.
    pub slot: Option<usize>,
    /// Its process, while there is one.
    pub pid: Option<i32>,
    /// Where that one listened when it was found.
    pub endpoint: Option<String>,
    /// Its artifact.
    pub digest: Digest,
    /// When the latest process was started.
    pub started: Option<SystemTime>,
    /// Processes that were started for it in this life of the host.
    pub starts: u64,
    /// What its process has in memory, in bytes, while there is one.
    pub memory_bytes: Option<u64>,
    /// Why the latest one is gone, if it is.
    pub gone: Option<String>,
    /// Where its processes write.
    pub output: PathBuf,
}

/// A module that somebody needs, by its artifact and its slot, and where it writes.
type Running = BTreeMap<(Digest, Option<usize>), (Weak<Module>, PathBuf)>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Processes {
    places: BTreeMap<String, Place>,
    spreads: BTreeMap<String, Arc<SpreadPolicy>>,
    /// Hosts on other machines.
    remote: Option<Remote>,
    checkpoints: BTreeMap<String, CheckpointPolicy>,
    limits: ModuleLimits,
    state_bytes_max: usize,
    program: TrialProgram,
    /// Sockets and output.
    dir: PathBuf,
    /// Of the latest socket: a name is used once.
    numbers: Arc<AtomicU64>,
    /// Started with the first module.
    modules: Mutex<Option<Arc<Modules>>>,
    running: Mutex<Running>,
    /// Of each artifact of a kind that is spread what stands before its modules.
    fronts: Mutex<BTreeMap<Digest, Weak<Front>>>,
    /// What addresses of such kinds need; set before the first actor is there.
    host: OnceLock<Arc<dyn Host>>,
    addresses: OnceLock<Addresses>,
}

impl Processes {
    pub(crate) fn new(
        (places, spreads, remote): (BTreeMap<String, Place>, BTreeMap<String, SpreadPolicy>, Option<Remote>),
        checkpoints: BTreeMap<String, CheckpointPolicy>,
        (limits, state_bytes_max): (ModuleLimits, usize),
        program: TrialProgram,
        dir: PathBuf,
    ) -> Self {
        Self {
            places,
            spreads: spreads.into_iter().map(|(kind, policy)| (kind, Arc::new(policy))).collect(),
            remote,
            checkpoints,
            limits,
            state_bytes_max,
            program,
            dir,
            numbers: Arc::default(),
            modules: Mutex::default(),
            running: Mutex::default(),
            fronts: Mutex::default(),
            host: OnceLock::new(),
            addresses: OnceLock::new(),
        }
    }

    /// Where actors of that kind run.
    pub(crate) fn place(&self, kind: &str) -> Place {
        self.places.get(kind).copied().unwrap_or_default()
    }

    /// Where a module of that kind runs: a program by itself, also where the kind is said to run in the host.
    fn placed_at(&self, kind: &str) -> Place {
        if self.place(kind) == Place::Remote { Place::Remote } else { Place::Process }
    }

    /// A manifest as it is where its kind runs: a version before does no work anew in a process of its own, where it
    /// would number its calls and timers differently, and what is not offered is not promised. (The same version in its
    /// next process is given the numbers that it had.)
    pub(crate) fn placed(&self, mut manifest: Manifest) -> Manifest {
        manifest.deterministic &= self.place(&manifest.kind) == Place::InProcess && manifest.program.is_none();
        manifest
    }

    /// How much is kept of actors of that kind, as the author declared it.
    fn checkpoints(&self, declared: &Manifest) -> Option<Checkpoints> {
        let policy = self.checkpoints.get(&declared.kind).copied().unwrap_or(CheckpointPolicy::standard());
        let CheckpointPolicy::Every { messages, bytes } = policy else { return None };
        Some(Checkpoints { messages_max: messages, bytes_max: bytes, replays: declared.deterministic })
    }

    fn refused(&self, error: &ModuleError, output: Option<&Path>) -> Refused {
        Refused {
            code: error.code().to_owned(),
            cause: said(error, output),
            hint: match error.hint() {
                Some(hint) => hint.to_owned(),
                None => format!("look at what it wrote, in {}", self.dir.display()),
            },
        }
    }

    /// What the processes of an artifact are started with.
    fn again(&self, verified: &Verified, policy: &Policy, output: PathBuf) -> Result<Again, Refused> {
        let io = |error: io::Error| self.refused(&ModuleError::Socket(error), None);
        let (manifest, digest) = (verified.manifest(), verified.digest());
        let release = Release { kind: manifest.kind.clone(), version: manifest.version.clone(), digest };
        let order = Order { release, policy: policy.clone(), threads: self.limits.threads };
        let input = order.with(&verified.contents().map_err(io)?).map_err(io)?;
        let program = self.program.find().map_err(|error| Refused {
            code: "MOD-START".to_owned(),
            cause: error.to_string(),
            hint: "call teneral::trial_hook() first thing in main, or put this version's teneral in PATH".to_owned(),
        })?;
        let serves = Serves::of(manifest);
        let (file_bytes_max, sockets) = (policy.bytes_max, self.dir.join("module"));
        let (limits, numbers) = (self.limits, Arc::clone(&self.numbers));
        // One that serves lives for long: it may compute as much as it likes.
        let cpu_seconds_max = u64::MAX;
        Ok(Again { program, input, file_bytes_max, cpu_seconds_max, sockets, output, digest, serves, limits, numbers })
    }

    /// A process of it that serves nobody, for a trial, with the bounds of one.
    pub(crate) fn try_out(
        &self,
        (verified, policy): (&Verified, &Policy),
        bounds: TrialBounds,
        going: &dyn Fn() -> bool,
    ) -> Result<Arc<dyn Tried>, Untried> {
        let io = |error: io::Error| self.refused(&ModuleError::Socket(error), None);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io)?;
        let mut again = self.again(verified, policy, PathBuf::new())?;
        again.limits.call_timeout = bounds.timeout;
        // It is to be no better off than where it will serve.
        again.limits.memory_bytes_max = again.limits.memory_bytes_max.min(bounds.memory_bytes_max);
        // Its start is no rehearsal, and may take its own time.
        let start_seconds = again.limits.ready_timeout.as_secs().saturating_add(1);
        again.cpu_seconds_max = bounds.cpu_seconds_max().saturating_add(start_seconds);
        let output = memfd_create("trial-output", MemfdFlags::CLOEXEC).map_err(|error| io(error.into()))?;
        let output = File::from(output);
        let launch = again.launch_into(output.try_clone().map_err(io)?).map_err(|error| self.refused(&error, None))?;
        let process = self.modules().map_err(io)?.launch_while(launch, going).map_err(|error| {
            let output = tried::end_of(&output);
            let said = output.lines().map(str::trim).rfind(|line| !line.is_empty());
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            let cause = format!("{}{said}", chain(&error));
            let hint = "mend the program; --keep-trial keeps what it wrote".to_owned();
            let refused = Refused { code: error.code().to_owned(), cause, hint };
            Untried { output, ..Untried::from(refused) }
        })?;
        Ok(Arc::new(tried::OnTrial { process, output }))
    }

    fn modules(&self) -> io::Result<Arc<Modules>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        match &*modules {
            Some(modules) => Ok(Arc::clone(modules)),
            None => Ok(Arc::clone(modules.insert(Arc::new(Modules::start()?)))),
        }
    }

    /// All that somebody needs.
    pub(crate) fn seen(&self) -> Vec<ModuleInfo> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let needed: Vec<_> = running
            .iter()
            .filter_map(|((_, slot), (module, output))| Some((*slot, module.upgrade()?, output.clone())))
            .collect();
        drop(running);
        let look = |(slot, module, output): (Option<usize>, Arc<Module>, PathBuf)| {
            let (kind, version, digest) = (module.kind().to_owned(), module.version().clone(), module.digest());
            let ModuleSeen { pid, endpoint, since, starts, gone } = module.seen();
            let started = since.and_then(|since| SystemTime::now().checked_sub(since.elapsed()));
            let place = self.placed_at(&kind);
            // A process of another machine has its number there.
            let memory_bytes = pid.filter(|_| place != Place::Remote).and_then(memory_bytes);
            ModuleInfo {
                kind,
                version,
                place,
                slot,
                pid,
                endpoint,
                digest,
                started,
                starts,
                memory_bytes,
                gone,
                output,
            }
        };
        needed.into_iter().map(look).collect()
    }

    /// `@` stands in no kind and in no version: no two share a file.
    fn output(&self, kind: &str, version: &semver::Version, slot: Option<usize>) -> PathBuf {
        let slot = slot.map(|slot| format!("@{slot}")).unwrap_or_default();
        self.dir.join(format!("{kind}-{version}{slot}.log"))
    }

    /// Part of what the processes of a version wrote. `None`: none has written anything. Blocks on the disk.
    pub(crate) fn wrote(
        &self,
        (kind, version): (&str, &semver::Version),
        part: &OutputPart,
    ) -> io::Result<Option<ModuleOutput>> {
        output::read(&self.output(kind, version, part.slot), part)
    }
}

/// What a process has in memory, if it is there still.
fn memory_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// What the next process of a module is started with.
struct Again {
    program: PathBuf,
    input: Vec<u8>,
    file_bytes_max: u64,
    cpu_seconds_max: u64,
    sockets: PathBuf,
    output: PathBuf,
    digest: Digest,
    serves: Serves,
    limits: ModuleLimits,
    numbers: Arc<AtomicU64>,
}

impl Launcher for Again {
    fn next(&self) -> Result<Start, ModuleError> {
        self.launch_into(fresh(&self.output).map_err(ModuleError::Socket)?).map(Start::Here)
    }
}

/// The file that the next process writes to.
fn fresh(output: &Path) -> io::Result<File> {
    // What the process before wrote stays beside it, and no more: the file has a bound.
    let _ = std::fs::rename(output, output.with_extension(output::BEFORE));
    OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(output)
}

impl Again {
    fn launch_into(&self, output: File) -> Result<Launch, ModuleError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let socket = self.sockets.with_extension(format!("{number}.sock"));
        // One of a life of the host before this.
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ModuleError::Socket(error)),
            _ => {}
        }
        let ModuleLimits { ready_timeout, call_timeout, turns_timeout, memory_bytes_max, threads } = self.limits;
        let (serves, threads) = match &self.serves {
            Serves::Library => (hook::Serves::Library, threads as u64),
            // How many it has, and which takes what, is its own affair.
            Serves::Program(_) => (hook::Serves::Program, 0),
        };
        Ok(Launch {
            program: self.program.clone(),
            args: words(serves, (memory_bytes_max, self.cpu_seconds_max), self.file_bytes_max),
            input: self.input.clone(),
            socket,
            output,
            digest: self.digest,
            serves: self.serves.clone(),
            limits: Limits { ready_timeout, call_timeout, turns_timeout, threads },
        })
    }
}

/// Why there is none, with the last that it wrote, if it says why.
fn said(error: &ModuleError, output: Option<&Path>) -> String {
    let cause = chain(error);
    let wrote = output.filter(|_| matches!(error, ModuleError::Ended { .. } | ModuleError::NotReady { .. }));
    match wrote.and_then(|output| last_line(output).ok().flatten()) {
        Some(line) => format!("{cause}: {line}"),
        None => cause,
    }
}

fn last_line(output: &Path) -> io::Result<Option<String>> {
    let mut file = File::open(output)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(end.saturating_sub(OUTPUT_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned))
}
