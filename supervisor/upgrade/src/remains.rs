//! What is left of a failed trial, for the author of the code: the state, what the process wrote, and what went wrong.
//!
//! A state may hold anything that its actors were told, so the files are their owner's alone.

use crate::error::UpgradeError;
use crate::plan::Move;
use crate::report::Failure;
use serde_json::json;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Trials of one version that are kept in a directory; the next one is not, until somebody takes some away.
const KEPT_MAX: usize = 1000;

/// Writes `state.msgpack`, `output.txt` and `trial.json` into a new directory below `dir`, and says which.
///
/// # Errors
/// What the disk says.
pub(crate) fn keep(dir: &Path, moved: &Move, state: &[u8], output: &str, error: &UpgradeError) -> io::Result<PathBuf> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    match private.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let of = dir.join(&new_name(&private, dir, moved)?);
    let write = |name: &str, bytes: &[u8]| {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(of.join(name))?.write_all(bytes)
    };
    write("state.msgpack", state)?;
    write("output.txt", output.as_bytes())?;
    let Failure { code, cause, hint } = Failure::of(error);
    let what = json!({
        "actor": moved.addr, "from": moved.from, "to": moved.to, "ladder": moved.ladder,
        "code": code, "cause": cause, "hint": hint,
    });
    write("trial.json", format!("{what:#}\n").as_bytes())?;
    tracing::info!(actor = %moved.addr, dir = %of.display(), "the remains of a trial are kept");
    Ok(of)
}

/// A directory that was not there: kind, version and the first free number.
fn new_name(private: &DirBuilder, dir: &Path, moved: &Move) -> io::Result<String> {
    for number in 1..=KEPT_MAX {
        let name = format!("{}-{}-{number}", moved.to.kind, moved.to.version);
        match private.create(dir.join(&name)) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{KEPT_MAX} trials of {} are kept here already", moved.to)))
}
