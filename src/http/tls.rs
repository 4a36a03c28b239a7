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

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

/// Largest file that is read: the bundle of all public authorities has a quarter of a megabyte.
const FILE_MAX: u64 = 4 << 20;

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

/// Who vouches for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// `ca_cert`: one PEM file.
    File(PathBuf),
    /// `ca_path`: a directory of such files, not searched further down.
    Directory(PathBuf),
}

/// Why there is no TLS. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or directory cannot be used.
    #[error("`{key}` {}: {why}", .path.display())]
    File {
        /// Of the configuration.
        key: &'static str,
        /// As configured, absolute.
        path: PathBuf,
        /// In words.
        why: String,
    },
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
            Self::File { key, .. } => key,
            Self::Pair { .. } => "key",
        }
    }
}

impl Tls {
    /// Reads and checks all files.
    pub fn load(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let wrong = |key, path: &Path, why: String| TlsError::File { key, path: path.to_owned(), why };
        let served = Served::new(self.clone(), Arc::clone(&provider))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("cert", &self.cert, error.to_string()))?;
        let builder = match &self.clients {
            Some(authorities) => builder.with_client_cert_verifier(authorities.verifier(&provider)?),
            None => builder.with_no_client_auth(),
        };
        Ok(builder.with_cert_resolver(Arc::new(served)))
    }

    /// Certificate and key, which belong together.
    fn pair(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let wrong = |key, path: &Path, why: String| TlsError::File { key, path: path.to_owned(), why };
        let chain = certificates("cert", &self.cert)?;
        if chain.is_empty() {
            return Err(wrong("cert", &self.cert, "there is no certificate in PEM form in it".to_owned()));
        }
        let key = private_key(&self.key)?;
        // Told apart here: what follows says no only once, for both.
        let usable = |key: &PrivateKeyDer<'_>| provider.key_provider.load_private_key(key.clone_key());
        usable(&key).map_err(|error| wrong("key", &self.key, error.to_string()))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Pair { cert: self.cert.clone(), key: self.key.clone() },
            error => wrong("cert", &self.cert, error.to_string()),
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

/// Inode, size and time of both files; `None` when there is none.
type Stamp = (Option<(u64, u64, i64, i64)>, Option<(u64, u64, i64, i64)>);

/// The pair that clients are shown. Each handshake looks whether the files are others by now, so that a renewed certificate
/// needs no restart; a pair that does not fit (one of the two is still the old one) changes nothing.
#[derive(Debug)]
struct Served {
    tls: Tls,
    provider: Arc<CryptoProvider>,
    current: Mutex<(Stamp, Arc<CertifiedKey>)>,
}

impl Served {
    fn new(tls: Tls, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let current = (tls.stamp(), Arc::new(tls.pair(&provider)?));
        Ok(Self { tls, provider, current: Mutex::new(current) })
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
                    current.1 = Arc::new(pair);
                    tracing::info!(cert = %self.tls.cert.display(), "the API has a new certificate");
                }
                Err(error) => tracing::warn!("the API keeps its old certificate: {error}"),
            }
        }
        Some(Arc::clone(&current.1))
    }
}

impl Authorities {
    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (key, path) = match self {
            Self::File(path) => ("ca_cert", path),
            Self::Directory(path) => ("ca_path", path),
        };
        let wrong = |path: &Path, why: String| TlsError::File { key, path: path.to_owned(), why };
        let files = match self {
            Self::File(path) => vec![path.clone()],
            Self::Directory(path) => files_of(path).map_err(|error| wrong(path, error.to_string()))?,
        };
        let mut roots = RootCertStore::empty();
        for file in files {
            for certificate in certificates(key, &file)? {
                roots.add(certificate).map_err(|error| wrong(&file, error.to_string()))?;
            }
        }
        if roots.is_empty() {
            return Err(wrong(path, "there is no certificate in PEM form in it".to_owned()));
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| wrong(path, error.to_string()))
    }
}

/// In order of their names.
fn files_of(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths: Result<Vec<_>, _> = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files: Vec<PathBuf> = paths?.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, path)?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|error| TlsError::File {
        key,
        path: path.to_owned(),
        why: error.to_string(),
    })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let sealed = text.windows(9).any(|word| word == b"ENCRYPTED");
        let why = match error {
            _ if sealed => "the key needs a passphrase; store it without one, readable to the agent only".to_owned(),
            rustls::pki_types::pem::Error::NoItemsFound => "there is no private key in PEM form in it".to_owned(),
            error => error.to_string(),
        };
        TlsError::File { key: "key", path: path.to_owned(), why }
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |why: String| TlsError::File { key, path: path.to_owned(), why };
    let meta = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !meta.is_file() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    if meta.len() > FILE_MAX {
        return Err(wrong(format!("it is larger than {} MiB", FILE_MAX >> 20)));
    }
    fs::read(path).map_err(|error| wrong(error.to_string()))
}
