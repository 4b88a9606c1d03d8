//! The contract map: may these bytes go to this code, and how.
//!
//! Everything encoded that waits at the host (mailboxes, timers, continuations, start arguments) is tagged and passes
//! this one map: same shape passes, a known older shape is up-cast by the plugin, anything else is refused. Nothing is
//! ever decoded as what it is not.

use crate::manifest::Manifest;
use crate::shape::{Fingerprint, Tag, variant_id};

/// What one version of a kind understands. Built once per loaded version, shared by its actors.
#[derive(Debug)]
pub struct Contract {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    variant: u64,
    own: Fingerprint,
    older: Box<[Fingerprint]>,
    reply: Option<ReplyShapes>,
}

/// The reply of a message, as shapes.
#[derive(Debug, Clone)]
pub struct ReplyShapes {
    /// What the code replies.
    pub own: Fingerprint,
    /// What it can reply instead, for older callers.
    pub older: Box<[Fingerprint]>,
}

impl ReplyShapes {
    /// Whether the code can answer a caller who expects `shape`.
    #[must_use]
    pub fn reach(&self, shape: Fingerprint) -> bool {
        self.own == shape || self.older.contains(&shape)
    }
}

/// How a message goes to the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// As it is, to the message with this index.
    Same(u32),
    /// Through the code's up-cast, to the message with this index.
    Upcast(u32),
}

/// Why it does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No variant of that name.
    #[error("unknown message (variant {0:016x})")]
    UnknownMessage(u64),
    /// The variant is known in another shape, without a path from this one.
    #[error("message {name} is known in shape {own}, not {found}")]
    UnknownShape {
        /// The variant's name.
        name: String,
        /// What the code knows.
        own: Fingerprint,
        /// What came.
        found: Fingerprint,
    },
}

impl Route {
    /// The message's index in the manifest.
    #[must_use]
    pub const fn index(self) -> u32 {
        match self {
            Self::Same(index) | Self::Upcast(index) => index,
        }
    }
}

impl Entry {
    #[cold]
    fn refuse(&self, found: Fingerprint) -> Refusal {
        Refusal::UnknownShape { name: self.name.to_string(), own: self.own, found }
    }
}

impl Contract {
    /// The map of one library.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let entries = manifest.messages.iter().map(|message| Entry {
            name: message.name.as_str().into(),
            variant: variant_id(&message.name),
            own: message.fingerprint,
            older: message.also.clone().into(),
            reply: message
                .reply
                .as_ref()
                .map(|reply| ReplyShapes { own: reply.fingerprint, older: reply.also.clone().into() }),
        });
        Self { entries: entries.collect() }
    }

    /// Where a message of `tag` goes.
    ///
    /// # Errors
    /// [`Refusal`] when this code has no path for it.
    #[inline]
    pub fn resolve(&self, tag: Tag) -> Result<Route, Refusal> {
        // Linear: enums have a dozen variants, and one compare of a u64 beats a hash.
        let Some(index) = self.entries.iter().position(|entry| entry.variant == tag.variant) else {
            return Err(Refusal::UnknownMessage(tag.variant));
        };
        let entry = &self.entries[index];
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        if entry.own == tag.fingerprint {
            Ok(Route::Same(index))
        } else if entry.older.contains(&tag.fingerprint) {
            Ok(Route::Upcast(index))
        } else if cfg!(feature = "bug-m16") {
            Ok(Route::Same(index))
        } else {
            Err(entry.refuse(tag.fingerprint))
        }
    }

    /// The name of the message with this index.
    #[must_use]
    pub fn name(&self, index: u32) -> Option<&str> {
        self.entries.get(index as usize).map(|entry| &*entry.name)
    }

    /// The name of the variant with this id.
    #[must_use]
    pub fn name_of(&self, variant: u64) -> Option<&str> {
        self.entries.iter().find(|entry| entry.variant == variant).map(|entry| &*entry.name)
    }

    /// The names of all messages, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// What the message with this index replies; `None` when it declares no reply.
    #[must_use]
    pub fn reply(&self, index: u32) -> Option<&ReplyShapes> {
        self.entries.get(index as usize).and_then(|entry| entry.reply.as_ref())
    }
}
