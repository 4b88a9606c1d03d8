//! What happens at a host, as a stream that anybody may follow and nobody can hold up.
//!
//! The runtime's events and the host's own (artifacts, defaults, keys) get one order and one number here, and the
//! latest are kept: a watcher reads from where it is, and one that is too slow, or was away for too long, is told how
//! many it missed. Nothing is kept before somebody looks for the first time.

mod translate;

use crate::fallen::Fallen;
use crate::system::Inner;
use crate::{System, SystemError};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use teneral_contract::Addr;
pub use teneral_control::api::event::{Event, Happened, Since};
use teneral_runtime::{Events, Observer};
use teneral_store::Release;
use teneral_upgrade::error::chain;
use tokio::sync::watch;
use translate::{Seen as Translated, translate};

/// How many events are kept for watchers that lag or come back.
pub const EVENTS_KEPT_MAX: usize = 4096;

/// What a watcher sees next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An event.
    Event(Arc<Event>),
    /// It was too slow, or away for too long: so many events are gone; the next one is the oldest kept.
    Lagged(u64),
    /// Where it was is in another life of the host: nobody knows what it missed; the next one is the oldest kept.
    Anew,
}

/// The latest events of one life of a host.
#[derive(Debug)]
struct Kept {
    boot: u64,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The number of the latest.
    seq: u64,
    /// The host's last word is among them.
    ended: bool,
}

/// Numbers what happens, keeps it, and wakes who waits.
#[derive(Debug)]
struct Hub {
    kept: Arc<Kept>,
    /// Dropped, it ends the streams.
    changed: watch::Sender<()>,
}

/// Where a system's events come from, once somebody has looked.
#[derive(Debug)]
pub(crate) struct Source {
    boot: u64,
    hub: OnceLock<Arc<Hub>>,
    fallen: Arc<Fallen>,
}

impl Source {
    /// Of this life of the host.
    pub(crate) fn new(boot: u64) -> Self {
        Self { boot, hub: OnceLock::new(), fallen: Arc::default() }
    }

    /// Why actors are down, as far as somebody looked.
    pub(crate) fn fallen(&self) -> &Fallen {
        &self.fallen
    }

    fn hub(&self, events: &Events) -> &Arc<Hub> {
        self.hub.get_or_init(|| {
            let kept = Arc::new(Kept { boot: self.boot, ring: Mutex::default() });
            let hub = Arc::new(Hub { kept, changed: watch::Sender::new(()) });
            // Nobody else observes the runtime of a system.
            let fallen = Arc::clone(&self.fallen);
            events.observe(Arc::new(Weakly { hub: Arc::downgrade(&hub), fallen }));
            hub
        })
    }
}

/// The runtime's handle on the hub: a runtime that somebody keeps does not keep streams open.
#[derive(Debug)]
struct Weakly {
    hub: Weak<Hub>,
    fallen: Arc<Fallen>,
}

impl Observer for Weakly {
    fn saw(&self, event: &Arc<teneral_runtime::Event>) {
        self.fallen.saw(&event.what);
        if let (Some(hub), Translated::Told(what)) = (self.hub.upgrade(), translate(&event.what)) {
            hub.take(event.wall_ns, what);
        }
    }
}

impl Hub {
    fn take(&self, wall_ns: u64, what: Happened) {
        let at = crate::served::timestamp(wall_ns);
        {
            let mut ring = self.kept.ring.lock();
            ring.seq += 1;
            ring.ended |= what == Happened::Stopping {};
            let event = Event { boot: self.kept.boot, seq: ring.seq, at, what };
            if ring.events.len() == EVENTS_KEPT_MAX {
                ring.events.pop_front();
            }
            ring.events.push_back(Arc::new(event));
        }
        self.changed.send_replace(());
    }
}

/// One watcher's events. Dropping it ends nothing but itself.
#[derive(Debug)]
pub struct Stream {
    kept: Arc<Kept>,
    changed: watch::Receiver<()>,
    /// The number of the event that comes next.
    next: u64,
    /// It comes from another life of the host, and has not been told so.
    anew: bool,
    ended: bool,
    system: Weak<Inner>,
}

impl Stream {
    /// The next event, or how many were missed; `None` after the host's last word, or when the system is gone, and
    /// everything was seen. A dropped future has taken nothing.
    pub async fn next(&mut self) -> Option<Seen> {
        loop {
            self.changed.mark_unchanged();
            if let Some(seen) = self.here() {
                return Some(seen);
            }
            if self.ended || self.changed.changed().await.is_err() {
                return self.here();
            }
        }
    }

    /// The place before the next event: who comes back says it.
    #[must_use]
    pub fn place(&self) -> Since {
        Since { boot: Some(self.kept.boot), seq: self.next - 1 }
    }

