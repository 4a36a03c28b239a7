//! Changes of tasks at run time: tried out where CTS tries them out, made through the leadership, answered when a majority
//! has them.
//!
//! A task that is created is initialised and validated before it is there; with `run=now` it must also have run well. A run that
//! tries something out is journalled like any other; of one task nothing else runs meanwhile.

use std::sync::Arc;

use chrono::{DateTime, Local};
use quorate_proto::Epoch;
use tokio::sync::oneshot;
use tracing::info;
use uuid::Uuid;

use super::consul::ConsulWatches;
use super::cycle::{Internal, Loop};
use super::roster::acknowledged;
use crate::roster::{RosterError, Write};
use crate::runtime::handle::{Caller, ChangeError, Plan, RunMode};
use crate::runtime::{clock, history};
use crate::source::consul::Client;
use crate::source::consul::watcher::fetch_once;
use crate::task::report::{CutShort, RunEvent};
use crate::task::spec::Work;
use crate::task::{Fingerprint, Outcome, RunId, Start, TaskError, TaskSpec, Trigger};

pub(super) type Reply<T> = oneshot::Sender<Result<T, ChangeError>>;

/// What was tried out, and what comes next if it went well.
#[derive(Debug)]
pub(super) struct Tried {
    epoch: Epoch,
    task: String,
    run: RunId,
    /// It ran: an event to keep, and what it depended on.
    ran: Option<(RunEvent, Option<Fingerprint>)>,
    next: Next,
    result: Result<Plan, ChangeError>,
    reply: Reply<Option<Plan>>,
}

#[derive(Debug)]
enum Next {
    /// It was only asked what would change.
    Answer,
    /// Make the task.
    Create(Box<TaskSpec>, Caller),
    /// Enable it.
    Enable(Caller),
}

impl From<RosterError> for ChangeError {
    fn from(error: RosterError) -> Self {
        match error {
            RosterError::Exists(task) => Self::Exists(task),
            RosterError::Unknown(task) => Self::Unknown(task),
        }
    }
}

impl From<TaskError> for ChangeError {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Unknown(task) => Self::Unknown(task),
            TaskError::NotLeading | TaskError::HandingOver => Self::NotLeading,
            TaskError::Active(_) | TaskError::Idle(..) => Self::Conflict(error.to_string()),
            TaskError::Disabled(_) => Self::Failed(error.to_string()),
        }
    }
}

/// The event of a run that went well before its task was there.
fn succeeded(start: &Start, began: DateTime<Local>, by: Option<String>, cut_short: Option<CutShort>) -> RunEvent {
    RunEvent {
        id: start.run.0,
        success: true,
        start_time: began,
        end_time: clock::wall(),
        error: None,
        epoch: start.epoch.0,
        trigger: start.trigger.as_str().to_owned(),
        cut_short,
        asked_by: by,
    }
}

/// Asks Consul for what a task needs that no other task asks already (`reference/cts.md` 1.3, step 4).
pub(super) async fn fetch_missing(start: &mut Start, consul: Option<&Client>) -> Result<(), ChangeError> {
    for query in start.spec.queries() {
        if start.inputs.data.contains_key(&query) {
            continue;
        }
        let Some(client) = consul else {
            return Err(ChangeError::Invalid("the task asks Consul and this agent has no `consul` block".to_owned()));
        };
        let data = fetch_once(client, &query).await;
        let data = data
            .map_err(|error| ChangeError::Failed(format!("unable to retrieve data from Consul: {query}: {error}")))?;
        start.inputs.data.insert(query, Arc::new(data));
    }
    Ok(())
}

impl Loop {
    /// The epoch under which a change may be made.
    pub(super) fn may_change(&self) -> Result<Epoch, ChangeError> {
        self.leads().filter(|_| self.hand_over.is_none()).ok_or(ChangeError::NotLeading)
    }

