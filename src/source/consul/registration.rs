//! This agent as a service in Consul (`reference/cts.md` 7.3): registered at the start, taken away at a clean stop.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::client::Client;
use super::error::ConsulError;
use super::settings::Registration;

/// Retries of one call, as in CTS; the first after 1 to 1.5 s, each further one after twice as long.
const RETRIES: u32 = 8;

/// Registers one agent.
#[derive(Debug, Clone)]
pub struct Registrar {
    /// Where.
    pub client: Client,
    /// How.
    pub settings: Registration,
    /// Service id of this agent, unique in Consul.
    pub id: String,
    /// Port of its API; `None`: it listens on a Unix socket, so there is nothing that Consul could ask.
    pub port: Option<u16>,
    /// Whether its API speaks TLS.
    pub is_tls: bool,
    /// Name of the cluster: becomes the tag `cts-cluster:<name>`. None: a single agent.
    pub cluster: Option<String>,
}

impl Registrar {
    /// Registers. Takes up to some ten minutes while Consul is away; drop it to give up.
    pub async fn register(&self, rng: &mut StdRng) -> Result<(), ConsulError> {
        tracing::info!(service = self.settings.service_name, id = self.id, "registering as a service with Consul");
        let body = self.body();
        self.put(&["v1", "agent", "service", "register"], Some(&body), rng).await
    }

    /// Takes the registration away.
    pub async fn deregister(&self, rng: &mut StdRng) -> Result<(), ConsulError> {
        self.put(&["v1", "agent", "service", "deregister", &self.id], None, rng).await
    }

    async fn put(&self, path: &[&str], body: Option<&Value>, rng: &mut StdRng) -> Result<(), ConsulError> {
        let namespace = self.settings.namespace.as_str();
        let parameters: &[_] = if namespace.is_empty() { &[] } else { &[("ns", namespace)] };
        let mut tried = 0;
        loop {
            let error = match self.client.put(path, parameters, body).await {
                Ok(()) => return Ok(()),
                Err(ConsulError::Response { status: 403, body }) => {
                    return Err(ConsulError::Permission { service: self.settings.service_name.clone(), why: body });
                }
                Err(error @ ConsulError::Response { status: 400..=428 | 430..=499, .. }) => return Err(error),
                Err(error) => error,
            };
            if tried == RETRIES {
                return Err(error);
            }
            let wait = Duration::from_secs(1 << tried).mul_f64(1.0 + rng.random::<f64>() / 2.0);
            tracing::warn!(%error, ?wait, "Consul did not take the registration; trying again");
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }

    fn body(&self) -> Value {
        let settings = &self.settings;
        let tags: Vec<String> = std::iter::once("cts".to_owned())
            .chain(self.cluster.as_ref().map(|name| format!("cts-cluster:{name}")))
            .collect();
        let mut body = json!({"ID": self.id, "Name": settings.service_name, "Tags": tags});
        if let Some(port) = self.port {
            body["Port"] = json!(port);
        }
        if !settings.address.is_empty() {
            body["Address"] = json!(settings.address);
        }
        if !settings.namespace.is_empty() {
            body["Namespace"] = json!(settings.namespace);
        }
        let scheme = if self.is_tls { "https" } else { "http" };
        let own = self.port.map(|port| format!("{scheme}://localhost:{port}"));
        let configured = Some(settings.check_address.clone()).filter(|address| !address.is_empty());
        if let Some(base) = configured.or(own).filter(|_| settings.default_check) {
            body["Check"] = json!({
                "CheckID": format!("{}-health", self.id),
                "Name": "CTS Health Status",
                "Notes": "Check created by Consul-Terraform-Sync",
                "HTTP": format!("{}/v1/health", base.trim_end_matches('/')),
                "Interval": "10s",
                "Timeout": "2s",
                "DeregisterCriticalServiceAfter": "30m",
                "Status": "critical",
                "TLSSkipVerify": true,
            });
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    async fn registrar(settings: Registration, cluster: Option<&str>) -> Registrar {
        let client = Client::new(&Settings::default()).await.unwrap();
        let cluster = cluster.map(ToOwned::to_owned);
        Registrar { client, settings, id: "cts-01".into(), port: Some(8558), is_tls: false, cluster }
    }

    #[tokio::test]
    async fn defaults_are_those_of_cts_and_the_cluster_is_a_tag() {
        let body = registrar(Registration::default(), Some("edge")).await.body();
        assert_eq!(body["Tags"], json!(["cts", "cts-cluster:edge"]));
        assert_eq!((&body["Name"], &body["Port"]), (&json!("consul-terraform-sync"), &json!(8558)));
        let check = &body["Check"];
        assert_eq!(check["HTTP"], "http://localhost:8558/v1/health");
        assert_eq!((&check["CheckID"], &check["Status"]), (&json!("cts-01-health"), &json!("critical")));
        assert!(body.get("Address").is_none() && body.get("Namespace").is_none());
    }

    #[tokio::test]
    async fn what_is_configured_is_registered() {
        let settings = Registration {
            address: "cts.example.com".into(),
            namespace: "ops".into(),
            check_address: "https://cts.example.com:8558".into(),
            ..Registration::default()
        };
        let body = registrar(settings.clone(), None).await.body();
        assert_eq!((&body["Address"], &body["Namespace"]), (&json!("cts.example.com"), &json!("ops")));
        assert_eq!(body["Check"]["HTTP"], "https://cts.example.com:8558/v1/health");
        let socket = Registrar { port: None, ..registrar(Registration::default(), None).await }.body();
        assert!(socket.get("Port").is_none() && socket.get("Check").is_none(), "{socket}");
        let none = registrar(Registration { default_check: false, ..settings }, None).await.body();
        assert!(none.get("Check").is_none());
    }
}
