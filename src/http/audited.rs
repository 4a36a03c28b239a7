//! What requests leave in the audit trail: one line for each that changes something, and for each that is refused.
//!
//! A [`Draft`] goes along with a request from its first byte to its answer. When the client goes away before that, or the
//! agent ends, its line says that nobody knows what came of it.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use serde_json::{Value, json as object};

use super::cluster::form_pairs;
use super::error::{Shape, error, message};
use super::path::percent_decode;
use super::routes::pattern;
use super::tasks::{handle_request, is_internal};
use super::{Face, caller, limits};
use crate::access::Identity;
use crate::audit::{Line, Outcome, Stage, Trail};
use crate::runtime::clock;
use crate::runtime::handle::{ApiRequest, ApiResponse, Caller, Handle, LastKnown, Request};

/// Answers that say no because of who asks, how often, or from where. Reads that get one of them have a line as well.
const REFUSALS: [u16; 3] = [401, 403, 429];
/// Answers whose text is our own: in those of others a client, or a program that ran, may have had its say.
const OWN_WORDS: [u16; 8] = [401, 403, 404, 409, 423, 429, 503, 504];

/// What a request would change.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// What nobody knows here: most likely a path that does not exist, or a method that it does not have.
    Unknown,
    /// This.
    Known,
}

/// The line of a request that is under way. An empty one writes nothing.
#[derive(Debug, Default)]
pub(super) struct Draft(Option<Box<Inner>>);

#[derive(Debug)]
struct Inner {
    trail: Trail,
    handle: Handle,
    line: Line,
    change: Change,
    /// Where the request came from, if that is an address.
    client: Option<IpAddr>,
    /// The value that a flag is set to; in the line when that was done.
    after: Option<Value>,
    /// It was let through: something may have happened.
    begun: bool,
}

impl Draft {
    /// Of a request of a client of this agent.
    pub(super) fn new(face: &Face, request: &HttpRequest, request_id: &str) -> Self {
        let Some(trail) = &face.audit else { return Self(None) };
        let (method, path) = (request.method().as_str(), request.path());
        let caller = caller::of(request, face);
        let mut draft = Self::draw(trail, &face.handle, &caller, [method, path, request.query_string(), request_id]);
        if let Some(inner) = &mut draft.0 {
            inner.client = request.peer_addr().map(|peer| peer.ip());
        }
        draft
    }

    /// Of a request that an agent passed on without saying who asks: an older one, which has no trail of its own.
    pub(super) fn of_forwarded(trail: Option<&Trail>, handle: &Handle, request: &ApiRequest) -> Self {
        let Some(trail) = trail.filter(|_| request.caller == Caller::unknown()) else { return Self(None) };
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        // Nobody asked for that.
        if is_internal(path) {
            return Self(None);
        }
        Self::draw(trail, handle, &request.caller, [&request.method, path, query, &request.request_id])
    }

