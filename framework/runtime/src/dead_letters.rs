//! Messages that did not reach their handler, or not its end: kept for inspection, counted for ever, each with one
//! cause.
//!
//! The ring holds the latest `dead_letters_max`; the counts hold all. A letter names its message by size, not by
//! content: it is printed and logged, and bodies belong to their senders and receivers. Bodies are kept beside them, as
//! long as there is room, so that a message can be sent again when what it died of is mended.

use crate::cell::body::Body;
use crate::clock::Clock;
use crate::events::{Events, What};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Addr, Tag};

/// Bodies of dead letters kept in all.
pub const BODIES_BYTES_MAX: usize = 8 << 20;

/// A message that went nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it in this life of the host.
    pub id: u64,
    /// When it was given up, in nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// To whom it was sent; of a late reply, who gave it.
    pub to: Addr,
    /// Which actor sent it, if one did; of a late reply, which actor had asked.
    pub from: Option<Addr>,
    /// Which message, in which shape; of a late reply the request, in the shape of the reply.
    pub tag: Tag,
    /// The size of its body.
    pub body_bytes: usize,
    /// Why.
    pub reason: DeadReason,
}

/// Why a message went nowhere. One cause, one variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeadReason {
    /// Nobody has that name.
    #[error("no such actor")]
    NoActor,
    /// The actor stopped before it came to the message, or was cut off in the message's turn, whose effects are
    /// dropped.
    #[error("the actor stopped before it handled the message")]
    Stopped,
    /// The actor's code has no such message.
    #[error("the actor's code has no such message")]
    UnknownMessage,
    /// The actor's code knows the message in another shape, and has no up-cast from this one.
    #[error("the actor's code has no up-cast from the message's shape")]
    UnknownShape,
    /// The body is no value of its shape.
    #[error("the message cannot be decoded: {0}")]
    Decode(String),
    /// The handler panicked on it.
    #[error("the handler panicked: {0}")]
    Panicked(String),
    /// It waited in the sender's outbox for room at the target, in vain.
    #[error("the target had no room for {0:?}")]
    Undelivered(Duration),
    /// A reply that nobody waits for any more: the letter's message is the request, from whoever asked, to whoever
    /// answered too late.
    #[error("its reply came {} ms after it was asked, past the ask's deadline", .0.as_millis())]
    LateReply(Duration),
    /// A reply to a call that nobody made, that was answered already, or that an earlier life of the host made.
    #[error("the reply answers no call that is known")]
    StaleReply,
    /// A spawned child that did not start.
    #[error("the child did not start: {0}")]
    NotStarted(String),
    /// A restart or a reset to the start arguments dropped it: a timer of the life before, or what was to come of its
    /// ask.
    #[error("the actor began anew from its start arguments")]
    Restarted,
    /// The actor went back to the version before, which never said it, planned it or asked for it.
    #[error("the actor went back to the version before, which did not ask for it")]
    RolledBack,
}

/// A [`DeadReason`] without its details: what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the variant of DeadReason of the same name")]
pub enum DeadKind {
    NoActor,
    Stopped,
    UnknownMessage,
    UnknownShape,
    Decode,
    Panicked,
    Undelivered,
    LateReply,
    StaleReply,
    NotStarted,
    Restarted,
    RolledBack,
}

impl DeadReason {
    /// What it is counted as.
    #[must_use]
    pub const fn kind(&self) -> DeadKind {
        match self {
            Self::NoActor => DeadKind::NoActor,
            Self::Stopped => DeadKind::Stopped,
            Self::UnknownMessage => DeadKind::UnknownMessage,
            Self::UnknownShape => DeadKind::UnknownShape,
            Self::Decode(_) => DeadKind::Decode,
            Self::Panicked(_) => DeadKind::Panicked,
            Self::Undelivered(_) => DeadKind::Undelivered,
            Self::LateReply(_) => DeadKind::LateReply,
            Self::StaleReply => DeadKind::StaleReply,
            Self::NotStarted(_) => DeadKind::NotStarted,
            Self::Restarted => DeadKind::Restarted,
            Self::RolledBack => DeadKind::RolledBack,
        }
    }
}

