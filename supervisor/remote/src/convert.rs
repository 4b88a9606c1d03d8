//! Between what the runtime says and what the protocol says.
//!
//! Everything that comes in may be wrong, since anybody may have written the other end: what is missing or out of
//! range is named.

use crate::proto::{self, effect, turn};
use bytes::Bytes;
use semver::Version;
use std::time::Duration;
use teneral_contract::{Addr, AskError, Fingerprint, Tag};
use teneral_runtime::ports::{Body, Call, CallId, Cause, Fault, FaultKind, TimerId, Waiting, Why};
use teneral_runtime::remote::{Given, RemoteAsk, RemoteEffect};

/// A field of the other end's message that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {wrong}")]
pub(crate) struct Malformed {
    field: String,
    wrong: String,
}

impl Malformed {
    /// The same, of a field inside another.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

pub(crate) fn missing(field: impl Into<String>) -> Malformed {
    Malformed { field: field.into(), wrong: "is missing".to_owned() }
}

pub(crate) fn wrong(field: impl Into<String>, error: impl std::fmt::Display) -> Malformed {
    Malformed { field: field.into(), wrong: format!("is wrong: {error}") }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// ---- to the protocol

pub(crate) const fn to_fingerprint(fingerprint: Fingerprint) -> proto::Fingerprint {
    proto::Fingerprint { high: (fingerprint.0 >> 64) as u64, low: fingerprint.0 as u64 }
}

pub(crate) const fn to_tag(tag: Tag) -> proto::Tag {
    proto::Tag { variant: tag.variant, fingerprint: Some(to_fingerprint(tag.fingerprint)) }
}

pub(crate) const fn to_call_id(call: CallId) -> proto::CallId {
    proto::CallId { epoch: call.epoch, number: call.number }
}

pub(crate) fn to_fault(fault: Fault) -> proto::Fault {
    let kind = match fault.kind {
        FaultKind::Panic => proto::FaultKind::FaultPanic,
        FaultKind::Failed => proto::FaultKind::FaultFailed,
        FaultKind::Decode => proto::FaultKind::FaultDecode,
        FaultKind::UnknownMessage => proto::FaultKind::FaultUnknownMessage,
        FaultKind::Schema => proto::FaultKind::FaultSchema,
        FaultKind::Limit => proto::FaultKind::FaultLimit,
        FaultKind::Denied => proto::FaultKind::FaultDenied,
        FaultKind::Protocol => proto::FaultKind::FaultProtocol,
    };
    proto::Fault { kind: kind.into(), text: fault.text }
}

/// A turn, of the instance of that number.
pub(crate) fn to_turn((instance, number): (u64, u64), call: &Call<'_>, why: Option<Why>, given: Given) -> proto::Turn {
    let cause = match (&call.cause, why) {
        (_, Some(why)) => turn::Cause::Started(proto::Started { why: to_why(why).into() }),
        (Cause::Message | Cause::Started, None) => turn::Cause::Message(proto::Message {}),
        (Cause::Timer, None) => turn::Cause::Timer(proto::Timer {}),
        (Cause::Undelivered(text), None) => turn::Cause::Undelivered((*text).to_owned()),
        (Cause::Answer(answer), None) => turn::Cause::Answer(proto::Answer {
            came: Some(match answer {
                Ok(Body { shape, bytes }) => proto::answer::Came::Reply(proto::Encoded {
                    shape: Some(to_fingerprint(*shape)),
                    body: Bytes::copy_from_slice(bytes),
                }),
                // As it crosses the ABI.
                Err(error) => proto::answer::Came::Failed(error.to_string()),
            }),
        }),
    };
    proto::Turn {
        instance,
        number,
        now_ns: given.now_ns,
        seed: given.seed,
        epoch: given.epoch,
        numbers: given.numbers,
        numbers_max: given.numbers_max,
        actor: call.this.path().to_owned(),
        index: call.index,
        tag: Some(to_tag(call.tag)),
        body: Bytes::copy_from_slice(call.body),
        sender: call.sender.map(|sender| sender.path().to_owned()).unwrap_or_default(),
        waiting: call.waiting.map(|waiting| proto::Waiting {
            call: Some(to_call_id(waiting.call)),
            shape: Some(to_fingerprint(waiting.shape)),
            remaining_ns: waiting.remaining.map_or(0, nanos),
        }),
        cause: Some(cause),
        // Said by whoever knows the manifest.
        name: String::new(),
        older: 0,
    }
}

const fn to_why(why: Why) -> proto::Why {
    match why {
        Why::Fresh => proto::Why::Fresh,
        Why::Upgraded => proto::Why::Upgraded,
        Why::RolledBack => proto::Why::RolledBack,
        Why::Restarted => proto::Why::Restarted,
    }
}

pub(crate) fn to_effect(effect: RemoteEffect) -> proto::Effect {
    let effect = match effect {
        RemoteEffect::Tell { to, tag, body } => {
            let to = to.path().to_owned();
            effect::Effect::Tell(proto::Tell {
                to,
                tag: Some(to_tag(tag)),
                body: body.into(),
                ..proto::Tell::default()
            })
        }
        RemoteEffect::Ask(ask) => {
            let RemoteAsk { number, to, tag, body, reply, timeout, then, then_body } = *ask;
            effect::Effect::Ask(proto::Ask {
                number,
                to: to.path().to_owned(),
                tag: Some(to_tag(tag)),
                body: body.into(),
                reply: Some(to_fingerprint(reply)),
                timeout_ns: nanos(timeout),
                then: Some(to_tag(then)),
                then_body: then_body.into(),
                ..proto::Ask::default()
            })
        }
        RemoteEffect::After { id, delay, period, tag, body } => effect::Effect::After(proto::After {
            number: id.0,
            delay_ns: nanos(delay),
            // A period of nothing is the shortest one.
            period_ns: period.map_or(0, |period| nanos(period).max(1)),
            tag: Some(to_tag(tag)),
            body: body.into(),
            name: String::new(),
        }),
        RemoteEffect::Cancel(id) => effect::Effect::Cancel(id.0),
        RemoteEffect::Reply { call, shape, body } => effect::Effect::Reply(proto::Reply {
            call: Some(to_call_id(call)),
            shape: Some(to_fingerprint(shape)),
            body: body.into(),
        }),
        RemoteEffect::Spawn { child, version, shape, args } => effect::Effect::Spawn(proto::Spawn {
            child: child.path().to_owned(),
            version: version.map(|version| version.to_string()).unwrap_or_default(),
            shape: Some(to_fingerprint(shape)),
            args: args.into(),
        }),
        RemoteEffect::Stop(reason) => effect::Effect::Stop(reason),
    };
    proto::Effect { effect: Some(effect) }
}

// ---- from the protocol

pub(crate) fn fingerprint(field: &'static str, found: Option<&proto::Fingerprint>) -> Result<Fingerprint, Malformed> {
    let found = found.ok_or_else(|| missing(field))?;
    Ok(Fingerprint(u128::from(found.high) << 64 | u128::from(found.low)))
}

pub(crate) fn tag(field: &'static str, found: Option<&proto::Tag>) -> Result<Tag, Malformed> {
    let found = found.ok_or_else(|| missing(field))?;
    Ok(Tag { variant: found.variant, fingerprint: fingerprint(field, found.fingerprint.as_ref())? })
}

pub(crate) fn call_id(field: &'static str, found: Option<&proto::CallId>) -> Result<CallId, Malformed> {
    let found = found.ok_or_else(|| missing(field))?;
    Ok(CallId { epoch: found.epoch, number: found.number })
}

pub(crate) fn addr(field: &'static str, path: &str) -> Result<Addr, Malformed> {
    Addr::new(path).map_err(|error| wrong(field, error))
}

/// `None`: the turn was not taken.
pub(crate) fn fault(found: proto::Fault) -> Option<Fault> {
    let kind = match found.kind() {
        proto::FaultKind::FaultPanic => FaultKind::Panic,
        proto::FaultKind::FaultFailed => FaultKind::Failed,
        proto::FaultKind::FaultDecode => FaultKind::Decode,
        proto::FaultKind::FaultUnknownMessage => FaultKind::UnknownMessage,
        proto::FaultKind::FaultSchema => FaultKind::Schema,
        proto::FaultKind::FaultLimit => FaultKind::Limit,
        proto::FaultKind::FaultDenied => FaultKind::Denied,
        // A kind of a later protocol is some fault all the same.
        proto::FaultKind::FaultProtocol | proto::FaultKind::FaultUnspecified => FaultKind::Protocol,
        proto::FaultKind::FaultGone => return None,
    };
    Some(Fault::new(kind, found.text))
}

pub(crate) fn effect(found: proto::Effect) -> Result<RemoteEffect, Malformed> {
    Ok(match found.effect.ok_or_else(|| missing("effect"))? {
        effect::Effect::Tell(tell) => RemoteEffect::Tell {
            to: addr("tell.to", &tell.to)?,
            tag: tag("tell.tag", tell.tag.as_ref())?,
            body: tell.body.into(),
        },
        effect::Effect::Ask(ask) => RemoteEffect::Ask(Box::new(RemoteAsk {
            number: ask.number,
            to: addr("ask.to", &ask.to)?,
            tag: tag("ask.tag", ask.tag.as_ref())?,
            body: ask.body.into(),
            reply: fingerprint("ask.reply", ask.reply.as_ref())?,
            timeout: Duration::from_nanos(ask.timeout_ns),
            then: tag("ask.then", ask.then.as_ref())?,
            then_body: ask.then_body.into(),
        })),
        effect::Effect::After(after) => RemoteEffect::After {
            id: TimerId(after.number),
            delay: Duration::from_nanos(after.delay_ns),
            period: (after.period_ns > 0).then(|| Duration::from_nanos(after.period_ns)),
            tag: tag("after.tag", after.tag.as_ref())?,
            body: after.body.into(),
        },
        effect::Effect::Cancel(number) => RemoteEffect::Cancel(TimerId(number)),
        effect::Effect::Reply(reply) => RemoteEffect::Reply {
            call: call_id("reply.call", reply.call.as_ref())?,
            shape: fingerprint("reply.shape", reply.shape.as_ref())?,
            body: reply.body.into(),
        },
        effect::Effect::Spawn(spawn) => RemoteEffect::Spawn {
            child: addr("spawn.child", &spawn.child)?,
            version: match spawn.version.as_str() {
                "" => None,
                version => Some(Version::parse(version).map_err(|error| wrong("spawn.version", error))?),
            },
            shape: fingerprint("spawn.shape", spawn.shape.as_ref())?,
            args: spawn.args.into(),
        },
        effect::Effect::Stop(reason) => RemoteEffect::Stop(reason),
    })
}

/// A turn as it is taken: what a [`Call`] borrows.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) actor: Addr,
    pub(crate) index: u32,
    pub(crate) tag: Tag,
    pub(crate) body: Bytes,
    pub(crate) sender: Option<Addr>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) because: Because,
    pub(crate) given: Given,
}

