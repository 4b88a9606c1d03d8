//! Who is down, and why: what kept an actor from coming back, or what it failed of.
//!
//! Who should run and does not is found by comparing what is defined with what runs; this keeps the reason, which
//! nothing else knows once the actor is gone. It is kept for this life of the host: the next one finds out anew.

use crate::{System, SystemError};
use parking_lot::Mutex;
use semver::Version;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use teneral_contract::Addr;
use teneral_control::api::wire::{DOWN_NAMED_MAX, Down};
use teneral_runtime::{ActorRef, StartError, Status, What};
use teneral_store::Definition;
use teneral_upgrade::error::chain;

/// Of how many actors that stopped the reason is kept.
const STOPPED_KEPT_MAX: usize = 1024;

/// Why an actor is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fall {
    /// The stable code of the cause.
    pub code: String,
    /// What happened.
    pub cause: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Fall {}

impl Fall {
    fn of(code: &str, cause: String, addr: &Addr) -> Self {
        let hint = format!("mend what the cause says, then: teneral actor restart {addr}");
        Self { code: code.to_owned(), cause, hint }
    }

    /// Of an actor of which nothing is known but that it does not run.
    fn unknown(addr: &Addr) -> Self {
        let hint = format!("start it: teneral actor restart {addr}; or give it up: teneral actor stop {addr}");
        let cause = "it is defined and was not started in this life of the host, or nobody saw it end".to_owned();
        Self { code: "SYS-DEFINED".to_owned(), cause, hint }
    }

    /// What would keep its actor from coming back, as the error of its start says it.
    fn of_start(addr: &Addr, version: &Version, error: &SystemError) -> Self {
        let hint = match error {
            SystemError::Quarantined { .. } | SystemError::Start { source: StartError::Timeout(_), .. } => {
                let (kind, code, cause) = (addr.kind(), error.code().to_owned(), chain(error));
                let hint = format!(
                    "try again: teneral actor restart {addr}; from its start arguments: teneral actor restart {addr} \
                     --state init; new actors of that version start after: teneral artifact pardon {kind} {version}"
                );
                return Self { code, cause, hint };
            }
            // Its own hint is for one that has a free name to be started under.
            SystemError::Start { .. } => "mend what the cause says".to_owned(),
            error => error.hint(),
        };
        let hint = format!("{hint}; then: teneral actor restart {addr}");
        Self { code: error.code().to_owned(), cause: chain(error), hint }
    }

    pub(crate) fn to_wire(&self, actor: &Addr) -> Down {
        let Self { code, cause, hint } = self.clone();
        Down { actor: actor.clone(), code, cause, hint }
    }
}

/// The reasons, by actor.
#[derive(Debug, Default)]
pub(crate) struct Fallen(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// What an actor that is there failed of last, until it is restarted.
    failing: BTreeMap<Addr, String>,
    down: BTreeMap<Addr, Fall>,
    /// Those of `down` that were there and stopped, oldest first: most of a busy host's were never defined.
    stopped: VecDeque<Addr>,
}

impl Seen {
    fn stopped(&mut self, addr: &Addr, fall: Fall) {
        self.down.insert(addr.clone(), fall);
        self.stopped.push_back(addr.clone());
        if self.stopped.len() > STOPPED_KEPT_MAX
            && let Some(oldest) = self.stopped.pop_front()
            && !self.stopped.contains(&oldest)
        {
            self.down.remove(&oldest);
        }
    }
}

impl Fallen {
    /// An actor that is defined could not be brought back.
    pub(crate) fn did_not_come_back(&self, addr: &Addr, version: &Version, error: &SystemError) {
        self.0.lock().down.insert(addr.clone(), Fall::of_start(addr, version, error));
    }

    /// It is defined no more: nobody expects it.
    pub(crate) fn forget(&self, addr: &Addr) {
        self.0.lock().down.remove(addr);
    }

    /// Why this one is down, if that is known.
    fn of(&self, addr: &Addr) -> Option<Fall> {
        self.0.lock().down.get(addr).cloned()
    }

