//! What must be done for a host to be as a file says, or why the file cannot be meant.
//!
//! Nothing is changed here: the host is asked what it has, what its plans would be, and whether arguments fit.

use super::file::{Actor, Artifact, Default, Wanted};
use crate::config::file::At;
use crate::config::problems::Problems;
use crate::failure::Failure;
use crate::host::Host;
use semver::Version;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use teneral::api::wire::{ActorView, Checked, Choices, KindView, Start, Upgrade};
use teneral::contract::json::misfit;
use teneral::upgrade::{Downgrades, nearest};
use teneral::{Addr, Plan, Release};

/// One thing to do.
#[derive(Debug)]
pub(super) enum Act {
    Push { kind: String, version: Version, path: PathBuf },
    SetDefault { kind: String, from: Option<Version>, to: Version },
    BringBack { actor: Addr, version: Version },
    Upgrade { actor: Addr, from: Version, to: Version },
    Start { actor: Addr, version: Version, args: Value },
    Stop { actor: Addr, version: Version },
}

/// As a difference is written: what comes with a plus, what goes with a minus, what changes with a tilde.
impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Push { kind, version, path } => write!(f, "+ artifact {kind} {version} from {}", path.display()),
            Self::SetDefault { kind, from: None, to } => write!(f, "+ default of {kind}: {to}"),
            Self::SetDefault { kind, from: Some(from), to } => {
                write!(f, "~ default of {kind}: {from} -> {to}{}", self.mark())
            }
            Self::BringBack { actor, version } => write!(f, "~ actor {actor}: down -> running {version}"),
            Self::Upgrade { actor, from, to } => {
                write!(f, "~ actor {actor}: {from} -> {to}, while it runs{}", self.mark())
            }
            Self::Start { actor, version, args } => write!(f, "+ actor {actor}: {version} from {args}"),
            Self::Stop { actor, version } => write!(f, "- actor {actor}: {version}, with its state"),
        }
    }
}

impl Act {
    /// Whether it goes to an older version.
    pub(super) fn goes_down(&self) -> bool {
        match self {
            Self::SetDefault { from: Some(from), to, .. } | Self::Upgrade { from, to, .. } => to < from,
            _ => false,
        }
    }

    fn mark(&self) -> &'static str {
        if self.goes_down() { " (a downgrade)" } else { "" }
    }

    /// The same for a program; `outcome` is what came of it.
    pub(super) fn to_json(&self, outcome: &str) -> Value {
        let mut record = match self {
            Self::Push { kind, version, path } => {
                json!({ "act": "push", "kind": kind, "from": null, "to": version, "file": path.display().to_string() })
            }
            Self::SetDefault { kind, from, to } => {
                json!({ "act": "set_default", "kind": kind, "from": from, "to": to })
            }
            Self::BringBack { actor, version } => {
                json!({ "act": "bring_back", "actor": actor, "from": null, "to": version })
            }
            Self::Upgrade { actor, from, to } => json!({ "act": "upgrade", "actor": actor, "from": from, "to": to }),
            Self::Start { actor, version, args } => {
                json!({ "act": "start", "actor": actor, "from": null, "to": version, "args": args })
            }
            Self::Stop { actor, version } => json!({ "act": "stop", "actor": actor, "from": version, "to": null }),
        };
        record["downgrade"] = self.goes_down().into();
        record["outcome"] = outcome.into();
        record
    }
}

/// What to do, in a safe order, and what is only said.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) acts: Vec<Act>,
    pub(super) notes: Vec<String>,
}

/// What the host has.
struct Has {
    releases: Vec<Release>,
    kinds: Vec<KindView>,
    actors: BTreeMap<Addr, ActorView>,
}

