//! The log of a run, as text or as server-sent events.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{Out, Source, event};
use crate::http::cluster::form_pairs;
use crate::http::limits;
use crate::http::reply::LogPiece;
use crate::runtime::handle::ApiResponse;

/// How a client wants its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    /// As server-sent events.
    events: bool,
    /// To the end of the run.
    follow: bool,
    /// From this byte on.
    offset: u64,
}

impl Wanted {
    /// `None`: one piece is wanted, as JSON, or something that cannot be.
    fn of(query: &str, accept: &str, last: Option<&str>) -> Option<Self> {
        let mut wanted = Self { events: accept.contains("text/event-stream"), follow: false, offset: 0 };
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "format" if value == "json" => return None,
                "follow" => wanted.follow = matches!(value.as_str(), "" | "true" | "1"),
                "offset" => wanted.offset = value.parse().ok()?,
                _ => {}
            }
        }
        // A client that comes back says where it was.
        if let Some(last) = last.and_then(|last| last.trim().parse().ok()) {
            wanted.offset = last;
        }
        Some(wanted)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Log {
    path: String,
    wanted: Wanted,
    next: u64,
    /// Where the text ended at the first look: who does not follow wants no more.
    until: Option<u64>,
}

impl Log {
    /// `None`: no stream is wanted.
    pub(super) fn new(path: &str, query: &str, accept: &str, last: Option<&str>) -> Option<Self> {
        let wanted = Wanted::of(query, accept, last)?;
        Some(Self { path: path.to_owned(), wanted, next: wanted.offset, until: None })
    }

    /// Nothing more comes; why, when that is not the end of the log.
    fn end(&self, why: Option<&str>, out: &mut Out) {
        out.is_over = true;
        if self.wanted.events {
            out.chunks.push_back(event("end", None, &json!({"why": why})));
        } else if let Some(why) = why {
            out.chunks.push_back(Bytes::from(format!("\n[... the log breaks off here: {why} ...]\n")));
        }
    }

    fn left_out(&self, bytes: u64) -> Bytes {
        if self.wanted.events {
            return event("left-out", None, &json!({"bytes": bytes}));
        }
        Bytes::from(format!("\n[... {bytes} bytes are left out here: the log was larger than runs.max_size ...]\n"))
    }
}

impl Source for Log {
    fn target(&self) -> String {
        format!("{}?format=json&offset={}", self.path, self.next)
    }

    fn is_events(&self) -> bool {
        self.wanted.events
    }

    fn take(&mut self, body: &[u8], out: &mut Out) -> Result<(), serde_json::Error> {
        let piece: LogPiece = serde_json::from_slice(body)?;
        self.next = piece.next;
        let until = *self.until.get_or_insert(piece.bytes);
        if piece.left_out > 0 {
            out.chunks.push_back(self.left_out(piece.left_out));
        }
        let length = piece.text.len();
        if length > 0 {
            out.chunks.push_back(if self.wanted.events {
                let body = json!({"offset": piece.offset, "text": piece.text});
                event("log", Some(&piece.next.to_string()), &body)
            } else {
                Bytes::from(piece.text)
            });
        }
        if piece.over || !self.wanted.follow && (length == 0 || piece.next >= until) {
            self.end(None, out);
        } else if length == 0 {
            out.rest();
        } else {
            // More may be there already; a live log is looked at again a moment later.
            out.pause = if self.wanted.follow && length < 4096 { limits::STREAM_PAUSE } else { Duration::ZERO };
        }
        Ok(())
    }

    fn handle_refusal(&mut self, response: &ApiResponse, silent: Duration, out: &mut Out) {
        match response.status {
            // A leader is missing, or changes: what is kept of the run is found when there is one.
            500.. if silent < limits::LOG_PATIENCE => out.pause = limits::STREAM_PAUSE_MAX,
            500.. => self.end(Some("nobody leads who could tell more"), out),
            404 => self.end(Some("the agent that ran it is gone, and what it had of the log is not kept"), out),
            401 | 403 => self.end(Some("the caller may not read it any more"), out),
            _ => self.end(Some("another agent leads now: ask it"), out),
        }
    }

    fn stop(&mut self, out: &mut Out) {
        self.end(Some("this agent stops: ask again"), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_stands_in_the_query_and_the_headers() {
        let of = |query: &str, accept: &str, last| Wanted::of(query, accept, last);
        let plain = Wanted { events: false, follow: false, offset: 0 };
        assert_eq!(of("", "*/*", None), Some(plain));
        assert_eq!(of("follow&offset=7", "*/*", None), Some(Wanted { follow: true, offset: 7, ..plain }));
        assert_eq!(of("follow=false", "", None), Some(plain));
        let events = Wanted { events: true, follow: true, offset: 9 };
        assert_eq!(of("follow=true&offset=7", "text/event-stream", Some("9")), Some(events));
        assert_eq!(of("format=json&offset=7", "", None), None);
        assert_eq!(of("offset=x", "", None), None, "it is told so");
    }
}
