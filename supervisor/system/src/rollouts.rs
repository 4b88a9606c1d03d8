//! Two versions of a kind side by side: which one an actor gets, and who is moved when that changes.
//!
//! What is decided stands in `teneral-rollout`, which is pure; here it is kept, and its actors are moved by upgrades as
//! any others, each with its state. A route is written down before anybody moves, so that whoever is started meanwhile
//! gets what it says, and a host that dies in the middle knows where it was going. What it says is read each time,
//! since it was committed.

use crate::events::Happened;
use crate::library::unix_us;
use crate::{System, SystemError};
use parking_lot::Mutex;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use teneral_contract::Addr;
use teneral_rollout::{
    Attribute, Attributes, Decision, Held, Phase, Rollout, RouteError, Said, Shift, Wish as RouteWish,
};
use teneral_store::{Entry, Routes, Store, UpgradeId};
use teneral_upgrade::request::Wanted;
use teneral_upgrade::{Downgrades, Options as UpgradeOptions, Report, Request};

/// How often whoever was started while others moved is looked for.
const ROUNDS_MAX: usize = 3;

/// Why a route without a say follows.
const DEFAULT_SET: &str = "the kind's default was set";

/// Who changes a route and why, and within which bounds its actors are moved.
#[derive(Debug, Clone)]
pub struct Routing {
    /// Who asks; kept with the route. None: whoever the system was opened for.
    pub who: Option<String>,
    /// Why; kept with the route.
    pub why: String,
    /// Bounds of the upgrades that move the actors. Whether they may go back is the route's affair, not theirs.
    pub options: UpgradeOptions,
}

/// What came of a change of a route.
#[derive(Debug)]
pub struct Rerouted {
    /// The rollout as it stands now.
    pub rollout: Rollout,
    /// The upgrades that moved its actors, in order.
    pub reports: Vec<Report>,
    /// Who is not where the route says, and what is kept of a version that leaves.
    pub held: Held,
    /// Why an upgrade could not begin: the route stands, and those actors are where they were.
    pub refused: Option<SystemError>,
}

/// Whose turn it is to move the actors of a kind to its route.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<String, Arc<Mutex<()>>>>);

impl Turns {
    fn turn(&self, kind: &str) -> Arc<Mutex<()>> {
        Arc::clone(self.0.lock().entry(kind.to_owned()).or_default())
    }
}

/// How the reason of an upgrade begins that moves actors to a route.
fn route_of(kind: &str) -> String {
    format!("route of {kind}, revision ")
}

/// While one version has the whole kind, its default is what counts.
fn has_the_say(rollout: &Rollout) -> bool {
    rollout.phase() != Phase::Steady
}

/// What is to become of a route.
enum Change {
    Set(RouteWish),
    Promote,
    Abort,
}

impl System {
    /// The rollout of a kind: who gets which version, how far its actors are, and what was done. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`], [`SystemError::Default`] for a kind that has no version yet; [`SystemError::Route`] when
    /// what was kept cannot be read; [`SystemError::Store`].
    pub fn route(&self, kind: &str) -> Result<Rollout, SystemError> {
        let Some(default) = self.default_version(kind)? else {
            // A kind that there is not is another cause.
            self.library().open(kind, None)?;
            return Err(SystemError::Default { kind: kind.to_owned() });
        };
        let Some(kept) = self.kept_route(kind)? else { return Ok(Rollout::new(kind, default)?) };
        if has_the_say(&kept) {
            return Ok(kept);
        }
        Ok(kept.follow(default, self.said(None, DEFAULT_SET))?.unwrap_or(kept))
    }

    /// Which version the actor of that name gets by its kind's route, and why. It need not be there. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// As [`System::route`].
    pub fn route_explain(&self, addr: &Addr) -> Result<Decision, SystemError> {
        Ok(self.route(addr.kind())?.route().explain(addr.key(), &Attributes::NONE))
    }

