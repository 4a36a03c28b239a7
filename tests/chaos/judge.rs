//! The resource outside: a small server that only appends, and judges what it is asked to append.
//!
//! A line is `TASK EPOCH RUN AGENT WHAT`. Of each task the server remembers the newest run and the highest epoch. A run that
//! another one has followed and that is heard of again, or an epoch that falls, is an overlap. Tasks whose name begins with
//! `fenced` have a fence: there the late line is refused instead, which is what a resource that compares epochs does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) lines: u64,
    /// Runs that were heard of, by task.
    pub(crate) runs: BTreeMap<String, BTreeSet<String>>,
    /// Runs that came to their own end, by task.
    pub(crate) ended: BTreeMap<String, u64>,
    pub(crate) overlaps: Vec<String>,
    pub(crate) refused: u64,
    newest: BTreeMap<String, (u64, String)>,
    recent: Vec<String>,
}

impl Record {
    /// Takes one line. `false`: refused by the fence.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [task, epoch, run, agent, what] = words[..] else {
            self.overlaps.push(format!("not a line: {text:?}"));
            return false;
        };
        let Ok(epoch) = epoch.parse::<u64>() else {
            self.overlaps.push(format!("not an epoch: {text:?}"));
            return false;
        };
        self.lines += 1;
        self.recent.push(format!("{task} {epoch} {run} {agent} {what}"));
        if self.recent.len() > 200 {
            self.recent.remove(0);
        }
        let known = self.runs.entry(task.to_owned()).or_default();
        let (highest, newest) = self.newest.entry(task.to_owned()).or_insert((epoch, run.to_owned()));
        let late = epoch < *highest || (run != newest && known.contains(run));
        if late && task.starts_with("fenced") {
            self.refused += 1;
            return false;
        }
        if late {
            let recent: Vec<&String> = self.recent.iter().filter(|line| line.starts_with(task)).collect();
            let from = recent.len().saturating_sub(12);
            self.overlaps
                .push(format!("{text:?} after epoch {highest}, run {newest}; lines of it: {:#?}", &recent[from..]));
            return true;
        }
        known.insert(run.to_owned());
        (*highest, *newest) = (epoch, run.to_owned());
        if what == "end" {
            *self.ended.entry(task.to_owned()).or_default() += 1;
        }
        true
    }

    pub(crate) fn all_runs(&self) -> usize {
        self.runs.values().map(BTreeSet::len).sum()
    }
}

/// The running server.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    pub(crate) socket: PathBuf,
    record: Arc<Mutex<Record>>,
}

impl Judge {
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("judge");
        let listener = UnixListener::bind(&socket).expect("bind the judge's socket");
        let record = Arc::new(Mutex::new(Record::default()));
        let shared = record.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = shared.clone();
                std::thread::spawn(move || serve(stream, &record));
            }
        });
        Self { socket, record }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("the judge has not panicked")
    }
}

fn serve(stream: UnixStream, record: &Mutex<Record>) {
    let Ok(mut answers) = stream.try_clone() else { return };
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let taken = record.lock().expect("the judge has not panicked").take(&line);
        if answers.write_all(if taken { b"ok\n" } else { b"stale\n" }).is_err() {
            return;
        }
    }
}

/// The judge must bite: broken histories are seen, good ones are not.
pub(crate) fn prove() {
    let judge = |lines: &[&str]| {
        let mut record = Record::default();
        for line in lines {
            record.take(line);
        }
        (record.overlaps.len(), record.refused)
    };
    assert_eq!(judge(&["t 1 r1 a start", "t 1 r1 a end", "t 2 r2 b start", "u 1 r9 a start"]), (0, 0));
    assert_eq!(judge(&["t 1 r1 a start", "t 2 r2 b start", "t 1 r1 a beat"]), (1, 0), "an overlap");
    assert_eq!(judge(&["t 2 r1 a start", "t 1 r2 b start"]), (1, 0), "a falling epoch");
    assert_eq!(judge(&["t 1 r1 a start", "t 1 r2 a start", "t 1 r1 a end"]), (1, 0), "two of one epoch");
    assert_eq!(judge(&["fenced 2 r1 a start", "fenced 1 r2 b start"]), (0, 1), "the fence refuses");
    assert_eq!(judge(&["nonsense"]).0, 1);
}
