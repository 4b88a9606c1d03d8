//! Who is down, and why, as the commands that look at actors say it below their tables.

use crate::table::{counted, harmless};
use teneral::api::wire::Down;

/// The lines of all that are down: how many, then each that is named with its code, cause and hint. Nothing where
/// nobody is down.
pub(super) fn downs(count: usize, named: &[Down]) -> String {
    let lines = |Down { actor, code, cause, hint }: &Down| {
        let cause: Vec<String> = cause.trim_end().lines().map(harmless).collect();
        format!("  {actor}: [{code}] {}\n    hint: {hint}\n", cause.join("\n    "))
    };
    counted(count, "down", &named.iter().map(lines).collect::<Vec<_>>(), "teneral actor list")
}
