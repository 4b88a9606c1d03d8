//! Members of addresses whose kind is spread over several processes: who starts them, and who leaves them alone.
//!
//! A member is its address's affair, as a child is its parent's: it is upgraded, routed and defined with it and not by
//! itself.

use crate::system::Inner;
use crate::{System, SystemError};
use std::fmt;
use std::sync::{Arc, Weak};
use teneral_contract::Addr;
use teneral_remote::spread::{Host, MemberSeen};
use teneral_runtime::{ActorRef, Clock, EventStream, Start};
use teneral_upgrade::chain;

/// What addresses start their members with: the system, as long as there is one.
pub(crate) struct Members(pub(crate) Weak<Inner>);

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members")
    }
}

impl Host for Members {
    fn start(&self, start: Start) -> Result<ActorRef, String> {
        let inner = self.0.upgrade().ok_or("the host has ended")?;
        inner.runtime.start(start).map_err(|error| chain(&error))
    }

    fn events(&self) -> Option<EventStream> {
        Some(self.0.upgrade()?.runtime.events())
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(Arc::clone(self.0.upgrade()?.runtime.clock()))
    }
}

impl System {
    /// The members of all addresses whose kind is spread over several processes, with what is pending at each and how
    /// it stands with it.
    #[must_use]
    pub fn members(&self) -> Vec<MemberSeen> {
        self.library().processes().members()
    }

    /// Whether a member of some address has messages to handle.
    pub(crate) fn members_are_at_work(&self) -> bool {
        let queued = |addr: &Addr| self.runtime().actor(addr).is_some_and(|actor| actor.info().queued_messages > 0);
        self.members().iter().any(|member| member.seen.pending > 0 || queued(&member.member))
    }

    /// All actors of a kind that an order may be given to: members follow their address.
    pub(crate) fn actors_of(&self, kind: &str) -> Vec<ActorRef> {
        let mut actors = self.runtime().actors_of(kind);
        if self.library().processes().spread(kind).is_some() {
            actors.retain(|actor| self.library().processes().address_of(actor.addr()).is_none());
        }
        actors
    }

    /// Refuses to say a state of an address that has none of its own.
    pub(crate) fn unless_spread(&self, addr: &Addr) -> Result<(), SystemError> {
        match self.library().processes().members_of(addr) {
            Some(members) => {
                let member = members.into_iter().next().unwrap_or_else(|| addr.clone());
                Err(SystemError::Spread { addr: addr.clone(), member })
            }
            None => Ok(()),
        }
    }

    /// Refuses an order to a member.
    pub(crate) fn unless_member(&self, addr: &Addr) -> Result<(), SystemError> {
        match self.library().processes().address_of(addr) {
            Some(address) => Err(SystemError::Member { addr: addr.clone(), address }),
            None => Ok(()),
        }
    }
}
