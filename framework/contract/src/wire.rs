//! What an author derives for what crosses between actors: [`Wire`], [`Request`], [`Message`], [`Upcast`].
//!
//! Every message is a struct of its own and the enum only wraps them, so that each has its own fingerprint and its own
//! up-casts, and variants are matched by name, not by place.

use crate::codec::{self, DecodeError, EncodeError};
use crate::shape::{Fingerprint, Node, Shape, Tag, variant_id};
use serde::{Serialize, de::DeserializeOwned};

/// An older shape that a type can be read from, or written as; and what that one knows in turn.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The older shape.
    pub fingerprint: Fingerprint,
    /// What the older type knows itself: one more step back.
    pub deeper: &'static [Known],
}

impl Known {
    /// Whether a value of shape `fingerprint` becomes this older type, at once or from further back.
    #[must_use]
    pub const fn reaches(&self, fingerprint: Fingerprint) -> bool {
        let mut found = self.fingerprint.0 == fingerprint.0;
        let mut i = 0;
        while i < self.deeper.len() && !found {
            found = self.deeper[i].reaches(fingerprint);
            i += 1;
        }
        found
    }
}

/// The reply that a request declares.
#[derive(Debug, Clone, Copy)]
pub struct ReplyInfo {
    /// Its shape.
    pub node: &'static Node,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Older shapes it can be written as, for callers of yesterday.
    pub downcasts: &'static [Known],
    /// A reply of a known shape as JSON: [`body_to_json`].
    pub to_json: fn(Fingerprint, &[u8]) -> Result<String, DecodeError>,
}

impl ReplyInfo {
    /// The reply `T`.
    #[must_use]
    pub const fn of<T: Wire>() -> Self {
        Self { node: T::NODE, fingerprint: T::FINGERPRINT, downcasts: T::DOWNCASTS, to_json: body_to_json::<T> }
    }
}

/// A value that crosses between actors: a message's body, a reply, start arguments.
///
/// Derived: `#[derive(Serialize, Deserialize, Wire)]`, with `#[wire(upcast(v1::Add))]` where an older shape is still
/// understood (`impl Upcast<v1::Add> for Add`) and `#[wire(downcast(v1::Summary))]` where an older caller still gets
/// what it knows (`impl Downcast<v1::Summary> for Summary`).
pub trait Wire: Shape + Serialize + DeserializeOwned + Send + 'static {
    /// The type's name: the variant that carries it.
    const NAME: &'static str;
    /// Older shapes this type is read from.
    const UPCASTS: &'static [Known] = &[];
    /// Older shapes this type can be written as.
    const DOWNCASTS: &'static [Known] = &[];
    /// The reply it asks for; set by `derive(Request)`.
    const REPLY: Option<&'static ReplyInfo> = None;

    /// Reads a value of shape `fingerprint`, up-casting an older one.
    ///
    /// # Errors
    /// [`DecodeError::Shape`] when there is no path from that shape, else what the codec says.
    fn decode(fingerprint: Fingerprint, bytes: &[u8]) -> Result<Self, DecodeError> {
        decode_own(fingerprint, bytes)
    }

    /// Writes the value as shape `fingerprint`, down-casting for an older reader.
    ///
    /// # Errors
    /// [`EncodeError::Shape`] when there is no path to that shape, else what the codec says.
    fn encode_as(&self, fingerprint: Fingerprint, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode_own(self, fingerprint, out)
    }

    /// Variant and fingerprint of this type.
    #[must_use]
    fn tag() -> Tag {
        const { Tag { variant: variant_id(Self::NAME), fingerprint: Self::FINGERPRINT } }
    }
}

/// Reads a value of the type's own shape. For derived code.
///
/// # Errors
/// [`DecodeError::Shape`] for any other shape, else what the codec says.
pub fn decode_own<T: Wire>(fingerprint: Fingerprint, bytes: &[u8]) -> Result<T, DecodeError> {
    if fingerprint == T::FINGERPRINT {
        return codec::decode(bytes);
    }
    Err(DecodeError::Shape { expected: T::FINGERPRINT, found: fingerprint })
}

/// Writes a value as its own shape. For derived code.
///
/// # Errors
/// [`EncodeError::Shape`] for any other shape, else what the codec says.
pub fn encode_own<T: Wire>(value: &T, fingerprint: Fingerprint, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if fingerprint == T::FINGERPRINT {
        return codec::encode(value, out);
    }
    Err(EncodeError::Shape { expected: fingerprint, found: T::FINGERPRINT })
}

