//! `teneral artifact push` and `list`: what a host's store holds.

use super::{Host, OfVersion, Why};
use crate::failure::Failure;
use crate::output::print;
use crate::table::{columns, grouped, harmless};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use semver::Version;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::api::client::part;
use teneral::api::wire::{
    ArtifactDetail, ArtifactView, InQuarantine, OLDER_HEADER, Pardoned, RELEASE_HEADER, RemoveArtifact,
    SIGNATURE_HEADER,
};
use teneral::trusted::read_beside;
use teneral::{Digest, Manifest, Release};

/// What to bring.
#[derive(Debug, clap::Args)]
pub(crate) struct Push {
    /// The libraries, each with FILE.release and FILE.release.minisig beside it; none of their code runs. Those of one
    /// kind go in by their versions, the lowest first
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

/// Takes a version out of the host's quarantine.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(crate) fn pardon(OfVersion { kind, version, why, host }: &OfVersion) -> Result<ExitCode, Failure> {
    let body = RemoveArtifact { kind: kind.clone(), version: version.clone(), reason: why.reason.clone() };
    let done: Pardoned = host.call(async |client| client.post("/v1/artifacts/pardon", &body).await)?;
    host.print(&done, |Pardoned { why, .. }| match why {
        Some(why) => format!("{kind} {version} is out of quarantine, where it was since {}\n", harmless(why)),
        None => format!("{kind} {version} is in no quarantine\n"),
    })
}

/// Takes an artifact out of the host's store.
///
/// # Errors
/// [`Failure`]: what the host says, above all who needs it.
pub(crate) fn remove(OfVersion { kind, version, why, host }: &OfVersion) -> Result<ExitCode, Failure> {
    let body = RemoveArtifact { kind: kind.clone(), version: version.clone(), reason: why.reason.clone() };
    let removed: Release = host.call(async |client| client.post("/v1/artifacts/remove", &body).await)?;
    host.print(&removed, |removed| format!("{kind} {version} is removed, sha256 {}\n", removed.sha256))
}

/// What a version of the host's store says of itself.
///
/// # Errors
/// [`Failure`]: what the host says.
pub(crate) fn inspect(host: &Host, kind: &str, version: &Version) -> Result<ArtifactDetail, Failure> {
    let path = format!("/v1/kinds/{}/{}", part(kind), part(&version.to_string()));
    host.call(async |client| client.get(&path).await)
}

/// The same of an artifact by its digest.
///
/// # Errors
/// As [`inspect`].
pub(crate) fn inspect_digest(host: &Host, digest: Digest) -> Result<ArtifactDetail, Failure> {
    host.call(async |client| client.get(&format!("/v1/artifacts/{digest}")).await)
}

/// Brings libraries into the host's store, one after the other, those of a kind by their versions.
///
/// # Errors
/// [`Failure`]: a file cannot be read; what the host says. Those before it are in the store.
pub(crate) fn push(Push { files, allow_older, why, host }: &Push) -> Result<ExitCode, Failure> {
    let host = &host.because(why);
    let age = if *allow_older { Age::Any } else { Age::NotOlder };
    let mut pushed: Vec<Release> = Vec::with_capacity(files.len());
    let mut failed = None;
    for file in in_order(files) {
        match bring(file, host, age) {
            Ok(release) => pushed.push(release),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
        if let (false, Some(Release { kind, version, sha256, .. })) = (host.json, pushed.last()) {
            print(format_args!("{kind} {version} is in the store, sha256 {sha256}\n"))?;
        }
    }
    // Also when one failed: whoever asked has to know what is there now.
    if host.json {
        host.print(&pushed, |_| String::new())?;
    }
    match (failed, pushed.len()) {
        (None, _) => Ok(ExitCode::SUCCESS),
        (Some(failure), 0) => Err(failure),
        (Some(failure), before) => {
            Err(failure.standing(format!("those before it are in the store: {before} of {}", files.len())))
        }
    }
}

/// The files as they were typed, but those of one kind by their versions: a lower one after a higher is refused. What
/// says nothing of itself stays where it is, and is refused there.
fn in_order(files: &[PathBuf]) -> Vec<&Path> {
    let mut ordered: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut places: BTreeMap<String, Vec<(usize, Version)>> = BTreeMap::new();
    for (place, file) in files.iter().enumerate() {
        if let Some(Manifest { kind, version, .. }) = crate::artifact::manifest(file) {
            places.entry(kind).or_default().push((place, version));
        }
    }
    for mut of_kind in places.into_values() {
        let free: Vec<usize> = of_kind.iter().map(|(place, _)| *place).collect();
        of_kind.sort_by(|(_, one), (_, other)| one.cmp(other));
        for (free, (place, _)) in free.into_iter().zip(of_kind) {
            ordered[free] = &files[place];
        }
    }
    ordered
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
    let artifacts: Vec<ArtifactView> = host.call(async |client| client.get("/v1/artifacts").await)?;
    host.print(&artifacts, |artifacts| {
        let head = ["KIND", "VERSION", "SCHEMA", "MIGRATES FROM", "BYTES", "QUARANTINE", "SHA256"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(artifacts.iter().map(|ArtifactView { release, quarantined }| {
            let from: Vec<String> = release.from.iter().map(ToString::to_string).collect();
            vec![
                release.kind.clone(),
                release.version.to_string(),
                release.schema.to_string(),
                if from.is_empty() { "-".to_owned() } else { from.join(",") },
                grouped(release.bytes),
                if quarantined.is_some() { "yes" } else { "-" }.to_owned(),
                release.sha256.to_string(),
            ]
        }));
        let unwell = artifacts.iter().filter_map(|ArtifactView { release, quarantined }| {
            let (kind, version, why) = (release.kind.clone(), release.version.clone(), quarantined.clone()?);
            Some(InQuarantine { kind, version, why })
        });
        columns(&rows) + &super::unwell::quarantined(&unwell.collect::<Vec<_>>())
    })
}
