//! What a task request means: the one place, for requests of local clients and for forwarded ones.
//!
//! It answers as the leader. When this agent is not (any more), it says so with 503 and never forwards: a request makes
//! one hop at most.

mod now;

use std::borrow::Cow;

use actix_web::http::StatusCode;
use chrono::{DateTime, Local, SecondsFormat, Utc};

use self::now::now_body;
use super::cluster::form_pairs;
use super::error::{Shape, error, json};
use super::keyring::is_keyring_path;
use super::path::{below, is_plain, percent_decode};
use super::reply::{
    ConsulFaultNow, ConsulNow, EnabledCounts, Event, EventConfig, Message, Overall, StatusCounts, SteppedDown,
    TaskStatus, TaskStatuses, TaskSummary, TasksNow,
};
use super::state::{self, is_state_path};
use super::{access, approve, cancel, create, forward, keyring, limits, patch, reload, runs, stale, tokens};
use crate::runtime::access::USED_PATH;
use crate::runtime::agent::roster::DIFFERENCES_PATH;
use crate::runtime::handle::{
    ApiRequest, ApiResponse, Caller, ClusterSnapshot, ConsulFault, ConsulReport, Handle, Request, RunMode,
    TasksSnapshot,
};
use crate::runtime::keyring::PATH as KEYRING_PATH;
use crate::runtime::state::service::PATH as STATE_PATH;
use crate::task::report::{RunEvent, Status, TaskReport};

/// A task request, taken apart. Nothing in it is trusted: it may come from another agent.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    pub(super) request_id: &'a str,
    pub(super) caller: &'a Caller,
}

impl<'a> Call<'a> {
    pub(super) fn new(request: &'a ApiRequest) -> Self {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let ApiRequest { method, body, request_id, caller, .. } = request;
        Self { method, path, query, body, request_id, caller }
    }

    pub(super) fn error(&self, status: StatusCode, shape: Shape, message: &str) -> ApiResponse {
        error(status, shape, message, self.request_id)
    }

    /// CTS's 405 of the paths that it had first.
    fn unsupported(&self, api: &str, method: &str) -> ApiResponse {
        let text = format!(
            "'{}' in an unsupported method. The {api} API currently supports the method(s): '{method}'",
            self.method
        );
        self.error(StatusCode::METHOD_NOT_ALLOWED, Shape::Plain, &text)
    }
}

/// Whether a path is one that only the leader answers.
pub(super) fn is_task_path(path: &str) -> bool {
    matches!(path, "/v1/status" | "/v1/status/tasks" | "/v1/tasks" | "/v1/cluster/tasks" | "/v1/cluster/step-down")
        || is_state_path(path)
        || tokens::is_token_path(path)
        || is_keyring_path(path)
        || runs::is_about_runs(path)
        || path.starts_with("/v1/status/tasks/")
        || path.starts_with("/v1/tasks/")
}

