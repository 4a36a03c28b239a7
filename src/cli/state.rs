//! `quorate state list|pull|push|history|restore|dismiss`: the Terraform state that the cluster keeps.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Subcommand};

use super::address::Address;
use super::client::Client;
use super::list_args::ListArgs;
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, clean};
use super::table::{Table, cell, plain};
use super::task::encode;
use super::time;
use crate::http::reply::{States, TaskState};
use crate::runtime::clock;
use crate::state::{CONTENT_MAX, Summary, VersionSummary};

/// Lines for what could not be saved: the command in it shall be whole.
const ERRORED_LINES: usize = 8;

/// Commands about state.
#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// The states of all tasks
    #[command(override_usage = "quorate state list [-help] [options]")]
    List(ListArgs),
    /// Print a task's state
    #[command(override_usage = "quorate state pull [-help] [options] <task name>")]
    Pull(PullArgs),
    /// Put a state in place, while no run of its task is in flight
    #[command(override_usage = "quorate state push [-help] [options] <task name> <file>")]
    Push(PushArgs),
    /// The kept versions of a task's state
    #[command(override_usage = "quorate state history [-help] [options] <task name>")]
    History(HistoryArgs),
    /// Make an old version the current one again
    #[command(override_usage = "quorate state restore [-help] -version N [options] <task name>")]
    Restore(RestoreArgs),
    /// Forget what runs could not save, after having looked at it
    #[command(override_usage = "quorate state dismiss [-help] [options] <task name>")]
    Dismiss(DismissArgs),
}

/// Flags of `state pull`.
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    #[command(flatten)]
    address: Address,
    /// An old version (see history)
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    task: String,
}

/// Flags of `state push`.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    #[command(flatten)]
    address: Address,
    /// Also a state of another lineage, or an older one
    #[arg(long)]
    force: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    task: String,
    /// The state
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Flags of `state history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    task: String,
}

/// Flags of `state restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    address: Address,
    /// Which (see history)
    #[arg(long, value_name = "N")]
    version: u64,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    task: String,
}

/// Flags of `state dismiss`.
#[derive(Debug, Args)]
pub(super) struct DismissArgs {
    #[command(flatten)]
    address: Address,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    task: String,
}

pub(super) fn run(command: StateCommand) -> Result<(), Failure> {
    match command {
        StateCommand::List(args) => list(&args),
        StateCommand::Pull(args) => pull(&args),
        StateCommand::Push(args) => push(&args),
        StateCommand::History(args) => history(&args),
        StateCommand::Restore(args) => restore(&args),
        StateCommand::Dismiss(args) => dismiss(&args),
    }
}

fn path(task: &str) -> String {
    format!("/v1/cluster/state/{}", encode(task))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.get("/v1/cluster/state")?;
    if args.json {
        return say(&pretty(&value));
    }
    let states: States = client.typed(&value)?;
    say(&render_list(&states.states, clock::wall().fixed_offset(), Paint::detect()))
}

fn history(args: &HistoryArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.get(&format!("{}/history", path(&args.task)))?;
    if args.json {
        return say(&pretty(&value));
    }
    let state: TaskState = client.typed(&value)?;
    say(&render_history(&state.state, clock::wall().fixed_offset(), Paint::detect()))
}

fn pull(args: &PullArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let query = args.version.map_or_else(String::new, |version| format!("?version={version}"));
    let task = clean(&args.task);
    let content = client
        .get_bytes(&format!("{}{query}", path(&args.task)))
        .map_err(|error| Failure::new(format!("unable to pull the state of '{task}'\n{error}")))?;
    let text = String::from_utf8(content)
        .map_err(|_| Failure::new(format!("unable to pull the state of '{task}'\nwhat the agent sent is not text")))?;
    say(&text)
}

fn push(args: &PushArgs) -> Result<(), Failure> {
    let task = clean(&args.task);
    let failed = |why: String| Failure::new(format!("unable to push the state of '{task}'\n{why}"));
    let content = read(&args.file).map_err(failed)?;
    let client = Client::new(&args.address)?;
    let query = if args.force { "?force=true" } else { "" };
    client.put_bytes(&format!("{}{query}", path(&args.task)), &content).map_err(|error| failed(error.to_string()))?;
    say(&format!("==> the state of '{task}' is pushed\n"))
}

/// The file, unless it is too large anyway.
fn read(file: &PathBuf) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    File::open(file)
        .and_then(|open| open.take(CONTENT_MAX as u64 + 1).read_to_end(&mut content))
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    if content.len() > CONTENT_MAX {
        return Err(format!("{} has more than {CONTENT_MAX} bytes, the most that is kept", file.display()));
    }
    Ok(content)
}

fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let (task, version) = (clean(&args.task), args.version);
    client
        .post(&format!("{}/restore?version={version}", path(&args.task)))
        .map_err(|error| Failure::new(format!("unable to restore the state of '{task}'\n{error}")))?;
    say(&format!("==> version {version} of the state of '{task}' is the current one again\n"))
}

fn dismiss(args: &DismissArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let task = clean(&args.task);
    client
        .post(&format!("{}/dismiss", path(&args.task)))
        .map_err(|error| Failure::new(format!("unable to dismiss what runs of '{task}' could not save\n{error}")))?;
    say(&format!("==> what runs of '{task}' could not save is forgotten; the files stay where they are\n"))
}