    /// What the runtime tells of an actor.
    pub(crate) fn saw(&self, what: &What) {
        match what {
            What::Failed(report) => {
                let turn = report.message.as_ref().map_or("its first turn", |message| message.name.as_str());
                let text = format!("{turn} failed in {}: {}", report.version, report.fault);
                self.0.lock().failing.insert(report.addr.clone(), text);
            }
            What::RestartFailed { addr, fault } => {
                let text = format!("no new instance of it could be made: {fault}");
                self.0.lock().failing.insert(addr.clone(), text);
            }
            What::GaveUp { addr, restarts_max, period } => {
                let seen = &mut *self.0.lock();
                let last = seen.failing.entry(addr.clone()).or_default();
                *last = format!("it failed more than {restarts_max} times within {period:?}, at last: {last}");
            }
            What::Restarted { addr, .. } => drop(self.0.lock().failing.remove(addr)),
            What::Started { addr, .. } => {
                let seen = &mut *self.0.lock();
                seen.failing.remove(addr);
                seen.down.remove(addr);
            }
            What::Stopped { addr, reason } => {
                let seen = &mut *self.0.lock();
                let fall = match seen.failing.remove(addr) {
                    Some(failure) => Fall::of("SYS-FAILED", failure, addr),
                    None if reason.is_empty() => Fall::of("SYS-STOPPED", "it stopped by itself".to_owned(), addr),
                    None => Fall::of("SYS-STOPPED", format!("it stopped: {reason}"), addr),
                };
                seen.stopped(addr, fall);
            }
            _ => {}
        }
    }

    /// Forgets whom nobody expects: what stopped and was never defined.
    fn keep(&self, is_expected: impl Fn(&Addr) -> bool) {
        let seen = &mut *self.0.lock();
        seen.down.retain(|addr, _| is_expected(addr));
        seen.stopped.retain(is_expected);
    }
}

impl System {
    pub(crate) fn fallen(&self) -> &Fallen {
        self.inner().events.fallen()
    }

    /// Why a defined actor does not run.
    pub(crate) fn why_down(&self, addr: &Addr) -> Fall {
        self.fallen().of(addr).unwrap_or_else(|| Fall::unknown(addr))
    }

    /// The error of whoever needs a defined actor that does not run.
    pub(crate) fn is_down(&self, addr: Addr) -> SystemError {
        let source = self.why_down(&addr);
        SystemError::Defined { addr, source: Box::new(source) }
    }

    /// Who should handle messages and does not, by name: defined actors that do not run, and those without an instance.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub(crate) fn downs(&self) -> Result<Vec<Down>, SystemError> {
        let defined = self.definitions()?;
        let is_defined = |addr: &Addr| defined.binary_search_by(|known| known.addr.path().cmp(addr.path())).is_ok();
        self.fallen().keep(is_defined);
        let gone = |Definition { addr, .. }: &Definition| {
            self.runtime().actor(addr).is_none().then(|| self.why_down(addr).to_wire(addr))
        };
        let mut downs: Vec<Down> = defined.iter().filter_map(gone).collect();
        downs.extend(self.actors().iter().filter_map(suspended));
        downs.sort_by(|one, other| one.actor.path().cmp(other.actor.path()));
        Ok(downs)
    }
}

/// Why an actor that is there has no instance to handle anything, if it has none.
pub(crate) fn suspended(actor: &ActorRef) -> Option<Down> {
    let Status::Suspended { reason } = actor.info().status else { return None };
    let addr = actor.addr();
    let hint = format!("its supervisor decides; if it stays so: teneral actor stop {addr}, and start it anew");
    Some(Down { actor: addr.clone(), code: "SYS-SUSPENDED".to_owned(), cause: reason, hint })
}

/// How many, and the first few.
pub(crate) fn counted(mut downs: Vec<Down>) -> (usize, Vec<Down>) {
    let count = downs.len();
    downs.truncate(DOWN_NAMED_MAX);
    (count, downs)
}
