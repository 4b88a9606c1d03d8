//! The processes of one artifact: one, or of a kind that is spread one a slot, with what stands before them.

use super::remote::serves_another;
use super::{Place, Processes, Running};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use teneral_contract::{Addr, Digest};
use teneral_loader::{Policy, Verified};
use teneral_remote::client::{Launcher, Module, ModuleError};
use teneral_remote::spread::{Addresses, Front, Host, MemberSeen, SpreadPolicy};
use teneral_runtime::ports::Provider;
use teneral_upgrade::nearest::hint;
use teneral_upgrade::{Refused, chain};

/// The module of a slot, and where it writes.
type Readied = (Option<usize>, Arc<Module>, PathBuf);

impl Processes {
    /// What addresses of kinds that are spread start their members with.
    pub(crate) fn serve_for(&self, host: Arc<dyn Host>) {
        // Once, by whoever opens the system.
        let _ = self.host.set(host);
    }

    /// How a kind is spread, if it is.
    pub(crate) fn spread(&self, kind: &str) -> Option<&Arc<SpreadPolicy>> {
        self.spreads.get(kind).filter(|_| self.place(kind) != Place::InProcess)
    }

    /// The code of that artifact, if somebody needs it already.
    pub(crate) fn code(&self, kind: &str, digest: Digest) -> Option<Arc<dyn Provider>> {
        if self.spread(kind).is_some() {
            let fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
            return fronts.get(&digest).and_then(Weak::upgrade).map(|front| front as Arc<dyn Provider>);
        }
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (module, _) = running.get(&(digest, None))?;
        module.upgrade().map(|module| module as Arc<dyn Provider>)
    }

    /// The code of what was checked, with its processes, which are ready.
    pub(crate) fn start(&self, verified: &Verified, policy: &Policy) -> Result<Arc<dyn Provider>, Refused> {
        let (kind, digest) = (&verified.manifest().kind, verified.digest());
        let Some(spread) = self.spread(kind) else {
            let mut modules = self.start_slots(verified, policy, &[None])?;
            return modules
                .pop()
                .map(|module| module as Arc<dyn Provider>)
                .ok_or_else(|| self.refused(&nothing(), None));
        };
        // Held while they start: two who need them at once share them.
        let mut fronts = self.fronts.lock().unwrap_or_else(PoisonError::into_inner);
        fronts.retain(|_, front| front.strong_count() > 0);
        if let Some(front) = fronts.get(&digest).and_then(Weak::upgrade) {
            return Ok(front);
        }
        let hosts = if self.place(kind) == Place::Remote { self.endpoints(kind)?.len() } else { 1 };
        let slots: Vec<Option<usize>> = (1..=spread.instances * hosts).map(Some).collect();
        let modules = self.start_slots(verified, policy, &slots)?;
        let addresses = self.addresses().map_err(|error| self.refused(&ModuleError::Socket(error), None))?;
        // As many as there are, wherever they are.
        let spread = Arc::new(SpreadPolicy { instances: slots.len(), ..SpreadPolicy::clone(spread) });
        let front = Front::new(modules, Arc::clone(&spread), addresses, self.state_bytes_max);
        let front = front.ok_or_else(|| self.refused(&nothing(), None))?;
        self.warn_of_names(&front, &spread);
        fronts.insert(digest, Arc::downgrade(&front));
        Ok(front)
    }