impl DeadKind {
    /// In one word, as in a label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoActor => "no_actor",
            Self::Stopped => "stopped",
            Self::UnknownMessage => "unknown_message",
            Self::UnknownShape => "unknown_shape",
            Self::Decode => "decode",
            Self::Panicked => "panicked",
            Self::Undelivered => "undelivered",
            Self::LateReply => "late_reply",
            Self::StaleReply => "stale_reply",
            Self::NotStarted => "not_started",
            Self::Restarted => "restarted",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// A letter as its finder hands it in.
#[derive(Debug, Clone)]
pub struct Letter {
    /// To whom it was sent.
    pub to: Addr,
    /// Which actor sent it, if one did.
    pub from: Option<Addr>,
    /// Which message, in which shape.
    pub tag: Tag,
    /// The size of its body.
    pub body_bytes: usize,
    /// Its body, of a message that may be sent again.
    pub(crate) body: Option<Body>,
    /// Why.
    pub reason: DeadReason,
}

/// The dead letters of a runtime. Each is also an event.
#[derive(Debug)]
pub struct DeadLetters {
    kept: Mutex<Kept>,
    dead_letters_max: usize,
    events: Events,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Kept {
    ring: VecDeque<Arc<DeadLetter>>,
    bodies: BTreeMap<u64, Body>,
    bodies_bytes: usize,
    counts: BTreeMap<DeadKind, u64>,
}

impl DeadLetters {
    /// Keeps the latest `dead_letters_max`.
    #[must_use]
    pub fn new(dead_letters_max: usize, events: Events, clock: Arc<dyn Clock>) -> Self {
        Self { kept: Mutex::default(), dead_letters_max, events, clock }
    }

    /// Takes a letter in. Its id.
    pub fn record(&self, letter: Letter) -> u64 {
        let Letter { to, from, tag, body_bytes, body, reason } = letter;
        let (kind, wall_ns) = (reason.kind(), self.clock.wall_ns());
        let letter = {
            let mut kept = self.kept.lock();
            *kept.counts.entry(kind).or_default() += 1;
            let id = kept.counts.values().sum();
            let letter = Arc::new(DeadLetter { id, wall_ns, to, from, tag, body_bytes, reason });
            kept.ring.push_back(Arc::clone(&letter));
            if kept.ring.len() > self.dead_letters_max
                && let Some(oldest) = kept.ring.pop_front()
            {
                kept.forget_body(oldest.id);
            }
            if self.dead_letters_max > 0
                && let Some(body) = body
            {
                kept.keep_body(id, body);
            }
            letter
        };
        let id = letter.id;
        self.events.emit(What::DeadLetter(letter));
        id
    }

    /// Whether the body of one of them is kept.
    #[must_use]
    pub fn has_body(&self, id: u64) -> bool {
        self.kept.lock().bodies.contains_key(&id)
    }

    pub(crate) fn take_body(&self, id: u64) -> Option<Body> {
        let mut kept = self.kept.lock();
        let body = kept.bodies.remove(&id)?;
        kept.bodies_bytes -= body.len();
        Some(body)
    }

    /// What was taken, of a letter that is there still.
    pub(crate) fn put_back(&self, id: u64, body: Body) {
        let mut kept = self.kept.lock();
        if kept.ring.iter().any(|letter| letter.id == id) {
            kept.keep_body(id, body);
        }
    }

    /// Takes one out of the ring; the counts stay. Whether it was there.
    pub fn forget(&self, id: u64) -> bool {
        let mut kept = self.kept.lock();
        let before = kept.ring.len();
        kept.ring.retain(|letter| letter.id != id);
        kept.forget_body(id);
        kept.ring.len() < before
    }

    /// The latest, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<DeadLetter>> {
        self.kept.lock().ring.iter().cloned().collect()
    }

    /// How many there were of each kind that occurred, the forgotten ones included.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<DeadKind, u64> {
        self.kept.lock().counts.clone()
    }

