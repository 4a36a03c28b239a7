//! What is asked: the endpoints of Consul's HTTP API that are watched or read, and the parameters of each
//! (`reference/cts.md` 7.1).

use std::collections::BTreeMap;

use crate::task::consul_data::{KvQuery, RegexpQuery, ServiceQuery};

/// Datacenter and namespace, both possibly empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    pub(crate) datacenter: String,
    pub(crate) namespace: String,
}

/// One address that can be asked, blocking or not. Equal endpoints are asked once for all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// Who leads: asked to confirm that an empty answer is one.
    Leader,
    /// Instances of a service.
    Service { scope: Scope, name: String, filter: String, passing: bool },
    /// Names and tags of services.
    Catalog { scope: Scope, node_meta: BTreeMap<String, String> },
    /// All checks: moves with each change of health.
    Checks(Scope),
    /// All nodes: the only one that moves when nothing but a node's address or metadata changes.
    Nodes(Scope),
    /// A key or a prefix.
    Kv(KvQuery),
}

impl Endpoint {
    /// None stands before it in their order.
    pub(crate) const FIRST: Self = Self::Leader;

    /// Instances of one service. Only passing ones are asked for unless the filter speaks of states itself.
    pub(crate) fn of_service(query: &ServiceQuery) -> Self {
        let scope = Scope { datacenter: query.datacenter.clone(), namespace: query.namespace.clone() };
        let passing = !query.filter.contains("Checks.Status");
        Self::Service { scope, name: query.name.clone(), filter: query.filter.clone(), passing }
    }

    /// Instances of a service that a regexp found. CTS always asks for passing ones here.
    pub(crate) fn of_match(query: &RegexpQuery, name: &str) -> Self {
        let scope = Scope { datacenter: query.datacenter.clone(), namespace: query.namespace.clone() };
        Self::Service { scope, name: name.to_owned(), filter: query.filter.clone(), passing: true }
    }

    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Service { scope, .. } | Self::Catalog { scope, .. } | Self::Checks(scope) | Self::Nodes(scope) => {
                scope.clone()
            }
            Self::Kv(query) => Scope { datacenter: query.datacenter.clone(), namespace: query.namespace.clone() },
            Self::Leader => Scope::default(),
        }
    }

    /// The path, as segments that are yet to be escaped.
    pub(crate) fn path(&self) -> Vec<&str> {
        match self {
            Self::Service { name, .. } => vec!["v1", "health", "service", name],
            Self::Catalog { .. } => vec!["v1", "catalog", "services"],
            Self::Checks(_) => vec!["v1", "health", "state", "any"],
            Self::Nodes(_) => vec!["v1", "catalog", "nodes"],
            Self::Kv(query) => ["v1", "kv"].into_iter().chain(query.path.split('/')).collect(),
            Self::Leader => vec!["v1", "status", "leader"],
        }
    }

    /// The parameters. `index`: wait until Consul's is beyond it. `namespace` stands in where none is named.
    pub(crate) fn parameters(&self, index: Option<u64>, namespace: &str, partition: &str) -> Vec<(&str, String)> {
        let scope = self.scope();
        let mut found = Vec::new();
        let mut add = |key, value: &str| {
            if !value.is_empty() {
                found.push((key, value.to_owned()));
            }
        };
        match self {
            Self::Leader => return Vec::new(),
            Self::Service { filter, passing, .. } => {
                add("passing", if *passing { "1" } else { "" });
                add("filter", filter);
            }
            Self::Kv(query) => add("recurse", if query.recurse { "true" } else { "" }),
            Self::Catalog { node_meta, .. } => {
                for (key, value) in node_meta {
                    add("node-meta", &format!("{key}:{value}"));
                }
            }
            Self::Checks(_) | Self::Nodes(_) => {}
        }
        add("dc", &scope.datacenter);
        add("ns", if scope.namespace.is_empty() { namespace } else { &scope.namespace });
        add("partition", partition);
        if let Some(index) = index {
            add("index", &index.to_string());
            // CTS leaves Consul's 5 min. A Consul that restarted without data between two requests has a lower index and
            // would keep us waiting all that time for one that is long past.
            add("wait", "30s");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(endpoint: &Endpoint) -> String {
        let all = endpoint.parameters(Some(7), "team", "part");
        all.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn only_passing_instances_are_asked_for_unless_the_filter_speaks_of_states() {
        let query = |filter: &str| ServiceQuery { name: "a/b".into(), filter: filter.into(), ..Default::default() };
        let plain = Endpoint::of_service(&query(""));
        assert_eq!(plain.path(), ["v1", "health", "service", "a/b"]);
        assert_eq!(parameters(&plain), "passing=1&ns=team&partition=part&index=7&wait=30s");
        let filter = "Checks.Status != \"\"";
        let all = Endpoint::of_service(&query(filter));
        assert_eq!(parameters(&all), "filter=Checks.Status != \"\"&ns=team&partition=part&index=7&wait=30s");
        let regexp = RegexpQuery { filter: filter.into(), datacenter: "dc2".into(), ..RegexpQuery::default() };
        let matched = Endpoint::of_match(&regexp, "web");
        assert_eq!(
            parameters(&matched),
            "passing=1&filter=Checks.Status != \"\"&dc=dc2&ns=team&partition=part&index=7&wait=30s"
        );
    }

    #[test]
    fn metadata_of_nodes_and_recursion_are_passed_on() {
        let scope = Scope { datacenter: String::new(), namespace: "own".into() };
        let node_meta = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into();
        let catalog = Endpoint::Catalog { scope, node_meta };
        assert_eq!(parameters(&catalog), "node-meta=a:1&node-meta=b:2&ns=own&partition=part&index=7&wait=30s");
        let kv = Endpoint::Kv(KvQuery { path: "a b/c/".into(), recurse: true, ..KvQuery::default() });
        assert_eq!(kv.path(), ["v1", "kv", "a b", "c", ""]);
        assert_eq!(parameters(&kv), "recurse=true&ns=team&partition=part&index=7&wait=30s");
    }
}
