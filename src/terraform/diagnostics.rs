//! Reads the answer of `validate -json` and puts the mistakes that every newcomer makes into plain words.
//!
//! Every module gets `services` (and other inputs when they are rendered); one that does not declare the variable is
//! called invalid by Terraform in terms of a file that the operator never wrote. CTS rewrites that, and so do we.

use serde::Deserialize;

/// What `validate` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Valid {
        /// For the log.
        warnings: Vec<String>,
    },
    /// Stop.
    Invalid {
        /// The known mistakes in plain words, when there are any.
        friendly: Option<String>,
        /// All diagnostics as text.
        text: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    valid: bool,
    #[serde(default)]
    diagnostics: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Diagnostic {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    detail: String,
    range: Option<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    filename: String,
    start: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: u64,
}

/// Reads what was printed; `None` when it is no answer.
pub(super) fn verdict(task: &str, stdout: &str) -> Option<Verdict> {
    let answer: Answer = serde_json::from_str(stdout.get(stdout.find('{')?..)?).ok()?;
    let of = |severity: &'static str| answer.diagnostics.iter().filter(move |found| found.severity == severity);
    if answer.valid {
        return Some(Verdict::Valid { warnings: of("warning").map(text).collect() });
    }
    let friendly: Vec<String> = of("error").filter_map(|found| missing_variable(task, found)).collect();
    let friendly = (!friendly.is_empty()).then(|| friendly.join("\n"));
    Some(Verdict::Invalid { friendly, text: of("error").map(text).collect::<Vec<_>>().join("\n") })
}

fn text(found: &Diagnostic) -> String {
    let place = found.range.as_ref().map(|range| format!(" (on {} line {})", range.filename, range.start.line));
    let place = place.unwrap_or_default();
    if found.detail.is_empty() {
        format!("{}{place}", found.summary)
    } else {
        format!("{}: {}{place}", found.summary, found.detail)
    }
}

/// An argument that we write and the module does not know.
fn missing_variable(task: &str, found: &Diagnostic) -> Option<String> {
    if found.summary != "Unsupported argument" {
        return None;
    }
    let name = found.detail.split('"').nth(1)?;
    let hint = match name {
        "services" => "declare it, even when the module does not use it: variable \"services\" { type = any }",
        "catalog_services" | "consul_kv" | "members" => {
            "declare it, or set use_as_module_input to false for the condition"
        }
        _ => return None,
    };
    Some(format!("module for task \"{task}\" is missing the \"{name}\" variable: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_input_is_named_with_what_to_do() {
        for (name, hint) in
            [("services", "declare it"), ("catalog_services", "use_as_module_input"), ("members", "set")]
        {
            let friendly =
                friendly("Unsupported argument", &format!("An argument named \\\"{name}\\\" is not expected."));
            let friendly = friendly.expect(name);
            let start = format!("module for task \"edge\" is missing the \"{name}\" variable");
            assert!(friendly.starts_with(&start) && friendly.contains(hint), "{friendly}");
        }
    }

    #[test]
    fn other_mistakes_keep_terraforms_words() {
        assert_eq!(friendly("Unsupported argument", "An argument named \\\"zone\\\" is not expected."), None);
        assert_eq!(friendly("Unsupported argument", "Something else"), None);
        assert_eq!(friendly("Missing required argument", "The argument \\\"services\\\" is required"), None);
    }

    #[test]
    fn what_is_no_answer_has_no_verdict() {
        for text in ["", "no json", "{", "[1]", "{\"format_version\": \"1.0\"}"] {
            assert_eq!(verdict("edge", text), None, "{text}");
        }
    }

    #[test]
    fn places_are_told_and_notices_before_the_answer_are_skipped() {
        let answer = "Notice\n{\"valid\": false, \"diagnostics\": [{\"severity\": \"error\", \"summary\": \"Bad\", \
                      \"range\": {\"filename\": \"main.tf\", \"start\": {\"line\": 3}}}, {\"severity\": \"warning\"}]}";
        let expected = Verdict::Invalid { friendly: None, text: "Bad (on main.tf line 3)".to_owned() };
        assert_eq!(verdict("edge", answer), Some(expected));
    }

    fn friendly(summary: &str, detail: &str) -> Option<String> {
        let answer = format!(
            "{{\"valid\": false, \"diagnostics\": [{{\"severity\": \"error\", \"summary\": \"{summary}\", \
             \"detail\": \"{detail}\"}}]}}"
        );
        match verdict("edge", &answer) {
            Some(Verdict::Invalid { friendly, .. }) => friendly,
            other => panic!("{other:?}"),
        }
    }
}