fn render_list(states: &[Summary], now: DateTime<FixedOffset>, paint: Paint) -> String {
    if states.is_empty() {
        return "the cluster keeps no state yet\n".to_owned();
    }
    let mut table = Table::new(&["TASK", "SERIAL", "LINEAGE", "SIZE", "WRITTEN", "VERSIONS", "LOCK"]);
    for state in states {
        let current = state.versions.iter().find(|version| Some(version.version) == state.current);
        let of = |show: fn(&VersionSummary) -> String| plain(current.map_or_else(|| "-".to_owned(), show));
        table.row(vec![
            plain(&state.task),
            of(|version| version.serial.to_string()),
            of(|version| version.lineage.clone()),
            of(|version| size(version.size)),
            plain(current.map_or_else(|| "-".to_owned(), |version| moment(version.written_ms, now))),
            plain(state.versions.len().to_string()),
            match &state.lock {
                Some(lock) => cell(Style::Warn, format!("{} (epoch {})", lock.agent, lock.epoch)),
                None => plain("-"),
            },
        ]);
        for errored in &state.errored {
            table.note(Style::Bad, &errored.text, ERRORED_LINES);
        }
    }
    table.render(paint)
}

fn render_history(state: &Summary, now: DateTime<FixedOffset>, paint: Paint) -> String {
    if state.versions.is_empty() && state.errored.is_empty() {
        return format!("the cluster keeps no state of '{}'\n", clean(&state.task));
    }
    let mut table = Table::new(&["VERSION", "SERIAL", "LINEAGE", "SIZE", "WRITTEN", "BY"]);
    for version in &state.versions {
        let current = Some(version.version) == state.current;
        table.row(vec![
            cell(
                if current { Style::Good } else { Style::Plain },
                format!("{}{}", version.version, if current { " (current)" } else { "" }),
            ),
            plain(version.serial.to_string()),
            plain(&version.lineage),
            plain(size(version.size)),
            plain(moment(version.written_ms, now)),
            plain(by(version)),
        ]);
    }
    let mut text = table.render(paint);
    for errored in &state.errored {
        text.push_str(&paint.apply(Style::Bad, &clean(&errored.text)));
        text.push('\n');
    }
    text
}

fn by(version: &VersionSummary) -> String {
    match version.epoch {
        Some(epoch) => format!("a run of {} (epoch {epoch})", version.agent),
        None => format!("a person, through {}", version.agent),
    }
}

fn moment(ms: u64, now: DateTime<FixedOffset>) -> String {
    let at = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    at.map_or_else(|| "-".to_owned(), |at| time::moment(at.with_timezone(now.offset()), now))
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes % (1 << 20)) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::samples::sample;
    use super::*;
    use crate::state::{LockSummary, SetAsideSummary};

    const NO_COLOUR: Paint = Paint { colour: false };

    fn version(version: u64, epoch: Option<u64>) -> VersionSummary {
        VersionSummary {
            version,
            lineage: "3f0c8b1e-2d7a-4c55-9e53-0b7f7d6e4a11".to_owned(),
            serial: version + 3,
            size: 1 << (version * 5),
            md5: String::new(),
            blake3: String::new(),
            written_ms: 1_795_402_800_000,
            run: None,
            epoch,
            agent: "cts-01".to_owned(),
        }
    }

    fn state() -> Summary {
        let (path, command) = ("/w/errored-07.tfstate".to_owned(), String::new());
        let aside = SetAsideSummary {
            lineage: "l".to_owned(),
            serial: 9,
            size: 3,
            run: "07".to_owned(),
            epoch: 6,
            agent: "cts-02".to_owned(),
            path,
            found_ms: 0,
            text: "task fw: a run of cts-02 could not save its state".to_owned(),
            command,
        };
        let lock =
            LockSummary { id: "i".to_owned(), run: "07".to_owned(), epoch: 7, agent: "cts-01".to_owned(), since_ms: 0 };
        Summary {
            task: "fw".to_owned(),
            current: Some(5),
            versions: vec![version(5, None), version(2, Some(6))],
            lock: Some(lock),
            errored: vec![aside],
        }
    }

    #[test]
    fn the_list_is_as_it_is() {
        let (_, now) = sample();
        let empty = Summary { task: "db".to_owned(), current: None, versions: vec![], lock: None, errored: vec![] };
        let expected = "\
TASK  SERIAL  LINEAGE                               SIZE      WRITTEN   VERSIONS  LOCK
fw    8       3f0c8b1e-2d7a-4c55-9e53-0b7f7d6e4a11  32.0 MiB  03:00:00  2         cts-01 (epoch 7)
    task fw: a run of cts-02 could not save its state
db    -       -                                     -         -         0         -
";
        assert_eq!(render_list(&[state(), empty], now, NO_COLOUR), expected);
        assert_eq!(render_list(&[], now, NO_COLOUR), "the cluster keeps no state yet\n");
    }

    #[test]
    fn the_history_says_who_wrote_what() {
        let (_, now) = sample();
        let text = render_history(&state(), now, NO_COLOUR);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("5 (current)  8"), "{text}");
        assert!(lines[1].contains("a person, through"), "{text}");
        assert!(lines[2].starts_with("2            5") && lines[2].contains("1.0 KiB"), "{text}");
        assert_eq!(lines[3], "task fw: a run of cts-02 could not save its state");
        assert!(lines[..3].iter().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10_485_760, "10.0 MiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
