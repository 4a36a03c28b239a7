//! Random histories: the invariants of the room hold, whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["hand", "watch", "buffered", "ticks"];

#[derive(Debug, Clone)]
enum Step {
    Lead { unfinished: Option<usize> },
    Lose,
    Members(u8),
    Request(usize),
    Enable(usize, bool),
    Finish(usize, u8),
    Pass(f64),
    StopStarting,
    Resume,
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..NAMES.len();
    prop_oneof![
        1 => proptest::option::of(task.clone()).prop_map(|unfinished| Step::Lead { unfinished }),
        1 => Just(Step::Lose),
        4 => (0..4_u8).prop_map(Step::Members),
        4 => task.clone().prop_map(Step::Request),
        2 => (task, any::<bool>()).prop_map(|(task, enabled)| Step::Enable(task, enabled)),
        12 => (any::<usize>(), 0..4_u8).prop_map(|(which, how)| Step::Finish(which, how)),
        8 => (0.0..8.0).prop_map(Step::Pass),
        1 => Just(Step::StopStarting),
        1 => Just(Step::Resume),
        1 => Just(Step::Reload),
    ]
}

fn specs() -> Vec<TaskSpec> {
    vec![
        command("hand"),
        on_members("watch", None),
        on_members("buffered", Some((2, 6))),
        on_schedule("ticks", "*/5 * * * * * *"),
    ]
}

/// What an observer knows from the outside.
struct Model {
    world: World,
    epoch: u64,
    leads: bool,
    stopping: bool,
    running: BTreeMap<RunId, Start>,
    /// Tasks with a trigger that no later start has served.
    owed: BTreeSet<String>,
    enabled: BTreeSet<String>,
}

impl Model {
    fn new(max_parallel: usize) -> Self {
        let mut world = World::with(specs(), Settings { max_parallel, ..Settings::default() });
        world.members(&["0"]);
        Self {
            world,
            epoch: 0,
            leads: false,
            stopping: false,
            running: BTreeMap::new(),
            owed: BTreeSet::new(),
            enabled: NAMES.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Lead { unfinished } => {
                self.epoch += 1;
                (self.leads, self.stopping) = (true, false);
                self.owed = self.enabled.clone();
                let until = self.world.mono + Duration::from_secs(5);
                let hold = |task: usize| Unfinished { task: NAMES[task].to_owned(), until, text: String::new() };
                self.world.lead_after(self.epoch, unfinished.map(hold).into_iter().collect());
            }
            Step::Lose => {
                (self.leads, self.stopping) = (false, false);
                self.owed.clear();
                self.world.lose();
            }
            Step::Members(n) => {
                let id = n.to_string();
                let before = self.world.tasks.members.clone();
                self.world.tasks.handle_members(&[member(&id)], self.world.now(), self.world.wall);
                if self.leads && before != self.world.tasks.members {
                    let watchers = ["watch", "buffered"].map(str::to_owned);
                    self.owed.extend(watchers.into_iter().filter(|task| self.enabled.contains(task)));
                }
                self.world.drain();
            }
            Step::Request(task) => {
                if self.world.tasks.trigger(NAMES[task], self.world.now(), self.world.wall).is_ok() {
                    self.owed.insert(NAMES[task].to_owned());
                }
                self.world.drain();
            }
            Step::Enable(task, enabled) => {
                if self.world.enable(NAMES[task], enabled).is_ok() {
                    let name = NAMES[task].to_owned();
                    if enabled {
                        self.enabled.insert(name);
                    } else {
                        self.enabled.remove(&name);
                        self.owed.remove(&name);
                    }
                }
            }
            Step::Finish(which, how) => {
                if let Some(run) = self.running.keys().nth(which % self.running.len().max(1)).copied() {
                    self.finish(run, how);
                }
            }
            Step::Pass(seconds) => self.world.pass(seconds),
            Step::StopStarting => {
                self.stopping = true;
                self.world.tasks.stop_starting();
            }
            Step::Resume => {
                self.stopping = false;
                self.world.tasks.resume_starting(self.world.now(), self.world.wall);
                self.world.drain();
            }
            Step::Reload => {
                self.world.tasks.replace(specs());
                self.world.drain();
            }
        }
        self.check();
    }

