//! Accepts connections and serves HTTP on them: a loop of our own around the library's protocol, so that who may connect is
//! decided before anything is spent on a connection, and every one can be ended at any time.
//!
//! All of it runs on one thread: a slow or hostile client costs a socket and a little memory, never time of the gossip.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::body::MessageBody;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::rt::{System, SystemRunner};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::caller;
use super::connections::{Client, Ended, Id, Table};
use super::limits::{self, Limits};
use super::listen::Listener;
use super::stream::{Place, Stream, Watched};
use crate::runtime::clock;
use crate::runtime::handle::MetricsText;

/// Where connections come from, and what is spoken on them.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) listener: Listener,
    /// `None`: plain HTTP.
    pub(super) tls: Option<rustls::ServerConfig>,
    pub(super) limits: Limits,
}

/// A system for the thread that serves: small, as nothing on it blocks.
pub(super) fn system() -> SystemRunner {
    System::with_tokio_rt(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        #[expect(clippy::expect_used, reason = "without a reactor nothing can be served; a panic ends the process")]
        runtime.expect("the machine gives no reactor")
    })
}

/// Serves `app` at an address until `shutdown` is cancelled: then what is under way has [`limits::DRAIN`] to end.
pub(super) async fn serve<I, S, B>(
    listening: Listening,
    app: impl Fn() -> I,
    metrics: Arc<dyn MetricsText>,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    I: IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<actix_http::Request, Config = AppConfig, Response = ServiceResponse<B>, Error = actix_web::Error>
        + 'static,
    S::InitError: fmt::Debug,
    B: MessageBody + 'static,
{
    let draining = shutdown.clone();
    let service = HttpService::build()
        .keep_alive(limits::KEEP_ALIVE)
        .client_request_timeout(limits::REQUEST_HEAD)
        .client_disconnect_timeout(limits::DISCONNECT)
        .graceful_shutdown_signal(move || draining.clone().cancelled_owned())
        .on_connect_ext(|connection: &Watched, data| {
            data.insert(connection.place().clone());
            data.insert(caller::Shown::on(connection.stream()));
        })
        .h1(map_config(app(), |()| AppConfig::default()));
    let service = service.new_service(()).await.map_err(|()| io::Error::other("the HTTP service does not start"))?;
    let (service, room) = (Rc::new(service), Rc::new(Room::new(listening.limits, metrics)));
    let connect = move |stream: Watched, peer: Option<SocketAddr>| {
        let service = Rc::clone(&service);
        async move {
            // The application is always ready: it waits in its requests.
            if let Err(error) = service.call((stream, peer)).await {
                tracing::debug!(%error, "a connection ended");
            }
        }
    };
    tokio::select! {
        outcome = accept(listening, Rc::clone(&room), connect) => outcome?,
        () = sweep(&room) => {}
        () = shutdown.cancelled() => {}
    }
    let drained = async {
        while room.table.borrow().len() > 0 {
            room.changed.notified().await;
        }
    };
    drop(tokio::time::timeout(limits::DRAIN, drained).await);
    Ok(())
}

/// Ends what takes too long, as long as there are connections.
async fn sweep(room: &Room) {
    loop {
        while room.table.borrow().len() == 0 {
            room.changed.notified().await;
        }
        tokio::time::sleep(limits::SWEEP).await;
        let late = room.table.borrow_mut().take_late(clock::now().mono);
        for (id, why) in late {
            room.end(id, why);
        }
    }
}

/// The connections of one address.
struct Room {
    table: Rc<RefCell<Table>>,
    /// What ends each.
    ends: RefCell<BTreeMap<Id, CancellationToken>>,
    /// One came or went. Both the sweep and the drain may wait, but never at once.
    changed: Notify,
    metrics: Arc<dyn MetricsText>,
    told: RefCell<Told>,
}

/// What the log has not told yet.
#[derive(Debug, Default)]
struct Told {
    last: Option<Duration>,
    ended: u64,
    refused: u64,
}

impl Room {
    fn new(limits: Limits, metrics: Arc<dyn MetricsText>) -> Self {
        Self {
            table: Rc::new(RefCell::new(Table::new(limits.connections, limits.per_client))),
            ends: RefCell::default(),
            changed: Notify::new(),
            metrics,
            told: RefCell::default(),
        }
    }

    /// Takes a connection, or not.
    fn admit(self: &Rc<Self>, client: Client) -> Option<(Place, Held)> {
        let admitted = self.table.borrow_mut().admit(client, clock::now().mono);
        match admitted {
            Ok((id, instead)) => {
                let end = CancellationToken::new();
                self.ends.borrow_mut().insert(id, end.clone());
                self.metrics.http_connections(1);
                self.changed.notify_one();
                if let Some(other) = instead {
                    self.end(other, Ended::Room);
                    self.tell(client, |told| told.ended += 1);
                }
                Some((Place::new(Rc::clone(&self.table), id), Held { room: Rc::clone(self), id, end }))
            }
            Err(why) => {
                self.metrics.http_connection_refused(why.as_str());
                self.tell(client, |told| told.refused += 1);
                None
            }
        }
    }

    /// Ends a connection that the table has forgotten.
    fn end(&self, id: Id, why: Ended) {
        if let Some(end) = self.ends.borrow().get(&id) {
            self.metrics.http_connection_ended(why.as_str());
            end.cancel();
        }
    }

    /// A connection could not be accepted: mostly because there are no descriptors.
    fn cannot_accept(&self, error: &io::Error) {
        self.metrics.http_connection_refused("accept");
        tracing::debug!(%error, "a connection cannot be accepted");
        let other = self.table.borrow_mut().give_way();
        if let Some(other) = other {
            self.end(other, Ended::Room);
        }
    }

    fn tell(&self, client: Client, note: impl Fn(&mut Told)) {
        let (mut told, now) = (self.told.borrow_mut(), clock::now().mono);
        note(&mut told);
        if told.last.is_some_and(|last| now.saturating_sub(last) < limits::TELL) {
            return;
        }
        tracing::warn!(
            ended = told.ended, refused = told.refused, newest = %client,
            "the API has more connections than its limits allow: idle ones give way to new ones, others are refused"
        );
        *told = Told { last: Some(now), ended: 0, refused: 0 };
    }
}

/// A place in a room, given back when dropped.
struct Held {
    room: Rc<Room>,
    id: Id,
    end: CancellationToken,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(why) = self.room.table.borrow_mut().remove(self.id) {
            self.room.metrics.http_connection_ended(why.as_str());
        }
        self.room.ends.borrow_mut().remove(&self.id);
        self.room.metrics.http_connections(-1);
        self.room.changed.notify_one();
    }
}

