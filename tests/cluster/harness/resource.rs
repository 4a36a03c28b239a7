//! The outside resource: a file to which runs append, and what may be read from it.
//!
//! A line is `TIME TASK EPOCH RUN AGENT WHAT`; WHAT is `start`, `beat` (every 25 ms), `orphan` (a beat of a grandchild that
//! left the session and ignores SIGINT and SIGTERM), `int` (the run was interrupted) or `end` (it came to its own end).
//! Each line is one `write` in append mode, so their order is the order in which they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The program that the tasks run: `work RECORD AGENT MILLISECONDS [stubborn]`.
const WORK: &str = r#"#!/usr/bin/env bash
LC_ALL=C
record=$1 agent=$2 length=$3 kind=${4:-}
line() { printf '%s %s %s %s %s %s\n' "$EPOCHREALTIME" "$QUORATE_TASK" "$QUORATE_EPOCH" "$QUORATE_RUN_ID" "$agent" "$1" >>"$record"; }
exec {nap}<> <(:)
word=beat
if [ "$kind" = orphan ]; then trap '' INT TERM HUP; word=orphan; else trap 'line int; exit 130' INT; line start; fi
if [ "$kind" = stubborn ]; then setsid "$0" "$record" "$agent" "$length" orphan & fi
until=$(( ${EPOCHREALTIME/./} + length * 1000 ))
while (( ${EPOCHREALTIME/./} < until )); do read -r -t 0.025 -u "$nap"; line "$word"; done
[ "$kind" = orphan ] || line end
"#;

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: f64,
    pub(crate) task: String,
    pub(crate) epoch: u64,
    pub(crate) run: String,
    pub(crate) agent: String,
    pub(crate) what: String,
}

/// One run, as the resource saw it.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) task: String,
    pub(crate) epoch: u64,
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) ended: bool,
    pub(crate) interrupted: bool,
    pub(crate) orphaned: bool,
}

/// The file and the program that writes to it.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) record: PathBuf,
    pub(crate) work: PathBuf,
}

impl Resource {
    pub(crate) fn new(dir: &Path) -> Self {
        let (record, work) = (dir.join("record"), dir.join("work"));
        std::fs::write(&work, WORK).expect("write the program");
        std::fs::set_permissions(&work, std::fs::Permissions::from_mode(0o755)).expect("make it a program");
        std::fs::write(&record, "").expect("make the record");
        Self { record, work }
    }

    /// All whole lines so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.record).expect("read the record");
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse).collect()
    }

    /// All runs so far, in order of their first line.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for line in self.lines() {
            let at = runs.iter().rposition(|run| run.id == line.run && run.task == line.task);
            let at = at.unwrap_or_else(|| {
                runs.push(Run {
                    task: line.task.clone(),
                    epoch: line.epoch,
                    id: line.run.clone(),
                    agent: line.agent.clone(),
                    first: line.at,
                    last: line.at,
                    ended: false,
                    interrupted: false,
                    orphaned: false,
                });
                runs.len() - 1
            });
            let run = &mut runs[at];
            run.last = line.at;
            run.ended |= line.what == "end";
            run.interrupted |= line.what == "int";
            run.orphaned |= line.what == "orphan";
        }
        runs
    }

    /// The runs of one task.
    pub(crate) fn runs_of(&self, task: &str) -> Vec<Run> {
        self.runs().into_iter().filter(|run| run.task == task).collect()
    }

    /// What must hold at any time: of one task, a run that another has followed is never heard of again, and epochs
    /// never fall. Panics with the lines around the first violation.
    pub(crate) fn check(&self) {
        if let Some(text) = violation(&self.lines()) {
            panic!("{text}");
        }
    }
}

/// The first violation in a record, if any.
pub(crate) fn violation(lines: &[Line]) -> Option<String> {
    let mut last: BTreeMap<&str, &Line> = BTreeMap::new();
    let mut over: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (n, line) in lines.iter().enumerate() {
        let around = || format!("{:#?}", &lines[n.saturating_sub(6)..(n + 3).min(lines.len())]);
        if over.contains(&(&line.task, &line.run)) {
            return Some(format!("two runs of {} at once: {}", line.task, around()));
        }
        if let Some(before) = last.insert(&line.task, line) {
            if before.run != line.run {
                over.insert((&before.task, &before.run));
            }
            if before.epoch > line.epoch {
                return Some(format!("the epoch of {} fell: {}", line.task, around()));
            }
        }
    }
    None
}

/// Seconds of the clock that the record uses.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs_f64()
}

/// Between two times of the record.
pub(crate) fn between(from: f64, to: f64) -> Duration {
    Duration::from_secs_f64((to - from).max(0.0))
}

fn parse(text: &str) -> Line {
    let words: Vec<&str> = text.split(' ').collect();
    let [at, task, epoch, run, agent, what] = words[..] else { panic!("not a line of the record: {text:?}") };
    let owned = str::to_owned;
    let (at, epoch) = (at.parse().expect("a time"), epoch.parse().expect("an epoch"));
    Line { at, task: owned(task), epoch, run: owned(run), agent: owned(agent), what: owned(what) }
}

#[test]
fn the_judge_sees_overlaps_and_falling_epochs() {
    let judge = |lines: &[&str]| violation(&lines.iter().map(|line| parse(line)).collect::<Vec<_>>());
    let fine = [
        "1.0 t 1 r1 a1 start",
        "1.0 u 2 r9 a2 start",
        "1.1 t 1 r1 a1 beat",
        "1.2 t 2 r2 a2 start",
        "1.3 t 2 r2 a2 end",
    ];
    assert_eq!(judge(&fine), None);
    let overlap = ["1.0 t 1 r1 a1 start", "1.1 t 2 r2 a2 start", "1.2 t 1 r1 a1 orphan"];
    assert!(judge(&overlap).is_some_and(|text| text.contains("two runs of t at once")));
    let falls = ["1.0 t 2 r1 a1 start", "1.1 t 2 r1 a1 end", "1.2 t 1 r2 a2 start"];
    assert!(judge(&falls).is_some_and(|text| text.contains("the epoch of t fell")));
}
