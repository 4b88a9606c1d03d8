//! What is said on the control socket, by both sides. Fields that a side does not know are an error, not a guess.

pub use super::actors::{
    ActorView, BeginFrom, Checked, Checkpoint, Down, HasStopped, Hung, Lost, Pause, Restart, Say, Start, Stop,
};
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_store::{Entry, UpgradeId};
use teneral_upgrade::{
    Downgrades, Failure, Lossy, OnProbation, Options, PathlessPolicy, Plan, StateMode, TrialRemains, Trials, Unstable,
};

pub use super::modules::{MemberView, ModuleOutput, ModuleView, OutputPart};
pub use super::probation::{
    FailedProbation, Finalise, Finalised, HeldView, PROBATION_TIME, ProbationChoice, ProbationEnd, ProbationView,
    RollBack, WatchChoices,
};
pub use super::route::{
    EndRoute, Rerouted, RouteChange, RouteExplained, RouteFigures, RouteHistory, RouteMatch, RouteRange, RouteRule,
    RouteView, RouteWeight, SetRoute,
};
pub use super::shelf::{
    AcceptMarks, ArtifactDetail, ArtifactView, ImageView, InQuarantine, KindDetail, MarksView, MessageDetail, Pardoned,
    Refusal, VersionDetail,
};

/// The header with the release file of a pushed artifact, in base64.
pub const RELEASE_HEADER: &str = "teneral-release";

/// The header of a push that may be older than what was here: whatever it says, it is there.
pub const OLDER_HEADER: &str = "teneral-older";

/// The header with its minisign signature, in base64.
pub const SIGNATURE_HEADER: &str = "teneral-signature";

/// How long tell, ask and state wait when the request does not say.
pub const TIMEOUT_MS: u64 = 5000;

/// How many of the actors that are down, or on probation, are named where their number is said.
pub const DOWN_NAMED_MAX: usize = 5;

pub(super) fn no_fields() -> Value {
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
    /// How many actors are down: defined and not running, or without an instance.
    pub down: usize,
    /// The first few of them by name, and why: at most [`DOWN_NAMED_MAX`].
    pub down_first: Vec<Down>,
    /// How many actors are on probation after an upgrade.
    pub on_probation: usize,
    /// The first few of them by name: at most [`DOWN_NAMED_MAX`].
    pub on_probation_first: Vec<OnProbation>,
    /// The versions in quarantine, by kind.
    pub quarantined: Vec<InQuarantine>,
    /// The actors with a turn that does not return, by name.
    pub hung: Vec<Hung>,
    /// Threads in code that has not returned and that nobody waits for any more: others have taken their places.
    pub threads_lost: usize,
    /// Upgrades at work.
    pub upgrades: Vec<UpgradeId>,
}

