//! A kind's rollout: set, promote, abort, settle, and what is legal when.
//!
//! | phase | set | promote | abort | settle | follow |
//! |---|---|---|---|---|---|
//! | steady | begins a rollout | refused | refused | refused | yes |
//! | split | same versions only | yes | yes | refused | refused |
//! | moving | refused | refused | yes, supersedes | when nobody is left | refused |
//!
//! While actors move, a second change is refused with the name of who is at it, as a second upgrade of an actor is; but
//! an abort supersedes whatever moves, since a canary that does harm must be left at once. What was asked for already,
//! word for word, is no second change: it changes nothing and says so, so a command may be given again.
//!
//! Each transition gives the next value and leaves this one as it was: the caller writes the next one down first.

use crate::history::{Act, Change, HISTORY_MAX};
use crate::shift::strayed;
use crate::{Attributes, Parts, Route, RouteError, Rule, Said, Shift, Weight};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// Highest revision: what JSON's readers in every language count exactly.
const REVISION_MAX: u64 = (1 << 53) - 1;

/// Longest name of a kind, in bytes.
const KIND_BYTES_MAX: usize = 64;

/// Where a rollout stays when nobody has to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// One version has the whole kind.
    Steady,
    /// Two versions share it.
    Split,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// One version has the whole kind.
    Steady,
    /// Two versions share it, and every actor runs the one that the route says.
    Split,
    /// The route was changed, and not every actor runs yet what it says.
    Moving {
        /// Where it stays when they do.
        toward: Rest,
    },
}

/// What somebody wants of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// One version or two, in any order.
    pub weights: Vec<Weight>,
    /// The first that matches decides. They stand in place of those before.
    pub rules: Vec<Rule>,
    /// The salt of the rollout, where its buckets are to be those of another one, on another host for instance; `None`:
    /// one of its own, `KIND/CANARY/REVISION`.
    pub salt: Option<String>,
}

/// What still holds a version that a route takes actors from, as the host counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Actors that run another version than the route says.
    pub actors: u64,
    /// Those of them that were tried and put off: busy, on their way by another upgrade, or their migration failed.
    pub deferred: u64,
    /// Instances of a version that is to leave altogether, kept because the one after is on probation.
    pub frozen: u64,
}

impl Held {
    /// Whether nothing holds it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.actors == 0 && self.frozen == 0
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actors, deferred, frozen } = self;
        write!(f, "{actors} actors run another version than the route says, {deferred} of them put off; ")?;
        write!(f, "{frozen} instances are kept for a way back")
    }
}

/// What [`Rollout`] is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    kind: String,
    /// The version that the rollout came from: what an abort goes back to, also while the promotion moves.
    stable: Version,
    phase: Phase,
    route: Route,
    history: VecDeque<Change>,
    dropped: u64,
}

/// The rollout of one kind: its route, how far its actors are, and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "State", into = "State")]
pub struct Rollout(State);

impl Rollout {
    /// A kind for which nobody has set a route: all of it runs `standing`, the kind's default.
    ///
    /// # Errors
    /// [`RouteError::Kind`] for a name that is no kind's.
    pub fn new(kind: &str, standing: Version) -> Result<Self, RouteError> {
        let said = Said { who: String::new(), at_unix_us: 0, why: String::new() };
        let weights = vec![Weight { version: standing.clone(), percent: 100 }];
        check_kind(kind)?;
        let route = Route::new(Parts { revision: 0, salt: kind.to_owned(), weights, rules: Vec::new(), said })?;
        let (kind, history) = (kind.to_owned(), VecDeque::new());
        Ok(Self(State { kind, stable: standing, phase: Phase::Steady, route, history, dropped: 0 }))
    }