    fn draw(trail: &Trail, handle: &Handle, caller: &Caller, [method, path, query, request_id]: [&str; 4]) -> Self {
        let flags = flags(query);
        let (change, action, task) = change(method, path, &flags);
        let cluster = handle.cluster();
        let line = Line {
            time: clock::utc(),
            stage: Stage::Done,
            request_id: request_id.to_owned(),
            agent: cluster.view.observer.to_string(),
            who: who(&caller.identity),
            from: caller.address.clone(),
            method: method.to_owned(),
            path: pattern(path).to_owned(),
            action: action.to_owned(),
            task: task.map(|raw| percent_decode(raw).map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned)),
            token: token_in(path).map(str::to_owned),
            key: None,
            flags,
            before: None,
            after: None,
            outcome: None,
            status: None,
            error: None,
            epoch: cluster.view.epoch.0,
            unwritten: 0,
        };
        let (trail, handle) = (trail.clone(), handle.clone());
        Self(Some(Box::new(Inner { trail, handle, line, change, client: None, after: None, begun: false })))
    }

    /// Who asks is known better now.
    pub(super) fn set_caller(&mut self, caller: &Caller) {
        if let Some(inner) = &mut self.0 {
            inner.line.who = who(&caller.identity);
            inner.line.from.clone_from(&caller.address);
        }
    }

    /// Takes it over, to finish it elsewhere.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    /// All of the request has come and it is let through. `Err`: it cannot be written down and has to be: refuse it with this.
    pub(super) async fn begin(&mut self, path: &str, body: &[u8]) -> Result<(), ApiResponse> {
        // What is not known here is written down as well, in case it changes something.
        let Some(inner) = self.0.as_mut().filter(|inner| inner.change != Change::None) else { return Ok(()) };
        inner.look_into(body).await;
        if inner.trail.is_required() {
            let asked = Line { stage: Stage::Asked, time: clock::utc(), ..inner.line.clone() };
            if let Err(lost) = inner.trail.write(&asked).await {
                let text = format!("nothing was done: this agent must {lost}");
                return Err(error(StatusCode::SERVICE_UNAVAILABLE, Shape::of(path), &text, &inner.line.request_id));
            }
        }
        inner.begun = true;
        Ok(())
    }

    /// It is answered.
    pub(super) async fn finish(&mut self, answer: &ApiResponse) {
        let Some(mut inner) = self.0.take() else { return };
        let refused = REFUSALS.contains(&answer.status);
        let counts = match inner.change {
            Change::Known => true,
            Change::Unknown => refused || inner.begun || answer.status < 400,
            Change::None => refused,
        };
        if !counts {
            return;
        }
        // Nothing was done, and whoever asks can ask without end: a flood of refusals must not push other lines out of the file.
        if refused && !inner.begun {
            let Some(unwritten) = inner.trail.counts_refusal(inner.client, clock::now().mono) else { return };
            inner.line.unwritten = unwritten;
        }
        let line = &mut inner.line;
        line.time = clock::utc();
        line.epoch = inner.handle.cluster().view.epoch.0;
        line.status = Some(answer.status);
        let outcome = Outcome::of(answer.status);
        line.outcome = Some(outcome);
        line.error = OWN_WORDS.contains(&answer.status).then(|| message(&answer.body)).flatten();
        if outcome == Outcome::Success {
            line.after = inner.after.take();
            name_what_was_made(line, &answer.body);
        }
        if inner.change == Change::Known || inner.begun {
            // What is lost is counted and told there.
            drop(inner.trail.write(line).await);
        } else {
            inner.trail.note(line);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(mut inner) = self.0.take().filter(|inner| inner.begun) else { return };
        inner.line.time = clock::utc();
        inner.line.outcome = Some(Outcome::Unknown);
        inner.line.error = Some("nobody waited for the answer".to_owned());
        inner.trail.note(&inner.line);
    }
}

impl Inner {
    /// What only the body says: which task is made, and to what a flag is set.
    async fn look_into(&mut self, body: &[u8]) {
        match self.line.action.as_str() {
            "task.create" | "task.inspect" if self.line.task.is_none() => {
                let body: Option<Value> = serde_json::from_slice(body).ok();
                self.line.task = body.and_then(|body| body["task"]["name"].as_str().map(str::to_owned));
            }
            "task.update" => {
                let Ok(enabled) = super::patch::enabled_in(body) else { return };
                if !self.line.flags.contains(&"run=inspect") {
                    if enabled { "task.enable" } else { "task.disable" }.clone_into(&mut self.line.action);
                    self.after = Some(object!({"enabled": enabled}));
                    self.line.before = self.enabled().await.map(|enabled| object!({"enabled": enabled}));
                }
            }
            _ => {}
        }
    }

