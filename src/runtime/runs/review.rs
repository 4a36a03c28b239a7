//! Before a plan is applied: a program may refuse it, and it may have to wait for a person.

use std::ffi::OsString;
use std::path::Path;

use quorate_proto::message::VALUE_MAX;
use tracing::{info, warn};

use super::Runner;
use super::command::with_tail;
use super::exec::{Ended, Prints, Stopped};
use super::module::Ready;
use crate::guardian::{Cause, Exit, RunKey, Spawn, Stream};
use crate::runtime::clock;
use crate::runtime::plans::{self, Record};
use crate::task::Start;
use crate::terraform::directory::Directory;
use crate::terraform::{self, PLAN_FILE, plan_json};

/// How much of a plan as JSON the guardian holds while the agent is busy. A larger one cannot be reviewed.
const JSON_MAX: u32 = 32 << 20;
/// What of it is kept for people, in bytes.
const CHANGES_MAX: usize = 4 << 20;
/// What a kept plan may be larger than its parts, and what is kept sealed.
const OVERHEAD: usize = 64 << 10;

/// What becomes of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is applied.
    Apply,
    /// It waits; what it changes, for people.
    Waits(String),
}

impl Runner {
    /// The plan that was approved and is to be applied by this run, if it was made of what the task is made of now.
    pub(super) async fn approved_plan(&self, start: &Start) -> Result<Option<Record>, Stopped> {
        // The decision may still be on its way to a majority: it is here since this run was asked for.
        let Some(shown) = self.plans.of(&start.task) else { return Ok(None) };
        let Some(decision) = shown.decision.as_ref().filter(|decision| decision.approved) else { return Ok(None) };
        let found = plans::read(&self.replica, &start.task).await;
        let found = found.map_err(|why| Stopped::Failed(why.to_string()))?;
        let Some((record, _)) = found.filter(|(record, _)| record.run == shown.id.into_bytes()) else {
            return Ok(None);
        };
        let now = self.leashed(start, async { Ok(self.fingerprint(start).await) }).await?;
        if let (Some(then), Some(now)) = (record.fingerprint, now)
            && then != now
        {
            self.note(
                start,
                "the approved plan is not applied: what the task is made of has changed since. A new plan is made",
            );
            return Ok(None);
        }
        self.note(start, &format!("applying the plan {}, approved by {}", shown.id, decision.by));
        Ok(Some(record))
    }

    /// Puts an approved plan where Terraform looks for it.
    pub(super) async fn put_plan(&self, start: &Start, record: &Record) -> Result<(), Stopped> {
        let secrets = self.secrets(start).await?;
        let (dir, file) = (start.spec.working_dir.clone(), record.file.clone());
        let put = move || {
            let written = Directory::open(&dir).and_then(|directory| directory.replace(PLAN_FILE, &file));
            written.map_err(|error| error.to_string()).and_then(|_| secrets.give())
        };
        let put = tokio::task::spawn_blocking(put).await;
        put.map_err(|error| error.to_string()).flatten().map_err(Stopped::Failed)
    }

    /// Runs `show -json`: what it prints is taken whole and stands in no log.
    pub(super) async fn show_plan(&self, start: &Start, mut spawn: Spawn) -> Result<(Ended, Vec<u8>), Stopped> {
        spawn.keep = JSON_MAX;
        let (mut json, mut missing) = (Vec::new(), 0);
        let ended = self
            .exec(spawn, start, Prints::Data, &mut |stream, bytes, lost| {
                if stream == Stream::Stdout {
                    missing += lost;
                    json.extend_from_slice(bytes);
                }
            })
            .await?;
        if missing > 0 || json.len() > JSON_MAX as usize {
            let text = format!("the plan as JSON is too large to be reviewed: more than {} MiB", JSON_MAX >> 20);
            return Err(Stopped::Failed(text));
        }
        Ok((ended, json))
    }

