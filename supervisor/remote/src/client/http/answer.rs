//! What a module answers over HTTP, read with the name of each field: whoever wrote it looks for that.

use crate::client::speech;
use crate::convert::{Malformed, missing, wrong};
use crate::proto::{self, effect::Effect, state_reply};
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use teneral_contract::nearest;

/// The fields of an answer, those inside it not read yet: a state stays the text that it is.
pub(super) struct Answer(BTreeMap<String, Box<RawValue>>);

/// Longest time that is said in milliseconds: that of a `u64` of nanoseconds.
const MS_MAX: u64 = u64::MAX / 1_000_000;

impl Answer {
    pub(super) fn read(body: &[u8]) -> Result<Self, Malformed> {
        // Nothing at all is an object without fields.
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        serde_json::from_slice(body).map(Self).map_err(|error| wrong("the answer", format!("no JSON object: {error}")))
    }

    fn known(&self, known: &[&str]) -> Result<(), Malformed> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(wrong(unknown.as_str(), unknown_field(unknown, known))),
            None => Ok(()),
        }
    }

    fn value(&self, name: &str) -> Result<Option<Value>, Malformed> {
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|error| wrong(name, error));
        Ok(self.0.get(name).map(|raw| read(raw)).transpose()?.filter(|value: &Value| !value.is_null()))
    }

    fn fault(&self) -> Result<Option<proto::Fault>, Malformed> {
        self.value("fault")?.map(|fault| Fields::of("fault", &fault)?.fault()).transpose()
    }

    pub(super) fn described(&self) -> Result<proto::DescribeReply, Malformed> {
        self.known(&["protocol", "nonce", "digest", "manifest", "pid"])?;
        let all: Map<String, Value> =
            self.0.keys().filter_map(|name| Some((name.clone(), self.value(name).ok()??))).collect();
        let fields = Fields { place: "", found: &all };
        Ok(proto::DescribeReply {
            protocol: u32::try_from(fields.number("protocol")?.ok_or_else(|| missing("protocol"))?).unwrap_or(u32::MAX),
            nonce: of_hex("nonce", fields.text("nonce")?)?,
            digest: of_hex("digest", fields.text("digest")?)?,
            manifest: String::new(),
            pid: 0,
        })
    }

    pub(super) fn made(&self) -> Result<proto::MadeReply, Malformed> {
        self.known(&["fault"])?;
        Ok(proto::MadeReply { fault: self.fault()? })
    }

    pub(super) fn state(&self) -> Result<proto::StateReply, Malformed> {
        self.known(&["state", "fault"])?;
        let done = match (self.fault()?, self.0.get("state")) {
            (Some(fault), _) => state_reply::Done::Fault(fault),
            (None, Some(state)) => state_reply::Done::State(Bytes::copy_from_slice(state.get().as_bytes())),
            (None, None) => return Err(missing("state")),
        };
        Ok(proto::StateReply { done: Some(done) })
    }

    /// What came of these turns: one answer each, in their order; what it says of whose it is must be true.
    pub(super) fn turns(&self, asked: &[proto::Turn]) -> Result<Vec<proto::TurnDone>, Malformed> {
        self.known(&["turns"])?;
        let turns = self.value("turns")?.ok_or_else(|| missing("turns"))?;
        let turns = turns.as_array().ok_or_else(|| wrong("turns", "a list is wanted"))?;
        if turns.len() != asked.len() {
            let text = format!("it has {} of the {} turns that were asked for", turns.len(), asked.len());
            return Err(wrong("turns", text));
        }
        let one = |(at, (found, asked)): (usize, (&Value, &proto::Turn))| {
            done(found, asked).map_err(|error| error.within(&format!("turns.{at}")))
        };
        turns.iter().zip(asked).enumerate().map(one).collect()
    }
}

fn unknown_field(name: &str, known: &[&str]) -> String {
    format!("no field of this answer: {}", nearest::hint(name, known.iter().copied()))
}

fn of_hex(field: &str, text: &str) -> Result<Bytes, Malformed> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.map(Bytes::from).ok_or_else(|| wrong(field, "hexadecimal digits are wanted"))
}

/// Fields of one object.
struct Fields<'a> {
    place: &'a str,
    found: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(place: &'a str, value: &'a Value) -> Result<Self, Malformed> {
        let found = value.as_object().ok_or_else(|| wrong(place, "an object is wanted"))?;
        Ok(Self { place, found })
    }

    fn known(self, known: &[&str]) -> Result<Self, Malformed> {
        match self.found.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(wrong(self.at(unknown), unknown_field(unknown, known))),
            None => Ok(self),
        }
    }

    fn at(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.found.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<&'a str, Malformed> {
        let found = self.get(name).ok_or_else(|| missing(self.at(name)))?;
        found.as_str().ok_or_else(|| wrong(self.at(name), format!("a text is wanted, not {found}")))
    }

    fn text_or_none(&self, name: &str) -> Result<String, Malformed> {
        if self.get(name).is_none() { Ok(String::new()) } else { self.text(name).map(str::to_owned) }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Malformed> {
        let number = |found: &Value| {
            let wanted = || wrong(self.at(name), format!("a whole number that is not negative is wanted, not {found}"));
            found.as_u64().ok_or_else(wanted)
        };
        self.get(name).map(number).transpose()
    }

    /// Milliseconds, as nanoseconds.
    fn nanos(&self, name: &str) -> Result<u64, Malformed> {
        let ms = self.number(name)?.ok_or_else(|| missing(self.at(name)))?;
        if ms > MS_MAX { Err(wrong(self.at(name), format!("at most {MS_MAX} ms"))) } else { Ok(ms * 1_000_000) }
    }

    /// As JSON text; nothing where there is none.
    fn body(&self, name: &str) -> Bytes {
        self.found.get(name).map(|value| value.to_string().into()).unwrap_or_default()
    }

    fn fault(&self) -> Result<proto::Fault, Malformed> {
        let kinds = [
            ("failed", proto::FaultKind::FaultFailed),
            ("panic", proto::FaultKind::FaultPanic),
            ("decode", proto::FaultKind::FaultDecode),
            ("unknown_message", proto::FaultKind::FaultUnknownMessage),
            ("schema", proto::FaultKind::FaultSchema),
            ("limit", proto::FaultKind::FaultLimit),
            ("denied", proto::FaultKind::FaultDenied),
            ("gone", proto::FaultKind::FaultGone),
        ];
        let kind = self.text("kind")?;
        let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == kind) else {
            let hint = nearest::hint(kind, kinds.iter().map(|(name, _)| *name));
            return Err(wrong(self.at("kind"), format!("there is no {kind:?}: {hint}")));
        };
        Ok(proto::Fault { kind: (*kind).into(), text: self.text("text")?.to_owned() })
    }
}

