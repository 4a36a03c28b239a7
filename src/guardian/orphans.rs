//! What the agent does itself when its guardian was killed: finds what the runs left, and ends it.
//!
//! The agent is a child subreaper too, so the processes of a dead guardian become its descendants. Those it started itself
//! are told apart by their session: the guardian had one of its own, nothing ever returns to a session it left, so a child of the
//! agent in a foreign session came from a guardian (or is one, which shows in its command line).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, getpid, waitpid};

use super::cgroup::Cgroup;
use super::clock;
use super::message::RunKey;
use super::signals;
use super::tree::{self, Members, Proc, Table, Tree};

/// Killing takes one round, or a few when something forks without end. Longer: it hangs in the kernel.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// What the agent knows of a run that its guardian started, or was asked to start.
#[derive(Debug, Clone)]
pub(super) struct Known {
    main: Option<Proc>,
    cgroup: Option<String>,
    /// Between SIGINT and SIGKILL: a successor counts on it, task by task.
    grace: Duration,
}

impl Known {
    /// Of a run just started.
    pub(super) fn new(pid: u32, cgroup: Option<String>, grace: Duration) -> Self {
        Self { main: i32::try_from(pid).ok().and_then(tree::proc), cgroup, grace }
    }

    /// Of a run that may have been started.
    pub(super) fn perhaps(grace: Duration) -> Self {
        Self { main: None, cgroup: None, grace }
    }
}

/// Ends everything of these runs, each after its own grace. Returns how many processes were killed.
pub(super) fn sweep(runs: &BTreeMap<RunKey, Known>) -> io::Result<usize> {
    let root = getpid().as_raw_nonzero().get();
    let mut tree = Tree::new(root, false);
    for (run, known) in runs {
        let gone = Proc { pid: 0, parent: 0, group: 0, session: 0, start: 0, zombie: true };
        tree.begin(run, known.main.unwrap_or(gone));
    }
    let longest = runs.values().map(|known| known.grace).max().unwrap_or_default();
    let begun = clock::now();
    let mut killed = BTreeSet::new();
    let mut empty_looks = 0;
    let mut interrupted = false;
    while empty_looks < 2 {
        let (table, members) = look(root, runs, &mut tree)?;
        let left: usize = members.values().map(Vec::len).sum();
        empty_looks = if left == 0 { empty_looks + 1 } else { 0 };
        let elapsed = clock::now().since(begun);
        if !interrupted {
            let left: Vec<Proc> = members.values().flatten().copied().collect();
            interrupt(runs, &left);
            interrupted = true;
        }
        for (run, known) in runs.iter().filter(|(_, known)| elapsed >= known.grace) {
            let left = members.get(run).map(Vec::as_slice).unwrap_or_default();
            kill(known, &table, root, left);
            killed.extend(left.iter().map(|process| (process.pid, process.start)));
        }
        if elapsed >= longest + LIMIT {
            return Err(io::Error::other(format!("{left} processes of runs cannot be killed")));
        }
        reap(&table, &killed, runs);
        thread::sleep(PAUSE);
    }
    for cgroup in runs.values().filter_map(cgroup) {
        cgroup.remove();
    }
    Ok(killed.len())
}

fn look(root: i32, runs: &BTreeMap<RunKey, Known>, tree: &mut Tree) -> io::Result<(Table, Members)> {
    let table = tree::table()?;
    let own_session = table.get(&root).map(|own| own.session);
    let mut claimed = BTreeMap::new();
    for (run, known) in runs {
        let cgroup = cgroup(known);
        claimed.extend(cgroup.iter().flat_map(Cgroup::pids).map(|pid| (pid, run.clone())));
    }
    let identify = |pid: i32| {
        let by_environment = tree::run_id(pid).and_then(|id| runs.keys().find(|run| run.id() == id));
        // Only a child of the agent itself: what is deeper has a parent that tells.
        let foreign = |process: &Proc| process.parent == root && Some(process.session) != own_session;
        let foreign = table.get(&pid).is_some_and(foreign);
        by_environment.or_else(|| runs.keys().next().filter(|_| foreign && !is_guardian(pid))).cloned()
    };
    let members = tree.observe(&table, &claimed, identify);
    Ok((table, members))
}

fn is_guardian(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1) == Some(b"guardian")
}

fn interrupt(runs: &BTreeMap<RunKey, Known>, left: &[Proc]) {
    for main in runs.values().filter_map(|known| known.main) {
        if left.iter().any(|process| process.group == main.pid) {
            signals::send_group(main.pid, Signal::INT);
        }
    }
}

fn kill(known: &Known, table: &Table, root: i32, left: &[Proc]) {
    if let Some(cgroup) = cgroup(known) {
        cgroup.kill();
    }
    let own_group = table.get(&root).map(|own| own.group);
    let groups: BTreeSet<i32> = left.iter().map(|process| process.group).collect();
    for group in groups.into_iter().filter(|group| Some(*group) != own_group) {
        signals::send_group(group, Signal::KILL);
    }
    for process in left {
        signals::send(process, Signal::KILL);
    }
}

/// Waits for those that became the agent's children, and for no other child of it.
fn reap(table: &Table, killed: &BTreeSet<(i32, u64)>, runs: &BTreeMap<RunKey, Known>) {
    let mains = runs.values().filter_map(|known| known.main).map(|main| (main.pid, main.start));
    for (pid, start) in killed.iter().copied().chain(mains) {
        let same = table.get(&pid).is_none_or(|process| process.start == start);
        if let Some(pid) = Pid::from_raw(pid).filter(|_| same) {
            // Not a child, or not ended yet: another round comes.
            waitpid(Some(pid), WaitOptions::NOHANG).ok();
        }
    }
}

fn cgroup(known: &Known) -> Option<Cgroup> {
    known.cgroup.as_deref().map(Cgroup::at)
}
