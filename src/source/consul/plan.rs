//! Which endpoints answer which queries.
//!
//! Few services of a datacenter are watched one by one. More than [`SINGLE_MAX`], or a regexp, are watched together:
//! three blocking queries say that *something* changed (checks, the catalog, nodes), and what may have changed is read.
//! The three together move with every change that the answer about a service can show, which `tests/consul` holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;

use super::answer::Content;
use super::error::ConsulError;
use super::request::{Endpoint, Scope};
use crate::task::consul_data::{CatalogQuery, Data, Query, RegexpQuery};

/// Distinct services of one datacenter and namespace that are watched one by one: a connection each.
/// Their changes come without a second question; Consul allows 200 connections of one address, which others may need too.
pub(super) const SINGLE_MAX: usize = 32;

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Always, by blocking queries.
    Watch,
    /// When something says that its answer may have changed.
    Read,
}

/// The parts of a query that are worked out once.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    regexp: Option<Regex>,
}

impl Compiled {
    /// Refuses a regexp that is none.
    pub(super) fn new(query: &Query) -> Result<Self, ConsulError> {
        let text = match query {
            Query::Services(RegexpQuery { regexp, .. }) | Query::Catalog(CatalogQuery { regexp, .. }) => regexp,
            Query::Service(_) | Query::Kv(_) => return Ok(Self { regexp: None }),
        };
        let compiled = Regex::new(text).map_err(|why| ConsulError::Query(format!("regexp {text:?}: {why}")))?;
        Ok(Self { regexp: Some(compiled) })
    }

    fn matches(&self, name: &str) -> bool {
        self.regexp.as_ref().is_none_or(|regexp| regexp.is_match(name))
    }
}

/// The three that say that something changed.
pub(super) fn sentinels(scope: &Scope) -> [Endpoint; 3] {
    let catalog = Endpoint::Catalog { scope: scope.clone(), node_meta: BTreeMap::new() };
    [catalog, Endpoint::Checks(scope.clone()), Endpoint::Nodes(scope.clone())]
}

/// What a query is answered from directly: the catalog for a regexp is [`catalog`].
pub(super) fn basis<'a>(
    query: &Query,
    compiled: &Compiled,
    get: impl Fn(&Endpoint) -> Option<&'a Content>,
) -> Vec<Endpoint> {
    match query {
        Query::Service(query) => vec![Endpoint::of_service(query)],
        Query::Kv(query) => vec![Endpoint::Kv(query.clone())],
        Query::Catalog(_) => vec![catalog(query)],
        Query::Services(regexp) => match get(&catalog(query)) {
            Some(Content::Catalog(names)) => names
                .keys()
                .filter(|name| compiled.matches(name))
                .map(|name| Endpoint::of_match(regexp, name))
                .collect(),
            _ => Vec::new(),
        },
    }
}

/// The list of names that a regexp is applied to.
pub(super) fn catalog(query: &Query) -> Endpoint {
    let (scope, node_meta) = match query {
        Query::Catalog(query) => (scope(&query.datacenter, &query.namespace), query.node_meta.clone()),
        Query::Services(query) => (scope(&query.datacenter, &query.namespace), BTreeMap::new()),
        Query::Service(query) => (scope(&query.datacenter, &query.namespace), BTreeMap::new()),
        Query::Kv(query) => (scope(&query.datacenter, &query.namespace), BTreeMap::new()),
    };
    Endpoint::Catalog { scope, node_meta }
}

fn scope(datacenter: &str, namespace: &str) -> Scope {
    Scope { datacenter: datacenter.to_owned(), namespace: namespace.to_owned() }
}

/// All endpoints that the queries need, and how each is asked.
pub(super) fn endpoints<'a>(
    queries: &BTreeMap<Query, Compiled>,
    get: impl Fn(&Endpoint) -> Option<&'a Content>,
) -> BTreeMap<Endpoint, Kind> {
    let mut plan = BTreeMap::from([(Endpoint::Leader, Kind::Read)]);
    let mut services: BTreeMap<Scope, BTreeSet<Endpoint>> = BTreeMap::new();
    let mut together: BTreeSet<Scope> = BTreeSet::new();
    for (query, compiled) in queries {
        let asked = basis(query, compiled, &get);
        match query {
            Query::Kv(_) | Query::Catalog(_) => plan.extend(asked.into_iter().map(|endpoint| (endpoint, Kind::Watch))),
            Query::Services(_) | Query::Service(_) => {
                let scope = catalog(query).scope();
                if matches!(query, Query::Services(_)) {
                    together.insert(scope.clone());
                }
                services.entry(scope).or_default().extend(asked);
            }
        }
    }
    for (scope, endpoints) in services {
        let is_together = endpoints.len() > SINGLE_MAX || together.contains(&scope);
        let kind = if is_together { Kind::Read } else { Kind::Watch };
        plan.extend(endpoints.into_iter().map(|endpoint| (endpoint, kind)));
        if is_together {
            plan.extend(sentinels(&scope).map(|endpoint| (endpoint, Kind::Watch)));
        }
    }
    plan
}

/// The answer to a query, once everything that it needs is there.
pub(super) fn compose<'a>(
    query: &Query,
    compiled: &Compiled,
    get: impl Fn(&Endpoint) -> Option<&'a Content>,
) -> Option<Data> {
    let content = |endpoint: &Endpoint| get(endpoint);
    match query {
        Query::Service(_) | Query::Services(_) => {
            if matches!(query, Query::Services(_)) {
                content(&catalog(query))?;
            }
            let mut all = Vec::new();
            for endpoint in basis(query, compiled, &get) {
                let Content::Service(found) = content(&endpoint)? else { return None };
                all.extend(found.iter().cloned());
            }
            if matches!(query, Query::Services(_)) {
                all.sort_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
            }
            Some(Data::Services(all))
        }
        Query::Catalog(_) => match content(&catalog(query))? {
            Content::Catalog(names) => {
                let matching = names.iter().filter(|(name, _)| compiled.matches(name));
                Some(Data::Catalog(matching.map(|(name, tags)| (name.clone(), tags.clone())).collect()))
            }
            _ => None,
        },
        Query::Kv(query) => match content(&Endpoint::Kv(query.clone()))? {
            Content::Kv(pairs) => Some(Data::Kv(Arc::unwrap_or_clone(Arc::clone(pairs)))),
            _ => None,
        },
    }
}

/// Whether an answer says that there is nothing.
pub(super) fn is_empty(data: &Data) -> bool {
    match data {
        Data::Services(all) => all.is_empty(),
        Data::Catalog(all) => all.is_empty(),
        Data::Kv(all) => all.is_empty(),
    }
}
