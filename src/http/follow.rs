//! The log of a run as a stream: text as it was printed, or server-sent events. Whoever leads is asked for one piece after
//! the other, so a stream survives a change of the leader: what is kept of the run goes on at the same place.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT;
use bytes::Bytes;
use futures_util::Stream;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cluster::form_pairs;
use super::forward::{self, Answer};
use super::reply::LogPiece;
use super::stream::Busy;
use super::{Face, FollowerRequests, limits};
use crate::runtime::clock;
use crate::runtime::handle::{ApiRequest, Handle};

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

/// Answers a request for a log: the first piece, and what makes the others. `None`: it is no stream.
pub(super) async fn begin(request: &HttpRequest, face: &Face, asked: &ApiRequest) -> Option<Answer> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    super::runs::log_of(path)?;
    let wanted = Wanted::of(query, header(ACCEPT.as_str()).unwrap_or_default(), header("last-event-id"))?;
    let mut rest = Rest {
        handle: face.handle.clone(),
        mode: face.follower_requests,
        path: path.to_owned(),
        request: asked.clone(),
        wanted,
        next: wanted.offset,
        chunks: VecDeque::new(),
        pause: limits::LOG_PAUSE,
        told: clock::now().mono,
        heard: clock::now().mono,
        is_over: false,
        shutdown: face.shutdown.clone(),
        busy: None,
    };
    let mut answer = rest.ask().await;
    if answer.response.status != 200 {
        return Some(answer);
    }
    let piece: LogPiece = serde_json::from_slice(&answer.response.body).ok()?;
    if wanted.events {
        rest.chunks.push_back(Bytes::from_static(b"retry: 1000\n\n"));
    }
    rest.take(&piece);
    let media = if wanted.events { "text/event-stream" } else { "text/plain; charset=utf-8" };
    media.clone_into(&mut answer.response.content_type);
    answer.response.body.clear();
    answer.rest = Some(rest);
    Some(answer)
}

/// A stream under way.
pub(super) struct Rest {
    handle: Handle,
    mode: FollowerRequests,
    path: String,
    /// As it came: who asks is looked at again for every piece.
    request: ApiRequest,
    wanted: Wanted,
    next: u64,
    /// To be sent.
    chunks: VecDeque<Bytes>,
    /// Until the next look at a log that has not grown.
    pause: Duration,
    /// When the client was last told anything.
    told: Duration,
    /// When a leader last answered.
    heard: Duration,
    is_over: bool,
    shutdown: CancellationToken,
    busy: Option<Busy>,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("path", &self.path).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Rest {
    /// The body; the connection is at work as long as it lives.
    pub(super) fn into_stream(mut self, busy: Option<Busy>) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        self.busy = busy;
        futures_util::stream::unfold(self, async |mut rest| {
            let chunk = rest.next_chunk().await?;
            Some((Ok(chunk), rest))
        })
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                self.told = clock::now().mono;
                return Some(chunk);
            }
            if self.is_over {
                return None;
            }
            if !self.pause.is_zero() {
                let stops = self.shutdown.clone();
                if tokio::time::timeout(self.pause, stops.cancelled()).await.is_ok() {
                    self.end(Some("this agent stops: ask again"));
                    continue;
                }
            }
            self.look().await;
            if self.wanted.events && clock::now().mono.saturating_sub(self.told) >= limits::STREAM_SIGN {
                self.chunks.push_back(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    async fn ask(&self) -> Answer {
        let target = format!("{}?format=json&offset={}", self.path, self.next);
        forward::resolve(&self.handle, self.mode, ApiRequest { target, ..self.request.clone() }).await
    }

    /// Asks for what comes next.
    async fn look(&mut self) {
        let response = self.ask().await.response;
        let now = clock::now().mono;
        match (response.status, serde_json::from_slice::<LogPiece>(&response.body)) {
            (200, Ok(piece)) => {
                self.heard = now;
                self.take(&piece);
            }
            // A leader is missing, or changes: what is kept of the run is found when there is one.
            (500.., _) if now.saturating_sub(self.heard) < limits::LOG_PATIENCE => self.pause = limits::LOG_PAUSE_MAX,
            (500.., _) => self.end(Some("nobody leads who could tell more")),
            (404, _) => self.end(Some("the agent that ran it is gone, and what it had of the log is not kept")),
            _ => self.end(Some("the caller may not read it any more")),
        }
    }

    fn take(&mut self, piece: &LogPiece) {
        self.next = piece.next;
        if piece.left_out > 0 {
            self.say_left_out(piece);
        }
        if !piece.text.is_empty() {
            self.chunks.push_back(if self.wanted.events {
                let body = json!({"offset": piece.offset, "text": piece.text});
                event("log", Some(piece.next), &body)
            } else {
                Bytes::from(piece.text.clone())
            });
        }
        if piece.over || piece.text.is_empty() && !self.wanted.follow {
            self.end(None);
        } else if piece.text.is_empty() {
            self.pause = (self.pause * 2).clamp(limits::LOG_PAUSE, limits::LOG_PAUSE_MAX);
        } else {
            // More may be there already; a live log is looked at again a moment later.
            self.pause = if self.wanted.follow && piece.text.len() < 4096 { limits::LOG_PAUSE } else { Duration::ZERO };
        }
    }

    fn say_left_out(&mut self, piece: &LogPiece) {
        let bytes = piece.left_out;
        self.chunks.push_back(if self.wanted.events {
            event("left-out", None, &json!({"bytes": bytes}))
        } else {
            Bytes::from(format!("\n[... {bytes} bytes are left out here: the log was larger than runs.max_size ...]\n"))
        });
    }

    /// Nothing more comes; why, when that is not the end of the log.
    fn end(&mut self, why: Option<&str>) {
        self.is_over = true;
        if self.wanted.events {
            self.chunks.push_back(event("end", None, &json!({"why": why})));
        } else if let Some(why) = why {
            self.chunks.push_back(Bytes::from(format!("\n[... the log breaks off here: {why} ...]\n")));
        }
    }
}

/// A server-sent event. JSON has no line ends of its own.
fn event(kind: &str, id: Option<u64>, body: &serde_json::Value) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    Bytes::from(format!("event: {kind}\n{id}data: {body}\n\n"))
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

    #[test]
    fn an_event_is_one_line_of_data() {
        let text = event("log", Some(3), &json!({"offset": 0, "text": "a\nb"}));
        assert_eq!(&text[..], b"event: log\nid: 3\ndata: {\"offset\":0,\"text\":\"a\\nb\"}\n\n");
    }
}
