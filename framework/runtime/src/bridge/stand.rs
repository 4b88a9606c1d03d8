//! A ractor actor that stands for a cell.
//!
//! It hands on what it is sent, one after the other, and stops when the cell is stopped: to whoever supervises it in
//! ractor, it is the actor.

use crate::actor_ref::ActorRef;
use crate::config::Status;
use crate::events::{EventStream, Seen, What};
use crate::outgoing::Outgoing;
use crate::runtime::Runtime;
use ractor::{Actor, ActorProcessingErr, ActorRuntime, RpcReplyPort, SpawnErr};
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{AskError, EncodeError, Fingerprint, Tag};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// A cell as ractor sees it. A cheap clone.
#[derive(Debug, Clone)]
pub struct Stand {
    actor: ractor::ActorRef<Forward>,
    room: Arc<Semaphore>,
}

/// A message on its way through a [`Stand`].
#[derive(Debug)]
pub struct Forward {
    tag: Tag,
    body: Vec<u8>,
    ask: Option<Ask>,
    _room: OwnedSemaphorePermit,
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Ask {
    /// The shape that is wanted.
    pub reply: Fingerprint,
    /// How long the cell may take. The messages behind it wait.
    pub timeout: Duration,
    /// Who gets it.
    pub port: RpcReplyPort<Result<(Fingerprint, Vec<u8>), AskError>>,
}

/// Why a message cannot go through a [`Stand`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// The cell is stopped, and its stand with it.
    #[error("the actor is stopped")]
    Stopped,
    /// It could not be written.
    #[error("the message cannot be encoded")]
    Encode(#[source] EncodeError),
}

impl Stand {
    /// Starts a ractor actor that stands for `actor`, with up to `messages_max` on their way through it. Called on a
    /// tokio runtime.
    ///
    /// # Errors
    /// What ractor says.
    pub async fn start(runtime: &Runtime, actor: ActorRef, messages_max: usize) -> Result<Self, SpawnErr> {
        let room = Arc::new(Semaphore::new(messages_max));
        let events = runtime.events();
        let watched = Watched { actor: actor.clone(), events, room: Arc::clone(&room) };
        let (stand, _) = ActorRuntime::spawn(None, StandIn { actor }, watched).await?;
        Ok(Self { actor: stand, room })
    }

    /// The ractor actor: to link to, to supervise, or to stop, which leaves the cell as it is.
    #[must_use]
    pub const fn actor(&self) -> &ractor::ActorRef<Forward> {
        &self.actor
    }

    /// Sends a message, waiting for room in the stand. A dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn tell<M: Outgoing>(&self, message: M) -> Result<(), Gone> {
        self.forward(message, None).await
    }

    /// As [`Stand::tell`], with somebody who waits.
    ///
    /// # Errors
    /// [`Gone`]; what goes wrong later goes to the port.
    pub async fn ask<M: Outgoing>(&self, message: M, ask: Ask) -> Result<(), Gone> {
        self.forward(message, Some(ask)).await
    }

    async fn forward<M: Outgoing>(&self, message: M, ask: Option<Ask>) -> Result<(), Gone> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Gone::Stopped)?;
        let mut body = Vec::new();
        message.encode(&mut body).map_err(Gone::Encode)?;
        let forward = Forward { tag: message.tag(), body, ask, _room: room };
        self.actor.send_message(forward).map_err(|_| Gone::Stopped)
    }
}

struct StandIn {
    actor: ActorRef,
}

struct Watched {
    actor: ActorRef,
    events: EventStream,
    room: Arc<Semaphore>,
}

/// As long as the stand runs; however it ends, nobody waits at its door and nobody watches for it.
struct Standing {
    room: Arc<Semaphore>,
    watch: AbortHandle,
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.room.close();
        self.watch.abort();
    }
}

impl Actor for StandIn {
    type Msg = Forward;
    type State = Standing;
    type Arguments = Watched;

    async fn pre_start(
        &self,
        myself: ractor::ActorRef<Forward>,
        watched: Watched,
    ) -> Result<Standing, ActorProcessingErr> {
        let room = Arc::clone(&watched.room);
        let watch = tokio::spawn(async move {
            let reason = stopped(watched).await;
            myself.stop(Some(reason));
        });
        Ok(Standing { room, watch: watch.abort_handle() })
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Forward>,
        forward: Forward,
        _: &mut Standing,
    ) -> Result<(), ActorProcessingErr> {
        let Forward { tag, body, ask, _room } = forward;
        match ask {
            // A refusal is a dead letter already, and a stopped cell ends this actor.
            None => drop(self.actor.tell_raw(tag, body).await),
            Some(Ask { reply, timeout, port }) => {
                drop(port.send(self.actor.ask_raw(tag, body, reply, timeout).await));
            }
        }
        Ok(())
    }
}

/// Waits until the cell is stopped, and says why it did.
async fn stopped(Watched { actor, mut events, .. }: Watched) -> String {
    loop {
        // What an observer that lags may have missed, the cell still knows.
        if let Status::Stopped { reason } = actor.info().status {
            return reason;
        }
        match events.next().await {
            Some(Seen::Event(event)) => {
                if let What::Stopped { addr, reason } = &event.what
                    && addr == actor.addr()
                {
                    return reason.clone();
                }
            }
            Some(Seen::Lagged(_)) => {}
            None => return "the runtime has ended".to_owned(),
        }
    }
}