    /// Whose it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// How far it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The route: what a new actor gets at once, and what those who are there move to.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.0.route
    }

    /// The version that an abort goes back to; the one that has the kind when nothing is rolled out.
    #[must_use]
    pub const fn stable(&self) -> &Version {
        &self.0.stable
    }

    /// What was done, oldest first, at most [`HISTORY_MAX`].
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.0.history.iter()
    }

    /// How many changes are older than the history is long.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.0.dropped
    }

    /// Who of `running` (key, what is known of it, version) runs another version than the route says, in the order in
    /// which to move them. Also after a move that stopped half way, whatever stopped it.
    #[must_use]
    pub fn astray<'a>(&self, running: impl IntoIterator<Item = (&'a str, &'a Attributes, &'a Version)>) -> Vec<Shift> {
        strayed(&self.0.stable, &self.0.route, running)
    }

    /// Sets weights and rules. `None`: that is what stands already.
    ///
    /// # Errors
    /// What [`Route::new`] refuses; [`RouteError::Moving`] while actors move, [`RouteError::Split`] for other versions
    /// than the two that share the kind, [`RouteError::Standing`] for two versions of which none has the kind now,
    /// [`RouteError::SaltChanged`] within a rollout.
    pub fn set(&self, wish: Wish, said: Said) -> Result<Option<Self>, RouteError> {
        let State { kind, stable, route, .. } = &self.0;
        let Wish { mut weights, rules, salt } = wish;
        let is_stable = |weight: &Weight| weight.version == *stable;
        weights.sort_by_key(|weight| !is_stable(weight));
        let new_salt = salt.clone();
        let salt = salt.unwrap_or_else(|| self.salt_for(&weights));
        let revision = self.next_revision()?;
        let next = Route::new(Parts { revision, salt, weights, rules, said })?;
        if same(route, &next) {
            return Ok(None);
        }
        self.not_moving()?;
        let (old, parts) = (route.parts(), next.parts());
        if self.0.phase == Phase::Split {
            if let Some(other) = parts.weights.iter().find(|w| old.weights.iter().all(|o| o.version != w.version)) {
                let (kind, version) = (kind.clone(), other.version.clone());
                return Err(RouteError::Split { kind, weights: old.weights.clone(), version });
            }
            if let Some(new) = new_salt.filter(|new| *new != old.salt) {
                return Err(RouteError::SaltChanged { kind: kind.clone(), salt: old.salt.clone(), new });
            }
        } else if parts.weights.len() > 1 && next.stable() != stable {
            return Err(RouteError::Standing { kind: kind.clone(), standing: stable.clone() });
        }
        Ok(Some(self.moved(Act::Set, next)))
    }

    /// Gives the whole kind to the canary. `None`: it is under way already.
    ///
    /// # Errors
    /// [`RouteError::Steady`] when there is no canary, [`RouteError::Moving`] while actors move, [`RouteError::Said`].
    pub fn promote(&self, said: Said) -> Result<Option<Self>, RouteError> {
        let State { stable, phase, route, .. } = &self.0;
        if (*phase, route.canary()) == (Phase::Moving { toward: Rest::Steady }, None) && route.stable() != stable {
            return Ok(None);
        }
        self.not_moving()?;
        let canary = route.canary().ok_or_else(|| self.nothing())?;
        Ok(Some(self.moved(Act::Promote, self.whole(canary.clone(), said)?)))
    }

    /// Gives the whole kind back to the stable version, at once and whatever moves. `None`: it is under way already.
    ///
    /// # Errors
    /// [`RouteError::Steady`] when nothing is rolled out, [`RouteError::Said`].
    pub fn abort(&self, said: Said) -> Result<Option<Self>, RouteError> {
        let State { stable, phase, route, .. } = &self.0;
        match phase {
            Phase::Steady => Err(self.nothing()),
            Phase::Moving { .. } if route.canary().is_none() && route.stable() == stable => Ok(None),
            Phase::Moving { .. } | Phase::Split => Ok(Some(self.moved(Act::Abort, self.whole(stable.clone(), said)?))),
        }
    }

    /// Every actor runs what the route of `revision` says: at `at_unix_us`, by the caller's clock.
    ///
    /// # Errors
    /// [`RouteError::Stale`] when the route is another one by now or nothing moves, [`RouteError::Held`] when somebody
    /// is left.
    pub fn settle(&self, revision: u64, held: Held, at_unix_us: u64) -> Result<Self, RouteError> {
        let found = self.0.route.parts().revision;
        let Phase::Moving { toward } = self.0.phase else {
            return Err(RouteError::Stale { kind: self.0.kind.clone(), revision, found });
        };
        if revision != found {
            return Err(RouteError::Stale { kind: self.0.kind.clone(), revision, found });
        }
        // Two versions that share a kind both stay: an instance of either is no hindrance.
        let holds = if toward == Rest::Split { held.actors > 0 } else { !held.is_empty() };
        if holds {
            return Err(RouteError::Held { kind: self.0.kind.clone(), held });
        }
        let mut next = self.0.clone();
        next.phase = match toward {
            Rest::Steady => Phase::Steady,
            Rest::Split => Phase::Split,
        };
        next.stable = next.route.stable().clone();
        if let Some(last) = next.history.back_mut() {
            last.settled_at_unix_us = Some(at_unix_us);
        }
        Ok(Self(next))
    }

    /// The kind's default is another one by now, in another way than by a route. `None`: it is what stands already.
    ///
    /// # Errors
    /// [`RouteError::Moving`] and [`RouteError::Shared`] while something is rolled out, [`RouteError::Said`].
    pub fn follow(&self, default: Version, said: Said) -> Result<Option<Self>, RouteError> {
        if default == self.0.stable && self.0.phase == Phase::Steady {
            return Ok(None);
        }
        self.not_moving()?;
        if self.0.phase == Phase::Split {
            let (kind, weights) = (self.0.kind.clone(), self.0.route.parts().weights.clone());
            return Err(RouteError::Shared { kind, weights });
        }
        let mut next = self.moved(Act::Follow, self.whole(default.clone(), said)?);
        (next.0.stable, next.0.phase) = (default, Phase::Steady);
        Ok(Some(next))
    }

    fn next_revision(&self) -> Result<u64, RouteError> {
        let revision = self.0.route.parts().revision;
        if revision < REVISION_MAX { Ok(revision + 1) } else { Err(RouteError::Revisions) }
    }

    /// Within a rollout the salt stays; a new rollout has one of its own.
    fn salt_for(&self, weights: &[Weight]) -> String {
        let State { kind, phase, route, .. } = &self.0;
        match (phase, weights) {
            (Phase::Steady, [_, canary, ..]) => {
                format!("{kind}/{}/{}", canary.version, route.parts().revision.saturating_add(1))
            }
            _ => route.parts().salt.clone(),
        }
    }

    /// The whole kind is one version's; no rules.
    fn whole(&self, version: Version, said: Said) -> Result<Route, RouteError> {
        let (revision, salt) = (self.next_revision()?, self.0.route.parts().salt.clone());
        Route::new(Parts { revision, salt, weights: vec![Weight { version, percent: 100 }], rules: Vec::new(), said })
    }

    fn not_moving(&self) -> Result<(), RouteError> {
        if !matches!(self.0.phase, Phase::Moving { .. }) || cfg!(feature = "bug-c4") {
            return Ok(());
        }
        let parts = self.0.route.parts();
        let (kind, who, revision) = (self.0.kind.clone(), parts.said.who.clone(), parts.revision);
        Err(RouteError::Moving { kind, revision, who, weights: parts.weights.clone() })
    }

    fn nothing(&self) -> RouteError {
        RouteError::Steady { kind: self.0.kind.clone(), standing: self.0.route.stable().clone() }
    }

    fn moved(&self, act: Act, route: Route) -> Self {
        let mut next = self.0.clone();
        let (old, new) = (self.0.route.parts(), route.parts());
        next.history.push_back(Change {
            revision: new.revision,
            act,
            said: new.said.clone(),
            from: old.weights.clone(),
            to: new.weights.clone(),
            rules: new.rules.len(),
            salt: new.salt.clone(),
            settled_at_unix_us: None,
        });
        if next.history.len() > HISTORY_MAX {
            next.history.pop_front();
            next.dropped += 1;
        }
        let toward = if route.canary().is_some() { Rest::Split } else { Rest::Steady };
        (next.phase, next.route) = (Phase::Moving { toward }, route);
        Self(next)
    }
}

