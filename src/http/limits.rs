//! What one client, and all of them together, may cost.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// How many connections the API takes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All clients together.
    pub connections: usize,
    /// One client: an IPv4 address, an IPv6 network of 64 bits, or a user on a Unix socket.
    pub per_client: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 768, per_client: 200 }
    }
}

/// Of runs: each step of a run has one or two, and tens of steps may be under way. Strangers on this machine may connect
/// too; what gives way then are connections that do nothing, which is not what runs have.
pub(super) const RUNS: Limits = Limits { connections: 512, per_client: 512 };

/// Connections that the kernel keeps waiting; also its limit on most machines. They are taken or refused at once.
pub(super) const BACKLOG: i32 = 1024;

/// How often it is looked which connections take too long.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// What is ended from outside gets this much more than the server itself gives, so that clients hear why.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// Longest head of a request, in bytes: the largest real ones are tokens and cookies of some KiB.
pub(super) const HEAD_BYTES: usize = 32 << 10;

/// How long a client may take to read an answer that does not fit into the buffers of the kernel. As long as it may take to
/// send a body of the same size.
pub(super) const ANSWER: Duration = STATE_BODY.within;

/// What the kernel keeps of an answer: small enough that a client that does not read is seen, large enough for a fast one.
const SEND_BUFFER: usize = 256 << 10;

/// How long no connection is accepted when the machine or the process has no descriptors left.
pub(super) const BREATH: Duration = Duration::from_millis(50);

/// How often the log tells that connections are refused or ended for others.
pub(super) const TELL: Duration = Duration::from_secs(10);

/// How long a connection may rest between requests.
pub(super) const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// How long a client may take to send the head of a request: five seconds, so that slow ones do not hold
/// their places for long.
pub(super) const REQUEST_HEAD: Duration = Duration::from_secs(5);

/// What a body may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body {
    /// Chunked or not.
    pub(super) bytes: usize,
    /// How long a client may take to send it.
    pub(super) within: Duration,
}

/// Of nearly everything (CTS reads a whole request within 15 s).
pub(super) const BODY: Body = Body { bytes: 1 << 20, within: Duration::from_secs(15) };

/// Of a Terraform state.
pub(super) const STATE_BODY: Body = Body { bytes: crate::state::CONTENT_MAX, within: Duration::from_mins(1) };

/// Of a request for this path.
pub(super) fn body_of(path: &str) -> Body {
    if path == crate::runtime::state::service::PATH {
        // The same content with who asks and what for.
        return Body { bytes: STATE_BODY.bytes + (64 << 10), ..STATE_BODY };
    }
    if super::state::is_state_path(path) { STATE_BODY } else { BODY }
}

/// How long one request of a run may be tried again while nobody leads, whatever its grant says.
pub(super) const PATIENCE_MAX: Duration = Duration::from_mins(10);

/// Between two tries.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// How long a connection may take to be closed.
pub(super) const DISCONNECT: Duration = Duration::from_secs(1);

/// How long sent bytes may stay unacknowledged, or the client's window closed: one that never reads its answers is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// How long requests under way may take to end after shutdown began.
pub(super) const DRAIN: Duration = Duration::from_secs(4);

/// Longest long poll.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(10);

/// Long poll without `wait`, as in Consul.
pub(super) const WAIT_DEFAULT: Duration = Duration::from_mins(5);

/// How long the agent may take to do what it was asked: a hand-over waits for the grace of runs.
pub(super) const COMMAND: Duration = Duration::from_mins(1);

/// How long a request that ends a run waits for that end: less than [`COMMAND`], so that it still says how far it is.
pub(super) const END_OF_RUN: Duration = Duration::from_secs(40);

/// How long an agent that does not lead waits for a token that it does not know: one that was made a moment ago arrives.
pub(super) const TOKEN_PATIENCE: Duration = Duration::from_millis(500);

/// How long a read waits for the leader, and for what this agent knows by itself.
pub(super) const READ: Duration = Duration::from_secs(5);

/// How long a follower waits for the leader: more than [`COMMAND`], so that the leader's own word arrives first.
pub(super) const FORWARD: Duration = Duration::from_secs(65);

/// How long a stream of a log waits before it looks again: at first, and when nothing comes.
pub(super) const STREAM_PAUSE: Duration = Duration::from_millis(100);
pub(super) const STREAM_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a stream of a log outlives the leader that it hears of.
pub(super) const LOG_PATIENCE: Duration = Duration::from_secs(30);

/// How often a stream of events says that it is alive, so that what lies between keeps it open.
pub(super) const STREAM_SIGN: Duration = Duration::from_secs(15);

/// Forwarded requests answered at a time; the others wait in the channel.
pub(super) const FORWARDED: usize = 32;

/// Lets the kernel close connections whose peer is gone or whose window stays closed, and keeps what it buffers small.
pub(super) fn bound_silence(stream: &TcpStream) {
    let millis = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    let outcome = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_user_timeout(stream, millis))
        .and_then(|()| sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER));
    if let Err(error) = outcome {
        tracing::debug!(%error, "cannot bound the silence of a client");
    }
}