    /// The flag of the task now, as this agent knows it.
    async fn enabled(&self) -> Option<bool> {
        let name = self.line.task.as_deref()?;
        let mut tasks = self.handle.tasks();
        if self.handle.cluster().high_availability && !tasks.leading {
            let known = handle_request(&self.handle, Request::LastKnown);
            let LastKnown { tasks: copy, .. } = tokio::time::timeout(limits::READ, known).await.ok()?.ok()?.ok()?;
            tasks = std::sync::Arc::new(copy);
        }
        tasks.tasks.iter().find(|task| task.name == name).map(|task| task.enabled)
    }
}

/// What a request would change, its name, and the task in its path.
fn change<'a>(method: &str, path: &'a str, flags: &[&str]) -> (Change, &'static str, Option<&'a str>) {
    if matches!(method, "GET" | "HEAD" | "OPTIONS") {
        let state = path.strip_prefix("/v1/cluster/state/");
        let task = path.strip_prefix("/v1/tasks/").or_else(|| path.strip_prefix("/v1/status/tasks/")).or(state);
        return (Change::None, "read", task.map(|rest| rest.split('/').next().unwrap_or(rest)));
    }
    let inspects = flags.contains(&"run=inspect");
    let part = |prefix: &str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    let named = |rest: &'a str| rest.split_once('/').map_or((rest, ""), |(name, verb)| (name, verb));
    let known = |name, task| (Change::Known, name, task);
    if let Some((name, verb)) = part("/v1/tasks/").map(named) {
        return match (method, verb) {
            ("PATCH", "") if inspects => known("task.inspect", Some(name)),
            ("PATCH", "") => known("task.update", Some(name)),
            ("DELETE", "") => known("task.delete", Some(name)),
            ("POST", "run") => known("task.run", Some(name)),
            ("POST", "cancel") => known("task.cancel", Some(name)),
            ("POST", "approve") => known("task.approve", Some(name)),
            ("POST", "reject") => known("task.reject", Some(name)),
            _ => (Change::Unknown, "unknown", Some(name)),
        };
    }
    if let Some((name, verb)) = part("/v1/cluster/state/").map(named) {
        return match (method, verb) {
            ("PUT", "") => known("state.push", Some(name)),
            ("POST", "restore") => known("state.restore", Some(name)),
            ("POST", "dismiss") => known("state.dismiss", Some(name)),
            _ => (Change::Unknown, "unknown", Some(name)),
        };
    }
    if let Some((_, verb)) = part("/v1/tokens/").map(named) {
        return match (method, verb) {
            ("POST", "") if path == "/v1/tokens/bootstrap" => known("token.bootstrap", None),
            ("POST", "rotate") => known("token.rotate", None),
            ("DELETE", "") => known("token.revoke", None),
            _ => (Change::Unknown, "unknown", None),
        };
    }
    match (method, path) {
        ("POST", "/v1/tokens") => known("token.create", None),
        ("POST", "/v1/tasks") if inspects => known("task.inspect", None),
        ("POST", "/v1/tasks") => known("task.create", None),
        ("POST", "/v1/cluster/step-down") => known("cluster.step-down", None),
        ("POST", "/v1/cluster/leave") => known("cluster.leave", None),
        ("POST", "/v1/cluster/reload") => known("cluster.reload", None),
        ("POST", "/v1/keyring/install") => known("keyring.install", None),
        ("POST", "/v1/keyring/use") => known("keyring.use", None),
        ("POST", "/v1/keyring/remove") => known("keyring.remove", None),
        _ => (Change::Unknown, "unknown", None),
    }
}

/// The accessor in a path about one token.
fn token_in(path: &str) -> Option<&str> {
    let accessor = path.strip_prefix("/v1/tokens/")?.split('/').next()?;
    (!accessor.is_empty() && !matches!(accessor, "bootstrap" | "self")).then_some(accessor)
}

