//! A listener for everybody: the routes of a service, over TCP.
//!
//! The bounds are those of the control socket: a bounded number of callers, a bounded time for a head and for
//! taking an answer. What may be asked is the router's to say; nothing of the control API is.

use super::socket::{BREATH, HEAD_BYTES_MAX, HEAD_TIMEOUT, turn_away};
use super::stall::{STALL_TIMEOUT, Stalling};
use crate::api::ApiError;
use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Why nobody can be listened to.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ListenError {
    /// Where.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

impl ListenError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "HTTP-LISTEN"
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!("end what listens on {}, or take another port", self.address),
            io::ErrorKind::PermissionDenied => "take a port from 1024 on".to_owned(),
            _ => "listen on an address of this machine, as in 127.0.0.1:8080".to_owned(),
        }
    }
}

/// An address that is listened on.
#[derive(Debug)]
pub struct HttpListener {
    listener: TcpListener,
    address: SocketAddr,
    room: Arc<Semaphore>,
    connections_max: usize,
    /// Dropped, it tells every connection to answer what it has and to end.
    open: watch::Sender<()>,
}

impl HttpListener {
    /// Listens, for so many connections at a time.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(address: SocketAddr, connections_max: usize) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (room, (open, _)) = (Arc::new(Semaphore::new(connections_max)), watch::channel(()));
        Ok(Self { listener, address, room, connections_max, open })
    }

    /// Where it listens: with the port that the kernel chose, if it was to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `router` until the future is dropped. Connections go on until the listener is dropped, and then to
    /// the answer that they owe.
    pub async fn serve(&self, router: Router) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (room, open) = (Arc::clone(&self.room), self.open.subscribe());
                    tokio::spawn(admit(stream, (room, self.connections_max), open, router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a caller was not let in");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// Lets nobody in any more, and waits until everybody inside has the answer that is owed, at most `timeout`.
    pub async fn close(self, timeout: Duration) {
        let room = Arc::clone(&self.room);
        let places = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        drop(self);
        if tokio::time::timeout(timeout, room.acquire_many(places)).await.is_err() {
            tracing::warn!("callers are left without an answer");
        }
    }
}

async fn admit(
    stream: TcpStream,
    (room, connections_max): (Arc<Semaphore>, usize),
    open: watch::Receiver<()>,
    router: Router,
) {
    // Small answers must not wait for larger ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a caller's answers may be late");
    }
    match room.try_acquire_owned() {
        Ok(place) => converse(stream, place, open, router).await,
        Err(_) => {
            let what = format!("{connections_max} callers are connected, and there is no room for another");
            let busy = ApiError::request(StatusCode::SERVICE_UNAVAILABLE, "HTTP-BUSY", what, "try again in a moment");
            turn_away(stream, &busy).await;
        }
    }
}

/// Answers until the caller goes, or until the listener closes and the caller has what it is owed.
async fn converse(stream: TcpStream, _place: OwnedSemaphorePermit, mut open: watch::Receiver<()>, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let stream = TokioIo::new(Stalling::new(stream, STALL_TIMEOUT));
    let mut connection = pin!(http.serve_connection(stream, TowerToHyperService::new(router)));
    let done = tokio::select! {
        done = connection.as_mut() => done,
        // Never sent to: it ends with the listener.
        _ = open.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a caller went away");
    }
}
