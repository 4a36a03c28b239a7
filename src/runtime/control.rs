//! Control connections: TCP between agents, on the same port number as gossip, sealed by Noise when there is a key.
//!
//! They carry what does not fit a datagram, and the requests that followers forward to the leader. A connection is made
//! when it is needed and kept while it is used. Nothing here is trusted to arrive: the core repeats its messages by
//! timer, and a forwarded request that gets no answer is reported as unknown.
//!
//! Whoever can reach the port can connect. Until its first frame has opened, a connection is a stranger's: it has a deadline, sends
//! little, and its place is of those that [`admission`] gives away. A connection lives as long as the key that it was made by is in the
//! ring.

mod admission;
mod contents;
mod frames;
mod inbound;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::MemberId;
use quorate_proto::noise::{Channel, Handshake};
use quorate_proto::seal::{Fingerprint, Ring, Speakers};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

pub use self::contents::Transfer;
use self::frames::{CALLERS, CALLERS_PATH, Frame, Unsigned, next, write};
use self::inbound::{Inbound, lock, run};

use super::clock;
use super::core::Command;
use super::handle::{ApiRequest, ApiResponse, Forwarded};
use super::keyring::Keys;
use super::metrics::Metrics;
use super::strangers::Strangers;
use crate::store;

/// A peer that takes longer to connect or to prove itself is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection on which nothing happened for this long is closed.
/// Longer than a forwarded request may take: its answer comes over the connection that carried it.
const IDLE: Duration = Duration::from_mins(2);
/// Connections of members at once, which have proved that they are such.
const PROVEN_MAX: usize = 256;
/// Contents sent at once; more wait.
const SENDING_MAX: usize = 8;
/// Messages queued for one peer; the core repeats what is dropped.
const QUEUE: usize = 64;

/// A message that does not fit a datagram.
#[derive(Debug)]
pub struct Outgoing {
    /// The peer's gossip address.
    pub to: SocketAddr,
    /// The encoded control message.
    pub message: Vec<u8>,
}

/// The peer cannot be told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld;

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<ApiResponse>>>>;

/// One connection that this agent dialled.
#[derive(Debug, Clone)]
struct Link {
    frames: mpsc::Sender<Frame>,
    waiting: Waiting,
    /// Whether the peer knows [`Frame::Forward`], when that is known.
    knows_callers: Arc<OnceCell<bool>>,
}

/// The control plane of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    keys: Keys,
    /// By which key peers were reached last.
    speakers: std::sync::Mutex<Speakers>,
    /// Addresses of members and seeds.
    known: watch::Receiver<Arc<BTreeSet<IpAddr>>>,
    inbound: std::sync::Mutex<Inbound>,
    proven: Semaphore,
    strangers: std::sync::Mutex<Strangers>,
    metrics: Arc<Metrics>,
    own: SocketAddr,
    links: Mutex<BTreeMap<SocketAddr, Link>>,
    commands: mpsc::Sender<Command>,
    forwarded: mpsc::Sender<Forwarded>,
    blobs: store::Blobs,
    sending: Semaphore,
    next_request: std::sync::atomic::AtomicU64,
}

