//! The raw blocks: a mirror of the file, nothing resolved, every value with its place.
//!
//! Every key of CTS is here, also of the parts that have no effect yet, so that each is typed and misspelt ones are
//! found. Which key means what is in `default.hcl` and `docs/configuration.md`; what follows from them in `resolve/`.

pub(super) mod access;
pub(super) mod cluster;
pub(super) mod consul;
pub(super) mod task;

use std::collections::BTreeMap;
use std::time::Duration;

use super::read::{Labelled, Many, Spanned, raw};
use super::tree::Value;

raw! {
    /// A whole file.
    RawRoot {
        log_level: String = "log_level",
        log_format: String = "log_format",
        port: u16 = "port",
        http_addr: String = "http_addr",
        id: String = "id",
        working_dir: String = "working_dir",
        data_dir: String = "data_dir",
        client_type: String = "client_type",
        max_parallel: u16 = "max_parallel",
        run_env: task::RawRunEnv = "run_env",
        syslog: RawSyslog = "syslog",
        consul: consul::RawConsul = "consul",
        vault: consul::RawVault = "vault",
        tls: RawApiTls = "tls",
        limits: RawLimits = "limits",
        audit: RawAudit = "audit",
        runs: RawRuns = "runs",
        notify: Many<Labelled> = "notify",
        access: access::RawAccess = "access",
        insecure: bool = "insecure",
        driver: Labelled = "driver",
        buffer_period: RawBuffer = "buffer_period",
        high_availability: cluster::RawHighAvailability = "high_availability",
        task: Many<task::RawTask> = "task",
        terraform_provider: Many<Value> = "terraform_provider",
        service: Many<consul::RawService> = "service",
        license: RawLicense = "license",
        license_path: String = "license_path",
    }
    /// `syslog`
    RawSyslog {
        enabled: bool = "enabled",
        facility: String = "facility",
        name: String = "name",
        path: String = "path",
    }
    /// `buffer_period`
    RawBuffer { enabled: bool = "enabled", min: Duration = "min", max: Duration = "max" }
    /// `tls` of the API.
    RawApiTls {
        enabled: bool = "enabled",
        cert: String = "cert",
        key: String = "key",
        verify_incoming: bool = "verify_incoming",
        ca_cert: String = "ca_cert",
        ca_path: String = "ca_path",
    }
    /// `audit`
    RawAudit {
        enabled: bool = "enabled",
        file: String = "file",
        rotate_bytes: u32 = "rotate_bytes",
        rotate_max_files: u16 = "rotate_max_files",
        syslog: bool = "syslog",
        required: bool = "required",
    }
    /// `notify "<name>"`
    RawNotify {
        on: Vec<Spanned<String>> = "on",
        webhook: String = "webhook",
        secret: String = "secret",
        format: String = "format",
        ca_cert: String = "ca_cert",
        command: Vec<Spanned<String>> = "command",
        timeout: Duration = "timeout",
    }
    /// `limits`
    RawLimits {
        http_max_conns: u16 = "http_max_conns",
        http_max_conns_per_client: u16 = "http_max_conns_per_client",
    }
    /// `runs`
    RawRuns { keep: u16 = "keep", max_size: Value = "max_size", max_age: Duration = "max_age" }
    /// `license`
    RawLicense { path: String = "path", auto_retrieval: RawEnabled = "auto_retrieval" }
    /// A block with a switch only.
    RawEnabled { enabled: bool = "enabled" }
    /// `driver "terraform"`
    RawTerraformDriver {
        version: String = "version",
        path: String = "path",
        log: bool = "log",
        persist_log: bool = "persist_log",
        backend: Labelled = "backend",
        required_providers: BTreeMap<String, Spanned<RawRequiredProvider>> = "required_providers",
        working_dir: String = "working_dir",
    }
    /// One of `required_providers`.
    RawRequiredProvider { source: String = "source", version: String = "version" }
}
