//! HCL 1 text to tokens: strings with their escapes, heredocs, numbers, names, signs. Blanks and comments are passed.

use std::ops::Range;
use std::sync::Arc;

use crate::config::diagnostic::Diagnostic;
use crate::config::span::{SourceFile, Span};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Identifier(String),
    Text(String),
    Number(String),
    Sign(char),
    End,
}

impl Token {
    /// For "found ..".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Identifier(name) => format!("`{name}`"),
            Self::Text(_) => "a string".to_owned(),
            Self::Number(text) => format!("the number {text}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end of the file".to_owned(),
        }
    }
}

/// Walks over a text.
pub(super) struct Lexer<'a> {
    pub(super) file: &'a Arc<SourceFile>,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// At the start of a file; a byte order mark is passed.
    pub(super) fn new(file: &'a Arc<SourceFile>) -> Self {
        Self { file, at: if file.text.starts_with('\u{feff}') { 3 } else { 0 } }
    }

    /// A mistake at a place.
    pub(super) fn wrong(&self, range: Range<usize>, message: impl Into<String>, label: &str) -> Diagnostic {
        Diagnostic::error(message).at(&Span::new(self.file, range), label)
    }

    /// The text from there to here, as it may be shown.
    fn shown(&self, start: usize) -> &str {
        self.file.shown.get(start..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &str {
        self.file.text.get(self.at..).unwrap_or_default()
    }

    /// The next token and its place; at the end, [`Token::End`] for ever.
    pub(super) fn next(&mut self) -> Result<(Token, Range<usize>), Diagnostic> {
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
                match self.call(&word, start)? {
                    Some(template) => Token::Text(template),
                    None => Token::Identifier(word),
                }
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
        Ok((token, start..self.at))
    }

    /// `file("..")` and `env("..")`: the only calls there are, other spellings of `{{ file ".." }}` and `{{ env ".." }}`.
    fn call(&mut self, word: &str, start: usize) -> Result<Option<String>, Diagnostic> {
        let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let gap = blanks(self.rest());
        if !matches!(word, "file" | "env") || !self.rest().get(gap..).is_some_and(|rest| rest.starts_with('(')) {
            return Ok(None);
        }
        self.at += gap + 1;
        self.at += blanks(self.rest());
        let argument = if self.rest().starts_with('"') { Some(self.string()?) } else { None };
        self.at += blanks(self.rest());
        let (Some(argument), true) = (argument, self.rest().starts_with(')')) else {
            let diagnostic = self.wrong(start..self.at, format!("`{word}` takes one text in quotes"), "this call");
            return Err(diagnostic.help(if word == "file" {
                "for example file(\"/run/secrets/token\")"
            } else {
                "for example env(\"CONSUL_TOKEN\")"
            }));
        };
        self.at += 1;
        let quoted = argument.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
        Ok(Some(format!("{{{{ {word} \"{quoted}\" }}}}")))
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
                .wrong(start..self.at, format!("`{}` is not a number", self.shown(start)), "not a number")
                .help(format!("text, a duration or an address is written in quotes: \"{}\"", self.shown(start)))),
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
