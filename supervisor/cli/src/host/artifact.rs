//! `teneral artifact push` and `list`: what a host's store holds.

use super::{Host, Why};
use crate::failure::Failure;
use crate::output::print;
use crate::table::{columns, grouped};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use semver::Version;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::Release;
use teneral::api::wire::{OLDER_HEADER, RELEASE_HEADER, RemoveArtifact, SIGNATURE_HEADER};
use teneral::trusted::read_beside;

/// What to bring.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The libraries, each with FILE.release and FILE.release.minisig beside it; none of their code runs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Let a version in that is below the highest that was ever here
    #[arg(long)]
    allow_older: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Which host.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    host: Host,
}

/// What to take away.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The kind
    kind: String,
    /// Its version
    version: Version,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    host: Host,
}

/// Takes an artifact out of the host's store.
///
/// # Errors
/// [`Failure`]: what the host says, above all who needs it.
pub(crate) fn remove(Remove { kind, version, why, host }: &Remove) -> Result<ExitCode, Failure> {
    let body = RemoveArtifact { kind: kind.clone(), version: version.clone(), reason: why.reason.clone() };
    let removed: Release = host.call(async |client| client.post("/v1/artifacts/remove", &body).await)?;
    host.print(&removed, |removed| format!("{kind} {version} is removed, sha256 {}\n", removed.sha256))
}

/// Brings libraries into the host's store, one after the other.
///
/// # Errors
/// [`Failure`]: a file cannot be read; what the host says. Those before it are in the store.
pub(crate) fn push(Push { files, allow_older, why, host }: &Push) -> Result<ExitCode, Failure> {
    let host = &host.because(why);
    let age = if *allow_older { Age::Any } else { Age::NotOlder };
    let mut pushed = Vec::with_capacity(files.len());
    for file in files {
        let release = bring(file, host, age).map_err(|failure| match pushed.len() {
            0 => failure,
            before => failure.standing(format!("those before it are in the store: {before} of {}", files.len())),
        })?;
        if !host.json {
            let Release { kind, version, sha256, .. } = &release;
            print(format_args!("{kind} {version} is in the store, sha256 {sha256}\n"))?;
        }
        pushed.push(release);
    }
    if host.json { host.print(&pushed, |_| String::new()) } else { Ok(ExitCode::SUCCESS) }
}

/// Which versions are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// None below the highest that was here.
    NotOlder,
    /// Whatever it is: somebody said so.
    Any,
}

pub(crate) fn bring(file: &Path, host: &Host, age: Age) -> Result<Release, Failure> {
    let bytes = fs::read(file).map_err(|source| crate::sign::on_file("read", file, source))?;
    let signed = read_beside(file).map_err(|error| crate::sign::not_trusted(&error))?;
    let mut headers = Vec::new();
    if let Some(signed) = signed {
        headers.push((RELEASE_HEADER, STANDARD.encode(signed.release)));
        headers.push((SIGNATURE_HEADER, STANDARD.encode(signed.signature)));
    }
    if age == Age::Any {
        headers.push((OLDER_HEADER, "allow".to_owned()));
    }
    let pushed = host.call(async |client| client.send("/v1/artifacts/push", &headers, bytes).await);
    pushed.map_err(|failure| as_typed(failure, file).about(&file.display().to_string()))
}

/// What to do, in these commands.
fn as_typed(failure: Failure, file: &Path) -> Failure {
    let sign = format!("teneral sign {} --key FILE.key", file.display());
    match failure.code() {
        "TRUST-KEY" => failure.hinting("if the key is whose it should be: teneral key trust FILE.pub"),
        "GATE-DIGEST" => failure.hinting(&format!("it was built anew since it was signed: {sign}")),
        "TRUST-OLDER" => {
            failure.hinting(&format!("if it is meant: teneral artifact push --allow-older {}", file.display()))
        }
        "TRUST-UNSIGNED" => failure.hinting(&format!("sign it: {sign}")),
        _ => failure,
    }
}

/// Lists what the store holds.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(crate) fn list(List { host }: &List) -> Result<ExitCode, Failure> {
    let releases: Vec<Release> = host.call(async |client| client.get("/v1/artifacts").await)?;
    host.print(&releases, |releases| {
        let head = ["KIND", "VERSION", "SCHEMA", "MIGRATES FROM", "BYTES", "SHA256"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(releases.iter().map(|release| {
            let from: Vec<String> = release.from.iter().map(ToString::to_string).collect();
            vec![
                release.kind.clone(),
                release.version.to_string(),
                release.schema.to_string(),
                if from.is_empty() { "-".to_owned() } else { from.join(",") },
                grouped(release.bytes),
                release.sha256.to_string(),
            ]
        }));
        columns(&rows)
    })
}
