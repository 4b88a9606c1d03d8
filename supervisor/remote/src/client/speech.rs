//! What crosses to a process, in its own words: the layout of messages, or JSON by the shapes of its manifest.
//!
//! A module in another language has JSON in its standard library, and not the layout in which messages lie in
//! mailboxes. So the host goes between the two, both ways, by what the manifest says in full; typed callers and callers
//! with JSON meet the same module, and neither knows of it.

use crate::convert::{Malformed, addr, call_id, effect, fault, fingerprint, missing, to_fingerprint, wrong};
use crate::proto::{self, effect as words, turn};
use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::time::Duration;
use teneral_contract::codec;
use teneral_contract::manifest::Manifest;
use teneral_contract::program::{Encoding, ProgramEntry};
use teneral_contract::shape::variant_id;
use teneral_contract::{Addr, Fingerprint, Tag, described, nearest};
use teneral_runtime::ports::{Body, Call, Fault, FaultKind, Json, JsonDone, TimerId, Waiting};
use teneral_runtime::remote::{Given, RemoteAsk, RemoteEffect, RemoteTurn};

/// See the module.
pub(super) enum Speech {
    /// The layout of messages.
    Own,
    /// JSON.
    Json(Box<Spoken>),
}

/// What a manifest says, by what is looked for in it.
pub(super) struct Spoken {
    kind: String,
    messages: Vec<Known>,
    args: Fingerprint,
    /// Every shape that the manifest has in full.
    shapes: HashMap<Fingerprint, Value>,
    program: ProgramEntry,
}

struct Known {
    name: String,
    own: Fingerprint,
    older: Vec<Fingerprint>,
    reply: Option<Fingerprint>,
}

/// What a turn was told that its answer is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Its number.
    pub(super) number: u64,
    given: Given,
    waiting: Option<Waiting>,
}

impl Asked {
    pub(super) const fn of(number: u64, call: &Call<'_>, given: Given) -> Self {
        Self { number, given, waiting: call.waiting }
    }
}

impl Speech {
    pub(super) fn of(manifest: &Manifest) -> Self {
        match &manifest.program {
            Some(program) if program.encoding == Encoding::Json => Self::Json(Box::new(Spoken::of(manifest, program))),
            _ => Self::Own,
        }
    }

    /// Puts a turn into its words.
    ///
    /// # Errors
    /// [`Fault`]: the body is no value of its shape; nobody is told.
    pub(super) fn turn(&self, turn: proto::Turn, call: &Call<'_>) -> Result<proto::Turn, Fault> {
        match self {
            Self::Own => Ok(turn),
            Self::Json(spoken) => spoken.turn(turn, call),
        }
    }

    /// Start arguments in its words.
    ///
    /// # Errors
    /// As [`Speech::turn`].
    pub(super) fn args(&self, args: Body<'_>) -> Result<Bytes, Fault> {
        match self {
            Self::Own => Ok(Bytes::copy_from_slice(args.bytes)),
            Self::Json(spoken) => spoken.shown("the start arguments", args.shape, args.bytes),
        }
    }

    /// What a turn did; `None`: it was not taken. What cannot be read is the turn's own failure, with the field named.
    pub(super) fn done(&self, turn: proto::TurnDone, asked: &Asked) -> Option<RemoteTurn> {
        let read = |effects: Vec<proto::Effect>| match self {
            Self::Own => effects.into_iter().map(effect).collect::<Result<Vec<_>, _>>(),
            Self::Json(spoken) => spoken.effects(effects, asked),
        };
        let ended = match turn.fault {
            Some(found) => Err(fault(found)?),
            None => read(turn.effects).map_err(|error| refused(&error)),
        };
        Some(RemoteTurn { ended, drawn: turn.drawn, took: Duration::from_nanos(turn.took_ns) })
    }

    /// What the code is asked of JSON, where that is known without it.
    pub(super) fn json(&self, job: Json<'_>) -> Option<Result<JsonDone, Fault>> {
        match self {
            Self::Own => None,
            Self::Json(spoken) => Some(spoken.json(job)),
        }
    }
}

/// An answer that cannot be believed.
pub(super) fn refused(error: &Malformed) -> Fault {
    Fault::new(FaultKind::Protocol, format!("the module's answer is refused: {error}"))
}

