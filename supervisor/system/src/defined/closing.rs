//! The end in order: mailboxes are emptied, states kept, actors stopped, and all of that within one timeout.
//!
//! The states are kept at the same time: an actor whose turn or whose `save` does not return has the timeout for
//! itself, and takes nothing of it from anybody else.

use crate::defined::Defined;
use crate::served::Phase;
use crate::{System, SystemError};
use futures_util::future::join_all;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use teneral_runtime::{ActorRef, LeaseRequest, PauseRefused, PauseRequest, Quiesced, StateError, StateRead};
use teneral_store::{Definition, SavedState, Store, digest_of};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who pauses actors that are being closed.
const CLOSING: &str = "close";

/// How long between two looks at an actor that is to come to rest.
const LOOK: Duration = Duration::from_millis(2);

/// States that are in memory at once, on their way to the disk.
const STATES_MAX: usize = 64;

/// What all who are saved at one time have in common.
struct Saving {
    begun: Instant,
    timeout: Duration,
    /// One for each state that may be in memory.
    places: Semaphore,
}

/// What came of saving one actor.
struct Saved {
    closed: Defined<()>,
    /// It handles nothing as long as this is kept.
    _at_rest: Option<Quiesced>,
}

impl System {
    /// Closes the system in order, within `timeout`: ends what goes on by itself (followed files, wake-ups), lets all
    /// defined actors empty their mailboxes, keeps their states, and then stops all actors. Who still sends to one
    /// meanwhile finds it paused, then stopped. Upgrades at work are cancelled, and so is a pause that somebody has.
    ///
    /// An actor whose mailbox is not empty in half the time, or that comes to no message boundary, is saved as it is
    /// then, or not at all, and keeps nobody else from being saved; what became of each stands in what is returned, by
    /// name.
    ///
    /// # Errors
    /// [`SystemError::Store`] when the definitions cannot be read; then nobody was stopped.
    pub async fn close(&self, timeout: Duration) -> Result<Vec<Defined<()>>, SystemError> {
        let begun = Instant::now();
        self.enter(Phase::Stopping);
        // One that has paused nobody yet would pause them later, or wait for a trial that nobody needs any more.
        for id in self.running() {
            self.cancel(&id, CLOSING);
        }
        // Nobody is judged by how it ends, and who is held handles what waits for it.
        self.inner.upgrades.close();
        let (drain_until, system) = (begun + timeout / 2, self.clone());
        let definitions = self.blocking("a look", move |_| Ok(system.store().definitions()?)).await?;
        // What would go on filling mailboxes ends before they are emptied.
        self.inner.natives.quiet();
        let running = definitions.into_iter().filter_map(|definition| {
            let actor = self.runtime().actor(&definition.addr)?;
            // Whoever holds it has no more use for that: what waits is handled, and its state is kept.
            actor.cancel_pause(CLOSING);
            Some((actor, definition))
        });
        let running: Vec<_> = running.collect();
        // All of them before the first is kept: what one still tells another is in the other's state.
        let at_work = || running.iter().any(|(actor, _)| is_at_work(actor)) || self.members_are_at_work();
        while at_work() && Instant::now() < drain_until {
            tokio::time::sleep(LOOK).await;
        }
        let saving = Saving { begun, timeout, places: Semaphore::new(STATES_MAX) };
        let saved = join_all(running.into_iter().map(|(actor, defined)| self.save(actor, defined, &saving))).await;
        self.shutdown(timeout.saturating_sub(begun.elapsed())).await;
        // Who is still on its way has handled nothing, and never will: its state is as good as it was.
        let (system, coming) = (self.clone(), self.stage().coming());
        let returns = self.stage().returns.load(Ordering::Relaxed);
        if returns || !coming.is_empty() {
            let put_back = move |_: &_| {
                coming.iter().try_for_each(|addr| system.store().put_back_state(addr))?;
                // Wherever it was, the start is cut off in order: nobody's code has taken the host along.
                Ok(system.store().end_return(&[])?)
            };
            self.blocking("states", put_back).await?;
        }
        Ok(saved.into_iter().map(|saved| saved.closed).collect())
    }

