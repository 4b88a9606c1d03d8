//! A module's process: started, recognised, spoken to, watched and ended.

use super::ModuleError;
use super::instance::Instance;
use super::turns::Turns;
use crate::convert::{fault, fingerprint, tag, to_fingerprint};
use crate::proto::module_client::ModuleClient;
use crate::proto::{self, json_reply, json_request, state_reply};
use crate::queue::Queue;
use crate::{LISTEN, MESSAGE_BYTES_MAX, PROTOCOLS};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::{Behaviour, Body, Fault, FaultKind, Json, JsonDone, Provider};
use teneral_runtime::remote::Done;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

/// How often is looked whether a process listens, and whether a turn is late.
const LOOK: Duration = Duration::from_millis(5);
const LATE_LOOK: Duration = Duration::from_millis(50);

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
    /// How long it may take.
    pub limits: Limits,
}

/// A process that serves. Ended when nobody needs it any more: no provider, and no instance.
pub struct Process {
    /// Itself, for its instances.
    this: Weak<Self>,
    pid: i32,
    manifest: Manifest,
    contract: Arc<Contract>,
    digest: Digest,
    limits: Limits,
    handle: Handle,
    control: ModuleClient<Channel>,
    turns: Turns,
    instances: AtomicU64,
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
        let Launch { program, args, input, socket, output, digest, limits } = launch;
        let not_started = |source| ModuleError::NotStarted { program: program.display().to_string(), source };
        let mut command = Command::new(&program);
        let listen = format!("unix:{}", socket.display());
        command.args(args).env_clear().env(LISTEN, listen).current_dir("/").process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(output.try_clone().map_err(not_started)?).stderr(output);
        let mut child = Ends(command.spawn().map_err(not_started)?);
        let deadline = Instant::now() + limits.ready_timeout;
        let late = |_| ModuleError::NotReady { timeout: limits.ready_timeout };
        let ready = async {
            if let Some(mut stdin) = child.0.stdin.take() {
                // Who ends instead of reading says why by its end.
                let _ = stdin.write_all(&input).await;
            }
            let pid = child.pid();
            listens(&mut child, &socket, pid).await?;
            // A connection of its own for what is no turn: a data stream that stalls holds up its connection.
            let (mut control, work) = (client(&socket).await?, client(&socket).await?);
            let manifest = describe(&mut control, digest).await?;
            Ok((pid, manifest, control, work))
        };
        let (pid, manifest, control, mut work) = match timeout_at(deadline, ready).await.map_err(late)? {
            Ok(ready) => ready,
            Err(error) => return Err(child.ended_instead().await.unwrap_or(error)),
        };
        let queue = Queue::new();
        let frames = queue.clone().frames().map(|turns| proto::Turns { turns });
        let stream = timeout_at(deadline, work.work(frames)).await.map_err(late)?.map_err(refused)?.into_inner();
        let turns = Turns::new(queue);
        let (contract, handle) = (Arc::new(Contract::new(&manifest)), Handle::current());
        let process = Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            pid,
            manifest,
            contract,
            digest,
            limits,
            handle,
            control,
            turns: turns.clone(),
            instances: AtomicU64::new(1),
        });
        // Nobody needs its name any more.
        let _ = std::fs::remove_file(&socket);
        tokio::spawn(reads(stream, turns.clone(), limits.threads));
        tokio::spawn(watches(child, turns, limits));
        Ok(process)
    }

    /// Its process id: for people, it may be another's by the time that it is used.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Why it is gone, if it is.
    #[must_use]
    pub fn gone(&self) -> Option<String> {
        self.turns.gone()
    }

    pub(super) fn take_turns(&self, instance: u64, first: u64, turns: Vec<proto::Turn>, done: Done) {
        self.turns.send(instance, first, turns, done);
    }

    pub(super) fn save(&self, instance: u64, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let (mut control, bytes_max) = (self.control.clone(), bytes_max as u64);
        let asked = async move { control.save(proto::SaveRequest { instance, bytes_max }).await };
        state(self.call("save", asked)?)
    }

    pub(super) fn discard(&self, instance: u64) {
        let mut control = self.control.clone();
        // Whether it is there to hear of it is nothing to wait for.
        self.handle.spawn(async move { control.discard(proto::DiscardRequest { instance }).await });
    }

    /// Asks, and waits for the answer on this thread: which may be any but one of the runtime's own.
    fn call<T: Send + 'static>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<Response<T>, Status>> + Send + 'static,
    ) -> Result<T, Fault> {
        let failed = |why: &str| Fault::new(FaultKind::Failed, format!("the module did not {what}: {why}"));
        if let Some(gone) = self.gone() {
            return Err(failed(&gone));
        }
        let limit = self.limits.call_timeout;
        let (came, comes) = mpsc::sync_channel(1);
        self.handle.spawn(async move { came.send(timeout(limit, asked).await) });
        match comes.recv() {
            Ok(Ok(Ok(answer))) => {
                self.turns.goes_on();
                Ok(answer.into_inner())
            }
            Ok(Ok(Err(status))) => Err(failed(&self.gone().unwrap_or_else(|| status.message().to_owned()))),
            Ok(Err(_)) => {
                // It hangs, and would hang for whoever asks next.
                self.turns.fail(&format!("it did not {what} within {limit:?}"), self.limits.threads);
                Err(failed(&format!("no answer within {limit:?}")))
            }
            Err(_) => Err(failed("the host stops")),
        }
    }

    fn made(&self, id: u64, made: proto::MadeReply) -> Result<Box<dyn Behaviour>, Fault> {
        if let Some(found) = made.fault {
            return Err(fault(found).unwrap_or_else(|| Fault::new(FaultKind::Protocol, "no instance, and no reason")));
        }
        let this = self.this.upgrade().ok_or_else(|| Fault::new(FaultKind::Failed, "nobody needs the module"))?;
        Ok(Box::new(Instance::new(this, id)))
    }

    fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Who watches it ends it then.
        self.turns.fail("nobody needs it any more", self.limits.threads);
    }
}

