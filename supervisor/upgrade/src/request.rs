//! What an operator asks for: which actors, to which version, and within which bounds.

use crate::probation::Probation;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral_contract::Addr;

/// An upgrade as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks; journalled.
    pub who: String,
    /// Their reason; journalled.
    pub why: String,
    /// Which actors, and where to.
    pub actors: Vec<Wanted>,
    /// Within which bounds.
    pub options: Options,
    /// What they call their request, if they may ask again: see [`crate::Plan::requested_as`].
    pub name: Option<String>,
    /// What whoever looked the actors up has to say of them: the plan warns of it.
    pub notes: Vec<String>,
}

impl Request {
    /// These actors to this version, with the defaults of [`Options::new`].
    pub fn new(who: impl Into<String>, actors: impl IntoIterator<Item = Addr>, to: &Version) -> Self {
        let actors = actors.into_iter().map(|addr| Wanted { addr, kind: None, to: to.clone() }).collect();
        Self { who: who.into(), why: String::new(), actors, options: Options::new(), name: None, notes: Vec::new() }
    }
}

/// One actor and where it is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which actor.
    pub addr: Addr,
    /// The kind of the artifact, where the operator named one; it must be the actor's.
    pub kind: Option<String>,
    /// Which version.
    pub to: Version,
}

/// Bounds and choices of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What becomes of the state.
    pub state: StateMode,
    /// How long one actor may be paused, migration included.
    #[serde(rename = "max_pause_us", with = "micros")]
    pub max_pause: Duration,
    /// How long to wait for one actor's message boundary.
    #[serde(rename = "quiesce_timeout_us", with = "micros")]
    pub quiesce_timeout: Duration,
    /// How long to wait for another upgrade that has one of the actors, before this one is refused with its id; zero:
    /// not at all. Who waits plans anew when the other one has ended.
    #[serde(rename = "queue_timeout_us", with = "micros")]
    pub queue_timeout: Duration,
    /// Largest snapshot.
    pub snapshot_bytes_max: usize,
    /// Whether an older version may be gone back to.
    pub downgrades: Downgrades,
    /// What becomes of waiting messages that the new code has no path for.
    pub pathless: PathlessPolicy,
    /// Which actors are rehearsed on a copy first, in a process of its own.
    pub trials: Trials,
    /// How long one rehearsal, or loading one library for it, may take.
    #[serde(rename = "trial_timeout_us", with = "micros")]
    pub trial_timeout: Duration,
    /// What becomes of a move that gives other bytes when it is rehearsed again.
    pub unstable: Unstable,
    /// What becomes of an upgrade whose way back does not give the state that was there.
    pub lossy: Lossy,
    /// What becomes of what a failed trial was about.
    pub trial_remains: TrialRemains,
    /// How the new version is watched after the commit, if it is.
    #[serde(default)]
    pub probation: Probation,
}

impl Options {
    /// The state migrates, a pause is at most 1 s, a message boundary is waited for 5 s, another upgrade not at all, a
    /// snapshot has at most 64 MiB, downgrades are refused, and so is a plan while messages wait that the new code has
    /// no path for. Every actor is rehearsed, for 5 s at most; what differs from run to run is refused, and so is what
    /// loses something on the way back; nothing is kept of a failed trial. Nobody is on probation.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default would hide the policy")]
    pub const fn new() -> Self {
        Self {
            state: StateMode::Migrate,
            max_pause: Duration::from_secs(1),
            quiesce_timeout: Duration::from_secs(5),
            queue_timeout: Duration::ZERO,
            snapshot_bytes_max: 64 << 20,
            downgrades: Downgrades::Refuse,
            pathless: PathlessPolicy::Refuse,
            trials: Trials::Every,
            trial_timeout: Duration::from_secs(5),
            unstable: Unstable::Refuse,
            lossy: Lossy::Refuse,
            trial_remains: TrialRemains::Drop,
            probation: Probation::Off,
        }
    }
}

/// Which actors of an upgrade are rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trials {
    /// Each of them: who fails is refused, the others go on.
    Every,
    /// So many of those that run the same version, spread over all of them; if one fails, nobody goes on to that
    /// version. One that cannot be copied in time hands its place to another.
    Sample {
        /// How many, one at least.
        actors: usize,
    },
    /// None: what the code does wrong, it does to the live actors.
    Skip,
}

/// What becomes of a move that gives other bytes when it is rehearsed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unstable {
    /// It is refused: what depends on more than the state cannot be checked, compared or replayed.
    Refuse,
    /// The report warns of it.
    Warn,
}

/// What becomes of an upgrade whose way back does not give the state that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lossy {
    /// It is refused.
    Refuse,
    /// It goes on, and the report warns of it.
    Accept,
}

/// What becomes of what a failed trial was about: the copy of the state, and what the code wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialRemains {
    /// It is gone.
    Drop,
    /// It is kept in the host's directory, for its owner alone.
    Keep,
}

/// What becomes of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateMode {
    /// It moves along the ladder.
    Migrate,
    /// It is given up: the new code starts from the actor's start arguments.
    Reset,
}

/// Whether an older version may be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Downgrades {
    /// It was asked for.
    Allow,
    /// It would be a slip of the hand.
    Refuse,
}

/// What becomes of waiting messages that the new code has no path for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathlessPolicy {
    /// The plan lists them; at the commit they become dead letters with their reason.
    DeadLetter,
    /// The plan is refused.
    Refuse,
}

pub(crate) mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
