//! Yes or no, asked at the terminal before something is done that somebody may regret.

use super::Host;
use crate::failure::Failure;
use crate::output;
use std::io::IsTerminal;

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask at whether this is to be done")]
struct Unasked;

/// Nobody said yes.
#[derive(Debug, thiserror::Error)]
#[error("it was not wanted after all")]
struct Unwanted;

/// What stdin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    /// Whoever types.
    Free,
    /// Something else was read from it.
    Taken,
}

/// Asks, where there is somebody; `before` says how else it could have been said.
///
/// # Errors
/// [`Failure`]: nobody said yes, or nobody can be asked.
pub(super) fn confirmed(host: &Host, stdin: Stdin, before: &str) -> Result<(), Failure> {
    let (code, now) = ("CLI-CONFIRM", "nothing was done");
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if host.json || stdin == Stdin::Taken || !terminal {
        return Err(Failure::new(code, &Unasked, now, before).usage());
    }
    output::print("do this? [y/N] ")?;
    let mut said = String::new();
    let heard = std::io::stdin().read_line(&mut said);
    match said.trim() {
        "y" | "Y" | "yes" if heard.is_ok() => Ok(()),
        _ => Err(Failure::new(code, &Unwanted, now, "run it again and say y, or give --yes")),
    }
}
