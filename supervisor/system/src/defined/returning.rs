//! All who come back with their host, and when the states that they come back from are used up.
//!
//! A state is used once, and what uses it up is that somebody is let in: from there on its actor knows what the state
//! does not. So while a host starts, and lets nobody in, no state is marked; all are forgotten in one commit when all
//! are there. A start that is cut off has used none, whoever's code it was that took the host along. The next one marks
//! each state as long as its actor comes, so that it begins anew who takes the host along once more, and nobody else.

use super::{CameBack, Defined};
use crate::served::Phase;
use crate::{System, SystemError};
use semver::Version;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use teneral_contract::Addr;
use teneral_runtime::{ActorRef, Begin, StartError};
use teneral_store::{Definition, Store};

/// How long between two looks at actors that begin.
const LOOK: Duration = Duration::from_millis(2);

/// When so many actors of one version in a row have hung as they came back, or in their first turn, it is the version
/// that hangs, and no other actor of it is waited for: each takes a thread, and `start_timeout` of all that come after.
const HUNG_IN_A_ROW_MAX: u32 = 3;

/// How many of a version's actors hung in a row as they came back.
#[derive(Default)]
struct Hung(BTreeMap<(String, Version), u32>);

/// How the first turns of actors that came back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstTurn {
    /// They were over in time, or nobody waited for each of them.
    InTime,
    /// One is not over, and may never be.
    Late,
}

/// When the state that an actor comes back from is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedUp {
    /// At once: whoever is let in already may speak to it as soon as it is there.
    AtOnce,
    /// With those of all others, once all are there.
    WithAll,
    /// The same; but the host ended while it started the last time, and who takes it along is to be known.
    WithAllButMarked,
}

impl System {
    /// Starts every defined actor that does not run, each on the version that it had and, after a [`System::close`],
    /// from the state that it had. One that fails keeps nobody else, and keeps its definition and its state.
    ///
    /// In [`Phase::Starting`], in which nobody is let in, a start that the end of the host cuts off has used up no
    /// state: see [`System::enter`]. In [`Phase::Serving`] each state is used up before its actor is there.
    ///
    /// When the system is closed meanwhile, who has not begun by then stays away, with its state as it was kept.
    ///
    /// # Errors
    /// [`SystemError::Store`] when the definitions cannot be read, or when it cannot be written that the states are
    /// used up: then nobody came back.
    pub async fn start_defined(&self) -> Result<Vec<Defined<CameBack>>, SystemError> {
        let system = self.clone();
        self.blocking("the start of what is defined", move |_| {
            // Until all are there: what the world says to the first may be for the last.
            let _held = system.hold_natives();
            let missing = system.store().definitions()?.into_iter();
            let missing = missing.filter(|definition| system.runtime().actor(&definition.addr).is_none());
            if system.phase() == Phase::Serving {
                let mut hung = Hung::default();
                return Ok(missing.map(|one| system.bring_back(one, UsedUp::AtOnce, &mut hung)).collect());
            }
            system.bring_all_back(missing)
        })
        .await
    }

    fn bring_all_back(&self, missing: impl Iterator<Item = Definition>) -> Result<Vec<Defined<CameBack>>, SystemError> {
        let cut_off = {
            // Held until it is written: who closes the system after this says that it is over, and before this nobody
            // comes back any more.
            let phase = self.stage().phase.borrow();
            if *phase == Phase::Stopping {
                return Ok(Vec::new());
            }
            self.stage().returns.store(true, Ordering::Relaxed);
            self.store().begin_return()?
        };
        let used_up = if cut_off { UsedUp::WithAllButMarked } else { UsedUp::WithAll };
        if cut_off {
            tracing::warn!("the host ended while it started the last time: it looks at whose code that happens");
        }
        let wanted = missing.take_while(|_| self.phase() != Phase::Stopping);
        let mut hung = Hung::default();
        let back: Vec<_> = wanted.map(|definition| self.bring_back(definition, used_up, &mut hung)).collect();
        let there: Vec<&ActorRef> = back.iter().filter_map(|one| Some(&one.outcome.as_ref().ok()?.actor)).collect();
        // What a first turn does to the host it does while nobody is let in.
        self.begun(&there);
        // Held until it is written: who closes the system meanwhile keeps the actors' states after this, not before.
        let phase = self.stage().phase.borrow();
        let used: Vec<Addr> = match *phase {
            Phase::Stopping => Vec::new(),
            _ => there.iter().map(|actor| actor.addr().clone()).collect(),
        };
        let written = self.store().end_return(&used);
        self.stage().returns.store(written.is_err(), Ordering::Relaxed);
        drop(phase);
        if let Err(error) = written {
            // From a state that may be used again nobody goes on.
            let tokio = tokio::runtime::Handle::current();
            for actor in there {
                drop(tokio.block_on(actor.stop("shutdown: its state could not be used up", Duration::ZERO)));
            }
            return Err(error.into());
        }
        Ok(back)
    }

    fn bring_back(&self, definition: Definition, used_up: UsedUp, hung: &mut Hung) -> Defined<CameBack> {
        let (addr, version) = (definition.addr.clone(), definition.version.clone());
        let in_a_row = hung.0.entry((addr.kind().to_owned(), version.clone())).or_default();
        if *in_a_row >= HUNG_IN_A_ROW_MAX {
            let (kind, why) =
                (addr.kind().to_owned(), format!("{in_a_row} of its actors hung in a row as they came back"));
            let error = SystemError::Quarantined { kind, version: version.clone(), why };
            self.fallen().did_not_come_back(&addr, &version, &error);
            return Defined { addr, outcome: Err(error) };
        }
        let outcome = self.try_bring_back(definition, Begin::State, used_up);
        match &outcome {
            Err(SystemError::Start { source: StartError::Timeout(_), .. }) => *in_a_row += 1,
            Err(_) => {}
            Ok(CameBack { first_turn: FirstTurn::Late, .. }) => *in_a_row += 1,
            Ok(_) => *in_a_row = 0,
        }
        Defined { addr, outcome }
    }

    /// Waits until the first turns of these actors are over, as long as an actor may take to start.
    pub(super) fn begun(&self, actors: &[&ActorRef]) -> FirstTurn {
        let (since, timeout) = (Instant::now(), self.runtime().config().start_timeout);
        while actors.iter().any(|actor| !actor.is_at_rest()) {
            if since.elapsed() >= timeout {
                return FirstTurn::Late;
            }
            thread::sleep(LOOK);
        }
        FirstTurn::InTime
    }
}
