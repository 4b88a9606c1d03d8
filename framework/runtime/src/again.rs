//! An actor begun again by order, on the code that it runs: the way of an upgrade, without another version.
//!
//! Pause, take the state if it is to be kept, make an instance of it or of the start arguments, put it in the place of
//! the old one. Until that last step the old instance is whole, and whatever fails leaves it serving.

use crate::ActorRef;
use crate::cell::extras::Ended;
use crate::cell::protocol::Lost;
use crate::cell::{Cell, Instance};
use crate::config::RestartState;
use crate::error::{PauseRefused, StepError};
use crate::lease::{Install, Lease, LeaseStep, PauseRequest, Quiesced};
use crate::ports::{Behaviour, Fault, FaultKind, Provider, Why};
use std::sync::Arc;

/// What an actor that is restarted by order begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Its state as it is: its timers, its asks and who waits for its replies stay.
    State,
    /// Its start arguments: what it planned, asked and owed ends with the old instance.
    Args,
    /// As its `restart_state` says for a failure.
    Declared,
}

/// A new instance, and the state that it was made of or starts with, where a later restart is to begin from that.
type Made = (Box<dyn Behaviour>, Option<Vec<u8>>);

impl ActorRef {
    /// Replaces its instance by a new one of the same code, at the next message boundary. Blocks until the actor is
    /// paused, at most `start_timeout`, and for as long as the code takes to save and to make the new instance, each
    /// on a thread of its own: at most `start_timeout` again for each.
    ///
    /// # Errors
    /// What the code says, or that it did not return in time, for which its version is quarantined; or why the actor
    /// could not be paused. Then it is as it was; only what hangs while it saves loses its instance, which is replaced
    /// as its `restart_state` says.
    ///
    /// One whose `save` hangs already, for somebody who wanted a copy of its state, comes to no message boundary. Its
    /// state cannot be had; from anything else it begins again without the instance that hangs.
    pub fn restart(&self, begin: Begin) -> Result<(), Fault> {
        let cell = &self.cell;
        let timeout = cell.shared.config.start_timeout;
        // One `start_timeout` for the state, where there is one to keep, and one for the instance.
        let max = if begin == Begin::State { timeout * 2 } else { timeout };
        let lease = Lease::new("restart".to_owned(), max, cell.shared.clock.now(), Box::new(drop));
        let paused = cell.ask_pause(lease, None, timeout).and_then(PauseRequest::wait);
        let mut pause = match paused {
            Err(PauseRefused::Busy { .. }) if begin != Begin::State && self.hangs_in_save() => {
                return cell.begin_without(begin);
            }
            paused => paused.map_err(|why| denied(&why))?,
        };
        let mut kept = None;
        if begin == Begin::State {
            let saved;
            (pause, saved) = cell.saved(pause)?;
            kept = Some(saved);
        }
        let provider = pause.provider();
        let anew = cell.begins_anew(begin);
        let again = Arc::clone(cell);
        let code = Arc::clone(&provider);
        let make =
            || cell.make_in_time(&provider, "was restarted", move || again.begin_again(&*code, begin, kept.as_deref()));
        let (made, snapshot) = pause.make(LeaseStep::Restore, make).map_err(of_step)?;
        if let Some(bytes) = snapshot {
            pause.keep_snapshot(provider.schema(), bytes);
        }
        let generation = pause.generation();
        let install = Install { anew, ..Install::as_it_is(Why::Restarted, generation) };
        let restarted = pause.install((made, Arc::clone(&provider)), install, || {});
        let old = restarted.map_err(|lost| denied(&lost))?.old;
        if let Some(behaviour) = old {
            cell.shared.executor.dropper.drop(cell, Instance::new(behaviour, provider));
        }
        Ok(())
    }
}

impl Cell {
    /// Takes the state of a paused actor. The pause goes along: what hangs keeps it, until its time is over.
    fn saved(self: &Arc<Self>, mut pause: Quiesced) -> Result<(Quiesced, Vec<u8>), Fault> {
        let bytes_max = self.shared.config.state_bytes_max;
        let (pause, saved) = self.make_in_time(&pause.provider(), "saved its state", move || {
            let saved = pause.save(bytes_max);
            Ok((pause, saved))
        })?;
        let bytes = saved.map_err(of_step)?;
        if bytes.len() > bytes_max {
            let text = format!("a state of {} bytes, over the limit of {bytes_max}", bytes.len());
            return Err(Fault::new(FaultKind::Limit, text));
        }
        Ok((pause, bytes))
    }

    fn begins_anew(&self, begin: Begin) -> bool {
        match begin {
            Begin::State => false,
            Begin::Args => true,
            Begin::Declared => self.restart_snapshot().is_none(),
        }
    }

    /// Puts a new instance in the place of one whose `save` hangs, which is left behind with its thread. What waits
    /// stays.
    fn begin_without(self: &Arc<Self>, begin: Begin) -> Result<(), Fault> {
        let returned = || Fault::new(FaultKind::Denied, "its save has returned just now: try again");
        // Whatever comes after it is not what hangs, and may be of another version.
        let look = self.protocol.looks_aside().ok_or_else(returned)?;
        let (provider, anew) = (self.provider(), self.begins_anew(begin));
        let (code, again) = (Arc::clone(&provider), Arc::clone(self));
        let made = self.make_in_time(&provider, "was restarted", move || match begin {
            Begin::Declared => again.make_again(),
            Begin::State | Begin::Args => again.make_anew(&*code),
        })?;
        let Some(Lost { holder: asked, open: record }) = self.protocol.lose(look) else {
            self.shared.executor.dropper.drop(self, Instance::new(made, provider));
            return Err(returned());
        };
        self.shared.executor.watches.give_up(self);
        let reason = "it was restarted while its save hung".to_owned();
        self.extras().ended = Some(Ended::by_crash(reason.clone()));
        if let Some(lease) = asked {
            lease.lose_to_stop(self);
        }
        if anew {
            // Nor with a later restart; and one of the new instance would take the `save` that hangs.
            self.extras().snapshot = None;
        }
        record.iter().for_each(|record| self.count_before(record));
        self.tell_suspended(reason);
        self.revive(made, anew);
        Ok(())
    }

    fn begin_again(&self, code: &dyn Provider, begin: Begin, kept: Option<&[u8]>) -> Result<Made, Fault> {
        match (begin, kept) {
            (Begin::Declared, _) => Ok((self.make_again()?, None)),
            (Begin::State, Some(state)) => Ok((code.restore(code.schema(), state)?, None)),
            (Begin::State | Begin::Args, _) => {
                let new = self.make_anew(code)?;
                // An older snapshot must not come back with the next restart.
                let keeps = self.birth.options.restart_state == RestartState::LastSnapshot;
                let bytes = if keeps { Some(new.save(self.shared.config.state_bytes_max)?) } else { None };
                Ok((new, bytes))
            }
        }
    }

    fn make_in_time<T: Send + 'static>(
        self: &Arc<Self>,
        provider: &Arc<dyn Provider>,
        did: &str,
        job: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let hung = format!("{} hung while it {did}", self.addr);
        self.shared.make_in_time(provider, &hung, move || crate::ports::guarded(job))
    }
}

fn denied(why: &dyn std::error::Error) -> Fault {
    Fault::new(FaultKind::Denied, why.to_string())
}

fn of_step(why: StepError) -> Fault {
    match why {
        StepError::Fault(fault) => fault,
        StepError::Lost(lost) => denied(&lost),
    }
}
