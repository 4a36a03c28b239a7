//! Whether a request is answered at all, and how much of an answer its caller sees.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;

use super::error::{Shape, error, message};
use super::forward::{self, Answer};
use super::{Face, caller, limits, permission};
use crate::access::{Grants, Identity, Locked, Need, Role, Scope, Secret, TokenError, TokenIdentity, Unknown};
use crate::runtime::handle::{ApiRequest, ApiResponse, Caller, Handle, TasksSnapshot};
use crate::task::report::TaskReport;

/// Consul's header for a token, for clients that know Consul.
const CONSUL_TOKEN: &str = "x-consul-token";

/// What stands in place of what a run said.
pub(super) const HIDDEN: &str = "(what a run says is shown to callers with the role operate)";

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nobody is known to ask.
    Unauthenticated(String),
    /// Whoever asks may not.
    Forbidden(String),
    /// Too many wrong tokens.
    Locked(Duration),
    /// The leader would have to say whether it knows the token, and did not.
    Unsettled { status: u16, text: String, retry_after: Option<Duration> },
}

impl Refused {
    pub(super) fn response(&self, path: &str, request_id: &str) -> ApiResponse {
        let (status, text) = match self {
            Self::Unauthenticated(text) => (StatusCode::UNAUTHORIZED, text.clone()),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, text.clone()),
            Self::Locked(left) => {
                let text = format!(
                    "too many wrong tokens came from this address: its tokens are not looked at for another {} s",
                    left.as_secs() + 1
                );
                (StatusCode::TOO_MANY_REQUESTS, text)
            }
            Self::Unsettled { status, text, .. } => {
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), text.clone())
            }
        };
        error(status, Shape::of(path), &text, request_id)
    }

    pub(super) fn answer(&self, path: &str, request_id: &str) -> Answer {
        let retry_after = match self {
            Self::Locked(left) => Some(*left),
            Self::Unsettled { retry_after, .. } => *retry_after,
            Self::Unauthenticated(_) | Self::Forbidden(_) => None,
        };
        Answer { response: self.response(path, request_id), retry_after, stale: None, rest: None }
    }

    fn wrong_token(why: &str) -> Self {
        Self::Unauthenticated(format!("the token is refused: {why}"))
    }
}

impl From<Unknown> for Refused {
    fn from(_: Unknown) -> Self {
        Self::Unauthenticated(Unknown.to_string())
    }
}

/// Who asks and what that caller may do, if that is enough for this request. Every agent that answers asks this anew.
pub(super) fn admit(handle: &Handle, identity: &Identity, need: &Need) -> Result<(Identity, Grants), Refused> {
    let (identity, grants) = handle.gate.admit(identity)?;
    allow(&identity, &grants, need)?;
    Ok((identity, grants))
}

/// Whether these grants are enough.
pub(super) fn allow(identity: &Identity, grants: &Grants, need: &Need) -> Result<(), Refused> {
    if grants.allow(need) {
        return Ok(());
    }
    if identity.is_anonymous() {
        return Err(Refused::Unauthenticated(format!(
            "this needs {need}, and no token was sent: send one as `Authorization: Bearer ..`"
        )));
    }
    let named = if need.named { ", by a token, a certificate or admin.sock" } else { "" };
    Err(Refused::Forbidden(format!("this needs {need}{named}; {identity} has {grants}")))
}

/// The same for a request that was passed on, or is answered here; the caller in it is then who this agent says.
pub(super) fn admit_request(handle: &Handle, request: &mut ApiRequest) -> Result<Grants, ApiResponse> {
    let path = request.target.split('?').next().unwrap_or_default();
    let need = permission::needed(&request.method, path);
    let refuse = |refused: Refused| refused.response(path, &request.request_id);
    let (identity, grants) = admit(handle, &request.caller.identity, &need).map_err(refuse)?;
    request.caller.identity = identity;
    Ok(grants)
}

/// Looks at a request before anything else of it is read. `leads_to_another`: the leader will answer it, not this agent; it looks
/// at it once more. `Err`: also who asked, as far as that is known.
pub(super) async fn look(
    request: &HttpRequest,
    face: &Face,
    path: &str,
    leads_to_another: bool,
) -> Result<Caller, Box<(Refused, Caller)>> {
    let mut caller = caller::of(request, face);
    match identify(request, face, path, leads_to_another, &mut caller).await {
        Ok(()) => Ok(caller),
        Err(refused) => Err(Box::new((refused, caller))),
    }
}

