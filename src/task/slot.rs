//! One task: what it wants, what holds it back, what it does.
//!
//! Three things are independent. A *wish* to run (a trigger that was not served yet, perhaps still gathering others in
//! its buffer period), a *hold* (a run of a former leader that may still live), and a *run* (a process under way, or the
//! pause between two tries). A task starts when it has something to start and nothing that forbids it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta, TimeZone};
use quorate_proto::Epoch;

use super::consul_data::Query;
use super::cron::Cron;
use super::drift::DriftState;
use super::history::{Basis, History, failure_text};
use super::output::{RunId, Trigger};
use super::report::{ActiveRun, Activity, CutShort, Progress, RunEvent, TaskReport};
use super::spec::{Buffer, TaskSpec, Work};

/// A moment on both scales: for timers, and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) mono: Duration,
    pub(super) wall: DateTime<Local>,
}

impl Moment {
    pub(super) fn plus(self, wait: Duration) -> Self {
        let wall = TimeDelta::from_std(wait).ok().and_then(|wait| self.wall.checked_add_signed(wait));
        Self { mono: self.mono.saturating_add(wait), wall: wall.unwrap_or(self.wall) }
    }

    fn earlier(self, other: Self) -> Self {
        if other.mono < self.mono { other } else { self }
    }
}

/// A trigger that no run has served.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) trigger: Trigger,
    pub(super) ripeness: Ripeness,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Ripeness {
    /// In its buffer period, which ends at `ripe` and never later than `latest`.
    Gathering { ripe: Moment, latest: Moment },
    /// May start, since.
    Due(Duration),
}

/// A run of a former leader that may still live.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) until: Duration,
    pub(super) text: String,
}

/// A run under way: one process after another until one ends well or the tries are used up.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) trigger: Trigger,
    pub(super) epoch: Epoch,
    pub(super) began: DateTime<Local>,
    pub(super) attempt: u32,
    pub(super) causes: Vec<String>,
    /// What its newest try was made of.
    pub(super) basis: Basis,
    /// Who asked for it and waits for its end.
    pub(super) tickets: Vec<u64>,
    /// Who asked for it, for people.
    pub(super) asked_by: Option<String>,
    /// Who has cancelled it, for people.
    pub(super) cancelled: Option<String>,
    /// When its process ended, while that is on its way to a majority.
    pub(super) ended: Option<DateTime<Local>>,
    pub(super) step: Step,
}

