//! What comes back when the host does: actors that are defined, on the version that they had, from the state that they
//! were closed with.
//!
//! A definition is what it takes to start an actor again; the store keeps it from the moment the actor is defined until
//! it is undefined, and an upgrade writes its version anew. The state is written when the system is closed in order,
//! and is used once: after a crash a volatile actor begins anew from its arguments, never from a state that it has
//! outlived.

mod closing;
mod kept;
mod returning;

use crate::natives::unless_own;
use crate::served::Phase;
use crate::system::written;
use crate::{Launch, System, SystemError, ToAddr};
use kept::{definition, options};
use returning::{FirstTurn, UsedUp};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use teneral_contract::{Addr, Wire};
use teneral_runtime::{ActorOptions, ActorRef, Begin, Generation, Saved, Start, StartArgs, StartError, Status};
use teneral_store::{Definition, SavedState, Store};
use teneral_upgrade::report::{Now, Outcome};
use teneral_upgrade::{ActorReport, chain};
use tokio::sync::OwnedMutexGuard;

/// What became of a defined actor when its system was closed or opened.
#[derive(Debug)]
pub struct Defined<T> {
    /// Which one.
    pub addr: Addr,
    /// What became of it.
    pub outcome: Result<T, SystemError>,
}

/// How a [`System::stop`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// After its turn, or it did not run.
    InOrder,
    /// Its turn did not end in time: it was cut off.
    CutOff,
}

/// Start arguments as they were given.
#[derive(Debug)]
pub(crate) enum Given {
    /// As the actor's code reads them.
    Written(StartArgs),
    /// As JSON, which the actor's code writes anew.
    Json(String),
}

/// What an actor came back from.
#[derive(Debug)]
pub struct CameBack {
    /// The actor.
    pub actor: ActorRef,
    /// Whether from the state that it was closed with, and not from its arguments.
    pub with_state: bool,
    /// How its first turn did, as far as that was waited for.
    first_turn: FirstTurn,
}

impl System {
    /// As [`System::start_with`], and keeps what it takes to start the actor again: [`System::start_defined`] does that
    /// when the system is opened anew. An actor of a parent is its parent's affair and is not defined.
    ///
    /// # Errors
    /// As [`System::start_with`]; [`SystemError::Defined`] when it is defined already and does not run;
    /// [`SystemError::Store`], after which the actor is not started.
    ///
    /// A dropped future cancels the wait, not the definition.
    pub async fn define<A: Wire>(&self, addr: impl ToAddr, launch: Launch, args: A) -> Result<ActorRef, SystemError> {
        let addr = addr.to_addr()?;
        let args = written(&addr, &args)?;
        self.define_given(addr, launch, Given::Written(args), None).await
    }

    /// As [`System::define`], with start arguments that are JSON.
    ///
    /// # Errors
    /// As [`System::start_json`]; [`SystemError::Store`], after which the actor is not started.
    pub async fn define_json(&self, addr: impl ToAddr, launch: Launch, args: &str) -> Result<ActorRef, SystemError> {
        self.define_given(addr.to_addr()?, launch, Given::Json(args.to_owned()), None).await
    }

    /// The actor of that name, defined at its first use: one actor a customer, a session, a device, that nobody starts
    /// beforehand. Whoever comes at the same moment gets the same actor.
    ///
    /// # Errors
    /// As [`System::define`], but for an actor that has the name already, which is the answer; [`SystemError::Actors`]
    /// when [`Options::actors_max`](crate::Options::actors_max) run.
    pub async fn actor_or_define<A: Wire>(
        &self,
        addr: impl ToAddr,
        launch: Launch,
        args: A,
    ) -> Result<ActorRef, SystemError> {
        let addr = addr.to_addr()?;
        let args = written(&addr, &args)?;
        self.first_use(addr, launch, Given::Written(args)).await
    }

