//! JSON to and from the actor's own types, for people at a terminal and for tools.
//!
//! It goes through the types themselves, so what JSON can say is exactly what the actor can read, and an error names
//! line and column of the text that a person typed.

use crate::about;
use crate::actor::Actor;
use crate::error::{Fault, FaultKind};
use teneral_contract::wire::{VariantInfo, from_json};
use teneral_contract::{EncodeError, Fingerprint, Message, Shape, Tag, codec};

/// A message that was given as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Which message, in which shape.
    pub tag: Tag,
    /// Its body.
    pub body: Vec<u8>,
    /// The shape of its reply, if it asks for one.
    pub reply: Option<Fingerprint>,
}

/// A message by its name.
///
/// # Errors
/// [`FaultKind::UnknownMessage`] with the names there are, [`FaultKind::Decode`] with the place in the JSON.
pub fn message<A: Actor>(name: &str, json: &str) -> Result<Encoded, Fault> {
    let variants = A::Message::VARIANTS;
    let variant = variants.iter().find(|variant| variant.name == name).ok_or_else(|| {
        let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
        Fault::new(FaultKind::UnknownMessage, format!("no message {name}: there are {}", names.join(", ")))
    })?;
    let body = (variant.from_json)(json).map_err(|error| malformed(name, &error))?;
    Ok(Encoded { tag: variant.tag, body, reply: variant.reply.map(|reply| reply.fingerprint) })
}

/// Start arguments.
///
/// # Errors
/// [`FaultKind::Decode`] with the place in the JSON.
pub fn args<A: Actor>(json: &str) -> Result<(Fingerprint, Vec<u8>), Fault> {
    let args: A::Args = from_json(json).map_err(|error| malformed("start arguments", &error))?;
    let mut bytes = Vec::new();
    codec::encode(&args, &mut bytes)?;
    Ok((A::Args::FINGERPRINT, bytes))
}

/// The reply to message `variant`, which may be in a shape that this code up-casts.
///
/// # Errors
/// [`FaultKind::UnknownMessage`], [`FaultKind::Schema`] for a message without a reply or one in an unknown shape,
/// [`FaultKind::Decode`].
pub fn reply<A: Actor>(variant: u64, shape: Fingerprint, body: &[u8]) -> Result<String, Fault> {
    let variant: &VariantInfo = A::Message::VARIANTS
        .iter()
        .find(|known| known.tag.variant == variant)
        .ok_or_else(|| Fault::new(FaultKind::UnknownMessage, format!("no message of variant {variant:016x}")))?;
    let reply = variant
        .reply
        .ok_or_else(|| Fault::new(FaultKind::Schema, format!("message {} declares no reply", variant.name)))?;
    Ok((reply.to_json)(shape, body)?)
}

/// A snapshot of this code's schema.
///
/// # Errors
/// [`FaultKind::Decode`].
pub fn state<A: Actor>(state: &[u8]) -> Result<String, Fault> {
    let state: A = about::decode(state)?;
    serde_json::to_string(&state).map_err(|error| EncodeError::Refused(error.to_string()).into())
}

/// A snapshot from JSON.
///
/// # Errors
/// [`FaultKind::Decode`] with the place in the JSON.
pub fn state_from<A: Actor>(json: &str) -> Result<Vec<u8>, Fault> {
    let state: A = from_json(json).map_err(|error| malformed("the state", &error))?;
    let mut bytes = Vec::new();
    about::encode(&state, &mut bytes)?;
    Ok(bytes)
}

fn malformed(what: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Decode, format!("{what}: {error}"))
}
