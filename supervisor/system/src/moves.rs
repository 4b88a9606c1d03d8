//! Actors moved between versions: who is meant, what is planned, what came of it, and what the journals say.

use crate::system::parse;
use crate::{System, SystemError, Target, ToAddr};
use teneral_contract::Addr;
use teneral_runtime::ActorRef;
use teneral_store::{Entry, Logged, Store, UpgradeId};
use teneral_upgrade::{Options as UpgradeOptions, Plan, Report, Request, UpgradeError, nearest};

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

    /// Runs a plan: exactly its steps, and only while it is not stale.
    ///
    /// What came of each actor stands in the report; an upgrade that was rolled back is a report, not an error.
    ///
    /// # Errors
    /// [`SystemError::Upgrade`] when the plan is refused whole, before anybody is paused.
    pub async fn apply(&self, plan: Plan) -> Result<Report, SystemError> {
        let system = self.clone();
        self.blocking("an upgrade", move |inner| {
            let report = inner.upgrades.apply(plan)?;
            system.redefine_or_warn(&report);
            Ok(report)
        })
        .await
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
            let request = system.request(wish)?;
            let report = inner.upgrades.upgrade(&request).map_err(|refused| system.refused(refused))?;
            system.redefine_or_warn(&report);
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

    /// What happened stands, whether it could be written down or not.
    fn redefine_or_warn(&self, report: &Report) {
        if let Err(error) = self.redefine(report) {
            let code = error.code();
            tracing::error!(code, %error, upgrade = %report.id, "the new versions of defined actors were not stored");
        }
    }

    fn request(&self, wish: Wish) -> Result<Request, SystemError> {
        let Wish { target, to, options, who, why, request: name } = wish;
        let mut notes = Vec::new();
        let actors: Vec<Addr> = match target {
            Target::Actors(actors) => actors,
            Target::Text(text) if text.contains('/') => vec![text.as_str().to_addr()?],
            Target::Text(kind) => {
                let all = self.runtime().actors_of(&kind);
                let down: Vec<Addr> = self.down_of(&kind)?;
                match (all.is_empty(), down.first()) {
                    (true, Some(down)) => return Err(SystemError::Defined { addr: down.clone() }),
                    (true, None) => return Err(self.nobody(kind)),
                    (false, _) => {}
                }
                let note = |addr: Addr| format!("{addr} is down and left out: teneral actor restart {addr}");
                notes.extend(down.into_iter().map(note));
                all.iter().map(|actor| actor.addr().clone()).collect()
            }
        };
        let who = who.unwrap_or_else(|| self.inner().who.clone());
        let request = Request::new(who, actors, &parse(&to)?);
        Ok(Request { options, why, name, notes, ..request })
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
