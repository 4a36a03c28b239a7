//! Generates HCL 2: a small tree of what we write, and the one writer that turns it into text.
//!
//! Service names, tags, metadata and member names come from the network, so they are hostile: a value that holds
//! `${`, `%{`, a quote or a newline must come back out of Terraform as the same value, never as an expression. So
//! nothing in this room builds HCL by pasting text: it builds a [`Body`], and [`Body::to_text`] escapes every string.
//!
//! The text is what `terraform fmt` would write. Its rule of alignment: the `=` of neighbouring lines line up when
//! each of them is a whole assignment; a line that opens a longer value (`x = {`) takes no part and ends the group,
//! as do a blank line, a comment and a block.
//!
//! # Not here
//!
//! Reading HCL: that is hcl-edit's, which the tests hold this writer against.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Longest nesting that is written or accepted. Deeper values are refused where they come in.
pub const DEPTH_MAX: usize = 32;

/// Whether this may stand as an argument, block or variable name: `[A-Za-z_][A-Za-z0-9_-]*`.
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it.
    Number(serde_json::Number),
    /// A literal string, whatever is in it.
    String(String),
    /// `[a, b]`, on one line.
    List(Vec<Expr>),
    /// `{ .. }`, one line per key; `{}` when empty.
    Object(Vec<(String, Expr)>),
    /// As [`Expr::Object`], every key quoted, every value followed by a comma, and an empty one over two lines: how CTS
    /// writes the maps of `terraform.tfvars`, which its users read and compare as text.
    Map(Vec<(String, Expr)>),
    /// `var.a.b[0]`: a reference, made of checked parts.
    Reference(Reference),
    /// A type: `string`, `map(..)`.
    Type(Type),
}

/// `var.<name>` and what is inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    name: String,
    path: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    Index(usize),
}

impl Reference {
    /// `var.<name>`. The name must be an identifier, which every caller has checked.
    pub fn variable(name: &str) -> Self {
        debug_assert!(is_identifier(name), "{name:?}");
        Self { name: name.to_owned(), path: Vec::new() }
    }

    /// `<self>.<key>`.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.path.push(Part::Key(key.to_owned()));
        self
    }

    /// `<self>[<index>]`.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.path.push(Part::Index(index));
        self
    }
}

/// A type of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A word: `string`, `number`, `bool`, `any`.
    Word(&'static str),
    /// `list(t)`, `map(t)`.
    Of(&'static str, Box<Type>),
    /// `tuple([a, b])`.
    Tuple(Vec<Type>),
    /// `object({ .. })`.
    Object(Vec<(String, Type)>),
}

impl Type {
    /// `map(t)`.
    pub fn map(of: Self) -> Self {
        Self::Of("map", Box::new(of))
    }

    /// `list(t)`.
    pub fn list(of: Self) -> Self {
        Self::Of("list", Box::new(of))
    }

    /// The type of a literal (`reference/cts.md` 3.6). A reference or a type has none and counts as `any`.
    pub fn of(value: &Expr) -> Self {
        match value {
            Expr::Bool(_) => Self::Word("bool"),
            Expr::Number(_) => Self::Word("number"),
            Expr::String(_) => Self::Word("string"),
            Expr::List(items) => Self::Tuple(items.iter().map(Self::of).collect()),
            Expr::Object(items) | Expr::Map(items) => {
                Self::Object(items.iter().map(|(key, value)| (key.clone(), Self::of(value))).collect())
            }
            Expr::Null | Expr::Reference(_) | Expr::Type(_) => Self::Word("any"),
        }
    }
}

impl From<&Value> for Expr {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::String(value) => Self::String(value.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(items) => Self::Object(object(items)),
        }
    }
}

fn object(items: &Map<String, Value>) -> Vec<(String, Expr)> {
    items.iter().map(|(key, value)| (key.clone(), Expr::from(value))).collect()
}

impl Expr {
    /// A literal string.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }
}

/// What stands in a file or a block.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Attribute(String, Expr),
    Block(String, Vec<String>, Body),
    Comment(String),
    Blank,
}

