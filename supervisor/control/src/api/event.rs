//! What happens at a host, as whoever watches it is told.
//!
//! An event is data with a number: within one life of a host the numbers go up by one, so that a watcher that was away
//! can say where it was, and knows what it missed when that is too long ago.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use teneral_contract::{Addr, Digest};
use teneral_store::UpgradeId;

/// How many actors one event names at most: with the longest names it stays well below what a watcher takes.
pub const ACTORS_NAMED_MAX: usize = 500;

/// Something that happened at a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Which life of the host, from 1.
    pub boot: u64,
    /// Its number in that life, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
}

/// What can happen. What an actor's event knows of version and generation is as of that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "a field is what its name says; times are in the unit of their name")]
pub enum Happened {
    /// The host serves: what is defined is back.
    Ready { actors: usize },
    /// The host stops; watchers are told nothing after this.
    Stopping {},
    /// An actor is started.
    Started { actor: Addr, version: Version, generation: u64 },
    /// An actor is no more; the reason of a normal stop is empty.
    Stopped { actor: Addr, reason: String },
    /// A turn panicked, or an actor's first effects failed: its instance is gone. No message: its first turn.
    /// With the upgrade that it is on probation for, if it is.
    Panicked {
        actor: Addr,
        version: Version,
        generation: u64,
        message: Option<String>,
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upgrade: Option<UpgradeId>,
    },
    /// An actor has no instance until its supervisor has decided.
    Suspended { actor: Addr, version: Version, why: String },
    /// An actor has a new instance of the same version.
    Restarted { actor: Addr, version: Version, generation: u64, restarts: u64 },
    /// An actor whose process is gone goes on from its last checkpoint: how many messages since were handled anew, and
    /// how many are not in its state and why.
    Recovered { actor: Addr, version: Version, replayed: usize, not_replayed: usize, why: String, took_us: u64 },
    /// A new instance could not be made.
    RestartFailed { actor: Addr, why: String },
    /// An actor failed more often than it may: it is stopped for good.
    GaveUp { actor: Addr, restarts_max: u32, period_ms: u64 },
    /// A turn, or a step of an upgrade, does not return.
    Hung { actor: Addr, version: Version, doing: String, running_ms: u64 },
    /// An actor handles nothing until it resumes.
    Paused { actor: Addr, version: Version, generation: u64, by: String },
    /// An actor handles messages again.
    Resumed { actor: Addr, version: Version, generation: u64, paused_us: u64, queued_messages: usize },
    /// An upgrade stands in the journal and begins: of how many actors, and the first [`ACTORS_NAMED_MAX`] with the
    /// version that each is to run.
    UpgradeBegun { upgrade: UpgradeId, by: String, reason: String, actors: usize, moves: Vec<(Addr, Version)> },
    /// A step of an upgrade is over: `done`, `failed` with a code and a cause, or `undone`. No actor: of all that run
    /// the code.
    UpgradeStep {
        upgrade: UpgradeId,
        actor: Option<Addr>,
        step: String,
        took_us: u64,
        result: String,
        code: Option<String>,
        cause: Option<String>,
    },
    /// An upgrade is over: of how many actors, how many are where they were to be, and the first [`ACTORS_NAMED_MAX`]
    /// with `committed`, `unchanged`, `rolled_back`, `refused` or `deferred`.
    UpgradeEnded { upgrade: UpgradeId, actors: usize, well: usize, outcomes: Vec<(Addr, String)> },
    /// An actor runs another version.
    Upgraded { actor: Addr, from: Version, version: Version, generation: u64, paused_us: u64, queued_messages: usize },
    /// An upgrade of an actor broke while it was paused: this version serves on.
    RolledBack { actor: Addr, version: Version, refused: Version, why: String },
    /// An actor was not upgraded, and never paused: this version serves on.
    NotUpgraded { actor: Addr, version: Version, refused: Version, code: String, why: String },
    /// An actor's new version is on probation: `begun`, `sick` or `held` when nobody takes it back by itself, or over:
    /// `finalised`, `rolled_back`, `superseded`, `stopped`.
    Probation { actor: Addr, upgrade: UpgradeId, version: Version, phase: String, why: String },
    /// A message to this actor did not reach its handler, or not its end.
    DeadLetter { actor: Addr, from: Option<Addr>, message: String, body_bytes: usize, reason: String },
    /// A version takes no new actors and no upgrades.
    Quarantined { kind: String, version: Version, sha256: Digest, why: String },
    /// A version is out of quarantine.
    Pardoned { kind: String, version: Version, sha256: Digest },
    /// An artifact is in the store.
    ArtifactPushed { kind: String, version: Version, sha256: Digest },
    /// An artifact was not let in.
    ArtifactRefused { code: String, why: String },
    /// An artifact is in the store no longer.
    ArtifactRemoved { kind: String, version: Version },
    /// New actors of a kind get this version.
    DefaultChanged { kind: String, version: Version },
    /// A key's signatures are accepted.
    KeyTrusted { key: String, name: String, by: String },
    /// A key's signatures are accepted no longer.
    KeyDistrusted { key: String },
    /// Something that this version of teneral has no word for.
    #[serde(other)]
    Unknown,
}

