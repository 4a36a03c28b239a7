//! `quorate task logs`: what a run of a task printed, or prints.

use std::io::Write as _;

use clap::Args;

use super::super::address::Address;
use super::super::client::Client;
use super::super::client_error::ClientError;
use super::super::output::{Failure, on_terminal};
use super::super::paint::{clean, clean_shown};
use super::{encode, one_name};
use crate::http::reply::{RunShown, Runs};

/// Flags of `task logs`.
#[derive(Debug, Args)]
pub(in super::super) struct LogsArgs {
    #[command(flatten)]
    address: Address,
    /// Of this run, instead of the newest one; `task show` lists them
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Go on until the run has ended
    #[arg(short, long)]
    follow: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

pub(super) fn logs(args: &LogsArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "logs")?;
    let client = Client::new(&args.address)?;
    let run = choose(&runs(&client, name)?, args.run.as_deref(), name)?;
    let follow = if args.follow { "?follow=true" } else { "" };
    let path = format!("/v1/runs/{}/log{follow}", encode(&run));
    let (mut out, for_people) = (std::io::stdout().lock(), on_terminal());
    let mut characters = Vec::new();
    let outcome = client.stream(&path, |bytes| {
        if !for_people {
            return out.write_all(bytes).and_then(|()| out.flush());
        }
        characters.extend_from_slice(bytes);
        let whole = whole(&characters);
        let text = String::from_utf8_lossy(&characters[..whole]);
        out.write_all(clean_shown(&text).as_bytes()).and_then(|()| out.flush())?;
        characters.drain(..whole);
        Ok(())
    });
    match outcome {
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Ok(written) => written.map_err(|error| Failure::new(format!("cannot write to standard output: {error}"))),
        Err(error) => Err(told(&error, name)),
    }
}

fn told(error: &ClientError, name: &str) -> Failure {
    Failure::new(format!("unable to read the log of '{}'\n{error}", clean(name)))
}

fn runs(client: &Client, name: &str) -> Result<Vec<RunShown>, Failure> {
    let path = format!("/v1/runs?limit=1000&task={}", encode(name));
    let runs: Runs = client.get(&path).and_then(|value| client.typed(&value)).map_err(|error| told(&error, name))?;
    Ok(runs.runs)
}

/// The run that is meant: by its id or the beginning of it, or the newest that has a log.
fn choose(runs: &[RunShown], wanted: Option<&str>, name: &str) -> Result<String, Failure> {
    let shown = clean(name);
    let Some(wanted) = wanted else {
        let newest = runs.iter().find(|run| run.log.is_some());
        return match (newest, runs.is_empty()) {
            (Some(run), _) => Ok(run.id.clone()),
            (None, true) => Err(Failure::new(format!("task '{shown}' is not known, or has not run yet"))),
            (None, false) => Err(Failure::new(format!("no log of task '{shown}' is kept"))),
        };
    };
    let found: Vec<&RunShown> = runs.iter().filter(|run| !wanted.is_empty() && run.id.starts_with(wanted)).collect();
    match found[..] {
        [run] => Ok(run.id.clone()),
        [] => Err(Failure::new(format!("task '{shown}' has no run '{}'", clean(wanted)))),
        _ => Err(Failure::new(format!("{} runs of task '{shown}' begin with '{}'", found.len(), clean(wanted)))),
    }
}

/// Bytes that end with a whole character.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reply::LogShown;

    fn run(id: &str, has_log: bool) -> RunShown {
        let log = has_log.then_some(LogShown { bytes: 1, left_out: 0, open: false });
        RunShown { state: "ended".to_owned(), log, ..RunShown::of(id, "web") }
    }

    #[test]
    fn the_newest_run_with_a_log_is_meant_or_the_one_that_is_named() {
        let runs = [run("1a2b", false), run("1c3d", true), run("9e8f", true)];
        assert_eq!(choose(&runs, None, "web").unwrap(), "1c3d");
        assert_eq!(choose(&runs, Some("9"), "web").unwrap(), "9e8f");
        assert_eq!(choose(&runs, Some("1a2b"), "web").unwrap(), "1a2b");
        let refused = |runs: &[RunShown], wanted| format!("{:?}", choose(runs, wanted, "web").unwrap_err());
        assert!(refused(&runs, Some("1")).contains("2 runs of task 'web' begin with '1'"));
        assert!(refused(&runs, Some("")).contains("task 'web' has no run ''"));
        assert!(refused(&runs[..1], None).contains("no log of task 'web' is kept"));
        assert!(refused(&[], None).contains("task 'web' is not known, or has not run yet"));
    }

    #[test]
    fn a_character_is_not_torn() {
        let text = "a\u{1f600}".as_bytes();
        assert_eq!([whole(&text[..1]), whole(&text[..3]), whole(text)], [1, 1, 5]);
        assert_eq!(whole(b"\xff"), 1);
    }
}