    /// The modules of these slots, each with its process.
    fn start_slots(
        &self,
        verified: &Verified,
        policy: &Policy,
        slots: &[Option<usize>],
    ) -> Result<Vec<Arc<Module>>, Refused> {
        let (digest, io) = (verified.digest(), |error| self.refused(&ModuleError::Socket(error), None));
        // Held while they start: two who need one at once share it.
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, (module, _)| module.strong_count() > 0);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir).map_err(io)?;
        let manifest = self.placed(verified.manifest().clone());
        let mut modules = Vec::with_capacity(slots.len());
        for slot in slots {
            let output = self.output(&manifest.kind, &manifest.version, *slot);
            let module = match running.get(&(digest, *slot)).and_then(|(module, _)| module.upgrade()) {
                Some(module) => module,
                None => {
                    let launcher = self.launcher(verified, policy, (*slot, output.clone()))?;
                    let module = Module::new(manifest.clone(), digest, self.modules().map_err(io)?, launcher);
                    // A member keeps nothing that its next process could go on from.
                    Arc::new(module.kept(if slot.is_none() { self.checkpoints(verified.manifest()) } else { None }))
                }
            };
            modules.push((*slot, module, output));
        }
        self.all_ready((&manifest.kind, digest), &modules, &running)?;
        for (slot, module, output) in &modules {
            running.insert((digest, *slot), (Arc::downgrade(module), output.clone()));
        }
        Ok(modules.into_iter().map(|(_, module, _)| module).collect())
    }

    /// How the module of a slot comes to its processes: here, or from a host on another machine.
    fn launcher(
        &self,
        verified: &Verified,
        policy: &Policy,
        (slot, output): (Option<usize>, PathBuf),
    ) -> Result<Box<dyn Launcher>, Refused> {
        let kind = &verified.manifest().kind;
        if self.place(kind) != Place::Remote {
            return Ok(Box::new(self.again(verified, policy, output)?));
        }
        let endpoints = self.endpoints(kind)?;
        // The slots of one host lie beside each other.
        let at = slot.zip(self.spread(kind)).map(|(slot, spread)| (slot - 1) / spread.instances.max(1));
        let own = at.and_then(|at| endpoints.get(at)).map_or(endpoints, std::slice::from_ref);
        Ok(Box::new(self.there(verified, own, (slot, output))?))
    }

    /// Waits until each has a process that is ready, all at once. Of hosts on other machines not each need be there:
    /// what is not waits, and is shown; but one that serves this kind, and has not this version, would be left behind.
    fn all_ready(&self, (kind, digest): (&str, Digest), modules: &[Readied], running: &Running) -> Result<(), Refused> {
        let started: Vec<Result<(), ModuleError>> = thread::scope(|scope| {
            let starts: Vec<_> = modules.iter().map(|(_, of, _)| scope.spawn(|| of.process().map(drop))).collect();
            let ended = || Err(ModuleError::Socket(io::Error::other("the thread that started it broke")));
            starts.into_iter().map(|start| start.join().unwrap_or_else(|_| ended())).collect()
        });
        let is_remote = self.place(kind) == Place::Remote;
        let some = started.iter().any(Result::is_ok);
        for ((_, _, output), started) in modules.iter().zip(started) {
            let Err(error) = started else { continue };
            let is_left_behind = match &error {
                ModuleError::Absent { endpoint, .. } => serves_another(running, (kind, digest), endpoint),
                _ => false,
            };
            if !is_remote || !some || is_left_behind {
                return Err(self.refused(&error, Some(output)));
            }
            let (code, cause) = (error.code(), chain(&error));
            tracing::warn!(kind, code, cause, "a host is not there, and is tried again");
        }
        Ok(())
    }

    fn addresses(&self) -> io::Result<Addresses> {
        if let Some(addresses) = self.addresses.get() {
            return Ok(addresses.clone());
        }
        let made = Addresses::new(self.modules()?.handle().clone());
        if let Some(host) = self.host.get() {
            made.serve_for(Arc::clone(host));
        }
        Ok(self.addresses.get_or_init(|| made).clone())
    }

    /// A name of the configuration that no message of the code has is a slip, and would be found out when a call fails.
    fn warn_of_names(&self, front: &Front, policy: &SpreadPolicy) {
        let (kind, version) = (front.kind(), front.version());
        let known: Vec<&str> = front.contract().names().collect();
        for name in policy.idempotent.iter().filter(|name| !known.contains(&name.as_str())) {
            let hint = hint(name, known.iter().copied());
            tracing::warn!(kind, %version, message = name, hint, "kinds.{kind}.idempotent names no message of its");
        }
    }

    /// The members of all addresses of kinds that are spread.
    pub(crate) fn members(&self) -> Vec<MemberSeen> {
        self.addresses.get().map(Addresses::members).unwrap_or_default()
    }

    /// Who serves an address of a kind that is spread; `None` for any other actor.
    pub(crate) fn members_of(&self, address: &Addr) -> Option<Vec<Addr>> {
        self.addresses.get()?.members_of(address)
    }

    /// The address that an actor is a member of, if it is one.
    pub(crate) fn address_of(&self, addr: &Addr) -> Option<Addr> {
        self.addresses.get()?.of_member(addr)
    }
}

fn nothing() -> ModuleError {
    ModuleError::Socket(io::Error::other("nothing was started"))
}
