//! A type's shape as a constant, and its fingerprint.
//!
//! Two thirds of studied upgrade failures were versions that disagreed on data (Zhang et al., SOSP'21). A shape is what
//! both sides must agree on: names and types of fields, names and order of variants. It is a constant, so a library can
//! carry it in its manifest and a lock file can pin it at compile time. A type's own name is no part of it: it never
//! crosses.

use std::fmt;

/// A type's shape, as a tree of constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A primitive by its Rust name, `string`, `bytes`, `unit`, `addr`, or an opaque type's declared name.
    Leaf(&'static str),
    /// `Option<T>`.
    Option(&'static Node),
    /// `Result<T, E>`.
    Result(&'static Node, &'static Node),
    /// A sequence of any length.
    Seq(&'static Node),
    /// An array of fixed length.
    Array(&'static Node, usize),
    /// An ordered map.
    Map(&'static Node, &'static Node),
    /// An ordered set.
    Set(&'static Node),
    /// A tuple or a tuple struct.
    Tuple(&'static [&'static Node]),
    /// A struct with named fields.
    Struct(&'static [Field]),
    /// An enum.
    Enum(&'static [Variant]),
    /// The hole that an ask's answer fills.
    Answer(&'static Node),
    /// The node this many levels above: a type that holds itself.
    Recursive(u32),
}

/// A named field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// Its shape.
    pub node: &'static Node,
}

/// A variant of an enum; its payload is a `Struct`, a `Tuple`, or `Leaf("unit")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The variant's name.
    pub name: &'static str,
    /// Its payload.
    pub node: &'static Node,
}

/// A type with a known shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no shape that both sides of an upgrade could agree on",
    label = "no `Shape`",
    note = "derive `Shape` (or `Wire`, `State`) for your own types; write `BTreeMap` and `BTreeSet` instead of \
            `HashMap` and `HashSet`, so that equal states have equal bytes"
)]
pub trait Shape {
    /// The shape.
    const NODE: &'static Node;
    /// Its fingerprint.
    const FINGERPRINT: Fingerprint = fingerprint(Self::NODE);
}

/// FNV-1a-128 over a canonical walk of a shape. Not a security hash: signatures decide which code runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(pub u128);

/// Which message, in which shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag {
    /// [`variant_id`] of the variant's name.
    pub variant: u64,
    /// The shape of its body.
    pub fingerprint: Fingerprint,
}

impl Fingerprint {
    /// Nobody expects anything: a tell's reply.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

pub(crate) const FNV128_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV128_PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a-64 of a variant's name: how messages are matched, so that reordering an enum changes nothing.
#[must_use]
pub const fn variant_id(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

/// FNV-1a-128 of any bytes: addresses and shapes.
#[must_use]
pub const fn fnv128(bytes: &[u8]) -> u128 {
    fold(FNV128_BASIS, bytes)
}

pub(crate) const fn fold(mut hash: u128, bytes: &[u8]) -> u128 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u128).wrapping_mul(FNV128_PRIME);
        i += 1;
    }
    hash
}

/// The fingerprint of a shape.
#[must_use]
pub const fn fingerprint(node: &Node) -> Fingerprint {
    Fingerprint(walk(FNV128_BASIS, node))
}

const fn named(hash: u128, name: &str, node: &Node) -> u128 {
    walk(fold(fold(hash, name.as_bytes()), b":"), node)
}

// Every node opens with a letter of its own and closes what has children, so that no two trees read the same.
const fn walk(hash: u128, node: &Node) -> u128 {
    match node {
        Node::Leaf(name) => fold(fold(fold(hash, b"l"), name.as_bytes()), b";"),
        Node::Option(inner) => walk(fold(hash, b"o"), inner),
        Node::Result(ok, err) => walk(walk(fold(hash, b"r"), ok), err),
        Node::Seq(inner) => walk(fold(hash, b"s"), inner),
        Node::Array(inner, len) => walk(fold(fold(hash, b"a"), &(*len as u64).to_le_bytes()), inner),
        Node::Map(key, value) => walk(walk(fold(hash, b"m"), key), value),
        Node::Set(inner) => walk(fold(hash, b"k"), inner),
        Node::Tuple(items) => {
            let mut hash = fold(hash, b"(");
            let mut i = 0;
            while i < items.len() {
                hash = walk(hash, items[i]);
                i += 1;
            }
            fold(hash, b")")
        }
        Node::Struct(fields) => {
            let mut hash = fold(hash, b"{");
            let mut i = 0;
            while i < fields.len() {
                hash = named(hash, fields[i].name, fields[i].node);
                i += 1;
            }
            fold(hash, b"}")
        }
        Node::Enum(variants) => {
            let mut hash = fold(hash, b"<");
            let mut i = 0;
            while i < variants.len() {
                hash = named(hash, variants[i].name, variants[i].node);
                i += 1;
            }
            fold(hash, b">")
        }
        Node::Answer(inner) => walk(fold(hash, b"?"), inner),
        Node::Recursive(levels) => fold(fold(hash, b"^"), &levels.to_le_bytes()),
    }
}
