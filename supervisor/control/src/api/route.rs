//! What is said of routes: which of two versions of a kind an actor gets, and how both do.

use super::shelf::Refusal;
use super::wire::Choices;
use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use teneral_contract::Addr;
use teneral_upgrade::Report;

/// A version and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteWeight {
    /// Which version.
    pub version: Version,
    /// How much of a hundred.
    pub percent: u8,
}

/// Whoever has this attribute with this value gets this version, whatever the weights are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// `key`.
    pub attribute: String,
    /// To the byte.
    pub value: String,
    /// Which version.
    pub version: Version,
}

/// Sets who of a kind gets which version, and moves the actors whose version changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRoute {
    /// Which kind.
    pub kind: String,
    /// One version or two; together a hundred.
    pub weights: Vec<RouteWeight>,
    /// The first that matches decides, before the weights.
    #[serde(default)]
    pub rules: Vec<RouteRule>,
    /// The salt of another host's rollout, to have the same actors go first.
    pub salt: Option<String>,
    /// Bounds of the upgrades that move them; what is left out is as the host's configuration has it.
    pub options: Option<Choices>,
    /// Why; kept with the route.
    #[serde(default)]
    pub reason: String,
}

/// Ends a rollout, one way or the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRoute {
    /// Whose.
    pub kind: String,
    /// As in [`SetRoute`].
    pub options: Option<Choices>,
    /// Why; kept with the route.
    #[serde(default)]
    pub reason: String,
}

/// How one version of a kind does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteFigures {
    /// Which version.
    pub version: Version,
    /// Its share by the route; none: actors run it that the route sends elsewhere.
    pub percent: Option<u8>,
    /// Actors that run it.
    pub actors: usize,
    /// Those of them that are on probation.
    pub on_probation: usize,
    /// Messages that they have handled well since they run it.
    pub handled: u64,
    /// Messages that ended in an error since then.
    pub failed: u64,
    /// Messages that ended in a panic since then.
    pub panics: u64,
    /// How long a message takes on average, of those that were timed; none: none was.
    pub mean_ns: Option<u64>,
    /// How often they were begun anew, as long as they live.
    pub restarts: u64,
}

/// The route of a kind, and how far its actors are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteView {
    /// Whose.
    pub kind: String,
    /// `steady`, `split` or `moving`.
    pub phase: String,
    /// Of `moving`: `steady` or `split`.
    pub toward: Option<String>,
    /// Counts the routes of the kind; 0: nobody has set one.
    pub revision: u64,
    /// The version that an abort goes back to.
    pub stable: Version,
    /// What the buckets of this rollout are told from others by.
    pub salt: String,
    /// The versions, those of the route first.
    pub versions: Vec<RouteFigures>,
    /// The rules, in their order.
    pub rules: Vec<RouteRule>,
    /// Who set it; empty: nobody.
    pub who: String,
    /// When.
    pub at: Option<Timestamp>,
    /// Why.
    pub why: String,
    /// Actors that run another version than the route says.
    pub astray: u64,
    /// Instances of a version that leaves, kept since the one after is on probation.
    pub frozen: u64,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rerouted {
    /// The route as it is now.
    pub route: RouteView,
    /// The upgrades that moved its actors, in order.
    pub reports: Vec<Report>,
    /// Why one could not begin: the route stands, and those actors are where they were.
    pub refused: Option<Refusal>,
}

/// Which version an actor gets, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteExplained {
    /// Who; it need not be there.
    pub actor: Addr,
    /// What it gets.
    pub version: Version,
    /// What it runs, if it is there.
    pub running: Option<Version>,
    /// Its bucket, of 10,000.
    pub bucket: u16,
    /// The rule that decided, with its number from 1; none: the bucket did.
    pub rule: Option<RouteMatch>,
    /// The first and the last bucket of the version, where the bucket decided.
    pub range: Option<RouteRange>,
}

/// A rule that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteMatch {
    /// Its number, from 1.
    pub number: usize,
    /// What it says.
    pub rule: RouteRule,
}

/// The buckets of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteRange {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

/// What was done to a kind's route, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteHistory {
    /// Whose.
    pub kind: String,
    /// How many changes are older than these and kept no longer.
    pub dropped: u64,
    /// The latest ones.
    pub changes: Vec<RouteChange>,
}

/// One change of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteChange {
    /// The route that it made.
    pub revision: u64,
    /// `set`, `promote`, `abort`, or `follow`: the default was set in another way.
    pub act: String,
    /// Who.
    pub who: String,
    /// When.
    pub at: Option<Timestamp>,
    /// Why.
    pub why: String,
    /// The weights before.
    pub from: Vec<RouteWeight>,
    /// The weights after.
    pub to: Vec<RouteWeight>,
    /// How many rules stood before them.
    pub rules: usize,
    /// The salt then.
    pub salt: String,
    /// When every actor was there; none: not yet, or another change came first.
    pub settled: Option<Timestamp>,
}
