//! `terraform.tfvars`: what Consul and the cluster say, textually as CTS renders it (`reference/cts.md` 3.4).
//!
//! One difference: every string is escaped. CTS pastes values of keys, and tags of the catalog, so that a quote or `${`
//! in one breaks the file or changes its meaning (quirk 5).

use std::collections::BTreeMap;

use super::super::hcl::{Body, Expr};
use super::super::inputs::Inputs;
use super::WorkspaceError;
use crate::task::consul_data::{Data, Instance, Query};
use crate::task::run_data::{Subject, parts};
use crate::task::spec::{NamedService, Services, TaskSpec};

/// All rendered parts, a blank line between them. `services` is always there, and last when no part renders it.
pub(super) fn body(task: &TaskSpec, inputs: &Inputs) -> Result<Body, WorkspaceError> {
    let mut body = Body::default();
    let mut has_services = false;
    for (index, part) in parts(task).into_iter().filter(|part| part.rendered).enumerate() {
        if index > 0 {
            body.blank();
        }
        let value = match part.subject {
            Subject::Services(services) => {
                has_services = true;
                Expr::Map(instances(services, inputs)?)
            }
            Subject::Catalog(query) => match answer(inputs, Query::Catalog(query.clone()))? {
                Data::Catalog(names) => Expr::Entries(names.iter().map(|(name, tags)| tagged(name, tags)).collect()),
                _ => return Err(WorkspaceError::WrongData("catalog_services")),
            },
            Subject::Kv(query) => match answer(inputs, Query::Kv(query.clone()))? {
                Data::Kv(pairs) => {
                    Expr::Entries(pairs.iter().map(|(path, value)| (path.clone(), Expr::string(value))).collect())
                }
                _ => return Err(WorkspaceError::WrongData("consul_kv")),
            },
            Subject::Members => {
                Expr::Map(inputs.members.iter().map(|(id, member)| (id.clone(), Expr::from(member))).collect())
            }
        };
        body.attribute(part.subject.variable(), value);
    }
    if !has_services {
        if parts(task).iter().any(|part| part.rendered) {
            body.blank();
        }
        body.attribute("services", Expr::Map(Vec::new()));
    }
    Ok(body)
}

fn answer(inputs: &Inputs, query: Query) -> Result<&Data, WorkspaceError> {
    inputs.data.get(&query).map(AsRef::as_ref).ok_or_else(|| WorkspaceError::NoData(Box::new(query)))
}

/// `"name" = ["a", "b"]`, tags in order.
fn tagged(name: &str, tags: &[String]) -> (String, Expr) {
    let mut tags = tags.to_vec();
    tags.sort();
    (name.to_owned(), Expr::List(tags.into_iter().map(Expr::String).collect()))
}

/// Services by name, instances as they were answered.
fn instances(services: &Services, inputs: &Inputs) -> Result<Vec<(String, Expr)>, WorkspaceError> {
    let mut found = Vec::new();
    let mut add = |query: Query, meta: &BTreeMap<String, String>| match answer(inputs, query)? {
        Data::Services(instances) => {
            found.extend(instances.iter().map(|instance| (instance.key(), object(instance, meta))));
            Ok(())
        }
        _ => Err(WorkspaceError::WrongData("services")),
    };
    match services {
        Services::Names(names) => {
            for service in sorted(names) {
                add(Query::Service(service.query.clone()), &service.meta)?;
            }
        }
        Services::Regexp { query, meta } => add(Query::Services(query.clone()), meta)?,
    }
    Ok(found)
}

/// By name, as CTS renders them whatever the order of the configuration.
pub(super) fn sorted(names: &[NamedService]) -> Vec<&NamedService> {
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort_by(|a, b| a.query.name.cmp(&b.query.name));
    sorted
}

/// The attributes in the order of service definition protocol v0 (`reference/cts.md` 3.3).
fn object(instance: &Instance, meta: &BTreeMap<String, String>) -> Expr {
    let map = |map: &BTreeMap<String, String>| {
        Expr::Object(map.iter().map(|(key, value)| (key.clone(), Expr::string(value))).collect())
    };
    let mut tags = instance.tags.clone();
    tags.sort();
    let attributes = [
        ("id", Expr::string(&instance.id)),
        ("name", Expr::string(&instance.name)),
        ("kind", Expr::string(&instance.kind)),
        ("address", Expr::string(&instance.address)),
        ("port", Expr::Number(instance.port.into())),
        ("meta", map(&instance.meta)),
        ("tags", Expr::List(tags.into_iter().map(Expr::String).collect())),
        ("namespace", Expr::string(&instance.namespace)),
        ("status", Expr::string(&instance.status)),
        ("node", Expr::string(&instance.node)),
        ("node_id", Expr::string(&instance.node_id)),
        ("node_address", Expr::string(&instance.node_address)),
        ("node_datacenter", Expr::string(&instance.node_datacenter)),
        ("node_tagged_addresses", map(&instance.node_tagged_addresses)),
        ("node_meta", map(&instance.node_meta)),
        ("cts_user_defined_meta", map(meta)),
    ];
    Expr::Object(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests;
