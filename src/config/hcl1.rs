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
//! value  = number | true | false | string | heredoc | object | "[" [ value { "," value } [","] ] "]"
//! object = "{" body "}"
//! ```
//!
//! # Not here
//!
//! Which keys exist and what they mean (`raw/`). Comments and layout are not kept.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::source::{SourceFile, Span};
use super::tree::{Entry, Kind, Object, Value};

/// Deepest nesting; keeps hostile text from exhausting the stack. A real configuration has about six levels.
const DEPTH_MAX: usize = 64;

/// Parses a whole file. The first mistake of syntax ends it: what follows one cannot be told from noise.
pub(super) fn parse(file: &Arc<SourceFile>) -> Result<Object, Diagnostic> {
    let mut parser =
        Parser { file, at: if file.text.starts_with('\u{feff}') { 3 } else { 0 }, token: (Token::End, 0..0) };
    parser.advance()?;
    parser.body(&Token::End, 0)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Identifier(String),
    Text(String),
    Number(String),
    Sign(char),
    End,
}

impl Token {
    fn describe(&self) -> String {
        match self {
            Self::Identifier(name) => format!("`{name}`"),
            Self::Text(_) => "a string".to_owned(),
            Self::Number(text) => format!("the number {text}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the file".to_owned(),
        }
    }
}

struct Parser<'a> {
    file: &'a Arc<SourceFile>,
    at: usize,
    token: (Token, Range<usize>),
}

