//! What came of an upgrade, for every actor that was named.
//!
//! A report is built from the plan's own list, one entry an actor, and an entry always has an outcome: an actor that
//! was skipped without a word cannot be written down. As text it is what an operator reads, as JSON what a program
//! reads.

use crate::error::{UpgradeError, chain};
use crate::plan::{Direction, Move, Unchanged};
use crate::probation::WayBack;
use crate::step::Step;
use crate::trial::Rehearsed;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use teneral_contract::{Addr, Digest};
use teneral_runtime::{Generation, Tally, What};
use teneral_store::UpgradeId;

/// What came of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Names it in logs and in the journal.
    pub id: UpgradeId,
    /// Who asked.
    pub who: String,
    /// Their reason.
    pub why: String,
    /// One entry a named actor: the plan's moves in their order, then who already was there.
    pub actors: Vec<ActorReport>,
    /// What the plan warned of.
    pub warnings: Vec<String>,
    /// Whether the journal has all of it.
    pub journal: Record,
    /// Threads of this process that hang in plugin code, over all upgrades so far.
    pub threads_lost: usize,
}

/// Whether the journal has all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// It has.
    Kept,
    /// Some of it could not be written. What this report says is true all the same.
    Incomplete(Failure),
}

/// What came of one actor's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActorReport {
    /// Who.
    pub actor: Addr,
    /// What it ran.
    pub from: Version,
    /// What it was to run.
    pub to: Version,
    /// Which way.
    pub direction: Direction,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The last step that was begun.
    pub step: Step,
    /// How long it was paused; 0 when it never was.
    pub pause_us: u64,
    /// Size of the snapshot; 0 when none was taken.
    pub snapshot_bytes: usize,
    /// Messages that waited for it when it resumed.
    pub queued_at_resume: usize,
    /// What waited for it and became dead letters, since the new code has no way for it.
    pub dead_letters: usize,
    /// What serves now.
    pub now: Now,
    /// SHA-256 of the state before, if a snapshot was taken.
    pub state_before: Option<Digest>,
    /// SHA-256 of the state after, where it is known without asking the new code: it stayed as it was, or it was
    /// written down for older code.
    pub state_after: Option<Digest>,
    /// What its rehearsal told, if it had one and passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Rehearsed>,
    /// Of a way back after a commit: which, and what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<WentBack>,
}

/// A way back after a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WentBack {
    /// The upgrade that was taken back.
    pub of: UpgradeId,
    /// By which way.
    pub way: WayBack,
    /// Messages that came since the commit, as far as they were kept.
    pub messages: usize,
    /// Those that the version before had no part in.
    pub skipped: usize,
    /// Those that it answered with an error.
    pub failed: usize,
    /// Effects that had been sent and that it wanted sent.
    pub matched: usize,
    /// Effects that had been sent and that it would not have sent.
    pub unsaid: usize,
    /// Effects that it wants sent and were not: `upgrade held` lists them.
    pub held: usize,
    /// Effects that were held, of this or of rollbacks before, and are dropped: they made room for these.
    #[serde(default)]
    pub dropped: usize,
    /// How long it took to handle the messages anew.
    pub replay_us: u64,
}

impl WentBack {
    pub(crate) fn of(of: &UpgradeId, way: WayBack, tally: Tally) -> Self {
        Self {
            of: of.clone(),
            way,
            messages: tally.turns,
            skipped: tally.skipped,
            failed: tally.failed,
            matched: tally.matched,
            unsaid: tally.unsaid,
            held: 0,
            dropped: 0,
            replay_us: micros(tally.took),
        }
    }
}

/// What came of one actor's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The new version serves.
    Committed,
    /// It already was there; nobody paused it.
    Unchanged,
    /// It was paused, and the old version serves with the old state.
    RolledBack(Failure),
    /// It was not paused at all.
    Refused(Failure),
    /// It could not be paused in time, and can be tried again.
    Deferred(Failure),
}

/// What the rehearsal of a planned move came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trialled {
    /// Who.
    pub actor: Addr,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: TrialOutcome,
}

/// What a rehearsal came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "trial", rename_all = "snake_case")]
pub enum TrialOutcome {
    /// The upgrade would go on.
    Passed(Rehearsed),
    /// There is none: the code is linked into the host, and no other process can load it.
    Linked,
    /// It would be refused.
    Failed(Failure),
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// The stable code.
    pub code: String,
    /// The cause, with what it comes from.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
}

