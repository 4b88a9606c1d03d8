//! What can go wrong in a task, one variant an act.

use std::{fmt, path::PathBuf};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("`{command}` does not start")]
    Start { command: String, source: std::io::Error },
    #[error("`{command}` failed")]
    Failed { command: String },
    #[error("what cargo says of the workspace cannot be read")]
    Metadata(#[source] serde_json::Error),
    #[error("tests failed that prove {}", ids.join(", "))]
    Broken { ids: Vec<String> },
    #[error("docs/conformance.md is older than the tests; run `cargo xtask conformance`")]
    Stale,
    #[error("{failed} cells of the fault matrix do not hold")]
    Cells { failed: usize },
    #[error("the fault matrix has no such cell")]
    NoCell,
    #[error("what the fault matrix says of a cell cannot be read")]
    Cell(#[source] serde_json::Error),
    #[error("docs/faults.md says other than the run; run `cargo xtask faults`")]
    Faults,
    #[error("{} planted bugs were not caught: {}", ids.len(), ids.join(", "))]
    NotCaught { ids: Vec<String> },
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> impl fmt::Display {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
