//! `quorate task plan`, `approve`, `reject`: the plan that waits for a person.

use clap::Args;

use super::super::address::Address;
use super::super::client::Client;
use super::super::output::{Failure, pretty, say};
use super::super::paint::clean;
use super::ask::{Approval, indented};
use super::names::{encode, one_name};
use crate::http::reply::{PlanNow, PlanText};

/// Flags of `task plan`.
#[derive(Debug, Args)]
pub(in super::super) struct PlanArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON, with all changes in the words of `terraform show -json`
    #[arg(long)]
    json: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// Flags of `task approve` and `task reject`.
#[derive(Debug, Args)]
pub(in super::super) struct DecideArgs {
    #[command(flatten)]
    address: Address,
    #[command(flatten)]
    approval: Approval,
    /// The plan that is meant, by its id: another one is refused
    #[arg(long, value_name = "ID")]
    plan: Option<String>,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

pub(super) fn plan(args: &PlanArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "plan")?;
    let client = Client::new(&args.address)?;
    let value = client.get(&format!("/v1/tasks/{}/plan", encode(name)))?;
    if args.json {
        return say(&pretty(&value));
    }
    say(&text(&client.typed(&value)?))
}

pub(super) fn approve(args: &DecideArgs) -> Result<(), Failure> {
    decide(args, "approve", "approving")
}

pub(super) fn reject(args: &DecideArgs) -> Result<(), Failure> {
    decide(args, "reject", "rejecting")
}

/// Shows the plan, asks, and decides of that very plan.
fn decide(args: &DecideArgs, what: &str, doing: &str) -> Result<(), Failure> {
    let name = one_name(&args.names, what)?;
    let client = Client::new(&args.address)?;
    let (shown, path) = (clean(name), format!("/v1/tasks/{}", encode(name)));
    let failed = |error: String| Failure::new(format!("unable to {what} the plan of '{shown}'\n{error}"));
    let value = client.get(&format!("{path}/plan")).map_err(|error| failed(error.to_string()))?;
    let plan: PlanText = client.typed(&value)?;
    let id = &plan.plan.id;
    if let Some(wanted) = args.plan.as_ref().filter(|wanted| *wanted != id) {
        return Err(failed(format!("the plan that is there is {}, not {}", clean(id), clean(wanted))));
    }
    say(&text(&plan))?;
    if !args.approval.given(&format!("\n==> Do you want to {what} this plan of '{shown}'?"), doing, name)? {
        return Ok(());
    }
    client.post(&format!("{path}/{what}?plan={}", encode(id))).map_err(|error| failed(error.to_string()))?;
    match what {
        "approve" => {
            say(&format!("==> The plan of '{shown}' is approved and is applied now: quorate task logs {shown}\n"))
        }
        _ => say(&format!("==> The plan of '{shown}' is rejected: nothing is changed\n")),
    }
}

/// A plan for people.
fn text(plan: &PlanText) -> String {
    let PlanNow { id, made, agent, epoch, trigger, summary, .. } = &plan.plan;
    format!(
        "{}\n\nTask     {}\nPlan     {}\nChanges  {}\nMade     {} by {}, epoch {epoch}, trigger {}\nNow      {}\n",
        indented(&plan.text).trim_end(),
        clean(&plan.task),
        clean(id),
        clean(&summary.text),
        clean(made),
        clean(agent),
        clean(trigger),
        clean(&standing(&plan.plan)),
    )
}

/// What was decided.
pub(super) fn standing(plan: &PlanNow) -> String {
    match &plan.decision {
        None => "waits for approval".to_owned(),
        Some(decision) if decision.approved => format!("approved by {}", decision.by),
        Some(decision) => format!("rejected by {}", decision.by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reply::{PlanDecision, PlanSummary};

    #[test]
    fn a_plan_is_shown_with_what_names_it() {
        let summary = PlanSummary { add: 3, change: 1, destroy: 0, outputs: 0, text: "+3 ~1 -0".to_owned() };
        let mut now = PlanNow {
            id: "8f0c".to_owned(),
            made: "2026-11-23T04:02:00.000Z".to_owned(),
            agent: "a1".to_owned(),
            epoch: 7,
            trigger: "services".to_owned(),
            summary,
            decision: None,
        };
        let plan = |plan: &PlanNow| PlanText {
            task: "web".to_owned(),
            plan: plan.clone(),
            text: "  # a.b will be created\n\u{1b}[31mPlan: 3 to add".to_owned(),
            changes: serde_json::Value::Null,
            request_id: "r".to_owned(),
        };
        let expected = "      # a.b will be created\n     [31mPlan: 3 to add\n\nTask     web\nPlan     8f0c\nChanges  +3 ~1 -0\n\
                        Made     2026-11-23T04:02:00.000Z by a1, epoch 7, trigger services\nNow      waits for approval\n";
        assert_eq!(text(&plan(&now)), expected);
        let (by, at) = ("token 1f2e".to_owned(), "2026-11-23T04:03:00.000Z".to_owned());
        now.decision = Some(PlanDecision { approved: false, by, at });
        assert!(text(&plan(&now)).ends_with("Now      rejected by token 1f2e\n"));
    }
}
