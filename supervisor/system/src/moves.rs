//! Actors moved between versions: who is meant, what is planned, what came of it, and what the journals say.

use crate::system::parse;
use crate::{System, SystemError, Target, ToAddr};
use semver::Version;
use std::collections::BTreeSet;
use teneral_contract::Addr;
use teneral_control::api::event::own_reason;
use teneral_runtime::ActorRef;
use teneral_store::{Definition, Entry, Logged, Move, Store, UpgradeId};
use teneral_upgrade::{ActorReport, Options as UpgradeOptions, Plan, Report, Request, UpgradeError, nearest};

/// How many actors that were started during an upgrade its report names; it counts all of them.
const BORN_NAMED_MAX: usize = 5;

/// How many of the latest upgrades are looked through for versions that were taken back.
const LOOKED_BACK_MAX: usize = 50;

/// Who is to go where, and within which bounds; with a reason and a name of the request, where the caller has them.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Actors, or a kind for all its actors.
    pub target: Target,
    /// To which version.
    pub to: String,
    /// Within which bounds.
    pub options: UpgradeOptions,
    /// Who asks; journalled. None: whoever the system was opened for.
    pub who: Option<String>,
    /// Why; journalled.
    pub why: String,
    /// What the caller calls its request: see [`Plan::requested_as`].
    pub request: Option<String>,
}

impl Wish {
    /// Without a reason and without a name.
    pub fn new(target: impl Into<Target>, to: &str, options: UpgradeOptions) -> Self {
        Self { target: target.into(), to: to.to_owned(), options, who: None, why: String::new(), request: None }
    }
}

impl System {
    /// Says what an upgrade would do, or why it would be refused. Touches nobody, and leaves no trace.
    ///
    /// # Errors
    /// [`SystemError::Upgrade`]; [`SystemError::Address`], [`SystemError::VersionText`]; [`SystemError::Nobody`] for a
    /// kind without actors; [`SystemError::Defined`] for an actor that is down.
    pub async fn plan(
        &self,
        target: impl Into<Target>,
        to: &str,
        options: UpgradeOptions,
    ) -> Result<Plan, SystemError> {
        self.plan_of(Wish::new(target, to, options)).await
    }

    /// As [`System::plan`].
    ///
    /// # Errors
    /// As [`System::plan`].
    pub async fn plan_of(&self, wish: Wish) -> Result<Plan, SystemError> {
        let system = self.clone();
        self.blocking("a plan", move |inner| {
            let request = system.request(wish)?;
            inner.upgrades.plan(&request).map_err(|refused| system.refused(refused))
        })
        .await
    }

    /// Rehearses a plan's moves on copies of their actors' states, in a process of its own, as applying it would before
    /// it pauses anybody: the plan says afterwards what each came to. The copies take the actors' time and leave no
    /// other trace.
    ///
    /// # Errors
    /// [`SystemError::Task`] when this process has no thread for it.
    pub async fn rehearse(&self, plan: Plan) -> Result<Plan, SystemError> {
        self.blocking("a rehearsal", move |inner| Ok(inner.upgrades.rehearse(plan))).await
    }

    /// Runs a plan: exactly its steps, and only while it is not stale.
    ///
    /// What came of each actor stands in the report; an upgrade that was rolled back is a report, not an error.
    ///
    /// # Errors
    /// [`SystemError::Upgrade`] when the plan is refused whole, before anybody is paused.
    pub async fn apply(&self, plan: Plan) -> Result<Report, SystemError> {
        self.blocking("an upgrade", move |inner| Ok(inner.upgrades.apply(plan)?)).await
    }

    /// Plans and applies: moves actors to another version while they live. With a `queue_timeout` it waits for another
    /// upgrade that has one of the actors, and plans anew.
    ///
    /// # Errors
    /// As [`System::plan`] and [`System::apply`].
    pub async fn upgrade(
        &self,
        target: impl Into<Target>,
        to: &str,
        options: UpgradeOptions,
    ) -> Result<Report, SystemError> {
        self.upgrade_of(Wish::new(target, to, options)).await
    }

