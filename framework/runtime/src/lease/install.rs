//! The exchange itself: another instance takes over, with all that waits for the actor.

use super::{LeaseLost, LeaseStep, Quiesced, Resumed};
use crate::cell::affairs::Mending;
use crate::cell::checkpoint::Base;
use crate::cell::envelope::{Barred, Envelope, Kind};
use crate::cell::extras::{Conversations, Snapshot};
use crate::cell::mending::Retimed;
use crate::cell::protocol::{Again, Beside};
use crate::cell::record::{Crash, Record};
use crate::cell::{Gate, Instance, System};
use crate::config::{Generation, RestartState};
use crate::dead_letters::DeadReason;
use crate::ports::{Behaviour, Provider, Why};
use std::sync::Arc;
use std::time::Duration;

/// How an instance takes over.
pub(crate) struct Install {
    pub(crate) why: Why,
    pub(crate) generation: Generation,
    /// What the old instance planned, asked and owes ends with it.
    pub(crate) anew: bool,
    pub(crate) record: Option<Box<Record>>,
    /// What the new instance has said instead of the old one.
    pub(crate) mending: Option<Mending>,
    /// A turn that was begun, whose message is handled first. Dropped with this when the pause is lost.
    pub(crate) ahead: Option<Crash>,
}

impl Install {
    /// An instance that takes over everything as it is.
    pub(crate) const fn as_it_is(why: Why, generation: Generation) -> Self {
        Self { why, generation, anew: false, record: None, mending: None, ahead: None }
    }

    /// What the new instance was made of, if that was what was `saved` under the pause.
    fn base(&self, saved: Option<Arc<Snapshot>>) -> Base {
        match saved {
            _ if self.anew => Base::Args,
            Some(saved) if self.mending.is_none() => Base::State(saved),
            _ => Base::Unknown,
        }
    }
}

/// What became of the mailbox.
struct Swapped {
    old: Instance,
    queued_messages: usize,
    again: Again,
    /// Messages without a way, with the reason; `None`: they belong to the life that ends.
    refused: Vec<(Envelope, Option<Barred>)>,
    over: Conversations,
    retimed: Retimed,
}

impl Quiesced {
    pub(crate) fn install(
        mut self,
        (new, provider): (Box<dyn Behaviour>, Arc<dyn Provider>),
        mut install: Install,
        committed: impl FnOnce(),
    ) -> Result<Resumed, LeaseLost> {
        self.lease.step(LeaseStep::Commit);
        let cell = Arc::clone(&self.cell);
        let outside = install.record.as_ref().map(|record| Arc::clone(&record.outside));
        let (generation, renewed) = (install.generation, install.generation != self.generation);
        if renewed {
            cell.counts_for(self.provider().version());
        }
        let Some(swapped) = self.swap((new, &provider), &mut install) else { return Err(self.lost()) };
        let figures = if renewed { cell.figures_anew(provider.version()) } else { cell.figures() };
        let paused = self.lease.finish(&cell).map_or(Duration::ZERO, |since| cell.shared.clock.now().since(since));
        cell.set_blocking(&*provider);
        let snapshot = self.snapshot.take().map(Arc::new);
        cell.keep_from(&*provider, install.base(snapshot.clone()));
        if let Some(snapshot) = snapshot.filter(|_| cell.birth.options.restart_state == RestartState::LastSnapshot) {
            cell.extras().snapshot = Some(snapshot);
        }
        if !renewed {
            cell.lose_record(install.anew);
        } else if outside.is_some() || cell.existing_extras().is_some_and(|extras| extras.recording.is_some()) {
            cell.extras().recording = outside;
        }
        let pathless = swapped.refused.iter().filter(|(_, why)| why.is_some()).count();
        let dead_letters = cell.remap_parked(&provider) + pathless;
        committed();
        cell.retime(swapped.retimed);
        let reason = if install.mending.is_some() { DeadReason::RolledBack } else { DeadReason::Restarted };
        if let Some(Mending { replies, dead, resolved, .. }) = install.mending {
            replies.into_iter().for_each(|(call, answer)| cell.reply_late(call, answer));
            let letters = &cell.shared.dead_letters;
            for letter in dead {
                letters.record(letter);
            }
            for letter in resolved {
                letters.forget(letter);
            }
        }
        cell.tell_resumed(paused, swapped.queued_messages);
        cell.owe(swapped.again);
        let mut waiting = Vec::new();
        for (envelope, why) in swapped.refused {
            match why {
                Some(why) => cell.shared.bar(envelope, &why, &cell.addr),
                None => waiting.push(envelope),
            }
        }
        cell.forget(swapped.over, waiting, &reason);
        let (queued_messages, old) = (swapped.queued_messages, Some(swapped.old.behaviour));
        Ok(Resumed { paused, queued_messages, dead_letters, generation, old, figures })
    }

