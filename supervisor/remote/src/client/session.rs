//! A process on another machine, as its supervisor has it: a session of the host there, which ends with this.

use super::ModuleError;
use super::control::Marked;
use super::fate::Fate;
use super::process::{Limits, Serves};
use crate::HOST_PROTOCOLS;
use crate::discover::Endpoint;
use crate::host_proto::host_client::HostClient;
use crate::host_proto::{self, OpenEvent, OpenRequest, ended, open_event};
use crate::tls::{Dialled, Identity, Noticed, Pings, dial, told};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use teneral_contract::Digest;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint as Target, Uri};
use tonic::{Status, Streaming};

/// Of what a process over there writes so much is kept.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;

/// How much may be on its way on one stream, and on one connection: a network holds more than a socket.
const STREAM_BYTES: u32 = 1 << 20;
const CONNECTION_BYTES: u32 = 4 << 20;

/// A process to be had from a host on another machine.
#[derive(Debug)]
pub struct Connect {
    /// Where the host listens: `tcp:host:port`.
    pub endpoint: Endpoint,
    /// What is shown to it, and whom it must be vouched for by. Read for each connection.
    pub identity: Arc<Identity>,
    /// How it is found out that it is silently gone.
    pub pings: Pings,
    /// Where what the process writes is kept.
    pub output: File,
    /// The artifact that it is to serve: it must have it.
    pub digest: Digest,
    /// What that is.
    pub serves: Serves,
    /// How long it may take. Its threads are the host's affair.
    pub limits: Limits,
}

/// See the module. Dropped, the process over there is ended.
pub(super) struct Session {
    endpoint: Endpoint,
    events: Streaming<OpenEvent>,
    opened: host_proto::Opened,
    noticed: Noticed,
    output: Output,
}

struct Output {
    file: File,
    left: u64,
}

impl Session {
    /// Has the host start a process, and connects a second time for its turns: a data stream that stalls holds up its
    /// connection.
    pub(super) async fn open(connect: Connect) -> Result<(Self, (Channel, Channel)), ModuleError> {
        let Connect { endpoint, identity, pings, output, digest, .. } = connect;
        let config = identity.client()?;
        let (control, noticed) = channel(&endpoint, &config, pings).await?;
        let refused = |status: Status| lost(&endpoint, &noticed, said(&status));
        let (protocol_min, protocol_max) = HOST_PROTOCOLS;
        let request = OpenRequest { protocol_min, protocol_max, digest: Bytes::copy_from_slice(&digest.0) };
        let mut client = HostClient::new(control.clone());
        let mut events = client.open(request).await.map_err(refused)?.into_inner();
        let opened = match events.message().await.map_err(refused)?.and_then(|event| event.event) {
            Some(open_event::Event::Opened(opened)) => opened,
            Some(open_event::Event::Refused(refused)) => return Err(by_host(&endpoint, refused, digest)),
            _ => return Err(ModuleError::Refused(format!("{endpoint} does not say whether it serves"))),
        };
        let (work, _) = channel(&endpoint, &config, pings).await?;
        let output = Output { file: output, left: OUTPUT_BYTES_MAX };
        Ok((Self { endpoint, events, opened, noticed, output }, (control, work)))
    }

    /// What each call carries.
    pub(super) fn mark(&self) -> Marked {
        let id: String = self.opened.session.iter().map(|byte| format!("{byte:02x}")).collect();
        Marked(MetadataValue::try_from(id).ok())
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.opened.pid).unwrap_or(0)
    }

    pub(super) const fn threads(&self) -> u64 {
        self.opened.threads
    }

    /// Why the connection broke, where TLS knows.
    pub(super) fn why(&self) -> Option<ModuleError> {
        let error = self.noticed.get()?;
        Some(ModuleError::of_tls(&self.endpoint, Some(&error), &error))
    }

    /// Waits until the process has ended, or is not reached any more, and keeps what it writes meanwhile.
    pub(super) async fn ended(&mut self) -> (Option<Fate>, String) {
        let endpoint = self.endpoint.clone();
        loop {
            match self.events.message().await {
                Ok(Some(OpenEvent { event: Some(open_event::Event::Output(bytes)) })) => self.output.keep(&bytes),
                Ok(Some(OpenEvent { event: Some(open_event::Event::Ended(found)) })) => {
                    let (fate, how) = match found.how {
                        Some(ended::How::Exit(code)) => (Some(Fate::Exit(code)), format!("exit code {code}")),
                        Some(ended::How::Signal(signal)) => (Some(Fate::Signal(signal)), format!("signal {signal}")),
                        Some(ended::How::Other(how)) => (None, how),
                        None => (None, "nobody knows how".to_owned()),
                    };
                    return (fate, format!("the module's process at {endpoint} ended: {how}"));
                }
                Ok(Some(_)) => {}
                Ok(None) => return (None, format!("{endpoint} has ended the session")),
                Err(status) => {
                    let why = self.noticed.get().map_or_else(|| said(&status), |error| error.to_string());
                    return (None, format!("the connection to {endpoint} is lost: {why}"));
                }
            }
        }
    }
}

