//! Work that goes on for an actor after its message: a file that is followed, a wake-up.
//!
//! Each is kept by the actor's name and one of its own, so that asking again replaces and never doubles. All of them
//! end when the host begins to stop, before mailboxes are emptied: else what they tell would never end.

use crate::call::Refused;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use teneral_contract::{Addr, Wire};
use teneral_runtime::ActorRef;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Where kept work tells what comes of it.
#[derive(Debug, Clone)]
pub struct Sink {
    to: ActorRef,
    this: ActorRef,
}

/// The actor is no more, or does not know the message: there is no use in going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is told any more")]
pub struct Gone;

impl Sink {
    pub(crate) const fn new(to: ActorRef, this: ActorRef) -> Self {
        Self { to, this }
    }

    /// Tells the actor, waiting for room in its mailbox.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn tell<M: Wire>(&self, message: &M) -> Result<(), Gone> {
        let mut body = Vec::new();
        if let Err(error) = message.encode_as(M::FINGERPRINT, &mut body) {
            tracing::error!(actor = %self.to.addr(), %error, "{} cannot be encoded", M::NAME);
            return Err(Gone);
        }
        self.to.tell_raw_from(&self.this, M::tag(), body).await.map_err(|why| {
            if !self.to.is_stopped() {
                let (from, actor) = (self.this.addr(), self.to.addr());
                tracing::warn!(%actor, %from, saying = M::NAME, %why, "an actor is told no more of what it asked for");
            }
            Gone
        })
    }

    /// Whether the actor is no more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.to.is_stopped()
    }

    /// Whom it tells.
    #[must_use]
    pub fn to(&self) -> &Addr {
        self.to.addr()
    }
}

/// What is kept for whom.
#[derive(Debug)]
pub(crate) struct Streams {
    kept: Mutex<BTreeMap<(Addr, String), (u64, AbortHandle)>>,
    numbers: AtomicU64,
    streams_max: usize,
    tokio: Handle,
    quiet: watch::Receiver<bool>,
}

impl Streams {
    pub(crate) fn new(streams_max: usize, tokio: Handle, quiet: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), numbers: AtomicU64::new(0), streams_max, tokio, quiet })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(Addr, String), (u64, AbortHandle)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(
        self: &Arc<Self>,
        name: &str,
        work: impl Future<Output = ()> + Send + 'static,
        to: &ActorRef,
    ) -> Result<(), Refused> {
        let (number, of) = (self.numbers.fetch_add(1, Ordering::Relaxed), (to.addr().clone(), name.to_owned()));
        let (mut quiet, ended, all) = (self.quiet.clone(), of.clone(), Arc::downgrade(self));
        let mut kept = self.kept();
        if kept.len() >= self.streams_max && !kept.contains_key(&of) {
            return Err(Refused::failed(format!("at most {} of them go on at a time", self.streams_max)));
        }
        // Begun under the lock: it cannot end before it is kept.
        let task = self.tokio.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = quiet.wait_for(|quiet| *quiet) => {}
            }
            Self::forget(&all, &ended, number);
        });
        if let Some((_, before)) = kept.insert(of, (number, task.abort_handle())) {
            before.abort();
        }
        Ok(())
    }

    fn forget(all: &Weak<Self>, of: &(Addr, String), number: u64) {
        let Some(all) = all.upgrade() else { return };
        let mut kept = all.kept();
        if kept.get(of).is_some_and(|(found, _)| *found == number) {
            kept.remove(of);
        }
    }

    pub(crate) fn end(&self, of: &Addr, name: &str) {
        if let Some((_, work)) = self.kept().remove(&(of.clone(), name.to_owned())) {
            work.abort();
        }
    }

    pub(crate) fn end_all(&self) {
        for (_, work) in std::mem::take(&mut *self.kept()).into_values() {
            work.abort();
        }
    }
}
