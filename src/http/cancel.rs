//! Runs that are ended from outside: `POST /v1/tasks/{name}/cancel`, and `?cancel=true` where a task is disabled or deleted.

use actix_web::http::StatusCode;
use serde_json::{Value, json as object};

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::tasks::{Call, Silence, handle_request, name_in_path, nanos};
use super::{create, duration, limits};
use crate::runtime::handle::{ApiResponse, CancelledReport, ChangeError, Handle, Request, RunMode};
use crate::task::report::ActiveRun;

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
    let by = call.caller.clone();
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
        !runs.any(|run| run.id == report.run)
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
    use crate::runtime::handle::Caller;

    #[test]
    fn a_flag_is_yes_or_no() {
        let caller = Caller::unknown();
        let call = |query| Call { method: "POST", path: "/", query, body: &[], request_id: "r", caller: &caller };
        let of = |query| flag(&call(query), "force");
        assert_eq!((of(""), of("force"), of("force=true"), of("force=0")), (Ok(false), Ok(true), Ok(true), Ok(false)));
        assert!(of("force=perhaps").is_err());
    }
}
