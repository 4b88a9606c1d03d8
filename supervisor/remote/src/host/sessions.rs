//! The processes that serve supervisors, each by the id of its session.

use super::gate::Peer;
use crate::HOST_PROTOCOLS;
use crate::client::child::{Ends, how};
use crate::client::ready::channel;
use crate::client::{Launch, ModuleError};
use crate::host_proto::{Ended, OpenEvent, Opened, ended, open_event};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tonic::transport::Channel;

/// Events that wait for a supervisor: what a process writes beyond that waits in its pipe.
pub(super) const EVENTS_MAX: usize = 16;

/// Bytes of a session's id, and of one event of output.
const ID_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 16 << 10;

/// See the module. A cheap clone.
#[derive(Clone)]
pub(super) struct Sessions(Arc<Shared>);

struct Shared {
    all: Mutex<HashMap<String, Session>>,
    places: Arc<Semaphore>,
}

struct Session {
    peer: Peer,
    channel: Channel,
}

/// What a supervisor is told of its process: what that writes, and its end.
type Told = (pipe::Receiver, mpsc::Sender<OpenEvent>);

impl Sessions {
    pub(super) fn new(sessions_max: usize) -> Self {
        Self(Arc::new(Shared { all: Mutex::default(), places: Arc::new(Semaphore::new(sessions_max)) }))
    }

    /// Starts a process, and tells of it until it ends or nobody hears any more.
    pub(super) async fn open(&self, peer: Peer, launch: Launch, told: Told) -> Result<Opened, ModuleError> {
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let full =
            |_| ModuleError::Refused("this host serves as many supervisors as it may: --sessions-max".to_owned());
        let place = place.map_err(full)?;
        if launch.serves.is_http() {
            let what = "it speaks HTTP, which only a host of its own machine does with it";
            return Err(ModuleError::Refused(what.to_owned()));
        }
        let (limits, socket, input) = (launch.limits, launch.socket.clone(), launch.input.clone());
        let mut child = Ends::start(&launch)?;
        // Its end of the pipe is its alone from here on: when it ends, the pipe does.
        drop(launch);
        let ready = async {
            child.listens(&input, &socket).await?;
            channel(&socket).await
        };
        let late = |_| ModuleError::NotReady { timeout: limits.ready_timeout };
        let channel = match timeout(limits.ready_timeout, ready).await.map_err(late) {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) | Err(error) => {
                let error = child.ended_instead().await.unwrap_or(error);
                return Err(with_its_words(error, told.0).await);
            }
        };
        let _ = std::fs::remove_file(&socket);
        let mut session = [0; ID_BYTES];
        OsRng.try_fill_bytes(&mut session).map_err(|error| ModuleError::Socket(io::Error::other(error)))?;
        let id: String = session.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.all.lock().insert(id.clone(), Session { peer, channel });
        let (pid, threads) = (u32::try_from(child.pid()).unwrap_or(0), limits.threads);
        tokio::spawn(lives(self.clone(), (id, place), child, told));
        Ok(Opened { protocol: HOST_PROTOCOLS.1, session: Bytes::copy_from_slice(&session), pid, threads })
    }

    /// The way to a session's process, for whoever opened it.
    pub(super) fn channel(&self, id: &str, peer: &Peer) -> Option<Channel> {
        let all = self.0.all.lock();
        all.get(id).filter(|session| session.peer.is(peer)).map(|session| session.channel.clone())
    }
}

/// Tells of a process until it has ended; one that nobody hears of any more is ended.
async fn lives(
    sessions: Sessions,
    (id, _place): (String, OwnedSemaphorePermit),
    mut child: Ends,
    (mut output, events): Told,
) {
    let mut wrote = BytesMut::with_capacity(OUTPUT_BYTES);
    let mut writes = true;
    let ended = loop {
        tokio::select! {
            status = child.wait() => break Some(status),
            () = events.closed() => break None,
            read = output.read_buf(&mut wrote), if writes => match read {
                Ok(1..) => if events.send(said(&mut wrote)).await.is_err() { break None },
                _ => writes = false,
            },
        }
    };
    if let Some(status) = ended {
        // What it wrote at last is there already.
        while let Ok(1..) = output.try_read_buf(&mut wrote) {
            if events.send(said(&mut wrote)).await.is_err() {
                break;
            }
        }
        let how = status.map_or_else(|error| ended::How::Other(error.to_string()), of_status);
        let _ = events.send(OpenEvent { event: Some(open_event::Event::Ended(Ended { how: Some(how) })) }).await;
    } else {
        tracing::info!(pid = child.pid(), "a supervisor is gone, and its module is ended");
    }
    sessions.0.all.lock().remove(&id);
    child.kill();
    let _ = child.wait().await;
}

fn said(wrote: &mut BytesMut) -> OpenEvent {
    let bytes = wrote.split().freeze();
    wrote.reserve(OUTPUT_BYTES);
    OpenEvent { event: Some(open_event::Event::Output(bytes)) }
}

fn of_status(status: ExitStatus) -> ended::How {
    match (status.code(), status.signal()) {
        (Some(code), _) => ended::How::Exit(code),
        (None, Some(signal)) => ended::How::Signal(signal),
        (None, None) => ended::How::Other(how(status)),
    }
}

/// Of one that was never ready, with the last that it wrote.
async fn with_its_words(error: ModuleError, output: pipe::Receiver) -> ModuleError {
    let ModuleError::Ended { ended } = error else { return error };
    let mut wrote = BytesMut::with_capacity(OUTPUT_BYTES);
    while let Ok(1..) = output.try_read_buf(&mut wrote) {}
    let text = String::from_utf8_lossy(&wrote).into_owned();
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    ModuleError::Ended { ended: last.map_or_else(|| ended.clone(), |last| format!("{ended}: {last}")) }
}