/// The same, with what is found out of the caller.
async fn identify(
    request: &HttpRequest,
    face: &Face,
    path: &str,
    leads_to_another: bool,
    caller: &mut Caller,
) -> Result<(), Refused> {
    let gate = &face.handle.gate;
    let Some(rules) = gate.rules() else { return Ok(()) };
    let method = request.method().as_str();
    if matches!(method, "GET" | "HEAD") && rules.open.contains(path) {
        return Ok(());
    }
    // The local administrator needs none, and must not be kept out by one.
    let text = if face.admin { None } else { token(request)? };
    let Some(text) = text else { return admit_known(face, method, path, caller) };
    let address = request.peer_addr().map(|peer| peer.ip());
    let secret = Secret::parse(&text);
    let shown = secret.as_ref().map_or_else(|_| short(&text), |secret| secret.hash().short());
    let failed = || address.into_iter().for_each(|address| gate.failed(address, shown));
    if let Some(address) = address {
        gate.listens_to(address, shown).map_err(|Locked(left)| Refused::Locked(left))?;
    }
    let hash = match secret {
        Ok(secret) => secret.hash(),
        Err(error) => {
            failed();
            return Err(Refused::wrong_token(&error.to_string()));
        }
    };
    let (accessor, description) = (String::new(), String::new());
    caller.identity = Identity::Token(TokenIdentity { hash, accessor, description });
    if gate.admit(&caller.identity).is_err() {
        // It may have been made a moment ago, on another agent.
        let is_new = !address.is_some_and(|address| gate.is_wrong(address, shown));
        if is_new && leads_to_another {
            return match ask_leader(&face.handle, caller).await {
                Ok(()) => Ok(()),
                Err(refused) => {
                    if matches!(refused, Refused::Unauthenticated(_)) {
                        failed();
                    }
                    Err(refused)
                }
            };
        }
        let cluster = face.handle.cluster();
        if is_new && cluster.high_availability && !cluster.leading {
            tokio::time::sleep(limits::TOKEN_PATIENCE).await;
        }
    }
    let outcome = gate.admit(&caller.identity);
    match (&outcome, address) {
        (Ok(_), Some(address)) => gate.succeeded(address, shown),
        (Ok(_), None) => {}
        (Err(Unknown), _) => failed(),
    }
    admit_known(face, method, path, caller)
}

/// Whoever this agent knows it is: may it?
fn admit_known(face: &Face, method: &str, path: &str, caller: &mut Caller) -> Result<(), Refused> {
    let (identity, grants) = face.handle.gate.admit(&caller.identity)?;
    caller.identity = identity;
    allow(&caller.identity, &grants, &permission::needed(method, path))
}

/// Whether the leader knows a token that this agent does not know, before anything of the request is read: a stranger shall not
/// make two agents hold what it sends.
async fn ask_leader(handle: &Handle, caller: &Caller) -> Result<(), Refused> {
    let request = ApiRequest {
        method: "GET".to_owned(),
        target: "/v1/tokens/self".to_owned(),
        body: Vec::new(),
        request_id: uuid::Uuid::new_v4().to_string(),
        caller: caller.clone(),
    };
    let Answer { response, retry_after, .. } = forward::send(handle, request).await;
    match response.status {
        200 => Ok(()),
        401 => Err(Unknown.into()),
        status => {
            let text = message(&response.body)
                .unwrap_or_else(|| "the leader did not say whether it knows the token".to_owned());
            Err(Refused::Unsettled { status, text, retry_after })
        }
    }
}

/// The token that was sent, if one was. Another kind of `Authorization` is none of ours.
fn token(request: &HttpRequest) -> Result<Option<String>, Refused> {
    let read = |name: &str| -> Result<Option<String>, Refused> {
        let Some(value) = request.headers().get(name) else { return Ok(None) };
        let text = value.to_str().map_err(|_| Refused::wrong_token(&TokenError::Foreign.to_string()))?;
        Ok(Some(text.trim().to_owned()))
    };
    let bearer = read(AUTHORIZATION.as_str())?.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let consul = read(CONSUL_TOKEN)?;
    Ok(bearer.or(consul).filter(|token| !token.is_empty()))
}