/// Finds the difference.
///
/// # Errors
/// [`Failure`]: what the host says to being asked. What is wrong with the file goes to `problems`.
pub(super) fn between(
    host: &Host,
    wanted: &Wanted,
    prunes: Option<()>,
    problems: &mut Problems,
) -> Result<Difference, Failure> {
    let has = host.call(async |client| {
        let actors: Vec<ActorView> = client.get("/v1/actors").await?;
        let actors = actors.into_iter().map(|view| (view.actor.clone(), view)).collect();
        Ok(Has { releases: client.get("/v1/artifacts").await?, kinds: client.get("/v1/kinds").await?, actors })
    })?;
    let mut found = Difference { acts: Vec::new(), notes: Vec::new() };
    for artifact in &wanted.artifacts {
        found.acts.extend(push(&has, wanted, artifact, problems));
    }
    for default in &wanted.defaults {
        found.acts.extend(set_default(&has, wanted, default, problems));
    }
    let mut starts = Vec::new();
    for actor in &wanted.actors {
        match has.actors.get(&actor.addr) {
            Some(view) => moves(host, &has, wanted, (actor, view), &mut found, problems),
            None => starts.extend(start(host, &has, wanted, actor, problems)),
        }
    }
    found.acts.extend(starts);
    for (addr, view) in &has.actors {
        let Some(version) = view.desired.clone() else { continue };
        match prunes {
            _ if wanted.actors.iter().any(|actor| actor.addr == *addr) => {}
            Some(()) => found.acts.push(Act::Stop { actor: addr.clone(), version }),
            None => found.notes.push(format!("{addr} is not in the file: --prune would stop it")),
        }
    }
    Ok(found)
}

fn push(has: &Has, wanted: &Wanted, artifact: &Artifact, problems: &mut Problems) -> Option<Act> {
    let Artifact { at, path, digest, manifest } = artifact;
    let (kind, version) = (&manifest.kind, &manifest.version);
    let same = |other: &&Artifact| other.manifest.kind == *kind && other.manifest.version == *version;
    if let Some(first) = wanted.artifacts.iter().find(same).filter(|first| first.at != *at) {
        problems.at(at, format!("{kind} {version} is there twice: the first time in line {}", first.at.line));
        return None;
    }
    match has.releases.iter().find(|release| release.kind == *kind && release.version == *version) {
        None => Some(Act::Push { kind: kind.clone(), version: version.clone(), path: path.clone() }),
        Some(held) if held.sha256 == *digest => None,
        Some(held) => {
            let held = held.sha256;
            problems.at(
                at,
                format!("the host's {kind} {version} is another build, sha256 {held}: give this one a new version"),
            );
            None
        }
    }
}

/// The versions of a kind that there will be.
fn versions(has: &Has, wanted: &Wanted, kind: &str) -> Vec<Version> {
    let held = has.releases.iter().filter(|release| release.kind == kind).map(|release| release.version.clone());
    let brought = wanted.artifacts.iter().map(|artifact| &artifact.manifest);
    let mut all: Vec<Version> =
        held.chain(brought.filter(|new| new.kind == kind).map(|new| new.version.clone())).collect();
    all.sort();
    all.dedup();
    all
}

/// Refuses a kind or a version that nobody has.
fn is_there(has: &Has, wanted: &Wanted, at: &At, kind: &str, version: &Version, problems: &mut Problems) -> Option<()> {
    let versions: Vec<String> = versions(has, wanted, kind).iter().map(ToString::to_string).collect();
    if versions.is_empty() {
        let brought = wanted.artifacts.iter().map(|artifact| artifact.manifest.kind.as_str());
        let known: Vec<&str> = has.releases.iter().map(|release| release.kind.as_str()).chain(brought).collect();
        problems.at(at, format!("no artifact of kind {kind}, here or at the host: {}", nearest::hint(kind, known)));
        return None;
    }
    let text = version.to_string();
    if !versions.contains(&text) {
        let hint = nearest::hint(&text, versions.iter().map(String::as_str));
        problems.at(at, format!("no {kind} {version}, here or at the host: {hint}"));
        return None;
    }
    Some(())
}

fn set_default(has: &Has, wanted: &Wanted, default: &Default, problems: &mut Problems) -> Option<Act> {
    let Default { at, kind, version } = default;
    is_there(has, wanted, at, kind, version, problems)?;
    let from = has.kinds.iter().find(|view| view.kind == *kind).and_then(|view| view.default.clone());
    (from.as_ref() != Some(version)).then(|| Act::SetDefault { kind: kind.clone(), from, to: version.clone() })
}

