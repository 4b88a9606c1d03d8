//! What waits to be sent on a stream, and the stream itself: each time it is polled it takes all that is ready, up to
//! a frame.
//!
//! The batching lies in the stream and not in a task that writes to it: at one message in flight that would be a hop
//! more, and under load the frames fill by themselves. No timer.

use crate::{FRAME_BYTES, FRAME_TURNS_MAX};
use futures_util::Stream;
use parking_lot::Mutex;
use prost::Message;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// See the module. A cheap clone; who sends bounds what waits.
pub(crate) struct Queue<T>(Arc<Mutex<Waits<T>>>);

struct Waits<T> {
    waiting: VecDeque<T>,
    reader: Option<Waker>,
    is_closed: bool,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Message> Queue<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Waits { waiting: VecDeque::new(), reader: None, is_closed: false })))
    }

    /// Adds them at the end. `false`: nobody reads any more.
    pub(crate) fn push(&self, items: impl IntoIterator<Item = T>) -> bool {
        let mut waits = self.0.lock();
        if waits.is_closed {
            return false;
        }
        waits.waiting.extend(items);
        let reader = waits.reader.take();
        drop(waits);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Nobody sends or reads any more.
    pub(crate) fn close(&self) {
        let mut waits = self.0.lock();
        waits.is_closed = true;
        waits.waiting = VecDeque::new();
        let reader = waits.reader.take();
        drop(waits);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Its one reader: frames, each of what is ready.
    pub(crate) fn frames(self) -> Frames<T> {
        Frames(self)
    }
}

/// See [`Queue::frames`]. Dropped, the queue is closed.
pub(crate) struct Frames<T: Message>(Queue<T>);

impl<T: Message> Stream for Frames<T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut waits = self.0.0.lock();
        let mut bytes = 0;
        let mut frame = Vec::new();
        while frame.len() < FRAME_TURNS_MAX && bytes < FRAME_BYTES {
            let Some(item) = waits.waiting.pop_front() else { break };
            bytes += item.encoded_len();
            frame.push(item);
        }
        if !frame.is_empty() {
            return Poll::Ready(Some(frame));
        }
        if waits.is_closed {
            return Poll::Ready(None);
        }
        waits.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T: Message> Drop for Frames<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
