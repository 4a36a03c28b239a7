//! A key that is given twice in one block: the last one counts, as in CTS, and it is said.
//!
//! Blocks of HCL may be repeated, and stay; in JSON a key that comes again replaces the one before it, whatever it holds.

use super::diagnostic::{Diagnostic, Problems};
use super::span::Format;
use super::tree::{Entry, Kind, Object, Value};

/// Leaves the last of each.
pub(super) fn settle(object: &mut Object, problems: &mut Problems) {
    let all = std::mem::take(&mut object.entries);
    let mut counts = |i: usize, entry: &Entry| {
        let later = all.iter().skip(i + 1).rfind(|later| later.key == entry.key && replaces(later, entry));
        match later {
            None => true,
            Some(later) => {
                let message = format!("`{}` is given twice: the last one counts", entry.key);
                let warning = Diagnostic::weak(message).at(&later.key_span, "this one counts");
                problems.add(warning.at(&entry.key_span, "this one does not").help("remove one of the two"));
                false
            }
        }
    };
    let kept: Vec<bool> = all.iter().enumerate().map(|(i, entry)| counts(i, entry)).collect();
    object.entries = all.into_iter().zip(kept).filter_map(|(entry, kept)| kept.then_some(entry)).collect();
    for entry in &mut object.entries {
        within(&mut entry.value, problems);
    }
}

fn within(value: &mut Value, problems: &mut Problems) {
    match &mut value.kind {
        Kind::Object(object) => settle(object, problems),
        Kind::List(items) => items.iter_mut().for_each(|item| within(item, problems)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
}

fn replaces(later: &Entry, entry: &Entry) -> bool {
    let is_block = |entry: &Entry| matches!(entry.value.kind, Kind::Object(_));
    entry.key_span.file.format == Format::Json || !is_block(later) && !is_block(entry)
}
