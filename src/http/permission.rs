//! What a request needs: from its method and path to a role and what it is for. The one place that says so.

use std::borrow::Cow;

use super::path::{below, percent_decode};
use crate::access::{Need, Role, Scope};

/// What this request needs. A path that is not known here needs `admin` for changes and `read` for reads.
///
/// | role | for |
/// |---|---|
/// | `read` | the cluster, tasks, their events without outputs, which Terraform states there are |
/// | `operate` | running, enabling, disabling and cancelling tasks, reading and approving plans, outputs, step-down |
/// | `admin` | making and deleting tasks, contents of Terraform state, tokens, keys, reload, leave |
pub(super) fn needed(method: &str, path: &str) -> Need {
    let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
    let (read, operate, admin) = (Role::Read, Role::Operate, Role::Admin);
    if path == "/v1/tokens/self" && reads {
        return Need::new(read, Scope::Any);
    }
    if is_below(path, "/v1/tokens") {
        return Need::new(admin, Scope::Whole).named();
    }
    // They name every task.
    if path == "/metrics" && reads {
        return Need::new(read, Scope::Whole);
    }
    if path == "/v1/cluster/step-down" {
        return Need::new(operate, Scope::Whole);
    }
    if let Some(name) = below(path, "/v1/status/tasks") {
        return if reads { Need::new(read, tasks(name)) } else { Need::new(admin, task(name)) };
    }
    if let Some(rest) = below(path, "/v1/tasks") {
        return match method {
            // A plan shows values of the task's variables and resources.
            _ if reads && rest.ends_with("/plan") => {
                Need::new(operate, task(rest.strip_suffix("/plan").unwrap_or(rest)))
            }
            _ if reads => Need::new(read, tasks(rest)),
            "PATCH" => Need::new(operate, task(rest)),
            "DELETE" => Need::new(admin, task(rest)),
            // Which task it is about stands in the body: it is looked at again when that is read.
            "POST" if rest.is_empty() => Need::new(admin, Scope::Any),
            _ => match rest.rsplit_once('/') {
                Some((name, "run" | "cancel" | "approve" | "reject")) => Need::new(operate, task(name)),
                Some((name, _)) => Need::new(admin, task(name)),
                None => Need::new(admin, task(rest)),
            },
        };
    }
    // Of which task a run is, is looked at when it is found.
    if let Some(rest) = below(path, "/v1/runs") {
        let role = if rest.ends_with("/log") { operate } else { read };
        return Need::new(if reads { role } else { admin }, Scope::Any);
    }
    if let Some(rest) = below(path, "/v1/cluster/state") {
        return match rest.split_once('/') {
            // Which states there are, and their versions.
            None if reads && rest.is_empty() => Need::new(read, Scope::Any),
            Some((name, "history")) if reads => Need::new(read, task(name)),
            // Secrets stand in a state as they are.
            Some((name, _)) => Need::new(admin, task(name)),
            None => Need::new(admin, task(rest)),
        };
    }
    if reads { Need::new(read, Scope::Any) } else { Need::new(admin, Scope::Whole) }
}

fn is_below(path: &str, collection: &str) -> bool {
    below(path, collection).is_some()
}

/// A task, named as in a path, or the whole collection, of which each caller is shown its own.
fn tasks(raw: &str) -> Scope {
    if raw.is_empty() { Scope::Any } else { task(raw) }
}

