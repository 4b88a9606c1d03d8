//! Who keeps an address's members: starts who is missing, sees who falls, begins anew who does not know that it is
//! gone.
//!
//! What happens to members it hears from the runtime's events, and looks besides whether their processes are there,
//! since an actor that has nothing to do is not told of the end of its process. A process that is gone is a fact, and
//! nobody is sent there; how calls end is an opinion, which the balancer has.

use super::SpreadPolicy;
use super::address::{Address, Member};
use super::front::Front;
use crate::balance::{EndpointId, Event, Health, Told};
use crate::client::Module;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::ports::Provider;
use teneral_runtime::{
    ActorOptions, ActorRef, Begin, EventStream, Intensity, Restart, RestartState, Seen, Start, Status, What,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often is looked whether the members' processes are there.
const LOOK: Duration = Duration::from_millis(100);

/// How long after a member that did not start the next one is tried, the first time and at most.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long a member of a version that serves no more may take for what it accepted, and how often is looked.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// How long a member that has nothing to do may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps an address's members until it is no more.
pub(super) async fn keep(address: Arc<Address>, mut events: EventStream) {
    let (mut work, mut retry, mut wait) = (address.work.subscribe(), RETRY_MIN, Duration::ZERO);
    // Beside what is heard: a member that takes its time to start keeps nobody from being seen to fall.
    let mut filling: Option<JoinHandle<Result<(), String>>> = None;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !address.is_over() {
        if filling.is_none() && wait.is_zero() && !address.open_slots().is_empty() {
            filling = Some(tokio::spawn(Arc::clone(&address).fill()));
        }
        tokio::select! {
            filled = over(&mut filling) => {
                (wait, retry) = match filled {
                    Ok(()) => (Duration::ZERO, RETRY_MIN),
                    Err(why) => {
                        let (actor, again) = (address.this.addr(), retry);
                        tracing::warn!(%actor, why, ?again, "a member does not start, and is tried again");
                        (retry, (retry * 2).min(RETRY_MAX))
                    }
                };
            }
            seen = events.next() => match seen {
                Some(Seen::Event(event)) => address.hear(&event.what),
                Some(Seen::Lagged(_)) => address.look(),
                None => break,
            },
            _ = looks.tick() => {
                address.look();
                wait = wait.saturating_sub(LOOK);
            }
            _ = work.changed() => wait = Duration::ZERO,
        }
    }
    address.end();
}

/// What came of starting members, if somebody is at it.
async fn over(filling: &mut Option<JoinHandle<Result<(), String>>>) -> Result<(), String> {
    let Some(at_work) = filling else { return std::future::pending().await };
    let filled = at_work.await;
    *filling = None;
    filled.unwrap_or_else(|error| Err(error.to_string()))
}

/// Whether it has something to do that it accepted.
fn is_at_work(actor: &ActorRef) -> bool {
    let info = actor.info();
    info.queued_messages > 0 || info.outbox_effects > 0 || !actor.is_at_rest()
}

impl Address {
    pub(super) fn tell(&self, event: Event) {
        let now = self.now();
        let told = self.state.lock().balancer.on(event, now);
        for told in told {
            match told {
                Told::Emptied(member) => self.stop(member),
                Told::Ejected(member, until) => {
                    let (member, for_) = (self.name_of(member), until.saturating_sub(now));
                    tracing::warn!(actor = %self.this.addr(), member, ?for_, "a member whose calls fail gets none");
                }
                // There are as many as there are slots.
                Told::TooMany(_) => {}
            }
        }
    }

    fn open_slots(&self) -> Vec<usize> {
        self.state.lock().open_slots()
    }

    fn changed(&self) {
        self.changed.send_replace(());
    }

    /// Starts who is missing, side by side; whoever was there of another version drains then. One that does not start
    /// holds up no other.
    async fn fill(self: Arc<Self>) -> Result<(), String> {
        let front = Arc::clone(&self.state.lock().front);
        let starts = self.open_slots().into_iter().filter_map(|slot| {
            let module = front.slots().get(slot).cloned()?;
            let mut state = self.state.lock();
            state.latest += 1;
            Some(Arc::clone(&self).begin(slot, state.latest, (Arc::clone(&front), module)))
        });
        let starts: Vec<_> = starts.collect();
        let started = join_all(starts).await.into_iter().collect();
        // Another version serves by now: its members come first.
        if !Arc::ptr_eq(&self.state.lock().front, &front) {
            self.work.send_replace(());
            return Ok(());
        }
        started
    }

    async fn begin(
        self: Arc<Self>,
        slot: usize,
        number: u64,
        (front, module): (Arc<Front>, Arc<Module>),
    ) -> Result<(), String> {
        let (start, host, of) = (self.member(number, &module)?, Arc::clone(&self.host), Arc::clone(&module));
        let started = tokio::task::spawn_blocking(move || {
            // Before it is an actor's affair: one that takes too long there puts its version in quarantine.
            of.process().map_err(|error| error.to_string())?;
            host.start(start)
        });
        let actor = started.await.map_err(|error| error.to_string())??;
        self.joins(EndpointId(number), actor, module, (slot, front.policy()));
        Ok(())
    }

    fn member(&self, number: u64, module: &Arc<Module>) -> Result<Start, String> {
        let path = format!("{}#{number}", self.this.addr());
        let addr = Addr::new(&path).map_err(|error| error.to_string())?;
        let options = ActorOptions {
            restart: Restart::Permanent,
            restart_state: RestartState::Init,
            // It has no say over its address: it is begun anew, and gets no calls until it is there.
            intensity: Intensity { restarts_max: u32::MAX, period: Duration::from_secs(1) },
            parent: Some(self.this.addr().clone()),
        };
        Ok(Start { addr, provider: Arc::clone(module) as Arc<dyn Provider>, args: self.this.start_args(), options })
    }

    fn joins(&self, id: EndpointId, actor: ActorRef, module: Arc<Module>, (slot, policy): (usize, &SpreadPolicy)) {
        let before: Vec<EndpointId> = {
            let mut state = self.state.lock();
            let others = state.members.iter_mut().filter(|(_, of)| of.slot == slot && !of.drains);
            let before = others.map(|(id, of)| {
                of.drains = true;
                *id
            });
            let before = before.collect();
            let starts = module.glance().map_or(0, |glance| glance.starts);
            let (contract, falls) = (Arc::clone(module.contract()), 0);
            let (is_gone, drains, mends) = (false, false, false);
            let member = Member { actor, module, contract, slot, falls, starts, is_gone, drains, mends };
            state.members.insert(id, member);
            before
        };
        let weight = policy.weights.get(slot).copied().unwrap_or(1);
        self.tell(Event::Joined { endpoint: id, name: format!("slot {}", slot + 1), weight });
        before.into_iter().for_each(|id| self.tell(Event::Drains(id)));
        self.changed();
    }

    /// No call is pending at a member that drains: it stops when it has handled what it accepted besides.
    fn stop(&self, member: EndpointId) {
        let Some(actor) = self.state.lock().members.get(&member).map(|of| of.actor.clone()) else { return };
        self.spawn(async move {
            let until = Instant::now() + DRAIN_TIMEOUT;
            while is_at_work(&actor) && Instant::now() < until {
                sleep(DRAIN_LOOK).await;
            }
            drop(actor.stop("shutdown: another version serves", STOP_TIMEOUT).await);
        });
    }

    /// Something happened to an actor.
    fn hear(&self, what: &What) {
        match what {
            What::Failed(report) => self.may_have_fallen(&report.addr),
            What::Suspended { addr, .. } => self.may_have_fallen(addr),
            What::Restarted { addr, .. } => self.is_well(addr),
            What::Stopped { addr, .. } => self.left(addr),
            _ => {}
        }
    }

    /// A member failed: whether its process is gone, or only its turn.
    fn may_have_fallen(&self, addr: &Addr) {
        let fallen = {
            let mut state = self.state.lock();
            let Some(id) = state.member_named(addr) else { return };
            let Some(of) = state.members.get_mut(&id).filter(|of| !of.is_gone && of.has_lost_its_process()) else {
                return;
            };
            (of.is_gone, of.falls) = (true, of.falls + 1);
            id
        };
        self.tell(Event::Looked(fallen, Health::Gone));
        self.changed();
    }

    fn is_well(&self, addr: &Addr) {
        let well = {
            let mut state = self.state.lock();
            let Some(id) = state.member_named(addr) else { return };
            let Some(of) = state.members.get_mut(&id) else { return };
            of.starts = of.module.glance().map_or(of.starts, |glance| glance.starts);
            if !std::mem::take(&mut of.is_gone) {
                return;
            }
            id
        };
        self.tell(Event::Looked(well, Health::Serving));
        self.changed();
    }

    fn left(&self, addr: &Addr) {
        let left = {
            let mut state = self.state.lock();
            let Some(id) = state.member_named(addr) else { return };
            state.members.remove(&id);
            id
        };
        self.tell(Event::Left(left));
        self.changed();
        self.work.send_replace(());
    }

    /// Looks at all members: what was not heard, and what nobody says.
    fn look(self: &Arc<Self>) {
        let all: Vec<ActorRef> = self.state.lock().members.values().map(|of| of.actor.clone()).collect();
        for actor in all {
            match actor.info().status {
                Status::Stopped { .. } => self.left(actor.addr()),
                // Its supervisor is at it.
                Status::Suspended { .. } => self.may_have_fallen(actor.addr()),
                Status::Running | Status::Paused { .. } => {
                    self.may_have_fallen(actor.addr());
                    self.mend(&actor);
                }
            }
        }
    }

    /// One whose process is gone and that has nothing to do does not know: it is begun anew. Whoever has something to
    /// do learns of it by that, and its supervisor is not to be got in the way of.
    fn mend(self: &Arc<Self>, actor: &ActorRef) {
        if is_at_work(actor) {
            return;
        }
        {
            let mut state = self.state.lock();
            let Some(id) = state.member_named(actor.addr()) else { return };
            let Some(of) = state.members.get_mut(&id).filter(|of| of.is_gone && !of.mends && !of.drains) else {
                return;
            };
            of.mends = true;
        }
        let (address, actor) = (Arc::clone(self), actor.clone());
        self.spawn(async move {
            let restarts = actor.clone();
            // Refused: it has learnt of it meanwhile, and its supervisor begins it anew.
            let begun = tokio::task::spawn_blocking(move || restarts.restart(Begin::Args)).await;
            {
                let mut state = address.state.lock();
                if let Some(of) = state.member_named(actor.addr()).and_then(|id| state.members.get_mut(&id)) {
                    of.mends = false;
                }
            }
            if matches!(begun, Ok(Ok(()))) {
                address.is_well(actor.addr());
            }
        });
    }

    /// The address is no more: who waits hears so, and its members, which are its children, have stopped.
    fn end(&self) {
        self.changed();
        self.is_no_more();
        self.state.lock().members.clear();
    }
}

impl Member {
    /// Whether the process that it was well with is there no more.
    fn has_lost_its_process(&self) -> bool {
        // None: another one is being started at this moment.
        self.module.glance().is_none_or(|glance| glance.gone || glance.starts != self.starts)
    }
}
