//! A manifest as a person writes it for a program, and what becomes of it.
//!
//! Fingerprints and all that is the same for every program are filled in; shapes may be written in one line. What is
//! wrong is said with the name of its field, all the way down.

use crate::addr::is_kind;
use crate::described;
use crate::manifest::{BodyEntry, MANIFEST_FORMAT, Manifest, MessageEntry, SchemaEntry, StateEntry};
use crate::nearest;
use crate::program::{ANY_TARGET, Encoding, ProgramEntry, Protocol, SentEntry, state_fingerprint, state_shape};
use crate::shape::Fingerprint;
use crate::spelling;
use semver::Version;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What is wrong with a manifest that was written by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {wrong}")]
pub struct Miswritten {
    /// The field, with those around it, as in `messages.Add.body`; `the manifest` as a whole.
    pub field: String,
    /// What is wrong.
    pub wrong: String,
}

fn wrong(field: impl Into<String>, wrong: impl Into<String>) -> Miswritten {
    Miswritten { field: field.into(), wrong: wrong.into() }
}

/// Fields of one object, with what is known of it.
struct Fields<'a> {
    place: String,
    found: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(place: &str, value: &'a Value, known: &[&str]) -> Result<Self, Miswritten> {
        let found = value.as_object().ok_or_else(|| wrong(place, format!("an object is wanted, not {value}")))?;
        if let Some(unknown) = found.keys().find(|name| !known.contains(&name.as_str())) {
            let place = if place == WHOLE { unknown.clone() } else { format!("{place}.{unknown}") };
            return Err(wrong(
                place,
                format!("there is no such field: {}", nearest::hint(unknown, known.iter().copied())),
            ));
        }
        Ok(Self { place: place.to_owned(), found })
    }

    fn place(&self, name: &str) -> String {
        if self.place == WHOLE { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    fn text(&self, name: &str, example: &str) -> Result<&'a str, Miswritten> {
        match self.found.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(wrong(self.place(name), format!("a text is wanted, as in {example:?}, not {other}"))),
            None => Err(wrong(self.place(name), format!("it is missing, as in \"{name}\": {example:?}"))),
        }
    }

    fn one_of<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<Option<T>, Miswritten> {
        let Some(found) = self.found.get(name) else { return Ok(None) };
        let known = all.iter().find(|(known, _)| found == known).map(|(_, value)| *value);
        let names = || all.iter().map(|(known, _)| format!("{known:?}")).collect::<Vec<_>>().join(" or ");
        known.map(Some).ok_or_else(|| wrong(self.place(name), format!("{} is wanted, not {found}", names())))
    }

    fn list(&self, name: &str) -> Result<&'a [Value], Miswritten> {
        match self.found.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(wrong(self.place(name), format!("a list is wanted, not {other}"))),
        }
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Miswritten> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = self.list(name)?.iter().map(text).collect();
        texts.ok_or_else(|| wrong(self.place(name), "a list of texts is wanted"))
    }

    fn named(&self, name: &str) -> Result<impl Iterator<Item = (String, &'a String, &'a Value)> + use<'a>, Miswritten> {
        let place = self.place(name);
        let found = match self.found.get(name) {
            None => None,
            Some(Value::Object(found)) => Some(found),
            Some(other) => return Err(wrong(place, format!("an object is wanted, not {other}"))),
        };
        Ok(found.into_iter().flatten().map(move |(inner, value)| (format!("{place}.{inner}"), inner, value)))
    }

    fn shape(&self, name: &str) -> Result<Option<Value>, Miswritten> {
        self.found.get(name).map(|shape| shape_of(&self.place(name), shape)).transpose()
    }
}

/// What an error is about that is about no single field.
const WHOLE: &str = "the manifest";

