//! What was done to a kind's route, by whom, when and why; bounded, the oldest goes first.

use crate::route::check_weights;
use crate::{RouteError, Weight};
use serde::{Deserialize, Serialize};

/// How many changes of one kind are kept. How many older ones were dropped is said.
pub const HISTORY_MAX: usize = 100;

/// Longest name of somebody, in bytes.
pub const WHO_BYTES_MAX: usize = 128;

/// Longest reason, in bytes.
pub const WHY_BYTES_MAX: usize = 1024;

/// Who wants it, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Who; at most [`WHO_BYTES_MAX`].
    pub who: String,
    /// When, in microseconds since 1970, by the caller's clock.
    pub at_unix_us: u64,
    /// Why; at most [`WHY_BYTES_MAX`]; may be empty.
    pub why: String,
}

impl Said {
    pub(crate) fn check(&self) -> Result<(), RouteError> {
        let fits = |text: &str, bytes_max: usize| text.len() <= bytes_max && !text.chars().any(char::is_control);
        match (fits(&self.who, WHO_BYTES_MAX), fits(&self.why, WHY_BYTES_MAX)) {
            (false, _) => Err(RouteError::Said { what: "name", bytes: self.who.len(), bytes_max: WHO_BYTES_MAX }),
            (_, false) => Err(RouteError::Said { what: "reason", bytes: self.why.len(), bytes_max: WHY_BYTES_MAX }),
            (true, true) => Ok(()),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Weights and rules were set.
    Set,
    /// The canary got everything.
    Promote,
    /// The stable version got everything back.
    Abort,
    /// The kind's default was set in another way than by a route, while nothing was rolled out.
    Follow,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The route that it made.
    pub revision: u64,
    /// What was done.
    pub act: Act,
    /// By whom, when and why.
    pub said: Said,
    /// The weights before.
    pub from: Vec<Weight>,
    /// The weights after.
    pub to: Vec<Weight>,
    /// How many rules stood before the weights then.
    pub rules: usize,
    /// The salt then: with it anybody can compute who was where.
    pub salt: String,
    /// When every actor ran what the route says; `None`: it never came to that, or not yet.
    pub settled_at_unix_us: Option<u64>,
}

impl Change {
    pub(crate) fn check(&self) -> Result<(), RouteError> {
        check_weights(&self.from)?;
        check_weights(&self.to)?;
        self.said.check()
    }
}
