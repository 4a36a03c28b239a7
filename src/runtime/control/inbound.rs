//! The way in: connections are admitted, and prove that they are a member's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorate_proto::codec;
use quorate_proto::noise::{Channel, Handshake};
use quorate_proto::seal::Fingerprint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::admission::{Admission, Admissions};
use super::{CONNECT, Control, Frame, Shared};
use crate::runtime::clock;

/// The first frame of a connection: a hello or a request for contents.
const FIRST_MAX: usize = 256;

/// Connections that have not proved anything, and how each is told to go.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    gate: Admissions,
    waiting: BTreeMap<u64, CancellationToken>,
}

/// The place of one of them. Given back when it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    ticket: u64,
    /// When it has to make room.
    pub(super) evicted: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inbound = lock(&self.shared.inbound);
        inbound.gate.leave(self.ticket);
        inbound.waiting.remove(&self.ticket);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Accepts connections for ever. None waits in the backlog: strangers would fill it.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(place) = self.admit(peer) else { continue };
                    let this = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = this.serve(stream, place).await {
                            debug!(%peer, %error, "control connection closed");
                        }
                    });
                }
                Err(error) => {
                    debug!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let addr = peer.ip().to_canonical();
        let is_known = self.shared.known.borrow().contains(&addr);
        let mut inbound = lock(&self.shared.inbound);
        match inbound.gate.admit(addr, is_known, clock::now().mono) {
            Admission::Refused(why) => {
                self.shared.metrics.connection_refused(why);
                None
            }
            Admission::Admitted { ticket, evicted } => {
                if let Some(evicted) = evicted.and_then(|evicted| inbound.waiting.remove(&evicted)) {
                    evicted.cancel();
                    self.shared.metrics.connection_refused("full");
                }
                let evicted = CancellationToken::new();
                inbound.waiting.insert(ticket, evicted.clone());
                Some(Place { shared: self.shared.clone(), ticket, evicted })
            }
        }
    }

    /// The handshake and the first frame, each within its time. Only the frame proves anything: the initiator's part of a
    /// handshake can be a recorded one.
    pub(super) async fn prove(
        &self,
        stream: &mut TcpStream,
    ) -> std::io::Result<(Channel, Option<Fingerprint>, Option<Frame>)> {
        let ring = self.shared.keys.ring();
        let handshake = Handshake::responder_of(&self.shared.name, ring.as_ref());
        let (mut channel, by) = timeout(CONNECT, run(stream, handshake)).await??;
        let frame = async {
            let mut buffer = [0; 1024];
            loop {
                if let Some(bytes) = channel.next_frame_within(FIRST_MAX).map_err(std::io::Error::other)? {
                    return codec::decode_frame::<Frame>(&bytes).map_err(std::io::Error::other);
                }
                let size = stream.read(&mut buffer).await?;
                if size == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                channel.feed(&buffer[..size]);
            }
        };
        let first = timeout(CONNECT, frame).await??;
        Ok((channel, by, Some(first)))
    }
}

/// Both sides of a handshake.
pub(super) async fn run(
    stream: &mut TcpStream,
    mut handshake: Handshake,
) -> std::io::Result<(Channel, Option<Fingerprint>)> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 256];
    loop {
        while let Some(bytes) = handshake.poll_output() {
            stream.write_all(&bytes).await?;
        }
        if handshake.is_finished() {
            let by = handshake.by();
            return Ok((handshake.finish().map_err(std::io::Error::other)?, by));
        }
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        handshake.feed(&buffer[..size]).map_err(std::io::Error::other)?;
    }
}
