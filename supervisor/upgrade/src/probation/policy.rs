//! How long a version is on probation, what counts as failing it, and what becomes of the actor then.

use crate::plan::Move;
use crate::request::{Lossy, Options, PathlessPolicy};
use crate::trial::{Back, Rehearsed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use teneral_runtime::ports::Provider;
use teneral_runtime::{Figures, NoReplay};

/// A probation: what serves after the commit is watched, while the instance before it is kept as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// It lasts at least so long.
    #[serde(rename = "time_us", with = "crate::request::micros")]
    pub time: Duration,
    /// And until the actor has handled so many messages.
    pub messages: u64,
    /// Nothing is judged by fewer turns; the latest so many are judged, and all of them.
    pub turns_min: u64,
    /// By how many turns in a thousand more than the version before it may end in an error.
    pub errors_more_permille: u32,
    /// How long a turn may take, in percent of what the version before took on average, before it is slow. A version is
    /// slow when more than half of its turns are: one that was interrupted says nothing.
    pub slower_percent: u32,
    /// A turn that takes longer by less than this is not slow, whatever it is in percent.
    #[serde(rename = "slower_us", with = "crate::request::micros")]
    pub slower: Duration,
    /// Messages kept at most, for the version before to handle anew.
    pub keep_messages: usize,
    /// Bytes kept at most.
    pub keep_bytes: usize,
    /// How long handling them anew may take; the actor is paused for it.
    #[serde(rename = "replay_timeout_us", with = "crate::request::micros")]
    pub replay_timeout: Duration,
    /// What becomes of a version that fails.
    pub rollback: Rollback,
}

/// Whether a version is watched after its commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Probation {
    /// It is not: what was committed is as good as it is.
    #[default]
    Off,
    /// It is.
    Watch(Watch),
}

impl Probation {
    /// The bounds, if there are any.
    #[must_use]
    pub const fn watch(self) -> Option<Watch> {
        match self {
            Self::Off => None,
            Self::Watch(watch) => Some(watch),
        }
    }
}

impl Watch {
    /// From when on a turn is a slow one; `None`: nothing is known of the version before to be slow against.
    pub(crate) fn slow_over(&self, before: &Figures) -> Option<Duration> {
        let mean = before.mean()?;
        Some((mean.saturating_mul(self.slower_percent) / 100).max(mean + self.slower))
    }

    /// For so long, of any number of messages; judged by 20 turns; at most 50 errors in a thousand more, most turns at
    /// most three times as slow or by a millisecond; 10,000 messages or 64 MiB are kept, and handled anew within 10 s;
    /// rolled back without a loss, if there is a way.
    #[must_use]
    pub const fn new(time: Duration) -> Self {
        Self {
            time,
            messages: 0,
            turns_min: 20,
            errors_more_permille: 50,
            slower_percent: 300,
            slower: Duration::from_millis(1),
            keep_messages: 10_000,
            keep_bytes: 64 << 20,
            replay_timeout: Duration::from_secs(10),
            rollback: Rollback::Auto,
        }
    }
}

/// What becomes of a version that fails its probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// It is rolled back by the first way that keeps all work: replay, else downgrade if its rehearsal gave back the
    /// state that was there, or the loss was accepted. Where there is none it stays, and an operator is told.
    Auto,
    /// By this way, or not at all.
    Replay,
    /// By this way, or not at all.
    Downgrade,
    /// By this way: what came since the commit is given up.
    Restore,
    /// It stays, and an operator is told.
    Never,
}

/// A way back to the version before, after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// The version before handles what came since the commit anew. What was sent is not sent twice; for kinds that are
    /// declared deterministic.
    Replay,
    /// The new version writes its state for the one before. What it did wrong stays in it.
    Downgrade,
    /// The instance before goes on from where it was at the commit. What came since is given up.
    Restore,
}

