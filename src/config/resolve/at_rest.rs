//! `at_rest`: the keys that what the agents keep is sealed with.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::World;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::cluster::RawAtRest;
use crate::config::read::Spanned;
use crate::config::settings::{AtRest, ClusterKey};
use crate::config::source::text;

/// Most keys of one file: a rotation needs two.
const KEYS_MAX: usize = 16;

/// `None`: everything is kept as it is.
pub(super) fn at_rest(
    raw: &Spanned<RawAtRest>,
    cluster: &[ClusterKey],
    world: &World<'_>,
    problems: &mut Problems,
) -> Option<AtRest> {
    let seals = raw.value.enabled.as_ref().is_none_or(|enabled| enabled.value);
    if let Some(file) = &raw.value.key_file {
        return from_file(file, seals, world, problems);
    }
    if cluster.is_empty() {
        let message = "`at_rest` needs a key: this cluster has none of its own";
        let help = "make one with `quorate keygen > FILE`, write key_file = \"FILE\", the same on every agent";
        problems.add(Diagnostic::error(message).at(&raw.key, "no `key_file` here, and no `encrypt_file`").help(help));
        return None;
    }
    Some(AtRest::new(None, seals))
}

/// A key a line; the first seals.
fn from_file(file: &Spanned<String>, seals: bool, world: &World<'_>, problems: &mut Problems) -> Option<AtRest> {
    let mut unread = Problems::default();
    let Some(text) = text(Path::new(&file.value), &world.path(&file.value), &mut unread) else {
        let why = unread.into_sorted().first().map_or_else(String::new, |it| it.message.clone());
        let help = format!("make a key with: quorate keygen > {}", file.value);
        problems.add(Diagnostic::error(why).at(&file.span, "`key_file` names this").help(help));
        return None;
    };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let mut keys = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let bytes = STANDARD.decode(line).or_else(|_| STANDARD_NO_PAD.decode(line)).ok();
        let Some(key) = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
            let message = format!("line {at} of the key file is not 32 bytes in base64");
            let help = "one key a line, as `quorate keygen` makes them; the first one seals, each of them opens";
            problems.add(Diagnostic::error(message).at(&file.span, "this file").help(help));
            return None;
        };
        keys.push(key);
    }
    if keys.is_empty() || keys.len() > KEYS_MAX {
        let message = format!("the key file has {} keys, expected 1 to {KEYS_MAX}", keys.len());
        problems.add(Diagnostic::error(message).at(&file.span, "this file").help("make one with `quorate keygen`"));
        return None;
    }
    Some(AtRest::new(Some(keys), seals))
}
