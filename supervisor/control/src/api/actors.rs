//! What is said of actors, and what they are told.

use super::json::distinct;
use super::wire::no_fields;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::num::NonZeroU64;
use teneral_contract::Addr;
use teneral_upgrade::OnProbation;

/// An actor that should handle messages and does not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Down {
    /// Who.
    pub actor: Addr,
    /// The stable code of the cause.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// What to do.
    pub hint: String,
}

/// What is known of an actor without asking it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActorView {
    /// Who.
    pub actor: Addr,
    /// The version that it comes back on when the host does; none for an actor that is not defined.
    pub desired: Option<Version>,
    /// The version that handles its messages now; none when it does not run.
    pub running: Option<Version>,
    /// The schema of its state.
    pub schema: Option<u32>,
    /// Upgrades so far.
    pub generation: u64,
    /// `running`, `hung` for one whose code does not return, `paused`, `suspended`, `stopped`, or `down` for a defined
    /// actor that does not run.
    pub status: String,
    /// Who paused it, or why it failed; empty otherwise.
    pub detail: String,
    /// Why it handles nothing, if it is down or suspended.
    pub down: Option<Down>,
    /// The version that new actors of its kind get.
    pub default: Option<Version>,
    /// How its version stands, if it is on probation after an upgrade.
    pub probation: Option<OnProbation>,
    /// Messages that wait for it.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Its effects that wait for room at their targets.
    pub outbox_effects: usize,
    /// Messages whose turns ended well.
    pub handled: u64,
    /// Turns that ended in an error.
    pub failed: u64,
    /// Turns that panicked.
    pub panics: u64,
    /// Restarts after failures.
    pub restarts: u64,
    /// Who started it, if an actor did.
    pub parent: Option<Addr>,
    /// The actors that it started.
    pub children: Vec<Addr>,
    /// What it goes on from when its process is gone; none for an actor in the host, or where none is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
}

/// An actor's last checkpoint: a state that was saved between two messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Checkpoint {
    /// When it was taken.
    pub at: Timestamp,
    /// The bytes of its state; none: it is the actor's start arguments.
    pub state_bytes: Option<usize>,
    /// Messages since.
    pub messages: usize,
    /// What is kept of them, in bytes.
    pub kept_bytes: usize,
    /// Why the messages since would not be in its state, if they would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_replayed: Option<String>,
}

/// An actor with a turn that does not return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Hung {
    /// Who.
    pub actor: Addr,
    /// Whose code that is.
    pub version: Version,
    /// In which message it is, or `save`; none where that is not known.
    #[serde(rename = "in", default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<String>,
    /// What to do.
    #[serde(default)]
    pub hint: String,
}

/// Starts an actor, which comes back when the host does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Who.
    pub actor: Addr,
    /// Which version; none: the kind's default.
    pub version: Option<Version>,
    /// Its start arguments.
    #[serde(default = "no_fields", deserialize_with = "distinct")]
    pub args: Value,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Stops an actor and forgets its definition and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Who.
    pub actor: Addr,
    /// Why; empty: a normal stop.
    #[serde(default)]
    pub reason: String,
    /// How long to wait for its turn to end before it is cut off.
    pub timeout_ms: u64,
}

/// Begins an actor again on the version that it runs; one that is down is brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Who.
    pub actor: Addr,
    /// From what; none: from its state.
    #[serde(default)]
    pub state: Option<BeginFrom>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// What an actor that is restarted begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BeginFrom {
    /// Its state as it is, or as it was kept; refused where there is none.
    Keep,
    /// Its start arguments: the state is given up.
    Init,
}

/// What became of an actor that was to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HasStopped {
    /// Which.
    pub actor: Addr,
    /// Whether its turn was cut off, since it did not end in time.
    pub cut_off: bool,
    /// What went with it.
    pub lost: Lost,
}

/// What an actor took along when it was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Lost {
    /// How many messages had made its state; none: it did not run, and what was kept of it is gone.
    pub handled: Option<u64>,
    /// Messages that waited for it when it was told to stop, as far as it did not come to them: dead letters.
    pub queued_messages: usize,
    /// Whether it would have come back with the host.
    pub defined: bool,
}

/// Pauses an actor: what is sent to it waits. A second one prolongs the pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Whom.
    pub actor: Addr,
    /// How long at most: then it resumes by itself.
    #[schema(value_type = u64, minimum = 1)]
    pub max_ms: NonZeroU64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A message for an actor, to tell or to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// Whom.
    pub actor: Addr,
    /// The message's name.
    pub message: String,
    /// Its fields.
    #[serde(default = "no_fields", deserialize_with = "distinct")]
    pub body: Value,
    /// How long to wait for room and for the answer; 5,000 when it is left out.
    pub timeout_ms: Option<u64>,
}

/// Start arguments that a version takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Checked {
    /// Which version was asked.
    pub version: Version,
    /// Whether the actor of that name was started from them; none: there is none, or it was started by code to which
    /// they would have another shape.
    pub same_args: Option<bool>,
}
