//! Whether a version passes its probation: a pure function of what its turns came to and of what those of the version
//! before did.
//!
//! Judged are all of its turns, and the latest: a version that goes wrong after a thousand good turns would hide behind
//! them.

use super::policy::Watch;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use teneral_runtime::Figures;

/// Looks that are remembered.
const MARKS_MAX: usize = 256;

/// Why a version fails its probation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "sick", rename_all = "snake_case")]
pub enum Sick {
    /// More of its turns end in an error.
    Errors {
        /// Of so many turns.
        turns: u64,
        /// So many in a thousand.
        permille: u64,
        /// Of the version before.
        before_permille: u64,
    },
    /// Its turns take longer.
    Slow {
        /// Of so many turns that were timed.
        turns: u64,
        /// So many.
        slow: u64,
        /// On average.
        mean_us: u64,
        /// Of the version before.
        before_us: u64,
    },
    /// A turn of it panicked.
    Crash {
        /// The panic.
        reason: String,
    },
    /// A turn of it does not return.
    Hangs,
}

impl fmt::Display for Sick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { turns, permille, before_permille } => write!(
                f,
                "{permille} of 1000 turns failed, of {turns} that were judged; {before_permille} of 1000 did before"
            ),
            Self::Slow { turns, slow, mean_us, before_us } => write!(
                f,
                "{slow} of {turns} timed turns were slow: a turn took {mean_us} us on average, {} before",
                if *before_us == 0 { "less than 1 us".to_owned() } else { format!("{before_us} us") }
            ),
            Self::Crash { reason } => write!(f, "it panicked: {reason}"),
            Self::Hangs => f.write_str("a turn does not return"),
        }
    }
}

/// What is to become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Watching,
    /// It has passed.
    Passed,
    /// It fails.
    Sick(Sick),
}

/// What was seen of a version so far.
#[derive(Debug, Default)]
pub(crate) struct Marks(VecDeque<Figures>);

impl Marks {
    /// Looks at the figures of a version that has served for `since`.
    pub(crate) fn judge(&mut self, watch: &Watch, before: &Figures, now: Figures, since: Duration) -> Verdict {
        let latest = self.latest(watch, now);
        let sick = [now, latest].iter().find_map(|figures| sick(watch, before, figures));
        if let Some(sick) = sick {
            return Verdict::Sick(sick);
        }
        let enough = since >= watch.time && now.turns() >= watch.messages;
        if enough { Verdict::Passed } else { Verdict::Watching }
    }

    /// The latest turns, as many as are judged at least.
    fn latest(&mut self, watch: &Watch, now: Figures) -> Figures {
        let min = watch.turns_min.max(1);
        let judged = |mark: &Figures| {
            let since = now.since(*mark);
            since.turns() >= min && since.timed >= min.min(now.timed)
        };
        // The last of those that lie far enough back is all that is needed of what lies behind it.
        while self.0.len() > 1 && judged(&self.0[1]) {
            self.0.pop_front();
        }
        let from = self.0.front().copied().filter(judged).unwrap_or_default();
        if self.0.back() != Some(&now) && self.0.len() < MARKS_MAX {
            self.0.push_back(now);
        }
        now.since(from)
    }
}

