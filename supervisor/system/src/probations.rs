//! Versions on probation: who is, what becomes of them, and what an operator says to it.

use crate::name::ToAddr;
use crate::system::Inner;
use crate::{System, SystemError};
use semver::Version;
use std::sync::Weak;
use teneral_contract::Addr;
use teneral_store::UpgradeId;
use teneral_upgrade::{ActorReport, Held, OnProbation, Outcomes, PathlessPolicy, Refused, Report, WayBack, chain};

/// What came of upgrades, kept where the next life of the host finds it.
pub(crate) struct Keeper(pub(crate) Weak<Inner>);

impl Outcomes for Keeper {
    fn moved(&self, _: &UpgradeId, actors: &[ActorReport]) -> Result<(), Refused> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        System::of(inner).were_moved(actors).map_err(|error| refused(&error))
    }

    fn finalised(&self, kind: &str, version: &Version) -> Result<(), Refused> {
        let Some(inner) = self.0.upgrade() else { return Ok(()) };
        let system = System::of(inner);
        let set = system.is_routed(kind).and_then(|routed| match routed {
            // The route says what new actors get, and the default when it is settled.
            true => {
                system.settle_routes([kind]);
                Ok(())
            }
            false => system.set_default(kind, &version.to_string()),
        });
        set.map_err(|error| refused(&error))
    }
}

fn refused(error: &SystemError) -> Refused {
    Refused { code: error.code().to_owned(), cause: chain(error), hint: error.hint() }
}

impl System {
    /// The actors that are on probation, by name: for which upgrade, how the new version does beside the one before,
    /// and which ways back there are.
    #[must_use]
    pub fn on_probation(&self) -> Vec<OnProbation> {
        self.inner().upgrades.on_probation()
    }

    /// Makes an upgrade final: the instances before are given up, and new actors of the kind get its version. Of all
    /// its actors that are on probation when `only` names none. Who was.
    ///
    /// # Errors
    /// [`SystemError::Back`] when there is nothing to make final, or the version cannot be the default.
    pub async fn finalise(&self, id: &UpgradeId, only: &[Addr], who: &str) -> Result<Vec<Addr>, SystemError> {
        let (id, only, who) = (id.clone(), only.to_vec(), who.to_owned());
        self.blocking("a finalise", move |inner| Ok(inner.upgrades.finalise(&id, &only, &who)?)).await
    }

    /// Takes an upgrade's actors back to the version before while they are on probation, or those that `only` names; by
    /// the best way that each has when it is none; with what becomes of waiting messages that the version before has no
    /// path for. What came of it stands in the reports, one a way.
    ///
    /// # Errors
    /// [`SystemError::Back`] when nobody is on probation for it, or an actor cannot go back that way; then nobody was
    /// touched. [`SystemError::Upgrade`] when a way back could not begin, or would lose messages and must not.
    pub async fn roll_back(
        &self,
        id: &UpgradeId,
        way: (Option<WayBack>, PathlessPolicy),
        only: &[Addr],
        (who, why): (&str, &str),
    ) -> Result<Vec<Report>, SystemError> {
        let (id, only, who, why) = (id.clone(), only.to_vec(), who.to_owned(), why.to_owned());
        self.blocking("a rollback", move |inner| Ok(inner.upgrades.roll_back(&id, way, &only, (&who, &why))?)).await
    }

    /// Effects that a version that was gone back to wants sent, and that were never sent. They end with the host.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.inner().upgrades.held()
    }

    /// Sends one of them, as from its actor.
    ///
    /// # Errors
    /// [`SystemError::Back`]: there is none of that number, or it was not accepted and stays.
    pub async fn send_held(&self, id: u64) -> Result<(), SystemError> {
        self.blocking("a held effect", move |inner| Ok(inner.upgrades.send_held(id)?)).await
    }

    /// Drops one of them.
    ///
    /// # Errors
    /// [`SystemError::Back`]: there is none of that number.
    pub fn drop_held(&self, id: u64) -> Result<(), SystemError> {
        Ok(self.inner().upgrades.drop_held(id)?)
    }

    /// Whether an actor is on probation, and for which upgrade.
    ///
    /// # Errors
    /// [`SystemError::Address`].
    pub fn probation_of(&self, addr: impl ToAddr) -> Result<Option<OnProbation>, SystemError> {
        let addr = addr.to_addr()?;
        Ok(self.on_probation().into_iter().find(|on| on.actor == addr))
    }
}
