//! The user lane: a queue whose first message needs no memory of its own.
//!
//! Most actors have at most one message waiting. It lies in the cell; a buffer is allocated for the second one and
//! given back when the lane is empty, so that an idle actor holds none.

use std::collections::VecDeque;

/// What weighs in a mailbox.
pub(crate) trait Weigh {
    /// Its weight against `mailbox_bytes_max`, in bytes.
    fn weight_bytes(&self) -> usize;
}

/// First in, first out, weighed.
pub(super) struct Lane<U> {
    /// Empty only when `rest` is.
    head: Option<U>,
    rest: VecDeque<U>,
    bytes: usize,
}

impl<U: Weigh> Lane<U> {
    pub(super) const fn new() -> Self {
        Self { head: None, rest: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.head.is_some()) + self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The weight of all that waits.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn push_back(&mut self, item: U) {
        self.bytes += item.weight_bytes();
        if self.head.is_none() {
            self.head = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(super) fn push_front(&mut self, item: U) {
        self.bytes += item.weight_bytes();
        if let Some(second) = self.head.replace(item) {
            self.rest.push_front(second);
        }
    }

    /// Takes the first message, and moves up to `more_max` that follow it into the empty `batch`.
    pub(super) fn take(&mut self, batch: &mut VecDeque<U>, more_max: usize) -> Option<U> {
        let first = self.head.take()?;
        self.bytes -= first.weight_bytes();
        if self.rest.len() <= more_max {
            std::mem::swap(&mut self.rest, batch);
            self.bytes = 0;
        } else {
            batch.extend(self.rest.drain(..more_max));
            self.bytes -= batch.iter().map(Weigh::weight_bytes).sum::<usize>();
            self.head = self.rest.pop_front();
        }
        Some(first)
    }

    /// Gives the buffer back.
    pub(super) fn shrink(&mut self) {
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = U> + use<U> {
        self.bytes = 0;
        self.head.take().into_iter().chain(std::mem::take(&mut self.rest))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &U> {
        self.head.iter().chain(&self.rest)
    }
}
