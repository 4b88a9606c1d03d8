//! One subscriber's end of the stream.

use super::Event;
use crate::block::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// One subscriber's events. Dropping it ends the subscription.
#[derive(Debug)]
pub struct EventStream {
    pub(super) receiver: broadcast::Receiver<Arc<Event>>,
    pub(super) looking: Arc<AtomicUsize>,
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.looking.fetch_sub(1, Relaxed);
    }
}

/// What a subscriber sees next.
#[derive(Debug, Clone)]
pub enum Seen {
    /// An event.
    Event(Arc<Event>),
    /// It was too slow: so many events are gone; the next one is the oldest kept.
    Lagged(u64),
}

/// Why a subscriber sees nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// Nothing happened in time.
    #[error("nothing happened within {0:?}")]
    Timeout(Duration),
    /// The runtime is gone and everything was seen.
    #[error("the runtime has ended")]
    Ended,
}

impl EventStream {
    /// The next event, or how many were missed; `None` when the runtime is gone and everything was seen. A dropped
    /// future has taken nothing.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.receiver.recv().await {
            Ok(event) => Some(Seen::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Seen::Lagged(missed)),
            Err(RecvError::Closed) => None,
        }
    }

    /// As [`EventStream::next`], blocking this thread for at most `timeout`; [`Duration::MAX`] is for ever.
    ///
    /// # Errors
    /// [`EventsError`].
    pub fn next_blocking(&mut self, timeout: Duration) -> Result<Seen, EventsError> {
        // A moment that no clock can name is as good as never.
        let seen = block_on(self.next(), Instant::now().checked_add(timeout));
        seen.ok_or(EventsError::Timeout(timeout))?.ok_or(EventsError::Ended)
    }
}
