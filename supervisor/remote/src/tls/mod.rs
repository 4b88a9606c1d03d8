//! Mutual TLS between a supervisor and the hosts of its modules: who shows what, whom each believes, and why not.
//!
//! TLS 1.3 alone, HTTP/2 alone. Files are read for each connection, so that a certificate that is renewed needs no
//! restart. tokio-rustls and not tonic's own TLS: that hides which certificate was wrong, and how, behind a transport
//! error, and a refusal that does not say why is a day of somebody's life.

mod stream;
mod why;

pub(crate) use stream::{Dialled, Noticed, dial, tune};
pub use why::CertificateFault;
pub(crate) use why::{fault, told};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest file of certificates or of a key, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is spoken inside.
const ALPN: &[u8] = b"h2";

/// What one side shows, and whom it believes: files, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The authorities whose certificates are believed.
    pub ca: PathBuf,
    /// Its own certificate, and after it those between it and its authority, if there are any.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
}

/// How a connection whose other end is silently gone is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pings {
    /// After so long without a word the other side is pinged.
    pub every: Duration,
    /// Without an answer for so long it is gone.
    pub timeout: Duration,
}

impl Pings {
    /// Every 5 s, and gone after 5 s more.
    #[must_use]
    pub const fn standard() -> Self {
        Self { every: Duration::from_secs(5), timeout: Duration::from_secs(5) }
    }
}

/// A file of an [`Identity`] that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used as {what}: {why}", path.display())]
pub struct IdentityError {
    /// What it is for.
    pub what: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl IdentityError {
    /// Its stable code; `teneral explain CODE` says more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "MOD-TLS-FILE"
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "teneral cert init and teneral cert issue make all three; teneral cert show FILE says what one is"
    }
}

impl Identity {
    /// Looks whether all three can be used together, now.
    ///
    /// # Errors
    /// [`IdentityError`]: which cannot, and why.
    pub fn check(&self) -> Result<(), IdentityError> {
        self.client().map(drop)
    }

    /// How a supervisor connects.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, IdentityError> {
        let (roots, chain, key) = (self.roots()?, self.chain()?, self.key()?);
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| self.wrong(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| self.wrong(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Each connection proves anew who it is: what was refused meanwhile does not come in by a ticket.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// How a host is connected to: by nobody who shows no certificate of its authority.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let (roots, chain, key) = (self.roots()?, self.chain()?, self.key()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(|error| wrong("the authorities", &self.ca, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| self.wrong(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| self.wrong(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn wrong(&self, error: &dyn std::error::Error) -> IdentityError {
        wrong("this machine's certificate and key", &self.certificate, error)
    }

    fn roots(&self) -> Result<RootCertStore, IdentityError> {
        const WHAT: &str = "the authorities";
        let mut roots = RootCertStore::empty();
        for certificate in certificates(WHAT, &self.ca)? {
            roots.add(certificate).map_err(|error| wrong(WHAT, &self.ca, &error))?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        certificates("this machine's certificate", &self.certificate)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        const WHAT: &str = "this machine's key";
        let text = whole(WHAT, &self.key)?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| wrong(WHAT, &self.key, &error))
    }
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = whole(what, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.map_err(|error| wrong(what, path, &error))?;
    if read.is_empty() {
        let why = "no certificate is in it, as PEM".to_owned();
        return Err(IdentityError { what, path: path.to_owned(), why });
    }
    Ok(read)
}

fn whole(what: &'static str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    let file = std::fs::metadata(path).map_err(|error| wrong(what, path, &error))?;
    if !file.is_file() || file.len() > FILE_BYTES_MAX {
        let why = format!("it is no file of at most {FILE_BYTES_MAX} bytes");
        return Err(IdentityError { what, path: path.to_owned(), why });
    }
    std::fs::read(path).map_err(|error| wrong(what, path, &error))
}

fn wrong(what: &'static str, path: &Path, error: &dyn std::error::Error) -> IdentityError {
    IdentityError { what, path: path.to_owned(), why: error.to_string() }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
