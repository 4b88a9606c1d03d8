//! What is kept here of an instance in another process, so that the end of that process does not cost the actor what
//! it had in its state: the last checkpoint, a state that was saved between two messages, and the turns since.
//!
//! It lies in the cell and not in the instance, which is gone with its process. `redo` goes on from it. What the actor
//! waits for, planned, asked and owes was never in the process and needs nothing of this.

use super::Cell;
use super::body::Body;
use super::effects::Buffer;
use super::envelope::{Envelope, Kind, SAVING};
use super::extras::Snapshot;
use super::lane::Weigh;
use super::log::{Elsewhere, Log, More};
use super::record::said;
use super::{Instance, redo};
use crate::checkpoint::{CheckpointSeen, NotReplayed, Recovered};
use crate::config::RestartState;
use crate::ports::{Checkpoints, Fault, Provider, Waiting, Why, guarded};
use crate::remote::Given;
use crate::spawn::Watch;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use teneral_contract::{Fingerprint, Tag};

/// Whoever looks waits so long for one that is being gone on from.
const LOOK: Duration = Duration::from_millis(5);

/// What an actor goes on from.
#[derive(Clone)]
pub(crate) enum Base {
    /// Nobody knows the bytes of the state that it began with: a checkpoint is due.
    Unknown,
    /// Its start arguments.
    Args,
    /// This state.
    State(Arc<Snapshot>),
}

/// See the module.
pub(crate) struct Checkpointed {
    pub(super) bounds: Checkpoints,
    pub(super) base: Base,
    /// When it was taken.
    wall_ns: u64,
    /// The turns since, unless they are not kept.
    pub(super) log: Log,
    /// All turns since, with what they weigh where they are not kept, and how long the code took.
    pub(super) turns: usize,
    bytes: usize,
    took: Duration,
    /// When the next checkpoint is due: at so many of these.
    due: (usize, usize, Duration),
    /// As much of the code's time is a checkpoint due after: to do it anew takes as long.
    took_max: Duration,
    /// Why the turns since are not done anew.
    pub(super) refusal: Option<NotReplayed>,
    /// The process is gone, and nothing goes on yet.
    pub(super) gone: bool,
    /// Of the turns since, those that nobody does anew: two processes died with each.
    pub(super) aside: BTreeSet<usize>,
    /// Why the latest of them was.
    pub(super) aside_why: Option<NotReplayed>,
    /// How processes died while they did the turns since.
    pub(super) deaths: redo::Deaths,
    /// What the latest instance was made of, until it serves.
    pub(super) made: Option<(Base, Recovered)>,
}

/// A turn that was handed over and is back, before anything of it happens.
pub(super) struct Noted<'a> {
    /// `None`: the first turn of an instance.
    pub(super) envelope: Option<&'a Envelope>,
    pub(super) why: Option<Why>,
    pub(super) waiting: Option<Waiting>,
    pub(super) given: Given,
    pub(super) took: Duration,
    pub(super) drew: Drew,
}

/// Whether a turn drew random numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drew {
    Nothing,
    Some,
}

impl Checkpointed {
    fn new(bounds: Checkpoints, base: Base, wall_ns: u64, took_max: Duration) -> Self {
        let mut new = Self {
            bounds,
            base,
            wall_ns,
            log: Log::default(),
            turns: 0,
            bytes: 0,
            took: Duration::ZERO,
            due: (0, 0, Duration::ZERO),
            took_max,
            refusal: None,
            gone: false,
            aside: BTreeSet::new(),
            aside_why: None,
            deaths: redo::Deaths::default(),
            made: None,
        };
        new.begin();
        new
    }

    /// Nothing has come since the checkpoint.
    fn begin(&mut self) {
        self.log.clear();
        (self.turns, self.bytes, self.took) = (0, 0, Duration::ZERO);
        (self.refusal, self.deaths) = (None, redo::Deaths::default());
        (self.aside, self.aside_why) = (BTreeSet::new(), None);
        self.due = (0, usize::MAX, Duration::MAX);
        if !matches!(self.base, Base::Unknown) {
            self.put_off();
        }
    }

    /// The next one is due when as much again has come.
    fn put_off(&mut self) {
        let Checkpoints { messages_max, bytes_max, .. } = self.bounds;
        let bytes = self.kept_bytes();
        self.due = (self.turns + messages_max.max(1), bytes.saturating_add(bytes_max), self.took + self.took_max);
    }

    fn kept_bytes(&self) -> usize {
        self.bytes + self.log.bytes()
    }

