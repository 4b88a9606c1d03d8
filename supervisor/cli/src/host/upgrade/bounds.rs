//! Bounds and choices of an upgrade, as they are typed.

use super::super::{Span, lasting};
use crate::config::bytes_of;
use clap::ValueEnum;
use std::num::NonZeroU64;
use std::time::Duration;
use teneral::Rollback;
use teneral::api::wire::{Choices, ProbationChoice, WatchChoices};
use teneral::upgrade::{Downgrades, Lossy, PathlessPolicy, StateMode, TrialRemains, Trials, Unstable};

/// Bounds and choices of an upgrade.
#[derive(Debug, clap::Args)]
pub(in crate::host) struct Bounds {
    /// How long one actor may be paused, migration included [default: as the host's configuration says, 1s]
    #[arg(long, value_name = "TIME", value_parser = lasting)]
    max_pause: Option<Span>,
    /// How long to wait for one actor's message boundary [default: as the host's configuration says, 5s]
    #[arg(long, value_name = "TIME", value_parser = lasting)]
    quiesce_timeout: Option<Span>,
    /// How long to wait for another upgrade that has one of the actors [default: 0s]
    #[arg(long, value_name = "TIME")]
    queue_timeout: Option<Span>,
    /// What becomes of the state [default: migrate]
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Let actors go back to an older version
    #[arg(long)]
    allow_downgrade: bool,
    /// Let waiting messages that the new version has no way for become dead letters
    #[arg(long)]
    allow_dead_letters: bool,
    /// Which actors are rehearsed on a copy of their state first, in a process of its own: every, none, or how many
    /// of each version, as a sample for all of it [default: every]
    #[arg(long, value_name = "every|skip|COUNT", value_parser = trials)]
    trial: Option<Trials>,
    /// How long one rehearsal may take [default: as the host's configuration says, 5s]
    #[arg(long, value_name = "TIME", value_parser = lasting)]
    trial_timeout: Option<Span>,
    /// Let a migration pass that gives other bytes each time
    #[arg(long)]
    accept_unstable: bool,
    /// Let a version pass whose way back does not give the state that was there
    #[arg(long)]
    accept_lossy: bool,
    /// Keep the state and the output of a trial that fails, below `trials` in the host's directory
    #[arg(long)]
    keep_trial: bool,
    #[command(flatten)]
    after: After,
}

const AFTER: &str = "After the commit";

/// What is done after the commit.
#[derive(Debug, clap::Args)]
struct After {
    /// Watch the new version for so long beside the one before, and take it back if it does worse; when it passes, it
    /// is what new actors get. Each of the options below asks for it, too [default: as the host's configuration says,
    /// off]
    #[arg(help_heading = AFTER, long, value_name = "TIME|off", value_parser = probation)]
    probation: Option<Time>,
    /// And until the actor has handled so many messages [default: 0]
    #[arg(help_heading = AFTER, long, value_name = "COUNT")]
    probation_messages: Option<u64>,
    /// What becomes of a version that fails: auto takes the first way back that keeps all work, replay or else
    /// downgrade; never leaves it to an operator [default: auto]
    #[arg(help_heading = AFTER, long, value_enum, value_name = "WAY")]
    rollback: Option<WayTyped>,
    /// How many more of its turns may end in an error than of the version before, of all [default: 5%]
    #[arg(help_heading = AFTER, long, value_name = "PERCENT", value_parser = permille)]
    max_errors: Option<u32>,
    /// How many times as long as those of the version before its turns may take, most of them [default: 3x]
    #[arg(help_heading = AFTER, long, value_name = "TIMES", value_parser = times)]
    max_slower: Option<u32>,
    /// Messages kept at most for the version before to handle anew; past that there is no replay [default: 10000]
    #[arg(help_heading = AFTER, long, value_name = "COUNT")]
    keep_messages: Option<usize>,
    /// Their bytes [default: 64MiB]
    #[arg(help_heading = AFTER, long, value_name = "BYTES", value_parser = bytes)]
    keep_bytes: Option<usize>,
    /// How long an actor may be paused while the version before handles them anew [default: 10s]
    #[arg(help_heading = AFTER, long, value_name = "TIME", value_parser = lasting)]
    replay_timeout: Option<Span>,
}

/// How long somebody is on probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    Off,
    For(Duration),
}

fn probation(text: &str) -> Result<Time, String> {
    match text {
        "off" => Ok(Time::Off),
        _ => lasting(text).map(|span| Time::For(span.0)).map_err(|why| format!("{why}; or off")),
    }
}

/// `5%` or `0.5%`, in a thousand.
fn permille(text: &str) -> Result<u32, String> {
    let wanted = || "write a share from 0% to 100%, as in 5% or 0.5%".to_owned();
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    tenths(number).filter(|permille| *permille <= 1000).ok_or_else(wanted)
}