fn consul_body(report: &ConsulReport) -> ConsulNow {
    let fault = |fault: &ConsulFault| ConsulFaultNow {
        error: fault.error.clone(),
        queries: fault.queries.clone(),
        since: fault.since.to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    ConsulNow {
        address: report.address.clone(),
        watched: report.watched,
        waiting: report.waiting,
        faults: report.faults.iter().map(fault).collect(),
    }
}

/// Answers a task request as the leader. Never fails: what went wrong is in the answer.
pub async fn answer(handle: &Handle, mut request: ApiRequest) -> ApiResponse {
    let call = Call::new(&request);
    let limit = limits::body_of(call.path).bytes;
    if request.body.len() > limit {
        let text = format!("the request's body may have {limit} bytes at most");
        return call.error(StatusCode::PAYLOAD_TOO_LARGE, Shape::of(call.path), &text);
    }
    if !is_plain(call.method, call.path) {
        return no_path(call.path, call.request_id);
    }
    if let Some(response) = internal(handle, &call, &request).await {
        return response;
    }
    let grants = match access::admit_request(handle, &mut request) {
        Ok(grants) => grants,
        Err(refused) => return refused,
    };
    let call = Call::new(&request);
    let cluster = handle.cluster();
    // Of one moment: the tasks themselves say whether they are those of a leader.
    let tasks = handle.tasks();
    if cluster.high_availability && !tasks.leading {
        return forward::no_leader(&call, &cluster);
    }
    if call.method == "GET"
        && let Some(response) = read(handle, &call, &cluster, &access::visible(&tasks, &grants), None)
    {
        return response;
    }
    if runs::is_about_runs(call.path) {
        return runs::as_leader(handle, &call, &cluster, &tasks, &grants).await;
    }
    match (call.method, call.path) {
        (_, "/v1/status") => call.unsupported("overallStatus", "GET"),
        ("POST", "/v1/cluster/step-down") => step_down(handle, &call).await,
        (_, path) if is_state_path(path) => match &handle.state {
            Some(desk) => state::answer(&**desk, &request, &grants).await,
            None => call.error(StatusCode::NOT_IMPLEMENTED, Shape::WithId, "this agent keeps no state"),
        },
        (_, path) if tokens::is_token_path(path) => tokens::answer(handle, &call, &grants).await,
        (_, path) if is_keyring_path(path) => keyring::change(handle, &call).await,
        (_, "/v1/cluster/tasks" | "/v1/cluster/step-down") => {
            let text = format!("'{}' is not a method of {}", call.method, call.path);
            call.error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &text)
        }
        (method, path) => {
            if below(path, "/v1/status/tasks").is_some() {
                call.unsupported("task status", "GET")
            } else if let Some(name) = below(path, "/v1/tasks") {
                match method {
                    "GET" if name.ends_with("/plan") => {
                        approve::show(handle, &call, name.strip_suffix("/plan").unwrap_or(name)).await
                    }
                    "POST" if name.ends_with("/approve") => {
                        approve::decide(handle, &call, name.strip_suffix("/approve").unwrap_or(name), true).await
                    }
                    "POST" if name.ends_with("/reject") => {
                        approve::decide(handle, &call, name.strip_suffix("/reject").unwrap_or(name), false).await
                    }
                    "PATCH" => patch::patch(handle, &call, &tasks, name).await,
                    "POST" if name.is_empty() => create::create(handle, &call, &grants).await,
                    "POST" if name.ends_with("/run") => {
                        create::run(handle, &call, name.strip_suffix("/run").unwrap_or(name)).await
                    }
                    "POST" if name.ends_with("/cancel") => {
                        cancel::cancel(handle, &call, name.strip_suffix("/cancel").unwrap_or(name)).await
                    }
                    "DELETE" => create::delete(handle, &call, name).await,
                    _ => call.unsupported("task", "PATCH"),
                }
            } else {
                call.error(StatusCode::NOT_FOUND, Shape::WithId, &format!("there is no {path}"))
            }
        }
    }
}

/// The answer to a path with an empty part.
pub(super) fn no_path(path: &str, request_id: &str) -> ApiResponse {
    let text = format!("there is no {path}: a part of it is empty");
    error(StatusCode::NOT_FOUND, Shape::of(path), &text, request_id)
}

/// Whether other agents ask this for themselves. No client gets there: these paths are not passed on.
pub(super) fn is_internal(path: &str) -> bool {
    matches!(path, STATE_PATH | DIFFERENCES_PATH | KEYRING_PATH | USED_PATH)
}

/// Answers what [`is_internal`].
async fn internal(handle: &Handle, call: &Call<'_>, request: &ApiRequest) -> Option<ApiResponse> {
    match (call.method, call.path) {
        (_, STATE_PATH) => Some(match &handle.state {
            Some(desk) => desk.as_leader(request).await,
            None => call.error(StatusCode::NOT_FOUND, Shape::WithId, "this agent keeps no state"),
        }),
        ("PUT", DIFFERENCES_PATH) => {
            let cluster = handle.cluster();
            if cluster.high_availability && !handle.tasks().leading {
                return Some(forward::no_leader(call, &cluster));
            }
            Some(reload::note_differences(handle, call).await)
        }
        (_, KEYRING_PATH) => Some(match &handle.keyring {
            Some(desk) => desk.tell(),
            None => call.error(StatusCode::NOT_FOUND, Shape::WithId, "this agent keeps no keys"),
        }),
        ("PUT", USED_PATH) => {
            handle.gate.note_used(call.body);
            Some(json(StatusCode::OK, &serde_json::json!({})))
        }
        _ => None,
    }
}

