//! Terraform's `http` backend for the runs of this agent: `GET`, `POST`, `DELETE`, `LOCK` and `UNLOCK /v1/state/<task>`.
//!
//! On a listener of its own, always on the loopback, whatever the API is bound to: only processes of this machine can
//! ask, and of those only the run that knows its secret. It lives longer than the API does: while an agent stops, its
//! runs still save.
//!
//! What Terraform (1.4 to 1.14) makes of answers: 200 and 204 are success; to `GET` 204 and 404 are "no state"; to `LOCK`
//! 423 and 409 are a refusal whose body is read as lock info; 5xx and broken connections are tried again, twice unless
//! told otherwise; anything else is an error. After a refused `POST` it keeps `errored.tfstate` in its directory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::{fmt, io};

use actix_web::http::{Method, StatusCode, header};
use actix_web::{App, HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::cluster::form_pairs;
use super::super::error::JSON;
use super::super::guard::Guard;
use super::super::listen::Listener;
use super::super::stream::{Busy, Place};
use super::super::{ServeError, body, limits, server};
use super::refusal;
use crate::runtime::handle::MetricsText;
use crate::runtime::state::RunCredentials;
use crate::state::{Caller, Denied, Grant, Request, StateAnswer, StateCall, StateService, content_md5};

const PREFIX: &str = "/v1/state/";
/// Terraform 1.x sends states, lock infos and nothing else; its base64 MD5 has 24 characters.
const CONTENT_MD5: &str = "content-md5";

/// The listener for runs.
#[derive(Debug)]
pub struct RunListener {
    addr: SocketAddr,
    stopped: oneshot::Receiver<io::Result<()>>,
}

impl RunListener {
    /// Where runs find it.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until it has stopped: at most five seconds after the shutdown was asked for.
    pub async fn stopped(self) -> io::Result<()> {
        self.stopped.await.unwrap_or_else(|_| Err(io::Error::other("the state thread ended without a word")))
    }
}

/// What the handlers share.
struct RunFace {
    service: Arc<dyn StateService>,
    credentials: RunCredentials,
    guard: Guard,
    shutdown: CancellationToken,
}

impl fmt::Debug for RunFace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunFace").finish_non_exhaustive()
    }
}

/// Listens on a free port of 127.0.0.1 and serves in a thread of its own until `shutdown` is cancelled: to be done when
/// the agent's runs are over, not before.
pub fn serve_runs(
    service: Arc<dyn StateService>,
    credentials: RunCredentials,
    shutdown: CancellationToken,
) -> Result<RunListener, ServeError> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bind = |source| ServeError::Bind { addr: wanted.into(), source };
    let listener = TcpListener::bind(wanted).map_err(bind)?;
    let addr = listener.local_addr().map_err(bind)?;
    let face = RunFace { service, credentials, guard: Guard::new(Some(addr), &[]), shutdown };
    let (report, stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("state".to_owned())
        .spawn(move || {
            let outcome = server::system().block_on(run(face, listener));
            if let Err(error) = &outcome {
                tracing::error!(%error, "the state listener stopped");
            }
            // Nobody waits for it when the process is going down in another way.
            drop(report.send(outcome));
        })
        .map_err(ServeError::Thread)?;
    Ok(RunListener { addr, stopped })
}

async fn run(face: RunFace, listener: TcpListener) -> io::Result<()> {
    let shutdown = face.shutdown.clone();
    let shared = web::Data::new(face);
    let app = || App::new().app_data(shared.clone()).default_service(web::to(respond));
    let listening = server::Listening { listener: Listener::Tcp(listener), tls: None, limits: limits::RUNS };
    server::serve(listening, app, Arc::new(Uncounted), shutdown).await
}

/// The connections of runs are not those of the API.
#[derive(Debug)]
struct Uncounted;

impl MetricsText for Uncounted {
    fn text(&self) -> String {
        String::new()
    }
}

async fn respond(request: HttpRequest, payload: web::Payload, face: web::Data<RunFace>) -> HttpResponse {
    let busy = request.conn_data::<Place>().map(Place::busy);
    let response = match admit(&request, &face) {
        Err(refused) => *refused,
        Ok((task, grant)) => match ask(&request, payload).await {
            Err((status, why)) => refused(status, &why),
            Ok(asked) => {
                let caller = Caller::Run { token: grant.token, agent: face.credentials.agent().clone() };
                let call = StateCall { task, caller, request: asked };
                // A read of a run is not to be ended either: Terraform would fail.
                busy.iter().for_each(Busy::changes);
                write(patiently(&face, call, &grant).await)
            }
        },
    };
    tracing::debug!(method = %request.method(), path = request.path(), status = response.status().as_u16(), "answered a run");
    response
}

