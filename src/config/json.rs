//! JSON text to a tree with places.
//!
//! `serde_json` judges whether the text is JSON and says what is wrong with it; it does not tell where each value is.
//! So text that it accepted is walked again here, with nothing left to diagnose.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::span::{SourceFile, Span};
use super::tree::{Entry, Kind, Object, Value};

/// Parses a whole file, which must hold one object.
pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Object, Diagnostic> {
    // A full value rather than a check only: escapes are decoded, and nesting is bounded, by serde_json.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text(file)) {
        return Err(refused(file, &error));
    }
    let mut walk = Walk { file, at: file.text.len() - text(file).len() };
    match walk.value(None).map(|value| value.kind) {
        Some(Kind::Object(object)) => Ok(object),
        _ => {
            Err(Diagnostic::error("a configuration in JSON is one object")
                .at(&Span::new(file, 0..1), "expected `{` here"))
        }
    }
}

fn text(file: &SourceFile) -> &str {
    file.text.trim_start_matches('\u{feff}')
}

fn refused(file: &Arc<SourceFile>, error: &serde_json::Error) -> Diagnostic {
    let skipped = file.text.len() - text(file).len();
    let line: usize = text(file).split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut start = (skipped + line + error.column().saturating_sub(1)).min(file.text.len());
    while !file.text.is_char_boundary(start) {
        start -= 1;
    }
    let end = file.text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |c| start + c.len_utf8());
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    Diagnostic::error(format!("not valid JSON: {words}")).at(&Span::new(file, start..end), "noticed here")
}

struct Walk<'a> {
    file: &'a Arc<SourceFile>,
    at: usize,
}

impl Walk<'_> {
    /// Passes blanks, commas and colons: serde_json has seen that they are where they belong.
    fn peek(&mut self) -> Option<char> {
        let rest = self.file.text.get(self.at..)?;
        let skip = rest.find(|c: char| !(c.is_ascii_whitespace() || matches!(c, ',' | ':')))?;
        self.at += skip;
        rest.get(skip..)?.chars().next()
    }

    fn value(&mut self, head: Option<Range<usize>>) -> Option<Value> {
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            '{' => {
                self.at += 1;
                let mut object = Object::default();
                while self.peek()? != '}' {
                    let from = self.at;
                    let key = self.string()?;
                    let range = from..self.at;
                    let value = self.value(Some(range.clone()))?;
                    object.entries.push(Entry { key, key_span: Span::new(self.file, range), label: false, value });
                }
                self.at += 1;
                let head = head.unwrap_or(start..start + 1);
                return Some(Value { span: Span::new(self.file, head), kind: Kind::Object(object) });
            }
            '[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.peek()? != ']' {
                    items.push(self.value(None)?);
                }
                self.at += 1;
                Kind::List(items)
            }
            '"' => Kind::Text(self.string()?),
            _ => {
                let rest = self.file.text.get(start..)?;
                let more = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
                let word = rest.get(..rest.find(|c| !more(c)).unwrap_or(rest.len()))?;
                self.at += word.len();
                match word {
                    "null" => Kind::Null,
                    "true" | "false" => Kind::Bool(word == "true"),
                    number => Kind::Number(number.to_owned()),
                }
            }
        };
        Some(Value { span: Span::new(self.file, start..self.at), kind })
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.file.text.get(self.at..)?;
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let quoted = rest.get(..=end.0)?;
        self.at += quoted.len();
        serde_json::from_str(quoted).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::Format;
    use super::*;

    fn tree(text: &str) -> Result<Object, Diagnostic> {
        parse(&SourceFile::new("test.json", text, Format::Json))
    }

    #[test]
    fn values_keep_their_places() {
        let object = tree("{\"a\": {\"b\": [1, \"x\\\"\", null]},\n \"c\": -1.5e3}").expect("good");
        let json = Value { span: object.entries[0].key_span.clone(), kind: Kind::Object(object.clone()) }.to_json();
        assert_eq!(json.to_string(), r#"{"a":{"b":[1,"x\"",null]},"c":-1500.0}"#);
        assert_eq!(object.entries[1].value.span.line_column(), (2, 7));
    }

    #[test]
    fn mistakes_are_pointed_at() {
        for (text, expected) in [
            ("{\"a\": }", "test.json:1:7: error: not valid JSON: expected value"),
            ("{\n\"a\" 1}", "test.json:2:5: error: not valid JSON: expected `:`"),
            ("[1]", "test.json:1:1: error: a configuration in JSON is one object"),
            ("{\"a\": \"\\ud800\"}", "test.json:1:14: error: not valid JSON: unexpected end of hex escape"),
        ] {
            assert_eq!(tree(text).expect_err("refused").to_string(), expected);
        }
        assert!(tree(&"[".repeat(100_000)).is_err());
    }
}
