//! Store, gate and loader behind the two ports that ask for code: the runtime's, for actors that start actors, and the
//! upgrades', for what they verify, check and load.
//!
//! What the store says is read each time, since it was committed; kept are only a process's images and manifests, by
//! the digest of the bytes that they came from.

mod in_hand;

use crate::modules::{ModuleInfo, Place, Processes};
use crate::trusted::{self, StoredSignatures};
use crate::{Admission, SystemError};
use in_hand::InHand;
use jiff::Timestamp;
use semver::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use teneral_contract::{Digest, Manifest};
use teneral_control::api::wire::{ModuleOutput, OutputPart};
use teneral_control::trust::{self, Profile, ReleaseFile, TrustError};
use teneral_loader::{
    self as loader, Gate, GateError, Image, LoadError, Loader, LoaderLimits, Policy, Sealed, Trust, UnsignedRecord,
    Verified,
};
use teneral_runtime::Providers;
use teneral_runtime::ports::{Fault, FaultKind, Provider};
use teneral_store::{EmbeddedStore, Quarantined, Release, Signed, Store, StoreError};
use teneral_upgrade::nearest::hint;
use teneral_upgrade::{Artifact, Artifacts, Refused, ReleaseRef, Released, TrialBounds, Tried, Untried, chain};

/// One for the process, whatever systems it has: one image a digest is the process's promise.
static LOADER: Loader = Loader::new();

/// How many hold the code of an image of this process; none: there is no such image.
pub(crate) fn holders(digest: Digest) -> Option<usize> {
    LOADER.images().into_iter().find(|info| info.image.digest() == digest).map(|info| info.holders)
}

/// Why a version is in quarantine that did not come back from its constructors.
const LOAD_HUNG: &str = "it hung while it was loaded";

/// Whom code is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// An actor that was not there before, or was on another version.
    New,
    /// An actor that had this version.
    ComingBack,
}

/// An artifact that somebody brings.
#[derive(Debug)]
pub(crate) enum Brought {
    /// A file, with what lies beside it.
    File(PathBuf),
    /// Its bytes.
    Bytes(Vec<u8>),
}

impl Brought {
    fn through(self, gate: &Gate<UnsignedRecord>, record: Option<&loader::Release>) -> Result<Verified, GateError> {
        match self {
            Self::File(path) => gate.verify(&path, record),
            Self::Bytes(bytes) => gate.verify_bytes(bytes, record),
        }
    }
}

impl fmt::Display for Brought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bytes(bytes) => write!(f, "an artifact of {} bytes", bytes.len()),
        }
    }
}

/// All code there is.
#[derive(Debug)]
pub(crate) struct Library {
    store: Arc<EmbeddedStore>,
    profile: Profile,
    policy: Policy,
    limits: LoaderLimits,
    /// Which kinds run in processes of their own.
    processes: Processes,
    /// Manifests by the digest of the bytes that they were read from: a digest never means other bytes.
    manifests: Mutex<BTreeMap<Digest, Manifest>>,
}