/// Reads a manifest that was written by hand: docs/modules.md has all that may stand in it.
///
/// # Errors
/// [`Miswritten`], with the field.
pub fn read(text: &str) -> Result<Manifest, Miswritten> {
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(WHOLE, format!("it is no JSON: {error}")))?;
    let known =
        ["kind", "version", "protocol", "encoding", "state", "args", "messages", "sends", "starts", "capabilities"];
    let fields = Fields::of(WHOLE, &value, &known)?;
    let kind = fields.text("kind", "counter")?;
    if !is_kind(kind) {
        return Err(wrong("kind", format!("{kind:?} is no kind: 1 to 64 of a-z, 0-9, '.', '_', '-'")));
    }
    let version = fields.text("version", "1.0.0")?;
    let version = Version::parse(version).map_err(|error| wrong("version", format!("{version:?} is none: {error}")))?;
    let protocol = fields.one_of("protocol", &[("grpc", Protocol::Grpc), ("http", Protocol::Http)])?;
    let protocol = protocol.ok_or_else(|| wrong("protocol", "it is missing: \"grpc\" or \"http\""))?;
    let encoding = fields.one_of("encoding", &[("json", Encoding::Json), ("bincode", Encoding::Bincode)])?;
    let encoding = encoding.unwrap_or(Encoding::Json);
    if (protocol, encoding) == (Protocol::Http, Encoding::Bincode) {
        return Err(wrong("encoding", "over HTTP bodies are JSON"));
    }
    let mut program =
        ProgramEntry { protocol, encoding, older: BTreeMap::new(), sends: sends(&fields)?, starts: starts(&fields)? };
    let args = fields.shape("args")?.unwrap_or_else(nothing);
    Ok(Manifest {
        format: MANIFEST_FORMAT,
        abi: [0, 0],
        target: ANY_TARGET.to_owned(),
        panic: "none".to_owned(),
        compiler: "by hand".to_owned(),
        kind: kind.to_owned(),
        version,
        state: state(&fields)?,
        args: body("args", args)?,
        messages: messages(&fields, &mut program.older)?,
        requires: Vec::new(),
        capabilities: fields.texts("capabilities")?,
        deterministic: false,
        blocking: false,
        program: Some(program),
    })
}

/// All shapes of a program's manifest, with their places, and the fingerprints that it says of them.
pub(crate) fn shapes(manifest: &Manifest) -> Vec<(String, Option<Fingerprint>, &Value)> {
    let mut all = vec![("args".to_owned(), Some(manifest.args.fingerprint), &manifest.args.shape)];
    for message in &manifest.messages {
        let place = format!("messages.{}", message.name);
        if let Some(reply) = &message.reply {
            all.push((format!("{place}.reply"), Some(reply.fingerprint), &reply.shape));
        }
        all.push((format!("{place}.body"), Some(message.fingerprint), &message.shape));
    }
    let Some(program) = &manifest.program else { return all };
    all.extend(program.older.iter().map(|(said, shape)| (format!("program.older.{said}"), Some(*said), shape)));
    for (kind, sent) in &program.sends {
        for (name, entry) in sent {
            let place = format!("sends.{kind}.{name}");
            all.push((format!("{place}.body"), None, &entry.shape));
            all.extend(entry.reply.iter().map(|reply| (format!("{place}.reply"), None, reply)));
        }
    }
    all.extend(program.starts.iter().map(|(kind, shape)| (format!("starts.{kind}"), None, shape)));
    all
}

fn nothing() -> Value {
    serde_json::json!({ "struct": [] })
}

fn shape_of(place: &str, shape: &Value) -> Result<Value, Miswritten> {
    let shape = match shape {
        Value::String(text) => spelling::parse(text).map_err(|error| wrong(place, error.to_string()))?,
        Value::Object(_) => shape.clone(),
        other => return Err(wrong(place, format!("a shape is wanted, as in \"{{amount: u32}}\", not {other}"))),
    };
    described::fingerprint(&shape).map_err(|error| wrong(place, error.to_string()))?;
    Ok(shape)
}

fn fingerprint(place: &str, shape: &Value) -> Result<Fingerprint, Miswritten> {
    described::fingerprint(shape).map_err(|error| wrong(place, error.to_string()))
}

fn body(place: &str, shape: Value) -> Result<BodyEntry, Miswritten> {
    Ok(BodyEntry { fingerprint: fingerprint(place, &shape)?, shape, also: Vec::new() })
}

