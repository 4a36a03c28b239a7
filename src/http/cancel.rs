//! Runs that are ended from outside: `POST /v1/tasks/{name}/cancel`, and `?cancel=true` where a task is disabled or deleted.
//!
//! Who asks is put into the request's query by the agent that receives it ([`sign`]): the leader, which may be another agent,
//! sees only the request. Whatever a client writes there itself is taken out.

use std::net::SocketAddr;

use actix_web::http::StatusCode;
use serde_json::{Value, json as object};

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::tasks::{Call, Silence, handle_request, name_in_path, nanos};
use super::{create, limits};
use crate::runtime::handle::{ApiResponse, Caller, CancelledReport, ChangeError, Handle, Request, RunMode};
use crate::task::duration;
use crate::task::report::ActiveRun;

/// The parameter with who asks: JSON of a [`Caller`].
const CALLER: &str = "caller";

/// The target of a request, signed with where it came from if the leader wants to know.
pub(super) fn sign(target: &str, peer: Option<SocketAddr>, agent: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = form_pairs(query);
    let cancels = path.ends_with("/cancel") || pairs.iter().any(|(key, _)| key == "cancel");
    if !cancels {
        return target.to_owned();
    }
    let address = peer.map_or_else(|| "a local socket".to_owned(), |peer| peer.to_string());
    let caller = Caller { address, agent: agent.to_owned(), identity: None };
    let caller = serde_json::to_string(&caller).unwrap_or_default();
    let kept = pairs.into_iter().filter(|(key, _)| key != CALLER).chain([(CALLER.to_owned(), caller)]);
    let kept: Vec<String> = kept.map(|(key, value)| format!("{}={}", encode(&key), encode(&value))).collect();
    format!("{path}?{}", kept.join("&"))
}