    /// Who of a kind is not where its route says, and what is kept of a version that leaves.
    #[must_use]
    pub fn route_held(&self, rollout: &Rollout) -> Held {
        let actors = self.astray(rollout).len() as u64;
        let leaves = |version: &Version| rollout.route().parts().weights.iter().all(|w| w.version != *version);
        let on_probation = self.on_probation();
        let frozen = on_probation.iter().filter(|on| on.actor.kind() == rollout.kind() && leaves(&on.from));
        Held { actors, deferred: 0, frozen: frozen.count() as u64 }
    }

    /// Sets who gets which version, and moves the actors whose version changes, each with its state. The same again
    /// moves those who were left.
    ///
    /// # Errors
    /// [`SystemError::Route`], [`SystemError::Version`], and what [`System::plan`] says of the move: then nothing has
    /// changed.
    pub async fn route_set(&self, kind: &str, wish: RouteWish, routing: Routing) -> Result<Rerouted, SystemError> {
        self.reroute(kind, Change::Set(wish), routing).await
    }

    /// Gives the whole kind to the canary, which becomes the default when all are there.
    ///
    /// # Errors
    /// As [`System::route_set`].
    pub async fn route_promote(&self, kind: &str, routing: Routing) -> Result<Rerouted, SystemError> {
        self.reroute(kind, Change::Promote, routing).await
    }

    /// Gives the whole kind back to the stable version; what moves is cancelled. Who is on probation goes back with the
    /// work that it did; all others by the newer code's own step down.
    ///
    /// # Errors
    /// [`SystemError::Route`] when nothing is rolled out.
    pub async fn route_abort(&self, kind: &str, routing: Routing) -> Result<Rerouted, SystemError> {
        self.reroute(kind, Change::Abort, routing).await
    }

    async fn reroute(&self, kind: &str, change: Change, routing: Routing) -> Result<Rerouted, SystemError> {
        let (system, kind, aborts) = (self.clone(), kind.to_owned(), matches!(change, Change::Abort));
        self.blocking("a change of a route", move |_| {
            let rollout = system.changed_route(&kind, change, &routing)?;
            if aborts {
                system.cancel_moves(&kind, &system.who(routing.who.as_deref()))?;
            }
            let (reports, refused) = system.move_all(&rollout, &routing);
            let rollout = system.settled_route(&kind)?.unwrap_or(rollout);
            let held = system.route_held(&rollout);
            Ok(Rerouted { rollout, reports, held, refused })
        })
        .await
    }

    /// The route as it is to be, written down.
    fn changed_route(&self, kind: &str, change: Change, routing: &Routing) -> Result<Rollout, SystemError> {
        let _alone = self.defining();
        let now = self.route(kind)?;
        let said = self.said(routing.who.as_deref(), &routing.why);
        let aborts = matches!(change, Change::Abort);
        let next = match change {
            Change::Set(wish) => {
                let given = wish.rules.iter().find(|rule| rule.attribute != Attribute::Key);
                if let Some(rule) = given {
                    return Err(RouteError::NotGiven { attribute: rule.attribute.clone() }.into());
                }
                now.set(wish, said)?
            }
            Change::Promote => now.promote(said)?,
            Change::Abort => now.abort(said)?,
        };
        let Some(next) = next else { return Ok(now) };
        for weight in &next.route().parts().weights {
            self.library().release(kind, &weight.version)?;
        }
        // Whoever cannot go there is no reason to stay with a version that does harm.
        let shifts = self.astray(&next);
        if !aborts && !shifts.is_empty() {
            self.inner().upgrades.plan(&self.shifting(&next, &shifts, routing)?)?;
        }
        self.keep_rollout(&next, None)?;
        Ok(next)
    }

