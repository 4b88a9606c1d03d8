//! The seed of a property test: random, printed, and taken from `TENERAL_SEED` to repeat a run.
//!
//! A failing case is only of use when it can be run again.

use proptest::test_runner::{Config, RngSeed};
use std::hash::{BuildHasher, RandomState};

/// The configuration of every property test in this crate.
pub(crate) fn proptest() -> Config {
    let given = std::env::var("TENERAL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("TENERAL_SEED={seed}");
    Config { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() }
}
