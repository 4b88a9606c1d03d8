//! A host of modules: serves the artifacts that its machine has to supervisors on others, over mutual TLS alone.
//!
//! A session is a process of its own, of this machine, started, bound and recognised as a supervisor does with those of
//! its own. What is said to it passes through here as it is; that it is the artifact that was asked for the supervisor
//! finds out itself. Who loses its connection loses its process: a half-open connection is found by
//! pings of both sides.
//!
//! * `gate`: who comes in
//! * `sessions`: the processes that serve, and whose they are
//! * `forward`: what is said to one

mod forward;
mod gate;
mod sessions;

use crate::client::{Launch, ModuleError};
use crate::host_proto::host_server::{Host as Service, HostServer};
use crate::host_proto::{self, OpenEvent, OpenRequest, open_event};
use crate::tls::{Identity, Pings};
use crate::{HOST_PROTOCOLS, client};
use forward::Forward;
use futures_util::{Stream, stream};
use gate::{Peer, incoming};
use sessions::Sessions;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use teneral_contract::Digest;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// How much is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Processes at a time.
    pub sessions_max: usize,
    /// Connections at a time, of which a session takes two.
    pub connections_max: usize,
}

impl HostLimits {
    /// 64 sessions, 256 connections.
    #[must_use]
    pub const fn standard() -> Self {
        Self { sessions_max: 64, connections_max: 256 }
    }
}

/// An artifact that a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Of which kind.
    pub kind: String,
    /// In which version.
    pub version: semver::Version,
    /// Its bytes.
    pub digest: Digest,
}

/// What a host has.
pub trait Shelf: Send + Sync + 'static {
    /// All of it, now. Blocks on the disk.
    fn offered(&self) -> Vec<Offered>;

    /// How a process that serves an artifact is started, which writes there. `None`: it is not there. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// [`ModuleError`]: it is there, and cannot be served.
    fn launch(&self, digest: Digest, output: File) -> Option<Result<Launch, ModuleError>>;
}

/// A host that is about to serve.
pub struct Host {
    shelf: Arc<dyn Shelf>,
    sessions: Sessions,
    limits: HostLimits,
    identity: Identity,
    pings: Pings,
}

impl Host {
    /// Shows that identity to whoever its authority vouches for.
    #[must_use]
    pub fn new(shelf: Arc<dyn Shelf>, identity: Identity, limits: HostLimits, pings: Pings) -> Self {
        Self { shelf, sessions: Sessions::new(limits.sessions_max), limits, identity, pings }
    }

    /// Serves until the future ends; then its sessions end, too. To be called within a tokio runtime of one thread,
    /// which starts the processes, and which they do not outlive.
    ///
    /// # Errors
    /// What it shows cannot be used.
    pub async fn serve(self, listener: TcpListener, until: impl Future<Output = ()>) -> Result<(), ModuleError> {
        // Said now: later there is only a log to say it in.
        self.identity.check()?;
        self.identity.server()?;
        let come = incoming(listener, self.identity.clone(), self.limits.connections_max, self.pings);
        let forward = Forward(self.sessions.clone());
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(self.pings.every))
            .http2_keepalive_timeout(Some(self.pings.timeout))
            .initial_stream_window_size(STREAM_BYTES)
            .initial_connection_window_size(CONNECTION_BYTES);
        let served = server.add_service(HostServer::new(self)).add_service(forward);
        let over = served.serve_with_incoming(come);
        tokio::select! {
            done = over => done.map_err(|error| ModuleError::Socket(io::Error::other(error))),
            // Whoever is connected sees it end; its processes are ended as they are dropped.
            () = until => Ok(()),
        }
    }

    async fn opened(&self, peer: &Peer, digest: Digest) -> Result<Events, host_proto::Refused> {
        let shelf = Arc::clone(&self.shelf);
        let io = |error: io::Error| refused(&ModuleError::Socket(error));
        let (writer, output) = tokio::net::unix::pipe::pipe().map_err(io)?;
        let writer = File::from(writer.into_blocking_fd().map_err(io)?);
        let found = tokio::task::spawn_blocking(move || match shelf.launch(digest, writer) {
            Some(launch) => Ok(launch),
            None => Err(shelf.offered()),
        });
        let launch = match found.await.map_err(|error| io(io::Error::other(error)))? {
            Ok(launch) => launch.map_err(|error| refused(&error))?,
            Err(offered) => {
                let cause = format!("there is no artifact {digest} here");
                let served = offered.into_iter().map(|of| host_proto::Artifact {
                    kind: of.kind,
                    version: of.version.to_string(),
                    digest: bytes::Bytes::copy_from_slice(&of.digest.0),
                });
                let code = client::ABSENT.to_owned();
                return Err(host_proto::Refused { code, cause, served: served.collect() });
            }
        };
        let (events, comes) = mpsc::channel(sessions::EVENTS_MAX);
        let opened = self.sessions.open(peer.clone(), launch, (output, events)).await;
        let opened = opened.map_err(|error| refused(&error))?;
        tracing::info!(peer = %peer.addr, artifact = %digest, pid = opened.pid, "a supervisor has a module here");
        let first = OpenEvent { event: Some(open_event::Event::Opened(opened)) };
        Ok(Box::pin(stream::unfold((Some(first), comes), async |(first, mut comes)| match first {
            Some(first) => Some((Ok(first), (None, comes))),
            None => comes.recv().await.map(|event| (Ok(event), (None, comes))),
        })))
    }
}

/// How much may be on its way on one stream, and on one connection.
const STREAM_BYTES: u32 = 1 << 20;
const CONNECTION_BYTES: u32 = 4 << 20;

type Events = Pin<Box<dyn Stream<Item = Result<OpenEvent, Status>> + Send>>;

fn refused(error: &ModuleError) -> host_proto::Refused {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    host_proto::Refused { code: error.code().to_owned(), cause: format!("{error}{cause}"), served: Vec::new() }
}

#[tonic::async_trait]
impl Service for Host {
    type OpenStream = Events;

    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<Events>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("nobody knows who asks"))?;
        let OpenRequest { protocol_min, protocol_max, digest } = request.into_inner();
        let (own_min, own_max) = HOST_PROTOCOLS;
        let protocol = protocol_max.min(own_max);
        if protocol < protocol_min.max(own_min) {
            let asked = format!("protocols {protocol_min} to {protocol_max} are asked for");
            return Err(Status::failed_precondition(format!("{asked}, {own_min} to {own_max} are spoken here")));
        }
        let digest = <[u8; 32]>::try_from(&*digest).map_err(|_| Status::invalid_argument("digest has not 32 bytes"))?;
        let events = self.opened(&peer, Digest(digest)).await.unwrap_or_else(|refused| {
            tracing::warn!(peer = %peer.addr, code = refused.code, refused.cause, "a supervisor gets no module here");
            let event = OpenEvent { event: Some(open_event::Event::Refused(refused)) };
            Box::pin(stream::iter([Ok(event)]))
        });
        Ok(Response::new(events))
    }
}