    /// As [`System::upgrade`].
    ///
    /// # Errors
    /// As [`System::upgrade`]; [`UpgradeError::Repeated`] when the request was made before.
    pub async fn upgrade_of(&self, wish: Wish) -> Result<Report, SystemError> {
        let system = self.clone();
        self.blocking("an upgrade", move |inner| {
            let kind = wish.target.kind().map(str::to_owned);
            let request = system.request(wish)?;
            if cfg!(feature = "bug-f32") {
                system.define_ahead(&request)?;
            }
            let mut report = inner.upgrades.upgrade(&request).map_err(|refused| system.refused(refused))?;
            report.warnings.extend(kind.and_then(|kind| system.born_meanwhile(&kind, &report)));
            Ok(report)
        })
        .await
    }

    /// The upgrade that a request of that name became, in this life of the host or an earlier one: see
    /// [`Plan::requested_as`]. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Upgrade`] when no request may be called so, or the store cannot be read.
    pub fn requested(&self, request: &str) -> Result<Option<UpgradeId>, SystemError> {
        Ok(self.inner().upgrades.requested(request)?)
    }

    /// Cancels an upgrade that is at work: who is paused resumes the old version, who has committed stays. `false` when
    /// there is no such upgrade, or none any more.
    pub fn cancel(&self, id: &UpgradeId, by: &str) -> bool {
        self.inner().upgrades.cancel(id, by)
    }

