//! Why a version was not made final or not taken back.

use super::WayBack;
use crate::error::Refused;
use teneral_contract::Addr;
use teneral_runtime::ReplayError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum BackError {
    /// Nothing is on probation that could be made final or taken back.
    #[error("{0}")]
    Probation(String),
    /// The actor cannot go back that way.
    #[error("{addr}: there is no way back by {way}: {why}")]
    NoWay {
        /// Who.
        addr: Addr,
        /// Which way.
        way: WayBack,
        /// Why not, and what there is.
        why: String,
        /// What there is to be done, each with its command.
        instead: Vec<String>,
    },
    /// No way back keeps the work of these.
    #[error("{actors}: there is no way back that keeps what came since the commit: {why}")]
    Lossy {
        /// Who, by name.
        actors: String,
        /// What there is.
        why: String,
        /// What there is to be done, for these and for the others, each with its command.
        instead: Vec<String>,
    },
    /// The version before could not handle anew what came since the commit.
    #[error("what came since the commit could not be handled anew")]
    Replay(#[source] ReplayError),
    /// Its version is not to be made final while it is in quarantine.
    #[error("{addr}: {} {version} is in quarantine: {why}", .addr.kind())]
    Quarantined {
        /// Who.
        addr: Addr,
        /// Its version.
        version: String,
        /// What it did.
        why: String,
        /// What takes it back, if something does.
        back: Option<String>,
    },
    /// No effect of that number is held.
    #[error("no effect {0} is held")]
    NotHeld(u64),
    /// An effect was not accepted.
    #[error("effect {id} was not accepted: {why}")]
    NotSent {
        /// Which.
        id: u64,
        /// Why.
        why: String,
    },
    /// A version is final, and could not be made the default.
    #[error("{kind} {version} is final, and new actors get another version: {refused}")]
    Default {
        /// The kind.
        kind: String,
        /// The version.
        version: String,
        /// Why.
        refused: Box<Refused>,
    },
}

impl BackError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Probation(_) => "UPG-PROBATION",
            Self::NoWay { .. } | Self::Lossy { .. } => "UPG-NO-WAY-BACK",
            Self::Replay(_) => "UPG-REPLAY",
            Self::Quarantined { .. } => "UPG-QUARANTINED",
            Self::NotHeld(_) => "UPG-NOT-HELD",
            Self::NotSent { .. } => "UPG-NOT-SENT",
            Self::Default { .. } => "UPG-DEFAULT",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Probation(_) => "teneral upgrade status says who is on probation, and for which upgrade",
            Self::NoWay { instead, .. } | Self::Lossy { instead, .. } => return instead.join("; or "),
            Self::Replay(_) => {
                "go back by another way (teneral upgrade rollback .. --by), or let the new version go on (teneral \
                 upgrade finalise)"
            }
            Self::NotHeld(_) => "teneral upgrade held list says which there are",
            Self::NotSent { .. } => "it is held still: send it again when its receiver takes messages, or drop it",
            Self::Default { .. } => "mend what the cause says, then: teneral kind set-default",
            Self::Quarantined { addr, version, back, .. } => {
                let pardon = format!("teneral artifact pardon {} {version} --reason WHY", addr.kind());
                return match back {
                    Some(back) => format!("take it back: {back}; or, where the code is not to blame: {pardon}"),
                    None => format!("where the code is not to blame: {pardon}"),
                };
            }
        };
        hint.to_owned()
    }
}
