//! A cluster of agents, each on a host of its own, that measures its own fail-overs.

use std::ops::{Index, IndexMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::{self, Agent, Shape};
use super::marks::{self, Mark, now};
use super::net::Net;
use super::wait::{random, until};

/// Agents `a1`, `a2`, .. as number 0, 1, .. The agents are dropped first, then their hosts, then their files.
#[derive(Debug)]
pub(crate) struct Site {
    agents: Vec<Agent>,
    pub(crate) net: Net,
    shape: Shape,
    dir: tempfile::TempDir,
}

/// Who leads, when everybody agrees and everybody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calm {
    /// Its number.
    pub(crate) leader: usize,
    pub(crate) epoch: u64,
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
    /// Starts `nodes` founders together and waits until they are calm.
    pub(crate) fn found(nodes: usize, profile: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("quorate-bench-").tempdir().expect("make a directory");
        let net = Net::new(nodes);
        let exe = std::env::current_exe().expect("this program");
        let words = [exe, PathBuf::from("mark"), record(dir.path())];
        let shape = Shape {
            profile: profile.to_owned(),
            // Nobody gives leadership back during a measurement.
            settle: "1h".to_owned(),
            expect: nodes,
            join: (0..nodes).map(|number| Net::gossip(number).to_string()).collect(),
            key: agent::new_key(),
            command: words.iter().map(|word| word.display().to_string()).collect(),
            blocks: String::new(),
        };
        let http = ([127, 0, 0, 1], 8558).into();
        let agent = |number| {
            let namespace = Some(net.host(number));
            Agent::new(format!("a{}", number + 1), dir.path(), Net::gossip(number), http, namespace)
        };
        let agents = (0..nodes).map(agent).collect();
        let mut site = Self { agents, net, shape, dir };
        for agent in &mut site.agents {
            agent.configure(&site.shape);
            agent.start();
        }
        site.calm();
        site
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Every run of the task so far: one for each leadership.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        marks::read(&record(self.dir.path()))
    }

    /// Until all agents are alive in the eyes of all, follow one leader, and it has run its task.
    pub(crate) fn calm(&self) -> Calm {
        let mut found = None;
        let mut look = || {
            found = self.look();
            found.is_some_and(|calm| self.marks().iter().any(|mark| mark.epoch == calm.epoch))
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("all agents are alive and follow one leader", Duration::from_millis(50), &mut look);
        }));
        if let Err(panic) = outcome {
            for agent in &self.agents {
                eprintln!("---- {}: {:?}\n{}", agent.id, agent.view(), agent.tail());
            }
            std::panic::resume_unwind(panic);
        }
        found.expect("the wait has ended")
    }

    fn look(&self) -> Option<Calm> {
        let views: Option<Vec<_>> = self.agents.iter().map(Agent::view).collect();
        let views = views?;
        let first = views.first()?;
        let full = |view: &quorate::http::reply::Cluster| {
            view.leader.is_some()
                && view.leader == first.leader
                && view.epoch == first.epoch
                && view.quorum.held
                && view.members.iter().filter(|member| member.healthy).count() == self.agents.len()
        };
        let leader = self.agents.iter().position(|agent| Some(&agent.id) == first.leader.as_ref())?;
        views.iter().all(full).then_some(Calm { leader, epoch: first.epoch })
    }

    /// Strikes the leader at a random moment; how long after that the next leader's first run began.
    pub(crate) fn fail_over(&mut self, strike: impl FnOnce(&mut Self, usize)) -> Duration {
        let before = self.calm();
        super::wait::sleep(random(Duration::from_secs(1)));
        self[before.leader].pids();
        let struck = now();
        strike(self, before.leader);
        let id = self[before.leader].id.clone();
        let mut next = None;
        until("the next leader runs its task", Duration::from_millis(2), || {
            next = self.marks().into_iter().find(|mark| mark.epoch > before.epoch && mark.agent != id);
            next.is_some()
        });
        next.map_or(Duration::ZERO, |mark| mark.at.saturating_sub(struck))
    }

    /// Starts an agent that has ended.
    pub(crate) fn revive(&mut self, number: usize) {
        self[number].wait_end();
        self[number].start();
    }

    /// The sum of a counter over all agents.
    pub(crate) fn counter(&self, name: &str) -> f64 {
        self.agents.iter().map(|agent| agent.counter(name, "")).sum()
    }
}

fn record(dir: &Path) -> PathBuf {
    dir.join("marks")
}