/// Where a watcher was: the last event that it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// In which life of the host; none: in this one.
    pub boot: Option<u64>,
    /// Its number; 0: none yet.
    pub seq: u64,
}

/// What a watcher missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Gap {
    /// How many events are gone; none: nobody knows, since the host began anew.
    pub missed: Option<u64>,
}

impl Event {
    /// Its id on the wire, and what a watcher says that was away: `BOOT-SEQ`.
    #[must_use]
    pub fn id(&self) -> Since {
        Since { boot: Some(self.boot), seq: self.seq }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.boot {
            Some(boot) => write!(f, "{boot}-{}", self.seq),
            None => self.seq.fmt(f),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no number of an event"));
        Ok(match text.split_once('-') {
            Some((boot, seq)) => Self { boot: Some(number(boot)?), seq: number(seq)? },
            None => Self { boot: None, seq: number(text)? },
        })
    }
}

impl Happened {
    /// The actor that it is about, if it is one actor.
    #[must_use]
    pub fn actor(&self) -> Option<&Addr> {
        match self {
            Self::Started { actor, .. }
            | Self::Stopped { actor, .. }
            | Self::Panicked { actor, .. }
            | Self::Suspended { actor, .. }
            | Self::Restarted { actor, .. }
            | Self::Recovered { actor, .. }
            | Self::RestartFailed { actor, .. }
            | Self::GaveUp { actor, .. }
            | Self::Hung { actor, .. }
            | Self::Paused { actor, .. }
            | Self::Resumed { actor, .. }
            | Self::Upgraded { actor, .. }
            | Self::RolledBack { actor, .. }
            | Self::NotUpgraded { actor, .. }
            | Self::Probation { actor, .. }
            | Self::DeadLetter { actor, .. } => Some(actor),
            Self::UpgradeStep { actor, .. } => actor.as_ref(),
            _ => None,
        }
    }

    /// The upgrade that it is about.
    #[must_use]
    pub fn upgrade(&self) -> Option<&UpgradeId> {
        match self {
            Self::UpgradeBegun { upgrade, .. }
            | Self::UpgradeStep { upgrade, .. }
            | Self::Probation { upgrade, .. }
            | Self::UpgradeEnded { upgrade, .. } => Some(upgrade),
            _ => None,
        }
    }

    /// Whether it is about this actor.
    #[must_use]
    pub fn is_of(&self, actor: &Addr) -> bool {
        match self {
            Self::UpgradeBegun { moves, actors, .. } => names(moves, *actors, |moved| moved == actor),
            Self::UpgradeEnded { outcomes, actors, .. } => names(outcomes, *actors, |moved| moved == actor),
            _ => self.actor() == Some(actor),
        }
    }

