//! `encrypt` and `encrypt_file`: the keys of the cluster, or the decision to go without.
//!
//! `encrypt` is one key. A file may hold several, one a line: the first seals, all open. Blank lines and what follows a `#` do not
//! count.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use quorate_proto::seal::RING_MAX;

use super::{World, secret};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::cluster::RawGossip;
use crate::config::settings::ClusterKey;
use crate::config::source::text;
use crate::config::span::Span;

/// How traffic is sealed.
pub(super) enum Seal {
    /// With the first of these keys; the others open too. Not empty, none twice, no more than a ring has.
    Keys(Vec<ClusterKey>),
    /// Nothing was said.
    Missing,
    /// `encrypt = "none"`.
    Waived,
    /// A key was meant, and is not one; that is already said.
    Broken,
}

/// What `encrypt` and `encrypt_file` ask for.
pub(super) fn seal(gossip: &RawGossip, world: &World<'_>, problems: &mut Problems) -> Seal {
    let (given, place, what) = match (&gossip.encrypt, &gossip.encrypt_file) {
        (Some(encrypt), Some(file)) if encrypt.span.file == file.span.file => {
            let message = "`encrypt` and `encrypt_file` are both given";
            problems.add(Diagnostic::error(message).at(&file.key, "and here").at(&encrypt.key, "the key is here"));
            return Seal::Broken;
        }
        // Where the command line and a file speak, the later one, the command line, wins.
        (_, Some(file)) => {
            let path = Path::new(&file.value);
            let mut unread = Problems::default();
            let Some(text) = text(path, &world.path(&file.value), &mut unread) else {
                let why = unread.into_sorted().first().map_or_else(String::new, |it| it.message.clone());
                let help = format!("make a key with: quorate keygen > {}", file.value);
                problems.add(Diagnostic::error(why).at(&file.span, "`encrypt_file` names this").help(help));
                return Seal::Broken;
            };
            (text.trim().to_owned(), &file.span, "the file")
        }
        (Some(encrypt), None) => {
            let before = problems.any_error();
            let text = secret::text(encrypt, ("gossip", "encrypt"), false, world, problems);
            if text.is_empty() && problems.any_error() && !before {
                return Seal::Broken;
            }
            (text.trim().to_owned(), &encrypt.span, "it")
        }
        (None, None) if gossip.broken.iter().any(|key| key.starts_with("encrypt")) => return Seal::Broken,
        (None, None) => return Seal::Missing,
    };
    if given == "none" {
        let message = "traffic between the agents is not encrypted and not authenticated";
        let warning = Diagnostic::warning(message).at(place, "switched off here");
        problems.add(warning.help("who reaches the port can join, lead and run tasks; `quorate keygen` makes a key"));
        return Seal::Waived;
    }
    let from_file = gossip.encrypt_file.is_some();
    let keys_of = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let lines = given.lines().map(keys_of).enumerate().filter(|(_, line)| !line.is_empty());
    let lines: Vec<(usize, String)> = if from_file { lines.collect() } else { vec![(0, given.clone())] };
    let mut keys: Vec<ClusterKey> = Vec::new();
    for (number, line) in &lines {
        let of = if lines.len() > 1 { format!("line {} of {what}", number + 1) } else { what.to_owned() };
        match key(line) {
            Ok(key) if keys.contains(&key) => {
                return broken(problems, place, &format!("{of} holds a key that is there already"));
            }
            Ok(key) => keys.push(key),
            Err(wrong) => return broken(problems, place, &format!("{of} {wrong}")),
        }
    }
    if keys.is_empty() {
        return broken(problems, place, &format!("{what} holds no key"));
    }
    if keys.len() > RING_MAX {
        return broken(problems, place, &format!("{what} holds {} keys; there can be {RING_MAX}", keys.len()));
    }
    Seal::Keys(keys)
}

/// One key, or what is wrong with it.
fn key(given: &str) -> Result<ClusterKey, String> {
    match STANDARD.decode(given).or_else(|_| STANDARD_NO_PAD.decode(given)) {
        Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(ClusterKey::new(bytes)),
            Err(_) => Err(format!("holds {} bytes", bytes.len())),
        },
        Err(_) => Err("is not base64".to_owned()),
    }
}

fn broken(problems: &mut Problems, place: &Span, wrong: &str) -> Seal {
    problems.add(
        Diagnostic::error("the key of the cluster must be 32 bytes in base64")
            .at(place, wrong)
            .help("make one with `quorate keygen` and give the same to every agent; \"none\" goes without"),
    );
    Seal::Broken
}