    /// As [`System::actor_or_define`].
    pub(crate) async fn first_use(&self, addr: Addr, launch: Launch, args: Given) -> Result<ActorRef, SystemError> {
        if let Some(running) = self.runtime().actor(&addr) {
            return Ok(running);
        }
        // One after the other: the store has one writer, and who waited finds the actor that was made meanwhile.
        let turn = Arc::clone(self.first_uses()).lock_owned().await;
        if let Some(running) = self.runtime().actor(&addr) {
            return Ok(running);
        }
        let actors_max = self.inner.actors_max;
        if self.runtime().actors_count() >= actors_max {
            return Err(SystemError::Actors { addr, actors_max });
        }
        match self.define_given(addr.clone(), launch, args, Some(turn)).await {
            // Somebody else starts it by its name at this moment.
            Err(SystemError::Start { source: StartError::Taken(_), .. }) => self.actor(&addr),
            defined => defined,
        }
    }

    /// On a task of its own, which holds the turn: whoever asks may go away between the start and the definition, and
    /// would leave an actor that serves and does not come back.
    async fn define_given(
        &self,
        addr: Addr,
        launch: Launch,
        args: Given,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Result<ActorRef, SystemError> {
        let system = self.clone();
        let defined = tokio::spawn(async move {
            let _turn = turn;
            let options = launch.options.clone();
            system.is_undefined(&addr).await?;
            let actor = match args {
                Given::Written(args) => system.start_written(addr, launch, args).await?,
                Given::Json(text) => system.start_json(&addr, launch, &text).await?,
            };
            system.keep(actor, &options).await
        });
        defined.await.map_err(|source| SystemError::Task { what: "a definition", source })?
    }

    /// Starts one defined actor that does not run, as [`System::start_defined`] does; one that runs is left as it is.
    ///
    /// # Errors
    /// [`SystemError::Actor`] when it is not defined, or not any more; why it does not start: its definition and its
    /// state are kept.
    pub async fn start_defined_actor(&self, addr: impl ToAddr) -> Result<ActorRef, SystemError> {
        self.start_defined_from(addr, Begin::State).await
    }

    /// The same, from the state that was kept or from the start arguments: then the state is forgotten once the actor
    /// is there.
    pub(crate) async fn start_defined_from(&self, addr: impl ToAddr, begin: Begin) -> Result<ActorRef, SystemError> {
        let addr = addr.to_addr()?;
        let (named, system) = (addr.clone(), self.clone());
        let started = self.blocking("the start of what is defined", move |_| {
            let definition = system.defined(&named)?;
            match (system.runtime().actor(&named), definition) {
                (Some(running), _) => Ok((running, true)),
                (None, Some(definition)) => {
                    let actor = system.try_bring_back(definition, begin, UsedUp::AtOnce)?.actor;
                    let _alone = system.defining();
                    Ok((actor, system.defined(&named)?.is_some()))
                }
                (None, None) => system.actor(&named).map(|actor| (actor, true)),
            }
        });
        let (actor, wanted) = started.await?;
        if !wanted {
            // It was given up while it came back.
            let _ = actor.stop("shutdown: it is not defined any more", Duration::ZERO).await;
        }
        // It may be down again by now.
        self.up(&addr).await
    }

    /// The definition of an actor, if it has one. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub(crate) fn defined(&self, addr: &Addr) -> Result<Option<Definition>, SystemError> {
        Ok(self.store().definition(addr)?)
    }

    /// Refuses to start anew what is defined and does not run: that would be the end of the state that is kept for it.
    async fn is_undefined(&self, addr: &Addr) -> Result<(), SystemError> {
        let (addr, system) = (addr.clone(), self.clone());
        self.blocking("a look", move |_| {
            match system.runtime().actor(&addr).is_none() && system.defined(&addr)?.is_some() {
                true => Err(system.is_down(addr)),
                false => Ok(()),
            }
        })
        .await
    }

    async fn keep(&self, actor: ActorRef, options: &ActorOptions) -> Result<ActorRef, SystemError> {
        let (started, options, system) = (actor.clone(), options.clone(), self.clone());
        let keep = move |_: &_| {
            let _alone = system.defining();
            // Stopped by somebody else before it was kept: kept now, it would come back against that order.
            match started.info().status {
                Status::Stopped { .. } => Ok(()),
                _ => {
                    let definition = definition(&started, &options);
                    // Taken away while it started: defined now, it could not come back.
                    system.library().release(definition.addr.kind(), &definition.version)?;
                    Ok(system.store().define(&definition)?)
                }
            }
        };
        if let Err(error) = self.blocking("a definition", keep).await {
            // Nobody was told of it yet.
            let _ = actor.stop("shutdown: it could not be defined", Duration::ZERO).await;
            return Err(error);
        }
        Ok(actor)
    }

