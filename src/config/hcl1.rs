//! HCL 1 text to a tree.
//!
//! CTS reads HCL 1, a smaller language than the HCL 2 of Terraform: there are no expressions, and a block, an
//! attribute with an object and a labelled block are one and the same thing. So `task_env { "K" = "v" }`,
//! `gossip = { timing { .. } }`, `tls { verify = false, cert = "x" }` and `"port" = 8558` are all good, and none of
//! them is HCL 2; text such as `"${x}"` is text. An HCL 2 parser refuses or reads these differently, which is why the
//! language is read here by its own rules:
//!
//! ```text
//! body   = { item [","] }
//! item   = key ( "=" value | { key } object )
//! key    = identifier | string
//! value  = number | true | false | string | heredoc | object | ( "file" | "env" ) "(" string ")" | "[" [ value { "," value } [","] ] "]"
//! object = "{" body "}"
//! ```
//!
//! # Not here
//!
//! Which keys exist and what they mean (`raw/`). Comments and layout are not kept.

mod lexer;

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::span::{SourceFile, Span};
use super::tree::{Entry, Kind, Object, Value};
use lexer::{Lexer, Token};

/// Deepest nesting; keeps hostile text from exhausting the stack. A real configuration has about six levels.
const DEPTH_MAX: usize = 64;

