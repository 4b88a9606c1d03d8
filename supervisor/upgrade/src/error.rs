//! Why an upgrade was refused or failed: a variant a cause, a stable code a variant.
//!
//! A refusal comes before anything was touched, a failure after a step broke; both name what was found and what was
//! expected, and both have a hint. A [`crate::Report`] holds them as text, since it outlives the process.

pub use crate::codes::CODES;
use crate::codes::{lost_code, pause_code, pause_hint};
use crate::plan::REQUEST_BYTES_MAX;
use crate::probation::BackError;
use crate::report::Pause;
use crate::step::Step;
use crate::trial::TrialError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::error::{LeaseLost, PauseRefused};
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_store::{StoreError, UpgradeId};

/// A refusal by the gate or the store, with its own code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{cause}")]
pub struct Refused {
    /// The stable code, for instance `GATE-DIGEST`.
    pub code: String,
    /// What was found and what was expected.
    pub cause: String,
    /// What to do about it.
    pub hint: String,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let (code, hint) = (error.code().to_owned(), error.hint().to_owned());
        Self { code, cause: chain(&error), hint }
    }
}

/// Why an upgrade was refused, or what broke it.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// A name that no actor has.
    #[error("no actor {addr}")]
    Actor {
        /// As it was typed.
        addr: Addr,
        /// The nearest names.
        hint: String,
    },
    /// No artifact of the actor's kind.
    #[error("no artifact of kind {kind} in the store")]
    Kind {
        /// As it was typed.
        kind: String,
        /// The nearest names.
        hint: String,
    },
    /// No artifact of that version.
    #[error("no {kind} {version} in the store")]
    Version {
        /// The actor's kind.
        kind: String,
        /// As it was typed.
        version: String,
        /// The nearest versions.
        hint: String,
    },
    /// The right artifact for another actor.
    #[error("{addr} is a {}, the artifact is a {kind}", .addr.kind())]
    WrongKind {
        /// The actor.
        addr: Addr,
        /// The artifact's kind.
        kind: String,
    },
    /// Named twice.
    #[error("{0} is named twice")]
    Twice(Addr),
    /// Nobody named.
    #[error("no actor is named")]
    Empty,
    /// An older version without leave to go back.
    #[error("{addr}: {from} -> {to} is a downgrade")]
    Direction {
        /// The actor.
        addr: Addr,
        /// What it runs.
        from: String,
        /// What was asked for.
        to: String,
    },
    /// No chain of migrations.
    #[error(
        "{addr}: no migration from schema {from} ({from_version}) to schema {to} ({to_version}): no artifact offers \
         the step from schema {} to {}; {diff}", .missing.0, .missing.1
    )]
    Ladder {
        /// The actor.
        addr: Addr,
        /// The running schema.
        from: u32,
        /// The running version.
        from_version: String,
        /// The new schema.
        to: u32,
        /// The new version.
        to_version: String,
        /// The step that nobody offers.
        missing: (u32, u32),
        /// How the running shape and the new one differ.
        diff: String,
    },
    /// One number, two shapes.
    #[error("{addr}: schema {schema} has another shape in {other} than in {version}{diff}")]
    Shape {
        /// The actor.
        addr: Addr,
        /// The number.
        schema: u32,
        /// The version whose state has it: the running one, or one that the way to the new one leads over.
        version: String,
        /// The version that sees it otherwise.
        other: String,
        /// How they differ, where both shapes are known.
        diff: String,
    },
    /// Messages that would be lost, where that was not to be.
    #[error("{addr}: waiting messages have no path to {to}: {what}")]
    Contract {
        /// The actor.
        addr: Addr,
        /// The new version.
        to: String,
        /// Which, how many, where.
        what: String,
    },
    /// A reset without readable arguments.
    #[error("{addr}: {to} does not read the start arguments of the actor")]
    Args {
        /// The actor.
        addr: Addr,
        /// The new version.
        to: String,
    },
    /// It did something bad before.
    #[error("{release} is in quarantine: {why}")]
    Quarantined {
        /// Kind and version.
        release: String,
        /// What it did.
        why: String,
    },
    /// The text is no plan.
    #[error("the plan cannot be read: {0}")]
    Plan(String),
    /// A plan that nobody may run.
    #[error("{addr}: {what}")]
    Steps {
        /// The actor.
        addr: Addr,
        /// Which step, and what is wrong with it.
        what: String,
    },
    /// What the request was called is no name for one.
    #[error("a request's name has {bytes} bytes, want 1 to {REQUEST_BYTES_MAX}")]
    Request {
        /// Found.
        bytes: usize,
    },
    /// It was asked for before.
    #[error("request {request} is upgrade {id}")]
    Repeated {
        /// What the request was called.
        request: String,
        /// The upgrade that it became.
        id: UpgradeId,
    },
    /// Somebody was faster.
    #[error("{addr} runs {found}, the plan starts from {planned}")]
    Stale {
        /// The actor.
        addr: Addr,
        /// The plan's version and generation.
        planned: String,
        /// The actor's.
        found: String,
    },
    /// Somebody is at it.
    #[error("{addr} is being upgraded by {by}")]
    Running {
        /// The actor.
        addr: Addr,
        /// The upgrade that has it.
        by: UpgradeId,
    },
    /// The journal does not take the upgrade.
    #[error("the journal could not be written")]
    Journal(#[source] Box<StoreError>),
    /// Too many threads hang in plugin code, or the system gives none.
    #[error("no thread for the upgrade: {0}")]
    Thread(String),
    /// The gate or the store said no.
    #[error("{what}: refused at {step}")]
    Gate {
        /// Kind and version, or the store.
        what: String,
        /// At which step.
        step: Step,
        /// Why.
        #[source]
        refused: Box<Refused>,
    },
    /// The artifact's digest or manifest is another one by now.
    #[error("{release} is not the artifact that the plan was made for: {what}")]
    Changed {
        /// Kind and version.
        release: String,
        /// What differs.
        what: String,
    },
    /// It could not be paused.
    #[error("{0}")]
    Pause(PauseRefused),
    /// `save` failed.
    #[error("{}", saying("saving the state", .0))]
    Save(Fault),
    /// The new code failed on the state.
    #[error("{}", saying("migration", .0))]
    Migrate(Fault),
    /// The newer code failed to write the older state.
    #[error("{}", saying("the newer code's down-migration", .0))]
    Downgrade(Fault),
    /// The new code failed on the start arguments.
    #[error("{}", saying("starting from the actor's arguments", .0))]
    Reset(Fault),
    /// The lease ended first.
    #[error("{lost}, during {step}")]
    Lost {
        /// During which step.
        step: Step,
        /// Why.
        lost: LeaseLost,
    },
    /// The lease ended first, and the code has still not returned.
    #[error("the code of {release} did not return from {step} within {waited:.1?}: its thread is counted as lost")]
    Hang {
        /// Whose code.
        release: String,
        /// During which step.
        step: Step,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The actor's own code does not return from writing the copy for the rehearsal, after so long.
    #[error("{0} does not return from save: there is no copy of its state after {1:.1?}")]
    CopyHangs(Addr, Duration),
    /// Cancelled before its turn.
    #[error("cancelled by {0}")]
    Cancelled(String),
    /// The trial process did not live, or there is none.
    #[error("{0}")]
    Trial(TrialError),
    /// The rehearsal shows that the pause would be too long.
    #[error(
        "{addr}: it would be paused for {}, of which {} to write the old state; {} are allowed",
        Pause(*pause_us), Pause(*copy_us), Pause(*max_us)
    )]
    TooLong {
        /// The actor.
        addr: Addr,
        /// Copy and migration, in microseconds.
        pause_us: u64,
        /// The copy alone.
        copy_us: u64,
        /// Allowed.
        max_us: u64,
    },
    /// The same state gave two new ones.
    #[error("{addr}: {to} makes another state of the same bytes each time")]
    Unstable {
        /// The actor.
        addr: Addr,
        /// The new version.
        to: String,
    },
    /// There and back is somewhere else.
    #[error("{addr}: from {to} back to {from} the state is not what it was")]
    Lossy {
        /// The actor.
        addr: Addr,
        /// The old version.
        from: String,
        /// The new version.
        to: String,
    },
    /// The way back of a rehearsal failed.
    #[error("{addr}: the step from {to} back to {from} {why}")]
    NoWayDown {
        /// The actor.
        addr: Addr,
        /// The old version.
        from: String,
        /// The new version.
        to: String,
        /// That it panicked, or failed, and what it said.
        why: String,
    },
    /// The rehearsal of another actor, taken as a sample, failed.
    #[error("the rehearsal of {addr}, a sample for all, failed: [{code}] {cause}")]
    Sample {
        /// Whose.
        addr: Addr,
        /// Its code.
        code: String,
        /// Its cause.
        cause: String,
    },
    /// Of those that run the same version nobody gave a copy for the sample.
    #[error("nobody who was to be a sample for all could be copied, at last {addr}: {cause}")]
    Unsampled {
        /// Who was asked last.
        addr: Addr,
        /// Why it gave none.
        cause: String,
    },
    /// It was not made final or not taken back.
    #[error(transparent)]
    Back(#[from] BackError),
}

