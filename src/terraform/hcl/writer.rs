//! The text of a tree, as `terraform fmt` would write it.
//!
//! Its rule of alignment: the `=` of neighbouring lines line up when each of them is a whole assignment; a line that
//! opens a longer value (`x = {`) takes no part and ends the group, as do a blank line, a comment and a block.

use std::fmt::Write as _;

use super::{Body, Expr, Item, Part, Reference, Type, is_identifier};

/// The canonical text.
pub(super) fn text(body: &Body) -> String {
    let mut lines = Vec::new();
    body_lines(body, 0, &mut lines);
    align(&lines)
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
        Expr::Entries(items) => entry_lines(items),
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

fn entry_lines(items: &[(String, Expr)]) -> Vec<Line> {
    let entry = |(key, value): &(String, Expr)| {
        let value: Vec<String> = value_lines(value).into_iter().map(|line| line.lead).collect();
        Line::plain(1, format!("{} = {}", quote(key), value.join(" ")))
    };
    std::iter::once(Line::plain(0, "{")).chain(items.iter().map(entry)).chain([Line::plain(0, "}")]).collect()
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
/// `${` becomes `$${`. After another `$` a reader would have to count signs to tell which are doubled, and readers have
/// differed in that; there the sign is written by its number. The same for `%{`.
pub fn quote(text: &str) -> String {
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
