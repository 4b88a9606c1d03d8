//! What a plan says of the time after its commit, before anything begins: which ways back there will be, until when,
//! and where the point of no return lies.

use crate::plan::{Direction, Move, Plan};
use crate::probation::{Down, Rollback, Seen, Watch, WayBack};
use crate::report::TrialOutcome;
use crate::request::{Lossy, StateMode};
use semver::Version;
use std::fmt;
use std::time::Duration;

/// Moves of which the same is to be said.
#[derive(Debug, PartialEq, Eq)]
struct Group<'p> {
    from: &'p Version,
    to: &'p Version,
    direction: Direction,
    ways: &'p [WayBack],
    no_replay: Option<&'p str>,
    /// What the way down does, as far as it was rehearsed.
    seen: Option<Seen>,
    /// What the host makes of that.
    down: Down,
    /// How one comes back from there by another upgrade; nothing where one does not.
    back: Option<&'static str>,
}

/// A few lines for each way to be said, none for what was refused at trial.
pub(crate) fn written(f: &mut fmt::Formatter<'_>, plan: &Plan) -> fmt::Result {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for moved in plan.moves() {
        let Some(group) = group(plan, moved) else { continue };
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups.iter().try_for_each(|group| said(f, plan, group))
}

fn group<'p>(plan: &'p Plan, moved: &'p Move) -> Option<Group<'p>> {
    let own = plan.rehearsed().iter().find(|trialled| trialled.actor == moved.addr);
    // Whoever was not looked at is as good as the sample was.
    let others = plan.moves().iter().filter(|other| (&other.from, &other.to) == (&moved.from, &moved.to));
    let sample = || {
        let mut others = others.clone();
        others.find_map(|other| plan.rehearsed().iter().find(|trialled| trialled.actor == other.addr))
    };
    let rehearsed = match own.or_else(sample).map(|trialled| &trialled.outcome) {
        Some(TrialOutcome::Failed(_)) => return None,
        Some(TrialOutcome::Passed(rehearsed)) => Some(rehearsed),
        Some(TrialOutcome::Linked) | None => None,
    };
    let (seen, down) = (rehearsed.and_then(Seen::of), Down::shown(rehearsed, plan.options().lossy));
    let back = moved.back.as_ref().filter(|_| plan.options().state == StateMode::Migrate);
    let back = back.map(|_| if moved.direction == Direction::Upgrade { " (downgrade)" } else { "" });
    let (from, to, direction) = (&moved.from.version, &moved.to.version, moved.direction);
    let (ways, no_replay) = (moved.after.as_slice(), moved.no_replay.as_deref());
    Some(Group { from, to, direction, ways, no_replay, seen, down, back })
}

fn said(f: &mut fmt::Formatter<'_>, plan: &Plan, group: &Group<'_>) -> fmt::Result {
    let Group { from, to, direction, ways, no_replay, seen, down, back } = group;
    let options = plan.options();
    let then = match back {
        Some(how) => format!("back only by an upgrade to {from}{how}"),
        None => format!("no way back to {from}"),
    };
    let Some(watch) = options.probation.watch() else {
        return writeln!(f, "point of no return: the commit; from then on {then}");
    };
    let messages = match watch.messages {
        0 => String::new(),
        messages => format!(" and {messages} messages"),
    };
    writeln!(
        f,
        "after the commit {to} is on probation beside {from} for {}{messages}; {}",
        Time(watch.time),
        fails(&watch, ways, *down)
    )?;
    if let Some(why) = no_replay {
        writeln!(f, "  no replay: {why}")?;
    }
    for way in *ways {
        match way {
            WayBack::Replay => {
                writeln!(
                    f,
                    "  replay: {from} handles anew what came since the commit, all work is kept; of at most {} \
                     messages or {}",
                    watch.keep_messages,
                    Bytes(watch.keep_bytes)
                )?;
                writeln!(f, "  past that{}: {}", soon(&watch), past(&watch, ways, *down))?;
            }
            WayBack::Downgrade => {
                let state = match (seen, options.lossy) {
                    (Some(Seen::Exact), _) => "gives back the very state that was there, as rehearsed",
                    (Some(Seen::Fails), _) => "fails, as rehearsed",
                    (Some(Seen::Lossy), Lossy::Accept) => "loses something, as rehearsed and accepted",
                    (Some(Seen::Lossy), Lossy::Refuse) => "loses something, as rehearsed",
                    (_, Lossy::Accept) => "is not rehearsed, and may lose something, as accepted",
                    (_, Lossy::Refuse) => "is not rehearsed, and may lose something",
                };
                let writes = match direction {
                    Direction::Downgrade => format!("{from} migrates the state of {to}, which"),
                    Direction::Upgrade | Direction::Same => format!("{to} writes its state for {from}, which"),
                };
                writeln!(f, "  downgrade: {writes} {state}")?;
            }
            WayBack::Restore => {
                writeln!(f, "  restore: {from} goes on from where it was, what came since the commit is given up")?;
            }
        }
    }
    writeln!(f, "point of no return: the end of the probation, which makes {to} the default; from then on {then}")
}

