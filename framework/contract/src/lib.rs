//! What two versions of a program must agree on: shapes, fingerprints, messages, state, and the two codecs.
//!
//! Hosts, plugins and callers all link this crate, so it knows no runtime and no ABI. The layout:
//!
//! * [`shape`]: a type's shape as a constant, and its 128-bit fingerprint, both computed at compile time
//! * [`checks`]: what a shape must not be
//! * [`types`]: the shapes of the standard library's types, and [`Bytes`]
//! * [`wire`]: what an author derives and implements: [`Wire`], [`Request`], [`Message`], [`Upcast`]
//! * [`state`]: [`State`], and the ladder of [`Migrate`] and [`Downgrade`] steps between schemas
//! * [`answer`]: the hole in a continuation that the host fills with an ask's answer
//! * [`codec`]: the only module that names bincode and MessagePack
//! * [`addr`]: addresses: `kind/key` and its stable hash
//! * [`manifest`]: what a library says of itself before it is loaded
//! * [`diff`]: what differs between two shapes
//! * [`digest`]: which artifact
//! * [`parts`] and [`constjson`]: the manifest as constants, written at compile time into the library's section
//! * [`json`]: JSON held against a shape, and [`nearest`], the names that a mistyped one is closest to
//! * [`spell`]: a shape as people read and type it; [`spelling`]: the same, read back
//! * [`described`]: a shape as a manifest has it: whether it is one, and its fingerprint
//! * [`program`]: an artifact that is a program of its own, and [`by_hand`], a manifest as a person writes it for one
//! * [`map`]: the contract map: may these bytes go to this code, and how
#![forbid(unsafe_code)]

extern crate self as teneral_contract;

pub mod addr;
pub mod answer;
pub mod by_hand;
pub mod checks;
pub mod codec;
pub mod constjson;
pub mod described;
pub mod diff;
pub mod digest;
pub mod json;
pub mod manifest;
pub mod map;
pub mod nearest;
pub mod parts;
pub mod program;
pub mod shape;
pub mod spell;
pub mod spelling;
pub mod state;
pub mod types;
pub mod wire;

pub use addr::Addr;
pub use answer::{Answer, AskError};
pub use codec::{DecodeError, EncodeError};
pub use diff::shape_diff;
pub use digest::Digest;
pub use manifest::{Manifest, ManifestError};
pub use map::{Contract, Refusal, Route};
pub use parts::ManifestParts;
pub use shape::{Fingerprint, Node, Shape, Tag};
pub use state::{Downgrade, Migrate, MigrateError, State};
pub use teneral_derive::{Message, Request, Shape, State, Wire};
pub use types::Bytes;
pub use wire::{Downcast, Message, Request, Upcast, Wire};
