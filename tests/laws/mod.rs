//! The laws of the house, as tests: what people forget, a machine remembers.
//!
//! They read the workspace as text. Since every file is formatted by rustfmt, indentation alone says where an item
//! ends, so no parser is needed.

mod docs;
mod floors;
mod source;
mod text;

use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    [source::tests(), floors::tests(), docs::tests()].into_iter().flatten().collect()
}

/// Fails with every breach on a line of its own.
#[track_caller]
fn none(law: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{law}:\n  {}", breaches.join("\n  "));
}