    /// `None`: the pause is over, and nothing changed.
    fn swap(
        &self,
        (new, provider): (Box<dyn Behaviour>, &Arc<dyn Provider>),
        install: &mut Install,
    ) -> Option<Swapped> {
        let cell = &self.cell;
        let Install { why, generation, anew, record, mending, ahead } = install;
        let mut instance = Instance::new(new, Arc::clone(provider));
        let renewed = *generation != self.generation;
        instance.record = record.take().or_else(|| if renewed { None } else { Record::anew(cell) });
        let gate = Gate::new(Arc::clone(provider), *generation);
        let anew = *anew || cfg!(feature = "bug-u41"); // Planted: an upgrade ends what the actor was waiting for.
        let (mut barred, mut over, mut retimed) = (Vec::new(), Conversations::default(), Retimed::default());
        let mut beside = Beside { ahead: ahead.as_mut().and_then(Crash::take), behind: Vec::new() };
        let own = mending.as_mut().map(|mending| std::mem::take(&mut mending.own_new)).unwrap_or_default();
        let told = |(tag, body)| Envelope::new(tag, body, Kind::Tell, Some(Arc::clone(cell)));
        beside.behind.extend(own.into_iter().map(told));
        let (mending, now) = (mending.as_ref(), cell.shared.clock.now());
        let fired = beside.ahead.as_ref().and_then(|envelope| match envelope.kind {
            Kind::Timer(id) => Some((id, (envelope.tag(), envelope.body.clone()))),
            _ => None,
        });
        let renew = |old: &mut Gate| {
            *old = gate;
            // Its timer is as it was before: gone with the others, if nobody wants it.
            if let Some((id, said)) = fired {
                cell.refire(id, said);
            }
            if anew {
                over = cell.take_conversations();
            } else if let Some(mending) = mending {
                (over, retimed) = cell.mend(mending, now);
            }
            cell.unname_outbox();
        };
        let remap = |gate: &Gate, envelope: &mut Envelope| {
            let stays = mending.is_none_or(|mending| mending.mend(envelope, now));
            envelope.own = 0; // Whoever records what comes now gives names of its own.
            if !stays || (anew && envelope.is_of_one_life()) {
                barred.push(None);
                return false;
            }
            let admitted = match envelope.asker() {
                Some(_) if cfg!(feature = "bug-u43") => Err(Barred::ReplyShape), // Planted: callers are sent away.
                // Planted: what waits keeps the way that the old code had for it.
                _ if cfg!(feature = "bug-m16") => Ok(()),
                _ => gate.admit(envelope),
            };
            admitted.map_err(|why| barred.push(Some(why))).is_ok()
        };
        let first = System::Start(*why);
        let Ok(replaced) = cell.protocol.commit(self.id, instance, renew, first, remap, &mut beside) else {
            ahead.iter_mut().for_each(|crash| crash.put(beside.ahead.take()));
            return None;
        };
        let (old, queued_messages, again) = (replaced.old, replaced.queued_messages, replaced.again);
        let refused = replaced.refused.into_iter().zip(barred).collect();
        Some(Swapped { old, queued_messages, again, refused, over, retimed })
    }
}
