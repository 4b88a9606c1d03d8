//! Why a certificate was not believed, in words that name what is wrong with it.

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// What is wrong with the certificate that the other side showed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// It is over, or does not hold yet.
    #[error("{0}")]
    Time(String),
    /// Another authority signed it.
    #[error("it is signed by an authority that is not believed here")]
    Authority,
    /// It is for other names.
    #[error("it is for {}, and not for this name", if .0.is_empty() { "no name" } else { .0 })]
    Name(String),
    /// It is not for this.
    #[error("it may not be used for this: {0}")]
    Use(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl CertificateFault {
    /// Its stable code; `teneral explain CODE` says more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Time(_) => "MOD-CERT-EXPIRED",
            Self::Authority => "MOD-CERT-CA",
            Self::Name(_) => "MOD-CERT-NAME",
            Self::Use(_) => "MOD-CERT-USE",
            Self::Other(_) => "MOD-TLS",
        }
    }
}

/// What a broken handshake says of the other side's certificate, if it is about that.
pub(crate) fn fault(error: &Error) -> Option<CertificateFault> {
    use CertificateError as E;
    let wrong = match error {
        Error::InvalidCertificate(wrong) => wrong,
        Error::NoCertificatesPresented => return Some(CertificateFault::Other("none was shown".to_owned())),
        _ => return None,
    };
    Some(match wrong {
        E::ExpiredContext { not_after, .. } => CertificateFault::Time(format!("it expired at {}", moment(*not_after))),
        E::NotValidYetContext { not_before, .. } => {
            CertificateFault::Time(format!("it does not hold before {}", moment(*not_before)))
        }
        E::Expired | E::NotValidYet => CertificateFault::Time(wrong.to_string()),
        // Signed by a key that bears the authority's name: another one all the same.
        E::UnknownIssuer | E::BadSignature => CertificateFault::Authority,
        E::NotValidForNameContext { presented, .. } => CertificateFault::Name(presented.join(", ")),
        E::NotValidForName => CertificateFault::Name(String::new()),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => CertificateFault::Use(wrong.to_string()),
        wrong => CertificateFault::Other(wrong.to_string()),
    })
}

/// What the other side says of the certificate that it was shown, if that is why it hung up.
pub(crate) fn told(error: &Error) -> Option<String> {
    use AlertDescription as A;
    let Error::AlertReceived(alert) = error else { return None };
    let says = match alert {
        A::CertificateExpired => "it is over, or does not hold yet",
        A::UnknownCA | A::DecryptError => "it is signed by an authority that is not believed there",
        A::CertificateRequired => "there is none",
        A::UnsupportedCertificate => "it is none for a supervisor",
        A::BadCertificate | A::CertificateUnknown | A::CertificateRevoked | A::AccessDenied => "it is not accepted",
        _ => return None,
    };
    Some(says.to_owned())
}

/// The cause of TLS in an error of a stream.
pub(crate) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

fn moment(at: UnixTime) -> String {
    let at = i64::try_from(at.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "a time that there is not".to_owned(), |at| at.to_string())
}
