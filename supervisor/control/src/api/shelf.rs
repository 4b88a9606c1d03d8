//! What is said of artifacts: kinds, versions, and what the code of each understands. A shape is what a manifest has: a
//! leaf's name, or an object whose one key says what it is (`docs/abi.md`).

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use teneral_contract::manifest::MessageEntry;
use teneral_contract::{Addr, Digest};
use teneral_store::{Release, UpgradeId};

/// An actor kind with all that there is of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KindDetail {
    /// Its name.
    pub kind: String,
    /// The version that new actors get.
    pub default: Option<Version>,
    /// Where its actors run: `in-process`, or `process` for one of its own, where no work is done anew.
    pub place: String,
    /// What the store holds, by version.
    pub versions: Vec<VersionDetail>,
}

/// One version of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionDetail {
    /// Which.
    pub version: Version,
    /// Its artifact.
    pub sha256: Digest,
    /// The artifact's length.
    pub bytes: u64,
    /// The schema of its state.
    pub schema: u32,
    /// When it was first pushed.
    pub pushed: Option<Timestamp>,
    /// The key that signed it.
    pub signer: Option<String>,
    /// What that key is called here; none: it is not trusted, or not any more.
    pub trusted_as: Option<String>,
    /// Who runs it.
    pub running: Vec<Addr>,
    /// Who comes back on it when the host does.
    pub defined: Vec<Addr>,
    /// Of those who run it, who is on probation.
    pub on_probation: Vec<Addr>,
    /// Who keeps its library in the process; none: the process does not have it.
    pub image: Option<ImageView>,
    /// What its actors start from, as a manifest has shapes; none: the artifact cannot be read.
    pub args: Option<Value>,
    /// The shape of its state.
    pub state: Option<Value>,
    /// Its messages.
    pub messages: Vec<MessageDetail>,
    /// Whether it is declared deterministic, so that its work can be done anew; none: the artifact cannot be read.
    pub deterministic: Option<bool>,
    /// Why the artifact would not be loaded now.
    pub refused: Option<Refusal>,
}

/// A library in the process, where it stays until the process ends, and who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImageView {
    /// How many hold its code: instances, and whoever may make one. None: it is retired, until somebody asks for it.
    pub holders: usize,
    /// The upgrades at work that may still need it, besides the actors that run it.
    pub upgrades: Vec<UpgradeId>,
    /// The actors on another version's probation whose instance before is of it.
    pub instances_before: Vec<Addr>,
}

/// A message that a version understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageDetail {
    /// Its name.
    pub name: String,
    /// The shape of its body.
    pub body: Value,
    /// The shape of its reply; none: it is told, not asked.
    pub reply: Option<Value>,
}

impl From<&MessageEntry> for MessageDetail {
    fn from(entry: &MessageEntry) -> Self {
        let reply = entry.reply.as_ref().map(|reply| reply.shape.clone());
        Self { name: entry.name.clone(), body: entry.shape.clone(), reply }
    }
}

/// Why an artifact would not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// Why.
    pub cause: String,
    /// What to do.
    pub hint: String,
}

/// The high-water marks: the highest version of each kind that was ever here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MarksView {
    /// Whether they can be relied on.
    pub whole: bool,
    /// Why not.
    pub why: Option<String>,
    /// As the database has them; none: it has none.
    pub database: Option<BTreeMap<String, Version>>,
    /// As the file beside it has them; none: it is not there.
    pub file: Option<BTreeMap<String, Version>>,
    /// The highest of both, and of what the store holds: what would be accepted.
    pub left: BTreeMap<String, Version>,
}

/// Takes what is left of the marks for all there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptMarks {
    /// What was shown as `left`: refused when it is something else by now.
    pub accepted: BTreeMap<String, Version>,
    /// That the host is a production one, if it is.
    #[serde(default)]
    pub production: bool,
    /// Why; not empty.
    pub reason: String,
}

/// A version in quarantine: its code hung, and nothing new is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InQuarantine {
    /// Its kind.
    pub kind: String,
    /// Which.
    pub version: Version,
    /// What it did.
    pub why: String,
}

/// An artifact of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArtifactView {
    /// Its record.
    #[serde(flatten)]
    pub release: Release,
    /// Why it is in quarantine; none: it is in none.
    pub quarantined: Option<String>,
}

/// A version that is in no quarantine any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pardoned {
    /// Its kind.
    pub kind: String,
    /// Which.
    pub version: Version,
    /// The artifact.
    pub sha256: Digest,
    /// Why it was in quarantine; none: it was in none.
    pub why: Option<String>,
}

/// An artifact of the store, and what it says of itself. None of its code runs for that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ArtifactDetail {
    /// The artifact.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
    /// Functions that would run when it is loaded.
    pub constructors: u64,
    /// The libraries that it needs.
    pub needed: Vec<String>,
    /// Why it would not be loaded now.
    pub refused: Option<Refusal>,
    /// Its manifest.
    pub manifest: Value,
}