    fn here(&mut self) -> Option<Seen> {
        if std::mem::take(&mut self.anew) {
            return Some(Seen::Anew);
        }
        let ring = self.kept.ring.lock();
        let oldest = ring.seq + 1 - ring.events.len() as u64;
        if self.next < oldest {
            let missed = oldest - self.next;
            self.next = oldest;
            return Some(Seen::Lagged(missed));
        }
        let place = usize::try_from(self.next - oldest).unwrap_or(usize::MAX);
        let event = ring.events.get(place).filter(|_| !self.ended).cloned();
        drop(ring);
        let event = event?;
        self.next += 1;
        self.ended = event.what == Happened::Stopping {};
        Some(Seen::Event(self.named(event)))
    }

    /// The event's message by the name that the actors' code has for it, if it is a dead letter.
    fn named(&self, event: Arc<Event>) -> Arc<Event> {
        let Happened::DeadLetter { actor, message, .. } = &event.what else { return event };
        let (Some(inner), Ok(variant)) = (self.system.upgrade(), u64::from_str_radix(message, 16)) else {
            return event;
        };
        let Some(name) = System::of(inner).message_name(actor.kind(), variant) else { return event };
        let mut named = Event::clone(&event);
        if let Happened::DeadLetter { message, .. } = &mut named.what {
            *message = name;
        }
        Arc::new(named)
    }
}

impl System {
    /// Everything from now on: what becomes of actors and of upgrades, dead letters, artifacts, defaults and keys. A
    /// reader that is too slow is told how many events it missed, and holds nobody up. It does not keep the system
    /// alive.
    #[must_use]
    pub fn events(&self) -> Stream {
        let hub = self.hub();
        let next = hub.kept.ring.lock().seq + 1;
        self.stream(next, false)
    }

    /// Everything after that event, as far as it is kept, and from then on.
    #[must_use]
    pub fn events_since(&self, since: Since) -> Stream {
        let kept = &self.hub().kept;
        match since.boot.is_none_or(|boot| boot == kept.boot) {
            // A number that was never given is no place: the watcher is where the host is.
            true => self.stream(since.seq.min(kept.ring.lock().seq) + 1, false),
            false => {
                let ring = kept.ring.lock();
                let oldest = ring.seq + 1 - ring.events.len() as u64;
                drop(ring);
                self.stream(oldest, true)
            }
        }
    }

    fn stream(&self, next: u64, anew: bool) -> Stream {
        let hub = self.hub();
        let (kept, changed) = (Arc::clone(&hub.kept), hub.changed.subscribe());
        Stream { kept, changed, next, anew, ended: false, system: Arc::downgrade(self.inner()) }
    }

    /// Tells watchers that this host serves.
    pub(crate) fn say_ready(&self) {
        self.say(|| Happened::Ready { actors: self.actors().len() });
    }

    /// Tells watchers that this host stops: it is the last that they hear, and they hear it once.
    pub(crate) fn say_stopping(&self) {
        let said = self.inner().events.hub.get().is_some_and(|hub| hub.kept.ring.lock().ended);
        if !said {
            self.say(|| Happened::Stopping {});
        }
    }

    /// Keeps events from now on, also while nobody follows.
    pub(crate) fn keep_events(&self) {
        self.hub();
    }

    fn hub(&self) -> &Arc<Hub> {
        self.inner().events.hub(self.runtime().event_sink())
    }

    /// Tells what the host itself did, if anybody has ever looked.
    pub(crate) fn say(&self, what: impl FnOnce() -> Happened) {
        if let Some(hub) = self.inner().events.hub.get() {
            hub.take(self.runtime().clock().wall_ns(), what());
        }
    }

    pub(crate) fn say_pushed(&self, pushed: Result<Release, SystemError>) -> Result<Release, SystemError> {
        self.say(|| match &pushed {
            Ok(Release { kind, version, sha256, .. }) => {
                Happened::ArtifactPushed { kind: kind.clone(), version: version.clone(), sha256: *sha256 }
            }
            Err(error) => Happened::ArtifactRefused { code: error.code().to_owned(), why: chain(error) },
        });
        pushed
    }

    /// What actors of that kind call a message, whichever version they run.
    pub(crate) fn message_name(&self, kind: &str, variant: u64) -> Option<String> {
        self.runtime().actors_of(kind).iter().find_map(|actor| {
            let provider = actor.provider();
            let mut messages = provider.manifest().messages.iter();
            let known = messages.find(|known| teneral_contract::shape::variant_id(&known.name) == variant);
            known.map(|known| known.name.clone())
        })
    }
}

/// Which events a watcher wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this actor.
    pub actor: Option<Addr>,
    /// Of this kind and its actors.
    pub kind: Option<String>,
}

impl Filter {
    /// Whether this one is wanted; the host's own always are.
    #[must_use]
    pub fn takes(&self, what: &Happened) -> bool {
        let of_actor = self.actor.as_ref().is_none_or(|actor| what.is_of(actor));
        what.is_of_host() || (of_actor && self.kind.as_deref().is_none_or(|kind| what.is_of_kind(kind)))
    }
}

#[cfg(test)]
mod tests;
