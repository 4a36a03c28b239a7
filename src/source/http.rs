//! The HTTP client that Consul and Vault are asked with: connections, sockets, certificates, and errors in words.

use std::path::{Path, PathBuf};

use reqwest::Url;

use super::consul::settings::{Tls, Transport};
use crate::tls::{self, Authorities, FileError, Probe, Trouble};

pub(super) use crate::tls::causes;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The settings cannot work.
    #[error("{0}")]
    Settings(String),
    /// A file of the TLS settings.
    #[error(transparent)]
    File(#[from] FileError),
    /// The name of the server could not be looked up.
    #[error("{0}")]
    Unreachable(String),
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What requests are made of. With a socket its host is only a name.
    pub(super) base: Url,
    /// The Unix socket, when it is one.
    pub(super) socket: Option<PathBuf>,
}

/// The path of `unix:///run/x.sock`; `None`: the address is another one.
pub(super) fn socket_of(address: &str) -> Option<&Path> {
    Some(Path::new(address.strip_prefix("unix://")?))
}

/// A client, and what finds out why a server hung up.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) client: reqwest::Client,
    /// A certificate is shown.
    is_somebody: bool,
    /// The server is spoken to over TLS.
    is_sealed: bool,
    /// `None`: it is on a socket.
    probe: Option<Probe>,
}

impl Http {
    /// What an error says about TLS. When it does not tell, and `may_ask`, the server is asked once more.
    pub(super) async fn reason(&self, error: &reqwest::Error, may_ask: bool) -> Option<Trouble> {
        if let Some(trouble) = tls::trouble(error, self.is_somebody) {
            return Some(trouble);
        }
        let hung_up = !error.is_connect() && !error.is_timeout();
        let (probe, is_sealed) = (self.probe.clone().filter(|_| hung_up && may_ask)?, self.is_sealed);
        let ask = move || if is_sealed { probe.reason() } else { probe.speaks_tls().then_some(Trouble::OnlyThey) };
        tokio::task::spawn_blocking(ask).await.ok().flatten()
    }

    /// Whether no certificate is shown.
    pub(super) fn is_nobody(&self) -> bool {
        !self.is_somebody
    }
}

/// A client for the server at `place`, whose host becomes the TLS server name if one is set (port `port` if it has none).
pub(super) async fn client(tls: &Tls, transport: &Transport, place: &mut Place, port: u16) -> Result<Http, HttpError> {
    let idle = match (transport.max_idle_conns, transport.max_idle_conns_per_host) {
        _ if transport.disable_keep_alives => 0,
        (0, per_host) => per_host,
        (all, per_host) => all.min(per_host),
    };
    let config = client_tls(tls).config()?;
    let base = &mut place.base;
    let (host, port) = (base.host_str().unwrap_or_default().to_owned(), base.port_or_known_default().unwrap_or(port));
    let name = tls.server_name.as_deref().filter(|name| !name.is_empty());
    let (is_sealed, is_somebody) = (base.scheme() == "https", tls.cert.is_some());
    let probe = match place.socket {
        Some(_) => None,
        None if is_sealed => Some(Probe::new(&host, port, name.unwrap_or(&host), is_somebody, &config)),
        None => Probe::for_anybody(&host, port),
    };
    let mut builder = reqwest::Client::builder()
        .connect_timeout(transport.dial_timeout)
        .tcp_keepalive(transport.dial_keep_alive)
        .pool_idle_timeout(transport.idle_conn_timeout)
        .pool_max_idle_per_host(idle)
        .redirect(reqwest::redirect::Policy::limited(3))
        .tls_backend_preconfigured(config);
    if let Some(name) = name {
        // The name takes the host's place, so that it is what is asked for and verified; the address stays.
        named(base, name)?;
        if place.socket.is_none() {
            let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await;
            let addresses: Vec<_> = found.map_err(|error| HttpError::Unreachable(error.to_string()))?.collect();
            builder = builder.resolve_to_addrs(name, &addresses);
        }
    }
    if let Some(socket) = &place.socket {
        builder = builder.unix_socket(socket.as_path());
    }
    let client = builder.build().map_err(|error| HttpError::Settings(causes(&error)))?;
    Ok(Http { client, is_somebody, is_sealed, probe })
}

/// Whether [`client`] would be made of these settings and their files, but for the name of the server.
pub(super) fn check(tls: &Tls, place: &mut Place) -> Result<(), HttpError> {
    client_tls(tls).config()?;
    if let Some(name) = tls.server_name.as_deref().filter(|name| !name.is_empty()) {
        named(&mut place.base, name)?;
    }
    Ok(())
}

fn named(base: &mut Url, name: &str) -> Result<(), HttpError> {
    base.set_host(Some(name)).map_err(|why| HttpError::Settings(format!("tls server_name {name:?}: {why}")))
}

/// The settings as the TLS room has them. A file of authorities is preferred to a directory, as in CTS.
pub(super) fn client_tls(tls: &Tls) -> tls::Client {
    let file = tls.ca_cert.clone().map(Authorities::File);
    tls::Client {
        verify: tls.verify,
        authorities: file.or_else(|| tls.ca_path.clone().map(Authorities::Directory)),
        identity: tls.cert.clone().zip(tls.key.clone()),
    }
}
