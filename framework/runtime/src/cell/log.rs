//! The turns that a record keeps, in their order.
//!
//! What is kept costs memory that is touched for the first time, and at a million messages a second that is what
//! keeping costs. So a plain message, one that somebody told in few bytes and that was answered with nothing, is
//! packed: eight bytes and its body, at the end of a chunk. Anything else is kept as it was.

use super::body::Body;
use super::envelope::{Envelope, Kind, Reply};
use super::lane::Weigh;
use super::record::Said;
use crate::clock::Moment;
use crate::ports::{TimerId, Waiting, Why};
use crate::remote::Given;
use std::iter;
use teneral_contract::{Addr, AskError, Tag};

/// A longer body stays where it is: it was allocated already.
const PACKED_BYTES_MAX: usize = 64;
/// The first chunk, in bytes: of a fleet on probation each actor has one. Each further one has twice as many.
const CHUNK_BYTES_MIN: usize = 512;
const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Senders and kinds of messages that are known by a number. They are looked for one by one, and so are few.
const NUMBERED_MAX: usize = 32;
/// In the place of a kind of message: the turn is the next of those that are kept whole.
const WHOLE: u8 = u8::MAX;
/// In the place of a sender.
const NOBODY: u8 = u8::MAX;
/// Kind of message, sender, length in bytes, 0, and how many nanoseconds later than the turn before.
const HEAD_BYTES: usize = 8;
/// Where the latter stand.
const LATER_AT: usize = 4;

/// See the module.
#[derive(Default)]
pub(crate) struct Log {
    chunks: Vec<Vec<u8>>,
    whole: Vec<Whole>,
    tags: Vec<Tag>,
    senders: Vec<Addr>,
    /// Where the latest of both were found.
    latest: (usize, usize),
    latest_ns: u64,
    turns: usize,
    bytes: usize,
    /// Of a turn that is open, at the end of the last chunk, and counts when it is over.
    open_bytes: usize,
}

/// A turn that is more than a plain message.
struct Whole {
    envelope: Envelope,
    from: Option<Addr>,
    now_ns: u64,
    /// What few turns have.
    more: Option<Box<More>>,
}

#[derive(Default)]
pub(crate) struct More {
    pub(crate) started: bool,
    /// When it ended, by the clock that nobody sets: of a turn that a timer began, or that began one.
    pub(crate) at: Option<Moment>,
    pub(crate) waiting: Option<Waiting>,
    /// The dead letter that its message is: it could not be read.
    pub(crate) letter: Option<u64>,
    /// The random numbers that it drew.
    pub(crate) drawn: Box<[u64]>,
    pub(crate) said: Vec<Said>,
    /// What a turn in another process was given.
    pub(crate) elsewhere: Option<Box<Elsewhere>>,
}

/// What a turn in another process was given, so that it can be taken there once more.
pub(crate) struct Elsewhere {
    pub(crate) given: Given,
    /// Of a first turn.
    pub(crate) why: Option<Why>,
    /// It ended in an error, and nothing that it said happened.
    pub(crate) failed: bool,
}

/// Why the turn happened.
pub(crate) enum Told<'a> {
    Started,
    /// Which of its own words it was; 0: somebody else's.
    Tell(u32),
    Ask(Waiting),
    Answer(u64, &'a Result<Reply, AskError>),
    Timer(TimerId),
    /// And which of its tells it was; 0: that is not known.
    Undelivered(&'a str, u32),
}

/// One turn.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    tag: Tag,
    body: &'a [u8],
    from: Option<&'a Addr>,
    /// What the turn took for the time, or would have taken.
    pub(crate) now_ns: u64,
    whole: Option<&'a Whole>,
}

