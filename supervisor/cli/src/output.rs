//! What a command says on stdout. A reader that has left (`| head -1`) is no failure; a disk that is full is one.

use crate::failure::Failure;
use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;

/// Prints a text as it is.
///
/// # Errors
/// [`Failure`]: it cannot be written.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    print_on(text).map(drop)
}

/// The same for what goes on: a reader that has left is its end, and a good one.
///
/// # Errors
/// [`Failure`]: it cannot be written.
pub(crate) fn print_on(text: impl Display) -> Result<ControlFlow<ExitCode>, Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(ExitCode::SUCCESS)),
        Err(error) => {
            let now = "the command was done; what it says was not printed";
            Err(Failure::new("CLI-OUTPUT", &error, now, "look at where stdout goes: is the disk full?"))
        }
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// [`Failure`]: it cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| no_json(&error))?;
    print(format_args!("{text}\n"))
}

/// Values as JSON, one a line.
///
/// # Errors
/// [`Failure`]: one of them is none.
pub(crate) fn json_lines<T: Serialize>(values: &[T]) -> Result<String, Failure> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(value).map_err(|error| no_json(&error))?);
        text.push('\n');
    }
    Ok(text)
}

fn no_json(error: &serde_json::Error) -> Failure {
    Failure::new("CLI-JSON", error, "the command was done", "leave --json out, and report this")
}