/// Whether two routes say the same of every key.
fn same(old: &Route, new: &Route) -> bool {
    let (old, new) = (old.parts(), new.parts());
    (&old.weights, &old.rules, &old.salt) == (&new.weights, &new.rules, &new.salt)
}

fn check_kind(kind: &str) -> Result<(), RouteError> {
    let fits = (1..=KIND_BYTES_MAX).contains(&kind.len()) && !kind.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(RouteError::Kind { bytes: kind.len() }) }
}

impl TryFrom<State> for Rollout {
    type Error = RouteError;

    /// What was read is a rollout that some sequence of changes could have made.
    fn try_from(state: State) -> Result<Self, RouteError> {
        let State { kind, stable, phase, route, history, dropped } = &state;
        let wrong = |why: &str| Err(RouteError::Corrupt { why: why.to_owned() });
        check_kind(kind)?;
        history.iter().try_for_each(Change::check)?;
        let revision = route.parts().revision;
        let split = route.canary().is_some();
        let fits = match phase {
            Phase::Steady => !split && route.stable() == stable,
            Phase::Split => split && route.stable() == stable,
            Phase::Moving { toward: Rest::Steady } => !split,
            Phase::Moving { toward: Rest::Split } => split && route.stable() == stable,
        };
        if !fits {
            return wrong("its phase is not its route's");
        }
        if history.len() > HISTORY_MAX || revision.max(*dropped) > REVISION_MAX {
            return wrong("its history is longer than any is kept");
        }
        if !(dropped + 1..=revision).eq(history.iter().map(|change| change.revision)) {
            return wrong("its history has a gap, or is another route's");
        }
        if history.back().is_some_and(|last| last.to != route.parts().weights || last.salt != route.parts().salt) {
            return wrong("its last change made another route");
        }
        Ok(Self(state))
    }
}

impl From<Rollout> for State {
    fn from(rollout: Rollout) -> Self {
        rollout.0
    }
}
