//! Who is down, and why, as the commands that look at actors say it below their tables.

use crate::table::harmless;
use teneral::api::wire::Down;

/// The lines of all that are down: how many, then each that is named with its code, cause and hint. Nothing where
/// nobody is down.
pub(super) fn downs(count: usize, named: &[Down]) -> String {
    if count == 0 {
        return String::new();
    }
    let mut text = format!("{count} down\n");
    for Down { actor, code, cause, hint } in named {
        let cause: Vec<String> = cause.trim_end().lines().map(harmless).collect();
        text.push_str(&format!("  {actor}: [{code}] {}\n    hint: {hint}\n", cause.join("\n    ")));
    }
    if count > named.len() {
        text.push_str(&format!("  and {} more: teneral actor list\n", count - named.len()));
    }
    text
}
