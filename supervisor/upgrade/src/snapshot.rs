//! What a plan is made from: actors and manifests as they are at one moment, and the port to the libraries on disk.
//!
//! A plan is a pure function of this, so it can be made as often as one likes and leaves no trace.

use crate::error::Refused;
use crate::plan::ReleaseRef;
use crate::trial::{Bounds as TrialBounds, Lent, Tried, Untried};
use semver::Version;
use std::collections::BTreeMap;
use std::sync::Arc;
use teneral_contract::{Addr, Digest, Manifest};
use teneral_runtime::ports::Provider;
use teneral_runtime::{ActorRef, Parked};

/// The libraries on disk, through the gate. Implemented by whoever wires loader and store.
///
/// # Errors
/// Every function: [`Refused`] with the gate's or the store's own code.
pub trait Artifacts: Send + Sync + 'static {
    /// The kinds that there are artifacts of, sorted.
    fn kinds(&self) -> Result<Vec<String>, Refused>;
    /// What there is of a kind, by version. Reads manifests; runs no code, keeps nothing.
    fn releases(&self, kind: &str) -> Result<Vec<Released>, Refused>;
    /// One of them in hand. Nothing is read yet.
    fn open<'a>(&'a self, release: &'a ReleaseRef) -> Box<dyn Artifact + 'a>;
}

/// One artifact in the hands of one upgrade: its steps come in this order, and share what they read.
///
/// # Errors
/// Every function: [`Refused`] with the gate's, the loader's or the store's own code.
pub trait Artifact {
    /// Step Verify: the bytes are the ones that were pushed.
    fn verify(&mut self) -> Result<(), Refused>;
    /// Step Check: the file is loadable here. Runs no code.
    fn check(&mut self) -> Result<Manifest, Refused>;
    /// Step Trial: its checked bytes, for another process. Code that is linked into this one is none.
    fn lend(&mut self) -> Result<Lend, Refused> {
        Ok(Lend::Linked)
    }
    /// The same of code that an actor of this process runs, for the way away from it: that it would not be let in today
    /// (it hung since, or its signer is trusted no more) must keep nobody on it.
    fn lend_running(&mut self) -> Result<Lend, Refused> {
        self.lend()
    }
    /// Step Trial, of a program and of what is tried beside one: a process of its own with these bounds, for rehearsals
    /// alone. `going` is asked while it starts: when it says no, nobody wants the process any more, and there is none.
    ///
    /// # Errors
    /// [`Untried`]: why there is none, and what it wrote.
    fn try_out(&mut self, _: TrialBounds, _: &dyn Fn() -> bool) -> Result<Arc<dyn Tried>, Untried> {
        Err(Untried::from(Refused {
            code: "UPG-TRIAL-START".to_owned(),
            cause: "there is no program to start".to_owned(),
            hint: "report this".to_owned(),
        }))
    }
    /// Step Load: its image is in the process, or was.
    fn load(&mut self) -> Result<Arc<dyn Provider>, Refused>;
}

/// What another process may have of an artifact.
#[derive(Debug, Clone)]
pub enum Lend {
    /// The library.
    Bytes(Arc<Lent>),
    /// It is a program, which is tried in a process of its own: [`Artifact::try_out`].
    Program,
    /// Nothing: it is linked into this program.
    Linked,
}

/// An artifact of the store.
#[derive(Debug, Clone)]
pub struct Released {
    /// Its version, by its record.
    pub version: Version,
    /// Its digest, by its record.
    pub digest: Digest,
    /// What it says of itself, or why that cannot be read.
    pub manifest: Result<Manifest, Refused>,
}

/// One actor at one moment.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub addr: Addr,
    /// The artifact that it runs.
    pub digest: Digest,
    /// What the code that it runs says of itself: the running instance's, whatever lies on disk by now.
    pub manifest: Manifest,
    /// Whether that code runs in a process of its own.
    pub elsewhere: bool,
    /// Upgrades so far.
    pub generation: u64,
    /// The encoded messages that wait for it.
    pub parked: Vec<Parked>,
    /// The actors it started: they stay as they are.
    pub children: Vec<Addr>,
}

impl Subject {
    /// The actor as it is now.
    #[must_use]
    pub fn of(actor: &ActorRef) -> Self {
        let (info, provider) = (actor.info(), actor.provider());
        Self {
            addr: info.addr,
            digest: provider.digest(),
            manifest: provider.manifest().clone(),
            elsewhere: provider.is_elsewhere(),
            generation: info.generation.0,
            parked: actor.parked(),
            children: info.children,
        }
    }
}

/// Everything a plan looks at.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The named actors that exist.
    pub subjects: BTreeMap<Addr, Subject>,
    /// The names of all actors, for suggestions.
    pub names: Vec<Addr>,
    /// The artifacts of the kinds in question.
    pub releases: BTreeMap<String, Vec<Released>>,
    /// All kinds, for suggestions.
    pub kinds: Vec<String>,
    /// Digests in quarantine, and what they did.
    pub quarantined: BTreeMap<Digest, String>,
}