impl Library {
    pub(crate) fn new(
        store: Arc<EmbeddedStore>,
        profile: Profile,
        (policy, limits): (Policy, LoaderLimits),
        processes: Processes,
    ) -> Self {
        Self { store, profile, policy, limits, processes, manifests: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    /// Largest artifact.
    pub(crate) fn artifact_bytes_max(&self) -> u64 {
        self.policy.bytes_max
    }

    pub(crate) fn store(&self) -> &EmbeddedStore {
        &self.store
    }

    /// The record of one version.
    pub(crate) fn release(&self, kind: &str, version: &Version) -> Result<Release, SystemError> {
        let of_kind = self.of_kind(kind)?;
        let versions: Vec<String> = of_kind.iter().map(|found| found.version.to_string()).collect();
        of_kind.into_iter().find(|found| found.version == *version).ok_or_else(|| SystemError::Version {
            kind: kind.to_owned(),
            version: version.clone(),
            hint: hint(&version.to_string(), versions.iter().map(String::as_str)),
        })
    }

    /// All versions of one kind: at least one.
    fn of_kind(&self, kind: &str) -> Result<Vec<Release>, SystemError> {
        let all = self.store.releases()?;
        let (of_kind, others): (Vec<Release>, Vec<Release>) = all.into_iter().partition(|found| found.kind == kind);
        if of_kind.is_empty() {
            let hint = hint(kind, others.iter().map(|other| other.kind.as_str()));
            return Err(SystemError::Kind { kind: kind.to_owned(), hint });
        }
        Ok(of_kind)
    }

    /// The code of a kind, loaded; `None` is its default version.
    pub(crate) fn open(&self, kind: &str, version: Option<&Version>) -> Result<Arc<dyn Provider>, SystemError> {
        if kind == teneral_native_api::KIND {
            let hint = "native is the host's own kind: System::native registers actors of it".to_owned();
            return Err(SystemError::Kind { kind: kind.to_owned(), hint });
        }
        let version = match version {
            Some(version) => version.clone(),
            None => match self.store.default_version(kind)? {
                Some(version) => version,
                None => {
                    self.of_kind(kind)?;
                    return Err(SystemError::Default { kind: kind.to_owned() });
                }
            },
        };
        self.open_for(kind, &version, For::New)
    }

    /// The code of an actor that comes back on the version that it had, loaded. A quarantine keeps nobody from that, as
    /// it keeps no supervisor from a restart: one actor's hang must not take all others of its version down with the
    /// next start of the host. Only what hung while it was loaded would hang again, and the host with it.
    pub(crate) fn open_again(&self, kind: &str, version: &Version) -> Result<Arc<dyn Provider>, SystemError> {
        self.open_for(kind, version, For::ComingBack)
    }

    fn open_for(&self, kind: &str, version: &Version, who: For) -> Result<Arc<dyn Provider>, SystemError> {
        let release = self.release(kind, version)?;
        let entry = self.store.quarantine_of(release.sha256)?;
        if let Some(entry) = entry.filter(|entry| who == For::New || entry.why == LOAD_HUNG) {
            return Err(SystemError::Quarantined { kind: kind.to_owned(), version: version.clone(), why: entry.why });
        }
        self.image(kind, version, release.sha256, who).map_err(|refused| {
            let (what, of_process) = (format!("{kind} {version}"), refused.code.starts_with("MOD-"));
            let refused = Box::new(refused);
            if of_process { SystemError::Module { what, refused } } else { SystemError::Gate { what, refused } }
        })
    }
}

impl Library {
    /// Brings an artifact into the store, through the gate. Nothing of it runs.
    pub(crate) fn push(&self, brought: Brought, admission: Admission) -> Result<Release, SystemError> {
        let what = brought.to_string();
        let gate = |refused| SystemError::Gate { what: what.clone(), refused: Box::new(refused) };
        let now = Timestamp::now();
        let signed = match (admission.signed, &brought) {
            (Some(signed), _) => Some(signed),
            (None, Brought::File(path)) => trusted::read_beside(path)?,
            (None, Brought::Bytes(_)) => None,
        };
        let host = self.gate(UnsignedRecord)?;
        let (verified, signed) = match signed {
            Some(signed) => {
                let vouched = trust::vouch(&signed, &trusted::keys(&self.store)?, self.profile, now)?;
                let ReleaseFile { kind, version, sha256, .. } = &vouched.release;
                let record = record(kind, version, *sha256);
                let verified = brought.through(&host, Some(&record)).map_err(|error| gate(by_gate(&error)))?;
                trusted::admit(&vouched, verified.manifest(), (verified.digest(), verified.bytes()), now)?;
                (verified, signed)
            }
            None if self.profile == Profile::Development => {
                let verified = brought.through(&host, None).map_err(|error| gate(by_gate(&error)))?;
                let release = ReleaseFile::of(verified.manifest(), verified.digest(), verified.bytes());
                let signed = trusted::sign_for_development(&self.store, &release, now)?;
                (verified, signed)
            }
            None => return Err(TrustError::Unsigned.into()),
        };
        let unread = |error: std::io::Error| GateError { check: loader::Check::File, text: error.to_string() };
        is_free(&verified.manifest().kind)?;
        let bytes = verified.contents().map_err(|error| gate(by_gate(&unread(error))))?;
        let release = Release::of(verified.manifest(), verified.digest(), verified.bytes(), unix_us());
        if !admission.older {
            self.is_not_older(&release)?;
        }
        let signature = signed.signature;
        let release_file = String::from_utf8(signed.release);
        let release_file = release_file.map_err(|error| TrustError::Release(error.to_string()))?;
        self.store.push(&release, &bytes, &Signed { release: release_file, signature })?;
        // What was there before keeps the time at which it came.
        self.release(&release.kind, &release.version)
    }

    /// Refuses a version below the highest that was ever here. One that is here may come again.
    fn is_not_older(&self, release: &Release) -> Result<(), SystemError> {
        let known = |found: &Release| found.sha256 == release.sha256;
        match self.store.marks()?.remove(&release.kind) {
            Some(mark) if mark > release.version && !self.store.releases()?.iter().any(known) => {
                Err(TrustError::Older { kind: release.kind.clone(), version: release.version.clone(), mark }.into())
            }
            _ => Ok(()),
        }
    }

    fn gate<T: Trust>(&self, trust: T) -> Result<Gate<T>, StoreError> {
        let mut policy = self.policy.clone();
        policy.quarantined.extend(self.store.quarantined()?.into_iter().map(|entry| (entry.digest, entry.why)));
        Ok(Gate { policy, trust })
    }

    /// Check 4 for an artifact of the store.
    fn signatures(&self, digest: Digest) -> Result<StoredSignatures<'_>, StoreError> {
        let release = self.store.releases()?.into_iter().find(|release| release.sha256 == digest);
        let admitted = trusted::at(release.ok_or(StoreError::Missing(digest))?.added_unix_us);
        Ok(StoredSignatures { store: &self.store, profile: self.profile, admitted })
    }

    /// Check 4 alone, for code that the process has already: a key may have been taken back since.
    fn is_trusted(&self, kind: &str, version: &Version, digest: Digest) -> Result<(), Refused> {
        let vouched = self.signatures(digest)?.vouch(&record(kind, version, digest));
        vouched.map_err(|text| by_gate(&GateError { check: loader::Check::Trust, text }))
    }

    /// The bytes of a release, through the gate again: what the disk gives today.
    fn verified(&self, kind: &str, version: &Version, digest: Digest, who: For) -> Result<Verified, Refused> {
        self.checked(self.sealed(digest)?, &record(kind, version, digest), who)
    }

    fn sealed(&self, digest: Digest) -> Result<Sealed, Refused> {
        self.gate(UnsignedRecord)?.seal(self.store.artifact(digest)?).map_err(|error| by_gate(&error))
    }

    fn checked(&self, sealed: Sealed, release: &loader::Release, who: For) -> Result<Verified, Refused> {
        let trust = self.signatures(release.digest)?;
        let gate = match who {
            For::New => self.gate(trust)?,
            // All checks but the store's own quarantine.
            For::ComingBack => Gate { policy: self.policy.clone(), trust },
        };
        gate.verify_sealed(sealed, Some(release)).map_err(|error| by_gate(&error))
    }

    fn manifest(&self, release: &Release) -> Result<Manifest, Refused> {
        let known = |manifests: &BTreeMap<Digest, Manifest>| manifests.get(&release.sha256).cloned();
        if let Some(manifest) = known(&self.manifests.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(manifest);
        }
        let verified = self.verified(&release.kind, &release.version, release.sha256, For::New)?;
        let manifest = self.processes.placed(verified.manifest().clone());
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(manifests.entry(release.sha256).or_insert(manifest).clone())
    }

    /// What an artifact of the store says of itself, whether or not it would be loaded. Nothing of it runs.
    ///
    /// # Errors
    /// [`SystemError::Store`] and [`SystemError::Gate`]: its bytes are not there, or cannot be read any more.
    pub(crate) fn described(&self, release: &Release) -> Result<Described, SystemError> {
        let what = || format!("{} {}", release.kind, release.version);
        let bytes = self.store.artifact(release.sha256)?;
        let loader::gate::Described { manifest, constructors, needed } = loader::gate::described(&bytes)
            .map_err(|error| SystemError::Gate { what: what(), refused: Box::new(by_gate(&error)) })?;
        let refused = self.loadable(release).err();
        Ok(Described { manifest, constructors, needed, refused })
    }

    /// The manifest of an artifact that would be loaded now.
    pub(crate) fn loadable(&self, release: &Release) -> Result<Manifest, Refused> {
        let Release { kind, version, sha256, .. } = release;
        if let Some(entry) = self.store.quarantine_of(*sha256)? {
            return Err(by_gate(&GateError { check: loader::Check::Quarantine, text: entry.why }));
        }
        let manifest = self.manifest(release)?;
        self.is_trusted(kind, version, *sha256).map(|()| manifest)
    }

    fn image(&self, kind: &str, version: &Version, digest: Digest, who: For) -> Result<Arc<dyn Provider>, Refused> {
        if let Some(code) = self.here(kind, digest) {
            self.is_trusted(kind, version, digest)?;
            return Ok(code);
        }
        let verified = self.verified(kind, version, digest, who)?;
        self.bring(verified)
    }

    /// The code of an artifact that runs already, in the place of its kind.
    fn here(&self, kind: &str, digest: Digest) -> Option<Arc<dyn Provider>> {
        let module = || self.processes.code(kind, digest);
        match self.processes.place(kind) {
            // A program runs by itself wherever the kind is said to.
            Place::InProcess => LOADER.image(digest).map(|image| Arc::new(image) as _).or_else(module),
            Place::Process | Place::Remote => module(),
        }
    }

    /// Has it run, in the place of its kind.
    fn bring(&self, verified: Verified) -> Result<Arc<dyn Provider>, Refused> {
        match self.processes.place(&verified.manifest().kind) {
            Place::InProcess if !verified.is_program() || cfg!(feature = "bug-p12") => {
                Ok(Arc::new(self.load(verified)?))
            }
            _ => self.processes.start(&verified, &self.policy),
        }
    }

    /// Has it run in a process of its own that serves nobody, for a trial.
    fn try_out(
        &self,
        release: &loader::Release,
        bounds: TrialBounds,
        going: &dyn Fn() -> bool,
    ) -> Result<Arc<dyn Tried>, Untried> {
        // It was let in when the trial was planned, or runs: it must only be those bytes.
        let gate = Gate { policy: self.policy.clone(), trust: UnsignedRecord };
        let bytes = self.store.artifact(release.digest).map_err(Refused::from)?;
        let verified = gate.verify_bytes(bytes, Some(release)).map_err(|error| by_gate(&error))?;
        self.processes.try_out((&verified, &self.policy), bounds, going)
    }

    /// The kinds that run in processes of their own.
    pub(crate) const fn processes(&self) -> &Processes {
        &self.processes
    }

    /// The modules that run in processes of their own.
    pub(crate) fn modules(&self) -> Vec<ModuleInfo> {
        self.processes.seen()
    }

    /// Part of what the processes of a version wrote.
    pub(crate) fn wrote(&self, kind: &str, version: &Version, part: &OutputPart) -> Result<ModuleOutput, SystemError> {
        // Known kinds and versions alone are names of files.
        let Release { kind, version, .. } = self.release(kind, version)?;
        let wrote = self.processes.wrote((&kind, &version), part).map_err(|error| SystemError::Module {
            what: format!("{kind} {version}"),
            refused: Box::new(Refused {
                code: "MOD-SOCKET".to_owned(),
                cause: format!("what it wrote cannot be read: {error}"),
                hint: "look at the host's directory, modules/ in it".to_owned(),
            }),
        })?;
        wrote.ok_or(SystemError::Output { kind, version, previous: part.previous })
    }

    /// Where actors of that kind run.
    pub(crate) fn place(&self, kind: &str) -> Place {
        self.processes.place(kind)
    }

    /// Maps it, which runs its constructors. What hangs there is quarantined like what hangs in a turn.
    fn load(&self, verified: Verified) -> Result<Image, Refused> {
        let (digest, manifest) = (verified.digest(), verified.manifest());
        let (kind, version) = (manifest.kind.clone(), manifest.version.clone());
        LOADER.load(verified, self.limits).map_err(|error| {
            if matches!(error, LoadError::Hung(_)) {
                let why = LOAD_HUNG.to_owned();
                self.quarantine(Quarantined { digest, kind, version, why, at_unix_us: unix_us() });
            }
            by_loader(&error)
        })
    }

    /// Keeps a quarantine for the next life of the host. This one knows of it by itself.
    fn quarantine(&self, entry: Quarantined) {
        if let Err(error) = self.store.quarantine(&entry) {
            tracing::error!(code = error.code(), %error, artifact = %entry.digest, "the quarantine was not stored");
        }
    }
}

impl Providers for Library {
    fn provider(&self, kind: &str, version: Option<&Version>) -> Result<Arc<dyn Provider>, Fault> {
        self.open(kind, version).map_err(|error| Fault::new(FaultKind::Denied, chain(&error)))
    }

