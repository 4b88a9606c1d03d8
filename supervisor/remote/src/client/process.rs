//! A module's process, here or on another machine: recognised, watched and ended. What it is asked stands in `calls`.

use super::ModuleError;
use super::control::Control;
use super::fate::{Fate, Known};
use super::life::{delivers, reads, watches};
use super::ready::{Ready, Work, here, there};
use super::session::Connect;
use super::speech::Speech;
use super::turns::{Due, Turns};
use crate::proto;
use crate::queue::Queue;
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::Fault;
use teneral_runtime::remote::Done;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// How often is looked whether a process listens, and whether a turn is late.
pub(super) const LOOK: Duration = Duration::from_millis(5);
pub(super) const LATE_LOOK: Duration = Duration::from_millis(50);

/// How long a process may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From its start until it has said who it is.
    pub ready_timeout: Duration,
    /// For what is no turn: to make an instance, to save it.
    pub call_timeout: Duration,
    /// For a turn to come back while any is away: then the process hangs, and is ended.
    pub turns_timeout: Duration,
    /// Threads that take its turns, an instance's always the one of its number modulo these; 0: nobody knows.
    pub threads: u64,
}

/// What a process serves, and so who says what it is.
#[derive(Debug, Clone)]
pub enum Serves {
    /// A library, or what is linked into its program: it says its manifest, and speaks gRPC.
    Library,
    /// A program: its artifact has the manifest, which says how it is spoken to.
    Program(Box<Manifest>),
}

impl Serves {
    /// What the artifact with that manifest is.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        match manifest.program {
            Some(_) => Self::Program(Box::new(manifest.clone())),
            None => Self::Library,
        }
    }
}

/// A process to be started.
#[derive(Debug)]
pub struct Launch {
    /// Which program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What it reads from its standard input, which ends there.
    pub input: Vec<u8>,
    /// Where its socket is to lie: a directory of this user alone, in which the name is free.
    pub socket: PathBuf,
    /// Where it writes its standard output and error.
    pub output: std::fs::File,
    /// The artifact that it serves: it must say so.
    pub digest: Digest,
    /// What that is.
    pub serves: Serves,
    /// How long it may take.
    pub limits: Limits,
}

/// What is to be started.
#[derive(Debug)]
pub enum Start {
    /// A process of this machine.
    Here(Launch),
    /// One of a host on another.
    There(Box<Connect>),
}

impl Start {
    const fn limits(&self) -> Limits {
        match self {
            Self::Here(launch) => launch.limits,
            Self::There(connect) => connect.limits,
        }
    }

    const fn digest(&self) -> Digest {
        match self {
            Self::Here(launch) => launch.digest,
            Self::There(connect) => connect.digest,
        }
    }

    fn endpoint(&self) -> String {
        match self {
            Self::Here(launch) => format!("unix:{}", launch.socket.display()),
            Self::There(connect) => connect.endpoint.to_string(),
        }
    }
}

/// A process that serves. Ended when nobody needs it any more: no provider, and no instance.
pub struct Process {
    /// Itself, for its instances.
    pub(super) this: Weak<Self>,
    pid: i32,
    endpoint: String,
    pub(super) manifest: Manifest,
    pub(super) contract: Arc<Contract>,
    pub(super) digest: Digest,
    pub(super) limits: Limits,
    pub(super) handle: Handle,
    pub(super) control: Control,
    pub(super) turns: Turns,
    speech: Arc<Speech>,
    pub(super) fate: Known,
    instances: AtomicU64,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({} {} in {})", self.manifest.kind, self.manifest.version, self.pid)
    }
}

impl Process {
    /// Has it started, and waits until it is ready. To be called within a tokio runtime with I/O and time, which must
    /// go on as long as it lives. A cancelled future leaves no process behind.
    ///
    /// # Errors
    /// [`ModuleError`]; then there is no process any more.
    pub async fn start(start: Start) -> Result<Arc<Self>, ModuleError> {
        let limits = start.limits();
        let deadline = Instant::now() + limits.ready_timeout;
        let (digest, endpoint) = (start.digest(), start.endpoint());
        let ready = match start {
            Start::Here(launch) => here(launch, deadline).await?,
            Start::There(connect) => there(*connect, deadline).await?,
        };
        let Ready { pid, manifest, control, work, life, threads } = ready;
        let limits = Limits { threads, ..limits };
        let (queue, speech) = (Queue::new(), Arc::new(Speech::of(&manifest)));
        let turns = Turns::new(Arc::clone(&speech), queue.clone());
        match work {
            Work::Grpc(mut work) => {
                let late = |_| ModuleError::NotReady { timeout: limits.ready_timeout };
                let frames = queue.frames().map(|turns| proto::Turns { turns });
                let stream =
                    timeout_at(deadline, work.work(frames)).await.map_err(late)?.map_err(super::ready::refused)?;
                tokio::spawn(reads(stream.into_inner(), turns.clone(), threads));
                // Nobody needs its name any more; over HTTP every request comes by it.
                life.is_known();
            }
            Work::Http(client) => drop(tokio::spawn(delivers(client, queue, turns.clone(), threads))),
        }
        let (contract, handle, fate) = (Arc::new(Contract::new(&manifest)), Handle::current(), Known::default());
        tokio::spawn(watches(life, turns.clone(), limits, fate.clone()));
        Ok(Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            pid,
            endpoint,
            manifest,
            contract,
            digest,
            limits,
            handle,
            control,
            turns,
            speech,
            fate,
            instances: AtomicU64::new(1),
        }))
    }

    /// Its process id, on its own machine: for people, it may be another's by the time that it is used.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Where it listened when it was found.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Turns that it has, and those on their way to it.
    #[must_use]
    pub fn turns_away(&self) -> usize {
        self.turns.count()
    }

    /// Why it is gone, if it is.
    #[must_use]
    pub fn gone(&self) -> Option<String> {
        self.turns.gone()
    }

    /// How it came to its end, as soon as that is known.
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        self.fate.get()
    }

    /// Ends it, whoever needs it still: what it was asked fails, and what it is asked from now on.
    pub fn end(&self, why: &str) {
        // Who watches it ends it then.
        self.turns.fail(why, self.limits.threads);
    }

    pub(super) fn speech(&self) -> &Speech {
        &self.speech
    }

    pub(super) fn take_turns(&self, instance: u64, due: VecDeque<Due>, turns: Vec<proto::Turn>, done: Done) {
        self.turns.send(instance, due, turns, done);
    }

    pub(super) fn save(&self, instance: u64, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let (mut control, bytes_max) = (self.control.clone(), bytes_max as u64);
        let asked = async move { control.save(proto::SaveRequest { instance, bytes_max }).await };
        super::calls::state(self.call("save", asked)?)
    }

    pub(super) fn discard(&self, instance: u64) {
        let mut control = self.control.clone();
        // Whether it is there to hear of it is nothing to wait for.
        self.handle.spawn(async move { control.discard(proto::DiscardRequest { instance }).await });
    }

    pub(super) fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end("nobody needs it any more");
    }
}
