//! What the store holds and who needs it: an artifact is taken away only when nobody would miss it.

use crate::events::Happened;
use crate::system::parse;
use crate::{System, SystemError};
use semver::Version;
use teneral_contract::{Addr, Digest};
use teneral_control::api::wire::{ModuleOutput, OutputPart};
use teneral_store::{Entry, Release, Store, UpgradeId};

/// Who uses an artifact's library in this process, where it stays until the process ends. Who runs it is found among
/// the actors, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// How many hold its code: instances, and whoever may make one.
    pub holders: usize,
    /// The upgrades at work that may still need it.
    pub upgrades: Vec<UpgradeId>,
    /// The actors on another version's probation whose instance before is of it: see [`System::on_probation`].
    pub instances_before: Vec<Addr>,
}

impl System {
    /// Takes an artifact out of the store. The high-water mark of its kind stays. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`] and [`SystemError::Version`] when there is no such artifact; [`SystemError::InUse`] while
    /// an actor runs it or is defined on it, while it is the default or on its kind's route, while an upgrade at work
    /// may need it, or while somebody on probation may have to go back to it; [`SystemError::Store`].
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

    /// The versions that run in processes of their own, of those that somebody needs.
    #[must_use]
    pub fn modules(&self) -> Vec<crate::ModuleInfo> {
        self.inner().library.modules()
    }

    /// Part of what the processes of a version wrote that runs in processes of its own, of 64 KiB at most; of one that
    /// has ended, too. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Kind`] and [`SystemError::Version`]: the store has no such artifact. [`SystemError::Output`]: no
    /// process of it has written anything here. [`SystemError::Module`]: the file cannot be read.
    pub fn module_output(&self, kind: &str, version: &Version, part: &OutputPart) -> Result<ModuleOutput, SystemError> {
        self.inner().library.wrote(kind, version, part)
    }

    /// Where the actors of a kind run.
    #[must_use]
    pub fn place(&self, kind: &str) -> crate::Place {
        self.inner().library.place(kind)
    }

    /// Who uses an artifact's library in this process. `None` when the process does not have it. Blocks on the disk.
    ///
    /// # Errors
    /// [`SystemError::Store`].
    pub fn image(&self, artifact: Digest) -> Result<Option<ImageUse>, SystemError> {
        let Some(holders) = crate::library::holders(artifact) else { return Ok(None) };
        let mut upgrades = Vec::new();
        for id in self.running() {
            if self.is_at_work_with(&id, artifact)? {
                upgrades.push(id);
            }
        }
        let instances_before = self.inner().upgrades.instances_before_of(artifact);
        Ok(Some(ImageUse { holders, upgrades, instances_before }))
    }

    fn is_at_work_with(&self, id: &UpgradeId, artifact: Digest) -> Result<bool, SystemError> {
        let journal = self.journal(id)?;
        let mut moves = Entry::begin_of(&journal).into_iter().flat_map(|begin| &begin.moves);
        Ok(moves.any(|moved| [moved.from_digest, moved.to_digest].contains(&artifact)))
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
        if self.is_on_route(kind, version)? {
            needed.push(format!("the route of {kind} leads to it: teneral route status {kind}"));
        }
        for id in self.running() {
            if self.is_at_work_with(&id, *sha256)? {
                needed.push(format!("upgrade {id} is at work with it, and may have to undo"));
            }
        }
        let back = self.inner().upgrades.ways_back_over(*sha256).into_iter();
        let sentence = |(addr, id)| {
            format!("{addr} is on probation for {id}, and its way back leads over it: teneral upgrade finalise {id}")
        };
        needed.extend(back.map(sentence));
        Ok(needed)
    }
}