/// What serves after the upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "now", rename_all = "snake_case")]
pub enum Now {
    /// This version, at this generation.
    Serving {
        /// Which version.
        version: Version,
        /// At which generation.
        generation: u64,
    },
    /// Its supervisor replaces the instance, which hangs in `save`.
    Replaced {
        /// Which version.
        version: Version,
        /// At which generation.
        generation: u64,
    },
    /// Nothing handles its messages: it is paused with its state and its queue, until an operator decides.
    Held {
        /// Which version is paused.
        version: Version,
        /// At which generation.
        generation: u64,
    },
    /// Nothing.
    Stopped,
}

impl Failure {
    /// An error as text.
    #[must_use]
    pub fn of(error: &UpgradeError) -> Self {
        let cause = if cfg!(feature = "bug-u7") { "it failed".to_owned() } else { chain(error) };
        Self { code: error.code().to_owned(), cause, hint: error.hint() }
    }
}

impl Outcome {
    /// As journals and JSON write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Unchanged => "unchanged",
            Self::RolledBack(_) => "rolled_back",
            Self::Refused(_) => "refused",
            Self::Deferred(_) => "deferred",
        }
    }

    /// Why not, if it was not.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Committed | Self::Unchanged => None,
            Self::RolledBack(failure) | Self::Refused(failure) | Self::Deferred(failure) => Some(failure),
        }
    }
}

impl ActorReport {
    /// Nothing has happened to the actor but what `outcome` says.
    pub(crate) fn untouched(moved: &Move, step: Step, outcome: Outcome, now: Now) -> Self {
        Self {
            actor: moved.addr.clone(),
            from: moved.from.version.clone(),
            to: moved.to.version.clone(),
            direction: moved.direction,
            outcome,
            step,
            pause_us: 0,
            snapshot_bytes: 0,
            queued_at_resume: 0,
            dead_letters: 0,
            now,
            state_before: None,
            state_after: None,
            trial: None,
            back: None,
        }
    }

    /// What subscribers of the runtime's events are told; nothing when the actor already was there.
    pub(crate) fn event(&self) -> Option<What> {
        let (addr, from, to) = (self.actor.clone(), self.from.clone(), self.to.clone());
        let Failure { code, cause, .. } = match &self.outcome {
            Outcome::Unchanged => return None,
            Outcome::Committed => {
                let Now::Serving { generation, .. } = self.now else { return None };
                let (paused, queued_messages) = (Duration::from_micros(self.pause_us), self.queued_at_resume);
                return Some(What::Upgraded {
                    addr,
                    from,
                    to,
                    generation: Generation(generation),
                    paused,
                    queued_messages,
                });
            }
            Outcome::RolledBack(failure) | Outcome::Refused(failure) | Outcome::Deferred(failure) => failure.clone(),
        };
        Some(match self.outcome {
            Outcome::RolledBack(_) => {
                What::RolledBack { addr, serving: from, refused: to, why: format!("[{code}] {cause}") }
            }
            _ => What::NotUpgraded { addr, serving: from, refused: to, code, why: cause },
        })
    }

    /// Refused before its turn came.
    pub(crate) fn refused(moved: &Move, step: Step, error: &UpgradeError) -> Self {
        Self::untouched(moved, step, Outcome::Refused(Failure::of(error)), Now::old(moved))
    }

    pub(crate) fn unchanged(unchanged: &Unchanged) -> Self {
        let version = unchanged.at.version.clone();
        Self {
            actor: unchanged.addr.clone(),
            from: version.clone(),
            to: version.clone(),
            direction: Direction::Same,
            outcome: Outcome::Unchanged,
            step: Step::Verify,
            pause_us: 0,
            snapshot_bytes: 0,
            queued_at_resume: 0,
            dead_letters: 0,
            now: Now::Serving { version, generation: unchanged.generation },
            state_before: None,
            state_after: None,
            trial: None,
            back: None,
        }
    }
}

impl Now {
    /// The old version, at the generation that the plan started from.
    pub(crate) fn old(moved: &Move) -> Self {
        Self::Serving { version: moved.from.version.clone(), generation: moved.generation }
    }
}

impl Report {
    /// Whether every named actor is where it was asked to go, and the journal says so.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.journal == Record::Kept && self.actors.iter().all(|actor| actor.outcome.failure().is_none())
    }

    /// The entry of one actor.
    #[must_use]
    pub fn of(&self, addr: &Addr) -> Option<&ActorReport> {
        self.actors.iter().find(|report| report.actor == *addr)
    }
}

