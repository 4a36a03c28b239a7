//! A cluster in a directory of its own, cleared away whatever happens.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quorate::http::reply::Cluster;
use rustix::process::Signal;

use super::agent::{self, Agent, tail};
use super::config::{Mode, Place, Shape, Task};
use super::http::Door;
use super::net::Net;
use super::ports::free_port;
use super::processes;
use super::resource::Resource;
use super::wait::{LIMIT, eventually, within};

/// Lines of each log that a failure prints.
const TAIL: usize = 60;

/// Agents `a1`, `a2`, .. as number 0, 1, ..
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) shape: Shape,
    pub(crate) resource: Resource,
    pub(crate) net: Option<Net>,
    /// What every file says in `join`.
    pub(crate) join: Vec<String>,
    agents: Vec<Agent>,
    dir: tempfile::TempDir,
}

impl Index<usize> for Site {
    type Output = Agent;
    fn index(&self, number: usize) -> &Agent {
        &self.agents[number]
    }
}

impl IndexMut<usize> for Site {
    fn index_mut(&mut self, number: usize) -> &mut Agent {
        &mut self.agents[number]
    }
}

impl Site {
    /// `founders` agents on loopback that know each other's addresses; none is started, no file is written yet.
    pub(crate) fn new(founders: usize, profile: &'static str, settle: &'static str, tasks: Vec<Task>) -> Self {
        Self::build(founders, profile, settle, tasks, None)
    }

    /// Each agent on a host of its own, with a network between them that can be cut.
    pub(crate) fn on_hosts(founders: usize, profile: &'static str, settle: &'static str, tasks: Vec<Task>) -> Self {
        Self::build(founders, profile, settle, tasks, Some(Net::new(founders)))
    }

    fn build(founders: usize, profile: &'static str, settle: &'static str, tasks: Vec<Task>, net: Option<Net>) -> Self {
        let dir = tempfile::Builder::new().prefix("quorate-cluster-").tempdir().expect("make a directory");
        let name = dir.path().file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let resource = Resource::new(dir.path());
        let key = Some(new_key());
        let (expect, mode, more) = (founders, Mode::Quorum, String::new());
        let in_cluster = String::new();
        let shape = Shape { name, key, profile, settle, expect, mode, tasks, more, in_cluster };
        let mut site = Self { shape, resource, net, join: Vec::new(), agents: Vec::new(), dir };
        for _ in 0..founders {
            site.add();
        }
        site.join = site.agents.iter().map(|agent| agent.gossip.to_string()).collect();
        site
    }

    /// One more agent, not started. Its number.
    pub(crate) fn add(&mut self) -> usize {
        let number = self.agents.len();
        self.add_as(&format!("a{}", number + 1), &format!("a{}", number + 1))
    }

