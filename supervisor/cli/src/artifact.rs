//! `teneral artifact`: what a library or a program says of itself, and whether this host would let it in. None of its
//! code runs.

use crate::failure::Failure;
use crate::host::Host;
use crate::host::OfVersion;
use crate::host::artifact::{self, List, Push};
use crate::host::marks;
use crate::output::{print, print_json};
use crate::pack::{self, Pack};
use crate::table::columns;
use semver::Version;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::api::wire::{ArtifactDetail, Refusal};
use teneral::contract::addr::is_kind;
use teneral::contract::program::{Encoding, ProgramEntry, Protocol};
use teneral::contract::spell::spelled;
use teneral::loader::gate::{Described, described};
use teneral::loader::{Check, Gate, GateError, Policy, Release, UnsignedRecord};
use teneral::{Digest, Manifest, digest_of};

/// What to do with a library.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print what a library says of itself, a file or one of the host's store: kind, version, state, messages, fields
    Inspect(Inspect),
    /// Say whether this host would load a library, and if not, which check refuses it
    Verify(Verify),
    /// Put a program and its manifest into one file: a module in any language
    Pack(Pack),
    /// Bring libraries into a host's store, through the gate
    Push(Push),
    /// List what a host's store holds
    List(List),
    /// Take a version out of a host's store; refused while an actor, a default or an upgrade needs it
    Remove(OfVersion),
    /// Take a version out of quarantine, in this process and for the next: where its code was not to blame
    Pardon(OfVersion),
    /// Take what is left of the high-water marks for all there is, where a part of the store was lost (STORE-MARKS)
    AcceptMarks(marks::Accept),
}

/// What to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The library's file; or, of the host's store, its SHA-256 or its kind
    #[arg(value_name = "FILE|SHA256|KIND")]
    what: PathBuf,
    /// The version, behind a kind
    version: Option<Version>,
    /// Where the host's store is asked, and how to print: --json has the whole manifest in one object
    #[command(flatten)]
    host: Host,
}

/// What to check, and against which record.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The library
    file: PathBuf,
    /// The actor kind that it must be
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The version that it must be
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// The SHA-256 that it must have, in hexadecimal
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<Digest>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known of a library before any of it runs.
#[derive(Debug, Serialize)]
struct Inspected {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    bytes: u64,
    sha256: Digest,
    constructors: u64,
    needed: Vec<String>,
    /// Why this host would not load it.
    refused: Option<Refusal>,
    manifest: Manifest,
}

#[derive(Debug, Serialize)]
struct Verdict {
    file: String,
    ok: bool,
    kind: Option<String>,
    version: Option<Version>,
    sha256: Option<Digest>,
    refused: Option<Refusal>,
}

fn refusal(error: &GateError) -> Refusal {
    Refusal { code: error.code().to_owned(), cause: error.to_string(), hint: error.hint().to_owned() }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: the library cannot be read as one, or is refused.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Inspect(options) => inspect(options),
        Command::Verify(options) => verify(options),
        Command::Pack(options) => pack::pack(options),
        Command::Push(options) => artifact::push(options),
        Command::List(options) => artifact::list(options),
        Command::Remove(options) => artifact::remove(options),
        Command::Pardon(options) => artifact::pardon(options),
        Command::AcceptMarks(options) => marks::accept(options),
    }
}

pub(crate) fn gate() -> Gate<UnsignedRecord> {
    Gate { policy: Policy::standard(), trust: UnsignedRecord }
}

pub(crate) fn failed(file: &Path, error: &GateError) -> Failure {
    let named = Named { file: file.to_owned(), error: error.clone() };
    let failure = Failure::new(error.code(), &named, "nothing of it has run", error.hint());
    if error.check == Check::File { failure.usage() } else { failure }
}

/// A refusal that says which file it is about.
#[derive(Debug, thiserror::Error)]
#[error("{} is refused by check {}: {}", .file.display(), .error.check.number(), .error.check.title())]
struct Named {
    file: PathBuf,
    #[source]
    error: GateError,
}

/// What a library says of itself, if it can be read; whether it is let in is another matter.
pub(crate) fn manifest(file: &Path) -> Option<Manifest> {
    let within = std::fs::metadata(file).is_ok_and(|found| found.len() <= Policy::standard().bytes_max);
    let bytes = std::fs::read(file).ok().filter(|_| within)?;
    described(&bytes).ok().map(|described| described.manifest)
}

fn inspect(Inspect { what, version, host }: &Inspect) -> Result<ExitCode, Failure> {
    // A file that is there is meant, whatever else is called so.
    let digest = what.to_str().and_then(|text| text.parse::<Digest>().ok()).filter(|_| !what.exists());
    match (version, digest) {
        (None, None) => inspect_file(what, host),
        (Some(version), _) => artifact::inspect(host, what.to_str().unwrap_or_default(), version).and_then(shown(host)),
        (None, Some(digest)) => artifact::inspect_digest(host, digest).and_then(shown(host)),
    }
}

/// Prints what the host says of an artifact.
fn shown(host: &Host) -> impl Fn(ArtifactDetail) -> Result<ExitCode, Failure> {
    |detail| {
        let ArtifactDetail { sha256, bytes, constructors, needed, refused, manifest } = detail;
        let manifest = serde_json::from_value(manifest).map_err(|error| {
            let hint = "look whether the host is of this version: teneral status";
            Failure::new("CTL-ANSWER", &error, "nothing was changed", hint).about("the host's answer makes no sense")
        })?;
        host.print(&Inspected { file: None, bytes, sha256, constructors, needed, refused, manifest }, describe)
    }
}