    /// The upgrades at work, oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<UpgradeId> {
        self.inner().upgrades.running()
    }

    /// Threads of this process in plugin code that has not returned and that nobody waits for any more: of turns that
    /// were given up, of steps of upgrades. Each ends when its code returns.
    #[must_use]
    pub fn threads_lost(&self) -> usize {
        self.runtime().threads_lost() + self.inner().upgrades.threads_lost()
    }

    /// All upgrades that the store knows of, oldest first. Blocks while all journals are read.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn upgrades(&self) -> Result<Vec<UpgradeId>, SystemError> {
        Ok(self.store().upgrades()?)
    }

    /// The latest upgrades before `before`, newest first, at most `count_max`. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn latest_upgrades(&self, before: Option<&UpgradeId>, count_max: usize) -> Result<Vec<Logged>, SystemError> {
        Ok(self.store().latest(before, count_max)?)
    }

    /// What an upgrade did: who asked, why, every step with its time and its result. Empty for an unknown one; without
    /// an end while it is at work.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn journal(&self, id: &UpgradeId) -> Result<Vec<Entry>, SystemError> {
        Ok(self.store().journal(id)?)
    }

    /// Planted: who is to be moved would come back on the new version, whatever came of the move.
    fn define_ahead(&self, request: &Request) -> Result<(), SystemError> {
        for wanted in &request.actors {
            let Some(definition) = self.defined(&wanted.addr)? else { continue };
            self.store().define(&Definition { version: wanted.to.clone(), ..definition })?;
        }
        Ok(())
    }

    /// Who of a kind was started while all of it was being moved, and runs another version: each is of one version, and
    /// none is in the report.
    fn born_meanwhile(&self, kind: &str, report: &Report) -> Option<String> {
        let to = &report.actors.first()?.to;
        let actors = self.actors_of(kind);
        let born: Vec<String> = actors
            .iter()
            .filter(|actor| report.of(actor.addr()).is_none() && actor.provider().version() != to)
            .map(|actor| format!("{} on {}", actor.addr(), actor.provider().version()))
            .collect();
        let (first, count) = (born.iter().take(BORN_NAMED_MAX).cloned().collect::<Vec<_>>().join(", "), born.len());
        let s = if count == 1 { " was" } else { "s were" };
        (count > 0).then(|| format!("{count} actor{s} started meanwhile and not moved: {first}; upgrade {kind} again"))
    }

    /// What happened stands, whether it could be written down or not.
    pub(crate) fn were_moved(&self, actors: &[ActorReport]) -> Result<(), SystemError> {
        let written = self.redefine(actors);
        self.settle_routes(actors.iter().map(|actor| actor.actor.kind()));
        written
    }

    fn request(&self, wish: Wish) -> Result<Request, SystemError> {
        let Wish { target, to, options, who, why, request: name } = wish;
        let mut notes = Vec::new();
        let actors: Vec<Addr> = match target {
            Target::Actors(actors) => actors,
            Target::Text(text) if text.contains('/') => vec![text.as_str().to_addr()?],
            Target::Text(kind) => {
                let all = self.actors_of(&kind);
                let down: Vec<Addr> = self.down_of(&kind)?;
                match (all.is_empty(), down.first()) {
                    (true, Some(down)) => return Err(self.is_down(down.clone())),
                    (true, None) => return Err(self.nobody(kind)),
                    (false, _) => {}
                }
                let note = |addr: Addr| format!("{addr} is down and left out: teneral actor restart {addr}");
                notes.extend(down.into_iter().map(note));
                all.iter().map(|actor| actor.addr().clone()).collect()
            }
        };
        actors.iter().try_for_each(|addr| self.unless_member(addr))?;
        let (who, to) = (who.unwrap_or_else(|| self.inner().who.clone()), parse(&to)?);
        notes.extend(self.taken_back(&actors, &to));
        let request = Request::new(who, actors, &to);
        Ok(Request { options, why, name, notes, ..request })
    }

    /// From whom this version was taken back, and why, where that was the last that came of it there. It may be tried
    /// again, and whoever tries shall know. A note only: a journal that cannot be read refuses the upgrade by itself.
    fn taken_back(&self, actors: &[Addr], version: &Version) -> Vec<String> {
        let mut left: BTreeSet<&Addr> = actors.iter().collect();
        let mut notes = Vec::new();
        for logged in self.store().latest(None, LOOKED_BACK_MAX).unwrap_or_default() {
            let (Entry::Begin(begin), Entry::End(end)) = (&logged.first, &logged.last) else { continue };
            let mut moves: Vec<&Move> = begin.moves.iter().collect();
            moves.retain(|moved| moved.from == *version || moved.to == *version);
            let went = end.actors.iter().filter(|actor| !moves.is_empty() && actor.outcome == "committed");
            let went: BTreeSet<&Addr> = went.map(|actor| &actor.addr).collect();
            moves.retain(|moved| went.contains(&moved.addr) && left.remove(&moved.addr));
            moves.retain(|moved| moved.from == *version);
            let Some(of) = &begin.rolls_back else { continue };
            let (from, why) = match moves.as_slice() {
                [] => continue,
                [one] => (one.addr.to_string(), own_reason(&begin.why, of, &one.addr)),
                many => (format!("{} actors", many.len()), begin.why.as_str()),
            };
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            notes.push(format!("{version} was taken back from {from} by {}{why}", logged.id));
        }
        notes
    }

    /// The defined actors of a kind that do not run.
    fn down_of(&self, kind: &str) -> Result<Vec<Addr>, SystemError> {
        let defined = self.definitions()?.into_iter().map(|definition| definition.addr);
        Ok(defined.filter(|addr| addr.kind() == kind && self.runtime().actor(addr).is_none()).collect())
    }

    fn refused(&self, refused: UpgradeError) -> SystemError {
        match refused {
            UpgradeError::Actor { addr, hint } => match self.down_or(SystemError::Actor { addr, hint }) {
                SystemError::Actor { addr, hint } => UpgradeError::Actor { addr, hint }.into(),
                down => down,
            },
            refused => refused.into(),
        }
    }

    /// Why a kind names nobody: a slip in the kind, or an actor's name without its kind or its slash.
    fn nobody(&self, kind: String) -> SystemError {
        let actors = self.actors();
        let addrs = || actors.iter().map(ActorRef::addr);
        let keyed = addrs().filter(|addr| addr.key() == kind).map(|addr| addr.path().to_owned());
        let mut near: Vec<String> = keyed.take(3).collect();
        if near.is_empty() {
            near = nearest::nearest(&kind, addrs().flat_map(|addr| [addr.kind(), addr.path()]));
        }
        let hint = match near.is_empty() {
            true => nearest::hint(&kind, actors.iter().map(|actor| actor.addr().kind())),
            false => format!("did you mean {}?", near.join(" or ")),
        };
        SystemError::Nobody { kind, hint }
    }
}