fn start(host: &Host, has: &Has, wanted: &Wanted, actor: &Actor, problems: &mut Problems) -> Option<Act> {
    let kind = actor.addr.kind();
    let of_file = wanted.defaults.iter().find(|default| default.kind == kind).map(|default| &default.version);
    let of_host = has.kinds.iter().find(|view| view.kind == kind).and_then(|view| view.default.as_ref());
    let (at, version) = match (&actor.version, of_file.or(of_host)) {
        (Some((at, version)), _) => (at, version),
        (None, Some(version)) => (&actor.at, version),
        (None, None) => {
            let what = format!("{} has no version, and {kind} no default", actor.addr);
            problems.at(&actor.at, what);
            return None;
        }
    };
    is_there(has, wanted, at, kind, version, problems)?;
    fits(host, wanted, actor, version, problems)?;
    Some(Act::Start { actor: actor.addr.clone(), version: version.clone(), args: actor.args.clone() })
}

/// Refuses start arguments that the version does not take: as the host's code says, or as the shape of a library says
/// that the host does not have yet. What the answer was, if it was the host's.
fn fits(
    host: &Host,
    wanted: &Wanted,
    actor: &Actor,
    version: &Version,
    problems: &mut Problems,
) -> Option<Option<Checked>> {
    let body = Start {
        actor: actor.addr.clone(),
        version: Some(version.clone()),
        args: actor.args.clone(),
        reason: String::new(),
    };
    let checked = host.call(async |client| client.post::<Checked>("/v1/actors/check", &body).await);
    let failure = match checked {
        Ok(checked) => return Some(Some(checked)),
        Err(failure) => failure,
    };
    let is_it = |new: &&Artifact| new.manifest.kind == actor.addr.kind() && new.manifest.version == *version;
    match (failure.code(), wanted.artifacts.iter().find(is_it)) {
        ("SYS-KIND" | "SYS-VERSION", Some(new)) => match misfit(&new.manifest.args.shape, &actor.args) {
            None => Some(None),
            Some(why) => {
                problems
                    .at(actor.args_at.as_ref().unwrap_or(&actor.at), format!("{}: start arguments: {why}", actor.addr));
                None
            }
        },
        _ => {
            problems
                .at(actor.args_at.as_ref().unwrap_or(&actor.at), format!("[{}] {}", failure.code(), failure.cause()));
            None
        }
    }
}

/// An actor that the host has.
fn moves(
    host: &Host,
    has: &Has,
    wanted: &Wanted,
    (actor, view): (&Actor, &ActorView),
    found: &mut Difference,
    problems: &mut Problems,
) {
    let addr = &actor.addr;
    let Some(desired) = view.desired.clone() else {
        let parent = view.parent.as_ref().map_or_else(String::new, |parent| format!(", by {parent}"));
        problems.at(&actor.at, format!("{addr} runs already and is not defined: it was started by a program{parent}"));
        return;
    };
    let to = actor.version.as_ref().map_or(&desired, |(_, version)| version);
    let at = actor.version.as_ref().map_or(&actor.at, |(at, _)| at);
    if is_there(has, wanted, at, addr.kind(), to, problems).is_none() {
        return;
    }
    // What it was started from is known: a file that does not say it contradicts nothing.
    let checked = match actor.args_at {
        Some(_) => fits(host, wanted, actor, to, problems),
        None => Some(None),
    };
    let Some(checked) = checked else { return };
    if checked.is_some_and(|checked| checked.same_args == Some(false)) {
        found.notes.push(format!("{addr} was started from other arguments, and goes on with its state"));
    }
    if view.status == "down" {
        found.acts.push(Act::BringBack { actor: addr.clone(), version: desired.clone() });
    }
    if *to == desired {
        return;
    }
    let held = has.releases.iter().any(|release| release.kind == addr.kind() && release.version == *to);
    if held && view.status != "down" {
        // Whether it could: whether it may is for whoever has the file applied.
        let body = upgrade(addr, to, Some(Downgrades::Allow), String::new());
        let planned = host.call(async |client| client.post::<Plan>("/v1/upgrades/plan", &body).await);
        if let Err(failure) = planned {
            problems.at(at, format!("{addr} cannot move to {to}: [{}] {}", failure.code(), failure.cause()));
            return;
        }
    }
    found.acts.push(Act::Upgrade { actor: addr.clone(), from: desired.clone(), to: to.clone() });
}

/// An actor's way to the version that the file wants.
pub(super) fn upgrade(actor: &Addr, to: &Version, downgrades: Option<Downgrades>, reason: String) -> Upgrade {
    let options = Choices { downgrades, ..Choices::default() };
    Upgrade { target: actor.path().to_owned(), to: to.clone(), options: Some(options), reason, request: None }
}
