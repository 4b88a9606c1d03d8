//! What was saved, and whether a library is made of it.
//!
//! A watch says only that something happened somewhere: editors write a file several times, and beside it; cargo writes
//! its lock. So what counts is what the files hold. Of which files a library was made, its build has written down
//! (`libX.d`); as long as a build fails, every Rust file may mend it.

use crate::cargo::Library;
use crate::failure::Failure;
use crate::host::apply::SYSTEM;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long nothing may have happened before it is looked at what did.
const QUIET: Duration = Duration::from_millis(30);

/// How long it is waited for that at most.
const QUIET_MAX: Duration = Duration::from_millis(500);

/// A file that is larger is told by its length and its time.
const READ_BYTES_MAX: u64 = 1 << 20;

/// What the files of a workspace hold, by path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<PathBuf, u64>);

/// The files of a workspace.
#[derive(Debug)]
pub(super) struct Sources {
    root: PathBuf,
    /// What the last good build was made of; `None` while there is none.
    inputs: Option<BTreeSet<PathBuf>>,
}

impl Sources {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, inputs: None }
    }

    /// The files as they are now, without what is hidden and what is built.
    pub(super) fn look(&self) -> Seen {
        let mut seen = BTreeMap::new();
        walk(&self.root, &mut seen);
        Seen(seen)
    }

    /// What the libraries were made of; `None`: they were not made.
    pub(super) fn made_of(&mut self, libraries: Option<&[Library]>) {
        let inputs = libraries.map(|libraries| {
            let listed =
                libraries.iter().filter_map(|library| fs::read_to_string(library.file.with_extension("d")).ok());
            listed.flat_map(|list| inputs(&list)).collect::<BTreeSet<_>>()
        });
        // A list that cannot be read says nothing of what counts.
        self.inputs = inputs.filter(|inputs| !inputs.is_empty());
    }

    /// Whether something is other than it was seen that the libraries are made of.
    pub(super) fn differ(&self, Seen(before): &Seen) -> bool {
        let Seen(now) = self.look();
        let changed = |(path, hash): (&PathBuf, &u64), other: &BTreeMap<PathBuf, u64>| {
            other.get(path) != Some(hash) && self.counts(path)
        };
        now.iter().any(|found| changed(found, before)) || before.iter().any(|found| changed(found, &now))
    }

    fn counts(&self, path: &Path) -> bool {
        let is_rust = || path.extension() == Some(OsStr::new("rs"));
        let named = |name: &str| path.file_name() == Some(OsStr::new(name));
        named("Cargo.toml")
            || named("schemas.lock")
            || path == self.root.join(SYSTEM)
            || self.inputs.as_ref().map_or_else(is_rust, |of| of.contains(path))
    }
}

/// The files that a line of a `.d` file lists behind its colon; a blank in a name has a backslash before it.
fn inputs(list: &str) -> Vec<PathBuf> {
    let names = list.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, names)| {
        let joined = names.replace("\\ ", "\0");
        joined.split_whitespace().map(|name| PathBuf::from(name.replace('\0', " "))).collect::<Vec<_>>()
    });
    names.collect()
}

fn walk(dir: &Path, seen: &mut BTreeMap<PathBuf, u64>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(is_source) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, seen),
            // One that goes away meanwhile is not there.
            _ => _ = hash(&path).map(|hash| seen.insert(path, hash)),
        }
    }
}

/// Neither hidden nor a folder that cargo builds into, which it marks.
fn is_source(entry: &DirEntry) -> bool {
    !entry.file_name().as_encoded_bytes().starts_with(b".") && !entry.path().join("CACHEDIR.TAG").exists()
}

