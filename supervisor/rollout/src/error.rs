//! Why a route was not set or not read: a variant a cause, a stable code a variant.
//!
//! Every refusal comes before anything changed. The sentence names what was found and what stands; [`RouteError::hint`]
//! can be pasted where there is something to type.

use crate::attribute::{ATTRIBUTES_MAX, Attribute, VALUE_BYTES_MAX};
use crate::route::{RULES_MAX, SALT_BYTES_MAX, VERSIONS_MAX, as_typed};
use crate::{Held, Weight};
use semver::Version;

/// Every code with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("ROUTE-ATTRIBUTE", "no such attribute"),
    ("ROUTE-ATTRIBUTES", "an actor has too many attributes"),
    ("ROUTE-CORRUPT", "a kept route is damaged"),
    ("ROUTE-EMPTY", "a route without a version"),
    ("ROUTE-HELD", "actors still run another version than the route says"),
    ("ROUTE-KEY", "an actor's key is no attribute to be given"),
    ("ROUTE-KIND", "a kind's name that is none"),
    ("ROUTE-MOVING", "actors are moving to the route that was set before"),
    ("ROUTE-NEWER", "a route was kept by a newer teneral"),
    ("ROUTE-NOT-GIVEN", "an attribute that no actor is given"),
    ("ROUTE-REVISIONS", "a kind's route was changed too often"),
    ("ROUTE-RULE-TWICE", "two rules match the same"),
    ("ROUTE-RULE-VERSION", "a rule names a version that the route has not"),
    ("ROUTE-RULES", "too many rules"),
    ("ROUTE-SAID", "a name or a reason is too long"),
    ("ROUTE-SALT", "a salt that is none"),
    ("ROUTE-SALT-CHANGED", "the salt of a rollout stays"),
    ("ROUTE-SHARED", "the default of a kind that two versions share"),
    ("ROUTE-SPLIT", "two other versions share the kind"),
    ("ROUTE-STALE", "the route is another one by now"),
    ("ROUTE-STANDING", "neither version has the kind now"),
    ("ROUTE-STEADY", "nothing is rolled out"),
    ("ROUTE-SUM", "weights do not sum to 100"),
    ("ROUTE-TWICE", "a version was named twice"),
    ("ROUTE-VALUE", "an attribute's value that is none"),
    ("ROUTE-VERSIONS", "too many versions"),
];