impl<'a> Entry<'a> {
    pub(crate) fn told(&self) -> Told<'a> {
        let Some(Whole { envelope, more, .. }) = self.whole else { return Told::Tell(0) };
        let more = more.as_deref();
        match &envelope.kind {
            Kind::Tell if more.is_some_and(|more| more.started) => Told::Started,
            Kind::Tell => Told::Tell(envelope.own),
            // A call without its terms is told as a message: nobody waits for it.
            Kind::Ask(_) => more.and_then(|more| more.waiting).map_or(Told::Tell(0), Told::Ask),
            Kind::Answer(answer) => Told::Answer(answer.0, &answer.1),
            Kind::Timer(id) => Told::Timer(*id),
            Kind::Undelivered(text) => Told::Undelivered(text, envelope.own),
        }
    }

    pub(crate) const fn tag(&self) -> Tag {
        self.tag
    }

    pub(crate) fn body(&self) -> Body {
        Body::copy(self.body)
    }

    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.body
    }

    pub(crate) const fn from(&self) -> Option<&'a Addr> {
        self.from
    }

    /// When it ended, if it has to do with timers.
    pub(crate) fn at(&self) -> Option<Moment> {
        self.more().and_then(|more| more.at)
    }

    /// The dead letter that its message is.
    pub(crate) fn letter(&self) -> Option<u64> {
        self.more().and_then(|more| more.letter)
    }

    /// The random numbers that it drew.
    pub(crate) fn drawn(&self) -> &'a [u64] {
        self.more().map_or(&[], |more| &more.drawn)
    }

    /// What it said.
    pub(crate) fn said(&self) -> &'a [Said] {
        self.more().map_or(&[], |more| &more.said)
    }

    /// Who waited for its reply.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.more().and_then(|more| more.waiting)
    }

    /// What it was given elsewhere; `None`: nothing that it had any use for but its time.
    pub(crate) fn elsewhere(&self) -> Option<&'a Elsewhere> {
        self.more().and_then(|more| more.elsewhere.as_deref())
    }

    fn more(&self) -> Option<&'a More> {
        self.whole.and_then(|whole| whole.more.as_deref())
    }
}

impl Log {
    /// How many turns are kept.
    pub(crate) const fn turns(&self) -> usize {
        self.turns
    }

    /// What they take, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the message is of a kind that was learnt.
    pub(crate) fn knows(&self, tag: Tag) -> bool {
        self.tags.contains(&tag)
    }

    /// Kind and sender of a message get numbers, as far as there are any: the next ones like it are packed.
    pub(crate) fn learn(&mut self, tag: Tag, from: Option<&Addr>) {
        if self.tags.len() < NUMBERED_MAX && !self.knows(tag) {
            self.tags.push(tag);
        }
        if let Some(from) = from.filter(|_| self.senders.len() < NUMBERED_MAX)
            && !self.senders.contains(from)
        {
            self.senders.push(from.clone());
        }
    }

    /// Keeps a turn that said nothing and drew nothing, if its message is a plain one of a kind and sender that were
    /// learnt.
    #[inline]
    pub(crate) fn pack(&mut self, envelope: &Envelope, now_ns: u64) -> bool {
        let packed = self.later(now_ns).is_some() && self.open(envelope);
        if packed {
            self.close(now_ns);
        }
        packed
    }

    /// Packs the message of a turn that begins, if it is a plain one of a kind and sender that were learnt. It is not
    /// kept until [`Self::close`].
    #[inline]
    pub(crate) fn open(&mut self, envelope: &Envelope) -> bool {
        let bytes: &[u8] = &envelope.body;
        if !matches!(envelope.kind, Kind::Tell) || envelope.own != 0 || bytes.len() > PACKED_BYTES_MAX {
            return false;
        }
        let Some(tag) = self.number_of(envelope.tag()) else { return false };
        let from = match &envelope.from {
            None => NOBODY,
            Some(cell) => match self.sender_of(&cell.addr) {
                Some(from) => from,
                None => return false,
            },
        };
        self.open_bytes = self.append([tag, from, bytes.len() as u8, 0, 0, 0, 0, 0], bytes);
        true
    }