fn state(fields: &Fields<'_>) -> Result<StateEntry, Miswritten> {
    let missing = || wrong("state", "it is missing, as in \"state\": {\"schema\": 1}");
    let state = Fields::of("state", fields.found.get("state").ok_or_else(missing)?, &["schema", "from", "down"])?;
    let number = |place: &str, value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| wrong(place, format!("a schema's number is wanted, from 1, not {value}")))
    };
    let missing = || wrong("state.schema", "it is missing: the number of the schema that it saves, from 1");
    let schema = number("state.schema", state.found.get("schema").ok_or_else(missing)?)?;
    let rungs = |name: &str| {
        let place = state.place(name);
        let rung = |value: &Value| match number(&place, value)? {
            rung if rung < schema => Ok(SchemaEntry { schema: rung, fingerprint: state_fingerprint(rung) }),
            rung => Err(wrong(place.clone(), format!("{rung} is not older than its own schema {schema}"))),
        };
        state.list(name)?.iter().map(rung).collect::<Result<Vec<_>, _>>()
    };
    let (from, down) = (rungs("from")?, rungs("down")?);
    Ok(StateEntry { schema, fingerprint: state_fingerprint(schema), shape: state_shape(schema), from, down })
}

fn messages(fields: &Fields<'_>, older: &mut BTreeMap<Fingerprint, Value>) -> Result<Vec<MessageEntry>, Miswritten> {
    let mut messages = Vec::new();
    for (place, name, value) in fields.named("messages")? {
        is_message(&place, name)?;
        let message = Fields::of(&place, value, &["body", "reply", "also"])?;
        let mut also = Vec::new();
        for shape in message.list("also")? {
            let place = message.place("also");
            let shape = shape_of(&place, shape)?;
            let of = fingerprint(&place, &shape)?;
            also.push(of);
            older.insert(of, shape);
        }
        let shape = message.shape("body")?.unwrap_or_else(nothing);
        let reply = message.shape("reply")?.map(|shape| body(&message.place("reply"), shape)).transpose()?;
        let fingerprint = fingerprint(&place, &shape)?;
        messages.push(MessageEntry { name: name.clone(), fingerprint, shape, also, reply });
    }
    Ok(messages)
}

fn is_message(place: &str, name: &str) -> Result<(), Miswritten> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits { Ok(()) } else { Err(wrong(place, "a message's name is a letter, then letters, digits and _")) }
}

fn sends(fields: &Fields<'_>) -> Result<BTreeMap<String, BTreeMap<String, SentEntry>>, Miswritten> {
    let mut sends = BTreeMap::new();
    for (place, kind, value) in fields.named("sends")? {
        if !is_kind(kind) {
            return Err(wrong(place, "that is no kind"));
        }
        let messages = value.as_object().ok_or_else(|| wrong(&*place, format!("an object is wanted, not {value}")))?;
        let mut sent = BTreeMap::new();
        for (name, value) in messages {
            let place = format!("{place}.{name}");
            is_message(&place, name)?;
            let message = Fields::of(&place, value, &["body", "reply"])?;
            let shape = message.shape("body")?.unwrap_or_else(nothing);
            sent.insert(name.clone(), SentEntry { shape, reply: message.shape("reply")? });
        }
        sends.insert(kind.clone(), sent);
    }
    Ok(sends)
}

