//! A tree to raw blocks: one typed field after the other, with CTS's weak typing, gathering every mistake.
//!
//! Strings, numbers and booleans turn into each other where the text allows it, a single value is a list of one, and
//! a whole number for a duration counts nanoseconds. Keys match without regard to case. A key that nothing reads is
//! refused, with the nearest known name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Problems};
use super::duration::{self, DurationError};
use super::source::{Format, Span};
use super::tree::{Entry, Kind, Object, Value};

/// A value with its places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    /// Of the value; for a block, its head.
    pub(super) span: Span,
    /// Of the key.
    pub(super) key: Span,
}

/// What a value in a file can become.
pub(super) trait Read: Sized {
    /// Reads one value; `path` names it for people (`task.buffer_period`). `None`: a problem was added.
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self>;

    /// Takes over what a later file says.
    fn absorb(&mut self, later: Self) {
        *self = later;
    }

    /// Reads all entries of one key. Most things may be said once.
    fn collect(entries: &[&Entry], path: &str, problems: &mut Problems) -> Option<Spanned<Self>> {
        let (first, more) = entries.split_first()?;
        if let Some(again) = more.first() {
            let name = path.rsplit('.').next().unwrap_or(path);
            let message = match again.value.kind {
                Kind::Object(_) => format!("only one '{name}' block can be configured"),
                _ => format!("`{name}` is given twice"),
            };
            problems
                .add(Diagnostic::error(message).at(&again.key_span, "again here").at(&first.key_span, "first here"));
        }
        spanned(first, Self::read(&first.value, path, problems)?)
    }
}

fn spanned<T>(entry: &Entry, value: T) -> Option<Spanned<T>> {
    Some(Spanned { value, span: entry.value.span.clone(), key: entry.key_span.clone() })
}

/// Adds "expected .., found .." and is `None`.
pub(super) fn mismatch<T>(
    value: &Value,
    path: &str,
    expected: &str,
    help: Option<&str>,
    problems: &mut Problems,
) -> Option<T> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let found = value.what();
    let diagnostic = Diagnostic::error(format!("`{name}` must be {expected}, found {found}"))
        .at(&value.span, format!("expected {expected}"));
    problems.add(match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    });
    None
}

impl Read for String {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match &value.kind {
            Kind::Text(text) | Kind::Number(text) => Some(text.clone()),
            Kind::Bool(yes) => Some(yes.to_string()),
            Kind::Null | Kind::List(_) | Kind::Object(_) => mismatch(value, path, "a string", None, problems),
        }
    }
}

impl Read for bool {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match &value.kind {
            Kind::Bool(yes) => Some(*yes),
            Kind::Number(text) if text == "0" || text == "1" => Some(text == "1"),
            Kind::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
                "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Some(false),
                _ => mismatch(value, path, "true or false", None, problems),
            },
            Kind::Null | Kind::Number(_) | Kind::List(_) | Kind::Object(_) => {
                mismatch(value, path, "true or false", None, problems)
            }
        }
    }
}

/// A whole number of a type's range.
fn integer<T: TryFrom<i64>>(value: &Value, path: &str, most: &str, problems: &mut Problems) -> Option<T> {
    let number = match &value.kind {
        Kind::Bool(yes) => Some(i64::from(*yes)),
        Kind::Number(text) | Kind::Text(text) => text.trim().parse::<i64>().ok(),
        Kind::Null | Kind::List(_) | Kind::Object(_) => None,
    };
    let expected = format!("a whole number from 0 to {most}");
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Some(number),
        None => mismatch(value, path, &expected, None, problems),
    }
}

macro_rules! integers {
    ($($name:ty),*) => {$(
        impl Read for $name {
            fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
                integer(value, path, &<$name>::MAX.to_string(), problems)
            }
        }
    )*};
}

integers!(u8, u16, u32);

impl Read for Duration {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let text = match &value.kind {
            Kind::Text(text) => text,
            Kind::Number(text) => match text.parse::<i64>() {
                Ok(nanos) if nanos >= 0 => {
                    if nanos > 0 {
                        let message = format!("`{name}` has no unit: {nanos} means {nanos} nanoseconds");
                        let help = format!("write a unit: \"{nanos}s\" for seconds, \"{nanos}ms\" for milliseconds");
                        problems.add(Diagnostic::warning(message).at(&value.span, "nanoseconds").help(help));
                    }
                    return Some(Self::from_nanos(nanos.unsigned_abs()));
                }
                _ => text,
            },
            Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Object(_) => {
                let help = "durations look like \"300ms\", \"5s\" or \"1h2m\"";
                return mismatch(value, path, "a duration", Some(help), problems);
            }
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let help = match error {
                    DurationError::NoUnit => format!("write a unit, such as \"{}s\"", text.trim()),
                    DurationError::Malformed => "durations look like \"300ms\", \"5s\" or \"1h2m\"; units are ns, us, \
                                                 ms, s, m and h"
                        .to_owned(),
                    DurationError::Negative => "give zero or more".to_owned(),
                    DurationError::TooLong => "give less than 292 years".to_owned(),
                };
                let message = format!("`{name}` {error}: {text:?}");
                problems.add(Diagnostic::error(message).at(&value.span, "expected a duration").help(help));
                None
            }
        }
    }
}

