//! Where an agent is and how it is trusted: CTS's flags and environment of everything that asks an agent
//! (`reference/cts.md` 5.3). Flags beat the environment, and `QUORATE_*` beats `CTS_*` there.

use std::path::{Path, PathBuf};

use clap::Args;

use super::client_error::ClientError;
use super::env;
use super::output::complain;
use super::tls::Trust;
use super::token_source::Token;

/// Where an agent is when nobody says.
pub(super) const DEFAULT: &str = "http://localhost:8558";

/// Flags of commands that ask an agent.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Address {
    /// Where the API of an agent is, also unix:///path [default: http://localhost:8558] [env: QUORATE_HTTP_ADDR, CTS_ADDRESS]
    #[arg(long, value_name = "URL")]
    http_addr: Option<String>,
    /// Deprecated, use -http-addr: another port of it
    #[arg(long, value_name = "PORT", hide = true)]
    port: Option<u16>,
    /// Authorities that vouch for an https agent: a PEM file [env: QUORATE_CACERT, CTS_CACERT]
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// The same: a directory of PEM files [env: QUORATE_CAPATH, CTS_CAPATH]
    #[arg(long, value_name = "DIR")]
    ca_path: Option<PathBuf>,
    /// Certificate to show to the agent: a PEM file [env: QUORATE_CLIENT_CERT, CTS_CLIENT_CERT]
    #[arg(long, value_name = "FILE")]
    client_cert: Option<PathBuf>,
    /// Its private key: a PEM file [env: QUORATE_CLIENT_KEY, CTS_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// Whether to check the agent's certificate [default: true] [env: QUORATE_SSL_VERIFY, CTS_SSL_VERIFY]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    ssl_verify: Option<String>,
    /// File with a token to show [env: QUORATE_TOKEN (the token itself), QUORATE_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Address {
    /// As given; says on standard error when a flag for it is old.
    pub(super) fn url(&self) -> Result<String, ClientError> {
        let given = self.http_addr.clone();
        let given = given.or_else(|| env::read("QUORATE_HTTP_ADDR")).or_else(|| env::read("CTS_ADDRESS"));
        let url = given.unwrap_or_else(|| DEFAULT.to_owned());
        let Some(port) = self.port else { return Ok(url) };
        complain("==> Warning: the -port option is deprecated, use -http-addr instead");
        with_port(&url, port)
            .ok_or_else(|| ClientError::Setting(format!("-port {port} does not fit to the address {url}")))
    }

    /// Whether flags or the environment say where the agent is.
    pub(super) fn is_given(&self) -> bool {
        self.http_addr.is_some() || env::read("QUORATE_HTTP_ADDR").is_some() || env::read("CTS_ADDRESS").is_some()
    }

    /// The same at a socket.
    pub(super) fn at_socket(&self, path: &Path) -> Self {
        Self { http_addr: Some(format!("unix://{}", path.display())), port: None, ..self.clone() }
    }

    /// The token to show, if there is one.
    pub(super) fn token(&self) -> Result<Option<Token>, ClientError> {
        Token::find(self.token_file.as_deref(), &env::read).map_err(ClientError::Setting)
    }

    /// Whom to trust and what to show.
    pub(super) fn trust(&self) -> Result<Trust, ClientError> {
        self.trust_with(&|name| env::read(&format!("QUORATE_{name}")).or_else(|| env::read(&format!("CTS_{name}"))))
    }

    fn trust_with(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Trust, ClientError> {
        let (cert, path) = if self.ca_cert.is_some() || self.ca_path.is_some() {
            (self.ca_cert.clone(), self.ca_path.clone())
        } else {
            (env("CACERT").map(PathBuf::from), env("CAPATH").map(PathBuf::from))
        };
        let or_env = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| env(name).map(PathBuf::from));
        let (client_cert, client_key) =
            (or_env(&self.client_cert, "CLIENT_CERT"), or_env(&self.client_key, "CLIENT_KEY"));
        let verify = self.ssl_verify.clone().or_else(|| env("SSL_VERIFY"));
        let identity = match (client_cert, client_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(half("-client-cert", "-client-key")),
            (None, Some(_)) => return Err(half("-client-key", "-client-cert")),
        };
        Ok(Trust { authorities: cert.or(path), identity, verify: verify.map_or(Ok(true), |text| switch(&text))? })
    }
}

fn half(given: &str, lacks: &str) -> ClientError {
    ClientError::Setting(format!("{given} is given without {lacks}: both are needed to show a certificate"))
}

/// A boolean as Go reads one.
fn switch(text: &str) -> Result<bool, ClientError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(ClientError::Setting(format!("-ssl-verify (SSL_VERIFY) must be true or false, not {text:?}"))),
    }
}

/// The address with another port; `None`: it is no address.
fn with_port(url: &str, port: u16) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split('/').next()?;
    // The port follows the last colon that is not within the brackets of an IPv6 address.
    let host = match authority.rsplit_once(':') {
        Some((host, after)) if !after.contains(']') => host,
        _ => authority,
    };
    (!host.is_empty()).then(|| format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_port_replaces_only_the_port() {
        let check = |url: &str, expected: &str| assert_eq!(with_port(url, 9).as_deref(), Some(expected), "{url}");
        check("http://localhost:8558", "http://localhost:9");
        check("https://a.example", "https://a.example:9");
        check("https://[::1]:8558/", "https://[::1]:9");
        check("[::1]", "http://[::1]:9");
        assert_eq!(with_port("http://", 9), None);
    }

    #[test]
    fn flags_beat_the_environment() {
        let env = |name: &str| match name {
            "CACERT" => Some("env.pem".to_owned()),
            "SSL_VERIFY" => Some("false".to_owned()),
            _ => None,
        };
        let of_env = Address::default().trust_with(&env).unwrap();
        assert_eq!(of_env, Trust { authorities: Some("env.pem".into()), identity: None, verify: false });
        let flags = Address { ca_path: Some("dir".into()), ssl_verify: Some("1".to_owned()), ..Address::default() };
        let trust = flags.trust_with(&env).unwrap();
        assert_eq!((trust.authorities, trust.verify), (Some("dir".into()), true));
        // As in CTS, a file is preferred to a directory.
        let both = Address { ca_cert: Some("f".into()), ca_path: Some("d".into()), ..Address::default() };
        assert_eq!(both.trust_with(&env).unwrap().authorities, Some("f".into()));
    }

    #[test]
    fn half_an_identity_and_a_strange_switch_are_refused() {
        let none = |_: &str| None;
        let cert = Address { client_cert: Some("c".into()), ..Address::default() };
        assert!(cert.trust_with(&none).unwrap_err().to_string().contains("without -client-key"));
        let key = Address { client_key: Some("k".into()), ..Address::default() };
        assert!(key.trust_with(&none).unwrap_err().to_string().contains("without -client-cert"));
        let odd = Address { ssl_verify: Some("maybe".to_owned()), ..Address::default() };
        assert!(odd.trust_with(&none).unwrap_err().to_string().contains("\"maybe\""));
    }
}
