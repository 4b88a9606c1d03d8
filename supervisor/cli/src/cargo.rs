//! An author's workspace, as cargo knows it: which libraries it has, and how they are built.
//!
//! Cargo speaks for itself: what it says of the code goes to the terminal as it says it, in its colours. Only what it
//! has built is read.

use crate::failure::Failure;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the libraries which build of a version they are: see `teneral_actor::about`.
const DEV_BUILD: &str = "TENERAL_DEV_BUILD";

/// How long cargo and what it runs have to end before they are ended.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// How long between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// Why there are no libraries.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CargoError {
    #[error("cannot run cargo ({})", .cargo.display())]
    Run { cargo: PathBuf, source: std::io::Error },
    #[error("cannot read what cargo says")]
    Output { source: std::io::Error },
    #[error("cargo finds no workspace in {}", .dir.display())]
    Workspace { dir: PathBuf, source: Said },
    #[error("no package of the workspace in {} builds a library for actors", .dir.display())]
    NoLibrary { dir: PathBuf },
    #[error("cargo could not build; what it said stands above")]
    Build,
}

/// What cargo said.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Said(String);

impl CargoError {
    /// As the terminal shows it; `now` is what stands.
    pub(crate) fn failure(&self, now: &str) -> Failure {
        let (code, hint) = match self {
            Self::Run { .. } => ("CARGO-RUN", "install cargo (rustup.rs), or name it in the variable CARGO"),
            Self::Output { .. } => ("CARGO-OUTPUT", "mend what the cause says, and try again"),
            Self::Workspace { .. } => {
                ("CARGO-WORKSPACE", "go to the workspace, mend its Cargo.toml, or make one: teneral new NAME")
            }
            Self::NoLibrary { .. } => {
                ("CARGO-LIBRARY", "give a package [[example]] with crate-type = [\"cdylib\"], as teneral new NAME does")
            }
            Self::Build => ("CARGO-BUILD", "mend what cargo names; docs/build.md says what a library needs"),
        };
        let failure = Failure::new(code, self, now, hint);
        if matches!(self, Self::Workspace { .. } | Self::NoLibrary { .. }) { failure.usage() } else { failure }
    }
}

/// The workspace, as its manifests describe it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its root.
    pub(crate) root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    crate_types: Vec<String>,
}

impl Target {
    fn is_library(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

/// A library that was built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Library {
    /// The file.
    pub(crate) file: PathBuf,
    /// The folder of its package.
    pub(crate) package: PathBuf,
}

/// A line of cargo's JSON, as far as it matters.
#[derive(Deserialize)]
struct Line {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Workspace {
    /// The workspace that holds `dir`. Blocks; asks no network.
    ///
    /// # Errors
    /// [`CargoError`]: cargo is not there, finds no workspace or one that is broken, or one without a library.
    pub(crate) fn find(dir: &Path) -> Result<Self, CargoError> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(dir).stdin(Stdio::null());
        let output = command.output().map_err(|source| not_run(&command, source))?;
        let said = || Said(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        if !output.status.success() {
            return Err(CargoError::Workspace { dir: dir.to_owned(), source: said() });
        }
        let Metadata { workspace_root: root, mut packages } =
            serde_json::from_slice(&output.stdout).map_err(|error| CargoError::Output { source: error.into() })?;
        packages.retain(|package| package.targets.iter().any(Target::is_library));
        if packages.is_empty() {
            return Err(CargoError::NoLibrary { dir: root });
        }
        Ok(Self { root, packages })
    }

    /// Builds the libraries, as that build of their versions or as the versions themselves. Dropped, it ends cargo.
    ///
    /// # Errors
    /// [`CargoError`]: cargo is not there, or does not build them.
    pub(crate) async fn build(&self, dev_build: Option<u64>) -> Result<Vec<Library>, CargoError> {
        let mut command = cargo();
        command.args(["build", "--message-format=json-render-diagnostics"]);
        command.args(self.selection()).current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::piped());
        match dev_build {
            Some(number) => command.env(DEV_BUILD, number.to_string()),
            None => command.env_remove(DEV_BUILD),
        };
        // A group of its own, so that its compilers and build scripts end with it.
        command.process_group(0);
        let mut running = Running(command.spawn().map_err(|source| not_run(&command, source))?);
        let stdout = running.0.stdout.take();
        let read = tokio::task::spawn_blocking(move || stdout.map_or(Ok(BTreeSet::new()), libraries)).await;
        let libraries = read.map_err(std::io::Error::other).and_then(|read| read);
        // It has closed its output: it is ending.
        let status = running.0.wait().map_err(|source| CargoError::Output { source })?;
        match (status.success(), libraries) {
            (true, libraries) => Ok(libraries.map_err(|source| CargoError::Output { source })?.into_iter().collect()),
            (false, _) => Err(CargoError::Build),
        }
    }

    /// The targets that are libraries.
    fn selection(&self) -> Vec<String> {
        let mut selected = Vec::new();
        for Package { name, targets } in &self.packages {
            selected.extend(["--package".to_owned(), name.clone()]);
            for target in targets.iter().filter(|target| target.is_library()) {
                match target.kind.iter().any(|kind| kind == "example") {
                    true => selected.extend(["--example".to_owned(), target.name.clone()]),
                    false => selected.push("--lib".to_owned()),
                }
            }
        }
        // `--lib` may stand once.
        let mut lib = false;
        selected.retain(|argument| argument != "--lib" || !std::mem::replace(&mut lib, true));
        selected
    }
}

/// Ended with the future that waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Waited for already: its number may be another's by now.
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) else { return };
        // Those that have ended by themselves are no more there to be ended.
        let _ = kill_process_group(group, Signal::TERM);
        let begun = Instant::now();
        // Only looked at: until it is waited for, its number stays its own.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while begun.elapsed() < END_TIMEOUT && matches!(waitid(WaitId::Pid(group), look), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").filter(|named| !named.is_empty()).unwrap_or_else(|| OsString::from("cargo")))
}

fn not_run(command: &Command, source: std::io::Error) -> CargoError {
    CargoError::Run { cargo: command.get_program().into(), source }
}

/// The libraries that cargo says it has built, or had built before.
///
/// # Errors
/// What the system says when cargo's output cannot be read.
pub(crate) fn libraries(stdout: ChildStdout) -> std::io::Result<BTreeSet<Library>> {
    let mut found = BTreeSet::new();
    for line in BufReader::new(stdout).lines() {
        // A build script may print what it likes.
        let Ok(line) = serde_json::from_str::<Line>(&line?) else { continue };
        let is_library = line.reason == "compiler-artifact" && line.target.is_some_and(|target| target.is_library());
        let Some(package) = line.manifest_path.as_deref().and_then(Path::parent).filter(|_| is_library) else {
            continue;
        };
        let files = line.filenames.into_iter().filter(|file| file.extension().is_some_and(|end| end == "so"));
        found.extend(files.map(|file| Library { file, package: package.to_owned() }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_cargo_runs_ends_with_it_even_what_heeds_no_signal() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; tail -f /dev/null & echo begun; wait"]).process_group(0);
        let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("sh runs"));
        let mut stdout = BufReader::new(running.0.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it says so");
        assert_eq!(line, "begun\n");
        drop(running);
        // Ends when nobody has the other end any more.
        assert_eq!(stdout.read_to_string(&mut line).expect("it ends"), 0);
    }
}
