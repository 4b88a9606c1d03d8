//! Who of those that may be chosen is.
//!
//! Two choices beats the least pending of all where many balance at once, since they do not all run to the same one,
//! and costs the same with ten endpoints and a thousand (Mitzenmacher, 2001). Round robin is the smooth one of nginx:
//! who has three shares of four has no three in a row. The hash is rendezvous hashing (Thaler and Ravishankar, 1998):
//! no ring to keep, and when an endpoint goes only its own keys move.

use super::EndpointId;
use teneral_contract::shape::fnv128;
use teneral_runtime::remote::{GAMMA, mixed};

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Of two by chance the one with less pending for its share.
    TwoChoices,
    /// One after the other.
    RoundRobin,
    /// One after the other, each as often as its weight says.
    Weighted,
    /// The same one for the same key, as long as it is there.
    Hash,
}

/// The key of these bytes, on every machine and for ever.
#[must_use]
pub fn key_of(bytes: &[u8]) -> u64 {
    let hash = fnv128(bytes);
    mixed((hash >> 64) as u64 ^ hash as u64)
}

/// Chance from a seed: Splitmix64.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(GAMMA);
        // The higher half of a product is spread as evenly as the number is (Lemire, 2019).
        let scaled = u128::from(mixed(self.0)) * bound as u128;
        usize::try_from(scaled >> 64).unwrap_or(0)
    }
}

/// One that may be chosen.
pub(super) struct Candidate<'a> {
    pub(super) endpoint: EndpointId,
    pub(super) name: u64,
    pub(super) pending: u64,
    pub(super) weight: u32,
    /// How much of its weight counts, in thousandths.
    pub(super) share: u64,
    pub(super) owed: &'a mut i64,
}

impl Candidate<'_> {
    fn weighs(&self) -> u64 {
        u64::from(self.weight) * self.share
    }
}

impl Strategy {
    pub(super) fn choose(
        self,
        key: u64,
        mut candidates: Vec<Candidate<'_>>,
        random: &mut Random,
    ) -> Option<EndpointId> {
        match self {
            Self::TwoChoices => two_choices(&candidates, random),
            Self::RoundRobin => smooth(&mut candidates, |candidate| candidate.share),
            Self::Weighted => smooth(&mut candidates, Candidate::weighs),
            Self::Hash => rendezvous(key, &candidates),
        }
    }
}

fn two_choices(candidates: &[Candidate<'_>], random: &mut Random) -> Option<EndpointId> {
    if candidates.len() < 2 {
        return candidates.first().map(|candidate| candidate.endpoint);
    }
    let first = random.below(candidates.len());
    // Another one: the one that is `apart` places further.
    let apart = 1 + random.below(candidates.len() - 1);
    let (one, other) = (candidates.get(first)?, candidates.get((first + apart) % candidates.len())?);
    if cfg!(feature = "bug-p20") {
        return Some(one.endpoint); // Planted: what is pending does not count.
    }
    let load = |of: &Candidate<'_>, weighs: u64| u128::from(of.pending + 1) * u128::from(weighs);
    let other_is_less = load(other, one.weighs()) < load(one, other.weighs());
    Some(if other_is_less { other.endpoint } else { one.endpoint })
}

fn smooth<'a>(candidates: &mut [Candidate<'a>], weighs: impl Fn(&Candidate<'a>) -> u64) -> Option<EndpointId> {
    let mut whole: i64 = 0;
    for candidate in &mut *candidates {
        // A weight is at most 100 and a share at most 1,000.
        let weight = i64::try_from(weighs(candidate)).unwrap_or(i64::MAX);
        whole = whole.saturating_add(weight);
        *candidate.owed = candidate.owed.saturating_add(weight);
    }
    // The first of those to whom most is owed.
    let most = candidates.iter().map(|candidate| *candidate.owed).max()?;
    let chosen = candidates.iter_mut().find(|candidate| *candidate.owed == most)?;
    *chosen.owed = chosen.owed.saturating_sub(whole);
    Some(chosen.endpoint)
}

fn rendezvous(key: u64, candidates: &[Candidate<'_>]) -> Option<EndpointId> {
    if cfg!(feature = "bug-p21") {
        let place = usize::try_from(key % candidates.len().max(1) as u64).unwrap_or(0);
        return candidates.get(place).map(|candidate| candidate.endpoint);
    }
    let score = |candidate: &Candidate<'_>| {
        // As many tries as it has weight: the best counts.
        let tries = (0..u64::from(candidate.weight)).map(|tried| {
            let name = mixed(candidate.name.wrapping_add(tried.wrapping_mul(GAMMA)));
            mixed(key ^ name)
        });
        tries.max().unwrap_or(0)
    };
    candidates.iter().max_by_key(|candidate| (score(candidate), candidate.name)).map(|candidate| candidate.endpoint)
}
