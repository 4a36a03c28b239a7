//! `quorate ready`: what `/readyz` and `/livez` say, as an exit code. For scripts and for the health checks of containers.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::address::Address;
use super::client::Client;
use super::output::{Failure, say};
use super::paint::clean;
use crate::runtime::clock;
use crate::task::duration;

/// How often is asked while waiting.
const AGAIN: Duration = Duration::from_millis(250);

/// Flags of `ready`.
#[derive(Debug, Args)]
pub(super) struct ReadyArgs {
    #[command(flatten)]
    address: Address,
    /// Only whether the process answers
    #[arg(long)]
    live: bool,
    /// Wait so long for it, such as 90s or 2m
    #[arg(long, value_name = "DURATION", value_parser = span)]
    wait: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    check: String,
    reason: String,
}

fn span(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "write it as 90s or 2m".to_owned())
}

pub(super) fn run(args: &ReadyArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let until = args.wait.map(|wait| clock::now().mono + wait);
    loop {
        let failure = match ask(&client, args.live) {
            Ok(said) => return say(said),
            Err(failure) => failure,
        };
        if until.is_none_or(|until| clock::now().mono >= until) {
            return Err(failure);
        }
        std::thread::sleep(AGAIN);
    }
}

fn ask(client: &Client, live: bool) -> Result<&'static str, Failure> {
    if live {
        client.get_bytes("/livez")?;
        return Ok("alive\n");
    }
    let (ready, body) = client.get_whether("/readyz")?;
    if ready {
        return Ok("ready\n");
    }
    let Answer { reasons } = client.typed(&body)?;
    let lines = reasons.iter().map(|reason| format!("{}: {}", clean(&reason.check), clean(&reason.reason)));
    Err(Failure::new(format!("not ready\n{}", lines.collect::<Vec<_>>().join("\n"))))
}
