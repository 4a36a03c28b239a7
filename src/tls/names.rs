//! The names in a certificate, and its end.

use std::net::IpAddr;

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Common names, then the alternative ones (DNS, URI, mail and IP addresses), each once, in that order. Empty when the bytes
/// are no certificate, or it has no names. It is not checked here: only what a verifier has taken may be believed.
pub fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| Some(name.as_str().ok()?.to_owned()));
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| {
        Some(match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
                (Ok(v4), _) => IpAddr::from(v4).to_string(),
                (_, Ok(v6)) => IpAddr::from(v6).to_string(),
                _ => return None,
            },
            _ => return None,
        })
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(alternative) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// When it ends, in seconds since 1970; `None`: the bytes are no certificate.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
