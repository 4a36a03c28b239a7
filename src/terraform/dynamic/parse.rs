//! The words of a template that we know.

use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

use super::Lookup;

/// Deepest nesting of blocks.
const DEPTH_MAX: usize = 8;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    Print(Word, Vec<Pipe>),
    /// `{{ with secret "path" }} .. {{ end }}`.
    With(String, Vec<Node>),
}

/// What is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Env(String),
    File(String),
    /// With a default: `keyOrDefault`.
    Key(String, Option<String>),
    /// `.Data.x`.
    Field(Vec<String>),
}

/// What is done to it, `| trimSpace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipe {
    TrimSpace,
    ToLower,
    ToUpper,
    Base64Decode,
}

impl Pipe {
    pub(super) fn apply(self, text: &str) -> Result<String, String> {
        match self {
            Self::TrimSpace => Ok(text.trim().to_owned()),
            Self::ToLower => Ok(text.to_lowercase()),
            Self::ToUpper => Ok(text.to_uppercase()),
            Self::Base64Decode => base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| "`base64Decode` was given what is no text in base64".to_owned()),
        }
    }
}

/// Detection is by pattern, as in CTS: any other text with braces is a text.
static DYNAMIC: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"\{\{-?\s*(env|file|key|keyOrDefault|with secret)\s+["`]"#).ok());

/// Whether a text is a template.
pub(super) fn is_template(text: &str) -> bool {
    DYNAMIC.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// The parts of a template; `None`: it is a plain text.
pub(super) fn template(text: &str) -> Result<Option<Vec<Node>>, String> {
    if !is_template(text) {
        return Ok(None);
    }
    let mut tokens = tokens(text)?.into_iter();
    nodes(&mut tokens, 0).map(Some)
}

/// What the parts ask for.
pub(super) fn lookups(nodes: &[Node], found: &mut dyn FnMut(Lookup)) {
    for node in nodes {
        match node {
            Node::Print(Word::Key(path, _), _) => found(Lookup::Key(path.clone())),
            Node::Print(Word::File(path), _) => found(Lookup::File(path.clone())),
            Node::With(path, inner) => {
                found(Lookup::Secret(path.clone()));
                lookups(inner, found);
            }
            Node::Text(_) | Node::Print(..) => {}
        }
    }
}

/// Which variables of the environment the parts take.
pub(super) fn variables(nodes: &[Node], found: &mut Vec<String>) {
    for node in nodes {
        match node {
            Node::Print(Word::Env(name), _) => found.push(name.clone()),
            Node::With(_, inner) => variables(inner, found),
            Node::Text(_) | Node::Print(..) => {}
        }
    }
}

enum Token {
    Text(String),
    Action(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let (mut rest, mut trim) = (text, false);
    loop {
        let (before, after) = rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        let before = if trim { before.trim_start() } else { before };
        let Some(after) = after else {
            tokens.push(Token::Text(before.to_owned()));
            return Ok(tokens);
        };
        let trims_before = after.starts_with("- ");
        tokens.push(Token::Text(if trims_before { before.trim_end() } else { before }.to_owned()));
        let after = if trims_before { &after[1..] } else { after };
        let end = end_of_action(after).ok_or("`{{` without `}}`")?;
        let action = &after[..end];
        trim = action.ends_with(" -");
        tokens.push(Token::Action(action.strip_suffix(" -").unwrap_or(action).trim().to_owned()));
        rest = &after[end + 2..];
    }
}

/// Where `}}` stands outside of quotes.
fn end_of_action(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(open), c) if c == open && !escaped => quote = None,
            (None, '"' | '`') => quote = Some(c),
            (None, '}') if text[index..].starts_with("}}") => return Some(index),
            _ => {}
        }
        escaped = false;
    }
    None
}

fn nodes(tokens: &mut std::vec::IntoIter<Token>, depth: usize) -> Result<Vec<Node>, String> {
    let mut found = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(text) if text.is_empty() => {}
            Token::Text(text) => found.push(Node::Text(text)),
            Token::Action(action) if action == "end" => {
                return if depth > 0 { Ok(found) } else { Err("{{ end }} without a block".to_owned()) };
            }
            Token::Action(action) => match words(&action)?.as_slice() {
                [Piece::Bare(with), Piece::Bare(secret), Piece::Quoted(path)]
                    if with == "with" && secret == "secret" =>
                {
                    if depth == DEPTH_MAX {
                        return Err(format!("blocks are nested deeper than {DEPTH_MAX}"));
                    }
                    found.push(Node::With(path.clone(), nodes(tokens, depth + 1)?));
                }
                words => found.push(print(words, &action)?),
            },
        }
    }
    if depth > 0 { Err("{{ with secret }} without {{ end }}".to_owned()) } else { Ok(found) }
}

fn print(words: &[Piece], action: &str) -> Result<Node, String> {
    let unknown = || {
        format!(
            "`{{{{ {action} }}}}` is not known here; known are env \"NAME\", file \"PATH\", key \"PATH\", keyOrDefault \"PATH\" \"VALUE\", with \
             secret \"PATH\" and .Data.NAME inside of it, each with | trimSpace, toLower, toUpper, base64Decode"
        )
    };
    let mut parts = words.split(|piece| *piece == Piece::Bare("|".to_owned()));
    let word = match parts.next() {
        Some([Piece::Bare(name), Piece::Quoted(variable)]) if name == "env" => Word::Env(variable.clone()),
        Some([Piece::Bare(name), Piece::Quoted(path)]) if name == "file" => Word::File(path.clone()),
        Some([Piece::Bare(name), Piece::Quoted(path)]) if name == "key" => Word::Key(path.clone(), None),
        Some([Piece::Bare(name), Piece::Quoted(path), Piece::Quoted(default)]) if name == "keyOrDefault" => {
            Word::Key(path.clone(), Some(default.clone()))
        }
        Some([Piece::Bare(name)]) if name.starts_with('.') && name.len() > 1 => {
            Word::Field(name[1..].split('.').map(ToOwned::to_owned).collect())
        }
        _ => return Err(unknown()),
    };
    let pipe = |part: &[Piece]| match part {
        [Piece::Bare(name)] => match name.as_str() {
            "trimSpace" => Ok(Pipe::TrimSpace),
            "toLower" => Ok(Pipe::ToLower),
            "toUpper" => Ok(Pipe::ToUpper),
            "base64Decode" => Ok(Pipe::Base64Decode),
            _ => Err(unknown()),
        },
        _ => Err(unknown()),
    };
    Ok(Node::Print(word, parts.map(pipe).collect::<Result<_, _>>()?))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bare(String),
    Quoted(String),
}

fn words(action: &str) -> Result<Vec<Piece>, String> {
    let mut found = Vec::new();
    let mut chars = action.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '|' => found.push(Piece::Bare("|".to_owned())),
            '"' | '`' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            Some('n') => text.push('\n'),
                            Some('t') => text.push('\t'),
                            Some(other @ ('"' | '\\')) => text.push(other),
                            _ => return Err(format!("an escape that is not known in `{{{{ {action} }}}}`")),
                        },
                        Some(other) => text.push(other),
                        None => return Err(format!("a quote is not closed in `{{{{ {action} }}}}`")),
                    }
                }
                found.push(Piece::Quoted(text));
            }
            c => {
                let mut text = String::from(c);
                while let Some(next) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '"' | '`' | '|')) {
                    text.push(next);
                }
                found.push(Piece::Bare(text));
            }
        }
    }
    Ok(found)
}
