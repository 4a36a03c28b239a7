//! The events that `apply -json` prints, a JSON object a line: how far it is, and what went wrong.
//!
//! Lines that are no event are passed over: Terraform itself prints a warning now and then, and a newer version may say
//! what we do not know.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;

/// Longest line that is read. A longer one holds the output of a provisioner and is passed over.
const LINE_MAX: usize = 256 * 1024;

/// Cuts output into lines as it comes.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The rest of a line that is left out.
    skipping: bool,
}

impl Lines {
    /// The lines that end in the next bytes, without their ends; one that is longer than 256 KiB is left out.
    pub fn split(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            if !self.skipping {
                self.line.extend_from_slice(part);
            }
            if self.line.len() > LINE_MAX {
                self.skipping = true;
                self.line.clear();
            }
            if ends {
                let mut line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.skipping) {
                    line.pop();
                    lines.push(line);
                }
            }
        }
        lines
    }

    /// Bytes are missing here: the line before them and the one after them are left out.
    pub fn skip(&mut self) {
        self.line.clear();
        self.skipping = true;
    }
}

/// How many changes an apply has made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Changes {
    done: u64,
    total: u64,
}

impl Changes {
    /// Takes the next line. `true`: [`Self::done`] or [`Self::total`] has changed.
    pub fn handle_line(&mut self, line: &[u8]) -> bool {
        let before = (self.done, self.total);
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return false };
        match event.kind.as_str() {
            "change_summary" => {
                if let Some(Summary { add, change, remove, operation }) = event.changes
                    && operation == "plan"
                {
                    self.total = add.saturating_add(change).saturating_add(remove);
                }
            }
            "apply_complete" => self.done = self.done.saturating_add(1),
            _ => {}
        }
        before != (self.done, self.total)
    }

    /// Changes made so far. A replacement is two: one goes, one comes.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Changes planned; 0 until the plan is made.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(rename = "@message", default)]
    message: String,
    changes: Option<Summary>,
    diagnostic: Option<Diagnostic>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    add: u64,
    #[serde(default)]
    change: u64,
    #[serde(default)]
    remove: u64,
    #[serde(default)]
    operation: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    detail: String,
    address: Option<String>,
    range: Option<Range>,
    snippet: Option<Snippet>,
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

#[derive(Deserialize)]
struct Snippet {
    context: Option<String>,
    #[serde(default)]
    code: String,
}

fn events(stdout: &str) -> impl Iterator<Item = Event> {
    stdout.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// Every error that was told, as text for people: what, on which resource, at which line.
pub fn errors(stdout: &str) -> String {
    let errors = events(stdout).filter_map(|event| event.diagnostic).filter(|found| found.severity == "error");
    errors.fold(String::new(), |text, found| text + &error_text(&found))
}

/// An error or a warning, about as Terraform prints it for people.
fn error_text(found: &Diagnostic) -> String {
    let word = if found.severity == "warning" { "Warning" } else { "Error" };
    let mut text = format!("{word}: {}\n\n", found.summary);
    let mut add = |line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).unwrap_or_default();
    };
    if let Some(address) = &found.address {
        add(format_args!("  with {address},\n"));
    }
    if let Some(range) = &found.range {
        let snippet = found.snippet.as_ref();
        let context = snippet.and_then(|it| it.context.as_ref()).map(|it| format!(", in {it}")).unwrap_or_default();
        add(format_args!("  on {} line {}{context}:\n", range.filename, range.start.line));
        if let Some(snippet) = snippet {
            add(format_args!("  {:>3}: {}\n\n", range.start.line, snippet.code));
        }
    }
    if !found.detail.is_empty() {
        add(format_args!("{}\n\n", found.detail));
    }
    text
}

/// An event's own sentence: what Terraform would have printed for people, about. A line that is no event is its own.
pub fn message(line: &str) -> Cow<'_, str> {
    serde_json::from_str::<Event>(line).map_or(Cow::Borrowed(line), |event| Cow::Owned(event.message))
}

/// The same with all that is said of an error or a warning.
pub fn text(line: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Event>(line) {
        Ok(Event { diagnostic: Some(found), .. }) => Cow::Owned(error_text(&found)),
        Ok(event) => Cow::Owned(event.message),
        Err(_) => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = concat!(
        r#"{"@message":"Terraform 1.11.4","type":"version"}"#,
        "\n",
        r#"{"@message":"Plan: 1 to add, 0 to change, 1 to destroy.","type":"change_summary","#,
        r#""changes":{"add":1,"change":0,"import":0,"remove":1,"operation":"plan"}}"#,
        "\nno event\n",
        r#"{"@message":"a: Destruction complete","type":"apply_complete"}"#,
        "\n",
        r#"{"@message":"Error: Broken","type":"diagnostic","diagnostic":{"severity":"error","summary":"Broken","#,
        r#""detail":"It is.","address":"module.edge.a","range":{"filename":"m/main.tf","start":{"line":3}},"#,
        r#""snippet":{"context":"resource \"a\"","code":"  x = 1"}}}"#,
        "\n",
    );

    #[test]
    fn changes_are_the_same_however_the_output_is_cut() {
        for size in [1, 7, 4096] {
            let (mut lines, mut changes) = (Lines::default(), Changes::default());
            let all: Vec<_> = EVENTS.as_bytes().chunks(size).flat_map(|chunk| lines.split(chunk)).collect();
            let moved = all.iter().filter(|line| changes.handle_line(line)).count();
            assert_eq!((changes.done(), changes.total(), moved), (1, 2, 2), "{size}");
        }
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_the_next_is_read() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert!(lines.split(&[b'x'; 8192]).is_empty());
            assert!(lines.line.len() <= LINE_MAX);
        }
        assert_eq!(lines.split(b"\nnext\n"), [b"next".to_vec()]);
    }

    #[test]
    fn lines_that_lack_a_part_are_left_out() {
        let mut lines = Lines::default();
        assert!(lines.split(b"pw=hun").is_empty());
        lines.skip();
        assert_eq!(lines.split(b"er2\nnext\n"), [b"next".to_vec()]);
    }

    #[test]
    fn errors_name_the_resource_and_the_line() {
        let expected = "Error: Broken\n\n  with module.edge.a,\n  on m/main.tf line 3, in resource \"a\":\n    3:   x = 1\n\n\
                        It is.\n\n";
        assert_eq!(errors(EVENTS), expected);
        assert_eq!(errors("{}\n[]\n{\"diagnostic\":{\"severity\":\"warning\"}}"), "");
    }

    #[test]
    fn messages_are_for_people_and_keep_what_is_no_event() {
        let text = EVENTS.lines().map(message).collect::<Vec<_>>().join("\n");
        assert!(text.starts_with("Terraform 1.11.4\nPlan: 1 to add") && text.contains("\nno event\n"), "{text}");
        let whole = EVENTS.lines().map(super::text).collect::<Vec<_>>().join("\n");
        assert!(whole.contains("\nno event\n") && whole.ends_with(&errors(EVENTS)), "{whole}");
    }
}
