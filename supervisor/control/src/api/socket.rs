//! Who is listened to, and within which bounds.
//!
//! The socket can load code, so whoever reaches it is this user (R20): it lies in a directory that only the user can
//! enter, only the user can open it, and the kernel is asked who is at the other end. A caller has a bounded time for
//! the head of its request and for taking its answer, the number of callers is bounded, and what a body may have is the
//! handlers' to say.

use crate::api::rate::{Purse, REFUSED_AFTER, Rates};
use crate::api::stall::{STALL_TIMEOUT, Stalling};
use crate::api::{ApiError, CONNECTIONS_MAX, Caller, HEALTH, SOCKET, Watching};
use axum::Router;
use axum::http::{Request, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long a caller may take for the head of a request, and how long an idle connection is kept.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a caller that is turned away may take to ask, and to listen; a watcher, to hear that the host stops.
const TURNED_AWAY: Duration = Duration::from_secs(1);

/// Largest head of a request.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long to let nobody in after somebody was turned away for want of room: turning away must cost little.
const CROWDED: Duration = Duration::from_millis(5);

/// How long to wait after the kernel refused a connection: it has no descriptor left.
pub(super) const BREATH: Duration = Duration::from_millis(50);

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Others could reach it.
    #[error("{} is not a directory of this user alone (its mode is {mode:o}, its owner {owner})", .dir.display())]
    Open {
        /// The directory.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner's user id.
        owner: u32,
    },
    /// Something lies at its place that is no socket of this user.
    #[error("{} is in the way: it is no socket of this user", .0.display())]
    Squatted(PathBuf),
    /// The system refused.
    #[error("cannot listen on {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SocketError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "CTL-OPEN",
            Self::Squatted(_) => "CTL-SQUATTED",
            Self::Io { .. } => "CTL-LISTEN",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Open { dir, .. } => format!("chmod 700 {}, or take a directory of your own", dir.display()),
            Self::Squatted(path) => format!("look at who made {}, and take it away", path.display()),
            Self::Io { .. } => "mend what the cause says; a path of a socket has at most 107 bytes".to_owned(),
        }
    }
}

/// A socket that listens. Dropped, it is taken away.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    within: Within,
    /// Dropped, it tells every connection to answer what it has and to end.
    open: watch::Sender<()>,
}

/// What all callers share. A cheap clone.
#[derive(Debug, Clone)]
struct Within {
    room: Arc<Semaphore>,
    connections_max: usize,
    watching: Watching,
    rates: Arc<Rates>,
}

impl Within {
    fn new(connections_max: usize) -> Self {
        let (room, watching) = (Arc::new(Semaphore::new(connections_max)), Watching::among(connections_max));
        Self { room, connections_max, watching, rates: Arc::default() }
    }
}

