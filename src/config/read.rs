//! A tree to raw blocks: one typed field after the other, gathering every mistake.
//!
//! Strings, numbers and booleans turn into each other where the text allows it, a single value is a list of one, a list of
//! one is a single value, and a whole number for a duration counts nanoseconds: as in CTS, with a warning. Keys match
//! without regard to case. A key that nothing reads is refused, with the nearest known name.

mod collections;
mod labelled;
mod scalar;

use super::diagnostic::{Diagnostic, Problems};
use super::span::{Format, Span};
use super::tree::{Entry, Kind, Object, Value};

pub(super) use collections::Many;
pub(super) use labelled::Labelled;

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
    /// A list is a value of its own. For what is none, a list of none counts as not given.
    const TAKES_LISTS: bool = false;

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
        Some(spanned(first, Self::read(&first.value, path, problems)?))
    }
}

fn spanned<T>(entry: &Entry, value: T) -> Spanned<T> {
    Spanned { value, span: entry.value.span.clone(), key: entry.key_span.clone() }
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

/// A value of another type that CTS takes all the same: `meaning` says as what. The command line has texts only.
fn taken(value: &Value, path: &str, expected: &str, meaning: &str, help: &str, problems: &mut Problems) {
    if value.span.file.format == Format::Plain {
        return;
    }
    let name = path.rsplit('.').next().unwrap_or(path);
    let message = format!("`{name}` must be {expected}, found {}: {meaning}", value.what());
    problems.add(Diagnostic::weak(message).at(&value.span, meaning).help(help));
}

/// The item of a list of one, which is said; any other value as it is.
fn only<'a>(value: &'a Value, path: &str, expected: &str, problems: &mut Problems) -> &'a Value {
    let Kind::List(items) = &value.kind else { return value };
    let [item] = items.as_slice() else { return value };
    if !matches!(item.kind, Kind::List(_) | Kind::Object(_)) {
        taken(value, path, expected, "its only item is taken", "write it without the brackets", problems);
    }
    item
}

/// Kept as it is: for what is passed on, or not looked into.
impl Read for Value {
    const TAKES_LISTS: bool = true;

    fn read(value: &Value, _: &str, _: &mut Problems) -> Option<Self> {
        Some(value.clone())
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
    let mut entries: Vec<&Entry> =
        object.entries.iter().filter(|entry| entry.key.eq_ignore_ascii_case(key)).filter(null).collect();
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if !T::TAKES_LISTS {
        entries.retain(|entry| {
            let is_empty = matches!(&entry.value.kind, Kind::List(items) if items.is_empty());
            if is_empty {
                let message = format!("`{key}` is an empty list: it counts as not given");
                problems.add(Diagnostic::weak(message).at(&entry.value.span, "nothing").help("remove it"));
            }
            !is_empty
        });
    }
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
