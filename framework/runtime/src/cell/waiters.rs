//! Senders that wait for room, in line.
//!
//! Allocated when the first one waits. A place in the line is kept over a wake-up that came too early, so that of those
//! who wait nobody starves behind one who came later. Whoever does not wait (`try_tell`, and an actor's own effects
//! until they meet a full mailbox) does not look at the line, and may take the room that somebody was just woken for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Default)]
pub(super) struct Waiters {
    /// By ticket, ascending.
    line: VecDeque<(Ticket, Waker)>,
    last: u64,
}

impl Waiters {
    /// Whether somebody else comes before.
    pub(super) fn stands_behind(&self, ticket: Option<Ticket>) -> bool {
        let first = self.line.front().map(|(first, _)| *first);
        first.is_some_and(|first| ticket.is_none_or(|ticket| first < ticket))
    }

    /// Waits, in the place that `ticket` names, or at the end.
    pub(super) fn wait(&mut self, ticket: &mut Option<Ticket>, waker: &Waker) {
        let place = *ticket.get_or_insert_with(|| {
            self.last += 1;
            Ticket(self.last)
        });
        match self.line.binary_search_by_key(&place, |(ticket, _)| *ticket) {
            Ok(found) => self.line[found].1.clone_from(waker),
            Err(found) => self.line.insert(found, (place, waker.clone())),
        }
    }

    /// Leaves the line, having sent.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if let Ok(found) = self.line.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            self.line.remove(found);
        }
    }

    /// Leaves the line, having sent nothing. Whoever was woken for nothing passes it on.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Waker> {
        match self.line.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            Ok(found) => {
                self.line.remove(found);
                None
            }
            Err(_) => self.line.pop_front().map(|(_, waker)| waker),
        }
    }

    /// The first `count` go.
    pub(super) fn wake(&mut self, count: usize) -> Vec<Waker> {
        self.line.drain(..count.min(self.line.len())).map(|(_, waker)| waker).collect()
    }
}

/// Wakes tasks. A waker that panics is its owner's affair: the others are woken, and whoever wakes them goes on.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
    }
}