    /// One more agent with this id in this directory.
    pub(crate) fn add_as(&mut self, id: &str, dir: &str) -> usize {
        let number = self.agents.len();
        let (gossip, door) = match &self.net {
            None => {
                let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
                (SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), Door { addr, namespace: None })
            }
            Some(net) => {
                let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8558));
                (Net::gossip(number), Door { addr, namespace: Some(net.host(number)) })
            }
        };
        let dir = self.dir.path().join(dir);
        self.agents.push(Agent::new(id, dir, gossip, door));
        number
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Writes the file of one agent.
    pub(crate) fn configure(&self, number: usize) {
        let shape = self.shape.clone();
        self.configure_as(number, &shape);
    }

    /// Writes the file of one agent, which differs from the others.
    pub(crate) fn configure_as(&self, number: usize, shape: &Shape) {
        let Agent { id, dir, gossip, .. } = &self.agents[number];
        let place = Place { id, dir, http: self.agents[number].addr, gossip: *gossip, join: &self.join };
        std::fs::write(self.agents[number].config(), shape.render(&place, &self.resource)).expect("write the file");
    }

    /// Writes the file and starts one agent, and waits until it answers.
    pub(crate) fn start(&mut self, number: usize) {
        self.configure(number);
        self.agents[number].start();
        self.agents[number].wait_up();
    }

    /// Starts all founders at once.
    pub(crate) fn start_all(&mut self) {
        for number in 0..self.agents.len() {
            self.configure(number);
            self.agents[number].start();
        }
        for agent in &mut self.agents {
            agent.wait_up();
        }
    }

    /// Starts all and waits until the first leads and has run every task.
    pub(crate) fn found(&mut self) -> Duration {
        let begun = Instant::now();
        self.start_all();
        let all: Vec<usize> = (0..self.agents.len()).collect();
        self.wait_leader(0, &all);
        let took = begun.elapsed();
        self.wait_all_ran(0);
        took
    }

    /// Until the agents `among` all say that `leader` leads, and it says so itself.
    pub(crate) fn wait_leader(&self, leader: usize, among: &[usize]) -> Duration {
        let id = self.agents[leader].id.clone();
        eventually(&format!("{id} leads and everybody knows"), || {
            self.agents[leader].leads()
                && among.iter().all(|n| self.view(*n).is_some_and(|view| view.leader.as_deref() == Some(&id)))
        })
    }

    /// Until each task has begun a run under the leadership that `leader` has now. The moment of the first of them.
    pub(crate) fn wait_all_ran(&self, leader: usize) -> f64 {
        let epoch = self.view(leader).expect("the leader answers").epoch;
        let id = &self.agents[leader].id;
        let runs = || self.resource.runs().into_iter().filter(|run| run.epoch >= epoch && run.agent == *id);
        eventually(&format!("{id} runs every task under epoch {epoch} or later"), || {
            self.shape.tasks.iter().all(|task| runs().any(|run| run.task == task.name))
        });
        runs().map(|run| run.first).fold(f64::INFINITY, f64::min)
    }

    /// Until the leader has told the end of a run of every task: what it starts later is no run of its take-over.
    pub(crate) fn wait_all_told(&self, leader: usize) {
        let id = &self.agents[leader].id;
        eventually(&format!("{id} tells that every task went well"), || {
            self.agents[leader].tasks().is_some_and(|tasks| tasks.values().all(|task| task.status == "successful"))
        });
    }

    /// What an agent sees.
    pub(crate) fn view(&self, number: usize) -> Option<Cluster> {
        self.agents[number].cluster()
    }

    /// Until what an agent sees satisfies a condition.
    pub(crate) fn wait_view(&self, number: usize, what: &str, condition: impl Fn(&Cluster) -> bool) -> Duration {
        self.wait_view_within(LIMIT, number, what, condition)
    }

    pub(crate) fn wait_view_within(
        &self,
        limit: Duration,
        number: usize,
        what: &str,
        condition: impl Fn(&Cluster) -> bool,
    ) -> Duration {
        let what = format!("{} sees that {what}", self.agents[number].id);
        within(limit, &what, || self.view(number).is_some_and(|view| condition(&view)))
    }

    /// Runs `quorate WORDS.. -http-addr` at an agent.
    pub(crate) fn command(&self, number: usize, words: &[&str]) -> std::process::Output {
        let mut command = Command::new(agent::binary());
        command.args(words).arg("-http-addr").arg(format!("http://{}", self.agents[number].addr));
        command.output().expect("run quorate")
    }

    /// The good end: what the resource saw is right, and nothing is left of anybody.
    pub(crate) fn end(mut self) {
        let left = self.clear_away();
        // Mode `alive` promises nothing about two leaders that do not see each other.
        if self.shape.mode == Mode::Quorum {
            self.resource.check();
        }
        for agent in &self.agents {
            assert!(!agent.log().contains("panicked at"), "{} panicked", agent.id);
        }
        assert!(left.is_empty(), "left in the process table: {left:?}");
    }

    /// Ends all agents and waits until their guardians have ended everything else. What did not end by itself.
    fn clear_away(&mut self) -> Vec<String> {
        for agent in &mut self.agents {
            agent.clear_away();
        }
        let mark = self.dir.path().to_str().expect("a path").to_owned();
        let begun = Instant::now();
        loop {
            let guardians = self.agents.iter().flat_map(Agent::living_guardians);
            let left: Vec<_> = processes::marked(&mark).into_iter().chain(guardians).collect();
            if left.is_empty() {
                return Vec::new();
            }
            if begun.elapsed() > LIMIT {
                let names = left.iter().map(|process| processes::words(process.pid)).collect();
                for process in left {
                    process.signal(Signal::KILL);
                }
                return names;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let left = self.clear_away();
        if std::thread::panicking() {
            for agent in &self.agents {
                eprintln!("---- the end of the log of {}\n{}", agent.id, tail(&story(&agent.log()), TAIL));
            }
            let record = std::fs::read_to_string(&self.resource.record).unwrap_or_default();
            eprintln!("---- the end of the record\n{}", tail(&record, 20));
            eprintln!("---- left in the process table: {left:?}");
        }
    }
}

/// A log without the runs that went well.
fn story(log: &str) -> String {
    let routine = ["running task", "task completed", "run succeeded"];
    let lines = log.lines().filter(|line| !routine.iter().any(|words| line.contains(words)));
    lines.collect::<Vec<_>>().join("\n")
}

/// `quorate keygen`.
pub(crate) fn new_key() -> String {
    let output = Command::new(agent::binary()).arg("keygen").output().expect("run quorate keygen");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Asks agents all the time who leads: how long nobody did.
pub(crate) struct LeaderWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, String)>>,
}

impl LeaderWatch {
    pub(crate) fn start(site: &Site, among: &[usize]) -> Self {
        let doors: Vec<(String, Door)> = among.iter().map(|n| (site[*n].id.clone(), site[*n].door())).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watch = move || {
            let mut seen = Vec::new();
            loop {
                // All are asked once more after the end was asked for: what has happened until then is seen.
                let is_last = stopped.load(Ordering::Relaxed);
                let leaders = doors.iter().filter(|(_, door)| door.leads());
                seen.extend(leaders.map(|(id, _)| (Instant::now(), id.clone())));
                if is_last {
                    return seen;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        };
        Self { stop, thread: std::thread::spawn(watch) }
    }

    /// The longest time without an answer of a leader. `last` must be the last that answered.
    pub(crate) fn stop(self, last: &str) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("the watching thread");
        assert_eq!(seen.last().map(|(_, id)| id.as_str()), Some(last));
        seen.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default()
    }
}
