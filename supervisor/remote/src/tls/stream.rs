//! A connection over TLS, as gRPC is spoken on it.

use super::Pings;
use super::why::cause;
use crate::client::ModuleError;
use crate::discover::Endpoint;
use parking_lot::Mutex;
use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What TLS said when a connection broke: whoever speaks HTTP/2 on it does not pass that on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noticed(Arc<Mutex<Option<rustls::Error>>>);

impl Noticed {
    pub(crate) fn get(&self) -> Option<rustls::Error> {
        self.0.lock().clone()
    }

    fn look(&self, error: &io::Error) {
        if let Some(cause) = cause(error) {
            self.0.lock().get_or_insert_with(|| cause.clone());
        }
    }
}

/// A connection that was made.
pub(crate) struct Dialled {
    stream: TlsStream<TcpStream>,
    noticed: Noticed,
}

impl Dialled {
    pub(crate) fn noticed(&self) -> Noticed {
        self.noticed.clone()
    }
}

/// How long it may take until it is known who is there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects, and looks who is there.
///
/// # Errors
/// [`ModuleError`]: it is not reached, or is not believed.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    config: &Arc<ClientConfig>,
    pings: Pings,
) -> Result<Dialled, ModuleError> {
    let late = |_| {
        let text = format!("it does not answer within {DIAL_TIMEOUT:?}");
        ModuleError::Unreachable { endpoint: endpoint.clone(), source: io::Error::new(io::ErrorKind::TimedOut, text) }
    };
    timeout(DIAL_TIMEOUT, dialled(endpoint, config, pings)).await.map_err(late)?
}

async fn dialled(endpoint: &Endpoint, config: &Arc<ClientConfig>, pings: Pings) -> Result<Dialled, ModuleError> {
    let unreachable = |source| ModuleError::Unreachable { endpoint: endpoint.clone(), source };
    let Some((host, port)) = endpoint.host_port() else {
        return Err(unreachable(io::Error::other("it is no endpoint of another machine")));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(io::Error::other(error)))?;
    let tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    tune(&tcp, pings).map_err(unreachable)?;
    let connected = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
    let stream = connected.map_err(|error| ModuleError::of_tls(endpoint, cause(&error), &error))?;
    Ok(Dialled { stream, noticed: Noticed::default() })
}

/// Small frames go at once; what is not acknowledged for too long breaks the connection, also where nobody pings.
pub(crate) fn tune(tcp: &TcpStream, pings: Pings) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let silent = (pings.every + pings.timeout).as_millis();
    sockopt::set_tcp_user_timeout(tcp, u32::try_from(silent).unwrap_or(u32::MAX))?;
    Ok(())
}

impl AsyncRead for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        Poll::Ready(read.inspect_err(|error| self.noticed.look(error)))
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(wrote.inspect_err(|error| self.broken(cx, error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(flushed.inspect_err(|error| self.broken(cx, error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Dialled {
    /// Writing fails: why stands in what the other side said before it hung up, which nobody would read any more.
    fn broken(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        self.noticed.look(error);
        let mut last = [0; 1 << 10];
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut last)) {
            self.noticed.look(&error);
        }
    }
}
