//! What one client, and all of them together, may cost.

use std::any::Any;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::rt::net::TcpStream;
use rustix::net::sockopt;

/// Connections at a time. A process usually has 1,024 descriptors; the rest is for gossip, store and runs.
pub(super) const CONNECTIONS: usize = 768;

/// Connections that the kernel keeps waiting.
pub(super) const BACKLOG: u32 = 256;

/// How long a connection may rest between requests.
pub(super) const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// How long a client may take to send the head of a request: five seconds, so that slow ones do not fill
/// [`CONNECTIONS`] for long.
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
    if path == crate::runtime::state::desk::PATH {
        // The same content with who asks and what for.
        return Body { bytes: STATE_BODY.bytes + (64 << 10), ..STATE_BODY };
    }
    if super::state::is_state_path(path) { STATE_BODY } else { BODY }
}

/// Connections of runs at a time: each step of a run has one or two, and tens of steps may be under way.
pub(super) const RUN_CONNECTIONS: usize = 512;

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

/// Forwarded requests answered at a time; the others wait in the channel.
pub(super) const FORWARDED: usize = 32;

/// Lets the kernel close connections whose peer is gone or does not read: no timer of the server covers those.
pub(super) fn bound_silence(connection: &dyn Any) {
    let plain = connection.downcast_ref::<TcpStream>();
    let sealed = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    let Some(stream) = plain.or_else(sealed) else { return };
    let millis = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    let outcome = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_user_timeout(stream, millis));
    if let Err(error) = outcome {
        tracing::debug!(%error, "cannot bound the silence of a client");
    }
}
