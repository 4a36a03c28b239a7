//! `quorate task create`: a task from a file, first planned, then made and run.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::address::Address;
use super::super::client::Client;
use super::super::client_error::ClientError;
use super::super::env::World;
use super::super::exit::Exit;
use super::super::output::{Failure, complain, pretty, say};
use super::super::paint::clean;
use super::ask::{Approval, indented};
use crate::config::task_file;

/// Flags of `task create`.
#[derive(Debug, Args)]
pub(in super::super) struct CreateArgs {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    approval: Approval,
    /// File with one task block, written as in a configuration (.hcl or .json)
    #[arg(long, value_name = "FILE")]
    task_file: Option<PathBuf>,
    /// Taken and ignored, as in CTS
    #[arg(value_name = "ARGUMENT", hide = true)]
    stray: Vec<String>,
}

/// What `POST` with `run=inspect` answers.
#[derive(Debug, Deserialize)]
struct Inspected {
    request_id: String,
    run: Plan,
}

#[derive(Debug, Deserialize)]
struct Plan {
    plan: String,
}

/// What `POST` with `run=now` answers.
#[derive(Debug, Deserialize)]
struct Created {
    request_id: String,
}

pub(super) fn create(args: &CreateArgs) -> Result<(), Failure> {
    let Some(file) = &args.task_file else {
        let text =
            "unable to create request\nno task file provided\nFor additional help try 'quorate task create --help'";
        return Err(Failure::with(Exit::Missing, text));
    };
    if !args.stray.is_empty() {
        let stray = clean(&args.stray.join(", "));
        complain(&format!("==> Warning: this command takes no arguments, these are ignored: {stray}"));
    }
    let (task, odd) = task_file(file, &World::read().cwd)
        .map_err(|why| Failure::with(Exit::Config, format!("unable to read task file\n{why}")))?;
    for finding in odd {
        let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        complain(&format!("==> {finding}{help}"));
    }
    let name = task.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let shown = clean(&name);
    let request = json!({"task": task});
    let client = Client::patient(&args.address)?;
    let failed =
        |what: &str, error: &ClientError| Failure::new(format!("unable to {what} '{shown}'\n{}", error.with_reason()));
    say(&format!("==> Inspecting what creating task '{shown}' would change...\n\n"))?;
    let answer = client.post_json("/v1/tasks?run=inspect", &request);
    let inspected: Inspected =
        answer.and_then(|value| client.typed(&value)).map_err(|error| failed("generate plan for", &error))?;
    say(&format!(
        "    Request ID: '{}'\n    Request Payload:\n{}\n    Plan:\n{}\n",
        clean(&inspected.request_id),
        indented(&pretty(&request)),
        indented(&inspected.run.plan)
    ))?;
    let question = format!(
        "==> Creating the task will perform the actions described above.\n    Do you want to perform these actions for \
         '{shown}'?\n     - They cannot be taken back by deleting the task.\n     - They may differ when what the task \
         watches changes in between.\n"
    );
    if !args.approval.given(&question, "creating", &name)? {
        return Ok(());
    }
    say(&format!(
        "==> Creating and running task '{shown}'...\n    This takes as long as its run. Ending this command does not end \
         the run.\n\n"
    ))?;
    let answer = client.post_json("/v1/tasks?run=now", &request);
    let created: Created = answer.and_then(|value| client.typed(&value)).map_err(|error| failed("create", &error))?;
    say(&format!("==> Task '{shown}' created\n    Request ID: '{}'\n", clean(&created.request_id)))
}
