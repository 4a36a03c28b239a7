//! Definitions as objects of the API, defaults filled in.

use serde_json::{Map, Value, json};

use super::ObjectContext;
use crate::config::duration;
use crate::task::consul_data::KvQuery;
use crate::task::spec::{Approval, Condition, HIDDEN, ModuleInput, Services, TaskSpec, Work};
use crate::terraform::dynamic::is_template;

/// The object of a task. What the API cannot say (directories, times, retries) is not in it.
///
/// `buffer_period` is there when it differs from the configuration's own, and disabled for a schedule, as in CTS.
///
/// Values of sensitive variables are not in it, so that an object that was shown cannot be taken for a definition.
pub fn to_object(spec: &TaskSpec, context: &ObjectContext) -> Value {
    let mut object = whole(spec, context);
    for name in &spec.run.sensitive {
        if let Some(value) = object["variables"].get_mut(name).filter(|value| !value.as_str().is_some_and(is_template))
        {
            *value = HIDDEN.into();
        }
    }
    object
}

/// The same with all values, for whoever defines the task.
pub(in crate::config) fn whole(spec: &TaskSpec, context: &ObjectContext) -> Value {
    let mut task = Map::new();
    let mut put = |key: &str, value: Value| drop(task.insert(key.to_owned(), value));
    put("name", json!(spec.name));
    put("description", json!(spec.description));
    put("enabled", json!(spec.enabled));
    match &spec.work {
        Work::Command { argv } => put("command", json!(argv)),
        Work::Terraform(work) => {
            put("module", json!(work.module));
            put("version", json!(work.version));
            put("providers", json!(work.providers));
            put("variables", json!(work.variables));
            if !spec.run.sensitive.is_empty() {
                put("sensitive_variables", json!(spec.run.sensitive));
            }
        }
    }
    if spec.run.review.approval != Approval::Never {
        put("approval", json!(spec.run.review.approval));
    }
    put("condition", condition(&spec.condition));
    put("module_input", spec.inputs.iter().map(input).collect::<Map<_, _>>().into());
    let scheduled = matches!(spec.condition, Condition::Schedule { .. });
    if scheduled || spec.buffer != context.buffer {
        let (min, max) = spec.buffer.map(|buffer| (buffer.min, buffer.max)).unwrap_or_default();
        let enabled = spec.buffer.is_some();
        put("buffer_period", json!({"enabled": enabled, "min": duration::show(min), "max": duration::show(max)}));
    }
    Value::Object(task)
}

fn condition(condition: &Condition) -> Value {
    let with = |mut body: Value, as_input: bool| {
        body["use_as_module_input"] = json!(as_input);
        body
    };
    match condition {
        Condition::Schedule { cron } => json!({"schedule": {"cron": cron}}),
        Condition::Members { use_as_module_input } => json!({"members": with(json!({}), *use_as_module_input)}),
        Condition::Services { services: it, use_as_module_input } => {
            json!({"services": with(services(it), *use_as_module_input)})
        }
        Condition::CatalogServices { catalog, use_as_module_input } => {
            let body = json!({
                "regexp": catalog.regexp, "datacenter": catalog.datacenter, "namespace": catalog.namespace,
                "node_meta": catalog.node_meta,
            });
            json!({"catalog_services": with(body, *use_as_module_input)})
        }
        Condition::ConsulKv { kv: it, use_as_module_input } => json!({"consul_kv": with(kv(it), *use_as_module_input)}),
        Condition::None => json!({}),
    }
}

fn input(input: &ModuleInput) -> (String, Value) {
    match input {
        ModuleInput::Members => ("members".to_owned(), json!({})),
        ModuleInput::Services(it) => ("services".to_owned(), services(it)),
        ModuleInput::ConsulKv(it) => ("consul_kv".to_owned(), kv(it)),
    }
}

/// Services with options of their own (the deprecated `service` blocks) are shown by name only.
fn services(services: &Services) -> Value {
    match services {
        Services::Names(all) => {
            let names: Vec<&str> = all.iter().map(|it| it.query.name.as_str()).collect();
            let options = |i: usize| {
                let it = all.get(i)?;
                Some((&it.query.datacenter, &it.query.namespace, &it.query.filter, &it.meta))
            };
            let shared = options(0).filter(|first| (1..all.len()).all(|i| options(i).as_ref() == Some(first)));
            match shared {
                Some((datacenter, namespace, filter, meta)) => json!({
                    "names": names, "datacenter": datacenter, "namespace": namespace, "filter": filter,
                    "cts_user_defined_meta": meta,
                }),
                None => json!({
                    "names": names, "datacenter": "", "namespace": "", "filter": "", "cts_user_defined_meta": {},
                }),
            }
        }
        Services::Regexp { query, meta } => json!({
            "regexp": query.regexp, "datacenter": query.datacenter, "namespace": query.namespace,
            "filter": query.filter, "cts_user_defined_meta": meta,
        }),
    }
}

fn kv(kv: &KvQuery) -> Value {
    json!({"path": kv.path, "recurse": kv.recurse, "datacenter": kv.datacenter, "namespace": kv.namespace})
}
