//! `teneral key list`, `trust` and `distrust`: whose signatures a host accepts.

use super::{Host, Why, or_dash, when};
use crate::failure::Failure;
use crate::sign::Expiry;
use crate::table::{columns, words};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::api::client::part;
use teneral::api::wire::{Distrusted, KeyView, Runs, SignedArtifact, Trust};
use teneral::trust::PublicKey;

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// Whom to trust.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustOptions {
    /// The public key
    #[arg(value_name = "FILE.pub")]
    file: PathBuf,
    /// Whose it is; without it the file's name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Until when: a date, as in 2027-01-31, or a moment in RFC 3339
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Whom to trust no longer.
#[derive(Debug, clap::Args)]
pub(crate) struct Distrust {
    /// The key's id, as `teneral key list` prints it, or as much of its beginning as no other has; or its FILE.pub
    #[arg(value_name = "ID|FILE.pub")]
    key: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Lists the keys whose signatures the host accepts.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(crate) fn list(List { host }: &List) -> Result<ExitCode, Failure> {
    let keys: Vec<KeyView> = host.call(async |client| client.get("/v1/keys").await)?;
    host.print(&keys, |keys| {
        let mut rows = vec![["KEY", "NAME", "PURPOSE", "SINCE", "UNTIL"].map(str::to_owned).to_vec()];
        rows.extend(keys.iter().map(|key| {
            let (since, until) = (when(Some(key.added)), or_dash(key.expires));
            vec![key.id.clone(), key.name.clone(), key.purpose.clone(), since, until]
        }));
        columns(&rows)
    })
}

/// Has the host accept a key's signatures.
///
/// # Errors
/// [`Failure`]: the file cannot be read; what the host says.
pub(crate) fn trust(TrustOptions { file, name, expires, why, host }: &TrustOptions) -> Result<ExitCode, Failure> {
    let host = host.because(why);
    let public = fs::read_to_string(file).map_err(|source| crate::sign::on_file("read", file, source))?;
    let of_file = || file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let body =
        Trust { public, name: name.clone().unwrap_or_else(of_file), expires: expires.map(|Expiry(moment)| moment) };
    let key: KeyView = host.call(async |client| client.post("/v1/keys/trust", &body).await)?;
    host.print(&key, |key| format!("what key {} ({}) signs is accepted\n", key.id, key.name))
}

/// Has the host accept a key's signatures no longer.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(crate) fn distrust(Distrust { key, why, host }: &Distrust) -> Result<ExitCode, Failure> {
    let host = host.because(why);
    let path = format!("/v1/keys/{}/distrust", part(&id_of(key)?));
    let done: Distrusted = host.call(async |client| client.post(&path, &()).await)?;
    host.print(&done, no_longer)
}

/// The id of a key that was typed, or of the one in a file: what has a path's form or a public key's name is a file.
fn id_of(typed: &str) -> Result<String, Failure> {
    let file = Path::new(typed);
    if !typed.contains('/') && file.extension().is_none_or(|extension| extension != "pub") {
        return Ok(typed.to_owned());
    }
    let public = fs::read_to_string(file).map_err(|source| crate::sign::on_file("read", file, source))?;
    let public = PublicKey::parse(&public).map_err(|error| crate::sign::not_trusted(&error).usage())?;
    Ok(public.id().to_string())
}

/// What goes on without the key, and what does not.
fn no_longer(Distrusted { id, actors, artifacts, .. }: &Distrusted) -> String {
    let mut text = format!("what key {id} signed is not loaded any more\n");
    if !actors.is_empty() {
        text.push_str(
            "these run code that it signed; they go on, also over failures and actor restart, until the host ends, \
             and do not come back then:\n",
        );
        let row = |runs: &Runs| vec![format!("  {}", runs.actor), runs.version.to_string()];
        text.push_str(&columns(&actors.iter().map(row).collect::<Vec<_>>()));
        text.push_str("teneral upgrade apply ACTOR --to VERSION moves one to a version that is trusted\n");
    }
    if !artifacts.is_empty() {
        text.push_str("these artifacts start nobody, and nobody moves to them:\n");
        let row = |found: &SignedArtifact| {
            let default = if found.default { "the default, " } else { "" };
            let needed = format!("{default}{} defined on it", found.defined.len());
            vec![format!("  {}", found.kind), found.version.to_string(), needed]
        };
        text.push_str(&words(&artifacts.iter().map(row).collect::<Vec<_>>()));
        text.push_str(
            "another key makes them good: teneral sign FILE.so --key OTHER.key; teneral artifact push FILE.so\n",
        );
    }
    text
}