impl Socket {
    /// Listens in a directory that the caller alone has open: a socket that lies there is one that a process before it
    /// left. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn listen(dir: &Path) -> Result<Self, SocketError> {
        let path = dir.join(SOCKET);
        let failed = |source| SocketError::Io { path: path.clone(), source };
        let found = fs::metadata(dir).map_err(failed)?;
        let (mode, owner) = (found.mode() & 0o777, found.uid());
        if mode & 0o077 != 0 || owner != own_uid() {
            return Err(SocketError::Open { dir: dir.to_owned(), mode, owner });
        }
        match fs::symlink_metadata(&path) {
            Ok(left) if left.file_type().is_socket() && left.uid() == own_uid() => {
                fs::remove_file(&path).map_err(failed)?;
            }
            Ok(_) => return Err(SocketError::Squatted(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let (within, (open, _)) = (Within::new(CONNECTIONS_MAX), watch::channel(()));
        Ok(Self { listener, path, within, open })
    }

    /// The same with room for so many connections at a time, instead of [`CONNECTIONS_MAX`]; to be said before it
    /// serves.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.within = Within::new(connections_max);
        self
    }

    /// Answers with `router` until the future is dropped. Connections go on until the socket is dropped, and then to
    /// the answer that they owe.
    pub async fn serve(&self, router: Router) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let crowded = self.within.room.available_permits() == 0;
                    tokio::spawn(admit(stream, self.within.clone(), self.open.subscribe(), router.clone()));
                    if crowded {
                        // Whoever is next is turned away as well, unless somebody leaves meanwhile.
                        tokio::time::sleep(CROWDED).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a caller of the control socket was not let in");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// Lets nobody in any more, and waits until everybody inside has the answer that is owed, at most `timeout`.
    pub async fn close(self, timeout: Duration) {
        let Within { room, connections_max, .. } = self.within.clone();
        let places = u32::try_from(connections_max).unwrap_or(u32::MAX);
        drop(self);
        if tokio::time::timeout(timeout, room.acquire_many(places)).await.is_err() {
            tracing::warn!("callers of the control socket are left without an answer");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the control socket was not taken away");
        }
    }
}

async fn admit(stream: UnixStream, within: Within, open: watch::Receiver<()>, router: Router) {
    let room = Arc::clone(&within.room);
    let peer = stream.peer_cred().map(|peer| Caller { uid: peer.uid(), pid: peer.pid() });
    let refused = match (peer, room.try_acquire_owned()) {
        (Ok(caller), Ok(place)) if may_command(caller.uid, own_uid()) => {
            return converse(stream, (caller, within, place), open, router).await;
        }
        (Ok(Caller { uid, .. }), _) if !may_command(uid, own_uid()) => ApiError::request(
            StatusCode::FORBIDDEN,
            "CTL-PEER",
            format!("user {uid} may not command this host"),
            "run the command as the user that the host runs as",
        ),
        (Err(error), _) => {
            let hint = "run the command as the user that the host runs as";
            ApiError::new(StatusCode::FORBIDDEN, "CTL-PEER", &error, "nothing was done", hint)
        }
        (Ok(_), _) => ApiError::request(
            StatusCode::SERVICE_UNAVAILABLE,
            "CTL-BUSY",
            format!("{} callers are connected, and there is no room for another", within.connections_max),
            "try again, or end commands that wait",
        ),
    };
    turn_away(stream, &refused).await;
}

async fn converse(
    stream: UnixStream,
    (caller, within, _place): (Caller, Within, OwnedSemaphorePermit),
    mut open: watch::Receiver<()>,
    router: Router,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let watching = within.watching.another();
    let service = service_fn(async |mut request: Request<Incoming>| {
        let purse = if request.uri().path() == HEALTH { Purse::Health } else { Purse::Work };
        if let Err(refused) = within.rates.take(&caller, purse) {
            tokio::time::sleep(REFUSED_AFTER).await;
            return Ok(([(header::RETRY_AFTER, "1")], refused).into_response());
        }
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(watching.clone());
        TowerToHyperService::new(router.clone()).call(request).await
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(Stalling::new(stream, STALL_TIMEOUT)), service));
    let done = tokio::select! {
        done = connection.as_mut() => done,
        // Never sent to: it ends with the socket.
        _ = open.changed() => {
            connection.as_mut().graceful_shutdown();
            match watching.has_begun() {
                true => tokio::time::timeout(TURNED_AWAY, connection).await.unwrap_or(Ok(())),
                false => connection.await,
            }
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a caller of the control socket went away");
    }
}

/// Says why and closes. The first words of the request are let come and dropped: a caller is to ask before it is
/// answered.
pub(super) async fn turn_away(mut stream: impl AsyncRead + AsyncWrite + Unpin, why: &ApiError) {
    let mut dropped = [0; 4 << 10];
    if tokio::time::timeout(TURNED_AWAY, stream.read(&mut dropped)).await.is_err() {
        return;
    }
    let body = why.body();
    let (status, bytes) = (why.status, body.len());
    let head = format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\nconnection: \
         close\r\n\r\n"
    );
    let said = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(TURNED_AWAY, said).await, Ok(Ok(()))) {
        tracing::debug!("a caller that was turned away did not listen");
    }
}

/// This user, and root, who could do anything anyway.
fn may_command(peer: u32, own: u32) -> bool {
    peer == own || peer == 0 || cfg!(feature = "bug-r20")
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_may_not_command() {
        assert!(may_command(1000, 1000));
        assert!(may_command(0, 1000));
        assert!(!may_command(1001, 1000));
        assert!(!may_command(1000, 0));
    }

    #[tokio::test]
    async fn only_a_directory_of_the_user_alone_holds_the_socket() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).expect("it is ours");
        let error = Socket::listen(dir.path()).expect_err("the group could reach it");
        assert_eq!(error.code(), "CTL-OPEN", "{error}");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
        let socket = Socket::listen(dir.path()).expect("it is ours alone");
        let found = fs::metadata(&socket.path).expect("it is there");
        assert_eq!(found.mode() & 0o777, 0o600);
        drop(socket);
        assert!(!dir.path().join(SOCKET).exists());
    }

    #[tokio::test]
    async fn what_lies_in_the_way_is_left_there() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
        let path = dir.path().join(SOCKET);
        fs::write(&path, "mine").expect("it is ours");
        let error = Socket::listen(dir.path()).expect_err("something is in the way");
        assert_eq!(error.code(), "CTL-SQUATTED", "{error}");
        assert_eq!(fs::read(&path).expect("it is there"), b"mine");
        fs::remove_file(&path).expect("it is ours");
        // What a process that was killed left behind is no obstacle.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("it binds"));
        Socket::listen(dir.path()).expect("nobody listens there");
    }
}
