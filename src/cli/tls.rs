//! TLS of the client: whom it trusts, what it shows, and what went wrong, in the words that CTS's users look for
//! (`reference/cts.md` 5.4).

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::client::ClientError;

/// Largest file that is read: the bundle of all public authorities has a quarter of a megabyte.
const FILE_MAX: u64 = 4 << 20;

/// Whom to trust and what to show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// A PEM file, or a directory of some; `None`: those of the system.
    pub(super) authorities: Option<PathBuf>,
    /// Certificate and key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    /// Whether the certificate of the agent is checked.
    pub(super) verify: bool,
}

/// Why two sides do not come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The agent speaks plain HTTP.
    OnlyWe,
    /// The agent speaks TLS, the address says `http`.
    OnlyThey,
    /// No authority that we trust vouches for the agent.
    Stranger,
    /// The agent wants to see a certificate.
    Unknown,
    /// It does not trust the one that it was shown.
    Refused,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnlyWe => {
                "the server gave HTTP response to HTTPS client\nwrite http:// in the address (-http-addr), or give the \
                 agent a `tls` block"
            }
            Self::OnlyThey => {
                "the client sent an HTTP request to an HTTPS server\nwrite https:// in the address (-http-addr)"
            }
            Self::Stranger => {
                "its certificate is signed by unknown authority\nname the authority with -ca-cert or -ca-path"
            }
            Self::Unknown => {
                "the agent refuses the connection: certificate required\nshow one with -client-cert and -client-key"
            }
            Self::Refused => "the agent does not trust the client's certificate: bad certificate",
        })
    }
}

/// What an answer that did not come says about TLS, if anything.
pub(super) fn trouble(error: &ureq::Error) -> Option<Trouble> {
    match cause(error)? {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Trouble::OnlyWe),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Some(Trouble::Stranger),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => Some(Trouble::Unknown),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError => Some(Trouble::Refused),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a plain request may have failed because the server speaks TLS: it closes, or answers what is no HTTP.
pub(super) fn may_be_one_sided(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Protocol(_) => true,
        ureq::Error::Io(io) => matches!(
            io.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::UnexpectedEof
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
        ),
        _ => false,
    }
}

fn cause(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(cause) => Some(cause),
        ureq::Error::Io(io) => io.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Reads what is trusted and shown.
pub(super) fn config(trust: &Trust) -> Result<TlsConfig, ClientError> {
    let roots = match &trust.authorities {
        Some(path) => RootCerts::new_with_certs(&authorities(path).map_err(ClientError::Setting)?),
        None => RootCerts::PlatformVerifier,
    };
    let identity = trust.identity.as_ref().map(|(cert, key)| identity(cert, key)).transpose();
    Ok(base()
        .root_certs(roots)
        .client_cert(identity.map_err(ClientError::Setting)?)
        .disable_verification(!trust.verify)
        .build())
}

/// Trusts anybody: only to find out whether somebody speaks TLS.
pub(super) fn anybody() -> TlsConfig {
    base().disable_verification(true).build()
}

fn base() -> ureq::tls::TlsConfigBuilder {
    // The same provider as the agent's; without it the library would look for one of the process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    TlsConfig::builder().unversioned_rustls_crypto_provider(provider)
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let files = if fs::metadata(path).map_err(wrong)?.is_dir() {
        let entries: Result<Vec<_>, _> = fs::read_dir(path).map_err(wrong)?.collect();
        let paths = entries.map_err(wrong)?.into_iter().map(|entry| entry.path());
        paths.filter(|path| path.is_file()).collect()
    } else {
        vec![path.to_owned()]
    };
    let mut all = Vec::new();
    for file in files {
        all.extend(certificates(&file)?);
    }
    if all.is_empty() { Err(format!("{}: there is no certificate in PEM form in it", path.display())) } else { Ok(all) }
}

fn identity(cert: &Path, key: &Path) -> Result<ClientCert, String> {
    let chain = certificates(cert)?;
    if chain.is_empty() {
        return Err(format!("{}: there is no certificate in PEM form in it", cert.display()));
    }
    let key = PrivateKey::from_pem(&read(key)?)
        .map_err(|_| format!("{}: there is no private key in PEM form in it, or one with a password", key.display()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// Those of a file; what else is in it is passed over.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let text = read(path)?;
    let items: Result<Vec<_>, _> = parse_pem(&text).collect();
    let items = items.map_err(|error| format!("{}: {error}", path.display()))?;
    let certificate = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    Ok(items.into_iter().filter_map(certificate).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = Vec::new();
    fs::File::open(path).map_err(wrong)?.take(FILE_MAX).read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}
