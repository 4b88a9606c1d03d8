//! The libraries of the demo: five versions of log-handler, built through cargo or found in a directory.
//!
//! `cargo demo` runs inside a workspace and builds them on the way: optimised, and without LTO, which would double the
//! time to the first line. A binary that stands alone is told where they lie.

use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many versions there are; v4 and v5 are the ones that must be turned away.
pub(crate) const VERSIONS: u32 = 5;

/// Why there are no libraries.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibraryError {
    #[error("no libraries: this is no `cargo demo`, and no --artifacts DIR was given")]
    NoWorkspace,
    #[error("cannot run cargo ({cargo}) to build the libraries")]
    NoCargo { cargo: PathBuf, source: std::io::Error },
    #[error("cargo could not build the libraries; what it said stands above")]
    Build,
    #[error("cannot read what cargo built")]
    Output { source: std::io::Error },
    #[error("cargo built no library of {package}")]
    NotBuilt { package: String },
    #[error("there is no {path}")]
    Missing { path: PathBuf },
}

impl LibraryError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoWorkspace => "DEMO-WORKSPACE",
            Self::NoCargo { .. } => "DEMO-CARGO",
            Self::Build => "DEMO-BUILD",
            Self::Output { .. } => "DEMO-BUILD-OUTPUT",
            Self::NotBuilt { .. } => "DEMO-BUILD-LIBRARY",
            Self::Missing { .. } => "DEMO-LIBRARY",
        }
    }
}

/// The libraries, v1 first.
///
/// # Errors
/// [`LibraryError`]: which of them cannot be had, and why.
pub(crate) fn find(artifacts: Option<&Path>) -> Result<Vec<PathBuf>, LibraryError> {
    match artifacts {
        Some(dir) => (1..=VERSIONS).map(|version| in_directory(dir, version)).collect(),
        None => build(),
    }
}

fn in_directory(dir: &Path, version: u32) -> Result<PathBuf, LibraryError> {
    let path = dir.join(format!("liblog_handler_v{version}.so"));
    if path.is_file() { Ok(path) } else { Err(LibraryError::Missing { path }) }
}

/// A line of cargo's JSON output, as far as it matters.
#[derive(Deserialize)]
struct Line {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

fn build() -> Result<Vec<PathBuf>, LibraryError> {
    // Both are set by `cargo run`, and so by `cargo demo`.
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").ok_or(LibraryError::NoWorkspace)?;
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--examples", "--message-format=json-render-diagnostics"]);
    for version in 1..=VERSIONS {
        command.arg("--package").arg(format!("log-handler-v{version}"));
    }
    command.current_dir(manifest_dir).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|source| LibraryError::NoCargo { cargo, source })?;
    let mut built = vec![None; VERSIONS as usize];
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(|source| LibraryError::Output { source })?;
            if let Some((version, path)) = library_of(&line) {
                built[version as usize - 1] = Some(path);
            }
        }
    }
    let status = child.wait().map_err(|source| LibraryError::Output { source })?;
    if !status.success() {
        return Err(LibraryError::Build);
    }
    let named = built.into_iter().zip(1..);
    named.map(|(path, v)| path.ok_or_else(|| LibraryError::NotBuilt { package: format!("log-handler-v{v}") })).collect()
}

/// The version and the library that a line of cargo's output tells of.
fn library_of(line: &str) -> Option<(u32, PathBuf)> {
    let line: Line = serde_json::from_str(line).ok()?;
    let is_library = line.target.is_some_and(|target| target.crate_types.iter().any(|kind| kind == "cdylib"));
    if line.reason != "compiler-artifact" || !is_library {
        return None;
    }
    let manifest = line.manifest_path?;
    let version = (1..=VERSIONS).find(|version| manifest.ends_with(format!("log-handler/v{version}/Cargo.toml")))?;
    line.filenames.into_iter().find(|file| file.extension().is_some_and(|end| end == "so")).map(|file| (version, file))
}
