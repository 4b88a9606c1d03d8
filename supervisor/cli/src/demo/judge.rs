//! The judge: what was lost, doubled or reordered, from two logs that know nothing of each other.
//!
//! One log is the senders' own: for each pair of sender and actor, the sequence numbers that were accepted. The other
//! is in the actors' state: the numbers in the order in which they were handled. No counter of the runtime is looked
//! at, so the runtime cannot vouch for itself.

use std::collections::BTreeMap;

/// Consecutive sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first number.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
}

/// What the judge found; also a sum over many pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Accepted by the senders' log.
    pub(crate) sent: u64,
    /// Handled by the actors' state.
    pub(crate) handled: u64,
    /// Sent, never handled.
    pub(crate) lost: u64,
    /// Handled more often than sent.
    pub(crate) duplicated: u64,
    /// Handled for the first time after a later number of the same sender.
    pub(crate) reordered: u64,
}

impl Verdict {
    /// Adds another pair's.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.handled += other.handled;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }
}

/// Compares what one sender sent to one actor (`sent` numbers from 0) with what the actor handled of it, in order.
pub(crate) fn judge(sent: u64, handled: &[Run]) -> Verdict {
    let mut verdict = Verdict { sent, ..Verdict::default() };
    // Numbers handled so far, as runs that neither touch nor overlap: first -> one past the last.
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    let mut highest_end = 0;
    for run in handled {
        verdict.handled += run.count;
        let end = run.first.saturating_add(run.count);
        // Inside a run numbers rise, so only what lies below the highest number so far can be out of order.
        let middle = highest_end.clamp(run.first, end);
        let late = insert(&mut seen, run.first, middle);
        let new = late + insert(&mut seen, middle, end);
        verdict.reordered += late;
        verdict.duplicated += run.count - new;
        highest_end = highest_end.max(end);
    }
    let covered: u64 = seen.iter().map(|(first, end)| (*end).min(sent).saturating_sub(*first)).sum();
    let strangers: u64 = seen.iter().map(|(first, end)| end.saturating_sub((*first).max(sent))).sum();
    verdict.lost = sent - covered;
    verdict.duplicated += strangers;
    verdict
}

/// Adds `first..end` and returns how many of it were new.
fn insert(seen: &mut BTreeMap<u64, u64>, first: u64, end: u64) -> u64 {
    let (mut new, mut joined_first, mut joined_end) = (end - first, first, end);
    while let Some((start, stop)) = seen.range(..=joined_end).next_back().map(|(start, stop)| (*start, *stop)) {
        if stop < joined_first {
            break;
        }
        new -= stop.min(end).saturating_sub(start.max(first));
        joined_first = joined_first.min(start);
        joined_end = joined_end.max(stop);
        seen.remove(&start);
    }
    if joined_first < joined_end {
        seen.insert(joined_first, joined_end);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(numbers: &[u64]) -> Vec<Run> {
        let mut runs: Vec<Run> = vec![];
        for number in numbers {
            match runs.last_mut() {
                Some(run) if run.first + run.count == *number => run.count += 1,
                _ => runs.push(Run { first: *number, count: 1 }),
            }
        }
        runs
    }

    /// The same verdict by counting each number.
    fn slow(sent: u64, numbers: &[u64]) -> Verdict {
        let mut verdict = Verdict { sent, handled: numbers.len() as u64, ..Verdict::default() };
        for number in 0..sent.max(numbers.iter().max().map_or(0, |max| max + 1)) {
            let times = numbers.iter().filter(|found| **found == number).count() as u64;
            let expected = u64::from(number < sent);
            verdict.lost += expected.saturating_sub(times);
            verdict.duplicated += times.saturating_sub(expected);
        }
        for (place, number) in numbers.iter().enumerate() {
            let before = &numbers[..place];
            let late = before.iter().any(|earlier| earlier > number) && !before.contains(number);
            verdict.reordered += u64::from(late);
        }
        verdict
    }

    #[test]
    fn each_wrong_is_told_apart() {
        assert_eq!(judge(0, &[]), Verdict::default());
        let off = |numbers: &[u64]| {
            let found = judge(5, &runs(numbers));
            (found.lost, found.duplicated, found.reordered)
        };
        assert_eq!(off(&[0, 1, 2, 3, 4]), (0, 0, 0));
        assert_eq!(off(&[0, 1, 3, 4]), (1, 0, 0));
        assert_eq!(off(&[0, 1, 2, 3]), (1, 0, 0));
        assert_eq!(off(&[0, 1, 2, 2, 3, 4]), (0, 1, 0));
        assert_eq!(off(&[0, 2, 1, 3, 4]), (0, 0, 1));
        assert_eq!(off(&[0, 1, 2, 3, 4, 5]), (0, 1, 0));
        assert_eq!(off(&[]), (5, 0, 0));
    }

    #[test]
    fn the_judge_agrees_with_counting_each_number() {
        let mut seed = 20_261_124_u64;
        println!("seed {seed}");
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..5000 {
            let mut numbers: Vec<u64> = (0..random(12)).collect();
            let sent = numbers.len() as u64;
            for _ in 0..random(5) {
                let place = random(numbers.len() as u64 + 1) as usize;
                match random(3) {
                    0 if place < numbers.len() => drop(numbers.remove(place)),
                    1 => numbers.insert(place, random(14)),
                    2 if place < numbers.len() => numbers.swap(place, 0),
                    _ => {}
                }
            }
            assert_eq!(judge(sent, &runs(&numbers)), slow(sent, &numbers), "{sent} {numbers:?}");
        }
    }
}
