//! How an actor's pause is had: asked for, or taken over from whoever holds what could not be taken back.

use super::{Transaction, stale};
use crate::error::UpgradeError;
use crate::plan::ReleaseRef;
use crate::report::Now;
use crate::step::Step;
use std::time::Duration;
use teneral_runtime::{Generation, LeaseRequest, Quiesced};

/// Whether what was held is so again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It is this upgrade's.
    Ours,
    /// It is.
    Again,
}

impl Transaction<'_> {
    /// Held as it was before this upgrade.
    pub(super) fn hold_again(&mut self) {
        let addr = &self.job.moved.addr;
        match self.lease.take().map(|lease| self.shared.probations.give_pause(addr, lease)) {
            Some(Ok(())) => self.held = Some(Held::Again),
            Some(Err(_)) => self.taken = true,
            None => {}
        }
    }

    pub(super) fn pause(&mut self) -> Result<(), UpgradeError> {
        let held = self.shared.probations.lend_pause(&self.job.moved.addr);
        if let Some(held) = held {
            return self.pause_again(held);
        }
        let (moved, options) = (&self.job.moved, &self.job.options);
        self.probe.enters(&self.job.actor.provider());
        let planned = Generation(moved.generation);
        let generation = if cfg!(feature = "bug-f36") { self.job.actor.info().generation } else { planned };
        let max_pause = if cfg!(feature = "bug-f31") { Duration::from_secs(86_400) } else { options.max_pause };
        let request = self.job.actor.ask_pause(LeaseRequest {
            owner: self.shared.id.to_string(),
            generation,
            quiesce_timeout: options.quiesce_timeout,
            max_pause,
            on_lost: self.on_lost.take().unwrap_or_else(|| Box::new(drop)),
        });
        let request = request.map_err(UpgradeError::Pause)?;
        self.shared.now_paused(&self.job.actor);
        // Looked again now that a cancel finds the request: one that came before found nothing to withdraw.
        let going = self.shared.go_on();
        let lease = going.and_then(|()| self.known(request.wait().map_err(UpgradeError::Pause)?));
        self.lease = Some(lease.inspect_err(|_| self.shared.no_longer_paused(&self.job.moved.addr))?);
        Ok(())
    }

    /// It is paused already, since it could not be taken back: not for a moment does it go on.
    fn pause_again(&mut self, held: Quiesced) -> Result<(), UpgradeError> {
        let options = &self.job.options;
        self.probe.enters(&self.job.actor.provider());
        let on_lost = self.on_lost.take().unwrap_or_else(|| Box::new(drop));
        let lost = |lost| UpgradeError::Lost { step: Step::Pause, lost };
        let lease = held.hand_over(self.shared.id.to_string(), options.max_pause, on_lost).map_err(lost)?;
        (self.lease, self.held) = (Some(lease), Some(Held::Ours));
        self.shared.now_paused(&self.job.actor);
        // Looked again now that a cancel finds the pause.
        self.shared.go_on().inspect_err(|_| self.hold_again())
    }

    /// A name is not an actor: whoever bears it now may have been started since the plan was made, at its own first
    /// generation. What is paused runs what the plan says, or nothing is done to it.
    fn known(&mut self, lease: Quiesced) -> Result<Quiesced, UpgradeError> {
        let (moved, running) = (&self.job.moved, lease.provider());
        let found = ReleaseRef::of(running.manifest(), running.digest());
        if found == moved.from {
            return Ok(lease);
        }
        let generation = lease.generation().0;
        let stale = stale(moved, &found, generation);
        self.stranger = Some(Now::Serving { version: found.version, generation });
        Err(stale)
    }
}