/// `3x` or `1.5x`, in percent.
fn times(text: &str) -> Result<u32, String> {
    let wanted = || "write how many times as long, from 1x to 1000x, as in 3x or 1.5x".to_owned();
    let number = text.strip_suffix('x').unwrap_or(text).trim_end();
    let percent = tenths(number).and_then(|tenths| tenths.checked_mul(10));
    percent.filter(|percent| (100..=100_000).contains(percent)).ok_or_else(wanted)
}

/// A number with one digit behind the point at most, times ten.
fn tenths(number: &str) -> Option<u32> {
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let tenth = if tenth.len() == 1 { tenth.parse::<u32>().ok()? } else { return None };
    whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenth)
}

fn bytes(text: &str) -> Result<usize, String> {
    bytes_of(text).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| "write bytes, as in 64MiB".to_owned())
}

/// What becomes of a version that fails its probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WayTyped {
    /// The first way back that keeps all work: replay, else downgrade
    Auto,
    /// The version before handles what came since the commit anew, or it stays
    Replay,
    /// The new version writes its state for the one before, or it stays
    Downgrade,
    /// What came since the commit is given up
    Restore,
    /// It stays, and an operator is told
    Never,
}

/// What `--trial` takes.
fn trials(text: &str) -> Result<Trials, String> {
    match (text, text.parse()) {
        ("every", _) => Ok(Trials::Every),
        ("skip", _) => Ok(Trials::Skip),
        (_, Ok(actors)) if actors > 0 => Ok(Trials::Sample { actors }),
        _ => Err("want every, skip, or how many actors: 1 or more".to_owned()),
    }
}

/// What becomes of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// It moves along the ladder
    Migrate,
    /// It is given up: the new version starts from the actor's start arguments
    Reset,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Bounds {
    /// What was typed; all else is as the host has it.
    pub(in crate::host) fn choices(&self) -> Choices {
        let us = |span: Option<Span>| span.map(|span| micros(span.0));
        let least = |us: u64| NonZeroU64::new(us).unwrap_or(NonZeroU64::MIN);
        Choices {
            state: self.state.map(|state| match state {
                State::Migrate => StateMode::Migrate,
                State::Reset => StateMode::Reset,
            }),
            max_pause_us: us(self.max_pause).map(least),
            quiesce_timeout_us: us(self.quiesce_timeout).map(least),
            queue_timeout_us: us(self.queue_timeout),
            downgrades: self.allow_downgrade.then_some(Downgrades::Allow),
            pathless: self.allow_dead_letters.then_some(PathlessPolicy::DeadLetter),
            trials: self.trial,
            trial_timeout_us: us(self.trial_timeout),
            unstable: self.accept_unstable.then_some(Unstable::Warn),
            lossy: self.accept_lossy.then_some(Lossy::Accept),
            trial_remains: self.keep_trial.then_some(TrialRemains::Keep),
            probation: self.after.choice(),
            ..Choices::default()
        }
    }
}

impl After {
    fn choice(&self) -> Option<ProbationChoice> {
        let Self { probation, probation_messages, rollback, max_errors, max_slower, .. } = *self;
        let Self { keep_messages, keep_bytes, replay_timeout, .. } = *self;
        let time_us = match probation {
            Some(Time::Off) => return Some(ProbationChoice::Off),
            Some(Time::For(time)) => Some(micros(time)),
            None => None,
        };
        let choices = WatchChoices {
            time_us,
            messages: probation_messages,
            errors_more_permille: max_errors,
            slower_percent: max_slower,
            keep_messages,
            keep_bytes,
            replay_timeout_us: replay_timeout.map(|span| micros(span.0)),
            rollback: rollback.map(|way| match way {
                WayTyped::Auto => Rollback::Auto,
                WayTyped::Replay => Rollback::Replay,
                WayTyped::Downgrade => Rollback::Downgrade,
                WayTyped::Restore => Rollback::Restore,
                WayTyped::Never => Rollback::Never,
            }),
            ..WatchChoices::default()
        };
        (choices != WatchChoices::default()).then_some(ProbationChoice::Watch(choices))
    }
}

#[cfg(test)]
mod tests {
    use super::{Time, permille, probation, times};
    use std::time::Duration;

    #[test]
    fn shares_and_times_are_read_as_they_are_written() {
        assert_eq!((permille("5%"), permille("0.5%"), permille("100%")), (Ok(50), Ok(5), Ok(1000)));
        assert_eq!((times("3x"), times("1.5x"), times("1")), (Ok(300), Ok(150), Ok(100)));
        for text in ["", "%", "-1%", "101%", "0.05%", "five", "5 %%"] {
            assert!(permille(text).is_err(), "{text}");
        }
        for text in ["", "x", "0.9x", "-3x", "1001x", "3 times"] {
            assert!(times(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_probation_lasts_or_is_off() {
        assert_eq!(probation("off"), Ok(Time::Off));
        assert_eq!(probation("30s"), Ok(Time::For(Duration::from_secs(30))));
        assert!(probation("0s").is_err_and(|why| why.contains("or off")));
    }
}
