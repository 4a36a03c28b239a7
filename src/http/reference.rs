//! `docs/api.md`, made from the document that agents serve and from what each request needs.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::permission::needed;
use super::tasks::is_task_path;
use super::{routes, schema};
use crate::access::{OPEN_BY_DEFAULT, OPENABLE, Scope};
use crate::generated;

const HEAD: &str = "\
# The HTTP API

Every path works on every agent. What only the leader can answer is passed on to it (`follower_requests = \"redirect\"` names it instead);
views of the cluster and commands to an agent are answered by the one that is asked. `/v1` is the API of Consul-Terraform-Sync with additions;
[cts-differences.md](cts-differences.md) lists what differs. Bodies and answers are described in `/openapi.json`, which every agent serves
([`src/http/openapi.json`](../src/http/openapi.json)) and against which requests and all answers in the tests are checked.

This page is made from the code; a test compares it.

- **Role**: what a caller needs once there is an [`access`](configuration.md#access) block. *of the task*: for that task; *unlimited*: a role that is
  not limited to tasks; *by name*: never by what `default` gives. Lists show each caller its own tasks. *open*: anybody may ask unless `open` says otherwise.
- **Answered by**: the leader, or the agent that is asked.
- A change of state is sent with `Content-Type: application/json`. `HEAD` works where `GET` does.
- Errors are `{\"error\": {\"message\": ..}, \"request_id\": ..}`, as in CTS. `/leader` and paths that do not exist answer in plain text, `/readyz` with its reasons.

| request | role | answered by | what it does |
|---|---|---|---|
";

fn role(method: &str, path: &str) -> String {
    let need = needed(method, path);
    let scope = match need.scope {
        Scope::Any => "",
        Scope::Task(_) => " of the task",
        Scope::Whole => " unlimited",
    };
    let name = if need.named { ", by name" } else { "" };
    let open = match path {
        _ if OPEN_BY_DEFAULT.contains(&path) => "; open",
        _ if OPENABLE.contains(&path) => "; may be open",
        _ => "",
    };
    format!("{}{scope}{name}{open}", need.role)
}

fn operations(document: &Value) -> Vec<(String, &String, &Map<String, Value>)> {
    let mut all = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            all.push((method.to_uppercase(), path, operation.as_object().unwrap()));
        }
    }
    all.sort_by_key(|(_, path, _)| (*path).clone());
    all
}

fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('|', "\\|")
}

/// Of a query, with what the document says of it.
fn parameter(document: &Value, parameter: &Value) -> Option<String> {
    let parameter = match parameter["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap(),
        None => parameter,
    };
    if parameter["in"] != "query" {
        return None;
    }
    let values = parameter["schema"]["enum"].as_array();
    let values = values.into_iter().flatten().filter(|value| *value != "").map(|value| format!("`{}`", words(value)));
    let said = [values.collect::<Vec<_>>().join(" or "), words(&parameter["description"])];
    let said: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).collect();
    let said = if said.is_empty() { String::new() } else { format!(": {}", said.join(". ")) };
    Some(format!("- `?{}`{said}", words(&parameter["name"])))
}

fn statuses(operation: &Map<String, Value>) -> String {
    operation["responses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_of_the_api_is_current() {
    let document: Value = serde_json::from_str(schema::DOCUMENT).unwrap();
    let (mut table, mut details) = (HEAD.to_owned(), String::new());
    for (method, path, operation) in operations(&document) {
        let who = if is_task_path(path) { "leader" } else { "agent" };
        let role = role(&method, path);
        writeln!(table, "| `{method} {path}` | {role} | {who} | {} |", words(&operation["summary"])).unwrap();
        writeln!(details, "\n### `{method} {path}`\n\n{}.", words(&operation["summary"])).unwrap();
        if let Some(description) = operation.get("description") {
            writeln!(details, "{}", words(description)).unwrap();
        }
        writeln!(details, "Answers: {}.", statuses(operation)).unwrap();
        let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let parameters: Vec<String> = parameters.filter_map(|found| parameter(&document, found)).collect();
        if !parameters.is_empty() {
            writeln!(details, "\n{}", parameters.join("\n")).unwrap();
        }
    }
    generated::check("docs/api.md", &format!("{table}\n## Each request\n{details}"));
}

/// The router's own list is longer than the document only by what is no path of its own.
#[test]
fn every_route_is_in_the_document() {
    let document: Value = serde_json::from_str(schema::DOCUMENT).unwrap();
    let source = include_str!("routes.rs");
    let patterns = source.split("fn pattern(").nth(1).unwrap().split("_ => \"other\"").next().unwrap();
    let labels: Vec<&str> = patterns.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect();
    assert!(labels.len() > 25, "only {labels:?} were found: has their form changed?");
    for label in labels {
        assert!(document["paths"].get(label).is_some(), "{label} is answered and not in the document");
        assert_eq!(routes::pattern(label), label);
    }
}