/// Why a route was not set, or not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No version.
    #[error("no version is named")]
    Empty,
    /// More than a route has.
    #[error("{found} versions are named, a route has at most {VERSIONS_MAX}")]
    Versions {
        /// Found.
        found: usize,
    },
    /// One version, two weights.
    #[error("{version} is named twice")]
    Twice {
        /// Which.
        version: Version,
    },
    /// Not a hundred.
    #[error("{weights} sums to {sum}, want 100")]
    Sum {
        /// As they were typed.
        weights: String,
        /// Their sum.
        sum: u32,
    },
    /// Two versions come, none of which is there.
    #[error("{kind} is on {standing}, which is neither of those versions")]
    Standing {
        /// Whose.
        kind: String,
        /// The version that has the kind.
        standing: Version,
    },
    /// Another rollout is not over.
    #[error("{} share {kind}, {version} is another one", as_typed(.weights))]
    Split {
        /// Whose.
        kind: String,
        /// Who shares it.
        weights: Vec<Weight>,
        /// Who is none of them.
        version: Version,
    },
    /// The default was to be set past a route.
    #[error("{} share {kind}: its route says what new actors get", as_typed(.weights))]
    Shared {
        /// Whose.
        kind: String,
        /// Who shares it.
        weights: Vec<Weight>,
    },
    /// Somebody is at it.
    #[error("the actors of {kind} are moving to {}, which {who} set (revision {revision})", as_typed(.weights))]
    Moving {
        /// Whose.
        kind: String,
        /// The route that they move to.
        revision: u64,
        /// Who set it.
        who: String,
        /// Its weights.
        weights: Vec<Weight>,
    },
    /// Nothing to promote and nothing to abort.
    #[error("nothing is rolled out: all of {kind} is on {standing}")]
    Steady {
        /// Whose.
        kind: String,
        /// The version that has it.
        standing: Version,
    },
    /// Somebody was faster.
    #[error("{kind} has the route of revision {found} or nothing moves, not revision {revision}")]
    Stale {
        /// Whose.
        kind: String,
        /// What was meant.
        revision: u64,
        /// What stands.
        found: u64,
    },
    /// Not done yet.
    #[error("{kind} is not there yet: {held}")]
    Held {
        /// Whose.
        kind: String,
        /// What is left.
        held: Held,
    },
    /// Not `key`, `tenant` or `header:NAME`.
    #[error("{found:?} is no attribute: there are key, tenant and header:NAME")]
    Attribute {
        /// As it was typed.
        found: String,
    },
    /// Whoever asks gives no actor such an attribute.
    #[error("no actor of this host is given {attribute}: a rule that looks at it would never match")]
    NotGiven {
        /// Which.
        attribute: Attribute,
    },
    /// More than an actor has.
    #[error("{found} attributes, an actor has at most {ATTRIBUTES_MAX}")]
    Attributes {
        /// Found.
        found: usize,
    },
    /// It has one.
    #[error("an actor's key is in its address, it is not given as an attribute")]
    Key,
    /// Empty, too long, or with a control character.
    #[error("the value of {attribute} has {bytes} bytes, want 1 to {VALUE_BYTES_MAX} without control characters")]
    Value {
        /// Of which attribute.
        attribute: Attribute,
        /// Found.
        bytes: usize,
    },
    /// More than a route has.
    #[error("{found} rules, a route has at most {RULES_MAX}")]
    Rules {
        /// Found.
        found: usize,
    },
    /// It leads out of the route.
    #[error("rule {number} leads to {version}, the route has {versions}")]
    RuleVersion {
        /// Which rule, from 1.
        number: usize,
        /// Where to.
        version: Version,
        /// What there is.
        versions: String,
    },
    /// It is never reached.
    #[error("rule {number} matches what rule {before} matches, and is never reached")]
    RuleTwice {
        /// Which rule, from 1.
        number: usize,
        /// The one before it.
        before: usize,
    },
    /// Empty, too long, or with a control character.
    #[error("the salt has {bytes} bytes, want 1 to {SALT_BYTES_MAX} without control characters")]
    Salt {
        /// Found.
        bytes: usize,
    },
    /// All actors would be dealt anew.
    #[error("the salt of the rollout of {kind} is {salt}, not {new}: with another one its actors would be dealt anew")]
    SaltChanged {
        /// Whose.
        kind: String,
        /// What it is.
        salt: String,
        /// What was given.
        new: String,
    },
    /// Too long, or with a control character.
    #[error("the {what} has {bytes} bytes, want at most {bytes_max} without control characters")]
    Said {
        /// `name` or `reason`.
        what: &'static str,
        /// Found.
        bytes: usize,
        /// Allowed.
        bytes_max: usize,
    },
    /// Not a kind.
    #[error("a kind's name has {bytes} bytes, want 1 to 64 without control characters")]
    Kind {
        /// Found.
        bytes: usize,
    },
    /// 2^53 changes.
    #[error("the route was changed as often as can be counted")]
    Revisions,
    /// A later teneral wrote it.
    #[error("the route has format {found}, this teneral reads up to {supported}")]
    Newer {
        /// Found.
        found: u8,
        /// Known here.
        supported: u8,
    },
    /// Bytes that nobody wrote like this.
    #[error("the route is damaged: {why}")]
    Corrupt {
        /// What is wrong with it.
        why: String,
    },
}

