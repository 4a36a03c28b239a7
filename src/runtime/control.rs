//! Control connections: TCP between agents, on the same port number as gossip, sealed by Noise when there is a key.
//!
//! They carry what does not fit a datagram, and the requests that followers forward to the leader. A connection is made
//! when it is needed and kept while it is used. Nothing here is trusted to arrive: the core repeats its messages by
//! timer, and a forwarded request that gets no answer is reported as unknown.
//!
//! Whoever can reach the port can connect. Until its first frame has opened, a connection is a stranger's: it has a deadline, sends
//! little, and its place is of those that [`gate`] gives away. A connection lives as long as the key that it was made by is in the
//! ring.

mod door;
mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::noise::{Channel, Handshake};
use quorate_proto::seal::{Fingerprint, Ring, Speakers};
use quorate_proto::{BlobHash, MemberId, codec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use door::{Door, Place, lock, run};

use super::clock;
use super::core::Command;
use super::handle::{ApiRequest, ApiResponse, Caller, Forwarded};
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
/// Bytes of contents in one frame: what is sent meanwhile on other connections is not kept waiting by a large one.
const CHUNK: usize = 64 * 1024;
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

/// What a frame holds.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
enum Frame {
    /// First on every connection: the gossip address of the side that dialled, where answers to its messages go.
    Hello(SocketAddr),
    /// A control message.
    Message(Vec<u8>),
    /// A request without who asks: of an agent for itself, or of a client of an agent that controls no access.
    Request(u64, Unsigned),
    /// Its answer.
    Answer(u64, ApiResponse),
    /// To the leader: this member leaves for good and wants to be no voter any more.
    Remove(MemberId),
    /// Send the contents of a large value: hash and length. First and only on a connection of its own.
    Fetch(BlobHash, u32),
    /// The next bytes of them, at most [`CHUNK`].
    Chunk(Vec<u8>),
    /// They are not here.
    Gone,
    /// A forwarded request with who asks. Only to agents that know this frame: see [`CALLERS_PATH`].
    Forward(u64, ApiRequest),
}

/// Asked for on a control connection, an agent that knows [`Frame::Forward`] says so; an older one has no such path.
const CALLERS_PATH: &str = "/internal/callers";
/// How long that may take.
const CALLERS: Duration = Duration::from_secs(5);

/// A request as agents of all versions know it.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Unsigned {
    method: String,
    target: String,
    body: Vec<u8>,
    request_id: String,
}

impl Unsigned {
    fn new(request: ApiRequest) -> Self {
        let ApiRequest { method, target, body, request_id, caller: _ } = request;
        Self { method, target, body, request_id }
    }

    /// As whoever answers sees it: nobody said who asks.
    fn signed(self) -> ApiRequest {
        let Self { method, target, body, request_id } = self;
        ApiRequest { method, target, body, request_id, caller: Caller::unknown() }
    }
}

/// The peer cannot be told who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld;

/// An answer to [`Control::fetch`], piece by piece.
pub struct Transfer {
    stream: TcpStream,
    channel: Channel,
    buffer: Vec<u8>,
}