    /// One at a time: whoever writes a definition has looked at what it is about, and that must still hold.
    pub(crate) fn defining(&self) -> MutexGuard<'_, ()> {
        self.definitions_lock().lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops an actor after its turn, waiting at most `timeout` before it is cut off, and forgets its definition and
    /// its state; also of one that is defined and does not run. An empty reason is a normal stop.
    ///
    /// # Errors
    /// [`SystemError::Actor`] when it neither runs nor is defined; [`SystemError::Own`] for one of the host's own;
    /// [`SystemError::Store`], after which it runs on.
    pub async fn stop(&self, addr: impl ToAddr, reason: &str, timeout: Duration) -> Result<Stopped, SystemError> {
        let addr = addr.to_addr()?;
        unless_own(&addr)?;
        let (named, system) = (addr.clone(), self.clone());
        // Forgotten first: an actor that the host brings back against an order would be worse than one it does not.
        let was_defined = self.blocking("a definition", move |_| system.forget(&named)).await?;
        // And looked for after that: one that comes back in this moment is here, or finds itself forgotten.
        let running = match self.actor(&addr) {
            Err(error) if !was_defined => return Err(error),
            running => running.ok(),
        };
        let Some(running) = running else { return Ok(Stopped::InOrder) };
        let cut_off = running.stop(reason, timeout).await.is_err();
        let system = self.clone();
        // Whoever started it may have written it down in between.
        let again = move |_: &_| {
            // One look: whoever is made anew in between writes itself down after it.
            let _alone = system.defining();
            match system.runtime().actor(&addr) {
                None => system.forget_alone(&addr).map(drop),
                Some(_) => Ok(()),
            }
        };
        self.blocking("a definition", again).await?;
        Ok(if cut_off { Stopped::CutOff } else { Stopped::InOrder })
    }

    /// Whether there was something to forget.
    fn forget(&self, addr: &Addr) -> Result<bool, SystemError> {
        let _alone = self.defining();
        self.forget_alone(addr)
    }

    /// The same of whoever writes definitions alone.
    fn forget_alone(&self, addr: &Addr) -> Result<bool, SystemError> {
        let defined = self.defined(addr)?.is_some();
        if defined {
            self.store().forget(addr)?;
            self.store().forget_state(addr)?;
            self.fallen().forget(addr);
        }
        Ok(defined)
    }

    /// Forgets a definition and the state that goes with it; the actor runs on until it is stopped. An unknown one is a
    /// no-op. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Address`], [`SystemError::Store`].
    pub fn undefine(&self, addr: impl ToAddr) -> Result<(), SystemError> {
        self.forget(&addr.to_addr()?).map(drop)
    }