fn sick(watch: &Watch, before: &Figures, now: &Figures) -> Option<Sick> {
    let turns = now.turns();
    if now.panics > 0 {
        return Some(Sick::Crash { reason: format!("{} of {turns} turns", now.panics) });
    }
    if turns < watch.turns_min.max(1) {
        return None;
    }
    let (permille, before_permille) = (permille(now), permille(before));
    if permille > before_permille + u64::from(watch.errors_more_permille) {
        return Some(Sick::Errors { turns, permille, before_permille });
    }
    // Few turns are timed where many come: what is judged by as many is judged later.
    if now.timed >= watch.turns_min.max(1) && now.slow * 2 > now.timed {
        let us = |time: Option<Duration>| u64::try_from(time.unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        return Some(Sick::Slow {
            turns: now.timed,
            slow: now.slow,
            mean_us: us(now.mean()),
            before_us: us(before.mean()),
        });
    }
    None
}

fn permille(figures: &Figures) -> u64 {
    (figures.failed * 1000).checked_div(figures.turns()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Marks, Sick, Verdict, Watch};
    use std::time::Duration;
    use teneral_runtime::Figures;

    fn figures(handled: u64, failed: u64, mean_us: u64) -> Figures {
        let timed = handled + failed;
        Figures { handled, failed, panics: 0, timed, slow: 0, busy: Duration::from_micros(mean_us * timed) }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_passes_by_time_and_messages_both() {
        let watch = Watch { messages: 100, ..Watch::new(SECOND) };
        let before = figures(1000, 0, 10);
        let mut marks = Marks::default();
        assert_eq!(marks.judge(&watch, &before, figures(500, 0, 10), SECOND / 2), Verdict::Watching);
        let mut idle = Marks::default();
        assert_eq!(idle.judge(&watch, &before, figures(99, 0, 10), SECOND * 9), Verdict::Watching);
        assert_eq!(idle.judge(&watch, &before, figures(100, 0, 10), SECOND * 9), Verdict::Passed);
    }

    #[test]
    fn errors_are_held_against_the_errors_of_the_version_before() {
        let watch = Watch::new(SECOND);
        let judge = |before, now| Marks::default().judge(&watch, &before, now, SECOND);
        let sick = Verdict::Sick(Sick::Errors { turns: 100, permille: 100, before_permille: 0 });
        assert_eq!(judge(figures(1000, 0, 10), figures(90, 10, 10)), sick);
        assert_eq!(judge(figures(900, 100, 10), figures(90, 10, 10)), Verdict::Passed, "as it was before");
        assert_eq!(judge(figures(1000, 0, 10), figures(9, 10, 10)), Verdict::Passed, "too few to be judged by");
    }

    #[test]
    fn one_that_goes_wrong_late_does_not_hide_behind_what_went_well() {
        let watch = Watch::new(SECOND * 60);
        let before = figures(1000, 0, 10);
        let mut marks = Marks::default();
        for thousand in 1..=50 {
            let now = figures(thousand * 1000, 0, 10);
            assert_eq!(marks.judge(&watch, &before, now, SECOND), Verdict::Watching);
        }
        assert_eq!(marks.judge(&watch, &before, figures(50_000, 19, 10), SECOND), Verdict::Watching);
        let sick = marks.judge(&watch, &before, figures(50_000, 20, 10), SECOND);
        assert_eq!(sick, Verdict::Sick(Sick::Errors { turns: 20, permille: 1000, before_permille: 0 }));
    }

    #[test]
    fn a_turn_is_slow_that_is_slower_than_before_in_percent_and_by_something() {
        let over = |mean_us| Watch::new(SECOND).slow_over(&figures(1000, 0, mean_us));
        assert_eq!(over(10), Some(Duration::from_micros(1010)), "less than a millisecond more is nobody's trouble");
        assert_eq!(over(2000), Some(Duration::from_micros(6000)));
        assert_eq!(Watch::new(SECOND).slow_over(&Figures::default()), None, "against nothing nothing is slow");
    }

    #[test]
    fn a_version_is_slow_when_most_of_its_turns_are_and_not_when_one_was_interrupted() {
        let watch = Watch::new(SECOND);
        let judge = |slow, mean_us| {
            let now = Figures { slow, ..figures(100, 0, mean_us) };
            Marks::default().judge(&watch, &figures(1000, 0, 10), now, SECOND)
        };
        assert_eq!(judge(1, 9000), Verdict::Passed, "whatever the mean is");
        assert_eq!(judge(50, 900), Verdict::Passed);
        assert_eq!(judge(51, 1100), Verdict::Sick(Sick::Slow { turns: 100, slow: 51, mean_us: 1100, before_us: 10 }));
        let few = Figures { timed: 19, slow: 19, ..figures(1000, 0, 10) };
        assert_eq!(Marks::default().judge(&watch, &figures(1000, 0, 10), few, SECOND), Verdict::Passed);
    }

    #[test]
    fn a_panic_is_enough() {
        let now = Figures { panics: 1, ..figures(1, 0, 10) };
        let verdict = Marks::default().judge(&Watch::new(SECOND), &figures(1000, 0, 10), now, SECOND);
        assert!(matches!(verdict, Verdict::Sick(Sick::Crash { .. })), "{verdict:?}");
    }
}
