//! One address with its members: who is there, who is gone, who is next.
//!
//! Here is what messages on their way need; `keeper` has the members.

use super::Host;
use super::call::{Job, Rest, hand_on, outcome};
use super::front::Front;
use super::keeper::keep;
use crate::balance::{Balancer, EndpointId, Event, Outcome, RetryBudget, Seen as BalancerSeen, Standing};
use crate::client::Module;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use teneral_contract::{Addr, Contract, Digest, Fingerprint, Tag};
use teneral_runtime::ports::Provider;
use teneral_runtime::{ActorRef, Clock};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Messages that are on their way to one member, where all are the same: more wait in the address's mailbox.
const PENDING_MAX: usize = 1024;

/// All addresses of a host. A cheap clone.
#[derive(Clone)]
pub struct Addresses(Arc<Shared>);

struct Shared {
    handle: Handle,
    host: OnceLock<Arc<dyn Host>>,
    all: Mutex<BTreeMap<Addr, Arc<Address>>>,
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Addresses({})", self.0.all.lock().len())
    }
}

/// A look at one member of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSeen {
    /// The address.
    pub address: Addr,
    /// The member's own name.
    pub member: Addr,
    /// In which slot it is, from 1.
    pub slot: usize,
    /// Which artifact it runs.
    pub digest: Digest,
    /// Work that is there, and how it stands with it.
    pub seen: BalancerSeen,
    /// How long it is ejected yet, if it is.
    pub ejected_for: Option<Duration>,
}

impl Addresses {
    /// None yet. Their work is done on that tokio.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self(Arc::new(Shared { handle, host: OnceLock::new(), all: Mutex::default() }))
    }

    /// What they need of the host, before the first of them begins. The first one stays.
    pub fn serve_for(&self, host: Arc<dyn Host>) {
        let _ = self.0.host.set(host);
    }

    /// The members of all addresses, by name of the address and number of the member.
    #[must_use]
    pub fn members(&self) -> Vec<MemberSeen> {
        let all: Vec<Arc<Address>> = self.0.all.lock().values().cloned().collect();
        all.iter().flat_map(|address| address.members()).collect()
    }

    /// Who serves an address, by name. `None`: it is no such address.
    #[must_use]
    pub fn members_of(&self, address: &Addr) -> Option<Vec<Addr>> {
        let address = self.0.all.lock().get(address).cloned()?;
        let state = address.state.lock();
        Some(state.members.values().map(|of| of.actor.addr().clone()).collect())
    }

    /// The address whose member has that name.
    #[must_use]
    pub fn of_member(&self, addr: &Addr) -> Option<Addr> {
        let all: Vec<Arc<Address>> = self.0.all.lock().values().cloned().collect();
        let has = |address: &&Arc<Address>| address.state.lock().member_named(addr).is_some();
        all.iter().find(has).map(|address| address.this.addr().clone())
    }

    /// An address serves, by this version from now on.
    pub(super) fn serve(&self, this: ActorRef, front: &Arc<Front>) -> Result<Arc<Address>, String> {
        let mut all = self.0.all.lock();
        if let Some(address) = all.get(this.addr()).filter(|address| !address.this.is_stopped()) {
            address.state.lock().front = Arc::clone(front);
            address.work.send_replace(());
            return Ok(Arc::clone(address));
        }
        let ended = || "the host has ended".to_owned();
        let host = self.0.host.get().cloned().ok_or_else(ended)?;
        let (events, clock) = (host.events().ok_or_else(ended)?, host.clock().ok_or_else(ended)?);
        let policy = front.policy();
        let seed = u64::from_le_bytes(this.addr().id().to_le_bytes().first_chunk().copied().unwrap_or_default());
        let state = State {
            front: Arc::clone(front),
            balancer: Balancer::new(policy.balance, seed),
            budget: RetryBudget::new(policy.retries),
            members: BTreeMap::new(),
            latest: 0,
        };
        let address = Arc::new(Address {
            this,
            host,
            clock,
            all: self.clone(),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            work: watch::Sender::new(()),
            places: Arc::new(Semaphore::new(PENDING_MAX.saturating_mul(policy.instances))),
        });
        all.insert(address.this.addr().clone(), Arc::clone(&address));
        self.0.handle.spawn(keep(Arc::clone(&address), events));
        Ok(address)
    }
}

/// See the module.
pub(super) struct Address {
    pub(super) this: ActorRef,
    pub(super) host: Arc<dyn Host>,
    clock: Arc<dyn Clock>,
    all: Addresses,
    pub(super) state: Mutex<State>,
    /// Something that a message on its way may wait for.
    pub(super) changed: watch::Sender<()>,
    /// Something that members are to be looked at for.
    pub(super) work: watch::Sender<()>,
    places: Arc<Semaphore>,
}

pub(super) struct State {
    pub(super) front: Arc<Front>,
    pub(super) balancer: Balancer,
    budget: RetryBudget,
    pub(super) members: BTreeMap<EndpointId, Member>,
    /// The number of the latest member.
    pub(super) latest: u64,
}

pub(super) struct Member {
    pub(super) actor: ActorRef,
    pub(super) module: Arc<Module>,
    pub(super) contract: Arc<Contract>,
    /// From 0.
    pub(super) slot: usize,
    /// How often its process was gone.
    pub(super) falls: u64,
    /// Processes of its module that were started when it was well last.
    pub(super) starts: u64,
    pub(super) is_gone: bool,
    pub(super) drains: bool,
    /// It is being begun anew, since its process is gone and nobody told it.
    pub(super) mends: bool,
}

