//! What the command line says over the files.
//!
//! The flags become a text of their own, "command line", and from there go the same way as a file: typed, checked and
//! pointed into by the same diagnostics.

use super::diagnostic::Problems;
use super::raw::RawRoot;
use super::span::{Format, SourceFile, Span};
use super::tree::{Entry, Kind, Object, Value};

/// Flags as given; `None` and empty mean not given. Each wins over every file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `-id`
    pub id: Option<String>,
    /// `-http-addr`
    pub http_addr: Option<String>,
    /// `-gossip-addr`: `bind` of `gossip`.
    pub gossip_addr: Option<String>,
    /// `-advertise`
    pub advertise: Option<String>,
    /// `-join`, repeated or separated by commas. Replaces the list of the files.
    pub join: Vec<String>,
    /// `-expect`
    pub expect: Option<u16>,
    /// `-data-dir`
    pub data_dir: Option<String>,
    /// `-working-dir`
    pub working_dir: Option<String>,
    /// `-log-level`
    pub log_level: Option<String>,
    /// `-log-format`
    pub log_format: Option<String>,
    /// `-leadership`
    pub leadership: Option<String>,
    /// `-profile`
    pub profile: Option<String>,
    /// `-encrypt-file`
    pub encrypt_file: Option<String>,
}

impl Overrides {
    /// Whether anything is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the last "file".
    pub(super) fn to_raw(&self, problems: &mut Problems) -> RawRoot {
        let expect = self.expect.map(|expect| expect.to_string());
        let top = [
            ("id", "-id", &self.id),
            ("http_addr", "-http-addr", &self.http_addr),
            ("data_dir", "-data-dir", &self.data_dir),
            ("working_dir", "-working-dir", &self.working_dir),
            ("log_level", "-log-level", &self.log_level),
            ("log_format", "-log-format", &self.log_format),
        ];
        let gossip = [
            ("bind", "-gossip-addr", &self.gossip_addr),
            ("advertise", "-advertise", &self.advertise),
            ("expect", "-expect", &expect),
            ("leadership", "-leadership", &self.leadership),
            ("profile", "-profile", &self.profile),
            ("encrypt_file", "-encrypt-file", &self.encrypt_file),
        ];
        // First the text with the places of its words, then, over the finished text, the tree.
        let mut line = Line { text: "quorate start".to_owned(), words: Vec::new() };
        for (key, flag, value) in top {
            line.push(false, key, flag, value.as_deref());
        }
        for (key, flag, value) in gossip {
            line.push(true, key, flag, value.as_deref());
        }
        let seeds = self.join.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|seed| !seed.is_empty());
        seeds.for_each(|seed| line.push(true, "join", "-join", Some(seed)));
        RawRoot::from_object(&line.tree(), "", problems)
    }
}

/// A flag and its value: inside `gossip` or not, the key, the places of flag and value.
type Word = (bool, &'static str, (usize, usize), (usize, usize));

struct Line {
    text: String,
    words: Vec<Word>,
}

impl Line {
    fn push(&mut self, gossip: bool, key: &'static str, flag: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        let start = self.text.len() + 1;
        self.text.push(' ');
        self.text.push_str(flag);
        self.text.push(' ');
        let at = self.text.len();
        self.text.push_str(value);
        self.words.push((gossip, key, (start, start + flag.len()), (at, self.text.len())));
    }

    fn tree(self) -> Object {
        let file = SourceFile::new("command line", self.text, Format::Plain);
        let span = |(start, end): (usize, usize)| Span::new(&file, start..end);
        let text = |at: (usize, usize)| file.text.get(at.0..at.1).unwrap_or_default().to_owned();
        let (mut root, mut gossip) = (Object::default(), Object::default());
        let mut join: Option<(Span, Vec<Value>)> = None;
        for (inside, key, flag, at) in self.words {
            let value = Value { span: span(at), kind: Kind::Text(text(at)) };
            if key == "join" {
                join.get_or_insert_with(|| (span(flag), Vec::new())).1.push(value);
                continue;
            }
            let entry = Entry { key: key.to_owned(), key_span: span(flag), label: false, value };
            if inside { gossip.entries.push(entry) } else { root.entries.push(entry) }
        }
        if let Some((key_span, seeds)) = join {
            let value = Value { span: key_span.clone(), kind: Kind::List(seeds) };
            gossip.entries.push(Entry { key: "join".to_owned(), key_span, label: false, value });
        }
        if let Some(place) = gossip.entries.first().map(|entry| entry.key_span.clone()) {
            let nest = |key: &str, inner: Object| Object {
                entries: vec![Entry {
                    key: key.to_owned(),
                    key_span: place.clone(),
                    label: false,
                    value: Value { span: place.clone(), kind: Kind::Object(inner) },
                }],
            };
            let nested = nest("high_availability", nest("cluster", nest("gossip", gossip)));
            root.entries.extend(nested.entries);
        }
        root
    }
}
