//! `quorate leave` and `quorate step-down`.

use clap::Args;
use serde_json::Value;

use super::address::Address;
use super::client::Client;
use super::output::{Failure, pretty, say};
use super::paint::clean;
use crate::http::reply::{Left, SteppedDown};

/// Flags of `leave`.
#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `step-down`.
#[derive(Debug, Args)]
pub(super) struct StepDownArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run_leave(args: &LeaveArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = asked(client.post("/v1/cluster/leave"), "unable to leave")?;
    let left: Left = client.typed(&value)?;
    say(&if args.json { pretty(&value) } else { format!("==> {} has left the cluster and stops\n", clean(&left.left)) })
}

pub(super) fn run_step_down(args: &StepDownArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = asked(client.post("/v1/cluster/step-down"), "unable to step down")?;
    let down: SteppedDown = client.typed(&value)?;
    let former = clean(&down.former);
    say(&match down.successor {
        _ if args.json => pretty(&value),
        Some(successor) => format!("==> {former} has stepped down, {} follows\n", clean(&successor)),
        None => format!("==> {former} has stepped down; who follows is not decided yet\n"),
    })
}

fn asked(outcome: Result<Value, super::client_error::ClientError>, what: &str) -> Result<Value, Failure> {
    outcome.map_err(|error| Failure::new(format!("{what}\n{error}")))
}
