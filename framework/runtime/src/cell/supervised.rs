//! The cell as its supervisor sees it: made anew, revived, stopped, retired.

use super::envelope::Envelope;
use super::extras::{Conversations, Snapshot};
use super::protocol::{End, Leftovers};
use super::record::Record;
use super::waiters::wake_all;
use super::{Cell, Gate, Instance, System};
use crate::config::RestartState;
use crate::dead_letters::DeadReason;
use crate::error::StateError;
use crate::events::What;
use crate::ports::{Behaviour, Body, Fault, Provider, Why, guarded};
use crate::supervision::{Ending, Exit, Supervised};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use teneral_contract::{Addr, AskError};

/// The cell's handle in the supervision tree.
pub(crate) struct Handle(pub(crate) Arc<Cell>);

impl Supervised for Handle {
    fn addr(&self) -> &Addr {
        &self.0.addr
    }

    fn rebuild(&self) -> Result<Box<dyn Behaviour>, Fault> {
        self.0.rebuild()
    }

    fn hangs(&self) {
        let provider = self.0.provider();
        self.0.shared.quarantine(&*provider, &format!("{} hung while it was restarted", self.0.addr));
    }

    fn revive(&self, instance: Box<dyn Behaviour>) {
        self.0.revive(instance, self.0.begins_from_nothing());
    }

    fn stop(&self, why: Ending) {
        self.0.begin_end(why);
    }

    fn retire(&self, why: Ending) {
        self.0.retire(why);
    }
}

impl Cell {
    /// A new instance of the version that serves, from the last snapshot or from the start arguments.
    pub(crate) fn make_again(&self) -> Result<Box<dyn Behaviour>, Fault> {
        let provider = self.provider();
        let snapshot = self.restart_snapshot();
        guarded(|| match snapshot {
            Some(snapshot) => provider.restore(snapshot.schema, &snapshot.bytes),
            None => self.make_anew(&*provider),
        })
    }

    /// A new instance of that code, from the start arguments.
    pub(crate) fn make_anew(&self, code: &dyn Provider) -> Result<Box<dyn Behaviour>, Fault> {
        let args = &self.birth.args;
        code.create(Body { shape: args.shape, bytes: &args.bytes })
    }

    /// What the next restart starts from; `None`: the start arguments. Only a commit changes it.
    pub(crate) fn restart_snapshot(&self) -> Option<Arc<Snapshot>> {
        match self.birth.options.restart_state {
            RestartState::LastSnapshot => self.existing_extras().and_then(|extras| extras.snapshot.clone()),
            RestartState::Init => None,
        }
    }

    /// Goes on with a new instance; one that begins `anew` knows nothing of what the one before had planned.
    pub(crate) fn revive(self: &Arc<Self>, behaviour: Box<dyn Behaviour>, anew: bool) {
        let provider = self.provider();
        self.extras().ended = None;
        self.lose_record(anew);
        let recovered = self.keep_on(anew);
        let mut instance = Instance::new(behaviour, Arc::clone(&provider));
        instance.record = Record::anew(self);
        let mut over = Conversations::default();
        let renew = |_: &mut Gate| {
            if anew {
                over = self.take_conversations();
            }
        };
        let keep = |envelope: &Envelope| !(anew && envelope.is_of_one_life());
        // Told to end, and failed before it came to that: the end is not the new instance's.
        let stays = |message: &System| !matches!(message, System::End(_));
        match self.protocol.revive(instance, renew, System::Start(Why::Restarted), keep, stays) {
            Ok((again, waiting)) => {
                self.forget(over, waiting, &DeadReason::Restarted);
                let restarts = self.counts.restarts.fetch_add(1, Relaxed) + 1;
                let generation = self.protocol.look(|_, _, _, gate| gate.generation);
                let (addr, version) = (self.addr.clone(), provider.version().clone());
                if let Some(recovered) = recovered {
                    let (addr, version) = (addr.clone(), version.clone());
                    self.shared.events.emit(What::Recovered { addr, version, recovered });
                }
                self.shared.events.emit(What::Restarted { addr, version, generation, restarts });
                self.owe(again);
            }
            Err(late) => drop(late), // Stopped meanwhile.
        }
    }

    fn begin_end(self: &Arc<Self>, why: Ending) {
        match self.protocol.end_or(System::End(why)) {
            Ok(End::Later(again)) => self.owe(again),
            Ok(End::Gone(holder)) => {
                if let Some(lease) = holder {
                    lease.lose_to_stop(self);
                }
                self.tell_exit(Exit::Shutdown);
            }
            Err(_) => {}
        }
    }

    /// The end: whoever waits is answered at once, whatever waits is a dead letter, the name is free.
    pub(crate) fn retire(self: &Arc<Self>, why: Ending) {
        let Leftovers { user, system, instance, holder, waiters } = self.protocol.stop();
        self.shared.forget_cell(self);
        self.adds_up(None);
        for envelope in user {
            self.shared.lose(envelope, &self.addr, DeadReason::Stopped, AskError::Stopped);
        }
        for message in system {
            if let System::Read(slot, _) = message {
                drop(slot.fill(Err(StateError::Stopped)));
            }
        }
        self.answer_owed();
        self.abandon_outbox();
        self.existing_extras().into_iter().for_each(|mut extras| extras.checkpointed = None);
        self.cancel(&self.take_conversations());
        wake_all(waiters);
        if let Some(lease) = holder {
            lease.lose_to_stop(self);
        }
        if let Some(instance) = instance {
            self.discard(instance);
        }
        let (reason, mourners) = {
            let mut extras = self.extras();
            let ended = extras.ended.take().map(|ended| ended.reason).filter(|reason| !reason.is_empty());
            let told = extras.stop_reason.take();
            let reason = told.or(ended).unwrap_or_else(|| reason(why));
            extras.stop_reason = Some(reason.clone());
            (reason, std::mem::take(&mut extras.mourners))
        };
        self.shared.events.emit(What::Stopped { addr: self.addr.clone(), reason });
        for mourner in mourners {
            // One that is filled already waits no longer.
            let _ = mourner.fill(());
        }
    }

    /// Its instance is of no use any more. What was recorded ends at once, and so does a message that it panicked on;
    /// what runs the code's destructor may take its time.
    pub(super) fn discard(self: &Arc<Self>, mut instance: Instance) {
        drop(instance.record.take());
        self.shared.executor.dropper.drop(self, instance);
    }

    /// Whoever waits for a reply that was promised for later is told that none will come.
    pub(super) fn answer_owed(&self) {
        let owed = self.existing_extras().map(|mut extras| std::mem::take(&mut extras.owed)).unwrap_or_default();
        for number in owed {
            if let Some((_, owed)) = self.shared.calls.remove(&number) {
                owed.reply_to.refuse(AskError::Stopped);
            }
        }
    }
}

/// Why, in words; empty for a normal end.
pub(super) fn reason(why: Ending) -> String {
    let text = match why {
        Ending::Exited(Exit::Normal) | Ending::Asked => "",
        Ending::Exited(Exit::Shutdown) | Ending::Shutdown => "shutdown",
        Ending::Exited(Exit::Abnormal) => "it failed",
        Ending::Parent => "its parent stopped",
        Ending::GivenUp => "it failed too often",
        Ending::Escalated => "a child of its failed too often",
    };
    text.to_owned()
}
