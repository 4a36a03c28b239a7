//! Plans that wait for a person: `GET /v1/tasks/{name}/plan`, `POST /v1/tasks/{name}/approve` and `/reject`.

use actix_web::http::StatusCode;
use serde_json::{Value, json as object};
use uuid::Uuid;

use super::cluster::form_pairs;
use super::create;
use super::error::{Shape, json};
use super::reply::{PlanDecision, PlanNow, PlanSummary};
use super::stale::rfc3339;
use super::tasks::{Call, handle_request, name_in_path};
use crate::runtime::handle::{ApiResponse, Handle, Request, RunMode};
use crate::runtime::plans::PlanShown;

/// A plan as answers have it.
pub(super) fn shown(plan: &PlanShown) -> PlanNow {
    let terraform = plan.summary;
    PlanNow {
        id: plan.id.to_string(),
        made: rfc3339(plan.made),
        agent: plan.agent.clone(),
        epoch: plan.epoch,
        trigger: plan.trigger.clone(),
        summary: PlanSummary {
            add: terraform.add,
            change: terraform.change,
            destroy: terraform.destroy,
            outputs: terraform.outputs,
            text: terraform.to_string(),
        },
        decision: plan.decision.as_ref().map(|decision| PlanDecision {
            approved: decision.approved,
            by: decision.by.clone(),
            at: rfc3339(chrono::DateTime::from_timestamp(decision.at, 0).unwrap_or_default()),
        }),
    }
}

/// `GET /v1/tasks/{name}/plan`.
pub(super) async fn show(handle: &Handle, call: &Call<'_>, raw_name: &str) -> ApiResponse {
    let name = match name_in_path(call, raw_name) {
        Ok(name) => name.into_owned(),
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    match handle_request(handle, |reply| Request::ShowPlan { task: name.clone(), reply }).await {
        Ok(Ok(detail)) => {
            // It was JSON when it was kept.
            let changes: Value = serde_json::from_str(&detail.changes).unwrap_or_default();
            let body = object!({
                "request_id": call.request_id, "task": name, "plan": shown(&detail.shown), "text": detail.text,
                "changes": changes,
            });
            json(StatusCode::OK, &body)
        }
        Ok(Err(crate::runtime::handle::ChangeError::Conflict(text))) => {
            call.error(StatusCode::NOT_FOUND, Shape::WithId, &text)
        }
        Ok(Err(error)) => create::refusal(handle, call, &error, RunMode::Later),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// `POST /v1/tasks/{name}/approve?plan=ID`, or `/reject`.
pub(super) async fn decide(handle: &Handle, call: &Call<'_>, raw_name: &str, approved: bool) -> ApiResponse {
    let (name, plan) = match (name_in_path(call, raw_name), plan_in(call.query)) {
        (Ok(name), Ok(plan)) => (name.into_owned(), plan),
        (Err(text), _) | (_, Err(text)) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    let by = call.caller.clone();
    match handle_request(handle, |reply| Request::Decide { task: name, plan, approved, by, reply }).await {
        Ok(Ok(plan)) => {
            let status = if approved { StatusCode::ACCEPTED } else { StatusCode::OK };
            json(status, &object!({"request_id": call.request_id, "plan": shown(&plan)}))
        }
        Ok(Err(error)) => create::refusal(handle, call, &error, RunMode::Later),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// The plan that is decided has to be named: nobody approves what he has not read.
fn plan_in(query: &str) -> Result<Uuid, String> {
    let found = form_pairs(query).into_iter().find(|(key, _)| key == "plan").map(|(_, value)| value);
    let Some(text) = found else {
        return Err("the parameter plan is missing: the id of the plan, as GET /v1/tasks/NAME/plan tells it".to_owned());
    };
    Uuid::parse_str(&text).map_err(|_| format!("'{text}' is not the id of a plan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_that_is_decided_is_named() {
        let id = Uuid::from_u128(7);
        assert_eq!(plan_in(&format!("x=1&plan={id}")), Ok(id));
        assert!(plan_in("").unwrap_err().contains("is missing") && plan_in("plan=x").unwrap_err().contains("'x'"));
    }
}
