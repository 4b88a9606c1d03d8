//! The runtime's words in those of the control socket.

use super::Happened;
use std::time::Duration;
use teneral_control::api::event::ACTORS_NAMED_MAX;
use teneral_runtime::{CrashReport, DeadLetter, Recovered, What};
use teneral_store::UpgradeId;

/// Longest reason that is told, in characters; the journal has all of it.
const REASON_CHARS_MAX: usize = 1000;

/// What watchers are told.
pub(super) enum Seen {
    /// This.
    Told(Happened),
    /// Nothing: another event says it better.
    Untold,
}

/// What the host's own actors do as a matter of course is the host's affair, as they are in no list.
fn is_of_the_hosts_own(what: &What) -> bool {
    match what {
        What::Started { addr, .. }
        | What::Stopped { addr, .. }
        | What::Paused { addr, .. }
        | What::Resumed { addr, .. } => addr.kind() == teneral_native_api::KIND,
        _ => false,
    }
}

pub(super) fn translate(what: &What) -> Seen {
    if is_of_the_hosts_own(what) {
        return Seen::Untold;
    }
    Seen::Told(match what.clone() {
        What::Started { addr: actor, version, generation } => {
            Happened::Started { actor, version, generation: generation.0 }
        }
        What::Stopped { addr: actor, reason } => Happened::Stopped { actor, reason },
        What::Failed(report) => {
            let CrashReport { addr: actor, version, generation, message, fault, upgrade, .. } =
                CrashReport::clone(&report);
            let message = message.map(|message| message.name);
            let (why, upgrade) = (fault.to_string(), upgrade.map(UpgradeId));
            Happened::Panicked { actor, version, generation: generation.0, message, why, upgrade }
        }
        What::Suspended { addr: actor, version, why } => Happened::Suspended { actor, version, why },
        What::Restarted { addr: actor, version, generation, restarts } => {
            Happened::Restarted { actor, version, generation: generation.0, restarts }
        }
        What::Recovered { addr: actor, version, recovered } => {
            let Recovered { replayed, not_replayed, why, took, .. } = recovered;
            let (why, took_us) = (why.map(|why| why.to_string()).unwrap_or_default(), micros(took));
            Happened::Recovered { actor, version, replayed, not_replayed, why, took_us }
        }
        What::RestartFailed { addr: actor, fault } => Happened::RestartFailed { actor, why: fault.to_string() },
        What::GaveUp { addr: actor, restarts_max, period } => {
            Happened::GaveUp { actor, restarts_max, period_ms: millis(period) }
        }
        What::Hung { addr: actor, version, doing, running_for } => {
            Happened::Hung { actor, version, doing, running_ms: millis(running_for) }
        }
        What::Paused { addr: actor, version, generation, owner: by } => {
            Happened::Paused { actor, version, generation: generation.0, by }
        }
        What::Resumed { addr: actor, version, generation, paused, queued_messages } => {
            let (generation, paused_us) = (generation.0, micros(paused));
            Happened::Resumed { actor, version, generation, paused_us, queued_messages }
        }
        What::Quarantined { digest: sha256, kind, version, why } => {
            Happened::Quarantined { kind, version, sha256, why }
        }
        What::Released { digest: sha256, kind, version } => Happened::Pardoned { kind, version, sha256 },
        What::DeadLetter(letter) => {
            let DeadLetter { to: actor, from, tag, body_bytes, reason, .. } = DeadLetter::clone(&letter);
            let message = format!("{:016x}", tag.variant);
            Happened::DeadLetter { actor, from, message, body_bytes, reason: reason.to_string() }
        }
        other => return of_upgrade(other),
    })
}

fn of_upgrade(what: What) -> Seen {
    Seen::Told(match what {
        What::UpgradeBegun { upgrade, who: by, why, mut moves } => {
            let (actors, reason) = (moves.len(), why.chars().take(REASON_CHARS_MAX).collect());
            moves.truncate(ACTORS_NAMED_MAX);
            Happened::UpgradeBegun { upgrade: UpgradeId(upgrade), by, reason, actors, moves }
        }
        What::UpgradeStep { upgrade, addr: actor, step, took, result, failure } => {
            let (code, cause) = failure.unzip();
            let (upgrade, took_us, result) = (UpgradeId(upgrade), micros(took), result.to_owned());
            Happened::UpgradeStep { upgrade, actor, step, took_us, result, code, cause }
        }
        What::UpgradeEnded { upgrade, outcomes } => {
            let is_well = |(_, outcome): &&(_, &str)| matches!(*outcome, "committed" | "unchanged");
            let (actors, well) = (outcomes.len(), outcomes.iter().filter(is_well).count());
            let named = outcomes.into_iter().take(ACTORS_NAMED_MAX);
            let outcomes = named.map(|(actor, outcome)| (actor, outcome.to_owned())).collect();
            Happened::UpgradeEnded { upgrade: UpgradeId(upgrade), actors, well, outcomes }
        }
        What::Upgraded { addr: actor, from, to: version, generation, paused, queued_messages } => {
            let (generation, paused_us) = (generation.0, micros(paused));
            Happened::Upgraded { actor, from, version, generation, paused_us, queued_messages }
        }
        What::RolledBack { addr: actor, serving: version, refused, why } => {
            Happened::RolledBack { actor, version, refused, why }
        }
        What::NotUpgraded { addr: actor, serving: version, refused, code, why } => {
            Happened::NotUpgraded { actor, version, refused, code, why }
        }
        What::Probation { addr: actor, upgrade, version, phase, why } => {
            let (upgrade, phase) = (UpgradeId(upgrade), phase.to_owned());
            Happened::Probation { actor, upgrade, version, phase, why }
        }
        // That an upgrade has all its code: its steps say so.
        _ => return Seen::Untold,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
