//! One task: its triggers, its timers, its run, its events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};
use quorate_proto::Epoch;
use uuid::Uuid;

use super::cron::Cron;
use super::members::MemberInput;
use super::report::{Activity, EVENTS_MAX, RunEvent, Status, TaskReport};
use super::spec::{Condition, TaskSpec, Work};
use super::{Inputs, LogLine, Outcome, RunId, Start, Unfinished};
use crate::cluster::Now;

/// A wake for the clock on the wall is never further away than this, so that a jump of it is noticed.
const WALL_CHECK: Duration = Duration::from_secs(30);

/// The run under way.
#[derive(Debug)]
pub(super) struct Running {
    run: RunId,
    epoch: Epoch,
    trigger: &'static str,
    since: DateTime<Local>,
    /// When the first try of this run was decided.
    decided: DateTime<Local>,
    attempt: u32,
    /// Errors of the tries before this one, oldest first.
    errors: Vec<String>,
}

/// What a task does.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Running(Running),
    /// Failed, waits to try again.
    Retrying { until: Duration, at: DateTime<Local>, last: Running },
}

/// A trigger that has not led to a run yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    why: &'static str,
    /// Ready at.
    at: Duration,
    /// Never later than.
    limit: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) spec: Arc<TaskSpec>,
    pub(super) enabled: bool,
    pub(super) waits: Option<Unfinished>,
    pub(super) phase: Phase,
    cron: Option<Cron>,
    /// The next scheduled instant and when to look at the clock again.
    scheduled: Option<(DateTime<Local>, Duration)>,
    pending: Option<Pending>,
    events: VecDeque<RunEvent>,
}

impl Entry {
    pub(super) fn new(spec: TaskSpec) -> Self {
        let cron = match &spec.condition {
            Condition::Schedule { cron } => Cron::parse(cron).ok(),
            Condition::Members { .. } | Condition::None => None,
        };
        Self {
            enabled: spec.enabled,
            spec: Arc::new(spec),
            waits: None,
            phase: Phase::Idle,
            cron,
            scheduled: None,
            pending: None,
            events: VecDeque::new(),
        }
    }

    pub(super) fn is_running(&self, run: RunId) -> bool {
        matches!(&self.phase, Phase::Running(running) if running.run == run)
    }

    pub(super) fn forget_triggers(&mut self) {
        self.pending = None;
        self.scheduled = None;
        self.waits = None;
        if matches!(self.phase, Phase::Retrying { .. }) {
            self.phase = Phase::Idle;
        }
    }

    /// A run now, without buffering.
    pub(super) fn due(&mut self, now: Now, why: &'static str) {
        self.pending = Some(Pending { why, at: now.mono, limit: now.mono });
    }

    /// A trigger: restarts the buffer's `min`, never beyond `max` after the first (`reference/cts.md` 1.7).
    pub(super) fn trigger(&mut self, now: Now, why: &'static str) {
        let Some(buffer) = self.spec.buffer else { return self.due(now, why) };
        let limit = self.pending.map_or(now.mono + buffer.max, |pending| pending.limit);
        let at = (now.mono + buffer.min).min(limit);
        let why = self.pending.map_or(why, |pending| pending.why);
        self.pending = Some(Pending { why, at, limit });
    }

