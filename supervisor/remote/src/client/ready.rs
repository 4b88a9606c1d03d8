//! From a process that was started to one that has said who it is: the same for one of this machine and for one of
//! another, but for the way there.

use super::ModuleError;
use super::child::Ends;
use super::control::{Control, Marked, Way};
use super::http;
use super::life::Life;
use super::process::{LOOK, Launch, Serves};
use super::session::{Connect, Session};
use crate::proto;
use crate::proto::module_client::ModuleClient;
use crate::{MESSAGE_BYTES_MAX, PROTOCOLS};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::io;
use std::path::Path;
use teneral_contract::program::Protocol;
use teneral_contract::{Digest, Manifest};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// A process that has said who it is.
pub(super) struct Ready {
    pub(super) pid: i32,
    pub(super) manifest: Manifest,
    pub(super) control: Control,
    pub(super) work: Work,
    pub(super) life: Life,
    pub(super) threads: u64,
}

/// The way on which turns go.
pub(super) enum Work {
    Grpc(ModuleClient<Way>),
    Http(http::Client),
}

/// Starts one on this machine.
pub(super) async fn here(launch: Launch, deadline: Instant) -> Result<Ready, ModuleError> {
    let late = |_| ModuleError::NotReady { timeout: launch.limits.ready_timeout };
    let mut child = Ends::start(&launch)?;
    let pid = child.pid();
    let (manifest, control, work) = match timeout_at(deadline, of_child(&mut child, &launch)).await.map_err(late)? {
        Ok(ready) => ready,
        Err(error) => return Err(child.ended_instead().await.unwrap_or(error)),
    };
    let threads = launch.limits.threads;
    Ok(Ready { pid, manifest, control, work, life: Life::Child(child, launch.socket), threads })
}

async fn of_child(child: &mut Ends, launch: &Launch) -> Result<(Manifest, Control, Work), ModuleError> {
    let socket = &*launch.socket;
    child.listens(&launch.input, socket).await?;
    let program = launch.serves.program();
    if launch.serves.is_http() {
        let client = http::Client::new(socket.to_owned(), child.pid());
        while !client.is_healthy().await {
            child.has_not_ended()?;
            sleep(LOOK).await;
        }
        let mut control = Control::Http(client.clone());
        let manifest = describe(&mut control, launch.digest, program).await?;
        return Ok((manifest, control, Work::Http(client)));
    }
    // A connection of its own for what is no turn: a data stream that stalls holds up its connection.
    let (control, work) = (channel(socket).await?, channel(socket).await?);
    let mut control = Control::Grpc(module(control, Marked::default()));
    let manifest = describe(&mut control, launch.digest, program).await?;
    Ok((manifest, control, Work::Grpc(module(work, Marked::default()))))
}

/// Has one started on another machine.
pub(super) async fn there(connect: Connect, deadline: Instant) -> Result<Ready, ModuleError> {
    let (timeout, endpoint) = (connect.limits.ready_timeout, connect.endpoint.clone());
    let late = |_| {
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("it does not answer after {timeout:?}"));
        ModuleError::Unreachable { endpoint, source }
    };
    timeout_at(deadline, of_session(connect)).await.map_err(late)?
}

async fn of_session(connect: Connect) -> Result<Ready, ModuleError> {
    if connect.serves.is_http() {
        let what = "a program that speaks HTTP is served by no other machine: it speaks gRPC there";
        return Err(ModuleError::Refused(what.to_owned()));
    }
    let (digest, serves) = (connect.digest, connect.serves.clone());
    let (session, channels) = Session::open(connect).await?;
    let (control, work) = channels;
    let mut control = Control::Grpc(module(control, session.mark()));
    let manifest = match describe(&mut control, digest, serves.program()).await {
        Ok(manifest) => manifest,
        Err(error) => return Err(session.why().unwrap_or(error)),
    };
    let (pid, threads, work) = (session.pid(), session.threads(), module(work, session.mark()));
    Ok(Ready { pid, manifest, control, work: Work::Grpc(work), life: Life::Session(session), threads })
}

/// A channel to a socket of this machine.
pub(crate) async fn channel(socket: &Path) -> Result<Channel, ModuleError> {
    let socket = socket.to_owned();
    let connect = move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    };
    // What the name is does not matter: the connector goes to the socket.
    let endpoint = Endpoint::from_static("http://module");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect)).await;
    channel.map_err(|error| ModuleError::Refused(error.to_string()))
}

fn module(channel: Channel, marked: Marked) -> ModuleClient<Way> {
    let client = ModuleClient::with_interceptor(channel, marked);
    client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn refused(status: Status) -> ModuleError {
    ModuleError::Refused(status.message().to_owned())
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

impl Serves {
    /// The manifest of a program, which says it of itself.
    pub(super) fn program(&self) -> Option<&Manifest> {
        match self {
            Self::Library => None,
            Self::Program(manifest) => Some(manifest),
        }
    }

    /// Whether it is a program that speaks HTTP.
    pub(crate) fn is_http(&self) -> bool {
        let entry = self.program().and_then(|manifest| manifest.program.as_ref());
        entry.is_some_and(|entry| entry.protocol == Protocol::Http)
    }
}