fn done(found: &Value, asked: &proto::Turn) -> Result<proto::TurnDone, Malformed> {
    let known = ["instance", "number", "reply", "effects", "fault", "took_ns"];
    let fields = Fields::of("turn", found)?.known(&known)?;
    for (name, own) in [("instance", asked.instance), ("number", asked.number)] {
        if let Some(said) = fields.number(name)?.filter(|said| *said != own) {
            return Err(wrong(name, format!("it says {said}, {own} is due")));
        }
    }
    let fault = fields.get("fault").map(|fault| Fields::of("fault", fault)?.known(&["kind", "text"])?.fault());
    let effects = match fields.get("effects") {
        None => Vec::new(),
        Some(Value::Array(effects)) => effects.iter().enumerate().map(effect).collect::<Result<_, _>>()?,
        Some(other) => return Err(wrong("effects", format!("a list is wanted, not {other}"))),
    };
    // The short way to say the most frequent one.
    let reply = fields
        .found
        .contains_key("reply")
        .then(|| proto::Reply { body: fields.body("reply"), ..proto::Reply::default() });
    let reply = reply.map(|reply| proto::Effect { effect: Some(Effect::Reply(reply)) });
    Ok(proto::TurnDone {
        instance: asked.instance,
        number: asked.number,
        fault: fault.transpose()?,
        effects: effects.into_iter().chain(reply).collect(),
        drawn: Vec::new(),
        took_ns: fields.number("took_ns")?.unwrap_or(0),
    })
}

fn effect((at, found): (usize, &Value)) -> Result<proto::Effect, Malformed> {
    let place = format!("effects.{at}");
    let mut all = Fields::of(&place, found)?.found.iter();
    let (Some((name, what)), None) = (all.next(), all.next()) else {
        return Err(wrong(place, "an object with one field is wanted, which says what it is"));
    };
    let place = format!("{place}.{name}");
    let fields = |known: &[&str]| Fields::of(&place, what)?.known(known);
    let effect = match name.as_str() {
        "tell" => {
            let tell = fields(&["to", "name", "body"])?;
            let (to, name) = (tell.text("to")?.to_owned(), tell.text("name")?.to_owned());
            Effect::Tell(proto::Tell { to, tag: None, body: tell.body("body"), name })
        }
        "ask" => {
            let ask = fields(&["to", "name", "body", "timeout_ms", "then_name", "then_body", "number"])?;
            Effect::Ask(proto::Ask {
                number: ask.number("number")?.unwrap_or(0),
                to: ask.text("to")?.to_owned(),
                body: ask.body("body"),
                timeout_ns: ask.nanos("timeout_ms")?,
                then_body: ask.body("then_body"),
                name: ask.text("name")?.to_owned(),
                then_name: ask.text("then_name")?.to_owned(),
                ..proto::Ask::default()
            })
        }
        "after" => {
            let after = fields(&["name", "body", "delay_ms", "period_ms", "number"])?;
            let period = after.get("period_ms").is_some().then(|| after.nanos("period_ms")).transpose()?;
            Effect::After(proto::After {
                number: after.number("number")?.unwrap_or(0),
                delay_ns: after.nanos("delay_ms")?,
                period_ns: period.map_or(0, |period| period.max(1)),
                tag: None,
                body: after.body("body"),
                name: after.text("name")?.to_owned(),
            })
        }
        "cancel" => Effect::Cancel(what.as_u64().ok_or_else(|| wrong(&*place, "a timer's number is wanted"))?),
        "reply" => {
            let reply = fields(&["call", "body"])?;
            let call = reply.get("call").map(|_| reply.text("call")).transpose()?;
            let call = call
                .map(|call| speech::of_token(call).ok_or_else(|| wrong(reply.at("call"), "no call that was given")));
            let (call, shape) = call.transpose()?.unzip();
            Effect::Reply(proto::Reply { call, shape, body: reply.body("body") })
        }
        "spawn" => {
            let spawn = fields(&["child", "version", "args"])?;
            let (child, version) = (spawn.text("child")?.to_owned(), spawn.text_or_none("version")?);
            Effect::Spawn(proto::Spawn { child, version, shape: None, args: spawn.body("args") })
        }
        "stop" => Effect::Stop(what.as_str().ok_or_else(|| wrong(&*place, "a reason is wanted, a text"))?.to_owned()),
        other => {
            let known = ["tell", "ask", "after", "cancel", "reply", "spawn", "stop"];
            return Err(wrong(place, format!("no effect: {}", nearest::hint(other, known))));
        }
    };
    Ok(proto::Effect { effect: Some(effect) })
}
