//! What is stored, as plain data: releases, quarantine, actor definitions, and the journal of upgrades.
//!
//! Times are wall-clock microseconds since the Unix epoch, given by whoever writes: the store reads no clock.

use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use teneral_contract::{Addr, Digest, Fingerprint, Manifest};

/// What stands beside an artifact: enough to find it, not yet a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Release {
    /// The actor kind.
    pub kind: String,
    /// The author's version.
    pub version: Version,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// The file's length.
    pub bytes: u64,
    /// ABI major and minor.
    pub abi: [u16; 2],
    /// The state schema that the code runs.
    pub schema: u32,
    /// Older schemas it migrates from.
    pub from: Vec<u32>,
    /// Older schemas it downgrades to.
    pub down: Vec<u32>,
    /// When it was pushed.
    pub added_unix_us: u64,
}

impl Release {
    /// The record of a library whose manifest was read and whose bytes were hashed.
    #[must_use]
    pub fn of(manifest: &Manifest, sha256: Digest, bytes: u64, added_unix_us: u64) -> Self {
        Self {
            kind: manifest.kind.clone(),
            version: manifest.version.clone(),
            sha256,
            bytes,
            abi: manifest.abi,
            schema: manifest.state.schema,
            from: manifest.state.from.iter().map(|entry| entry.schema).collect(),
            down: manifest.state.down.iter().map(|entry| entry.schema).collect(),
            added_unix_us,
        }
    }
}

/// A release file with its signature, byte by byte as they were pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// `X.so.release`.
    pub release: String,
    /// `X.so.release.minisig`.
    pub signature: String,
}

/// A key whose signatures are accepted, as text: what it means, whoever checks signatures knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id: 16 hexadecimal digits.
    pub id: String,
    /// The public key in base64.
    pub public: String,
    /// Whose, for people.
    pub name: String,
    /// Whether the tools made it by themselves.
    pub development: bool,
    /// Since when.
    pub added_unix_us: u64,
    /// Who trusted it.
    pub by: String,
    /// Until when; `None`: until somebody takes it back.
    pub expires_unix_us: Option<u64>,
}

/// A digest that no actor may be moved to, until an operator pardons it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Which artifact.
    pub digest: Digest,
    /// Its kind.
    pub kind: String,
    /// Its version.
    pub version: Version,
    /// What it did.
    pub why: String,
    /// When.
    pub at_unix_us: u64,
}

/// What it takes to start an actor again after the host ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Where it is reached.
    pub addr: Addr,
    /// The version that wrote its state last.
    pub version: Version,
    /// How many upgrades it has seen.
    pub generation: u64,
    /// The shape of its start arguments.
    pub args_shape: Fingerprint,
    /// Its start arguments.
    pub args: Vec<u8>,
    /// How it lives.
    pub lives: Lives,
}

/// How an actor lives, in the words of its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    /// `permanent`, `transient` or `temporary`.
    pub restart: String,
    /// `init` or `last_snapshot`.
    pub restart_state: String,
    /// How often it is restarted at most.
    pub restarts_max: u32,
    /// Within which time.
    pub period_us: u64,
}

/// What is known of a state that was saved when the host was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The version that wrote it.
    pub version: Version,
    /// Its schema.
    pub schema: u32,
    /// How many upgrades the actor had seen.
    pub generation: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Whether an actor has gone on from it, or was about to: whoever finds that after a crash does not use it again.
    #[serde(default)]
    pub taken: bool,
}

/// Names one upgrade, in every log and report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpgradeId(pub String);

impl fmt::Display for UpgradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One upgrade among others: its journal's first entry and its last, which are one while nothing else is written. What
/// became of probations is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Which.
    pub id: UpgradeId,
    /// How it began.
    pub first: Entry,
    /// How it ended, or how far it is.
    pub last: Entry,
}

/// One entry of an upgrade's journal. A journal is a begin, its steps, and an end unless the host died first; and what
/// became of its actors' probation, each once, whenever that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// Opens it.
    Begin(Begin),
    /// One step, done or failed or undone.
    Step(StepDone),
    /// Closes it.
    End(End),
    /// The probation of some of its actors is over.
    Probation(ProbationOver),
}

