//! What the configuration leaves to be fetched at start: values of providers (`reference/cts.md` 2.10).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::Settings;
use crate::source::{consul, vault};
use crate::terraform::dynamic::{DynamicError, Lookup, resolve_providers};
use crate::terraform::{self, ConsulAccess, ConsulTls};

/// The driver's settings with the templates of all providers filled in.
pub(super) async fn fetched(
    settings: &Settings,
    env: &BTreeMap<String, String>,
) -> Result<terraform::Settings, DynamicError> {
    let client = match &settings.vault {
        Some(vault) => Some(vault::Client::connect(vault).await.map(Arc::new).map_err(|error| error.to_string())),
        None => None,
    };
    let consul = match &settings.consul {
        Some(consul) => Some(consul::Client::new(consul).await.map_err(|error| error.to_string())),
        None => None,
    };
    let fetch = |lookup: Lookup| {
        let (client, consul) = (client.clone(), consul.clone());
        async move {
            match (lookup, client) {
                (Lookup::Key(path), _) => key(consul, &path).await,
                (Lookup::Secret(path), Some(Ok(client))) => client.read(&path).await.map_err(|error| error.to_string()),
                (Lookup::Secret(_), Some(Err(why))) => Err(why),
                (Lookup::Secret(_), None) => Ok(Value::Null),
            }
        }
    };
    resolve_providers(&settings.terraform, env, settings.vault.is_some(), fetch).await
}

/// The value of a key; empty when there is none, as in CTS.
async fn key(client: Option<Result<consul::Client, String>>, path: &str) -> Result<Value, String> {
    let client = client.ok_or_else(|| "there is no `consul` block".to_owned())??;
    let value = consul::hub::kv_get(&client, path).await.map_err(|error| error.to_string())?;
    Ok(Value::String(value.unwrap_or_default()))
}

/// How Terraform reaches the Consul of the configuration.
pub(super) fn consul_access(settings: &Settings) -> Option<ConsulAccess> {
    let consul = settings.consul.as_ref()?;
    let tls = consul.tls.as_ref().map(|tls| ConsulTls {
        insecure: !tls.verify,
        ca_cert: tls.ca_cert.clone(),
        ca_path: tls.ca_path.clone(),
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        server_name: tls.server_name.clone(),
    });
    Some(ConsulAccess {
        address: consul.address.clone(),
        token: consul.token.clone(),
        auth: consul.auth.clone(),
        kv_path: consul.kv_path.clone(),
        tls,
    })
}
