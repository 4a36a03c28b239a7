//! What comes in by the socket: opened, counted, given to the core.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::seal::{Kind, Opened, Refused};
use tracing::{debug, error, warn};

use super::Core;
use crate::runtime::clock;
use crate::runtime::metrics::Direction;

/// Datagrams taken from the socket before timers are looked at again.
const DATAGRAMS_PER_WAKE: usize = 256;
/// How often strangers without a hint of their key may be tried again, see [`quorate_proto::seal::Opener::refill`].
const REFILL: Duration = Duration::from_millis(100);

impl Core {
    pub(super) fn receive(&mut self, buffer: &mut [u8]) {
        let now = clock::now().mono;
        if now >= self.refilled + REFILL {
            self.refilled = now;
            self.opener.refill();
        }
        for _ in 0..DATAGRAMS_PER_WAKE {
            let (size, from) = match self.socket.try_recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    debug!(%error, "receive failed");
                    return;
                }
            };
            self.metrics.packet(Direction::In, size);
            match self.opener.open(&buffer[..size]) {
                Ok(opened) => self.take(from, &opened),
                Err(reason) => self.refuse(from, reason),
            }
        }
    }

    fn take(&mut self, from: SocketAddr, opened: &Opened) {
        if let Some(by) = opened.by {
            self.speakers.heard(from, by);
        }
        let now = clock::now();
        let taken = match opened.kind {
            Kind::Gossip => {
                let sender = self.cluster.handle_gossip(from, &opened.plain, now);
                // With address translation it is spoken to at another address than it speaks from.
                if let (Some(by), Some(sender)) = (opened.by, sender.filter(|sender| *sender != from)) {
                    self.speakers.heard(sender, by);
                }
                Ok(())
            }
            Kind::Control => self.cluster.handle_control(from, &opened.plain, now),
            Kind::Renewal => self.cluster.handle_renewal(from, &opened.plain, now),
        };
        if let Err(error) = taken {
            self.metrics.dropped(error.as_str());
            debug!(%from, %error, "datagram dropped");
        }
    }

    fn refuse(&mut self, from: SocketAddr, reason: Refused) {
        self.metrics.dropped(reason.as_str());
        debug!(%from, reason = reason.as_str(), "datagram dropped");
        if reason != Refused::UnknownKey {
            return;
        }
        let Some(more) = self.strangers.note(from.ip().to_canonical(), clock::now().mono) else { return };
        let is_known = self.seeds.contains(&from)
            || self
                .cluster
                .view()
                .members
                .iter()
                .any(|member| member.gossip_addr == from && !self.is_observer(&member.id));
        if self.ring.is_none() {
            warn!(%from, more, "datagrams are refused: they are encrypted, and this agent has no key (encrypt, encrypt_file)");
        } else if is_known && self.cluster.view().leader.is_none() {
            error!(
                %from, more,
                "an agent of this cluster seals with a key that this agent does not have, and nobody leads as far as this agent \
                 hears: its own key may not be accepted any more. If the key was changed while this agent was away, put the \
                 current key in its encrypt_file and start it again"
            );
        } else if is_known {
            warn!(
                %from, more,
                "datagrams from an agent of this cluster are refused: they are sealed with a key that is not in the ring. If it \
                 was away while the key was changed, put the current key in its encrypt_file and start it again"
            );
        } else {
            warn!(%from, more, "datagrams of a stranger are refused: another key, another cluster, or no agent at all");
        }
    }

    fn is_observer(&self, id: &quorate_proto::MemberId) -> bool {
        self.cluster.view().observer == *id
    }
}
