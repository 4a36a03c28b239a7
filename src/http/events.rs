//! `/v1/events`: what happens, as server-sent events. The leader is asked for what is new; each caller is told what it may see.

use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::follow::{Out, Source, event};
use super::reply::{EventShown, EventsShown, RunShown};
use super::runs::{self, Known};
use super::tasks::Call;
use super::{approve, forward, stale};
use crate::access::Role;
use crate::runtime::event_stream::{Batch, Entry, Happened};
use crate::runtime::handle::ApiResponse;

pub(super) const PATH: &str = "/v1/events";
/// Entries in one answer at most.
const BATCH: usize = 500;
/// All kinds of events.
const KINDS: [&str; 5] = ["run", "member", "leadership", "approval", "drift"];

/// What a client wants to hear of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    /// Empty: all.
    tasks: Vec<String>,
    /// Empty: all.
    kinds: Vec<String>,
    /// Epoch and number of the last entry that it knows.
    after: Option<(u64, u64)>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "task" => filter.tasks.push(value),
                "kind" => {
                    for kind in value.split(',') {
                        if !KINDS.contains(&kind) {
                            return Err(format!("there is no kind of events '{kind}': there are {}", KINDS.join(", ")));
                        }
                        filter.kinds.push(kind.to_owned());
                    }
                }
                "after" => {
                    let place = value.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                    filter.after = Some(place.ok_or_else(|| format!("'{value}' is not the id of an event"))?);
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    fn wants(&self, shown: &EventShown) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&shown.kind);
        // Of no task are those of the cluster: who names a task gets them by naming their kind.
        let task = match &shown.task {
            Some(task) => self.tasks.is_empty() || self.tasks.contains(task),
            None => self.tasks.is_empty() || !self.kinds.is_empty(),
        };
        kind && task
    }
}

/// Answers with what came after an event, as the leader.
pub(super) fn answer(known: &Known<'_>, call: &Call<'_>) -> ApiResponse {
    if call.method != "GET" {
        let text = format!("'{}' is not a method of {}", call.method, call.path);
        return call.error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &text);
    }
    let filter = match Filter::parse(call.query) {
        Ok(filter) => filter,
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    let Some(batch) = known.handle.feed.after(filter.after, BATCH) else {
        return forward::no_leader(call, known.cluster);
    };
    let Batch { epoch, entries, gap, upto } = batch;
    let may_see = |shown: &EventShown| {
        shown.task.as_ref().is_none_or(|task| known.grants.allow_task(Role::Read, task)) && filter.wants(shown)
    };
    let body = EventsShown {
        events: entries.iter().map(|entry| shown(known, epoch, entry)).filter(may_see).collect(),
        gap,
        next: format!("{epoch}-{upto}"),
        request_id: call.request_id.to_owned(),
    };
    json(StatusCode::OK, &body)
}

fn shown(known: &Known<'_>, epoch: u64, entry: &Entry) -> EventShown {
    let head = EventShown {
        id: Some(format!("{epoch}-{}", entry.number)),
        at: stale::rfc3339(entry.at),
        epoch: Some(epoch),
        ..EventShown::default()
    };
    let of_run = |what: &str, task: &String, run: RunShown| EventShown {
        kind: "run".to_owned(),
        what: what.to_owned(),
        task: Some(task.clone()),
        run: Some(run),
        ..head.clone()
    };
    match &entry.happened {
        Happened::Started { task, run } => of_run("started", task, runs::active(task, run, known.cluster)),
        Happened::Cancelled { task, run } => of_run("cancelled", task, runs::active(task, run, known.cluster)),
        Happened::Ended { task, event } => of_run("ended", task, runs::of_event(task, event, known.grants)),
        Happened::Drift { task, state } => EventShown {
            kind: "drift".to_owned(),
            what: if state.found.is_some() { "found" } else { "gone" }.to_owned(),
            task: Some(task.clone()),
            why: state.found.as_ref().map(|found| found.text.clone()),
            ..head
        },
        Happened::Plan { task, what, plan } => EventShown {
            kind: "approval".to_owned(),
            what: what.as_str().to_owned(),
            task: Some(task.clone()),
            plan: Some(approve::shown(plan)),
            ..head
        },
        Happened::Leads { leader, why } => EventShown {
            kind: "leadership".to_owned(),
            what: "gained".to_owned(),
            agent: Some(leader.to_string()),
            why: Some(why.clone()),
            ..head
        },
        Happened::Member { id, state, voter } => EventShown {
            kind: "member".to_owned(),
            what: state.map_or("removed", crate::cluster::view::MemberState::as_str).to_owned(),
            agent: Some(id.to_string()),
            voter: Some(*voter),
            ..head
        },
    }
}

/// The stream of them.
#[derive(Debug)]
pub(super) struct Events {
    /// What is asked for besides the place, as it came.
    filter: String,
    after: Option<String>,
    /// It was told that nobody leads.
    is_lost: bool,
}