/// Takes what comes to an address, for ever.
async fn accept<F>(
    listening: Listening,
    room: Rc<Room>,
    connect: impl Fn(Watched, Option<SocketAddr>) -> F + Clone + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()> + 'static,
{
    let tls = listening.tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    let listener = Accepting::new(listening.listener)?;
    loop {
        let (stream, client, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                room.cannot_accept(&error);
                tokio::time::sleep(limits::BREATH).await;
                continue;
            }
        };
        let Some((place, held)) = room.admit(client) else {
            turn_away(&stream, tls.is_some());
            continue;
        };
        let (tls, connect) = (tls.clone(), connect.clone());
        actix_web::rt::spawn(async move {
            let end = held.end.clone();
            let work = async {
                if let Some(stream) = greet(stream, tls).await {
                    connect(Watched::new(stream, place), peer).await;
                }
            };
            // What is ended is dropped, whatever it does.
            end.run_until_cancelled(work).await;
            drop(held);
        });
        // What gave way is closed before the next one is taken: so there are never more sockets than the limit allows.
        tokio::task::yield_now().await;
    }
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Client, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Plain(stream), Client::of(peer.ip()), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let client = Client::User(stream.peer_cred()?.uid());
                Ok((Stream::Local(stream), client, None))
            }
        }
    }
}

/// Says why, if that can be said without waiting.
fn turn_away(stream: &Stream, sealed: bool) {
    const BODY: &str = "{\"error\":{\"message\":\"too many connections\"}}";
    if sealed {
        return;
    }
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let _told = match stream {
        Stream::Plain(stream) => stream.try_write(answer.as_bytes()),
        Stream::Local(stream) => stream.try_write(answer.as_bytes()),
        Stream::Sealed(_) => Ok(0),
    };
}

/// Sets a new connection up. `None`: it is no use. A handshake that rests is ended by the sweep.
async fn greet(stream: Stream, tls: Option<TlsAcceptor>) -> Option<Stream> {
    match (stream, tls) {
        (Stream::Plain(stream), tls) => {
            prepare(&stream);
            let Some(tls) = tls else { return Some(Stream::Plain(stream)) };
            match tls.accept(stream).await {
                Ok(stream) => Some(Stream::Sealed(Box::new(stream))),
                Err(error) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
            }
        }
        (stream, _) => Some(stream),
    }
}

fn prepare(stream: &TcpStream) {
    limits::bound_silence(stream);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may wait for others");
    }
}