/// A file or the inside of a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    items: Vec<Item>,
}

impl Body {
    /// Adds `name = value`. The name must be an identifier.
    pub fn attribute(&mut self, name: &str, value: Expr) -> &mut Self {
        debug_assert!(is_identifier(name), "{name:?}");
        self.items.push(Item::Attribute(name.to_owned(), value));
        self
    }

    /// Adds `name "label" .. { body }`. The name must be an identifier.
    pub fn block(&mut self, name: &str, labels: &[&str], body: Body) -> &mut Self {
        debug_assert!(is_identifier(name), "{name:?}");
        self.items.push(Item::Block(name.to_owned(), labels.iter().map(ToString::to_string).collect(), body));
        self
    }

    /// Adds `# text`, one line per line of the text. Anything that could end the comment early is a blank.
    pub fn comment(&mut self, text: &str) -> &mut Self {
        self.items.push(Item::Comment(text.to_owned()));
        self
    }

    /// Adds an empty line.
    pub fn blank(&mut self) -> &mut Self {
        self.items.push(Item::Blank);
        self
    }

    /// The canonical text.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        body_lines(self, 0, &mut lines);
        align(&lines)
    }
}

/// One line of output. `value` is what follows ` = ` when the line is a whole assignment.
#[derive(Debug)]
struct Line {
    indent: usize,
    lead: String,
    value: Option<String>,
}

impl Line {
    fn plain(indent: usize, lead: impl Into<String>) -> Self {
        Self { indent, lead: lead.into(), value: None }
    }
}

fn body_lines(body: &Body, indent: usize, lines: &mut Vec<Line>) {
    for item in &body.items {
        match item {
            Item::Attribute(name, value) => assignment_lines(name, value, "", indent, lines),
            Item::Block(name, labels, body) => {
                let labels = labels.iter().fold(String::new(), |text, label| text + &quote(label) + " ");
                lines.push(Line::plain(indent, format!("{name} {labels}{{")));
                body_lines(body, indent + 1, lines);
                lines.push(Line::plain(indent, "}"));
            }
            Item::Comment(text) => {
                let printable = |line: &str| line.replace(|c: char| c.is_control(), " ");
                lines.extend(text.split(['\n', '\u{2028}', '\u{2029}']).map(|line| {
                    Line::plain(indent, format!("# {}", printable(line).trim_end()).trim_end().to_owned())
                }));
            }
            Item::Blank => lines.push(Line::plain(0, "")),
        }
    }
}

/// `lead = value` and `end`, on one line when the value has one.
fn assignment_lines(lead: &str, value: &Expr, end: &str, indent: usize, lines: &mut Vec<Line>) {
    let mut parts = value_lines(value);
    let first = parts.remove(0);
    let Some(mut last) = parts.pop() else {
        lines.push(Line { indent, lead: lead.to_owned(), value: Some(first.lead + end) });
        return;
    };
    last.lead.push_str(end);
    lines.push(Line::plain(indent, format!("{lead} = {}", first.lead)));
    lines.extend(parts.into_iter().chain([last]).map(|line| Line { indent: line.indent + indent, ..line }));
}

/// The lines of a value, at least one; the first and last are never assignments of their own.
fn value_lines(value: &Expr) -> Vec<Line> {
    match value {
        Expr::Null => vec![Line::plain(0, "null")],
        Expr::Bool(value) => vec![Line::plain(0, value.to_string())],
        Expr::Number(value) => vec![Line::plain(0, value.to_string())],
        Expr::String(value) => vec![Line::plain(0, quote(value))],
        Expr::Reference(reference) => vec![Line::plain(0, reference_text(reference))],
        Expr::List(items) => list_lines("[", items.iter().map(value_lines).collect(), "]"),
        Expr::Object(items) if items.is_empty() => vec![Line::plain(0, "{}")],
        Expr::Object(items) => object_lines("{", items, object_key, "", "}"),
        Expr::Map(items) => object_lines("{", items, quote, ",", "}"),
        Expr::Type(of) => type_lines(of),
    }
}

