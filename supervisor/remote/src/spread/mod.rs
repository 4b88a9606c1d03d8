//! A kind without a state of its own, spread over several processes behind one address.
//!
//! The address is an actor like any other: it is started, upgraded, paused and stopped by its name, and what runs there
//! is the balancer, in the host. It decodes nothing. It hands each message to one of its *members*, which are actors of
//! the kind, each with an instance in a process of its own, and passes the answer back. So an upgrade of the address is
//! an upgrade as any other; when it has committed, members of the new version are started, and those of the version
//! before get no new work and end when they have none: nobody is paused, and nobody waits.
//!
//! * [`Front`]: the code of such a kind, as the runtime has it
//! * `address`: one address with its members, as a message on its way needs them
//! * `keeper`: who keeps these members there
//! * `call`: one message on its way, and what becomes of it when its member falls

mod address;
mod call;
mod front;
mod keeper;

pub use address::{Addresses, MemberSeen};
pub use front::Front;

use crate::balance::{Policy, RetryPolicy};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use teneral_runtime::{ActorRef, Clock, EventStream, Start};

/// How a kind is spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadPolicy {
    /// Processes of each version, and members of each address: at least 1.
    pub instances: usize,
    /// How a member is chosen, and when it is not.
    pub balance: Policy,
    /// Of each member its share, in the order of the slots; 1 where there is none.
    pub weights: Vec<u32>,
    /// The messages that may be handled twice.
    pub idempotent: BTreeSet<String>,
    /// How many of them are.
    pub retries: RetryPolicy,
}

impl SpreadPolicy {
    /// So many instances; [`Policy::standard`], the same share for all, nothing idempotent, [`RetryPolicy::standard`].
    #[must_use]
    pub const fn standard(instances: usize) -> Self {
        Self {
            instances,
            balance: Policy::standard(),
            weights: Vec::new(),
            idempotent: BTreeSet::new(),
            retries: RetryPolicy::standard(),
        }
    }
}

/// What an address needs of its host.
pub trait Host: Send + Sync + fmt::Debug + 'static {
    /// Starts a member. Blocks until it is there.
    ///
    /// # Errors
    /// Why it is not, as a sentence; also when the host has ended.
    fn start(&self, start: Start) -> Result<ActorRef, String>;

    /// What happens to actors from now on. `None`: the host has ended.
    fn events(&self) -> Option<EventStream>;

    /// The runtime's clock. `None`: the host has ended.
    fn clock(&self) -> Option<Arc<dyn Clock>>;
}