fn inspect_file(file: &Path, host: &Host) -> Result<ExitCode, Failure> {
    let refused = gate().verify(file, None).err();
    // What cannot be opened, or is no file of either form, says nothing of itself.
    let unreadable = |error: &GateError| error.check <= Check::Elf;
    if let Some(error) = refused.as_ref().filter(|error| unreadable(error)) {
        let failure = failed(file, error);
        // A kind alone, more often than a file that is gone.
        let is_kind = file.to_str().is_some_and(is_kind) && !file.exists();
        let hint = format!("name the file; or a version of the host's store: teneral kind show {}", file.display());
        return Err(if is_kind { failure.hinting(&hint) } else { failure });
    }
    let again = |check: Check, text: String| failed(file, &GateError { check, text });
    let bytes = std::fs::read(file).map_err(|error| again(Check::File, error.to_string()))?;
    let Described { manifest, constructors, needed } = described(&bytes).map_err(|error| match &refused {
        Some(refused) => failed(file, refused),
        None => failed(file, &error),
    })?;
    let inspected = Inspected {
        file: Some(file.display().to_string()),
        bytes: bytes.len() as u64,
        sha256: digest_of(&bytes),
        constructors,
        needed,
        refused: refused.as_ref().map(refusal),
        manifest,
    };
    host.print(&inspected, describe)
}

fn describe(inspected: &Inspected) -> String {
    let Inspected { file, bytes, sha256, constructors, needed, refused, manifest } = inspected;
    let Manifest { kind, version, abi: [major, minor], target, panic, compiler, state, .. } = manifest;
    let schemas = |entries: &[teneral::manifest::SchemaEntry]| match entries {
        [] => "none".to_owned(),
        entries => entries.iter().map(|entry| entry.schema.to_string()).collect::<Vec<_>>().join(", "),
    };
    let mut rows: Vec<(&str, String)> = file.iter().map(|file| ("file", file.clone())).collect();
    rows.extend([("sha256", sha256.to_string()), ("bytes", bytes.to_string()), ("actor", format!("{kind} {version}"))]);
    rows.extend(match &manifest.program {
        Some(program) => vec![("runs", "in a process of its own".to_owned()), ("speaks", spoken(program))],
        None => vec![
            ("built", format!("{compiler}, for {target}, panic = {panic}")),
            ("ABI", format!("{major}.{minor}")),
            ("needs", needed.join(", ")),
            ("constructors", constructors.to_string()),
        ],
    });
    rows.extend([
        ("schema", format!("{}  {}", state.schema, state.fingerprint)),
        ("migrates from", schemas(&state.from)),
        ("downgrades to", schemas(&state.down)),
        ("requires", if manifest.requires.is_empty() { "nothing".to_owned() } else { manifest.requires.join(", ") }),
        ("deterministic", if manifest.deterministic { "yes" } else { "no" }.to_owned()),
        ("starts from", spelled(&manifest.args.shape)),
        ("state", spelled(&state.shape)),
    ]);
    for message in &manifest.messages {
        let upcasts = match message.also.len() {
            0 => String::new(),
            older => format!("  reads {older} older shapes"),
        };
        let (verb, reply) = match &message.reply {
            None => ("tell", String::new()),
            Some(reply) => ("ask", format!(" -> {}", spelled(&reply.shape))),
        };
        rows.push((verb, format!("{} {}{reply}{upcasts}", message.name, spelled(&message.shape))));
    }
    rows.push((
        "gate",
        match refused {
            None => "lets it in".to_owned(),
            Some(Refusal { code, cause, .. }) => format!("refuses it: [{code}] {cause}"),
        },
    ));
    columns(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

fn spoken(program: &ProgramEntry) -> String {
    let protocol = match program.protocol {
        Protocol::Grpc => "gRPC",
        Protocol::Http => "HTTP",
    };
    let encoding = match program.encoding {
        Encoding::Json => "JSON",
        Encoding::Bincode => "the layout of messages",
    };
    format!("{protocol}, bodies in {encoding}")
}

fn verify(options: &Verify) -> Result<ExitCode, Failure> {
    let file = &options.file;
    let checked = check(options);
    if options.json {
        let mut verdict = Verdict {
            file: file.display().to_string(),
            ok: checked.is_ok(),
            kind: None,
            version: None,
            sha256: None,
            refused: checked.as_ref().err().map(refusal),
        };
        if let Ok(Release { kind, version, digest }) = &checked {
            (verdict.kind, verdict.version, verdict.sha256) =
                (Some(kind.clone()), Some(version.clone()), Some(*digest));
        }
        print_json(&verdict)?;
    }
    match checked {
        Err(error) => Err(failed(file, &error)),
        Ok(release) => {
            if !options.json {
                let Release { kind, version, digest } = release;
                print(format_args!("{}: {kind} {version} passed the gate\nsha256 {digest}\n", file.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Through the gate, against as much of a release record as was given.
fn check(options: &Verify) -> Result<Release, GateError> {
    let Verify { file, kind, version, sha256, .. } = options;
    let wanted = |kind: &str, own: &Version, found: Digest| Release {
        kind: options.kind.clone().unwrap_or_else(|| kind.to_owned()),
        version: version.clone().unwrap_or_else(|| own.clone()),
        digest: sha256.unwrap_or(found),
    };
    let record = match gate().verify(file, None) {
        Ok(verified) => wanted(&verified.manifest().kind, &verified.manifest().version, verified.digest()),
        // Bytes that are not the record's are refused for that, whatever else they are.
        Err(error) => match (sha256, error.check > Check::Empty) {
            (Some(digest), true) => wanted(kind.as_deref().unwrap_or_default(), &Version::new(0, 0, 0), *digest),
            _ => return Err(error),
        },
    };
    gate().verify(file, Some(&record)).map(|_| record)
}