/// A message that wants a reply. Derived: `#[derive(Serialize, Deserialize, Request)] #[reply(Summary)]`.
pub trait Request: Wire {
    /// What the actor answers.
    type Reply: Wire;
}

/// How an older value becomes a newer one.
pub trait Upcast<Old>: Sized {
    /// Total and pure: a message in a queue cannot be sent back to its author.
    fn upcast(old: Old) -> Self;
}

/// How a newer reply becomes an older one, for a caller of yesterday.
pub trait Downcast<Old>: Sized {
    /// Total and pure, as [`Upcast::upcast`]. By reference, since a handler replies by reference.
    fn downcast(&self) -> Old;
}

/// One variant of an actor's message enum.
#[derive(Debug, Clone, Copy)]
pub struct VariantInfo {
    /// The variant's name.
    pub name: &'static str,
    /// The body's shape.
    pub node: &'static Node,
    /// The body's tag.
    pub tag: Tag,
    /// Older shapes of the body that are understood.
    pub upcasts: &'static [Known],
    /// What it asks for.
    pub reply: Option<&'static ReplyInfo>,
    /// A body from JSON, in the tag's shape: [`body_from_json`].
    pub from_json: fn(&str) -> Result<Vec<u8>, DecodeError>,
}

/// A value from JSON, without fields that its shape does not have.
///
/// # Errors
/// [`DecodeError::Malformed`] with line and column, or with the field and the nearest names.
pub fn from_json<T: Shape + DeserializeOwned>(json: &str) -> Result<T, DecodeError> {
    let malformed = |error: serde_json::Error| DecodeError::Malformed(error.to_string());
    let any = serde_json::from_str(json).map_err(malformed)?;
    match crate::json::unknown_field(T::NODE, &any) {
        Some(unknown) => Err(DecodeError::Malformed(unknown)),
        // From the text again: only that knows the place of what does not fit.
        None => serde_json::from_str(json).map_err(malformed),
    }
}

/// A body of type `T` from JSON. For derived code.
///
/// # Errors
/// As [`from_json`].
pub fn body_from_json<T: Wire>(json: &str) -> Result<Vec<u8>, DecodeError> {
    let malformed = |error: &dyn std::fmt::Display| DecodeError::Malformed(error.to_string());
    let value: T = from_json(json)?;
    let mut body = Vec::new();
    codec::encode(&value, &mut body).map_err(|error| malformed(&error))?;
    Ok(body)
}

/// A body of a shape that `T` is read from, as JSON. For derived code.
///
/// # Errors
/// As [`Wire::decode`]; [`DecodeError::Malformed`] for a value that JSON cannot say.
pub fn body_to_json<T: Wire>(fingerprint: Fingerprint, body: &[u8]) -> Result<String, DecodeError> {
    let value = T::decode(fingerprint, body)?;
    serde_json::to_string(&value).map_err(|error| DecodeError::Malformed(error.to_string()))
}

impl VariantInfo {
    /// The variant `name` that wraps `T`.
    #[must_use]
    pub const fn of<T: Wire>(name: &'static str) -> Self {
        let tag = Tag { variant: variant_id(name), fingerprint: T::FINGERPRINT };
        Self { name, node: T::NODE, tag, upcasts: T::UPCASTS, reply: T::REPLY, from_json: body_from_json::<T> }
    }
}

/// Whether no two variants share an id. For derived code.
#[must_use]
pub const fn ids_differ(variants: &[VariantInfo]) -> bool {
    let mut i = 0;
    while i < variants.len() {
        let mut j = 0;
        while j < i {
            if variants[i].tag.variant == variants[j].tag.variant {
                return false;
            }
            j += 1;
        }
        i += 1;
    }
    true
}

/// An actor's messages. Derived on an enum whose every variant wraps the struct of the same name.
pub trait Message: Sized + Send + 'static {
    /// The variants in order; the place is the `index` of the ABI.
    const VARIANTS: &'static [VariantInfo];

    /// Which message this is.
    fn tag(&self) -> Tag;

    /// Appends the body.
    ///
    /// # Errors
    /// What the codec says.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Reads variant `index` from a body of shape `fingerprint`.
    ///
    /// # Errors
    /// [`DecodeError::UnknownVariant`] for an index out of range, else as [`Wire::decode`].
    fn decode(index: u32, fingerprint: Fingerprint, body: &[u8]) -> Result<Self, DecodeError>;
}