fn encode(text: &str) -> String {
    let part = |byte: u8| {
        let literal = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if literal { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(part).collect()
}

fn caller(call: &Call<'_>) -> Caller {
    let signed = form_pairs(call.query).into_iter().find(|(key, _)| key == CALLER);
    let caller = signed.and_then(|(_, value)| serde_json::from_str(&value).ok());
    let unknown = || Caller { address: "an unknown address".to_owned(), agent: "an agent".to_owned(), identity: None };
    caller.unwrap_or_else(unknown)
}

/// A parameter that is yes or no. `Err`: it is neither.
pub(super) fn flag(call: &Call<'_>, name: &str) -> Result<bool, String> {
    match form_pairs(call.query).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("" | "true" | "1") => Ok(true),
        Some(other) => {
            Err(format!("unsupported {name} parameter value '{other}': only 'true' and 'false' are supported"))
        }
    }
}

/// `POST /v1/tasks/{name}/cancel[?force=true]`.
pub(super) async fn cancel(handle: &Handle, call: &Call<'_>, raw_name: &str) -> ApiResponse {
    let refuse = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::WithId, text);
    let (name, force) = match (name_in_path(call, raw_name), flag(call, "force")) {
        (Ok(name), Ok(force)) => (name, force),
        (Err(text), _) | (_, Err(text)) => return refuse(&text),
    };
    match ask(handle, call, &name, force).await {
        Ok(Ok(report)) => json(StatusCode::ACCEPTED, &shown(&report, call.request_id)),
        Ok(Err(error)) => create::refusal(handle, call, &error, RunMode::Later),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

async fn ask(
    handle: &Handle,
    call: &Call<'_>,
    name: &str,
    force: bool,
) -> Result<Result<CancelledReport, ChangeError>, Silence> {
    let by = caller(call);
    handle_request(handle, |reply| Request::Cancel { task: name.to_owned(), by, force, reply }).await
}

fn shown(report: &CancelledReport, request_id: &str) -> Value {
    let CancelledReport { run, start_time, trigger, by, ends_within, queued } = report;
    let message = match ends_within {
        None => "the run is over: it was between two tries",
        Some(grace) if grace.is_zero() => "the run was sent SIGKILL",
        Some(_) => "the run was sent SIGINT; what is left of it after the grace gets SIGKILL",
    };
    let next = match queued {
        Some(trigger) => format!("another run is queued (trigger {trigger}) and starts when this one is over"),
        None => "nothing is queued behind it".to_owned(),
    };
    object!({
        "request_id": request_id,
        "run": {"id": run, "start_time": nanos(*start_time), "trigger": trigger, "cancelled_by": by},
        "ends_within": duration::show(ends_within.unwrap_or_default()),
        "queued": queued.map(|trigger| object!({"trigger": trigger})),
        "message": format!("{message}; {next}"),
    })
}

/// The run of a task that is under way, as answers have it.
fn active(handle: &Handle, name: &str) -> Option<Value> {
    let tasks = handle.tasks();
    let run = tasks.tasks.iter().find(|task| task.name == name)?.run.as_ref()?;
    Some(run_body(run))
}

fn run_body(run: &ActiveRun) -> Value {
    let mut body = object!({"id": run.id, "start_time": nanos(run.start_time), "trigger": run.trigger});
    if let Some(by) = &run.cancelled_by {
        body["cancelled_by"] = by.clone().into();
    }
    body
}

/// Ends the run of a task that was just disabled or deleted, and waits for its end, though not for ever. `Ok`: what was
/// cancelled, if anything ran.
async fn end(handle: &Handle, call: &Call<'_>, name: &str) -> Result<Option<Value>, ApiResponse> {
    let report = match ask(handle, call, name, false).await {
        Ok(Ok(report)) => report,
        // Nothing of it runs: that is as it should be.
        Ok(Err(ChangeError::Conflict(_) | ChangeError::Unknown(_))) => return Ok(None),
        Ok(Err(error)) => return Err(create::refusal(handle, call, &error, RunMode::Later)),
        Err(silence) => return Err(call.error(silence.status(), Shape::WithId, silence.text())),
    };
    let mut tasks = handle.tasks.clone();
    let over = tasks.wait_for(|tasks| {
        let mut runs = tasks.tasks.iter().filter_map(|task| task.run.as_ref());
        !runs.any(|run| run.id == report.run) && !tasks.trials.contains(&report.run)
    });
    // What has not ended by then is told as still there.
    drop(tokio::time::timeout(limits::END_OF_RUN, over).await);
    Ok(Some(shown(&report, call.request_id)["run"].clone()))
}

/// Ends the run if that was asked for, and says in `body` what was ended and what still runs.
pub(super) async fn and_end(
    handle: &Handle,
    call: &Call<'_>,
    name: &str,
    cancels: bool,
    body: &mut Value,
) -> Result<(), ApiResponse> {
    if cancels && let Some(ended) = end(handle, call, name).await? {
        body["cancelled_run"] = ended;
    }
    if let Some(run) = active(handle, name) {
        body["active_run"] = run;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_end_runs_are_signed_by_the_agent_alone() {
        let peer = Some("127.0.0.1:7".parse().unwrap());
        assert_eq!(sign("/v1/tasks/a?run=now", peer, "a1"), "/v1/tasks/a?run=now");
        for target in ["/v1/tasks/a/cancel?force=true&caller=me", "/v1/tasks/a?cancel=true"] {
            let signed = sign(target, peer, "a1");
            let (path, query) = signed.split_once('?').unwrap();
            assert_eq!(path, target.split('?').next().unwrap());
            let call = Call { method: "POST", path, query, body: &[], request_id: "r" };
            assert_eq!(caller(&call).to_string(), "127.0.0.1:7 through a1");
            assert_eq!(flag(&call, "force"), Ok(target.contains("force")));
        }
    }

    #[test]
    fn a_flag_is_yes_or_no() {
        let of = |query| flag(&Call { method: "POST", path: "/", query, body: &[], request_id: "r" }, "force");
        assert_eq!((of(""), of("force"), of("force=true"), of("force=0")), (Ok(false), Ok(true), Ok(true), Ok(false)));
        assert!(of("force=perhaps").is_err());
    }
}
