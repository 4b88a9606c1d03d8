//! Why an upgrade was refused or failed: a variant a cause, a stable code a variant.
//!
//! A refusal comes before anything was touched, a failure after a step broke; both name what was found and what was
//! expected, and both have a hint. A [`crate::Report`] holds them as text, since it outlives the process.

use crate::plan::REQUEST_BYTES_MAX;
use crate::step::Step;
use std::time::Duration;
use teneral_contract::Addr;
use teneral_runtime::error::{LeaseLost, PauseRefused};
use teneral_runtime::ports::{Fault, FaultKind};
use teneral_store::{StoreError, UpgradeId};

/// Every code with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("UPG-ACTOR", "no actor of that name"),
    ("UPG-ARGS", "the new code cannot read the actor's start arguments"),
    ("UPG-BUSY", "the actor did not come to a message boundary in time"),
    ("UPG-CANCELLED", "an operator cancelled the upgrade"),
    ("UPG-CHANGED", "an artifact is not the one that the plan was made for"),
    ("UPG-CONTRACT", "waiting messages have no path to the new code"),
    ("UPG-DECODE", "the new code cannot read the state"),
    ("UPG-DIRECTION", "a downgrade that was not asked for"),
    ("UPG-DOWNGRADE", "the newer code could not write the state for the older"),
    ("UPG-EMPTY", "no actor was named"),
    ("UPG-GONE", "the actor stopped before the upgrade reached it"),
    ("UPG-HANG", "the code did not return under the pause"),
    ("UPG-HELD", "somebody else has paused the actor"),
    ("UPG-JOURNAL", "the journal could not be written"),
    ("UPG-KIND", "no artifact of that kind"),
    ("UPG-LADDER", "no migration from the running schema to the new one"),
    ("UPG-LIMIT", "the state is over its size limit"),
    ("UPG-MIGRATE", "the migration failed"),
    ("UPG-OVERDUE", "the pause lasted longer than allowed"),
    ("UPG-PLAN", "the plan cannot be read"),
    ("UPG-QUARANTINED", "the artifact is in quarantine"),
    ("UPG-REPEATED", "this request was made before"),
    ("UPG-REQUEST", "a request's name is empty or too long"),
    ("UPG-RESET", "the new code could not start from the actor's arguments"),
    ("UPG-RUNNING", "another upgrade has the actor"),
    ("UPG-SHAPE", "two shapes bear one schema number"),
    ("UPG-SNAPSHOT", "the state could not be saved"),
    ("UPG-STALE", "the actor was upgraded since the plan was made"),
    ("UPG-STEPS", "the plan's steps are not a legal sequence"),
    ("UPG-STOPPED", "the actor was stopped during the upgrade"),
    ("UPG-SUSPENDED", "the actor has failed and waits for its supervisor"),
    ("UPG-THREAD", "no thread for the upgrade"),
    ("UPG-TWICE", "an actor was named twice"),
    ("UPG-VERSION", "no artifact of that version"),
    ("UPG-WRONG-KIND", "the artifact is of another kind than the actor"),
];

/// A refusal by the gate or the store, with its own code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// Cancelled before its turn.
    #[error("cancelled by {0}")]
    Cancelled(String),
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
            Self::Hang { .. } => "UPG-HANG",
            Self::Cancelled(_) => "UPG-CANCELLED",
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
                    "push a version that {way} from schema {from} to {to}, or give the state up (state: reset)"
                );
            }
            Self::Shape { .. } => "give the newer shape a schema number of its own, and a migration from the older",
            Self::Journal(error) => error.hint(),
            Self::Running { by, .. } => {
                return format!("wait for {by}, or cancel it; with a queue_timeout an upgrade waits its turn");
            }
            Self::WrongKind { .. } => "name an actor of the artifact's kind",
            Self::Twice(_) => "name every actor once",
            Self::Empty => "name at least one actor",
            Self::Direction { .. } => "allow downgrades, if it is meant",
            Self::Contract { .. } => {
                "add an up-cast, wait until they are handled, or let them become dead letters (pathless: dead_letter)"
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
            Self::Lost { lost: LeaseLost::Overdue { .. }, .. } => "allow a longer max_pause, or make the step quicker",
            Self::Lost { lost: LeaseLost::Stopped, .. } => "start the actor again; it starts on its kind's default",
            Self::Hang { .. } => {
                "mend the version: its digest is in quarantine; a restart of the host frees the thread"
            }
            Self::Lost { .. } | Self::Cancelled(_) => "apply the plan again when it suits",
            Self::Save(_) => "mend what the cause says, or give the state up (state: reset)",
            Self::Migrate(_) | Self::Downgrade(_) => "mend the step, and push it under a new version",
        };
        hint.to_owned()
    }
}

const fn pause_code(refused: &PauseRefused) -> &'static str {
    match refused {
        PauseRefused::Busy { .. } => "UPG-BUSY",
        PauseRefused::Held { .. } => "UPG-HELD",
        PauseRefused::Stopped => "UPG-GONE",
        PauseRefused::Suspended { .. } => "UPG-SUSPENDED",
        PauseRefused::Cancelled => "UPG-CANCELLED",
        PauseRefused::Stale { .. } => "UPG-STALE",
    }
}

const fn pause_hint(refused: &PauseRefused) -> &'static str {
    match refused {
        PauseRefused::Busy { .. } => "try again when it is less busy, or allow a longer quiesce_timeout",
        PauseRefused::Held { .. } => "resume it first, or ask its owner",
        PauseRefused::Stopped => "leave it out, or start it",
        PauseRefused::Suspended { .. } => "try again when its supervisor has restarted it",
        PauseRefused::Cancelled => "ask who cancelled, then try again",
        PauseRefused::Stale { .. } => "make the plan anew and look at it again",
    }
}

const fn lost_code(lost: &LeaseLost) -> &'static str {
    match lost {
        LeaseLost::Overdue { .. } => "UPG-OVERDUE",
        LeaseLost::Stopped => "UPG-STOPPED",
        LeaseLost::Cancelled { .. } => "UPG-CANCELLED",
    }
}

fn saying(what: &str, fault: &Fault) -> String {
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
    format!("{what} {how}: {}", fault.text)
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
