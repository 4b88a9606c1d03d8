//! A route: versions with their weights, and rules that are looked at before them.
//!
//! The versions stand in order of age in the rollout: first the stable one, then the one that came for a try, the
//! canary. Buckets are dealt from 0 to the canary, the rest is the stable one's. So a canary that grows keeps every
//! actor that it has, and one that shrinks gives back first what it took last.

use crate::attribute::{Attribute, Attributes, check_value};
use crate::bucket::{BUCKETS, bucket};
use crate::{RouteError, Said};
use semver::Version;
use serde::{Deserialize, Serialize};

/// Most versions of one route.
pub const VERSIONS_MAX: usize = 2;

/// Most rules of one route.
pub const RULES_MAX: usize = 64;

/// Longest salt, in bytes.
pub const SALT_BYTES_MAX: usize = 256;

/// What a percent is.
const BUCKETS_A_PERCENT: u16 = BUCKETS / 100;

/// One version and its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weight {
    /// Which version.
    pub version: Version,
    /// How much of a hundred, of those whom no rule concerns.
    pub percent: u8,
}

/// Whoever has this attribute with this very value gets this version, whatever the weights are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What is looked at.
    pub attribute: Attribute,
    /// The value that it must have, to the byte.
    pub value: String,
    /// Which version.
    pub version: Version,
}

/// What a route is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// Counts the routes of a kind: 0 is what a kind has that nobody set a route for.
    pub revision: u64,
    /// What tells the buckets of this rollout from those of any other: other actors go first each time.
    pub salt: String,
    /// The stable version, then the canary if there is one.
    pub weights: Vec<Weight>,
    /// The first that matches decides.
    pub rules: Vec<Rule>,
    /// Who set it, when and why.
    pub said: Said,
}

/// A route that was checked: its weights sum to a hundred, its rules name its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Route(Parts);

/// Which version a key gets, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// That version.
    pub version: Version,
    /// The key's bucket, below [`BUCKETS`]; also where a rule decided.
    pub bucket: u16,
    /// What decided.
    pub by: By,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum By {
    /// A rule.
    Rule {
        /// Its place, from 1.
        number: usize,
        /// What it says.
        rule: Rule,
    },
    /// The bucket.
    Bucket {
        /// The first bucket of the version.
        first: u16,
        /// The last one.
        last: u16,
    },
}

impl Route {
    /// A route of these parts.
    ///
    /// # Errors
    /// [`RouteError::Empty`], [`RouteError::Versions`], [`RouteError::Twice`], [`RouteError::Sum`] for the weights;
    /// [`RouteError::Rules`], [`RouteError::RuleVersion`], [`RouteError::RuleTwice`], [`RouteError::Value`] for the
    /// rules; [`RouteError::Salt`], [`RouteError::Said`].
    pub fn new(parts: Parts) -> Result<Self, RouteError> {
        check_weights(&parts.weights)?;
        check_rules(&parts)?;
        let salt = &parts.salt;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX || salt.chars().any(char::is_control) {
            return Err(RouteError::Salt { bytes: salt.len() });
        }
        parts.said.check()?;
        Ok(Self(parts))
    }

    /// What it is made of.
    #[must_use]
    pub const fn parts(&self) -> &Parts {
        &self.0
    }

    /// The version that was there before.
    #[must_use]
    pub fn stable(&self) -> &Version {
        &self.0.weights[0].version
    }

    /// The version that is tried beside it, if one is.
    #[must_use]
    pub fn canary(&self) -> Option<&Version> {
        self.0.weights.get(1).map(|weight| &weight.version)
    }

    /// Which version the actor of that key gets.
    #[must_use]
    pub fn version_of(&self, key: &str, attributes: &Attributes) -> &Version {
        match self.rule_for(key, attributes) {
            Some((_, rule)) => &rule.version,
            None => self.share_of(bucket(&self.0.salt, key)).0,
        }
    }

    /// The same, and why.
    #[must_use]
    pub fn explain(&self, key: &str, attributes: &Attributes) -> Decision {
        let bucket = bucket(&self.0.salt, key);
        if let Some((index, rule)) = self.rule_for(key, attributes) {
            let by = By::Rule { number: index + 1, rule: rule.clone() };
            return Decision { version: rule.version.clone(), bucket, by };
        }
        let (version, first, end) = self.share_of(bucket);
        Decision { version: version.clone(), bucket, by: By::Bucket { first, last: end - 1 } }
    }

    fn rule_for(&self, key: &str, attributes: &Attributes) -> Option<(usize, &Rule)> {
        let matches = |rule: &Rule| match &rule.attribute {
            Attribute::Key => rule.value == key,
            other => attributes.get(other) == Some(&rule.value),
        };
        self.0.rules.iter().enumerate().find(|(_, rule)| matches(rule))
    }

    /// Whose a bucket is, that version's first bucket, and the one after its last.
    fn share_of(&self, bucket: u16) -> (&Version, u16, u16) {
        let mut first = if cfg!(feature = "bug-c1") { 37 * u16::from(self.0.weights[0].percent) % 100 } else { 0 };
        // The youngest has the lowest buckets; what is left is the stable one's.
        for weight in self.0.weights.iter().skip(1).rev() {
            let end = first + u16::from(weight.percent) * BUCKETS_A_PERCENT;
            if (first..end).contains(&bucket) {
                return (&weight.version, first, end);
            }
            first = end;
        }
        (self.stable(), first, BUCKETS)
    }
}

impl TryFrom<Parts> for Route {
    type Error = RouteError;

    fn try_from(parts: Parts) -> Result<Self, RouteError> {
        Self::new(parts)
    }
}

impl From<Route> for Parts {
    fn from(route: Route) -> Self {
        route.0
    }
}

pub(crate) fn check_weights(weights: &[Weight]) -> Result<(), RouteError> {
    if weights.is_empty() {
        return Err(RouteError::Empty);
    }
    if let Some(twice) =
        weights.iter().enumerate().find(|(at, w)| weights[..*at].iter().any(|o| o.version == w.version))
    {
        return Err(RouteError::Twice { version: twice.1.version.clone() });
    }
    if weights.len() > VERSIONS_MAX {
        return Err(RouteError::Versions { found: weights.len() });
    }
    let sum: u32 = weights.iter().map(|weight| u32::from(weight.percent)).sum();
    if sum == 100 { Ok(()) } else { Err(RouteError::Sum { weights: as_typed(weights), sum }) }
}

fn check_rules(parts: &Parts) -> Result<(), RouteError> {
    let (rules, weights) = (&parts.rules, &parts.weights);
    if rules.len() > RULES_MAX {
        return Err(RouteError::Rules { found: rules.len() });
    }
    for (index, rule) in rules.iter().enumerate() {
        check_value(&rule.attribute, &rule.value)?;
        if !weights.iter().any(|weight| weight.version == rule.version) {
            let (versions, version) = (as_typed(weights), rule.version.clone());
            return Err(RouteError::RuleVersion { number: index + 1, version, versions });
        }
        let same = |other: &Rule| (&other.attribute, &other.value) == (&rule.attribute, &rule.value);
        if let Some(before) = rules[..index].iter().position(same) {
            return Err(RouteError::RuleTwice { number: index + 1, before: before + 1 });
        }
    }
    Ok(())
}

/// `1.0.0=90 2.0.0=10`, as an operator types them.
pub(crate) fn as_typed(weights: &[Weight]) -> String {
    let each: Vec<String> = weights.iter().map(|weight| format!("{}={}", weight.version, weight.percent)).collect();
    each.join(" ")
}