    /// The turn that is open has ended at that time, and is kept.
    #[inline]
    pub(crate) fn close(&mut self, now_ns: u64) {
        let Some(later) = self.later(now_ns) else { return self.close_whole(now_ns) };
        let wanted = std::mem::take(&mut self.open_bytes);
        let Some(chunk) = self.chunks.last_mut() else { return };
        let at = chunk.len() - wanted + LATER_AT;
        if let Some(stands) = chunk.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *stands = later.to_le_bytes();
        }
        self.latest_ns = now_ns;
        self.turns += 1;
        self.bytes += wanted;
    }

    /// So much later than the turn before, or before it, that it is not packed.
    #[cold]
    fn close_whole(&mut self, now_ns: u64) {
        if let Some((tag, body, from)) = self.unpack() {
            let envelope = Envelope::new(tag, body, Kind::Tell, None);
            self.push_of(Whole { envelope, from, now_ns, more: None });
        }
    }

    /// Takes the message out of which a turn is open, with who sent it.
    pub(crate) fn unpack(&mut self) -> Option<(Tag, Body, Option<Addr>)> {
        let wanted = std::mem::take(&mut self.open_bytes);
        let chunk = self.chunks.last_mut().filter(|_| wanted > 0)?;
        let at = chunk.len() - wanted;
        let (&[tag, from, ..], body) = chunk[at..].split_first_chunk::<HEAD_BYTES>()?;
        let (tag, body) = (*self.tags.get(usize::from(tag))?, Body::copy(body));
        chunk.truncate(at);
        Some((tag, body, self.senders.get(usize::from(from)).cloned()))
    }

    /// Forgets the turn that is open.
    #[inline]
    pub(crate) fn unopen(&mut self) {
        let wanted = std::mem::take(&mut self.open_bytes);
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.truncate(chunk.len() - wanted);
        }
    }

    fn later(&self, now_ns: u64) -> Option<u32> {
        now_ns.checked_sub(self.latest_ns).and_then(|later| u32::try_from(later).ok())
    }

    /// Drops all that is kept. What was learnt is still known.
    pub(crate) fn clear(&mut self) {
        let (tags, senders) = (std::mem::take(&mut self.tags), std::mem::take(&mut self.senders));
        *self = Self { tags, senders, ..Self::default() };
    }

    /// Keeps a turn as it was.
    pub(crate) fn push(&mut self, mut envelope: Envelope, now_ns: u64, more: Option<Box<More>>) {
        // Its address is enough: a sender that is gone need not stay for it.
        let from = envelope.from.take().map(|cell| cell.addr.clone());
        self.push_of(Whole { envelope, from, now_ns, more });
    }

    fn push_of(&mut self, whole: Whole) {
        self.latest_ns = whole.now_ns;
        self.bytes += whole.weight_bytes();
        self.whole.push(whole);
        self.bytes += self.append([WHOLE, NOBODY, 0, 0, 0, 0, 0, 0], &[]);
        self.turns += 1;
    }

    #[inline]
    fn append(&mut self, head: [u8; HEAD_BYTES], body: &[u8]) -> usize {
        let wanted = HEAD_BYTES + body.len();
        let chunk = match self.chunks.last_mut() {
            Some(chunk) if chunk.capacity() - chunk.len() >= wanted => chunk,
            _ => self.another_chunk(),
        };
        chunk.extend_from_slice(&head);
        chunk.extend_from_slice(body);
        wanted
    }

    #[cold]
    fn another_chunk(&mut self) -> &mut Vec<u8> {
        let bytes = self.chunks.last().map_or(CHUNK_BYTES_MIN, |last| (last.capacity() * 2).min(CHUNK_BYTES_MAX));
        self.chunks.push_mut(Vec::with_capacity(bytes))
    }

    #[inline]
    fn number_of(&mut self, tag: Tag) -> Option<u8> {
        if self.tags.get(self.latest.0) != Some(&tag) {
            self.latest.0 = self.tags.iter().position(|known| *known == tag)?;
        }
        u8::try_from(self.latest.0).ok()
    }

    #[inline]
    fn sender_of(&mut self, from: &Addr) -> Option<u8> {
        if self.senders.get(self.latest.1).map(Addr::id) != Some(from.id()) {
            self.latest.1 = self.senders.iter().position(|known| known.id() == from.id())?;
        }
        u8::try_from(self.latest.1).ok()
    }

    /// All turns, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut whole, mut now_ns) = (self.whole.iter(), 0);
        self.chunks.iter().flat_map(|chunk| packed(chunk)).filter_map(move |(head, body)| {
            let [tag, from, _, _, a, b, c, d] = head;
            if tag == WHOLE {
                let whole = whole.next()?;
                now_ns = whole.now_ns;
                return Some(Entry::of(whole));
            }
            now_ns += u64::from(u32::from_le_bytes([a, b, c, d]));
            let tag = *self.tags.get(usize::from(tag))?;
            Some(Entry { tag, body, from: self.senders.get(usize::from(from)), now_ns, whole: None })
        })
    }
}

