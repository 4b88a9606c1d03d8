//! `teneral artifact pack`: a program and its manifest in one file, so that a module may be written in any language.

use crate::failure::Failure;
use crate::output::{print, print_json};
use serde::Serialize;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::contract::by_hand;
use teneral::contract::manifest::MANIFEST_BYTES_MAX;
use teneral::contract::program;
use teneral::loader::Policy;
use teneral::{Digest, digest_of};

/// What to put together.
#[derive(Debug, clap::Args)]
pub(crate) struct Pack {
    /// The program: a script that begins with #!, or an executable for this kind of machine
    program: PathBuf,
    /// Its manifest, as docs/modules.md says it
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// The artifact to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Packed {
    file: String,
    kind: String,
    version: semver::Version,
    bytes: usize,
    sha256: Digest,
}

/// What a failure is about, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct About<E: Error + 'static> {
    what: String,
    #[source]
    source: E,
}

const NOW: &str = "nothing was written";

/// Reads a file of at most so many bytes.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let failed = |source: io::Error| {
        let what = format!("{} cannot be read", path.display());
        Failure::new("PACK-READ", &About { what, source }, NOW, "name a file that this user may read").usage()
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > bytes_max {
        return Err(failed(io::Error::other(format!("it has {bytes} bytes, at most {bytes_max} are packed"))));
    }
    fs::read(path).map_err(failed)
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: nothing was written.
pub(crate) fn pack(options: &Pack) -> Result<ExitCode, Failure> {
    let Pack { program, manifest, output, json } = options;
    let text = read(manifest, MANIFEST_BYTES_MAX as u64)?;
    let bytes = read(program, Policy::standard().bytes_max)?;
    let miswritten = |source| {
        let what = format!("{} is no manifest of a program", manifest.display());
        let hint = "docs/modules.md says what stands in it, and how shapes are written";
        Failure::new("PACK-MANIFEST", &About { what, source }, NOW, hint).usage()
    };
    let read = by_hand::read(&String::from_utf8_lossy(&text)).map_err(miswritten)?;
    let artifact = program::pack(&read, &bytes).map_err(|source| {
        let what = format!("{} cannot be packed", program.display());
        let hint = "a script begins with #! and the path of its interpreter; an executable is an ELF file";
        Failure::new("PACK-PROGRAM", &About { what, source }, NOW, hint).usage()
    })?;
    write(output, &artifact)?;
    let packed = Packed {
        file: output.display().to_string(),
        kind: read.kind,
        version: read.version,
        bytes: artifact.len(),
        sha256: digest_of(&artifact),
    };
    if *json {
        print_json(&packed)?;
    } else {
        let Packed { file, kind, version, bytes, sha256 } = &packed;
        print(format_args!("{file}: {kind} {version}, {bytes} bytes\nsha256 {sha256}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes it whole or not at all: what is there under that name is another version until then.
fn write(output: &Path, artifact: &[u8]) -> Result<(), Failure> {
    let failed = |source: io::Error| {
        let what = format!("{} cannot be written", output.display());
        Failure::new("PACK-WRITE", &About { what, source }, NOW, "look at the directory and its free space")
    };
    let mut beside = output.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    fs::write(&beside, artifact).and_then(|()| fs::rename(&beside, output)).map_err(|error| {
        // What could not be written is nobody's; whether it is there to be removed is nothing to report.
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}