    pub(super) fn set_enabled(
        &mut self,
        task: &str,
        enabled: bool,
        run: RunMode,
        by: &Caller,
        reply: Reply<Option<Plan>>,
    ) {
        let checked = self.may_change().and_then(|epoch| {
            let spec = self.roster.tasks().into_iter().find(|spec| spec.name == task);
            let spec = spec.ok_or_else(|| ChangeError::Unknown(task.to_owned()))?;
            Ok((epoch, spec))
        });
        let (epoch, spec) = match checked {
            Ok(found) => found,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let module = matches!(spec.work, Work::Terraform(_));
        match run {
            RunMode::Inspect if !enabled => drop(reply.send(Ok(Some(Plan::default())))),
            RunMode::Inspect => self.try_out(epoch, TaskSpec { enabled, ..spec }, Next::Answer, run, reply),
            RunMode::Later if enabled && !spec.enabled && module => {
                self.try_out(epoch, TaskSpec { enabled, ..spec }, Next::Enable(by.clone()), run, reply);
            }
            RunMode::Later => self.switch(task, enabled, None, by, reply),
            RunMode::Now => self.switch(task, enabled, enabled.then_some(()), by, reply),
        }
    }

    /// Sets the flag; with `run` the task runs at once, and the answer waits for that.
    fn switch(&mut self, task: &str, enabled: bool, run: Option<()>, by: &Caller, reply: Reply<Option<Plan>>) {
        let change = |agent: &mut Self| -> Result<(Epoch, Write), ChangeError> {
            let epoch = agent.may_change()?;
            let wall = clock::wall();
            let (what, at) = (if enabled { "enabled" } else { "disabled" }, wall.timestamp());
            let write = agent.roster.set_enabled(task, enabled, at)?.noting(what, &by.kept(), at);
            agent.tasks.set_enabled(task, enabled, clock::now(), wall)?;
            agent.roster.apply(write.clone());
            Ok((epoch, write))
        };
        match change(self) {
            Err(error) => drop(reply.send(Err(error))),
            Ok((epoch, write)) => {
                if run.is_some() {
                    match self.tasks.trigger_by(task, Some(by.kept()), clock::now(), clock::wall()) {
                        Ok(ticket) => drop(self.awaited.insert(ticket, reply)),
                        Err(error) => drop(reply.send(Err(error.into()))),
                    }
                    self.keep(epoch, &[write], None);
                } else {
                    self.keep_and_answer(epoch, &[write], reply, || None);
                }
            }
        }
        self.publish();
    }

    /// A run that somebody waits for has ended, with all its tries: they are answered when its event is on a majority.
    pub(super) fn served(&mut self, ticket: u64, task: &str, error: Option<String>) {
        self.asked_served(ticket, task);
        if let Some(reply) = self.awaited.remove(&ticket) {
            self.served.entry(task.to_owned()).or_default().push((error, reply));
        }
    }

    /// The events of this task are on a majority, or never will be.
    pub(super) fn answer_served(&mut self, task: &str, is_kept: bool) {
        for (error, reply) in self.served.remove(task).unwrap_or_default() {
            let answer = match error {
                _ if !is_kept => Err(ChangeError::Lost),
                Some(error) => Err(ChangeError::Failed(format!("Unable to run the task: {error}"))),
                None => Ok(None),
            };
            drop(reply.send(answer));
        }
    }

    pub(super) fn create(&mut self, spec: TaskSpec, run: RunMode, by: Caller, reply: Reply<Option<Plan>>) {
        let checked = self.may_change().and_then(|epoch| {
            if self.tasks.ending().any(|ending| ending.name == spec.name) {
                return Err(ChangeError::Exists(spec.name.clone()));
            }
            self.roster.create(spec.clone())?;
            Ok(epoch)
        });
        let epoch = match checked {
            Ok(epoch) => epoch,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let module = matches!(spec.work, Work::Terraform(_));
        let tries = spec.enabled && run == RunMode::Now || run == RunMode::Inspect || module;
        if tries {
            let next = if run == RunMode::Inspect { Next::Answer } else { Next::Create(Box::new(spec.clone()), by) };
            self.try_out(epoch, spec, next, run, reply);
        } else {
            self.add(spec, &by, reply, None);
        }
    }

    /// Runs something of a task that is not there yet, or is held back meanwhile.
    fn try_out(&mut self, epoch: Epoch, spec: TaskSpec, next: Next, run: RunMode, reply: Reply<Option<Plan>>) {
        let task = spec.name.clone();
        let id = RunId(Uuid::new_v4());
        if self.trying.contains_key(&task.to_ascii_lowercase()) {
            return drop(reply.send(Err(TaskError::Active(task).into())));
        }
        self.trying.insert(task.to_ascii_lowercase(), id);
        if let Err(error) = self.tasks.hold_back(&task, "it is being inspected") {
            self.trying.remove(&task.to_ascii_lowercase());
            return drop(reply.send(Err(error.into())));
        }
        let (runner, internal) = (self.runner.clone(), self.internal.clone());
        let inputs = self.tasks.inputs_for(&spec);
        let consul = self.consul.as_ref().map(ConsulWatches::client);
        let enabled = spec.enabled;
        let mut start = Start {
            task: task.clone(),
            run: id,
            epoch,
            trigger: Trigger::Request,
            attempt: 0,
            spec: Arc::new(spec),
            inputs,
            unless: None,
        };
        let asked_by = match &next {
            Next::Create(_, by) | Next::Enable(by) => Some(by.kept()),
            Next::Answer => None,
        };
        self.running.insert(start.run, start.spec.grace);
        self.interrupted.remove(&task);
        self.publish();
        tokio::spawn(async move {
            let (began, mut ran) = (clock::wall(), None);
            let complete = fetch_missing(&mut start, consul.as_ref()).await;
            let result = match run {
                _ if let Err(why) = complete => Err(why),
                RunMode::Now if enabled => match runner.run(&start).await {
                    (Outcome::Success | Outcome::Unchanged | Outcome::Drifted(_), fingerprint) => {
                        ran = Some((succeeded(&start, began, asked_by.clone(), None), fingerprint));
                        Ok(Plan::default())
                    }
                    (Outcome::Planned(_), fingerprint) => {
                        let planned = Some(CutShort::Planned);
                        ran = Some((succeeded(&start, began, asked_by.clone(), planned), fingerprint));
                        Ok(Plan::default())
                    }
                    (Outcome::Failure(why) | Outcome::TimedOut(why), _) => Err(ChangeError::Failed(why)),
                    (Outcome::Interrupted(why), _) => Err(ChangeError::Failed(format!("it was interrupted: {why}"))),
                    (Outcome::Cancelled(by), _) => Err(ChangeError::Cancelled(by)),
                },
                RunMode::Inspect => runner.inspect(&start, false).await,
                RunMode::Now | RunMode::Later => runner.inspect(&start, true).await,
            };
            let tried = Tried { epoch, task, run: start.run, ran, next, result, reply };
            drop(internal.send(Internal::Tried(Box::new(tried))));
        });
    }

    /// What was tried out has ended.
    pub(super) fn tried(&mut self, tried: Tried) {
        let Tried { epoch, task, run, ran, next, result, reply } = tried;
        self.running.remove(&run);
        self.runner.interruptions.forget(run);
        self.trying.remove(&task.to_ascii_lowercase());
        self.tasks.handle_unfinished_over(&task, clock::now(), clock::wall());
        let led = self.may_change().is_ok_and(|now| now == epoch);
        if ran.is_none() || result.is_err() || !led {
            self.runner.logs.discard(run);
        }
        match (result, next) {
            (Err(error), _) => drop(reply.send(Err(error))),
            (Ok(plan), Next::Answer) => drop(reply.send(Ok(Some(plan)))),
            (Ok(_), _) if !led => drop(reply.send(Err(ChangeError::NotLeading))),
            (Ok(_), Next::Create(spec, by)) => {
                self.add(*spec, &by, reply, None);
                match ran.filter(|_| self.roster.has(&task)) {
                    Some((event, fingerprint)) => {
                        self.tasks.note_run(&task, event, fingerprint);
                        self.runner.logs.ended(run, epoch, true);
                    }
                    // It was refused after all.
                    None => self.runner.logs.discard(run),
                }
            }
            (Ok(_), Next::Enable(by)) => self.switch(&task, true, None, &by, reply),
        }
        self.publish();
    }

    /// The task is there from now on.
    fn add(&mut self, spec: TaskSpec, by: &Caller, reply: Reply<Option<Plan>>, answer: Option<Plan>) {
        let change = |agent: &mut Self| -> Result<(Epoch, Write), ChangeError> {
            let epoch = agent.may_change()?;
            let write = agent.roster.create(spec)?.noting("created", &by.kept(), clock::wall().timestamp());
            agent.roster.apply(write.clone());
            agent.tasks.replace(agent.roster.tasks());
            agent.watch();
            Ok((epoch, write))
        };
        match change(self) {
            Ok((epoch, write)) => {
                info!(task = write.task, by = by.kept(), "task made by the API");
                self.keep_and_answer(epoch, &[write], reply, || answer);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        self.publish();
    }

    pub(super) fn delete(&mut self, task: &str, by: &Caller, reply: Reply<()>) {
        let change = |agent: &mut Self| -> Result<(Epoch, Option<Write>), ChangeError> {
            let epoch = agent.may_change()?;
            if agent.tasks.ending().any(|ending| ending.name == task) {
                return Ok((epoch, None));
            }
            let write = agent.roster.delete(task)?.noting("deleted", &by.kept(), clock::wall().timestamp());
            agent.roster.apply(write.clone());
            agent.tasks.replace(agent.roster.tasks());
            agent.watch();
            Ok((epoch, Some(write)))
        };
        match change(self) {
            Ok((epoch, Some(write))) => {
                info!(task, by = by.kept(), "task deleted by the API");
                self.keep_and_answer(epoch, &[write], reply, || ());
            }
            // Marked already. Whatever was marked before is on a majority when this is.
            Ok((epoch, None)) => {
                let (then, outcome) = oneshot::channel();
                self.writer.write(epoch, history::forget(task), Some(then));
                tokio::spawn(async move { drop(reply.send(acknowledged(&outcome.await))) });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
        self.publish();
    }

    /// Answers when the records are on a majority.
    fn keep_and_answer<T: Send + 'static>(
        &mut self,
        epoch: Epoch,
        writes: &[Write],
        reply: Reply<T>,
        answer: impl FnOnce() -> T + Send + 'static,
    ) {
        let (then, outcome) = oneshot::channel();
        self.keep(epoch, writes, Some(then));
        tokio::spawn(async move {
            let outcome = acknowledged(&outcome.await);
            drop(reply.send(outcome.map(|()| answer())));
        });
    }
}