impl<'a> Entry<'a> {
    fn of(whole: &'a Whole) -> Self {
        let Whole { envelope, from, now_ns, .. } = whole;
        Self { tag: envelope.tag(), body: &envelope.body, from: from.as_ref(), now_ns: *now_ns, whole: Some(whole) }
    }
}

/// What lies in a chunk.
fn packed(mut chunk: &[u8]) -> impl Iterator<Item = ([u8; HEAD_BYTES], &[u8])> {
    iter::from_fn(move || {
        let (head, rest) = chunk.split_first_chunk::<HEAD_BYTES>()?;
        let (body, rest) = rest.split_at_checked(usize::from(head[2]))?;
        chunk = rest;
        Some((*head, body))
    })
}

impl Whole {
    fn weight_bytes(&self) -> usize {
        let more = self.more.as_ref().map_or(0, |more| {
            let elsewhere = more.elsewhere.as_ref().map_or(0, |_| size_of::<Elsewhere>());
            let (said, drawn) = (more.said.len() * size_of::<Said>(), more.drawn.len() * size_of::<u64>());
            size_of::<More>() + said + drawn + elsewhere
        });
        size_of::<Self>() - size_of::<Envelope>() + self.envelope.weight_bytes() + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teneral_contract::Fingerprint;

    fn told(number: u64, body: &[u8]) -> Envelope {
        Envelope::new(Tag { variant: number, fingerprint: Fingerprint(7) }, Body::copy(body), Kind::Tell, None)
    }

    #[test]
    fn what_is_packed_and_what_is_whole_comes_back_in_its_order() {
        let mut log = Log::default();
        let mut expected = Vec::new();
        for turn in 0..10_000_u64 {
            let body = vec![turn as u8; turn as usize % 80];
            // Now and then the wall clock goes back, or stands still for long.
            let now_ns = match turn % 97 {
                0 => 0,
                1 => u64::MAX,
                _ => (1 << 50) + turn * 1000,
            };
            let envelope = told(turn % 40, &body);
            if !log.pack(&envelope, now_ns) {
                let tag = envelope.tag();
                log.push(envelope, now_ns, None);
                log.learn(tag, None);
            }
            expected.push((turn % 40, body, now_ns));
        }
        let kept = |entry: Entry<'_>| (entry.tag().variant, entry.body().to_vec(), entry.now_ns);
        assert_eq!(log.turns(), expected.len());
        assert!(!log.whole.is_empty() && log.whole.len() < expected.len(), "{} are whole", log.whole.len());
        assert_eq!(log.iter().map(kept).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_plain_message_takes_eight_bytes_and_its_body() {
        let mut log = Log::default();
        log.learn(told(1, b"").tag(), None);
        assert!(log.pack(&told(1, b"sixteen bytes ..."), 1));
        assert_eq!((log.turns(), log.bytes()), (1, HEAD_BYTES + 17));
        assert!(!log.pack(&told(1, b""), 0), "time went back");
        assert!(!log.pack(&told(2, b""), 2), "it is not of a kind that was learnt");
        assert!(!log.pack(&told(1, b"").named(1), 2), "its own word is known by its number");
        assert!(!log.pack(&told(1, &[0; PACKED_BYTES_MAX + 1]), 2));
        assert!(log.pack(&told(1, &[0; PACKED_BYTES_MAX]), 2));
    }
}