/// Kept as it is: for what is passed on, or not looked into.
impl Read for Value {
    fn read(value: &Value, _: &str, _: &mut Problems) -> Option<Self> {
        Some(value.clone())
    }
}

/// A list; a single value is a list of one. Later files replace it.
impl<T: Read> Read for Vec<Spanned<T>> {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let read: Vec<_> = items
            .iter()
            .map(|item| {
                let span = item.span.clone();
                T::read(item, path, problems).map(|value| Spanned { value, key: span.clone(), span })
            })
            .collect();
        read.into_iter().collect()
    }
}

/// A map. Repeated blocks and later files add to it, key by key.
impl<T: Read> Read for BTreeMap<String, Spanned<T>> {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match &value.kind {
            Kind::Object(object) => {
                let mut map = Self::new();
                for entry in &object.entries {
                    let path = format!("{path}.{}", entry.key);
                    if let Some(read) = T::read(&entry.value, &path, problems) {
                        let (span, key) = (entry.value.span.clone(), entry.key_span.clone());
                        map.insert(entry.key.clone(), Spanned { value: read, span, key });
                    }
                }
                Some(map)
            }
            Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Object(_))) => {
                let mut map = Self::new();
                items.iter().filter_map(|item| Self::read(item, path, problems)).for_each(|more| map.absorb(more));
                Some(map)
            }
            _ => mismatch(value, path, "a block", None, problems),
        }
    }

    fn absorb(&mut self, later: Self) {
        self.extend(later);
    }

    fn collect(entries: &[&Entry], path: &str, problems: &mut Problems) -> Option<Spanned<Self>> {
        let (first, more) = entries.split_first()?;
        let mut map = Self::read(&first.value, path, problems)?;
        more.iter().filter_map(|entry| Self::read(&entry.value, path, problems)).for_each(|more| map.absorb(more));
        spanned(first, map)
    }
}

/// Blocks that may be repeated. Later files append.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Many<T>(pub(super) Vec<Spanned<T>>);

impl<T: Read> Read for Many<T> {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        Vec::read(value, path, problems).map(Self)
    }

    fn absorb(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    fn collect(entries: &[&Entry], path: &str, problems: &mut Problems) -> Option<Spanned<Self>> {
        let first = entries.first()?;
        let mut all = Vec::new();
        for entry in entries {
            if let Some(mut read) = Self::read(&entry.value, path, problems) {
                // A block is pointed at by its keyword.
                if let (Kind::Object(_), Some(only)) = (&entry.value.kind, read.0.first_mut()) {
                    only.key = entry.key_span.clone();
                }
                all.append(&mut read.0);
            }
        }
        spanned(first, Self(all))
    }
}

/// `keyword "label" { .. }`: what was labelled, one entry for each label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labelled(pub(super) Vec<Entry>);

impl Read for Labelled {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let Kind::Object(object) = single(value) else {
            return mismatch(value, path, "a block with a label", None, problems);
        };
        let bare = |entry: &&Entry| !entry.label && entry.key_span.file.format == Format::Hcl;
        let unlabelled = object.entries.iter().find(|entry| !matches!(entry.value.kind, Kind::Object(_)));
        let inner = object.entries.iter().filter(bare).find(|entry| !known_label(name, &entry.key));
        if object.entries.is_empty() || unlabelled.is_some() || inner.is_some() {
            let (example, why) = example(name);
            let diagnostic = Diagnostic::error(format!("`{name}` needs a label")).at(&value.span, "no label here");
            problems.add(diagnostic.help(format!("write `{name} \"{example}\" {{ .. }}`: {why}")));
            return None;
        }
        Some(Self(object.entries.clone()))
    }

    fn absorb(&mut self, later: Self) {
        for entry in later.0 {
            match self.0.iter_mut().find(|mine| mine.key == entry.key) {
                Some(mine) => merge_values(&mut mine.value, entry.value),
                None => self.0.push(entry),
            }
        }
    }
}

/// Whether an object with this key, not written as a label, can still be meant as one: `backend = { s3 = {} }`.
fn known_label(keyword: &str, key: &str) -> bool {
    match keyword {
        "driver" => key.starts_with("terraform"),
        "condition" | "module_input" | "source_input" => {
            ["services", "catalog-services", "consul-kv", "schedule", "members"].contains(&key)
        }
        _ => true,
    }
}

fn example(keyword: &str) -> (&'static str, &'static str) {
    match keyword {
        "driver" => ("terraform", "the label says which driver"),
        "backend" => ("local", "the label says which Terraform backend"),
        "condition" => ("schedule", "the label says what makes the task run"),
        "module_input" | "source_input" => ("members", "the label says what is given to the module"),
        "storage" => ("consul", "the label says which storage"),
        _ => ("name", "the label is its name"),
    }
}

