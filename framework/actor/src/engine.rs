//! Calls into an actor, bytes in and bytes out, without a border: what the C ABI and the testkit both wrap.
//!
//! Nothing here catches a panic; the caller puts a [`wall`](crate::wall) around it.

use crate::about::{self, About};
use crate::actor::{Actor, Why};
use crate::context::Context;
use crate::error::{Fault, FaultKind};
use crate::host::{Host, Turn, TurnCause};
use teneral_contract::manifest::SchemaEntry;
use teneral_contract::{DecodeError, Fingerprint, Message, Wire, answer};

/// A new actor from its encoded start arguments.
///
/// # Errors
/// Arguments that cannot be read, and the author's error.
pub fn create<A: Actor>(shape: Fingerprint, args: &[u8]) -> Result<A, Fault> {
    let args = A::Args::decode(shape, args).map_err(|error| within("start arguments", error))?;
    Ok(A::init(args)?)
}

/// An actor from a snapshot, through the ladder when the schema is an older one.
///
/// # Errors
/// [`FaultKind::Schema`] when the ladder has no such rung, a snapshot that cannot be read, and a step's own error.
pub fn restore<A: Actor>(about: &About<A>, schema: u32, state: &[u8]) -> Result<A, Fault> {
    if schema == A::SCHEMA {
        return about::decode(state);
    }
    let place = about.ladder.from.iter().position(|older| older.schema == schema);
    let Some(climb) = place.and_then(|place| about.ladder.climbs.get(place)) else {
        return Err(no_path(schema, &format!("runs {} and climbs from", A::SCHEMA), about.ladder.from));
    };
    climb(state)
}

/// Appends a snapshot of the actor.
///
/// # Errors
/// What the codec refuses.
pub fn save<A: Actor>(actor: &A, out: &mut Vec<u8>) -> Result<(), Fault> {
    about::encode(actor, out)
}

/// Appends a snapshot of this schema as one of the older `to_schema`.
///
/// # Errors
/// [`FaultKind::Schema`] when there is no way down to it, a snapshot that cannot be read, and a step's own error.
pub fn downgrade<A: Actor>(about: &About<A>, state: &[u8], to_schema: u32, out: &mut Vec<u8>) -> Result<(), Fault> {
    let place = about.ladder.down.iter().position(|older| older.schema == to_schema);
    let Some(descend) = place.and_then(|place| about.ladder.descents.get(place)) else {
        return Err(no_path(to_schema, &format!("runs {} and goes down to", A::SCHEMA), about.ladder.down));
    };
    descend(about::decode(state)?, out)
}

/// The instance goes live.
///
/// # Errors
/// The author's error, and the first effect that failed.
pub fn started<A: Actor>(actor: &mut A, why: Why, turn: &Turn<'_>, host: &mut dyn Host) -> Result<(), Fault> {
    let mut context = Context::new(turn, host);
    actor.started(why, &mut context)?;
    context.finish()
}

/// One message, one turn; or the word that an effect reached nobody, which brings no message.
///
/// # Errors
/// A message that cannot be read, the author's error, and the first effect that failed.
pub fn handle<A: Actor>(actor: &mut A, turn: &Turn<'_>, host: &mut dyn Host) -> Result<(), Fault> {
    if let TurnCause::Undelivered(why) = turn.cause {
        let mut context = Context::new(turn, host);
        actor.undelivered(why, &mut context)?;
        return context.finish();
    }
    let message = message::<A::Message>(turn)?;
    deliver(actor, message, turn, host)
}

/// One message that is already read.
///
/// # Errors
/// The author's error, and the first effect that failed.
pub fn deliver<A: Actor>(
    actor: &mut A,
    message: A::Message,
    turn: &Turn<'_>,
    host: &mut dyn Host,
) -> Result<(), Fault> {
    let mut context = Context::new(turn, host);
    actor.handle(message, &mut context)?;
    context.finish()
}

fn message<M: Message>(turn: &Turn<'_>) -> Result<M, Fault> {
    let Some(variant) = M::VARIANTS.get(turn.index as usize).filter(|known| known.tag.variant == turn.tag.variant)
    else {
        let text = format!("no message number {} of variant {:016x}", turn.index, turn.tag.variant);
        return Err(Fault::new(FaultKind::UnknownMessage, text));
    };
    let decode = || M::decode(turn.index, turn.tag.fingerprint, turn.body);
    let message = match &turn.cause {
        TurnCause::Answer(answer) => {
            let answer = answer.clone().map(|(shape, bytes)| (shape, bytes.to_vec()));
            answer::filling(answer, decode)
        }
        _ => decode(),
    };
    message.map_err(|error| within(&format!("message {}", variant.name), error))
}

fn within(what: &str, error: DecodeError) -> Fault {
    let fault = Fault::from(error);
    Fault::new(fault.kind, format!("{what}: {}", fault.text))
}

fn no_path(schema: u32, path: &str, known: &[SchemaEntry]) -> Fault {
    let known: Vec<String> = known.iter().map(|known| known.schema.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Fault::new(FaultKind::Schema, format!("no path for schema {schema}: this code {path} {known}"))
}
