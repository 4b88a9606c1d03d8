//! Why a release is not trusted, one variant a cause.

use super::key::KeyId;
use jiff::Timestamp;
use semver::Version;

/// Every code of this crate with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("TRUST-EXPIRED", "the release has expired"),
    ("TRUST-KEY", "the release is signed by a key that is not trusted here"),
    ("TRUST-OLDER", "an older version than the highest that was here"),
    ("TRUST-PUBLIC", "a public key cannot be read"),
    ("TRUST-RELEASE", "the release file is not one of this artifact"),
    ("TRUST-SECRET", "a secret key cannot be used"),
    ("TRUST-SIGNATURE", "the signature is not one of the release file"),
    ("TRUST-UNSIGNED", "the release is not signed"),
];

/// Why a release is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No signature.
    #[error("the release is not signed")]
    Unsigned,
    /// A file over its bound.
    #[error("a {what} of {bytes} bytes, over the limit of {bytes_max}")]
    Size {
        /// Which file.
        what: &'static str,
        /// Found.
        bytes: usize,
        /// Allowed.
        bytes_max: usize,
    },
    /// No signature in minisign's format.
    #[error("the signature cannot be read: {0}")]
    Form(String),
    /// Minisign's older format, which hashes nothing beforehand.
    #[error("the signature is in minisign's legacy format; a prehashed one is wanted")]
    Legacy,
    /// Nobody has trusted the key.
    #[error("the release is signed by key {0}, which nobody has trusted here")]
    UnknownKey(KeyId),
    /// A development key on a production host.
    #[error("the release is signed by key {0}, a development key, and this host is a production one")]
    DevelopmentKey(KeyId),
    /// The key's time is over.
    #[error("the release is signed by key {key}, whose time was over at {expires}")]
    KeyExpired {
        /// Which key.
        key: KeyId,
        /// When.
        expires: Timestamp,
    },
    /// The signature is another file's.
    #[error("the signature by key {0} is not one of these bytes")]
    Mismatch(KeyId),
    /// Signed, and no release file.
    #[error("the release file cannot be read: {0}")]
    Release(String),
    /// A release file from a newer teneral.
    #[error("the release file has format {found}, this teneral reads {supported}")]
    Format {
        /// Found.
        found: u32,
        /// Known.
        supported: u32,
    },
    /// The release's own time is over.
    #[error("the release expired at {0}")]
    Expired(Timestamp),
    /// Older than what was here before.
    #[error("{kind} {version} is below {mark}, the highest version of {kind} that was ever pushed here")]
    Older {
        /// The kind.
        kind: String,
        /// Pushed.
        version: Version,
        /// The high-water mark.
        mark: Version,
    },
    /// The release is about another artifact.
    #[error("the release is about another artifact: {what} is {found} there, and {actual} here")]
    Other {
        /// What differs.
        what: &'static str,
        /// In the release file.
        found: String,
        /// Of the artifact.
        actual: String,
    },
    /// No public key in minisign's format.
    #[error("the public key cannot be read: {0}")]
    Public(String),
    /// No secret key in minisign's format.
    #[error("the secret key cannot be read: {0}")]
    Key(String),
    /// The password does not open the secret key.
    #[error("the secret key cannot be opened: {0}")]
    Password(String),
    /// Something could not be signed, or no key made.
    #[error("it cannot be signed: {0}")]
    Sign(String),
}

impl TrustError {
    /// The stable code of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "TRUST-UNSIGNED",
            Self::Form(_) | Self::Legacy | Self::Mismatch(_) => "TRUST-SIGNATURE",
            Self::UnknownKey(_) | Self::DevelopmentKey(_) | Self::KeyExpired { .. } => "TRUST-KEY",
            Self::Size { .. } | Self::Release(_) | Self::Format { .. } | Self::Other { .. } => "TRUST-RELEASE",
            Self::Expired(_) => "TRUST-EXPIRED",
            Self::Older { .. } => "TRUST-OLDER",
            Self::Public(_) => "TRUST-PUBLIC",
            Self::Key(_) | Self::Password(_) | Self::Sign(_) => "TRUST-SECRET",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unsigned | Self::Legacy | Self::Form(_) => "sign it: teneral sign, or minisign -S -m X.so.release",
            Self::Size { .. } | Self::Release(_) => "write it with teneral sign",
            Self::UnknownKey(_) => "trust the key, if it is whose it should be",
            Self::DevelopmentKey(_) => "sign the release with a key of your own",
            Self::KeyExpired { .. } => "sign the release with a newer key",
            Self::Mismatch(_) => "sign these very bytes; a release file that was changed is signed anew",
            Self::Format { .. } => "run the newer teneral",
            Self::Expired(_) => "sign the release anew, if it may still be used",
            Self::Older { .. } => "allow an older version on purpose, if going back is meant",
            Self::Other { .. } => "sign a release file of this very artifact",
            Self::Public(_) => "name the FILE.pub that teneral key generate or minisign -G made, not the secret key",
            Self::Key(_) => "name the FILE.key that teneral key generate or minisign -G made",
            Self::Password(_) => "try the password again",
            Self::Sign(_) => "look at what the system says",
        }
    }
}