impl Parser<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn wrong(&self, range: Range<usize>, message: impl Into<String>, label: &str) -> Diagnostic {
        Diagnostic::error(message).at(&self.span(range), label)
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
        !self.file.text.get(end..self.token.1.start).is_some_and(|between| between.contains('\n'))
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
            Token::Identifier(word) => {
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

    // ---- tokens

    fn rest(&self) -> &str {
        self.file.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self) -> Result<(), Diagnostic> {
        self.skip_blank()?;
        let start = self.at;
        let token = match self.rest().chars().next() {
            None => Token::End,
            Some('"') => Token::Text(self.string()?),
            Some('<') if self.rest().starts_with("<<") => Token::Text(self.heredoc()?),
            Some(c) if c.is_alphabetic() || c == '_' => {
                let more = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                let length = self.rest().find(|c| !more(c)).unwrap_or(self.rest().len());
                let word = self.rest().get(..length).unwrap_or_default().to_owned();
                self.at += length;
                Token::Identifier(word)
            }
            Some(c) if c.is_ascii_digit() || c == '-' => Token::Number(self.number()?),
            Some(c @ ('{' | '}' | '[' | ']' | '=' | ',')) => {
                self.at += 1;
                Token::Sign(c)
            }
            Some(c) => {
                let found = start..start + c.len_utf8();
                let diagnostic = self.wrong(found, format!("unexpected character {c:?}"), "not part of this language");
                return Err(if matches!(c, '(' | ')' | '+' | '*' | '/' | '?' | ':' | '$' | '%') {
                    diagnostic.help("there are no expressions or functions in a configuration: write the value itself")
                } else {
                    diagnostic
                });
            }
        };
        self.token = (token, start..self.at);
        Ok(())
    }

    fn skip_blank(&mut self) -> Result<(), Diagnostic> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(length) => self.at += length + 2,
                    None => return Err(self.wrong(self.at..self.at + 2, "a comment that does not end", "opened here")),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn number(&mut self) -> Result<String, Diagnostic> {
        let start = self.at;
        let rest = self.rest();
        let mut previous = ' ';
        let hex = rest.trim_start_matches('-').starts_with("0x");
        let length = rest
            .char_indices()
            .find(|&(i, c)| {
                let exponent = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E') && !hex;
                let part = c.is_ascii_alphanumeric() || c == '.' || exponent || (i == 0 && c == '-');
                previous = c;
                !part
            })
            .map_or(rest.len(), |(i, _)| i);
        let text = rest.get(..length).unwrap_or_default().to_owned();
        self.at += length;
        let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
        // As in Go: 0x is hexadecimal, a leading zero octal.
        let whole = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
                i64::from_str_radix(digits, 8).ok()
            }
            None => digits.parse::<i64>().ok(),
        };
        let starts_well = digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.ends_with('.');
        match (whole, digits.parse::<f64>()) {
            (Some(whole), _) if starts_well && !digits.contains('+') => Ok(format!("{sign}{whole}")),
            (None, Ok(value)) if value.is_finite() && starts_well && digits.contains(['.', 'e', 'E']) => Ok(text),
            _ => Err(self
                .wrong(start..self.at, format!("`{text}` is not a number"), "not a number")
                .help(format!("a value with a unit is written in quotes: \"{text}\""))),
        }
    }

    fn string(&mut self) -> Result<String, Diagnostic> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        // Inside `${ .. }` HCL 1 keeps the text as it is, quotes included.
        let mut braces = 0_usize;
        loop {
            let Some(c) = self.rest().chars().next().filter(|c| *c != '\n' || braces > 0) else {
                let line = start..self.at.max(start + 1);
                return Err(self.wrong(line, "a string that does not end", "the closing quote is missing"));
            };
            let from = self.at;
            self.at += c.len_utf8();
            match c {
                '"' if braces == 0 => return Ok(out),
                '$' if braces == 0 && self.rest().starts_with('{') && self.closes() => {
                    braces = 1;
                    self.at += 1;
                    out.push_str("${");
                    continue;
                }
                '{' if braces > 0 => braces += 1,
                '}' if braces > 0 => braces -= 1,
                '\\' if braces == 0 => {
                    out.push(self.escape(from)?);
                    continue;
                }
                _ => {}
            }
            out.push(c);
        }
    }

    /// Whether a `${` opened here is closed on its line; if not, it is plain text.
    fn closes(&self) -> bool {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let mut depth = 0_usize;
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => return true,
                '}' => depth -= 1,
                _ => {}
            }
        }
        false
    }

    fn escape(&mut self, from: usize) -> Result<char, Diagnostic> {
        let Some(c) = self.rest().chars().next() else {
            return Err(self.wrong(from..self.at, "a string that does not end", "the closing quote is missing"));
        };
        self.at += c.len_utf8();
        let (digits, radix) = match c {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => {
                self.at -= 1;
                (3, 8)
            }
            _ => (0, 0),
        };
        let simple = match c {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'v' => Some('\u{b}'),
            '\\' | '"' => Some(c),
            _ if digits > 0 => {
                let code = self.rest().get(..digits).and_then(|text| u32::from_str_radix(text, radix).ok());
                let found = code.and_then(char::from_u32);
                if found.is_some() {
                    self.at += digits;
                }
                found
            }
            _ => None,
        };
        simple.ok_or_else(|| {
            self.wrong(from..self.at, "an escape that does not exist", "not an escape")
                .help("a backslash itself is written \\\\")
        })
    }

    /// `<<NAME`, lines, `NAME`. With `<<-` the closing line's indentation is taken off every line.
    fn heredoc(&mut self) -> Result<String, Diagnostic> {
        let start = self.at;
        let head = self.rest().split('\n').next().unwrap_or_default();
        let indented = head.starts_with("<<-");
        let anchor = head.trim_start_matches("<<").trim_start_matches('-').trim_end().to_owned();
        let bad = anchor.is_empty() || !anchor.chars().all(|c| c.is_alphanumeric() || c == '_');
        let opening = start..start + head.trim_end().len().max(2);
        if bad {
            return Err(self.wrong(opening, "a heredoc without a name", "write <<NAME, then lines, then NAME"));
        }
        let mut at = start + head.len() + 1;
        let mut lines = Vec::new();
        while let Some(line) =
            self.file.text.get(at..).filter(|rest| !rest.is_empty()).and_then(|r| r.split('\n').next())
        {
            let word = line.trim_end();
            if word == anchor || (indented && word.trim_start() == anchor) {
                let indent = word.len() - word.trim_start().len();
                let margin = word.get(..indent).unwrap_or_default();
                let all = lines.iter().all(|line: &&str| line.is_empty() || line.starts_with(margin));
                let cut = |line: &str| {
                    if all { line.strip_prefix(margin).unwrap_or(line).to_owned() } else { line.to_owned() }
                };
                self.at = at + word.len();
                return Ok(lines.iter().map(|line| cut(line) + "\n").collect());
            }
            lines.push(line);
            at += line.len() + 1;
        }
        Err(self.wrong(opening, format!("a heredoc that does not end: no line `{anchor}` follows"), "opened here"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Format;
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
