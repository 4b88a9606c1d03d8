//! What a command says on stdout. A reader that has left (`| head -1`) is no failure; a disk that is full is one.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

/// Prints a text as it is.
///
/// # Errors
/// [`Failure`]: it cannot be written.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let now = "the command was done; what it says was not printed";
            Err(Failure::new("CLI-OUTPUT", &error, now, "look at where stdout goes: is the disk full?"))
        }
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// [`Failure`]: it cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new("CLI-JSON", &error, "the command was done", "leave --json out, and report this")
    })?;
    print(format_args!("{text}\n"))
}
