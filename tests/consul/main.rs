//! The watches against a real Consul (`scripts/fetch-consul`; `CONSUL` names another binary).

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod agent;
mod many;
#[path = "../ports/mod.rs"]
mod ports;
mod queries;
mod trouble;
mod watcher;

use quorate::source::consul::{Registrar, settings::Registration};
use quorate::task::consul_data::{KvQuery, Query, RegexpQuery, ServiceQuery};
use rand::SeedableRng as _;
use serde_json::json;

use agent::Consul;

/// Services by name.
fn service(name: &str) -> Query {
    Query::Service(ServiceQuery { name: name.to_owned(), ..ServiceQuery::default() })
}

/// Services by regexp.
fn regexp(regexp: &str) -> Query {
    Query::Services(RegexpQuery { regexp: regexp.to_owned(), ..RegexpQuery::default() })
}

/// A key, or a prefix.
fn key(path: &str, recurse: bool) -> Query {
    Query::Kv(KvQuery { path: path.to_owned(), recurse, ..KvQuery::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_registers_itself_and_goes_away_again() {
    let consul = Consul::start();
    let registrar = Registrar {
        client: quorate::source::consul::Client::new(&consul.settings()).await.unwrap(),
        settings: Registration::default(),
        id: "cts-01".to_owned(),
        port: Some(8558),
        is_tls: false,
        cluster: Some("edge".to_owned()),
    };
    let mut rng = rand::rngs::StdRng::seed_from_u64(1);
    registrar.register(&mut rng).await.unwrap();
    let service = consul.get("agent/service/cts-01");
    assert_eq!(service["Tags"], json!(["cts", "cts-cluster:edge"]));
    assert_eq!((&service["Service"], &service["Port"]), (&json!("consul-terraform-sync"), &json!(8558)));
    let check = &consul.get("agent/checks")["cts-01-health"];
    assert_eq!((&check["Name"], &check["Type"]), (&json!("CTS Health Status"), &json!("http")));
    assert_eq!(check["Notes"], "Check created by Consul-Terraform-Sync");
    registrar.deregister(&mut rng).await.unwrap();
    assert_eq!(consul.get("agent/services"), json!({}));
}
