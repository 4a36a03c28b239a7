//! What is answered: Consul's JSON turned into what tasks are fed. Nothing here asks; nothing here can fail but on text
//! that is not what Consul documents.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use base64::Engine as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::request::Endpoint;
use crate::task::consul_data::Instance;

/// What an endpoint says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Instances, sorted by service name, node, id.
    Service(Arc<Vec<Instance>>),
    /// Names and sorted tags.
    Catalog(Arc<BTreeMap<String, Vec<String>>>),
    /// For each service with checks a hash of them; under the empty name those of nodes.
    Checks(Arc<BTreeMap<String, u64>>),
    /// Only its index matters.
    Nodes,
    /// Keys and values; empty: absent.
    Kv(Arc<BTreeMap<String, String>>),
    /// Whether there is one.
    Leader(bool),
}

/// Reads the body of an answer of `endpoint`. `status` 404 is an absent key, and no error.
pub(crate) fn parse(endpoint: &Endpoint, status: u16, body: &[u8]) -> Result<Content, String> {
    Ok(match endpoint {
        Endpoint::Service { .. } => Content::Service(Arc::new(instances(body)?)),
        Endpoint::Catalog { .. } => {
            let mut names: BTreeMap<String, Option<Vec<String>>> = json(body)?;
            names.values_mut().flatten().for_each(|tags| tags.sort_unstable());
            Content::Catalog(Arc::new(names.into_iter().map(|(name, tags)| (name, tags.unwrap_or_default())).collect()))
        }
        Endpoint::Checks(_) => Content::Checks(Arc::new(checks(body)?)),
        Endpoint::Nodes(_) => Content::Nodes,
        Endpoint::Kv(_) if status == 404 => Content::Kv(Arc::default()),
        Endpoint::Kv(_) => Content::Kv(Arc::new(pairs(body)?)),
        Endpoint::Leader => Content::Leader(json::<String>(body).is_ok_and(|leader| !leader.is_empty())),
    })
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|why| why.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: Node,
    service: Service,
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Node {
    #[serde(rename = "ID")]
    id: Option<String>,
    #[serde(rename = "Node")]
    name: String,
    address: Option<String>,
    datacenter: Option<String>,
    tagged_addresses: Option<BTreeMap<String, String>>,
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Service")]
    name: String,
    kind: Option<String>,
    address: Option<String>,
    port: i64,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    namespace: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    node: String,
    #[serde(rename = "CheckID")]
    id: String,
    status: String,
    service_name: String,
    modify_index: u64,
}

fn instances(body: &[u8]) -> Result<Vec<Instance>, String> {
    let raw: Vec<&RawValue> = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    let mut found = Vec::with_capacity(raw.len());
    for text in raw {
        let entry: Entry = serde_json::from_str(text.get()).map_err(|why| why.to_string())?;
        found.push(instance(entry, hash(text.get())));
    }
    found.sort_by(|a, b| (&a.name, &a.node, &a.id).cmp(&(&b.name, &b.node, &b.id)));
    Ok(found)
}

fn instance(entry: Entry, revision: u64) -> Instance {
    let Entry { node, service, checks } = entry;
    let node_address = node.address.unwrap_or_default();
    let mut tags = service.tags.unwrap_or_default();
    tags.sort_unstable();
    Instance {
        status: worst(&checks.unwrap_or_default()).to_owned(),
        id: service.id,
        name: service.name,
        kind: service.kind.unwrap_or_default(),
        address: service.address.filter(|address| !address.is_empty()).unwrap_or_else(|| node_address.clone()),
        port: u16::try_from(service.port).unwrap_or_default(),
        meta: service.meta.unwrap_or_default(),
        tags,
        namespace: service.namespace.unwrap_or_default(),
        node: node.name,
        node_id: node.id.unwrap_or_default(),
        node_address,
        node_datacenter: node.datacenter.unwrap_or_default(),
        node_tagged_addresses: node.tagged_addresses.unwrap_or_default(),
        node_meta: node.meta.unwrap_or_default(),
        revision,
    }
}

/// As Consul's own `AggregatedStatus`: maintenance, critical, warning, passing; none for a state that it does not know.
fn worst(checks: &[Check]) -> &'static str {
    let mut worst = 0;
    for check in checks {
        if check.id == "_node_maintenance" || check.id.starts_with("_service_maintenance:") {
            return "maintenance";
        }
        worst = worst.max(match check.status.as_str() {
            "passing" => 0,
            "warning" => 1,
            "critical" => 2,
            _ => 3,
        });
    }
    ["passing", "warning", "critical", ""][worst]
}

fn checks(body: &[u8]) -> Result<BTreeMap<String, u64>, String> {
    let mut all: Vec<Check> = json(body)?;
    all.sort_by(|a, b| (&a.service_name, &a.node, &a.id).cmp(&(&b.service_name, &b.node, &b.id)));
    let mut hashers: BTreeMap<String, DefaultHasher> = BTreeMap::new();
    for check in all {
        let hasher = hashers.entry(check.service_name).or_default();
        (check.node, check.id, check.status, check.modify_index).hash(hasher);
    }
    Ok(hashers.into_iter().map(|(name, hasher)| (name, hasher.finish())).collect())
}

fn pairs(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pair {
        key: String,
        value: Option<String>,
    }
    let all: Vec<Pair> = json(body)?;
    let mut found = BTreeMap::new();
    for Pair { key, value } in all {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.unwrap_or_default());
        let bytes = bytes.map_err(|why| format!("value of key {key:?}: {why}"))?;
        found.insert(key, String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(found)
}

/// Names whose values are not the same in both.
pub(super) fn differing<V: PartialEq>(old: &BTreeMap<String, V>, new: &BTreeMap<String, V>) -> BTreeSet<String> {
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name);
    changed.chain(old.keys().filter(|name| !new.contains_key(*name))).cloned().collect()
}

/// The same for the same text in every agent of one version, as long as Consul writes it in one way.
fn hash(text: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests;