impl Spoken {
    fn of(manifest: &Manifest, program: &ProgramEntry) -> Self {
        let mut shapes = program.older.clone().into_iter().collect::<HashMap<_, _>>();
        shapes.insert(manifest.args.fingerprint, manifest.args.shape.clone());
        for message in &manifest.messages {
            shapes.insert(message.fingerprint, message.shape.clone());
            shapes.extend(message.reply.iter().map(|reply| (reply.fingerprint, reply.shape.clone())));
        }
        let replies = program.sends.values().flat_map(|sent| sent.values()).filter_map(|sent| sent.reply.clone());
        // Those that were packed have been looked at.
        shapes.extend(replies.filter_map(|shape| Some((described::fingerprint(&shape).ok()?, shape))));
        let known = manifest.messages.iter().map(|message| Known {
            name: message.name.clone(),
            own: message.fingerprint,
            older: message.also.clone(),
            reply: message.reply.as_ref().map(|reply| reply.fingerprint),
        });
        let (kind, args) = (manifest.kind.clone(), manifest.args.fingerprint);
        Self { kind, messages: known.collect(), args, shapes, program: program.clone() }
    }

    /// Bytes as JSON text.
    fn shown(&self, what: &str, shape: Fingerprint, bytes: &[u8]) -> Result<Bytes, Fault> {
        let known = self.shapes.get(&shape).ok_or_else(|| {
            Fault::new(FaultKind::Schema, format!("{what} has shape {shape}, which the manifest does not have in full"))
        })?;
        let value = codec::shown(known, bytes);
        let value = value.map_err(|error| Fault::new(FaultKind::Decode, format!("{what}: {error}")))?;
        Ok(value.to_string().into())
    }

    fn turn(&self, mut turn: proto::Turn, call: &Call<'_>) -> Result<proto::Turn, Fault> {
        if let Some(known) = usize::try_from(call.index).ok().and_then(|index| self.messages.get(index)) {
            let shape = call.tag.fingerprint;
            turn.body = self.shown(&known.name, shape, call.body)?;
            let older = known.older.iter().position(|older| *older == shape && known.own != shape);
            turn.older = older.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(0);
            turn.name.clone_from(&known.name);
        }
        if let Some(turn::Cause::Answer(proto::Answer { came: Some(proto::answer::Came::Reply(reply)) })) =
            &mut turn.cause
        {
            let shape = fingerprint("reply.shape", reply.shape.as_ref()).map_err(|error| refused(&error))?;
            reply.body = self.shown("the answer", shape, &reply.body)?;
        }
        Ok(turn)
    }

    // ---- what it answers

    fn effects(&self, effects: Vec<proto::Effect>, asked: &Asked) -> Result<Vec<RemoteEffect>, Malformed> {
        let mut numbered = 0;
        let mut read = |found: proto::Effect| match found.effect.ok_or_else(|| missing("effect"))? {
            words::Effect::Tell(tell) => self.tell(&tell),
            words::Effect::Ask(ask) => {
                numbered += 1;
                self.ask(ask, asked.given.numbers + numbered - 1)
            }
            words::Effect::After(after) => {
                numbered += 1;
                self.after(after, asked.given.numbers + numbered - 1)
            }
            words::Effect::Reply(reply) => self.reply(&reply, asked),
            words::Effect::Spawn(spawn) => self.spawn(&spawn),
            other @ (words::Effect::Cancel(_) | words::Effect::Stop(_)) => {
                effect(proto::Effect { effect: Some(other) })
            }
        };
        let named = |(at, found)| read(found).map_err(|error: Malformed| error.within(&format!("effects.{at}")));
        // Whoever told what may be asked wants no reply.
        let is_idle = |found: &proto::Effect| match &found.effect {
            Some(words::Effect::Reply(reply)) => reply.call.is_none() && asked.waiting.is_none(),
            _ => false,
        };
        effects.into_iter().enumerate().filter(|(_, found)| !is_idle(found)).map(named).collect()
    }

