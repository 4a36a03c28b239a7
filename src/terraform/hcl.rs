//! Generates HCL 2: a small tree of what we write, and the one writer that turns it into text.
//!
//! Service names, tags, metadata and member names come from the network, so they are hostile: a value that holds
//! `${`, `%{`, a quote or a newline must come back out of Terraform as the same value, never as an expression. So
//! nothing in this room builds HCL by pasting text: it builds a [`Body`], and [`Body::to_text`] escapes every string.
//!
//! # Not here
//!
//! Reading HCL: that is hcl-edit's, which the tests hold this writer against.

mod writer;

pub use writer::quote as quoted;

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
    /// As [`Expr::Map`], but each entry stands alone: `"key" = value`, no comma, no alignment, values of one line. How CTS
    /// writes `catalog_services` and `consul_kv`.
    Entries(Vec<(String, Expr)>),
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
            Expr::Object(items) | Expr::Map(items) | Expr::Entries(items) => {
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
        writer::text(self)
    }
}

#[cfg(test)]
mod tests;