impl Transfer {
    /// The next piece; `None`: the peer does not have the contents.
    pub async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            match next(&mut self.channel)? {
                Some(Frame::Chunk(bytes)) if !bytes.is_empty() => return Ok(Some(bytes)),
                Some(Frame::Gone) => return Ok(None),
                Some(_) => return Err(std::io::ErrorKind::InvalidData.into()),
                None => {}
            }
            let size = self.stream.read(&mut self.buffer).await?;
            if size == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.channel.feed(&self.buffer[..size]);
        }
    }
}

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
    door: std::sync::Mutex<Door>,
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
            door: std::sync::Mutex::default(),
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

    /// Asks a peer for the contents of a large value, on a connection of its own.
    pub async fn fetch(&self, from: SocketAddr, hash: BlobHash, len: u32) -> std::io::Result<Transfer> {
        let (mut stream, mut channel, _) = self.connect(from).await?;
        write(&mut stream, &mut channel, &Frame::Fetch(hash, len)).await?;
        Ok(Transfer { stream, channel, buffer: vec![0; CHUNK] })
    }

    /// The other side of it.
    async fn send_contents(
        &self,
        hash: BlobHash,
        len: u32,
        stream: &mut TcpStream,
        channel: &mut Channel,
    ) -> std::io::Result<()> {
        let _turn = self.shared.sending.acquire().await.map_err(std::io::Error::other)?;
        let found = self.shared.blobs.file(hash).ok().filter(|(_, length)| *length == u64::from(len));
        let Some((file, _)) = found else { return write(stream, channel, &Frame::Gone).await };
        let mut file = tokio::fs::File::from_std(file);
        let mut left = usize::try_from(len).unwrap_or_default();
        while left > 0 {
            let mut piece = vec![0; left.min(CHUNK)];
            file.read_exact(&mut piece).await?;
            left -= piece.len();
            write(stream, channel, &Frame::Chunk(piece)).await?;
        }
        stream.shutdown().await
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

    async fn serve(&self, mut stream: TcpStream, place: Place) -> std::io::Result<()> {
        let mut rings = self.shared.keys.watch();
        let proved = tokio::select! {
            proved = self.prove(&mut stream) => proved,
            () = place.evicted.cancelled() => return Err(std::io::Error::other("made room for another stranger")),
        };
        let (mut channel, by, mut first) =
            proved.inspect_err(|_| self.shared.metrics.connection_refused("unproven"))?;
        drop(place);
        let Ok(_room) = self.shared.proven.try_acquire() else {
            self.shared.metrics.connection_refused("members");
            return Err(std::io::Error::other("members have too many connections"));
        };
        // The ring may have changed meanwhile.
        Self::still_ours(by, &mut rings)?;
        let (answers, mut ready) = mpsc::channel::<Frame>(QUEUE);
        let mut buffer = vec![0; 16 * 1024];
        let mut peer: Option<SocketAddr> = None;
        loop {
            while let Some(frame) = first.take().map_or_else(|| next(&mut channel), |frame| Ok(Some(frame)))? {
                if let Frame::Fetch(hash, len) = frame {
                    return self.send_contents(hash, len, &mut stream, &mut channel).await;
                }
                self.handle(frame, &mut peer, &answers).await;
            }
            tokio::select! {
                Some(frame) = ready.recv() => write(&mut stream, &mut channel, &frame).await?,
                Ok(()) = rings.changed() => Self::still_ours(by, &mut rings)?,
                read = timeout(IDLE, stream.read(&mut buffer)) => {
                    let size = read??;
                    if size == 0 {
                        return Ok(());
                    }
                    channel.feed(&buffer[..size]);
                }
            }
        }
    }

    async fn handle(&self, frame: Frame, peer: &mut Option<SocketAddr>, answers: &mpsc::Sender<Frame>) {
        match frame {
            Frame::Hello(addr) => *peer = Some(addr),
            Frame::Message(bytes) => {
                if let Some(from) = *peer {
                    drop(self.shared.commands.send(Command::Frame { from, bytes }).await);
                }
            }
            Frame::Request(number, request) if request.target == CALLERS_PATH => {
                let response = ApiResponse { status: 200, content_type: String::new(), body: Vec::new() };
                // Asked once a connection: there is room, or nobody waits for it.
                drop(answers.try_send(Frame::Answer(number, response)));
            }
            Frame::Request(number, request) => self.pass_on(number, request.signed(), answers).await,
            Frame::Forward(number, request) => self.pass_on(number, request, answers).await,
            Frame::Remove(id) => {
                let (reply, answer) = oneshot::channel();
                drop(self.shared.commands.send(Command::RemoveVoter(id.clone(), reply)).await);
                if let Ok(Err(why)) = answer.await {
                    debug!(%id, why, "not removed from the voters");
                }
            }
            Frame::Answer(..) | Frame::Fetch(..) | Frame::Chunk(_) | Frame::Gone => {
                debug!("a frame that nobody asked for");
            }
        }
    }

    /// To whoever answers requests here, and the answer back.
    async fn pass_on(&self, number: u64, request: ApiRequest, answers: &mpsc::Sender<Frame>) {
        let (reply, answer) = oneshot::channel();
        if self.shared.forwarded.send(Forwarded { request, reply }).await.is_err() {
            return;
        }
        let answers = answers.clone();
        tokio::spawn(async move {
            if let Ok(response) = answer.await {
                drop(answers.send(Frame::Answer(number, response)).await);
            }
        });
    }
}

fn hung_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

async fn write(stream: &mut TcpStream, channel: &mut Channel, frame: &Frame) -> std::io::Result<()> {
    let bytes = codec::encode(frame).map_err(std::io::Error::other)?;
    let sealed = channel.seal_frame(&bytes).map_err(std::io::Error::other)?;
    timeout(IDLE, stream.write_all(&sealed)).await?
}

fn next(channel: &mut Channel) -> std::io::Result<Option<Frame>> {
    match channel.next_frame().map_err(std::io::Error::other)? {
        Some(bytes) => codec::decode_frame(&bytes).map(Some).map_err(std::io::Error::other),
        None => Ok(None),
    }
}
