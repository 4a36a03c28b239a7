//! The HTTP API of an agent: it reads the [`Handle`], asks the agent through it, and knows nothing else of it.
//!
//! Three kinds of requests, told apart in `routes` (the files of the web page, `ui`, are no request to an agent):
//!
//! - *views* of the cluster: every agent answers from what it sees;
//! - requests about *what the cluster agreed on* (tasks, runs, Terraform state, tokens, keys): only the leader answers, through
//!   [`answer`]; a follower sends them on (`forward`);
//! - *commands to this very agent* (leave, reload).
//!
//! A follower's forwarded requests come out of the control connection at the leader as [`Forwarded`] and end in the
//! same [`answer`]: one function says what a task request means, whoever received it.
//!
//! The server has a thread of its own: a slow or hostile client costs a socket and a little memory, never time of the
//! gossip. What a client may cost is in `limits`; who may connect, and who gives way, in `connections`.
//!
//! # Not here
//!
//! CORS: no header is ever sent, so pages of other origins read nothing.

mod access;
mod approve;
mod audited;
mod body;
mod caller;
mod cancel;
mod cluster;
mod connections;
mod create;
mod error;
mod events;
mod follow;
mod forward;
mod fuzzing;
mod guard;
mod keyring;
mod limits;
pub mod listen;
mod patch;
mod path;
mod permission;
mod readiness;
#[cfg(test)]
mod reference;
mod reload;
pub mod reply;
mod routes;
mod runs;
mod schema;
mod server;
mod stale;
pub mod state;
mod stream;
mod tasks;
pub mod tls;
mod tokens;
mod ui;

use std::io;
use std::path::PathBuf;

use actix_web::{App, web};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::forward::serve_forwarded;
pub use self::fuzzing::request as fuzz_request;
pub use self::limits::Limits;
pub use self::listen::Addr;
use self::listen::Listener;
pub use self::tasks::answer;
use crate::audit::Trail;
use crate::runtime::handle::{Forwarded, Handle};

/// What a follower does with a request that only the leader can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FollowerRequests {
    /// Ask the leader and return its answer.
    #[default]
    Forward,
    /// Say who leads, with status 400, as CTS Enterprise does.
    Redirect,
}

/// How the API is offered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub addr: Addr,
    /// Host names, besides those of the loopback, by which clients may call a listener on the loopback.
    pub allowed_hosts: Vec<String>,
    /// See there.
    pub follower_requests: FollowerRequests,
    /// `None`: plain HTTP.
    pub tls: Option<tls::Tls>,
    /// How many connections it takes.
    pub limits: Limits,
    /// Where it is written down who changed what; `None`: nowhere.
    pub audit: Option<Trail>,
    /// The socket of the local administrator: whoever may connect to it may do everything. `None`: there is none.
    pub admin: Option<PathBuf>,
    /// Whoever reaches the API from elsewhere may change everything, and the operator said so.
    pub insecure: bool,
}

/// Why the API is not offered. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("listen for HTTP on {addr}: choose another with http_addr or -http-addr")]
    Bind {
        /// What was asked for.
        addr: Addr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate or key is not what it should be.
    #[error("offer the API over TLS")]
    Tls(#[from] tls::TlsError),
    /// The machine gives no more threads.
    #[error("start the HTTP thread")]
    Thread(#[source] io::Error),
}

/// A running API.
#[derive(Debug)]
pub struct Server {
    addr: Addr,
    admin: Option<PathBuf>,
    stopped: oneshot::Receiver<io::Result<()>>,
}

impl Server {
    /// Where it listens, the port resolved.
    pub fn addr(&self) -> &Addr {
        &self.addr
    }

    /// Waits until it has stopped: at most five seconds after the shutdown was asked for. A socket goes with it.
    pub async fn stopped(self) -> io::Result<()> {
        let outcome =
            self.stopped.await.unwrap_or_else(|_| Err(io::Error::other("the HTTP thread ended without a word")));
        let own = if let Addr::Unix(path) = &self.addr { Some(path) } else { None };
        for path in own.into_iter().chain(&self.admin) {
            // Gone already when the server took it along.
            drop(std::fs::remove_file(path));
        }
        outcome
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
struct Face {
    handle: Handle,
    follower_requests: FollowerRequests,
    guard: guard::Guard,
    audit: Option<Trail>,
    /// This is the face on the socket of the local administrator.
    admin: bool,
    insecure: bool,
    shutdown: CancellationToken,
}

/// Listens, then serves in a thread of its own until `shutdown` is cancelled: long polls are then answered at once, what
/// is under way has four seconds to end. `forwarded` are the requests that other agents sent to this one as the leader.
pub fn serve(
    settings: &Settings,
    handle: Handle,
    forwarded: mpsc::Receiver<Forwarded>,
    shutdown: CancellationToken,
) -> Result<Server, ServeError> {
    let tls = settings.tls.as_ref().map(|tls| tls.load_for(Some(handle.metrics.clone()))).transpose()?;
    let bind = |source| ServeError::Bind { addr: settings.addr.clone(), source };
    let (listener, addr) = Listener::bind(&settings.addr).map_err(bind)?;
    let admin = settings.admin.as_ref().map(|path| {
        let addr = Addr::Unix(path.clone());
        let bound = Listener::bind(&addr);
        bound.map(|(listener, _)| listener).map_err(|source| ServeError::Bind { addr, source })
    });
    let admin = admin.transpose()?;
    let face = Face {
        handle,
        admin: false,
        insecure: settings.insecure,
        follower_requests: settings.follower_requests,
        guard: guard::Guard::new(addr.tcp(), &settings.allowed_hosts),
        audit: settings.audit.clone(),
        shutdown,
    };
    let limits = settings.limits;
    let (report, stopped) = oneshot::channel();
    std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || {
            let outcome = server::system().block_on(run(face, listener, admin, tls, limits, forwarded));
            if let Err(error) = &outcome {
                tracing::error!(%error, "the HTTP API stopped");
            }
            // Nobody waits for it when the process is going down in another way.
            drop(report.send(outcome));
        })
        .map_err(ServeError::Thread)?;
    Ok(Server { addr, admin: settings.admin.clone(), stopped })
}

async fn run(
    face: Face,
    listener: Listener,
    admin: Option<Listener>,
    tls: Option<rustls::ServerConfig>,
    limits: Limits,
    forwarded: mpsc::Receiver<Forwarded>,
) -> io::Result<()> {
    let (handle, audit) = (face.handle.clone(), face.audit.clone());
    // A server of its own: whatever others do to the first one, the local administrator is heard.
    let admin = admin.map(|listener| {
        let face = Face { admin: true, guard: guard::Guard::new(None, &[]), ..face.clone() };
        serve_on(face, server::Listening { listener, tls: None, limits: Limits::default() })
    });
    let admin = async {
        match admin {
            Some(admin) => admin.await,
            None => Ok(()),
        }
    };
    let both = futures_util::future::try_join(serve_on(face, server::Listening { listener, tls, limits }), admin);
    // Only a server itself ends this: after the stop, or because it cannot go on.
    tokio::select! {
        outcome = both => outcome.map(drop),
        () = serve_forwarded(&handle, audit.as_ref(), forwarded) => Ok(()),
    }
}

async fn serve_on(face: Face, listening: server::Listening) -> io::Result<()> {
    let (metrics, shutdown) = (face.handle.metrics.clone(), face.shutdown.clone());
    let shared = web::Data::new(face);
    let app = || App::new().app_data(shared.clone()).default_service(web::to(routes::respond));
    server::serve(listening, app, metrics, shutdown).await
}
