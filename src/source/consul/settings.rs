//! What the operator says about Consul (`reference/cts.md` 2.3), environment variables already taken in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `consul { .. }`.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port`, or with a scheme, as configured: `localhost:8500`.
    pub address: String,
    /// ACL token; empty: none.
    pub token: String,
    /// Prefix of the default Terraform backend's path: `consul-terraform-sync/`.
    pub kv_path: String,
    /// Basic authentication: user and password.
    pub auth: Option<(String, String)>,
    /// Namespace of the agent's own service; also the default of `CONSUL_NAMESPACE`. Empty: none.
    pub namespace: String,
    /// Admin partition; empty: none.
    pub partition: String,
    /// TLS, when enabled.
    pub tls: Option<Tls>,
    /// Connections.
    pub transport: Transport,
    /// How this agent registers itself; `None`: it does not.
    pub registration: Option<Registration>,
}

/// TLS of a client (Consul, Vault).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether the server's certificate is verified.
    pub verify: bool,
    /// PEM file with the authorities to trust.
    pub ca_cert: Option<PathBuf>,
    /// Directory of such files.
    pub ca_path: Option<PathBuf>,
    /// Client certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Name to ask for and to verify, instead of the host's.
    pub server_name: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { verify: true, ca_cert: None, ca_path: None, cert: None, key: None, server_name: None }
    }
}

/// Connections of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// TCP keep-alive.
    pub dial_keep_alive: Duration,
    /// Longest time to connect.
    pub dial_timeout: Duration,
    /// A connection per request.
    pub disable_keep_alives: bool,
    /// An idle connection is closed after this.
    pub idle_conn_timeout: Duration,
    /// Idle connections kept, in all; 0: no limit.
    pub max_idle_conns: usize,
    /// Idle connections kept per host.
    pub max_idle_conns_per_host: usize,
    /// Longest time for the TLS handshake.
    pub tls_handshake_timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            dial_keep_alive: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(30),
            disable_keep_alives: false,
            idle_conn_timeout: Duration::from_secs(5),
            max_idle_conns: 0,
            max_idle_conns_per_host: 100,
            tls_handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// `service_registration` (`reference/cts.md` 7.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `consul-terraform-sync`.
    pub service_name: String,
    /// Empty: the Consul agent's.
    pub address: String,
    /// Empty: none.
    pub namespace: String,
    /// Whether a check is registered with it.
    pub default_check: bool,
    /// Where the check asks; empty: `<scheme>://localhost:<port>`.
    pub check_address: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: "localhost:8500".to_owned(),
            token: String::new(),
            kv_path: "consul-terraform-sync/".to_owned(),
            auth: None,
            namespace: String::new(),
            partition: String::new(),
            tls: None,
            transport: Transport::default(),
            registration: Some(Registration::default()),
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            service_name: "consul-terraform-sync".to_owned(),
            address: String::new(),
            namespace: String::new(),
            default_check: true,
            check_address: String::new(),
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without token and password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: BTreeMap<&str, &dyn std::fmt::Debug> = BTreeMap::from([
            ("address", &self.address as &dyn std::fmt::Debug),
            ("kv_path", &self.kv_path),
            ("namespace", &self.namespace),
            ("tls", &self.tls),
            ("registration", &self.registration),
        ]);
        f.debug_map().entries(fields).finish()
    }
}