/// A member that got a message.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) member: EndpointId,
    pub(super) actor: ActorRef,
    falls: u64,
}

impl Member {
    /// Whether its code takes such a message, and answers in that shape.
    fn knows(&self, (tag, shape): (Tag, Option<Fingerprint>)) -> bool {
        let Ok(route) = self.contract.resolve(tag) else { return false };
        let reply = self.contract.reply(route.index());
        shape.is_none_or(|shape| reply.is_some_and(|reply| reply.reach(shape)))
    }
}

impl State {
    pub(super) fn member_named(&self, addr: &Addr) -> Option<EndpointId> {
        self.members.iter().find(|(_, member)| member.actor.addr() == addr).map(|(id, _)| *id)
    }

    /// The slots without a member of the version that serves.
    pub(super) fn open_slots(&self) -> Vec<usize> {
        let digest = self.front.digest();
        let is_there = |slot: &usize| {
            self.members.values().any(|of| of.slot == *slot && of.module.digest() == digest && !of.drains)
        };
        (0..self.front.slots().len()).filter(|slot| !is_there(slot)).collect()
    }
}

// ---- for messages on their way

impl Address {
    /// Takes a message over from a turn of the address.
    pub(super) fn hand_on(self: &Arc<Self>, job: Job) {
        // As much as there may be on its way is: what waits, waits in the mailbox. Whoever ends lets it go on.
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() || self.places.available_permits() == 0 {
            job.later.hold_up();
        }
        let address = Arc::clone(self);
        self.spawn(async move { with(place, hand_on(address, job)).await });
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn is_over(&self) -> bool {
        self.this.is_stopped()
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.now().0)
    }

    /// The member for a message, besides those.
    pub(super) fn choose(&self, what: (Tag, Option<Fingerprint>), key: u64, not: &[EndpointId]) -> Option<Chosen> {
        let now = self.now();
        let mut state = self.state.lock();
        let State { balancer, members, .. } = &mut *state;
        let usable = |id: EndpointId| !not.contains(&id) && members.get(&id).is_some_and(|of| of.knows(what));
        let member = balancer.choose(key, now, usable)?;
        let of = members.get(&member)?;
        Some(Chosen { member, actor: of.actor.clone(), falls: of.falls })
    }

    pub(super) fn called(&self) {
        let now = self.now();
        self.state.lock().budget.called(now);
    }

    pub(super) fn may_retry(&self) -> bool {
        let now = self.now();
        self.state.lock().budget.retry(now)
    }

    pub(super) fn has_another(&self, tag: &Tag, tried: &[Chosen]) -> bool {
        let now = self.now();
        let state = self.state.lock();
        let tried = |id: EndpointId| tried.iter().any(|chosen| chosen.member == id);
        let usable = |id: EndpointId| !tried(id) && state.members.get(&id).is_some_and(|of| of.knows((*tag, None)));
        state.balancer.could_choose(now, usable)
    }

    /// Whether its process was gone since.
    pub(super) fn has_fallen(&self, chosen: &Chosen) -> bool {
        self.state.lock().members.get(&chosen.member).is_none_or(|of| of.falls != chosen.falls)
    }

    pub(super) fn ended(&self, member: EndpointId, outcome: Outcome) {
        self.tell(Event::Ended(member, outcome));
    }

    pub(super) fn name_of(&self, member: EndpointId) -> String {
        let state = self.state.lock();
        let name = state.members.get(&member).map(|of| of.actor.addr().path().to_owned());
        name.unwrap_or_else(|| "a member".to_owned())
    }

    /// Tries of a call that is answered: they end by themselves.
    pub(super) fn outlives(self: &Arc<Self>, mut rest: Rest) {
        if rest.is_empty() {
            return;
        }
        let address = Arc::clone(self);
        self.spawn(async move {
            while let Some((member, came)) = rest.next().await {
                address.ended(member, outcome(&came));
            }
        });
    }
}

/// A message on its way, with its place.
async fn with(place: Option<OwnedSemaphorePermit>, work: impl Future<Output = teneral_runtime::Later>) {
    let later = work.await;
    // Its place first: the address that goes on finds it.
    drop(place);
    later.go_on();
}

// ---- for whoever looks

impl Address {
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Nobody waits for it: it ends by itself.
        drop(self.all.0.handle.spawn(work));
    }

    /// Takes it off the list, unless another one has its name by now.
    pub(super) fn is_no_more(&self) {
        let mut all = self.all.0.all.lock();
        if all.get(self.this.addr()).is_some_and(|address| std::ptr::eq(Arc::as_ptr(address), self)) {
            all.remove(self.this.addr());
        }
    }

    fn members(&self) -> Vec<MemberSeen> {
        let now = self.now();
        let state = self.state.lock();
        let seen = |seen: BalancerSeen| {
            let of = state.members.get(&seen.endpoint)?;
            let ejected_for = match seen.standing {
                Standing::Ejected { until } => Some(until.saturating_sub(now)),
                _ => None,
            };
            let (address, member) = (self.this.addr().clone(), of.actor.addr().clone());
            let (slot, digest) = (of.slot + 1, of.module.digest());
            Some(MemberSeen { address, member, slot, digest, seen, ejected_for })
        };
        state.balancer.seen(now).into_iter().filter_map(seen).collect()
    }
}
