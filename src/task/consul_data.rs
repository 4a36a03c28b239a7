//! What tasks are fed from Consul: the questions, and the answers in the form that everything above works with.
//!
//! Equal queries of several tasks are one query: one watch in Consul serves them all. Answers are complete and sorted, so
//! that two equal states of Consul give equal data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One question to Consul.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// The instances of one service. Answered with [`Data::Services`].
    Service(ServiceQuery),
    /// The instances of all services whose names match. Answered with [`Data::Services`].
    Services(RegexpQuery),
    /// Names of services and their tags. Answered with [`Data::Catalog`].
    Catalog(CatalogQuery),
    /// One key, or all under a prefix. Answered with [`Data::Kv`].
    Kv(KvQuery),
}

/// The instances of one service: `/v1/health/service/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceQuery {
    /// Its name.
    pub name: String,
    /// Empty: the agent's.
    pub datacenter: String,
    /// Empty: the token's.
    pub namespace: String,
    /// Consul filter expression; empty: none. Without `Checks.Status` in it only passing instances are asked for.
    pub filter: String,
}

/// The instances of all services whose names match.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RegexpQuery {
    /// RE2, unanchored; empty matches all.
    pub regexp: String,
    /// Empty: the agent's.
    pub datacenter: String,
    /// Empty: the token's.
    pub namespace: String,
    /// Consul filter expression; empty: none. Only passing instances are asked for, whatever it says.
    pub filter: String,
}

/// Names and tags of services: `/v1/catalog/services`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CatalogQuery {
    /// RE2, unanchored; empty matches all. Applied here, not by Consul.
    pub regexp: String,
    /// Empty: the agent's.
    pub datacenter: String,
    /// Empty: the token's.
    pub namespace: String,
    /// Only services on nodes with this metadata.
    pub node_meta: BTreeMap<String, String>,
}

/// One key, or all under a prefix: `/v1/kv/<path>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KvQuery {
    /// Without a leading slash.
    pub path: String,
    /// All keys that begin with `path`.
    pub recurse: bool,
    /// Empty: the agent's.
    pub datacenter: String,
    /// Empty: the token's.
    pub namespace: String,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// Sorted by service name, then node, then id (for a regexp: by node, then id).
    Services(Vec<Instance>),
    /// Name to sorted tags.
    Catalog(BTreeMap<String, Vec<String>>),
    /// Full path to value; empty when the key is absent. A value that is not UTF-8 is replaced where it is not.
    Kv(BTreeMap<String, String>),
}

/// One instance of a service, as `terraform.tfvars` shows it (`reference/cts.md` 3.3, without `cts_user_defined_meta`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    /// Service id, unique on its node.
    pub id: String,
    /// Service name.
    pub name: String,
    /// Empty, `connect-proxy`, ...
    pub kind: String,
    /// The service's address, else the node's.
    pub address: String,
    /// Its port; 0: none.
    pub port: u16,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// Sorted.
    pub tags: Vec<String>,
    /// Empty on community Consul.
    pub namespace: String,
    /// Worst state of its checks: `passing`, `warning`, `critical`, `maintenance`.
    pub status: String,
    /// Name of its node.
    pub node: String,
    /// Id of its node.
    pub node_id: String,
    /// Address of its node.
    pub node_address: String,
    /// Datacenter of its node.
    pub node_datacenter: String,
    /// Tagged addresses of its node.
    pub node_tagged_addresses: BTreeMap<String, String>,
    /// Metadata of its node.
    pub node_meta: BTreeMap<String, String>,
    /// Hash of the whole answer of Consul about it, checks and weights included: CTS runs a task also when only what is
    /// not shown in the variables has changed.
    pub revision: u64,
}

impl Instance {
    /// Its key in `services`: `ID.Node.Namespace.Datacenter`, empty parts left out (`reference/cts.md` 3.3).
    pub fn key(&self) -> String {
        let parts = [&self.id, &self.node, &self.namespace, &self.node_datacenter];
        let mut key = String::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(part);
        }
        key
    }
}

impl fmt::Display for Query {
    /// For people: `service "web"`, `key "a/b"`, with the datacenter when one is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datacenter = match self {
            Self::Service(query) => {
                write!(f, "service \"{}\"", query.name)?;
                &query.datacenter
            }
            Self::Services(query) => {
                write!(f, "services matching \"{}\"", query.regexp)?;
                &query.datacenter
            }
            Self::Catalog(query) => {
                write!(f, "names of services matching \"{}\"", query.regexp)?;
                &query.datacenter
            }
            Self::Kv(query) => {
                write!(f, "{} \"{}\"", if query.recurse { "keys under" } else { "key" }, query.path)?;
                &query.datacenter
            }
        };
        if datacenter.is_empty() { Ok(()) } else { write!(f, " in {datacenter}") }
    }
}
