//! The effects of a turn, written down as they are sent back.

use crate::convert::to_effect;
use crate::proto;
use semver::Version;
use std::time::Duration;
use teneral_contract::{Addr, Fingerprint, Tag};
use teneral_runtime::ports::{AskEffect, Body, CallId, Effects, Fault, FaultKind, TimerId};
use teneral_runtime::remote::{Given, RemoteAsk, RemoteEffect};

/// See the module.
pub(super) struct Written {
    given: Given,
    pub(super) effects: Vec<proto::Effect>,
    /// Numbers used, of those that the turn was given.
    used: u64,
    pub(super) drawn: Vec<u64>,
    /// The actor takes no turn after this one.
    pub(super) stops: bool,
}

impl Written {
    pub(super) const fn new(given: Given) -> Self {
        Self { given, effects: Vec::new(), used: 0, drawn: Vec::new(), stops: false }
    }

    fn push(&mut self, effect: RemoteEffect) -> Result<(), Fault> {
        if self.effects.len() as u64 >= self.given.numbers_max {
            let text = format!("a turn has at most {} effects", self.given.numbers_max);
            return Err(Fault::new(FaultKind::Limit, text));
        }
        self.effects.push(to_effect(effect));
        Ok(())
    }

    /// The number of the turn's next ask or timer: there are as many as a turn has effects.
    const fn number(&mut self) -> u64 {
        self.used += 1;
        self.given.numbers + self.used - 1
    }
}

impl Effects for Written {
    fn tell(&mut self, to: Addr, tag: Tag, body: &[u8]) -> Result<(), Fault> {
        self.push(RemoteEffect::Tell { to, tag, body: body.to_vec() })
    }

    fn ask(&mut self, ask: AskEffect<'_>) -> Result<CallId, Fault> {
        let number = self.number();
        let AskEffect { to, tag, body, reply, timeout, then, then_body } = ask;
        let (body, then_body) = (body.to_vec(), then_body.to_vec());
        let ask = RemoteAsk { number, to, tag, body, reply, timeout, then, then_body };
        self.push(RemoteEffect::Ask(Box::new(ask)))?;
        Ok(CallId { epoch: self.given.epoch, number })
    }

    fn after(&mut self, delay: Duration, period: Option<Duration>, tag: Tag, body: &[u8]) -> Result<TimerId, Fault> {
        let id = TimerId(self.number());
        self.push(RemoteEffect::After { id, delay, period, tag, body: body.to_vec() })?;
        Ok(id)
    }

    fn cancel_timer(&mut self, timer: TimerId) -> Result<(), Fault> {
        self.push(RemoteEffect::Cancel(timer))
    }

    fn reply(&mut self, call: CallId, shape: Fingerprint, body: &[u8]) -> Result<(), Fault> {
        self.push(RemoteEffect::Reply { call, shape, body: body.to_vec() })
    }

    fn spawn(&mut self, child: Addr, version: Option<Version>, args: Body<'_>) -> Result<(), Fault> {
        let Body { shape, bytes } = args;
        self.push(RemoteEffect::Spawn { child, version, shape, args: bytes.to_vec() })
    }

    fn stop(&mut self, reason: &str) -> Result<(), Fault> {
        self.stops = true;
        self.push(RemoteEffect::Stop(reason.to_owned()))
    }

    fn now(&mut self) -> u64 {
        self.given.now_ns
    }

    fn random(&mut self) -> u64 {
        let drawn = self.given.draw();
        self.drawn.push(drawn);
        drawn
    }
}
