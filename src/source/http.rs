//! The HTTP client that Consul and Vault are asked with: connections, certificates, and errors in words.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity, Url};

use super::consul::settings::{Tls, Transport};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// A file of the TLS settings.
    #[error("cannot read {}: {why}", .path.display())]
    File { path: PathBuf, why: std::io::Error },
    /// The name of the server could not be looked up.
    #[error("{0}")]
    Unreachable(String),
}

/// A client for the server at `base`, whose host becomes the TLS server name if one is set (port `port` if it has none).
pub(super) async fn client(
    tls: &Tls,
    transport: &Transport,
    base: &mut Url,
    port: u16,
) -> Result<reqwest::Client, HttpError> {
    // Refused when the program has installed it already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let idle = match (transport.max_idle_conns, transport.max_idle_conns_per_host) {
        _ if transport.disable_keep_alives => 0,
        (0, per_host) => per_host,
        (all, per_host) => all.min(per_host),
    };
    let mut builder = reqwest::Client::builder()
        .connect_timeout(transport.dial_timeout)
        .tcp_keepalive(transport.dial_keep_alive)
        .pool_idle_timeout(transport.idle_conn_timeout)
        .pool_max_idle_per_host(idle)
        .redirect(reqwest::redirect::Policy::limited(3))
        .tls_danger_accept_invalid_certs(!tls.verify);
    let authorities = authorities(tls)?;
    if !authorities.is_empty() {
        builder = builder.tls_certs_only(authorities);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let mut pem = read(cert)?;
        pem.push(b'\n');
        pem.extend(read(key)?);
        let identity = Identity::from_pem(&pem).map_err(|why| HttpError::Settings(format!("cert and key: {why}")))?;
        builder = builder.identity(identity);
    }
    if let Some(name) = tls.server_name.as_ref().filter(|name| !name.is_empty()) {
        // The name takes the host's place, so that it is what is asked for and verified; the address stays.
        let (host, port) =
            (base.host_str().unwrap_or_default().to_owned(), base.port_or_known_default().unwrap_or(port));
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
        let addresses: Vec<_> = found.map_err(|error| HttpError::Unreachable(error.to_string()))?.collect();
        base.set_host(Some(name)).map_err(|why| HttpError::Settings(format!("tls server_name {name:?}: {why}")))?;
        builder = builder.resolve_to_addrs(name, &addresses);
    }
    builder.build().map_err(|error| HttpError::Settings(causes(&error)))
}

fn authorities(tls: &Tls) -> Result<Vec<Certificate>, HttpError> {
    let mut found = Vec::new();
    if let Some(file) = &tls.ca_cert {
        found.extend(certificates(file)?);
    } else if let Some(dir) = &tls.ca_path {
        let failed = |why| HttpError::File { path: dir.clone(), why };
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_file() {
                found.extend(certificates(&path)?);
            }
        }
    }
    Ok(found)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, HttpError> {
    let wrong = |why| HttpError::Settings(format!("{}: {why}", path.display()));
    Certificate::from_pem_bundle(&read(path)?).map_err(wrong)
}

fn read(path: &Path) -> Result<Vec<u8>, HttpError> {
    std::fs::read(path).map_err(|why| HttpError::File { path: path.to_owned(), why })
}

/// An error with all that caused it, without the address that was asked: a path may tell more than it should.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        let gap = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{gap}{error}");
        cause = error.source();
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
