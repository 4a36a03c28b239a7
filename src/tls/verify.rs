//! The checks of both sides: `webpki`'s, and before it that of a certificate which is trusted by itself.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::alone::{self, Purpose};

/// Authorities, and each of their certificates as it is.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) roots: RootCertStore,
    /// BLAKE3 of their bytes.
    pub(super) exact: BTreeSet<[u8; 32]>,
}

impl Trusted {
    pub(super) fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), Error> {
        let hash = *blake3::hash(&certificate).as_bytes();
        self.roots.add(certificate)?;
        self.exact.insert(hash);
        Ok(())
    }
}

fn is_one_of(exact: &BTreeSet<[u8; 32]>, certificate: &CertificateDer<'_>) -> bool {
    exact.contains(blake3::hash(certificate).as_bytes())
}

/// An authority of the right name with another key is a stranger as well, and so is one that vouches for itself only:
/// `webpki` would first say that it is an authority.
fn stranger(error: Error, certificate: &CertificateDer<'_>) -> Error {
    let is_stranger = match &error {
        Error::InvalidCertificate(CertificateError::BadSignature) => true,
        Error::InvalidCertificate(CertificateError::Other(_)) => alone::vouches_for_itself(certificate),
        _ => false,
    };
    if is_stranger { CertificateError::UnknownIssuer.into() } else { error }
}

/// Checks servers.
#[derive(Debug)]
pub(super) struct Servers {
    provider: Arc<CryptoProvider>,
    whom: Whom,
}

/// Whom a client trusts.
#[derive(Debug)]
enum Whom {
    /// Everybody.
    Any,
    /// The authorities of the system, read when the first server shows a certificate: most agents never need them.
    System(OnceLock<Option<Known>>),
    /// These.
    These(Known),
}

#[derive(Debug)]
struct Known {
    exact: BTreeSet<[u8; 32]>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl Known {
    fn new(trusted: Trusted, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted.roots), Arc::clone(provider));
        let webpki = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { exact: trusted.exact, webpki })
    }

    /// What cannot be read is passed over, as every other program on the machine does.
    fn of_system(provider: &Arc<CryptoProvider>) -> Option<Self> {
        let mut trusted = Trusted { roots: RootCertStore::empty(), exact: BTreeSet::new() };
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "an authority of the system cannot be read");
        }
        for certificate in found.certs {
            if let Err(error) = trusted.add(certificate) {
                tracing::debug!(%error, "an authority of the system is of no use");
            }
        }
        Self::new(trusted, provider).ok()
    }
}

impl Servers {
    pub(super) fn any(provider: &Arc<CryptoProvider>) -> Self {
        Self { provider: Arc::clone(provider), whom: Whom::Any }
    }

    pub(super) fn of_system(provider: &Arc<CryptoProvider>) -> Self {
        Self { provider: Arc::clone(provider), whom: Whom::System(OnceLock::new()) }
    }

    pub(super) fn of(trusted: Trusted, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let known = Known::new(trusted, provider)?;
        Ok(Self { provider: Arc::clone(provider), whom: Whom::These(known) })
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let known = match &self.whom {
            Whom::Any => return Ok(ServerCertVerified::assertion()),
            Whom::System(known) => known.get_or_init(|| Known::of_system(&self.provider)).as_ref(),
            Whom::These(known) => Some(known),
        };
        let Some(Known { exact, webpki }) = known else { return Err(CertificateError::UnknownIssuer.into()) };
        if is_one_of(exact, end_entity) {
            alone::check(end_entity, Purpose::Server, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let outcome = webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        outcome.map_err(|error| stranger(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks clients.
#[derive(Debug)]
pub(super) struct Clients {
    exact: BTreeSet<[u8; 32]>,
    webpki: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) fn of(trusted: Trusted, provider: &Arc<CryptoProvider>) -> Result<Self, Error> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted.roots), Arc::clone(provider));
        let webpki = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { exact: trusted.exact, webpki })
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.webpki.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if is_one_of(&self.exact, end_entity) {
            alone::check(end_entity, Purpose::Client, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.webpki.verify_client_cert(end_entity, intermediates, now).map_err(|error| stranger(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
