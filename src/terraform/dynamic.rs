//! Texts that are filled in when they are needed: `{{ env "X" }}`, `{{ file "/run/secrets/x" }}`, `{{ key "path" }}` and
//! `{{ with secret "path" }}{{ .Data.password }}{{ end }}` (`reference/cts.md` 2.10). `env("X")` and `file("..")` of a
//! configuration are the same texts.
//!
//! In three steps, so that only the middle one waits: all templates are parsed, what they ask for is fetched once each and
//! at the same time, and the texts are put together. That is done for every run anew, so that a run has the values of its
//! moment and nothing has to be stored.
//!
//! # Not here
//!
//! The rest of Go's template language. What we do not know is an error with the words that we do know, never a wrong
//! password.

mod parse;
mod texts;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use parse::{Node, Word};
pub use texts::{Place, RunTexts, Texts, Visit};

/// How long one value may take to fetch.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest file that is a value, in bytes: a key with its chain of certificates fits.
const FILE_MAX: u64 = 256 * 1024;

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The value of a key in Consul: a string, or null when there is no such key.
    Key(String),
    /// The whole answer of Vault about a path: an object with `data`.
    Secret(String),
    /// The text of a file on this agent's machine, without the end of its last line.
    File(String),
}

impl std::fmt::Display for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(path) => write!(f, "key {path:?} of Consul"),
            Self::Secret(path) => write!(f, "secret {path:?} of Vault"),
            Self::File(path) => write!(f, "file {path:?}"),
        }
    }
}

/// Why values could not be filled in. Nothing was changed. No text of it holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynamicError {
    /// Not a template that we know, or one that asks for what is not there.
    #[error("{0}: {1}")]
    Template(Place, String),
    /// The words of CTS.
    #[error("detected dynamic configuration using Vault: missing Vault configuration")]
    NoVault,
    /// Retrying is sensible.
    #[error("{0}: {1}: {2}")]
    Fetch(Place, Lookup, String),
    /// Retrying is sensible.
    #[error("{0}: {1}: no answer within {limit} seconds", limit = FETCH_TIMEOUT.as_secs())]
    TimedOut(Place, Lookup),
}

/// Texts that are filled in.
#[derive(Debug)]
pub struct Filled<T> {
    /// They.
    pub texts: T,
    /// What was put in from the environment, files and Vault: not to be shown.
    pub secrets: Vec<String>,
}

/// Whether this is filled in, and not a text for itself.
pub fn is_template(text: &str) -> bool {
    parse::is_template(text)
}

/// The texts with all their templates filled in. `fetch` answers one lookup, with words for people on failure; each is
/// asked once. `has_vault`: whether there is a Vault to ask.
pub async fn fill<T: Texts, F>(
    texts: &T,
    env: &BTreeMap<String, String>,
    has_vault: bool,
    fetch: impl Fn(Lookup) -> F,
) -> Result<Filled<T>, DynamicError>
where
    F: Future<Output = Result<Value, String>>,
{
    fill_within(FETCH_TIMEOUT, texts, env, has_vault, fetch).await
}

async fn fill_within<T: Texts, F>(
    limit: Duration,
    texts: &T,
    env: &BTreeMap<String, String>,
    has_vault: bool,
    fetch: impl Fn(Lookup) -> F,
) -> Result<Filled<T>, DynamicError>
where
    F: Future<Output = Result<Value, String>>,
{
    let one = async |(lookup, place): (Lookup, Place)| {
        let found = match &lookup {
            Lookup::File(path) => {
                let path = path.clone();
                let read = async { tokio::task::spawn_blocking(move || read_file(&path)).await };
                let read = tokio::time::timeout(limit, read).await;
                read.map(|read| read.unwrap_or_else(|error| Err(format!("cannot be read: {error}"))))
            }
            Lookup::Key(_) | Lookup::Secret(_) => tokio::time::timeout(limit, fetch(lookup.clone())).await,
        };
        match found {
            Ok(Ok(value)) => Ok((lookup, value)),
            Ok(Err(why)) => Err(DynamicError::Fetch(place, lookup, why)),
            Err(_) => Err(DynamicError::TimedOut(place, lookup)),
        }
    };
    let fetched = futures_util::future::join_all(lookups(texts, has_vault)?.into_iter().map(one)).await;
    let fetched: BTreeMap<Lookup, Value> = fetched.into_iter().collect::<Result<_, _>>()?;
    put_together(texts, env, &fetched)
}

/// The same for texts that ask for nothing but the environment and files.
pub fn fill_here<T: Texts>(texts: &T, env: &BTreeMap<String, String>) -> Result<Filled<T>, DynamicError> {
    let mut fetched = BTreeMap::new();
    for (lookup, place) in lookups(texts, true)? {
        match &lookup {
            Lookup::File(path) => match read_file(path) {
                Ok(value) => drop(fetched.insert(lookup, value)),
                Err(why) => return Err(DynamicError::Fetch(place, lookup, why)),
            },
            Lookup::Key(_) | Lookup::Secret(_) => {
                let why = "is not known here: write {{ env \"NAME\" }} or {{ file \"PATH\" }}";
                return Err(DynamicError::Template(place, format!("{lookup} {why}")));
            }
        }
    }
    put_together(texts, env, &fetched)
}

