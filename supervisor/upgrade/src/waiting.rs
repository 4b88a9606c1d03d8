//! What waits for an actor, against the contract of the code that it is to run.

use crate::probation::WayBack;
use crate::snapshot::Subject;
use serde::{Deserialize, Serialize};
use std::fmt;
use teneral_contract::{Contract, Manifest, Refusal};
use teneral_runtime::{ActorRef, Parked, Place};

/// Waiting messages without a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pathless {
    /// Where they wait: `mailbox`, `timer`, `continuation`, `outbox`.
    pub place: String,
    /// How many.
    pub count: usize,
    /// Which message, and why it has no path.
    pub why: String,
}

/// Whether the code reads the start arguments of the actor.
pub(crate) fn reads_args(manifest: &Manifest, subject: &Subject) -> bool {
    let args = &manifest.args;
    subject
        .parked
        .iter()
        .filter(|parked| parked.place == Place::RestartArgs)
        .all(|parked| parked.tag.fingerprint == args.fingerprint || args.also.contains(&parked.tag.fingerprint))
}

/// What waits for the actor and has no path to that code.
pub(crate) fn pathless(subject: &Subject, manifest: &Manifest) -> Vec<Pathless> {
    let waiting = subject.parked.iter().filter(|parked| parked.place != Place::RestartArgs);
    lost(waiting, &subject.manifest, manifest)
}

/// What waits for an actor on probation and is a dead letter once it has gone back that way. By replay and restore its
/// timers, its asks and what it tells itself are those of the version before.
pub(crate) fn lost_on(way: WayBack, actor: &ActorRef, before: &Manifest) -> Vec<Pathless> {
    let parked = actor.parked();
    let waiting = parked.iter().filter(|parked| match way {
        WayBack::Downgrade => parked.place != Place::RestartArgs,
        WayBack::Replay | WayBack::Restore => parked.place == Place::Mailbox,
    });
    lost(waiting, actor.provider().manifest(), before)
}

/// The same, as one line.
pub(crate) fn listed(lost: &[Pathless]) -> String {
    lost.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn lost<'a>(waiting: impl Iterator<Item = &'a Parked>, running: &Manifest, manifest: &Manifest) -> Vec<Pathless> {
    let (contract, known_before) = (Contract::new(manifest), Contract::new(running));
    waiting
        .filter_map(|parked| {
            let refusal = contract.resolve(parked.tag).err()?;
            let why = match (&refusal, known_before.name_of(parked.tag.variant)) {
                (Refusal::UnknownMessage(_), Some(name)) => {
                    format!("message {name} is unknown to {}", manifest.version)
                }
                _ => refusal.to_string(),
            };
            Some(Pathless { place: place(parked.place).to_owned(), count: parked.count, why })
        })
        .collect()
}

const fn place(place: Place) -> &'static str {
    match place {
        Place::Mailbox | Place::Own => "mailbox",
        Place::Timer => "timer",
        Place::Continuation => "continuation",
        Place::Outbox => "outbox",
        Place::RestartArgs => "start arguments",
    }
}

impl fmt::Display for Pathless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in the {}: {}", self.count, self.place, self.why)
    }
}
