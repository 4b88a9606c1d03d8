//! What lies in a mailbox: a tagged body, where it goes in the code, and why it was sent.

use super::body::Body;
use super::calls::ReplyTo;
use super::lane::Weigh;
use super::{Cell, Gate};
use crate::ports::TimerId;
use std::sync::Arc;
use teneral_contract::{AskError, Fingerprint, Refusal, Route, Tag};

/// A message of the user lane. Kept small: a full mailbox holds a thousand.
pub(crate) struct Envelope {
    variant: u64,
    /// The fingerprint in halves: an `u128` would align, and so fatten, the whole.
    shape: [u64; 2],
    /// Its place in the manifest of the code that the gate stands for.
    pub(crate) index: u32,
    /// Which of those that the actor said while it was recorded: the word itself, told to itself, or that which was not
    /// delivered; 0: none.
    pub(crate) own: u32,
    pub(crate) body: Body,
    pub(crate) kind: Kind,
    pub(crate) from: Option<Arc<Cell>>,
}

/// Why a message was sent.
#[derive(Clone)]
pub(crate) enum Kind {
    Tell,
    Ask(ReplyTo),
    /// With the number of its call.
    Answer(Box<(u64, Result<Reply, AskError>)>),
    Timer(TimerId),
    Undelivered(Box<str>),
}

/// A reply on its way.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) shape: Fingerprint,
    pub(crate) body: Body,
}

/// The index of a turn without a message.
pub(crate) const NO_INDEX: u32 = u32::MAX;
/// What runs is the instance's destructor.
pub(crate) const ENDING: u32 = u32::MAX - 1;
/// What runs is `save`, for somebody who wants a copy of the state.
pub(crate) const SAVING: u32 = u32::MAX - 2;

impl Envelope {
    #[inline]
    pub(crate) const fn new(tag: Tag, body: Body, kind: Kind, from: Option<Arc<Cell>>) -> Self {
        let shape = [(tag.fingerprint.0 >> 64) as u64, tag.fingerprint.0 as u64];
        Self { variant: tag.variant, shape, index: NO_INDEX, own: 0, body, kind, from }
    }

    /// One of the words that the actor tells itself.
    #[inline]
    pub(crate) fn named(mut self, own: u32) -> Self {
        self.own = own;
        self
    }

    /// The same once more.
    pub(crate) fn again(&self) -> Self {
        let (body, kind, from) = (self.body.clone(), self.kind.clone(), self.from.clone());
        Self { body, kind, from, ..*self }
    }

    /// The same message as another version says it.
    pub(crate) fn say(&mut self, tag: Tag, body: Body) {
        (self.variant, self.shape) = (tag.variant, [(tag.fingerprint.0 >> 64) as u64, tag.fingerprint.0 as u64]);
        self.body = body;
    }

    #[inline]
    pub(crate) const fn tag(&self) -> Tag {
        let fingerprint = Fingerprint((self.shape[0] as u128) << 64 | self.shape[1] as u128);
        Tag { variant: self.variant, fingerprint }
    }

    /// Whether it belongs to one life of the actor: no other one has a use for it.
    pub(crate) const fn is_of_one_life(&self) -> bool {
        matches!(self.kind, Kind::Answer(_) | Kind::Timer(_))
    }

    /// The answer that it carries.
    pub(crate) fn into_answer(self) -> Option<Result<Reply, AskError>> {
        match self.kind {
            Kind::Answer(answer) => Some(answer.1),
            Kind::Tell | Kind::Ask(_) | Kind::Timer(_) | Kind::Undelivered(_) => None,
        }
    }

    /// Who waits for a reply.
    pub(crate) const fn asker(&self) -> Option<&ReplyTo> {
        match &self.kind {
            Kind::Ask(reply_to) => Some(reply_to),
            Kind::Tell | Kind::Answer(_) | Kind::Timer(_) | Kind::Undelivered(_) => None,
        }
    }
}

impl Weigh for Envelope {
    #[inline]
    fn weight_bytes(&self) -> usize {
        let more = match &self.kind {
            Kind::Answer(answer) => answer.1.as_ref().map_or(0, |reply| reply.body.len()),
            Kind::Undelivered(text) => text.len(),
            Kind::Tell | Kind::Ask(_) | Kind::Timer(_) => 0,
        };
        size_of::<Self>() + self.body.len() + more
    }
}

/// Why the gate refuses a message.
#[derive(Debug)]
pub(crate) enum Barred {
    Contract(Refusal),
    /// The asker does not know any shape that the code replies in.
    ReplyShape,
}

impl Gate {
    /// Resolves a message's way to the code. At accept, and again for what waits when the code is replaced.
    #[inline]
    pub(crate) fn admit(&self, envelope: &mut Envelope) -> Result<(), Barred> {
        if matches!(envelope.kind, Kind::Undelivered(_)) {
            return Ok(());
        }
        let route = match self.contract.resolve(envelope.tag()) {
            // Planted: what nobody knows is taken for the first message.
            Err(_) if cfg!(feature = "bug-m13") => Route::Same(0),
            route => route.map_err(Barred::Contract)?,
        };
        if let Some(asker) = envelope.asker() {
            let wanted = asker.shape();
            let known = self.contract.reply(route.index());
            if !known.is_some_and(|reply| reply.own == wanted || reply.older.contains(&wanted)) {
                return Err(Barred::ReplyShape);
            }
        }
        envelope.index = route.index();
        Ok(())
    }
}