impl fmt::Display for Report {
    /// One block an actor, the journal's trouble last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, actor) in self.actors.iter().enumerate() {
            write!(f, "{}{actor}", if i == 0 { "" } else { "\n" })?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        match &self.journal {
            Record::Kept => Ok(()),
            Record::Incomplete(failure) => {
                let Failure { code, cause, hint } = failure;
                write!(f, "\nerror[{code}]: upgrade {}: its journal is incomplete", self.id)?;
                write!(f, "\n  cause: {cause}\n  now:   what stands above is true\n  hint:  {hint}")
            }
        }
    }
}

impl fmt::Display for ActorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, from, to, step, .. } = self;
        let act = match self.direction {
            _ if self.back.is_some() => "rollback",
            Direction::Upgrade => "upgrade",
            Direction::Downgrade => "downgrade",
            Direction::Same => "reset",
        };
        let pause = Pause(self.pause_us);
        match &self.outcome {
            Outcome::Unchanged => write!(f, "{actor}: already at {to}, not paused"),
            Outcome::Committed => {
                let (bytes, queued) = (self.snapshot_bytes, self.queued_at_resume);
                let s = if queued == 1 { "" } else { "s" };
                write!(f, "{actor}: {act} {from} -> {to} committed, paused {pause}, {bytes} bytes of state, ")?;
                write!(f, "{queued} message{s} waited")?;
                self.back.iter().try_for_each(|back| write!(f, "; {back}"))?;
                match self.dead_letters {
                    0 => Ok(()),
                    lost => write!(f, "; {lost} more had no way to {to} and became dead letters"),
                }
            }
            Outcome::RolledBack(failure) => {
                write!(f, "error[{}]: {actor}: {act} {from} -> {to} rolled back at {step}, ", failure.code)?;
                write!(f, "paused {pause}{}", Rest(failure, self))
            }
            Outcome::Refused(failure) => {
                write!(f, "error[{}]: {actor}: {act} {from} -> {to} refused at {step}, ", failure.code)?;
                write!(f, "not paused{}", Rest(failure, self))
            }
            Outcome::Deferred(failure) => {
                write!(f, "error[{}]: {actor}: {act} {from} -> {to} deferred at {step}, ", failure.code)?;
                write!(f, "not paused{}", Rest(failure, self))
            }
        }
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, way, messages, held, dropped, unsaid, .. } = self;
        write!(f, "{of} taken back by {way}")?;
        match way {
            WayBack::Replay => {
                write!(f, ": {messages} messages handled anew in {}", Pause(self.replay_us))?;
                if *held > 0 {
                    write!(f, ", {held} effects held")?;
                }
                if *dropped > 0 {
                    write!(f, ", {dropped} that were held dropped to make room")?;
                }
                if *unsaid > 0 { write!(f, ", {unsaid} effects were sent in vain") } else { Ok(()) }
            }
            WayBack::Restore => write!(f, ": what {messages} messages did since the commit is given up"),
            WayBack::Downgrade => Ok(()),
        }
    }
}

/// Microseconds, for people.
pub(crate) struct Pause(pub(crate) u64);

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..10_000 => write!(f, "{us} us"),
            us => write!(f, "{} ms", us / 1000),
        }
    }
}

/// Cause, what stands now, and what to do: the lines under the first.
struct Rest<'a>(&'a Failure, &'a ActorReport);

impl fmt::Display for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failure, actor) = (self.0, self.1);
        write!(f, "\n  cause: {}\n  now:   ", failure.cause)?;
        let queued = actor.queued_at_resume;
        match &actor.now {
            Now::Stopped => f.write_str("the actor is stopped")?,
            Now::Serving { version, generation } => write!(f, "{version} is serving, generation {generation}")?,
            Now::Replaced { version, generation } => {
                write!(f, "{version} is serving from its restart state, generation {generation}")?;
            }
            Now::Held { version, generation } => {
                write!(f, "{version} is paused with its state and its messages, generation {generation}")?;
            }
        }
        match &actor.outcome {
            Outcome::RolledBack(_) if actor.now != Now::Stopped => {
                let s = if queued == 1 { "" } else { "s" };
                write!(f, "; {queued} waiting message{s} kept, in order")?;
            }
            _ => {}
        }
        write!(f, "\n  hint:  {}", failure.hint)
    }
}

/// An error of a whole upgrade in the same form: nothing was touched.
impl UpgradeError {
    /// `error[CODE]: .. / cause: / now: / hint:`, as one text.
    #[must_use]
    pub fn render(&self) -> String {
        let Failure { code, cause, hint } = Failure::of(self);
        let title =
            crate::CODES.iter().find(|(known, _)| *known == code).map_or("an artifact was refused", |(_, t)| *t);
        format!(
            "error[{code}]: {title}\n  cause: {cause}\n  now:   nobody was paused, nothing has changed\n  hint:  {hint}"
        )
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
