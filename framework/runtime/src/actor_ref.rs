//! A handle on one actor: tell, ask, look, pause, stop.
//!
//! It names the cell, not the code: it stays good over every restart and upgrade.

use crate::ask::Asking;
use crate::cell::body::Body;
use crate::cell::envelope::{Barred, Envelope, Kind};
use crate::cell::protocol::{Life, Refused, Room};
use crate::cell::slot::Slot;
use crate::cell::{Cell, Ticket};
use crate::checkpoint::CheckpointSeen;
use crate::config::{ActorInfo, Parked, StartArgs, Status};
use crate::dead_letters::{DeadLetter, Letter};
use crate::error::{LeaseLost, PauseRefused, StopError, TellError, TryTellError};
use crate::lease::{Lease, LeaseRequest, PauseRequest, Quiesced};
use crate::outgoing::{Outgoing, encode};
use crate::ports::Provider;
use crate::runtime::Due;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use teneral_contract::{Addr, AskError, EncodeError, Fingerprint, Refusal, Request, Shape, Tag, Wire};

/// One actor. A cheap clone.
#[derive(Clone, Debug)]
pub struct ActorRef {
    pub(crate) cell: Arc<Cell>,
}

impl PartialEq for ActorRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }
}

impl Eq for ActorRef {}

/// Why a message goes nowhere, without the message.
enum NotSent {
    Full,
    Closed,
    UnknownMessage(String),
    UnknownShape(String),
    TooLarge { bytes: usize, limit_bytes: usize },
    Encode(EncodeError),
}

/// Why a message is not sent at once.
enum NotNow {
    /// There is no room yet.
    Full(Envelope),
    /// It goes nowhere.
    Never(NotSent),
}

impl NotSent {
    /// Said by name, where whoever sends has the message's type.
    fn named(self, name: &str) -> Self {
        if let Self::UnknownMessage(_) = self { Self::UnknownMessage(name.to_owned()) } else { self }
    }

    fn with<M>(self, message: M) -> TellError<M> {
        match self {
            Self::Full | Self::Closed => TellError::Closed(message),
            Self::UnknownMessage(name) => TellError::UnknownMessage { message, name },
            Self::UnknownShape(name) => TellError::UnknownShape { message, name },
            Self::TooLarge { bytes, limit_bytes } => TellError::TooLarge { message, bytes, limit_bytes },
            Self::Encode(error) => TellError::Encode { message, error },
        }
    }

    fn or_full<M>(self, message: M) -> TryTellError<M> {
        match self {
            Self::Full => TryTellError::Full(message),
            Self::Closed => TryTellError::Closed(message),
            Self::UnknownMessage(name) => TryTellError::UnknownMessage { message, name },
            Self::UnknownShape(name) => TryTellError::UnknownShape { message, name },
            Self::TooLarge { bytes, limit_bytes } => TryTellError::TooLarge { message, bytes, limit_bytes },
            Self::Encode(error) => TryTellError::Encode { message, error },
        }
    }
}

/// A place in the line for room; given up when dropped.
pub(crate) struct Line<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) ticket: Option<Ticket>,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.cell.protocol.forget(ticket);
        }
    }
}

impl ActorRef {
    pub(crate) const fn new(cell: Arc<Cell>) -> Self {
        Self { cell }
    }

    /// Its name.
    #[must_use]
    pub fn addr(&self) -> &Addr {
        &self.cell.addr
    }

    /// What is kept of it for the end of its process; `None`: nothing, or it is being gone on from at this moment. Not
    /// in [`ActorRef::info`], since it waits up to 5 ms for whoever writes it.
    #[must_use]
    pub fn checkpoint(&self) -> Option<CheckpointSeen> {
        self.cell.checkpoint_seen()
    }

