//! An ask from outside all actors, as a future.
//!
//! The fast path is one slot that travels in the envelope and comes back filled: no table, and a timer only for an
//! answer that is not there at once.

use crate::actor_ref::Line;
use crate::cell::body::Body;
use crate::cell::calls::{OutsideCall, ReplyTo, Requested};
use crate::cell::envelope::{Envelope, Kind, Reply};
use crate::cell::protocol::Refused;
use crate::cell::slot::Slot;
use crate::cell::{Cell, Gate};
use crate::runtime::Due;
use crate::timer::TimerKey;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use teneral_contract::{AskError, Fingerprint, Tag};

/// See the module. Dropped, it waits no longer; a request that was sent may still be handled.
pub(crate) struct Asking<'a> {
    cell: &'a Arc<Cell>,
    call: Arc<OutsideCall>,
    /// Until there was room for it.
    unsent: Option<Envelope>,
    line: Line<'a>,
    deadline: Option<TimerKey>,
    done: bool,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(
        cell: &'a Arc<Cell>,
        from: Option<Arc<Cell>>,
        (tag, body): (Tag, Body),
        shape: Fingerprint,
        timeout: Duration,
    ) -> Result<Self, AskError> {
        let shared = &cell.shared;
        let limit_bytes = shared.config.message_bytes_max;
        if body.len() > limit_bytes {
            return Err(AskError::Encode(format!("{} bytes, over the limit of {limit_bytes}", body.len())));
        }
        let (number, now) = (shared.number(), shared.clock.now());
        let (deadline, request) = (now + timeout, Requested { variant: tag.variant, at: now });
        let call = Arc::new(OutsideCall { number, request, shape, deadline, slot: Slot::new() });
        let envelope = Envelope::new(tag, body, Kind::Ask(ReplyTo::Outside(Arc::clone(&call))), from);
        let line = Line { cell, ticket: None };
        Ok(Self { cell, call, unsent: Some(envelope), line, deadline: None, done: false })
    }

    fn send(&mut self, envelope: Envelope, cx: &Context<'_>) -> Result<(), AskError> {
        let admit = |gate: &Gate, envelope: &mut Envelope| gate.admit(envelope);
        match self.cell.protocol.push_or_wait(envelope, &mut self.line.ticket, cx.waker(), admit) {
            Ok(again) => {
                self.line.ticket = None;
                self.cell.owe(again);
                Ok(())
            }
            Err(Refused::Full(envelope)) => {
                self.unsent = Some(envelope);
                Ok(())
            }
            Err(Refused::Closed(_)) => Err(AskError::Stopped),
            Err(Refused::Gate(_, barred)) => Err(barred.to_ask_error()),
        }
    }
}

impl Future for Asking<'_> {
    type Output = Result<Reply, AskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(envelope) = self.unsent.take()
            && let Err(error) = self.send(envelope, cx)
        {
            self.done = true;
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(answer) = self.call.slot.poll(cx) {
            self.done = true;
            let full = self.unsent.is_some();
            return Poll::Ready(answer.map_err(|error| match error {
                AskError::Timeout if full => AskError::Full,
                other => other,
            }));
        }
        if self.deadline.is_none() {
            let due = Due::Ask(Arc::clone(&self.call));
            self.deadline = Some(self.cell.shared.timers().schedule(self.call.deadline, due));
        }
        Poll::Pending
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let shared = &self.cell.shared;
        if let Some(key) = self.deadline {
            shared.timers().cancel(key);
        }
        if !self.done {
            self.call.slot.close();
            shared.forget_call(self.call.number);
        }
    }
}
