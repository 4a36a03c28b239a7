//! What is wrong with a configuration, where, and what would be right; rendered for a terminal.

use std::error::Error;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::span::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, and something is not as the operator may think.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding. Holds the text it points into, so it renders by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// An old way to say it, still read.
    pub is_deprecated: bool,
    /// A value is not of its type, and taken as CTS takes it.
    pub is_weak: bool,
    labels: Vec<(Span, String)>,
}

impl Diagnostic {
    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), help: None, is_deprecated: false, is_weak: false, labels: Vec::new() }
    }

    pub(super) fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// A warning about an old way to say something.
    pub(super) fn deprecated(message: impl Into<String>) -> Self {
        Self { is_deprecated: true, ..Self::warning(message) }
    }

    /// A warning about a value that is not of its type and taken all the same.
    pub(super) fn weak(message: impl Into<String>) -> Self {
        Self { is_weak: true, ..Self::warning(message) }
    }

    pub(super) fn note(message: impl Into<String>) -> Self {
        Self::new(Severity::Note, message)
    }

    /// Points at a piece of text. The first one decides which file is shown first.
    #[must_use]
    pub(super) fn at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.labels.push((span.clone(), label.into()));
        self
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// File, line and column of the first place, from 1.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        self.labels.first().map(|(span, _)| {
            let (line, column) = span.line_column();
            (span.file.name.as_str(), line, column)
        })
    }

    /// Position for sorting: file, then byte.
    fn order(&self) -> (Severity, Option<(&str, usize)>) {
        (self.severity, self.labels.first().map(|(span, _)| (span.file.name.as_str(), span.range.start)))
    }

    /// With the text underlined, at most `width` columns wide; `colour` is for terminals.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(width);
        let mut out = String::new();
        match handler.render_report(&mut out, &Shown::new(self)) {
            Ok(()) => out,
            // Formatting into a string does not fail; should a span ever be off, the words still arrive.
            Err(fmt::Error) => format!("{}\n", self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// One line: place, word, message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, line, column)) = self.place() {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        write!(f, "{}: {}", self.severity.as_str(), self.message)
    }
}

/// A diagnostic as miette wants it: one source each, the others as related findings.
#[derive(Debug)]
struct Shown {
    message: String,
    severity: miette::Severity,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Shown>,
}

impl Shown {
    fn new(diagnostic: &Diagnostic) -> Self {
        let severity = match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        };
        let first = diagnostic.labels.first().map(|(span, _)| span.file.clone());
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            diagnostic.labels.iter().partition(|(span, _)| Some(&span.file) == first.as_ref());
        let related = elsewhere
            .into_iter()
            .map(|(span, label)| Self {
                message: label.clone(),
                severity: miette::Severity::Advice,
                help: None,
                source: Some(NamedSource::new(&span.file.name, span.file.shown.clone())),
                labels: vec![labelled(span, None)],
                related: Vec::new(),
            })
            .collect();
        Self {
            message: diagnostic.message.clone(),
            severity,
            help: diagnostic.help.clone(),
            source: first.map(|file| NamedSource::new(&file.name, file.shown.clone())),
            labels: here.into_iter().map(|(span, label)| labelled(span, Some(label))).collect(),
            related,
        }
    }
}

fn labelled(span: &Span, label: Option<&String>) -> LabeledSpan {
    let label = label.filter(|label| !label.is_empty()).cloned();
    LabeledSpan::new(label, span.range.start, span.range.len())
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Shown {}

impl miette::Diagnostic for Shown {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        (!self.labels.is_empty()).then(|| Box::new(self.labels.iter().cloned()) as Box<dyn Iterator<Item = _>>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty()).then(|| {
            Box::new(self.related.iter().map(|shown| shown as &dyn miette::Diagnostic)) as Box<dyn Iterator<Item = _>>
        })
    }
}

/// Gathers findings while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Diagnostic>,
}

impl Problems {
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        // Two rules may notice the same mistake in the same words.
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn any_error(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Everything found; errors first, then by place.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| a.order().cmp(&b.order()));
        self.found
    }
}

/// Why a configuration is refused: every mistake found, not only the first. Nothing was started or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Errors first, then warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// All of it for people, ending with the count.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let out: String = self.diagnostics.iter().map(|diagnostic| diagnostic.render(colour, width) + "\n").collect();
        let errors = self.errors();
        out + &format!("{errors} {} in the configuration\n", if errors == 1 { "error" } else { "errors" })
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false, 100).trim_end())
    }
}

impl Error for Report {}