    fn is_due(&self) -> bool {
        if cfg!(feature = "bug-p31") {
            return false; // Planted: there is never another checkpoint.
        }
        let (turns, bytes, took) = self.due;
        self.turns >= turns || self.kept_bytes() >= bytes || self.took >= took
    }

    /// How many more turns may come before the next one is due; at least 1.
    fn room(&self) -> usize {
        if cfg!(feature = "bug-p31") { usize::MAX } else { self.due.0.saturating_sub(self.turns).max(1) }
    }

    /// Why the turns since would not be done anew.
    pub(super) fn not_replayed(&self) -> Option<NotReplayed> {
        let declared = (!self.bounds.replays).then_some(NotReplayed::NotDeterministic);
        self.refusal.clone().or(declared).filter(|_| self.turns > 0)
    }

    fn note(&mut self, cell: &Cell, noted: &Noted<'_>, done: &Result<(), Fault>, buffer: &Buffer<'_>) {
        let Noted { envelope, why, waiting, given, drew, .. } = *noted;
        if self.refusal.is_some() || !self.bounds.replays {
            // The next instance has a first turn of its own.
            let Some(envelope) = envelope else { return };
            self.bytes += envelope.weight_bytes();
        }
        self.turns += 1;
        self.took += noted.took;
        if self.refusal.is_some() || !self.bounds.replays {
            return;
        }
        let plain = done.is_ok() && buffer.effects.is_empty() && buffer.stop.is_none();
        if let Some(envelope) = envelope.filter(|_| plain && drew == Drew::Nothing && waiting.is_none()) {
            if self.log.pack(envelope, given.now_ns) {
                return;
            }
            self.log.learn(envelope.tag(), envelope.from.as_ref().map(|from| &from.addr));
        }
        let copied = envelope.map_or_else(nothing, copied);
        let said = if done.is_ok() { said(cell, &buffer.effects) } else { Vec::new() };
        let elsewhere = Some(Box::new(Elsewhere { given, why, failed: done.is_err() }));
        let more = More { started: envelope.is_none(), waiting, said, elsewhere, ..More::default() };
        self.log.push(copied, given.now_ns, Some(Box::new(more)));
    }

    /// None could be taken: what is kept meanwhile is bounded all the same.
    fn not_taken(&mut self, fault: Fault) {
        if self.turns > self.bounds.messages_max || self.kept_bytes() > self.bounds.bytes_max {
            self.log.clear();
            self.bytes = 0;
            self.refusal.get_or_insert(NotReplayed::NotTaken(fault));
        }
        self.put_off();
    }

    fn seen(&self) -> CheckpointSeen {
        CheckpointSeen {
            wall_ns: self.wall_ns,
            state_bytes: self.state_bytes(),
            messages: self.turns,
            kept_bytes: self.log.bytes(),
            not_replayed: self.not_replayed(),
        }
    }

    pub(super) fn state_bytes(&self) -> Option<usize> {
        if let Base::State(snapshot) = &self.base { Some(snapshot.bytes.len()) } else { None }
    }
}

/// In the place of a message.
fn nothing() -> Envelope {
    let tag = Tag { variant: 0, fingerprint: Fingerprint::NONE };
    Envelope::new(tag, Body::copy(&[]), Kind::Tell, None)
}

/// The message, without the way back to its asker, which nobody takes a second time.
fn copied(envelope: &Envelope) -> Envelope {
    let kind = match &envelope.kind {
        Kind::Ask(_) => Kind::Tell,
        kind => kind.clone(),
    };
    Envelope::new(envelope.tag(), envelope.body.clone(), kind, envelope.from.clone())
}

impl Cell {
    /// What is kept of its instance, if anything is.
    pub(super) fn checkpointed(&self) -> Option<Arc<Mutex<Checkpointed>>> {
        self.existing_extras().and_then(|extras| extras.checkpointed.clone())
    }

    /// Another instance is about to serve, which began with that.
    pub(crate) fn keep_from(&self, provider: &dyn Provider, base: Base) {
        let made = provider.checkpoints().map(|bounds| {
            let (clock, start_timeout) = (&self.shared.clock, self.shared.config.start_timeout);
            Arc::new(Mutex::new(Checkpointed::new(bounds, base, clock.wall_ns(), start_timeout / 4)))
        });
        if made.is_some() || self.existing_extras().is_some_and(|extras| extras.checkpointed.is_some()) {
            self.extras().checkpointed = made;
        }
    }

