//! A turn from a `tn_call`, and the host's functions as [`Host`].

use super::border::{borrow, text};
use super::size_of;
use crate::error::{Fault, FaultKind};
use crate::host::{Ask, CallId, Host, Spawn, TimerId, Turn, TurnCause, Waiting};
use std::time::Duration;
use teneral_abi as abi;
use teneral_abi::{TnActorHost, TnAddr, TnBytes, TnCall, TnStatus, TnTag};
use teneral_contract::{Addr, AskError, Fingerprint, Tag};

/// One turn as the host lends it: its input, and the functions that may be called while it lasts.
pub(super) struct Calls<'a> {
    call: &'a TnCall,
    host: &'a TnActorHost,
}

impl<'a> Calls<'a> {
    /// The host's call, if it is as long as ABI 1.0 says.
    ///
    /// # Safety
    /// `call` is null or a call that is valid for `'a`, and so is all that it points to.
    #[inline(always)]
    pub(super) unsafe fn lent(call: *const TnCall) -> Result<Self, Fault> {
        let invalid = |text| Fault::new(FaultKind::Invalid, text);
        // SAFETY: the caller says so.
        let call = unsafe { call.as_ref() }.ok_or_else(|| invalid("a turn without a call"))?;
        if call.size < size_of::<TnCall>() {
            return Err(invalid("a call shorter than ABI 1.0"));
        }
        // SAFETY: the caller says so.
        let host = unsafe { call.host.as_ref() }.ok_or_else(|| invalid("a call without a host"))?;
        if host.size < size_of::<TnActorHost>() {
            return Err(invalid("a host shorter than ABI 1.0"));
        }
        Ok(Self { call, host })
    }

    /// The input, as the engine wants it.
    #[inline(always)]
    pub(super) fn turn(&self) -> Result<Turn<'a>, Fault> {
        let call = self.call;
        // SAFETY: `lent` was told that what a call points to is valid for `'a`.
        let [body, answer, this, sender] =
            [call.body, call.answer, call.this.path, call.sender.path].map(|bytes| unsafe { borrow(bytes) });
        let cause = match call.cause {
            abi::TN_CAUSE_MESSAGE => TurnCause::Message,
            abi::TN_CAUSE_ANSWER if call.status == abi::TN_OK => {
                TurnCause::Answer(Ok((Fingerprint(call.answer_shape.into()), answer)))
            }
            abi::TN_CAUSE_ANSWER => TurnCause::Answer(Err(AskError::from_text(text(answer, "the error")?))),
            abi::TN_CAUSE_TIMER => TurnCause::Timer,
            abi::TN_CAUSE_STARTED => TurnCause::Started,
            abi::TN_CAUSE_DOWN => TurnCause::Down,
            abi::TN_CAUSE_UNDELIVERED => TurnCause::Undelivered(text(answer, "the reason")?),
            other => {
                return Err(Fault::new(FaultKind::Invalid, format!("no cause of a turn has the number {other}")));
            }
        };
        let waiting = (call.call_id != 0).then(|| Waiting {
            call: CallId { epoch: call.epoch, number: call.call_id },
            shape: Fingerprint(call.reply.into()),
            remaining: (call.deadline_ns != 0).then(|| Duration::from_nanos(call.deadline_ns)),
        });
        let tag = Tag { variant: call.tag.variant, fingerprint: Fingerprint(call.tag.fingerprint.into()) };
        Ok(Turn { index: call.index, tag, body, cause, waiting, this, sender, trace_id: call.trace_id })
    }
}

fn refused(effect: &str, status: TnStatus) -> Fault {
    let (kind, why) = match status {
        abi::TN_LIMIT => (FaultKind::Limit, "over a limit"),
        abi::TN_CLOSED => (FaultKind::Closed, "the target is gone"),
        abi::TN_DENIED => (FaultKind::Denied, "not granted"),
        abi::TN_SCHEMA => (FaultKind::Schema, "another shape is expected"),
        _ => (FaultKind::Invalid, "not allowed here"),
    };
    Fault::new(kind, format!("{effect} refused by the host: {why}"))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn raw(tag: Tag) -> TnTag {
    TnTag { variant: tag.variant, fingerprint: tag.fingerprint.0.into() }
}

fn at(addr: &Addr) -> TnAddr {
    TnAddr { id: addr.id().into(), path: TnBytes::new(addr.path().as_bytes()) }
}

/// Calls one of the host's functions; one that is not there is not granted.
macro_rules! call {
    ($self:ident.$effect:ident($($argument:expr),*)) => {{
        let status = match $self.host.$effect {
            // SAFETY: the host's own function with the call's own `turn`, while the call lasts, which `self` borrows;
            // the host copies what the other arguments point to, and all of that lives until this returns.
            Some(function) => unsafe { function($self.call.turn, $($argument),*) },
            None => abi::TN_DENIED,
        };
        if status == abi::TN_OK { Ok(()) } else { Err(refused(stringify!($effect), status)) }
    }};
}

impl Host for Calls<'_> {
    fn tell(&mut self, to: &Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        call!(self.tell(&at(to), &raw(tag), TnBytes::new(body)))
    }

    fn ask(&mut self, ask: Ask<'_>) -> Result<(), Fault> {
        call!(self.ask(
            &at(ask.to),
            &raw(ask.tag),
            TnBytes::new(ask.body),
            ask.reply.0.into(),
            nanos(ask.timeout),
            &raw(ask.then),
            TnBytes::new(ask.then_body),
            std::ptr::null_mut()
        ))
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        let mut timer = 0;
        let period = period.map_or(0, |period| nanos(period).max(1));
        call!(self.after(nanos(delay), period, &raw(tag), TnBytes::new(body), &mut timer))?;
        Ok(TimerId(timer))
    }

    fn cancel(&mut self, timer: TimerId) -> Result<(), Fault> {
        call!(self.cancel_timer(timer.0))
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        call!(self.reply(call.epoch, call.number, shape.0.into(), TnBytes::new(body)))
    }

    fn spawn(&mut self, spawn: Spawn<'_>) -> Result<(), Fault> {
        let [kind, key, version] = [spawn.child.kind(), spawn.child.key(), spawn.version.unwrap_or_default()]
            .map(|text| TnBytes::new(text.as_bytes()));
        call!(self.spawn(kind, key, version, spawn.shape.0.into(), TnBytes::new(spawn.args)))
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        call!(self.stop(TnBytes::new(reason.as_bytes())))
    }

    fn now(&mut self) -> u64 {
        // SAFETY: as in `call!`.
        self.host.now.map_or(0, |now| unsafe { now(self.call.turn) })
    }

    fn random(&mut self) -> u64 {
        // SAFETY: as in `call!`.
        self.host.random.map_or(0, |random| unsafe { random(self.call.turn) })
    }
}
