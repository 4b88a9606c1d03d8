//! How an actor comes to be: its name first, then its instance, then its place among the others.

use super::Shared;
use crate::cell::checkpoint::Base;
use crate::cell::extras::Snapshot;
use crate::cell::{Birth, Cell, supervised};
use crate::config::{Generation, RestartState, Saved, Start, StartArgs};
use crate::error::StartError;
use crate::events::What;
use crate::ports::{Behaviour, Body, Fault, FaultKind, Provider, Why};
use crate::spawn::makers::NotMade;
use crate::supervision::{ChildId, ChildSpec, Ending, Strategy};
use dashmap::Entry;
use std::sync::Arc;
use teneral_contract::Addr;

impl Shared {
    /// See [`Runtime::start`].
    pub(crate) fn start(self: &Arc<Self>, start: Start) -> Result<Arc<Cell>, StartError> {
        let parent = match &start.options.parent {
            Some(parent) => {
                let cell = self.cell(parent);
                let child = cell.and_then(|cell| cell.child.get().copied());
                child.ok_or_else(|| StartError::NoParent(parent.clone()))?
            }
            None => ChildId::ROOT,
        };
        self.start_under(parent, start)
    }

    /// The same, as a child of that one, whoever has its name.
    pub(crate) fn start_under(self: &Arc<Self>, parent: ChildId, start: Start) -> Result<Arc<Cell>, StartError> {
        if let Some(why) = self.quarantined(start.provider.digest()) {
            return Err(StartError::Quarantined { version: start.provider.version().to_string(), why });
        }
        self.start_of_any(parent, start)
    }

    /// The same, also of code that is in quarantine.
    pub(crate) fn start_of_any(self: &Arc<Self>, parent: ChildId, start: Start) -> Result<Arc<Cell>, StartError> {
        let _name = self.reserve(&start.addr, &*start.provider, &start.args)?;
        let instance = self.make(&start.provider, start.args.clone())?;
        self.place(parent, start, instance, (Generation(0), Why::Fresh, None))
    }

    /// See [`Runtime::start_again`].
    pub(crate) fn start_saved(self: &Arc<Self>, start: Start, saved: Saved) -> Result<Arc<Cell>, StartError> {
        let _name = self.reserve(&start.addr, &*start.provider, &start.args)?;
        let Saved { schema, bytes, generation } = saved;
        let (code, bytes) = (Arc::clone(&start.provider), Arc::new(bytes));
        let state = Arc::clone(&bytes);
        let job = move || crate::ports::guarded(|| code.restore(schema, &state));
        let made = self.made_in_time(&start.provider, "restore did not return", job)?;
        let instance = made.map_err(StartError::Init)?;
        let keeps = start.options.restart_state == RestartState::LastSnapshot || start.provider.checkpoints().is_some();
        let snapshot = keeps.then(|| Arc::new(Snapshot { schema, bytes: Arc::unwrap_or_clone(bytes) }));
        self.place(ChildId::ROOT, start, instance, (generation, Why::Restarted, snapshot))
    }

    /// Gives an instance its cell, its place in the tree and its name. The caller keeps the name for it.
    fn place(
        self: &Arc<Self>,
        parent: ChildId,
        start: Start,
        instance: Box<dyn Behaviour>,
        (generation, why, snapshot): (Generation, Why, Option<Arc<Snapshot>>),
    ) -> Result<Arc<Cell>, StartError> {
        let Start { addr, provider, args, options } = start;
        let spec = ChildSpec { restart: options.restart, intensity: options.intensity, strategy: Strategy::OneForOne };
        let version = provider.version().clone();
        let (instance, code) = ((instance, Arc::clone(&provider), (generation, why)), provider);
        let cell = Arc::new(Cell::new(Arc::clone(self), addr.clone(), instance, Birth { args, options }));
        let handle = Arc::new(supervised::Handle(Arc::clone(&cell)));
        let child = self.supervision().adopt(parent, spec, handle).map_err(|_| match &cell.birth.options.parent {
            Some(parent) => StartError::NoParent(parent.clone()),
            None => StartError::ShuttingDown,
        })?;
        cell.keep_from(&*code, snapshot.clone().map_or(Base::Args, Base::State));
        if let Some(snapshot) = snapshot.filter(|_| cell.birth.options.restart_state == RestartState::LastSnapshot) {
            cell.extras().snapshot = Some(snapshot);
        }
        // Set once, here: nobody else has the cell yet.
        let _ = cell.child.set(child);
        self.names.insert(addr.id(), Arc::clone(&cell));
        if self.is_closed() {
            // The runtime ended meanwhile, and it may have passed this name already.
            cell.retire(Ending::Shutdown);
            return Err(StartError::ShuttingDown);
        }
        self.events.emit(What::Started { addr, version, generation });
        self.executor.schedule(Arc::clone(&cell));
        Ok(cell)
    }

    /// Checks what can be checked without running code, and keeps the name until the actor is made.
    fn reserve(
        self: &Arc<Self>,
        addr: &Addr,
        provider: &dyn Provider,
        args: &StartArgs,
    ) -> Result<Reserved, StartError> {
        if self.is_closed() {
            return Err(StartError::ShuttingDown);
        }
        if addr.kind() != provider.kind() {
            return Err(StartError::Kind { addr: addr.clone(), kind: provider.kind().to_owned() });
        }
        let reads = &provider.manifest().args;
        if reads.fingerprint != args.shape && !reads.also.contains(&args.shape) {
            let (found, expected) = (args.shape.to_string(), reads.fingerprint.to_string());
            return Err(StartError::ArgsShape { found, expected });
        }
        let mut starting = self.starting.lock();
        if let Entry::Occupied(taken) = self.names.entry(addr.id()) {
            let other = taken.get().addr.clone();
            return Err(if other == *addr {
                StartError::Taken(other)
            } else {
                StartError::Collision { addr: addr.clone(), other }
            });
        }
        if !starting.insert(addr.id()) {
            return Err(StartError::Taken(addr.clone()));
        }
        Ok(Reserved { shared: Arc::clone(self), id: addr.id() })
    }

    /// Makes an instance on a thread that may be left behind.
    fn make(&self, provider: &Arc<dyn Provider>, args: StartArgs) -> Result<Box<dyn Behaviour>, StartError> {
        let code = Arc::clone(provider);
        let job = move || crate::ports::guarded(|| code.create(Body { shape: args.shape, bytes: &args.bytes }));
        self.made_in_time(provider, "init did not return", job)?.map_err(StartError::Init)
    }

    /// The same, of an actor that is there.
    pub(crate) fn make_in_time<T: Send + 'static>(
        &self,
        provider: &Arc<dyn Provider>,
        hung: &str,
        job: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let made = self.made_in_time(provider, hung, job);
        made.unwrap_or_else(|error| Err(Fault::new(FaultKind::Limit, error.to_string())))
    }

    fn made_in_time<T: Send + 'static>(
        &self,
        provider: &Arc<dyn Provider>,
        hung: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StartError> {
        let timeout = self.config.start_timeout;
        self.makers.make(timeout, job).map_err(|not| match not {
            NotMade::Late => {
                self.quarantine(&**provider, hung);
                StartError::Timeout(timeout)
            }
            NotMade::NoThread(why) => StartError::NoThread(why),
        })
    }
}

/// A name whose actor is being made.
struct Reserved {
    shared: Arc<Shared>,
    id: u128,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.starting.lock().remove(&self.id);
    }
}