/// Tells a text from others without keeping it.
fn short(text: &str) -> u64 {
    blake3::hash(text.as_bytes()).as_bytes().iter().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte))
}

/// The tasks that a caller may see, without what runs said where it may not see that.
pub(super) fn visible<'a>(tasks: &'a TasksSnapshot, grants: &Grants) -> Cow<'a, TasksSnapshot> {
    if grants.see_all() {
        return Cow::Borrowed(tasks);
    }
    let sees = |task: &str| grants.allow_task(Role::Read, task);
    let shown = |task: &Arc<TaskReport>| {
        if grants.allow_task(Role::Operate, &task.name) { task.clone() } else { Arc::new(without_outputs(task)) }
    };
    let differences = tasks.differences.iter().map(|(agent, differs)| {
        (agent.clone(), differs.iter().filter(|(task, _)| sees(task)).map(|(t, how)| (t.clone(), *how)).collect())
    });
    Cow::Owned(TasksSnapshot {
        leading: tasks.leading,
        tasks: tasks.tasks.iter().filter(|task| sees(&task.name)).map(shown).collect(),
        specs: tasks.specs.iter().filter(|spec| sees(&spec.name)).cloned().collect(),
        differences: differences
            .filter(|(_, differs): &(_, std::collections::BTreeMap<_, _>)| !differs.is_empty())
            .collect(),
        // It names what every task asks for.
        consul: tasks.consul.clone().filter(|_| grants.allow(&Need::new(Role::Read, Scope::Whole))),
        trials: tasks.trials.clone(),
        plans: tasks.plans.iter().filter(|(task, _)| sees(task)).map(|(t, plan)| (t.clone(), plan.clone())).collect(),
        changed: tasks.changed.iter().filter(|(task, _)| sees(task)).map(|(t, by)| (t.clone(), by.clone())).collect(),
    })
}

fn without_outputs(task: &TaskReport) -> TaskReport {
    let mut task = task.clone();
    for event in &mut task.events {
        if let Some(error) = &mut event.error {
            HIDDEN.clone_into(error);
        }
    }
    task
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn sent(headers: &[(&'static str, &str)]) -> Result<Option<String>, Refused> {
        let request = headers.iter().fold(TestRequest::get(), |request, header| request.insert_header(*header));
        token(&request.to_http_request())
    }

    #[test]
    fn a_token_comes_in_either_header() {
        assert_eq!(sent(&[]), Ok(None));
        assert_eq!(sent(&[("authorization", "Bearer qrt_1")]), Ok(Some("qrt_1".to_owned())));
        assert_eq!(sent(&[("authorization", "bearer  qrt_1 ")]), Ok(Some("qrt_1".to_owned())));
        assert_eq!(sent(&[("x-consul-token", "qrt_2")]), Ok(Some("qrt_2".to_owned())));
        assert_eq!(
            sent(&[("authorization", "Bearer qrt_1"), ("x-consul-token", "qrt_2")]),
            Ok(Some("qrt_1".to_owned()))
        );
        assert_eq!(
            sent(&[("authorization", "Basic cm9vdDo="), ("x-consul-token", "qrt_2")]),
            Ok(Some("qrt_2".to_owned()))
        );
        assert_eq!(sent(&[("authorization", "Basic cm9vdDo=")]), Ok(None));
        assert_eq!(sent(&[("authorization", "Bearer ")]), Ok(None));
        assert!(sent(&[("authorization", "Bearer \u{e9}")]).is_err());
    }

    #[test]
    fn a_refusal_says_what_is_missing_and_to_whom() {
        let need = Need::new(Role::Operate, Scope::Task("web".to_owned()));
        let refused = |identity: &Identity| allow(identity, &Grants::default(), &need).unwrap_err();
        let Refused::Unauthenticated(text) = refused(&Identity::Anonymous) else { panic!("401") };
        assert!(text.starts_with("this needs the role operate for the task web, and no token was sent"), "{text}");
        let Refused::Forbidden(text) = refused(&Identity::Certificate(vec!["ci".to_owned()])) else { panic!("403") };
        assert_eq!(text, "this needs the role operate for the task web; certificate ci has no role");
    }
}
