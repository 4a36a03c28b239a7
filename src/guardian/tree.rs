//! Which processes belong to which run: a reading of `/proc`, and the memory of earlier readings.
//!
//! The reader of the tree is a child subreaper: a process whose parent dies becomes *its* child. So every descendant of
//! the root belongs to some run, and only the children of the root need to be told apart: the main process of a run,
//! or an orphan. An orphan is recognised by (1) its cgroup, (2) having been seen before, (3) a session or process group
//! seen before, (4) the run id in its environment. Descendants are of the run of their parent.
//!
//! A reading is not one moment: a process that forks while it is read may be missed. So an empty reading counts only when it
//! is repeated, or when the kernel says that the root has no children at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use super::environment::RUN_ID;
use super::message::RunKey;

/// One process as `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proc {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// In clock ticks since boot: with the pid, a name that is not reused.
    pub(super) start: u64,
    /// Ended, not yet waited for, and without any thread that still runs.
    pub(super) zombie: bool,
}

/// Every process, by pid.
pub(super) type Table = BTreeMap<i32, Proc>;

/// Reads all of `/proc`.
pub(super) fn table() -> io::Result<Table> {
    let mut table = Table::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if let Some(process) = proc(pid) {
            table.insert(pid, process);
        }
    }
    Ok(table)
}

/// Reads one process; `None` when there is none.
pub(super) fn proc(pid: i32) -> Option<Proc> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &[u8]) -> Option<Proc> {
    // The name is in parentheses and may hold anything, parentheses and spaces too: the last one ends it.
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(stat.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
    let threads = number(17)?;
    Some(Proc {
        pid,
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        start: fields.get(19)?.parse().ok()?,
        // A main thread that ended shows as a zombie while other threads run on.
        zombie: matches!(fields.first()?, &"Z" | &"X" | &"x") && threads <= 1,
    })
}

/// The run id in the environment that a process was started with.
pub(super) fn run_id(pid: i32) -> Option<uuid::Uuid> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment.split(|byte| *byte == 0).find_map(|pair| {
        let (name, value) = pair.split_at_checked(RUN_ID.len())?;
        (name == RUN_ID.as_bytes()).then(|| value.strip_prefix(b"=")).flatten()
    })?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What is remembered of one run.
#[derive(Debug, Default)]
struct Family {
    members: BTreeMap<i32, u64>,
    groups: BTreeSet<i32>,
    sessions: BTreeSet<i32>,
}

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Run(RunKey),
    /// Some run's, but nothing tells which.
    Unknown,
}

/// The processes of each run, living ones only.
pub(super) type Members = BTreeMap<RunKey, Vec<Proc>>;

/// Remembers, and attributes.
#[derive(Debug)]
pub(super) struct Tree {
    root: i32,
    families: BTreeMap<RunKey, Family>,
    /// Whether a descendant that nothing attributes counts as part of every run.
    claim_unknown: bool,
}

impl Tree {
    /// Over the descendants of `root`. With `claim_unknown` all of them are runs' (the guardian has no other children).
    pub(super) fn new(root: i32, claim_unknown: bool) -> Self {
        Self { root, families: BTreeMap::new(), claim_unknown }
    }

    /// A run begins with this process, the leader of its process group.
    pub(super) fn begin(&mut self, run: &RunKey, main: Proc) {
        let mut family = Family::default();
        family.members.insert(main.pid, main.start);
        family.groups.insert(main.pid);
        self.families.insert(run.clone(), family);
    }

    /// A run is over.
    pub(super) fn end(&mut self, run: &RunKey) {
        self.families.remove(run);
    }

    /// Attributes everything in `table`. `claimed`: what is known to be whose (from cgroups), whatever its parents.
    /// `identify` is asked for what nothing else tells.
    pub(super) fn observe(
        &mut self,
        table: &Table,
        claimed: &BTreeMap<i32, RunKey>,
        mut identify: impl FnMut(i32) -> Option<RunKey>,
    ) -> Members {
        let mut children: BTreeMap<i32, Vec<&Proc>> = BTreeMap::new();
        for process in table.values() {
            children.entry(process.parent).or_default().push(process);
        }
        let own = table.get(&self.root).copied();
        let mut seen: BTreeMap<i32, Owner> = BTreeMap::new();
        let mut open: Vec<(&Proc, Option<Owner>)> = Vec::new();
        open.extend(children.get(&self.root).into_iter().flatten().map(|child| (*child, None)));
        open.extend(claimed.keys().filter_map(|pid| table.get(pid)).map(|process| (process, None)));
        while let Some((process, of_parent)) = open.pop() {
            if process.pid == self.root || seen.contains_key(&process.pid) {
                continue;
            }
            let certain = claimed.get(&process.pid).cloned().or_else(|| self.remembered(process, own));
            let owner = match (certain, of_parent) {
                (Some(run), _) | (None, Some(Owner::Run(run))) => Owner::Run(run),
                (None, _) => identify(process.pid)
                    .filter(|run| self.families.contains_key(run))
                    .map_or(Owner::Unknown, Owner::Run),
            };
            let below = children.get(&process.pid).into_iter().flatten();
            open.extend(below.map(|child| (*child, Some(owner.clone()))));
            seen.insert(process.pid, owner);
        }
        self.remember(table, &seen)
    }

    fn remembered(&self, process: &Proc, own: Option<Proc>) -> Option<RunKey> {
        let foreign = |number: i32, ours: fn(Proc) -> i32| own.is_none_or(|own| ours(own) != number);
        let seen = |family: &Family| family.members.get(&process.pid) == Some(&process.start);
        let group = |family: &Family| {
            foreign(process.group, |own| own.group) && family.groups.contains(&process.group)
                || foreign(process.session, |own| own.session) && family.sessions.contains(&process.session)
        };
        let find = |test: &dyn Fn(&Family) -> bool| {
            self.families.iter().find(|(_, family)| test(family)).map(|(run, _)| run.clone())
        };
        find(&seen).or_else(|| find(&group))
    }

