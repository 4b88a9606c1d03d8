//! What turns came to by kind and version, of all actors that there ever were in this life of the host.
//!
//! An actor's own figures begin anew with each version and are gone with it. Whoever counts over time wants numbers
//! that never fall, since a fall is taken for a restart of the host, and what is left for new. So what an actor leaves
//! behind is added up where it leaves, and no number is ever shown lower than before.

use crate::cell::Cell;
use crate::figures::Figures;
use parking_lot::Mutex;
use semver::Version;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kinds and versions that are told apart: in a year of upgrades there are many, and each is a row for ever.
const ROWS_MAX: usize = 1000;

/// All actors of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// Of this kind.
    pub kind: String,
    /// `None`: all versions that came after the first thousand of all kinds.
    pub version: Option<Version>,
    /// Actors that run it now.
    pub actors: usize,
    /// Messages that wait for them now.
    pub queued_messages: usize,
    /// What its turns came to so far. None of these numbers falls; turns of one that is stopped while they are under
    /// way may be missing.
    pub figures: Figures,
    /// Restarts after failures so far. It does not fall.
    pub restarts: u64,
}

/// What is known of a cell's turns before the version that serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    pub(crate) figures: Figures,
    pub(crate) restarts: u64,
    /// Whose turns are counted since: known before another version serves, and `None` of whoever never had another.
    pub(crate) counts_for: Option<Version>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    figures: Figures,
    restarts: u64,
}

type Key = (String, Option<Version>);

/// What is left of those who are gone, and what was shown last.
#[derive(Default)]
pub(crate) struct Totals {
    gone: Mutex<BTreeMap<Key, Sum>>,
    shown: Mutex<BTreeMap<Key, Sum>>,
}

impl Sum {
    const fn and(self, other: Self) -> Self {
        Self { figures: self.figures.and(other.figures), restarts: self.restarts.saturating_add(other.restarts) }
    }

    fn at_least(self, before: Self) -> Self {
        Self { figures: self.figures.at_least(before.figures), restarts: self.restarts.max(before.restarts) }
    }
}

fn row<'r, T: Default>(rows: &'r mut BTreeMap<Key, T>, kind: &str, version: Version) -> &'r mut T {
    let key = (kind.to_owned(), Some(version));
    let known = rows.len() < ROWS_MAX || rows.contains_key(&key);
    rows.entry(if known { key } else { (key.0, None) }).or_default()
}

impl Totals {
    /// A cell's turns of that version are over.
    pub(crate) fn leaves(&self, kind: &str, version: Version, figures: Figures, restarts: u64) {
        let mut gone = self.gone.lock();
        let sum = row(&mut gone, kind, version);
        if !cfg!(feature = "bug-c6") {
            *sum = sum.and(Sum { figures, restarts }); // Planted: what an actor leaves behind is forgotten.
        }
    }

    /// Looks at all of them. Who leaves meanwhile is missing for once, and never counted twice: those who are gone are
    /// looked at first.
    pub(crate) fn look(&self, cells: impl Iterator<Item = Arc<Cell>>) -> Vec<Total> {
        // First of all: whoever hands them out may hold a lock meanwhile.
        let cells: Vec<_> = cells.collect();
        let mut shown = self.shown.lock();
        let mut now: BTreeMap<Key, (usize, usize, Sum)> =
            self.gone.lock().iter().map(|(key, sum)| (key.clone(), (0, 0, *sum))).collect();
        for cell in cells {
            let (version, figures, restarts) = cell.counted();
            let (actors, queued, sum) = row(&mut now, cell.addr.kind(), version);
            *actors += 1;
            *queued += cell.protocol.look(|queued, _, _, _| queued.messages);
            *sum = sum.and(Sum { figures, restarts });
        }
        // Of one that has left between the two looks there is nothing yet but what was shown.
        for key in shown.keys() {
            now.entry(key.clone()).or_default();
        }
        let total = |((kind, version), (actors, queued_messages, sum)): (Key, (usize, usize, Sum))| {
            let key = (kind, version);
            let sum = sum.at_least(shown.get(&key).copied().unwrap_or_default());
            shown.insert(key.clone(), sum);
            let ((kind, version), Sum { figures, restarts }) = (key, sum);
            Total { kind, version, actors, queued_messages, figures, restarts }
        };
        now.into_iter().map(total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    fn figures(handled: u64) -> Figures {
        Figures { handled, ..Figures::default() }
    }

    #[test]
    fn what_leaves_is_added_up_by_kind_and_version() {
        let totals = Totals::default();
        totals.leaves("a", Version::new(1, 0, 0), figures(3), 1);
        totals.leaves("a", Version::new(1, 0, 0), figures(4), 0);
        totals.leaves("a", Version::new(2, 0, 0), figures(5), 0);
        let seen: Vec<_> =
            totals.look(iter::empty()).into_iter().map(|total| (total.figures.handled, total.restarts)).collect();
        assert_eq!(seen, [(7, 1), (5, 0)]);
    }

    #[test]
    fn versions_without_end_take_rows_up_to_a_bound() {
        let totals = Totals::default();
        for minor in 0..ROWS_MAX as u64 + 10 {
            totals.leaves("a", Version::new(1, minor, 0), figures(1), 0);
        }
        let seen = totals.look(iter::empty());
        assert_eq!(seen.len(), ROWS_MAX + 1);
        let others = seen.iter().find(|total| total.version.is_none()).expect("all others");
        assert_eq!(others.figures.handled, 10);
    }
}
