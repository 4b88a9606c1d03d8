//! `teneral module`: the processes that serve modules.

use super::{Host, or_dash};
use crate::failure::Failure;
use crate::table::words;
use std::process::ExitCode;
use teneral::api::wire::ModuleView;

/// What to do with modules.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the versions that run in processes of their own: which process, how often one was started, and why the
    /// latest is gone
    ///
    /// A kind runs so when the host's configuration says `[kinds.KIND] place = "process"`. One process serves all of
    /// the kind's actors of one version; one that dies is started again, and its actors begin anew as after a panic.
    List(List),
}

/// How they are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(Command::List(List { host }): &Command) -> Result<ExitCode, Failure> {
    let modules: Vec<ModuleView> = host.call(async |client| client.get("/v1/modules").await)?;
    host.print(&modules, |modules| {
        let head = ["KIND", "VERSION", "PLACE", "PID", "STARTS", "OUTPUT", "GONE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(modules.iter().map(|module| {
            vec![
                module.kind.clone(),
                module.version.to_string(),
                module.place.clone(),
                or_dash(module.pid),
                module.starts.to_string(),
                module.output.clone(),
                or_dash(module.gone.as_ref()),
            ]
        }));
        words(&rows)
    })
}
