//! Texts of a configuration, and places in them.
//!
//! Text is shown to people only with its secrets masked, because a mistake next to a key would otherwise print that key into
//! a log.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Keys whose values are never shown. A key is secret when its name ends with one of these.
const SECRETS: [&str; 8] =
    ["encrypt", "token", "password", "secret", "access_key", "secret_key", "api_key", "private_key"];

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// HCL 1.
    Hcl,
    /// JSON.
    Json,
    /// Anything else that spans may point into.
    Plain,
}

/// One text that spans point into.
#[derive(PartialEq, Eq)]
pub(super) struct SourceFile {
    /// As the operator named it.
    pub(super) name: String,
    pub(super) text: String,
    /// `text` with secrets masked, byte for byte as long.
    pub(super) shown: String,
    pub(super) format: Format,
}

impl fmt::Debug for SourceFile {
    /// Only the name: the text may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl SourceFile {
    pub(super) fn new(name: impl Into<String>, text: impl Into<String>, format: Format) -> Arc<Self> {
        let text = text.into();
        Arc::new(Self { name: name.into(), shown: masked(&text), text, format })
    }
}

/// A piece of a source.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) file: Arc<SourceFile>,
    /// Bytes.
    pub(super) range: Range<usize>,
}

impl Span {
    pub(super) fn new(file: &Arc<SourceFile>, range: Range<usize>) -> Self {
        Self { file: Arc::clone(file), range }
    }

    /// Line and column of its start, from 1; columns count characters.
    pub(super) fn line_column(&self) -> (usize, usize) {
        let before = self.file.text.get(..self.range.start).unwrap_or(&self.file.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        (line, column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.file.name)
    }
}

/// Overwrites the quoted values of secret keys with `*`. Works on text that does not parse, too: a mistake in a file
/// must not be what reveals its keys.
fn masked(text: &str) -> String {
    let mut shown = text.as_bytes().to_vec();
    let bytes = text.as_bytes();
    let named = sensitive(text);
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| matches!(b, b'=' | b':'))) {
        let sign = at + found;
        at = sign + 1;
        let key = text.get(..sign).unwrap_or_default().trim_end().trim_end_matches('"');
        let name_start =
            key.rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).map_or(0, |i| i + 1);
        let name = key.get(name_start..).unwrap_or_default().to_ascii_lowercase().replace('-', "_");
        if !SECRETS.iter().any(|secret| name.ends_with(secret)) && !named.contains(&name) {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let value = at + rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let end = secret_end(bytes, value);
        let from = if bytes.get(value) == Some(&b'"') { value + 1 } else { value };
        shown.get_mut(from..end).into_iter().flatten().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
        at = end.max(at);
    }
    String::from_utf8(shown).unwrap_or_default()
}

/// What `sensitive_variables` names, as keys are compared.
fn sensitive(text: &str) -> Vec<String> {
    let lists = text.split("sensitive_variables").skip(1).map(|rest| rest.split(']').next().unwrap_or_default());
    let words = lists.flat_map(|list| list.split('"').skip(1).step_by(2));
    words.map(|name| name.to_ascii_lowercase().replace('-', "_")).collect()
}

/// Where the value of a secret ends: a quoted one at its quote, a heredoc at its last line, a bare word (the quotes
/// were forgotten) at a blank.
fn secret_end(bytes: &[u8], value: usize) -> usize {
    let rest = bytes.get(value..).unwrap_or_default();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let mut escaped = false;
        let length = quoted.iter().position(|byte| {
            let ends = *byte == b'\n' || (*byte == b'"' && !escaped);
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        return value + 1 + length.unwrap_or(quoted.len());
    }
    if let Some(heredoc) = rest.strip_prefix(b"<<") {
        let mut lines = heredoc.split(|byte| *byte == b'\n');
        let anchor = lines.next().unwrap_or_default();
        let name = anchor.strip_prefix(b"-").unwrap_or(anchor).trim_ascii();
        let body = lines.take_while(|line| line.trim_ascii() != name).map(|line| line.len() + 1).sum::<usize>();
        return (value + 2 + anchor.len() + body).min(bytes.len());
    }
    let length =
        rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'{' | b'}' | b'[' | b']'));
    value + length.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(masked(text), expected);
        assert_eq!(masked(text).len(), text.len());
    }

    #[test]
    fn secrets_are_masked_whether_or_not_the_text_parses() {
        check(r#"encrypt = "abc=""#, r#"encrypt = "****""#);
        check(r#"{"token": "a\"b", "x": "y"}"#, r#"{"token": "****", "x": "y"}"#);
        check("password=\"open\nnext = \"x\"", "password=\"****\nnext = \"x\"");
        check(r#""AWS_SECRET_ACCESS_KEY" = "ü""#, r#""AWS_SECRET_ACCESS_KEY" = "**""#);
        check(r#"path = "/etc""#, r#"path = "/etc""#);
        check("token =", "token =");
        check("encrypt = AbC+/=\nx = 1", "encrypt = ******\nx = 1");
        check("password = <<EOF\nabc\nEOF\nx = 1", "password = *****\n***\nEOF\nx = 1");
        check("token {\n a = 1 }", "token {\n a = 1 }");
        let task = "sensitive_variables = [\"db-pin\"]\nvariables = { db-pin = \"\\\"77\\\"\", zone = \"x\" }";
        check(task, &task.replace("\\\"77\\\"", "******"));
    }

    #[test]
    fn line_and_column_count_from_one() {
        let file = SourceFile::new("a", "ü = 1\nb = 2\n", Format::Hcl);
        assert_eq!(Span::new(&file, 7..8).line_column(), (2, 1));
        assert_eq!(Span::new(&file, 3..4).line_column(), (1, 3));
    }
}
