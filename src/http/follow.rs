//! Streams: the log of a run as text or as server-sent events, and what happens in the cluster. Whoever leads is asked for one
//! piece after the other, so a stream survives a change of the leader.

mod log;

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::ACCEPT;
use bytes::Bytes;
use futures_util::Stream;
use tokio_util::sync::CancellationToken;

use super::forward::{self, Answer};
use super::stream::Busy;
use super::{Face, FollowerRequests, events, limits, runs};
use crate::runtime::clock;
use crate::runtime::handle::{ApiRequest, ApiResponse, Handle};

/// What a stream is made of.
pub(super) trait Source {
    /// The request for the next piece.
    fn target(&self) -> String;
    /// The stream is server-sent events.
    fn is_events(&self) -> bool;
    /// Takes a piece. `Err`: it is none.
    fn take(&mut self, body: &[u8], out: &mut Out) -> Result<(), serde_json::Error>;
    /// There was no piece; for so long nobody has told one.
    fn handle_refusal(&mut self, response: &ApiResponse, silent: Duration, out: &mut Out);
    /// This agent stops.
    fn stop(&mut self, out: &mut Out);
}

/// What is to be sent, and when the next piece is asked for.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) chunks: VecDeque<Bytes>,
    pub(super) pause: Duration,
    pub(super) is_over: bool,
}

impl Out {
    /// Nothing came: the next look is later than this one was.
    pub(super) fn rest(&mut self) {
        self.pause = (self.pause * 2).clamp(limits::STREAM_PAUSE, limits::STREAM_PAUSE_MAX);
    }
}

/// A server-sent event. JSON has no line ends of its own.
pub(super) fn event(kind: &str, id: Option<&str>, body: &impl serde::Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    let body = serde_json::to_string(body).unwrap_or_default();
    Bytes::from(format!("event: {kind}\n{id}data: {body}\n\n"))
}

/// Answers a request for a stream: the first piece, and what makes the others. `None`: it is no stream.
pub(super) async fn begin(request: &HttpRequest, face: &Face, asked: &ApiRequest) -> Option<Answer> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let last = header("last-event-id");
    let source: Box<dyn Source> = if runs::log_of(path).is_some() {
        Box::new(log::Log::new(path, query, header(ACCEPT.as_str()).unwrap_or_default(), last)?)
    } else if path == events::PATH {
        Box::new(events::Events::new(query, last)?)
    } else {
        return None;
    };
    let (handle, mode, shutdown) = (face.handle.clone(), face.follower_requests, face.shutdown.clone());
    let now = clock::now().mono;
    let out = Out { chunks: VecDeque::new(), pause: limits::STREAM_PAUSE, is_over: false };
    // What came with it is of no use to the requests for pieces.
    let request = ApiRequest { body: Vec::new(), ..asked.clone() };
    let mut rest = Rest { handle, mode, request, source, out, told: now, heard: now, shutdown, busy: None };
    let mut answer = rest.ask().await;
    if answer.response.status != 200 {
        return Some(answer);
    }
    if rest.source.is_events() {
        rest.out.chunks.push_back(Bytes::from_static(b"retry: 1000\n\n"));
    }
    rest.source.take(&answer.response.body, &mut rest.out).ok()?;
    let media = if rest.source.is_events() { "text/event-stream" } else { "text/plain; charset=utf-8" };
    media.clone_into(&mut answer.response.content_type);
    answer.response.body.clear();
    answer.rest = Some(rest);
    Some(answer)
}

/// A stream under way.
pub(super) struct Rest {
    handle: Handle,
    mode: FollowerRequests,
    /// As it came: who asks is looked at again for every piece.
    request: ApiRequest,
    source: Box<dyn Source>,
    out: Out,
    /// When the client was last told anything.
    told: Duration,
    /// When a piece last came.
    heard: Duration,
    shutdown: CancellationToken,
    busy: Option<Busy>,
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("target", &self.source.target()).finish_non_exhaustive()
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
            if let Some(chunk) = self.out.chunks.pop_front() {
                self.told = clock::now().mono;
                return Some(chunk);
            }
            if self.out.is_over {
                return None;
            }
            let (stops, pause) = (self.shutdown.clone(), self.out.pause);
            let look = async {
                tokio::time::sleep(pause).await;
                self.look().await;
            };
            let stopped = tokio::select! {
                () = look => false,
                () = stops.cancelled() => true,
            };
            if stopped {
                self.source.stop(&mut self.out);
                self.out.is_over = true;
                continue;
            }
            if self.source.is_events() && clock::now().mono.saturating_sub(self.told) >= limits::STREAM_SIGN {
                self.out.chunks.push_back(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    async fn ask(&self) -> Answer {
        let target = self.source.target();
        forward::resolve(&self.handle, self.mode, ApiRequest { target, ..self.request.clone() }).await
    }

    /// Asks for what comes next.
    async fn look(&mut self) {
        let response = self.ask().await.response;
        let now = clock::now().mono;
        if response.status == 200 && self.source.take(&response.body, &mut self.out).is_ok() {
            self.heard = now;
        } else {
            self.source.handle_refusal(&response, now.saturating_sub(self.heard), &mut self.out);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let text = event("log", Some("3"), &json!({"offset": 0, "text": "a\nb"}));
        assert_eq!(&text[..], b"event: log\nid: 3\ndata: {\"offset\":0,\"text\":\"a\\nb\"}\n\n");
    }
}
