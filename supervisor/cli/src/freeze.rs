//! `teneral freeze`: a workspace's `schemas.lock`, which says what shape each schema of a state has, once and for all.
//!
//! A shape that changed under the same number would be read by code that never saw it. So a line is only ever added:
//! this command refuses to change one, and the derive of `State` refuses to build against another shape.

use crate::artifact::{failed, gate};
use crate::cargo::{Library, Workspace};
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::sign::on_file;
use semver::Version;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use teneral::Manifest;

const FILE: &str = "schemas.lock";

/// The derive looks in the package's folder and so many above.
const FOLDERS_UP_MAX: usize = 2;

/// How to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Freeze {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One library's schema, locked.
#[derive(Debug, Serialize)]
struct Locked {
    kind: String,
    version: Version,
    schema: u32,
    lock: PathBuf,
    added: bool,
}

/// Two shapes for one number.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {version} has another shape in schema {schema} than {}: {found}, not {locked}", .lock.display())]
struct Changed {
    kind: String,
    version: Version,
    schema: u32,
    lock: PathBuf,
    found: String,
    locked: String,
}

/// Builds the libraries of the workspace here, and locks the schemas that their manifests name.
///
/// # Errors
/// [`Failure`]: cargo does not build them, the gate would not let one in, a lock has another shape. What was locked
/// before stays locked.
pub(crate) fn run(Freeze { json }: &Freeze) -> Result<ExitCode, Failure> {
    let now = "no lock was changed";
    let workspace = Workspace::find(Path::new(".")).map_err(|error| error.failure(now))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new("CLI-MACHINE", &error, now, "try again"))?;
    let libraries = runtime.block_on(async {
        tokio::select! {
            built = workspace.build(None) => built.map_err(|error| error.failure(now)),
            // Cargo has a group of its own, and hears no ^C but through this.
            _ = tokio::signal::ctrl_c() => Err(Failure::interrupted().standing(now.to_owned()).hinting("run it again")),
        }
    })?;
    let mut all = Vec::new();
    for library in &libraries {
        let verified = gate().verify(&library.file, None).map_err(|error| failed(&library.file, &error))?;
        all.push(lock(verified.manifest(), &place(&workspace.root, library))?);
    }
    if *json {
        print_json(&all)?;
    } else {
        let mut text = String::new();
        for Locked { kind, version, schema, lock, added } in &all {
            let how = if *added { "is locked now" } else { "was locked already" };
            let _ = writeln!(text, "{kind} {version}: schema {schema} {how}, in {}", lock.display());
        }
        print(text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lock that the derive reads, or where a kind's first one belongs: beside the folders of its versions.
fn place(root: &Path, Library { package, .. }: &Library) -> PathBuf {
    let found =
        package.ancestors().take(1 + FOLDERS_UP_MAX).map(|folder| folder.join(FILE)).find(|lock| lock.is_file());
    let above = package.parent().filter(|above| above.starts_with(root));
    found.unwrap_or_else(|| above.unwrap_or(package).join(FILE))
}

fn lock(manifest: &Manifest, lock: &Path) -> Result<Locked, Failure> {
    let text = match fs::read_to_string(lock) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| on_file("read", lock, error))?,
    };
    let (schema, found) = (manifest.state.schema, manifest.state.fingerprint.to_string());
    let (kind, version) = (manifest.kind.clone(), manifest.version.clone());
    let added = match entries(&text).remove(&schema) {
        Some(known) if known == found => false,
        Some(locked) => {
            let lock = lock.to_owned();
            let changed = Changed { kind, version, schema, lock, found, locked };
            let hint = "give the new shape a schema number of its own, and a migration from the older";
            return Err(Failure::new("LOCK-SHAPE", &changed, "the lock is as it was", hint));
        }
        None => {
            let between = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let text = format!("{text}{between}{schema} = \"{found}\"\n");
            replace(lock, &text).map_err(|error| on_file("write", lock, error))?;
            true
        }
    };
    Ok(Locked { kind, version, schema, lock: lock.to_owned(), added })
}

/// The old file or the new one, whole: a disk that is full must not cost what was locked.
fn replace(lock: &Path, text: &str) -> io::Result<()> {
    // The file itself, where a link leads to it.
    let (file, permissions) = match fs::canonicalize(lock) {
        Ok(file) => (file.clone(), fs::metadata(&file)?.permissions()),
        // As any new file; the user's mask takes from it.
        Err(error) if error.kind() == ErrorKind::NotFound => (lock.to_owned(), Permissions::from_mode(0o666)),
        Err(error) => return Err(error),
    };
    let beside = file.parent().unwrap_or(&file);
    let mut new = tempfile::Builder::new().prefix(FILE).permissions(permissions).tempfile_in(beside)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(&file)?;
    Ok(())
}

/// `2 = "fingerprint"` lines.
fn entries(text: &str) -> BTreeMap<u32, String> {
    let entry = |line: &str| {
        let (schema, print) = line.split('#').next()?.split_once('=')?;
        Some((schema.trim().parse().ok()?, print.trim().trim_matches('"').to_owned()))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        let lock = entries("# released\n1 = \"aa\" # first\n2 = \"bb\"\n");
        assert_eq!(lock, BTreeMap::from([(1, "aa".to_owned()), (2, "bb".to_owned())]));
    }

    #[test]
    fn a_lock_that_cannot_be_written_is_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = dir.path().join(FILE);
        replace(&lock, "1 = \"aa\"\n").expect("it is ours");
        fs::set_permissions(&lock, Permissions::from_mode(0o640)).expect("it is ours");
        let held = fs::File::open(&lock).expect("it is there");
        replace(&lock, "1 = \"aa\"\n2 = \"bb\"\n").expect("it is ours");
        // The old file was never opened to be written: whoever holds it still has all of it.
        assert_eq!(io::read_to_string(held).expect("it is open"), "1 = \"aa\"\n");
        assert_eq!(fs::read_to_string(&lock).expect("it is there"), "1 = \"aa\"\n2 = \"bb\"\n");
        assert_eq!(fs::metadata(&lock).expect("it is there").permissions().mode() & 0o777, 0o640);
        let alone = fs::read_dir(dir.path()).expect("it is ours").count();
        assert_eq!(alone, 1, "nothing is left beside it");
    }
}
