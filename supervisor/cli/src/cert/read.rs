//! What certificates say.

use super::NOTHING;
use crate::failure::Failure;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use teneral::digest_of;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// A certificate, for people.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Certificate {
    /// Whose it is.
    subject: String,
    /// Who signed it.
    issuer: String,
    /// By which names and addresses it is reached.
    names: Vec<String>,
    /// What it may be used for.
    uses: Vec<&'static str>,
    /// Whether it may sign others.
    pub(super) authority: bool,
    begins: Timestamp,
    pub(super) expires: Timestamp,
    /// Of all of it, as other tools print it: SHA-256.
    sha256: String,
}

impl Certificate {
    pub(super) fn is_over(&self) -> bool {
        self.expires <= Timestamp::now()
    }

    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let uses = if self.authority { "signs others".to_owned() } else { or_dash(self.uses.join(", ")) };
        let over = if self.is_over() { ", which is over" } else { "" };
        let rows = [
            ("subject", self.subject.clone()),
            ("issuer", self.issuer.clone()),
            ("names", or_dash(self.names.join(", "))),
            ("use", uses),
            ("begins", self.begins.to_string()),
            ("expires", format!("{}{over}", self.expires)),
            ("sha256", self.sha256.clone()),
        ];
        rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
    }
}

/// Why a file has no certificate that can be read.
#[derive(Debug, thiserror::Error)]
#[error("{file} has no certificate that can be read: {why}")]
struct Unread {
    file: String,
    why: String,
}

/// All certificates of a text in PEM: at least one.
///
/// # Errors
/// [`Failure`]: there is none, or one cannot be read.
pub(super) fn all(text: &str, path: &Path) -> Result<Vec<Certificate>, Failure> {
    let unread = |why: String| {
        let error = Unread { file: path.display().to_string(), why };
        let hint = "name a file in PEM: it begins with -----BEGIN CERTIFICATE-----";
        Failure::new("CERT-READ", &error, NOTHING, hint).usage()
    };
    let mut read = Vec::new();
    for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let der = der.map_err(|error| unread(error.to_string()))?;
        read.push(one(&der).map_err(&unread)?);
    }
    if read.is_empty() { Err(unread("it is not there".to_owned())) } else { Ok(read) }
}

fn one(der: &[u8]) -> Result<Certificate, String> {
    let (rest, read) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes stand behind it", rest.len()));
    }
    let moment = |seconds: i64| Timestamp::from_second(seconds).map_err(|error| error.to_string());
    let validity = read.validity();
    let mut uses = Vec::new();
    if let Ok(Some(extended)) = read.extended_key_usage() {
        let known = [(extended.value.server_auth, "host"), (extended.value.client_auth, "supervisor")];
        uses.extend(known.into_iter().filter_map(|(is, name)| is.then_some(name)));
    }
    let names = read.subject_alternative_name().ok().flatten();
    Ok(Certificate {
        subject: common(read.subject()),
        issuer: common(read.issuer()),
        names: names.map(|names| names.value.general_names.iter().filter_map(name).collect()).unwrap_or_default(),
        uses,
        authority: read.is_ca(),
        begins: moment(validity.not_before.timestamp())?,
        expires: moment(validity.not_after.timestamp())?,
        sha256: digest_of(der).to_string(),
    })
}

/// Its common name, or all of it where there is none.
fn common(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn name(found: &GeneralName<'_>) -> Option<String> {
    match found {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
            let sixteen = <[u8; 16]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
            four.or(sixteen).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Whether a certificate has that public key.
pub(super) fn has_key(der: &[u8], public: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, read)| &*read.public_key().subject_public_key.data == public)
}
