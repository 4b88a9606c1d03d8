//! `teneral kind`: what there is of a kind, and which version new actors get.

use super::{Host, Why, or_dash};
use crate::failure::Failure;
use crate::table::{columns, words};
use semver::Version;
use serde_json::Value;
use std::process::ExitCode;
use teneral::Addr;
use teneral::api::client::part;
use teneral::api::wire::{KindDetail, KindView, SetDefault};

/// What to do with kinds.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the kinds: their default, their versions, and what runs
    List(List),
    /// Show a kind: each version with its digest, who signed it, when it came, its schema, and who runs it
    Show(ShowOptions),
    /// Name the version that new actors of a kind get
    SetDefault(SetDefaultOptions),
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Which kind.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowOptions {
    /// The kind
    kind: String,
    #[command(flatten)]
    host: Host,
}

/// Which version.
#[derive(Debug, clap::Args)]
pub(crate) struct SetDefaultOptions {
    /// The kind
    kind: String,
    /// Its version
    version: Version,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: what the host says, or that none serves.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(List { host }) => list(&host),
        Command::Show(ShowOptions { kind, host }) => {
            let path = format!("/v1/kinds/{}", part(&kind));
            let detail: KindDetail = host.call(async |client| client.get(&path).await)?;
            host.print(&detail, shown)
        }
        Command::SetDefault(SetDefaultOptions { kind, version, why, host }) => {
            let host = host.because(&why);
            let body = SetDefault { kind, version };
            let done: Value = host.call(async |client| client.post("/v1/kinds/set-default", &body).await)?;
            host.print(&done, |_| format!("new actors of {} get {}\n", body.kind, body.version))
        }
    }
}

fn shown(detail: &KindDetail) -> String {
    let head = ["VERSION", "DEFAULT", "SCHEMA", "PUSHED", "SIGNED BY", "RUNNING", "DEFINED", "SHA256"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let names = |actors: &[Addr]| match actors {
        [] => "-".to_owned(),
        [one, two, three, more @ ..] if !more.is_empty() => format!("{one},{two},{three} and {} more", more.len()),
        few => few.iter().map(Addr::path).collect::<Vec<_>>().join(","),
    };
    rows.extend(detail.versions.iter().map(|version| {
        let signer = match (&version.trusted_as, &version.signer) {
            (Some(name), Some(_)) => name.clone(),
            (None, Some(key)) => format!("{key}, not trusted"),
            _ => "-".to_owned(),
        };
        let default = if detail.default.as_ref() == Some(&version.version) { "yes" } else { "-" };
        vec![
            version.version.to_string(),
            default.to_owned(),
            version.schema.to_string(),
            or_dash(version.pushed),
            signer,
            names(&version.running),
            names(&version.defined),
            version.sha256.to_string(),
        ]
    }));
    words(&rows)
}

fn list(host: &Host) -> Result<ExitCode, Failure> {
    let kinds: Vec<KindView> = host.call(async |client| client.get("/v1/kinds").await)?;
    host.print(&kinds, |kinds| {
        let mut rows = vec![["KIND", "DEFAULT", "VERSIONS", "RUNNING"].map(str::to_owned).to_vec()];
        rows.extend(kinds.iter().map(|view| {
            let versions: Vec<String> = view.versions.iter().map(ToString::to_string).collect();
            let running: Vec<String> =
                view.running.iter().map(|(version, count)| format!("{count} on {version}")).collect();
            let running = if running.is_empty() { "-".to_owned() } else { running.join(", ") };
            vec![view.kind.clone(), or_dash(view.default.as_ref()), versions.join(", "), running]
        }));
        columns(&rows)
    })
}
