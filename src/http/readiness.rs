//! `/readyz` and `/livez`: for load balancers and for whoever restarts processes.

use actix_web::http::StatusCode;
use serde_json::{Value, json as object};

use super::cluster::form_pairs;
use super::error::{json, text};
use crate::runtime::handle::{ApiResponse, Check, Handle, Health};

fn is_verbose(query: &str) -> bool {
    form_pairs(query).iter().any(|(key, value)| key == "verbose" && !matches!(value.as_str(), "false" | "0"))
}

/// Whether a change can be served now: 200, or 503 with the reasons. `?verbose` lists every check.
pub(super) fn ready(health: &Health, query: &str) -> ApiResponse {
    let reason = |check: &Check| object!({"check": check.name, "reason": check.text});
    let reasons: Vec<Value> = health.reasons().map(reason).collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = object!({"ready": reasons.is_empty(), "reasons": reasons});
    if is_verbose(query) {
        let all = health.checks.iter();
        body["checks"] =
            all.map(|check| object!({"check": check.name, "passed": check.passed, "text": check.text})).collect();
    }
    json(status, &body)
}

/// The process works: it answers. Whatever else is wrong, a restart would not mend it.
pub(super) fn live(handle: &Handle, query: &str) -> ApiResponse {
    if !is_verbose(query) {
        return text(StatusCode::OK, "alive");
    }
    let loop_runs = !handle.requests.is_closed();
    let checks = object!([
        {"check": "api", "passed": true, "text": "the API answers"},
        {"check": "agent", "passed": loop_runs, "text": if loop_runs { "the agent runs" } else { "the agent is ending" }},
    ]);
    json(StatusCode::OK, &object!({"alive": true, "checks": checks}))
}