    /// The actors that are defined, sorted by name, with the version that each is on. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn definitions(&self) -> Result<Vec<Definition>, SystemError> {
        Ok(self.store().definitions()?)
    }

    fn try_bring_back(&self, definition: Definition, begin: Begin, used_up: UsedUp) -> Result<CameBack, SystemError> {
        let (addr, version) = (definition.addr.clone(), definition.version.clone());
        let back = self.come_back(definition, begin, used_up);
        if let Err(error) = &back {
            self.fallen().did_not_come_back(&addr, &version, error);
        }
        back
    }

    fn come_back(&self, definition: Definition, begin: Begin, used_up: UsedUp) -> Result<CameBack, SystemError> {
        let Definition { addr, version, generation, args_shape, args, lives } = definition;
        let provider = self.library().open_again(addr.kind(), &version)?;
        let saved = self.store().saved_state(&addr)?;
        let args = StartArgs { shape: args_shape, bytes: args };
        let start = Start { addr: addr.clone(), provider, args, options: options(&lives) };
        let (schema, bytes) = match saved {
            Some((SavedState { schema, taken: false, .. }, bytes)) if begin != Begin::Args => (schema, bytes),
            taken => {
                let failed = |source| SystemError::Start { addr: addr.clone(), source };
                let actor = self.runtime().start_again(start, None).map_err(failed)?;
                let first_turn = match used_up {
                    UsedUp::WithAllButMarked => self.begun(&[&actor]),
                    UsedUp::WithAll | UsedUp::AtOnce => FirstTurn::InTime,
                };
                if taken.is_some() {
                    let why = match begin {
                        Begin::Args => "it was asked for: the state that was kept is forgotten",
                        _ => "the host ended after the actor began from its state, or in that moment",
                    };
                    tracing::warn!(actor = %addr, why, "an actor begins anew from its arguments");
                    if used_up == UsedUp::AtOnce {
                        self.drop_state(&addr);
                    }
                }
                return Ok(CameBack { actor, with_state: false, first_turn });
            }
        };
        let saved = Saved { schema, bytes, generation: Generation(generation) };
        self.begin_from(start, saved, used_up)
    }

    fn begin_from(&self, start: Start, saved: Saved, used_up: UsedUp) -> Result<CameBack, SystemError> {
        let addr = start.addr.clone();
        let failed = |source: StartError| SystemError::Start { addr: addr.clone(), source };
        let _coming = self.stage().comes(&addr);
        let came = |actor, first_turn| CameBack { actor, with_state: true, first_turn };
        if used_up == UsedUp::WithAll {
            let started = self.runtime().start_again(start, Some(saved));
            return started.map(|actor| came(actor, FirstTurn::InTime)).map_err(failed);
        }
        // Marked before the actor is there, and forgotten after: a disk that is full keeps it from coming, and after a
        // crash at any moment in between nobody can tell whether it has outlived the state. Then it begins from its
        // arguments, as after every crash, and that is said.
        self.store().take_state(&addr)?;
        let started = self.runtime().start_again(start, Some(saved));
        let first_turn = match (&started, used_up) {
            (Ok(actor), UsedUp::WithAllButMarked) => self.begun(&[actor]),
            _ => FirstTurn::InTime,
        };
        // Held until it is forgotten: who closes the system meanwhile keeps the actor's state after this, not before.
        let phase = self.stage().phase.borrow();
        match started {
            // Once: whatever it does from here on, that state knows nothing of it.
            Ok(_) if used_up == UsedUp::AtOnce && *phase != Phase::Stopping => self.drop_state(&addr),
            _ => {
                if let Err(error) = self.store().put_back_state(&addr) {
                    let error = chain(&error);
                    tracing::error!(actor = %addr, error, "a state that nobody used stays marked as used");
                }
            }
        }
        drop(phase);
        started.map(|actor| came(actor, first_turn)).map_err(failed)
    }

    /// Forgets a state that is marked as taken. One that stays costs room; nobody uses it.
    fn drop_state(&self, addr: &Addr) {
        if let Err(error) = self.store().forget_state(addr) {
            let error = chain(&error);
            tracing::warn!(actor = %addr, error, "a state that was used is not forgotten yet");
        }
    }

    /// Writes down the versions that an upgrade has moved defined actors to. What cannot be written is to be written
    /// later, when they may be elsewhere: the actor would come back on the version before.
    pub(crate) fn redefine(&self, actors: &[ActorReport]) -> Result<(), SystemError> {
        let moved = actors.iter().filter(|actor| actor.outcome == Outcome::Committed);
        let mut moved = moved.peekable();
        if moved.peek().is_none() {
            return Ok(());
        }
        let _alone = self.defining();
        for actor in moved {
            let Some(definition) = self.defined(&actor.actor)? else { continue };
            let Now::Serving { version, generation } = &actor.now else { continue };
            let (version, generation) = match self.runtime().actor(&actor.actor).map(|running| running.info()) {
                // Somebody has moved it on by now, or taken it back: what it runs stands, not what the report says.
                Some(info) => (info.version, info.generation.0),
                None if definition.generation > *generation => continue,
                None => (version.clone(), *generation),
            };
            self.store().define(&Definition { version, generation, ..definition })?;
        }
        Ok(())
    }
}
