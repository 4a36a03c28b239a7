//! What holds several values: lists, maps, and blocks that may be repeated.

use std::collections::BTreeMap;

use super::{Read, Spanned, mismatch, spanned, taken};
use crate::config::diagnostic::Problems;
use crate::config::tree::{Entry, Kind, Value};

/// A list; a single value is a list of one. Later files replace it.
impl<T: Read> Read for Vec<Spanned<T>> {
    const TAKES_LISTS: bool = true;

    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            Kind::Object(_) => std::slice::from_ref(value),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {
                taken(value, path, "a list", "it is read as a list of one", "write it in brackets: [..]", problems);
                std::slice::from_ref(value)
            }
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
    const TAKES_LISTS: bool = true;

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
        Some(spanned(first, map))
    }
}

/// Blocks that may be repeated. Later files append.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Many<T>(pub(in crate::config) Vec<Spanned<T>>);

impl<T: Read> Read for Many<T> {
    const TAKES_LISTS: bool = true;

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
        Some(spanned(first, Self(all)))
    }
}
