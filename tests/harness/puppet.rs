//! The puppet, `tests/fixtures/puppet.c`, in Rust: what it is told, and the manifest of its library.

use super::c::Source;
use super::libraries::library;
use super::root;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use teneral::contract::parts::{BodyParts, ManifestParts, StateParts};
use teneral::contract::{Message, Shape, State};
use teneral::loader::{Gate, Policy, UnsignedRecord};

/// From now on its state is this body, whatever it holds.
#[derive(Debug, Clone, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Keep {}

/// From now on it breaks a rule at a place; as start arguments, from the beginning.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Obey {
    pub(crate) at: At,
    pub(crate) how: How,
}

/// Asks for the length of its state.
#[derive(Debug, Clone, Serialize, Deserialize, teneral::Request)]
#[reply(Told)]
pub(crate) struct Ask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, teneral::Wire)]
pub(crate) struct Told {
    pub(crate) bytes: u64,
}

/// Where it breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) enum At {
    Nowhere,
    Create,
    Started,
    Handle,
    Save,
    Restore,
}

/// Which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Shape)]
pub(crate) enum How {
    Behave,
    /// A status that the ABI does not know.
    HighStatus,
    LowStatus,
    /// OK, and no instance.
    NoInstance,
    /// A panic without words.
    SpeechlessPanic,
    /// More than was reserved.
    CommitMore,
    /// Without having reserved anything.
    CommitUnasked,
    /// Until there is no more room; then OK.
    Flood,
    /// An error whose text is no text and does not end.
    LongWords,
    /// Host functions with what cannot be.
    BadArguments,
    /// A reply of another shape.
    OtherReply,
    TwoReplies,
    NoReply,
    /// More effects than a turn may have.
    ManyEffects,
}

/// Arguments of a puppet that behaves.
pub(crate) const GOOD: Obey = Obey { at: At::Nowhere, how: How::Behave };

#[derive(Message)]
enum PuppetMessage {
    Keep(Keep),
    Obey(Obey),
    Ask(Ask),
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Kept {}

/// A puppet of that version, of a kind of its own.
pub(crate) fn puppet(version: &str) -> Source {
    let parts = ManifestParts {
        abi: [1, 0],
        target: &format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
        panic: "none",
        compiler: "cc",
        kind: "puppet",
        version,
        state: StateParts::of::<Kept>(&[], &[]),
        args: BodyParts::of::<Obey>(),
        messages: PuppetMessage::VARIANTS,
        requires: &[],
        capabilities: &[],
        deterministic: false,
        blocking: false,
    };
    as_another(serde_json::to_value(parts.manifest().expect("a manifest")).expect("JSON"))
}

/// A puppet that says of itself that it is this package's library.
pub(crate) fn posing_as(package: &str) -> Source {
    let gate = Gate { policy: Policy::standard(), trust: UnsignedRecord };
    let verified = gate.verify(library(package), None).expect("our own libraries pass the gate");
    as_another(serde_json::to_value(verified.manifest()).expect("JSON"))
}

/// A puppet that says of itself that it is another library: its first message is what it keeps.
fn as_another(mut manifest: Value) -> Source {
    let code = std::fs::read_to_string(root().join("tests/fixtures/puppet.c")).expect("the puppet's source is ours");
    manifest["panic"] = "none".into();
    let kind = manifest["kind"].as_str().expect("a kind").to_owned();
    let schema = manifest["state"]["schema"].to_string();
    Source::new(code, manifest).flag(format!("-DKIND=\"{kind}\"")).flag(format!("-DSCHEMA={schema}"))
}
