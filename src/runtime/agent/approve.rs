//! Plans that wait for a person: shown, approved, rejected.
//!
//! What is decided is on a majority before it is answered. An approval is a promise like a run that somebody asked for
//! ([`super::requested_runs`]): the next leader applies what this one does not come to.

use quorate_proto::message::Entry;
use tokio::sync::oneshot;
use tracing::info;
use uuid::Uuid;

use super::changes::Reply;
use super::cycle::Loop;
use super::requested_runs;
use super::roster::acknowledged;
use crate::runtime::clock;
use crate::runtime::handle::{Caller, ChangeError};
use crate::runtime::plans::{self, Decision, PlanDetail, PlanShown};
use crate::task::TaskError;

impl Loop {
    /// The plan of a task, with its text; off this loop.
    pub(super) fn show_plan(&self, task: &str, reply: Reply<PlanDetail>) {
        if self.leads().is_none() {
            return drop(reply.send(Err(ChangeError::NotLeading)));
        }
        if !self.roster.has(task) {
            return drop(reply.send(Err(ChangeError::Unknown(task.to_owned()))));
        }
        let (replica, task) = (self.replica.clone(), task.to_owned());
        tokio::spawn(async move {
            drop(reply.send(match plans::read(&replica, &task).await {
                Ok(Some((record, decision))) => {
                    let shown = record.shown(decision);
                    Ok(PlanDetail { shown, text: record.text, changes: record.changes })
                }
                Ok(None) => Err(none(&task)),
                Err(why) => Err(ChangeError::Failed(why.to_string())),
            }));
        });
    }

    /// Approves or rejects the plan that waits; `plan` names it, so that nobody decides of another one than the one that was
    /// read.
    pub(super) fn decide(&mut self, task: &str, plan: Uuid, approved: bool, by: &Caller, reply: Reply<PlanShown>) {
        match self.decided(task, plan, approved, by) {
            Err(error) => drop(reply.send(Err(error))),
            Ok((entries, shown)) => {
                let Some(epoch) = self.leads() else { return drop(reply.send(Err(ChangeError::NotLeading))) };
                let (then, outcome) = oneshot::channel();
                self.writer.write(epoch, entries, Some(then));
                tokio::spawn(async move { drop(reply.send(acknowledged(&outcome.await).map(|()| shown))) });
            }
        }
        self.publish();
    }

    /// What to write. In memory it is so at once.
    fn decided(
        &mut self,
        task: &str,
        plan: Uuid,
        approved: bool,
        by: &Caller,
    ) -> Result<(Vec<Entry>, PlanShown), ChangeError> {
        self.may_change()?;
        if !self.roster.has(task) {
            return Err(ChangeError::Unknown(task.to_owned()));
        }
        let shown = self.runner.plans.of(task).ok_or_else(|| none(task))?;
        may_decide(task, &shown, plan)?;
        let by = by.kept();
        let decision = Decision { plan, approved, by: by.clone(), at: clock::wall().timestamp() };
        let mut entries = vec![plans::decide(task, &decision)];
        if approved {
            // What is triggered makes a new plan, of what the task is made of then.
            self.tasks.check_idle(task).map_err(|error| busy(task, error))?;
            let ticket = self.tasks.trigger_by(task, Some(by.clone()), clock::now(), clock::wall())?;
            self.asked.entry(task.to_owned()).or_default().insert(ticket);
            entries.push(requested_runs::entry(task, ticket, &by));
        }
        info!(task, %plan, by, "{}", if approved { "the plan is approved" } else { "the plan is rejected" });
        let decided = PlanShown { decision: Some(decision), ..PlanShown::clone(&shown) };
        self.runner.plans.set(task, Some(decided.clone()));
        Ok((entries, decided))
    }
}

/// Two plans at a time would be one too many.
fn busy(task: &str, error: TaskError) -> ChangeError {
    match error {
        TaskError::Active(_) => ChangeError::Conflict(format!(
            "something of task '{task}' runs or is about to run, and may make a new plan: look again (quorate task plan {task})"
        )),
        other => other.into(),
    }
}

fn none(task: &str) -> ChangeError {
    ChangeError::Conflict(format!("no plan of task '{task}' waits for approval"))
}

/// Whether this is the plan that waits.
fn may_decide(task: &str, shown: &PlanShown, plan: Uuid) -> Result<(), ChangeError> {
    if shown.id != plan {
        return Err(ChangeError::Conflict(format!(
            "the plan {plan} of task '{task}' is not the newest: {} took its place. Read that one first (quorate task plan {task})",
            shown.id
        )));
    }
    match &shown.decision {
        None => Ok(()),
        Some(decision) if decision.approved => {
            let by = &decision.by;
            Err(ChangeError::Conflict(format!("the plan {plan} of task '{task}' is approved already, by {by}")))
        }
        Some(decision) => Err(ChangeError::Conflict(format!(
            "the plan {plan} of task '{task}' was rejected by {}: `quorate task run {task}` makes a new one",
            decision.by
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plan_that_waits_can_be_decided() {
        let waits = plans::sample(1).shown(None);
        let decided = |approved| {
            let decision = Decision { plan: waits.id, approved, by: "token b".to_owned(), at: 9 };
            PlanShown { decision: Some(decision), ..waits.clone() }
        };
        let refused = |shown: &PlanShown, plan| may_decide("web", shown, plan).unwrap_err().to_string();
        assert_eq!(may_decide("web", &waits, waits.id), Ok(()));
        assert!(refused(&waits, Uuid::from_u128(2)).contains("is not the newest"));
        assert!(refused(&decided(true), waits.id).contains("approved already, by token b"));
        assert!(refused(&decided(false), waits.id).contains("was rejected by token b"));
    }
}
