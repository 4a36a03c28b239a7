//! `quorate task cancel`: ends the run of a task that is under way, and waits for its end.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::super::address::Address;
use super::super::client::Client;
use super::super::client_error::ClientError;
use super::super::output::{Failure, say};
use super::super::paint::clean;
use super::names::{encode, one_name};
use crate::http::reply::{TaskNow, TasksNow};
use crate::runtime::clock;

/// Between two looks at the run.
const LOOK: Duration = Duration::from_millis(200);

/// How much longer than its grace the end of a run may take: killing, the journal, a fail-over meanwhile.
const REST: Duration = Duration::from_secs(30);

/// Flags of `task cancel`.
#[derive(Debug, Args)]
pub(in super::super) struct CancelArgs {
    #[command(flatten)]
    address: Address,
    /// Send SIGKILL at once, without the grace that Terraform needs to write its state
    #[arg(long)]
    force: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Cancelled {
    run: Run,
    ends_within: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Run {
    id: String,
}

pub(super) fn cancel(args: &CancelArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "cancel")?;
    let client = Client::new(&args.address)?;
    let shown = clean(name);
    let query = if args.force { "?force=true" } else { "" };
    let answer = client.post(&format!("/v1/tasks/{}/cancel{query}", encode(name)));
    let cancelled: Cancelled = answer
        .and_then(|value| client.typed(&value))
        .map_err(|error| Failure::new(format!("unable to cancel '{shown}'\n{error}")))?;
    say(&format!("==> Cancelling '{shown}': {}\n", clean(&cancelled.message)))?;
    let limit = grace(&cancelled.ends_within).saturating_add(REST);
    let begun = clock::now().mono;
    while clock::now().mono.saturating_sub(begun) < limit {
        if let Some(outcome) = outcome(&client, name, &cancelled.run.id)? {
            return say(&format!("==> '{shown}' cancel complete! {outcome}\n"));
        }
        std::thread::sleep(LOOK);
    }
    Err(Failure::new(format!(
        "the run of '{shown}' is cancelled, but has not ended yet\n'task show' tells when it has"
    )))
}

/// How the run ended; `None`: it has not, or nobody can say.
fn outcome(client: &Client, name: &str, run: &str) -> Result<Option<String>, Failure> {
    let tasks: TasksNow = match client.get("/v1/cluster/tasks").and_then(|value| client.typed(&value)) {
        Ok(tasks) => tasks,
        // Leadership may be changing; the run ends all the same.
        Err(ClientError::Refusal { status, .. }) if status.is_server_error() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if tasks.stale_since.is_some() {
        return Ok(None);
    }
    if tasks.trials.iter().any(|trial| trial == run) {
        return Ok(None);
    }
    let task = tasks.tasks.iter().find(|task| task.name == name);
    Ok(task.map_or_else(|| Some("The task is gone.".to_owned()), |task| end_of(task, run)))
}

fn end_of(task: &TaskNow, run: &str) -> Option<String> {
    if let Some(event) = task.events.iter().find(|event| event.id == run) {
        return Some(match event.outcome.as_str() {
            "success" => "The run had come to its own end, and went well.".to_owned(),
            _ => format!("The run ended: {}.", clean(event.error.as_deref().unwrap_or(&event.outcome))),
        });
    }
    let over = !matches!(task.activity.state.as_str(), "running" | "retrying" | "waiting");
    over.then(|| "Nothing of it runs any more.".to_owned())
}

/// `1m30s`, as the agent writes it.
fn grace(text: &str) -> Duration {
    crate::config::duration::parse(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::status::samples::sample_tasks;
    use super::*;

    #[test]
    fn the_end_of_a_run_is_its_event_or_that_nothing_runs() {
        let mut tasks = sample_tasks().tasks;
        assert_eq!(end_of(&tasks[3], "8f0c"), None, "it runs");
        assert_eq!(end_of(&tasks[2], "8f0c").as_deref(), Some("Nothing of it runs any more."));
        let event = &mut tasks[1].events[0];
        (event.outcome, event.error) = ("cancelled".to_owned(), Some("cancelled by a".to_owned()));
        assert_eq!(end_of(&tasks[1], "8f0c").as_deref(), Some("The run ended: cancelled by a."));
        assert_eq!(grace("1m30s"), Duration::from_secs(90));
    }
}
