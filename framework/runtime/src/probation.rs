//! A version on probation, as the runtime sees it: what it is told is recorded, so that the version before can do the
//! work anew, and a panic of it is somebody else's to decide.
//!
//! The idea of replaying the accepted input on the old code is event sourcing's; that effects are matched instead of
//! sent twice is how Temporal replays a workflow, by kind and place. What differs there is an error of the workflow;
//! here it is what an operator looks at.

use crate::ActorRef;
use crate::cell::Cell;
use crate::cell::envelope::SAVING;
use crate::cell::record::{OnCrash, Outside};
use crate::figures::Figures;
use crate::lease::Crashed;
use crate::ports::{Digest, Provider};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is to be recorded of a version that is about to serve.
pub struct Recording {
    /// Who wants it: the upgrade's id.
    pub owner: String,
    /// Turns that are kept at most.
    pub messages_max: usize,
    /// Bytes that are kept at most.
    pub bytes_max: usize,
    /// The version that would do the work anew.
    pub old: Arc<dyn Provider>,
    /// Why nothing need be kept, if that is known from the start.
    pub no_replay: Option<NoReplay>,
    /// A turn that takes longer than this is counted as slow; `None`: none is.
    pub slow_over: Option<Duration>,
    /// Called once when a turn panics, or the first one fails, on that turn's thread; short, and never waits. The actor
    /// is paused then: who was called decides what becomes of it; whoever had asked for a pause is refused it. `None`:
    /// its supervisor decides, as for every actor.
    pub on_crash: Option<OnCrash>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// Why the work since the commit cannot be done anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReplay {
    /// The kind does not say that equal messages have equal effects.
    #[error("the kind is not declared deterministic")]
    NotDeterministic,
    /// A turn that is taken a second time there would number its calls and timers differently.
    #[error("the kind runs in a process of its own, where nothing is done anew")]
    Elsewhere,
    /// More came than is kept.
    #[error("more came since the commit than is kept: {messages_max} messages or {bytes_max} bytes")]
    Bound {
        /// Messages.
        messages_max: usize,
        /// Bytes.
        bytes_max: usize,
    },
    /// The old version has no path for a message that was handled.
    #[error("the version before has no path for {message}, which was handled since the commit")]
    Pathless {
        /// Its name.
        message: String,
    },
    /// The instance that was recorded is no more.
    #[error("the actor began anew since the commit")]
    Restarted,
    /// What was kept was taken out for a way back, and not given back.
    #[error("what was kept is gone: a way back was begun and did not come to its end")]
    Lost,
    /// What was kept is with the code of the version before, which does not return.
    #[error("the version before did not return when it was to do the work anew")]
    Hung,
}

/// What is kept so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSeen {
    /// Turns.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
    /// Why nothing is, if that is so.
    pub no_replay: Option<NoReplay>,
    /// The state since the commit is gone, with what was in it before: the actor began from its start arguments.
    pub anew: bool,
}

impl ActorRef {
    /// What the turns of the version that serves came to. Turns that ended well are counted when the actor lets others
    /// run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.cell.figures()
    }

    /// The artifact whose code does not return from a turn of this actor, for as long as it does not.
    #[must_use]
    pub fn hangs(&self) -> Option<Digest> {
        self.cell.shared.executor.watches.hangs(&self.cell)
    }

    /// In what it does not return, as the message's name or in a word, for as long as it does not.
    #[must_use]
    pub fn hangs_in(&self) -> Option<String> {
        self.hangs_at().map(|index| Cell::doing(&self.cell.provider(), index))
    }

    /// Whether its `save` hangs, for somebody who wanted a copy of its state.
    pub(crate) fn hangs_in_save(&self) -> bool {
        self.hangs_at() == Some(SAVING)
    }

    fn hangs_at(&self) -> Option<u32> {
        self.cell.shared.executor.watches.hanging(&self.cell)
    }

    /// Goes on without a turn of a version on probation that hangs, as after a panic: the actor is paused, and what the
    /// turn does when it returns is nobody's. `None`: no turn of it hangs, or its kind declares to block.
    #[must_use]
    pub fn give_turn_up(&self) -> Option<Crashed> {
        if self.provider().manifest().blocking { None } else { self.cell.give_turn_up() }
    }

    /// What is kept of a version on probation; `None`: nothing is being recorded.
    #[must_use]
    pub fn recorded(&self) -> Option<RecordSeen> {
        let outside = self.cell.existing_extras().and_then(|extras| extras.recording.clone());
        outside.filter(|outside| !outside.is_over()).map(|outside| outside.seen())
    }

    /// What was taken out for a way back does not come back: nothing can be done anew any more, and this is why.
    pub fn give_record_up(&self, why: NoReplay) {
        if let Some(outside) = self.cell.existing_extras().and_then(|extras| extras.recording.clone()) {
            outside.refuse(why);
        }
    }

    /// Why this artifact is quarantined, if it is; as [`crate::Runtime::quarantined`].
    #[must_use]
    pub fn quarantined(&self, digest: Digest) -> Option<String> {
        self.cell.shared.quarantined(digest)
    }

    /// Ends this owner's recording: what was kept is dropped at the next message boundary, and a panic is the
    /// supervisor's. Nothing when it has ended, or another one has begun with the next version.
    pub fn end_recording(&self, owner: &str) {
        let its = |outside: &mut Arc<Outside>| outside.owner == owner;
        let outside = self.cell.existing_extras().and_then(|mut extras| extras.recording.take_if(its));
        if let Some(outside) = outside {
            outside.end();
            self.cell.forget_record();
        }
    }
}