    /// Moves whoever is not where the route says, also those who were started meanwhile, as long as the route stands.
    /// Why not, where an upgrade could not begin.
    fn move_all(&self, rollout: &Rollout, routing: &Routing) -> (Vec<Report>, Option<SystemError>) {
        let (mut reports, mut tried) = (Vec::new(), BTreeSet::new());
        let turn = self.inner().routed.turn(rollout.kind());
        let _one_at_a_time = turn.lock();
        for _ in 0..ROUNDS_MAX {
            match self.kept_route(rollout.kind()) {
                Ok(Some(kept)) if kept.route() == rollout.route() => {}
                Ok(_) => break,
                Err(error) => return (reports, Some(error)),
            }
            let mut shifts = self.astray(rollout);
            shifts.retain(|shift| tried.insert(shift.key.clone()));
            if shifts.is_empty() {
                break;
            }
            reports.extend(self.taken_back_by_route(rollout, &mut shifts, routing));
            if shifts.is_empty() {
                continue;
            }
            let moved = self
                .shifting(rollout, &shifts, routing)
                .and_then(|request| self.inner().upgrades.upgrade(&request).map_err(SystemError::from));
            match moved {
                Ok(report) => reports.push(report),
                Err(refused) => return (reports, Some(refused)),
            }
        }
        (reports, None)
    }

    /// Whoever is on probation goes back as its upgrade is taken back: by replay where that is to be had. Takes those
    /// out of `shifts` who are back, or were tried.
    fn taken_back_by_route(&self, rollout: &Rollout, shifts: &mut Vec<Shift>, routing: &Routing) -> Vec<Report> {
        let mut of: BTreeMap<UpgradeId, Vec<Addr>> = BTreeMap::new();
        for on in self.on_probation() {
            let is =
                |shift: &Shift| shift.key == on.actor.key() && (&shift.from, &shift.to.version) == (&on.to, &on.from);
            if on.actor.kind() == rollout.kind() && shifts.iter().any(is) {
                of.entry(on.upgrade).or_default().push(on.actor);
            }
        }
        let (who, why) = (self.who(routing.who.as_deref()), self.why(rollout, routing));
        let (mut reports, way) = (Vec::new(), (None, routing.options.pathless));
        for (upgrade, actors) in of {
            // Without a way back that keeps all work they go the way of all others.
            let Ok(back) = self.inner().upgrades.roll_back(&upgrade, way, &actors, (&who, &why)) else { continue };
            shifts.retain(|shift| actors.iter().all(|addr| addr.key() != shift.key));
            reports.extend(back);
        }
        reports
    }

    /// The upgrades at work for routes of a kind that stood before: an abort does not wait for them to do more.
    fn cancel_moves(&self, kind: &str, by: &str) -> Result<(), SystemError> {
        for id in self.running() {
            let journal = self.journal(&id)?;
            if Entry::begin_of(&journal).is_some_and(|begin| begin.why.starts_with(&route_of(kind))) {
                self.cancel(&id, by);
            }
        }
        Ok(())
    }

    fn shifting(&self, rollout: &Rollout, shifts: &[Shift], routing: &Routing) -> Result<Request, SystemError> {
        let mut actors = Vec::with_capacity(shifts.len());
        for Shift { key, to, .. } in shifts {
            let addr = Addr::new(&format!("{}/{key}", rollout.kind()))?;
            actors.push(Wanted { addr, kind: None, to: to.version.clone() });
        }
        let down = shifts.iter().any(|shift| shift.to.version < shift.from);
        let downgrades = if down { Downgrades::Allow } else { routing.options.downgrades };
        let options = UpgradeOptions { downgrades, ..routing.options };
        let (who, why) = (self.who(routing.who.as_deref()), self.why(rollout, routing));
        Ok(Request { who, why, actors, options, name: None, notes: Vec::new() })
    }

    fn who(&self, who: Option<&str>) -> String {
        who.map_or_else(|| self.inner().who.clone(), str::to_owned)
    }

    /// What journals say of a move.
    fn why(&self, rollout: &Rollout, routing: &Routing) -> String {
        let route = format!("{}{}", route_of(rollout.kind()), rollout.route().parts().revision);
        if routing.why.is_empty() { route } else { format!("{route}: {}", routing.why) }
    }

    fn said(&self, who: Option<&str>, why: &str) -> Said {
        Said { who: self.who(who), at_unix_us: unix_us(), why: why.to_owned() }
    }

