//! What is said on the control socket, by both sides. Fields that a side does not know are an error, not a guess.

use super::json::distinct;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use teneral_contract::{Addr, Digest};
use teneral_store::{Entry, UpgradeId};
use teneral_upgrade::{Downgrades, Options, PathlessPolicy, Plan, StateMode};

/// The header with the release file of a pushed artifact, in base64.
pub const RELEASE_HEADER: &str = "teneral-release";

/// The header of a push that may be older than what was here: whatever it says, it is there.
pub const OLDER_HEADER: &str = "teneral-older";

/// The header with its minisign signature, in base64.
pub const SIGNATURE_HEADER: &str = "teneral-signature";

/// How long tell, ask and state wait when the request does not say.
pub const TIMEOUT_MS: u64 = 5000;

fn no_fields() -> Value {
    Value::Object(serde_json::Map::new())
}

/// What the host is, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// The version of teneral.
    pub version: Version,
    /// `starting`, `serving` or `stopping`; only in `serving` anything else is answered.
    pub status: String,
    /// Its process id.
    pub pid: u32,
    /// `development` or `production`.
    pub profile: String,
    /// Actors that are up.
    pub actors: usize,
    /// Upgrades at work.
    pub upgrades: Vec<UpgradeId>,
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
    /// `running`, `paused`, `suspended`, `stopped`, or `down` for a defined actor that did not come back.
    pub status: String,
    /// Who paused it, or why it failed; empty otherwise.
    pub detail: String,
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
}

/// An actor kind, and what there is of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KindView {
    /// Its name.
    pub kind: String,
    /// The version that new actors get.
    pub default: Option<Version>,
    /// What the store holds.
    pub versions: Vec<Version>,
    /// How many of its actors run which version.
    pub running: Vec<(Version, usize)>,
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

/// Pauses an actor: what is sent to it waits. A second one prolongs the pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Whom.
    pub actor: Addr,
    /// How long at most: then it resumes by itself.
    pub max_ms: u64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Names an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Whom.
    pub actor: Addr,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A message that went nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetterView {
    /// Names it in this life of the host.
    pub id: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// To whom it was sent.
    pub to: Addr,
    /// Which actor sent it, if one did.
    pub from: Option<Addr>,
    /// Which message: its name if the kind's code knows it, or else its id in hexadecimal.
    pub message: String,
    /// The size of its body.
    pub body_bytes: usize,
    /// Whether it can be sent again.
    pub body_kept: bool,
    /// Why.
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
    /// How long to wait for room and for the answer; [`TIMEOUT_MS`] when it is left out.
    pub timeout_ms: Option<u64>,
}

/// Names the version that new actors of a kind get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDefault {
    /// Which kind.
    pub kind: String,
    /// Which version.
    pub version: Version,
}

/// A key whose signatures are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyView {
    /// Its id, as minisign prints it.
    pub id: String,
    /// Whose, for people.
    pub name: String,
    /// `release`, or `development` for the key that a development host makes for itself.
    pub purpose: String,
    /// Since when.
    pub added: Timestamp,
    /// Who said so.
    pub by: String,
    /// Until when; none: until somebody takes it back.
    pub expires: Option<Timestamp>,
}

/// Accepts a key's signatures from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The public key: its base64 alone, or a whole `.pub` file.
    pub public: String,
    /// Whose, for people.
    pub name: String,
    /// Until when; none: until somebody takes it back.
    pub expires: Option<Timestamp>,
}

/// An upgrade to be planned, or planned and applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// An actor, or a kind for all its actors.
    pub target: String,
    /// To which version.
    pub to: Version,
    /// Bounds and choices; what is left out is as the host's configuration has it.
    pub options: Option<Choices>,
    /// Why, for journal and report.
    #[serde(default)]
    pub reason: String,
    /// What the caller calls its request, so that it may ask again: one of that name is run, ever.
    pub request: Option<String>,
}

/// Bounds and choices of an upgrade, as far as its caller makes any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// What becomes of the state.
    pub state: Option<StateMode>,
    /// How long one actor may be paused, migration included.
    pub max_pause_us: Option<u64>,
    /// How long to wait for one actor's message boundary.
    pub quiesce_timeout_us: Option<u64>,
    /// How long to wait for another upgrade that has one of the actors.
    pub queue_timeout_us: Option<u64>,
    /// Largest snapshot.
    pub snapshot_bytes_max: Option<usize>,
    /// Whether an older version may be gone back to.
    pub downgrades: Option<Downgrades>,
    /// What becomes of waiting messages that the new code has no path for.
    pub pathless: Option<PathlessPolicy>,
}