    /// How many there were of one kind, the forgotten ones included.
    #[must_use]
    pub fn count(&self, kind: DeadKind) -> u64 {
        self.kept.lock().counts.get(&kind).copied().unwrap_or_default()
    }

    /// How many there were, the forgotten ones included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kept.lock().counts.values().sum()
    }
}

impl Kept {
    /// The oldest bodies make room.
    fn keep_body(&mut self, id: u64, body: Body) {
        self.bodies_bytes += body.len();
        self.bodies.insert(id, body);
        while self.bodies_bytes > BODIES_BYTES_MAX
            && let Some(oldest) = self.bodies.keys().next().copied()
        {
            self.forget_body(oldest);
        }
    }

    fn forget_body(&mut self, id: u64) {
        if let Some(body) = self.bodies.remove(&id) {
            self.bodies_bytes -= body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::events::Seen;
    use teneral_contract::Fingerprint;

    fn letter(key: &str, reason: DeadReason) -> Letter {
        let to = Addr::new(&format!("counter/{key}")).expect("an address");
        Letter {
            to,
            from: None,
            tag: Tag { variant: 1, fingerprint: Fingerprint(2) },
            body_bytes: 3,
            body: None,
            reason,
        }
    }

    fn letters(dead_letters_max: usize) -> (DeadLetters, Events) {
        let clock = ManualClock::new();
        let events = Events::new(8, clock.clone());
        (DeadLetters::new(dead_letters_max, events.clone(), clock), events)
    }

    #[test]
    fn the_ring_is_bounded_and_the_counts_go_on() {
        let (letters, _events) = letters(2);
        letters.record(letter("a", DeadReason::NoActor));
        letters.record(letter("b", DeadReason::Decode("too short".into())));
        letters.record(letter("c", DeadReason::NoActor));
        let kept: Vec<_> = letters.list().iter().map(|letter| letter.to.key().to_owned()).collect();
        assert_eq!(kept, ["b", "c"], "the latest, oldest first");
        assert_eq!(letters.counts(), BTreeMap::from([(DeadKind::NoActor, 2), (DeadKind::Decode, 1)]));
        assert_eq!((letters.count(DeadKind::NoActor), letters.count(DeadKind::Stopped), letters.total()), (2, 0, 3));
    }

    #[test]
    fn bodies_are_bounded_in_bytes_and_go_with_their_letters() {
        let (letters, _events) = letters(3);
        let half = BODIES_BYTES_MAX / 2;
        for (key, bytes) in [("a", 1), ("b", half), ("c", half)] {
            let body = Some(Body::from(vec![7; bytes]));
            letters.record(Letter { body, ..letter(key, DeadReason::NoActor) });
        }
        let kept = |ids: [u64; 2]| ids.map(|id| letters.has_body(id));
        assert!(!letters.has_body(1), "the oldest made room");
        assert_eq!(kept([2, 3]), [true, true]);
        letters.record(letter("d", DeadReason::NoActor));
        letters.record(letter("e", DeadReason::NoActor));
        assert_eq!(kept([2, 3]), [false, true]);
        assert!(letters.forget(3) && !letters.forget(3));
        assert_eq!((letters.has_body(3), letters.list().len(), letters.total()), (false, 2, 5));
    }

    #[test]
    fn nothing_kept_is_still_counted() {
        let (letters, _events) = letters(0);
        letters.record(letter("a", DeadReason::Stopped));
        assert!(letters.list().is_empty());
        assert_eq!(letters.count(DeadKind::Stopped), 1);
    }

    #[test]
    fn every_dead_letter_is_an_event() {
        let (letters, events) = letters(2);
        let mut stream = events.subscribe();
        letters.record(letter("a", DeadReason::Stopped));
        let seen = stream.next_blocking(Duration::from_secs(30)).expect("it is told");
        let Seen::Event(event) = seen else { panic!("nothing was missed: {seen:?}") };
        let What::DeadLetter(letter) = &event.what else { panic!("another event: {event:?}") };
        assert_eq!((letter.to.path(), &letter.reason), ("counter/a", &DeadReason::Stopped));
    }
}
