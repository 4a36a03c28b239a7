//! Why two sides do not come together, in the words that CTS's users look for (`reference/cts.md` 5.4).

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Why two sides do not come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The server speaks plain HTTP.
    OnlyWe,
    /// The server speaks TLS, we did not.
    OnlyThey,
    /// No authority that we trust vouches for the server.
    Stranger,
    /// Its certificate is not made for a server.
    Purpose,
    /// The server wants to see a certificate.
    Unknown,
    /// It does not trust the one that it was shown.
    Refused,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyWe => "the server gave HTTP response to HTTPS client",
            Self::OnlyThey => "the client sent an HTTP request to an HTTPS server",
            Self::Stranger => "certificate signed by unknown authority",
            Self::Purpose => "the certificate of the server is not made for a server (its key usage)",
            Self::Unknown => "the server refuses the connection: certificate required",
            Self::Refused => "the server does not trust the client's certificate: bad certificate",
        })
    }
}

/// What an error says about TLS, if anything. `shown`: the server was shown a certificate.
pub fn trouble(error: &(dyn Error + 'static), shown: bool) -> Option<Trouble> {
    match cause(error)? {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Trouble::OnlyWe),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(Trouble::Stranger),
        rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => Some(Trouble::Purpose),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Some(Trouble::Unknown),
            // Older servers have no word of their own for it.
            AlertDescription::BadCertificate | AlertDescription::HandshakeFailure if !shown => Some(Trouble::Unknown),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError => Some(Trouble::Refused),
            _ => None,
        },
        _ => None,
    }
}

/// An error of TLS in words; `None`: it is another one, or has good words already.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    trouble(error, true).map(|trouble| trouble.to_string())
}

/// An error with all that caused it, without the error itself: a client's own text has the address that was asked, and a
/// path may tell more than it should.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    if let Some(words) = explain(error) {
        return words;
    }
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let gap = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{gap}{error}");
        cause = error.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}

/// The error of TLS within an error, however deep.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error hides what it was made of from `source`.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            return self::cause(inner);
        }
        next = error.source();
    }
    None
}
