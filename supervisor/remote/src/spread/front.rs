//! The code of a kind that is spread: to the runtime a provider, whose instances are balancers.

use super::SpreadPolicy;
use super::address::{Address, Addresses};
use super::call::Job;
use crate::balance::key_of;
use crate::client::Module;
use std::fmt;
use std::sync::{Arc, Weak};
use teneral_contract::{Contract, Digest, Manifest};
use teneral_runtime::ports::{Behaviour, Body, Call, Cause, Effects, Fault, FaultKind, Json, JsonDone, Provider, Why};

/// One version of a kind that is spread, with the modules that serve it: one a slot.
pub struct Front {
    /// Itself, for its instances.
    this: Weak<Self>,
    slots: Vec<Arc<Module>>,
    /// Any of them: what it says of the version, all say.
    first: Arc<Module>,
    policy: Arc<SpreadPolicy>,
    addresses: Addresses,
    state_bytes_max: usize,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Front({} {}, {} slots)", self.first.kind(), self.first.version(), self.slots.len())
    }
}

impl Front {
    /// The version that these modules serve. `None`: there is none. A state that is larger than `state_bytes_max` is
    /// refused.
    #[must_use]
    pub fn new(
        slots: Vec<Arc<Module>>,
        policy: Arc<SpreadPolicy>,
        addresses: Addresses,
        state_bytes_max: usize,
    ) -> Option<Arc<Self>> {
        let first = Arc::clone(slots.first()?);
        Some(Arc::new_cyclic(|this| Self { this: Weak::clone(this), slots, first, policy, addresses, state_bytes_max }))
    }

    /// Its modules, by slot.
    #[must_use]
    pub fn slots(&self) -> &[Arc<Module>] {
        &self.slots
    }

    pub(super) const fn policy(&self) -> &Arc<SpreadPolicy> {
        &self.policy
    }

    /// Has any of its modules do what all of them can, and what may be done twice: the one that has least to do. One
    /// whose process ends over it, or has none, is passed over.
    fn any<T>(&self, act: impl Fn(&Module) -> Result<T, Fault>) -> Result<T, Fault> {
        let serves = |module: &Module| module.glance().is_some_and(|glance| !glance.gone);
        let mut modules: Vec<&Arc<Module>> = self.slots.iter().collect();
        // None: its process is being started.
        modules.sort_by_cached_key(|module| module.glance().map_or((true, 0), |of| (of.gone, of.turns_away)));
        let mut done = Err(Fault::new(FaultKind::Failed, "nothing serves this kind"));
        for module in modules {
            done = act(module);
            match &done {
                Err(fault) if fault.kind == FaultKind::Failed && !serves(module) => {}
                _ => break,
            }
        }
        done
    }

    fn balanced(&self, schema: u32, state: Vec<u8>) -> Result<Box<dyn Behaviour>, Fault> {
        let front = self.this.upgrade().ok_or_else(|| Fault::new(FaultKind::Failed, "nobody needs the kind"))?;
        Ok(Box::new(Balanced { front, schema, state, address: None }))
    }
}

impl Provider for Front {
    fn manifest(&self) -> &Manifest {
        self.first.manifest()
    }

    fn contract(&self) -> &Arc<Contract> {
        self.first.contract()
    }

    fn digest(&self) -> Digest {
        self.first.digest()
    }

    fn is_elsewhere(&self) -> bool {
        true
    }

    fn create(&self, args: Body<'_>) -> Result<Box<dyn Behaviour>, Fault> {
        // Made once and given up: what its members cannot begin with is refused here, where somebody waits for it.
        let state = self.any(|module| module.create(args)?.save(self.state_bytes_max))?;
        self.balanced(self.schema(), state)
    }

    fn restore(&self, schema: u32, state: &[u8]) -> Result<Box<dyn Behaviour>, Fault> {
        // Nobody is asked: the address is paused meanwhile.
        self.balanced(schema, state.to_vec())
    }

    fn downgrade(&self, state: &[u8], to_schema: u32) -> Result<Vec<u8>, Fault> {
        self.any(|module| module.downgrade(state, to_schema))
    }

    fn json(&self, job: Json<'_>) -> Result<JsonDone, Fault> {
        self.any(|module| module.json(job))
    }
}

/// What runs at the address: it hands on what it is told.
struct Balanced {
    front: Arc<Front>,
    /// What a member begins with: it never changes, since nothing is handled here. It is there so that an upgrade finds
    /// what it finds of any actor, and migrates and rehearses it.
    state: Vec<u8>,
    /// In which schema that is: of this version, or of one before.
    schema: u32,
    address: Option<Arc<Address>>,
}

impl Behaviour for Balanced {
    fn started(&mut self, _: Why, _: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        let this = effects.later(None)?.this();
        let address = self.front.addresses.serve(this, &self.front);
        self.address = Some(address.map_err(|why| Fault::new(FaultKind::Failed, why))?);
        Ok(())
    }

    fn handle(&mut self, call: &Call<'_>, effects: &mut dyn Effects) -> Result<(), Fault> {
        // It asks nobody and has no timers: whatever else comes is of a life before.
        let (Cause::Message, Some(address)) = (&call.cause, &self.address) else { return Ok(()) };
        let name = self.front.contract().name(call.index);
        let is_idempotent = name.is_some_and(|name| self.front.policy.idempotent.contains(name));
        let later = effects.later(call.sender)?;
        let body = call.body.to_vec();
        let key = key_of(&[&call.tag.variant.to_le_bytes(), call.body].concat());
        address.hand_on(Job { later, tag: call.tag, body, key, is_idempotent });
        Ok(())
    }

    fn save(&self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let state = match self.schema == self.front.schema() {
            true => self.state.clone(),
            false => self.front.any(|module| module.restore(self.schema, &self.state)?.save(bytes_max))?,
        };
        if state.len() > bytes_max {
            let text = format!("{} bytes, over the limit of {bytes_max}", state.len());
            return Err(Fault::new(FaultKind::Limit, text));
        }
        Ok(state)
    }
}
