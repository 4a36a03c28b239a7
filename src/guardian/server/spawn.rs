//! Starts a run that may start.

use super::run::{self, Run};
use super::{RUNS_MAX, Server};
use crate::guardian::bounds::Bounded;
use crate::guardian::cgroup::Cgroup;
use crate::guardian::clock;
use crate::guardian::message::{Bounds, FromGuardian, Order, Refusal, RunKey};

impl Server {
    pub(super) fn spawn(&mut self, order: Order) -> Result<(), Refusal> {
        self.authority.extend(order.epoch, order.ends);
        let of_task = |run: &&RunKey| run.task == order.run.task;
        // One that is over but not reported yet counts: its end must be heard before another begins under its name.
        if let Some(other) = self.runs.keys().chain(self.finished.keys()).find(of_task) {
            return Err(Refusal::Busy(other.clone()));
        }
        if self.runs.len() >= RUNS_MAX as usize {
            return Err(Refusal::TooMany(RUNS_MAX));
        }
        let bounded = match &order.launch.bounds {
            none if *none == Bounds::default() => None,
            bounds => {
                self.limited += 1;
                Some(Bounded::make(bounds, self.limited).map_err(Refusal::System)?)
            }
        };
        let dirs = bounded.as_ref().map(|bounded| bounded.dirs.clone()).unwrap_or_default();
        let whole = bounded.as_ref().and_then(|bounded| bounded.whole.clone());
        // R15: the last thing before the process exists. Moving into a cgroup may take a while.
        let (agent, authority, agent_dead) = (&self.agent, &self.authority, self.agent_dead);
        let start = || {
            if !agent.is_open() || agent_dead || !authority.allows(order.epoch, clock::now()) {
                return Err(Refusal::NoAuthority(order.epoch));
            }
            run::start(&order, &dirs).map_err(Refusal::System)
        };
        let started = match (&mut self.cgroups, whole) {
            // It goes there by itself before its program begins.
            (_, Some(whole)) => start().map(|child| (child, Some(Cgroup::at(&whole.to_string_lossy())))),
            (Some(cgroups), None) => cgroups.born_inside(start),
            (None, None) => start().map(|child| (child, None)),
        };
        let (mut child, cgroup) = match started {
            Ok(started) => started,
            Err(refusal) => {
                bounded.iter().for_each(Bounded::remove);
                return Err(refusal);
            }
        };
        if cgroup.as_ref().is_some_and(Cgroup::holds_guardian) {
            self.cgroups = None;
        }
        let path = cgroup.as_ref().map(|cgroup| cgroup.path().to_string_lossy().into_owned());
        let key = order.run.clone();
        match Run::new(order, &mut child, cgroup, bounded) {
            Ok((mut run, main)) => {
                if let Some(ends) = self.authority.ends(run.epoch) {
                    run.ends = ends;
                }
                self.tree.begin(&key, main);
                self.agent.send(&FromGuardian::Started { run: key.clone(), pid: child.id(), cgroup: path });
                self.runs.insert(key, run);
                Ok(())
            }
            Err(error) => {
                // Nothing is known of it yet but its number: it is gone before anything else happens.
                drop(child.kill());
                drop(child.wait());
                Err(Refusal::System(error.to_string()))
            }
        }
    }
}