    /// What is known of it without asking it.
    #[must_use]
    pub fn info(&self) -> ActorInfo {
        let cell = &self.cell;
        let (queued, life, owner, provider, generation) = cell.protocol.look(|queued, life, holder, gate| {
            let owner = holder.map(|lease| lease.owner.clone());
            (queued, life, owner, Arc::clone(&gate.provider), gate.generation)
        });
        let supervision = cell.shared.supervision();
        let (outbox_effects, stop_reason) = cell
            .existing_extras()
            .map(|extras| (extras.outbox.waiting.len(), extras.stop_reason.clone()))
            .unwrap_or_default();
        let status = match (life, owner) {
            (Life::Stopped, _) => Status::Stopped { reason: stop_reason.unwrap_or_default() },
            (Life::Suspended, _) => Status::Suspended { reason: cell.ended_reason() },
            (Life::Live, Some(owner)) => Status::Paused { owner },
            (Life::Live, None) => Status::Running,
        };
        let mut children = cell.child.get().map(|child| supervision.children(*child)).unwrap_or_default();
        children.sort_unstable_by(|a, b| a.path().cmp(b.path()));
        ActorInfo {
            addr: cell.addr.clone(),
            version: provider.version().clone(),
            digest: provider.digest(),
            schema: provider.schema(),
            generation,
            status,
            queued_messages: queued.messages,
            queued_bytes: queued.bytes,
            outbox_effects,
            handled: cell.counts.handled.load(Relaxed),
            failed: cell.counts.failed.load(Relaxed),
            panics: cell.counts.panics.load(Relaxed),
            restarts: cell.counts.restarts.load(Relaxed),
            parent: cell.birth.options.parent.clone(),
            children,
            options: cell.birth.options.clone(),
        }
    }

    /// The code that runs it: what an upgrade starts from, whatever lies on disk by now.
    #[must_use]
    pub fn provider(&self) -> Arc<dyn Provider> {
        self.cell.provider()
    }

    /// What it was started with, and what a reset starts from again.
    #[must_use]
    pub fn start_args(&self) -> StartArgs {
        self.cell.birth.args.clone()
    }

    /// Sends a message, waiting for room. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`TellError`], with the message.
    pub async fn tell<M: Outgoing>(&self, message: M) -> Result<(), TellError<M>> {
        let sent = match encode(&message) {
            Ok(body) => self.send_now(message.tag(), body),
            Err(error) => Err(NotNow::Never(NotSent::Encode(error))),
        };
        let sent = match sent {
            Ok(()) => return Ok(()),
            // Apart, and on the heap: whoever finds room pays for nothing else.
            Err(NotNow::Full(envelope)) => Box::pin(self.wait_for_room(envelope)).await,
            Err(NotNow::Never(why)) => Err(why),
        };
        sent.map_err(|why| why.named(message.name()).with(message))
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    /// [`TryTellError`], with the message.
    pub fn try_tell<M: Outgoing>(&self, message: M) -> Result<(), TryTellError<M>> {
        let sent = encode(&message).map_err(NotSent::Encode).and_then(|body| self.try_send(message.tag(), body));
        sent.map_err(|why| why.named(message.name()).or_full(message))
    }

    /// Asks, waiting for room and for the answer, both within `timeout`. A dropped future cancels the wait; the request
    /// may still be handled, its reply is dropped and counted.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<R: Request>(&self, request: R, timeout: Duration) -> Result<R::Reply, AskError> {
        let body = encode(&request).map_err(|error| AskError::Encode(error.to_string()))?;
        let (tag, shape) = (<R as Wire>::tag(), <R::Reply as Shape>::FINGERPRINT);
        let asking = Asking::new(&self.cell, None, (tag, body), shape, timeout)?;
        let reply = asking.await.map_err(|error| match error {
            AskError::UnknownMessage(_) => AskError::UnknownMessage(R::NAME.to_owned()),
            other => other,
        })?;
        R::Reply::decode(reply.shape, &reply.body).map_err(|error| AskError::Decode(error.to_string()))
    }

    /// As [`ActorRef::tell`], already encoded.
    ///
    /// # Errors
    /// [`TellError`], with the body.
    pub async fn tell_raw(&self, tag: Tag, body: Vec<u8>) -> Result<(), TellError<Vec<u8>>> {
        let copy = Body::copy(&body);
        let sent = match self.fits(&copy) {
            Ok(()) => self.wait_for_room(Envelope::new(tag, copy, Kind::Tell, None)).await,
            Err(why) => Err(why),
        };
        sent.map_err(|why| why.with(body))
    }

    /// As [`ActorRef::tell_raw`], with the actor that it is from.
    ///
    /// # Errors
    /// [`TellError`], with the body.
    pub async fn tell_raw_from(&self, from: &Self, tag: Tag, body: Vec<u8>) -> Result<(), TellError<Vec<u8>>> {
        let copy = Body::copy(&body);
        let sent = match self.fits(&copy) {
            Ok(()) => self.wait_for_room(Envelope::new(tag, copy, Kind::Tell, Some(Arc::clone(&from.cell)))).await,
            Err(why) => Err(why),
        };
        sent.map_err(|why| why.with(body))
    }