fn put_together<T: Texts>(
    texts: &T,
    env: &BTreeMap<String, String>,
    fetched: &BTreeMap<Lookup, Value>,
) -> Result<Filled<T>, DynamicError> {
    let mut filled = texts.clone();
    let mut secrets = Vec::new();
    filled.each(&mut |place, text| {
        if let Some(nodes) = parse::template(text)? {
            let mut filler = Filler { env, fetched, is_strict: place.is_strict, secrets: &mut secrets };
            *text = filler.evaluate(&nodes, None)?;
        }
        Ok(())
    })?;
    Ok(Filled { texts: filled, secrets })
}

/// What the templates ask for, and the first place that does. Nobody is asked.
pub fn lookups<T: Texts>(texts: &T, has_vault: bool) -> Result<BTreeMap<Lookup, Place>, DynamicError> {
    let mut found = BTreeMap::new();
    texts.clone().each(&mut |place, text| {
        if let Some(nodes) = parse::template(text)? {
            parse::lookups(&nodes, &mut |lookup| {
                found.entry(lookup).or_insert_with(|| place.clone());
            });
        }
        Ok(())
    })?;
    if !has_vault && found.keys().any(|lookup| matches!(lookup, Lookup::Secret(_))) {
        return Err(DynamicError::NoVault);
    }
    Ok(found)
}

/// Names of the variables that a text takes from the environment; none for what is no template.
pub fn variables(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(Some(nodes)) = parse::template(text) {
        parse::variables(&nodes, &mut found);
    }
    found
}

fn read_file(path: &str) -> Result<Value, String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe without a writer would never open.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| format!("cannot be read: {error}"))?;
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("is larger than {} KiB", FILE_MAX >> 10));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not text (UTF-8)".to_owned())?;
    if text.ends_with('\n') {
        text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
    }
    Ok(Value::String(text))
}

/// Puts one text together.
struct Filler<'a> {
    env: &'a BTreeMap<String, String>,
    fetched: &'a BTreeMap<Lookup, Value>,
    /// A variable that is not there is an error; else it is empty, as in CTS.
    is_strict: bool,
    secrets: &'a mut Vec<String>,
}

impl Filler<'_> {
    /// `dot` is the secret of the block that the nodes stand in, with its path.
    fn evaluate(&mut self, nodes: &[Node], dot: Option<(&str, &Value)>) -> Result<String, String> {
        let fetched = self.fetched;
        let mut out = String::new();
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(word, pipes) => {
                    let text = self.word(word, dot)?;
                    let text = pipes.iter().try_fold(text, |text, pipe| pipe.apply(&text))?;
                    if !matches!(word, Word::Key(..)) && !text.is_empty() {
                        self.secrets.push(text.clone());
                    }
                    out.push_str(&text);
                }
                Node::With(path, inner) => {
                    let secret = fetched.get(&Lookup::Secret(path.clone())).unwrap_or(&Value::Null);
                    out.push_str(&self.evaluate(inner, Some((path, secret)))?);
                }
            }
        }
        Ok(out)
    }

    fn word(&self, word: &Word, dot: Option<(&str, &Value)>) -> Result<String, String> {
        match word {
            Word::Env(name) => match self.env.get(name) {
                None if self.is_strict => Err(format!("the environment of the agent has no variable {name}")),
                value => Ok(value.cloned().unwrap_or_default()),
            },
            Word::File(path) => match self.fetched.get(&Lookup::File(path.clone())) {
                Some(Value::String(text)) => Ok(text.clone()),
                _ => Err(format!("file {path:?} was not read")),
            },
            Word::Key(path, default) => match (self.fetched.get(&Lookup::Key(path.clone())), default) {
                (Some(Value::String(text)), _) => Ok(text.clone()),
                (_, Some(default)) => Ok(default.clone()),
                _ => Err(format!("there is no key {path:?} in Consul")),
            },
            Word::Field(names) => field(names, dot),
        }
    }
}

/// `.Data.a.b`: the answer's `data`, then what is inside. A field that is not there is an error, not `<no value>`.
fn field(names: &[String], dot: Option<(&str, &Value)>) -> Result<String, String> {
    let shown = format!(".{}", names.join("."));
    let Some((path, secret)) = dot else { return Err(format!("`{shown}` stands outside of {{{{ with secret }}}}")) };
    let Some(("Data", rest)) = names.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        return Err(format!("`{shown}` is not known: only `.Data` of a secret is"));
    };
    let found = rest.iter().try_fold(&secret["data"], |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(Value::Object(inner)) if inner.contains_key("data") => Err(format!(
            "secret {path:?}: `{shown}` is not a text; a KV version 2 secret has its values in `.Data.data`"
        )),
        Some(Value::Null) | None => Err(format!("secret {path:?} has no `{shown}`")),
        Some(_) => Err(format!("secret {path:?}: `{shown}` is not a text")),
    }
}

#[cfg(test)]
mod tests;
