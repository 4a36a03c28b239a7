//! The blocks about Consul and Vault.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::read::{Spanned, raw};

raw! {
    /// `consul`
    RawConsul {
        address: String = "address",
        token: String = "token",
        kv_path: String = "kv_path",
        kv_namespace: String = "kv_namespace",
        auth: RawAuth = "auth",
        tls: RawClientTls = "tls",
        transport: RawTransport = "transport",
        service_registration: RawRegistration = "service_registration",
    }
    /// `consul { auth }`
    RawAuth { enabled: bool = "enabled", username: String = "username", password: String = "password" }
    /// `tls` of a client.
    RawClientTls {
        enabled: bool = "enabled",
        verify: bool = "verify",
        ca_cert: String = "ca_cert",
        ca_path: String = "ca_path",
        cert: String = "cert",
        key: String = "key",
        server_name: String = "server_name",
    }
    /// `transport`
    RawTransport {
        dial_keep_alive: Duration = "dial_keep_alive",
        dial_timeout: Duration = "dial_timeout",
        disable_keep_alives: bool = "disable_keep_alives",
        idle_conn_timeout: Duration = "idle_conn_timeout",
        max_idle_conns: u32 = "max_idle_conns",
        max_idle_conns_per_host: u32 = "max_idle_conns_per_host",
        tls_handshake_timeout: Duration = "tls_handshake_timeout",
    }
    /// `consul { service_registration }`
    RawRegistration {
        enabled: bool = "enabled",
        service_name: String = "service_name",
        address: String = "address",
        namespace: String = "namespace",
        default_check: RawCheck = "default_check",
    }
    /// `default_check`
    RawCheck { enabled: bool = "enabled", address: String = "address" }
    /// `vault`
    RawVault {
        enabled: bool = "enabled",
        address: String = "address",
        namespace: String = "namespace",
        token: String = "token",
        vault_agent_token_file: String = "vault_agent_token_file",
        renew_token: bool = "renew_token",
        unwrap_token: bool = "unwrap_token",
        tls: RawClientTls = "tls",
        transport: RawTransport = "transport",
    }
    /// `service`, deprecated.
    RawService {
        name: String = "name",
        id: String = "id",
        description: String = "description",
        datacenter: String = "datacenter",
        namespace: String = "namespace",
        filter: String = "filter",
        cts_user_defined_meta: BTreeMap<String, Spanned<String>> = "cts_user_defined_meta",
    }
}
