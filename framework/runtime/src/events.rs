//! What happens in a runtime, as a stream that anybody may follow and nobody can hold up.
//!
//! Each subscriber sees everything from its subscription on, in one order. Who falls more than `events_max` behind is
//! told how many it missed ([`Seen::Lagged`]) and goes on with the oldest kept: an observer that silently loses what it
//! watches for is worse than none (ractor's `OutputPort`, slawlor/ractor#225). The ring is tokio's broadcast channel.

mod stream;

pub use stream::{EventStream, EventsError, Seen};

use crate::checkpoint::Recovered;
use crate::clock::Clock;
use crate::config::Generation;
use crate::dead_letters::DeadLetter;
use crate::ports::Fault;
use semver::Version;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use teneral_contract::{Addr, Digest, Tag};
use tokio::sync::broadcast;

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// When, in nanoseconds since the Unix epoch.
    pub wall_ns: u64,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum What {
    /// An actor is started.
    Started {
        /// Which.
        addr: Addr,
        /// Its code.
        version: Version,
        /// Upgrades of it so far.
        generation: Generation,
    },
    /// An actor is no more; its name is free.
    Stopped {
        /// Which.
        addr: Addr,
        /// Why; empty for a normal stop.
        reason: String,
    },
    /// A turn panicked: the instance is poisoned, the supervisor decides.
    Failed(Arc<CrashReport>),
    /// An actor has a new instance of the same version.
    Restarted {
        /// Which.
        addr: Addr,
        /// The code.
        version: Version,
        /// Upgrades of it so far.
        generation: Generation,
        /// Restarts after failures, this one included.
        restarts: u64,
    },
    /// An actor whose process is gone has an instance that goes on from its checkpoint.
    Recovered {
        /// Which.
        addr: Addr,
        /// The code.
        version: Version,
        /// From what, and with what of what came since.
        recovered: Recovered,
    },
    /// An actor has no instance until its supervisor has decided: it failed, or what hung has its state.
    Suspended {
        /// Which.
        addr: Addr,
        /// The code.
        version: Version,
        /// Why.
        why: String,
    },
    /// An actor is at rest: it handles nothing until it resumes.
    Paused {
        /// Which.
        addr: Addr,
        /// The code.
        version: Version,
        /// Upgrades of it so far.
        generation: Generation,
        /// Who has it: an operator's name, or an upgrade's.
        owner: String,
    },
    /// An actor handles messages again.
    Resumed {
        /// Which.
        addr: Addr,
        /// The code that does.
        version: Version,
        /// Upgrades of it so far.
        generation: Generation,
        /// For how long it did not.
        paused: Duration,
        /// Messages that waited at its end.
        queued_messages: usize,
    },
    /// A new instance could not be made.
    RestartFailed {
        /// Of which actor.
        addr: Addr,
        /// Why.
        fault: Fault,
    },
    /// An actor failed more often than its intensity allows: it is stopped, and so is its parent.
    GaveUp {
        /// Which.
        addr: Addr,
        /// Restarts that were allowed within the period.
        restarts_max: u32,
        /// The period.
        period: Duration,
    },
    /// A turn, or a step of an upgrade, does not return.
    Hung {
        /// Of which actor.
        addr: Addr,
        /// The code.
        version: Version,
        /// The message or the step.
        doing: String,
        /// For how long so far.
        running_for: Duration,
    },
    /// A version takes no new actors and no upgrades; restarts go on.
    Quarantined {
        /// Which artifact.
        digest: Digest,
        /// Its kind.
        kind: String,
        /// The author's version.
        version: Version,
        /// What it did.
        why: String,
    },
    /// A version is out of quarantine: what was said to hang has returned.
    Released {
        /// Which artifact.
        digest: Digest,
        /// Its kind.
        kind: String,
        /// The author's version.
        version: Version,
    },
    /// An upgrade stands in the journal and begins.
    UpgradeBegun {
        /// Names it, as its report and its journal do.
        upgrade: String,
        /// Who asked for it.
        who: String,
        /// Their reason.
        why: String,
        /// The actors that it is to move, each with the version it is to run.
        moves: Vec<(Addr, Version)>,
    },
    /// A step of an upgrade is over.
    UpgradeStep {
        /// Of which upgrade.
        upgrade: String,
        /// Of which actor; `None`: of all that run the code.
        addr: Option<Addr>,
        /// Which step.
        step: String,
        /// How long it took.
        took: Duration,
        /// `done`, `failed` or `undone`.
        result: &'static str,
        /// The stable code and the cause, if it failed.
        failure: Option<(String, String)>,
    },
    /// An upgrade is over, for every actor that it named.
    UpgradeEnded {
        /// Which upgrade.
        upgrade: String,
        /// How it ended for each.
        outcomes: Vec<(Addr, &'static str)>,
    },
    /// An upgrade has all its code in the process; from now on it pauses actors.
    Upgrading {
        /// Names it, as its report and its journal do.
        upgrade: String,
        /// How many actors it will pause.
        actors: usize,
    },
    /// An actor runs another version.
    Upgraded {
        /// Which.
        addr: Addr,
        /// From.
        from: Version,
        /// To.
        to: Version,
        /// Its generation now.
        generation: Generation,
        /// From pause to resume.
        paused: Duration,
        /// Messages that waited at resume.
        queued_messages: usize,
    },
    /// An upgrade of an actor broke while it was paused: the old version serves.
    RolledBack {
        /// Of which actor.
        addr: Addr,
        /// The version that serves on.
        serving: Version,
        /// The version it did not reach.
        refused: Version,
        /// Why.
        why: String,
    },
    /// An actor was not upgraded, and never paused: refused, or too busy to be paused in time.
    NotUpgraded {
        /// Which.
        addr: Addr,
        /// The version that serves on.
        serving: Version,
        /// The version it did not reach.
        refused: Version,
        /// The stable code of the cause.
        code: String,
        /// Why.
        why: String,
    },
    /// A message did not reach its handler, or not its end.
    DeadLetter(Arc<DeadLetter>),
    /// An actor's new version is on probation, or no longer.
    Probation {
        /// Which actor.
        addr: Addr,
        /// For which upgrade.
        upgrade: String,
        /// The version that is watched.
        version: Version,
        /// `begun`, `sick`, `held`, or how it ended: `finalised`, `rolled_back`, `superseded`, `stopped`.
        phase: &'static str,
        /// Why, or by whom.
        why: String,
    },
}

/// What is known of a failed turn. State and messages are named by digest and size, never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashReport {
    /// Which actor.
    pub addr: Addr,
    /// Who started it, who started that one, and so on.
    pub ancestors: Vec<Addr>,
    /// The author's version of the code that ran.
    pub version: Version,
    /// The artifact that ran.
    pub digest: Digest,
    /// Upgrades of this actor so far.
    pub generation: Generation,
    /// The upgrade that it is on probation for, if it is: the crash is put down to that.
    pub upgrade: Option<String>,
    /// What it handled; `None`: its first effects.
    pub message: Option<MessageSeen>,
    /// How it failed.
    pub fault: Fault,
    /// The last state that was saved, if one was: a poisoned instance saves nothing any more.
    pub last_state: Option<StateSeen>,
}

