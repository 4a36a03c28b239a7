//! TLS of everything that speaks it, on both sides: whom we trust, what we show, and what went wrong in words.
//!
//! A certificate is trusted because an authority vouches for it (`webpki` checks that), or because the user trusts it by
//! itself: it is, byte for byte, one of the configured certificates. Go and OpenSSL take such a certificate even when it
//! says `CA:TRUE`, which is what `openssl req -x509` makes. Its name, times and key usage are checked all the same
//! (`alone`).
//!
//! # Not here
//!
//! Revocation, certificates of servers that are renewed while they are used (`http/tls.rs`).

mod alone;
mod files;
mod names;
mod probe;
mod verify;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore};

pub use self::files::{FILE_MAX, FileError, certificates, private_key};
pub use self::names::{names, not_after};
pub use self::probe::Probe;
pub use self::words::{Trouble, causes, explain, trouble};

/// Who vouches for the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// One PEM file.
    File(PathBuf),
    /// A directory of such files, not searched further down.
    Directory(PathBuf),
}

/// A client's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whether the server's certificate is checked at all.
    pub verify: bool,
    /// `None`: those of the system.
    pub authorities: Option<Authorities>,
    /// Certificate and key to show, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Default for Client {
    fn default() -> Self {
        Self { verify: true, authorities: None, identity: None }
    }
}

impl Client {
    /// Reads all files.
    pub fn config(&self) -> Result<ClientConfig, FileError> {
        let provider = provider();
        let wrong = |path: &PathBuf, error: rustls::Error| FileError::new("cert", path, error.to_string());
        let verifier = match (&self.authorities, self.verify) {
            (_, false) => verify::Servers::any(&provider),
            (None, true) => verify::Servers::of_system(&provider),
            (Some(authorities), true) => verify::Servers::of(authorities.read()?, &provider)
                .map_err(|error| FileError::new(authorities.key(), authorities.path(), error.to_string()))?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| FileError::new("cert", &PathBuf::new(), error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates("cert", cert)?;
                if chain.is_empty() {
                    return Err(FileError::new("cert", cert, "there is no certificate in PEM form in it".to_owned()));
                }
                builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| wrong(cert, error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Authorities {
    /// Checks clients of a server: who shows no certificate of these is refused.
    pub fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
        let verifier = verify::Clients::of(self.read()?, &provider());
        verifier
            .map(|verifier| Arc::new(verifier) as Arc<dyn ClientCertVerifier>)
            .map_err(|error| FileError::new(self.key(), self.path(), error.to_string()))
    }

    /// What it is called in a configuration.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "ca_cert",
            Self::Directory(_) => "ca_path",
        }
    }

    fn path(&self) -> &PathBuf {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }

    fn read(&self) -> Result<verify::Trusted, FileError> {
        let mut trusted = verify::Trusted { roots: RootCertStore::empty(), exact: std::collections::BTreeSet::new() };
        for file in files::of(self)? {
            for certificate in certificates(self.key(), &file)? {
                let added = trusted.add(certificate);
                added.map_err(|error| FileError::new(self.key(), &file, error.to_string()))?;
            }
        }
        if trusted.exact.is_empty() {
            let why = "there is no certificate in PEM form in it".to_owned();
            return Err(FileError::new(self.key(), self.path(), why));
        }
        Ok(trusted)
    }
}

/// The cryptography of every connection.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
