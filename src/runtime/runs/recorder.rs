//! What the processes of a run print, on its way into the log of the run: without secrets, as text, and Terraform's events as
//! sentences.

use std::sync::Arc;

use super::mask::Mask;
use crate::guardian::Stream;
use crate::runtime::logs::Live;
use crate::terraform::events;

/// A line of events that is longer holds the output of a provisioner: it is taken as it is.
const LINE_MAX: usize = 256 * 1024;

/// Of one process.
pub(super) struct Recorder {
    live: Option<Arc<Live>>,
    mask: Mask,
    /// Standard output is events, a JSON object a line.
    events: bool,
    /// Of standard output and of the other: what waits for the end of a secret, then what waits for the end of a character.
    streams: [(Vec<u8>, Vec<u8>); 2],
    /// Output before what comes next was lost, so it may begin with the end of a secret.
    cut: [bool; 2],
    /// An event whose end has not come.
    line: String,
}

impl Recorder {
    pub(super) fn new(live: Option<Arc<Live>>, mask: Mask, events: bool) -> Self {
        Self { live, mask, events, streams: Default::default(), cut: [false; 2], line: String::new() }
    }

    /// The next bytes; so many before them were lost.
    pub(super) fn handle(&mut self, stream: Stream, bytes: &[u8], lost: u64) {
        let Some(live) = self.live.clone() else { return };
        let number = usize::from(stream == Stream::Stderr);
        let mut bytes = bytes;
        if lost > 0 {
            self.streams[number] = Default::default();
            self.cut[number] = true;
            if stream == Stream::Stdout {
                self.line.clear();
            }
            live.note(&format!("{lost} bytes of output are lost here: they came faster than they could be taken"));
        }
        if self.cut[number] {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            bytes = bytes.get(end + 1..).unwrap_or_default();
            self.cut[number] = false;
        }
        let (raw, characters) = &mut self.streams[number];
        raw.extend_from_slice(bytes);
        characters.extend(self.mask.take(raw));
        let text = text(characters);
        self.tell(&live, stream, &text);
    }

    /// The process has ended: nothing is held back any more.
    pub(super) fn end(mut self) {
        let Some(live) = self.live.clone() else { return };
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (raw, mut characters) = std::mem::take(&mut self.streams[usize::from(stream == Stream::Stderr)]);
            characters.extend_from_slice(&self.mask.hide(&raw));
            let text = String::from_utf8_lossy(&characters).into_owned();
            self.tell(&live, stream, &text);
        }
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.tell_event(&live, &line);
        }
    }

    fn tell(&mut self, live: &Live, stream: Stream, text: &str) {
        if !self.events || stream == Stream::Stderr {
            live.push(text);
            return;
        }
        for part in text.split_inclusive('\n') {
            self.line.push_str(part);
            if part.ends_with('\n') || self.line.len() > LINE_MAX {
                let line = std::mem::take(&mut self.line);
                self.tell_event(live, &line);
            }
        }
    }

    fn tell_event(&self, live: &Live, line: &str) {
        let said = events::text(line.trim_end());
        // A value may be written in JSON in another way than it is looked for.
        let mut said = self.mask.hide_text(said.trim_end());
        said.push('\n');
        live.push(&said);
    }
}

/// Takes whole characters from the front; what is none becomes U+FFFD.
fn text(bytes: &mut Vec<u8>) -> String {
    let (mut text, mut from) = (String::with_capacity(bytes.len()), 0);
    loop {
        match std::str::from_utf8(&bytes[from..]) {
            Ok(rest) => {
                text.push_str(rest);
                bytes.clear();
                return text;
            }
            Err(error) => {
                let (valid, rest) = bytes[from..].split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                let Some(bad) = error.error_len() else {
                    *bytes = rest.to_vec();
                    return text;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                from += valid.len() + bad;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::RunId;

    fn recorded(events: bool, pieces: &[(Stream, &[u8])]) -> String {
        let live = Arc::new(Live::new("web".to_owned(), RunId(uuid::Uuid::nil()), 1 << 20));
        let mask = Mask::of(&["hunter2".to_owned()]).unwrap();
        let mut recorder = Recorder::new(Some(live.clone()), mask, events);
        for (stream, bytes) in pieces {
            recorder.handle(*stream, bytes, 0);
        }
        recorder.end();
        live.read(0, 1 << 20).unwrap().0.text
    }

    #[test]
    fn a_secret_that_comes_in_two_pieces_is_hidden() {
        let text = recorded(
            false,
            &[
                (Stream::Stdout, b"pw=hun"),
                (Stream::Stderr, b"oops\n"),
                (Stream::Stdout, b"ter2 \xf0\x9f\x98"),
                (Stream::Stdout, b"\x80\xff!hunt"),
            ],
        );
        assert_eq!(text, "pw=oops\n(sensitive value) \u{1f600}\u{fffd}!hunt");
    }

    #[test]
    fn of_a_secret_in_lost_output_nothing_is_recorded() {
        let live = Arc::new(Live::new("web".to_owned(), RunId(uuid::Uuid::nil()), 1 << 20));
        let mut recorder = Recorder::new(Some(live.clone()), Mask::of(&["hunter2".to_owned()]).unwrap(), false);
        recorder.handle(Stream::Stdout, b"pw=hun", 0);
        recorder.handle(Stream::Stdout, b"er2", 1);
        recorder.handle(Stream::Stdout, b"x\nnext hunter2\n", 0);
        recorder.end();
        let text = live.read(0, 1 << 20).unwrap().0.text;
        assert!(text.starts_with("pw=") && text.ends_with("\nnext (sensitive value)\n"), "{text}");
        assert!(text.contains("1 bytes of output are lost here") && !text.contains("er2"), "{text}");
    }

    #[test]
    fn events_are_told_as_sentences_without_secrets() {
        let text = recorded(
            true,
            &[
                (Stream::Stdout, br#"{"@message":"a: Creating...","type":"apply_start"}"#),
                (Stream::Stdout, b"\n{\"@message\":\"pw \\u0068unter2\"}\nno event hunter2\n"),
                (Stream::Stdout, br#"{"@message":"last"}"#),
            ],
        );
        assert_eq!(text, "a: Creating...\npw (sensitive value)\nno event (sensitive value)\nlast\n");
    }
}