impl Choices {
    /// These, and `otherwise` where there is none.
    #[must_use]
    pub fn or(self, otherwise: Options) -> Options {
        let time = |us: Option<u64>, otherwise| us.map_or(otherwise, Duration::from_micros);
        Options {
            state: self.state.unwrap_or(otherwise.state),
            max_pause: time(self.max_pause_us, otherwise.max_pause),
            quiesce_timeout: time(self.quiesce_timeout_us, otherwise.quiesce_timeout),
            queue_timeout: time(self.queue_timeout_us, otherwise.queue_timeout),
            snapshot_bytes_max: self.snapshot_bytes_max.unwrap_or(otherwise.snapshot_bytes_max),
            downgrades: self.downgrades.unwrap_or(otherwise.downgrades),
            pathless: self.pathless.unwrap_or(otherwise.pathless),
        }
    }
}

/// A plan to be applied as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// As it was planned.
    pub plan: Plan,
    /// Why, for journal and report; empty: as the plan says.
    #[serde(default)]
    pub reason: String,
    /// What the caller calls its request, so that it may ask again: one of that name is run, ever.
    pub request: Option<String>,
}

/// One upgrade as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeView {
    /// Which one.
    pub id: UpgradeId,
    /// `running`, `ended`, or `cut off` when the host died in the middle.
    pub status: String,
    /// Its entries, oldest first.
    pub journal: Vec<Entry>,
}

/// One upgrade among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeSummary {
    /// Which one.
    pub id: UpgradeId,
    /// `running`, `ended`, or `cut off` when the host died in the middle.
    pub status: String,
    /// When it began.
    pub at: Option<Timestamp>,
    /// Who asked.
    pub who: String,
    /// Their reason.
    pub why: String,
    /// What they called their request.
    pub request: Option<String>,
    /// To which versions.
    pub to: Vec<Version>,
    /// How many actors are to move.
    pub actors: usize,
    /// What became of them, as far as it has ended: `committed`, `rolled_back`, `refused`, `deferred`, and how many.
    pub outcomes: BTreeMap<String, usize>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// What is older than this one; none: from the newest.
    pub before: Option<String>,
    /// How many at most.
    pub limit: Option<usize>,
}

/// A key whose signatures are accepted no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Distrusted {
    /// Which key.
    pub id: String,
    /// No.
    pub trusted: bool,
    /// Who runs code that it signed: each runs on until the host ends, and does not come back then.
    pub actors: Vec<Runs>,
}

/// Who runs what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Runs {
    /// Who.
    pub actor: Addr,
    /// Which version.
    pub version: Version,
}

/// Takes an artifact out of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveArtifact {
    /// Which kind.
    pub kind: String,
    /// Which version.
    pub version: Version,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// An actor kind with all that there is of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KindDetail {
    /// Its name.
    pub kind: String,
    /// The version that new actors get.
    pub default: Option<Version>,
    /// What the store holds, by version.
    pub versions: Vec<VersionDetail>,
}

/// One version of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionDetail {
    /// Which.
    pub version: Version,
    /// Its artifact.
    pub sha256: Digest,
    /// The artifact's length.
    pub bytes: u64,
    /// The schema of its state.
    pub schema: u32,
    /// When it was first pushed.
    pub pushed: Option<Timestamp>,
    /// The key that signed it.
    pub signer: Option<String>,
    /// What that key is called here; none: it is not trusted, or not any more.
    pub trusted_as: Option<String>,
    /// Who runs it.
    pub running: Vec<Addr>,
    /// Who comes back on it when the host does.
    pub defined: Vec<Addr>,
}

/// Dead letters that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Letters {
    /// Which; none: all.
    pub ids: Option<BTreeSet<u64>>,
    /// To whom, when they are sent again; none: to whom each was sent.
    pub to: Option<Addr>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// What became of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Resent {
    /// Those that it was done with: they are no dead letters any more.
    pub done: Vec<u64>,
    /// Those that are still there, and why.
    pub kept: Vec<Kept>,
}

/// A dead letter that stays one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// Which.
    pub id: u64,
    /// Why.
    pub why: String,
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

/// Which entries of the audit, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditPage {
    /// Only those before this number.
    pub before: Option<u64>,
    /// How many at most: 50 when it is left out, 1000 at most.
    pub limit: Option<usize>,
    /// The messages that actors were told and asked, instead of what changed the host.
    pub messages: Option<bool>,
}

/// One request that was to change something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditView {
    /// Its number, from 1; the latest 10,000 are kept.
    pub seq: u64,
    /// When it came.
    pub at: Timestamp,
    /// Which user.
    pub who: String,
    /// The user's id, where the kernel said it.
    pub uid: Option<u32>,
    /// The caller's process, where the kernel said it.
    pub pid: Option<i32>,
    /// What the caller calls itself.
    pub client: String,
    /// What was asked for: the path.
    pub act: String,
    /// About what.
    pub what: String,
    /// Why, if the caller said so.
    pub reason: String,
    /// `done`, or the stable code of why not; none: it is at work, or the host died in the middle.
    pub outcome: Option<String>,
    /// How long it took, in microseconds; 0 while it has no outcome.
    pub took_us: u64,
}