impl Run {
    /// The event of its end.
    pub(super) fn event(&self, error: Option<String>, cut_short: Option<CutShort>, at: DateTime<Local>) -> RunEvent {
        RunEvent {
            id: self.id.0,
            success: error.is_none(),
            start_time: self.began,
            end_time: self.ended.unwrap_or(at),
            error,
            epoch: self.epoch.0,
            trigger: self.trigger.as_str().to_owned(),
            cut_short,
            asked_by: self.asked_by.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A process is under way.
    Started,
    /// Pauses until then.
    Pausing(Moment),
    /// The next try may start, since.
    Due(Duration),
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) spec: Arc<TaskSpec>,
    /// What it needs answers of.
    pub(super) queries: Vec<Query>,
    /// As it was told last.
    shown: Option<Shown>,
    pub(super) cron: Option<Cron>,
    pub(super) enabled: bool,
    /// No longer configured; stays until its process has ended.
    pub(super) removed: bool,
    pub(super) history: History,
    /// A run of it was interrupted and nobody knows what it did: it runs again whatever has not changed.
    pub(super) interrupted: bool,
    pub(super) hold: Option<Hold>,
    pub(super) wish: Option<Wish>,
    pub(super) run: Option<Run>,
    /// Somebody asked for the run that comes next: it runs whatever has not changed.
    pub(super) by_hand: bool,
    /// Who asked for the run that comes next and waits for its end.
    pub(super) tickets: Vec<u64>,
    /// Who asked for it last, for people.
    pub(super) asked_by: Option<String>,
    /// Who was promised a run by a leader before, which this lease makes.
    pub(super) promised_to: Option<String>,
    /// Whose wait is over, and the error of their run; not told yet.
    pub(super) served: Vec<(u64, Option<String>)>,
    /// Data that it is fed has changed since its last start.
    pub(super) stale: bool,
    /// Why its guards keep it from starting, for people; told once.
    pub(super) guard: Option<String>,
    /// It has failed too often: nothing starts before.
    pub(super) parked: Option<Moment>,
    /// What is kept of it has changed and was not told yet.
    pub(super) recorded: bool,
    /// When it is looked for drift.
    pub(super) next_check: Option<Duration>,
    /// The next tick of the timetable, known while nothing else is going on.
    pub(super) next: Option<DateTime<Local>>,
    /// The last tick that came: no tick comes twice.
    pub(super) last_tick: Option<DateTime<Local>>,
}

impl Slot {
    pub(super) fn new(spec: TaskSpec, cron: Option<Cron>) -> Self {
        Self {
            enabled: spec.enabled,
            queries: spec.queries(),
            shown: None,
            spec: Arc::new(spec),
            cron,
            removed: false,
            history: History::default(),
            interrupted: false,
            hold: None,
            wish: None,
            run: None,
            by_hand: false,
            tickets: Vec::new(),
            asked_by: None,
            promised_to: None,
            served: Vec::new(),
            stale: false,
            guard: None,
            parked: None,
            recorded: false,
            next_check: None,
            next: None,
            last_tick: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    /// It is defined like this from now on.
    pub(super) fn set_spec(&mut self, spec: TaskSpec) {
        if *self.spec != spec {
            self.queries = spec.queries();
            self.spec = spec.into();
        }
    }

    /// Whether it is fed the members.
    pub(super) fn takes_members(&self) -> bool {
        self.spec.takes_members()
    }

    pub(super) fn is_started(&self) -> bool {
        self.run.as_ref().is_some_and(|run| matches!(run.step, Step::Started))
    }

    /// Takes note of a trigger. `buffer` gathers; without it the wish is due now, whatever was gathering.
    pub(super) fn ask(&mut self, trigger: Trigger, buffer: Option<Buffer>, at: Moment) {
        self.by_hand |= trigger == Trigger::Request;
        if trigger != Trigger::DriftCheck {
            // A run that changes something makes the look superfluous, and must not be taken for one.
            self.wish.take_if(|wish| wish.trigger == Trigger::DriftCheck);
        }
        let gathered = self.wish.as_ref().map(|wish| wish.ripeness);
        let ripeness = match (gathered, buffer) {
            (Some(Ripeness::Due(_)), _) => return,
            (_, None) => Ripeness::Due(at.mono),
            (None, Some(buffer)) => {
                let latest = at.plus(buffer.max);
                Ripeness::Gathering { ripe: at.plus(buffer.min).earlier(latest), latest }
            }
            (Some(Ripeness::Gathering { latest, .. }), Some(buffer)) => {
                Ripeness::Gathering { ripe: at.plus(buffer.min).earlier(latest), latest }
            }
        };
        match &mut self.wish {
            // Still the trigger that it began with; one that cannot wait takes its name.
            Some(wish) if matches!(ripeness, Ripeness::Gathering { .. }) => wish.ripeness = ripeness,
            wish => *wish = Some(Wish { trigger, ripeness }),
        }
    }

    /// Lets timers that have passed take effect. Returns whether anything changed, and the text of a hold that ended.
    pub(super) fn ripen(&mut self, now: Moment) -> (bool, Option<String>) {
        let mut changed = false;
        let over = self.hold.take_if(|hold| hold.until <= now.mono).map(|hold| hold.text);
        changed |= over.is_some();
        changed |= self.parked.take_if(|until| until.mono <= now.mono).is_some();
        if self.next_check.take_if(|next| *next <= now.mono).is_some() && self.is_idle() {
            self.ask(Trigger::DriftCheck, None, now);
            changed = true;
        }
        let now = now.mono;
        if let Some(wish) = &mut self.wish
            && let Ripeness::Gathering { ripe, .. } = wish.ripeness
            && ripe.mono <= now
        {
            wish.ripeness = Ripeness::Due(ripe.mono);
            changed = true;
        }
        if let Some(run) = &mut self.run
            && let Step::Pausing(until) = run.step
            && until.mono <= now
        {
            run.step = Step::Due(until.mono);
            changed = true;
        }
        (changed, over)
    }

    /// Since when it could start, if it can.
    pub(super) fn ready(&self) -> Option<Duration> {
        let parked = self.parked.is_some() && !self.by_hand;
        if !self.enabled || self.removed || self.hold.is_some() || parked {
            return None;
        }
        match (&self.run, &self.wish) {
            (Some(Run { step: Step::Due(since), .. }), _)
            | (None, Some(Wish { ripeness: Ripeness::Due(since), .. })) => Some(*since),
            _ => None,
        }
    }

    /// Its timers: when, and why.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = (Duration, &'static str)> {
        let hold = self.hold.as_ref().map(|hold| (hold.until, "unfinished run over"));
        let wish = self.wish.as_ref().and_then(|wish| match wish.ripeness {
            Ripeness::Gathering { ripe, .. } => Some((ripe.mono, "buffer period over")),
            Ripeness::Due(_) => None,
        });
        let run = self.run.as_ref().and_then(|run| match run.step {
            Step::Pausing(until) => Some((until.mono, "retry")),
            Step::Started | Step::Due(_) => None,
        });
        let parked = self.parked.map(|until| (until.mono, "parked long enough"));
        let check = self.next_check.map(|next| (next, "look for drift"));
        [hold, wish, run, parked, check].into_iter().flatten()
    }

    /// Forgets all that came with a lease. A process under way stays known until its end is reported.
    pub(super) fn forget(&mut self) {
        self.hold = None;
        self.wish = None;
        self.by_hand = false;
        self.tickets.clear();
        self.asked_by = None;
        self.guard = None;
        self.parked = None;
        (self.next, self.next_check) = (None, None);
        self.run.take_if(|run| !matches!(run.step, Step::Started));
    }

    /// Drops what waits to run. A run between two tries ends here, as the failure it was.
    pub(super) fn stand_down(&mut self, at: Moment) {
        self.wish = None;
        (self.next, self.next_check) = (None, None);
        self.guard = None;
        self.parked = None;
        self.served.extend(self.tickets.drain(..).map(|ticket| (ticket, Some("the task was disabled".to_owned()))));
        if !self.is_started() {
            self.conclude(false, None, at);
        }
    }

    /// Finds the next tick of an idle task. It is computed after each run, so ticks that passed meanwhile are skipped.
    pub(super) fn schedule(&mut self, at: Moment) {
        let idle = self.is_idle();
        if idle && self.next_check.is_none() {
            self.next_check = self.drift_due(at);
        }
        if idle
            && self.next.is_none()
            && let Some(cron) = &self.cron
        {
            self.next = cron.next_after(&self.last_tick.map_or(at.wall, |tick| tick.max(at.wall)));
        }
    }

    fn is_idle(&self) -> bool {
        self.enabled && !self.removed && self.hold.is_none() && self.wish.is_none() && self.run.is_none()
    }

    /// When it is to be looked for drift. A clock that was set back does not put it off for longer than once.
    fn drift_due(&self, at: Moment) -> Option<Duration> {
        let every = self.spec.run.drift?.every;
        let since = (at.wall - self.history.drift_basis()?).to_std().unwrap_or_default();
        Some(at.mono.saturating_add(every.saturating_sub(since)))
    }

    /// Ends a look for drift.
    pub(super) fn conclude_check(&mut self, looked: Result<Option<String>, String>, at: Moment) {
        let Some(run) = self.run.take() else { return };
        let state = DriftState::after(self.history.kept().drift.as_ref(), looked, run.id.0, at.wall);
        self.history.record_drift(state);
        self.recorded = true;
    }

    /// A moment of the timetable after the newest event, until now: nobody led then. What came due while the task was
    /// disabled is not owed.
    pub(super) fn missed_tick(&self, now: DateTime<Local>) -> Option<DateTime<Local>> {
        let newest = self.history.newest()?.end_time;
        let switched = self.history.kept().enabled_at.and_then(|at| Local.timestamp_opt(at, 0).single());
        let since = switched.map_or(newest, |switched| switched.max(newest));
        self.cron.as_ref()?.next_after(&since).filter(|tick| *tick <= now)
    }

    /// Ends the run with an event. Returns the error's text.
    pub(super) fn conclude(&mut self, success: bool, cut_short: Option<CutShort>, at: Moment) -> Option<String> {
        let run = self.run.take()?;
        self.by_hand = false;
        let error = (!success).then(|| failure_text(&run.causes));
        let event = run.event(error.clone(), cut_short, at.wall);
        self.served.extend(run.tickets.into_iter().map(|ticket| (ticket, error.clone())));
        self.history.record(event, run.basis);
        self.recorded = true;
        self.park(at);
        error
    }

    /// Whether a tick has something to do: a task that is fed by Consul is left alone when nothing of that has changed
    /// (`reference/cts.md` 1.6).
    pub(super) fn has_news(&self) -> bool {
        self.stale || self.interrupted || !self.history.is_well() || self.queries.is_empty()
    }

    /// The success of a tick that had nothing to do.
    pub(super) fn conclude_idle(&mut self, id: RunId, epoch: Epoch, at: Moment) {
        self.history.record_idle(RunEvent {
            id: id.0,
            success: true,
            start_time: at.wall,
            end_time: at.wall,
            error: None,
            epoch: epoch.0,
            trigger: Trigger::Schedule.as_str().to_owned(),
            cut_short: None,
            asked_by: None,
        });
        self.recorded = true;
    }

    /// After a failed run that was one too many: leaves it alone for a while, twice as long each time.
    fn park(&mut self, at: Moment) {
        let (failures, park) = (self.history.failures(), self.spec.park);
        let park = park.filter(|park| failures >= park.after.max(1));
        self.parked = park.map(|park| {
            let doublings = (failures - park.after.max(1)).min(16);
            at.plus(park.base.saturating_mul(1 << doublings).min(park.cap))
        });
    }

    /// Told to people. `queued` says what a task that could start waits for. While nothing changes it is the same report.
    pub(super) fn report(
        &mut self,
        queued: impl FnOnce(&Self) -> String,
        progress: Option<Progress>,
        at: Option<Moment>,
    ) -> Arc<TaskReport> {
        let activity = self.activity(queued, at);
        let run = self.run.as_ref().map(|run| (run.id, run.cancelled.clone()));
        let told = Told {
            revision: self.history.revision(),
            flags: (self.enabled, self.removed),
            next: self.next,
            run,
            progress,
        };
        if let Some(shown) = &self.shown
            && Arc::ptr_eq(&shown.spec, &self.spec)
            && shown.told == told
            && shown.report.activity == activity
        {
            return Arc::clone(&shown.report);
        }
        let report = Arc::new(self.report_with(activity, progress));
        self.shown = Some(Shown { spec: Arc::clone(&self.spec), told, report: Arc::clone(&report) });
        report
    }

    pub(super) fn report_with(&self, activity: Activity, progress: Option<Progress>) -> TaskReport {
        let (source, providers) = match &self.spec.work {
            Work::Command { argv } => (argv.join(" "), Vec::new()),
            Work::Terraform(work) => (work.module.clone(), work.providers.clone()),
        };
        TaskReport {
            name: self.spec.name.clone(),
            enabled: self.enabled,
            status: self.history.status(),
            events: self.history.events(),
            activity,
            source,
            providers,
            next_run: self.next,
            progress,
            deleted: self.removed,
            run: self.run.as_ref().map(|run| ActiveRun {
                id: run.id.0,
                start_time: run.began,
                trigger: run.trigger.as_str().to_owned(),
                cancelled_by: run.cancelled.clone(),
            }),
            grace: self.spec.grace,
            timeout: self.spec.timeout,
            drift: self.history.kept().drift.clone(),
        }
    }

    pub(super) fn activity(&self, queued: impl FnOnce(&Self) -> String, at: Option<Moment>) -> Activity {
        let parked = self.parked.filter(|_| !self.by_hand);
        match (&self.run, &self.hold, &self.wish) {
            (Some(Run { step: Step::Started, began, .. }), ..) => Activity::Running(*began),
            (_, None, _) if let Some(until) = parked => Activity::Held {
                why: format!("parked: its last {} runs failed", self.history.failures()),
                until: Some(until.wall),
            },
            (_, Some(hold), Some(_)) => Activity::Held {
                why: hold.text.clone(),
                until: at
                    .filter(|_| hold.until != Duration::MAX)
                    .map(|at| at.plus(hold.until.saturating_sub(at.mono)).wall),
            },
            (Some(Run { step: Step::Pausing(until), .. }), ..) => Activity::Retrying(until.wall),
            (Some(Run { step: Step::Due(_), .. }), ..)
            | (None, None, Some(Wish { ripeness: Ripeness::Due(_), .. })) => Activity::Waiting(queued(self)),
            (None, None, Some(Wish { ripeness: Ripeness::Gathering { ripe, .. }, .. })) => {
                Activity::Buffering(ripe.wall)
            }
            (None, _, None) => Activity::Idle,
        }
    }
}

/// A report and what it was made of: while that stays, so does the report.
#[derive(Debug)]
struct Shown {
    spec: Arc<TaskSpec>,
    told: Told,
    report: Arc<TaskReport>,
}

/// What a report is made of besides the specification and the activity.
#[derive(Debug, PartialEq)]
struct Told {
    /// Of the history.
    revision: u64,
    /// Enabled, removed.
    flags: (bool, bool),
    next: Option<DateTime<Local>>,
    /// The run under way and who has cancelled it.
    run: Option<(RunId, Option<String>)>,
    progress: Option<Progress>,
}
