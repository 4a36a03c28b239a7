//! What one client, and all of them together, may cost.

use std::any::Any;
use std::time::Duration;

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

/// How long a client may take to send the body (CTS reads a whole request within 15 s).
pub(super) const REQUEST_BODY: Duration = Duration::from_secs(15);

/// How long a connection may take to be closed.
pub(super) const DISCONNECT: Duration = Duration::from_secs(1);

/// How long sent bytes may stay unacknowledged, or the client's window closed: one that never reads its answers is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of a body, chunked or not.
pub(super) const BODY: usize = 1 << 20;

/// How long requests under way may take to end after shutdown began.
pub(super) const DRAIN: Duration = Duration::from_secs(4);

/// Longest long poll.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(10);

/// Long poll without `wait`, as in Consul.
pub(super) const WAIT_DEFAULT: Duration = Duration::from_mins(5);

/// How long the agent may take to do what it was asked: a hand-over waits for the grace of runs.
pub(super) const COMMAND: Duration = Duration::from_mins(1);

/// How long a follower waits for the leader: more than [`COMMAND`], so that the leader's own word arrives first.
pub(super) const FORWARD: Duration = Duration::from_secs(65);

/// Forwarded requests answered at a time; the others wait in the channel.
pub(super) const FORWARDED: usize = 32;

/// Lets the kernel close connections whose peer is gone or does not read: no timer of the server covers those.
pub(super) fn bound_silence(connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let millis = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    let outcome = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE))
        .and_then(|()| sockopt::set_tcp_user_timeout(stream, millis));
    if let Err(error) = outcome {
        tracing::debug!(%error, "cannot bound the silence of a client");
    }
}
