//! Where messages end that reach no handler: an answer to the asker, a dead letter for the rest.
//!
//! Every accepted message ends in a turn or here; nothing is dropped without being counted.

use super::Cell;
use super::body::Body;
use super::envelope::{Barred, Envelope, Kind};
use super::protocol::{Refused, Room};
use crate::dead_letters::{DeadLetter, DeadReason, Letter};
use crate::runtime::Shared;
use std::sync::Arc;
use teneral_contract::{Addr, AskError, Refusal, Tag};

impl Barred {
    /// What an asker is told.
    pub(crate) fn to_ask_error(&self) -> AskError {
        match self {
            Self::Contract(Refusal::UnknownMessage(id)) => AskError::UnknownMessage(format!("{id:016x}")),
            Self::Contract(Refusal::UnknownShape { name, .. }) => AskError::UnknownShape(name.clone()),
            Self::ReplyShape => AskError::ReplyShape,
        }
    }

    /// What a tell becomes a dead letter with.
    pub(crate) const fn to_dead_reason(&self) -> DeadReason {
        match self {
            Self::Contract(Refusal::UnknownMessage(_)) => DeadReason::UnknownMessage,
            Self::Contract(Refusal::UnknownShape { .. }) | Self::ReplyShape => DeadReason::UnknownShape,
        }
    }
}

impl Shared {
    /// A message that its target did not take.
    pub(crate) fn refuse(&self, refused: Refused<Envelope, Barred>, to: &Addr) {
        match refused {
            Refused::Gate(envelope, barred) => self.bar(envelope, &barred, to),
            Refused::Closed(envelope) => self.lose(envelope, to, DeadReason::Stopped, AskError::Stopped),
            Refused::Full(envelope) => {
                let reason = DeadReason::Undelivered(self.config.outbox_timeout);
                self.lose(envelope, to, reason, AskError::Full);
            }
        }
    }

    /// A message that the target's code has no way for.
    pub(crate) fn bar(&self, envelope: Envelope, barred: &Barred, to: &Addr) {
        self.lose(envelope, to, barred.to_dead_reason(), barred.to_ask_error());
    }

    /// A message reaches no handler: its asker is answered with `error`, anything else is a dead letter.
    pub(crate) fn lose(&self, envelope: Envelope, to: &Addr, reason: DeadReason, error: AskError) {
        let (tag, body_bytes) = (envelope.tag(), envelope.body.len());
        let from = envelope.from.map(|cell| cell.addr.clone());
        let body = match envelope.kind {
            Kind::Ask(asker) => return asker.refuse(error),
            Kind::Tell => Some(envelope.body),
            // Of one life of the actor, or no message of its kind.
            Kind::Answer(_) | Kind::Timer(_) | Kind::Undelivered(_) => None,
        };
        self.dead_letters.record(Letter { to: to.clone(), from, tag, body_bytes, body, reason });
    }

    /// A reply reaches nobody: it is written down as the call that it is to.
    pub(crate) fn lost_reply(
        &self,
        answered: &Cell,
        asker: Option<Addr>,
        tag: Tag,
        body_bytes: usize,
        reason: DeadReason,
    ) {
        let to = answered.addr.clone();
        self.dead_letters.record(Letter { to, from: asker, tag, body_bytes, body: None, reason });
    }
}

impl Cell {
    /// A message whose turn panicked: who asked is told, and it is a dead letter.
    pub(crate) fn panicked_on(&self, envelope: Envelope, text: &str) {
        if let Some(asker) = envelope.asker() {
            asker.refuse(AskError::Panicked(text.to_owned()));
        }
        self.bury(&envelope, DeadReason::Panicked(text.to_owned()));
    }

    /// Something of its own that waited has no way to the code any more.
    pub(crate) fn parked_lost(&self, tag: Tag, body_bytes: usize, reason: DeadReason) {
        let (to, from) = (self.addr.clone(), Some(self.addr.clone()));
        self.shared.dead_letters.record(Letter { to, from, tag, body_bytes, body: None, reason });
    }
}

impl Shared {
    /// Sends a dead letter's message once more, as from whom it came; refused, it is no second dead letter.
    ///
    /// # Errors
    /// Why it was not accepted. [`AskError::NoActor`] when the sender is no more: a message from nobody is the
    /// operator's own, who may do what the sender's kind was not granted.
    pub(crate) fn send_again(&self, to: &Arc<Cell>, letter: &DeadLetter, body: &[u8]) -> Result<(), AskError> {
        let sender = |from: &Addr| self.cell(from).ok_or_else(|| AskError::NoActor(format!("{from}, who sent it")));
        let from = letter.from.as_ref().map(sender).transpose()?;
        self.deliver(to, Envelope::new(letter.tag, Body::copy(body), Kind::Tell, from))
    }

    /// Hands a message over if there is room; refused, it is no dead letter.
    ///
    /// # Errors
    /// Why it was not accepted.
    pub(crate) fn deliver(&self, to: &Arc<Cell>, envelope: Envelope) -> Result<(), AskError> {
        match to.protocol.push(envelope, Room::Asked, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => {
                to.owe(again);
                Ok(())
            }
            Err(Refused::Full(_)) => Err(AskError::Full),
            Err(Refused::Closed(_)) => Err(AskError::Stopped),
            Err(Refused::Gate(_, barred)) => Err(barred.to_ask_error()),
        }
    }
}
