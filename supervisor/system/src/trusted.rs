//! Trust as the store keeps it: the keys, what each artifact was signed with, and the key that a development host makes
//! for itself.

use crate::served::moment;
use crate::{AfterProduction, SystemError};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use teneral_contract::{Digest, Manifest};
use teneral_control::trust::{
    self, KeyPurpose, Profile, PublicKey, ReleaseFile, SIGNATURE_BYTES_MAX, SecretKey, Signed, TrustError, TrustedKey,
    Vouched,
};
use teneral_loader::{Release as Record, Trust};
use teneral_store::{EmbeddedStore, Key, Store};
use teneral_upgrade::chain;

/// The secret half of the development key, in the store's directory.
const DEVELOPMENT_KEY: &str = "development.key";

/// The release file beside an artifact.
#[must_use]
pub fn release_path(artifact: &Path) -> PathBuf {
    beside(artifact, ".release")
}

/// The signature beside a release file.
#[must_use]
pub fn signature_path(release: &Path) -> PathBuf {
    beside(release, ".minisig")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What lies beside an artifact: its release file and its signature, as far as there are any. `None`: no release file.
///
/// # Errors
/// [`TrustError::Size`] for what is over its bound, unread; [`TrustError::Release`] and [`TrustError::Form`] for what
/// cannot be read.
pub fn read_beside(artifact: &Path) -> Result<Option<Signed>, TrustError> {
    let release = release_path(artifact);
    let read = |path: &Path, what, bytes_max: usize| match std::fs::metadata(path) {
        Err(_) => Ok(None),
        Ok(found) if found.len() > bytes_max as u64 => {
            Err(TrustError::Size { what, bytes: usize::try_from(found.len()).unwrap_or(usize::MAX), bytes_max })
        }
        Ok(_) => std::fs::read(path).map(Some).map_err(|error| TrustError::Release(error.to_string())),
    };
    let Some(bytes) = read(&release, "release file", trust::RELEASE_BYTES_MAX)? else { return Ok(None) };
    let signature = read(&signature_path(&release), "signature", SIGNATURE_BYTES_MAX)?.unwrap_or_default();
    let signature = String::from_utf8(signature).map_err(|_| TrustError::Form("it is no text".to_owned()))?;
    Ok(Some(Signed { release: bytes, signature }))
}

/// Writes down what a directory is served as. What was production stays that until somebody asks for less.
pub(crate) fn serve_as(store: &EmbeddedStore, profile: Profile, after: AfterProduction) -> Result<(), SystemError> {
    let before = store.served_as()?;
    let was_production = before.as_deref() == Some(Profile::Production.as_str());
    if was_production && profile == Profile::Development && after == AfterProduction::Refuse {
        return Err(SystemError::Profile);
    }
    // Written only when it changes: a full disk must not keep a host from starting.
    if before.as_deref() != Some(profile.as_str()) {
        store.serve_as(profile.as_str())?;
    }
    Ok(())
}

/// A key as the store keeps it.
pub(crate) fn to_record(key: &TrustedKey) -> Key {
    let unix_us = |at: Timestamp| u64::try_from(at.as_microsecond()).unwrap_or(0);
    Key {
        id: key.public.id().to_string(),
        public: key.public.to_string(),
        name: key.name.clone(),
        development: key.purpose == KeyPurpose::Development,
        added_unix_us: unix_us(key.added),
        by: key.by.clone(),
        expires_unix_us: key.expires.map(unix_us),
    }
}

/// A key as it is used.
pub(crate) fn from_record(key: &Key) -> Result<TrustedKey, TrustError> {
    Ok(TrustedKey {
        public: PublicKey::parse(&key.public)?,
        name: key.name.clone(),
        purpose: if key.development { KeyPurpose::Development } else { KeyPurpose::Release },
        added: at(key.added_unix_us),
        by: key.by.clone(),
        expires: key.expires_unix_us.map(at),
    })
}

pub(crate) fn at(unix_us: u64) -> Timestamp {
    moment(unix_us).unwrap_or(Timestamp::MAX)
}

/// The keys of a store.
pub(crate) fn keys(store: &EmbeddedStore) -> Result<Vec<TrustedKey>, SystemError> {
    store.keys()?.iter().map(from_record).collect::<Result<_, _>>().map_err(SystemError::from)
}

/// Signs as this host's own development key, which is made and trusted when there is none yet.
pub(crate) fn sign_for_development(
    store: &EmbeddedStore,
    release: &ReleaseFile,
    now: Timestamp,
) -> Result<Signed, SystemError> {
    let secret = match store.private(DEVELOPMENT_KEY)? {
        Some(file) => SecretKey::open(&String::from_utf8_lossy(&file), None)?,
        None => {
            let (secret, files) = SecretKey::generate(None)?;
            store.keep_private(DEVELOPMENT_KEY, files.secret.as_bytes())?;
            secret
        }
    };
    let public = secret.public()?;
    if !store.keys()?.iter().any(|key| key.id == public.id().to_string()) {
        let (name, purpose) = ("this host's development key".to_owned(), KeyPurpose::Development);
        let key = TrustedKey { public, name, purpose, added: now, by: "teneral".to_owned(), expires: None };
        store.trust(&to_record(&key))?;
    }
    let comment = format!("{} {}, signed for development", release.kind, release.version);
    Ok(secret.sign(release.to_bytes()?, &comment)?)
}

/// Check 4 for an artifact of the store: what was signed of it, by the keys that are trusted today, as of when it was
/// admitted.
pub(crate) struct StoredSignatures<'a> {
    pub(crate) store: &'a EmbeddedStore,
    pub(crate) profile: Profile,
    /// When the artifact was pushed.
    pub(crate) admitted: Timestamp,
}

impl Trust for StoredSignatures<'_> {
    fn vouch(&self, record: &Record) -> Result<(), String> {
        let vouched = self.vouched(record.digest).map_err(|error| chain(&error))?;
        let ReleaseFile { kind, version, sha256, .. } = vouched.release;
        // What it says besides was held against the artifact when that was pushed, and the manifest is in the bytes.
        if sha256 == record.digest {
            return Ok(());
        }
        Err(format!("what was signed is about {kind} {version}, sha256 {sha256}"))
    }
}

impl StoredSignatures<'_> {
    fn vouched(&self, digest: Digest) -> Result<Vouched, SystemError> {
        let signed = self.store.signed(digest)?.ok_or(TrustError::Unsigned)?;
        let signed = Signed { release: signed.release.into_bytes(), signature: signed.signature };
        Ok(trust::vouch(&signed, &keys(self.store)?, self.profile, self.admitted)?)
    }
}

/// What is signed of an artifact must be about it, and current.
pub(crate) fn admit(
    vouched: &Vouched,
    manifest: &Manifest,
    (digest, bytes): (Digest, u64),
    now: Timestamp,
) -> Result<(), TrustError> {
    vouched.release.is_about(manifest, digest, bytes)?;
    vouched.release.is_current(now)
}