    /// Whether it is about this kind, or an actor of it.
    #[must_use]
    pub fn is_of_kind(&self, wanted: &str) -> bool {
        match self {
            Self::UpgradeBegun { moves, actors, .. } => names(moves, *actors, |moved| moved.kind() == wanted),
            Self::UpgradeEnded { outcomes, actors, .. } => names(outcomes, *actors, |moved| moved.kind() == wanted),
            Self::Quarantined { kind, .. }
            | Self::Pardoned { kind, .. }
            | Self::ArtifactPushed { kind, .. }
            | Self::ArtifactRemoved { kind, .. }
            | Self::DefaultChanged { kind, .. } => kind == wanted,
            _ => self.actor().is_some_and(|actor| actor.kind() == wanted),
        }
    }

    /// Whether the host says nothing after it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Stopping {})
    }

    /// Whether it is the host's own, which every watcher is told.
    #[must_use]
    pub const fn is_of_host(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Stopping {})
    }
}

/// Whether a list names somebody, or is too short to say: who is left out of it may be meant.
fn names<T>(list: &[(Addr, T)], actors: usize, is_meant: impl Fn(&Addr) -> bool) -> bool {
    list.len() < actors || list.iter().any(|(actor, _)| is_meant(actor))
}

/// One line for people, without the time and without the actor.
impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { actors } => write!(f, "the host is ready, {actors} actors"),
            Self::Stopping {} => f.write_str("the host stops"),
            Self::Started { version, .. } => write!(f, "started on {version}"),
            Self::Stopped { reason, .. } if reason.is_empty() => f.write_str("stopped"),
            Self::Stopped { reason, .. } => write!(f, "stopped: {reason}"),
            Self::Panicked { version, message, why, upgrade, .. } => {
                let message = message.as_deref().unwrap_or("its first turn");
                write!(f, "panicked in {message} on {version}: {why}")?;
                upgrade.iter().try_for_each(|upgrade| write!(f, ", on probation for {upgrade}"))
            }
            Self::Suspended { why, .. } => write!(f, "suspended: {why}"),
            Self::Restarted { version, restarts, .. } => write!(f, "restarted on {version}, restart {restarts}"),
            Self::Recovered { version, replayed, not_replayed, why, took_us, .. } => {
                write!(f, "goes on from its checkpoint on {version}: {replayed} messages since were handled anew")?;
                if *not_replayed > 0 {
                    write!(f, ", {not_replayed} are not in its state ({why})")?;
                }
                write!(f, ", in {took_us} us")
            }
            Self::RestartFailed { why, .. } => write!(f, "could not be restarted: {why}"),
            Self::GaveUp { restarts_max, period_ms, .. } => {
                write!(f, "stopped for good: more than {restarts_max} restarts in {period_ms} ms")
            }
            Self::Hung { doing, running_ms, .. } => write!(f, "hangs in {doing} for {running_ms} ms"),
            Self::Paused { by, .. } => write!(f, "paused by {by}"),
            Self::Resumed { version, paused_us, queued_messages, .. } => {
                write!(f, "resumed on {version} after {paused_us} us, {queued_messages} messages waited")
            }
            Self::Quarantined { kind, version, why, .. } => write!(f, "{kind} {version} is in quarantine: {why}"),
            Self::Pardoned { kind, version, .. } => write!(f, "{kind} {version} is out of quarantine"),
            Self::ArtifactPushed { kind, version, .. } => write!(f, "{kind} {version} is in the store"),
            Self::ArtifactRefused { code, why } => write!(f, "an artifact was refused [{code}]: {why}"),
            Self::ArtifactRemoved { kind, version } => write!(f, "{kind} {version} is in the store no longer"),
            Self::DefaultChanged { kind, version } => write!(f, "new actors of {kind} get {version}"),
            Self::KeyTrusted { key, name, by } => write!(f, "key {key} ({name}) is trusted by {by}"),
            Self::KeyDistrusted { key } => write!(f, "key {key} is trusted no longer"),
            Self::DeadLetter { message, reason, .. } => write!(f, "dead letter {message}: {reason}"),
            Self::Unknown => f.write_str("something that this version has no word for"),
            _ => self.of_upgrade(f),
        }
    }
}