    /// Who runs another version than the route says. While one version has the kind, its default is what counts, and
    /// nobody is astray.
    fn astray(&self, rollout: &Rollout) -> Vec<Shift> {
        if !has_the_say(rollout) {
            return Vec::new();
        }
        let actors = self.actors_of(rollout.kind());
        let running: Vec<(Addr, Version)> =
            actors.iter().map(|actor| (actor.addr().clone(), actor.info().version)).collect();
        let none = Attributes::NONE;
        rollout.astray(running.iter().map(|(addr, version)| (addr.key(), &none, version)))
    }

    /// The version that a new actor gets where its kind has a route; none: the kind's default. Blocks on the disk.
    pub(crate) fn routed(&self, addr: &Addr) -> Result<Option<Version>, SystemError> {
        let version = |rollout: Rollout| rollout.route().version_of(addr.key(), &Attributes::NONE).clone();
        Ok(self.ruling_route(addr.kind())?.map(version))
    }

    /// Sets a kind's default where no route has the say.
    pub(crate) fn keep_default(&self, kind: &str, version: &Version) -> Result<(), SystemError> {
        let Some(rollout) = self.kept_route(kind)? else { return Ok(self.store().set_default(kind, version)?) };
        let next = rollout.follow(version.clone(), self.said(None, DEFAULT_SET))?;
        self.keep_rollout(next.as_ref().unwrap_or(&rollout), Some(version))
    }

    /// Whether a route has the say of a kind, and not its default.
    pub(crate) fn is_routed(&self, kind: &str) -> Result<bool, SystemError> {
        Ok(self.ruling_route(kind)?.is_some())
    }

    /// Whether a route needs a version.
    pub(crate) fn is_on_route(&self, kind: &str, version: &Version) -> Result<bool, SystemError> {
        let named = |rollout: &Rollout| rollout.route().parts().weights.iter().any(|weight| weight.version == *version);
        Ok(self.ruling_route(kind)?.is_some_and(|rollout| named(&rollout) || rollout.stable() == version))
    }

    /// What was done to the routes of these kinds is over where nobody is left. What cannot be written is written when
    /// it is looked at again.
    pub(crate) fn settle_routes<'a>(&self, kinds: impl IntoIterator<Item = &'a str>) {
        for kind in kinds.into_iter().collect::<BTreeSet<_>>() {
            if let Err(error) = self.settled_route(kind) {
                tracing::error!(code = error.code(), %error, kind, "that a route is settled was not stored");
            }
        }
    }

    /// The rollout, settled if it can be; none: nothing moved. Blocks on the disk.
    pub(crate) fn settled_route(&self, kind: &str) -> Result<Option<Rollout>, SystemError> {
        let _alone = self.defining();
        let Some(rollout) = self.kept_route(kind)? else { return Ok(None) };
        if !matches!(rollout.phase(), Phase::Moving { .. }) {
            return Ok(Some(rollout));
        }
        match rollout.settle(rollout.route().parts().revision, self.route_held(&rollout), unix_us()) {
            Ok(next) => {
                let version = Some(next.stable()).filter(|_| next.phase() == Phase::Steady).cloned();
                self.keep_rollout(&next, version.as_ref())?;
                if let Some(version) = version {
                    self.say(|| Happened::DefaultChanged { kind: kind.to_owned(), version });
                }
                Ok(Some(next))
            }
            Err(RouteError::Held { .. }) => Ok(Some(rollout)),
            Err(error) => Err(error.into()),
        }
    }

    /// The route of a kind where it has the say, and not the kind's default.
    fn ruling_route(&self, kind: &str) -> Result<Option<Rollout>, SystemError> {
        Ok(self.kept_route(kind)?.filter(has_the_say))
    }

    fn kept_route(&self, kind: &str) -> Result<Option<Rollout>, SystemError> {
        let kept = self.store().route(kind)?;
        Ok(kept.map(|bytes| Rollout::decode(&bytes)).transpose()?)
    }

    fn keep_rollout(&self, rollout: &Rollout, default: Option<&Version>) -> Result<(), SystemError> {
        Ok(self.store().keep_route(rollout.kind(), &rollout.encode()?, default)?)
    }
}