/// A task, named as in a path. What is no text or empty is no name that a limited role has.
fn task(raw: &str) -> Scope {
    match percent_decode(raw) {
        Some(Cow::Borrowed("")) | None => Scope::Whole,
        Some(name) => Scope::Task(name.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::schema;
    use super::*;

    /// Every operation of the API, with what it needs. One that is missing here fails the test below.
    const NEEDS: &[(&str, &str, &str)] = &[
        ("GET", "/livez", "read any"),
        ("GET", "/readyz", "read any"),
        ("GET", "/leader", "read any"),
        ("GET", "/metrics", "read whole"),
        ("GET", "/openapi.json", "read any"),
        ("GET", "/v1/health", "read any"),
        ("GET", "/v1/status", "read any"),
        ("GET", "/v1/status/tasks", "read any"),
        ("GET", "/v1/status/tasks/{name}", "read task"),
        ("GET", "/v1/status/cluster", "read any"),
        ("GET", "/status/cluster", "read any"),
        ("GET", "/v1/cluster", "read any"),
        ("GET", "/v1/cluster/tasks", "read any"),
        ("GET", "/v1/tasks", "read any"),
        ("POST", "/v1/tasks", "admin any"),
        ("GET", "/v1/tasks/{name}", "read task"),
        ("PATCH", "/v1/tasks/{name}", "operate task"),
        ("DELETE", "/v1/tasks/{name}", "admin task"),
        ("POST", "/v1/tasks/{name}/run", "operate task"),
        ("POST", "/v1/tasks/{name}/cancel", "operate task"),
        ("GET", "/v1/tasks/{name}/plan", "operate task"),
        ("POST", "/v1/tasks/{name}/approve", "operate task"),
        ("POST", "/v1/tasks/{name}/reject", "operate task"),
        ("GET", "/v1/events", "read any"),
        ("GET", "/v1/runs", "read any"),
        ("GET", "/v1/runs/{run}", "read any"),
        ("GET", "/v1/runs/{run}/log", "operate any"),
        ("POST", "/v1/cluster/step-down", "operate whole"),
        ("POST", "/v1/cluster/leave", "admin whole"),
        ("POST", "/v1/cluster/reload", "admin whole"),
        ("GET", "/v1/keyring", "read any"),
        ("POST", "/v1/keyring/install", "admin whole"),
        ("POST", "/v1/keyring/use", "admin whole"),
        ("POST", "/v1/keyring/remove", "admin whole"),
        ("GET", "/v1/cluster/state", "read any"),
        ("GET", "/v1/cluster/state/{name}", "admin task"),
        ("PUT", "/v1/cluster/state/{name}", "admin task"),
        ("GET", "/v1/cluster/state/{name}/history", "read task"),
        ("POST", "/v1/cluster/state/{name}/restore", "admin task"),
        ("POST", "/v1/cluster/state/{name}/dismiss", "admin task"),
        ("GET", "/v1/tokens", "admin whole named"),
        ("POST", "/v1/tokens", "admin whole named"),
        ("GET", "/v1/tokens/self", "read any"),
        ("POST", "/v1/tokens/bootstrap", "admin whole named"),
        ("GET", "/v1/tokens/{accessor}", "admin whole named"),
        ("DELETE", "/v1/tokens/{accessor}", "admin whole named"),
        ("POST", "/v1/tokens/{accessor}/rotate", "admin whole named"),
    ];

    fn words(need: &Need) -> String {
        let scope = match &need.scope {
            Scope::Any => "any",
            Scope::Task(name) => {
                assert_eq!(name, "web-1");
                "task"
            }
            Scope::Whole => "whole",
        };
        format!("{} {scope}{}", need.role, if need.named { " named" } else { "" })
    }

    #[test]
    fn every_operation_of_the_document_needs_what_the_table_says() {
        for (method, path, need) in NEEDS {
            assert_eq!(words(&needed(method, &path.replace("{name}", "web%2D1"))), *need, "{method} {path}");
        }
        let document: Value = serde_json::from_str(schema::DOCUMENT).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                let known = NEEDS.iter().any(|(m, p, _)| *m == method && p == path);
                assert!(known, "{method} {path} is not in the table");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_read_by_readers_and_changed_by_admins() {
        assert_eq!(words(&needed("GET", "/v1/keyring")), "read any");
        for path in ["/v1/keyring", "/", "/v1/statusx", "/v1/cluster/force-leave"] {
            assert_eq!(words(&needed("POST", path)), "admin whole", "{path}");
        }
        assert_eq!(words(&needed("POST", "/v1/tasks/web-1/erase")), "admin task");
    }

    #[test]
    fn a_name_is_what_the_api_makes_of_it() {
        let scope = |path: &str| needed("GET", path).scope;
        assert_eq!(scope("/v1/tasks/"), Scope::Any);
        assert_eq!(scope("/v1/tasks/%ff"), Scope::Whole);
        assert_eq!(scope("/v1/tasks/web%2D1"), Scope::Task("web-1".to_owned()));
        assert_eq!(needed("POST", "/v1/tasks/web-1/x/run").scope, Scope::Task("web-1/x".to_owned()));
        for (method, path) in [
            ("POST", "/v1/tasks//run"),
            ("PATCH", "/v1/tasks/"),
            ("GET", "/v1/cluster/state//db"),
            ("GET", "/v1/cluster/state//history"),
            ("PUT", "/v1/cluster/state/"),
        ] {
            assert_eq!(needed(method, path).scope, Scope::Whole, "an empty name is nobody's: {method} {path}");
        }
    }
}
