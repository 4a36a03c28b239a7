//! Where a task's Terraform state goes: the configured backend, else the default of the place we run in.
//!
//! As CTS (`reference/cts.md` 2.6, 3.9): Consul is the default, a user's own `backend "consul"` is merged over it, and
//! credentials go by the environment, never into a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Backend;
use super::version::Version;

/// How Terraform reaches Consul: what the agent itself uses.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConsulAccess {
    /// `host:port`, with or without a scheme.
    pub address: String,
    /// ACL token; empty: none.
    pub token: String,
    /// User and password of basic authentication.
    pub auth: Option<(String, String)>,
    /// Prefix of the state's path, `consul-terraform-sync/`.
    pub kv_path: String,
    /// `None`: plain HTTP.
    pub tls: Option<ConsulTls>,
}

/// TLS towards Consul.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsulTls {
    /// Whether its certificate is taken without looking.
    pub insecure: bool,
    /// PEM file of authorities.
    pub ca_cert: Option<PathBuf>,
    /// Directory of such.
    pub ca_path: Option<PathBuf>,
    /// Client certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Name to verify.
    pub server_name: Option<String>,
}

impl std::fmt::Debug for ConsulAccess {
    /// Without token and password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsulAccess").field("address", &self.address).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// Where state goes when no backend is configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum DefaultBackend {
    /// Consul's KV store, as CTS. For an agent with Consul and without a cluster.
    Consul(ConsulAccess),
    /// The cluster's own: made by the caller for each task.
    Cluster(Chosen),
    /// Files in the task's directory.
    #[default]
    Local,
}

/// A backend, ready to be written, and what Terraform needs in its environment for it.
#[derive(Clone, PartialEq)]
pub struct Chosen {
    /// Kind and arguments.
    pub backend: Backend,
    /// Addresses and credentials.
    pub env: BTreeMap<String, String>,
}

impl std::fmt::Debug for Chosen {
    /// Without values of the environment.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.keys().collect();
        f.debug_struct("Chosen").field("kind", &self.backend.kind).field("env", &names).finish_non_exhaustive()
    }
}

impl Default for Chosen {
    fn default() -> Self {
        Self { backend: Backend { kind: "local".to_owned(), body: Map::new() }, env: BTreeMap::new() }
    }
}

impl Chosen {
    /// Whether it knows Terraform's workspaces. `http` does not: its address is one task's alone, so the steps that
    /// make and select a workspace are left out.
    pub fn has_workspaces(&self) -> bool {
        self.backend.kind != "http"
    }

    /// Why this version cannot use it, if so.
    pub(super) fn refusal(&self, version: &Version) -> Option<&'static str> {
        (self.backend.kind == "pg" && !version.at_least(0, 14))
            .then_some("backend \"pg\" needs Terraform 0.14 or newer")
    }
}

/// The backend of a task. `consul` is what the agent knows of Consul: a configured `backend "consul"` is laid over it.
pub fn choose(configured: Option<&Backend>, consul: Option<&ConsulAccess>, default: &DefaultBackend) -> Chosen {
    match (configured, default) {
        (Some(own), _) if own.kind == "consul" => match consul {
            Some(access) => in_consul(access, &own.body),
            None => Chosen { backend: own.clone(), env: BTreeMap::new() },
        },
        (Some(own), _) => Chosen { backend: own.clone(), env: BTreeMap::new() },
        (None, DefaultBackend::Consul(access)) => in_consul(access, &Map::new()),
        (None, DefaultBackend::Cluster(chosen)) => chosen.clone(),
        (None, DefaultBackend::Local) => Chosen::default(),
    }
}

