//! What a message's work may do: answer, refuse, and go on telling the sender later.
//!
//! The work is dropped when its asker waits no longer, when the actor stops, and when the host does; whoever waits is
//! told.

use crate::line::Turn;
use crate::streams::{Sink, Streams};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use teneral_contract::{Addr, AskError, Wire};
use teneral_runtime::Later;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// One message's work.
#[derive(Debug)]
pub struct Call {
    later: Later,
    sender: Option<Addr>,
    streams: Arc<Streams>,
    seat: Seat,
    turn: Option<Turn>,
}

impl Call {
    pub(crate) const fn new(later: Later, sender: Option<Addr>, streams: Arc<Streams>, seat: Seat) -> Self {
        Self { later, sender, streams, seat, turn: None }
    }

    /// Waits until it has its place among the work under way.
    pub(crate) async fn seated(&mut self) {
        self.seat.taken().await;
    }

    /// Its turn in the line of its sender's messages.
    pub(crate) fn has(&mut self, turn: Option<Turn>) {
        self.turn = turn;
    }

    /// Keeps the sender's next message waiting for as long as it is kept: for work on a thread, which goes on when this
    /// future is dropped because nobody waits any more. `None` where the message's order is
    /// [`Order::Begun`](crate::Order::Begun).
    #[must_use]
    pub fn turn(&self) -> Option<Turn> {
        self.turn.clone()
    }

    /// The actor that sent the message; `None` when it is from outside all actors: from the host's own program or its
    /// operator.
    #[must_use]
    pub const fn sender(&self) -> Option<&Addr> {
        self.sender.as_ref()
    }

    /// How long the asker still waits; `None` when nobody does. The work is dropped by then.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.later.remaining()
    }

    /// Answers whoever asked, an older asker in the shape that it knows; nothing happens when nobody waits.
    pub fn reply<T: Wire>(&mut self, reply: &T) {
        let Some(shape) = self.later.shape() else { return };
        let mut body = Vec::new();
        match reply.encode_as(shape, &mut body) {
            Ok(()) => self.later.answer(shape, body),
            Err(error) => self.later.refuse(AskError::Encode(error.to_string())),
        }
    }

    pub(crate) fn refuse(&mut self, why: AskError) {
        self.later.refuse(why);
    }

    /// Work that goes on after this message, and tells the sender what comes of it. A sender has one of a name: what
    /// went on under it before ends. It ends with the sender, with this actor, and when the host begins to stop.
    ///
    /// # Errors
    /// [`Refused`]: the message is from no actor, or there is too much such work.
    pub fn keep<F>(&self, name: &str, work: impl FnOnce(Sink) -> F) -> Result<(), Refused>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(to) = self.later.sender() else {
            return Err(Refused::failed("only an actor can be told what comes later"));
        };
        self.streams.keep(name, work(Sink::new(to.clone(), self.later.this())), to)
    }

    /// Ends work that was kept for this sender under that name; a no-op when there is none.
    pub fn end(&self, name: &str) {
        if let Some(sender) = &self.sender {
            self.streams.end(sender, name);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Its place first: the actor that goes on finds it.
        self.seat = Seat::None;
        self.later.go_on();
    }
}

/// A place among the work under way, or the wait for one.
pub(crate) enum Seat {
    Taken {
        _place: OwnedSemaphorePermit,
    },
    /// In the semaphore's line already: whoever comes later comes after it.
    Waited(Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync>>),
    None,
}

impl Seat {
    /// Gets in line at once, though it is waited for later.
    pub(crate) fn of(places: Arc<Semaphore>) -> Self {
        let mut seat = Box::pin(places.acquire_owned());
        match seat.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Self::with(place),
            Poll::Pending => Self::Waited(seat),
        }
    }

    fn with(place: Result<OwnedSemaphorePermit, AcquireError>) -> Self {
        place.map_or(Self::None, |place| Self::Taken { _place: place })
    }

    async fn taken(&mut self) {
        if let Self::Waited(seat) = self {
            *self = Self::with(seat.await);
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken { .. } => "Taken",
            Self::Waited(_) => "Waited",
            Self::None => "None",
        })
    }
}

/// Why a message's work came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Not granted; the text says what to grant.
    Denied(String),
    /// It cannot be done, or went wrong.
    Failed(String),
}

impl Refused {
    /// It cannot be done, or went wrong.
    pub fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<Refused> for AskError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(why) => Self::Denied(why),
            Refused::Failed(why) => Self::Failed(why),
        }
    }
}

// So that `?` turns any error into one; for that, `Refused` itself is none.
impl<E: std::error::Error> From<E> for Refused {
    fn from(error: E) -> Self {
        let causes = std::iter::successors(error.source(), |cause| (*cause).source());
        Self::Failed(causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}")))
    }
}