/// Answers a request that only reads; `None`: it is another. `stale`: these tasks are no leader's, but were known until then.
pub(super) fn read(
    handle: &Handle,
    call: &Call<'_>,
    cluster: &ClusterSnapshot,
    tasks: &TasksSnapshot,
    stale: Option<DateTime<Utc>>,
) -> Option<ApiResponse> {
    if call.method != "GET" {
        return None;
    }
    match call.path {
        "/v1/status" => Some(overall(tasks)),
        "/v1/cluster/tasks" => {
            let pairs = form_pairs(call.query);
            let wanted: Vec<&str> = pairs.iter().filter(|(key, _)| key == "task").map(|(_, name)| &**name).collect();
            let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
            let shown = tasks.tasks.iter().filter(|task| is_wanted(&task.name));
            let body = TasksNow {
                answered_by: cluster.view.observer.to_string(),
                stale_since: stale.map(stale::rfc3339),
                tasks: shown.map(|task| now_body(task, tasks)).collect(),
                differences: tasks.differences.iter().map(|(agent, how)| (agent.to_string(), how.clone())).collect(),
                consul: tasks.consul.as_ref().map(consul_body),
                trials: tasks.trials.iter().map(ToString::to_string).collect(),
                request_id: call.request_id.to_owned(),
            };
            Some(json(StatusCode::OK, &body))
        }
        path => match (below(path, "/v1/status/tasks"), below(path, "/v1/tasks")) {
            (Some(name), _) => Some(statuses(call, tasks, name)),
            // Its contents are asked for.
            (None, Some(name)) if name.ends_with("/plan") => None,
            (None, Some(name)) => Some(create::get(handle, call, tasks, name)),
            (None, None) => None,
        },
    }
}

/// A task's name out of a path. `Err`: it has a slash, or is not text.
pub(super) fn name_in_path<'a>(call: &Call<'_>, raw: &'a str) -> Result<Cow<'a, str>, String> {
    let bad = || format!("unsupported path '{}': the name of a task has no '/'", call.path);
    let name = percent_decode(raw).ok_or_else(bad)?;
    if name.contains('/') { Err(bad()) } else { Ok(name) }
}

fn overall(tasks: &TasksSnapshot) -> ApiResponse {
    let mut status = StatusCounts::default();
    let mut enabled = EnabledCounts::default();
    for task in &tasks.tasks {
        *match task.status {
            Status::Successful => &mut status.successful,
            Status::Errored => &mut status.errored,
            Status::Critical => &mut status.critical,
            Status::Unknown => &mut status.unknown,
        } += 1;
        *if task.enabled { &mut enabled.yes } else { &mut enabled.no } += 1;
    }
    json(StatusCode::OK, &Overall { task_summary: TaskSummary { status, enabled } })
}

/// What a client wants of the task statuses.
#[derive(Debug, Default)]
struct Filter {
    events: bool,
    status: Option<Status>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        let (mut includes, mut statuses) = (0, 0);
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "include" => {
                    includes += 1;
                    if value != "events" {
                        return Err(format!("unsupported include value '{value}': only 'events' is supported"));
                    }
                    filter.events = true;
                }
                "status" => {
                    statuses += 1;
                    let known = [Status::Successful, Status::Errored, Status::Critical, Status::Unknown];
                    filter.status = known.into_iter().find(|status| value.eq_ignore_ascii_case(status.as_str()));
                    if filter.status.is_none() {
                        return Err(format!(
                            "unsupported status value '{value}': only 'successful', 'errored', 'critical' and 'unknown' \
                             are supported"
                        ));
                    }
                }
                _ => {}
            }
        }
        if includes > 1 {
            return Err("cannot support more than one include parameter".to_owned());
        }
        if statuses > 1 {
            return Err("cannot support more than one status query parameter".to_owned());
        }
        Ok(filter)
    }

    fn keeps(&self, task: &TaskReport) -> bool {
        self.status.is_none_or(|status| status == task.status)
    }
}

