//! `notify "<name>"`: who is told what happens, and how.

use std::collections::BTreeSet;
use std::time::Duration;

use super::World;
use super::secret;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawNotify;
use crate::config::read::{Labelled, Many, Read, Spanned, nearest};
use crate::config::tree::Entry;
use crate::notify::{Format, Kind, Settings, Way};

/// How long a delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A longer one would keep the next notice waiting.
const TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// All blocks in order.
pub(super) fn notify(
    raw: Option<&Spanned<Many<Labelled>>>,
    world: &World<'_>,
    problems: &mut Problems,
) -> Vec<Settings> {
    let entries = raw.iter().flat_map(|many| &many.value.0).flat_map(|block| &block.value.0);
    let mut all: Vec<Settings> = Vec::new();
    for entry in entries {
        if let Some(twin) = all.iter().find(|other| other.name == entry.key) {
            let message = format!("two `notify` blocks are named {:?}", twin.name);
            problems
                .add(Diagnostic::error(message).at(&entry.key_span, "this one again").help("rename one of the two"));
        } else if let Some(settings) = one(entry, world, problems) {
            all.push(settings);
        }
    }
    all
}

fn one(entry: &Entry, world: &World<'_>, problems: &mut Problems) -> Option<Settings> {
    let raw = RawNotify::read(&entry.value, &format!("notify.{}", entry.key), problems)?;
    let name = entry.key.clone();
    let good =
        !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if !good {
        let diagnostic = Diagnostic::error(format!("{name:?} cannot name a `notify` block"));
        problems.add(diagnostic.at(&entry.key_span, "expected letters, digits, `_`, `-`; at most 64"));
    }
    let way = match (&raw.webhook, &raw.command) {
        (Some(webhook), None) => webhook_way(&raw, webhook, world, problems)?,
        (None, Some(command)) => {
            let argv: Vec<String> = command.value.iter().map(|word| word.value.clone()).collect();
            if argv.first().is_none_or(String::is_empty) {
                let diagnostic = Diagnostic::error("`command` of `notify` names no program");
                problems.add(diagnostic.at(&command.span, "empty").help("for example command = [\"./page-me\"]"));
            }
            Way::Command(argv)
        }
        (Some(_), Some(command)) => {
            let diagnostic = Diagnostic::error("a `notify` block has either `webhook` or `command`");
            problems.add(diagnostic.at(&command.key, "and this").help("write two blocks"));
            return None;
        }
        (None, None) => {
            let diagnostic =
                Diagnostic::error("`notify` does not say how").at(&entry.key_span, "no `webhook`, no `command`");
            problems.add(diagnostic.help("for example webhook = \"https://hooks.example.com/quorate\""));
            return None;
        }
    };
    let timeout = raw.timeout.as_ref().map_or(TIMEOUT, |it| it.value);
    if let Some(given) = raw.timeout.as_ref().filter(|it| it.value.is_zero() || it.value > TIMEOUT_MAX) {
        let diagnostic = Diagnostic::error("`timeout` of `notify` is more than zero and at most 5m");
        problems.add(diagnostic.at(&given.span, "the next notice waits for this one"));
    }
    Some(Settings { name, on: kinds(entry, &raw, problems), way, timeout })
}

/// What is told; nothing said: everything that somebody has to look at.
fn kinds(entry: &Entry, raw: &RawNotify, problems: &mut Problems) -> BTreeSet<Kind> {
    let Some(on) = &raw.on else { return [Kind::Failure, Kind::Recovery, Kind::Approval, Kind::Drift].into() };
    let words = Kind::ALL.map(Kind::as_str);
    let mut found = BTreeSet::new();
    for word in &on.value {
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == word.value) {
            found.insert(kind);
        } else {
            let near = nearest(&word.value, &words).map(|near| format!("did you mean {near:?}?"));
            let diagnostic = Diagnostic::error(format!("`on` of `notify` has no {:?}", word.value));
            let help = near.unwrap_or_else(|| format!("use some of: {}", words.join(", ")));
            problems.add(diagnostic.at(&word.span, "nothing happens by this name").help(help));
        }
    }
    if on.value.is_empty() {
        let diagnostic = Diagnostic::error("`on` of `notify` is empty").at(&on.span, "nothing would be told");
        problems.add(diagnostic.help(format!("take the block {:?} out, or leave `on` out", entry.key)));
    }
    found
}

fn webhook_way(raw: &RawNotify, webhook: &Spanned<String>, world: &World<'_>, problems: &mut Problems) -> Option<Way> {
    let url = secret::text(webhook, ("notify", "webhook"), false, world, problems);
    let parsed =
        reqwest::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if parsed.is_none() && !url.is_empty() {
        // It may be a secret: it is not repeated.
        let diagnostic = Diagnostic::error("`webhook` of `notify` is no address").at(&webhook.span, "not understood");
        problems.add(diagnostic.help("for example \"https://hooks.example.com/quorate\""));
        return None;
    }
    let secret = raw.secret.as_ref().map(|text| secret::text(text, ("notify", "secret"), false, world, problems));
    let format = match raw.format.as_ref().map(|it| it.value.as_str()) {
        None | Some("json") => Format::Json,
        Some("slack") => Format::Slack,
        Some(other) => {
            if let Some(raw) = &raw.format {
                let diagnostic = Diagnostic::error(format!("`format` of `notify` has no {other:?}"));
                problems.add(diagnostic.at(&raw.span, "expected \"json\" or \"slack\""));
            }
            Format::Json
        }
    };
    let ca_cert = raw.ca_cert.as_ref().map(|path| world.path(&path.value));
    Some(Way::Webhook { url, secret: secret.filter(|secret| !secret.is_empty()), format, ca_cert })
}
