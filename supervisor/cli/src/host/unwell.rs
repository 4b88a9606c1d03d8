//! What hangs, and what is in quarantine since it hung, as the commands that look at a host say it below their tables.

use crate::table::{counted, harmless};
use teneral::api::wire::{Hung, InQuarantine};

/// So many are named where all are counted.
const NAMED_MAX: usize = 5;

/// The lines of all versions in quarantine: how many, then each that is named. Nothing where none is.
pub(super) fn quarantined(all: &[InQuarantine]) -> String {
    let line = |InQuarantine { kind, version, why }: &InQuarantine| {
        let pardon = format!("if its code is not to blame: teneral artifact pardon {kind} {version}");
        format!("  {kind} {version}: {}\n    hint: push a mended version; {pardon}\n", harmless(why))
    };
    let lines: Vec<String> = all.iter().take(NAMED_MAX).map(line).collect();
    counted(all.len(), "in quarantine", &lines, "teneral artifact list")
}

/// The lines of threads that run what was given up. Nothing where there is none.
pub(super) fn lost(threads: usize) -> String {
    if threads == 0 {
        return String::new();
    }
    let (threads, are) =
        if threads == 1 { ("1 thread".to_owned(), "is") } else { (format!("{threads} threads"), "are") };
    format!(
        "{threads} {are} in code that has not returned and that nobody waits for any more\n    hint: others have taken \
         over; what hangs ends when it returns, or with the host\n"
    )
}

/// The lines of all actors with a turn that does not return. Nothing where there is none.
pub(super) fn hung(all: &[Hung]) -> String {
    let line = |Hung { actor, version, doing, hint }: &Hung| {
        let of = doing.as_ref().map_or_else(String::new, |doing| format!(" from {}", harmless(doing)));
        format!("  {actor}: {version} does not return{of}\n    hint: {hint}\n")
    };
    let lines: Vec<String> = all.iter().take(NAMED_MAX).map(line).collect();
    counted(all.len(), "hung", &lines, "--json shows all of them")
}