fn starts(fields: &Fields<'_>) -> Result<BTreeMap<String, Value>, Miswritten> {
    let start = |(place, kind, shape): (String, &String, &Value)| match is_kind(kind) {
        true => Ok((kind.clone(), shape_of(&place, shape)?)),
        false => Err(wrong(place, "that is no kind")),
    };
    fields.named("starts")?.map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program;

    const TALLY: &str = r#"{
        "kind": "tally", "version": "2.0.0", "protocol": "http",
        "args": "{start: u64}",
        "state": {"schema": 2, "from": [1], "down": [1]},
        "messages": {
            "Add": {"body": "{amount: u32, note: string or null}", "also": ["{amount: u32}"]},
            "Total": {"reply": "{total: u64}"}
        },
        "sends": {"log": {"Write": {"body": "{line: string}"}}},
        "starts": {"worker": {"struct": []}}
    }"#;

    #[test]
    fn a_manifest_by_hand_becomes_one_that_is_packed_and_read_back() {
        let manifest = read(TALLY).expect("it is well written");
        let script = b"#!/bin/sh\nexit\n";
        let file = program::pack(&manifest, script).expect("it packs");
        assert_eq!(program::pack(&manifest, script), Ok(file.clone()), "the same bytes each time");
        assert!(program::is_program(&file));
        assert_eq!(program::read(&file), Ok((manifest.clone(), &script[..])));
        let add = &manifest.messages[0];
        assert_eq!((&*add.name, add.also.len()), ("Add", 1));
        let older = &manifest.program.as_ref().expect("a program").older;
        assert_eq!(older.get(&add.also[0]), Some(&serde_json::json!({ "struct": [["amount", "u32"]] })));
    }

    #[test]
    fn what_is_wrong_by_hand_is_named_with_its_field() {
        let refused = |from: &str, to: &str| {
            assert!(TALLY.contains(from), "{from}");
            read(&TALLY.replacen(from, to, 1)).expect_err(to).to_string()
        };
        assert!(refused("{\n", "{,").starts_with("the manifest: it is no JSON: "));
        assert_eq!(refused(r#""kind": "tally","#, ""), "kind: it is missing, as in \"kind\": \"counter\"");
        assert!(refused(r#""tally""#, r#""Tally""#).starts_with("kind: \"Tally\" is no kind"));
        assert!(refused("2.0.0", "2.0").starts_with("version: \"2.0\" is none: "));
        assert_eq!(refused(r#""http""#, r#""htpp""#), "protocol: \"grpc\" or \"http\" is wanted, not \"htpp\"");
        assert_eq!(refused(r#""http","#, r#""http", "encoding": "bincode","#), "encoding: over HTTP bodies are JSON");
        assert_eq!(refused(r#""args""#, r#""arg""#), "arg: there is no such field: did you mean args?");
        assert_eq!(
            refused("start: u64", "start: u46"),
            "args: \"u46\" is no type: did you mean u16 or u64?, at character 9 of \"{start: u46}\""
        );
        assert_eq!(refused(r#""from": [1]"#, r#""from": [2]"#), "state.from: 2 is not older than its own schema 2");
        assert_eq!(
            refused("\"schema\": 2", "\"schema\": 0"),
            "state.schema: a schema's number is wanted, from 1, not 0"
        );
        assert!(refused(r#""{total: u64}""#, "7").starts_with("messages.Total.reply: a shape is wanted"));
        assert!(refused(r#""Total""#, r#""to tal""#).starts_with("messages.to tal: a message's name"));
        assert!(refused(r#""{line: string}""#, r#""{line}""#).starts_with("sends.log.Write.body: "));
        assert!(refused(r#"{"struct": []}"#, r#"{"strct": []}"#).starts_with("starts.worker: "));
    }

    #[test]
    fn a_damaged_file_is_refused_and_never_panics() {
        let manifest = read(TALLY).expect("it is well written");
        let file = program::pack(&manifest, b"#!/bin/sh\n").expect("it packs");
        for end in 0..file.len() {
            assert!(program::read(&file[..end]).is_err(), "{end} bytes");
        }
        let mut longer = file.clone();
        longer.push(0);
        assert!(matches!(program::read(&longer), Err(program::ProgramError::Length { .. })));
        for (at, byte) in [(8, 2), (10, 1), (12, 0xff), (15, 0xff), (16, 0xff), (23, 0xff)] {
            let mut bad = file.clone();
            bad[at] = byte;
            assert!(program::read(&bad).is_err(), "byte {at}");
        }
        assert!(matches!(program::pack(&manifest, b"hello"), Err(program::ProgramError::Start([b'h', b'e']))));
        assert_eq!(program::pack(&manifest, b""), Err(program::ProgramError::Empty));
        let library = Manifest { program: None, ..manifest.clone() };
        assert_eq!(program::pack(&library, b"#!"), Err(program::ProgramError::Library));
        let mut lying = manifest;
        lying.messages[0].fingerprint = Fingerprint(7);
        let error = program::pack(&lying, b"#!/bin/sh\n").expect_err("it lies").to_string();
        assert!(error.starts_with("messages.Add.body: the fingerprint of its shape is "), "{error}");
    }
}