fn in_consul(access: &ConsulAccess, own: &Map<String, Value>) -> Chosen {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("address", access.address.as_str().into());
    set("path", format!("{}terraform", access.kv_path).into());
    set("gzip", true.into());
    if let Some(tls) = &access.tls {
        set("scheme", "https".into());
        for (name, file) in [("ca_file", &tls.ca_cert), ("cert_file", &tls.cert), ("key_file", &tls.key)] {
            if let Some(file) = file {
                set(name, text(file).into());
            }
        }
    }
    body.extend(own.clone());
    Chosen { backend: Backend { kind: "consul".to_owned(), body }, env: environment(access) }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Only what is set; an empty variable would override Terraform's own default.
fn environment(access: &ConsulAccess) -> BTreeMap<String, String> {
    let auth = access.auth.as_ref().map(|(user, password)| format!("{user}:{password}"));
    let tls = access.tls.clone().unwrap_or_default();
    let file = |path: &Option<PathBuf>| path.as_deref().map(text);
    [
        ("CONSUL_HTTP_ADDR", Some(access.address.clone())),
        ("CONSUL_HTTP_TOKEN", Some(access.token.clone())),
        ("CONSUL_HTTP_AUTH", auth),
        ("CONSUL_HTTP_SSL_VERIFY", tls.insecure.then(|| "false".to_owned())),
        ("CONSUL_CACERT", file(&tls.ca_cert)),
        ("CONSUL_CAPATH", file(&tls.ca_path)),
        ("CONSUL_CLIENT_CERT", file(&tls.cert)),
        ("CONSUL_CLIENT_KEY", file(&tls.key)),
        ("CONSUL_TLS_SERVER_NAME", tls.server_name),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn consul_is_the_default_with_its_credentials_in_the_environment_only() {
        let chosen = choose(None, Some(&access()), &DefaultBackend::Consul(access()));
        assert_eq!(chosen.backend.kind, "consul");
        let body = json!({"address": "consul:8501", "path": "cts/terraform", "gzip": true, "scheme": "https",
                          "ca_file": "/ca.pem", "key_file": "/key.pem"});
        assert_eq!(Value::Object(chosen.backend.body.clone()), body);
        let expected = [
            ("CONSUL_CACERT", "/ca.pem"),
            ("CONSUL_CLIENT_KEY", "/key.pem"),
            ("CONSUL_HTTP_ADDR", "consul:8501"),
            ("CONSUL_HTTP_AUTH", "me:pass"),
            ("CONSUL_HTTP_TOKEN", "secret"),
        ];
        let env: Vec<_> = chosen.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(env, expected);
        assert!(!format!("{chosen:?} {:?}", access()).contains("secret"));
    }

    #[test]
    fn a_configured_consul_backend_is_laid_over_the_defaults() {
        let own = backend("consul", &json!({"path": "mine", "gzip": false, "lock": false}));
        let chosen = choose(Some(&own), Some(&ConsulAccess { tls: None, ..access() }), &DefaultBackend::Local);
        let body = json!({"address": "consul:8501", "path": "mine", "gzip": false, "lock": false});
        assert_eq!(Value::Object(chosen.backend.body), body);
        assert_eq!(chosen.env["CONSUL_HTTP_TOKEN"], "secret");
    }

    #[test]
    fn any_other_configured_backend_is_taken_as_it_is() {
        let own = backend("s3", &json!({"bucket": "b"}));
        let chosen = choose(Some(&own), Some(&access()), &DefaultBackend::Consul(access()));
        assert_eq!((chosen.backend, chosen.env.len()), (own, 0));
    }

    #[test]
    fn the_clusters_own_comes_as_the_caller_made_it() {
        let cluster = Chosen { backend: backend("http", &json!({"address": "http://a"})), env: BTreeMap::new() };
        let chosen = choose(None, Some(&access()), &DefaultBackend::Cluster(cluster.clone()));
        assert_eq!(chosen, cluster);
        assert!(!chosen.has_workspaces() && Chosen::default().has_workspaces());
    }

    #[test]
    fn pg_is_refused_where_terraform_is_too_old_for_it() {
        let chosen = Chosen { backend: backend("pg", &json!({})), env: BTreeMap::new() };
        assert!(chosen.refusal(&Version::new(0, 13, 7)).is_some());
        assert!(chosen.refusal(&Version::new(0, 14, 0)).is_none());
    }

    fn backend(kind: &str, body: &Value) -> Backend {
        Backend { kind: kind.to_owned(), body: body.as_object().unwrap().clone() }
    }

    fn access() -> ConsulAccess {
        ConsulAccess {
            address: "consul:8501".to_owned(),
            token: "secret".to_owned(),
            auth: Some(("me".to_owned(), "pass".to_owned())),
            kv_path: "cts/".to_owned(),
            tls: Some(ConsulTls {
                ca_cert: Some("/ca.pem".into()),
                key: Some("/key.pem".into()),
                ..ConsulTls::default()
            }),
        }
    }
}
