//! Every task once, or inspected, one after the other in order of configuration, and then the end: CTS's modes `-once` and
//! `-inspect` (`reference/cts.md` 1.4, 5.2). No retry, no buffer period; the first error ends it.

use std::sync::Arc;

use quorate_proto::Epoch;
use tracing::info;
use uuid::Uuid;

use super::changes::fetch_missing;
use super::consul::ConsulWatches;
use super::cycle::{Internal, Loop};
use crate::runtime::runs::Runner;
use crate::runtime::settings::Mode;
use crate::source::consul::Client;
use crate::task::{Outcome, RunId, Start, Trigger};

impl Loop {
    /// Works through the tasks, off this loop. Returns whether this is such an agent.
    pub(super) fn begin_sequence(&mut self, epoch: Epoch) -> bool {
        let once = match &self.mode {
            Mode::Daemon => return false,
            Mode::Once => true,
            Mode::Inspect(_) => false,
        };
        let chosen = |name: &str| match &self.mode {
            Mode::Inspect(names) => names.is_empty() || names.contains(name),
            Mode::Daemon | Mode::Once => true,
        };
        let starts = self.roster.tasks().into_iter().filter(|spec| chosen(&spec.name)).map(|spec| Start {
            task: spec.name.clone(),
            run: RunId(Uuid::new_v4()),
            epoch,
            trigger: Trigger::TakeOver,
            attempt: 0,
            inputs: self.tasks.inputs_for(&spec),
            spec: Arc::new(spec),
            unless: None,
        });
        let starts: Vec<Start> = starts.collect();
        let (runner, internal) = (self.runner.clone(), self.internal.clone());
        let consul = self.consul.as_ref().map(ConsulWatches::client);
        tokio::spawn(async move {
            let outcome = through(starts, once, &runner, consul.as_ref()).await;
            drop(internal.send(Internal::Sequence(outcome)));
        });
        true
    }
}

async fn through(starts: Vec<Start>, once: bool, runner: &Runner, consul: Option<&Client>) -> Result<(), String> {
    if starts.is_empty() {
        info!("no tasks configured");
    }
    let done = if once { "all tasks completed once" } else { "all tasks are inspected" };
    for start in starts {
        if once { run(start, runner, consul).await? } else { inspect(start, runner, consul).await? }
    }
    info!("{done}");
    Ok(())
}

async fn run(mut start: Start, runner: &Runner, consul: Option<&Client>) -> Result<(), String> {
    let task = start.task.clone();
    let failed = |why: String| format!("error running task {task}: {why}");
    fetch_missing(&mut start, consul).await.map_err(|error| failed(error.to_string()))?;
    if !start.spec.enabled {
        // So that errors in it are seen now.
        runner.inspect(&start, true).await.map_err(|error| failed(error.to_string()))?;
        info!(task_name = task, "task is disabled, not run");
        return Ok(());
    }
    info!(task_name = task, "running task once");
    match runner.run(&start).await.0 {
        Outcome::Success | Outcome::Unchanged | Outcome::Planned(_) | Outcome::Drifted(_) => Ok(()),
        Outcome::Failure(why) | Outcome::Cancelled(why) | Outcome::TimedOut(why) => Err(failed(why)),
        Outcome::Interrupted(why) => Err(failed(format!("it was interrupted: {why}"))),
    }
}

async fn inspect(mut start: Start, runner: &Runner, consul: Option<&Client>) -> Result<(), String> {
    let task = start.task.clone();
    if !start.spec.enabled {
        info!(task_name = task, plan = "Task is disabled, inspection was skipped.", "inspection results");
        return Ok(());
    }
    let failed = |why: String| format!("error inspecting task {task}: {why}");
    fetch_missing(&mut start, consul).await.map_err(|error| failed(error.to_string()))?;
    let plan = runner.inspect(&start, false).await.map_err(|error| failed(error.to_string()))?;
    info!(task_name = task, "inspection results, plan:\n{}", plan.text);
    Ok(())
}
