//! Which certificates the HTTP client takes, and why it did not take one.
//!
//! The machine's CAs count, and with them those of one file of the operator's: a service inside a company often speaks
//! to servers whose certificates no public CA has signed. An actor is told why a connection was refused in words that
//! name what is wrong, since "the handshake failed" sends people to the wrong end of the wire.

use crate::host::NotNative;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The CAs that are trusted besides the machine's.
#[derive(Debug)]
pub(crate) struct Roots(Vec<CertificateDer<'static>>);

impl Roots {
    /// What a file of PEM has; nothing without one.
    ///
    /// # Errors
    /// [`NotNative::CaFile`]: it cannot be read, has no certificate, or one that is none.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self, NotNative> {
        let Some(path) = file else { return Ok(Self(Vec::new())) };
        let refused = |why: String| NotNative::CaFile { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let read = read.map_err(|error| refused(format!("it is no PEM: {error}")))?;
        if read.is_empty() {
            return Err(refused("no certificate is in it, as PEM".to_owned()));
        }
        // Looked at now: a CA that is none would else be found by the first actor that needs it.
        let mut store = RootCertStore::empty();
        for (number, certificate) in read.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|error| refused(format!("certificate {} is none: {error}", number + 1)))?;
        }
        Ok(Self(read))
    }

    /// How the client speaks TLS. Reads the machine's certificates.
    ///
    /// # Errors
    /// Why there is nothing to trust.
    pub(crate) fn client(&self) -> Result<ClientConfig, String> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        store.add_parsable_certificates(self.0.iter().cloned());
        if store.is_empty() {
            return Err(found.errors.first().map_or_else(|| "none was found".to_owned(), ToString::to_string));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let client = client.map_err(|error| error.to_string())?;
        Ok(client.with_root_certificates(store).with_no_client_auth())
    }
}

/// Why a connection to that host came to nothing, if it was for its TLS.
pub(crate) fn why(error: &(dyn Error + 'static), host: &str) -> Option<String> {
    use CertificateError as E;
    let found = of(error)?;
    let rustls::Error::InvalidCertificate(wrong) = found else {
        return Some(match found {
            rustls::Error::InvalidMessage(_) => format!("{host} does not speak TLS at this port: {found}"),
            _ => format!("no TLS connection to {host}: {found}"),
        });
    };
    Some(match wrong {
        E::UnknownIssuer => format!(
            "the certificate of {host} is signed by a CA that this host does not trust; one of your own is named by \
             http_client.ca_file in teneral.toml"
        ),
        E::BadSignature => format!("the certificate of {host} is not signed by the CA that it names"),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("the certificate of {host} is for another name: {wrong}")
        }
        E::Expired | E::ExpiredContext { .. } => format!("the certificate of {host} has expired: {wrong}"),
        E::NotValidYet | E::NotValidYetContext { .. } => format!("the certificate of {host} is not valid yet: {wrong}"),
        _ => format!("the certificate of {host} is not accepted: {wrong}"),
    })
}

/// What TLS itself says, beneath whoever passed it on. An [`io::Error`] hides what it was made of from `source`.
fn of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => of(inner),
        None => of(error.source()?),
    }
}