    fn finish(&mut self, run: RunId, how: u8) {
        let start = self.running.remove(&run).unwrap();
        let outcome = match how {
            0 => Outcome::Failure("no".to_owned()),
            1 => {
                if self.leads && self.enabled.contains(&start.task) {
                    self.owed.insert(start.task.clone());
                }
                Outcome::Interrupted("no".to_owned())
            }
            _ => Outcome::Success,
        };
        self.world.finish(&start, outcome);
    }

    fn check(&mut self) {
        for start in std::mem::take(&mut self.world.starts) {
            assert!(self.leads, "a start without a lease: {start:?}");
            assert!(!self.stopping, "a start during a hand-over: {start:?}");
            assert_eq!(start.epoch, Epoch(self.epoch), "a start under an old lease");
            assert!(self.enabled.contains(&start.task), "a start of a disabled task: {start:?}");
            assert_eq!(start.inputs.members.is_some(), matches!(start.spec.condition, Condition::Members { .. }));
            self.owed.remove(&start.task);
            let twice = self.running.values().find(|running| running.task == start.task);
            assert!(twice.is_none(), "{start:?} starts while {twice:?} is under way");
            self.running.insert(start.run, start);
        }
        assert_eq!(self.world.tasks.running(), self.running.len());
        assert!(self.running.len() <= self.world.tasks.settings.max_parallel);
        let looked = self.world.tasks.look();
        for report in &looked {
            assert!(report.events.len() <= report::EVENTS_SHOWN);
        }
        let shown = self.world.tasks.reports(|_| None);
        assert!(shown.iter().map(|report| &**report).eq(&looked), "a report that is kept grew old");
    }

    /// From now on all goes well: every debt is paid.
    fn settle(&mut self) {
        if self.stopping {
            self.apply(&Step::Resume);
        }
        for _ in 0..20 {
            while let Some(run) = self.running.keys().next().copied() {
                self.finish(run, 2);
                self.check();
            }
            self.apply(&Step::Pass(1.0));
        }
        assert_eq!(self.owed, BTreeSet::new(), "triggers that no run followed");
    }
}

proptest! {
    #[test]
    fn any_history_keeps_the_invariants(steps in proptest::collection::vec(step(), 0..120), max_parallel in 1..5_usize) {
        let mut model = Model::new(max_parallel);
        for step in &steps {
            model.apply(step);
        }
        model.settle();
    }

    #[test]
    fn the_same_seed_and_history_give_the_same_outputs(steps in proptest::collection::vec(step(), 0..60)) {
        let outputs = || {
            let mut model = Model::new(2);
            let mut seen = Vec::new();
            for step in &steps {
                model.apply(step);
                seen.push(format!("{:?} {:?}", model.running, model.world.tasks.look()));
            }
            (seen, model.world.logs)
        };
        prop_assert_eq!(outputs(), outputs());
    }
}

#[test]
fn another_seed_gives_other_run_ids() {
    let first_run = |seed| {
        let mut tasks = Tasks::new(vec![command("a")], Settings::default(), seed);
        let wall = DateTime::UNIX_EPOCH.with_timezone(&Local);
        tasks.handle_lease(Epoch(1), Vec::new(), Now::default(), wall);
        std::iter::from_fn(|| tasks.poll_output()).find_map(|output| match output {
            Output::Start(start) => Some(start.run),
            Output::Changed | Output::Recorded(_) | Output::Served { .. } | Output::Log(_) => None,
        })
    };
    assert!(first_run([1; 32]).is_some());
    assert_ne!(first_run([1; 32]), first_run([2; 32]));
}
