//! What travels on a control connection.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::noise::Channel;
use quorate_proto::{BlobHash, MemberId, codec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::IDLE;
use crate::runtime::handle::{ApiRequest, ApiResponse, Caller};

/// What a frame holds.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) enum Frame {
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
    /// The next bytes of them, at most [`super::contents::CHUNK`].
    Chunk(Vec<u8>),
    /// They are not here.
    Gone,
    /// A forwarded request with who asks. Only to agents that know this frame: see [`CALLERS_PATH`].
    Forward(u64, ApiRequest),
}

/// Asked for on a control connection, an agent that knows [`Frame::Forward`] says so; an older one has no such path.
pub(super) const CALLERS_PATH: &str = "/internal/callers";
/// How long that may take.
pub(super) const CALLERS: Duration = Duration::from_secs(5);

/// A request as agents of all versions know it.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Unsigned {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) body: Vec<u8>,
    pub(super) request_id: String,
}

impl Unsigned {
    pub(super) fn new(request: ApiRequest) -> Self {
        let ApiRequest { method, target, body, request_id, caller: _ } = request;
        Self { method, target, body, request_id }
    }

    /// As whoever answers sees it: nobody said who asks.
    pub(super) fn signed(self) -> ApiRequest {
        let Self { method, target, body, request_id } = self;
        ApiRequest { method, target, body, request_id, caller: Caller::unknown() }
    }
}

/// Seals a frame and sends it.
pub(super) async fn write(stream: &mut TcpStream, channel: &mut Channel, frame: &Frame) -> std::io::Result<()> {
    let bytes = codec::encode(frame).map_err(std::io::Error::other)?;
    let sealed = channel.seal_frame(&bytes).map_err(std::io::Error::other)?;
    timeout(IDLE, stream.write_all(&sealed)).await?
}

/// The next frame of what came; `None`: it is not whole yet.
pub(super) fn next(channel: &mut Channel) -> std::io::Result<Option<Frame>> {
    match channel.next_frame().map_err(std::io::Error::other)? {
        Some(bytes) => codec::decode_frame(&bytes).map(Some).map_err(std::io::Error::other),
        None => Ok(None),
    }
}