    /// A message to an actor: the tag and the reply's shape, and its body.
    fn message(
        &self,
        field: &str,
        to: &Addr,
        name: &str,
        body: &[u8],
    ) -> Result<(Tag, Option<Fingerprint>, Vec<u8>), Malformed> {
        let place = format!("{field}.name");
        let sent = self.program.sends.get(to.kind()).and_then(|sent| sent.get(name));
        let (shape, reply) = match sent {
            Some(sent) => (&sent.shape, sent.reply.as_ref()),
            None if to.kind() == self.kind => {
                let (tag, reply, shape) = self.own(&place, name)?;
                return Ok((tag, reply, self.bytes(&format!("{field}.body"), shape, body)?));
            }
            None => {
                let known =
                    self.program.sends.get(to.kind()).into_iter().flat_map(|sent| sent.keys().map(String::as_str));
                let hint = nearest::hint(name, known.collect::<Vec<_>>());
                let said = format!("the manifest has no {name:?} in sends.{}: {hint}", to.kind());
                return Err(wrong(place, said));
            }
        };
        let of = |shape| described::fingerprint(shape).map_err(|error| wrong(place.clone(), error));
        let tag = Tag { variant: variant_id(name), fingerprint: of(shape)? };
        Ok((tag, reply.map(of).transpose()?, self.bytes(&format!("{field}.body"), shape, body)?))
    }

    /// A message of its own.
    fn own(&self, place: &str, name: &str) -> Result<(Tag, Option<Fingerprint>, &Value), Malformed> {
        let names = || self.messages.iter().map(|known| &*known.name);
        let Some(known) = self.messages.iter().find(|known| known.name == name) else {
            let hint = nearest::hint(name, names().collect::<Vec<_>>());
            return Err(wrong(place, format!("{} has no message {name:?}: {hint}", self.kind)));
        };
        let shape = self.shapes.get(&known.own).ok_or_else(|| missing(place))?;
        Ok((Tag { variant: variant_id(name), fingerprint: known.own }, known.reply, shape))
    }

    /// JSON text as bytes of that shape. Nothing is an object without fields.
    fn bytes(&self, place: &str, shape: &Value, json: &[u8]) -> Result<Vec<u8>, Malformed> {
        let json = if json.is_empty() { b"{}" } else { json };
        let value: Value = serde_json::from_slice(json).map_err(|error| wrong(place, format!("no JSON: {error}")))?;
        let mut bytes = Vec::new();
        codec::written(shape, &value, &mut bytes).map_err(|misfit| match misfit.place.as_str() {
            "" => wrong(place, misfit.what),
            inner => wrong(format!("{place}.{inner}"), misfit.what),
        })?;
        Ok(bytes)
    }

    fn tell(&self, tell: &proto::Tell) -> Result<RemoteEffect, Malformed> {
        let to = addr("tell.to", &tell.to)?;
        let (tag, _, body) = self.message("tell", &to, &tell.name, &tell.body)?;
        Ok(RemoteEffect::Tell { to, tag, body })
    }

    fn ask(&self, ask: proto::Ask, next: u64) -> Result<RemoteEffect, Malformed> {
        let to = addr("ask.to", &ask.to)?;
        let (tag, reply, body) = self.message("ask", &to, &ask.name, &ask.body)?;
        let reply = reply.ok_or_else(|| wrong("ask.name", format!("{} asks for no reply: tell it", ask.name)))?;
        let (then, _, shape) = self.own("ask.then_name", &ask.then_name)?;
        let then_body = self.bytes("ask.then_body", shape, &ask.then_body)?;
        let number = if ask.number == 0 { next } else { ask.number };
        let timeout = Duration::from_nanos(ask.timeout_ns);
        Ok(RemoteEffect::Ask(Box::new(RemoteAsk { number, to, tag, body, reply, timeout, then, then_body })))
    }

    fn after(&self, after: proto::After, next: u64) -> Result<RemoteEffect, Malformed> {
        let (tag, _, shape) = self.own("after.name", &after.name)?;
        Ok(RemoteEffect::After {
            id: TimerId(if after.number == 0 { next } else { after.number }),
            delay: Duration::from_nanos(after.delay_ns),
            period: (after.period_ns > 0).then(|| Duration::from_nanos(after.period_ns)),
            tag,
            body: self.bytes("after.body", shape, &after.body)?,
        })
    }