impl Happened {
    fn of_upgrade(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpgradeBegun { upgrade, by, reason, actors, .. } => {
                let s = if *actors == 1 { "" } else { "s" };
                write!(f, "upgrade {upgrade} of {actors} actor{s} begins, asked for by {by}")?;
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::UpgradeStep { upgrade, step, took_us, result, code, cause, .. } => {
                write!(f, "upgrade {upgrade}: {step} {result} in {took_us} us")?;
                match (code, cause) {
                    (Some(code), Some(cause)) => write!(f, " [{code}] {cause}"),
                    _ => Ok(()),
                }
            }
            Self::UpgradeEnded { upgrade, actors, well, .. } => {
                let are = if *actors == 1 { "actor is" } else { "actors are" };
                write!(f, "upgrade {upgrade} ended: {well} of {actors} {are} there")
            }
            Self::Upgraded { from, version, paused_us, .. } => {
                write!(f, "upgraded {from} -> {version}, paused {paused_us} us")
            }
            Self::RolledBack { version, refused, why, .. } => {
                write!(f, "rolled back, {version} serves and not {refused}: {why}")
            }
            Self::Probation { actor, upgrade, version, phase, why } => {
                let phase: &str = if phase == "rolled_back" { "taken back" } else { phase };
                write!(f, "{version} on probation for {upgrade}: {phase}")?;
                let why = own_reason(why, upgrade, actor);
                if why.is_empty() { Ok(()) } else { write!(f, ", {why}") }
            }
            Self::NotUpgraded { version, refused, code, why, .. } => {
                write!(f, "not upgraded, {version} serves and not {refused}: [{code}] {why}")
            }
            _ => Ok(()),
        }
    }
}

/// Why an upgrade was taken back, without what whoever reads of this upgrade and this actor knows. What is taken back
/// together has one reason, which names one of them.
#[must_use]
pub fn own_reason<'a>(why: &'a str, upgrade: &UpgradeId, actor: &Addr) -> &'a str {
    why.strip_prefix(&format!("{upgrade} fails at {actor}: ")).unwrap_or(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_stream_is_written_as_it_is_read() {
        for text in ["7", "3-17"] {
            assert_eq!(text.parse::<Since>().map(|since| since.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "-", "3-", "x", "-1", "1-2-3"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_that_is_taken_back_is_said_to_be_so_and_why_without_saying_of_whom_again() {
        let taken_back = |why: &str| {
            let (actor, version) = (Addr::new("probe/a").expect("a name"), Version::new(2, 0, 0));
            let (phase, why) = ("rolled_back".to_owned(), why.to_owned());
            Happened::Probation { actor, upgrade: UpgradeId("up-7".to_owned()), version, phase, why }.to_string()
        };
        assert_eq!(taken_back("up-7 fails at probe/a: it hangs"), "2.0.0 on probation for up-7: taken back, it hangs");
        let of_another = "2.0.0 on probation for up-7: taken back, up-7 fails at probe/b: it hangs";
        assert_eq!(taken_back("up-7 fails at probe/b: it hangs"), of_another);
        assert_eq!(taken_back(""), "2.0.0 on probation for up-7: taken back");
    }

    #[test]
    fn an_event_of_a_later_teneral_is_unknown_and_no_error() {
        let read: Event =
            serde_json::from_str(r#"{"boot":1,"seq":2,"at":"2026-01-01T00:00:00Z","event":"sang","song":"x"}"#)
                .expect("it is an event");
        assert_eq!((read.what, read.seq), (Happened::Unknown, 2));
    }
}