impl Entry {
    /// How a journal begins.
    #[must_use]
    pub fn begin_of(journal: &[Self]) -> Option<&Begin> {
        journal.iter().find_map(|entry| if let Self::Begin(begin) = entry { Some(begin) } else { None })
    }

    /// How an upgrade ended, if it did: a journal may go on, with what became of its probation.
    #[must_use]
    pub fn end_of(journal: &[Self]) -> Option<&End> {
        journal.iter().find_map(|entry| if let Self::End(end) = entry { Some(end) } else { None })
    }
}

/// Who moves whom, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Begin {
    /// When.
    pub at_unix_us: u64,
    /// Who asked.
    pub who: String,
    /// Their reason.
    pub why: String,
    /// What they call their request, if they may ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The upgrade that it takes back, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<UpgradeId>,
    /// How long whoever is moved is on probation after it, if at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probation: Option<Term>,
    /// What new actors of the moved kinds got then, where they are on probation after it: a version that passes becomes
    /// the default only in place of that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, Version>,
    /// One a named actor.
    pub moves: Vec<Move>,
}

/// How long a version is on probation: as long as both say, and no longer than its host lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Term {
    /// So long.
    pub time_us: u64,
    /// And so many messages.
    pub messages: u64,
    /// In this life of the host: a probation ends with it.
    pub boot: u64,
}

/// Whose probation is over, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProbationOver {
    /// When.
    pub at_unix_us: u64,
    /// Whose.
    pub actors: Vec<Addr>,
    /// `finalised`, `rolled_back`, `superseded` by another upgrade, or `stopped` with its actor.
    pub how: String,
    /// Why, or who said so.
    pub why: String,
    /// The upgrade that took them back, or on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UpgradeId>,
}

/// One actor's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = JournalMove)]
pub struct Move {
    /// Who.
    pub addr: Addr,
    /// From which version.
    pub from: Version,
    /// To which version.
    pub to: Version,
    /// The artifact it runs.
    pub from_digest: Digest,
    /// The artifact it is to run.
    pub to_digest: Digest,
    /// The generation that the plan was made for.
    pub generation: u64,
}

/// A step of one actor, or of the whole upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepDone {
    /// When it ended.
    pub at_unix_us: u64,
    /// Whose; `None`: the whole upgrade's.
    pub actor: Option<Addr>,
    /// Which of the twelve.
    pub step: String,
    /// How long it took.
    pub took_us: u64,
    /// What came of it.
    pub result: StepResult,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum StepResult {
    /// Done.
    Done,
    /// Failed; what was done before it is undone next.
    Failed {
        /// The stable code.
        code: String,
        /// The cause.
        cause: String,
    },
    /// Taken back.
    Undone,
}

/// How it ended for every actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct End {
    /// When.
    pub at_unix_us: u64,
    /// One a named actor.
    pub actors: Vec<ActorEnd>,
}

/// How it ended for one actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActorEnd {
    /// Who.
    pub addr: Addr,
    /// `committed`, `rolled_back`, `refused`, `deferred`.
    pub outcome: String,
    /// The stable code, unless it committed.
    pub code: Option<String>,
    /// The version that serves now.
    pub now: Version,
    /// The generation that serves now.
    pub generation: u64,
    /// SHA-256 of the state before, if a snapshot was taken.
    pub state_before: Option<Digest>,
    /// SHA-256 of the state after, if it changed.
    pub state_after: Option<Digest>,
    /// What waited for it and became dead letters, since the version that it moved to has no way for it.
    #[serde(default)]
    pub dead_letters: usize,
    /// Of a way back after a commit: which, and what it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<BackDone>,
}

/// What a way back after a commit did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BackDone {
    /// `replay`, `downgrade` or `restore`.
    pub way: String,
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
    /// Effects that it wants sent and were not: they were held, for somebody to decide.
    pub held: usize,
    /// Effects that were held, of this or of rollbacks before, and are dropped: they made room for these.
    #[serde(default)]
    pub dropped: usize,
    /// How long it took to handle the messages anew.
    pub replay_us: u64,
}
