//! The libraries of the demo: six versions of log-handler, built through cargo or found in a directory.
//!
//! `cargo demo` runs inside a workspace and builds them on the way: optimised, and without LTO, which would double the
//! time to the first line. A binary that stands alone is told where they lie.

use crate::cargo::libraries;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many versions there are; v4 and v5 are the ones that must be turned away, v6 the one that must be taken back.
pub(crate) const VERSIONS: u32 = 6;

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
    let stdout = child.stdout.take();
    let built = stdout.map_or(Ok(BTreeSet::new()), libraries).map_err(|source| LibraryError::Output { source })?;
    let status = child.wait().map_err(|source| LibraryError::Output { source })?;
    if !status.success() {
        return Err(LibraryError::Build);
    }
    let of = |version| {
        let found = built.iter().find(|built| built.package.ends_with(format!("log-handler/v{version}")));
        let missing = || LibraryError::NotBuilt { package: format!("log-handler-v{version}") };
        found.map(|built| built.file.clone()).ok_or_else(missing)
    };
    (1..=VERSIONS).map(of).collect()
}