fn hash(path: &Path) -> Option<u64> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mut hasher = DefaultHasher::new();
    if found.len() > READ_BYTES_MAX {
        (found.len(), found.modified().ok()).hash(&mut hasher);
    } else {
        fs::read(path).ok()?.hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// A folder that cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}", .dir.display())]
struct Unwatched {
    dir: PathBuf,
    source: notify::Error,
}

/// Says that something happened below a folder.
pub(super) struct Changes {
    root: PathBuf,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    happened: mpsc::Receiver<Instant>,
}

impl Changes {
    /// # Errors
    /// [`Failure`]: the system watches no more folders.
    pub(super) fn watch(root: &Path) -> Result<Self, Failure> {
        let (says, happened) = mpsc::channel(1);
        let told = move |event: notify::Result<Event>| {
            let kind = event.as_ref().map_or(EventKind::Any, |event| event.kind);
            // To look at a file is to open it: that happens at every look.
            let looked = matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
            if !looked {
                // One that waits to be heard is as good as many; nobody hears it at the end.
                let _ = says.try_send(Instant::now());
            }
        };
        let failed = |source| unwatched(root, source);
        let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
        watcher.watch(root, RecursiveMode::NonRecursive).map_err(failed)?;
        let mut changes = Self { root: root.to_owned(), watcher, watched: BTreeSet::new(), happened };
        changes.follow()?;
        Ok(changes)
    }

    /// Watches the folders of the root as they are now: each alone, so that what is built is left out.
    fn follow(&mut self) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_source(entry));
        let folders: BTreeSet<PathBuf> = folders.map(|entry| entry.path()).collect();
        for dir in folders.difference(&self.watched) {
            match self.watcher.watch(dir, RecursiveMode::Recursive) {
                Err(source) if dir.exists() => return Err(unwatched(dir, source)),
                _ => {}
            }
        }
        self.watched = folders;
        Ok(())
    }

    /// Whatever has happened so far is looked at next.
    pub(super) fn forget(&mut self) {
        while self.happened.try_recv().is_ok() {}
    }

    /// Waits until something has happened and then nothing more for a moment; when it began.
    ///
    /// # Errors
    /// As [`Changes::watch`].
    pub(super) async fn next(&mut self) -> Result<Instant, Failure> {
        let Some(first) = self.happened.recv().await else {
            // The watch lives as long as this does.
            return std::future::pending().await;
        };
        while first.elapsed() < QUIET_MAX {
            match tokio::time::timeout(QUIET, self.happened.recv()).await {
                Ok(Some(_)) => {}
                _ => break,
            }
        }
        self.follow().map(|()| first)
    }
}

fn unwatched(dir: &Path, source: notify::Error) -> Failure {
    let error = Unwatched { dir: dir.to_owned(), source };
    let hint =
        "let the system watch more: sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024";
    Failure::new("DEV-WATCH", &error, "the host stops, its states are kept", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_inputs_is_read_with_blanks_in_names() {
        let list = "/t/libx.so: /w/a.rs /w/my\\ notes/b.rs\n\n/w/a.rs:\n";
        assert_eq!(inputs(list), ["/w/a.rs", "/w/my notes/b.rs"].map(PathBuf::from));
    }

    #[test]
    fn what_a_library_is_made_of_counts_and_before_that_every_rust_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("it lies in one")).expect("it is ours");
            fs::write(path, text).expect("it is ours");
        };
        let mut sources = Sources::new(dir.path().to_owned());
        for name in ["a.rs", "tests/t.rs", "Cargo.lock", "README.md", ".b.rs.swp", "built/CACHEDIR.TAG", "built/c.rs"] {
            write(name, "");
        }
        let counts = |sources: &Sources, name: &str| {
            let seen = sources.look();
            write(name, name);
            let differ = sources.differ(&seen);
            write(name, "");
            differ
        };
        for (name, differs) in [("a.rs", true), ("tests/t.rs", true), ("new.rs", true), ("Cargo.lock", false)] {
            assert_eq!(counts(&sources, name), differs, "{name}");
        }
        let file = dir.path().join("built/libx.so");
        write("built/libx.d", &format!("{}: {}\n", file.display(), dir.path().join("a.rs").display()));
        sources.made_of(Some(&[Library { file, package: dir.path().to_owned() }]));
        for (name, differs) in [("a.rs", true), ("tests/t.rs", false), ("README.md", false), ("Cargo.toml", true)] {
            assert_eq!(counts(&sources, name), differs, "{name}");
        }
        assert!(!counts(&sources, ".b.rs.swp") && !counts(&sources, "built/c.rs"));
    }
}
