//! Releasing a turn's effects: in order, after its `Ok`, and only then.

use super::Cell;
use super::calls::{ActorCall, ReplyTo, Requested};
use super::effects::{Ask, Buffer, Effect, Spawn};
use super::envelope::{Envelope, Kind, NO_INDEX, Reply};
use super::extras::Continuation;
use super::protocol::{Refused, Room};
use crate::config::{ActorOptions, Start, StartArgs};
use crate::dead_letters::{DeadReason, Letter};
use crate::ports::CallId;
use crate::supervision::ChildId;
use semver::Version;
use std::sync::Arc;
use teneral_contract::{Addr, AskError, Fingerprint, Tag};

impl Cell {
    /// Does what the turn wanted. An ask that the turn leaves unanswered is parked first: another actor may get its id
    /// by one of the effects.
    pub(super) fn release(self: &Arc<Self>, buffer: &mut Buffer<'_>) {
        if let Some(asker) = &buffer.asker {
            let this = CallId { epoch: self.shared.config.epoch, number: asker.number() };
            let replies =
                buffer.effects.iter().any(|effect| matches!(effect, Effect::Reply { call, .. } if *call == this));
            if !replies {
                self.shared.park(asker.clone(), self);
                buffer.asker = None;
            }
        }
        let mut asker = buffer.asker.take();
        for effect in buffer.effects.drain(..) {
            match effect {
                Effect::Tell { to, tag, body, named } => {
                    self.send(to, Envelope::new(tag, body, Kind::Tell, Some(Arc::clone(self))), named)
                }
                Effect::Ask(ask) => self.ask(*ask),
                Effect::After { id, delay, period, tag, body } => self.start_timer(id, delay, (tag, body, period)),
                Effect::Cancel(id) => self.cancel_timer(id),
                Effect::Reply { call, shape, body } => {
                    let known = call.epoch == self.shared.config.epoch;
                    let own = asker.take_if(|asker| known && asker.number() == call.number);
                    match own.or_else(|| known.then(|| self.shared.unpark(call.number)).flatten()) {
                        Some(asker) => asker.answer(Ok(Reply { shape, body }), self),
                        None => self.shared.reply_without_call(self, call, shape, body.len()),
                    }
                }
                Effect::Spawn(spawn) => self.spawn(*spawn),
            }
        }
    }

    fn send(self: &Arc<Self>, to: Addr, envelope: Envelope, named: u32) {
        if to == self.addr {
            self.put_own(envelope.named(named), Room::Own);
            return;
        }
        if self.must_queue(&to) {
            self.queue(to, envelope, named);
            return;
        }
        let Some(target) = self.shared.cell(&to) else {
            let error = AskError::NoActor(to.path().to_owned());
            self.shared.lose(envelope, &to, DeadReason::NoActor, error);
            return;
        };
        match target.protocol.push(envelope, Room::Asked, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => target.owe(again),
            Err(Refused::Full(envelope)) => self.queue(to, envelope, named),
            Err(refused) => self.shared.refuse(refused, &to),
        }
    }

    fn ask(self: &Arc<Self>, ask: Ask) {
        if let Some((to, envelope)) = self.begin_ask(ask) {
            self.send(to, envelope, 0); // A call has a number.
        }
    }

    /// An ask by somebody who is not the activation: what has no room is refused, and its answer says so.
    pub(super) fn ask_from_outside(self: &Arc<Self>, ask: Ask) {
        let Some((to, envelope)) = self.begin_ask(ask) else { return };
        let Some(target) = self.shared.cell(&to) else {
            return self.shared.lose(envelope, &to, DeadReason::NoActor, AskError::NoActor(to.path().to_owned()));
        };
        match target.protocol.push(envelope, Room::Asked, |gate, envelope| gate.admit(envelope)) {
            Ok(again) => target.owe(again),
            Err(refused) => self.shared.refuse(refused, &to),
        }
    }

    /// From here on the actor waits for an answer; `None`: it has come, since an actor does not ask itself.
    fn begin_ask(self: &Arc<Self>, ask: Ask) -> Option<(Addr, Envelope)> {
        let Ask { number, to, tag, body, reply, timeout, then, then_body } = ask;
        let now = self.shared.clock.now();
        let deadline = now + timeout;
        self.await_answer(number, Continuation { then, body: then_body, deadline: None }, deadline);
        let request = Requested { variant: tag.variant, at: now };
        let call = ActorCall { number, request, shape: reply, deadline, asker: Arc::clone(self) };
        let reply_to = ReplyTo::Actor(Arc::new(call));
        if to == self.addr {
            reply_to.refuse(AskError::ToItself);
            return None;
        }
        Some((to, Envelope::new(tag, body, Kind::Ask(reply_to), Some(Arc::clone(self)))))
    }

    /// Starts a child; waits for its `init`, so that effects behind this one find it.
    fn spawn(self: &Arc<Self>, spawn: Spawn) {
        let Spawn { child, version, args } = spawn;
        let (shape, body_bytes) = (args.shape, args.bytes.len());
        let start = || self.start_child(&child, version.as_ref(), args);
        let started = self.shared.executor.watches.wait(self, start);
        if let Err(why) = started {
            let from = Some(self.addr.clone());
            let tag = Tag { variant: 0, fingerprint: shape };
            let reason = DeadReason::NotStarted(why.clone());
            self.shared.dead_letters.record(Letter { to: child.clone(), from, tag, body_bytes, body: None, reason });
            self.undelivered(format!("{child} did not start: {why}"), 0);
        }
    }

    /// Starts a child of this actor; waits for its `init`.
    pub(super) fn start_child(
        self: &Arc<Self>,
        child: &Addr,
        version: Option<&Version>,
        args: StartArgs,
    ) -> Result<(), String> {
        let provider = self.shared.provider(child.kind(), version).map_err(|fault| fault.to_string())?;
        let options = ActorOptions { parent: Some(self.addr.clone()), ..ActorOptions::permanent() };
        let start = Start { addr: child.clone(), provider, args, options };
        // Not by its name, which may be another's by now.
        let parent = self.child.get().copied().unwrap_or(ChildId::ROOT);
        self.shared.start_under(parent, start).map(drop).map_err(|error| error.to_string())
    }

    /// Tells the actor itself that an effect of its was not delivered; which, if that is known.
    pub(super) fn undelivered(self: &Arc<Self>, text: String, named: u32) {
        let tag = Tag { variant: 0, fingerprint: Fingerprint::NONE };
        let kind = Kind::Undelivered(text.into());
        let mut envelope = Envelope::new(tag, super::body::Body::copy(&[]), kind, None);
        (envelope.index, envelope.own) = (NO_INDEX, named);
        // The effect is a dead letter already. Its word has room beside a mailbox that is full twice over and a whole
        // outbox that failed: only an actor that answers each word with more effects that fail does not hear of all.
        let config = &self.shared.config;
        let words_max = 2 * config.mailbox_messages_max + config.outbox_effects_max;
        if self.protocol.look(|queued, _, _, _| queued.messages) < words_max {
            self.put_own(envelope, Room::Own);
        }
    }
}
