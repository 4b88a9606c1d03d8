//! The manifest as constants, and the section that is made of them at compile time.
//!
//! A library's section and the manifest of an actor that is linked in come from the same [`ManifestParts`], so the two
//! cannot say different things.

use crate::constjson::{Text, crc32};
use crate::manifest::{HEADER_BYTES, MANIFEST_FORMAT, MANIFEST_MAGIC, Manifest, ManifestError, SchemaEntry};
use crate::shape::{Fingerprint, Node};
use crate::state::State;
use crate::wire::{Known, ReplyInfo, VariantInfo, Wire};

/// What a [`Manifest`] is made of, as constants.
#[derive(Debug, Clone, Copy)]
pub struct ManifestParts<'a> {
    /// ABI major and minor.
    pub abi: [u16; 2],
    /// Target triple.
    pub target: &'a str,
    /// `unwind`; `abort` where the library was built so, which the host refuses.
    pub panic: &'a str,
    /// The compiler, for people.
    pub compiler: &'a str,
    /// The actor kind.
    pub kind: &'a str,
    /// The author's version.
    pub version: &'a str,
    /// The state and its ladder.
    pub state: StateParts<'a>,
    /// The start arguments.
    pub args: BodyParts<'a>,
    /// The messages, in order: [`crate::Message::VARIANTS`].
    pub messages: &'a [VariantInfo],
    /// Host extensions without which the library does not work.
    pub requires: &'a [&'a str],
    /// What it may do beyond messages.
    pub capabilities: &'a [&'a str],
    /// Equal inputs give equal effects.
    pub deterministic: bool,
    /// Handlers may block.
    pub blocking: bool,
}

/// The state's part of [`ManifestParts`].
#[derive(Debug, Clone, Copy)]
pub struct StateParts<'a> {
    /// The schema.
    pub schema: u32,
    /// Its shape.
    pub node: &'a Node,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Older schemas that `restore` climbs from.
    pub from: &'a [SchemaEntry],
    /// Older schemas that `downgrade` reaches.
    pub down: &'a [SchemaEntry],
}

impl<'a> StateParts<'a> {
    /// The parts of state `S` and its ladder.
    #[must_use]
    pub const fn of<S: State>(from: &'a [SchemaEntry], down: &'a [SchemaEntry]) -> Self {
        Self { schema: S::SCHEMA, node: S::NODE, fingerprint: S::FINGERPRINT, from, down }
    }
}

impl SchemaEntry {
    /// State `S` by number and fingerprint.
    #[must_use]
    pub const fn of<S: State>() -> Self {
        Self { schema: S::SCHEMA, fingerprint: S::FINGERPRINT }
    }
}

/// A body's part of [`ManifestParts`].
#[derive(Debug, Clone, Copy)]
pub struct BodyParts<'a> {
    /// Its shape.
    pub node: &'a Node,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Older shapes that it is read from; for a reply, that it can be written as.
    pub also: &'a [Known],
}

impl BodyParts<'static> {
    /// The parts of `T` as something that is read.
    #[must_use]
    pub const fn of<T: Wire>() -> Self {
        Self { node: T::NODE, fingerprint: T::FINGERPRINT, also: T::UPCASTS }
    }
}

