//! A turn's asker, taken out of the turn: for actors of the host whose work goes on outside of any turn.
//!
//! Such an actor (DESIGN D4: a native one) hands its work to tokio and returns at once. What it owes travels with the
//! work: answered by it, refused by it, and told that there will be no answer when the work is dropped. So no asker is
//! forgotten, whatever becomes of the work.

use crate::actor_ref::ActorRef;
use crate::cell::Cell;
use crate::cell::calls::ReplyTo;
use crate::cell::envelope::Reply;
use crate::dead_letters::{DeadReason, Letter};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{AskError, Fingerprint, Tag};

/// What a turn owes, outside of the turn. Dropped, the asker is told that no reply will come.
pub struct Later {
    asker: Option<ReplyTo>,
    sender: Option<ActorRef>,
    this: Arc<Cell>,
}

impl Later {
    pub(crate) const fn new(asker: Option<ReplyTo>, sender: Option<ActorRef>, this: Arc<Cell>) -> Self {
        Self { asker, sender, this }
    }

    /// The actor that sent the message; `None` when no actor did, or it is no more.
    #[must_use]
    pub const fn sender(&self) -> Option<&ActorRef> {
        self.sender.as_ref()
    }

    /// The actor whose turn it was.
    #[must_use]
    pub fn this(&self) -> ActorRef {
        ActorRef::new(Arc::clone(&self.this))
    }

    /// The shape that the asker expects; `None` when nobody waits.
    #[must_use]
    pub fn shape(&self) -> Option<Fingerprint> {
        self.asker.as_ref().map(ReplyTo::shape)
    }

    /// How long the asker still waits; `None` when nobody does.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.asker.as_ref().map(|asker| asker.deadline().since(self.this.shared.clock.now()))
    }

    /// Answers, in the shape that is expected. One that is larger than a message may be is refused instead; one that
    /// nobody waits for any more is a late reply, and counted.
    pub fn answer(&mut self, shape: Fingerprint, body: Vec<u8>) {
        let limit_bytes = self.this.shared.config.message_bytes_max;
        let Some(asker) = self.asker.take() else { return };
        if asker.shape() != shape {
            asker.refuse(AskError::ReplyShape);
        } else if body.len() > limit_bytes {
            let text = format!("the reply has {} bytes, over the limit of {limit_bytes}", body.len());
            asker.refuse(AskError::Failed(text));
        } else {
            asker.answer(Ok(Reply { shape, body: body.into() }), &self.this);
        }
    }

    /// Tells the asker why there is no answer.
    pub fn refuse(&mut self, why: AskError) {
        if let Some(asker) = self.asker.take() {
            asker.refuse(why);
        }
    }

    /// The message that this was taken for reached nobody: it is a dead letter, and whoever asked is told.
    pub fn lose(&mut self, tag: Tag, body: Vec<u8>) {
        let (to, from) = (self.this.addr.clone(), self.sender.as_ref().map(|sender| sender.addr().clone()));
        let (body_bytes, body) = (body.len(), Some(body.into()));
        let reason = DeadReason::Stopped;
        self.this.shared.dead_letters.record(Letter { to, from, tag, body_bytes, body, reason });
        self.refuse(AskError::Stopped);
    }

    /// From now on the actor takes no message, until [`Later::go_on`]: as much work is under way as there may be. What
    /// waits, waits in the mailbox, whose bound holds senders up. To be called in the turn that this was taken in.
    pub fn hold_up(&self) {
        self.this.protocol.cork();
    }

    /// Ends [`Later::hold_up`]; harmless without one.
    pub fn go_on(&self) {
        self.this.owe(self.this.protocol.uncork());
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        let why = if std::thread::panicking() {
            AskError::Panicked(format!("{} broke while it worked", self.this.addr))
        } else if self.this.protocol.is_stopped() {
            AskError::Stopped
        } else {
            AskError::NoReply
        };
        self.refuse(why);
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Later({}, {:?})", self.this.addr, self.sender)
    }
}