/// What the control plane works with.
#[derive(Debug)]
pub struct Parts {
    /// Of the cluster.
    pub name: String,
    /// What seals the connections.
    pub keys: Keys,
    /// The gossip address that others know.
    pub own: SocketAddr,
    /// To the core.
    pub commands: mpsc::Sender<Command>,
    /// To whoever answers requests of other agents.
    pub forwarded: mpsc::Sender<Forwarded>,
    /// Large values.
    pub blobs: store::Blobs,
    /// Addresses of members and seeds.
    pub known: watch::Receiver<Arc<BTreeSet<IpAddr>>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Control {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { name, keys, own, commands, forwarded, blobs, known, metrics } = parts;
        let shared = Shared {
            name,
            keys,
            speakers: std::sync::Mutex::default(),
            known,
            inbound: std::sync::Mutex::default(),
            proven: Semaphore::new(PROVEN_MAX),
            strangers: std::sync::Mutex::default(),
            metrics,
            own,
            links: Mutex::new(BTreeMap::new()),
            commands,
            forwarded,
            blobs,
            sending: Semaphore::new(SENDING_MAX),
            next_request: std::sync::atomic::AtomicU64::new(1),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sends what the core gives, for ever.
    pub async fn send_outgoing(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        while let Some(Outgoing { to, message }) = outgoing.recv().await {
            let link = self.link(to).await;
            // A full queue is a slow peer: dropped, the core repeats.
            drop(link.frames.try_send(Frame::Message(message)));
        }
    }

    /// Asks a peer; `None` when no answer came in time: then the outcome is unknown.
    pub async fn ask(&self, to: SocketAddr, request: ApiRequest, limit: Duration) -> Option<ApiResponse> {
        let link = self.link(to).await;
        self.exchange(&link, |number| Frame::Request(number, Unsigned::new(request)), limit).await
    }

    /// Asks a peer for a client, and says who that is. `must`: it is not to be asked without.
    pub async fn forward(
        &self,
        to: SocketAddr,
        request: ApiRequest,
        must: bool,
        limit: Duration,
    ) -> Result<Option<ApiResponse>, TooOld> {
        let link = self.link(to).await;
        let known = link.knows_callers.get_or_try_init(async || {
            let (method, target) = ("GET".to_owned(), CALLERS_PATH.to_owned());
            let probe = Unsigned { method, target, body: Vec::new(), request_id: String::new() };
            let answer = self.exchange(&link, |number| Frame::Request(number, probe), CALLERS.min(limit)).await;
            answer.map(|answer| answer.status == 200).ok_or(())
        });
        let frame: Box<dyn FnOnce(u64) -> Frame + Send> = match known.await {
            Ok(true) => Box::new(move |number| Frame::Forward(number, request)),
            Ok(false) if must => return Err(TooOld),
            Ok(false) => Box::new(move |number| Frame::Request(number, Unsigned::new(request))),
            Err(()) => return Ok(None),
        };
        Ok(self.exchange(&link, frame, limit).await)
    }

    async fn exchange(&self, link: &Link, frame: impl FnOnce(u64) -> Frame, limit: Duration) -> Option<ApiResponse> {
        let number = self.shared.next_request.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        link.waiting.lock().await.insert(number, reply);
        let sent = link.frames.send(frame(number)).await;
        let answer = match sent {
            Ok(()) => timeout(limit, answer).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        link.waiting.lock().await.remove(&number);
        answer
    }

    /// Asks the leader to remove a member from the voters. The view tells when it has.
    pub async fn ask_to_be_removed(&self, leader: SocketAddr, id: MemberId) {
        let link = self.link(leader).await;
        drop(link.frames.try_send(Frame::Remove(id)));
    }

    async fn link(&self, to: SocketAddr) -> Link {
        let mut links = self.shared.links.lock().await;
        if let Some(link) = links.get(&to).filter(|link| !link.frames.is_closed()) {
            return link.clone();
        }
        // Members change their addresses: links that have ended do not pile up.
        links.retain(|_, link| !link.frames.is_closed());
        let (frames, queue) = mpsc::channel(QUEUE);
        let link = Link { frames, waiting: Waiting::default(), knows_callers: Arc::default() };
        links.insert(to, link.clone());
        let (this, waiting) = (self.clone(), link.waiting.clone());
        tokio::spawn(async move {
            if let Err(error) = this.dial(to, queue, &waiting).await {
                debug!(%to, %error, "control connection ended");
            }
            // Whoever still waits gets no answer.
            waiting.lock().await.clear();
        });
        link
    }

    async fn dial(&self, to: SocketAddr, mut queue: mpsc::Receiver<Frame>, waiting: &Waiting) -> std::io::Result<()> {
        let mut rings = self.shared.keys.watch();
        let (mut stream, mut channel, by) = self.connect(to).await?;
        write(&mut stream, &mut channel, &Frame::Hello(self.shared.own)).await?;
        let mut buffer = vec![0; 16 * 1024];
        let mut is_used = true;
        loop {
            // Nobody sends by it any more: it ends with the last answer.
            if !is_used && waiting.lock().await.is_empty() {
                return Ok(());
            }
            tokio::select! {
                frame = queue.recv(), if is_used => match frame {
                    Some(frame) => write(&mut stream, &mut channel, &frame).await?,
                    None => is_used = false,
                },
                Ok(()) = rings.changed() => {
                    Self::still_ours(by, &mut rings)?;
                    // The next frame goes by the newest key.
                    self.retire(to, by).await;
                }
                read = timeout(IDLE, stream.read(&mut buffer)) => {
                    let size = read??;
                    if size == 0 {
                        return Ok(());
                    }
                    channel.feed(&buffer[..size]);
                    while let Some(frame) = next(&mut channel)? {
                        if let Frame::Answer(number, response) = frame
                            && let Some(reply) = waiting.lock().await.remove(&number)
                        {
                            drop(reply.send(response));
                        }
                    }
                }
            }
        }
    }

    /// A connection to a peer, by the first key that it takes.
    async fn connect(&self, to: SocketAddr) -> std::io::Result<(TcpStream, Channel, Option<Fingerprint>)> {
        let ring = self.shared.keys.ring();
        let keys = ring.as_ref().map(|ring| lock(&self.shared.speakers).order(to, ring));
        let keys: Vec<_> = keys.map_or_else(|| vec![None], |keys| keys.into_iter().map(Some).collect());
        let mut refused = None;
        for by in keys {
            let mut stream = timeout(CONNECT, TcpStream::connect(to)).await??;
            let key = by.and_then(|by| ring.as_ref()?.key(by));
            let handshake = Handshake::initiator(&self.shared.name, key).map_err(std::io::Error::other)?;
            match timeout(CONNECT, run(&mut stream, handshake)).await? {
                Ok((channel, _)) => {
                    if let Some(by) = by {
                        lock(&self.shared.speakers).heard(to, by);
                    }
                    return Ok((stream, channel, by));
                }
                // A peer that lacks the key hangs up.
                Err(error) if hung_up(&error) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        let told = lock(&self.shared.strangers).note(to.ip(), clock::now().mono);
        if told.is_some() && ring.is_some() {
            warn!(
                %to,
                "the agent there takes no key of this agent. If the key was changed while one of the two was away, put the \
                 current key in its encrypt_file and start it again"
            );
        }
        Err(refused.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
    }

    /// Fails when the key of a connection is not in the ring any more.
    fn still_ours(by: Option<Fingerprint>, rings: &mut watch::Receiver<Option<Ring>>) -> std::io::Result<()> {
        let ring = rings.borrow_and_update();
        let gone = by.is_some_and(|by| !ring.as_ref().is_some_and(|ring| ring.contains(by)));
        if gone { Err(std::io::Error::other("its key was removed from the ring")) } else { Ok(()) }
    }

    /// Forgets a link that is not by the primary key, so that the next frame makes another.
    async fn retire(&self, to: SocketAddr, by: Option<Fingerprint>) {
        if by != self.shared.keys.ring().map(|ring| ring.primary()) {
            self.shared.links.lock().await.remove(&to);
        }
    }
}

fn hung_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}