impl ManifestParts<'_> {
    /// How many bytes the section takes: header and JSON.
    #[must_use]
    pub const fn section_bytes(&self) -> usize {
        let mut text = Text::new(&mut []);
        self.write(&mut text);
        HEADER_BYTES + text.len()
    }

    /// The section: `const SECTION: [u8; PARTS.section_bytes()] = PARTS.section();`
    ///
    /// # Panics
    /// When `N` is not [`ManifestParts::section_bytes`], which as a constant does not build.
    #[must_use]
    pub const fn section<const N: usize>(&self) -> [u8; N] {
        let mut section = [0; N];
        self.write_section(&mut section);
        section
    }

    /// The manifest, for an actor that is linked into the program.
    ///
    /// # Errors
    /// [`ManifestError`], as for a library: a kind or a version that is none, a message twice.
    pub fn manifest(&self) -> Result<Manifest, ManifestError> {
        let mut section = vec![0; self.section_bytes()];
        self.write_section(&mut section);
        Manifest::parse(&section)
    }

    const fn write_section(&self, section: &mut [u8]) {
        assert!(section.len() == self.section_bytes(), "a section is as long as `section_bytes` says");
        let (header, json) = section.split_at_mut(HEADER_BYTES);
        self.write(&mut Text::new(json));
        let mut header = Text::new(header);
        header.push_bytes(&MANIFEST_MAGIC);
        header.push_bytes(&MANIFEST_FORMAT.to_le_bytes());
        header.push_bytes(&0_u16.to_le_bytes());
        header.push_bytes(&(json.len() as u32).to_le_bytes());
        header.push_bytes(&crc32(json).to_le_bytes());
    }

    const fn write(&self, text: &mut Text<'_>) {
        text.push_str("{\"format\":");
        text.push_u64(MANIFEST_FORMAT as u64);
        text.push_str(",\"abi\":[");
        text.push_u64(self.abi[0] as u64);
        text.push_str(",");
        text.push_u64(self.abi[1] as u64);
        text.push_str("]");
        let strings = [
            (",\"target\":", self.target),
            (",\"panic\":", self.panic),
            (",\"compiler\":", self.compiler),
            (",\"kind\":", self.kind),
            (",\"version\":", self.version),
        ];
        let mut i = 0;
        while i < strings.len() {
            text.push_str(strings[i].0);
            text.push_string(strings[i].1);
            i += 1;
        }
        text.push_str(",\"state\":");
        write_state(text, &self.state);
        text.push_str(",\"args\":");
        write_body(text, &self.args);
        text.push_str(",\"messages\":[");
        let mut i = 0;
        while i < self.messages.len() {
            text.next(i);
            write_message(text, &self.messages[i]);
            i += 1;
        }
        text.push_str("],\"requires\":");
        text.push_strings(self.requires);
        text.push_str(",\"capabilities\":");
        text.push_strings(self.capabilities);
        text.push_str(",\"deterministic\":");
        text.push_truth(self.deterministic);
        text.push_str(",\"blocking\":");
        text.push_truth(self.blocking);
        text.push_str("}");
    }
}

const fn write_state(text: &mut Text<'_>, state: &StateParts<'_>) {
    text.push_str("{\"schema\":");
    text.push_u64(state.schema as u64);
    write_shape(text, state.fingerprint, state.node);
    text.push_str(",\"from\":");
    write_schemas(text, state.from);
    text.push_str(",\"down\":");
    write_schemas(text, state.down);
    text.push_str("}");
}

const fn write_schemas(text: &mut Text<'_>, schemas: &[SchemaEntry]) {
    text.push_str("[");
    let mut i = 0;
    while i < schemas.len() {
        text.next(i);
        text.push_str("{\"schema\":");
        text.push_u64(schemas[i].schema as u64);
        text.push_str(",\"fingerprint\":");
        text.push_fingerprint(schemas[i].fingerprint);
        text.push_str("}");
        i += 1;
    }
    text.push_str("]");
}

const fn write_message(text: &mut Text<'_>, message: &VariantInfo) {
    text.push_str("{\"name\":");
    text.push_string(message.name);
    write_shape(text, message.tag.fingerprint, message.node);
    write_also(text, message.upcasts);
    text.push_str(",\"reply\":");
    match message.reply {
        None => text.push_str("null"),
        Some(ReplyInfo { node, fingerprint, downcasts, .. }) => {
            write_body(text, &BodyParts { node, fingerprint: *fingerprint, also: downcasts });
        }
    }
    text.push_str("}");
}

const fn write_body(text: &mut Text<'_>, body: &BodyParts<'_>) {
    text.push_str("{\"fingerprint\":");
    text.push_fingerprint(body.fingerprint);
    text.push_str(",\"shape\":");
    text.push_node(body.node);
    write_also(text, body.also);
    text.push_str("}");
}

const fn write_shape(text: &mut Text<'_>, fingerprint: Fingerprint, node: &Node) {
    text.push_str(",\"fingerprint\":");
    text.push_fingerprint(fingerprint);
    text.push_str(",\"shape\":");
    text.push_node(node);
}

const fn write_also(text: &mut Text<'_>, known: &[Known]) {
    text.push_str(",\"also\":[");
    write_known(text, known, 0);
    text.push_str("]");
}

/// The whole tree of older shapes, flat; answers how many stand in the list now.
const fn write_known(text: &mut Text<'_>, known: &[Known], mut written: usize) -> usize {
    let mut i = 0;
    while i < known.len() {
        text.next(written);
        text.push_fingerprint(known[i].fingerprint);
        written = write_known(text, known[i].deeper, written + 1);
        i += 1;
    }
    written
}
