//! What `quorate config check` prints: what would run, and everything odd about the text.

mod summary;

use serde::Serialize;

pub use self::summary::{ClusterSummary, Summary, TaskSummary};
use super::diagnostic::{Diagnostic, Report};
use super::settings::Settings;

/// The outcome of a check, for people with [`Check::render`] and for machines with serde.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Whether an agent would start with it.
    pub ok: bool,
    /// What it comes to; `None` when refused.
    pub summary: Option<Summary>,
    /// Errors first, then warnings and notes.
    pub diagnostics: Vec<Finding>,
    /// What an operator of CTS would not expect of this configuration.
    pub differences: Vec<Finding>,
    /// What stands between this configuration and a start on this machine.
    pub machine: Vec<Finding>,
    /// The program that runs modules; `None`: not looked for.
    pub terraform: Option<Program>,
    /// What was resolved, when nothing is wrong.
    #[serde(skip)]
    pub settings: Option<Settings>,
    #[serde(skip)]
    rendered: Vec<Diagnostic>,
}

/// Terraform or OpenTofu on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    /// It is there, and new enough.
    pub found: bool,
    /// A task of the configuration runs a module.
    pub needed: bool,
    /// Name, version and place; or why there is none, and what would help.
    pub said: String,
}

/// A diagnostic as data.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// Where; a missing place means the whole.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// An old way to say it, still read.
    pub deprecated: bool,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place();
        Self {
            severity: diagnostic.severity.as_str(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            file: place.map(|(file, ..)| file.to_owned()),
            line: place.map(|(_, line, _)| line),
            column: place.map(|(.., column)| column),
            deprecated: diagnostic.is_deprecated,
        }
    }
}

impl Check {
    /// Of what [`super::load`] answered.
    pub fn new(loaded: &Result<Settings, Report>) -> Self {
        let (settings, rendered) = match loaded {
            Ok(settings) => (Some(settings.clone()), settings.warnings.clone()),
            Err(report) => (None, report.diagnostics.clone()),
        };
        Self {
            ok: settings.is_some(),
            summary: settings.as_ref().map(Summary::from),
            diagnostics: rendered.iter().map(Finding::from).collect(),
            differences: Vec::new(),
            machine: Vec::new(),
            terraform: None,
            settings,
            rendered,
        }
    }

    /// With what was found on this machine; an error there is one of the whole.
    #[must_use]
    pub fn on_machine(mut self, machine: Vec<Finding>) -> Self {
        self.ok &= machine.iter().all(|finding| finding.severity != "error");
        self.machine = machine;
        self
    }

    pub(super) fn with_differences(self, differences: &[Diagnostic]) -> Self {
        Self { differences: differences.iter().map(Finding::from).collect(), ..self }
    }

    /// Findings with their text underlined, what is old and what is different in a list, then what would run.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let boxed = self.rendered.iter().filter(|diagnostic| !diagnostic.is_deprecated);
        let mut out: String = boxed.map(|diagnostic| diagnostic.render(colour, width) + "\n").collect();
        let old = self.diagnostics.iter().filter(|finding| finding.deprecated).collect();
        list(&mut out, "deprecated in CTS, still read", NOWHERE, old, width);
        list(&mut out, "different from CTS", NOWHERE, self.differences.iter().collect(), width);
        list(&mut out, "on this machine", "", self.machine.iter().collect(), width);
        let count = |severity| self.diagnostics.iter().filter(|finding| finding.severity == severity).count();
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        match &self.summary {
            Some(summary) => {
                // Writing into a string does not fail.
                summary.write(&mut out).unwrap_or_default();
                if let Some(program) = &self.terraform {
                    out = out + "driver   " + &program.said + "\n";
                }
                let odd = match (count("warning"), count("note")) {
                    (0, 0) => String::new(),
                    (warnings, 0) => format!(", with {}", plural(warnings, "warning")),
                    (warnings, notes) => {
                        format!(", with {} and {}", plural(warnings, "warning"), plural(notes, "note"))
                    }
                };
                out = out + "\nThe configuration is good" + &odd + ".\n";
                if !self.ok {
                    out += "An agent cannot start with it here: see `on this machine` above.\n";
                }
                if self.terraform.as_ref().is_some_and(|program| program.needed && !program.found) {
                    out += "Its modules cannot run here: see `driver` above.\n";
                }
            }
            None => out = out + &plural(count("error"), "error") + " in the configuration\n",
        }
        out
    }
}

/// The place of what is not in a file.
const NOWHERE: &str = "(not configured)";

/// One finding a paragraph: where (or how bad, without `unplaced`), what, and what to do.
fn list(out: &mut String, title: &str, unplaced: &str, findings: Vec<&Finding>, width: usize) {
    if findings.is_empty() {
        return;
    }
    *out = format!("{out}{title}\n");
    for finding in findings {
        let place = match (&finding.file, finding.line, finding.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ if unplaced.is_empty() => finding.severity.to_owned(),
            _ => unplaced.to_owned(),
        };
        *out = format!("{out}  {place}\n");
        *out += &wrapped(&finding.message, "      ", width);
        if let Some(help) = &finding.help {
            *out += &wrapped(&format!("-> {help}"), "      ", width);
        }
    }
    *out += "\n";
}

/// Words in lines of at most this many columns, each after `indent`.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(indent);
            column = indent.len();
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out + "\n"
}
