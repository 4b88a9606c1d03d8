//! What a message's work may do: answer, refuse, and go on telling the sender later.
//!
//! The work is dropped when its asker waits no longer, when the actor stops, and when the host does; whoever waits is
//! told.

use crate::streams::{Sink, Streams};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, AskError, Wire};
use teneral_runtime::Later;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One message's work.
#[derive(Debug)]
pub struct Call {
    later: Later,
    sender: Option<Addr>,
    streams: Arc<Streams>,
    place: Option<OwnedSemaphorePermit>,
}

impl Call {
    pub(crate) const fn new(
        later: Later,
        sender: Option<Addr>,
        streams: Arc<Streams>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { later, sender, streams, place }
    }

    /// Waits until it has its place among the work under way.
    pub(crate) async fn seated(&mut self, places: Arc<Semaphore>) {
        if self.place.is_none() {
            self.place = places.acquire_owned().await.ok();
        }
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
        drop(self.place.take());
        self.later.go_on();
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