    /// A turn is back from elsewhere: it is kept as long as there is no checkpoint behind it.
    pub(super) fn note(
        &self,
        checkpointed: &Mutex<Checkpointed>,
        noted: &Noted<'_>,
        done: &Result<(), Fault>,
        buffer: &Buffer<'_>,
    ) {
        checkpointed.lock().note(self, noted, done, buffer);
    }

    /// How many more turns may be handed over.
    pub(super) fn room_before_checkpoint(&self) -> usize {
        self.checkpointed().map_or(usize::MAX, |checkpointed| checkpointed.lock().room())
    }

    /// Takes a checkpoint, if one is due. The cell is between two messages, and nothing of it is away.
    pub(super) fn checkpoint(self: &Arc<Self>, instance: &Instance, watch: &Watch) {
        let Some(checkpointed) = self.checkpointed() else { return };
        let mut checkpointed = checkpointed.lock();
        if !checkpointed.is_due() {
            return;
        }
        watch.turn(SAVING);
        let bytes_max = self.shared.config.state_bytes_max;
        // Elsewhere it has a deadline of its own.
        let watches = &self.shared.executor.watches;
        match watches.wait(self, || guarded(|| instance.behaviour.save(bytes_max))) {
            Ok(bytes) => {
                let schema = instance.provider.schema();
                checkpointed.base = Base::State(Arc::new(Snapshot { schema, bytes }));
                checkpointed.wall_ns = self.shared.clock.wall_ns();
                checkpointed.begin();
            }
            Err(fault) => {
                tracing::warn!(actor = %self.addr, kind = self.addr.kind(), %fault, "no checkpoint could be taken");
                checkpointed.not_taken(fault);
            }
        }
    }

    /// The process of its instance is gone.
    pub(super) fn lost_its_process(&self) {
        if let Some(checkpointed) = self.checkpointed() {
            checkpointed.lock().gone = true;
        }
    }

    /// Whether its process is gone and the next instance goes on with all that this one did.
    pub(super) fn goes_on_whole(&self) -> bool {
        self.checkpointed().is_some_and(|checkpointed| {
            let checkpointed = checkpointed.lock();
            checkpointed.gone && checkpointed.not_replayed().is_none()
        })
    }

    /// Whether the next instance knows nothing of what the one before planned, asked and owes.
    pub(super) fn begins_from_nothing(&self) -> bool {
        let checkpointed = self.checkpointed();
        let made = checkpointed.as_ref().and_then(|checkpointed| {
            let checkpointed = checkpointed.lock();
            let (base, recovered) = checkpointed.made.as_ref()?;
            Some(matches!(base, Base::Args) && recovered.not_replayed > recovered.replayed)
        });
        made.unwrap_or_else(|| self.restart_snapshot().is_none())
    }

    /// A new instance goes on in the place of one that failed. How it was made of the checkpoint, if it was; one that
    /// begins `anew` or from the last snapshot goes on from there the next time as well.
    pub(super) fn keep_on(&self, anew: bool) -> Option<Recovered> {
        let checkpointed = self.checkpointed()?;
        let snapshot = self.restart_snapshot();
        let mut checkpointed = checkpointed.lock();
        checkpointed.gone = false;
        let made = checkpointed.made.take();
        let (base, recovered) = match (made, snapshot) {
            (Some((base, recovered)), _) => (base, Some(recovered)),
            (None, Some(snapshot)) if !anew => (Base::State(snapshot), None),
            (None, _) => (if anew { Base::Args } else { Base::Unknown }, None),
        };
        // What was done anew is done anew once more, should this process die as well.
        if recovered.as_ref().is_none_or(|recovered| recovered.replayed == 0) {
            checkpointed.base = base;
            checkpointed.begin();
        }
        if recovered.is_none() {
            checkpointed.wall_ns = self.shared.clock.wall_ns();
        }
        recovered
    }

    /// What is kept; `None`: nothing, or it is being gone on from.
    pub(crate) fn checkpoint_seen(&self) -> Option<CheckpointSeen> {
        let checkpointed = self.checkpointed()?;
        let seen = checkpointed.try_lock_for(LOOK)?.seen();
        Some(seen)
    }

    /// Whether the state that a lease saves is a checkpoint as well, or what a restart goes on from.
    pub(crate) fn keeps_saved(&self, provider: &dyn Provider) -> bool {
        self.birth.options.restart_state == RestartState::LastSnapshot || provider.checkpoints().is_some()
    }
}