    fn reply(&self, reply: &proto::Reply, asked: &Asked) -> Result<RemoteEffect, Malformed> {
        let (call, shape) = match (&reply.call, asked.waiting) {
            (Some(_), waiting) => {
                let call = call_id("reply.call", reply.call.as_ref())?;
                let own = waiting.filter(|waiting| waiting.call == call && reply.shape.is_none());
                let shape =
                    own.map_or_else(|| fingerprint("reply.shape", reply.shape.as_ref()), |own| Ok(own.shape))?;
                (call, shape)
            }
            (None, Some(waiting)) => (waiting.call, waiting.shape),
            (None, None) => return Err(missing("reply.call")),
        };
        let known = self.shapes.get(&shape);
        let known = known
            .ok_or_else(|| wrong("reply.shape", format!("the asker expects {shape}, which is not in the manifest")))?;
        Ok(RemoteEffect::Reply { call, shape, body: self.bytes("reply.body", known, &reply.body)? })
    }

    fn spawn(&self, spawn: &proto::Spawn) -> Result<RemoteEffect, Malformed> {
        let child = addr("spawn.child", &spawn.child)?;
        let own = (child.kind() == self.kind).then(|| self.shapes.get(&self.args)).flatten();
        let shape = self.program.starts.get(child.kind()).or(own);
        let shape =
            shape.ok_or_else(|| wrong("spawn.child", format!("the manifest has no starts.{}", child.kind())))?;
        let args = self.bytes("spawn.args", shape, &spawn.args)?;
        let shape = to_fingerprint(described::fingerprint(shape).map_err(|error| wrong("spawn.args", error))?);
        let spawn = proto::Spawn { shape: Some(shape), args: args.into(), ..spawn.clone() };
        effect(proto::Effect { effect: Some(words::Effect::Spawn(spawn)) })
    }

    // ---- JSON of callers

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        let written = |shape: Fingerprint, json: &str| {
            let misfit = |text: String| Fault::new(FaultKind::Decode, text);
            let known = self.shapes.get(&shape).ok_or_else(|| misfit(format!("no shape {shape}")))?;
            let value: Value = serde_json::from_str(json).map_err(|error| misfit(error.to_string()))?;
            let mut bytes = Vec::new();
            codec::written(known, &value, &mut bytes).map_err(|error| misfit(error.to_string()))?;
            Ok(bytes)
        };
        match job {
            Json::Message { name, json } => {
                let (tag, reply, _) = self
                    .own("message", name)
                    .map_err(|error| Fault::new(FaultKind::UnknownMessage, error.to_string()))?;
                Ok(JsonDone::Message { tag, body: written(tag.fingerprint, json)?, reply })
            }
            Json::Args(json) => Ok(JsonDone::Args { shape: self.args, bytes: written(self.args, json)? }),
            Json::Reply { body, .. } => text(self.shown("the reply", body.shape, body.bytes)?.to_vec()),
            Json::State(state) => text(state.to_vec()),
            Json::StateFrom(json) => match serde_json::from_str::<&RawValue>(json) {
                Ok(_) => Ok(JsonDone::State(json.as_bytes().to_vec())),
                Err(error) => Err(Fault::new(FaultKind::Decode, error.to_string())),
            },
        }
    }
}

/// A state is the module's own; that it is JSON is seen by looking.
fn text(bytes: Vec<u8>) -> Result<JsonDone, Fault> {
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    text.map(JsonDone::Text).ok_or_else(|| Fault::new(FaultKind::Denied, "the module's state is no JSON"))
}

/// A call in one word, for a module that keeps it to reply later.
pub(super) fn token(waiting: &proto::Waiting) -> String {
    let call = waiting.call.unwrap_or_default();
    let shape = waiting.shape.unwrap_or_default();
    format!("{:x}-{:x}-{:x}-{:x}", call.epoch, call.number, shape.high, shape.low)
}

/// The same, read back.
pub(super) fn of_token(text: &str) -> Option<(proto::CallId, proto::Fingerprint)> {
    let parts: Vec<u64> = text.split('-').map(|part| u64::from_str_radix(part, 16).ok()).collect::<Option<_>>()?;
    let [epoch, number, high, low] = parts[..] else { return None };
    Some((proto::CallId { epoch, number }, proto::Fingerprint { high, low }))
}