#[derive(Debug)]
pub(crate) enum Because {
    Message,
    Timer,
    Started(Why),
    Undelivered(String),
    Answer(Result<(Fingerprint, Bytes), AskError>),
}

impl Taken {
    /// # Errors
    /// What is missing or wrong.
    pub(crate) fn of(found: proto::Turn) -> Result<Self, Malformed> {
        let proto::Turn { now_ns, seed, epoch, numbers, numbers_max, actor, index, body, sender, .. } = found;
        let because = match found.cause.ok_or_else(|| missing("turn.cause"))? {
            turn::Cause::Message(proto::Message {}) => Because::Message,
            turn::Cause::Timer(proto::Timer {}) => Because::Timer,
            turn::Cause::Undelivered(text) => Because::Undelivered(text),
            turn::Cause::Started(started) => Because::Started(match started.why() {
                proto::Why::Fresh | proto::Why::Unspecified => Why::Fresh,
                proto::Why::Upgraded => Why::Upgraded,
                proto::Why::RolledBack => Why::RolledBack,
                proto::Why::Restarted => Why::Restarted,
            }),
            turn::Cause::Answer(answer) => {
                Because::Answer(match answer.came.ok_or_else(|| missing("answer.came"))? {
                    proto::answer::Came::Reply(reply) => {
                        Ok((fingerprint("answer.reply.shape", reply.shape.as_ref())?, reply.body))
                    }
                    proto::answer::Came::Failed(text) => Err(AskError::from_text(&text)),
                })
            }
        };
        let waiting = found.waiting.map(|waiting| {
            Ok::<_, Malformed>(Waiting {
                call: call_id("waiting.call", waiting.call.as_ref())?,
                shape: fingerprint("waiting.shape", waiting.shape.as_ref())?,
                remaining: (waiting.remaining_ns > 0).then(|| Duration::from_nanos(waiting.remaining_ns)),
            })
        });
        Ok(Self {
            actor: addr("turn.actor", &actor)?,
            index,
            tag: tag("turn.tag", found.tag.as_ref())?,
            body,
            sender: if sender.is_empty() { None } else { Some(addr("turn.sender", &sender)?) },
            waiting: waiting.transpose()?,
            because,
            given: Given { now_ns, seed, epoch, numbers, numbers_max },
        })
    }

    pub(crate) fn call(&self) -> Call<'_> {
        let cause = match &self.because {
            Because::Message => Cause::Message,
            Because::Timer => Cause::Timer,
            Because::Started(_) => Cause::Started,
            Because::Undelivered(text) => Cause::Undelivered(text),
            Because::Answer(Ok((shape, bytes))) => Cause::Answer(Ok(Body { shape: *shape, bytes })),
            Because::Answer(Err(error)) => Cause::Answer(Err(error)),
        };
        Call {
            index: self.index,
            tag: self.tag,
            body: &self.body,
            cause,
            waiting: self.waiting,
            this: &self.actor,
            sender: self.sender.as_ref(),
            trace_id: [0; 16],
        }
    }
}
