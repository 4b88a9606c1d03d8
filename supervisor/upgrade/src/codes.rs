//! Every code that an upgrade is refused or fails with, and what it means in one line.
//!
//! Apart from the errors themselves: this is what a list of all codes is made of. Below it are those of a pause that
//! was refused or lost.

use teneral_runtime::error::{LeaseLost, PauseRefused};

/// Every code with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("UPG-ACTOR", "no actor of that name"),
    ("UPG-ARGS", "the new code cannot read the actor's start arguments"),
    ("UPG-BUSY", "the actor did not come to a message boundary in time"),
    ("UPG-CANCELLED", "an operator cancelled the upgrade"),
    ("UPG-CHANGED", "an artifact is not the one that the plan was made for"),
    ("UPG-CONTRACT", "waiting messages have no path to the new code"),
    ("UPG-DECODE", "the new code cannot read the state"),
    ("UPG-DEFAULT", "a version is final and not the default"),
    ("UPG-DIRECTION", "a downgrade that was not asked for"),
    ("UPG-DOWNGRADE", "the newer code could not write the state for the older"),
    ("UPG-EMPTY", "no actor was named"),
    ("UPG-GONE", "the actor stopped before the upgrade reached it"),
    ("UPG-HANG", "the code did not return"),
    ("UPG-HELD", "somebody else has paused the actor"),
    ("UPG-JOURNAL", "the journal could not be written"),
    ("UPG-KIND", "no artifact of that kind"),
    ("UPG-LADDER", "no migration from the running schema to the new one"),
    ("UPG-LIMIT", "the state is over its size limit"),
    ("UPG-MIGRATE", "the migration failed"),
    ("UPG-NO-WAY-BACK", "the actor cannot go back that way"),
    ("UPG-NOT-HELD", "no effect of that number is held"),
    ("UPG-NOT-SENT", "a held effect was not accepted"),
    ("UPG-OVERDUE", "the pause lasted longer than allowed"),
    ("UPG-PLAN", "the plan cannot be read"),
    ("UPG-PROBATION", "nothing is on probation there"),
    ("UPG-QUARANTINED", "the artifact is in quarantine"),
    ("UPG-REPLAY", "the work since the commit could not be done anew"),
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
    ("UPG-TRIAL-CONFINE", "the trial process could not bind its own hands"),
    ("UPG-TRIAL-CRASH", "the trial process died of the new code"),
    ("UPG-TRIAL-HANG", "the new code did not end in the trial"),
    ("UPG-TRIAL-LOSSY", "the way back does not give the state that was there"),
    ("UPG-TRIAL-MEMORY", "the new code wanted too much memory in the trial"),
    ("UPG-TRIAL-PAUSE", "the pause would be too long"),
    ("UPG-TRIAL-PROTOCOL", "the trial process said what nobody expects"),
    ("UPG-TRIAL-SAMPLE", "a rehearsal that was a sample for all failed"),
    ("UPG-TRIAL-START", "no trial process could be started"),
    ("UPG-TRIAL-UNSTABLE", "the same state gave two new ones"),
    ("UPG-TRIAL-UNTRIED", "no other trial process is started: too many died of the new code"),
    ("UPG-TWICE", "an actor was named twice"),
    ("UPG-VERSION", "no artifact of that version"),
    ("UPG-WRONG-KIND", "the artifact is of another kind than the actor"),
];

pub(crate) const fn pause_code(refused: &PauseRefused) -> &'static str {
    match refused {
        PauseRefused::Busy { .. } => "UPG-BUSY",
        PauseRefused::Held { .. } => "UPG-HELD",
        PauseRefused::Stopped => "UPG-GONE",
        PauseRefused::Suspended { .. } => "UPG-SUSPENDED",
        PauseRefused::Cancelled => "UPG-CANCELLED",
        PauseRefused::Stale { .. } => "UPG-STALE",
    }
}

pub(crate) const fn pause_hint(refused: &PauseRefused) -> &'static str {
    match refused {
        PauseRefused::Busy { .. } => "try again when it is less busy, or allow a longer --quiesce-timeout",
        PauseRefused::Held { .. } => "resume it first, or ask its owner",
        PauseRefused::Stopped => "leave it out, or start it",
        PauseRefused::Suspended { .. } => "try again when its supervisor has restarted it",
        PauseRefused::Cancelled => "ask who cancelled, then try again",
        PauseRefused::Stale { .. } => "make the plan anew and look at it again",
    }
}

pub(crate) const fn lost_code(lost: &LeaseLost) -> &'static str {
    match lost {
        LeaseLost::Overdue { .. } => "UPG-OVERDUE",
        LeaseLost::Stopped => "UPG-STOPPED",
        LeaseLost::Cancelled { .. } => "UPG-CANCELLED",
    }
}