/// Which token or key an answer is about, where only the answer says it.
fn name_what_was_made(line: &mut Line, answer: &[u8]) {
    let is_of_token = matches!(line.action.as_str(), "token.create" | "token.bootstrap");
    if !is_of_token && !line.action.starts_with("keyring.") {
        return;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if is_of_token {
        line.token = text(&answer["token"]["accessor"]);
    } else {
        line.key = text(&answer["fingerprint"]);
    }
}

/// The switches of a query. Nothing else of it is kept.
fn flags(query: &str) -> Vec<&'static str> {
    let pairs = form_pairs(query);
    let mut flags: Vec<_> = pairs
        .iter()
        .filter_map(|(key, value)| match (key.as_str(), value.as_str()) {
            ("cancel", "" | "true" | "1") => Some("cancel"),
            ("force", "" | "true" | "1") => Some("force"),
            ("run", "now") => Some("run=now"),
            ("run", "inspect") => Some("run=inspect"),
            _ => None,
        })
        .collect();
    flags.sort_unstable();
    flags.dedup();
    flags
}

/// A caller as the trail names it; no secret, not even its hash.
fn who(identity: &Identity) -> Value {
    let kind = identity.kind();
    match identity {
        Identity::Anonymous | Identity::Member => object!({"kind": kind}),
        Identity::Token(token) if token.accessor.is_empty() => object!({"kind": kind, "known": false}),
        Identity::Token(token) => {
            object!({"kind": kind, "accessor": token.accessor, "description": cut(&token.description)})
        }
        Identity::Certificate(names) => object!({"kind": kind, "names": names.iter().take(4).collect::<Vec<_>>()}),
        Identity::Socket { uid, user, admin } => object!({"kind": kind, "uid": uid, "user": user, "admin": admin}),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_and_the_key_it_is_about_are_named_and_no_secret() {
        assert_eq!(token_in("/v1/tokens/1f2e/rotate"), Some("1f2e"));
        assert_eq!(
            (token_in("/v1/tokens/bootstrap"), token_in("/v1/tokens"), token_in("/v1/tokens/")),
            (None, None, None)
        );
        let mut line = Line { action: "token.create".to_owned(), ..Line::sample() };
        name_what_was_made(&mut line, br#"{"token": {"accessor": "1f2e"}, "secret": "qrt_5"}"#);
        assert_eq!((line.token.as_deref(), line.text().contains("qrt_")), (Some("1f2e"), false));
        let mut line = Line { action: "keyring.use".to_owned(), ..Line::sample() };
        name_what_was_made(&mut line, br#"{"fingerprint": "c3e0"}"#);
        assert_eq!(line.key.as_deref(), Some("c3e0"));
    }

    #[test]
    fn every_change_of_the_document_has_a_name() {
        let document: Value = serde_json::from_str(super::super::schema::DOCUMENT).unwrap();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().filter(|key| key.as_str() != "parameters") {
                let path_of_web = path.replace("{name}", "web");
                let (change, action, task) = change(&method.to_uppercase(), &path_of_web, &[]);
                if method == "get" {
                    assert_eq!((change, action), (Change::None, "read"), "{path}");
                } else {
                    assert_eq!(change, Change::Known, "{method} {path}");
                    assert_eq!(task.is_some(), path.contains("{name}"), "{method} {path}");
                    assert!(action.contains('.'), "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn of_a_query_only_switches_are_kept() {
        assert_eq!(flags("run=now&cancel=true&secret=x&force=maybe&cancel=1"), ["cancel", "run=now"]);
        assert_eq!(flags("run=s3cret"), Vec::<&str>::new());
        assert_eq!(change("POST", "/v1/tasks", &["run=inspect"]).1, "task.inspect");
    }

    #[test]
    fn what_does_not_exist_changes_nothing() {
        for (method, path) in
            [("POST", "/v1/status"), ("DELETE", "/x"), ("PUT", "/v1/tasks/a"), ("POST", "/v1/tasks/a/b")]
        {
            assert_eq!(change(method, path, &[]).0, Change::Unknown, "{method} {path}");
        }
    }
}