    fn quarantined(&self, quarantined: teneral_runtime::Quarantined) {
        let teneral_runtime::Quarantined { digest, kind, version, why } = quarantined;
        self.quarantine(Quarantined { digest, kind, version, why, at_unix_us: unix_us() });
    }

    fn released(&self, digest: Digest) {
        if let Err(error) = self.store.pardon(digest) {
            tracing::error!(code = error.code(), %error, artifact = %digest, "the end of a quarantine was not stored");
        }
    }
}

impl Artifacts for Library {
    fn kinds(&self) -> Result<Vec<String>, Refused> {
        let mut kinds: Vec<String> = self.store.releases()?.into_iter().map(|release| release.kind).collect();
        kinds.dedup();
        Ok(kinds)
    }

    fn releases(&self, kind: &str) -> Result<Vec<Released>, Refused> {
        let of_kind = self.store.releases()?.into_iter().filter(|release| release.kind == kind);
        let read = |release: Release| Released {
            manifest: self.manifest(&release),
            version: release.version,
            digest: release.sha256,
        };
        Ok(of_kind.map(read).collect())
    }

    fn open<'a>(&'a self, release: &'a ReleaseRef) -> Box<dyn Artifact + 'a> {
        Box::new(InHand::new(self, release))
    }
}

/// What an artifact says of itself.
pub(crate) struct Described {
    pub(crate) manifest: Manifest,
    /// Functions that would run when it is loaded.
    pub(crate) constructors: u64,
    /// The libraries that it needs.
    pub(crate) needed: Vec<String>,
    /// Why it would not be loaded now.
    pub(crate) refused: Option<Refused>,
}

/// Refuses the kind of the host's own actors: nothing that is loaded may bear their name.
fn is_free(kind: &str) -> Result<(), SystemError> {
    match kind == teneral_native_api::KIND {
        true => Err(SystemError::Reserved { kind: kind.to_owned() }),
        false => Ok(()),
    }
}

fn record(kind: &str, version: &Version, digest: Digest) -> loader::Release {
    loader::Release { kind: kind.to_owned(), version: version.clone(), digest }
}

fn by_gate(error: &GateError) -> Refused {
    Refused { code: error.code().to_owned(), cause: error.to_string(), hint: error.hint().to_owned() }
}

fn by_loader(error: &LoadError) -> Refused {
    Refused { code: error.code().to_owned(), cause: error.to_string(), hint: error.hint().to_owned() }
}

pub(crate) fn unix_us() -> u64 {
    // A clock before 1970 is a clock that was never set.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
