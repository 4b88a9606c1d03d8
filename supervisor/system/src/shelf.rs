//! What the store holds and who needs it: an artifact is taken away only when nobody would miss it.

use crate::events::Happened;
use crate::system::parse;
use crate::{System, SystemError};
use semver::Version;
use teneral_store::{Entry, Release, Store};

impl System {
    /// Takes an artifact out of the store. The high-water mark of its kind stays. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`] and [`SystemError::Version`] when there is no such artifact; [`SystemError::InUse`] while
    /// an actor runs it or is defined on it, while it is the default, or while an upgrade at work may need it;
    /// [`SystemError::Store`].
    pub fn remove_artifact(&self, kind: &str, version: &str) -> Result<Release, SystemError> {
        let version = parse(version)?;
        let release = self.library().release(kind, &version)?;
        // Nobody becomes defined on it in between.
        let _alone = self.defining();
        let needed = self.who_needs(&release)?;
        if !needed.is_empty() {
            return Err(SystemError::InUse { kind: kind.to_owned(), version, needed });
        }
        self.store().remove(&release)?;
        self.say(|| Happened::ArtifactRemoved { kind: release.kind.clone(), version: release.version.clone() });
        Ok(release)
    }

    /// Everybody who needs an artifact, each as a sentence.
    fn who_needs(&self, release: &Release) -> Result<Vec<String>, SystemError> {
        let Release { kind, version, sha256, .. } = release;
        let runs = self.runtime().actors_of(kind).into_iter().filter(|actor| actor.provider().digest() == *sha256);
        let mut needed: Vec<String> = runs.map(|actor| format!("{} runs it", actor.addr())).collect();
        let defined = self.definitions()?.into_iter().filter(|on| on.addr.kind() == kind && on.version == *version);
        needed.extend(defined.map(|on| format!("{} is defined on it", on.addr)));
        if self.default_version(kind)?.as_ref() == Some::<&Version>(version) {
            needed.push(format!("it is the default of {kind}"));
        }
        for id in self.running() {
            let journal = self.journal(&id)?;
            let moves = journal.iter().filter_map(|entry| match entry {
                Entry::Begin(begin) => Some(&begin.moves),
                Entry::Step(_) | Entry::End(_) => None,
            });
            if moves.flatten().any(|moved| [moved.from_digest, moved.to_digest].contains(sha256)) {
                needed.push(format!("upgrade {id} is at work with it, and may have to undo"));
            }
        }
        Ok(needed)
    }
}
