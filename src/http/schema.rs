//! Requests are checked against the very document that `/openapi.json` serves.
//!
//! The errors are worded as CTS words them (`reference/cts.md` 4.7): clients match on `doesn't match schema`, the place of the
//! field and the reason.

use std::sync::OnceLock;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// A body that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// `POST /v1/tasks`.
    TaskRequest,
}

/// Parses a body and checks it. `Err`: what is wrong and where, all of it.
pub(super) fn check(body: &[u8], as_: Body) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("request body has an error: failed to decode request body: {error}"))?;
    let Body::TaskRequest = as_;
    let Some(validator) = task_request() else { return Ok(value) };
    let mut errors: Vec<String> = validator.iter_errors(&value).map(|error| text(&error)).collect();
    if errors.is_empty() {
        return Ok(value);
    }
    errors.sort();
    errors.dedup();
    Err(format!("request body has an error: doesn't match schema: {}", errors.join("; ")))
}

fn task_request() -> Option<&'static Validator> {
    static VALIDATOR: OnceLock<Option<Validator>> = OnceLock::new();
    VALIDATOR.get_or_init(|| compile("TaskRequest").ok()).as_ref()
}

/// A validator for one schema of the document, with all the others beside it.
fn compile(schema: &str) -> Result<Validator, String> {
    let document: Value = serde_json::from_str(DOCUMENT).map_err(|error| error.to_string())?;
    let root = json!({
        "$ref": format!("#/components/schemas/{schema}"),
        "components": document["components"],
    });
    jsonschema::draft202012::new(&root).map_err(|error| error.to_string())
}

/// One violation in CTS's words.
fn text(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().to_string();
    let at = |place: &str, reason: &str| format!("Error at \"{place}\": {reason}");
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(several) => several.iter().map(|t| t.to_string()).collect::<Vec<_>>().join(" or "),
            };
            let article = if wanted.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
            at(&place, &format!("value must be {article} {wanted}"))
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            at(&format!("{place}/{name}"), &format!("property \"{name}\" is missing"))
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let names: Vec<String> =
                unexpected.iter().map(|name| format!("property \"{name}\" is unsupported")).collect();
            at(&place, &names.join(", "))
        }
        ValidationErrorKind::MinLength { limit } => at(&place, &format!("minimum string length is {limit}")),
        _ => at(&place, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        check(body.as_bytes(), Body::TaskRequest).unwrap_err()
    }

    #[test]
    fn every_schema_compiles_and_every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            compile(name).unwrap();
        }
        let mut references = Vec::new();
        let mut left = vec![&document];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(fields) => {
                    references.extend(fields.get("$ref").and_then(Value::as_str));
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        assert!(references.len() > 100);
        for reference in references {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_what_the_specification_wants() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}: not the only one");
                let named = operation["parameters"].as_array().into_iter().flatten().any(|it| it["in"] == "path");
                assert_eq!(named, path.contains('{'), "{method} {path}: the name is a parameter");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(status.parse::<u16>().is_ok(), "{method} {path}");
                    assert!(response["description"].is_string() || response["$ref"].is_string(), "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn a_good_task_passes() {
        let body = r#"{"task": {"name": "x", "module": "./m", "condition": {"services": {"names": ["web"]}}}}"#;
        check(body.as_bytes(), Body::TaskRequest).unwrap();
    }

    #[test]
    fn violations_name_the_place_and_the_reason() {
        let text = refused(r#"{"task": {"name": 1, "module": "./m", "condition": {}}}"#);
        assert_eq!(
            text,
            "request body has an error: doesn't match schema: Error at \"/task/name\": value must be a string"
        );
        let text = refused(r#"{"task": {"name": "x", "module": "./m"}}"#);
        assert!(text.ends_with("Error at \"/task/condition\": property \"condition\" is missing"), "{text}");
        let text = refused(r#"{"task": {"name": "x", "condition": {"schedule": {"cron": "x", "zone": 1}}}}"#);
        assert!(text.ends_with("Error at \"/task/condition/schedule\": property \"zone\" is unsupported"), "{text}");
        let text = refused(r#"{"task": {"name": "x", "enabled": "yes", "condition": {}}}"#);
        assert!(text.contains("value must be a boolean"), "{text}");
        assert!(refused("[]").contains("value must be an object"));
        assert!(refused("{").contains("failed to decode request body"));
    }
}