/// What reaches the bound of what is kept before the time is over; nothing where no time is to pass.
fn soon(watch: &Watch) -> String {
    let (kept, seconds) = (watch.keep_messages as f64, watch.time.as_secs_f64());
    match kept / seconds {
        rate if !rate.is_finite() => String::new(),
        rate if rate < 10.0 => format!(" (more than {rate:.1} messages a second)"),
        rate => format!(" (more than {rate:.0} messages a second)"),
    }
}

/// What is left of the ways when what came since the commit is not kept any more.
fn past(watch: &Watch, ways: &[WayBack], down: Down) -> String {
    let left: Vec<WayBack> = ways.iter().copied().filter(|way| *way != WayBack::Replay).collect();
    let names: Vec<&str> = left.iter().map(|way| way.name()).collect();
    match watch.rollback.of(&left, down) {
        Some(way) => format!("it is taken back by {way}"),
        None => format!("it stays until somebody decides, and is taken back by {} by order only", names.join(" or ")),
    }
}

/// That it asks for more messages than it keeps: at its end there is no replay.
pub(crate) fn outlasts(plan: &Plan) -> Option<String> {
    let watch = plan.options().probation.watch()?;
    let replays = plan.moves().iter().any(|moved| moved.after.contains(&WayBack::Replay));
    (replays && watch.messages > watch.keep_messages as u64).then(|| {
        format!(
            "the probation lasts {} messages and keeps {} of them: before its end there is no replay any more",
            watch.messages, watch.keep_messages
        )
    })
}

/// What becomes of a version that fails.
fn fails(watch: &Watch, ways: &[WayBack], down: Down) -> String {
    let mut by: Vec<&str> = Vec::new();
    let mut left = ways.to_vec();
    while let Some(way) = watch.rollback.of(&left, down) {
        by.push(way.name());
        left.retain(|other| *other != way);
    }
    match (by.as_slice(), watch.rollback) {
        ([], Rollback::Never) => "if it fails, it stays until somebody decides".to_owned(),
        ([], _) => "if it fails, it stays until somebody decides: there is no such way back by itself".to_owned(),
        (by, _) => format!("if it fails, it is taken back by {}", by.join(", or else by ")),
    }
}

/// A time, for people: `1h`, `1m 30s`, `200ms`.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}"));
        match parts.collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => write!(f, "{:?}", self.0),
            text => f.write_str(&text),
        }
    }
}

/// A size, for people.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => write!(f, "{} MiB", bytes >> 20),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Time, soon};
    use crate::probation::Watch;
    use std::time::Duration;

    #[test]
    fn what_reaches_the_bound_is_said_where_it_can_be() {
        let soon = |time| soon(&Watch { keep_messages: 500, ..Watch::new(time) });
        assert_eq!(soon(Duration::from_secs(30)), " (more than 17 messages a second)");
        assert_eq!(soon(Duration::from_secs(3600)), " (more than 0.1 messages a second)");
        assert_eq!(soon(Duration::ZERO), "");
    }

    #[test]
    fn times_and_sizes_are_written_as_they_are_typed() {
        let time = |ms| Time(Duration::from_millis(ms)).to_string();
        assert_eq!([time(90_000), time(3_600_000), time(200)], ["1m 30s", "1h", "200ms"]);
        let size = |bytes| Bytes(bytes).to_string();
        assert_eq!([size(64 << 20), size(3 << 10), size(1000), size(0)], ["64 MiB", "3 KiB", "1000 bytes", "0 bytes"]);
    }
}
