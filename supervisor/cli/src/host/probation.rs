//! Who is on probation, as the commands that look at actors say it below their tables, and how each stands.

use crate::table::{columns, counted, grouped, harmless};
use jiff::{SignedDuration, Timestamp};
use teneral::OnProbation;
use teneral::upgrade::{Failure, Phase, Turns};

/// The lines of all that are on probation: how many, then each that is named. Nothing where nobody is.
pub(super) fn on_probation(count: usize, named: &[OnProbation]) -> String {
    let line = |on: &OnProbation| {
        let OnProbation { actor, to, upgrade, .. } = on;
        format!("  {actor}: {to} for {upgrade}, {}\n", phase(on))
    };
    counted(count, "on probation", &named.iter().map(line).collect::<Vec<_>>(), "teneral actor list")
}

/// How one stands, in a few words.
pub(super) fn phase(on: &OnProbation) -> String {
    match &on.phase {
        Phase::Watching => left(on),
        Phase::Sick { why } => format!("fails it: {}", harmless(why)),
        Phase::RollingBack { why } => format!("is being taken back: {}", harmless(why)),
        Phase::Held { failure: Failure { code, cause, .. } } => {
            format!("could not be taken back: [{code}] {}", harmless(cause))
        }
    }
}

/// How long it is on probation still.
fn left(OnProbation { left_us, messages_left, .. }: &OnProbation) -> String {
    let time = (*left_us > 0).then(|| span(left_us.div_ceil(1_000_000).saturating_mul(1_000_000)));
    let s = if *messages_left == 1 { "" } else { "s" };
    let messages = (*messages_left > 0).then(|| format!("{} message{s}", grouped(*messages_left)));
    match (time, messages) {
        (Some(time), Some(messages)) => format!("{time} and {messages} left"),
        (Some(one), None) | (None, Some(one)) => format!("{one} left"),
        (None, None) => "about to be final".to_owned(),
    }
}

/// Microseconds as people write a time: `30s`, `1m 30s`.
pub(super) fn span(us: u64) -> String {
    format!("{:#}", SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX)))
}

/// A moment, to the second.
pub(super) fn moment(unix_us: u64) -> String {
    let at = i64::try_from(unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

/// All that is known of one that is on probation.
pub(super) fn block(on: &OnProbation) -> String {
    let OnProbation { actor, upgrade, from, to, watch, .. } = on;
    let mut text = match &on.phase {
        Phase::Watching => format!("{actor}: on probation since {}, {}\n", moment(on.since_unix_us), left(on)),
        _ => format!("{actor}: {}\n", phase(on)),
    };
    let turns = |version: &semver::Version, turns: &Turns| {
        let Turns { handled, failed, panics, slow, mean_ns } = *turns;
        let mean = mean_ns.map_or_else(|| "no turn timed".to_owned(), |ns| format!("{} a turn", nanos(ns)));
        let count = |number: u64, what: &str| format!("{} {what}", grouped(number));
        let all = handled + failed + panics;
        vec![
            format!("  {version}"),
            count(all, if all == 1 { "turn" } else { "turns" }),
            count(failed, "failed"),
            count(panics, "panicked"),
            count(slow, "slow"),
            mean,
        ]
    };
    text.push_str(&columns(&[turns(to, &on.now), turns(from, &on.before)]));
    text.push_str(&match &on.no_replay {
        Some(why) => format!("  nothing is kept for a replay: {}\n", harmless(why)),
        None => format!(
            "  kept {} of {} messages, {} of {} bytes\n",
            grouped(on.kept_messages as u64),
            grouped(watch.keep_messages as u64),
            grouped(on.kept_bytes as u64),
            grouped(watch.keep_bytes as u64)
        ),
    });
    if on.anew {
        text.push_str(
            "  its state is gone, it began from its start arguments: restore has what was there at the commit\n",
        );
    }
    let ways: Vec<String> = on
        .ways
        .iter()
        .map(|way| if on.automatic == Some(*way) { format!("{way} (by itself)") } else { way.to_string() })
        .collect();
    text.push_str(&match (ways.is_empty(), on.automatic) {
        (true, _) => format!("  no way back to {from}\n"),
        (false, None) => format!("  back by {}; none of them by itself\n", ways.join(", ")),
        (false, Some(_)) => format!("  back by {}\n", ways.join(", ")),
    });
    if let Phase::Sick { .. } | Phase::Held { .. } = on.phase {
        for way in &on.ways {
            text.push_str(&format!("  hint: teneral upgrade rollback {upgrade} {actor} --by {way}\n"));
        }
        if on.quarantined.is_none() {
            text.push_str(&format!(
                "  hint: or let {to} go on, which begins anew where it panicked or hung: teneral upgrade finalise \
                 {upgrade} {actor}\n"
            ));
        }
    }
    text.extend(on.quarantined.as_ref().map(|why| {
        format!("  {to} is in quarantine and cannot be made final until that is over: {}\n", harmless(why))
    }));
    text
}

fn nanos(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}
