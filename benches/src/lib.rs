//! How fast, beside whom: what the benches share.
//!
//! On a shared machine an absolute time means little, so every figure is taken beside its peers' in one run: a round
//! runs each contender once, rounds alternate, and what is printed is the median over the rounds.
#![forbid(unsafe_code)]

mod frame;
pub mod ours;
pub mod peers;
mod process;
pub mod stream;
pub mod work;

pub use frame::{Bench, Figure, Missing, Options, Taken};
pub use process::{child_figures, child_words, print_figures, resident_bytes};
