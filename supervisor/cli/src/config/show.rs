//! `teneral config show`: every value, and where it came from.

use super::{Flags, load, running};
use crate::failure::Failure;
use crate::host::Host;
use crate::output::{print, print_json};
use crate::table::words;
use std::process::ExitCode;

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print every value that `teneral serve` would go by here, its unit, and where it came from; or, of a host that
    /// serves, those that it goes by, and what a restart would change
    Show(Show),
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    flags: Flags,
    /// Ask the host that serves what it goes by, and compare that with the file
    #[arg(long, conflicts_with_all = ["profile", "production", "stop_timeout"])]
    running: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`] with all that is wrong with the configuration.
pub(crate) fn run(Command::Show(Show { flags, running, json }): &Command) -> Result<ExitCode, Failure> {
    if *running {
        return running::show(flags, &Host::of(&flags.place, *json));
    }
    let rows = load(flags)?.rows;
    if *json {
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let heading = ["KEY", "VALUE", "UNIT", "FROM"].map(str::to_owned).to_vec();
    let shown = rows.into_iter().map(|row| vec![row.key, row.value, row.unit.to_owned(), row.from]);
    print(words(&std::iter::once(heading).chain(shown).collect::<Vec<_>>()))?;
    Ok(ExitCode::SUCCESS)
}