/// A value that a host goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigRow {
    /// Its key, as in `limits.images_max`.
    pub key: String,
    /// As it would be written.
    pub value: String,
    /// In what it is counted; `name`, `path`, `time`, `address` and `route` are counted in nothing else.
    pub unit: String,
    /// Where it came from: `default`, a file and its line, a variable's name, a flag.
    pub from: String,
    /// Which of those: `default`, `file`, `variable`, `flag`.
    pub source: String,
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
    /// How many of its actors are down: defined and not running, or without an instance.
    pub down: usize,
    /// The first few of them by name, and why: at most [`DOWN_NAMED_MAX`].
    pub down_first: Vec<Down>,
    /// How many of its actors are on probation after an upgrade.
    pub on_probation: usize,
    /// The first few of them by name: at most [`DOWN_NAMED_MAX`].
    pub on_probation_first: Vec<OnProbation>,
    /// Which of its versions are in quarantine.
    pub quarantined: Vec<InQuarantine>,
    /// Its actors with a turn that does not return, by name.
    pub hung: Vec<Hung>,
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
    /// To whom it was sent; of a reply that came too late, who gave it.
    pub to: Addr,
    /// Which actor sent it, if one did; of a reply that came too late, which actor asked.
    pub from: Option<Addr>,
    /// Which message: its name if the kind's code knows it, or else its id in hexadecimal; of a reply that came too
    /// late, the request. `-` for what is no message.
    pub message: String,
    /// The size of its body.
    pub body_bytes: usize,
    /// Whether it can be sent again.
    pub body_kept: bool,
    /// Why.
    pub reason: String,
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
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_pause_us: Option<NonZeroU64>,
    /// How long to wait for one actor's message boundary.
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub quiesce_timeout_us: Option<NonZeroU64>,
    /// How long to wait for another upgrade that has one of the actors.
    pub queue_timeout_us: Option<u64>,
    /// Largest snapshot.
    pub snapshot_bytes_max: Option<usize>,
    /// Whether an older version may be gone back to.
    pub downgrades: Option<Downgrades>,
    /// What becomes of waiting messages that the new code has no path for.
    pub pathless: Option<PathlessPolicy>,
    /// Which actors are rehearsed on a copy first.
    pub trials: Option<Trials>,
    /// How long one rehearsal may take.
    pub trial_timeout_us: Option<u64>,
    /// What becomes of a move that gives other bytes when it is rehearsed again.
    pub unstable: Option<Unstable>,
    /// What becomes of an upgrade whose way back does not give the state that was there.
    pub lossy: Option<Lossy>,
    /// What becomes of what a failed trial was about.
    pub trial_remains: Option<TrialRemains>,
    /// Whether the new version is watched after the commit, and how.
    pub probation: Option<ProbationChoice>,
}

impl Choices {
    /// These, and `otherwise` where there is none.
    #[must_use]
    pub fn or(self, otherwise: Options) -> Options {
        let time = |us: Option<u64>, otherwise| us.map_or(otherwise, Duration::from_micros);
        Options {
            state: self.state.unwrap_or(otherwise.state),
            max_pause: time(self.max_pause_us.map(NonZeroU64::get), otherwise.max_pause),
            quiesce_timeout: time(self.quiesce_timeout_us.map(NonZeroU64::get), otherwise.quiesce_timeout),
            queue_timeout: time(self.queue_timeout_us, otherwise.queue_timeout),
            snapshot_bytes_max: self.snapshot_bytes_max.unwrap_or(otherwise.snapshot_bytes_max),
            downgrades: self.downgrades.unwrap_or(otherwise.downgrades),
            pathless: self.pathless.unwrap_or(otherwise.pathless),
            trials: self.trials.unwrap_or(otherwise.trials),
            trial_timeout: time(self.trial_timeout_us, otherwise.trial_timeout),
            unstable: self.unstable.unwrap_or(otherwise.unstable),
            lossy: self.lossy.unwrap_or(otherwise.lossy),
            trial_remains: self.trial_remains.unwrap_or(otherwise.trial_remains),
            probation: self.probation.map_or(otherwise.probation, |choice| choice.or(otherwise.probation)),
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
    /// The upgrade that it takes back, if it is a rollback after a commit.
    pub rolls_back: Option<UpgradeId>,
    /// The probation of its actors, if it has one.
    pub probation: Option<ProbationView>,
    /// Why the versions of actors that it has moved, or that were taken back from it, are not kept yet: a host that
    /// ended now would bring them back on those before. It is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkept: Option<Failure>,
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
    /// The upgrade that it takes back, if it is a rollback after a commit.
    pub rolls_back: Option<UpgradeId>,
    /// How many of its actors are on probation (`on`), or were: `finalised`, `rolled_back`, `superseded`, `stopped`,
    /// `host_ended`.
    pub probation: BTreeMap<String, usize>,
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
    /// Who runs code that it signed: each runs on, also over failures and `actor restart`, until the host ends, and
    /// does not come back then.
    pub actors: Vec<Runs>,
    /// The artifacts that it signed: none of them is loaded any more, until another key signs it.
    pub artifacts: Vec<SignedArtifact>,
}

/// An artifact, and who would need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedArtifact {
    /// Of which kind.
    pub kind: String,
    /// Which version.
    pub version: Version,
    /// Whether it is the version that new actors get: none starts then.
    pub default: bool,
    /// Who would come back on it with the host, and will not.
    pub defined: Vec<Addr>,
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
