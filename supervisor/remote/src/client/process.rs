//! A module's process: started, recognised, watched and ended. What it is asked stands in `calls`.

use super::ModuleError;
use super::control::Control;
use super::fate::{Fate, Known};
use super::http;
use super::speech::Speech;
use super::turns::{Due, Turns};
use crate::proto;
use crate::proto::module_client::ModuleClient;
use crate::queue::Queue;
use crate::{LISTEN, MESSAGE_BYTES_MAX, PROTOCOLS};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use teneral_contract::program::Protocol;
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::Fault;
use teneral_runtime::remote::Done;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

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

/// A process that has said who it is.
struct Ready {
    pid: i32,
    manifest: Manifest,
    control: Control,
    work: Work,
}

/// The way on which turns go.
enum Work {
    Grpc(ModuleClient<Channel>),
    Http(http::Client),
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({} {} in {})", self.manifest.kind, self.manifest.version, self.pid)
    }
}

impl Process {
    /// Starts it, and waits until it is ready. To be called within a tokio runtime with I/O and time, which must go on
    /// as long as it lives. A cancelled future leaves no process behind.
    ///
    /// # Errors
    /// [`ModuleError`]; then there is no process any more.
    pub async fn start(launch: Launch) -> Result<Arc<Self>, ModuleError> {
        let deadline = Instant::now() + launch.limits.ready_timeout;
        let late = |_| ModuleError::NotReady { timeout: launch.limits.ready_timeout };
        let mut child = started(&launch)?;
        let ready = match timeout_at(deadline, ready(&mut child, &launch)).await.map_err(late)? {
            Ok(ready) => ready,
            Err(error) => return Err(child.ended_instead().await.unwrap_or(error)),
        };
        let Ready { pid, manifest, control, work } = ready;
        let (queue, speech) = (Queue::new(), Arc::new(Speech::of(&manifest)));
        let turns = Turns::new(Arc::clone(&speech), queue.clone());
        let limits = launch.limits;
        match work {
            Work::Grpc(mut work) => {
                let frames = queue.frames().map(|turns| proto::Turns { turns });
                let stream = timeout_at(deadline, work.work(frames)).await.map_err(late)?.map_err(refused)?;
                tokio::spawn(reads(stream.into_inner(), turns.clone(), limits.threads));
                // Nobody needs its name any more; over HTTP every request comes by it.
                let _ = std::fs::remove_file(&launch.socket);
            }
            Work::Http(client) => drop(tokio::spawn(delivers(client, queue, turns.clone(), limits.threads))),
        }
        let endpoint = format!("unix:{}", launch.socket.display());
        let (contract, handle, fate) = (Arc::new(Contract::new(&manifest)), Handle::current(), Known::default());
        tokio::spawn(watches(child, turns.clone(), limits, (fate.clone(), launch.socket)));
        let digest = launch.digest;
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

    /// Its process id: for people, it may be another's by the time that it is used.
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

/// A process that is ended with all that it started, whoever drops it.
struct Ends(Child);

impl Ends {
    fn pid(&self) -> i32 {
        self.0.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
    }

    fn kill(&self) {
        // Gone already: so be it.
        let _ = Pid::from_raw(self.pid()).map(|group| kill_process_group(group, Signal::KILL));
    }

    /// # Errors
    /// [`ModuleError::Ended`]: it has.
    fn has_not_ended(&mut self) -> Result<(), ModuleError> {
        match self.0.try_wait().map_err(ModuleError::Socket)? {
            Some(ended) => Err(ModuleError::Ended { ended: how(ended) }),
            None => Ok(()),
        }
    }

    /// That it ended, if that is why it does not answer.
    async fn ended_instead(&mut self) -> Option<ModuleError> {
        // Its socket is closed a moment before it can be waited for.
        let ended = timeout(Duration::from_millis(200), self.0.wait()).await.ok()?.ok()?;
        Some(ModuleError::Ended { ended: how(ended) })
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.kill();
    }
}

fn how(ended: ExitStatus) -> String {
    match (ended.code(), ended.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "nobody knows how".to_owned(),
    }
}

/// Waits until it listens, and looks who does.
async fn listens(child: &mut Ends, socket: &Path, pid: i32) -> Result<(), ModuleError> {
    loop {
        child.has_not_ended()?;
        match UnixStream::connect(socket).await {
            Ok(stream) => {
                let found = stream.peer_cred().map_err(ModuleError::Socket)?.pid().unwrap_or(0);
                return if found == pid { Ok(()) } else { Err(ModuleError::Stranger { found, started: pid }) };
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                sleep(LOOK).await;
            }
            Err(error) => return Err(ModuleError::Socket(error)),
        }
    }
}

async fn client(socket: &Path) -> Result<ModuleClient<Channel>, ModuleError> {
    let socket = socket.to_owned();
    let connect = move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    // What the name is does not matter: the connector goes to the socket.
    let endpoint = Endpoint::from_static("http://module");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect)).await;
    let channel = channel.map_err(|error| ModuleError::Refused(error.to_string()))?;
    let client = ModuleClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(client.max_encoding_message_size(MESSAGE_BYTES_MAX))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(status: Status) -> ModuleError {
    ModuleError::Refused(status.message().to_owned())
}

/// Starts it.
fn started(launch: &Launch) -> Result<Ends, ModuleError> {
    let program = launch.program.display().to_string();
    let not_started = |source| ModuleError::NotStarted { program: program.clone(), source };
    let mut command = Command::new(&launch.program);
    let listen = format!("unix:{}", launch.socket.display());
    command.args(&launch.args).env_clear().env(LISTEN, listen).current_dir("/").process_group(0).kill_on_drop(true);
    let output = || launch.output.try_clone().map_err(not_started);
    command.stdin(Stdio::piped()).stdout(output()?).stderr(output()?);
    command.spawn().map(Ends).map_err(not_started)
}

/// Waits until it has said who it is.
async fn ready(child: &mut Ends, launch: &Launch) -> Result<Ready, ModuleError> {
    if let Some(mut stdin) = child.0.stdin.take() {
        // Who ends instead of reading says why by its end.
        let _ = stdin.write_all(&launch.input).await;
    }
    let (pid, socket) = (child.pid(), &*launch.socket);
    listens(child, socket, pid).await?;
    let program = match &launch.serves {
        Serves::Library => None,
        Serves::Program(manifest) => Some(&**manifest),
    };
    if program.and_then(|manifest| manifest.program.as_ref()).is_some_and(|entry| entry.protocol == Protocol::Http) {
        let client = http::Client::new(socket.to_owned(), pid);
        while !client.is_healthy().await {
            child.has_not_ended()?;
            sleep(LOOK).await;
        }
        let mut control = Control::Http(client.clone());
        let manifest = describe(&mut control, launch.digest, program).await?;
        return Ok(Ready { pid, manifest, control, work: Work::Http(client) });
    }
    // A connection of its own for what is no turn: a data stream that stalls holds up its connection.
    let (control, work) = (client(socket).await?, client(socket).await?);
    let mut control = Control::Grpc(control);
    let manifest = describe(&mut control, launch.digest, program).await?;
    Ok(Ready { pid, manifest, control, work: Work::Grpc(work) })
}

async fn describe(control: &mut Control, wanted: Digest, program: Option<&Manifest>) -> Result<Manifest, ModuleError> {
    let (protocol_min, protocol_max) = PROTOCOLS;
    let mut nonce = [0; 16];
    OsRng.try_fill_bytes(&mut nonce).map_err(|error| ModuleError::Socket(io::Error::other(error)))?;
    let nonce = Bytes::copy_from_slice(&nonce);
    let request = proto::DescribeRequest { protocol_min, protocol_max, nonce: nonce.clone() };
    let told = control.describe(request).await.map_err(refused)?;
    if !(protocol_min..=protocol_max).contains(&told.protocol) {
        let spoken = format!("{protocol_min} to {protocol_max} are spoken here");
        return Err(ModuleError::Refused(format!("it answers in protocol {}, {spoken}", told.protocol)));
    }
    if told.nonce != nonce {
        return Err(ModuleError::Nonce);
    }
    if told.digest != wanted.0[..] && !cfg!(feature = "bug-p18") {
        let found = told.digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = if found.is_empty() { "nothing".to_owned() } else { found };
        return Err(ModuleError::Digest { found, wanted });
    }
    match program {
        Some(manifest) => Ok(manifest.clone()),
        None => serde_json::from_str(&told.manifest).map_err(ModuleError::Manifest),
    }
}

/// Takes what comes back, until that ends or cannot be believed.
async fn reads(mut stream: tonic::Streaming<proto::TurnsDone>, turns: Turns, threads: u64) {
    loop {
        match stream.next().await {
            Some(Ok(frame)) => {
                for turn in frame.turns {
                    if let Err(breach) = turns.back(turn) {
                        return turns.fail(&format!("the module broke the protocol: {breach}"), threads);
                    }
                }
            }
            // Who watches the process may know better why: its end is seen a moment later.
            Some(Err(status)) => {
                sleep(LATE_LOOK).await;
                return turns.fail(&format!("its stream broke: {}", status.message()), threads);
            }
            None => {
                sleep(LATE_LOOK).await;
                return turns.fail("it ended its stream", threads);
            }
        }
    }
}

/// Has frames of turns taken, one after the other, as long as what comes back can be believed.
async fn delivers(client: http::Client, queue: Queue<proto::Turn>, turns: Turns, threads: u64) {
    let mut frames = queue.frames();
    while let Some(frame) = frames.next().await {
        let failed = match client.deliver(&frame).await {
            Ok(done) => done.into_iter().find_map(|turn| turns.back(turn).err()).map(|breach| breach.to_string()),
            Err(status) => {
                // Who watches the process may know better why: its end is seen a moment later.
                sleep(LATE_LOOK).await;
                Some(status.message().to_owned())
            }
        };
        if let Some(why) = failed {
            return turns.fail(&format!("the module broke the protocol: {why}"), threads);
        }
    }
}

/// Sees it end, or hang, or be needed no more, and ends it.
async fn watches(mut child: Ends, turns: Turns, limits: Limits, (fate, socket): (Known, PathBuf)) {
    let Limits { turns_timeout, threads, .. } = limits;
    ends(&mut child, &turns, turns_timeout, threads, &fate).await;
    // One that nobody has to do with any more.
    let _ = std::fs::remove_file(socket);
}

async fn ends(child: &mut Ends, turns: &Turns, turns_timeout: Duration, threads: u64, fate: &Known) {
    loop {
        tokio::select! {
            ended = child.0.wait() => {
                if let Ok(ended) = &ended {
                    fate.ended(*ended);
                }
                let ended = ended.map_or_else(|error| error.to_string(), how);
                return turns.fail(&format!("the module's process ended: {ended}"), threads);
            }
            () = sleep(LATE_LOOK) => {
                if turns.is_late(turns_timeout) {
                    fate.is(Fate::Hung(turns_timeout));
                    turns.fail(&format!("a turn did not return within {turns_timeout:?}"), threads);
                }
                if turns.gone().is_some() {
                    child.kill();
                    let _ = child.0.wait().await;
                    return;
                }
            }
        }
    }
}