    fn remember(&mut self, table: &Table, seen: &BTreeMap<i32, Owner>) -> Members {
        let own_session = table.get(&self.root).map(|own| own.session);
        let mut members: Members = self.families.keys().map(|run| (run.clone(), Vec::new())).collect();
        // Only what lives is remembered, so that a number reused by a stranger is not taken for an old friend.
        self.families.values_mut().for_each(|family| *family = Family::default());
        for (pid, owner) in seen {
            let Some(process) = table.get(pid).copied() else { continue };
            match owner {
                Owner::Run(run) => {
                    let Some(family) = self.families.get_mut(run) else { continue };
                    family.members.insert(*pid, process.start);
                    family.groups.insert(process.group);
                    if Some(process.session) != own_session {
                        family.sessions.insert(process.session);
                    }
                    if !process.zombie {
                        members.entry(run.clone()).or_default().push(process);
                    }
                }
                Owner::Unknown if self.claim_unknown && !process.zombie => {
                    for of_run in members.values_mut() {
                        of_run.push(process);
                    }
                }
                Owner::Unknown => {}
            }
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ROOT: i32 = 10;

    fn process(pid: i32, parent: i32, group: i32, session: i32) -> Proc {
        Proc { pid, parent, group, session, start: u64::from(pid.unsigned_abs()), zombie: false }
    }

    fn table_of(processes: &[Proc]) -> Table {
        let root = process(ROOT, 1, ROOT, ROOT);
        processes.iter().chain([&root]).map(|process| (process.pid, *process)).collect()
    }

    fn run(number: u128) -> RunKey {
        RunKey::new("t", Uuid::from_u128(number))
    }

    /// Two runs: 100 and 200.
    fn two() -> Tree {
        let mut tree = Tree::new(ROOT, true);
        tree.begin(&run(1), process(100, ROOT, 100, ROOT));
        tree.begin(&run(2), process(200, ROOT, 200, ROOT));
        tree
    }

    fn look(tree: &mut Tree, processes: &[Proc]) -> (Vec<i32>, Vec<i32>) {
        let members = tree.observe(&table_of(processes), &BTreeMap::new(), |_| None);
        let pids = |number| members[&run(number)].iter().map(|process| process.pid).collect();
        (pids(1), pids(2))
    }

    #[test]
    fn descendants_are_of_the_run_of_their_parent_and_strangers_of_none() {
        let main = [process(100, ROOT, 100, ROOT), process(200, ROOT, 200, ROOT)];
        let below = [process(101, 100, 100, ROOT), process(102, 101, 102, 102), process(300, 1, 300, 300)];
        assert_eq!(look(&mut two(), &[main.as_slice(), &below].concat()), (vec![100, 101, 102], vec![200]));
    }

    #[test]
    fn an_orphan_that_was_seen_is_remembered_also_in_a_session_of_its_own() {
        let mut tree = two();
        let child = process(102, 100, 102, 102);
        look(&mut tree, &[process(100, ROOT, 100, ROOT), child, process(200, ROOT, 200, ROOT)]);
        let orphan = Proc { parent: ROOT, ..child };
        let its_child = process(103, ROOT, 103, 102);
        assert_eq!(look(&mut tree, &[orphan, its_child]), (vec![102, 103], vec![]));
        assert_eq!(look(&mut tree, &[its_child]), (vec![103], vec![]), "the session is still known");
    }

    #[test]
    fn an_orphan_never_seen_is_known_by_its_environment() {
        let orphan = process(150, ROOT, 150, 150);
        let members = two().observe(&table_of(&[orphan]), &BTreeMap::new(), |pid| (pid == 150).then(|| run(2)));
        assert_eq!(members[&run(2)], [orphan]);
        assert_eq!(members[&run(1)], []);
    }

    #[test]
    fn an_orphan_that_nothing_tells_apart_counts_as_part_of_every_run() {
        assert_eq!(look(&mut two(), &[process(150, ROOT, 150, 150)]), (vec![150], vec![150]));
    }

    #[test]
    fn a_reused_pid_is_not_an_old_friend() {
        let mut tree = two();
        look(&mut tree, &[process(100, ROOT, 100, ROOT), process(102, 100, 102, 102), process(200, ROOT, 200, ROOT)]);
        look(&mut tree, &[process(200, ROOT, 200, ROOT)]);
        let reused = Proc { start: 9_999, ..process(102, 200, 102, 102) };
        assert_eq!(look(&mut tree, &[process(200, ROOT, 200, ROOT), reused]), (vec![], vec![102, 200]));
    }

    #[test]
    fn a_zombie_is_not_alive_but_a_cgroup_claims_whatever_its_parent() {
        let zombie = Proc { zombie: true, ..process(101, 100, 100, ROOT) };
        assert_eq!(look(&mut two(), &[process(100, ROOT, 100, ROOT), zombie]), (vec![100], vec![]));
        let stranger = process(400, 1, 400, 400);
        let members = two().observe(&table_of(&[stranger]), &BTreeMap::from([(400, run(1))]), |_| None);
        assert_eq!(members[&run(1)], [stranger]);
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse_the_fields() {
        let stat = b"42 (a) b (c) S 7 42 41 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 1000 10";
        let expected = Proc { pid: 42, parent: 7, group: 42, session: 41, start: 777, zombie: false };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_stat(b"42 (a) S 7"), None);
        let own = proc(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.parent > 0 && own.start > 0 && !own.zombie, "{own:?}");
    }
}