/// A message, by its looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSeen {
    /// Its name.
    pub name: String,
    /// Which message, in which shape.
    pub tag: Tag,
    /// The size of its body.
    pub body_bytes: usize,
}

/// A state, by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSeen {
    /// Its schema.
    pub schema: u32,
    /// Its size.
    pub state_bytes: usize,
    /// FNV-1a-128 of its bytes: equal states have equal ones.
    pub hash: u128,
}

/// Sees every event in the thread that it happens on: short, and never waits.
pub trait Observer: fmt::Debug + Send + Sync {
    /// This has happened.
    fn saw(&self, event: &Arc<Event>);
}

/// Where events are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Arc<Event>>,
    observer: Arc<OnceLock<Arc<dyn Observer>>>,
    /// How many look: all that an event costs when nobody does.
    looking: Arc<AtomicUsize>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// Keeps up to `events_max` events (rounded up to a power of two) for subscribers that lag.
    #[must_use]
    pub fn new(events_max: usize, clock: Arc<dyn Clock>) -> Self {
        let sender = broadcast::Sender::new(events_max.clamp(1, 1 << 20));
        Self { sender, observer: Arc::default(), looking: Arc::default(), clock }
    }

    /// Tells everybody who follows; free when nobody does.
    pub fn emit(&self, what: What) {
        log(&what);
        self.tell(|| what);
    }

    /// The same for what is in no log and happens often: it is not even made when nobody follows.
    pub fn tell(&self, what: impl FnOnce() -> What) {
        if self.looking.load(Relaxed) == 0 {
            return;
        }
        let event = Arc::new(Event { wall_ns: self.clock.wall_ns(), what: what() });
        if let Some(observer) = self.observer.get() {
            observer.saw(&event);
        }
        // Refused when nobody but the observer looks.
        drop(self.sender.send(event));
    }

    /// Has `observer` see everything from now on, for as long as the runtime lives. There is one at most: `false` when
    /// another was first.
    pub fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        let first = self.observer.set(observer).is_ok();
        if first {
            self.looking.fetch_add(1, Relaxed);
        }
        first
    }

    /// Everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> EventStream {
        self.looking.fetch_add(1, Relaxed);
        EventStream { receiver: self.sender.subscribe(), looking: Arc::clone(&self.looking) }
    }
}

