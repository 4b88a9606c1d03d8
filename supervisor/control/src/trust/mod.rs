//! Releases are signed by people and checked by hosts.
//!
//! Beside an artifact `X.so` lies its release file `X.so.release`, JSON that says which bytes of which kind and version
//! it is about, and beside that `X.so.release.minisig`, a signature over the release file's exact bytes in minisign's
//! prehashed format: minisign's own tools sign for us and check ours. A host trusts keys; it never holds a secret one.
//!
//! The gate's check 4 asks [`vouch`]; everything after it holds the artifact to what the release file says.

mod error;
mod key;
mod release;
mod sign;

pub use error::{CODES, TrustError};
pub use key::{KeyId, KeyPurpose, PublicKey, TrustedKey};
pub use release::{RELEASE_BYTES_MAX, ReleaseFile, Schemas};
pub use sign::{NewKey, SecretKey, Signed};

pub use jiff::Timestamp;

/// Longest signature file, in bytes: four lines.
pub const SIGNATURE_BYTES_MAX: usize = 4 << 10;

/// A host's mind about development keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Everything on one desk: a development key that the tools made by themselves may sign.
    Development,
    /// Only keys that somebody trusted on purpose.
    Production,
}

impl Profile {
    /// Its word: `development` or `production`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// A release that a trusted key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// What it says.
    pub release: ReleaseFile,
    /// Who signed.
    pub key: KeyId,
}

/// Accepts a release file with its signature, or says why not. Pure: `now` is the caller's.
///
/// # Errors
/// [`TrustError`]: unsigned, malformed, signed by nobody who is trusted, or over other bytes.
pub fn vouch(signed: &Signed, keys: &[TrustedKey], profile: Profile, now: Timestamp) -> Result<Vouched, TrustError> {
    if signed.release.len() > RELEASE_BYTES_MAX {
        return Err(TrustError::Size {
            what: "release file",
            bytes: signed.release.len(),
            bytes_max: RELEASE_BYTES_MAX,
        });
    }
    if signed.signature.is_empty() {
        return Err(TrustError::Unsigned);
    }
    if signed.signature.len() > SIGNATURE_BYTES_MAX {
        let bytes = signed.signature.len();
        return Err(TrustError::Size { what: "signature", bytes, bytes_max: SIGNATURE_BYTES_MAX });
    }
    let id = KeyId::of_signature(&signed.signature)?;
    let key = keys.iter().find(|key| key.public.id() == id).ok_or(TrustError::UnknownKey(id))?;
    if profile == Profile::Production && key.purpose == KeyPurpose::Development {
        return Err(TrustError::DevelopmentKey(id));
    }
    if let Some(expires) = key.expires.filter(|expires| *expires <= now) {
        return Err(TrustError::KeyExpired { key: id, expires });
    }
    if !cfg!(feature = "bug-r2") {
        key.public.verify(&signed.release, &signed.signature)?;
    }
    // Only now is it worth reading: nobody else's bytes come near a parser.
    let release = ReleaseFile::parse(&signed.release)?;
    Ok(Vouched { release, key: id })
}