    async fn save(&self, actor: ActorRef, definition: Definition, saving: &Saving) -> Saved {
        let addr = actor.addr().clone();
        // From here on it handles nothing: what is saved is what it ends with.
        let (at_rest, outcome) = match saving.rest(&actor).await {
            Ok(at_rest) => (at_rest, self.save_at_rest(actor, definition, saving).await),
            Err(source) => (None, Err(SystemError::State { addr: addr.clone(), source })),
        };
        if outcome.is_err() {
            // One that it came back from, if the host is closed while it starts, is not what it ends with.
            let (named, system) = (addr.clone(), self.clone());
            let forget = move |_: &_| {
                system.drop_state(&named);
                Ok(())
            };
            drop(self.blocking("a state", forget).await);
        }
        Saved { closed: Defined { addr, outcome }, _at_rest: at_rest }
    }

    async fn save_at_rest(&self, actor: ActorRef, definition: Definition, saving: &Saving) -> Result<(), SystemError> {
        let (read, _place) = saving.read(&actor, self.runtime().config().hang_after).await;
        let read = read.map_err(|source| SystemError::State { addr: actor.addr().clone(), source })?;
        let (info, system) = (actor.info(), self.clone());
        self.blocking("a state", move |_| {
            let (version, generation) = (read.version.clone(), info.generation.0);
            let definition = Definition { version: version.clone(), generation, ..definition };
            let saved =
                SavedState { version, schema: read.schema, generation, sha256: digest_of(&read.bytes), taken: false };
            system.store().save_state(&definition.addr, &saved, &read.bytes)?;
            Ok(system.store().define(&definition)?)
        })
        .await
    }
}

impl Saving {
    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.begun.elapsed())
    }

    /// Holds the actor at its next message boundary. Waits on no thread: each who hangs would have one. `None`: who
    /// closes the system besides has it there.
    async fn rest(&self, actor: &ActorRef) -> Result<Option<Quiesced>, StateError> {
        let late = StateError::Timeout(self.left());
        let refused = |refused: PauseRefused| match refused {
            PauseRefused::Stopped => StateError::Stopped,
            _ => late.clone(),
        };
        let asked = match self.ask(actor) {
            Err(PauseRefused::Held { owner }) if owner == CLOSING => return Ok(None),
            asked => asked.map_err(refused)?,
        };
        while !asked.is_decided() && !self.left().is_zero() {
            tokio::time::sleep(LOOK).await;
        }
        if !asked.is_decided() {
            return Err(late);
        }
        asked.wait().map(Some).map_err(refused)
    }

    fn ask(&self, actor: &ActorRef) -> Result<PauseRequest, PauseRefused> {
        loop {
            let asked = actor.ask_pause(LeaseRequest {
                owner: CLOSING.to_owned(),
                generation: actor.info().generation,
                quiesce_timeout: self.left(),
                max_pause: self.timeout,
                on_lost: Box::new(drop),
            });
            match asked {
                // An upgrade was faster, and is over.
                Err(PauseRefused::Stale { .. }) => {}
                asked => return asked,
            }
        }
    }

    /// The state, and the place that it has in memory. Whose `save` takes longer than code may take gives its place to
    /// somebody else, and is waited for without one.
    async fn read(
        &self,
        actor: &ActorRef,
        hang_after: Duration,
    ) -> (Result<StateRead, StateError>, Option<SemaphorePermit<'_>>) {
        let Ok(Ok(place)) = tokio::time::timeout(self.left(), self.places.acquire()).await else {
            return (Err(StateError::Timeout(self.timeout)), None);
        };
        let mut reading = pin!(actor.state(self.left()));
        if let Ok(read) = tokio::time::timeout(hang_after, reading.as_mut()).await {
            return (read, Some(place));
        }
        drop(place);
        (reading.await, None)
    }
}

/// Whether it has messages to handle, or effects to deliver.
fn is_at_work(actor: &ActorRef) -> bool {
    let info = actor.info();
    info.queued_messages > 0 || info.outbox_effects > 0
}
