//! TLS of the API: certificate, key and authorities read from PEM files, checked against each other, and made into what
//! the listener takes (`reference/cts.md` 2.5).
//!
//! The same [`Tls::load`] serves `quorate config check` and the start, so that a check that passes is a start that works.
//!
//! A renewed certificate is shown to whoever connects next; authorities and the settings themselves need a restart.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::runtime::handle::MetricsText;
pub use crate::tls::Authorities;
use crate::tls::{FileError, certificates, not_after, private_key, provider};

/// The `tls` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the certificate of the API, then those that vouch for it.
    pub cert: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// `verify_incoming`: clients must show a certificate of one of these.
    pub clients: Option<Authorities>,
}

/// Why there is no TLS. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Both are good and do not belong together.
    #[error("the key in {} does not belong to the certificate in {}", .key.display(), .cert.display())]
    Pair {
        /// Of the certificate.
        cert: PathBuf,
        /// Of the key.
        key: PathBuf,
    },
}

impl TlsError {
    /// Which key of the block it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(file) => file.key,
            Self::Pair { .. } => "key",
        }
    }
}

impl Tls {
    /// Reads and checks all files.
    pub fn load(&self) -> Result<ServerConfig, TlsError> {
        self.load_for(None)
    }

    /// The same; the metrics are told when the certificate that is shown ends.
    pub(super) fn load_for(&self, metrics: Option<Arc<dyn MetricsText>>) -> Result<ServerConfig, TlsError> {
        let provider = provider();
        let served = Served::new(self.clone(), Arc::clone(&provider), metrics)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("cert", &self.cert, &error))?;
        let builder = match &self.clients {
            Some(authorities) => builder.with_client_cert_verifier(authorities.client_verifier()?),
            None => builder.with_no_client_auth(),
        };
        Ok(builder.with_cert_resolver(Arc::new(served)))
    }

    /// Certificate and key, which belong together.
    fn pair(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = certificates("cert", &self.cert)?;
        if chain.is_empty() {
            return Err(wrong("cert", &self.cert, &"there is no certificate in PEM form in it"));
        }
        let key = private_key(&self.key)?;
        // Told apart here: what follows says no only once, for both.
        let usable = |key: &PrivateKeyDer<'_>| provider.key_provider.load_private_key(key.clone_key());
        usable(&key).map_err(|error| wrong("key", &self.key, &error))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Pair { cert: self.cert.clone(), key: self.key.clone() },
            error => wrong("cert", &self.cert, &error),
        })
    }

    /// What changes when one of the two files is replaced or written again.
    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            fs::metadata(path).map(|meta| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())).ok()
        };
        (of(&self.cert), of(&self.key))
    }
}

fn wrong(key: &'static str, path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File(FileError { key, path: path.to_owned(), why: why.to_string() })
}

/// Inode, size and time of both files; `None` when there is none.
type Stamp = (Option<(u64, u64, i64, i64)>, Option<(u64, u64, i64, i64)>);

/// The pair that clients are shown. Each handshake looks whether the files are others by now, so that a renewed certificate
/// needs no restart; a pair that does not fit (one of the two is still the old one) changes nothing.
#[derive(Debug)]
struct Served {
    tls: Tls,
    provider: Arc<CryptoProvider>,
    current: Mutex<(Stamp, Arc<CertifiedKey>)>,
    metrics: Option<Arc<dyn MetricsText>>,
}

impl Served {
    fn new(tls: Tls, provider: Arc<CryptoProvider>, metrics: Option<Arc<dyn MetricsText>>) -> Result<Self, TlsError> {
        let (stamp, pair) = (tls.stamp(), Arc::new(tls.pair(&provider)?));
        let served = Self { tls, provider, current: Mutex::new((stamp, Arc::clone(&pair))), metrics };
        served.tell_end(&pair);
        Ok(served)
    }

    fn tell_end(&self, pair: &CertifiedKey) {
        let ends = pair.cert.first().and_then(|certificate| not_after(certificate));
        if let (Some(metrics), Some(ends)) = (&self.metrics, ends) {
            metrics.api_certificate(ends);
        }
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whoever panicked with the lock left a whole pair behind.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.tls.stamp();
        if current.0 != stamp {
            // Also when it does not fit: one warning for each change is enough.
            current.0 = stamp;
            match self.tls.pair(&self.provider) {
                Ok(pair) => {
                    self.tell_end(&pair);
                    current.1 = Arc::new(pair);
                    tracing::info!(cert = %self.tls.cert.display(), "the API has a new certificate");
                }
                Err(error) => tracing::warn!("the API keeps its old certificate: {error}"),
            }
        }
        Some(Arc::clone(&current.1))
    }
}