/// Parses a whole file. The first mistake of syntax ends it: what follows one cannot be told from noise.
pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Object, Diagnostic> {
    let mut parser = Parser { lexer: Lexer::new(file), token: (Token::End, 0..0) };
    parser.advance()?;
    parser.body(&Token::End, 0)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The one that is looked at.
    token: (Token, Range<usize>),
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<(), Diagnostic> {
        self.token = self.lexer.next()?;
        Ok(())
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.lexer.file, range)
    }

    fn wrong(&self, range: Range<usize>, message: impl Into<String>, label: &str) -> Diagnostic {
        self.lexer.wrong(range, message, label)
    }

    fn body(&mut self, close: &Token, depth: usize) -> Result<Object, Diagnostic> {
        let mut object = Object::default();
        while self.token.0 != *close {
            object.entries.push(self.item(depth)?);
            if self.token.0 == Token::Sign(',') {
                self.advance()?;
            }
        }
        Ok(object)
    }

    fn item(&mut self, depth: usize) -> Result<Entry, Diagnostic> {
        let mut keys = vec![self.key()?];
        loop {
            match &self.token.0 {
                Token::Sign('{') => break,
                Token::Sign('=') if keys.len() == 1 => {
                    self.advance()?;
                    break;
                }
                Token::Identifier(_) | Token::Text(_) if self.same_line(&keys) => keys.push(self.key()?),
                other => {
                    let (name, range) = keys.pop().unwrap_or_default();
                    let message = format!("expected `=` or `{{` after `{name}`, found {}", other.describe());
                    return Err(self
                        .wrong(range, message, "this key has no value")
                        .help(format!("write `{name} = ..` for a value, `{name} {{ .. }}` for a block")));
                }
            }
        }
        // The head of a block is what diagnostics about it point at: one line, whatever the body holds.
        let start = keys.first().map_or(0, |(_, range)| range.start);
        let end = keys.last().map_or(0, |(_, range)| range.end);
        let mut value = self.value(depth, &(start..end))?;
        while keys.len() > 1 {
            if let Some((key, range)) = keys.pop() {
                let entry = Entry { key, key_span: self.span(range), label: true, value };
                value = Value { span: self.span(start..end), kind: Kind::Object(Object { entries: vec![entry] }) };
            }
        }
        let (key, range) = keys.pop().unwrap_or_default();
        Ok(Entry { key, key_span: self.span(range), label: false, value })
    }

    fn same_line(&self, keys: &[(String, Range<usize>)]) -> bool {
        let end = keys.last().map_or(0, |(_, range)| range.end);
        !self.lexer.file.text.get(end..self.token.1.start).is_some_and(|between| between.contains('\n'))
    }

    fn key(&mut self) -> Result<(String, Range<usize>), Diagnostic> {
        let (token, range) = self.token.clone();
        match token {
            Token::Identifier(name) | Token::Text(name) => {
                self.advance()?;
                Ok((name, range))
            }
            Token::End => Err(self
                .wrong(range, "expected `}`, found the end of the file", "a block is still open here")
                .help("close the block with `}`")),
            Token::Sign('}') => Err(self.wrong(range, "a `}` that closes nothing", "no block is open here")),
            Token::Number(_) | Token::Sign(_) => {
                let message = format!("expected a key, found {}", token.describe());
                Err(self.wrong(range, message, "a key is a name, or a string in quotes"))
            }
        }
    }

    fn value(&mut self, depth: usize, head: &Range<usize>) -> Result<Value, Diagnostic> {
        let (token, range) = self.token.clone();
        if depth >= DEPTH_MAX {
            return Err(self.wrong(range, format!("nested more than {DEPTH_MAX} levels deep"), "this level"));
        }
        let mut span = range.clone();
        let kind = match token {
            Token::Text(text) => Kind::Text(text),
            Token::Number(text) => Kind::Number(text),
            Token::Identifier(word) if word == "true" || word == "false" => Kind::Bool(word == "true"),
            Token::Identifier(_) => {
                // As it may be shown: it may be a key whose quotes were forgotten.
                let word = self.lexer.file.shown.get(range.clone()).unwrap_or_default();
                return Err(self
                    .wrong(range, format!("`{word}` is not a value"), "not a value")
                    .help(format!("text is written in quotes: \"{word}\"; there are no variables or functions here")));
            }
            Token::Sign('{') => {
                self.advance()?;
                span = head.clone();
                Kind::Object(self.body(&Token::Sign('}'), depth + 1)?)
            }
            Token::Sign('[') => {
                self.advance()?;
                let items = self.list(depth + 1)?;
                span = range.start..self.token.1.end;
                Kind::List(items)
            }
            Token::Sign(_) | Token::End => {
                let message = format!("expected a value, found {}", token.describe());
                return Err(self.wrong(range, message, "a value belongs here"));
            }
        };
        self.advance()?;
        Ok(Value { span: self.span(span), kind })
    }

    /// Leaves the closing bracket as the current token.
    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Diagnostic> {
        let mut items = Vec::new();
        while self.token.0 != Token::Sign(']') {
            let head = self.token.1.clone();
            items.push(self.value(depth, &head)?);
            match &self.token.0 {
                Token::Sign(',') => self.advance()?,
                Token::Sign(']') => {}
                other => {
                    let message = format!("expected `,` or `]` in a list, found {}", other.describe());
                    return Err(self.wrong(self.token.1.clone(), message, "a comma is missing before this"));
                }
            }
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::Format;
    use super::*;

    fn json(text: &str) -> String {
        let file = SourceFile::new("test.hcl", text, Format::Hcl);
        let object = parse(&file).unwrap_or_else(|d| panic!("{}", d.render(false, 100)));
        Value { span: Span::new(&file, 0..0), kind: Kind::Object(object) }.to_json().to_string()
    }

    fn message(text: &str) -> String {
        parse(&SourceFile::new("test.hcl", text, Format::Hcl)).expect_err("refused").to_string()
    }

    #[test]
    fn blocks_and_attributes_with_objects_are_the_same() {
        let expected = r#"{"gossip":{"timing":{"a":1}}}"#;
        for text in
            ["gossip { timing { a = 1 } }", "gossip = { timing { a = 1 } }", "gossip = {\n timing = { a = 1 }\n}"]
        {
            assert_eq!(json(text), expected);
        }
        assert_eq!(json("c \"services\" { x = [1, \"b\",] }"), r#"{"c":{"services":{"x":[1,"b"]}}}"#);
        assert_eq!(json("c {}\nc {}"), r#"{"c":[{},{}]}"#);
    }

    #[test]
    fn habits_of_hcl_1_are_read() {
        assert_eq!(json("e { \"K E\" = \"v\" }"), r#"{"e":{"K E":"v"}}"#);
        assert_eq!(json("e {a = 1, b = true,\n c = 0x10 d = 010}"), r#"{"e":{"a":1,"b":true,"c":16,"d":8}}"#);
        assert_eq!(json("\u{feff}a = -1.5e3 # c\n// c\n/* c */"), r#"{"a":-1500.0}"#);
        assert_eq!(json(r#"a = "${x("y")} \"\u00fc\x41\101""#), r#"{"a":"${x(\"y\")} \"üAA"}"#);
        assert_eq!(json(r#"a = "{{ env \"X\" }} ${""#), r#"{"a":"{{ env \"X\" }} ${"}"#);
        assert_eq!(json("a = <<EOF\n x\ny\nEOF\nb = 1"), r#"{"a":" x\ny\n","b":1}"#);
        assert_eq!(json("a = <<-EOF\n    x\n      y\n    EOF\n"), r#"{"a":"x\n  y\n"}"#);
        assert_eq!(
            json(r#"a = file("/x y") b = [env( "A\"B" )]"#),
            r#"{"a":"{{ file \"/x y\" }}","b":["{{ env \"A\\\"B\" }}"]}"#
        );
        assert_eq!(json("a = []\nb {}"), r#"{"a":[],"b":{}}"#);
    }

    #[test]
    fn mistakes_say_where_and_what() {
        for (text, expected) in [
            ("a", "test.hcl:1:1: error: expected `=` or `{` after `a`, found the end of the file"),
            ("a\nb = 1", "test.hcl:1:1: error: expected `=` or `{` after `a`, found `b`"),
            ("a \"b\" = 1", "test.hcl:1:3: error: expected `=` or `{` after `b`, found `=`"),
            ("a = b", "test.hcl:1:5: error: `b` is not a value"),
            ("a = 5s", "test.hcl:1:5: error: `5s` is not a number"),
            ("a = [1 2]", "test.hcl:1:8: error: expected `,` or `]` in a list, found the number 2"),
            ("a = \"x\nb = 1", "test.hcl:1:5: error: a string that does not end"),
            ("a {\n b = 1\n", "test.hcl:3:1: error: expected `}`, found the end of the file"),
            ("a = 1\n}", "test.hcl:2:1: error: a `}` that closes nothing"),
            ("a = 1 + 2", "test.hcl:1:7: error: unexpected character '+'"),
            ("/* x", "test.hcl:1:1: error: a comment that does not end"),
            ("a = <<X\n", "test.hcl:1:5: error: a heredoc that does not end: no line `X` follows"),
            ("a = \"\\q\"", "test.hcl:1:6: error: an escape that does not exist"),
            ("a = file(b)", "test.hcl:1:5: error: `file` takes one text in quotes"),
            ("a = env(\"X\"", "test.hcl:1:5: error: `env` takes one text in quotes"),
            ("a = ", "test.hcl:1:5: error: expected a value, found the end of the file"),
            ("= 1", "test.hcl:1:1: error: expected a key, found `=`"),
        ] {
            assert_eq!(message(text), expected);
        }
    }

    #[test]
    fn deep_nesting_is_refused_rather_than_overflowing() {
        assert!(message(&format!("a = {}", "[".repeat(100_000))).contains("nested more than 64 levels deep"));
        assert!(message(&"a {".repeat(100_000)).contains("nested more than 64 levels deep"));
    }
}