impl UpgradeError {
    /// The stable code; `docs/errors/<code>.md` explains it.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Actor { .. } => "UPG-ACTOR",
            Self::Kind { .. } => "UPG-KIND",
            Self::Version { .. } => "UPG-VERSION",
            Self::WrongKind { .. } => "UPG-WRONG-KIND",
            Self::Twice(_) => "UPG-TWICE",
            Self::Empty => "UPG-EMPTY",
            Self::Direction { .. } => "UPG-DIRECTION",
            Self::Ladder { .. } => "UPG-LADDER",
            Self::Shape { .. } => "UPG-SHAPE",
            Self::Contract { .. } => "UPG-CONTRACT",
            Self::Args { .. } => "UPG-ARGS",
            Self::Quarantined { .. } => "UPG-QUARANTINED",
            Self::Plan(_) => "UPG-PLAN",
            Self::Steps { .. } => "UPG-STEPS",
            Self::Stale { .. } | Self::Pause(PauseRefused::Stale { .. }) => "UPG-STALE",
            Self::Running { .. } => "UPG-RUNNING",
            Self::Request { .. } => "UPG-REQUEST",
            Self::Repeated { .. } => "UPG-REPEATED",
            Self::Journal(_) => "UPG-JOURNAL",
            Self::Thread(_) => "UPG-THREAD",
            Self::Gate { refused, .. } => &refused.code,
            Self::Changed { .. } => "UPG-CHANGED",
            Self::Pause(refused) => pause_code(refused),
            Self::Save(fault) if fault.kind == FaultKind::Limit => "UPG-LIMIT",
            Self::Save(_) => "UPG-SNAPSHOT",
            Self::Migrate(fault) if fault.kind == FaultKind::Decode => "UPG-DECODE",
            Self::Migrate(_) => "UPG-MIGRATE",
            Self::Downgrade(_) => "UPG-DOWNGRADE",
            Self::Reset(_) => "UPG-RESET",
            Self::Lost { lost, .. } => lost_code(lost),
            Self::Hang { .. } | Self::CopyHangs(..) => "UPG-HANG",
            Self::Cancelled(_) => "UPG-CANCELLED",
            Self::Trial(error) => error.code(),
            Self::TooLong { .. } => "UPG-TRIAL-PAUSE",
            Self::Unstable { .. } => "UPG-TRIAL-UNSTABLE",
            Self::Lossy { .. } => "UPG-TRIAL-LOSSY",
            Self::NoWayDown { .. } => "UPG-DOWNGRADE",
            Self::Sample { .. } | Self::Unsampled { .. } => "UPG-TRIAL-SAMPLE",
            Self::Back(error) => error.code(),
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Actor { hint, .. } | Self::Kind { hint, .. } | Self::Version { hint, .. } => hint,
            Self::Gate { refused, .. } => &refused.hint,
            Self::Ladder { missing: (from, to), .. } => {
                let way = if from < to { "migrates" } else { "goes down" };
                return format!(
                    "push a version that {way} from schema {from} to {to}, or give the state up (--state reset)"
                );
            }
            Self::Shape { .. } => "give the newer shape a schema number of its own, and a migration from the older",
            Self::Journal(error) => error.hint(),
            Self::Running { by, .. } => {
                return format!("wait for {by}, or cancel it; with --queue-timeout an upgrade waits its turn");
            }
            Self::WrongKind { .. } => "name an actor of the artifact's kind",
            Self::Twice(_) => "name every actor once",
            Self::Empty => "name at least one actor",
            Self::Direction { .. } => "if it is meant: --allow-downgrade",
            Self::Contract { .. } => {
                "add an up-cast, wait until they are handled, or let them become dead letters (--allow-dead-letters)"
            }
            Self::Args { .. } => "add an up-cast for the old arguments, or migrate the state instead",
            Self::Quarantined { .. } => "push a mended version; the quarantine is by digest",
            Self::Plan(_) | Self::Steps { .. } => "make the plan anew; plans are not written by hand",
            Self::Stale { .. } | Self::Changed { .. } => "make the plan anew and look at it again",
            Self::Request { .. } => "take a short name of your own, such as a ticket's number or a UUID",
            Self::Repeated { .. } => "look at what became of that upgrade; another one wants another request id",
            Self::Thread(_) => "code hangs in this process: restart the host when it suits",
            Self::Pause(refused) => pause_hint(refused),
            Self::Save(fault) if fault.kind == FaultKind::Limit => {
                "allow a larger snapshot_bytes_max, or hold less state"
            }
            Self::Reset(_) => "start a fresh actor of the new version to see it fail alone",
            Self::Lost { lost: LeaseLost::Overdue { .. }, .. } => "allow a longer --max-pause, or speed the step up",
            Self::Lost { lost: LeaseLost::Stopped, .. } => "start the actor again; it starts on its kind's default",
            Self::Hang { step: Step::Replay | Step::Restore, .. } => {
                "teneral upgrade status says whether there is another way back; or let the new version go on (teneral \
                 upgrade finalise); the version before is in quarantine while its code hangs"
            }
            Self::Hang { .. } => {
                "mend the version: its digest is in quarantine; a restart of the host frees the thread"
            }
            Self::CopyHangs(addr, _) => {
                return format!(
                    "it handles nothing until its save returns; to go on without its state: teneral actor restart \
                     {addr} --state init"
                );
            }
            Self::Lost { .. } | Self::Cancelled(_) => "apply the plan again when it suits",
            Self::Save(_) => "mend what the cause says, or give the state up (--state reset)",
            Self::Migrate(_) | Self::Downgrade(_) => "mend the step, and push it under a new version",
            Self::Trial(error) => error.hint(),
            Self::TooLong { .. } => "allow a longer --max-pause, make the step quicker, or hold less state",
            Self::Unstable { .. } => {
                "let the step depend on the state alone: no clock, no randomness, no unordered map; or let it pass \
                 with a warning (--accept-unstable)"
            }
            Self::Lossy { .. } => {
                "write the step down so that it gives back what was there, or accept the loss (--accept-lossy)"
            }
            Self::NoWayDown { .. } => "mend the step down, or go on without a way back by it (--accept-lossy)",
            Self::Sample { .. } => "mend the version and push it under a new one; the others were not touched",
            Self::Back(error) => return error.hint(),
            Self::Unsampled { .. } => "try again, or wait longer for a message boundary (--quiesce-timeout)",
        };
        hint.to_owned()
    }
}

fn saying(what: &str, fault: &Fault) -> String {
    format!("{what} {}", ended(fault))
}

/// How code ended that did not end well, as a verb, and what it said.
pub(crate) fn ended(fault: &Fault) -> String {
    let how = match fault.kind {
        FaultKind::Panic => "panicked",
        FaultKind::Failed => "failed",
        FaultKind::Decode => "could not read the bytes",
        FaultKind::UnknownMessage => "met an unknown message",
        FaultKind::Schema => "found no path",
        FaultKind::Limit => "went over a limit",
        FaultKind::Denied => "is not offered",
        FaultKind::Protocol => "broke the ABI's rules",
    };
    format!("{how}: {}", fault.text)
}

/// An error with its causes, as one line: what logs, journals and reports hold.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}