/// What goes wrong is in the log too, whoever follows: an actor that is gone for good must not go silently.
fn log(what: &What) {
    match what {
        What::Failed(report) => {
            let CrashReport { addr, version, generation, message, fault, upgrade, .. } = &**report;
            let (kind, generation, upgrade) = (addr.kind(), generation.0, upgrade.as_deref());
            let handling = message.as_ref().map_or("its first turn", |message| message.name.as_str());
            tracing::warn!(
                actor = %addr, kind, %version, generation, upgrade, handling, %fault,
                "a turn failed, and with it the instance"
            );
        }
        What::Restarted { addr, version, generation, restarts } => {
            let (kind, generation) = (addr.kind(), generation.0);
            tracing::warn!(actor = %addr, kind, %version, generation, restarts, "restarted, as its restart_state says");
        }
        What::Recovered { addr, version, recovered } => {
            let Recovered { replayed, not_replayed, why, took, .. } = recovered;
            let (kind, why) = (addr.kind(), why.as_ref().map(ToString::to_string).unwrap_or_default());
            tracing::warn!(
                actor = %addr, kind, %version, replayed, not_replayed, why, took_us = took.as_micros(),
                "its process is gone: it goes on from its checkpoint"
            );
        }
        What::RestartFailed { addr, fault } => {
            tracing::error!(actor = %addr, kind = addr.kind(), %fault, "could not be restarted");
        }
        What::GaveUp { addr, restarts_max, period } => {
            let kind = addr.kind();
            tracing::error!(actor = %addr, kind, restarts_max, ?period, "stopped for good: it failed too often");
        }
        What::Quarantined { kind, version, why, .. } => {
            tracing::error!(kind, %version, why, "in quarantine: no new actors of it, no upgrades to it");
        }
        What::Released { kind, version, .. } => {
            tracing::info!(kind, %version, "out of quarantine: what hung has returned");
        }
        What::Upgraded { addr, from, to, generation, paused, .. } => {
            let (kind, version, generation) = (addr.kind(), to, generation.0);
            tracing::info!(actor = %addr, kind, %version, generation, %from, ?paused, "upgraded");
        }
        What::RolledBack { addr, serving, refused, why } => {
            let (kind, version) = (addr.kind(), serving);
            tracing::warn!(actor = %addr, kind, %version, %refused, why, "an upgrade was rolled back");
        }
        What::NotUpgraded { addr, serving, refused, code, why } => {
            let (kind, version) = (addr.kind(), serving);
            tracing::warn!(actor = %addr, kind, %version, %refused, code, why, "not upgraded");
        }
        What::Probation { addr, upgrade, version, phase, why } => {
            let kind = addr.kind();
            match *phase {
                "begun" => tracing::info!(actor = %addr, kind, %version, upgrade, "on probation"),
                "finalised" => tracing::info!(actor = %addr, kind, %version, upgrade, by = why, "passed its probation"),
                "rolled_back" => tracing::warn!(actor = %addr, kind, %version, upgrade, why, "taken back"),
                // Whoever cannot take it back says that, and all that it is by.
                "sick" | "held" => {}
                _ => tracing::info!(actor = %addr, kind, %version, upgrade, why, "on probation no longer"),
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::thread;

    const GENEROUS: Duration = Duration::from_secs(30);

    fn stopped(reason: &str) -> What {
        let addr = Addr::new("counter/a").expect("an address");
        What::Stopped { addr, reason: reason.to_owned() }
    }

    fn reason(seen: Result<Seen, EventsError>) -> String {
        match seen.expect("something is seen") {
            Seen::Event(event) => match &event.what {
                What::Stopped { reason, .. } => reason.clone(),
                other => format!("{other:?}"),
            },
            Seen::Lagged(missed) => format!("lagged {missed}"),
        }
    }

    #[test]
    fn a_subscriber_sees_what_happens_after_it_came() {
        let events = Events::new(8, ManualClock::new());
        events.emit(stopped("nobody looks"));
        let mut stream = events.subscribe();
        events.emit(stopped("one"));
        events.emit(stopped("two"));
        assert_eq!(reason(stream.next_blocking(GENEROUS)), "one");
        assert_eq!(reason(stream.next_blocking(GENEROUS)), "two");
        assert_eq!(stream.next_blocking(Duration::ZERO).map(drop), Err(EventsError::Timeout(Duration::ZERO)));
        drop(events);
        assert_eq!(stream.next_blocking(GENEROUS).map(drop), Err(EventsError::Ended));
    }

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed_and_holds_nobody_up() {
        let events = Events::new(4, ManualClock::new());
        let (mut slow, mut quick) = (events.subscribe(), events.subscribe());
        for number in 0..10 {
            events.emit(stopped(&number.to_string()));
            assert_eq!(reason(quick.next_blocking(GENEROUS)), number.to_string());
        }
        let seen: Vec<_> = (0..5).map(|_| reason(slow.next_blocking(GENEROUS))).collect();
        assert_eq!(seen, ["lagged 6", "6", "7", "8", "9"]);
    }

    #[test]
    fn a_blocked_subscriber_wakes_when_something_happens() {
        let events = Events::new(4, ManualClock::new());
        let mut stream = events.subscribe();
        for timeout in [GENEROUS, Duration::MAX] {
            let waiting = thread::spawn(move || (reason(stream.next_blocking(timeout)), stream));
            events.emit(stopped("seen"));
            let seen;
            (seen, stream) = waiting.join().expect("the thread ends");
            assert_eq!(seen, "seen");
        }
    }
}
