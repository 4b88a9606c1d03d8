//! Store, gate and loader behind the two ports that ask for code: the runtime's, for actors that start actors, and the
//! upgrades', for what they verify, check and load.
//!
//! What the store says is read each time, since it was committed; kept are only a process's images and manifests, by
//! the digest of the bytes that they came from.

use crate::trusted::{self, StoredSignatures};
use crate::{Admission, SystemError};
use jiff::Timestamp;
use semver::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use teneral_contract::{Digest, Manifest};
use teneral_control::trust::{self, Profile, ReleaseFile, TrustError};
use teneral_loader::{
    self as loader, Gate, GateError, Image, LoadError, Loader, LoaderLimits, Policy, Sealed, Trust, UnsignedRecord,
    Verified,
};
use teneral_runtime::Providers;
use teneral_runtime::ports::{Fault, FaultKind, Provider};
use teneral_store::{EmbeddedStore, Quarantined, Release, Signed, Store, StoreError};
use teneral_upgrade::nearest::hint;
use teneral_upgrade::{Artifact, Artifacts, Refused, ReleaseRef, Released, chain};

/// One for the process, whatever systems it has: one image a digest is the process's promise.
static LOADER: Loader = Loader::new();

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
    /// Manifests by the digest of the bytes that they were read from: a digest never means other bytes.
    manifests: Mutex<BTreeMap<Digest, Manifest>>,
}

impl Library {
    pub(crate) fn new(store: Arc<EmbeddedStore>, profile: Profile, policy: Policy, limits: LoaderLimits) -> Self {
        Self { store, profile, policy, limits, manifests: Mutex::new(BTreeMap::new()) }
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
        let release = self.release(kind, &version)?;
        if let Some(entry) = self.store.quarantined()?.into_iter().find(|entry| entry.digest == release.sha256) {
            return Err(SystemError::Quarantined { kind: kind.to_owned(), version, why: entry.why });
        }
        self.image(kind, &version, release.sha256)
            .map_err(|refused| SystemError::Gate { what: format!("{kind} {version}"), refused: Box::new(refused) })
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
    fn verified(&self, kind: &str, version: &Version, digest: Digest) -> Result<Verified, Refused> {
        self.checked(self.sealed(digest)?, kind, version, digest)
    }

    fn sealed(&self, digest: Digest) -> Result<Sealed, Refused> {
        self.gate(UnsignedRecord)?.seal(self.store.artifact(digest)?).map_err(|error| by_gate(&error))
    }

    fn checked(&self, sealed: Sealed, kind: &str, version: &Version, digest: Digest) -> Result<Verified, Refused> {
        let record = record(kind, version, digest);
        self.gate(self.signatures(digest)?)?.verify_sealed(sealed, Some(&record)).map_err(|error| by_gate(&error))
    }

    fn manifest(&self, release: &Release) -> Result<Manifest, Refused> {
        let known = |manifests: &BTreeMap<Digest, Manifest>| manifests.get(&release.sha256).cloned();
        if let Some(manifest) = known(&self.manifests.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(manifest);
        }
        let verified = self.verified(&release.kind, &release.version, release.sha256)?;
        let manifest = verified.manifest().clone();
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(manifests.entry(release.sha256).or_insert(manifest).clone())
    }

    fn image(&self, kind: &str, version: &Version, digest: Digest) -> Result<Arc<dyn Provider>, Refused> {
        if let Some(image) = LOADER.image(digest) {
            self.is_trusted(kind, version, digest)?;
            return Ok(Arc::new(image));
        }
        let verified = self.verified(kind, version, digest)?;
        Ok(Arc::new(self.load(verified)?))
    }

    /// Maps it, which runs its constructors. What hangs there is quarantined like what hangs in a turn.
    fn load(&self, verified: Verified) -> Result<Image, Refused> {
        let (digest, manifest) = (verified.digest(), verified.manifest());
        let (kind, version) = (manifest.kind.clone(), manifest.version.clone());
        LOADER.load(verified, self.limits).map_err(|error| {
            if matches!(error, LoadError::Hung(_)) {
                let why = "it hung while it was loaded".to_owned();
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
        Box::new(InHand { library: self, release, image: None, sealed: None, verified: None })
    }
}

/// One artifact on its way through the steps: read once, hashed once, checked once.
struct InHand<'a> {
    library: &'a Library,
    release: &'a ReleaseRef,
    /// Its image, if the process has it already: then the file is hashed, since a restart will need it, and not mapped.
    image: Option<Image>,
    sealed: Option<Sealed>,
    verified: Option<Verified>,
}

impl Artifact for InHand<'_> {
    fn verify(&mut self) -> Result<(), Refused> {
        let digest = self.release.digest;
        let bytes = self.library.store.artifact(digest)?;
        self.image = LOADER.image(digest);
        let found = if self.image.is_some() {
            teneral_store::digest_of(&bytes)
        } else {
            let sealed = self.library.gate(UnsignedRecord)?.seal(bytes).map_err(|error| by_gate(&error))?;
            self.sealed.insert(sealed).digest()
        };
        GateError::unless_recorded(found, digest).map_err(|error| by_gate(&error))
    }

    fn check(&mut self) -> Result<Manifest, Refused> {
        let release = self.release;
        if let Some(image) = &self.image {
            self.library.is_trusted(&release.kind, &release.version, release.digest)?;
            GateError::unless_described(image.manifest(), &record(&release.kind, &release.version, release.digest))
                .map_err(|error| by_gate(&error))?;
            return Ok(image.manifest().clone());
        }
        let sealed = match self.sealed.take() {
            Some(sealed) => sealed,
            None => self.library.sealed(release.digest)?,
        };
        let verified = self.library.checked(sealed, &release.kind, &release.version, release.digest)?;
        Ok(self.verified.insert(verified).manifest().clone())
    }

    fn load(&mut self) -> Result<Arc<dyn Provider>, Refused> {
        let image = match (self.image.take(), self.verified.take()) {
            (Some(image), _) => image,
            (None, Some(verified)) => self.library.load(verified)?,
            (None, None) => {
                self.check()?;
                return self.load();
            }
        };
        Ok(Arc::new(image))
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

fn unix_us() -> u64 {
    // A clock before 1970 is a clock that was never set.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