/// Which run asks about which task.
fn admit(request: &HttpRequest, face: &RunFace) -> Result<(String, Grant), Box<HttpResponse>> {
    face.guard.check(request).map_err(|why| Box::new(refused(StatusCode::FORBIDDEN, &why)))?;
    let Some(task) = request.path().strip_prefix(PREFIX).filter(|task| !task.is_empty()) else {
        return Err(refused(StatusCode::NOT_FOUND, "only the state of tasks is here: /v1/state/<task>").into());
    };
    let (username, password) = basic(request).unwrap_or_default();
    match face.credentials.check(&username, &password, task) {
        Ok(grant) => Ok((task.to_owned(), grant)),
        Err(denied @ Denied::Unknown) => {
            let mut response = refused(StatusCode::UNAUTHORIZED, &denied.to_string());
            let challenge = header::HeaderValue::from_static("Basic realm=\"runs of this agent\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            Err(response.into())
        }
        Err(denied @ Denied::OtherTask) => Err(refused(StatusCode::FORBIDDEN, &denied.to_string()).into()),
    }
}

/// User and password.
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    text.split_once(':').map(|(username, password)| (username.to_owned(), password.to_owned()))
}

/// What the run wants, the body checked against its MD5.
async fn ask(request: &HttpRequest, payload: web::Payload) -> Result<Request, (StatusCode, String)> {
    let method = request.method().as_str();
    let lock_id = form_pairs(request.query_string()).into_iter().find(|(key, _)| key == "ID").map(|(_, id)| id);
    match method {
        "GET" => return Ok(Request::Get { version: None }),
        "DELETE" => return Ok(Request::Delete { lock_id }),
        "POST" | "LOCK" | "UNLOCK" => {}
        _ => return Err((StatusCode::METHOD_NOT_ALLOWED, format!("'{method}' is not a method of a state"))),
    }
    let limit = if *request.method() == Method::POST { limits::STATE_BODY } else { limits::BODY };
    let body = body::read(request, payload, limit).await?;
    if let Some(given) = request.headers().get(CONTENT_MD5)
        && given.as_bytes() != STANDARD.encode(content_md5(&body)).as_bytes()
    {
        return Err((StatusCode::BAD_REQUEST, "the body is not the one that its Content-MD5 is of".to_owned()));
    }
    Ok(match method {
        "POST" => Request::Put { lock_id, content: body },
        "LOCK" => Request::Lock { info: body },
        _ => Request::Unlock { info: body },
    })
}

/// Asks until somebody leads and answers, as long as the run's grant says: so a run that drains saves through the next
/// leader. Every request may be repeated.
async fn patiently(face: &RunFace, call: StateCall, grant: &Grant) -> StateAnswer {
    let patience = tokio::time::sleep(grant.patience.min(limits::PATIENCE_MAX));
    tokio::pin!(patience);
    loop {
        let answer = face.service.handle(call.clone()).await;
        if !matches!(answer, StateAnswer::NoLeader(_) | StateAnswer::Unknown(_)) {
            return answer;
        }
        tokio::select! {
            () = &mut patience => return answer,
            () = face.shutdown.cancelled() => return answer,
            () = tokio::time::sleep(limits::PAUSE) => {}
        }
    }
}

fn write(answer: StateAnswer) -> HttpResponse {
    match answer {
        StateAnswer::Content { md5, content } => HttpResponse::Ok()
            .content_type(JSON)
            .insert_header((CONTENT_MD5, STANDARD.encode(md5)))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(content),
        StateAnswer::Nothing => HttpResponse::NotFound().finish(),
        StateAnswer::Done => HttpResponse::Ok().finish(),
        StateAnswer::Locked { info } => HttpResponse::build(StatusCode::LOCKED).content_type(JSON).body(info),
        StateAnswer::Fenced { leader, epoch, why } => {
            // Terraform reads the body of a refused LOCK as lock info, and shows its ID.
            let body = json!({
                "ID": format!("none: {why}"),
                "error": {"message": why},
                "leader": leader.to_string(),
                "epoch": epoch.0,
            });
            HttpResponse::Conflict().json(body)
        }
        other => {
            let (status, why) = refusal(&other);
            refused(status, &why)
        }
    }
}

fn refused(status: StatusCode, why: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({"ID": format!("none: {why}"), "error": {"message": why}}))
}
