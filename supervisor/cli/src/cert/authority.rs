//! The authority itself: what it signs, and for how long.
//!
//! Keys are ECDSA on P-256, which every TLS library takes. A certificate says what it may be used for, so that a host's
//! does not let anybody in as a supervisor, nor the reverse.

use super::read::{self, Certificate};
use super::{Made, NOTHING};
use crate::failure::Failure;
use crate::sign::{Expiry, on_file};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Longest name of an authority or of whom it signs, in bytes (X.520).
const NAME_BYTES_MAX: usize = 64;

/// Most names of one certificate.
const NAMES_MAX: usize = 64;

/// Clocks differ: a certificate holds from so long ago.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Letters of a line in PEM.
const LINE: usize = 64;

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Purpose {
    /// `teneral host`: it is connected to
    Host,
    /// `teneral serve`: it connects
    Supervisor,
}

/// From when until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    from: Timestamp,
    until: Timestamp,
}

impl Term {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    pub(super) const AUTHORITY: i32 = 3650;
    pub(super) const LEAF: i32 = 365;

    /// Until then, or for so many days.
    ///
    /// # Errors
    /// [`Failure`]: beyond the end of time.
    pub(super) fn of(expires: Option<&Expiry>, days: i32) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let usual = now.checked_add(Self::DAY * days);
        let until = expires.map_or(usual, |Expiry(until)| Ok(*until));
        let from = now.checked_sub(SKEW);
        match (from, until) {
            (Ok(from), Ok(until)) => Ok(Self { from, until }),
            (Err(error), _) | (_, Err(error)) => {
                Err(Failure::new("CERT-NAME", &error, NOTHING, "give an earlier --expires").usage())
            }
        }
    }
}

/// What somebody wants issued.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) purpose: Purpose,
    pub(super) names: &'a [String],
    pub(super) term: Term,
}