    /// Whether it is no more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.cell.protocol.is_stopped()
    }

    /// Whether no turn of it runs, the first one of its instance included.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.cell.protocol.is_at_rest()
    }

    /// As [`ActorRef::try_tell`], already encoded.
    ///
    /// # Errors
    /// [`TryTellError`], with the body.
    pub fn try_tell_raw(&self, tag: Tag, body: Vec<u8>) -> Result<(), TryTellError<Vec<u8>>> {
        self.try_send(tag, Body::copy(&body)).map_err(|why| why.or_full(body))
    }

    /// Sends a dead letter's message to this actor, as from whom it came, and takes it out of the ring when it is
    /// accepted. It passes the contract map of the code that runs now.
    ///
    /// # Errors
    /// Why it was not accepted; then the letter stays as it is. `None`: its body is not kept.
    pub fn resend(&self, letter: &DeadLetter) -> Result<(), Option<AskError>> {
        let shared = &self.cell.shared;
        // Taken first: of two who send it again, one does.
        let body = shared.dead_letters.take_body(letter.id).ok_or(None)?;
        if let Err(why) = shared.send_again(&self.cell, letter, &body) {
            shared.dead_letters.put_back(letter.id, body);
            return Err(Some(why));
        }
        shared.dead_letters.forget(letter.id);
        Ok(())
    }

    /// As [`ActorRef::ask`], already encoded; `reply` is the shape that the caller reads.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_raw(
        &self,
        tag: Tag,
        body: Vec<u8>,
        reply: Fingerprint,
        timeout: Duration,
    ) -> Result<(Fingerprint, Vec<u8>), AskError> {
        self.ask_raw_from(None, tag, body, reply, timeout).await
    }

    /// As [`ActorRef::ask_raw`], with the actor that it is from, if it is from one.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_raw_from(
        &self,
        from: Option<&Self>,
        tag: Tag,
        body: Vec<u8>,
        reply: Fingerprint,
        timeout: Duration,
    ) -> Result<(Fingerprint, Vec<u8>), AskError> {
        let from = from.map(|from| Arc::clone(&from.cell));
        let reply = Asking::new(&self.cell, from, (tag, body.into()), reply, timeout)?.await?;
        Ok((reply.shape, reply.body.into_vec()))
    }

    #[inline]
    fn fits(&self, body: &Body) -> Result<(), NotSent> {
        let limit_bytes = self.cell.shared.config.message_bytes_max;
        if body.len() > limit_bytes {
            return Err(NotSent::TooLarge { bytes: body.len(), limit_bytes });
        }
        Ok(())
    }

    fn try_send(&self, tag: Tag, body: Body) -> Result<(), NotSent> {
        self.fits(&body)?;
        let envelope = Envelope::new(tag, body, Kind::Tell, None);
        match self.cell.protocol.push(envelope, Room::Asked, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => {
                self.cell.owe(again);
                Ok(())
            }
            Err(refused) => Err(self.not_sent(refused)),
        }
    }

    /// Sends, unless there is no room or somebody else waits for it.
    fn send_now(&self, tag: Tag, body: Body) -> Result<(), NotNow> {
        self.fits(&body).map_err(NotNow::Never)?;
        let envelope = Envelope::new(tag, body, Kind::Tell, None);
        match self.cell.protocol.push_behind(envelope, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => {
                self.cell.owe(again);
                Ok(())
            }
            Err(Refused::Full(envelope)) => Err(NotNow::Full(envelope)),
            Err(refused) => Err(NotNow::Never(self.not_sent(refused))),
        }
    }

    async fn wait_for_room(&self, envelope: Envelope) -> Result<(), NotSent> {
        let mut waiting = Some(envelope);
        let mut line = Line { cell: &self.cell, ticket: None };
        poll_fn(|cx: &mut Context<'_>| {
            let Some(envelope) = waiting.take() else { return Poll::Pending };
            let admit = |gate: &crate::cell::Gate, envelope: &mut Envelope| gate.admit(envelope);
            match self.cell.protocol.push_or_wait(envelope, &mut line.ticket, cx.waker(), admit) {
                Ok(again) => {
                    line.ticket = None;
                    self.cell.owe(again);
                    Poll::Ready(Ok(()))
                }
                Err(Refused::Full(envelope)) => {
                    waiting = Some(envelope);
                    Poll::Pending
                }
                Err(refused) => Poll::Ready(Err(self.not_sent(refused))),
            }
        })
        .await
    }

    fn not_sent(&self, refused: Refused<Envelope, Barred>) -> NotSent {
        match refused {
            Refused::Full(_) => NotSent::Full,
            Refused::Closed(_) => NotSent::Closed,
            Refused::Gate(envelope, barred) => {
                let (to, tag, body_bytes) = (self.addr().clone(), envelope.tag(), envelope.body.len());
                let reason = barred.to_dead_reason();
                let body = Some(envelope.body);
                self.cell.shared.dead_letters.record(Letter { to, from: None, tag, body_bytes, body, reason });
                match barred {
                    Barred::Contract(Refusal::UnknownMessage(id)) => NotSent::UnknownMessage(format!("{id:016x}")),
                    Barred::Contract(Refusal::UnknownShape { name, .. }) => NotSent::UnknownShape(name),
                    Barred::ReplyShape => NotSent::UnknownShape("of its reply".to_owned()),
                }
            }
        }
    }

    /// Stops it after its turn, also while it is paused; an empty reason is a normal stop. Its children stop first;
    /// then every pending ask is answered and what waits becomes dead letters.
    ///
    /// # Errors
    /// [`StopError`]: it is cut off.
    pub async fn stop(&self, reason: &str, timeout: Duration) -> Result<(), StopError> {
        let cell = &self.cell;
        let ended = Arc::new(Slot::new());
        {
            let mut extras = cell.extras();
            extras.mourners.push(Arc::clone(&ended));
            if extras.stop_reason.is_none() {
                extras.stop_reason = Some(reason.to_owned());
            }
        }
        let (true, Some(child)) = (cell.protocol.look(|_, life, _, _| life != Life::Stopped), cell.child.get()) else {
            return Ok(());
        };
        let shared = &cell.shared;
        let key = shared.timers().schedule(shared.clock.now() + timeout, Due::CutOff(Arc::clone(cell)));
        shared.supervision().stop(*child);
        poll_fn(|cx| ended.poll(cx)).await;
        shared.timers().cancel(key);
        if cell.extras().cut_off { Err(StopError::CutOff(timeout)) } else { Ok(()) }
    }

    /// The encoded messages that wait for it, which new code must have a path for.
    #[must_use]
    pub fn parked(&self) -> Vec<Parked> {
        self.cell.parked()
    }

    /// Pauses it at the next message boundary and hands the pause out as a token. Blocks this thread for at most
    /// `quiesce_timeout`.
    ///
    /// # Errors
    /// [`PauseRefused`]: it is not paused, and never will be by this request.
    pub fn quiesce(&self, request: LeaseRequest) -> Result<Quiesced, PauseRefused> {
        self.ask_pause(request)?.wait()
    }

    /// Asks for a pause: no further turn begins. Never waits. From now on it can be cancelled.
    ///
    /// # Errors
    /// [`PauseRefused`]: it is not paused, and never will be by this request.
    pub fn ask_pause(&self, request: LeaseRequest) -> Result<PauseRequest, PauseRefused> {
        let LeaseRequest { owner, generation, quiesce_timeout, max_pause, on_lost } = request;
        let lease = Lease::new(owner, max_pause, self.cell.shared.clock.now(), on_lost);
        self.cell.ask_pause(lease, Some(generation), quiesce_timeout)
    }

    /// An operator's pause, for at most `ttl`. A second one by the same owner prolongs it; while the first is not
    /// granted yet, both wait. Blocks this thread for at most `stop_timeout`.
    ///
    /// # Errors
    /// As [`ActorRef::quiesce`].
    pub fn pause(&self, owner: &str, ttl: Duration) -> Result<(), PauseRefused> {
        self.cell.pause_for(owner, ttl)
    }

    /// Ends an operator's pause, or withdraws what the operator asked for; a no-op when there is none by this owner.
    pub fn resume(&self, owner: &str) {
        self.cancel_pause_of(owner, owner);
    }

    /// Cancels the pause that `owner` has or asks for; a no-op when there is none by this owner.
    pub fn cancel_pause_of(&self, owner: &str, by: &str) {
        if let Some(lease) = self.holder().filter(|lease| lease.owner == owner) {
            lease.take_back(&self.cell, LeaseLost::Cancelled { by: by.to_owned() });
        }
    }

    /// Cancels whatever pause there is, an upgrade's as well: the old instance resumes, the holder learns of it.
    pub fn cancel_pause(&self, by: &str) {
        if let Some(lease) = self.holder() {
            lease.take_back(&self.cell, LeaseLost::Cancelled { by: by.to_owned() });
        }
    }

    fn holder(&self) -> Option<Arc<Lease>> {
        self.cell.protocol.look(|_, _, holder, _| holder.cloned())
    }
}