    /// Follows the clock on the wall: fires a scheduled instant that has come, and plans the next.
    ///
    /// An instant fires once: the next is computed from the wall time of the firing, so an hour that the clock repeats fires
    /// once, and one that it skips fires once, late. Instants that pass during a run are skipped (CTS).
    pub(super) fn keep_time(&mut self, now: Now, wall: DateTime<Local>) {
        if self.waits.as_ref().is_some_and(|waits| now.mono >= waits.until) {
            self.waits = None;
        }
        let Some(cron) = self.cron.as_ref().filter(|_| self.enabled) else {
            self.scheduled = None;
            return;
        };
        if !matches!(self.phase, Phase::Idle) {
            self.scheduled = None;
            return;
        }
        match self.scheduled {
            Some((instant, _)) if wall >= instant => {
                self.scheduled = None;
                if self.pending.is_none() {
                    self.due(now, "schedule");
                }
                self.plan(now, instant.max(wall));
            }
            Some((instant, _)) => {
                // A clock that was set back far must not silence the task until it catches up.
                let farthest = cron.next_after(&wall).unwrap_or(instant);
                let instant = if farthest < instant && instant - farthest > chrono::TimeDelta::hours(2) { farthest } else { instant };
                self.scheduled = Some((instant, wake(instant, now, wall)));
            }
            None => self.plan(now, wall),
        }
    }

    fn plan(&mut self, now: Now, wall: DateTime<Local>) {
        let next = self.cron.as_ref().and_then(|cron| cron.next_after(&wall));
        self.scheduled = next.map(|instant| (instant, wake(instant, now, wall)));
    }

    /// Since when a run could start; `None`: not now.
    pub(super) fn ready_since(&self, now: Now) -> Option<Duration> {
        if self.waits.is_some() || !self.enabled && !self.is_requested() {
            return None;
        }
        match &self.phase {
            Phase::Running(_) => None,
            Phase::Retrying { until, .. } => (now.mono >= *until).then_some(*until),
            Phase::Idle => self.pending.filter(|p| now.mono >= p.at).map(|p| p.at),
        }
    }

    fn is_requested(&self) -> bool {
        self.pending.is_some_and(|p| p.why == "request")
    }

    /// `room`: another run may start. Without it, what is ready waits for the end of a run, not for the clock.
    pub(super) fn poll_timeout(&self, room: bool) -> Option<(Duration, &'static str)> {
        let waits = self.waits.as_ref().map(|waits| (waits.until, "interrupted run is over"));
        if waits.is_some() {
            return waits;
        }
        let scheduled = self.scheduled.map(|(_, at)| (at, "schedule"));
        let runnable = room && (self.enabled || self.is_requested());
        let due = match &self.phase {
            Phase::Running(_) => None,
            Phase::Retrying { until, .. } => runnable.then_some((*until, "retry")),
            Phase::Idle => self.pending.filter(|_| runnable).map(|p| (p.at, "buffer period ends")),
        };
        [scheduled, due].into_iter().flatten().min()
    }

    pub(super) fn start(&mut self, run: Uuid, epoch: Epoch, members: Vec<MemberInput>, wall: DateTime<Local>) -> Start {
        let running = match std::mem::replace(&mut self.phase, Phase::Idle) {
            // A change that came during the retries is part of this try: it gets the newest data.
            Phase::Retrying { last, .. } => Running { run, epoch, since: wall, attempt: last.attempt + 1, ..last },
            Phase::Idle | Phase::Running(_) => {
                let trigger = self.pending.map_or("request", |pending| pending.why);
                Running { run, epoch, trigger, since: wall, decided: wall, attempt: 0, errors: Vec::new() }
            }
        };
        self.pending = None;
        let wants = self.spec.members_input || matches!(self.spec.condition, Condition::Members { use_as_module_input: true });
        let start = Start {
            task: self.spec.name.clone(),
            run,
            trigger: running.trigger,
            attempt: running.attempt,
            spec: self.spec.clone(),
            inputs: Inputs { members: wants.then_some(members) },
        };
        self.scheduled = None;
        self.phase = Phase::Running(running);
        start
    }

