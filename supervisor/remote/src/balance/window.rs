//! Counts of what happened within the last so and so long.
//!
//! Ten slots: what is forgotten is forgotten a tenth of the window at a time, and nothing grows with the traffic.

use std::time::Duration;

const SLOTS: u64 = 10;

/// Two counts over a sliding window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    slots: [[u64; 2]; SLOTS as usize],
    /// The latest slot that was written.
    latest: u64,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { slots: [[0; 2]; SLOTS as usize], latest: 0 }
    }

    /// Adds one to the count of that number, 0 or 1.
    pub(super) fn add(&mut self, which: usize, now: Duration, window: Duration) {
        let slot = self.turn_to(now, window);
        let counted = self.slots.get_mut(slot).and_then(|slot| slot.get_mut(which));
        if let Some(count) = counted {
            *count = count.saturating_add(1);
        }
    }

    /// Both counts, as they stand at `now`.
    pub(super) fn counts(&mut self, now: Duration, window: Duration) -> [u64; 2] {
        self.turn_to(now, window);
        self.slots.iter().fold([0; 2], |[a, b], slot| [a.saturating_add(slot[0]), b.saturating_add(slot[1])])
    }

    pub(super) fn clear(&mut self) {
        self.slots = [[0; 2]; SLOTS as usize];
    }

    /// Empties what is too old. The slot of `now`; a time before the latest is taken for that.
    fn turn_to(&mut self, now: Duration, window: Duration) -> usize {
        let slot_nanos = (window.as_nanos() / u128::from(SLOTS)).max(1);
        let at = u64::try_from(now.as_nanos() / slot_nanos).unwrap_or(u64::MAX).max(self.latest);
        let passed = (at - self.latest).min(SLOTS);
        for behind in 0..passed {
            if let Some(slot) = self.slots.get_mut(((at - behind) % SLOTS) as usize) {
                *slot = [0; 2];
            }
        }
        self.latest = at;
        (at % SLOTS) as usize
    }
}