fn merge_values(mine: &mut Value, later: Value) {
    match (&mut mine.kind, later.kind) {
        (Kind::Object(mine), Kind::Object(later)) => {
            for entry in later.entries {
                mine.entries.retain(|old| old.key != entry.key);
                mine.entries.push(entry);
            }
        }
        (mine, later) => *mine = later,
    }
}

/// A list of one is that one.
fn single(value: &Value) -> &Kind {
    match &value.kind {
        Kind::List(items) => match items.as_slice() {
            [only] => &only.kind,
            _ => &value.kind,
        },
        kind => kind,
    }
}

/// The object of a block, or a problem.
pub(super) fn object<'a>(value: &'a Value, path: &str, problems: &mut Problems) -> Option<&'a Object> {
    let Kind::Object(object) = single(value) else {
        return mismatch(value, path, "a block", None, problems);
    };
    let [Entry { key, key_span, label: true, value: Value { kind: Kind::Object(inner), .. } }] =
        object.entries.as_slice()
    else {
        return Some(object);
    };
    let block = path.rsplit('.').next().unwrap_or(path);
    let help = match block {
        "task" | "service" | "cluster" => format!("write `{block} {{ name = \"{key}\" .. }}`"),
        _ => format!("write `{block} {{ .. }}`"),
    };
    let diagnostic = Diagnostic::error(format!("`{block}` takes no label"));
    problems.add(diagnostic.at(key_span, "remove this label").help(help));
    Some(inner)
}

/// Reads one key of a block. The second answer: it is there, and could not be read.
pub(super) fn field<T: Read>(
    object: &Object,
    key: &str,
    path: &str,
    problems: &mut Problems,
) -> (Option<Spanned<T>>, bool) {
    let null = |entry: &&Entry| !matches!(entry.value.kind, Kind::Null);
    let entries: Vec<&Entry> =
        object.entries.iter().filter(|entry| entry.key.eq_ignore_ascii_case(key)).filter(null).collect();
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let read = T::collect(&entries, &path, problems);
    let broken = read.is_none() && !entries.is_empty();
    (read, broken)
}

/// Refuses keys that are not known.
pub(super) fn known(object: &Object, keys: &[&str], path: &str, problems: &mut Problems) {
    for entry in &object.entries {
        if !keys.iter().any(|key| key.eq_ignore_ascii_case(&entry.key)) {
            problems.add(unknown(entry, keys, path));
        }
    }
}

fn unknown(entry: &Entry, keys: &[&str], path: &str) -> Diagnostic {
    let place = if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") };
    let key = &entry.key;
    let message = format!("unknown key `{key}` {place}");
    let help = match (path, key.as_str()) {
        ("", "provider") => "use `terraform_provider`".to_owned(),
        ("", "gossip" | "cluster") => format!("`{key}` belongs inside `high_availability {{ cluster {{ .. }} }}`"),
        _ => match nearest(key, keys) {
            Some(near) => format!("did you mean `{near}`?"),
            None if keys.is_empty() => "nothing is configured here".to_owned(),
            None => format!("known here: {}", keys.join(", ")),
        },
    };
    Diagnostic::error(message).at(&entry.key_span, "not known here").help(help)
}

/// The known name that was probably meant: at most a third of it differs.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &name.replace('-', "_")), *name))
        .filter(|(distance, name)| *distance <= (name.len().max(3)) / 3)
        .min()
        .map(|(_, name)| name)
}

/// Declares raw blocks: every field may be missing, every value knows its place, unknown keys are refused.
macro_rules! raw {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $ty:ty = $key:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(in crate::config) struct $name {
            /// Keys that are there and could not be read: not to be called missing.
            pub(in crate::config) broken: Vec<&'static str>,
            $(pub(in crate::config) $field: Option<$crate::config::read::Spanned<$ty>>,)*
        }

        impl $crate::config::read::Read for $name {
            fn read(
                value: &$crate::config::tree::Value,
                path: &str,
                problems: &mut $crate::config::diagnostic::Problems,
            ) -> Option<Self> {
                let object = $crate::config::read::object(value, path, problems)?;
                Some(Self::from_object(object, path, problems))
            }

            fn absorb(&mut self, later: Self) {
                self.broken.extend(later.broken);
                $(match (&mut self.$field, later.$field) {
                    (Some(mine), Some(later)) => {
                        $crate::config::read::Read::absorb(&mut mine.value, later.value);
                        mine.span = later.span;
                        mine.key = later.key;
                    }
                    (mine @ None, later) => *mine = later,
                    (Some(_), None) => {}
                })*
            }
        }

        impl $name {
            /// Reads a block's content.
            pub(in crate::config) fn from_object(
                object: &$crate::config::tree::Object,
                path: &str,
                problems: &mut $crate::config::diagnostic::Problems,
            ) -> Self {
                let mut raw = Self::default();
                $crate::config::read::known(object, &[$($key),*], path, problems);
                $({
                    let (read, broken) = $crate::config::read::field(object, $key, path, problems);
                    raw.$field = read;
                    if broken {
                        raw.broken.push($key);
                    }
                })*
                raw
            }
        }
    )*};
}

pub(super) use raw;