fn statuses(call: &Call<'_>, tasks: &TasksSnapshot, raw_name: &str) -> ApiResponse {
    let bad = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::Plain, text);
    let name = match name_in_path(call, raw_name) {
        Ok(name) => name,
        Err(text) => return bad(&text),
    };
    let filter = match Filter::parse(call.query) {
        Ok(filter) => filter,
        Err(text) => return bad(&text),
    };
    let body: TaskStatuses = if name.is_empty() {
        let kept = tasks.tasks.iter().filter(|task| filter.keeps(task));
        kept.map(|task| (task.name.clone(), status_body(task, filter.events))).collect()
    } else {
        let Some(task) = tasks.tasks.iter().find(|task| task.name == name) else {
            let text = unknown_task(&name);
            return call.error(StatusCode::NOT_FOUND, Shape::Plain, &text);
        };
        // CTS ignores the filter for a named task that has not run yet.
        let kept = task.events.is_empty() || filter.keeps(task);
        kept.then(|| (task.name.clone(), status_body(task, filter.events))).into_iter().collect()
    };
    json(StatusCode::OK, &body)
}

/// CTS's text for a name that no task has.
pub(super) fn unknown_task(name: &str) -> String {
    format!("a task with name '{name}' does not exist or has not been initialized yet")
}

fn status_body(task: &TaskReport, events: bool) -> TaskStatus {
    let ran = !task.events.is_empty();
    TaskStatus {
        task_name: task.name.clone(),
        status: task.status.as_str().to_owned(),
        enabled: task.enabled,
        providers: if ran { task.providers.clone() } else { Vec::new() },
        services: Vec::new(),
        events_url: if ran { format!("/v1/status/tasks/{}?include=events", task.name) } else { String::new() },
        events: (events && ran).then(|| task.events.iter().map(|event| event_body(task, event)).collect()),
    }
}

fn event_body(task: &TaskReport, event: &RunEvent) -> Event {
    Event {
        id: event.id.to_string(),
        success: event.success,
        start_time: nanos(event.start_time),
        end_time: nanos(event.end_time),
        task_name: task.name.clone(),
        error: event.error.clone().map(|message| Message { message }),
        config: EventConfig { providers: task.providers.clone(), services: Vec::new(), source: task.source.clone() },
    }
}

pub(super) fn nanos(at: DateTime<Local>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

async fn step_down(handle: &Handle, call: &Call<'_>) -> ApiResponse {
    match handle_request(handle, Request::StepDown).await {
        Ok(Ok(successor)) => {
            let body = SteppedDown {
                former: handle.cluster().view.observer.to_string(),
                successor: successor.map(|id| id.to_string()),
                request_id: call.request_id.to_owned(),
            };
            json(StatusCode::OK, &body)
        }
        Ok(Err(why)) => call.error(StatusCode::CONFLICT, Shape::WithId, &why),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// Why the agent gave no answer to a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It is going down. Nothing was done.
    Stopping,
    /// It took too long, or went down meanwhile. Whether it was done is unknown.
    Unknown,
}

impl Silence {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unknown => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Stopping => "this agent is stopping; nothing was done",
            Self::Unknown => "the agent did not say in time whether it was done; look at the status",
        }
    }
}

/// Asks the agent and waits, at most [`limits::COMMAND`].
pub(super) async fn handle_request<T>(
    handle: &Handle,
    make: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Request,
) -> Result<T, Silence> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let ask = async {
        handle.requests.send(make(reply)).await.map_err(|_| Silence::Stopping)?;
        answer.await.map_err(|_| Silence::Unknown)
    };
    tokio::time::timeout(limits::COMMAND, ask).await.unwrap_or(Err(Silence::Unknown))
}

/// Asks the agent for a change of a task. What runs Terraform may take long: then there is no limit of ours.
pub(super) async fn ask_for_change<T>(
    handle: &Handle,
    make: impl FnOnce(tokio::sync::oneshot::Sender<T>) -> Request,
    run: RunMode,
) -> Result<T, Silence> {
    if run == RunMode::Later {
        return handle_request(handle, make).await;
    }
    let (reply, answer) = tokio::sync::oneshot::channel();
    handle.requests.send(make(reply)).await.map_err(|_| Silence::Stopping)?;
    answer.await.map_err(|_| Silence::Unknown)
}

#[cfg(test)]
mod tests;