    /// The run is over. `leading`: under which epoch this agent leads now.
    pub(super) fn finish(
        &mut self,
        outcome: Outcome,
        leading: Option<Epoch>,
        jitter: f64,
        now: Now,
        wall: DateTime<Local>,
    ) -> Option<LogLine> {
        let Phase::Running(mut running) = std::mem::replace(&mut self.phase, Phase::Idle) else { return None };
        let task = self.spec.name.clone();
        let line = |text: String| Some(LogLine { task: task.clone(), text });
        match outcome {
            Outcome::Success => {
                self.record(running, wall, None);
                None
            }
            Outcome::Interrupted(_) => {
                // Still leading (somebody stopped only this run, or a newer lease came): it is made again.
                if leading.is_some() && self.enabled && self.pending.is_none() {
                    self.due(now, running.trigger);
                    if leading == Some(running.epoch) {
                        // Not at once: whatever interrupted it may still be in the way.
                        self.pending = self.pending.map(|p| Pending { at: p.at + self.spec.retry.base, ..p });
                    }
                }
                None
            }
            Outcome::Failure(error) => {
                running.errors.push(error.clone());
                let retry = self.spec.retry;
                let again = leading == Some(running.epoch) && self.enabled && running.attempt < retry.retries;
                if !again {
                    let told = told(&running.errors);
                    let text = format!("could not apply changes for task {task}: {told}");
                    self.record(running, wall, Some(told));
                    return line(text);
                }
                let step = retry.base.saturating_mul(1 << running.attempt.min(20));
                let wait = (step + step.mul_f64(jitter)).min(retry.cap);
                let at = wall + chrono::TimeDelta::from_std(wait).unwrap_or_default();
                let text = format!("failed, trying again in {:.1} s: {error}", wait.as_secs_f64());
                self.phase = Phase::Retrying { until: now.mono + wait, at, last: running };
                line(text)
            }
        }
    }

    fn record(&mut self, running: Running, wall: DateTime<Local>, error: Option<String>) {
        self.events.push_front(RunEvent {
            id: running.run,
            success: error.is_none(),
            start_time: running.decided,
            end_time: wall,
            error,
            epoch: running.epoch.0,
            trigger: running.trigger.to_owned(),
        });
        self.events.truncate(EVENTS_MAX);
    }

    pub(super) fn report(&self) -> TaskReport {
        let activity = match (&self.phase, &self.waits, &self.pending) {
            (Phase::Running(running), ..) => Activity::Running(running.since),
            (Phase::Retrying { at, .. }, ..) => Activity::Retrying(*at),
            (Phase::Idle, Some(waits), _) => Activity::Waiting(waits.text.clone()),
            (Phase::Idle, None, _) => Activity::Idle,
        };
        let (source, providers) = match &self.spec.work {
            Work::Command { argv } => (argv.join(" "), Vec::new()),
            Work::Terraform(work) => (work.module.clone(), work.providers.clone()),
        };
        TaskReport {
            name: self.spec.name.clone(),
            enabled: self.enabled,
            status: status(&self.events),
            events: self.events.iter().cloned().collect(),
            activity,
            source,
            providers,
            next_run: self.scheduled.map(|(instant, _)| instant),
        }
    }
}

/// When to look at the clock on the wall for this instant.
fn wake(instant: DateTime<Local>, now: Now, wall: DateTime<Local>) -> Duration {
    now.mono + (instant - wall).to_std().unwrap_or_default().min(WALL_CHECK)
}

/// CTS's text of a failed run: the retries' errors, newest first; without retries, the error itself.
fn told(errors: &[String]) -> String {
    let retries: Vec<String> =
        errors.iter().enumerate().skip(1).rev().map(|(n, e)| format!("retry attempt #{n} failed '{e}'")).collect();
    if retries.is_empty() { errors.first().cloned().unwrap_or_default() } else { retries.join("; ") }
}

/// `reference/cts.md` 1.10.
fn status(events: &VecDeque<RunEvent>) -> Status {
    let failures = events.iter().filter(|event| !event.success).count();
    match events.front() {
        None => Status::Unknown,
        Some(newest) if newest.success => Status::Successful,
        Some(_) if failures > 1 => Status::Critical,
        Some(_) => Status::Errored,
    }
}