impl Events {
    /// `None`: one answer is wanted, as JSON.
    pub(super) fn new(query: &str, last: Option<&str>) -> Option<Self> {
        let pairs = form_pairs(query);
        let of = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        if of("format").is_some_and(|format| format == "json") {
            return None;
        }
        let is_filter = |part: &&str| part.starts_with("task=") || part.starts_with("kind=");
        let filter: String = query.split('&').filter(is_filter).flat_map(|part| ["&", part]).collect();
        let is_place = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let last = last.map(|last| last.trim().to_owned()).filter(|last| is_place(last));
        Some(Self { filter, after: last.or_else(|| of("after").filter(|after| is_place(after))), is_lost: false })
    }
}

impl Source for Events {
    fn target(&self) -> String {
        let after = self.after.as_ref().map_or_else(String::new, |after| format!("&after={after}"));
        format!("{PATH}?format=json{}{after}", self.filter)
    }

    fn is_events(&self) -> bool {
        true
    }

    fn take(&mut self, body: &[u8], out: &mut Out) -> Result<(), serde_json::Error> {
        let EventsShown { events, gap, next, .. } = serde_json::from_slice(body)?;
        self.is_lost = false;
        if gap {
            out.chunks.push_back(event("gap", None, &serde_json::json!({"after": self.after})));
        }
        let last = events.last().and_then(|event| event.id.clone());
        for shown in &events {
            out.chunks.push_back(event(&shown.kind, shown.id.as_deref(), shown));
        }
        // Where a client goes on that heard of nothing that it wanted.
        if last.as_ref() != Some(&next) && self.after.as_ref() != Some(&next) {
            out.chunks.push_back(Bytes::from(format!("id: {next}\n\n")));
        }
        if self.after.replace(next.clone()) == Some(next) {
            out.rest();
        } else {
            out.pause = super::limits::STREAM_PAUSE;
        }
        Ok(())
    }

    fn handle_refusal(&mut self, response: &ApiResponse, _: Duration, out: &mut Out) {
        if response.status < 500 {
            let may_not = matches!(response.status, 401 | 403);
            let why = if may_not { "the caller may not hear it any more" } else { "another agent leads now: ask it" };
            out.chunks.push_back(event("end", None, &serde_json::json!({"why": why})));
            out.is_over = true;
            return;
        }
        out.rest();
        if !std::mem::replace(&mut self.is_lost, true) {
            let error: Option<super::reply::Failure> = serde_json::from_slice(&response.body).ok();
            let at = stale::rfc3339(crate::runtime::clock::utc());
            let (kind, what) = ("leadership".to_owned(), "lost".to_owned());
            let lost = EventShown { kind, what, at, why: error.map(|it| it.error.message), ..EventShown::default() };
            out.chunks.push_back(event(&lost.kind, None, &lost));
        }
    }

    fn stop(&mut self, out: &mut Out) {
        out.chunks.push_back(event("end", None, &serde_json::json!({"why": "this agent stops: ask again"})));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_by_task_and_kind() {
        let of = |query: &str| Filter::parse(query).unwrap();
        let run =
            |task: &str| EventShown { kind: "run".to_owned(), task: Some(task.to_owned()), ..EventShown::default() };
        let member = EventShown { kind: "member".to_owned(), ..EventShown::default() };
        assert!(of("").wants(&run("a")) && of("").wants(&member));
        assert!(of("task=a").wants(&run("a")) && !of("task=a").wants(&run("b")) && !of("task=a").wants(&member));
        assert!(of("kind=member,run&task=a").wants(&member) && of("kind=run&kind=member").wants(&run("b")));
        assert!(!of("kind=leadership").wants(&run("a")));
        assert_eq!(of("after=7-12").after, Some((7, 12)));
        assert!(Filter::parse("kind=x").is_err() && Filter::parse("after=7").is_err());
    }

    #[test]
    fn a_stream_goes_on_where_the_client_was() {
        let events = Events::new("kind=run&after=1-2&x=y&task=a%20b", Some("7-12")).unwrap();
        assert_eq!(events.target(), "/v1/events?format=json&kind=run&task=a%20b&after=7-12");
        assert_eq!(Events::new("after=1-2", Some("x&y")).unwrap().target(), "/v1/events?format=json&after=1-2");
        assert!(Events::new("format=json", None).is_none());
        let mut out = Out { chunks: std::collections::VecDeque::new(), pause: Duration::ZERO, is_over: false };
        let mut events = Events::new("", None).unwrap();
        let body = br#"{"events":[],"gap":false,"next":"7-3","request_id":"r"}"#;
        events.take(body, &mut out).unwrap();
        assert_eq!(
            (events.target(), &out.chunks[0][..]),
            ("/v1/events?format=json&after=7-3".to_owned(), &b"id: 7-3\n\n"[..])
        );
        events.take(body, &mut out).unwrap();
        assert_eq!(out.chunks.len(), 1, "it is there already");
        let refused = ApiResponse { status: 503, content_type: String::new(), body: Vec::new() };
        events.handle_refusal(&refused, Duration::ZERO, &mut out);
        events.handle_refusal(&refused, Duration::ZERO, &mut out);
        assert_eq!(out.chunks.len(), 2, "that nobody leads is told once");
        assert!(out.chunks[1].starts_with(b"event: leadership\ndata: ") && !out.is_over);
    }
}