/// Why none is issued.
#[derive(Debug, thiserror::Error)]
enum IssueError {
    #[error("{name:?} is no name for a certificate: {why}")]
    Name { name: String, why: &'static str },
    #[error("a certificate has at most {NAMES_MAX} names")]
    Names,
    #[error("a supervisor has one name")]
    Supervisor,
    #[error("{path} is no key of {certificate}")]
    OtherKey { path: String, certificate: String },
    #[error("{0} is a certificate that may sign no other")]
    NoAuthority(String),
    #[error("{path} cannot be read as a key: {why}")]
    Key { path: String, why: String },
    #[error("the authority expires at {authority}, before what it is to sign, at {wanted}")]
    Outlives { authority: Timestamp, wanted: Timestamp },
    #[error("the certificate cannot be made")]
    Make(#[source] rcgen::Error),
}

impl IssueError {
    fn failure(&self) -> Failure {
        let (code, hint) = match self {
            Self::Name { .. } | Self::Names => {
                ("CERT-NAME", "name hosts as they are reached: module-1.example, or an address, 10.0.0.7")
            }
            Self::Supervisor => ("CERT-NAME", "name one; how it is reached does not matter"),
            Self::OtherKey { .. } | Self::NoAuthority(_) | Self::Key { .. } => {
                ("CERT-CA", "name the directory that teneral cert init made: --ca DIR")
            }
            Self::Outlives { .. } => {
                ("CERT-CA", "give an earlier --expires, or make another authority: teneral cert init")
            }
            Self::Make(_) => ("CERT-NAME", "look at its names"),
        };
        Failure::new(code, self, NOTHING, hint).usage()
    }
}

/// An authority that signs itself.
///
/// # Errors
/// [`Failure`]: its name is none.
pub(super) fn root(name: &str, term: Term) -> Result<Made, Failure> {
    called(name).map_err(|error| error.failure())?;
    let mut params = params(name, term);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let signed = KeyPair::generate().and_then(|key| Ok((params.self_signed(&key)?, key)));
    signed.map(|(certificate, key)| made(certificate.der(), &key)).map_err(|error| IssueError::Make(error).failure())
}

/// See the module.
#[derive(Debug)]
pub(super) struct Authority {
    certificate: CertificateDer<'static>,
    says: Certificate,
    key: KeyPair,
}

impl Authority {
    /// The authority of these files.
    ///
    /// # Errors
    /// [`Failure`]: they cannot be read, or are none of an authority.
    pub(super) fn read((certificate, key): (&Path, &Path)) -> Result<Self, Failure> {
        let whole = |path: &Path| {
            let read =
                fs::read_to_string(path).map_err(|source| on_file("read", path, source).standing(NOTHING.into()));
            read.map_err(|failure| failure.hinting("make an authority: teneral cert init; or name its directory: --ca"))
        };
        let text = whole(certificate)?;
        let says = read::all(&text, certificate)?.into_iter().next();
        let shown = certificate.display().to_string();
        let der = CertificateDer::from_pem_slice(text.as_bytes()).ok();
        let (Some(says), Some(der)) = (says.filter(|says| says.authority), der) else {
            return Err(IssueError::NoAuthority(shown).failure());
        };
        let path = key.display().to_string();
        let unread = |why: String| IssueError::Key { path: path.clone(), why }.failure();
        let pem = PrivateKeyDer::from_pem_slice(whole(key)?.as_bytes()).map_err(|error| unread(error.to_string()))?;
        let key = KeyPair::try_from(&pem).map_err(|error| unread(error.to_string()))?;
        if !read::has_key(&der, key.public_key_raw()) {
            return Err(IssueError::OtherKey { path, certificate: shown }.failure());
        }
        Ok(Self { certificate: der, says, key })
    }

    /// Issues a certificate with a key of its own.
    ///
    /// # Errors
    /// [`Failure`]: a name that is none, or a term beyond the authority's own.
    pub(super) fn issue(self, wanted: &Wanted<'_>) -> Result<Made, Failure> {
        self.signed(wanted).map_err(|error| error.failure())
    }

    fn signed(self, Wanted { purpose, names, term }: &Wanted<'_>) -> Result<Made, IssueError> {
        if names.len() > NAMES_MAX {
            return Err(IssueError::Names);
        }
        if *purpose == Purpose::Supervisor && names.len() != 1 {
            return Err(IssueError::Supervisor);
        }
        names.iter().try_for_each(|name| reached(name))?;
        if term.until > self.says.expires {
            return Err(IssueError::Outlives { authority: self.says.expires, wanted: term.until });
        }
        let first = names.first().ok_or(IssueError::Names)?;
        // Cut off: the names that count are the others.
        let mut params = params(first.get(..NAME_BYTES_MAX).unwrap_or(first), *term);
        params.subject_alt_names = CertificateParams::new(names.to_vec()).map_err(IssueError::Make)?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Purpose::Host => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Supervisor => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, self.key).map_err(IssueError::Make)?;
        let key = KeyPair::generate().map_err(IssueError::Make)?;
        let certificate = params.signed_by(&key, &issuer).map_err(IssueError::Make)?;
        Ok(made(certificate.der(), &key))
    }
}

fn params(name: &str, Term { from, until }: Term) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let at = |moment: Timestamp| {
        let since = u64::try_from(moment.as_second()).unwrap_or(0);
        date_time_ymd(1970, 1, 1) + Duration::from_secs(since)
    };
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

fn called(name: &str) -> Result<(), IssueError> {
    let wrong = |why| Err(IssueError::Name { name: name.to_owned(), why });
    match name.len() {
        1..=NAME_BYTES_MAX if name.chars().any(char::is_control) => wrong("it has a control character"),
        1..=NAME_BYTES_MAX => Ok(()),
        _ => wrong("a name has 1 to 64 bytes"),
    }
}

/// Whether a name is one by which a machine is reached.
fn reached(name: &str) -> Result<(), IssueError> {
    let wrong = |why| Err(IssueError::Name { name: name.to_owned(), why });
    if name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_letter) && !label.starts_with('-')
    };
    match name.len() {
        0..=253 if name.split('.').all(is_label) => Ok(()),
        0..=253 => wrong("it is neither a name of DNS nor an address"),
        _ => wrong("a name of DNS has at most 253 bytes"),
    }
}

fn made(certificate: &CertificateDer<'_>, key: &KeyPair) -> Made {
    Made { certificate: pem("CERTIFICATE", certificate), key: pem("PRIVATE KEY", key.serialized_der()) }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let letters = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in letters.as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
