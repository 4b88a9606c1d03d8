//! What is said of versions on probation: how they are watched, how they stand, and what an operator decides.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_store::UpgradeId;
use teneral_upgrade::{Failure, Held, OnProbation, PathlessPolicy, Probation, Rollback, Watch, WayBack};

/// How long a probation lasts that is asked for where nobody says how long.
pub const PROBATION_TIME: Duration = Duration::from_secs(60);

/// Whether a new version is watched after its commit, and how, as far as the caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbationChoice {
    /// It is not.
    Off,
    /// It is, by these.
    Watch(WatchChoices),
}

/// What a version on probation is watched by. What is left out is as the host's configuration has it, or else a minute,
/// and what `Watch` says of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchChoices {
    /// It lasts at least so long.
    pub time_us: Option<u64>,
    /// And until the actor has handled so many messages.
    pub messages: Option<u64>,
    /// Nothing is judged by fewer turns.
    pub turns_min: Option<u64>,
    /// By how many turns in a thousand more than the version before it may end in an error.
    pub errors_more_permille: Option<u32>,
    /// How long a turn may take on average, in percent of what the version before took.
    pub slower_percent: Option<u32>,
    /// A turn that takes longer by less than this is not slow.
    pub slower_us: Option<u64>,
    /// Messages kept at most, for the version before to handle anew.
    pub keep_messages: Option<usize>,
    /// Bytes kept at most.
    pub keep_bytes: Option<usize>,
    /// How long handling them anew may take; the actor is paused for it.
    pub replay_timeout_us: Option<u64>,
    /// What becomes of a version that fails.
    pub rollback: Option<Rollback>,
}

impl ProbationChoice {
    /// This, and `otherwise` where it says nothing.
    #[must_use]
    pub fn or(self, otherwise: Probation) -> Probation {
        let Self::Watch(choices) = self else { return Probation::Off };
        let otherwise = otherwise.watch().unwrap_or(const { Watch::new(PROBATION_TIME) });
        let time = |us: Option<u64>, otherwise| us.map_or(otherwise, Duration::from_micros);
        Probation::Watch(Watch {
            time: time(choices.time_us, otherwise.time),
            messages: choices.messages.unwrap_or(otherwise.messages),
            turns_min: choices.turns_min.unwrap_or(otherwise.turns_min),
            errors_more_permille: choices.errors_more_permille.unwrap_or(otherwise.errors_more_permille),
            slower_percent: choices.slower_percent.unwrap_or(otherwise.slower_percent),
            slower: time(choices.slower_us, otherwise.slower),
            keep_messages: choices.keep_messages.unwrap_or(otherwise.keep_messages),
            keep_bytes: choices.keep_bytes.unwrap_or(otherwise.keep_bytes),
            replay_timeout: time(choices.replay_timeout_us, otherwise.replay_timeout),
            rollback: choices.rollback.unwrap_or(otherwise.rollback),
        })
    }
}

impl From<Probation> for ProbationChoice {
    fn from(probation: Probation) -> Self {
        let Some(watch) = probation.watch() else { return Self::Off };
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self::Watch(WatchChoices {
            time_us: Some(us(watch.time)),
            messages: Some(watch.messages),
            turns_min: Some(watch.turns_min),
            errors_more_permille: Some(watch.errors_more_permille),
            slower_percent: Some(watch.slower_percent),
            slower_us: Some(us(watch.slower)),
            keep_messages: Some(watch.keep_messages),
            keep_bytes: Some(watch.keep_bytes),
            replay_timeout_us: Some(us(watch.replay_timeout)),
            rollback: Some(watch.rollback),
        })
    }
}

/// The probation of an upgrade's actors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProbationView {
    /// It lasts at least so long.
    pub time_us: u64,
    /// And until the actor has handled so many messages.
    pub messages: u64,
    /// Who is on it, by name.
    pub on: Vec<OnProbation>,
    /// For whom it is over.
    pub over: Vec<ProbationEnd>,
    /// Why its version, which has passed, is not the default yet: it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_default: Option<Failure>,
}

/// An actor whose probation is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProbationEnd {
    /// Whose.
    pub actor: Addr,
    /// `finalised`, `rolled_back`, `superseded` by another upgrade (without `by`: since the host ended), `stopped` with
    /// its actor, or `host_ended`: the host ended first, and the instance before with it.
    pub how: String,
    /// When; none when the host ended before it was written.
    pub at: Option<Timestamp>,
    /// Why, or who said so.
    pub why: String,
    /// The upgrade that took it back, moved it on, or was taking it back when the host ended.
    pub by: Option<UpgradeId>,
}

/// Makes an upgrade final.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Finalise {
    /// Only these of its actors; none: all that are on probation for it.
    #[serde(default)]
    pub actors: Vec<Addr>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// An upgrade that was made final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finalised {
    /// Which.
    pub id: UpgradeId,
    /// Of which actors.
    pub actors: Vec<Addr>,
    /// Their kind.
    pub kind: String,
    /// The version that they run.
    pub version: Version,
    /// Whether new actors of the kind get it: not before all of the upgrade is final.
    pub default: bool,
    /// Of those who failed their probation until then: who, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedProbation>,
}

/// One that failed its probation, and was made final all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailedProbation {
    /// Which.
    pub actor: Addr,
    /// Why.
    pub why: String,
}

/// Takes an upgrade's actors back while they are on probation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {
    /// By which way; none: by the best that each actor has.
    #[serde(default)]
    pub by: Option<WayBack>,
    /// What becomes of waiting messages that the version before has no path for; none: as the host's configuration has
    /// it, or else the rollback is refused.
    #[serde(default)]
    pub pathless: Option<PathlessPolicy>,
    /// Only these of its actors; none: all that are on probation for it.
    #[serde(default)]
    pub actors: Vec<Addr>,
    /// Why, for journal and report.
    #[serde(default)]
    pub reason: String,
}

/// An effect that waits for somebody's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldView {
    /// Which.
    #[serde(flatten)]
    pub held: Held,
    /// Its body, or the child's start arguments; none where no code that is here knows their shape.
    pub body: Option<Value>,
}
