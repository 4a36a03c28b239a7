//! A plan as `terraform show -json` prints it: how much it changes, and what of it may be shown.

use std::fmt;

use serde_json::{Map, Value};

/// Stands where a value is sensitive.
const HIDDEN: &str = "(sensitive value)";

/// How many resources a plan changes. A replacement counts as one to add and one to destroy, as Terraform counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Created.
    pub add: u64,
    /// Changed in place.
    pub change: u64,
    /// Destroyed.
    pub destroy: u64,
    /// Outputs that get another value.
    pub outputs: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { add, change, destroy, outputs } = self;
        write!(f, "+{add} ~{change} -{destroy}")?;
        if (*add, *change, *destroy) == (0, 0, 0) && *outputs > 0 {
            write!(f, ", {outputs} output{}", if *outputs == 1 { "" } else { "s" })?;
        }
        Ok(())
    }
}

/// A plan, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// How much it changes.
    pub summary: Summary,
    /// `resource_changes` and `output_changes` without what changes nothing, sensitive values hidden. Nothing else of the plan:
    /// its variables, its configuration and the state before it hold secrets that are not marked.
    pub changes: Value,
}

/// Reads what `terraform show -json` printed. `Err`: it is no plan.
pub fn read(printed: &[u8]) -> Result<Shown, String> {
    let plan: Value =
        serde_json::from_slice(printed).map_err(|error| format!("the plan as JSON makes no sense: {error}"))?;
    let mut summary = Summary::default();
    let mut resources = Vec::new();
    for resource in plan["resource_changes"].as_array().into_iter().flatten() {
        let actions: Vec<&str> =
            resource["change"]["actions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if count(&actions, &mut summary) {
            resources.push(without_secrets(resource));
        }
    }
    let mut outputs = Map::new();
    for (name, output) in plan["output_changes"].as_object().into_iter().flatten() {
        let actions: Vec<&str> = output["actions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if actions != ["no-op"] {
            summary.outputs += 1;
            outputs.insert(name.clone(), change(output));
        }
    }
    let mut changes = Map::new();
    for name in ["format_version", "terraform_version"] {
        if let Some(value) = plan.get(name) {
            changes.insert(name.to_owned(), value.clone());
        }
    }
    changes.insert("resource_changes".to_owned(), Value::Array(resources));
    changes.insert("output_changes".to_owned(), Value::Object(outputs));
    Ok(Shown { summary, changes: Value::Object(changes) })
}

/// Whether these actions change anything.
fn count(actions: &[&str], summary: &mut Summary) -> bool {
    for action in actions {
        match *action {
            "create" => summary.add += 1,
            "update" => summary.change += 1,
            "delete" => summary.destroy += 1,
            _ => {}
        }
    }
    actions.iter().any(|action| !matches!(*action, "no-op" | "read"))
}

/// A resource with what names it and how it changes.
fn without_secrets(resource: &Value) -> Value {
    let mut shown = Map::new();
    for name in
        ["address", "previous_address", "mode", "type", "name", "index", "provider_name", "deposed", "action_reason"]
    {
        if let Some(value) = resource.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    shown.insert("change".to_owned(), change(&resource["change"]));
    Value::Object(shown)
}

fn change(change: &Value) -> Value {
    let mut shown = Map::new();
    for name in ["actions", "after_unknown", "replace_paths"] {
        if let Some(value) = change.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    for (name, marks) in [("before", "before_sensitive"), ("after", "after_sensitive")] {
        if let Some(value) = change.get(name) {
            // Without marks nothing says what of it is secret: versions before 0.15.2 have none.
            let marks = change.get(marks).unwrap_or(&Value::Bool(true));
            shown.insert(name.to_owned(), hide(value, marks));
        }
    }
    Value::Object(shown)
}

/// A value with what is marked hidden. The marks have its shape: `true` hides all below it.
fn hide(value: &Value, marks: &Value) -> Value {
    match (value, marks) {
        (Value::Null, _) => Value::Null,
        (_, Value::Bool(true)) => HIDDEN.into(),
        (Value::Object(fields), Value::Object(marks)) => {
            let hidden = |(name, value): (&String, &Value)| {
                (name.clone(), hide(value, marks.get(name).unwrap_or(&Value::Bool(false))))
            };
            Value::Object(fields.iter().map(hidden).collect())
        }
        (Value::Array(items), Value::Array(marks)) => {
            let hidden = |(place, value): (usize, &Value)| hide(value, marks.get(place).unwrap_or(&Value::Bool(false)));
            Value::Array(items.iter().enumerate().map(hidden).collect())
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_is_counted_as_terraform_counts_and_its_secrets_are_not_shown() {
        let change = |actions: &[&str], before: Value, after: Value| {
            let marks = json!({"password": true, "list": [false, {"key": true}]});
            json!({"address": "a.b", "type": "a", "values": "x", "change": {
                "actions": actions, "before": before, "after": after, "before_sensitive": false, "after_sensitive": marks,
            }})
        };
        let after = json!({"password": "hunter2", "list": ["plain", {"key": "hunter3"}], "size": 3});
        let plan = json!({
            "format_version": "1.2",
            "variables": {"token": {"value": "hunter4"}},
            "prior_state": {"values": "hunter5"},
            "resource_changes": [
                change(&["create"], Value::Null, after),
                change(&["delete", "create"], json!({"size": 1}), json!({"size": 2})),
                change(&["update"], json!({"size": 1}), json!({"size": 2})),
                change(&["no-op"], json!({"size": 9}), json!({"size": 9})),
                change(&["read"], Value::Null, json!({})),
            ],
            "output_changes": {
                "a": {"actions": ["no-op"], "before": 1, "after": 1},
                "b": {"actions": ["create"], "before": null, "after": "hunter6", "after_sensitive": true},
                "c": {"actions": ["create"], "before": null, "after": "hunter7"},
            },
        });
        let shown = read(plan.to_string().as_bytes()).unwrap();
        assert_eq!(shown.summary, Summary { add: 2, change: 1, destroy: 1, outputs: 2 });
        assert_eq!(shown.summary.to_string(), "+2 ~1 -1");
        let text = shown.changes.to_string();
        assert!(!text.contains("hunter"), "{text}");
        let first = &shown.changes["resource_changes"][0];
        assert_eq!(
            first["change"]["after"],
            json!({"password": HIDDEN, "list": ["plain", {"key": HIDDEN}], "size": 3})
        );
        assert_eq!(shown.changes["resource_changes"].as_array().map(Vec::len), Some(3));
        assert_eq!(Summary { outputs: 1, ..Summary::default() }.to_string(), "+0 ~0 -0, 1 output");
        assert!(read(b"Error: no").is_err());
    }
}
