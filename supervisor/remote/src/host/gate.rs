//! Who comes in: a supervisor whose certificate the authority has signed, and nobody else.

use crate::tls::{Identity, Pings, fault, tune};
use futures_util::{Stream, stream};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// How long a handshake may take, and how long somebody who was refused is listened to, so that it hears why.
const HANDSHAKE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(1);

/// How long after an error of the machine somebody else is let in.
const AGAIN: Duration = Duration::from_millis(100);

/// Somebody who came in.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    /// What it has shown.
    certificate: Arc<[u8]>,
}

impl Peer {
    /// Whether both have shown the same certificate.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.certificate == other.certificate
    }
}

/// A connection, as tonic serves it.
pub(super) struct Inside {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

/// Who comes in, at most so many at a time: others wait until the kernel's queue is full.
pub(super) fn incoming(
    listener: TcpListener,
    identity: Identity,
    connections_max: usize,
    pings: Pings,
) -> impl Stream<Item = io::Result<Inside>> {
    let (came, comes) = mpsc::channel(1);
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(connections_max));
        let mut latest = None;
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = came.closed() => return,
            };
            let Ok((tcp, addr)) = accepted else {
                // Too many files are open, or the like.
                sleep(AGAIN).await;
                continue;
            };
            // Read for each: what was renewed counts from now on.
            match identity.server() {
                Ok(config) => latest = Some(config),
                Err(error) => tracing::error!(code = error.code(), %error, "the certificate before counts on"),
            }
            if let Some(config) = latest.clone() {
                let came = came.clone();
                tokio::spawn(async move {
                    if let Some(inside) = let_in(tcp, addr, (config, pings), place).await {
                        // Nobody serves any more: it is dropped.
                        let _ = came.send(Ok(inside)).await;
                    }
                });
            }
        }
    });
    stream::unfold(comes, async |mut comes| comes.recv().await.map(|inside| (inside, comes)))
}

async fn let_in(
    tcp: TcpStream,
    addr: SocketAddr,
    (config, pings): (Arc<ServerConfig>, Pings),
    place: OwnedSemaphorePermit,
) -> Option<Inside> {
    tune(&tcp, pings).ok()?;
    let handshake = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(tcp).into_fallible()).await;
    match handshake.ok()? {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let leaf = session.peer_certificates().and_then(|chain| chain.first());
            let certificate = leaf.map(|leaf| leaf.as_ref().into()).unwrap_or_default();
            Some(Inside { stream, peer: Peer { addr, certificate }, _place: place })
        }
        Err((error, tcp)) => {
            let wrong = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).and_then(fault);
            match wrong {
                Some(wrong) => tracing::warn!(peer = %addr, code = wrong.code(), %wrong, "a certificate is refused"),
                None => tracing::warn!(peer = %addr, %error, "somebody who does not speak TLS 1.3 is refused"),
            }
            // The reason is on its way: a connection that is closed with something unread would take it along.
            let _ = timeout(FAREWELL, farewell(tcp)).await;
            None
        }
    }
}

async fn farewell(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut rest = [0; 1 << 10];
    while tcp.read(&mut rest).await? > 0 {}
    Ok(())
}

impl Connected for Inside {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Inside {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Inside {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
