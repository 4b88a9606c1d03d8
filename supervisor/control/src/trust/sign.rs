//! Signing: what authors do, on their own machines. A host never needs it.

use super::error::TrustError;
use super::key::PublicKey;
use minisign::{KeyPair, SecretKeyBox};
use std::io::Cursor;

/// A release file with its signature, as they lie beside an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `X.so.release`, byte by byte.
    pub release: Vec<u8>,
    /// `X.so.release.minisig`; empty: there is none.
    pub signature: String,
}

/// A secret key.
pub struct SecretKey {
    secret: minisign::SecretKey,
    public: minisign::PublicKey,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A new key, as its two files.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The secret key's file, in minisign's format.
    pub secret: String,
    /// The public key's.
    pub public: String,
}

impl SecretKey {
    /// A new key; without a password whoever reads its file can sign.
    ///
    /// # Errors
    /// [`TrustError::Sign`].
    pub fn generate(password: Option<&str>) -> Result<(Self, NewKey), TrustError> {
        let made = match password {
            Some(password) => KeyPair::generate_encrypted_keypair(Some(password.to_owned())),
            None => KeyPair::generate_unencrypted_keypair(),
        };
        let KeyPair { pk, sk } = made.map_err(|error| TrustError::Sign(error.to_string()))?;
        let text =
            |result: Result<String, minisign::PError>| result.map_err(|error| TrustError::Sign(error.to_string()));
        let secret = text(sk.to_box(Some("teneral secret key")).map(|file| file.into_string()))?;
        let public = text(pk.to_box().map(|file| file.into_string()))?;
        // Encrypted, it is of no use until it is opened again.
        let key = match password {
            Some(_) => Self::open(&secret, password)?,
            None => Self { secret: sk, public: pk },
        };
        Ok((key, NewKey { secret, public }))
    }

    /// A secret key from its file.
    ///
    /// # Errors
    /// [`TrustError::Key`] when it is no key, [`TrustError::Password`] when the password does not open it.
    pub fn open(file: &str, password: Option<&str>) -> Result<Self, TrustError> {
        let bytes = bytes_of(file)?;
        let unread = |error: minisign::PError| TrustError::Key(error.to_string());
        let secret = match (is_encrypted(&bytes), password) {
            // Taken as it is: minisign's own tool leaves the checksum of such a key empty.
            (false, _) => minisign::SecretKey::from_bytes(&bytes).map_err(unread)?,
            (true, None) => return Err(TrustError::Password("it wants a password".to_owned())),
            (true, Some(password)) => {
                let file = SecretKeyBox::from_string(file).map_err(unread)?;
                let opened = file.into_secret_key(Some(password.to_owned()));
                opened.map_err(|error| TrustError::Password(error.to_string()))?
            }
        };
        let public = minisign::PublicKey::from_secret_key(&secret);
        let public = public.map_err(|error| TrustError::Key(error.to_string()))?;
        Ok(Self { secret, public })
    }

    /// Whether a secret key's file wants a password.
    ///
    /// # Errors
    /// [`TrustError::Key`] when it is no key.
    pub fn wants_password(file: &str) -> Result<bool, TrustError> {
        Ok(is_encrypted(&bytes_of(file)?))
    }

    /// Its public half.
    ///
    /// # Errors
    /// [`TrustError::Public`], which no key made by minisign is known to cause.
    pub fn public(&self) -> Result<PublicKey, TrustError> {
        PublicKey::parse(&self.public.to_base64())
    }

    /// Signs a release file. `comment` is signed as well, and for people.
    ///
    /// # Errors
    /// [`TrustError::Sign`].
    pub fn sign(&self, release: Vec<u8>, comment: &str) -> Result<Signed, TrustError> {
        let signed = minisign::sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(&release),
            Some(comment),
            Some("signature of a teneral release"),
        );
        let signature = signed.map_err(|error| TrustError::Sign(error.to_string()))?.into_string();
        Ok(Signed { release, signature })
    }
}

/// A secret key's file: a comment, and a line of base64 that begins with the algorithm.
fn bytes_of(file: &str) -> Result<Vec<u8>, TrustError> {
    let bytes = file.lines().nth(1).and_then(|line| super::key::decoded(line.trim()));
    let bytes = bytes.filter(|bytes| bytes.starts_with(b"Ed") && bytes.len() == SECRET_BYTES);
    bytes.ok_or_else(|| TrustError::Key("it is no secret key of minisign's".to_owned()))
}

/// Algorithm, key derivation and checksum by two bytes each, salt 32, two limits of 8, id 8, key 64, checksum 32.
const SECRET_BYTES: usize = 158;

/// Without a password no key is derived.
fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.get(2..4) != Some(&[0, 0])
}