impl WayBack {
    /// As journals and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Downgrade => "downgrade",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Rollback {
    /// The ways that may be taken without asking, in this order.
    #[must_use]
    pub const fn ways(self) -> &'static [WayBack] {
        match self {
            Self::Auto => &[WayBack::Replay, WayBack::Downgrade],
            Self::Replay => &[WayBack::Replay],
            Self::Downgrade => &[WayBack::Downgrade],
            Self::Restore => &[WayBack::Restore],
            Self::Never => &[],
        }
    }

    /// The way that is taken without asking, of those that there are.
    #[must_use]
    pub fn of(self, ways: &[WayBack], down: Down) -> Option<WayBack> {
        let lossless = |way: &WayBack| self != Self::Auto || *way != WayBack::Downgrade || down == Down::KeepsAll;
        self.ways().iter().copied().filter(lossless).find(|way| ways.contains(way))
    }
}

/// What the way down is known to do with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// It gives back the state that was there, as its rehearsal has shown; or it was accepted that it gives another.
    KeepsAll,
    /// It may lose something: nobody has seen it, or it was seen to fail.
    Unknown,
}

impl Down {
    /// What rehearsals have shown of it. A loss can be accepted; a way that fails is none, whatever was accepted.
    pub(crate) fn shown<'r>(rehearsed: impl IntoIterator<Item = &'r Rehearsed>, lossy: Lossy) -> Self {
        let seen: Vec<Seen> = rehearsed.into_iter().filter_map(Seen::of).collect();
        let exact = !seen.is_empty() && seen.iter().all(|seen| *seen == Seen::Exact);
        match lossy {
            _ if exact => Self::KeepsAll,
            Lossy::Accept if !seen.contains(&Seen::Fails) => Self::KeepsAll,
            Lossy::Accept | Lossy::Refuse => Self::Unknown,
        }
    }
}

/// What a rehearsal has shown of the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It gives back the very state that was there.
    Exact,
    /// It gives another one.
    Lossy,
    /// It gives none at all: it failed or panicked.
    Fails,
}

impl Seen {
    /// `None`: it was not rehearsed.
    pub(crate) fn of(rehearsed: &Rehearsed) -> Option<Self> {
        match (rehearsed.back, &rehearsed.back_fails) {
            (_, Some(_)) => Some(Self::Fails),
            (Back::Exact, None) => Some(Self::Exact),
            (Back::Lossy, None) => Some(Self::Lossy),
            (Back::None, None) => None,
        }
    }
}

/// The ways back after a move's commit, the best first.
pub(crate) fn ways(moved: &Move, old: &Arc<dyn Provider>) -> Vec<WayBack> {
    ways_of(old.manifest().deterministic, moved.back.is_some())
}

/// The ways back of a kind that is declared deterministic or not, with a way down or without.
pub(crate) fn ways_of(deterministic: bool, down: bool) -> Vec<WayBack> {
    let replay = deterministic.then_some(WayBack::Replay);
    let downgrade = down.then_some(WayBack::Downgrade);
    replay.into_iter().chain(downgrade).chain([WayBack::Restore]).collect()
}

/// Why there is no replay of a kind, whatever comes; none: there is one. Where it runs elsewhere its manifest does not
/// offer what it may well declare.
pub(crate) fn no_replay(deterministic: bool, elsewhere: bool) -> Option<NoReplay> {
    let why = if elsewhere { NoReplay::Elsewhere } else { NoReplay::NotDeterministic };
    (!deterministic).then_some(why)
}

/// What bounds the way of one actor, there and back.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) max_pause: Duration,
    pub(crate) quiesce_timeout: Duration,
    pub(crate) snapshot_bytes_max: usize,
    /// What becomes of messages without a path when it goes back by itself.
    pub(crate) pathless: PathlessPolicy,
}

impl Bounds {
    pub(crate) const fn of(options: &Options) -> Self {
        let Options { max_pause, quiesce_timeout, snapshot_bytes_max, pathless, .. } = *options;
        Self { max_pause, quiesce_timeout, snapshot_bytes_max, pathless }
    }

    /// The same options within these bounds.
    pub(crate) const fn on(self, options: Options) -> Options {
        let Self { max_pause, quiesce_timeout, snapshot_bytes_max, .. } = self;
        Options { max_pause, quiesce_timeout, snapshot_bytes_max, ..options }
    }
}