    /// What becomes of the plan that lies in the task's directory. `json`: as Terraform shows it, with all its secrets.
    pub(super) async fn review(
        &self,
        start: &Start,
        ready: &Ready,
        plan: Option<&terraform::Plan>,
        json: Vec<u8>,
    ) -> Result<Verdict, Stopped> {
        let review = &start.spec.run.review;
        let shown = plan_json::read(&json).map_err(Stopped::Failed)?;
        if !review.policy.is_empty() {
            self.ask_policy(start, ready, &review.policy, json).await?;
        }
        let summary = shown.summary;
        if !review.approval.holds(summary.destroy) {
            self.note(start, &format!("the plan ({summary}) is applied"));
            return Ok(Verdict::Apply);
        }
        let mask = self.mask(start.run);
        let mut changes = mask.hide_text(&shown.changes.to_string());
        if changes.len() > CHANGES_MAX {
            let why = format!("{} MiB of changes are left out: read the text of the plan", changes.len() >> 20);
            changes = serde_json::json!({"left_out": why}).to_string();
        }
        let dir = start.spec.working_dir.clone();
        let read = move || Directory::existing(&dir).and_then(|directory| directory.read(PLAN_FILE, VALUE_MAX as u64));
        let file = tokio::task::spawn_blocking(read).await.map_err(|error| Stopped::Failed(error.to_string()))?;
        let file = file.map_err(|error| Stopped::Failed(format!("the kept plan cannot be read: {error}")))?;
        let text = plan.map(|plan| plan.text.clone()).unwrap_or_default();
        let size = file.len() + text.len() + changes.len() + OVERHEAD;
        if size > VALUE_MAX {
            let (is, may) = (size >> 20, VALUE_MAX >> 20);
            let text = format!("the plan cannot be kept for approval: it has {is} MiB, {may} are the limit");
            return Err(Stopped::Failed(text));
        }
        let record = Record {
            run: start.run.0.into_bytes(),
            agent: self.me.to_string(),
            epoch: start.epoch.0,
            made: clock::utc().timestamp_micros(),
            trigger: start.trigger.as_str().to_owned(),
            counts: [summary.add, summary.change, summary.destroy, summary.outputs],
            fingerprint: self.leashed(start, async { Ok(self.fingerprint(start).await) }).await?,
            text,
            changes,
            file,
        };
        let kept = self.replica.propose(start.epoch, plans::keep(&start.task, &record)).await;
        kept.map_err(|error| Stopped::Interrupted(format!("the plan could not be kept: {error}")))?;
        self.plans.set(&start.task, Some(record.shown(None)));
        let task = &start.task;
        info!(task, run = %start.run, %summary, "the plan waits for approval: quorate task plan {task}");
        let text = format!("plan {summary} waits for approval");
        self.note(start, &format!("{text}: quorate task approve {task}"));
        Ok(Verdict::Waits(text))
    }

    /// The plan that waited is applied, or another run has found that nothing is to be approved.
    pub(super) async fn forget_plan(&self, start: &Start) {
        if self.plans.of(&start.task).is_none() {
            return;
        }
        match self.replica.propose(start.epoch, plans::forget(&start.task)).await {
            Ok(()) => self.plans.set(&start.task, None),
            // The next run of the task does it.
            Err(error) => warn!(task = start.task, %error, "the plan that is not needed any more stays for now"),
        }
    }

    /// The plan file holds secrets: it stays no longer than it is needed.
    pub(super) async fn remove_plan(&self, start: &Start) {
        let dir = start.spec.working_dir.clone();
        let remove = move || Directory::open(&dir).and_then(|directory| directory.remove(PLAN_FILE));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(remove).await {
            warn!(task = start.task, %error, "the file of the plan cannot be removed; it may hold secrets");
        }
    }

    /// Runs the policy. It has the plan as JSON on standard input, and in `QUORATE_TASK` the name of the task.
    async fn ask_policy(&self, start: &Start, ready: &Ready, policy: &[String], json: Vec<u8>) -> Result<(), Stopped> {
        let program = policy.first().cloned().unwrap_or_default();
        self.note(start, &format!("policy: {}", policy.join(" ")));
        let mut spawn = Spawn::new(
            RunKey::new(start.task.as_str(), start.run.0),
            policy.iter().map(OsString::from),
            Path::new("."),
        );
        spawn.env = ready.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        spawn.launch = self.secrets(start).await?.launch();
        spawn.stdin = json;
        spawn.grace = start.spec.grace;
        let ended = self.exec(spawn, start, Prints::Text, &mut |_, _, _| {}).await?;
        match (&ended.by, ended.exit) {
            (Cause::Itself, Exit::Code(0)) => Ok(()),
            (Cause::Itself, exit) => {
                let text = format!("the policy refuses the plan: {program} ended with {exit}");
                Err(Stopped::Failed(with_tail(&text, &ended)))
            }
            (by, _) => Err(Stopped::Interrupted(by.to_string())),
        }
    }

    fn note(&self, start: &Start, text: &str) {
        if let Some(live) = self.logs.of(start.run) {
            live.note(text);
        }
    }
}