impl Output {
    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.get(..usize::try_from(self.left).unwrap_or(usize::MAX)).unwrap_or(bytes);
        self.left -= kept.len() as u64;
        // A disk that is full keeps nobody's actors from their work.
        let _ = self.file.write_all(kept);
    }
}

/// A channel over a connection that is there, and over no other: what it is for ends with it.
async fn channel(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    pings: Pings,
) -> Result<(Channel, Noticed), ModuleError> {
    let dialled = dial(endpoint, config, pings).await?;
    let noticed = dialled.noticed();
    let mut dialled: Option<Dialled> = Some(dialled);
    let once = move |_: Uri| {
        let dialled = dialled.take().ok_or_else(|| io::Error::other("the connection is lost"));
        async move { dialled.map(TokioIo::new) }
    };
    let target = Target::from_static("http://host")
        .initial_stream_window_size(STREAM_BYTES)
        .initial_connection_window_size(CONNECTION_BYTES)
        .http2_keep_alive_interval(pings.every)
        .keep_alive_timeout(pings.timeout)
        .keep_alive_while_idle(true);
    let channel = target.connect_with_connector(tower::service_fn(once)).await;
    let channel = channel.map_err(|error| lost(endpoint, &noticed, error))?;
    Ok((channel, noticed))
}

/// What came to nothing: for what TLS said, if it said something.
fn lost(
    endpoint: &Endpoint,
    noticed: &Noticed,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ModuleError {
    match noticed.get() {
        Some(error) => ModuleError::of_tls(endpoint, Some(&error), &error),
        None => ModuleError::Unreachable { endpoint: endpoint.clone(), source: io::Error::other(why) },
    }
}

fn said(status: &Status) -> String {
    let cause = std::iter::successors(std::error::Error::source(status), |cause| cause.source()).last();
    cause.map_or_else(|| status.message().to_owned(), |cause| format!("{}: {cause}", status.message()))
}

fn by_host(endpoint: &Endpoint, refused: host_proto::Refused, wanted: Digest) -> ModuleError {
    let host_proto::Refused { code, cause, served } = refused;
    let endpoint = endpoint.clone();
    if code != ABSENT {
        return ModuleError::Refused(format!("{endpoint} says [{code}] {cause}"));
    }
    let shown = |of: host_proto::Artifact| {
        let digest: String = of.digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{} {} ({digest})", of.kind, of.version)
    };
    let served = served.into_iter().map(shown).collect::<Vec<_>>().join(", ");
    let served = if served.is_empty() { "nothing".to_owned() } else { served };
    ModuleError::Absent { endpoint, wanted, served }
}

/// The code of a host that has not the artifact.
pub(crate) const ABSENT: &str = "MOD-ABSENT";

impl ModuleError {
    /// A connection that broke in its TLS, or before it.
    pub(crate) fn of_tls(endpoint: &Endpoint, cause: Option<&rustls::Error>, error: &dyn std::error::Error) -> Self {
        let endpoint = endpoint.clone();
        if let Some(fault) = cause.and_then(crate::tls::fault) {
            return Self::Certificate { endpoint, fault };
        }
        if let Some(why) = cause.and_then(told) {
            return Self::NotBelieved { endpoint, why };
        }
        Self::Tls { endpoint, why: error.to_string() }
    }
}