impl Provider for Process {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn contract(&self) -> &Arc<Contract> {
        &self.contract
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        let (mut control, instance) = (self.control.clone(), self.next_instance());
        let (shape, args) = (Some(to_fingerprint(args.shape)), Bytes::copy_from_slice(args.bytes));
        let asked = async move { control.create(proto::CreateRequest { instance, shape, args }).await };
        self.made(instance, self.call("make an instance", asked)?)
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        let (mut control, instance) = (self.control.clone(), self.next_instance());
        let state = Bytes::copy_from_slice(state);
        let asked = async move { control.restore(proto::RestoreRequest { instance, schema, state }).await };
        self.made(instance, self.call("restore an instance", asked)?)
    }

    fn downgrade(&self, before: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        let (mut control, before) = (self.control.clone(), Bytes::copy_from_slice(before));
        let asked = async move { control.downgrade(proto::DowngradeRequest { state: before, to_schema }).await };
        state(self.call("downgrade a state", asked)?)
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        let mut control = self.control.clone();
        let job = Some(to_job(job));
        json_done(self.call("read or write JSON", async move { control.json(proto::JsonRequest { job }).await })?)
    }
}

fn state(reply: proto::StateReply) -> Result<Vec<u8>, Fault> {
    match reply.done {
        Some(state_reply::Done::State(state)) => Ok(state.into()),
        Some(state_reply::Done::Fault(found)) => Err(fault(found).unwrap_or_else(nothing)),
        None => Err(nothing()),
    }
}

fn nothing() -> Fault {
    Fault::new(FaultKind::Protocol, "the module's answer is refused: done is missing")
}

fn to_job(job: Json<'_>) -> json_request::Job {
    match job {
        Json::Message { name, json } => {
            json_request::Job::Message(proto::JsonMessage { name: name.to_owned(), json: json.to_owned() })
        }
        Json::Args(json) => json_request::Job::Args(json.to_owned()),
        Json::Reply { variant, body } => json_request::Job::Reply(proto::JsonReplyTo {
            variant,
            shape: Some(to_fingerprint(body.shape)),
            body: Bytes::copy_from_slice(body.bytes),
        }),
        Json::State(state) => json_request::Job::State(Bytes::copy_from_slice(state)),
        Json::StateFrom(json) => json_request::Job::StateFrom(json.to_owned()),
    }
}

fn json_done(reply: proto::JsonReply) -> Result<JsonDone, Fault> {
    let wrong = |error: crate::convert::Malformed| {
        Fault::new(FaultKind::Protocol, format!("the module's answer is refused: {error}"))
    };
    Ok(match reply.done.ok_or_else(nothing)? {
        json_reply::Done::Message(message) => JsonDone::Message {
            tag: tag("json.message.tag", message.tag.as_ref()).map_err(wrong)?,
            body: message.body.into(),
            reply: match message.reply {
                None => None,
                reply => Some(fingerprint("json.message.reply", reply.as_ref()).map_err(wrong)?),
            },
        },
        json_reply::Done::Args(args) => JsonDone::Args {
            shape: fingerprint("json.args.shape", args.shape.as_ref()).map_err(wrong)?,
            bytes: args.bytes.into(),
        },
        json_reply::Done::Text(text) => JsonDone::Text(text),
        json_reply::Done::State(state) => JsonDone::State(state.into()),
        json_reply::Done::Fault(found) => return Err(fault(found).unwrap_or_else(nothing)),
    })
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
        if let Some(ended) = child.0.try_wait().map_err(ModuleError::Socket)? {
            return Err(ModuleError::Ended { ended: how(ended) });
        }
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

async fn describe(control: &mut ModuleClient<Channel>, wanted: Digest) -> Result<Manifest, ModuleError> {
    let (protocol_min, protocol_max) = PROTOCOLS;
    let mut nonce = [0; 16];
    OsRng.try_fill_bytes(&mut nonce).map_err(|error| ModuleError::Socket(io::Error::other(error)))?;
    let nonce = Bytes::copy_from_slice(&nonce);
    let request = proto::DescribeRequest { protocol_min, protocol_max, nonce: nonce.clone() };
    let told = control.describe(request).await.map_err(refused)?.into_inner();
    if !(protocol_min..=protocol_max).contains(&told.protocol) {
        let spoken = format!("{protocol_min} to {protocol_max} are spoken here");
        return Err(ModuleError::Refused(format!("it answers in protocol {}, {spoken}", told.protocol)));
    }
    if told.nonce != nonce {
        return Err(ModuleError::Nonce);
    }
    if told.digest != wanted.0[..] {
        let found = told.digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let found = if found.is_empty() { "nothing".to_owned() } else { found };
        return Err(ModuleError::Digest { found, wanted });
    }
    serde_json::from_str(&told.manifest).map_err(ModuleError::Manifest)
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

/// Sees it end, or hang, or be needed no more, and ends it.
async fn watches(mut child: Ends, turns: Turns, limits: Limits) {
    let Limits { turns_timeout, threads, .. } = limits;
    loop {
        tokio::select! {
            ended = child.0.wait() => {
                let ended = ended.map_or_else(|error| error.to_string(), how);
                return turns.fail(&format!("the module's process ended: {ended}"), threads);
            }
            () = sleep(LATE_LOOK) => {
                if turns.is_late(turns_timeout) {
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
