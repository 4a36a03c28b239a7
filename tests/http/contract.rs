//! Holds every answer of these tests against `openapi.json`: path, method, status, type and the shape of the body.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

/// The document that agents serve and check requests against.
fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap())
}

/// Panics when the document does not allow this answer.
#[track_caller]
pub(crate) fn check(method: &str, target: &str, status: u16, content_type: Option<&str>, body: &[u8]) {
    let path = target.split('?').next().unwrap();
    let what = format!("{method} {target}: {status} {:?}", String::from_utf8_lossy(body));
    let Some(operations) = operations(path) else {
        // A slash in the name of a task.
        let slash = path.starts_with("/v1/") && path.contains("tasks/") && status == 400;
        assert!(slash || matches!(status, 404 | 403) || method == "OPTIONS", "no such path in the document: {what}");
        return;
    };
    let Some(operation) = operations.get(&method.to_lowercase()) else {
        let head = method == "HEAD" && operations.contains_key("get");
        assert!(
            matches!(status, 405 | 401 | 403 | 400 | 501 | 503) || method == "OPTIONS" || head,
            "no such method: {what}"
        );
        return;
    };
    let response = operation["responses"].get(status.to_string());
    let response = resolved(response.unwrap_or_else(|| panic!("no such status in the document: {what}")));
    let media = content_type.unwrap().split(';').next().unwrap();
    let content = response["content"].get(media).unwrap_or_else(|| panic!("no such type in the document: {what}"));
    if media != "application/json" {
        return;
    }
    let schema = json!({"allOf": [content["schema"].clone()], "components": strict(&document()["components"])});
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let body: Value = serde_json::from_slice(body).unwrap();
    let errors: Vec<String> = validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "not as in the document: {what}\n{errors:?}");
}

/// Every path of the document is there.
pub(crate) fn check_paths(status: impl Fn(&str) -> u16) {
    let paths: Vec<&String> = document()["paths"].as_object().unwrap().keys().collect();
    assert!(paths.len() > 20);
    for path in paths {
        let concrete = path.replace("{name}", "web").replace("{accessor}", "1f2e3d4c5b6a").replace("{run}", "no-run");
        let answered = status(&concrete);
        // What only POST reaches is 405; no state is kept in these tests.
        assert_ne!((answered, path.contains("/state")), (404, false), "{path}");
    }
}

/// Every operation: method, and path with names filled in.
pub(crate) fn operations_of_document() -> Vec<(String, String)> {
    let paths = document()["paths"].as_object().unwrap();
    let of = |(path, operations): (&String, &Value)| {
        let path = path.replace("{name}", "web").replace("{accessor}", "1f2e3d4c5b6a").replace("{run}", "no-run");
        let methods: Vec<String> = operations.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        methods.into_iter().map(|method| (method, path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// The methods of the most exact template that fits.
fn operations(path: &str) -> Option<&'static Map<String, Value>> {
    let fits = |template: &str| {
        let mut parts = path.split('/');
        let all =
            template.split('/').all(|part| parts.next().is_some_and(|real| part.starts_with('{') || part == real));
        all && parts.next().is_none()
    };
    let paths = document()["paths"].as_object().unwrap();
    let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
    found.sort_by_key(|template| template.contains('{'));
    found.first().map(|template| paths[*template].as_object().unwrap())
}

fn resolved(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document().pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// The same with no property beside those that are written down: clients must not mind more, but we write down all.
fn strict(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Map<String, Value> =
                fields.iter().map(|(key, value)| (key.clone(), strict(value))).collect();
            if fields.contains_key("properties") && fields.get("type").is_some_and(|kind| *kind != "array") {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            Value::Object(fields)
        }
        Value::Array(items) => Value::Array(items.iter().map(strict).collect()),
        other => other.clone(),
    }
}
