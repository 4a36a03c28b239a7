//! `quorate task enable|disable|delete|run`: what is done to one task that is there.

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::address::Address;
use super::super::client::Client;
use super::super::client_error::ClientError;
use super::super::output::{Failure, say};
use super::super::paint::clean;
use super::ask::{Approval, indented};
use super::names::{encode, one_name};

/// Flags of commands that do not ask.
#[derive(Debug, Args)]
pub(in super::super) struct NameArgs {
    #[command(flatten)]
    address: Address,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// Flags of `task disable`.
#[derive(Debug, Args)]
pub(in super::super) struct DisableArgs {
    #[command(flatten)]
    address: Address,
    /// End the run that is under way, if there is one
    #[arg(long)]
    cancel: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// Flags of `task delete`.
#[derive(Debug, Args)]
pub(in super::super) struct DeleteArgs {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    approval: Approval,
    /// End the run that is under way, if there is one
    #[arg(long)]
    cancel: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// Flags of commands that ask first.
#[derive(Debug, Args)]
pub(in super::super) struct ApproveArgs {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    approval: Approval,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// What `PATCH` with `run=inspect` answers.
#[derive(Debug, Deserialize)]
struct Inspected {
    inspect: Inspection,
}

#[derive(Debug, Deserialize)]
struct Inspection {
    changes_present: bool,
    plan: String,
}

/// Shows the plan, asks, and runs it; without changes, neither asks nor runs.
pub(super) fn enable(args: &ApproveArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "enable")?;
    let client = Client::patient(&args.address)?;
    let path = format!("/v1/tasks/{}", encode(name));
    let shown = clean(name);
    let failed = |what: &str, error: &ClientError| Failure::new(format!("unable to {what} '{shown}'\n{error}"));
    let patch = |run: &str| client.patch(&format!("{path}{run}"), &json!({"enabled": true}));
    say(&format!("==> Inspecting what enabling '{shown}' would change...\n\n"))?;
    let inspected = patch("?run=inspect").and_then(|value| client.typed::<Inspected>(&value));
    let Inspection { changes_present, plan } = inspected.map_err(|error| failed("generate plan for", &error))?.inspect;
    say(&format!("{}\n", indented(&plan)))?;
    if changes_present {
        let question = format!(
            "==> Enabling the task will perform the actions described above.\n    Do you want to perform these actions \
             for '{shown}'?\n     - They cannot be taken back by disabling the task.\n     - They may differ when what \
             the task watches changes in between.\n"
        );
        if !args.approval.given(&question, "enabling", name)? {
            return Ok(());
        }
        say(&format!("==> Enabling and running '{shown}'...\n\n"))?;
        patch("?run=now").map_err(|error| failed("enable and run", &error))?;
    } else {
        patch("").map_err(|error| failed("enable", &error))?;
    }
    say(&format!("==> '{shown}' enable complete!\n"))
}

pub(super) fn disable(args: &DisableArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "disable")?;
    let client = Client::new(&args.address)?;
    let shown = clean(name);
    let answer = client
        .patch(&format!("/v1/tasks/{}{}", encode(name), query(args.cancel)), &json!({"enabled": false}))
        .map_err(|error| Failure::new(format!("unable to disable '{shown}'\n{error}")))?;
    say(&format!("==> '{shown}' disable complete!\n{}", runs(&answer, name)))
}

fn query(cancel: bool) -> &'static str {
    if cancel { "?cancel=true" } else { "" }
}

/// What an answer says of the run that was or is under way.
fn runs(answer: &Value, name: &str) -> String {
    let cancelled = if answer.get("cancelled_run").is_some() { "    Its run was cancelled.\n" } else { "" };
    let active = answer.get("active_run").map_or_else(String::new, |run| {
        let ending = run.get("cancelled_by").is_some();
        let hint = format!("comes to its end ('task cancel {}' ends it)", clean(name));
        format!("    A run is still under way and {}.\n", if ending { "ends within its grace" } else { &hint })
    });
    format!("{cancelled}{active}")
}

pub(super) fn delete(args: &DeleteArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "delete")?;
    let client = Client::new(&args.address)?;
    let shown = clean(name);
    let question = format!(
        "==> Do you want to delete '{shown}'?\n     - This cannot be undone.\n     - What the task has made stays as it \
         is.\n     - A run that is under way {} first.\n",
        if args.cancel { "is ended" } else { "comes to its end" }
    );
    if !args.approval.given(&question, "deleting", name)? {
        return Ok(());
    }
    let answer = client
        .delete(&format!("/v1/tasks/{}{}", encode(name), query(args.cancel)))
        .map_err(|error| Failure::new(format!("unable to delete '{shown}'\n{}", error.with_reason())))?;
    let runs = runs(&answer, name);
    say(&format!("==> Task '{shown}' has been marked for deletion and will be deleted when not running.\n{runs}"))
}

pub(super) fn run(args: &NameArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "run")?;
    let client = Client::new(&args.address)?;
    let shown = clean(name);
    client
        .post(&format!("/v1/tasks/{}/run", encode(name)))
        .map_err(|error| Failure::new(format!("unable to run '{shown}'\n{error}")))?;
    say(&format!("==> Task '{shown}' runs as soon as it is free ('task show' tells how it went).\n"))
}