fn object_lines(
    open: &str,
    items: &[(String, Expr)],
    key_text: fn(&str) -> String,
    end: &str,
    close: &str,
) -> Vec<Line> {
    let mut lines = vec![Line::plain(0, open)];
    for (key, value) in items {
        assignment_lines(&key_text(key), value, end, 1, &mut lines);
    }
    lines.push(Line::plain(0, close));
    lines
}

fn type_lines(of: &Type) -> Vec<Line> {
    match of {
        Type::Word(word) => vec![Line::plain(0, *word)],
        Type::Of(name, inner) => wrap(&format!("{name}("), type_lines(inner), ")"),
        Type::Tuple(items) => list_lines("tuple([", items.iter().map(type_lines).collect(), "])"),
        Type::Object(items) if items.is_empty() => vec![Line::plain(0, "object({})")],
        Type::Object(items) => {
            let items: Vec<_> = items.iter().map(|(key, of)| (key.clone(), Expr::Type(of.clone()))).collect();
            object_lines("object({", &items, object_key, "", "})")
        }
    }
}

/// `open a, b close`: on one line when every part has one, else a line for each part's beginning.
fn list_lines(open: &str, parts: Vec<Vec<Line>>, close: &str) -> Vec<Line> {
    if parts.iter().all(|part| part.len() == 1) {
        let words: Vec<String> = parts.into_iter().flatten().map(|line| line.lead).collect();
        return vec![Line::plain(0, format!("{open}{}{close}", words.join(", ")))];
    }
    let mut lines = vec![Line::plain(0, open)];
    for mut part in parts {
        if let Some(last) = part.last_mut() {
            last.lead.push(',');
        }
        lines.extend(part.into_iter().map(|line| Line { indent: line.indent + 1, ..line }));
    }
    lines.push(Line::plain(0, close));
    lines
}

/// `open` and `close` around lines that stay where they are.
fn wrap(open: &str, mut lines: Vec<Line>, close: &str) -> Vec<Line> {
    if let Some(first) = lines.first_mut() {
        first.lead.insert_str(0, open);
    }
    if let Some(last) = lines.last_mut() {
        last.lead.push_str(close);
    }
    lines
}

fn reference_text(reference: &Reference) -> String {
    let mut text = format!("var.{}", reference.name);
    for part in &reference.path {
        match part {
            Part::Key(key) if is_identifier(key) => text.extend([".", key]),
            Part::Key(key) => text.extend(["[", &quote(key), "]"]),
            Part::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

/// `for` at the start of an object would read as a loop, and the literals' names are best not left bare.
fn object_key(key: &str) -> String {
    let bare = is_identifier(key) && !matches!(key, "for" | "null" | "true" | "false");
    if bare { key.to_owned() } else { quote(key) }
}

/// A quoted string that every HCL parser reads back as `text`.
///
/// `${` becomes `$${`, except after another `$`, where the doubled sign would be read in two ways: there the sign is
/// written by its number. The same for `%{`.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' | '%' if chars.peek() == Some(&'{') => {
                if before == Some(c) {
                    push_number(&mut out, c);
                } else {
                    out.extend([c, c]);
                }
            }
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => push_number(&mut out, c),
            c => out.push(c),
        }
        before = Some(c);
    }
    out.push('"');
    out
}

fn push_number(out: &mut String, c: char) {
    write!(out, "\\u{:04X}", u32::from(c)).expect("a String takes all text");
}

fn align(lines: &[Line]) -> String {
    let mut out = String::new();
    for group in lines.chunk_by(|a, b| a.value.is_some() && b.value.is_some() && a.indent == b.indent) {
        let width = group.iter().map(|line| line.lead.chars().count()).max().unwrap_or(0);
        for line in group {
            out.extend(std::iter::repeat_n("  ", line.indent));
            out.push_str(&line.lead);
            if let Some(value) = &line.value {
                out.extend(std::iter::repeat_n(' ', width - line.lead.chars().count()));
                out.extend([" = ", value]);
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests;