impl RouteError {
    /// The stable code; `docs/errors/<code>.md` explains it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "ROUTE-EMPTY",
            Self::Versions { .. } => "ROUTE-VERSIONS",
            Self::Twice { .. } => "ROUTE-TWICE",
            Self::Sum { .. } => "ROUTE-SUM",
            Self::Standing { .. } => "ROUTE-STANDING",
            Self::Split { .. } => "ROUTE-SPLIT",
            Self::Shared { .. } => "ROUTE-SHARED",
            Self::Moving { .. } => "ROUTE-MOVING",
            Self::Steady { .. } => "ROUTE-STEADY",
            Self::Stale { .. } => "ROUTE-STALE",
            Self::Held { .. } => "ROUTE-HELD",
            Self::Attribute { .. } => "ROUTE-ATTRIBUTE",
            Self::NotGiven { .. } => "ROUTE-NOT-GIVEN",
            Self::Attributes { .. } => "ROUTE-ATTRIBUTES",
            Self::Key => "ROUTE-KEY",
            Self::Value { .. } => "ROUTE-VALUE",
            Self::Rules { .. } => "ROUTE-RULES",
            Self::RuleVersion { .. } => "ROUTE-RULE-VERSION",
            Self::RuleTwice { .. } => "ROUTE-RULE-TWICE",
            Self::Salt { .. } => "ROUTE-SALT",
            Self::SaltChanged { .. } => "ROUTE-SALT-CHANGED",
            Self::Said { .. } => "ROUTE-SAID",
            Self::Kind { .. } => "ROUTE-KIND",
            Self::Revisions => "ROUTE-REVISIONS",
            Self::Newer { .. } => "ROUTE-NEWER",
            Self::Corrupt { .. } => "ROUTE-CORRUPT",
        }
    }

    /// What stands now.
    #[must_use]
    pub const fn now(&self) -> &'static str {
        match self {
            Self::Moving { .. } => "the move goes on; what was asked for did not begin",
            Self::Held { .. } => "the route stands; those who did not move yet serve on the version that they run",
            Self::Newer { .. } | Self::Corrupt { .. } => "every actor goes on with the version that it runs",
            _ => "the route stands as it was, and nobody moves",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Empty | Self::Sum { .. } => "name versions with weights that make a hundred, as in 1.0.0=90 2.0.0=10",
            Self::Versions { .. } => "promote or abort with two versions first, then let the next one come",
            Self::Twice { .. } => "name every version once",
            Self::Standing { kind, standing } => {
                return format!("name it: teneral route set {kind} {standing}=90 VERSION=10");
            }
            Self::Split { kind, .. } | Self::Shared { kind, .. } | Self::SaltChanged { kind, .. } => {
                return format!("teneral route promote {kind}, or teneral route abort {kind}, first");
            }
            Self::Moving { kind, .. } => {
                return format!(
                    "wait for it (teneral route status {kind}), or take everything back: teneral route abort {kind}"
                );
            }
            Self::Steady { kind, standing } => {
                return format!("begin: teneral route set {kind} {standing}=90 VERSION=10");
            }
            Self::Stale { kind, .. } | Self::Held { kind, .. } => {
                return format!("teneral route status {kind} shows what stands");
            }
            Self::Attribute { .. } => "write --match key=7, --match tenant=acme or --match header:x=beta",
            Self::NotGiven { .. } => "name the actors by their keys: --match key=7",
            Self::Attributes { .. } => "give those only that a rule looks at",
            Self::Key => "leave it out; a rule may look at it: --match key=7",
            Self::Value { .. } => "take a shorter value, without control characters",
            Self::Rules { .. } => "give those actors one attribute, and match that",
            Self::RuleVersion { .. } => "name one of the route's versions, or leave the rule out",
            Self::RuleTwice { .. } => "leave the second one out",
            Self::Salt { .. } => "take a short word, or none: each rollout has one of its own",
            Self::Said { .. } => "say it in a shorter line",
            Self::Kind { .. } => "name a kind: 1 to 64 of a-z, 0-9, '.', '_', '-'",
            Self::Revisions => "give the actors a kind of another name",
            Self::Newer { .. } => "run the newer teneral",
            Self::Corrupt { .. } => "restore the store's directory from a backup; a route is never guessed",
        };
        hint.to_owned()
    }
}
