//! Canary and A/B routing: which of two versions of a kind an actor gets, and why.
//!
//! Pure: no I/O, no clock, no randomness of its own. Whoever holds a [`Rollout`] asks for the next one, writes it down
//! ([`Rollout::encode`]), moves the actors that [`Rollout::astray`] names, each with its state, and says when nobody is
//! left ([`Rollout::settle`]). So a route can be computed anywhere, and a test needs no host. The layout:
//!
//! * [`bucket()`]: where a key falls, which nobody may ever change
//! * [`attribute`]: what is known of an actor beside its key, and what a rule looks at
//! * [`route`]: versions with their weights, and rules before them; [`Route::explain`] says which decided
//! * [`shift`]: who must move when a route changes, and in which order
//! * [`rollout`]: set, promote, abort, settle; what is legal when
//! * [`history`]: who did that, when and why
//! * [`error`]: why not, one code a cause
//!
//! `docs/canary.md` has the algorithm in a form that others can compute, with test vectors.
#![forbid(unsafe_code)]

pub mod attribute;
pub mod bucket;
mod encode;
pub mod error;
pub mod history;
pub mod rollout;
pub mod route;
pub mod shift;

pub use attribute::{Attribute, Attributes};
pub use bucket::{BUCKETS, bucket};
pub use error::{CODES, RouteError};
pub use history::{Act, Change, HISTORY_MAX, Said};
pub use rollout::{Held, Phase, Rest, Rollout, Wish};
pub use route::{By, Decision, Parts, Route, Rule, Weight};
pub use shift::{Shift, difference};
