//! A certificate that nobody has to vouch for, because the user trusts it by itself: what is checked of it.

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What the certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

/// Its times and its key usage. Whether it may sign others does not matter here, so `CA:TRUE` is no obstacle.
pub(super) fn check(certificate: &CertificateDer<'_>, purpose: Purpose, now: UnixTime) -> Result<(), Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, certificate) = X509Certificate::from_der(certificate.as_ref()).map_err(bad)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < certificate.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > certificate.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    // Absent means: for everything. A key that is given uses must have one that a handshake needs (as OpenSSL has it).
    let usage = certificate.key_usage().map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let usable = usage.is_none_or(|it| match purpose {
        Purpose::Server => it.value.digital_signature() || it.value.key_encipherment() || it.value.key_agreement(),
        Purpose::Client => it.value.digital_signature() || it.value.key_agreement(),
    });
    let extended = certificate.extended_key_usage().map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let meant = extended.is_none_or(|it| match purpose {
        Purpose::Server => it.value.any || it.value.server_auth,
        Purpose::Client => it.value.any || it.value.client_auth,
    });
    if usable && meant { Ok(()) } else { Err(CertificateError::InvalidPurpose.into()) }
}

/// Whether its issuer is of its own name.
pub(super) fn vouches_for_itself(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate.as_ref())
        .is_ok_and(|(_, certificate)| certificate.issuer().as_raw() == certificate.subject().as_raw())
}
